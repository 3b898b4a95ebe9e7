/* Algebra: identities that hold for every number, one row each.
 *
 *   %1 f32[3] = leaf "a"                      %1 f32[3] = leaf "a"
 *   %2 f32[3] = leaf "b"    --simplify-->     %2 f32[3] = leaf "b"
 *   %3 f32[3] = neg %2                        %3 f32[3] = sub %1, %2
 *   %4 f32[3] = add %1, %3 */
#include <stdlib.h>

#include "compiler/simplify.h"
#include "tensor/contract.h"
#include "tensor/elementwise.h"
#include "tensor/reduce.h"
#include "tensor/sources.h"
#include "tensor/view.h"

/* --- operands --------------------------------------------------------------------------------- */

/* What broadcasting does anyway need not be written: an operand of smaller shape, 0 if there is
 * none. */
static wf_tensor narrower(wf_simplify *s, wf_tensor x) {
    const wf_node *n = wf_s_node(s, x.id);
    if (n->op == &wf_op_expand) return wf_s_in(s, x.id, 0);
    if (n->op == &wf_op_full && n->type.shape.rank > 0)
        return wf_scalar(s->to, n->type.dtype, ((const wf_full_attr *)n->attr)->value);
    return wf_handle(s->to, 0);
}

/* f(expand(x), y) -> f(x, y) where the result keeps its type. */
uint32_t wf_rule_operands(wf_simplify *s, uint32_t id) {
    enum { MOST = 3 };
    wf_node x = *wf_s_node(s, id); /* emitting moves nodes */
    if (x.op->kind != WF_KIND_ELEMENTWISE || x.n_in > MOST) return 0;
    wf_tensor in[MOST];
    wf_type type[MOST];
    bool changed = false;
    for (uint32_t i = 0; i < x.n_in; i++) {
        in[i] = wf_s_in(s, id, i);
        type[i] = wf_s_node(s, in[i].id)->type;
    }
    for (uint32_t i = 0; i < x.n_in; i++) {
        const wf_tensor smaller = narrower(s, in[i]);
        if (smaller.id == 0) continue;
        const wf_type before = type[i];
        type[i] = wf_s_node(s, smaller.id)->type;
        wf_infer q = {.op = x.op, .attr = x.attr, .n_in = (int)x.n_in, .in = type};
        if (x.op->infer(&q) && q.out.dtype == x.type.dtype &&
            wf_shape_equal(&q.out.shape, &x.type.shape)) {
            in[i] = smaller;
            changed = true;
        } else {
            type[i] = before;
        }
    }
    if (!changed) return 0;
    return wf_settle(s, wf_emit(s->to, x.op, x.attr, x.attr_bytes, in, (int)x.n_in));
}

/* --- identities ------------------------------------------------------------------------------- */

typedef struct operands {
    wf_simplify *s;
    uint32_t id; /* the node itself */
    wf_tensor a, b, c;
} operands;

static bool is(const operands *o, wf_tensor x, double v) { return wf_s_is(o->s, x.id, v); }
static uint32_t to(const operands *o, wf_tensor x) { return wf_s_expanded(o->s, x, o->id); }
static uint32_t zero(const operands *o) { return wf_s_full(o->s, o->id, 0); }
static uint32_t made(const operands *o, wf_tensor x) { return wf_settle(o->s, x); }

/* The operand of x if x is op(operand), else poison. */
static wf_tensor inside(const operands *o, wf_tensor x, const wf_op *op) {
    return wf_s_node(o->s, x.id)->op == op ? wf_s_in(o->s, x.id, 0) : wf_handle(o->s->to, 0);
}

static uint32_t rule_add(const operands *o) {
    const wf_tensor na = inside(o, o->a, &wf_op_neg), nb = inside(o, o->b, &wf_op_neg);
    if (is(o, o->a, 0)) return to(o, o->b);                /* 0 + b = b */
    if (is(o, o->b, 0)) return to(o, o->a);                /* a + 0 = a */
    if (nb.id) return made(o, wf_sub(o->a, nb));           /* a + -b = a - b */
    if (na.id) return made(o, wf_sub(o->b, na));           /* -a + b = b - a */
    return 0;
}

static uint32_t rule_sub(const operands *o) {
    const wf_tensor nb = inside(o, o->b, &wf_op_neg);
    if (is(o, o->b, 0)) return to(o, o->a);                /* a - 0 = a */
    if (nb.id) return made(o, wf_add(o->a, nb));           /* a - -b = a + b */
    if (is(o, o->a, 0)) {                                  /* 0 - b = -b */
        const uint32_t n = made(o, wf_neg(o->b));
        return n ? to(o, wf_handle(o->s->to, n)) : 0;
    }
    return 0;
}

static uint32_t rule_mul(const operands *o) {
    if (is(o, o->a, 0) || is(o, o->b, 0)) return zero(o);  /* a * 0 = 0 */
    if (is(o, o->a, 1)) return to(o, o->b);                /* 1 * b = b */
    if (is(o, o->b, 1)) return to(o, o->a);                /* a * 1 = a */
    return 0;
}

static uint32_t rule_div(const operands *o) {
    return is(o, o->b, 1) ? to(o, o->a) : 0;               /* a / 1 = a */
}

static uint32_t rule_neg(const operands *o) {
    return inside(o, o->a, &wf_op_neg).id;                 /* -(-a) = a */
}

static uint32_t rule_fma(const operands *o) {
    if (is(o, o->a, 0) || is(o, o->b, 0)) return to(o, o->c); /* 0 b + c = c */
    return 0;
}

static uint32_t rule_same(const operands *o) {
    return o->a.id == o->b.id ? o->a.id : 0;               /* min(a, a) = max(a, a) = a */
}

static uint32_t rule_select(const operands *o) {
    double v;
    if (o->b.id == o->c.id) return to(o, o->b);            /* p ? b : b = b */
    if (wf_s_uniform(o->s, o->a.id, &v)) return to(o, v != 0 ? o->b : o->c);
    return 0;
}

static uint32_t rule_relu(const operands *o) {
    return inside(o, o->a, &wf_op_relu).id ? o->a.id : 0;  /* relu(relu(a)) = relu(a) */
}

static uint32_t rule_cast(const operands *o) {
    const bool same = wf_dtype_of(o->a) == wf_s_node(o->s, o->id)->type.dtype;
    return same ? o->a.id : 0;
}

static const struct row {
    const wf_op *op;
    uint32_t (*rule)(const operands *o);
} rows[] = {
    {&wf_op_add, rule_add},         {&wf_op_sub, rule_sub},         {&wf_op_mul, rule_mul},
    {&wf_op_div, rule_div},         {&wf_op_neg, rule_neg},         {&wf_op_fma, rule_fma},
    {&wf_op_minimum, rule_same},    {&wf_op_maximum, rule_same},    {&wf_op_relu, rule_relu},
    {&wf_op_logical_and, rule_same}, {&wf_op_logical_or, rule_same}, {&wf_op_select, rule_select},
    {&wf_op_cast, rule_cast},
};

uint32_t wf_rule_algebra(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    if (x->op->kind != WF_KIND_ELEMENTWISE) return 0;
    for (size_t i = 0; i < WF_COUNT(rows); i++) {
        if (rows[i].op != x->op) continue;
        const operands o = {.s = s, .id = id, .a = wf_s_in(s, id, 0),
                            .b = wf_s_in(s, id, x->n_in > 1), .c = wf_s_in(s, id, x->n_in - 1)};
        return rows[i].rule(&o);
    }
    return 0;
}

/* --- n-ary sums ------------------------------------------------------------------------------- */

/* x + 0 + y -> x + y; a sum of two is an add, of one its term. */
uint32_t wf_rule_sum_terms(wf_simplify *s, uint32_t id) {
    const uint32_t n_in = wf_s_node(s, id)->n_in;
    if (wf_s_node(s, id)->op != &wf_op_add_n) return 0;
    wf_tensor *term = calloc(n_in, sizeof *term);
    if (!term) {
        s->failed = true;
        return 0;
    }
    int n = 0;
    for (uint32_t i = 0; i < n_in; i++) {
        const wf_tensor t = wf_s_in(s, id, i);
        if (!wf_s_is(s, t.id, 0)) term[n++] = t;
    }
    uint32_t to_id = 0;
    if (n == 0) to_id = wf_s_full(s, id, 0);
    else if (n == 1) to_id = term[0].id;
    else if (n == 2) to_id = wf_settle(s, wf_add(term[0], term[1]));
    else if (n < (int)n_in) to_id = wf_settle(s, wf_add_n(term, n));
    free(term);
    return to_id;
}

/* --- reductions and contractions -------------------------------------------------------------- */

/* Over axes of extent 1 nothing is folded; a sum of zeros is 0. */
uint32_t wf_rule_reduce(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    const bool keeps = x->op == &wf_op_sum || x->op == &wf_op_max || x->op == &wf_op_min ||
                       x->op == &wf_op_prod;
    if (!keeps) return 0;
    const wf_tensor in = wf_s_in(s, id, 0);
    if (x->op == &wf_op_sum && wf_s_is(s, in.id, 0)) return wf_s_full(s, id, 0);
    const int64_t n = wf_count(in);
    if (n == 0 || n != wf_shape_count(&x->type.shape)) return 0;
    return wf_settle(s, wf_cast(wf_reshape(in, x->type.shape), x->type.dtype)); /* bf16 to f32 */
}

/* A source with an operand that is zero contributes nothing. */
uint32_t wf_rule_contract(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    if (x->op != &wf_op_contract) return 0;
    for (uint32_t i = 0; i + 1 < x->n_in; i += 2) {
        if (!wf_s_is(s, wf_s_in(s, id, i).id, 0) && !wf_s_is(s, wf_s_in(s, id, i + 1).id, 0))
            continue;
        if (x->n_in == 2) return wf_s_full(s, id, 0);
        return wf_settle(s, wf_contract_drop(wf_handle(s->to, id), (int)i / 2));
    }
    return 0;
}
