/* prod: out[k] = product over r of x[k, r]; empty: 1. Real products accumulate in f64 and are
 * rounded once; integer products wrap around in their dtype. */
#include "tensor/reduce.h"

/* --- infer ---------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) { return wf_reduce_infer(q, true); }

/* --- eval ----------------------------------------------------------------------------------- */

static double prod_real(const wf_array *x) {
    double prod = 1;
    int64_t r[WF_MAX_RANK] = {0};
    do prod *= wf_get(x, wf_offset(x, r));
    while (wf_next_index(&x->shape, r));
    return prod;
}

static uint64_t prod_integer(const wf_array *x) {
    uint64_t prod = 1;
    int64_t r[WF_MAX_RANK] = {0};
    do {
        const void *p = wf_at(x, wf_offset(x, r));
        prod *= x->dtype == WF_I32 ? (uint64_t)*(const int32_t *)p : (uint64_t)*(const int64_t *)p;
    } while (wf_next_index(&x->shape, r));
    return prod;
}

static void eval(const wf_call *c) { wf_reduce_eval(c, prod_real, prod_integer, 1); }

/* --- gradient ----------------------------------------------------------------------------------
 * gx[k, r] = g[k] times the product of the others, which must not be y / x: x may be 0. The product
 * is written as a tree over halves, t' = a * b (* is elementwise, an odd last element rises as it
 * is), and the cotangent e walks down it: ea = e' * b, eb = e' * a. That is right with any number
 * of zeros, log2 n levels deep, and made of operations that have gradients of every order. */

#define MAX_LEVELS 64

/* x as (kept, reduced), both flattened; *perm is the order of axes that does it. */
static wf_tensor to_rows(wf_tensor x, uint32_t mask, int perm[WF_MAX_RANK], wf_shape *permuted,
                         int64_t *n_red) {
    const wf_shape s = wf_shape_of_tensor(x);
    int n = 0;
    for (int i = 0; i < s.rank; i++)
        if (!(mask >> i & 1)) perm[n++] = i;
    *n_red = 1;
    for (int i = 0; i < s.rank; i++)
        if (mask >> i & 1) perm[n++] = i, *n_red *= s.dim[i];
    *permuted = s;
    for (int i = 0; i < s.rank; i++) permuted->dim[i] = s.dim[perm[i]];
    return wf_reshape(wf_permute(x, perm), WF_SHAPE(wf_count(x) / *n_red, *n_red));
}

static void grad(const wf_grad_call *c) {
    const wf_dtype dtype = wf_dtype_of(c->x[0]);
    const wf_tensor x = dtype == WF_BF16 ? wf_cast(c->x[0], WF_F32) : c->x[0];
    if (wf_count(x) == 0 || !wf_dtype_is_real(wf_dtype_of(x))) {
        c->gx[0] = wf_dtype_is_real(wf_dtype_of(x)) ? wf_zeros_like(c->x[0]) : WF_NONE;
        return;
    }
    const int rank = wf_rank(x);
    int perm[WF_MAX_RANK] = {0}, inverse[WF_MAX_RANK] = {0};
    wf_shape permuted;
    int64_t n[MAX_LEVELS];
    wf_tensor t[MAX_LEVELS];
    t[0] = to_rows(x, wf_reduce_mask(c->attr, rank), perm, &permuted, &n[0]);

    int top = 0;
    for (; n[top] > 1; top++) {
        const int64_t half = n[top] / 2, odd = n[top] % 2;
        const wf_tensor a = wf_slice(t[top], 1, 0, half, 1);
        const wf_tensor b = wf_slice(t[top], 1, half, half, 1);
        const wf_tensor up[2] = {wf_mul(a, b), odd ? wf_slice(t[top], 1, 2 * half, 1, 1) : a};
        t[top + 1] = odd ? wf_concat(up, 2, 1) : up[0];
        n[top + 1] = half + odd;
    }
    wf_tensor e = wf_reshape(c->g, WF_SHAPE(wf_count(c->g), 1));
    for (int level = top - 1; level >= 0; level--) {
        const int64_t half = n[level] / 2, odd = n[level] % 2;
        const wf_tensor a = wf_slice(t[level], 1, 0, half, 1);
        const wf_tensor b = wf_slice(t[level], 1, half, half, 1);
        const wf_tensor pair = odd ? wf_slice(e, 1, 0, half, 1) : e;
        const wf_tensor down[3] = {wf_mul(pair, b), wf_mul(pair, a),
                                   odd ? wf_slice(e, 1, half, 1, 1) : a};
        e = wf_concat(down, 2 + (int)odd, 1);
    }
    for (int i = 0; i < rank; i++) inverse[perm[i]] = i;
    c->gx[0] = wf_cast(wf_permute(wf_reshape(e, permuted), inverse), dtype);
}

/* --- samples -------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) { return wf_reduce_sample(&wf_op_prod, s, i); }

/* --- descriptor ----------------------------------------------------------------------------- */

const wf_op wf_op_prod = {
        .name = "prod",
        .kind = WF_KIND_REDUCE,
        .min_in = 1,
        .max_in = 1,
        .infer = infer,
        .eval = eval,
        .grad = grad,
        .sample = sample,
        .fields = wf_reduce_fields,
        .attr_bytes = sizeof(wf_reduce_attr),
};

/* --- constructor ---------------------------------------------------------------------------- */

wf_tensor wf_prod(wf_tensor x, wf_reduce_opt o) { return wf_reduce_emit(&wf_op_prod, x, o); }
