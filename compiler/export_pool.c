/* C text of pooling and resizing. Windows are cut at the borders in each loop's bounds. */
#include "compiler/export_text.h"
#include "tensor/pool.h"

/* The element (n, v0, v1, v2, c) of the side with these strides. */
static wf_ctext_expr at(const int64_t stride[5], const char *v) {
    wf_ctext_expr e;
    snprintf(e.s, sizeof e.s, "n * %lld + %s0 * %lld + %s1 * %lld + %s2 * %lld + c * %lld",
             (long long)stride[0], v, (long long)stride[1], v, (long long)stride[2], v,
             (long long)stride[3], (long long)stride[4]);
    return e;
}

/* Loops over image, three spatial axes `v` and channel; the channel is the innermost. */
static void open_elements(wf_ctext *c, const wf_pool *p, const int64_t extent[3], const char *v) {
    wf_ctext_open(c, "for (long n = 0; n < %lld; n++)", (long long)p->n);
    for (int a = 0; a < 3; a++)
        wf_ctext_open(c, "for (long %s%d = 0; %s%d < %lld; %s%d++)", v, a, v, a,
                      (long long)extent[a], v, a);
}

/* lo0 .. hi2: where window o lies inside x. */
static void write_window(wf_ctext *c, const wf_pool *p) {
    for (int a = 0; a < 3; a++) {
        const long long stride = p->stride[a], pad = p->pad[a], in = p->in[a];
        wf_ctext_line(c, "const long at%d = o%d * %lld - %lld, end%d = at%d + %lld;", a, a, stride,
                      pad, a, a, (long long)p->kernel[a]);
        wf_ctext_line(c, "const long lo%d = at%d < 0 ? 0 : at%d;", a, a, a);
        wf_ctext_line(c, "const long hi%d = end%d > %lld ? %lld : end%d;", a, a, in, in, a);
    }
}

static void open_window(wf_ctext *c, const char *v) {
    for (int a = 0; a < 3; a++)
        wf_ctext_open(c, "for (long %s%d = lo%d; %s%d < hi%d; %s%d++)", v, a, a, v, a, a, v, a);
}

bool wf_ctext_max_pool(wf_ctext *c, const wf_call *call) {
    const wf_pool p = wf_pool_make(call->attr, &call->in[0], &call->out);
    const bool index = call->op == &wf_op_max_pool_index;
    const int depth = c->depth;
    open_elements(c, &p, p.out, "o");
    write_window(c, &p);
    wf_ctext_open(c, "for (long c = 0; c < %lld; c++)", (long long)p.c);
    const int inner = c->depth;
    wf_ctext_line(c, "%s best = -__builtin_inf%s();", wf_ctext_type(call->in[0].dtype),
                  call->in[0].dtype == WF_F32 ? "f" : "");
    wf_ctext_line(c, "long where = -1;");
    open_window(c, "i");
    wf_ctext_line(c, "const %s v = x0[%s];", wf_ctext_type(call->in[0].dtype), at(p.xs, "i").s);
    wf_ctext_open(c, "if (where < 0 || v > best || (v != v && best == best))");
    wf_ctext_line(c, "best = v;");
    wf_ctext_line(c, "where = (i0 * %lld + i1) * %lld + i2;", (long long)p.in[1],
                  (long long)p.in[2]);
    wf_ctext_close(c, inner);
    wf_ctext_line(c, "y[%s] = %s;", at(p.ys, "o").s, index ? "where" : "best");
    wf_ctext_close(c, depth);
    return true;
}

/* "((hi0 - lo0) * ...)", or the whole window. */
static wf_ctext_expr size_of(const wf_pool *p) {
    wf_ctext_expr e = {"(double)((hi0 - lo0) * (hi1 - lo1) * (hi2 - lo2))"};
    if (p->count_pad)
        snprintf(e.s, sizeof e.s, "%.1f",
                 (double)p->kernel[0] * (double)p->kernel[1] * (double)p->kernel[2]);
    return e;
}

bool wf_ctext_avg_pool(wf_ctext *c, const wf_call *call) {
    const wf_pool p = wf_pool_make(call->attr, &call->in[0], &call->out);
    const int depth = c->depth;
    open_elements(c, &p, p.out, "o");
    write_window(c, &p);
    wf_ctext_open(c, "for (long c = 0; c < %lld; c++)", (long long)p.c);
    const int inner = c->depth;
    wf_ctext_line(c, "double sum = 0;");
    open_window(c, "i");
    wf_ctext_line(c, "sum += x0[%s];", at(p.xs, "i").s);
    wf_ctext_close(c, inner);
    wf_ctext_line(c, "y[%s] = (%s)(sum / %s);", at(p.ys, "o").s, wf_ctext_type(call->out.dtype),
                  size_of(&p).s);
    wf_ctext_close(c, depth);
    return true;
}

/* Every window adds its share to its elements. */
bool wf_ctext_avg_pool_grad(wf_ctext *c, const wf_call *call) {
    const wf_pool p = wf_pool_make(call->attr, &call->out, &call->in[0]);
    const int depth = c->depth;
    open_elements(c, &p, p.in, "i");
    wf_ctext_line(c, "for (long c = 0; c < %lld; c++) y[%s] = 0;", (long long)p.c,
                  at(p.xs, "i").s);
    wf_ctext_close(c, depth);
    open_elements(c, &p, p.out, "o");
    write_window(c, &p);
    wf_ctext_open(c, "for (long c = 0; c < %lld; c++)", (long long)p.c);
    wf_ctext_line(c, "const double g = x0[%s] / %s;", at(p.ys, "o").s, size_of(&p).s);
    open_window(c, "i");
    wf_ctext_line(c, "y[%s] += (%s)g;", at(p.xs, "i").s, wf_ctext_type(call->out.dtype));
    wf_ctext_close(c, depth);
    return true;
}

/* --- resizing --------------------------------------------------------------------------------- */

/* Loops over the larger side's elements, and the taps of its two axes in r and s. */
static void open_taps(wf_ctext *c, const wf_array *x, const wf_array *y) {
    static const char name[] = "rs";
    c->needs |= WF_CTEXT_RESIZE;
    for (int a = 0; a < 4; a++) {
        wf_ctext_open(c, "for (long i%d = 0; i%d < %lld; i%d++)", a, a, (long long)y->shape.dim[a],
                      a);
        if (a == 1 || a == 2)
            wf_ctext_line(c, "const wf_taps %c = wf_taps_of(i%d, %lld, %lld);", name[a - 1], a,
                          (long long)x->shape.dim[a], (long long)y->shape.dim[a]);
    }
}

/* Element (i0, row, column, i3) of the array. */
static wf_ctext_expr tap(const wf_array *x, const char *row, const char *column) {
    wf_ctext_expr e;
    snprintf(e.s, sizeof e.s, "i0 * %lld + %s * %lld + %s * %lld + i3 * %lld",
             (long long)x->stride[0], row, (long long)x->stride[1], column,
             (long long)x->stride[2], (long long)x->stride[3]);
    return e;
}

bool wf_ctext_resize(wf_ctext *c, const wf_call *call) {
    const wf_array *x = &call->in[0], *y = &call->out;
    const int depth = c->depth;
    open_taps(c, x, y);
    wf_ctext_line(c, "const double top = (1 - s.weight) * x0[%s] + s.weight * x0[%s];",
                  tap(x, "r.lo", "s.lo").s, tap(x, "r.lo", "s.hi").s);
    wf_ctext_line(c, "const double low = (1 - s.weight) * x0[%s] + s.weight * x0[%s];",
                  tap(x, "r.hi", "s.lo").s, tap(x, "r.hi", "s.hi").s);
    wf_ctext_line(c, "y[%s] = (%s)((1 - r.weight) * top + r.weight * low);", tap(y, "i1", "i2").s,
                  wf_ctext_type(y->dtype));
    wf_ctext_close(c, depth);
    return true;
}

bool wf_ctext_resize_grad(wf_ctext *c, const wf_call *call) {
    const wf_array *g = &call->in[0], *x = &call->out;
    const char *type = wf_ctext_type(x->dtype);
    const int depth = c->depth;
    wf_ctext_loops(c, &x->shape, 'i');
    wf_ctext_line(c, "y[%s] = 0;", wf_ctext_index(x, 'i', 0).s);
    wf_ctext_close(c, depth);
    open_taps(c, x, g);
    wf_ctext_line(c, "const double g = x0[%s];", tap(g, "i1", "i2").s);
    for (int i = 0; i < 4; i++)
        wf_ctext_line(c, "y[%s] += (%s)(g * %s * %s);",
                      tap(x, i < 2 ? "r.lo" : "r.hi", i % 2 ? "s.hi" : "s.lo").s, type,
                      i < 2 ? "(1 - r.weight)" : "r.weight",
                      i % 2 ? "s.weight" : "(1 - s.weight)");
    wf_ctext_close(c, depth);
    return true;
}
