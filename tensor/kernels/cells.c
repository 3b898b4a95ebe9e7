/* Cells in plain C, and the choice of a table. */
#define CELLS wf_cells_plain
#include "tensor/kernels/cells.inc"

#include "tensor/kernels/cpu.h"

const wf_cell_table *wf_cells_get(void) {
#if defined(__x86_64__)
    if (wf_isa_get() >= WF_ISA_AVX512)
        return wf_cpu_has_bf16() ? &wf_cells_avx512bf16 : &wf_cells_avx512;
    if (wf_isa_get() == WF_ISA_AVX2) return &wf_cells_avx2;
#endif
    return &wf_cells_plain;
}
