/* Structural similarity as a value of the graph (Wang, Bovik, Sheikh, Simoncelli 2004), the same as
 * the metric in nn/metrics.c: 11x11 Gaussian windows of sigma 1.5 that lie wholly inside,
 * k1 = 0.01, k2 = 0.03, data range 1.
 *
 *   ssim = (2 my mt + c1) (2 cov + c2) / ((my^2 + mt^2 + c1) (vy + vt + c2))
 *
 * The window is separable: two convolutions of 11 taps over all channels as images of their own. */
#include <math.h>

#include "nn/params.h"

enum { TAPS = 11 };

/* x (M, H, W, 1) filtered along both axes. */
static wf_tensor window(wf_tensor x, wf_tensor column) {
    const wf_tensor row = wf_reshape(column, WF_SHAPE(1, 1, TAPS, 1));
    return wf_conv(wf_conv(x, column, (wf_conv_opt){0}), row, (wf_conv_opt){0});
}

/* (N, H, W, C) -> (N C, H, W, 1) */
static wf_tensor planes(wf_tensor x) {
    static const int perm[] = {0, 3, 1, 2};
    return wf_reshape(wf_permute(x, perm),
                      WF_SHAPE(wf_dim(x, 0) * wf_dim(x, 3), wf_dim(x, 1), wf_dim(x, 2), 1));
}

static wf_tensor taps(wf_graph *g, wf_dtype dtype) {
    double v[TAPS], sum = 0;
    for (int i = 0; i < TAPS; i++) sum += v[i] = exp(-(i - 5) * (i - 5) / (2 * 1.5 * 1.5));
    for (int i = 0; i < TAPS; i++) v[i] /= sum;
    return wf_cast(wf_const(g, WF_F64, WF_SHAPE(1, TAPS, 1, 1), v), dtype);
}

wf_tensor wf_nn_ssim(wf_tensor y, wf_tensor target) {
    const double c1 = 1e-4, c2 = 9e-4;
    if (!wf_ok(y) || !wf_ok(target)) return wf_sub(y, target);
    const wf_shape a = wf_shape_of_tensor(y), b = wf_shape_of_tensor(target);
    const wf_dtype dtype = wf_dtype_of(y);
    char have[128], want[128];
    if (!wf_shape_equal(&a, &b) || a.rank != 4 || a.dim[1] < TAPS || a.dim[2] < TAPS ||
        !wf_dtype_is_real(dtype))
        return wf_graph_fail(y.graph, "ssim: y %s%s and target %s are not real images (N, H, W, C) "
                                      "of one shape, at least 11x11",
                             wf_dtype_name(dtype), wf_shape_text(&a, have, sizeof have),
                             wf_shape_text(&b, want, sizeof want));
    const wf_tensor k = taps(y.graph, dtype), u = planes(y), t = planes(target);
    const wf_tensor mu = window(u, k), mt = window(t, k), product = wf_mul(mu, mt);
    const wf_tensor mu2 = wf_square(mu), mt2 = wf_square(mt);
    const wf_tensor vu = wf_sub(window(wf_square(u), k), mu2);
    const wf_tensor vt = wf_sub(window(wf_square(t), k), mt2);
    const wf_tensor cov = wf_sub(window(wf_mul(u, t), k), product);
    const wf_tensor above = wf_mul(wf_add_scalar(wf_mul_scalar(product, 2), c1),
                                   wf_add_scalar(wf_mul_scalar(cov, 2), c2));
    const wf_tensor below = wf_mul(wf_add_scalar(wf_add(mu2, mt2), c1),
                                   wf_add_scalar(wf_add(vu, vt), c2));
    return wf_mean(wf_div(above, below), (wf_reduce_opt){0});
}
