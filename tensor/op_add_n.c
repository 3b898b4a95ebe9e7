/* out[i] = ((x_0[i] + x_1[i]) + x_2[i]) + ...   n operands of one shape, added in this order. */
#include "tensor/elementwise.h"
#include "tensor/graph.h"
#include "tensor/kernels/rows.h"

/* --- shape rule ------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_type *first = &q->in[0];
    const unsigned allowed = 1u << WF_F32 | 1u << WF_F64 | 1u << WF_I32 | 1u << WF_I64;
    char a[80], b[80];
    if (!(allowed >> first->dtype & 1))
        return wf_infer_fail(q, "operands are %s, needs f32, f64, i32 or i64; use wf_cast",
                             wf_dtype_name(first->dtype));
    for (int i = 1; i < q->n_in; i++)
        if (q->in[i].dtype != first->dtype || !wf_shape_equal(&q->in[i].shape, &first->shape))
            return wf_infer_fail(q, "operand 0 is %s%s, operand %d is %s%s; all must be alike",
                                 wf_dtype_name(first->dtype),
                                 wf_shape_text(&first->shape, a, sizeof a), i,
                                 wf_dtype_name(q->in[i].dtype),
                                 wf_shape_text(&q->in[i].shape, b, sizeof b));
    q->out = *first;
    return true;
}

/* --- eval ------------------------------------------------------------------------------------- */

#define SUM(type, wide)                                                                            \
    static void sum_##type(const wf_call *c, const int64_t *idx) {                                 \
        type s = *(const type *)wf_at(&c->in[0], wf_offset(&c->in[0], idx));                       \
        for (int k = 1; k < c->n_in; k++)                                                          \
            s = (type)((wide)s + *(const type *)wf_at(&c->in[k], wf_offset(&c->in[k], idx)));      \
        *(type *)wf_at(&c->out, wf_offset(&c->out, idx)) = s;                                      \
    }
SUM(float, float)
SUM(double, double)
SUM(int32_t, int64_t)
SUM(int64_t, __int128)

static void eval(const wf_call *c) {
    static void (*const by_dtype[WF_N_DTYPE])(const wf_call *, const int64_t *) = {
        [WF_F32] = sum_float,
        [WF_F64] = sum_double,
        [WF_I32] = sum_int32_t,
        [WF_I64] = sum_int64_t};
    int64_t idx[WF_MAX_RANK] = {0};
    if (wf_shape_count(&c->out.shape) <= 0) return;
    do by_dtype[c->out.dtype](c, idx);
    while (wf_next_index(&c->out.shape, idx));
}

/* --- gradient --------------------------------------------------------------------------------- */

static void grad(const wf_grad_call *c) {
    for (int i = 0; i < c->n_in; i++)
        if (c->wanted[i]) c->gx[i] = c->g;
}

/* --- kernel ----------------------------------------------------------------------------------- */

enum { CHUNK = 512 }; /* elements summed on the stack: out may be the memory of any operand */

static bool always(const wf_call *c) { return true; }
static int64_t pieces(const wf_call *c, int phase) { return wf_row_pieces(&c->out); }

static int64_t step_of(const wf_array *a, bool flat) {
    return flat ? 1 : a->stride[a->shape.rank - 1];
}

/* n elements along the last axis (all axes, if flat) from index idx and position at of it. */
static void sum_chunk(const wf_call *c, wf_row_fn *add, const int64_t *idx, bool flat, int64_t at,
                      int64_t n) {
    double room[CHUNK];
    const int last = c->n_in - 1;
    const void *acc = NULL;
    int64_t acc_step = 0;
    for (int k = 0; k <= last; k++) {
        const wf_array *x = &c->in[k];
        const int64_t x_step = step_of(x, flat);
        const void *from = wf_at(x, (flat ? 0 : wf_offset(x, idx)) + at * x_step);
        if (k > 0) {
            const int64_t out_step = k == last ? step_of(&c->out, flat) : 1;
            void *to = k == last ? wf_at(&c->out, (flat ? 0 : wf_offset(&c->out, idx)) +
                                                      at * out_step)
                                 : room;
            add(n, to, (const void *[]){acc, from}, (const int64_t[]){out_step, acc_step, x_step});
            acc = to, acc_step = out_step;
        } else {
            acc = from, acc_step = x_step;
        }
    }
}

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    wf_row_fn *const add = wf_rows_get()->add[c->out.dtype];
    const wf_shape *s = &c->out.shape;
    const int64_t count = wf_shape_count(s);
    int64_t at = first * WF_ROW_PIECE, end = last * WF_ROW_PIECE;
    if (end > count) end = count;
    bool flat = s->rank == 0 || wf_array_is_dense(&c->out);
    for (int k = 0; flat && s->rank > 0 && k < c->n_in; k++) flat = wf_array_is_dense(&c->in[k]);
    const int64_t width = flat ? count : s->dim[s->rank - 1];
    while (at < end) {
        int64_t idx[WF_MAX_RANK] = {0}, n = width - at % width;
        int64_t left = at / width;
        for (int axis = s->rank - 2; !flat && axis >= 0; left /= s->dim[axis--])
            idx[axis] = left % s->dim[axis];
        if (n > CHUNK) n = CHUNK;
        if (n > end - at) n = end - at;
        sum_chunk(c, add, idx, flat, at % width, n);
        at += n;
    }
}

static const wf_fast fast = {.applicable = always, .pieces = pieces, .run = run};

/* --- samples, descriptor, constructor --------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    wf_tensor x[5];
    if (i > 3) return (wf_tensor){s->graph, 0};
    const wf_shape shape = i == 0   ? WF_SCALAR
                           : i == 1 ? WF_SHAPE(3, 5)
                           : i == 2 ? WF_SHAPE(2, 0)
                                    : WF_SHAPE(1, 7, 1);
    const int n = i + 2;
    for (int k = 0; k < n; k++) x[k] = s->make_real(s, shape, -2, 2);
    return wf_emit(s->graph, &wf_op_add_n, NULL, 0, x, n);
}

const wf_op wf_op_add_n = {.name = "add_n",
                           .kind = WF_KIND_ELEMENTWISE,
                           .min_in = 2,
                           .max_in = -1,
                           .infer = infer,
                           .eval = eval,
                           .grad = grad,
                           .fast = &fast,
                           .sample = sample};

wf_tensor wf_add_n(const wf_tensor *x, int n) {
    if (!x || n < 1) return (wf_tensor){NULL, 0};
    return n == 1 ? x[0] : wf_emit(x[0].graph, &wf_op_add_n, NULL, 0, x, n);
}
