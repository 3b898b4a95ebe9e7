/* A contraction as it stands, as a fast path: by tiles (contract_run.c), by minimal filtering
 * (contract_winograd.h), by lanes (contract_lanes.c), or by ranges of the reference evaluation
 * where no plan covers it (f64, guards). Those with divisors come here in parts, from
 * contract_fast.c. */
#include "tensor/contract_lanes.h"
#include "tensor/contract_piece.h"
#include "tensor/contract_stride.h"
#include "tensor/contract_winograd.h"

enum { REFERENCE_PIECES = 64 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

typedef enum way { BY_REFERENCE, BY_LANES, BY_TILES } way;

static way choose(const wf_call *c, wf_contract_plan *p, wf_lanes *l) {
    if (!wf_contract_plan_make(p, c)) return BY_REFERENCE;
    return wf_lanes_make(l, p) ? BY_LANES : BY_TILES;
}

static bool applicable(const wf_call *c) {
    return wf_dtype_is_real(c->out.dtype) || c->out.dtype == WF_BF16;
}

static int64_t pieces(const wf_call *c, int phase) {
    wf_contract_plan p;
    wf_lanes l;
    switch (choose(c, &p, &l)) {
    case BY_TILES:
        if (p.winograd.sums && phase < 2)
            return phase ? wf_winograd_tap_pieces(&p) : wf_winograd_sum_pieces(&p);
        if (phase == 0) return wf_contract_pack_pieces(&p);
        if (phase == 1) return p.parts > 1 ? wf_contract_n_pieces(&p) : 0;
        return p.parts > 1 ? wf_contract_add_pieces(&p) : wf_contract_n_pieces(&p);
    case BY_LANES: return wf_lanes_pieces(&l, phase);
    default: return phase == 2 ? least(wf_shape_count(&c->out.shape), REFERENCE_PIECES) : 0;
    }
}

static size_t scratch_bytes(const wf_call *c) {
    wf_contract_plan p;
    wf_lanes l;
    switch (choose(c, &p, &l)) {
    case BY_TILES: return wf_contract_lay_out(NULL, &p, NULL);
    case BY_LANES: return (size_t)l.floats * sizeof(float);
    default: return 0;
    }
}

static size_t shared_bytes(const wf_call *c) {
    wf_contract_plan p;
    wf_lanes l;
    const way by = choose(c, &p, &l);
    if (by == BY_LANES) return (size_t)l.shared * sizeof(float);
    if (by == BY_REFERENCE) return 0;
    const int64_t u = !p.winograd.on    ? 0
                      : p.winograd.sums ? wf_winograd_sum_shared(&p)
                                        : wf_winograd_shared(&p);
    return (size_t)(p.packed_floats + u + (p.parts - 1) * p.part_floats) * sizeof(float);
}

/* A weight gradient by minimal filtering, and as it is written where that is not finite. */
static void run_sums(const wf_contract_plan *p, int phase, int64_t first, int64_t last,
                     void *scratch, float *shared) {
    wf_piece w;
    wf_contract_lay_out(&w, p, scratch);
    if (phase == 0) wf_winograd_sum(p, first, last, w.winograd, shared);
    else if (phase == 1) wf_winograd_taps(p, first, last, w.winograd, shared);
    else if (wf_winograd_failed(p, shared)) wf_contract_compute(p, first, last, scratch, shared);
}

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    wf_contract_plan p;
    wf_lanes l;
    const way by = choose(c, &p, &l);
    if (by == BY_TILES && p.winograd.sums) {
        run_sums(&p, phase, first, last, scratch, shared);
    } else if (by == BY_TILES && phase == 0) {
        wf_contract_pack_panels(&p, first, last, scratch, shared);
    } else if (by == BY_TILES && phase == 2 && p.parts > 1) {
        wf_contract_add_parts(&p, first, last, (float *)shared + p.packed_floats);
    } else if (by == BY_TILES) {
        wf_contract_compute(&p, first, last, scratch, shared);
    } else if (by == BY_LANES) {
        wf_lanes_run(&l, c, phase, first, last, scratch, shared);
    } else {
        const int64_t n = wf_shape_count(&c->out.shape), parts = least(n, REFERENCE_PIECES);
        if (parts > 0)
            wf_contract_eval(c, n / parts * first + least(first, n % parts),
                             n / parts * last + least(last, n % parts));
    }
}

/* --- by rows ---------------------------------------------------------------------------------- */

/* True if the loops of batch, rows and columns, in this order, are the axes of the output. */
static bool rows_lead(const wf_contract_plan *p) {
    const int *const class[] = {p->batch_loop, p->m_loop, p->n_loop};
    const int count[] = {p->n_batch, p->n_m, p->n_n};
    int last = -1;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < count[k]; i++) {
            if (p->c->out[class[k][i]] == 1) continue;
            if (class[k][i] < last) return false;
            last = class[k][i];
        }
    return true;
}

/* True if element o0 of the first output axis needs slice o0 of every A: images of a batch. */
static bool slices_lead(const wf_call *call) {
    const wf_contract_attr *c = call->attr;
    if (c->rank < 2 || c->n_sources > 32) return false;
    for (int i = 0; i < c->n_sources; i++) {
        const wf_contract_source *s = &c->source[i];
        const wf_relation *r = &s->a[0];
        if (s->rank_a < 1 || r->a != 0 || r->ca != 1 || r->b >= 0 || r->offset || r->div != 1 ||
            call->in[2 * i].shape.dim[0] != c->out[0])
            return false;
    }
    return true;
}

/* A block is a piece that has all columns of its rows. */
static bool row_form(const wf_call *c, wf_row_form *out) {
    wf_contract_plan p;
    wf_stride_split split;
    wf_lanes l;
    if (wf_stride_split_make(&split, c)) return false;
    if (choose(c, &p, &l) != BY_TILES || p.n_blocks != 1 || p.parts != 1 || p.winograd.sums ||
        !rows_lead(&p))
        return false;
    *out = (wf_row_form){.rows = p.batch * p.m, .blocks = p.batch * p.m_blocks};
    if (p.u_side == 0 && slices_lead(c)) {
        out->lead = p.c->out[0];
        out->led = UINT64_C(0x5555555555555555);
    }
    return true;
}

static void row_block(const wf_call *c, int64_t i, int64_t *first, int64_t *rows) {
    wf_contract_plan p;
    wf_contract_plan_make(&p, c);
    wf_piece w = {.p = &p};
    wf_contract_locate(&w, i);
    *rows = w.rows;
    *first = i / p.m_blocks;
    for (int l = 0; l < p.n_m; l++)
        *first = *first * p.c->out[p.m_loop[l]] + w.out.lo[p.m_loop[l]];
}

static void run_block(const wf_call *c, const wf_row_block *b, void *scratch, void *shared) {
    run(c, 2, b->index, b->index + 1, scratch, shared);
}

const wf_row_kernel wf_contract_by_rows = {.form = row_form, .block = row_block, .run = run_block};

const wf_fast wf_contract_whole = {
    .applicable = applicable,
    .phases = 3,
    .pieces = pieces,
    .scratch_bytes = scratch_bytes,
    .shared_bytes = shared_bytes,
    .run = run,
    .by_rows = &wf_contract_by_rows,
};
