/* Row kernels of casts in plain C, and the choice of an instruction set. */
#define CASTS wf_casts_plain
#include "tensor/kernels/rows_cast.inc"

#include "tensor/kernels/cpu.h"

static const wf_casts *casts(void) {
#if defined(__x86_64__)
    const wf_isa isa = wf_isa_get();
    if (isa >= WF_ISA_AVX512) return wf_cpu_has_bf16() ? &wf_casts_avx512bf16 : &wf_casts_avx512;
    if (isa == WF_ISA_AVX2) return &wf_casts_avx2;
#endif
    return &wf_casts_plain;
}

wf_row_fn *wf_row_cast(wf_dtype from, wf_dtype to) { return casts()->row[from][to]; }
