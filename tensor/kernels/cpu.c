/* cpuid through the compiler's builtins, which also ask the operating system for saved
 * registers. */
#include "tensor/kernels/cpu.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/base.h"

static const char *const names[] = {"scalar", "avx2", "avx512"};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static wf_isa chosen;

static wf_isa detect(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl");
    return avx512 ? WF_ISA_AVX512 : avx2 ? WF_ISA_AVX2 : WF_ISA_SCALAR;
#else
    return WF_ISA_SCALAR;
#endif
}

static void choose(void) {
    const wf_isa best = detect();
    chosen = best;
    const char *want = getenv("WF_ISA");
    if (!want || !*want) return;
    for (int i = 0; i < (int)WF_COUNT(names); i++)
        if (strcmp(want, names[i]) == 0 && i <= (int)best) {
            chosen = (wf_isa)i;
            return;
        }
    wf_log_line("WF_ISA=%s is unknown or not on this machine; using %s", want, names[best]);
}

wf_isa wf_isa_get(void) {
    pthread_once(&once, choose);
    return chosen;
}

const char *wf_isa_name(wf_isa isa) { return names[isa]; }

bool wf_cpu_has_bf16(void) {
#if defined(__x86_64__)
    return wf_isa_get() == WF_ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}
