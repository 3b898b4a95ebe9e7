/* The whole protocol at small scale, as a reader of the README goes through it: clips in the
 * official layout from IDX files, training on one part of them, the test part measured, pictures,
 * curves. The animation is read back by giflib and, where it is there, by ImageMagick or ffmpeg. */
#include <gif_lib.h>
#include <jansson.h>

#include "models/moving_mnist/digits.h"
#include "tests/convlstm_run.h"

enum { CLIPS = 40, FRAMES = 20, TRAIN = 24, VAL = 6, TEST = 10, DIGITS = 30, SIDE = 64 };

TestSuite(convlstm_protocol, .init = make_folder, .fini = remove_folder, .timeout = 300);

static char text[1 << 20];

/* MNIST's test file with a few digits. */
static void write_digits(const char *path) {
    static uint8_t file[16 + DIGITS * DIGITS_PIXELS] = {0, 0, 8, 3, 0, 0, 0, DIGITS,
                                                        0, 0, 0, 28, 0, 0, 0, 28};
    for (uint64_t i = 0; i < DIGITS; i++) digits_draw(3, i, file + 16 + i * DIGITS_PIXELS);
    write_file(path, file, sizeof file);
}

/* numpy's header for the official shape, then frames of all clips, one time step after another. */
static void check_layout(const char *path) {
    static uint8_t file[128 + FRAMES * CLIPS * SIDE * SIDE + 1];
    const size_t n = read_file(path, (char *)file, sizeof file + 1);
    cr_assert_eq(n, sizeof file - 1, "%zu bytes", n);
    cr_assert(!memcmp(file, "\x93NUMPY\1\0", 8));
    cr_assert(strstr((char *)file + 10, "'descr': '|u1', 'fortran_order': False, 'shape': (20, 40, "
                                        "64, 64)"), "%.100s", file + 10);
    int lit = 0, moved = 0;
    const size_t step = (size_t)CLIPS * SIDE * SIDE;
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        lit += file[128 + i] > 0;
        moved += file[128 + i] != file[128 + step + i];
    }
    cr_assert(lit > 50 && lit < 1000 && moved > 20, "%d lit, %d moved", lit, moved);
}

static double score(const json_t *scores, const char *name) {
    const json_t *value = json_object_get(scores, name);
    cr_assert(json_is_number(value), "%s in %s", name, out_text);
    return json_number_value(value);
}

static void check_scores(void) {
    json_t *all = json_loads(out_text, 0, NULL);
    cr_assert(all, "%s", out_text);
    cr_expect(score(all, "clips") == TEST);
    cr_expect(score(all, "loss") > 0 && score(all, "mae") > 0 && score(all, "psnr") > 3);
    cr_expect(score(json_object_get(all, "running"), "psnr") > 3, "%s", out_text);
    json_decref(all);
}

/* --- reading an animation back --- */

/* Frames as giflib has them, put on one another, RGB; the caller frees. */
static uint8_t *read_gif(const char *path, int *width, int *height, int *frames) {
    int error;
    GifFileType *g = DGifOpenFileName(path, &error);
    cr_assert(g && DGifSlurp(g) == GIF_OK, "%s", path);
    *width = g->SWidth;
    *height = g->SHeight;
    *frames = g->ImageCount;
    const size_t pixels = (size_t)(g->SWidth * g->SHeight);
    uint8_t *screen = calloc(pixels, 1), *all = malloc(3 * pixels * (size_t)g->ImageCount);
    cr_assert(screen && all);
    for (int t = 0; t < g->ImageCount; t++) {
        const GifImageDesc *d = &g->SavedImages[t].ImageDesc;
        for (int y = 0; y < d->Height; y++)
            memcpy(screen + (d->Top + y) * g->SWidth + d->Left,
                   g->SavedImages[t].RasterBits + y * d->Width, (size_t)d->Width);
        for (size_t i = 0; i < pixels; i++) {
            const GifColorType c = g->SColorMap->Colors[screen[i]];
            uint8_t *rgb = all + 3 * ((size_t)t * pixels + i);
            rgb[0] = c.Red, rgb[1] = c.Green, rgb[2] = c.Blue;
        }
    }
    DGifCloseFile(g, &error);
    free(screen);
    return all;
}

/* The same file by a program that writes raw RGB: -1 if it is not here; else the number of bytes
 * that differ, or all of them. */
static int64_t differences(const char *command, const char *name, const uint8_t *want, size_t n) {
    char line[512];
    snprintf(line, sizeof line, "command -v %.*s >/dev/null 2>&1", (int)strcspn(command, " "),
             command);
    if (system(line) != 0) return -1;
    snprintf(line, sizeof line, command, in_folder(name), in_folder("raw.rgb"));
    if (system(line) != 0) return -1;
    uint8_t *got = malloc(n + 2);
    cr_assert(got);
    int64_t wrong = read_file(in_folder("raw.rgb"), (char *)got, n + 2) == n ? 0 : (int64_t)n;
    for (size_t i = 0; i < n && wrong < (int64_t)n; i++) wrong += got[i] != want[i];
    free(got);
    return wrong;
}

static void check_animation(const char *name, int samples, int frames) {
    static const char *const readers[] = {
        "convert '%s' -coalesce -depth 8 'rgb:%s' 2>/dev/null",
        "ffmpeg -v error -y -i '%s' -fps_mode passthrough -f rawvideo -pix_fmt rgb24 '%s'"};
    int width, height, n, others = 0;
    uint8_t *all = read_gif(in_folder(name), &width, &height, &n);
    cr_assert(n == frames && width > 2 * 32 && height > samples * 32, "%dx%d, %d frames", width,
              height, n);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        const int64_t wrong =
            differences(readers[i], name, all, 3 * (size_t)width * (size_t)height * (size_t)n);
        cr_expect(wrong <= 0, "%s: %lld bytes differ", readers[i], (long long)wrong);
        others += wrong == 0;
    }
    if (!others)
        fprintf(stderr, "skipped: read back by giflib alone; neither convert (ImageMagick) nor "
                        "ffmpeg can\n");
    free(all);
}

/* --- the protocol --- */

Test(convlstm_protocol, from_digits_to_curves) {
    write_digits(in_folder("t10k-images-idx3-ubyte"));
    succeed("data --mnist @ --split test --count 40 --out @/clips.npy");
    check_layout(in_folder("clips.npy"));
    succeed("train --npy @/clips.npy --splits 24,6,10 --hidden 2 --batch 2 --epochs 2 --out @/run");
    cr_expect(strstr(err_text, "24 clips to train on, 6 to validate; 24 steps of 2 clips"), "%s",
              err_text);
    succeed("eval --npy @/clips.npy --splits 24,6,10 --seed 1 --part test "
            "--weights @/run/best.safetensors --json");
    check_scores();
    succeed("predict --npy @/clips.npy --splits 24,6,10 --seed 1 --part test "
            "--weights @/run/best.safetensors --gif @/a.gif --png @/a.png --scale 2");
    check_animation("a.gif", 2, FRAMES);
    succeed("predict --npy @/clips.npy --splits 24,6,10 --seed 1 --part test "
            "--weights @/run/best.safetensors --rollout 10 --gif @/b.gif --scale 2");
    check_animation("b.gif", 2, FRAMES);
    const size_t n = read_file(in_folder("a.png"), text, sizeof text);
    cr_expect(n > 100 && !memcmp(text, "\x89PNG\r\n\x1a\n", 8));
    succeed("plot @/run --out @/curves.svg");
    read_file(in_folder("curves.svg"), text, sizeof text);
    cr_expect(strstr(text, "<svg") && strstr(text, "PSNR") && strstr(text, "</svg>"));
}
