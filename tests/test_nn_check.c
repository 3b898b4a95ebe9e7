/* wf_check: what it finds in a model before it runs, and what it says. */
#include "tensor/graph.h"
#include "tests/parity/parity.h"

typedef struct found {
    char line[8][256];
    wf_check_kind kind[8];
    int n;
} found;

static void note(void *user, wf_check_kind kind, const char *text) {
    found *f = user;
    cr_assert(f->n < 8);
    f->kind[f->n] = kind;
    snprintf(f->line[f->n++], sizeof f->line[0], "%s", text);
}

static void expect_found(const found *f, wf_check_kind kind, const char *text) {
    for (int i = 0; i < f->n; i++)
        if (f->kind[i] == kind && strcmp(f->line[i], text) == 0) return;
    cr_assert_fail("%s was not found (%d were, the first is %s)", text, f->n, f->line[0]);
}

static wf_tensor weight(wf_graph *g, wf_params *p, const char *name) {
    return wf_param(g, p, name, WF_SHAPE(4, 3), (wf_init){0}, (wf_param_opt){0});
}

static wf_tensor total(wf_tensor x) { return wf_sum(x, (wf_reduce_opt){0}); }

/* A model with every fault; its nodes stay as they are. */
Test(nn_check, finds_what_stops_gradients) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 3));
    wf_input(g, "forgotten", WF_F32, WF_SHAPE(2));
    const wf_tensor good = weight(g, p, "good"), rounded = weight(g, p, "rounded");
    const wf_tensor stopped = weight(g, p, "stopped"), sorted = weight(g, p, "sorted");
    weight(g, p, "idle");
    wf_scope_push(g, "top");
    const wf_tensor order = wf_cast(wf_argsort(sorted, 0, false), WF_F32);
    wf_scope_pop(g);
    const wf_tensor sum = wf_add(wf_mul(x, good), wf_add(wf_round(rounded),
                                                         wf_stop_gradient(stopped)));
    const wf_tensor loss = total(wf_add(sum, order));
    found f = {.n = 0};
    wf_check_report r;
    cr_assert(!wf_check(p, loss, note, &f, &r), "%s", wf_error());
    expect_found(&f, WF_CHECK_NO_GRADIENT, "rounded");
    expect_found(&f, WF_CHECK_NO_GRADIENT, "stopped");
    expect_found(&f, WF_CHECK_NO_GRADIENT, "sorted");
    expect_found(&f, WF_CHECK_NO_GRADIENT, "idle");
    expect_found(&f, WF_CHECK_UNUSED_INPUT, "forgotten");
    cr_assert(r.found[WF_CHECK_NO_GRADIENT] == 4 && r.found[WF_CHECK_UNUSED_INPUT] == 1);
    cr_assert(r.parameters == 5 * 12);
    wf_graph_free(g);
    wf_params_free(p);
}

/* An operation without a gradient: wf_check names what an optimiser then refuses. */
static bool has_shape_of_input(wf_infer *q) {
    q->out = q->in[0];
    return true;
}
static void copy(const wf_call *c) { (void)c; }
static wf_tensor no_sample(wf_sampler *s, int i) { return (wf_tensor){0}; }
static const wf_op opaque = {.name = "opaque", .kind = WF_KIND_OPAQUE, .min_in = 1, .max_in = 1,
                             .infer = has_shape_of_input, .eval = copy,
                             .no_grad_reason = "nobody wrote it", .sample = no_sample};

Test(nn_check, names_what_wf_grad_refuses) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor w = weight(g, p, "w");
    wf_scope_push(g, "layer");
    const wf_tensor y = wf_emit1(&opaque, NULL, 0, w);
    wf_scope_pop(g);
    const wf_tensor loss = total(wf_add(y, wf_emit1(&opaque, NULL, 0, wf_square(w))));
    found f = {.n = 0};
    wf_check_report r;
    cr_assert(!wf_check(p, loss, note, &f, &r), "%s", wf_error());
    expect_found(&f, WF_CHECK_NOT_DIFFERENTIABLE, "layer/opaque has no gradient: nobody wrote it");
    expect_found(&f, WF_CHECK_NOT_DIFFERENTIABLE, "opaque has no gradient: nobody wrote it");
    cr_assert(!wf_graph_status(g), "the graph is as before");
    wf_tensor dw;
    cr_assert(wf_grad(loss, &w, 1, &dw) == WF_MODEL);
    wf_graph_free(g);
    wf_params_free(p);
}

/* A sound network: nothing found; the work is that of its products, three times as much with the
 * gradients, and the graph has no node more. */
Test(nn_check, measures_a_sound_model) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(8, 6, 6, 2));
    const wf_tensor label = wf_input(g, "label", WF_I32, WF_SHAPE(8));
    const wf_tensor h = wf_relu(wf_nn_conv2d(p, "conv", x, (wf_conv_layer_opt){
        .out = 5, .kernel = 3, .same = true}));
    const wf_tensor flat = wf_reshape(wf_nn_max_pool(h, 2, 0, 0), WF_SHAPE(8, 45));
    const wf_tensor logits = wf_nn_linear(p, "fc", flat, (wf_linear_opt){.out = 3});
    const wf_tensor loss = wf_nn_cross_entropy(logits, label);
    wf_check_report r;
    found f = {.n = 0};
    const uint32_t size = wf_graph_size(g);
    cr_assert(!wf_check(p, loss, note, &f, &r), "%s", wf_error());
    cr_assert(f.n == 0, "%s", f.line[0]);
    cr_assert(wf_graph_size(g) == size);
    const double conv = 2.0 * 8 * 36 * 5 * 18, fc = 2.0 * 8 * 45 * 3;
    cr_assert(r.flops >= conv + fc && r.flops < 1.2 * (conv + fc), "%g", r.flops);
    cr_assert(r.parameters == 5 * 18 + 5 + 45 * 3 + 3 && r.peak_bytes > (size_t)r.parameters * 4);
    const double forward = r.flops;
    cr_assert(wf_ok(wf_nn_adam(p, loss, (wf_optimizer_opt){0})), "%s", wf_graph_message(g));
    cr_assert(!wf_check(p, loss, note, &f, &r), "%s", wf_error());
    cr_assert(f.n == 0, "lr is used by the update: %s", f.line[0]);
    cr_assert(r.flops > 1.8 * forward, "%g after %g", r.flops, forward);
    wf_graph_free(g);
    wf_params_free(p);
}

Test(nn_check, reports_the_message_of_a_bad_graph) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor loss = wf_nn_mse(weight(g, p, "a"), wf_full(g, WF_F32, WF_SHAPE(2), 0));
    cr_assert(wf_check(p, loss, NULL, NULL, NULL) == WF_MODEL);
    cr_assert(strstr(wf_error(), "mse: y f32[4,3]"), "%s", wf_error());
    cr_assert(wf_check(NULL, loss, NULL, NULL, NULL) == WF_ARGUMENT);
    wf_graph_free(g);
    wf_params_free(p);
}

Test(nn_check, the_table_of_layers) {
    static const char want[] =
        "layer                            output                 parameters      GFLOP\n"
        "conv                             [500,6,6,40]                  760      0.026\n"
        "top/fc                           [500,3]                     4,323      0.004\n"
        "all (forward)                                                5,083      0.030\n";
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(500, 6, 6, 2));
    const wf_tensor h = wf_nn_conv2d(p, "conv", x, (wf_conv_layer_opt){
        .out = 40, .kernel = 3, .same = true});
    wf_scope_push(g, "top");
    wf_nn_linear(p, "fc", wf_reshape(h, WF_SHAPE(500, -1)), (wf_linear_opt){.out = 3});
    wf_scope_pop(g);
    char *text;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes), *full = fopen("/dev/full", "w");
    cr_assert(f && !wf_nn_summary_print(p, g, f), "%s", wf_error());
    fclose(f);
    cr_assert_str_eq(text, want, "%s", text);
    if (full) {
        setvbuf(full, NULL, _IONBF, 0);
        cr_assert_eq(wf_nn_summary_print(p, g, full), WF_OUTPUT);
        fclose(full);
    }
    cr_assert_eq(wf_nn_summary_print(p, g, NULL), WF_ARGUMENT);
    free(text);
    wf_graph_free(g);
    wf_params_free(p);
}
