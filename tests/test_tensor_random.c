/* Random numbers and other values made from nothing: Philox against the published vectors, moments,
 * independence of how the work is cut, formulas, messages. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/graph.h"
#include "tensor/philox.h"
#include "tensor/sources.h"
#include "tests/pieces.h"

static void value(wf_tensor t, void *out) {
    cr_assert(wf_ok(t), "%s", t.graph ? wf_graph_message(t.graph) : "no graph");
    cr_assert(wf_reference(t.graph, &t.id, &out, 1, NULL, NULL) == WF_OK, "%s", wf_error());
}

/* --- Philox ---------------------------------------------------------------------------------- */

/* Source: Random123 1.14, tests/kat_vectors, the lines "philox4x32 10". */
Test(random, philox_known_answers) {
    static const uint32_t kat[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        const wf_philox c = {{kat[i][0], kat[i][1], kat[i][2], kat[i][3]}};
        const wf_philox r = wf_philox4x32(c, kat[i][4], kat[i][5]);
        cr_assert(memcmp(r.v, kat[i] + 6, sizeof r.v) == 0, "vector %d", i);
    }
}

/* --- distributions --------------------------------------------------------------------------- */

enum { count = 1 << 17 };

typedef struct moments {
    double mean, var, skew, kurtosis, low, high, lag; /* lag: correlation of neighbours */
} moments;

static moments moments_of(const wf_array *a) {
    moments m = {.low = INFINITY, .high = -INFINITY};
    const int64_t n = wf_shape_count(&a->shape);
    for (int64_t i = 0; i < n; i++) m.mean += wf_get(a, i) / (double)n;
    double s2 = 0, s3 = 0, s4 = 0, s11 = 0, before = 0;
    for (int64_t i = 0; i < n; i++) {
        const double v = wf_get(a, i), d = v - m.mean;
        s2 += d * d;
        s3 += d * d * d;
        s4 += d * d * d * d;
        s11 += d * before;
        before = d;
        m.low = fmin(m.low, v);
        m.high = fmax(m.high, v);
    }
    m.var = s2 / (double)n;
    m.skew = s3 / (double)n / pow(m.var, 1.5);
    m.kurtosis = s4 / (double)n / (m.var * m.var);
    m.lag = s11 / s2;
    return m;
}

static moments drawn(wf_tensor t) {
    const wf_shape s = wf_shape_of_tensor(t);
    const wf_array a = wf_array_dense(malloc(count * 8), wf_dtype_of(t), &s);
    value(t, a.data);
    const moments m = moments_of(&a);
    free(a.data);
    return m;
}

/* Bounds are five standard errors of 2^17 draws. */
Test(random, moments) {
    wf_graph *g = wf_graph_new();
    const double se = 5 / sqrt(count);
    for (int t = WF_F32; t <= WF_F64; t++) {
        const wf_random_opt o = {.seed = 42, .stream = 3, .dtype = (wf_dtype)t};
        const moments u = drawn(wf_uniform(g, WF_SHAPE(count), o));
        cr_assert(fabs(u.mean - 0.5) < se * 0.289 && fabs(u.var - 1. / 12) < se * 0.075);
        cr_assert(fabs(u.skew) < se * 1.1 && fabs(u.kurtosis - 1.8) < se * 1.1);
        cr_assert(u.low >= 0 && u.low < 1e-3 && u.high > 1 - 1e-3 && u.high < 1);
        cr_assert(fabs(u.lag) < se);
        const moments n = drawn(wf_normal(g, WF_SHAPE(count), o));
        cr_assert(fabs(n.mean) < se && fabs(n.var - 1) < se * 1.42 && fabs(n.lag) < se);
        cr_assert(fabs(n.skew) < se * 2.45 && fabs(n.kurtosis - 3) < se * 4.9);
        cr_assert(n.low < -3.5 && n.low > -9 && n.high > 3.5 && n.high < 9);
        const moments b = drawn(wf_bernoulli(g, WF_SHAPE(count), 0.2, o));
        cr_assert(fabs(b.mean - 0.2) < se * 0.4 && b.low == 0 && b.high == 1 && fabs(b.lag) < se);
        cr_assert(drawn(wf_bernoulli(g, WF_SHAPE(count), 0, o)).high == 0);
        cr_assert(drawn(wf_bernoulli(g, WF_SHAPE(count), 1, o)).low == 1);
    }
    wf_graph_free(g);
}

/* Correlation of two draws of 2^14 numbers. */
static double correlation(wf_tensor a, wf_tensor b) {
    static double x[1 << 14], y[1 << 14];
    value(a, x);
    value(b, y);
    double s = 0;
    for (int i = 0; i < 1 << 14; i++) s += (x[i] - 0.5) * (y[i] - 0.5) * 12 / (1 << 14);
    return s;
}

Test(random, seeds_streams_and_counters_are_independent) {
    wf_graph *g = wf_graph_new();
    const wf_shape s = WF_SHAPE(1 << 14);
    int64_t steps[] = {0, 1, -1};
    wf_random_opt o[6] = {{.seed = 1}, {.seed = 2}, {.seed = 1, .stream = 1}, {.seed = 1},
                          {.seed = 1}, {.seed = 1ull << 32 | 1}};
    for (int i = 0; i < 6; i++) o[i].dtype = WF_F64;
    o[3].counter = wf_const(g, WF_I64, WF_SCALAR, &steps[1]);
    o[4].counter = wf_const(g, WF_I64, WF_SCALAR, &steps[2]);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++)
            cr_assert(fabs(correlation(wf_uniform(g, s, o[i]), wf_uniform(g, s, o[j]))) < 5. / 128,
                      "%d and %d", i, j);
    wf_random_opt zero = o[0];
    zero.counter = wf_const(g, WF_I64, WF_SCALAR, &steps[0]);
    cr_assert(fabs(correlation(wf_uniform(g, s, zero), wf_uniform(g, s, o[0])) - 1) < 0.05,
              "no counter means counter 0");
    wf_graph_free(g);
}

/* The first numbers by the formulas at the head of op_random.c. */
Test(random, values_follow_the_formulas) {
    wf_graph *g = wf_graph_new();
    const wf_random_opt o = {.seed = 0x1122334455667788, .stream = 0x99aabbccddeeff00};
    const wf_philox k = wf_philox4x32((wf_philox){{0xddeeff00, 0x99aabbcc, 0, 0}}, 0x55667788,
                                      0x11223344);
    const wf_philox r = wf_philox4x32((wf_philox){{1, 0, k.v[2], k.v[3]}}, k.v[0], k.v[1]);
    float u[7], z[4], b[8];
    value(wf_uniform(g, WF_SHAPE(7), o), u);
    for (int i = 4; i < 7; i++) cr_assert(u[i] == (float)(r.v[i - 4] >> 8) * 0x1p-24f);
    value(wf_normal(g, WF_SHAPE(4), o), z);
    const double w0 = (double)(((uint64_t)r.v[0] << 32 | r.v[1]) >> 11) * 0x1p-53;
    const double w1 = (double)(((uint64_t)r.v[2] << 32 | r.v[3]) >> 11) * 0x1p-53;
    const double radius = sqrt(-2 * log(w0 + 0x1p-53));
    cr_assert(fabs(z[2] - radius * cos(2 * acos(-1) * w1)) < 1e-6);
    cr_assert(fabs(z[3] - radius * sin(2 * acos(-1) * w1)) < 1e-6);
    value(wf_bernoulli(g, WF_SHAPE(8), 0.5, o), b);
    for (int i = 4; i < 8; i++) cr_assert(b[i] == (r.v[i - 4] < 0x80000000u));
    wf_graph_free(g);
}

Test(random, pieces_do_not_matter) {
    wf_graph *g = wf_graph_new();
    static double want[10007], got[10007];
    for (int t = WF_F32; t <= WF_F64; t++) {
        const wf_random_opt o = {.seed = 5, .dtype = (wf_dtype)t};
        const wf_shape s = WF_SHAPE(10007);
        const wf_tensor all[] = {wf_uniform(g, s, o), wf_normal(g, s, o),
                                 wf_bernoulli(g, s, 0.3, o)};
        for (int i = 0; i < 3; i++) {
            const wf_node *node = wf_graph_node(g, all[i].id);
            const size_t bytes = 10007 * wf_dtype_bytes(node->type.dtype);
            value(all[i], want);
            const wf_call c = {.op = node->op, .attr = node->attr,
                               .out = wf_array_dense(got, node->type.dtype, &node->type.shape)};
            for (int64_t each = 1; each <= 3; each++) {
                memset(got, 0x55, bytes);
                cr_assert(run_pieces(&c, each) > 1);
                cr_assert(memcmp(want, got, bytes) == 0, "%s in pieces of %lld", c.op->name,
                          (long long)each);
            }
        }
    }
    wf_graph_free(g);
}

/* --- other sources --------------------------------------------------------------------------- */

Test(sources, formulas) {
    wf_graph *g = wf_graph_new();
    int64_t n[5];
    value(wf_arange(g, WF_I64, 7, -2, 5), n);
    for (int i = 0; i < 5; i++) cr_assert(n[i] == 7 - 2 * i);
    float e[6];
    value(wf_eye(g, WF_F32, 2, 3), e);
    for (int i = 0; i < 6; i++) cr_assert(e[i] == (i == 0 || i == 4));
    uint8_t m[12];
    value(wf_tril_mask(g, 3, 4, 1), m);
    for (int i = 0; i < 12; i++) cr_assert(m[i] == (i % 4 - i / 4 <= 1));
    value(wf_tril_mask(g, 3, 4, INT64_MIN), m);
    for (int i = 0; i < 12; i++) cr_assert(m[i] == 0);
    uint8_t u[3];
    value(wf_full(g, WF_U8, WF_SHAPE(3), 300), u);
    for (int i = 0; i < 3; i++) cr_assert(u[i] == 255);
    double v = 0;
    const wf_tensor half = wf_full(g, WF_F32, WF_SHAPE(3, 2), 0.5);
    cr_assert(wf_uniform_value(g, half.id, &v) && v == 0.5);
    wf_graph_free(g);
}

Test(sources, full_fills_every_dtype_in_pieces) {
    wf_graph *g = wf_graph_new();
    char *want = malloc(8 * 30011), *got = malloc(8 * 30011);
    for (int t = 0; t < WF_N_DTYPE; t++) {
        const wf_tensor x = wf_full(g, (wf_dtype)t, WF_SHAPE(30011), 3.14159);
        const wf_node *node = wf_graph_node(g, x.id);
        const size_t bytes = 30011 * wf_dtype_bytes((wf_dtype)t);
        value(x, want);
        memset(got, 0x55, bytes);
        const wf_call c = {.op = node->op, .attr = node->attr,
                           .out = wf_array_dense(got, (wf_dtype)t, &node->type.shape)};
        run_pieces(&c, 1);
        cr_assert(memcmp(want, got, bytes) == 0, "%s", wf_dtype_name((wf_dtype)t));
    }
    free(want);
    free(got);
    wf_graph_free(g);
}

static wf_graph *graph; /* of the case that runs */

static void refuses(wf_tensor t, const char *part) {
    cr_assert(!wf_ok(t), "not refused: %s", part);
    cr_assert(wf_graph_status(graph) == WF_MODEL && strstr(wf_error(), part), "\"%s\" lacks \"%s\"",
              wf_error(), part);
    wf_graph_free(graph);
    graph = wf_graph_new();
}

Test(sources, mistakes_are_named) {
    graph = wf_graph_new();
    const wf_random_opt none = {0};
    refuses(wf_full(graph, WF_F32, WF_SHAPE(3, -1), 0), "full: shape [3,-1] has a negative extent");
    refuses(wf_full(graph, WF_F32, WF_SHAPE(INT64_MAX, INT64_MAX), 0), "more bytes");
    refuses(wf_full(graph, WF_F32, WF_SHAPE(INT64_MAX), 0), "more bytes");
    refuses(wf_full(graph, WF_F32, (wf_shape){.rank = 99}, 0), "rank 99");
    refuses(wf_full(graph, (wf_dtype)77, WF_SHAPE(1), 0), "no dtype 77");
    refuses(wf_arange(graph, WF_I64, 0, 1, -1), "negative");
    refuses(wf_arange(graph, WF_I64, 0, 1, INT64_MAX), "more bytes");
    refuses(wf_eye(graph, WF_F32, -2, 2), "negative");
    refuses(wf_tril_mask(graph, INT64_MAX, INT64_MAX, 0), "more bytes");
    refuses(wf_uniform(graph, WF_SHAPE(-3), none), "negative");
    refuses(wf_uniform(graph, WF_SHAPE(3), (wf_random_opt){.dtype = WF_I32}), "i32 is not f32");
    refuses(wf_bernoulli(graph, WF_SHAPE(3), 1.5, none), "p = 1.5 is not in [0, 1]");
    refuses(wf_bernoulli(graph, WF_SHAPE(3), NAN, none), "is not in [0, 1]");
    const wf_tensor real = wf_full(graph, WF_F32, WF_SCALAR, 0);
    refuses(wf_normal(graph, WF_SHAPE(3), (wf_random_opt){.counter = real}), "i64 scalar");
    const wf_tensor one = wf_full(graph, WF_I64, WF_SHAPE(1), 0);
    refuses(wf_normal(graph, WF_SHAPE(3), (wf_random_opt){.counter = one}), "i64 scalar");
    wf_graph_free(graph);
    cr_assert(!wf_ok(wf_full(NULL, WF_F32, WF_SCALAR, 0)));
    cr_assert(!wf_ok(wf_uniform(NULL, WF_SCALAR, none)));
}
