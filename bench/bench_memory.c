/* How much memory does training take (batch 8, 19 steps of 32x32, hidden 64), in every precision
 * mode, beside PyTorch? Each side is a process of its own that takes three steps; what counts is
 * its largest resident set, of PyTorch that of the form that needs least.
 *
 * Verified first: a small network against the same graph with every pass off; then the first loss
 * of each child against PyTorch's.
 *
 *   bench_memory [MODE] [--json FILE] */
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/convlstm.h"

enum { STEPS = 3 };
static const char *const forms[] = {"over_time", "side_by_side"};

/* What a child tells its parent. */
typedef struct answer {
    double loss;
    double arena, buffers, scratch;
    bool ok;
} answer;

static answer train(const bench_mode *m) {
    convlstm_program c = {.program = NULL};
    wf_params *p = wf_params_new(7);
    answer a = {.ok = bench_trainer(&c, p, bench_notebook, m, 0)};
    if (!a.ok) return a;
    *c.lr = 1e-3f;
    for (int i = 0; i < STEPS && a.ok; i++) {
        a.ok = wf_run(c.program) == WF_OK;
        if (i == 0) a.loss = (double)*c.loss;
    }
    const wf_program_info info = wf_program_describe(c.program);
    a.arena = (double)info.arena_bytes;
    a.buffers = (double)info.buffer_bytes;
    a.scratch = (double)info.scratch_bytes;
    return a;
}

/* Runs `work` in a process of its own: its peak resident set, 0 if it failed. The parent runs no
 * program, so that children have all threads and little that is not theirs. */
static double child(answer (*work)(const bench_mode *), const bench_mode *m, answer *a) {
    int fd[2];
    struct rusage use = {.ru_maxrss = 0};
    fflush(NULL);
    if (pipe(fd)) return 0;
    const pid_t pid = fork();
    if (pid == 0) {
        const answer got = work(m);
        fflush(NULL);
        _exit(write(fd[1], &got, sizeof got) != sizeof got);
    }
    close(fd[1]);
    const bool told = pid > 0 && read(fd[0], a, sizeof *a) == sizeof *a && a->ok;
    close(fd[0]);
    if (pid > 0) wait4(pid, NULL, 0, &use);
    return told ? (double)use.ru_maxrss * 1024 : 0;
}

static answer verify(const bench_mode *m) {
    return (answer){.ok = bench_verify(m, bench_threads())};
}

/* The form of PyTorch that needs least, in *best, with its first loss. 0: absent. */
static double peer_bytes(const bench_mode *m, wf_params *p, bench_peer *best) {
    double least = 0;
    for (size_t i = 0; i < WF_COUNT(forms); i++) {
        bench_peer b;
        const bool there = bench_peer_open(&b, p, bench_notebook, "train", m->peer, forms[i],
                                           bench_threads());
        if (!there) return *best = b, 0;
        bench_peer_run(&b);
        const double loss = b.loss;
        for (int k = 1; k < STEPS; k++) bench_peer_run(&b);
        const double bytes = bench_peer_close(&b);
        printf("  %s: %.0f MiB, %.0f before there was a network\n", b.name, bytes / 0x1p20,
               (double)b.bare_kib / 1024);
        if (b.gone || (least > 0 && bytes >= least)) continue;
        least = bytes;
        *best = b;
        best->loss = loss;
    }
    return least;
}

static bool measure(const bench_mode *m, wf_params *p) {
    char shape[64];
    answer a;
    bench_peer peer = {.name = "absent"};
    if (child(verify, m, &a) <= 0) return false;
    const double bytes = child(train, m, &a);
    if (bytes <= 0) return false;
    const double other = peer_bytes(m, p, &peer);
    const bool ok = other <= 0 || fabs(a.loss / peer.loss - 1) <= m->loss;
    if (other > 0)
        printf("verify: first loss %.8g, %s %.8g: %s\n", a.loss, peer.name, peer.loss,
               ok ? "ok" : "WRONG");
    bench_print(&(bench_row){
        .question = "training memory", .shape = bench_size_text(bench_notebook, shape),
        .mode = m->name, .unit = "MiB", .work = bytes / 0x1p20, .peer = peer.name,
        .peer_work = other / 0x1p20, .ok = ok});
    printf("  of them planned: arena %.0f MiB, inputs and outputs %.0f, scratch %.0f",
           a.arena / 0x1p20, a.buffers / 0x1p20, a.scratch / 0x1p20);
    if (other > 0) printf("; %.2f times PyTorch's", bytes / other);
    printf("\n");
    return ok;
}

/* The weights with which a trainer begins; any program of the network makes them. */
static bool make_weights(wf_params *p) {
    const convlstm_size tiny = {.frames = 1, .batch = 1, .height = 1, .width = 1, .hidden = 64};
    convlstm_program c;
    if (!p || convlstm_predictor(&c, p, tiny, (wf_compile_opt){.threads = 1})) return false;
    convlstm_program_free(&c);
    return true;
}

int main(int argc, char **argv) {
    bench_place(argv);
    bench_open("memory", &argc, argv);
    wf_params *p = wf_params_new(7);
    bool ok = make_weights(p);
    for (const bench_mode *m = bench_modes; m->name; m++)
        if (argc < 2 || !strcmp(argv[1], m->name)) ok &= measure(m, p);
    wf_params_free(p);
    return bench_close() | !ok;
}
