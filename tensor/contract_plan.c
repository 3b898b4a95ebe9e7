/* The decisions of contract_plan.h. Sizes aim at: the panel in use and the rows of U in L2, a tile
 * of U in L1, sums of at most 512 terms in a register before they are added to the output, and
 * enough pieces for sixteen threads. */
#include "tensor/contract_winograd.h"

#include <string.h>

enum {
    DOT_COLUMNS = 2 * WF_DOT_N,
    DOT_RUN = 16,            /* contiguous k of U, at least */
    DOT_V = 1 << 18,         /* floats of V, at most */
    DOT_ROWS = 1024,         /* rows of a block */
    M_LEAST = 28,            /* rows of a block, so that copies of V are shared */
    M_MOST = 256,
    PAIRED_N = 128,          /* columns in cells, so that a box of V holds a long chunk */
    M_PAIRED = 32,           /* rows of a block where pairs of rows are made for each */
    PIECES = 32,
    PART_K = 1024,           /* k of a part, at least */
    PART_BLOCK = 96 << 10,   /* floats of the output that a part keeps in L2 */
    PARTS_MOST = 1 << 22     /* floats of the parts of an output */
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round16(int64_t n) { return (n + 15) / 16 * 16; }

/* --- columns ---------------------------------------------------------------------------------- */

static void choose_columns(wf_contract_plan *p) {
    const wf_contract_attr *c = p->c;
    int several = 0;
    for (int i = 0; i < p->n_n; i++) several += c->out[p->n_loop[i]] > 1;
    p->flat = true;
    if (several > 1) {
        p->flat = false;
        for (int i = 0; i < c->n_sources && !p->flat; i++) {
            wf_side v;
            const wf_contract_source *s = &c->source[i];
            wf_side_read(c, s, p->u_side == 0, &p->call->in[2 * i + 1 - p->u_side], &v);
            p->flat = s->packed || !wf_v_may_stay(p, &v);
        }
    }
    p->n_inner = p->flat || p->n_n == 0 ? p->n : c->out[p->n_loop[p->n_n - 1]];
    p->n_outer = p->n / p->n_inner;
    p->n_panels = p->n_outer * ceil_div(p->n_inner, WF_PANEL);
}

/* --- blocks ----------------------------------------------------------------------------------- */

void wf_contract_cut_rows(wf_contract_plan *p, int i, int64_t step) {
    p->m_chunk_loop = i;
    p->m_chunk_step = p->m_rows = step;
    p->m_blocks = 1;
    if (p->n_m == 0) return;
    for (int k = i + 1; k < p->n_m; k++) p->m_rows *= p->c->out[p->m_loop[k]];
    for (int k = 0; k < i; k++) p->m_blocks *= p->c->out[p->m_loop[k]];
    p->m_blocks *= ceil_div(p->c->out[p->m_loop[i]], step);
}

void wf_contract_choose_rows(wf_contract_plan *p, int64_t target) {
    int64_t behind = 1; /* rows of a step of loop i */
    int i = p->n_m - 1;
    for (; i > 0 && behind * p->c->out[p->m_loop[i]] <= target; i--)
        behind *= p->c->out[p->m_loop[i]];
    if (i < 0) {
        wf_contract_cut_rows(p, 0, 1);
        return;
    }
    const int64_t e = p->c->out[p->m_loop[i]];
    wf_contract_cut_rows(p, i, ceil_div(e, ceil_div(e, most(1, target / behind))));
}

static void choose_blocks(wf_contract_plan *p) {
    const wf_contract_attr *c = p->c;
    int64_t target = p->m <= WF_ONE_BLOCK && p->n > p->m
                               ? WF_ONE_BLOCK
                               : least(p->dot ? DOT_ROWS : M_MOST,
                                       most(M_LEAST, ceil_div(p->m * p->batch, PIECES)));
    wf_contract_choose_rows(p, target);
    bool paired = false;
    if (p->cells) {
        wf_source_plan sp;
        wf_contract_plan_source(p, 0, &sp);
        paired = !sp.rows_form;
        if (paired && target < M_PAIRED) wf_contract_choose_rows(p, target = M_PAIRED);
    }
    /* A box of U over all k should stay in L2. */
    for (int64_t t = target; t > WF_TILE_M; t /= 2) {
        bool fits = true;
        for (int i = 0; i < c->n_sources && fits; i++) {
            wf_source_plan sp;
            wf_contract_plan_source(p, i, &sp);
            fits = sp.u_mode != WF_FROM_BOX || !sp.box_by_chunk ||
                   (p->dot && sp.u_floats <= WF_BOX_FLOATS);
        }
        if (fits) break;
        wf_contract_choose_rows(p, t / 2);
    }
    const int64_t blocks = p->m_blocks * p->batch, inner = p->n_panels / p->n_outer;
    int64_t wanted = blocks >= PIECES / 2 ? 1 : ceil_div(PIECES / 2, blocks);
    if (paired && !p->flat) wanted = most(wanted, inner / 2); /* a narrow box of V is a long one */
    p->panel_splits = 1;
    p->n_blocks = least(inner, wanted);
    if (p->n_blocks < wanted && p->n_outer > 1) {
        p->panel_splits = least(p->n_outer, ceil_div(wanted, p->n_blocks));
        p->n_blocks *= p->panel_splits;
    }
}

/* Much is summed into few elements (weight gradients): smaller blocks would read the operands once
 * each, from far away. Instead a piece takes some chunks of k for as many rows as L2 holds results
 * of, and the parts are added in the last phase. Returns false if that does not apply. */
static bool choose_parts(wf_contract_plan *p) {
    const wf_contract_attr *c = p->c;
    const wf_array *out = &p->call->out;
    const int64_t count = wf_shape_count(&out->shape);
    int64_t span = 1, k = 0;
    for (int j = 0; j < out->shape.rank; j++) span += (out->shape.dim[j] - 1) * out->stride[j];
    for (int i = 0; i < c->n_sources; i++) k += wf_sum_extent(&c->source[i]);
    if (span != count || k < 4 * PART_K || k < 8 * most(p->m, p->n_inner)) return false;
    if (out->dtype != WF_F32 || (p->cells && !p->flat && p->n_inner > PAIRED_N)) return false;
    const wf_contract_plan before = *p;
    p->n_blocks = p->panel_splits = 1;
    p->parts = 2; /* or more */
    wf_contract_choose_rows(p, least(M_MOST, most(WF_TILE_M, PART_BLOCK / p->n)));
    bool moving = true;
    for (int i = 0; i < c->n_sources && moving; i++) {
        wf_source_plan sp;
        wf_contract_plan_source(p, i, &sp);
        moving = !sp.given && (sp.u_mode != WF_FROM_BOX || sp.box_by_chunk);
        p->chunks += wf_contract_plan_chunks(&sp);
    }
    p->parts = least(least(PIECES / 2, p->chunks), least(k / PART_K, PARTS_MOST / count));
    if (moving && p->parts > 1) {
        p->part_floats = round16(count);
        return true;
    }
    *p = before;
    return false;
}

/* --- orientation ------------------------------------------------------------------------------ */

/* Few columns leave most of a panel empty; vectors along k are full, if U is contiguous in it. */
static bool may_dot(const wf_contract_plan *p) {
    if (p->cells || p->n > DOT_COLUMNS || p->m < 16) return false;
    for (int i = 0; i < p->c->n_sources; i++) {
        const wf_contract_source *s = &p->c->source[i];
        wf_side u;
        wf_side_read(p->c, s, p->u_side == 1, &p->call->in[2 * i + p->u_side], &u);
        const int run = wf_side_run(p, s, &u);
        if (s->packed || run < 0 || s->sum[run] < DOT_RUN || p->n * wf_sum_extent(s) > DOT_V)
            return false;
    }
    return true;
}

/* Cycles of one k over all tiles: multiply-adds of a tile, its loads, and the latency of few. */
static double tile_cycles(const wf_contract_plan *p) {
    const double tiles = (double)ceil_div(p->m, WF_TILE_M), rows = (double)p->m / tiles;
    const int64_t panels = p->n_inner / WF_PANEL, rest = p->n_inner % WF_PANEL;
    double sum = 0;
    for (int nv = 1; nv <= 2; nv++) {
        const double n = (double)(nv == 2 ? panels + (rest > 16) : rest > 0 && rest <= 16);
        const double work = rows * nv, loads = rows + nv, latency = 8;
        const double most_of = work > loads ? work : loads;
        sum += n * (most_of > latency ? most_of : latency) / 2;
    }
    return sum * tiles * (double)p->n_outer;
}

/* Cycles to copy an element that a nest copies in runs. */
static double copy_cycles(const wf_contract_plan *p, const wf_side *s, const int *loop, int n) {
    const int last = n ? loop[n - 1] : -1;
    if (last < 0 || s->step[last] != 1 || !s->linear) return s->linear ? 2.0 : 4.0;
    return 0.2 + 8.0 / (double)p->c->out[last];
}

/* Rough cycles: tiles, stores, and copies of both operands. */
static double cost_of(const wf_contract_plan *p) {
    const bool unit_out = p->n_n == 0 || p->n == 1 ||
                          p->call->out.stride[p->n_loop[p->n_n - 1]] == 1;
    const double m = (double)p->m, n = (double)p->n;
    double cost = 0;
    for (int i = 0; i < p->c->n_sources; i++) {
        const wf_contract_source *s = &p->c->source[i];
        wf_side u, v;
        wf_side_read(p->c, s, p->u_side == 1, &p->call->in[2 * i + p->u_side], &u);
        const double k = (double)wf_sum_extent(s);
        if (p->dot) cost += m * n * (k / 28 + 10 * (1 + k / WF_CHUNK_DOT));
        else
            cost += tile_cycles(p) * k +
                    (unit_out ? 0.1 : 2.0) * m * n * (1 + k / WF_CHUNK_MOVING);
        const bool u_unit = wf_side_unit_in_sum(p, s, &u) ||
                            wf_side_unit_in(&u, p, p->m_loop, p->n_m);
        cost += (u_unit ? u.inside ? 0.05 : u.linear ? 0.2 : 0.4 : 1.5) * m * k;
        if (s->packed) continue;
        wf_side_read(p->c, s, p->u_side == 0, &p->call->in[2 * i + 1 - p->u_side], &v);
        if (p->dot) cost += 2 * k * n;
        else if (wf_v_may_pack(p, s, &v)) cost += copy_cycles(p, &v, p->n_loop, p->n_n) * k * n;
        else if (p->flat && !wf_v_may_stay(p, &v))
            cost += copy_cycles(p, &v, p->n_loop, p->n_n) * k * n * (1 + m / M_MOST);
        else cost += 0.1 * k * n;
    }
    return cost * (double)p->batch;
}

/* Parts, blocks, and the memory that they need. */
static void choose_work(wf_contract_plan *p) {
    p->n_blocks = p->panel_splits = p->parts = 1;
    if (p->dot || wf_winograd_sum_plan(p) || !choose_parts(p)) choose_blocks(p);
    if (!p->winograd.on) wf_winograd_plan(p);
    if (p->call->out.dtype == WF_BF16) p->wide_columns = wf_contract_block_panels(p) * WF_PANEL;
    p->max_segs = 1;
    for (int i = 0; i < p->c->n_sources; i++) {
        wf_source_plan sp;
        wf_contract_plan_source(p, i, &sp);
        p->u_floats = most(p->u_floats, sp.u_floats);
        p->v_floats = most(p->v_floats, sp.v_floats);
        p->stage_floats = most(p->stage_floats, sp.stage_floats);
        p->max_segs = most(p->max_segs, sp.chunk_k * (p->cells == 2 ? 3 : 1));
        p->packed_floats += sp.packed_floats;
    }
}

bool wf_contract_plan_make(wf_contract_plan *p, const wf_call *call) {
    if (!wf_loops_plain(call)) return false;
    wf_contract_plan q[2];
    double cost[2] = {0, 0};
    bool ok[2];
    for (int side = 0; side < 2; side++) {
        memset(&q[side], 0, sizeof q[side]);
        q[side].call = call;
        q[side].c = call->attr;
        q[side].u_side = side;
        q[side].cells = wf_contract_cells(call->attr);
        wf_loops_classify(&q[side]);
        ok[side] = wf_loops_agree(&q[side]);
        if (!ok[side]) continue;
        wf_loops_order(&q[side]);
        choose_columns(&q[side]);
        cost[side] = cost_of(&q[side]);
        q[side].dot = may_dot(&q[side]);
        const double other = q[side].dot ? cost_of(&q[side]) : cost[side];
        q[side].dot &= other < cost[side];
        cost[side] = other < cost[side] ? other : cost[side];
    }
    if (!ok[0] && !ok[1]) return false;
    *p = q[ok[1] && (!ok[0] || cost[1] < cost[0])];
    choose_work(p);
    return true;
}
