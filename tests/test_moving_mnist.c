/* Moving MNIST: IDX files and the refusal of bad ones, built-in digits, the generator's invariants
 * and statistics, batches from every source, GIFs read back by giflib's decoder. */
#include "models/moving_mnist/clips.h"
#include "models/moving_mnist/digits.h"
#include "models/moving_mnist/generator.h"
#include "models/moving_mnist/gif.h"
#include "tests/bad_inputs.h"

#include <gif_lib.h>
#include <math.h>
#include <pthread.h>
#include <sys/stat.h>
#include <zlib.h>

static char *folder;
static void setup(void) { folder = temp_folder(); }
static void teardown(void) { temp_remove(folder); }

TestSuite(moving_mnist, .init = setup, .fini = teardown);

static void check_message(wf_status status, wf_status expected, const char *message) {
    cr_expect(status == expected, "'%s' expected, got status %d: %s", message, (int)status,
              wf_error());
    cr_expect(strstr(wf_error(), message) != NULL, "'%s' is not in: %s", message, wf_error());
}

/* --- IDX -------------------------------------------------------------------------------------- */

/* An IDX file of `present` images that says it has `claimed`, of a x b pixels; gzipped or raw. */
static void put_idx(const char *path, uint32_t magic, uint32_t claimed, uint32_t a, uint32_t b,
                    size_t present, bool gz) {
    const uint32_t head[4] = {magic, claimed, a, b};
    const size_t bytes = 16 + present;
    uint8_t *p = malloc(bytes);
    cr_assert(p != NULL);
    for (int i = 0; i < 16; i++) p[i] = (uint8_t)(head[i / 4] >> (24 - 8 * (i % 4)));
    for (size_t i = 0; i < present; i++) p[16 + i] = (uint8_t)(i * 7 + i / 784);
    if (gz) {
        gzFile f = gzopen(path, "wb");
        cr_assert(f && gzwrite(f, p, (unsigned)bytes) == (int)bytes && gzclose(f) == Z_OK);
    } else {
        put_file(path, p, bytes);
    }
    free(p);
}

Test(moving_mnist, idx_names_and_forms) {
    for (int gz = 0; gz < 2; gz++)
        for (int test = 0; test < 2; test++) {
            char name[64];
            snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", test ? "t10k" : "train",
                     gz ? ".gz" : "");
            const char *path = temp_path(folder, name), *split = test ? "test" : "train";
            put_idx(path, 0x803, 3, 28, 28, 3 * 784, gz);
            for (int whole = 0; whole < 2; whole++) {
                idx_images images;
                cr_assert(!idx_load(&images, whole ? path : folder, split), "%s", wf_error());
                cr_expect(images.count == 3 && images.pixels[5] == 35 &&
                          images.pixels[3 * 784 - 1] == (uint8_t)((3 * 784 - 1) * 7 + 2));
                idx_free(&images);
                cr_expect(images.pixels == NULL);
            }
            unlink(path);
        }
}

Test(moving_mnist, idx_refusals) {
    const char *path = temp_path(folder, "x");
    idx_images images;
    for (int gz = 0; gz < 2; gz++) {
        put_idx(path, 0x801, 2, 28, 28, 2 * 784, gz);
        check_message(idx_load(&images, path, "train"), WF_FORMAT,
                      "shape [2], [N,28,28] is needed");
        put_idx(path, 0x03080000, 2, 28, 28, 2 * 784, gz);
        check_message(idx_load(&images, path, "train"), WF_FORMAT, "at byte 0: 03 08 00");
        put_idx(path, 0x803, 2, 32, 28, 2 * 784, gz);
        check_message(idx_load(&images, path, "train"), WF_FORMAT, "shape [2,32,28]");
        put_idx(path, 0x803, 0xffffffff, 28, 28, 2 * 784, gz);
        check_message(idx_load(&images, path, "train"), WF_FORMAT, "ends too early");
        put_idx(path, 0x803, 2000000, 28, 28, 2 * 784, gz); /* 1.6 GB that are not there */
        check_message(idx_load(&images, path, "train"), WF_FORMAT, "ends too early");
        put_idx(path, 0x803, 2, 28, 28, 2 * 784 - 1, gz);
        check_message(idx_load(&images, path, "train"), WF_FORMAT, "ends too early");
        put_idx(path, 0x803, 2, 28, 28, 2 * 784 + 1, gz);
        check_message(idx_load(&images, path, "train"), WF_FORMAT, "more bytes than");
    }
    cr_expect(images.pixels == NULL && images.count == 0);
    put_file(path, "", 0);
    check_message(idx_load(&images, path, "train"), WF_FORMAT, "ends too early");
    check_message(idx_load(&images, temp_path(folder, "none"), "train"), WF_INPUT, "No such file");
    check_message(idx_load(&images, folder, "train"), WF_INPUT, "train-images-idx3-ubyte");
    check_message(idx_load(&images, folder, "test"), WF_INPUT, "t10k-images-idx3-ubyte");
    check_message(idx_load(&images, folder, "both"), WF_ARGUMENT, "split 'both'");
    const char *fifo = temp_path(folder, "fifo");
    cr_assert(mkfifo(fifo, 0600) == 0);
    check_message(idx_load(&images, fifo, "train"), WF_INPUT, "not a regular file");
    check_message(idx_load(&images, "/dev/zero", "train"), WF_INPUT, "not a regular file");
}

/* Every prefix of a gzipped file, and every byte of one changed, is refused or read as it was. */
Test(moving_mnist, idx_damaged_gzip) {
    const char *path = temp_path(folder, "x.gz");
    put_idx(path, 0x803, 1, 28, 28, 784, true);
    size_t bytes;
    uint8_t *good = get_file(path, &bytes);
    idx_images images;
    for (size_t n = 0; n < bytes; n++) {
        put_file(path, good, n);
        cr_expect(idx_load(&images, path, "train") == WF_FORMAT, "the first %zu bytes are read", n);
    }
    size_t refused = 0;
    for (size_t i = 0; i < bytes; i++) {
        good[i] ^= 0x55;
        put_file(path, good, bytes);
        good[i] ^= 0x55;
        if (idx_load(&images, path, "train")) {
            refused++;
            continue;
        }
        cr_expect(images.count == 1 && images.pixels[783] == (uint8_t)(783 * 7));
        idx_free(&images);
    }
    cr_expect(refused + 8 > bytes, "only %zu of %zu changes are noticed", refused, bytes);
    free(good);
}

/* --- digits ----------------------------------------------------------------------------------- */

Test(moving_mnist, built_in_digits) {
    uint8_t a[DIGITS_PIXELS], b[DIGITS_PIXELS];
    double sum = 0, border = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        digits_draw(1, i, a);
        double m = 0, mx = 0, my = 0;
        int peak = 0;
        for (int y = 0; y < 28; y++)
            for (int x = 0; x < 28; x++) {
                const int v = a[y * 28 + x];
                m += v, mx += v * (x + .5), my += v * (y + .5);
                if (v > peak) peak = v;
                if (x < 1 || y < 1 || x > 26 || y > 26) border += v;
            }
        sum += m;
        cr_expect(peak > 200 && m > 255 * 15, "digit %d is nearly blank", (int)i);
        cr_expect(fabs(mx / m - 14) < 1 && fabs(my / m - 14) < 1, "digit %d is off centre", (int)i);
    }
    const double mean = sum / 2000 / DIGITS_PIXELS / 255;
    cr_expect(fabs(mean - .1307) < .01, "mean intensity %.4f, MNIST's is 0.1307", mean);
    cr_expect(border < 1e-3 * sum, "digits are cut at the border");
    digits_draw(1, 77, a);
    digits_draw(1, 77, b);
    cr_expect(!memcmp(a, b, sizeof a), "a digit is not a function of seed and index");
    digits_draw(1, 87, b);
    cr_expect(memcmp(a, b, sizeof a), "two sevens are the same");
    digits_draw(2, 77, b);
    cr_expect(memcmp(a, b, sizeof a), "the seed does nothing");
}

/* --- generator -------------------------------------------------------------------------------- */

Test(moving_mnist, generator_motion) {
    /* Each digit is a single dot at its corner (0, 0), so that positions can be read off. */
    static uint8_t pixels[2][IDX_PIXELS];
    pixels[0][0] = 100;
    pixels[1][0] = 200;
    const digit_pool pool = {.pixels = pixels[0], .count = 2};
    int bounces = 0;
    for (uint64_t k = 0; k < 200; k++) {
        bouncing b;
        bouncing_start(&b, &pool, 5, k);
        double x = b.digit[0].x, y = b.digit[0].y, vx = b.digit[0].vx, vy = b.digit[0].vy;
        cr_expect(fabs(vx * vx + vy * vy - 1) < 1e-12);
        cr_expect(b.digit[0].pixels[0] + b.digit[1].pixels[0] == 300, "one digit twice");
        for (int t = 0; t < 20; t++) {
            uint8_t frame[GENERATOR_PIXELS];
            bouncing_frame(&b, frame);
            y += vy * .1;
            x += vx * .1;
            if (x <= 0 || x >= 1) x = x <= 0 ? 0 : 1, vx = -vx, bounces++;
            if (y <= 0 || y >= 1) y = y <= 0 ? 0 : 1, vy = -vy, bounces++;
            const int at = (int)(36 * y) * 64 + (int)(36 * x);
            int lit = 0;
            for (int i = 0; i < GENERATOR_PIXELS; i++) lit += frame[i] != 0;
            cr_expect(frame[at] >= b.digit[0].pixels[0] && lit >= 1 && lit <= 2,
                      "clip %d, frame %d: digit not at (%.3f, %.3f)", (int)k, t, x, y);
        }
    }
    cr_expect(bounces > 200, "%d bounces", bounces);
}

/* Shi et al.: 3 to 5 pixels a frame, mirrored, so that no step is shorter than the speed. */
Test(moving_mnist, generator_mirrors) {
    static uint8_t pixels[2][IDX_PIXELS];
    const digit_pool pool = {.pixels = pixels[0], .count = 2, .mirrored = true};
    double slow = 9, fast = 0;
    int bounces = 0;
    for (uint64_t k = 0; k < 200; k++) {
        bouncing b;
        uint8_t frame[GENERATOR_PIXELS];
        bouncing_start(&b, &pool, 5, k);
        const double vx = b.digit[0].vx, speed = 3.6 * hypot(vx, b.digit[0].vy);
        double x = b.digit[0].x, v = vx;
        for (int t = 0; t < 20; t++) {
            bouncing_frame(&b, frame);
            x += v * .1;
            if (x < 0 || x > 1) x = x < 0 ? -x : 2 - x, v = -v, bounces++;
            cr_assert(fabs(b.digit[0].x - x) < 1e-12 && x >= 0 && x <= 1, "%d, %d", (int)k, t);
        }
        slow = fmin(slow, speed);
        fast = fmax(fast, speed);
    }
    cr_expect(slow >= 3 && slow < 3.1 && fast < 5 && fast > 4.9, "%g to %g", slow, fast);
    cr_expect(bounces > 200, "%d bounces", bounces);
}

/* Where there are two digits, all clips show this pair: equally bright unless the digits overlap or
 * differ. */
Test(moving_mnist, few_digits) {
    enum { N = 40 };
    static float frame[N * 4096], next[N * 4096];
    for (int few = 0; few < 2; few++) {
        clips *c;
        double light[N] = {0}, most = 0;
        int alike = 0;
        const clips_opt o = {.count = N, .size = 64, .frames = 2, .digits = few ? 2 : 0};
        cr_assert(!clips_open(&c, o) && !clips_batch(c, NULL, 0, N, frame, next), "%s", wf_error());
        for (int i = 0; i < N * 4096; i++) light[i / 4096] += frame[i];
        for (int k = 0; k < N; k++) most = fmax(most, light[k]);
        for (int k = 0; k < N; k++) alike += light[k] > most - 0.1;
        cr_expect(few ? alike > N / 3 : alike < 4, "%d of %d alike", alike, N);
        clips_close(c);
    }
    clips *none;
    check_message(clips_open(&none, (clips_opt){.digits = 1}), WF_ARGUMENT, "give 2 to 60000");
}

Test(moving_mnist, whole_clips_are_their_batches) {
    clips *c;
    enum { PIXELS = 32 * 32, T = 4, N = 3 };
    static float whole[T * N * PIXELS], x[(T - 1) * N * PIXELS], y[(T - 1) * N * PIXELS];
    const int64_t index[] = {7, 0, 3};
    cr_assert(!clips_open(&c, (clips_opt){.count = 8, .seed = 3, .frames = T}), "%s", wf_error());
    cr_assert(!clips_whole(c, index, 0, N, whole) && !clips_batch(c, index, 0, N, x, y));
    cr_expect(!memcmp(whole, x, sizeof x) && !memcmp(whole + N * PIXELS, y, sizeof y));
    clips_close(c);
}

Test(moving_mnist, clip_is_a_function_of_seed_and_k) {
    clips *c;
    cr_assert(!clips_open(&c, (clips_opt){.count = 50, .seed = 3, .frames = 5}), "%s", wf_error());
    enum { PIXELS = 32 * 32 };
    float *all = malloc(sizeof *all * 4 * 50 * PIXELS), *y = malloc(sizeof *y * 4 * 50 * PIXELS);
    float one[4 * PIXELS];
    cr_assert(all && y && !clips_batch(c, NULL, 0, 50, all, y), "%s", wf_error());
    const size_t frame = sizeof(float) * PIXELS;
    for (int64_t k = 49; k >= 0; k -= 7) {
        const int64_t order[] = {0, 1, k};
        cr_assert(!clips_batch(c, order, 2, 1, one, NULL));
        for (int t = 0; t < 4; t++)
            cr_expect(!memcmp(one + t * PIXELS, all + (t * 50 + k) * PIXELS, frame));
        cr_assert(!clips_batch(c, NULL, k, 1, NULL, one));
        for (int t = 0; t < 4; t++)
            cr_expect(!memcmp(one + t * PIXELS, y + (t * 50 + k) * PIXELS, frame));
    }
    for (int t = 0; t < 3; t++)
        cr_expect(!memcmp(y + t * 50 * PIXELS, all + (t + 1) * 50 * PIXELS, 50 * frame),
                  "y is not x one frame later");
    const int64_t wrong[] = {-1, 50};
    for (int i = 0; i < 2; i++)
        check_message(clips_batch(c, wrong, i, 1, one, NULL), WF_ARGUMENT, "there are 50");
    clips_close(c);
    static const clips_opt other[] = {{.seed = 4, .frames = 5},
                                      {.seed = 3, .frames = 5, .split = "test"}};
    for (int i = 0; i < 2; i++) {
        cr_assert(!clips_open(&c, other[i]), "%s", wf_error());
        cr_expect(clips_count(c) == 1000 && clips_frames(c) == 5 && clips_size(c) == 32);
        cr_assert(!clips_batch(c, NULL, 0, 1, one, NULL));
        cr_expect(memcmp(one, all, frame), "another seed or split, the same clip");
        clips_close(c);
    }
    free(all);
    free(y);
}

/* Mean pixel and error of copying the last frame over n clips of 20 frames at 32x32. */
static void measure(const clips *c, int64_t n, double *mean, double *copy) {
    enum { VALUES = 19 * 32 * 32 };
    static float x[VALUES], y[VALUES];
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < n; k++) {
        cr_assert(!clips_batch(c, NULL, k, 1, x, y), "%s", wf_error());
        for (int i = 0; i < VALUES; i++) {
            const double d = (double)x[i] - (double)y[i];
            sum += (double)x[i];
            squares += d * d;
        }
    }
    *mean = sum / (double)(n * VALUES);
    *copy = squares / (double)(n * VALUES);
}

Test(moving_mnist, statistics) {
    clips *c;
    double mean, copy;
    cr_assert(!clips_open(&c, (clips_opt){.count = 600, .seed = 1}), "%s", wf_error());
    measure(c, 600, &mean, &copy);
    cr_expect(fabs(mean - .049) < .004, "built-in digits: mean pixel %.4f", mean);
    cr_expect(fabs(copy - .0363) < .006, "built-in digits: copying the last frame %.4f", copy);
    clips_close(c);
    const char *data = test_data("statistics of clips of MNIST's digits");
    if (!data) return;
    char path[512];
    snprintf(path, sizeof path, "%s/data/mnist", data);
    for (int test = 0; test < 2; test++) {
        const clips_opt o = {
            .mnist = path, .split = test ? "test" : "train", .count = 600, .seed = 1};
        cr_assert(!clips_open(&c, o), "%s", wf_error());
        measure(c, 600, &mean, &copy);
        cr_expect(fabs(mean - .0490) < .001, "%s: mean pixel %.4f, not 0.0490", o.split, mean);
        cr_expect(fabs(copy - .0363) < .001, "%s: copying %.4f, not 0.0363", o.split, copy);
        clips_close(c);
    }
    snprintf(path, sizeof path, "%s/data/moving-mnist/official-excerpt.npy", data);
    cr_assert(!clips_open(&c, (clips_opt){.npy = path}), "%s", wf_error());
    cr_expect(clips_count(c) == 5 && clips_frames(c) == 20);
    measure(c, 5, &mean, &copy);
    cr_expect(fabs(mean - .0466) < .0001 && fabs(copy - .034467) < 1e-5, "%.5f %.6f", mean, copy);
    clips_close(c);
}

/* --- clips from files ------------------------------------------------------------------------- */

static float byte(const uint8_t *p) { return (float)*p / 255.0f; }

Test(moving_mnist, npy_halved_and_whole) {
    const char *path = temp_path(folder, "c.npy");
    static uint8_t bytes[3][2][64][64];
    uint8_t *p = bytes[0][0][0];
    for (size_t i = 0; i < sizeof bytes; i++) p[i] = (uint8_t)(i * i % 251 + i / 4096);
    cr_assert(!wf_npy_write(path, WF_U8, WF_SHAPE(3, 2, 64, 64), bytes), "%s", wf_error());
    static float x[2][2][64][64], y[2][2][64][64], half[2][2][32][32];
    clips *c;
    cr_assert(!clips_open(&c, (clips_opt){.npy = path, .size = 64}), "%s", wf_error());
    cr_expect(clips_count(c) == 2 && clips_frames(c) == 3 && clips_size(c) == 64);
    cr_assert(!clips_batch(c, NULL, 0, 2, x[0][0][0], y[0][0][0]));
    clips_close(c);
    cr_assert(!clips_open(&c, (clips_opt){.npy = path}), "%s", wf_error());
    cr_assert(!clips_batch(c, NULL, 0, 2, half[0][0][0], NULL));
    clips_close(c);
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 64; i++)
                for (int j = 0; j < 64; j++) {
                    cr_assert(x[t][k][i][j] == byte(&bytes[t][k][i][j]));
                    cr_assert(y[t][k][i][j] == byte(&bytes[t + 1][k][i][j]));
                    if (i % 2 || j % 2) continue;
                    const uint8_t(*b)[64] = bytes[t][k];
                    const float upper = .5f * byte(&b[i][j]) + .5f * byte(&b[i][j + 1]),
                                lower = .5f * byte(&b[i + 1][j]) + .5f * byte(&b[i + 1][j + 1]);
                    cr_assert(half[t][k][i / 2][j / 2] == .5f * upper + .5f * lower);
                }
}

Test(moving_mnist, clips_refusals) {
    const char *path = temp_path(folder, "c.npy");
    static const float zero[2 * 2 * 64 * 64];
    static const struct {
        wf_dtype dtype;
        int64_t dim[5];
        int rank;
        const char *message;
    } file[] = {
        {WF_F32, {2, 2, 64, 64}, 4, "f32 [2,2,64,64]"},
        {WF_U8, {2, 2, 64, 32}, 4, "clips are u8"},
        {WF_U8, {2, 64, 64}, 3, "clips are u8"},
        {WF_U8, {2, 2, 8, 8, 1}, 5, "clips are u8"},
        {WF_U8, {1, 2, 64, 64}, 4, "no clip of two frames"},
        {WF_U8, {2, 0, 64, 64}, 4, "no clip of two frames"},
        {WF_U8, {2, 2, 0, 0}, 4, "no clip of two frames"},
    };
    clips *c;
    for (size_t i = 0; i < WF_COUNT(file); i++) {
        const wf_shape shape = wf_shape_make(file[i].rank, file[i].dim);
        cr_assert(!wf_npy_write(path, file[i].dtype, shape, zero));
        check_message(clips_open(&c, (clips_opt){.npy = path}), WF_FORMAT, file[i].message);
        cr_expect(c == NULL);
    }
    cr_assert(!wf_npy_write(path, WF_U8, WF_SHAPE(2, 2, 64, 64), zero));
    check_message(clips_open(&c, (clips_opt){.npy = path, .count = 3}), WF_ARGUMENT, "has 2 clips");
    check_message(clips_open(&c, (clips_opt){.npy = path, .frames = 3}), WF_ARGUMENT, "2 frames");
    check_message(clips_open(&c, (clips_opt){.npy = path, .size = 16}), WF_ARGUMENT, "size 16");
    check_message(clips_open(&c, (clips_opt){.size = 48}), WF_ARGUMENT, "size 48");
    check_message(clips_open(&c, (clips_opt){.size = 128}), WF_ARGUMENT, "size 128");
    check_message(clips_open(&c, (clips_opt){.size = -1}), WF_ARGUMENT, "size -1");
    check_message(clips_open(&c, (clips_opt){.frames = 1}), WF_ARGUMENT, "1 frames");
    check_message(clips_open(&c, (clips_opt){.count = -1}), WF_ARGUMENT, "-1 clips");
    check_message(clips_open(&c, (clips_opt){.split = "val"}), WF_ARGUMENT, "split 'val'");
    check_message(clips_open(&c, (clips_opt){.npy = folder}), WF_INPUT, "is a directory");
    check_message(clips_open(&c, (clips_opt){.mnist = folder}), WF_INPUT, "train-images");
    const char *idx = temp_path(folder, "one");
    put_idx(idx, 0x803, 1, 28, 28, 784, false);
    check_message(clips_open(&c, (clips_opt){.mnist = idx}), WF_FORMAT, "1 images, a clip needs 2");
    clips_close(NULL);
}

/* What is saved is the official layout, and gives the same batches as the source it came from. */
Test(moving_mnist, save_round_trip) {
    const char *path = temp_path(folder, "s.npy"), *again = temp_path(folder, "t.npy");
    clips *made, *read;
    cr_assert(!clips_open(&made, (clips_opt){.count = 7, .seed = 9, .frames = 6}));
    cr_assert(!clips_save(made, path), "%s", wf_error());
    cr_assert(!clips_open(&read, (clips_opt){.npy = path}), "%s", wf_error());
    cr_expect(clips_count(read) == 7 && clips_frames(read) == 6);
    static float a[5 * 7 * 1024], b[5 * 7 * 1024];
    cr_assert(!clips_batch(made, NULL, 0, 7, a, NULL) && !clips_batch(read, NULL, 0, 7, b, NULL));
    cr_expect(!memcmp(a, b, sizeof a));
    cr_assert(!clips_save(read, again), "%s", wf_error());
    size_t n, m;
    uint8_t *p = get_file(path, &n), *q = get_file(again, &m);
    cr_expect(n == m && n == 128 + 6 * 7 * 4096 && !memcmp(p, q, n));
    check_message(clips_save(made, temp_path(folder, "no/s.npy")), WF_OUTPUT, "directory");
    cr_expect(count_entries(folder) == 2);
    clips_close(made);
    clips_close(read);
    free(p);
    free(q);
}

static void *read_batch(void *p) {
    float *out = malloc(sizeof *out * 19 * 8 * 1024);
    if (out && clips_batch(p, NULL, 0, 8, out, NULL)) {
        free(out);
        return NULL;
    }
    return out;
}

Test(moving_mnist, threads_may_read_at_once) {
    clips *c;
    pthread_t thread[4];
    float *out[4];
    cr_assert(!clips_open(&c, (clips_opt){.count = 8}), "%s", wf_error());
    for (int i = 0; i < 4; i++) cr_assert(!pthread_create(&thread[i], NULL, read_batch, c));
    for (int i = 0; i < 4; i++) {
        void *p;
        pthread_join(thread[i], &p);
        out[i] = p;
        cr_assert(p != NULL);
        cr_expect(!memcmp(out[i], out[0], sizeof(float) * 19 * 8 * 1024));
    }
    for (int i = 0; i < 4; i++) free(out[i]);
    clips_close(c);
}

/* --- GIF -------------------------------------------------------------------------------------- */

/* Frames put on one another, as a viewer does it; palette indices (height, width). */
static void show_frame(const GifFileType *g, int t, uint8_t *screen) {
    const GifImageDesc *d = &g->SavedImages[t].ImageDesc;
    for (int y = 0; y < d->Height; y++)
        memcpy(screen + (d->Top + y) * g->SWidth + d->Left,
               g->SavedImages[t].RasterBits + y * d->Width, (size_t)d->Width);
}

/* The grey value, 0 to 255, at a pixel; -1 if it is a colour. */
static int grey(const GifFileType *g, const uint8_t *screen, int y, int x) {
    const GifColorType c = g->SColorMap->Colors[screen[y * g->SWidth + x]];
    return c.Red == c.Green && c.Green == c.Blue ? c.Red : -1;
}

/* Size 4, scale 8: in the middle of a source pixel's block of 8x8 bilinear interpolation is within
 * 1/16 of the way to a neighbour. */
static void check_panel(const GifFileType *g, const uint8_t *screen, int top, int left,
                        const float *image) {
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int seen = grey(g, screen, top + 8 * i + 4, left + 8 * j + 4);
            const double v = 255 * fmin(fmax((double)image[4 * i + j], 0), 1);
            cr_expect(fabs(seen - v) < 255 * .13, "pixel %d,%d shows %d, not %.0f", i, j, seen, v);
        }
}

Test(moving_mnist, gif_read_back) {
    const char *path = temp_path(folder, "a.gif"), *again = temp_path(folder, "b.gif");
    enum { FRAMES = 5 };
    static float image[FRAMES][4][16];
    picture_panel panel[FRAMES * 4];
    char caption[FRAMES][24];
    for (int t = 0; t < FRAMES; t++) {
        snprintf(caption[t], sizeof caption[t], "t = %d", t);
        for (int p = 0; p < 4; p++) {
            for (int i = 0; i < 16; i++)
                image[t][p][i] = (float)((i + t * (p + 1)) % 16) / 12 - .1f;
            panel[t * 4 + p] = (picture_panel){image[t][p], p % 2 ? NULL : caption[t], p % 2};
        }
    }
    const picture movie = {FRAMES, 2, 2, 4, 8, 7, panel};
    cr_assert(!gif_write(path, &movie), "%s", wf_error());
    cr_assert(!gif_write(again, &movie), "%s", wf_error());
    size_t n, m;
    uint8_t *a = get_file(path, &n), *b = get_file(again, &m);
    cr_expect(n == m && !memcmp(a, b, n), "the same movie gives other bytes");
    cr_expect(!memcmp(a, "GIF89a", 6) && a[n - 1] == ';');
    /* Behind the screen descriptor (13 bytes) and 128 colours. */
    cr_expect(!memcmp(a + 13 + 3 * 128, "\x21\xff\x0bNETSCAPE2.0\3\1\0\0", 19), "does not loop");
    int error;
    GifFileType *g = DGifOpenFileName(path, &error);
    cr_assert(g && DGifSlurp(g) == GIF_OK && g->ImageCount == FRAMES);
    cr_expect(g->SWidth == 2 * 32 + 4 && g->SHeight == 2 * (32 + 16) + 4);
    uint8_t *screen = calloc(1, (size_t)(g->SWidth * g->SHeight));
    cr_assert(screen != NULL);
    for (int t = 0; t < FRAMES; t++) {
        GraphicsControlBlock control;
        cr_expect(DGifSavedExtensionToGCB(g, t, &control) == GIF_OK && control.DelayTime == 7);
        show_frame(g, t, screen);
        int lit = 0;
        for (int y = 0; y < 16; y++)
            for (int x = 0; x < 32; x++) lit += screen[y * g->SWidth + x] != screen[0];
        cr_expect(lit > 10, "frame %d has no caption", t);
        for (int p = 0; p < 4; p++)
            check_panel(g, screen, 16 + p / 2 * 52, p % 2 * 36, image[t][p]);
    }
    DGifCloseFile(g, &error);
    free(screen);
    free(a);
    free(b);
}

Test(moving_mnist, gif_edges) {
    const char *path = temp_path(folder, "e.gif");
    const float odd[4] = {NAN, INFINITY, -INFINITY, 2};
    const picture_panel panel[2] = {{odd, "a caption far too long for this \xff\x01 panel", 0},
                                    {odd, "", 1}};
    cr_assert(!gif_write(path, &(picture){2, 1, 1, 2, 1, 0, panel}), "%s", wf_error());
    int error;
    GifFileType *g = DGifOpenFileName(path, &error);
    cr_assert(g && DGifSlurp(g) == GIF_OK && g->ImageCount == 2);
    const uint8_t *raster = g->SavedImages[0].RasterBits;
    cr_expect(grey(g, raster, 16, 0) == 0 && grey(g, raster, 16, 1) == 255);
    cr_expect(grey(g, raster, 17, 0) == 0 && grey(g, raster, 17, 1) == 255);
    DGifCloseFile(g, &error);
    static const picture bad[] = {{0, 1, 1, 2, 1, 0, NULL},  {1, 0, 1, 2, 1, 0, NULL},
                                    {1, 1, 0, 2, 1, 0, NULL},  {1, 1, 1, 0, 1, 0, NULL},
                                    {1, 1, 1, 2, 0, 0, NULL},  {1, 1, 1, 2, 1, -1, NULL},
                                    {1, 1, 1, 65536, 1, 0, NULL}, {1, 2000, 1, 32, 1, 0, NULL},
                                    {1, 1, 1, 1 << 20, 1 << 20, 0, NULL}};
    for (size_t i = 0; i < WF_COUNT(bad); i++)
        check_message(gif_write(path, &bad[i]), WF_ARGUMENT, "not possible");
    check_message(gif_write(temp_path(folder, "no/x.gif"), &(picture){1, 1, 1, 2, 1, 0, panel}),
                  WF_OUTPUT, "directory");
    cr_expect(count_entries(folder) == 1);
}
