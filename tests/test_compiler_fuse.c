/* Fusion: what is fused, that it changes no bit, and what it saves. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"
#include "models/convlstm/model.h"
#include "tensor/size.h"

static wf_program *compiled(wf_graph *g, const wf_tensor *out, int n, unsigned off, int threads) {
    wf_program *p;
    const wf_compile_opt o = {.off = off, .threads = threads};
    cr_assert_eq(wf_compile(&p, g, out, n, o), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_plan_verify(&p->plan), WF_OK, "%s", wf_error());
    return p;
}

/* --- what is fused ---------------------------------------------------------------------------- */

/* The example in the header of fuse.c. */
Test(compiler_fuse, one_pass_over_memory) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(8, 64));
    const wf_tensor b = wf_input(g, "b", WF_F32, WF_SHAPE(64));
    const wf_tensor y = wf_exp(wf_reshape(wf_sigmoid(wf_add(x, b)), WF_SHAPE(512)));
    wf_program *p = compiled(g, &y, 1, 0, 1);
    const wf_program_info i = wf_program_describe(p);
    cr_assert(i.launches == 1 && i.groups == 1 && i.kernels == 1 && i.fused == 3);
    cr_assert_eq(i.moved_bytes, 4 * (512 + 64 + 512));
    cr_assert_eq(i.alone_bytes, 4 * (512 + 64 + 512 + 512 + 512 + 512 + 512));
    wf_program_free(p);
    wf_graph_free(g);
}

/* A value that a contraction needs before the group could have it splits the group. */
Test(compiler_fuse, no_cycle_through_a_contraction) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(16, 16));
    const wf_tensor a = wf_tanh(wf_exp(x)), b = wf_matmul(a, x), y = wf_mul(wf_neg(a), wf_sin(b));
    wf_program *p = compiled(g, &y, 1, 0, 1);
    cr_assert_eq(wf_program_describe(p).groups, 2);
    wf_program_free(p);
    wf_graph_free(g);
}

/* Gates: slices of one contraction, four results side by side, a value in place. */
Test(compiler_fuse, a_cell_is_one_group) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(6, 8));
    const wf_tensor w = wf_input(g, "w", WF_F32, WF_SHAPE(8, 32));
    const wf_tensor c = wf_input(g, "c", WF_F32, WF_SHAPE(6, 8));
    const wf_tensor b = wf_input(g, "b", WF_F32, WF_SHAPE(32));
    const wf_tensor z = wf_add(wf_matmul(x, w), b);
    wf_tensor part[4];
    for (int k = 0; k < 4; k++) part[k] = wf_slice(z, 1, 8 * k, 8, 1);
    const wf_tensor i = wf_sigmoid(part[0]), f = wf_sigmoid(part[1]), u = wf_tanh(part[2]);
    const wf_tensor o = wf_sigmoid(part[3]);
    const wf_tensor c1 = wf_add(wf_mul(f, c), wf_mul(i, u)), h = wf_mul(o, wf_relu(c1));
    const wf_tensor out[] = {wf_concat((wf_tensor[]){i, f, u, o}, 4, 1), c1, h};
    wf_program *p = compiled(g, out, 3, 0, 1);
    const wf_program_info info = wf_program_describe(p);
    cr_assert_eq(info.groups, 1);
    cr_assert_eq(info.copies, 0);
    cr_assert_eq(p->plan.kernel[0].group.n_out, 6);
    wf_program_free(p);
    wf_graph_free(g);
}

/* The updates of all parameters are one launch, whatever their sizes. */
Test(compiler_fuse, updates_are_one_launch) {
    static float w[6][64 * 6];
    wf_graph *g = wf_graph_new();
    for (int i = 0; i < 6; i++) {
        const wf_tensor l = wf_leaf(g, "w", WF_F32, WF_SHAPE(64 * (i + 1)), w[i]);
        wf_assign(l, wf_sub(l, wf_mul_scalar(wf_tanh(l), 0.5 + i)));
    }
    wf_program *p = compiled(g, NULL, 0, 0, 1);
    cr_assert_eq(wf_program_describe(p).groups, 6);
    cr_assert_eq(wf_program_describe(p).kernels, 1);
    cr_assert_eq(wf_program_describe(p).launches, 1);
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 64 * (i + 1); k++) w[i][k] = (float)k / 64;
    cr_assert_eq(wf_run(p), WF_OK);
    for (int i = 0; i < 6; i++) {
        const float x = (float)(64 * i + 63) / 64;
        cr_assert_float_eq(w[i][64 * i + 63], x - tanhf(x) * (0.5f + (float)i), 1e-5);
    }
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_fuse, explain_tells_groups_and_reasons) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 6)), a = wf_tanh(wf_exp(x));
    const wf_tensor y = wf_exp(wf_sin(wf_transpose(a, 0, 1)));
    wf_program *p = compiled(g, &y, 1, 0, 1);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_program_explain(p, f), WF_OK);
    fclose(f);
    cr_assert(strstr(text, "launch 0: group 1"), "%s", text);
    cr_assert(strstr(text, "through a view that changes the order"), "%s", text);
    free(text);
    cr_assert_eq(wf_program_explain(NULL, stdout), WF_ARGUMENT);
    cr_assert_eq(wf_program_explain(p, NULL), WF_ARGUMENT);
    wf_program_free(p);
    wf_graph_free(g);
}

/* --- random graphs: fused and unfused, bit for bit -------------------------------------------- */

enum { POOL = 120, LEAVES = 4, OUTPUTS = 5, N_OFF = 4 };

typedef struct model {
    uint64_t rng;
    wf_graph *g;
    wf_tensor pool[POOL], out[OUTPUTS];
    float *leaf[LEAVES], *first[LEAVES];
    int64_t count[LEAVES];
    int n;
} model;

static uint32_t draw(model *m, uint32_t below) {
    m->rng = m->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((m->rng >> 33) % below);
}

/* The most recent half is more likely: deep graphs. */
static wf_tensor any(model *m) {
    const uint32_t n = (uint32_t)m->n, i = draw(m, n);
    return m->pool[draw(m, 2) ? n - 1 - i / 2 : i];
}

/* A value whose shape broadcasts with x's; x itself if there is none. */
static wf_tensor fits(model *m, wf_tensor x) {
    const wf_shape s = wf_shape_of_tensor(x);
    for (int tries = 0; tries < 30; tries++) {
        const wf_tensor y = any(m);
        const wf_shape t = wf_shape_of_tensor(y);
        wf_shape both;
        if (wf_broadcast(&s, &t, &both) && wf_shape_equal(&both, &s)) return y;
    }
    return x;
}

static wf_tensor elementwise(model *m, wf_tensor x) {
    const wf_tensor y = fits(m, x), z = fits(m, x);
    switch (draw(m, 12)) {
    case 0: return wf_add(x, y);
    case 1: return wf_mul(wf_tanh(x), wf_sigmoid(y));
    case 2: return wf_relu(wf_sub(x, y));
    case 3: return wf_select(wf_greater(x, y), wf_tanh(x), wf_neg(y));
    case 4: return wf_fma(wf_tanh(x), wf_tanh(y), z);
    case 5: return wf_cast(wf_add(wf_cast(x, WF_F64), wf_cast(wf_tanh(y), WF_F64)), WF_F32);
    case 6: return wf_clamp(x, wf_scalar(m->g, WF_F32, -1), wf_scalar(m->g, WF_F32, 2));
    case 7: {
        wf_tensor t[11];
        for (int i = 0; i < 11; i++) t[i] = i % 3 ? wf_mul_scalar(x, 0.01 * i) : wf_tanh(x);
        return wf_add_n(t, 2 + (int)draw(m, 10));
    }
    case 8: return wf_div(x, wf_add_scalar(wf_square(wf_tanh(y)), 1));
    case 9: return wf_maximum(wf_cast(wf_cast(x, WF_BF16), WF_F32), wf_mul_scalar(y, 0.5));
    case 10: return wf_sin(x);
    default: return wf_abs(wf_sub(y, x));
    }
}

static wf_tensor moved(model *m, wf_tensor x) {
    const int rank = wf_rank(x);
    if (rank == 0) return wf_exp(wf_neg(wf_abs(x)));
    const int axis = (int)draw(m, (uint32_t)rank);
    const int64_t d = wf_dim(x, axis), half = d / 2;
    const wf_tensor t = wf_tanh(x);
    switch (draw(m, 9)) {
    case 0: return wf_reshape(x, WF_SHAPE(-1));
    case 1: return rank > 1 ? wf_transpose(x, 0, rank - 1) : wf_flip(x, 0);
    case 2: return wf_flip(x, axis);
    case 3: return wf_concat((wf_tensor[]){t, wf_sigmoid(x)}, 2, axis);
    case 4: return wf_stack((wf_tensor[]){t, wf_sin(x), x}, 3, axis);
    case 5: /* halves apart and together again: what sinks */
        if (half < 1) return t;
        return wf_concat((wf_tensor[]){wf_exp(wf_neg(wf_square(wf_slice(t, axis, 0, half, 1)))),
                                       wf_cos(wf_slice(t, axis, half, d - half, 1))}, 2, axis);
    case 6: return wf_reshape(x, WF_SHAPE(1, 1, wf_count(x)));
    case 7: return wf_index(x, axis, draw(m, (uint32_t)d));
    default: return wf_sum(t, (wf_reduce_opt){.n_axes = 1, .axes = {axis}, .keepdims = draw(m, 2)});
    }
}

static void build(model *m, uint64_t seed) {
    static const int64_t dim[LEAVES][3] = {{2, 6, 8}, {6, 8, 0}, {8, 0, 0}, {40, 96, 0}};
    memset(m, 0, sizeof *m);
    m->rng = seed * 7919 + 3;
    for (int i = 0; i < 4; i++) draw(m, 2);
    m->g = wf_graph_new();
    wf_tensor leaf[LEAVES];
    for (int i = 0; i < LEAVES; i++) {
        const wf_shape s = wf_shape_make(dim[i][1] == 0 ? 1 : dim[i][2] == 0 ? 2 : 3, dim[i]);
        m->count[i] = wf_shape_count(&s);
        m->leaf[i] = malloc(sizeof(float) * (size_t)m->count[i]);
        m->first[i] = malloc(sizeof(float) * (size_t)m->count[i]);
        for (int64_t k = 0; k < m->count[i]; k++)
            m->first[i][k] = (float)draw(m, 4001) / 1000 - 2;
        m->pool[m->n++] = leaf[i] = wf_leaf(m->g, "leaf", WF_F32, s, m->leaf[i]);
    }
    for (int nodes = 20 + (int)draw(m, 70); nodes > 0 && m->n < POOL; nodes--) {
        const wf_tensor x = any(m), y = draw(m, 4) ? elementwise(m, x) : moved(m, x);
        cr_assert(wf_ok(y), "%s", wf_graph_message(m->g));
        if (wf_count(y) <= 20000 && wf_rank(y) < 6) m->pool[m->n++] = y;
    }
    for (int i = 0; i < OUTPUTS; i++) m->out[i] = i < 2 ? m->pool[m->n - 1 - i] : any(m);
    for (int i = 0; i < LEAVES; i++)
        if (draw(m, 2)) wf_assign(leaf[i], wf_add(leaf[i], wf_tanh(fits(m, leaf[i]))));
}

static size_t bytes_of(wf_tensor t) {
    const wf_shape s = wf_shape_of_tensor(t);
    size_t bytes = 0;
    cr_assert(wf_type_bytes(wf_dtype_of(t), &s, &bytes));
    return bytes;
}

/* All that two runs leave behind, in one buffer. */
static char *results(model *m, unsigned off, int threads, size_t *size, uint32_t *groups) {
    for (int i = 0; i < LEAVES; i++)
        memcpy(m->leaf[i], m->first[i], sizeof(float) * (size_t)m->count[i]);
    wf_program *p = compiled(m->g, m->out, OUTPUTS, off, threads);
    *groups = wf_program_describe(p).groups;
    cr_assert_eq(wf_run(p), WF_OK);
    cr_assert_eq(wf_run(p), WF_OK);
    *size = 0;
    for (int i = 0; i < OUTPUTS; i++) *size += bytes_of(m->out[i]);
    for (int i = 0; i < LEAVES; i++) *size += sizeof(float) * (size_t)m->count[i];
    char *all = malloc(*size), *at = all;
    for (int i = 0; i < OUTPUTS; at += bytes_of(m->out[i++]))
        memcpy(at, wf_data(p, m->out[i]), bytes_of(m->out[i]));
    for (int i = 0; i < LEAVES; at += sizeof(float) * (size_t)m->count[i++])
        memcpy(at, m->leaf[i], sizeof(float) * (size_t)m->count[i]);
    wf_program_free(p);
    return all;
}

/* WF_SEED=n tries one seed, WF_SEEDS=n the first n. */
Test(compiler_fuse, fused_programs_have_the_bits_of_unfused_ones) {
    const char *one = getenv("WF_SEED"), *many = getenv("WF_SEEDS");
    const uint64_t from = one ? strtoull(one, NULL, 10) : 0;
    const uint64_t n = one ? 1 : many ? strtoull(many, NULL, 10) : 150;
    uint32_t total = 0;
    for (uint64_t seed = from; seed < from + n; seed++) {
        model m;
        size_t size, same;
        uint32_t groups;
        build(&m, seed);
        char *want = results(&m, WF_PASS_FUSE, 1, &size, &groups);
        cr_assert_eq(groups, 0);
        for (int threads = 1; threads <= 3; threads++) {
            char *got = results(&m, 0, threads, &same, &groups);
            cr_assert(same == size && memcmp(want, got, size) == 0, "seed %d, %d threads",
                      (int)seed, threads);
            free(got);
        }
        char *got = results(&m, WF_PASS_INPLACE, 2, &same, &groups);
        cr_assert(memcmp(want, got, size) == 0, "seed %d, without inplace", (int)seed);
        total += groups;
        free(got);
        free(want);
        for (int i = 0; i < LEAVES; i++) {
            free(m.leaf[i]);
            free(m.first[i]);
        }
        wf_graph_free(m.g);
    }
    cr_assert_gt(total, n);
}

/* --- limits ----------------------------------------------------------------------------------- */

/* Groups are split, whatever runs out: steps, operands, outputs. */
Test(compiler_fuse, full_groups_are_split) {
    enum { N = 70 };
    wf_graph *g = wf_graph_new();
    wf_tensor x[N], out[N], sum, chain;
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        x[i] = wf_input(g, name, WF_F32, WF_SHAPE(5, 7));
    }
    sum = chain = x[0];
    for (int i = 1; i < N; i++) {
        sum = wf_add(wf_mul(sum, x[i]), x[i - 1]);
        chain = wf_sub(wf_tanh(chain), x[0]);
        out[i - 1] = wf_mul_scalar(x[0], i);
    }
    out[N - 1] = wf_add(sum, wf_add(chain, wf_add_n(x, N)));
    float *first = NULL;
    for (int fused = 0; fused < 2; fused++) {
        wf_program *p = compiled(g, out, N, fused ? 0 : WF_PASS_FUSE, 1);
        for (int i = 0; i < N; i++)
            for (int k = 0; k < 35; k++)
                ((float *)wf_data(p, x[i]))[k] = (float)((i * 31 + k * 17) % 101) / 50 - 1;
        cr_assert_eq(wf_run(p), WF_OK);
        if (!fused) first = malloc(N * 35 * sizeof *first);
        for (int i = 0; i < N; i++) {
            if (!fused) memcpy(first + i * 35, wf_data(p, out[i]), 35 * sizeof *first);
            cr_assert_eq(memcmp(first + i * 35, wf_data(p, out[i]), 35 * sizeof *first), 0);
        }
        if (fused) cr_assert_gt(wf_program_describe(p).groups, 3);
        wf_program_free(p);
    }
    free(first);
    wf_graph_free(g);
}

/* --- the training step ------------------------------------------------------------------------ */

/* Launches of elementwise operations, and the bytes they touch, from the plan's arrays. */
static void count(const wf_plan *p, uint32_t *launches, double *bytes) {
    *launches = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < p->n_launch; i++) {
        const wf_launch *l = &p->launch[i];
        if (!l->group && (l->call.op->kind != WF_KIND_ELEMENTWISE || l->copy)) continue;
        *launches += l->chain == 0; /* members of a chain are one launch, counted as the kernel's */
        const uint32_t m = (uint32_t)l->call.n_in + l->n_out;
        for (uint32_t k = 0; k < m * l->rows; k++) {
            const uint32_t at = l->group ? p->sweep[l->group - 1 + k / m].array : l->array;
            const wf_array *a = &p->array[at + k % m];
            if (p->storage[p->operand[at + k % m].storage].where == WF_WHERE_TILE) continue;
            double n = (double)wf_dtype_bytes(a->dtype);
            for (int axis = 0; axis < a->shape.rank; axis++)
                if (a->stride[axis] != 0) n *= (double)a->shape.dim[axis];
            *bytes += n;
        }
    }
}

/* Two steps; the loss, the norm and a digest of all parameters. */
static uint64_t train(unsigned off, int threads, uint32_t *launches, double *bytes) {
    const convlstm_size s = {.frames = 12, .batch = 4, .height = 16, .width = 16, .hidden = 4};
    wf_params *w = wf_params_new(7);
    convlstm_program c;
    const wf_compile_opt o = {.off = off, .threads = threads};
    cr_assert_eq(convlstm_trainer(&c, w, s, 2, o), WF_OK, "%s", wf_error());
    count(&c.program->plan, launches, bytes);
    for (int64_t i = 0; i < s.frames * s.batch * s.height * s.width; i++) {
        c.x[i] = (float)(i * 37 % 101) / 101;
        c.target[i] = (float)(i * 31 % 97) / 97;
    }
    *c.lr = 1e-3f;
    for (int i = 0; i < 3; i++) cr_assert_eq(wf_run(c.program), WF_OK);
    uint64_t h = 0;
    for (uint32_t i = 1; i < c.program->plan.n_storage; i++) {
        const wf_storage *v = &c.program->plan.storage[i];
        uint64_t one = 0;
        if (v->where != WF_WHERE_LEAF || v->bytes <= sizeof(double)) continue;
        for (size_t k = 0; k < v->bytes; k++)
            one = (one ^ ((unsigned char *)v->data)[k]) * UINT64_C(1099511628211);
        h += one;
    }
    uint32_t loss, norm;
    memcpy(&loss, c.loss, 4);
    memcpy(&norm, c.norm, 4);
    convlstm_program_free(&c);
    wf_params_free(w);
    return h ^ ((uint64_t)loss << 32 | norm);
}

Test(compiler_fuse, the_training_step) {
    uint32_t launches, fused_launches, again;
    double bytes, fused_bytes, b;
    const uint64_t want = train(WF_PASS_FUSE, 1, &launches, &bytes);
    cr_assert_eq(train(0, 1, &fused_launches, &fused_bytes), want);
    cr_assert_eq(train(0, 2, &again, &b), want);
    cr_assert_eq(train(0, 3, &again, &b), want);
    cr_assert_geq(launches, 6 * fused_launches, "%u launches, fused %u", launches, fused_launches);
    cr_assert_geq(bytes, 4 * fused_bytes, "%g bytes, fused %g", bytes, fused_bytes);
}
