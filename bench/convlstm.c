#include "bench/convlstm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const convlstm_size bench_notebook = {
    .frames = 19, .batch = 8, .height = 32, .width = 32, .hidden = 64};

const char *bench_size_text(convlstm_size s, char text[64]) {
    snprintf(text, 64, "batch %lld, %lld x %lldx%lld, hidden %lld", (long long)s.batch,
             (long long)s.frames, (long long)s.height, (long long)s.width, (long long)s.hidden);
    return text;
}

void bench_clips(convlstm_size s, float *x, float *target) {
    size_t at = 0;
    for (int64_t t = 0; t < s.frames; t++)
        for (int64_t n = 0; n < s.batch; n++)
            for (int64_t i = 0; i < s.height * s.width; i++, at++) {
                const double u = (double)(i % s.width) - 10 - 0.7 * (double)t,
                             v = (double)(i / s.width) - 8 - (double)n;
                x[at] = (float)exp(-(u * u + v * v) / 20);
                if (target) target[at] = (float)exp(-((u - 0.7) * (u - 0.7) + v * v) / 20);
            }
}

bool bench_trainer(convlstm_program *c, wf_params *p, convlstm_size s, const bench_mode *m,
                   int threads) {
    const wf_compile_opt o = {.precision = m->precision, .threads = threads};
    if (!p || convlstm_trainer(c, p, s, 2, o)) {
        fprintf(stderr, "%s: %s\n", m->name, wf_error());
        return false;
    }
    bench_clips(s, c->x, c->target);
    *c->lr = 0;
    return true;
}

/* --- before the clock starts ------------------------------------------------------------------ */

/* The losses of three steps of a small network. */
static bool small_losses(wf_compile_opt o, float loss[3]) {
    const convlstm_size s = {.frames = 4, .batch = 2, .height = 8, .width = 8, .hidden = 3};
    wf_params *p = wf_params_new(7);
    convlstm_program c = {.program = NULL};
    bool ok = p && !convlstm_trainer(&c, p, s, 2, o);
    if (ok) {
        bench_clips(s, c.x, c.target);
        *c.lr = 1e-3f;
    }
    for (int i = 0; i < 3 && ok; i++) {
        ok = !wf_run(c.program);
        loss[i] = *c.loss;
    }
    if (!ok) fprintf(stderr, "verify: %s\n", wf_error());
    convlstm_program_free(&c);
    wf_params_free(p);
    return ok;
}

bool bench_verify(const bench_mode *m, int threads) {
    float got[3], want[3];
    if (!small_losses((wf_compile_opt){.precision = m->precision, .threads = threads}, got) ||
        !small_losses((wf_compile_opt){.precision = WF_PRECISION_F32, .threads = 1,
                                       .off = WF_PASS_ALL}, want))
        return false;
    double gap = 0;
    for (int i = 0; i < 3; i++) gap = fmax(gap, fabs((double)got[i] / (double)want[i] - 1));
    const bool ok = gap <= 4 * m->loss; /* so few values average less */
    printf("verify: %s, 3 small steps: losses within %.0e of every pass off: %s\n", m->name, gap,
           ok ? "ok" : "WRONG");
    fflush(stdout);
    return ok;
}

/* --- where it runs ---------------------------------------------------------------------------- */

static const char *find_tcmalloc(void) {
    static const char *const files[] = {
        "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
        "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4",
        "/usr/lib/aarch64-linux-gnu/libtcmalloc_minimal.so.4",
        "/usr/lib64/libtcmalloc_minimal.so.4",
        "/usr/lib/libtcmalloc_minimal.so.4",
    };
    const char *named = getenv("TCMALLOC");
    if (named) return access(named, R_OK) == 0 ? named : NULL;
    for (size_t i = 0; i < WF_COUNT(files); i++)
        if (access(files[i], R_OK) == 0) return files[i];
    return NULL;
}

/* The loader and OpenMP read these before main, hence the second start. */
void bench_place(char **argv) {
    if (!getenv("WF_BENCH_PLACED")) {
        const char *tcmalloc = find_tcmalloc();
        setenv("WF_BENCH_PLACED", "1", 1);
        setenv("OMP_PROC_BIND", "true", 0);
        setenv("OMP_PLACES", "cores", 0);
        setenv("WF_JIT", "sync", 0);
        if (tcmalloc) setenv("LD_PRELOAD", tcmalloc, 0);
        execv("/proc/self/exe", argv); /* where there is no such file, go on without */
    }
    const char *preload = getenv("LD_PRELOAD");
    printf("allocator: %s\n", preload && *preload ? preload : "the system's (no tcmalloc here)");
}
