/* Weight gradients by minimal filtering: the transpose of contract_winograd.c in its filters.
 *
 *   Z[i, j][tile, f] = sum over the pixels (a, b) of the tile of y_i[a] y_j[b] G[pixel, f]
 *   dU[i, j][c, f]   = sum over tiles of V[i, j][tile, c] Z[i, j][tile, f]
 *   dW[.., c, f]     = the taps' shares of dU, transposed
 *
 * A block is some strips of tiles of one source. A piece sums the blocks of one part, for all
 * channels and some panels of filters; then the parts are added, in order. */
#include "tensor/contract_winograd.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK_TILES = 128,      /* of a block: sums of so many terms are made in registers */
    BLOCK_FLOATS = 200 << 10, /* V and Z of a row of positions, in L2 */
    PANELS = 4,             /* of a piece, at most */
    PIECES = 8,             /* wanted */
    PARTS_MOST = 4 << 20,   /* floats of all parts */
    SCRATCH_MOST = 4 << 20,
    TAP_CHANNELS = 16       /* of a piece of the second phase */
};
/* Cycles for a vector of a part, which is written, read and added; of dU, when a block is added to
 * it. Direct sums over pixels do badly with channels that are no multiples of 8. */
static const double PART = 40, ADD = 4, ODD_RATE = 0.5;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* --- recognising ------------------------------------------------------------------------------ */

/* An axis along which windows move: by a loop over pixels and a loop over taps. */
typedef struct window {
    int axis, pixel, tap;
} window;

/* One source: the operand X behind the windows, the operand G of the pixels. */
typedef struct source {
    wf_side x, g;
    window y, z; /* along the first and the second axis of windows; z has the tiles of a strip */
    int channel, filter;
    int g_y, g_z; /* axes of G */
    int64_t images;
} source;

static int64_t extent(const wf_contract_plan *p, const wf_contract_source *s, int l) {
    return wf_loop_extent(p->c, s, l);
}

/* True if the axis moves by a sum loop and an output loop, both by 1. */
static bool window_of(const wf_contract_plan *p, const wf_contract_source *s, const wf_side *x,
                      int axis, window *out) {
    *out = (window){.axis = axis, .pixel = -1, .tap = -1};
    for (int l = 0; l < p->c->rank + s->n_sum; l++) {
        if (x->coef[axis][l] == 0 || extent(p, s, l) == 1) continue;
        int *to = l < p->c->rank ? &out->tap : &out->pixel;
        if (*to >= 0 || x->coef[axis][l] != 1 || wf_side_axis(x, l) != axis) return false;
        *to = l;
    }
    return out->tap >= 0 && out->pixel >= 0 && extent(p, s, out->tap) <= WF_FILTER_TAPS;
}

/* The only output loop of more than one step, beside the taps, that a side depends on; it is
 * contiguous. -1 if there is none, or several. */
static int only_loop(const wf_contract_plan *p, const wf_side *side, int tap_y, int tap_z) {
    int only = -1;
    for (int l = 0; l < p->c->rank; l++) {
        bool used = false;
        for (int j = 0; j < side->rank; j++) used |= side->coef[j][l] != 0;
        if (!used || l == tap_y || l == tap_z || p->c->out[l] == 1) continue;
        if (only >= 0 || side->step[l] != 1) return -1;
        only = l;
    }
    return only;
}

static bool read_as(const wf_contract_plan *p, int i, int x_side, source *out) {
    const wf_contract_source *s = &p->c->source[i];
    int n = 0;
    if (s->packed) return false;
    wf_side_read(p->c, s, x_side == 1, &p->call->in[2 * i + x_side], &out->x);
    wf_side_read(p->c, s, x_side == 0, &p->call->in[2 * i + 1 - x_side], &out->g);
    if (!out->x.linear || !out->g.inside) return false;
    for (int j = 0; j < out->x.rank; j++) {
        window w;
        if (!window_of(p, s, &out->x, j, &w)) continue;
        if (n == 2) return false;
        *(n++ ? &out->z : &out->y) = w;
    }
    if (n < 2 || !wf_side_inside_but(p->c, s, &out->x, out->y.axis, out->z.axis)) return false;
    out->g_y = wf_side_axis(&out->g, out->y.pixel);
    out->g_z = wf_side_axis(&out->g, out->z.pixel);
    if (out->g_y < 0 || out->g_z < 0 || out->g_y == out->g_z ||
        out->g.coef[out->g_y][out->y.pixel] != 1 || out->g.coef[out->g_z][out->z.pixel] != 1)
        return false;
    out->channel = only_loop(p, &out->x, out->y.tap, out->z.tap);
    out->filter = only_loop(p, &out->g, -1, -1);
    out->images = 1;
    for (int l = p->c->rank; l < p->c->rank + s->n_sum; l++)
        if (l != out->y.pixel && l != out->z.pixel) out->images *= extent(p, s, l);
    return out->channel >= 0 && out->filter >= 0 && out->channel != out->filter;
}

static bool read_source(const wf_contract_plan *p, int i, source *out) {
    return read_as(p, i, 0, out) || read_as(p, i, 1, out);
}

/* Strips of tiles of an image, tiles of a strip; strips of a block, blocks. */
typedef struct cut {
    int64_t strips, tiles, block, blocks;
} cut;

static cut cut_of(const wf_contract_plan *p, int i, const source *s) {
    const wf_contract_source *from = &p->c->source[i];
    cut c = {.strips = ceil_div(extent(p, from, s->y.pixel), 2),
             .tiles = ceil_div(extent(p, from, s->z.pixel), 2)};
    c.block = least(most(1, p->winograd.tiles / c.tiles), s->images * c.strips);
    c.blocks = ceil_div(s->images * c.strips, c.block);
    return c;
}

/* --- the plan --------------------------------------------------------------------------------- */

static int64_t panels_of(const wf_contract_plan *p) {
    return ceil_div(p->c->out[p->winograd.filter], WF_PANEL);
}
static int64_t filter_blocks(const wf_contract_plan *p) {
    return ceil_div(panels_of(p), p->winograd.panels);
}
static int64_t part_floats(const wf_contract_plan *p) {
    const wf_winograd *q = &p->winograd;
    return panels_of(p) * q->products_y * q->products_x * q->channels * WF_PANEL;
}

/* Filters of a piece and parts, with the fewest cycles: V is made for every block of filters, and a
 * part costs memory. Returns whether the cycles are below those of `terms`, for each channel and
 * filter, summed directly. */
static bool choose_pieces(wf_contract_plan *p, double tiles, double terms) {
    wf_winograd *q = &p->winograd;
    const double positions = (double)(q->products_y * q->products_x), c = (double)q->channels;
    const double filters = (double)(ceil_div(q->filters, 16) * 16);
    double best = 0;
    for (int64_t panels = least(PANELS, panels_of(p)); panels > 0; panels /= 2) {
        const int64_t blocks = ceil_div(panels_of(p), panels);
        const int64_t parts = least(least(q->blocks, ceil_div(PIECES, blocks)),
                                    PARTS_MOST / most(1, part_floats(p)));
        const double block = fmin((double)q->tiles, tiles / (double)most(1, parts));
        const double position = c * filters / 32 / WF_WINOGRAD_RATE +
                                c * filters / 16 * ADD / block +
                                c / 16 * WF_WINOGRAD_V * (double)blocks +
                                filters / 16 * WF_WINOGRAD_OUT + WF_WINOGRAD_POSITION;
        const double cycles = tiles * positions * position +
                              (double)parts * positions * c * filters / 16 * PART;
        if (parts < 1 || (best > 0 && cycles >= best)) continue;
        best = cycles;
        q->panels = panels;
        q->parts = parts;
    }
    const double rate = q->channels % 8 || q->filters % 8 ? ODD_RATE : WF_DIRECT_RATE;
    return best > 0 && (wf_winograd_wanted() == WF_WINOGRAD_ALWAYS ||
                        best < terms * c * filters / 32 / rate);
}

bool wf_winograd_sum_plan(wf_contract_plan *p) {
    wf_winograd *q = &p->winograd;
    const int64_t *e = p->c->out;
    double terms = 0, tiles = 0;
    source s;
    if (p->dot || p->cells || p->batch > 1 || p->call->out.dtype != WF_F32 ||
        wf_winograd_wanted() == WF_WINOGRAD_OFF || !read_source(p, 0, &s))
        return false;
    *q = (wf_winograd){.y = s.y.tap, .x = s.z.tap, .channel = s.channel, .filter = s.filter,
                       .taps_y = (int)e[s.y.tap], .taps_x = (int)e[s.z.tap],
                       .channels = e[s.channel], .filters = e[s.filter]};
    q->products_y = wf_filter_products(q->taps_y);
    q->products_x = wf_filter_products(q->taps_x);
    const int64_t row = q->products_x * (q->channels + PANELS * WF_PANEL);
    q->tiles = most(16, least(BLOCK_TILES, BLOCK_FLOATS / row));
    for (int l = 0; l < p->c->rank; l++) /* along others the result would be repeated */
        if (e[l] > 1 && l != q->y && l != q->x && l != q->channel && l != q->filter) return false;
    for (int i = 0; i < p->c->n_sources; i++) {
        if (!read_source(p, i, &s) || s.y.tap != q->y || s.z.tap != q->x ||
            s.channel != q->channel || s.filter != q->filter)
            return false;
        q->tiles_x = most(q->tiles_x, cut_of(p, i, &s).tiles);
    }
    if (q->tiles_x > 4 * BLOCK_TILES) return false;
    q->tiles = most(q->tiles, q->tiles_x);
    for (int i = 0; i < p->c->n_sources; i++) { /* blocks are of q->tiles */
        read_source(p, i, &s);
        const cut c = cut_of(p, i, &s);
        const wf_contract_source *from = &p->c->source[i];
        q->blocks += c.blocks;
        tiles += (double)(s.images * c.strips * c.tiles);
        terms += (double)(q->taps_y * q->taps_x) * (double)s.images *
                 (double)extent(p, from, s.y.pixel) * (double)extent(p, from, s.z.pixel);
    }
    q->on = q->sums = choose_pieces(p, tiles, terms) && wf_winograd_sum_scratch(p) <= SCRATCH_MOST;
    return q->on;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* V and Z of a row of positions, a strip of each; or the taps of a piece. */
int64_t wf_winograd_sum_scratch(const wf_contract_plan *p) {
    const wf_winograd *q = &p->winograd;
    const int64_t filters = q->panels * WF_PANEL;
    return most(TAP_CHANNELS * q->taps_y * q->taps_x * WF_PANEL,
                q->products_x * q->tiles * (q->channels + filters) +
                    (2 * q->tiles_x + q->taps_x - 1) * q->channels + 2 * q->tiles_x * filters +
                    128);
}

/* The parts, and behind them whether something is not finite. */
int64_t wf_winograd_sum_shared(const wf_contract_plan *p) {
    return p->winograd.parts * part_floats(p) + 16;
}

static int *failed_in(const wf_contract_plan *p, float *shared) {
    return (int *)(shared + p->winograd.parts * part_floats(p));
}

/* --- the first phase -------------------------------------------------------------------------- */

typedef struct piece {
    const wf_contract_plan *p;
    const wf_winograd *q;
    const wf_winograd_table *f;
    const wf_tile_table *kernels;
    wf_filter y, x;
    int64_t first_panel, panels;
    int64_t tiles; /* of the block */
    float *v, *z, *row, *pixels;
} piece;

/* Adds the offset of image i of a source to X and G. */
static void find_image(const piece *t, const source *s, int i, int64_t image, const float **x,
                       const float **g) {
    const wf_contract_source *from = &t->p->c->source[i];
    *x = s->x.array->data;
    *g = s->g.array->data;
    for (int j = 0; j < s->x.rank; j++)
        if (j != s->y.axis && j != s->z.axis) *x += s->x.offset[j] * s->x.array->stride[j];
    for (int j = 0; j < s->g.rank; j++) *g += s->g.offset[j] * s->g.array->stride[j];
    for (int l = t->p->c->rank + from->n_sum - 1; l >= t->p->c->rank; l--) {
        if (l == s->y.pixel || l == s->z.pixel) continue;
        const int64_t n = extent(t->p, from, l);
        *x += image % n * s->x.step[l];
        *g += image % n * s->g.step[l];
        image /= n;
    }
}

/* Rows 2 strip and 2 strip + 1 of G, combined by y, zeros behind the last column. */
static void load_pixels(const piece *t, const source *s, int i, const float *g, int64_t strip,
                        const wf_filter_product *y) {
    const wf_contract_source *from = &t->p->c->source[i];
    const int64_t height = extent(t->p, from, s->y.pixel), width = extent(t->p, from, s->z.pixel);
    const int64_t sy = s->g.array->stride[s->g_y], sx = s->g.array->stride[s->g_z];
    const int64_t columns = t->panels * WF_PANEL, first = t->first_panel * WF_PANEL;
    const int64_t n = least(columns, t->q->filters - first), all = 2 * ceil_div(width, 2);
    const bool one = y->y[0] != 0, two = y->y[1] != 0 && 2 * strip + 1 < height;
    const float *a = g + 2 * strip * sy + first, *b = a + sy;
    if (n < columns || width < all || !(one || two))
        memset(t->pixels, 0, (size_t)(all * columns) * sizeof *t->pixels);
    if (one || two)
        t->f->combine(t->pixels, columns, one ? a : b, b, sx, one && two ? y->y[1] : 0, width, n);
}

/* V and Z of row a of positions for strips [first, first + n) of a source. */
static void load(const piece *t, const source *s, int i, int64_t first, int64_t n, int a) {
    const wf_winograd *q = t->q;
    const wf_filter_product *y = &t->y.product[a];
    const cut c = cut_of(t->p, i, s);
    const int64_t columns = t->panels * WF_PANEL, channels = q->channels;
    const wf_array *u = s->x.array;
    wf_winograd_image m = {
        .height = u->shape.dim[s->y.axis], .width = u->shape.dim[s->z.axis],
        .y_step = u->stride[s->y.axis], .x_step = u->stride[s->z.axis], .channels = channels,
        .left = s->x.offset[s->z.axis], .columns = 2 * c.tiles + q->taps_x - 1};
    for (int64_t k = 0; k < n; k++) {
        const int64_t strip = (first + k) % c.strips, tile = k * c.tiles;
        const float *g;
        find_image(t, s, i, (first + k) / c.strips, &m.first, &g);
        wf_winograd_strip(t->f, &m, s->x.offset[s->y.axis] + 2 * strip, y, t->row);
        load_pixels(t, s, i, g, strip, y);
        for (int b = 0; b < t->x.n; b++) {
            const wf_filter_product *x = &t->x.product[b];
            t->f->combine(t->v + (b * t->tiles + tile) * channels, channels,
                          t->row + x->a * channels, t->row + x->b * channels, 2 * channels,
                          x->sign, c.tiles, channels);
            for (int64_t j = 0; j < t->panels; j++)
                t->f->combine(t->z + ((b * t->panels + j) * t->tiles + tile) * WF_PANEL, WF_PANEL,
                              t->pixels + (x->y[0] ? 0 : columns) + j * WF_PANEL,
                              t->pixels + columns + j * WF_PANEL, 2 * columns,
                              x->y[0] ? x->y[1] : 0, c.tiles, WF_PANEL);
        }
    }
}

/* Adds the products of the block to row a of dU. */
static void multiply(const piece *t, int a, float *u, bool add) {
    const wf_winograd *q = t->q;
    const int64_t c = q->channels, groups = ceil_div(c, t->kernels->max_m), zero = 0;
    const int64_t panel = t->y.n * t->x.n * c * WF_PANEL;
    for (int b = 0; b < t->x.n; b++)
        for (int64_t j = 0; j < t->panels; j++) {
            const int64_t n = q->filters - (t->first_panel + j) * WF_PANEL;
            float *to = u + j * panel + (a * t->x.n + b) * c * WF_PANEL;
            for (int64_t k = 0; k < groups; k++) {
                const int64_t first = c * k / groups, rows = c * (k + 1) / groups - first;
                t->kernels->cols[rows][n > 16 ? 2 : 1](
                    t->v + b * t->tiles * c + first, c, &zero,
                    t->z + (b * t->panels + j) * t->tiles * WF_PANEL, WF_PANEL, &zero, 1, t->tiles,
                    to + first * WF_PANEL, WF_PANEL, add);
            }
        }
}

int64_t wf_winograd_sum_pieces(const wf_contract_plan *p) {
    return p->winograd.parts * filter_blocks(p);
}

static void sum_piece(piece *t, int64_t part, float *u) {
    const wf_winograd *q = t->q;
    const int64_t from = q->blocks * part / q->parts, to = q->blocks * (part + 1) / q->parts;
    int64_t block = 0;
    for (int i = 0; i < t->p->c->n_sources && block < to; i++) {
        source s;
        if (!read_source(t->p, i, &s)) return;
        const cut c = cut_of(t->p, i, &s);
        for (int64_t k = 0; k < c.blocks; k++, block++) {
            if (block < from || block >= to) continue;
            const int64_t first = k * c.block, n = least(c.block, s.images * c.strips - first);
            t->tiles = n * c.tiles;
            for (int a = 0; a < t->y.n; a++) {
                load(t, &s, i, first, n, a);
                multiply(t, a, u, block > from);
            }
        }
    }
}

void wf_winograd_sum(const wf_contract_plan *p, int64_t first, int64_t last, float *scratch,
                     float *shared) {
    const wf_winograd *q = &p->winograd;
    const int64_t blocks = filter_blocks(p), panel = part_floats(p) / panels_of(p);
    piece t = {.p = p, .q = q, .f = wf_winograd_get(), .kernels = wf_tile_table_for(wf_isa_get()),
               .y = wf_filter_make(q->taps_y), .x = wf_filter_make(q->taps_x)};
    t.v = scratch;
    t.z = t.v + q->products_x * q->tiles * q->channels;
    t.pixels = t.z + q->products_x * q->tiles * q->panels * WF_PANEL;
    t.row = t.pixels + 2 * q->tiles_x * q->panels * WF_PANEL;
    for (int64_t i = first; i < last; i++) {
        t.first_panel = i % blocks * q->panels;
        t.panels = least(q->panels, panels_of(p) - t.first_panel);
        sum_piece(&t, i / blocks, shared + i / blocks * part_floats(p) + t.first_panel * panel);
        if (i == 0) __atomic_store_n(failed_in(p, shared), 0, __ATOMIC_RELAXED);
    }
}

/* --- the second phase ------------------------------------------------------------------------- */

int64_t wf_winograd_tap_pieces(const wf_contract_plan *p) {
    return panels_of(p) * ceil_div(p->winograd.channels, TAP_CHANNELS);
}

/* Gradients of taps, [channel][tap][filter], into the output: lines of channels or of filters. */
static void store(const wf_contract_plan *p, const float *g, float *out, int64_t channels,
                  int64_t filters) {
    const wf_winograd *q = &p->winograd;
    const int64_t *stride = p->call->out.stride;
    const int64_t sc = stride[q->channel], sf = stride[q->filter];
    const int taps = q->taps_y * q->taps_x;
    const int64_t step = taps * WF_PANEL; /* from one channel to the next */
    for (int t = 0; t < taps; t++, g += WF_PANEL) {
        float *to = out + t / q->taps_x * stride[q->y] + t % q->taps_x * stride[q->x];
        if (sf == 1)
            for (int64_t c = 0; c < channels; c++)
                memcpy(to + c * sc, g + c * step, (size_t)filters * sizeof *g);
        else
            for (int64_t f = 0; f < filters; f++)
                for (int64_t c = 0; c < channels; c++) to[f * sf + c * sc] = g[c * step + f];
    }
}

void wf_winograd_taps(const wf_contract_plan *p, int64_t first, int64_t last, float *scratch,
                      float *shared) {
    const wf_winograd *q = &p->winograd;
    const wf_winograd_table *f = wf_winograd_get();
    const wf_filter y = wf_filter_make(q->taps_y), x = wf_filter_make(q->taps_x);
    const int64_t *stride = p->call->out.stride;
    const int64_t panel = part_floats(p) / panels_of(p), step = y.taps * x.taps * WF_PANEL;
    const int64_t pieces = ceil_div(q->channels, TAP_CHANNELS);
    bool fine = true;
    for (int64_t i = first; i < last; i++) {
        const int64_t column = i / pieces * WF_PANEL, c = i % pieces * TAP_CHANNELS;
        const int64_t filters = least(WF_PANEL, q->filters - column);
        const int64_t channels = least(TAP_CHANNELS, q->channels - c);
        for (int64_t k = 0; k < channels; k++) {
            float *g = scratch + k * step;
            f->taps(&y, &x, shared + i / pieces * panel + (c + k) * WF_PANEL,
                    q->channels * WF_PANEL, q->parts, part_floats(p), g);
            for (int t = 0; t < y.taps * x.taps; t++)
                fine &= f->finite(g + t * WF_PANEL, filters);
        }
        store(p, scratch, (float *)p->call->out.data + c * stride[q->channel] +
                              column * stride[q->filter], channels, filters);
    }
    if (!fine) __atomic_store_n(failed_in(p, shared), 1, __ATOMIC_RELAXED);
}

bool wf_winograd_failed(const wf_contract_plan *p, const float *shared) {
    return __atomic_load_n(failed_in(p, (float *)shared), __ATOMIC_RELAXED) != 0;
}
