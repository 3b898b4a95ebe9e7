/* Random contractions over memory of their own: loops, relations, strides, dtypes and modes are
 * drawn. Operands are whole numbers so small that every sum is exact in f32, in any order: what
 * computes a contraction gives its value, not something close to it. */
#ifndef WEFT_TESTS_FUZZ_CONTRACTION_H
#define WEFT_TESTS_FUZZ_CONTRACTION_H

#include "tensor/contract.h"

enum { FUZZ_SOURCES = 3 };

typedef struct fuzz_contraction {
    wf_contract_attr *c;
    wf_array in[2 * FUZZ_SOURCES];
    void *memory[2 * FUZZ_SOURCES]; /* of the operands, and nothing behind their last element */
    wf_array out;                   /* without data */
    int64_t span;                   /* elements of memory from the first to the last of out */
} fuzz_contraction;

/* A number in [0, n); true once in n times. */
int64_t fuzz_below(uint64_t *state, int64_t n);
bool fuzz_one_in(uint64_t *state, int64_t n);

void fuzz_contraction_new(fuzz_contraction *f, uint64_t *state);
void fuzz_contraction_free(fuzz_contraction *f);

/* Operands of real numbers instead: sums are rounded. */
void fuzz_contraction_real(fuzz_contraction *f, uint64_t *state);

#endif
