/* out[i] = x[i] converted to another dtype: to nearest even, integers saturate, NaN becomes 0 in
 * them, bool is x != 0. The conversion is wf_load and wf_store, by way of a double. */
#include "tensor/elementwise.h"
#include "tensor/graph.h"
#include "tensor/kernels/rows.h"

static const wf_field fields[] = {
    WF_FIELD(DTYPE64, wf_cast_attr, dtype),
    {0},
};

/* --- shape rule, eval, gradient --------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_cast_attr *a = q->attr;
    if (a->dtype < 0 || a->dtype >= WF_N_DTYPE)
        return wf_infer_fail(q, "%lld is no dtype", (long long)a->dtype);
    q->out = (wf_type){(wf_dtype)a->dtype, q->in[0].shape};
    return true;
}

static void eval(const wf_call *c) { wf_array_copy(&c->out, &c->in[0]); }

static bool has_fraction(wf_dtype t) { return wf_dtype_is_real(t) || t == WF_BF16 || t == WF_F16; }

static void grad(const wf_grad_call *c) {
    const wf_dtype from = wf_dtype_of(c->x[0]);
    const bool flows = has_fraction(from) && has_fraction(wf_dtype_of(c->y));
    if (c->wanted[0]) c->gx[0] = flows ? wf_cast(c->g, from) : WF_NONE;
}

/* --- kernel ----------------------------------------------------------------------------------- */

static wf_row_fn *row(const wf_call *c) { return wf_row_cast(c->in[0].dtype, c->out.dtype); }
static bool applicable(const wf_call *c) { return row(c) != NULL; }
static int64_t pieces(const wf_call *c, int phase) { return wf_row_pieces(&c->out); }
static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    wf_row_run(row(c), &c->out, c->in, 1, first, last);
}
static const wf_fast fast = {.applicable = applicable, .pieces = pieces, .run = run};

/* --- samples, descriptor, constructor --------------------------------------------------------- */

static wf_tensor cast_to(wf_tensor x, wf_dtype dtype) {
    const wf_cast_attr a = {dtype};
    return wf_emit1(&wf_op_cast, &a, sizeof a, x);
}

/* A real to every dtype, then every integer dtype to the real. */
static wf_tensor sample(wf_sampler *s, int i) {
    static const wf_dtype integer[] = {WF_I32, WF_I64};
    if (i < WF_N_DTYPE)
        return cast_to(s->make_real(s, i % 2 ? WF_SHAPE(3, 1, 5) : WF_SHAPE(17), -3, 300),
                       (wf_dtype)i);
    i -= WF_N_DTYPE;
    if (i < (int)WF_COUNT(integer))
        return cast_to(s->make_index(s, integer[i], WF_SHAPE(7), 100), s->real);
    if (i == (int)WF_COUNT(integer)) return cast_to(s->make_bool(s, WF_SHAPE(2, 3)), s->real);
    if (i == (int)WF_COUNT(integer) + 1)
        return cast_to(s->make_real(s, WF_SHAPE(2, 0), 0, 1), WF_BF16);
    return (wf_tensor){s->graph, 0};
}

const wf_op wf_op_cast = {.name = "cast",
                          .kind = WF_KIND_ELEMENTWISE,
                          .min_in = 1,
                          .max_in = 1,
                          .infer = infer,
                          .eval = eval,
                          .grad = grad,
                          .fast = &fast,
                          .sample = sample,
                          .fields = fields,
                          .attr_bytes = sizeof(wf_cast_attr)};

wf_tensor wf_cast(wf_tensor x, wf_dtype dtype) {
    return wf_ok(x) && wf_dtype_of(x) == dtype ? x : cast_to(x, dtype);
}
