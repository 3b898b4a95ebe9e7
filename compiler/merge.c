/* merge: contractions that belong together become one, and packed operands become values.
 *
 * A sum of contractions that nothing else reads is one contraction with all their sources: a cell's
 * convolutions of x and h, a weight's gradients over all time steps. Then every constant-like
 * operand that the kernel wants in panels is packed by a node of its own, so that equal packs are
 * one pack, once a step. Before and after:
 *
 *   %5 f32[8,4] = contract %1, %2                 %5 f32[..] = pack %2
 *   %6 f32[8,4] = contract %3, %4                 %6 f32[..] = pack %4
 *   %7 f32[8,4] = add %5, %6                      %7 f32[8,4] = contract %1, %5, %3, %6 */
#include <stdlib.h>

#include "compiler/pass.h"
#include "tensor/contract.h"
#include "tensor/elementwise.h"

/* --- sums of contractions --------------------------------------------------------------------- */

/* True if the tuned kernel takes contraction t with dense operands. */
static bool has_kernel(wf_tensor t, wf_array *room) {
    const wf_node *x = wf_graph_node(t.graph, t.id);
    const uint32_t *from = wf_node_in(t.graph, t.id);
    for (uint32_t i = 0; i < x->n_in; i++) {
        const wf_type *type = &wf_graph_node(t.graph, from[i])->type;
        room[i] = wf_array_dense(NULL, type->dtype, &type->shape);
    }
    const wf_call c = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = room,
                       .out = wf_array_dense(NULL, x->type.dtype, &x->type.shape)};
    return x->op->fast && x->op->fast->applicable(&c);
}

static bool keeps_kernel(wf_tensor joined, wf_tensor a, wf_tensor b) {
    const uint32_t n = wf_graph_node(joined.graph, joined.id)->n_in;
    wf_array *room = calloc(n ? n : 1, sizeof *room);
    if (!room) return false;
    const bool keeps = has_kernel(joined, room) || !has_kernel(a, room) || !has_kernel(b, room);
    free(room);
    return keeps;
}

/* Joins t[0 .. n) by halves, so that the work is n log n; poison if they do not join. */
static wf_tensor join(const wf_tensor *t, int n) {
    if (n == 1) return t[0];
    const wf_tensor a = join(t, n / 2), b = join(t + n / 2, n - n / 2);
    if (!a.id || !b.id) return (wf_tensor){t[0].graph, 0};
    const wf_tensor both = wf_contract_join(a, b);
    return both.id && keeps_kernel(both, a, b) ? both : (wf_tensor){t[0].graph, 0};
}

/* Operand i of a sum: a contraction that only the sum reads, of the sum's type. */
static bool is_term(const wf_rewrite *r, uint32_t id, const wf_tensor *in, uint32_t i) {
    const uint32_t from = wf_node_in(r->from, id)[i];
    const wf_node *x = wf_graph_node(r->from, id), *y = wf_graph_node(r->from, from);
    return wf_graph_node(r->to, in[i].id)->op == &wf_op_contract && r->readers[from] == 1 &&
           wf_shape_equal(&x->type.shape, &y->type.shape);
}

static uint32_t join_terms(wf_rewrite *r, uint32_t id, const wf_tensor *in, wf_tensor *term) {
    const uint32_t n_in = wf_graph_node(r->from, id)->n_in;
    wf_tensor *rest = term + n_in;
    int n_term = 0, n_rest = 0, at = 0;
    for (uint32_t i = 0; i < n_in; i++) {
        if (!is_term(r, id, in, i)) {
            rest[n_rest++] = in[i];
        } else {
            if (n_term == 0) at = n_rest++;
            term[n_term++] = in[i];
        }
    }
    if (n_term < 2) return 0;
    rest[at] = join(term, n_term);
    if (!rest[at].id) return 0;
    if (n_rest == 1) return rest[0].id;
    return (n_rest == 2 ? wf_add(rest[0], rest[1]) : wf_add_n(rest, n_rest)).id;
}

static uint32_t join_node(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const wf_node *x = wf_graph_node(r->from, id);
    uint32_t to = 0;
    if (x->op == &wf_op_add || x->op == &wf_op_add_n) {
        wf_tensor *room = calloc(2 * (size_t)x->n_in, sizeof *room);
        if (room) to = join_terms(r, id, in, room);
        free(room);
    }
    return to ? to : wf_rewrite_same(r, id, in, NULL);
}

/* --- packed operands -------------------------------------------------------------------------- */

static uint32_t pack_node(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const wf_node *x = wf_graph_node(r->from, id);
    uint64_t packed = 0;
    if (x->op != &wf_op_contract) return wf_rewrite_same(r, id, in, NULL);
    for (uint32_t i = 0; i < x->n_in / 2 && i < 64; i++)
        if (wf_contract_wants_pack(r->from, id, (int)i)) packed |= UINT64_C(1) << i;
    if (!packed) return wf_rewrite_same(r, id, in, NULL);
    wf_tensor *operand = calloc(x->n_in, sizeof *operand);
    if (!operand) return wf_rewrite_same(r, id, in, NULL);
    for (uint32_t i = 0; i < x->n_in; i++) {
        const bool pack = i % 2 == 1 && i / 2 < 64 && (packed >> i / 2 & 1);
        operand[i] = pack ? wf_contract_pack(r->from, id, (int)i / 2, in[i]) : in[i];
    }
    const uint32_t to = wf_contract_with_packed(r->from, id, operand, packed).id;
    free(operand);
    return to;
}

wf_status wf_pass_merge(const wf_stage *in, wf_stage *out) {
    wf_stage joined = {0}, merged = {0}, summed = {0}, added = {0};
    wf_status s = wf_rewrite_stage(in, &joined, join_node, NULL);
    if (!s) s = wf_pass_siblings(&joined, &merged);
    if (!s) s = wf_pass_part_sums(&merged, &summed);
    if (!s) s = wf_pass_slice_sums(&summed, &added);
    if (!s) s = wf_rewrite_stage(&added, out, pack_node, NULL);
    wf_stage *const between[] = {&joined, &merged, &summed, &added};
    for (size_t i = 0; i < WF_COUNT(between); i++) wf_stage_free(between[i]);
    return s;
}
