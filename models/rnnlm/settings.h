/* The options of rnnlm, its commands, and what they are about: a text and a model. */
#ifndef RNNLM_SETTINGS_H
#define RNNLM_SETTINGS_H

#include "models/program/options.h"
#include "models/rnnlm/corpus.h"
#include "models/rnnlm/model.h"

typedef struct settings {
    const char *text, *unit, *model, *out, *resume, *weights, *profile;
    int64_t least, hidden, projection, layers, steps, batch, epochs, seed, length, threads;
    const char *precision;
    double lr, clip, dropout, temperature;
} settings;

extern const program rnnlm_program;

exit_code rnnlm_command_train(const void *s);
exit_code rnnlm_command_compare(const void *s);
exit_code rnnlm_command_sample(const void *s);

/* The text, and the model for it. Closing the corpus is due even after an error. */
wf_status rnnlm_open_text(const settings *s, corpus *c, rnnlm *m);

/* The least possible mean cost of a part in nats, NaN where it is not known. */
double rnnlm_least_cost(const settings *s, const corpus *c, int part);

#endif
