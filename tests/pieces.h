/* Runs an operation's fast path by hand, in pieces of any size: for tests of kernels without a
 * compiler. */
#ifndef WEFT_TESTS_PIECES_H
#define WEFT_TESTS_PIECES_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/op.h"

/* All phases of c->op->fast, `each` pieces at a time, the last ones first: order must not matter.
 * Returns the number of pieces of phase 0. */
static inline int64_t run_pieces(const wf_call *c, int64_t each) {
    const wf_fast *f = c->op->fast;
    const size_t scratch_bytes = f->scratch_bytes ? f->scratch_bytes(c) : 0;
    const size_t shared_bytes = f->shared_bytes ? f->shared_bytes(c) : 0;
    void *scratch = aligned_alloc(64, (scratch_bytes + 64) / 64 * 64);
    void *shared = aligned_alloc(64, (shared_bytes + 64) / 64 * 64);
    memset(scratch, 0xff, scratch_bytes); /* NaN: nothing may count on what is there */
    memset(shared, 0xff, shared_bytes);
    int64_t pieces = 0;
    for (int phase = 0; phase < (f->phases ? f->phases : 1); phase++) {
        const int64_t n = f->pieces(c, phase);
        cr_assert(n >= 0, "%s: %lld pieces", c->op->name, (long long)n);
        for (int64_t last = n; last > 0; last -= each)
            f->run(c, phase, last > each ? last - each : 0, last, scratch, shared);
        if (phase == 0) pieces = n;
    }
    free(scratch);
    free(shared);
    return pieces;
}

#endif
