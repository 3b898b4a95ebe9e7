/* In which order clips are used: a function of seed and epoch alone, so that a run can be repeated,
 * and continued from any epoch. */
#ifndef MODELS_CONVLSTM_ORDER_H
#define MODELS_CONVLSTM_ORDER_H

#include <stdint.h>

/* Permutes index[0 .. n) by Fisher and Yates. The draw for position i is number i of the stream
 * (seed, epoch) of models/moving_mnist/random.h, scaled to [0, i]; epoch -1 is the split into
 * training and validation clips.
 * Sources: Durstenfeld 1964, CACM 7 (7), algorithm 235; the scaling is the high half of a product
 * (Lemire 2019), which favours no position by more than n / 2^64. */
void order_shuffle(int64_t *index, int64_t n, uint64_t seed, int64_t epoch);

#endif
