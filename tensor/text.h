/* The textual form of a graph: written, and read back. For bug reports and golden tests.
 *
 *   %1 f32[8,64] = input "x"
 *   %2 f32[64] = leaf "bias"
 *   %3 f32[8,64] = add %1, %2   # dense
 *   %4 f32[8,32] = slice %3 {axis=1 first=0 n=32} as "left"   # dense
 *   %5 f32[2] = const [0.5,-1e-3]
 *   outputs %4, %5
 *
 * The grammar is in the README. Text, graph and text again are the same bytes, and both graphs
 * compute the same bits. Numbers are written as the shortest decimals that read back exactly. */
#ifndef WEFT_TEXT_H
#define WEFT_TEXT_H

#include <stdio.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wf_write_opt {
    int64_t most; /* constants of more elements: only their hash is written. 0: all are written */
    bool leaves;  /* write the contents of bound leaves too, under the same limit */
} wf_write_opt;

/* Writes every node of the graph, one a line, and which of them are `outputs` (n may be 0). Errors:
 * WF_ARGUMENT; WF_MEMORY; WF_OUTPUT if f fails. */
WF_API wf_status wf_graph_write(const wf_graph *g, const wf_tensor *outputs, int n, FILE *f,
                                wf_write_opt o);

typedef struct wf_parse_opt {
    /* Operations beside the library's, by name, NULL-terminated: descriptors of the caller and C
     * functions (wf_cfunction_op). They stand in quotes in the text. */
    const wf_op *const *ops;
    /* The buffer of a bound leaf (name: "" if it has none), which then outlives the programs made
     * from the graph. NULL, or returning NULL: the leaf has bytes of the graph, zero or as written,
     * which live as long as the graph. */
    void *(*bind)(void *user, const char *name, wf_dtype dtype, wf_shape shape);
    void *user;
    size_t most_bytes; /* of all leaves and constants together; 0: 1 GiB */
    bool stand_in;     /* a constant that is only a hash becomes numbers drawn from it */
} wf_parse_opt;

/* Makes a graph from text[0 .. size). Node ids ascend in the text; they are numbered from 1 in the
 * graph. `outputs` (NULL: not wanted) gets an array of *n outputs, those that the text lists. Any
 * bytes are safe. Errors: WF_FORMAT with line, column and what was expected; WF_MEMORY; *g is NULL
 * then. Owner: the caller, wf_graph_free(*g) and free(*outputs). */
WF_API wf_status wf_graph_parse(wf_graph **g, wf_tensor **outputs, int *n, const char *text,
                                size_t size, wf_parse_opt o);

#ifdef __cplusplus
}
#endif
#endif
