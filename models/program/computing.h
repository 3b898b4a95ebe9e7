/* How programs are compiled, the same for every program: rows of its table of options, and what
 * they mean. */
#ifndef MODELS_PROGRAM_COMPUTING_H
#define MODELS_PROGRAM_COMPUTING_H

#include "models/program/machine.h"
#include "models/program/options.h"

/* at: offset of an int64_t in the program's settings. */
#define OPTION_THREADS(at)                                                                         \
    {"threads", "N", OPTION_INTEGER, (at), .least = 0, .most = 1024, .fallback = "0",              \
     .help = "worker threads; 0: one a core; results do not depend on it"}

/* at: offset of a const char * in the program's settings. */
#define OPTION_PRECISION(at)                                                                       \
    {"precision", "MODE", OPTION_CHOICE, (at), .fallback = "auto",                                 \
     .choices = "auto|f32|f32x3|bf16",                                                             \
     .help = "arithmetic of the contractions; bf16: about half the memory; auto: f32x3 or f32"}

/* What --threads and --precision ask for (NULL: auto), and no more memory than the machine has. */
static inline wf_compile_opt computing_options(int64_t threads, const char *precision) {
    const int64_t available = machine_memory().available;
    wf_compile_opt o = {.threads = (int)threads,
                        .most_bytes = available < INT64_MAX ? (size_t)available : 0};
    if (precision) wf_precision_parse(&o.precision, precision);
    return o;
}

#endif
