/* NumPy's npy files, format versions 1.0, 2.0 and 3.0.
 *
 *   "\x93NUMPY" major minor | header length, 2 (v1) or 4 bytes, little-endian | header | data
 *   header: {'descr': '<f4', 'fortran_order': False, 'shape': (20, 8, 64, 64), } spaces newline
 *
 * Invariants
 *   - The header is matched against exactly this grammar: three keys, each once, in any order. It
 *     is never evaluated; objects, structured types and Fortran order are refused.
 *   - Nothing is allocated because of a header: data is used where it is mapped, and the shape must
 *     account for every byte of the file.
 * Source: NumPy's NEP 1 and numpy.lib.format. */
#include "tensor/file.h"
#include "tensor/io.h"
#include "tensor/size.h"

#include <stdio.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define MAX_HEADER 65535 /* numpy itself refuses more than 10,000 unless told otherwise */
#define MAX_DIM ((int64_t)1 << 48)

/* The types that are read and written; the first spelling is the one that is written. */
static const struct {
    const char *descr;
    wf_dtype dtype;
} types[] = {
    {"|u1", WF_U8}, {"<f4", WF_F32}, {"<f8", WF_F64}, {"<i4", WF_I32}, {"<i8", WF_I64},
    {"|b1", WF_BOOL}, {"<f2", WF_F16}, {"<u1", WF_U8}, {"<b1", WF_BOOL},
};

/* --- reading ---------------------------------------------------------------------------------- */

typedef struct parser {
    const char *begin, *p, *end;
    const char *error; /* NULL, or what is wrong at p */
} parser;

static bool fail(parser *q, const char *error) {
    if (!q->error) q->error = error;
    return false;
}

static void skip_space(parser *q) {
    while (q->p < q->end && (*q->p == ' ' || *q->p == '\t' || *q->p == '\n')) q->p++;
}

static bool accept(parser *q, char c) {
    skip_space(q);
    if (q->p >= q->end || *q->p != c) return false;
    q->p++;
    return true;
}

/* A quoted word without escapes, copied into buf. */
static bool parse_word(parser *q, char *buf, size_t size) {
    skip_space(q);
    const char quote = q->p < q->end ? *q->p : '\0';
    if (quote != '\'' && quote != '"') return fail(q, "a word in quotes expected");
    size_t n = 0;
    const char *p = q->p + 1;
    while (p < q->end && *p != quote && n + 1 < size && *p > ' ' && *p < 0x7f && *p != '\\')
        buf[n++] = *p++;
    if (p >= q->end || *p != quote) return fail(q, "a word is too long or has no end");
    buf[n] = '\0';
    q->p = p + 1;
    return true;
}

static bool parse_extent(parser *q, int64_t *out) {
    skip_space(q);
    int64_t v = 0;
    const char *const first = q->p;
    for (; q->p < q->end && *q->p >= '0' && *q->p <= '9'; q->p++) {
        v = 10 * v + (*q->p - '0'); /* below 10 * 2^48 + 10: no overflow */
        if (v > MAX_DIM) return fail(q, "an extent is larger than 2^48");
    }
    if (q->p == first) return fail(q, "an extent (a number without sign) expected");
    if (*first == '0' && q->p > first + 1) return fail(q, "an extent begins with 0");
    *out = v;
    return true;
}

/* () or (a,) or (a, b) or (a, b, ) */
static bool parse_shape(parser *q, wf_shape *out) {
    *out = (wf_shape){0};
    if (!accept(q, '(')) return fail(q, "'(' expected");
    bool comma = false;
    while (!accept(q, ')')) {
        if (out->rank > 0 && !comma) return fail(q, "',' or ')' expected");
        if (out->rank == WF_MAX_RANK) return fail(q, "more than 8 axes");
        if (!parse_extent(q, &out->dim[out->rank])) return false;
        out->rank++;
        comma = accept(q, ',');
    }
    return (out->rank != 1 || comma) || fail(q, "a shape of one axis is written (n,)");
}

static bool parse_type(parser *q, wf_dtype *out) {
    char word[16];
    skip_space(q);
    if (q->p < q->end && *q->p == '[') return fail(q, "structured types are not read");
    if (!parse_word(q, word, sizeof word)) return false;
    for (size_t i = 0; i < WF_COUNT(types); i++) {
        if (strcmp(types[i].descr, word)) continue;
        *out = types[i].dtype;
        return true;
    }
    return fail(q, word[0] == '>' ? "big-endian data is not read; convert with .astype('<f4')"
                                  : "this dtype is not read; use u1, i4, i8, f2, f4, f8 or bool");
}

static bool parse_c_order(parser *q) {
    static const char word[] = "False";
    skip_space(q);
    if ((size_t)(q->end - q->p) >= sizeof word - 1 && !memcmp(q->p, word, sizeof word - 1)) {
        q->p += sizeof word - 1;
        return true;
    }
    return fail(q, "fortran_order is not False; save numpy.ascontiguousarray(a)");
}

static bool parse_header(parser *q, wf_npy *out) {
    bool descr = false, order = false, shape = false;
    if (!accept(q, '{')) return fail(q, "'{' expected");
    bool comma = true;
    while (!accept(q, '}')) {
        char key[16];
        if (!comma) return fail(q, "',' or '}' expected");
        if (!parse_word(q, key, sizeof key)) return false;
        if (!accept(q, ':')) return fail(q, "':' expected");
        bool *seen = !strcmp(key, "descr")           ? &descr
                     : !strcmp(key, "fortran_order") ? &order
                     : !strcmp(key, "shape")         ? &shape
                                                     : NULL;
        if (!seen || *seen) return fail(q, "a key is unknown or appears twice");
        *seen = true;
        if (!(seen == &descr   ? parse_type(q, &out->dtype)
              : seen == &order ? parse_c_order(q)
                               : parse_shape(q, &out->shape)))
            return false;
        comma = accept(q, ',');
    }
    skip_space(q);
    if (q->p != q->end) return fail(q, "text behind '}'");
    if (q->end[-1] != '\n') return fail(q, "the header does not end with a newline");
    return (descr && order && shape) || fail(q, "descr, fortran_order or shape is missing");
}

/* Finds the header's text; sets *data to the offset behind it. */
static wf_status find_header(const wf_map *map, const char *path, parser *q, size_t *data) {
    const uint8_t *b = map->data;
    if (map->bytes < MAGIC_BYTES + 4 || memcmp(b, MAGIC, MAGIC_BYTES))
        return wf_fail(WF_FORMAT, "%s: at byte 0: not an npy file", path);
    const int major = b[6], minor = b[7];
    if (major < 1 || major > 3 || minor != 0)
        return wf_fail(WF_FORMAT, "%s: at byte 6: npy version %d.%d is not known", path, major,
                       minor);
    const size_t start = major == 1 ? 10 : 12;
    size_t length = (size_t)b[8] | (size_t)b[9] << 8;
    if (major > 1 && map->bytes >= start) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (map->bytes < start || length > map->bytes - start || length > MAX_HEADER || length == 0)
        return wf_fail(WF_FORMAT, "%s: at byte 8: a header of %zu bytes, a file of %zu; cut short?",
                       path, length, map->bytes);
    *data = start + length;
    q->begin = q->p = (const char *)b + start;
    q->end = q->begin + length;
    return WF_OK;
}

static wf_status read_npy(wf_npy *out, const wf_map *map, const char *path) {
    parser q = {0};
    size_t offset = 0, bytes;
    const wf_status s = find_header(map, path, &q, &offset);
    if (s) return s;
    if (!parse_header(&q, out))
        return wf_fail(WF_FORMAT, "%s: at byte %zu: %s", path,
                       (size_t)((const uint8_t *)q.p - map->data), q.error);
    char shape[200];
    wf_shape_text(&out->shape, shape, sizeof shape);
    if (!wf_type_bytes(out->dtype, &out->shape, &bytes))
        return wf_fail(WF_FORMAT, "%s: shape %s has too many elements to count", path, shape);
    if (bytes != map->bytes - offset)
        return wf_fail(WF_FORMAT, "%s: at byte %zu: shape %s needs %zu bytes of data, the file has "
                       "%zu", path, offset, shape, bytes, map->bytes - offset);
    out->data = map->data + offset;
    return WF_OK;
}

wf_status wf_npy_open(wf_npy *out, const char *path) {
    *out = (wf_npy){0};
    wf_map map;
    wf_status s = wf_map_open(&map, path);
    if (s) return s;
    s = read_npy(out, &map, path);
    if (s) {
        wf_map_close(&map);
        *out = (wf_npy){0};
        return s;
    }
    out->map = (void *)map.data;
    out->map_bytes = map.bytes;
    return WF_OK;
}

void wf_npy_close(wf_npy *a) {
    wf_map map = {.data = a->map, .bytes = a->map_bytes};
    wf_map_close(&map);
    *a = (wf_npy){0};
}

/* --- writing ---------------------------------------------------------------------------------- */

static const char *descr_of(wf_dtype t) {
    for (size_t i = 0; i < WF_COUNT(types); i++)
        if (types[i].dtype == t) return types[i].descr;
    return NULL;
}

/* Version 1.0, padded so that the data begins at a multiple of 64 bytes. Returns its length. */
static size_t format_header(char *buf, size_t size, const char *descr, const wf_shape *shape) {
    int n = snprintf(buf, size, MAGIC "%c%c%c%c{'descr': '%s', 'fortran_order': False, 'shape': (",
                     1, 0, 0, 0, descr);
    for (int i = 0; i < shape->rank; i++)
        n += snprintf(buf + n, size - (size_t)n, i ? ", %lld" : "%lld", (long long)shape->dim[i]);
    n += snprintf(buf + n, size - (size_t)n, shape->rank == 1 ? ",), }" : "), }");
    const size_t total = ((size_t)n + 1 + 63) & ~(size_t)63;
    memset(buf + n, ' ', total - (size_t)n);
    buf[total - 1] = '\n';
    const size_t length = total - 10;
    buf[8] = (char)(length & 255);
    buf[9] = (char)(length >> 8);
    return total;
}

wf_status wf_npy_create(wf_file **out, const char *path, wf_dtype dtype, wf_shape shape) {
    *out = NULL;
    const char *descr = descr_of(dtype);
    size_t bytes;
    bool ok = descr && wf_type_bytes(dtype, &shape, &bytes);
    for (int i = 0; ok && i < shape.rank; i++) ok = shape.dim[i] <= MAX_DIM;
    if (!ok) return wf_fail(WF_ARGUMENT, "%s: npy cannot hold this dtype or shape", path);
    char header[512]; /* at most 10 + 60 + 8 * 17 + 64 bytes */
    const size_t n = format_header(header, sizeof header, descr, &shape);
    wf_status s = wf_file_create(out, path);
    if (s) return s;
    s = wf_file_write(*out, header, n);
    if (s) {
        wf_file_discard(*out);
        *out = NULL;
    }
    return s;
}

wf_status wf_npy_write(const char *path, wf_dtype dtype, wf_shape shape, const void *data) {
    wf_file *f;
    size_t bytes = 0;
    if (!data && wf_shape_count(&shape) > 0)
        return wf_fail(WF_ARGUMENT, "wf_npy_write: the data is NULL");
    wf_status s = wf_npy_create(&f, path, dtype, shape);
    if (s) return s;
    wf_type_bytes(dtype, &shape, &bytes); /* checked by create */
    s = wf_file_write(f, data, bytes);
    if (s) {
        wf_file_discard(f);
        return s;
    }
    return wf_file_commit(f);
}
