/* Runs an operation's fast path by hand, in pieces of any size: for tests of kernels without a
 * compiler. */
#ifndef WEFT_TESTS_PIECES_H
#define WEFT_TESTS_PIECES_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/op.h"

/* Memory with NaN in it, as nothing may count on what is there, and a rim that stays as it is. */
enum { PIECES_RIM = 1 << 13, PIECES_RIM_BYTE = 0x5a };
/* Bytes of 1.3e7 instead: some paths find NaN in their result and take another. */
enum { PIECES_FINITE = 0x4b };

static inline void *rimmed(size_t bytes) {
    char *p = aligned_alloc(64, (bytes + PIECES_RIM + 63) / 64 * 64);
    cr_assert(p, "no memory");
    memset(p, 0xff, bytes);
    memset(p + bytes, PIECES_RIM_BYTE, PIECES_RIM);
    return p;
}

static inline void rimmed_free(void *memory, size_t bytes, const char *what) {
    const char *rim = (char *)memory + bytes;
    for (size_t i = 0; i < PIECES_RIM; i++)
        cr_assert(rim[i] == PIECES_RIM_BYTE, "written %zu bytes behind %s", i, what);
    free(memory);
}

/* All phases of c->op->fast, `each` pieces at a time, the last ones first: order must not matter.
 * Returns the number of pieces of phase 0. `fill`: in every byte of memory before. */
static inline int64_t run_pieces_in(const wf_call *c, int64_t each, int fill) {
    const wf_fast *f = c->op->fast;
    const size_t scratch_bytes = f->scratch_bytes ? f->scratch_bytes(c) : 0;
    const size_t shared_bytes = f->shared_bytes ? f->shared_bytes(c) : 0;
    void *scratch = rimmed(scratch_bytes), *shared = rimmed(shared_bytes);
    int64_t pieces = 0;
    memset(scratch, fill, scratch_bytes);
    memset(shared, fill, shared_bytes);
    for (int phase = 0; phase < (f->phases ? f->phases : 1); phase++) {
        const int64_t n = f->pieces(c, phase);
        cr_assert(n >= 0, "%s: %lld pieces", c->op->name, (long long)n);
        for (int64_t last = n; last > 0; last -= each)
            f->run(c, phase, last > each ? last - each : 0, last, scratch, shared);
        if (phase == 0) pieces = n;
    }
    rimmed_free(scratch, scratch_bytes, "scratch");
    rimmed_free(shared, shared_bytes, "shared memory");
    return pieces;
}
static inline int64_t run_pieces(const wf_call *c, int64_t each) {
    return run_pieces_in(c, each, 0xff);
}

#endif
