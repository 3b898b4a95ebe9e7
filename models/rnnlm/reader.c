/* See reader.h. The state is a stream called "reader", one sequence wide, so that reading in the
 * middle of a training leaves the states of the training alone. */
#include "models/rnnlm/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/moving_mnist/random.h"

wf_status reader_open(reader *r, wf_params *p, const rnnlm *m, int64_t steps, wf_compile_opt o) {
    *r = (reader){.params = p, .steps = steps, .symbols = m->symbols};
    wf_graph *g = wf_graph_new();
    if (!g) return wf_fail(WF_MEMORY, "no memory for a graph");
    const wf_tensor x = wf_input(g, "x", WF_I32, WF_SHAPE(steps, 1));
    const wf_tensor y = wf_input(g, "y", WF_I32, WF_SHAPE(steps, 1));
    const wf_tensor logits = rnnlm_logits(p, x, m, "reader", false);
    const wf_tensor loss = wf_nn_cross_entropy_with(
        logits, y, (wf_cross_entropy_opt){.ignore = true, .ignore_index = -1});
    const wf_status status = wf_compile(&r->program, g, (wf_tensor[]){loss, logits}, 2, o);
    if (!status) {
        r->x = wf_data(r->program, x);
        r->y = wf_data(r->program, y);
        r->loss = wf_data(r->program, loss);
        r->logits = wf_data(r->program, logits);
    }
    wf_graph_free(g);
    return status;
}

void reader_close(reader *r) { wf_program_free(r->program); }

static void forget(const reader *r) { wf_params_fill(r->params, "*.carry_reader_*", 0); }

wf_status reader_cost(reader *r, const corpus *c, int part, double *nats) {
    const int64_t from = c->first[part] > 0 ? c->first[part] : 1, end = c->first[part + 1];
    double sum = 0;
    forget(r);
    for (int64_t i = from; i < end; i += r->steps) {
        const int64_t n = end - i < r->steps ? end - i : r->steps;
        for (int64_t t = 0; t < r->steps; t++) {
            r->x[t] = t < n ? c->id[i + t - 1] : 0;
            r->y[t] = t < n ? c->id[i + t] : -1;
        }
        const wf_status status = wf_run(r->program);
        if (status) return status;
        sum += *r->loss * (double)n;
    }
    *nats = sum / (double)(end - from);
    return WF_OK;
}

/* --- sampling --------------------------------------------------------------------------------- */

/* <unk> is a gap in what the model knows and is never drawn. */
static int32_t draw(const reader *r, double temperature, double u) {
    int32_t best = 1;
    double sum = 0;
    for (int32_t k = 2; k < r->symbols; k++)
        if (r->logits[k] > r->logits[best]) best = k;
    if (temperature == 0) return best;
    for (int32_t k = 1; k < r->symbols; k++)
        sum += exp((r->logits[k] - r->logits[best]) / temperature);
    double left = u * sum;
    for (int32_t k = 1; k < r->symbols; k++) {
        left -= exp((r->logits[k] - r->logits[best]) / temperature);
        if (left < 0) return k;
    }
    return best;
}

wf_status reader_sample(reader *r, const corpus *c, int64_t length, double temperature,
                        uint64_t seed, FILE *f) {
    random_stream random = random_open(seed, 0);
    const int32_t line = corpus_find(c, "\n", 1);
    int32_t before = line;
    if (r->steps != 1) return wf_fail(WF_ARGUMENT, "sampling reads one symbol a run");
    if (r->symbols < 2) return wf_fail(WF_INPUT, "the vocabulary is empty");
    forget(r);
    r->y[0] = -1;
    for (int64_t i = -2; i < length; i++) {
        r->x[0] = before;
        const wf_status status = wf_run(r->program);
        if (status) return status;
        if (i < 0) continue;
        const int32_t symbol = draw(r, temperature, random_unit(&random));
        corpus_write(c, symbol, before, f);
        before = symbol;
    }
    return WF_OK;
}
