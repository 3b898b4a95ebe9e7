/* Random graphs: every setting of the passes and every number of threads gives the reference's
 * answer, and the plan keeps its promises. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"
#include "tensor/size.h"

enum { POOL = 64, LEAVES = 8, OUTPUTS = 4 };

typedef struct model {
    uint64_t rng;
    wf_dtype real;
    wf_graph *g;
    wf_tensor pool[POOL];
    int n;
    wf_tensor leaf[LEAVES];
    void *data[LEAVES], *first[LEAVES]; /* the leaves' buffers; their content at the start */
    size_t bytes[LEAVES];
    int n_leaf;
    wf_tensor input;
    void *input_data;
    size_t input_bytes;
    wf_tensor out[OUTPUTS];
    wf_tensor assign[LEAVES];
    int n_assign;
} model;

static uint32_t draw(model *m, uint32_t below) {
    m->rng = m->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((m->rng >> 33) % below);
}

static void fill(model *m, wf_dtype t, void *data, size_t bytes) {
    for (size_t i = 0; i < bytes / wf_dtype_bytes(t); i++)
        wf_store(t, (char *)data + i * wf_dtype_bytes(t), (double)draw(m, 4001) / 1000 - 2);
}

static wf_shape some_shape(model *m) {
    switch (draw(m, 7)) {
    case 0: return WF_SHAPE(4, 6);
    case 1: return WF_SHAPE(6);
    case 2: return WF_SHAPE(2, 4, 6);
    case 3: return WF_SHAPE(4, 1);
    case 4: return WF_SHAPE(6, 4);
    case 5: return WF_SHAPE(20, 30);
    default: return WF_SHAPE(4, 6);
    }
}

static wf_tensor any(model *m) { return m->pool[draw(m, (uint32_t)m->n)]; }

/* A value of the pool of the same shape as x, x itself if there is no other. */
static wf_tensor alike(model *m, wf_tensor x) {
    const wf_shape s = wf_shape_of_tensor(x);
    for (int tries = 0; tries < 20; tries++) {
        const wf_tensor y = any(m);
        const wf_shape t = wf_shape_of_tensor(y);
        if (wf_shape_equal(&s, &t)) return y;
    }
    return x;
}

static wf_tensor elementwise(model *m, wf_tensor x) {
    const wf_tensor y = alike(m, x), zero = wf_full(m->g, m->real, wf_shape_of_tensor(x), 0);
    switch (draw(m, 16)) {
    case 0: return wf_add(x, y);
    case 1: return wf_sub(x, y);
    case 2: return wf_mul(wf_tanh(x), wf_sigmoid(y));
    case 3: return wf_relu(x);
    case 4: return wf_neg(wf_neg(x));
    case 5: return wf_mul(x, wf_add(zero, wf_scalar(m->g, m->real, 1)));
    case 6: return wf_add(wf_mul(zero, y), x);
    case 7: return wf_select(wf_greater(x, y), wf_tanh(x), y);
    case 8: return wf_add_n((wf_tensor[]){x, y, zero, wf_tanh(y)}, 4);
    case 9: return wf_div(x, wf_add_scalar(wf_square(wf_tanh(y)), 1));
    case 10: return wf_maximum(x, wf_mul_scalar(y, 0.5));
    case 11: return wf_sub(zero, x);
    case 12: return wf_tanh(x);
    case 13: return wf_add(wf_tanh(x), wf_scalar(m->g, m->real, 0.25));
    case 14: return wf_mul(wf_stop_gradient(x), wf_sigmoid(x));
    default: return wf_abs(x);
    }
}

static wf_tensor moved(model *m, wf_tensor x) {
    const int rank = wf_rank(x);
    if (rank == 0) return wf_expand(x, WF_SHAPE(4, 6));
    const int axis = (int)draw(m, (uint32_t)rank);
    const int64_t d = wf_dim(x, axis), first = draw(m, (uint32_t)d);
    const wf_tensor y = alike(m, x);
    switch (draw(m, 12)) {
    case 0: return wf_reshape(x, WF_SHAPE(-1));
    case 1: return rank > 1 ? wf_transpose(x, 0, 1) : wf_flip(x, 0);
    case 2: return wf_slice(x, axis, first, d - first, 1);
    case 3: return wf_flip(x, axis);
    case 4: return wf_concat((wf_tensor[]){x, y, x}, 3, axis);
    case 5: return wf_stack((wf_tensor[]){y, x}, 2, (int)draw(m, (uint32_t)rank + 1));
    case 6: return wf_index(x, axis, first);
    case 7: return wf_pad(x, axis, 1, 2, 1 + draw(m, 2));
    case 8: return wf_slice(wf_concat((wf_tensor[]){y, x}, 2, axis), axis, d, d, 1);
    case 9: /* what gradients of slices look like */
        return wf_add(wf_pad(wf_tanh(x), axis, 0, d, 1), wf_pad(wf_tanh(y), axis, d, 0, 1));
    case 10:
        return wf_add_n((wf_tensor[]){wf_pad(wf_tanh(x), axis, d, 1, 1),
                                      wf_pad(y, axis, 0, d + 1, 1)}, 2);
    default: return wf_reshape(wf_reshape(x, WF_SHAPE(-1)), wf_shape_of_tensor(x));
    }
}

static wf_tensor summed(model *m, wf_tensor x) {
    const int rank = wf_rank(x);
    if (rank == 0) return wf_tanh(x);
    const wf_reduce_opt o = {.n_axes = 1, .axes = {(int32_t)draw(m, (uint32_t)rank)},
                             .keepdims = draw(m, 2)};
    switch (draw(m, 5)) {
    case 0: return wf_sum(x, o);
    case 1: return wf_mean(x, (wf_reduce_opt){0});
    case 2: return wf_max(x, o);
    case 3: return wf_sub(x, wf_mean(x, (wf_reduce_opt){.n_axes = 1, .axes = {-1}, .keepdims = 1}));
    default: return wf_sum_to(wf_expand(x, wf_shape_of_tensor(x)), wf_shape_of_tensor(x));
    }
}

static wf_tensor contracted(model *m, wf_tensor x) {
    if (wf_rank(x) != 2) return wf_tanh(x);
    const int64_t k = wf_dim(x, 1), n = wf_dim(x, 0);
    const wf_tensor w = wf_mul_scalar(m->leaf[0], 0.1), zero = wf_full(m->g, m->real,
                                                                      WF_SHAPE(n, k), 0);
    const wf_tensor b = wf_expand(wf_reshape(wf_slice(wf_reshape(w, WF_SHAPE(-1)), 0, 0, 4, 1),
                                             WF_SHAPE(1, 4)), WF_SHAPE(k, 4));
    switch (draw(m, 4)) {
    case 0: return wf_tanh(wf_matmul(x, b));
    case 1: return wf_add(wf_matmul(wf_tanh(x), b), wf_matmul(wf_sigmoid(x), wf_tanh(b)));
    case 2: return wf_add(wf_matmul(wf_tanh(x), b), wf_matmul(zero, b));
    default: return wf_tanh(wf_matmul(x, wf_transpose(x, 0, 1)));
    }
}

static void grow(model *m, int nodes) {
    while (m->n < POOL && nodes-- > 0) {
        const wf_tensor x = any(m);
        wf_tensor y;
        switch (draw(m, 8)) {
        case 0: case 1: case 2: case 3: y = elementwise(m, x); break;
        case 4: case 5: y = moved(m, x); break;
        case 6: y = summed(m, x); break;
        default: y = contracted(m, x); break;
        }
        cr_assert(wf_ok(y), "%s", wf_graph_message(m->g));
        if (wf_count(y) <= 12000 && wf_rank(y) < 6) m->pool[m->n++] = y;
    }
}

static void add_assigns(model *m) {
    for (int i = 0; i < m->n_leaf; i++) {
        const wf_shape s = wf_shape_of_tensor(m->leaf[i]);
        wf_tensor v = alike(m, m->leaf[i]);
        const wf_shape t = wf_shape_of_tensor(v);
        switch (draw(m, 4)) {
        case 0: v = m->leaf[draw(m, (uint32_t)m->n_leaf)]; break; /* swaps and cycles */
        case 1: break;
        case 2: v = wf_add(m->leaf[i], wf_mul_scalar(v, 0.5)); break;
        default: continue;
        }
        const wf_shape u = wf_shape_of_tensor(v);
        if (!wf_shape_equal(&s, &t) || !wf_shape_equal(&s, &u)) continue;
        m->assign[m->n_assign] = wf_assign(m->leaf[i], v);
        cr_assert(wf_ok(m->assign[m->n_assign++]), "%s", wf_graph_message(m->g));
    }
}

static void build(model *m, uint64_t seed) {
    memset(m, 0, sizeof *m);
    m->rng = seed * 7919 + 17;
    for (int i = 0; i < 4; i++) draw(m, 2);
    m->real = draw(m, 3) ? WF_F32 : WF_F64;
    m->g = wf_graph_new();
    m->n_leaf = 3 + (int)draw(m, LEAVES - 3);
    for (int i = 0; i < m->n_leaf; i++) {
        const wf_shape s = i == 0 ? WF_SHAPE(4, 6) : some_shape(m);
        cr_assert(wf_type_bytes(m->real, &s, &m->bytes[i]));
        m->data[i] = malloc(m->bytes[i]);
        m->first[i] = malloc(m->bytes[i]);
        fill(m, m->real, m->first[i], m->bytes[i]);
        memcpy(m->data[i], m->first[i], m->bytes[i]);
        m->pool[m->n++] = m->leaf[i] = wf_leaf(m->g, "leaf", m->real, s, m->data[i]);
    }
    const wf_shape s = some_shape(m);
    cr_assert(wf_type_bytes(m->real, &s, &m->input_bytes));
    m->input_data = malloc(m->input_bytes);
    fill(m, m->real, m->input_data, m->input_bytes);
    m->pool[m->n++] = m->input = wf_input(m->g, "x", m->real, s);
    m->pool[m->n++] = wf_const(m->g, m->real, WF_SHAPE(6), (double[]){1, 2, 3, 4, 5, 6});
    grow(m, 4 + (int)draw(m, 40));
    for (int i = 0; i < OUTPUTS; i++) m->out[i] = i < 2 ? m->pool[m->n - 1 - i] : any(m);
    add_assigns(m);
}

static void demolish(model *m) {
    for (int i = 0; i < m->n_leaf; i++) {
        free(m->data[i]);
        free(m->first[i]);
    }
    free(m->input_data);
    wf_graph_free(m->g);
}

static const void *bind(void *user, uint32_t id) {
    const model *m = user;
    return id == m->input.id ? m->input_data : NULL;
}

static size_t bytes_of(wf_tensor t) {
    const wf_shape s = wf_shape_of_tensor(t);
    size_t bytes = 0;
    cr_assert(wf_type_bytes(wf_dtype_of(t), &s, &bytes));
    return bytes;
}

/* What the reference gives: outputs, then assigned values. */
static void reference(model *m, void **want) {
    uint32_t id[OUTPUTS + LEAVES];
    const int n = OUTPUTS + m->n_assign;
    for (int i = 0; i < n; i++) {
        const wf_tensor t = i < OUTPUTS ? m->out[i] : m->assign[i - OUTPUTS];
        id[i] = t.id;
        want[i] = malloc(bytes_of(t) + 1);
    }
    cr_assert_eq(wf_reference(m->g, id, want, n, bind, m), WF_OK, "%s", wf_error());
}

/* Largest difference relative to the largest value. */
static double distance(wf_dtype t, const void *a, const void *b, size_t bytes) {
    double worst = 0, most = 1;
    for (size_t i = 0; i < bytes; i += wf_dtype_bytes(t)) {
        const double x = wf_load(t, (const char *)a + i), y = wf_load(t, (const char *)b + i);
        if (isnan(x) && isnan(y)) continue;
        if (!(fabs(x - y) <= worst)) worst = x == y ? worst : fabs(x - y);
        if (fabs(y) > most && isfinite(y)) most = fabs(y);
        if (isnan(x) != isnan(y)) return INFINITY;
    }
    return worst / most;
}

static void check(model *m, uint64_t seed, unsigned off, void **want) {
    void *first[OUTPUTS] = {0};
    const double most = m->real == WF_F64 ? 1e-9 : 1e-4;
    size_t arena = 0;
    for (int threads = 1; threads <= 3; threads++) {
        wf_program *p;
        for (int i = 0; i < m->n_leaf; i++) memcpy(m->data[i], m->first[i], m->bytes[i]);
        wf_compile_opt o = {.off = off, .threads = threads};
        o.memory = arena * (size_t)(10 - threads) / 10; /* the second and third with a budget */
        wf_status status = wf_compile(&p, m->g, m->out, OUTPUTS, o);
        if (o.memory && status == WF_MEMORY) {
            o.memory = 0;
            status = wf_compile(&p, m->g, m->out, OUTPUTS, o);
        }
        cr_assert_eq(status, WF_OK, "seed %d off %x: %s", (int)seed, off, wf_error());
        if (threads == 1) arena = wf_program_describe(p).arena_bytes;
        cr_assert(!o.memory || wf_program_describe(p).arena_bytes <= o.memory);
        cr_assert_eq(wf_plan_verify(&p->plan), WF_OK, "seed %d: %s", (int)seed, wf_error());
        cr_assert_geq(wf_program_describe(p).arena_bytes, wf_program_describe(p).live_bytes);
        void *x = wf_data(p, m->input);
        if (x) memcpy(x, m->input_data, m->input_bytes);
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < m->n_leaf; i++) memcpy(m->data[i], m->first[i], m->bytes[i]);
            cr_assert_eq(wf_run(p), WF_OK);
            for (int i = 0; i < OUTPUTS; i++) {
                const size_t bytes = bytes_of(m->out[i]);
                const void *got = wf_data(p, m->out[i]);
                cr_assert(got, "%s", wf_error());
                const double d = distance(m->real, got, want[i], bytes);
                cr_assert(d <= most, "seed %d off %x threads %d round %d output %d (%%%u): %g",
                          (int)seed, off, threads, round, i, m->out[i].id, d);
                if (!first[i]) first[i] = memcpy(malloc(bytes + 1), got, bytes);
                cr_assert_eq(memcmp(first[i], got, bytes), 0, "seed %d: bits differ", (int)seed);
            }
            for (int i = 0; i < m->n_assign; i++) {
                const uint32_t leaf = wf_node_in(m->g, m->assign[i].id)[0];
                const wf_leaf_attr *a = wf_graph_node(m->g, leaf)->attr;
                const double d = distance(m->real, a->data, want[OUTPUTS + i],
                                          bytes_of(m->assign[i]));
                cr_assert(d <= most, "seed %d off %x threads %d round %d leaf %%%u: %g", (int)seed,
                          off, threads, round, leaf, d);
            }
        }
        wf_program_free(p);
    }
    for (int i = 0; i < OUTPUTS; i++) free(first[i]);
}

static void try_seed(uint64_t seed) {
    static const unsigned off[] = {0, WF_PASS_ALL, WF_PASS_FAST, WF_PASS_SIMPLIFY, WF_PASS_INPLACE,
                                   WF_PASS_MERGE, WF_PASS_FUSE};
    model m;
    void *want[OUTPUTS + LEAVES];
    build(&m, seed);
    for (int i = 0; i < m.n_leaf; i++) memcpy(m.data[i], m.first[i], m.bytes[i]);
    reference(&m, want);
    for (size_t i = 0; i < WF_COUNT(off); i++) check(&m, seed, off[i], want);
    for (int i = 0; i < OUTPUTS + m.n_assign; i++) free(want[i]);
    demolish(&m);
}

/* WF_SEED=n tries one seed, WF_SEEDS=n the first n. */
Test(compiler_random, programs_give_the_reference) {
    const char *one = getenv("WF_SEED"), *many = getenv("WF_SEEDS");
    const uint64_t first = one ? strtoull(one, NULL, 10) : 0;
    const uint64_t n = one ? 1 : many ? strtoull(many, NULL, 10) : 60;
    for (uint64_t seed = first; seed < first + n; seed++) try_seed(seed);
}
