/* A memory budget: it is kept, costs what is said, and changes no bit. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"
#include "models/convlstm/model.h"
#include "nn/nn.h"

static wf_program *compiled(wf_graph *g, const wf_tensor *out, int n, size_t memory) {
    wf_program *p;
    const wf_compile_opt o = {.memory = memory};
    cr_assert_eq(wf_compile(&p, g, out, n, o), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_plan_verify(&p->plan), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_verify(&p->stage, "recompute"), WF_OK, "%s", wf_error());
    return p;
}

Test(compiler_recompute, the_example_of_recompute) {
    wf_graph *g = wf_graph_new();
    const wf_tensor a = wf_tanh(wf_input(g, "x", WF_F32, WF_SHAPE(256)));
    const wf_tensor c = wf_cumsum(wf_cumsum(wf_cumsum(a, 0), 0), 0), y = wf_mul(c, a);
    wf_program *p = compiled(g, &y, 1, 0);
    cr_assert_eq(wf_program_describe(p).arena_bytes, 3072);
    wf_program_free(p);
    p = compiled(g, &y, 1, 2048);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_program_dump(p, f), WF_OK);
    fclose(f);
    cr_expect_str_eq(text, "%1 f32[256] = input \"x\"\n"
                           "%2 f32[256] = tanh %1\n"
                           "%3 f32[256] = cumsum %2 {axis=0}\n"
                           "%4 f32[256] = cumsum %3 {axis=0}\n"
                           "%5 f32[256] = cumsum %4 {axis=0}\n"
                           "%6 f32[256] = tanh %1\n"
                           "%7 f32[256] = mul %5, %6\n"
                             "outputs %7\n");
    const wf_program_info i = wf_program_describe(p);
    cr_expect(i.memory == 2048 && i.arena_bytes == 2048 && i.full_bytes == 3072);
    cr_expect_eq(i.recompute_bytes, 0, "x is read again instead of %%2: %g", i.recompute_bytes);
    cr_expect(i.recomputed == 1 && i.recompute_flops == 0);
    wf_program_free(p);
    free(text);
    wf_graph_free(g);
}

/* --- a training step -------------------------------------------------------------------------- */

/* Three steps with a budget of `memory` bytes; a digest of all parameters and outputs. 0: the
 * budget is too small. */
static uint64_t train(convlstm_size s, size_t memory, int threads, wf_program_info *info) {
    wf_params *w = wf_params_new(7);
    convlstm_program c;
    const wf_compile_opt o = {.threads = threads, .memory = memory};
    if (convlstm_trainer(&c, w, s, 2, o)) {
        wf_params_free(w);
        return 0;
    }
    cr_assert_eq(wf_plan_verify(&c.program->plan), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_verify(&c.program->stage, "recompute"), WF_OK, "%s", wf_error());
    *info = wf_program_describe(c.program);
    for (int64_t i = 0; i < s.frames * s.batch * s.height * s.width; i++) {
        c.x[i] = (float)(i * 37 % 101) / 101;
        c.target[i] = (float)(i * 31 % 97) / 97;
    }
    *c.lr = 1e-3f;
    uint64_t h = 7;
    for (int i = 0; i < 3; i++) {
        uint32_t bits[3];
        cr_assert_eq(wf_run(c.program), WF_OK);
        memcpy(&bits[0], c.loss, 4);
        memcpy(&bits[1], c.norm, 4);
        memcpy(&bits[2], c.mae, 4);
        for (int k = 0; k < 3; k++) h = (h ^ bits[k]) * UINT64_C(1099511628211);
    }
    for (size_t i = 0; i < wf_params_count(w); i++) {
        const wf_param_info p = wf_params_at(w, i);
        size_t bytes = wf_dtype_bytes(p.dtype) * (size_t)wf_shape_count(&p.shape);
        for (size_t k = 0; k < bytes; k++)
            h = (h ^ ((unsigned char *)p.data)[k]) * UINT64_C(1099511628211);
    }
    convlstm_program_free(&c);
    wf_params_free(w);
    return h;
}

Test(compiler_recompute, sixty_percent_of_the_peak_of_the_training_step) {
    const convlstm_size s = {.frames = 19, .batch = 2, .height = 16, .width = 16, .hidden = 4};
    wf_program_info full, less;
    const uint64_t want = train(s, 0, 1, &full);
    cr_assert(full.recomputed == 0 && full.memory == 0 && full.full_bytes == full.arena_bytes);
    const size_t memory = full.arena_bytes / 5 * 3;
    cr_assert_eq(train(s, memory, 1, &less), want, "%s", wf_error());
    cr_assert_leq(less.arena_bytes, memory);
    cr_assert(less.full_bytes == full.arena_bytes && less.recomputed > 0);
    cr_assert_float_eq(less.flops - less.recompute_flops, full.flops, 1);
    cr_assert_eq(train(s, memory, 3, &less), want);
}

/* The least that the message names can be had; less is refused. */
Test(compiler_recompute, every_budget_down_to_the_least) {
    const convlstm_size s = {.frames = 6, .batch = 2, .height = 8, .width = 8, .hidden = 4};
    wf_program_info full, info;
    const uint64_t want = train(s, 0, 1, &full);
    cr_assert_eq(train(s, 1, 1, &info), 0);
    size_t least = 0, without = 0, allowed = 0;
    cr_assert_eq(sscanf(wf_error(), "the program's values need at least %zu bytes (%zu without "
                        "recomputation) and %zu were allowed", &least, &without, &allowed), 3,
                 "%s", wf_error());
    cr_assert(without == full.arena_bytes && allowed == 1 && least < full.arena_bytes / 4 * 3);
    const size_t memory[] = {full.arena_bytes, full.arena_bytes - 64,
                             (full.arena_bytes + least) / 2, least};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(train(s, memory[i], 1 + i % 3, &info), want, "%zu: %s", memory[i], wf_error());
        cr_assert_leq(info.arena_bytes, memory[i]);
        cr_assert_eq(info.memory, memory[i]);
    }
}

/* --- other graphs ----------------------------------------------------------------------------- */

enum { DEPTH = 12, BATCH = 256, WIDTH = 64, WEIGHTS = WIDTH * WIDTH };

/* Loss and gradient norm of a deep plain network with dropout, which trains itself. */
static wf_graph *network(wf_tensor out[2], float (*weights)[WEIGHTS]) {
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(BATCH, WIDTH)), w[DEPTH], d[DEPTH];
    for (int i = 0; i < DEPTH; i++) {
        w[i] = wf_leaf(g, "w", WF_F32, WF_SHAPE(WIDTH, WIDTH), weights[i]);
        const wf_tensor keep = wf_bernoulli(g, WF_SHAPE(BATCH, WIDTH), 0.75,
                                            (wf_random_opt){.seed = 3, .stream = (uint64_t)i});
        x = wf_mul(wf_add(wf_tanh(wf_matmul(wf_sigmoid(x), w[i])), x), keep);
    }
    out[0] = wf_mean(wf_square(x), (wf_reduce_opt){0});
    cr_assert_eq(wf_grad(out[0], w, DEPTH, d), WF_OK, "%s", wf_error());
    out[1] = wf_sum(wf_square(d[0]), (wf_reduce_opt){0});
    for (int i = 0; i < DEPTH; i++) wf_assign(w[i], wf_sub(w[i], wf_mul_scalar(d[i], 0.1)));
    return g;
}

static void run_network(float (*weights)[WEIGHTS], float result[2], size_t memory, int threads,
                        wf_program_info *info) {
    wf_tensor out[2];
    for (int i = 0; i < DEPTH * WEIGHTS; i++)
        weights[i / WEIGHTS][i % WEIGHTS] = (float)(i * 37 % 101 - 50) / 400;
    wf_graph *g = network(out, weights);
    wf_program *p = compiled(g, out, 2, memory);
    *info = wf_program_describe(p);
    cr_assert_eq(wf_program_set_threads(p, threads), WF_OK);
    float *x = wf_data_named(p, "x", NULL);
    for (int i = 0; i < BATCH * WIDTH; i++) x[i] = (float)(i * 31 % 97 - 48) / 97;
    for (int i = 0; i < 3; i++) cr_assert_eq(wf_run(p), WF_OK);
    for (int i = 0; i < 2; i++) result[i] = *(float *)wf_data(p, out[i]);
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_recompute, a_plain_network_with_dropout) {
    static float want[DEPTH][WEIGHTS], got[DEPTH][WEIGHTS];
    float a[2], b[2];
    wf_program_info full, less;
    run_network(want, a, 0, 1, &full);
    for (int part = 3; part <= 4; part++) {
        const size_t memory = full.arena_bytes / 5 * (size_t)part;
        run_network(got, b, memory, part - 2, &less);
        cr_assert_leq(less.arena_bytes, memory);
        cr_assert_eq(memcmp(a, b, sizeof a), 0);
        cr_assert_eq(memcmp(want, got, sizeof want), 0);
    }
}

/* Without reuse of storage nothing is ever free for others: a budget is refused at once. */
Test(compiler_recompute, the_report) {
    wf_graph *g = wf_graph_new();
    const wf_tensor a = wf_tanh(wf_input(g, "x", WF_F32, WF_SHAPE(256)));
    const wf_tensor y = wf_mul(wf_cumsum(wf_cumsum(wf_cumsum(a, 0), 0), 0), a);
    wf_program *p = compiled(g, &y, 1, 2048);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_program_explain(p, f), WF_OK);
    fclose(f);
    cr_expect(strstr(text, "arena 2048 bytes, largest live set 2048 bytes\n"), "%s", text);
    cr_expect(strstr(text, "budget 2048 bytes, without recomputation 3072: 1 nodes computed again, "
                           "0 of 0 FLOPs"), "%s", text);
    free(text);
    wf_program_free(p);
    const wf_compile_opt o = {.memory = 2048, .off = WF_PASS_INPLACE};
    cr_expect_eq(wf_compile(&p, g, &y, 1, o), WF_MEMORY);
    cr_expect_null(p);
    wf_graph_free(g);
}

/* --- regions ---------------------------------------------------------------------------------- */

static char *dump_of(wf_program *p) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_program_dump(p, f), WF_OK);
    fclose(f);
    return text;
}

/* The example of compiler/recompute_regions.c; the names of scopes are all that it takes. */
Test(compiler_recompute, the_example_of_regions) {
    static const char before[] = "%1 f32[256] = input \"x\"\n"
                                 "%2 f32[256] = tanh %1   # recompute0\n"
                                 "%3 f32[256] = cumsum %2 {axis=0}   # recompute0\n"
                                 "%4 f32[256] = cumsum %3 {axis=0}\n"
                                 "%5 f32[256] = mul %4, %2   # recompute0'\n"
                                 "outputs %5\n";
    wf_graph *g;
    wf_tensor *out;
    int n;
    cr_assert_eq(wf_graph_parse(&g, &out, &n, before, strlen(before), (wf_parse_opt){0}), WF_OK);
    wf_program *p = compiled(g, out, n, 0);
    char *text = dump_of(p);
    cr_expect_str_eq(text, "%1 f32[256] = input \"x\"\n"
                           "%2 f32[256] = tanh %1   # recompute0\n"
                           "%3 f32[256] = cumsum %2 {axis=0}   # recompute0\n"
                           "%4 f32[256] = cumsum %3 {axis=0}\n"
                           "%5 f32[256] = tanh %1   # recompute0\n"
                           "%6 f32[256] = mul %4, %5   # recompute0'\n"
                           "outputs %6\n");
    const wf_program_info i = wf_program_describe(p);
    cr_expect(i.arena_bytes == 2048 && i.full_bytes == 3072 && i.recomputed == 1, "%zu of %zu",
              i.arena_bytes, i.full_bytes);
    free(text);
    free(out);
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_recompute, regions_are_found_in_any_path) {
    cr_expect_eq(wf_scope_region("a/recompute0/b"), 12);
    cr_expect_eq(wf_scope_region("/a//recompute12'"), 15);
    cr_expect_eq(wf_scope_region("/"), 0);
    cr_expect_eq(wf_scope_region("a/recomputed/recompute"), 0);
}

Test(compiler_recompute, an_end_without_a_begin) {
    wf_graph *g = wf_graph_new();
    wf_scope_push(g, "a");
    wf_recompute_begin(g);
    cr_expect_str_eq(wf_scope_of(wf_full(g, WF_F32, WF_SHAPE(1), 0)), "a/recompute0");
    wf_recompute_end(g);
    cr_expect_eq(wf_graph_status(g), WF_OK);
    wf_recompute_end(g);
    cr_expect_str_eq(wf_graph_message(g), "a/wf_recompute_end without a wf_recompute_begin");
    wf_graph_free(g);
    wf_recompute_begin(NULL);
    wf_recompute_end(NULL);
}

enum { N_BLOCKS = 8, ROWS = 64, NARROW = 32, BROAD = 256 };

/* Blocks with dropout, every one in a region if `again`; then their loss, trained by Adam. */
static wf_tensor blocks(wf_graph *g, wf_params *w, bool again) {
    wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(ROWS, NARROW));
    for (int i = 0; i < N_BLOCKS; i++) {
        if (again) wf_recompute_begin(g);
        wf_params_push(w, "block%d", i);
        wf_tensor h = wf_gelu(wf_nn_linear(w, "in", x, (wf_linear_opt){.out = BROAD}));
        h = wf_mul(h, wf_bernoulli(g, WF_SHAPE(ROWS, BROAD), 0.75, (wf_random_opt){
                                       .seed = 5, .stream = (uint64_t)i}));
        h = wf_nn_layer_norm(w, "norm", h, (wf_layer_norm_opt){0});
        x = wf_add(x, wf_nn_linear(w, "out", wf_tanh(h), (wf_linear_opt){.out = NARROW}));
        wf_params_pop(w);
        if (again) wf_recompute_end(g);
    }
    const wf_tensor loss = wf_mean(wf_square(x), (wf_reduce_opt){0});
    wf_nn_adam(w, loss, (wf_optimizer_opt){.lr = 1e-2, .clip_norm = 1});
    return loss;
}

/* Four LSTMs, each in a region: gradients of weights are sums over time. */
static wf_tensor recurrent(wf_graph *g, wf_params *w, bool again) {
    enum { T = 24, N = 16, C = 24 };
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(T, N, C));
    wf_tensor h = x;
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "lstm%d", i);
        if (again) wf_recompute_begin(g);
        h = wf_nn_lstm(w, name, h, (wf_lstm_opt){.hidden = C});
        if (again) wf_recompute_end(g);
    }
    const wf_tensor loss = wf_mean(wf_square(wf_sub(h, x)), (wf_reduce_opt){0});
    wf_nn_adam(w, loss, (wf_optimizer_opt){.lr = 1e-2});
    return loss;
}

/* ConvLSTM layers with batch norm, each in a region: chains, values in place and in stacks. */
static wf_tensor frames(wf_graph *g, wf_params *w, bool again) {
    const wf_tensor in = wf_input(g, "x", WF_F32, WF_SHAPE(7, 2, 16, 16, 1));
    wf_tensor x = in;
    for (int i = 0; i < 3; i++) {
        if (again) wf_recompute_begin(g);
        wf_params_push(w, "layer%d", i);
        x = wf_nn_convlstm(w, "cell", x, (wf_convlstm_opt){
            .hidden = 8, .kernel = 5 - 2 * i, .activation = wf_relu});
        x = wf_nn_batch_norm(w, "norm", x, (wf_batch_norm_opt){.training = true});
        wf_params_pop(w);
        if (again) wf_recompute_end(g);
    }
    const wf_tensor loss = wf_mean(wf_square(wf_sub(x, in)), (wf_reduce_opt){0});
    wf_nn_adam(w, loss, (wf_optimizer_opt){.lr = 1e-2, .clip_norm = 2});
    return loss;
}

typedef wf_tensor write_fn(wf_graph *g, wf_params *w, bool again);

/* Three steps; a digest of losses and parameters. */
static uint64_t train_regions(write_fn *write, bool again, wf_compile_opt o,
                              wf_program_info *info) {
    wf_graph *g = wf_graph_new();
    wf_params *w = wf_params_new(3);
    const wf_tensor loss = write(g, w, again);
    wf_program *p;
    uint64_t digest = 7;
    o.precision = WF_PRECISION_F32; /* the savings are those of its plans */
    cr_assert_eq(wf_compile(&p, g, &loss, 1, o), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_plan_verify(&p->plan), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_verify(&p->stage, "recompute"), WF_OK, "%s", wf_error());
    *info = wf_program_describe(p);
    size_t bytes;
    float *x = wf_data_named(p, "x", &bytes);
    for (size_t i = 0; i < bytes / sizeof *x; i++) x[i] = (float)((int)(i * 31 % 97) - 48) / 97;
    for (int i = 0; i < 3; i++) {
        uint32_t bits;
        cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_read(p, loss, &bits, sizeof bits), WF_OK);
        digest = (digest ^ bits) * UINT64_C(1099511628211);
    }
    for (size_t i = 0; i < wf_params_count(w); i++) {
        const wf_param_info q = wf_params_at(w, i);
        for (size_t k = 0; k < wf_dtype_bytes(q.dtype) * (size_t)wf_shape_count(&q.shape); k++)
            digest = (digest ^ ((unsigned char *)q.data)[k]) * UINT64_C(1099511628211);
    }
    wf_program_free(p);
    wf_graph_free(g);
    wf_params_free(w);
    return digest;
}

static void check_regions(write_fn *write, double least_saving) {
    wf_program_info full, less, more;
    const uint64_t want = train_regions(write, false, (wf_compile_opt){.threads = 1}, &full);
    cr_assert(full.recomputed == 0 && full.recompute_flops == 0);
    for (int threads = 1; threads <= 3; threads += 2) {
        const wf_compile_opt o = {.threads = threads};
        cr_assert_eq(train_regions(write, true, o, &less), want, "other bits on %d", threads);
    }
    cr_log_info("arena %zu of %zu bytes, %.0f of %.0f FLOPs again, %u of %u nodes",
                less.arena_bytes, full.arena_bytes, less.recompute_flops, less.flops,
                less.recomputed, less.nodes);
    cr_assert((double)less.arena_bytes <= (1 - least_saving) * (double)full.arena_bytes,
              "%zu of %zu bytes", less.arena_bytes, full.arena_bytes);
    cr_assert(less.recomputed > 0 && less.recompute_flops > 0);
    cr_assert_eq(less.full_bytes, full.arena_bytes);
    cr_assert_float_eq(less.flops - less.recompute_flops, full.flops, 1);
    /* A budget on top of it. */
    const size_t memory = less.arena_bytes / 20 * 19;
    cr_assert_eq(train_regions(write, true, (wf_compile_opt){.threads = 2, .memory = memory},
                               &more), want);
    cr_assert_leq(more.arena_bytes, memory);
    cr_assert_gt(more.recomputed, less.recomputed);
}

Test(compiler_recompute, blocks_in_regions_keep_what_is_between_them) {
    check_regions(blocks, 0.6);
}

Test(compiler_recompute, recurrent_layers_in_regions) { check_regions(recurrent, 0.3); }

Test(compiler_recompute, convolutional_layers_in_regions) { check_regions(frames, 0.3); }

/* Nothing is computed again where no gradient asks for it, and with every pass off. */
Test(compiler_recompute, regions_without_gradients) {
    wf_graph *g = wf_graph_new();
    wf_params *w = wf_params_new(3);
    const wf_tensor loss = blocks(g, w, true);
    for (int i = 0; i < 2; i++) {
        const wf_compile_opt o = {.no_assign = i == 0, .off = i ? WF_PASS_ALL : 0};
        wf_program *p;
        cr_assert_eq(wf_compile(&p, g, &loss, 1, o), WF_OK, "%s", wf_error());
        cr_expect_eq(wf_program_describe(p).recomputed, 0);
        wf_program_free(p);
    }
    wf_graph_free(g);
    wf_params_free(w);
}
