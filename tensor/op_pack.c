/* pack: operand B of a contraction in the panel layout of the micro kernels, as a flat array. A
 * node of its own, so that a weight is packed once a step however many time steps multiply by it.
 *
 *   out[wf_packed_index(batch, k, n)] = B[relations of (batch, n, k)], 0 where an index is outside
 *                                       and in the columns past the last
 *
 * Computing in bf16 or f32x3, out is bf16 at wf_packed_half, and 0 in pairs without a second value.
 *
 * Attributes: those of a contraction with one source, of which B's relations, the sum loops and the
 * masks batch_loops and col_loops matter. Made by a compiler pass, after differentiation. */
#include <math.h>

#include "tensor/contract_plan.h"

/* --- infer ------------------------------------------------------------------------------------ */

static bool infer(wf_infer *q) {
    const wf_contract_attr *c = q->attr;
    const bool halves = c->compute > WF_COMPUTE_F32 && c->compute <= WF_COMPUTE_BF16;
    if (!halves && c->compute) return wf_infer_fail(q, "the mode of computing is broken");
    if (halves && q->in[0].dtype != WF_F32 && q->in[0].dtype != WF_BF16)
        return wf_infer_fail(q, "b is %s; it must be f32 or bf16", wf_dtype_name(q->in[0].dtype));
    if (!halves && !wf_dtype_is_real(q->in[0].dtype))
        return wf_infer_fail(q, "b is %s; it must be f32 or f64", wf_dtype_name(q->in[0].dtype));
    if (q->in[0].shape.rank != c->source[0].rank_b)
        return wf_infer_fail(q, "b has rank %d, expected %d", q->in[0].shape.rank,
                             c->source[0].rank_b);
    for (int l = 0; l < c->rank; l++)
        if (c->out[l] < 0) return wf_infer_fail(q, "an output loop has a negative extent");
    for (int k = 0; k < c->source[0].n_sum; k++)
        if (c->source[0].sum[k] < 0) return wf_infer_fail(q, "a sum loop has a negative extent");
    for (int j = 0; j < c->source[0].rank_b; j++)
        if (!wf_contract_check(q, &c->source[0], &c->source[0].b[j])) return false;
    if (!wf_contract_check_masks(q, &c->source[0])) return false;
    const int64_t n = wf_packed_count(c, &c->source[0]);
    if (n < 0) return wf_infer_fail(q, "the packed operand is too large");
    q->out.dtype = halves ? WF_BF16 : q->in[0].dtype;
    q->out.shape = WF_SHAPE(n);
    return true;
}

/* --- eval ------------------------------------------------------------------------------------- */

/* B at the given loop values, 0 outside. */
static double value_at(const wf_contract_source *s, const wf_array *b, const int64_t *v) {
    int64_t at = 0;
    for (int j = 0; j < s->rank_b; j++) {
        const wf_relation *r = &s->b[j];
        int64_t i = r->offset;
        if (r->a >= 0) i += r->ca * v[r->a];
        if (r->b >= 0) i += r->cb * v[r->b];
        if (i % r->div) return 0;
        i /= r->div;
        if (i < 0 || i >= b->shape.dim[j]) return 0;
        at += i * b->stride[j];
    }
    return wf_get(b, at);
}

/* Sets the loops in `mask` from a flattened row-major index. */
static void unflatten(const wf_contract_attr *c, uint32_t mask, int64_t i, int64_t *v) {
    for (int l = c->rank - 1; l >= 0; l--)
        if (mask >> l & 1) {
            v[l] = i % c->out[l];
            i /= c->out[l];
        }
}

/* x as a bf16 value. */
static double rounded(double x) {
    uint16_t half;
    wf_store(WF_BF16, &half, x);
    return wf_load(WF_BF16, &half);
}

/* Sets element i of k, n and the panel, in panels or in cells. */
static void put(const wf_call *call, int64_t panel, int64_t k, int64_t n, double x) {
    const wf_contract_attr *c = call->attr;
    const wf_contract_source *s = &c->source[0];
    if (c->compute == WF_COMPUTE_F32) {
        int64_t n_k = 1;
        for (int i = 0; i < s->n_sum; i++) n_k *= s->sum[i];
        wf_set(&call->out, ((panel * n_k + k) * WF_PANEL + n) * call->out.stride[0], x);
        return;
    }
    const wf_pairs p = wf_contract_pairs(s);
    const int parts = c->compute == WF_COMPUTE_F32X3 ? 2 : 1;
    double hi = rounded(x), lo = 0;
    if (parts == 2 && isfinite(x)) {
        if (isinf(hi)) hi = copysign(WF_BF16_MOST, x);
        lo = rounded(x - hi);
    }
    for (int part = 0; part < parts; part++)
        wf_set(&call->out, wf_packed_half(&p, parts, panel, k, n, part) * call->out.stride[0],
               part ? lo : hi);
}

static void eval(const wf_call *call) {
    const wf_contract_attr *c = call->attr;
    const wf_contract_source *s = &c->source[0];
    int64_t n_k = 1, n_cols = 1, n_batch = 1;
    for (int i = 0; i < s->n_sum; i++) n_k *= s->sum[i];
    for (int l = 0; l < c->rank; l++)
        if (s->col_loops >> l & 1) n_cols *= c->out[l];
        else if (s->batch_loops >> l & 1) n_batch *= c->out[l];
    const int64_t panels = (n_cols + WF_PANEL - 1) / WF_PANEL;
    const int64_t total = n_batch * panels * n_k * WF_PANEL;
    for (int64_t i = 0; c->compute && i < wf_shape_count(&call->out.shape); i++)
        wf_set(&call->out, i * call->out.stride[0], 0);
    for (int64_t i = 0; i < total; i++) {
        const int64_t k = i / WF_PANEL % n_k, panel = i / WF_PANEL / n_k;
        const int64_t n = panel % panels * WF_PANEL + i % WF_PANEL;
        int64_t v[WF_CONTRACT_LOOPS] = {0}, rest = k;
        unflatten(c, s->batch_loops, panel / panels, v);
        unflatten(c, s->col_loops, n, v);
        for (int l = s->n_sum - 1; l >= 0; l--) {
            v[c->rank + l] = rest % s->sum[l];
            rest /= s->sum[l];
        }
        put(call, panel, k, i % WF_PANEL, n < n_cols ? value_at(s, &call->in[0], v) : 0);
    }
}

/* --- kernel ----------------------------------------------------------------------------------- */

static bool applicable(const wf_call *call) {
    const wf_contract_attr *c = call->attr;
    return (call->out.dtype == WF_F32 || c->compute) && call->out.stride[0] == 1;
}

static int64_t pieces(const wf_call *call, int phase) {
    wf_contract_plan p;
    wf_source_plan sp;
    wf_contract_plan_pack(&p, &sp, call->attr, &call->in[0]);
    return sp.n_k == 0 ? 0 : p.batch * ((p.n + WF_PANEL - 1) / WF_PANEL);
}

static void run(const wf_call *call, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    wf_contract_plan p;
    wf_source_plan sp;
    wf_contract_plan_pack(&p, &sp, call->attr, &call->in[0]);
    float *out = call->out.data; /* or cells, of its size */
    for (int64_t i = first; i < last; i++)
        wf_contract_pack_panel(&p, &sp, i, scratch, out + i * sp.k_rows * WF_PANEL);
}

static size_t scratch_bytes(const wf_call *call) {
    wf_contract_plan p;
    wf_source_plan sp;
    wf_contract_plan_pack(&p, &sp, call->attr, &call->in[0]);
    return (size_t)sp.stage_floats * sizeof(float);
}

static const wf_fast fast = {.applicable = applicable, .phases = 1, .pieces = pieces,
                             .scratch_bytes = scratch_bytes, .run = run};

/* --- samples ---------------------------------------------------------------------------------- */

static wf_tensor packed_b(wf_tensor y, wf_tensor b) {
    return wf_ok(y) ? wf_contract_pack(y.graph, y.id, 0, b) : y;
}

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: {
        const wf_tensor w = s->make_real(s, WF_SHAPE(5, 3, 2, 2), -1, 1);
        const wf_tensor x = s->make_real(s, WF_SHAPE(1, 4, 4, 2), -1, 1);
        return packed_b(wf_conv(x, w, (wf_conv_opt){.pad = {1, 1}}), w);
    }
    case 1: {
        const wf_tensor b = s->make_real(s, WF_SHAPE(2, 1, 35), -1, 1);
        return packed_b(wf_matmul(s->make_real(s, WF_SHAPE(2, 3, 1), -1, 1), b), b);
    }
    case 2: {
        const wf_tensor b = s->make_real(s, WF_SHAPE(0, 3), -1, 1);
        return packed_b(wf_matmul(s->make_real(s, WF_SHAPE(4, 0), -1, 1), b), b);
    }
    default: return (wf_tensor){0};
    }
}

/* --- descriptor ------------------------------------------------------------------------------- */

const wf_op wf_op_pack = {
    .name = "pack",
    .kind = WF_KIND_OPAQUE,
    .min_in = 1,
    .max_in = 1,
    .infer = infer,
    .eval = eval,
    .no_grad_reason = "made by the compiler, after differentiation",
    .fast = &fast,
    .sample = sample,
    .print_attr = wf_pack_print,
    .parse_attr = wf_pack_parse,
};
