/* The order of clips: a permutation, and a function of seed and epoch alone. */
#include <criterion/criterion.h>

#include "models/convlstm/order.h"

enum { N = 1000 };

static void shuffled(int64_t *index, uint64_t seed, int64_t epoch) {
    for (int64_t i = 0; i < N; i++) index[i] = i;
    order_shuffle(index, N, seed, epoch);
}

static int equal_places(uint64_t seed_a, int64_t epoch_a, uint64_t seed_b, int64_t epoch_b) {
    int64_t a[N], b[N];
    int n = 0;
    shuffled(a, seed_a, epoch_a);
    shuffled(b, seed_b, epoch_b);
    for (int i = 0; i < N; i++) n += a[i] == b[i];
    return n;
}

Test(convlstm_order, is_a_permutation) {
    int64_t index[N];
    bool seen[N] = {false};
    shuffled(index, 7, 3);
    for (int i = 0; i < N; i++) {
        cr_assert(index[i] >= 0 && index[i] < N && !seen[index[i]], "place %d", i);
        seen[index[i]] = true;
    }
}

Test(convlstm_order, depends_on_seed_and_epoch_alone) {
    cr_assert(equal_places(7, 3, 7, 3) == N);
    /* Two random permutations agree in one place on average. */
    cr_assert(equal_places(7, 3, 7, 4) < 10);
    cr_assert(equal_places(7, 3, 8, 3) < 10);
    cr_assert(equal_places(7, -1, 7, 0) < 10);
    cr_assert(equal_places(7, 0, 8, -1) < 10);
}

Test(convlstm_order, every_place_is_as_likely) {
    /* Element 0 of six lands in each place of 12000 epochs / 6 = 2000 times, deviation 41. */
    int count[6] = {0};
    for (int64_t epoch = 0; epoch < 12000; epoch++) {
        int64_t index[6] = {0, 1, 2, 3, 4, 5};
        order_shuffle(index, 6, 1, epoch);
        for (int i = 0; i < 6; i++) count[i] += index[i] == 0;
    }
    for (int i = 0; i < 6; i++)
        cr_assert(count[i] > 1800 && count[i] < 2200, "place %d: %d times", i, count[i]);
}

Test(convlstm_order, nothing_and_one_are_left_alone) {
    int64_t one = 5;
    order_shuffle(&one, 1, 1, 0);
    order_shuffle(NULL, 0, 1, 0);
    cr_assert(one == 5);
}
