/* Pooling rows with the vectors of AVX-512. */
#if defined(__x86_64__)
#define VECTOR  64
#define MAX_ROW wf_pool_max_row_avx512
#include "tensor/kernels/pool_max.inc"
#else
typedef int wf_no_pool_avx512_here;
#endif
