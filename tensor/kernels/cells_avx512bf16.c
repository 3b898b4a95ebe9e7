/* Cells with AVX-512 and its conversions to bf16: 32 values an instruction. */
#if defined(__AVX512BF16__)
#include <immintrin.h>
#include <stdint.h>

static void narrow_hi(const float *x, int64_t n, uint16_t *hi) {
    for (; n >= 32; n -= 32, x += 32, hi += 32) {
        const __m512bh v = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x));
        _mm512_storeu_si512(hi, (__m512i)v);
    }
    for (; n > 0; n -= 16, x += 16, hi += 16) {
        const __mmask16 m = n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
        _mm256_mask_storeu_epi16(hi, m, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(m, x)));
    }
}

/* Halves 0 16 1 17 .. of a vector. */
static inline __m512i zip_order(void) {
    const __m512i even = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i odd = _mm512_slli_epi32(_mm512_add_epi32(even, _mm512_set1_epi32(16)), 16);
    return _mm512_or_si512(even, odd);
}

static void pair_hi(const float *x, const float *y, int64_t n, uint32_t *hi) {
    const __m512i order = zip_order();
    for (; n >= 16; n -= 16, x += 16, y += 16, hi += 16) {
        const __m512bh v = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(y), _mm512_loadu_ps(x));
        _mm512_storeu_si512(hi, _mm512_permutexvar_epi16(order, (__m512i)v));
    }
    if (n > 0) {
        const __mmask16 m = (__mmask16)((1u << n) - 1);
        const __m512bh v = _mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(m, y),
                                               _mm512_maskz_loadu_ps(m, x));
        _mm512_mask_storeu_epi32(hi, m, _mm512_permutexvar_epi16(order, (__m512i)v));
    }
}

#define NARROW narrow_hi
#define PAIR pair_hi
#define CELLS wf_cells_avx512bf16
#include "tensor/kernels/cells.inc"
#endif
