/* Inverted dropout (Srivastava et al., JMLR 2014): in training each element is 0 with probability p
 * and x / (1 - p) otherwise; in evaluation y = x.
 *
 * Element and run decide: the random numbers are a function of the seed of the parameters, the
 * layer's full name, a step counter and the element's index. The counter NAME.step is an i64 buffer
 * that every training run moves on by one. Its role is that of optimiser state, because PyTorch's
 * state_dict has no such entry: files stay interchangeable. */
#include "nn/params.h"

static wf_tensor dropout(wf_params *p, wf_tensor x, const wf_dropout_opt *o) {
    wf_graph *g = x.graph;
    const wf_dtype dtype = wf_dtype_of(x);
    if (!wf_dtype_is_real(dtype)) return wf_layer_refuse(x, "real");
    if (!(o->p >= 0 && o->p < 1))
        return wf_graph_fail(g, "dropout: p is %g, it must be in [0, 1)", o->p);
    if (!o->training || o->p == 0) return x;
    const wf_tensor step = wf_param(g, p, "step", WF_SCALAR, (wf_init){.kind = WF_INIT_CONSTANT},
                                    (wf_param_opt){.role = WF_ROLE_OPTIMIZER, .dtype = WF_I64});
    const double keep = 1 - o->p;
    const wf_tensor mask = wf_bernoulli(g, wf_shape_of_tensor(x), keep,
                                        (wf_random_opt){.seed = p->seed,
                                                        .stream = wf_name_hash(p->prefix),
                                                        .dtype = dtype,
                                                        .counter = step});
    wf_assign(step, wf_add(step, wf_scalar(g, WF_I64, 1)));
    return wf_mul(wf_mul_scalar(x, 1 / keep), mask);
}

wf_tensor wf_nn_dropout(wf_params *p, const char *name, wf_tensor x, wf_dropout_opt o) {
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, dropout(p, x, &o));
}
