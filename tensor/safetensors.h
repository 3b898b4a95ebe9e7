/* Limits of the safetensors format that reader and writer share. Internal to tensor/. */
#ifndef WEFT_SAFETENSORS_H
#define WEFT_SAFETENSORS_H

#include "tensor/io.h"

#define WF_ST_LENGTH_BYTES 8                       /* the little-endian length before the header */
#define WF_ST_MAX_HEADER ((size_t)100 * 1000 * 1000) /* the limit of the reference implementation */
#define WF_ST_MAX_NAME 256                         /* bytes */
#define WF_ST_MAX_COUNT ((size_t)100 * 1000)       /* tensors, and entries of __metadata__ */
#define WF_ST_MAX_DIM ((int64_t)1 << 48)
#define WF_ST_META "__metadata__"

/* Whether a file of file_bytes may describe n tensors with text_bytes of names and metadata: what a
 * reader then allocates stays below file_bytes + 1 MiB. What is left over for parsing goes to
 * *slack. Only files of many thousand tensors without data are refused by it. */
bool wf_st_fits(size_t n, size_t text_bytes, size_t file_bytes, size_t *slack);

/* NULL, or what is wrong with one extent. */
const char *wf_st_dim_error(int64_t dim);

#endif
