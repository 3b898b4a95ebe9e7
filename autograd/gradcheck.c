/* Gradients against central differences: (y(x + eps v) - y(x - eps v)) / 2 eps against <dy/dx, v>,
 * where v is a unit vector of each element in turn, or one random direction over everything, which
 * costs two evaluations however big the graph is (as in JAX's check_grads). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/graph.h"

typedef struct probe {
    wf_tensor y;
    const wf_tensor *x;
    int n;
    wf_gradcheck_opt o;
    double **gradient; /* (n) analytic, as doubles */
    double worst;
} probe;

/* The leaf's own buffer as an array. */
static wf_array leaf_array(wf_tensor x) {
    const wf_leaf_attr *a = wf_graph_node(x.graph, x.id)->attr;
    return wf_array_dense(a->data, a->type.dtype, &a->type.shape);
}

static wf_status value_of(const probe *p, double *y) {
    union {
        float f;
        double d;
    } out;
    void *to = &out;
    const wf_status s = wf_reference(p->y.graph, &p->y.id, &to, 1, NULL, NULL);
    if (s == WF_OK) *y = wf_load(wf_dtype_of(p->y), &out);
    return s;
}

/* Books one comparison; sets the message when it is the worst one and fails. */
static void compare(probe *p, double analytic, double numeric, int i, int64_t element) {
    const double allowed = p->o.atol + p->o.rtol * fabs(numeric);
    const double ratio = fabs(analytic - numeric) / allowed;
    if (ratio <= p->worst) return;
    p->worst = isnan(ratio) ? INFINITY : ratio;
    if (p->worst <= 1) return;
    const char *name = wf_graph_node(p->y.graph, p->x[i].id)->name;
    wf_fail(WF_MODEL, "gradcheck: d/d%s[%lld] is %.9g by wf_grad, %.9g by differences",
            name ? name : "x", (long long)element, analytic, numeric);
}

static wf_status check_elements(probe *p) {
    for (int i = 0; i < p->n; i++) {
        const wf_array a = leaf_array(p->x[i]);
        const int64_t count = wf_count(p->x[i]);
        for (int64_t e = 0; e < count; e++) {
            const double at = wf_get(&a, e);
            double up, down;
            wf_set(&a, e, at + p->o.eps);
            const double x_up = wf_get(&a, e);
            wf_status s = value_of(p, &up);
            wf_set(&a, e, at - p->o.eps);
            const double x_down = wf_get(&a, e);
            if (s == WF_OK) s = value_of(p, &down);
            wf_set(&a, e, at);
            if (s) return s;
            compare(p, p->gradient[i][e], (up - down) / (x_up - x_down), i, e);
        }
    }
    return WF_OK;
}

/* Element j of the direction: uniform in [-1, 1), by SplitMix64 (Steele, Lea, Flood 2014). */
static double direction_at(uint64_t seed, uint64_t j) {
    uint64_t z = seed + (j + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1.0;
}

/* Every x at start + scale v; scale 0 puts the saved bytes back. */
static void move(const probe *p, char *const *saved, double scale) {
    uint64_t j = 0;
    for (int i = 0; i < p->n; i++) {
        const wf_array a = leaf_array(p->x[i]);
        const int64_t count = wf_count(p->x[i]);
        const size_t size = wf_dtype_bytes(a.dtype);
        if (count) memcpy(a.data, saved[i], (size_t)count * size);
        for (int64_t e = 0; e < count && scale != 0; e++)
            wf_set(&a, e, wf_get(&a, e) + scale * direction_at(p->o.seed, j + (uint64_t)e));
        j += (uint64_t)count;
    }
}

static wf_status check_direction(probe *p) {
    char **saved = calloc((size_t)p->n + 1, sizeof *saved);
    double up = 0, down = 0, analytic = 0;
    wf_status s = saved ? WF_OK : WF_MEMORY;
    uint64_t j = 0;
    for (int i = 0; i < p->n && s == WF_OK; i++) {
        const wf_array a = leaf_array(p->x[i]);
        const int64_t count = wf_count(p->x[i]);
        const size_t bytes = (size_t)count * wf_dtype_bytes(a.dtype);
        saved[i] = malloc(bytes ? bytes : 1);
        if (!saved[i]) {
            s = WF_MEMORY;
            break;
        }
        if (bytes) memcpy(saved[i], a.data, bytes);
        for (int64_t e = 0; e < count; e++)
            analytic += p->gradient[i][e] * direction_at(p->o.seed, j + (uint64_t)e);
        j += (uint64_t)count;
    }
    if (s) {
        wf_fail(s, "out of memory in gradcheck");
    } else {
        move(p, saved, p->o.eps);
        s = value_of(p, &up);
        move(p, saved, -p->o.eps);
        if (s == WF_OK) s = value_of(p, &down);
        move(p, saved, 0);
        if (s == WF_OK && p->n) compare(p, analytic, (up - down) / (2 * p->o.eps), 0, -1);
    }
    for (int i = 0; saved && i < p->n; i++) free(saved[i]);
    free(saved);
    return s;
}

/* wf_grad's answer at the current point, as doubles. */
static wf_status analytic_gradient(probe *p) {
    wf_tensor *dx = calloc((size_t)p->n + 1, sizeof *dx);
    uint32_t *ids = calloc((size_t)p->n + 1, sizeof *ids);
    void **out = calloc((size_t)p->n + 1, sizeof *out);
    wf_status s = dx && ids && out ? wf_grad(p->y, p->x, p->n, dx)
                                   : wf_fail(WF_MEMORY, "out of memory in gradcheck");
    for (int i = 0; i < p->n && s == WF_OK; i++) {
        const size_t count = (size_t)wf_count(p->x[i]);
        ids[i] = dx[i].id;
        out[i] = malloc(count * 8 + 8);
        p->gradient[i] = malloc(count * 8 + 8);
        if (!out[i] || !p->gradient[i]) s = wf_fail(WF_MEMORY, "out of memory in gradcheck");
    }
    if (s == WF_OK && p->n) s = wf_reference(p->y.graph, ids, out, p->n, NULL, NULL);
    for (int i = 0; i < p->n && s == WF_OK; i++) {
        const wf_dtype t = wf_dtype_of(p->x[i]);
        for (int64_t e = 0; e < wf_count(p->x[i]); e++)
            p->gradient[i][e] = wf_load(t, (char *)out[i] + e * (int64_t)wf_dtype_bytes(t));
    }
    for (int i = 0; out && i < p->n; i++) free(out[i]);
    free(out);
    free(ids);
    free(dx);
    return s;
}

static wf_status check_leaves(const wf_tensor *x, int n) {
    for (int i = 0; i < n; i++) {
        const bool leaf = wf_ok(x[i]) && wf_graph_node(x[i].graph, x[i].id)->op == &wf_op_leaf;
        if (!leaf || leaf_array(x[i]).data == NULL || !wf_dtype_is_real(wf_dtype_of(x[i])) ||
            ((const wf_leaf_attr *)wf_graph_node(x[i].graph, x[i].id)->attr)->kind != WF_LEAF_BOUND)
            if (!(leaf && wf_count(x[i]) == 0))
                return wf_fail(WF_ARGUMENT, "gradcheck: x[%d] is not an f32 or f64 wf_leaf", i);
    }
    return WF_OK;
}

wf_status wf_gradcheck(wf_tensor y, const wf_tensor *x, int n, wf_gradcheck_opt o, double *worst) {
    if (worst) *worst = INFINITY;
    if (n < 0 || (n > 0 && !x)) return wf_fail(WF_ARGUMENT, "gradcheck: x is NULL or n negative");
    bool f32 = wf_dtype_of(y) == WF_F32;
    wf_status s = check_leaves(x, n);
    if (s) return s;
    for (int i = 0; i < n; i++) f32 |= wf_dtype_of(x[i]) == WF_F32;
    probe p = {.y = y, .x = x, .n = n, .o = o};
    if (p.o.eps == 0) p.o.eps = f32 ? 1e-2 : 1e-6;
    if (p.o.atol == 0) p.o.atol = f32 ? 1e-3 : 1e-5;
    if (p.o.rtol == 0) p.o.rtol = f32 ? 1e-2 : 1e-3;
    p.gradient = calloc((size_t)n + 1, sizeof *p.gradient);
    if (!p.gradient) return wf_fail(WF_MEMORY, "out of memory in gradcheck");
    s = analytic_gradient(&p);
    if (s == WF_OK) s = p.o.direction ? check_direction(&p) : check_elements(&p);
    for (int i = 0; i < n; i++) free(p.gradient[i]);
    free(p.gradient);
    if (s) return s;
    if (worst) *worst = p.worst;
    return p.worst <= 1 ? WF_OK : WF_MODEL;
}
