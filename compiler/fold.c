/* Folding: a small value that depends on constants alone is computed now, by the operation's own
 * evaluator.
 *
 *   %1 i64[3] = arange {first=1 step=2}   --simplify-->   %1 i64[3] = const [1,9,25]
 *   %2 i64[3] = mul %1, %1 */
#include <stdlib.h>
#include <string.h>

#include "compiler/simplify.h"
#include "tensor/denormals.h"
#include "tensor/sources.h"

/* Operand i as an array; `number` is room for one element. False if it is no constant. */
static bool constant(const wf_simplify *s, uint32_t id, wf_array *out, void *number) {
    const wf_node *x = wf_s_node(s, id);
    *out = (wf_array){.data = number, .dtype = x->type.dtype, .shape = x->type.shape};
    double v;
    if (wf_s_uniform(s, id, &v)) {
        wf_store(x->type.dtype, number, v);
        return true;
    }
    const wf_leaf_attr *a = x->attr;
    if (x->op != &wf_op_leaf || a->kind != WF_LEAF_CONST) return false;
    *out = wf_array_dense(a->data, x->type.dtype, &x->type.shape);
    return true;
}

static void evaluate(const wf_node *x, const wf_array *in, const wf_array *out) {
    const wf_call c = {.op = x->op, .attr = x->attr, .n_in = (int)x->n_in, .in = in, .out = *out};
    const wf_fp_mode mode = wf_flush_denormals();
    x->op->eval(&c);
    wf_restore_denormals(mode);
}

/* A constant leaf of the type of node id, with the elements in s->room; `full` if they are one
 * number that a double holds. */
static uint32_t result(wf_simplify *s, uint32_t id) {
    const wf_type t = wf_s_node(s, id)->type;
    const size_t each = wf_dtype_bytes(t.dtype);
    const int64_t n = wf_shape_count(&t.shape);
    bool uniform = n > 0;
    for (int64_t i = 1; i < n && uniform; i++)
        uniform = memcmp(s->room, s->room + (size_t)i * each, each) == 0;
    if (uniform) {
        unsigned char back[8];
        const double v = wf_load(t.dtype, s->room);
        wf_store(t.dtype, back, v);
        if (memcmp(back, s->room, each) == 0)
            return wf_settle(s, wf_full(s->to, t.dtype, t.shape, v));
    }
    return wf_settle(s, wf_const(s->to, t.dtype, t.shape, s->room));
}

/* Elementwise on single numbers: the result is one number, whatever the shape. */
static uint32_t fold_number(wf_simplify *s, uint32_t id, wf_array *in) {
    const wf_node *x = wf_s_node(s, id);
    const wf_shape scalar = WF_SCALAR;
    unsigned char back[8];
    for (uint32_t i = 0; i < x->n_in; i++) in[i].shape = scalar;
    const wf_array out = wf_array_dense(s->room, x->type.dtype, &scalar);
    evaluate(x, in, &out);
    const double v = wf_load(x->type.dtype, s->room);
    wf_store(x->type.dtype, back, v);
    if (memcmp(back, s->room, wf_dtype_bytes(x->type.dtype)) != 0) return 0;
    return wf_s_full(s, id, v);
}

uint32_t wf_rule_fold(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    const int64_t count = wf_shape_count(&x->type.shape);
    if (x->op == &wf_op_full || x->op->kind == WF_KIND_LEAF || x->op->kind == WF_KIND_ASSIGN)
        return 0;
    bool numbers = x->op->kind == WF_KIND_ELEMENTWISE;
    wf_array few[4], *in = few;
    double number[WF_COUNT(few)], *numbers_at = number;
    const uint32_t *from = wf_node_in(s->to, id);
    for (uint32_t i = 0; i < x->n_in; i++) { /* most nodes fail here, without any memory */
        const wf_node *y = wf_s_node(s, from[i]);
        numbers &= y->op == &wf_op_full;
        if (y->op != &wf_op_full && y->op != &wf_op_leaf) return 0;
    }
    if (!numbers && count > WF_FOLD_ELEMENTS) return 0;
    if (x->n_in > WF_COUNT(few)) {
        in = calloc(x->n_in, sizeof *in + sizeof *numbers_at);
        if (!in) {
            s->failed = true;
            return 0;
        }
        numbers_at = (double *)(void *)(in + x->n_in);
    }
    bool all = true;
    for (uint32_t i = 0; i < x->n_in && all; i++)
        all = constant(s, from[i], &in[i], &numbers_at[i]);
    uint32_t to = 0;
    if (all && numbers) {
        to = fold_number(s, id, in);
    } else if (all) {
        const wf_array out = wf_array_dense(s->room, x->type.dtype, &x->type.shape);
        evaluate(x, in, &out);
        to = result(s, id);
    }
    if (in != few) free(in);
    return to;
}
