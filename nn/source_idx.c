/* Reading IDX files through zlib, which reads raw files as well; see source.h. */
#include "nn/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { UNSIGNED_BYTE = 0x08, FIRST_CAPACITY = 1 << 20, PATH_BYTES = 4096 };

/* What zlib or the system says about the last read. */
static wf_status read_failed(gzFile f, const char *path) {
    int code;
    const char *text = gzerror(f, &code);
    if (code == Z_ERRNO) return wf_fail(WF_INPUT, "%s: cannot read it: %s", path, strerror(errno));
    if (code == Z_MEM_ERROR) return wf_fail(WF_MEMORY, "%s: no memory to unpack it", path);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return wf_fail(WF_FORMAT, "%s: the gzip stream is damaged: %s", path, text);
    return wf_fail(WF_FORMAT, "%s: ends too early; the file is cut short", path);
}

/* "[N,28,28]": extents, N for any. */
static const char *extents(const wf_shape *s, char *text, size_t size) {
    size_t n = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < s->rank && n < size; i++)
        n += s->dim[i] ? (size_t)snprintf(text + n, size - n, "%lld,", (long long)s->dim[i])
                       : (size_t)snprintf(text + n, size - n, "N,");
    if (n < size) text[n - (s->rank > 0)] = ']';
    return text;
}

static wf_status check_shape(const char *path, const wf_shape *want, const wf_shape *is) {
    bool fits = want->rank == 0 || want->rank == is->rank;
    for (int i = 0; fits && i < want->rank; i++) fits = !want->dim[i] || want->dim[i] == is->dim[i];
    char a[256] = "", b[256] = "";
    if (fits) return WF_OK;
    return wf_fail(WF_FORMAT, "%s: at byte 3: holds bytes of shape %s, %s is needed", path,
                   extents(is, a, sizeof a), extents(want, b, sizeof b));
}

static wf_status read_header(gzFile f, const char *path, wf_shape *shape) {
    uint8_t head[4], extent[4];
    if (gzread(f, head, sizeof head) != sizeof head) return read_failed(f, path);
    if (head[0] || head[1] || head[2] != UNSIGNED_BYTE)
        return wf_fail(WF_FORMAT, "%s: at byte 0: %02x %02x %02x; IDX files of bytes begin with "
                       "00 00 08", path, head[0], head[1], head[2]);
    if (head[3] < 1 || head[3] > WF_MAX_RANK)
        return wf_fail(WF_FORMAT, "%s: at byte 3: %d axes, not 1 to %d", path, head[3],
                       WF_MAX_RANK);
    int64_t dim[WF_MAX_RANK];
    for (int i = 0; i < head[3]; i++) {
        if (gzread(f, extent, sizeof extent) != sizeof extent) return read_failed(f, path);
        dim[i] = (int64_t)extent[0] << 24 | extent[1] << 16 | extent[2] << 8 | extent[3];
    }
    const wf_shape want = *shape;
    *shape = wf_shape_make(head[3], dim);
    if (wf_shape_count(shape) < 0)
        return wf_fail(WF_FORMAT, "%s: at byte 4: the product of the extents is too large", path);
    return check_shape(path, &want, shape);
}

static wf_status read_bytes(gzFile f, const char *path, size_t total, uint8_t **data) {
    size_t capacity = total < FIRST_CAPACITY ? total : FIRST_CAPACITY, used = 0;
    *data = malloc(capacity + 1);
    while (*data && used < total) {
        if (used == capacity) {
            capacity = capacity < total / 2 ? 2 * capacity : total;
            uint8_t *grown = realloc(*data, capacity + 1);
            if (!grown) break;
            *data = grown;
        }
        const size_t want = capacity - used < FIRST_CAPACITY ? capacity - used : FIRST_CAPACITY;
        const int n = gzread(f, *data + used, (unsigned)want);
        if (n <= 0) return read_failed(f, path);
        used += (size_t)n;
    }
    if (!*data || used < total)
        return wf_fail(WF_MEMORY, "%s: no memory for its %zu bytes", path, total);
    /* One byte more: the end of the stream, where zlib checks its CRC. */
    uint8_t extra;
    const int n = gzread(f, &extra, 1);
    if (n < 0) return read_failed(f, path);
    return n ? wf_fail(WF_FORMAT, "%s: more bytes than its header tells", path) : WF_OK;
}

wf_status wf_idx_read(const char *path, wf_shape *shape, uint8_t **data) {
    struct stat st;
    char packed[PATH_BYTES];
    *data = NULL;
    if (stat(path, &st)) {
        const int why = errno, n = snprintf(packed, sizeof packed, "%s.gz", path);
        if (n < 0 || n >= PATH_BYTES || stat(packed, &st))
            return wf_fail(WF_INPUT, "%s: cannot open it: %s", path, strerror(why));
        path = packed;
    }
    if (!S_ISREG(st.st_mode)) return wf_fail(WF_INPUT, "%s: is not a regular file", path);
    gzFile f = gzopen(path, "rbe");
    if (!f)
        return wf_fail(errno ? WF_INPUT : WF_MEMORY, "%s: cannot open it: %s", path,
                       errno ? strerror(errno) : "no memory");
    wf_status status = read_header(f, path, shape);
    if (!status) status = read_bytes(f, path, (size_t)wf_shape_count(shape), data);
    if (gzclose_r(f) != Z_OK && !status)
        status = wf_fail(WF_FORMAT, "%s: ends too early; the file is cut short", path);
    if (status) {
        free(*data);
        *data = NULL;
    }
    return status;
}
