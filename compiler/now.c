/* Values at once, for exploring: a program of one output, run and forgotten. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "tensor/graph.h"
#include "tensor/size.h"

/* The name of an input that t depends on, NULL if it depends on none; "?" when memory is out. */
static const char *needed_input(wf_tensor t) {
    bool *needed = calloc((size_t)t.id + 1, sizeof *needed);
    if (!needed) return "?";
    const char *name = NULL;
    needed[t.id] = true;
    for (uint32_t id = t.id; id > 0 && !name; id--) {
        if (!needed[id]) continue;
        const wf_node *x = wf_graph_node(t.graph, id);
        const uint32_t *in = wf_node_in(t.graph, id);
        for (uint32_t i = 0; i < x->n_in; i++) needed[in[i]] = true;
        if (x->op == &wf_op_leaf && ((const wf_leaf_attr *)x->attr)->kind == WF_LEAF_INPUT)
            name = x->name ? x->name : "";
    }
    free(needed);
    return name;
}

wf_status wf_eval(wf_tensor t, void *buffer, size_t bytes) {
    if (!wf_ok(t)) {
        const wf_status s = t.graph ? wf_graph_status(t.graph) : WF_OK;
        return s ? s : wf_fail(WF_ARGUMENT, "wf_eval: the handle is no value");
    }
    const char *input = needed_input(t);
    if (input)
        return wf_fail(WF_ARGUMENT, "wf_eval: %%%u depends on input \"%s\"; compile a program and "
                       "write the input", t.id, input);
    wf_program *p;
    const wf_compile_opt o = {.no_assign = true, .off = WF_PASS_CODE}; /* one run: not worth it */
    wf_status s = wf_compile(&p, t.graph, &t, 1, o);
    if (!s) s = wf_run(p);
    if (!s) s = wf_read(p, t, buffer, bytes);
    wf_program_free(p);
    return s;
}

/* --- text ------------------------------------------------------------------------------------- */

enum { SIDE = 3, FULL = 100 }; /* more than FULL elements: SIDE at each end of every axis */

typedef struct printer {
    FILE *f;
    wf_array a;
    bool cut;
} printer;

static void print_element(const printer *p, int64_t offset) {
    const void *at = wf_at(&p->a, offset);
    switch (p->a.dtype) {
    case WF_I64: fprintf(p->f, "%" PRId64, *(const int64_t *)at); break;
    case WF_BOOL: fputs(wf_load(WF_BOOL, at) != 0 ? "true" : "false", p->f); break;
    default: fprintf(p->f, "%.6g", wf_load(p->a.dtype, at)); break;
    }
}

static void print_axis(const printer *p, int axis, int64_t offset) {
    if (axis == p->a.shape.rank) {
        print_element(p, offset);
        return;
    }
    const int64_t n = p->a.shape.dim[axis];
    const bool rows = axis + 1 < p->a.shape.rank;
    fputc('[', p->f);
    for (int64_t i = 0; i < n; i++) {
        if (i > 0) fputs(rows ? ",\n" : ", ", p->f);
        for (int k = 0; i > 0 && rows && k <= axis; k++) fputc(' ', p->f);
        if (p->cut && n > 2 * SIDE && i == SIDE) {
            fputs("...", p->f);
            i = n - SIDE - 1;
            continue;
        }
        print_axis(p, axis + 1, offset + i * p->a.stride[axis]);
    }
    fputc(']', p->f);
}

wf_status wf_fprint(FILE *f, wf_tensor t) {
    if (!f) return wf_fail(WF_ARGUMENT, "wf_fprint: the file is NULL");
    const wf_shape shape = wf_shape_of_tensor(t);
    size_t bytes = 0;
    if (!wf_type_bytes(wf_dtype_of(t), &shape, &bytes))
        return wf_fail(WF_ARGUMENT, "wf_fprint: the handle is no value");
    void *data = malloc(bytes ? bytes : 1);
    if (!data) return wf_fail(WF_MEMORY, "out of memory: %zu bytes to print", bytes);
    const wf_status s = wf_eval(t, data, bytes);
    if (!s) {
        char text[256];
        const char *name = wf_graph_node(t.graph, t.id)->name;
        printer p = {f, wf_array_dense(data, wf_dtype_of(t), &shape), wf_count(t) > FULL};
        fprintf(f, "%s %s%s = ", name ? name : "value", wf_dtype_name(p.a.dtype),
                wf_shape_text(&shape, text, sizeof text));
        if (shape.rank > 1) fputc('\n', f);
        if (wf_count(t) == 0) fputs("[]", f);
        else print_axis(&p, 0, 0);
        fputc('\n', f);
    }
    free(data);
    return s ? s : ferror(f) ? wf_fail(WF_OUTPUT, "the value cannot be written") : WF_OK;
}

wf_status wf_print(wf_tensor t) { return wf_fprint(stdout, t); }
