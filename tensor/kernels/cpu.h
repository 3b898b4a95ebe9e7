/* Which instruction set the kernels use: decided once a process from cpuid, overridden by WF_ISA.
 * Kernel files carry their set in their name (_avx2.c, _avx512.c, _neon.c; none: plain C) and are
 * compiled with that set's flags by the Makefile; nothing else in the library is. */
#ifndef WEFT_CPU_H
#define WEFT_CPU_H

#include <stdbool.h>

/* Each of x86 has what those before it have. AMX: AVX-512 and tiles of bf16, where allowed. */
typedef enum wf_isa {
    WF_ISA_SCALAR,
    WF_ISA_AVX2,
    WF_ISA_AVX512,
    WF_ISA_AMX,
    WF_ISA_NEON
} wf_isa;

/* WF_ISA=scalar|avx2|avx512|amx|neon forces a set that the machine has; an unknown or absent one is
 * ignored and logged once. */
wf_isa wf_isa_get(void);
const char *wf_isa_name(wf_isa isa);

/* True if AVX-512 is in use and has products of bf16 pairs. */
bool wf_cpu_has_bf16(void);

#endif
