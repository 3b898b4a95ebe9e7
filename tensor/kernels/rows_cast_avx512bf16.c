/* Row kernels of casts for AVX-512 with BF16: VCVTNEPS2BF16 rounds as to_bf16 does, whatever the
 * rounding mode, and flushes denormals and quiets NaN alike. */
#if defined(__AVX512BF16__)
#include <immintrin.h>
#include <stdint.h>

static inline int64_t narrow_run(int64_t n, uint16_t *out, const float *x) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256bh y = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
        _mm256_storeu_si256((__m256i *)(out + i), (__m256i)y);
    }
    return i;
}
#define NARROW_RUN narrow_run
#endif

#define CASTS wf_casts_avx512bf16
#include "tensor/kernels/rows_cast.inc"
