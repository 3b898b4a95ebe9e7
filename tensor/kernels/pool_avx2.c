/* Pooling rows with the vectors of AVX2. */
#if defined(__x86_64__)
#define VECTOR  32
#define MAX_ROW wf_pool_max_row_avx2
#include "tensor/kernels/pool_max.inc"
#else
typedef int wf_no_pool_avx2_here;
#endif
