/* Does generated code use vectors? Read from the disassembly (objdump) of what the compiler left in
 * its cache. */
#ifndef WEFT_BENCH_VECTORS_H
#define WEFT_BENCH_VECTORS_H

#include <stdbool.h>

/* Points the cache of compiled code at a new folder, so that only this program's groups are in it;
 * call it before anything of Weft. vectors_end removes it. */
bool vectors_begin(void);
void vectors_end(void);

typedef struct vector_count {
    int packed, single; /* f32 arithmetic on vectors, and on one element (remainders of loops) */
    int widest;         /* bits of the widest vector */
    bool known;         /* false: no objdump, or no generated code */
} vector_count;
/* Of the groups that were compiled since the last call. */
vector_count vectors_new(void);

#endif
