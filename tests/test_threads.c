/* Threads, each with a graph, parameters and a program of its own, do not disturb each other: the
 * same bits as alone, errors of their own, with generated code too. `make tsan` runs these under
 * ThreadSanitizer. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn.h"

enum { THREADS = 3, STEPS = 12, ROUNDS = 3 };

typedef struct work {
    int64_t hidden; /* what tells the models apart */
    float loss;
    wf_status status;
    char error[256];
} work;

static wf_status step_model(work *w, wf_graph *g, wf_params *p) {
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(5, 4, 3));
    wf_tensor h;
    wf_nn_lstm(p, "lstm", x, (wf_lstm_opt){.hidden = w->hidden, .h = &h});
    h = wf_nn_dropout(p, "drop", wf_nn_linear(p, "out", h, (wf_linear_opt){.out = 2}),
                      (wf_dropout_opt){.p = 0.2, .training = true});
    const wf_tensor loss = wf_mean(wf_square(wf_add_scalar(h, -1)), (wf_reduce_opt){0});
    wf_nn_adam(p, wf_name(loss, "loss"), (wf_optimizer_opt){.lr = 0.05});
    float data[60];
    for (int i = 0; i < 60; i++) data[i] = (float)(i % 7) / 7;
    wf_program *program;
    wf_status s = wf_compile(&program, g, &loss, 1, (wf_compile_opt){.threads = 2});
    if (!s) s = wf_write(program, x, data, sizeof data);
    for (int i = 0; i < STEPS && !s; i++) s = wf_run(program);
    if (!s) s = wf_read(program, loss, &w->loss, sizeof w->loss);
    wf_program_free(program);
    return s;
}

static void *train(void *of) {
    work *w = of;
    for (int i = 0; i < ROUNDS && !w->status; i++) {
        wf_graph *g = wf_graph_new();
        wf_params *p = wf_params_new(9);
        w->status = step_model(w, g, p);
        wf_graph_free(g);
        wf_params_free(p);
    }
    if (w->status) snprintf(w->error, sizeof w->error, "%s", wf_error());
    return NULL;
}

static void train_together(void) {
    work alone[THREADS] = {{0}}, together[THREADS] = {{0}};
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) together[i].hidden = 4 + i;
    for (int i = 0; i < THREADS; i++)
        cr_assert(pthread_create(&thread[i], NULL, train, &together[i]) == 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        alone[i].hidden = 4 + i;
        train(&alone[i]);
        cr_assert(!alone[i].status && !together[i].status, "%s%s", alone[i].error,
                  together[i].error);
        cr_assert(memcmp(&alone[i].loss, &together[i].loss, sizeof(float)) == 0,
                  "model %d: %g alone, %g beside others", i, alone[i].loss, together[i].loss);
    }
}

Test(threads, train_side_by_side_with_the_same_bits) {
    train_together();
}

Test(threads, share_generated_code) {
    char folder[] = "/tmp/weft-threads-XXXXXX", command[64];
    cr_assert(mkdtemp(folder));
    setenv("XDG_CACHE_HOME", folder, 1);
    setenv("WF_JIT", "sync", 1);
    train_together();
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(system(command) == 0);
}

static void *make_mistakes(void *of) {
    work *w = of;
    char want[32];
    snprintf(want, sizeof want, "[%d]", (int)w->hidden);
    for (int i = 0; i < 200; i++) {
        wf_graph *g = wf_graph_new();
        wf_add(wf_input(g, "a", WF_F32, WF_SHAPE(w->hidden)),
               wf_input(g, "b", WF_F32, WF_SHAPE(2, 99)));
        if (wf_graph_status(g) != WF_MODEL || !strstr(wf_error(), want)) w->status = WF_INTERNAL;
        wf_graph_free(g);
    }
    return NULL;
}

Test(threads, have_errors_of_their_own) {
    work w[THREADS] = {{0}};
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        w[i].hidden = 4 + i;
        cr_assert(pthread_create(&thread[i], NULL, make_mistakes, &w[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        cr_assert(w[i].status == WF_OK, "thread %d got another's message", i);
    }
}
