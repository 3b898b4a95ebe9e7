/* Lines: the one-dimensional parts of an array along an axis, numbered in row-major order of the
 * other axes. Operations that work along an axis (argmax, cumsum) are threaded over them. */
#ifndef WEFT_LINES_H
#define WEFT_LINES_H

#include "tensor/view.h"

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

/* --- operations with a wf_axis_attr that work along that axis of their first operand ------------
 * The wf_fast functions of one whose `eval_lines` computes the lines [first, last). */

static inline int wf_lines_axis(const wf_call *c) {
    return wf_axis_of(((const wf_axis_attr *)c->attr)->axis, c->in[0].shape.rank);
}

/* Number of lines; 0 if there is no element. */
static inline int64_t wf_lines_of(const wf_call *c) {
    const wf_shape *s = &c->in[0].shape;
    return wf_shape_count(s) > 0 ? wf_lines_count(s, wf_lines_axis(c)) : 0;
}

static inline bool wf_lines_applicable(const wf_call *c) { return true; }

static inline int64_t wf_lines_pieces_of(const wf_call *c, int phase) {
    return wf_lines_pieces(wf_lines_of(c), c->in[0].shape.dim[wf_lines_axis(c)]);
}

static inline void wf_lines_run(const wf_call *c, int64_t first, int64_t last,
                                void (*eval_lines)(const wf_call *c, int64_t first, int64_t last)) {
    const int64_t lines = wf_lines_of(c), n = wf_lines_pieces_of(c, 0);
    eval_lines(c, wf_lines_first(lines, n, first), wf_lines_first(lines, n, last));
}

#endif
