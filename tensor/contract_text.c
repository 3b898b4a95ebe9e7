/* The attributes of a contraction, and of a packed operand, as text:
 *
 *   contract {sum[3,3,5] A[o0,o1+k0-1,o2+k1-1,k2] B[o3,k0,k1,k2]}     a convolution
 *   contract {sum[9] A[o0,k0] B packed columns[o1] batch[]}           B in panels
 *   contract {compute=bf16 sum[9] A[o0,k0] B[k0,o1]}                  not in f32
 *   pack     {out[1,7] sum[9] B[k0,o1] columns[o1] batch[]}
 *
 * Output loops are o0, o1, ..., the sum loops of a source k0, k1, ...; each operand has a relation
 * for each axis, (o1+1-k0)/2 where it divides; "if 0<=o1+k0<9" is a guard; " + " stands between
 * sources. The extents of the output loops are the result's, and so is its dtype. */
#include <string.h>

#include "tensor/attr.h"
#include "tensor/contract.h"

/* --- writing ---------------------------------------------------------------------------------- */

static bool put_loop(wf_text *t, int rank, int64_t c, int l, bool first) {
    if (l < 0 || c == 0) return false;
    wf_text_put(t, c < 0 ? "-" : first ? "" : "+");
    if (c != 1 && c != -1) wf_text_put(t, "%lld", (long long)(c < 0 ? -c : c));
    wf_text_put(t, "%c%d", l < rank ? 'o' : 'k', l < rank ? l : l - rank);
    return true;
}

static void put_relation(wf_text *t, int rank, const wf_relation *r) {
    if (r->div != 1) wf_text_put(t, "(");
    const bool a = put_loop(t, rank, r->ca, r->a, true);
    const bool any = put_loop(t, rank, r->cb, r->b, !a) || a;
    if (r->offset || !any) wf_text_put(t, any ? "%+lld" : "%lld", (long long)r->offset);
    if (r->div != 1) wf_text_put(t, ")/%lld", (long long)r->div);
}

static void put_relations(wf_text *t, const char *name, int rank, const wf_relation *r, int n) {
    wf_text_put(t, "%s[", name);
    for (int j = 0; j < n; j++) {
        if (j) wf_text_put(t, ",");
        put_relation(t, rank, &r[j]);
    }
    wf_text_put(t, "]");
}

static void put_extents(wf_text *t, const char *name, const int64_t *extent, int n) {
    wf_text_put(t, "%s[", name);
    for (int i = 0; i < n; i++) wf_text_put(t, i ? ",%lld" : "%lld", (long long)extent[i]);
    wf_text_put(t, "]");
}

static void put_mask(wf_text *t, const char *name, uint32_t loops) {
    wf_text_put(t, " %s[", name);
    for (int l = 0, n = 0; l < WF_MAX_RANK; l++)
        if (loops >> l & 1) wf_text_put(t, n++ ? ",o%d" : "o%d", l);
    wf_text_put(t, "]");
}

static void put_compute(const wf_contract_attr *c, wf_text *t) {
    if (c->compute) wf_text_put(t, "compute=%s ", wf_compute_name(c->compute));
}

void wf_contract_print(const void *attr, wf_text *t) {
    const wf_contract_attr *c = attr;
    put_compute(c, t);
    for (int i = 0; i < c->n_sources; i++) {
        const wf_contract_source *s = &c->source[i];
        put_extents(t, i ? " + sum" : "sum", s->sum, s->n_sum);
        put_relations(t, " A", c->rank, s->a, s->rank_a);
        if (s->packed) {
            wf_text_put(t, " B packed");
            put_mask(t, "columns", s->col_loops);
            put_mask(t, "batch", s->batch_loops);
        } else {
            put_relations(t, " B", c->rank, s->b, s->rank_b);
        }
        for (int j = 0; j < s->n_guards; j++) {
            wf_text_put(t, " if 0<=");
            put_relation(t, c->rank, &s->guard[j].r);
            wf_text_put(t, "<%lld", (long long)s->guard[j].extent);
        }
    }
}

void wf_pack_print(const void *attr, wf_text *t) {
    const wf_contract_attr *c = attr;
    const wf_contract_source *s = &c->source[0];
    put_compute(c, t);
    put_extents(t, "out", c->out, c->rank);
    put_extents(t, " sum", s->sum, s->n_sum);
    put_relations(t, " B", c->rank, s->b, s->rank_b);
    put_mask(t, "columns", s->col_loops);
    put_mask(t, "batch", s->batch_loops);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* "o3" or "k0": the number of the loop. */
static bool read_loop(wf_scan *s, int rank, int n_sum, int32_t *loop) {
    wf_scan_blanks(s);
    const size_t first = s->at;
    const char kind = first < s->size ? s->text[first] : 0;
    int64_t l;
    if (kind != 'o' && kind != 'k') return wf_scan_fail(s, first, "expected a loop, o0 or k0");
    s->at++;
    if (!wf_scan_i64(s, 0, WF_CONTRACT_LOOPS, &l)) return false;
    if (l >= (kind == 'o' ? rank : n_sum))
        return wf_scan_fail(s, first, "there is no loop %c%d", kind, (int)l);
    *loop = (int32_t)(kind == 'o' ? l : rank + l);
    return true;
}

/* One term of a sum: a coefficient, a loop or both. */
static bool read_term(wf_scan *s, int rank, int n_sum, bool minus, wf_relation *r) {
    wf_scan_blanks(s);
    const size_t first = s->at;
    int64_t c = 1;
    int32_t loop;
    const bool digits = first < s->size && s->text[first] >= '0' && s->text[first] <= '9';
    if (digits && !wf_scan_i64(s, 0, INT64_MAX, &c)) return false;
    if (minus) c = -c;
    const char next = s->at < s->size ? s->text[s->at] : 0;
    if (digits && next != 'o' && next != 'k') {
        if (__builtin_add_overflow(r->offset, c, &r->offset))
            return wf_scan_fail(s, first, "the offset is too large");
        return true;
    }
    if (!read_loop(s, rank, n_sum, &loop)) return false;
    if (r->a < 0) r->a = loop, r->ca = c;
    else if (r->b < 0) r->b = loop, r->cb = c;
    else return wf_scan_fail(s, first, "a relation has at most two loops");
    return true;
}

static bool read_relation(wf_scan *s, int rank, int n_sum, wf_relation *r) {
    *r = (wf_relation){.div = 1, .a = -1, .b = -1};
    const bool divided = wf_scan_accept(s, "(");
    bool minus = wf_scan_accept(s, "-");
    do {
        if (!read_term(s, rank, n_sum, minus, r)) return false;
        minus = wf_scan_is(s, "-");
    } while (wf_scan_accept(s, "+") || wf_scan_accept(s, "-"));
    return !divided || (wf_scan_expect(s, ")") && wf_scan_expect(s, "/") &&
                        wf_scan_i64(s, 1, INT64_MAX, &r->div));
}

static bool read_relations(wf_scan *s, const char *name, int rank, int n_sum, wf_relation *r,
                           int32_t *n) {
    if (!wf_scan_expect(s, name) || !wf_scan_expect(s, "[")) return false;
    *n = 0;
    if (wf_scan_accept(s, "]")) return true;
    do {
        if (*n == WF_MAX_RANK)
            return wf_scan_fail(s, s->at, "an operand has at most %d axes", WF_MAX_RANK);
        if (!read_relation(s, rank, n_sum, &r[(*n)++])) return false;
    } while (wf_scan_accept(s, ","));
    return wf_scan_expect(s, "]");
}

static bool read_extents(wf_scan *s, const char *name, int64_t *extent, int most, int32_t *n) {
    if (!wf_scan_expect(s, name) || !wf_scan_expect(s, "[")) return false;
    *n = 0;
    if (wf_scan_accept(s, "]")) return true;
    do {
        if (*n == most) return wf_scan_fail(s, s->at, "at most %d loops are possible", most);
        if (!wf_scan_i64(s, 0, INT64_MAX, &extent[(*n)++])) return false;
    } while (wf_scan_accept(s, ","));
    return wf_scan_expect(s, "]");
}

static bool read_mask(wf_scan *s, const char *name, int rank, uint32_t *loops) {
    int32_t l;
    *loops = 0;
    if (!wf_scan_expect(s, name) || !wf_scan_expect(s, "[")) return false;
    if (wf_scan_accept(s, "]")) return true;
    do {
        if (!read_loop(s, rank, 0, &l)) return false;
        *loops |= 1u << l;
    } while (wf_scan_accept(s, ","));
    return wf_scan_expect(s, "]");
}

static bool read_guards(wf_scan *s, int rank, wf_contract_source *to) {
    while (wf_scan_accept(s, "if")) {
        if (to->n_guards == WF_CONTRACT_GUARDS)
            return wf_scan_fail(s, s->at, "at most %d guards are possible", WF_CONTRACT_GUARDS);
        wf_guard *g = &to->guard[to->n_guards++];
        if (!wf_scan_expect(s, "0<=") || !read_relation(s, rank, to->n_sum, &g->r) ||
            !wf_scan_expect(s, "<") || !wf_scan_i64(s, 0, INT64_MAX, &g->extent))
            return false;
    }
    return true;
}

static bool read_source(wf_scan *s, int rank, wf_contract_source *to) {
    if (!read_extents(s, "sum", to->sum, WF_CONTRACT_SUMS, &to->n_sum) ||
        !read_relations(s, "A", rank, to->n_sum, to->a, &to->rank_a))
        return false;
    if (wf_scan_accept(s, "B packed")) {
        to->packed = 1;
        if (!read_mask(s, "columns", rank, &to->col_loops) ||
            !read_mask(s, "batch", rank, &to->batch_loops))
            return false;
    } else if (!read_relations(s, "B", rank, to->n_sum, to->b, &to->rank_b)) {
        return false;
    }
    return read_guards(s, rank, to);
}

static bool read_compute(wf_scan *s, int32_t *compute) {
    char name[16];
    if (!wf_scan_accept(s, "compute=")) return true;
    const size_t at = s->at;
    if (!wf_scan_word(s, name, sizeof name, "a mode")) return false;
    for (*compute = WF_COMPUTE_BF16; *compute >= 0; --*compute)
        if (strcmp(name, wf_compute_name(*compute)) == 0) return true;
    return wf_scan_fail(s, at, "expected f32, f32x3 or bf16");
}

bool wf_contract_parse(wf_attr_parse *p) {
    wf_scan *s = p->scan;
    const int n = p->n_in / 2;
    if (p->n_in % 2) return wf_scan_fail(s, s->at, "contract takes two operands for each source");
    wf_contract_attr *c = wf_attr_room(p, wf_contract_attr_bytes(n));
    if (!c) return false;
    c->n_sources = n;
    c->rank = p->out->shape.rank;
    c->narrow = p->out->dtype == WF_BF16;
    for (int l = 0; l < c->rank; l++) c->out[l] = p->out->shape.dim[l];
    if (!read_compute(s, &c->compute)) return false;
    for (int i = 0; i < n; i++)
        if ((i && !wf_scan_expect(s, "+")) || !read_source(s, c->rank, &c->source[i])) return false;
    return true;
}

bool wf_pack_parse(wf_attr_parse *p) {
    wf_scan *s = p->scan;
    wf_contract_attr *c = wf_attr_room(p, wf_contract_attr_bytes(1));
    if (!c) return false;
    wf_contract_source *to = &c->source[0];
    c->n_sources = 1;
    return read_compute(s, &c->compute) && read_extents(s, "out", c->out, WF_MAX_RANK, &c->rank) &&
           read_extents(s, "sum", to->sum, WF_CONTRACT_SUMS, &to->n_sum) &&
           read_relations(s, "B", c->rank, to->n_sum, to->b, &to->rank_b) &&
           read_mask(s, "columns", c->rank, &to->col_loops) &&
           read_mask(s, "batch", c->rank, &to->batch_loops);
}
