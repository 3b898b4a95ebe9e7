/* Questions to a model before it runs: the flow of gradients (autograd/flow.c) and the plan of a
 * program that is compiled and thrown away. */
#include <stdlib.h>

#include "nn/params.h"

typedef struct listener {
    wf_check_fn *each;
    void *user;
    wf_check_report *report;
} listener;

static void hear(void *user, wf_flow_kind kind, wf_tensor t, const char *text) {
    static const wf_check_kind of[] = {
        [WF_FLOW_REFUSED] = WF_CHECK_NOT_DIFFERENTIABLE,
        [WF_FLOW_NONE] = WF_CHECK_NO_GRADIENT,
        [WF_FLOW_UNUSED] = WF_CHECK_UNUSED_INPUT,
    };
    const listener *l = user;
    l->report->found[of[kind]]++;
    if (l->each) l->each(l->user, of[kind], text);
}

static wf_status measure(const wf_params *p, wf_tensor loss, wf_check_report *r) {
    wf_program *program;
    const wf_status s = wf_compile(&program, loss.graph, &loss, 1,
                                   (wf_compile_opt){.off = WF_PASS_CODE});
    if (s) return s;
    const wf_program_info info = wf_program_describe(program);
    r->peak_bytes = info.arena_bytes + info.scratch_bytes;
    for (uint32_t i = 0; i < p->n; i++) r->peak_bytes += p->entry[i].bytes;
    r->flops = info.flops;
    r->launches = info.launches;
    wf_program_free(program);
    return WF_OK;
}

wf_status wf_check(wf_params *p, wf_tensor loss, wf_check_fn *each, void *user,
                   wf_check_report *r) {
    wf_check_report own;
    if (!r) r = &own;
    *r = (wf_check_report){0};
    if (!p || !loss.graph)
        return wf_fail(WF_ARGUMENT, "wf_check: p and a loss must be given");
    if (wf_graph_status(loss.graph)) return wf_graph_status(loss.graph);
    const int n = wf_params_leaves(p, loss.graph, NULL, 0);
    wf_tensor *leaf = calloc((size_t)n + 1, sizeof *leaf);
    if (!leaf) return wf_fail(WF_MEMORY, "out of memory in wf_check");
    wf_params_leaves(p, loss.graph, leaf, n);
    for (int i = 0; i < n; i++) r->parameters += wf_count(leaf[i]);
    listener l = {each, user, r};
    wf_status s = wf_grad_flow(loss, leaf, n, hear, &l);
    if (!s) s = measure(p, loss, r);
    free(leaf);
    return s;
}
