/* permute: the axes in another order.
 *
 *   out[i_0, .., i_(r-1)] = x[j],  where j[perm[k]] = i_k */
#include <string.h>

#include "tensor/graph.h"
#include "tensor/view.h"

/* --- attributes: axis k of out is axis perm[k] of x ------------------------------------------ */

static const wf_field fields[] = {
    WF_FIELD(LIST32, wf_permute_attr, perm, .n = WF_MAX_RANK,
             .count = offsetof(wf_permute_attr, rank)),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_permute_attr *a = q->attr;
    const wf_type *x = &q->in[0];
    const int rank = x->shape.rank;
    bool seen[WF_MAX_RANK] = {false};
    if (a->rank != rank)
        return wf_infer_fail(q, "perm has %d entries, x has rank %d", a->rank, rank);
    q->out = (wf_type){x->dtype, wf_shape_make(rank, x->shape.dim)};
    for (int k = 0; k < rank; k++) {
        const int32_t p = a->perm[k];
        if (p < 0 || p >= rank)
            return wf_infer_fail(q, "perm[%d] = %d is outside [0, %d)", k, p, rank);
        if (seen[p]) return wf_infer_fail(q, "axis %d appears twice in perm", p);
        seen[p] = true;
        q->out.shape.dim[k] = x->shape.dim[p];
    }
    return true;
}

/* --- view ------------------------------------------------------------------------------------ */

static bool view(const void *attr, const wf_array *x, wf_array *out) {
    const wf_permute_attr *a = attr;
    out->data = x->data;
    for (int k = 0; k < out->shape.rank; k++) out->stride[k] = x->stride[a->perm[k]];
    return true;
}

/* --- gradient: the inverse permutation ------------------------------------------------------- */

static void grad(const wf_grad_call *c) {
    if (!c->wanted[0]) return;
    const wf_permute_attr *a = c->attr;
    int inverse[WF_MAX_RANK] = {0};
    for (int k = 0; k < wf_rank(c->x[0]); k++) inverse[a->perm[k]] = k;
    c->gx[0] = wf_permute(c->g, inverse);
}

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_permute(s->make_real(s, WF_SHAPE(2, 3, 5), -2, 2), (const int[]){2, 0, 1});
    case 1: return wf_permute(s->make_real(s, WF_SHAPE(3, 1, 2, 3), -2, 2),
                              (const int[]){0, 3, 1, 2});
    case 2: return wf_permute(s->make_real(s, WF_SHAPE(3, 0, 2), -2, 2), (const int[]){1, 2, 0});
    case 3: return wf_transpose(s->make_real(s, WF_SHAPE(7, 5), -2, 2), -1, 0);
    case 4: return wf_permute(s->make_real(s, WF_SCALAR, -2, 2), (const int[]){0});
    case 5: return wf_permute(s->make_real(s, WF_SHAPE(1, 1), -2, 2), (const int[]){1, 0});
    case 6: return wf_transpose(s->make_index(s, WF_I32, WF_SHAPE(4, 3, 2), 9), 1, 2);
    case 7: return wf_transpose(s->make_bool(s, WF_SHAPE(3, 5)), 0, 1);
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructors ------------------------------------------------------------- */

const wf_op wf_op_permute = {
    .name = "permute",
    .kind = WF_KIND_VIEW,
    .min_in = 1,
    .max_in = 1,
    .infer = infer,
    .eval = wf_view_eval,
    .grad = grad,
    .view = view,
    .fast = &wf_view_fast,
    .sample = sample,
    .fields = fields,
    .attr_bytes = sizeof(wf_permute_attr),
};

wf_tensor wf_permute(wf_tensor x, const int *perm) {
    wf_permute_attr a = {.rank = wf_rank(x)};
    if (a.rank > 0 && !perm) return wf_graph_fail(x.graph, "permute: perm is NULL");
    for (int k = 0; k < a.rank; k++) a.perm[k] = perm[k];
    return wf_emit1(&wf_op_permute, &a, sizeof a, x);
}

wf_tensor wf_transpose(wf_tensor x, int a, int b) {
    const int rank = wf_rank(x);
    if (!wf_ok(x)) return wf_permute(x, NULL);
    if (a < -rank || a >= rank || b < -rank || b >= rank)
        return wf_graph_fail(x.graph, "transpose: axes %d and %d of a value of rank %d", a, b,
                             rank);
    int perm[WF_MAX_RANK];
    for (int k = 0; k < rank; k++) perm[k] = k;
    a = wf_axis_of(a, rank);
    b = wf_axis_of(b, rank);
    perm[a] = b;
    perm[b] = a;
    return wf_permute(x, perm);
}
