/* What the convlstm program draws: curves, animations, contact sheets, the progress bar. */
#include <gif_lib.h>
#include <math.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

#include "models/convlstm/samples.h"
#include "models/program/curves.h"
#include "models/program/metrics.h"
#include "models/program/progress.h"
#include "tests/convlstm_run.h"

TestSuite(convlstm_pictures, .init = make_folder, .fini = remove_folder, .timeout = 300);

static char text[1 << 20], other[1 << 20];

static int count(const char *in, const char *what) {
    int n = 0;
    for (const char *at = in; (at = strstr(at, what)); at++) n++;
    return n;
}

static bool has_program(const char *name) {
    char line[128];
    snprintf(line, sizeof line, "command -v %s >/dev/null 2>&1", name);
    if (system(line) == 0) return true;
    fprintf(stderr, "skipped: not read back by %s, which is not here\n", name);
    return false;
}

/* Runs a shell command with `%s` for a file of the folder. */
static bool accepts(const char *format, const char *name) {
    char line[512];
    snprintf(line, sizeof line, format, in_folder(name));
    return system(line) == 0;
}

/* --- curves --- */

static const char rows[] =
    "{\"step\":1,\"loss\":0.5,\"mae\":0.4}\n{\"step\":2,\"loss\":0.25,\"mae\":0.3}\n"
    "{\"epoch\":1,\"val_loss\":0.2,\"val_mae\":0.1,\"val_psnr\":7,\"val_ssim\":0.5,\"lr\":0.1}\n"
    "{\"step\":3,\"loss\":0.01,\"mae\":null}\n"
    "{\"epoch\":2,\"val_loss\":0.1,\"val_mae\":0.05,\"val_psnr\":10,\"val_ssim\":0.75,"
    "\"lr\":0.1}\n";

static void put_run(const char *name, const char *lines) {
    cr_assert(mkdir(in_folder(name), 0777) == 0);
    char path[64];
    snprintf(path, sizeof path, "%s/metrics.jsonl", name);
    write_file(in_folder(path), lines, strlen(lines));
}

Test(convlstm_pictures, rows_become_a_table) {
    put_run("a", rows);
    cr_assert(curves_update(in_folder("a")) == WF_OK, "%s", wf_error());
    read_file(in_folder("a/metrics.csv"), text, sizeof text);
    cr_expect_str_eq(text, "step,loss,mae,epoch,val_loss,val_mae,val_psnr,val_ssim,lr\n"
                           "1,0.5,0.4,,,,,,\n2,0.25,0.3,,,,,,\n,,,1,0.2,0.1,7,0.5,0.1\n"
                           "3,0.01,,,,,,,\n,,,2,0.1,0.05,10,0.75,0.1\n");
}

Test(convlstm_pictures, runs_are_drawn_into_one_picture) {
    put_run("a", rows);
    put_run("b<&", rows);
    succeed("plot @/a --out @/one.svg");
    read_file(in_folder("one.svg"), text, sizeof text);
    cr_expect(strstr(text, "PSNR") && strstr(text, "SSIM") && strstr(text, "mean absolute error"));
    cr_expect(strstr(text, "loss, logarithmic"));
    cr_expect(count(text, "class=\"line\"") == 2 + 8, "%d lines", count(text, "class=\"line\""));
    succeed("plot @/a '@/b<&' --out @/two.svg");
    read_file(in_folder("two.svg"), text, sizeof text);
    cr_expect(count(text, "class=\"thin\"") == 8, "training is dashed");
    cr_expect(strstr(text, "b&lt;&amp;"), "a name is not escaped");
    succeed("plot @/a '@/b<&' --out @/again.svg");
    read_file(in_folder("again.svg"), other, sizeof other);
    cr_expect_str_eq(text, other);
    if (has_program("xmllint")) cr_expect(accepts("xmllint --noout %s", "two.svg"));
    if (has_program("rsvg-convert")) cr_expect(accepts("rsvg-convert %s >/dev/null", "two.svg"));
}

Test(convlstm_pictures, curves_without_points_are_drawn) {
    put_run("a", "{\"step\":1,\"loss\":0.5}\n");
    put_run("b", "{\"step\":1,\"loss\":null}\n{\"epoch\":1,\"val_loss\":-1}\n");
    succeed("plot @/a @/b --out @/x.svg");
    read_file(in_folder("x.svg"), text, sizeof text);
    cr_expect(strstr(text, "not measured"));
    cr_expect(!strstr(text, "nan") && !strstr(text, "inf"), "a number that is none");
    if (has_program("xmllint")) cr_expect(accepts("xmllint --noout %s", "x.svg"));
}

Test(convlstm_pictures, wrong_runs_are_refused) {
    static const struct {
        const char *lines, *says;
    } bad[] = {{"", "no row"},
               {"{\"step\":1", "no row"}, /* cut short: the run is being written */
               {"{\"step\":1}\nnonsense\n", "line 2"},
               {"[1]\n", "line 1"},
               {"\n", "line 1"}};
    for (size_t i = 0; i < WF_COUNT(bad); i++) {
        char name[8], line[64];
        snprintf(name, sizeof name, "r%zu", i);
        put_run(name, bad[i].lines);
        snprintf(line, sizeof line, "plot @/%s --out @/x.svg", name);
        cr_expect(run(line) == 4 && strstr(err_text, bad[i].says), "%s", err_text);
        cr_expect(count(err_text, "\n") == 1 && strstr(err_text, "metrics.jsonl"), "%s", err_text);
    }
    cr_expect(run("plot @/none --out @/x.svg") == 4 && strstr(err_text, "none/metrics.jsonl"));
    cr_expect(run("plot") == 2 && strstr(err_text, "a DIR is needed"));
    cr_expect(!exists(in_folder("x.svg")));
    put_run("good", rows);
    cr_expect(run("plot @/good --out @/none/x.svg") == 5 && strstr(err_text, "none/x.svg"));
}

Test(convlstm_pictures, a_run_draws_itself) {
    succeed("train " SMALL " --epochs 2 --out @/run");
    static const char *const files[] = {"run/config.json", "run/metrics.csv", "run/curves.svg",
                                        "run/samples.gif"};
    for (size_t i = 0; i < WF_COUNT(files); i++)
        cr_expect(exists(in_folder(files[i])), "%s", files[i]);
    metrics m;
    cr_assert(metrics_read(&m, in_folder("run")) == WF_OK, "%s", wf_error());
    read_file(in_folder("run/metrics.csv"), text, sizeof text);
    cr_expect(count(text, "\n") == m.n + 1, "the table misses the last epoch");
    metrics_free(&m);
}

/* --- pictures of predictions --- */

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Width and height of a PNG, its rows of palette indices in `text`; checks every CRC. */
static void read_png(const char *name, uint32_t *width, uint32_t *height) {
    static uint8_t file[1 << 20];
    const size_t n = read_file(in_folder(name), (char *)file, sizeof file);
    cr_assert(n > 40 && !memcmp(file, "\x89PNG\r\n\x1a\n", 8));
    uLongf bytes = 0;
    for (size_t at = 8; at < n;) {
        const uint32_t bytes_here = big_endian(file + at);
        const uint8_t *data = file + at + 8;
        cr_assert(at + 12 + bytes_here <= n);
        cr_expect(crc32(0, file + at + 4, bytes_here + 4) == big_endian(data + bytes_here));
        if (!memcmp(file + at + 4, "IHDR", 4)) {
            *width = big_endian(data);
            *height = big_endian(data + 4);
        }
        if (!memcmp(file + at + 4, "IDAT", 4)) {
            bytes = sizeof text;
            cr_assert(uncompress((Bytef *)text, &bytes, data, bytes_here) == Z_OK);
        }
        at += 12 + bytes_here;
    }
    cr_assert(bytes == (uLongf)(*width + 1) * *height, "%lu bytes", (unsigned long)bytes);
}

Test(convlstm_pictures, predictions_as_animation_and_sheet) {
    uint32_t width = 0, height = 0;
    succeed("train " SMALL " --steps 2 --out @/run");
    succeed("predict --weights @/run/best.safetensors --frames 6 --samples 2 --gif @/a.gif "
            "--png @/a.png --scale 4");
    read_png("a.png", &width, &height);
    cr_expect(width == 6 * 68 - 4 && height == 4 * (64 + 16 + 4) - 4, "%u x %u", width, height);
    int error;
    GifFileType *gif = DGifOpenFileName(in_folder("a.gif"), &error);
    cr_assert(gif && DGifSlurp(gif) == GIF_OK);
    cr_expect(gif->ImageCount == 6, "%d frames", gif->ImageCount);
    cr_expect(gif->SWidth == 2 * 132 - 4, "prediction beside truth: %d", gif->SWidth);
    DGifCloseFile(gif, &error);
    if (has_program("identify")) {
        cr_expect(accepts("test $(identify %s | wc -l) = 6", "a.gif"));
        cr_expect(accepts("identify %s >/dev/null", "a.png"));
    }
    if (has_program("ffmpeg")) cr_expect(accepts("ffmpeg -v error -i %s -f null -", "a.gif"));
    succeed("predict --weights @/run/best.safetensors --frames 6 --samples 2 --png @/b.png");
    const size_t n = read_file(in_folder("a.png"), text, sizeof text);
    cr_expect(read_file(in_folder("b.png"), other, sizeof other) == n && !memcmp(text, other, n));
    cr_expect(run("predict --weights @/run/best.safetensors --frames 6 --rollout 6 --gif @/c.gif")
              == 2 && strstr(err_text, "--rollout 6"), "%s", err_text);
    cr_expect(!exists(in_folder("c.gif")));
}

/* A roll-out reads true frames up to the last given one, and its own predictions afterwards. */
Test(convlstm_pictures, a_rollout_feeds_predictions_back) {
    enum { FRAMES = 6, K = 3 };
    clips *c;
    samples s;
    wf_params *p = wf_params_new(5);
    const convlstm_size size = {FRAMES - 1, 2, 32, 32, 3};
    const wf_compile_opt o = {.off = WF_PASS_CODE};
    const size_t one = 2 * 32 * 32;
    static float x[(FRAMES - 1) * 2 * 32 * 32], given[(FRAMES - 1) * 2 * 32 * 32];
    cr_assert(clips_open(&c, (clips_opt){.frames = FRAMES}) == WF_OK);
    cr_assert(samples_open(&s, p, size, c, NULL, o) == WF_OK, "%s", wf_error());
    memcpy(given, s.program.x, sizeof given);
    cr_assert(samples_predict(&s, 0) == WF_OK);
    cr_expect(!memcmp(s.program.x, given, sizeof given), "every frame is the true one");
    cr_assert(samples_predict(&s, K) == WF_OK);
    memcpy(x, s.program.x, sizeof x);
    cr_expect(!memcmp(x, given, (FRAMES - K) * one * sizeof *x), "given frames are true");
    for (int t = FRAMES - K; t < FRAMES - 1; t++) {
        cr_expect(!memcmp(x + (size_t)t * one, s.program.y + (size_t)(t - 1) * one,
                          one * sizeof *x), "frame %d is not the one predicted", t);
        cr_expect(memcmp(x + (size_t)t * one, given + (size_t)t * one, one * sizeof *x));
    }
    cr_expect(samples_predict(&s, FRAMES) == WF_ARGUMENT);
    samples_close(&s);
    clips_close(c);
    wf_params_free(p);
}

/* A limit on the size of files stands for a full disk. */
Test(convlstm_pictures, a_picture_that_does_not_fit_leaves_nothing) {
    static const char *const lines[] = {
        "predict --frames 4 --weights @/run/last.safetensors --gif @/x.gif",
        "data --count 4 --out @/x.npy", "train " SMALL " --steps 1 --out @/other"};
    succeed("train " SMALL " --steps 1 --out @/run");
    const struct rlimit limit = {2048, RLIM_INFINITY};
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < WF_COUNT(lines); i++) {
        cr_expect(run(lines[i]) == 5, "convlstm %s: %s", lines[i], err_text);
        const char *last = strstr(err_text, "convlstm ");
        cr_expect(last && count(last, "\n") == 1, "%s", err_text);
    }
    cr_expect(!exists(in_folder("x.gif")) && !exists(in_folder("x.npy")));
    cr_expect(accepts("test -z \"$(find %s -name '*tmp*' -o -name '.*' -type f)\"", "."));
    cr_expect(!exists(in_folder("other/last.safetensors")));
}

/* --- progress --- */

/* What a child writes to a terminal of 80 columns while it takes 40 steps. */
static void on_terminal(const char *no_color) {
    struct winsize w = {.ws_row = 24, .ws_col = 80};
    int terminal;
    const pid_t child = forkpty(&terminal, NULL, NULL, &w);
    cr_assert(child >= 0);
    if (child == 0) {
        progress p;
        setenv("TERM", "xterm", 1);
        no_color ? setenv("NO_COLOR", no_color, 1) : unsetenv("NO_COLOR");
        progress_open(&p, "training", 0, 40);
        progress_note(&p, "epoch 1/2");
        for (int i = 1; i <= 40; i++) {
            usleep(10000);
            progress_step(&p, i, 0.5 / i);
            if (i == 20) report_progress("a line");
        }
        progress_close(&p);
        _exit(0);
    }
    size_t n = 0;
    for (ssize_t got; (got = read(terminal, text + n, sizeof text - 1 - n)) > 0;) n += (size_t)got;
    text[n] = 0;
    close(terminal);
    waitpid(child, NULL, 0);
}

Test(convlstm_pictures, a_terminal_gets_a_bar) {
    on_terminal(NULL);
    const int drawn = count(text, "epoch 1/2");
    cr_expect(drawn >= 2 && drawn <= 6 + 4, "0.4 seconds, drawn %d times", drawn);
    cr_expect(strstr(text, "40/40  loss 0.01250") && strstr(text, "left") && strstr(text, "="));
    cr_expect(strstr(text, "\033[36m") && strstr(text, "\r\033[K"));
    cr_expect(strstr(text, "\r\033[Ka line\r\n"), "a line goes above the bar");
    cr_expect(!strcmp(text + strlen(text) - 4, "\r\033[K"), "the bar is taken away at the end");
    on_terminal("1");
    cr_expect(strstr(text, "epoch 1/2") && !strstr(text, "\033[36m"), "NO_COLOR");
}

Test(convlstm_pictures, a_pipe_gets_plain_lines) {
    succeed("train " SMALL " --steps 7 --out @/run");
    cr_expect(!strchr(err_text, '\r') && !strchr(err_text, '\033'), "%s", err_text);
    cr_expect(strstr(err_text, "7/7  loss "), "%s", err_text);
    const char *table = strstr(err_text, "all (forward)"), *waited = strstr(err_text, "waited ");
    double seconds, all, share;
    cr_assert(table && table < strstr(err_text, "clips to train on"), "the table of layers first: "
              "%s", err_text);
    cr_assert(waited && sscanf(waited, "waited %lf s of %lf s for data (%lf %%)", &seconds, &all,
                               &share) == 3, "%s", err_text);
    cr_expect(seconds >= 0 && seconds <= all && share <= 100);
    cr_expect(count(err_text, "  loss 0") <= 4, "%s", err_text);
    char buf[32];
    cr_expect_str_eq(progress_time(7.2, buf), "0:07");
    cr_expect_str_eq(progress_time(3723, buf), "1:02:03");
    cr_expect_str_eq(progress_time(-1, buf), "0:00");
    cr_expect_str_eq(progress_time(1e300, buf), "99:59:59");
}
