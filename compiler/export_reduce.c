/* C text of reductions and of what works along one axis. Sums of reals are in double, as in the
 * reference evaluators. */
#include <string.h>

#include "compiler/export_text.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* The element of x at a kept and a reduced index. */
static wf_ctext_expr element(const wf_reduce_nest *n) {
    wf_ctext_expr e;
    snprintf(e.s, sizeof e.s, "%.200s + %.200s", wf_ctext_index(&n->in, 'i', 0).s,
             wf_ctext_index(&n->red, 'r', 0).s);
    return e;
}

static const char *extreme_start(wf_dtype t, bool max) {
    if (t == WF_I32) return max ? "-2147483647 - 1" : "2147483647";
    if (t == WF_I64) return max ? "-9223372036854775807L - 1" : "9223372036854775807L";
    return max ? "-__builtin_inf()" : "__builtin_inf()";
}

/* Sums of bf16 are made by the precision pass, whose programs are not exported. */
static bool reads_half(const wf_call *call) { return call->in[0].dtype == WF_BF16; }

bool wf_ctext_reduce(wf_ctext *c, const wf_call *call) {
    if (reads_half(call)) return false;
    const wf_reduce_nest n = wf_reduce_split(call, 0);
    const wf_dtype t = call->out.dtype;
    const bool real = wf_dtype_is_real(t), max = call->op == &wf_op_max;
    const bool sum = call->op == &wf_op_sum, product = call->op == &wf_op_prod;
    const char *type = wf_ctext_type(t);
    const char *wide = !sum && !product ? type : real ? "double" : "unsigned long";
    const int depth = c->depth;
    wf_ctext_loops(c, &n.in.shape, 'i');
    wf_ctext_line(c, "%s all = (%s)%s%s%s;", wide, wide, sum || product ? "" : "(",
                  sum ? "0" : product ? "1" : extreme_start(t, max), sum || product ? "" : ")");
    const int inner = c->depth;
    wf_ctext_loops(c, &n.red.shape, 'r');
    wf_ctext_line(c, "const %s v = (%s)x0[%s];", wide, wide, element(&n).s);
    if (sum || product) wf_ctext_line(c, "all %s v;", sum ? "+=" : "*=");
    else wf_ctext_line(c, "if (v %s all%s) all = v;", max ? ">" : "<", real ? " || v != v" : "");
    wf_ctext_close(c, inner);
    wf_ctext_line(c, "y[%s] = (%s)all;", wf_ctext_index(&n.out, 'i', 0).s, type);
    wf_ctext_close(c, depth);
    return true;
}

bool wf_ctext_moments(wf_ctext *c, const wf_call *call) {
    if (reads_half(call)) return false;
    const wf_reduce_nest n = wf_reduce_split(call, 1);
    const char *type = wf_ctext_type(call->out.dtype);
    const wf_ctext_expr at = wf_ctext_index(&n.out, 'i', 0), x = element(&n);
    const long long count = (long long)n.n_red;
    const int depth = c->depth;
    wf_ctext_loops(c, &n.in.shape, 'i');
    const int inner = c->depth;
    wf_ctext_line(c, "double mean = 0, var = 0;");
    for (int pass = 0; pass < 2; pass++) {
        wf_ctext_loops(c, &n.red.shape, 'r');
        if (pass) wf_ctext_line(c, "var += (x0[%s] - mean) * (x0[%s] - mean);", x.s, x.s);
        else wf_ctext_line(c, "mean += x0[%s];", x.s);
        wf_ctext_close(c, inner);
        if (count) wf_ctext_line(c, "%s /= %lld;", pass ? "var" : "mean", count);
        else wf_ctext_line(c, "%s = __builtin_nan(\"\");", pass ? "var" : "mean");
    }
    wf_ctext_line(c, "y[%s] = (%s)mean;", at.s, type);
    wf_ctext_line(c, "y[%s + %lld] = (%s)var;", at.s, (long long)call->out.stride[0], type);
    wf_ctext_close(c, depth);
    return true;
}

/* --- along an axis ---------------------------------------------------------------------------- */

static int axis_of(const wf_call *call) {
    return wf_axis_of(((const wf_axis_attr *)call->attr)->axis, call->in[0].shape.rank);
}

static bool is_half(wf_dtype t) { return t == WF_F16 || t == WF_BF16; }

bool wf_ctext_argmax(wf_ctext *c, const wf_call *call) {
    const wf_array *x = &call->in[0];
    const int axis = axis_of(call), depth = c->depth;
    const wf_array kept = wf_ctext_without(x, axis);
    const bool real = wf_dtype_is_real(x->dtype);
    if (is_half(x->dtype)) return false;
    wf_ctext_loops(c, &kept.shape, 'i');
    wf_ctext_line(c, "const %s *line = x0 + %s;", wf_ctext_type(x->dtype),
                  wf_ctext_index(&kept, 'i', 0).s);
    wf_ctext_line(c, "long best = 0;");
    wf_ctext_open(c, "for (long i = 1; i < %lld; i++)", (long long)x->shape.dim[axis]);
    wf_ctext_line(c, "const %s m = line[best * %lld], v = line[i * %lld];",
                  wf_ctext_type(x->dtype), (long long)x->stride[axis], (long long)x->stride[axis]);
    wf_ctext_line(c, real ? "if (v > m || (v != v && m == m)) best = i;" : "if (v > m) best = i;");
    wf_ctext_close(c, c->depth - 1);
    wf_ctext_line(c, "y[%s] = best;", wf_ctext_index(&call->out, 'i', 0).s);
    wf_ctext_close(c, depth);
    return true;
}

bool wf_ctext_cumsum(wf_ctext *c, const wf_call *call) {
    const wf_array *x = &call->in[0], *y = &call->out;
    const int axis = axis_of(call), depth = c->depth;
    const wf_array from = wf_ctext_without(x, axis), to = wf_ctext_without(y, axis);
    const char *wide = wf_dtype_is_real(x->dtype) ? "double" : "unsigned long";
    wf_ctext_loops(c, &from.shape, 'i');
    wf_ctext_line(c, "%s sum = 0;", wide);
    wf_ctext_open(c, "for (long i = 0; i < %lld; i++)", (long long)x->shape.dim[axis]);
    wf_ctext_line(c, "sum += (%s)x0[%s + i * %lld];", wide, wf_ctext_index(&from, 'i', 0).s,
                  (long long)x->stride[axis]);
    wf_ctext_line(c, "y[%s + i * %lld] = (%s)sum;", wf_ctext_index(&to, 'i', 0).s,
                  (long long)y->stride[axis], wf_ctext_type(y->dtype));
    wf_ctext_close(c, depth);
    return true;
}

/* The place of an element is the number of those before it. */
bool wf_ctext_argsort(wf_ctext *c, const wf_call *call) {
    const wf_array *x = &call->in[0], *y = &call->out;
    const int axis = axis_of(call), depth = c->depth;
    const wf_array from = wf_ctext_without(x, axis), to = wf_ctext_without(y, axis);
    const bool real = wf_dtype_is_real(x->dtype);
    const char *type = wf_ctext_type(x->dtype);
    bool descending = false;
    for (const wf_field *f = call->op->fields; f->name; f++)
        if (strcmp(f->name, "descending") == 0)
            descending = *(const int64_t *)((const char *)call->attr + f->at);
    if (is_half(x->dtype)) return false;
    const long long n = (long long)x->shape.dim[axis], step = (long long)x->stride[axis];
    wf_ctext_loops(c, &from.shape, 'i');
    wf_ctext_line(c, "const %s *line = x0 + %s;", type, wf_ctext_index(&from, 'i', 0).s);
    wf_ctext_open(c, "for (long i = 0; i < %lld; i++)", n);
    wf_ctext_line(c, "long place = 0;");
    wf_ctext_open(c, "for (long j = 0; j < %lld; j++)", n);
    wf_ctext_line(c, "const %s v = line[i * %lld], u = line[j * %lld];", type, step, step);
    wf_ctext_line(c, "const int less = u < v%s, more = v < u%s;",
                  real ? " || (u == u && v != v)" : "", real ? " || (v == v && u != u)" : "");
    wf_ctext_line(c, descending ? "place += more || (!less && j < i);"
                                : "place += less || (!more && j < i);");
    wf_ctext_close(c, c->depth - 1);
    wf_ctext_line(c, "y[%s + place * %lld] = i;", wf_ctext_index(&to, 'i', 0).s,
                  (long long)y->stride[axis]);
    wf_ctext_close(c, depth);
    return true;
}
