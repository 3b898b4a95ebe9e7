/* Matrix products and Einstein sums as contractions: every index is a loop of its own. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tensor/contract.h"

static const char *shape_of(wf_tensor t, char *buf, size_t size) {
    char s[96];
    const wf_shape shape = wf_shape_of_tensor(t);
    snprintf(buf, size, "%s%s", wf_dtype_name(wf_dtype_of(t)), wf_shape_text(&shape, s, sizeof s));
    return buf;
}

static bool one_graph(const char *name, wf_tensor a, wf_tensor b) {
    return wf_operands_fit(a.graph ? a.graph : b.graph, name, (wf_tensor[]){a, b}, 2);
}

/* --- matmul ----------------------------------------------------------------------------------- */

/* A leading axis: extent 1 is broadcast, so its index is the constant 0. */
static wf_relation batch_relation(const wf_shape *s, int axis, int loop, int64_t extent) {
    if (s->dim[axis] == extent) return wf_plain(loop);
    return (wf_relation){.div = 1, .a = -1, .b = -1};
}

wf_tensor wf_matmul(wf_tensor a, wf_tensor b) {
    if (!one_graph("matmul", a, b)) return wf_handle(a.graph ? a.graph : b.graph, 0);
    char at[128], bt[128];
    shape_of(a, at, sizeof at);
    shape_of(b, bt, sizeof bt);
    const wf_shape sa = wf_shape_of_tensor(a), sb = wf_shape_of_tensor(b);
    if (wf_dtype_of(a) != wf_dtype_of(b) || !wf_dtype_is_real(wf_dtype_of(a)))
        return wf_graph_fail(a.graph, "matmul: a %s and b %s; expected one dtype, f32 or f64; "
                             "use wf_cast", at, bt);
    if (sa.rank < 1 || sb.rank < 1)
        return wf_graph_fail(a.graph, "matmul: a %s and b %s; a scalar has no matrix axes, use mul",
                             at, bt);
    const bool rows = sa.rank > 1, cols = sb.rank > 1;
    const int64_t ka = sa.dim[sa.rank - 1], kb = sb.dim[cols ? sb.rank - 2 : 0];
    if (ka != kb)
        return wf_graph_fail(a.graph, "matmul: a %s has %lld columns, b %s has %lld rows; "
                             "transpose one of them, or make them agree", at, (long long)ka, bt,
                             (long long)kb);
    const int na = sa.rank - 1 - rows, nb = sb.rank - 1 - cols;
    wf_shape batch;
    const wf_shape la = wf_shape_make(na, sa.dim), lb = wf_shape_make(nb, sb.dim);
    if (!wf_broadcast(&la, &lb, &batch))
        return wf_graph_fail(a.graph, "matmul: the leading axes of a %s and b %s do not broadcast; "
                             "make them equal or 1", at, bt);
    const int rank = batch.rank + rows + cols;
    if (rank > WF_MAX_RANK)
        return wf_graph_fail(a.graph, "matmul: a %s times b %s has more than %d axes", at, bt,
                             WF_MAX_RANK);

    wf_contract_source s;
    memset(&s, 0, sizeof s);
    s.n_sum = 1;
    s.sum[0] = ka;
    s.rank_a = sa.rank;
    s.rank_b = sb.rank;
    for (int i = 0; i < na; i++) {
        const int l = batch.rank - na + i;
        s.a[i] = batch_relation(&sa, i, l, batch.dim[l]);
    }
    for (int i = 0; i < nb; i++) {
        const int l = batch.rank - nb + i;
        s.b[i] = batch_relation(&sb, i, l, batch.dim[l]);
    }
    if (rows) s.a[na] = wf_plain(batch.rank);
    s.a[sa.rank - 1] = wf_plain(rank);
    s.b[nb] = wf_plain(rank);
    if (cols) s.b[nb + 1] = wf_plain(batch.rank + rows);

    int64_t out[WF_MAX_RANK];
    for (int i = 0; i < batch.rank; i++) out[i] = batch.dim[i];
    if (rows) out[batch.rank] = sa.dim[sa.rank - 2];
    if (cols) out[batch.rank + rows] = sb.dim[sb.rank - 1];
    return wf_contract(wf_shape_make(rank, out), &s, a, b);
}

/* --- einsum ----------------------------------------------------------------------------------- */

typedef struct spec {
    char in[2][WF_MAX_RANK], out[WF_MAX_RANK];
    int n_in[2], n_out, n_operands;
    bool explicit;
} spec;

/* Reads letters into to[]; stops at the first other character. False: too many. */
static bool read_letters(const char **p, char *to, int *n) {
    for (; isalpha((unsigned char)**p) || **p == ' '; (*p)++) {
        if (**p == ' ') continue;
        if (*n == WF_MAX_RANK) return false;
        to[(*n)++] = **p;
    }
    return true;
}

static bool parse(const char *p, spec *e) {
    memset(e, 0, sizeof *e);
    for (;;) {
        if (!read_letters(&p, e->in[e->n_operands], &e->n_in[e->n_operands])) return false;
        e->n_operands++;
        if (*p != ',') break;
        if (e->n_operands == 2) return false;
        p++;
    }
    if (p[0] == '-' && p[1] == '>') {
        p += 2;
        e->explicit = true;
        if (!read_letters(&p, e->out, &e->n_out)) return false;
    }
    return *p == 0;
}

static int find(const char *letters, int n, char c) {
    for (int i = 0; i < n; i++)
        if (letters[i] == c) return i;
    return -1;
}

/* Implicit output: the letters that occur once, in alphabetical order. False: more than 8. */
static bool imply_output(spec *e) {
    for (int c = 'A'; c <= 'z'; c++) {
        int count = 0;
        for (int o = 0; o < e->n_operands; o++)
            for (int i = 0; i < e->n_in[o]; i++) count += e->in[o][i] == c;
        if (count != 1) continue;
        if (e->n_out == WF_MAX_RANK) return false;
        e->out[e->n_out++] = (char)c;
    }
    return true;
}

/* Loops of all letters: those of the output in order, then the summed ones as they occur. */
typedef struct loops {
    char letter[WF_CONTRACT_LOOPS];
    int64_t extent[WF_CONTRACT_LOOPS];
    int n;
} loops;

static bool assign_loops(const char *text, const spec *e, const wf_tensor *x, loops *l) {
    wf_graph *g = x[0].graph;
    for (int i = 0; i < e->n_out; i++) {
        if (find(e->out, i, e->out[i]) >= 0) {
            wf_graph_fail(g, "einsum: \"%s\" names '%c' twice in the output", text, e->out[i]);
            return false;
        }
        l->letter[l->n] = e->out[i];
        l->extent[l->n++] = -1;
    }
    for (int o = 0; o < e->n_operands; o++)
        for (int i = 0; i < e->n_in[o]; i++) {
            int at = find(l->letter, l->n, e->in[o][i]);
            if (at < 0) {
                at = l->n++;
                l->letter[at] = e->in[o][i];
                l->extent[at] = -1;
            }
            const int64_t n = wf_dim(x[o], i);
            if (l->extent[at] >= 0 && l->extent[at] != n) {
                wf_graph_fail(g, "einsum: \"%s\" gives '%c' the extents %lld and %lld", text,
                              e->in[o][i], (long long)l->extent[at], (long long)n);
                return false;
            }
            l->extent[at] = n;
        }
    for (int i = 0; i < e->n_out; i++)
        if (l->extent[i] < 0) {
            wf_graph_fail(g, "einsum: \"%s\" has '%c' in the output but in no operand", text,
                          e->out[i]);
            return false;
        }
    return true;
}

static bool check_spec(const char *text, const spec *e, const wf_tensor *x, int n) {
    wf_graph *g = x[0].graph;
    if (e->n_operands != n) {
        wf_graph_fail(g, "einsum: \"%s\" names %d operands, %d given", text, e->n_operands, n);
        return false;
    }
    for (int o = 0; o < n; o++)
        if (wf_rank(x[o]) != e->n_in[o]) {
            char t[128];
            wf_graph_fail(g, "einsum: \"%s\" gives operand %d %d indices, but it is %s", text, o,
                          e->n_in[o], shape_of(x[o], t, sizeof t));
            return false;
        }
    return true;
}

wf_tensor wf_einsum(const char *text, const wf_tensor *x, int n) {
    if (!x || n < 1) return (wf_tensor){0};
    wf_graph *g = x[0].graph ? x[0].graph : n > 1 ? x[1].graph : NULL;
    if (!g) return (wf_tensor){0};
    if (!text || n > 2)
        return wf_graph_fail(g, "einsum: needs a specification and one or two operands");
    for (int o = 0; o < n; o++)
        if (!one_graph("einsum", x[n - 1], x[o])) return wf_handle(g, 0);
    spec e;
    if (!parse(text, &e) || (!e.explicit && !imply_output(&e)))
        return wf_graph_fail(g, "einsum: \"%s\" is not of the form \"ij,jk->ik\" (letters, at most "
                             "two operands, at most %d indices each)", text, WF_MAX_RANK);
    loops l = {.n = 0};
    if (!check_spec(text, &e, x, n) || !assign_loops(text, &e, x, &l)) return wf_handle(g, 0);

    wf_contract_source s;
    memset(&s, 0, sizeof s);
    s.rank_a = e.n_in[0];
    s.rank_b = e.n_in[1]; /* with one operand: 0, the factor is a scalar 1 */
    for (int i = 0; i < s.rank_a; i++) s.a[i] = wf_plain(find(l.letter, l.n, e.in[0][i]));
    for (int i = 0; i < s.rank_b; i++) s.b[i] = wf_plain(find(l.letter, l.n, e.in[1][i]));
    s.n_sum = l.n - e.n_out;
    for (int k = 0; k < s.n_sum; k++) s.sum[k] = l.extent[e.n_out + k];
    const wf_tensor b = n == 2 ? x[1] : wf_scalar(g, wf_dtype_of(x[0]), 1);
    return wf_contract(wf_shape_make(e.n_out, l.extent), &s, x[0], b);
}
