/* One model at many sizes: a bounded set of programs, compiled when a size is first asked for.
 * Part of compiler/compiler.h. */
#ifndef WEFT_COMPILER_FUNCTION_H
#define WEFT_COMPILER_FUNCTION_H

#include "compiler/compiler.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Programs have fixed shapes. A wf_function keeps one for each key - the extents that vary, for
 * example WF_SHAPE(batch) or WF_SHAPE(steps, batch) - and frees the one that was used longest ago
 * when there would be more than max_programs. */
typedef struct wf_function wf_function;

/* Writes the model for `key` into the empty graph g and at most `max` results into outputs; returns
 * how many. A mistake is left in the graph; a negative number means wf_error() has the reason. */
typedef int wf_function_build(void *user, wf_graph *g, wf_shape key, wf_tensor *outputs, int max);

typedef struct wf_function_opt {
    int max_programs; /* 0: 8 */
    wf_compile_opt compile;
} wf_function_opt;

/* Errors: WF_ARGUMENT, WF_MEMORY. Owner: the caller frees *out. One thread at a time. */
WF_API wf_status wf_function_new(wf_function **out, wf_function_build *build, void *user,
                                 wf_function_opt o);
WF_API void wf_function_free(wf_function *f); /* NULL is fine */

/* The program for `key`. Owner: f; valid until max_programs other keys have been asked for.
 * Errors: those of the model and of wf_compile; nothing is kept then. */
WF_API wf_status wf_function_program(wf_function *f, wf_shape key, wf_program **out);

/* Writes the inputs, runs the program for `key` and reads the outputs, all by name, sizes checked.
 * Names of outputs are given by wf_name. */
typedef struct wf_argument {
    const char *name;
    void *data; /* not written to if it is an input */
    size_t bytes;
} wf_argument;
WF_API wf_status wf_function_run(wf_function *f, wf_shape key, const wf_argument *in, int n_in,
                                 const wf_argument *out, int n_out);

typedef struct wf_function_info {
    int programs;
    uint64_t found, compiled, dropped; /* since wf_function_new */
} wf_function_info;
WF_API wf_function_info wf_function_describe(const wf_function *f);

#ifdef __cplusplus
}
#endif
#endif
