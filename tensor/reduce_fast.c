/* The threaded fast path of the reductions: brings the array to few axes, cuts it into pieces, and
 * drives the stepping kernels over them.
 *
 * Axes are sorted by stride, and neighbours that lie side by side in memory become one. The
 * innermost axis then decides the form: kept with stride 1 steps columns (bias gradients, batch
 * norm), reduced with stride 1 steps rows (losses, norms, softmax), anything else steps one column
 * at a time.
 *
 * The number of pieces depends on extents only. One kept axis is cut into chunks; if that is too
 * few pieces, one reduced axis is cut into slices, whose partials merge in slice order. */
#include "tensor/kernels/rows.h"
#include "tensor/reduce.h"

#define PIECE_VALUES 32768 /* a piece reads at least about this many values: ~5 us of work */
#define MAX_PIECES 64
#define COLS_UNIT 1024 /* columns are cut no narrower, so that rows are read in long stretches */
#define ROW_UNIT 4096
#define WIDENED 4096 /* values of bf16 that are made f32 at a time: at most four rows of a block */
#define STATE_BYTES (sizeof(double) * WF_FOLD_STATE * WF_FOLD_BLOCK)

typedef struct axis {
    bool reduced;
    int64_t n, in, out; /* extent; strides in elements */
    int64_t position;   /* stride in the flattened kept index */
} axis;

typedef struct layout {
    int n_axes;
    axis axes[WF_MAX_RANK]; /* outermost first */
    int64_t n_kept, n_red;  /* elements */
    int chunk_axis, slice_axis;
    int64_t chunks, slices;
} layout;

static int64_t magnitude(int64_t stride) {
    return stride == 0 ? INT64_MAX : stride < 0 ? -stride : stride;
}

/* Appends an axis before all those of smaller stride. */
static void insert(layout *l, axis a) {
    int at = l->n_axes++;
    for (; at > 0 && magnitude(l->axes[at - 1].in) < magnitude(a.in); at--)
        l->axes[at] = l->axes[at - 1];
    l->axes[at] = a;
}

static void merge_neighbours(layout *l) {
    int n = 0;
    for (int i = 0; i < l->n_axes; i++) {
        const axis a = l->axes[i];
        axis *before = n ? &l->axes[n - 1] : NULL;
        if (before && before->reduced == a.reduced && before->in == a.in * a.n &&
            (a.reduced || before->out == a.out * a.n)) {
            before->n *= a.n;
            before->in = a.in;
            before->out = a.out;
        } else
            l->axes[n++] = a;
    }
    l->n_axes = n;
}

/* The axis of one kind that can be cut into the most parts, and that number; -1 and 1 if none. */
static int widest(const layout *l, bool reduced, int64_t *parts) {
    int best = -1;
    *parts = 1;
    for (int i = 0; i < l->n_axes; i++) {
        const axis *a = &l->axes[i];
        if (a->reduced != reduced) continue;
        const bool dense = i == l->n_axes - 1 && a->in == 1;
        const int64_t units = !dense ? a->n : a->n / (reduced ? ROW_UNIT : COLS_UNIT);
        if (units > *parts) best = i, *parts = units;
    }
    return best;
}

static layout make_layout(const wf_call *c, int n_out) {
    const wf_reduce_nest nest = wf_reduce_split(c, n_out == 2);
    layout l = {.n_kept = nest.n_kept, .n_red = nest.n_red};
    for (int i = 0; i < nest.in.shape.rank; i++)
        if (nest.in.shape.dim[i] != 1)
            insert(&l, (axis){.n = nest.in.shape.dim[i],
                              .in = nest.in.stride[i],
                              .out = nest.out.stride[i]});
    for (int i = 0; i < nest.red.shape.rank; i++)
        if (nest.red.shape.dim[i] != 1)
            insert(&l, (axis){.reduced = true,
                              .n = nest.red.shape.dim[i],
                              .in = nest.red.stride[i]});
    merge_neighbours(&l);
    int64_t position = 1;
    for (int i = l.n_axes - 1; i >= 0; i--)
        if (!l.axes[i].reduced) {
            l.axes[i].position = position;
            position *= l.axes[i].n;
        }
    int64_t want = l.n_kept * l.n_red / PIECE_VALUES;
    want = want < 1 ? 1 : want > MAX_PIECES ? MAX_PIECES : want;
    l.chunk_axis = widest(&l, false, &l.chunks);
    if (l.chunks > want) l.chunks = want;
    l.slice_axis = widest(&l, true, &l.slices);
    if (l.slices > want / l.chunks) l.slices = want / l.chunks;
    return l;
}

bool wf_reduce_applicable(const wf_call *c) {
    const wf_dtype in = c->in[0].dtype;
    return (in == WF_F32 || in == WF_BF16) && c->out.dtype == WF_F32 &&
           wf_shape_count(&c->in[0].shape) > 0;
}

int64_t wf_reduce_pieces(const wf_fold *fold, const wf_call *c, int phase) {
    const layout l = make_layout(c, fold->n_out);
    if (phase == 0) return l.chunks * l.slices;
    return l.slices == 1 ? 0 : (l.n_kept + WF_FOLD_BLOCK - 1) / WF_FOLD_BLOCK;
}

/* The state of a block; for bf16, behind it, the values that are being folded as f32. */
size_t wf_reduce_scratch(const wf_call *c) {
    return STATE_BYTES + (c->in[0].dtype == WF_BF16 ? sizeof(float) * WIDENED : 0);
}

/* Partials (slices, n_partial, n_kept). */
size_t wf_reduce_shared(const wf_fold *fold, const wf_call *c) {
    const layout l = make_layout(c, fold->n_out);
    if (l.slices == 1) return 0;
    return sizeof(double) * (size_t)(l.slices * fold->n_partial * l.n_kept);
}

/* --- phase 0 -------------------------------------------------------------------------------- */

/* Narrows axis i to part p of n; returns where it begins. */
static int64_t narrow(layout *l, int i, int64_t p, int64_t n) {
    if (i < 0 || n == 1) return 0;
    const int64_t extent = l->axes[i].n, first = extent * p / n;
    l->axes[i].n = extent * (p + 1) / n - first;
    return first;
}

/* Nested loops over some axes, by offset into the operand, the result and the kept positions. */
typedef struct loops {
    int n;
    axis axes[WF_MAX_RANK];
    int64_t index[WF_MAX_RANK];
    int64_t in, out, position;
} loops;

static bool next(loops *o) {
    for (int i = o->n - 1; i >= 0; i--) {
        const axis *a = &o->axes[i];
        if (++o->index[i] < a->n) {
            o->in += a->in;
            o->out += a->out;
            o->position += a->position;
            return true;
        }
        o->index[i] = 0;
        o->in -= a->in * (a->n - 1);
        o->out -= a->out * (a->n - 1);
        o->position -= a->position * (a->n - 1);
    }
    return false;
}

/* One block of columns of one kept index, for all of the piece's reduced values. */
typedef struct block {
    const void *x;    /* float, or bf16 */
    float *widened;   /* bf16: (WIDENED) */
    int64_t n_cols, rows, row_stride, n_row; /* n_row 0: step columns */
    loops outer;                             /* reduced axes around rows and row */
    double count;
} block;

static void widen(float *to, const uint16_t *x, int64_t n) {
    wf_row_cast(WF_BF16, WF_F32)(n, to, (const void *const[]){x}, (const int64_t[]){1, 1});
}

/* As many rows at a time as fit, a long row in parts. Columns are taken four rows a pass. */
static void fold_widened(const wf_fold_steps *steps, const block *b, const uint16_t *x,
                         double *state) {
    const int64_t n = b->n_row ? b->n_row : b->n_cols, wide = n < WIDENED ? n : WIDENED;
    const int64_t most = WIDENED / wide < 4 ? 1 : WIDENED / wide / 4 * 4;
    for (int64_t r = 0; r < b->rows; r += most) {
        const int64_t rows = b->rows - r < most ? b->rows - r : most;
        for (int64_t j = 0; j < n; j += wide) {
            const int64_t cols = n - j < wide ? n - j : wide;
            if (b->row_stride == cols || rows == 1)
                widen(b->widened, x + r * b->row_stride + j, rows * cols);
            for (int64_t i = 0; i < rows && b->row_stride != cols && rows > 1; i++)
                widen(b->widened + i * cols, x + (r + i) * b->row_stride + j, cols);
            (b->n_row ? steps->row : steps->cols)(state, b->widened, rows, cols, cols);
        }
    }
}

static void fold_block(const wf_fold *fold, const wf_fold_steps *steps, block *b, double *state) {
    if (b->widened) widen(b->widened, b->x, b->n_cols);
    fold->begin(state, b->widened ? b->widened : b->x, b->n_cols);
    do {
        const float *x = (const float *)b->x + (b->widened ? 0 : b->outer.in);
        if (b->widened) fold_widened(steps, b, (const uint16_t *)b->x + b->outer.in, state);
        else if (b->n_row) steps->row(state, x, b->rows, b->n_row, b->row_stride);
        else steps->cols(state, x, b->rows, b->n_cols, b->row_stride);
    } while (next(&b->outer));
    fold->close(state, b->n_cols, b->count);
}

/* Where results go: finished into the array, or as partials of one slice. */
typedef struct sink {
    float *out;
    int64_t plane; /* stride from the first result of an element to its second */
    double *partial;
    int64_t n_kept;
} sink;

static void deliver(const wf_fold *fold, const sink *to, const double *state, int64_t n,
                    int64_t out, int64_t out_step, int64_t position, double count) {
    for (int64_t j = 0; j < n; j++) {
        double p[WF_FOLD_STATE];
        float y[2];
        for (int q = 0; q < fold->n_partial; q++) p[q] = state[q * WF_FOLD_BLOCK + j];
        if (to->partial) {
            for (int q = 0; q < fold->n_partial; q++)
                to->partial[q * to->n_kept + position + j] = p[q];
            continue;
        }
        fold->finish(p, count, y);
        for (int o = 0; o < fold->n_out; o++)
            to->out[out + j * out_step + o * to->plane] = y[o];
    }
}

/* x is an operand of c, or rows of it; scratch: wf_reduce_scratch(c) bytes. */
static void run_piece(const wf_fold *fold, const layout *whole, const wf_call *c, const char *x,
                      sink to, int64_t piece, void *scratch) {
    layout l = *whole;
    const int64_t chunk = piece / l.slices, slice = piece % l.slices;
    const int64_t k0 = narrow(&l, l.chunk_axis, chunk, l.chunks);
    const int64_t r0 = narrow(&l, l.slice_axis, slice, l.slices);
    loops kept = {0};
    if (k0) {
        const axis *a = &l.axes[l.chunk_axis];
        kept = (loops){.in = k0 * a->in, .out = k0 * a->out, .position = k0 * a->position};
    }
    if (r0) kept.in += r0 * l.axes[l.slice_axis].in;

    /* Innermost axis to columns or row, the last reduced axis left to rows, the others to loops. */
    const bool half = c->in[0].dtype == WF_BF16;
    const int64_t size = half ? sizeof(uint16_t) : sizeof(float);
    block b = {.rows = 1, .count = 1,
               .widened = half ? (float *)((char *)scratch + STATE_BYTES) : NULL};
    axis cols = {.n = 1};
    for (int i = 0; i < l.n_axes; i++)
        if (l.axes[i].reduced) b.count *= (double)l.axes[i].n;
    if (l.n_axes && l.axes[l.n_axes - 1].in == 1) {
        const axis a = l.axes[--l.n_axes];
        if (a.reduced) b.n_row = a.n;
        else cols = a;
    }
    for (int i = 0; i < l.n_axes; i++) {
        loops *o = l.axes[i].reduced ? &b.outer : &kept;
        o->axes[o->n++] = l.axes[i];
    }
    if (b.outer.n) {
        const axis a = b.outer.axes[--b.outer.n];
        b.rows = a.n;
        b.row_stride = a.in;
    }
    if (to.partial) to.partial += slice * fold->n_partial * to.n_kept;

    const wf_fold_steps *steps = fold->steps();
    do
        for (int64_t j = 0; j < cols.n; j += WF_FOLD_BLOCK) {
            b.x = x + (kept.in + j) * size;
            b.n_cols = cols.n - j < WF_FOLD_BLOCK ? cols.n - j : WF_FOLD_BLOCK;
            fold_block(fold, steps, &b, scratch);
            deliver(fold, &to, scratch, b.n_cols, kept.out + j * cols.out, cols.out,
                    kept.position + j, b.count);
        }
    while (next(&kept));
}

/* --- phase 1 -------------------------------------------------------------------------------- */

/* Values of each kept element in slice i. */
static double slice_count(const layout *l, int64_t i) {
    const int64_t n = l->axes[l->slice_axis].n;
    const int64_t part = n * (i + 1) / l->slices - n * i / l->slices;
    return (double)(l->n_red / n * part);
}

static void merge_piece(const wf_fold *fold, const layout *l, sink to, const double *counts,
                        int64_t piece) {
    const int64_t first = piece * WF_FOLD_BLOCK;
    const int64_t last = first + WF_FOLD_BLOCK < l->n_kept ? first + WF_FOLD_BLOCK : l->n_kept;
    for (int64_t k = first; k < last; k++) {
        double a[WF_FOLD_STATE], b[WF_FOLD_STATE], count = counts ? counts[0] : slice_count(l, 0);
        for (int q = 0; q < fold->n_partial; q++) a[q] = to.partial[q * l->n_kept + k];
        for (int64_t i = 1; i < l->slices; i++) {
            const double *p = to.partial + i * fold->n_partial * l->n_kept + k;
            const double n = counts ? counts[i] : slice_count(l, i);
            for (int q = 0; q < fold->n_partial; q++) b[q] = p[q * l->n_kept];
            fold->merge(a, b, count, n);
            count += n;
        }
        int64_t at = 0;
        for (int i = 0; i < l->n_axes; i++)
            if (!l->axes[i].reduced)
                at += k / l->axes[i].position % l->axes[i].n * l->axes[i].out;
        float y[2];
        fold->finish(a, count, y);
        for (int o = 0; o < fold->n_out; o++) to.out[at + o * to.plane] = y[o];
    }
}

void wf_reduce_run(const wf_fold *fold, const wf_call *c, int phase, int64_t first, int64_t last,
                   void *scratch, void *shared) {
    const layout l = make_layout(c, fold->n_out);
    const sink to = {.out = c->out.data,
                     .plane = fold->n_out == 2 ? c->out.stride[0] : 0,
                     .partial = l.slices > 1 ? shared : NULL,
                     .n_kept = l.n_kept};
    for (int64_t p = first; p < last; p++) {
        if (phase == 0) run_piece(fold, &l, c, c->in[0].data, to, p, scratch);
        else merge_piece(fold, &l, to, NULL, p);
    }
}

/* --- by rows ---------------------------------------------------------------------------------- */

static const wf_fold *fold_of(const wf_call *c) { return c->op->fast->by_rows->own; }

bool wf_reduce_row_form(const wf_call *c, wf_row_form *out) {
    const layout l = make_layout(c, fold_of(c)->n_out);
    if (l.n_axes == 0 || l.axes[0].in <= 0) return false;
    *out = (wf_row_form){.rows = l.axes[0].n, .step = l.axes[0].in, .folds = l.axes[0].reduced};
    return out->folds || fold_of(c)->n_out == 1; /* two results: not rows of one array */
}

/* `shared` has the number of values behind each slice's partials, then the partials. */
void wf_reduce_row_run(const wf_call *c, const wf_row_block *b, void *scratch, void *shared) {
    const wf_fold *fold = fold_of(c);
    layout l = make_layout(c, fold->n_out);
    axis *rows = &l.axes[0];
    sink to = {.out = c->out.data, .plane = fold->n_out == 2 ? c->out.stride[0] : 0,
               .n_kept = l.n_kept};
    if (rows->reduced) {
        double *count = shared;
        count[b->slice] = (double)(l.n_red / rows->n * b->rows);
        to.partial = count + b->slices + b->slice * fold->n_partial * l.n_kept;
    } else {
        to.out += b->first * rows->out;
    }
    l.chunks = l.slices = 1;
    const char *x = wf_at(&c->in[0], b->first * rows->in);
    rows->n = b->rows;
    run_piece(fold, &l, c, x, to, 0, scratch);
}

size_t wf_reduce_row_fold_bytes(const wf_call *c, int64_t slices) {
    const layout l = make_layout(c, fold_of(c)->n_out);
    return sizeof(double) * (size_t)(slices * (1 + fold_of(c)->n_partial * l.n_kept));
}

int64_t wf_reduce_row_merge_pieces(const wf_call *c) {
    const layout l = make_layout(c, fold_of(c)->n_out);
    return (l.n_kept + WF_FOLD_BLOCK - 1) / WF_FOLD_BLOCK;
}

void wf_reduce_row_merge(const wf_call *c, int64_t slices, int64_t first, int64_t last,
                         void *shared) {
    const wf_fold *fold = fold_of(c);
    layout l = make_layout(c, fold->n_out);
    double *count = shared;
    l.slices = slices;
    const sink to = {.out = c->out.data, .plane = fold->n_out == 2 ? c->out.stride[0] : 0,
                     .partial = count + slices, .n_kept = l.n_kept};
    for (int64_t p = first; p < last; p++) merge_piece(fold, &l, to, count, p);
}
