/* Row kernels for 64-bit ARM, where NEON and fused multiply-add are always there: those of rows.c
 * at -O3. */
#if defined(__aarch64__)
#define ROWS wf_rows_neon
#include "tensor/kernels/rows.inc"
#else
typedef int wf_no_neon_here;
#endif
