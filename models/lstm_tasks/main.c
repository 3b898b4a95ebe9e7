/* lstm_tasks: success rates of recurrent networks on tasks with long lags.
 *
 *   table    the networks on all tasks, as Hochreiter and Schmidhuber 1997
 *   descent  a simple network on the temporal order by gradient descent, with clipped gradients,
 *            and with the regulariser, as figure 7 of Pascanu et al. 2013
 *   learn    one attempt */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "models/lstm_tasks/attempt.h"
#include "models/program/interrupt.h"
#include "models/program/options.h"

typedef struct settings {
    const char *task, *cell, *optimizer, *lags;
    int64_t lag, reber, hidden, batch, steps, every, attempts, seed, threads;
    double lr, clip, omega;
    bool full, profile;
} settings;

/* --- options ---------------------------------------------------------------------------------- */

#define AT(field) .offset = offsetof(settings, field)
#define COUNT(option_name, field, least_value, text, help_text)                                    \
    {option_name, "N", OPTION_INTEGER, AT(field), .least = least_value, .most = 1e9,               \
     .fallback = text, .help = help_text}
#define LAG(text) COUNT("lag", lag, 5, text, "least length of a sequence, of reber's inner string")
#define REAL(option_name, field, text, help_text)                                                  \
    {option_name, "X", OPTION_REAL, AT(field), .least = 0, .most = 1e6, .fallback = text,          \
     .help = help_text}
#define ATTEMPTS COUNT("attempts", attempts, 1, "3", "seeds of each network")
#define STEPS(text) COUNT("steps", steps, 1, text, "of an attempt, at most")
#define EVERY COUNT("every", every, 1, "100", "steps between looks at test sequences")
#define HIDDEN(text) COUNT("hidden", hidden, 2, text, "units")
#define BATCH COUNT("batch", batch, 1, "20", "sequences a step")
#define SEED COUNT("seed", seed, 0, "1", "of the first attempt")
#define THREADS COUNT("threads", threads, 0, "0", "0: as OpenMP would")

static const option table_options[] = {
    COUNT("lag", lag, 10, "60", "least length of a sequence of adding and order"),
    COUNT("reber", reber, 5, "5", "least length of an inner string of reber; 5 is that of all"),
    HIDDEN("32"), BATCH, STEPS("3000"), EVERY, ATTEMPTS, SEED, THREADS,
    REAL("lr", lr, "0.005", "learning rate of Adam"), REAL("clip", clip, "1", "gradient norm"),
};
static const option descent_options[] = {
    {"lags", "N,N,..", OPTION_TEXT, AT(lags), .fallback = "10,20,30", .help = "lengths"},
    HIDDEN("50"), BATCH, STEPS("10000"), EVERY, ATTEMPTS, SEED, THREADS,
    REAL("lr", lr, "0.01", "learning rate"), REAL("clip", clip, "1", "gradient norm"),
    REAL("omega", omega, "2", "weight of the regulariser"),
};
static const option learn_options[] = {
    {"task", "TASK", OPTION_CHOICE, AT(task), .fallback = "adding",
     .choices = "reber|adding|order", .help = "what to learn"},
    {"cell", "CELL", OPTION_CHOICE, AT(cell), .fallback = "lstm",
     .choices = "rnn|lstm97|lstm|lstmp|gru", .help = "the network"},
    {"optimizer", "KIND", OPTION_CHOICE, AT(optimizer), .fallback = "adam",
     .choices = "adam|sgd", .help = "how weights descend"},
    LAG("100"), HIDDEN("32"), BATCH, STEPS("10000"), EVERY, SEED, THREADS,
    REAL("lr", lr, "0.005", "learning rate"), REAL("clip", clip, "1", "gradient norm; 0: none"),
    REAL("omega", omega, "0", "weight of the regulariser (rnn)"),
    {"full", NULL, OPTION_FLAG, AT(full),
     .help = "its gradient also through states and errors, not the direct one of the paper"},
    {"profile", NULL, OPTION_FLAG, AT(profile), .help = "print where a step's time goes"},
};
static const option_group table_group = {"Table", table_options, WF_COUNT(table_options)};
static const option_group descent_group = {"Descent", descent_options, WF_COUNT(descent_options)};
static const option_group learn_group = {"Attempt", learn_options, WF_COUNT(learn_options)};

/* --- attempts --------------------------------------------------------------------------------- */

static bool is_stopped(void *user) { return interrupt_signal() != 0; }

static exit_code stopped_code(void) {
    return interrupt_signal() == 0 ? EXIT_CODE_OK
           : interrupt_signal() == SIGTERM ? EXIT_CODE_TERMINATED : EXIT_CODE_INTERRUPTED;
}

static attempt_opt attempt_of(const settings *s, const task *k, cell c, int64_t lag) {
    return (attempt_opt){
        .task = k, .lag = lag, .seed = (uint64_t)s->seed, .steps = s->steps, .every = s->every,
        .threads = (int)s->threads, .stop = is_stopped,
        .network = {.cell = c, .hidden = s->hidden, .batch = s->batch, .lr = s->lr,
                    .clip = s->clip, .omega = s->omega, .full = s->full}};
}

static const char *outcome(const attempt_result *r) {
    if (r->diverged) return "not finite";
    return r->solved ? "solved" : r->stopped ? "stopped" : "not solved";
}

/* One place of a table: the successes of several seeds, and their mean number of steps. */
static exit_code several(attempt_opt o, const settings *s, const char *column) {
    int64_t solved = 0, steps = 0;
    const double start = report_seconds();
    for (int64_t i = 0; i < s->attempts; i++, o.seed++) {
        attempt_result r;
        const wf_status status = attempt(&o, &r);
        if (status) return report_failure(status);
        if (r.stopped) return stopped_code();
        solved += r.solved;
        steps += r.solved ? r.step : 0;
        report_progress("%-7s lag %-4lld %-8s seed %-3llu %-12s step %6lld  wrong %5.1f %%  "
                        "%.2f ms a step", o.task->name, (long long)o.lag, column,
                        (unsigned long long)o.seed,
                        outcome(&r),
                        (long long)r.step, 100 * r.wrong, 1e3 * r.step_s);
    }
    char text[32] = "-";
    if (solved) snprintf(text, sizeof text, "%lld", (long long)(steps / solved));
    printf("%-8s %5lld  %-8s %4lld of %-4lld %9s %9.1f\n", o.task->name, (long long)o.lag, column,
           (long long)solved, (long long)s->attempts, text, report_seconds() - start);
    fflush(stdout);
    return EXIT_CODE_OK;
}

static void head(void) {
    printf("%-8s %5s  %-8s %12s %9s %9s\n", "task", "lag", "network", "solved", "steps", "seconds");
}

static exit_code command_table(const void *settings_) {
    const settings *s = settings_;
    exit_code code = EXIT_CODE_OK;
    interrupt_watch();
    head();
    for (size_t t = 0; t < WF_COUNT(all_tasks); t++)
        for (int c = 0; c < N_CELLS && !code; c++) {
            const int64_t lag = all_tasks[t].every_step ? s->reber : s->lag;
            code = several(attempt_of(s, &all_tasks[t], (cell)c, lag), s, cell_name[c]);
        }
    return code;
}

static exit_code command_descent(const void *settings_) {
    const settings *s = settings_;
    static const char *const way[] = {"sgd", "sgd-c", "sgd-cr"};
    exit_code code = EXIT_CODE_OK;
    interrupt_watch();
    head();
    for (const char *at = s->lags; *at && !code;) {
        char *end;
        const long lag = strtol(at, &end, 10);
        if (end == at || (*end && *end != ','))
            return report_error(EXIT_CODE_USAGE, "--lags %s: numbers with commas between", s->lags);
        at = *end ? end + 1 : end;
        for (int i = 0; i < 3 && !code; i++) {
            attempt_opt o = attempt_of(s, task_of("order"), CELL_RNN, lag);
            o.network.optimizer = OPTIMIZER_SGD;
            if (i < 1) o.network.clip = 0;
            if (i < 2) o.network.omega = 0;
            code = several(o, s, way[i]);
        }
    }
    return code;
}

static exit_code command_learn(const void *settings_) {
    const settings *s = settings_;
    int c = 0;
    while (strcmp(cell_name[c], s->cell)) c++;
    attempt_opt o = attempt_of(s, task_of(s->task), (cell)c, s->lag);
    if (!strcmp(s->optimizer, "sgd")) o.network.optimizer = OPTIMIZER_SGD;
    if (s->profile) o.profile = stdout;
    interrupt_watch();
    attempt_result r;
    const wf_status status = attempt(&o, &r);
    if (status) return report_failure(status);
    printf("%s after %lld steps: %.1f %% of the test sequences wrong; %.2f ms a step, compiled in "
           "%.2f s\n", outcome(&r),
           (long long)r.step, 100 * r.wrong, 1e3 * r.step_s, r.compile_s);
    return stopped_code();
}

static const command commands[] = {
    {.name = "table",
     .summary = "Prints how often each network learns each task.",
     .groups = {&table_group},
     .examples = "  lstm_tasks table\n"
                 "  lstm_tasks table --lag 100 --steps 20000 --attempts 10\n",
     .run = command_table},
    {.name = "descent",
     .summary = "Prints how often plain, clipped and regularised descent learn the temporal order.",
     .groups = {&descent_group},
     .examples = "  lstm_tasks descent --lags 10,50,100 --steps 100000\n",
     .run = command_descent},
    {.name = "learn",
     .summary = "Learns one task with one network.",
     .groups = {&learn_group},
     .examples = "  lstm_tasks learn --task adding --cell gru --lag 200\n",
     .run = command_learn},
};

static const program lstm_tasks_program = {
    "lstm_tasks", "Success rates of recurrent networks on tasks with long lags.", commands,
    WF_COUNT(commands)};

int main(int argc, char **argv) {
    settings s;
    return program_main(&lstm_tasks_program, argc, argv, &s, sizeof s);
}
