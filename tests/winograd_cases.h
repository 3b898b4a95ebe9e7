/* What the tests of minimal filtering (tensor/contract_winograd.h) share: contractions over arrays
 * with gaps between pixels, their plans, and values of the fast path in any pieces. */
#ifndef WEFT_TESTS_WINOGRAD_CASES_H
#define WEFT_TESTS_WINOGRAD_CASES_H

#include "tensor/contract_stride.h"
#include "tensor/contract_winograd.h"
#include "tests/contract_cases.h"

/* Of a suite: minimal filtering wherever it applies, whatever it costs. */
static inline void winograd_always(void) { setenv("WF_WINOGRAD", "always", 1); }

/* The call of a contraction, over arrays whose last axis is followed by a gap. */
typedef struct laid_out {
    wf_call call;
    wf_array in[8];
    int64_t in_gap, out_gap;
} laid_out;

static inline wf_array with_gap(const wf_type *type, int64_t gap, int64_t *span) {
    wf_array a = wf_array_dense(NULL, type->dtype, &type->shape);
    const int rank = type->shape.rank;
    *span = wf_shape_count(&type->shape);
    if (rank < 2 || gap == 0) return a;
    const int64_t n = type->shape.dim[rank - 1];
    for (int j = 0; j < rank - 1; j++) a.stride[j] = a.stride[j] / n * (n + gap);
    *span = *span / n * (n + gap);
    return a;
}

/* Without data. */
static inline void lay_out(laid_out *l, wf_tensor t, int64_t in_gap, int64_t out_gap) {
    const wf_node *x = wf_graph_node(t.graph, t.id);
    int64_t span;
    for (uint32_t i = 0; i < x->n_in; i++)
        l->in[i] = with_gap(&wf_graph_node(t.graph, wf_node_in(t.graph, t.id)[i])->type, in_gap,
                            &span);
    l->in_gap = in_gap;
    l->out_gap = out_gap;
    l->call = (wf_call){.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = l->in,
                        .out = with_gap(&x->type, out_gap, &span)};
}

/* How the call is planned: minimal filtering is in .winograd. */
static inline wf_winograd planned(wf_tensor t, int64_t in_gap, int64_t out_gap) {
    laid_out l;
    wf_contract_plan p;
    lay_out(&l, t, in_gap, out_gap);
    return wf_contract_plan_make(&p, &l.call) ? p.winograd : (wf_winograd){0};
}

static inline bool by_winograd(wf_tensor t) { return planned(t, 0, 0).on; }

/* The value by the fast path, `each` pieces at a time; nothing is written between pixels. */
static inline float *with_gaps(wf_tensor t, int64_t in_gap, int64_t out_gap, int64_t each) {
    enum { UNSET = 0x5a };
    laid_out l;
    int64_t span;
    lay_out(&l, t, in_gap, out_gap);
    for (int i = 0; i < l.call.n_in; i++) {
        const wf_tensor in = wf_handle(t.graph, wf_node_in(t.graph, t.id)[i]);
        const wf_type *type = &wf_graph_node(t.graph, in.id)->type;
        void *value = reference(in);
        const wf_array dense = wf_array_dense(value, type->dtype, &type->shape);
        with_gap(type, in_gap, &span);
        const size_t bytes = (size_t)span * wf_dtype_bytes(type->dtype);
        l.in[i].data = malloc(bytes + 1);
        cr_assert(l.in[i].data, "no memory");
        memset(l.in[i].data, 0xff, bytes); /* NaN in the gaps */
        wf_array_copy(&l.in[i], &dense);
        free(value);
    }
    const wf_type *type = &wf_graph_node(t.graph, t.id)->type;
    with_gap(type, out_gap, &span);
    char *out = malloc((size_t)span * sizeof(float));
    float *result = malloc((size_t)wf_count(t) * sizeof *result);
    cr_assert(out && result, "no memory");
    memset(out, UNSET, (size_t)span * sizeof(float));
    l.call.out.data = out;
    run_pieces_in(&l.call, each, PIECES_FINITE);
    const wf_array dense = wf_array_dense(result, type->dtype, &type->shape);
    wf_array_copy(&dense, &l.call.out);
    const int64_t n = type->shape.rank ? type->shape.dim[type->shape.rank - 1] : 1;
    for (int64_t i = 0; out_gap && i < span * 4; i++)
        cr_assert(i / 4 % (n + out_gap) < n || out[i] == UNSET, "written between pixels");
    for (int i = 0; i < l.call.n_in; i++) free(l.in[i].data);
    free(out);
    return result;
}

static inline float *leaf_data(wf_tensor t, int i) {
    const wf_tensor in = wf_handle(t.graph, wf_node_in(t.graph, t.id)[i]);
    cr_assert(wf_graph_node(t.graph, in.id)->op == &wf_op_leaf, "operand %d is no leaf", i);
    return (float *)(uintptr_t)data_of(in);
}
static inline int64_t leaf_count(wf_tensor t, int i) {
    return wf_count(wf_handle(t.graph, wf_node_in(t.graph, t.id)[i]));
}

/* Operands become whole numbers so small that all sums are exact, those of taps halved too. */
static inline wf_tensor made_whole(wf_tensor t) {
    for (int i = 0; i < (int)wf_graph_node(t.graph, t.id)->n_in; i++) {
        float *x = leaf_data(t, i);
        for (int64_t k = leaf_count(t, i) - 1; k >= 0; k--)
            x[k] = rintf(x[k] * (i % 2 ? 3.0f : 20.0f));
    }
    return t;
}

/* Against the reference, in all layouts: exact on whole numbers, else within rounding. */
static inline void check_winograd(wf_tensor t, bool exact, const char *what) {
    const int64_t n = wf_count(t);
    float *want = reference(t);
    for (int gaps = 0; gaps < 4; gaps++) {
        const int64_t in_gap = gaps & 1 ? 3 : 0, out_gap = gaps & 2 ? 5 : 0;
        cr_assert(planned(t, in_gap, out_gap).on, "%s, gaps %d: not this path", what, gaps);
        float *got = with_gaps(t, in_gap, out_gap, gaps ? 3 : 1);
        const double error = relative(got, want, n);
        cr_assert(error <= (exact ? 0 : 1e-6), "%s, gaps %d: error %g", what, gaps, error);
        free(got);
    }
    free(want);
}

#endif
