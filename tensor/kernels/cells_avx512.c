/* Cells with AVX-512. */
#if defined(__AVX512F__)
#define CELLS wf_cells_avx512
#include "tensor/kernels/cells.inc"
#endif
