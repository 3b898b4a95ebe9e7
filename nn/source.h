/* Data sources: numbered samples that fill the inputs of a program, and feeds, which hand out
 * batches of them in shuffled order, made ahead by a thread of their own.
 *
 * What batch k of a run holds is a function of the source, the seed and k alone: not of threads,
 * and not of where a run was stopped and resumed. */
#ifndef WEFT_SOURCE_H
#define WEFT_SOURCE_H

#include "compiler/compiler.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wf_source wf_source;

/* One of the things a sample consists of, for example an image and its label: the program's input
 * that it fills, and where it comes from - one of npy, idx and data. */
typedef struct wf_source_part {
    const char *name;  /* of the input */
    wf_dtype dtype;    /* of the input; values are converted to it */
    double scale;      /* what values are multiplied by; 0: 1. 1.0 / 255 for bytes */
    int axis;          /* the axis that counts samples, in the array and in the batch: often 0 */
    const char *npy;   /* a file, mapped */
    const char *idx;   /* a file in MNIST's format, raw or gzipped, read into memory; where it is
                          missing, the one with .gz at the end of its name */
    const void *data;  /* an array in memory (dense, borrowed) of this type and shape: */
    wf_dtype from;
    wf_shape shape;
} wf_source_part;

enum { WF_SOURCE_PARTS = 8 };

/* A source over arrays: sample k is entry k along `axis` of every part.
 * Errors   WF_INPUT, WF_FORMAT, WF_MEMORY from files; WF_ARGUMENT where parts differ in their
 *          number of samples or have no such axis.
 * Owner    the caller closes *out; names are copied, data is borrowed. */
WF_API wf_status wf_source_open(wf_source **out, const wf_source_part *part, int n_parts);

/* Writes samples index[0 .. n) as one batch into out[0 .. n_parts), which have n times the bytes of
 * a sample. Called by one thread at a time, but not always the same one. */
typedef wf_status wf_source_fill(void *user, const int64_t *index, int64_t n, void *const *out);

/* A source of `count` samples that a function makes. Of the parts, name, dtype and shape are read:
 * the shape of one sample; where the samples of a batch stand is up to the function. */
WF_API wf_status wf_source_function(wf_source **out, int64_t count, const wf_source_part *part,
                                    int n_parts, wf_source_fill *fill, void *user);

/* Samples index[0 .. n) of another source, which must outlive this one; index is copied. */
WF_API wf_status wf_source_subset(wf_source **out, const wf_source *of, const int64_t *index,
                                  int64_t n);

WF_API void wf_source_close(wf_source *s); /* NULL is fine */

/* Reads a file of bytes in MNIST's IDX format, raw or gzipped (where `path` is missing, `path`.gz):
 * bytes 0 0, type 0x08 (unsigned byte), rank, big-endian extents, data. *shape is what it must be,
 * with 0 for any extent, or of rank 0 for any shape; then the file's. *data is (shape) u8; the
 * caller frees it. Memory grows with the bytes that are there, not with what the header claims.
 * Errors   WF_INPUT, WF_FORMAT, WF_MEMORY.
 * Source   the format description on the MNIST page (LeCun, Cortes, Burges). */
WF_API wf_status wf_idx_read(const char *path, wf_shape *shape, uint8_t **data);

WF_API int64_t wf_source_count(const wf_source *s);
WF_API int wf_source_parts(const wf_source *s);
WF_API const char *wf_source_name(const wf_source *s, int part);
WF_API size_t wf_source_bytes(const wf_source *s, int part); /* of one sample */

/* Samples index[0 .. n) at once, in the calling thread. Errors: WF_ARGUMENT for an index that is
 * not in [0, count); those of the function. */
WF_API wf_status wf_source_batch(const wf_source *s, const int64_t *index, int64_t n,
                                 void *const *out);

/* Permutes index[0 .. n) by Fisher and Yates: a function of seed and epoch (-1, 0, 1, ...) alone.
 * Sources: Durstenfeld 1964, CACM 7 (7), algorithm 235; SplitMix64 in counter form (nn/init.c);
 * scaling by the high half of a product (Lemire 2019), which favours no place by more than
 * n / 2^64. */
WF_API void wf_shuffle(int64_t *index, int64_t n, uint64_t seed, int64_t epoch);

/* --- feeds ------------------------------------------------------------------------------------ */

typedef struct wf_feed wf_feed;

typedef struct wf_feed_opt {
    int64_t batch;
    uint64_t seed;
    bool in_order;         /* the same order in every epoch, that of the source */
    int64_t shard, shards; /* of the shuffled samples of an epoch, those at places shard, shard +
                              shards, ...; shards 0: all of them */
    int ahead;             /* batches made ahead, 1 .. 64; 0: 2 */
    bool no_thread;        /* make each batch when it is asked for */
} wf_feed_opt;

/* The source must outlive the feed. An epoch has as many batches as are full.
 * Errors   WF_ARGUMENT if not even one is full; WF_MEMORY. */
WF_API wf_status wf_feed_open(wf_feed **out, const wf_source *s, wf_feed_opt o);
WF_API void wf_feed_close(wf_feed *f); /* NULL is fine */

WF_API int64_t wf_feed_steps(const wf_feed *f); /* batches an epoch */

/* The next wf_feed_next gives batch `step`, counted from the start of epoch 0. */
WF_API wf_status wf_feed_seek(wf_feed *f, int64_t step);

/* Copies the next batch into out[0 .. parts). *waited_s (may be NULL): how long it was waited for.
 * Errors: what making the batch ran into. */
WF_API wf_status wf_feed_next(wf_feed *f, void *const *out, double *waited_s);

#ifdef __cplusplus
}
#endif
#endif
