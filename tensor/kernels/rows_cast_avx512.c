/* Row kernels of casts for AVX-512 (F, BW, DQ, VL). */
#define CASTS wf_casts_avx512
#include "tensor/kernels/rows_cast.inc"
