/* full: one value everywhere.
 *
 *   out[i..] = value, rounded to the dtype */
#include <string.h>

#include "tensor/graph.h"
#include "tensor/sources.h"
#include "tensor/view.h"

/* --- attributes: wf_full_attr ---------------------------------------------------------------- */

static const wf_field fields[] = {
    WF_FIELD(DTYPE32, wf_full_attr, dtype),
    WF_FIELD(SHAPE, wf_full_attr, shape),
    WF_FIELD(F64, wf_full_attr, value),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_full_attr *a = q->attr;
    return wf_infer_type(q, a->dtype, &a->shape);
}

/* --- eval ------------------------------------------------------------------------------------ */

static void eval(const wf_call *c) {
    const wf_array *out = &c->out;
    if (wf_shape_count(&out->shape) == 0) return;
    int64_t idx[WF_MAX_RANK] = {0};
    do wf_set(out, wf_offset(out, idx), ((const wf_full_attr *)c->attr)->value);
    while (wf_next_index(&out->shape, idx));
}

/* --- kernel: dense result -------------------------------------------------------------------- */

#define PIECE_BYTES (1 << 16)

static bool applicable(const wf_call *c) { return wf_array_is_dense(&c->out); }

static int64_t bytes_of(const wf_call *c) {
    return wf_shape_count(&c->out.shape) * (int64_t)wf_dtype_bytes(c->out.dtype);
}

static int64_t pieces(const wf_call *c, int phase) { return bytes_of(c) / PIECE_BYTES + 1; }

/* The value repeated through a short pattern, so that every dtype is filled by memcpy. */
static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    char pattern[512];
    const size_t each = wf_dtype_bytes(c->out.dtype);
    for (size_t i = 0; i < sizeof pattern; i += each)
        wf_store(c->out.dtype, pattern + i, ((const wf_full_attr *)c->attr)->value);
    const int64_t total = bytes_of(c);
    const int64_t end = last * PIECE_BYTES < total ? last * PIECE_BYTES : total;
    for (int64_t i = first * PIECE_BYTES; i < end; i += (int64_t)sizeof pattern) {
        const int64_t left = end - i;
        memcpy((char *)c->out.data + i, pattern,
               left < (int64_t)sizeof pattern ? (size_t)left : sizeof pattern);
    }
}

static const wf_fast fast = {.applicable = applicable, .pieces = pieces, .run = run};

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_full(s->graph, s->real, WF_SHAPE(3, 5), 0.1);
    case 1: return wf_full(s->graph, WF_I64, WF_SCALAR, -7);
    case 2: return wf_full(s->graph, WF_BOOL, WF_SHAPE(1, 3), 2);
    case 3: return wf_full(s->graph, WF_BF16, WF_SHAPE(7), 3.14);
    case 4: return wf_full(s->graph, WF_U8, WF_SHAPE(3, 0), 300);
    case 5: return wf_full(s->graph, s->real, WF_SHAPE(3), 1.0 / 0.0);
    default: return (wf_tensor){0};
    }
}

/* --- descriptor and constructor -------------------------------------------------------------- */

const wf_op wf_op_full = {
    .name = "full",
    .kind = WF_KIND_OPAQUE,
    .infer = infer,
    .eval = eval,
    .no_grad_reason = "it has no operands",
    .fast = &fast,
    .sample = sample,
    .fields = fields,
    .attr_bytes = sizeof(wf_full_attr),
};

wf_tensor wf_full(wf_graph *g, wf_dtype dtype, wf_shape shape, double value) {
    wf_full_attr a;
    memset(&a, 0, sizeof a);
    a.dtype = dtype;
    wf_shape_into(&a.shape, &shape);
    a.value = value;
    return wf_emit(g, &wf_op_full, &a, sizeof a, NULL, 0);
}
