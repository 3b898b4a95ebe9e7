/* Random graphs with real data: everything is a function of the seed.
 *
 * A graph grows by motifs: operations of the table by their own samples, whose leaves are replaced
 * by earlier values made to fit; views, reductions, contractions, convolutions, recurrences,
 * normalisation, attention, random masks; then gradients, assignments and outputs. Each value is
 * evaluated at once, and only values that are finite, of moderate size and well conditioned are
 * built upon, so that a wrong answer is seen at the end. */
#ifndef WEFT_TESTS_FUZZ_GRAPH_H
#define WEFT_TESTS_FUZZ_GRAPH_H

#include "tests/fuzz/noisy.h"

enum { FUZZ_LEAVES = 160, FUZZ_POOL = 160, FUZZ_OUTPUTS = 8, FUZZ_TRACKS = 2 };

typedef struct fuzz_leaf {
    wf_tensor t;
    wf_leaf_kind kind;
    void *data, *first; /* owned: its buffer; its content at the start */
    size_t bytes;
    bool assigned;
} fuzz_leaf;

typedef struct fuzz_graph {
    wf_sampler base;    /* first: the table's samples get a pointer to it */
    uint64_t state;
    wf_dtype real;
    wf_graph *g;
    noisy values;       /* of all nodes, for the leaves' first content */
    wf_tensor pool[FUZZ_POOL];
    int n_pool;
    fuzz_leaf leaf[FUZZ_LEAVES];
    int n_leaf;
    wf_tensor out[FUZZ_OUTPUTS];
    int n_out;
    wf_tensor assign[FUZZ_LEAVES];
    int n_assign;
    const wf_shape *force; /* samples are of this shape, whatever they ask for */
    bool broadcast;        /* their later operands may be of shapes that broadcast to it */
    int forced;            /* operands made so far */
} fuzz_graph;

void fuzz_make(fuzz_graph *f, uint64_t seed);
void fuzz_free(fuzz_graph *f);
void fuzz_restore(fuzz_graph *f);                     /* the leaves' first content */
const void *fuzz_bind(void *graph, uint32_t id);      /* a wf_bind_fn */

/* --- for motifs ------------------------------------------------------------------------------- */

uint32_t fuzz_draw(fuzz_graph *f, uint32_t below);
static inline bool fuzz_chance(fuzz_graph *f, uint32_t percent) {
    return fuzz_draw(f, 100) < percent;
}
int64_t fuzz_extent(fuzz_graph *f);                   /* 1 .. 40, odd ones too */
wf_tensor fuzz_leaf_new(fuzz_graph *f, wf_dtype t, wf_shape shape, double lo, double hi);
wf_tensor fuzz_any(fuzz_graph *f, wf_dtype t);        /* of the pool; poison if there is none */
/* x seen as `shape`: reshaped, cut, repeated; of the same dtype. */
wf_tensor fuzz_fit(fuzz_graph *f, wf_tensor x, wf_shape shape);
/* An operand of this shape and within [lo, hi]: an earlier value, or a leaf. */
wf_tensor fuzz_operand(fuzz_graph *f, wf_shape shape, double lo, double hi);
wf_tensor fuzz_index(fuzz_graph *f, wf_dtype t, wf_shape shape, int64_t below);
wf_tensor fuzz_bool(fuzz_graph *f, wf_shape shape);
/* Puts a value into the pool if it is fit for more; poison is a bug of the generator. */
void fuzz_admit(fuzz_graph *f, wf_tensor t);

void fuzz_motif(fuzz_graph *f);                       /* motifs.c: one of them */
void fuzz_gradients(fuzz_graph *f);

#endif
