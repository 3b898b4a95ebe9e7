/* Convolutions of oneDNN, where the build found it (apt install libdnnl-dev), at its best: layouts
 * of its own choice or channels last, whichever is faster, reorders into them not counted,
 * primitives made once. */
#ifndef WEFT_BENCH_PEER_DNNL_H
#define WEFT_BENCH_PEER_DNNL_H

#include <stdbool.h>

#include "bench/conv_shape.h"

/* "oneDNN 2.6.3"; "absent: apt install libdnnl-dev". */
const char *peer_dnnl_name(void);

/* mode: "f32", or "bf16" (everything in bf16, but weight gradients in f32). x, w, dy: f32 in the
 * layouts of conv_shape.h; those that a direction does not read may be NULL. NULL if oneDNN is
 * absent or has no such convolution. */
typedef struct peer_conv peer_conv;
peer_conv *peer_conv_new(const conv_shape *s, conv_direction d, const char *mode, const float *x,
                         const float *w, const float *dy);
void peer_conv_run(void *conv);
/* The result as f32 in the layout of conv_shape.h. */
bool peer_conv_read(peer_conv *conv, float *out);
void peer_conv_free(peer_conv *conv);

#endif
