// The headers as C++ sees them: every one of them, and a model that is differentiated and run.
#include <weft/array.h>
#include <weft/attr.h>
#include <weft/graph.h>
#include <weft/nn.h>
#include <weft/op.h>

#include <cmath>
#include <cstdio>

int main() {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(3);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 2));
    wf_linear_opt linear = {};
    linear.out = 1;
    wf_optimizer_opt adam = {};
    adam.lr = 0.1;
    const wf_tensor y = wf_nn_linear(p, "fc", x, linear);
    const wf_tensor loss = wf_nn_mse(y, wf_sum(x, {1, {-1}, true}));
    wf_nn_adam(p, loss, adam);
    wf_program *step = nullptr;
    const float data[8] = {0.1f, 0.9f, -0.4f, 0.3f, 0.7f, -0.2f, -0.6f, -0.8f};
    float first = 0, last = 0;
    bool ok = !wf_compile(&step, g, &loss, 1, {}) && !wf_write(step, x, data, sizeof data);
    for (int i = 0; ok && i < 200; i++) {
        ok = !wf_run(step) && !wf_read(step, loss, &last, sizeof last);
        if (i == 0) first = last;
    }
    wf_graph_free(g);
    wf_program_free(step);
    wf_params_free(p);
    if (!ok) return std::fprintf(stderr, "%s\n", wf_error()), 1;
    std::printf("C++: loss %.4f to %.6f\n", first, last);
    return last < 0.01f * first ? 0 : 1;
}
