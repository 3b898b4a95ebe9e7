/* Contractions through their fast path, on the shapes of the bundled model (batch 8, 32x32, hidden
 * 64): forward, data gradient, weight gradient. Each result is verified on sampled elements against
 * the reference evaluation before it is timed; the share is of the multiply-add peak measured in
 * the same run. Minimal filtering (tensor/contract_winograd.h) makes fewer multiply-adds than are
 * counted; WF_WINOGRAD=off is without it.
 *
 *   bench_contract [text [mode]]   only the lines whose name contains text; computing in f32, f32x3
 *                                  or bf16 */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "tensor/contract.h"
#include "tensor/denormals.h"

enum { ROUNDS = 7, SAMPLES = 48 };

static wf_compute compute = WF_COMPUTE_F32;

static double random_unit(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (1 << 23) - 1;
}

static void *new_floats(int64_t n) {
    return aligned_alloc(64, ((size_t)n * sizeof(float) + 127) / 64 * 64);
}

/* A contract node made runnable: dense operands with random values, scratch for every thread. */
typedef struct subject {
    wf_call call;
    wf_array in[2];
    void *scratch, *shared;
    size_t scratch_bytes;
    double flop;
} subject;

static subject make_subject(const wf_graph *g, uint32_t id) {
    subject s = {.flop = 2};
    const wf_node *x = wf_graph_node(g, id);
    const wf_contract_attr *c = x->attr;
    uint64_t state = 1;
    for (int i = 0; i < 2; i++) {
        const wf_type *t = &wf_graph_node(g, wf_node_in(g, id)[i])->type;
        const int64_t n = wf_shape_count(&t->shape);
        s.in[i] = wf_array_dense(new_floats(n), t->dtype, &t->shape);
        for (int64_t k = 0; k < n; k++) ((float *)s.in[i].data)[k] = (float)random_unit(&state);
    }
    s.flop *= (double)wf_shape_count(&x->type.shape);
    for (int k = 0; k < c->source[0].n_sum; k++) s.flop *= (double)c->source[0].sum[k];
    s.call = (wf_call){.op = x->op, .attr = x->attr, .n_in = 2};
    s.call.out = wf_array_dense(new_floats(wf_shape_count(&x->type.shape)), WF_F32, &x->type.shape);
    return s;
}

static void run(const subject *s, int threads) {
    const wf_fast *f = s->call.op->fast;
#pragma omp parallel num_threads(threads)
    {
        const wf_fp_mode mode = wf_flush_denormals();
        void *scratch = (char *)s->scratch + (size_t)omp_get_thread_num() * s->scratch_bytes;
        for (int phase = 0; phase < f->phases; phase++) {
            const int64_t n = f->pieces(&s->call, phase);
#pragma omp for schedule(dynamic, 1)
            for (int64_t i = 0; i < n; i++) f->run(&s->call, phase, i, i + 1, scratch, s->shared);
        }
        wf_restore_denormals(mode);
    }
}

/* Relative L2 error over sampled elements. */
static double verify(const subject *s) {
    const int64_t n = wf_shape_count(&s->call.out.shape);
    subject ref = *s;
    ref.call.out.data = new_floats(n);
    const float *got = s->call.out.data, *want = ref.call.out.data;
    double error = 0, norm = 0;
    uint64_t state = 7;
    for (int i = 0; i < SAMPLES; i++) {
        const int64_t at = (int64_t)(fabs(random_unit(&state)) * (double)(n - 1));
        wf_contract_eval(&ref.call, at, at + 1);
        error += pow((double)got[at] - (double)want[at], 2);
        norm += pow((double)want[at], 2);
    }
    free(ref.call.out.data);
    return norm > 0 ? sqrt(error / norm) : sqrt(error);
}

static double best_time(const subject *s, int threads) {
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = bench_now();
        run(s, threads);
        const double t = bench_now() - start;
        if (t < best) best = t;
    }
    return best;
}

/* One line. Returns false if the result is wrong. */
static bool measure(const char *name, const wf_graph *g, uint32_t id, double peak) {
    subject s = make_subject(g, id);
    s.call.in = s.in;
    const wf_fast *f = s.call.op->fast;
    const int threads = bench_threads();
    s.scratch_bytes = (f->scratch_bytes(&s.call) + 63) / 64 * 64;
    s.scratch = aligned_alloc(64, s.scratch_bytes * (size_t)threads + 64);
    s.shared = aligned_alloc(64, (f->shared_bytes(&s.call) + 127) / 64 * 64);
    run(&s, threads);
    const double error = verify(&s), t = best_time(&s, threads);
    const bool ok = error <= (compute == WF_COMPUTE_F32X3 ? 1e-5 : 1e-6);
    printf("%-34s %8.3f ms %7.1f GFLOP/s %5.1f %% of peak   pieces %3lld  error %.1e %s\n", name,
           t * 1e3, s.flop / t * 1e-9, 100 * s.flop / t * 1e-9 / peak,
           (long long)(f->pieces(&s.call, 1) + f->pieces(&s.call, 2)), error,
           ok ? "[ok]" : "[WRONG]");
    fflush(stdout);
    for (int i = 0; i < 2; i++) free(s.in[i].data);
    free(s.call.out.data);
    free(s.scratch);
    free(s.shared);
    return ok;
}

typedef struct shape {
    const char *name;
    int batch, size, channels, filters, kernel, stride, groups;
} shape;

static const shape shapes[] = {
    {"conv 5x5 64->256", 8, 32, 64, 256, 5, 1, 1},
    {"conv 3x3 64->256", 8, 32, 64, 256, 3, 1, 1},
    {"conv 3x3 128->128", 8, 32, 128, 128, 3, 1, 1},
    {"conv 5x5 256->256", 8, 32, 256, 256, 5, 1, 1},
    {"conv 1x1 64->256", 8, 32, 64, 256, 1, 1, 1},
    {"conv 5x5 1->256", 8, 32, 1, 256, 5, 1, 1},
    {"conv 1x1 64->4", 8, 32, 64, 4, 1, 1, 1},
    {"conv 1x1 1->4", 8, 32, 1, 4, 1, 1, 1},
    {"conv 5x5 16->64", 8, 32, 16, 64, 5, 1, 1},
    {"conv 5x5 64->256 batch 1", 1, 32, 64, 256, 5, 1, 1},
    {"conv 3x3/2 64->128", 8, 32, 64, 128, 3, 2, 1},
    {"conv 3x3 64->64 groups 4", 8, 32, 64, 64, 3, 1, 4},
    {"conv 3x3 64->64 groups 64", 8, 32, 64, 64, 3, 1, 64},
    {"conv 7x7/2 3->64 of 112", 2, 112, 3, 64, 7, 2, 1},
};

/* The contract node under `t`, which may be a reshaped one (groups). */
static uint32_t contract_of(wf_tensor t) {
    while (wf_ok(t) && wf_graph_node(t.graph, t.id)->op != &wf_op_contract)
        t.id = wf_node_in(t.graph, t.id)[0];
    return t.id;
}

/* The contraction of two leaves in the mode that is measured. */
static uint32_t recast(wf_graph *g, uint32_t id) {
    const uint32_t *from = wf_node_in(g, id);
    const wf_tensor in[2] = {wf_handle(g, from[0]), wf_handle(g, from[1])};
    return compute ? wf_contract_recast(g, id, in, compute, false).id : id;
}

static bool directions(const shape *s, const char *only, double peak) {
    static const char *const direction[] = {"forward", "data gradient", "weight gradient"};
    bool ok = true;
    for (int d = 0; d < 3; d++) {
        char name[96];
        snprintf(name, sizeof name, "%s %s", s->name, direction[d]);
        if (!strstr(name, only)) continue;
        wf_graph *g = wf_graph_new();
        const wf_tensor x =
            wf_input(g, "x", WF_F32, WF_SHAPE(s->batch, s->size, s->size, s->channels));
        const wf_tensor w = wf_input(g, "w", WF_F32, WF_SHAPE(s->filters, s->kernel, s->kernel,
                                                              s->channels / s->groups));
        const int pad = s->kernel / 2;
        const wf_tensor y = wf_conv(x, w, (wf_conv_opt){.stride = {s->stride, s->stride},
                                                        .pad = {pad, pad}, .groups = s->groups});
        uint32_t id = contract_of(y);
        if (d > 0) {
            const uint32_t *in = wf_node_in(g, id);
            const wf_tensor operand[2] = {wf_handle(g, in[0]), wf_handle(g, in[1])};
            const wf_node *n = wf_graph_node(g, id);
            const wf_tensor dy = wf_input(g, "dy", WF_F32, n->type.shape);
            wf_tensor gx[2] = {{0}, {0}};
            n = wf_graph_node(g, id);
            wf_contract_grad(&(wf_grad_call){.graph = g, .y = wf_handle(g, id), .g = dy, .n_in = 2,
                                             .attr = n->attr, .x = operand,
                                             .wanted = (bool[]){d == 1, d == 2}, .gx = gx});
            id = gx[d - 1].id;
        }
        ok &= measure(name, g, recast(g, id), peak);
        wf_graph_free(g);
    }
    return ok;
}

static bool matmuls(const char *only, double peak) {
    static const int size[][3] = {{512, 512, 512}, {1024, 1024, 1024}, {32, 4096, 1024},
                                  {8192, 256, 1600}, {4096, 1, 4096}, {1, 4096, 4096}};
    bool ok = true;
    for (size_t i = 0; i < WF_COUNT(size); i++) {
        char name[96];
        snprintf(name, sizeof name, "matmul %d x %d x %d", size[i][0], size[i][1], size[i][2]);
        if (!strstr(name, only)) continue;
        wf_graph *g = wf_graph_new();
        const wf_tensor a = wf_input(g, "a", WF_F32, WF_SHAPE(size[i][0], size[i][2]));
        const wf_tensor b = wf_input(g, "b", WF_F32, WF_SHAPE(size[i][2], size[i][1]));
        ok &= measure(name, g, recast(g, wf_matmul(a, b).id), peak);
        wf_graph_free(g);
    }
    return ok;
}

int main(int argc, char **argv) {
    const char *only = argc > 1 ? argv[1] : "";
    for (int m = WF_COMPUTE_BF16; m > 0 && argc > 2; m--)
        if (strcmp(argv[2], wf_compute_name(m)) == 0) compute = (wf_compute)m;
    double peak = bench_header("bench_contract");
    bool ok = true;
    for (size_t i = 0; i < WF_COUNT(shapes); i++) {
        peak = fmax(peak, bench_peak_fma(bench_threads())); /* the machine may be shared */
        ok &= directions(&shapes[i], only, peak);
    }
    ok &= matmuls(only, peak);
    return ok ? 0 : 1;
}
