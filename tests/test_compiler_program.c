/* Programs from outside: buffers, assignments, errors, threads, and what a run costs. */
#include <criterion/criterion.h>
#include <malloc.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "compiler/program.h"

static wf_program *compiled(wf_graph *g, const wf_tensor *out, int n, wf_compile_opt o) {
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, out, n, o), WF_OK, "%s", wf_error());
    return p;
}

/* --- buffers ---------------------------------------------------------------------------------- */

Test(compiler_program, the_graph_may_be_freed_before_the_run) {
    wf_graph *g = wf_graph_new();
    float b[3] = {1, 2, 3};
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(3));
    const wf_tensor y = wf_mul(wf_add(x, wf_leaf(g, "b", WF_F32, WF_SHAPE(3), b)),
                               wf_const(g, WF_F32, WF_SHAPE(3), (float[]){1, 10, 100}));
    wf_name(y, "y");
    wf_program *p = compiled(g, &y, 1, (wf_compile_opt){0});
    wf_graph_free(g);
    cr_assert_eq(wf_write(p, x, (float[]){1, 1, 1}, 12), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(p), WF_OK);
    const float *out = wf_data(p, y);
    cr_assert(out[0] == 2 && out[1] == 30 && out[2] == 400);
    size_t bytes;
    cr_assert_eq(wf_data_named(p, "y", &bytes), (void *)out);
    cr_assert_eq(bytes, 12);
    cr_assert_eq(wf_data_named(p, "x", NULL), wf_data(p, x));
    cr_assert_eq(wf_data_named(p, "b", &bytes), (void *)b);
    cr_assert_eq((uintptr_t)wf_data(p, x) % 64, 0);
    wf_program_free(p);
}

Test(compiler_program, wrong_handles_names_and_sizes_are_refused) {
    wf_graph *g = wf_graph_new(), *other = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(3)), hidden = wf_tanh(x);
    const wf_tensor y = wf_exp(hidden), z = wf_input(other, "z", WF_F32, WF_SHAPE(3));
    wf_program *p = compiled(g, &y, 1, (wf_compile_opt){0});
    float v[4] = {0};
    cr_assert_null(wf_data(p, hidden));
    cr_assert(strstr(wf_error(), "no input, output or leaf"), "%s", wf_error());
    cr_assert_null(wf_data(p, z));
    cr_assert(strstr(wf_error(), "another graph"), "%s", wf_error());
    cr_assert_null(wf_data(p, (wf_tensor){0}));
    cr_assert_null(wf_data(NULL, x));
    cr_assert_null(wf_data_named(p, "nothing", NULL));
    cr_assert_null(wf_data_named(p, "", NULL));
    cr_assert_null(wf_data_named(p, NULL, NULL));
    cr_assert_eq(wf_write(p, x, v, 16), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "\"x\" f32[3] has 12 bytes, 16 were given"), "%s", wf_error());
    cr_assert_eq(wf_write(p, x, NULL, 12), WF_ARGUMENT);
    cr_assert_eq(wf_write(p, y, v, 12), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "is an output"), "%s", wf_error());
    cr_assert_eq(wf_read(p, y, v, 8), WF_ARGUMENT);
    cr_assert_eq(wf_read(p, hidden, v, 12), WF_ARGUMENT);
    cr_assert_eq(wf_read(p, y, v, 12), WF_OK);
    cr_assert_eq(wf_run(NULL), WF_ARGUMENT);
    cr_assert_eq(wf_program_set_threads(p, -1), WF_ARGUMENT);
    cr_assert_eq(wf_program_set_threads(p, INT32_MAX), WF_ARGUMENT);
    cr_assert_eq(wf_program_set_threads(NULL, 1), WF_ARGUMENT);
    wf_program_free(p);
    wf_program_free(NULL);
    wf_graph_free(g);
    wf_graph_free(other);
}

Test(compiler_program, mistakes_in_the_model_are_reported) {
    wf_program *p;
    wf_graph *g = wf_graph_new(), *other = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(3));
    const wf_tensor z = wf_input(other, "z", WF_F32, WF_SHAPE(3));
    cr_assert_eq(wf_compile(NULL, g, &x, 1, (wf_compile_opt){0}), WF_ARGUMENT);
    cr_assert_eq(wf_compile(&p, NULL, &x, 1, (wf_compile_opt){0}), WF_ARGUMENT);
    cr_assert_eq(wf_compile(&p, g, NULL, 1, (wf_compile_opt){0}), WF_ARGUMENT);
    cr_assert_eq(wf_compile(&p, g, &x, -1, (wf_compile_opt){0}), WF_ARGUMENT);
    cr_assert_eq(wf_compile(&p, g, &z, 1, (wf_compile_opt){0}), WF_ARGUMENT);
    cr_assert_eq(wf_compile(&p, g, &(wf_tensor){0}, 1, (wf_compile_opt){0}), WF_ARGUMENT);
    cr_assert_eq(wf_compile(&p, g, &x, 1, (wf_compile_opt){.threads = -1}), WF_ARGUMENT);
    cr_assert_eq(wf_compile(&p, g, &x, 1, (wf_compile_opt){.threads = 1025}), WF_ARGUMENT);
    cr_assert_null(p);
    wf_scope_push(g, "layer0");
    const wf_tensor bad = wf_add(x, wf_input(g, "y", WF_F32, WF_SHAPE(4)));
    cr_assert_eq(wf_compile(&p, g, &bad, 1, (wf_compile_opt){0}), WF_MODEL);
    cr_assert(strstr(wf_error(), "layer0"), "%s", wf_error());
    cr_assert_null(p);
    wf_graph_free(g);
    wf_graph_free(other);
}

/* Storage that no machine has: an error, and nothing is left behind. */
Test(compiler_program, memory_that_does_not_exist) {
    wf_program *p;
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(1 << 20, 1 << 20, 1 << 16));
    const wf_tensor y = wf_tanh(x);
    cr_assert_eq(wf_compile(&p, g, &y, 1, (wf_compile_opt){0}), WF_MEMORY);
    cr_assert(strstr(wf_error(), "bytes"), "%s", wf_error());
    cr_assert_null(p);
    wf_graph_free(g);
}

Test(compiler_program, an_empty_program_runs) {
    wf_graph *g = wf_graph_new();
    wf_program *p = compiled(g, NULL, 0, (wf_compile_opt){0});
    cr_assert_eq(wf_run(p), WF_OK);
    wf_program_free(p);
    const wf_tensor e = wf_tanh(wf_input(g, "x", WF_F32, WF_SHAPE(3, 0)));
    p = compiled(g, &e, 1, (wf_compile_opt){0});
    cr_assert_eq(wf_run(p), WF_OK);
    cr_assert_not_null(wf_data(p, e));
    cr_assert_eq(wf_read(p, e, NULL, 0), WF_OK);
    wf_program_free(p);
    wf_graph_free(g);
}

/* --- unusual outputs -------------------------------------------------------------------------- */

Test(compiler_program, outputs_that_nothing_computes) {
    wf_graph *g = wf_graph_new();
    float b[4] = {1, 2, 3, 4};
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4));
    const wf_tensor leaf = wf_leaf(g, "b", WF_F32, WF_SHAPE(2, 2), b);
    const wf_tensor c = wf_const(g, WF_F32, WF_SHAPE(2), (float[]){5, 6});
    const wf_tensor out[] = {x, leaf, c, wf_transpose(leaf, 0, 1), wf_flip(x, 0),
                             wf_full(g, WF_F32, WF_SHAPE(3), 9), leaf,
                             wf_reshape(leaf, WF_SHAPE(4)),
                             wf_assign(leaf, wf_mul_scalar(leaf, 10))};
    for (unsigned off = 0; off <= WF_PASS_ALL; off += WF_PASS_ALL) {
        memcpy(b, (float[]){1, 2, 3, 4}, sizeof b);
        wf_program *p = compiled(g, out, (int)WF_COUNT(out), (wf_compile_opt){.off = off});
        memcpy(wf_data(p, x), (float[]){1, 2, 3, 4}, 16);
        cr_assert_eq(wf_run(p), WF_OK);
        const float want[WF_COUNT(out)][4] = {{1, 2, 3, 4}, {1, 2, 3, 4}, {5, 6}, {1, 3, 2, 4},
                                              {4, 3, 2, 1}, {9, 9, 9},    {1, 2, 3, 4},
                                              {1, 2, 3, 4}, {10, 20, 30, 40}};
        for (size_t i = 0; i < WF_COUNT(out); i++)
            cr_assert_eq(memcmp(wf_data(p, out[i]), want[i], 4 * (size_t)wf_count(out[i])), 0,
                         "output %zu, off %u", i, off);
        cr_assert(b[0] == 10 && b[3] == 40);
        wf_program_free(p);
    }
    wf_graph_free(g);
}

Test(compiler_program, outputs_keep_their_values) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(64)), a = wf_exp(x), b = wf_tanh(a);
    const wf_tensor c = wf_neg(b), out[] = {a, b, c, b};
    wf_program *p = compiled(g, out, 4, (wf_compile_opt){0});
    for (int i = 0; i < 64; i++) ((float *)wf_data(p, x))[i] = (float)i / 64;
    cr_assert_eq(wf_run(p), WF_OK);
    for (int i = 0; i < 64; i++) {
        cr_assert_float_eq(((float *)wf_data(p, a))[i], expf((float)i / 64), 1e-5);
        cr_assert_eq(((float *)wf_data(p, c))[i], -((float *)wf_data(p, b))[i]);
    }
    wf_program_free(p);
    wf_graph_free(g);
}

/* An input that the passes find useless can still be written. */
Test(compiler_program, inputs_that_are_optimised_away) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4)), y = wf_input(g, "y", WF_F32,
                                                                          WF_SHAPE(4));
    const wf_tensor z = wf_add(wf_mul(x, wf_zeros_like(x)), y);
    wf_program *p = compiled(g, &z, 1, (wf_compile_opt){0});
    cr_assert_eq(wf_write(p, x, (float[]){9, 9, 9, 9}, 16), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_write(p, y, (float[]){1, 2, 3, 4}, 16), WF_OK);
    cr_assert_eq(wf_run(p), WF_OK);
    cr_assert_eq(((float *)wf_data(p, z))[2], 3);
    wf_program_free(p);
    wf_graph_free(g);
}

/* --- assignments ------------------------------------------------------------------------------ */

Test(compiler_program, two_assignments_swap_two_leaves) {
    for (unsigned off = 0; off <= WF_PASS_ALL; off += WF_PASS_ALL) {
        float a[3] = {1, 2, 3}, b[3] = {4, 5, 6};
        wf_graph *g = wf_graph_new();
        const wf_tensor la = wf_leaf(g, "a", WF_F32, WF_SHAPE(3), a);
        const wf_tensor lb = wf_leaf(g, "b", WF_F32, WF_SHAPE(3), b);
        wf_assign(la, lb);
        wf_assign(lb, wf_flip(la, 0));
        wf_program *p = compiled(g, NULL, 0, (wf_compile_opt){.off = off});
        cr_assert_eq(wf_run(p), WF_OK);
        cr_assert_eq(memcmp(a, (float[]){4, 5, 6}, 12), 0);
        cr_assert_eq(memcmp(b, (float[]){3, 2, 1}, 12), 0);
        wf_program_free(p);
        wf_graph_free(g);
    }
}

/* Readers see the old value wherever they stand, and the update costs no copy. */
Test(compiler_program, readers_of_a_leaf_see_the_old_value) {
    float w[3] = {1, 2, 3}, m[3] = {0, 0, 0};
    wf_graph *g = wf_graph_new();
    const wf_tensor lw = wf_leaf(g, "w", WF_F32, WF_SHAPE(3), w);
    const wf_tensor lm = wf_leaf(g, "m", WF_F32, WF_SHAPE(3), m);
    const wf_tensor grad = wf_square(lw);
    const wf_tensor m1 = wf_add(wf_mul_scalar(lm, 0.5), grad);
    const wf_tensor w1 = wf_sub(lw, wf_mul_scalar(m1, 0.1));
    wf_assign(lm, m1);
    wf_assign(lw, w1);
    const wf_tensor late = wf_add(lw, lm); /* after the new values are known */
    wf_program *p = compiled(g, &late, 1, (wf_compile_opt){0});
    cr_assert_eq(wf_run(p), WF_OK);
    const float *l = wf_data(p, late);
    cr_assert(l[0] == 1 && l[1] == 2 && l[2] == 3, "%g %g %g", l[0], l[1], l[2]);
    cr_assert(m[0] == 1 && m[1] == 4 && m[2] == 9);
    cr_assert_float_eq(w[2], 2.1f, 1e-6);
    wf_program_free(p);

    const wf_tensor none = wf_square(lw);
    p = compiled(g, &none, 1, (wf_compile_opt){.no_assign = true});
    cr_assert_eq(wf_run(p), WF_OK);
    cr_assert_eq(m[0], 1);
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_program, updates_are_made_in_the_leaf) {
    float w[3] = {1, 2, 3};
    wf_graph *g = wf_graph_new();
    const wf_tensor lw = wf_leaf(g, "w", WF_F32, WF_SHAPE(3), w);
    wf_assign(lw, wf_sub(lw, wf_mul_scalar(wf_tanh(lw), 0.1)));
    wf_program *p = compiled(g, NULL, 0, (wf_compile_opt){0});
    cr_assert_eq(wf_program_describe(p).copies, 0);
    cr_assert_eq(wf_run(p), WF_OK);
    cr_assert_float_eq(w[0], 1 - 0.1 * tanh(1), 1e-6);
    wf_program_free(p);
    wf_graph_free(g);
}

/* --- storage ---------------------------------------------------------------------------------- */

Test(compiler_program, stacks_slices_and_their_gradients_cost_no_copies) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(5, 4, 8));
    wf_tensor h[5], back[5];
    for (int t = 0; t < 5; t++) h[t] = wf_tanh(wf_index(x, 0, t));
    const wf_tensor y = wf_exp(wf_stack(h, 5, 0));
    for (int t = 0; t < 5; t++) {
        const wf_tensor d = wf_reshape(wf_sin(wf_index(y, 0, t)), WF_SHAPE(1, 4, 8));
        back[t] = wf_pad(d, 0, t, 4 - t, 1);
    }
    const wf_tensor out = wf_tanh(wf_add_n(back, 5));
    wf_program *p = compiled(g, &out, 1, (wf_compile_opt){0});
    const wf_program_info info = wf_program_describe(p);
    cr_assert_eq(info.copies, 0);
    cr_assert_eq(info.launches, 5 + 5 + 1); /* exp is computed with the steps that read it */
    for (int i = 0; i < 160; i++) ((float *)wf_data(p, x))[i] = (float)(i % 17) / 8 - 1;
    cr_assert_eq(wf_run(p), WF_OK);
    for (int i = 0; i < 160; i++) {
        const float want = tanhf(sinf(expf(tanhf((float)(i % 17) / 8 - 1))));
        cr_assert_float_eq(((float *)wf_data(p, out))[i], want, 1e-5);
    }
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_program, chains_run_in_place) {
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(1000));
    for (int i = 0; i < 10; i++) x = wf_tanh(x);
    const wf_tensor y = wf_sum(x, (wf_reduce_opt){0});
    wf_program *p = compiled(g, &y, 1, (wf_compile_opt){0});
    cr_assert_leq(wf_program_describe(p).live_bytes, 2 * 4032u);
    wf_program_free(p);
    wf_graph_free(g);
}

/* --- what a run costs ------------------------------------------------------------------------- */

static wf_program *network(wf_graph *g, wf_tensor *y, int threads) {
    static float weight[64 * 64];
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(64, 64), weight);
    wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(512, 64));
    for (int i = 0; i < 6; i++) x = wf_add(wf_tanh(wf_matmul(x, w)), x);
    *y = wf_mean(x, (wf_reduce_opt){.n_axes = 1, .axes = {0}});
    for (int i = 0; i < 64 * 64; i++) weight[i] = (float)(i * 37 % 101) / 400 - 0.12f;
    wf_program *p = compiled(g, y, 1, (wf_compile_opt){.threads = threads});
    for (int i = 0; i < 512 * 64; i++)
        ((float *)wf_data_named(p, "x", NULL))[i] = (float)(i * 53 % 211) / 105 - 1;
    return p;
}

Test(compiler_program, a_run_allocates_nothing_and_faults_no_page) {
    for (int threads = 1; threads <= 2; threads++) {
        wf_graph *g = wf_graph_new();
        wf_tensor y;
        wf_program *p = network(g, &y, threads);
        wf_code_wait(p->plan.code); /* compiling in the background allocates */
        cr_assert_eq(wf_run(p), WF_OK);
        cr_assert_eq(wf_run(p), WF_OK);
        struct rusage before, after;
        const struct mallinfo2 m0 = mallinfo2();
        getrusage(RUSAGE_SELF, &before);
        for (int i = 0; i < 5; i++) cr_assert_eq(wf_run(p), WF_OK);
        getrusage(RUSAGE_SELF, &after);
        const struct mallinfo2 m1 = mallinfo2();
        cr_assert_eq(m1.uordblks, m0.uordblks);
        cr_assert_eq(m1.fordblks, m0.fordblks);
        cr_assert_eq(after.ru_minflt - before.ru_minflt, 0, "%ld page faults with %d threads",
                     after.ru_minflt - before.ru_minflt, threads);
        wf_program_free(p);
        wf_graph_free(g);
    }
}

Test(compiler_program, the_number_of_threads_changes_no_bit) {
    float first[64];
    for (int threads = 1; threads <= 4; threads++) {
        wf_graph *g = wf_graph_new();
        wf_tensor y;
        wf_program *p = network(g, &y, 1);
        cr_assert_eq(wf_program_set_threads(p, threads), WF_OK);
        cr_assert_eq(wf_program_describe(p).threads, threads);
        cr_assert_eq(wf_program_describe(p).flops, 6 * 2.0 * 512 * 64 * 64);
        cr_assert_eq(wf_run(p), WF_OK);
        if (threads == 1) memcpy(first, wf_data(p, y), sizeof first);
        cr_assert_eq(memcmp(first, wf_data(p, y), sizeof first), 0, "%d threads", threads);
        wf_program_free(p);
        wf_graph_free(g);
    }
}

Test(compiler_program, runs_inside_parallel_regions) {
    wf_graph *g[2];
    wf_tensor y[2];
    wf_program *p[2];
    for (int i = 0; i < 2; i++) {
        g[i] = wf_graph_new();
        p[i] = network(g[i], &y[i], 1 + i);
        cr_assert_eq(wf_run(p[i]), WF_OK);
    }
    float want[64];
    memcpy(want, wf_data(p[0], y[0]), sizeof want);
#pragma omp parallel num_threads(2)
    {
        const int i = omp_get_thread_num();
        if (i < 2) wf_run(p[i]);
    }
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(memcmp(want, wf_data(p[i], y[i]), sizeof want), 0);
        wf_program_free(p[i]);
        wf_graph_free(g[i]);
    }
}

/* --- values at once --------------------------------------------------------------------------- */

Test(compiler_now, eval_and_print) {
    wf_graph *g = wf_graph_new();
    const wf_tensor a = wf_arange(g, WF_F32, 0, 1, 6);
    const wf_tensor b = wf_name(wf_reshape(wf_mul_scalar(a, 1.5), WF_SHAPE(2, 3)), "b");
    float v[6];
    cr_assert_eq(wf_eval(b, v, sizeof v), WF_OK, "%s", wf_error());
    cr_assert_eq(v[5], 7.5f);
    cr_assert_eq(wf_eval(b, v, 4), WF_ARGUMENT);
    cr_assert_eq(wf_eval((wf_tensor){0}, v, 4), WF_ARGUMENT);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SCALAR);
    cr_assert_eq(wf_eval(wf_tanh(x), v, 4), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "input \"x\""), "%s", wf_error());
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_fprint(f, b), WF_OK);
    cr_assert_eq(wf_fprint(f, wf_greater(a, wf_scalar(g, WF_F32, 4))), WF_OK);
    cr_assert_eq(wf_fprint(f, wf_arange(g, WF_I64, 0, 1, 1000)), WF_OK);
    fclose(f);
    cr_assert_str_eq(text, "b f32[2,3] = \n[[0, 1.5, 3],\n [4.5, 6, 7.5]]\n"
                           "value bool[6] = [false, false, false, false, false, true]\n"
                           "value i64[1000] = [0, 1, 2, ..., 997, 998, 999]\n");
    free(text);
    cr_assert_eq(wf_fprint(NULL, b), WF_ARGUMENT);
    wf_graph_free(g);
}

/* An allocator likes to give the next graph the address of the last; its handles are not ours.
 * glibc keeps the first seven freed blocks of a size from calloc, so others are freed before. */
Test(compiler_program, handles_of_a_later_graph_are_foreign) {
    enum { KEPT = 7, LATER = 200 };
    wf_graph *before[KEPT], *later[LATER], *g = wf_graph_new();
    for (int i = 0; i < KEPT; i++) before[i] = wf_graph_new();
    for (int i = 0; i < KEPT; i++) wf_graph_free(before[i]);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(3)), y = wf_exp(x);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, &y, 1, (wf_compile_opt){0}), WF_OK);
    wf_graph_free(g);
    for (int i = 0; i < LATER; i++) {
        later[i] = wf_graph_new();
        const wf_tensor other = wf_input(later[i], "x", WF_F32, WF_SHAPE(3));
        cr_assert_eq(other.id, x.id);
        cr_assert_null(wf_data(p, other), "graph %d is taken for the program's", i);
    }
    for (int i = 0; i < LATER; i++) wf_graph_free(later[i]);
    cr_assert_not_null(wf_data(p, x));
    cr_assert_not(wf_ok(wf_exp(x)), "a freed graph that is still held refuses new nodes");
    wf_program_free(p);
}
