/* See lanes.h. Sample k of the source belongs to batch k / lanes and lane k % lanes. */
#include "models/rnnlm/lanes.h"

static wf_status fill(void *user, const int64_t *index, int64_t n, void *const *out) {
    const lanes *l = user;
    int32_t *x = out[0], *y = out[1];
    for (int64_t i = 0; i < n; i++) {
        const int32_t *from =
            l->id + index[i] % l->count * l->length + index[i] / l->count * l->steps;
        for (int64_t t = 0; t < l->steps; t++) {
            x[t * n + i] = from[t];
            y[t * n + i] = from[t + 1];
        }
    }
    return WF_OK;
}

wf_status lanes_open(lanes *l, const corpus *c, int64_t count, int64_t steps) {
    const int64_t n = c->first[CORPUS_VALID] - 1;
    *l = (lanes){.id = c->id, .count = count, .steps = steps, .length = n / count};
    const int64_t batches = l->length / steps;
    if (batches < 1)
        return wf_fail(WF_INPUT, "the text is too short: %lld symbols to train on are no batch of "
                       "%lld sequences of %lld", (long long)n, (long long)count, (long long)steps);
    const wf_source_part part[] = {{.name = "x", .dtype = WF_I32, .shape = WF_SHAPE(steps)},
                                   {.name = "y", .dtype = WF_I32, .shape = WF_SHAPE(steps)}};
    return wf_source_function(&l->source, batches * count, part, 2, fill, l);
}

void lanes_close(lanes *l) { wf_source_close(l->source); }
