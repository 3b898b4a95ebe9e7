/* Lines: the one-dimensional parts of an array along an axis, numbered in row-major order of the
 * other axes. Operations that work along an axis (argmax, cumsum) are threaded over them. */
#ifndef WEFT_LINES_H
#define WEFT_LINES_H

#include "tensor/op.h"

/* Number of lines of a shape along axis; at least one extent elsewhere may be 0. */
static inline int64_t wf_lines_count(const wf_shape *s, int axis) {
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++)
        if (i != axis) n *= s->dim[i];
    return n;
}

/* Offset of a line's first element in an array that has `axis`. With `without`, the array has the
 * axes of `s` but for `axis`. */
static inline int64_t wf_line_offset(const wf_shape *s, int axis, int64_t line,
                                     const int64_t *stride, bool without) {
    int64_t o = 0;
    for (int i = s->rank - 1; i >= 0; i--) {
        if (i == axis) continue;
        o += line % s->dim[i] * stride[without && i > axis ? i - 1 : i];
        line /= s->dim[i];
    }
    return o;
}

/* Pieces for a threaded run over lines of n elements: by extents only. */
static inline int64_t wf_lines_pieces(int64_t lines, int64_t n) {
    enum { PIECE_VALUES = 16384, MAX_PIECES = 64 };
    if (lines < 1) return 0;
    int64_t pieces = lines / (PIECE_VALUES / (n < 1 ? 1 : n > PIECE_VALUES ? PIECE_VALUES : n));
    if (pieces > MAX_PIECES) pieces = MAX_PIECES;
    return pieces < 1 ? 1 : pieces;
}

/* First line of piece p. */
static inline int64_t wf_lines_first(int64_t lines, int64_t pieces, int64_t p) {
    return lines / pieces * p + lines % pieces * p / pieces;
}

#endif
