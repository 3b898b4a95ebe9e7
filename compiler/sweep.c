/* Launches of groups: members and their operands become windows over one space, whose axes are
 * merged where all windows step evenly; what is left is rows and columns and outer axes.
 *
 * Values between members have no storage. An output takes the storage of an operand that dies in
 * the group and is read element for element. The number of pieces depends on sizes only. */
#include <stdlib.h>
#include <string.h>

#include "compiler/plan.h"
#include "tensor/elementwise.h"
#include "tensor/size.h"

enum { WINDOWS = WF_GROUP_OPERANDS + WF_GROUP_OUTPUTS, PIECE_BYTES = 64 * 1024 };

/* An operand or output over the space. */
typedef struct window {
    uint32_t node;         /* the operand, or the member that it is */
    uint32_t storage;
    int64_t offset;        /* bytes */
    wf_dtype dtype;
    int64_t stride[WF_MAX_RANK];
} window;

typedef struct weaver {
    wf_planner *q;
    const wf_fusion *f;
    uint32_t id;           /* of the group */
    const uint32_t *member;
    uint32_t n;
    wf_shape space;
    uint16_t number[WF_GROUP_STEPS]; /* value number of member i */
    window w[WINDOWS];     /* operands, then outputs */
    uint32_t n_in, n_out;
    wf_group group;
} weaver;

static const wf_node *node_of(const weaver *v, uint32_t id) {
    return wf_graph_node(v->q->graph, id);
}

/* --- windows ---------------------------------------------------------------------------------- */

/* A value of shape `own`, broadcast to `shape`, which the space refines. */
static void spread(const weaver *v, const wf_shape *shape, const wf_value *x, const wf_shape *own,
                   int64_t *stride) {
    const int lead = shape->rank - own->rank;
    int axis = shape->rank - 1;
    int64_t used = 1; /* part of the axis that inner axes of the space have taken */
    for (int j = v->space.rank - 1; j >= 0; j--) {
        while (axis >= 0 && used == shape->dim[axis]) {
            axis--;
            used = 1;
        }
        const int at = axis - lead;
        const bool moves = axis >= 0 && at >= 0 && own->dim[at] > 1 && v->space.dim[j] > 1;
        stride[j] = moves ? x->stride[at] * used : 0;
        used *= v->space.dim[j];
    }
}

static window window_of(const weaver *v, uint32_t member, uint32_t node) {
    const wf_type *t = &node_of(v, node)->type;
    const wf_value *x = &v->q->value[node];
    window w = {.node = node, .storage = x->storage, .offset = x->offset, .dtype = t->dtype};
    spread(v, &node_of(v, member)->type.shape, x, &t->shape, w.stride);
    return w;
}

static bool same_window(const window *a, const window *b) {
    return a->storage == b->storage && a->offset == b->offset && a->dtype == b->dtype &&
           memcmp(a->stride, b->stride, sizeof a->stride) == 0;
}

/* Index among members, -1 if the node is none. */
static int member_index(const weaver *v, uint32_t node) {
    if (v->f->group[node] != v->id) return -1;
    uint32_t lo = 0, hi = v->n;
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (v->member[mid] < node) lo = mid + 1;
        else hi = mid;
    }
    return (int)lo;
}

static bool add_operand(weaver *v, uint32_t member, uint32_t node) {
    const window w = window_of(v, member, node);
    for (uint32_t i = 0; i < v->n_in; i++)
        if (same_window(&v->w[i], &w)) return true;
    if (v->n_in == WF_GROUP_OPERANDS) return false;
    v->w[v->n_in++] = w;
    return true;
}

static bool find_operands(weaver *v) {
    for (uint32_t i = 0; i < v->n; i++) {
        const uint32_t *in = wf_node_in(v->q->graph, v->member[i]);
        for (uint32_t k = 0; k < node_of(v, v->member[i])->n_in; k++)
            if (member_index(v, v->f->base[in[k]]) < 0 && !add_operand(v, v->member[i], in[k]))
                return false;
    }
    return true;
}

/* --- where outputs go ------------------------------------------------------------------------- */

/* True if a kernel that works by rows makes the value: it may be a tile, which is no storage. */
static bool may_be_tile(const weaver *v, uint32_t id) {
    const wf_fast *fast = node_of(v, v->q->owner[id])->op->fast;
    return !(v->q->off & WF_PASS_CHAIN) && fast && fast->by_rows;
}

/* True if a kernel whose result the group reads needs the storage as a whole: written block by
 * block, it would keep the two from being a chain. */
static bool read_by_kernel(const weaver *v, uint32_t storage) {
    for (uint32_t i = 0; i < v->n_in; i++) {
        const uint32_t id = v->q->owner[v->w[i].node];
        for (uint32_t k = 0; may_be_tile(v, id) && k < node_of(v, id)->n_in; k++)
            if (v->q->value[wf_node_in(v->q->graph, id)[k]].storage == storage) return true;
    }
    return false;
}

/* An operand whose storage the output `id` may take; 0: none. */
static uint32_t find_dying(const weaver *v, uint32_t id) {
    const uint32_t when = v->f->when[id];
    for (uint32_t i = 0; i < v->n_in; i++) {
        if (may_be_tile(v, v->w[i].node) || read_by_kernel(v, v->w[i].storage)) continue;
        bool alone = wf_plan_dying(v->q, v->w[i].node, when, &node_of(v, id)->type);
        for (uint32_t k = 0; k < v->n_in + v->n_out && alone; k++)
            alone = k == i || v->w[k].storage != v->w[i].storage;
        if (alone) return v->w[i].storage;
    }
    return 0;
}

static wf_status find_outputs(weaver *v) {
    wf_planner *q = v->q;
    for (uint32_t i = 0; i < v->n; i++) {
        const uint32_t id = v->member[i];
        const wf_type *t = &node_of(v, id)->type;
        if (!v->f->stored[id]) continue;
        if (v->n_out == WF_GROUP_OUTPUTS) return wf_fail(WF_INTERNAL, "a group is too large");
        q->value[id] = q->home[id];
        if (!q->home[id].storage) {
            uint32_t s = q->off & WF_PASS_INPLACE ? 0 : find_dying(v, id);
            size_t bytes = 0;
            wf_type_bytes(t->dtype, &t->shape, &bytes);
            if (!s && !(s = wf_plan_storage(q->plan, WF_WHERE_ARENA, bytes, NULL)))
                return WF_MEMORY;
            q->value[id] = wf_value_dense(s, t);
        }
        v->w[v->n_in + v->n_out++] = window_of(v, id, id);
    }
    return WF_OK;
}

/* --- axes ------------------------------------------------------------------------------------- */

/* Merges axes where every window steps evenly; leaves at least two: rows and columns. The columns
 * are one column if some window does not lie in a run along the innermost axis. */
static void merge_axes(weaver *v) {
    const uint32_t n = v->n_in + v->n_out;
    const wf_shape from = v->space;
    wf_shape *to = &v->space;
    *to = (wf_shape){0};
    for (int j = 0; j < from.rank; j++) {
        if (from.dim[j] == 1) continue;
        bool even = to->rank > 0;
        for (uint32_t i = 0; i < n && even; i++)
            even = v->w[i].stride[to->rank - 1] == v->w[i].stride[j] * from.dim[j];
        const int at = even ? to->rank - 1 : to->rank++;
        to->dim[at] = even ? to->dim[at] * from.dim[j] : from.dim[j];
        for (uint32_t i = 0; i < n; i++) v->w[i].stride[at] = v->w[i].stride[j];
    }
    bool runs = to->rank > 0;
    for (uint32_t i = 0; i < n && runs; i++) {
        const int64_t s = v->w[i].stride[to->rank - 1];
        runs = s == 0 || s == 1;
    }
    if (!runs) {
        to->dim[to->rank] = 1;
        for (uint32_t i = 0; i < n; i++) v->w[i].stride[to->rank] = 0;
        to->rank++;
    }
    if (to->rank == 1) {
        to->dim[1] = to->dim[0];
        to->dim[0] = 1;
        for (uint32_t i = 0; i < n; i++) {
            v->w[i].stride[1] = v->w[i].stride[0];
            v->w[i].stride[0] = 0;
        }
        to->rank = 2;
    }
}

/* --- the group -------------------------------------------------------------------------------- */

static uint16_t value_number(const weaver *v, uint32_t member, uint32_t in) {
    const int k = member_index(v, v->f->base[in]);
    if (k >= 0) return v->number[k];
    const window w = window_of(v, member, in);
    uint16_t i = 0;
    while (!same_window(&v->w[i], &w)) i++;
    return i;
}

static void add_step(weaver *v, uint32_t i) {
    const uint32_t id = v->member[i], *in = wf_node_in(v->q->graph, id);
    const wf_node *x = node_of(v, id);
    wf_group *g = &v->group;
    wf_group_step *s = &g->step[g->n_step++];
    *s = (wf_group_step){.op = x->op, .dtype = x->type.dtype};
    while (s->n_in < x->n_in) {
        s->in[s->n_in] = value_number(v, id, in[s->n_in]);
        s->n_in++;
    }
    v->number[i] = (uint16_t)(v->n_in + g->n_step - 1);
}

static wf_group_place place_of(const weaver *v, const window *w) {
    const int r = v->space.rank;
    return (wf_group_place){w->dtype, w->stride[r - 2], w->stride[r - 1]};
}

/* Before axes are merged: windows are compared by their strides. */
static void make_steps(weaver *v) {
    wf_group *g = &v->group;
    g->n_in = (uint16_t)v->n_in;
    for (uint32_t i = 0; i < v->n; i++) add_step(v, i);
    for (uint32_t i = 0; i < v->n; i++)
        if (v->f->stored[v->member[i]]) g->out_value[g->n_out++] = v->number[i];
}

static void make_places(weaver *v) {
    wf_group *g = &v->group;
    for (uint32_t i = 0; i < v->n_in; i++) g->in[i] = place_of(v, &v->w[i]);
    for (uint32_t k = 0; k < v->n_out; k++) g->out[k] = place_of(v, &v->w[v->n_in + k]);
}

/* --- kernels ---------------------------------------------------------------------------------- */

static uint64_t hash_text(const char *text) {
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *text; text++) h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return h;
}

/* The kernel with the group's text, new if there is none. */
static wf_status find_kernel(wf_plan *p, wf_group *g, uint32_t *kernel) {
    const size_t n = wf_group_text(g, NULL, 0);
    char *text = malloc(n + 1);
    if (!text || !wf_plan_room((void **)&p->kernel, &p->kernel_cap, p->n_kernel, 1,
                               sizeof *p->kernel)) {
        free(text);
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    }
    wf_group_text(g, text, n + 1);
    const uint64_t hash = hash_text(text);
    for (uint32_t i = 0; i < p->n_kernel; i++)
        if (p->kernel[i].hash == hash && strcmp(p->kernel[i].text, text) == 0) {
            free(text);
            *kernel = i;
            return WF_OK;
        }
    wf_group_prepare(g);
    const size_t scratch = wf_group_scratch(g);
    if (scratch > p->scratch_bytes) p->scratch_bytes = scratch;
    *kernel = p->n_kernel++;
    p->kernel[*kernel] = (wf_kernel){.group = *g, .hash = hash, .text = text};
    return WF_OK;
}

wf_status wf_plan_code(wf_plan *p, wf_code_mode mode) {
    const wf_group **group = malloc((p->n_kernel + 1) * sizeof *group);
    if (!group) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    for (uint32_t i = 0; i < p->n_kernel; i++) group[i] = &p->kernel[i].group;
    const wf_status s = wf_code_request(&p->code, group, p->n_kernel, mode);
    free(group);
    return s;
}

/* --- the launch ------------------------------------------------------------------------------- */

uint64_t wf_bytes_seen(const wf_array *a) {
    uint64_t n = wf_dtype_bytes(a->dtype);
    for (int i = 0; i < a->shape.rank; i++)
        if (a->stride[i] != 0) n *= (uint64_t)a->shape.dim[i];
    return n;
}

uint64_t wf_sweep_bytes(const wf_plan *p, const wf_launch *l, uint32_t row) {
    const uint32_t at = p->sweep[l->group - 1 + row].array;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < (uint32_t)l->call.n_in + l->n_out; i++)
        if (p->storage[p->operand[at + i].storage].where != WF_WHERE_TILE)
            sum += wf_bytes_seen(&p->array[at + i]);
    return sum;
}

static uint64_t type_bytes(const weaver *v, uint32_t id) {
    const wf_type *t = &node_of(v, id)->type;
    size_t bytes = 0;
    wf_type_bytes(t->dtype, &t->shape, &bytes);
    return bytes;
}

/* What the members would move one by one. A constant of equal elements is one number. */
static uint64_t bytes_alone(const weaver *v) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        const uint32_t id = v->member[i], *in = wf_node_in(v->q->graph, id);
        sum += type_bytes(v, id);
        for (uint32_t k = 0; k < node_of(v, id)->n_in; k++) {
            double value;
            sum += wf_uniform_value(v->q->graph, in[k], &value)
                       ? wf_dtype_bytes(node_of(v, in[k])->type.dtype)
                       : type_bytes(v, in[k]);
        }
    }
    return sum;
}

static void cut_pieces(wf_sweep *s, const wf_group *g, const wf_shape *space) {
    int64_t each = 0, lines = 1;
    for (unsigned i = 0; i < g->n_in; i++)
        if (g->in[i].row_stride || g->in[i].col_stride)
            each += (int64_t)wf_dtype_bytes(g->in[i].dtype);
    for (unsigned k = 0; k < g->n_out; k++) each += (int64_t)wf_dtype_bytes(g->out[k].dtype);
    int64_t count = PIECE_BYTES / (each ? each : 1) / 64 * 64;
    if (count < 1024) count = 1024;
    for (int i = 0; i + 1 < space->rank; i++) lines *= space->dim[i];
    const int64_t cols = space->dim[space->rank - 1];
    s->cuts = cols >= 2 * count ? (cols + count - 1) / count : 1;
    s->lines = s->cuts > 1 || cols >= count ? 1 : count / cols;
    s->pieces = (lines + s->lines - 1) / s->lines * s->cuts;
}

static wf_status append(weaver *v, uint32_t kernel) {
    wf_plan *p = v->q->plan;
    const uint32_t n = v->n_in + v->n_out, at = p->n_array;
    if (!wf_plan_room((void **)&p->launch, &p->launch_cap, p->n_launch, 1, sizeof *p->launch) ||
        !wf_plan_room((void **)&p->array, &p->array_cap, at, n, sizeof *p->array) ||
        !wf_plan_room((void **)&p->operand, &p->operand_cap, at, n, sizeof *p->operand) ||
        !wf_plan_room((void **)&p->pieces, &p->pieces_cap, p->n_pieces, 1, sizeof *p->pieces) ||
        !wf_plan_room((void **)&p->sweep, &p->sweep_cap, p->n_sweep, 1, sizeof *p->sweep))
        return wf_fail(WF_MEMORY, "out of memory in the compiler");
    const uint32_t id = p->n_launch++, last = v->member[v->n - 1];
    wf_sweep *s = &p->sweep[p->n_sweep++];
    *s = (wf_sweep){.kernel = kernel, .array = at, .fused = v->id, .alone = bytes_alone(v)};
    cut_pieces(s, &v->group, &v->space);
    for (uint32_t i = 0; i < n; i++) {
        const window *w = &v->w[i];
        wf_array a = {.dtype = w->dtype, .shape = v->space};
        memcpy(a.stride, w->stride, sizeof(int64_t) * (size_t)v->space.rank);
        p->array[at + i] = a;
        p->operand[at + i] = (wf_operand){w->storage, w->offset};
        wf_plan_touch(p, w->storage, id);
    }
    p->launch[id] = (wf_launch){.call = {.op = node_of(v, last)->op, .n_in = (int)v->n_in},
                                .node = last, .array = at, .pieces = p->n_pieces, .phases = 1,
                                .group = p->n_sweep, .rows = 1, .n_out = (uint16_t)v->n_out};
    p->n_array += n;
    p->n_pieces++;
    return WF_OK;
}

static wf_status weave(weaver *v) {
    if (!find_operands(v)) return wf_fail(WF_INTERNAL, "a group has too many operands");
    wf_status s = find_outputs(v);
    if (s) return s;
    make_steps(v);
    merge_axes(v);
    make_places(v);
    uint32_t kernel = 0;
    s = find_kernel(v->q->plan, &v->group, &kernel);
    return s ? s : append(v, kernel);
}

wf_status wf_plan_sweep(wf_planner *q, uint32_t group) {
    const wf_fusion *f = &q->plan->fusion;
    const wf_fused *l = &f->list[group];
    weaver *v = calloc(1, sizeof *v);
    if (!v) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    v->q = q;
    v->f = f;
    v->id = group;
    v->member = f->member + l->first;
    v->n = l->n;
    v->space = l->space;
    const wf_status s = weave(v);
    free(v);
    return s;
}

/* --- running ---------------------------------------------------------------------------------- */

/* Calls the group for `rows` rows from row `line` of all on, columns [col, col + cols). */
static void call(const wf_plan *plan, uint32_t kernel, const wf_array *a, int n, int64_t line,
                 int64_t rows, int64_t col, int64_t cols, void *scratch) {
    void *p[WINDOWS];
    const int r = a->shape.rank;
    int64_t idx[WF_MAX_RANK];
    idx[r - 1] = col;
    for (int axis = r - 2; axis >= 0; line /= a->shape.dim[axis--])
        idx[axis] = line % a->shape.dim[axis];
    for (int i = 0; i < n; i++) p[i] = wf_at(&a[i], wf_offset(&a[i], idx));
    wf_code_call(plan->code, kernel, &plan->kernel[kernel].group, p, rows, cols, scratch);
}

/* Pieces [first, last) of one sweep with n operands and outputs. */
static void sweep(const wf_plan *p, const wf_sweep *s, int n, int64_t first, int64_t last,
                  void *scratch) {
    const wf_array *a = p->array + s->array;
    const int r = a->shape.rank;
    const int64_t rows = a->shape.dim[r - 2], cols = a->shape.dim[r - 1];
    if (s->cuts > 1) {
        const int64_t width = ((cols + s->cuts - 1) / s->cuts + 63) / 64 * 64;
        for (int64_t i = first; i < last; i++) {
            const int64_t from = i % s->cuts * width;
            const int64_t wide = cols - from < width ? cols - from : width;
            if (wide > 0) call(p, s->kernel, a, n, i / s->cuts, 1, from, wide, scratch);
        }
        return;
    }
    int64_t line = first * s->lines, end = last * s->lines, all = rows;
    for (int axis = 0; axis < r - 2; axis++) all *= a->shape.dim[axis];
    if (end > all) end = all;
    while (line < end) {
        const int64_t room = rows - line % rows, m = room < end - line ? room : end - line;
        call(p, s->kernel, a, n, line, m, 0, cols, scratch);
        line += m;
    }
}

void wf_sweep_span(const wf_plan *p, const wf_launch *l, const wf_array *a, int64_t first,
                   int64_t last, void *scratch) {
    const uint32_t kernel = p->sweep[l->group - 1].kernel;
    const int r = a->shape.rank, n = l->call.n_in + l->n_out;
    const int64_t rows = a->shape.dim[r - 2], cols = a->shape.dim[r - 1];
    while (first < last) {
        const int64_t line = first / cols, col = first % cols, left = last - first;
        if (col || left < cols) {
            const int64_t wide = left < cols - col ? left : cols - col;
            call(p, kernel, a, n, line, 1, col, wide, scratch);
            first += wide;
        } else {
            const int64_t room = rows - line % rows, m = room < left / cols ? room : left / cols;
            call(p, kernel, a, n, line, m, 0, cols, scratch);
            first += m * cols;
        }
    }
}

void wf_sweep_run(const wf_plan *p, const wf_launch *l, int64_t first, int64_t last,
                  void *scratch) {
    const wf_sweep *s = &p->sweep[l->group - 1];
    int64_t before = 0;
    for (uint32_t row = 0; row < l->rows && before < last; before += s[row++].pieces) {
        const int64_t from = first > before ? first - before : 0, to = last - before;
        const int64_t end = to < s[row].pieces ? to : s[row].pieces;
        if (from < end) sweep(p, &s[row], l->call.n_in + l->n_out, from, end, scratch);
    }
}
