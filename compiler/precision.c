/* precision: in which type values are computed and stored. There is one mode, f32 (auto is f32):
 * all compute in the types that the model writes, fp32 or f64, and storage types - bf16, f16,
 * integers, bool - are widened where they are read. What remains to be decided is that no value is
 * converted twice where once does the same:
 *
 *   %1 bf16[8] = input "x"                         %1 bf16[8] = input "x"
 *   %2 f32[8] = cast %1                            %2 f32[8] = cast %1
 *   %3 f64[8] = cast %2            --precision-->  %3 f64[8] = cast %1
 *   %4 bf16[8] = cast %2                           %4 f32[8] = exp %2
 *   %5 f32[8] = exp %2                             outputs %3, %1, %4
 *   outputs %3, %4, %5
 *
 * Legal, as the type between holds every value of the first. */
#include "compiler/pass.h"
#include "tensor/elementwise.h"

/* True if every value of dtype a is one of dtype b. */
static bool holds(wf_dtype b, wf_dtype a) {
    if (a == b || a == WF_BOOL) return true;
    switch (a) {
    case WF_U8: return b != WF_BOOL;
    case WF_I32: return b == WF_I64 || b == WF_F64;
    case WF_BF16:
    case WF_F16: return b == WF_F32 || b == WF_F64;
    case WF_F32: return b == WF_F64;
    default: return false;
    }
}

static uint32_t rewrite(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const wf_node *x = wf_graph_node(r->from, id);
    if (x->op != &wf_op_cast) return wf_rewrite_same(r, id, in, NULL);
    wf_tensor from = in[0];
    while (wf_graph_node(r->to, from.id)->op == &wf_op_cast) {
        const wf_tensor before = wf_handle(r->to, wf_node_in(r->to, from.id)[0]);
        if (!holds(wf_dtype_of(from), wf_dtype_of(before))) break;
        from = before;
    }
    return wf_dtype_of(from) == x->type.dtype ? from.id : wf_cast(from, x->type.dtype).id;
}

wf_status wf_pass_precision(const wf_stage *in, wf_stage *out) {
    return wf_rewrite_stage(in, out, rewrite, NULL);
}
