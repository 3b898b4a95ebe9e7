/* The stepping kernels of reduce_steps.inc, compiled for AVX-512. */
#if defined(__AVX512F__)
#define WF_FOLD_TABLE wf_fold_avx512
#include "tensor/kernels/reduce_steps.inc"
#else
typedef int wf_no_avx512_here;
#endif
