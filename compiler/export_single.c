/* An elementwise operation that stands alone as a group of one step, for the code generator. */
#include "compiler/code_text.h"
#include "compiler/export_file.h"

/* Strides of operand i (the result after the operands) over the axes of the result. */
static void spread(const wf_call *call, int i, int64_t stride[WF_MAX_RANK]) {
    const wf_array *x = i < call->n_in ? &call->in[i] : &call->out;
    const int lead = call->out.shape.rank - x->shape.rank;
    for (int j = 0; j < call->out.shape.rank; j++)
        stride[j] = j < lead || x->shape.dim[j - lead] == 1 ? 0 : x->stride[j - lead];
}

/* The arrays over the fewest axes: neighbours are one where all arrays step evenly. */
static void merge_axes(const wf_call *call, int n, wf_array *a) {
    int64_t stride[WF_GROUP_OPERANDS][WF_MAX_RANK];
    wf_shape shape = {0};
    for (int i = 0; i < n; i++) spread(call, i, stride[i]);
    for (int j = 0; j < call->out.shape.rank; j++) {
        const int64_t extent = call->out.shape.dim[j];
        if (extent == 1) continue;
        bool even = shape.rank > 0;
        for (int i = 0; i < n && even; i++)
            even = a[i].stride[shape.rank - 1] == stride[i][j] * extent;
        const int at = even ? shape.rank - 1 : shape.rank++;
        shape.dim[at] = even ? shape.dim[at] * extent : extent;
        for (int i = 0; i < n; i++) a[i].stride[at] = stride[i][j];
    }
    for (int i = 0; i < n; i++) a[i].shape = shape;
}

/* An axis of extent 1 at `at`. */
static void add_axis(wf_array *a, int n, int at) {
    for (int i = 0; i < n; i++) {
        for (int j = a[i].shape.rank++; j > at; j--) {
            a[i].shape.dim[j] = a[i].shape.dim[j - 1];
            a[i].stride[j] = a[i].stride[j - 1];
        }
        a[i].shape.dim[at] = 1;
        a[i].stride[at] = 0;
    }
}

bool wf_export_single(const wf_call *call, wf_group *g, wf_array a[WF_GROUP_OPERANDS]) {
    const int n = call->n_in + 1;
    wf_group_step *s = &g->step[0];
    *g = (wf_group){.n_in = (uint16_t)(n - 1), .n_step = 1, .n_out = 1};
    if (call->op->kind != WF_KIND_ELEMENTWISE || n < 2 || n > (int)WF_COUNT(s->in)) return false;
    *s = (wf_group_step){.op = call->op, .dtype = call->out.dtype, .n_in = g->n_in};
    g->out_value[0] = g->n_in;
    for (int i = 0; i < n; i++)
        a[i] = (wf_array){.dtype = i < n - 1 ? call->in[i].dtype : call->out.dtype};
    merge_axes(call, n, a);
    bool runs = a->shape.rank > 0; /* along the last axis, which can be columns then */
    for (int i = 0; i < n && runs; i++) {
        const int64_t step = a[i].stride[a->shape.rank - 1];
        runs = step == 0 || step == 1;
    }
    if (!runs && a->shape.rank == WF_MAX_RANK) return false;
    if (!runs) add_axis(a, n, a->shape.rank);
    if (a->shape.rank == 1) add_axis(a, n, 0);
    for (int i = 0; i < n; i++) {
        const int r = a[i].shape.rank;
        const wf_group_place p = {a[i].dtype, a[i].stride[r - 2], a[i].stride[r - 1]};
        if (i < n - 1) g->in[i] = p, s->in[i] = (uint16_t)i;
        else g->out[0] = p;
    }
    return wf_code_can(g);
}
