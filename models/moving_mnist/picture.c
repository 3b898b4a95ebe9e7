/* Composing panels; see picture.h.
 *
 *   palette   0 .. 119 black to white, then colours of the caption strip
 *   layout    a strip with the caption above each panel; a gap of 4 pixels between panels */
#include "models/moving_mnist/picture.h"

#include "models/moving_mnist/font.h"

#include <stdlib.h>
#include <string.h>

#define GREYS 120
#define STRIP GREYS /* indices of the colours behind the greys */
#define GAP_COLOUR (GREYS + 1)
#define TEXT (GREYS + 2) /* and TEXT + 1: the two tints of captions */
#define GAP 4
#define MARGIN 4         /* between strip and text */
#define MAX_SIDE 65535   /* GIF's */
#define MIN_ZOOM_WIDTH 212 /* panels this wide get captions of double size: 17 letters fit */

void picture_palette(picture_colour colour[PICTURE_COLOURS]) {
    memset(colour, 0, PICTURE_COLOURS * sizeof *colour);
    for (int i = 0; i < GREYS; i++) {
        const uint8_t v = (uint8_t)((255 * i + (GREYS - 1) / 2) / (GREYS - 1));
        colour[i] = (picture_colour){v, v, v};
    }
    colour[STRIP] = (picture_colour){28, 30, 38};
    colour[GAP_COLOUR] = (picture_colour){58, 62, 76};
    colour[TEXT] = (picture_colour){255, 196, 84};
    colour[TEXT + 1] = (picture_colour){126, 214, 223};
}

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
    for (int y = 0; y < c->side; y++) {
        int low, high;
        float w;
        sample(y, size, scale, &low, &high, &w);
        float *a = c->row, *b = c->row + c->side;
        if (low != held) {
            widen(image, low, size, scale, a);
            widen(image, high, size, scale, b);
            held = low;
        }
        uint8_t *out = c->now + (size_t)(top + y) * (size_t)c->width + (size_t)left;
        for (int x = 0; x < c->side; x++)
            out[x] = (uint8_t)((a[x] + w * (b[x] - a[x])) * (GREYS - 1) + .5f);
    }
}

void canvas_compose(canvas *c, const picture *m, int frame) {
    uint8_t *swap = c->before;
    c->before = c->now;
    c->now = swap;
    memset(c->now, GAP_COLOUR, (size_t)c->width * (size_t)c->height);
    for (int i = 0; i < m->rows; i++)
        for (int j = 0; j < m->columns; j++) {
            const picture_panel *p = m->panel + ((size_t)frame * (size_t)m->rows + (size_t)i) *
                                                (size_t)m->columns + j;
            const int left = j * (c->side + GAP), top = i * (c->strip + c->side + GAP);
            for (int y = 0; y < c->strip; y++)
                memset(c->now + (size_t)(top + y) * (size_t)c->width + (size_t)left, STRIP,
                       (size_t)c->side);
            if (p->caption)
                put_text(c, left + MARGIN, top + MARGIN, c->side - 2 * MARGIN, p->caption,
                         (uint8_t)(TEXT + (p->tint & 1)));
            put_image(c, left, top + c->strip, p->image, m->size, m->scale);
        }
}

/* Extents of the picture from those of the movie; false if they cannot be. */
static bool lay_out(canvas *c, const picture *m) {
    if (m->frames < 1 || m->rows < 1 || m->columns < 1 || m->size < 1 || m->scale < 1) return false;
    if (m->delay_cs < 0 || m->delay_cs > MAX_SIDE || m->rows > MAX_SIDE || m->columns > MAX_SIDE)
        return false;
    const int64_t side = (int64_t)m->size * m->scale;
    if (side > MAX_SIDE) return false;
    c->zoom = side >= MIN_ZOOM_WIDTH ? 2 : 1;
    c->strip = FONT_HEIGHT * c->zoom + 2 * MARGIN;
    c->side = (int)side;
    const int64_t width = m->columns * (side + GAP) - GAP,
                  height = m->rows * (side + c->strip + GAP) - GAP;
    if (width > MAX_SIDE || height > MAX_SIDE) return false;
    c->width = (int)width;
    c->height = (int)height;
    return true;
}

wf_status canvas_open(canvas *c, const picture *m, const char *path) {
    *c = (canvas){0};
    if (!lay_out(c, m))
        return wf_fail(WF_ARGUMENT, "%s: a picture of %d frames, %d x %d panels, size %d, scale "
                       "%d: not possible", path, m->frames, m->rows, m->columns, m->size, m->scale);
    const size_t pixels = (size_t)c->width * (size_t)c->height; /* at most 65535^2 */
    c->now = calloc(pixels, 1);
    c->before = calloc(pixels, 1);
    c->row = calloc(2 * (size_t)c->side, sizeof *c->row);
    if (c->now && c->before && c->row) return WF_OK;
    return wf_fail(WF_MEMORY, "%s: no memory for a picture of %d x %d pixels", path, c->width,
                   c->height);
}

void canvas_close(canvas *c) {
    free(c->now);
    free(c->before);
    free(c->row);
    *c = (canvas){0};
}
