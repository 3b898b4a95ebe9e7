/* Running a chain: its members one after another for each block of rows. A worker has the arrays of
 * the members for itself, with values in tiles moved so that row `first` of the block is the first
 * of the tile. */
#include <string.h>

#include "compiler/plan.h"

static uint32_t n_arrays(const wf_launch *l) { return (uint32_t)l->call.n_in + l->n_out; }

static void place_tiles(const wf_plan *p, const wf_launch *l, wf_array *a, char *own,
                        int64_t first) {
    for (uint32_t i = 0; i < n_arrays(l); i++) {
        const wf_operand *at = &p->operand[l->array + i];
        const wf_storage *s = &p->storage[at->storage];
        if (s->where != WF_WHERE_TILE) continue;
        const intptr_t shift = (intptr_t)s->offset + at->offset - first * (intptr_t)s->row_bytes;
        a[i].data = (void *)((intptr_t)own + shift);
    }
}

static void run_member(const wf_plan *p, const wf_launch *l, const wf_array *a,
                       wf_row_block block, void *scratch) {
    block.first *= l->scale;
    block.rows *= l->scale;
    if (l->group) {
        wf_sweep_span(p, l, a, block.first, block.first + block.rows, scratch);
        return;
    }
    wf_call call = l->call;
    call.in = a;
    call.out = a[call.n_in];
    block.slices = l->slices;
    block.slice += l->slice;
    l->fast->by_rows->run(&call, &block, scratch, p->storage[l->shared].data);
}

void wf_chain_run(const wf_plan *p, const wf_chain *c, int64_t first, int64_t last,
                  void *scratch) {
    char *own = (char *)scratch + (p->scratch_bytes + WF_ALIGN - 1) / WF_ALIGN * WF_ALIGN;
    const wf_launch *member = p->launch + c->first;
    wf_array *a = (wf_array *)own;
    for (uint32_t m = 0; m < c->n; a += n_arrays(&member[m++]))
        memcpy(a, p->array + member[m].array, n_arrays(&member[m]) * sizeof *a);
    for (int64_t b = first; b < last; b++) {
        wf_row_block block = {.index = b, .slice = b, .first = b * c->block_rows,
                              .rows = c->block_rows};
        if (c->block_rows == 0)
            member->fast->by_rows->block(&member->call, b, &block.first, &block.rows);
        else if (block.first + block.rows > c->rows) block.rows = c->rows - block.first;
        if (block.rows <= 0) continue;
        a = (wf_array *)own;
        for (uint32_t m = 0; m < c->n; a += n_arrays(&member[m++])) {
            place_tiles(p, &member[m], a, own, block.first);
            run_member(p, &member[m], a, block, scratch);
        }
    }
}
