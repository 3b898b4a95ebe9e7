/* merge: contractions that belong together become one, and packed operands become values.
 *
 * A sum of contractions that nothing else reads is one contraction with all their sources, as long
 * as it stays a matrix product (rows and columns agree, if need be with A and B exchanged): a
 * cell's convolutions of x and h, whose biases are added behind them, a weight's gradients over
 * all time steps. Unless siblings, contractions of the same input, could not all do so: they stay
 * apart to become one (siblings.c), as in a GRU, where r and z are sums of contractions of x and h
 * but the candidate is not. Reductions of parts follow (part_sums.c, slice_sums.c). Then every
 * constant-like operand that the kernel wants in panels is packed by a node of its own, so that
 * equal packs are one pack, once a step. Before and after:
 *
 *   %1 f32[1024,32] = input "x"
 *   %2 f32[32,64] = leaf "w"
 *   %3 f32[1024,16] = input "h"
 *   %4 f32[16,64] = leaf "u"
 *   %5 f32[1024,64] = contract %1, %2 {sum[32] A[o0,k0] B[k0,o1]}
 *   %6 f32[1024,64] = contract %3, %4 {sum[16] A[o0,k0] B[k0,o1]}
 *   %7 f32[1024,64] = add %5, %6
 *   --merge-->
 *   %1 f32[1024,32] = input "x"
 *   %2 f32[32,64] = leaf "w"
 *   %3 f32[1024,16] = input "h"
 *   %4 f32[16,64] = leaf "u"
 *   %5 f32[2048] = pack %2 {out[1,64] sum[32] B[k0,o1] columns[o1] batch[]}
 *   %6 f32[1024] = pack %4 {out[1,64] sum[16] B[k0,o1] columns[o1] batch[]}
 *   %7 f32[1024,64] = contract %1, %5, %3, %6 {sum[32] A[o0,k0] B packed columns[o1] batch[]
 *     + sum[16] A[o0,k0] B packed columns[o1] batch[]} */
#include <stdlib.h>

#include "compiler/siblings.h"
#include "tensor/contract.h"
#include "tensor/elementwise.h"

/* --- the order of sums ------------------------------------------------------------------------ */

/* A side of an addition as contraction + rest, in the graph before; 0: none. */
typedef struct side {
    uint32_t contraction, rest;
} side;

static bool is_alone(const wf_rewrite *r, uint32_t id, const wf_shape *s) {
    const wf_node *x = wf_graph_node(r->from, id);
    return r->readers[id] == 1 && wf_shape_equal(&x->type.shape, s);
}

static side side_of(const wf_rewrite *r, uint32_t id, const wf_shape *s) {
    const wf_node *x = wf_graph_node(r->from, id);
    if (!is_alone(r, id, s)) return (side){0, 0};
    if (x->op == &wf_op_contract) return (side){id, 0};
    if (x->op != &wf_op_add) return (side){0, 0};
    const uint32_t *in = wf_node_in(r->from, id);
    bool term[2];
    for (int i = 0; i < 2; i++)
        term[i] = wf_graph_node(r->from, in[i])->op == &wf_op_contract && is_alone(r, in[i], s);
    if (term[0] == term[1]) return (side){0, 0};
    return term[0] ? (side){in[0], in[1]} : (side){in[1], in[0]};
}

/* (A + b) + (C + d) -> (A + C) + (b + d) for contractions A and C, so that they meet: a cell's
 * convolutions, each with its bias. */
static uint32_t order_node(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const wf_node *x = wf_graph_node(r->from, id);
    const uint32_t *from = wf_node_in(r->from, id);
    if (x->op != &wf_op_add) return wf_rewrite_same(r, id, in, NULL);
    const side a = side_of(r, from[0], &x->type.shape), b = side_of(r, from[1], &x->type.shape);
    if (!a.contraction || !b.contraction || !(a.rest || b.rest))
        return wf_rewrite_same(r, id, in, NULL);
    const wf_tensor both = wf_add(wf_handle(r->to, r->map[a.contraction]),
                                  wf_handle(r->to, r->map[b.contraction]));
    wf_tensor rest = wf_handle(r->to, r->map[a.rest ? a.rest : b.rest]);
    if (a.rest && b.rest) rest = wf_add(rest, wf_handle(r->to, r->map[b.rest]));
    return wf_add(both, rest).id;
}

/* --- sums of contractions --------------------------------------------------------------------- */

/* Contractions that stay out of sums for their siblings' sake, and who reads what once. */
typedef struct joiner {
    wf_family family;
    uint32_t *reader; /* (nodes) a reader */
    bool *apart;      /* (nodes) */
} joiner;

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

/* t[0 .. n) as one; poison if a kernel of one of them would be lost. */
static wf_tensor join(const wf_tensor *t, int n) {
    const wf_tensor all = wf_contract_join_n(t, n);
    wf_array *room = all.id ? calloc(wf_graph_node(all.graph, all.id)->n_in, sizeof *room) : NULL;
    const bool lost = room && !has_kernel(all, room);
    bool keeps = room != NULL;
    for (int i = 0; i < n && lost && keeps; i++) keeps = !has_kernel(t[i], room);
    free(room);
    return keeps ? all : (wf_tensor){t[0].graph, 0};
}

/* Operand i of a sum: a contraction that only the sum reads, of the sum's type. */
static bool is_term(const wf_rewrite *r, uint32_t id, const wf_tensor *in, uint32_t i,
                    const joiner *q) {
    const uint32_t from = wf_node_in(r->from, id)[i];
    const wf_node *x = wf_graph_node(r->from, id), *y = wf_graph_node(r->from, from);
    return wf_graph_node(r->to, in[i].id)->op == &wf_op_contract && r->readers[from] == 1 &&
           !q->apart[from] && wf_shape_equal(&x->type.shape, &y->type.shape);
}

static uint32_t join_terms(wf_rewrite *r, uint32_t id, const wf_tensor *in, wf_tensor *term,
                           const joiner *q) {
    const uint32_t n_in = wf_graph_node(r->from, id)->n_in;
    wf_tensor *rest = term + n_in;
    int n_term = 0, n_rest = 0, at = 0;
    for (uint32_t i = 0; i < n_in; i++) {
        const bool fits = is_term(r, id, in, i, q) &&
                          (n_term == 0 || wf_contract_may_join(term[0], in[i]));
        if (!fits) {
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
        if (room) to = join_terms(r, id, in, room, user);
        free(room);
    }
    return to ? to : wf_rewrite_same(r, id, in, NULL);
}

/* True if contraction `id` has one reader, a sum with another contraction. */
static bool has_company(const joiner *q, uint32_t id) {
    const wf_graph *g = q->family.g;
    const uint32_t sum = q->reader[id];
    const wf_node *x = wf_graph_node(g, sum);
    if (!sum || (x->op != &wf_op_add && x->op != &wf_op_add_n)) return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n_in && n < 2; i++) {
        const uint32_t in = wf_node_in(g, sum)[i];
        n += wf_graph_node(g, in)->op == &wf_op_contract && q->reader[in] == sum;
    }
    return n > 1;
}

/* Siblings join sums all or none. */
static void find_apart(joiner *q) {
    const wf_family *f = &q->family;
    const uint32_t several = UINT32_MAX;
    for (uint32_t id = 1; id < wf_graph_size(f->g); id++)
        for (uint32_t i = 0; f->live[id] && i < wf_graph_node(f->g, id)->n_in; i++) {
            uint32_t *reader = &q->reader[wf_node_in(f->g, id)[i]];
            *reader = *reader ? several : id;
        }
    for (uint32_t id = 1; id < wf_graph_size(f->g); id++)
        if (q->reader[id] == several || f->root[id]) q->reader[id] = 0;
    for (uint32_t i = 1; i < f->n_groups; i++) {
        const wf_siblings *g = &f->groups[i];
        const wf_sibling *member = f->sibling + g->first;
        bool all = true;
        for (uint32_t k = 0; k < g->n && g->weights; k++)
            all &= !member[k].id || has_company(q, member[k].id);
        for (uint32_t k = 0; k < g->n && !all; k++) q->apart[member[k].id] = true;
    }
}

static wf_status join_sums(const wf_stage *in, wf_stage *out) {
    const size_t n = wf_graph_size(in->graph);
    joiner q = {.reader = calloc(n, sizeof *q.reader), .apart = calloc(n, sizeof *q.apart)};
    wf_status s = wf_family_find(&q.family, in);
    if (!s && !(q.reader && q.apart)) s = wf_fail(WF_MEMORY, "out of memory in the compiler");
    if (!s) {
        find_apart(&q);
        s = wf_rewrite_stage(in, out, join_node, &q);
    }
    wf_family_free(&q.family);
    free(q.reader);
    free(q.apart);
    return s;
}

/* --- packed operands -------------------------------------------------------------------------- */

static uint32_t pack_node(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    const wf_node *x = wf_graph_node(r->from, id);
    const uint64_t packed = x->op == &wf_op_contract ? wf_contract_wants_pack(r->from, id) : 0;
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

/* Puts the result of a part of the pass in the place of *s; no graph: nothing was to do. */
static wf_status advance(wf_stage *s, wf_status (*part)(const wf_stage *in, wf_stage *out)) {
    wf_stage next = {0};
    const wf_status status = part(s, &next);
    if (status || !next.graph) return status;
    wf_stage_free(s);
    *s = next;
    return WF_OK;
}

wf_status wf_pass_merge(const wf_stage *in, wf_stage *out) {
    static wf_status (*const part[])(const wf_stage *in, wf_stage *out) = {
        wf_pass_siblings, wf_pass_part_sums, wf_pass_slice_sums};
    wf_stage ordered = {0}, now = {0};
    wf_status s = wf_rewrite_stage(in, &ordered, order_node, NULL);
    if (!s) s = join_sums(&ordered, &now);
    wf_stage_free(&ordered);
    for (size_t i = 0; i < WF_COUNT(part) && s == WF_OK; i++) s = advance(&now, part[i]);
    if (!s) s = wf_rewrite_stage(&now, out, pack_node, NULL);
    wf_stage_free(&now);
    return s;
}
