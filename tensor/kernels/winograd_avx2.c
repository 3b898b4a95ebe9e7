/* The transforms of minimal filtering with the vectors of AVX2. */
#if defined(__x86_64__)
#define VECTOR 32
#define TABLE  wf_winograd_avx2
#include "tensor/kernels/winograd.inc"
#else
typedef int wf_no_winograd_avx2_here;
#endif
