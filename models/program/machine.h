/* How much memory this process can have: of the machine, of the control groups it runs in (version
 * 1 and 2, with all their parents), and of its own limits (ulimit -v, -d). */
#ifndef MODELS_PROGRAM_MACHINE_H
#define MODELS_PROGRAM_MACHINE_H

#include "nn/nn.h"

typedef struct memory_state {
    int64_t total;     /* bytes of the machine; 0: unknown */
    int64_t available; /* that can be had now, the least of all limits; INT64_MAX: unknown */
    const char *limit; /* which of them: "memory of the machine", "control group", "ulimit -v" */
} memory_state;

memory_state machine_memory(void);

/* The same with the files of another root for /proc and /sys: for tests. */
memory_state machine_memory_at(const char *root);

#endif
