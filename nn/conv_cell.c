/* What the recurrent cells over images share: their prefix of names, their sizes, and parameters of
 * several gates packed along axis 0, which files hold one by one. */
#include "nn/params.h"

bool wf_conv_cell_enter(wf_params *p, wf_tensor x, const char *kind, int64_t hidden, int32_t kernel,
                        const wf_recurrent_opt *o, const char *suffix) {
    if (wf_rank(x) != 5) {
        wf_layer_refuse(x, "real (T, N, H, W, C) with T >= 1");
        return false;
    }
    if (hidden < 1 || hidden > INT32_MAX || kernel < 1 || kernel % 2 == 0) {
        wf_graph_fail(x.graph, "%s: hidden %lld must be positive and kernel %d odd, as the state "
                               "keeps its size",
                      kind, (long long)hidden, kernel);
        return false;
    }
    const bool alone = o->layers <= 1 && !o->bidirectional;
    wf_params_push(p, "%s", alone ? "" : suffix + 1);
    return true;
}

void wf_conv_cell_leave(wf_params *p) { wf_params_pop(p); }

wf_tensor wf_gates_param(wf_params *p, wf_tensor x, const char *name, wf_shape shape, int n,
                         const char *const *part, wf_init init, bool whole) {
    return wf_param(x.graph, p, name, shape, init,
                    (wf_param_opt){.dtype = wf_dtype_of(x),
                                   .conv_layout = shape.rank > 1,
                                   .n_parts = n,
                                   .part = part,
                                   .whole = whole});
}
