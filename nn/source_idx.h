/* Files in MNIST's IDX format. Internal to nn/. */
#ifndef WEFT_SOURCE_IDX_H
#define WEFT_SOURCE_IDX_H

#include "nn/nn.h"

/* Reads a file, raw or gzipped (where `path` is missing, `path`.gz): bytes 0 0, type 0x08
 * (unsigned byte), rank, big-endian extents, data. *data is (shape) u8; free() it. Memory grows
 * with the bytes that are there, not with what the header claims.
 * Errors   WF_INPUT, WF_FORMAT, WF_MEMORY.
 * Source   the format description on the MNIST page (LeCun, Cortes, Burges). */
wf_status wf_idx_read(const char *path, wf_shape *shape, uint8_t **data);

#endif
