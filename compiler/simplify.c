/* simplify: the same values with fewer operations, in one forward loop over the graph.
 *
 * Every node is emitted, then offered to the rules below until none applies; equal nodes are one
 * node by consing. Rewriting may change the sign of zero and 0 * inf, nothing else: no rule
 * reassociates a sum. Before and after:
 *
 *   %1 f32[4,6] = leaf "w"                          %1 f32[4,6] = leaf "w"
 *   %2 f32[] = full {value=1}      --simplify-->    %2 f32[4,6] = tanh %1
 *   %3 f32[4,6] = mul %1, %2                        %3 f32[4,6] = mul %2, %2
 *   %4 f32[4,6] = tanh %3
 *   %5 f32[4,6] = tanh %1
 *   %6 f32[4,6] = full {value=0}
 *   %7 f32[4,6] = mul %1, %6
 *   %8 f32[4,6] = add %5, %7
 *   %9 f32[4,6] = mul %4, %8 */
#include "compiler/simplify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/sources.h"
#include "tensor/view.h"

static wf_simplify_rule *const rules[] = {
    wf_rule_fold,          /* f(constants) -> constant */
    wf_rule_operands,      /* f(expand(x), y) -> f(x, y) */
    wf_rule_algebra,       /* x * 1 -> x, and the like */
    wf_rule_sum_terms,     /* x + 0 + y -> x + y */
    wf_rule_disjoint_pads, /* pad(x) + pad(y) -> concat(x, y) */
    wf_rule_reduce,        /* sum over axes of extent 1 -> reshape */
    wf_rule_range,         /* relu(x) -> x for x >= 0 */
    wf_rule_contract,      /* zero operands contribute nothing */
    wf_rule_view,          /* views of views */
    wf_rule_pad,           /* pad by nothing, pad of zero */
    wf_rule_slice_of_parts /* slice(concat(x, y)) -> x */
};

static bool reserve(wf_simplify *s, uint32_t id) {
    if (id < s->cap) return true;
    uint32_t cap = s->cap ? s->cap : 1024;
    while (cap <= id) cap *= 2;
    uint32_t *best = realloc(s->best, cap * sizeof *best);
    if (!best) {
        s->failed = true;
        return false;
    }
    memset(best + s->cap, 0, (cap - s->cap) * sizeof *best);
    s->best = best;
    s->cap = cap;
    return true;
}

uint32_t wf_settle(wf_simplify *s, wf_tensor t) {
    const uint32_t id = t.id;
    if (id == 0 || s->failed || !reserve(s, id)) return 0;
    if (s->best[id]) return s->best[id];
    for (size_t i = 0; i < WF_COUNT(rules); i++) {
        const uint32_t to = rules[i](s, id);
        if (s->failed || wf_graph_status(s->to)) return 0;
        if (to && to != id) {
            if (!reserve(s, to)) return 0;
            if (!s->best[to]) s->best[to] = to;
            return s->best[id] = s->best[to];
        }
    }
    return s->best[id] = id;
}

/* --- what rules ask and make ------------------------------------------------------------------ */

bool wf_s_uniform(const wf_simplify *s, uint32_t id, double *value) {
    const wf_node *x = wf_s_node(s, id);
    if (x->op != &wf_op_full) return false;
    *value = ((const wf_full_attr *)x->attr)->value;
    return true;
}

bool wf_s_is(const wf_simplify *s, uint32_t id, double value) {
    double v;
    return wf_s_uniform(s, id, &v) && v == value;
}

uint32_t wf_s_full(wf_simplify *s, uint32_t like, double value) {
    const wf_type t = wf_s_node(s, like)->type;
    return wf_settle(s, wf_full(s->to, t.dtype, t.shape, value));
}

uint32_t wf_s_expanded(wf_simplify *s, wf_tensor x, uint32_t like) {
    const wf_shape want = wf_s_node(s, like)->type.shape;
    const wf_shape have = wf_shape_of_tensor(x);
    if (wf_shape_equal(&want, &have)) return x.id;
    return wf_settle(s, wf_expand(x, want));
}

/* --- the pass --------------------------------------------------------------------------------- */

/* A constant whose elements are one number that a double holds becomes `full`. */
static uint32_t settle_leaf(wf_simplify *s, const wf_rewrite *r, uint32_t id) {
    const wf_node *x = wf_graph_node(r->from, id);
    double v;
    const bool exact = wf_uniform_value(r->from, id, &v) &&
                       (wf_dtype_is_real(x->type.dtype) || fabs(v) < 9007199254740992.0);
    if (!exact || isnan(v)) return wf_settle(s, wf_copy_leaf(s->to, r->from, id));
    return wf_settle(s, wf_full(s->to, x->type.dtype, x->type.shape, v));
}

static uint32_t simplify_node(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    wf_simplify *s = user;
    s->to = r->to;
    const wf_node *x = wf_graph_node(r->from, id);
    if (x->op == &wf_op_leaf) return settle_leaf(s, r, id);
    if (x->op == &wf_op_assign) return wf_rewrite_same(r, id, in, NULL);
    return wf_settle(s, wf_emit(r->to, x->op, x->attr, x->attr_bytes, in, (int)x->n_in));
}

wf_status wf_pass_simplify(const wf_stage *in, wf_stage *out) {
    wf_simplify s = {.room = malloc(WF_FOLD_BYTES)};
    if (!s.room) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    wf_stage with_dead = {0};
    wf_status status = wf_rewrite_stage(in, &with_dead, simplify_node, &s);
    if (s.failed) status = wf_fail(WF_MEMORY, "out of memory in the compiler");
    free(s.best);
    free(s.fact);
    free(s.room);
    if (!status) status = wf_pass_copy(&with_dead, out);
    wf_stage_free(&with_dead);
    return status;
}
