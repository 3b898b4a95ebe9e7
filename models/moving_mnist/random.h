/* Random numbers of the data sets: a pure function of (key, i), so that clip k needs no clip before
 * it and any thread may make it. SplitMix64 in counter form: the i-th value of the generator seeded
 * with `key` is its output function at key + i * 2^64/phi.
 * Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014. */
#ifndef MOVING_MNIST_RANDOM_H
#define MOVING_MNIST_RANDOM_H

#include <stdint.h>

typedef struct random_stream {
    uint64_t key, i;
} random_stream;

static inline uint64_t random_at(uint64_t key, uint64_t i) {
    uint64_t z = key + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The stream of object `index` in a collection with this seed. */
static inline random_stream random_open(uint64_t seed, uint64_t index) {
    return (random_stream){.key = random_at(random_at(seed, 0), index)};
}

/* Uniform in [0, 1), a multiple of 2^-53. */
static inline double random_unit(random_stream *r) {
    return (double)(random_at(r->key, r->i++) >> 11) * 0x1p-53;
}

static inline double random_between(random_stream *r, double low, double high) {
    return low + (high - low) * random_unit(r);
}

/* Uniform in [0, n), 0 < n < 2^53; the bias is below n / 2^53. */
static inline int64_t random_below(random_stream *r, int64_t n) {
    return (int64_t)(random_unit(r) * (double)n);
}

#endif
