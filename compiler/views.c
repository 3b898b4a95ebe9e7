/* Views of views, and parts of what was put together from parts.
 *
 * Most rules need no knowledge of the operations: a chain of views is followed down to the strides
 * it amounts to, and if they are those of a dense array, the chain is a reshape or nothing.
 *
 *   %1 f32[4,6] = leaf "w"                                  %1 f32[4,6] = leaf "w"
 *   %2 f32[6,4] = permute %1 {perm=1,0}   --simplify-->     %2 f32[24] = reshape %1
 *   %3 f32[4,6] = permute %2 {perm=1,0}
 *   %4 f32[24] = reshape %3 */
#include "compiler/simplify.h"
#include "tensor/view.h"

enum { DEPTH = 6 }; /* views looked through; operands are simplified, so chains are short */

/* The node under the views of `id`, and how it is seen: false if some view is not expressible. */
static bool see_through(wf_simplify *s, uint32_t id, int depth, uint32_t *root, wf_array *seen,
                        int *views) {
    const wf_node *x = wf_s_node(s, id);
    if (x->op->kind != WF_KIND_VIEW || depth == 0) {
        *root = id;
        *seen = wf_array_dense(NULL, x->type.dtype, &x->type.shape);
        *views = 0;
        return true;
    }
    wf_array in;
    if (!see_through(s, wf_node_in(s->to, id)[0], depth - 1, root, &in, views)) return false;
    *seen = (wf_array){.dtype = x->type.dtype, .shape = x->type.shape};
    ++*views;
    return x->op->view(x->attr, &in, seen);
}

/* permute(permute(x)) -> permute(x) */
static uint32_t joined_permute(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    const wf_tensor in = wf_s_in(s, id, 0);
    const wf_node *y = wf_s_node(s, in.id);
    if (x->op != &wf_op_permute || y->op != &wf_op_permute) return 0;
    const wf_permute_attr *outer = x->attr, *inner = y->attr;
    int perm[WF_MAX_RANK] = {0};
    for (int k = 0; k < x->type.shape.rank; k++) perm[k] = inner->perm[outer->perm[k]];
    return wf_settle(s, wf_permute(wf_s_in(s, in.id, 0), perm));
}

/* view(uniform) is uniform; a chain that leaves elements in order is a reshape, or nothing. */
uint32_t wf_rule_view(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    if (x->op->kind != WF_KIND_VIEW) return 0;
    const uint32_t in = wf_node_in(s->to, id)[0];
    double v;
    if (wf_s_uniform(s, in, &v)) return wf_s_full(s, id, v);
    uint32_t root;
    wf_array seen;
    int views;
    if (see_through(s, id, DEPTH, &root, &seen, &views)) {
        const wf_type t = x->type;
        const wf_tensor r = wf_handle(s->to, root);
        const wf_shape from = wf_shape_of_tensor(r);
        const int64_t count = wf_shape_count(&from);
        if (!seen.data && wf_array_is_dense(&seen) && count == wf_shape_count(&t.shape)) {
            if (wf_shape_equal(&from, &t.shape)) return root;
            if (views > 1 || x->op != &wf_op_reshape) return wf_settle(s, wf_reshape(r, t.shape));
        }
    }
    if (x->op == &wf_op_expand && wf_s_node(s, in)->op == &wf_op_expand)
        return wf_settle(s, wf_expand(wf_s_in(s, in, 0), x->type.shape));
    return joined_permute(s, id);
}

/* Padding by nothing is nothing; zeros around zeros are zeros. */
uint32_t wf_rule_pad(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    if (x->op != &wf_op_pad) return 0;
    const wf_tensor in = wf_s_in(s, id, 0);
    if (wf_s_is(s, in.id, 0)) return wf_s_full(s, id, 0);
    const wf_shape from = wf_shape_of_tensor(in);
    return wf_shape_equal(&from, &x->type.shape) ? in.id : 0;
}

/* slice(concat(x, y)) that lies inside x -> slice(x); of a stack, one element -> reshape(x). */
uint32_t wf_rule_slice_of_parts(wf_simplify *s, uint32_t id) {
    const wf_node *x = wf_s_node(s, id);
    if (x->op != &wf_op_slice) return 0;
    const wf_slice_attr a = *(const wf_slice_attr *)x->attr;
    const wf_shape shape = x->type.shape;
    const uint32_t in = wf_node_in(s->to, id)[0];
    const wf_node *y = wf_s_node(s, in);
    const int rank = y->type.shape.rank, axis = wf_axis_of(a.axis, rank);
    if (a.n < 1 || (a.step != 1 && a.n > 1)) return 0;
    if (y->op == &wf_op_stack && a.n == 1) {
        const wf_axis_attr *p = y->attr;
        if (wf_axis_of(p->axis, rank) != axis) return 0;
        return wf_settle(s, wf_reshape(wf_s_in(s, in, (uint32_t)a.first), shape));
    }
    if (y->op != &wf_op_concat) return 0;
    const wf_concat_attr *p = y->attr;
    if (wf_axis_of(p->axis, rank) != axis) return 0;
    for (int64_t i = 0; i < p->n; i++)
        if (p->offset[i] <= a.first && a.first + a.n <= p->offset[i + 1])
            return wf_settle(s, wf_slice(wf_s_in(s, in, (uint32_t)i), axis,
                                         a.first - p->offset[i], a.n, 1));
    return 0;
}
