/* Contractions with a divisor in a relation (data gradients of strided convolutions) as several
 * without: output positions of one remainder meet only the taps of one remainder, and among them
 * the relation is whole.
 *
 *   index = (co o + ck k + offset) / d,   o = d o' + ro,  k = d k' + rk,
 *   co ro + ck rk + offset = 0 modulo d
 *
 * Each combination of remainders ro is a contraction on a strided view of the output, with its own
 * plan; together they do no term that does not count. */
#ifndef WEFT_CONTRACT_STRIDE_H
#define WEFT_CONTRACT_STRIDE_H

#include "tensor/contract.h"

enum { WF_STRIDE_AXES = 3, WF_STRIDE_PARTS = 64 };

typedef struct wf_stride_split {
    int n_axes;
    struct {
        int loop, sum;               /* output loop; sum loop, -1: none */
        int64_t div, co, ck, offset;
    } axis[WF_STRIDE_AXES];
    int64_t parts;
} wf_stride_split;

/* One combination of remainders. */
typedef struct wf_stride_part {
    wf_call call;
    /* A wf_contract_attr of one source. */
    int64_t attr[(sizeof(wf_contract_attr) + sizeof(wf_contract_source)) / sizeof(int64_t)];
    bool empty; /* no term counts: zeros */
} wf_stride_part;

/* True if the call is to be split. */
bool wf_stride_split_make(wf_stride_split *s, const wf_call *call);
void wf_stride_split_part(const wf_stride_split *s, const wf_call *call, int64_t i,
                          wf_stride_part *part);

/* The fast path of a contraction as it stands, and by rows (contract_run.c). */
extern const wf_fast wf_contract_whole;
extern const wf_row_kernel wf_contract_by_rows;

#endif
