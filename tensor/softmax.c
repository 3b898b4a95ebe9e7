/* Compositions along one axis: logsumexp, softmax, log_softmax. The largest value is subtracted
 * before exp, so that nothing overflows; it is a constant to the gradient, where it cancels. */
#include "tensor/graph.h"

/* The largest value of each line with the axis kept, no gradient. Where it is infinite (or the axis
 * is empty) 0 takes its place: inf - inf would be NaN, and exp alone gives the right limits. */
static wf_tensor line_max(wf_tensor x, int axis) {
    const wf_tensor m = wf_stop_gradient(
            wf_max(x, (wf_reduce_opt){.n_axes = 1, .axes = {axis}, .keepdims = true}));
    if (!wf_ok(m)) return m;
    return wf_select(wf_isfinite(m), m, wf_scalar(m.graph, wf_dtype_of(m), 0));
}

static wf_tensor line_sum(wf_tensor x, int axis) {
    return wf_sum(x, (wf_reduce_opt){.n_axes = 1, .axes = {axis}, .keepdims = true});
}

wf_tensor wf_softmax(wf_tensor x, int axis) {
    const wf_tensor e = wf_exp(wf_sub(x, line_max(x, axis)));
    return wf_div(e, line_sum(e, axis));
}

wf_tensor wf_log_softmax(wf_tensor x, int axis) {
    const wf_tensor shifted = wf_sub(x, line_max(x, axis));
    return wf_sub(shifted, wf_log(line_sum(wf_exp(shifted), axis)));
}

wf_tensor wf_logsumexp(wf_tensor x, int axis, bool keepdims) {
    const wf_tensor m = line_max(x, axis);
    const wf_tensor y = wf_add(wf_log(line_sum(wf_exp(wf_sub(x, m)), axis)), m);
    if (keepdims || !wf_ok(y)) return y;
    wf_shape s = wf_shape_of_tensor(y);
    const int at = axis < 0 ? axis + s.rank : axis;
    for (int i = at; i + 1 < s.rank; i++) s.dim[i] = s.dim[i + 1];
    s.dim[--s.rank] = 0;
    return wf_reshape(y, s);
}
