/* Running the convlstm program as a child: its exit code, its lines, its files. Every test is a
 * process and has a folder of its own. */
#ifndef TESTS_CONVLSTM_RUN_H
#define TESTS_CONVLSTM_RUN_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL "--hidden 2 --frames 4 --clips 22 --batch 4"

static char folder[] = "/tmp/weft-convlstm-XXXXXX"; /* of one test; every test is a process */
static char out_text[1 << 16], err_text[1 << 16];

static inline const char *in_folder(const char *name) {
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static inline size_t read_file(const char *path, char *buf, size_t size) {
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    const size_t n = fread(buf, 1, size - 1, f);
    buf[n] = 0;
    fclose(f);
    return n;
}

static inline void write_file(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0, "writing %s", path);
}

static inline bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

/* Runs the program; `@` in the arguments is the test's folder. Returns the exit code, -1 for a
 * signal; out_text and err_text hold what it wrote. */
static inline int run(const char *arguments) {
    const char *path = getenv("WEFT_CONVLSTM");
    char line[4096];
    size_t n = (size_t)snprintf(line, sizeof line, "'%s' ", path ? path : "build/convlstm");
    for (const char *a = arguments; *a; a++)
        n += (size_t)snprintf(line + n, sizeof line - n, *a == '@' ? "%s" : "%.1s",
                              *a == '@' ? folder : a);
    snprintf(line + n, sizeof line - n, " >%s/stdout.txt 2>%s/stderr.txt", folder, folder);
    const int status = system(line);
    read_file(in_folder("stdout.txt"), out_text, sizeof out_text);
    read_file(in_folder("stderr.txt"), err_text, sizeof err_text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void succeed(const char *arguments) {
    const int code = run(arguments);
    cr_assert(code == 0, "convlstm %s: exit code %d: %s", arguments, code, err_text);
}

static inline void make_folder(void) {
    cr_assert(mkdtemp(folder), "a folder under /tmp");
}

static inline void remove_folder(void) {
    char line[128];
    snprintf(line, sizeof line, "rm -rf '%s'", folder);
    cr_assert(system(line) == 0);
}

#endif
