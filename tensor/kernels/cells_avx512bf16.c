/* Cells with AVX-512 and its conversions to bf16: 32 values an instruction. */
#if defined(__AVX512BF16__)
#include <immintrin.h>
#include <stdint.h>

/* x within the finite bf16, inf and NaN as they are; `finite`: the lanes with a lo part. */
static inline __m512 within(__m512 x, __mmask16 *finite) {
    const __m512 most = _mm512_set1_ps(0x1.fep127f);
    const __mmask16 special = _mm512_fpclass_ps_mask(x, 0x99);
    *finite = (__mmask16)~special;
    const __m512 least = _mm512_set1_ps(-0x1.fep127f);
    const __m512 c = _mm512_max_ps(_mm512_min_ps(x, most), least);
    return _mm512_mask_mov_ps(c, special, x);
}

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

static void narrow_lo(const float *x, int64_t n, uint16_t *hi, uint16_t *lo) {
    for (; n > 0; n -= 16, x += 16, hi += 16, lo += 16) {
        const __mmask16 m = n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
        __mmask16 finite;
        const __m512 v = _mm512_maskz_loadu_ps(m, x);
        const __m256i h = (__m256i)_mm512_cvtneps_pbh(within(v, &finite));
        const __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
        const __m512 rest = _mm512_maskz_sub_ps(finite, v, _mm512_castsi512_ps(wide));
        _mm256_mask_storeu_epi16(hi, m, h);
        _mm256_mask_storeu_epi16(lo, m, (__m256i)_mm512_cvtneps_pbh(rest));
    }
}

static void pair_lo(const float *x, const float *y, int64_t n, uint32_t *hi, uint32_t *lo) {
    const __m512i order = zip_order(), odd = _mm512_set1_epi32(-65536);
    for (; n > 0; n -= 16, x += 16, y += 16, hi += 16, lo += 16) {
        const __mmask16 m = n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
        __mmask16 fx, fy;
        const __m512 a = _mm512_maskz_loadu_ps(m, x), b = _mm512_maskz_loadu_ps(m, y);
        const __m512 ca = within(a, &fx), cb = within(b, &fy);
        const __m512i h = _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(cb, ca));
        const __m512 ha = _mm512_castsi512_ps(_mm512_slli_epi32(h, 16));
        const __m512 hb = _mm512_castsi512_ps(_mm512_and_si512(h, odd));
        const __m512 ra = _mm512_maskz_sub_ps(fx, a, ha), rb = _mm512_maskz_sub_ps(fy, b, hb);
        const __m512i l = _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(rb, ra));
        _mm512_mask_storeu_epi32(hi, m, h);
        _mm512_mask_storeu_epi32(lo, m, l);
    }
}

#define NARROW narrow_hi
#define NARROW_LO narrow_lo
#define PAIR_LO pair_lo
#define PAIR pair_hi
#define CELLS wf_cells_avx512bf16
#include "tensor/kernels/cells.inc"
#endif
