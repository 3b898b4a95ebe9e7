/* A source of clips, see clips.h. Two kinds of frames exist here: rows of a mapped file, and frames
 * that the generator draws one after another into a buffer on the stack. */
#include "models/moving_mnist/clips.h"

#include "models/moving_mnist/generator.h"

#include "models/moving_mnist/digits.h"

#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_COUNT 1000
#define DEFAULT_FRAMES 20
#define DEFAULT_SIZE 32
/* The built-in digits have a test split as MNIST has: other styles, never seen in training. */
#define BUILT_IN_TRAIN 60000
#define BUILT_IN_TEST 10000
/* Clips of the test split move otherwise than those of the train split with the same seed. */
#define TEST_SEED 0x7465737400000000u

struct clips {
    wf_npy file;       /* data NULL if clips are generated */
    idx_images images; /* MNIST's digits, if any */
    digit_pool pool;
    uint64_t seed;
    int64_t count, frames, size;
    int64_t side;        /* of a frame in the source: size or 2 size */
    float unit[256];     /* byte / 255 */
};

/* --- opening ---------------------------------------------------------------------------------- */

static wf_status open_file(clips *c, const clips_opt *o) {
    const wf_status s = wf_npy_open(&c->file, o->npy);
    if (s) return s;
    const wf_shape *shape = &c->file.shape;
    char text[120];
    wf_shape_text(shape, text, sizeof text);
    if (c->file.dtype != WF_U8 || shape->rank != 4 || shape->dim[2] != shape->dim[3])
        return wf_fail(WF_FORMAT, "%s: %s %s; clips are u8 [frames,clips,64,64]", o->npy,
                       wf_dtype_name(c->file.dtype), text);
    if (shape->dim[0] < 2 || shape->dim[1] < 1 || shape->dim[2] < 1)
        return wf_fail(WF_FORMAT, "%s: %s holds no clip of two frames", o->npy, text);
    c->side = shape->dim[2];
    c->frames = o->frames ? o->frames : shape->dim[0];
    c->count = o->count ? o->count : shape->dim[1];
    if (c->frames > shape->dim[0])
        return wf_fail(WF_ARGUMENT, "%s: has %lld frames a clip, not %lld", o->npy,
                       (long long)shape->dim[0], (long long)c->frames);
    if (c->count > shape->dim[1])
        return wf_fail(WF_ARGUMENT, "%s: has %lld clips, not %lld", o->npy,
                       (long long)shape->dim[1], (long long)c->count);
    return WF_OK;
}

static wf_status limit_pool(digit_pool *pool, const clips_opt *o) {
    pool->mirrored = o->mirrored;
    if (o->digits && (o->digits < GENERATOR_DIGITS || o->digits > pool->count))
        return wf_fail(WF_ARGUMENT, "%lld digits: give %d to %lld", (long long)o->digits,
                       GENERATOR_DIGITS, (long long)pool->count);
    if (o->digits) pool->count = o->digits;
    return WF_OK;
}

static wf_status open_generator(clips *c, const clips_opt *o) {
    const char *split = o->split ? o->split : "train";
    const bool test = !strcmp(split, "test");
    if (!test && strcmp(split, "train"))
        return wf_fail(WF_ARGUMENT, "split '%s': use train or test", split);
    c->side = GENERATOR_SIDE;
    c->frames = o->frames ? o->frames : DEFAULT_FRAMES;
    c->count = o->count ? o->count : DEFAULT_COUNT;
    c->seed = test ? o->seed ^ TEST_SEED : o->seed;
    if (!o->mnist) {
        c->pool = (digit_pool){.first = test ? BUILT_IN_TRAIN : 0,
                               .count = test ? BUILT_IN_TEST : BUILT_IN_TRAIN};
        return limit_pool(&c->pool, o);
    }
    const wf_status s = idx_load(&c->images, o->mnist, split);
    if (s) return s;
    if (c->images.count < GENERATOR_DIGITS)
        return wf_fail(WF_FORMAT, "%s: %lld images, a clip needs %d", o->mnist,
                       (long long)c->images.count, GENERATOR_DIGITS);
    c->pool = (digit_pool){.pixels = c->images.pixels, .count = c->images.count};
    return limit_pool(&c->pool, o);
}

static wf_status choose_size(clips *c, int64_t size) {
    c->size = size ? size : DEFAULT_SIZE;
    if (c->size == c->side || 2 * c->size == c->side) return WF_OK;
    if (c->side % 2)
        return wf_fail(WF_ARGUMENT, "size %lld: frames of %lldx%lld can be had as they are only",
                       (long long)c->size, (long long)c->side, (long long)c->side);
    return wf_fail(WF_ARGUMENT, "size %lld: frames of %lldx%lld can be had as they are or halved, "
                   "%lld", (long long)c->size, (long long)c->side, (long long)c->side,
                   (long long)c->side / 2);
}

wf_status clips_open(clips **out, clips_opt o) {
    *out = NULL;
    if (o.count < 0 || o.frames < 0 || o.frames == 1 || o.size < 0 || o.size > INT32_MAX)
        return wf_fail(WF_ARGUMENT, "%lld clips of %lld frames, size %lld: give at least 1 clip, 2 "
                       "frames", (long long)o.count, (long long)o.frames, (long long)o.size);
    clips *c = calloc(1, sizeof *c);
    if (!c) return wf_fail(WF_MEMORY, "no memory for a source of clips");
    for (int i = 0; i < 256; i++) c->unit[i] = (float)i / 255.0f;
    wf_status s = o.npy ? open_file(c, &o) : open_generator(c, &o);
    if (!s) s = choose_size(c, o.size);
    if (s) {
        clips_close(c);
        return s;
    }
    *out = c;
    return WF_OK;
}

void clips_close(clips *c) {
    if (!c) return;
    wf_npy_close(&c->file);
    idx_free(&c->images);
    free(c);
}

int64_t clips_count(const clips *c) { return c->count; }
int64_t clips_frames(const clips *c) { return c->frames; }
int64_t clips_size(const clips *c) { return c->size; }

void clips_hash(const clips *c, char hash[CLIPS_HASH]) {
    uint8_t sum[SHA256_DIGEST_LENGTH], digit[DIGITS_PIXELS];
    const wf_shape *shape = &c->file.shape;
    SHA2_CTX h;
    SHA256Init(&h);
    if (c->file.data)
        SHA256Update(&h, c->file.data, (size_t)(shape->dim[0] * shape->dim[1] * c->side * c->side));
    else if (c->pool.pixels)
        SHA256Update(&h, c->pool.pixels, (size_t)c->pool.count * IDX_PIXELS);
    else
        for (uint64_t i = 0; i < 1000; i++) {
            digits_draw(GENERATOR_DIGIT_SEED, c->pool.first + i, digit);
            SHA256Update(&h, digit, sizeof digit);
        }
    SHA256Final(sum, &h);
    for (size_t i = 0; i < sizeof sum; i++) snprintf(hash + 2 * i, 3, "%02x", sum[i]);
}

/* --- batches ---------------------------------------------------------------------------------- */

/* bytes (side, side) -> out (size, size): byte / 255, or the mean of 2x2 of them, rounded as
 * bilinear interpolation at half size rounds it: each row first, then the two rows. */
static void put_frame(const clips *c, const uint8_t *bytes, float *out) {
    const int64_t n = c->size;
    if (c->side == n) {
        for (int64_t i = 0; i < n * n; i++) out[i] = c->unit[bytes[i]];
        return;
    }
    for (int64_t y = 0; y < n; y++) {
        const uint8_t *upper = bytes + 2 * y * c->side, *lower = upper + c->side;
        for (int64_t x = 0; x < n; x++) {
            const float a = c->unit[upper[2 * x]], b = c->unit[upper[2 * x + 1]],
                        d = c->unit[lower[2 * x]], e = c->unit[lower[2 * x + 1]];
            out[y * n + x] = .5f * (.5f * a + .5f * b) + .5f * (.5f * d + .5f * e);
        }
    }
}

/* Frame t of clip k in the mapped file. */
static const uint8_t *file_frame(const clips *c, int64_t t, int64_t k) {
    return (const uint8_t *)c->file.data + (t * c->file.shape.dim[1] + k) * c->side * c->side;
}

/* Clip k at column `i` of a batch of n; x gets its first n_x frames, y all but its first. */
static void put_clip(const clips *c, int64_t k, int64_t i, int64_t n, float *x, int64_t n_x,
                     float *y) {
    const int64_t pixels = c->size * c->size;
    bouncing b;
    uint8_t drawn[GENERATOR_PIXELS];
    if (!c->file.data) bouncing_start(&b, &c->pool, c->seed, (uint64_t)k);
    for (int64_t t = 0; t < c->frames; t++) {
        const uint8_t *bytes = drawn;
        if (c->file.data)
            bytes = file_frame(c, t, k);
        else
            bouncing_frame(&b, drawn);
        float *as_input = x && t < n_x ? x + (t * n + i) * pixels : NULL;
        float *as_target = y && t > 0 ? y + ((t - 1) * n + i) * pixels : NULL;
        if (as_input) put_frame(c, bytes, as_input);
        if (as_input && as_target)
            memcpy(as_target, as_input, (size_t)pixels * sizeof *x);
        else if (as_target)
            put_frame(c, bytes, as_target);
    }
}

static wf_status put_batch(const clips *c, const int64_t *index, int64_t first, int64_t n,
                           float *x, int64_t n_x, float *y) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = index ? index[first + i] : first + i;
        if (k < 0 || k >= c->count)
            return wf_fail(WF_ARGUMENT, "clip %lld: there are %lld", (long long)k,
                           (long long)c->count);
        put_clip(c, k, i, n, x, n_x, y);
    }
    return WF_OK;
}

wf_status clips_batch(const clips *c, const int64_t *index, int64_t first, int64_t n, float *x,
                      float *y) {
    return put_batch(c, index, first, n, x, c->frames - 1, y);
}

wf_status clips_whole(const clips *c, const int64_t *index, int64_t first, int64_t n, float *x) {
    return put_batch(c, index, first, n, x, c->frames, NULL);
}

/* --- saving ----------------------------------------------------------------------------------- */

/* The file is frame-major: every clip's frame 0, then every clip's frame 1. All clips therefore
 * wait side by side, 1.6 KB each. */
static wf_status save_generated(const clips *c, wf_file *f) {
    bouncing *b = calloc((size_t)c->count, sizeof *b);
    if (!b) return wf_fail(WF_MEMORY, "no memory to make %lld clips", (long long)c->count);
    for (int64_t k = 0; k < c->count; k++) bouncing_start(&b[k], &c->pool, c->seed, (uint64_t)k);
    wf_status s = WF_OK;
    for (int64_t t = 0; t < c->frames && !s; t++)
        for (int64_t k = 0; k < c->count && !s; k++) {
            uint8_t frame[GENERATOR_PIXELS];
            bouncing_frame(&b[k], frame);
            s = wf_file_write(f, frame, sizeof frame);
        }
    free(b);
    return s;
}

static wf_status save_copied(const clips *c, wf_file *f) {
    const size_t bytes = (size_t)(c->side * c->side * c->count); /* lies in the mapped file */
    wf_status s = WF_OK;
    for (int64_t t = 0; t < c->frames && !s; t++) s = wf_file_write(f, file_frame(c, t, 0), bytes);
    return s;
}

wf_status clips_save(const clips *c, const char *path) {
    wf_file *f;
    wf_status s = wf_npy_create(&f, path, WF_U8, WF_SHAPE(c->frames, c->count, c->side, c->side));
    if (s) return s;
    s = c->file.data ? save_copied(c, f) : save_generated(c, f);
    if (s) {
        wf_file_discard(f);
        return s;
    }
    return wf_file_commit(f);
}
