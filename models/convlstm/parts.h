/* Which clips are for training, for validation and for the test: one file or source is cut by a
 * permutation that is a function of the seed alone, so that `train` and `eval` with the same
 * --splits and --seed agree. */
#ifndef MODELS_CONVLSTM_PARTS_H
#define MODELS_CONVLSTM_PARTS_H

#include "nn/nn.h"

typedef struct parts {
    int64_t *index;              /* (n): training clips, then validation, then test */
    int64_t n, train, val, test; /* how many; clips behind them are left out */
} parts;

/* Cuts n clips as `splits` says: "TRAIN,VAL,TEST" or "TRAIN,VAL", at least 1 for training; their
 * sum is at most n. NULL: the fraction `val` of them (at least one if it is above 0) for
 * validation, the rest for training.
 *   shuffle  permute by the seed first (order.h, epoch -1), else the order of the source
 * Errors: WF_ARGUMENT, WF_MEMORY. Owner: the caller frees with parts_free. */
wf_status parts_cut(parts *p, int64_t n, const char *splits, double val, bool shuffle,
                    uint64_t seed);
void parts_free(parts *p);

/* The clips of a part: "train", "val", "test", "all". Points into p->index; *n may be 0. */
const int64_t *parts_of(const parts *p, const char *name, int64_t *n);

#endif
