/* Checkpoints: everything that a training run needs to go on as if it had never stopped.
 *
 * A folder holds two generations, checkpoint.safetensors and the one before it,
 * checkpoint.1.safetensors. A file has every buffer of a wf_params under the parameter's own name
 * and in the library's layout (parameters, running statistics, optimiser state, counters of random
 * numbers), and the caller's own values beside them. Equal states give equal bytes: there is no
 * clock, host or path in it. wf_params_save writes what other programs read; this is for resuming.
 *
 * Invariants
 *   - A file is written aside, fsynced, and renamed; then the folder is fsynced. Whenever the
 *     process dies, one of the two names holds a whole generation, once there was one.
 *   - A failed save is an error, and both generations are as they were, or one name further.
 *   - Nothing is loaded unless all of it is right: each tensor has a CRC-32 in the file's metadata,
 *     and the list of names, types, shapes and CRCs has one too. */
#ifndef WEFT_CHECKPOINT_H
#define WEFT_CHECKPOINT_H

#include "compiler/compiler.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WF_CHECKPOINT_FILE "checkpoint.safetensors"
#define WF_CHECKPOINT_BEFORE "checkpoint.1.safetensors"

typedef struct wf_params wf_params; /* nn.h */

/* A value of the caller's that is saved and loaded with the parameters: a position in a log, a
 * count. Its name must not be one of a parameter. */
typedef struct wf_state {
    const char *name;
    wf_dtype dtype;
    wf_shape shape;
    void *data; /* dense; read by saving, written by loading */
} wf_state;

/* Saves as the newest generation of folder `dir`.
 * Errors   WF_OUTPUT, WF_MEMORY, WF_ARGUMENT (two equal names). */
WF_API wf_status wf_checkpoint_save(const wf_params *p, const wf_state *state, size_t n,
                                    const char *dir);

/* Loads the newest generation, or the one before it if the newest is missing or damaged. Buffers
 * of p and of `state` must be exactly those of the file; they are untouched unless all is right.
 *   note  (size bytes) "", or one line on which file is damaged and which one was taken
 * Errors   WF_NOT_FOUND if the folder has neither file; otherwise what is wrong with the newest:
 *          WF_INPUT, WF_FORMAT, WF_MEMORY. */
WF_API wf_status wf_checkpoint_load(wf_params *p, const wf_state *state, size_t n, const char *dir,
                                    char *note, size_t size);

/* Removes both generations, so that a new run in the same folder cannot be taken for the old. */
WF_API wf_status wf_checkpoint_remove(const char *dir);

#ifdef __cplusplus
}
#endif
#endif
