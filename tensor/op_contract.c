/* contract: the sum of products; index formula and attributes in tensor/contract.h.
 *
 * Evaluation is in contract_eval.c, the gradient in contract_grad.c, the fast path in
 * contract_plan.c and contract_run.c. Constructors: conv.c, einsum.c (and matmul), contract_join.c.
 */
#include <string.h>

#include "tensor/contract.h"
#include "tensor/size.h"

/* --- attributes ------------------------------------------------------------------------------- */

uint32_t wf_relation_loops(const wf_relation *r, int n) {
    uint32_t loops = 0;
    for (int j = 0; j < n; j++) {
        if (r[j].a >= 0 && r[j].ca) loops |= 1u << r[j].a;
        if (r[j].b >= 0 && r[j].cb) loops |= 1u << r[j].b;
    }
    return loops;
}

const char *wf_compute_name(int compute) {
    static const char *const name[] = {"f32", "f32x3", "bf16"};
    return compute >= 0 && compute < (int)WF_COUNT(name) ? name[compute] : "unknown";
}

enum { RUN_LONG = 16, K_ONE_RUN = 1024 };

wf_pairs wf_contract_pairs(const wf_contract_source *s) {
    int64_t n_k = 1;
    int last = -1;
    for (int k = 0; k < s->n_sum; k++) {
        n_k *= s->sum[k];
        if (s->sum[k] > 1) last = k;
    }
    wf_pairs p = {.run = last < 0 ? 1 : s->sum[last], .loop = last};
    if (p.run % 2 && p.run < RUN_LONG && n_k > p.run && n_k <= K_ONE_RUN) {
        p.run = n_k;
        p.loop = -1;
    }
    p.cells = n_k / p.run * ((p.run + 1) / 2);
    return p;
}

int64_t wf_packed_count(const wf_contract_attr *c, const wf_contract_source *s) {
    int64_t batch = 1, n = 1, k = 1, count;
    for (int l = 0; l < c->rank; l++) {
        if (s->batch_loops >> l & 1 && !wf_mul_i64(batch, c->out[l], &batch)) return -1;
        if (s->col_loops >> l & 1 && !wf_mul_i64(n, c->out[l], &n)) return -1;
    }
    for (int i = 0; i < s->n_sum; i++)
        if (!wf_mul_i64(k, s->sum[i], &k)) return -1;
    if (c->compute) {
        if (k > INT64_MAX / 8) return -1;
        k = wf_contract_pairs(s).cells * (c->compute == WF_COMPUTE_F32X3 ? 4 : 2);
    }
    if (!wf_add_i64(n, WF_PANEL - 1, &n)) return -1;
    n -= n % WF_PANEL;
    if (!wf_mul_i64(batch, k, &count) || !wf_mul_i64(count, n, &count)) return -1;
    return count;
}

/* --- infer ------------------------------------------------------------------------------------ */

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

/* |coef| (extent - 1) added to *reach, which stays far from overflow. */
static bool reach_of(const wf_contract_attr *c, const wf_contract_source *s, int l, int64_t coef,
                     int64_t *reach) {
    if (l < 0) return coef == 0;
    if (l >= c->rank + s->n_sum || coef == INT64_MIN) return false;
    int64_t span;
    return wf_mul_i64(magnitude(coef), wf_loop_extent(c, s, l), &span) &&
           wf_add_i64(*reach, span, reach);
}

bool wf_contract_check(wf_infer *q, const wf_contract_source *s, const wf_relation *r) {
    const wf_contract_attr *c = q->attr;
    if (r->offset == INT64_MIN || r->div < 1)
        return wf_infer_fail(q, "an index relation is broken");
    int64_t reach = magnitude(r->offset);
    if (!reach_of(c, s, r->a, r->ca, &reach) || !reach_of(c, s, r->b, r->cb, &reach) ||
        reach > INT64_MAX / 4)
        return wf_infer_fail(q, "an index relation reaches too far");
    return true;
}

bool wf_contract_check_masks(wf_infer *q, const wf_contract_source *s) {
    const wf_contract_attr *c = q->attr;
    const uint32_t both = s->batch_loops | s->col_loops;
    if (s->batch_loops & s->col_loops || both >> c->rank)
        return wf_infer_fail(q, "the loops of a packed operand are broken");
    return true;
}

/* In f32 all operands are of one dtype; else each is f32 or bf16, a packed one bf16. */
static bool check_dtypes(wf_infer *q, int i) {
    const wf_contract_attr *c = q->attr;
    for (int side = 0; side < 2; side++) {
        const wf_dtype t = q->in[2 * i + side].dtype;
        const bool packed = side == 1 && c->source[i].packed;
        if (!c->compute && t != q->in[0].dtype)
            return wf_infer_fail(q, "operands must be of one dtype, got %s and %s",
                                 wf_dtype_name(q->in[0].dtype), wf_dtype_name(t));
        if (c->compute && (packed || t != WF_F32) && t != WF_BF16)
            return wf_infer_fail(q, "%s is %s; in %s it must be %s", packed ? "a packed operand"
                                 : "an operand", wf_dtype_name(t), wf_compute_name(c->compute),
                                 packed ? "bf16" : "f32 or bf16");
    }
    return true;
}

static bool check_source(wf_infer *q, int i) {
    const wf_contract_attr *c = q->attr;
    const wf_contract_source *s = &c->source[i];
    const wf_type *a = &q->in[2 * i], *b = &q->in[2 * i + 1];
    if (s->n_sum < 0 || s->n_sum > WF_CONTRACT_SUMS || s->n_guards < 0 ||
        s->n_guards > WF_CONTRACT_GUARDS || s->rank_a < 0 || s->rank_a > WF_MAX_RANK ||
        s->rank_b < 0 || s->rank_b > WF_MAX_RANK)
        return wf_infer_fail(q, "source %d has broken attributes", i);
    if (!check_dtypes(q, i)) return false;
    if (a->shape.rank != s->rank_a || b->shape.rank != (s->packed ? 1 : s->rank_b))
        return wf_infer_fail(q, "source %d expects operands of rank %d and %d, got %d and %d", i,
                             s->rank_a, s->packed ? 1 : s->rank_b, a->shape.rank, b->shape.rank);
    for (int k = 0; k < s->n_sum; k++)
        if (s->sum[k] < 0) return wf_infer_fail(q, "a sum loop has a negative extent");
    if (s->packed && !wf_contract_check_masks(q, s)) return false;
    if (s->packed && wf_packed_count(c, s) != b->shape.dim[0])
        return wf_infer_fail(q, "the packed operand of source %d has %lld elements, expected %lld",
                             i, (long long)b->shape.dim[0], (long long)wf_packed_count(c, s));
    for (int j = 0; j < s->rank_a; j++)
        if (!wf_contract_check(q, s, &s->a[j])) return false;
    for (int j = 0; j < s->rank_b && !s->packed; j++)
        if (!wf_contract_check(q, s, &s->b[j])) return false;
    for (int j = 0; j < s->n_guards; j++)
        if (!wf_contract_check(q, s, &s->guard[j].r)) return false;
    return true;
}

static bool infer(wf_infer *q) {
    const wf_contract_attr *c = q->attr;
    if (c->n_sources < 1 || q->n_in != 2 * c->n_sources || c->rank < 0 || c->rank > WF_MAX_RANK)
        return wf_infer_fail(q, "takes two operands for each source");
    if (c->compute < WF_COMPUTE_F32 || c->compute > WF_COMPUTE_BF16 || c->narrow < 0 ||
        c->narrow > 1 || (c->narrow && !c->compute))
        return wf_infer_fail(q, "the mode of computing is broken");
    if (!c->compute && !wf_dtype_is_real(q->in[0].dtype))
        return wf_infer_fail(q, "operands are %s; they must be f32 or f64",
                             wf_dtype_name(q->in[0].dtype));
    q->out.dtype = !c->compute ? q->in[0].dtype : c->narrow ? WF_BF16 : WF_F32;
    q->out.shape = wf_shape_make(c->rank, c->out);
    for (int i = 0; i < c->n_sources; i++)
        if (!check_source(q, i)) return false;
    return true;
}

/* --- eval ------------------------------------------------------------------------------------- */

static void eval(const wf_call *c) {
    const int64_t n = wf_shape_count(&c->out.shape);
    if (n > 0) wf_contract_eval(c, 0, n);
}

/* --- samples ---------------------------------------------------------------------------------- */

static wf_tensor real(wf_sampler *s, wf_shape shape) { return s->make_real(s, shape, -1, 1); }

static wf_tensor conv_sample(wf_sampler *s, wf_shape x, wf_shape w, wf_conv_opt o) {
    return wf_conv(real(s, x), real(s, w), o);
}

static wf_tensor transpose_sample(wf_sampler *s, wf_shape x, wf_shape w, wf_conv_opt o) {
    return wf_conv_transpose(real(s, x), real(s, w), o, NULL);
}

static wf_tensor einsum_sample(wf_sampler *s, const char *spec, wf_shape a, wf_shape b) {
    const wf_tensor x[2] = {real(s, a), real(s, b)};
    return wf_einsum(spec, x, 2);
}

static wf_tensor sample_conv(wf_sampler *s, int i) {
    switch (i) {
    case 0: return conv_sample(s, WF_SHAPE(2, 4, 5, 3), WF_SHAPE(2, 3, 3, 3),
                               (wf_conv_opt){.pad = {1, 1}});
    case 1: return conv_sample(s, WF_SHAPE(1, 7, 6, 2), WF_SHAPE(3, 3, 2, 2),
                               (wf_conv_opt){.stride = {2, 3}, .pad = {1, 0}});
    case 2: return conv_sample(s, WF_SHAPE(1, 6, 7, 1), WF_SHAPE(2, 2, 3, 1),
                               (wf_conv_opt){.dilation = {2, 2}, .pad = {2, 1}});
    case 3: return conv_sample(s, WF_SHAPE(2, 5, 4), WF_SHAPE(6, 3, 2),
                               (wf_conv_opt){.groups = 2, .pad = {1}, .stride = {2}});
    case 4: return conv_sample(s, WF_SHAPE(1, 3, 4, 3, 2), WF_SHAPE(1, 2, 2, 3, 2),
                               (wf_conv_opt){.pad = {0, 1, 1}, .stride = {1, 2, 1}});
    case 5: return conv_sample(s, WF_SHAPE(1, 4, 4, 1), WF_SHAPE(2, 2, 2, 1),
                               (wf_conv_opt){.pad = {0, 1}, .pad_after = {1, 0},
                                             .use_pad_after = true});
    case 6: return conv_sample(s, WF_SHAPE(0, 4, 4, 2), WF_SHAPE(3, 3, 3, 2), (wf_conv_opt){0});
    case 7: return conv_sample(s, WF_SHAPE(2, 3, 3, 3), WF_SHAPE(3, 3, 3, 1),
                               (wf_conv_opt){.groups = 3, .pad = {1, 1}});
    case 8: return transpose_sample(s, WF_SHAPE(1, 3, 2, 2), WF_SHAPE(2, 3, 3, 3),
                                    (wf_conv_opt){.stride = {2, 2}, .pad = {1, 1}});
    case 9: return transpose_sample(s, WF_SHAPE(2, 4, 4), WF_SHAPE(4, 3, 2),
                                    (wf_conv_opt){.groups = 2, .dilation = {2}});
    default: {
        const int32_t out_pad[3] = {1, 0, 0};
        return wf_conv_transpose(real(s, WF_SHAPE(1, 3, 3, 1)), real(s, WF_SHAPE(1, 2, 3, 2)),
                                 (wf_conv_opt){.stride = {2, 1}, .pad = {0, 1}}, out_pad);
    }
    }
}

static wf_tensor sample_two_sources(wf_sampler *s) {
    const wf_conv_opt o = {.pad = {1, 1}};
    const wf_tensor wide = wf_conv(real(s, WF_SHAPE(1, 4, 3, 2)), real(s, WF_SHAPE(3, 3, 3, 2)), o);
    const wf_tensor point = wf_conv(real(s, WF_SHAPE(1, 4, 3, 5)), real(s, WF_SHAPE(3, 1, 1, 5)),
                                    (wf_conv_opt){0});
    return wf_contract_join(wide, point);
}

/* The contraction y in f32x3 or bf16, which take f32 operands only. */
static wf_tensor recast(wf_tensor y, wf_compute compute) {
    if (!wf_ok(y) || wf_dtype_of(y) != WF_F32) return y;
    const uint32_t *from = wf_node_in(y.graph, y.id);
    const wf_tensor in[2] = {wf_handle(y.graph, from[0]), wf_handle(y.graph, from[1])};
    return wf_contract_recast(y.graph, y.id, in, compute, false);
}

static wf_tensor sample_mode(wf_sampler *s, int i) {
    const wf_compute compute = i % 2 ? WF_COMPUTE_F32X3 : WF_COMPUTE_BF16;
    switch (i / 2) {
    case 0: return recast(conv_sample(s, WF_SHAPE(2, 4, 5, 3), WF_SHAPE(2, 3, 3, 3),
                                      (wf_conv_opt){.pad = {1, 1}}), compute);
    case 1: return recast(wf_matmul(real(s, WF_SHAPE(30, 8)), real(s, WF_SHAPE(8, 40))), compute);
    default: return recast(wf_matmul(real(s, WF_SHAPE(3, 5)), real(s, WF_SHAPE(5, 7))), compute);
    }
}

static wf_tensor sample(wf_sampler *s, int i) {
    if (i < 11) return sample_conv(s, i);
    switch (i) {
    case 11: return wf_matmul(real(s, WF_SHAPE(3, 5)), real(s, WF_SHAPE(5, 7)));
    case 12: return wf_matmul(real(s, WF_SHAPE(2, 1, 3, 4)), real(s, WF_SHAPE(3, 4, 2)));
    case 13: return wf_matmul(real(s, WF_SHAPE(4)), real(s, WF_SHAPE(4, 3)));
    case 14: return wf_matmul(real(s, WF_SHAPE(2, 3, 4)), real(s, WF_SHAPE(4)));
    case 15: return wf_matmul(real(s, WF_SHAPE(5)), real(s, WF_SHAPE(5)));
    case 16: return wf_matmul(real(s, WF_SHAPE(3, 0)), real(s, WF_SHAPE(0, 2)));
    case 17: return wf_matmul(real(s, WF_SHAPE(0, 3)), real(s, WF_SHAPE(3, 2)));
    case 18: return einsum_sample(s, "bij,bjk->bik", WF_SHAPE(2, 3, 4), WF_SHAPE(2, 4, 3));
    case 19: return einsum_sample(s, "ij,kj", WF_SHAPE(3, 4), WF_SHAPE(2, 4));
    case 20: return einsum_sample(s, "i,j->ji", WF_SHAPE(3), WF_SHAPE(4));
    case 21: return einsum_sample(s, "ii,ij->j", WF_SHAPE(3, 3), WF_SHAPE(3, 2));
    case 22: return einsum_sample(s, "ijk,l->kl", WF_SHAPE(2, 3, 2), WF_SHAPE(2));
    case 23: {
        const wf_tensor x = real(s, WF_SHAPE(4, 4));
        return wf_einsum("ii->i", &x, 1);
    }
    case 24: {
        const wf_tensor x = real(s, WF_SHAPE(2, 3, 4));
        return wf_einsum("ijk->ki", &x, 1);
    }
    case 25: return sample_two_sources(s);
    case 26: return wf_matmul(real(s, WF_SHAPE(9, 1)), real(s, WF_SHAPE(1, 1)));
    case 27: case 28: case 29: case 30: case 31: case 32: return sample_mode(s, i - 27);
    default: return (wf_tensor){0};
    }
}

/* --- descriptor ------------------------------------------------------------------------------- */

const wf_op wf_op_contract = {
    .name = "contract",
    .kind = WF_KIND_CONTRACT,
    .min_in = 2,
    .max_in = -1,
    .infer = infer,
    .eval = eval,
    .grad = wf_contract_grad,
    .fast = &wf_contract_fast,
    .sample = sample,
    .print_attr = wf_contract_print,
    .parse_attr = wf_contract_parse,
};

/* --- constructor ------------------------------------------------------------------------------ */

wf_tensor wf_contract_in(wf_compute compute, bool narrow, wf_shape out,
                         const wf_contract_source *s, wf_tensor a, wf_tensor b) {
    union {
        wf_contract_attr c;
        char bytes[sizeof(wf_contract_attr) + sizeof(wf_contract_source)];
    } u;
    memset(&u, 0, sizeof u);
    u.c.n_sources = 1;
    u.c.rank = out.rank;
    u.c.compute = (int32_t)compute;
    u.c.narrow = narrow;
    if (out.rank < 0 || out.rank > WF_MAX_RANK)
        return wf_graph_fail(a.graph ? a.graph : b.graph,
                             "contract: the result would have rank %d, more than %d", out.rank,
                             WF_MAX_RANK);
    for (int l = 0; l < out.rank; l++) u.c.out[l] = out.dim[l];
    memcpy(u.bytes + sizeof(wf_contract_attr), s, sizeof *s);
    const wf_tensor in[2] = {a, b};
    return wf_emit(NULL, &wf_op_contract, u.bytes, sizeof u.bytes, in, 2);
}

wf_tensor wf_contract(wf_shape out, const wf_contract_source *s, wf_tensor a, wf_tensor b) {
    return wf_contract_in(WF_COMPUTE_F32, false, out, s, a, b);
}
