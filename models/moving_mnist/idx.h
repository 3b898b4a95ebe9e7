/* Images in MNIST's IDX format: big-endian magic 0x00000803, count, rows, columns, then bytes.
 * Source: the format description on the MNIST page (LeCun, Cortes, Burges). */
#ifndef MOVING_MNIST_IDX_H
#define MOVING_MNIST_IDX_H

#include "nn/nn.h"

#define IDX_SIDE 28
#define IDX_PIXELS (IDX_SIDE * IDX_SIDE)

typedef struct idx_images {
    int64_t count;
    uint8_t *pixels; /* (count, 28, 28) */
} idx_images;

/* Reads 28x28 images, gzipped or raw. `path` is a file, or a folder with the official names
 * train-images-idx3-ubyte or t10k-images-idx3-ubyte, with or without .gz, of which `split` ("train"
 * or "test") chooses.
 *
 * Errors   WF_INPUT if missing or not a regular file; WF_FORMAT for another magic, other extents, a
 *          file that is shorter or longer than it says, or a broken gzip stream.
 * Owner    the caller frees with idx_free. Memory grows with the bytes present, at most twice. */
wf_status idx_load(idx_images *out, const char *path, const char *split);
void idx_free(idx_images *images);

#endif
