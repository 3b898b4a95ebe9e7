/* The pieces of minimal filtering; see contract_winograd.h. One row of positions comes after the
 * other, so that V, U and the output stay in L2: its products are added to the output. (All
 * positions of a panel of columns at once, so that outputs are stored once: no faster at 64 to 256
 * channels of 3 x 3, 10 to 40 % slower elsewhere.) */
#include "tensor/contract_winograd.h"

#include <string.h>

enum { CHUNK = 128 }; /* channels summed in registers, at most */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* What tiles are loaded from. */
typedef struct operand {
    wf_winograd_image image;   /* without its first pixel */
    const float *first;        /* of the piece's first image */
    int64_t top;               /* row of the first window of the piece */
    int64_t step[WF_MAX_RANK]; /* of the row loops before y */
} operand;

/* A piece at work. */
typedef struct piece {
    const wf_piece *w;
    const wf_winograd *q;
    const wf_winograd_table *f;
    wf_filter y, x;
    int64_t strips, images, tiles; /* strips of an image */
    operand from[WF_WINOGRAD_SOURCES];
    float *v, *m, *row;
    int64_t *at;   /* (tiles) */
    uint8_t *edge; /* (tiles) */
} piece;

void wf_winograd_strip(const wf_winograd_table *f, const wf_winograd_image *m, int64_t top,
                       const wf_filter_product *y, float *to) {
    const int64_t c = m->channels, n = m->columns;
    const int64_t first = m->left < 0 ? least(n, -m->left) : 0;
    const int64_t last = most(first, least(n, m->width - m->left));
    const int64_t ya = top + y->a, yb = top + y->b;
    const bool a = ya >= 0 && ya < m->height, b = y->sign != 0 && yb >= 0 && yb < m->height;
    const float *from = m->first + (m->left + first) * m->x_step;
    memset(to, 0, (size_t)(first * c) * sizeof *to);
    memset(to + last * c, 0, (size_t)((n - last) * c) * sizeof *to);
    to += first * c;
    if (!a && !b) memset(to, 0, (size_t)((last - first) * c) * sizeof *to);
    else if (a && m->x_step == c)
        f->combine(to, 0, from + ya * m->y_step, from + yb * m->y_step, 0, b ? y->sign : 0, 1,
                   (last - first) * c);
    else if (a)
        f->combine(to, c, from + ya * m->y_step, from + yb * m->y_step, m->x_step,
                   b ? y->sign : 0, last - first, c);
    else
        for (int64_t i = 0; i < last - first; i++, to += c, from += m->x_step)
            for (int64_t k = 0; k < c; k++) to[k] = (float)y->sign * from[yb * m->y_step + k];
}

/* Source i of the piece. */
static operand find(const piece *t, int i) {
    const wf_winograd *q = t->q;
    const wf_contract_plan *p = t->w->p;
    wf_source_plan sp;
    wf_winograd_source s;
    wf_contract_plan_source(p, i, &sp);
    wf_winograd_read(p, &sp, &s); /* as it was planned */
    const wf_array *u = sp.u.array;
    operand o = {
        .image = {.height = u->shape.dim[s.y.axis], .width = u->shape.dim[s.x.axis],
                  .y_step = u->stride[s.y.axis], .x_step = u->stride[s.x.axis],
                  .channels = s.channels,
                  .left = sp.u.offset[s.x.axis] - (s.x.turned ? q->taps_x - 1 : 0),
                  .columns = 2 * q->tiles_x + q->taps_x - 1},
        .first = u->data,
        .top = sp.u.offset[s.y.axis] - (s.y.turned ? q->taps_y - 1 : 0) + t->w->out.lo[q->y]};
    for (int j = 0; j < sp.u.rank; j++)
        if (j != s.y.axis && j != s.x.axis) o.first += sp.u.offset[j] * u->stride[j];
    for (int l = 0; l < p->n_m - 2; l++) {
        o.step[l] = sp.u.step[p->m_loop[l]];
        o.first += o.step[l] * t->w->out.lo[p->m_loop[l]];
    }
    return o;
}

/* Offset of an image of the piece, by the steps of the row loops before y. */
static int64_t image_at(const piece *t, int64_t image, const int64_t *step) {
    const wf_contract_plan *p = t->w->p;
    int64_t at = 0;
    for (int l = p->n_m - 3; l >= 0; l--) {
        const int64_t n = t->w->out.n[p->m_loop[l]];
        at += image % n * step[l];
        image /= n;
    }
    return at;
}

/* V at row a of positions: of all sources, tiles and positions along x. */
static void load(piece *t, int a) {
    const wf_winograd *q = t->q;
    int64_t before = 0;
    for (int k = 0; k < t->w->p->c->n_sources; k++) {
        operand *o = &t->from[k];
        const int64_t c = o->image.channels;
        float *to = t->v + before;
        for (int64_t image = 0; image < t->images; image++) {
            o->image.first = o->first + image_at(t, image, o->step);
            for (int64_t i = 0; i < t->strips; i++, to += q->tiles_x * q->row) {
                wf_winograd_strip(t->f, &o->image, o->top + 2 * i, &t->y.product[a], t->row);
                for (int b = 0; b < t->x.n; b++) {
                    const wf_filter_product *x = &t->x.product[b];
                    t->f->combine(to + b * q->tiles * q->row, q->row, t->row + x->a * c,
                                  t->row + x->b * c, 2 * c, x->sign, q->tiles_x, c);
                }
            }
        }
        before += c;
    }
}

/* Where the tiles are in the output, and which of their pixels are not. */
static void place(const piece *t) {
    const wf_contract_plan *p = t->w->p;
    const int64_t *stride = p->call->out.stride;
    const int64_t height = t->w->out.n[t->q->y], width = p->c->out[t->q->x];
    int64_t *at = t->at, step[WF_MAX_RANK];
    uint8_t *edge = t->edge;
    for (int l = 0; l < p->n_m - 2; l++) step[l] = stride[p->m_loop[l]];
    for (int64_t image = 0; image < t->images; image++) {
        const int64_t first = image_at(t, image, step);
        for (int64_t y = 0; y < height; y += 2)
            for (int64_t x = 0; x < width; x += 2) {
                *at++ = first + y * stride[t->q->y] + x * stride[t->q->x];
                *edge++ = (uint8_t)((x + 1 >= width) | (y + 1 >= height) << 1);
            }
    }
}

/* Products of row a of positions for tiles [first, first + n) and a panel of columns. */
static void multiply(const piece *t, int a, int64_t panel, int64_t first, int64_t n, int nv,
                     const float *u) {
    const wf_winograd *q = t->q;
    const int64_t size = q->channels * WF_PANEL, zero = 0;
    const int64_t chunk = ceil_div(q->channels, ceil_div(q->channels, CHUNK));
    wf_tile_fn *product = t->w->kernels->rows[n][nv];
    const float *v = t->v + first * q->row;
    u += (panel * t->y.n + a) * t->x.n * size;
    for (int b = 0; b < t->x.n; b++, v += q->tiles * q->row, u += size)
        for (int64_t c = 0; c < q->channels; c += chunk)
            product(v + c, q->row, &zero, u + c * WF_PANEL, WF_PANEL, &zero, 1,
                    least(chunk, q->channels - c), t->m + b * WF_TILE_M * WF_PANEL, WF_PANEL,
                    c > 0);
}

/* Row a of positions for all tiles and columns of the piece, added to the output. */
static void compute(const piece *t, int a, const float *u, float *out) {
    const wf_piece *w = t->w;
    const wf_contract_plan *p = w->p;
    const int64_t groups = ceil_div(t->tiles, w->kernels->max_m);
    wf_winograd_finish f = {.x = &t->x, .y = &t->y.product[a], .m = t->m,
                            .m_step = WF_TILE_M * WF_PANEL,
                            .y_step = p->call->out.stride[t->q->y],
                            .x_step = p->call->out.stride[t->q->x]};
    for (int64_t i = w->first_inner; i < w->last_inner; i++, out += WF_PANEL)
        for (int64_t g = 0; g < groups; g++) {
            const int64_t first = t->tiles * g / groups;
            f.tiles = t->tiles * (g + 1) / groups - first;
            f.n = least(WF_PANEL, p->n - i * WF_PANEL);
            f.out = out;
            f.at = t->at + first;
            f.edge = t->edge + first;
            multiply(t, a, i, first, f.tiles, f.n > 16 ? 2 : 1, u);
            t->f->finish(&f);
        }
}

/* True if the piece's part of the output is finite. */
static bool is_finite(const piece *t, const float *out) {
    const wf_piece *w = t->w;
    const int64_t n = least(w->p->n, w->last_inner * WF_PANEL) - w->first_inner * WF_PANEL;
    for (int64_t row = 0; row < w->rows; row++)
        if (!t->f->finite(out + w->m_out[row], n)) return false;
    return true;
}

bool wf_winograd_piece(const wf_piece *w, const float *u, float *scratch, float *out) {
    const wf_winograd *q = &w->p->winograd;
    piece t = {.w = w, .q = q, .f = wf_winograd_get(), .y = wf_filter_make(q->taps_y),
               .x = wf_filter_make(q->taps_x), .strips = ceil_div(w->out.n[q->y], 2), .images = 1};
    for (int l = 0; l < w->p->n_m - 2; l++) t.images *= w->out.n[w->p->m_loop[l]];
    t.tiles = t.images * t.strips * q->tiles_x;
    t.at = (int64_t *)scratch;
    t.edge = (uint8_t *)(t.at + q->tiles);
    t.v = scratch + 3 * q->tiles;
    t.m = t.v + q->products_x * q->tiles * q->row;
    t.row = t.m + q->products_x * WF_TILE_M * WF_PANEL;
    out += w->first_inner * WF_PANEL;
    for (int k = 0; k < w->p->c->n_sources; k++) t.from[k] = find(&t, k);
    place(&t);
    for (int a = 0; a < t.y.n; a++) {
        load(&t, a);
        compute(&t, a, u, out);
    }
    return is_finite(&t, out);
}
