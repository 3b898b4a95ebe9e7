/* Pooling and resize: values against plain loops over padded windows, NaN and ties, adjoints, the
 * fast path against eval however its rows are dealt out, and what is refused. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/graph.h"
#include "tensor/pool.h"

/* Fast path against eval, per element: both sum in f64 and round to f32 once; resize adds its four
 * products in another order. */
static const double fast_rtol = 2.5e-7, fast_atol = 1e-7;

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

static double noise(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (double)(*s >> 11) * 0x1p-53 * 4 - 2;
}

static double *random_values(int64_t n, uint64_t seed) {
    double *v = malloc(sizeof *v * (size_t)(n + 1));
    for (int64_t i = 0; i < n; i++) v[i] = noise(&seed);
    return v;
}

static double *gradient(wf_tensor y, wf_tensor x) {
    wf_tensor dx;
    cr_assert(wf_grad(y, &x, 1, &dx) == WF_OK, "%s", wf_error());
    return values(dx);
}

/* --- values --------------------------------------------------------------------------------- */

typedef struct pool_case {
    int64_t n, in[3], c; /* missing leading axes have extent 1, kernel 1 */
    int rank;
    wf_pool_opt o;
} pool_case;

static const pool_case cases[] = {
    {2, {1, 6, 8}, 3, 4, {.kernel = {2, 2}}},
    {1, {1, 7, 5}, 2, 4, {.kernel = {3, 2}, .stride = {2, 1}, .pad = {1, 1}}},
    {2, {1, 5, 6}, 1, 4, {.kernel = {3, 3}, .stride = {1, 2}, .pad = {2, 1}, .count_pad = true}},
    {2, {1, 9, 7}, 70, 4, {.kernel = {2, 3}, .stride = {4, 1}}},
    {3, {1, 1, 11}, 2, 3, {.kernel = {4}, .stride = {2}, .pad = {3}}},
    {1, {4, 5, 6}, 3, 5, {.kernel = {2, 3, 2}, .stride = {2, 1, 3}, .pad = {1, 1, 0}}},
};

/* The windows of a case by brute force over padded positions: value of one output. */
static void window(const pool_case *p, const double *x, int64_t n, const int64_t o[3], int64_t c,
                   double *max, double *avg) {
    const int missing = 5 - p->rank;
    double sum = 0, inside = 0, all = 0;
    *max = -INFINITY;
    int64_t k[3], kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, pad[3] = {0};
    for (int a = missing; a < 3; a++) {
        kernel[a] = p->o.kernel[a - missing];
        stride[a] = p->o.stride[a - missing] ? p->o.stride[a - missing] : kernel[a];
        pad[a] = p->o.pad[a - missing];
    }
    for (k[0] = 0; k[0] < kernel[0]; k[0]++)
        for (k[1] = 0; k[1] < kernel[1]; k[1]++)
            for (k[2] = 0; k[2] < kernel[2]; k[2]++) {
                bool out = false;
                int64_t at = n;
                for (int a = 0; a < 3; a++) {
                    const int64_t i = o[a] * stride[a] - pad[a] + k[a];
                    out |= i < 0 || i >= p->in[a];
                    at = at * p->in[a] + i;
                }
                all++;
                if (out) continue;
                inside++;
                sum += x[at * p->c + c];
                *max = fmax(*max, x[at * p->c + c]);
            }
    *avg = sum / (p->o.count_pad ? all : inside);
}

static wf_shape shape_of_case(const pool_case *p) {
    int64_t dim[5] = {p->n};
    for (int i = 0; i < p->rank - 2; i++) dim[i + 1] = p->in[i + 5 - p->rank];
    dim[p->rank - 1] = p->c;
    return wf_shape_make(p->rank, dim);
}

static void check_case(const pool_case *p) {
    wf_graph *g = wf_graph_new();
    const wf_shape s = shape_of_case(p);
    double *x = random_values(wf_shape_count(&s), 9);
    const wf_tensor t = wf_leaf(g, "x", WF_F64, s, x);
    const wf_tensor max = wf_max_pool(t, p->o), avg = wf_avg_pool(t, p->o);
    double *m = values(max), *a = values(avg);
    int64_t out[3] = {1, 1, 1}, o[3], at = 0;
    for (int i = 5 - p->rank; i < 3; i++) {
        const int s_axis = i - (5 - p->rank);
        const int64_t k = p->o.kernel[s_axis];
        const int64_t stride = p->o.stride[s_axis] ? p->o.stride[s_axis] : k;
        for (out[i] = 0; out[i] * stride + k <= p->in[i] + 2 * p->o.pad[s_axis];) out[i]++;
        cr_assert(wf_dim(max, s_axis + 1) == out[i] && wf_dim(avg, s_axis + 1) == out[i]);
    }
    for (int64_t n = 0; n < p->n; n++)
        for (o[0] = 0; o[0] < out[0]; o[0]++)
            for (o[1] = 0; o[1] < out[1]; o[1]++)
                for (o[2] = 0; o[2] < out[2]; o[2]++)
                    for (int64_t c = 0; c < p->c; c++, at++) {
                        double want_max, want_avg;
                        window(p, x, n, o, c, &want_max, &want_avg);
                        cr_assert(m[at] == want_max && fabs(a[at] - want_avg) < 1e-14,
                                  "case %d at %lld", (int)(p - cases), (long long)at);
                    }
    cr_assert(at == wf_count(max));
    free(m);
    free(a);
    free(x);
    wf_graph_free(g);
}

Test(pool, values_against_plain_windows) {
    for (size_t i = 0; i < WF_COUNT(cases); i++) check_case(&cases[i]);
}

Test(pool, windows_far_larger_than_the_operand) {
    wf_graph *g = wf_graph_new();
    const double x[] = {1, 2, 3, 6};
    const wf_tensor t = wf_const(g, WF_F64, WF_SHAPE(1, 2, 2, 1, 1), x);
    const wf_pool_opt o = {.kernel = {INT32_MAX, INT32_MAX, INT32_MAX},
                           .pad = {INT32_MAX - 1, INT32_MAX - 1, INT32_MAX - 1},
                           .count_pad = true};
    double *max = values(wf_max_pool(t, o)), *avg = values(wf_avg_pool(t, o));
    cr_assert(max[0] == 1 && avg[0] > 0 && avg[0] < 1e-27);
    free(max);
    free(avg);
    wf_graph_free(g);
}

Test(pool, max_gradient_goes_to_the_first_maximum_and_nan_wins) {
    wf_graph *g = wf_graph_new();
    double x[] = {5, 5, 5, 1, 5, 2}, n[] = {1, NAN, 3, NAN};
    const wf_tensor t = wf_leaf(g, "x", WF_F64, WF_SHAPE(1, 6, 1), x);
    const wf_tensor y = wf_max_pool(t, (wf_pool_opt){.kernel = {3}, .stride = {1}});
    double *d = gradient(wf_sum(y, (wf_reduce_opt){0}), t);
    const double want[] = {1, 1, 1, 0, 1, 0}; /* three windows begin at a 5, one holds 1 5 2 */
    for (int i = 0; i < 6; i++) cr_assert(d[i] == want[i], "%d: %g", i, d[i]);
    free(d);
    const wf_tensor u = wf_leaf(g, "n", WF_F64, WF_SHAPE(1, 4, 1), n);
    const wf_tensor v = wf_max_pool(u, (wf_pool_opt){.kernel = {4}});
    double *top = values(v);
    d = gradient(wf_sum(v, (wf_reduce_opt){0}), u);
    cr_assert(isnan(top[0]) && d[0] == 0 && d[1] == 1 && d[2] == 0 && d[3] == 0);
    free(top);
    free(d);
    wf_graph_free(g);
}

/* --- resize --------------------------------------------------------------------------------- */

/* One axis: positions by the definition, clamped at both ends. */
static void sample_at(int64_t o, int64_t in, int64_t out, int64_t *lo, int64_t *hi, double *w) {
    const double at = fmin(fmax(((double)o + 0.5) * (double)in / (double)out - 0.5, 0), in - 1);
    *lo = (int64_t)floor(at);
    *hi = *lo + 1 < in ? *lo + 1 : *lo;
    *w = at - (double)*lo;
}

Test(resize, values_against_the_definition) {
    static const int64_t list[][4] = {
        {4, 6, 8, 12}, {5, 7, 3, 2}, {3, 3, 3, 3}, {1, 4, 5, 1}, {2, 3, 7, 10}};
    enum { n = 2, c = 3 };
    for (size_t i = 0; i < WF_COUNT(list); i++) {
        const int64_t ih = list[i][0], iw = list[i][1], oh = list[i][2], ow = list[i][3];
        wf_graph *g = wf_graph_new();
        double *x = random_values(n * ih * iw * c, i);
        const wf_tensor t = wf_leaf(g, "x", WF_F64, WF_SHAPE(n, ih, iw, c), x);
        double *y = values(wf_resize(t, oh, ow));
        for (int64_t e = 0; e < n * oh * ow * c; e++) {
            int64_t r0, r1, s0, s1;
            double wr, ws;
            sample_at(e / c / ow % oh, ih, oh, &r0, &r1, &wr);
            sample_at(e / c % ow, iw, ow, &s0, &s1, &ws);
            const double *image = x + e / c / ow / oh * ih * iw * c + e % c;
            const double *r = image + r0 * iw * c, *q = image + r1 * iw * c;
            const double top = r[s0 * c] * (1 - ws) + r[s1 * c] * ws;
            const double low = q[s0 * c] * (1 - ws) + q[s1 * c] * ws;
            cr_assert(fabs(y[e] - (top * (1 - wr) + low * wr)) < 1e-13, "size %zu at %lld", i,
                      (long long)e);
        }
        free(x);
        free(y);
        wf_graph_free(g);
    }
}

Test(resize, doubling_a_ramp_gives_quarters) {
    wf_graph *g = wf_graph_new();
    double x[] = {1, 2};
    double *y = values(wf_resize(wf_leaf(g, "x", WF_F64, WF_SHAPE(1, 1, 2, 1), x), 1, 4));
    cr_assert(y[0] == 1 && y[1] == 1.25 && y[2] == 1.75 && y[3] == 2);
    free(y);
    wf_graph_free(g);
}

/* sum(A(x) * y) = sum(x * A'(y)), A' through wf_vjp. */
static void check_adjoint(wf_graph *g, wf_tensor x, wf_tensor y) {
    double *w = random_values(wf_count(y), 21);
    const wf_tensor v = wf_const(g, WF_F64, wf_shape_of_tensor(y), w);
    wf_tensor back;
    cr_assert(wf_vjp(y, v, &x, 1, &back) == WF_OK, "%s", wf_error());
    double *left = values(wf_sum(wf_mul(y, v), (wf_reduce_opt){0}));
    double *right = values(wf_sum(wf_mul(x, back), (wf_reduce_opt){0}));
    cr_assert(fabs(left[0] - right[0]) < 1e-11 * (1 + fabs(left[0])), "%g, %g", left[0], right[0]);
    free(w);
    free(left);
    free(right);
}

Test(resize, gradients_are_adjoints) {
    wf_graph *g = wf_graph_new();
    double *a = random_values(2 * 9 * 7 * 3, 5);
    const wf_tensor x = wf_leaf(g, "x", WF_F64, WF_SHAPE(2, 9, 7, 3), a);
    check_adjoint(g, x, wf_resize(x, 18, 14));
    check_adjoint(g, x, wf_resize(x, 4, 23));
    check_adjoint(g, x, wf_resize(x, 1, 1));
    for (size_t i = 0; i < WF_COUNT(cases); i++)
        if (cases[i].rank == 4) check_adjoint(g, x, wf_avg_pool(x, cases[i].o));
    wf_graph_free(g);
    free(a);
}

/* --- fast path ------------------------------------------------------------------------------ */

/* Evaluates node t, an operation on x alone, by eval (workers 0) or by its fast path, the pieces
 * dealt to `workers` workers from last to first. gap: elements between pixels of x. */
static float *compute(wf_tensor t, const float *x, wf_shape xs, int64_t gap, int workers) {
    const wf_node *node = wf_graph_node(t.graph, t.id);
    const bool index = node->type.dtype == WF_I64;
    const size_t n = (size_t)wf_count(t), bytes = wf_dtype_bytes(node->type.dtype);
    void *out = calloc(n + 1, bytes);
    wf_array in = wf_array_dense((void *)(uintptr_t)x, WF_F32, &xs);
    for (int i = 0; i < xs.rank - 1; i++) /* every pixel has c + gap channels in memory */
        in.stride[i] = in.stride[i] / xs.dim[xs.rank - 1] * (xs.dim[xs.rank - 1] + gap);
    const wf_call c = {.op = node->op, .attr = node->attr, .n_in = 1, .in = &in,
                       .out = wf_array_dense(out, node->type.dtype, &node->type.shape)};
    const wf_fast *f = node->op->fast;
    if (workers == 0) node->op->eval(&c);
    else {
        cr_assert(f->applicable(&c), "%s", node->op->name);
        const int64_t pieces = f->pieces(&c, 0);
        for (int w = workers - 1; w >= 0; w--)
            f->run(&c, 0, pieces * w / workers, pieces * (w + 1) / workers, NULL, NULL);
    }
    float *v = calloc(n + 1, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = index ? (float)((int64_t *)out)[i] : ((float *)out)[i];
    free(out);
    return v;
}

static void check_fast(wf_tensor t, const float *x, wf_shape xs) {
    const size_t n = (size_t)wf_count(t);
    for (int64_t gap = 0; gap < 6; gap += 5) {
        float *want = compute(t, x, xs, gap, 0), *one = compute(t, x, xs, gap, 1);
        float *seven = compute(t, x, xs, gap, 7);
        for (size_t i = 0; i < n; i++)
            cr_assert(want[i] == one[i] || (isnan(want[i]) && isnan(one[i])) ||
                      fabsf(want[i] - one[i]) <= fast_rtol * fabsf(want[i]) + fast_atol,
                      "%s [%zu]: %.9g, eval %.9g", wf_graph_node(t.graph, t.id)->op->name, i,
                      one[i], want[i]);
        cr_assert(memcmp(one, seven, n * sizeof *one) == 0);
        free(want);
        free(one);
        free(seven);
    }
}

Test(pool, fast_paths_agree_with_eval) {
    enum { room = 2 * 40 * 36 * 80 };
    float *x = malloc(sizeof *x * room);
    uint64_t seed = 2;
    for (int i = 0; i < room; i++) x[i] = i % 611 ? (float)noise(&seed) : NAN;
    for (size_t i = 0; i < WF_COUNT(cases) + 1; i++) {
        wf_graph *g = wf_graph_new();
        const bool big = i == WF_COUNT(cases);
        const wf_shape s = big ? WF_SHAPE(2, 40, 36, 70) : shape_of_case(&cases[i]);
        const wf_pool_opt o = big ? (wf_pool_opt){.kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1}}
                                  : cases[i].o;
        const wf_tensor t = wf_input(g, "x", WF_F32, s);
        const wf_tensor y = wf_avg_pool(t, o);
        wf_pool_attr a = wf_pool_attr_make(s.rank, &o), b = a;
        for (int k = 0; k < s.rank - 2; k++) b.extent[k] = s.dim[k + 1];
        check_fast(wf_max_pool(t, o), x, s);
        check_fast(wf_emit1(&wf_op_max_pool_index, &a, sizeof a, t), x, s);
        check_fast(y, x, s);
        check_fast(wf_emit1(&wf_op_avg_pool_grad, &b, sizeof b, y), x, wf_shape_of_tensor(y));
        wf_graph_free(g);
    }
    free(x);
}

Test(resize, fast_paths_agree_with_eval) {
    enum { room = 2 * 20 * 30 * 80 };
    float *x = malloc(sizeof *x * room);
    uint64_t seed = 4;
    for (int i = 0; i < room; i++) x[i] = (float)noise(&seed);
    for (int64_t c = 1; c < 80; c += 69) {
        wf_graph *g = wf_graph_new();
        const wf_shape s = WF_SHAPE(2, 20, 30, c);
        const wf_tensor t = wf_leaf(g, "x", WF_F32, s, x);
        for (int64_t h = 5; h < 50; h += 31) {
            const wf_tensor y = wf_resize(t, h, h + 4);
            wf_tensor back;
            cr_assert(wf_vjp(y, y, &t, 1, &back) == WF_OK);
            check_fast(y, x, s);
            if (h == 5) check_fast(back, x, wf_shape_of_tensor(y));
        }
        wf_graph_free(g);
    }
    free(x);
}

/* --- refusals ------------------------------------------------------------------------------- */

static void refused(wf_shape s, wf_dtype t, wf_pool_opt o, const char *part) {
    for (int max = 0; max < 2; max++) {
        wf_graph *g = wf_graph_new();
        const wf_tensor x = wf_input(g, "x", t, s);
        cr_assert(!wf_ok(max ? wf_max_pool(x, o) : wf_avg_pool(x, o)));
        cr_assert(strstr(wf_graph_message(g), part) && strstr(wf_graph_message(g), "_pool"),
                  "no \"%s\" in \"%s\"", part, wf_graph_message(g));
        wf_graph_free(g);
    }
}

Test(pool, mistakes_are_named) {
    const wf_shape s = WF_SHAPE(1, 4, 4, 2);
    refused(WF_SHAPE(4, 4), WF_F32, (wf_pool_opt){.kernel = {2, 2}}, "[4,4]");
    refused(s, WF_I32, (wf_pool_opt){.kernel = {2, 2}}, "i32");
    refused(s, WF_F32, (wf_pool_opt){.kernel = {2}}, "kernel[1] is 0");
    refused(s, WF_F32, (wf_pool_opt){.kernel = {2, 2}, .stride = {-1, 1}}, "stride[0] is -1");
    refused(s, WF_F32, (wf_pool_opt){.kernel = {2, 2}, .pad = {0, 2}}, "pad[1] is 2");
    refused(s, WF_F32, (wf_pool_opt){.kernel = {2, 5}}, "kernel[1] is 5");
    refused(s, WF_F32, (wf_pool_opt){.kernel = {INT32_MAX, 1}}, "kernel[0] is 2147483647");
    refused(WF_SHAPE(1, 0, 4, 2), WF_F32, (wf_pool_opt){.kernel = {2, 2}}, "extent 0");
}

Test(resize, mistakes_are_named) {
    static const struct {
        int rank;
        int64_t dim[4], h, w;
        const char *part;
    } list[] = {
        {3, {4, 4, 2}, 2, 2, "(N, H, W, C)"},
        {4, {1, 4, 4, 2}, 0, 2, "0 x 2"},
        {4, {1, 4, 4, 2}, 2, -5, "2 x -5"},
        {4, {1, 0, 4, 2}, 2, 2, "nothing to interpolate"},
        {4, {1, 4, 4, 2}, INT64_MAX, INT64_MAX, "resize"},
    };
    for (size_t i = 0; i < WF_COUNT(list); i++) {
        wf_graph *g = wf_graph_new();
        const wf_shape s = wf_shape_make(list[i].rank, list[i].dim);
        cr_assert(!wf_ok(wf_resize(wf_input(g, "x", WF_F32, s), list[i].h, list[i].w)));
        cr_assert(strstr(wf_graph_message(g), list[i].part), "%s", wf_graph_message(g));
        wf_graph_free(g);
    }
}
