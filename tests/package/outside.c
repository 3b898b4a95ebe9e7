/* A program outside the tree, as a user of the installed library writes it: a model that learns, a
 * file that comes back, a mistake that is told. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <weft/nn.h>

static int fail(const char *what) { return fprintf(stderr, "outside: %s\n", what), 1; }

int main(int argc, char **argv) {
    if (argc != 2) return fail("usage: outside FOLDER");
    if (strcmp(wf_version(), WF_VERSION) != 0) return fail("library and header differ");
    float x[8], target[8];
    for (int i = 0; i < 8; i++) x[i] = (float)i / 4 - 1, target[i] = sinf(2 * x[i]);
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor in = wf_input(g, "x", WF_F32, WF_SHAPE(8, 1));
    wf_tensor h = wf_tanh(wf_nn_linear(p, "in", in, (wf_linear_opt){.out = 8}));
    h = wf_nn_linear(p, "out", h, (wf_linear_opt){.out = 1});
    const wf_tensor loss = wf_nn_mse(h, wf_const(g, WF_F32, WF_SHAPE(8, 1), target));
    wf_nn_adam(p, loss, (wf_optimizer_opt){.lr = 0.02});
    wf_program *step;
    if (wf_compile(&step, g, &loss, 1, (wf_compile_opt){0}) || wf_write(step, in, x, sizeof x))
        return fail(wf_error());
    float first = 0, last = 0;
    for (int i = 0; i < 100; i++) {
        if (wf_run(step)) return fail(wf_error());
        last = *(float *)wf_data(step, loss);
        if (i == 0) first = last;
    }
    wf_program_free(step);
    wf_graph_free(g);
    if (!(last < 0.2f * first)) return fail("it did not learn");

    char path[512];
    snprintf(path, sizeof path, "%s/weights.safetensors", argv[1]);
    if (wf_params_save(p, path) || wf_params_load(p, path)) return fail(wf_error());
    if (wf_params_load(p, "/nowhere") != WF_INPUT) return fail("a file that is not there loads");
    wf_params_free(p);

    g = wf_graph_new();
    wf_add(wf_input(g, "a", WF_F32, WF_SHAPE(2)), wf_input(g, "b", WF_F32, WF_SHAPE(3)));
    if (wf_graph_status(g) != WF_MODEL || !strstr(wf_error(), "[2]")) return fail("no message");
    wf_graph_free(g);
    printf("outside: loss %.3f to %.3f\n", first, last);
    return 0;
}
