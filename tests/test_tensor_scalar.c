/* The elementwise operations as numbers: accuracy and special values of tensor/scalar.h; row
 * kernels of every instruction set of this machine against `eval`, bit for bit; casts, sums and
 * copies. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/denormals.h"
#include "tensor/elementwise.h"
#include "tensor/graph.h"
#include "tensor/kernels/copy.h"
#include "tensor/kernels/cpu.h"
#include "tensor/kernels/rows.h"
#include "tensor/scalar.h"

static wf_fp_mode former;
static void flush(void) { former = wf_flush_denormals(); }
static void restore(void) { wf_restore_denormals(former); }
TestSuite(tensor_scalar, .init = flush, .fini = restore);

/* --- accuracy --------------------------------------------------------------------------------- */

static double sigmoid_ref(double x) { return 1 / (1 + exp(-x)); }
static double softplus_ref(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }
static double silu_ref(double x) { return x / (1 + exp(-x)); }
static double gelu_ref(double x) { return 0.5 * x * erfc(-x * M_SQRT1_2); }

/* Largest error in ulp over every 4099th float in [lo, hi], results below `lowest` left out. */
static void check_accuracy(const char *name, float (*f)(float), double (*ref)(double), float lo,
                           float hi, double lowest, double limit) {
    double worst = 0;
    float at = 0;
    for (uint64_t u = 1; u < UINT64_C(1) << 32; u += 4099) {
        const float x = wf_from_bits((unsigned)u);
        if (!(x >= lo && x <= hi) || fabsf(x) < 0x1p-126f) continue;
        const double want = ref(x);
        if (!(fabs(want) >= lowest && fabs(want) <= 0x1.fffffep127)) continue;
        const double e = fabs((double)f(x) - want) / ldexp(1, ilogb(want) - 23);
        if (!(e <= worst)) worst = e, at = x;
    }
    cr_assert(worst <= limit, "%s: %g ulp at %a, at most %g", name, worst, (double)at, limit);
}

/* The functions are always_inline; these have addresses. */
#define ADDRESS(name) static float name##_f32(float x) { return wf_##name##f(x); }
ADDRESS(exp) ADDRESS(expm1) ADDRESS(log) ADDRESS(log1p) ADDRESS(tanh) ADDRESS(sigmoid) ADDRESS(erf)
ADDRESS(softplus) ADDRESS(silu) ADDRESS(gelu)

Test(tensor_scalar, accuracy) {
    const float all = 0x1.fffffep127f;
    const double low = 0x1p-126;
    check_accuracy("exp", exp_f32, exp, -88, 89, low * 1.0001, 2);
    check_accuracy("expm1", expm1_f32, expm1, -all, 89, low, 2);
    check_accuracy("log", log_f32, log, 0, all, low, 2);
    check_accuracy("log1p", log1p_f32, log1p, -1, all, low, 2);
    check_accuracy("tanh", tanh_f32, tanh, -all, all, low, 2);
    check_accuracy("sigmoid", sigmoid_f32, sigmoid_ref, -all, all, low * 1.0001, 2);
    check_accuracy("erf", erf_f32, erf, -all, all, low * 2, 2);
    check_accuracy("softplus", softplus_f32, softplus_ref, -all, all, low * 1.0001, 4);
    check_accuracy("silu", silu_f32, silu_ref, -all, all, 0x1p-119, 4);
    check_accuracy("gelu", gelu_f32, gelu_ref, -all, all, 0x1p-119, 8);
}

Test(tensor_scalar, special_values) {
    const float inf = INFINITY, nan = NAN;
    const struct {
        const char *name;
        float (*f)(float);
        float at[4], want[4]; /* at 0, inf, -inf and one more place */
    } rows[] = {
        {"exp", exp_f32, {0, inf, -inf, -200}, {1, inf, 0, 0}},
        {"exp", exp_f32, {88.7f, 89, -87.4f, 1e30f}, {expf(88.7f), inf, 0, inf}},
        {"expm1", expm1_f32, {0, inf, -inf, 1e30f}, {0, inf, -1, inf}},
        {"log", log_f32, {0, inf, -inf, -1}, {-inf, inf, nan, nan}},
        {"log", log_f32, {1, 0x1p-130f, -0.0f, 2}, {0, -inf, -inf, 0x1.62e430p-1f}},
        {"log1p", log1p_f32, {0, inf, -inf, -1}, {0, inf, nan, -inf}},
        {"tanh", tanh_f32, {0, inf, -inf, -50}, {0, 1, -1, -1}},
        {"sigmoid", sigmoid_f32, {0, inf, -inf, -200}, {0.5f, 1, 0, 0}},
        {"erf", erf_f32, {0, inf, -inf, 20}, {0, 1, -1, 1}},
        {"softplus", softplus_f32, {200, inf, -inf, -200}, {200, inf, 0, 0}},
        {"silu", silu_f32, {0, inf, -inf, -200}, {0, inf, 0, 0}},
        {"gelu", gelu_f32, {0, inf, -inf, -200}, {0, inf, 0, 0}},
    };
    for (size_t i = 0; i < WF_COUNT(rows); i++) {
        cr_assert(isnan(rows[i].f(nan)), "%s(NaN) is %g", rows[i].name, (double)rows[i].f(nan));
        for (int k = 0; k < 4; k++) {
            const float got = rows[i].f(rows[i].at[k]), want = rows[i].want[k];
            cr_assert(got == want || (isnan(got) && isnan(want)), "%s(%a) is %a, not %a",
                      rows[i].name, (double)rows[i].at[k], (double)got, (double)want);
        }
    }
    cr_assert(signbit(tanh_f32(-0.0f)) && signbit(erf_f32(-0.0f)) && signbit(expm1_f32(-0.0f)));
}

/* --- kernels against eval --------------------------------------------------------------------- */

enum { CELLS = 16384, ROW = 131 };

/* A few thousand values: special ones, integers, random bits, and plain magnitudes. */
static void fill(void *data, wf_dtype t, int64_t n, uint64_t seed) {
    static const double special[] = {
        0,        -0.0,      1,    -1,    0.5,   1.5,   2.5,            -2.5,     INFINITY,
        -INFINITY, NAN,      3,    -0.625, 1e30, -1e30, 0x1.fffffep127, 0x1p-126, 0x1p-130,
        -0x1p-130, 88.72,    -87.3};
    for (int64_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const uint64_t bits = seed >> 20;
        const double plain = ((double)(bits % 20001) - 10000) / 1250;
        char *p = (char *)data + i * (int64_t)wf_dtype_bytes(t);
        if (t == WF_BOOL)
            *p = bits % 2;
        else if (bits % 4 == 0 && (wf_dtype_is_real(t)))
            wf_store(t, p, special[bits / 4 % WF_COUNT(special)]);
        else if (bits % 4 == 1)
            memcpy(p, &seed, wf_dtype_bytes(t));
        else
            wf_store(t, p, plain);
    }
}

/* Equal bits, but for payloads of NaN, and denormals that are passed on (maximum, clamp): whether
 * an instruction that selects also flushes is the compiler's choice. */
static bool same_bits(wf_dtype t, const void *a, const void *b) {
    if (memcmp(a, b, wf_dtype_bytes(t)) == 0) return true;
    if (!wf_dtype_is_real(t)) return false;
    const double x = wf_load(t, a), y = wf_load(t, b), low = t == WF_F32 ? 0x1p-126 : 0x1p-1022;
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    return fabs(x) < low && fabs(y) < low && !signbit(x) == !signbit(y);
}

static void check_equal(const char *what, const wf_call *c, const wf_array *want) {
    int64_t idx[WF_MAX_RANK] = {0};
    if (wf_shape_count(&want->shape) <= 0) return;
    do {
        const void *got = wf_at(&c->out, wf_offset(&c->out, idx));
        const void *exp = wf_at(want, wf_offset(want, idx));
        double x[3] = {0};
        for (int k = 0; k < c->n_in && k < 3 && c->in[k].shape.rank == c->out.shape.rank; k++) {
            int64_t at = 0;
            for (int i = 0; i < c->out.shape.rank; i++)
                at += c->in[k].shape.dim[i] == 1 ? 0 : idx[i] * c->in[k].stride[i];
            x[k] = wf_get(&c->in[k], at);
        }
        cr_assert(same_bits(want->dtype, got, exp), "%s %s(%a, %a, %a): kernel %a, eval %a",
                  c->op->name, what, x[0], x[1], x[2], wf_load(want->dtype, got),
                  wf_load(want->dtype, exp));
    } while (wf_next_index(&want->shape, idx));
}

static _Alignas(64) char room[6][CELLS * 8];

/* Evaluates c both ways; the kernel in two calls, to cross a piece. */
static void check_call(const char *what, wf_call *c) {
    const wf_array want = wf_array_dense(room[5], c->out.dtype, &c->out.shape);
    memset(room[4], 0x55, sizeof room[4]);
    memset(room[5], 0x55, sizeof room[5]);
    wf_call ref = *c;
    ref.out = want;
    c->op->eval(&ref);
    const int64_t pieces = c->op->fast->pieces(c, 0), half = pieces / 2;
    c->op->fast->run(c, 0, half, pieces, NULL, NULL);
    c->op->fast->run(c, 0, 0, half, NULL, NULL);
    check_equal(what, c, &want);
    const size_t end = (size_t)wf_shape_count(&want.shape) * wf_dtype_bytes(want.dtype);
    cr_assert(memcmp(room[4] + end, room[5] + end, sizeof room[4] - end) == 0,
              "%s %s writes past its result", c->op->name, what);
}

typedef struct layout {
    const char *name;
    wf_shape out, in[3];
    int64_t step; /* of all operands, in elements of their last axis; negative: from the end */
} layout;

static wf_array operand(int i, wf_dtype t, wf_shape shape, int64_t step) {
    wf_array a = wf_array_dense(room[i], t, &shape);
    int64_t last = 0;
    for (int k = 0; k < shape.rank; k++) {
        a.stride[k] *= step;
        if (step < 0) last -= a.stride[k] * (shape.dim[k] - 1);
    }
    a.data = wf_at(&a, last);
    return a;
}

static int check_layouts(const wf_op *op, const wf_dtype *types, wf_dtype result) {
    const layout layouts[] = {
        {"dense", WF_SHAPE(15, ROW), {WF_SHAPE(15, ROW), WF_SHAPE(15, ROW), WF_SHAPE(15, ROW)}, 1},
        {"b, c scalar", WF_SHAPE(15, ROW), {WF_SHAPE(15, ROW), WF_SHAPE(1, 1), WF_SHAPE(1, 1)}, 1},
        {"a scalar", WF_SHAPE(15, ROW), {WF_SCALAR, WF_SHAPE(15, ROW), WF_SHAPE(ROW)}, 1},
        {"rows", WF_SHAPE(3, 5, ROW), {WF_SHAPE(3, 1, ROW), WF_SHAPE(5, ROW), WF_SHAPE(5, 1)}, 1},
        {"strided", WF_SHAPE(7, 33), {WF_SHAPE(7, 33), WF_SHAPE(7, 33), WF_SHAPE(1, 33)}, 2},
        {"reversed", WF_SHAPE(7, 33), {WF_SHAPE(7, 33), WF_SHAPE(7, 1), WF_SHAPE(7, 33)}, -1},
        {"empty", WF_SHAPE(0, 3), {WF_SHAPE(0, 3), WF_SHAPE(1, 3), WF_SHAPE(1, 3)}, 1},
        {"scalar", WF_SCALAR, {WF_SCALAR, WF_SCALAR, WF_SCALAR}, 1},
    };
    int n = 0;
    for (size_t i = 0; i < WF_COUNT(layouts); i++) {
        const layout *l = &layouts[i];
        wf_array in[3];
        wf_shape out = l->in[0];
        for (int k = 0; k < op->max_in; k++) {
            fill(room[k], types[k], CELLS, (uint64_t)(7 * k + 1));
            in[k] = operand(k, types[k], l->in[k], l->step);
            cr_assert(wf_broadcast(&out, &l->in[k], &out));
        }
        wf_call c = {.op = op, .n_in = op->max_in, .in = in,
                     .out = wf_array_dense(room[4], result, &out)};
        check_call(l->name, &c);
        n++;
    }
    return n;
}

/* Operand types of the op for element type t; false if its class does not have t. */
static bool types_of(const wf_op *op, wf_dtype t, wf_dtype types[3], wf_dtype *result) {
    wf_type in[3];
    for (int k = 0; k < 3; k++) {
        types[k] = k == 0 && op == &wf_op_select ? WF_BOOL : t;
        in[k] = (wf_type){types[k], WF_SHAPE(2)};
    }
    wf_infer q = {.op = op, .n_in = op->max_in, .in = in};
    if (!op->infer(&q)) return false;
    *result = q.out.dtype;
    return true;
}

Test(tensor_scalar, kernels_equal_eval) {
    int n = 0;
    for (const wf_op *const *op = wf_ew_ops; *op; op++)
        for (int t = 0; t < WF_N_DTYPE; t++) {
            wf_dtype types[3], result;
            if (types_of(*op, (wf_dtype)t, types, &result)) n += check_layouts(*op, types, result);
        }
    cr_log_info("%d comparisons, %s", n, wf_isa_name(wf_isa_get()));
    cr_assert(n > 800, "only %d comparisons", n);
}

static wf_row_fn *row_in(const wf_rows *rows, size_t op, int t) {
    wf_row_fn *const *all = (wf_row_fn *const *)rows; /* members are arrays in the table's order */
    return all[op * WF_N_DTYPE + (size_t)t];
}

/* Every set that the machine has against plain C, and in place. */
Test(tensor_scalar, instruction_sets_agree) {
    const int64_t steps[][4] = {
        {1, 1, 1, 1}, {1, 1, 0, 0}, {1, 1, 1, 0}, {1, 1, 0, 1}, {1, 0, 1, 1}};
    for (size_t op = 0; wf_ew_ops[op]; op++)
        for (int t = 0; t < WF_N_DTYPE; t++) {
            wf_dtype types[3], result;
            if (!types_of(wf_ew_ops[op], (wf_dtype)t, types, &result)) continue;
            const void *in[3] = {room[0], room[1], room[2]};
            for (int k = 0; k < 3; k++) fill(room[k], types[k], 2048, (uint64_t)(k + 11));
            const size_t bytes = wf_dtype_bytes(result);
            for (size_t s = 0; s < WF_COUNT(steps); s++)
                for (int isa = 1; isa <= (int)wf_isa_get(); isa++) {
                    row_in(&wf_rows_plain, op, t)(2001, room[4], in, steps[s]);
                    row_in(wf_rows_for((wf_isa)isa), op, t)(2001, room[5], in, steps[s]);
                    for (size_t i = 0; i < 2001; i++)
                        cr_assert(same_bits(result, room[4] + i * bytes, room[5] + i * bytes),
                                  "%s %s: %s differs from scalar", wf_ew_ops[op]->name,
                                  wf_dtype_name((wf_dtype)t), wf_isa_name((wf_isa)isa));
                }
            if (types[0] != result) continue;
            row_in(wf_rows_get(), op, t)(2001, room[4], in, steps[0]);
            row_in(wf_rows_get(), op, t)(2001, room[0], in, steps[0]);
            for (size_t i = 0; i < 2001; i++)
                cr_assert(same_bits(result, room[4] + i * bytes, room[0] + i * bytes),
                          "%s %s in place", wf_ew_ops[op]->name, wf_dtype_name((wf_dtype)t));
        }
}

Test(tensor_scalar, meaning) {
    const float nan = NAN;
    const struct {
        const wf_op *op;
        float in[3], want;
    } rows[] = {
        {&wf_op_relu, {nan}, nan},           {&wf_op_relu, {-3}, 0},
        {&wf_op_maximum, {nan, 1}, nan},     {&wf_op_maximum, {1, nan}, nan},
        {&wf_op_minimum, {nan, 1}, nan},     {&wf_op_minimum, {1, nan}, nan},
        {&wf_op_round, {2.5f}, 2},           {&wf_op_round, {-3.5f}, -4},
        {&wf_op_hard_sigmoid, {-3}, 0},      {&wf_op_hard_sigmoid, {3}, 1},
        {&wf_op_hard_sigmoid, {1}, 0.7f},    {&wf_op_clamp, {5, -1, 2}, 2},
        {&wf_op_clamp, {0, 3, 2}, 2},        {&wf_op_clamp, {nan, 0, 1}, nan},
        {&wf_op_leaky_relu, {-2, 0.5f}, -1}, {&wf_op_sign, {-0.1f}, -1},
        {&wf_op_fma, {0x1.000002p0f, 0x1.000002p0f, -0x1.000004p0f}, 0x1p-46f},
    };
    for (size_t i = 0; i < WF_COUNT(rows); i++) {
        float got = 77, x[3];
        wf_array in[3];
        const wf_shape s = WF_SCALAR;
        memcpy(x, rows[i].in, sizeof x);
        for (int k = 0; k < 3; k++) in[k] = wf_array_dense(&x[k], WF_F32, &s);
        const wf_call c = {.op = rows[i].op, .n_in = rows[i].op->max_in, .in = in,
                           .out = wf_array_dense(&got, WF_F32, &s)};
        c.op->eval(&c);
        cr_assert(same_bits(WF_F32, &got, &rows[i].want), "%s(%g, %g, %g) is %g, not %g",
                  c.op->name, (double)x[0], (double)x[1], (double)x[2], (double)got,
                  (double)rows[i].want);
    }
}

/* Gradients where a formula alone does not say what they are. */
Test(tensor_scalar, gradients_at_kinks) {
    const struct {
        const wf_op *op;
        double in[3], want[3];
    } rows[] = {
        {&wf_op_relu, {0}, {0}},
        {&wf_op_abs, {0}, {0}},
        {&wf_op_minimum, {1, 1}, {0.5, 0.5}},
        {&wf_op_maximum, {1, 1}, {0.5, 0.5}},
        {&wf_op_maximum, {2, 1}, {1, 0}},
        {&wf_op_pow, {0, 2}, {0, 0}},
        {&wf_op_pow, {0, 0}, {0, 0}},
        {&wf_op_pow, {-2, 2}, {-4, NAN}},
        {&wf_op_elu, {1000, 1}, {1, 0}},
        {&wf_op_clamp, {5, 0, 1}, {0, 0, 1}},
        {&wf_op_clamp, {-5, 0, 1}, {0, 1, 0}},
        {&wf_op_clamp, {0.5, 2, 1}, {0, 0, 1}},
    };
    for (size_t i = 0; i < WF_COUNT(rows); i++) {
        const int n = rows[i].op->max_in;
        wf_graph *g = wf_graph_new();
        wf_tensor x[3], dx[3];
        double got[3];
        for (int k = 0; k < n; k++) x[k] = wf_const(g, WF_F64, WF_SCALAR, &rows[i].in[k]);
        cr_assert(wf_grad(wf_emit(g, rows[i].op, NULL, 0, x, n), x, n, dx) == WF_OK, "%s",
                  wf_error());
        for (int k = 0; k < n; k++) {
            void *out = &got[k];
            cr_assert(wf_reference(g, &dx[k].id, &out, 1, NULL, NULL) == WF_OK, "%s", wf_error());
            cr_assert(got[k] == rows[i].want[k] || (isnan(got[k]) && isnan(rows[i].want[k])),
                      "%s(%g, %g, %g), operand %d: gradient %g, not %g", rows[i].op->name,
                      rows[i].in[0], rows[i].in[1], rows[i].in[2], k, got[k], rows[i].want[k]);
        }
        wf_graph_free(g);
    }
}

Test(tensor_scalar, integers_wrap) {
    int32_t a = INT32_MAX, b = 2, got;
    const wf_shape s = WF_SCALAR;
    const wf_array in[] = {wf_array_dense(&a, WF_I32, &s), wf_array_dense(&b, WF_I32, &s)};
    wf_call c = {.op = &wf_op_add, .n_in = 2, .in = in, .out = wf_array_dense(&got, WF_I32, &s)};
    wf_op_add.eval(&c);
    cr_assert(got == INT32_MIN + 1, "%d", got);
    wf_op_mul.fast->run(&c, 0, 0, 1, NULL, NULL);
    cr_assert(got == -2, "%d", got);
}

/* --- cast, add_n, copy ------------------------------------------------------------------------ */

Test(tensor_scalar, casts_equal_eval) {
    int n = 0;
    for (int from = 0; from < WF_N_DTYPE; from++)
        for (int to = 0; to < WF_N_DTYPE; to++)
            for (int64_t step = -1; step <= 2; step++) {
                const wf_cast_attr attr = {to};
                const wf_shape s = WF_SHAPE(9, 7, 31);
                if (step == 0) continue;
                fill(room[0], (wf_dtype)from, CELLS, 5);
                const wf_array in = operand(0, (wf_dtype)from, s, step);
                wf_call c = {.op = &wf_op_cast, .attr = &attr, .n_in = 1, .in = &in,
                             .out = wf_array_dense(room[4], (wf_dtype)to, &s)};
                if (!c.op->fast->applicable(&c)) continue;
                check_call(wf_dtype_name((wf_dtype)to), &c);
                n++;
            }
    cr_assert(n >= 45, "only %d comparisons", n);
}

Test(tensor_scalar, add_n_equals_eval) {
    const wf_dtype types[] = {WF_F32, WF_F64, WF_I32, WF_I64};
    for (size_t t = 0; t < WF_COUNT(types); t++)
        for (int64_t step = -1; step <= 2; step++) {
            const wf_shape s = WF_SHAPE(3, 2, 1031);
            wf_array in[7];
            if (step == 0) continue;
            for (int k = 0; k < 7; k++) {
                if (k < 4) fill(room[k], types[t], CELLS, (uint64_t)k + 3);
                in[k] = operand(k % 4, types[t], s, k == 2 ? step : 1);
            }
            wf_call c = {.op = &wf_op_add_n, .n_in = 7, .in = in,
                         .out = wf_array_dense(room[4], types[t], &s)};
            check_call("7 operands", &c);
        }
}

/* A copy of `in` (shape s) against the reference, in pieces. */
static void check_copy(const char *what, const wf_array *in) {
    const wf_array out = wf_array_dense(room[4], in->dtype, &in->shape);
    const wf_array want = wf_array_dense(room[5], in->dtype, &in->shape);
    wf_array_copy(&want, in);
    memset(room[4], 0x55, sizeof room[4]);
    for (int64_t i = wf_copy_pieces(&out, in); i-- > 0;) wf_copy_rows(&out, in, i, i + 1);
    const size_t bytes = (size_t)wf_shape_count(&in->shape) * wf_dtype_bytes(in->dtype);
    cr_assert(memcmp(room[4], room[5], bytes) == 0, "%s %s", what, wf_dtype_name(in->dtype));
    cr_assert(bytes == sizeof room[4] || room[4][bytes] == 0x55, "%s writes past its end", what);
}

Test(tensor_scalar, copies) {
    const wf_dtype types[] = {WF_U8, WF_BF16, WF_F32, WF_F64};
    for (size_t t = 0; t < WF_COUNT(types); t++) {
        fill(room[0], types[t], CELLS, 9);
        const wf_shape plane = WF_SHAPE(147, 100), block = WF_SHAPE(3, 150, 31);
        const wf_shape shape = WF_SHAPE(5, 6, 7), none = WF_SHAPE(4, 0, 3), one = WF_SCALAR;
        wf_array a = wf_array_dense(room[0], types[t], &plane);
        check_copy("dense", &a);
        a.stride[0] = 1, a.stride[1] = 147;
        check_copy("transposed", &a);
        a = wf_array_dense(room[0], types[t], &block);
        a.stride[0] = 150 * 31, a.stride[1] = 1, a.stride[2] = 150;
        check_copy("batch of transposed", &a);
        a.stride[0] = 1, a.stride[1] = 3, a.stride[2] = 450;
        check_copy("axes reversed", &a);
        a = operand(0, types[t], shape, -1);
        check_copy("flipped", &a);
        a = operand(0, types[t], shape, 3);
        check_copy("strided", &a);
        a.stride[1] = 0;
        check_copy("repeated rows", &a);
        a.stride[2] = 0;
        check_copy("repeated elements", &a);
        a = wf_array_dense(room[0], types[t], &none);
        check_copy("empty", &a);
        a = wf_array_dense(room[0], types[t], &one);
        check_copy("scalar", &a);
    }
}
