/* Attributes as text, both ways: what the print and parse rules of operations are made of.
 *
 * Most operations have plain attributes and need no rule: a table of wf_field (tensor/op.h) says
 * how they are written and how they are read, here. An operation whose attributes are more than
 * fields has a pair of functions, print_attr and parse_attr.
 *
 * Invariants
 *   - Written and read again, attributes mean the same, to the last bit of every number.
 *   - A reader accepts or refuses any bytes; the first refusal is wf_error() with line and column,
 *     and everything after it fails too. It never reads beyond the text, and never recurses. */
#ifndef WEFT_ATTR_H
#define WEFT_ATTR_H

#include "tensor/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- writing ---------------------------------------------------------------------------------- */

/* Text that grows, or that is cut at `size` where it is not `grows`. Always ends with a NUL. */
struct wf_text {
    char *buf;
    size_t size, used;
    bool grows;  /* buf is from malloc; the user frees it */
    bool failed; /* memory ran out */
};
WF_API void wf_text_put(wf_text *t, const char *format, ...) WF_PRINTF(2, 3);
/* In quotes, with \" \\ and \xHH for control characters; without quotes for `bare`. */
WF_API void wf_text_string(wf_text *t, const char *text, bool bare);
/* The shortest decimal that reads back as the same element; a NaN with a payload as 0x bits. */
WF_API void wf_text_value(wf_text *t, wf_dtype dtype, const void *element);

/* "axis=1 n=3": the attributes of a node, by its operation's rule or fields; "" if it has none. */
WF_API void wf_attr_print(const wf_op *op, const void *attr, wf_text *t);

/* --- reading ---------------------------------------------------------------------------------- */

typedef struct wf_scan {
    const char *text;
    size_t size, at;
    size_t line_at; /* where the line begins */
    int line;       /* from 1 */
    bool failed;
} wf_scan;

/* Sets wf_error() to "line 3, column 7: ..." (column of `at`), unless something failed before.
 * Returns false. */
WF_API bool wf_scan_fail(wf_scan *s, size_t at, const char *format, ...) WF_PRINTF(3, 4);
/* The others skip blanks first. */
WF_API bool wf_scan_is(wf_scan *s, const char *token);     /* token comes next; it stays */
WF_API bool wf_scan_accept(wf_scan *s, const char *token); /* steps over it if it comes next */
WF_API bool wf_scan_expect(wf_scan *s, const char *token); /* fails if it does not */
WF_API bool wf_scan_word(wf_scan *s, char *buf, size_t size, const char *what); /* [A-Za-z_0-9]+ */
WF_API bool wf_scan_i64(wf_scan *s, int64_t least, int64_t most, int64_t *out);
WF_API bool wf_scan_u64(wf_scan *s, uint64_t *out);
WF_API bool wf_scan_value(wf_scan *s, wf_dtype dtype, void *element);
/* A string in quotes into t, which grows. */
WF_API bool wf_scan_string(wf_scan *s, wf_text *t);
/* The rest of the line, escapes undone, without blanks at the ends. */
WF_API bool wf_scan_rest(wf_scan *s, wf_text *t);
WF_API void wf_scan_blanks(wf_scan *s);
WF_API bool wf_scan_ends_line(wf_scan *s); /* at a newline or the end: steps over it */

/* One node that is read: a parse rule reads what stands in its braces, sets `attr`. */
struct wf_attr_parse {
    wf_scan *scan;
    const wf_op *op;
    const wf_type *out; /* the type that is written */
    const wf_type *in;  /* (n_in) */
    int n_in;
    bool braces;        /* there are any; the opening one is read */
    void *attr;         /* room, bytes: by wf_attr_room */
    size_t bytes, room;
};
/* `bytes` zeroed bytes for the attributes; NULL, and a failure, when memory is out. */
WF_API void *wf_attr_room(wf_attr_parse *p, size_t bytes);
/* Reads attributes of op->attr_bytes by op->fields, up to and without the closing brace. */
WF_API bool wf_fields_parse(wf_attr_parse *p);

#ifdef __cplusplus
}
#endif
#endif
