/* Row kernels for AVX-512 (F, BW, DQ, VL). */
#define ROWS wf_rows_avx512
#include "tensor/kernels/rows.inc"
