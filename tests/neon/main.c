/* Kernel tables of this build against plain C, without Criterion or any library, so that it runs
 * where only a C library is: for another machine under an emulator (tests/neon.sh), or at home.
 *
 *   neon-tests       every table but the plain ones; prints what it compared
 *   neon-tests isa   the name of the set that WF_ISA and the machine choose
 *
 * Micro kernels: the bits of a chain of fused multiply-adds in the order that contract.h promises,
 * and the reference kernel within rounding. Rows and reductions: the bits of plain C. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tensor/denormals.h"
#include "tensor/kernels/contract.h"
#include "tensor/kernels/cpu.h"
#include "tensor/kernels/reduce.h"
#include "tensor/kernels/rows.h"

static const struct {
    wf_isa isa;
    const wf_fold_table *fold;
} sets[] = {
#if defined(__aarch64__)
    {WF_ISA_NEON, &wf_fold_neon},
#elif defined(__x86_64__)
    {WF_ISA_AVX2, &wf_fold_avx2},
    {WF_ISA_AVX512, &wf_fold_avx512},
#endif
    {WF_ISA_SCALAR, &wf_fold_scalar},
};

static long compared, wrong;

static void say(const char *kernel, const char *what, int at, double got, double want) {
    if (++wrong <= 20)
        printf("%s %s at %d: %a, expected %a\n", kernel, what, at, got, want);
}

/* --- values ----------------------------------------------------------------------------------- */

static uint64_t state = 1;
static uint64_t bits(void) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state >> 20;
}

/* How values are drawn: around 1; with infinities, NaN, zeros, denormals and the largest; any. */
enum { PLAIN, SPECIAL, ANY, KINDS };

static double value(int kind) {
    static const double special[] = {
        0, -0.0, 1, -1, 0.5, 2.5, -2.5, INFINITY, -INFINITY, NAN, 3, -0.625, 1e30, -1e30, 88.72,
        -87.3, 0x1.fffffep127, -0x1.fffffep127, 0x1p-126, -0x1p-126, 0x1p-130, -0x1p-130};
    const uint64_t u = bits();
    if (kind == SPECIAL && u % 8 == 0) return special[u / 8 % WF_COUNT(special)];
    if (kind == ANY) {
        const uint32_t any = (uint32_t)bits();
        float f;
        memcpy(&f, &any, sizeof f);
        return (double)f;
    }
    return ((double)(u / 8 % 20001) - 10000) / 1250;
}

static void fill_f32(float *x, int n, int kind) {
    for (int i = 0; i < n; i++) x[i] = (float)value(kind);
}

static void fill(char *to, wf_dtype t, int n, int kind) {
    for (int i = 0; i < n; i++, to += wf_dtype_bytes(t)) {
        const uint64_t u = bits();
        if (t == WF_BOOL) *to = (char)(u & 1);
        else if (wf_dtype_is_real(t)) wf_store(t, to, value(kind));
        else memcpy(to, &u, wf_dtype_bytes(t));
    }
}

/* Equal bits, but for payloads of NaN, and denormals that are passed on: whether an instruction
 * that selects also flushes is the compiler's choice. */
static bool same(wf_dtype t, const void *a, const void *b) {
    if (memcmp(a, b, wf_dtype_bytes(t)) == 0) return true;
    if (!wf_dtype_is_real(t)) return false;
    const double x = wf_load(t, a), y = wf_load(t, b), low = t == WF_F32 ? 0x1p-126 : 0x1p-1022;
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    return fabs(x) < low && fabs(y) < low && !signbit(x) == !signbit(y);
}

static void expect(const char *kernel, const char *what, int at, wf_dtype t, const void *got,
                   const void *want) {
    compared++;
    if (!same(t, got, want)) say(kernel, what, at, wf_load(t, got), wf_load(t, want));
}

/* --- micro kernels ---------------------------------------------------------------------------- */

typedef struct shape {
    int64_t as, bk, cm, n_seg, len, seg[3];
} shape;
enum { OPERAND = 8192, OUT = WF_TILE_M * 48 };
static float a[OPERAND], b[OPERAND], got[OUT], want[OUT], near[OUT];

/* The formula of contract.h with one rounding a product. */
static void fused(bool rows, int mr, int nv, const shape *s, bool add) {
    const int64_t am = rows ? s->as : 1, ak = rows ? 1 : s->as;
    for (int i = 0; i < mr; i++)
        for (int n = 0; n < 16 * nv; n++) {
            float sum = 0;
            for (int64_t t = 0; t < s->n_seg; t++)
                for (int64_t k = 0; k < s->len; k++)
                    sum = fmaf(a[s->seg[t] + i * am + k * ak],
                               b[s->seg[s->n_seg - 1 - t] + k * s->bk + n], sum);
            want[i * s->cm + n] = add ? want[i * s->cm + n] + sum : sum;
        }
}

static void check_tile(const wf_tile_table *t, bool rows, int mr, int nv, const shape *s, bool add,
                       int kind) {
    int64_t b_seg[3];
    char what[64];
    snprintf(what, sizeof what, "%s %dx%d", rows ? "rows" : "cols", mr, 16 * nv);
    for (int64_t i = 0; i < s->n_seg; i++) b_seg[i] = s->seg[s->n_seg - 1 - i];
    fill_f32(a, OPERAND, kind);
    fill_f32(b, OPERAND, kind);
    for (int i = 0; i < OUT; i++) got[i] = want[i] = near[i] = (float)i;
    (rows ? t->rows : t->cols)[mr][nv](a, s->as, s->seg, b, s->bk, b_seg, s->n_seg, s->len, got,
                                       s->cm, add);
    fused(rows, mr, nv, s, add);
    for (int i = 0; i < OUT; i++) expect(t->name, what, i, WF_F32, &got[i], &want[i]);
    if (kind != PLAIN) return;
    (rows ? wf_tile_ref.rows : wf_tile_ref.cols)[mr][nv](a, s->as, s->seg, b, s->bk, b_seg,
                                                         s->n_seg, s->len, near, s->cm, add);
    const float limit = 1e-3f; /* up to 60 products of up to 64 */
    for (int i = 0; i < OUT; i++)
        if (!(fabsf(got[i] - near[i]) <= limit)) say(t->name, what, i, got[i], near[i]);
}

/* An element of a strip: one chain of terms, or even and odd ones of a segment apart. */
static float strip_sum(const wf_strip *s, int64_t i, int64_t l, int chains) {
    float sum[2] = {0, 0};
    for (int64_t g = 0; g < s->n_seg; g++)
        for (int64_t k = 0; k < s->len; k++) {
            float *to = &sum[k % chains];
            *to = fmaf(a[s->a_seg[g] + i * s->am + k * s->ak + l], b[s->b_seg[g] + k * s->bk + l],
                       *to);
        }
    return chains == 1 ? sum[0] : sum[0] + sum[1];
}

static void check_lanes(const wf_tile_table *t, int64_t rows, int64_t count, int64_t n, bool add,
                        int kind) {
    static const int64_t a_seg[2] = {5, 2900}, b_seg[2] = {1700, 0};
    const wf_strip s = {.rows = rows, .lanes = count, .n_seg = 2, .len = n, .a = a, .b = b,
                        .am = 103, .ak = 161, .bk = 170, .cm = 96, .a_seg = a_seg, .b_seg = b_seg,
                        .c = got, .add = add};
    fill_f32(a, OPERAND, kind);
    fill_f32(b, OPERAND, kind);
    for (int i = 0; i < OUT; i++) got[i] = want[i] = (float)i;
    t->lanes(&s);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t l = 0; l < count; l++) {
            float *to = &want[i * s.cm + l];
            const float one = strip_sum(&s, i, l, 1), two = strip_sum(&s, i, l, 2);
            const float either[2] = {add ? *to + one : one, add ? *to + two : two};
            *to = either[memcmp(&got[i * s.cm + l], &either[0], sizeof *to) != 0];
        }
    for (int i = 0; i < OUT; i++) expect(t->name, "lanes", i, WF_F32, &got[i], &want[i]);
}

static void check_tiles(const wf_tile_table *t) {
    static const shape shapes[] = {
        {29, 37, 40, 3, 9, {5, 2900, 1700}}, {1, 16, 32, 1, 1, {0}}, {64, 32, 33, 1, 60, {7}},
        {3, 33, 48, 2, 13, {0, 4000}}, {17, 32, 32, 1, 0, {0}}, {5, 40, 47, 0, 7, {0}}};
    for (size_t i = 0; i < WF_COUNT(shapes); i++)
        for (int mr = 1; mr <= t->max_m; mr++)
            for (int form = 0; form < 8; form++)
                for (int kind = 0; kind < KINDS; kind++)
                    check_tile(t, form & 1, mr, 1 + (form >> 1 & 1), &shapes[i], form >> 2, kind);
    for (int64_t count = 0; count <= 90; count++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int64_t rows = 1; rows <= 7; rows++)
                check_lanes(t, rows, count, count % 5, rows & 1, kind);
}

/* --- rows ------------------------------------------------------------------------------------- */

#define CLASS_REAL 0
#define CLASS_ARITH 0
#define CLASS_LOGIC 0
#define CLASS_TEST 1
#define CLASS_COMPARE 1
#define CLASS_SELECT 2

static const struct {
    const char *name;
    size_t at;
    int n_in, class; /* 0: the result has the operands' type; 1: a bool; 2: the first operand is */
} ops[] = {
#define WF_EW1(name, class, ...) {#name, offsetof(wf_rows, name), 1, CLASS_##class},
#define WF_EW2(name, class, ...) {#name, offsetof(wf_rows, name), 2, CLASS_##class},
#define WF_EW3(name, class, ...) {#name, offsetof(wf_rows, name), 3, CLASS_##class},
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3
};

enum { ROW = 1003, SPREAD = 2 };
static _Alignas(64) char in[3][ROW * SPREAD * 8], out[2][(ROW * SPREAD + 8) * 8];

static void check_row(wf_row_fn *f, wf_row_fn *plain, size_t op, wf_dtype t,
                      const int64_t *stride) {
    const wf_dtype result = ops[op].class == 1 ? WF_BOOL : t;
    const void *from[3] = {in[0], in[1], in[2]};
    memset(out, 0x55, sizeof out);
    f(ROW, out[0], from, stride);
    plain(ROW, out[1], from, stride);
    for (int64_t i = 0; i < ROW; i++) {
        const size_t at = (size_t)(i * stride[0]) * wf_dtype_bytes(result);
        expect(ops[op].name, wf_dtype_name(t), (int)i, result, out[0] + at, out[1] + at);
    }
    const size_t end = (size_t)(ROW * stride[0]) * wf_dtype_bytes(result);
    if (memcmp(out[0] + end, out[1] + end, sizeof out[0] - end) != 0)
        say(ops[op].name, "past its end", ROW, 0, 0);
}

static void check_rows(const wf_rows *table) {
    static const int64_t strides[][4] = {{1, 1, 1, 1}, {1, 1, 0, 0}, {1, 1, 1, 0}, {1, 1, 0, 1},
                                         {1, 0, 1, 1}, {2, 1, 2, 1}, {1, 2, 1, 2}};
    for (size_t op = 0; op < WF_COUNT(ops); op++)
        for (int t = 0; t < WF_N_DTYPE; t++)
            for (int kind = 0; kind < KINDS; kind++) {
                const size_t at = ops[op].at + (size_t)t * sizeof(wf_row_fn *);
                wf_row_fn *f, *plain;
                memcpy(&f, (const char *)table + at, sizeof f);
                memcpy(&plain, (const char *)&wf_rows_plain + at, sizeof plain);
                if (!f != !plain) say(ops[op].name, "missing", t, 0, 0);
                if (!f || !plain) continue;
                for (int k = 0; k < ops[op].n_in; k++)
                    fill(in[k], ops[op].class == 2 && k == 0 ? WF_BOOL : (wf_dtype)t, ROW * SPREAD,
                         kind);
                for (size_t s = 0; s < WF_COUNT(strides); s++)
                    check_row(f, plain, op, (wf_dtype)t, strides[s]);
            }
}

/* --- reductions ------------------------------------------------------------------------------- */

enum { STATE = WF_FOLD_BLOCK * WF_FOLD_STATE, FOLD_ROWS = 11 };
static float x[FOLD_ROWS * (WF_FOLD_BLOCK + 7)];

static void check_step(const char *name, wf_fold_step *f, wf_fold_step *plain, const wf_fold *fold,
                       bool cols, int kind) {
    static const int64_t widths[] = {1, 3, 31, 32, 33, 100, 511, 512};
    static double mine[STATE], theirs[STATE];
    for (size_t w = 0; w < WF_COUNT(widths); w++)
        for (int64_t rows = 1; rows <= FOLD_ROWS; rows++) {
            fill_f32(x, (int)WF_COUNT(x), kind);
            memset(mine, 0, sizeof mine);
            fold->begin(mine, x, cols ? widths[w] : 1);
            memcpy(theirs, mine, sizeof mine);
            f(mine, x, rows, widths[w], widths[w] + 7);
            plain(theirs, x, rows, widths[w], widths[w] + 7);
            for (int i = 0; i < STATE; i++)
                expect(name, cols ? "cols" : "row", i, WF_F64, &mine[i], &theirs[i]);
        }
}

static void check_folds(const wf_fold_table *t) {
    const wf_fold_table *p = &wf_fold_scalar;
    const struct {
        const char *name;
        const wf_fold_steps *mine, *plain;
        const wf_fold *fold;
    } folds[] = {{"sum", &t->sum, &p->sum, &wf_fold_sum},
                 {"max", &t->max, &p->max, &wf_fold_max},
                 {"min", &t->min, &p->min, &wf_fold_min},
                 {"moments", &t->moments, &p->moments, &wf_fold_moments}};
    for (size_t i = 0; i < WF_COUNT(folds); i++)
        for (int kind = 0; kind < KINDS; kind++) {
            const wf_fold_steps *mine = folds[i].mine, *plain = folds[i].plain;
            check_step(folds[i].name, mine->cols, plain->cols, folds[i].fold, true, kind);
            check_step(folds[i].name, mine->row, plain->row, folds[i].fold, false, kind);
        }
}

/* --- all -------------------------------------------------------------------------------------- */

static void check_flush(void) {
    volatile float tiny = 0x1p-126f, half = 0.5f;
    if (tiny * half != 0) say("denormals", "not flushed", 0, tiny * half, 0);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "isa") == 0) {
        puts(wf_isa_name(wf_isa_get()));
        return 0;
    }
    const wf_fp_mode mode = wf_flush_denormals();
    check_flush();
    for (size_t i = 0; i + 1 < WF_COUNT(sets) && sets[i].isa <= wf_isa_get(); i++) {
        const wf_tile_table *t = wf_tile_table_for(sets[i].isa);
        const wf_rows *rows = wf_rows_for(sets[i].isa);
        if (strcmp(t->name, wf_isa_name(sets[i].isa)) != 0 || rows == &wf_rows_plain)
            say(t->name, "is no table for this set", (int)i, 0, 0);
        check_tiles(t);
        const long tiles = compared;
        check_rows(rows);
        const long all_rows = compared - tiles;
        check_folds(sets[i].fold);
        printf("%s: micro kernels %ld, rows %ld, reductions %ld values\n", t->name, tiles, all_rows,
               compared - all_rows - tiles);
        compared = 0;
    }
    wf_restore_denormals(mode);
    if (wrong) printf("%ld wrong\n", wrong);
    return wrong != 0;
}
