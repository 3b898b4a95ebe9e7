/* Reading graphs as text; see text.h. One pass over the text, one node a line, no recursion.
 *
 * Nothing is trusted: types are inferred again by the shape rules and must be those that are
 * written; attributes are made by the operations' own readers and pass the shape rules like any
 * other; memory is bounded by the size of the text and by most_bytes. */
#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/attr.h"
#include "tensor/graph_struct.h"
#include "tensor/philox.h"
#include "tensor/size.h"
#include "tensor/text.h"

/* One line that is read. */
typedef struct line {
    size_t type_at;  /* where the type stands, for messages */
    uint32_t number; /* the id in the text */
    wf_type type;
    const wf_op *op; /* NULL: a leaf */
    wf_leaf_kind leaf;
    bool values;     /* of the leaf, in parser.data */
    bool named;      /* parser.name */
    int n_in;
} line;

typedef struct parser {
    wf_scan s;
    wf_parse_opt o;
    wf_graph *g;
    uint32_t *number; /* (n) ids in the text by ids in the graph; ascending */
    uint32_t n, number_cap;
    wf_tensor *in;    /* operands of the line */
    wf_type *in_type;
    uint32_t in_cap, in_type_cap;
    wf_attr_parse attr;
    wf_text name, scope;
    char *data;       /* values of a leaf */
    size_t bytes;     /* of all leaves */
    wf_tensor *output;
    uint32_t n_output, output_cap;
    bool no_memory;
} parser;

static bool out_of_memory(parser *p) {
    p->no_memory |= !p->s.failed;
    return wf_scan_fail(&p->s, p->s.at, "out of memory");
}

/* --- types and ids ---------------------------------------------------------------------------- */

static bool read_dtype(parser *p, wf_dtype *out) {
    char word[16];
    wf_scan_blanks(&p->s);
    const size_t at = p->s.at;
    if (!wf_scan_word(&p->s, word, sizeof word, "a type like f32[8,64]")) return false;
    for (int t = 0; t < WF_N_DTYPE; t++)
        if (strcmp(word, wf_dtype_name((wf_dtype)t)) == 0) {
            *out = (wf_dtype)t;
            return true;
        }
    return wf_scan_fail(&p->s, at, "there is no dtype %s: f32 f64 bf16 f16 i32 i64 u8 bool", word);
}

static bool read_type(parser *p, wf_type *out) {
    wf_scan *s = &p->s;
    int64_t dim[WF_MAX_RANK];
    int rank = 0;
    size_t bytes;
    wf_scan_blanks(s);
    const size_t at = s->at;
    memset(out, 0, sizeof *out);
    if (!read_dtype(p, &out->dtype) || !wf_scan_expect(s, "[")) return false;
    if (!wf_scan_accept(s, "]")) {
        do {
            if (rank == WF_MAX_RANK)
                return wf_scan_fail(s, s->at, "at most %d axes are possible", WF_MAX_RANK);
            if (!wf_scan_i64(s, 0, INT64_MAX, &dim[rank++])) return false;
        } while (wf_scan_accept(s, ","));
        if (!wf_scan_expect(s, "]")) return false;
    }
    out->shape = wf_shape_make(rank, dim);
    return wf_type_bytes(out->dtype, &out->shape, &bytes) ||
           wf_scan_fail(s, at, "a value of this type is too large");
}

static bool read_id(parser *p, uint32_t *id) {
    int64_t v;
    if (!wf_scan_expect(&p->s, "%") || !wf_scan_i64(&p->s, 1, UINT32_MAX / 4, &v)) return false;
    *id = (uint32_t)v;
    return true;
}

/* A value of an earlier line. */
static bool read_value(parser *p, wf_tensor *out) {
    uint32_t id;
    wf_scan_blanks(&p->s);
    const size_t at = p->s.at;
    if (!read_id(p, &id)) return false;
    uint32_t lo = 1, hi = p->n;
    if (id < p->n && p->number[id] == id) lo = hi = id; /* numbered without gaps */
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (p->number[mid] < id) lo = mid + 1;
        else hi = mid;
    }
    if (lo >= p->n || p->number[lo] != id)
        return wf_scan_fail(&p->s, at, "there is no value %%%u above", id);
    *out = wf_handle(p->g, lo);
    return true;
}

/* --- leaves ----------------------------------------------------------------------------------- */

/* Numbers drawn from a hash: in [-1, 1) for reals, small for integers. */
static void draw(char *to, wf_dtype dtype, int64_t n, uint64_t hash) {
    const size_t each = wf_dtype_bytes(dtype);
    const bool real = dtype < WF_I32;
    for (int64_t i = 0; i < n; i++) {
        const wf_philox r = wf_philox4x32((wf_philox){{(uint32_t)i, (uint32_t)(i >> 32), 0, 0}},
                                          (uint32_t)hash, (uint32_t)(hash >> 32));
        wf_store(dtype, to + (size_t)i * each, real ? r.v[0] * 0x1p-31 - 1 : r.v[0] & 1);
    }
}

static bool read_hash(parser *p, const line *l, int64_t n) {
    uint64_t hash;
    const size_t at = p->s.at;
    if (!wf_scan_expect(&p->s, "{") || !wf_scan_expect(&p->s, "hash") ||
        !wf_scan_expect(&p->s, "=") || !wf_scan_u64(&p->s, &hash) || !wf_scan_expect(&p->s, "}"))
        return false;
    if (!p->o.stand_in)
        return wf_scan_fail(&p->s, at, "the %" PRId64 " values are left out; write the text with "
                            "all of them, or read it with stand-ins", n);
    draw(p->data, l->type.dtype, n, hash);
    return true;
}

/* [1,0*5,2]: exactly n elements. */
static bool read_elements(parser *p, const line *l, int64_t n) {
    const size_t each = wf_dtype_bytes(l->type.dtype), at = p->s.at;
    int64_t i = 0, run;
    if (!wf_scan_expect(&p->s, "[")) return false;
    if (n == 0 || wf_scan_is(&p->s, "]"))
        return wf_scan_expect(&p->s, "]") &&
               (n == 0 || wf_scan_fail(&p->s, at, "no values, expected %" PRId64, n));
    do {
        char *to = p->data + (size_t)i * each;
        if (i == n) return wf_scan_fail(&p->s, p->s.at, "more values than %" PRId64, n);
        if (!wf_scan_value(&p->s, l->type.dtype, to)) return false;
        run = 1;
        if (wf_scan_accept(&p->s, "*") && !wf_scan_i64(&p->s, 1, n - i, &run)) return false;
        for (int64_t k = 1; k < run; k++) memcpy(to + (size_t)k * each, to, each);
        i += run;
    } while (wf_scan_accept(&p->s, ","));
    if (!wf_scan_expect(&p->s, "]")) return false;
    return i == n ||
           wf_scan_fail(&p->s, at, "%" PRId64 " values, expected %" PRId64, i, n);
}

/* Takes the bytes of a leaf from what is left of most_bytes. */
static bool take_bytes(parser *p, const line *l, size_t *bytes) {
    const size_t most = p->o.most_bytes ? p->o.most_bytes : (size_t)1 << 30;
    wf_type_bytes(l->type.dtype, &l->type.shape, bytes);
    if (*bytes > most - p->bytes)
        return wf_scan_fail(&p->s, l->type_at, "leaves and constants have more than %zu bytes",
                            most);
    p->bytes += *bytes;
    return true;
}

static bool read_leaf(parser *p, line *l) {
    size_t bytes;
    l->op = NULL;
    if (l->leaf == WF_LEAF_INPUT || (l->leaf == WF_LEAF_BOUND && wf_scan_is(&p->s, "\""))) {
        if (!wf_scan_string(&p->s, &p->name)) return false;
        l->named = true;
    }
    if (l->leaf == WF_LEAF_INPUT) return true;
    if (!take_bytes(p, l, &bytes)) return false;
    l->values = l->leaf == WF_LEAF_CONST || wf_scan_is(&p->s, "[") || wf_scan_is(&p->s, "{");
    if (!l->values) return true;
    p->data = calloc(bytes + 1, 1);
    if (!p->data) return out_of_memory(p);
    const int64_t n = wf_shape_count(&l->type.shape);
    return wf_scan_is(&p->s, "{") ? read_hash(p, l, n) : read_elements(p, l, n);
}

static wf_tensor emit_leaf(parser *p, const line *l) {
    const char *name = l->named ? p->name.buf : NULL;
    const wf_dtype t = l->type.dtype;
    const wf_shape shape = l->type.shape;
    if (l->leaf == WF_LEAF_INPUT) return wf_input(p->g, name, t, shape);
    if (l->leaf == WF_LEAF_CONST) return wf_const(p->g, t, shape, p->data);
    void *bound = p->o.bind ? p->o.bind(p->o.user, name ? name : "", t, shape) : NULL;
    return bound ? wf_leaf(p->g, name, t, shape, bound)
                 : wf_leaf_own(p->g, name, t, shape, l->values ? p->data : NULL);
}

/* --- operations ------------------------------------------------------------------------------- */

static const wf_op *find(const wf_op *const *list, const char *name) {
    for (; list && *list; list++)
        if (strcmp((*list)->name, name) == 0 && (*list)->kind != WF_KIND_LEAF) return *list;
    return NULL;
}

static bool read_op(parser *p, line *l) {
    char word[64];
    wf_scan_blanks(&p->s);
    const size_t at = p->s.at;
    if (wf_scan_is(&p->s, "\"")) {
        if (!wf_scan_string(&p->s, &p->name)) return false;
        l->op = find(p->o.ops, p->name.buf);
        return l->op || wf_scan_fail(&p->s, at, "the operation \"%.200s\" is not of this library; "
                                     "give its descriptor to the reader", p->name.buf);
    }
    if (!wf_scan_word(&p->s, word, sizeof word, "an operation, input, leaf or const")) return false;
    l->op = find(wf_all_ops(), word);
    return l->op || wf_scan_fail(&p->s, at, "there is no operation %s", word);
}

static bool read_operands(parser *p, line *l) {
    while (l->n_in == 0 ? wf_scan_is(&p->s, "%") : wf_scan_accept(&p->s, ",")) {
        const uint32_t need = (uint32_t)l->n_in + 1;
        if (!wf_graph_grow((void **)&p->in, &p->in_cap, need, sizeof *p->in) ||
            !wf_graph_grow((void **)&p->in_type, &p->in_type_cap, need, sizeof *p->in_type))
            return out_of_memory(p);
        wf_tensor *in = &p->in[l->n_in];
        if (!read_value(p, in)) return false;
        p->in_type[l->n_in++] = wf_graph_node(p->g, in->id)->type;
    }
    const wf_op *op = l->op;
    if (l->n_in >= op->min_in && (op->max_in < 0 || l->n_in <= op->max_in)) return true;
    return wf_scan_fail(&p->s, p->s.at, "%s has %d operands, it takes %s%d", op->name, l->n_in,
                        op->max_in == op->min_in ? "" : l->n_in < op->min_in ? "at least "
                                                                             : "at most ",
                        l->n_in < op->min_in ? op->min_in : op->max_in);
}

static bool read_attributes(parser *p, const line *l) {
    const wf_op *op = l->op;
    wf_attr_parse *a = &p->attr;
    a->scan = &p->s;
    a->op = op;
    a->out = &l->type;
    a->in = p->in_type;
    a->n_in = l->n_in;
    a->bytes = 0;
    wf_scan_blanks(&p->s);
    const size_t at = p->s.at;
    a->braces = wf_scan_accept(&p->s, "{");
    if (op->parse_attr) {
        if (!op->parse_attr(a)) return wf_scan_fail(&p->s, at, "the attributes cannot be read");
    } else if (op->fields) {
        if (!wf_fields_parse(a)) return false;
    } else if (a->braces) {
        return wf_scan_fail(&p->s, at, "%s has no attributes that can be read", op->name);
    }
    return !a->braces || wf_scan_expect(&p->s, "}");
}

static wf_tensor emit(parser *p, const line *l) {
    if (!l->op) return emit_leaf(p, l);
    if (l->op == &wf_op_assign) return wf_assign(p->in[0], p->in[1]);
    return wf_emit(p->g, l->op, p->attr.bytes ? p->attr.attr : NULL, p->attr.bytes, p->in, l->n_in);
}

/* --- lines ------------------------------------------------------------------------------------ */

static bool read_node_line(parser *p, line *l) {
    wf_scan *s = &p->s;
    const size_t at = s->at;
    if (!read_id(p, &l->number)) return false;
    if (p->n > 1 && l->number <= p->number[p->n - 1])
        return wf_scan_fail(s, at, "%%%u does not come after %%%u; numbers ascend", l->number,
                            p->number[p->n - 1]);
    wf_scan_blanks(s);
    l->type_at = s->at;
    if (!read_type(p, &l->type) || !wf_scan_expect(s, "=")) return false;
    static const char *const kind[] = {"input", "leaf", "const"};
    for (int k = 0; k < 3; k++)
        if (wf_scan_accept(s, kind[k])) {
            l->leaf = (wf_leaf_kind)k;
            return read_leaf(p, l);
        }
    return read_op(p, l) && read_operands(p, l) && read_attributes(p, l);
}

static bool read_end(parser *p, line *l) {
    wf_scan *s = &p->s;
    if (wf_scan_accept(s, "as")) {
        if (l->named) return wf_scan_fail(s, s->at, "a leaf has one name");
        if (!wf_scan_string(s, &p->name)) return false;
        l->named = true;
    }
    p->scope.used = 0;
    wf_text_put(&p->scope, "%s", "");
    if (wf_scan_accept(s, "#") && !wf_scan_rest(s, &p->scope)) return false;
    if (p->scope.failed) return out_of_memory(p);
    wf_scan_blanks(s);
    if (s->at == s->size || s->text[s->at] == '\n') return true;
    return wf_scan_fail(s, s->at, "expected the end of the line");
}

/* Emits what the line says, and compares. */
static bool make_node(parser *p, const line *l) {
    wf_scan *s = &p->s;
    char written[200], inferred[200];
    wf_graph_set_scope(p->g, wf_graph_scope_of(p->g, p->scope.buf));
    const wf_tensor t = emit(p, l);
    if (!t.id) {
        if (wf_graph_status(p->g) == WF_MEMORY) return out_of_memory(p);
        return wf_scan_fail(s, l->type_at, "%s", wf_graph_message(p->g));
    }
    if (t.id != p->n)
        return wf_scan_fail(s, l->type_at, "two leaves are bound to the same bytes");
    const wf_type *type = &wf_graph_node(p->g, t.id)->type;
    if (type->dtype != l->type.dtype || !wf_shape_equal(&type->shape, &l->type.shape))
        return wf_scan_fail(s, l->type_at, "the type is written %s%s, the result of %s is %s%s",
                            wf_dtype_name(l->type.dtype),
                            wf_shape_text(&l->type.shape, written, sizeof written), l->op->name,
                            wf_dtype_name(type->dtype),
                            wf_shape_text(&type->shape, inferred, sizeof inferred));
    if (l->named && !wf_graph_node(p->g, t.id)->name && !wf_name(t, p->name.buf).id)
        return out_of_memory(p);
    p->number[p->n++] = l->number;
    return true;
}

static bool read_node(parser *p) {
    line l;
    memset(&l, 0, sizeof l);
    if (!wf_graph_grow((void **)&p->number, &p->number_cap, p->n + 1, sizeof *p->number))
        return out_of_memory(p);
    const bool ok = read_node_line(p, &l) && read_end(p, &l) && make_node(p, &l);
    free(p->data);
    p->data = NULL;
    return ok;
}

static bool read_outputs(parser *p) {
    do {
        if (!wf_graph_grow((void **)&p->output, &p->output_cap, p->n_output + 1,
                           sizeof *p->output))
            return out_of_memory(p);
        if (!read_value(p, &p->output[p->n_output])) return false;
        p->n_output++;
    } while (wf_scan_accept(&p->s, ","));
    return true;
}

static bool read_text(parser *p) {
    wf_scan *s = &p->s;
    while (s->at < s->size) {
        wf_scan_blanks(s);
        if (wf_scan_accept(s, "#")) {
            while (s->at < s->size && s->text[s->at] != '\n') s->at++;
        } else if (wf_scan_is(s, "%")) {
            if (!read_node(p)) return false;
        } else if (wf_scan_accept(s, "outputs")) {
            if (!read_outputs(p)) return false;
        } else if (s->at < s->size && s->text[s->at] != '\n') {
            return wf_scan_fail(s, s->at, "expected %%, outputs, or # and a remark");
        }
        if (!wf_scan_ends_line(s))
            return wf_scan_fail(s, s->at, "expected the end of the line");
    }
    return true;
}

wf_status wf_graph_parse(wf_graph **g, wf_tensor **outputs, int *n, const char *text, size_t size,
                         wf_parse_opt o) {
    if (!g || (!text && size) || (outputs && !n))
        return wf_fail(WF_ARGUMENT, "wf_graph_parse: %s is NULL", !g ? "the result's address"
                                    : !text ? "the text" : "the number of outputs");
    *g = NULL;
    if (outputs) *outputs = NULL;
    if (outputs) *n = 0;
    parser p = {.s = {.text = text, .size = size, .line = 1}, .o = o, .g = wf_graph_new(), .n = 1};
    p.name.grows = p.scope.grows = true;
    if (!p.g) return wf_fail(WF_MEMORY, "out of memory for a graph");
    const locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    const locale_t old = c ? uselocale(c) : (locale_t)0;
    const bool ok = read_text(&p);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    free(p.number);
    free(p.in);
    free(p.in_type);
    free(p.attr.attr);
    free(p.name.buf);
    free(p.scope.buf);
    if (!ok || !outputs) free(p.output);
    if (!ok) {
        wf_graph_free(p.g);
        return p.no_memory ? WF_MEMORY : WF_FORMAT;
    }
    *g = p.g;
    if (outputs) {
        *outputs = p.output;
        *n = (int)p.n_output;
    }
    return WF_OK;
}
