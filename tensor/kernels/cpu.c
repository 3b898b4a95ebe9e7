/* cpuid through the compiler's builtins, which also ask the operating system for saved
 * registers; 64-bit ARM always has NEON. */
#include "tensor/kernels/cpu.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "tensor/base.h"

static const char *const names[] = {"scalar", "avx2", "avx512", "amx", "neon"};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static wf_isa chosen;

/* Tiles, if the processor has them with bf16, and the kernel lets this process use them: their
 * registers are large, so they are asked for. */
#if defined(__x86_64__) && defined(__linux__)
static bool may_use_tiles(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, BF16 = 1 << 22, TILES = 1 << 24 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & BF16) && (d & TILES) &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#elif defined(__x86_64__)
static bool may_use_tiles(void) { return false; }
#endif

static wf_isa detect(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl");
    if (avx512 && may_use_tiles()) return WF_ISA_AMX;
    return avx512 ? WF_ISA_AVX512 : avx2 ? WF_ISA_AVX2 : WF_ISA_SCALAR;
#elif defined(__aarch64__)
    return WF_ISA_NEON;
#else
    return WF_ISA_SCALAR;
#endif
}

/* Sets grow from one to the next on x86; NEON stands alone. */
static bool here(wf_isa isa, wf_isa best) {
    return isa == WF_ISA_SCALAR || isa == best || (isa < best && best != WF_ISA_NEON);
}

static void choose(void) {
    const wf_isa best = detect();
    chosen = best;
    const char *want = getenv("WF_ISA");
    if (!want || !*want) return;
    for (int i = 0; i < (int)WF_COUNT(names); i++)
        if (strcmp(want, names[i]) == 0 && here((wf_isa)i, best)) {
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
    return wf_isa_get() >= WF_ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}
