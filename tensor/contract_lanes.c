/* The choice of lanes, and operands or products in bf16: sums are kept in f32 for at most FLUSH
 * terms and then added up, so that weight gradients over many pixels stay accurate. An operand that
 * is not contiguous along the lane (depthwise filters) is copied so first; only small ones are. */
#include "tensor/contract_lanes.h"

#include <string.h>

#include "tensor/contract_terms.h"
#include "tensor/kernels/cells.h"
#include "tensor/kernels/contract_gather.h"

enum {
    LANES_LEAST = 8,
    BLOCK = 256,
    BLOCK_FEW = 64, /* where there are few positions */
    PIECES = 64,
    FLUSH = 512,
    COPY_MOST = 1 << 18 /* floats */
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The axis of an operand that is the lane; -1 if the lane is not plainly one whole axis. */
static int lane_axis(const wf_relation *r, int rank, const wf_array *array, int lane, int64_t n) {
    int axis = -1;
    for (int j = 0; j < rank; j++) {
        if (r[j].a != lane && r[j].b != lane) continue;
        if (axis >= 0 || !wf_is_plain(&r[j]) || array->shape.dim[j] != n) return -1;
        axis = j;
    }
    return axis;
}

static bool try_loop(wf_lanes *l, const wf_call *call, int loop) {
    const wf_contract_attr *c = call->attr;
    const int64_t n = c->out[loop];
    int64_t floats = 0;
    if (n < LANES_LEAST) return false;
    for (int i = 0; i < c->n_sources; i++) {
        const wf_contract_source *s = &c->source[i];
        int64_t copied = 0;
        int contiguous = 0;
        for (int side = 0; side < 2; side++) {
            const wf_array *a = &call->in[2 * i + side];
            const int axis = s->packed ? -1
                                       : lane_axis(side ? s->b : s->a, side ? s->rank_b : s->rank_a,
                                                   a, loop, n);
            if (axis < 0) return false;
            if (a->stride[axis] == 1) contiguous++;
            else copied += wf_shape_count(&a->shape);
        }
        if (!contiguous || copied > COPY_MOST) return false;
        floats = copied > floats ? copied : floats;
    }
    l->loop = loop;
    l->n = n;
    l->copied = l->floats = ceil_div(floats, 16) * 16;
    l->positions = wf_shape_count(&call->out.shape) / n;
    l->strips = wf_strips_make(l, call);
    l->shared = 0;
    if (l->strips) {
        const int64_t sums = wf_strips_floats(l);
        if (l->parts > 1) l->shared = l->parts * l->units * sums;
        else l->floats += sums;
        return true;
    }
    l->parts = 1;
    l->block = least(n, l->positions < PIECES ? BLOCK_FEW : BLOCK);
    l->n_blocks = ceil_div(n, l->block);
    l->units = l->positions * l->n_blocks;
    return true;
}

bool wf_lanes_make(wf_lanes *l, const wf_contract_plan *p) {
    if (p->m != 1 && p->n != 1) return false;
    if (p->c->narrow && p->c->n_sources > 1) return false; /* rounded once, after all sources */
    for (int i = p->n_batch - 1; i >= 0; i--)
        if (try_loop(l, p->call, p->batch_loop[i])) return true;
    return false;
}

int64_t wf_lanes_pieces(const wf_lanes *l, int phase) {
    const int64_t parts = phase == 1 ? l->parts : 1;
    return phase == 0 || (phase == 1 && parts == 1) ? 0 : least(parts * l->units, PIECES);
}

/* An operand, from the first lane of the unit on. */
typedef struct operand {
    const void *data;
    bool halves; /* bf16, else f32 */
} operand;

/* One position being summed. */
typedef struct state {
    wf_lanes_fn *kernel;
    const wf_cell_table *cells;
    operand a, b;
    bool rounded;           /* f32 operands are rounded to bf16 */
    int64_t lanes, pending; /* terms in `part` */
    float part[BLOCK], sum[BLOCK];
} state;

static void flush(state *s) {
    for (int64_t i = 0; i < s->lanes; i++) s->sum[i] += s->part[i];
    memset(s->part, 0, sizeof s->part);
    s->pending = 0;
}

/* The lanes at an offset as they are multiplied: in place, or in `room`. */
static const float *lanes_at(const state *s, const operand *x, int64_t at, float *room) {
    if (x->halves) {
        s->cells->widen((const uint16_t *)x->data + at, s->lanes, room);
    } else if (s->rounded) {
        s->cells->round((const float *)x->data + at, s->lanes, room);
    } else {
        return (const float *)x->data + at;
    }
    return room;
}

static void add_terms(state *s, int64_t a, int64_t step_a, int64_t b, int64_t step_b, int64_t n) {
    static const int64_t start[] = {0};
    float x[BLOCK], y[BLOCK];
    for (int64_t i = 0; i < n; i++)
        s->kernel(&(wf_strip){.rows = 1, .lanes = s->lanes, .n_seg = 1, .len = 1,
                              .a = lanes_at(s, &s->a, a + i * step_a, x),
                              .b = lanes_at(s, &s->b, b + i * step_b, y), .a_seg = start,
                              .b_seg = start, .c = s->part, .add = true});
}

static void add_run(void *user, int64_t a, int64_t step_a, int64_t b, int64_t step_b, int64_t n) {
    state *s = user;
    while (n > 0) {
        const int64_t now = least(n, FLUSH - s->pending);
        add_terms(s, a, step_a, b, step_b, now);
        s->pending += now;
        a += now * step_a;
        b += now * step_b;
        n -= now;
        if (s->pending == FLUSH) flush(s);
    }
}

/* The array with the lane innermost, copied to dst; the next free float is returned. */
static float *copy_along_lane(wf_array *a, int axis, float *dst) {
    wf_nest g;
    memset(&g, 0, sizeof g);
    int64_t stride[WF_MAX_RANK] = {0}, size = a->shape.dim[axis];
    stride[axis] = 1;
    for (int j = a->shape.rank - 1; j >= 0; j--) {
        if (j == axis) continue;
        stride[j] = size;
        size *= a->shape.dim[j];
    }
    g.n_axes = g.n_loops = a->shape.rank;
    g.from_halves = a->dtype == WF_BF16;
    for (int j = 0; j < a->shape.rank; j++) {
        g.div[j] = 1;
        g.limit[j] = a->shape.dim[j];
        g.stride[j] = a->stride[j];
        g.loop[j].extent = a->shape.dim[j];
        g.loop[j].dst = stride[j];
        g.loop[j].coef[j] = 1;
    }
    wf_nest_copy(&g, a->data, dst);
    memcpy(a->stride, stride, sizeof stride);
    a->data = dst;
    a->dtype = WF_F32;
    return dst + size;
}

/* Values of the output loops at a position, the lane at 0. */
static void decode(const wf_contract_attr *c, int lane, int64_t position, int64_t *o) {
    for (int l = c->rank - 1; l >= 0; l--) {
        o[l] = l == lane ? 0 : position % c->out[l];
        if (l != lane) position /= c->out[l];
    }
}

static operand operand_of(const wf_array *x, int64_t lane) {
    const bool halves = x->dtype == WF_BF16;
    return (operand){(const char *)x->data + lane * (halves ? 2 : 4), halves};
}

/* Units [first, last) of one source; all but the first add to the output. */
static void run_source(const wf_lanes *l, const wf_call *call, int source, const wf_array *in,
                       int64_t first, int64_t last) {
    const wf_contract_attr *c = call->attr;
    wf_terms e;
    wf_terms_prepare(&e, c, source, in);
    state st = {.kernel = wf_tile_table_for(wf_isa_get())->lanes, .cells = wf_cells_get(),
                .rounded = c->compute == WF_COMPUTE_BF16};
    for (int64_t i = first; i < last; i++) {
        int64_t o[WF_MAX_RANK];
        decode(c, l->loop, i / l->n_blocks, o);
        const int64_t lane = i % l->n_blocks * l->block;
        const int64_t at = wf_offset(&call->out, o) + lane * call->out.stride[l->loop];
        st.a = operand_of(&in[0], lane);
        st.b = operand_of(&in[1], lane);
        st.lanes = least(l->block, l->n - lane);
        memset(st.sum, 0, sizeof st.sum);
        flush(&st);
        wf_terms_each(&e, o, add_run, &st);
        flush(&st);
        for (int64_t k = 0; k < st.lanes; k++) {
            const int64_t to_k = at + k * call->out.stride[l->loop];
            float *to = (float *)call->out.data + to_k;
            uint16_t *half = (uint16_t *)call->out.data + to_k;
            if (c->narrow) st.cells->narrow(&st.sum[k], 1, half, NULL);
            else *to = source ? *to + st.sum[k] : st.sum[k];
        }
    }
}

void wf_lanes_run(const wf_lanes *l, const wf_call *call, int phase, int64_t first, int64_t last,
                  void *scratch, void *shared) {
    const wf_contract_attr *c = call->attr;
    const int64_t pieces = wf_lanes_pieces(l, phase);
    const int64_t units = l->units * (phase == 1 ? l->parts : 1);
    const int64_t from = units / pieces * first + least(first, units % pieces);
    const int64_t to = units / pieces * last + least(last, units % pieces);
    if (phase == 2 && l->parts > 1) {
        wf_strips_add(l, call, from, to, shared);
        return;
    }
    for (int i = 0; i < c->n_sources; i++) {
        const wf_contract_source *s = &c->source[i];
        wf_array in[2] = {call->in[2 * i], call->in[2 * i + 1]};
        float *room = scratch;
        for (int side = 0; side < 2; side++) {
            const int axis = lane_axis(side ? s->b : s->a, side ? s->rank_b : s->rank_a, &in[side],
                                       l->loop, l->n);
            if (in[side].stride[axis] != 1) room = copy_along_lane(&in[side], axis, room);
        }
        if (l->strips)
            wf_strips_run(l, call, i, in, from, to, (float *)scratch + l->copied, shared);
        else run_source(l, call, i, in, from, to);
    }
}
