/* Animated GIFs, see gif.h: frames from picture.c, compressed by giflib straight into an atomic
 * file. After the first frame only the rectangle that changed is stored. */
#include "models/moving_mnist/gif.h"

#include <gif_lib.h>
#include <string.h>

typedef struct box {
    int left, top, right, bottom; /* right and bottom are outside */
} box;

/* The smallest box with all pixels that differ; at least one pixel, as a frame must have one. */
static box changed(const canvas *c) {
    box b = {c->width, c->height, 0, 0};
    for (int y = 0; y < c->height; y++) {
        const uint8_t *now = c->now + (size_t)y * (size_t)c->width,
                      *before = c->before + (size_t)y * (size_t)c->width;
        if (!memcmp(now, before, (size_t)c->width)) continue;
        if (b.top > y) b.top = y;
        b.bottom = y + 1;
        int l = 0, r = c->width;
        while (now[l] == before[l]) l++;
        while (now[r - 1] == before[r - 1]) r--;
        if (l < b.left) b.left = l;
        if (r > b.right) b.right = r;
    }
    return b.bottom ? b : (box){0, 0, 1, 1};
}

/* --- writing ---------------------------------------------------------------------------------- */

typedef struct sink {
    wf_file *file;
    wf_status status;
} sink;

static int put_bytes(GifFileType *gif, const GifByteType *bytes, int n) {
    sink *s = gif->UserData;
    if (!s->status) s->status = wf_file_write(s->file, bytes, (size_t)n);
    return s->status ? 0 : n;
}

static bool put_header(GifFileType *gif, const canvas *c) {
    GifColorType colour[PICTURE_COLOURS];
    picture_colour palette[PICTURE_COLOURS];
    picture_palette(palette);
    for (int i = 0; i < PICTURE_COLOURS; i++)
        colour[i] = (GifColorType){palette[i].r, palette[i].g, palette[i].b};
    ColorMapObject *map = GifMakeMapObject(PICTURE_COLOURS, colour);
    if (!map) return false;
    EGifSetGifVersion(gif, true);
    const int ok = EGifPutScreenDesc(gif, c->width, c->height, 8, 0, map);
    GifFreeMapObject(map);
    static const GifByteType forever[] = {1, 0, 0};
    return ok == GIF_OK && EGifPutExtensionLeader(gif, APPLICATION_EXT_FUNC_CODE) == GIF_OK &&
           EGifPutExtensionBlock(gif, 11, "NETSCAPE2.0") == GIF_OK &&
           EGifPutExtensionBlock(gif, sizeof forever, forever) == GIF_OK &&
           EGifPutExtensionTrailer(gif) == GIF_OK;
}

static bool put_frame(GifFileType *gif, canvas *c, int delay_cs, bool first) {
    const GraphicsControlBlock control = {.DisposalMode = DISPOSE_DO_NOT,
                                          .DelayTime = delay_cs,
                                          .TransparentColor = NO_TRANSPARENT_COLOR};
    GifByteType bytes[4];
    const int n = (int)EGifGCBToExtension(&control, bytes);
    if (EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, n, bytes) != GIF_OK) return false;
    const box b = first ? (box){0, 0, c->width, c->height} : changed(c);
    if (EGifPutImageDesc(gif, b.left, b.top, b.right - b.left, b.bottom - b.top, false, NULL) !=
        GIF_OK)
        return false;
    for (int y = b.top; y < b.bottom; y++)
        if (EGifPutLine(gif, c->now + (size_t)y * (size_t)c->width + b.left, b.right - b.left) !=
            GIF_OK)
            return false;
    return true;
}

static bool put_movie(GifFileType *gif, canvas *c, const picture *m) {
    if (!put_header(gif, c)) return false;
    for (int t = 0; t < m->frames; t++) {
        canvas_compose(c, m, t);
        if (!put_frame(gif, c, m->delay_cs ? m->delay_cs : 30, t == 0)) return false;
    }
    return true;
}

static wf_status write_gif(const char *path, canvas *c, const picture *m) {
    sink s = {0};
    wf_status status = wf_file_create(&s.file, path);
    if (status) return status;
    int error = 0;
    GifFileType *gif = EGifOpen(&s, put_bytes, &error);
    bool ok = gif && put_movie(gif, c, m);
    if (gif && EGifCloseFile(gif, &error) != GIF_OK) ok = false;
    if (!ok || s.status) {
        wf_file_discard(s.file);
        return s.status ? s.status : wf_fail(WF_MEMORY, "%s: no memory to compress it", path);
    }
    return wf_file_commit(s.file);
}

wf_status gif_write(const char *path, const picture *m) {
    canvas c;
    wf_status s = canvas_open(&c, m, path);
    if (!s) s = write_gif(path, &c, m);
    canvas_close(&c);
    return s;
}
