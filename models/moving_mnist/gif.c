/* Animated GIFs, see gif.h. A frame is composed as palette indices in memory, then compressed by
 * giflib straight into an atomic file.
 *
 *   palette   0 .. 119 black to white, then colours of the caption strip
 *   layout    a strip with the caption above each panel; a gap of 4 pixels between panels
 *
 * After the first frame only the rectangle that changed is stored. */
#include "models/moving_mnist/gif.h"

#include "models/moving_mnist/font.h"

#include <gif_lib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define GREYS 120
#define COLOURS 128 /* a power of two */
#define STRIP GREYS /* indices of the colours behind the greys */
#define GAP_COLOUR (GREYS + 1)
#define TEXT (GREYS + 2) /* and TEXT + 1: captions of odd columns */
#define GAP 4
#define MARGIN 4         /* between strip and text */
#define MAX_SIDE 65535   /* the format's */
#define MIN_ZOOM_WIDTH 160 /* panels this wide get captions of double size */

typedef struct canvas {
    int width, height;
    int panel, strip, zoom; /* side of a scaled panel, height of a caption strip, size of a dot */
    uint8_t *now, *before;  /* (height, width) */
    float *row;             /* (2, panel): two source rows, widened */
} canvas;

typedef struct box {
    int left, top, right, bottom; /* right and bottom are outside */
} box;

/* --- composing -------------------------------------------------------------------------------- */

static void put_text(canvas *c, int left, int top, int width, const char *text, uint8_t colour) {
    for (int x = 0; *text && x + FONT_WIDTH * c->zoom <= width; text++) {
        const uint8_t *glyph = font_glyph(*text);
        for (int i = 0; i < FONT_HEIGHT * c->zoom; i++)
            for (int j = 0; j < FONT_WIDTH * c->zoom; j++)
                if (glyph[i / c->zoom] >> (FONT_WIDTH - 1 - j / c->zoom) & 1)
                    c->now[(size_t)(top + i) * (size_t)c->width + (size_t)(left + x + j)] = colour;
        x += (FONT_WIDTH + 1) * c->zoom;
    }
}

/* Source coordinate of pixel i: pixel centres map to pixel centres, edges are repeated. */
static void sample(int i, int size, int scale, int *low, int *high, float *weight) {
    const float s = ((float)i + .5f) / (float)scale - .5f;
    *low = s < 0 ? 0 : (int)s;
    *high = *low + 1 < size ? *low + 1 : size - 1;
    *weight = s < 0 ? 0 : s - (float)*low;
}

/* out (panel) = row `y` of the image, widened. */
static void widen(const float *image, int y, int size, int scale, float *out) {
    for (int x = 0; x < size * scale; x++) {
        int low, high;
        float w;
        sample(x, size, scale, &low, &high, &w);
        float v[2] = {image[(size_t)y * (size_t)size + (size_t)low],
                      image[(size_t)y * (size_t)size + (size_t)high]};
        for (int i = 0; i < 2; i++) v[i] = v[i] > 0 ? v[i] < 1 ? v[i] : 1 : 0; /* NaN: 0 */
        out[x] = v[0] + w * (v[1] - v[0]);
    }
}

static void put_image(canvas *c, int left, int top, const float *image, int size, int scale) {
    int held = -1; /* the source row in c->row */
    for (int y = 0; y < c->panel; y++) {
        int low, high;
        float w;
        sample(y, size, scale, &low, &high, &w);
        float *a = c->row, *b = c->row + c->panel;
        if (low != held) {
            widen(image, low, size, scale, a);
            widen(image, high, size, scale, b);
            held = low;
        }
        uint8_t *out = c->now + (size_t)(top + y) * (size_t)c->width + (size_t)left;
        for (int x = 0; x < c->panel; x++)
            out[x] = (uint8_t)((a[x] + w * (b[x] - a[x])) * (GREYS - 1) + .5f);
    }
}

static void compose(canvas *c, const gif_movie *m, int frame) {
    memset(c->now, GAP_COLOUR, (size_t)c->width * (size_t)c->height);
    for (int i = 0; i < m->rows; i++)
        for (int j = 0; j < m->columns; j++) {
            const gif_panel *p = m->panel + ((size_t)frame * (size_t)m->rows + (size_t)i) *
                                                (size_t)m->columns + j;
            const int left = j * (c->panel + GAP), top = i * (c->strip + c->panel + GAP);
            for (int y = 0; y < c->strip; y++)
                memset(c->now + (size_t)(top + y) * (size_t)c->width + (size_t)left, STRIP,
                       (size_t)c->panel);
            if (p->caption)
                put_text(c, left + MARGIN, top + MARGIN, c->panel - 2 * MARGIN, p->caption,
                         (uint8_t)(TEXT + j % 2));
            put_image(c, left, top + c->strip, p->image, m->size, m->scale);
        }
}

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
    GifColorType colour[COLOURS] = {{0, 0, 0}};
    for (int i = 0; i < GREYS; i++) {
        const GifByteType v = (GifByteType)((255 * i + (GREYS - 1) / 2) / (GREYS - 1));
        colour[i] = (GifColorType){v, v, v};
    }
    colour[STRIP] = (GifColorType){28, 30, 38};
    colour[GAP_COLOUR] = (GifColorType){58, 62, 76};
    colour[TEXT] = (GifColorType){255, 196, 84};
    colour[TEXT + 1] = (GifColorType){126, 214, 223};
    ColorMapObject *map = GifMakeMapObject(COLOURS, colour);
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

static bool put_movie(GifFileType *gif, canvas *c, const gif_movie *m) {
    if (!put_header(gif, c)) return false;
    for (int t = 0; t < m->frames; t++) {
        compose(c, m, t);
        if (!put_frame(gif, c, m->delay_cs ? m->delay_cs : 30, t == 0)) return false;
        uint8_t *swap = c->before;
        c->before = c->now;
        c->now = swap;
    }
    return true;
}

static wf_status write_gif(const char *path, canvas *c, const gif_movie *m) {
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

/* Extents of the picture from those of the movie; false if they cannot be. */
static bool lay_out(canvas *c, const gif_movie *m) {
    if (m->frames < 1 || m->rows < 1 || m->columns < 1 || m->size < 1 || m->scale < 1) return false;
    if (m->delay_cs < 0 || m->delay_cs > MAX_SIDE || m->rows > MAX_SIDE || m->columns > MAX_SIDE)
        return false;
    const int64_t panel = (int64_t)m->size * m->scale;
    if (panel > MAX_SIDE) return false;
    c->zoom = panel >= MIN_ZOOM_WIDTH ? 2 : 1;
    c->strip = FONT_HEIGHT * c->zoom + 2 * MARGIN;
    c->panel = (int)panel;
    const int64_t width = m->columns * (panel + GAP) - GAP,
                  height = m->rows * (panel + c->strip + GAP) - GAP;
    if (width > MAX_SIDE || height > MAX_SIDE) return false;
    c->width = (int)width;
    c->height = (int)height;
    return true;
}

wf_status gif_write(const char *path, const gif_movie *m) {
    canvas c = {0};
    if (!lay_out(&c, m))
        return wf_fail(WF_ARGUMENT, "%s: a movie of %d frames, %d x %d panels, size %d, scale %d: "
                       "not possible", path, m->frames, m->rows, m->columns, m->size, m->scale);
    const size_t pixels = (size_t)c.width * (size_t)c.height; /* at most 65535^2 */
    uint8_t *buffer = calloc(2, pixels);
    c.row = calloc(2 * (size_t)c.panel, sizeof *c.row);
    wf_status s = WF_MEMORY;
    if (buffer && c.row) {
        c.now = buffer;
        c.before = buffer + pixels;
        s = write_gif(path, &c, m);
    } else {
        wf_fail(s, "%s: no memory for a picture of %d x %d pixels", path, c.width, c.height);
    }
    free(buffer);
    free(c.row);
    return s;
}
