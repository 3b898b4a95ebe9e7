/* The verifier between passes: re-runs the shape rules that built the graph, as a type checker. */
#include <stdio.h>
#include <stdlib.h>

#include "compiler/pass.h"

static wf_status broken(const wf_stage *s, const char *after, uint32_t id, const char *why) {
    char text[512];
    return wf_fail(WF_INTERNAL, "after %s: %s: %s", after, why,
                   wf_node_text(s->graph, id, text, sizeof text));
}

static wf_status verify_type(const wf_stage *s, const char *after, uint32_t id, wf_type *in) {
    const wf_node *x = wf_graph_node(s->graph, id);
    const uint32_t *from = wf_node_in(s->graph, id);
    for (uint32_t i = 0; i < x->n_in; i++) {
        if (from[i] == 0 || from[i] >= id) return broken(s, after, id, "an operand is not earlier");
        in[i] = wf_graph_node(s->graph, from[i])->type;
    }
    wf_infer q = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = in};
    if (!x->op->infer(&q)) return broken(s, after, id, q.message);
    if (q.out.dtype != x->type.dtype || !wf_shape_equal(&q.out.shape, &x->type.shape))
        return broken(s, after, id, "the type is not the inferred one");
    return WF_OK;
}

static wf_status verify_kind(const wf_stage *s, const char *after, uint32_t id) {
    const wf_node *x = wf_graph_node(s->graph, id);
    if ((int)x->n_in < x->op->min_in || (x->op->max_in >= 0 && (int)x->n_in > x->op->max_in))
        return broken(s, after, id, "wrong number of operands");
    if (x->op->kind == WF_KIND_VIEW && (x->n_in != 1 || !x->op->view))
        return broken(s, after, id, "a view needs one operand and a view rule");
    if (x->op->kind == WF_KIND_PLACE && !x->op->place)
        return broken(s, after, id, "a placement needs a place rule");
    if (x->op->kind == WF_KIND_ASSIGN) {
        const wf_node *leaf = wf_graph_node(s->graph, wf_node_in(s->graph, id)[0]);
        if (leaf->op != &wf_op_leaf || ((const wf_leaf_attr *)leaf->attr)->kind != WF_LEAF_BOUND)
            return broken(s, after, id, "an assignment needs a bound leaf");
    }
    return WF_OK;
}

wf_status wf_verify(const wf_stage *s, const char *after) {
    const uint32_t n = wf_graph_size(s->graph);
    uint32_t most = 1;
    for (uint32_t id = 1; id < n; id++)
        if (wf_graph_node(s->graph, id)->n_in > most) most = wf_graph_node(s->graph, id)->n_in;
    wf_type *in = calloc(most, sizeof *in);
    if (!in) return wf_fail(WF_MEMORY, "out of memory in the verifier");
    wf_status status = wf_graph_status(s->graph);
    for (uint32_t id = 1; id < n && status == WF_OK; id++) {
        status = verify_kind(s, after, id);
        if (!status) status = verify_type(s, after, id, in);
    }
    for (uint32_t i = 0; i < s->n_root && status == WF_OK; i++)
        if (s->root[i] == 0 || s->root[i] >= n)
            status = wf_fail(WF_INTERNAL, "after %s: root %u is no node", after, i);
    free(in);
    return status;
}
