/* What random graphs are made of. */
#include <criterion/criterion.h>

#include "autograd/autograd.h"
#include "tests/fuzz/graph.h"
#include "tests/sampler.h"

static wf_tensor some(fuzz_graph *f) {
    const wf_tensor x = fuzz_any(f, f->real);
    return wf_ok(x) ? x : fuzz_leaf_new(f, f->real, WF_SHAPE(3, 5), -2, 2);
}
static wf_tensor real(fuzz_graph *f, wf_shape s) { return fuzz_operand(f, s, -2, 2); }
/* A weight: so small that sums over k terms stay of moderate size. */
static wf_tensor weight(fuzz_graph *f, wf_shape s) {
    return fuzz_chance(f, 80) ? fuzz_leaf_new(f, f->real, s, -0.5, 0.5) : real(f, s);
}
static int64_t small(fuzz_graph *f) { return 1 + fuzz_draw(f, 6); }

/* --- the table -------------------------------------------------------------------------------- */

static int samples_of(const wf_op *op, wf_dtype t);

static void from_table(fuzz_graph *f) {
    static int n_ops;
    const wf_op *const *all = wf_all_ops();
    while (n_ops == 0 || all[n_ops]) n_ops++;
    const wf_op *op;
    do op = all[fuzz_draw(f, (uint32_t)n_ops)];
    while (!op->sample || op->kind == WF_KIND_ASSIGN);
    const wf_shape s = wf_shape_of_tensor(some(f));
    const bool wide = op->kind == WF_KIND_ELEMENTWISE && fuzz_chance(f, 70);
    f->force = wide ? &s : NULL;
    f->broadcast = wide && op->max_in > 0;
    f->forced = 0;
    const int i = (int)fuzz_draw(f, (uint32_t)samples_of(op, f->real));
    const wf_tensor y = op->sample(&f->base, i);
    f->force = NULL;
    fuzz_admit(f, y);
}

/* Counted on leaves of their own, once for each dtype. */
static int samples_of(const wf_op *op, wf_dtype t) {
    static int counts[WF_N_DTYPE][512];
    size_t k = 0;
    while (wf_all_ops()[k] != op) k++;
    cr_assert(k < 512);
    int *count = &counts[t][k];
    while (*count == 0) {
        int n = 0;
        for (bool more = true; more; n += more) {
            test_sampler scratch;
            sampler_init(&scratch, t, 1);
            more = wf_ok(op->sample(&scratch.base, n));
            sampler_free(&scratch);
        }
        *count = n;
    }
    return *count;
}

/* Elementwise operations on values of one shape, several of them in a row. */
static void chain(fuzz_graph *f) {
    const wf_tensor x = some(f);
    const wf_shape s = wf_shape_of_tensor(x);
    wf_tensor y = x;
    for (int n = 2 + (int)fuzz_draw(f, 7); n > 0; n--) {
        const wf_tensor b = fuzz_chance(f, 50) ? y : real(f, s);
        switch (fuzz_draw(f, 12)) {
        case 0: y = wf_add(wf_tanh(y), b); break;
        case 1: y = wf_mul(wf_sigmoid(y), wf_tanh(b)); break;
        case 2: y = wf_select(wf_greater(y, b), y, wf_tanh(b)); break;
        case 3: y = wf_relu(wf_sub(y, b)); break;
        case 4: y = wf_add_n((wf_tensor[]){y, b, real(f, s), x}, 4); break;
        case 5: y = wf_mul(y, wf_ones_like(y)); break;
        case 6: y = wf_add(wf_mul(wf_zeros_like(b), b), y); break;
        case 7: y = wf_div(y, wf_add_scalar(wf_square(b), 1)); break;
        case 8: y = wf_neg(wf_neg(wf_abs(y))); break;
        case 9: y = wf_sub(wf_zeros_like(y), wf_relu(wf_sigmoid(y))); break;
        case 10: y = wf_mul(wf_stop_gradient(y), wf_sigmoid(b)); break;
        default: y = wf_cast(wf_cast(wf_tanh(y), f->real == WF_F32 ? WF_F64 : WF_F32), f->real);
        }
        if (fuzz_chance(f, 30)) fuzz_admit(f, y);
    }
    fuzz_admit(f, y);
}

/* What the passes rewrite: neutral elements, signs, and values that are known. */
static wf_tensor rewritten(fuzz_graph *f, wf_tensor a, wf_tensor b) {
    const wf_shape s = wf_shape_of_tensor(a);
    const wf_tensor one = wf_ones_like(a);
    const wf_tensor zero = fuzz_chance(f, 50) ? wf_zeros_like(a) : wf_scalar(f->g, f->real, 0);
    switch (fuzz_draw(f, 18)) {
    case 0: return wf_add(wf_neg(a), b);
    case 1: return wf_add(a, wf_neg(b));
    case 2: return wf_sub(a, wf_neg(b));
    case 3: return wf_sub(wf_neg(a), b);
    case 4: return wf_sub(zero, a);
    case 5: return wf_mul(wf_neg(a), wf_neg(b));
    case 6: return wf_fma(a, zero, b);
    case 7: return wf_fma(one, a, b);
    case 8: return wf_div(wf_add(a, b), one);
    case 9: return wf_maximum(a, wf_minimum(a, a));
    case 10: return wf_select(wf_full(f->g, WF_BOOL, s, fuzz_chance(f, 50)), a, b);
    case 11: return wf_select(wf_less(a, b), b, b);
    case 12: return wf_relu(wf_relu(wf_sub(a, b)));
    case 13: return wf_relu(wf_add(wf_square(a), wf_sigmoid(b)));
    case 14: return wf_sub(wf_cast(a, f->real), wf_stop_gradient(wf_neg(wf_neg(b))));
    case 15: return wf_add_n((wf_tensor[]){wf_neg(a), wf_zeros_like(a), b, a}, 4);
    case 16: return wf_mul(wf_add(a, zero), wf_sub(one, b));
    default: return wf_sub(wf_mul(a, b), wf_mul(b, a)); /* one value twice: exactly 0 */
    }
}

static void identities(fuzz_graph *f) {
    wf_tensor y = some(f);
    for (int n = 1 + (int)fuzz_draw(f, 5); n > 0; n--) {
        const wf_tensor b = real(f, wf_shape_of_tensor(y));
        y = fuzz_chance(f, 50) ? rewritten(f, y, b) : rewritten(f, b, y);
        if (fuzz_chance(f, 50)) fuzz_admit(f, y);
    }
    fuzz_admit(f, y);
}

/* --- views and placement ---------------------------------------------------------------------- */

static wf_tensor seen(fuzz_graph *f, wf_tensor x) {
    const int rank = wf_rank(x);
    if (rank == 0) return wf_expand(x, WF_SHAPE(small(f), small(f)));
    const int axis = (int)fuzz_draw(f, (uint32_t)rank);
    const wf_shape s = wf_shape_of_tensor(x);
    const int64_t d = wf_dim(x, axis);
    const int64_t first = d ? fuzz_draw(f, (uint32_t)d) : 0;
    int perm[WF_MAX_RANK];
    switch (fuzz_draw(f, 9)) {
    case 0: return wf_reshape(x, WF_SHAPE(wf_count(x)));
    case 1:
        for (int i = 0; i < rank; i++) perm[i] = (i + axis) % rank;
        return wf_permute(x, perm);
    case 2: return wf_slice(x, axis, first, d - first, 1);
    case 3: return wf_slice(x, axis, first, d ? first / 2 + 1 : 0, d && first >= 2 ? -2 : -1);
    case 4: return wf_flip(x, axis);
    case 5: return d ? wf_index(x, axis, first) : x;
    case 6: return wf_transpose(x, 0, rank - 1);
    case 7: return rank < 4 ? wf_reshape(x, wf_shape_make(rank + 1, (int64_t[]){
                                  s.dim[0], rank > 1 ? s.dim[1] : 1, rank > 2 ? s.dim[2] : 1, 1}))
                            : x;
    default: return wf_pad(x, axis, fuzz_draw(f, 3), fuzz_draw(f, 3), 1 + fuzz_draw(f, 2));
    }
}

static void views(fuzz_graph *f) {
    wf_tensor x = f->pool[fuzz_draw(f, (uint32_t)f->n_pool)];
    for (int n = 1 + (int)fuzz_draw(f, 4); n > 0; n--) x = seen(f, x);
    fuzz_admit(f, x);
}

static void places(fuzz_graph *f) {
    const wf_tensor x = f->pool[fuzz_draw(f, (uint32_t)f->n_pool)];
    const wf_dtype t = wf_dtype_of(x);
    const wf_shape s = wf_shape_of_tensor(x);
    const int n = 1 + (int)fuzz_draw(f, 5);
    const int axis = s.rank ? (int)fuzz_draw(f, (uint32_t)s.rank) : 0;
    wf_tensor in[6], parts[6];
    for (int i = 0; i < n; i++) {
        in[i] = fuzz_fit(f, i ? fuzz_any(f, t) : x, s);
        if (t == f->real && fuzz_chance(f, 60)) in[i] = wf_tanh(in[i]);
    }
    switch (fuzz_draw(f, s.rank ? 4 : 1)) {
    case 0: fuzz_admit(f, wf_stack(in, n, (int)fuzz_draw(f, (uint32_t)s.rank + 1))); break;
    case 1: fuzz_admit(f, wf_concat(in, n, axis)); break;
    case 2: /* what gradients of slices look like */
        if (t != f->real) break;
        for (int i = 0; i < n; i++)
            parts[i] = wf_pad(in[i], axis, i * s.dim[axis], (n - 1 - i) * s.dim[axis], 1);
        fuzz_admit(f, wf_add_n(parts, n));
        break;
    default:
        wf_split(wf_concat(in, n, axis), n, axis, parts);
        for (int i = 0; i < n; i++) fuzz_admit(f, parts[i]);
    }
}

/* --- reductions ------------------------------------------------------------------------------- */

static void reductions(fuzz_graph *f) {
    const wf_tensor x = some(f);
    const int rank = wf_rank(x);
    wf_reduce_opt o = {.keepdims = fuzz_chance(f, 50)};
    for (int i = 0; i < rank; i++)
        if (fuzz_chance(f, 50)) o.axes[o.n_axes++] = fuzz_chance(f, 50) ? i : i - rank;
    const int axis = rank ? (int)fuzz_draw(f, (uint32_t)rank) : 0;
    const wf_reduce_opt last = {.n_axes = 1, .axes = {axis}, .keepdims = true};
    wf_tensor y;
    switch (fuzz_draw(f, rank && wf_count(x) ? 13 : 5)) {
    case 0: y = wf_sum(x, o); break;
    case 1: y = wf_mean(wf_square(x), o); break;
    case 2: y = wf_max(x, o); break;
    case 3: y = wf_min(wf_neg(x), o); break;
    case 4: y = wf_moments(x, o); break;
    case 5: y = wf_var(wf_tanh(x), o); break;
    case 6: y = wf_softmax(x, axis); break;
    case 7: y = wf_log_softmax(x, axis); break;
    case 8: y = wf_logsumexp(x, axis, o.keepdims); break;
    case 9: y = wf_argmax(x, axis); break;
    case 10: y = wf_cumsum(wf_tanh(x), axis); break;
    case 11: y = wf_sub(x, wf_mean(x, last)); break;
    default: {
        wf_tensor index;
        fuzz_admit(f, wf_topk(x, wf_dim(x, axis) < 2 ? wf_dim(x, axis) : 2, axis, &index));
        y = index;
    }
    }
    fuzz_admit(f, y);
}

static wf_tensor normalised(fuzz_graph *f, wf_tensor x, bool assign) {
    const int64_t c = wf_dim(x, -1);
    wf_reduce_opt o = {.n_axes = wf_rank(x) - 1};
    for (int i = 0; i < o.n_axes; i++) o.axes[i] = i;
    const wf_tensor m = wf_moments(x, o), mean = wf_index(m, 0, 0), var = wf_index(m, 0, 1);
    const wf_tensor scale = wf_mul(fuzz_leaf_new(f, f->real, WF_SHAPE(c), 0.5, 1.5),
                                   wf_rsqrt(wf_add_scalar(var, 1e-2)));
    for (int i = 0; assign && i < f->n_leaf; i++) {
        fuzz_leaf *l = &f->leaf[i];
        if (l->kind != WF_LEAF_BOUND || l->assigned || wf_count(l->t) != c || wf_rank(l->t) != 1 ||
            wf_dtype_of(l->t) != f->real)
            continue;
        f->assign[f->n_assign++] = wf_assign(l->t, wf_add(wf_mul_scalar(l->t, 0.9),
                                                          wf_mul_scalar(mean, 0.1)));
        l->assigned = true;
        break;
    }
    return wf_add(wf_mul(wf_sub(x, mean), scale), fuzz_leaf_new(f, f->real, WF_SHAPE(c), -1, 1));
}

static void norm(fuzz_graph *f) {
    const wf_tensor x = some(f);
    if (wf_rank(x) < 2 || wf_count(x) == 0) return reductions(f);
    fuzz_admit(f, normalised(f, x, fuzz_chance(f, 40)));
}

/* --- contractions ----------------------------------------------------------------------------- */

static void products(fuzz_graph *f) {
    const int64_t m = fuzz_extent(f), k = fuzz_extent(f), n = fuzz_extent(f), b = small(f);
    const wf_tensor x = real(f, WF_SHAPE(m, k));
    wf_tensor y;
    switch (fuzz_draw(f, 9)) {
    case 0: y = wf_matmul(x, weight(f, WF_SHAPE(k, n))); break;
    case 1: y = wf_tanh(wf_add(wf_matmul(x, weight(f, WF_SHAPE(k, n))),
                               fuzz_leaf_new(f, f->real, WF_SHAPE(n), -1, 1))); break;
    case 2: /* several sources, of which two share an operand */
        y = wf_add_n((wf_tensor[]){wf_matmul(x, weight(f, WF_SHAPE(k, n))),
                                   wf_matmul(real(f, WF_SHAPE(m, n)), weight(f, WF_SHAPE(n, n))),
                                   wf_matmul(wf_tanh(x), weight(f, WF_SHAPE(k, n)))}, 3);
        break;
    case 3: /* one operand, several products */
        for (int i = 0; i < 3; i++)
            fuzz_admit(f, wf_sigmoid(wf_matmul(x, weight(f, WF_SHAPE(k, n)))));
        y = wf_matmul(x, weight(f, WF_SHAPE(k, n)));
        break;
    case 4: y = wf_matmul(wf_transpose(x, 0, 1), real(f, WF_SHAPE(m, b))); break;
    case 5: y = wf_matmul(real(f, WF_SHAPE(b, m, k)), fuzz_chance(f, 50)
                                                          ? weight(f, WF_SHAPE(k, b))
                                                          : weight(f, WF_SHAPE(b, k, 3))); break;
    case 6: y = wf_einsum(fuzz_chance(f, 50) ? "bij,bkj->bik" : "bij,bkj->ik",
                          (wf_tensor[]){real(f, WF_SHAPE(b, m, k)), real(f, WF_SHAPE(b, 4, k))}, 2);
        break;
    case 7: y = wf_einsum("ij,i->j", (wf_tensor[]){x, real(f, WF_SHAPE(m))}, 2); break;
    default: y = wf_add(wf_matmul(x, weight(f, WF_SHAPE(k, n))),
                        wf_matmul(wf_zeros_like(x), weight(f, WF_SHAPE(k, n))));
    }
    fuzz_admit(f, y);
}

static wf_conv_opt conv_opt(fuzz_graph *f, int axes, const int64_t *kernel, int32_t groups) {
    wf_conv_opt o = {.groups = groups, .use_pad_after = fuzz_chance(f, 25)};
    for (int i = 0; i < axes; i++) {
        o.stride[i] = 1 + fuzz_chance(f, 30);
        o.dilation[i] = 1 + fuzz_chance(f, 25);
        o.pad[i] = (int32_t)(kernel[i] - 1) * o.dilation[i] / (1 + fuzz_chance(f, 50));
        o.pad_after[i] = (int32_t)fuzz_draw(f, 3);
    }
    return o;
}

static void convolutions(fuzz_graph *f) {
    static const int64_t channels[] = {1, 2, 3, 4, 8, 16, 20};
    const int axes = 1 + (int)(fuzz_draw(f, 10) > 1) + fuzz_chance(f, 8);
    const int32_t groups = fuzz_chance(f, 20) ? 2 : 1;
    const int64_t c = channels[fuzz_draw(f, 7)] * groups, o = channels[fuzz_draw(f, 7)] * groups;
    wf_shape x = {.rank = axes + 2}, w = {.rank = axes + 2}, w2;
    x.dim[0] = 1 + fuzz_draw(f, 3);
    x.dim[axes + 1] = c;
    w.dim[0] = o;
    w.dim[axes + 1] = c / groups;
    for (int i = 0; i < axes; i++) {
        w.dim[i + 1] = 1 + fuzz_draw(f, axes == 3 ? 2 : 4);
        x.dim[i + 1] = 2 * w.dim[i + 1] + (axes == 3 ? 1 : fuzz_draw(f, 7));
    }
    const wf_conv_opt opt = conv_opt(f, axes, w.dim + 1, groups);
    const wf_tensor in = real(f, x);
    wf_tensor y = wf_conv(in, weight(f, w), opt);
    switch (fuzz_draw(f, 6)) {
    case 0: fuzz_admit(f, wf_conv(in, weight(f, w), opt)); break; /* shares an input */
    case 1: y = wf_add(y, wf_conv(wf_tanh(in), weight(f, w), opt)); break;
    case 2: y = wf_tanh(wf_add(y, fuzz_leaf_new(f, f->real, WF_SHAPE(o), -1, 1))); break;
    case 3: /* the adjoint, of what has o channels */
        w2 = w;
        y = wf_conv_transpose(y, weight(f, w2), opt, NULL);
        break;
    case 4: y = wf_relu(normalised(f, y, true)); break;
    default: break;
    }
    fuzz_admit(f, y);
}

static void attention(fuzz_graph *f) {
    const int64_t b = 1 + fuzz_draw(f, 2), t = small(f) + 2, d = 4 * small(f);
    const wf_tensor x = real(f, WF_SHAPE(b, t, d));
    const wf_tensor q = wf_matmul(x, weight(f, WF_SHAPE(d, d)));
    const wf_tensor k = wf_matmul(x, weight(f, WF_SHAPE(d, d)));
    const wf_tensor v = wf_matmul(x, weight(f, WF_SHAPE(d, d)));
    wf_tensor s = wf_einsum("bid,bjd->bij", (wf_tensor[]){q, k}, 2);
    if (fuzz_chance(f, 50))
        s = wf_select(wf_tril_mask(f->g, t, t, 0), s, wf_scalar(f->g, f->real, -30));
    fuzz_admit(f, wf_matmul(wf_softmax(wf_mul_scalar(s, 0.3), -1), v));
}

/* --- time steps ------------------------------------------------------------------------------- */

static wf_tensor product(fuzz_graph *f, wf_tensor x, wf_tensor w, bool conv) {
    return conv ? wf_conv(x, w, (wf_conv_opt){.pad = {1, 1}}) : wf_matmul(x, w);
}

/* A recurrent cell over steps of x, with or without gates, over vectors or images. */
static void loop(fuzz_graph *f) {
    const bool conv = fuzz_chance(f, 35), gates = fuzz_chance(f, 50);
    const int steps = 2 + (int)fuzz_draw(f, 4);
    const int64_t n = 1 + fuzz_draw(f, 4), c = small(f), hidden = conv ? 1 + small(f)
                                                                       : fuzz_extent(f);
    const int64_t size = 4 + fuzz_draw(f, 4);
    const wf_tensor x = real(f, conv ? WF_SHAPE(steps, n, size, size, c) : WF_SHAPE(steps, n, c));
    const int64_t out = gates ? 4 * hidden : hidden;
    const wf_tensor wx = weight(f, conv ? WF_SHAPE(out, 3, 3, c) : WF_SHAPE(c, out));
    const wf_tensor wh = weight(f, conv ? WF_SHAPE(out, 3, 3, hidden) : WF_SHAPE(hidden, out));
    const wf_tensor bias = fuzz_leaf_new(f, f->real, WF_SHAPE(out), -0.5, 0.5);
    const wf_shape state = conv ? WF_SHAPE(n, size, size, hidden) : WF_SHAPE(n, hidden);
    wf_tensor h = fuzz_chance(f, 50) ? wf_full(f->g, f->real, state, 0) : real(f, state);
    wf_tensor cell = wf_full(f->g, f->real, state, 0), all[6];
    for (int t = 0; t < steps; t++) {
        wf_scope_push(f->g, "t%d", t);
        const wf_tensor sum = wf_add(product(f, wf_index(x, 0, t), wx, conv),
                                     product(f, h, wh, conv));
        const wf_tensor a = wf_add(wf_mul_scalar(sum, 0.25), bias);
        h = wf_tanh(a);
        if (gates) {
            wf_tensor q[4];
            wf_split(a, 4, -1, q);
            cell = wf_add(wf_mul(wf_sigmoid(q[0]), cell), wf_mul(wf_sigmoid(q[1]), wf_tanh(q[2])));
            h = wf_mul(wf_sigmoid(q[3]), fuzz_chance(f, 50) ? wf_relu(cell) : wf_tanh(cell));
        }
        all[t] = h;
        wf_scope_pop(f->g);
    }
    if (fuzz_chance(f, 60)) fuzz_admit(f, wf_stack(all, steps, 0));
    if (gates) fuzz_admit(f, cell);
    fuzz_admit(f, h);
}

/* --- random numbers, indices ------------------------------------------------------------------ */

static void random_numbers(fuzz_graph *f) {
    const wf_tensor x = some(f);
    wf_tensor counter = {0};
    for (int i = 0; i < f->n_leaf; i++)
        if (wf_dtype_of(f->leaf[i].t) == WF_I64 && wf_rank(f->leaf[i].t) == 0)
            counter = f->leaf[i].t;
    if (!counter.graph && fuzz_chance(f, 60))
        counter = fuzz_leaf_new(f, WF_I64, WF_SCALAR, 0, 9);
    const wf_random_opt o = {.seed = fuzz_draw(f, 100), .stream = fuzz_draw(f, 100),
                             .dtype = f->real, .counter = counter};
    const wf_shape s = wf_shape_of_tensor(x);
    switch (fuzz_draw(f, 3)) {
    case 0: fuzz_admit(f, wf_mul(x, wf_bernoulli(f->g, s, 0.7, o))); break;
    case 1: fuzz_admit(f, wf_add(x, wf_mul_scalar(wf_normal(f->g, s, o), 0.1))); break;
    default: fuzz_admit(f, wf_select(wf_less(wf_uniform(f->g, s, o), wf_sigmoid(x)), x,
                                     wf_neg(x)));
    }
}

static void indices(fuzz_graph *f) {
    const wf_tensor x = some(f);
    if (wf_rank(x) == 0 || wf_count(x) == 0) return;
    const int axis = (int)fuzz_draw(f, (uint32_t)wf_rank(x));
    const wf_shape s = wf_shape_of_tensor(x);
    const wf_dtype t = fuzz_chance(f, 50) ? WF_I32 : WF_I64;
    const wf_shape few = WF_SHAPE(small(f));
    switch (fuzz_draw(f, 3)) {
    case 0: fuzz_admit(f, wf_gather(x, fuzz_index(f, t, few, s.dim[axis] + 1), axis)); break;
    case 1: fuzz_admit(f, wf_take_along(x, fuzz_index(f, t, s, s.dim[axis]), axis)); break;
    default: fuzz_admit(f, wf_scatter_add(x, fuzz_index(f, t, WF_SHAPE(s.dim[axis]), s.dim[axis]),
                                          wf_tanh(x), axis));
    }
}

/* --- all -------------------------------------------------------------------------------------- */

void fuzz_motif(fuzz_graph *f) {
    static const struct {
        void (*make)(fuzz_graph *);
        uint32_t weight;
    } motif[] = {{from_table, 14}, {chain, 3}, {identities, 3},   {views, 3},     {places, 2},
                 {reductions, 2},  {norm, 1},  {products, 3},     {attention, 1}, {loop, 1},
                 {convolutions, 2}, {indices, 1}, {random_numbers, 1}};
    uint32_t all = 0, i = 0;
    for (size_t k = 0; k < WF_COUNT(motif); k++) all += motif[k].weight;
    for (uint32_t at = fuzz_draw(f, all); at >= motif[i].weight; i++) at -= motif[i].weight;
    if (f->n_leaf < FUZZ_LEAVES - 40) motif[i].make(f);
}

/* A loss of what there is, its gradients, and a step along them for some leaves. */
void fuzz_gradients(fuzz_graph *f) {
    wf_tensor loss = {f->g, 0}, x[8], dx[8];
    int n = 0;
    for (int i = f->n_pool; i-- > 0 && n < 3;) {
        const wf_tensor y = f->pool[i];
        if (wf_dtype_of(y) != f->real || wf_count(y) == 0) continue;
        const wf_tensor part = wf_mean(fuzz_chance(f, 50) ? wf_square(y) : wf_tanh(y),
                                       (wf_reduce_opt){0});
        loss = n++ ? wf_add(loss, part) : part;
    }
    if (n == 0) return;
    n = 0;
    for (int i = f->n_leaf; i-- > 0 && n < 8;)
        if (wf_dtype_of(f->leaf[i].t) == f->real && fuzz_chance(f, 60)) x[n++] = f->leaf[i].t;
    if (n == 0 || wf_grad(loss, x, n, dx) != WF_OK) return;
    fuzz_admit(f, loss);
    for (int i = 0; i < n; i++) fuzz_admit(f, dx[i]);
}
