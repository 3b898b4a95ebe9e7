/* Running a group, and running it both ways: generated code against the tile interpreter, on live
 * data. The interpreter writes aside, so that operands in the memory of results are still whole
 * when the kernel runs; a group that differs gets the interpreter's results and a reproducer. */
#define _GNU_SOURCE /* mkstemps */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/cc.h"
#include "compiler/code.h"
#include "compiler/code_text.h"

typedef enum verify { VERIFY_UNKNOWN, VERIFY_OFF, VERIFY_SAMPLE, VERIFY_ALL } verify;
enum { SAMPLE_EVERY = 256, WINDOW = 256 };

/* Read once: runs do not look at the environment. */
static verify mode(void) {
    static _Atomic verify known;
    verify m = atomic_load_explicit(&known, memory_order_relaxed);
    if (m != VERIFY_UNKNOWN) return m;
    const char *v = wf_cc_env("WF_VERIFY");
    m = !v || strcmp(v, "off") == 0 ? VERIFY_OFF
        : strcmp(v, "all") == 0     ? VERIFY_ALL
                                    : VERIFY_SAMPLE;
    if (v && m == VERIFY_SAMPLE && strcmp(v, "sample") != 0)
        wf_log_line("WF_VERIFY=%s is none of off, sample, all; using sample", v);
    atomic_store(&known, m);
    return m;
}

/* Both runs of one call. */
typedef struct both {
    const wf_group *g;
    void *const *p;
    long rows, cols;
    wf_group aside; /* the group with dense outputs */
    void *at[WF_GROUP_OPERANDS + WF_GROUP_OUTPUTS]; /* operands; interpreted results (owned) */
    char *former[WF_GROUP_OPERANDS]; /* (rows, cols) an operand that is overwritten (owned) */
    void *scratch; /* of the group aside (owned) */
} both;

static char *element(const wf_group_place *p, void *base, long r, long c) {
    const int64_t at = r * p->row_stride + c * p->col_stride;
    return (char *)base + at * (int64_t)wf_dtype_bytes(p->dtype);
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Equal bits, but for payloads of NaN, and denormals that are passed on: whether an instruction
 * that selects also flushes is the compiler's choice. */
static bool same(wf_dtype t, const void *a, const void *b) {
    if (memcmp(a, b, wf_dtype_bytes(t)) == 0) return true;
    if (t != WF_F32 && t != WF_F64 && t != WF_BF16 && t != WF_F16) return false;
    const double x = wf_load(t, a), y = wf_load(t, b), low = t == WF_F64 ? 0x1p-1022 : 0x1p-126;
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    return fabs(x) < low && fabs(y) < low && !signbit(x) == !signbit(y);
}

static const char *result(const both *b, int k, long r, long c) {
    return element(&b->aside.out[k], b->at[b->g->n_in + k], r, c);
}

/* The first element that differs. */
static bool differs(const both *b, int *k_out, long *r_out, long *c_out) {
    const wf_group *g = b->g;
    for (int k = 0; k < g->n_out; k++)
        for (long r = 0; r < b->rows; r++)
            for (long c = 0; c < b->cols; c++)
                if (!same(g->out[k].dtype, element(&g->out[k], b->p[g->n_in + k], r, c),
                          result(b, k, r, c))) {
                    *k_out = k, *r_out = r, *c_out = c;
                    return true;
                }
    return false;
}

static void keep_interpreted(const both *b) {
    const wf_group *g = b->g;
    for (int k = 0; k < g->n_out; k++)
        for (long r = 0; r < b->rows; r++)
            for (long c = 0; c < b->cols; c++)
                memcpy(element(&g->out[k], b->p[g->n_in + k], r, c), result(b, k, r, c),
                       wf_dtype_bytes(g->out[k].dtype));
}

/* --- the reproducer --------------------------------------------------------------------------- */

static const char *bits_type(wf_dtype t) {
    static const char *const name[] = {[1] = "unsigned char", [2] = "unsigned short",
                                       [4] = "unsigned", [8] = "unsigned long"};
    return name[wf_dtype_bytes(t)];
}

static void write_bits(FILE *f, wf_dtype t, const char *at) {
    uint64_t bits = 0;
    memcpy(&bits, at, wf_dtype_bytes(t)); /* little endian, as all that code is generated for */
    fprintf(f, " 0x%llx,", (unsigned long long)bits);
}

static const char *operand(const both *b, int i, long r, long c) {
    const wf_group_place *p = &b->g->in[i];
    return b->former[i] ? b->former[i] + (r * b->cols + c) * (long)wf_dtype_bytes(p->dtype)
                        : element(p, b->p[i], r, c);
}

/* The operand whose memory output k takes, or -1. */
static int taken(const both *b, int k) {
    for (int i = 0; i < b->g->n_in; i++)
        if (b->p[i] == b->p[b->g->n_in + k]) return i;
    return -1;
}

/* `same` of the reproducer: magnitude, infinity and the least normal number as bits. */
static const char same_text[] =
    "static int same(unsigned long a, unsigned long b, unsigned long magnitude,\n"
    "                unsigned long infinity, unsigned long least) {\n"
    "    const unsigned long x = a & magnitude, y = b & magnitude;\n"
    "    if (a == b || !magnitude) return a == b;\n"
    "    if (x > infinity || y > infinity) return x > infinity && y > infinity;\n"
    "    return x < least && y < least && (a ^ x) == (b ^ y);\n"
    "}\n\n";

static const char *format_of(wf_dtype t) {
    return t == WF_F32    ? "0x7fffffff, 0x7f800000, 0x800000"
           : t == WF_F64  ? "0x7fffffffffffffff, 0x7ff0000000000000, 0x10000000000000"
           : t == WF_BF16 ? "0x7fff, 0x7f80, 0x80"
           : t == WF_F16  ? "0x7fff, 0x7c00, 0x400"
                          : "0, 0, 0";
}

/* Compares output k with want<k>. */
static void write_check(FILE *f, const wf_group *g, int k, long n) {
    const wf_dtype t = g->out[k].dtype;
    fprintf(f, "    for (int i = 0; i < %ld; i++) {\n"
               "        const unsigned long got = ((%s *)p[%d])[i], want = want%d[i];\n"
               "        if (same(got, want, %s)) continue;\n"
               "        printf(\"out%d[%%d]: %%#lx, interpreter %%#lx\\n\", i, got, want);\n"
               "        wrong++;\n    }\n",
            n, bits_type(t), g->n_in + k, k, format_of(t), k);
}

/* The kernel and n elements of row r from column c on. */
static void write_reproducer(FILE *f, const both *b, const char *source, long r, long c, long n) {
    const wf_group *g = b->g;
    char name[WF_CODE_NAME] = "";
    wf_code_name(g, name);
    fprintf(f, "/* Generated code and the interpreter differ. Build as the library does:\n"
               " *   cc -O1 -ftree-vectorize -fopenmp-simd -ffp-contract=off -fno-math-errno \\\n"
               " *      -fno-trapping-math -fno-strict-aliasing -fno-builtin [-mavx2 -mfma] \\\n"
               " *      THIS.c -lm */\n"
               "#include <stdio.h>\n%s\n", source);
    for (int i = 0; i < g->n_in; i++) {
        fprintf(f, "static %s in%d[] = {", bits_type(g->in[i].dtype), i);
        for (long j = 0; j < n; j++) write_bits(f, g->in[i].dtype, operand(b, i, r, c + j));
        fputs("};\n", f);
    }
    for (int k = 0; k < g->n_out; k++) {
        const char *type = bits_type(g->out[k].dtype);
        if (taken(b, k) < 0) fprintf(f, "static %s out%d[%ld];\n", type, k, n);
        fprintf(f, "static const %s want%d[] = {", type, k);
        for (long j = 0; j < n; j++) write_bits(f, g->out[k].dtype, result(b, k, r, c + j));
        fputs("};\n", f);
    }
    fputc('\n', f);
    fputs(same_text, f);
    fputs("int main(void) {\n    int wrong = 0;\n#ifdef __SSE2__\n"
          "    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);\n#endif\n"
          "    void *p[] = {", f);
    for (int i = 0; i < g->n_in; i++) fprintf(f, "in%d, ", i);
    for (int k = 0; k < g->n_out; k++)
        fprintf(f, taken(b, k) < 0 ? "out%d, " : "in%d, ", taken(b, k) < 0 ? k : taken(b, k));
    fprintf(f, "};\n    %s(p, 1, %ld);\n", name, n);
    for (int k = 0; k < g->n_out; k++) write_check(f, g, k, n);
    fputs("    return wrong ? 1 : 0;\n}\n", f);
}

/* Writes it and returns true with its path. One column at a time where columns do not move. */
static bool save_reproducer(const both *b, long r, long c, char *path, size_t size) {
    const char *dir = wf_cc_env("TMPDIR");
    snprintf(path, size, "%s/weft-verify-XXXXXX.c", dir ? dir : "/tmp");
    char *source = wf_code_text(&b->g, 1);
    const int fd = source ? mkstemps(path, 2) : -1;
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f) write_reproducer(f, b, source, r, c, b->cols - c < WINDOW ? b->cols - c : WINDOW);
    else if (fd >= 0) close(fd);
    free(source);
    return f && fclose(f) == 0;
}

/* --- both runs -------------------------------------------------------------------------------- */

static void both_free(both *b) {
    for (int k = 0; k < b->g->n_out; k++) free(b->at[b->g->n_in + k]);
    for (int i = 0; i < b->g->n_in; i++) free(b->former[i]);
    free(b->scratch);
}

static bool both_prepare(both *b) {
    const wf_group *g = b->g;
    const size_t n = (size_t)b->rows * (size_t)b->cols;
    b->aside = *g;
    b->aside.ready = false;
    bool ok = true;
    for (int i = 0; i < g->n_in; i++) b->at[i] = b->p[i];
    for (int k = 0; k < g->n_out; k++) {
        b->aside.out[k].row_stride = b->cols;
        b->aside.out[k].col_stride = 1;
        b->at[g->n_in + k] = calloc(n, wf_dtype_bytes(g->out[k].dtype));
        ok = ok && b->at[g->n_in + k];
        const int i = taken(b, k);
        if (i < 0 || b->former[i]) continue;
        const size_t bytes = wf_dtype_bytes(g->in[i].dtype);
        b->former[i] = malloc(n * bytes);
        ok = ok && b->former[i];
        for (long r = 0; r < b->rows && b->former[i]; r++)
            for (long c = 0; c < b->cols; c++)
                memcpy(b->former[i] + ((size_t)r * (size_t)b->cols + (size_t)c) * bytes,
                       element(&g->in[i], b->p[i], r, c), bytes);
    }
    wf_group_prepare(&b->aside);
    b->scratch = aligned_alloc(64, (wf_group_scratch(&b->aside) + 127) / 64 * 64);
    return ok && b->scratch;
}

static void report(const both *b, const wf_code *c, size_t i, int k, long row, long col) {
    char text[4096], name[WF_CODE_NAME] = "", path[512];
    const wf_dtype t = b->g->out[k].dtype;
    wf_code_name(b->g, name);
    const bool saved = save_reproducer(b, row, col, path, sizeof path);
    wf_log_line("%s differs from the interpreter: output %d at row %ld, column %ld is %a, not %a; "
                "it is not used again; reproducer: %s", name, k, row, col,
                wf_load(t, element(&b->g->out[k], b->p[b->g->n_in + k], row, col)),
                wf_load(t, result(b, k, row, col)), saved ? path : "cannot be written");
    wf_group_text(b->g, text, sizeof text);
    for (char *at = text; *at;) {
        const size_t n = strcspn(at, "\n");
        wf_log_line("    %.*s", (int)n, at);
        at += n + (at[n] == '\n');
    }
    wf_code_set(c, i, NULL);
}

static void run_both(const wf_code *code, size_t i, wf_group_fn *fn, both *b, void *scratch) {
    int k = 0;
    long r = 0, c = 0;
    if (b->rows <= 0 || b->cols <= 0) return;
    if (!both_prepare(b)) {
        wf_group_run(b->g, b->p, b->rows, b->cols, scratch);
    } else {
        wf_group_run(&b->aside, b->at, b->rows, b->cols, b->scratch);
        fn(b->p, b->rows, b->cols);
        if (differs(b, &k, &r, &c)) {
            report(b, code, i, k, r, c);
            keep_interpreted(b);
        }
    }
    both_free(b);
}

void wf_code_call(const wf_code *c, size_t i, const wf_group *g, void *const p[], long rows,
                  long cols, void *scratch) {
    wf_group_fn *const fn = c ? wf_code_kernel(c, i) : NULL;
    if (!fn) {
        wf_group_run(g, p, rows, cols, scratch);
        return;
    }
    const verify m = mode();
    bool due = m == VERIFY_ALL;
    if (m == VERIFY_SAMPLE) {
        const unsigned n = wf_code_count(c, i);
        due = n < 2 || n % SAMPLE_EVERY == 0;
    }
    if (!due) {
        fn(p, rows, cols);
        return;
    }
    both b = {.g = g, .p = p, .rows = rows, .cols = cols};
    run_both(c, i, fn, &b, scratch);
}
