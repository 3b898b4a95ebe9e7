/* Chains and shares: kernels run block by block give what they give one after another, a block's
 * values between them are in no storage, and workers wait only for what others touched. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"

enum { MOST = 6 };

/* A graph with inputs x, y, z .. and outputs. */
typedef struct model {
    wf_graph *g;
    wf_tensor in[MOST], out[MOST];
    int n_in, n_out;
} model;

static wf_tensor input(model *m, wf_shape s) {
    static const char *const name[MOST] = {"x", "y", "z", "u", "v", "w"};
    m->in[m->n_in] = wf_input(m->g, name[m->n_in], WF_F32, s);
    return m->in[m->n_in++];
}

static void output(model *m, wf_tensor t) {
    cr_assert(wf_ok(t));
    m->out[m->n_out++] = t;
}

static wf_program *compiled(const model *m, unsigned off, int threads) {
    wf_program *p;
    /* Small as they are, they are to run on all threads. */
    const wf_compile_opt o = {.off = off | WF_PASS_ALONE, .threads = threads};
    cr_assert_eq(wf_compile(&p, m->g, m->out, m->n_out, o), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_plan_verify(&p->plan), WF_OK, "%s", wf_error());
    return p;
}

static void run(const model *m, wf_program *p) {
    for (int i = 0; i < m->n_in; i++) {
        float *x = wf_data(p, m->in[i]);
        if (!x) continue;
        const int64_t n = wf_count(m->in[i]);
        for (int64_t k = 0; k < n; k++) x[k] = (float)((k * 7919 + i * 31) % 1009) / 500 - 1;
    }
    for (int i = 0; i < 2; i++) cr_assert_eq(wf_run(p), WF_OK); /* arenas are dirty then */
}

/* The same for 1 to 4 threads, in every bit; without chains, about the same. Frees the graph. */
static wf_program_info check(model *m) {
    wf_program *first = compiled(m, 0, 1), *plain = compiled(m, WF_PASS_CHAIN, 2);
    run(m, first);
    run(m, plain);
    cr_assert_eq(wf_program_describe(plain).chains, 0u);
    for (int threads = 2; threads <= 4; threads++) {
        wf_program *p = compiled(m, 0, threads);
        run(m, p);
        for (int i = 0; i < m->n_out; i++)
            cr_assert_eq(memcmp(wf_data(p, m->out[i]), wf_data(first, m->out[i]),
                                4 * (size_t)wf_count(m->out[i])), 0, "output %d, %d threads", i,
                         threads);
        wf_program_free(p);
    }
    for (int i = 0; i < m->n_out; i++) {
        const float *a = wf_data(first, m->out[i]), *b = wf_data(plain, m->out[i]);
        for (int64_t k = 0; k < wf_count(m->out[i]); k++)
            cr_assert(fabsf(a[k] - b[k]) <= 1e-5f * (1 + fabsf(b[k])), "output %d at %lld: %g, %g",
                      i, (long long)k, a[k], b[k]);
    }
    const wf_program_info info = wf_program_describe(first);
    wf_program_free(first);
    wf_program_free(plain);
    wf_graph_free(m->g);
    return info;
}

static wf_tensor convolve(model *m, wf_tensor x, int64_t out, int64_t kernel) {
    const int64_t c = wf_dim(x, 3);
    const int32_t pad = (int32_t)kernel / 2;
    return wf_conv(x, input(m, WF_SHAPE(out, kernel, kernel, c)),
                   (wf_conv_opt){.pad = {pad, pad}});
}

/* --- what becomes a chain --------------------------------------------------------------------- */

/* The gates of a cell are read from the block of the convolution that has made them. */
Test(compiler_chain, the_tail_of_a_convolution) {
    model m = {.g = wf_graph_new()};
    const wf_tensor x = input(&m, WF_SHAPE(4, 16, 16, 8)), c = input(&m, WF_SHAPE(4, 16, 16, 16));
    const wf_tensor z = convolve(&m, x, 32, 3);
    const wf_tensor i = wf_sigmoid(wf_slice(z, 3, 0, 16, 1));
    const wf_tensor f = wf_tanh(wf_slice(z, 3, 16, 16, 1));
    output(&m, wf_add(wf_mul(i, c), f));
    const wf_program_info info = check(&m);
    cr_assert(info.chains == 1 && info.chained == 2, "%u chains of %u", info.chains, info.chained);
    cr_assert_eq(info.tile_bytes, 4.0 * 4 * 16 * 16 * 32);
    cr_assert_eq(info.moved_bytes, 2 * 4.0 * 4 * 16 * 16 * 16); /* c and the result: not z */
}

/* A value that somebody else wants is stored, and is still read from the block. */
Test(compiler_chain, a_wanted_value_is_stored) {
    model m = {.g = wf_graph_new()};
    const wf_tensor z = convolve(&m, input(&m, WF_SHAPE(4, 16, 16, 8)), 16, 3);
    output(&m, wf_mul(wf_sigmoid(z), wf_tanh(z)));
    output(&m, z);
    const wf_program_info info = check(&m);
    cr_assert(info.chains == 1 && info.tile_bytes == 0);
}

/* What reads across rows needs all of them: the second convolution waits for the first. */
Test(compiler_chain, neighbours_are_not_rows) {
    model m = {.g = wf_graph_new()};
    wf_tensor h = input(&m, WF_SHAPE(4, 16, 16, 8));
    for (int i = 0; i < 3; i++) h = wf_tanh(wf_add(convolve(&m, h, 8, 3), h));
    output(&m, h);
    const wf_program_info info = check(&m);
    cr_assert_eq(info.launches, 3 + 3u, "%u launches", info.launches); /* packs, chains */
}

/* A loss: the differences are nowhere in memory. */
Test(compiler_chain, a_reduction_of_a_group) {
    model m = {.g = wf_graph_new()};
    const wf_tensor x = input(&m, WF_SHAPE(64, 1000)), y = input(&m, WF_SHAPE(64, 1000));
    const wf_tensor d = wf_square(wf_sub(x, y));
    output(&m, wf_mean(wf_mul(d, wf_sigmoid(x)), (wf_reduce_opt){0}));
    const wf_program_info info = check(&m);
    cr_assert(info.chains == 1 && info.tile_bytes == 4.0 * 64 * 1000);
}

/* Column sums and moments of what a group and a convolution write. */
Test(compiler_chain, folds_over_the_rows) {
    model m = {.g = wf_graph_new()};
    const wf_reduce_opt rows = {.axes = {0, 1, 2}, .n_axes = 3};
    const wf_tensor z = convolve(&m, input(&m, WF_SHAPE(6, 20, 12, 5)), 24, 5);
    const wf_tensor a = wf_relu(wf_add(z, input(&m, WF_SHAPE(24)))), b = wf_mul(a, z);
    output(&m, wf_sum(b, rows));
    output(&m, wf_moments(a, rows));
    output(&m, wf_max(a, rows));
    output(&m, a);
    const wf_program_info info = check(&m);
    cr_assert(info.chains == 1 && info.chained >= 5, "%u chains of %u", info.chains, info.chained);
}

/* Softmax: maximum, exponentials, sum, quotient, a block of rows at a time. */
Test(compiler_chain, reductions_within_rows) {
    model m = {.g = wf_graph_new()};
    const wf_tensor x = input(&m, WF_SHAPE(333, 77));
    output(&m, wf_softmax(wf_mul(x, wf_tanh(x)), 1));
    const wf_program_info info = check(&m);
    cr_assert(info.chains >= 1 && info.launches <= 2, "%u chains, %u launches", info.chains,
              info.launches);
}

/* Odd extents: blocks of unequal size, rows that are no multiple of a vector. */
Test(compiler_chain, odd_sizes) {
    static const int64_t size[][4] = {{1, 7, 9, 3}, {3, 13, 5, 1}, {2, 31, 33, 4}, {5, 1, 17, 6}};
    for (size_t k = 0; k < WF_COUNT(size); k++) {
        model m = {.g = wf_graph_new()};
        const int64_t *s = size[k];
        const wf_tensor z = convolve(&m, input(&m, WF_SHAPE(s[0], s[1], s[2], s[3])), 19, 3);
        const wf_tensor a = wf_sigmoid(wf_slice(z, 3, 2, 7, 1)), b = wf_slice(z, 3, 9, 7, 1);
        output(&m, wf_mul(a, b));
        output(&m, wf_sum(wf_mul(a, b), (wf_reduce_opt){.axes = {0, 1, 2}, .n_axes = 3}));
        check(&m);
    }
}

/* --- at random -------------------------------------------------------------------------------- */

static uint64_t rng;
static int64_t draw(int64_t below) {
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((rng >> 33) % (uint64_t)below);
}

/* A source of rows: a product, a convolution or a plain input of at least a few blocks. */
static wf_tensor some_rows(model *m) {
    const int64_t cols = 1 + draw(40);
    if (draw(4) == 0) return input(m, WF_SHAPE(30 + draw(500), cols));
    if (draw(2)) {
        const int64_t k = 1 + draw(30);
        const wf_tensor a = input(m, WF_SHAPE(60 + draw(900), k));
        return wf_matmul(a, input(m, WF_SHAPE(k, cols)));
    }
    const wf_tensor x = input(m, WF_SHAPE(1 + draw(5), 4 + draw(20), 3 + draw(20), 1 + draw(6)));
    const wf_tensor z = convolve(m, x, cols, 1 + 2 * draw(2));
    return draw(2) ? z : wf_reshape(z, WF_SHAPE(-1, cols));
}

/* Values stay below about 1, so that a wrong element is seen. */
static wf_tensor some_step(model *m, wf_tensor x, wf_tensor before) {
    const int axis = wf_rank(x) - 1;
    const int64_t cols = wf_dim(x, axis);
    const wf_shape s = wf_shape_of_tensor(x), t = wf_shape_of_tensor(before);
    switch (draw(8)) {
    case 0: return wf_sigmoid(x);
    case 1: return wf_tanh(wf_add(x, x));
    case 2: return wf_shape_equal(&s, &t) ? wf_mul(x, wf_tanh(before)) : wf_neg(x);
    case 3: return m->n_in < MOST ? wf_mul(x, input(m, WF_SHAPE(cols))) : wf_abs(x);
    case 4: return cols > 1 ? wf_slice(x, axis, draw(cols / 2), 1 + draw(cols / 2), 1) : x;
    case 5: return wf_softmax(x, axis);
    case 6: return wf_sub(x, wf_max(x, (wf_reduce_opt){.axes = {axis}, .n_axes = 1,
                                                       .keepdims = true}));
    default: return wf_mul(wf_tanh(x), wf_sigmoid(x));
    }
}

static wf_tensor some_end(wf_tensor x) {
    wf_reduce_opt rows = {.n_axes = wf_rank(x) - 1};
    for (int i = 0; i < rows.n_axes; i++) rows.axes[i] = i;
    switch (draw(5)) {
    case 0: return wf_mean(wf_square(x), (wf_reduce_opt){0});
    case 1: return wf_mean(x, rows);
    case 2: return wf_moments(x, rows);
    case 3: return wf_max(x, rows);
    default: return x;
    }
}

Test(compiler_chain, random_tails) {
    uint32_t chains = 0;
    for (int round = 0; round < 60; round++) {
        model m = {.g = wf_graph_new()};
        rng = (uint64_t)round * 77 + 5;
        wf_tensor x = some_rows(&m), before = x;
        const int steps = 1 + (int)draw(5);
        for (int i = 0; i < steps; i++) {
            const wf_tensor y = some_step(&m, x, before);
            if (draw(4) == 0 && m.n_out < MOST - 2) output(&m, some_end(y));
            before = x;
            x = y;
        }
        output(&m, some_end(x));
        chains += check(&m).chains;
    }
    cr_assert_geq(chains, 40u, "%u chains", chains);
}

/* --- shares ----------------------------------------------------------------------------------- */

/* A recurrence over images: every worker keeps to its images, and nobody waits. */
Test(compiler_chain, images_need_no_barrier) {
    enum { T = 8 };
    model m = {.g = wf_graph_new()};
    wf_tensor h = input(&m, WF_SHAPE(8, 16, 16, 8));
    const wf_tensor w = input(&m, WF_SHAPE(8, 3, 3, 8));
    for (int t = 0; t < T; t++)
        h = wf_tanh(wf_add(wf_conv(h, w, (wf_conv_opt){.pad = {1, 1}}), h));
    output(&m, h);
    wf_program *p = compiled(&m, 0, 2), *q = compiled(&m, 0, 3);
    cr_assert_leq(wf_program_describe(p).barriers, 1u); /* after the packing of w */
    cr_assert_geq(wf_program_describe(q).barriers, (uint32_t)T - 1); /* 8 images, 3 workers */
    run(&m, p);
    run(&m, q);
    cr_assert_eq(memcmp(wf_data(p, h), wf_data(q, h), 4 * (size_t)wf_count(h)), 0);
    /* Barriers follow the number of threads. */
    cr_assert_eq(wf_program_set_threads(p, 3), WF_OK);
    cr_assert_eq(wf_program_describe(p).barriers, wf_program_describe(q).barriers);
    run(&m, p);
    cr_assert_eq(memcmp(wf_data(p, h), wf_data(q, h), 4 * (size_t)wf_count(h)), 0);
    wf_program_free(p);
    wf_program_free(q);
    wf_graph_free(m.g);
}

/* Fewer threads come than the barriers are for: inside a parallel region there is one. */
Test(compiler_chain, a_smaller_team_waits_too) {
    model m = {.g = wf_graph_new()};
    wf_tensor h = input(&m, WF_SHAPE(8, 16, 16, 8));
    for (int t = 0; t < 3; t++) h = wf_tanh(convolve(&m, h, 8, 3));
    output(&m, h);
    wf_program *p = compiled(&m, 0, 4), *q = compiled(&m, 0, 1);
    run(&m, q);
    const size_t bytes = 4 * (size_t)wf_count(h);
#pragma omp parallel num_threads(2)
#pragma omp master
    run(&m, p);
    cr_assert_eq(memcmp(wf_data(p, h), wf_data(q, h), bytes), 0);
    wf_program_free(p);
    wf_program_free(q);
    wf_graph_free(m.g);
}

/* --- repeating -------------------------------------------------------------------------------- */

/* The differences from the mean are computed again behind the cumulative sum, which needs all
 * rows. */
Test(compiler_chain, cheap_values_are_repeated) {
    model m = {.g = wf_graph_new()};
    const wf_tensor x = input(&m, WF_SHAPE(500, 64)), mean = input(&m, WF_SHAPE(64));
    const wf_tensor d = wf_sub(x, mean), a = wf_cumsum(wf_tanh(wf_mul(d, d)), 0);
    output(&m, wf_add(wf_mul(a, d), x));
    const wf_program_info info = check(&m);
    const double all = 4.0 * 500 * 64;
    cr_assert(info.moved_bytes < 5.1 * all, "%g times", info.moved_bytes / all);
}

/* --- folds over several chains ---------------------------------------------------------------- */

/* Moments of all steps of a recurrence: each step leaves partials of its own rows, and nothing
 * reads the states once more. */
Test(compiler_chain, moments_of_all_steps) {
    enum { T = 5 };
    model m = {.g = wf_graph_new()};
    const wf_reduce_opt all = {.axes = {0, 1, 2, 3}, .n_axes = 4};
    const wf_tensor w = input(&m, WF_SHAPE(8, 3, 3, 8));
    wf_tensor h = input(&m, WF_SHAPE(4, 12, 12, 8)), step[T];
    for (int t = 0; t < T; t++)
        step[t] = h = wf_tanh(wf_add(wf_conv(h, w, (wf_conv_opt){.pad = {1, 1}}), h));
    const wf_tensor s = wf_stack(step, T, 0), n = wf_moments(s, all);
    output(&m, n);
    output(&m, wf_sum(s, all));
    output(&m, wf_sub(s, wf_index(n, 0, 0)));
    const wf_program_info info = check(&m);
    cr_assert_eq(info.chained, 4u * T, "%u kernels in chains", info.chained);
    cr_assert_leq(info.barriers, 3u, "%u barriers", info.barriers); /* pack, merge, difference */
}
