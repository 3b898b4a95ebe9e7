/* Row kernels of casts for AVX2. */
#define CASTS wf_casts_avx2
#include "tensor/kernels/rows_cast.inc"
