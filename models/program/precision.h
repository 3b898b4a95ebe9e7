/* --precision, the same for every program: a row of its table of options, and what it means. */
#ifndef MODELS_PROGRAM_PRECISION_H
#define MODELS_PROGRAM_PRECISION_H

#include "models/program/options.h"
#include "nn/nn.h"

/* at: offset of a const char * in the program's settings. */
#define OPTION_PRECISION(at)                                                                       \
    {"precision", "MODE", OPTION_CHOICE, (at), .fallback = "auto",                                 \
     .choices = "auto|f32|f32x3|bf16",                                                             \
     .help = "arithmetic of the contractions; bf16: about half the memory; auto: f32x3 or f32"}

/* The mode that was chosen; auto where nothing was. */
static inline wf_precision precision_of(const char *choice) {
    wf_precision p = WF_PRECISION_AUTO;
    if (choice) wf_precision_parse(&p, choice);
    return p;
}

#endif
