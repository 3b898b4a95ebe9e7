/* Writes groups as C. For example the group y = sigmoid(x + bias), y of 64 columns:
 *
 *     void wf_group_5ac0...(void *const p[], long rows, long cols) {
 *         if (cols == 64) cols *= rows, rows = 1;            (only where no operand forbids it)
 *         for (long r = 0; r < rows; r++) {
 *             const float *p0 = (const float *)p[0] + r * 64;
 *             const float v1 = *((const float *)p[1]);
 *             float *o0 = (float *)p[2] + r * 64;
 *     #pragma omp simd
 *             for (long i = 0; i < cols; i++) {
 *                 const float v0 = p0[i];
 *                 const float v2 = add_f32(v0, v1);
 *                 const float v3 = sigmoid_f32(v2);
 *                 o0[i] = v3;
 *             }
 *         }
 *     }
 *
 * Rows of bf16 are widened, a block at a time, into floats before the loop over elements, and
 * rounded from floats behind it, so that this loop has one width of vectors.
 *
 * Invariants
 *   - A value has the type it would have in memory, also between steps: fused and unfused bits are
 *     the same. Operations compute as tensor/kernels/rows_types.h says (integers one size wider).
 *   - All loads of an element come before its stores: an output may be the memory of an operand.
 *     Of a block's, where it has bf16. */
#define _GNU_SOURCE /* open_memstream */
#include "compiler/code_text.h"

#include <ctype.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/elementwise.h"
#include "tensor/kernels/rows.h"

/* In memory and between steps; as an operand of a row of tensor/ops.def; as one of a user's. */
static const struct {
    const char *memory, *wide, *plain;
} types[WF_N_DTYPE] = {
    [WF_F32] = {"float", "float", "float"},
    [WF_F64] = {"double", "double", "double"},
    [WF_BF16] = {"unsigned short", "unsigned short", "unsigned short"},
    [WF_F16] = {"unsigned short", "unsigned short", "unsigned short"},
    [WF_I32] = {"int", "long", "int"},
    [WF_I64] = {"long", "__int128", "long"},
    [WF_U8] = {"unsigned char", "int", "unsigned char"},
    [WF_BOOL] = {"unsigned char", "_Bool", "_Bool"},
};

/* libm as plain functions, before tensor/scalar.h: a compiler that knows an argument would replace
 * the call of a builtin by the exact value, which is not always the value of the function
 * (erfc(-1 / sqrt 2) is one). Needs -fno-builtin. And clang 14 believes 1 / sqrt(x) < 0 to be
 * false, although sqrt(-0) is -0: it must not see the sign of a square root. */
static const char libm[] =
    "#define LIBM1(name) extern __attribute__((const)) double name(double);\n"
    "LIBM1(exp) LIBM1(expm1) LIBM1(log) LIBM1(log1p) LIBM1(tanh) LIBM1(erf) LIBM1(erfc)\n"
    "LIBM1(sin) LIBM1(cos)\n"
    "extern __attribute__((const)) float sinf(float), cosf(float), powf(float, float);\n"
    "extern __attribute__((const)) double pow(double, double);\n"
    "#define __builtin_exp exp\n#define __builtin_expm1 expm1\n#define __builtin_log log\n"
    "#define __builtin_log1p log1p\n#define __builtin_tanh tanh\n#define __builtin_erf erf\n"
    "#define __builtin_erfc erfc\n#define __builtin_sin sin\n#define __builtin_cos cos\n"
    "#define __builtin_pow pow\n#define __builtin_sinf sinf\n#define __builtin_cosf cosf\n"
    "#define __builtin_powf powf\n"
    "#ifdef __clang__\n"
    "static inline float sqrt_signed_f32(float x) {\n"
    "    return __builtin_copysignf(__builtin_sqrtf(x), x);\n"
    "}\n"
    "static inline double sqrt_signed_f64(double x) {\n"
    "    return __builtin_copysign(__builtin_sqrt(x), x);\n"
    "}\n"
    "#define __builtin_sqrtf sqrt_signed_f32\n#define __builtin_sqrt sqrt_signed_f64\n"
    "#endif\n\n";

/* As in tensor/kernels/rows_cast.inc. */
static const char conversions[] =
    "#define BLOCK_SIZE 256\n"
    "#define BLOCK(name) float name[BLOCK_SIZE] __attribute__((aligned(64)))\n"
    "WF_FN unsigned flushed(unsigned u) { return u & 0x7f800000u ? u : u & 0x80000000u; }\n"
    "WF_FN float from_bf16(unsigned short h) {\n"
    "    return wf_from_bits(flushed((unsigned)h << 16));\n"
    "}\n"
    "WF_FN unsigned short to_bf16(float f) {\n"
    "    const unsigned u = wf_bits(f), v = flushed(u);\n"
    "    const unsigned rounded = (v + 0x7fff + ((v >> 16) & 1)) >> 16;\n"
    "    return (u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40 : rounded;\n"
    "}\n"
    "WF_FN void widen_run(long n, float *o, const unsigned short *x) {\n"
    "#pragma omp simd\n"
    "    for (long i = 0; i < n; i++) o[i] = from_bf16(x[i]);\n"
    "}\n"
    "WF_FN void narrow_run(long n, unsigned short *o, const float *x) {\n"
    "    long whole = 0;\n"
    "#ifdef __AVX512BF16__\n"
    "    typedef float lanes __attribute__((vector_size(64), aligned(4)));\n"
    "    typedef short halves __attribute__((vector_size(32), aligned(2)));\n"
    "    for (; whole + 16 <= n; whole += 16) {\n"
    "        const lanes from = *(const lanes *)(x + whole);\n"
    "        halves to;\n"
    "        __asm__(\"vcvtneps2bf16 %1, %0\" : \"=v\"(to) : \"v\"(from));\n"
    "        *(halves *)(o + whole) = to;\n"
    "    }\n"
    "#endif\n"
    "#pragma omp simd\n"
    "    for (long i = whole; i < n; i++) o[i] = to_bf16(x[i]);\n"
    "}\n";

/* --- what a step calls ------------------------------------------------------------------------ */

static bool is_row(const wf_op *op) {
    for (const wf_op *const *row = wf_ew_ops; *row; row++)
        if (*row == op) return true;
    return false;
}

static wf_dtype dtype_of(const wf_group *g, uint16_t value) {
    return value < g->n_in ? g->in[value].dtype : g->step[value - g->n_in].dtype;
}

/* What a step gives. A bool that is made here is 0 or 1, and a compiler may keep it in a mask; one
 * that comes from memory, or through select, keeps its byte. */
static const char *type_of(const wf_group_step *s) {
    return s->dtype == WF_BOOL && s->op != &wf_op_select ? "_Bool" : types[s->dtype].memory;
}

/* A digest as hexadecimal digits: 2 n of them, and the end. */
static void digest(const char *text, size_t size, char *out, size_t n) {
    uint8_t sum[SHA256_DIGEST_LENGTH];
    SHA2_CTX c;
    SHA256Init(&c);
    SHA256Update(&c, (const uint8_t *)text, size);
    SHA256Final(sum, &c);
    for (size_t i = 0; i < n; i++) sprintf(out + 2 * i, "%02x", sum[i]);
}

enum { CALL_NAME = 96 };

/* "sigmoid_f32", "cast_u8_f32", "add_n3_f32"; operations of users have a digest of their text. */
static void call_name(const wf_group *g, const wf_group_step *s, char name[CALL_NAME]) {
    const int key = s->op == &wf_op_select ? 1 : 0;
    const char *of = wf_dtype_name(dtype_of(g, s->in[key]));
    if (s->op == &wf_op_cast) {
        snprintf(name, CALL_NAME, "cast_%s_%s", of, wf_dtype_name(s->dtype));
    } else if (s->op == &wf_op_add_n) {
        snprintf(name, CALL_NAME, "add_n%d_%s", s->n_in, of);
    } else if (is_row(s->op)) {
        snprintf(name, CALL_NAME, "%s_%s", s->op->name, of);
    } else {
        char sum[17], plain[33];
        digest(s->op->expr, strlen(s->op->expr), sum, 8);
        snprintf(plain, sizeof plain, "%s", s->op->name);
        for (char *c = plain; *c; c++)
            if (!isalnum((unsigned char)*c)) *c = '_';
        int n = snprintf(name, CALL_NAME, "user_%s_%s", plain, sum);
        for (int i = 0; i < s->n_in; i++)
            n += snprintf(name + n, CALL_NAME - (size_t)n, "_%s",
                          wf_dtype_name(dtype_of(g, s->in[i])));
        snprintf(name + n, CALL_NAME - (size_t)n, "_%s", wf_dtype_name(s->dtype));
    }
}

/* Conversions that tensor/kernels/rows_cast.c has, and no other. */
static void write_cast(FILE *f, const wf_group_step *s, wf_dtype from, const char *name) {
    const char *value = from == WF_BF16                          ? "from_bf16(a)"
                        : s->dtype == WF_BF16                    ? "to_bf16(a)"
                        : from == WF_BOOL || s->dtype == WF_BOOL ? "a != 0"
                        : from == WF_I64                         ? "(double)a"
                                                                 : "a";
    fprintf(f, "WF_FN %s %s(%s a) { return (%s)(%s); }\n", type_of(s), name, types[from].memory,
            types[s->dtype].memory, value);
}

/* Sums of integers wrap around; in unsigned arithmetic the order does not matter. */
static void write_add_n(FILE *f, int n, wf_dtype t, const char *name) {
    const char *type = types[t].memory;
    const bool real = wf_dtype_is_real(t);
    fprintf(f, "WF_FN %s %s(", type, name);
    for (int i = 0; i < n; i++) fprintf(f, "%s%s a%d", i ? ", " : "", type, i);
    fprintf(f, ") { return ");
    if (!real) fprintf(f, "(%s)(", type);
    for (int i = 0; i < n; i++)
        fprintf(f, "%s%sa%d", i ? " + " : "", real ? "" : t == WF_I32 ? "(unsigned)" :
                                                       "(unsigned long)", i);
    fprintf(f, "%s; }\n", real ? "" : ")");
}

static void write_call(FILE *f, const wf_group *g, const wf_group_step *s, const char *name) {
    const wf_dtype first = dtype_of(g, s->in[0]);
    if (s->op == &wf_op_cast) {
        write_cast(f, s, first, name);
        return;
    }
    if (s->op == &wf_op_add_n) {
        write_add_n(f, s->n_in, first, name);
        return;
    }
    const bool row = is_row(s->op), choice = s->op == &wf_op_select;
    fprintf(f, "WF_FN %s %s(", type_of(s), name);
    for (int i = 0; i < s->n_in; i++) {
        const wf_dtype t = dtype_of(g, s->in[i]);
        fprintf(f, "%s%s %c", i ? ", " : "",
                choice && i > 0 ? types[t].memory
                : row          ? types[t].wide
                               : types[t].plain,
                'a' + i);
    }
    fprintf(f, ") { return (%s)(%s); }\n", type_of(s), s->op->expr);
}

bool wf_code_can(const wf_group *g) {
    for (int i = 0; i < g->n_step; i++) {
        const wf_group_step *s = &g->step[i];
        const wf_dtype from = dtype_of(g, s->in[0]);
        if (s->op == &wf_op_cast) {
            if (!wf_row_cast(from, s->dtype)) return false;
        } else if (s->op != &wf_op_add_n && (!s->op->expr || s->n_in > 3)) {
            return false;
        }
    }
    return true;
}

/* --- one group -------------------------------------------------------------------------------- */

static bool is_read(const wf_group *g, uint16_t value) {
    for (int i = 0; i < g->n_step; i++)
        for (int k = 0; k < g->step[i].n_in; k++)
            if (g->step[i].in[k] == value) return true;
    for (int k = 0; k < g->n_out; k++)
        if (g->out_value[k] == value) return true;
    return false;
}

/* No place moves with the column: there is one column, and the loop is over rows. */
static bool one_column(const wf_group *g) {
    for (int i = 0; i < g->n_in; i++)
        if (g->in[i].col_stride) return false;
    for (int k = 0; k < g->n_out; k++)
        if (g->out[k].col_stride) return false;
    return true;
}

/* The number of columns for which the whole space is one long row: every place is dense with this
 * row stride, or a scalar. 0: there is none. */
static int64_t dense_width(const wf_group *g) {
    int64_t width = 0;
    for (int i = 0; i < g->n_in + g->n_out; i++) {
        const wf_group_place *p = i < g->n_in ? &g->in[i] : &g->out[i - g->n_in];
        if (p->col_stride == 0 && p->row_stride == 0 && i < g->n_in) continue;
        if (p->col_stride != 1 || p->row_stride <= 0) return 0;
        if (width && p->row_stride != width) return 0;
        width = p->row_stride;
    }
    return width;
}

bool wf_code_tails(const wf_group *g) {
    enum { LANES = 16, LONG = 256 };
    if (dense_width(g) || one_column(g)) return false;
    for (int i = 0; i < g->n_in + g->n_out; i++) {
        const wf_group_place *p = i < g->n_in ? &g->in[i] : &g->out[i - g->n_in];
        if (p->col_stride && p->row_stride % LANES && p->row_stride < LONG) return true;
    }
    return false;
}

/* True if the place moves in the inner loop. */
static bool moves(const wf_group_place *p, bool column) {
    return column ? p->row_stride != 0 : p->col_stride != 0;
}

static void write_row_start(FILE *f, int64_t row_stride, bool column) {
    if (row_stride == 0 || column) return;
    fputs(" + r", f);
    if (row_stride != 1) fprintf(f, " * %lld", (long long)row_stride);
}

static void write_index(FILE *f, const wf_group_place *p, bool column) {
    if (!moves(p, column))
        fputs("[0]", f);
    else if (column && p->row_stride != 1)
        fprintf(f, "[i * %lld]", (long long)p->row_stride);
    else
        fputs("[i]", f);
}

/* True if value i is read by steps that widen bf16, and by nothing else. */
static bool only_widened(const wf_group *g, uint16_t value) {
    for (int i = 0; i < g->n_step; i++)
        for (int k = 0; k < g->step[i].n_in; k++)
            if (g->step[i].in[k] == value &&
                (g->step[i].op != &wf_op_cast || g->step[i].dtype != WF_F32))
                return false;
    return true;
}

/* True if operand i, output k is a row of bf16 that is converted a block at a time. */
static bool in_block(const wf_group *g, uint16_t i) {
    return g->in[i].dtype == WF_BF16 && g->in[i].col_stride == 1 && !one_column(g) &&
           is_read(g, i) && only_widened(g, i);
}

static bool out_block(const wf_group *g, int k) {
    const wf_group_step *s = &g->step[g->out_value[k] - g->n_in];
    if (g->out[k].dtype != WF_BF16 || g->out[k].col_stride != 1 || one_column(g)) return false;
    if (s->op != &wf_op_cast || dtype_of(g, s->in[0]) != WF_F32) return false;
    for (int i = 0; i < g->n_step; i++) /* it is read as bf16, too */
        for (int j = 0; j < g->step[i].n_in; j++)
            if (g->step[i].in[j] == g->out_value[k]) return false;
    return true;
}

static bool has_blocks(const wf_group *g) {
    bool any = false;
    for (uint16_t i = 0; i < g->n_in; i++) any = any || in_block(g, i);
    for (int k = 0; k < g->n_out; k++) any = any || out_block(g, k);
    return any;
}

/* The output whose block step i fills; -1: none. */
static int block_of(const wf_group *g, int i) {
    for (int k = 0; k < g->n_out; k++)
        if (g->out_value[k] == g->n_in + i && out_block(g, k)) return k;
    return -1;
}

/* Addresses of a row, and what is the same for all of its elements. */
static void write_bases(FILE *f, const wf_group *g, bool column) {
    const char *block = has_blocks(g) ? " + b" : "";
    for (uint16_t i = 0; i < g->n_in; i++) {
        const wf_group_place *p = &g->in[i];
        const char *type = types[p->dtype].memory;
        if (!is_read(g, i)) continue;
        if (moves(p, column))
            fprintf(f, "        const %s *p%d = (const %s *)p[%d]", type, i, type, i);
        else
            fprintf(f, "        const %s v%d = *((const %s *)p[%d]", type, i, type, i);
        write_row_start(f, p->row_stride, column);
        fprintf(f, "%s;\n", moves(p, column) ? block : ")");
    }
    for (int k = 0; k < g->n_out; k++) {
        const char *type = types[g->out[k].dtype].memory;
        fprintf(f, "        %s *o%d = (%s *)p[%d]", type, k, type, g->n_in + k);
        write_row_start(f, g->out[k].row_stride, column);
        fprintf(f, "%s;\n", moves(&g->out[k], column) ? block : "");
    }
}

/* One step: by its function, or from and to the blocks. */
static void write_step(FILE *f, const wf_group *g, int i) {
    const wf_group_step *s = &g->step[i];
    const int block = block_of(g, i);
    char name[CALL_NAME];
    call_name(g, s, name);
    if (block >= 0) {
        fprintf(f, "            t%d[i] = v%d;\n", block, s->in[0]);
    } else if (s->in[0] < g->n_in && in_block(g, s->in[0])) {
        fprintf(f, "            const float v%d = w%d[i];\n", g->n_in + i, s->in[0]);
    } else {
        fprintf(f, "            const %s v%d = %s(", type_of(s), g->n_in + i, name);
        for (int k = 0; k < s->n_in; k++) fprintf(f, "%sv%d", k ? ", " : "", s->in[k]);
        fputs(");\n", f);
    }
}

static void write_elements(FILE *f, const wf_group *g, bool column) {
    for (uint16_t i = 0; i < g->n_in; i++)
        if (in_block(g, i))
            fprintf(f, "        BLOCK(w%d);\n        widen_run(n, w%d, p%d);\n", i, i, i);
    for (int k = 0; k < g->n_out; k++)
        if (out_block(g, k)) fprintf(f, "        BLOCK(t%d);\n", k);
    fprintf(f, "#pragma omp simd\n        for (long i = 0; i < %s; i++) {\n",
            column ? "rows" : has_blocks(g) ? "n" : "cols");
    for (uint16_t i = 0; i < g->n_in; i++) {
        if (!moves(&g->in[i], column) || !is_read(g, i) || in_block(g, i)) continue;
        fprintf(f, "            const %s v%d = p%d", types[g->in[i].dtype].memory, i, i);
        write_index(f, &g->in[i], column);
        fputs(";\n", f);
    }
    for (int i = 0; i < g->n_step; i++) write_step(f, g, i);
    for (int k = 0; k < g->n_out; k++) {
        if (out_block(g, k)) continue;
        fprintf(f, "            o%d", k);
        write_index(f, &g->out[k], column);
        fprintf(f, " = v%d;\n", g->out_value[k]);
    }
    fputs("        }\n", f);
    for (int k = 0; k < g->n_out; k++)
        if (out_block(g, k)) fprintf(f, "        narrow_run(n, o%d, t%d);\n", k, k);
}

/* What follows the name. */
static void write_body(FILE *f, const wf_group *g) {
    const int64_t width = dense_width(g);
    const bool column = one_column(g);
    fputs("(void *const p[], long rows, long cols) {\n", f);
    if (width) fprintf(f, "    if (cols == %lld) cols *= rows, rows = 1;\n", (long long)width);
    fputs(column ? "    {\n" : "    for (long r = 0; r < rows; r++) {\n", f);
    if (has_blocks(g))
        fputs("    for (long b = 0; b < cols; b += BLOCK_SIZE) {\n"
              "        const long n = cols - b < BLOCK_SIZE ? cols - b : BLOCK_SIZE;\n", f);
    write_bases(f, g, column);
    write_elements(f, g, column);
    fputs(has_blocks(g) ? "    }\n    }\n}\n" : "    }\n}\n", f);
}

bool wf_code_name(const wf_group *g, char name[WF_CODE_NAME]) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return false;
    write_body(f, g);
    const bool ok = !ferror(f);
    if (fclose(f) != 0 || !ok) {
        free(text);
        return false;
    }
    memcpy(name, "wf_group_", 9);
    digest(text, size, name + 9, 12);
    free(text);
    return true;
}

/* --- the file --------------------------------------------------------------------------------- */

/* The canonical text as a comment; nothing in it may end one. */
static void write_comment(FILE *f, const wf_group *g) {
    char text[8192];
    wf_group_text(g, text, sizeof text);
    text[sizeof text - 1] = 0;
    for (char *end = text; (end = strstr(end, "*/"));) *end = '.';
    fputs("\n/* ", f);
    const size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        fputc(text[i], f);
        if (text[i] == '\n' && i + 1 < n) fputs(" * ", f);
    }
    fputs(" */\n", f);
}

static bool write_calls(FILE *f, const wf_group *const *groups, size_t n) {
    size_t steps = 1, known = 0;
    for (size_t i = 0; i < n; i++) steps += groups[i]->n_step;
    char(*list)[CALL_NAME] = calloc(steps, CALL_NAME);
    if (!list) return false;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < groups[i]->n_step; k++) {
            const wf_group_step *s = &groups[i]->step[k];
            size_t at = 0;
            call_name(groups[i], s, list[known]);
            while (strcmp(list[at], list[known]) != 0) at++;
            if (at == known) write_call(f, groups[i], s, list[known++]);
        }
    free(list);
    return true;
}

char *wf_code_text(const wf_group *const *groups, size_t n) {
    char *text = NULL, name[WF_CODE_NAME];
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    fprintf(f, "%s%s\n%s\n" WF_CODE_MARK, libm, wf_scalar_text, conversions);
    bool ok = write_calls(f, groups, n);
    for (size_t i = 0; i < n && ok; i++) {
        ok = wf_code_name(groups[i], name);
        if (!ok) break;
        write_comment(f, groups[i]);
        fprintf(f, "void %s", name);
        write_body(f, groups[i]);
    }
    ok = ok && !ferror(f);
    if (fclose(f) == 0 && ok) return text;
    free(text);
    return NULL;
}
