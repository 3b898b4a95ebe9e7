/* How a contraction is drawn: output loops with a class (rows, columns, batch or neither), sum
 * loops, and for each operand axes that one or two of its loops move along. Extents are such that
 * blocks, panels, pairs and chunks end in all ways; they are then cut until the terms are few. Half
 * of them are calm: like convolutions and products of dense arrays, which is where the fast paths
 * are. */
#include "tests/fuzz/contraction.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { TERMS = 1 << 14, TERMS_MANY = 1 << 18, ELEMENTS = 1 << 17, WIDE_K = 4000 };

static uint64_t next(uint64_t *state) {
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}
int64_t fuzz_below(uint64_t *state, int64_t n) { return (int64_t)(next(state) % (uint64_t)n); }
bool fuzz_one_in(uint64_t *state, int64_t n) { return fuzz_below(state, n) == 0; }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* --- loops ------------------------------------------------------------------------------------ */

static int64_t draw_extent(uint64_t *state) {
    static const int64_t e[] = {1,  1,  2,  3,  3,  4,  5,  7,  8,  9,  13,
                                16, 17, 24, 31, 32, 33, 40, 48, 64, 65, 100};
    return fuzz_one_in(state, 200) ? 0 : e[fuzz_below(state, WF_COUNT(e))];
}

/* Halves extents other than that of `keep` until a source has few terms. */
static void cut_extents(uint64_t *state, wf_contract_attr *c, wf_contract_source *s,
                        const int64_t *keep, int64_t terms) {
    for (;;) {
        int64_t total = 1, *may[WF_CONTRACT_LOOPS];
        int n = 0;
        for (int l = 0; l < c->rank + s->n_sum; l++) {
            int64_t *e = l < c->rank ? &c->out[l] : &s->sum[l - c->rank];
            total *= most(*e, 1);
            if (e != keep && *e > 1) may[n++] = e;
        }
        if (total <= terms || n == 0) return;
        int64_t *e = may[fuzz_below(state, n)];
        *e = (*e + 1) / 2;
    }
}

/* One loop is sometimes long: of chunks, parts, or blocks of rows. */
static void draw_loops(uint64_t *state, wf_contract_attr *c) {
    const int64_t terms = fuzz_one_in(state, 16) ? TERMS_MANY : TERMS;
    c->rank = (int32_t)fuzz_below(state, 5);
    for (int l = 0; l < c->rank; l++) c->out[l] = draw_extent(state);
    for (int i = 0; i < c->n_sources; i++) {
        wf_contract_source *s = &c->source[i];
        s->n_sum = (int32_t)fuzz_below(state, 5);
        for (int k = 0; k < s->n_sum; k++) s->sum[k] = draw_extent(state);
        const int64_t l = fuzz_below(state, c->rank + s->n_sum + 1);
        int64_t *keep = l < c->rank ? &c->out[l] : &s->sum[l - c->rank];
        if (l == c->rank + s->n_sum || !fuzz_one_in(state, 4)) keep = NULL;
        if (keep) *keep = 100 + fuzz_below(state, fuzz_one_in(state, 4) ? 6000 : 1000);
        cut_extents(state, c, s, keep, terms);
    }
}

/* --- operands --------------------------------------------------------------------------------- */

static int64_t draw_coef(uint64_t *state, bool calm) {
    static const int64_t coef[] = {1, 1, 1, 1, 1, 1, -1, 2, 2, 3, -2};
    if (calm) return fuzz_one_in(state, 16) ? 2 : fuzz_one_in(state, 16) ? -1 : 1;
    if (fuzz_one_in(state, 300)) return INT64_C(1) << (8 + fuzz_below(state, 33));
    return coef[fuzz_below(state, WF_COUNT(coef))];
}

/* An offset and the extent of the axis: mostly such that all terms are inside. */
static int64_t draw_axis(uint64_t *state, const wf_contract_attr *c, const wf_contract_source *s,
                         bool calm, wf_relation *r) {
    int64_t lo = 0, hi = 0;
    for (int i = 0; i < 2; i++) {
        const int l = i ? r->b : r->a;
        if (l < 0) continue;
        const int64_t reach = (i ? r->cb : r->ca) * (wf_loop_extent(c, s, l) - 1);
        *(reach < 0 ? &lo : &hi) += reach;
    }
    r->offset = -lo;
    r->div = (r->b >= 0 || !calm) && fuzz_one_in(state, 8) ? 2 + fuzz_below(state, 2) : 1;
    int64_t n = least((hi + r->offset) / r->div + 1, 8000);
    const bool moved = r->b >= 0 || !calm;
    if (moved && fuzz_one_in(state, 3)) r->offset += fuzz_below(state, 5) - 2;
    if (moved && fuzz_one_in(state, 3)) n += fuzz_below(state, 5) - 2;
    return fuzz_one_in(state, 400) ? 0 : most(n, 1);
}

/* Relations of an operand that depends on these loops, and its shape. */
static int draw_relations(uint64_t *state, const wf_contract_attr *c, const wf_contract_source *s,
                          uint32_t loops, bool calm, wf_relation *r, wf_shape *shape) {
    int order[WF_CONTRACT_LOOPS] = {0}, n = 0, rank = 0;
    const bool shuffled = !calm && fuzz_one_in(state, 3);
    const int n_loops = c->rank + s->n_sum, first = fuzz_one_in(state, 2) ? c->rank : 0;
    for (int i = 0; i < n_loops; i++) {
        const int l = (first + i) % n_loops;
        if (!(loops >> l & 1)) continue;
        const int64_t at = shuffled ? fuzz_below(state, n + 1) : n;
        order[n++] = order[at];
        order[at] = l;
    }
    memset(shape, 0, sizeof *shape);
    for (int i = 0; i < n && rank < WF_MAX_RANK; rank++) {
        wf_relation *to = &r[rank];
        *to = (wf_relation){.ca = draw_coef(state, calm), .a = order[i++], .b = -1};
        if (!calm && fuzz_one_in(state, 24)) {
            to->b = order[fuzz_below(state, n)]; /* a diagonal */
        } else if (i < n && fuzz_one_in(state, calm ? 5 : 3)) {
            const int64_t at = i + fuzz_below(state, n - i);
            to->b = order[at];
            order[at] = order[i++];
        }
        if (to->b == to->a) to->b = -1;
        if (to->b >= 0) to->cb = draw_coef(state, calm);
        shape->dim[rank] = draw_axis(state, c, s, calm, to);
    }
    if (!calm && rank < WF_MAX_RANK && fuzz_one_in(state, 16)) { /* an axis with nothing along it */
        r[rank] = (wf_relation){.a = -1, .b = -1};
        shape->dim[rank] = draw_axis(state, c, s, calm, &r[rank]);
        rank++;
    }
    shape->rank = rank;
    for (int64_t count; (count = wf_shape_count(shape)) > ELEMENTS || count < 0;) {
        int largest = 0;
        for (int j = 0; j < rank; j++)
            if (shape->dim[j] > shape->dim[largest]) largest = j;
        shape->dim[largest] = (shape->dim[largest] + 1) / 2;
    }
    return rank;
}

/* Strides of all kinds: axes in any order in memory and gaps, of an operand also broadcast and
 * flipped axes. Sets the offset of the element with all indices 0; returns the elements up to the
 * last one. */
static int64_t draw_strides(uint64_t *state, wf_array *a, bool operand, int64_t *origin) {
    const int rank = a->shape.rank;
    int order[WF_MAX_RANK] = {0};
    const bool shuffled = fuzz_one_in(state, 4), gaps = fuzz_one_in(state, 4);
    for (int j = 0; j < rank; j++) {
        const int64_t at = shuffled ? fuzz_below(state, j + 1) : j;
        order[j] = order[at];
        order[at] = j;
    }
    int64_t step = fuzz_one_in(state, 12) ? 2 + fuzz_below(state, 2) : 1;
    int64_t first = operand ? fuzz_below(state, 3) : 0, behind = 0;
    for (int i = rank - 1; i >= 0; i--) {
        const int j = order[i];
        const int64_t n = most(a->shape.dim[j], 1);
        const bool broadcast = operand && fuzz_one_in(state, 40);
        const bool flipped = operand && !broadcast && fuzz_one_in(state, 40);
        a->stride[j] = broadcast ? 0 : flipped ? -step : step;
        *(flipped ? &first : &behind) += broadcast ? 0 : (n - 1) * step;
        step = step * n + (gaps ? fuzz_below(state, 4) : 0);
    }
    *origin = first;
    return first + behind + 1;
}

/* Whole numbers of [-most, most], or reals of [-1, 1). */
static void fill(uint64_t *state, const wf_array *a, int64_t most_value) {
    int64_t index[WF_MAX_RANK] = {0};
    if (wf_shape_count(&a->shape) <= 0) return;
    do {
        const double whole = (double)(fuzz_below(state, 2 * most_value + 1) - most_value);
        const double real = (double)fuzz_below(state, 1 << 24) / (1 << 23) - 1;
        wf_set(a, wf_offset(a, index), most_value ? whole : real);
    } while (wf_next_index(&a->shape, index));
}

static void draw_operand(uint64_t *state, fuzz_contraction *f, int i, uint32_t loops, bool calm) {
    wf_contract_source *s = &f->c->source[i / 2];
    wf_array *a = &f->in[i];
    const bool half = f->c->compute && fuzz_one_in(state, 2);
    *(i % 2 ? &s->rank_b : &s->rank_a) =
        draw_relations(state, f->c, s, loops, calm, i % 2 ? s->b : s->a, &a->shape);
    *a = wf_array_dense(NULL, half ? WF_BF16 : WF_F32, &a->shape);
    int64_t origin = 0, n = most(wf_shape_count(&a->shape), 1);
    if (!calm || fuzz_one_in(state, 8)) n = draw_strides(state, a, true, &origin);
    const size_t bytes = (size_t)n * wf_dtype_bytes(a->dtype);
    f->memory[i] = malloc(bytes);
    cr_assert(f->memory[i], "no memory");
    memset(f->memory[i], 0xff, bytes); /* NaN between elements */
    a->data = f->memory[i];
    a->data = wf_at(a, origin);
}

/* --- convolutions with stride 1 --------------------------------------------------------------- */

/* A relation along which a window moves, and an axis that cuts some of it off, or none. */
static int64_t draw_window(uint64_t *state, const wf_contract_attr *c, const wf_contract_source *s,
                           int pixel, int tap, bool turned, wf_relation *r) {
    const int64_t taps = wf_loop_extent(c, s, tap), all = wf_loop_extent(c, s, pixel) + taps - 1;
    const int64_t before = fuzz_below(state, taps + 1), behind = fuzz_below(state, taps + 1);
    *r = (wf_relation){.ca = 1, .a = pixel, .cb = turned ? -1 : 1, .b = tap, .div = 1,
                       .offset = (turned ? taps - 1 : 0) - before};
    return most(1, all - before - behind);
}

static void place_operand(uint64_t *state, fuzz_contraction *f, int i, int rank,
                          const int64_t *dim, int64_t most_value) {
    wf_array *a = &f->in[i];
    const wf_shape shape = wf_shape_make(rank, dim);
    *a = wf_array_dense(NULL, WF_F32, &shape);
    const int64_t gap = fuzz_one_in(state, 3) ? 1 + fuzz_below(state, 5) : 0;
    for (int j = 0; j < rank - 1; j++) /* between pixels */
        a->stride[j] = a->stride[j] / dim[rank - 1] * (dim[rank - 1] + gap);
    const int64_t n = dim[0] * a->stride[0];
    f->memory[i] = malloc((size_t)n * sizeof(float));
    cr_assert(f->memory[i], "no memory");
    memset(f->memory[i], 0xff, (size_t)n * sizeof(float));
    a->data = f->memory[i];
    fill(state, a, most_value);
}

/* Output pixels (image, y, x, column) of sums over (ky, kx, channel). */
static void draw_convolution(uint64_t *state, fuzz_contraction *f, int i, int taps_y, int taps_x) {
    wf_contract_attr *c = f->c;
    wf_contract_source *s = &c->source[i];
    int64_t a[4] = {c->out[0]}, b[4] = {c->out[3], taps_y, taps_x};
    s->n_sum = 3;
    s->sum[0] = taps_y;
    s->sum[1] = taps_x;
    s->sum[2] = a[3] = b[3] = i && fuzz_one_in(state, 2) ? 1 : 12 + fuzz_below(state, 30);
    s->rank_a = s->rank_b = 4;
    s->a[0] = wf_plain(0);
    a[1] = draw_window(state, c, s, 1, 4, fuzz_one_in(state, 2), &s->a[1]);
    a[2] = draw_window(state, c, s, 2, 5, fuzz_one_in(state, 2), &s->a[2]);
    s->a[3] = s->b[3] = wf_plain(6);
    s->b[0] = wf_plain(3);
    s->b[1] = wf_plain(4);
    s->b[2] = wf_plain(5);
    place_operand(state, f, 2 * i, 4, a, 100);
    place_operand(state, f, 2 * i + 1, 4, b, 2);
}

/* Gradients (ky, kx, channel, filter) of sums over (image, y, x), in any order; X and G may be
 * exchanged. */
static void draw_weight_gradient(uint64_t *state, fuzz_contraction *f, int i, bool filters_lead) {
    wf_contract_attr *c = f->c;
    wf_contract_source *s = &c->source[i];
    const int ky = filters_lead ? 1 : 0, channel = filters_lead ? 3 : 2;
    const int filter = filters_lead ? 0 : 3, x = (int)fuzz_below(state, 2);
    wf_relation *rx = x ? s->b : s->a, *rg = x ? s->a : s->b;
    s->n_sum = 3;
    s->sum[0] = 2 + fuzz_below(state, 4);
    s->sum[1] = 14 + fuzz_below(state, 10);
    s->sum[2] = fuzz_one_in(state, 8) ? 100 + fuzz_below(state, 60) : 14 + fuzz_below(state, 10);
    s->rank_a = s->rank_b = 4;
    int64_t to_x[4] = {s->sum[0], 0, 0, c->out[channel]};
    const int64_t to_g[4] = {s->sum[0], s->sum[1], s->sum[2], c->out[filter]};
    rx[0] = rg[0] = wf_plain(4);
    rx[3] = wf_plain(channel);
    for (int j = 1; j < 3; j++) {
        to_x[j] = draw_window(state, c, s, 4 + j, ky + j - 1, fuzz_one_in(state, 20), &rx[j]);
        rg[j] = wf_plain(4 + j);
    }
    rg[3] = wf_plain(filter);
    place_operand(state, f, 2 * i + x, 4, to_x, 100);
    place_operand(state, f, 2 * i + 1 - x, 4, to_g, 2);
}

/* Large enough for minimal filtering (tensor/contract_winograd.h), mostly. */
static void draw_filtering(uint64_t *state, fuzz_contraction *f) {
    wf_contract_attr *c = f->c;
    const int taps_y = 1 + (int)fuzz_below(state, 5), taps_x = 2 + (int)fuzz_below(state, 4);
    const bool gradient = fuzz_one_in(state, 2), filters_lead = fuzz_one_in(state, 2);
    c->rank = 4;
    if (gradient) {
        c->out[filters_lead ? 1 : 0] = taps_y;
        c->out[filters_lead ? 2 : 1] = taps_x;
        c->out[filters_lead ? 0 : 2] = 13 + fuzz_below(state, 25);
        c->out[3] = 13 + fuzz_below(state, 25);
    } else {
        c->out[0] = 1 + fuzz_below(state, 5);
        c->out[1] = 8 + fuzz_below(state, 10);
        c->out[2] = fuzz_one_in(state, 8) ? 100 + fuzz_below(state, 60) : 8 + fuzz_below(state, 10);
        c->out[3] = 12 + fuzz_below(state, 40);
    }
    for (int i = 0; i < c->n_sources; i++)
        if (gradient) draw_weight_gradient(state, f, i, filters_lead);
        else draw_convolution(state, f, i, taps_y, taps_x);
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Classes of the output loops: bit 0, A depends on it; bit 1, B. */
static void draw_source(uint64_t *state, fuzz_contraction *f, int i, const unsigned *uses,
                        bool calm) {
    wf_contract_source *s = &f->c->source[i];
    uint32_t loops[2] = {0, 0};
    for (int l = 0; l < f->c->rank + s->n_sum; l++) {
        unsigned by = l < f->c->rank ? uses[l] : fuzz_one_in(state, 8) ? 1u + (unsigned)l % 2 : 3u;
        if (i > 0 && fuzz_one_in(state, 20)) by &= 1 + (unsigned)fuzz_below(state, 3);
        for (int side = 0; side < 2; side++) loops[side] |= (by >> side & 1) << l;
    }
    int64_t k = 1;
    for (int j = 0; j < s->n_sum; j++) k *= s->sum[j];
    const int wide = (int)fuzz_below(state, 2);
    for (int side = 0; side < 2; side++) {
        draw_operand(state, f, 2 * i + side, loops[side], calm);
        fill(state, &f->in[2 * i + side], side != wide ? 2 : k < WIDE_K ? 500 : 7);
    }
    for (; s->n_guards < 1 && fuzz_one_in(state, 60); s->n_guards++) {
        s->guard[0].r = (wf_relation){.ca = 1, .a = 0, .b = -1};
        if (f->c->rank + s->n_sum == 0) s->guard[0].r = (wf_relation){.a = -1, .b = -1};
        s->guard[0].extent = draw_axis(state, f->c, s, false, &s->guard[0].r);
    }
}

/* Of any kind. */
static void draw_any(uint64_t *state, fuzz_contraction *f) {
    const int n = f->c->n_sources;
    f->c->compute = (int32_t)fuzz_below(state, 3);
    f->c->narrow = f->c->compute && fuzz_one_in(state, 3);
    draw_loops(state, f->c);
    unsigned uses[WF_MAX_RANK];
    const bool calm = fuzz_one_in(state, 2), lanes = fuzz_one_in(state, 10);
    for (int l = 0; l < f->c->rank; l++) {
        static const unsigned class[] = {1, 1, 1, 1, 2, 2, 2, 2, 3, 0};
        uses[l] = lanes ? 3 - 2 * (unsigned)fuzz_one_in(state, 2)
                        : class[fuzz_below(state, fuzz_one_in(state, 4) ? 10 : 8)];
    }
    for (int i = 0; i < n; i++) draw_source(state, f, i, uses, calm);
}

void fuzz_contraction_new(fuzz_contraction *f, uint64_t *state) {
    memset(f, 0, sizeof *f);
    const int n = fuzz_one_in(state, 3) ? 1 + (int)fuzz_below(state, FUZZ_SOURCES) : 1;
    f->c = calloc(1, wf_contract_attr_bytes(n));
    cr_assert(f->c, "no memory");
    f->c->n_sources = n;
    if (fuzz_one_in(state, 5)) draw_filtering(state, f);
    else draw_any(state, f);
    int64_t origin;
    f->out.dtype = f->c->narrow ? WF_BF16 : WF_F32;
    f->out.shape = wf_shape_make(f->c->rank, f->c->out);
    f->out = wf_array_dense(NULL, f->out.dtype, &f->out.shape);
    f->span = wf_shape_count(&f->out.shape);
    if (fuzz_one_in(state, 3)) f->span = draw_strides(state, &f->out, false, &origin);
}

void fuzz_contraction_real(fuzz_contraction *f, uint64_t *state) {
    for (int i = 0; i < 2 * f->c->n_sources; i++) fill(state, &f->in[i], 0);
}

void fuzz_contraction_free(fuzz_contraction *f) {
    for (int i = 0; i < 2 * FUZZ_SOURCES; i++) free(f->memory[i]);
    free(f->c);
}
