/* Sums over the scopes of a graph: for tables of layers. */
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "tensor/contract.h"
#include "tensor/graph.h"

/* Multiplications and additions; terms in the padding count. */
static double flops_of(const wf_node *x) {
    if (x->op != &wf_op_contract) return 0;
    const wf_contract_attr *a = x->attr;
    double out = 2, sum = 0;
    for (int i = 0; i < a->rank; i++) out *= (double)a->out[i];
    for (int i = 0; i < a->n_sources; i++) {
        double terms = 1;
        for (int k = 0; k < a->source[i].n_sum; k++) terms *= (double)a->source[i].sum[k];
        sum += terms;
    }
    return out * sum;
}

wf_status wf_graph_scopes(const wf_graph *g, wf_scope_info **out, size_t *n) {
    if (!g || !out || !n) return wf_fail(WF_ARGUMENT, "wf_graph_scopes: an argument is NULL");
    *out = NULL;
    *n = 0;
    wf_status status = wf_graph_status(g);
    if (status) return status;
    uint32_t most = 0;
    for (uint32_t id = 1; id < wf_graph_size(g); id++)
        if (wf_graph_node(g, id)->scope > most) most = wf_graph_node(g, id)->scope;
    wf_scope_info *all = calloc((size_t)most + 1, sizeof *all);
    if (!all) return wf_fail(WF_MEMORY, "no memory for a table of %u scopes", most + 1);
    for (uint32_t id = 1; id < wf_graph_size(g); id++) {
        const wf_node *x = wf_graph_node(g, id);
        wf_scope_info *s = &all[x->scope];
        s->scope = wf_graph_scope_text(g, x->scope);
        s->flops += flops_of(x);
        s->nodes++;
        if (x->op == &wf_op_leaf) continue;
        s->last = wf_handle((wf_graph *)(uintptr_t)g, id);
    }
    for (uint32_t i = 0; i <= most; i++)
        if (all[i].nodes) all[(*n)++] = all[i];
    *out = all;
    return WF_OK;
}

const char *wf_scope_of(wf_tensor t) {
    if (!wf_ok(t)) return "";
    return wf_graph_scope_text(t.graph, wf_graph_node(t.graph, t.id)->scope);
}
