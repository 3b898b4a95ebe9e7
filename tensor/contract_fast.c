/* The fast path of contractions: as they stand (contract_run.c), or where a relation has a divisor
 * as several contractions without (contract_stride.h). Pieces of the parts are interleaved: a range
 * of pieces takes its share of each part, because parts have different numbers of taps. */
#include <string.h>

#include "tensor/contract_stride.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Zeros are written a slice of the first axes at a time. */
static int64_t zero_slices(const wf_array *out) {
    return out->shape.rank < 2 ? 1 : out->shape.dim[0] * out->shape.dim[1];
}

static void fill_zeros(const wf_array *out, int64_t first, int64_t last) {
    const int from = out->shape.rank < 2 ? 0 : 2;
    int64_t n = 1;
    for (int j = from; j < out->shape.rank; j++) n *= out->shape.dim[j];
    for (int64_t slice = first; slice < last; slice++) {
        float *to = out->data;
        if (from)
            to += slice / out->shape.dim[1] * out->stride[0] +
                  slice % out->shape.dim[1] * out->stride[1];
        int64_t v[WF_MAX_RANK] = {0};
        for (int64_t i = 0; i < n; i++) {
            *to = 0;
            for (int j = out->shape.rank - 1; j >= from; j--) {
                to += out->stride[j];
                if (++v[j] < out->shape.dim[j]) break;
                to -= out->stride[j] * out->shape.dim[j];
                v[j] = 0;
            }
        }
    }
}

static int64_t part_pieces(const wf_stride_part *part, int phase) {
    if (part->empty) return phase == 2 ? zero_slices(&part->call.out) : 0;
    return wf_contract_whole.pieces(&part->call, phase);
}

static size_t part_shared(const wf_stride_part *part) {
    return part->empty ? 0 : (wf_contract_whole.shared_bytes(&part->call) + 63) & ~(size_t)63;
}

static bool applicable(const wf_call *c) { return wf_contract_whole.applicable(c); }

static int64_t pieces(const wf_call *c, int phase) {
    wf_stride_split s;
    if (!wf_stride_split_make(&s, c)) return wf_contract_whole.pieces(c, phase);
    int64_t n = 0;
    for (int64_t i = 0; i < s.parts; i++) {
        wf_stride_part part;
        wf_stride_split_part(&s, c, i, &part);
        n += part_pieces(&part, phase);
    }
    return n;
}

static size_t scratch_bytes(const wf_call *c) {
    wf_stride_split s;
    if (!wf_stride_split_make(&s, c)) return wf_contract_whole.scratch_bytes(c);
    size_t bytes = 0;
    for (int64_t i = 0; i < s.parts; i++) {
        wf_stride_part part;
        wf_stride_split_part(&s, c, i, &part);
        const size_t own = part.empty ? 0 : wf_contract_whole.scratch_bytes(&part.call);
        bytes = own > bytes ? own : bytes;
    }
    return bytes;
}

static size_t shared_bytes(const wf_call *c) {
    wf_stride_split s;
    if (!wf_stride_split_make(&s, c)) return wf_contract_whole.shared_bytes(c);
    size_t bytes = 0;
    for (int64_t i = 0; i < s.parts; i++) {
        wf_stride_part part;
        wf_stride_split_part(&s, c, i, &part);
        bytes += part_shared(&part);
    }
    return bytes;
}

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    wf_stride_split s;
    if (!wf_stride_split_make(&s, c)) {
        wf_contract_whole.run(c, phase, first, last, scratch, shared);
        return;
    }
    const int64_t total = pieces(c, phase);
    size_t at = 0;
    for (int64_t i = 0; i < s.parts && total > 0; i++) {
        wf_stride_part part;
        wf_stride_split_part(&s, c, i, &part);
        const int64_t n = part_pieces(&part, phase);
        const int64_t from = n * first / total, to = least(n, n * last / total);
        if (from < to && part.empty) fill_zeros(&part.call.out, from, to);
        else if (from < to)
            wf_contract_whole.run(&part.call, phase, from, to, scratch,
                                  shared ? (char *)shared + at : NULL);
        at += part_shared(&part);
    }
}

const wf_fast wf_contract_fast = {
    .applicable = applicable,
    .phases = 3,
    .pieces = pieces,
    .scratch_bytes = scratch_bytes,
    .shared_bytes = shared_bytes,
    .run = run,
    .by_rows = &wf_contract_by_rows,
};
