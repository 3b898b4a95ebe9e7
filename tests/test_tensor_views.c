/* Views and placement: values against plain loops, which reshapes are views, messages, absurd
 * attributes, and fast paths over strided operands. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/graph.h"
#include "tensor/view.h"
#include "tests/pieces.h"

/* --- tools ----------------------------------------------------------------------------------- */

/* An i64 constant 2^60, 2^60 + 1, ...: numbers that a double does not hold. */
static const int64_t big = INT64_C(1) << 60;

static wf_tensor count_up(wf_graph *g, wf_shape shape) {
    const int64_t n = wf_shape_count(&shape);
    int64_t *v = malloc((size_t)(n + 1) * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = big + i;
    const wf_tensor t = wf_const(g, WF_I64, shape, v);
    free(v);
    return t;
}

/* Asserts that t has this shape and, less 2^60 where not 0, these values. */
static void expect(wf_tensor t, wf_shape shape, const int64_t *want) {
    const wf_shape got_shape = wf_shape_of_tensor(t);
    char text[200];
    cr_assert(wf_ok(t), "%s", wf_graph_message(t.graph));
    cr_assert(wf_shape_equal(&got_shape, &shape), "shape %s",
              wf_shape_text(&got_shape, text, sizeof text));
    const int64_t n = wf_shape_count(&shape);
    int64_t *got = malloc((size_t)(n + 1) * sizeof *got);
    cr_assert(wf_reference(t.graph, &t.id, (void *[]){got}, 1, NULL, NULL) == WF_OK, "%s",
              wf_error());
    for (int64_t i = 0; i < n; i++) {
        const int64_t w = want[i] < 0 ? 0 : big + want[i];
        cr_assert(got[i] == w, "element %lld is %lld, not %lld", (long long)i, (long long)got[i],
                  (long long)w);
    }
    free(got);
}

#define WANT(...) ((const int64_t[]){__VA_ARGS__})

/* --- values ---------------------------------------------------------------------------------- */

Test(views, reshape_keeps_row_major_order) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = count_up(g, WF_SHAPE(2, 3));
    expect(wf_reshape(x, WF_SHAPE(3, 2)), WF_SHAPE(3, 2), WANT(0, 1, 2, 3, 4, 5));
    expect(wf_reshape(x, WF_SHAPE(1, -1, 1)), WF_SHAPE(1, 6, 1), WANT(0, 1, 2, 3, 4, 5));
    expect(wf_reshape(wf_transpose(x, 0, 1), WF_SHAPE(6)), WF_SHAPE(6), WANT(0, 3, 1, 4, 2, 5));
    expect(wf_reshape(count_up(g, WF_SHAPE(1)), WF_SCALAR), WF_SCALAR, WANT(0));
    expect(wf_reshape(count_up(g, WF_SHAPE(0, 3)), WF_SHAPE(5, 0, 2)), WF_SHAPE(5, 0, 2), NULL);
    expect(wf_reshape(count_up(g, WF_SHAPE(0, 3)), WF_SHAPE(-1, 3)), WF_SHAPE(0, 3), NULL);
    wf_graph_free(g);
}

Test(views, permute_transpose_expand) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = count_up(g, WF_SHAPE(2, 1, 3));
    expect(wf_permute(x, (const int[]){2, 0, 1}), WF_SHAPE(3, 2, 1), WANT(0, 3, 1, 4, 2, 5));
    expect(wf_transpose(x, -1, 0), WF_SHAPE(3, 1, 2), WANT(0, 3, 1, 4, 2, 5));
    expect(wf_expand(x, WF_SHAPE(2, 2, 3)), WF_SHAPE(2, 2, 3),
           WANT(0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5));
    expect(wf_expand(count_up(g, WF_SCALAR), WF_SHAPE(2, 2)), WF_SHAPE(2, 2), WANT(0, 0, 0, 0));
    expect(wf_expand(x, WF_SHAPE(2, 0, 3)), WF_SHAPE(2, 0, 3), NULL);
    expect(wf_stop_gradient(x), WF_SHAPE(2, 1, 3), WANT(0, 1, 2, 3, 4, 5));
    wf_graph_free(g);
}

Test(views, slice_index_flip_split) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = count_up(g, WF_SHAPE(2, 5));
    expect(wf_slice(x, 1, 1, 2, 1), WF_SHAPE(2, 2), WANT(1, 2, 6, 7));
    expect(wf_slice(x, -1, 0, 3, 2), WF_SHAPE(2, 3), WANT(0, 2, 4, 5, 7, 9));
    expect(wf_slice(x, 1, 4, 2, -3), WF_SHAPE(2, 2), WANT(4, 1, 9, 6));
    expect(wf_slice(x, 1, 5, 0, 1), WF_SHAPE(2, 0), NULL);
    expect(wf_slice(x, 1, 3, 1, INT64_MAX), WF_SHAPE(2, 1), WANT(3, 8));
    expect(wf_slice(x, 1, 3, 1, INT64_MIN), WF_SHAPE(2, 1), WANT(3, 8));
    expect(wf_index(x, 1, 4), WF_SHAPE(2), WANT(4, 9));
    expect(wf_index(wf_index(x, 0, 1), -1, 2), WF_SCALAR, WANT(7));
    expect(wf_flip(x, -1), WF_SHAPE(2, 5), WANT(4, 3, 2, 1, 0, 9, 8, 7, 6, 5));
    expect(wf_flip(count_up(g, WF_SHAPE(0)), 0), WF_SHAPE(0), NULL);
    wf_tensor part[5];
    wf_split(x, 5, 1, part);
    expect(part[3], WF_SHAPE(2, 1), WANT(3, 8));
    wf_split(x, 2, -2, part);
    expect(part[1], WF_SHAPE(1, 5), WANT(5, 6, 7, 8, 9));
    wf_graph_free(g);
}

Test(views, pad_puts_zeros_around_and_between) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = count_up(g, WF_SHAPE(2, 2));
    expect(wf_pad(x, 1, 1, 2, 1), WF_SHAPE(2, 5), WANT(-1, 0, 1, -1, -1, -1, 2, 3, -1, -1));
    expect(wf_pad(x, 0, 0, 1, 2), WF_SHAPE(4, 2), WANT(0, 1, -1, -1, 2, 3, -1, -1));
    expect(wf_pad(count_up(g, WF_SHAPE(0)), 0, 2, 1, 7), WF_SHAPE(3), WANT(-1, -1, -1));
    expect(wf_pad(count_up(g, WF_SHAPE(1)), -1, 1, 0, INT64_MAX), WF_SHAPE(2), WANT(-1, 0));
    wf_graph_free(g);
}

Test(views, concat_and_stack_place_side_by_side) {
    wf_graph *g = wf_graph_new();
    const wf_tensor a = count_up(g, WF_SHAPE(2, 2)), b = count_up(g, WF_SHAPE(2, 1));
    const wf_tensor none = count_up(g, WF_SHAPE(2, 0));
    expect(wf_concat((wf_tensor[]){a, none, b}, 3, -1), WF_SHAPE(2, 3), WANT(0, 1, 0, 2, 3, 1));
    expect(wf_concat((wf_tensor[]){a, a}, 2, 0), WF_SHAPE(4, 2), WANT(0, 1, 2, 3, 0, 1, 2, 3));
    expect(wf_concat(&b, 1, 0), WF_SHAPE(2, 1), WANT(0, 1));
    expect(wf_stack((wf_tensor[]){a, wf_flip(a, 0)}, 2, 0), WF_SHAPE(2, 2, 2),
           WANT(0, 1, 2, 3, 2, 3, 0, 1));
    expect(wf_stack((wf_tensor[]){a, a}, 2, 1), WF_SHAPE(2, 2, 2), WANT(0, 1, 0, 1, 2, 3, 2, 3));
    expect(wf_stack((wf_tensor[]){a, a}, 2, -1), WF_SHAPE(2, 2, 2), WANT(0, 0, 1, 1, 2, 2, 3, 3));
    wf_tensor many[100];
    for (int i = 0; i < 100; i++) many[i] = wf_index(a, 0, i % 2);
    int64_t want[200];
    for (int i = 0; i < 200; i++) want[i] = i % 4;
    expect(wf_stack(many, 100, 0), WF_SHAPE(100, 2), want);
    expect(wf_concat(many, 100, 0), WF_SHAPE(200), want);
    wf_graph_free(g);
}

Test(views, gradients_of_slice_are_pads) {
    wf_graph *g = wf_graph_new();
    double data[6] = {0}, seed[2] = {3, 5}, got[6];
    const wf_tensor x = wf_leaf(g, "x", WF_F64, WF_SHAPE(6), data);
    const wf_tensor y = wf_slice(x, 0, 4, 2, -3), s = wf_const(g, WF_F64, WF_SHAPE(2), seed);
    wf_tensor dx;
    cr_assert(wf_vjp(y, s, &x, 1, &dx) == WF_OK, "%s", wf_error());
    cr_assert(wf_reference(g, &dx.id, (void *[]){got}, 1, NULL, NULL) == WF_OK, "%s", wf_error());
    const double want[6] = {0, 5, 0, 0, 3, 0};
    cr_assert(memcmp(got, want, sizeof want) == 0);
    wf_graph_free(g);
}

/* --- which reshapes are views ---------------------------------------------------------------- */

/* Whether x with these strides, seen as `to`, needs no copy; if so, its values are compared. */
static bool reshapes(wf_shape from, const int64_t *stride, wf_shape to) {
    static int64_t memory[2048];
    for (int i = 0; i < 2048; i++) memory[i] = i;
    wf_array x = {.data = memory + 1024, .dtype = WF_I64, .shape = from};
    for (int k = 0; k < from.rank; k++) x.stride[k] = stride[k];
    wf_array y = {.dtype = WF_I64, .shape = to};
    if (!wf_op_reshape.view(NULL, &x, &y)) return false;
    int64_t i[WF_MAX_RANK] = {0}, j[WF_MAX_RANK] = {0};
    for (int64_t n = wf_shape_count(&to); n > 0; n--) {
        const int64_t *a = wf_at(&x, wf_offset(&x, i)), *b = wf_at(&y, wf_offset(&y, j));
        cr_assert(*a == *b);
        wf_next_index(&from, i);
        wf_next_index(&to, j);
    }
    return true;
}

#define STRIDE(...) ((const int64_t[]){__VA_ARGS__})

Test(views, a_reshape_is_a_view_where_strides_allow) {
    cr_assert(reshapes(WF_SHAPE(4, 6), STRIDE(6, 1), WF_SHAPE(3, 8)));
    cr_assert(reshapes(WF_SHAPE(4, 6), STRIDE(10, 1), WF_SHAPE(2, 2, 1, 3, 2)));
    cr_assert(!reshapes(WF_SHAPE(4, 6), STRIDE(10, 1), WF_SHAPE(24)));
    cr_assert(!reshapes(WF_SHAPE(4, 6), STRIDE(1, 4), WF_SHAPE(24)));
    cr_assert(reshapes(WF_SHAPE(4, 6), STRIDE(1, 4), WF_SHAPE(1, 4, 2, 3)));
    cr_assert(reshapes(WF_SHAPE(4, 6), STRIDE(-6, -1), WF_SHAPE(24)));
    cr_assert(!reshapes(WF_SHAPE(4, 6), STRIDE(-6, 1), WF_SHAPE(24)));
    cr_assert(reshapes(WF_SHAPE(4, 6), STRIDE(0, 0), WF_SHAPE(3, 8)));
    cr_assert(!reshapes(WF_SHAPE(4, 6), STRIDE(0, 1), WF_SHAPE(24)));
    cr_assert(reshapes(WF_SHAPE(2, 1, 3), STRIDE(3, 77, 1), WF_SHAPE(6)));
    cr_assert(reshapes(WF_SHAPE(1, 1), STRIDE(5, 9), WF_SCALAR));
    cr_assert(reshapes(WF_SCALAR, STRIDE(0), WF_SHAPE(1, 1)));
    cr_assert(reshapes(WF_SHAPE(3, 0), STRIDE(-5, 7), WF_SHAPE(0, 9)));
    cr_assert(reshapes(WF_SHAPE(6, 4), STRIDE(8, 2), WF_SHAPE(2, 3, 4)));
}

/* --- messages -------------------------------------------------------------------------------- */

static wf_graph *graph; /* of the case that runs */

static wf_tensor leaf(wf_dtype t, wf_shape s) { return wf_full(graph, t, s, 0); }

static void refuses(wf_tensor t, const char *part) {
    cr_assert(!wf_ok(t), "not refused: %s", part);
    cr_assert(wf_graph_status(graph) == WF_MODEL && strstr(wf_error(), part), "\"%s\" lacks \"%s\"",
              wf_error(), part);
    wf_graph_free(graph);
    graph = wf_graph_new();
}

#define X leaf(WF_I64, WF_SHAPE(2, 3))

Test(views, mistakes_are_named) {
    graph = wf_graph_new();
    refuses(wf_reshape(X, WF_SHAPE(4, 2)), "reshape: x [2,3] has 6 elements");
    refuses(wf_reshape(X, WF_SHAPE(-1, -1)), "two extents of -1");
    refuses(wf_reshape(X, WF_SHAPE(-1, 4)), "do not fill shape [-1,4]");
    refuses(wf_reshape(X, WF_SHAPE(-1, 0)), "ambiguous");
    refuses(wf_reshape(X, WF_SHAPE(-2, -3)), "negative extent");
    refuses(wf_reshape(X, WF_SHAPE(1, 1, 1, 1, 1, 1, 1, 2, 3)), "rank 9");
    refuses(wf_reshape(X, (wf_shape){.rank = -1}), "rank -1");
    refuses(wf_reshape(X, WF_SHAPE(INT64_MAX, INT64_MAX)), "reshape");
    refuses(wf_reshape(X, WF_SHAPE(-1, INT64_MAX, INT64_MAX, 0)), "reshape");
    refuses(wf_permute(X, (const int[]){0, 0}), "axis 0 appears twice");
    refuses(wf_permute(X, (const int[]){0, 2}), "perm[1] = 2 is outside [0, 2)");
    refuses(wf_permute(X, NULL), "perm is NULL");
    refuses(wf_transpose(X, 0, 2), "transpose: axes 0 and 2");
    refuses(wf_expand(X, WF_SHAPE(2, 4)), "x [2,3] does not broadcast to [2,4]");
    refuses(wf_expand(X, WF_SHAPE(3)), "does not broadcast");
    refuses(wf_expand(X, WF_SHAPE(INT64_MAX, 2, 3)), "more bytes");
    refuses(wf_expand(X, (wf_shape){.rank = 9}), "rank 9");
    refuses(wf_slice(X, 2, 0, 1, 1), "axis 2 is outside");
    refuses(wf_slice(X, 1, 0, 1, 0), "step is 0");
    refuses(wf_slice(X, 1, 0, -1, 1), "negative");
    refuses(wf_slice(X, 1, 1, 3, 1), "first 1, n 3, step 1 leave axis 1 of extent 3");
    refuses(wf_slice(X, 1, 0, INT64_MAX, INT64_MAX), "leave axis 1");
    refuses(wf_slice(X, 1, 2, 2, INT64_MIN), "leave axis 1");
    refuses(wf_slice(X, 1, INT64_MIN, 1, 1), "leave axis 1");
    refuses(wf_slice(X, 1, 4, 0, 1), "leave axis 1");
    refuses(wf_index(X, 0, 2), "slice");
    refuses(wf_index(X, 5, 0), "axis 5");
    refuses(wf_flip(X, -3), "axis -3");
    refuses(wf_pad(X, 0, -1, 0, 1), "must not be negative");
    refuses(wf_pad(X, 0, 0, 0, 0), "step 0 is not positive");
    refuses(wf_pad(X, 0, INT64_MAX, INT64_MAX, 1), "overflow");
    refuses(wf_pad(X, 0, 0, 0, INT64_MAX), "overflow");
    refuses(wf_pad(X, 0, INT64_MAX / 2, 0, 1), "too large");
    refuses(wf_pad(X, 7, 0, 0, 1), "axis 7");
    wf_graph_free(graph);
}

Test(views, mistakes_in_placement_are_named) {
    graph = wf_graph_new();
    refuses(wf_concat((wf_tensor[]){X, X}, 2, 2), "axis 2");
    refuses(wf_concat((wf_tensor[]){X, leaf(WF_I64, WF_SHAPE(2, 3, 1))}, 2, 1),
            "input 1 is i64[2,3,1]");
    refuses(wf_concat((wf_tensor[]){X, leaf(WF_I64, WF_SHAPE(3, 3))}, 2, 1), "input 1 is i64[3,3]");
    refuses(wf_concat((wf_tensor[]){X, leaf(WF_F32, WF_SHAPE(2, 3))}, 2, 1), "input 1 is f32[2,3]");
    const wf_tensor empty = leaf(WF_I64, WF_SHAPE(INT64_MAX, 0));
    refuses(wf_concat((wf_tensor[]){empty, empty}, 2, 0), "overflow");
    refuses(wf_concat((wf_tensor[]){X, {0}}, 2, 0), "operand 1");
    refuses(wf_stack((wf_tensor[]){X, leaf(WF_I64, WF_SHAPE(2, 1))}, 2, 0), "input 1 is i64[2,1]");
    refuses(wf_stack((wf_tensor[]){X}, 1, 3), "axis 3");
    refuses(wf_stack((wf_tensor[]){leaf(WF_I64, WF_SHAPE(1, 1, 1, 1, 1, 1, 1, 1))}, 1, 0),
            "rank 9");
    wf_tensor part[2];
    wf_split(X, 2, 1, part);
    cr_assert(!wf_ok(part[0]) && !wf_ok(part[1]));
    refuses(part[0], "split: extent 3 of axis 1");
    wf_split(X, 0, 1, part);
    refuses((wf_tensor){graph, 0}, "split");
    wf_split(X, 3, 1, NULL);
    refuses((wf_tensor){graph, 0}, "out is NULL");
    wf_graph_free(graph);
    cr_assert(!wf_ok(wf_add_n(NULL, 3)));
    cr_assert(!wf_ok(wf_concat(NULL, 0, 0)) && strstr(wf_error(), "no input"));
    cr_assert(!wf_ok(wf_stack(NULL, 3, 0)) && !wf_ok(wf_stack((wf_tensor[]){{0}}, 1, 0)));
    cr_assert(!wf_ok(wf_reshape((wf_tensor){0}, WF_SHAPE(1))));
    cr_assert(!wf_ok(wf_transpose((wf_tensor){0}, 0, 1)) && !wf_ok(wf_flip((wf_tensor){0}, 0)));
}

/* The rule of the header, element by element, for all small cases. */
static bool slice_fits(int64_t extent, int64_t first, int64_t n, int64_t step) {
    if (n == 0) return first >= 0 && first <= extent;
    for (int64_t i = 0; i < n; i++)
        if (first + i * step < 0 || first + i * step >= extent) return false;
    return true;
}

Test(views, slice_takes_exactly_what_fits) {
    wf_graph *ok = wf_graph_new();
    int refused = 0, taken = 0;
    for (int64_t extent = 0; extent < 5; extent++)
        for (int64_t first = -1; first <= extent + 1; first++)
            for (int64_t n = 0; n < 6; n++)
                for (int64_t step = -3; step <= 3; step++) {
                    if (step == 0) continue;
                    const bool fits = slice_fits(extent, first, n, step);
                    wf_graph *g = fits ? ok : wf_graph_new();
                    const wf_tensor x = wf_full(g, WF_U8, WF_SHAPE(extent), 0);
                    cr_assert(wf_ok(wf_slice(x, 0, first, n, step)) == fits);
                    if (!fits) wf_graph_free(g);
                    fits ? taken++ : refused++;
                }
    cr_assert(taken > 100 && refused > 100, "%d, %d", taken, refused);
    wf_graph_free(ok);
}

/* --- fast paths over strided operands -------------------------------------------------------- */

/* Compares fast and eval of the operation of node t, for its n_in operands given as arrays. */
static void check_fast(wf_tensor t, const wf_array *in, const char *what) {
    const wf_node *node = wf_graph_node(t.graph, t.id);
    size_t bytes = (size_t)wf_shape_count(&node->type.shape) * wf_dtype_bytes(node->type.dtype);
    char *want = calloc(1, bytes + 1), *got = calloc(1, bytes + 1);
    wf_call c = {.op = node->op, .attr = node->attr, .n_in = (int)node->n_in, .in = in};
    c.out = wf_array_dense(want, node->type.dtype, &node->type.shape);
    c.op->eval(&c);
    for (int64_t each = 1; each <= 4; each += 3) {
        memset(got, 0x55, bytes);
        c.out = wf_array_dense(got, node->type.dtype, &node->type.shape);
        cr_assert(c.op->fast->applicable(&c), "%s: %s not applicable", c.op->name, what);
        run_pieces(&c, each);
        cr_assert(memcmp(want, got, bytes) == 0, "%s: %s differs from eval", c.op->name, what);
    }
    free(want);
    free(got);
}

/* Operands of shape s over random bytes: dense, permuted, flipped, broadcast. */
static wf_array strided(char *memory, wf_dtype t, const wf_shape *s, int how) {
    wf_array a = wf_array_dense(memory, t, s);
    const int64_t n = wf_shape_count(s);
    if (how == 1) /* column-major */
        for (int64_t k = 0, step = 1; k < s->rank; step *= s->dim[k++]) a.stride[k] = step;
    if (how == 2) { /* the last axis runs backwards, with gaps */
        for (int k = 0; k < s->rank; k++) a.stride[k] *= 2;
        const int last = s->rank - 1;
        a.data = memory + (s->dim[last] - 1) * 2 * (int64_t)wf_dtype_bytes(t);
        a.stride[last] = -2;
    }
    if (how == 3) a.stride[0] = 0;
    for (int64_t i = 0; i < 2 * n * (int64_t)wf_dtype_bytes(t); i++)
        memory[i] = (char)(i * 2654435761u >> 13);
    return a;
}

Test(views, fast_copies_take_any_strides_and_dtype) {
    wf_graph *g = wf_graph_new();
    const wf_shape s = WF_SHAPE(6, 35, 22);
    char *memory = malloc((size_t)(2 * wf_shape_count(&s) * 8));
    for (int t = 0; t < WF_N_DTYPE; t++)
        for (int how = 0; how < 4; how++) {
            const wf_array a = strided(memory, (wf_dtype)t, &s, how);
            const wf_tensor x = wf_full(g, (wf_dtype)t, s, 0);
            const char *what = wf_dtype_name((wf_dtype)t);
            check_fast(wf_reshape(x, WF_SHAPE(5, 14, 66)), &a, what);
            check_fast(wf_permute(x, (const int[]){2, 0, 1}), &a, what);
            check_fast(wf_slice(x, 1, 33, 11, -3), &a, what);
            check_fast(wf_expand(x, WF_SHAPE(2, 6, 35, 22)), &a, what);
            check_fast(wf_stop_gradient(x), &a, what);
            const wf_array three[] = {a, a, a};
            const wf_tensor xs[] = {x, x, x};
            for (int axis = 0; axis < 3; axis++) {
                check_fast(wf_concat(xs, 3, axis), three, what);
                check_fast(wf_stack(xs, 3, axis), three, what);
                if (how == 0) {
                    check_fast(wf_pad(x, axis, 2, 3, 1), &a, what);
                    check_fast(wf_pad(x, axis, 0, 1, 3), &a, what);
                }
            }
        }
    free(memory);
    wf_graph_free(g);
}

Test(views, fast_pad_is_cut_into_pieces) {
    wf_graph *g = wf_graph_new();
    const wf_shape s = WF_SHAPE(40, 40, 64);
    char *memory = malloc((size_t)(2 * wf_shape_count(&s) * 4));
    const wf_array a = strided(memory, WF_F32, &s, 0);
    const wf_tensor x = wf_full(g, WF_F32, s, 0);
    for (int axis = 0; axis < 3; axis++) {
        check_fast(wf_pad(x, axis, 1, 1, 1), &a, "pieces");
        check_fast(wf_pad(x, axis, 3, 0, 2), &a, "pieces");
    }
    free(memory);
    wf_graph_free(g);
}
