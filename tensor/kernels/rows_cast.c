/* Row kernels of casts that programs do often: pixels, masks and indices to reals, f32 to and from
 * f64 and bf16. Same bits as wf_load and wf_store with denormals flushed. */
#include <string.h>

#include "tensor/kernels/rows.h"
#include "tensor/kernels/rows_types.h"

#define EACH(statement) _Pragma("omp simd") for (int64_t i = 0; i < n; i++) { statement; }

#define CAST(from, to, value)                                                                      \
    static void from##_to_##to(int64_t n, void *out, const void *const *in, const int64_t *s) {    \
        const T_##from *x = in[0];                                                                 \
        T_##to *o = out;                                                                           \
        if (s[0] == 1 && s[1] == 1) EACH(const T_##from a = x[i]; o[i] = value)                    \
        else EACH(const T_##from a = x[i * s[1]]; o[i * s[0]] = value)                             \
    }

static inline uint32_t flushed(uint32_t u) { return u & 0x7f800000u ? u : u & 0x80000000u; }

static inline uint16_t to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    const uint32_t quiet = (u >> 16) | 0x40, v = flushed(u);
    const uint32_t rounded = (v + 0x7fff + ((v >> 16) & 1)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

static inline float from_bf16(uint16_t h) {
    const uint32_t u = flushed((uint32_t)h << 16);
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

typedef uint16_t T_BF16;
CAST(F32, F64, (double)a)
CAST(F64, F32, (float)a)
CAST(F32, BF16, to_bf16(a))
CAST(BF16, F32, from_bf16(a))
CAST(U8, F32, (float)a)
CAST(U8, F64, (double)a)
CAST(BOOL, F32, a ? 1.0f : 0.0f)
CAST(BOOL, F64, a ? 1.0 : 0.0)
CAST(I32, F32, (float)a)
CAST(I32, F64, (double)a)
CAST(I64, F32, (float)(double)a)
CAST(I64, F64, (double)a)
CAST(F32, BOOL, a != 0)
CAST(F64, BOOL, a != 0)
CAST(I32, I64, a)

static wf_row_fn *const table[WF_N_DTYPE][WF_N_DTYPE] = {
    [WF_F32] = {[WF_F64] = F32_to_F64, [WF_BF16] = F32_to_BF16, [WF_BOOL] = F32_to_BOOL},
    [WF_F64] = {[WF_F32] = F64_to_F32, [WF_BOOL] = F64_to_BOOL},
    [WF_BF16] = {[WF_F32] = BF16_to_F32},
    [WF_U8] = {[WF_F32] = U8_to_F32, [WF_F64] = U8_to_F64},
    [WF_BOOL] = {[WF_F32] = BOOL_to_F32, [WF_F64] = BOOL_to_F64},
    [WF_I32] = {[WF_F32] = I32_to_F32, [WF_F64] = I32_to_F64, [WF_I64] = I32_to_I64},
    [WF_I64] = {[WF_F32] = I64_to_F32, [WF_F64] = I64_to_F64},
};

wf_row_fn *wf_row_cast(wf_dtype from, wf_dtype to) { return table[from][to]; }
