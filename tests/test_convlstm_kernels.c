/* Generated code does not grow with the number of time steps: a training step over 19, 38 or 76
 * frames has the same kernels, so that one compiled for one length is in the cache for all. */
#include <criterion/criterion.h>

#include "compiler/code_text.h"
#include "compiler/program.h"
#include "models/convlstm/model.h"

enum { MOST = 64 };

typedef struct kernels {
    uint32_t n;
    char name[MOST][WF_CODE_NAME];
} kernels;

static void kernels_of(int frames, kernels *out) {
    const convlstm_size size = {.frames = frames, .batch = 2, .height = 8, .width = 8, .hidden = 8};
    wf_params *p = wf_params_new(1);
    wf_tensor output[CONVLSTM_TRAINER_OUTPUTS];
    wf_graph *g;
    wf_program *program;
    cr_assert_eq(convlstm_training_graph(&g, output, p, size, 1), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_compile(&program, g, output, CONVLSTM_TRAINER_OUTPUTS,
                            (wf_compile_opt){.threads = 1, .off = WF_PASS_CODE}), WF_OK);
    out->n = program->plan.n_kernel;
    cr_assert(out->n > 0 && out->n <= MOST);
    for (uint32_t i = 0; i < out->n; i++)
        cr_assert(wf_code_name(&program->plan.kernel[i].group, out->name[i]));
    wf_program_free(program);
    wf_graph_free(g);
    wf_params_free(p);
}

static bool has(const kernels *k, const char *name) {
    for (uint32_t i = 0; i < k->n; i++)
        if (strcmp(k->name[i], name) == 0) return true;
    return false;
}

Test(convlstm_kernels, do_not_depend_on_the_number_of_time_steps) {
    static kernels few, many;
    kernels_of(19, &few);
    for (int frames = 38; frames <= 76; frames *= 2) {
        kernels_of(frames, &many);
        cr_assert_eq(many.n, few.n, "%u kernels for 19 steps, %u for %d", few.n, many.n, frames);
        for (uint32_t i = 0; i < few.n; i++)
            cr_assert(has(&many, few.name[i]), "%d steps do without %s", frames, few.name[i]);
    }
}
