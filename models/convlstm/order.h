/* In which order clips are used: a function of seed and epoch alone, so that a run can be repeated,
 * and continued from any epoch. */
#ifndef MODELS_CONVLSTM_ORDER_H
#define MODELS_CONVLSTM_ORDER_H

#include <stdint.h>

/* wf_shuffle: permutes index[0 .. n); epoch -1 is the split into training and validation clips. */
void order_shuffle(int64_t *index, int64_t n, uint64_t seed, int64_t epoch);

#endif
