/* Any recurrent cell over a sequence: unrolled into the graph step by step, one scope (t0, t1, ..)
 * a step.
 *
 * Invariants
 *   - A cell decides nothing but its step: layers, directions, masks, initial, final and carried
 *     states are handled here, once for all cells.
 *   - States that are known to be zero stay zero handles, so that a cell writes no product with
 *     them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/params.h"

/* One cell of a layer: where it stands among all, and its states. */
typedef struct walk {
    wf_params *p;
    const wf_recurrent_opt *o;
    wf_cell cell;
    char suffix[32]; /* "_l0_reverse" */
    int index, count;
    int each_of; /* the cell whose states are given step by step */
    bool reverse;
    wf_tensor state[WF_CELL_STATES];
} walk;

wf_tensor wf_cell_param(wf_params *p, wf_tensor x, const char *stem, const char *suffix,
                        wf_shape shape, double bound) {
    char name[WF_NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", stem, suffix);
    return wf_param(x.graph, p, name, shape, (wf_init){WF_INIT_UNIFORM, bound, 0},
                    (wf_param_opt){.dtype = wf_dtype_of(x)});
}

wf_tensor wf_sequence_product(wf_tensor x, wf_tensor w, wf_tensor bias) {
    const int64_t steps = wf_dim(x, 0), n = wf_dim(x, 1);
    const wf_tensor flat = wf_reshape(x, WF_SHAPE(steps * n, wf_dim(x, 2)));
    wf_tensor z = wf_matmul(flat, wf_transpose(w, 0, 1));
    if (bias.graph) z = wf_add(z, bias);
    return wf_reshape(z, WF_SHAPE(steps, n, wf_dim(w, 0)));
}

wf_tensor wf_nn_length_mask(wf_tensor length, int64_t steps) {
    wf_graph *g = length.graph;
    const wf_dtype t = wf_dtype_of(length);
    if (!wf_ok(length)) return wf_poison(length);
    if (wf_rank(length) != 1 || (t != WF_I32 && t != WF_I64) || steps < 1) {
        const wf_shape s = wf_shape_of_tensor(length);
        char text[128];
        return wf_graph_fail(g, "length_mask: length %s%s and %lld steps are not i32 or i64 (N) "
                                "and at least 1", wf_dtype_name(t),
                             wf_shape_text(&s, text, sizeof text), (long long)steps);
    }
    const wf_tensor at = wf_reshape(wf_arange(g, t, 0, 1, steps), WF_SHAPE(steps, 1));
    return wf_less(at, length);
}

/* --- states ----------------------------------------------------------------------------------- */

static bool same_shape(wf_tensor t, const wf_shape *want, const char *what, const char *remedy) {
    const wf_shape have = wf_shape_of_tensor(t);
    char a[128], b[128];
    if (!wf_ok(t) || wf_shape_equal(&have, want)) return wf_ok(t);
    wf_graph_fail(t.graph, "%s is %s, expected %s%s", what, wf_shape_text(&have, a, sizeof a),
                  wf_shape_text(want, b, sizeof b), remedy);
    return false;
}

/* The buffer PREFIX.carry_l0.h, or PREFIX.carry_STREAM_l0.h. */
static wf_tensor carried(const walk *w, wf_tensor x, int i) {
    const char *stream = w->o->stream ? w->o->stream : "";
    char name[128];
    snprintf(name, sizeof name, "carry%s%.64s%s.%s", *stream ? "_" : "", stream, w->suffix,
             w->cell.state_name[i]);
    return wf_param(x.graph, w->p, name, w->cell.state_shape[i],
                    (wf_init){.kind = WF_INIT_CONSTANT},
                    (wf_param_opt){.role = WF_ROLE_OPTIMIZER, .dtype = wf_dtype_of(x)});
}

static bool begin(walk *w, wf_tensor x) {
    for (int i = 0; i < w->cell.n_states; i++) {
        const wf_tensor given = w->o->first[i];
        wf_shape want = w->cell.state_shape[i];
        char what[64];
        if (!w->cell.state_name[i]) w->cell.state_name[i] = "state";
        snprintf(what, sizeof what, "%s0", w->cell.state_name[i]);
        if (given.graph && w->o->carry) {
            wf_graph_fail(x.graph, "%s is given and states are carried; leave out one of them",
                          what);
            return false;
        }
        if (w->o->carry) w->state[i] = carried(w, x, i);
        if (!given.graph) continue;
        if (w->count > 1) {
            if (want.rank == WF_MAX_RANK) {
                wf_graph_fail(x.graph, "%s of rank %d cannot be stacked", what, want.rank);
                return false;
            }
            memmove(&want.dim[1], &want.dim[0], (size_t)want.rank++ * sizeof want.dim[0]);
            want.dim[0] = w->count;
        }
        if (!same_shape(given, &want, what, "")) return false;
        w->state[i] = w->count > 1 ? wf_index(given, 0, w->index) : given;
    }
    return true;
}

/* now where active (N) is true, else before; a zero handle before means zeros. */
static wf_tensor choose(wf_tensor active, wf_tensor now, wf_tensor before) {
    wf_shape s = {.rank = wf_rank(now), .dim = {wf_dim(now, 0)}};
    for (int i = 1; i < s.rank; i++) s.dim[i] = 1;
    if (!before.graph) before = wf_scalar(now.graph, wf_dtype_of(now), 0);
    return wf_select(wf_reshape(active, s), now, before);
}

/* --- one cell over the sequence --------------------------------------------------------------- */

/* Step t on x (N, ..); returns the output. */
static wf_tensor step(walk *w, wf_tensor x, int t) {
    const wf_tensor none = {0};
    wf_tensor before[WF_CELL_STATES];
    memcpy(before, w->state, sizeof before);
    w->cell.step(&w->cell, x, w->state);
    for (int i = 0; i < w->cell.n_states; i++)
        if (!same_shape(w->state[i], &w->cell.state_shape[i], w->cell.state_name[i],
                        " as the cell's state_shape has it"))
            return wf_poison(x);
    if (!w->o->mask.graph) return w->state[0];
    const wf_tensor active = wf_index(w->o->mask, 0, t);
    for (int i = 0; i < w->cell.n_states; i++)
        w->state[i] = choose(active, w->state[i], before[i]);
    return choose(active, w->state[0], none);
}

static wf_tensor unroll(walk *w, wf_tensor x) {
    wf_graph *g = x.graph;
    const int steps = (int)wf_dim(x, 0);
    if (w->cell.prepare) x = w->cell.prepare(&w->cell, x);
    wf_tensor *out = calloc((size_t)steps, sizeof *out);
    if (!out) return wf_graph_fail(g, "out of memory for %d steps", steps);
    for (int i = 0; i < steps; i++) {
        const int t = w->reverse ? steps - 1 - i : i;
        wf_scope_push(g, "t%d", t);
        out[t] = step(w, wf_index(x, 0, t), t);
        wf_scope_pop(g);
        if (w->index == w->each_of)
            for (int k = 0; k < w->cell.n_states; k++)
                if (w->o->each[k]) w->o->each[k][t] = w->state[k];
    }
    const wf_tensor y = wf_stack(out, steps, 0);
    free(out);
    return y;
}

static wf_tensor one_cell(walk *w, wf_tensor x, wf_cell_make *make, const void *options) {
    w->cell = (wf_cell){.options = options};
    memset(w->state, 0, sizeof w->state);
    if (!make(&w->cell, w->p, x, w->suffix, options)) return wf_poison(x);
    if (w->cell.n_states < 1 || w->cell.n_states > WF_CELL_STATES || !w->cell.step)
        return wf_graph_fail(x.graph, "a cell needs a step and 1 to %d states, not %d",
                             WF_CELL_STATES, w->cell.n_states);
    if (!begin(w, x)) return wf_poison(x);
    const wf_tensor y = unroll(w, x);
    for (int i = 0; i < w->cell.n_states && w->o->carry && wf_ok(y); i++)
        wf_assign(carried(w, x, i), w->state[i]);
    return y;
}

/* --- layers and directions -------------------------------------------------------------------- */

static bool check(wf_tensor x, const wf_recurrent_opt *o, int count) {
    wf_graph *g = x.graph;
    const int64_t steps = wf_dim(x, 0);
    if (wf_rank(x) < 2 || steps < 1 || steps > INT32_MAX || !wf_dtype_is_real(wf_dtype_of(x))) {
        wf_layer_refuse(x, "real (T, N, ..) with T >= 1");
        return false;
    }
    if (count > 1024 || !(o->dropout >= 0 && o->dropout < 1)) {
        wf_graph_fail(g, "%d layers and dropout %g: at most 1024 cells, dropout in [0, 1)",
                      o->layers, o->dropout);
        return false;
    }
    const wf_shape mask = WF_SHAPE(steps, wf_dim(x, 1));
    if (!o->mask.graph) return true;
    if (wf_ok(o->mask) && wf_dtype_of(o->mask) != WF_BOOL) {
        wf_graph_fail(g, "mask is %s, not bool; see wf_nn_length_mask",
                      wf_dtype_name(wf_dtype_of(o->mask)));
        return false;
    }
    return same_shape(o->mask, &mask, "mask", ", (T, N) of x; see wf_nn_length_mask");
}

/* The final states of all cells, last[cell * WF_CELL_STATES + state], into o->last. */
static void give_last(const wf_recurrent_opt *o, const wf_tensor *last, int count, int n_states) {
    for (int i = 0; i < n_states; i++) {
        wf_tensor part[1024];
        if (!o->last[i]) continue;
        for (int k = 0; k < count; k++) part[k] = last[k * WF_CELL_STATES + i];
        *o->last[i] = count > 1 ? wf_stack(part, count, 0) : part[0];
    }
}

/* Layer w->index / directions of all. */
static wf_tensor layer(walk *w, wf_tensor x, wf_cell_make *make, const void *options, int layer_i,
                       wf_tensor *last) {
    const int directions = w->o->bidirectional ? 2 : 1;
    wf_tensor y[2];
    for (int d = 0; d < directions; d++) {
        const bool alone = w->count == 1;
        w->index = layer_i * directions + d;
        w->reverse = d == 1 || (w->o->reverse && !w->o->bidirectional);
        snprintf(w->suffix, sizeof w->suffix, "_l%d%s", layer_i, d ? "_reverse" : "");
        if (!alone) wf_scope_push(x.graph, "%s", w->suffix + 1);
        y[d] = one_cell(w, x, make, options);
        if (!alone) wf_scope_pop(x.graph);
        memcpy(last + w->index * WF_CELL_STATES, w->state, sizeof w->state);
    }
    return directions == 2 ? wf_concat(y, 2, -1) : y[0];
}

static wf_tensor recurrent(wf_params *p, wf_tensor x, wf_cell_make *make, const void *options,
                           const wf_recurrent_opt *o) {
    const int layers = o->layers > 0 ? o->layers : 1;
    walk w = {.p = p, .o = o, .count = layers > 1024 ? layers : layers << o->bidirectional};
    if (!check(x, o, w.count)) return wf_poison(x);
    w.each_of = (layers - 1) << o->bidirectional;
    wf_tensor *last = calloc((size_t)w.count * WF_CELL_STATES, sizeof *last);
    if (!last) return wf_graph_fail(x.graph, "out of memory for %d layers", layers);
    for (int i = 0; i < layers && wf_ok(x); i++) {
        char name[32];
        snprintf(name, sizeof name, "dropout_l%d", i - 1);
        if (i > 0 && o->dropout > 0)
            x = wf_nn_dropout(p, name, x,
                              (wf_dropout_opt){.p = o->dropout, .training = o->training});
        x = layer(&w, x, make, options, i, last);
    }
    if (wf_ok(x)) give_last(o, last, w.count, w.cell.n_states);
    free(last);
    return x;
}

wf_tensor wf_nn_recurrent(wf_params *p, const char *name, wf_tensor x, wf_cell_make *make,
                          const void *options, wf_recurrent_opt o) {
    for (int i = 0; i < WF_CELL_STATES; i++)
        if (o.last[i]) *o.last[i] = wf_poison(x);
    for (int i = 0; i < WF_CELL_STATES; i++)
        for (int64_t t = 0; o.each[i] && t < wf_dim(x, 0); t++) o.each[i][t] = wf_poison(x);
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, recurrent(p, x, make, options, &o));
}
