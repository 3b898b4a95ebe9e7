/* Layers against PyTorch's recorded numbers, in f64 and f32: the value, the gradients with respect
 * to the input and every parameter; and each layer's gradient against differences. */
#ifndef TESTS_PARITY_LAYER_H
#define TESTS_PARITY_LAYER_H

#include <stdio.h>
#include <stdlib.h>

#include "tests/parity/parity.h"

typedef wf_tensor build_fn(wf_params *p, const char *name, wf_tensor x);

typedef struct layer_case {
    const char *name; /* of the recording and of the layer */
    build_fn *build;
    wf_shape x;
} layer_case;

/* A layer under test: leaf x, value y, loss = sum(y * cotangent). */
typedef struct layer_graph {
    wf_graph *g;
    wf_params *p;
    wf_dtype dtype;
    void *x_data;
    wf_tensor x, y, loss;
} layer_graph;

static inline layer_graph make(const layer_case *k, wf_dtype dtype) {
    char name[128];
    layer_graph l = {.g = wf_graph_new(), .p = wf_params_new(1), .dtype = dtype};
    l.x_data = calloc((size_t)wf_shape_count(&k->x), wf_dtype_bytes(dtype));
    snprintf(name, sizeof name, "%s.x", k->name);
    fill_closed(name, dtype, wf_shape_count(&k->x), l.x_data);
    l.x = wf_leaf(l.g, "x", dtype, k->x, l.x_data);
    l.y = k->build(l.p, k->name, l.x);
    cr_assert(wf_ok(l.y), "%s", wf_graph_message(l.g));
    fill_params(l.p, 2);
    const int64_t n = wf_count(l.y);
    void *cotangent = calloc((size_t)n, wf_dtype_bytes(dtype));
    snprintf(name, sizeof name, "%s.cotangent", k->name);
    fill_closed(name, dtype, n, cotangent);
    const wf_tensor c = wf_const(l.g, dtype, wf_shape_of_tensor(l.y), cotangent);
    l.loss = wf_sum(wf_mul(l.y, c), (wf_reduce_opt){0});
    free(cotangent);
    return l;
}

static inline void release(layer_graph *l) {
    wf_graph_free(l->g);
    wf_params_free(l->p);
    free(l->x_data);
}

static inline void check_statistics(const layer_case *k, const layer_graph *l) {
    static const char *const tail[] = {"running_mean", "running_var"};
    char name[128], after[160];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s.%s", k->name, tail[i]);
        snprintf(after, sizeof after, "%s.after.%s", k->name, tail[i]);
        wf_param_info w;
        if (!wf_safetensors_find(recorded_file(), after)) continue;
        cr_assert(wf_params_find(l->p, name, &w), "%s", name);
        expect_recorded(after, w.dtype, wf_shape_count(&w.shape), w.data);
    }
}

static inline void check_values(const layer_case *k, wf_dtype dtype) {
    enum { most = 32 };
    char name[160];
    layer_graph l = make(k, dtype);
    wf_tensor leaf[most] = {l.x}, out[most + 1] = {l.y};
    const int n = 1 + wf_params_leaves(l.p, l.g, leaf + 1, most - 1);
    cr_assert(n >= 1 && n <= most, "%s: %d leaves", k->name, n);
    cr_assert(!wf_grad(l.loss, leaf, n, out + 1), "%s: %s", k->name, wf_error());
    wf_program *program;
    const wf_compile_opt o = {.precision = WF_PRECISION_F32};
    cr_assert(!wf_compile(&program, l.g, out, n + 1, o), "%s", wf_error());
    cr_assert(!wf_run(program), "%s", wf_error());
    snprintf(name, sizeof name, "%s.y", k->name);
    expect_recorded(name, dtype, wf_count(l.y), wf_data(program, l.y));
    snprintf(name, sizeof name, "%s.dx", k->name);
    expect_recorded(name, dtype, wf_count(l.x), wf_data(program, out[1]));
    for (int i = 1, j = 0; i < n; i++, j++) {
        while (wf_params_at(l.p, (size_t)j).role != WF_ROLE_PARAM) j++;
        const char *full = wf_params_at(l.p, (size_t)j).name;
        snprintf(name, sizeof name, "%s.d.%s", k->name, full + strlen(k->name) + 1);
        expect_recorded(name, dtype, wf_count(leaf[i]), wf_data(program, out[i + 1]));
    }
    check_statistics(k, &l);
    wf_program_free(program);
    release(&l);
}

static inline void check_gradient(const layer_case *k) {
    enum { most = 32 };
    layer_graph l = make(k, WF_F64);
    wf_tensor leaf[most] = {l.x};
    const int n = 1 + wf_params_leaves(l.p, l.g, leaf + 1, most - 1);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        const wf_gradcheck_opt o = {.direction = true, .seed = seed};
        cr_assert(!wf_gradcheck(l.loss, leaf, n, o, NULL), "%s: %s", k->name, wf_error());
    }
    release(&l);
}

static inline void check_layer(const layer_case *k) {
    check_values(k, WF_F64);
    check_values(k, WF_F32);
    check_gradient(k);
}

/* A mistake: y is poison and the graph's message has this text. Frees the graph. */
static inline void expect_message(wf_graph *g, wf_tensor y, const char *text) {
    cr_assert(!wf_ok(y) && wf_graph_status(g) == WF_MODEL, "no message, \"%s\" expected", text);
    cr_assert(strstr(wf_graph_message(g), text), "\"%s\" lacks \"%s\"", wf_graph_message(g), text);
    wf_graph_free(g);
}

#endif
