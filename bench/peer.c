/* PyTorch in a process beside, for the benchmarks of the ConvLSTM: see convlstm.h. */
#define _GNU_SOURCE /* sched_setaffinity */
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/convlstm.h"

/* All cores: OpenMP's library ties the first thread to one of them before main, which a child would
 * inherit, and with it twice the time. */
static void use_all_cores(void) {
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    sched_setaffinity(0, sizeof all, &all);
}

static bool write_floats(const char *folder, const char *name, const float *v, size_t n) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    if (!f) return false;
    const bool ok = fwrite(v, sizeof *v, n, f) == n;
    return fclose(f) == 0 && ok;
}

static bool write_folder(const char *folder, wf_params *p, convlstm_size s) {
    const size_t n = (size_t)(s.frames * s.batch * s.height * s.width);
    float *x = calloc(n, sizeof *x), *target = calloc(n, sizeof *target);
    char path[256];
    snprintf(path, sizeof path, "%s/init.safetensors", folder);
    bool ok = x && target && !wf_params_save(p, path);
    if (ok) bench_clips(s, x, target);
    ok = ok && write_floats(folder, "x.f32", x, n) && write_floats(folder, "target.f32", target, n);
    free(x);
    free(target);
    return ok;
}

static void remove_folder(const char *folder) {
    static const char *const files[] = {"init.safetensors", "x.f32", "target.f32"};
    char path[256];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* The interpreter with its ends of two pipes as stdin and stdout. */
static bool start(bench_peer *b, char **argv) {
    int to[2], from[2];
    if (pipe(to)) return false;
    if (pipe(from)) return close(to[0]), close(to[1]), false;
    fflush(NULL);
    b->pid = fork();
    if (b->pid == 0) {
        use_all_cores();
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int i = 0; i < 2; i++) close(to[i]), close(from[i]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    b->in = fdopen(to[1], "w");
    b->out = fdopen(from[0], "r");
    return b->pid > 0 && b->in && b->out;
}

/* The child that `python` makes; false if it does not get ready. */
static bool try_python(bench_peer *b, const char *python, char *const rest[10], const char *dtype) {
    char *argv[12] = {(char *)python}, line[256] = "", version[32], form[32];
    memcpy(argv + 1, rest, 10 * sizeof *rest);
    if (start(b, argv) && fgets(line, sizeof line, b->out) &&
        sscanf(line, "ready %31s %31s %ld", version, form, &b->bare_kib) == 3) {
        snprintf(b->name, sizeof b->name, "torch %s %s, %s", version, dtype, form);
        return true;
    }
    bench_peer_close(b);
    return false;
}

bool bench_peer_open(bench_peer *b, wf_params *p, convlstm_size s, const char *task,
                     const char *dtype, const char *form, int threads) {
    char folder[] = "/tmp/weft-bench-XXXXXX", size[5][24];
    const char *python[2] = {getenv("PYTHON"), "/usr/bin/python3"};
    *b = (bench_peer){.name = "absent: PYTHON=... names an interpreter that has torch"};
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(folder)) return false;
    const int64_t number[5] = {s.frames, s.batch, s.height, s.width, threads};
    for (int i = 0; i < 5; i++) snprintf(size[i], sizeof size[i], "%lld", (long long)number[i]);
    char *const rest[10] = {"bench/torch_convlstm.py", (char *)task, (char *)dtype, (char *)form,
                            folder, size[0], size[1], size[2], size[3], size[4]};
    bool ready = false;
    if (write_folder(folder, p, s))
        for (int i = 0; i < 2 && !ready; i++)
            ready = python[i] && *python[i] && try_python(b, python[i], rest, dtype);
    remove_folder(folder);
    if (!ready) printf("PyTorch %s %s: skipped, %s\n", task, dtype, b->name);
    return ready;
}

void bench_peer_run(void *peer) {
    bench_peer *b = peer;
    char line[128];
    b->gone = b->gone || fputs("1\n", b->in) < 0 || fflush(b->in) ||
              !fgets(line, sizeof line, b->out) ||
              sscanf(line, "%lf %lf", &b->loss, &b->seconds) != 2;
}

double bench_peer_close(bench_peer *b) {
    struct rusage use = {.ru_maxrss = 0};
    if (b->in) fclose(b->in);
    if (b->out) fclose(b->out);
    if (b->pid > 0) wait4(b->pid, NULL, 0, &use);
    b->pid = 0;
    b->in = b->out = NULL;
    return (double)use.ru_maxrss * 1024;
}
