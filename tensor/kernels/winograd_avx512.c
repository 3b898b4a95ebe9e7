/* The transforms of minimal filtering with the vectors of AVX-512. */
#if defined(__x86_64__)
#define VECTOR 64
#define TABLE  wf_winograd_avx512
#include "tensor/kernels/winograd.inc"
#else
typedef int wf_no_winograd_avx512_here;
#endif
