/* wf_function: one model at several sizes, a bounded number of programs. */
#include <criterion/criterion.h>
#include <string.h>

#include "compiler/compiler.h"

static float weight[3] = {1, 10, 100};

/* y = x . weight for a batch; counts how often it is called. */
static int build(void *user, wf_graph *g, wf_shape key, wf_tensor *out, int max) {
    ++*(int *)user;
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(key.dim[0], 3));
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(3), weight);
    out[0] = wf_name(wf_sum(wf_mul(x, w), (wf_reduce_opt){.n_axes = 1, .axes = {1}}), "y");
    return 1;
}

static void run(wf_function *f, int64_t batch) {
    float x[8 * 3], y[8];
    for (int i = 0; i < 24; i++) x[i] = (float)(i % 7);
    const wf_argument in = {"x", x, (size_t)batch * 3 * sizeof *x};
    const wf_argument out = {"y", y, (size_t)batch * sizeof *y};
    cr_assert(!wf_function_run(f, WF_SHAPE(batch), &in, 1, &out, 1), "%s", wf_error());
    for (int64_t i = 0; i < batch; i++)
        cr_assert(y[i] == x[3 * i] + 10 * x[3 * i + 1] + 100 * x[3 * i + 2], "row %d", (int)i);
}

Test(compiler_function, keeps_the_programs_used_last) {
    int built = 0;
    wf_function *f;
    cr_assert(!wf_function_new(&f, build, &built, (wf_function_opt){.max_programs = 2}), "%s",
              wf_error());
    run(f, 4);
    run(f, 2);
    run(f, 4);
    cr_assert(built == 2, "%d", built);
    run(f, 1); /* drops 2, which was used before 4 */
    run(f, 4);
    cr_assert(built == 3, "4 was kept: %d", built);
    run(f, 2);
    cr_assert(built == 4, "%d", built);
    const wf_function_info info = wf_function_describe(f);
    cr_assert(info.programs == 2 && info.compiled == 4 && info.found == 2 && info.dropped == 2);
    wf_program *a, *b;
    cr_assert(!wf_function_program(f, WF_SHAPE(2), &a) && !wf_function_program(f, WF_SHAPE(2), &b));
    cr_assert(a && a == b);
    wf_function_free(f);
}

static int refuse(void *user, wf_graph *g, wf_shape key, wf_tensor *out, int max) {
    if (key.dim[0] > 100) {
        wf_fail(WF_ARGUMENT, "batches are at most 100");
        return -1;
    }
    out[0] = wf_add(wf_full(g, WF_F32, key, 1), wf_full(g, WF_F32, WF_SHAPE(7), 1));
    return 1;
}

Test(compiler_function, mistakes) {
    int built = 0;
    wf_function *f;
    wf_program *p;
    cr_assert(wf_function_new(&f, NULL, NULL, (wf_function_opt){0}) == WF_ARGUMENT && !f);
    cr_assert(wf_function_new(&f, build, NULL, (wf_function_opt){.max_programs = -1}) ==
              WF_ARGUMENT);
    cr_assert(!wf_function_new(&f, refuse, NULL, (wf_function_opt){0}));
    cr_assert(wf_function_program(f, WF_SHAPE(3), &p) == WF_MODEL && !p);
    cr_assert(strstr(wf_error(), "add"), "%s", wf_error());
    cr_assert(wf_function_program(f, WF_SHAPE(101), &p) == WF_MODEL);
    cr_assert(strstr(wf_error(), "at most 100"), "%s", wf_error());
    cr_assert(wf_function_describe(f).programs == 0, "a model that failed is not kept");
    wf_function_free(f);
    cr_assert(!wf_function_new(&f, build, &built, (wf_function_opt){0}));
    float y[2];
    const wf_argument small = {"x", y, sizeof y}, other = {"z", y, sizeof y};
    cr_assert(wf_function_run(f, WF_SHAPE(2), &small, 1, NULL, 0) == WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "\"x\" has 24 bytes, 8 are given"), "%s", wf_error());
    cr_assert(wf_function_run(f, WF_SHAPE(2), NULL, 0, &other, 1) == WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "\"z\""), "%s", wf_error());
    wf_function_free(f);
    wf_function_free(NULL);
}
