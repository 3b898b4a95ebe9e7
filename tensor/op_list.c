/* All operations of the library: the rows of tensor/ops.def, then one line here for each file that
 * defines one. Tests walk this list; nothing else needs it. */
#include "tensor/elementwise.h"

#define STRUCTURAL(X)                                                                              \
    X(leaf) X(assign) X(stop_gradient) X(cast) X(add_n)                                            \
    X(sum) X(max) X(min) X(prod) X(moments) X(argmax) X(cumsum) X(argsort)                         \
    X(reshape) X(permute) X(expand) X(slice) X(pad) X(concat) X(stack)                             \
    X(gather) X(scatter_add) X(take_along) X(put_along) X(one_hot)                                 \
    X(full) X(arange) X(eye) X(tril_mask) X(uniform) X(normal) X(bernoulli)                        \
    X(contract) X(pack) X(max_pool) X(max_pool_index) X(avg_pool) X(avg_pool_grad)                 \
    X(resize) X(resize_grad)

#define X(name) extern const wf_op wf_op_##name;
STRUCTURAL(X)
#undef X

const wf_op *const *wf_all_ops(void) {
#define WF_EW1(name, ...) &wf_op_##name,
#define WF_EW2 WF_EW1
#define WF_EW3 WF_EW1
#define X(name) &wf_op_##name,
    static const wf_op *const all[] = {
#include "tensor/ops.def"
        STRUCTURAL(X) NULL};
#undef X
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3
    return all;
}
