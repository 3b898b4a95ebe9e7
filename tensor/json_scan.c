/* Finding the members of a JSON object in one pass, without recursion or memory.
 * Only strings, brackets and separators are understood: enough to cut, not to judge. */
#include "tensor/json_scan.h"

void wf_json_space(wf_json_cursor *q) {
    while (q->p < q->end && (*q->p == ' ' || *q->p == '\t' || *q->p == '\n' || *q->p == '\r'))
        q->p++;
}

/* p at '"': moves behind the closing quote; false if there is none. */
static bool skip_string(wf_json_cursor *q) {
    for (const char *p = q->p + 1; p < q->end; p++) {
        if (*p == '\\') {
            p++;
        } else if (*p == '"') {
            q->p = p + 1;
            return true;
        }
    }
    q->error = "a string has no end";
    return false;
}

/* p at '{' or '[': moves behind the bracket that closes it, whatever its kind. */
static bool skip_nested(wf_json_cursor *q) {
    const char *const begin = q->p;
    size_t depth = 0;
    while (q->p < q->end) {
        const char c = *q->p;
        if (c == '"') {
            if (!skip_string(q)) return false;
            continue;
        }
        q->p++;
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && --depth == 0) return true;
    }
    q->p = begin;
    q->error = "a bracket is not closed";
    return false;
}

static bool expect(wf_json_cursor *q, char c, const char *error) {
    wf_json_space(q);
    if (q->p < q->end && *q->p == c) {
        q->p++;
        return true;
    }
    q->error = error;
    return false;
}

bool wf_json_next(wf_json_cursor *q, wf_slice *key, wf_slice *value) {
    wf_json_space(q);
    if (q->p < q->end && *q->p == '}') {
        q->p++;
        return false;
    }
    if (q->started && !expect(q, ',', "',' or '}' expected")) return false;
    q->started = true;
    wf_json_space(q);
    key->p = q->p;
    if (q->p >= q->end || *q->p != '"') {
        q->error = "a name in quotes expected";
        return false;
    }
    if (!skip_string(q)) return false;
    key->n = (size_t)(q->p - key->p);
    if (!expect(q, ':', "':' expected")) return false;
    wf_json_space(q);
    value->p = q->p;
    const char c = q->p < q->end ? *q->p : '\0';
    if (c != '"' && c != '{' && c != '[') q->error = "an object or a string expected";
    if (q->error || !(c == '"' ? skip_string(q) : skip_nested(q))) return false;
    value->n = (size_t)(q->p - value->p);
    return true;
}
