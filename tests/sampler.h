/* Leaves with random content for the enumerating tests: the sampler of tensor/op.h over real
 * buffers. All randomness is a function of the seed. */
#ifndef WEFT_TESTS_SAMPLER_H
#define WEFT_TESTS_SAMPLER_H

#include "tensor/graph.h"

enum { max_leaves = 64 };

typedef struct test_sampler {
    wf_sampler base; /* first: the callbacks get a pointer to it */
    uint64_t state;
    int n;
    void *data[max_leaves];      /* owned */
    wf_tensor real[max_leaves];  /* leaves made by make_real */
    int n_real;
} test_sampler;

void sampler_init(test_sampler *s, wf_dtype real, uint64_t seed);
void sampler_free(test_sampler *s); /* the graph too */

/* Uniform in [0, 1), advances the state. */
double sampler_next(uint64_t *state);

#endif
