/* Loops of independent chains, one function for each instruction set. Twelve chains hide a latency
 * of four cycles on two ports with room to spare and stay in registers. Results go to a volatile,
 * so that no compiler drops a loop. */
#define _GNU_SOURCE /* syscall, MADV_HUGEPAGE */
#include "bench/peak.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/bench.h"
#include "tensor/kernels/contract.h"

enum { CHAINS = 12, ROUNDS = 4 };

static volatile float sink;

typedef float vec4 __attribute__((vector_size(16)));
static void loop_plain(long n) {
    vec4 a[CHAINS], x = {0.999f, 0.999f, 0.999f, 0.999f}, y = {1e-3f, 1e-3f, 1e-3f, 1e-3f};
    for (int i = 0; i < CHAINS; i++) a[i] = y;
    for (long k = 0; k < n; k++) {
        WF_UNROLL for (int i = 0; i < CHAINS; i++) a[i] = a[i] * x + y;
    }
    for (int i = 1; i < CHAINS; i++) a[0] += a[i];
    sink = a[0][0] + a[0][3];
}

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>

#define TARGET(set) __attribute__((target(set)))

TARGET("avx2,fma") static void loop_avx2(long n) {
    const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
    __m256 a[CHAINS];
    for (int i = 0; i < CHAINS; i++) a[i] = y;
    for (long k = 0; k < n; k++) {
        WF_UNROLL for (int i = 0; i < CHAINS; i++) a[i] = _mm256_fmadd_ps(a[i], x, y);
    }
    for (int i = 1; i < CHAINS; i++) a[0] = _mm256_add_ps(a[0], a[i]);
    sink = _mm256_cvtss_f32(a[0]);
}

TARGET("avx512f") static void loop_avx512(long n) {
    const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
    __m512 a[CHAINS];
    for (int i = 0; i < CHAINS; i++) a[i] = y;
    for (long k = 0; k < n; k++) {
        WF_UNROLL for (int i = 0; i < CHAINS; i++) a[i] = _mm512_fmadd_ps(a[i], x, y);
    }
    for (int i = 1; i < CHAINS; i++) a[0] = _mm512_add_ps(a[0], a[i]);
    sink = _mm512_cvtss_f32(a[0]);
}

TARGET("avx512f,avx512bf16") static void loop_dot(long n) {
    /* 0x3a83 is 1e-3 in bf16. */
    const __m512bh x = (__m512bh)_mm512_set1_epi16(0x3a83);
    __m512 a[CHAINS];
    for (int i = 0; i < CHAINS; i++) a[i] = _mm512_setzero_ps();
    for (long k = 0; k < n; k++) {
        WF_UNROLL for (int i = 0; i < CHAINS; i++) a[i] = _mm512_dpbf16_ps(a[i], x, x);
    }
    for (int i = 1; i < CHAINS; i++) a[0] = _mm512_add_ps(a[0], a[i]);
    sink = _mm512_cvtss_f32(a[0]);
}

/* Two by two tiles of 16 x 16 results: four independent chains, as a kernel has them. */
TARGET("amx-tile,amx-bf16") static void loop_amx(long n) {
    static const struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _Alignas(64) uint16_t data[4][512];
    _Alignas(64) float out[256];
    uint32_t state = 1;
    for (int i = 0; i < 4 * 512; i++) { /* signs and mantissas at random, exponents near 1 */
        state = state * 1664525 + 1013904223;
        data[i / 512][i % 512] = (uint16_t)((state >> 16 & 0x80ff) | 0x3f00);
    }
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, data[0], 64);
    _tile_loadd(5, data[1], 64);
    _tile_loadd(6, data[2], 64);
    _tile_loadd(7, data[3], 64);
    for (long k = 0; k < n; k++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out, 64);
    _tile_release();
    sink = out[0];
}

static bool have_dot(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16");
}

/* Tiles are there if cpuid has AMX-TILE and AMX-BF16 (leaf 7, EDX 24 and 22) and Linux, asked once
 * a process, lets it have their state (arch_prctl ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA). */
static bool have_amx(void) {
    uint32_t a = 7, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(d >> 24 & 1) || !(d >> 22 & 1)) return false;
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

/* Read with the widest loads: a level-2 cache gives 64 bytes a cycle to nothing less. */
TARGET("avx512f") static void read_avx512(const void *data, size_t bytes) {
    const char *p = data;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i + 256 <= bytes; i += 256) {
        a = _mm512_or_si512(a, _mm512_load_si512(p + i));
        b = _mm512_or_si512(b, _mm512_load_si512(p + i + 64));
        c = _mm512_or_si512(c, _mm512_load_si512(p + i + 128));
        d = _mm512_or_si512(d, _mm512_load_si512(p + i + 192));
    }
    a = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
    sink = (float)_mm512_reduce_or_epi32(a);
}
TARGET("avx2") static void read_avx2(const void *data, size_t bytes) {
    const char *p = data;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i + 128 <= bytes; i += 128) {
        a = _mm256_or_si256(a, _mm256_load_si256((const __m256i *)(p + i)));
        b = _mm256_or_si256(b, _mm256_load_si256((const __m256i *)(p + i + 32)));
        c = _mm256_or_si256(c, _mm256_load_si256((const __m256i *)(p + i + 64)));
        d = _mm256_or_si256(d, _mm256_load_si256((const __m256i *)(p + i + 96)));
    }
    a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    sink = (float)_mm256_extract_epi32(a, 0);
}
#elif defined(__aarch64__)
#include <arm_neon.h>

static void loop_neon(long n) {
    const float32x4_t x = vdupq_n_f32(0.999f), y = vdupq_n_f32(1e-3f);
    float32x4_t a[2 * CHAINS]; /* four ports */
    for (int i = 0; i < 2 * CHAINS; i++) a[i] = y;
    for (long k = 0; k < n; k++) {
        WF_UNROLL for (int i = 0; i < CHAINS; i++) a[i] = vfmaq_f32(y, a[i], x);
        WF_UNROLL for (int i = CHAINS; i < 2 * CHAINS; i++) a[i] = vfmaq_f32(y, a[i], x);
    }
    for (int i = 1; i < 2 * CHAINS; i++) a[0] = vaddq_f32(a[0], a[i]);
    sink = vgetq_lane_f32(a[0], 0);
}
#endif

typedef uint64_t word2 __attribute__((vector_size(16)));
static void read_plain(const void *data, size_t bytes) {
    const word2 *p = data;
    word2 a = {0}, b = a, c = a, d = a;
    for (size_t i = 0; i + 4 <= bytes / sizeof *p; i += 4)
        a |= p[i], b |= p[i + 1], c |= p[i + 2], d |= p[i + 3];
    a |= b | c | d;
    sink = (float)(a[0] | a[1]);
}

typedef void read_fn(const void *data, size_t bytes);
static read_fn *reader(void) {
#if defined(__x86_64__)
    if (wf_isa_get() >= WF_ISA_AVX512) return read_avx512;
    if (wf_isa_get() >= WF_ISA_AVX2) return read_avx2;
#endif
    return read_plain;
}

/* 1e9 operations a second, with `each` operations an iteration of the loop. The number of
 * iterations is found on one thread: the first parallel region takes as long as it likes. */
static double rate(void (*loop)(long), double each, int threads) {
    long n = 1 << 14;
    double best = 0;
    for (double s = 0; s < 8e-3 && n < 1l << 40; n *= s < 8e-3 ? 2 : 1) {
        const double start = bench_now();
        loop(n);
        s = bench_now() - start;
    }
    for (int round = 0; round < ROUNDS; round++) {
        const double start = bench_now();
#pragma omp parallel num_threads(threads)
        loop(n);
        best = fmax(best, each * (double)n * threads / (bench_now() - start) * 1e-9);
    }
    return best;
}

static bool have_isa(wf_isa isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa >= WF_ISA_AVX512) return __builtin_cpu_supports("avx512f");
    if (isa == WF_ISA_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
    if (isa != WF_ISA_AVX2 && isa != WF_ISA_AVX512) return true;
#endif
    return isa == WF_ISA_SCALAR;
}

double bench_peak_isa(wf_isa isa, int threads) {
    if (!have_isa(isa)) return 0;
#if defined(__x86_64__)
    if (isa >= WF_ISA_AVX512) return rate(loop_avx512, 2 * CHAINS * 16, threads);
    if (isa == WF_ISA_AVX2) return rate(loop_avx2, 2 * CHAINS * 8, threads);
#elif defined(__aarch64__)
    if (isa != WF_ISA_SCALAR) return rate(loop_neon, 4 * CHAINS * 4, threads);
#endif
    return rate(loop_plain, 2 * CHAINS * 4, threads);
}

double bench_peak_fma(int threads) { return bench_peak_isa(wf_isa_get(), threads); }

double bench_peak_dot(int threads) {
#if defined(__x86_64__)
    if (have_dot()) return rate(loop_dot, 4 * CHAINS * 16, threads);
#endif
    return 0;
}

double bench_peak_amx(int threads) {
#if defined(__x86_64__)
    if (have_amx()) return rate(loop_amx, 4 * 2 * 16 * 16 * 32, threads);
#endif
    return 0;
}

double bench_peak_mode(const char *mode, int threads) {
    const double fma = bench_peak_fma(threads);
    if (strcmp(mode, "f32") == 0) return fma;
    double bf16 = fma;
    if (wf_isa_get() >= WF_ISA_AVX512)
        bf16 = fmax(fma, fmax(bench_peak_dot(threads), bench_peak_amx(threads)));
    if (strcmp(mode, "bf16") == 0) return bf16;
    return strcmp(mode, "f32x3") == 0 ? fmax(fma, bf16 / 3) : 0;
}

/* --- memory ----------------------------------------------------------------------------------- */

double bench_peak_l2(int threads) {
    const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
    const size_t bytes = ((size_t)(size > 0 ? size : 1 << 19) / 2) & ~(size_t)4095;
    const int repeat = (int)((64u << 20) / bytes) + 1;
    char *p = aligned_alloc(4096, bytes * (size_t)threads);
    if (!p) return 0;
    memset(p, 1, bytes * (size_t)threads);
    read_fn *const read = reader();
    double best = 0;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const double start = bench_now();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++)
            for (int i = 0; i < repeat; i++) read(p + bytes * (size_t)t, bytes);
        const double s = bench_now() - start;
        best = fmax(best, (double)bytes * threads * repeat / s * 1e-9);
    }
    free(p);
    return best;
}

/* Reads or writes 128 MiB by each thread. */
static double stream(int threads, bool write) {
    const size_t bytes = (size_t)128 << 20;
    char *p = aligned_alloc(4096, bytes * (size_t)threads);
    if (!p) return 0;
    memset(p, 1, bytes * (size_t)threads);
    read_fn *const read = reader();
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = bench_now();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int t = 0; t < threads; t++) {
            if (write)
                memset(p + bytes * (size_t)t, round, bytes);
            else
                read(p + bytes * (size_t)t, bytes);
        }
        best = fmax(best, (double)bytes * threads / (bench_now() - start) * 1e-9);
    }
    free(p);
    return best;
}

double bench_peak_read(int threads) { return stream(threads, false); }
double bench_peak_write(int threads) { return stream(threads, true); }

double bench_fault_ns(bool huge) {
    const size_t bytes = (size_t)64 << 20;
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return 0;
#ifdef MADV_HUGEPAGE
        madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
        const double start = bench_now();
        for (size_t i = 0; i < bytes; i += 4096) p[i] = 1;
        best = fmin(best, (bench_now() - start) * 1e9 / (double)(bytes / 4096));
        munmap(p, bytes);
    }
    return best;
}
