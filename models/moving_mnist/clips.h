/* Clips of Moving MNIST from any of three sources: a file in the official layout, MNIST's digits in
 * IDX files, or the built-in digits; the latter two move as spec 3.1 has it (generator.h).
 * All functions but open and close only read: any number of threads may call them at once. */
#ifndef MOVING_MNIST_CLIPS_H
#define MOVING_MNIST_CLIPS_H

#include "nn/nn.h"

typedef struct clips clips;

/* Where clips come from: npy, else mnist, else built-in digits. Zero fields have defaults. */
typedef struct clips_opt {
    const char *npy;   /* official layout: u8 (T, N, 64, 64); another square size is read too */
    const char *mnist; /* a folder with the official IDX files, or one file of images */
    const char *split; /* "train" (default) or "test": of MNIST's, and of the built-in digits */
    int64_t count;     /* clips; 0: all of the npy file, else 1000 */
    uint64_t seed;     /* of the generator */
    int64_t size;      /* 0: 32. The side in the source, or half of it: the exact 2x2 mean */
    int64_t frames;    /* 0: all of the npy file, else 20. The first frames of each clip, >= 2 */
    int64_t digits;    /* made clips show only the first so many digits of the split; 0: any */
    bool mirrored;     /* made clips move as those of Shi et al. 2015 (generator.h) */
} clips_opt;

/* Errors   WF_ARGUMENT for a size, split or number that the source does not have; WF_INPUT,
 *          WF_FORMAT and WF_MEMORY from the files.
 * Owner    the caller closes with clips_close. */
wf_status clips_open(clips **out, clips_opt o);
void clips_close(clips *c); /* NULL is fine */

int64_t clips_count(const clips *c);
int64_t clips_frames(const clips *c); /* T; x and y have T - 1 */
int64_t clips_size(const clips *c);   /* S */

/* SHA-256, in hexadecimal, of what the clips come from: all bytes of the npy file's array or of
 * MNIST's images; of the built-in digits, the first thousand of the split. Without the seed. */
#define CLIPS_HASH 65
void clips_hash(const clips *c, char hash[CLIPS_HASH]);

/* Clips index[first .. first + n) (index NULL: clips first .. first + n - 1) as one batch:
 *   x  f32 (T-1, n, S, S, 1)  frames 0 .. T-2, values byte / 255
 *   y  f32 (T-1, n, S, S, 1)  frames 1 .. T-1; either may be NULL
 * Errors   WF_ARGUMENT if an index is not in [0, count). */
wf_status clips_batch(const clips *c, const int64_t *index, int64_t first, int64_t n, float *x,
                      float *y);

/* The same clips with all their frames, for models that cut them themselves:
 *   x  f32 (T, n, S, S, 1), values byte / 255 */
wf_status clips_whole(const clips *c, const int64_t *index, int64_t first, int64_t n, float *x);

/* Writes all clips, not halved, as u8 (T, N, 64, 64), the official layout, atomically. */
wf_status clips_save(const clips *c, const char *path);

#endif
