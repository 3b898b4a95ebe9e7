/* Row kernels for AVX-512 (F, BW, DQ, VL). */
#if defined(__x86_64__)
#define ROWS wf_rows_avx512
#include "tensor/kernels/rows.inc"
#else
typedef int wf_no_avx512_here;
#endif
