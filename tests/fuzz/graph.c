#include "tests/fuzz/graph.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/size.h"
#include "tests/sampler.h"

enum { ELEMENTS = 12000 };

uint32_t fuzz_draw(fuzz_graph *f, uint32_t below) {
    return (uint32_t)(sampler_next(&f->state) * below);
}

int64_t fuzz_extent(fuzz_graph *f) {
    static const int64_t extents[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 31, 32, 33, 40};
    return extents[fuzz_draw(f, WF_COUNT(extents))];
}

/* --- leaves ----------------------------------------------------------------------------------- */

const void *fuzz_bind(void *graph, uint32_t id) {
    const fuzz_graph *f = graph;
    for (int i = 0; i < f->n_leaf; i++)
        if (f->leaf[i].t.id == id) return f->leaf[i].data;
    return NULL;
}

wf_tensor fuzz_leaf_new(fuzz_graph *f, wf_dtype t, wf_shape shape, double lo, double hi) {
    cr_assert(f->n_leaf < FUZZ_LEAVES, "a graph of too many leaves");
    fuzz_leaf *l = &f->leaf[f->n_leaf++];
    cr_assert(wf_type_bytes(t, &shape, &l->bytes));
    l->data = malloc(l->bytes + 1);
    l->first = malloc(l->bytes + 1);
    for (size_t at = 0; at < l->bytes; at += wf_dtype_bytes(t)) {
        const double x = lo + (hi - lo) * sampler_next(&f->state);
        wf_store(t, (char *)l->first + at, t == WF_BOOL ? x > (lo + hi) / 2 : x);
    }
    memcpy(l->data, l->first, l->bytes);
    const uint32_t how = fuzz_draw(f, 10);
    char name[16];
    snprintf(name, sizeof name, "x%d", f->n_leaf);
    l->kind = how == 0 ? WF_LEAF_CONST : how < 3 ? WF_LEAF_INPUT : WF_LEAF_BOUND;
    l->t = how == 0  ? wf_const(f->g, t, shape, l->first)
           : how < 3 ? wf_input(f->g, name, t, shape)
                     : wf_leaf(f->g, name, t, shape, l->data);
    return l->t;
}

void fuzz_restore(fuzz_graph *f) {
    for (int i = 0; i < f->n_leaf; i++) memcpy(f->leaf[i].data, f->leaf[i].first, f->leaf[i].bytes);
}

/* --- earlier values as operands --------------------------------------------------------------- */

wf_tensor fuzz_any(fuzz_graph *f, wf_dtype t) {
    wf_tensor found = {f->g, 0};
    uint32_t seen = 0;
    for (int i = 0; i < f->n_pool; i++)
        if (wf_dtype_of(f->pool[i]) == t && fuzz_draw(f, ++seen) == 0) found = f->pool[i];
    return found;
}

static wf_tensor cut(fuzz_graph *f, wf_tensor flat, int64_t n) {
    const int64_t spare = wf_count(flat) - n;
    if (spare == 0 && !fuzz_chance(f, 10)) return flat;
    if (n > 1 && spare >= n && fuzz_chance(f, 30)) return wf_slice(flat, 0, spare % 2, n, 2);
    const int64_t first = fuzz_draw(f, (uint32_t)spare + 1);
    if (n > 1 && fuzz_chance(f, 15)) return wf_slice(flat, 0, first + n - 1, n, -1);
    return wf_slice(flat, 0, first, n, 1);
}

wf_tensor fuzz_fit(fuzz_graph *f, wf_tensor x, wf_shape shape) {
    const wf_shape have = wf_shape_of_tensor(x);
    const int64_t n = wf_shape_count(&shape), count = wf_count(x);
    if (wf_shape_equal(&have, &shape)) return x;
    wf_shape both;
    if (wf_broadcast(&have, &shape, &both) && wf_shape_equal(&both, &shape))
        return wf_expand(x, shape);
    if (count == 0) return wf_full(f->g, wf_dtype_of(x), shape, 1);
    wf_tensor flat = wf_reshape(x, WF_SHAPE(count));
    if (n > count) {
        const int64_t times = (n + count - 1) / count;
        flat = wf_reshape(wf_expand(wf_reshape(x, WF_SHAPE(1, count)), WF_SHAPE(times, count)),
                          WF_SHAPE(times * count));
    } else if (n > 0 && count % n == 0 && wf_dtype_is_real(wf_dtype_of(x)) && fuzz_chance(f, 20)) {
        return wf_reshape(wf_mean(wf_reshape(x, WF_SHAPE(count / n, n)),
                                  (wf_reduce_opt){.n_axes = 1, .axes = {0}}), shape);
    }
    return wf_reshape(cut(f, flat, n), shape);
}

/* x with values within [lo, hi], whatever x is. */
static wf_tensor squash(wf_tensor x, double lo, double hi) {
    if (lo == -hi) return wf_mul_scalar(wf_tanh(x), hi);
    return wf_add_scalar(wf_mul_scalar(wf_sigmoid(x), hi - lo), lo);
}

wf_tensor fuzz_operand(fuzz_graph *f, wf_shape shape, double lo, double hi) {
    wf_tensor x = fuzz_any(f, f->real);
    if (!wf_ok(x) || (fuzz_chance(f, 15) && f->n_leaf < FUZZ_LEAVES / 2))
        return fuzz_leaf_new(f, f->real, shape, lo, hi);
    x = fuzz_fit(f, x, shape);
    return lo == -hi && hi >= 2 ? x : squash(x, lo, hi); /* the pool is of moderate size */
}

wf_tensor fuzz_index(fuzz_graph *f, wf_dtype t, wf_shape shape, int64_t below) {
    const wf_tensor x = fuzz_any(f, t);
    if (!wf_ok(x) || t == WF_U8 || below < 1 || fuzz_chance(f, 30))
        return fuzz_leaf_new(f, t, shape, -0.49, below < 1 ? -0.49 : (double)below - 0.51);
    const wf_tensor low = wf_scalar(f->g, t, 0), high = wf_scalar(f->g, t, (double)below - 1);
    return wf_minimum(wf_maximum(fuzz_fit(f, x, shape), low), high);
}

wf_tensor fuzz_bool(fuzz_graph *f, wf_shape shape) {
    const wf_tensor x = fuzz_any(f, WF_BOOL);
    if (wf_ok(x) && fuzz_chance(f, 40)) return fuzz_fit(f, x, shape);
    if (fuzz_chance(f, 30)) return fuzz_leaf_new(f, WF_BOOL, shape, 0, 1);
    return wf_greater(fuzz_operand(f, shape, -2, 2), fuzz_operand(f, shape, -2, 2));
}

/* --- the sampler of the table's operations ---------------------------------------------------- */

/* The shape that an operand is to have. */
static wf_shape wanted(fuzz_graph *f, wf_shape asked) {
    if (!f->force) return asked;
    wf_shape s = *f->force;
    if (f->forced++ == 0 || !f->broadcast || s.rank == 0 || fuzz_chance(f, 60)) return s;
    const int drop = (int)fuzz_draw(f, (uint32_t)s.rank + 1);
    wf_shape less = wf_shape_make(s.rank - drop, s.dim + drop);
    for (int i = 0; i < less.rank; i++)
        if (fuzz_chance(f, 40)) less.dim[i] = 1;
    return less;
}

static wf_tensor make_real(wf_sampler *s, wf_shape shape, double lo, double hi) {
    fuzz_graph *f = (fuzz_graph *)s;
    return fuzz_operand(f, wanted(f, shape), lo, hi);
}
static wf_tensor make_index(wf_sampler *s, wf_dtype t, wf_shape shape, int64_t below) {
    fuzz_graph *f = (fuzz_graph *)s;
    return fuzz_index(f, t, wanted(f, shape), below);
}
static wf_tensor make_bool(wf_sampler *s, wf_shape shape) {
    fuzz_graph *f = (fuzz_graph *)s;
    return fuzz_bool(f, wanted(f, shape));
}

/* --- the pool --------------------------------------------------------------------------------- */

void fuzz_admit(fuzz_graph *f, wf_tensor t) {
    cr_assert(wf_ok(t), "the generator made a mistake: %s", wf_graph_message(f->g));
    if (f->n_pool == FUZZ_POOL || wf_count(t) > ELEMENTS || wf_rank(t) > 6) return;
    const bool real = wf_dtype_is_real(wf_dtype_of(t));
    noisy_extend(&f->values, NULL);
    const double most = noisy_most(&f->values, t.id), spread = noisy_spread(&f->values, t.id);
    const double poor = wf_dtype_of(t) == WF_F64 ? 1e-10 : 1e-3;
    if (!isfinite(most) || !(spread <= poor * most)) return;
    if (real && most > 0 && (most > 16 || most < 1e-2)) {
        t = wf_mul_scalar(t, 2 / most);
        noisy_extend(&f->values, NULL);
        if (!isfinite(noisy_most(&f->values, t.id))) return;
    }
    f->pool[f->n_pool++] = t;
}

/* --- roots ------------------------------------------------------------------------------------ */

static bool same_type(wf_tensor a, wf_tensor b) {
    const wf_shape s = wf_shape_of_tensor(a), t = wf_shape_of_tensor(b);
    return wf_dtype_of(a) == wf_dtype_of(b) && wf_shape_equal(&s, &t);
}

static wf_tensor next_value(fuzz_graph *f, const fuzz_leaf *l) {
    const wf_dtype t = wf_dtype_of(l->t);
    const wf_shape shape = wf_shape_of_tensor(l->t);
    const wf_tensor x = fuzz_any(f, t);
    const fuzz_leaf *other = &f->leaf[fuzz_draw(f, (uint32_t)f->n_leaf)];
    if (t == WF_I64 && shape.rank == 0) return wf_add(l->t, wf_scalar(f->g, WF_I64, 1));
    if (fuzz_chance(f, 35) && same_type(l->t, other->t)) return other->t; /* swaps and cycles */
    if (!wf_ok(x)) return l->t;
    if (t == f->real && fuzz_chance(f, 60)) {
        const wf_tensor step = wf_mul_scalar(fuzz_fit(f, x, shape), 0.1);
        return squash(wf_sub(l->t, step), -2, 2);
    }
    if (t == f->real) return squash(fuzz_fit(f, x, shape), -2, 2);
    return wf_dtype_is_real(t) || t == WF_BOOL ? fuzz_fit(f, x, shape) : l->t;
}

/* Leaves keep the range in which they are used: only those of [-2, 2] are assigned freely. */
static void assignments(fuzz_graph *f) {
    const uint32_t percent = fuzz_chance(f, 30) ? 0 : 40;
    for (int i = 0; i < f->n_leaf; i++) {
        fuzz_leaf *l = &f->leaf[i];
        if (l->kind != WF_LEAF_BOUND || l->assigned || !fuzz_chance(f, percent)) continue;
        const wf_tensor v = next_value(f, l);
        cr_assert(wf_ok(v), "the generator made a mistake: %s", wf_graph_message(f->g));
        f->assign[f->n_assign++] = wf_assign(l->t, v);
        l->assigned = true;
        if (f->n_out < FUZZ_OUTPUTS - 3 && fuzz_chance(f, 10))
            f->out[f->n_out++] = fuzz_chance(f, 50) ? v : f->assign[f->n_assign - 1];
    }
}

static void outputs(fuzz_graph *f) {
    const int n = 1 + (int)fuzz_draw(f, FUZZ_OUTPUTS - 2);
    for (int i = 0; i < n && f->n_out < FUZZ_OUTPUTS; i++) {
        const int last = f->n_pool - 1 - i;
        f->out[f->n_out++] = i < 2 && last >= 0 ? f->pool[last]
                                                : f->pool[fuzz_draw(f, (uint32_t)f->n_pool)];
    }
}

void fuzz_make(fuzz_graph *f, uint64_t seed) {
    memset(f, 0, sizeof *f);
    f->state = seed * 7919 + 17;
    f->real = fuzz_chance(f, 65) ? WF_F32 : WF_F64;
    f->g = wf_graph_new();
    f->base = (wf_sampler){f->g, f->real, make_real, make_index, make_bool};
    noisy_init(&f->values, f->g, FUZZ_TRACKS, seed + 1, fuzz_bind, f);
    for (int i = 0, n = 1 + (int)fuzz_draw(f, 3); i < n; i++) {
        const int64_t dim[] = {fuzz_extent(f), fuzz_extent(f), fuzz_chance(f, 3) ? 0 : 3};
        const wf_shape s = wf_shape_make((int)fuzz_draw(f, 4), dim);
        fuzz_admit(f, fuzz_leaf_new(f, f->real, s, -2, 2));
    }
    const int motifs = 1 + (int)fuzz_draw(f, fuzz_chance(f, 30) ? 3 : 14);
    for (int i = 0; i < motifs && wf_graph_size(f->g) < 120; i++) fuzz_motif(f);
    if (fuzz_chance(f, 30)) fuzz_gradients(f);
    assignments(f);
    outputs(f);
    cr_assert(wf_graph_status(f->g) == WF_OK, "the generator made a mistake: %s",
              wf_graph_message(f->g));
    noisy_extend(&f->values, NULL);
}

void fuzz_free(fuzz_graph *f) {
    noisy_free(&f->values);
    wf_graph_free(f->g);
    for (int i = 0; i < f->n_leaf; i++) {
        free(f->leaf[i].data);
        free(f->leaf[i].first);
    }
}
