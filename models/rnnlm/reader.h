/* What a model makes of a text: its cost, and texts of its own. */
#ifndef RNNLM_READER_H
#define RNNLM_READER_H

#include "models/rnnlm/corpus.h"
#include "models/rnnlm/model.h"

/* Reads symbols one after another, `steps` a run, with a carried state of its own. */
typedef struct reader {
    wf_params *params; /* borrowed */
    wf_program *program;
    int64_t steps;
    int32_t *x, *y;      /* (steps) */
    const float *loss;   /* mean over the steps with y >= 0 */
    const float *logits; /* (steps, symbols) */
    int64_t symbols;
} reader;

/* Closing is due even after an error. */
wf_status reader_open(reader *r, wf_params *p, const rnnlm *m, int64_t steps, wf_compile_opt o);
void reader_close(reader *r);

/* Mean cost in nats of the symbols of a part of the text, each after all of the part before it; the
 * first one after the last of the part before. */
wf_status reader_cost(reader *r, const corpus *c, int part, double *nats);

/* Writes a text of `length` symbols that goes on from the end of a paragraph: each drawn from
 * softmax(logits / temperature); temperature 0: the likeliest. A function of the seed. */
wf_status reader_sample(reader *r, const corpus *c, int64_t length, double temperature,
                        uint64_t seed, FILE *f);

#endif
