/* Digits as strokes: Catmull-Rom curves through a few points in the unit square (x right, y down),
 * drawn with a round pen. A corner is where one stroke ends and the next begins.
 * The spread of slant, width and proportion was set by eye beside MNIST and so that the mean
 * intensity is MNIST's, 0.13; test_moving_mnist holds the figure. */
#include "models/moving_mnist/digits.h"

#include "models/moving_mnist/random.h"

#include <math.h>
#include <string.h>

#define MAX_POINTS 14 /* of one stroke */
#define MAX_STROKES 4
#define STEPS 8       /* straight pieces between two points of a curve */
#define MAX_SEGMENTS (MAX_STROKES * MAX_POINTS * STEPS)
#define BOX 19.0      /* pixels of the larger side of a glyph, pen included */

typedef struct point {
    double x, y;
} point;

typedef struct form {
    int n_strokes;
    struct {
        int n;
        point p[MAX_POINTS];
    } stroke[MAX_STROKES];
} form;

#define STROKE(...)                                                                                \
    { .n = sizeof((point[]){__VA_ARGS__}) / sizeof(point), .p = { __VA_ARGS__ } }

/* clang-format off */
static const form zero_round = {1, {
    STROKE({.62,.02},{.34,.06},{.10,.36},{.10,.70},{.34,.98},{.64,.94},{.90,.62},{.88,.26},
           {.62,.02},{.44,.06})}};
static const form zero_narrow = {1, {
    STROKE({.50,.00},{.24,.20},{.16,.58},{.30,.94},{.54,.98},{.78,.72},{.80,.30},{.56,.01})}};
static const form one_plain = {1, {
    STROKE({.52,.00},{.50,.50},{.48,1.0})}};
static const form one_flag = {2, {
    STROKE({.34,.20},{.44,.12},{.54,.00}), STROKE({.54,.00},{.52,.50},{.51,1.0})}};
static const form two_corner = {2, {
    STROKE({.10,.24},{.26,.05},{.58,.00},{.82,.20},{.70,.48},{.38,.78},{.06,.97}),
    STROKE({.06,.97},{.40,.93},{.96,.95})}};
static const form two_loop = {1, {
    STROKE({.12,.18},{.36,.01},{.68,.06},{.76,.32},{.54,.66},{.24,.94},{.04,.90},{.16,.76},
           {.46,.86},{.70,.96},{.98,.88})}};
static const form three_round = {2, {
    STROKE({.12,.12},{.40,.00},{.74,.10},{.72,.34},{.36,.46}),
    STROKE({.36,.46},{.76,.54},{.86,.78},{.54,.99},{.08,.92})}};
static const form three_flat = {2, {
    STROKE({.14,.06},{.52,.00},{.78,.12},{.64,.36},{.40,.46}),
    STROKE({.40,.46},{.70,.46},{.88,.66},{.70,.92},{.34,1.0},{.06,.84})}};
static const form four_open = {2, {
    STROKE({.20,.02},{.14,.28},{.16,.50},{.44,.53},{.84,.44}),
    STROKE({.80,.00},{.74,.48},{.66,1.0})}};
static const form four_closed = {3, {
    STROKE({.66,.00},{.34,.36},{.08,.62}), STROKE({.08,.62},{.50,.63},{.96,.58}),
    STROKE({.66,.00},{.64,.50},{.62,1.0})}};
static const form five_sharp = {3, {
    STROKE({.88,.03},{.60,.02},{.30,.05}), STROKE({.30,.05},{.25,.22},{.20,.42}),
    STROKE({.20,.42},{.52,.36},{.80,.54},{.76,.82},{.44,1.0},{.08,.92})}};
static const form five_soft = {2, {
    STROKE({.30,.04},{.60,.05},{.90,.00}),
    STROKE({.30,.04},{.20,.26},{.30,.40},{.62,.50},{.74,.72},{.52,.96},{.10,.96})}};
static const form six_tall = {1, {
    STROKE({.70,.00},{.40,.22},{.16,.58},{.20,.88},{.48,1.0},{.76,.86},{.74,.62},{.46,.56},
           {.20,.76})}};
static const form six_curl = {1, {
    STROKE({.80,.08},{.48,.08},{.18,.44},{.12,.80},{.38,1.0},{.72,.86},{.78,.60},{.50,.48},
           {.18,.64})}};
static const form seven_plain = {2, {
    STROKE({.06,.10},{.44,.06},{.90,.05}), STROKE({.90,.05},{.66,.44},{.46,1.0})}};
static const form seven_bar = {3, {
    STROKE({.08,.12},{.46,.06},{.88,.06}), STROKE({.88,.06},{.62,.46},{.42,1.0}),
    STROKE({.34,.52},{.58,.48},{.84,.48})}};
static const form seven_hook = {2, {
    STROKE({.08,.26},{.10,.08},{.46,.06},{.88,.04}), STROKE({.88,.04},{.72,.40},{.56,1.0})}};
static const form eight_cross = {1, {
    STROKE({.80,.14},{.52,.00},{.22,.14},{.34,.38},{.66,.58},{.78,.82},{.48,1.0},{.20,.84},
           {.32,.60},{.62,.40},{.84,.20},{.76,.08})}};
static const form eight_rings = {2, {
    STROKE({.52,.46},{.26,.34},{.26,.10},{.54,.00},{.78,.12},{.74,.36},{.52,.46}),
    STROKE({.52,.46},{.22,.60},{.18,.86},{.48,1.0},{.80,.86},{.78,.60},{.52,.46})}};
static const form nine_straight = {2, {
    STROKE({.80,.16},{.54,.00},{.22,.12},{.18,.36},{.46,.50},{.74,.36},{.82,.10}),
    STROKE({.82,.10},{.78,.50},{.68,1.0})}};
static const form nine_curved = {1, {
    STROKE({.78,.22},{.58,.02},{.28,.10},{.22,.36},{.50,.46},{.76,.26},{.80,.20},{.78,.54},
           {.60,.88},{.28,1.0})}};
/* clang-format on */

/* Forms of each digit, with their share in tenths. */
static const struct {
    const form *form;
    int tenths;
} forms[10][3] = {
    {{&zero_round, 7}, {&zero_narrow, 3}},
    {{&one_plain, 8}, {&one_flag, 2}},
    {{&two_corner, 5}, {&two_loop, 5}},
    {{&three_round, 5}, {&three_flat, 5}},
    {{&four_open, 7}, {&four_closed, 3}},
    {{&five_sharp, 5}, {&five_soft, 5}},
    {{&six_tall, 6}, {&six_curl, 4}},
    {{&seven_plain, 6}, {&seven_bar, 2}, {&seven_hook, 2}},
    {{&eight_cross, 7}, {&eight_rings, 3}},
    {{&nine_straight, 6}, {&nine_curved, 4}},
};

/* A glyph as straight pieces, in pixels. */
typedef struct drawing {
    int n;
    point a[MAX_SEGMENTS], b[MAX_SEGMENTS];
} drawing;

static const form *choose_form(int digit, random_stream *r) {
    int64_t u = random_below(r, 10);
    for (int i = 0; i < 3 && forms[digit][i].form; i++) {
        if (u < forms[digit][i].tenths) return forms[digit][i].form;
        u -= forms[digit][i].tenths;
    }
    return forms[digit][0].form;
}

/* Catmull-Rom: the curve from p1 to p2 with the slopes that p0 and p3 give. */
static point curve(point p0, point p1, point p2, point p3, double t) {
    const double w0 = ((2 - t) * t - 1) * t / 2, w1 = ((3 * t - 5) * t * t + 2) / 2,
                 w2 = ((4 - 3 * t) * t + 1) * t / 2, w3 = (t - 1) * t * t / 2;
    return (point){w0 * p0.x + w1 * p1.x + w2 * p2.x + w3 * p3.x,
                   w0 * p0.y + w1 * p1.y + w2 * p2.y + w3 * p3.y};
}

static void add_stroke(drawing *d, const point *p, int n) {
    for (int i = 0; i + 1 < n; i++) {
        const point before = p[i ? i - 1 : 0], after = p[i + 2 < n ? i + 2 : n - 1];
        point from = p[i];
        for (int k = 1; k <= STEPS; k++) {
            const point to = curve(before, p[i], p[i + 1], after, (double)k / STEPS);
            d->a[d->n] = from;
            d->b[d->n++] = to;
            from = to;
        }
    }
}

/* The affine part of the style, and a smooth wobble that keeps ends of strokes together. */
typedef struct style {
    double xx, xy, yx, yy;
    double wobble, fx, fy, px, py; /* amplitude, frequencies, phases */
} style;

static style choose_style(random_stream *r) {
    const double stretch = random_between(r, .68, 1.12);
    const double slant = random_between(r, -.15, .55);
    const double angle = random_between(r, -.15, .15);
    const double c = cos(angle), s = sin(angle);
    style q = {.xx = c * stretch, .xy = -c * slant - s, .yx = s * stretch, .yy = c - s * slant};
    q.wobble = random_between(r, .01, .05);
    q.fx = random_between(r, 3, 7);
    q.fy = random_between(r, 3, 7);
    q.px = random_between(r, 0, 6.3);
    q.py = random_between(r, 0, 6.3);
    return q;
}

static point place(const style *q, point p) {
    const double x = p.x + q->wobble * sin(q->fx * p.y + q->px),
                 y = p.y + q->wobble * sin(q->fy * p.x + q->py);
    return (point){q->xx * x + q->xy * y, q->yx * x + q->yy * y};
}

/* Scales to the box and moves the centre of the ink, taken along the strokes, to the middle. */
static void fit(drawing *d, double pen) {
    double lx = 1e9, ly = 1e9, hx = -1e9, hy = -1e9, mx = 0, my = 0, total = 0;
    for (int i = 0; i < d->n; i++) {
        const point a = d->a[i], b = d->b[i];
        const double length = hypot(b.x - a.x, b.y - a.y);
        lx = fmin(lx, fmin(a.x, b.x)), hx = fmax(hx, fmax(a.x, b.x));
        ly = fmin(ly, fmin(a.y, b.y)), hy = fmax(hy, fmax(a.y, b.y));
        mx += length * (a.x + b.x) / 2;
        my += length * (a.y + b.y) / 2;
        total += length;
    }
    const double scale = (BOX - pen) / fmax(hx - lx, hy - ly);
    mx /= total;
    my /= total;
    for (int i = 0; i < d->n; i++) {
        d->a[i] = (point){(d->a[i].x - mx) * scale + 14, (d->a[i].y - my) * scale + 14};
        d->b[i] = (point){(d->b[i].x - mx) * scale + 14, (d->b[i].y - my) * scale + 14};
    }
}

/* Squared distance from (x, y) to the segment. */
static double distance2(point a, point b, double x, double y) {
    const double dx = b.x - a.x, dy = b.y - a.y, n = dx * dx + dy * dy;
    double t = n > 0 ? ((x - a.x) * dx + (y - a.y) * dy) / n : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    const double ex = a.x + t * dx - x, ey = a.y + t * dy - y;
    return ex * ex + ey * ey;
}

/* Each segment touches the few pixels around it, so the nearest distance is kept per pixel. */
static void ink(const drawing *d, double pen, uint8_t out[DIGITS_PIXELS]) {
    const double radius = pen / 2, reach = radius + 1.5;
    float nearest[DIGITS_PIXELS];
    for (int i = 0; i < DIGITS_PIXELS; i++) nearest[i] = 1e9f;
    for (int i = 0; i < d->n; i++) {
        const point a = d->a[i], b = d->b[i];
        const int x0 = (int)fmax(0, floor(fmin(a.x, b.x) - reach)),
                  x1 = (int)fmin(DIGITS_SIDE - 1, ceil(fmax(a.x, b.x) + reach)),
                  y0 = (int)fmax(0, floor(fmin(a.y, b.y) - reach)),
                  y1 = (int)fmin(DIGITS_SIDE - 1, ceil(fmax(a.y, b.y) + reach));
        for (int y = y0; y <= y1; y++)
            for (int x = x0; x <= x1; x++) {
                const float e = (float)distance2(a, b, x + .5, y + .5);
                if (e < nearest[y * DIGITS_SIDE + x]) nearest[y * DIGITS_SIDE + x] = e;
            }
    }
    for (int i = 0; i < DIGITS_PIXELS; i++) {
        /* Full ink inside the pen, none 0.65 pixels outside it, a ramp between. */
        double v = (radius + .65 - sqrt((double)nearest[i])) / 1.3;
        v = v < 0 ? 0 : v > 1 ? 1 : v;
        out[i] = (uint8_t)(255 * v * v * (3 - 2 * v) + .5);
    }
}

void digits_draw(uint64_t seed, uint64_t index, uint8_t out[DIGITS_PIXELS]) {
    random_stream r = random_open(seed, index);
    const form *f = choose_form((int)(index % 10), &r);
    const style q = choose_style(&r);
    const double pen = random_between(&r, 1.5, 2.6) + random_between(&r, 0, .9);
    drawing d = {.n = 0};
    for (int i = 0; i < f->n_strokes; i++) {
        point p[MAX_POINTS];
        for (int j = 0; j < f->stroke[i].n; j++) p[j] = place(&q, f->stroke[i].p[j]);
        add_stroke(&d, p, f->stroke[i].n);
    }
    fit(&d, pen);
    ink(&d, pen, out);
}
