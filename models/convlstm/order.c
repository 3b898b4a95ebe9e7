/* Shuffling; see order.h. */
#include "models/convlstm/order.h"

#include "nn/nn.h"

void order_shuffle(int64_t *index, int64_t n, uint64_t seed, int64_t epoch) {
    wf_shuffle(index, n, seed, epoch);
}
