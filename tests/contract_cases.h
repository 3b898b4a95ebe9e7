/* What the tests of contractions share: leaves with random content, values by the reference and by
 * the fast path, gradients as contractions, and a table of convolutions of odd shapes. */
#ifndef WEFT_TESTS_CONTRACT_CASES_H
#define WEFT_TESTS_CONTRACT_CASES_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "tensor/contract_plan.h"
#include "tests/pieces.h"

static inline double next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (1 << 23) - 1;
}

/* Memory that lives as long as the process of the test; the list keeps it reachable. */
static inline void *keep(size_t bytes) {
    struct kept {
        _Alignas(16) struct kept *next;
    };
    static struct kept *all;
    struct kept *k = calloc(1, sizeof *k + bytes);
    cr_assert(k, "no memory");
    k->next = all;
    all = k;
    return k + 1;
}

/* A leaf over its own memory. */
static inline wf_tensor leaf(wf_graph *g, wf_dtype t, wf_shape shape) {
    static int count;
    char name[32];
    snprintf(name, sizeof name, "leaf%d", count++);
    const int64_t n = wf_shape_count(&shape);
    void *data = keep(((size_t)n + 1) * 8);
    const wf_array a = wf_array_dense(data, t, &shape);
    uint64_t state = (uint64_t)count;
    for (int64_t i = 0; i < n; i++) wf_set(&a, i, next_random(&state));
    return wf_leaf(g, name, t, shape, data);
}

static inline wf_tensor f32(wf_graph *g, wf_shape shape) { return leaf(g, WF_F32, shape); }

static inline const float *data_of(wf_tensor t) {
    return ((const wf_leaf_attr *)wf_graph_node(t.graph, t.id)->attr)->data;
}

/* The value by the reference evaluator; the caller frees it. */
static inline void *reference(wf_tensor t) {
    void *out = calloc((size_t)wf_count(t) + 1, 8);
    cr_assert(wf_reference(t.graph, &t.id, &out, 1, NULL, NULL) == WF_OK, "%s", wf_error());
    return out;
}

/* The value of a contraction of leaves by its fast path; `gap` extra elements at the end of each
 * row of an operand give strides other than dense ones. */
static inline float *by_pieces(wf_tensor t, int64_t each, int64_t gap, bool *shared_used) {
    const wf_node *x = wf_graph_node(t.graph, t.id);
    const uint32_t *in = wf_node_in(t.graph, t.id);
    wf_array array[8];
    for (uint32_t i = 0; i < x->n_in; i++) {
        void *value = reference(wf_handle(t.graph, in[i]));
        const wf_type *type = &wf_graph_node(t.graph, in[i])->type;
        const wf_array dense = wf_array_dense(value, type->dtype, &type->shape);
        array[i] = dense;
        if (type->shape.rank > 1)
            for (int j = 0; j < type->shape.rank - 1; j++)
                array[i].stride[j] = dense.stride[j] / dense.stride[type->shape.rank - 2] *
                                     (type->shape.dim[type->shape.rank - 1] + gap);
        const int64_t rows = wf_shape_count(&type->shape) /
                             (type->shape.rank ? type->shape.dim[type->shape.rank - 1] : 1);
        array[i].data = calloc((size_t)(wf_shape_count(&type->shape) + (rows + 1) * gap + 16), 8);
        wf_array_copy(&array[i], &dense);
        free(value);
    }
    const int64_t n = wf_count(t);
    float *out = malloc((size_t)n * sizeof *out + 64);
    const wf_shape room = WF_SHAPE(n + 16);
    const wf_array all = wf_array_dense(out, x->type.dtype, &room);
    for (int64_t i = 0; i < n + 16; i++) wf_set(&all, i, 12352);
    wf_call c = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = array,
                 .out = wf_array_dense(out, x->type.dtype, &x->type.shape)};
    const int64_t packs = run_pieces(&c, each);
    if (shared_used) *shared_used = packs > 0;
    for (int64_t i = 0; i < 16; i++)
        cr_assert(wf_get(&all, n + i) == 12352, "written past the end");
    for (uint32_t i = 0; i < x->n_in; i++) free(array[i].data);
    return out;
}

static inline double relative(const float *got, const float *want, int64_t n) {
    double d = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        d += pow((double)got[i] - (double)want[i], 2);
        norm += pow((double)want[i], 2);
    }
    return norm > 0 ? sqrt(d / norm) : sqrt(d);
}

/* The contraction under reshapes. */
static inline wf_tensor contraction(wf_tensor t) {
    cr_assert(wf_ok(t), "%s", t.graph ? wf_graph_message(t.graph) : "no graph");
    while (wf_graph_node(t.graph, t.id)->op != &wf_op_contract)
        t = wf_handle(t.graph, wf_node_in(t.graph, t.id)[0]);
    return t;
}

/* The contraction that is the gradient of t in operand i, on a fresh cotangent leaf. */
static inline wf_tensor gradient(wf_tensor t, int i) {
    const wf_node *x = wf_graph_node(t.graph, t.id);
    wf_tensor operand[8], gx[8] = {{0}};
    bool wanted[8] = {false};
    for (uint32_t k = 0; k < x->n_in; k++)
        operand[k] = wf_handle(t.graph, wf_node_in(t.graph, t.id)[k]);
    wanted[i] = true;
    const wf_tensor g = leaf(t.graph, x->type.dtype, x->type.shape);
    x = wf_graph_node(t.graph, t.id);
    wf_contract_grad(&(wf_grad_call){.graph = t.graph, .y = t, .g = g, .attr = x->attr,
                                     .n_in = (int)x->n_in, .x = operand, .wanted = wanted,
                                     .gx = gx});
    cr_assert(wf_ok(gx[i]), "%s", wf_graph_message(t.graph));
    return gx[i];
}

/* A contraction of leaves in another mode. */
static inline wf_tensor recast(wf_tensor t, wf_compute compute) {
    wf_tensor in[8];
    const wf_node *x = wf_graph_node(t.graph, t.id);
    for (uint32_t i = 0; i < x->n_in; i++)
        in[i] = wf_handle(t.graph, wf_node_in(t.graph, t.id)[i]);
    const wf_tensor y = wf_contract_recast(t.graph, t.id, in, compute, false);
    cr_assert(wf_ok(y), "%s", wf_graph_message(t.graph));
    return y;
}

/* The same on bf16 leaves in place of the operands in `halves`, bits, with a result in bf16. */
static inline wf_tensor recast_narrow(wf_tensor t, unsigned halves, wf_compute compute,
                                      bool narrow) {
    wf_tensor operand[8];
    const uint32_t n_in = wf_graph_node(t.graph, t.id)->n_in;
    for (uint32_t i = 0; i < n_in; i++) {
        operand[i] = wf_handle(t.graph, wf_node_in(t.graph, t.id)[i]);
        if (halves >> i & 1)
            operand[i] = leaf(t.graph, WF_BF16, wf_shape_of_tensor(operand[i]));
    }
    const wf_tensor y = wf_contract_recast(t.graph, t.id, operand, compute, narrow);
    cr_assert(wf_ok(y), "%s", wf_graph_message(t.graph));
    return y;
}

static inline wf_compute compute_of(wf_tensor t) {
    const wf_contract_attr *c = wf_graph_node(t.graph, t.id)->attr;
    return (wf_compute)c->compute;
}

static inline void check_fast(wf_tensor t, const char *what) {
    const bool split = compute_of(t) == WF_COMPUTE_F32X3; /* few sums: those that cancel weigh */
    const double allowed = !split ? 1e-6 : wf_count(t) < 64 ? 2e-4 : 1e-5;
    float *want = reference(t);
    for (int64_t gap = 0; gap < 4; gap += 3) {
        float *one = by_pieces(t, 1, gap, NULL), *all = by_pieces(t, 1000000, gap, NULL);
        const double error = relative(one, want, wf_count(t));
        cr_assert(error <= allowed, "%s: error %g", what, error);
        cr_assert(memcmp(one, all, (size_t)wf_count(t) * sizeof *one) == 0,
                  "%s: depends on how pieces are handed out", what);
        free(one);
        free(all);
    }
    free(want);
}

/* The node, its gradients, and theirs. */
static inline void check_all_directions(wf_tensor t, const char *what) {
    char name[160];
    t = contraction(t);
    check_fast(t, what);
    for (int i = 0; i < 2; i++) {
        const wf_tensor d = contraction(gradient(t, i));
        snprintf(name, sizeof name, "%s, gradient %d", what, i);
        check_fast(d, name);
        for (int j = 0; j < 2; j++) {
            snprintf(name, sizeof name, "%s, gradient %d %d", what, i, j);
            check_fast(contraction(gradient(d, j)), name);
        }
    }
}

typedef struct conv_case {
    int n, h, w, c, o, kh, kw, groups;
    wf_conv_opt opt;
} conv_case;

static const conv_case conv_cases[] = {
    {2, 6, 7, 3, 5, 3, 3, 1, {.pad = {1, 1}}},
    {1, 8, 8, 64, 40, 5, 5, 1, {.pad = {2, 2}}},
    {2, 9, 5, 1, 33, 5, 3, 1, {.pad = {2, 1}}},
    {1, 11, 10, 32, 64, 3, 3, 1, {.stride = {2, 3}, .pad = {1, 1}}},
    {1, 12, 9, 16, 48, 3, 2, 1, {.dilation = {2, 3}, .pad = {2, 0}}},
    {2, 5, 6, 64, 4, 1, 1, 1, {.groups = 1}},
    {3, 7, 3, 1, 4, 1, 1, 1, {.groups = 1}},
    {1, 6, 6, 8, 12, 3, 3, 4, {.pad = {1, 1}}},
    {2, 9, 8, 24, 24, 3, 3, 24, {.pad = {1, 1}}},
    {1, 5, 7, 70, 33, 3, 3, 1, {.pad = {0, 2}, .pad_after = {3, 1}, .use_pad_after = true}},
    {2, 16, 15, 17, 2, 2, 3, 1, {.stride = {1, 2}, .pad = {1, 1}}},
    {1, 3, 3, 5, 7, 3, 3, 1, {.pad = {3, 3}}},
    {1, 20, 20, 3, 16, 7, 7, 1, {.stride = {2, 2}, .pad = {3, 3}}},
    {1, 1, 1, 1, 1, 1, 1, 1, {.groups = 1}},
    {2, 7, 9, 5, 6, 1, 1, 1, {.stride = {2, 3}}},
    {1, 9, 8, 6, 4, 4, 2, 2, {.stride = {3, 2}, .pad = {1, 1}}},
};

static inline int stride_of(const conv_case *k, int i) {
    return k->opt.stride[i] ? k->opt.stride[i] : 1;
}
static inline int dilation_of(const conv_case *k, int i) {
    return k->opt.dilation[i] ? k->opt.dilation[i] : 1;
}

static inline wf_tensor build_conv(wf_graph *g, const conv_case *k) {
    wf_conv_opt o = k->opt;
    o.groups = k->groups;
    const wf_tensor x = f32(g, WF_SHAPE(k->n, k->h, k->w, k->c)); /* node 1, then w: node 2 */
    return wf_conv(x, f32(g, WF_SHAPE(k->o, k->kh, k->kw, k->c / k->groups)), o);
}

/* The value by a program that has nothing else to do. */
static inline float *by_program(wf_tensor y, unsigned off, int threads) {
    wf_program *p;
    const wf_compile_opt o = {.off = off | WF_PASS_ALONE, .threads = threads};
    const size_t bytes = (size_t)wf_count(y) * sizeof(float);
    float *out = malloc(bytes);
    cr_assert(wf_compile(&p, y.graph, &y, 1, o) == WF_OK && wf_run(p) == WF_OK &&
              wf_run(p) == WF_OK && wf_read(p, y, out, bytes) == WF_OK, "%s", wf_error());
    wf_program_free(p);
    return out;
}

#endif
