/* Golden tests of simplify and merge: the textual graph after the pass, one test a rule. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/pass.h"
#include "tensor/contract.h"

typedef wf_status pass_fn(const wf_stage *in, wf_stage *out);

/* The text of the graph after the pass, with the last node as root; the caller frees it. */
static char *after(pass_fn *pass, wf_tensor root) {
    cr_assert(wf_ok(root), "%s", wf_graph_message(root.graph));
    uint32_t id = root.id;
    const wf_stage in = {root.graph, &id, 1};
    wf_stage out;
    cr_assert_eq(wf_verify(&in, "written"), WF_OK, "%s", wf_error());
    cr_assert_eq(pass(&in, &out), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_verify(&out, "pass"), WF_OK, "%s", wf_error());
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_graph_dump(out.graph, f), WF_OK);
    fprintf(f, "-> %%%u\n", out.root[0]);
    fclose(f);
    wf_stage_free(&out);
    return text;
}

static void expect(pass_fn *pass, wf_tensor root, const char *want) {
    char *got = after(pass, root);
    cr_expect(strcmp(got, want) == 0, "want:\n%sgot:\n%s", want, got);
    free(got);
    wf_graph_free(root.graph);
}

static float data[300064];

static wf_tensor leaf(wf_graph *g, const char *name, wf_shape shape, int at) {
    return wf_leaf(g, name, WF_F32, shape, data + at);
}

#define W "%1 f32[4,6] = leaf \"w\"\n"
static wf_tensor w_of(wf_graph *g) { return leaf(g, "w", WF_SHAPE(4, 6), 0); }

Test(compiler_simplify, neutral_elements) {
    wf_graph *g = wf_graph_new();
    wf_tensor x = w_of(g);
    x = wf_add(x, wf_scalar(g, WF_F32, 0));
    x = wf_sub(x, wf_zeros_like(x));
    x = wf_mul(wf_ones_like(x), x);
    x = wf_div(x, wf_scalar(g, WF_F32, 1));
    x = wf_neg(wf_neg(x));
    x = wf_maximum(x, x);
    x = wf_cast(x, WF_F32);
    x = wf_select(wf_full(g, WF_BOOL, WF_SHAPE(4, 6), 1), x, wf_tanh(x));
    expect(wf_pass_simplify, wf_stop_gradient(x), W "-> %1\n");
}

Test(compiler_simplify, neutral_elements_keep_the_shape) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "w", WF_SHAPE(6), 0);
    expect(wf_pass_simplify, wf_add(x, wf_full(g, WF_F32, WF_SHAPE(4, 6), 0)),
           "%1 f32[6] = leaf \"w\"\n%2 f32[4,6] = expand %1\n-> %2\n");
}

Test(compiler_simplify, signs) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = w_of(g), y = leaf(g, "v", WF_SHAPE(4, 6), 64);
    expect(wf_pass_simplify, wf_sub(wf_add(x, wf_neg(y)), wf_neg(y)),
           W "%2 f32[4,6] = leaf \"v\"\n%3 f32[4,6] = sub %1, %2\n"
             "%4 f32[4,6] = add %3, %2\n-> %4\n");
}

Test(compiler_simplify, folding) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = w_of(g);
    const wf_tensor two = wf_add(wf_scalar(g, WF_F32, 1), wf_scalar(g, WF_F32, 1));
    const wf_tensor big = wf_mul(wf_full(g, WF_F32, WF_SHAPE(4, 6), 3), two); /* uniform */
    const wf_tensor ramp = wf_square(wf_arange(g, WF_F32, 0, 1, 6));          /* not uniform */
    expect(wf_pass_simplify, wf_mul(wf_mul(x, big), ramp),
           W "%2 f32[6] = const [0,1,4,9,16,25]\n%3 f32[] = full {value=6}\n"
             "%4 f32[4,6] = mul %1, %3\n%5 f32[4,6] = mul %4, %2\n-> %5\n");
}

Test(compiler_simplify, large_constants_are_not_folded) {
    wf_graph *g = wf_graph_new();
    expect(wf_pass_simplify, wf_arange(g, WF_F32, 0, 1, 100000),
           "%1 f32[100000] = arange {first=0 step=1}\n-> %1\n");
}

Test(compiler_simplify, views_of_views) {
    wf_graph *g = wf_graph_new();
    wf_tensor x = w_of(g);
    x = wf_reshape(wf_reshape(x, WF_SHAPE(-1)), WF_SHAPE(4, 6));
    x = wf_transpose(wf_transpose(x, 0, 1), 0, 1);
    x = wf_flip(wf_flip(x, 1), 1);
    x = wf_slice(x, 0, 0, 4, 1);
    x = wf_expand(x, WF_SHAPE(4, 6));
    expect(wf_pass_simplify, x, W "-> %1\n");
}

Test(compiler_simplify, permutes_join) {
    wf_graph *g = wf_graph_new();
    wf_tensor x = leaf(g, "w", WF_SHAPE(2, 3, 4), 0);
    x = wf_permute(wf_permute(x, (const int[]){1, 2, 0}), (const int[]){1, 0, 2});
    expect(wf_pass_simplify, x,
           "%1 f32[2,3,4] = leaf \"w\"\n%2 f32[4,3,2] = permute %1 {perm=2,1,0}\n-> %2\n");
}

Test(compiler_simplify, views_of_uniform_values) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = w_of(g);
    const wf_tensor z = wf_transpose(wf_full(g, WF_F32, WF_SHAPE(6, 4), 2), 0, 1);
    expect(wf_pass_simplify, wf_mul(x, z),
           W "%2 f32[] = full {value=2}\n%3 f32[4,6] = mul %1, %2\n-> %3\n");
}

Test(compiler_simplify, parts_of_what_was_joined) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = w_of(g), y = wf_tanh(x);
    const wf_tensor s = wf_stack((wf_tensor[]){x, y}, 2, 0);
    const wf_tensor c = wf_concat((wf_tensor[]){x, y}, 2, 1);
    expect(wf_pass_simplify, wf_add(wf_index(s, 0, 1), wf_slice(c, 1, 6, 6, 1)),
           W "%2 f32[4,6] = tanh %1\n%3 f32[4,6] = add %2, %2\n-> %3\n");
}

Test(compiler_simplify, pads_in_any_order_with_gaps_and_nested_sums) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "a", WF_SHAPE(2, 1), 0), y = wf_tanh(x), z = wf_exp(x);
    const wf_tensor s = wf_add(wf_add(wf_pad(x, 1, 4, 1, 1), wf_pad(y, 1, 0, 5, 1)),
                               wf_pad(z, 1, 2, 3, 1));
    expect(wf_pass_simplify, s,
           "%1 f32[2,1] = leaf \"a\"\n%2 f32[2,1] = tanh %1\n%3 f32[2,1] = exp %1\n"
           "%4 f32[2,1] = full {value=0}\n"
           "%5 f32[2,6] = concat %2, %4, %3, %4, %1, %4 {axis=1}\n-> %5\n");
}

Test(compiler_simplify, pads_beside_another_term) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "a", WF_SHAPE(2), 0), y = leaf(g, "b", WF_SHAPE(4), 8);
    const wf_tensor s = wf_add_n((wf_tensor[]){wf_pad(x, 0, 0, 2, 1), y, wf_pad(x, 0, 2, 0, 1)}, 3);
    expect(wf_pass_simplify, s,
           "%1 f32[2] = leaf \"a\"\n%2 f32[4] = leaf \"b\"\n"
           "%3 f32[4] = concat %1, %1 {axis=0}\n%4 f32[4] = add %3, %2\n-> %4\n");
}

Test(compiler_simplify, overlapping_pads_stay) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "a", WF_SHAPE(3), 0);
    const wf_tensor a = wf_pad(x, 0, 0, 1, 1), b = wf_pad(x, 0, 1, 0, 1);
    expect(wf_pass_simplify, wf_add(a, b),
           "%1 f32[3] = leaf \"a\"\n%2 f32[4] = pad %1 {axis=0 before=0 after=1}\n"
           "%3 f32[4] = pad %1 {axis=0 before=1 after=0}\n"
           "%4 f32[4] = add %2, %3\n-> %4\n");
}

/* Two other terms apart: joining the pads would reassociate their sum. */
Test(compiler_simplify, pads_are_not_reassociated) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "a", WF_SHAPE(2), 0), y = leaf(g, "b", WF_SHAPE(4), 8);
    const wf_tensor s = wf_add_n((wf_tensor[]){wf_pad(x, 0, 0, 2, 1), y, wf_pad(x, 0, 2, 0, 1),
                                               wf_tanh(y)}, 4);
    char *text = after(wf_pass_simplify, s);
    cr_assert(strstr(text, "concat") == NULL, "%s", text);
    free(text);
    wf_graph_free(g);
}

Test(compiler_simplify, sums_of_terms) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = w_of(g), zero = wf_zeros_like(x);
    const wf_tensor s = wf_add_n((wf_tensor[]){zero, x, zero, wf_tanh(x)}, 4);
    expect(wf_pass_simplify, wf_add_n((wf_tensor[]){s, zero}, 2),
           W "%2 f32[4,6] = tanh %1\n%3 f32[4,6] = add %1, %2\n-> %3\n");
}

Test(compiler_simplify, reductions_over_nothing) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "w", WF_SHAPE(4, 1, 6), 0);
    const wf_tensor s = wf_sum(x, (wf_reduce_opt){.n_axes = 1, .axes = {1}});
    const wf_tensor z = wf_sum_to(wf_full(g, WF_F32, WF_SHAPE(9, 4, 6), 0), WF_SHAPE(4, 6));
    expect(wf_pass_simplify, wf_add(s, z),
           "%1 f32[4,1,6] = leaf \"w\"\n%2 f32[4,6] = reshape %1\n-> %2\n");
}

Test(compiler_simplify, zero_state_contributes_nothing) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "x", WF_SHAPE(1, 4, 4, 2), 0);
    const wf_tensor h = wf_full(g, WF_F32, WF_SHAPE(1, 4, 4, 3), 0);
    const wf_tensor u = leaf(g, "u", WF_SHAPE(5, 3, 3, 3), 512);
    const wf_conv_opt o = {.pad = {1, 1}};
    char *text = after(wf_pass_simplify, wf_add(wf_reshape(wf_tanh(wf_sum(x, (wf_reduce_opt){0})),
                                                           WF_SHAPE(1, 1, 1, 1)),
                                                wf_conv(h, u, o)));
    cr_assert(strstr(text, "contract") == NULL, "%s", text);
    cr_assert(strstr(text, "leaf \"u\"") == NULL, "%s", text);
    free(text);
    wf_graph_free(g);
}

Test(compiler_simplify, zero_sources_are_dropped) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "x", WF_SHAPE(8, 3), 0), w = leaf(g, "w", WF_SHAPE(3, 4), 64);
    const wf_tensor h = wf_full(g, WF_F32, WF_SHAPE(8, 3), 0);
    const wf_tensor u = leaf(g, "u", WF_SHAPE(3, 4), 128);
    const wf_tensor both = wf_contract_join(wf_matmul(h, u), wf_matmul(x, w));
    expect(wf_pass_simplify, both,
           "%1 f32[8,3] = leaf \"x\"\n%2 f32[3,4] = leaf \"w\"\n"
           "%3 f32[8,4] = contract %1, %2 {sum[3] A[o0,k0] B[k0,o1]}\n-> %3\n");
}

Test(compiler_simplify, assignments_and_scopes_survive) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = w_of(g);
    wf_scope_push(g, "layer%d", 3);
    const wf_tensor y = wf_tanh(wf_mul_scalar(x, 1));
    wf_scope_pop(g);
    expect(wf_pass_simplify, wf_assign(x, wf_name(y, "y")),
           W "%2 f32[4,6] = tanh %1 as \"y\"   # layer3\n%3 f32[4,6] = assign %1, %2\n-> %3\n");
}

/* Long chains must not exhaust the stack, nor cost more than linear time. */
Test(compiler_simplify, long_chains) {
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_square(leaf(g, "w", WF_SHAPE(3), 0)), y = leaf(g, "v", WF_SHAPE(300000), 64);
    for (int i = 0; i < 100000; i++) x = wf_add(x, wf_square(x));
    for (int i = 0; i < 100000; i++) y = wf_slice(y, 0, 1, wf_dim(y, 0) - 1, 1);
    free(after(wf_pass_simplify, wf_relu(x)));
    free(after(wf_pass_simplify, y));
    wf_graph_free(g);
}

/* --- merge ------------------------------------------------------------------------------------ */

static int count(const char *text, const char *what) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++) n++;
    return n;
}

Test(compiler_merge, sums_of_contractions_are_one) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "x", WF_SHAPE(8, 3), 0), w = leaf(g, "w", WF_SHAPE(3, 4), 64);
    const wf_tensor h = leaf(g, "h", WF_SHAPE(8, 5), 128), u = leaf(g, "u", WF_SHAPE(5, 4), 256);
    const wf_tensor b = leaf(g, "b", WF_SHAPE(8, 4), 512);
    const wf_tensor s = wf_add_n((wf_tensor[]){wf_matmul(x, w), b, wf_matmul(h, u)}, 3);
    char *text = after(wf_pass_merge, s);
    cr_assert_eq(count(text, "= contract "), 1, "%s", text);
    cr_assert_eq(count(text, "= add "), 1, "%s", text);
    free(text);
    wf_graph_free(g);
}

Test(compiler_merge, a_contraction_read_twice_stays) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = leaf(g, "x", WF_SHAPE(8, 3), 0), w = leaf(g, "w", WF_SHAPE(3, 4), 64);
    const wf_tensor y = wf_matmul(x, w), z = wf_matmul(wf_tanh(x), w);
    char *text = after(wf_pass_merge, wf_mul(wf_add(y, z), y));
    cr_assert_eq(count(text, "= contract "), 2, "%s", text);
    free(text);
    wf_graph_free(g);
}

/* One weight, many readers: packed once. */
Test(compiler_merge, a_weight_is_packed_once) {
    static float weight[9 * 64 * 64], state[2 * 16 * 16 * 64];
    wf_graph *g = wf_graph_new();
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(64, 3, 3, 64), weight);
    wf_tensor h = wf_leaf(g, "h", WF_F32, WF_SHAPE(2, 16, 16, 64), state);
    for (int t = 0; t < 3; t++) h = wf_tanh(wf_conv(h, w, (wf_conv_opt){.pad = {1, 1}}));
    char *text = after(wf_pass_merge, h);
    cr_assert_eq(count(text, "= contract "), 3, "%s", text);
    cr_assert_eq(count(text, "= pack "), 1, "%s", text);
    free(text);
    wf_graph_free(g);
}
