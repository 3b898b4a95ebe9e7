/* Embedding: y[i.., :] = weight[index[i..], :], as torch.nn.Embedding (weights from N(0, 1)). */
#include "nn/params.h"

wf_tensor wf_nn_embedding_of(wf_params *p, const char *name, wf_tensor index, int64_t rows,
                             int64_t cols, wf_dtype dtype) {
    if (!wf_layer_enter(p, name, index)) return wf_poison(index);
    const wf_tensor w = wf_param(index.graph, p, "weight", WF_SHAPE(rows, cols),
                                 (wf_init){.kind = WF_INIT_NORMAL, .a = 1},
                                 (wf_param_opt){.dtype = dtype});
    return wf_layer_leave(p, index, wf_gather(w, index, 0));
}

wf_tensor wf_nn_embedding(wf_params *p, const char *name, wf_tensor index, int64_t rows,
                          int64_t cols) {
    return wf_nn_embedding_of(p, name, index, rows, cols, WF_F32);
}
