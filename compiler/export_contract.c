/* Contractions as C loops: the output loops outside, the sum loops inside; where possible one
 * output loop is cut into blocks of columns that are summed side by side, so that a compiler makes
 * vectors of them. For a convolution with packed filters:
 *
 *     for (long i0 ...) for (long i1 ...) for (long i2 ...)
 *         for (long j0 = 0; j0 < 64; j0 += 32) {
 *             float sum[32] = {0};
 *             for (long k0 = 0; k0 < 3; k0++) {
 *                 const long a1 = i1 + k0 - 1;
 *                 if (a1 < 0 || a1 >= 28) continue;
 *                 ...
 *                 const float a = x0[...];
 *                 const float *b = x1 + ...;
 *                 for (long j = 0; j < 32; j++) sum[j] += a * b[j];
 *
 * An index is tested once, in the loop that completes it, and only if it can be outside. Long sums
 * are in double: the order of terms is not that of the library. */
#include <string.h>

#include "compiler/export_text.h"
#include "tensor/contract.h"

enum { LONG_SUM = 2048, BLOCK = 32, NO_LOOP = -1 };

/* How a contraction is cut. */
typedef struct cut {
    const wf_call *call;
    const wf_contract_attr *c;
    int col;            /* the output loop of columns; NO_LOOP: one element at a time */
    int64_t block;      /* columns side by side */
    bool tail;          /* the last block is not full */
    const char *type;   /* of the sums */
} cut;

/* --- expressions ------------------------------------------------------------------------------ */

static bool uses(const wf_relation *r, int loop) { return r->a == loop || r->b == loop; }

static bool has_loop(const wf_contract_attr *c, const wf_contract_source *s, int l) {
    return l >= 0 && wf_loop_extent(c, s, l) != 1;
}

static void put_term(wf_ctext_expr *e, int64_t factor, const char *of) {
    const size_t n = strlen(e->s);
    const char *plus = n ? factor < 0 ? " - " : " + " : factor < 0 ? "-" : "";
    const int64_t size = factor < 0 ? -factor : factor;
    if (!factor) return;
    if (!*of) snprintf(e->s + n, sizeof e->s - n, "%s%lld", plus, (long long)size);
    else if (size == 1) snprintf(e->s + n, sizeof e->s - n, "%s%s", plus, of);
    else snprintf(e->s + n, sizeof e->s - n, "%s%s * %lld", plus, of, (long long)size);
}

static void put_loop(wf_ctext_expr *e, const wf_contract_attr *c, const wf_contract_source *s,
                     int64_t factor, int l) {
    char name[16];
    if (!has_loop(c, s, l)) return;
    snprintf(name, sizeof name, l < c->rank ? "i%d" : "k%d", l < c->rank ? l : l - c->rank);
    put_term(e, factor, name);
}

static wf_ctext_expr or_zero(wf_ctext_expr e) {
    if (!e.s[0]) strcpy(e.s, "0");
    return e;
}

/* div * index. */
static wf_ctext_expr numerator(const wf_contract_attr *c, const wf_contract_source *s,
                               const wf_relation *r) {
    wf_ctext_expr e = {""};
    put_loop(&e, c, s, r->ca, r->a);
    put_loop(&e, c, s, r->cb, r->b);
    put_term(&e, r->offset, "");
    return or_zero(e);
}

/* True if some index of the relation is outside [0, extent) or none. */
static bool may_miss(const wf_contract_attr *c, const wf_contract_source *s, const wf_relation *r,
                     int64_t extent) {
    int64_t lo = r->offset, hi = r->offset;
    for (int i = 0; i < 2; i++) {
        const int l = i ? r->b : r->a;
        const int64_t step = i ? r->cb : r->ca;
        const int64_t most = l < 0 ? 0 : step * (wf_loop_extent(c, s, l) - 1);
        if (most < 0) lo += most;
        else hi += most;
    }
    return r->div != 1 || lo < 0 || hi >= extent;
}

/* The innermost sum loop of a relation, NO_LOOP if only output loops matter. */
static int deepest(const wf_contract_attr *c, const wf_contract_source *s, const wf_relation *r) {
    int d = NO_LOOP;
    for (int i = 0; i < 2; i++) {
        const int l = i ? r->b : r->a;
        if (l >= c->rank && has_loop(c, s, l) && l > d) d = l;
    }
    return d;
}

/* A flat row-major index over the loops in `mask` of [first, first + n), without `but`. */
static wf_ctext_expr flat(const wf_contract_attr *c, const wf_contract_source *s, uint32_t mask,
                          int first, int n, int but) {
    wf_ctext_expr e = {""};
    int64_t step = 1;
    for (int l = first + n - 1; l >= first; l--) {
        if (!(mask >> (l - first) & 1)) continue;
        if (l != but) put_loop(&e, c, s, step, l);
        step *= wf_loop_extent(c, s, l);
    }
    return or_zero(e);
}

static int64_t product(const wf_contract_attr *c, uint32_t mask) {
    int64_t n = 1;
    for (int l = 0; l < c->rank; l++)
        if (mask >> l & 1) n *= c->out[l];
    return n;
}

static int64_t terms(const wf_contract_source *s) {
    int64_t n = 1;
    for (int l = 0; l < s->n_sum; l++) n *= s->sum[l];
    return n;
}

/* --- cutting ---------------------------------------------------------------------------------- */

/* The axis of an operand that is loop `l` and nothing else, -1 if none, -2 if l is used in another
 * way. */
static int axis_of(const wf_relation *r, int n, const wf_array *x, int l, int64_t extent) {
    int axis = -1;
    for (int j = 0; j < n; j++) {
        if (!uses(&r[j], l)) continue;
        if (axis != -1 || !wf_is_plain(&r[j]) || extent > x->shape.dim[j]) return -2;
        axis = j;
    }
    return axis;
}

/* The stride of the columns `l` of source i, in *second whether B has them; 0: l cannot be cut. */
static int64_t column_stride(const wf_call *call, int i, int l, bool *second) {
    const wf_contract_attr *c = call->attr;
    const wf_contract_source *s = &c->source[i];
    const wf_array *a = &call->in[2 * i], *b = a + 1;
    for (int j = 0; j < s->n_guards; j++)
        if (uses(&s->guard[j].r, l)) return 0;
    const int at = axis_of(s->a, s->rank_a, a, l, c->out[l]);
    if (s->packed) {
        *second = true;
        for (int o = 0; o < c->rank; o++)
            if ((s->col_loops >> o & 1) && o != l && c->out[o] != 1) return 0;
        return at == -1 && (s->col_loops >> l & 1);
    }
    const int bt = axis_of(s->b, s->rank_b, b, l, c->out[l]);
    if (at == -2 || bt == -2 || (at == -1) == (bt == -1)) return 0;
    *second = bt >= 0;
    return *second ? b->stride[bt] : a->stride[at];
}

static void choose_columns(cut *q) {
    const wf_contract_attr *c = q->c;
    int64_t best = 0;
    q->col = NO_LOOP;
    for (int l = 0; l < c->rank; l++) {
        int64_t score = 0;
        bool can = c->out[l] > 1, second;
        for (int i = 0; i < c->n_sources && can; i++) {
            const int64_t stride = column_stride(q->call, i, l, &second);
            can = stride != 0;
            score += stride == 1;
        }
        const int64_t all = score * 4096 + (c->out[l] < 4096 ? c->out[l] : 4095);
        if (!can || !score || all <= best) continue;
        best = all;
        q->col = l;
    }
}

static cut cut_of(const wf_call *call) {
    cut q = {.call = call, .c = call->attr, .block = BLOCK};
    int64_t n = 0;
    bool packed = false;
    for (int i = 0; i < q.c->n_sources; i++) {
        n += terms(&q.c->source[i]);
        packed |= q.c->source[i].packed;
    }
    q.type = call->out.dtype == WF_F64 || n > LONG_SUM ? "double" : "float";
    choose_columns(&q);
    if (q.col < 0) return q;
    const int64_t cols = q.c->out[q.col];
    while (!packed && q.block > 8 && cols % q.block) q.block--;
    if (!packed && cols % q.block) q.block = cols < BLOCK ? cols : BLOCK;
    q.tail = cols % q.block != 0;
    return q;
}

/* --- a source --------------------------------------------------------------------------------- */

/* The variable of a tested index: a0 .. of A, b0 .. of B, g0 .. of guards. */
typedef struct tested {
    const wf_relation *r;
    int64_t extent;
    char name[16];
} tested;

static int find_tested(const cut *q, int source, tested *t) {
    const wf_contract_source *s = &q->c->source[source];
    int n = 0;
    for (int side = 0; side < 3; side++) {
        const int rank_b = s->packed ? 0 : s->rank_b;
        const int count = side == 0 ? s->rank_a : side == 1 ? rank_b : s->n_guards;
        for (int j = 0; j < count; j++) {
            const wf_relation *r = side == 0 ? &s->a[j] : side == 1 ? &s->b[j] : &s->guard[j].r;
            const int64_t extent =
                side == 2 ? s->guard[j].extent : q->call->in[2 * source + side].shape.dim[j];
            if (!may_miss(q->c, s, r, extent)) continue;
            t[n] = (tested){.r = r, .extent = extent};
            snprintf(t[n++].name, sizeof t->name, "%c%d", "abg"[side], j);
        }
    }
    return n;
}

static void write_tests(wf_ctext *f, const cut *q, const wf_contract_source *s, const tested *t,
                        int n, int loop) {
    for (int i = 0; i < n; i++) {
        const wf_relation *r = t[i].r;
        if (deepest(q->c, s, r) != loop) continue;
        const bool guard = t[i].name[0] == 'g';
        const char *name = t[i].name, *whole = r->div == 1 ? "" : "n";
        const long long end = (long long)t[i].extent * (long long)r->div;
        wf_ctext_line(f, "const long %s%s = %s;", name, whole, numerator(q->c, s, r).s);
        char odd[64] = "", even[64] = "";
        if (r->div != 1) {
            snprintf(odd, sizeof odd, " || %s%s %% %lld", name, whole, (long long)r->div);
            snprintf(even, sizeof even, " && %s%s %% %lld == 0", name, whole, (long long)r->div);
        }
        if (loop == NO_LOOP)
            wf_ctext_open(f, "if (%s%s >= 0 && %s%s < %lld%s)", name, whole, name, whole, end,
                          even);
        else
            wf_ctext_line(f, "if (%s%s < 0 || %s%s >= %lld%s) continue;", name, whole, name, whole,
                          end, odd);
        if (r->div != 1 && !guard)
            wf_ctext_line(f, "const long %s = %sn / %lld;", name, name, (long long)r->div);
    }
}

/* The element of operand `side`, without the columns. */
static wf_ctext_expr address(const cut *q, int source, int side, const tested *t, int n) {
    const wf_contract_source *s = &q->c->source[source];
    const wf_array *x = &q->call->in[2 * source + side];
    wf_ctext_expr e = {""};
    for (int j = 0; j < x->shape.rank; j++) {
        const wf_relation *r = side ? &s->b[j] : &s->a[j];
        const tested *as = NULL;
        for (int i = 0; i < n; i++)
            if (t[i].r == r) as = &t[i];
        if (q->col >= 0 && uses(r, q->col)) continue;
        if (as) {
            put_term(&e, x->stride[j], as->name);
            continue;
        }
        put_loop(&e, q->c, s, r->ca * x->stride[j], r->a);
        put_loop(&e, q->c, s, r->cb * x->stride[j], r->b);
        put_term(&e, r->offset * x->stride[j], "");
    }
    return or_zero(e);
}

/* The element of a packed B; with columns, the first of the block. */
static wf_ctext_expr packed_address(const cut *q, int source) {
    const wf_contract_attr *c = q->c;
    const wf_contract_source *s = &c->source[source];
    const int64_t panels = (product(c, s->col_loops) + WF_PANEL - 1) / WF_PANEL;
    const wf_ctext_expr batch = flat(c, s, s->batch_loops, 0, c->rank, NO_LOOP);
    const wf_ctext_expr k = flat(c, s, UINT32_MAX, c->rank, s->n_sum, NO_LOOP);
    const wf_ctext_expr col = flat(c, s, s->col_loops, 0, c->rank, NO_LOOP);
    char panel[220] = "0", in[220] = "";
    if (q->col >= 0 && panels > 1) strcpy(panel, "j0 / 32");
    if (q->col < 0) {
        snprintf(panel, sizeof panel, "(%.200s) / 32", col.s);
        snprintf(in, sizeof in, " + (%.200s) %% 32", col.s);
    }
    wf_ctext_expr e;
    snprintf(e.s, sizeof e.s, "(((%.200s) * %lld + %s) * %lld + %.400s) * 32%s", batch.s,
             (long long)panels, panel, (long long)terms(s), k.s, in);
    return e;
}

static void write_terms(wf_ctext *f, const cut *q, int source, const tested *t, int n) {
    const wf_contract_source *s = &q->c->source[source];
    const wf_ctext_expr a = address(q, source, 0, t, n);
    const wf_ctext_expr b = s->packed ? packed_address(q, source) : address(q, source, 1, t, n);
    const int x = 2 * source;
    if (q->col < 0) {
        wf_ctext_line(f, "sum += (%s)x%d[%s] * x%d[%s];", q->type, x, a.s, x + 1, b.s);
        return;
    }
    bool second = true;
    const int64_t stride = column_stride(q->call, source, q->col, &second);
    const char *element = wf_ctext_type(q->call->out.dtype);
    char step[32] = "", from[64] = "";
    if (stride != 1) snprintf(step, sizeof step, " * %lld", (long long)stride);
    if (!s->packed && q->c->out[q->col] > q->block)
        snprintf(from, sizeof from, " + j0%s", step);
    wf_ctext_line(f, "const %s a = x%d[%s];", q->type, second ? x : x + 1, second ? a.s : b.s);
    wf_ctext_line(f, "const %s *b = x%d + %s%s;", element, second ? x + 1 : x, second ? b.s : a.s,
                  from);
    char end[32] = "n";
    if (!q->tail || s->packed) snprintf(end, sizeof end, "%lld", (long long)q->block);
    wf_ctext_line(f, "for (long j = 0; j < %s; j++) sum[j] += a * b[j%s];", end, step);
}

static void write_source(wf_ctext *f, const cut *q, int source) {
    const wf_contract_source *s = &q->c->source[source];
    const int depth = f->depth;
    tested t[2 * WF_MAX_RANK + WF_CONTRACT_GUARDS];
    const int n = find_tested(q, source, t);
    wf_ctext_open(f, "/* source %d */", source);
    write_tests(f, q, s, t, n, NO_LOOP);
    for (int k = 0; k < s->n_sum; k++) {
        if (s->sum[k] == 1) continue;
        wf_ctext_open(f, "for (long k%d = 0; k%d < %lld; k%d++)", k, k, (long long)s->sum[k], k);
        write_tests(f, q, s, t, n, q->c->rank + k);
    }
    write_terms(f, q, source, t, n);
    wf_ctext_close(f, depth);
}

bool wf_ctext_contract(wf_ctext *f, const wf_call *call) {
    if (((const wf_contract_attr *)call->attr)->compute) return false;
    const cut q = cut_of(call);
    const wf_array *y = &call->out;
    const char *element = wf_ctext_type(y->dtype);
    const int depth = f->depth;
    wf_array rows = *y;
    if (q.col >= 0) rows.shape.dim[q.col] = 1;
    wf_ctext_loops(f, &rows.shape, 'i');
    if (q.col < 0) {
        wf_ctext_line(f, "%s sum = 0;", q.type);
    } else {
        const long long cols = (long long)q.c->out[q.col], block = (long long)q.block;
        if (cols > block) wf_ctext_open(f, "for (long j0 = 0; j0 < %lld; j0 += %lld)", cols, block);
        if (q.tail && cols > block)
            wf_ctext_line(f, "const long n = %lld - j0 < %lld ? %lld - j0 : %lld;", cols, block,
                          cols, block);
        else if (q.tail) wf_ctext_line(f, "const long n = %lld;", cols);
        wf_ctext_line(f, "%s sum[%lld] = {0};", q.type, block);
    }
    for (int i = 0; i < q.c->n_sources; i++) write_source(f, &q, i);
    const wf_ctext_expr at = wf_ctext_index(&rows, 'i', 0);
    if (q.col < 0) {
        wf_ctext_line(f, "y[%s] = (%s)sum;", at.s, element);
    } else {
        char last[32] = "n";
        if (!q.tail) snprintf(last, sizeof last, "%lld", (long long)q.block);
        wf_ctext_line(f, "for (long j = 0; j < %s; j++) y[%s + (%sj) * %lld] = (%s)sum[j];", last,
                      at.s, q.c->out[q.col] > q.block ? "j0 + " : "", (long long)y->stride[q.col],
                      element);
    }
    wf_ctext_close(f, depth);
    return true;
}

/* --- pack ------------------------------------------------------------------------------------- */

/* The loops of columns from the column n. */
static void write_columns(wf_ctext *f, const wf_contract_attr *c, uint32_t mask) {
    int64_t step = 1;
    for (int l = c->rank - 1; l >= 0; l--) {
        if (!(mask >> l & 1)) continue;
        if (c->out[l] != 1)
            wf_ctext_line(f, "const long i%d = n / %lld %% %lld;", l, (long long)step,
                          (long long)c->out[l]);
        step *= c->out[l];
    }
}

bool wf_ctext_pack(wf_ctext *f, const wf_call *call) {
    const wf_contract_attr *c = call->attr;
    if (c->compute) return false;
    const wf_contract_source *s = &c->source[0];
    const wf_array *b = &call->in[0];
    const int64_t cols = product(c, s->col_loops), panels = (cols + WF_PANEL - 1) / WF_PANEL;
    const int depth = f->depth;
    const char *type = wf_ctext_type(b->dtype);
    for (int l = 0; l < c->rank; l++)
        if ((s->batch_loops >> l & 1) && c->out[l] != 1)
            wf_ctext_open(f, "for (long i%d = 0; i%d < %lld; i%d++)", l, l, (long long)c->out[l],
                          l);
    wf_ctext_open(f, "for (long p = 0; p < %lld; p++)", (long long)panels);
    for (int k = 0; k < s->n_sum; k++)
        if (s->sum[k] != 1)
            wf_ctext_open(f, "for (long k%d = 0; k%d < %lld; k%d++)", k, k, (long long)s->sum[k],
                          k);
    wf_ctext_line(f, "%s *to = y + (((%s) * %lld + p) * %lld + %s) * 32;", type,
                  flat(c, s, s->batch_loops, 0, c->rank, NO_LOOP).s, (long long)panels,
                  (long long)terms(s), flat(c, s, UINT32_MAX, c->rank, s->n_sum, NO_LOOP).s);
    wf_ctext_open(f, "for (long j = 0; j < 32; j++)");
    wf_ctext_line(f, "const long n = p * 32 + j;");
    wf_ctext_line(f, "to[j] = 0;");
    wf_ctext_line(f, "if (n >= %lld) continue;", (long long)cols);
    write_columns(f, c, s->col_loops);
    wf_ctext_expr at = {""};
    for (int j = 0; j < s->rank_b; j++) {
        const wf_relation *r = &s->b[j];
        char name[16];
        snprintf(name, sizeof name, "b%d", j);
        wf_ctext_line(f, "const long b%dn = %s;", j, numerator(c, s, r).s);
        wf_ctext_line(f, "if (b%dn < 0 || b%dn >= %lld || b%dn %% %lld) continue;", j, j,
                      (long long)(b->shape.dim[j] * r->div), j, (long long)r->div);
        wf_ctext_line(f, "const long b%d = b%dn / %lld;", j, j, (long long)r->div);
        put_term(&at, b->stride[j], name);
    }
    wf_ctext_line(f, "to[j] = x0[%s];", or_zero(at).s);
    wf_ctext_close(f, depth);
    return true;
}
