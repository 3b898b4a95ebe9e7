/* Everything computes with denormals flushed to zero (inputs and results) and restores the caller's
 * mode: a step in the denormal range is tens of times slower otherwise, and evaluator, interpreter
 * and kernels must agree. */
#ifndef WEFT_DENORMALS_H
#define WEFT_DENORMALS_H

#include <stdint.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
typedef unsigned wf_fp_mode;
static inline wf_fp_mode wf_flush_denormals(void) {
    const wf_fp_mode old = _mm_getcsr();
    _mm_setcsr(old | 0x8040); /* FTZ and DAZ */
    return old;
}
static inline void wf_restore_denormals(wf_fp_mode old) { _mm_setcsr(old); }
#elif defined(__aarch64__)
typedef uint64_t wf_fp_mode;
static inline wf_fp_mode wf_flush_denormals(void) {
    wf_fp_mode old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(old | (UINT64_C(1) << 24)));
    return old;
}
static inline void wf_restore_denormals(wf_fp_mode old) {
    __asm__ volatile("msr fpcr, %0" : : "r"(old));
}
#else
typedef int wf_fp_mode;
static inline wf_fp_mode wf_flush_denormals(void) { return 0; }
static inline void wf_restore_denormals(wf_fp_mode old) { (void)old; }
#endif

#endif
