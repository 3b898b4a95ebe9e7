/* How the columns of the table are found.
 *   operands  the operation's samples are inferred again with other dtypes in place of each of
 *             theirs; those that the shape rule takes stand in the table
 *   result    the dtypes it gives then, "=" where they are those of the operands
 *   gradient  of a row of ops.def, its text; of others, the operations that the gradient rule
 *             emits for the samples; else the reason why there is none
 *   fusion    from kind and kernel; told in the README */
#include "tests/op_table.h"

#include <stdbool.h>
#include <string.h>

#include "tensor/elementwise.h"
#include "tests/sampler.h"

enum { MOST_IN = 8, NAMES = 24, MOST_SAMPLES = 400 };

typedef struct row {
    unsigned in[MOST_IN];          /* dtypes that operand i may have, as bits */
    unsigned out;                  /* dtypes of results */
    int n_in;
    bool flows;                    /* a gradient to some operand */
    const char *name[NAMES];       /* operations in gradients */
    int n_names;
} row;

static const struct { const char *name, *text; } formulas[] = {
#define WF_EW1(name, class, value, ga, lo, hi) {#name, #ga},
#define WF_EW2(name, class, value, ga, gb, lo, hi) {#name, #ga ";  " #gb},
#define WF_EW3(name, class, value, ga, gb, gc, lo, hi) {#name, #ga ";  " #gb ";  " #gc},
#include "tensor/ops.def"
#undef WF_EW1
#undef WF_EW2
#undef WF_EW3
};

/* The shape rule with dtype t for the operands whose bit is in `which`. */
static bool takes(const wf_node *y, const wf_type *in, unsigned which, wf_dtype t, wf_dtype *out) {
    wf_type type[MOST_IN];
    wf_infer q = {.op = y->op, .attr = y->attr, .n_in = (int)y->n_in, .in = type};
    for (int i = 0; i < q.n_in; i++) {
        type[i] = in[i];
        if (which >> i & 1) type[i].dtype = t;
    }
    const bool ok = y->op->infer(&q);
    *out = q.out.dtype;
    return ok;
}

/* Operands that share a dtype change together; then each alone. */
static void look_at_types(row *r, const wf_graph *g, uint32_t id) {
    const wf_node *y = wf_graph_node(g, id);
    wf_type in[MOST_IN];
    const int n = (int)y->n_in < MOST_IN ? (int)y->n_in : 0;
    for (int i = 0; i < n; i++) in[i] = wf_graph_node(g, wf_node_in(g, id)[i])->type;
    if (n > r->n_in) r->n_in = n;
    for (int i = 0; i < n; i++) {
        unsigned alike = 0;
        for (int k = 0; k < n; k++) alike |= (unsigned)(in[k].dtype == in[i].dtype) << k;
        for (int alone = 0; alone < 2; alone++)
            for (int t = 0; t < WF_N_DTYPE; t++) {
                wf_dtype out;
                if (!takes(y, in, alone ? 1u << i : alike, (wf_dtype)t, &out)) continue;
                r->in[i] |= 1u << t;
                r->out |= 1u << out;
            }
    }
    r->out |= 1u << y->type.dtype;
}

static void add_name(row *r, const char *name) {
    for (int i = 0; i < r->n_names; i++)
        if (strcmp(r->name[i], name) == 0) return;
    if (r->n_names < NAMES) r->name[r->n_names++] = name;
}

/* Emits the gradient of node id with respect to all its operands, and notes the operations. */
static void look_at_gradient(row *r, wf_graph *g, uint32_t id) {
    const wf_node y = *wf_graph_node(g, id);
    if (!y.op->grad || !wf_dtype_is_real(y.type.dtype) || y.n_in == 0 || y.n_in > MOST_IN) return;
    wf_tensor x[MOST_IN], gx[MOST_IN] = {{0}};
    bool wanted[MOST_IN];
    for (uint32_t i = 0; i < y.n_in; i++) {
        x[i] = wf_handle(g, wf_node_in(g, id)[i]);
        wanted[i] = wf_dtype_is_real(wf_dtype_of(x[i]));
    }
    const wf_tensor cotangent = wf_leaf_own(g, "g", y.type.dtype, y.type.shape, NULL);
    const uint32_t before = wf_graph_size(g);
    y.op->grad(&(wf_grad_call){.graph = g, .y = wf_handle(g, id), .g = cotangent, .attr = y.attr,
                               .n_in = (int)y.n_in, .x = x, .wanted = wanted, .gx = gx});
    for (uint32_t i = 0; i < y.n_in; i++) r->flows = r->flows || wf_ok(gx[i]);
    for (uint32_t i = before; i < wf_graph_size(g); i++) {
        const wf_node *z = wf_graph_node(g, i);
        if (z->op->kind != WF_KIND_LEAF) add_name(r, z->op->name);
    }
}

static row look(const wf_op *op) {
    row r = {0};
    for (int i = 0; op->sample && i < MOST_SAMPLES; i++) {
        test_sampler s;
        sampler_init(&s, i % 2 ? WF_F64 : WF_F32, 1);
        const wf_tensor y = op->sample(&s.base, i / 2);
        const bool more = wf_ok(y);
        /* A sample may wrap the operation in others. */
        for (uint32_t id = wf_graph_size(s.base.graph); more && id-- > 1;)
            if (wf_graph_node(s.base.graph, id)->op == op) {
                look_at_types(&r, s.base.graph, id);
                look_at_gradient(&r, s.base.graph, id);
                break;
            }
        sampler_free(&s);
        if (!more) break;
    }
    return r;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void write_types(FILE *f, unsigned set) {
    const unsigned real = 1u << WF_F32 | 1u << WF_F64, all = (1u << WF_N_DTYPE) - 1;
    if (set == all) {
        fprintf(f, "any");
        return;
    }
    const char *space = "";
    if ((set & real) == real) fprintf(f, "real"), set &= ~real, space = " ";
    for (int t = 0; t < WF_N_DTYPE; t++)
        if (set >> t & 1) fprintf(f, "%s%s", space, wf_dtype_name((wf_dtype)t)), space = " ";
}

static void write_operands(FILE *f, const row *r, const wf_op *op) {
    if (r->n_in == 0) fprintf(f, op->max_in == 0 ? "none" : "any (%d)", op->max_in);
    bool alike = true;
    for (int i = 1; i < r->n_in; i++) alike = alike && r->in[i] == r->in[0];
    for (int i = 0; i < (alike ? r->n_in > 0 : r->n_in); i++) {
        if (i) fprintf(f, ", ");
        write_types(f, r->in[i]);
    }
    if (alike && op->max_in < 0) fprintf(f, ", ..");
    else if (alike && r->n_in > 1) fprintf(f, " (%d)", r->n_in);
}

static void write_gradient(FILE *f, const row *r, const wf_op *op) {
    if (!op->grad) {
        fprintf(f, "none: %s", op->no_grad_reason);
        return;
    }
    for (size_t i = 0; i < WF_COUNT(formulas); i++)
        if (strcmp(formulas[i].name, op->name) == 0) {
            fprintf(f, "`%s`", formulas[i].text);
            return;
        }
    if (!r->flows) fprintf(f, "`NONE`");
    else if (!r->n_names) fprintf(f, "`g`");
    for (int i = 0; i < r->n_names; i++) fprintf(f, "%s%s", i ? ", " : "by ", r->name[i]);
}

/* The dtype is an attribute. */
static bool is_asked_for(const wf_op *op) {
    for (const wf_field *x = op->fields; x && x->kind != WF_FIELD_END; x++)
        if (x->kind == WF_FIELD_DTYPE32 || x->kind == WF_FIELD_DTYPE64) return true;
    return op->kind == WF_KIND_LEAF;
}

static const char *fusion(const wf_op *op) {
    static const char *const text[] = {
        [WF_KIND_LEAF] = "-", [WF_KIND_ELEMENTWISE] = "group", [WF_KIND_REDUCE] = "reduction",
        [WF_KIND_VIEW] = "view", [WF_KIND_PLACE] = "place", [WF_KIND_CONTRACT] = "contraction",
        [WF_KIND_OPAQUE] = "alone", [WF_KIND_ASSIGN] = "assignment"};
    return text[op->kind];
}

void op_table_write(FILE *f) {
    fprintf(f, "| operation | operands | result | gradient | fusion |\n|---|---|---|---|---|\n");
    for (const wf_op *const *op = wf_all_ops(); *op; op++) {
        const row r = look(*op);
        unsigned in = 0;
        for (int i = 0; i < r.n_in; i++) in |= r.in[i];
        fprintf(f, "| `%s` | ", (*op)->name);
        write_operands(f, &r, *op);
        fprintf(f, " | ");
        if (is_asked_for(*op)) fprintf(f, "as asked");
        else if (r.out == in) fprintf(f, "=");
        else write_types(f, r.out);
        fprintf(f, " | ");
        write_gradient(f, &r, *op);
        const wf_fast *fast = (*op)->fast;
        fprintf(f, " | %s%s |\n", fusion(*op), fast && fast->by_rows ? ", by rows" : "");
    }
}
