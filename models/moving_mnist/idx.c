/* Reading IDX images through zlib, which reads raw files as well.
 * A gzip stream does not tell its length, so the buffer grows with what has come out of it, never
 * with what the header promises. */
#include "models/moving_mnist/idx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define IMAGE_MAGIC 0x00000803u
#define HEADER_BYTES 16
#define MAX_IMAGES 2000000u        /* 1.6 GB; the largest set in use (EMNIST) has 697,932 */
#define FIRST_CAPACITY ((size_t)1 << 20)

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

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

static wf_status read_header(gzFile f, const char *path, int64_t *count) {
    uint8_t h[HEADER_BYTES];
    const int n = gzread(f, h, sizeof h);
    if (n != HEADER_BYTES) return read_failed(f, path);
    if (big_endian(h) != IMAGE_MAGIC)
        return wf_fail(WF_FORMAT, "%s: at byte 0: magic 0x%08x, IDX images have 0x%08x", path,
                       big_endian(h), IMAGE_MAGIC);
    if (big_endian(h + 4) > MAX_IMAGES)
        return wf_fail(WF_FORMAT, "%s: at byte 4: %u images, more than %u", path, big_endian(h + 4),
                       MAX_IMAGES);
    if (big_endian(h + 8) != IDX_SIDE || big_endian(h + 12) != IDX_SIDE)
        return wf_fail(WF_FORMAT, "%s: at byte 8: images of %ux%u, 28x28 is needed", path,
                       big_endian(h + 8), big_endian(h + 12));
    *count = big_endian(h + 4);
    return WF_OK;
}

static wf_status grow(uint8_t **buffer, size_t *capacity, size_t total, const char *path) {
    size_t n = *capacity ? 2 * *capacity : FIRST_CAPACITY;
    if (n > total) n = total;
    uint8_t *p = realloc(*buffer, n ? n : 1);
    if (!p) return wf_fail(WF_MEMORY, "%s: no memory for %zu bytes of images", path, n);
    *buffer = p;
    *capacity = n;
    return WF_OK;
}

static wf_status read_pixels(gzFile f, const char *path, idx_images *out) {
    const size_t total = (size_t)out->count * IDX_PIXELS; /* at most 2e6 * 784: fits */
    size_t used = 0, capacity = 0;
    wf_status s = grow(&out->pixels, &capacity, total, path);
    while (!s && used < total) {
        if (used == capacity) s = grow(&out->pixels, &capacity, total, path);
        if (s) break;
        const size_t want = capacity - used < FIRST_CAPACITY ? capacity - used : FIRST_CAPACITY;
        const int n = gzread(f, out->pixels + used, (unsigned)want);
        if (n <= 0) return read_failed(f, path);
        used += (size_t)n;
    }
    if (s) return s;
    /* One byte more: the end of the stream, where zlib checks its CRC. */
    uint8_t extra;
    const int n = gzread(f, &extra, 1);
    if (n < 0) return read_failed(f, path);
    if (n > 0)
        return wf_fail(WF_FORMAT, "%s: more bytes than its %lld images need", path,
                       (long long)out->count);
    return WF_OK;
}

static wf_status load_descriptor(idx_images *out, int fd, const char *path) {
    gzFile f = gzdopen(fd, "rb");
    if (!f) {
        close(fd);
        return wf_fail(WF_MEMORY, "%s: no memory to unpack it", path);
    }
    gzbuffer(f, 1 << 17);
    wf_status s = read_header(f, path, &out->count);
    if (!s) s = read_pixels(f, path, out);
    const int closed = gzclose_r(f);
    if (!s && closed != Z_OK) s = wf_fail(WF_FORMAT, "%s: ends too early; cut short", path);
    return s;
}

/* Opens the first of the official names that exists in the folder; -1 if none does. */
static int open_in_folder(const char *folder, const char *split, char *path, size_t size) {
    static const char *const forms[] = {"%s/%s-images-idx3-ubyte.gz", "%s/%s-images-idx3-ubyte",
                                        "%s/%s-images.idx3-ubyte.gz", "%s/%s-images.idx3-ubyte"};
    const char *prefix = strcmp(split, "test") ? "train" : "t10k";
    int fd = -1;
    for (size_t i = 0; fd < 0 && i < WF_COUNT(forms); i++) {
        const int n = snprintf(path, size, forms[i], folder, prefix);
        if (n > 0 && (size_t)n < size) fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    return fd;
}

wf_status idx_load(idx_images *out, const char *path, const char *split) {
    *out = (idx_images){0};
    if (strcmp(split, "train") && strcmp(split, "test"))
        return wf_fail(WF_ARGUMENT, "split '%s': use train or test", split);
    char name[4096];
    struct stat st;
    /* O_NONBLOCK: a FIFO is refused below instead of waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        fd = open_in_folder(path, split, name, sizeof name);
        if (fd < 0)
            return wf_fail(WF_INPUT, "%s: no images of the %s split in it (%s-images-idx3-ubyte, "
                           "with or without .gz); `make data` downloads them", path, split,
                           strcmp(split, "test") ? "train" : "t10k");
        path = name;
    }
    if (fd < 0) return wf_fail(WF_INPUT, "%s: cannot open it: %s", path, strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return wf_fail(WF_INPUT, "%s: not a regular file", path);
    }
    const wf_status s = load_descriptor(out, fd, path);
    if (s) idx_free(out);
    return s;
}

void idx_free(idx_images *images) {
    free(images->pixels);
    *images = (idx_images){0};
}
