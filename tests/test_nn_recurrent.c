/* Recurrent cells and the mechanism that runs them: PyTorch's numbers, states, masks, a cell of the
 * user's own, truncated back-propagation through time. */
#include "tests/parity/layer.h"

static wf_tensor rnn(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_rnn(p, name, x, (wf_rnn_opt){.hidden = 4});
}
static wf_tensor rnn_relu(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_rnn(p, name, x, (wf_rnn_opt){.hidden = 4, .activation = wf_relu, .no_bias = true});
}
static wf_tensor gru(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_gru(p, name, x, (wf_gru_opt){.hidden = 4});
}
static wf_tensor gru_plain(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_gru(p, name, x, (wf_gru_opt){.hidden = 4, .no_bias = true});
}
static wf_tensor gru_deep(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_gru(p, name, x, (wf_gru_opt){
        .hidden = 2, .sequence = {.layers = 2, .bidirectional = true}});
}
static wf_tensor lstm_projected(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_lstm(p, name, x, (wf_lstm_opt){
        .hidden = 4, .projection = 2, .sequence = {.layers = 2}});
}
static wf_tensor lstm_deep(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_lstm(p, name, x, (wf_lstm_opt){
        .hidden = 2, .sequence = {.layers = 2, .bidirectional = true}});
}
static wf_tensor lstm_masked(wf_params *p, const char *name, wf_tensor x) {
    static const int32_t length[] = {5, 3};
    const wf_tensor n = wf_const(x.graph, WF_I32, WF_SHAPE(2), length);
    return wf_nn_lstm(p, name, x, (wf_lstm_opt){
        .hidden = 2,
        .sequence = {.layers = 2, .bidirectional = true, .mask = wf_nn_length_mask(n, 5)}});
}
static wf_tensor lstm_peephole(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_lstm(p, name, x, (wf_lstm_opt){.hidden = 4, .peephole = true});
}
/* The squashing function of the 1997 paper, between -1 and 1. */
static wf_tensor squash(wf_tensor x) {
    return wf_add_scalar(wf_mul_scalar(wf_sigmoid(x), 2), -1);
}
static wf_tensor lstm_1997(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_lstm(p, name, x, (wf_lstm_opt){
        .hidden = 4, .no_forget = true, .activation = squash});
}
static wf_tensor convgru(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_convgru(p, name, x, (wf_convgru_opt){.hidden = 3, .kernel = 3});
}
static wf_tensor convlstm_both(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_convlstm(p, name, x, (wf_convlstm_opt){
        .hidden = 2, .kernel = 3, .sequence = {.bidirectional = true}});
}

#define CASES(X)                                                                                   \
    X(rnn, 5, 2, 3)                                                                                \
    X(rnn_relu, 5, 2, 3)                                                                           \
    X(gru, 5, 2, 3)                                                                                \
    X(gru_plain, 5, 2, 3)                                                                          \
    X(gru_deep, 5, 2, 3)                                                                           \
    X(lstm_projected, 5, 2, 3)                                                                     \
    X(lstm_deep, 5, 2, 3)                                                                          \
    X(lstm_masked, 5, 2, 3)                                                                        \
    X(lstm_peephole, 5, 2, 3)                                                                      \
    X(lstm_1997, 5, 2, 3)                                                                          \
    X(convgru, 3, 2, 4, 5, 2)                                                                      \
    X(convlstm_both, 3, 1, 4, 3, 2)

#define X(name, ...)                                                                               \
    Test(nn_recurrent, name) {                                                                     \
        check_layer(&(layer_case){#name, name, WF_SHAPE(__VA_ARGS__)});                            \
    }
CASES(X)
#undef X

/* --- states ----------------------------------------------------------------------------------- */

/* The largest |a - b|. */
static double gap(wf_tensor a, wf_tensor b) {
    const wf_tensor most = wf_max(wf_abs(wf_sub(a, b)), (wf_reduce_opt){0});
    double v;
    cr_assert(!wf_eval(most, &v, sizeof v), "%s", wf_error());
    return v;
}

typedef struct sequence {
    wf_graph *g;
    wf_params *p;
    wf_tensor x; /* f64 (6, 2, 3) */
} sequence;

static sequence make_sequence(void) {
    sequence s = {wf_graph_new(), wf_params_new(1), {0}};
    double data[6 * 2 * 3];
    fill_closed("sequence", WF_F64, WF_COUNT(data), data);
    s.x = wf_const(s.g, WF_F64, WF_SHAPE(6, 2, 3), data);
    return s;
}
static void free_sequence(sequence *s) {
    wf_graph_free(s->g);
    wf_params_free(s->p);
}

/* Two layers over a sequence cut in two, with the states of both layers handed over. */
Test(nn_recurrent, stacked_states_are_handed_over) {
    sequence s = make_sequence();
    wf_tensor h, c;
    wf_lstm_opt o = {.hidden = 4, .projection = 3, .peephole = true, .sequence = {.layers = 2}};
    const wf_tensor whole = wf_nn_lstm(s.p, "a", s.x, o);
    o.h = &h;
    o.c = &c;
    const wf_tensor first = wf_nn_lstm(s.p, "a", wf_slice(s.x, 0, 0, 2, 1), o);
    cr_assert(wf_rank(h) == 3 && wf_dim(h, 0) == 2 && wf_dim(h, 2) == 3 && wf_dim(c, 2) == 4);
    o.h0 = h;
    o.c0 = c;
    const wf_tensor last = wf_nn_lstm(s.p, "a", wf_slice(s.x, 0, 2, 4, 1), o);
    const double off = gap(whole, wf_concat((wf_tensor[]){first, last}, 2, 0));
    cr_assert(off <= 1e-15, "gap %g", off);
    free_sequence(&s);
}

/* The states after every step are those of the output, and gradients with respect to them total
 * derivatives: what comes from the step after is the product with its Jacobian. */
Test(nn_recurrent, states_are_given_step_by_step) {
    enum { T = 4 };
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor x = wf_normal(g, WF_SHAPE(T, 2, 3), (wf_random_opt){.seed = 4});
    wf_tensor h[T], d[T], back, last;
    const wf_tensor y = wf_nn_rnn(p, "rnn", x, (wf_rnn_opt){
        .hidden = 3, .h = &last, .sequence = {.each = {h}}});
    cr_assert_eq(h[T - 1].id, last.id);
    float a[T * 6], b[T * 6];
    cr_assert_eq(wf_eval(wf_stack(h, T, 0), a, sizeof a), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_eval(y, b, sizeof b), WF_OK);
    cr_assert_eq(memcmp(a, b, sizeof a), 0);
    const wf_tensor loss = wf_sum(wf_square(wf_index(y, 0, T - 1)), (wf_reduce_opt){0});
    cr_assert_eq(wf_grad(loss, h, T, d), WF_OK, "%s", wf_error());
    for (int t = 0; t + 1 < T; t++) {
        cr_assert_eq(wf_vjp(h[t + 1], d[t + 1], &h[t], 1, &back), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_eval(back, a, 6 * sizeof *a), WF_OK);
        cr_assert_eq(wf_eval(d[t], b, 6 * sizeof *b), WF_OK);
        for (int i = 0; i < 6; i++)
            cr_assert(b[i] != 0 && fabsf(a[i] - b[i]) <= 1e-5f * fabsf(b[i]) + 1e-7f, "%g, not %g",
                      (double)a[i], (double)b[i]);
    }
    wf_graph_free(g);
    wf_params_free(p);
}

/* Steps that the mask leaves out change no state: a short sequence ends where it would end alone,
 * whatever follows it. */
Test(nn_recurrent, masked_steps_carry_the_state) {
    sequence s = make_sequence();
    const int64_t length[] = {6, 4};
    const wf_tensor n = wf_const(s.g, WF_I64, WF_SHAPE(2), length);
    wf_tensor h, alone;
    wf_gru_opt o = {.hidden = 4, .h = &h, .sequence = {.mask = wf_nn_length_mask(n, 6)}};
    const wf_tensor y = wf_nn_gru(s.p, "a", s.x, o);
    wf_nn_gru(s.p, "a", wf_slice(s.x, 0, 0, 4, 1), (wf_gru_opt){.hidden = 4, .h = &alone});
    cr_assert(gap(wf_index(h, 0, 1), wf_index(alone, 0, 1)) == 0);
    const wf_tensor after = wf_slice(wf_index(y, 1, 1), 0, 4, 2, 1);
    cr_assert(gap(after, wf_zeros_like(after)) == 0, "outputs after the end are 0");
    cr_assert(gap(wf_index(y, 1, 0), wf_zeros_like(wf_index(y, 1, 0))) > 0.01);
    free_sequence(&s);
}

Test(nn_recurrent, reverse_is_the_flipped_sequence) {
    sequence s = make_sequence();
    const wf_tensor a = wf_nn_rnn(s.p, "a", s.x, (wf_rnn_opt){
        .hidden = 4, .sequence = {.reverse = true}});
    const wf_tensor b = wf_nn_rnn(s.p, "a", wf_flip(s.x, 0), (wf_rnn_opt){.hidden = 4});
    cr_assert(gap(a, wf_flip(b, 0)) == 0);
    free_sequence(&s);
}

/* Dropout stands between layers only. */
Test(nn_recurrent, dropout_between_layers) {
    sequence s = make_sequence();
    wf_rnn_opt o = {.hidden = 4, .sequence = {.dropout = 0.5, .training = true}};
    const wf_tensor one = wf_nn_rnn(s.p, "a", s.x, o);
    o.sequence.dropout = 0;
    cr_assert(gap(one, wf_nn_rnn(s.p, "a", s.x, o)) == 0, "one layer has none");
    o.sequence.layers = 2;
    const wf_tensor two = wf_nn_rnn(s.p, "b", s.x, o);
    o.sequence.dropout = 0.5;
    cr_assert(gap(two, wf_nn_rnn(s.p, "b", s.x, o)) > 0.01, "two layers have");
    free_sequence(&s);
}

/* --- what a ConvLSTM can leave out or share -------------------------------------------------- */

/* Parameters of two ConvLSTMs, alike from one seed, on x f64 (3, 2, 5, 6, C). */
typedef struct pair {
    wf_graph *g;
    wf_params *a, *b;
    wf_tensor x;
} pair;

static pair make_pair(int64_t channels) {
    pair s = {wf_graph_new(), wf_params_new(1), wf_params_new(1), {0}};
    double data[3 * 2 * 5 * 6 * 2];
    fill_closed("pair", WF_F64, WF_COUNT(data), data);
    s.x = wf_const(s.g, WF_F64, WF_SHAPE(3, 2, 5, 6, channels), data);
    return s;
}
static void free_pair(pair *s) {
    wf_graph_free(s->g);
    wf_params_free(s->a);
    wf_params_free(s->b);
}
static double *data_of(wf_params *p, const char *name, int64_t count) {
    wf_param_info info;
    cr_assert(wf_params_find(p, name, &info), "%s is not there", name);
    cr_assert(wf_shape_count(&info.shape) == count, "%s has another size", name);
    return info.data;
}
static const wf_convlstm_opt whole_cell = {.hidden = 2, .kernel = 3, .peephole = true};

/* One peephole weight a channel is a map with this number everywhere. */
Test(nn_recurrent, convlstm_shared_peepholes_are_flat_maps) {
    pair s = make_pair(2);
    wf_convlstm_opt shared = whole_cell;
    shared.peephole_shared = true;
    const wf_tensor a = wf_nn_convlstm(s.a, "a", s.x, whole_cell);
    const wf_tensor b = wf_nn_convlstm(s.b, "a", s.x, shared);
    double *map = data_of(s.a, "a.weight_c", 3 * 30 * 2), *flat = data_of(s.b, "a.weight_c", 6);
    for (int i = 0; i < 6; i++) flat[i] = 0.3 * (i + 1);
    for (int i = 0; i < 180; i++) map[i] = flat[i / 60 * 2 + i % 2];
    cr_assert(gap(a, b) < 1e-14, "gap %g", gap(a, b));
    free_pair(&s);
}

/* forget_bias is part of f's bias, and one bias is two of which one is 0. */
Test(nn_recurrent, convlstm_biases) {
    pair s = make_pair(2);
    wf_convlstm_opt one = whole_cell;
    one.one_bias = true;
    one.forget_bias = 1.5;
    const wf_tensor a = wf_nn_convlstm(s.a, "a", s.x, whole_cell);
    const wf_tensor b = wf_nn_convlstm(s.b, "a", s.x, one);
    double *x = data_of(s.a, "a.bias_x", 8), *h = data_of(s.a, "a.bias_h", 8);
    memset(h, 0, 8 * sizeof *h);
    cr_assert(!wf_params_find(s.b, "a.bias_h", &(wf_param_info){0}));
    cr_assert(gap(a, b) > 1e-3, "the forget gate is the same");
    x[2] += 1.5;
    x[3] += 1.5;
    cr_assert(gap(a, b) < 1e-14, "gap %g", gap(a, b));
    free_pair(&s);
}

/* Without channels there are no weights for them: as a cell that sees zeros. */
Test(nn_recurrent, convlstm_without_input) {
    pair s = make_pair(2);
    const wf_tensor none = wf_full(s.g, WF_F64, WF_SHAPE(3, 2, 5, 6, 0), 0);
    wf_convlstm_opt o = whole_cell, apart = whole_cell;
    o.h0 = o.c0 = wf_index(s.x, 0, 0);
    const wf_tensor a = wf_nn_convlstm(s.a, "a", wf_zeros_like(s.x), o);
    const wf_tensor b = wf_nn_convlstm(s.b, "a", none, o);
    cr_assert(wf_ok(b), "%s", wf_graph_message(s.g));
    memset(data_of(s.a, "a.bias_x", 8), 0, 8 * sizeof(double));
    cr_assert(gap(a, b) < 1e-14, "gap %g", gap(a, b));
    cr_assert(gap(b, wf_zeros_like(b)) > 1e-3 && wf_params_count(s.b) == 3);
    apart.separate = true;
    apart.h0 = apart.c0 = o.h0;
    cr_assert(gap(b, wf_nn_convlstm(s.b, "a", none, apart)) < 1e-14);
    free_pair(&s);
}

/* A kernel of x of its own: one pixel is the middle of 3x3. */
Test(nn_recurrent, convlstm_kernel_of_x) {
    pair s = make_pair(2);
    wf_convlstm_opt o = whole_cell;
    o.kernel_x = 1;
    const wf_tensor a = wf_nn_convlstm(s.a, "a", s.x, whole_cell);
    const wf_tensor b = wf_nn_convlstm(s.b, "a", s.x, o);
    double *nine = data_of(s.a, "a.weight_x", 8 * 9 * 2), *one = data_of(s.b, "a.weight_x", 16);
    memset(nine, 0, 144 * sizeof *nine);
    for (int i = 0; i < 16; i++) nine[i / 2 * 18 + 8 + i % 2] = one[i];
    memcpy(data_of(s.a, "a.bias_x", 8), data_of(s.b, "a.bias_x", 8), 8 * sizeof(double));
    cr_assert(gap(a, b) < 1e-14, "gap %g", gap(a, b));
    o.kernel_x = 2;
    cr_assert(!wf_ok(wf_nn_convlstm(s.b, "c", s.x, o)), "an even kernel");
    free_pair(&s);
}

/* First weights as Keras has them: fans of the four gates together; orthonormal rows. */
Test(nn_recurrent, convlstm_first_weights) {
    pair s = make_pair(2);
    wf_nn_convlstm(s.a, "a", s.x, (wf_convlstm_opt){
        .hidden = 2, .kernel = 3, .init_x = {.kind = WF_INIT_XAVIER_UNIFORM},
        .init_h = {.kind = WF_INIT_ORTHOGONAL}, .init_whole = true,
        .init_bias = {.kind = WF_INIT_CONSTANT}});
    const double *x = data_of(s.a, "a.weight_x", 144), *h = data_of(s.a, "a.weight_h", 144);
    const double bound = sqrt(6.0 / (9 * 2 + 9 * 8));
    double most = 0, dot[2] = {0};
    for (int i = 0; i < 144; i++) most = fmax(most, fabs(x[i]));
    cr_assert(most <= bound && most > 0.9 * bound, "%g, bound %g", most, bound);
    /* The first rows of two gates. */
    for (int i = 0; i < 18; i++) dot[0] += h[i] * h[i], dot[1] += h[i] * h[36 + i];
    cr_assert(fabs(dot[0] - 1) < 1e-12 && fabs(dot[1]) < 1e-12);
    cr_assert(data_of(s.a, "a.bias_x", 8)[3] == 0);
    free_pair(&s);
}

/* --- a cell of one's own ---------------------------------------------------------------------- */

/* Exponential average: m = a m + (1 - a) x. */
static void average_step(const wf_cell *k, wf_tensor x, wf_tensor *state) {
    const double a = *(const double *)k->options;
    const wf_tensor part = wf_mul_scalar(x, 1 - a);
    state[0] = state[0].graph ? wf_add(wf_mul_scalar(state[0], a), part) : part;
}
static bool make_average(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix,
                         const void *options) {
    k->n_states = 1;
    k->state_shape[0] = WF_SHAPE(wf_dim(x, 1), wf_dim(x, 2));
    k->step = average_step;
    return true;
}

Test(nn_recurrent, own_cell) {
    sequence s = make_sequence();
    const double a = 0.75;
    double x[6 * 2 * 3], y[6 * 2 * 3], m[2 * 3] = {0};
    wf_tensor last;
    const wf_tensor v = wf_nn_recurrent(s.p, "average", s.x, make_average, &a,
                                        (wf_recurrent_opt){.last = {&last}});
    cr_assert(!wf_eval(s.x, x, sizeof x) && !wf_eval(v, y, sizeof y), "%s", wf_error());
    for (int i = 0; i < 36; i++) {
        m[i % 6] = a * m[i % 6] + (1 - a) * x[i];
        cr_assert(fabs(y[i] - m[i % 6]) < 1e-15, "%d: %g, not %g", i, y[i], m[i % 6]);
    }
    cr_assert(gap(last, wf_index(v, 0, 5)) == 0);
    free_sequence(&s);
}

/* --- truncated back-propagation through time -------------------------------------------------- */

/* A stream of 6 steps in three runs of 2, the state carried, gives what one run over all
 * gives; resetting starts anew. */
Test(nn_recurrent, carried_state) {
    sequence s = make_sequence();
    double x[6][6], whole[6][8], y[2][8];
    cr_assert(!wf_eval(s.x, x, sizeof x), "%s", wf_error());
    const wf_lstm_opt plain = {.hidden = 4};
    cr_assert(!wf_eval(wf_nn_lstm(s.p, "a", s.x, plain), whole, sizeof whole), "%s", wf_error());
    wf_graph *g = wf_graph_new();
    const wf_tensor in = wf_input(g, "x", WF_F64, WF_SHAPE(2, 2, 3));
    const wf_tensor out = wf_nn_lstm(s.p, "a", in, (wf_lstm_opt){
        .hidden = 4, .sequence = {.carry = true}});
    wf_program *program;
    cr_assert(!wf_compile(&program, g, &out, 1, (wf_compile_opt){0}), "%s", wf_error());
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            cr_assert(!wf_write(program, in, x[2 * i], sizeof y / 8 * 6), "%s", wf_error());
            cr_assert(!wf_run(program) && !wf_read(program, out, y, sizeof y), "%s", wf_error());
            for (int k = 0; k < 16; k++)
                cr_assert(fabs(y[k / 8][k % 8] - whole[2 * i + k / 8][k % 8]) < 1e-15,
                          "round %d, part %d, element %d", round, i, k);
        }
        cr_assert(wf_params_fill(s.p, "*.carry_*", 0) == 2, "h and c");
    }
    wf_program_free(program);
    wf_graph_free(g);
    free_sequence(&s);
}

static bool is_zero(const wf_params *p, const char *name, int64_t n) {
    wf_param_info i;
    cr_assert(wf_params_find(p, name, &i) && i.shape.dim[0] == n, "%s", name);
    const double *v = i.data;
    double sum = 0;
    for (int64_t k = 0; k < n * i.shape.dim[1]; k++) sum += fabs(v[k]);
    return sum == 0;
}

/* A program with another batch size carries states of its own, in a stream of its own. */
Test(nn_recurrent, streams_do_not_meet) {
    sequence s = make_sequence();
    wf_program *program[2];
    for (int k = 0; k < 2; k++) {
        wf_graph *g = wf_graph_new();
        const wf_recurrent_opt o = {.carry = true, .stream = k ? "test" : NULL};
        const wf_tensor x = wf_full(g, WF_F64, WF_SHAPE(2, k + 1, 3), 0.5);
        const wf_tensor y = wf_nn_lstm(s.p, "a", x, (wf_lstm_opt){.hidden = 4, .sequence = o});
        cr_assert(!wf_compile(&program[k], g, &y, 1, (wf_compile_opt){0}), "%s", wf_error());
        wf_graph_free(g);
    }
    cr_assert(!wf_run(program[1]), "%s", wf_error());
    cr_assert(is_zero(s.p, "a.carry_l0.h", 1) && !is_zero(s.p, "a.carry_test_l0.h", 2));
    cr_assert(wf_params_fill(s.p, "*.carry_test_*", 0) == 2);
    cr_assert(!wf_run(program[0]), "%s", wf_error());
    cr_assert(!is_zero(s.p, "a.carry_l0.h", 1) && is_zero(s.p, "a.carry_test_l0.h", 2));
    for (int k = 0; k < 2; k++) wf_program_free(program[k]);
    free_sequence(&s);
}

/* The gradients of one LSTM over x, compiled into out[0 .. 4) by way of *program. */
static wf_program *gradients(wf_params *p, wf_tensor x, wf_lstm_opt o, wf_tensor *out) {
    wf_tensor leaf[4];
    const wf_tensor y = wf_nn_lstm(p, "a", x, o);
    const wf_tensor loss = wf_sum(wf_square(y), (wf_reduce_opt){0});
    cr_assert(wf_params_leaves(p, x.graph, leaf, 4) == 4, "a carried state is no parameter");
    cr_assert(!wf_grad(loss, leaf, 4, out), "%s", wf_error());
    wf_program *program;
    cr_assert(!wf_compile(&program, x.graph, out, 4, (wf_compile_opt){0}), "%s", wf_error());
    return program;
}

/* The second piece has the gradient that it has alone when the first one's states are constants. */
Test(nn_recurrent, gradients_end_where_the_state_is_carried) {
    sequence s = make_sequence();
    double x[6][6], h[8], c[8];
    wf_tensor last[2], a[4], b[4];
    cr_assert(!wf_eval(s.x, x, sizeof x), "%s", wf_error());
    wf_graph *g = wf_graph_new();
    const wf_tensor in = wf_input(g, "x", WF_F64, WF_SHAPE(2, 2, 3));
    wf_program *carried = gradients(s.p, in, (wf_lstm_opt){
        .hidden = 4, .sequence = {.carry = true}}, a);
    for (int i = 0; i < 2; i++)
        cr_assert(!wf_write(carried, in, x[2 * i], sizeof x / 3) && !wf_run(carried));
    wf_nn_lstm(s.p, "a", wf_slice(s.x, 0, 0, 2, 1), (wf_lstm_opt){
        .hidden = 4, .h = &last[0], .c = &last[1]});
    cr_assert(!wf_eval(last[0], h, sizeof h) && !wf_eval(last[1], c, sizeof c), "%s", wf_error());
    wf_program *alone = gradients(s.p, wf_slice(s.x, 0, 2, 2, 1), (wf_lstm_opt){
        .hidden = 4, .h0 = wf_const(s.g, WF_F64, WF_SHAPE(2, 4), h),
        .c0 = wf_const(s.g, WF_F64, WF_SHAPE(2, 4), c)}, b);
    cr_assert(!wf_run(alone), "%s", wf_error());
    for (int i = 0; i < 4; i++) {
        const double *u = wf_data(carried, a[i]), *v = wf_data(alone, b[i]);
        for (int64_t k = 0; k < wf_count(a[i]); k++)
            cr_assert(fabs(u[k] - v[k]) < 1e-14 && u[k] != 0, "%d %d: %g %g", i, (int)k, u[k],
                      v[k]);
    }
    wf_program_free(carried);
    wf_program_free(alone);
    wf_graph_free(g);
    free_sequence(&s);
}

/* --- mistakes --------------------------------------------------------------------------------- */

static bool lying_cell(wf_cell *k, wf_params *p, wf_tensor x, const char *suffix,
                       const void *options) {
    make_average(k, p, x, suffix, options);
    k->state_shape[0].dim[1]++;
    return true;
}

Test(nn_recurrent, mistakes) {
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_full(g, WF_F32, WF_SHAPE(2, 3), 1);
    expect_message(g, wf_nn_gru(p, "gru", x, (wf_gru_opt){.hidden = 4}),
                   "gru: x f32[2,3] is not real (T, N, C) with T >= 1");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(4, 2, 3), 1);
    expect_message(g, wf_nn_rnn(p, "rnn", x, (wf_rnn_opt){0}), "rnn/rnn: hidden is 0; set it");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(4, 2, 3), 1);
    expect_message(g, wf_nn_lstm(p, "lstm", x, (wf_lstm_opt){.hidden = 5, .h0 = x}),
                   "lstm/h0 is [4,2,3], expected [2,5]");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(4, 2, 3), 1);
    wf_tensor mask = wf_full(g, WF_BOOL, WF_SHAPE(2, 4), 1);
    expect_message(g, wf_nn_gru(p, "gru", x, (wf_gru_opt){.hidden = 4, .sequence = {.mask = mask}}),
                   "gru/mask is [2,4], expected [4,2], (T, N) of x; see wf_nn_length_mask");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(4, 2, 3), 1);
    const double a = 0.5;
    expect_message(g, wf_nn_recurrent(p, "own", x, lying_cell, &a, (wf_recurrent_opt){0}),
                   "own/t0/state is [2,3], expected [2,4] as the cell's state_shape has it");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(4, 2, 3, 3, 1), 1);
    expect_message(g, wf_nn_convgru(p, "cell", x, (wf_convgru_opt){.hidden = 2, .kernel = 2}),
                   "cell/convgru: hidden 2 must be positive and kernel 2 odd");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(4, 2, 3), 1);
    const wf_tensor h0 = wf_full(g, WF_F32, WF_SHAPE(2, 4), 1);
    expect_message(g, wf_nn_gru(p, "gru", x, (wf_gru_opt){
                       .hidden = 4, .h0 = h0, .sequence = {.carry = true}}),
                   "gru/h0 is given and states are carried");
    wf_params_free(p);
}
