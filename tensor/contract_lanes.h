/* Contractions without a matrix product in them: both operands depend on one output loop along
 * which they are contiguous (the lane), and no columns or no rows are left beside it. Depthwise
 * convolution in all directions is the case that matters. One output position at a time, all its
 * terms, lanes in vectors. */
#ifndef WEFT_CONTRACT_LANES_H
#define WEFT_CONTRACT_LANES_H

#include "tensor/contract_plan.h"

typedef struct wf_lanes {
    int loop;                /* the lane */
    int64_t n;               /* its extent */
    int64_t block, n_blocks; /* lanes of a unit of work; units of a position */
    int64_t positions;
    int64_t floats;          /* scratch: operands that are not contiguous along the lane */
} wf_lanes;

/* True if contraction p should be computed so. */
bool wf_lanes_make(wf_lanes *l, const wf_contract_plan *p);
int64_t wf_lanes_pieces(const wf_lanes *l);
void wf_lanes_run(const wf_lanes *l, const wf_call *call, int64_t first, int64_t last,
                  void *scratch);

#endif
