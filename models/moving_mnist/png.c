/* PNG files: signature, IHDR, PLTE, one IDAT, IEND; see png.h. */
#include "models/moving_mnist/png.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void put_u32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* length | type | data | CRC-32 of type and data */
static wf_status put_chunk(wf_file *f, const char *type, const void *data, uint32_t bytes) {
    uint8_t head[8], tail[4];
    put_u32(head, bytes);
    memcpy(head + 4, type, 4);
    uLong crc = crc32(0, head + 4, 4);
    if (bytes) crc = crc32(crc, data, bytes);
    put_u32(tail, (uint32_t)crc);
    wf_status s = wf_file_write(f, head, sizeof head);
    if (!s && bytes) s = wf_file_write(f, data, bytes);
    return s ? s : wf_file_write(f, tail, sizeof tail);
}

/* Rows of pixels, each behind a byte for "no filter", compressed; *out is the caller's. */
static wf_status compress_rows(const canvas *c, uint8_t **out, uint32_t *bytes) {
    const size_t width = (size_t)c->width, line = width + 1, raw = line * (size_t)c->height;
    uLongf n = compressBound((uLong)raw);
    uint8_t *rows = malloc(raw);
    *out = malloc(n);
    const bool room = rows && *out && n <= INT32_MAX;
    for (size_t y = 0; room && y < (size_t)c->height; y++) {
        rows[y * line] = 0;
        memcpy(rows + y * line + 1, c->now + y * width, width);
    }
    const bool ok = room && compress2(*out, &n, rows, (uLong)raw, 9) == Z_OK;
    free(rows);
    *bytes = (uint32_t)n;
    return ok ? WF_OK : wf_fail(WF_MEMORY, "no memory for a picture of %d x %d pixels", c->width,
                                c->height);
}

static wf_status put_picture(wf_file *f, const canvas *c) {
    static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t header[13] = {[8] = 8, [9] = 3}, *data = NULL; /* 8 bits, palette */
    uint32_t bytes = 0;
    picture_colour palette[PICTURE_COLOURS];
    put_u32(header, (uint32_t)c->width);
    put_u32(header + 4, (uint32_t)c->height);
    picture_palette(palette);
    wf_status s = compress_rows(c, &data, &bytes);
    if (!s) s = wf_file_write(f, signature, sizeof signature);
    if (!s) s = put_chunk(f, "IHDR", header, sizeof header);
    if (!s) s = put_chunk(f, "PLTE", palette, sizeof palette);
    if (!s) s = put_chunk(f, "IDAT", data, bytes);
    if (!s) s = put_chunk(f, "IEND", NULL, 0);
    free(data);
    return s;
}

wf_status png_write(const char *path, const picture *grid) {
    canvas c;
    wf_file *f = NULL;
    wf_status s = canvas_open(&c, grid, path);
    if (!s) s = wf_file_create(&f, path);
    if (!s) {
        canvas_compose(&c, grid, 0);
        s = put_picture(f, &c);
        if (!s)
            s = wf_file_commit(f);
        else
            wf_file_discard(f);
    }
    canvas_close(&c);
    return s;
}
