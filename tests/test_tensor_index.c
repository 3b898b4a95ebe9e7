/* Indices: values by hand, indices out of range, integers beyond 2^53, messages, and fast paths
 * that have the bits of eval. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/graph.h"
#include "tensor/index.h"
#include "tests/pieces.h"

/* --- tools ----------------------------------------------------------------------------------- */

static void value(wf_tensor t, void *out) {
    cr_assert(wf_ok(t), "%s", t.graph ? wf_graph_message(t.graph) : "no graph");
    cr_assert(wf_reference(t.graph, &t.id, &out, 1, NULL, NULL) == WF_OK, "%s", wf_error());
}

static void expect_f64(wf_tensor t, int n, const double *want) {
    double got[64];
    cr_assert(wf_dtype_of(t) == WF_F64 && wf_count(t) == n);
    value(t, got);
    for (int i = 0; i < n; i++)
        cr_assert(got[i] == want[i] || (isnan(got[i]) && isnan(want[i])),
                  "element %d is %g, not %g", i, got[i], want[i]);
}

static void expect_i64(wf_tensor t, int n, const int64_t *want) {
    int64_t got[64];
    cr_assert(wf_dtype_of(t) == WF_I64 && wf_count(t) == n);
    value(t, got);
    for (int i = 0; i < n; i++)
        cr_assert(got[i] == want[i], "element %d is %lld, not %lld", i, (long long)got[i],
                  (long long)want[i]);
}

#define F64(g, shape, ...) wf_const(g, WF_F64, shape, (const double[]){__VA_ARGS__})
#define I64(g, shape, ...) wf_const(g, WF_I64, shape, (const int64_t[]){__VA_ARGS__})
#define I32(g, shape, ...) wf_const(g, WF_I32, shape, (const int32_t[]){__VA_ARGS__})
#define REAL(...) ((const double[]){__VA_ARGS__})
#define INT(...) ((const int64_t[]){__VA_ARGS__})

/* --- values ---------------------------------------------------------------------------------- */

Test(index, gather_reads_rows_and_zeros_out_of_range) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = F64(g, WF_SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
    expect_f64(wf_gather(x, I64(g, WF_SHAPE(4), 2, 0, -1, 3), 0), 8, REAL(5, 6, 1, 2, 0, 0, 0, 0));
    expect_f64(wf_gather(x, I32(g, WF_SHAPE(1, 3), 1, 1, 0), -1), 9,
               REAL(2, 2, 1, 4, 4, 3, 6, 6, 5));
    expect_f64(wf_gather(x, I32(g, WF_SCALAR, 1), 0), 2, REAL(3, 4));
    const wf_tensor far = I64(g, WF_SHAPE(2), INT64_MAX, INT64_MIN);
    expect_f64(wf_gather(x, far, 0), 4, REAL(0, 0, 0, 0));
    const wf_tensor ends = I64(g, WF_SHAPE(2), INT64_MAX, INT64_MIN);
    expect_i64(wf_gather(ends, I32(g, WF_SHAPE(2), 1, 0), 0), 2, INT(INT64_MIN, INT64_MAX));
    wf_graph_free(g);
}

Test(index, scatter_add_sums_in_order) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = F64(g, WF_SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
    const wf_tensor u = F64(g, WF_SHAPE(4, 2), 10, 20, 30, 40, 50, 60, 70, 80);
    expect_f64(wf_scatter_add(x, I64(g, WF_SHAPE(4), 2, 0, 2, 9), u, 0), 6,
               REAL(31, 42, 3, 4, 65, 86));
    const wf_tensor big = F64(g, WF_SHAPE(3), 1e16, 1, -1e16), zero = F64(g, WF_SHAPE(1), 0);
    expect_f64(wf_scatter_add(zero, I32(g, WF_SHAPE(3), 0, 0, 0), big, 0), 1,
               REAL(1e16 + 1 - 1e16));
    const wf_tensor top = I64(g, WF_SHAPE(1), INT64_MAX);
    expect_i64(wf_scatter_add(top, I32(g, WF_SHAPE(1), 0), I64(g, WF_SHAPE(1), 1), 0), 1,
               INT(INT64_MIN));
    wf_graph_free(g);
}

Test(index, take_along_and_put_along) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = F64(g, WF_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    const wf_tensor i = I64(g, WF_SHAPE(2, 2), 2, 0, 1, 7);
    expect_f64(wf_take_along(x, i, 1), 4, REAL(3, 1, 5, 0));
    expect_f64(wf_take_along(x, I32(g, WF_SHAPE(1, 3), 1, 0, -1), 0), 3, REAL(4, 2, 0));
    const wf_tensor u = F64(g, WF_SHAPE(2, 2), 10, 20, 30, 40);
    expect_f64(wf_put_along(u, i, -1, 3), 6, REAL(20, 0, 10, 0, 30, 0));
    expect_f64(wf_put_along(u, I64(g, WF_SHAPE(2, 2), 0, 0, 0, 0), 0, 1), 2, REAL(40, 60));
    wf_graph_free(g);
}

Test(index, one_hot) {
    wf_graph *g = wf_graph_new();
    expect_f64(wf_one_hot(I32(g, WF_SHAPE(3), 1, -1, 0), 2, WF_F64), 6, REAL(0, 1, 0, 0, 1, 0));
    cr_assert(wf_count(wf_one_hot(I32(g, WF_SHAPE(3), 1, 2, 0), 0, WF_F32)) == 0);
    wf_graph_free(g);
}

Test(index, argsort_is_stable_and_knows_nan) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = F64(g, WF_SHAPE(7), 2, NAN, -1, 2, -INFINITY, NAN, 0);
    expect_i64(wf_argsort(x, 0, false), 7, INT(4, 2, 6, 0, 3, 1, 5));
    expect_i64(wf_argsort(x, 0, true), 7, INT(1, 5, 0, 3, 6, 2, 4));
    expect_i64(wf_argsort(F64(g, WF_SHAPE(3), 0.0, -0.0, 0.0), 0, false), 3, INT(0, 1, 2));
    const int64_t e = INT64_C(1) << 53;
    const wf_tensor n = I64(g, WF_SHAPE(4), e + 1, e, INT64_MIN, INT64_MAX);
    expect_i64(wf_argsort(n, -1, false), 4, INT(2, 1, 0, 3));
    expect_i64(wf_argsort(I64(g, WF_SHAPE(2, 2), 5, 1, 3, 4), 0, false), 4, INT(1, 0, 0, 1));
    expect_f64(wf_sort(x, 0, false), 7, REAL(-INFINITY, -1, 0, 2, 2, NAN, NAN));
    wf_tensor at;
    expect_f64(wf_topk(F64(g, WF_SHAPE(2, 3), 1, 3, 2, 9, 7, 8), 2, -1, &at), 4, REAL(3, 2, 9, 8));
    expect_i64(at, 4, INT(1, 2, 0, 2));
    expect_f64(wf_topk(x, 0, 0, NULL), 0, NULL);
    wf_graph_free(g);
}

/* --- messages -------------------------------------------------------------------------------- */

static wf_graph *graph; /* of the case that runs */

static void refuses(wf_tensor t, const char *part) {
    cr_assert(!wf_ok(t), "not refused: %s", part);
    cr_assert(wf_graph_status(graph) == WF_MODEL && strstr(wf_error(), part), "\"%s\" lacks \"%s\"",
              wf_error(), part);
    wf_graph_free(graph);
    graph = wf_graph_new();
}

static wf_tensor real(wf_shape s) { return wf_full(graph, WF_F32, s, 0); }
static wf_tensor at(wf_shape s) { return wf_full(graph, WF_I32, s, 0); }

Test(index, mistakes_are_named) {
    graph = wf_graph_new();
    const wf_shape s = WF_SHAPE(2, 3);
    refuses(wf_gather(real(s), real(WF_SHAPE(1)), 0), "the index is f32; cast it to i32 or i64");
    refuses(wf_gather(real(s), at(WF_SHAPE(1)), 2), "axis 2");
    refuses(wf_gather(real(WF_SCALAR), at(WF_SHAPE(1)), 0), "axis 0");
    refuses(wf_gather(real(s), at(WF_SHAPE(1, 1, 1, 1, 1, 1, 1, 1)), 0), "rank 9");
    refuses(wf_gather((wf_tensor){0}, at(WF_SHAPE(1)), 0), "operand 0");
    refuses(wf_scatter_add(real(s), at(WF_SHAPE(4)), real(s), 0), "u is f32[2,3]");
    refuses(wf_scatter_add(real(s), at(WF_SHAPE(4)), at(WF_SHAPE(4, 3)), 0), "u is i32[4,3]");
    const wf_tensor byte = wf_full(graph, WF_U8, s, 0);
    refuses(wf_scatter_add(byte, at(WF_SHAPE(2)), byte, 0), "u8 has no addition");
    refuses(wf_take_along(real(s), at(WF_SHAPE(3, 2)), 1), "index [3,2] does not fit [2,3]");
    refuses(wf_take_along(real(s), at(WF_SHAPE(2)), 1), "does not fit");
    refuses(wf_put_along(real(s), at(WF_SHAPE(2, 2)), 1, 3), "does not fit");
    refuses(wf_put_along(real(s), at(s), 1, -1), "n = -1 is negative");
    refuses(wf_put_along(real(s), at(s), 1, INT64_MAX), "too large");
    refuses(wf_one_hot(real(s), 3, WF_F32), "the index is f32");
    refuses(wf_one_hot(at(s), -3, WF_F32), "classes = -3");
    refuses(wf_one_hot(at(s), INT64_MAX, WF_F32), "too large");
    refuses(wf_one_hot(at(s), 3, WF_I32), "i32 is not f32 or f64");
    refuses(wf_one_hot(at(WF_SHAPE(1, 1, 1, 1, 1, 1, 1, 1)), 3, WF_F32), "rank 9");
    refuses(wf_argsort(real(s), -3, false), "axis -3");
    wf_tensor index;
    refuses(wf_topk(real(s), 4, 1, &index), "topk: k = 4, but axis 1 has extent 3");
    cr_assert(!wf_ok(index));
    refuses(wf_topk(real(s), -1, 1, NULL), "k = -1");
    refuses(wf_topk(real(s), 1, 2, &index), "axis 2");
    wf_graph_free(graph);
}

/* --- fast paths ------------------------------------------------------------------------------ */

/* Compares every bit of fast and eval, for dense operands filled with numbers below `below`. */
static int64_t check_fast(wf_tensor t, int64_t below) {
    const wf_node *node = wf_graph_node(t.graph, t.id);
    const uint32_t *in = wf_node_in(t.graph, t.id);
    wf_array operand[3];
    uint64_t state = 1;
    for (uint32_t i = 0; i < node->n_in; i++) {
        const wf_type *x = &wf_graph_node(t.graph, in[i])->type;
        const int64_t n = wf_shape_count(&x->shape);
        operand[i] = wf_array_dense(calloc((size_t)n + 1, 8), x->dtype, &x->shape);
        for (int64_t k = 0; k < n; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            const double v = (double)(state >> 40) / 0x1p24;
            wf_set(&operand[i], k, wf_dtype_is_real(x->dtype) ? v : floor(v * (double)below) - 2);
        }
    }
    const size_t bytes = (size_t)wf_count(t) * wf_dtype_bytes(wf_dtype_of(t));
    char *want = calloc(1, bytes + 1), *got = calloc(1, bytes + 1);
    wf_call c = {.op = node->op, .attr = node->attr, .n_in = (int)node->n_in, .in = operand};
    c.out = wf_array_dense(want, node->type.dtype, &node->type.shape);
    c.op->eval(&c);
    c.out.data = got;
    cr_assert(c.op->fast->applicable(&c));
    int64_t pieces = 0;
    for (int64_t each = 1; each <= 4; each += 3) {
        memset(got, 0x55, bytes);
        pieces = run_pieces(&c, each);
        cr_assert(memcmp(want, got, bytes) == 0, "%s differs from eval", c.op->name);
    }
    for (uint32_t i = 0; i < node->n_in; i++) free(operand[i].data);
    free(want);
    free(got);
    return pieces;
}

static wf_tensor made(wf_graph *g, wf_dtype t, wf_shape s) { return wf_full(g, t, s, 0); }

Test(index, fast_paths_have_the_bits_of_eval) {
    wf_graph *g = wf_graph_new();
    const wf_dtype types[] = {WF_F32, WF_F64, WF_I32, WF_I64};
    for (size_t k = 0; k < WF_COUNT(types); k++) {
        const wf_dtype t = types[k];
        const wf_tensor x = made(g, t, WF_SHAPE(3, 37, 5)), i = made(g, WF_I64, WF_SHAPE(7, 11));
        check_fast(wf_gather(x, i, 1), 41);
        check_fast(wf_scatter_add(x, i, made(g, t, WF_SHAPE(3, 7, 11, 5)), 1), 41);
        check_fast(wf_argsort(x, 1, k & 1), 9);
        check_fast(wf_argsort(x, 2, !(k & 1)), 9);
    }
    check_fast(wf_argsort(made(g, WF_U8, WF_SHAPE(513)), 0, true), 60);
    cr_assert(check_fast(wf_gather(made(g, WF_F32, WF_SHAPE(500, 64)),
                                   made(g, WF_I32, WF_SHAPE(1000)), 0), 500) > 1);
    cr_assert(check_fast(wf_scatter_add(made(g, WF_F32, WF_SHAPE(500, 64)),
                                        made(g, WF_I32, WF_SHAPE(1000)),
                                        made(g, WF_F32, WF_SHAPE(1000, 64)), 0), 500) > 1);
    wf_graph_free(g);
}
