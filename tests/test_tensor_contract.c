/* Contractions as operations: the constructors against loops written here, gradients that arise as
 * contractions, joining and packing, and what is said when shapes do not fit. The kernels are
 * tested in test_tensor_contract_fast.c. */
#include "tests/contract_cases.h"

/* --- convolution by its definition ------------------------------------------------------------ */

/* y[n, s, o] = sum over k, c of x[n, s stride + k dilation - pad, c] w[o, k, c]. */
static double conv_element(const conv_case *k, const float *x, const float *w, int n, int y, int z,
                           int o) {
    const int cg = k->c / k->groups, og = k->o / k->groups;
    double sum = 0;
    for (int kh = 0; kh < k->kh; kh++)
        for (int kw = 0; kw < k->kw; kw++)
            for (int c = 0; c < cg; c++) {
                const int h = y * stride_of(k, 0) + kh * dilation_of(k, 0) - k->opt.pad[0];
                const int v = z * stride_of(k, 1) + kw * dilation_of(k, 1) - k->opt.pad[1];
                if (h < 0 || h >= k->h || v < 0 || v >= k->w) continue;
                sum += (double)x[((n * k->h + h) * k->w + v) * k->c + o / og * cg + c] *
                       (double)w[((o * k->kh + kh) * k->kw + kw) * cg + c];
            }
    return sum;
}

Test(tensor_contract, conv_is_its_definition) {
    for (size_t i = 0; i < WF_COUNT(conv_cases); i++) {
        const conv_case *k = &conv_cases[i];
        wf_graph *g = wf_graph_new();
        const wf_tensor y = build_conv(g, k);
        cr_assert(wf_ok(y), "%s", wf_graph_message(g));
        const wf_shape s = wf_shape_of_tensor(y);
        for (int d = 0; d < 2; d++) {
            const int after = k->opt.use_pad_after ? k->opt.pad_after[d] : k->opt.pad[d];
            const int span = dilation_of(k, d) * ((d ? k->kw : k->kh) - 1) + 1;
            const int room = (d ? k->w : k->h) + k->opt.pad[d] + after - span;
            const int size = room / stride_of(k, d) + 1;
            cr_assert(s.dim[1 + d] == size, "case %zu: extent %d", i, (int)s.dim[1 + d]);
        }
        const wf_tensor x = wf_handle(g, 1), w = wf_handle(g, 2);
        float *got = reference(y);
        int64_t at = 0;
        for (int n = 0; n < s.dim[0]; n++)
            for (int a = 0; a < s.dim[1]; a++)
                for (int b = 0; b < s.dim[2]; b++)
                    for (int o = 0; o < s.dim[3]; o++, at++) {
                        const float want =
                            (float)conv_element(k, data_of(x), data_of(w), n, a, b, o);
                        cr_assert(got[at] == want, "case %zu [%d,%d,%d,%d]: %g, expected %g", i, n,
                                  a, b, o, (double)got[at], (double)want);
                    }
        free(got);
        wf_graph_free(g);
    }
}

/* <conv(x, w), y> = <x, conv_transpose(y, w)>: the transpose is the adjoint. */
Test(tensor_contract, conv_transpose_is_the_adjoint) {
    for (size_t i = 0; i < WF_COUNT(conv_cases); i++) {
        const conv_case *k = &conv_cases[i];
        wf_conv_opt o = k->opt;
        int32_t out_pad[3] = {0};
        wf_graph *g = wf_graph_new();
        const wf_tensor x = f32(g, WF_SHAPE(k->n, k->h, k->w, k->c));
        const wf_tensor w = f32(g, WF_SHAPE(k->o, k->kh, k->kw, k->c / k->groups));
        o.groups = k->groups;
        const wf_tensor cx = wf_conv(x, w, o), y = f32(g, wf_shape_of_tensor(cx));
        for (int d = 0; d < 2; d++) {
            const int after = o.use_pad_after ? o.pad_after[d] : o.pad[d], size = d ? k->w : k->h;
            const int span = dilation_of(k, d) * ((d ? k->kw : k->kh) - 1) + 1;
            out_pad[d] = (size + o.pad[d] + after - span) % stride_of(k, d);
        }
        const wf_tensor ty = wf_conv_transpose(y, w, o, out_pad);
        const wf_shape sx = wf_shape_of_tensor(x), st = wf_shape_of_tensor(ty);
        cr_assert(wf_ok(ty) && wf_shape_equal(&sx, &st), "case %zu: %s", i, wf_graph_message(g));
        float *a = reference(cx), *b = reference(ty);
        double left = 0, right = 0, size = 0;
        for (int64_t e = 0; e < wf_count(cx); e++) {
            left += (double)a[e] * (double)data_of(y)[e];
            size += fabs((double)a[e] * (double)data_of(y)[e]);
        }
        for (int64_t e = 0; e < wf_count(x); e++) right += (double)b[e] * (double)data_of(x)[e];
        cr_assert(fabs(left - right) <= 1e-6 * size, "case %zu: %g and %g", i, left, right);
        check_fast(contraction(ty), "conv_transpose");
        free(a);
        free(b);
        wf_graph_free(g);
    }
}

/* --- gradients -------------------------------------------------------------------------------- */

/* The gradient of a transposed convolution in its weights sums over oh, without a divisor. */
Test(tensor_contract, transposed_weight_gradient_has_no_divisor) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = f32(g, WF_SHAPE(1, 5, 5, 4)), w = f32(g, WF_SHAPE(4, 3, 3, 6));
    const wf_conv_opt o = {.stride = {2, 2}, .pad = {1, 1}};
    const wf_tensor y = wf_conv_transpose(x, w, o, NULL);
    const wf_tensor dw = gradient(y, 1);
    const wf_contract_attr *c = wf_graph_node(g, dw.id)->attr;
    for (int j = 0; j < 4; j++)
        cr_assert(c->source[0].a[j].div == 1 && c->source[0].b[j].div == 1);
    cr_assert(c->source[0].sum[1] == 5 && c->source[0].sum[2] == 5);
    wf_graph_free(g);
}

/* The gradient of a trace is the identity times the cotangent: it needs a guard. */
Test(tensor_contract, diagonal_gradient_is_guarded) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = f32(g, WF_SHAPE(4, 4)), d = wf_einsum("ii->i", &x, 1);
    const wf_tensor dx = gradient(d, 0);
    float *got = reference(dx);
    const float *cotangent = data_of(wf_handle(g, wf_node_in(g, dx.id)[0]));
    for (int i = 0; i < 16; i++)
        cr_assert(got[i] == (i / 4 == i % 4 ? cotangent[i / 4] : 0), "at %d", i);
    free(got);
    wf_graph_free(g);
}

/* --- einsum and matmul forms ------------------------------------------------------------------ */

static void expect_shape(wf_tensor t, wf_shape want) {
    const wf_shape s = wf_shape_of_tensor(t);
    char a[100], b[100];
    cr_assert(wf_ok(t), "%s", t.graph ? wf_graph_message(t.graph) : "no graph");
    cr_assert(wf_shape_equal(&s, &want), "%s, expected %s", wf_shape_text(&s, a, sizeof a),
              wf_shape_text(&want, b, sizeof b));
}

Test(tensor_contract, matmul_forms) {
    wf_graph *g = wf_graph_new();
    const wf_tensor v = f32(g, WF_SHAPE(4)), m = f32(g, WF_SHAPE(3, 4)), n = f32(g, WF_SHAPE(4, 2));
    expect_shape(wf_matmul(v, v), WF_SCALAR);
    expect_shape(wf_matmul(m, v), WF_SHAPE(3));
    expect_shape(wf_matmul(v, n), WF_SHAPE(2));
    expect_shape(wf_matmul(m, n), WF_SHAPE(3, 2));
    expect_shape(wf_matmul(f32(g, WF_SHAPE(5, 1, 3, 4)), f32(g, WF_SHAPE(6, 4, 2))),
                 WF_SHAPE(5, 6, 3, 2));
    expect_shape(wf_matmul(f32(g, WF_SHAPE(0, 3, 4)), n), WF_SHAPE(0, 3, 2));
    float *zero = reference(wf_matmul(f32(g, WF_SHAPE(2, 0)), f32(g, WF_SHAPE(0, 2))));
    for (int i = 0; i < 4; i++) cr_assert(zero[i] == 0);
    free(zero);
    wf_graph_free(g);
}

Test(tensor_contract, einsum_forms) {
    wf_graph *g = wf_graph_new();
    const wf_tensor a = f32(g, WF_SHAPE(2, 3)), b = f32(g, WF_SHAPE(3, 4));
    const wf_tensor s = f32(g, WF_SHAPE(3, 3));
    const wf_tensor ab[2] = {a, b};
    expect_shape(wf_einsum("ij,jk->ik", ab, 2), WF_SHAPE(2, 4));
    expect_shape(wf_einsum("ij,jk", ab, 2), WF_SHAPE(2, 4));
    expect_shape(wf_einsum("ba, ac", ab, 2), WF_SHAPE(2, 4)); /* implicit output is alphabetical */
    expect_shape(wf_einsum("ij,jk->kij", ab, 2), WF_SHAPE(4, 2, 3));
    expect_shape(wf_einsum("ij,kl->", ab, 2), WF_SCALAR);
    expect_shape(wf_einsum("ij->ji", &a, 1), WF_SHAPE(3, 2));
    expect_shape(wf_einsum("ii", &s, 1), WF_SCALAR);
    float *trace = reference(wf_einsum("ii", &s, 1));
    const float *x = data_of(s);
    cr_assert(trace[0] == (float)((double)x[0] + (double)x[4] + (double)x[8]));
    free(trace);
    wf_graph_free(g);
}

/* --- messages --------------------------------------------------------------------------------- */

static void expect_message(wf_graph *g, wf_tensor t, const char *part) {
    cr_assert(!wf_ok(t), "accepted, expected \"%s\"", part);
    cr_assert(strstr(wf_graph_message(g), part), "\"%s\" is not in \"%s\"", part,
              wf_graph_message(g));
    wf_graph_free(g);
}

Test(tensor_contract, messages) {
    wf_graph *g = wf_graph_new();
    expect_message(g, wf_conv(f32(g, WF_SHAPE(8, 32, 32, 64)), f32(g, WF_SHAPE(256, 3, 3, 65)),
                              (wf_conv_opt){0}),
                   "conv: x f32[8,32,32,64] has 64 channels, w f32[256,3,3,65] expects 65");
    g = wf_graph_new();
    expect_message(g, wf_conv(f32(g, WF_SHAPE(1, 4, 4, 4)), f32(g, WF_SHAPE(2, 5, 5, 4)),
                              (wf_conv_opt){0}), "larger than x f32[1,4,4,4]");
    g = wf_graph_new();
    expect_message(g, wf_conv(f32(g, WF_SHAPE(1, 4, 4, 4)), f32(g, WF_SHAPE(3, 1, 1, 2)),
                              (wf_conv_opt){.groups = 2}), "3 filters, which 2 groups do not");
    g = wf_graph_new();
    expect_message(g, wf_conv(f32(g, WF_SHAPE(1, 4, 4, 4)), f32(g, WF_SHAPE(3, 1, 1, 4)),
                              (wf_conv_opt){.stride = {-1}}), "stride -1");
    g = wf_graph_new();
    expect_message(g, wf_conv(f32(g, WF_SHAPE(4, 4)), f32(g, WF_SHAPE(4, 4)), (wf_conv_opt){0}),
                   "expected x (N, S.., C) and w (O, K.., C)");
    g = wf_graph_new();
    expect_message(g, wf_conv(f32(g, WF_SHAPE(1, 4, 4)), leaf(g, WF_F64, WF_SHAPE(4, 1, 4)),
                              (wf_conv_opt){0}), "w f64[4,1,4]; expected one dtype");
    g = wf_graph_new();
    expect_message(g, wf_conv_transpose(f32(g, WF_SHAPE(1, 4, 4)), f32(g, WF_SHAPE(3, 1, 4)),
                                        (wf_conv_opt){0}, NULL),
                   "4 channels, w f32[3,1,4] expects 3");
    g = wf_graph_new();
    expect_message(g, wf_conv_transpose(f32(g, WF_SHAPE(1, 2, 4)), f32(g, WF_SHAPE(4, 1, 4)),
                                        (wf_conv_opt){.pad = {3}}, NULL), "give no result");
    g = wf_graph_new();
    expect_message(g, wf_matmul(f32(g, WF_SHAPE(2, 3)), f32(g, WF_SHAPE(4, 2))),
                   "matmul: a f32[2,3] has 3 columns, b f32[4,2] has 4 rows");
    g = wf_graph_new();
    expect_message(g, wf_matmul(f32(g, WF_SHAPE(2, 3, 3)), f32(g, WF_SHAPE(4, 3, 2))),
                   "do not broadcast");
    g = wf_graph_new();
    expect_message(g, wf_matmul(f32(g, WF_SCALAR), f32(g, WF_SHAPE(3))), "scalar");
}

static void expect_einsum(const char *spec, wf_shape a, wf_shape b, const char *part) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x[2] = {f32(g, a), f32(g, b)};
    expect_message(g, wf_einsum(spec, x, 2), part);
}

Test(tensor_contract, einsum_messages) {
    expect_einsum("ij,jk->ik", WF_SHAPE(2, 3), WF_SHAPE(4, 2), "'j' the extents 3 and 4");
    expect_einsum("ij,jk->iz", WF_SHAPE(2, 3), WF_SHAPE(3, 2), "'z' in the output");
    expect_einsum("ij,jk->ii", WF_SHAPE(2, 3), WF_SHAPE(3, 2), "'i' twice");
    expect_einsum("ij->i", WF_SHAPE(2, 3), WF_SHAPE(3, 2), "names 1 operands, 2 given");
    expect_einsum("i,jk->i", WF_SHAPE(2, 3), WF_SHAPE(3, 2), "operand 0 1 indices");
    expect_einsum("i.j,jk", WF_SHAPE(2, 3), WF_SHAPE(3, 2), "not of the form");
    expect_einsum("ij,jk,kl", WF_SHAPE(2, 3), WF_SHAPE(3, 2), "not of the form");
    wf_graph *g = wf_graph_new();
    const wf_tensor x[2] = {{0}, f32(g, WF_SHAPE(2, 3))};
    expect_message(g, wf_einsum("ij,jk", x, 2), "einsum");
}

/* Poison, absurd extents and absurd options give messages, never a crash. */
Test(tensor_contract, absurd_sizes_are_refused) {
    wf_graph *g = wf_graph_new();
    const wf_tensor none = {0};
    cr_assert(!wf_ok(wf_conv(none, none, (wf_conv_opt){0})));
    cr_assert(!wf_ok(wf_matmul(none, none)));
    cr_assert(!wf_ok(wf_einsum("ij,jk", &none, 1)));
    cr_assert(!wf_ok(wf_einsum(NULL, NULL, 0)));
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(1, INT64_MAX / 16, 1));
    const wf_tensor w = f32(g, WF_SHAPE(1, 3, 1));
    cr_assert(wf_ok(x), "%s", wf_graph_message(g));
    expect_message(g, wf_conv_transpose(x, w, (wf_conv_opt){.stride = {INT32_MAX}}, NULL),
                   "give no result");
    g = wf_graph_new();
    const wf_tensor a = wf_input(g, "a", WF_F32, WF_SHAPE(INT64_MAX / 16, 1));
    const wf_tensor b = wf_input(g, "b", WF_F32, WF_SHAPE(1, INT64_MAX / 16));
    expect_message(g, wf_matmul(a, b), "too large");
    g = wf_graph_new();
    expect_message(g, wf_conv(f32(g, WF_SHAPE(1, 4, 1)), f32(g, WF_SHAPE(1, 3, 1)),
                              (wf_conv_opt){.dilation = {INT32_MAX}}), "larger than x");
}

/* --- several sources, packing ----------------------------------------------------------------- */

static wf_tensor two_sources(wf_graph *g) {
    const wf_tensor h = f32(g, WF_SHAPE(2, 9, 8, 32)), x = f32(g, WF_SHAPE(2, 9, 8, 3));
    const wf_tensor a = wf_conv(h, f32(g, WF_SHAPE(40, 5, 5, 32)), (wf_conv_opt){.pad = {2, 2}});
    const wf_tensor b = wf_conv(x, f32(g, WF_SHAPE(40, 3, 3, 3)), (wf_conv_opt){.pad = {1, 1}});
    cr_assert(wf_contract_may_join(a, b));
    return wf_contract_join(a, b);
}

Test(tensor_contract, joined_sources_add_up) {
    wf_graph *g = wf_graph_new();
    const wf_tensor both = two_sources(g);
    check_fast(both, "two sources");
    const wf_tensor first = wf_contract_drop(both, 1), second = wf_contract_drop(both, 0);
    float *sum = reference(both), *a = reference(first), *b = reference(second);
    for (int64_t i = 0; i < wf_count(both); i++)
        cr_assert(fabsf(sum[i] - (a[i] + b[i])) <= 1e-5f, "at %d", (int)i);
    free(sum);
    free(a);
    free(b);
    for (int i = 0; i < 4; i++) check_fast(gradient(both, i), "gradient of two sources");
    expect_message(g, wf_contract_drop(first, 0), "of several");
}

/* In the second product the rows of the result are those of B: it joins with A and B exchanged, so
 * that the sum still is a matrix product, and a sum that cannot be one is no join. */
Test(tensor_contract, swapped_roles_join_exchanged) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x[2] = {f32(g, WF_SHAPE(9, 5)), f32(g, WF_SHAPE(5, 7))};
    const wf_tensor y[2] = {f32(g, WF_SHAPE(3, 7)), f32(g, WF_SHAPE(9, 3))};
    const wf_tensor z[2] = {f32(g, WF_SHAPE(9, 7)), f32(g, WF_SHAPE(9, 7))};
    const wf_tensor a = wf_einsum("ij,jk->ik", x, 2), b = wf_einsum("jk,ij->ik", y, 2);
    const wf_tensor c = wf_einsum("ik,ik->ik", z, 2);
    cr_assert(wf_contract_may_join(a, b) && !wf_contract_may_join(a, c));
    const wf_tensor both = wf_contract_join(a, b);
    check_fast(both, "swapped roles");
    const wf_contract_attr *j = wf_graph_node(g, both.id)->attr;
    for (int s = 0; s < 2; s++) {
        cr_assert_eq(wf_relation_loops(j->source[s].a, j->source[s].rank_a) & 3, 1u);
        cr_assert_eq(wf_relation_loops(j->source[s].b, j->source[s].rank_b) & 3, 2u);
    }
    float *sum = reference(both), *p = reference(a), *q = reference(b);
    for (int64_t i = 0; i < wf_count(both); i++)
        cr_assert(fabsf(sum[i] - (p[i] + q[i])) <= 1e-5f, "at %d", (int)i);
    free(sum);
    free(p);
    free(q);
    wf_graph_free(g);
}

/* Rewrites t with every B that wants it packed; returns the number of packs. */
static int pack_all(wf_tensor t, wf_tensor *packed) {
    const wf_node *x = wf_graph_node(t.graph, t.id);
    const int n = (int)x->n_in;
    wf_tensor in[8];
    uint64_t mask = 0;
    int packs = 0;
    for (int i = 0; i < n; i++) in[i] = wf_handle(t.graph, wf_node_in(t.graph, t.id)[i]);
    for (int i = 0; i < n / 2; i++) {
        if (!(wf_contract_wants_pack(t.graph, t.id) >> i & 1)) continue;
        in[2 * i + 1] = wf_contract_pack(t.graph, t.id, i, in[2 * i + 1]);
        mask |= UINT64_C(1) << i;
        packs++;
    }
    *packed = wf_contract_with_packed(t.graph, t.id, in, mask);
    cr_assert(wf_ok(*packed), "%s", wf_graph_message(t.graph));
    return packs;
}

static void check_packed(wf_tensor t, int packs, const char *what) {
    wf_tensor p;
    cr_assert(pack_all(t, &p) == packs, "%s: wrong number of packs", what);
    float *want = reference(t), *by_eval = reference(p);
    bool packs_again;
    float *fast = by_pieces(p, 1, 0, &packs_again);
    cr_assert(memcmp(want, by_eval, (size_t)wf_count(t) * sizeof *want) == 0,
              "%s: packing changes the meaning", what);
    cr_assert(relative(fast, want, wf_count(t)) <= 1e-6, "%s: packed kernel", what);
    cr_assert(!packs_again, "%s: packs what is packed", what);
    free(want);
    free(by_eval);
    free(fast);
}

Test(tensor_contract, packed_operands_mean_the_same) {
    wf_graph *g = wf_graph_new();
    check_packed(two_sources(g), 2, "two sources");
    /* With holes between taps, so that no products of tiles are made (contract_winograd.h). */
    const wf_tensor y = wf_conv(f32(g, WF_SHAPE(2, 9, 8, 16)), f32(g, WF_SHAPE(40, 3, 3, 16)),
                                (wf_conv_opt){.pad = {2, 2}, .dilation = {2, 2}});
    check_packed(gradient(y, 0), 1, "data gradient");
    check_packed(gradient(y, 1), 0, "weight gradient");
    const wf_tensor strided =
        wf_conv(f32(g, WF_SHAPE(2, 16, 8, 16)), f32(g, WF_SHAPE(40, 3, 3, 16)),
                (wf_conv_opt){.stride = {2, 2}, .pad = {1, 1}});
    wf_tensor same; /* is computed tap by tap of each remainder: nothing to pack as a whole */
    cr_assert(pack_all(gradient(strided, 0), &same) == 0);
    check_fast(same, "strided data gradient");
    check_packed(contraction(wf_conv(f32(g, WF_SHAPE(2, 8, 8, 16)), f32(g, WF_SHAPE(10, 3, 3, 8)),
                                     (wf_conv_opt){.groups = 2})), 1, "groups");
    check_packed(wf_matmul(f32(g, WF_SHAPE(100, 20)), f32(g, WF_SHAPE(20, 70))), 1, "matmul");
    wf_graph_free(g);
}

/* Equal weights pack to one node, whatever the batch. */
Test(tensor_contract, packs_are_shared) {
    wf_graph *g = wf_graph_new();
    wf_graph_set_consing(g, true);
    const wf_tensor w = f32(g, WF_SHAPE(40, 3, 3, 16));
    const wf_conv_opt o = {.pad = {1, 1}};
    const wf_tensor a = wf_conv(f32(g, WF_SHAPE(2, 9, 8, 16)), w, o);
    const wf_tensor b = wf_conv(f32(g, WF_SHAPE(5, 9, 8, 16)), w, o);
    cr_assert(wf_contract_pack(g, a.id, 0, w).id == wf_contract_pack(g, b.id, 0, w).id);
    wf_graph_free(g);
}
