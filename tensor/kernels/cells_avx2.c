/* Cells with AVX2. */
#if defined(__AVX2__)
#define CELLS wf_cells_avx2
#include "tensor/kernels/cells.inc"
#endif
