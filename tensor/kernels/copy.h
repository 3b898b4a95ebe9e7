/* Strided copies: what views that cannot be aliases and placements into storage are made of. */
#ifndef WEFT_COPY_H
#define WEFT_COPY_H

#include "tensor/array.h"

/* out = in, bit for bit: same dtype and shape, any strides (0 or negative too, in `in`), no
 * overlap. The work is cut into wf_copy_pieces pieces, a number that depends on shape and strides
 * only; wf_copy_rows does pieces [first, last). wf_copy_all does all of them. */
int64_t wf_copy_pieces(const wf_array *out, const wf_array *in);
void wf_copy_rows(const wf_array *out, const wf_array *in, int64_t first, int64_t last);
void wf_copy_all(const wf_array *out, const wf_array *in);

#endif
