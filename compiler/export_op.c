/* C text of operations that move, index and make elements; the table of all that have text. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "compiler/export_text.h"
#include "tensor/attr.h"
#include "tensor/elementwise.h"
#include "tensor/contract.h"
#include "tensor/index.h"
#include "tensor/pool.h"
#include "tensor/reduce.h"
#include "tensor/sources.h"
#include "tensor/view.h"

extern const wf_op wf_op_argmax, wf_op_cumsum, wf_op_resize, wf_op_resize_grad;

/* --- lines, loops, indices -------------------------------------------------------------------- */

static void indent(wf_ctext *c) {
    for (int i = 0; i < c->depth; i++) fputs("    ", c->f);
}

void wf_ctext_line(wf_ctext *c, const char *format, ...) {
    va_list list;
    va_start(list, format);
    indent(c);
    vfprintf(c->f, format, list);
    fputc('\n', c->f);
    va_end(list);
}

void wf_ctext_open(wf_ctext *c, const char *format, ...) {
    va_list list;
    va_start(list, format);
    indent(c);
    vfprintf(c->f, format, list);
    fputs(" {\n", c->f);
    c->depth++;
    va_end(list);
}

void wf_ctext_close(wf_ctext *c, int depth) {
    while (c->depth > depth) {
        c->depth--;
        indent(c);
        fputs("}\n", c->f);
    }
}

void wf_ctext_loops(wf_ctext *c, const wf_shape *shape, char letter) {
    for (int j = 0; j < shape->rank; j++)
        if (shape->dim[j] != 1)
            wf_ctext_open(c, "for (long %c%d = 0; %c%d < %lld; %c%d++)", letter, j, letter, j,
                          (long long)shape->dim[j], letter, j);
}

wf_ctext_expr wf_ctext_index(const wf_array *a, char letter, int first) {
    wf_ctext_expr e = {""};
    size_t n = 0;
    for (int j = 0; j < a->shape.rank; j++) {
        if (a->shape.dim[j] == 1 || a->stride[j] == 0) continue;
        n += (size_t)snprintf(e.s + n, sizeof e.s - n, "%s%c%d", n ? " + " : "", letter, first + j);
        if (a->stride[j] != 1)
            n += (size_t)snprintf(e.s + n, sizeof e.s - n, " * %lld", (long long)a->stride[j]);
    }
    if (!n) strcpy(e.s, "0");
    return e;
}

wf_array wf_ctext_without(const wf_array *a, int axis) {
    wf_array b = *a;
    b.shape.rank--;
    for (int j = axis; j < b.shape.rank; j++) {
        b.shape.dim[j] = a->shape.dim[j + 1];
        b.stride[j] = a->stride[j + 1];
    }
    return b;
}

const char *wf_ctext_type(wf_dtype t) {
    static const char *const type[WF_N_DTYPE] = {
        [WF_F32] = "float", [WF_F64] = "double", [WF_BF16] = "unsigned short",
        [WF_F16] = "unsigned short", [WF_I32] = "int", [WF_I64] = "long",
        [WF_U8] = "unsigned char", [WF_BOOL] = "unsigned char"};
    return type[t];
}

wf_ctext_expr wf_ctext_real(double v) {
    wf_ctext_expr e;
    if (isnan(v)) strcpy(e.s, "__builtin_nan(\"\")");
    else if (isinf(v)) strcpy(e.s, v < 0 ? "-__builtin_inf()" : "__builtin_inf()");
    else if (v == rint(v) && fabs(v) < 1e6 && (v != 0 || !signbit(v)))
        snprintf(e.s, sizeof e.s, "%.0f", v);
    else snprintf(e.s, sizeof e.s, "%a", v);
    return e;
}

/* --- moving ----------------------------------------------------------------------------------- */

/* to = from, equal shapes, types converted as by assignment. `name`: of the array read. */
static void write_copy(wf_ctext *c, const wf_array *to, const wf_array *from, const char *name,
                       const wf_ctext_expr *to_offset) {
    const int depth = c->depth;
    wf_ctext_loops(c, &to->shape, 'i');
    wf_ctext_line(c, "y[%s%s] = %s[%s];", to_offset ? to_offset->s : "",
                  wf_ctext_index(to, 'i', 0).s, name, wf_ctext_index(from, 'i', 0).s);
    wf_ctext_close(c, depth);
}

/* An element offset from the byte address that a view or a slot begins at, as text before an
 * index. */
static wf_ctext_expr offset_of(const wf_array *a) {
    wf_ctext_expr e = {""};
    const int64_t n = (int64_t)(intptr_t)a->data / (int64_t)wf_dtype_bytes(a->dtype);
    if (n) snprintf(e.s, sizeof e.s, "%lld + ", (long long)n);
    return e;
}

static bool write_identity(wf_ctext *c, const wf_call *call) {
    write_copy(c, &call->out, &call->in[0], "x0", NULL);
    return true;
}

/* The index of `a` for the row-major number e. */
static wf_ctext_expr nth(const wf_array *a) {
    wf_ctext_expr s = {""};
    int64_t step = 1;
    for (int j = a->shape.rank - 1; j >= 0; j--) {
        const size_t n = strlen(s.s);
        if (a->shape.dim[j] == 1) continue;
        snprintf(s.s + n, sizeof s.s - n, "%se / %lld %% %lld * %lld", n ? " + " : "",
                 (long long)step, (long long)a->shape.dim[j], (long long)a->stride[j]);
        step *= a->shape.dim[j];
    }
    if (!s.s[0]) strcpy(s.s, "0");
    return s;
}

static bool write_view(wf_ctext *c, const wf_call *call) {
    wf_array x = call->in[0], seen = call->out;
    x.data = NULL;
    if (call->op->view(call->attr, &x, &seen)) {
        const int depth = c->depth;
        wf_ctext_loops(c, &seen.shape, 'i');
        wf_ctext_line(c, "y[%s] = x0[%s%s];", wf_ctext_index(&call->out, 'i', 0).s,
                      offset_of(&seen).s, wf_ctext_index(&seen, 'i', 0).s);
        wf_ctext_close(c, depth);
        return true;
    }
    wf_ctext_line(c, "for (long e = 0; e < %lld; e++) y[%s] = x0[%s];",
                  (long long)wf_shape_count(&x.shape), nth(&call->out).s, nth(&x).s);
    return true;
}

static bool write_place(wf_ctext *c, const wf_call *call) {
    wf_array y = call->out;
    y.data = NULL;
    for (int i = 0; i < call->n_in; i++) {
        char name[16];
        wf_array slot = {.dtype = call->in[i].dtype, .shape = call->in[i].shape};
        snprintf(name, sizeof name, "x%d", i);
        call->op->place(call->attr, &y, i, &slot);
        const wf_ctext_expr offset = offset_of(&slot);
        write_copy(c, &slot, &call->in[i], name, &offset);
    }
    return true;
}

static void write_fill(wf_ctext *c, const wf_array *y, const char *value) {
    const int depth = c->depth;
    wf_ctext_loops(c, &y->shape, 'i');
    wf_ctext_line(c, "y[%s] = (%s)%s;", wf_ctext_index(y, 'i', 0).s, wf_ctext_type(y->dtype),
                  value);
    wf_ctext_close(c, depth);
}

static bool write_pad(wf_ctext *c, const wf_call *call) {
    const wf_pad_attr *a = call->attr;
    const int axis = wf_axis_of(a->axis, call->out.shape.rank);
    wf_array slot = call->out;
    const wf_ctext_expr offset = offset_of(&(wf_array){
        .dtype = WF_U8, .data = wf_shift(NULL, a->before * slot.stride[axis])});
    write_fill(c, &call->out, "0");
    slot.shape = call->in[0].shape;
    slot.stride[axis] *= a->step;
    write_copy(c, &slot, &call->in[0], "x0", &offset);
    return true;
}

/* --- indices ---------------------------------------------------------------------------------- */

static int axis_attr(const wf_call *call) {
    return wf_axis_of(((const wf_axis_attr *)call->attr)->axis, call->in[0].shape.rank);
}

/* The element of `x` at the loops of the gathered shape, with k on the axis. r: axes that stand for
 * it in the gathered shape. */
static wf_ctext_expr indexed(const wf_array *x, int axis, int r) {
    wf_ctext_expr e;
    size_t n = (size_t)snprintf(e.s, sizeof e.s, "k * %lld", (long long)x->stride[axis]);
    for (int j = 0; j < x->shape.rank; j++)
        if (j != axis && x->shape.dim[j] != 1)
            n += (size_t)snprintf(e.s + n, sizeof e.s - n, " + i%d * %lld",
                                  j < axis ? j : j + r - 1, (long long)x->stride[j]);
    return e;
}

/* gather and take_along: y = x0[k], 0 outside. */
static bool write_gather(wf_ctext *c, const wf_call *call) {
    const wf_array *x = &call->in[0], *index = &call->in[1], *y = &call->out;
    const bool along = call->op == &wf_op_take_along;
    const int axis = axis_attr(call), depth = c->depth;
    wf_ctext_loops(c, &y->shape, 'i');
    wf_ctext_line(c, "const long k = x1[%s];", wf_ctext_index(index, 'i', along ? 0 : axis).s);
    wf_ctext_line(c, "y[%s] = (%s)(k < 0 || k >= %lld ? 0 : x0[%s]);",
                  wf_ctext_index(y, 'i', 0).s, wf_ctext_type(y->dtype),
                  (long long)x->shape.dim[axis],
                  indexed(x, axis, along ? 1 : index->shape.rank).s);
    wf_ctext_close(c, depth);
    return true;
}

/* scatter_add and put_along: y = x0 or 0, then y[k] += u. */
static bool write_scatter(wf_ctext *c, const wf_call *call) {
    const bool along = call->op == &wf_op_put_along;
    const wf_array *index = &call->in[1], *y = &call->out, *u = &call->in[along ? 0 : 2];
    const int axis = wf_axis_of(((const wf_axis_attr *)call->attr)->axis, y->shape.rank);
    if (along) write_fill(c, y, "0");
    else write_copy(c, y, &call->in[0], "x0", NULL);
    const int depth = c->depth;
    wf_ctext_loops(c, &u->shape, 'i');
    wf_ctext_line(c, "const long k = x1[%s];", wf_ctext_index(index, 'i', along ? 0 : axis).s);
    wf_ctext_line(c, "if (k < 0 || k >= %lld) continue;", (long long)y->shape.dim[axis]);
    const bool whole = !wf_dtype_is_real(y->dtype);
    const wf_ctext_expr at = indexed(y, axis, along ? 1 : index->shape.rank);
    wf_ctext_line(c, whole ? "y[%s] = (%s)((unsigned long)y[%s] + (unsigned long)x%d[%s]);"
                           : "y[%s] = (%s)(y[%s] + x%d[%s]);",
                  at.s, wf_ctext_type(y->dtype), at.s, along ? 0 : 2,
                  wf_ctext_index(u, 'i', 0).s);
    wf_ctext_close(c, depth);
    return true;
}

static bool write_one_hot(wf_ctext *c, const wf_call *call) {
    const wf_array *y = &call->out;
    const int last = y->shape.rank - 1, depth = c->depth;
    wf_ctext_loops(c, &y->shape, 'i');
    char column[16] = "0";
    if (y->shape.dim[last] != 1) snprintf(column, sizeof column, "i%d", last);
    wf_ctext_line(c, "y[%s] = x0[%s] == %s;", wf_ctext_index(y, 'i', 0).s,
                  wf_ctext_index(&call->in[0], 'i', 0).s, column);
    wf_ctext_close(c, depth);
    return true;
}

/* --- made from nothing ------------------------------------------------------------------------ */

static bool write_full(wf_ctext *c, const wf_call *call) {
    const wf_full_attr *a = call->attr;
    write_fill(c, &call->out, wf_ctext_real(a->value).s);
    return true;
}

/* The attribute of this name. */
static const void *field(const wf_call *call, const char *name) {
    for (const wf_field *f = call->op->fields; f && f->name; f++)
        if (strcmp(f->name, name) == 0) return (const char *)call->attr + f->at;
    return NULL;
}

static bool write_arange(wf_ctext *c, const wf_call *call) {
    const double *first = field(call, "first"), *step = field(call, "step");
    if (!first || !step) return false;
    wf_ctext_line(c, "for (long i = 0; i < %lld; i++) y[i * %lld] = (%s)(%s + (double)i * %s);",
                  (long long)call->out.shape.dim[0], (long long)call->out.stride[0],
                  wf_ctext_type(call->out.dtype), wf_ctext_real(*first).s,
                  wf_ctext_real(*step).s);
    return true;
}

/* eye and tril_mask; a bound on j - i that no matrix reaches is cut. */
static bool write_diagonal(wf_ctext *c, const wf_call *call) {
    const int64_t *d = field(call, "diagonal"), most = (int64_t)1 << 48;
    const wf_array *y = &call->out;
    const long long bound = !d ? 0 : *d > most ? most : *d < -most ? -most : *d;
    wf_ctext_line(c, "for (long i = 0; i < %lld; i++)", (long long)y->shape.dim[0]);
    wf_ctext_line(c, "    for (long j = 0; j < %lld; j++) y[i * %lld + j * %lld] = j - i %s %lld;",
                  (long long)y->shape.dim[1], (long long)y->stride[0], (long long)y->stride[1],
                  d ? "<=" : "==", bound);
    return true;
}

/* --- elementwise operations that are in no group ---------------------------------------------- */

static bool write_add_n(wf_ctext *c, const wf_call *call) {
    const char *type = wf_ctext_type(call->out.dtype);
    const bool whole = !wf_dtype_is_real(call->out.dtype);
    const int depth = c->depth;
    wf_ctext_loops(c, &call->out.shape, 'i');
    wf_ctext_line(c, "%s sum = (%s)x0[%s];", whole ? "unsigned long" : type,
                  whole ? "unsigned long" : type, wf_ctext_index(&call->in[0], 'i', 0).s);
    for (int k = 1; k < call->n_in; k++)
        wf_ctext_line(c, "sum += (%s)x%d[%s];", whole ? "unsigned long" : type, k,
                      wf_ctext_index(&call->in[k], 'i', 0).s);
    wf_ctext_line(c, "y[%s] = (%s)sum;", wf_ctext_index(&call->out, 'i', 0).s, type);
    wf_ctext_close(c, depth);
    return true;
}

/* Conversions that no group has: to integers, rounded and saturated, and between integers. */
static bool write_cast(wf_ctext *c, const wf_call *call) {
    const wf_dtype from = call->in[0].dtype, to = call->out.dtype;
    if (from == WF_F16 || to == WF_F16 || from == WF_BF16 || to == WF_BF16) return false;
    const int depth = c->depth;
    const char *type = wf_ctext_type(to);
    wf_ctext_loops(c, &call->out.shape, 'i');
    wf_ctext_line(c, "const double v = (double)x0[%s];", wf_ctext_index(&call->in[0], 'i', 0).s);
    const wf_ctext_expr at = wf_ctext_index(&call->out, 'i', 0);
    static const char *const range[WF_N_DTYPE][2] = {
        [WF_I32] = {"-2147483647 - 1", "2147483647"},
        [WF_I64] = {"-9223372036854775807L - 1", "9223372036854775807L"},
        [WF_U8] = {"0", "255"}};
    if (to == WF_BOOL) {
        wf_ctext_line(c, "y[%s] = v != 0;", at.s);
    } else if (range[to][0]) {
        const char *lo = range[to][0], *hi = range[to][1];
        wf_ctext_line(c, "y[%s] = (%s)(v != v ? 0", at.s, type);
        wf_ctext_line(c, "    : v <= (double)(%s) ? %s : v >= (double)(%s) ? %s", lo, lo, hi, hi);
        wf_ctext_line(c, "    : (%s)__builtin_rint(v));", type);
    } else {
        wf_ctext_line(c, "y[%s] = (%s)v;", at.s, type);
    }
    wf_ctext_close(c, depth);
    return true;
}

/* --- the table -------------------------------------------------------------------------------- */

bool wf_ctext_call(wf_ctext *c, const wf_call *call) {
    static const struct {
        const wf_op *op;
        wf_ctext_fn *write;
    } table[] = {
        {&wf_op_stop_gradient, write_identity}, {&wf_op_pad, write_pad},
        {&wf_op_gather, write_gather},          {&wf_op_take_along, write_gather},
        {&wf_op_scatter_add, write_scatter},    {&wf_op_put_along, write_scatter},
        {&wf_op_one_hot, write_one_hot},        {&wf_op_full, write_full},
        {&wf_op_arange, write_arange},          {&wf_op_eye, write_diagonal},
        {&wf_op_tril_mask, write_diagonal},     {&wf_op_add_n, write_add_n},
        {&wf_op_cast, write_cast},              {&wf_op_contract, wf_ctext_contract},
        {&wf_op_pack, wf_ctext_pack},           {&wf_op_sum, wf_ctext_reduce},
        {&wf_op_prod, wf_ctext_reduce},         {&wf_op_max, wf_ctext_reduce},
        {&wf_op_min, wf_ctext_reduce},          {&wf_op_moments, wf_ctext_moments},
        {&wf_op_argmax, wf_ctext_argmax},       {&wf_op_cumsum, wf_ctext_cumsum},
        {&wf_op_argsort, wf_ctext_argsort},     {&wf_op_max_pool, wf_ctext_max_pool},
        {&wf_op_max_pool_index, wf_ctext_max_pool}, {&wf_op_avg_pool, wf_ctext_avg_pool},
        {&wf_op_avg_pool_grad, wf_ctext_avg_pool_grad}, {&wf_op_resize, wf_ctext_resize},
        {&wf_op_resize_grad, wf_ctext_resize_grad}, {&wf_op_uniform, wf_ctext_random},
        {&wf_op_normal, wf_ctext_random},       {&wf_op_bernoulli, wf_ctext_random},
    };
    for (size_t i = 0; i < WF_COUNT(table); i++)
        if (table[i].op == call->op) return table[i].write(c, call);
    if (call->op->kind == WF_KIND_VIEW && call->op->view) return write_view(c, call);
    return call->op->kind == WF_KIND_PLACE && call->op->place && write_place(c, call);
}
