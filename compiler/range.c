/* Range facts: a value known to be >= 0 (or NaN) needs no relu.
 *
 * The fact is found bottom-up: some results are never negative (sigmoid, square, ...), some are not
 * if no operand is (add, mul, slice, ...). In a ConvLSTM with relu gates c = f c + i g stays >= 0
 * by induction over the steps, so that relu(c) is c. A mask in a gradient asks another question
 * (relu'(0) = 0) and stays. Before and after:
 *
 *   %1 f32[3] = leaf "w"                            %1 f32[3] = leaf "w"
 *   %2 f32[3] = sigmoid %1         --simplify-->    %2 f32[3] = sigmoid %1
 *   %3 f32[3] = mul %2, %2                          %3 f32[3] = mul %2, %2
 *   %4 f32[3] = relu %3 */
#include <stdlib.h>
#include <string.h>

#include "compiler/simplify.h"
#include "tensor/elementwise.h"
#include "tensor/reduce.h"
#include "tensor/sources.h"
#include "tensor/view.h"

static const wf_op *const never_negative[] = {
    &wf_op_relu, &wf_op_sigmoid, &wf_op_hard_sigmoid, &wf_op_softplus, &wf_op_exp,
    &wf_op_square, &wf_op_abs, &wf_op_sqrt, &wf_op_uniform, &wf_op_bernoulli};

static const wf_op *const if_no_operand_is[] = {
    &wf_op_add, &wf_op_add_n, &wf_op_mul, &wf_op_fma, &wf_op_minimum, &wf_op_sum,
    &wf_op_prod, &wf_op_reshape, &wf_op_permute, &wf_op_expand, &wf_op_slice,
    &wf_op_stop_gradient, &wf_op_concat, &wf_op_pad};

static bool listed(const wf_op *op, const wf_op *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (list[i] == op) return true;
    return false;
}

enum { UNKNOWN, NO, YES };
enum { DEPTH = 64 };

static bool room(wf_simplify *s, uint32_t id) {
    if (id < s->fact_cap) return true;
    uint32_t cap = s->fact_cap ? s->fact_cap : 1024;
    while (cap <= id) cap *= 2;
    uint8_t *fact = realloc(s->fact, cap);
    if (!fact) {
        s->failed = true;
        return false;
    }
    memset(fact + s->fact_cap, UNKNOWN, cap - s->fact_cap);
    s->fact = fact;
    s->fact_cap = cap;
    return true;
}

/* depth bounds the recursion: past it nothing is known. */
static bool nonnegative(wf_simplify *s, uint32_t id, int depth) {
    if (depth == 0 || !room(s, id)) return false;
    if (s->fact[id] != UNKNOWN) return s->fact[id] == YES;
    const wf_node *x = wf_s_node(s, id);
    const uint32_t *in = wf_node_in(s->to, id);
    double v;
    bool yes = listed(x->op, never_negative, WF_COUNT(never_negative));
    if (!yes && listed(x->op, if_no_operand_is, WF_COUNT(if_no_operand_is))) {
        yes = true;
        for (uint32_t i = 0; i < x->n_in && yes; i++) yes = nonnegative(s, in[i], depth - 1);
    } else if (x->op == &wf_op_select) {
        yes = nonnegative(s, in[1], depth - 1) && nonnegative(s, in[2], depth - 1);
    } else if (x->op == &wf_op_maximum) {
        yes = nonnegative(s, in[0], depth - 1) || nonnegative(s, in[1], depth - 1);
    } else if (x->op == &wf_op_full) {
        yes = wf_s_uniform(s, id, &v) && v >= 0;
    }
    if (!s->failed) s->fact[id] = yes ? YES : NO;
    return yes;
}

/* relu(x) -> x and abs(x) -> x for x >= 0. */
uint32_t wf_rule_range(wf_simplify *s, uint32_t id) {
    const wf_op *op = wf_s_node(s, id)->op;
    if ((op != &wf_op_relu && op != &wf_op_abs) ||
        !wf_dtype_is_real(wf_s_node(s, id)->type.dtype))
        return 0;
    const uint32_t x = wf_node_in(s->to, id)[0];
    return nonnegative(s, x, DEPTH) ? x : 0;
}
