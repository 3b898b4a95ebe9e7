/* A program as C text. Part of compiler/compiler.h. */
#ifndef WEFT_COMPILER_EXPORT_H
#define WEFT_COMPILER_EXPORT_H

#include "compiler/compiler.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wf_export_opt {
    const char *name; /* begins every name of the file; a C identifier. NULL: "net" */
    bool no_weights;  /* leaves start as zeros; else with the values that they have now */
} wf_export_opt;

/* Writes the program as one file of C11 (which is C++ too) that needs no library but libm:
 *
 *   cc -O2 net.c -lm
 *
 * It has what wf_run does, forward pass or training step, as `void net_run(void)` for one thread,
 * and an array for every input, output and leaf, `net_x` for the one named "x" (characters that C
 * does not know become _, outputs without a name are net_output0, ...), with the number of its
 * elements as net_x_size. The results are those of wf_run up to rounding: sums are associated in
 * another order, denormals stay. Values between lie in static arrays; there is no other state, so
 * one run at a time. Defining NET_DECLARATIONS (the name in capitals) before including the file
 * makes it its own header.
 *
 * Errors   WF_UNSUPPORTED for an operation that has no C text - one of the user's own, a conversion
 *          from or to f16, or between f64 and bf16 -, with its name and scope; WF_ARGUMENT for a
 *          name that is no identifier; WF_MEMORY; WF_OUTPUT if f fails. But for the last, nothing
 *          is written then. */
WF_API wf_status wf_export_c(const wf_program *p, FILE *f, wf_export_opt o);

#ifdef __cplusplus
}
#endif
#endif
