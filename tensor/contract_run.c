/* Contractions by tiles: one driver for every direction and instruction set.
 *
 * Phase 0 packs each V that is packed as a whole, a panel a piece. In phase 2 a piece is a matrix
 * of the batch, a block of rows and a block of panels; for each source and each chunk of k it
 * brings U and V into place and calls the micro kernel for every panel and every tile of rows,
 * which adds to the output. Each element of the output is summed by one piece, in the order of
 * sources, chunks and k: the same bits for every number of threads. Where the plan has several
 * parts, phase 1 does that for each range of chunks, and phase 2 adds the parts in order.
 * Convolutions with stride 1 are computed by minimal filtering (contract_winograd.h), from filters
 * made in phase 0, unless that is not finite. */
#include <string.h>

#include "tensor/contract_piece.h"
#include "tensor/kernels/cells.h"
#include "tensor/contract_winograd.h"
#include "tensor/kernels/contract_gather.h"

enum { ADD_FLOATS = 4096, KEPT = 2 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* --- scratch ---------------------------------------------------------------------------------- */

static size_t take(size_t *used, int64_t n, size_t size) {
    const size_t at = *used;
    *used += ((size_t)n * size + 63) & ~(size_t)63;
    return at;
}

/* Lays the tables and buffers of a worker out over `base`; returns the bytes needed. */
size_t wf_contract_lay_out(wf_piece *w, const wf_contract_plan *p, void *memory) {
    char *base = memory;
    size_t used = 0, at[11];
    at[0] = take(&used, p->m_rows, sizeof(int64_t));
    at[1] = take(&used, p->m_rows, sizeof(int64_t));
    at[2] = take(&used, p->m_rows, sizeof(wf_tile));
    at[3] = take(&used, p->max_segs, sizeof(int64_t));
    at[4] = take(&used, p->max_segs, sizeof(int64_t));
    at[5] = take(&used, WF_TILE_LARGE * WF_TILE_N, sizeof(float));
    at[6] = take(&used, p->u_floats, sizeof(float));
    at[7] = take(&used, p->v_floats, sizeof(float));
    at[8] = take(&used, p->stage_floats, sizeof(float));
    at[9] = take(&used, p->m_rows * p->wide_columns, sizeof(float));
    at[10] = take(&used, !p->winograd.on    ? 0
                         : p->winograd.sums ? wf_winograd_sum_scratch(p)
                                            : wf_winograd_scratch(p), sizeof(float));
    if (!w) return used;
    w->m_u = (int64_t *)(base + at[0]);
    w->m_out = (int64_t *)(base + at[1]);
    w->tiles = (wf_tile *)(base + at[2]);
    w->u_seg = (int64_t *)(base + at[3]);
    w->v_seg = (int64_t *)(base + at[4]);
    w->tile_space = (float *)(base + at[5]);
    w->u_space = (float *)(base + at[6]);
    w->v_space = (float *)(base + at[7]);
    w->stage = (float *)(base + at[8]);
    w->wide = p->wide_columns ? (float *)(base + at[9]) : NULL;
    w->winograd = (float *)(base + at[10]);
    return used;
}

/* --- tiles ------------------------------------------------------------------------------------ */

/* Offsets of every row of the block, by U's steps or the output's strides. */
static void fill_rows(const wf_piece *w, const int64_t *step, int64_t *to) {
    const wf_contract_plan *p = w->p;
    const int last = p->n_m ? p->m_loop[p->n_m - 1] : -1;
    const int64_t n = last < 0 ? 1 : w->out.n[last], by = last < 0 ? 0 : step[last];
    int64_t v[WF_MAX_RANK] = {0}, at = 0;
    for (int64_t i = 0; i < w->rows; i += n) {
        for (int64_t k = 0; k < n; k++) to[i + k] = at + k * by;
        for (int l = p->n_m - 2; l >= 0; l--) {
            const int loop = p->m_loop[l];
            at += step[loop];
            if (++v[l] < w->out.n[loop]) break;
            at -= step[loop] * w->out.n[loop];
            v[l] = 0;
        }
    }
}

/* How many offsets from `from` on have one constant step (at most `limit`). */
static int64_t linear_run(const int64_t *at, int64_t from, int64_t limit) {
    if (limit < 2) return limit;
    const int64_t step = at[from + 1] - at[from];
    int64_t n = 2;
    while (n < limit && at[from + n] - at[from + n - 1] == step) n++;
    return n;
}

/* Rows of the next tile of a run. */
static int64_t tile_rows(const wf_piece *w, int64_t run) {
    if (w->large && run >= WF_TILE_LARGE) return WF_TILE_LARGE;
    if (w->large && run >= WF_TILE_HALF) return WF_TILE_HALF;
    return ceil_div(run, ceil_div(run, w->p->dot ? WF_DOT_M : w->kernels->max_m));
}

/* Cuts the rows where U is not linear, and those runs into tiles of nearly one size. */
static void cut_tiles(wf_piece *w, const wf_loaded *x) {
    fill_rows(w, x->u_step, w->m_u);
    w->n_tiles = 0;
    for (int64_t i = 0; i < w->rows;) {
        int64_t run = linear_run(w->m_u, i, w->rows - i);
        if (!x->sp->rows_form && run > 1 && w->m_u[i + 1] - w->m_u[i] != 1) run = 1;
        while (run > 0) {
            const int64_t n = tile_rows(w, run);
            wf_tile *t = &w->tiles[w->n_tiles++];
            *t = (wf_tile){.row = i, .rows = n, .u = w->m_u[i], .out = w->m_out[i]};
            if (n > 1) t->um = w->m_u[i + 1] - w->m_u[i], t->om = w->m_out[i + 1] - w->m_out[i];
            t->linear = linear_run(w->m_out, i, n) == n;
            i += n;
            run -= n;
        }
    }
}

/* --- computing -------------------------------------------------------------------------------- */

/* Values of the column loops at a flattened outer column, by loop; those of the batch. */
static void locate_columns(const wf_piece *w, int64_t outer, int64_t *v) {
    const wf_contract_plan *p = w->p;
    memcpy(v, w->out.lo, sizeof w->out.lo);
    for (int l = p->n_n - 2; l >= 0; l--) {
        v[p->n_loop[l]] = outer % p->c->out[p->n_loop[l]];
        outer /= p->c->out[p->n_loop[l]];
    }
}

/* Output offsets of the columns of a panel. Returns true if they are contiguous. */
static bool panel_columns(const wf_contract_plan *p, int64_t outer, int64_t first, int64_t n,
                          int64_t *at) {
    bool unit = true;
    for (int64_t j = 0; j < n; j++) {
        int64_t rest = outer * p->n_inner + first + j;
        if (j > 0 && (!p->flat || p->n_n < 2)) { /* along one loop */
            at[j] = at[j - 1] + p->call->out.stride[p->n_loop[p->n_n - 1]];
        } else {
            at[j] = 0;
            for (int i = p->n_n - 1; i >= 0; i--) {
                const int64_t e = p->c->out[p->n_loop[i]];
                at[j] += rest % e * p->call->out.stride[p->n_loop[i]];
                rest /= e;
            }
        }
        unit &= at[j] == at[0] + j;
    }
    return unit;
}

/* Where the columns of a panel are in the block that is summed aside: one panel after another. */
static int64_t wide_column(const wf_piece *w, int64_t inner, int64_t outer) {
    return ((inner - w->first_inner) * (w->last_outer - w->first_outer) + outer - w->first_outer) *
           WF_PANEL;
}

/* The block that was summed aside, rounded into the output. */
static void narrow_block(wf_piece *w, uint16_t *out) {
    const wf_contract_plan *p = w->p;
    const wf_cell_table *cells = wf_cells_get();
    fill_rows(w, p->call->out.stride, w->m_out);
    for (int64_t i = w->first_inner; i < w->last_inner; i++)
        for (int64_t o = w->first_outer; o < w->last_outer; o++) {
            int64_t col[WF_PANEL];
            uint16_t half[WF_PANEL];
            const int64_t first = i * WF_PANEL, n = least(WF_PANEL, p->n_inner - first);
            const bool unit = panel_columns(p, o, first, n, col);
            const float *from = w->wide + wide_column(w, i, o);
            for (int64_t row = 0; row < w->rows; row++, from += p->wide_columns) {
                uint16_t *to = out + w->m_out[row];
                cells->narrow(from, n, unit ? to + col[0] : half, NULL);
                for (int64_t j = 0; j < n && !unit; j++) to[col[j]] = half[j];
            }
        }
}

static void scatter(const wf_piece *w, const wf_tile *t, float *out, const int64_t *col, int64_t n,
                    bool add) {
    for (int64_t i = 0; i < t->rows; i++) {
        float *row = out + w->m_out[t->row + i];
        const float *from = w->tile_space + i * WF_TILE_N;
        if (add)
            for (int64_t j = 0; j < n; j++) row[col[j]] += from[j];
        else
            for (int64_t j = 0; j < n; j++) row[col[j]] = from[j];
    }
}

static wf_tile_fn *kernel_of(const wf_piece *w, bool rows_form, int64_t rows, int nv) {
    if (w->large && rows >= WF_TILE_HALF)
        return (rows_form ? w->large->rows : w->large->cols)[rows / WF_TILE_HALF][nv];
    return (rows_form ? w->kernels->rows : w->kernels->cols)[rows][nv];
}

/* Columns of a panel: where it is in V, which columns of the output they are. */
typedef struct panel {
    int64_t v, n;
    bool unit; /* contiguous */
    int64_t col[WF_PANEL];
} panel;

static void compute_tile(const wf_piece *w, const wf_loaded *x, const wf_tile *t, const panel *q,
                         float *out, bool add) {
    const int nv = q->n > 16 ? 2 : 1;
    const float *u = x->u + x->u_shift + t->u, *v = x->v + (x->v_at + q->v + x->v_shift);
    wf_tile_fn *f = kernel_of(w, x->sp->rows_form, t->rows, nv);
    const int64_t as = x->sp->rows_form ? t->um : x->ak;
    if (q->unit && q->n == 16 * nv && t->linear) {
        f(u, as, w->u_seg, v, x->bk, w->v_seg, x->n_seg, x->len, out + t->out + q->col[0], t->om,
          add);
    } else {
        f(u, as, w->u_seg, v, x->bk, w->v_seg, x->n_seg, x->len, w->tile_space, WF_TILE_N, false);
        scatter(w, t, out, q->col, q->n, add);
    }
}

/* All columns of a chunk along k in vectors; WF_DOT_N of them at a time, in groups of one size. */
static void compute_dot(const wf_piece *w, wf_loaded *x, float *out, bool add) {
    const wf_contract_plan *p = w->p;
    const wf_tile_table *table = w->kernels->dot[1][1] ? w->kernels : &wf_tile_plain;
    const int64_t each = ceil_div(p->n, ceil_div(p->n, WF_DOT_N));
    int64_t col[WF_PANEL];
    panel_columns(p, 0, 0, p->n, col);
    for (int64_t i = 0; i < w->n_tiles; i++) {
        const wf_tile *t = &w->tiles[i];
        for (int64_t j = 0; j < p->n; j += each)
            table->dot[t->rows][least(each, p->n - j)](
                x->u + t->u, t->um, w->u_seg, x->v + j * x->sp->n_k, x->sp->n_k, w->v_seg, x->n_seg,
                x->len, w->tile_space + j);
        scatter(w, t, out, col, p->n, add);
    }
}

static void find_panel(const wf_piece *w, const wf_loaded *x, int64_t inner, int64_t outer,
                       panel *q) {
    const int64_t first = inner * WF_PANEL;
    q->n = least(WF_PANEL, w->p->n_inner - first);
    q->unit = true;
    q->v = (inner - w->first_inner) * x->v_panel + (outer - w->first_outer) * x->v_outer;
    if (w->wide) q->col[0] = wide_column(w, inner, outer), q->n += -q->n & 15;
    else q->unit = panel_columns(w->p, outer, first, q->n, q->col);
}

/* Few k: all panels stay in L1, and rows of the output are written from end to end. True if the
 * chunk was computed so. (512 columns of 3 k: half the time of panel by panel, whose writes touch
 * another page every few lines.) */
static bool compute_few(const wf_piece *w, const wf_loaded *x, float *out, bool add) {
    enum { PANELS = 16, FLOATS = 8 << 10 };
    const int64_t n = w->last_inner - w->first_inner;
    panel q[PANELS];
    if (!w->p->flat || w->wide || x->sp->clipped || n < 2 || n > PANELS ||
        x->n_seg * x->len * n * WF_PANEL > FLOATS)
        return false;
    for (int64_t i = 0; i < n; i++) find_panel(w, x, w->first_inner + i, w->first_outer, &q[i]);
    for (int64_t t = 0; t < w->n_tiles; t++)
        for (int64_t i = 0; i < n; i++) compute_tile(w, x, &w->tiles[t], &q[i], out, add);
    return true;
}

static void compute_chunk(const wf_piece *w, wf_loaded *x, float *out, bool add) {
    const wf_contract_plan *p = w->p;
    if (!x->sp->clipped) wf_cut_segments(w, x, &x->r);
    if (p->dot) {
        compute_dot(w, x, out, add);
        return;
    }
    if (compute_few(w, x, out, add)) return;
    for (int64_t i = w->first_inner; i < w->last_inner; i++)
        for (int64_t o = w->first_outer; o < w->last_outer; o++) {
            int64_t at[WF_CONTRACT_LOOPS];
            panel q;
            find_panel(w, x, i, o, &q);
            if (!p->flat) {
                locate_columns(w, o, at);
                for (int l = 0; l < p->n_n - 1; l++)
                    q.v += at[p->n_loop[l]] * x->v_step[p->n_loop[l]];
            } else {
                memcpy(at, w->out.lo, sizeof w->out.lo);
            }
            if (x->sp->clipped) wf_clip_segments(w, x, at);
            for (int64_t t = 0; t < w->n_tiles; t++) compute_tile(w, x, &w->tiles[t], &q, out, add);
        }
}

/* Steps a rectangle of chunks: r's sum loops to the next chunk. False after the last. */
static bool next_chunk(const wf_contract_plan *p, const wf_source_plan *sp, wf_range *r) {
    for (int k = sp->chunk_loop; k >= 0; k--) {
        const int l = p->c->rank + k;
        if (sp->s->n_sum == 0) return false;
        r->lo[l] += r->n[l];
        const bool done = r->lo[l] >= sp->s->sum[k];
        if (done) r->lo[l] = 0;
        r->n[l] = k == sp->chunk_loop ? least(sp->chunk_step, sp->s->sum[k] - r->lo[l]) : 1;
        if (!done) return true;
    }
    return false;
}

static void run_source(wf_piece *w, int i, const wf_source_plan *sp, const float *packed,
                       float *out) {
    const wf_contract_plan *p = w->p;
    wf_loaded x = {.sp = sp};
    wf_range r = w->out;
    for (int k = 0; k < sp->s->n_sum; k++) {
        r.lo[p->c->rank + k] = 0;
        r.n[p->c->rank + k] = k < sp->chunk_loop    ? 1
                              : k == sp->chunk_loop ? least(sp->chunk_step, sp->s->sum[k])
                                                   : sp->s->sum[k];
    }
    if (sp->given) packed = p->call->in[2 * i + 1].data;
    bool first = true;
    do {
        const int64_t at = w->chunk++;
        if (p->parts > 1 && (at < w->first_chunk || at >= w->last_chunk)) continue;
        wf_load_u(w, &x, first, r);
        x.r = wf_cell_range(p, sp, &r);
        wf_load_v(w, &x, r, packed);
        if (first || sp->u_mode != WF_FROM_BOX || sp->box_by_chunk) cut_tiles(w, &x);
        compute_chunk(w, &x, out, at != w->first_chunk);
        first = false;
    } while (next_chunk(p, sp, &r));
}

int64_t wf_contract_n_pieces(const wf_contract_plan *p) {
    return p->parts * p->batch * p->m_blocks * p->n_blocks;
}

/* Loop ranges and panels of piece i. False: an empty one. */
bool wf_contract_locate(wf_piece *w, int64_t i) {
    const wf_contract_plan *p = w->p;
    int64_t n_block = i % p->n_blocks, m_block = i / p->n_blocks % p->m_blocks;
    int64_t batch = i / p->n_blocks / p->m_blocks % p->batch;
    w->part = i / p->n_blocks / p->m_blocks / p->batch;
    w->chunk = 0;
    w->first_chunk = p->chunks * w->part / p->parts;
    w->last_chunk = p->chunks * (w->part + 1) / p->parts;
    memset(&w->out, 0, sizeof w->out);
    for (int l = p->n_batch - 1; l >= 0; l--) {
        w->out.lo[p->batch_loop[l]] = batch % p->c->out[p->batch_loop[l]];
        w->out.n[p->batch_loop[l]] = 1;
        batch /= p->c->out[p->batch_loop[l]];
    }
    w->rows = 1;
    for (int l = p->n_m - 1; l >= 0; l--) {
        const int loop = p->m_loop[l];
        const int64_t e = p->c->out[loop];
        const int64_t step = l < p->m_chunk_loop ? 1 : l == p->m_chunk_loop ? p->m_chunk_step : e;
        const int64_t blocks = ceil_div(e, step), at = m_block % blocks;
        m_block /= blocks;
        w->out.lo[loop] = at * step;
        w->out.n[loop] = least(step, e - at * step);
        w->rows *= w->out.n[loop];
    }
    for (int l = 0; l < p->n_n; l++) w->out.n[p->n_loop[l]] = 1;
    const int64_t inner = p->n_panels / p->n_outer, inner_blocks = p->n_blocks / p->panel_splits;
    const int64_t inner_step = ceil_div(inner, inner_blocks);
    const int64_t outer_step = ceil_div(p->n_outer, p->panel_splits);
    w->first_inner = n_block / p->panel_splits * inner_step;
    w->last_inner = least(inner, w->first_inner + inner_step);
    w->first_outer = n_block % p->panel_splits * outer_step;
    w->last_outer = least(p->n_outer, w->first_outer + outer_step);
    return w->first_inner < w->last_inner && w->first_outer < w->last_outer;
}

/* Minimal filtering of pieces as they are. */
static bool by_tiles(const wf_contract_plan *p) { return p->winograd.on && !p->winograd.sums; }

void wf_contract_compute(const wf_contract_plan *p, int64_t first, int64_t last, void *scratch,
                         float *shared) {
    wf_piece w = {.p = p, .kernels = p->cells ? wf_tile_cells_for(wf_isa_get())
                                              : wf_tile_table_for(wf_isa_get())};
    w.large = p->cells ? wf_tile_large_for(wf_isa_get()) : NULL;
    wf_contract_lay_out(&w, p, scratch);
    wf_source_plan source[KEPT];
    int kept = 0; /* of them, if there are no more sources than that */
    if (w.large) w.large->begin();
    for (int64_t i = first; i < last; i++) {
        if (!wf_contract_locate(&w, i)) continue;
        int64_t at = 0;
        for (int l = 0; l < p->c->rank; l++) at += w.out.lo[l] * p->call->out.stride[l];
        float *out = w.wide;
        if (w.wide) {
            for (int64_t row = 0; row < w.rows; row++) w.m_out[row] = row * p->wide_columns;
        } else {
            fill_rows(&w, p->call->out.stride, w.m_out);
            out = w.part > 0 ? shared + p->packed_floats + (w.part - 1) * p->part_floats
                             : p->call->out.data;
            out += at;
        }
        const float *packed = shared;
        if (by_tiles(p) && wf_winograd_piece(&w, shared + p->packed_floats, w.winograd, out))
            continue;
        for (int s = 0; s < p->c->n_sources; s++) {
            wf_source_plan *sp = &source[s % KEPT];
            if (kept <= s) wf_contract_plan_source(p, s, sp), kept += p->c->n_sources <= KEPT;
            run_source(&w, s, sp, packed, out);
            packed += sp->packed_floats;
        }
        if (w.wide) narrow_block(&w, (uint16_t *)p->call->out.data + at);
    }
    if (w.large) w.large->end();
}

int64_t wf_contract_add_pieces(const wf_contract_plan *p) {
    return p->parts > 1 ? ceil_div(wf_shape_count(&p->call->out.shape), ADD_FLOATS) : 0;
}

/* Adds the parts to the first one, which is in the output. */
void wf_contract_add_parts(const wf_contract_plan *p, int64_t first, int64_t last,
                           const float *shared) {
    const int64_t n = wf_shape_count(&p->call->out.shape);
    float *out = p->call->out.data;
    for (int64_t at = first * ADD_FLOATS; at < n && at < last * ADD_FLOATS; at += ADD_FLOATS) {
        const int64_t end = least(n, at + ADD_FLOATS);
        for (int64_t k = 0; k + 1 < p->parts; k++) {
            const float *part = shared + k * p->part_floats;
            for (int64_t i = at; i < end; i++) out[i] += part[i];
        }
    }
}

/* --- packing in the first phase --------------------------------------------------------------- */

int64_t wf_contract_pack_pieces(const wf_contract_plan *p) {
    int64_t n = 0;
    if (by_tiles(p)) return ceil_div(p->n, WF_PANEL);
    for (int i = 0; i < p->c->n_sources && p->packed_floats; i++) {
        wf_source_plan sp;
        wf_contract_plan_source(p, i, &sp);
        if (sp.packed_floats) n += p->batch * ceil_div(p->n, WF_PANEL);
    }
    return n;
}

/* Panel i of all sources, and from it that of minimal filtering. */
static void pack_winograd(const wf_contract_plan *p, int64_t i, float *stage, float *shared) {
    const float *from[WF_WINOGRAD_SOURCES];
    float *to = shared;
    for (int s = 0; s < p->c->n_sources; s++) {
        wf_source_plan sp;
        wf_contract_plan_source(p, s, &sp);
        const int64_t at = i * wf_contract_panel_floats(p, &sp);
        from[s] = sp.given ? (const float *)p->call->in[2 * s + 1].data + at : to + at;
        if (!sp.given) wf_contract_pack_panel(p, &sp, i, stage, to + at);
        to += sp.packed_floats;
    }
    wf_winograd_pack(p, i, from, shared + p->packed_floats);
}

void wf_contract_pack_panels(const wf_contract_plan *p, int64_t first, int64_t last, void *scratch,
                             float *shared) {
    wf_piece w;
    wf_contract_lay_out(&w, p, scratch);
    for (int64_t i = first; i < last && by_tiles(p); i++) pack_winograd(p, i, w.stage, shared);
    if (by_tiles(p)) return;
    for (int s = 0; s < p->c->n_sources; s++) {
        wf_source_plan sp;
        wf_contract_plan_source(p, s, &sp);
        if (!sp.packed_floats) continue;
        const int64_t n = p->batch * ceil_div(p->n, WF_PANEL);
        for (int64_t i = first < 0 ? 0 : first; i < last && i < n; i++)
            wf_contract_pack_panel(p, &sp, i, w.stage,
                                   shared + i * wf_contract_panel_floats(p, &sp));
        first -= n;
        last -= n;
        shared += sp.packed_floats;
    }
}
