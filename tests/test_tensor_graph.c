/* Graph building: shapes at once, sticky errors with scope, leaves, assignments, no crash on
 * misuse. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/graph.h"

static bool said(const wf_graph *g, const char *part) {
    return strstr(wf_graph_message(g), part) != NULL;
}

Test(graph, shapes_are_inferred_at_once) {
    wf_graph *g = wf_graph_new();
    const wf_tensor a = wf_input(g, "a", WF_F32, WF_SHAPE(4, 1, 3));
    const wf_tensor b = wf_input(g, "b", WF_F32, WF_SHAPE(5, 1));
    const wf_tensor c = wf_add(a, b);
    cr_assert(wf_ok(c) && wf_rank(c) == 3);
    cr_assert(wf_dim(c, 0) == 4 && wf_dim(c, 1) == 5 && wf_dim(c, -1) == 3 && wf_count(c) == 60);
    cr_assert(wf_dim(c, 3) == 0 && wf_dim(c, -4) == 0);
    cr_assert(wf_graph_status(g) == WF_OK);
    wf_graph_free(g);
}

Test(graph, the_first_mistake_stays_and_names_scope_operation_and_shapes) {
    wf_graph *g = wf_graph_new();
    const wf_tensor a = wf_input(g, "a", WF_F32, WF_SHAPE(4, 3));
    const wf_tensor b = wf_input(g, "b", WF_F32, WF_SHAPE(5));
    wf_scope_push(g, "convlstm%d", 0);
    wf_scope_push(g, "t3");
    const wf_tensor bad = wf_mul(a, b);
    wf_scope_pop(g);
    wf_scope_pop(g);
    cr_assert(!wf_ok(bad));
    const wf_tensor worse = wf_matmul(wf_add(bad, a), b);
    cr_assert(!wf_ok(worse) && wf_dtype_of(worse) == WF_F32 && wf_rank(worse) == 0);
    cr_assert(said(g, "convlstm0/t3/mul") && said(g, "f32[4,3]") && said(g, "f32[5]"), "%s",
              wf_graph_message(g));
    cr_assert(wf_graph_status(g) == WF_MODEL && strcmp(wf_error(), wf_graph_message(g)) == 0);
    wf_graph_free(g);
}

Test(graph, misuse_is_refused_not_crashed) {
    wf_graph *g = wf_graph_new(), *other = wf_graph_new();
    const wf_tensor a = wf_input(g, "a", WF_F32, WF_SHAPE(2));
    const wf_tensor nothing = {NULL, 0};
    cr_assert(!wf_ok(wf_add(nothing, nothing)));
    cr_assert(!wf_ok(wf_add(a, nothing)) && said(g, "empty handle"), "%s", wf_graph_message(g));
    const wf_tensor b = wf_input(other, "b", WF_F32, WF_SHAPE(2));
    const wf_tensor a2 = wf_input(other, "a", WF_F32, WF_SHAPE(2));
    cr_assert(wf_ok(wf_add(b, a2)));
    cr_assert(!wf_ok(wf_add(b, a)) && said(other, "another graph"), "%s", wf_graph_message(other));
    wf_graph_free(g);
    wf_graph_free(other);
    cr_assert(wf_graph_status(NULL) == WF_ARGUMENT);
    wf_graph_free(NULL);
    wf_scope_push(NULL, "x");
    wf_scope_pop(NULL);
    cr_assert(!wf_ok(wf_graph_fail(NULL, "x")));
}

Test(graph, leaves_check_their_arguments) {
    static float data[6];
    const struct {
        const char *what;
        wf_dtype t;
        wf_shape shape;
    } bad[] = {{"negative", WF_F32, WF_SHAPE(2, -1)},
               {"too large", WF_F32, WF_SHAPE(INT64_MAX, INT64_MAX)},
               {"too large", WF_F64, WF_SHAPE(INT64_MAX / 4, 1)},
               {"rank", WF_F32, WF_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1)},
               {"dtype", (wf_dtype)77, WF_SHAPE(1)}};
    for (size_t i = 0; i < WF_COUNT(bad); i++) {
        wf_graph *g = wf_graph_new();
        cr_assert(!wf_ok(wf_input(g, "x", bad[i].t, bad[i].shape)));
        cr_assert(said(g, bad[i].what), "%s", wf_graph_message(g));
        wf_graph_free(g);
        g = wf_graph_new();
        cr_assert(!wf_ok(wf_leaf(g, "x", bad[i].t, bad[i].shape, data)));
        wf_graph_free(g);
    }
    wf_graph *g = wf_graph_new();
    const wf_tensor a = wf_leaf(g, "w", WF_F32, WF_SHAPE(2, 3), data);
    const wf_tensor b = wf_leaf(g, "w", WF_F32, WF_SHAPE(2, 3), data);
    cr_assert(a.id == b.id, "the same data gives the same leaf");
    cr_assert(wf_ok(wf_input(g, "x", WF_F32, WF_SHAPE(0, 3))), "empty values are values");
    cr_assert(!wf_ok(wf_input(g, "x", WF_F32, WF_SHAPE(1))) && said(g, "unique"));
    wf_graph_free(g);
}

Test(graph, an_assignment_needs_a_leaf_and_happens_once) {
    static float data[3];
    wf_graph *g = wf_graph_new();
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(3), data);
    cr_assert(wf_ok(wf_assign(w, wf_add(w, w))));
    cr_assert(!wf_ok(wf_assign(w, w)) && said(g, "assigned twice"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(3));
    cr_assert(!wf_ok(wf_assign(x, x)) && said(g, "not a leaf"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    const wf_tensor v = wf_leaf(g, "v", WF_F32, WF_SHAPE(3), data);
    cr_assert(!wf_ok(wf_assign(v, wf_scalar(g, WF_F32, 1))) && said(g, "differ"));
    wf_graph_free(g);
}

Test(graph, consing_finds_equals) {
    static float data[3];
    wf_graph *g = wf_graph_new();
    wf_graph_set_consing(g, true);
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(3), data);
    cr_assert(wf_mul(w, w).id == wf_mul(w, w).id);
    cr_assert(wf_scalar(g, WF_F32, 1).id == wf_scalar(g, WF_F32, 1).id);
    cr_assert(wf_scalar(g, WF_F32, 1).id != wf_scalar(g, WF_F32, 2).id);
    cr_assert(wf_slice(w, 0, 0, 2, 1).id != wf_slice(w, 0, 1, 2, 1).id);
    wf_graph_free(g);
}

Test(graph, reference_evaluator_walks_what_is_needed) {
    static float data[3] = {1, -2, 3};
    wf_graph *g = wf_graph_new();
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(3), data);
    const wf_tensor unused = wf_exp(wf_input(g, "x", WF_F32, WF_SHAPE(1000000)));
    const wf_tensor y = wf_add(wf_mul(w, w), wf_relu(w));
    cr_assert(wf_ok(unused));
    float out[3];
    void *to = out;
    cr_assert(wf_reference(g, &y.id, &to, 1, NULL, NULL) == WF_OK, "%s", wf_error());
    cr_assert(out[0] == 2 && out[1] == 4 && out[2] == 12);
    cr_assert(wf_reference(g, &unused.id, &to, 1, NULL, NULL) == WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "\"x\""), "%s", wf_error());
    wf_graph_free(g);
}

Test(graph, textual_form_is_stable) {
    static float data[3];
    wf_graph *g = wf_graph_new();
    char text[256];
    wf_scope_push(g, "cell");
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(3), data);
    const wf_tensor y = wf_mul(w, w);
    wf_scope_pop(g);
    wf_node_text(g, w.id, text, sizeof text);
    cr_assert_str_eq(text, "%1 f32[3] = leaf \"w\"   # cell");
    wf_node_text(g, y.id, text, sizeof text);
    cr_assert_str_eq(text, "%2 f32[3] = mul %1, %1   # cell");
    wf_graph_free(g);
}

Test(base, conversions_round_to_nearest_even_and_saturate) {
    uint16_t h;
    int32_t i;
    uint8_t u;
    wf_store(WF_BF16, &h, 1.00390625); /* halfway between 1 and 1 + 2^-7: to even */
    cr_assert(h == 0x3f80);
    wf_store(WF_BF16, &h, 1.01171875);
    cr_assert(h == 0x3f82);
    wf_store(WF_BF16, &h, 1.00390625 + 0x1p-40); /* above halfway by less than a float sees */
    cr_assert(h == 0x3f81);
    for (uint32_t b = 0; b < 65536; b++) { /* every f16 and bf16 survives the round trip */
        const uint16_t in = (uint16_t)b;
        uint16_t out;
        for (int k = 0; k < 2; k++) {
            const wf_dtype t = k ? WF_F16 : WF_BF16;
            const double v = wf_load(t, &in);
            wf_store(t, &out, v);
            cr_assert(out == in || isnan(v), "%s %04x", wf_dtype_name(t), b);
        }
    }
    wf_store(WF_F16, &h, 65519);
    cr_assert(h == 0x7bff);
    wf_store(WF_F16, &h, 65520);
    cr_assert(h == 0x7c00);
    wf_store(WF_I32, &i, 1e20);
    cr_assert(i == INT32_MAX);
    wf_store(WF_I32, &i, 2.5);
    cr_assert(i == 2);
    wf_store(WF_I32, &i, NAN);
    cr_assert(i == 0);
    wf_store(WF_U8, &u, -3);
    cr_assert(u == 0);
    wf_store(WF_BOOL, &u, 0.25);
    cr_assert(u == 1);
}

Test(base, messages_are_one_line_and_survive_quoting_themselves) {
    wf_fail(WF_FORMAT, "a\nb");
    cr_assert_str_eq(wf_error(), "a b");
    wf_fail(WF_FORMAT, "file x: %s", wf_error());
    cr_assert_str_eq(wf_error(), "file x: a b");
    cr_assert_str_eq(wf_status_name(WF_FORMAT), "FORMAT");
    cr_assert_str_eq(wf_version(), WF_VERSION);
}

Test(base, shapes_never_overflow) {
    const wf_shape big = WF_SHAPE(INT64_MAX, 2), empty = WF_SHAPE(INT64_MAX, INT64_MAX, 0);
    const wf_shape nine = WF_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1), minus = WF_SHAPE(-1, 0);
    cr_assert(wf_shape_count(&big) == -1 && wf_shape_count(&empty) == 0);
    cr_assert(wf_shape_count(&nine) == -1 && wf_shape_count(&minus) == -1);
}
