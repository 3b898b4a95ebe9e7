/* Row kernels for AVX2 and FMA. */
#define ROWS wf_rows_avx2
#include "tensor/kernels/rows.inc"
