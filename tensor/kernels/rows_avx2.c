/* Row kernels for AVX2 and FMA. */
#if defined(__x86_64__)
#define ROWS wf_rows_avx2
#include "tensor/kernels/rows.inc"
#else
typedef int wf_no_avx2_here;
#endif
