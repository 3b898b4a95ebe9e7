/* The members of a JSON object as slices of its text, so that a hostile header can be walked before
 * any of it is parsed. Internal to tensor/.
 * A value is cut at the bracket or quote that closes it; whether the slice is valid JSON is for the
 * parser that gets it to decide. Values other than objects, lists and strings are refused. */
#ifndef WEFT_JSON_SCAN_H
#define WEFT_JSON_SCAN_H

#include "tensor/base.h"

typedef struct wf_slice {
    const char *p;
    size_t n;
} wf_slice;

/* A place among the members of an object. Start with p behind its '{' and the rest 0. */
typedef struct wf_json_cursor {
    const char *p, *end;
    bool started;
    const char *error; /* NULL, or what is wrong at p */
} wf_json_cursor;

void wf_json_space(wf_json_cursor *q);

/* The next member, key with its quotes; false at the end, with p behind '}', or with error set. */
bool wf_json_next(wf_json_cursor *q, wf_slice *key, wf_slice *value);

#endif
