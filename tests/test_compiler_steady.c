/* What a run costs besides its work: no allocation, no page fault, one parallel region; also while
 * a compiler is running in the background, and from the first run with generated code on. Counted
 * by thread, over the team. */
#define _GNU_SOURCE /* RUSAGE_THREAD, RTLD_NEXT */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "compiler/cc.h"
#include "compiler/program.h"
#include "nn/nn.h"

/* --- counting --------------------------------------------------------------------------------- */

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer))
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static _Thread_local unsigned long allocations;
static atomic_ulong regions;

#if defined(__GLIBC__) && !SANITIZED
#define COUNTED 1
#define EXPORT __attribute__((visibility("default")))
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

EXPORT void *malloc(size_t n) { return allocations++, __libc_malloc(n); }
EXPORT void *calloc(size_t n, size_t each) { return allocations++, __libc_calloc(n, each); }
EXPORT void *realloc(void *p, size_t n) { return allocations++, __libc_realloc(p, n); }
EXPORT void *aligned_alloc(size_t align, size_t n) {
    return allocations++, __libc_memalign(align, n);
}
#else
#define COUNTED 0
#endif

#if defined(__GNUC__) && !defined(__clang__) && !SANITIZED
#define REGIONS_COUNTED 1
void GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags);
__attribute__((visibility("default"))) void
GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags) {
    static void (*real)(void (*)(void *), void *, unsigned, unsigned);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "GOMP_parallel");
    atomic_fetch_add(&regions, 1);
    real(fn, data, threads, flags);
}
#else
#define REGIONS_COUNTED 0
#endif

enum { TEAM = 4 };
typedef struct costs {
    unsigned long allocations[TEAM];
    long faults[TEAM];
    unsigned long regions;
} costs;

static void count(costs *c, int threads) {
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        struct rusage r;
        const int w = omp_get_thread_num();
        getrusage(RUSAGE_THREAD, &r);
        c->allocations[w] = allocations;
        c->faults[w] = r.ru_minflt + r.ru_majflt;
    }
    c->regions = atomic_load(&regions);
}

/* One run, and what it cost. The team is that of the counting: libgomp keeps its threads. */
static void run_counted(wf_program *p, int threads, const char *when) {
    static costs a, b;
    count(&b, threads); /* these two touch what counting itself needs, */
    count(&a, threads); /* and a and b, which may lie in two pages */
    count(&a, threads);
    cr_assert_eq(wf_run(p), WF_OK);
    const unsigned long started = atomic_load(&regions) - a.regions;
    count(&b, threads);
    for (int w = 0; w < threads; w++) {
        cr_assert_eq(b.allocations[w], a.allocations[w], "%s, worker %d of %d: %lu allocations",
                     when, w, threads, b.allocations[w] - a.allocations[w]);
        if (COUNTED) /* a sanitizer's own memory comes in at its first touch */
            cr_assert_eq(b.faults[w], a.faults[w], "%s, worker %d of %d: %ld page faults", when, w,
                     threads, b.faults[w] - a.faults[w]);
    }
    if (REGIONS_COUNTED) cr_assert_eq(started, threads > 1, "%s: %lu regions", when, started);
}

/* --- a training step -------------------------------------------------------------------------- */

static wf_program *trainer(wf_params *p, int threads, wf_precision mode) {
    wf_graph *g = wf_graph_new();
    wf_program *program;
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(5, 2, 12, 12, 1));
    wf_tensor y = wf_nn_convlstm(p, "a", x, (wf_convlstm_opt){.hidden = 8, .kernel = 3});
    y = wf_nn_batch_norm(p, "n", y, (wf_batch_norm_opt){.training = true});
    y = wf_nn_convlstm(p, "b", y, (wf_convlstm_opt){.hidden = 1, .kernel = 1});
    const wf_tensor loss = wf_nn_mse(y, x);
    wf_nn_adam(p, loss, (wf_optimizer_opt){.lr = 1e-3, .clip_norm = 1});
    const wf_compile_opt o = {.precision = mode, .threads = threads};
    cr_assert_eq(wf_compile(&program, g, &loss, 1, o), WF_OK, "%s", wf_error());
    wf_graph_free(g);
    float *data = wf_data(program, x);
    for (int i = 0; i < 5 * 2 * 144; i++) data[i] = (float)(i * 37 % 101) / 101;
    return program;
}

static uint32_t ready(const wf_program *p) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->plan.n_kernel; i++) n += wf_code_kernel(p->plan.code, i) != NULL;
    return n;
}

static void only_works(wf_precision mode) {
    for (int threads = 1; threads <= TEAM; threads++) {
        wf_params *p = wf_params_new(1);
        setenv("WF_JIT", "off", 1);
        wf_program *program = trainer(p, threads, mode);
        cr_assert_eq(wf_run(program), WF_OK);
        cr_assert_eq(wf_run(program), WF_OK);
        for (int i = 0; i < 5; i++) run_counted(program, threads, "interpreted");
        wf_program_free(program);
        wf_params_free(p);
    }
    if (!COUNTED) printf("allocations are not counted here\n");
}

Test(compiler_steady, a_run_only_works) { only_works(WF_PRECISION_F32); }
Test(compiler_steady, a_run_in_f32x3_only_works) { only_works(WF_PRECISION_F32X3); }
Test(compiler_steady, a_run_in_bf16_only_works) { only_works(WF_PRECISION_BF16); }

/* More code than the kernel of the system maps at the first touch. */
static wf_program *many_kernels(wf_graph *g) {
    enum { N = 24 };
    static float leaf[N][8 * 64];
    wf_tensor out[N];
    wf_program *p;
    for (int i = 0; i < N; i++) {
        const wf_tensor x = wf_leaf(g, "x", WF_F32, WF_SHAPE(8, 9 + i), leaf[i]);
        const wf_tensor y = wf_sum(wf_mul(wf_exp(x), wf_sigmoid(x)),
                                   (wf_reduce_opt){.n_axes = 1, .axes = {1}, .keepdims = true});
        out[i] = wf_tanh(wf_add(wf_erf(x), wf_mul(y, wf_log1p(wf_exp(x)))));
    }
    cr_assert_eq(wf_compile(&p, g, out, N, (wf_compile_opt){.threads = 1}), WF_OK);
    return p;
}

Test(compiler_steady, new_code_is_in_memory_when_it_is_first_run) {
    char home[] = "/tmp/weft-steady-XXXXXX", command[64];
    wf_cc cc;
    if (wf_cc_find(&cc) != WF_OK) return;
    cr_assert(mkdtemp(home));
    setenv("XDG_CACHE_HOME", home, 1);
    setenv("WF_JIT", "off", 1);
    wf_graph *g = wf_graph_new();
    wf_program *p = many_kernels(g);
    for (int i = 0; i < 3; i++) cr_assert_eq(wf_run(p), WF_OK);
    wf_code_free(p->plan.code);
    cr_assert_eq(wf_plan_code(&p->plan, WF_CODE_SYNC), WF_OK);
    cr_assert_eq(ready(p), p->plan.n_kernel);
    run_counted(p, 1, "with new code");
    wf_program_free(p);
    wf_graph_free(g);
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert(system(command) == 0);
}

Test(compiler_steady, a_compiler_in_the_background_costs_a_run_nothing) {
    enum { threads = 2 };
    char home[] = "/tmp/weft-steady-XXXXXX", command[64];
    wf_cc cc;
    if (wf_cc_find(&cc) != WF_OK) {
        cr_log_warn("no C compiler here: generated code is not tested");
        return;
    }
    cr_assert(mkdtemp(home));
    setenv("XDG_CACHE_HOME", home, 1);
    setenv("WF_JIT", "background", 1);
    wf_params *p = wf_params_new(1);
    wf_program *program = trainer(p, threads, WF_PRECISION_AUTO);
    cr_assert_gt(program->plan.n_kernel, 0);
    cr_assert_eq(wf_run(program), WF_OK);
    cr_assert_eq(wf_run(program), WF_OK);
    int during = 0, after = 0;
    while (ready(program) < program->plan.n_kernel) {
        run_counted(program, threads, "while the compiler runs");
        during++;
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    for (; after < 5; after++) run_counted(program, threads, "with generated code");
    cr_assert_gt(during, 0);
    wf_program_free(program);
    wf_params_free(p);
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert(system(command) == 0);
}
