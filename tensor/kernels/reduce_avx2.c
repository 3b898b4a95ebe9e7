/* The stepping kernels of reduce_steps.inc, compiled for AVX2. */
#if defined(__AVX2__)
#define WF_FOLD_TABLE wf_fold_avx2
#include "tensor/kernels/reduce_steps.inc"
#else
typedef int wf_no_avx2_here;
#endif
