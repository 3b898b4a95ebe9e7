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

wf_tensor wf_nn_cross_entropy(wf_tensor logits, wf_tensor index) {
    wf_graph *g = logits.graph;
    if (!wf_ok(logits) || !wf_ok(index)) return wf_take_along(logits, index, -1);
    const wf_shape have = wf_shape_of_tensor(logits), rows = wf_shape_of_tensor(index);
    wf_shape want = rows;
    if (rows.rank < WF_MAX_RANK) want.dim[want.rank++] = wf_dim(logits, -1);
    char a[128], b[128];
    if (!wf_shape_equal(&have, &want))
        return wf_graph_fail(g, "cross_entropy: logits %s and index %s are not (N.., C) and (N..)",
                             wf_shape_text(&have, a, sizeof a), wf_shape_text(&rows, b, sizeof b));
    want.dim[want.rank - 1] = 1;
    const wf_tensor picked =
        wf_take_along(wf_log_softmax(logits, -1), wf_reshape(index, want), -1);
    return wf_neg(mean(picked));
}
