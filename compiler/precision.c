/* precision: in which mode contractions compute, and in which type values are stored.
 *
 * In every mode no value is converted twice where once does the same:
 *
 *   %1 bf16[8] = input "x"                         %1 bf16[8] = input "x"
 *   %2 f32[8] = cast %1                            %2 f32[8] = cast %1
 *   %3 f64[8] = cast %2            --precision-->  %3 f64[8] = cast %1
 *   %4 bf16[8] = cast %2                           %4 f32[8] = exp %2
 *   %5 f32[8] = exp %2                             outputs %3, %1, %4
 *   outputs %3, %4, %5
 *
 * Legal, as the type between holds every value of the first. In f32x3 and bf16 the contractions of
 * f32, and the packing of their operands, are marked; those of f64 stay as they are. In bf16 mode
 * casts are added where values are stored as bf16 (precision_choose.c); fusion computes them where
 * the value is made and where it is used. Here a gate and its gradient:
 *
 *   %1 f32[8,64] = input "x"
 *   %2 f32[64,64] = leaf "w"
 *   %3 f32[8,64] = contract %1, %2 {sum[64] A[o0,k0] B[k0,o1]}
 *   %4 f32[8,64] = sigmoid %3
 *   %5 f32[8,64] = contract %4, %2 {sum[64] A[o0,k0] B[k0,o1]}
 *   %6 f32[8,64] = mul %4, %5   # '
 *   --bf16-->
 *   %1 f32[8,64] = input "x"
 *   %2 f32[64,64] = leaf "w"
 *   %3 f32[8,64] = contract %1, %2 {compute=bf16 sum[64] A[o0,k0] B[k0,o1]}
 *   %4 f32[8,64] = sigmoid %3
 *   %5 bf16[8,64] = cast %4
 *   %6 f32[8,64] = cast %5
 *   %7 f32[8,64] = contract %5, %2 {compute=bf16 sum[64] A[o0,k0] B[k0,o1]}
 *   %8 f32[8,64] = mul %6, %7   # ' */
#include "compiler/precision.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/contract.h"
#include "tensor/elementwise.h"
#include "tensor/kernels/cpu.h"

typedef struct caster {
    wf_forms forms; /* of bf16 mode */
    wf_compute compute;
    bool *marked;
    uint32_t *half, *wide, *again; /* (nodes) ids in `to`, as r->map is of WF_FORM_FULL */
} caster;

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

/* x as dtype, without casts that do nothing. */
static wf_tensor convert(wf_tensor from, wf_dtype dtype) {
    while (wf_ok(from) && wf_graph_node(from.graph, from.id)->op == &wf_op_cast) {
        const wf_tensor before = wf_handle(from.graph, wf_node_in(from.graph, from.id)[0]);
        if (!holds(wf_dtype_of(from), wf_dtype_of(before))) break;
        from = before;
    }
    return wf_cast(from, dtype);
}

/* --- one node --------------------------------------------------------------------------------- */

/* A contraction or pack of f32 in the mode; narrow: with a result of bf16. */
static uint32_t emit_marked(wf_rewrite *r, uint32_t id, const wf_tensor *in, wf_compute compute,
                            bool narrow) {
    const wf_node *x = wf_graph_node(r->from, id);
    wf_contract_attr *attr = malloc(x->attr_bytes);
    if (!attr) return wf_rewrite_same(r, id, in, NULL);
    memcpy(attr, x->attr, x->attr_bytes);
    attr->compute = (int32_t)compute;
    attr->narrow = narrow;
    const uint32_t to = wf_emit(r->to, x->op, attr, x->attr_bytes, in, (int)x->n_in).id;
    free(attr);
    return to;
}

static uint32_t emit(wf_rewrite *r, uint32_t id, const wf_tensor *in, const caster *q,
                     bool narrow) {
    const wf_node *x = wf_graph_node(r->from, id);
    if (x->op == &wf_op_cast) return convert(in[0], x->type.dtype).id;
    if (q->compute != WF_COMPUTE_F32 && q->marked[id])
        return emit_marked(r, id, in, q->compute, narrow && x->op == &wf_op_contract);
    return wf_rewrite_same(r, id, in, NULL);
}

static uint32_t rewrite_plain(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    return emit(r, id, in, user, false);
}

/* --- bf16 ------------------------------------------------------------------------------------- */

static uint32_t form_of(const wf_rewrite *r, const caster *q, uint32_t id, uint8_t form) {
    switch (form) {
    case WF_FORM_HALF: return q->half[id];
    case WF_FORM_WIDE: return q->wide[id];
    case WF_FORM_AGAIN: return q->again[id];
    default: return r->map[id];
    }
}

/* The node over operands in the forms that it takes where `mine` of it is wanted. */
static uint32_t emit_from(wf_rewrite *r, uint32_t id, const caster *q, uint8_t mine, bool narrow) {
    const wf_node *x = wf_graph_node(r->from, id);
    wf_tensor *in = malloc((x->n_in + 1) * sizeof *in);
    if (!in) return 0;
    for (uint32_t i = 0; i < x->n_in; i++) {
        const uint32_t from = wf_node_in(r->from, id)[i];
        const uint8_t form = wf_precision_form(&q->forms, id, mine, from);
        in[i] = wf_handle(r->to, form_of(r, q, from, form));
    }
    const uint32_t to = emit(r, id, in, q, narrow);
    free(in);
    return to;
}

static uint32_t cast_of(wf_rewrite *r, uint32_t id, wf_dtype dtype) {
    return convert(wf_handle(r->to, id), dtype).id;
}

/* Every wanted form of a view is a view of that form; WIDE is made of HALF behind it. */
static uint32_t rewrite_view(wf_rewrite *r, uint32_t id, caster *q, uint8_t want) {
    const uint8_t form[] = {WF_FORM_HALF, WF_FORM_AGAIN, WF_FORM_FULL};
    uint32_t to[3] = {0};
    if (want & WF_FORM_WIDE) want |= WF_FORM_HALF;
    for (int i = 0; i < 3; i++)
        if (want & form[i]) to[i] = emit_from(r, id, q, form[i], false);
    q->half[id] = to[0];
    q->again[id] = to[1];
    if (want & WF_FORM_WIDE) q->wide[id] = cast_of(r, to[0], WF_F32);
    return to[2] ? to[2] : to[0] ? to[0] : to[1];
}

static uint32_t rewrite_half(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user) {
    caster *q = user;
    const wf_node *x = wf_graph_node(r->from, id);
    const uint8_t want = q->forms.want[id];
    const bool only = q->forms.only[id];
    if (x->type.dtype == WF_F32 && x->op->kind == WF_KIND_VIEW) return rewrite_view(r, id, q, want);
    const uint32_t to = emit_from(r, id, q, WF_FORM_FULL, only);
    if (!to || x->type.dtype != WF_F32) return to;
    if (want & (WF_FORM_HALF | WF_FORM_WIDE)) q->half[id] = only ? to : cast_of(r, to, WF_BF16);
    if (want & WF_FORM_WIDE) q->wide[id] = cast_of(r, q->half[id], WF_F32);
    if (want & WF_FORM_AGAIN) {
        wf_graph_set_consing(r->to, false); /* or it would be the value itself */
        q->again[id] = emit_from(r, id, q, WF_FORM_AGAIN, false);
        wf_graph_set_consing(r->to, true);
    }
    return to;
}

static wf_status store_half(const wf_stage *in, wf_stage *out) {
    const size_t n = wf_graph_size(in->graph);
    caster q = {.compute = WF_COMPUTE_BF16,
                .marked = wf_precision_marks(in),
                .half = calloc(n, sizeof *q.half),
                .wide = calloc(n, sizeof *q.wide),
                .again = calloc(n, sizeof *q.again)};
    const bool room = q.marked && q.half && q.wide && q.again;
    wf_status s = room ? WF_OK : wf_fail(WF_MEMORY, "out of memory in the compiler");
    *out = (wf_stage){0};
    if (!s) s = wf_precision_choose(&q.forms, in, q.marked);
    if (!s) s = wf_rewrite_stage(in, out, rewrite_half, &q);
    wf_forms_free(&q.forms);
    free(q.marked);
    free(q.half);
    free(q.wide);
    free(q.again);
    return s;
}

/* --- modes ------------------------------------------------------------------------------------ */

static const char *const names[] = {
    [WF_PRECISION_AUTO] = "auto",
    [WF_PRECISION_F32] = "f32",
    [WF_PRECISION_F32X3] = "f32x3",
    [WF_PRECISION_BF16] = "bf16",
};

const char *wf_precision_name(wf_precision p) {
    return (unsigned)p < WF_COUNT(names) ? names[p] : NULL;
}

wf_status wf_precision_parse(wf_precision *p, const char *name) {
    for (size_t i = 0; i < WF_COUNT(names); i++)
        if (name && strcmp(name, names[i]) == 0) {
            *p = (wf_precision)i;
            return WF_OK;
        }
    return wf_fail(WF_ARGUMENT, "there is no precision \"%s\": auto, f32, f32x3, bf16",
                   name ? name : "");
}

wf_precision wf_precision_resolve(wf_precision p) {
    if (p != WF_PRECISION_AUTO) return p;
    return wf_isa_get() == WF_ISA_AMX ? WF_PRECISION_F32X3 : WF_PRECISION_F32;
}

wf_status wf_pass_precision(const wf_stage *in, wf_stage *out, wf_precision mode) {
    if (mode == WF_PRECISION_BF16) return store_half(in, out);
    caster q = {.compute = mode == WF_PRECISION_F32X3 ? WF_COMPUTE_F32X3 : WF_COMPUTE_F32,
                .marked = wf_precision_marks(in)};
    *out = (wf_stage){0};
    const wf_status s = q.marked ? wf_rewrite_stage(in, out, rewrite_plain, &q)
                                 : wf_fail(WF_MEMORY, "out of memory in the compiler");
    free(q.marked);
    return s;
}
