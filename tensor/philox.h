/* Philox4x32-10: 128 random bits as a function of a 128-bit counter and a 64-bit key.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
#ifndef WEFT_PHILOX_H
#define WEFT_PHILOX_H

#include <stdint.h>

typedef struct wf_philox {
    uint32_t v[4];
} wf_philox;

static inline wf_philox wf_philox4x32(wf_philox counter, uint32_t key0, uint32_t key1) {
    uint32_t a = counter.v[0], b = counter.v[1], c = counter.v[2], d = counter.v[3];
    for (int round = 0; round < 10; round++) {
        const uint64_t p = UINT64_C(0xD2511F53) * a, q = UINT64_C(0xCD9E8D57) * c;
        a = (uint32_t)(q >> 32) ^ b ^ key0;
        c = (uint32_t)(p >> 32) ^ d ^ key1;
        b = (uint32_t)q;
        d = (uint32_t)p;
        key0 += UINT32_C(0x9E3779B9); /* golden ratio */
        key1 += UINT32_C(0xBB67AE85); /* sqrt(3) - 1 */
    }
    return (wf_philox){{a, b, c, d}};
}

#endif
