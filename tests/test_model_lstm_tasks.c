/* The long-lag tasks: sequences are what the papers say, right answers are told from wrong ones,
 * every network learns, and the regulariser's gradient is a gradient of gradients. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/lstm_tasks/attempt.h"

/* --- sequences -------------------------------------------------------------------------------- */

enum { COUNT = 60, MOST = 128 };

typedef struct batch {
    wf_source *source;
    task_data data;
    float *x;                    /* (T, COUNT, inputs) */
    int32_t length[COUNT];
    int32_t target[MOST * COUNT]; /* or floats */
} batch;

static void open_batch(batch *b, const char *name, int64_t lag) {
    int64_t index[COUNT];
    for (int i = 0; i < COUNT; i++) index[i] = i;
    cr_assert_eq(task_open(&b->source, &b->data, task_of(name), lag, 5, COUNT), WF_OK, "%s",
                 wf_error());
    b->x = calloc((size_t)(b->data.steps * COUNT * b->data.task->inputs), sizeof *b->x);
    cr_assert(b->x && b->data.steps <= MOST);
    cr_assert_eq(wf_source_batch(b->source, index, COUNT,
                                 (void *[]){b->x, b->length, b->target}), WF_OK);
}

static void close_batch(batch *b) {
    wf_source_close(b->source);
    free(b->x);
}

/* The symbol of sequence i at step t, -1 behind its end. */
static int symbol_at(const batch *b, int64_t t, int i) {
    const int n = b->data.task->inputs;
    int found = -1;
    for (int k = 0; k < n; k++)
        if (b->x[(t * COUNT + i) * n + k] != 0) found = k;
    return found;
}

Test(model_lstm_tasks, adding_asks_for_the_marked_numbers) {
    batch b;
    open_batch(&b, "adding", 40);
    for (int i = 0; i < COUNT; i++) {
        float sum = 0;
        int marked[2] = {-1, -1}, n = 0;
        for (int t = 0; t < b.data.steps; t++) {
            const float *x = b.x + (t * COUNT + i) * 2;
            if (t >= b.length[i]) cr_assert(x[0] == 0 && x[1] == 0);
            if (x[1] == 0) continue;
            cr_assert_lt(n, 2);
            marked[n++] = t;
            sum += x[0];
        }
        cr_assert(b.length[i] >= 40 && b.length[i] <= 44);
        cr_assert(n == 2 && marked[0] < 4 && marked[1] >= 4 && marked[1] < 20);
        cr_assert_float_eq(sum / 2, ((float *)b.target)[i], 1e-6);
    }
    close_batch(&b);
}

Test(model_lstm_tasks, order_asks_for_two_symbols) {
    enum { X = 6, Y = 7 };
    batch b;
    int seen[4] = {0};
    open_batch(&b, "order", 50);
    for (int i = 0; i < COUNT; i++) {
        int order = 0, n = 0;
        for (int t = 0; t < b.length[i]; t++) {
            const int s = symbol_at(&b, t, i);
            cr_assert_eq(s == 0, t == 0);
            cr_assert_eq(s == 1, t == b.length[i] - 1);
            if (s != X && s != Y) continue;
            cr_assert(n == 0 ? t >= 5 && t < 10 : t >= 20 && t < 25);
            order = 2 * order + (s == Y);
            n++;
        }
        cr_assert(n == 2 && order == b.target[i]);
        seen[order]++;
    }
    for (int k = 0; k < 4; k++) cr_assert_gt(seen[k], 0);
    close_batch(&b);
}

/* Strings of the grammar by the text of the paper: B T|P, a Reber string, the same T|P, E. */
Test(model_lstm_tasks, reber_strings_are_embedded) {
    enum { B, T, P, S, X, V, E };
    batch b;
    int longest = 0, shortest = MOST;
    open_batch(&b, "reber", 5);
    for (int i = 0; i < COUNT; i++) {
        const int n = b.length[i];
        for (int t = 0; t + 1 < n; t++) {
            cr_assert_eq(b.target[t * COUNT + i], symbol_at(&b, t + 1, i));
        }
        cr_assert_eq(b.target[(n - 1) * COUNT + i], E);
        for (int t = n; t < b.data.steps; t++) cr_assert_eq(b.target[t * COUNT + i], -1);
        cr_assert(symbol_at(&b, 0, i) == B && symbol_at(&b, 2, i) == B);
        cr_assert(symbol_at(&b, 1, i) == T || symbol_at(&b, 1, i) == P);
        cr_assert_eq(symbol_at(&b, n - 1, i), symbol_at(&b, 1, i));
        cr_assert_eq(symbol_at(&b, n - 2, i), E);
        const int before_end = symbol_at(&b, n - 3, i);
        cr_assert(before_end == S || before_end == V);
        longest = n > longest ? n : longest;
        shortest = n < shortest ? n : shortest;
    }
    cr_assert(shortest == 8 && longest > 12, "%d to %d", shortest, longest);
    close_batch(&b);
    open_batch(&b, "reber", 40);
    for (int i = 0; i < COUNT; i++) cr_assert_geq(b.length[i], 43);
    close_batch(&b);
}

/* Outputs that are 1 for legal symbols are right; a single illegal one makes a sequence wrong. */
Test(model_lstm_tasks, right_answers_are_told) {
    batch b;
    float *y = calloc(MOST * COUNT * REBER_SYMBOLS, sizeof *y);
    int64_t right = 0;
    cr_assert(y);
    open_batch(&b, "adding", 20);
    for (int i = 0; i < COUNT; i++) y[i] = ((float *)b.target)[i] + (i < 10 ? 0.05f : 0.03f);
    cr_assert_eq(task_score(&b.data, 0, COUNT, y, &right), WF_OK);
    cr_assert_eq(right, COUNT - 10);
    close_batch(&b);

    open_batch(&b, "reber", 5);
    memset(y, 0, MOST * COUNT * REBER_SYMBOLS * sizeof *y);
    for (int64_t t = 0; t < b.data.steps; t++)
        for (int i = 0; i < COUNT; i++)
            if (t < b.length[i]) y[(t * COUNT + i) * REBER_SYMBOLS + b.target[t * COUNT + i]] = 1;
    right = 0;
    cr_assert_eq(task_score(&b.data, 0, COUNT, y, &right), WF_OK);
    cr_assert_eq(right, 0); /* two symbols are legal in the middle, one of them has output 0 */
    close_batch(&b);
    free(y);
    cr_assert_eq(task_open(&b.source, &b.data, task_of("adding"), 3, 1, 1), WF_ARGUMENT);
}

/* --- learning --------------------------------------------------------------------------------- */

static double loss_after(const task *k, int64_t lag, cell c, int steps) {
    enum { BATCH = 8 };
    task_data d;
    wf_source *source;
    cr_assert_eq(task_open(&source, &d, k, lag, 2, BATCH), WF_OK);
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    const network_opt o = {.cell = c, .hidden = 8, .batch = BATCH, .lr = 0.02, .clip = 1};
    wf_tensor out[NETWORK_OUTPUTS];
    wf_program *program;
    const int n = network_build(g, p, k, d.steps, o, true, out);
    cr_assert_eq(wf_compile(&program, g, out, n, (wf_compile_opt){.threads = 1}), WF_OK, "%s",
                 wf_error());
    network_start(p, o, lag, 1);
    void *const in[] = {wf_data_named(program, "x", NULL), wf_data_named(program, "length", NULL),
                        wf_data_named(program, "target", NULL)};
    cr_assert_eq(wf_source_batch(source, (int64_t[]){0, 1, 2, 3, 4, 5, 6, 7}, BATCH, in), WF_OK);
    for (int i = 0; i < steps; i++) cr_assert_eq(wf_run(program), WF_OK);
    const double loss = *(float *)wf_data(program, out[1]);
    wf_program_free(program);
    wf_graph_free(g);
    wf_params_free(p);
    wf_source_close(source);
    return loss;
}

Test(model_lstm_tasks, every_network_learns_every_task) {
    for (size_t k = 0; k < WF_COUNT(all_tasks); k++)
        for (int c = 0; c < N_CELLS; c++) {
            const task *t = &all_tasks[k];
            const double first = loss_after(t, t->least_lag, (cell)c, 1);
            const double last = loss_after(t, t->least_lag, (cell)c, 60);
            cr_assert(isfinite(last) && last < 0.8 * first, "%s, %s: loss %g, then %g", t->name,
                      cell_name[c], first, last);
        }
}

Test(model_lstm_tasks, an_attempt_ends_with_success) {
    const attempt_opt o = {.task = task_of("order"), .lag = 10, .seed = 1, .steps = 3000,
                           .every = 100, .threads = 1,
                           .network = {.cell = CELL_LSTM, .hidden = 16, .batch = 20, .lr = 0.01,
                                       .clip = 1}};
    attempt_result r;
    cr_assert_eq(attempt(&o, &r), WF_OK, "%s", wf_error());
    cr_assert(r.solved && r.wrong <= 0.01 && r.step < 3000 && r.step % 100 == 0);
}

/* --- the regulariser -------------------------------------------------------------------------- */

/* Loss + omega along the direction of one step of descent, at `at` of it; the size of the gradient
 * in *norm. */
static double objective(bool full, double at, double *norm) {
    enum { BATCH = 3, LAG = 10 };
    task_data d;
    wf_source *source;
    cr_assert_eq(task_open(&source, &d, task_of("order"), LAG, 2, BATCH), WF_OK);
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    const network_opt o = {.hidden = 5, .batch = BATCH, .dtype = WF_F64, .lr = 1, .omega = 1,
                           .optimizer = OPTIMIZER_SGD, .full = full};
    wf_tensor out[NETWORK_OUTPUTS];
    wf_program *program;
    cr_assert_eq(network_build(g, p, d.task, d.steps, o, true, out), 4);
    cr_assert_eq(wf_compile(&program, g, out, 4, (wf_compile_opt){.threads = 1}), WF_OK, "%s",
                 wf_error());
    float *x = calloc((size_t)wf_shape_count(&(wf_shape){3, {d.steps, BATCH, 8}}), sizeof *x);
    void *const in[] = {x, wf_data_named(program, "length", NULL),
                        wf_data_named(program, "target", NULL)};
    cr_assert_eq(wf_source_batch(source, (int64_t[]){0, 1, 2}, BATCH, in), WF_OK);
    double *to = wf_data_named(program, "x", NULL);
    for (int64_t i = 0; i < d.steps * BATCH * 8; i++) to[i] = (double)x[i];

    double *before[8], *w[8];
    int64_t n[8];
    const size_t count = wf_params_count(p);
    cr_assert_leq(count, WF_COUNT(w));
    for (size_t i = 0; i < count; i++) {
        const wf_param_info info = wf_params_at(p, i);
        n[i] = wf_shape_count(&info.shape);
        w[i] = info.data;
        before[i] = malloc((size_t)n[i] * sizeof(double));
        memcpy(before[i], w[i], (size_t)n[i] * sizeof(double));
    }
    cr_assert_eq(wf_run(program), WF_OK);
    *norm = *(double *)wf_data(program, out[2]);
    for (size_t i = 0; i < count; i++)
        for (int64_t k = 0; k < n[i]; k++)
            w[i][k] = before[i][k] + at * (before[i][k] - w[i][k]) / *norm;
    cr_assert_eq(wf_run(program), WF_OK);
    const double value = *(double *)wf_data(program, out[1]) + *(double *)wf_data(program, out[3]);
    cr_assert_gt(*(double *)wf_data(program, out[3]), 0);
    for (size_t i = 0; i < count; i++) free(before[i]);
    free(x);
    wf_program_free(program);
    wf_graph_free(g);
    wf_params_free(p);
    wf_source_close(source);
    return value;
}

/* The regulariser is made of gradients. Descent along its own gradient changes it by the size of
 * this gradient; what the paper takes for the gradient, with states and errors held, is another
 * direction. */
Test(model_lstm_tasks, regulariser_has_the_gradient_of_a_gradient) {
    const double e = 1e-5;
    double full, held;
    const double slope = (objective(true, e, &full) - objective(true, -e, &full)) / (2 * e);
    cr_assert(fabs(slope - full) <= 1e-6 * full, "slope %.10g, gradient %.10g", slope, full);
    const double other = (objective(false, e, &held) - objective(false, -e, &held)) / (2 * e);
    cr_assert(fabs(other - held) > 1e-3 * held, "slope %.10g, gradient %.10g", other, held);
}
