/* Pooling with square windows, as torch.nn.MaxPool, AvgPool (zeros of the padding count, as there)
 * and AdaptiveAvgPool to one value. */
#include "nn/params.h"

static wf_pool_opt square(wf_tensor x, int32_t kernel, int32_t stride, int32_t pad) {
    wf_pool_opt o = {.count_pad = true};
    for (int i = 0; i < wf_rank(x) - 2 && i < 3; i++) {
        o.kernel[i] = kernel;
        o.stride[i] = stride;
        o.pad[i] = pad;
    }
    return o;
}

wf_tensor wf_nn_max_pool(wf_tensor x, int32_t kernel, int32_t stride, int32_t pad) {
    return wf_max_pool(x, square(x, kernel, stride, pad));
}

wf_tensor wf_nn_avg_pool(wf_tensor x, int32_t kernel, int32_t stride, int32_t pad) {
    return wf_avg_pool(x, square(x, kernel, stride, pad));
}

wf_tensor wf_nn_global_avg_pool(wf_tensor x) {
    wf_reduce_opt o = {.n_axes = wf_rank(x) - 2};
    if (!wf_ok(x)) return wf_poison(x);
    if (o.n_axes < 1) return wf_layer_refuse(x, "real (N, S.., C)");
    for (int i = 0; i < o.n_axes; i++) o.axes[i] = 1 + i;
    return wf_mean(x, o);
}
