/* One copy of the library, behind two functions: one that gives this copy a hook for its log, and
 * one that logs a line, trains, and returns the bits of the last loss. */
#include <stdint.h>
#include <string.h>

#include <weft/nn.h>

#define EXPORT __attribute__((visibility("default")))

static void count(void *user, const char *line) { ++*(int *)user; }

EXPORT void copy_hook(int *lines);
void copy_hook(int *lines) { wf_set_log(count, lines); }

EXPORT uint32_t copy_train(int steps);
uint32_t copy_train(int steps) {
    wf_log_line("training");
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(5);
    const wf_tensor x = wf_full(g, WF_F32, WF_SHAPE(3, 2, 4), 0.5);
    const wf_tensor y = wf_nn_lstm(p, "lstm", x, (wf_lstm_opt){.hidden = 6});
    const wf_tensor loss = wf_mean(wf_square(wf_add_scalar(y, -0.3)), (wf_reduce_opt){0});
    wf_nn_adam(p, loss, (wf_optimizer_opt){.lr = 0.01});
    wf_program *step;
    float last = 0;
    uint32_t bits;
    if (wf_compile(&step, g, &loss, 1, (wf_compile_opt){0})) return 0;
    wf_graph_free(g);
    for (int i = 0; i < steps; i++)
        if (wf_run(step) || wf_read(step, loss, &last, sizeof last)) return 0;
    wf_program_free(step);
    wf_params_free(p);
    memcpy(&bits, &last, sizeof bits);
    return bits;
}
