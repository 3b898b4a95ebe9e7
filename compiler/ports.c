/* Ports: the buffers of a program by handle and by name. A handle is recognised by its id and by
 * the address of its graph. The program holds the address, so that no later graph gets it; the
 * graph may be freed and is empty then: it is followed by messages alone, for the nodes it has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"
#include "tensor/size.h"

/* --- finding them ----------------------------------------------------------------------------- */

/* The nodes of the written graph that its roots need. */
static bool *find_live(const wf_stage *s) {
    bool *live = calloc(wf_graph_size(s->graph), sizeof *live);
    if (!live) return NULL;
    for (uint32_t i = 0; i < s->n_root; i++) live[s->root[i]] = true;
    for (uint32_t id = wf_graph_size(s->graph); id-- > 1;) {
        const uint32_t *in = wf_node_in(s->graph, id);
        for (uint32_t i = 0; live[id] && i < wf_graph_node(s->graph, id)->n_in; i++)
            live[in[i]] = true;
    }
    return live;
}

static int by_id(const void *a, const void *b) {
    const wf_port *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (int)x->kind - (int)y->kind;
}

static wf_status add(wf_program *p, const wf_graph *g, uint32_t id, wf_port_kind kind,
                     uint32_t storage, void *data) {
    const wf_node *x = wf_graph_node(g, id);
    wf_port *port = &p->port[p->n_port];
    *port = (wf_port){.id = id, .kind = kind, .type = x->type, .storage = storage, .data = data,
                      .name = strdup(x->name ? x->name : "")};
    if (!port->name) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    p->n_port++;
    wf_type_bytes(x->type.dtype, &x->type.shape, &port->bytes);
    if (kind != WF_PORT_INPUT || storage) return WF_OK;
    port->spare = p->plan.buffer_bytes;
    size_t padded;
    if (!wf_align_size(port->bytes, WF_ALIGN, &padded) ||
        !wf_add_size(p->plan.buffer_bytes, padded, &p->plan.buffer_bytes))
        return wf_fail(WF_MEMORY, "inputs and outputs are too large");
    return WF_OK;
}

static int by_serial(const void *a, const void *b) {
    const wf_plan_input *x = a, *y = b;
    return x->serial < y->serial ? -1 : x->serial > y->serial;
}

/* Leaves keep their serial number through the passes: it leads from a handle to a storage. */
static wf_status add_leaves(wf_program *p, const wf_graph *g, const bool *live) {
    wf_plan_input *input = p->plan.input;
    const uint32_t n = p->plan.n_input;
    if (n) qsort(input, n, sizeof *input, by_serial);
    wf_status s = WF_OK;
    for (uint32_t id = 1; id < wf_graph_size(g) && s == WF_OK; id++) {
        const wf_node *x = wf_graph_node(g, id);
        if (!live[id] || x->op != &wf_op_leaf) continue;
        const wf_leaf_attr *a = x->attr;
        if (a->kind == WF_LEAF_BOUND) s = add(p, g, id, WF_PORT_LEAF, 0, a->data);
        if (a->kind != WF_LEAF_INPUT) continue;
        const wf_plan_input key = {a->serial, 0};
        const wf_plan_input *at = n ? bsearch(&key, input, n, sizeof *input, by_serial) : NULL;
        s = add(p, g, id, WF_PORT_INPUT, at ? at->storage : 0, NULL);
    }
    return s;
}

wf_status wf_ports_find(wf_program *p, const wf_stage *written, const wf_tensor *output, int n) {
    const wf_graph *g = written->graph;
    bool *live = find_live(written);
    uint32_t room = (uint32_t)n;
    for (uint32_t id = 1; live && id < wf_graph_size(g); id++)
        room += live[id] && wf_graph_node(g, id)->op == &wf_op_leaf;
    p->graph = written->graph;
    wf_graph_hold(p->graph);
    p->port = calloc(room ? room : 1, sizeof *p->port);
    wf_status s = WF_OK;
    if (!live || !p->port) s = wf_fail(WF_MEMORY, "out of memory in the compiler");
    if (!s) s = add_leaves(p, g, live);
    for (int i = 0; i < n && s == WF_OK; i++)
        s = add(p, g, output[i].id, WF_PORT_OUTPUT, p->plan.output[i], NULL);
    free(live);
    if (!s) qsort(p->port, p->n_port, sizeof *p->port, by_id);
    return s;
}

void wf_ports_bind(wf_program *p) {
    for (uint32_t i = 0; i < p->n_port; i++) {
        wf_port *port = &p->port[i];
        if (port->kind == WF_PORT_LEAF) continue;
        port->data = port->storage ? p->plan.storage[port->storage].data
                                   : (char *)p->buffers.data + port->spare;
    }
}

void wf_ports_free(wf_program *p) {
    for (uint32_t i = 0; i < p->n_port; i++) free(p->port[i].name);
    free(p->port);
    p->port = NULL;
    p->n_port = 0;
    wf_graph_drop(p->graph);
    p->graph = NULL;
}

/* --- using them ------------------------------------------------------------------------------- */

static const char *type_text(const wf_type *t, char buf[160]) {
    char shape[128];
    snprintf(buf, 160, "%s%s", wf_dtype_name(t->dtype),
             wf_shape_text(&t->shape, shape, sizeof shape));
    return buf;
}

/* Scope, operation and type of a value: "%7 (encoder/relu f32[2,3])"; "%7" of a freed graph. */
static const char *describe(const wf_graph *g, uint32_t id, char buf[512]) {
    char type[160];
    if (id >= wf_graph_size(g)) {
        snprintf(buf, 512, "%%%u", id);
        return buf;
    }
    const wf_node *x = wf_graph_node(g, id);
    const char *scope = wf_graph_scope_text(g, x->scope);
    snprintf(buf, 512, "%%%u (%.300s%s%s %s)", id, scope, *scope ? "/" : "", x->op->name,
             type_text(&x->type, type));
    return buf;
}

static const wf_port *port_of(const wf_program *p, const char *what, wf_tensor t) {
    if (!p) {
        wf_fail(WF_ARGUMENT, "%s: the program is NULL; make one of the graph with wf_compile",
                what);
        return NULL;
    }
    if (t.id == 0) {
        wf_fail(WF_ARGUMENT, "%s: the handle is %s", what,
                t.graph ? "poison; see wf_graph_status for the mistake in its graph"
                        : "empty; was it ever assigned a value?");
        return NULL;
    }
    if (t.graph != p->graph) {
        wf_fail(WF_ARGUMENT, "%s: the handle is of another graph than the program's; use one of "
                "the graph that was compiled, or a name with wf_data_named", what);
        return NULL;
    }
    uint32_t lo = 0, hi = p->n_port;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (p->port[mid].id < t.id) lo = mid + 1;
        else hi = mid;
    }
    if (lo < p->n_port && p->port[lo].id == t.id) return &p->port[lo];
    char text[512];
    wf_fail(WF_ARGUMENT, "%s: %s is no input, output or leaf of the program; list it among the "
            "outputs of wf_compile", what, describe(p->graph, t.id, text));
    return NULL;
}

static const char *label(const wf_port *port, char buf[16]) {
    if (*port->name) return port->name;
    snprintf(buf, 16, "%%%u", port->id);
    return buf;
}

static wf_status check_bytes(const wf_port *port, const char *what, const void *data,
                             size_t bytes) {
    char buf[16], type[160];
    if (bytes != port->bytes)
        return wf_fail(WF_ARGUMENT, "%s: \"%s\" %s has %zu bytes, %zu were given; give the size of "
                       "all its elements, in bytes", what, label(port, buf),
                       type_text(&port->type, type), port->bytes, bytes);
    if (!data && bytes)
        return wf_fail(WF_ARGUMENT, "%s: \"%s\": data is NULL", what, label(port, buf));
    return WF_OK;
}

void *wf_data(wf_program *p, wf_tensor t) {
    const wf_port *port = port_of(p, "wf_data", t);
    return port ? port->data : NULL;
}

void *wf_data_named(wf_program *p, const char *name, size_t *bytes) {
    const wf_port *found = NULL;
    if (bytes) *bytes = 0;
    if (!p || !name) {
        wf_fail(WF_ARGUMENT, "wf_data_named: the %s", p ? "name is NULL" :
                "program is NULL; make one of the graph with wf_compile");
        return NULL;
    }
    for (uint32_t i = 0; i < p->n_port; i++) {
        const wf_port *port = &p->port[i];
        if (strcmp(port->name, name) == 0 && *name && (!found || port->kind < found->kind))
            found = port;
    }
    if (!found) {
        wf_fail(WF_ARGUMENT, "wf_data_named: the program has no input, output or leaf \"%s\"; name "
                "the value with wf_name and list it among the outputs of wf_compile", name);
        return NULL;
    }
    if (bytes) *bytes = found->bytes;
    return found->data;
}

const char *wf_program_input(const wf_program *p, uint32_t i) {
    for (uint32_t k = 0; p && k < p->n_port; k++)
        if (p->port[k].kind == WF_PORT_INPUT && i-- == 0) return p->port[k].name;
    return NULL;
}

wf_status wf_write(wf_program *p, wf_tensor input, const void *data, size_t bytes) {
    const wf_port *port = port_of(p, "wf_write", input);
    if (!port) return WF_ARGUMENT;
    char buf[16];
    if (port->kind == WF_PORT_OUTPUT)
        return wf_fail(WF_ARGUMENT, "wf_write: \"%s\" is an output; write inputs and leaves, "
                       "and read this with wf_read", label(port, buf));
    const wf_status s = check_bytes(port, "wf_write", data, bytes);
    if (s == WF_OK && bytes) memcpy(port->data, data, bytes);
    return s;
}

wf_status wf_read(wf_program *p, wf_tensor output, void *data, size_t bytes) {
    const wf_port *port = port_of(p, "wf_read", output);
    if (!port) return WF_ARGUMENT;
    const wf_status s = check_bytes(port, "wf_read", data, bytes);
    if (s == WF_OK && bytes) memcpy(data, port->data, bytes);
    return s;
}
