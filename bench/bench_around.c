/* What does that cost which is not the step: an animation of 20 frames of two clips side by side,
 * as predict --gif writes it (verified: it is there and has frames), and the progress bar, a call
 * for each step, on a terminal that nobody reads?
 *
 *   bench_around [--json FILE] */
#define _GNU_SOURCE /* posix_openpt */
#include <fcntl.h>
#include <gif_lib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/bench.h"
#include "models/moving_mnist/comparison.h"
#include "models/program/progress.h"

enum { FRAMES = 20, CLIPS = 2, SIZE = 32, SCALE = 4, CALLS = 1000000 };

typedef struct movie {
    comparison c;
    char path[64];
    bool failed;
} movie;

static void write_movie(void *user) {
    movie *m = user;
    for (int64_t clip = 0; clip < CLIPS; clip++)
        m->failed |= comparison_gif(&m->c, clip, m->path, SCALE) != WF_OK;
}

static int frames_of(const char *path) {
    int error, n = 0;
    GifFileType *f = DGifOpenFileName(path, &error);
    if (f && DGifSlurp(f) == GIF_OK) n = f->ImageCount;
    if (f) DGifCloseFile(f, &error);
    return n;
}

static void time_gif(void) {
    static float pixels[2][FRAMES * CLIPS * SIZE * SIZE];
    for (int i = 0; i < FRAMES * CLIPS * SIZE * SIZE; i++)
        for (int k = 0; k < 2; k++) pixels[k][i] = (float)(0.5 + 0.5 * sin(0.01 * i + k));
    movie m = {.c = {.truth = pixels[0], .predicted = pixels[1], .frames = FRAMES, .clips = CLIPS,
                     .size = SIZE}};
    snprintf(m.path, sizeof m.path, "/tmp/weft-bench-%d.gif", (int)getpid());
    bench_side side = {.run = write_movie, .user = &m};
    write_movie(&m);
    const bool ok = !m.failed && frames_of(m.path) == FRAMES;
    bench_in_turn(&side, 1, 0.5);
    bench_print(&(bench_row){.question = "animations", .shape = "2 of 20 frames", .mode = "gif",
                             .unit = "frame/s", .work = FRAMES * CLIPS, .best = side.best,
                             .median = side.median, .ok = ok, .threads = 1});
    remove(m.path);
}

static void step_often(void *user) {
    progress *p = user;
    for (int i = 1; i <= CALLS; i++) progress_step(p, i, 0.01);
}

/* On a pseudo terminal the bar is drawn ten times a second. */
static void time_bar(void) {
    const int kept = dup(2), terminal = posix_openpt(O_RDWR | O_NOCTTY);
    bool ok = kept >= 0 && terminal >= 0 && !grantpt(terminal) && !unlockpt(terminal);
    const int other = ok ? open(ptsname(terminal), O_RDWR | O_NOCTTY | O_NONBLOCK) : -1;
    progress p;
    bench_side side = {.run = step_often, .user = &p};
    ok = ok && other >= 0 && dup2(other, 2) == 2;
    setenv("TERM", "xterm", 0);
    progress_open(&p, "training", 0, CALLS);
    ok = ok && p.bar;
    bench_in_turn(&side, 1, 0.3);
    dup2(kept, 2);
    bench_print(&(bench_row){.question = "progress bar", .shape = "a call for each step",
                             .mode = "bar", .unit = "step/s", .work = CALLS, .best = side.best,
                             .median = side.median, .ok = ok, .threads = 1,
                             .ns = side.best / CALLS * 1e9});
    close(kept);
    if (other >= 0) close(other);
    if (terminal >= 0) close(terminal);
}

int main(int argc, char **argv) {
    bench_open("around", &argc, argv);
    time_gif();
    time_bar();
    return bench_close();
}
