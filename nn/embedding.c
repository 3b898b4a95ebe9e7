/* Embedding: y[i.., :] = weight[index[i..], :], as torch.nn.Embedding (weights from N(0, 1)). */
#include "nn/params.h"

wf_tensor wf_nn_embedding(wf_params *p, const char *name, wf_tensor index, int64_t rows,
                          int64_t cols) {
    if (!wf_layer_enter(p, name, index)) return wf_poison(index);
    const wf_tensor w = wf_param(index.graph, p, "weight", WF_SHAPE(rows, cols),
                                 (wf_init){.kind = WF_INIT_NORMAL, .a = 1}, (wf_param_opt){0});
    return wf_layer_leave(p, index, wf_gather(w, index, 0));
}
