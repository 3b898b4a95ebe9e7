/* The nest is walked with two inner loops, chosen for contiguous copies. Indices are linear, so for
 * these two loops the part inside the array is a rectangle, which is copied, and its rim is zeroed;
 * nothing is checked per element. Only a divisor that depends on an inner loop is (strided data
 * gradients). */
#include "tensor/kernels/contract_gather.h"

#include <string.h>

#include "tensor/kernels/cells.h"

/* The inner rectangle: loop 1 around loop 0. */
typedef struct rect {
    int64_t n0, n1, d0, d1, s0, s1;
    int64_t lo0, hi0, lo1, hi1;
} rect;

enum { AT_ONCE = 64 }; /* floats converted in one go */

/* Where rows are copied from and to; offsets are in elements. */
typedef struct ends {
    const wf_nest *g;
    const void *src;
    void *dst;
    const wf_cell_table *cells;
} ends;

static void zero_row(const ends *e, int64_t at, int64_t d0, int64_t n) {
    if (!e->g->to_halves) {
        float *dst = (float *)e->dst + at;
        if (d0 == 1 && n > 0) memset(dst, 0, (size_t)n * sizeof *dst);
        else
            for (int64_t i = 0; i < n; i++) dst[i * d0] = 0;
        return;
    }
    uint16_t *dst = (uint16_t *)e->dst + at;
    for (int64_t i = 0; i < n; i++) dst[i * d0] = 0;
    for (int64_t i = 0; i < n && e->g->lo; i++) dst[i * d0 + e->g->lo] = 0;
}

static void copy_floats(const float *src, int64_t s0, float *dst, int64_t d0, int64_t n) {
    if (d0 == 1 && s0 == 1) {
        if (n == 32) memcpy(dst, src, 32 * sizeof *dst);
        else if (n == 16) memcpy(dst, src, 16 * sizeof *dst);
        else memcpy(dst, src, (size_t)n * sizeof *dst);
    } else {
        for (int64_t i = 0; i < n; i++) dst[i * d0] = src[i * s0];
    }
}

/* Through a row of floats, unless both are contiguous. */
static void narrow_row(const ends *e, const float *src, int64_t s0, uint16_t *dst, int64_t d0,
                       int64_t n) {
    const int64_t lo = e->g->lo;
    if (d0 == 1 && s0 == 1) {
        e->cells->narrow(src, n, dst, lo ? dst + lo : NULL);
        return;
    }
    for (int64_t i = 0; i < n; i += AT_ONCE) {
        float from[AT_ONCE];
        uint16_t to[2][AT_ONCE];
        const int64_t now = n - i < AT_ONCE ? n - i : AT_ONCE;
        for (int64_t k = 0; k < now; k++) from[k] = src[(i + k) * s0];
        e->cells->narrow(from, now, to[0], lo ? to[1] : NULL);
        for (int64_t k = 0; k < now; k++) dst[(i + k) * d0] = to[0][k];
        for (int64_t k = 0; k < now && lo; k++) dst[(i + k) * d0 + lo] = to[1][k];
    }
}

static void copy_row(const ends *e, int64_t at, int64_t d0, int64_t from, int64_t s0, int64_t n) {
    const float *src = (const float *)e->src + from;
    const uint16_t *half = (const uint16_t *)e->src + from;
    float *dst = (float *)e->dst + at;
    uint16_t *to = (uint16_t *)e->dst + at;
    if (!e->g->to_halves && !e->g->from_halves) {
        copy_floats(src, s0, dst, d0, n);
    } else if (!e->g->from_halves) {
        narrow_row(e, src, s0, to, d0, n);
    } else if (e->g->to_halves) {
        if (d0 == 1 && s0 == 1 && n > 0) memcpy(to, half, (size_t)n * sizeof *to);
        else
            for (int64_t i = 0; i < n; i++) to[i * d0] = half[i * s0];
        for (int64_t i = 0; i < n && e->g->lo; i++) to[i * d0 + e->g->lo] = 0;
    } else if (d0 == 1 && s0 == 1) {
        e->cells->widen(half, n, dst);
    } else {
        for (int64_t i = 0; i < n; i++) e->cells->widen(half + i * s0, 1, dst + i * d0);
    }
}

static void copy_rect(const ends *e, const rect *r, int64_t src, int64_t dst) {
    const int64_t lo0 = r->lo0, hi0 = r->hi0 > lo0 ? r->hi0 : lo0, n = hi0 - lo0;
    if (n == r->n0 && r->d0 == 1 && r->s0 == 1 && r->d1 == n && r->s1 == n && r->hi1 > r->lo1) {
        zero_row(e, dst, 1, r->lo1 * n);
        copy_row(e, dst + r->lo1 * n, 1, src + r->lo1 * n, 1, (r->hi1 - r->lo1) * n);
        zero_row(e, dst + r->hi1 * n, 1, (r->n1 - r->hi1) * n);
        return;
    }
    for (int64_t j = 0; j < r->n1; j++, dst += r->d1, src += r->s1) {
        if (j < r->lo1 || j >= r->hi1 || n == 0) {
            zero_row(e, dst, r->d0, r->n0);
            continue;
        }
        if (lo0 > 0) zero_row(e, dst, r->d0, lo0);
        copy_row(e, dst + lo0 * r->d0, r->d0, src + lo0 * r->s0, r->s0, n);
        if (hi0 < r->n0) zero_row(e, dst + hi0 * r->d0, r->d0, r->n0 - hi0);
    }
}

void wf_nest_cut(int64_t num, int64_t coef, int64_t limit, int64_t *lo, int64_t *hi) {
    int64_t above = -num, below = limit - 1 - num; /* above <= coef v <= below */
    if (coef < 0) {
        const int64_t t = above;
        above = -below;
        below = -t;
        coef = -coef;
    }
    if (coef == 1) {
        if (above > *lo) *lo = above;
        if (below + 1 < *hi) *hi = below + 1;
        return;
    }
    const int64_t first = above <= 0 ? -(-above / coef) : (above + coef - 1) / coef;
    const int64_t last = below >= 0 ? below / coef : -((-below + coef - 1) / coef);
    if (first > *lo) *lo = first;
    if (last + 1 < *hi) *hi = last + 1;
}

typedef struct walk {
    wf_nest g; /* loops of extent 1 removed, inner loops last */
    int n_checked, checked[WF_NEST_AXES];
    int64_t step[WF_NEST_LOOPS]; /* source step of each loop over axes without divisor */
} walk;

/* Axes that can leave the array, or have a divisor. */
static void find_checked(walk *w) {
    const wf_nest *g = &w->g;
    w->n_checked = 0;
    for (int j = 0; j < g->n_axes; j++) {
        int64_t lo = g->num[j], hi = g->num[j];
        for (int l = 0; l < g->n_loops; l++) {
            const int64_t reach = g->loop[l].coef[j] * (g->loop[l].extent - 1);
            if (reach < 0) lo += reach;
            else hi += reach;
        }
        if (g->div[j] != 1 || lo < 0 || hi >= g->limit[j]) w->checked[w->n_checked++] = j;
    }
}

/* How good a loop is as the innermost: contiguous on both sides, then on one. */
static int rank_inner(const wf_nest_loop *l, int64_t step, const wf_nest *g) {
    for (int j = 0; j < g->n_axes; j++)
        if (g->div[j] != 1 && l->coef[j]) return 0;
    return 1 + 2 * (step == 1) + 1 * (l->dst == 1) + (l->extent >= 8 ? 4 * (step == 1) : 0);
}

static void move_last(walk *w, int from) {
    const wf_nest_loop l = w->g.loop[from];
    const int64_t s = w->step[from];
    for (int i = from; i + 1 < w->g.n_loops; i++) {
        w->g.loop[i] = w->g.loop[i + 1];
        w->step[i] = w->step[i + 1];
    }
    w->g.loop[w->g.n_loops - 1] = l;
    w->step[w->g.n_loops - 1] = s;
}

static void order_loops(walk *w) {
    int inner = w->g.n_loops - 1, second = -1;
    for (int l = w->g.n_loops - 1; l >= 0; l--)
        if (rank_inner(&w->g.loop[l], w->step[l], &w->g) >
            rank_inner(&w->g.loop[inner], w->step[inner], &w->g))
            inner = l;
    move_last(w, inner);
    for (int l = 0; l + 1 < w->g.n_loops; l++) {
        bool divided = false;
        for (int j = 0; j < w->g.n_axes; j++)
            divided |= w->g.div[j] != 1 && w->g.loop[l].coef[j];
        if (!divided && (second < 0 || w->g.loop[l].extent >= w->g.loop[second].extent)) second = l;
    }
    if (second < 0) { /* all depend on a divisor: one row at a time */
        w->step[w->g.n_loops] = 0;
        w->g.loop[w->g.n_loops++] = (wf_nest_loop){.extent = 1};
    } else {
        move_last(w, second);
    }
    move_last(w, w->g.n_loops - 2);
}

static void start(walk *w, const wf_nest *g) {
    w->g = *g;
    w->g.n_loops = 0;
    for (int l = 0; l < g->n_loops; l++)
        if (g->loop[l].extent != 1) w->g.loop[w->g.n_loops++] = g->loop[l];
    while (w->g.n_loops < 2)
        w->g.loop[w->g.n_loops++] = (wf_nest_loop){.extent = 1};
    for (int l = 0; l < w->g.n_loops; l++) {
        w->step[l] = 0;
        for (int j = 0; j < g->n_axes; j++)
            if (g->div[j] == 1) w->step[l] += w->g.loop[l].coef[j] * g->stride[j];
    }
    order_loops(w);
    find_checked(w);
}

/* The inner rectangle element by element. */
static void copy_slowly(const walk *w, const ends *e, const int64_t *num, int64_t dst) {
    const wf_nest *g = &w->g;
    const wf_nest_loop *l0 = &g->loop[g->n_loops - 1], *l1 = &g->loop[g->n_loops - 2];
    const int64_t last = l0->extent - 1;
    float row[AT_ONCE];
    for (int64_t i = 0; i < l1->extent; i++)
        for (int64_t k = 0; k < l0->extent; k++) {
            int64_t at = 0;
            bool inside = true;
            for (int j = 0; j < g->n_axes && inside; j++) {
                const int64_t v = num[j] + i * l1->coef[j] + k * l0->coef[j];
                inside = v >= 0 && v % g->div[j] == 0 && v / g->div[j] < g->limit[j];
                at += v / g->div[j] * g->stride[j];
            }
            const int64_t to = dst + i * l1->dst + k * l0->dst;
            if (g->from_halves && inside) copy_row(e, to, 1, at, 1, 1);
            else if (g->from_halves) zero_row(e, to, 1, 1);
            else if (!g->to_halves)
                ((float *)e->dst)[to] = inside ? ((const float *)e->src)[at] : 0;
            else row[k % AT_ONCE] = inside ? ((const float *)e->src)[at] : 0;
            if (g->to_halves && !g->from_halves && (k % AT_ONCE == AT_ONCE - 1 || k == last))
                narrow_row(e, row, 1, (uint16_t *)e->dst + to - k % AT_ONCE * l0->dst, l0->dst,
                           k % AT_ONCE + 1);
        }
}

/* The inner rectangle, the outer loops being fixed by num. */
static void copy_inner(const walk *w, const ends *e, const int64_t *num, int64_t dst) {
    const wf_nest *g = &w->g;
    const int i0 = g->n_loops - 1, i1 = i0 - 1;
    const wf_nest_loop *l0 = &g->loop[i0], *l1 = &g->loop[i1];
    rect r = {.n0 = l0->extent, .n1 = l1->extent, .d0 = l0->dst, .d1 = l1->dst,
              .s0 = w->step[i0], .s1 = w->step[i1], .hi0 = l0->extent, .hi1 = l1->extent};
    int64_t at = 0;
    for (int j = 0; j < g->n_axes; j++)
        if (g->div[j] == 1) at += num[j] * g->stride[j];
    for (int c = 0; c < w->n_checked; c++) {
        const int j = w->checked[c];
        const int64_t c0 = l0->coef[j], c1 = l1->coef[j];
        if ((c0 && c1) || (g->div[j] != 1 && (c0 || c1))) {
            copy_slowly(w, e, num, dst);
            return;
        }
        if (c0) {
            wf_nest_cut(num[j], c0, g->limit[j], &r.lo0, &r.hi0);
        } else if (c1) {
            wf_nest_cut(num[j], c1, g->limit[j], &r.lo1, &r.hi1);
        } else if (num[j] < 0 || num[j] % g->div[j] || num[j] / g->div[j] >= g->limit[j]) {
            r.hi0 = r.lo0;
        } else if (g->div[j] != 1) {
            at += num[j] / g->div[j] * g->stride[j];
        }
    }
    if (r.hi0 <= r.lo0 || r.hi1 <= r.lo1) r.lo0 = r.hi0 = r.lo1 = r.hi1 = 0;
    copy_rect(e, &r, at, dst);
}

void wf_nest_copy(const wf_nest *g, const void *src, void *to) {
    walk w;
    const ends e = {.g = g, .src = src, .dst = to, .cells = wf_cells_get()};
    int64_t dst = 0;
    for (int l = 0; l < g->n_loops; l++)
        if (g->loop[l].extent == 0) return;
    start(&w, g);
    const int n_outer = w.g.n_loops - 2;
    int64_t v[WF_NEST_LOOPS] = {0}, num[WF_NEST_AXES];
    memcpy(num, g->num, sizeof num);
    for (;;) {
        copy_inner(&w, &e, num, dst);
        int l = n_outer - 1;
        for (; l >= 0; l--) {
            const wf_nest_loop *p = &w.g.loop[l];
            const bool wrap = ++v[l] == p->extent;
            const int64_t by = wrap ? 1 - p->extent : 1;
            for (int j = 0; j < g->n_axes; j++) num[j] += by * p->coef[j];
            dst += by * p->dst;
            if (!wrap) break;
            v[l] = 0;
        }
        if (l < 0) return;
    }
}
