/* The tasks as tables, and batches of them; see tasks.h. */
#include "models/lstm_tasks/tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/moving_mnist/random.h"

static int64_t tenth_more(int64_t lag) { return lag + lag / 10; }

/* --- adding: inputs (number, mark) ------------------------------------------------------------ */

static void make_adding(sequence *s, int64_t lag, int64_t steps, uint64_t seed, uint64_t number) {
    random_stream r = random_open(seed, number);
    s->length = lag + random_below(&r, steps - lag + 1);
    for (int64_t t = 0; t < s->length; t++) s->x[2 * t] = (float)random_unit(&r);
    const int64_t first = random_below(&r, lag / 10);
    const int64_t second = lag / 10 + random_below(&r, lag / 2 - lag / 10);
    s->x[2 * first + 1] = s->x[2 * second + 1] = 1;
    s->half_sum = (s->x[2 * first] + s->x[2 * second]) / 2;
}

static bool adding_is_right(const sequence *s, const float *y, int64_t stride) {
    return fabsf(y[0] - s->half_sum) < 0.04f;
}

static wf_tensor adding_target(wf_graph *g, int64_t steps, int64_t batch, wf_dtype dtype) {
    return wf_input(g, "target", dtype, WF_SHAPE(batch, 1));
}

/* --- temporal order: inputs E, B, a, b, c, d, X, Y -------------------------------------------- */

static void make_order(sequence *s, int64_t lag, int64_t steps, uint64_t seed, uint64_t number) {
    enum { START, END, FIRST_OF_FOUR, X = 6 };
    random_stream r = random_open(seed, number);
    s->length = lag + random_below(&r, steps - lag + 1);
    const int64_t first = lag / 10 + random_below(&r, lag / 10);
    const int64_t second = 4 * lag / 10 + random_below(&r, lag / 10);
    s->order = 0;
    for (int64_t t = 0; t < s->length; t++) {
        int64_t symbol = FIRST_OF_FOUR + random_below(&r, 4);
        if (t == 0) symbol = START;
        if (t == s->length - 1) symbol = END;
        if (t == first || t == second) {
            const int64_t bit = random_below(&r, 2);
            s->order = 2 * s->order + (int32_t)bit;
            symbol = X + bit;
        }
        s->x[8 * t + symbol] = 1;
    }
}

static bool order_is_right(const sequence *s, const float *y, int64_t stride) {
    int best = 0;
    for (int k = 1; k < 4; k++)
        if (y[k] > y[best]) best = k;
    return best == s->order && isfinite(y[best]);
}

static wf_tensor order_target(wf_graph *g, int64_t steps, int64_t batch, wf_dtype dtype) {
    return wf_input(g, "target", WF_I32, WF_SHAPE(batch));
}

/* --- embedded Reber grammar: inputs B, T, P, S, X, V, E --------------------------------------- */

/* The arcs of the grammar: from each of six states two symbols, each to a state; the last emits E.
 * Source: Reber 1967; figure 3 of the LSTM paper. */
enum { B, T, P, S, X, V, E };
typedef struct arc {
    uint8_t symbol, to;
} arc;
static const arc arcs[6][2] = {
    {{T, 1}, {P, 2}}, {{S, 1}, {X, 3}}, {{T, 2}, {V, 4}},
    {{X, 2}, {S, 5}}, {{P, 3}, {V, 5}}, {{E, 6}, {E, 6}},
};

/* Symbol `symbol` at step t, after which those of `legal` may follow. */
static void put(sequence *s, int64_t t, int symbol, int legal) {
    s->x[REBER_SYMBOLS * t + symbol] = 1;
    if (t > 0) s->next[t - 1] = symbol;
    s->legal[t] = (uint8_t)legal;
}

static int symbols_from(int state) {
    return 1 << arcs[state][0].symbol | 1 << arcs[state][1].symbol;
}

/* A string of the grammar into symbol and, after each, the state; its length, or 0 if it is longer
 * than `most`. Arcs to the end are not taken while it would be shorter than `least`. */
static int64_t walk(random_stream *r, uint8_t *symbol, uint8_t *state, int64_t least,
                    int64_t most) {
    symbol[0] = B;
    state[0] = 0;
    for (int64_t n = 1; n < most; n++) {
        const arc *const from = arcs[state[n - 1]];
        arc a = from[random_below(r, 2)];
        if (a.to == 5 && n + 2 < least) a = from[0];
        symbol[n] = a.symbol;
        state[n] = a.to;
        if (a.to == 6) return n + 1;
    }
    return 0;
}

/* At most so many symbols more than asked for, and those around: B, T or P, string, T or P. */
enum { REBER_SLACK = 25, REBER_AROUND = 3 };

static int64_t reber_steps(int64_t lag) { return lag + REBER_SLACK + REBER_AROUND; }

static void make_reber(sequence *s, int64_t lag, int64_t steps, uint64_t seed, uint64_t number) {
    random_stream r = random_open(seed, number);
    const int outer = random_below(&r, 2) ? P : T;
    uint8_t symbol[MOST_STEPS], state[MOST_STEPS];
    int64_t n = 0;
    while (!n) n = walk(&r, symbol, state, lag, steps - REBER_AROUND);
    put(s, 0, B, 1 << T | 1 << P);
    put(s, 1, outer, 1 << B);
    for (int64_t k = 0; k < n; k++)
        put(s, k + 2, symbol[k], k < n - 1 ? symbols_from(state[k]) : 1 << outer);
    put(s, n + 2, outer, 1 << E);
    s->next[n + 2] = E;
    s->length = n + REBER_AROUND;
}

static bool reber_is_right(const sequence *s, const float *y, int64_t stride) {
    for (int64_t t = 0; t < s->length; t++, y += stride) {
        float least = INFINITY, most = -INFINITY;
        for (int k = 0; k < REBER_SYMBOLS; k++) {
            if (s->legal[t] >> k & 1) least = fminf(least, y[k]);
            else most = fmaxf(most, y[k]);
        }
        if (!(least > most)) return false;
    }
    return true;
}

static wf_tensor reber_target(wf_graph *g, int64_t steps, int64_t batch, wf_dtype dtype) {
    return wf_input(g, "target", WF_I32, WF_SHAPE(steps, batch));
}

static wf_tensor reber_loss(wf_tensor y, wf_tensor next) {
    return wf_nn_cross_entropy_with(
        y, next, (wf_cross_entropy_opt){.ignore = true, .ignore_index = -1});
}

/* --- the table -------------------------------------------------------------------------------- */

const task all_tasks[3] = {
    {"reber", REBER_SYMBOLS, REBER_SYMBOLS, true, 5, reber_steps, make_reber, reber_is_right,
     reber_target, reber_loss},
    {"adding", 2, 1, false, 10, tenth_more, make_adding, adding_is_right, adding_target,
     wf_nn_mse},
    {"order", 8, 4, false, 10, tenth_more, make_order, order_is_right, order_target,
     wf_nn_cross_entropy},
};

const task *task_of(const char *name) {
    for (size_t i = 0; i < WF_COUNT(all_tasks); i++)
        if (!strcmp(all_tasks[i].name, name)) return &all_tasks[i];
    return NULL;
}

/* --- batches ---------------------------------------------------------------------------------- */

static bool open_sequence(sequence *s, const task_data *d) {
    s->x = malloc((size_t)(d->steps * d->task->inputs) * sizeof *s->x);
    s->next = malloc((size_t)d->steps * sizeof *s->next);
    s->legal = malloc((size_t)d->steps);
    return s->x && s->next && s->legal;
}

static void close_sequence(sequence *s) {
    free(s->x);
    free(s->next);
    free(s->legal);
}

static void make_sequence(sequence *s, const task_data *d, int64_t number) {
    memset(s->x, 0, (size_t)(d->steps * d->task->inputs) * sizeof *s->x);
    for (int64_t t = 0; t < d->steps; t++) s->next[t] = -1;
    d->task->make(s, d->lag, d->steps, d->seed, (uint64_t)number);
}

/* out: x (T, n, inputs), length (n), target. */
static wf_status fill(void *user, const int64_t *index, int64_t n, void *const *out) {
    const task_data *d = user;
    const task *k = d->task;
    float *const x = out[0];
    int32_t *const length = out[1];
    sequence s = {0};
    const bool ok = open_sequence(&s, d);
    for (int64_t i = 0; i < n && ok; i++) {
        make_sequence(&s, d, index[i]);
        length[i] = (int32_t)s.length;
        for (int64_t t = 0; t < d->steps; t++)
            memcpy(x + (t * n + i) * k->inputs, s.x + t * k->inputs,
                   (size_t)k->inputs * sizeof *x);
        if (k->make == make_adding) ((float *)out[2])[i] = s.half_sum;
        if (k->make == make_order) ((int32_t *)out[2])[i] = s.order;
        for (int64_t t = 0; t < d->steps && k->every_step; t++)
            ((int32_t *)out[2])[t * n + i] = s.next[t];
    }
    close_sequence(&s);
    return ok ? WF_OK : wf_fail(WF_MEMORY, "no memory for a sequence of %lld steps",
                                (long long)d->steps);
}

wf_status task_open(wf_source **out, task_data *d, const task *k, int64_t lag, uint64_t seed,
                    int64_t count) {
    *out = NULL;
    if (lag < k->least_lag || k->steps(lag) > MOST_STEPS)
        return wf_fail(WF_ARGUMENT, "lag %lld: task %s needs at least %d, and sequences of at most "
                       "%d steps", (long long)lag, k->name, k->least_lag, MOST_STEPS);
    *d = (task_data){.task = k, .lag = lag, .steps = k->steps(lag), .seed = seed};
    const wf_source_part part[] = {
        {.name = "x", .dtype = WF_F32, .shape = WF_SHAPE(d->steps, k->inputs)},
        {.name = "length", .dtype = WF_I32, .shape = WF_SCALAR},
        {.name = "target", .dtype = k->make == make_adding ? WF_F32 : WF_I32,
         .shape = k->every_step ? WF_SHAPE(d->steps) : WF_SCALAR},
    };
    return wf_source_function(out, count, part, WF_COUNT(part), fill, d);
}

wf_status task_score(const task_data *d, int64_t first, int64_t n, const float *y,
                     int64_t *right) {
    sequence s = {0};
    const bool ok = open_sequence(&s, d);
    for (int64_t i = 0; i < n && ok; i++) {
        make_sequence(&s, d, first + i);
        *right += d->task->is_right(&s, y + i * d->task->outputs, n * d->task->outputs);
    }
    close_sequence(&s);
    return ok ? WF_OK : wf_fail(WF_MEMORY, "no memory for a sequence");
}
