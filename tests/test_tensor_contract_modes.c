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
