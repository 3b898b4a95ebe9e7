/* The terms of a contraction one by one: for an output element, the sum loops of a source in order,
 * as runs of the innermost one in which every term counts. What the reference evaluation and the
 * lane kernels share. */
#ifndef WEFT_CONTRACT_TERMS_H
#define WEFT_CONTRACT_TERMS_H

#include "tensor/contract.h"

enum { WF_TERM_AXES = 2 * WF_MAX_RANK + WF_CONTRACT_GUARDS };

/* One relation, ready to be stepped. */
typedef struct wf_term_axis {
    int64_t coef[WF_CONTRACT_LOOPS];
    int64_t offset, div, extent, stride;
    int side; /* 0: axis of A, 1: of B, 2: guard */
} wf_term_axis;

typedef struct wf_terms {
    const wf_contract_attr *c;
    const wf_contract_source *s;
    int n_axes, n_sum;
    bool empty; /* a sum loop has no steps */
    wf_term_axis axis[WF_TERM_AXES];
    int64_t sum[WF_CONTRACT_SUMS]; /* extents; the last one is the innermost loop's */
    int loop[WF_CONTRACT_SUMS];    /* their numbers */
} wf_terms;

/* n terms: A at offset a, a + step_a, ..; B likewise. Offsets in elements. */
typedef void wf_term_run(void *user, int64_t a, int64_t step_a, int64_t b, int64_t step_b,
                         int64_t n);

/* Source i of c, over in[0] = A and in[1] = B. */
void wf_terms_prepare(wf_terms *e, const wf_contract_attr *c, int i, const wf_array *in);

/* All runs of output element o, given as values of the output loops. */
void wf_terms_each(const wf_terms *e, const int64_t *o, wf_term_run *run, void *user);

#endif
