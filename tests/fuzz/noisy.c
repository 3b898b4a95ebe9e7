#include "tests/fuzz/noisy.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/denormals.h"
#include "tensor/size.h"
#include "tests/sampler.h"

/* How many units of rounding operands and results are off; how many times the difference of the
 * tracks a program may be off. */
static const double off_units = 8, allowed = 16;

static size_t bytes_of(const wf_type *t) {
    size_t bytes = 0;
    cr_assert(wf_type_bytes(t->dtype, &t->shape, &bytes));
    return bytes;
}

void noisy_init(noisy *v, const wf_graph *g, int tracks, uint64_t seed, wf_bind_fn *bind,
                void *user) {
    *v = (noisy){.g = g, .tracks = tracks, .state = seed, .units = off_units, .bind = bind,
                 .user = user, .n = 1};
}

void noisy_free(noisy *v) {
    for (uint32_t id = 1; id < v->n; id++) {
        void **track = &v->value[(size_t)id * (size_t)v->tracks];
        for (int k = 1; k < v->tracks; k++)
            if (track[k] != track[0]) free(track[k]);
        free(track[0]);
    }
    free(v->value);
    *v = (noisy){0};
}

/* Operations that give the same bits in whatever order they work: all but sums and products. Terms
 * of n-ary sums that are pads to one range are added first (compiler/pads.c). */
static bool sums(const wf_node *x) {
    if (strcmp(x->op->name, "add_n") == 0 && x->n_in > 2) return true;
    static const char *const exact[] = {"max", "min", "argmax", "argsort", "gather", "take_along",
                                        "max_pool", "max_pool_index", "pad", "pack", "full",
                                        "arange", "eye", "tril_mask", "one_hot", "uniform",
                                        "normal", "bernoulli"};
    if (x->op->kind != WF_KIND_REDUCE && x->op->kind != WF_KIND_CONTRACT &&
        x->op->kind != WF_KIND_OPAQUE)
        return false;
    for (size_t i = 0; i < WF_COUNT(exact); i++)
        if (strcmp(x->op->name, exact[i]) == 0) return false;
    return wf_dtype_is_real(x->type.dtype);
}

static size_t primes(const noisy *v, uint32_t id) {
    const char *scope = wf_graph_scope_text(v->g, wf_graph_node(v->g, id)->scope);
    size_t n = strlen(scope), k = 0;
    while (k < n && scope[n - 1 - k] == '\'') k++;
    return k;
}

/* Where more than f32 is rounded off, so may be what a backward pass reads of the forward pass. */
static bool rounds(const noisy *v, uint32_t id) {
    bool kept = false;
    for (uint32_t i = 0; i < wf_graph_node(v->g, id)->n_in; i++)
        kept = kept || primes(v, wf_node_in(v->g, id)[i]) < primes(v, id);
    return kept && v->units > off_units && wf_dtype_is_real(wf_graph_node(v->g, id)->type.dtype);
}

static void disturb(noisy *v, wf_dtype t, void *data, size_t bytes) {
    const double unit = t == WF_F64 ? 0x1p-53 : 0x1p-24;
    if (!wf_dtype_is_real(t)) return;
    for (size_t at = 0; at < bytes; at += wf_dtype_bytes(t)) {
        void *p = (char *)data + at;
        const double d = v->units * (2 * sampler_next(&v->state) - 1);
        wf_store(t, p, wf_load(t, p) * (1 + d * unit));
    }
}

static void *evaluate(noisy *v, uint32_t id, int track, bool noise) {
    const wf_node *x = wf_graph_node(v->g, id);
    const uint32_t *in = wf_node_in(v->g, id);
    wf_array *arrays = calloc((size_t)x->n_in + 1, sizeof *arrays);
    void **copies = calloc((size_t)x->n_in + 1, sizeof *copies);
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_type *t = &wf_graph_node(v->g, in[i])->type;
        void *data = (void *)noisy_value(v, in[i], track);
        if (noise) {
            const size_t bytes = bytes_of(t);
            data = copies[i] = memcpy(malloc(bytes + 1), data, bytes);
            disturb(v, t->dtype, data, bytes);
        }
        arrays[i] = wf_array_dense(data, t->dtype, &t->shape);
    }
    const size_t bytes = bytes_of(&x->type);
    void *out = calloc(1, bytes + 1);
    const wf_call call = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = arrays,
                          .out = wf_array_dense(out, x->type.dtype, &x->type.shape)};
    x->op->eval(&call);
    if (noise) disturb(v, x->type.dtype, out, bytes);
    for (uint32_t i = 0; i < x->n_in; i++) free(copies[i]);
    free(copies);
    free(arrays);
    return out;
}

/* A copy: a leaf may be assigned before its value is looked at. */
static void *leaf(noisy *v, uint32_t id) {
    const wf_node *x = wf_graph_node(v->g, id);
    const wf_leaf_attr *a = x->attr;
    const void *data = a->kind == WF_LEAF_INPUT ? v->bind(v->user, id) : a->data;
    const size_t bytes = bytes_of(&x->type);
    return memcpy(malloc(bytes + 1), data, bytes);
}

static void *copy_of(const noisy *v, uint32_t id, int track) {
    const size_t bytes = bytes_of(&wf_graph_node(v->g, id)->type);
    return memcpy(malloc(bytes + 1), noisy_value(v, id, track), bytes);
}

static void visit(noisy *v, uint32_t id) {
    const wf_node *x = wf_graph_node(v->g, id);
    const uint32_t *in = wf_node_in(v->g, id);
    void **out = &v->value[(size_t)id * (size_t)v->tracks];
    const bool assign = x->op->kind == WF_KIND_ASSIGN, noise = sums(x) || rounds(v, id);
    out[0] = x->op == &wf_op_leaf ? leaf(v, id)
             : assign             ? copy_of(v, in[1], 0)
                                  : evaluate(v, id, 0, false);
    for (int k = 1; k < v->tracks; k++) {
        bool clean = !noise;
        for (uint32_t i = assign; i < x->n_in; i++)
            clean = clean && noisy_value(v, in[i], k) == noisy_value(v, in[i], 0);
        out[k] = clean ? out[0] : assign ? copy_of(v, in[1], k) : evaluate(v, id, k, noise);
    }
}

void noisy_extend(noisy *v, const bool *needed) {
    const uint32_t n = wf_graph_size(v->g);
    if (n > v->cap) {
        v->cap = 2 * n;
        v->value = realloc(v->value, (size_t)v->cap * (size_t)v->tracks * sizeof *v->value);
    }
    const wf_fp_mode mode = wf_flush_denormals();
    for (; v->n < n; v->n++) {
        memset(&v->value[(size_t)v->n * (size_t)v->tracks], 0,
               (size_t)v->tracks * sizeof *v->value);
        if (!needed || needed[v->n]) visit(v, v->n);
    }
    wf_restore_denormals(mode);
}

/* --- judging ---------------------------------------------------------------------------------- */

/* Infinite where a track is not finite in the same way. */
static double spread_at(const noisy *v, uint32_t id, wf_dtype t, size_t at) {
    const double want = wf_load(t, (const char *)noisy_value(v, id, 0) + at);
    double most = 0;
    for (int k = 1; k < v->tracks; k++) {
        const double x = wf_load(t, (const char *)noisy_value(v, id, k) + at);
        if (x == want || (isnan(x) && isnan(want))) continue;
        if (!(fabs(x - want) <= most)) most = isfinite(x - want) ? fabs(x - want) : INFINITY;
    }
    return most;
}

static int by_size(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* The median: that of a few elements which jump (floor, a mask) excuses no other. */
static double usual_spread(const noisy *v, uint32_t id, wf_dtype t, size_t bytes) {
    const size_t n = bytes / wf_dtype_bytes(t);
    double *all = malloc((n + 1) * sizeof *all);
    for (size_t i = 0; i < n; i++) all[i] = spread_at(v, id, t, i * wf_dtype_bytes(t));
    qsort(all, n, sizeof *all, by_size);
    const double median = n ? all[n / 2] : 0;
    free(all);
    return isfinite(median) ? median : 0;
}

int64_t noisy_differs(const noisy *v, uint32_t id, const void *got) {
    const wf_type *type = &wf_graph_node(v->g, id)->type;
    const wf_dtype t = type->dtype;
    const size_t bytes = bytes_of(type), each = wf_dtype_bytes(t);
    const char *want = noisy_value(v, id, 0);
    double usual = -1;
    if (bytes == 0 || memcmp(want, got, bytes) == 0) return -1;
    for (size_t at = 0; at < bytes; at += each) {
        const double x = wf_load(t, (const char *)got + at), y = wf_load(t, want + at);
        if (x == y || (isnan(x) && isnan(y))) continue;
        const double own = allowed * spread_at(v, id, t, at);
        if (fabs(x - y) <= own || own == INFINITY) continue;
        if (usual < 0) usual = usual_spread(v, id, t, bytes);
        if (!(fabs(x - y) <= own + allowed * usual)) return (int64_t)(at / each);
    }
    return -1;
}

double noisy_most(const noisy *v, uint32_t id) {
    const wf_type *type = &wf_graph_node(v->g, id)->type;
    const size_t bytes = bytes_of(type);
    double most = 0;
    for (size_t at = 0; at < bytes; at += wf_dtype_bytes(type->dtype)) {
        const double x = wf_load(type->dtype, (const char *)noisy_value(v, id, 0) + at);
        if (!isfinite(x)) return INFINITY;
        most = fmax(most, fabs(x));
    }
    return most;
}

double noisy_spread(const noisy *v, uint32_t id) {
    const wf_type *type = &wf_graph_node(v->g, id)->type;
    const size_t bytes = bytes_of(type);
    double most = 0;
    for (size_t at = 0; at < bytes; at += wf_dtype_bytes(type->dtype))
        most = fmax(most, spread_at(v, id, type->dtype, at));
    return most;
}
