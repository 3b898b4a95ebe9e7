/* Optimisers against torch.optim: three steps on mean(a^2 s) + mean(sin b). */
#include "tests/parity/parity.h"

typedef wf_tensor optimizer(wf_params *p, wf_tensor loss, wf_optimizer_opt o);

typedef struct optimizer_case {
    const char *name;
    optimizer *make;
    wf_optimizer_opt o;
} optimizer_case;

static const wf_param_group groups[] = {{.pattern = "groups.a", .lr = 0.5, .decay = 0.3},
                                        {.pattern = "*.b", .no_decay = true}};
static const optimizer_case cases[] = {
    {"sgd", wf_nn_sgd, {.lr = 0.1}},
    {"sgd_momentum", wf_nn_sgd, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01}},
    {"sgd_nesterov", wf_nn_sgd, {.lr = 0.1, .momentum = 0.9, .nesterov = true, .clip_value = 0.1}},
    {"adam", wf_nn_adam, {.lr = 0.01}},
    {"adam_clip",
     wf_nn_adam,
     {.lr = 0.01, .beta1 = 0.8, .beta2 = 0.99, .eps = 1e-3, .weight_decay = 0.02, .clip_norm = 0.2,
      .clip_value = 0.1}},
    {"adamw", wf_nn_adamw, {.lr = 0.01, .weight_decay = 0.1}},
    {"adagrad", wf_nn_adagrad, {.lr = 0.1}},
    {"adagrad_decay", wf_nn_adagrad, {.lr = 0.1, .weight_decay = 0.02, .eps = 1e-3}},
    {"lion", wf_nn_lion, {.lr = 0.01, .weight_decay = 0.1}},
    {"groups", wf_nn_adamw, {.lr = 0.01, .weight_decay = 0.1, .group = groups, .n_groups = 2}},
    {"rmsprop", wf_nn_rmsprop, {.lr = 0.01}},
    {"rmsprop_centered",
     wf_nn_rmsprop,
     {.lr = 0.01, .alpha = 0.9, .eps = 1e-5, .weight_decay = 0.01, .momentum = 0.5,
      .centered = true}},
};

/* The loss on parameters CASE.a (3, 4) and CASE.b (5) of p. */
static wf_tensor build_loss(wf_graph *g, wf_params *p, const char *name, wf_dtype dtype) {
    char full[64];
    double scale[12];
    const wf_param_opt o = {.dtype = dtype};
    wf_params_push(p, "%s", name);
    const wf_tensor a = wf_param(g, p, "a", WF_SHAPE(3, 4), (wf_init){0}, o);
    const wf_tensor b = wf_param(g, p, "b", WF_SHAPE(5), (wf_init){0}, o);
    wf_params_pop(p);
    snprintf(full, sizeof full, "%s.scale", name);
    fill_closed(full, dtype, 12, scale);
    const wf_tensor s = wf_const(g, dtype, WF_SHAPE(3, 4), scale);
    return wf_add(wf_mean(wf_mul(wf_square(a), s), (wf_reduce_opt){0}),
                  wf_mean(wf_sin(b), (wf_reduce_opt){0}));
}

/* Steps [first, last) in a graph and program of their own; lr_input: the rate is written before
 * each run, with `lr` in the options 0. */
static void train(const optimizer_case *k, wf_params *p, wf_dtype dtype, int first, int last,
                  bool lr_input) {
    char name[64];
    wf_graph *g = wf_graph_new();
    const wf_tensor loss = build_loss(g, p, k->name, dtype);
    if (first == 0) fill_params(p, 0);
    wf_optimizer_opt o = k->o;
    if (lr_input) o.lr = 0;
    const wf_tensor norm = k->make(p, loss, o);
    wf_program *program;
    cr_assert(!wf_compile(&program, g, &norm, 1, (wf_compile_opt){0}), "%s: %s", k->name,
              wf_error());
    wf_graph_free(g);
    size_t bytes = 0;
    float *lr = lr_input ? wf_data_named(program, "lr", &bytes) : NULL;
    snprintf(name, sizeof name, "%s.norm", k->name);
    for (int i = first; i < last; i++) {
        if (lr_input) {
            cr_assert(lr && bytes == sizeof *lr, "%s", wf_error());
            *lr = (float)k->o.lr;
        }
        cr_assert(!wf_run(program), "%s", wf_error());
        const double got = wf_load(dtype, wf_data(program, norm)), want = recorded_value(name, i);
        cr_assert(fabs(got - want) <= (dtype == WF_F64 ? 1e-13 : 1e-6) * want,
                  "%s: norm of step %d is %.9g, not %.9g", k->name, i + 1, got, want);
    }
    wf_program_free(program);
}

static void check(const optimizer_case *k, wf_dtype dtype, bool lr_input) {
    static const char *const param[] = {"a", "b"};
    wf_params *p = wf_params_new(1);
    /* The second program goes on with the state that the first one left. */
    train(k, p, dtype, 0, 2, lr_input);
    train(k, p, dtype, 2, 3, lr_input);
    for (int i = 0; i < 2; i++) {
        char name[64], after[64];
        wf_param_info w;
        snprintf(name, sizeof name, "%s.%s", k->name, param[i]);
        snprintf(after, sizeof after, "%s.after.%s", k->name, param[i]);
        cr_assert(wf_params_find(p, name, &w), "%s", name);
        const double d = distance(after, dtype, wf_shape_count(&w.shape), w.data);
        const double most = dtype == WF_F64 && !lr_input ? 1e-14 : 3e-7;
        cr_assert(d <= most, "%s in %s: distance %.2g", after, wf_dtype_name(dtype), d);
    }
    wf_params_free(p);
}

Test(nn_optimizer, parity_f64) {
    for (size_t i = 0; i < WF_COUNT(cases); i++) check(&cases[i], WF_F64, false);
}
Test(nn_optimizer, parity_f32) {
    for (size_t i = 0; i < WF_COUNT(cases); i++) check(&cases[i], WF_F32, false);
}
Test(nn_optimizer, rate_from_an_input) {
    for (size_t i = 0; i < WF_COUNT(cases); i++) check(&cases[i], WF_F32, true);
}

/* The first step of Adam without eps is lr times the sign of the gradient, to the last digit but
 * rounding: the bias corrections lose nothing. */
Test(nn_optimizer, first_adam_step_is_exact) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor w = wf_param(g, p, "w", WF_SHAPE(64), (wf_init){.kind = WF_INIT_CONSTANT},
                                 (wf_param_opt){0});
    float c[64];
    fill_closed("c", WF_F32, 64, c);
    const wf_tensor loss = wf_sum(wf_mul(w, wf_const(g, WF_F32, WF_SHAPE(64), c)),
                                  (wf_reduce_opt){0});
    const wf_tensor norm = wf_nn_adam(p, loss, (wf_optimizer_opt){.lr = 0.001, .eps = 1e-30});
    wf_program *program;
    cr_assert(!wf_compile(&program, g, &norm, 1, (wf_compile_opt){0}), "%s", wf_error());
    cr_assert(!wf_run(program), "%s", wf_error());
    wf_param_info info;
    cr_assert(wf_params_find(p, "w", &info));
    for (int i = 0; i < 64; i++) {
        const float got = ((float *)info.data)[i], want = c[i] > 0 ? -0.001f : 0.001f;
        cr_assert(fabsf(got / want - 1) < 4e-7f, "w[%d] %.9g, not %.9g", i, got, want);
    }
    wf_program_free(program);
    wf_graph_free(g);
    wf_params_free(p);
}

/* --- groups, averages, micro batches ---------------------------------------------------------- */

/* A step of p on `loss` in a program of its own, n times. */
static void steps(wf_params *p, wf_tensor loss, optimizer *make, wf_optimizer_opt o, int n) {
    const wf_tensor norm = make(p, loss, o);
    wf_program *program;
    cr_assert(!wf_compile(&program, loss.graph, &norm, 1, (wf_compile_opt){0}), "%s", wf_error());
    for (int i = 0; i < n; i++) cr_assert(!wf_run(program), "%s", wf_error());
    wf_program_free(program);
}

static double *values(wf_params *p, const char *name) {
    wf_param_info w;
    cr_assert(wf_params_find(p, name, &w) && w.dtype == WF_F64, "%s", name);
    return w.data;
}

Test(nn_optimizer, frozen_parameters_stay) {
    static const wf_param_group frozen[] = {{.pattern = "frozen.a", .frozen = true}};
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor loss = build_loss(g, p, "frozen", WF_F64);
    fill_params(p, 0);
    steps(p, loss, wf_nn_sgd, (wf_optimizer_opt){.lr = 0.1, .group = frozen, .n_groups = 1}, 3);
    cr_assert(distance("frozen.after.a", WF_F64, 12, values(p, "frozen.a")) == 0);
    cr_assert(distance("frozen.after.b", WF_F64, 5, values(p, "frozen.b")) < 1e-15);
    wf_graph_free(g);
    wf_params_free(p);
}

Test(nn_optimizer, averages_of_the_weights) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor loss = build_loss(g, p, "x", WF_F64);
    cr_assert(wf_params_swap_average(p) == WF_ARGUMENT, "no step yet");
    fill_params(p, 0);
    wf_program *program;
    const wf_tensor norm = wf_nn_sgd(p, loss, (wf_optimizer_opt){.lr = 0.5, .average = 0.75});
    cr_assert(!wf_compile(&program, g, &norm, 1, (wf_compile_opt){0}), "%s", wf_error());
    double want[5], now[5];
    const double *b = values(p, "x.b");
    for (int i = 0; i < 4; i++) {
        cr_assert(!wf_run(program), "%s", wf_error());
        for (int k = 0; k < 5; k++) want[k] = i ? 0.75 * want[k] + 0.25 * b[k] : b[k];
    }
    memcpy(now, b, sizeof now);
    cr_assert(!wf_params_swap_average(p), "%s", wf_error());
    for (int k = 0; k < 5; k++) cr_assert(fabs(b[k] - want[k]) < 1e-15, "%g %g", b[k], want[k]);
    cr_assert(!wf_params_swap_average(p) && !memcmp(b, now, sizeof now), "and back");
    wf_program_free(program);
    wf_graph_free(g);
    wf_params_free(p);
}

/* The mean of (a - x)^2 over the batch that input x holds. */
static wf_tensor batch_loss(wf_graph *g, wf_params *p, int64_t batch) {
    const wf_tensor x = wf_input(g, "x", WF_F64, WF_SHAPE(batch, 3));
    const wf_tensor a = wf_param(g, p, "a", WF_SHAPE(3), (wf_init){0},
                                 (wf_param_opt){.dtype = WF_F64});
    return wf_mean(wf_square(wf_sub(a, x)), (wf_reduce_opt){0});
}

/* Runs `runs` batches of rows of data; afterwards a is in p. */
static void train_batches(wf_params *p, int64_t batch, int runs, wf_optimizer_opt o) {
    double data[12 * 3];
    fill_closed("batches", WF_F64, WF_COUNT(data), data);
    wf_graph *g = wf_graph_new();
    const wf_tensor loss = batch_loss(g, p, batch), norm = wf_nn_adam(p, loss, o);
    wf_program *program;
    cr_assert(!wf_compile(&program, g, &norm, 1, (wf_compile_opt){0}), "%s", wf_error());
    for (int i = 0; i < runs; i++) {
        size_t bytes;
        void *x = wf_data_named(program, "x", &bytes);
        memcpy(x, data + i * batch * 3, bytes);
        cr_assert(!wf_run(program), "%s", wf_error());
    }
    wf_program_free(program);
    wf_graph_free(g);
}

/* Three micro batches of two and one batch of six are one step; nothing moves in between. */
Test(nn_optimizer, micro_batches_are_a_batch) {
    wf_params *p = wf_params_new(1), *q = wf_params_new(1);
    const wf_optimizer_opt o = {.lr = 0.1, .clip_norm = 0.05, .weight_decay = 0.1, .average = 0.5};
    wf_optimizer_opt micro = o;
    micro.accumulate = 3;
    train_batches(p, 6, 2, o);
    train_batches(q, 2, 2, micro);
    wf_params *start = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    batch_loss(g, start, 2);
    cr_assert(!memcmp(values(start, "a"), values(q, "a"), 3 * sizeof(double)), "not due yet");
    wf_params_free(q);
    q = wf_params_new(1);
    train_batches(q, 2, 6, micro);
    for (int k = 0; k < 3; k++) {
        const double a = values(p, "a")[k], b = values(q, "a")[k];
        const double c = values(p, "optimizer.average.a")[k];
        cr_assert(fabs(a - b) < 1e-14 && fabs(a - values(start, "a")[k]) > 0.01, "%g %g", a, b);
        cr_assert(fabs(c - values(q, "optimizer.average.a")[k]) < 1e-14);
    }
    wf_graph_free(g);
    wf_params_free(start);
    wf_params_free(p);
    wf_params_free(q);
}

Test(nn_optimizer, mistakes_in_groups) {
    static const wf_param_group misspelt[] = {{.pattern = "x.c", .frozen = true}};
    static const wf_param_group all[] = {{.pattern = "*", .frozen = true}};
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    wf_tensor loss = build_loss(g, p, "x", WF_F32);
    cr_assert(!wf_ok(wf_nn_sgd(p, loss, (wf_optimizer_opt){
        .lr = 1, .group = misspelt, .n_groups = 1})));
    cr_assert(strstr(wf_graph_message(g), "no trainable parameter is called \"x.c\"; names are "
                                          "like \"x.a\""), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    loss = build_loss(g, p, "x", WF_F32);
    cr_assert(!wf_ok(wf_nn_sgd(p, loss, (wf_optimizer_opt){.lr = 1, .group = all, .n_groups = 1})));
    cr_assert(strstr(wf_graph_message(g), "freeze every parameter"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    wf_params_free(p);
}

Test(nn_optimizer, mistakes) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    wf_tensor loss = wf_full(g, WF_F32, WF_SCALAR, 1);
    cr_assert(!wf_ok(wf_nn_adam(p, loss, (wf_optimizer_opt){.lr = 1})));
    cr_assert(strstr(wf_graph_message(g), "no trainable parameter"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    loss = build_loss(g, p, "x", WF_F32);
    cr_assert(!wf_ok(wf_nn_adam(p, loss, (wf_optimizer_opt){.lr = 1, .beta2 = 1.5})));
    cr_assert(strstr(wf_graph_message(g), "out of range"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    loss = build_loss(g, p, "x", WF_F32);
    cr_assert(wf_ok(wf_nn_sgd(p, loss, (wf_optimizer_opt){.lr = 1})));
    cr_assert(!wf_ok(wf_nn_sgd(p, loss, (wf_optimizer_opt){.lr = 1})));
    cr_assert(strstr(wf_graph_message(g), "assigned twice"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    const wf_tensor w = wf_param(g, p, "v", WF_SHAPE(3), (wf_init){0}, (wf_param_opt){0});
    cr_assert(!wf_ok(wf_nn_sgd(p, w, (wf_optimizer_opt){.lr = 1})));
    cr_assert(strstr(wf_graph_message(g), "one element"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    wf_params_free(p);
}
