/* The pieces of minimal filtering; see contract_winograd.h. Either V of all positions is made first
 * and outputs are stored once, or V of one row of positions after the other, whose products are
 * added to the output: what stays in L2. */
#include "tensor/contract_winograd.h"

#include <string.h>

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* A piece at work. */
typedef struct piece {
    const wf_piece *w;
    const wf_winograd *q;
    const wf_winograd_table *f;
    wf_filter y, x;
    int64_t strips, images, tiles; /* strips of an image */
    float *v, *m, *sums, *row;
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

/* V at row a of positions: of all sources, tiles and positions along x. */
static void load(const piece *t, int a) {
    const wf_winograd *q = t->q;
    const wf_contract_plan *p = t->w->p;
    int64_t before = 0;
    for (int k = 0; k < p->c->n_sources; k++) {
        wf_source_plan sp;
        wf_winograd_source s;
        wf_contract_plan_source(p, k, &sp);
        if (!wf_winograd_read(p, &sp, &s)) return;
        const int64_t top = sp.u.offset[s.y.axis] - (s.y.turned ? q->taps_y - 1 : 0);
        const wf_array *u = sp.u.array;
        wf_winograd_image m = {
            .height = u->shape.dim[s.y.axis], .width = u->shape.dim[s.x.axis],
            .y_step = u->stride[s.y.axis], .x_step = u->stride[s.x.axis], .channels = s.channels,
            .left = sp.u.offset[s.x.axis] - (s.x.turned ? q->taps_x - 1 : 0),
            .columns = 2 * q->tiles_x + q->taps_x - 1};
        int64_t v[WF_MAX_RANK] = {0}; /* of the row loops before y */
        float *to = t->v + before + (q->whole ? a * t->x.n * q->tiles * q->row : 0);
        for (int64_t image = 0; image < t->images; image++) {
            const float *from = sp.u.array->data;
            for (int j = 0; j < sp.u.rank; j++)
                if (j != s.y.axis && j != s.x.axis)
                    from += sp.u.offset[j] * sp.u.array->stride[j];
            for (int l = 0; l < p->n_m - 2; l++)
                from += sp.u.step[p->m_loop[l]] * (t->w->out.lo[p->m_loop[l]] + v[l]);
            m.first = from;
            for (int64_t i = 0; i < t->strips; i++, to += q->tiles_x * q->row) {
                wf_winograd_strip(t->f, &m, top + t->w->out.lo[q->y] + 2 * i, &t->y.product[a],
                                  t->row);
                for (int b = 0; b < t->x.n; b++) {
                    const wf_filter_product *x = &t->x.product[b];
                    t->f->combine(to + b * q->tiles * q->row, q->row, t->row + x->a * s.channels,
                                  t->row + x->b * s.channels, 2 * s.channels, x->sign, q->tiles_x,
                                  s.channels);
                }
            }
            for (int l = p->n_m - 3; l >= 0; l--) {
                if (++v[l] < t->w->out.n[p->m_loop[l]]) break;
                v[l] = 0;
            }
        }
        before += s.channels;
    }
}

/* Where tiles [first, first + n) are in the output, and which of their pixels are not. */
static void place(const piece *t, int64_t first, int64_t n, int64_t *at, uint8_t *edge) {
    const wf_contract_plan *p = t->w->p;
    const int64_t *stride = p->call->out.stride;
    const int64_t height = t->w->out.n[t->q->y], width = p->c->out[t->q->x];
    for (int64_t i = 0; i < n; i++) {
        int64_t image = (first + i) / t->q->tiles_x / t->strips;
        const int64_t y = (first + i) / t->q->tiles_x % t->strips * 2;
        const int64_t x = (first + i) % t->q->tiles_x * 2;
        at[i] = y * stride[t->q->y] + x * stride[t->q->x];
        edge[i] = (uint8_t)((x + 1 >= width) | (y + 1 >= height) << 1);
        for (int l = p->n_m - 3; l >= 0; l--) {
            const int loop = p->m_loop[l];
            at[i] += image % t->w->out.n[loop] * stride[loop];
            image /= t->w->out.n[loop];
        }
    }
}

/* Products of row a of positions for tiles [first, first + n) and a panel of columns. */
static void multiply(const piece *t, int a, int64_t panel, int64_t first, int64_t n, int nv,
                     const float *u) {
    const wf_winograd *q = t->q;
    const int64_t size = q->channels * WF_PANEL, zero = 0;
    wf_tile_fn *product = t->w->kernels->rows[n][nv];
    const float *v = t->v + first * q->row;
    if (q->whole) v += a * t->x.n * q->tiles * q->row;
    for (int b = 0; b < t->x.n; b++, v += q->tiles * q->row) {
        const float *from = u + ((panel * t->y.n + a) * t->x.n + b) * size;
        for (int64_t c = 0; c < q->channels; c += WF_CHUNK_MOVING)
            product(v + c, q->row, &zero, from + c * WF_PANEL, WF_PANEL, &zero, 1,
                    least(WF_CHUNK_MOVING, q->channels - c), t->m + b * WF_TILE_M * WF_PANEL,
                    WF_PANEL, c > 0);
    }
}

/* The outputs of a group of tiles from their sums: pixel by pixel. */
static void store(const piece *t, const wf_winograd_finish *f, float *out, const int64_t *at,
                  const uint8_t *edge) {
    const int64_t *stride = t->w->p->call->out.stride;
    for (int64_t i = 0; i < f->tiles; i++)
        for (int dy = 0; dy < 2 - (edge[i] >> 1); dy++)
            for (int dx = 0; dx < 2 - (edge[i] & 1); dx++)
                memcpy(out + at[i] + dy * stride[t->q->y] + dx * stride[t->q->x],
                       f->out + f->at[i] + dy * f->y_step + dx * f->x_step,
                       (size_t)f->n * sizeof *out);
}

/* Rows [a_first, a_last) of positions, for all tiles and columns of the piece: added to the output,
 * or if they are all of them, in sums that are stored. */
static void compute(const piece *t, int a_first, int a_last, const float *u, float *out) {
    const wf_piece *w = t->w;
    const wf_contract_plan *p = w->p;
    const int64_t groups = ceil_div(t->tiles, w->kernels->max_m);
    static const uint8_t inside[WF_TILE_M];
    wf_winograd_finish f = {.x = &t->x, .m = t->m, .m_step = WF_TILE_M * WF_PANEL};
    int64_t at[WF_TILE_M], at_sums[WF_TILE_M];
    uint8_t edge[WF_TILE_M];
    for (int i = 0; i < WF_TILE_M; i++) at_sums[i] = i * WF_PANEL;
    for (int64_t i = w->first_inner; i < w->last_inner; i++, out += WF_PANEL)
        for (int64_t g = 0; g < groups; g++) {
            const int64_t first = t->tiles * g / groups;
            f.tiles = t->tiles * (g + 1) / groups - first;
            f.n = least(WF_PANEL, p->n - i * WF_PANEL);
            place(t, first, f.tiles, at, edge);
            f.out = t->q->whole ? t->sums : out;
            f.at = t->q->whole ? at_sums : at;
            f.edge = t->q->whole ? inside : edge;
            f.y_step = t->q->whole ? 2 * WF_TILE_M * WF_PANEL : p->call->out.stride[t->q->y];
            f.x_step = t->q->whole ? WF_TILE_M * WF_PANEL : p->call->out.stride[t->q->x];
            for (int a = a_first; a < a_last; a++) {
                multiply(t, a, i, first, f.tiles, f.n > 16 ? 2 : 1, u);
                f.y = &t->y.product[a];
                t->f->finish(&f);
            }
            if (t->q->whole) store(t, &f, out, at, edge);
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
    t.v = scratch;
    t.m = t.v + wf_winograd_v_floats(q);
    t.sums = t.m + q->products_x * WF_TILE_M * WF_PANEL;
    t.row = t.sums + 4 * WF_TILE_M * WF_PANEL;
    out += w->first_inner * WF_PANEL;
    for (int a = 0; a < t.y.n; a++) {
        load(&t, a);
        if (!q->whole) compute(&t, a, a + 1, u, out);
    }
    if (q->whole) compute(&t, 0, t.y.n, u, out);
    return is_finite(&t, out);
}
