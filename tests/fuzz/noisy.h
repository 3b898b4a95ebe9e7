/* The reference evaluators, and how far rounding may carry a program from them.
 *
 * Track 0 is what `eval` gives. In the other tracks operands and results of whatever sums in
 * floating point are off by a few units of rounding, at random, as they might be after another
 * order of summation. Where no sum is upstream the tracks are the same memory, and a program must
 * give the very value; elsewhere it may be off by a multiple of what the tracks differ. So
 * cancellation and ill-conditioned operations explain themselves, and a wrong answer does not. */
#ifndef WEFT_TESTS_FUZZ_NOISY_H
#define WEFT_TESTS_FUZZ_NOISY_H

#include "tensor/graph.h"

typedef struct noisy {
    const wf_graph *g;
    int tracks;
    uint64_t state;
    double units;     /* of rounding that operands and results are off; set by noisy_init */
    wf_bind_fn *bind; /* data of an input */
    void *user;
    uint32_t n, cap;  /* nodes 1 .. n - 1 were visited */
    void **value;     /* (cap, tracks) owned; NULL: not needed */
} noisy;

void noisy_init(noisy *v, const wf_graph *g, int tracks, uint64_t seed, wf_bind_fn *bind,
                void *user);
void noisy_free(noisy *v);

/* Evaluates the nodes that came since the last call; of them only those of needed[id] unless it is
 * NULL. Leaves are read now. */
void noisy_extend(noisy *v, const bool *needed);

static inline const void *noisy_value(const noisy *v, uint32_t id, int track) {
    return v->value[(size_t)id * (size_t)v->tracks + (size_t)track];
}

/* The first element of `got`, dense and of node id's type, that rounding does not explain; -1 if
 * there is none. */
int64_t noisy_differs(const noisy *v, uint32_t id, const void *got);

/* Largest magnitude, infinite if an element is not finite; largest difference of the tracks. */
double noisy_most(const noisy *v, uint32_t id);
double noisy_spread(const noisy *v, uint32_t id);

#endif
