/* The fast path of contractions against the reference evaluation, over a grid of odd shapes and in
 * all directions, and its micro kernels against the reference kernel. */
#include "tests/contract_cases.h"

Test(tensor_contract_fast, fast_conv_agrees_with_eval) {
    for (size_t i = 0; i < WF_COUNT(conv_cases); i++) {
        char name[32];
        wf_graph *g = wf_graph_new();
        snprintf(name, sizeof name, "conv case %zu", i);
        check_all_directions(build_conv(g, &conv_cases[i]), name);
        wf_graph_free(g);
    }
}

Test(tensor_contract_fast, fast_conv_of_one_and_three_dimensions) {
    wf_graph *g = wf_graph_new();
    check_all_directions(wf_conv(f32(g, WF_SHAPE(2, 19, 6)), f32(g, WF_SHAPE(9, 4, 6)),
                                 (wf_conv_opt){.stride = {2}, .pad = {3}}), "conv1d");
    check_all_directions(wf_conv(f32(g, WF_SHAPE(1, 5, 4, 6, 3)), f32(g, WF_SHAPE(17, 3, 2, 3, 3)),
                                 (wf_conv_opt){.pad = {1, 0, 2}, .dilation = {1, 2, 1}}), "conv3d");
    wf_graph_free(g);
}

Test(tensor_contract_fast, fast_matmul_agrees_with_eval) {
    static const int64_t m[] = {1, 2, 13, 29, 65}, n[] = {1, 5, 16, 33, 64}, k[] = {1, 7, 64, 600};
    for (size_t a = 0; a < WF_COUNT(m); a++)
        for (size_t b = 0; b < WF_COUNT(n); b++)
            for (size_t c = 0; c < WF_COUNT(k); c++) {
                char name[64];
                wf_graph *g = wf_graph_new();
                snprintf(name, sizeof name, "matmul %d %d %d", (int)m[a], (int)n[b], (int)k[c]);
                check_fast(wf_matmul(f32(g, WF_SHAPE(m[a], k[c])), f32(g, WF_SHAPE(k[c], n[b]))),
                           name);
                wf_graph_free(g);
            }
}

Test(tensor_contract_fast, fast_einsum_agrees_with_eval) {
    static const struct {
        const char *spec;
        int64_t a[4], b[4];
        int na, nb;
    } cases[] = {
        {"bij,bjk->bik", {3, 33, 40}, {3, 40, 17}, 3, 3}, {"ij,kj->ik", {34, 50}, {45, 50}, 2, 2},
        {"ji,jk->ik", {50, 34}, {50, 45}, 2, 2},          {"ij,jk->ki", {34, 50}, {50, 45}, 2, 2},
        {"bij,bkj->ikb", {2, 9, 30}, {2, 40, 30}, 3, 3},  {"i,j->ij", {70}, {70}, 1, 1},
        {"ijkl,jl->ik", {4, 5, 33, 6}, {5, 6}, 4, 2},     {"ij,jkl->ikl", {33, 9}, {9, 5, 7}, 2, 3},
        {"bc,bc->bc", {9, 40}, {9, 40}, 2, 2},            {"ij,i->j", {40, 64}, {40}, 2, 1},
    };
    for (size_t i = 0; i < WF_COUNT(cases); i++) {
        wf_graph *g = wf_graph_new();
        const wf_tensor x[2] = {f32(g, wf_shape_make(cases[i].na, cases[i].a)),
                                f32(g, wf_shape_make(cases[i].nb, cases[i].b))};
        check_all_directions(wf_einsum(cases[i].spec, x, 2), cases[i].spec);
        wf_graph_free(g);
    }
}

/* Many pixels: sums of 8192 products stay within the error that f32 promises. */
Test(tensor_contract_fast, weight_gradient_stays_accurate) {
    wf_graph *g = wf_graph_new();
    const wf_tensor y = wf_conv(f32(g, WF_SHAPE(8, 32, 32, 8)), f32(g, WF_SHAPE(16, 3, 3, 8)),
                                (wf_conv_opt){.pad = {1, 1}});
    const wf_tensor dw = gradient(y, 1);
    float *want = reference(dw), *got = by_pieces(dw, 1, 0, NULL);
    const double error = relative(got, want, wf_count(dw));
    cr_assert(error <= 1e-6, "error %g", error);
    free(want);
    free(got);
    wf_graph_free(g);
}

/* Few elements with long sums: chunks are summed apart, and the same however pieces are run. */
Test(tensor_contract_fast, long_sums_in_parts) {
    static const int channels[][2] = {{5, 7}, {16, 3}, {1, 20}, {3, 1}};
    for (size_t i = 0; i < WF_COUNT(channels); i++) {
        wf_graph *g = wf_graph_new();
        wf_tensor t[2];
        const int c = channels[i][0], o = channels[i][1];
        for (int k = 0; k < 2; k++) {
            const wf_tensor x = f32(g, WF_SHAPE(2, 61, 47, c)), w = f32(g, WF_SHAPE(o, 3, 3, c));
            t[k] = gradient(wf_conv(x, w, (wf_conv_opt){.pad = {1, 1}}), 1);
        }
        const wf_tensor y = wf_contract_join(t[0], t[1]);
        cr_assert(wf_ok(y), "%s", wf_graph_message(g));
        const wf_node *x = wf_graph_node(g, y.id);
        wf_array in[4];
        for (uint32_t k = 0; k < x->n_in; k++)
            in[k] = wf_array_dense(NULL, WF_F32,
                                   &wf_graph_node(g, wf_node_in(g, y.id)[k])->type.shape);
        const wf_call call = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = in,
                              .out = wf_array_dense(NULL, WF_F32, &x->type.shape)};
        wf_contract_plan p;
        cr_assert(wf_contract_plan_make(&p, &call) && p.parts > 1, "%d parts", (int)p.parts);
        check_fast(y, "weight gradient in parts");
        wf_graph_free(g);
    }
}

/* Few columns: vectors along k, of one and several runs, with a rest, in groups. */
Test(tensor_contract_fast, few_columns) {
    static const conv_case few[] = {
        {2, 9, 11, 35, 1, 3, 3, 1, {.pad = {1, 1}}},
        {1, 10, 9, 64, 3, 5, 3, 1, {.stride = {1, 2}, .pad = {2, 1}}},
        {2, 7, 8, 16, 4, 3, 3, 1, {.pad = {1, 1}}},
        {2, 6, 7, 40, 4, 1, 1, 1, {.groups = 1}},
        {2, 6, 7, 48, 6, 2, 2, 2, {.dilation = {2, 1}}},
        {1, 14, 14, 300, 2, 3, 3, 1, {.pad = {1, 1}}},
        {2, 9, 9, 1, 20, 3, 3, 1, {.pad = {1, 1}}},
    };
    for (size_t i = 0; i < WF_COUNT(few); i++) {
        wf_graph *g = wf_graph_new();
        check_fast(contraction(build_conv(g, &few[i])), "few output channels");
        check_fast(contraction(gradient(contraction(build_conv(g, &few[i])), 0)), "few inputs");
        wf_graph_free(g);
    }
}

/* Depthwise: odd channels, rows of pixels with and without an inside, strides, dilations, and long
 * sums; two joined, which add to each other. */
Test(tensor_contract_fast, depthwise) {
    static const conv_case cases[] = {
        {2, 9, 40, 37, 37, 3, 3, 37, {.pad = {1, 1}}},
        {1, 7, 31, 100, 100, 5, 5, 100, {.pad = {2, 2}}},
        {2, 12, 33, 16, 16, 3, 5, 16, {.stride = {2, 2}, .pad = {1, 2}}},
        {1, 11, 29, 300, 300, 3, 3, 300, {.dilation = {3, 4}, .pad = {3, 4}}},
        {1, 6, 5, 130, 130, 7, 9, 130, {.pad = {3, 4}}},
        {3, 4, 50, 9, 9, 1, 2, 9, {.stride = {1, 3}, .dilation = {1, 2}}},
        {1, 40, 41, 20, 20, 27, 23, 20, {.pad = {0, 11}}},
        {4, 30, 37, 8, 8, 3, 3, 8, {.pad = {1, 1}}},
        {1, 40, 3, 130, 130, 3, 1, 130, {.pad = {1, 0}}},
    };
    for (size_t i = 0; i < WF_COUNT(cases); i++) {
        char name[32];
        wf_graph *g = wf_graph_new();
        snprintf(name, sizeof name, "depthwise case %zu", i);
        const wf_tensor y = contraction(build_conv(g, &cases[i]));
        check_fast(y, name);
        for (int k = 0; k < 2; k++) check_fast(contraction(gradient(y, k)), name);
        const wf_tensor twice = wf_contract_join(y, contraction(build_conv(g, &cases[i])));
        check_fast(twice, "joined");
        wf_graph_free(g);
    }
}

/* Chunks of two taps and of one have boxes of other strides. */
Test(tensor_contract_fast, chunks_of_taps) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = f32(g, WF_SHAPE(1, 14, 14, 8)), w = f32(g, WF_SHAPE(256, 5, 5, 8));
    check_fast(gradient(wf_conv(x, w, (wf_conv_opt){.pad = {2, 2}}), 0), "chunks of taps");
    wf_graph_free(g);
}

/* Vectors along k where two sums move along one axis: x[m, i + j] w[i, j, n]. */
Test(tensor_contract_fast, few_columns_and_two_sums_along_an_axis) {
    wf_graph *g = wf_graph_new();
    const wf_contract_source s = {
        .n_sum = 2, .sum = {16, 16}, .rank_a = 2, .rank_b = 3,
        .a = {wf_plain(0), {.ca = 1, .a = 2, .cb = 1, .b = 3, .div = 1}},
        .b = {wf_plain(2), wf_plain(3), wf_plain(1)}};
    check_fast(wf_contract(WF_SHAPE(40, 3), &s, f32(g, WF_SHAPE(40, 31)),
                           f32(g, WF_SHAPE(16, 16, 3))), "two sums along an axis");
    wf_graph_free(g);
}

/* The first and the last column of v[k, n - 1] are outside, where v is read in place. */
Test(tensor_contract_fast, columns_outside) {
    wf_graph *g = wf_graph_new();
    const wf_contract_source s = {
        .n_sum = 1, .sum = {50}, .rank_a = 2, .rank_b = 2,
        .a = {wf_plain(0), wf_plain(2)},
        .b = {wf_plain(2), {.ca = 1, .a = 1, .offset = -1, .div = 1, .b = -1}}};
    check_fast(wf_contract(WF_SHAPE(8, 32), &s, f32(g, WF_SHAPE(8, 50)), f32(g, WF_SHAPE(50, 30))),
               "columns outside");
    wf_graph_free(g);
}

/* No box holds the pixels between such taps, nor does its size fit into 64 bits. */
Test(tensor_contract_fast, taps_far_apart) {
    static const wf_compute modes[] = {WF_COMPUTE_F32, WF_COMPUTE_F32X3, WF_COMPUTE_BF16};
    for (size_t m = 0; m < WF_COUNT(modes); m++)
        for (int far = 0; far < 2; far++) {
            wf_graph *g = wf_graph_new();
            const int d = far ? INT32_MAX : 2000001;
            const wf_conv_opt o = {.dilation = {d, d, d}, .pad = {d, d, d}, .use_pad_after = true};
            const wf_tensor y = wf_conv(f32(g, WF_SHAPE(1, 2, 2, 2, 40)),
                                        f32(g, WF_SHAPE(16, 2, 2, 2, 40)), o);
            check_all_directions(recast(contraction(y), modes[m]), "taps far apart");
            wf_graph_free(g);
        }
}

/* f64 runs by reference, in pieces. */
Test(tensor_contract_fast, f64_is_exact) {
    wf_graph *g = wf_graph_new();
    const wf_tensor y =
        wf_matmul(leaf(g, WF_F64, WF_SHAPE(7, 30)), leaf(g, WF_F64, WF_SHAPE(30, 11)));
    const wf_node *x = wf_graph_node(g, y.id);
    double *want = reference(y), got[77];
    wf_array in[2];
    for (int i = 0; i < 2; i++) {
        const wf_leaf_attr *a = wf_graph_node(g, wf_node_in(g, y.id)[i])->attr;
        in[i] = wf_array_dense(a->data, WF_F64, &a->type.shape);
    }
    const wf_call c = {.op = x->op, .attr = x->attr, .n_in = 2, .in = in,
                       .out = wf_array_dense(got, WF_F64, &x->type.shape)};
    run_pieces(&c, 3);
    cr_assert(memcmp(want, got, sizeof got) == 0);
    free(want);
    wf_graph_free(g);
}

/* --- micro kernels ---------------------------------------------------------------------------- */

static void check_tile(const wf_tile_table *t, bool rows, int mr, int nv) {
    enum { LEN = 9, SEGS = 3, BK = 37 };
    static float a[4096], b[4096];
    uint64_t state = 5;
    for (int i = 0; i < 4096; i++) {
        a[i] = (float)next_random(&state);
        b[i] = (float)next_random(&state);
    }
    const int64_t a_seg[SEGS] = {5, 1200, 700}, b_seg[SEGS] = {900, 3, 2000};
    for (int add = 0; add < 2; add++) {
        float got[WF_TILE_M * 40], want[WF_TILE_M * 40];
        for (int i = 0; i < WF_TILE_M * 40; i++) got[i] = want[i] = (float)i;
        (rows ? t->rows : t->cols)[mr][nv](a, 29, a_seg, b, BK, b_seg, SEGS, LEN, got, 40, add);
        (rows ? wf_tile_ref.rows : wf_tile_ref.cols)[mr][nv](a, 29, a_seg, b, BK, b_seg, SEGS, LEN,
                                                            want, 40, add);
        for (int i = 0; i < WF_TILE_M * 40; i++)
            cr_assert(fabsf(got[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i])),
                      "%s %s %dx%d: %g, expected %g", t->name, rows ? "rows" : "cols", mr, 16 * nv,
                      (double)got[i], (double)want[i]);
    }
}

static void check_dot(const wf_tile_table *t, int mr, int nr) {
    float a[4096], b[4096], got[WF_DOT_M * WF_TILE_N] = {0}, want[WF_DOT_M * WF_TILE_N] = {0};
    uint64_t state = 9;
    for (int i = 0; i < 4096; i++) {
        a[i] = (float)next_random(&state);
        b[i] = (float)next_random(&state);
    }
    const int64_t a_seg[2] = {5, 1200}, b_seg[2] = {900, 3};
    for (int64_t len = 1; len <= 50; len += 7) {
        t->dot[mr][nr](a, 61, a_seg, b, 300, b_seg, 2, len, got);
        wf_tile_ref.dot[mr][nr](a, 61, a_seg, b, 300, b_seg, 2, len, want);
        for (int i = 0; i < WF_DOT_M * WF_TILE_N; i++)
            cr_assert(fabsf(got[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i])),
                      "%s dot %dx%d of %d: %g, expected %g", t->name, mr, nr, (int)len,
                      (double)got[i], (double)want[i]);
    }
}

static void check_lanes(const wf_tile_table *t, int64_t rows, int64_t lanes, int64_t len) {
    enum { CM = 160 };
    static float a[4096], b[4096], got[16 * CM], want[16 * CM];
    static const int64_t a_seg[2] = {5, 1200}, b_seg[2] = {900, 3};
    uint64_t state = 3;
    for (int i = 0; i < 4096; i++) {
        a[i] = (float)next_random(&state);
        b[i] = (float)next_random(&state);
    }
    wf_strip s = {.rows = rows, .lanes = lanes, .n_seg = 2, .len = len, .a = a, .b = b, .am = 30,
                  .ak = 40, .bk = 50, .cm = CM, .a_seg = a_seg, .b_seg = b_seg};
    for (int add = 0; add < 2; add++) {
        for (int i = 0; i < 16 * CM; i++) got[i] = want[i] = (float)(i % 100);
        s.add = add;
        s.c = got;
        t->lanes(&s);
        s.c = want;
        wf_tile_ref.lanes(&s);
        for (int i = 0; i < 16 * CM; i++)
            cr_assert(fabsf(got[i] - want[i]) <= 1e-4f, "%s %d rows of %d lanes at %d", t->name,
                      (int)rows, (int)lanes, i);
    }
}

Test(tensor_contract_fast, every_instruction_set_agrees_with_the_reference_kernel) {
    for (int isa = 0; isa <= (int)wf_isa_get(); isa++) {
        const wf_tile_table *t = wf_tile_table_for((wf_isa)isa);
        for (int mr = 1; mr <= t->max_m; mr++)
            for (int form = 0; form < 4; form++) check_tile(t, form & 1, mr, 1 + form / 2);
        for (int mr = 1; mr <= WF_DOT_M; mr++)
            for (int nr = 1; nr <= WF_DOT_N; nr++) check_dot(t, mr, nr);
        for (int64_t lanes = 1; lanes <= 150; lanes += 7)
            for (int64_t rows = 1; rows <= 15; rows++) check_lanes(t, rows, lanes, lanes % 4);
    }
}
