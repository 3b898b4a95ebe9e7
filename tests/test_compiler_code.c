/* Generated code: every row of tensor/ops.def and random groups against the interpreter and the
 * evaluators, bit for bit; the modes; WF_VERIFY. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "autograd/autograd.h"
#include "compiler/cc.h"
#include "compiler/code.h"
#include "compiler/code_text.h"
#include "compiler/program.h"
#include "tensor/denormals.h"
#include "tensor/elementwise.h"
#include "tensor/kernels/rows.h"

static wf_fp_mode former;
static char home[64];

static void start(void) {
    former = wf_flush_denormals();
    strcpy(home, "/tmp/weft-code-XXXXXX");
    cr_assert(mkdtemp(home));
    setenv("XDG_CACHE_HOME", home, 1);
    setenv("WF_CC_LIMIT", "120", 1);
}
static void end(void) {
    char command[128];
    wf_restore_denormals(former);
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert(system(command) == 0);
}
TestSuite(compiler_code, .init = start, .fini = end);

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

/* --- groups and their data -------------------------------------------------------------------- */

enum { ROWS = 7, COLS = 53, PITCH = 64, BLOCK = PITCH * ROWS * 8 };

/* How a place lies in its block. */
typedef enum layout { DENSE, STRIDED, ONE_ROW, SCALAR, ONE_COL, N_LAYOUT } layout;

static wf_group_place place(wf_dtype t, layout l) {
    switch (l) {
    case DENSE: return (wf_group_place){t, COLS, 1};
    case STRIDED: return (wf_group_place){t, PITCH, 1};
    case ONE_ROW: return (wf_group_place){t, 0, 1};
    case ONE_COL: return (wf_group_place){t, 1, 0};
    default: return (wf_group_place){t, 0, 0};
    }
}

static uint64_t next(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 20;
}

/* Special values, random bits, plain magnitudes. */
static void fill(void *data, wf_dtype t, size_t bytes, uint64_t seed) {
    static const double special[] = {
        0,     -0.0,     1,         -1,  0.5,  1.5,   -2.5,  0x1.fffffep127, 0x1p-126, -0x1p-130,
        88.72, INFINITY, -INFINITY, NAN, 1e30, -1e30, 0x1p-1030};
    const size_t size = wf_dtype_bytes(t);
    for (size_t i = 0; i < bytes / size; i++) {
        const uint64_t r = next(&seed);
        char *p = (char *)data + i * size;
        if (t == WF_BOOL)
            *p = r % 2;
        else if (r % 4 == 0 && (wf_dtype_is_real(t)))
            wf_store(t, p, special[r / 4 % WF_COUNT(special)]);
        else if (r % 4 == 1)
            memcpy(p, &seed, size);
        else
            wf_store(t, p, ((double)(r % 20001) - 10000) / 1250);
    }
}

static bool same(wf_dtype t, const void *a, const void *b) {
    if (memcmp(a, b, wf_dtype_bytes(t)) == 0) return true;
    if (!wf_dtype_is_real(t) && t != WF_BF16) return false;
    const double x = wf_load(t, a), y = wf_load(t, b), low = t == WF_F64 ? 0x1p-1022 : 0x1p-126;
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    return fabs(x) < low && fabs(y) < low && !signbit(x) == !signbit(y);
}

/* Memory of one run: a block for each place; an output in place has that of operand `share`. */
typedef struct memory {
    char *block[WF_GROUP_OPERANDS + WF_GROUP_OUTPUTS];
    void *p[WF_GROUP_OPERANDS + WF_GROUP_OUTPUTS];
    int n;
} memory;

static memory memory_new(const wf_group *g, const int *share, uint64_t seed) {
    memory m = {.n = g->n_in + g->n_out};
    for (int i = 0; i < m.n; i++) {
        m.block[i] = aligned_alloc(64, BLOCK);
        memset(m.block[i], 0x5a, BLOCK);
        if (i < g->n_in) fill(m.block[i], g->in[i].dtype, BLOCK, seed + (uint64_t)i);
        const int other = i < g->n_in || !share ? -1 : share[i - g->n_in];
        m.p[i] = other >= 0 ? m.p[other] : m.block[i];
    }
    return m;
}
static void memory_free(memory *m) {
    for (int i = 0; i < m->n; i++) free(m->block[i]);
}

static void *scratch_new(const wf_group *g) {
    return aligned_alloc(64, (wf_group_scratch(g) + 127) / 64 * 64);
}

static void check_same(const wf_group *g, const memory *got, const memory *want, const char *what) {
    for (int k = 0; k < g->n_out; k++)
        for (size_t at = 0; at < BLOCK; at += wf_dtype_bytes(g->out[k].dtype)) {
            const char *x = (char *)got->p[g->n_in + k] + at;
            const char *y = (char *)want->p[g->n_in + k] + at;
            if (same(g->out[k].dtype, x, y)) continue;
            char text[4096];
            wf_group_text(g, text, sizeof text);
            cr_assert_fail("%s: byte %zu of output %d is %a, not %a, in\n%s", what, at, k,
                           wf_load(g->out[k].dtype, x), wf_load(g->out[k].dtype, y), text);
        }
}

/* The kernel against the interpreter, apart and in place. */
static void check_group(const wf_group *g, wf_group_fn *fn, const int *share, long cols) {
    void *scratch = scratch_new(g);
    for (uint64_t seed = 1; seed < 4; seed++) {
        memory got = memory_new(g, share, seed), want = memory_new(g, share, seed);
        wf_group_run(g, want.p, ROWS, cols, scratch);
        fn(got.p, ROWS, cols);
        check_same(g, &got, &want, "kernel against interpreter");
        memory_free(&got);
        memory_free(&want);
    }
    free(scratch);
}

/* --- one step --------------------------------------------------------------------------------- */

/* True, and the dtype of the result, if op takes n operands of these dtypes. */
static bool result_of(const wf_op *op, const void *attr, const wf_dtype *in, int n, wf_dtype *out) {
    wf_type type[8];
    for (int i = 0; i < n; i++) type[i] = (wf_type){in[i], WF_SHAPE(2)};
    wf_infer q = {.op = op, .attr = attr, .n_in = n, .in = type};
    if (!op->infer(&q)) return false;
    *out = q.out.dtype;
    return wf_group_row(op, in, *out) != NULL;
}

static void one_step(wf_group *g, const wf_op *op, const wf_dtype *in, int n, wf_dtype out,
                     int variant) {
    memset(g, 0, sizeof *g);
    g->n_in = (uint16_t)n, g->n_step = 1, g->n_out = 1;
    g->step[0] = (wf_group_step){.op = op, .dtype = out, .n_in = (uint16_t)n};
    for (int i = 0; i < n; i++) {
        g->in[i] = place(in[i], (layout)((variant + i * (1 + variant / N_LAYOUT)) % N_LAYOUT));
        g->step[0].in[i] = (uint16_t)i;
    }
    g->out[0] = place(out, variant % 2 ? STRIDED : DENSE);
    g->out_value[0] = (uint16_t)n;
}

/* eval, element by element. */
static void check_eval(const wf_group *g, const void *attr, wf_group_fn *fn) {
    const wf_group_step *s = &g->step[0];
    memory got = memory_new(g, NULL, 9), want = memory_new(g, NULL, 9);
    wf_array in[8];
    wf_call c = {.op = s->op, .attr = attr, .n_in = s->n_in, .in = in};
    const wf_shape shape = WF_SHAPE(ROWS, COLS);
    for (int i = 0; i < g->n_in; i++) {
        in[i] = wf_array_dense(want.p[i], g->in[i].dtype, &shape);
        in[i].stride[0] = g->in[i].row_stride, in[i].stride[1] = g->in[i].col_stride;
    }
    c.out = wf_array_dense(want.p[g->n_in], g->out[0].dtype, &shape);
    c.out.stride[0] = g->out[0].row_stride;
    s->op->eval(&c);
    fn(got.p, ROWS, COLS);
    check_same(g, &got, &want, "kernel against eval");
    memory_free(&got);
    memory_free(&want);
}

enum { MOST = 512 };
static wf_group group[MOST];
static wf_cast_attr attr[MOST];
static size_t n_group;

static void collect_steps(void) {
    wf_dtype out;
    for (const wf_op *const *op = wf_ew_ops; *op; op++)
        for (wf_dtype t = 0; t < WF_N_DTYPE; t++) {
            const wf_dtype in[3] = {*op == &wf_op_select ? WF_BOOL : t, t, t};
            if (result_of(*op, NULL, in, (*op)->max_in, &out))
                one_step(&group[n_group], *op, in, (*op)->max_in, out, (int)n_group), n_group++;
        }
    for (wf_dtype from = 0; from < WF_N_DTYPE; from++)
        for (wf_dtype to = 0; to < WF_N_DTYPE; to++) {
            attr[n_group] = (wf_cast_attr){to};
            if (wf_row_cast(from, to))
                one_step(&group[n_group], &wf_op_cast, &from, 1, to, (int)n_group), n_group++;
        }
    for (wf_dtype t = 0; t < WF_N_DTYPE; t++)
        for (int n = 2; n <= 8; n += 3) {
            const wf_dtype in[8] = {t, t, t, t, t, t, t, t};
            if (result_of(&wf_op_add_n, NULL, in, n, &out))
                one_step(&group[n_group], &wf_op_add_n, in, n, out, (int)n_group), n_group++;
        }
}

Test(compiler_code, every_row, .timeout = 240) {
    if (!have_compiler()) return;
    const wf_group *list[MOST];
    wf_code *code;
    collect_steps();
    for (size_t i = 0; i < n_group; i++) list[i] = &group[i];
    const double at = seconds();
    cr_assert_eq(wf_code_request(&code, list, n_group, WF_CODE_SYNC), WF_OK);
    cr_log_info("%zu one-step groups compiled in %.2f s", n_group, seconds() - at);
    for (size_t i = 0; i < n_group; i++) {
        wf_group_fn *fn = wf_code_kernel(code, i);
        cr_assert(fn, "no kernel for %s: %s", group[i].step[0].op->name, wf_error());
        check_group(&group[i], fn, NULL, COLS);
        check_group(&group[i], fn, NULL, COLS - 7); /* not one long row */
        check_eval(&group[i], &attr[i], fn);
    }
    wf_code_free(code);
}

/* --- many steps ------------------------------------------------------------------------------- */

static wf_dtype value_dtype(const wf_group *g, int v) {
    return v < g->n_in ? g->in[v].dtype : g->step[v - g->n_in].dtype;
}

/* A random value of that dtype, or -1. */
static int pick(const wf_group *g, wf_dtype t, uint64_t *seed) {
    const int n = g->n_in + g->n_step, from = (int)(next(seed) % (uint64_t)n);
    for (int i = 0; i < n; i++)
        if (value_dtype(g, (from + i) % n) == t) return (from + i) % n;
    return -1;
}

static bool add_random_step(wf_group *g, uint64_t *seed) {
    size_t n_rows = 0;
    while (wf_ew_ops[n_rows]) n_rows++;
    const size_t which = next(seed) % (n_rows + 2);
    const wf_op *op = which < n_rows    ? wf_ew_ops[which]
                      : which == n_rows ? &wf_op_cast
                                        : &wf_op_add_n;
    const int n = op == &wf_op_add_n ? 2 + (int)(next(seed) % 4) : op->max_in;
    const wf_dtype t = value_dtype(g, (int)(next(seed) % (uint64_t)(g->n_in + g->n_step)));
    wf_group_step s = {.op = op, .n_in = (uint16_t)n};
    wf_dtype in[8];
    const wf_cast_attr a = {(int64_t)(next(seed) % WF_N_DTYPE)};
    for (int i = 0; i < n; i++) {
        const int v = pick(g, op == &wf_op_select && i == 0 ? WF_BOOL : t, seed);
        if (v < 0) return false;
        in[i] = value_dtype(g, v);
        s.in[i] = (uint16_t)v;
    }
    if (!result_of(op, &a, in, n, &s.dtype)) return false;
    g->step[g->n_step++] = s;
    return true;
}

/* Every output takes, if it can, the memory of an operand that lies alike. */
static void random_group(wf_group *g, int *share, uint64_t seed, wf_dtype real) {
    static const wf_dtype more[] = {WF_BOOL, WF_I32, WF_U8, WF_BF16, WF_I64};
    const bool column = seed % 5 == 4;
    memset(g, 0, sizeof *g);
    g->n_in = (uint16_t)(2 + next(&seed) % 5);
    for (int i = 0; i < g->n_in; i++) {
        const wf_dtype t = i < 2 ? real : more[next(&seed) % WF_COUNT(more)];
        g->in[i] = place(t, column ? (i % 2 ? ONE_COL : SCALAR) : (layout)(next(&seed) % N_LAYOUT));
    }
    const int steps = 1 + (int)(next(&seed) % 20);
    for (int tries = 0; g->n_step < steps && tries < 400; tries++) add_random_step(g, &seed);
    for (int i = g->n_step; i-- > 0 && g->n_out < 5;) {
        if (i + 1 < g->n_step && next(&seed) % 3) continue;
        const int k = g->n_out++;
        const wf_dtype t = g->step[i].dtype;
        g->out_value[k] = (uint16_t)(g->n_in + i);
        g->out[k] = place(t, column ? ONE_COL : next(&seed) % 2 ? STRIDED : DENSE);
        share[k] = -1;
        for (int j = 0; j < g->n_in && share[k] < 0; j++)
            if (memcmp(&g->in[j], &g->out[k], sizeof g->in[j]) == 0 && next(&seed) % 2)
                share[k] = j;
        for (int j = 0; j < k; j++)
            if (share[j] == share[k]) share[k] = -1;
    }
}

static void check_random(wf_dtype real, uint64_t first, size_t n) {
    const wf_group *list[MOST];
    static int share[MOST][WF_GROUP_OUTPUTS];
    wf_code *code;
    size_t steps = 0;
    for (size_t i = 0; i < n; i++) {
        random_group(&group[i], share[i], first + i, real);
        list[i] = &group[i];
        steps += group[i].n_step;
    }
    const double at = seconds();
    cr_assert_eq(wf_code_request(&code, list, n, WF_CODE_SYNC), WF_OK);
    cr_log_info("%zu random groups, %zu steps: compiled in %.2f s", n, steps, seconds() - at);
    for (size_t i = 0; i < n; i++) {
        wf_group_fn *fn = wf_code_kernel(code, i);
        cr_assert(fn, "no kernel: %s", wf_error());
        const bool column = group[i].out[0].col_stride == 0;
        check_group(&group[i], fn, share[i], column ? 1 : COLS);
        if (!column) check_group(&group[i], fn, share[i], 1 + (long)i % COLS);
    }
    wf_code_free(code);
}

Test(compiler_code, random_groups_f32, .timeout = 240) {
    if (have_compiler()) check_random(WF_F32, 1000, 60);
}
Test(compiler_code, random_groups_f64, .timeout = 240) {
    if (have_compiler()) check_random(WF_F64, 5000, 40);
}

/* --- requests --------------------------------------------------------------------------------- */

/* y = sigmoid(x + bias) * x, u = y > bias */
static void gate_group(wf_group *g, int64_t cols) {
    memset(g, 0, sizeof *g);
    g->n_in = 2, g->n_step = 4, g->n_out = 2;
    g->in[0] = (wf_group_place){WF_F32, cols, 1};
    g->in[1] = (wf_group_place){WF_F32, 0, 1};
    g->step[0] = (wf_group_step){&wf_op_add, WF_F32, 2, {0, 1}};
    g->step[1] = (wf_group_step){&wf_op_sigmoid, WF_F32, 1, {2}};
    g->step[2] = (wf_group_step){&wf_op_mul, WF_F32, 2, {3, 0}};
    g->step[3] = (wf_group_step){&wf_op_greater, WF_BOOL, 2, {4, 1}};
    g->out[0] = (wf_group_place){WF_F32, cols, 1};
    g->out[1] = (wf_group_place){WF_BOOL, cols, 1};
    g->out_value[0] = 4, g->out_value[1] = 5;
}

Test(compiler_code, modes) {
    if (!have_compiler()) return;
    wf_group g;
    const wf_group *list[] = {&g, &g};
    wf_code *code, *again;
    gate_group(&g, COLS);
    cr_assert_eq(wf_code_request(&code, list, 1, WF_CODE_OFF), WF_OK);
    cr_assert_null(wf_code_kernel(code, 0));
    wf_code_free(code);
    cr_assert_eq(wf_code_request(&code, list, 0, WF_CODE_SYNC), WF_OK);
    wf_code_free(code);

    /* Two requests at once, one freed while its job runs; equal groups are one kernel. */
    cr_assert_eq(wf_code_request(&code, list, 2, WF_CODE_BACKGROUND), WF_OK);
    cr_assert_eq(wf_code_request(&again, list, 2, WF_CODE_SYNC), WF_OK);
    wf_code_free(code);
    wf_group_fn *fn = wf_code_kernel(again, 0);
    cr_assert(fn && fn == wf_code_kernel(again, 1));
    check_group(&g, fn, NULL, COLS);
    const double at = seconds();
    cr_assert_eq(wf_code_request(&code, list, 1, WF_CODE_SYNC), WF_OK);
    cr_assert(wf_code_kernel(code, 0) == fn && seconds() - at < 0.1);
    wf_code_free(code);
    wf_code_free(again);
}

/* Several loads in one process, each with its own code. */
Test(compiler_code, kernels_of_many_requests) {
    if (!have_compiler()) return;
    enum { REQUESTS = 5 };
    wf_code *code[REQUESTS];
    static wf_group g[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) {
        const wf_group *list[] = {&g[i]};
        gate_group(&g[i], COLS);
        g[i].step[0].op = i % 2 ? &wf_op_mul : &wf_op_sub;
        g[i].step[2].op = i / 2 ? &wf_op_add : &wf_op_maximum;
        g[i].step[3].op = i == 4 ? &wf_op_less : &wf_op_equal;
        cr_assert_eq(wf_code_request(&code[i], list, 1, WF_CODE_SYNC), WF_OK);
    }
    for (int i = 0; i < REQUESTS; i++) {
        cr_assert(wf_code_kernel(code[i], 0), "%d: %s", i, wf_error());
        check_group(&g[i], wf_code_kernel(code[i], 0), NULL, COLS);
        wf_code_free(code[i]);
    }
}

Test(compiler_code, environment) {
    unsetenv("WF_JIT");
    cr_assert_eq(wf_code_mode_get(), WF_CODE_BACKGROUND);
    setenv("WF_JIT", "off", 1);
    cr_assert_eq(wf_code_mode_get(), WF_CODE_OFF);
    setenv("WF_JIT", "sync", 1);
    cr_assert_eq(wf_code_mode_get(), WF_CODE_SYNC);
}

/* A child forked while the parent compiles has kernels of its own if it asks. */
Test(compiler_code, fork_while_compiling) {
    if (!have_compiler()) return;
    wf_group g;
    const wf_group *list[] = {&g};
    wf_code *code, *mine;
    gate_group(&g, COLS);
    cr_assert_eq(wf_code_request(&code, list, 1, WF_CODE_BACKGROUND), WF_OK);
    const pid_t child = fork();
    if (child == 0) {
        wf_code_wait(code);
        if (wf_code_request(&mine, list, 1, WF_CODE_SYNC)) _exit(1);
        _exit(wf_code_kernel(mine, 0) ? 0 : 2);
    }
    int status = -1;
    cr_assert(waitpid(child, &status, 0) == child);
    cr_assert_eq(status, 0, "the child's status is %d", status);
    wf_code_wait(code);
    cr_assert(wf_code_kernel(code, 0));
    wf_code_free(code);
}

/* --- verification ----------------------------------------------------------------------------- */

static int n_lines;
static char first_line[512];
static void keep_line(void *user, const char *line) {
    if (n_lines++ == 0) snprintf(first_line, sizeof first_line, "%s", line);
}

static void wrong_kernel(void *const p[], long rows, long cols) {
    float *y = p[2];
    for (long i = 0; i < rows * cols; i++) y[i] = (float)i;
}

/* The wrong kernel writes over its operand; the interpreter's result stays all the same. */
Test(compiler_code, a_wrong_kernel_is_found) {
    if (!have_compiler()) return;
    wf_group g;
    const wf_group *list[] = {&g};
    const int share[] = {0, -1};
    wf_code *code;
    char command[4096];
    gate_group(&g, COLS);
    setenv("WF_VERIFY", "all", 1);
    setenv("TMPDIR", home, 1);
    cr_assert_eq(wf_code_request(&code, list, 1, WF_CODE_SYNC), WF_OK);
    void *scratch = scratch_new(&g);
    memory got = memory_new(&g, share, 3), want = memory_new(&g, share, 3);
    wf_group_run(&g, want.p, ROWS, COLS, scratch);
    wf_set_log(keep_line, NULL);
    wf_code_call(code, 0, &g, got.p, ROWS, COLS, scratch);
    cr_assert(n_lines == 0, "a right kernel is reported: %s", first_line);
    check_same(&g, &got, &want, "verified run");

    memory_free(&got);
    got = memory_new(&g, share, 3);
    wf_code_set(code, 0, wrong_kernel);
    wf_code_call(code, 0, &g, got.p, ROWS, COLS, scratch);
    wf_set_log(NULL, NULL);
    check_same(&g, &got, &want, "run of a wrong kernel");
    cr_assert(strstr(first_line, "differs from the interpreter: output 0 at row 0"), "%s",
              first_line);
    cr_assert_null(wf_code_kernel(code, 0));

    /* The reproducer stands alone; its kernel is the generated one, which is right. */
    const char *path = strstr(first_line, home);
    cr_assert(path, "%s", first_line);
    wf_cc cc;
    cr_assert_eq(wf_cc_find(&cc), WF_OK);
    snprintf(command, sizeof command,
             "cd %s && %s -w -O2 -fopenmp-simd -ffp-contract=off -fno-builtin %s -o repro -lm && "
             "./repro", home, cc.path, path);
    cr_assert(system(command) == 0, "%s", command);
    memory_free(&got);
    memory_free(&want);
    free(scratch);
    wf_code_free(code);
}

/* --- programs --------------------------------------------------------------------------------- */

enum { STEPS = 4, SIDE = 37 };
typedef struct trained {
    float w[SIDE * SIDE], b[SIDE], loss[STEPS];
} trained;

/* A few steps of gradient descent; the state that they leave. */
static void train(trained *t, const char *jit, bool wait) {
    for (int i = 0; i < SIDE * SIDE; i++) t->w[i] = (float)(i * 37 % 101 - 50) / 200;
    for (int i = 0; i < SIDE; i++) t->b[i] = (float)(i % 7 - 3) / 10;
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(11, SIDE));
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(SIDE, SIDE), t->w);
    const wf_tensor b = wf_leaf(g, "b", WF_F32, WF_SHAPE(SIDE), t->b);
    wf_tensor h = x;
    for (int k = 0; k < 3; k++) {
        const wf_tensor z = wf_add(wf_matmul(h, w), b);
        h = wf_add(wf_mul(wf_sigmoid(z), wf_tanh(z)), wf_mul_scalar(wf_relu(h), 0.5));
    }
    const wf_tensor loss = wf_mean(wf_square(wf_sub(h, wf_gelu(x))), (wf_reduce_opt){0});
    const wf_tensor of[] = {w, b};
    wf_tensor grad[2];
    wf_grad(loss, of, 2, grad);
    for (int i = 0; i < 2; i++) wf_assign(of[i], wf_sub(of[i], wf_mul_scalar(grad[i], 0.3)));
    setenv("WF_JIT", jit, 1);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, &loss, 1, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
    float *data = wf_data(p, x);
    for (int i = 0; i < 11 * SIDE; i++) data[i] = (float)(i * 29 % 83 - 41) / 30;
    for (int k = 0; k < STEPS; k++) {
        cr_assert_eq(wf_run(p), WF_OK);
        cr_assert_eq(wf_read(p, loss, &t->loss[k], sizeof(float)), WF_OK);
        if (wait && k == 1) wf_code_wait(p->plan.code); /* the kernels come in the middle */
    }
    for (uint32_t i = 0; i < p->plan.n_kernel && strcmp(jit, "off") != 0; i++)
        if (strcmp(jit, "sync") == 0 || wait) cr_assert(wf_code_kernel(p->plan.code, i));
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_code, programs_give_the_same_bits_in_every_mode) {
    if (!have_compiler()) return;
    static trained off, background, sync, plain;
    setenv("WF_VERIFY", "all", 1);
    wf_set_log(keep_line, NULL);
    train(&off, "off", false);
    train(&background, "background", true);
    train(&sync, "sync", false);
    train(&plain, "background", false); /* kernels are there already */
    wf_set_log(NULL, NULL);
    cr_assert_eq(n_lines, 0, "%s", first_line);
    cr_assert(off.loss[STEPS - 1] < off.loss[0]);
    cr_assert_eq(memcmp(&off, &background, sizeof off), 0);
    cr_assert_eq(memcmp(&off, &sync, sizeof off), 0);
    cr_assert_eq(memcmp(&off, &plain, sizeof off), 0);
}
