/* Trains a network whose activation comes from a shared object: plugin LIBRARY.so
 *
 * The object is opened with dlopen, two of its functions become an operation and its gradient by
 * their signatures, the gradient is checked by differences, and a network of two layers learns
 * sin(3 x) with it. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>

#include "nn/nn.h"

enum { POINTS = 64, HIDDEN = 32, STEPS = 400 };

static int fail(const char *what) {
    fprintf(stderr, "plugin: %s\n", what);
    return 1;
}

/* A function of the object as an operation; NULL with a message. */
static wf_cfunction *borrow(void *object, const char *name, const char *signature,
                            wf_cfunction_opt o) {
    wf_anyfn *fn;
    *(void **)&fn = dlsym(object, name); /* as POSIX has it */
    wf_cfunction *f = NULL;
    if (!fn) fail(dlerror());
    else if (wf_cfunction_new(&f, name, signature, fn, o)) fail(wf_error());
    return f;
}

static wf_tensor activate(const wf_cfunction *f, wf_tensor x) {
    return wf_cfunction_call(f, &x, 1);
}

/* The borrowed gradient against differences of the borrowed function. */
static wf_status check(const wf_cfunction *f) {
    float at[5] = {-2, -0.5f, 0.1f, 1, 3};
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(5), at);
    const wf_tensor y = wf_sum(wf_square(activate(f, x)), (wf_reduce_opt){0});
    double worst;
    const wf_status s = wf_gradcheck(y, &x, 1, (wf_gradcheck_opt){0}, &worst);
    if (s == WF_OK) printf("gradient: %.2f of the allowed difference\n", worst);
    wf_graph_free(g);
    return s;
}

static wf_status train(const wf_cfunction *f, float *first, float *last) {
    float x[POINTS], target[POINTS];
    for (int i = 0; i < POINTS; i++) {
        x[i] = 2 * (float)i / (POINTS - 1) - 1;
        target[i] = sinf(3 * x[i]);
    }
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor in = wf_const(g, WF_F32, WF_SHAPE(POINTS, 1), x);
    const wf_tensor want = wf_const(g, WF_F32, WF_SHAPE(POINTS, 1), target);
    const wf_tensor h = activate(f, wf_nn_linear(p, "in", in, (wf_linear_opt){.out = HIDDEN}));
    const wf_tensor y = wf_nn_linear(p, "out", h, (wf_linear_opt){.out = 1});
    const wf_tensor loss = wf_name(wf_nn_mse(y, want), "loss");
    wf_nn_adam(p, loss, (wf_optimizer_opt){.lr = 1e-2});
    wf_program *step;
    wf_status s = wf_compile(&step, g, &loss, 1, (wf_compile_opt){0});
    wf_graph_free(g);
    for (int i = 0; i < STEPS && s == WF_OK; i++) {
        s = wf_run(step);
        if (s == WF_OK) *last = *(float *)wf_data_named(step, "loss", &(size_t){0});
        if (i == 0) *first = *last;
    }
    wf_program_free(step);
    wf_params_free(p);
    return s;
}

int main(int argc, char **argv) {
    if (argc != 2) return fail("usage: plugin LIBRARY.so"), 2;
    void *object = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!object) return fail(dlerror());
    wf_cfunction *gradient =
        borrow(object, "mish_gradient", "f32(f32 x, f32 y, f32 g)", (wf_cfunction_opt){0});
    if (!gradient) return 1;
    const wf_cfunction *const of_operand[] = {gradient};
    wf_cfunction *f = borrow(object, "mish", "f32(f32)",
                             (wf_cfunction_opt){.grad = of_operand, .n_grad = 1});
    if (!f) return 1;
    float first = NAN, last = NAN;
    wf_status s = check(f);
    if (!s) s = train(f, &first, &last);
    if (s) return fail(wf_error());
    printf("loss %.4f -> %.6f in %d steps\n", first, last, STEPS);
    wf_cfunction_free(f);
    wf_cfunction_free(gradient);
    dlclose(object);
    return last < 0.01f * first ? 0 : fail("it did not learn");
}
