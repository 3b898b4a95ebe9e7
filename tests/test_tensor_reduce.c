/* Reductions: values against plain loops, empty and non-finite operands, accuracy of long sums, the
 * fast path against eval for every layout and however its pieces are dealt out, gradients at ties
 * and zeros, and what is refused. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/graph.h"
#include "tensor/reduce.h"

/* Fast path against eval, per element: both sum in f64 and round to f32 once. */
static const double fast_rtol = 2.5e-7, fast_atol = 1e-12;

/* Values of t, computed by the reference evaluator; the caller frees. */
static double *values(wf_tensor t) {
    cr_assert(wf_ok(t), "%s", wf_graph_message(t.graph));
    const int64_t n = wf_count(t);
    const size_t bytes = wf_dtype_bytes(wf_dtype_of(t));
    char *raw = calloc((size_t)n + 1, bytes);
    void *out = raw;
    cr_assert(wf_reference(t.graph, &t.id, &out, 1, NULL, NULL) == WF_OK, "%s", wf_error());
    double *v = calloc((size_t)n + 1, sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = wf_load(wf_dtype_of(t), raw + i * (int64_t)bytes);
    free(raw);
    return v;
}

static double value(wf_tensor t) {
    double *v = values(t);
    const double first = v[0];
    free(v);
    return first;
}

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }
static bool close_to(double a, double b, double rtol) {
    return same(a, b) || fabs(a - b) <= rtol * fabs(b) + fast_atol;
}

static double noise(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (double)(*s >> 11) * 0x1p-53 * 4 - 2;
}

/* --- values --------------------------------------------------------------------------------- */

enum { D0 = 3, D1 = 4, D2 = 5, N = D0 * D1 * D2 };

/* What the reductions of x (3, 4, 5) over the axes in mask come to, in one pass. */
typedef struct totals {
    int n;
    double count, sum[N], prod[N], max[N], min[N], square[N];
} totals;

static int kept_index(int i, unsigned mask) {
    const int at[3] = {i / (D1 * D2), i / D2 % D1, i % D2}, dim[3] = {D0, D1, D2};
    int k = 0;
    for (int a = 0; a < 3; a++)
        if (!(mask >> a & 1)) k = k * dim[a] + at[a];
    return k;
}

static totals plain(const double *x, unsigned mask) {
    totals w = {.n = 0};
    for (int i = 0; i < N; i++) w.prod[i] = 1, w.max[i] = -INFINITY, w.min[i] = INFINITY;
    for (int i = 0; i < N; i++) {
        const int k = kept_index(i, mask);
        if (k + 1 > w.n) w.n = k + 1;
        w.sum[k] += x[i];
        w.prod[k] *= x[i];
        w.max[k] = fmax(w.max[k], x[i]);
        w.min[k] = fmin(w.min[k], x[i]);
    }
    w.count = (double)N / w.n;
    for (int i = 0; i < N; i++) {
        const double d = x[i] - w.sum[kept_index(i, mask)] / w.count;
        w.square[kept_index(i, mask)] += d * d;
    }
    return w;
}

static wf_reduce_opt options(unsigned mask, bool keepdims, bool negative) {
    wf_reduce_opt o = {.keepdims = keepdims};
    for (int a = 2; a >= 0; a--) /* in descending order: the order does not matter */
        if (mask >> a & 1) o.axes[o.n_axes++] = negative ? a - 3 : a;
    return o;
}

Test(reduce, values_over_all_sets_of_axes) {
    wf_graph *g = wf_graph_new();
    double x[N];
    uint64_t seed = 7;
    for (int i = 0; i < N; i++) x[i] = noise(&seed);
    const wf_tensor t = wf_leaf(g, "x", WF_F64, WF_SHAPE(D0, D1, D2), x);
    for (unsigned mask = 1; mask < 8; mask++) {
        const totals w = plain(x, mask);
        const wf_reduce_opt o = options(mask, mask % 2, mask % 3 == 0);
        const wf_tensor y[] = {wf_sum(t, o), wf_prod(t, o), wf_max(t, o),
                               wf_min(t, o), wf_mean(t, o), wf_var(t, o)};
        for (int r = 0; r < (int)WF_COUNT(y); r++) {
            cr_assert(wf_count(y[r]) == w.n && wf_rank(y[r]) ==
                      (o.keepdims ? 3 : 3 - __builtin_popcount(mask)));
            double *v = values(y[r]);
            for (int k = 0; k < w.n; k++) {
                const double expect[] = {w.sum[k],           w.prod[k], w.max[k], w.min[k],
                                         w.sum[k] / w.count, w.square[k] / w.count};
                cr_assert(close_to(v[k], expect[r], 1e-13), "reduction %d mask %u: %g, not %g", r,
                          mask, v[k], expect[r]);
            }
            free(v);
        }
    }
    wf_graph_free(g);
}

Test(reduce, equal_reductions_have_equal_attributes) {
    wf_graph *g = wf_graph_new();
    wf_graph_set_consing(g, true);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(2, 3));
    const wf_tensor a = wf_sum(x, (wf_reduce_opt){0});
    const wf_tensor b = wf_sum(x, (wf_reduce_opt){.n_axes = 2, .axes = {-1, 0}});
    const wf_tensor c = wf_sum(x, (wf_reduce_opt){.n_axes = 1, .axes = {1}});
    cr_assert(a.id == b.id && a.id != c.id);
    char text[256];
    cr_assert(strstr(wf_node_text(g, c.id, text, sizeof text), "axes=1"), "%s", text);
    wf_graph_free(g);
}

Test(reduce, empty_reductions) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_const(g, WF_F32, WF_SHAPE(2, 0), NULL);
    const wf_tensor n = wf_const(g, WF_I32, WF_SHAPE(0), NULL);
    const wf_reduce_opt o = {.n_axes = 1, .axes = {1}};
    cr_assert(value(wf_sum(x, o)) == 0 && value(wf_prod(x, o)) == 1);
    cr_assert(value(wf_max(x, o)) == -INFINITY && value(wf_min(x, o)) == INFINITY);
    cr_assert(isnan(value(wf_mean(x, o))) && isnan(value(wf_var(x, o))));
    cr_assert(isnan(value(wf_moments(x, o))));
    cr_assert(value(wf_sum(n, (wf_reduce_opt){0})) == 0);
    cr_assert(value(wf_prod(n, (wf_reduce_opt){0})) == 1);
    cr_assert(value(wf_max(n, (wf_reduce_opt){0})) == INT32_MIN);
    cr_assert(value(wf_min(n, (wf_reduce_opt){0})) == INT32_MAX);
    const wf_tensor none = wf_sum(x, (wf_reduce_opt){.n_axes = 1, .axes = {0}});
    cr_assert(wf_count(none) == 0);
    free(values(none));
    cr_assert(value(wf_logsumexp(x, 1, false)) == -INFINITY);
    wf_graph_free(g);
}

Test(reduce, integers_are_exact_and_wrap_around) {
    wf_graph *g = wf_graph_new();
    const int32_t a[] = {INT32_MAX, 1, 5};
    const int64_t b[] = {(INT64_C(1) << 53) + 1, 2, -1};
    const wf_tensor x = wf_const(g, WF_I32, WF_SHAPE(3), a);
    const wf_tensor y = wf_const(g, WF_I64, WF_SHAPE(3), b);
    cr_assert(value(wf_sum(x, (wf_reduce_opt){0})) == (double)INT32_MIN + 5);
    cr_assert(value(wf_prod(x, (wf_reduce_opt){0})) == (double)(int32_t)(5u * INT32_MAX));
    cr_assert(value(wf_max(x, (wf_reduce_opt){0})) == INT32_MAX);
    cr_assert(value(wf_min(x, (wf_reduce_opt){0})) == 1);
    int64_t sum, prod, max;
    const uint32_t ids[] = {wf_sum(y, (wf_reduce_opt){0}).id, wf_prod(y, (wf_reduce_opt){0}).id,
                            wf_max(y, (wf_reduce_opt){0}).id};
    cr_assert(wf_reference(g, ids, (void *const[]){&sum, &prod, &max}, 3, NULL, NULL) == WF_OK);
    cr_assert(sum == b[0] + 1 && prod == -2 * b[0] && max == b[0]);
    const wf_tensor sums = wf_cumsum(y, 0);
    int64_t part[3];
    cr_assert(wf_reference(g, &sums.id, (void *const[]){part}, 1, NULL, NULL) == WF_OK);
    cr_assert(part[0] == b[0] && part[1] == b[0] + 2 && part[2] == b[0] + 1);
    wf_graph_free(g);
}

Test(reduce, argmax_takes_the_first_of_equals_and_nan_wins) {
    wf_graph *g = wf_graph_new();
    const float x[] = {1, 3, 3, 2, NAN, 5, NAN, 9, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    const wf_tensor t = wf_const(g, WF_F32, WF_SHAPE(3, 4), x);
    double *rows = values(wf_argmax(t, -1)), *cols = values(wf_argmax(t, 0));
    cr_assert(rows[0] == 1 && rows[1] == 0 && rows[2] == 0);
    cr_assert(cols[0] == 1 && cols[1] == 1 && cols[2] == 1 && cols[3] == 1);
    cr_assert(wf_dtype_of(wf_argmax(t, 0)) == WF_I64);
    free(rows);
    free(cols);
    wf_graph_free(g);
}

Test(reduce, sum_to_undoes_broadcasting) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_full(g, WF_F64, WF_SHAPE(2, 3, 4), 1);
    cr_assert(wf_sum_to(x, WF_SHAPE(2, 3, 4)).id == x.id);
    cr_assert(value(wf_sum_to(x, WF_SHAPE(3, 1))) == 8);
    cr_assert(value(wf_sum_to(x, WF_SCALAR)) == 24);
    cr_assert(wf_rank(wf_sum_to(x, WF_SHAPE(1, 3, 4))) == 3);
    const wf_tensor one = wf_full(g, WF_F64, WF_SHAPE(1, 1, 4), 1);
    cr_assert(value(wf_sum_to(one, WF_SHAPE(4))) == 1 && wf_rank(wf_sum_to(one, WF_SHAPE(4))) == 1);
    cr_assert(!wf_ok(wf_sum_to(x, WF_SHAPE(2, 2, 4))));
    cr_assert(strstr(wf_graph_message(g), "[2,2,4]"), "%s", wf_graph_message(g));
    cr_assert(!wf_ok(wf_sum_to(x, (wf_shape){.rank = WF_MAX_RANK + 1})));
    cr_assert(!wf_ok(wf_sum_to(x, (wf_shape){.rank = INT32_MIN})));
    wf_graph_free(g);
}

/* --- compositions --------------------------------------------------------------------------- */

Test(reduce, softmax_is_stable) {
    wf_graph *g = wf_graph_new();
    const double x[] = {1000, 1001, 1002, -1e300, 0, 0, -INFINITY, 0, 0};
    const wf_tensor t = wf_const(g, WF_F64, WF_SHAPE(3, 3), x);
    double *p = values(wf_softmax(t, 1)), *l = values(wf_log_softmax(t, -1));
    double *s = values(wf_logsumexp(t, 1, false));
    const double z = 1 + exp(-1) + exp(-2);
    cr_assert(close_to(p[2], 1 / z, 1e-12) && close_to(p[0], exp(-2) / z, 1e-12));
    cr_assert(close_to(l[2], -log(z), 1e-12) && close_to(s[0], 1002 + log(z), 1e-12));
    cr_assert(p[3] == 0 && p[4] == 0.5 && p[6] == 0 && close_to(s[2], log(2), 1e-12));
    free(p);
    free(l);
    free(s);
    const double low[] = {-INFINITY, -INFINITY}, high[] = {INFINITY, 0};
    cr_assert(value(wf_logsumexp(wf_const(g, WF_F64, WF_SHAPE(2), low), 0, true)) == -INFINITY);
    cr_assert(value(wf_logsumexp(wf_const(g, WF_F64, WF_SHAPE(2), high), 0, true)) == INFINITY);
    wf_graph_free(g);
}

/* --- gradients where samples do not go ------------------------------------------------------ */

static double *gradient(wf_tensor y, wf_tensor x) {
    wf_tensor dx;
    cr_assert(wf_grad(y, &x, 1, &dx) == WF_OK, "%s", wf_error());
    return values(dx);
}

Test(reduce, ties_of_max_share_the_gradient_and_nan_spreads) {
    wf_graph *g = wf_graph_new();
    double x[] = {3, 1, 3, 2}, bad[] = {1, NAN};
    const wf_tensor t = wf_leaf(g, "x", WF_F64, WF_SHAPE(4), x);
    const wf_tensor n = wf_leaf(g, "n", WF_F64, WF_SHAPE(2), bad);
    double *d = gradient(wf_max(t, (wf_reduce_opt){0}), t);
    cr_assert(d[0] == 0.5 && d[1] == 0 && d[2] == 0.5 && d[3] == 0);
    free(d);
    d = gradient(wf_max(n, (wf_reduce_opt){0}), n);
    cr_assert(isnan(value(wf_max(n, (wf_reduce_opt){0}))) && isnan(d[0]) && isnan(d[1]));
    free(d);
    wf_graph_free(g);
}

Test(reduce, gradient_of_prod_is_right_beside_zeros) {
    wf_graph *g = wf_graph_new();
    double one[] = {2, 0, 3, 4, 5}, two[] = {2, 0, 3, 0, 5};
    const wf_tensor a = wf_leaf(g, "a", WF_F64, WF_SHAPE(5), one);
    const wf_tensor b = wf_leaf(g, "b", WF_F64, WF_SHAPE(5), two);
    double *d = gradient(wf_prod(a, (wf_reduce_opt){0}), a);
    cr_assert(d[0] == 0 && d[1] == 120 && d[2] == 0 && d[3] == 0 && d[4] == 0);
    free(d);
    d = gradient(wf_prod(b, (wf_reduce_opt){0}), b);
    for (int i = 0; i < 5; i++) cr_assert(d[i] == 0);
    free(d);
    /* The second derivative by b[1] and b[3] is the product of the others. */
    wf_tensor db;
    cr_assert(wf_grad(wf_prod(b, (wf_reduce_opt){0}), &b, 1, &db) == WF_OK);
    d = gradient(wf_index(db, 0, 1), b);
    cr_assert(d[0] == 0 && d[1] == 0 && d[2] == 0 && d[3] == 30 && d[4] == 0);
    free(d);
    wf_graph_free(g);
}

/* --- fast path ------------------------------------------------------------------------------ */

/* Runs op's fast path, every round dealt to `workers` workers from the last to the first. */
static void run_fast(const wf_call *c, int workers) {
    const wf_fast *f = c->op->fast;
    cr_assert(f && f->applicable(c), "%s has no fast path here", c->op->name);
    const size_t scratch = f->scratch_bytes ? (f->scratch_bytes(c) + 127) & ~(size_t)63 : 64;
    const size_t shared = f->shared_bytes ? (f->shared_bytes(c) + 127) & ~(size_t)63 : 64;
    void *own = aligned_alloc(64, scratch), *all = aligned_alloc(64, shared);
    memset(all, 0xff, shared); /* NaN: nothing may be read that was not written */
    for (int phase = 0; phase < (f->phases ? f->phases : 1); phase++) {
        const int64_t n = f->pieces(c, phase);
        for (int w = workers - 1; w >= 0; w--) {
            memset(own, 0xff, scratch);
            if (n * w / workers < n * (w + 1) / workers)
                f->run(c, phase, n * w / workers, n * (w + 1) / workers, own, all);
        }
    }
    free(own);
    free(all);
}

typedef struct fast_case {
    int rank;
    int64_t dim[5];
    unsigned mask;
} fast_case;

/* How the operand lies in memory. */
enum layout { DENSE, REVERSED_AXES, FLIPPED, SPREAD, N_LAYOUTS };

/* An array of the shape with values of a fixed pattern; *memory is to be freed. */
static wf_array operand(wf_shape s, wf_dtype dtype, int how, void **memory) {
    const int64_t n = wf_shape_count(&s), gap = how == SPREAD ? 3 : 1;
    const int64_t bytes = (int64_t)wf_dtype_bytes(dtype);
    char *data = malloc((size_t)(bytes * (n * gap + 1)));
    uint64_t seed = 3;
    for (int64_t i = 0; i < n * gap; i++) wf_store(dtype, data + i * bytes, noise(&seed) + 0.5);
    wf_array a = {.data = data, .dtype = dtype, .shape = s};
    int64_t stride = gap;
    for (int i = 0; i < s.rank; i++) {
        const int at = how == REVERSED_AXES ? i : s.rank - 1 - i;
        a.stride[at] = stride;
        stride *= s.dim[at];
    }
    if (how == FLIPPED && s.rank) {
        const int at = s.rank / 2;
        a.data = data + bytes * a.stride[at] * (s.dim[at] - 1);
        a.stride[at] = -a.stride[at];
    }
    *memory = data;
    return a;
}

static void check_fast(const wf_op *op, const fast_case *f, wf_dtype dtype, int how) {
    wf_reduce_attr attr = {.n_axes = 0};
    const wf_shape s = wf_shape_make(f->rank, f->dim);
    int64_t out[WF_MAX_RANK], rank = 0, kept = 1;
    if (op == &wf_op_moments) out[rank++] = 2;
    for (int i = 0; i < s.rank; i++)
        if (f->mask >> i & 1) attr.axes[attr.n_axes++] = i;
        else out[rank++] = s.dim[i], kept *= s.dim[i];
    const wf_shape os = wf_shape_make((int)rank, out);
    const size_t n = (size_t)wf_shape_count(&os);
    void *memory;
    const wf_array x = operand(s, dtype, how, &memory);
    float *y[4];
    for (int i = 0; i < 4; i++) y[i] = calloc(n + 1, sizeof **y);
    wf_call c = {.op = op, .attr = &attr, .n_in = 1, .in = &x};
    c.out = wf_array_dense(y[0], WF_F32, &os);
    op->eval(&c);
    for (int i = 1; i < 4; i++) {
        c.out.data = y[i];
        run_fast(&c, i == 1 ? 1 : i == 2 ? 3 : 64);
    }
    for (size_t i = 0; i < n; i++)
        cr_assert(close_to(y[1][i], y[0][i], fast_rtol),
                  "%s of %s rank %d mask %u layout %d [%zu]: %.9g, eval %.9g", op->name,
                  wf_dtype_name(dtype), f->rank, f->mask, how, i, y[1][i], y[0][i]);
    cr_assert(memcmp(y[1], y[2], n * sizeof **y) == 0 && memcmp(y[1], y[3], n * sizeof **y) == 0,
              "%s: bits depend on how pieces are dealt out", op->name);
    for (int i = 0; i < 4; i++) free(y[i]);
    free(memory);
}

Test(reduce, fast_path_agrees_with_eval_for_every_layout) {
    static const fast_case list[] = {
        {1, {1}, 1},
        {1, {100003}, 1},
        {2, {7, 5}, 1},
        {2, {7, 5}, 2},
        {2, {3, 70001}, 2},
        {2, {70001, 3}, 1},
        {2, {2, 60000}, 1},
        {2, {5000, 33}, 2},
        {3, {600, 3, 64}, 3},
        {3, {5, 200, 65}, 2},
        {3, {200, 5, 65}, 5},
        {4, {3, 40, 1, 600}, 5},
        {4, {9, 8, 7, 64}, 7},
        {5, {3, 4, 5, 6, 7}, 21},
        {5, {3, 4, 5, 6, 7}, 10},
    };
    const wf_op *const ops[] = {&wf_op_sum, &wf_op_max, &wf_op_min, &wf_op_moments};
    for (size_t o = 0; o < WF_COUNT(ops); o++)
        for (size_t i = 0; i < WF_COUNT(list); i++)
            for (int how = 0; how < 2 * N_LAYOUTS; how++)
                check_fast(ops[o], &list[i], how < N_LAYOUTS ? WF_F32 : WF_BF16, how % N_LAYOUTS);
}

/* One reduction of n values by the fast path. */
static void reduce_all(const wf_op *op, float *x, int64_t n, float *y) {
    const wf_reduce_attr attr = {.n_axes = 1};
    const wf_shape s = WF_SHAPE(n), planes = WF_SHAPE(2), scalar = WF_SCALAR;
    const wf_array in = wf_array_dense(x, WF_F32, &s);
    const wf_call c = {.op = op,
                       .attr = &attr,
                       .n_in = 1,
                       .in = &in,
                       .out = wf_array_dense(y, WF_F32, op == &wf_op_moments ? &planes : &scalar)};
    run_fast(&c, 2);
}

Test(reduce, long_sums_and_moments_keep_their_digits) {
    const int64_t n = 3000001;
    float *x = malloc(sizeof *x * (size_t)n), y[2];
    for (int64_t i = 0; i < n; i++) x[i] = 0.1f;
    reduce_all(&wf_op_sum, x, n, y);
    cr_assert(close_to(y[0], 0.1f * (double)n, 1e-7), "%.9g", y[0]);
    /* A mean 10000 times the deviation: one pass of plain squares in f32 would lose all digits. */
    for (int64_t i = 0; i < n; i++) x[i] = 10000 + (float)(i % 2 * 2 - 1);
    reduce_all(&wf_op_moments, x, n, y);
    cr_assert(close_to(y[0], 10000, 1e-7) && close_to(y[1], 1, 1e-6), "%.9g %.9g", y[0], y[1]);
    x[0] = 1e6f; /* the shift is far from all the others */
    reduce_all(&wf_op_moments, x, n, y);
    const double mean = 10000 + 990000.0 / (double)n;
    const double var = 1 + 990000.0 * (1e6 - mean) / (double)n;
    cr_assert(close_to(y[0], mean, 1e-6) && close_to(y[1], var, 1e-5), "%.9g %.9g", y[0], y[1]);
    free(x);
}

Test(reduce, values_that_are_not_finite_pass_through_the_fast_path) {
    enum { n = 70000 };
    const float special[] = {NAN, INFINITY, -INFINITY};
    const wf_op *const ops[] = {&wf_op_sum, &wf_op_max, &wf_op_min, &wf_op_moments};
    const int64_t places[] = {0, 1, 31, 32, 40000, n - 1};
    const wf_reduce_attr attr = {.n_axes = 1};
    float *x = calloc(n, sizeof *x);
    for (size_t o = 0; o < WF_COUNT(ops); o++)
        for (size_t p = 0; p < WF_COUNT(places); p++)
            for (size_t v = 0; v < 2 * WF_COUNT(special); v++) {
                float got[2], want[2];
                x[places[p]] = special[v % 3];
                if (v >= 3) x[n / 2] = special[v % 3]; /* and in another piece */
                const wf_shape s = WF_SHAPE(n), planes = WF_SHAPE(2), scalar = WF_SCALAR;
                const wf_array in = wf_array_dense(x, WF_F32, &s);
                const bool two = ops[o] == &wf_op_moments;
                const wf_call c = {
                        .op = ops[o], .attr = &attr, .n_in = 1, .in = &in,
                        .out = wf_array_dense(want, WF_F32, two ? &planes : &scalar)};
                ops[o]->eval(&c);
                reduce_all(ops[o], x, n, got);
                for (int i = 0; i < 1 + two; i++)
                    cr_assert(same(got[i], want[i]), "%s of %g at %lld: %g, eval %g", ops[o]->name,
                              special[v % 3], (long long)places[p], got[i], want[i]);
                x[places[p]] = x[n / 2] = 0;
            }
    free(x);
}

Test(reduce, lines_give_the_same_bits_however_they_are_dealt_out) {
    enum { n = 60 * 9 * 130 };
    float *x = malloc(sizeof *x * n), *y[2] = {calloc(n, sizeof *x), calloc(n, sizeof *x)};
    uint64_t seed = 5;
    for (int i = 0; i < n; i++) x[i] = (float)noise(&seed);
    wf_graph *g = wf_graph_new();
    const wf_tensor t = wf_leaf(g, "x", WF_F32, WF_SHAPE(60, 9, 130), x);
    const wf_tensor sums = wf_cumsum(t, 2);
    const wf_node *node = wf_graph_node(g, sums.id);
    const wf_array in = wf_array_dense(x, WF_F32, &node->type.shape);
    for (int i = 0; i < 2; i++) {
        const wf_call c = {.op = node->op, .attr = node->attr, .n_in = 1, .in = &in,
                           .out = wf_array_dense(y[i], WF_F32, &node->type.shape)};
        if (i) run_fast(&c, 5);
        else node->op->eval(&c);
    }
    cr_assert(memcmp(y[0], y[1], sizeof *x * n) == 0);
    wf_graph_free(g);
    for (int i = 0; i < 2; i++) free(y[i]);
    free(x);
}

/* --- refusals ------------------------------------------------------------------------------- */

static void refused(wf_tensor (*make)(wf_tensor x), wf_dtype t, const char *part) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", t, WF_SHAPE(2, 3));
    cr_assert(!wf_ok(make(x)) && strstr(wf_graph_message(g), part), "no \"%s\" in \"%s\"", part,
              wf_graph_message(g));
    wf_graph_free(g);
}

static wf_tensor bad_axis(wf_tensor x) {
    return wf_sum(x, (wf_reduce_opt){.n_axes = 1, .axes = {2}});
}
static wf_tensor twice(wf_tensor x) {
    return wf_max(x, (wf_reduce_opt){.n_axes = 2, .axes = {1, -1}});
}
static wf_tensor too_many(wf_tensor x) { return wf_prod(x, (wf_reduce_opt){.n_axes = 1000}); }
static wf_tensor negative(wf_tensor x) { return wf_prod(x, (wf_reduce_opt){.n_axes = -1}); }
static wf_tensor sum_all(wf_tensor x) { return wf_sum(x, (wf_reduce_opt){0}); }
static wf_tensor mean_all(wf_tensor x) { return wf_mean(x, (wf_reduce_opt){0}); }
static wf_tensor moments_all(wf_tensor x) { return wf_moments(x, (wf_reduce_opt){0}); }
static wf_tensor bad_argmax(wf_tensor x) { return wf_argmax(x, -3); }
static wf_tensor bad_cumsum(wf_tensor x) { return wf_cumsum(x, 2); }
static wf_tensor empty_argmax(wf_tensor x) { return wf_argmax(wf_slice(x, 1, 0, 0, 1), 1); }

Test(reduce, mistakes_are_named) {
    refused(bad_axis, WF_F32, "sum");
    refused(twice, WF_F32, "axis 1 is given twice");
    refused(too_many, WF_F32, "1000 axes");
    refused(negative, WF_F32, "-1 axes");
    refused(sum_all, WF_U8, "u8");
    refused(mean_all, WF_I32, "mean: x is i32");
    refused(moments_all, WF_I64, "f32, f64 or bf16");
    refused(bad_argmax, WF_F32, "argmax");
    refused(bad_cumsum, WF_F32, "cumsum");
    refused(empty_argmax, WF_F32, "no elements");
    cr_assert(!wf_ok(wf_sum((wf_tensor){NULL, 0}, (wf_reduce_opt){0})));
    cr_assert(!wf_ok(wf_softmax((wf_tensor){NULL, 0}, 0)));
}
