/* Copies a strided array, seen through index relations, into a strided destination: the packing of
 * operands (halo boxes, panels, rows of pixels) for the micro kernels. Pointers, sizes and strides.
 *
 *   dst[sum of v_l * dst_l] = src[sum over axes of index_j * stride_j],
 *   index_j = (num_j + sum of v_l * coef_l_j) / div_j,
 *
 * for all v in the box of extents, and 0 where an index is no whole number in [0, limit_j).
 *
 * Elements are f32 or halves, bf16, on either side. A destination of halves may have a second part
 * for what rounding leaves of each value (kernels/cells.h). */
#ifndef WEFT_KERNELS_CONTRACT_GATHER_H
#define WEFT_KERNELS_CONTRACT_GATHER_H

#include <stdbool.h>
#include <stdint.h>

enum { WF_NEST_LOOPS = 26, WF_NEST_AXES = 8 };

typedef struct wf_nest_loop {
    int64_t extent, dst;
    int64_t coef[WF_NEST_AXES];
} wf_nest_loop;

typedef struct wf_nest {
    int n_loops, n_axes;
    wf_nest_loop loop[WF_NEST_LOOPS];
    int64_t num[WF_NEST_AXES], div[WF_NEST_AXES], limit[WF_NEST_AXES];
    int64_t stride[WF_NEST_AXES];
    bool from_halves, to_halves;
    int64_t lo; /* halves from a hi to its lo part; 0: none */
} wf_nest;

/* Cuts [*lo, *hi) to the v with 0 <= num + coef v < limit; coef is not 0. */
void wf_nest_cut(int64_t num, int64_t coef, int64_t limit, int64_t *lo, int64_t *hi);

void wf_nest_copy(const wf_nest *g, const void *src, void *dst);

#endif
