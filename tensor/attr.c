/* Tables of fields: plain attributes written and read; see attr.h. */
#include "tensor/attr.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 32 }; /* of one operation, at most */

static const void *at_of(const void *attr, const wf_field *f) { return (const char *)attr + f->at; }

static int64_t load_i64(const void *p) {
    int64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static int32_t load_i32(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static bool is_array(const wf_field *f) {
    return f->kind == WF_FIELD_ARRAY32 || f->kind == WF_FIELD_ARRAY64;
}
static bool is_list(const wf_field *f) { return is_array(f) || f->kind == WF_FIELD_LIST32; }
static bool is_flag(const wf_field *f) {
    return f->kind == WF_FIELD_FLAG32 || f->kind == WF_FIELD_FLAG64;
}
static bool is_written(const wf_field *f) { return f->kind < WF_FIELD_DTYPE32; }

static int64_t entry(const void *attr, const wf_field *f, int i) {
    const char *p = at_of(attr, f);
    return f->kind == WF_FIELD_ARRAY64 ? load_i64(p + i * 8) : load_i32(p + i * 4);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Entries of the arrays of one operation: as many as the longest of them needs. */
static int array_length(const wf_field *fields, const void *attr) {
    int n = 0;
    for (const wf_field *f = fields; f->kind != WF_FIELD_END; f++)
        for (int i = 0; is_array(f) && i < f->n; i++)
            if (entry(attr, f, i) != 0 && i >= n) n = i + 1;
    return n;
}

static void put_entries(wf_text *t, const wf_field *f, const void *attr, int n, const char *sep) {
    wf_text_put(t, "%s%s=", sep, f->name);
    for (int i = 0; i < n; i++) wf_text_put(t, i ? ",%" PRId64 : "%" PRId64, entry(attr, f, i));
}

/* True if the field is left out: what reading makes of its absence. */
static bool left_out(const wf_field *f, const void *attr) {
    const void *p = at_of(attr, f);
    switch (f->kind) {
    case WF_FIELD_I32: return f->optional && load_i32(p) == f->otherwise;
    case WF_FIELD_I64: return f->optional && load_i64(p) == f->otherwise;
    case WF_FIELD_FLAG32: return load_i32(p) == 0;
    case WF_FIELD_FLAG64: return load_i64(p) == 0;
    case WF_FIELD_LIST32: return load_i32((const char *)attr + f->count) <= 0;
    case WF_FIELD_ARRAY32:
    case WF_FIELD_ARRAY64:
        for (int i = 0; i < f->n; i++)
            if (entry(attr, f, i) != 0) return false;
        return true;
    default: return !is_written(f);
    }
}

static void print_fields(const wf_field *fields, const void *attr, wf_text *t) {
    const int length = array_length(fields, attr);
    const char *sep = "";
    for (const wf_field *f = fields; f->kind != WF_FIELD_END; f++) {
        if (left_out(f, attr)) continue;
        const void *p = at_of(attr, f);
        if (is_flag(f)) {
            wf_text_put(t, "%s%s", sep, f->name);
        } else if (is_list(f)) {
            const int n = is_array(f) ? length : load_i32((const char *)attr + f->count);
            put_entries(t, f, attr, n < f->n ? n : f->n, sep);
        } else {
            wf_text_put(t, "%s%s=", sep, f->name);
            if (f->kind == WF_FIELD_F64) wf_text_value(t, WF_F64, p);
            else if (f->kind == WF_FIELD_U64) wf_text_put(t, "%" PRIu64, (uint64_t)load_i64(p));
            else wf_text_value(t, f->kind == WF_FIELD_I32 ? WF_I32 : WF_I64, p);
        }
        sep = " ";
    }
}

void wf_attr_print(const wf_op *op, const void *attr, wf_text *t) {
    if (!attr) return;
    if (op->print_attr) op->print_attr(attr, t);
    else if (op->fields) print_fields(op->fields, attr, t);
}

/* --- reading ---------------------------------------------------------------------------------- */

void *wf_attr_room(wf_attr_parse *p, size_t bytes) {
    if (bytes > p->room) {
        void *more = realloc(p->attr, bytes);
        if (!more) {
            wf_scan_fail(p->scan, p->scan->at, "out of memory for attributes");
            return NULL;
        }
        p->attr = more;
        p->room = bytes;
    }
    if (bytes) memset(p->attr, 0, bytes);
    p->bytes = bytes;
    return p->attr;
}

static bool read_i32(wf_scan *s, int32_t *to) {
    int64_t v;
    if (!wf_scan_i64(s, INT32_MIN, INT32_MAX, &v)) return false;
    *to = (int32_t)v;
    return true;
}

static bool read_list(wf_attr_parse *p, const wf_field *f) {
    char *to = (char *)p->attr + f->at;
    int32_t n = 0;
    do {
        if (n == f->n)
            return wf_scan_fail(p->scan, p->scan->at, "%s has at most %d entries", f->name, f->n);
        if (f->kind == WF_FIELD_ARRAY64
                ? !wf_scan_i64(p->scan, INT64_MIN, INT64_MAX, (int64_t *)(void *)to + n)
                : !read_i32(p->scan, (int32_t *)(void *)to + n))
            return false;
        n++;
    } while (wf_scan_accept(p->scan, ","));
    if (!is_array(f)) memcpy((char *)p->attr + f->count, &n, sizeof n);
    return true;
}

static bool read_field(wf_attr_parse *p, const wf_field *f) {
    void *to = (char *)p->attr + f->at;
    wf_scan *s = p->scan;
    const int32_t one32 = 1;
    const int64_t one64 = 1;
    if (f->kind == WF_FIELD_FLAG32) memcpy(to, &one32, sizeof one32);
    if (f->kind == WF_FIELD_FLAG64) memcpy(to, &one64, sizeof one64);
    if (is_flag(f)) return true;
    if (!wf_scan_expect(s, "=")) return false;
    switch (f->kind) {
    case WF_FIELD_I32: return read_i32(s, to);
    case WF_FIELD_I64: return wf_scan_i64(s, INT64_MIN, INT64_MAX, to);
    case WF_FIELD_U64: return wf_scan_u64(s, to);
    case WF_FIELD_F64: return wf_scan_value(s, WF_F64, to);
    default: return read_list(p, f);
    }
}

/* What follows from the written type, and what is understood when it is not written. */
static void set_implied(wf_attr_parse *p, const wf_field *f) {
    void *to = (char *)p->attr + f->at;
    const wf_dtype dtype = p->out->dtype;
    const int64_t wide = dtype;
    const int32_t narrow = (int32_t)f->otherwise;
    switch (f->kind) {
    case WF_FIELD_I32: memcpy(to, &narrow, sizeof narrow); break;
    case WF_FIELD_I64: memcpy(to, &f->otherwise, sizeof f->otherwise); break;
    case WF_FIELD_DTYPE32: memcpy(to, &dtype, sizeof dtype); break;
    case WF_FIELD_DTYPE64: memcpy(to, &wide, sizeof wide); break;
    case WF_FIELD_SHAPE: {
        wf_shape *shape = to;
        shape->rank = p->out->shape.rank;
        memcpy(shape->dim, p->out->shape.dim, sizeof shape->dim);
        break;
    }
    case WF_FIELD_EXTENT:
        if (f->n < p->out->shape.rank) memcpy(to, &p->out->shape.dim[f->n], sizeof(int64_t));
        break;
    default: break;
    }
}

static bool unknown_field(wf_attr_parse *p, size_t at, const char *word) {
    char list[256] = "";
    wf_text t = {.buf = list, .size = sizeof list};
    for (const wf_field *f = p->op->fields; f->kind != WF_FIELD_END; f++)
        if (is_written(f)) wf_text_put(&t, "%s%s", t.used ? ", " : "", f->name);
    return wf_scan_fail(p->scan, at, "%s has no attribute %s; it has %s", p->op->name, word, list);
}

bool wf_fields_parse(wf_attr_parse *p) {
    bool seen[FIELDS] = {false};
    const wf_field *const fields = p->op->fields;
    if (!wf_attr_room(p, p->op->attr_bytes)) return false;
    for (const wf_field *f = fields; f->kind != WF_FIELD_END; f++) set_implied(p, f);
    while (p->braces && !wf_scan_is(p->scan, "}")) {
        char word[64];
        const size_t at = p->scan->at;
        if (!wf_scan_word(p->scan, word, sizeof word, "an attribute or }")) return false;
        int i = 0;
        while (fields[i].kind != WF_FIELD_END &&
               !(is_written(&fields[i]) && strcmp(fields[i].name, word) == 0))
            i++;
        if (fields[i].kind == WF_FIELD_END) return unknown_field(p, at, word);
        if (i < FIELDS && seen[i])
            return wf_scan_fail(p->scan, at, "%s is given twice", word);
        if (i < FIELDS) seen[i] = true;
        if (!read_field(p, &fields[i])) return false;
    }
    for (int i = 0; i < FIELDS && fields[i].kind != WF_FIELD_END; i++)
        if (is_written(&fields[i]) && !fields[i].optional && !is_flag(&fields[i]) &&
            !is_list(&fields[i]) && !seen[i])
            return wf_scan_fail(p->scan, p->scan->at, "expected %s=..., an attribute of %s",
                                fields[i].name, p->op->name);
    return true;
}
