/* Which kernels there are, who makes the missing ones, and when.
 *
 * The process has one list of kernels, by name. A request looks its groups up and adds those that
 * are missing; the new ones are a job: one C file, one run of the compiler, one cache entry. A job
 * runs in the requesting thread or in one of its own.
 *
 * Invariants
 *   - A kernel is READY, WANTED by exactly one job, or FAILED for good. Its function appears by one
 *     atomic store. Kernels are never freed, so a request may be freed while its job runs.
 *   - Jobs end before the process does: they are told to stop, and waited for.
 *   - In a forked child jobs do not exist: what they were making counts as failed there unless it
 *     is asked for again. */
#define _GNU_SOURCE /* asprintf */
#include "compiler/code.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compiler/cache.h"
#include "compiler/code_text.h"
#include "compiler/pass.h"
#include "tensor/kernels/cpu.h"

typedef enum state { WANTED, READY, FAILED, LOST } state;

typedef struct kernel {
    char name[WF_CODE_NAME];
    state state; /* under the lock */
    _Atomic(wf_group_fn *) fn;
    atomic_uint count; /* calls */
    struct kernel *next;
} kernel;

struct wf_code {
    size_t n;
    kernel *of[]; /* NULL: there will be none */
};

typedef struct job {
    size_t n;
    kernel **of; /* (n) in the order of names */
    char *source;
    bool tails; /* rows of a group end in part of a vector */
    pthread_t thread;
    struct job *next;
} job;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
enum { BUCKETS = 1024, LOADS_MOST = 4096 };
static kernel *kernels[BUCKETS]; /* by name */
static job *running; /* jobs with threads, until they are joined */
static atomic_bool stop;

/* --- modes ------------------------------------------------------------------------------------ */

wf_code_mode wf_code_mode_get(void) {
    static const char *const names[] = {"off", "background", "sync"};
    static atomic_flag said = ATOMIC_FLAG_INIT;
    const char *v = wf_cc_env("WF_JIT");
    if (!v) return WF_CODE_BACKGROUND;
    for (size_t i = 0; i < WF_COUNT(names); i++)
        if (strcmp(v, names[i]) == 0) return (wf_code_mode)i;
    if (!atomic_flag_test_and_set(&said))
        wf_log_line("WF_JIT=%s is none of off, background, sync; using background", v);
    return WF_CODE_BACKGROUND;
}

static const char *const flags_all[] = {
    "-std=gnu11", "-O1", "-ftree-vectorize", "-fno-tree-slp-vectorize", "-fopenmp-simd",
    "-ffp-contract=off",
    "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing", "-fno-builtin", "-fPIC",
    "-shared", "-w", "-x", "c"};
enum { ISA_FLAGS = 7 };
static const char *const flags_isa[][ISA_FLAGS] = {
    [WF_ISA_SCALAR] = {NULL},
    [WF_ISA_AVX2] = {"-mavx2", "-mfma", NULL},
    [WF_ISA_AVX512] = {"-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma",
                       "-mprefer-vector-width=512"},
    [WF_ISA_AMX] = {"-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma",
                    "-mprefer-vector-width=512"},
    [WF_ISA_NEON] = {NULL}, /* the base of 64-bit ARM */
};
static const char flag_bf16[] = "-mavx512bf16";
/* What is left of a row after whole vectors goes one by one, not by shorter vectors: a quarter less
 * time in gcc, for rows where little or nothing is left. */
static const char *const flags_whole[] = {"--param", "vect-epilogues-nomask=0"};
enum { FLAGS = WF_COUNT(flags_all) + WF_COUNT(flags_whole) + ISA_FLAGS + 1 };

static size_t write_flags(const char *flags[FLAGS + 1], bool tails) {
    const char *const *isa = flags_isa[wf_isa_get()];
    size_t n = 0;
    while (n < WF_COUNT(flags_all)) flags[n] = flags_all[n], n++;
    for (int i = 0; i < ISA_FLAGS && isa[i]; i++) flags[n++] = isa[i];
    if (wf_cpu_has_bf16()) flags[n++] = flag_bf16;
    for (size_t i = 0; i < WF_COUNT(flags_whole) && !tails; i++) flags[n++] = flags_whole[i];
    flags[n] = NULL;
    return n;
}

/* --- making ----------------------------------------------------------------------------------- */

static bool debug(void) { return wf_debug_wants("code"); }

static void log_source(const char *source) {
    for (const char *at = strstr(source, WF_CODE_MARK); at && *at;) {
        const int n = (int)strcspn(at, "\n");
        wf_log_line("%.*s", n, at);
        at += n + (at[n] == '\n');
    }
}

static wf_status write_source(int dir, const char *source, const char *key) {
    const int fd = openat(dir, "code.c", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        if (fd >= 0) close(fd);
        return wf_fail(WF_OUTPUT, "the compiler's directory cannot be written");
    }
    fprintf(f, "%s\nextern const char wf_code_id[];\nconst char wf_code_id[] = \"%s\";\n", source,
            key);
    const bool ok = !ferror(f);
    return fclose(f) == 0 && ok ? WF_OK : wf_fail(WF_OUTPUT, "no room for generated code");
}

static wf_status run_compiler(const wf_cc *cc, const char *const *flags, const char *work,
                              const char *source, const char *key, wf_bytes *out) {
    char in[WF_CACHE_PATH + 8], to[WF_CACHE_PATH + 8];
    const char *argv[FLAGS + 6];
    size_t n = 0;
    snprintf(in, sizeof in, "%s/code.c", work);
    snprintf(to, sizeof to, "%s/code.so", work);
    argv[n++] = cc->path;
    for (; *flags; flags++) argv[n++] = *flags;
    argv[n++] = in;
    argv[n++] = "-o";
    argv[n++] = to;
    argv[n++] = "-lm";
    argv[n] = NULL;
    const int dir = open(work, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) return wf_fail(WF_OUTPUT, "%s cannot be opened", work);
    wf_status s = write_source(dir, source, key);
    if (!s) s = wf_cc_run(cc, (char *const *)argv, work, wf_cc_limit(), &stop);
    if (!s) s = wf_cache_read_file(dir, "code.so", out);
    close(dir);
    return s;
}

static wf_status compile(const wf_cache *cache, const wf_cc *cc, const char *const *flags,
                         const char *source, const char *key, wf_bytes *out) {
    char work[WF_CACHE_PATH];
    wf_status s = wf_cache_work_new(cache, work);
    if (s) return s;
    s = run_compiler(cc, flags, work, source, key, out);
    wf_cache_work_free(work);
    return s;
}

/* The source as loaded code, from the cache where it is there. The number of loads is limited: each
 * is a few mappings, of which a process may have some 65,000. */
static void *make(const char *source, bool tails, bool *cached) {
    static atomic_uint loads;
    if (atomic_fetch_add(&loads, 1) >= LOADS_MOST) {
        wf_fail(WF_UNSUPPORTED, "this process has compiled %d times", LOADS_MOST);
        return NULL;
    }
    const char *flags[FLAGS + 1];
    char key[WF_CACHE_KEY];
    wf_cc cc;
    wf_bytes code = {0};
    if (wf_cc_find(&cc)) return NULL;
    write_flags(flags, tails);
    wf_cache_key(key, &cc, flags, wf_isa_name(wf_isa_get()), source);
    wf_cache cache = wf_cache_open();
    *cached = wf_cache_read(&cache, key, &code);
    void *handle = *cached ? wf_cache_load(&code, key) : NULL;
    if (!handle) {
        free(code.data);
        code = (wf_bytes){0};
        *cached = false;
        if (compile(&cache, &cc, flags, source, key, &code) == WF_OK)
            handle = wf_cache_load(&code, key);
        if (handle && wf_cache_write(&cache, key, &code, WF_CACHE_LIMIT) && debug())
            wf_log_line("code: not cached: %s", wf_error());
    }
    free(code.data);
    wf_cache_close(&cache);
    return handle;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_job(job *j) {
    bool cached = false;
    const double start = seconds();
    void *handle = make(j->source, j->tails, &cached);
    if (debug()) {
        if (handle)
            wf_log_line("code: %zu kernels %s in %.1f ms", j->n, cached ? "loaded" : "compiled",
                        1e3 * (seconds() - start));
        else
            wf_log_line("code: %zu kernels are interpreted: %s", j->n, wf_error());
    }
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < j->n; i++) {
        void *fn = handle ? dlsym(handle, j->of[i]->name) : NULL;
        j->of[i]->state = fn ? READY : FAILED;
        atomic_store_explicit(&j->of[i]->fn, (wf_group_fn *)fn, memory_order_release);
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void job_free(job *j) {
    free(j->of);
    free(j->source);
    free(j);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void *worker(void *j) {
    run_job(j);
    return NULL;
}

/* Signals are for the program's own threads. */
static bool start(job *j) {
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    pthread_mutex_lock(&lock);
    const bool ok = pthread_create(&j->thread, NULL, worker, j) == 0;
    if (ok) j->next = running, running = j;
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return ok;
}

static bool finished(const job *j) {
    for (size_t i = 0; i < j->n; i++)
        if (j->of[i]->state == WANTED) return false;
    return true;
}

/* Joins the jobs that are done; all of them if `all`. */
static void join(bool all) {
    job *done = NULL;
    pthread_mutex_lock(&lock);
    for (job **at = &running; *at;) {
        job *j = *at;
        if (all || finished(j)) {
            *at = j->next;
            j->next = done;
            done = j;
        } else {
            at = &j->next;
        }
    }
    pthread_mutex_unlock(&lock);
    while (done) {
        job *next = done->next;
        pthread_join(done->thread, NULL);
        job_free(done);
        done = next;
    }
}

__attribute__((destructor)) static void at_exit(void) {
    atomic_store(&stop, true);
    join(true);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
static void in_child(void) {
    for (int i = 0; i < BUCKETS; i++)
        for (kernel *k = kernels[i]; k; k = k->next)
            if (k->state == WANTED) k->state = LOST;
    running = NULL;
    pthread_mutex_unlock(&lock);
    pthread_cond_init(&changed, NULL);
}
static void watch_forks(void) { pthread_atfork(before_fork, after_fork, in_child); }

/* --- requests --------------------------------------------------------------------------------- */

/* The kernel of that name, made if it is missing; *mine: this request has to make it. */
static kernel *find(const char *name, bool *mine) {
    kernel **bucket = &kernels[strtoul(name + strlen(name) - 3, NULL, 16) % BUCKETS];
    kernel *k = *bucket;
    while (k && strcmp(k->name, name) != 0) k = k->next;
    *mine = !k || k->state == LOST;
    if (!k) {
        if (!(k = calloc(1, sizeof *k))) return NULL;
        strcpy(k->name, name);
        k->next = *bucket;
        *bucket = k;
    }
    if (*mine) k->state = WANTED;
    return k;
}

typedef struct wanted {
    kernel *kernel;
    const wf_group *group;
} wanted;

static int by_name(const void *a, const void *b) {
    return strcmp(((const wanted *)a)->kernel->name, ((const wanted *)b)->kernel->name);
}

/* Looks up all groups; those that this request has to make are in list[0 .. *n_new). */
static bool look_up(wf_code *c, const wf_group *const *groups, wanted *list, size_t *n_new) {
    char name[WF_CODE_NAME];
    bool ok = true, mine = false;
    for (size_t i = 0; i < c->n; i++) {
        if (!wf_code_can(groups[i])) continue;
        if (!wf_code_name(groups[i], name)) return false;
        pthread_mutex_lock(&lock);
        c->of[i] = find(name, &mine);
        pthread_mutex_unlock(&lock);
        ok = ok && c->of[i];
        if (c->of[i] && mine) list[(*n_new)++] = (wanted){c->of[i], groups[i]};
    }
    return ok;
}

static void give_up(const wanted *list, size_t n) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n; i++) list[i].kernel->state = LOST;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static job *job_new(const wanted *list, size_t n) {
    job *j = calloc(1, sizeof *j);
    const wf_group **groups = calloc(n, sizeof *groups);
    if (j && groups && (j->of = calloc(n, sizeof *j->of))) {
        j->n = n;
        for (size_t i = 0; i < n; i++) {
            j->of[i] = list[i].kernel;
            groups[i] = list[i].group;
            j->tails = j->tails || wf_code_tails(groups[i]);
        }
        j->source = wf_code_text(groups, n);
    }
    free(groups);
    if (j && j->source) return j;
    if (j) job_free(j);
    return NULL;
}

/* Makes the kernels of the list, or has a thread make them. */
static wf_status make_all(wanted *list, size_t n, wf_code_mode mode) {
    if (n == 0) return WF_OK;
    qsort(list, n, sizeof *list, by_name); /* the same groups are the same file */
    job *j = job_new(list, n);
    if (!j) {
        give_up(list, n);
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    }
    if (debug()) log_source(j->source);
    if (mode == WF_CODE_BACKGROUND && start(j)) return WF_OK;
    run_job(j);
    job_free(j);
    return WF_OK;
}

wf_status wf_code_request(wf_code **out, const wf_group *const *groups, size_t n,
                          wf_code_mode mode) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    size_t n_new = 0;
    pthread_once(&once, watch_forks);
    join(false);
    *out = calloc(1, sizeof **out + n * sizeof *(*out)->of);
    wanted *list = calloc(n ? n : 1, sizeof *list);
    wf_status s = *out && list ? WF_OK : wf_fail(WF_MEMORY, "out of memory in the compiler");
    if (!s) {
        (*out)->n = n;
        if (mode != WF_CODE_OFF && !look_up(*out, groups, list, &n_new))
            s = wf_fail(WF_MEMORY, "out of memory in the compiler");
        if (s) give_up(list, n_new);
    }
    if (!s) s = make_all(list, n_new, mode);
    if (!s && mode == WF_CODE_SYNC) wf_code_wait(*out);
    free(list);
    if (!s) return WF_OK;
    wf_code_free(*out);
    *out = NULL;
    return s;
}

void wf_code_free(wf_code *c) { free(c); }

void wf_code_wait(const wf_code *c) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < c->n; i++)
        while (c->of[i] && c->of[i]->state == WANTED) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* --- use -------------------------------------------------------------------------------------- */

wf_group_fn *wf_code_kernel(const wf_code *c, size_t i) {
    return c->of[i] ? atomic_load_explicit(&c->of[i]->fn, memory_order_acquire) : NULL;
}

void wf_code_set(const wf_code *c, size_t i, wf_group_fn *fn) {
    if (c->of[i]) atomic_store_explicit(&c->of[i]->fn, fn, memory_order_release);
}

unsigned wf_code_count(const wf_code *c, size_t i) {
    return c->of[i] ? atomic_fetch_add_explicit(&c->of[i]->count, 1, memory_order_relaxed) : 0;
}
