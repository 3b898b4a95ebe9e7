/* Contractions that compute in bf16 and f32x3: the fast path against the reference evaluation, over
 * the grid of odd shapes, in all directions. */
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

/* The result is what f32 pieces give, rounded; operands of either kind count alike. */
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
            for (int64_t i = 0; i < n; i++) {
                uint16_t rounded;
                wf_store(WF_BF16, &rounded, (double)got[i]);
                cr_assert(half[i] == rounded, "%s, halves %u: element %d is %x, expected %x", what,
                          halves, (int)i, half[i], rounded);
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
