/* Reading safetensors: an 8-byte little-endian length, a JSON header, dense data.
 *
 * Invariants
 *   - A file is believed only as far as its bytes bear it out. Everything is checked at open; after
 *     that every wf_named lies inside the mapping.
 *   - Memory. A JSON value costs jansson up to 40 times its text, so it never gets the header.
 *     A scanner finds the members of the two outer levels without allocating; jansson reads one
 *     string or one tensor entry (at most 4 KiB) at a time. The table of tensors is allocated once,
 *     after counting, if wf_st_fits allows it.
 *   - What jansson accepts is final: a slice that the scanner cut wrongly is not valid JSON. So
 *     UTF-8, escapes, numbers and duplicate keys inside an entry are its business.
 *   - One parser, no fallback, no reference to another file.
 * Source: the format description of huggingface/safetensors. */
#include "tensor/safetensors.h"

#include "tensor/file.h"
#include "tensor/json_scan.h"
#include "tensor/size.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ENTRY_BYTES 4096                 /* text of one tensor's dtype, shape and offsets */
#define MAX_KEY_BYTES (6 * WF_ST_MAX_NAME + 2) /* every byte written as \uXXXX, and quotes */
#define JANSSON_FACTOR 6                     /* a string of n bytes costs jansson less than 6 n */
#define SMALL_STRING 16384                   /* strings up to here are covered by the reserve */
#define RESERVE ((size_t)192 * 1024)         /* of the 1 MiB: jansson on small pieces, qsort */

struct wf_safetensors {
    wf_map map;
    wf_named *tensor;  /* (count) in file order */
    const wf_named **by_name; /* (count) sorted */
    size_t count;
    char *text;        /* names, then key\0value\0 ... of the metadata */
    size_t text_used, text_bytes;
    size_t meta_begin; /* offset in text of the first key */
    size_t meta_count;
};

/* --- limits ----------------------------------------------------------------------------------- */

bool wf_st_fits(size_t n, size_t text_bytes, size_t file_bytes, size_t *slack) {
    size_t need, limit;
    /* One record and one pointer a tensor, and two pointers while qsort works. */
    const size_t each = sizeof(wf_named) + 3 * sizeof(void *);
    if (!wf_mul_size(n, each, &need)) return false;
    if (!wf_add_size(need, text_bytes, &need) || !wf_add_size(need, RESERVE, &need)) return false;
    if (!wf_add_size(file_bytes, (size_t)1 << 20, &limit)) return false;
    if (need > limit) return false;
    *slack = limit - need;
    return true;
}

const char *wf_st_dim_error(int64_t dim) {
    if (dim < 0) return "an extent is negative";
    if (dim > WF_ST_MAX_DIM) return "an extent is larger than 2^48";
    return NULL;
}

/* --- messages --------------------------------------------------------------------------------- */

typedef struct reader {
    wf_safetensors *s;
    const char *path;
    const char *header, *header_end;
    const uint8_t *data; /* behind the header */
    size_t data_bytes;
    size_t slack;        /* bytes that jansson may use for one long string */
    json_t *pending;     /* the jansson value in hand, released by open */
} reader;

/* Text of a file may hold anything: what is not printable ASCII or UTF-8 becomes '?'. */
static const char *printable(const char *text, size_t n, char *buf, size_t size) {
    size_t i = 0;
    for (; i < n && i + 1 < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        buf[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    buf[i] = '\0';
    return buf;
}

/* "file: tensor 'name' at byte 123: reason". `at` points into the header, `name` may be NULL. */
static wf_status refuse(const reader *r, const char *name, const char *at, const char *format, ...)
    WF_PRINTF(4, 5);
static wf_status refuse(const reader *r, const char *name, const char *at, const char *format,
                        ...) {
    char reason[256], shown[100];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    const size_t offset = (size_t)((const uint8_t *)at - r->s->map.data);
    if (!name) return wf_fail(WF_FORMAT, "%s: at byte %zu: %s", r->path, offset, reason);
    return wf_fail(WF_FORMAT, "%s: tensor '%s' at byte %zu: %s", r->path,
                   printable(name, strlen(name), shown, sizeof shown), offset, reason);
}

static bool is_meta(const wf_slice *key) {
    static const char quoted[] = "\"" WF_ST_META "\"";
    return key->n == sizeof quoted - 1 && !memcmp(key->p, quoted, sizeof quoted - 1);
}

/* --- strings and entries, by jansson ---------------------------------------------------------- */

static wf_status parse(reader *r, const char *name, wf_slice text) {
    json_decref(r->pending);
    json_error_t e;
    r->pending = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (r->pending) return WF_OK;
    if (json_error_code(&e) == json_error_out_of_memory)
        return wf_fail(WF_MEMORY, "%s: no memory to read its header", r->path);
    const size_t at = e.position > 0 && (size_t)e.position <= text.n ? (size_t)e.position : 0;
    char shown[sizeof e.text];
    return refuse(r, name, text.p + at, "not valid JSON: %s",
                  printable(e.text, strlen(e.text), shown, sizeof shown));
}

/* Decodes a JSON string to the end of s->text; *out points there. */
static wf_status keep_string(reader *r, wf_slice text, const char *what, const char **out) {
    if (text.p[0] != '"') return refuse(r, NULL, text.p, "%s is not a string", what);
    if (text.n > SMALL_STRING && text.n > r->slack / JANSSON_FACTOR)
        return refuse(r, NULL, text.p, "%s is a string of %zu bytes, too long for so small a file",
                      what, text.n);
    const wf_status s = parse(r, NULL, text);
    if (s) return s;
    const size_t n = json_string_length(r->pending) + 1;
    /* Never happens: a decoded string and its NUL are shorter than its text with quotes. */
    if (n > r->s->text_bytes - r->s->text_used)
        return wf_fail(WF_INTERNAL, "%s: the text of its header was counted wrongly", r->path);
    char *p = r->s->text + r->s->text_used;
    memcpy(p, json_string_value(r->pending), n);
    r->s->text_used += n;
    *out = p;
    return WF_OK;
}

static wf_status read_dtype(reader *r, const wf_named *t, const char *at, wf_dtype *out) {
#define X(name, text, bytes, st) st,
    static const char *const known[] = {WF_DTYPE_MAP(X)};
#undef X
    const char *dtype = json_string_value(json_object_get(r->pending, "dtype"));
    if (!dtype) return refuse(r, t->name, at, "its dtype is missing or not a string");
    for (size_t i = 0; i < WF_COUNT(known); i++) {
        if (strcmp(dtype, known[i])) continue;
        *out = (wf_dtype)i;
        return WF_OK;
    }
    char shown[32];
    return refuse(r, t->name, at,
                  "dtype '%s' is not one of F32 F64 BF16 F16 I32 I64 U8 BOOL; convert the file",
                  printable(dtype, strlen(dtype), shown, sizeof shown));
}

static wf_status read_shape(reader *r, const wf_named *t, const char *at, wf_shape *out) {
    const json_t *shape = json_object_get(r->pending, "shape");
    if (!json_is_array(shape)) return refuse(r, t->name, at, "its shape is missing or not a list");
    const size_t rank = json_array_size(shape);
    if (rank > WF_MAX_RANK)
        return refuse(r, t->name, at, "rank %zu is larger than %d", rank, WF_MAX_RANK);
    *out = (wf_shape){.rank = (int32_t)rank};
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        const char *error = "an extent is not an integer";
        if (json_is_integer(dim)) error = wf_st_dim_error(json_integer_value(dim));
        if (error) return refuse(r, t->name, at, "shape, axis %zu: %s", i, error);
        out->dim[i] = json_integer_value(dim);
    }
    return WF_OK;
}

static wf_status read_offsets(reader *r, wf_named *t, const char *at) {
    const json_t *range = json_object_get(r->pending, "data_offsets");
    const json_t *first = json_array_get(range, 0), *second = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return refuse(r, t->name, at, "its data_offsets are missing or not two integers");
    const int64_t begin = json_integer_value(first), end = json_integer_value(second);
    if (begin < 0 || end < begin)
        return refuse(r, t->name, at, "data_offsets [%lld, %lld] run backwards", (long long)begin,
                      (long long)end);
    if ((uint64_t)end > r->data_bytes)
        return refuse(r, t->name, at, "data_offsets end at %lld, the file has %zu bytes of data",
                      (long long)end, r->data_bytes);
    size_t bytes;
    if (!wf_type_bytes(t->dtype, &t->shape, &bytes))
        return refuse(r, t->name, at, "its shape has more elements than can be counted");
    if (bytes != (size_t)(end - begin))
        return refuse(r, t->name, at, "its shape needs %zu bytes, data_offsets give %lld", bytes,
                      (long long)(end - begin));
    t->data = r->data + begin;
    return WF_OK;
}

static wf_status read_tensor(reader *r, wf_slice key, wf_slice value) {
    wf_named *t = &r->s->tensor[r->s->count];
    if (key.n > MAX_KEY_BYTES)
        return refuse(r, NULL, key.p, "a name is longer than %d bytes", WF_ST_MAX_NAME);
    wf_status s = keep_string(r, key, "a name", &t->name);
    if (s) return s;
    if (strlen(t->name) > WF_ST_MAX_NAME)
        return refuse(r, t->name, key.p, "its name is longer than %d bytes", WF_ST_MAX_NAME);
    if (!strcmp(t->name, WF_ST_META))
        return refuse(r, t->name, key.p, "this name is reserved; escapes do not free it");
    if (value.p[0] != '{') return refuse(r, t->name, value.p, "its entry is not an object");
    if (value.n > MAX_ENTRY_BYTES)
        return refuse(r, t->name, value.p, "its entry is longer than %d bytes", MAX_ENTRY_BYTES);
    s = parse(r, t->name, value);
    if (!s) s = read_dtype(r, t, value.p, &t->dtype);
    if (!s) s = read_shape(r, t, value.p, &t->shape);
    if (!s) s = read_offsets(r, t, value.p);
    if (!s && json_object_size(r->pending) != 3)
        s = refuse(r, t->name, value.p, "its entry has a key besides dtype, shape, data_offsets");
    if (!s) r->s->count++;
    return s;
}

/* --- the header ------------------------------------------------------------------------------- */

/* The two outer levels without allocating: how many tensors, and the __metadata__ object if any. */
static wf_status count_members(reader *r, size_t *n, size_t *text_bytes, wf_slice *meta) {
    wf_json_cursor q = {.p = r->header + 1, .end = r->header_end};
    wf_slice key, value;
    *n = *text_bytes = 0;
    *meta = (wf_slice){0};
    while (wf_json_next(&q, &key, &value)) {
        if (!is_meta(&key)) {
            if (++*n > WF_ST_MAX_COUNT)
                return refuse(r, NULL, key.p, "more than %zu tensors", WF_ST_MAX_COUNT);
            *text_bytes += key.n;
            continue;
        }
        if (meta->p) return refuse(r, NULL, key.p, WF_ST_META " appears twice");
        if (value.p[0] != '{') return refuse(r, NULL, value.p, WF_ST_META " is not an object");
        *meta = value;
        *text_bytes += value.n;
    }
    if (q.error) return refuse(r, NULL, q.p, "%s", q.error);
    wf_json_space(&q);
    if (q.p < q.end) return refuse(r, NULL, q.p, "text behind the header's object");
    return WF_OK;
}

static wf_status read_tensors(reader *r) {
    wf_json_cursor q = {.p = r->header + 1, .end = r->header_end};
    wf_slice key, value;
    while (wf_json_next(&q, &key, &value)) {
        const wf_status s = is_meta(&key) ? WF_OK : read_tensor(r, key, value);
        if (s) return s;
    }
    return WF_OK;
}

static int compare_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Refuses duplicate keys; the array of pointers is temporary and paid from the slack. */
static wf_status check_meta_keys(reader *r) {
    const wf_safetensors *s = r->s;
    const size_t n = s->meta_count;
    if (n < 2) return WF_OK;
    const char **key = calloc(n, sizeof *key);
    if (!key) return wf_fail(WF_MEMORY, "%s: no memory to read its header", r->path);
    const char *p = s->text + s->meta_begin;
    for (size_t i = 0; i < n; i++) {
        key[i] = p;
        p += strlen(p) + 1;
        p += strlen(p) + 1;
    }
    qsort(key, n, sizeof *key, compare_text);
    wf_status status = WF_OK;
    for (size_t i = 1; i < n && !status; i++)
        if (!strcmp(key[i - 1], key[i]))
            status = refuse(r, NULL, r->header, "a key of " WF_ST_META " appears twice");
    free(key);
    return status;
}

static wf_status read_meta(reader *r, wf_slice meta) {
    r->s->meta_begin = r->s->text_used;
    if (!meta.p) return WF_OK;
    wf_json_cursor q = {.p = meta.p + 1, .end = meta.p + meta.n};
    wf_slice key, value;
    while (wf_json_next(&q, &key, &value)) {
        const char *kept;
        size_t pointers;
        if (++r->s->meta_count > WF_ST_MAX_COUNT ||
            !wf_mul_size(r->s->meta_count, 2 * sizeof(char *), &pointers) || pointers > r->slack)
            return refuse(r, NULL, key.p, WF_ST_META " has too many keys for a file this small");
        wf_status s = keep_string(r, key, "a key of " WF_ST_META, &kept);
        if (!s) s = keep_string(r, value, "a value of " WF_ST_META, &kept);
        if (s) return s;
    }
    if (q.error) return refuse(r, NULL, q.p, "%s", q.error);
    if (q.p < q.end) return refuse(r, NULL, q.p, "text behind the object " WF_ST_META);
    return check_meta_keys(r);
}

/* --- order ------------------------------------------------------------------------------------ */

static size_t named_bytes(const wf_named *t) {
    size_t bytes = 0;
    wf_type_bytes(t->dtype, &t->shape, &bytes); /* passed at read_offsets */
    return bytes;
}

/* By place; tensors without bytes before the one that starts there; then as the header has them
 * (names lie in the order of the header). */
static int compare_place(const void *pa, const void *pb) {
    const wf_named *a = pa, *b = pb;
    if (a->data != b->data) return (const char *)a->data < (const char *)b->data ? -1 : 1;
    const bool a_empty = named_bytes(a) == 0, b_empty = named_bytes(b) == 0;
    if (a_empty != b_empty) return a_empty ? -1 : 1;
    return a->name < b->name ? -1 : a->name > b->name;
}

/* The data of all tensors is the data of the file: from 0, without hole or overlap, to its end. */
static wf_status check_places(reader *r) {
    const wf_safetensors *s = r->s;
    const uint8_t *expected = r->data;
    for (size_t i = 0; i < s->count; i++) {
        const wf_named *t = &s->tensor[i];
        const uint8_t *begin = t->data;
        if (begin != expected)
            return refuse(r, t->name, (const char *)begin, "its data %s byte %zu of the data",
                          begin < expected ? "overlaps what ends at" : "leaves a hole from",
                          (size_t)(expected - r->data));
        expected = begin + named_bytes(t);
    }
    const size_t used = (size_t)(expected - r->data);
    if (used == r->data_bytes) return WF_OK;
    return refuse(r, NULL, (const char *)expected, "%zu bytes behind the last tensor",
                  r->data_bytes - used);
}

static int compare_name(const void *a, const void *b) {
    return strcmp((*(const wf_named *const *)a)->name, (*(const wf_named *const *)b)->name);
}

static wf_status index_names(reader *r) {
    wf_safetensors *s = r->s;
    for (size_t i = 0; i < s->count; i++) s->by_name[i] = &s->tensor[i];
    qsort(s->by_name, s->count, sizeof *s->by_name, compare_name);
    for (size_t i = 1; i < s->count; i++)
        if (!compare_name(&s->by_name[i - 1], &s->by_name[i]))
            return refuse(r, s->by_name[i]->name, r->header, "its name is in the header twice");
    return WF_OK;
}

/* --- open ------------------------------------------------------------------------------------- */

static wf_status find_header(reader *r) {
    const wf_map *map = &r->s->map;
    if (map->bytes < WF_ST_LENGTH_BYTES)
        return wf_fail(WF_FORMAT, "%s: %zu bytes are too few for a safetensors file", r->path,
                       map->bytes);
    uint64_t length = 0;
    for (int i = 0; i < WF_ST_LENGTH_BYTES; i++) length |= (uint64_t)map->data[i] << (8 * i);
    const size_t rest = map->bytes - WF_ST_LENGTH_BYTES;
    r->header = (const char *)map->data + WF_ST_LENGTH_BYTES;
    if (length > WF_ST_MAX_HEADER || length > rest)
        return wf_fail(WF_FORMAT, "%s: at byte 0: a header of %llu bytes in a file of %zu (limit "
                       "%zu); not a safetensors file, or cut short", r->path,
                       (unsigned long long)length, map->bytes, WF_ST_MAX_HEADER);
    if (length < 2 || r->header[0] != '{')
        return refuse(r, NULL, r->header, "the header does not begin with '{'");
    r->header_end = r->header + length;
    r->data = (const uint8_t *)r->header_end;
    r->data_bytes = rest - (size_t)length;
    return WF_OK;
}

static wf_status allocate(reader *r, size_t n, size_t text_bytes) {
    wf_safetensors *s = r->s;
    if (!wf_st_fits(n, text_bytes, s->map.bytes, &r->slack))
        return refuse(r, NULL, r->header, "%zu tensors are too many for a file this small", n);
    s->tensor = calloc(n ? n : 1, sizeof *s->tensor);
    s->by_name = calloc(n ? n : 1, sizeof *s->by_name);
    s->text = malloc(text_bytes ? text_bytes : 1);
    s->text_bytes = text_bytes;
    if (s->tensor && s->by_name && s->text) return WF_OK;
    return wf_fail(WF_MEMORY, "%s: no memory for %zu tensors", r->path, n);
}

static wf_status read_all(reader *r) {
    size_t n, text_bytes;
    wf_slice meta;
    wf_status s = find_header(r);
    if (!s) s = count_members(r, &n, &text_bytes, &meta);
    if (!s) s = allocate(r, n, text_bytes);
    if (!s) s = read_tensors(r);
    if (!s) s = read_meta(r, meta);
    if (s) return s;
    qsort(r->s->tensor, r->s->count, sizeof *r->s->tensor, compare_place);
    s = check_places(r);
    return s ? s : index_names(r);
}

wf_status wf_safetensors_open(wf_safetensors **out, const char *path) {
    *out = NULL;
    wf_safetensors *s = calloc(1, sizeof *s);
    if (!s) return wf_fail(WF_MEMORY, "%s: no memory to read it", path);
    reader r = {.s = s, .path = path};
    wf_status status = wf_map_open(&s->map, path);
    if (!status) status = read_all(&r);
    json_decref(r.pending);
    if (status) {
        wf_safetensors_free(s);
        return status;
    }
    *out = s;
    return WF_OK;
}

void wf_safetensors_free(wf_safetensors *s) {
    if (!s) return;
    wf_map_close(&s->map);
    free(s->tensor);
    free(s->by_name);
    free(s->text);
    free(s);
}

size_t wf_safetensors_count(const wf_safetensors *s) { return s->count; }

const wf_named *wf_safetensors_at(const wf_safetensors *s, size_t i) {
    return i < s->count ? &s->tensor[i] : NULL;
}

const wf_named *wf_safetensors_find(const wf_safetensors *s, const char *name) {
    size_t low = 0, high = s->count;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const wf_named *t = s->by_name[mid];
        const int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *wf_safetensors_meta(const wf_safetensors *s, const char *key) {
    const char *p = s->text + s->meta_begin;
    for (size_t i = 0; i < s->meta_count; i++) {
        const char *value = p + strlen(p) + 1;
        if (!strcmp(p, key)) return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}
