/* Shuffling; see order.h. */
#include "models/convlstm/order.h"

#include "models/moving_mnist/random.h"

void order_shuffle(int64_t *index, int64_t n, uint64_t seed, int64_t epoch) {
    const uint64_t key = random_open(seed, (uint64_t)(epoch + 1)).key;
    for (int64_t i = n - 1; i > 0; i--) {
        const uint64_t random = random_at(key, (uint64_t)i);
        const int64_t j = (int64_t)(((unsigned __int128)random * (uint64_t)(i + 1)) >> 64);
        const int64_t kept = index[i];
        index[i] = index[j];
        index[j] = kept;
    }
}
