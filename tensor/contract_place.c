/* Where the operands of a source are brought from, and in what chunks: one source of a plan. */
#include <string.h>

#include "tensor/contract_plan.h"

enum {
    CHUNK_K = 512,        /* k of a chunk when V is packed */
    V_FLOATS = 48 << 10,  /* V copied for a chunk */
    V_MOST = 4 << 20,     /* and a box of it, which taps that are far apart make large */
    U_FLOATS = 64 << 10,  /* U gathered for a chunk */
    PACK_MOST = 16 << 20  /* floats of V packed in the first phase */
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round16(int64_t n) { return (n + 15) / 16 * 16; }

int wf_contract_cells(const wf_contract_attr *c) {
    return c->compute == WF_COMPUTE_F32X3 ? 2 : c->compute == WF_COMPUTE_BF16 ? 1 : 0;
}

/* V as panels of all its k: about as large as V itself, and reused by enough rows. */
bool wf_v_may_pack(const wf_contract_plan *p, const wf_contract_source *s, const wf_side *v) {
    const int64_t k = wf_sum_extent(s), size = p->batch * k * p->n;
    const int64_t own = wf_shape_count(&v->array->shape);
    return p->m > 2 * WF_TILE_M && 2 * size <= 3 * own + 8192 && size <= PACK_MOST &&
           p->batch * k * ceil_div(p->n, WF_PANEL) * WF_PANEL <= 4 * PACK_MOST;
}

/* Whether V can stay where it is, or in a box, with panels along the innermost column loop. */
bool wf_v_may_stay(const wf_contract_plan *p, const wf_side *v) {
    if (!v->linear || p->n_n == 0) return false;
    const int inner = p->n_loop[p->n_n - 1], unit = wf_unit_axis(v);
    if (v->coef[unit][inner] != 1) return false;
    for (int l = 0; l < WF_CONTRACT_LOOPS; l++)
        if (l != inner && v->coef[unit][l]) return false;
    for (int j = 0; j < v->rank; j++)
        if (j != unit && v->coef[j][inner]) return false;
    return 4 * round16(p->c->out[inner]) <= 5 * p->c->out[inner];
}

/* --- chunks ----------------------------------------------------------------------------------- */

static void choose_chunk(const wf_contract_plan *p, wf_source_plan *sp, int64_t target) {
    const wf_contract_source *s = sp->s;
    int64_t suffix = 1;
    if (p->cells && sp->pairs.loop < 0) target = sp->n_k; /* one run of pairs */
    sp->chunk_loop = 0;
    sp->chunk_step = 1;
    for (int k = s->n_sum - 1; k >= 0; k--) {
        sp->chunk_loop = k;
        if (suffix * s->sum[k] > target || k == 0) {
            const int64_t chunks = ceil_div(s->sum[k], most(1, target / suffix));
            sp->chunk_step = ceil_div(s->sum[k], chunks);
            break;
        }
        suffix *= s->sum[k];
    }
    if (p->cells && sp->chunk_loop == sp->pairs.loop) sp->chunk_step += sp->chunk_step & 1;
    sp->chunk_k = sp->chunk_step * suffix;
}

int64_t wf_contract_plan_chunks(const wf_source_plan *sp) {
    int64_t n = 1;
    for (int k = 0; k < sp->chunk_loop; k++) n *= sp->s->sum[k];
    return sp->s->n_sum ? n * ceil_div(sp->s->sum[sp->chunk_loop], sp->chunk_step) : n;
}

/* The largest range of a piece and chunk, at its first position; k_whole: all of the sum loops. */
static void largest_range(const wf_contract_plan *p, const wf_source_plan *sp, bool k_whole,
                          wf_range *r) {
    memset(r, 0, sizeof *r);
    for (int l = 0; l < p->c->rank; l++) r->n[l] = 1;
    for (int i = p->m_chunk_loop; i < p->n_m; i++)
        r->n[p->m_loop[i]] = i == p->m_chunk_loop ? p->m_chunk_step : p->c->out[p->m_loop[i]];
    for (int i = 0; i < p->n_n; i++) r->n[p->n_loop[i]] = p->c->out[p->n_loop[i]];
    for (int k = 0; k < sp->s->n_sum; k++)
        r->n[p->c->rank + k] = k_whole || k > sp->chunk_loop ? sp->s->sum[k]
                               : k == sp->chunk_loop         ? sp->chunk_step
                                                             : 1;
}

static int n_loops_of(const wf_contract_plan *p, const wf_contract_source *s) {
    return p->c->rank + s->n_sum;
}

/* Floats of a V box for the largest chunk. */
static int64_t v_box(const wf_contract_plan *p, const wf_source_plan *sp) {
    wf_range r;
    wf_box box;
    largest_range(p, sp, false, &r);
    const int inner = p->n_loop[p->n_n - 1];
    r.n[inner] = least(p->n_inner, ceil_div(ceil_div(p->n_inner, WF_PANEL), p->n_blocks /
                                   p->panel_splits) * WF_PANEL);
    const int loops = n_loops_of(p, sp->s);
    if (!p->cells) return wf_box_of(&sp->v, &r, loops, wf_unit_axis(&sp->v), 16, &box);
    wf_pair_box b;
    return p->cells *
           wf_pair_box_of(&sp->v, &r, loops, p->c->rank + sp->pairs.loop, 16, &b);
}

int64_t wf_contract_block_panels(const wf_contract_plan *p) {
    const int64_t inner = p->n_panels / p->n_outer, inner_blocks = p->n_blocks / p->panel_splits;
    return ceil_div(inner, inner_blocks) * ceil_div(p->n_outer, p->panel_splits);
}

/* Floats or cells of the largest chunk, in all parts. */
static int64_t chunk_rows(const wf_contract_plan *p, const wf_source_plan *sp) {
    wf_range r;
    largest_range(p, sp, false, &r);
    return wf_cells_of(p, sp, &r) * most(1, p->cells);
}

/* Whether pairs along the paired loop are rows of a linear side, contiguous along another axis. */
static bool may_pair(const wf_contract_plan *p, const wf_source_plan *sp, const wf_side *side) {
    if (sp->pairs.loop < 0 || !side->linear) return false;
    const int axis = wf_side_axis(side, p->c->rank + sp->pairs.loop);
    return axis >= 0 && axis != wf_unit_axis(side);
}

/* Whether the indices of V are inside for a rectangle of the sum loops, given the outer columns. */
static bool may_clip(const wf_contract_plan *p, const wf_source_plan *sp) {
    const int unit = wf_unit_axis(&sp->v);
    const int64_t first = sp->v.offset[unit];
    if (first < 0 || first + p->n_inner > sp->v.array->shape.dim[unit]) return false;
    for (int j = 0; j < sp->v.rank; j++) {
        int n = 0;
        for (int k = 0; k < sp->s->n_sum; k++) n += sp->v.coef[j][p->c->rank + k] != 0;
        if (n > 1) return false;
    }
    return true;
}

int64_t wf_contract_panel_floats(const wf_contract_plan *p, const wf_source_plan *sp) {
    return sp->k_rows * (p->dot ? p->n : WF_PANEL);
}

static void place_v(const wf_contract_plan *p, wf_source_plan *sp) {
    if (p->dot) {
        sp->v_mode = WF_FROM_PACKED;
        sp->run = wf_side_run(p, sp->s, &sp->u);
        sp->packed_floats = p->batch * wf_contract_panel_floats(p, sp);
        choose_chunk(p, sp, WF_CHUNK_DOT);
        return;
    }
    const bool whole = p->n_n > 0 && p->n_inner == p->c->out[p->n_loop[p->n_n - 1]];
    const bool stays = wf_v_may_stay(p, &sp->v) && whole;
    /* Pieces kept for sums that are not finite (contract_winograd.h) find nothing packed. */
    const bool pack = !sp->s->packed && !p->winograd.sums && p->flat &&
                      wf_v_may_pack(p, sp->s, &sp->v);
    const bool in_place = stays && p->n_inner % 16 == 0 && (sp->v.inside || may_clip(p, sp)) &&
                          sp->v.array->stride[wf_unit_axis(&sp->v)] == 1;
    const bool moving = sp->n_k > 8 * p->m;
    sp->given = sp->s->packed;
    if (sp->given) sp->v_mode = WF_FROM_PACKED;
    else if (p->cells && stays && may_pair(p, sp, &sp->v) &&
             (p->m <= 2 * WF_TILE_M || moving || !pack))
        sp->v_mode = WF_FROM_BOX;
    else if (p->cells) sp->v_mode = pack && (p->m > WF_ONE_BLOCK || !stays) ? WF_FROM_PACKED
                                                                         : WF_FROM_GATHER;
    else if (in_place && (p->m <= 2 * WF_TILE_M || moving || !pack)) sp->v_mode = WF_FROM_ARRAY;
    else if (pack && (p->m > WF_ONE_BLOCK || !stays)) sp->v_mode = WF_FROM_PACKED;
    else if (stays && !sp->v.inside) sp->v_mode = WF_FROM_BOX;
    else sp->v_mode = WF_FROM_GATHER;
    sp->clipped = sp->v_mode == WF_FROM_ARRAY && !sp->v.inside;

    int64_t target = (sp->v_mode == WF_FROM_PACKED ? CHUNK_K : WF_CHUNK_MOVING) << (p->cells == 1);
    choose_chunk(p, sp, target);
    while (sp->v_mode == WF_FROM_BOX && (sp->v_floats = v_box(p, sp)) > V_FLOATS && target > 32)
        choose_chunk(p, sp, target /= 2);
    if (sp->v_mode == WF_FROM_BOX && sp->v_floats > V_MOST) sp->v_mode = WF_FROM_GATHER;
    if (sp->v_mode == WF_FROM_GATHER) {
        const int64_t columns = wf_contract_block_panels(p) * WF_PANEL;
        choose_chunk(p, sp, least(target, most(64, V_FLOATS / columns)));
        sp->v_floats = columns * chunk_rows(p, sp);
    }
    if (sp->v_mode == WF_FROM_PACKED && !sp->given)
        sp->packed_floats = p->batch * sp->k_rows * ceil_div(p->n, WF_PANEL) * WF_PANEL;
}

/* Whether a linear U suits a micro kernel, in place or as a box (which keeps the unit axis): k
 * contiguous in runs that are worth a loop, or m contiguous. */
static bool form_of(const wf_contract_plan *p, wf_source_plan *sp) {
    const wf_side *u = &sp->u;
    const wf_contract_source *s = sp->s;
    const int unit = wf_unit_axis(u);
    int64_t run = 0;
    if (u->rank == 0) return sp->n_k == 1 && (sp->rows_form = true);
    for (int k = 0; k < s->n_sum; k++)
        if (s->sum[k] > 1 && u->coef[unit][p->c->rank + k] == 1) run = most(run, s->sum[k]);
    /* Taps along the next axis go on where few channels end: 3 taps of 3 channels. */
    const int next = unit == u->rank - 1 ? unit - 1 : u->rank - 1;
    if (run == u->array->shape.dim[unit] && next >= 0)
        for (int k = 0; k < s->n_sum; k++)
            if (u->coef[next][p->c->rank + k] == 1 && u->coef[unit][p->c->rank + k] == 0) {
                run *= s->sum[k];
                break;
            }
    sp->rows_form = run > 0 || sp->n_k == 1;
    if (sp->rows_form) return run >= 4 || sp->n_k < 8;
    const int last = p->n_m ? p->m_loop[p->n_m - 1] : -1;
    if (p->m == 1) return false;
    return u->coef[unit][last] == 1 && p->c->out[last] > 1;
}

/* Rows a multiple of a page apart share few cache sets: such a U is copied. */
static bool strides_collide(const wf_contract_plan *p, const wf_source_plan *sp) {
    if (!sp->rows_form || p->n_m == 0 || p->n_panels < 2) return false;
    return sp->u.step[p->m_loop[p->n_m - 1]] % 1024 == 0 && p->m > 8;
}

/* Whether k is contiguous in U along the paired loop, with nothing else along that axis. */
static bool rows_pair(const wf_contract_plan *p, const wf_source_plan *sp) {
    const wf_side *u = &sp->u;
    const int l = p->c->rank + sp->pairs.loop, unit = wf_unit_axis(u);
    wf_range r;
    if (sp->pairs.loop < 0 || u->rank == 0 || wf_side_axis(u, l) != unit || u->coef[unit][l] != 1)
        return false;
    largest_range(p, sp, true, &r);
    return wf_side_alone(u, unit, l, &r, n_loops_of(p, sp->s));
}

/* Whether U is bf16 that can be read where it is: all steps but the paired one are of whole
 * cells. */
static bool in_place_as_cells(const wf_contract_plan *p, const wf_source_plan *sp) {
    const wf_side *u = &sp->u;
    const int l = p->c->rank + sp->pairs.loop;
    if (p->cells != 1 || u->array->dtype != WF_BF16 || !u->inside || sp->pairs.run % 2 ||
        u->array->stride[wf_unit_axis(u)] != 1)
        return false;
    for (int i = 0; i < n_loops_of(p, sp->s); i++)
        if (i != l && u->step[i] % 2 && wf_loop_extent(p->c, sp->s, i) > 1) return false;
    return true;
}

/* The last pair of a run of odd length must be half zero in one operand: in a box, if V is one. */
static bool zero_ends(const wf_contract_plan *p, const wf_source_plan *sp) {
    const int l = p->c->rank + sp->pairs.loop, loops = n_loops_of(p, sp->s);
    wf_range r;
    if (sp->pairs.run % 2 == 0 || sp->v_mode != WF_FROM_BOX) return true;
    largest_range(p, sp, true, &r);
    const int axis[2] = {wf_side_axis(&sp->u, l), wf_side_axis(&sp->v, l)};
    return (sp->u.coef[axis[0]][l] == 1 && wf_side_alone(&sp->u, axis[0], l, &r, loops)) ||
           (sp->v.coef[axis[1]][l] == 1 && wf_side_alone(&sp->v, axis[1], l, &r, loops));
}

/* Floats or cells, of one part, of U's box for the largest chunk, or for all of k. */
static int64_t u_box(const wf_contract_plan *p, const wf_source_plan *sp, bool k_whole) {
    const int loops = n_loops_of(p, sp->s), unit = wf_unit_axis(&sp->u);
    wf_range r;
    wf_pair_box b;
    largest_range(p, sp, k_whole, &r);
    if (!p->cells) return wf_box_of(&sp->u, &r, loops, unit, 1, &b.box);
    if (!sp->rows_form)
        return wf_pair_box_of(&sp->u, &r, loops, p->c->rank + sp->pairs.loop, 1, &b);
    const int64_t halves = wf_box_of(&sp->u, &r, loops, unit, wf_half_pad(&sp->u, &r, loops),
                                     &b.box);
    return (halves + 1) / 2;
}

/* U as a box, unless that is large for what is read of it. */
static bool box_u(const wf_contract_plan *p, wf_source_plan *sp) {
    const int64_t whole = u_box(p, sp, true), part = u_box(p, sp, false), n = most(1, p->cells);
    if (least(whole, part) > most(4 * U_FLOATS, 2 * p->m_rows * sp->chunk_k)) return false;
    sp->u_mode = WF_FROM_BOX;
    sp->box_by_chunk = (whole * n > WF_BOX_FLOATS || p->parts > 1) && part < whole;
    sp->u_floats = (sp->box_by_chunk ? part : whole) * n;
    return true;
}

/* U element by element, in chunks that are not too large. */
static void gather_u(const wf_contract_plan *p, wf_source_plan *sp) {
    const int last = p->n_m ? p->m_loop[p->n_m - 1] : -1;
    const int64_t target = most(64, U_FLOATS / p->m_rows);
    sp->u_mode = WF_FROM_GATHER;
    sp->rows_form = last < 0 || !sp->u.linear || sp->u.step[last] != 1 ||
                    wf_side_unit_in_sum(p, sp->s, &sp->u);
    if (target < sp->chunk_k) choose_chunk(p, sp, target);
    sp->u_floats = (p->m_rows + 16) * (chunk_rows(p, sp) + (p->cells ? 32 * p->cells : 16));
}

static void place_u_cells(const wf_contract_plan *p, wf_source_plan *sp) {
    const int last = p->n_m ? p->m_loop[p->n_m - 1] : -1;
    sp->rows_form = rows_pair(p, sp);
    if (sp->rows_form && in_place_as_cells(p, sp) && !strides_collide(p, sp)) {
        sp->u_mode = WF_FROM_ARRAY;
        return;
    }
    const bool cols = !sp->rows_form && may_pair(p, sp, &sp->u) && p->m > 1 && last >= 0 &&
                      sp->u.coef[wf_unit_axis(&sp->u)][last] == 1 && p->c->out[last] > 1 &&
                      zero_ends(p, sp);
    if (!((sp->rows_form || cols) && box_u(p, sp))) gather_u(p, sp);
}

static void place_u(const wf_contract_plan *p, wf_source_plan *sp) {
    const bool unit_stride = sp->u.rank > 0 && sp->u.array->stride[wf_unit_axis(&sp->u)] == 1;
    const bool suits = sp->u.linear && form_of(p, sp);
    if (suits && sp->u.inside && unit_stride && !strides_collide(p, sp))
        sp->u_mode = WF_FROM_ARRAY;
    else if (!(suits && !sp->u.inside && box_u(p, sp)))
        gather_u(p, sp);
}

static void read_sums(const wf_contract_plan *p, wf_source_plan *sp, const wf_contract_source *s) {
    memset(sp, 0, sizeof *sp);
    sp->s = s;
    sp->n_k = sp->k_rows = wf_sum_extent(s);
    if (!p->cells) return;
    sp->pairs = wf_contract_pairs(s);
    sp->k_rows = sp->pairs.cells * p->cells;
}

/* Room for rows that are gathered, and for three rows of a box of pairs. */
static int64_t stage_floats(const wf_contract_plan *p, const wf_source_plan *sp) {
    wf_range r;
    largest_range(p, sp, true, &r);
    int64_t floats = wf_stage_floats(p, sp, &r, most(WF_PANEL, p->m_rows));
    for (int side = 0; side < 2; side++) {
        wf_pair_box b;
        if (side ? sp->v_mode != WF_FROM_BOX : sp->u_mode != WF_FROM_BOX || sp->rows_form) continue;
        largest_range(p, sp, !side && !sp->box_by_chunk, &r);
        wf_pair_box_of(side ? &sp->v : &sp->u, &r, n_loops_of(p, sp->s),
                       p->c->rank + sp->pairs.loop, 1, &b);
        floats = most(floats, 3 * b.box.n[b.unit]);
    }
    return floats;
}

void wf_contract_plan_source(const wf_contract_plan *p, int i, wf_source_plan *sp) {
    read_sums(p, sp, &p->c->source[i]);
    wf_side_read(p->c, sp->s, p->u_side == 1, &p->call->in[2 * i + p->u_side], &sp->u);
    if (!sp->s->packed)
        wf_side_read(p->c, sp->s, p->u_side == 0, &p->call->in[2 * i + 1 - p->u_side], &sp->v);
    place_v(p, sp);
    if (p->cells) {
        place_u_cells(p, sp);
        sp->stage_floats = stage_floats(p, sp);
    } else {
        place_u(p, sp);
    }
}

void wf_contract_plan_pack(wf_contract_plan *p, wf_source_plan *sp, const wf_contract_attr *c,
                           const wf_array *b) {
    memset(p, 0, sizeof *p);
    p->c = c;
    p->cells = wf_contract_cells(c);
    read_sums(p, sp, &c->source[0]);
    wf_loops_sort(p, sp->s->batch_loops, sp->s->col_loops);
    wf_side_read(c, sp->s, true, b, &sp->v);
    wf_range r;
    largest_range(p, sp, true, &r);
    if (p->cells) sp->stage_floats = wf_stage_floats(p, sp, &r, WF_PANEL);
}

