/* Which contractions are convolutions that minimal filtering suits, and their filters transformed;
 * see contract_winograd.h. */
#include "tensor/contract_winograd.h"

#include <stdlib.h>
#include <string.h>

enum {
    TILES = 32,             /* of all pieces, at least */
    PIECES = 16,            /* wanted */
    TILES_LEAST = 32,       /* of a piece, where there are as many: they share U */
    NEAR_FLOATS = 200 << 10, /* V, U and the output of a row of positions, in L2 */
    SCRATCH_MOST = 4 << 20,
    U_MOST = 16 << 20
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

wf_winograd_mode wf_winograd_wanted(void) {
    static int known; /* a mode + 1; 0: not read yet */
    int now = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (now == 0) {
        const char *want = getenv("WF_WINOGRAD");
        const bool off = want && strcmp(want, "off") == 0;
        const bool always = want && strcmp(want, "always") == 0;
        now = 1 + (off ? WF_WINOGRAD_OFF : always ? WF_WINOGRAD_ALWAYS : WF_WINOGRAD_AUTO);
        if (__atomic_exchange_n(&known, now, __ATOMIC_RELAXED) == 0 && want && *want && !off &&
            !always)
            wf_log_line("WF_WINOGRAD=%s is unknown; off and always are known", want);
    }
    return (wf_winograd_mode)(now - 1);
}

/* --- recognising ------------------------------------------------------------------------------ */

static bool window_of(const wf_contract_plan *p, const wf_source_plan *sp, int loop,
                      wf_winograd_window *out) {
    const wf_side *u = &sp->u;
    *out = (wf_winograd_window){.axis = wf_side_axis(u, loop), .sum = -1, .taps = 1};
    if (out->axis < 0 || u->coef[out->axis][loop] != 1) return false;
    for (int l = 0; l < p->c->rank + sp->s->n_sum; l++) {
        const int64_t coef = u->coef[out->axis][l];
        if (l == loop || coef == 0 || wf_loop_extent(p->c, sp->s, l) == 1) continue;
        if (l < p->c->rank || out->sum >= 0 || (coef != 1 && coef != -1)) return false;
        if (wf_side_axis(u, l) != out->axis || wf_loop_extent(p->c, sp->s, l) > WF_FILTER_TAPS)
            return false;
        out->sum = l;
        out->turned = coef < 0;
        out->taps = (int)wf_loop_extent(p->c, sp->s, l);
    }
    return true;
}

/* The sum loop over channels; -1: there is one channel. False if there are several such loops, or
 * channels are not next to each other. */
static bool channels_of(const wf_contract_plan *p, const wf_source_plan *sp,
                        const wf_winograd_window *y, const wf_winograd_window *x, int *loop) {
    *loop = -1;
    for (int l = p->c->rank; l < p->c->rank + sp->s->n_sum; l++) {
        if (l == y->sum || l == x->sum || wf_loop_extent(p->c, sp->s, l) == 1) continue;
        if (*loop >= 0 || sp->u.step[l] != 1) return false;
        *loop = l;
    }
    return true;
}

bool wf_winograd_read(const wf_contract_plan *p, const wf_source_plan *sp,
                      wf_winograd_source *out) {
    const wf_winograd *q = &p->winograd;
    if (!sp->u.linear || sp->u.rank < 2 || sp->v_mode != WF_FROM_PACKED) return false;
    if (!window_of(p, sp, q->y, &out->y) || !window_of(p, sp, q->x, &out->x)) return false;
    if (out->y.axis == out->x.axis || !channels_of(p, sp, &out->y, &out->x, &out->channel))
        return false;
    out->channels = out->channel < 0 ? 1 : wf_loop_extent(p->c, sp->s, out->channel);
    return wf_side_inside_but(p->c, sp->s, &sp->u, out->y.axis, out->x.axis);
}

/* True if the columns of a panel are next to each other in the output. */
static bool columns_unit(const wf_contract_plan *p) {
    int64_t step = 1;
    for (int i = p->n_n - 1; i >= 0; i--) {
        const int loop = p->n_loop[i];
        if (p->c->out[loop] == 1) continue;
        if (p->call->out.stride[loop] != step) return false;
        step *= p->c->out[loop];
    }
    return true;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* Pieces of whole pairs of rows along y, or of whole images. */
static void choose_blocks(wf_contract_plan *p) {
    wf_winograd *q = &p->winograd;
    const int64_t *e = p->c->out;
    const int at = p->n_m - 2; /* of y among the row loops */
    const int64_t strips = ceil_div(e[q->y], 2), images = p->m / e[q->y] / e[q->x];
    const int64_t columns = ceil_div(p->n, WF_PANEL) * WF_PANEL;
    const int64_t u = least(NEAR_FLOATS / 2, q->products_x * q->channels * columns);
    const int64_t fits = (NEAR_FLOATS - u) / (q->products_x * q->row + 4 * columns);
    const int64_t share = images * strips * q->tiles_x / PIECES;
    const int64_t target = most(TILES_LEAST, least(fits, share)); /* tiles, of 4 pixels */
    wf_contract_choose_rows(p, 4 * target);
    if (p->m_chunk_loop > at) wf_contract_cut_rows(p, at, 2);
    if (p->m_chunk_loop == at) wf_contract_cut_rows(p, at, 2 * ceil_div(p->m_chunk_step, 2));
    q->tiles = p->m_chunk_loop == at ? p->m_chunk_step / 2 * q->tiles_x
                                     : p->m_rows / e[q->y] / e[q->x] * strips * q->tiles_x;
}

/* Whether the cycles for an image are well below those of the direct sums. */
static bool worth(const wf_contract_plan *p) {
    const wf_winograd *q = &p->winograd;
    const int64_t height = p->c->out[q->y], width = p->c->out[q->x];
    const double k = (double)q->channels, columns = (double)(ceil_div(p->n, 16) * 16);
    const double position = k * columns / 32 / WF_WINOGRAD_RATE + k / 16 * WF_WINOGRAD_V +
                            columns / 16 * WF_WINOGRAD_OUT +
                            (double)ceil_div(p->n, WF_PANEL) * WF_WINOGRAD_CALL +
                            WF_WINOGRAD_POSITION;
    const double tiles = (double)(ceil_div(height, 2) * q->tiles_x * q->products_y * q->products_x);
    const double terms = (double)(height * width * q->taps_y * q->taps_x);
    return tiles * position < WF_WINOGRAD_WORTH * terms * k * columns / 32 / WF_DIRECT_RATE;
}

bool wf_winograd_plan(wf_contract_plan *p) {
    wf_winograd *q = &p->winograd;
    const int64_t *e = p->c->out;
    if (p->cells || p->dot || p->parts > 1 || p->batch > 1 || p->n_m < 2 || !p->flat ||
        p->c->n_sources > WF_WINOGRAD_SOURCES || !columns_unit(p) ||
        wf_winograd_wanted() == WF_WINOGRAD_OFF)
        return false;
    q->y = p->m_loop[p->n_m - 2];
    q->x = p->m_loop[p->n_m - 1];
    q->channels = q->most_channels = 0;
    for (int i = 0; i < p->c->n_sources; i++) {
        wf_source_plan sp;
        wf_winograd_source s;
        wf_contract_plan_source(p, i, &sp);
        if (!wf_winograd_read(p, &sp, &s)) return false;
        if (i > 0 && (s.y.taps != q->taps_y || s.x.taps != q->taps_x)) return false;
        q->taps_y = s.y.taps;
        q->taps_x = s.x.taps;
        q->channels += s.channels;
        q->most_channels = most(q->most_channels, s.channels);
    }
    q->products_y = wf_filter_products(q->taps_y);
    q->products_x = wf_filter_products(q->taps_x);
    q->row = q->channels + (q->channels % 1024 ? 0 : 16);
    q->tiles_x = ceil_div(e[q->x], 2);
    const int64_t strips = ceil_div(e[q->y], 2), images = p->m / e[q->y] / e[q->x];
    if (q->products_y * q->products_x >= 4 * q->taps_y * q->taps_x) return false;
    if (wf_winograd_wanted() == WF_WINOGRAD_AUTO &&
        (images * strips * q->tiles_x < TILES || !worth(p)))
        return false;
    const wf_contract_plan before = *p;
    choose_blocks(p);
    q->on = wf_winograd_shared(p) <= U_MOST && wf_winograd_scratch(p) <= SCRATCH_MOST;
    if (!q->on) *p = before;
    return q->on;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Places of tiles, V of a row of positions, products of a group of tiles, a strip of rows. */
int64_t wf_winograd_scratch(const wf_contract_plan *p) {
    const wf_winograd *q = &p->winograd;
    return 3 * q->tiles + q->products_x * (q->tiles * q->row + WF_TILE_M * WF_PANEL) +
           (2 * q->tiles_x + q->taps_x - 1) * q->most_channels + 64;
}

int64_t wf_winograd_shared(const wf_contract_plan *p) {
    const wf_winograd *q = &p->winograd;
    return q->products_y * q->products_x * q->channels * ceil_div(p->n, WF_PANEL) * WF_PANEL;
}

/* --- filters ---------------------------------------------------------------------------------- */

/* Floats between steps of a sum loop in a packed panel; -1: it has one step. */
static int64_t panel_step(const wf_contract_plan *p, const wf_source_plan *sp, int loop) {
    int64_t step = WF_PANEL;
    for (int l = p->c->rank + sp->s->n_sum - 1; l > loop; l--)
        step *= wf_loop_extent(p->c, sp->s, l);
    return loop < 0 ? 0 : step;
}

void wf_winograd_pack(const wf_contract_plan *p, int64_t i, const float *const *packed, float *u) {
    const wf_winograd *q = &p->winograd;
    const wf_filter fy = wf_filter_make(q->taps_y), fx = wf_filter_make(q->taps_x);
    const wf_winograd_table *f = wf_winograd_get();
    const int64_t panel = q->channels * WF_PANEL;
    int64_t before = 0;
    for (int k = 0; k < p->c->n_sources; k++) {
        wf_source_plan sp;
        wf_winograd_source s;
        wf_contract_plan_source(p, k, &sp);
        wf_winograd_read(p, &sp, &s); /* as it was planned */
        int64_t sy = panel_step(p, &sp, s.y.sum), sx = panel_step(p, &sp, s.x.sum);
        const int64_t sc = panel_step(p, &sp, s.channel);
        const float *g = packed[k];
        if (s.y.turned) g += (q->taps_y - 1) * sy, sy = -sy;
        if (s.x.turned) g += (q->taps_x - 1) * sx, sx = -sx;
        float *to = u + i * fy.n * fx.n * panel + before * WF_PANEL;
        for (int64_t c = 0; c < s.channels; c++)
            f->filter(&fy, &fx, g + c * sc, sy, sx, to + c * WF_PANEL, panel);
        before += s.channels;
    }
}
