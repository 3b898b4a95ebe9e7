/* Image metrics as torchmetrics 1.3.0 computes them for the Moving MNIST notebook.
 *
 * SSIM (Wang, Bovik, Sheikh, Simoncelli 2004), data range 1: an 11-tap Gaussian window, sigma 1.5,
 * in each direction gives the moments m1, m2, E11, E22, E12;
 *   s11 = E11 - m1^2, s22 = E22 - m2^2, s12 = E12 - m1 m2
 *   ssim = (2 m1 m2 + 1e-4)(2 s12 + 9e-4) / ((m1^2 + m2^2 + 1e-4)(s11 + s22 + 9e-4))
 * averaged over the windows that lie wholly inside the image. (From 1.4.2 on, torchmetrics averages
 * over windows that reach into a reflected border too: larger numbers.)
 *
 * Sums are double. Windows are computed in tiles of TILE x TILE, rows before columns, in storage on
 * the stack; moments of the target serve the clamped and the unclamped comparison. */
#include <math.h>
#include <string.h>

#include "nn/nn.h"

enum { TAPS = 11, TILE = 24, MOMENTS = 8 };

/* Moments of target, image and clamped image: which map is where. */
enum { T, TT, Y, YY, YT, C, CC, CT };

/* exp(-d^2 / (2 sigma^2)) for d = -5 .. 5, sigma = 1.5, divided by their sum. */
static const double tap[TAPS] = {
    0.00102838008447911, 0.00759875813523919, 0.03600077212843083, 0.10936068950970002,
    0.21300553771125370, 0.26601172486179437, 0.21300553771125370, 0.10936068950970002,
    0.03600077212843083, 0.00759875813523919, 0.00102838008447911};

static double clamp01(double v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/* out[k][0 .. w): the row's moments weighted along x, for maps k < maps. y, t: (w + TAPS - 1). */
static void filter_row(const float *y, const float *t, int w, int maps, double out[][TILE]) {
    double in[MOMENTS][TILE + TAPS - 1];
    for (int x = 0; x < w + TAPS - 1; x++) {
        const double a = t[x], b = y[x], c = clamp01(b);
        in[T][x] = a;
        in[TT][x] = a * a;
        in[Y][x] = b;
        in[YY][x] = b * b;
        in[YT][x] = b * a;
        in[C][x] = c;
        in[CC][x] = c * c;
        in[CT][x] = c * a;
    }
    for (int k = 0; k < maps; k++) {
        for (int x = 0; x < w; x++) out[k][x] = 0;
        for (int i = 0; i < TAPS; i++)
#pragma omp simd
            for (int x = 0; x < w; x++) out[k][x] += tap[i] * in[k][x + i];
    }
}

static double window(double m1, double m2, double e11, double e22, double e12) {
    const double s11 = e11 - m1 * m1, s22 = e22 - m2 * m2, s12 = e12 - m1 * m2;
    return (2 * m1 * m2 + 1e-4) * (2 * s12 + 9e-4) /
           ((m1 * m1 + m2 * m2 + 1e-4) * (s11 + s22 + 9e-4));
}

/* Adds the windows of one tile, (h, w) of them, to sum[0] (as is) and sum[1] (clamped; only if maps
 * is all of them). y and t point at the first window's corner, rows are `stride` apart. */
static void tile(const float *y, const float *t, int64_t stride, int h, int w, int maps,
                 double sum[2]) {
    double row[TILE + TAPS - 1][MOMENTS][TILE], m[MOMENTS][TILE];
    for (int r = 0; r < h + TAPS - 1; r++)
        filter_row(y + r * stride, t + r * stride, w, maps, row[r]);
    for (int r = 0; r < h; r++) {
        for (int k = 0; k < maps; k++) {
            for (int x = 0; x < w; x++) m[k][x] = 0;
            for (int i = 0; i < TAPS; i++)
#pragma omp simd
                for (int x = 0; x < w; x++) m[k][x] += tap[i] * row[r + i][k][x];
        }
        for (int x = 0; x < w; x++)
            sum[0] += window(m[Y][x], m[T][x], m[YY][x], m[TT][x], m[YT][x]);
        for (int x = 0; maps == MOMENTS && x < w; x++)
            sum[1] += window(m[C][x], m[T][x], m[CC][x], m[TT][x], m[CT][x]);
    }
}

/* One image; windows is 0 if it is smaller than a window, and its SSIM NaN then. */
static void add_image(wf_image_metrics *m, const float *y, const float *t, int64_t h, int64_t w) {
    bool inside = true;
    for (int64_t i = 0; i < h * w; i++) {
        const double a = y[i], d = a - t[i], c = clamp01(a) - t[i];
        inside = inside && a >= 0 && a <= 1;
        m->squared += d * d;
        m->squared_clamped += c * c;
        m->absolute += fabs(d);
    }
    const int64_t rows = h - TAPS + 1, cols = w - TAPS + 1;
    double sum[2] = {0, 0};
    for (int64_t r = 0; r < rows; r += TILE)
        for (int64_t c = 0; c < cols; c += TILE) {
            const int th = (int)(rows - r < TILE ? rows - r : TILE);
            const int tw = (int)(cols - c < TILE ? cols - c : TILE);
            tile(y + r * w + c, t + r * w + c, w, th, tw, inside ? C : MOMENTS, sum);
        }
    const double windows = rows > 0 && cols > 0 ? (double)rows * (double)cols : 0;
    m->ssim += sum[0] / windows;
    m->ssim_clamped += sum[inside ? 0 : 1] / windows;
}

void wf_image_metrics_add(wf_image_metrics *m, const float *y, const float *target, int64_t images,
                          int64_t h, int64_t w) {
    for (int64_t i = 0; i < images; i++)
        add_image(m, y + i * h * w, target + i * h * w, h, w);
    m->images += images;
    m->elements += images * h * w;
}

void wf_image_metrics_merge(wf_image_metrics *m, const wf_image_metrics *other) {
    m->squared += other->squared;
    m->squared_clamped += other->squared_clamped;
    m->absolute += other->absolute;
    m->ssim += other->ssim;
    m->ssim_clamped += other->ssim_clamped;
    m->elements += other->elements;
    m->images += other->images;
}

wf_image_scores wf_image_metrics_scores(const wf_image_metrics *m) {
    const double n = (double)m->elements, images = (double)m->images;
    return (wf_image_scores){
        .loss = m->squared / n,
        .mae = m->absolute / n,
        .psnr = 10 * log10(n / m->squared_clamped),
        .ssim = m->ssim / images,
        .ssim_clamped = m->ssim_clamped / images,
    };
}
