/* convlstm train, killed, interrupted and resumed: a run ends with the same files however often it
 * was cut. WEFT_KILLS, WEFT_SIGNALS: how many times it is killed and interrupted (the slow tests
 * set 50 and 40). */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tensor/tensor.h"

#define SMALL "--hidden 2 --frames 4 --clips 16 --batch 2 --seed 3 --threads 1 --save-every 3"

static char folder[] = "/tmp/weft-resume-XXXXXX"; /* of one test; every test is a process */
static char errors[1 << 16];

static void make_folder(void) { cr_assert(mkdtemp(folder)); }

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert(system(command) == 0);
}

TestSuite(convlstm_resume, .init = make_folder, .fini = remove_folder, .timeout = 900);

static const char *in_folder(const char *name) {
    static char path[4][320];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static size_t read_file(const char *path, char *buf, size_t size) {
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    const size_t n = fread(buf, 1, size - 1, f);
    buf[n] = 0;
    fclose(f);
    return n;
}

/* Starts the program; `@` in the arguments is the test's folder. stderr goes to a file. */
static pid_t start(const char *arguments) {
    static char line[4096], *word[64];
    const char *program = getenv("WEFT_CONVLSTM");
    size_t n = 0;
    for (const char *a = arguments; *a; a++)
        n += (size_t)snprintf(line + n, sizeof line - n, *a == '@' ? "%s" : "%.1s",
                              *a == '@' ? folder : a);
    int words = 0;
    word[words++] = (char *)(uintptr_t)(program ? program : "build/convlstm");
    for (char *w = strtok(line, " "); w && words < 63; w = strtok(NULL, " ")) word[words++] = w;
    word[words] = NULL;
    const pid_t child = fork();
    if (child) return child;
    const int fd = open(in_folder("stderr.txt"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(fd, 2);
    execv(word[0], word);
    _exit(127);
}

/* Its exit code; minus the signal that ended it. */
static int end(pid_t child) {
    int status;
    cr_assert(waitpid(child, &status, 0) == child);
    read_file(in_folder("stderr.txt"), errors, sizeof errors);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void succeed(const char *arguments) {
    const int code = end(start(arguments));
    cr_assert(code == 0, "convlstm %s: exit code %d: %s", arguments, code, errors);
}

static void wait_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static long random_below(long n) {
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (long)((state >> 33) % (uint64_t)n);
}

/* The rows of a run without the fields that are times. */
static char *rows_of(const char *path) {
    static char text[1 << 18];
    char *out = calloc(1, sizeof text), *at = out;
    read_file(path, text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *row = json_loads(line, 0, NULL);
        cr_assert(row, "%s: a broken row: %s", path, line);
        json_object_del(row, "seconds");
        char *plain = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(17));
        at += sprintf(at, "%s\n", plain);
        free(plain);
        json_decref(row);
    }
    return out;
}

static void expect_same_run(const char *a, const char *b) {
    static const char *const file[] = {"checkpoint.safetensors", "best.safetensors",
                                       "last.safetensors"};
    static char text[2][1 << 18];
    char path[2][320];
    for (size_t i = 0; i < WF_COUNT(file); i++) {
        snprintf(path[0], sizeof path[0], "%s/%s/%s", folder, a, file[i]);
        snprintf(path[1], sizeof path[1], "%s/%s/%s", folder, b, file[i]);
        const size_t n = read_file(path[0], text[0], sizeof text[0]);
        cr_assert(n > 0 && n == read_file(path[1], text[1], sizeof text[1]), "%s", path[1]);
        cr_assert(!memcmp(text[0], text[1], n), "%s and %s differ", path[0], path[1]);
    }
    snprintf(path[0], sizeof path[0], "%s/%s/metrics.jsonl", folder, a);
    snprintf(path[1], sizeof path[1], "%s/%s/metrics.jsonl", folder, b);
    char *one = rows_of(path[0]), *other = rows_of(path[1]);
    cr_assert_str_eq(one, other, "rows differ:\n%s\n%s", one, other);
    free(one);
    free(other);
}

/* Nothing but what a run has: no file that was being written when it was killed. */
static void expect_no_leftovers(const char *name) {
    DIR *d = opendir(in_folder(name));
    cr_assert(d);
    for (const struct dirent *e; (e = readdir(d));)
        cr_assert(strncmp(e->d_name, ".weft", 5) != 0, "%s is left over", e->d_name);
    closedir(d);
}

static int from_environment(const char *name, int usual) {
    return getenv(name) ? atoi(getenv(name)) : usual;
}

/* Runs to the end once, then again and again with `cuts` signals in all, each at a random moment of
 * at most the time that the whole run takes: of `numbers` in turn. cut() looks at what one left. */
static void cut_at_random_moments(const int *number, int numbers, int cuts,
                                  void (*cut)(int signal_number, int code, const char *run)) {
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    succeed("train " SMALL " --steps 40 --out @/whole");
    clock_gettime(CLOCK_MONOTONIC, &t1);
    const long ms = (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000 + 1;
    int done = 0;
    for (int round = 0; done < cuts; round++) {
        char line[256], again[256];
        snprintf(line, sizeof line, "train " SMALL " --steps 40 --resume @/cut%d", round);
        snprintf(again, sizeof again, "cut%d", round);
        for (int in_this_run = 0;; in_this_run++) {
            const pid_t child = start(line);
            const int signal_number = number[done % numbers];
            if (done < cuts && in_this_run < 8) {
                wait_ms(random_below(ms));
                kill(child, signal_number);
            }
            const int code = end(child);
            if (code == 0) break;
            cut(signal_number, code, again);
            done++;
        }
        expect_same_run("whole", again);
        expect_no_leftovers(again);
    }
}

static void after_kill(int signal_number, int code, const char *run) {
    cr_assert(code == -signal_number, "exit code %d: %s", code, errors);
}

Test(convlstm_resume, killed_at_random_moments) {
    cut_at_random_moments((const int[]){SIGKILL}, 1, from_environment("WEFT_KILLS", 5), after_kill);
}

static long long step_of(const char *path) {
    wf_safetensors *file;
    int64_t done;
    cr_assert(wf_safetensors_open(&file, path) == WF_OK, "%s", wf_error());
    memcpy(&done, wf_safetensors_find(file, "trainer.step")->data, sizeof done);
    wf_safetensors_free(file);
    return done;
}

/* Before the training begins there is nothing to save, and a signal ends the program as any. */
static void after_signal(int signal_number, int code, const char *run) {
    char file[280];
    if (code == -signal_number && !strstr(errors, "clips to train on")) return;
    cr_assert(code == 128 + signal_number, "exit code %d: %s", code, errors);
    const char *told = strstr(errors, "stopped after step ");
    cr_assert(told, "%s", errors);
    snprintf(file, sizeof file, "%s/checkpoint.safetensors", run);
    cr_assert_eq(step_of(in_folder(file)), atoi(told + strlen("stopped after step ")), "%s",
                 errors);
}

Test(convlstm_resume, interrupted_at_random_moments) {
    const int signals = from_environment("WEFT_SIGNALS", 0);
    if (!signals) cr_skip("this one is behind make test-slow");
    cut_at_random_moments((const int[]){SIGINT, SIGTERM}, 2, signals, after_signal);
}

/* Waits until the run has written `rows` rows. */
static void wait_for_rows(const char *path, int rows) {
    static char text[1 << 18];
    for (int tries = 0; tries < 6000; tries++) {
        text[0] = 0;
        read_file(path, text, sizeof text);
        int n = 0;
        for (const char *c = text; *c; c++) n += *c == '\n';
        if (n >= rows) return;
        wait_ms(5);
    }
    cr_assert(false, "%s never had %d rows", path, rows);
}

Test(convlstm_resume, signals_save_and_tell_by_exit_code) {
    static const int number[] = {SIGINT, SIGTERM};
    static const char *const name[] = {"int", "term"};
    for (int i = 0; i < 2; i++) {
        char line[256], file[64];
        snprintf(line, sizeof line, "train " SMALL " --steps 100000 --out @/%s", name[i]);
        snprintf(file, sizeof file, "%s/metrics.jsonl", name[i]);
        const pid_t child = start(line);
        wait_for_rows(in_folder(file), 4 + i);
        kill(child, number[i]);
        const int code = end(child);
        cr_assert(code == 128 + number[i], "exit code %d: %s", code, errors);
        cr_assert(strstr(errors, "stopped after step"), "%s", errors);
        snprintf(file, sizeof file, "%s/checkpoint.safetensors", name[i]);
        const long long done = step_of(in_folder(file));
        snprintf(line, sizeof line, "train --resume @/%s --steps %lld", name[i], done + 4);
        succeed(line);
        snprintf(line, sizeof line, "train " SMALL " --steps %lld --out @/whole", done + 4);
        succeed(line);
        expect_same_run("whole", name[i]);
    }
}

/* Bit n - 1 of SigCgt: the process has a handler for signal n. */
static bool has_handler(pid_t process, int number) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    if (!read_file(path, text, sizeof text)) return false;
    const char *caught = strstr(text, "SigCgt:");
    return caught && strtoull(caught + strlen("SigCgt:"), NULL, 16) >> (number - 1) & 1;
}

/* The first signal waits for the end of a step, which is a long one here. */
Test(convlstm_resume, a_second_signal_stops_at_once) {
    if (access("/proc/self/status", R_OK)) cr_skip("no /proc here");
    int code = 0;
    for (int tries = 0; tries < 5 && code != -SIGTERM; tries++) {
        remove(in_folder("run/metrics.jsonl"));
        const pid_t child = start("train --hidden 32 --clips 8 --batch 4 --val 0 --threads 1 "
                                  "--steps 1000 --out @/run");
        wait_for_rows(in_folder("run/metrics.jsonl"), 1);
        kill(child, SIGINT);
        while (has_handler(child, SIGINT)) wait_ms(1);
        kill(child, SIGTERM);
        code = end(child);
        cr_assert(code == -SIGTERM || code == 128 + SIGINT, "exit code %d: %s", code, errors);
    }
    cr_assert_eq(code, -SIGTERM, "five times the step was done before: %s", errors);
}

Test(convlstm_resume, only_some_options_may_differ) {
    static const char *const differs[] = {"--seed 4", "--hidden 3", "--lr 0.1", "--recipe notebook",
                                          "--batch 4", "--val 0.2", "--clips 18", "--no-shuffle",
                                          "--frames 5", "--clip 1", "--average 0.5",
                                          "--precision bf16", "--memory 99", "--splits 8,4,4"};
    char line[512];
    succeed("train " SMALL " --steps 2 --out @/run");
    for (size_t i = 0; i < WF_COUNT(differs); i++) {
        snprintf(line, sizeof line, "train --resume @/run --steps 4 %s", differs[i]);
        const int code = end(start(line));
        char name[32] = "";
        sscanf(differs[i], "%31s", name);
        cr_assert(code == 2 && strstr(errors, name), "%s: exit code %d: %s", differs[i], code,
                  errors);
    }
    succeed("train --resume @/run --steps 4 --threads 2 --log-every 2 --save-every 1");
}

Test(convlstm_resume, in_any_precision) {
    static const char *const modes[] = {"f32x3", "bf16"};
    for (size_t m = 0; m < WF_COUNT(modes); m++) {
        char line[256];
        snprintf(line, sizeof line, "train " SMALL " --precision %s --steps 9 --out @/whole",
                 modes[m]);
        succeed(line);
        snprintf(line, sizeof line, "train " SMALL " --precision %s --steps 4 --out @/%s", modes[m],
                 modes[m]);
        succeed(line);
        snprintf(line, sizeof line, "train --resume @/%s --steps 9", modes[m]);
        succeed(line);
        expect_same_run("whole", modes[m]);
    }
}

Test(convlstm_resume, other_data_are_refused) {
    succeed("data --count 16 --out @/clips.npy");
    succeed("train " SMALL " --npy @/clips.npy --steps 2 --out @/run");
    succeed("data --count 16 --seed 9 --out @/clips.npy");
    const int code = end(start("train --resume @/run --steps 4"));
    cr_assert(code == 2 && strstr(errors, "the data are not those of the run in "),
              "exit code %d: %s", code, errors);
    succeed("data --count 16 --out @/clips.npy");
    succeed("train --resume @/run --steps 4");
}

Test(convlstm_resume, nothing_saved_yet) {
    succeed("train " SMALL " --steps 2 --resume @/new");
    cr_assert(strstr(errors, "nothing is saved yet; starting at step 0"), "%s", errors);
    succeed("train " SMALL " --steps 2 --out @/plain");
    expect_same_run("plain", "new");
}

Test(convlstm_resume, a_damaged_checkpoint_falls_back_and_ends_the_same) {
    succeed("train " SMALL " --steps 9 --out @/whole");
    succeed("train " SMALL " --steps 7 --out @/run");
    cr_assert(truncate(in_folder("run/checkpoint.safetensors"), 1000) == 0);
    succeed("train --resume @/run --steps 9");
    cr_assert(strstr(errors, "checkpoint.1.safetensors"), "%s", errors);
    expect_same_run("whole", "run");
    cr_assert(truncate(in_folder("run/checkpoint.safetensors"), 1000) == 0);
    cr_assert(truncate(in_folder("run/checkpoint.1.safetensors"), 1000) == 0);
    const int code = end(start("train --resume @/run --steps 9"));
    cr_assert(code == 4 && strstr(errors, "checkpoint.safetensors"), "exit code %d: %s", code,
              errors);
}

/* The weights of a file with one bias so large that the first cell overflows at its second step. */
static void write_overflowing(const char *from, const char *to) {
    static const char bias[] = "convlstm0.0.conv_lstm_cell.conv_ig.bias";
    static wf_named tensor[128];
    float value[2] = {3e38f, 3e38f};
    wf_safetensors *file;
    cr_assert(wf_safetensors_open(&file, from) == WF_OK, "%s", wf_error());
    const size_t n = wf_safetensors_count(file);
    for (size_t i = 0; i < n; i++) {
        tensor[i] = *wf_safetensors_at(file, i);
        if (!strcmp(tensor[i].name, bias)) tensor[i].data = value;
    }
    cr_assert(wf_safetensors_write(to, tensor, n, NULL, 0) == WF_OK, "%s", wf_error());
    wf_safetensors_free(file);
}

Test(convlstm_resume, an_anomaly_is_named_and_spares_the_best) {
    static char before[1 << 18], after[1 << 18];
    succeed("train " SMALL " --steps 2 --out @/run");
    const size_t n = read_file(in_folder("run/best.safetensors"), before, sizeof before);
    write_overflowing(in_folder("run/last.safetensors"), in_folder("huge.safetensors"));
    int code = end(start("train " SMALL " --steps 2 --init @/huge.safetensors --out @/run"));
    cr_assert(code == 3 && strstr(errors, "step 1: loss "), "exit code %d: %s", code, errors);
    cr_assert(!strstr(errors, "operation "), "%s", errors);
    code = end(start("train " SMALL " --steps 2 --init @/huge.safetensors --out @/run "
                     "--detect-anomaly"));
    cr_assert(code == 3 && strstr(errors, "operation ") && strstr(errors, "conv_lstm_cell/t1"),
              "exit code %d: %s", code, errors);
    cr_assert(read_file(in_folder("run/best.safetensors"), after, sizeof after) == n);
    cr_assert(!memcmp(before, after, n), "the best weights were touched");
}
