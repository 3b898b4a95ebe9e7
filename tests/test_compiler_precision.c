/* Modes of precision: what they mark and store, how near they stay to f32, that their bits depend
 * on neither threads nor generated code, and what bf16 saves. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "compiler/cc.h"
#include "compiler/program.h"
#include "nn/nn.h"
#include "tensor/contract.h"
#include "tensor/elementwise.h"

enum { T = 5, BATCH = 2, SIDE = 12, HIDDEN = 8, FRAMES = T * BATCH * SIDE * SIDE, MOST = 32 };

static const wf_precision modes[] = {WF_PRECISION_F32, WF_PRECISION_F32X3, WF_PRECISION_BF16};

/* --- a network with recurrence, batch norm and an optimiser ----------------------------------- */

typedef struct net {
    wf_params *p;
    wf_graph *g;
    wf_program *program;
    wf_tensor x, loss, grad[MOST];
    int n; /* gradients */
} net;

static void make(net *t) {
    *t = (net){.p = wf_params_new(1), .g = wf_graph_new()};
    wf_tensor leaf[MOST];
    t->x = wf_input(t->g, "x", WF_F32, WF_SHAPE(T, BATCH, SIDE, SIDE, 1));
    wf_tensor y = wf_nn_convlstm(t->p, "a", t->x, (wf_convlstm_opt){.hidden = HIDDEN, .kernel = 3});
    y = wf_nn_batch_norm(t->p, "n", y, (wf_batch_norm_opt){.training = true});
    y = wf_nn_convlstm(t->p, "b", y, (wf_convlstm_opt){.hidden = HIDDEN, .kernel = 3});
    y = wf_nn_convlstm(t->p, "c", y, (wf_convlstm_opt){.hidden = 1, .kernel = 1});
    t->loss = wf_nn_mse(y, t->x);
    t->n = wf_params_leaves(t->p, t->g, leaf, MOST);
    cr_assert(t->n > 0 && t->n <= MOST);
    cr_assert_eq(wf_grad(t->loss, leaf, t->n, t->grad), WF_OK, "%s", wf_error());
    wf_nn_adam(t->p, t->loss, (wf_optimizer_opt){.lr = 1e-2, .clip_norm = 1});
}

static void compile(net *t, wf_compile_opt o) {
    wf_tensor out[MOST + 1] = {t->loss};
    memcpy(out + 1, t->grad, sizeof t->grad);
    cr_assert_eq(wf_compile(&t->program, t->g, out, 1 + t->n, o), WF_OK, "%s", wf_error());
    float *x = wf_data(t->program, t->x);
    for (int i = 0; i < FRAMES; i++) x[i] = (float)(i * 37 % 101) / 101;
}

static void discard(net *t) {
    wf_program_free(t->program);
    wf_graph_free(t->g);
    wf_params_free(t->p);
}

static double run(net *t) {
    cr_assert_eq(wf_run(t->program), WF_OK, "%s", wf_error());
    return *(const float *)wf_data(t->program, t->loss);
}

/* --- what is marked and stored ---------------------------------------------------------------- */

static wf_stage stage_of(net *t, wf_precision mode) {
    wf_tensor out[MOST + 1] = {t->loss};
    wf_stage s;
    memcpy(out + 1, t->grad, sizeof t->grad);
    const wf_compile_opt o = {.precision = mode};
    cr_assert_eq(wf_stage_make(&s, t->g, out, 1 + t->n, o, "precision"), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_verify(&s, "precision"), WF_OK, "%s", wf_error());
    return s;
}

static const wf_node *operand(const wf_graph *g, uint32_t id, uint32_t i) {
    return wf_graph_node(g, wf_node_in(g, id)[i]);
}

Test(compiler_precision, contractions_of_f32_have_the_mode) {
    static const wf_compute compute[] = {WF_COMPUTE_F32, WF_COMPUTE_F32X3, WF_COMPUTE_BF16};
    net t;
    make(&t);
    for (size_t m = 0; m < WF_COUNT(modes); m++) {
        const wf_stage s = stage_of(&t, modes[m]);
        int contractions = 0;
        for (uint32_t id = 1; id < wf_graph_size(s.graph); id++) {
            const wf_node *x = wf_graph_node(s.graph, id);
            if (x->op != &wf_op_contract && x->op != &wf_op_pack) continue;
            cr_expect_eq(((const wf_contract_attr *)x->attr)->compute, (int32_t)compute[m]);
            contractions++;
        }
        cr_expect_gt(contractions, 20);
        wf_stage_free((wf_stage *)&s);
    }
    discard(&t);
}

Test(compiler_precision, f64_stays_f64) {
    wf_graph *g = wf_graph_new();
    const wf_tensor a = wf_input(g, "a", WF_F64, WF_SHAPE(9, 7)),
                    y = wf_matmul(a, wf_permute(a, (int[]){1, 0}));
    double got[2][81];
    for (int m = 0; m < 2; m++) {
        wf_program *p;
        const wf_compile_opt o = {.precision = m ? WF_PRECISION_BF16 : WF_PRECISION_F32};
        cr_assert_eq(wf_compile(&p, g, &y, 1, o), WF_OK, "%s", wf_error());
        for (int i = 0; i < 63; i++) ((double *)wf_data(p, a))[i] = sin(i);
        cr_assert_eq(wf_run(p), WF_OK);
        memcpy(got[m], wf_data(p, y), sizeof got[m]);
        wf_program_free(p);
    }
    cr_expect_arr_eq(got[0], got[1], sizeof got[0]);
    wf_graph_free(g);
}

static bool is_wide_cast(const wf_graph *g, uint32_t id) {
    return wf_graph_node(g, id)->op == &wf_op_cast &&
           wf_graph_node(g, id)->type.dtype == WF_F32 && operand(g, id, 0)->type.dtype == WF_BF16;
}

/* Of what contractions read only frames and what is read in full anyway is f32; nothing is rounded
 * that was rounded; carries, statistics and assigned values are f32. */
Test(compiler_precision, bf16_stores_what_contractions_read_and_rounds_once) {
    net t;
    make(&t);
    const wf_stage s = stage_of(&t, WF_PRECISION_BF16);
    const wf_graph *g = s.graph;
    int halves = 0, carries = 0;
    for (uint32_t id = 1; id < wf_graph_size(g); id++) {
        const wf_node *x = wf_graph_node(g, id);
        char text[256];
        wf_node_text(g, id, text, sizeof text);
        for (uint32_t i = 0; i < x->n_in && x->op == &wf_op_contract; i++) {
            uint32_t from = wf_node_in(g, id)[i];
            while (wf_graph_node(g, from)->op->kind == WF_KIND_VIEW) from = wf_node_in(g, from)[0];
            const wf_node *a = wf_graph_node(g, from);
            cr_expect(a->type.dtype == WF_BF16 || a->op == &wf_op_leaf, "%s reads f32", text);
            halves += a->type.dtype == WF_BF16;
        }
        if (x->op == &wf_op_cast && x->type.dtype == WF_BF16)
            cr_expect(!is_wide_cast(g, wf_node_in(g, id)[0]), "rounded twice: %s", text);
        if (x->op->kind == WF_KIND_ASSIGN || x->op->kind == WF_KIND_REDUCE)
            cr_expect_neq(x->type.dtype, WF_BF16, "%s", text);
        if (x->op == &wf_op_mul && !strstr(text, "'")) /* f * c, in the forward pass */
            for (uint32_t i = 0; i < 2; i++) {
                const wf_node *a = operand(g, id, i);
                carries += a->op == &wf_op_add && a->type.dtype == WF_F32 && a->n_in == 2;
            }
    }
    cr_expect_gt(halves, 20);
    cr_expect_gt(carries, 3 * (T - 2));
    wf_stage_free((wf_stage *)&s);
    discard(&t);
}

Test(compiler_precision, a_mode_that_is_none_is_refused) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(2));
    wf_program *p;
    wf_precision mode;
    cr_expect_eq(wf_compile(&p, g, &x, 1, (wf_compile_opt){.precision = (wf_precision)9}),
                 WF_ARGUMENT);
    cr_expect(strstr(wf_error(), "there is no precision 9"), "%s", wf_error());
    cr_expect_eq(wf_precision_parse(&mode, "f16"), WF_ARGUMENT);
    for (size_t m = 0; m < WF_COUNT(modes); m++) {
        cr_assert_eq(wf_precision_parse(&mode, wf_precision_name(modes[m])), WF_OK);
        cr_expect_eq(mode, modes[m]);
        cr_expect_eq(wf_precision_resolve(mode), mode);
    }
    cr_expect_neq(wf_precision_resolve(WF_PRECISION_AUTO), WF_PRECISION_AUTO);
    wf_graph_free(g);
}

/* --- bits ------------------------------------------------------------------------------------- */

/* The loss of three steps, then all gradients. */
static size_t bits_of(wf_precision mode, int threads, unsigned off, float *to) {
    net t;
    size_t n = 0;
    make(&t);
    compile(&t, (wf_compile_opt){.precision = mode, .threads = threads, .off = off});
    for (int i = 0; i < 3; i++) to[n++] = (float)run(&t);
    for (int i = 0; i < t.n; i++) {
        const size_t count = (size_t)wf_count(t.grad[i]);
        memcpy(to + n, wf_data(t.program, t.grad[i]), count * sizeof *to);
        n += count;
    }
    discard(&t);
    return n;
}

Test(compiler_precision, bits_do_not_depend_on_threads) {
    static float one[1 << 16], more[1 << 16];
    for (size_t m = 0; m < WF_COUNT(modes); m++) {
        const size_t n = bits_of(modes[m], 1, 0, one);
        for (int threads = 2; threads <= 3; threads++) {
            bits_of(modes[m], threads, 0, more);
            cr_expect_arr_eq(one, more, n * sizeof *one, "%s on %d threads",
                             wf_precision_name(modes[m]), threads);
        }
    }
}

Test(compiler_precision, bits_do_not_depend_on_generated_code) {
    static float off[1 << 16], on[1 << 16];
    wf_cc cc;
    if (wf_cc_find(&cc) != WF_OK) {
        printf("skipped: no compiler\n");
        return;
    }
    setenv("WF_JIT", "off", 1);
    const size_t n = bits_of(WF_PRECISION_BF16, 2, 0, off);
    setenv("WF_JIT", "sync", 1);
    bits_of(WF_PRECISION_BF16, 2, 0, on);
    cr_expect_arr_eq(off, on, n * sizeof *off);
}

/* --- accuracy --------------------------------------------------------------------------------- */

/* All gradients together: relative L2 distance. */
static double gradient_distance(wf_precision mode, unsigned off) {
    static float want[1 << 16], got[1 << 16];
    const size_t n = bits_of(WF_PRECISION_F32, 2, 0, want);
    double d = 0, norm = 0;
    bits_of(mode, 2, off, got);
    for (size_t i = 3; i < n; i++) {
        d += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += (double)want[i] * want[i];
    }
    return sqrt(d / norm);
}

Test(compiler_precision, gradients_are_near_those_of_f32) {
    const double x3 = gradient_distance(WF_PRECISION_F32X3, 0);
    const double half = gradient_distance(WF_PRECISION_BF16, 0);
    printf("gradients after three steps: f32x3 %.2g, bf16 %.2g from f32\n", x3, half);
    cr_expect_leq(x3, 1e-4);
    cr_expect_leq(half, 5e-2);
    cr_expect_geq(half, 1e-5, "nothing was rounded");
    /* The mode is that of the pass: without it all is f32. */
    cr_expect_leq(gradient_distance(WF_PRECISION_BF16, WF_PASS_PRECISION), 1e-5);
}

Test(compiler_precision, a_network_learns_in_bf16_as_in_f32) {
    double loss[WF_COUNT(modes)], first = 0;
    for (size_t m = 0; m < WF_COUNT(modes); m++) {
        net t;
        make(&t);
        compile(&t, (wf_compile_opt){.precision = modes[m]});
        first = run(&t);
        for (int i = 0; i < 50; i++) loss[m] = run(&t);
        discard(&t);
    }
    printf("loss %.6f, after 50 steps: f32 %.6f, f32x3 %.6f, bf16 %.6f\n", first, loss[0], loss[1],
           loss[2]);
    cr_expect_lt(loss[0], 0.8 * first);
    cr_expect_leq(fabs(loss[1] - loss[0]), 1e-3 * loss[0]);
    cr_expect_leq(fabs(loss[2] - loss[0]), 2e-2 * loss[0]);
}

/* --- memory ----------------------------------------------------------------------------------- */

Test(compiler_precision, bf16_needs_little_more_than_half_the_memory) {
    size_t bytes[2];
    for (int m = 0; m < 2; m++) {
        net t;
        make(&t);
        compile(&t, (wf_compile_opt){.precision = m ? WF_PRECISION_BF16 : WF_PRECISION_F32});
        const wf_program_info info = wf_program_describe(t.program);
        bytes[m] = info.arena_bytes;
        cr_expect_eq(wf_plan_verify(&t.program->plan), WF_OK, "%s", wf_error());
        discard(&t);
    }
    printf("values: f32 %zu bytes, bf16 %zu\n", bytes[0], bytes[1]);
    cr_expect_leq((double)bytes[1], 0.65 * (double)bytes[0]);
}

Test(compiler_precision, bf16_computes_again_within_a_budget_with_the_same_bits) {
    float loss[2];
    size_t full = 0;
    for (int m = 0; m < 2; m++) {
        net t;
        make(&t);
        compile(&t, (wf_compile_opt){.precision = WF_PRECISION_BF16, .memory = full * 23 / 25});
        const wf_program_info info = wf_program_describe(t.program);
        if (m) cr_expect_leq(info.arena_bytes, full * 23 / 25);
        full = info.arena_bytes;
        for (int i = 0; i < 3; i++) loss[m] = (float)run(&t);
        discard(&t);
    }
    cr_expect_eq(loss[0], loss[1]);
}

/* --- sums of bf16 ----------------------------------------------------------------------------- */

/* The kernels against the evaluators, over rows and columns, longer and shorter than a block. */
Test(compiler_precision, reductions_of_bf16_are_those_of_its_values) {
    static const int64_t shape[][2] = {{1, 5000}, {5000, 1}, {70, 130}, {9, 600}, {3, 9000}};
    typedef wf_tensor reduction(wf_tensor x, wf_reduce_opt o);
    static reduction *const all[] = {wf_sum, wf_max, wf_min, wf_moments};
    for (size_t i = 0; i < WF_COUNT(shape); i++)
        for (size_t k = 0; k < WF_COUNT(all); k++)
            for (int axis = 0; axis < 3; axis++) {
                wf_graph *g = wf_graph_new();
                const wf_reduce_opt o = {.n_axes = axis < 2 ? 1 : 0, .axes = {axis}};
                const wf_tensor x = wf_input(g, "x", WF_BF16, WF_SHAPE(shape[i][0], shape[i][1]));
                const wf_tensor y[2] = {all[k](x, o), all[k](wf_cast(x, WF_F32), o)};
                wf_program *p;
                cr_assert_eq(wf_dtype_of(y[0]), WF_F32);
                cr_assert_eq(wf_compile(&p, g, y, 2, (wf_compile_opt){.off = WF_PASS_FUSE}), WF_OK);
                uint16_t *in = wf_data(p, x);
                for (int64_t j = 0; j < wf_count(x); j++) in[j] = (uint16_t)(0x3f00 + j * 7 % 251);
                cr_assert_eq(wf_run(p), WF_OK);
                const float *a = wf_data(p, y[0]), *b = wf_data(p, y[1]);
                for (int64_t j = 0; j < wf_count(y[0]); j++)
                    cr_expect(fabsf(a[j] - b[j]) <= 1e-6f * fabsf(b[j]), "%zu %zu %d: %g, not %g",
                              i, k, axis, (double)a[j], (double)b[j]);
                wf_program_free(p);
                wf_graph_free(g);
            }
}

Test(compiler_precision, sums_of_bf16_have_a_gradient) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(3, 4)), half = wf_cast(x, WF_BF16);
    const wf_reduce_opt rows = {.n_axes = 1, .axes = {1}}, all = {0};
    const wf_tensor parts[] = {wf_sum(half, all), wf_sum(wf_max(half, rows), all),
                               wf_sum(wf_prod(half, rows), all),
                               wf_sum(wf_moments(half, rows), all)};
    wf_tensor gx;
    wf_program *p;
    const wf_tensor y = wf_add_n(parts, WF_COUNT(parts));
    cr_assert_eq(wf_grad(y, &x, 1, &gx), WF_OK, "%s", wf_error());
    cr_expect_eq(wf_dtype_of(gx), WF_F32);
    cr_assert_eq(wf_compile(&p, g, &gx, 1, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
    for (int i = 0; i < 12; i++) ((float *)wf_data(p, x))[i] = 1 + 0.25f * (float)(i % 4);
    cr_assert_eq(wf_run(p), WF_OK);
    const float *got = wf_data(p, gx);
    for (int i = 0; i < 12; i++) { /* sum, max, prod, mean and variance */
        const float v = 1 + 0.25f * (float)(i % 4), product = 1.f * 1.25f * 1.5f * 1.75f;
        const float want = 1 + (float)(i % 4 == 3) + product / v + 0.25f + 0.5f * (v - 1.375f);
        cr_expect_lt(fabsf(got[i] - want), 0.03f, "%d: %g, not %g", i, (double)got[i],
                     (double)want);
    }
    wf_program_free(p);
    wf_graph_free(g);
}
