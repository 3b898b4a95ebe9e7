/* The stepping kernels of reduce_steps.inc, compiled for 64-bit ARM as the Makefile says. */
#if defined(__aarch64__)
#define WF_FOLD_TABLE wf_fold_neon
#include "tensor/kernels/reduce_steps.inc"
#else
typedef int wf_no_neon_here;
#endif
