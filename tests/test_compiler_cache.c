/* The cache of compiled code under attack and in trouble: what is run is what was compiled, the
 * program never fails, and the next good start repairs the entry. Attempts run in children, for a
 * process makes a kernel only once. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "compiler/cache.h"
#include "compiler/code.h"
#include "tensor/elementwise.h"

static char home[64], dir[80];

static void run(const char *format, const char *a, const char *b) {
    char command[1024];
    snprintf(command, sizeof command, format, a, b);
    cr_assert(system(command) == 0, "%s", command);
}

static void start(void) {
    strcpy(home, "/tmp/weft-cache-XXXXXX");
    cr_assert(mkdtemp(home));
    snprintf(dir, sizeof dir, "%s/weft", home);
    setenv("XDG_CACHE_HOME", home, 1);
    setenv("WF_DEBUG", "code", 1);
    unsetenv("WF_CC");
    umask(022);
}
static void end(void) { run("rm -rf %s", home, ""); }
TestSuite(compiler_cache, .init = start, .fini = end, .timeout = 120);

static bool have_compiler(void) {
    wf_cc cc;
    if (wf_cc_find(&cc) == WF_OK) return true;
    cr_log_warn("no C compiler here: generated code is not tested");
    return false;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- attempts --------------------------------------------------------------------------------- */

typedef struct outcome {
    bool right, compiled, loaded, unsafe; /* results; how; whether the directory was refused */
    int n_unsafe;
    double request_s;
    char lines[4096];
} outcome;

static outcome *shared;
static void keep_line(void *user, const char *line) {
    if (strncmp(line, "code: ", 6) != 0 && !strstr(line, "not cached")) return;
    strncat(shared->lines, line, sizeof shared->lines - strlen(shared->lines) - 2);
    strcat(shared->lines, "\n");
    if (strstr(line, " compiled in ")) shared->compiled = true;
    if (strstr(line, " loaded in ")) shared->loaded = true;
    if (strstr(line, "compiled code is not cached")) shared->unsafe = true, shared->n_unsafe++;
}

/* y = a x + which */
static void make_group(wf_group *g, int which) {
    memset(g, 0, sizeof *g);
    g->n_in = 3, g->n_step = 2, g->n_out = 1;
    for (int i = 0; i < 3; i++) g->in[i] = (wf_group_place){WF_F32, i == 0 ? 4 : 0, i == 0};
    g->in[2].row_stride = which; /* another text, another kernel */
    g->step[0] = (wf_group_step){&wf_op_mul, WF_F32, 2, {0, 1}};
    g->step[1] = (wf_group_step){&wf_op_add, WF_F32, 2, {3, 2}};
    g->out[0] = (wf_group_place){WF_F32, 4, 1};
    g->out_value[0] = 4;
}

static bool runs_right(const wf_code *code, const wf_group *g) {
    float x[4] = {1, 2, 3, 4}, a = 2, b = 5, y[4] = {0};
    void *p[] = {x, &a, &b, y};
    void *scratch = aligned_alloc(64, (wf_group_scratch(g) + 127) / 64 * 64);
    wf_code_call(code, 0, g, p, 1, 4, scratch);
    free(scratch);
    return y[0] == 7 && y[1] == 9 && y[2] == 11 && y[3] == 13;
}

static void child(int which, wf_code_mode mode) {
    wf_group g;
    const wf_group *list[] = {&g};
    wf_code *code;
    make_group(&g, which);
    wf_set_log(keep_line, NULL);
    const double at = seconds();
    const wf_status s = wf_code_request(&code, list, 1, mode);
    shared->request_s = seconds() - at;
    if (s) exit(1);
    shared->right = runs_right(code, &g);
    wf_code_free(code);
    exit(0);
}

static pid_t start_attempt(int which, wf_code_mode mode, outcome *out) {
    const pid_t pid = fork();
    if (pid == 0) {
        shared = out;
        child(which, mode);
    }
    return pid;
}

static outcome *outcome_new(void) {
    outcome *o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(o != MAP_FAILED);
    return o;
}

static void finish_attempt(pid_t pid, const outcome *o) {
    int status = -1;
    cr_assert(waitpid(pid, &status, 0) == pid);
    cr_assert(status == 0, "status %#x: %s", status, o->lines);
    cr_assert(o->right, "wrong results: %s", o->lines);
}

static outcome attempt(int which) {
    outcome *o = outcome_new();
    finish_attempt(start_attempt(which, WF_CODE_SYNC, o), o);
    const outcome copy = *o;
    munmap(o, sizeof *o);
    return copy;
}

static void expect_compiled(const char *what) {
    const outcome o = attempt(0);
    cr_assert(o.compiled && !o.loaded, "%s: %s", what, o.lines);
}
static void expect_loaded(const char *what) {
    const outcome o = attempt(0);
    cr_assert(o.loaded && !o.compiled, "%s: %s", what, o.lines);
}

static int count(const char *prefix, const char *end_with, char *name) {
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        const size_t length = strlen(e->d_name), tail = strlen(end_with);
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0 || e->d_name[0] == '.') continue;
        if (length < tail || strcmp(e->d_name + length - tail, end_with) != 0) continue;
        if (name) strcpy(name, e->d_name);
        n++;
    }
    if (d) closedir(d);
    return n;
}

/* The path of the only entry. */
static void entry_path(char path[512]) {
    char name[256] = "";
    cr_assert_eq(count("", ".code", name), 1);
    snprintf(path, 512, "%s/%s", dir, name);
}

static void read_file(const char *path, char **data, size_t *size) {
    FILE *f = fopen(path, "rb");
    struct stat st;
    cr_assert(f && fstat(fileno(f), &st) == 0);
    *size = (size_t)st.st_size;
    *data = malloc(*size);
    cr_assert_eq(fread(*data, 1, *size, f), *size);
    fclose(f);
}
static void write_file(const char *path, const char *data, size_t size) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, size, f) == size);
    fclose(f);
}

static const char *key_of(int digit) {
    static char key[WF_CACHE_KEY];
    memset(key, digit, WF_CACHE_KEY - 1);
    return key;
}

Test(compiler_cache, cold_and_warm) {
    if (!have_compiler()) return;
    const outcome cold = attempt(0), warm = attempt(0);
    cr_assert(cold.compiled && warm.loaded, "%s%s", cold.lines, warm.lines);
    cr_log_info("one kernel: %.0f ms cold, %.1f ms warm", 1e3 * cold.request_s,
                1e3 * warm.request_s);
    struct stat st;
    cr_assert(stat(dir, &st) == 0 && (st.st_mode & 07777) == 0700);
    cr_assert_eq(count("tmp-", "", NULL) + count("work-", "", NULL), 0);
}

/* --- the directory (attacks 1 to 3) ----------------------------------------------------------- */

static void expect_refused(const char *what) {
    const outcome o = attempt(0);
    cr_assert(o.compiled && o.unsafe && o.n_unsafe == 1, "%s: %s", what, o.lines);
    cr_assert_eq(count("", ".code", NULL), 0, "%s: an entry was written", what);
}

Test(compiler_cache, foreign_owner) {
    if (!have_compiler()) return;
    if (geteuid() != 0) {
        cr_log_warn("not root: no directory of another owner can be made");
        return;
    }
    char path[512];
    cr_assert(mkdir(dir, 0700) == 0 && chown(dir, 12345, 12345) == 0);
    expect_refused("a directory of another owner");
    cr_assert(chown(dir, 0, 0) == 0);
    expect_compiled("our directory");
    entry_path(path);
    cr_assert(chown(path, 12345, 12345) == 0);
    expect_compiled("an entry of another owner");
    expect_loaded("the entry, repaired");
}

Test(compiler_cache, directory_open_to_others) {
    if (!have_compiler()) return;
    cr_assert(mkdir(dir, 0700) == 0 && chmod(dir, 0777) == 0);
    expect_refused("a directory of mode 0777");
    cr_assert(chmod(dir, 0750) == 0);
    expect_refused("a directory of mode 0750");
}

Test(compiler_cache, directory_is_a_link) {
    if (!have_compiler()) return;
    char other[128];
    snprintf(other, sizeof other, "%s/other", home);
    cr_assert(mkdir(other, 0700) == 0 && symlink(other, dir) == 0);
    expect_refused("a link to a directory");
    cr_assert(unlink(dir) == 0);
    write_file(dir, "", 0);
    expect_refused("a file in the directory's place");
}

/* --- entries (attacks 4 to 9) ----------------------------------------------------------------- */

Test(compiler_cache, entry_is_a_link) {
    if (!have_compiler()) return;
    char path[512], other[128];
    snprintf(other, sizeof other, "%s/other", home);
    expect_compiled("first");
    entry_path(path);
    run("mv %s %s", path, other);
    cr_assert(symlink(other, path) == 0);
    expect_compiled("a symbolic link");
    struct stat st;
    cr_assert(lstat(path, &st) == 0 && S_ISREG(st.st_mode), "the link was written through");
    expect_loaded("the entry, repaired");
    cr_assert(link(path, "/tmp") != 0 && unlink(other) == 0 && link(path, other) == 0);
    expect_compiled("a hard link");
    expect_loaded("the entry, repaired");
}

Test(compiler_cache, entry_open_to_others) {
    if (!have_compiler()) return;
    char path[512];
    expect_compiled("first");
    entry_path(path);
    cr_assert(chmod(path, 0666) == 0);
    expect_compiled("an entry of mode 0666");
    expect_loaded("the entry, repaired");
}

Test(compiler_cache, damaged_entry) {
    if (!have_compiler()) return;
    char path[512], *data;
    size_t size;
    expect_compiled("first");
    entry_path(path);
    read_file(path, &data, &size);
    const size_t cuts[] = {0, 1, 100, 142, 143, size / 2, size - 1};
    for (size_t i = 0; i < WF_COUNT(cuts); i++) {
        write_file(path, data, cuts[i]);
        expect_compiled("a truncated entry");
        expect_loaded("the entry, repaired");
    }
    const size_t flips[] = {0, 20, 90, 150, 160, size / 2, size - 1};
    for (size_t i = 0; i < WF_COUNT(flips); i++) {
        data[flips[i]] ^= 4;
        write_file(path, data, size);
        data[flips[i]] ^= 4;
        expect_compiled("an entry with a flipped bit");
    }
    char *longer = calloc(size + 100, 1);
    memcpy(longer, data, size);
    write_file(path, longer, size + 100);
    expect_compiled("an entry with a tail");
    free(longer);
    free(data);
}

/* Code for another instruction set, and other code under a header that fits. */
Test(compiler_cache, entry_of_another_key) {
    if (!have_compiler()) return;
    char plain[512], path[512], *data;
    size_t size;
    setenv("WF_ISA", "scalar", 1);
    expect_compiled("plain");
    entry_path(plain);
    read_file(plain, &data, &size);
    cr_assert(unlink(plain) == 0);
    unsetenv("WF_ISA");
    expect_compiled("the best of this machine");
    entry_path(path);
    if (strcmp(plain, path) != 0) {
        write_file(path, data, size);
        expect_compiled("code for another instruction set");
        expect_loaded("the entry, repaired");
    }
    free(data);

    wf_cache c = wf_cache_open();
    wf_bytes other;
    char first[65] = "", second[65] = "";
    memcpy(first, path + strlen(dir) + 1, 64);
    cr_assert(wf_cache_read(&c, first, &other));
    cr_assert(unlink(path) == 0);
    cr_assert(attempt(1).compiled);
    entry_path(path);
    memcpy(second, path + strlen(dir) + 1, 64);
    cr_assert(strcmp(first, second) != 0);
    cr_assert_eq(wf_cache_write(&c, second, &other, WF_CACHE_LIMIT), WF_OK);
    const outcome o = attempt(1);
    cr_assert(o.compiled && !o.loaded, "other code under a right header: %s", o.lines);
    cr_assert(attempt(1).loaded);
    free(other.data);
    wf_cache_close(&c);
}

/* --- races, room, death (attacks 10 to 12) ---------------------------------------------------- */

Test(compiler_cache, two_processes) {
    if (!have_compiler()) return;
    enum { ROUNDS = 20 };
    int both_compiled = 0;
    outcome *o[] = {outcome_new(), outcome_new()};
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid[2];
        run("rm -rf %s", dir, "");
        for (int i = 0; i < 2; i++) {
            memset(o[i], 0, sizeof *o[i]);
            pid[i] = start_attempt(0, WF_CODE_SYNC, o[i]);
        }
        for (int i = 0; i < 2; i++) finish_attempt(pid[i], o[i]);
        for (int i = 0; i < 2; i++)
            cr_assert(o[i]->compiled || o[i]->loaded, "round %d: %s", round, o[i]->lines);
        both_compiled += o[0]->compiled && o[1]->compiled;
        cr_assert_eq(count("", "", NULL), 1, "round %d: %d files", round, count("", "", NULL));
        expect_loaded("after a race");
    }
    cr_log_info("%d rounds, in %d both processes compiled", ROUNDS, both_compiled);
}

static void no_room(void) {
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096}) == 0);
}

Test(compiler_cache, no_room) {
    if (!have_compiler()) return;
    no_room();
    unsigned char data[10000] = {1};
    const wf_bytes code = {data, sizeof data};
    wf_cache c = wf_cache_open();
    cr_assert(c.dir >= 0);
    cr_assert_eq(wf_cache_write(&c, key_of('1'), &code, WF_CACHE_LIMIT), WF_OUTPUT);
    cr_assert_eq(count("", "", NULL), 0, "a part of an entry stays");
    wf_cache_close(&c);
    const outcome o = attempt(0); /* the compiler has no room either */
    cr_assert(!o.compiled && !o.loaded && strstr(o.lines, "interpreted"), "%s", o.lines);
    cr_assert_eq(count("", "", NULL), 0);
}

static void fake_compiler(const char *body, char path[128]) {
    char text[512];
    snprintf(path, 128, "%s/fake-cc", home);
    const int n = snprintf(text, sizeof text, "#!/bin/sh\n%s\n", body);
    write_file(path, text, (size_t)n);
    cr_assert(chmod(path, 0755) == 0);
    setenv("WF_CC", path, 1);
}

Test(compiler_cache, killed_while_compiling) {
    if (!have_compiler()) return;
    char fake[128], work[256] = "";
    fake_compiler("exec sleep 3", fake);
    outcome *o = outcome_new();
    const pid_t pid = start_attempt(0, WF_CODE_SYNC, o);
    for (int i = 0; i < 200 && count("work-", "", work) == 0; i++) usleep(10000);
    cr_assert(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    cr_assert_eq(count("", ".code", NULL), 0);
    cr_assert_eq(count("work-", "", work), 1);
    unsetenv("WF_CC");
    expect_compiled("after a death");
    expect_loaded("after a death");

    /* What was left goes away after an hour. */
    const struct timespec old[2] = {{time(NULL) - 7200, 0}, {time(NULL) - 7200, 0}};
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, work);
    cr_assert(utimensat(AT_FDCWD, path, old, 0) == 0);
    cr_assert(attempt(1).compiled);
    cr_assert_eq(count("work-", "", NULL), 0);
    cr_assert_eq(count("", ".code", NULL), 2);
}

/* --- compilers -------------------------------------------------------------------------------- */

static void expect_interpreted(const char *what, const char *message) {
    const outcome o = attempt(0);
    cr_assert(!o.compiled && !o.loaded && strstr(o.lines, message), "%s: %s", what, o.lines);
    cr_assert_eq(count("tmp-", "", NULL) + count("work-", "", NULL), 0, "%s left files", what);
}

Test(compiler_cache, no_compiler) {
    char fake[128];
    setenv("WF_CC", "/nowhere/cc", 1);
    expect_interpreted("no compiler", "is no program");
    unsetenv("WF_CC");
    setenv("PATH", home, 1);
    expect_interpreted("an empty path", "no cc, gcc or clang");
    setenv("PATH", "/usr/bin:/bin", 1);
    fake_compiler("echo 'no such flag' >&2; exit 3", fake);
    expect_interpreted("a failing compiler", "no such flag");
    fake_compiler("exit 0", fake);
    expect_interpreted("a compiler that makes nothing", "code.so");
    fake_compiler("while [ \"$1\" != -o ]; do shift; done; echo garbage > \"$2\"", fake);
    expect_interpreted("a compiler that makes garbage", "does not load");
    fake_compiler("kill -SEGV $$", fake);
    expect_interpreted("a compiler that crashes", "died of signal");
}

/* True once the process that wrote its number into home/pid is no more, or only waits for its
 * parent. */
static bool is_gone(void) {
    char path[128], text[256] = "";
    int pid = 0;
    snprintf(path, sizeof path, "%s/pid", home);
    FILE *f = fopen(path, "r");
    cr_assert(f && fscanf(f, "%d", &pid) == 1);
    fclose(f);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!(f = fopen(path, "r"))) return true;
    const bool read = fgets(text, sizeof text, f) != NULL;
    fclose(f);
    return !read || strstr(text, ") Z ");
}

Test(compiler_cache, slow_compiler) {
    char fake[128], body[256];
    snprintf(body, sizeof body, "sleep 30 & echo $! > %s/pid; sleep 30", home);
    fake_compiler(body, fake);
    setenv("WF_CC_LIMIT", "0.3", 1);
    double at = seconds();
    expect_interpreted("a slow compiler", "took longer than 0.3 s");
    cr_assert(seconds() - at < 5, "%.1f s", seconds() - at);
    for (int i = 0; i < 100 && !is_gone(); i++) usleep(10000);
    cr_assert(is_gone(), "a child of the compiler lives on");

    /* In the background nothing waits for it: not the request, not the first step, not the end. */
    setenv("WF_CC_LIMIT", "30", 1);
    outcome *o = outcome_new();
    at = seconds();
    finish_attempt(start_attempt(0, WF_CODE_BACKGROUND, o), o);
    cr_assert(o->request_s < 0.1, "a request took %.3f s", o->request_s);
    cr_assert(seconds() - at < 5, "%.1f s", seconds() - at);
    cr_assert(strstr(o->lines, "was stopped"), "%s", o->lines);
    cr_assert_eq(count("work-", "", NULL), 0);
}

/* --- homes ------------------------------------------------------------------------------------ */

Test(compiler_cache, no_home) {
    if (!have_compiler()) return;
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    expect_compiled("no home");
    expect_compiled("no home, again");
    setenv("XDG_CACHE_HOME", "relative/path", 1);
    expect_compiled("a relative path");
    cr_assert(access("relative", F_OK) != 0);
    setenv("XDG_CACHE_HOME", "/proc/self", 1);
    expect_compiled("a home that cannot be written");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", home, 1);
    expect_compiled("a home without .cache");
    expect_loaded("a home");
}

Test(compiler_cache, bounded) {
    unsigned char data[1000] = {1};
    const wf_bytes code = {data, sizeof data};
    wf_cache c = wf_cache_open();
    wf_bytes got;
    cr_assert(c.dir >= 0);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(wf_cache_write(&c, key_of('a' + i), &code, 3600), WF_OK);
        usleep(20000); /* clocks of file systems tick */
        cr_assert(wf_cache_read(&c, key_of('a'), &got), "%d: %s", i, wf_error());
        cr_assert(got.size == sizeof data && memcmp(got.data, data, sizeof data) == 0);
        free(got.data);
        usleep(20000);
    }
    cr_assert_eq(count("", ".code", NULL), 3);
    cr_assert(!wf_cache_read(&c, key_of('b'), &got) && !wf_cache_read(&c, key_of('d'), &got));
    wf_cache_close(&c);
}
