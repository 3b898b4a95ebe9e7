/* A reduction over the rows of a value that several launches write part by part - the states of all
 * time steps, of which batch norm wants the moments - is taken apart: each part's chain leaves
 * partials of its own rows while they are in cache, and the reduction merges them.
 *
 *   launches 0 to 1: chain, writes rows 0 .. 8191 of h         launches 0 to 2: chain, and moments
 *   launches 2 to 3: chain, writes rows 8192 .. 16383 of h     launches 3 to 5: chain, and moments
 *   launch 4: moments over all rows of h                       launch 6: merges the partials
 *
 * Legal where the parts are all that is ever written to the storage before, row for row. Partials
 * merge in the order of rows. */
#include <stdlib.h>
#include <string.h>

#include "compiler/plan.h"

enum { PARTS = 4096, MEMBERS = 16, SLICE_BYTES = 8 << 20 };

typedef struct part {
    uint32_t writer;      /* launch */
    uint32_t array;       /* operand and result of the fold, in plan->array */
    uint32_t fold;        /* launch */
    int64_t base, rows;   /* rows of the fold's operand */
    int64_t slice;
} part;

typedef struct splitter {
    wf_plan *p;
    part *part;           /* of all folds */
    uint32_t n, cap;
} splitter;

static wf_call call_at(const wf_plan *p, const wf_launch *l, uint32_t array) {
    wf_call c = l->call;
    c.in = p->array + array;
    c.out = p->array[array + (uint32_t)c.n_in];
    return c;
}

/* Rows that the launch goes by as a member, or as the first of a chain; 0: it does neither. */
static int64_t rows_of(const wf_plan *p, const wf_launch *l) {
    wf_row_form form;
    if (l->chain)
        return p->chain[l->chain - 1].n < MEMBERS ? p->chain[l->chain - 1].rows : 0;
    if (l->group || !l->fast || !l->fast->by_rows || !l->fast->by_rows->block) return 0;
    const wf_call c = call_at(p, l, l->array);
    return l->fast->by_rows->form(&c, &form) ? form.rows : 0;
}

/* The array with only the rows of a part: outer axes that count parts become 1. */
static bool narrow(wf_array *a, int64_t parts) {
    for (int i = 0; i < a->shape.rank && parts > 1; i++) {
        if (parts % a->shape.dim[i]) return false;
        parts /= a->shape.dim[i];
        a->shape.dim[i] = 1;
    }
    return parts == 1;
}

/* Appends the part of `fold` that launch `writer` writes with result k; false: it does not fit. */
static bool add_part(splitter *q, uint32_t fold, uint32_t writer, uint32_t k, int64_t all) {
    wf_plan *p = q->p;
    const wf_launch *l = &p->launch[writer], *f = &p->launch[fold];
    const wf_operand at = p->operand[l->array + k];
    const int64_t rows = rows_of(p, l), in0 = p->operand[f->array].offset;
    if (rows < 2 || all % rows || q->n >= PARTS) return false;
    const wf_window own = wf_window_of(&p->array[l->array + k], at.offset, rows);
    const wf_window whole = wf_window_of(&p->array[f->array], in0, all);
    wf_array a = p->array[f->array], out = p->array[f->array + 1];
    wf_row_form form;
    if (!own.step || own.step != whole.step || own.hi - own.lo != whole.hi - whole.lo ||
        own.lo < whole.lo || (own.lo - whole.lo) % whole.step || !narrow(&a, all / rows))
        return false;
    const wf_call c = {.op = f->call.op, .attr = f->call.attr, .n_in = 1, .in = &a, .out = out};
    if (!f->fast->by_rows->form(&c, &form) || !form.folds || form.rows % rows ||
        form.step * (form.rows / rows) * (int64_t)wf_dtype_bytes(a.dtype) != own.step)
        return false;
    if (!wf_plan_room((void **)&p->array, &p->array_cap, p->n_array, 2, sizeof *p->array) ||
        !wf_plan_room((void **)&p->operand, &p->operand_cap, p->n_array, 2, sizeof *p->operand) ||
        !wf_plan_room((void **)&q->part, &q->cap, q->n, 1, sizeof *q->part))
        return false;
    p->array[p->n_array] = a;
    p->array[p->n_array + 1] = out;
    p->operand[p->n_array] = (wf_operand){at.storage, in0 + own.lo - whole.lo};
    p->operand[p->n_array + 1] = p->operand[f->array + 1];
    q->part[q->n++] = (part){writer, p->n_array, fold, (own.lo - whole.lo) / own.step, rows, 0};
    p->n_array += 2;
    return true;
}

static int by_base(const void *a, const void *b) {
    const part *x = a, *y = b;
    return x->base < y->base ? -1 : x->base > y->base;
}

static int64_t blocks_of(const wf_plan *p, const wf_launch *l) {
    wf_row_form form = {0};
    if (l->chain) return p->chain[l->chain - 1].blocks;
    const wf_call c = call_at(p, l, l->array);
    l->fast->by_rows->form(&c, &form);
    return form.blocks;
}

/* The parts of a fold, if they are all of its rows; else none. */
static void find_parts(splitter *q, uint32_t fold) {
    const wf_plan *p = q->p;
    const wf_launch *f = &p->launch[fold];
    const uint32_t first = q->n, storage = p->operand[f->array].storage;
    wf_row_form form;
    if (f->group || f->chain || f->merges || !f->fast || !f->fast->by_rows || f->call.n_in != 1 ||
        !f->fast->by_rows->fold_bytes || p->storage[storage].where != WF_WHERE_ARENA)
        return;
    wf_call c = call_at(p, f, f->array);
    if (!f->fast->by_rows->form(&c, &form) || !form.folds || !form.step) return;
    bool ok = true;
    for (uint32_t i = 0; i < fold && ok; i++) {
        const wf_launch *l = &p->launch[i];
        const uint32_t n_in = (uint32_t)l->call.n_in;
        for (uint32_t k = n_in; k < n_in + l->n_out && ok; k++)
            if (p->operand[l->array + k].storage == storage)
                ok = !l->merges && add_part(q, fold, i, k, form.rows);
    }
    int64_t at = 0, slices = 0;
    c = call_at(p, f, f->array); /* arrays were added */
    if (ok && q->n > first) qsort(q->part + first, q->n - first, sizeof *q->part, by_base);
    for (uint32_t i = first; i < q->n && ok; i++) {
        ok = q->part[i].base == at;
        at += q->part[i].rows;
        q->part[i].slice = slices;
        slices += blocks_of(p, &p->launch[q->part[i].writer]);
    }
    ok = ok && at == form.rows && q->n - first > 1 &&
         f->fast->by_rows->fold_bytes(&c, slices) <= SLICE_BYTES;
    if (!ok) q->n = first;
}

/* --- the new list of launches ----------------------------------------------------------------- */

static wf_status make_chain(wf_plan *p, wf_launch *l, uint32_t at) {
    if (l->chain) return WF_OK;
    wf_row_form form = {0};
    const wf_call c = call_at(p, l, l->array);
    int64_t first;
    if (!wf_plan_room((void **)&p->chain, &p->chain_cap, p->n_chain, 1, sizeof *p->chain))
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    l->fast->by_rows->form(&c, &form);
    wf_chain *chain = &p->chain[p->n_chain++];
    *chain = (wf_chain){.first = at, .n = 1, .rows = form.rows, .blocks = form.blocks};
    l->fast->by_rows->block(&c, 0, &first, &chain->most_rows);
    l->chain = p->n_chain;
    l->scale = 1;
    return WF_OK;
}

/* What is left of the fold where it was. */
static wf_status make_merge(splitter *q, wf_launch *f, uint32_t id) {
    wf_plan *p = q->p;
    int64_t slices = 0;
    if (f->group || f->chain || f->merges) return WF_OK;
    for (uint32_t i = 0; i < q->n; i++)
        if (q->part[i].fold == id) slices += blocks_of(p, &p->launch[q->part[i].writer]);
    if (slices == 0) return WF_OK;
    const wf_call c = call_at(p, f, f->array);
    f->slices = slices;
    f->shared = wf_plan_storage(p, WF_WHERE_ARENA,
                                f->fast->by_rows->fold_bytes(&c, f->slices), NULL);
    f->merges = true;
    f->phases = 1;
    return f->shared ? WF_OK : WF_MEMORY;
}

static wf_launch member_of(const splitter *q, const part *x, uint32_t chain) {
    const wf_plan *p = q->p;
    wf_launch l = p->launch[x->fold];
    wf_row_form form = {0};
    const wf_call c = call_at(p, &l, x->array);
    l.fast->by_rows->form(&c, &form);
    l.array = x->array;
    l.chain = chain;
    l.scale = form.rows / x->rows;
    l.slice = x->slice;
    l.merges = false;
    l.folds = true;
    return l;
}

static wf_status rebuild(splitter *q) {
    wf_plan *p = q->p;
    const uint32_t n = p->n_launch, cap = n + q->n + 1;
    wf_launch *to = malloc(cap * sizeof *to);
    uint32_t *last = calloc((size_t)n + 1, sizeof *last), m = 0; /* of the chain that begins here */
    wf_status s = to && last ? WF_OK : wf_fail(WF_MEMORY, "out of memory in the compiler");
    for (uint32_t i = 0; i < n && s == WF_OK; i++) s = make_merge(q, &p->launch[i], i);
    for (uint32_t i = 0; i < q->n && s == WF_OK; i++)
        s = make_chain(p, &p->launch[q->part[i].writer], q->part[i].writer);
    for (uint32_t i = 0; i < n && s == WF_OK; i++) {
        const uint32_t chain = p->launch[i].chain;
        to[m++] = p->launch[i];
        wf_chain *c = chain ? &p->chain[chain - 1] : NULL;
        if (!c || i + 1 != c->first + c->n) continue;
        uint32_t more = 0;
        for (uint32_t k = 0; k < q->n; k++)
            if (p->launch[q->part[k].writer].chain == chain) {
                to[m++] = member_of(q, &q->part[k], chain);
                more++;
            }
        last[i] = more;
    }
    if (!s) {
        for (uint32_t i = 0; i < n; i++)
            if (last[i]) p->chain[p->launch[i].chain - 1].n += last[i];
        free(p->launch);
        p->launch = to;
        p->launch_cap = cap;
        p->n_launch = m;
        for (uint32_t i = m; i-- > 0;)
            if (to[i].chain) p->chain[to[i].chain - 1].first = i;
    } else {
        free(to);
    }
    free(last);
    return s;
}

wf_status wf_chain_folds(wf_plan *p) {
    splitter q = {.p = p};
    for (uint32_t i = 0; i < p->n_launch; i++) find_parts(&q, i);
    const wf_status s = q.n ? rebuild(&q) : WF_OK;
    free(q.part);
    return s;
}
