/* Where the first value that is not finite comes from; see wf_find_anomaly in compiler.h.
 *
 * The graph gets one probe a value, max |v|, which is finite exactly if all of v is. All probes are
 * outputs of one program, so the search costs about as much as a step: the reference evaluator,
 * which needs no program, is a thousand times slower on convolutions.
 *
 * Infinities may be meant: a mask of -inf, the branch that a select leaves. So only what reaches a
 * result counts: a named value, an assigned one, or one that nothing reads. From there the search
 * goes back through operands that are not finite; the first node on the way whose operands all are
 * is the origin. */
#include "compiler/compiler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/graph.h"

typedef struct search {
    wf_graph *g;
    uint32_t n;         /* nodes before the probes */
    wf_tensor *probe;   /* (n_probe) */
    uint32_t *node;     /* (n_probe) what is probed */
    int n_probe;
    wf_program *program;
    bool *bad, *reached; /* (n) */
} search;

static const wf_leaf_attr *leaf_of(const wf_graph *g, uint32_t id) {
    const wf_node *v = wf_graph_node(g, id);
    return v->op == &wf_op_leaf ? v->attr : NULL;
}

static void add_probes(search *s) {
    for (uint32_t id = 1; id < s->n; id++) {
        const wf_node *v = wf_graph_node(s->g, id);
        const bool real = wf_dtype_is_real(v->type.dtype);
        if (!real || v->op->kind == WF_KIND_ASSIGN || wf_shape_count(&v->type.shape) < 1) continue;
        s->node[s->n_probe] = id;
        s->probe[s->n_probe++] = wf_max(wf_abs(wf_handle(s->g, id)), (wf_reduce_opt){0});
    }
}

/* Inputs as they stand in the program that failed. */
static wf_status copy_inputs(const search *s, wf_program *from) {
    for (uint32_t id = 1; id < s->n; id++) {
        const wf_leaf_attr *leaf = leaf_of(s->g, id);
        if (!leaf || leaf->kind != WF_LEAF_INPUT) continue;
        const char *name = wf_graph_node(s->g, id)->name;
        size_t bytes = 0, room = 0;
        const void *data = wf_data_named(from, name, &bytes);
        void *to = wf_data_named(s->program, name, &room);
        if (!data || (to && room != bytes))
            return wf_fail(WF_ARGUMENT, "wf_find_anomaly: the program is not of this graph: input "
                           "\"%s\"", name);
        if (to) memcpy(to, data, bytes);
    }
    return WF_OK;
}

static wf_status measure(search *s) {
    for (int i = 0; i < s->n_probe; i++) {
        const void *value = wf_data(s->program, s->probe[i]);
        if (!value) return WF_INTERNAL;
        s->bad[s->node[i]] = !isfinite(wf_load(wf_dtype_of(s->probe[i]), value));
    }
    return WF_OK;
}

/* Marks what is not finite and reaches a result. Ids fall, so readers are seen before operands. */
static uint32_t find_origin(const search *s) {
    uint32_t origin = 0;
    bool *is_read = calloc(s->n, sizeof *is_read);
    if (!is_read) return 0;
    for (uint32_t id = s->n; id-- > 1;) {
        const wf_node *v = wf_graph_node(s->g, id);
        const uint32_t *in = wf_node_in(s->g, id);
        const bool assign = v->op->kind == WF_KIND_ASSIGN;
        const bool result = v->n_in && (!is_read[id] || v->name);
        for (uint32_t k = 0; k < v->n_in; k++) is_read[in[k]] = true;
        if (assign) s->reached[in[1]] = s->reached[in[1]] || s->bad[in[1]];
        if (assign || !s->bad[id]) continue;
        if (result) s->reached[id] = true;
        if (!s->reached[id]) continue;
        bool inherited = false;
        for (uint32_t k = 0; k < v->n_in; k++) {
            if (!s->bad[in[k]]) continue;
            s->reached[in[k]] = inherited = true;
        }
        if (!inherited) origin = id;
    }
    free(is_read);
    return origin;
}

static void describe(const search *s, uint32_t id, char *text, size_t size) {
    const wf_node *v = wf_graph_node(s->g, id);
    const wf_leaf_attr *leaf = leaf_of(s->g, id);
    const char *scope = wf_graph_scope_text(s->g, v->scope);
    char line[512];
    if (leaf)
        snprintf(text, size, "the %s \"%s\" holds a value that is not finite",
                 leaf->kind == WF_LEAF_INPUT ? "input" : "leaf", v->name ? v->name : "");
    else
        snprintf(text, size, "operation %s%s%s is the first to give a value that is not finite: %s",
                 v->op->name, *scope ? " in " : "", scope,
                 wf_node_text(s->g, id, line, sizeof line));
}

static wf_status run_probes(search *s, wf_program *p, wf_compile_opt o) {
    s->probe = calloc(s->n, sizeof *s->probe);
    s->node = calloc(s->n, sizeof *s->node);
    s->bad = calloc(s->n, sizeof *s->bad);
    s->reached = calloc(s->n, sizeof *s->reached);
    if (!s->probe || !s->node || !s->bad || !s->reached)
        return wf_fail(WF_MEMORY, "no memory to look for an anomaly");
    add_probes(s);
    o.no_assign = true;
    wf_status status = wf_compile(&s->program, s->g, s->probe, s->n_probe, o);
    if (!status) status = copy_inputs(s, p);
    if (!status) status = wf_run(s->program);
    return status ? status : measure(s);
}

wf_status wf_find_anomaly(wf_graph *g, wf_program *p, wf_compile_opt o, char *text, size_t size) {
    if (size) text[0] = 0;
    if (!g || !p || !text)
        return wf_fail(WF_ARGUMENT, "wf_find_anomaly: graph, program and text must be given");
    search s = {.g = g, .n = wf_graph_size(g)};
    wf_status status = run_probes(&s, p, o);
    const uint32_t origin = status ? 0 : find_origin(&s);
    if (origin) describe(&s, origin, text, size);
    if (!status && !origin)
        status = wf_fail(WF_NOT_FOUND, "every value of the graph that reaches a result is finite");
    wf_program_free(s.program);
    free(s.probe);
    free(s.node);
    free(s.bad);
    free(s.reached);
    return status;
}
