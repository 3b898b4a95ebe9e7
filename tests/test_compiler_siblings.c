/* Contractions that share an input: golden texts of the parts of merge, and whole models whose
 * separate contractions must compile to what one writes by hand. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "compiler/pass.h"
#include "nn/nn.h"

static float data[4096];

static wf_tensor leaf(wf_graph *g, const char *name, wf_shape shape, int at) {
    return wf_leaf(g, name, WF_F32, shape, data + at);
}

/* The pass's result with the last node as root. */
static void expect(wf_status (*pass)(const wf_stage *, wf_stage *), wf_tensor root,
                   const char *want) {
    cr_assert(wf_ok(root), "%s", wf_graph_message(root.graph));
    wf_stage out = {0};
    const wf_stage in = {root.graph, &root.id, 1};
    cr_assert_eq(pass(&in, &out), WF_OK, "%s", wf_error());
    cr_assert(out.graph, "there was something to do");
    cr_assert_eq(wf_verify(&out, "pass"), WF_OK, "%s", wf_error());
    char *got = NULL;
    size_t size;
    FILE *f = open_memstream(&got, &size);
    cr_assert_eq(wf_graph_dump(out.graph, f), WF_OK);
    fclose(f);
    const char *end = strstr(got, want);
    cr_expect(end && strlen(end) == strlen(want), "want, at the end:\n%sgot:\n%s", want, got);
    free(got);
    wf_stage_free(&out);
    wf_graph_free(root.graph);
}

/* The example in the header of siblings.c. */
Test(compiler_siblings, header_example) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "x", WF_SHAPE(8, 3), 0), v = leaf(g, "v", WF_SHAPE(3, 4), 64);
    const wf_tensor w = leaf(g, "w", WF_SHAPE(3, 4), 128);
    const wf_tensor a = wf_matmul(x, v), b = wf_matmul(x, w);
    const wf_tensor c = wf_sigmoid(a), d = wf_tanh(b);
    expect(wf_pass_siblings, wf_mul(c, d),
           "%4 f32[3,8] = concat %2, %3 {axis=1}\n"
           "%5 f32[8,8] = contract %1, %4 {sum[3] A[o0,k0] B[k0,o1]}\n"
           "%6 f32[8,4] = slice %5 {axis=1 first=0 n=4}\n"
           "%7 f32[8,4] = slice %5 {axis=1 first=4 n=4}\n"
           "%8 f32[8,4] = sigmoid %6\n%9 f32[8,4] = tanh %7\n%10 f32[8,4] = mul %8, %9\n");
}

/* Parts of a leaf are the leaf again, and stand in its order. */
Test(compiler_siblings, parts_of_a_leaf) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "x", WF_SHAPE(8, 3), 0), w = leaf(g, "w", WF_SHAPE(3, 4), 128);
    const wf_tensor a = wf_matmul(x, wf_slice(w, 1, 2, 2, 1));
    const wf_tensor b = wf_matmul(x, wf_slice(w, 1, 0, 2, 1));
    expect(wf_pass_siblings, wf_sub(a, b),
           "f32[8,4] = contract %1, %2 {sum[3] A[o0,k0] B[k0,o1]}\n"
           "%6 f32[8,2] = slice %5 {axis=1 first=0 n=2}\n"
           "%7 f32[8,2] = slice %5 {axis=1 first=2 n=2}\n%8 f32[8,2] = sub %7, %6\n");
}

/* The example in the header of part_sums.c. */
Test(compiler_siblings, part_sums_example) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "x", WF_SHAPE(8, 3), 0), y = leaf(g, "y", WF_SHAPE(8, 3), 64);
    const wf_reduce_opt o = {.n_axes = 1, .axes = {0}};
    const wf_tensor c = wf_concat((wf_tensor[]){x, y}, 2, 1), a = wf_sum(x, o), b = wf_sum(y, o);
    const wf_tensor d = wf_slice(wf_tanh(c), 1, 0, 3, 1), e = wf_sub(a, b);
    expect(wf_pass_part_sums, wf_mul(d, e),
           "%3 f32[8,6] = concat %1, %2 {axis=1}\n%4 f32[6] = sum %3 {axes=0}\n"
           "%5 f32[3] = slice %4 {axis=0 first=0 n=3}\n"
           "%6 f32[3] = slice %4 {axis=0 first=3 n=3}\n%7 f32[8,6] = tanh %3\n"
           "%8 f32[8,3] = slice %7 {axis=1 first=0 n=3}\n%9 f32[3] = sub %5, %6\n"
           "%10 f32[8,3] = mul %8, %9\n");
}

/* The example in the header of slice_sums.c. */
Test(compiler_siblings, slice_sums_example) {
    wf_graph *g = wf_graph_new();
    const wf_reduce_opt o = {.n_axes = 1, .axes = {0}};
    const wf_tensor a = wf_sum(leaf(g, "x", WF_SHAPE(8, 6), 0), o);
    const wf_tensor b = wf_sum(leaf(g, "y", WF_SHAPE(8, 6), 64), o);
    const wf_tensor a0 = wf_slice(a, 0, 0, 3, 1), b0 = wf_slice(b, 0, 0, 3, 1);
    const wf_tensor a1 = wf_slice(a, 0, 3, 3, 1), b1 = wf_slice(b, 0, 3, 3, 1);
    const wf_tensor p = wf_add(a0, b0), q = wf_add(a1, b1);
    expect(wf_pass_slice_sums, wf_sub(p, q),
           "f32[6] = add %2, %4\n"
           "%10 f32[3] = slice %9 {axis=0 first=3 n=3}\n"
           "%11 f32[3] = slice %9 {axis=0 first=0 n=3}\n%12 f32[3] = sub %11, %10\n");
}

/* --- whole programs --------------------------------------------------------------------------- */

static wf_program *compile(wf_graph *g, const wf_tensor *out, int n, unsigned off) {
    wf_program *p;
    const wf_compile_opt o = {.threads = 1, .off = off};
    cr_assert_eq(wf_compile(&p, g, out, n, o), WF_OK, "%s", wf_error());
    return p;
}

static int contractions(const wf_program *p) {
    char *text = NULL;
    size_t size;
    int n = 0;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_program_dump(p, f), WF_OK);
    fclose(f);
    for (const char *s = text; (s = strstr(s, "= contract ")); s++) n++;
    free(text);
    return n;
}

/* Runs with all passes and without merge on equal inputs; outputs must agree. */
static void expect_equal(wf_graph *g, const wf_tensor *out, int n, const wf_tensor *in, int n_in,
                         int want) {
    wf_program *p[2] = {compile(g, out, n, 0), compile(g, out, n, WF_PASS_MERGE)};
    cr_expect_eq(contractions(p[0]), want, "%d contractions", contractions(p[0]));
    for (int i = 0; i < n_in; i++)
        for (int k = 0; k < 2; k++)
            for (int64_t j = 0; j < wf_count(in[i]); j++)
                ((double *)wf_data(p[k], in[i]))[j] = sin((double)(3 * j + i));
    for (int k = 0; k < 2; k++) cr_assert_eq(wf_run(p[k]), WF_OK, "%s", wf_error());
    for (int i = 0; i < n; i++) {
        const double *a = wf_data(p[0], out[i]), *b = wf_data(p[1], out[i]);
        for (int64_t j = 0; j < wf_count(out[i]); j++)
            cr_assert(fabs(a[j] - b[j]) <= 1e-12 * (1 + fabs(b[j])), "output %d: %g, not %g", i,
                      a[j], b[j]);
    }
    for (int k = 0; k < 2; k++) wf_program_free(p[k]);
    wf_graph_free(g);
}

Test(compiler_siblings, three_matmuls) {
    static double w[3][4 * 20];
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_input(g, "x", WF_F64, WF_SHAPE(8, 20)), y[3];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 80; j++) w[i][j] = cos(7 * i + j);
        y[i] = wf_matmul(x, wf_leaf(g, "w", WF_F64, WF_SHAPE(20, 2 + i), w[i]));
    }
    expect_equal(g, y, 3, &x, 1, 1);
}

/* The second needs the first: they stay two. */
Test(compiler_siblings, one_that_needs_another) {
    wf_graph *g = wf_graph_new();
    const wf_tensor in[] = {wf_input(g, "x", WF_F64, WF_SHAPE(4, 4)),
                            wf_input(g, "y", WF_F64, WF_SHAPE(4, 4))};
    const wf_tensor a = wf_matmul(in[0], wf_tanh(in[1]));
    const wf_tensor b = wf_tanh(wf_matmul(in[0], wf_tanh(a)));
    expect_equal(g, &b, 1, in, 2, 2);
}

enum { STEPS = 3, BATCH = 5, INPUTS = 4, HIDDEN = 6 };
static double weight[6][HIDDEN * HIDDEN];

/* A GRU written plainly; leaves w[0 .. 3) for x, w[3 .. 6) for h. */
static wf_tensor gru(wf_graph *g, wf_tensor x, wf_tensor h, wf_tensor *w) {
    static const char *const name[] = {"wr", "wz", "wn", "ur", "uz", "un"};
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < HIDDEN * HIDDEN; j++) weight[i][j] = 0.5 * sin(5 * i + j);
        w[i] = wf_leaf(g, name[i], WF_F64, WF_SHAPE(i < 3 ? INPUTS : HIDDEN, HIDDEN), weight[i]);
    }
    for (int t = 0; t < STEPS; t++) {
        const wf_tensor xt = wf_index(x, 0, t);
        wf_tensor a[6];
        for (int i = 0; i < 6; i++) a[i] = wf_matmul(i < 3 ? xt : h, w[i]);
        const wf_tensor r = wf_sigmoid(wf_add(a[0], a[3])), z = wf_sigmoid(wf_add(a[1], a[4]));
        const wf_tensor n = wf_tanh(wf_add(a[2], wf_mul(r, a[5])));
        h = wf_add(wf_mul(wf_sub(wf_ones_like(z), z), n), wf_mul(z, h));
    }
    return h;
}

Test(compiler_siblings, gru_has_two_contractions_a_step) {
    wf_graph *g = wf_graph_new();
    wf_tensor w[6];
    const wf_tensor in[] = {wf_input(g, "x", WF_F64, WF_SHAPE(STEPS, BATCH, INPUTS)),
                            wf_input(g, "h", WF_F64, WF_SHAPE(BATCH, HIDDEN))};
    const wf_tensor h = gru(g, in[0], in[1], w);
    expect_equal(g, &h, 1, in, 2, 2 * STEPS);
}

/* Training: beside those of the forward part one data gradient for each later step, and two for
 * the gradients of all weights. */
Test(compiler_siblings, gru_gradients) {
    wf_graph *g = wf_graph_new();
    wf_tensor w[6], out[6];
    const wf_tensor in[] = {wf_input(g, "x", WF_F64, WF_SHAPE(STEPS, BATCH, INPUTS)),
                            wf_input(g, "h", WF_F64, WF_SHAPE(BATCH, HIDDEN))};
    const wf_tensor loss = wf_mean(wf_square(gru(g, in[0], in[1], w)), (wf_reduce_opt){0});
    cr_assert_eq(wf_grad(loss, w, 6, out), WF_OK);
    for (int i = 0; i < 6; i++) out[i] = wf_mul_scalar(out[i], 2);
    expect_equal(g, out, 6, in, 2, 2 * STEPS + (STEPS - 1) + 2);
}

/* --- the ConvLSTM ----------------------------------------------------------------------------- */

static wf_program_info convlstm_step(bool separate, int steps, int *n) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_shape shape = WF_SHAPE(steps, 2, 6, 6, 1);
    const wf_tensor x = wf_input(g, "x", WF_F32, shape), target = wf_input(g, "y", WF_F32, shape);
    const wf_convlstm_opt o = {.hidden = 4, .kernel = 3, .activation = wf_relu,
                               .separate = separate};
    wf_convlstm_opt last = o;
    last.hidden = last.kernel = 1;
    wf_tensor y = wf_nn_batch_norm(p, "n", wf_nn_convlstm(p, "a", x, o),
                                   (wf_batch_norm_opt){.training = true});
    y = wf_nn_convlstm(p, "b", y, last);
    const wf_tensor loss = wf_nn_mse(y, target);
    const wf_tensor out[] = {loss, wf_nn_adam(p, loss, (wf_optimizer_opt){.clip_norm = 1})};
    wf_program *step = compile(g, out, 2, 0);
    const wf_program_info info = wf_program_describe(step);
    *n = contractions(step);
    wf_program_free(step);
    wf_graph_free(g);
    wf_params_free(p);
    return info;
}

Test(compiler_siblings, separate_convolutions_cost_no_launches) {
    static const int steps[] = {3, 19};
    for (int i = 0; i < 2; i++) {
        int n[2];
        const wf_program_info packed = convlstm_step(false, steps[i], &n[0]);
        const wf_program_info separate = convlstm_step(true, steps[i], &n[1]);
        cr_expect_eq(n[1], n[0], "%d contractions, packed %d", n[1], n[0]);
        cr_expect_eq(separate.launches, packed.launches, "%u launches, packed %u",
                     separate.launches, packed.launches);
        cr_expect_eq(separate.copies, packed.copies);
        cr_expect_eq(separate.kernels, packed.kernels);
    }
}
