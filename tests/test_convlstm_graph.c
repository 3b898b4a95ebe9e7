/* convlstm graph and the running of dot: files, exit codes, what is left when dot is missing,
 * slow or broken. dot stands in for itself as a script in a folder that is the whole PATH. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "models/convlstm/settings.h"
#include "models/program/draw.h"

static char folder[] = "/tmp/weft-graph-XXXXXX"; /* of one test; every test is a process */

static const char *in_folder(const char *name) {
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void make_folder(void) {
    cr_assert(mkdtemp(folder), "a folder under /tmp");
    cr_assert(mkdir(in_folder("bin"), 0755) == 0);
    cr_redirect_stderr();
}

static void remove_folder(void) {
    char line[128];
    setenv("PATH", "/usr/bin:/bin", 1);
    snprintf(line, sizeof line, "rm -rf '%s'", folder);
    cr_assert(system(line) == 0);
}

TestSuite(convlstm_graph, .init = make_folder, .fini = remove_folder, .timeout = 60);

/* Makes `script` what dot is. NULL: there is none. */
static void set_dot(const char *script) {
    if (script) {
        FILE *f = fopen(in_folder("bin/dot"), "w");
        cr_assert(f && fprintf(f, "#!/bin/sh\n%s\n", script) > 0 && fclose(f) == 0);
        cr_assert(chmod(in_folder("bin/dot"), 0755) == 0);
    }
    setenv("PATH", in_folder("bin"), 1);
}

static int graph(const char *out, const char *more, const char *value) {
    settings s;
    const char *words[] = {"convlstm", "graph", "--hidden", "2",   "--size", "8",
                           "--frames", "5",     "--batch",  "2",   "--out",  out,
                           more ? more : "--clip", more ? value : "2"};
    const size_t n = WF_COUNT(words) - (more && !value); /* a flag has no value */
    char *argv[WF_COUNT(words)];
    for (size_t i = 0; i < n; i++) argv[i] = strdup(words[i]);
    const program *p = &convlstm_program_table;
    const int code = program_main(p, (int)n, argv, &s, sizeof s);
    for (size_t i = 0; i < n; i++) free(argv[i]);
    return code;
}

static char *content(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *text = calloc(1, 1 << 20);
    cr_assert(text && fread(text, 1, (1 << 20) - 1, f) > 0, "%s is empty", path);
    fclose(f);
    return text;
}

static void expect_content(const char *path, const char *part) {
    char *text = content(path);
    cr_expect(text && strstr(text, part), "%s: no %s in it", path, part);
    free(text);
}

/* No temporary file is left in the folder. */
static void expect_tidy(void) {
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));)
        cr_expect(!strstr(e->d_name, ".tmp"), "%s is left", e->d_name);
    closedir(d);
}

Test(convlstm_graph, text) {
    set_dot(NULL);
    cr_assert_eq(graph(in_folder("g.dot"), "--stage", "simplify"), EXIT_CODE_OK);
    expect_content(in_folder("g.dot"), "stage simplify");
    cr_assert_eq(graph(in_folder("n.dot"), "--fold", "none"), EXIT_CODE_OK);
    expect_content(in_folder("n.dot"), "n1000 [label=");
    expect_tidy();
}

Test(convlstm_graph, picture) {
    if (system("command -v dot >/dev/null 2>&1") != 0)
        cr_skip("there is no dot here: pictures are not tried");
    static const char *const head[] = {"<?xml", "\x89PNG", "%PDF"};
    static const char *const name[] = {"g.svg", "g.png", "g.pdf"};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(graph(in_folder(name[i]), NULL, NULL), EXIT_CODE_OK);
        expect_content(in_folder(name[i]), head[i]);
    }
    expect_content(in_folder("g.dot"), "digraph");
    expect_tidy();
}

Test(convlstm_graph, wrong_command_lines) {
    cr_expect_eq(graph(in_folder("g.jpeg"), NULL, NULL), EXIT_CODE_USAGE);
    cr_expect_eq(graph(in_folder("g"), NULL, NULL), EXIT_CODE_USAGE);
    cr_expect_eq(graph(in_folder("g.dot"), "--stage", "fly"), EXIT_CODE_USAGE);
    cr_expect_eq(graph(in_folder("no/such/g.dot"), NULL, NULL), EXIT_CODE_OUTPUT);
}

/* A run, and its times in every format. */
Test(convlstm_graph, timed) {
    set_dot("/bin/cat");
    cr_assert_eq(graph(in_folder("t.dot"), "--timed", NULL), EXIT_CODE_OK, "%s", wf_error());
    expect_content(in_folder("t.dot"), " a run, mean of 3");
    expect_content(in_folder("t.dot"), "FLOP/s");
    expect_content(in_folder("t.dot"), "t0..3");
    cr_assert_eq(graph(in_folder("t.svg"), "--timed", NULL), EXIT_CODE_OK, "%s", wf_error());
    expect_content(in_folder("t.svg"), "FLOP/s");
    expect_tidy();
}

Test(convlstm_graph, dot_is_missing) {
    set_dot(NULL);
    cr_expect_eq(graph(in_folder("g.svg"), NULL, NULL), EXIT_CODE_RUNTIME);
    expect_content(in_folder("g.dot"), "digraph");
    cr_expect(access(in_folder("g.svg"), F_OK) != 0, "no picture");
    expect_tidy();
}

Test(convlstm_graph, dot_is_too_slow) {
    struct timespec a, b;
    set_dot("echo begun; /bin/sleep 60; echo ended");
    clock_gettime(CLOCK_MONOTONIC, &a);
    cr_expect_eq(graph(in_folder("g.svg"), "--seconds", "1"), EXIT_CODE_RUNTIME);
    clock_gettime(CLOCK_MONOTONIC, &b);
    cr_expect(b.tv_sec - a.tv_sec < 20, "stopped after %ld s", (long)(b.tv_sec - a.tv_sec));
    cr_expect(strstr(wf_error(), "too long"), "%s", wf_error());
    expect_content(in_folder("g.dot"), "digraph");
    cr_expect(access(in_folder("g.svg"), F_OK) != 0, "no picture");
    expect_tidy();
}

/* A dot that closes its pipes and stays is stopped too. */
Test(convlstm_graph, dot_hangs_silently) {
    set_dot("exec >&- 2>&- </dev/null; /bin/sleep 60");
    cr_expect_eq(graph(in_folder("g.svg"), "--seconds", "1"), EXIT_CODE_RUNTIME);
    cr_expect(access(in_folder("g.svg"), F_OK) != 0, "no picture");
    expect_tidy();
}

Test(convlstm_graph, dot_fails) {
    set_dot("echo half a picture; echo 'Error: no luck' >&2; echo more >&2; exit 3");
    FILE *f = fopen(in_folder("g.svg"), "w");
    cr_assert(f && fputs("the old picture", f) >= 0 && fclose(f) == 0);
    cr_expect_eq(graph(in_folder("g.svg"), NULL, NULL), EXIT_CODE_RUNTIME);
    cr_expect_str_eq(wf_error(), "dot failed: Error: no luck");
    expect_content(in_folder("g.svg"), "the old picture");
    set_dot("kill -9 $$");
    cr_expect_eq(graph(in_folder("g.svg"), NULL, NULL), EXIT_CODE_RUNTIME);
    expect_tidy();
}

/* More on both pipes than they hold. */
Test(convlstm_graph, dot_talks_a_lot) {
    set_dot("i=0; while [ $i -lt 4000 ]; do echo 'a line of picture text'; "
            "echo 'a line of warnings, much longer than the other' >&2; i=$((i+1)); done");
    cr_expect_eq(graph(in_folder("g.svg"), NULL, NULL), EXIT_CODE_OK);
    char *text = content(in_folder("g.svg"));
    cr_expect_eq(strlen(text), 4000 * strlen("a line of picture text\n"));
    free(text);
}

/* Names are arguments of nothing: dot reads its input from a descriptor, without a shell. */
Test(convlstm_graph, names_are_no_commands) {
    set_dot("/bin/cat");
    cr_expect_eq(graph(in_folder("-o x;$(exit) 'q'.svg"), NULL, NULL), EXIT_CODE_OK);
    expect_content(in_folder("-o x;$(exit) 'q'.svg"), "digraph");
    expect_content(in_folder("-o x;$(exit) 'q'.dot"), "digraph");
    cr_expect_null(draw_format("svg"));
    cr_expect_null(draw_format("a.svg/b"));
    cr_expect_str_eq(draw_format("a.svg/b.png"), "png");
}
