/* Contractions that compute in bf16 and f32x3: the fast path against the reference evaluation, over
 * the grid of odd shapes, in all directions. */
#include "tensor/kernels/cells.h"
#include "tests/contract_cases.h"

static const wf_compute modes[] = {WF_COMPUTE_BF16, WF_COMPUTE_F32X3};

Test(tensor_contract_modes, conv_agrees_with_eval_in_all_directions) {
    for (size_t i = 0; i < WF_COUNT(conv_cases); i++)
        for (size_t m = 0; m < WF_COUNT(modes); m++) {
            char name[48];
            wf_graph *g = wf_graph_new();
            snprintf(name, sizeof name, "conv case %zu in %s", i, wf_compute_name((int)modes[m]));
            const wf_tensor y = contraction(build_conv(g, &conv_cases[i]));
            check_all_directions(recast(y, modes[m]), name);
            wf_graph_free(g);
        }
}

Test(tensor_contract_modes, matmul_agrees_with_eval) {
    static const int64_t m[] = {1, 2, 13, 29, 65}, n[] = {1, 5, 16, 33, 64}, k[] = {1, 7, 64, 1500};
    for (size_t a = 0; a < WF_COUNT(m); a++)
        for (size_t b = 0; b < WF_COUNT(n); b++)
            for (size_t c = 0; c < WF_COUNT(k); c++)
                for (size_t i = 0; i < WF_COUNT(modes); i++) {
                    char name[64];
                    wf_graph *g = wf_graph_new();
                    snprintf(name, sizeof name, "matmul %d %d %d in %s", (int)m[a], (int)n[b],
                             (int)k[c], wf_compute_name((int)modes[i]));
                    check_fast(recast(wf_matmul(f32(g, WF_SHAPE(m[a], k[c])),
                                                f32(g, WF_SHAPE(k[c], n[b]))), modes[i]), name);
                    wf_graph_free(g);
                }
}

/* --- arrays in bf16 --------------------------------------------------------------------------- */

/* A bf16 result is the f32 one rounded; operands of either kind count alike. */
static void check_narrow(wf_tensor t, wf_compute compute, const char *what) {
    for (unsigned halves = compute == WF_COMPUTE_BF16 ? 0 : 2; halves < 4; halves++)
        for (int64_t gap = 0; gap < 2; gap++) {
            const wf_tensor wide = recast_narrow(t, halves, compute, false);
            const uint32_t *from = wf_node_in(t.graph, wide.id);
            const wf_tensor operand[2] = {wf_handle(t.graph, from[0]), wf_handle(t.graph, from[1])};
            const wf_tensor y = wf_contract_recast(t.graph, wide.id, operand, compute, true);
            const int64_t n = wf_count(t);
            float *want = reference(wide), *got = by_pieces(wide, 1, gap, NULL);
            uint16_t *half = (uint16_t *)by_pieces(y, 3, gap, NULL);
            const double error = relative(got, want, n);
            cr_assert(error <= (compute == WF_COMPUTE_F32X3 ? 2e-5 : 1e-6),
                      "%s, halves %u, gap %d: error %g", what, halves, (int)gap, error);
            for (int64_t i = 0; i < n; i++) { /* sums may be in another order, then rounded */
                const double value = wf_load(WF_BF16, &half[i]), to = (double)got[i];
                cr_assert(fabs(value - to) <= 0x1.001p-8 * fabs(to) + 1e-6 * sqrt((double)n),
                          "%s, halves %u: element %d is %g, expected %g", what, halves, (int)i,
                          value, to);
            }
            free(want);
            free(got);
            free(half);
        }
}

Test(tensor_contract_modes, operands_and_results_may_be_bf16) {
    for (size_t i = 0; i < WF_COUNT(conv_cases); i++)
        for (size_t m = 0; m < WF_COUNT(modes); m++) {
            char name[48];
            wf_graph *g = wf_graph_new();
            const wf_tensor y = contraction(build_conv(g, &conv_cases[i]));
            snprintf(name, sizeof name, "conv case %zu in %s", i, wf_compute_name((int)modes[m]));
            check_narrow(y, modes[m], name);
            snprintf(name, sizeof name, "conv case %zu, gradients", i);
            for (int k = 0; k < 2; k++) check_narrow(contraction(gradient(y, k)), modes[m], name);
            wf_graph_free(g);
        }
}

/* --- room for cells --------------------------------------------------------------------------- */

/* What source 0 of a contraction of dense operands is planned as. */
static void plan_of(wf_tensor t, wf_contract_plan *p, wf_source_plan *sp) {
    static wf_array in[8];
    static wf_call call;
    const wf_node *x = wf_graph_node(t.graph, t.id);
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_type *type = &wf_graph_node(t.graph, wf_node_in(t.graph, t.id)[i])->type;
        in[i] = wf_array_dense(NULL, type->dtype, &type->shape);
    }
    call = (wf_call){.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = in,
                     .out = wf_array_dense(NULL, x->type.dtype, &x->type.shape)};
    cr_assert(wf_contract_plan_make(p, &call));
    wf_contract_plan_source(p, 0, sp);
}

/* Gathered rows of the last block are shorter, and more of them are gathered at once:
 * x[k, k - 58, m] w[k, n]. */
Test(tensor_contract_modes, a_last_block_of_fewer_rows) {
    wf_graph *g = wf_graph_new();
    const wf_contract_source s = {
        .n_sum = 1, .sum = {60}, .rank_a = 3, .rank_b = 2,
        .a = {wf_plain(2), {.ca = 1, .a = 2, .offset = -58, .div = 1, .b = -1}, wf_plain(0)},
        .b = {wf_plain(2), wf_plain(1)}};
    const wf_tensor y = wf_contract_in(WF_COMPUTE_BF16, false, WF_SHAPE(6776, 64), &s,
                                       f32(g, WF_SHAPE(60, 2, 6776)), f32(g, WF_SHAPE(60, 64)));
    wf_contract_plan p;
    wf_source_plan sp;
    plan_of(y, &p, &sp);
    cr_assert(sp.u_mode == WF_FROM_GATHER && !sp.rows_form && p.m_rows == 212);
    check_fast(y, "a last block of fewer rows");
    wf_graph_free(g);
}

/* Rows of 512 halves are set apart in a box; those of 514 are not, and were counted. */
Test(tensor_contract_modes, a_last_chunk_of_512) {
    wf_graph *g = wf_graph_new();
    const wf_tensor in[2] = {f32(g, WF_SHAPE(14, 4, 1026)), f32(g, WF_SHAPE(4, 1026, 40))};
    const wf_tensor y = recast(contraction(wf_einsum("mab,abn->mn", in, 2)), WF_COMPUTE_BF16);
    wf_contract_plan p;
    wf_source_plan sp;
    plan_of(y, &p, &sp);
    cr_assert(sp.u_mode == WF_FROM_BOX && sp.box_by_chunk && sp.chunk_step == 514);
    check_fast(y, "a last chunk of 512");
    wf_graph_free(g);
}

/* A box of all k has longer rows than its largest chunk: x[c, m + 60 k] w[k, c, n]. */
Test(tensor_contract_modes, rows_of_a_box_of_all_k) {
    wf_graph *g = wf_graph_new();
    const wf_contract_source s = {
        .n_sum = 2, .sum = {100, 32}, .rank_a = 2, .rank_b = 3,
        .a = {wf_plain(3), {.ca = 1, .a = 0, .cb = 60, .b = 2, .div = 1}},
        .b = {wf_plain(2), wf_plain(3), wf_plain(1)}};
    const wf_tensor y = wf_contract_in(WF_COMPUTE_BF16, false, WF_SHAPE(16, 40), &s,
                                       f32(g, WF_SHAPE(32, 5956)), f32(g, WF_SHAPE(100, 32, 40)));
    wf_contract_plan p;
    wf_source_plan sp;
    plan_of(y, &p, &sp);
    cr_assert(sp.u_mode == WF_FROM_BOX && !sp.rows_form && !sp.box_by_chunk);
    check_fast(y, "rows of a box of all k");
    wf_graph_free(g);
}

/* --- micro kernels ---------------------------------------------------------------------------- */

/* Cells of random bf16 values. */
static void random_cells(uint32_t *cells, int n, uint64_t seed) {
    for (int i = 0; i < n; i++) {
        float x[2];
        for (int k = 0; k < 2; k++) x[k] = (float)next_random(&seed);
        wf_cells_plain.pair(x, x + 1, 1, cells + i, NULL);
    }
}

/* Tables with multiply-adds give the same bits; the plain one is as good as the compiler's. */
static void check_cells(const wf_tile_table *t, const wf_tile_table *same, bool rows, int mr,
                        int nv) {
    enum { LEN = 9, SEGS = 3, BK = 37, N = 4096, CM = 40, SIZE = WF_TILE_M * CM };
    static uint32_t a[N], b[N];
    const int64_t a_seg[SEGS] = {5, 1200, 700}, b_seg[SEGS] = {900, 3, 2000};
    random_cells(a, N, 5);
    random_cells(b, N, 6);
    for (int add = 0; add < 2; add++) {
        float got[SIZE], want[SIZE];
        for (int i = 0; i < SIZE; i++) got[i] = want[i] = (float)i;
        (rows ? t->rows : t->cols)[mr][nv]((const float *)a, 29, a_seg, (const float *)b, BK,
                                           b_seg, SEGS, LEN, got, CM, add);
        for (int row = 0; row < mr; row++) /* any block is made of those of one row */
            (rows ? same->rows : same->cols)[1][nv]((const float *)a + row * (rows ? 29 : 1), 29,
                                                    a_seg, (const float *)b, BK, b_seg, SEGS, LEN,
                                                    want + row * CM, CM, add);
        for (int i = 0; i < SIZE; i++)
            cr_assert(fabsf(got[i] - want[i]) <= (same == &wf_tile_cells
                                                      ? 1e-5f * (1 + fabsf(want[i])) : 0),
                      "%s %s %dx%d: %g, expected %g", t->name, rows ? "rows" : "cols", mr, 16 * nv,
                      (double)got[i], (double)want[i]);
    }
}

static void check_table(const wf_tile_table *t, const wf_tile_table *same) {
    for (int mr = 1; mr <= t->max_m; mr++)
        for (int form = 0; form < 4; form++) check_cells(t, same, form & 1, mr, 1 + form / 2);
}

Test(tensor_contract_modes, every_instruction_set_agrees_on_cells) {
    check_table(&wf_tile_cells, &wf_tile_cells);
#if defined(__x86_64__)
    if (wf_isa_get() >= WF_ISA_AVX2) check_table(&wf_tile_cells_avx2, &wf_tile_cells);
    if (wf_isa_get() < WF_ISA_AVX512) return;
    check_table(&wf_tile_cells_avx512, &wf_tile_cells_avx2);
    if (wf_cpu_has_bf16()) check_table(&wf_tile_avx512bf16, &wf_tile_cells_avx512);
#endif
}

/* Every float of some patterns of bits, by all tables: what wf_store rounds to. */
static void check_conversions(const wf_cell_table *t) {
    enum { N = 4099 };
    static float x[2 * N];
    static uint16_t hi[N], lo[N];
    static uint32_t cells[N], rest[N];
    uint64_t state = 9;
    for (int i = 0; i < 2 * N; i++) {
        uint32_t bits = (uint32_t)((next_random(&state) + 1) * 0x7fffffff);
        if (i % 3 == 0) bits = bits & 0x7fff8000; /* ties */
        if (i % 7 == 0) bits = 0x7f7f0000 | (bits & 0xffff); /* the largest */
        if ((bits & 0x7f800000) == 0) bits = 0; /* subnormal */
        memcpy(&x[i], &bits, sizeof bits);
        if (i % 101 == 0) x[i] = i % 2 ? INFINITY : -INFINITY;
    }
    t->narrow(x, N, hi, NULL);
    t->pair(x, x + N, N, cells, NULL);
    for (int i = 0; i < N; i++) {
        uint16_t want[2];
        for (int k = 0; k < 2; k++) wf_store(WF_BF16, &want[k], (double)x[i + k * N]);
        if (isnan(x[i])) cr_assert(isnan(wf_load(WF_BF16, &hi[i])));
        else cr_assert(hi[i] == want[0], "%a: %x, expected %x", (double)x[i], hi[i], want[0]);
        if (!isnan(x[i]) && !isnan(x[i + N]))
            cr_assert(cells[i] == (want[0] | (uint32_t)want[1] << 16));
    }
    t->narrow(x, N, hi, lo);
    t->pair(x, x + N, N, cells, rest);
    for (int i = 0; i < N; i++) {
        const double sum = wf_load(WF_BF16, &hi[i]) + wf_load(WF_BF16, &lo[i]);
        const double v = (double)x[i];
        cr_assert(isnan(v) ? isnan(sum) : isinf(v) ? sum == v
                  : fabs(sum - v) <= fabs(v) * 0x1p-16 + 1e-37, "%a is not %a", sum, v);
        cr_assert((cells[i] & 0xffff) == hi[i] && (rest[i] & 0xffff) == lo[i]);
    }
}

Test(tensor_contract_modes, values_are_rounded_to_nearest_even) {
    check_conversions(&wf_cells_plain);
    check_conversions(wf_cells_get());
#if defined(__x86_64__)
    if (wf_isa_get() >= WF_ISA_AVX2) check_conversions(&wf_cells_avx2);
    if (wf_isa_get() >= WF_ISA_AVX512) check_conversions(&wf_cells_avx512);
#endif
}

/* --- in programs ------------------------------------------------------------------------------ */

/* relu(conv(x, w)) and another convolution of it, in blocks of a chain where there are chains;
 * `narrow`: what is between them is bf16. */
static wf_tensor two_layers(wf_graph *g, wf_compute compute, bool narrow) {
    const wf_tensor x = f32(g, WF_SHAPE(4, 16, 16, 16)), w = f32(g, WF_SHAPE(40, 3, 3, 16));
    const wf_tensor last = f32(g, WF_SHAPE(24, 1, 1, 40));
    wf_tensor h = contraction(wf_conv(x, w, (wf_conv_opt){.pad = {1, 1}}));
    h = wf_contract_recast(g, h.id, (const wf_tensor[]){x, w}, compute, narrow);
    h = wf_relu(narrow ? wf_cast(h, WF_F32) : h);
    const wf_tensor y = contraction(wf_conv(h, last, (wf_conv_opt){0}));
    if (narrow) h = wf_cast(h, WF_BF16);
    return wf_add(wf_contract_recast(g, y.id, (const wf_tensor[]){h, last}, compute, false),
                  f32(g, WF_SHAPE(24)));
}

Test(tensor_contract_modes, programs_give_the_same_bits_on_any_number_of_threads) {
    for (int i = 0; i < 4; i++) {
        const wf_compute compute = modes[i / 2];
        const bool narrow = i % 2;
        wf_graph *g = wf_graph_new();
        const wf_tensor y = two_layers(g, compute, narrow);
        cr_assert(wf_ok(y), "%s", wf_graph_message(g));
        float *want = reference(y), *one = by_program(y, 0, 1);
        float *plain = by_program(y, WF_PASS_CHAIN, 1);
        const double error = relative(one, want, wf_count(y));
        cr_assert(error <= (narrow ? 1e-3 : 1e-5), "%s: error %g", wf_compute_name((int)compute),
                  error);
        cr_assert(relative(plain, want, wf_count(y)) <= (narrow ? 1e-3 : 1e-5));
        for (int threads = 2; threads <= 4; threads++) {
            float *more = by_program(y, 0, threads);
            cr_assert(memcmp(one, more, (size_t)wf_count(y) * sizeof *one) == 0, "%d threads",
                      threads);
            free(more);
        }
        free(want);
        free(one);
        free(plain);
        wf_graph_free(g);
    }
}
