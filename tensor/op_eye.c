/* eye: the identity matrix; tril_mask: the lower triangle as a mask.
 *
 *   eye        out[i, j] = 1 where i = j, else 0
 *   tril_mask  out[i, j] = j - i <= diagonal */
#include "tensor/graph.h"
#include "tensor/sources.h"
#include "tensor/view.h"

/* --- attributes ------------------------------------------------------------------------------ */

typedef struct eye_attr {
    int64_t rows, cols, dtype; /* dtype: wf_dtype */
} eye_attr;

typedef struct tril_attr {
    int64_t rows, cols, diagonal;
} tril_attr;

static const wf_field eye_fields[] = {
    WF_FIELD(EXTENT, eye_attr, rows, .n = 0),
    WF_FIELD(EXTENT, eye_attr, cols, .n = 1),
    WF_FIELD(DTYPE64, eye_attr, dtype),
    {0},
};

static const wf_field tril_fields[] = {
    WF_FIELD(EXTENT, tril_attr, rows, .n = 0),
    WF_FIELD(EXTENT, tril_attr, cols, .n = 1),
    WF_FIELD(I64, tril_attr, diagonal),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

static bool eye_infer(wf_infer *q) {
    const eye_attr *a = q->attr;
    const wf_shape shape = WF_SHAPE(a->rows, a->cols);
    return wf_infer_type(q, (wf_dtype)a->dtype, &shape);
}

static bool tril_infer(wf_infer *q) {
    const tril_attr *a = q->attr;
    const wf_shape shape = WF_SHAPE(a->rows, a->cols);
    return wf_infer_type(q, WF_BOOL, &shape);
}

/* --- eval ------------------------------------------------------------------------------------ */

static void eye_eval(const wf_call *c) {
    const eye_attr *a = c->attr;
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++)
            wf_set(&c->out, i * c->out.stride[0] + j * c->out.stride[1], i == j);
}

/* j - i does not overflow: both are extents of one array. */
static void tril_eval(const wf_call *c) {
    const tril_attr *a = c->attr;
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++)
            wf_set(&c->out, i * c->out.stride[0] + j * c->out.stride[1], j - i <= a->diagonal);
}

/* --- samples --------------------------------------------------------------------------------- */

static wf_tensor eye_sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_eye(s->graph, s->real, 3, 5);
    case 1: return wf_eye(s->graph, WF_I32, 7, 3);
    case 2: return wf_eye(s->graph, s->real, 1, 1);
    case 3: return wf_eye(s->graph, s->real, 0, 3);
    default: return (wf_tensor){0};
    }
}

static wf_tensor tril_sample(wf_sampler *s, int i) {
    switch (i) {
    case 0: return wf_tril_mask(s->graph, 5, 5, 0);
    case 1: return wf_tril_mask(s->graph, 3, 7, 2);
    case 2: return wf_tril_mask(s->graph, 7, 3, -1);
    case 3: return wf_tril_mask(s->graph, 1, 0, INT64_MIN);
    case 4: return wf_tril_mask(s->graph, 3, 3, INT64_MAX);
    default: return (wf_tensor){0};
    }
}

/* --- descriptors and constructors ------------------------------------------------------------ */

const wf_op wf_op_eye = {
    .name = "eye",
    .kind = WF_KIND_OPAQUE,
    .infer = eye_infer,
    .eval = eye_eval,
    .no_grad_reason = "it has no operands",
    .sample = eye_sample,
    .fields = eye_fields,
    .attr_bytes = sizeof(eye_attr),
};

const wf_op wf_op_tril_mask = {
    .name = "tril_mask",
    .kind = WF_KIND_OPAQUE,
    .infer = tril_infer,
    .eval = tril_eval,
    .no_grad_reason = "it has no operands",
    .sample = tril_sample,
    .fields = tril_fields,
    .attr_bytes = sizeof(tril_attr),
};

wf_tensor wf_eye(wf_graph *g, wf_dtype dtype, int64_t rows, int64_t cols) {
    const eye_attr a = {rows, cols, dtype};
    return wf_emit(g, &wf_op_eye, &a, sizeof a, NULL, 0);
}

wf_tensor wf_tril_mask(wf_graph *g, int64_t rows, int64_t cols, int64_t diagonal) {
    const tril_attr a = {rows, cols, diagonal};
    return wf_emit(g, &wf_op_tril_mask, &a, sizeof a, NULL, 0);
}
