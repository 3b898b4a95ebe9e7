/* C functions as operations; see cfunction.h. The only file that includes <ffi.h>.
 *
 * A wf_cfunction carries its own descriptor, whose eval finds the function again from call->op. The
 * call interface is prepared once, at registration; a call fills an array of argument addresses. */
#include "tensor/cfunction.h"

#include <ctype.h>
#include <ffi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/graph.h"
#include "tensor/size.h"

enum { max_params = 16, max_name = 32 };

/* Where an argument of the call comes from. */
typedef enum source_kind { FROM_OPERAND, FROM_OUT, FROM_COUNT, FROM_EXTENT } source_kind;

typedef struct param {
    wf_dtype dtype;
    bool array;
    char name[max_name];
    source_kind source;
    int operand; /* FROM_OPERAND; FROM_COUNT and FROM_EXTENT: of which array, -1 is out */
    int axis;    /* FROM_EXTENT */
} param;

struct wf_cfunction {
    wf_op op; /* first: eval gets &f->op */
    wf_fast fast;
    wf_anyfn *fn;
    ffi_cif cif;
    ffi_type *type[max_params];
    param param[max_params];
    int n_param, n_in;
    wf_dtype in[max_params], result;
    bool rank0[max_params]; /* operand i is a scalar of the array form */
    bool scalar_form;
    wf_cfunction_opt o;
    char *text; /* name and expr */
};

/* --- the signature ---------------------------------------------------------------------------- */

typedef struct reader {
    const char *text, *at;
} reader;

static void skip_space(reader *r) {
    while (isspace((unsigned char)*r->at)) r->at++;
}

static bool accept(reader *r, const char *token) {
    skip_space(r);
    const size_t n = strlen(token);
    if (strncmp(r->at, token, n) != 0) return false;
    const bool word = isalnum((unsigned char)token[0]);
    if (word && (isalnum((unsigned char)r->at[n]) || r->at[n] == '_')) return false;
    r->at += n;
    return true;
}

static wf_status syntax(const reader *r, const char *want) {
    return wf_fail(WF_ARGUMENT, "signature \"%s\", column %d: expected %s", r->text,
                   (int)(r->at - r->text) + 1, want);
}

static const struct {
    wf_dtype dtype;
    ffi_type *ffi;
} types[] = {{WF_F32, &ffi_type_float},  {WF_F64, &ffi_type_double}, {WF_I32, &ffi_type_sint32},
             {WF_I64, &ffi_type_sint64}, {WF_U8, &ffi_type_uint8},   {WF_BOOL, &ffi_type_uint8}};

static ffi_type *ffi_of(wf_dtype t) {
    for (size_t i = 0; i < WF_COUNT(types); i++)
        if (types[i].dtype == t) return types[i].ffi;
    return &ffi_type_void;
}

static bool read_type(reader *r, wf_dtype *out) {
    for (size_t i = 0; i < WF_COUNT(types); i++)
        if (accept(r, wf_dtype_name(types[i].dtype))) {
            *out = types[i].dtype;
            return true;
        }
    return false;
}

static wf_status read_param(reader *r, wf_cfunction *f) {
    if (f->n_param == max_params) return syntax(r, "at most 16 parameters");
    param *p = &f->param[f->n_param];
    accept(r, "const");
    if (!read_type(r, &p->dtype)) return syntax(r, "a type: f32, f64, i32, i64, u8 or bool");
    p->array = accept(r, "[]");
    skip_space(r);
    size_t n = 0;
    while (isalnum((unsigned char)*r->at) || *r->at == '_') {
        if (n + 1 == max_name) return syntax(r, "a name of at most 31 characters");
        p->name[n++] = *r->at++;
    }
    for (int i = 0; n && i < f->n_param; i++)
        if (strcmp(f->param[i].name, p->name) == 0) return syntax(r, "distinct names");
    f->n_param++;
    return WF_OK;
}

static wf_status read_signature(wf_cfunction *f, const char *text) {
    reader r = {text, text};
    f->scalar_form = !accept(&r, "void");
    if (f->scalar_form && !read_type(&r, &f->result)) return syntax(&r, "void or a type");
    if (!accept(&r, "(")) return syntax(&r, "(");
    if (!accept(&r, ")")) {
        do {
            const wf_status s = read_param(&r, f);
            if (s) return s;
        } while (accept(&r, ","));
        if (!accept(&r, ")")) return syntax(&r, ", or )");
    }
    skip_space(&r);
    return *r.at ? syntax(&r, "the end") : WF_OK;
}

/* --- what each parameter means ---------------------------------------------------------------- */

static wf_status add_operand(wf_cfunction *f, param *p, bool rank0) {
    p->source = FROM_OPERAND;
    p->operand = f->n_in;
    f->rank0[f->n_in] = rank0;
    f->in[f->n_in++] = p->dtype;
    return WF_OK;
}

/* Index of the array named by text[0 .. n): an operand, -1 for out, -2 for none. */
static int find_array(const wf_cfunction *f, const char *text, size_t n) {
    for (int i = 0; i < f->n_param; i++) {
        const param *p = &f->param[i];
        if (p->array && strlen(p->name) == n && memcmp(p->name, text, n) == 0)
            return p->source == FROM_OUT ? -1 : p->operand;
    }
    return -2;
}

static wf_status bind_scalar(wf_cfunction *f, param *p) {
    const size_t n = strlen(p->name);
    p->source = FROM_COUNT;
    p->operand = -1;
    if (wf_dtype_is_real(p->dtype)) return add_operand(f, p, true);
    if (p->dtype == WF_I64 && strcmp(p->name, "n") == 0) return WF_OK;
    if (p->dtype == WF_I64 && n > 2 && memcmp(p->name, "n_", 2) == 0 &&
        (p->operand = find_array(f, p->name + 2, n - 2)) != -2)
        return WF_OK;
    if (p->dtype == WF_I64 && n > 2 && p->name[n - 2] == '_' && p->name[n - 1] >= '0' &&
        p->name[n - 1] <= '7' && (p->operand = find_array(f, p->name, n - 2)) != -2) {
        p->source = FROM_EXTENT;
        p->axis = p->name[n - 1] - '0';
        return WF_OK;
    }
    return wf_fail(WF_ARGUMENT, "%s: no meaning for parameter \"%s\": sizes are i64 and called n, "
                                "n_ARRAY or ARRAY_0; real scalars are operands",
                   f->op.name, p->name);
}

static wf_status bind_params(wf_cfunction *f) {
    int n_out = 0;
    for (int i = 0; i < f->n_param; i++) {
        param *p = &f->param[i];
        if (f->scalar_form && p->array)
            return wf_fail(WF_ARGUMENT,
                           "%s: a function that returns a value takes scalars only; an "
                           "array function returns void",
                           f->op.name);
        if (f->scalar_form) {
            add_operand(f, p, false);
        } else if (p->array && strcmp(p->name, "out") == 0) {
            p->source = FROM_OUT;
            f->result = p->dtype;
            n_out++;
        } else if (p->array) {
            add_operand(f, p, false);
        }
    }
    if (!f->scalar_form && n_out != 1)
        return wf_fail(WF_ARGUMENT,
                       "%s: the result is an array parameter named \"out\"; there is none",
                       f->op.name);
    for (int i = 0; i < f->n_param; i++) {
        const wf_status s =
            f->scalar_form || f->param[i].array ? WF_OK : bind_scalar(f, &f->param[i]);
        if (s) return s;
    }
    if (f->n_in == 0) return wf_fail(WF_ARGUMENT, "%s: no operands", f->op.name);
    return WF_OK;
}

/* --- infer ------------------------------------------------------------------------------------ */

static const wf_cfunction *function_of(const wf_op *op) { return (const wf_cfunction *)op; }

static bool infer(wf_infer *q) {
    const wf_cfunction *f = function_of(q->op);
    wf_shape shape[max_params];
    for (int i = 0; i < f->n_in; i++) {
        if (q->in[i].dtype != f->in[i])
            return wf_infer_fail(q, "operand %d must be %s", i, wf_dtype_name(f->in[i]));
        if (f->rank0[i] && q->in[i].shape.rank != 0)
            return wf_infer_fail(q, "operand %d must have rank 0", i);
        shape[i] = q->in[i].shape;
    }
    q->out.dtype = f->result;
    if (f->scalar_form) {
        wf_shape s = shape[0];
        for (int i = 1; i < f->n_in; i++)
            if (!wf_broadcast(&s, &shape[i], &s))
                return wf_infer_fail(q, "the operands do not broadcast");
        q->out.shape = s;
        return true;
    }
    if (!f->o.shape) {
        q->out.shape = shape[f->o.like];
        return true;
    }
    wf_shape s = WF_SCALAR;
    if (!f->o.shape(f->o.user, shape, f->n_in, &s))
        return wf_infer_fail(q, "its shape rule refuses the operands");
    q->out.shape = wf_shape_make(s.rank, s.dim);
    return true;
}

/* --- eval ------------------------------------------------------------------------------------- */

/* Calls once, data[i] being the array (or the address of the scalar) of operand i. */
static void call_arrays(const wf_call *c, void *const *data, void *out) {
    const wf_cfunction *f = function_of(c->op);
    void *pointer[max_params], *argument[max_params];
    int64_t number[max_params];
    for (int i = 0; i < f->n_param; i++) {
        const param *p = &f->param[i];
        const wf_shape *s = p->operand < 0 ? &c->out.shape : &c->in[p->operand].shape;
        argument[i] = p->array ? (void *)&pointer[i] : (void *)&number[i];
        if (p->source == FROM_OUT) {
            pointer[i] = out;
        } else if (p->source == FROM_OPERAND) {
            pointer[i] = data[p->operand];
            if (!p->array) argument[i] = data[p->operand];
        } else {
            number[i] = p->source == FROM_COUNT ? wf_shape_count(s)
                        : p->axis < s->rank     ? s->dim[p->axis]
                                                : 1;
        }
    }
    ffi_cif cif = f->cif;
    ffi_call(&cif, f->fn, NULL, argument);
}

/* Elements [first, last) of the scalar form, in row-major order. */
static void map_elements(const wf_call *c, int64_t first, int64_t last) {
    const wf_cfunction *f = function_of(c->op);
    const wf_shape *s = &c->out.shape;
    ffi_cif cif = f->cif;
    for (int64_t e = first; e < last; e++) {
        int64_t idx[WF_MAX_RANK] = {0}, rest = e;
        for (int i = s->rank - 1; i >= 0; rest /= s->dim[i--]) idx[i] = rest % s->dim[i];
        void *argument[max_params];
        for (int k = 0; k < f->n_in; k++) {
            const wf_array *a = &c->in[k];
            const int lead = s->rank - a->shape.rank;
            int64_t o = 0;
            for (int i = 0; i < a->shape.rank; i++)
                if (a->shape.dim[i] != 1) o += idx[lead + i] * a->stride[i];
            argument[k] = wf_at(a, o);
        }
        union { /* libffi widens small integers to ffi_arg */
            ffi_arg small;
            double wide;
            int64_t whole;
        } result;
        ffi_call(&cif, f->fn, &result, argument);
        memcpy(wf_at(&c->out, wf_offset(&c->out, idx)), &result, wf_dtype_bytes(c->out.dtype));
    }
}

/* Operands that are not dense are copied: the one evaluator that may allocate, since the function
 * asks for plain arrays. A program gives it dense ones. */
static void eval(const wf_call *c) {
    const wf_cfunction *f = function_of(c->op);
    if (f->scalar_form) {
        map_elements(c, 0, wf_shape_count(&c->out.shape));
        return;
    }
    void *data[max_params + 1], *copy[max_params + 1] = {NULL};
    bool ok = true;
    for (int i = 0; i <= c->n_in; i++) {
        const wf_array *a = i < c->n_in ? &c->in[i] : &c->out;
        data[i] = a->data;
        size_t bytes = 0;
        if (wf_array_is_dense(a) || !wf_type_bytes(a->dtype, &a->shape, &bytes)) continue;
        data[i] = copy[i] = malloc(bytes + 1);
        ok &= copy[i] != NULL;
        const wf_array dense = wf_array_dense(copy[i], a->dtype, &a->shape);
        if (copy[i] && i < c->n_in) wf_array_copy(&dense, a);
    }
    if (ok) call_arrays(c, data, data[c->n_in]);
    const wf_array dense = wf_array_dense(copy[c->n_in], c->out.dtype, &c->out.shape);
    if (ok && copy[c->n_in]) wf_array_copy(&c->out, &dense);
    for (int i = 0; i <= c->n_in; i++) free(copy[i]);
}

/* --- gradient: grad[i] called with operands, result and cotangent ----------------------------- */

static void grad(const wf_grad_call *c) {
    const wf_cfunction *f = function_of(wf_graph_node(c->graph, c->y.id)->op);
    wf_tensor x[max_params + 2];
    for (int i = 0; i < c->n_in; i++) x[i] = c->x[i];
    x[c->n_in] = c->y;
    x[c->n_in + 1] = c->g;
    for (int i = 0; i < c->n_in; i++) {
        if (!c->wanted[i]) continue;
        const wf_cfunction *d = i < f->o.n_grad ? f->o.grad[i] : NULL;
        c->gx[i] = d ? wf_cfunction_call(d, x, c->n_in + 2) : WF_NONE;
        if (d && f->scalar_form) c->gx[i] = wf_sum_to(c->gx[i], wf_shape_of_tensor(c->x[i]));
    }
}

/* --- kernel: the function itself, on dense arrays; the scalar form in pieces of 4096 elements - */

enum { piece = 4096 };

static bool applicable(const wf_call *c) {
    if (function_of(c->op)->scalar_form) return true;
    for (int i = 0; i < c->n_in; i++)
        if (!wf_array_is_dense(&c->in[i])) return false;
    return wf_array_is_dense(&c->out);
}

static int64_t pieces(const wf_call *c, int phase) {
    (void)phase;
    const int64_t n = wf_shape_count(&c->out.shape);
    return function_of(c->op)->scalar_form ? (n + piece - 1) / piece : 1;
}

static void run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared) {
    (void)phase, (void)scratch, (void)shared;
    const int64_t n = wf_shape_count(&c->out.shape);
    if (function_of(c->op)->scalar_form) {
        map_elements(c, first * piece, last * piece < n ? last * piece : n);
    } else if (last > first) {
        void *data[max_params];
        for (int i = 0; i < c->n_in; i++) data[i] = c->in[i].data;
        call_arrays(c, data, c->out.data);
    }
}

/* --- descriptor and constructor --------------------------------------------------------------- */

static wf_status check_options(const wf_cfunction *f) {
    const char *name = f->op.name;
    const wf_cfunction_opt *o = &f->o;
    if (o->expr && !f->scalar_form)
        return wf_fail(WF_ARGUMENT, "%s: an expression belongs to the scalar form", name);
    if (o->like < 0 || o->like >= f->n_in)
        return wf_fail(WF_ARGUMENT, "%s: like = %d, there are %d operands", name, o->like, f->n_in);
    if (!o->grad) return WF_OK;
    if (o->n_grad != f->n_in)
        return wf_fail(WF_ARGUMENT, "%s: %d gradients for %d operands", name, o->n_grad, f->n_in);
    for (int i = 0; i < o->n_grad; i++) {
        const wf_cfunction *d = o->grad[i];
        if (!d) continue;
        bool fits = d->n_in == f->n_in + 2 && d->result == f->in[i] &&
                    d->scalar_form == f->scalar_form && d->in[f->n_in] == f->result &&
                    d->in[f->n_in + 1] == f->result;
        for (int k = 0; fits && k < f->n_in; k++) fits = d->in[k] == f->in[k];
        if (!fits)
            return wf_fail(WF_ARGUMENT,
                           "%s: gradient %d must take the operands, the result and its "
                           "cotangent, and return operand %d's type",
                           name, i, i);
    }
    return WF_OK;
}

static wf_status prepare(wf_cfunction *f) {
    for (int i = 0; i < f->n_param; i++)
        f->type[i] = f->param[i].array ? &ffi_type_pointer : ffi_of(f->param[i].dtype);
    ffi_type *result = f->scalar_form ? ffi_of(f->result) : &ffi_type_void;
    if (ffi_prep_cif(&f->cif, FFI_DEFAULT_ABI, (unsigned)f->n_param, result, f->type) != FFI_OK)
        return wf_fail(WF_ARGUMENT, "%s: libffi refuses the signature", f->op.name);
    return WF_OK;
}

static void describe(wf_cfunction *f) {
    f->fast = (wf_fast){.applicable = applicable, .pieces = pieces, .run = run};
    f->op.kind = f->scalar_form ? WF_KIND_ELEMENTWISE : WF_KIND_OPAQUE;
    f->op.min_in = f->op.max_in = f->n_in;
    f->op.infer = infer;
    f->op.eval = eval;
    f->op.fast = &f->fast;
    if (f->o.grad)
        f->op.grad = grad;
    else
        f->op.no_grad_reason = "the C function was registered without gradient functions";
}

wf_status wf_cfunction_new(wf_cfunction **out, const char *name, const char *signature,
                           wf_anyfn *fn, wf_cfunction_opt o) {
    if (out) *out = NULL;
    if (!out || !name || !*name || !signature || !fn)
        return wf_fail(WF_ARGUMENT, "wf_cfunction_new: %s is NULL or empty",
                       !out ? "out" : !name || !*name ? "name" : !signature ? "signature" : "fn");
    wf_cfunction *f = calloc(1, sizeof *f);
    const size_t n_name = strlen(name) + 1, n_expr = o.expr ? strlen(o.expr) + 1 : 0;
    if (!f || !(f->text = malloc(n_name + n_expr))) {
        free(f);
        return wf_fail(WF_MEMORY, "out of memory for C function \"%s\"", name);
    }
    memcpy(f->text, name, n_name);
    if (o.expr) memcpy(f->text + n_name, o.expr, n_expr);
    f->op.name = f->text;
    f->op.expr = o.expr ? f->text + n_name : NULL;
    f->o = o;
    f->fn = fn;
    wf_status s = read_signature(f, signature);
    if (s == WF_OK) s = bind_params(f);
    if (s == WF_OK) s = check_options(f);
    if (s == WF_OK) s = prepare(f);
    if (s) {
        wf_cfunction_free(f);
        return s;
    }
    describe(f);
    *out = f;
    return WF_OK;
}

void wf_cfunction_free(wf_cfunction *f) {
    if (!f) return;
    free(f->text);
    free(f);
}

const wf_op *wf_cfunction_op(const wf_cfunction *f) { return f ? &f->op : NULL; }

wf_tensor wf_cfunction_call(const wf_cfunction *f, const wf_tensor *x, int n) {
    wf_graph *g = NULL;
    for (int i = 0; !g && i < n; i++) g = x[i].graph;
    if (!g) return (wf_tensor){NULL, 0};
    if (!f) return wf_graph_fail(g, "wf_cfunction_call: the function is NULL");
    return wf_emit(g, &f->op, NULL, 0, x, n);
}
