/* The elementwise operations: what a row of tensor/ops.def expands to.
 *
 *   out[i] = value(a[i], b[i], c[i])   after NumPy broadcasting
 *
 * Each chapter includes the table once and uses the columns it needs: constructors, shape rules,
 * evaluators, gradients, kernels, samples, descriptors. */
#include "tensor/elementwise.h"
#include "tensor/graph.h"
#include "tensor/kernels/rows.h"
#include "tensor/kernels/rows_types.h"
#include "tensor/scalar.h"

/* --- constructors ----------------------------------------------------------------------------- */

static wf_tensor emit(const wf_op *op, const wf_tensor *in, int n) {
    return wf_emit(in[0].graph, op, NULL, 0, in, n);
}

#define WF_EW1(name, ...)                                                                          \
    wf_tensor wf_##name(wf_tensor a) { return emit(&wf_op_##name, &a, 1); }
#define WF_EW2(name, ...)                                                                          \
    wf_tensor wf_##name(wf_tensor a, wf_tensor b) {                                                \
        return emit(&wf_op_##name, (const wf_tensor[]){a, b}, 2);                                  \
    }
#define WF_EW3(name, ...)                                                                          \
    wf_tensor wf_##name(wf_tensor a, wf_tensor b, wf_tensor c) {                                   \
        return emit(&wf_op_##name, (const wf_tensor[]){a, b, c}, 3);                               \
    }
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

wf_tensor wf_add_scalar(wf_tensor x, double s) {
    return wf_ok(x) ? wf_add(x, wf_scalar(x.graph, wf_dtype_of(x), s)) : x;
}

wf_tensor wf_mul_scalar(wf_tensor x, double s) {
    return wf_ok(x) ? wf_mul(x, wf_scalar(x.graph, wf_dtype_of(x), s)) : x;
}

/* --- shape rules ------------------------------------------------------------------------------ */

/* Operands from `first` on have one dtype of the set `allowed` (bits). */
static bool infer_dtypes(wf_infer *q, int first, unsigned allowed, const char *names) {
    const wf_dtype t = q->in[first].dtype;
    if (!(allowed >> t & 1))
        return wf_infer_fail(q, "operand %d is %s, needs %s; use wf_cast", first, wf_dtype_name(t),
                             names);
    for (int i = first + 1; i < q->n_in; i++)
        if (q->in[i].dtype != t)
            return wf_infer_fail(q, "operand %d is %s, operand %d is %s; use wf_cast", first,
                                 wf_dtype_name(t), i, wf_dtype_name(q->in[i].dtype));
    q->out.dtype = t;
    return true;
}

static bool infer_shape(wf_infer *q) {
    char a[80], b[80];
    q->out.shape = q->in[0].shape;
    for (int i = 1; i < q->n_in; i++) {
        const wf_shape so_far = q->out.shape;
        if (!wf_broadcast(&so_far, &q->in[i].shape, &q->out.shape))
            return wf_infer_fail(q, "%s and %s (operand %d) do not broadcast; extents must be "
                                 "equal or 1, from the last axis on",
                                 wf_shape_text(&so_far, a, sizeof a),
                                 wf_shape_text(&q->in[i].shape, b, sizeof b), i);
    }
    return true;
}

enum {
    REAL = 1 << WF_F32 | 1 << WF_F64,
    ARITH = REAL | 1 << WF_I32 | 1 << WF_I64,
    COMPARE = ARITH | 1 << WF_U8 | 1 << WF_BOOL,
    LOGIC = 1 << WF_BOOL,
    ANY = (1 << WF_N_DTYPE) - 1
};

static bool infer_REAL(wf_infer *q) {
    return infer_dtypes(q, 0, REAL, "f32 or f64") && infer_shape(q);
}
static bool infer_ARITH(wf_infer *q) {
    return infer_dtypes(q, 0, ARITH, "f32, f64, i32 or i64") && infer_shape(q);
}
static bool infer_COMPARE(wf_infer *q) {
    if (!infer_dtypes(q, 0, COMPARE, "f32, f64, i32, i64, u8 or bool")) return false;
    q->out.dtype = WF_BOOL;
    return infer_shape(q);
}
static bool infer_TEST(wf_infer *q) {
    if (!infer_dtypes(q, 0, REAL, "f32 or f64")) return false;
    q->out.dtype = WF_BOOL;
    return infer_shape(q);
}
static bool infer_LOGIC(wf_infer *q) {
    return infer_dtypes(q, 0, LOGIC, "bool") && infer_shape(q);
}
static bool infer_SELECT(wf_infer *q) {
    if (q->in[0].dtype != WF_BOOL)
        return wf_infer_fail(q, "the condition is %s, needs bool; compare first",
                             wf_dtype_name(q->in[0].dtype));
    return infer_dtypes(q, 1, ANY, "any dtype") && infer_shape(q);
}

/* --- evaluators ------------------------------------------------------------------------------- */

typedef void one_fn(void *out, const void *const *in);

static void eval_each(const wf_call *c, one_fn *const *by_dtype, int key) {
    one_fn *const one = by_dtype[c->in[key].dtype];
    const wf_shape *s = &c->out.shape;
    if (wf_shape_count(s) <= 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do {
        const void *in[3];
        for (int k = 0; k < c->n_in; k++) {
            const wf_array *x = &c->in[k];
            int64_t offset = 0;
            for (int i = 0, skip = s->rank - x->shape.rank; i < x->shape.rank; i++)
                if (x->shape.dim[i] != 1) offset += idx[i + skip] * x->stride[i];
            in[k] = wf_at(x, offset);
        }
        one(wf_at(&c->out, wf_offset(&c->out, idx)), in);
    } while (wf_next_index(s, idx));
}

#define ONE1(name, T, R, value)                                                                    \
    static void name##_one_##T(void *out, const void *const *in) {                                 \
        const W_##T a = *(const T_##T *)in[0];                                                     \
        *(T_##R *)out = (T_##R)(value);                                                            \
    }
#define ONE2(name, T, R, value)                                                                    \
    static void name##_one_##T(void *out, const void *const *in) {                                 \
        const W_##T a = *(const T_##T *)in[0], b = *(const T_##T *)in[1];                          \
        *(T_##R *)out = (T_##R)(value);                                                            \
    }
#define ONE3(name, A, T, R, value)                                                                 \
    static void name##_one_##T(void *out, const void *const *in) {                                 \
        const W_##A a = *(const T_##A *)in[0];                                                     \
        const W_##T b = *(const T_##T *)in[1], c = *(const T_##T *)in[2];                          \
        *(T_##R *)out = (T_##R)(value);                                                            \
    }
#define ONE3_REAL(name, T, R, value) ONE3(name, T, T, R, value)
#define ONE3_SELECT(name, T, R, value) ONE3(name, BOOL, T, R, value)
#define WF_EW1(name, class, value, ...) TYPES_##class(ONE1, name, value)
#define WF_EW2(name, class, value, ...) TYPES_##class(ONE2, name, value)
#define WF_EW3(name, class, value, ...) TYPES_##class(ONE3_##class, name, value)
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

/* The operand whose dtype chooses the function. */
enum { KEY_REAL, KEY_ARITH = 0, KEY_COMPARE = 0, KEY_TEST = 0, KEY_LOGIC = 0, KEY_SELECT = 1 };

#define WF_EW1(name, class, ...)                                                                   \
    static void name##_eval(const wf_call *c) {                                                    \
        static one_fn *const by_dtype[WF_N_DTYPE] = {TABLE_##class(name##_one_)};                  \
        eval_each(c, by_dtype, KEY_##class);                                                       \
    }
#define WF_EW2 WF_EW1
#define WF_EW3 WF_EW1
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

/* --- kernels ---------------------------------------------------------------------------------- */

static bool always(const wf_call *c) { return true; }
static int64_t pieces(const wf_call *c, int phase) { return wf_row_pieces(&c->out); }

#define WF_EW1(name, class, ...)                                                                   \
    static void name##_run(const wf_call *c, int phase, int64_t first, int64_t last, void *own,    \
                           void *shared) {                                                         \
        wf_row_fn *const f = wf_rows_get()->name[c->in[KEY_##class].dtype];                        \
        wf_row_run(f, &c->out, c->in, c->n_in, first, last);                                       \
    }                                                                                              \
    static const wf_fast name##_fast = {.applicable = always, .pieces = pieces, .run = name##_run};
#define WF_EW2 WF_EW1
#define WF_EW3 WF_EW1
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

/* --- samples ---------------------------------------------------------------------------------- */

enum { SHAPES = 6, ROUNDS_INT = 2 };

static wf_shape sample_shape(int i, int operand) {
    switch (i * 3 + operand) {
    case 0: case 1: case 2: return WF_SHAPE(7);
    case 3: return WF_SHAPE(3, 1, 4);
    case 4: return WF_SHAPE(2, 1);
    case 5: return WF_SHAPE(4);
    case 6: return WF_SCALAR;
    case 7: return WF_SHAPE(5);
    case 8: return WF_SHAPE(1);
    case 9: return WF_SHAPE(2, 0, 3);
    case 10: return WF_SHAPE(1, 3);
    case 11: return WF_SCALAR;
    case 12: return WF_SHAPE(3, 17);
    case 13: return WF_SCALAR;
    case 14: return WF_SHAPE(3, 1);
    default: return WF_SHAPE(1, 2, 1, 3, 2);
    }
}

typedef wf_tensor operand_fn(wf_sampler *s, wf_shape shape, int operand, double lo, double hi,
                             wf_dtype integer);

static wf_tensor any_operand(wf_sampler *s, wf_shape shape, int operand, double lo, double hi,
                             wf_dtype integer) {
    return integer == WF_F32 ? s->make_real(s, shape, lo, hi)
                             : s->make_index(s, integer, shape, 9);
}
static wf_tensor bool_operand(wf_sampler *s, wf_shape shape, int operand, double lo, double hi,
                              wf_dtype integer) {
    return s->make_bool(s, shape);
}
static wf_tensor select_operand(wf_sampler *s, wf_shape shape, int operand, double lo, double hi,
                                wf_dtype integer) {
    return operand == 0 ? s->make_bool(s, shape) : any_operand(s, shape, operand, lo, hi, integer);
}

/* SHAPES instances with reals; then, where the class has integers, two with i32 and i64. */
static wf_tensor sample(wf_sampler *s, int i, const wf_op *op, operand_fn *make, bool integers,
                        double lo, double hi) {
    if (i >= SHAPES + (integers ? ROUNDS_INT : 0)) return (wf_tensor){s->graph, 0};
    const wf_dtype t = i < SHAPES ? WF_F32 : i == SHAPES ? WF_I32 : WF_I64;
    wf_tensor in[3];
    for (int k = 0; k < op->max_in; k++)
        in[k] = make(s, sample_shape(i < SHAPES ? i : i - SHAPES, k), k, lo, hi, t);
    return emit(op, in, op->max_in);
}

#define SAMPLE_REAL any_operand, false
#define SAMPLE_ARITH any_operand, true
#define SAMPLE_COMPARE any_operand, true
#define SAMPLE_TEST any_operand, false
#define SAMPLE_LOGIC bool_operand, false
#define SAMPLE_SELECT select_operand, true
#define SAMPLE(name, class, lo, hi)                                                                \
    static wf_tensor name##_sample(wf_sampler *s, int i) {                                         \
        return sample(s, i, &wf_op_##name, SAMPLE_##class, lo, hi);                                \
    }
#define WF_EW1(name, class, value, ga, lo, hi) SAMPLE(name, class, lo, hi)
#define WF_EW2(name, class, value, ga, gb, lo, hi) SAMPLE(name, class, lo, hi)
#define WF_EW3(name, class, value, ga, gb, gc, lo, hi) SAMPLE(name, class, lo, hi)
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

/* --- gradients -------------------------------------------------------------------------------- */

/* The cotangent t of operand i, summed over the axes along which the operand was broadcast. */
static void flow(const wf_grad_call *q, int i, wf_tensor t) {
    const wf_shape to = wf_shape_of_tensor(q->x[i]), from = wf_shape_of_tensor(t);
    const bool same = (!t.graph && t.id == UINT32_MAX) || wf_shape_equal(&to, &from);
    q->gx[i] = same ? t : wf_sum_to(t, to);
}

/* The short names of the cotangent columns. They hide names of the C library: nothing but the
 * descriptors follows. */
#define NONE WF_NONE
#define num(v) wf_scalar(q->graph, wf_dtype_of(g), v)
#define zero num(0.0)
#define one num(1.0)
#define abs wf_abs
#define add wf_add
#define cos wf_cos
#define div wf_div
#define equal wf_equal
#define erf wf_erf
#define exp wf_exp
#define expm1 wf_expm1
#define greater wf_greater
#define greater_equal wf_greater_equal
#define less wf_less
#define less_equal wf_less_equal
#define log wf_log
#define logical_and wf_logical_and
#define maximum wf_maximum
#define minimum wf_minimum
#define mul wf_mul
#define neg wf_neg
#define pow wf_pow
#define select wf_select
#define sigmoid wf_sigmoid
#define sign wf_sign
#define sin wf_sin
#define square wf_square
#define sub wf_sub

#define WF_EW1(name, class, value, ga, lo, hi)                                                     \
    static void name##_grad(const wf_grad_call *q) {                                               \
        const wf_tensor a = q->x[0], y = q->y, g = q->g;                                           \
        (void)a, (void)y, (void)g;                                                                 \
        if (q->wanted[0]) flow(q, 0, ga);                                                          \
    }
#define WF_EW2(name, class, value, ga, gb, lo, hi)                                                 \
    static void name##_grad(const wf_grad_call *q) {                                               \
        const wf_tensor a = q->x[0], b = q->x[1], y = q->y, g = q->g;                              \
        (void)a, (void)b, (void)y, (void)g;                                                        \
        if (q->wanted[0]) flow(q, 0, ga);                                                          \
        if (q->wanted[1]) flow(q, 1, gb);                                                          \
    }
#define WF_EW3(name, class, value, ga, gb, gc, lo, hi)                                             \
    static void name##_grad(const wf_grad_call *q) {                                               \
        const wf_tensor a = q->x[0], b = q->x[1], c = q->x[2], y = q->y, g = q->g;                 \
        (void)a, (void)b, (void)c, (void)y, (void)g;                                               \
        if (q->wanted[0]) flow(q, 0, ga);                                                          \
        if (q->wanted[1]) flow(q, 1, gb);                                                          \
        if (q->wanted[2]) flow(q, 2, gc);                                                          \
    }
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

/* --- descriptors ------------------------------------------------------------------------------ */

/* Nothing real comes out of a test, so no cotangent goes in. */
enum {
    FLOWS_REAL = 1,
    FLOWS_ARITH = 1,
    FLOWS_SELECT = 1,
    FLOWS_COMPARE = 0,
    FLOWS_TEST = 0,
    FLOWS_LOGIC = 0
};
#define ROW(n, row_name, flows, row_infer, row_eval, row_grad, row_fast, row_sample, text)         \
    {.name = row_name, .kind = WF_KIND_ELEMENTWISE, .min_in = n, .max_in = n, .infer = row_infer,  \
     .eval = row_eval, .grad = flows ? row_grad : NULL,                                            \
     .no_grad_reason = flows ? NULL : "its value is bool", .expr = text, .fast = &row_fast,        \
     .sample = row_sample}
#define WF_EW1(name, class, value, ...)                                                            \
    const wf_op wf_op_##name = ROW(1, #name, FLOWS_##class, infer_##class, name##_eval,            \
                                   name##_grad, name##_fast, name##_sample, #value);
#define WF_EW2(name, class, value, ...)                                                            \
    const wf_op wf_op_##name = ROW(2, #name, FLOWS_##class, infer_##class, name##_eval,            \
                                   name##_grad, name##_fast, name##_sample, #value);
#define WF_EW3(name, class, value, ...)                                                            \
    const wf_op wf_op_##name = ROW(3, #name, FLOWS_##class, infer_##class, name##_eval,            \
                                   name##_grad, name##_fast, name##_sample, #value);
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3

#define WF_EW1(name, ...) &wf_op_##name,
#define WF_EW2 WF_EW1
#define WF_EW3 WF_EW1
const wf_op *const wf_ew_ops[] = {
#include "tensor/ops.def"
    NULL};
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3
