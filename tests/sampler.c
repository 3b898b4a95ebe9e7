#include "tests/sampler.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double sampler_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static wf_tensor add_leaf(test_sampler *s, wf_dtype t, wf_shape shape, double lo, double hi) {
    const int64_t n = wf_shape_count(&shape);
    cr_assert(n >= 0 && s->n < max_leaves, "a sample is too big");
    char *data = calloc((size_t)n + 1, wf_dtype_bytes(t));
    for (int64_t i = 0; i < n; i++)
        wf_store(t, data + i * (int64_t)wf_dtype_bytes(t),
                 lo + (hi - lo) * sampler_next(&s->state));
    s->data[s->n++] = data;
    char name[16];
    snprintf(name, sizeof name, "x%d", s->n - 1);
    return wf_leaf(s->base.graph, name, t, shape, data);
}

static wf_tensor make_real(wf_sampler *base, wf_shape shape, double lo, double hi) {
    test_sampler *s = (test_sampler *)base;
    const wf_tensor t = add_leaf(s, base->real, shape, lo, hi);
    s->real[s->n_real++] = t;
    return t;
}

/* Whole numbers: the range is shrunk by half a unit at both ends before rounding. */
static wf_tensor make_index(wf_sampler *base, wf_dtype t, wf_shape shape, int64_t below) {
    const double top = (double)below - 0.51;
    return add_leaf((test_sampler *)base, t, shape, -0.49, top < -0.49 ? -0.49 : top);
}

static wf_tensor make_bool(wf_sampler *base, wf_shape shape) {
    test_sampler *s = (test_sampler *)base;
    const wf_tensor t = add_leaf(s, WF_BOOL, shape, 0, 0);
    for (int64_t i = 0; i < wf_shape_count(&shape); i++)
        ((uint8_t *)s->data[s->n - 1])[i] = sampler_next(&s->state) < 0.5;
    return t;
}

void sampler_init(test_sampler *s, wf_dtype real, uint64_t seed) {
    memset(s, 0, sizeof *s);
    s->base.graph = wf_graph_new();
    cr_assert(s->base.graph, "no memory for a graph");
    s->base.real = real;
    s->base.make_real = make_real;
    s->base.make_index = make_index;
    s->base.make_bool = make_bool;
    s->state = seed * 7919 + 1;
}

void sampler_free(test_sampler *s) {
    wf_graph_free(s->base.graph);
    for (int i = 0; i < s->n; i++) free(s->data[i]);
}
