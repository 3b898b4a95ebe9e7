/* Contractions without a matrix product in them: both operands depend on one output loop along
 * which they are contiguous (the lane), and no columns or no rows are left beside it. Depthwise
 * convolution in all directions is the case that matters. In f32 by strips of output positions
 * (contract_strips.c); with bf16 one position at a time, all its terms, lanes in vectors. */
#ifndef WEFT_CONTRACT_LANES_H
#define WEFT_CONTRACT_LANES_H

#include "tensor/contract_plan.h"

typedef struct wf_lanes {
    int loop;                /* the lane */
    int64_t n;               /* its extent */
    int64_t block, n_blocks; /* lanes of a unit of work; units of a position */
    int64_t positions, units;
    int64_t copied;          /* floats of scratch: operands not contiguous along the lane */
    int64_t floats;          /* and all of it */
    bool strips;
    int q;                   /* strips: the loop along one, -1: none */
    int64_t run, runs;       /* positions of a strip; strips along q */
    int64_t others, group;   /* positions but for q; how many of them are summed together */
    bool direct;             /* summed in the output, which is contiguous along the lane */
    int64_t parts;           /* of the terms, summed apart in shared memory and then added up */
    int64_t shared;          /* its floats */
} wf_lanes;

/* True if contraction p should be computed so. */
bool wf_lanes_make(wf_lanes *l, const wf_contract_plan *p);
/* In phase 1 parts are summed, if there are several; all else happens in phase 2. */
int64_t wf_lanes_pieces(const wf_lanes *l, int phase);
void wf_lanes_run(const wf_lanes *l, const wf_call *call, int phase, int64_t first, int64_t last,
                  void *scratch, void *shared);

/* --- contract_strips.c ------------------------------------------------------------------------ */

/* The part of `l` from strips on, and units; false if operands or products are bf16. */
bool wf_strips_make(wf_lanes *l, const wf_call *call);
/* Floats for the sums of a unit. */
int64_t wf_strips_floats(const wf_lanes *l);
/* Units [from, to) of source i, whose operands `in` are contiguous along the lane; those of the
 * first part come first. All sources but the first add. */
void wf_strips_run(const wf_lanes *l, const wf_call *call, int i, const wf_array *in, int64_t from,
                   int64_t to, float *sums, float *shared);
/* Adds up the parts of units [from, to). */
void wf_strips_add(const wf_lanes *l, const wf_call *call, int64_t from, int64_t to,
                   const float *shared);

#endif
