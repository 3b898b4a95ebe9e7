/* Strided copies. Rows that are dense on both sides are memcpy; a plane whose fast axes differ (a
 * transpose) goes by tiles small enough for both sides to stay in the first-level cache; the rest
 * is a loop by element size. */
#include "tensor/kernels/copy.h"

#include <string.h>

#include "tensor/kernels/rows.h"

/* --- rows ------------------------------------------------------------------------------------- */

#define COPY_ROW(bits)                                                                             \
    static void copy_row_##bits(int64_t n, void *out, const void *const *in, const int64_t *s) {   \
        uint##bits##_t *o = out;                                                                   \
        const uint##bits##_t *a = in[0], first = *a;                                               \
        if (s[0] == 1 && s[1] == 1) memcpy(o, a, (size_t)n * sizeof *o);                           \
        else if (s[0] == 1 && s[1] == 0) for (int64_t i = 0; i < n; i++) o[i] = first;             \
        else for (int64_t i = 0; i < n; i++) o[i * s[0]] = a[i * s[1]];                            \
    }
COPY_ROW(8)
COPY_ROW(16)
COPY_ROW(32)
COPY_ROW(64)

static wf_row_fn *row_of(wf_dtype t) {
    switch (wf_dtype_bytes(t)) {
    case 1: return copy_row_8;
    case 2: return copy_row_16;
    case 4: return copy_row_32;
    default: return copy_row_64;
    }
}

/* --- planes ----------------------------------------------------------------------------------- */

enum { TILE = 128, SUB = 16 }; /* a piece is TILE x TILE, walked in SUB x SUB squares */

/* The axes p, q of a nest where in is dense along p and out along q, with q the innermost. */
static bool find_plane(const wf_nest *n, int *p) {
    const int q = n->rank - 1;
    if (n->stride[0][q] != 1 || n->stride[1][q] == 1 || n->dim[q] < 8) return false;
    for (int axis = 0; axis < q; axis++)
        if (n->stride[1][axis] == 1 && n->dim[axis] >= 8) {
            *p = axis;
            return true;
        }
    return false;
}

static int64_t tiles(int64_t extent) { return (extent + TILE - 1) / TILE; }

#define COPY_SQUARE(bits)                                                                          \
    static void copy_square_##bits(int64_t np, int64_t nq, void *out, int64_t so, const void *in,  \
                                   int64_t si) {                                                   \
        uint##bits##_t *o = out;                                                                   \
        const uint##bits##_t *a = in;                                                              \
        for (int64_t p = 0; p < np; p++)                                                           \
            for (int64_t q = 0; q < nq; q++) o[p * so + q] = a[p + q * si];                        \
    }
COPY_SQUARE(8)
COPY_SQUARE(16)
COPY_SQUARE(32)
COPY_SQUARE(64)

/* out[p so + q] = in[p + q si] for p < np, q < nq. */
static void copy_square(size_t bytes, int64_t np, int64_t nq, void *out, int64_t so, const void *in,
                        int64_t si) {
    switch (bytes) {
    case 1: copy_square_8(np, nq, out, so, in, si); break;
    case 2: copy_square_16(np, nq, out, so, in, si); break;
    case 4: copy_square_32(np, nq, out, so, in, si); break;
    default: copy_square_64(np, nq, out, so, in, si); break;
    }
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* One tile of plane (p, q): at p0, q0, the other axes at the offsets o, i. */
static void copy_tile(const wf_nest *n, const wf_array *out, const wf_array *in, int p, int64_t p0,
                      int64_t q0, int64_t o, int64_t i) {
    const int q = n->rank - 1;
    const int64_t so = n->stride[0][p], si = n->stride[1][q];
    const int64_t p1 = smaller(p0 + TILE, n->dim[p]), q1 = smaller(q0 + TILE, n->dim[q]);
    for (int64_t pp = p0; pp < p1; pp += SUB)
        for (int64_t qq = q0; qq < q1; qq += SUB)
            copy_square(wf_dtype_bytes(out->dtype), smaller(SUB, p1 - pp), smaller(SUB, q1 - qq),
                        wf_at(out, o + pp * so + qq), so, wf_at(in, i + pp + qq * si), si);
}

static void copy_planes(const wf_nest *n, const wf_array *out, const wf_array *in, int p,
                        int64_t first, int64_t last) {
    const int q = n->rank - 1;
    const int64_t tp = tiles(n->dim[p]), tq = tiles(n->dim[q]);
    for (int64_t piece = first; piece < last; piece++) {
        int64_t o = 0, i = 0, left = piece / (tp * tq);
        for (int axis = q - 1; axis >= 0; axis--) {
            if (axis == p) continue;
            o += left % n->dim[axis] * n->stride[0][axis];
            i += left % n->dim[axis] * n->stride[1][axis];
            left /= n->dim[axis];
        }
        const int64_t tile = piece % (tp * tq);
        copy_tile(n, out, in, p, tile / tq * TILE, tile % tq * TILE, o, i);
    }
}

/* --- public ----------------------------------------------------------------------------------- */

int64_t wf_copy_pieces(const wf_array *out, const wf_array *in) {
    const int64_t count = wf_shape_count(&out->shape);
    wf_nest n;
    int p;
    if (count <= 0) return 0;
    wf_nest_make(&n, out, in, 1);
    if (!find_plane(&n, &p)) return wf_row_pieces(out);
    const int64_t np = n.dim[p], nq = n.dim[n.rank - 1];
    return count / (np * nq) * tiles(np) * tiles(nq);
}

void wf_copy_rows(const wf_array *out, const wf_array *in, int64_t first, int64_t last) {
    wf_nest n;
    int p;
    if (first >= last) return;
    wf_nest_make(&n, out, in, 1);
    if (find_plane(&n, &p))
        copy_planes(&n, out, in, p, first, last);
    else
        wf_row_run(row_of(out->dtype), out, in, 1, first, last);
}

void wf_copy_all(const wf_array *out, const wf_array *in) {
    wf_copy_rows(out, in, 0, wf_copy_pieces(out, in));
}
