/* Row kernels in plain C, the choice of an instruction set, and the loop over rows. */
#define ROWS wf_rows_plain
#include "tensor/kernels/rows.inc"

const wf_rows *wf_rows_for(wf_isa isa) {
    switch (isa) {
#if defined(__x86_64__)
    case WF_ISA_AMX:
    case WF_ISA_AVX512: return &wf_rows_avx512;
    case WF_ISA_AVX2: return &wf_rows_avx2;
#elif defined(__aarch64__)
    case WF_ISA_NEON: return &wf_rows_neon;
#endif
    default: return &wf_rows_plain;
    }
}

const wf_rows *wf_rows_get(void) { return wf_rows_for(wf_isa_get()); }

int64_t wf_row_pieces(const wf_array *out) {
    return (wf_shape_count(&out->shape) + WF_ROW_PIECE - 1) / WF_ROW_PIECE;
}

/* True if axis `to` (outer) continues where axis `from` ends, for every array. */
static bool steps_evenly(const wf_nest *q, int n, int to, int64_t dim, const int64_t *stride) {
    for (int k = 0; k < n; k++)
        if (q->stride[k][to] != dim * stride[k]) return false;
    return true;
}

void wf_nest_make(wf_nest *q, const wf_array *out, const wf_array *in, int n_in) {
    const int n = n_in + 1, rank = out->shape.rank;
    q->rank = 0;
    for (int axis = 0; axis < rank; axis++) {
        const int64_t dim = out->shape.dim[axis];
        if (dim == 1) continue;
        int64_t stride[WF_NEST_MAX] = {out->stride[axis]};
        for (int k = 0; k < n_in; k++) {
            const int at = axis - (rank - in[k].shape.rank);
            stride[k + 1] = at < 0 || in[k].shape.dim[at] == 1 ? 0 : in[k].stride[at];
        }
        const bool merge = q->rank > 0 && steps_evenly(q, n, q->rank - 1, dim, stride);
        const int to = merge ? q->rank - 1 : q->rank++;
        q->dim[to] = merge ? q->dim[to] * dim : dim;
        for (int k = 0; k < n; k++) q->stride[k][to] = stride[k];
    }
    if (q->rank == 0) {
        q->rank = 1;
        q->dim[0] = 1;
        for (int k = 0; k < n; k++) q->stride[k][0] = 1;
    }
}

void wf_row_run(wf_row_fn *f, const wf_array *out, const wf_array *in, int n_in, int64_t first,
                int64_t last) {
    const int64_t count = wf_shape_count(&out->shape);
    int64_t at = first * WF_ROW_PIECE, end = last * WF_ROW_PIECE;
    if (end > count) end = count;
    if (at >= end) return;
    wf_nest q;
    wf_nest_make(&q, out, in, n_in);
    const int inner = q.rank - 1;
    int64_t idx[WF_MAX_RANK], step[WF_NEST_MAX];
    for (int64_t axis = inner, left = at; axis >= 0; left /= q.dim[axis--])
        idx[axis] = left % q.dim[axis];
    for (int k = 0; k <= n_in; k++) step[k] = q.stride[k][inner];

    while (at < end) {
        const int64_t room = q.dim[inner] - idx[inner], n = room < end - at ? room : end - at;
        const void *from[WF_NEST_MAX - 1];
        int64_t offset[WF_NEST_MAX];
        for (int k = 0; k <= n_in; k++) {
            offset[k] = 0;
            for (int axis = 0; axis <= inner; axis++) offset[k] += idx[axis] * q.stride[k][axis];
            if (k > 0) from[k - 1] = wf_at(&in[k - 1], offset[k]);
        }
        f(n, wf_at(out, offset[0]), from, step);
        at += n;
        idx[inner] = 0;
        for (int axis = inner - 1; axis >= 0 && ++idx[axis] == q.dim[axis]; axis--) idx[axis] = 0;
    }
}
