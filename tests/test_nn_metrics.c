/* Image metrics: two test vectors computed independently in double (the notebook's definitions),
 * and PyTorch's numbers for images that leave [0, 1]. */
#include <stdlib.h>

#include "tests/parity/parity.h"

static void expect_near(const char *what, double got, double want) {
    cr_assert(fabs(got - want) <= 1e-6, "%s is %.10f, not %.10f", what, got, want);
}

static void expect_scores(const wf_image_metrics *m, wf_image_scores want) {
    const wf_image_scores s = wf_image_metrics_scores(m);
    expect_near("loss", s.loss, want.loss);
    expect_near("mae", s.mae, want.mae);
    expect_near("psnr", s.psnr, want.psnr);
    expect_near("ssim", s.ssim, want.ssim);
    expect_near("ssim_clamped", s.ssim_clamped, want.ssim_clamped);
}

static void vector_1(float *p, float *t) {
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++) {
            p[y * 32 + x] = (float)((7 * x + 13 * y) % 32) / 31;
            t[y * 32 + x] = (float)((7 * x + 13 * y + 5 * ((x * y) % 3)) % 32) / 31;
        }
}

static void vector_2(float *p, float *t) {
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++) {
            p[y * 32 + x] = (float)exp(-(pow(x - 15.5, 2) + pow(y - 12.5, 2)) / 20);
            t[y * 32 + x] = (float)exp(-(pow(x - 17, 2) + pow(y - 13, 2)) / 18);
        }
}

static const wf_image_scores scores_1 = {.0806502423, .1551474294, 10.93394324, .5472301227,
                                         .5472301227};
static const wf_image_scores scores_2 = {.0038627141, .0239766778, 24.13107430, .7911523108,
                                         .7911523108};

Test(nn_metrics, test_vectors) {
    float p[1024], t[1024];
    wf_image_metrics m = {0};
    vector_1(p, t);
    wf_image_metrics_add(&m, p, t, 1, 32, 32);
    expect_scores(&m, scores_1);
    m = (wf_image_metrics){0};
    vector_2(p, t);
    wf_image_metrics_add(&m, p, t, 1, 32, 32);
    expect_scores(&m, scores_2);
}

/* PSNR comes from the error over everything, SSIM is a mean over images; merging two accumulators
 * is adding to one. */
Test(nn_metrics, accumulation) {
    float p[2048], t[2048];
    vector_1(p, t);
    vector_2(p + 1024, t + 1024);
    const wf_image_scores want = {
        .loss = (scores_1.loss + scores_2.loss) / 2,
        .mae = (scores_1.mae + scores_2.mae) / 2,
        .psnr = -10 * log10((scores_1.loss + scores_2.loss) / 2),
        .ssim = (scores_1.ssim + scores_2.ssim) / 2,
        .ssim_clamped = (scores_1.ssim + scores_2.ssim) / 2,
    };
    wf_image_metrics both = {0}, first = {0}, second = {0};
    wf_image_metrics_add(&both, p, t, 2, 32, 32);
    expect_scores(&both, want);
    wf_image_metrics_add(&first, p, t, 1, 32, 32);
    wf_image_metrics_add(&second, p + 1024, t + 1024, 1, 32, 32);
    wf_image_metrics_merge(&first, &second);
    cr_assert(first.images == 2 && first.elements == 2048);
    expect_scores(&first, want);
}

/* 20 x 40 images from -1 to 2: clamped and unclamped differ, and there are several tiles. */
Test(nn_metrics, outside_the_range) {
    enum { n = 2 * 20 * 40 };
    static float y[n], t[n];
    for (int i = 0; i < n; i++) {
        y[i] = (float)(3 * closed("metrics.y", i) + 0.5);
        t[i] = (float)(closed("metrics.target", i) + 0.5);
    }
    wf_image_metrics m = {0};
    wf_image_metrics_add(&m, y, t, 2, 20, 40);
    double v[5];
    for (int i = 0; i < 5; i++) v[i] = recorded_value("metrics", i);
    cr_assert(fabs(v[3] - v[4]) > 0.01, "the two SSIM should differ: %g, %g", v[3], v[4]);
    expect_scores(&m, (wf_image_scores){v[0], v[1], v[2], v[3], v[4]});
}

Test(nn_metrics, edges) {
    float p[100] = {0};
    wf_image_metrics m = {0};
    wf_image_metrics_add(&m, p, p, 1, 10, 10); /* smaller than a window */
    const wf_image_scores s = wf_image_metrics_scores(&m);
    cr_assert(s.loss == 0 && s.mae == 0 && isinf(s.psnr) && isnan(s.ssim));
    float q[121] = {0};
    m = (wf_image_metrics){0};
    wf_image_metrics_add(&m, q, q, 1, 11, 11); /* exactly one window */
    cr_assert(wf_image_metrics_scores(&m).ssim == 1);
    q[60] = NAN;
    wf_image_metrics_add(&m, q, q, 1, 11, 11);
    cr_assert(isnan(wf_image_metrics_scores(&m).ssim) && isnan(wf_image_metrics_scores(&m).loss));
}
