/* Losses: scalars, means over all elements, as torch.nn.functional has them. */
#include "nn/nn.h"

static wf_tensor mean(wf_tensor x) { return wf_mean(x, (wf_reduce_opt){0}); }

/* Broadcasting a loss hides mistakes, so shapes must agree exactly. What is no value at all is left
 * to the operations, which say so. */
static bool agree(const char *loss, wf_tensor y, wf_tensor target) {
    const wf_shape a = wf_shape_of_tensor(y), b = wf_shape_of_tensor(target);
    char have[128], want[128];
    if (!wf_ok(y) || !wf_ok(target)) return true;
    if (wf_shape_equal(&a, &b) && wf_dtype_is_real(wf_dtype_of(y))) return true;
    wf_graph_fail(y.graph, "%s: y %s%s and target %s%s; both must be real and of one shape", loss,
                  wf_dtype_name(wf_dtype_of(y)), wf_shape_text(&a, have, sizeof have),
                  wf_dtype_name(wf_dtype_of(target)), wf_shape_text(&b, want, sizeof want));
    return false;
}
static wf_tensor poison(wf_tensor y) { return (wf_tensor){y.graph, 0}; }

wf_tensor wf_nn_mse(wf_tensor y, wf_tensor target) {
    if (!agree("mse", y, target)) return poison(y);
    return mean(wf_square(wf_sub(y, target)));
}

wf_tensor wf_nn_l1(wf_tensor y, wf_tensor target) {
    if (!agree("l1", y, target)) return poison(y);
    return mean(wf_abs(wf_sub(y, target)));
}

/* d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) beyond: with q = min(|d|, delta) both are
 * q (|d| - q / 2). */
wf_tensor wf_nn_huber(wf_tensor y, wf_tensor target, double delta) {
    if (!agree("huber", y, target)) return poison(y);
    if (!(delta > 0)) return wf_graph_fail(y.graph, "huber: delta is %g, not positive", delta);
    const wf_tensor d = wf_abs(wf_sub(y, target));
    const wf_tensor q = wf_minimum(d, wf_scalar(y.graph, wf_dtype_of(y), delta));
    return mean(wf_mul(q, wf_sub(d, wf_mul_scalar(q, 0.5))));
}

/* max(f(a), -100) for a logarithm f with its pole at `pole` and f(one) = 0; at the pole the value
 * is -100 and the gradient 0, where PyTorch has a huge one. */
static wf_tensor bounded(wf_tensor f(wf_tensor), wf_tensor a, double pole, double one) {
    wf_graph *g = a.graph;
    const wf_dtype t = wf_dtype_of(a);
    const wf_tensor at_pole = wf_equal(a, wf_scalar(g, t, pole)), floor = wf_scalar(g, t, -100);
    const wf_tensor safe = wf_select(at_pole, wf_scalar(g, t, one), a);
    return wf_select(at_pole, floor, wf_maximum(f(safe), floor));
}

wf_tensor wf_nn_bce(wf_tensor y, wf_tensor target) {
    if (!agree("bce", y, target)) return poison(y);
    const wf_tensor other = wf_sub(wf_scalar(y.graph, wf_dtype_of(target), 1), target);
    const wf_tensor a = wf_mul(target, bounded(wf_log, y, 0, 1));
    const wf_tensor b = wf_mul(other, bounded(wf_log1p, wf_neg(y), -1, 0));
    return wf_neg(mean(wf_add(a, b)));
}

/* softplus(x) - x t: nothing overflows, and the gradient is sigmoid(x) - t. */
wf_tensor wf_nn_bce_with_logits(wf_tensor logits, wf_tensor target) {
    if (!agree("bce_with_logits", logits, target)) return poison(logits);
    return mean(wf_sub(wf_softplus(logits), wf_mul(logits, target)));
}

wf_tensor wf_nn_smooth_l1(wf_tensor y, wf_tensor target, double beta) {
    if (!agree("smooth_l1", y, target)) return poison(y);
    if (!(beta > 0)) return wf_graph_fail(y.graph, "smooth_l1: beta is %g, not positive", beta);
    return wf_mul_scalar(wf_nn_huber(y, target, beta), 1 / beta);
}

wf_tensor wf_nn_kl(wf_tensor logp, wf_tensor target) {
    if (!agree("kl", logp, target)) return poison(logp);
    if (!wf_ok(logp) || !wf_ok(target)) return wf_sub(logp, target);
    if (wf_rank(logp) < 1) return wf_graph_fail(logp.graph, "kl: logp is a scalar, not (N.., C)");
    wf_graph *g = logp.graph;
    const wf_dtype t = wf_dtype_of(logp);
    const wf_tensor none = wf_equal(target, wf_scalar(g, t, 0));
    const wf_tensor safe = wf_select(none, wf_scalar(g, t, 1), target);
    const wf_tensor each = wf_mul(target, wf_sub(wf_log(safe), logp));
    const wf_tensor sum = wf_sum(wf_select(none, wf_scalar(g, t, 0), each), (wf_reduce_opt){0});
    const int64_t c = wf_dim(logp, -1), rows = c > 0 ? wf_count(logp) / c : 0;
    return wf_mul_scalar(sum, 1 / (double)rows);
}

/* --- indices ---------------------------------------------------------------------------------- */

/* logp[index] (N.., 1) of logp (N.., C); poison after a message. */
static wf_tensor pick(const char *loss, const char *what, wf_tensor logp, wf_tensor index) {
    wf_graph *g = logp.graph;
    if (!wf_ok(logp) || !wf_ok(index)) return wf_take_along(logp, index, -1);
    const wf_shape have = wf_shape_of_tensor(logp), rows = wf_shape_of_tensor(index);
    wf_shape want = rows;
    if (rows.rank < WF_MAX_RANK) want.dim[want.rank++] = wf_dim(logp, -1);
    char a[128], b[128];
    if (!wf_shape_equal(&have, &want))
        return wf_graph_fail(g, "%s: %s %s and index %s are not (N.., C) and (N..); give one "
                                       "class a row", loss, what,
                             wf_shape_text(&have, a, sizeof a), wf_shape_text(&rows, b, sizeof b));
    want.dim[want.rank - 1] = 1;
    return wf_take_along(logp, wf_reshape(index, want), -1);
}

wf_tensor wf_nn_nll(wf_tensor logp, wf_tensor index) {
    return wf_neg(mean(pick("nll", "logp", logp, index)));
}

wf_tensor wf_nn_cross_entropy(wf_tensor logits, wf_tensor index) {
    return wf_nn_cross_entropy_with(logits, index, (wf_cross_entropy_opt){0});
}

static const wf_reduce_opt last_axis = {.n_axes = 1, .axes = {-1}, .keepdims = true};

/* *x (N.., C) - its largest value, so that nothing overflows, and the logarithm of the sum of what
 * exp makes of it (N.., 1): log softmax in two parts. Only one value a row is taken of it, and
 * while the parts are apart, the gradient is softmax - target without a sum over the classes. Where
 * the largest value is infinite, 0 takes its place. */
static void shift(wf_tensor *x, wf_tensor *log_sum) {
    const wf_tensor top = wf_stop_gradient(wf_max(*x, last_axis));
    const wf_tensor zero = wf_scalar(x->graph, wf_dtype_of(*x), 0);
    *x = wf_sub(*x, wf_ok(top) ? wf_select(wf_isfinite(top), top, zero) : top);
    *log_sum = wf_log(wf_sum(wf_exp(*x), last_axis));
}

wf_tensor wf_nn_cross_entropy_with(wf_tensor logits, wf_tensor index, wf_cross_entropy_opt o) {
    wf_graph *g = logits.graph;
    const bool smooth = o.smoothing != 0;
    if (!(o.smoothing >= 0 && o.smoothing < 1))
        return wf_graph_fail(g, "cross_entropy: smoothing is %g, it must be in [0, 1)",
                             o.smoothing);
    wf_tensor shifted = logits, rest = logits;
    if (wf_ok(logits) && wf_rank(logits) > 0) shift(&shifted, &rest);
    wf_tensor row = pick("cross_entropy", "logits", shifted, index); /* (N.., 1) */
    if (smooth)
        row = wf_add(wf_mul_scalar(row, 1 - o.smoothing),
                     wf_mul_scalar(wf_mean(shifted, last_axis), o.smoothing));
    row = wf_sub(row, rest);
    if (!o.ignore || !wf_ok(row)) return wf_neg(mean(row));
    const wf_dtype t = wf_dtype_of(row);
    const wf_tensor skip = wf_reshape(
        wf_equal(index, wf_scalar(g, wf_dtype_of(index), (double)o.ignore_index)),
        wf_shape_of_tensor(row));
    const wf_tensor zero = wf_scalar(g, t, 0), one = wf_scalar(g, t, 1);
    const wf_tensor sum = wf_sum(wf_select(skip, zero, row), (wf_reduce_opt){0});
    const wf_tensor n = wf_sum(wf_sub(one, wf_cast(skip, t)), (wf_reduce_opt){0});
    return wf_neg(wf_div(sum, wf_maximum(n, one)));
}

wf_tensor wf_nn_accuracy(wf_tensor logits, wf_tensor index) {
    const wf_tensor best = wf_argmax(logits, -1);
    if (!wf_ok(best) || !wf_ok(index)) return poison(logits);
    const wf_tensor at = wf_dtype_of(index) == WF_I32 ? wf_cast(best, WF_I32) : best;
    const wf_shape have = wf_shape_of_tensor(best), rows = wf_shape_of_tensor(index);
    char a[128], b[128];
    if (!wf_shape_equal(&have, &rows) || wf_dtype_of(index) != wf_dtype_of(at))
        return wf_graph_fail(logits.graph, "accuracy: rows of logits %s and index %s%s are not one "
                             "index, i32 or i64, a row", wf_shape_text(&have, a, sizeof a),
                             wf_dtype_name(wf_dtype_of(index)),
                             wf_shape_text(&rows, b, sizeof b));
    return mean(wf_cast(wf_equal(at, index), wf_dtype_of(logits)));
}
