/* The examples in the headers of compiler/, run: the text before the arrow is read, the pass that
 * the arrow names is run alone, and what comes out must be the text after the arrow, to the letter.
 * How an example is written is told in compiler/pass.h. New files are found without an edit. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"

enum { LINES = 64, WIDTH = 128, TEXT = LINES * WIDTH, least_examples = 14 };

typedef struct example {
    const char *file;
    char pass[32];
    char before[TEXT], after[TEXT];
} example;

/* --- finding them ----------------------------------------------------------------------------- */

/* "--merge-->" in a line: its column, with the name of the pass; NULL if there is none. */
static const char *find_arrow(const char *line, char pass[32], const char **end) {
    const char *head = strstr(line, "-->");
    if (!head) return NULL;
    const char *name = head;
    while (name > line && isalnum((unsigned char)name[-1])) name--;
    if (name == head || head - name > 31 || name - line < 2 || memcmp(name - 2, "--", 2) != 0)
        return NULL;
    memcpy(pass, name, (size_t)(head - name));
    pass[head - name] = 0;
    *end = head + 3;
    return name - 2;
}

/* Appends text[0 .. n) without blanks at its ends, as a line, unless nothing is left. */
static void add_line(char *to, const char *text, size_t n) {
    const size_t used = strlen(to);
    if (n > 1 && text[0] == ' ' && text[1] == ' ' && used) to[used - 1] = ' '; /* it goes on */
    while (n && *text == ' ') text++, n--;
    while (n && text[n - 1] == ' ') n--;
    if (n) snprintf(to + strlen(to), TEXT - strlen(to), "%.*s\n", (int)n, text);
}

static bool is_blank(const char *from, const char *to) {
    while (from < to && *from == ' ') from++;
    return from == to;
}

/* Indented lines with an arrow: beside it, or above and below where the arrow stands alone. */
static bool read_block(char block[LINES][WIDTH], int n, example *e) {
    int at = 0;
    const char *arrow = NULL, *end = NULL;
    while (at < n && !(arrow = find_arrow(block[at], e->pass, &end))) at++;
    if (!arrow) return false;
    const char *last = block[at] + strlen(block[at]);
    *e->before = *e->after = 0;
    const bool alone = is_blank(block[at], arrow) && is_blank(end, last);
    const size_t column = (size_t)(end - block[at]) + strspn(end, " ");
    for (int i = 0; i < n; i++) {
        const char *l = block[i];
        const size_t size = strlen(l);
        if (alone) {
            if (i != at) add_line(i < at ? e->before : e->after, l, size);
            continue;
        }
        cr_assert(size <= column || l[column - 1] == ' ', "%s: the columns run into each other: %s",
                  e->file, l);
        const size_t left = i == at ? (size_t)(arrow - l) : size < column ? size : column;
        if (left) add_line(e->before, l, left);
        if (size > column) add_line(e->after, l + column, size - column);
    }
    return true;
}

/* Calls `run` on each example of the comment that opens the file; returns their number. */
static int each_example(const char *path, void (*run)(const example *e)) {
    static char block[LINES][WIDTH];
    static example e;
    char line[512];
    int found = 0, n = 0;
    bool more = true;
    FILE *f = fopen(path, "r");
    cr_assert(f, "%s", path);
    e.file = path;
    while (more && fgets(line, sizeof line, f)) {
        char *end = strstr(line, "*/");
        more = !end;
        line[end ? (size_t)(end - line) : strcspn(line, "\n")] = 0;
        const bool indented = strncmp(line, " *   ", 5) == 0 && n < LINES;
        if (indented) snprintf(block[n++], WIDTH, "%.*s", WIDTH - 1, line + 5);
        if (indented && more) continue;
        if (n && read_block(block, n, &e)) {
            run(&e);
            found++;
        }
        n = 0;
    }
    fclose(f);
    return found;
}

/* --- running them ----------------------------------------------------------------------------- */

/* The pass that the arrow names, and in which mode. */
static const char *pass_of(const example *e, wf_precision *mode) {
    *mode = WF_PRECISION_F32;
    const bool is_mode = wf_precision_parse(mode, e->pass) == WF_OK;
    return is_mode ? "precision" : e->pass;
}

static unsigned all_but(const example *e) {
    unsigned bit = 0;
    wf_precision mode;
#define X(name, text) bit |= strcmp(pass_of(e, &mode), text) == 0 ? WF_PASS_##name : 0;
    WF_PASS_MAP(X)
#undef X
    cr_assert(bit, "%s: there is no pass %s", e->file, e->pass);
    return WF_PASS_ALL & ~(bit | WF_PASS_FAST | WF_PASS_INPLACE);
}

/* Values that nothing reads, if the text lists no outputs; assignments are roots anyway. */
static int unread(wf_graph *g, wf_tensor *out) {
    int n = 0;
    for (uint32_t id = 1; id < wf_graph_size(g); id++) {
        bool read = wf_graph_node(g, id)->op->kind == WF_KIND_ASSIGN;
        for (uint32_t k = id + 1; k < wf_graph_size(g); k++)
            for (uint32_t i = 0; i < wf_graph_node(g, k)->n_in; i++)
                read |= wf_node_in(g, k)[i] == id;
        if (!read) out[n++] = wf_handle(g, id);
    }
    return n;
}

static void put_stage(const example *e, FILE *f, wf_graph *g, const wf_tensor *out, int n) {
    wf_compile_opt o = {.off = all_but(e), .threads = 1};
    const char *stage = pass_of(e, &o.precision);
    wf_stage s = {0};
    cr_assert_eq(wf_stage_make(&s, g, out, n, o, stage), WF_OK, "%s: %s", e->file, wf_error());
    cr_assert_eq(wf_verify(&s, e->pass), WF_OK, "%s: %s", e->file, wf_error());
    if (strstr(e->after, "outputs")) wf_stage_write(&s, f);
    else wf_graph_dump(s.graph, f);
    wf_stage_free(&s);
}

static void put_kernels(const example *e, FILE *f, wf_graph *g, const wf_tensor *out, int n) {
    const wf_compile_opt o = {.off = all_but(e), .threads = 1};
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, out, n, o), WF_OK, "%s: %s", e->file, wf_error());
    for (uint32_t i = 0; i < p->plan.n_kernel; i++) fputs(p->plan.kernel[i].text, f);
    wf_program_free(p);
}

static void run_example(const example *e) {
    wf_graph *g;
    wf_tensor *out = NULL;
    int n;
    printf("%s: %s\n", e->file, e->pass);
    cr_assert_eq(wf_graph_parse(&g, &out, &n, e->before, strlen(e->before), (wf_parse_opt){0}),
                 WF_OK, "%s: %s in\n%s", e->file, wf_error(), e->before);
    if (n == 0) {
        free(out);
        out = calloc(wf_graph_size(g), sizeof *out);
        n = unread(g, out);
    }
    char *got = NULL;
    size_t size;
    FILE *f = open_memstream(&got, &size);
    if (*e->after == '%') put_stage(e, f, g, out, n);
    else put_kernels(e, f, g, out, n);
    fclose(f);
    cr_expect(strcmp(got, e->after) == 0, "%s: %s of\n%sgives\n%sand not\n%s", e->file, e->pass,
              e->before, got, e->after);
    free(got);
    free(out);
    wf_graph_free(g);
}

Test(compiler_examples, headers_tell_what_passes_do) {
    glob_t files;
    int n = 0;
    cr_assert_eq(glob("compiler/*.c", 0, NULL, &files), 0, "run the tests in the source folder");
    for (size_t i = 0; i < files.gl_pathc; i++) n += each_example(files.gl_pathv[i], run_example);
    globfree(&files);
    printf("%d examples\n", n);
    cr_assert_geq(n, least_examples);
}
