/* Convolutions by minimal filtering (tensor/contract_winograd.h) in all directions against the
 * reference, and which contractions are computed so: no test passes because another path is. */
#include "tests/winograd_cases.h"

TestSuite(tensor_winograd, .init = winograd_always);

static wf_tensor built(wf_graph *g, const conv_case *k) { return contraction(build_conv(g, k)); }

/* The convolution, its data gradient, its weight gradient. */
static wf_tensor direction(wf_graph *g, const conv_case *k, int which) {
    const wf_tensor y = built(g, k);
    return which ? contraction(gradient(y, which - 1)) : y;
}

/* What is planned without gaps: bit i for direction i. */
static unsigned on_of(const conv_case *k) {
    unsigned on = 0;
    for (int i = 0; i < 3; i++) {
        wf_graph *g = wf_graph_new();
        on |= (unsigned)by_winograd(direction(g, k, i)) << i;
        wf_graph_free(g);
    }
    return on;
}

/* --- values ----------------------------------------------------------------------------------- */

enum { FORWARD = 1, DATA = 2, WEIGHTS = 4, ALL = 7 };

/* Every kernel size; odd and even images; paddings on both sides; channels and filters that fill no
 * panel; several images in a piece, and a piece of one strip. */
static const struct {
    conv_case k;
    unsigned on;
} cases[] = {
    {{2, 16, 18, 12, 17, 1, 3, 1, {.pad = {0, 1}}}, FORWARD | DATA},
    {{2, 18, 16, 33, 12, 3, 1, 1, {.pad = {1, 0}}}, FORWARD | DATA},
    {{4, 19, 18, 40, 33, 2, 2, 1, {.groups = 1}}, ALL},
    {{4, 17, 16, 65, 40, 3, 3, 1, {.pad = {1, 1}}}, ALL},
    {{70, 4, 4, 33, 40, 3, 3, 1, {.pad = {1, 1}}}, ALL},
    {{1, 6, 200, 17, 33, 3, 3, 1, {.pad = {1, 1}}}, ALL},
    {{3, 20, 19, 33, 65, 4, 4, 1, {.pad = {2, 1}, .pad_after = {1, 2}, .use_pad_after = true}},
     ALL},
    {{5, 16, 13, 17, 33, 5, 5, 1, {.pad = {2, 2}}}, ALL},
    {{4, 18, 17, 33, 40, 6, 6, 1, {.pad = {5, 0}, .pad_after = {0, 3}, .use_pad_after = true}},
     ALL},
    {{3, 19, 18, 40, 17, 7, 7, 1, {.pad = {3, 3}}}, ALL},
    {{4, 16, 18, 33, 40, 3, 5, 1, {.pad = {1, 2}}}, ALL},
    {{6, 15, 18, 40, 33, 5, 3, 1, {.groups = 1}}, ALL},
    {{6, 10, 11, 65, 32, 3, 3, 1, {.pad = {3, 3}}}, ALL},
    {{8, 13, 10, 300, 33, 3, 3, 1, {.pad = {1, 1}}}, ALL},
    {{6, 16, 12, 33, 130, 5, 5, 1, {.pad = {2, 2}}}, ALL},
    {{3, 10, 16, 1024, 12, 2, 2, 1, {.pad = {1, 1}}}, ALL},
    {{1, 4, 700, 40, 12, 3, 2, 1, {.pad = {1, 1}}}, ALL},
    {{6, 16, 16, 12, 33, 3, 3, 1, {.pad = {1, 1}}}, ALL},
};

static void check_case(size_t i, bool exact) {
    for (int d = 0; d < 3; d++) {
        char name[64];
        wf_graph *g = wf_graph_new();
        snprintf(name, sizeof name, "case %zu, direction %d", i, d);
        const wf_tensor t = direction(g, &cases[i].k, d);
        cr_assert(by_winograd(t) == (cases[i].on >> d & 1), "%s: planned otherwise", name);
        if (by_winograd(t)) check_winograd(exact ? made_whole(t) : t, exact, name);
        wf_graph_free(g);
    }
}

Test(tensor_winograd, whole_numbers_are_exact_in_all_directions) {
    for (size_t i = 0; i < WF_COUNT(cases); i++) check_case(i, true);
}

Test(tensor_winograd, real_numbers_are_as_accurate_as_sums_of_products) {
    for (size_t i = 0; i < WF_COUNT(cases); i++) check_case(i, false);
}

/* Images of all four parities and paddings from none to the whole kernel. */
Test(tensor_winograd, paddings_and_parities) {
    static const int taps[][2] = {{2, 2}, {3, 3}, {4, 3}, {5, 5}};
    for (size_t i = 0; i < WF_COUNT(taps); i++)
        for (int pad = 0; pad <= taps[i][0]; pad++)
            for (int parity = 0; parity < 4; parity++) {
                const conv_case k = {6, 15 + parity % 2, 15 + parity / 2, 17, 17, taps[i][0],
                                     taps[i][1], 1,
                                     {.pad = {pad, taps[i][1] - pad > 0 ? taps[i][1] - pad : 0},
                                      .pad_after = {pad / 2, pad}, .use_pad_after = true}};
                for (int d = 0; d < 3; d++) {
                    char name[64];
                    wf_graph *g = wf_graph_new();
                    const wf_tensor t = made_whole(direction(g, &k, d));
                    snprintf(name, sizeof name, "%d x %d taps, padding %d, parity %d, %d",
                             taps[i][0], taps[i][1], pad, parity, d);
                    cr_assert(by_winograd(t), "%s: not this path", name);
                    float *want = reference(t), *got = with_gaps(t, 0, 0, 2);
                    cr_assert(relative(got, want, wf_count(t)) == 0, "%s", name);
                    free(want);
                    free(got);
                    wf_graph_free(g);
                }
            }
}

/* --- pieces ----------------------------------------------------------------------------------- */

/* Several images in a piece, one strip in a piece, several parts: all are among the cases. */
Test(tensor_winograd, cases_cover_all_kinds_of_pieces) {
    int images = 0, strip = 0, parts = 0, padded = 0;
    for (size_t i = 0; i < WF_COUNT(cases); i++)
        for (int d = 0; d < 3; d++) {
            laid_out l;
            wf_contract_plan p;
            wf_graph *g = wf_graph_new();
            lay_out(&l, direction(g, &cases[i].k, d), 0, 0);
            cr_assert(wf_contract_plan_make(&p, &l.call));
            const wf_winograd *q = &p.winograd;
            if (q->on && q->sums) parts += q->parts > 1;
            if (q->on && !q->sums) {
                const int64_t image = (p.c->out[q->y] + 1) / 2 * q->tiles_x;
                images += q->tiles > image;
                strip += q->tiles == q->tiles_x;
                padded += q->row > q->channels;
            }
            wf_graph_free(g);
        }
    cr_assert(images && strip && parts && padded, "%d %d %d %d", images, strip, parts, padded);
}

Test(tensor_winograd, any_ranges_of_pieces_give_the_same_bits) {
    for (size_t i = 0; i < WF_COUNT(cases); i++)
        for (int d = 0; d < 3; d++) {
            wf_graph *g = wf_graph_new();
            const wf_tensor t = direction(g, &cases[i].k, d);
            const size_t bytes = (size_t)wf_count(t) * sizeof(float);
            float *one = with_gaps(t, 0, 0, 1);
            for (int64_t each = 2; each < 100000; each = each * 2 + 1) {
                float *more = with_gaps(t, 0, 0, each);
                cr_assert(memcmp(one, more, bytes) == 0, "case %zu, direction %d: %d pieces", i, d,
                          (int)each);
                free(more);
            }
            free(one);
            wf_graph_free(g);
        }
}

/* --- several sources -------------------------------------------------------------------------- */

/* Preactivations of a step of a ConvLSTM: of the picture and of the state, 4 gates. */
static wf_tensor step_of(wf_graph *g, int size, int channels) {
    static const wf_conv_opt o = {.pad = {2, 2}};
    const wf_tensor x = f32(g, WF_SHAPE(2, size, size, 1));
    const wf_tensor h = f32(g, WF_SHAPE(2, size, size, channels));
    const int f = 4 * channels;
    return wf_contract_join(
        contraction(wf_conv(x, f32(g, WF_SHAPE(f, 5, 5, 1)), o)),
        contraction(wf_conv(h, f32(g, WF_SHAPE(f, 5, 5, channels)), o)));
}

Test(tensor_winograd, steps_of_a_convlstm_are_one_sum) {
    wf_graph *g = wf_graph_new();
    check_winograd(made_whole(step_of(g, 9, 64)), true, "whole numbers");
    check_winograd(step_of(g, 9, 64), false, "64 channels");
    check_winograd(step_of(g, 16, 13), false, "13 channels");
    wf_graph_free(g);
}

/* Filters of several steps are shared: their gradients are sums over images of all widths. A piece
 * holds some strips of the narrow ones, or one of the wide ones. */
Test(tensor_winograd, weight_gradients_of_several_steps) {
    static const struct {
        int images, height, width;
    } step[][3] = {
        {{5, 9, 16}, {5, 10, 16}, {5, 11, 16}}, {{5, 9, 20}, {5, 10, 400}, {5, 11, 12}},
        {{2, 9, 700}, {5, 10, 16}, {5, 11, 33}}, {{50, 82, 2}, {1, 8, 1024}, {1, 2, 3}},
    };
    for (size_t i = 0; i < WF_COUNT(step); i++)
        for (int exact = 0; exact < 2; exact++) {
            wf_graph *g = wf_graph_new();
            wf_tensor t[3];
            for (int k = 0; k < 3; k++) {
                const conv_case c = {step[i][k].images, step[i][k].height, step[i][k].width, 17, 17,
                                     3, 3, 1, {.pad = {1, 1}}};
                t[k] = direction(g, &c, 2);
            }
            wf_tensor y = wf_contract_join_n(t, 3);
            cr_assert(wf_ok(y), "%s", wf_graph_message(g));
            if (exact) y = made_whole(y);
            char name[32];
            snprintf(name, sizeof name, "steps %zu", i);
            check_winograd(y, exact, name);
            wf_graph_free(g);
        }
}

/* Images along two loops; the operands exchanged; channels partly outside, which is not for this
 * path; windows along three axes, neither. */
Test(tensor_winograd, weight_gradients_of_other_forms) {
    for (int k = 0; k < 8; k++) {
        wf_graph *g = wf_graph_new();
        const bool swapped = k & 1, outside = k & 2, deep = k & 4;
        wf_contract_source s = {.n_sum = 4, .sum = {2, 3, 14, 15}, .rank_a = 5, .rank_b = 5};
        wf_relation *x = swapped ? s.b : s.a, *z = swapped ? s.a : s.b;
        for (int j = 0; j < 4; j++) {
            x[j] = z[j] = wf_plain(5 + j);
            if (j > 1 || (deep && j == 1))
                x[j] = (wf_relation){.ca = 1, .a = j, .cb = 1, .b = 5 + j, .offset = -1, .div = 1};
        }
        x[4] = wf_plain(4);
        x[4].offset = outside ? -2 : 0;
        z[4] = wf_plain(0);
        const wf_tensor in = f32(g, WF_SHAPE(2, 3, 14, 15, 65));
        const wf_tensor d = f32(g, WF_SHAPE(2, 3, 14, 15, 32));
        const wf_tensor t = made_whole(wf_contract(WF_SHAPE(32, deep ? 3 : 1, 3, 3, 65), &s,
                                                   swapped ? d : in, swapped ? in : d));
        cr_assert(wf_ok(t) && by_winograd(t) == !(outside || deep), "form %d", k);
        float *want = reference(t), *got = with_gaps(t, 0, 0, 1);
        cr_assert(relative(got, want, wf_count(t)) == 0, "form %d", k);
        free(want);
        free(got);
        wf_graph_free(g);
    }
}

/* An output loop that no operand depends on: what is summed is there for each of its values. */
Test(tensor_winograd, outputs_that_are_the_same_along_a_loop) {
    wf_graph *g = wf_graph_new();
    const wf_relation window[2] = {{.ca = 1, .a = 1, .cb = 1, .b = 5, .offset = -1, .div = 1},
                                   {.ca = 1, .a = 2, .cb = 1, .b = 6, .offset = -1, .div = 1}};
    const wf_contract_source s = {.n_sum = 2, .sum = {40, 40}, .rank_a = 3, .rank_b = 3,
                                  .a = {wf_plain(5), wf_plain(6), wf_plain(0)},
                                  .b = {window[0], window[1], wf_plain(3)}};
    const wf_tensor y = made_whole(wf_contract(WF_SHAPE(16, 3, 3, 16, 2), &s,
                                               f32(g, WF_SHAPE(40, 40, 16)),
                                               f32(g, WF_SHAPE(40, 40, 16))));
    float *want = reference(y), *got = with_gaps(y, 0, 0, 1);
    cr_assert(relative(got, want, wf_count(y)) == 0, "weight gradient");
    free(want);
    free(got);
    const wf_contract_source c = {
        .n_sum = 3, .sum = {3, 3, 16}, .rank_a = 3, .rank_b = 4,
        .a = {{.ca = 1, .a = 1, .cb = 1, .b = 4, .offset = -1, .div = 1},
              {.ca = 1, .a = 2, .cb = 1, .b = 5, .offset = -1, .div = 1}, wf_plain(6)},
        .b = {wf_plain(3), wf_plain(4), wf_plain(5), wf_plain(6)}};
    const wf_tensor z = made_whole(wf_contract(WF_SHAPE(2, 16, 16, 16), &c,
                                               f32(g, WF_SHAPE(16, 16, 16)),
                                               f32(g, WF_SHAPE(16, 3, 3, 16))));
    check_winograd(z, true, "convolution");
    wf_graph_free(g);
}

/* --- packed filters --------------------------------------------------------------------------- */

static wf_tensor packed(wf_tensor t) {
    wf_tensor in[8];
    const uint64_t wants = wf_contract_wants_pack(t.graph, t.id);
    const int n = (int)wf_graph_node(t.graph, t.id)->n_in;
    for (int i = 0; i < n; i++) in[i] = wf_handle(t.graph, wf_node_in(t.graph, t.id)[i]);
    for (int i = 0; i < n / 2; i++)
        if (wants >> i & 1) in[2 * i + 1] = wf_contract_pack(t.graph, t.id, i, in[2 * i + 1]);
    cr_assert(wants == (UINT64_C(1) << n / 2) - 1, "not all filters want to be packed");
    t = wf_contract_with_packed(t.graph, t.id, in, wants);
    cr_assert(wf_ok(t), "%s", wf_graph_message(t.graph));
    return t;
}

Test(tensor_winograd, packed_filters_give_the_same_bits) {
    for (int i = 0; i < 3; i++) {
        wf_graph *g = wf_graph_new();
        const wf_tensor y = i == 2 ? step_of(g, 9, 20) : direction(g, &cases[7].k, i);
        const wf_tensor p = packed(y);
        cr_assert(by_winograd(y) && by_winograd(p), "%d: not this path", i);
        for (int64_t gap = 0; gap < 4; gap += 3) {
            float *want = with_gaps(y, gap, gap, 1), *got = with_gaps(p, gap, gap, 2);
            cr_assert(memcmp(want, got, (size_t)wf_count(y) * sizeof *got) == 0, "%d, gap %d", i,
                      (int)gap);
            free(want);
            free(got);
        }
        wf_graph_free(g);
    }
}

/* --- what is not computed so ------------------------------------------------------------------ */

Test(tensor_winograd, other_contractions_take_other_paths) {
    static const conv_case no[] = {
        {4, 16, 16, 32, 32, 3, 3, 1, {.dilation = {2, 2}, .pad = {2, 2}}},
        {4, 16, 16, 32, 32, 3, 3, 1, {.dilation = {1, 2}, .pad = {1, 2}}},
        {4, 16, 16, 32, 32, 3, 3, 1, {.stride = {2, 2}, .pad = {1, 1}}},
        {4, 16, 16, 32, 32, 3, 3, 1, {.stride = {2, 1}, .pad = {1, 1}}},
        {4, 16, 16, 32, 32, 3, 3, 2, {.pad = {1, 1}}},
        {4, 16, 16, 32, 32, 3, 3, 32, {.pad = {1, 1}}},
        {4, 16, 16, 32, 32, 1, 1, 1, {.groups = 1}},
        {4, 20, 20, 16, 16, 8, 8, 1, {.pad = {4, 4}}}, /* so many taps */
    };
    for (size_t i = 0; i < WF_COUNT(no); i++)
        cr_assert(on_of(&no[i]) == 0, "case %zu: %x", i, on_of(&no[i]));
}

/* Without WF_WINOGRAD=always: what would be slower is not, and the bundled model's layers are. */
Test(tensor_winograd_choice, where_it_is_faster) {
    static const conv_case slower[] = {
        {1, 3, 5, 32, 32, 3, 3, 1, {.pad = {1, 1}}}, /* so few tiles */
        {4, 16, 16, 8, 8, 3, 3, 1, {.pad = {1, 1}}}, /* so few channels */
    };
    static const conv_case faster[] = {
        {8, 32, 32, 64, 256, 5, 5, 1, {.pad = {2, 2}}},
        {8, 32, 32, 64, 256, 3, 3, 1, {.pad = {1, 1}}},
    };
    for (size_t i = 0; i < WF_COUNT(slower); i++)
        cr_assert(on_of(&slower[i]) == 0, "case %zu: %x", i, on_of(&slower[i]));
    for (size_t i = 0; i < WF_COUNT(faster); i++)
        cr_assert(on_of(&faster[i]) == ALL, "case %zu: %x", i, on_of(&faster[i]));
}

/* Convolutions whose output has columns apart, and whose channels are partly outside. */
Test(tensor_winograd, columns_apart_and_channels_outside_take_other_paths) {
    for (int k = 0; k < 3; k++) {
        const bool apart = k == 1, outside = k == 2;
        wf_graph *g = wf_graph_new();
        const wf_relation y = {.ca = 1, .a = 1, .cb = 1, .b = 4, .offset = -1, .div = 1};
        wf_relation x = y, c = wf_plain(6);
        x.a = apart ? 3 : 2;
        x.b = 5;
        if (outside) c.offset = -2;
        const int column = apart ? 2 : 3;
        const wf_contract_source s = {
            .n_sum = 3, .sum = {3, 3, 16}, .rank_a = 4, .rank_b = 4,
            .a = {wf_plain(0), y, x, c},
            .b = {wf_plain(column), wf_plain(4), wf_plain(5), wf_plain(6)}};
        const wf_tensor in = f32(g, WF_SHAPE(4, 17, 17, outside ? 14 : 16));
        const wf_tensor t = wf_contract(WF_SHAPE(4, 17, 17, 17), &s, in,
                                        f32(g, WF_SHAPE(17, 3, 3, 16)));
        cr_assert(wf_ok(t) && by_winograd(t) == !(apart || outside), "%d", k);
        check_fast(t, "columns apart, channels outside");
        wf_graph_free(g);
    }
}

/* Modes, f64 and guards, each beside what is computed so. */
Test(tensor_winograd, modes_f64_and_guards_take_other_paths) {
    const conv_case k = {4, 16, 16, 32, 32, 3, 3, 1, {.pad = {1, 1}}};
    cr_assert(on_of(&k) == ALL, "%x", on_of(&k));
    for (int d = 0; d < 3; d++) {
        wf_graph *g = wf_graph_new();
        const wf_tensor y = direction(g, &k, d);
        cr_assert(!by_winograd(recast(y, WF_COMPUTE_BF16)), "bf16, direction %d", d);
        cr_assert(!by_winograd(recast(y, WF_COMPUTE_F32X3)), "f32x3, direction %d", d);
        const wf_node *x = wf_graph_node(g, y.id);
        wf_contract_source s = ((const wf_contract_attr *)x->attr)->source[0];
        const wf_shape shape = x->type.shape;
        wf_tensor in[2], wide[2];
        for (int i = 0; i < 2; i++) {
            in[i] = wf_handle(g, wf_node_in(g, y.id)[i]);
            wide[i] = leaf(g, WF_F64, wf_shape_of_tensor(in[i]));
        }
        cr_assert(by_winograd(wf_contract(shape, &s, in[0], in[1])), "direction %d", d);
        cr_assert(!by_winograd(wf_contract(shape, &s, wide[0], wide[1])), "f64, direction %d", d);
        s.n_guards = 1;
        s.guard[0] = (wf_guard){.r = wf_plain(0), .extent = 1};
        const wf_tensor guarded = wf_contract(shape, &s, in[0], in[1]);
        cr_assert(wf_ok(guarded) && !by_winograd(guarded), "guard, direction %d", d);
        check_fast(guarded, "guarded");
        wf_graph_free(g);
    }
}

/* The data gradient of a convolution with stride 2 is four convolutions with stride 1, into every
 * second pixel of every second row. */
Test(tensor_winograd, strided_data_gradients_in_parts) {
    const conv_case k = {2, 33, 32, 32, 40, 5, 5, 1, {.stride = {2, 2}, .pad = {2, 2}}};
    for (int exact = 0; exact < 2; exact++) {
        wf_graph *g = wf_graph_new();
        wf_tensor t = direction(g, &k, 1);
        laid_out l;
        wf_stride_split s;
        int on = 0;
        if (exact) t = made_whole(t);
        lay_out(&l, t, 0, 0);
        cr_assert(wf_stride_split_make(&s, &l.call) && s.parts == 4);
        for (int64_t i = 0; i < s.parts; i++) {
            wf_stride_part part;
            wf_contract_plan p;
            wf_stride_split_part(&s, &l.call, i, &part);
            on += wf_contract_plan_make(&p, &part.call) && p.winograd.on;
        }
        cr_assert(on == 4, "%d parts", on);
        float *want = reference(t), *got = with_gaps(t, 3, 5, 3);
        const double error = relative(got, want, wf_count(t));
        cr_assert(error <= (exact ? 0 : 1e-6), "error %g", error);
        free(want);
        free(got);
        wf_graph_free(g);
    }
}
