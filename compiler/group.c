/* Groups: their canonical text, and the tile interpreter.
 *
 * The interpreter walks (rows, cols) in tiles that fit the caches of a core together. Each step is
 * one call of a row kernel over the tile, or one a row where an operand does not lie in one run.
 * Operands are read where they are; a value that is an output is computed there at once, unless a
 * later step still reads an operand in the same memory: then it waits in its slot until the end of
 * the tile. Short rows with gaps are gathered, and scattered at the end. */
#include "compiler/group.h"

#include <stdio.h>
#include <string.h>

#include "tensor/elementwise.h"

enum {
    ROOM = 256 * 1024, /* bytes of all slots together. Tiles of 256 elements in the first-level
                          cache took 41 ms for the step's groups, of 2048 in the second 29 ms */
    TILE_MOST = 2048,
    TILE_LEAST = 512,
    SHORT = 100,       /* columns; operands with shorter rows are gathered into a slot first */
};

/* --- rows ------------------------------------------------------------------------------------- */

wf_row_fn *wf_group_row(const wf_op *op, const wf_dtype *in, wf_dtype out) {
    const wf_rows *rows = wf_rows_get();
    wf_row_fn *const *table = (wf_row_fn *const *)rows;
    if (op == &wf_op_cast) return wf_row_cast(in[0], out);
    if (op == &wf_op_add_n) return rows->add[out];
    for (size_t i = 0; wf_ew_ops[i]; i++)
        if (wf_ew_ops[i] == op) return table[i * WF_N_DTYPE + in[op == &wf_op_select]];
    return NULL;
}

static wf_dtype dtype_of(const wf_group *g, unsigned value) {
    return value < g->n_in ? g->in[value].dtype : g->step[value - g->n_in].dtype;
}

/* --- text ------------------------------------------------------------------------------------- */

typedef struct writer {
    char *buf;
    size_t size, n;
} writer;

static void put(writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const size_t left = w->n < w->size ? w->size - w->n : 0;
    const int n = vsnprintf(left ? w->buf + w->n : NULL, left, format, args);
    va_end(args);
    if (n > 0) w->n += (size_t)n;
}

size_t wf_group_text(const wf_group *g, char *buf, size_t size) {
    writer w = {buf, size, 0};
    if (size) buf[0] = 0;
    for (unsigned i = 0; i < g->n_in; i++)
        put(&w, "v%u = %s[%lld r + %lld c]\n", i, wf_dtype_name(g->in[i].dtype),
            (long long)g->in[i].row_stride, (long long)g->in[i].col_stride);
    for (unsigned i = 0; i < g->n_step; i++) {
        const wf_group_step *s = &g->step[i];
        put(&w, "v%u = %s %s", g->n_in + i, wf_dtype_name(s->dtype), s->op->name);
        for (unsigned k = 0; k < s->n_in; k++) put(&w, " v%u", s->in[k]);
        put(&w, "\n");
    }
    for (unsigned i = 0; i < g->n_out; i++)
        put(&w, "%s[%lld r + %lld c] = v%u\n", wf_dtype_name(g->out[i].dtype),
            (long long)g->out[i].row_stride, (long long)g->out[i].col_stride, g->out_value[i]);
    return w.n;
}

/* --- preparing -------------------------------------------------------------------------------- */

static void find_uses(wf_group *g) {
    memset(g->last_step, 0, sizeof g->last_step);
    memset(g->output, 0, sizeof g->output);
    for (unsigned i = 0; i < g->n_step; i++)
        for (unsigned k = 0; k < g->step[i].n_in; k++) g->last_step[g->step[i].in[k]] = (uint16_t)i;
    for (unsigned k = 0; k < g->n_out; k++)
        g->output[g->out_value[k] - g->n_in] = (uint16_t)(k + 1);
}

/* A slot is free again after the last reader of its value; outputs keep theirs. */
static void find_slots(wf_group *g) {
    uint16_t until[WF_GROUP_STEPS]; /* the last step that needs slot s */
    g->slots = 0;
    for (uint16_t i = 0; i < g->n_step; i++) {
        uint16_t s = 0;
        while (s < g->slots && until[s] >= i) s++;
        if (s == g->slots) g->slots++;
        g->slot[i] = s;
        const uint16_t last = g->last_step[g->n_in + i];
        until[s] = g->output[i] ? UINT16_MAX : last > i ? last : i;
    }
}

/* True if there are rows of more than one column: some operand may not lie in one run. */
static bool has_rows(const wf_group *g) {
    bool row = false, col = false;
    for (unsigned i = 0; i < g->n_in; i++) {
        row = row || g->in[i].row_stride;
        col = col || g->in[i].col_stride;
    }
    for (unsigned k = 0; k < g->n_out; k++) {
        row = row || g->out[k].row_stride;
        col = col || g->out[k].col_stride;
    }
    return row && col;
}

void wf_group_prepare(wf_group *g) {
    size_t bytes = 1;
    for (unsigned i = 0; i < g->n_step; i++) {
        const wf_group_step *s = &g->step[i];
        wf_dtype in[8] = {0};
        for (unsigned k = 0; k < s->n_in; k++) in[k] = dtype_of(g, s->in[k]);
        g->row[i] = wf_group_row(s->op, in, s->dtype);
        if (wf_dtype_bytes(s->dtype) > bytes) bytes = wf_dtype_bytes(s->dtype);
    }
    find_uses(g);
    find_slots(g);
    g->gathered = g->slots;
    if (has_rows(g)) g->slots = (uint16_t)(g->slots + g->n_in);
    for (unsigned i = 0; i < g->n_in && has_rows(g); i++)
        if (wf_dtype_bytes(g->in[i].dtype) > bytes) bytes = wf_dtype_bytes(g->in[i].dtype);
    const size_t fits = ROOM / (bytes * (g->slots ? g->slots : 1)) / 64 * 64;
    g->tile = (uint32_t)(fits > TILE_MOST ? TILE_MOST : fits < TILE_LEAST ? TILE_LEAST : fits);
    g->slot_bytes = (uint32_t)(g->tile * bytes);
    g->ready = true;
}

size_t wf_group_scratch(const wf_group *g) {
    if (g->ready) return (size_t)g->slots * g->slot_bytes;
    wf_group copy = *g;
    wf_group_prepare(&copy);
    return wf_group_scratch(&copy);
}

/* --- running ---------------------------------------------------------------------------------- */

/* A value as a tile sees it: the step from row to row and from column to column, in elements. */
typedef struct seen {
    char *at;
    int64_t row, col;
    size_t size;
} seen;

typedef struct walk {
    const wf_group *g;
    void *const *p;
    char *scratch;
    int64_t rows, cols;            /* of the tile that is being computed */
    bool direct[WF_GROUP_OUTPUTS]; /* computed where it is wanted */
    seen value[WF_GROUP_OPERANDS + WF_GROUP_STEPS];
    seen out[WF_GROUP_OUTPUTS];
} walk;

/* True if the tile is one run of elements; *step: between them. */
static bool one_run(const walk *w, const seen *s, int64_t *step) {
    if (w->rows == 1) *step = s->col;
    else if (w->cols == 1) *step = s->row;
    else if (s->row == s->col * w->cols) *step = s->col;
    else return false;
    return true;
}

static void call_row(const walk *w, wf_row_fn *f, const seen *out, const seen *const *in,
                     unsigned n) {
    const void *from[3];
    int64_t step[4];
    bool flat = one_run(w, out, &step[0]);
    for (unsigned k = 0; k < n; k++) {
        from[k] = in[k]->at;
        flat = flat && one_run(w, in[k], &step[k + 1]);
    }
    if (flat) {
        f(w->rows * w->cols, out->at, from, step);
        return;
    }
    char *to = out->at;
    step[0] = out->col;
    for (unsigned k = 0; k < n; k++) step[k + 1] = in[k]->col;
    for (int64_t r = 0; r < w->rows; r++) {
        f(w->cols, to, from, step);
        to += out->row * (int64_t)out->size;
        for (unsigned k = 0; k < n; k++)
            from[k] = (const char *)from[k] + in[k]->row * (int64_t)in[k]->size;
    }
}

static inline void copy_row(char *to, const char *from, size_t bytes) {
    switch (bytes) {
    case 4: memcpy(to, from, 4); break;
    case 8: memcpy(to, from, 8); break;
    case 16: memcpy(to, from, 16); break;
    case 32: memcpy(to, from, 32); break;
    case 64: memcpy(to, from, 64); break;
    default: memcpy(to, from, bytes);
    }
}

/* Copies an operand whose rows are short and apart into its slot. */
static void gather(walk *w, unsigned operand) {
    seen *x = &w->value[operand];
    int64_t step;
    if (x->col == 0 || one_run(w, x, &step)) return;
    char *slot = w->scratch + (size_t)(w->g->gathered + operand) * w->g->slot_bytes;
    const size_t bytes = (size_t)w->cols * x->size;
    for (int64_t r = 0; r < w->rows; r++)
        copy_row(slot + (size_t)r * bytes, x->at + r * x->row * (int64_t)x->size, bytes);
    *x = (seen){slot, w->cols, 1, x->size};
}

static void run_step(walk *w, unsigned i) {
    const wf_group *g = w->g;
    const wf_group_step *s = &g->step[i];
    const unsigned k = g->output[i];
    seen *to = &w->value[g->n_in + i];
    if (k > 0 && w->direct[k - 1])
        *to = w->out[k - 1];
    else
        *to = (seen){w->scratch + (size_t)g->slot[i] * g->slot_bytes, w->cols, 1,
                     wf_dtype_bytes(s->dtype)};
    const seen *in[3];
    const unsigned first = s->n_in < 3 ? s->n_in : s->op == &wf_op_add_n ? 2 : 3;
    for (unsigned j = 0; j < s->n_in && w->cols < SHORT; j++)
        if (s->in[j] < g->n_in) gather(w, s->in[j]);
    for (unsigned j = 0; j < first; j++) in[j] = &w->value[s->in[j]];
    call_row(w, g->row[i], to, in, first);
    for (unsigned j = first; j < s->n_in; j++) {
        in[0] = to;
        in[1] = &w->value[s->in[j]];
        call_row(w, g->row[i], to, in, 2);
    }
}

static void copy_elements(char *to, int64_t to_step, const char *from, size_t size, int64_t n) {
    if (to_step == 1) {
        memcpy(to, from, size * (size_t)n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(to + i * to_step * (int64_t)size, from + i * (int64_t)size, size);
}

static void store(const walk *w, const seen *out, const char *slot) {
    int64_t step;
    if (one_run(w, out, &step)) {
        copy_elements(out->at, step, slot, out->size, w->rows * w->cols);
        return;
    }
    const size_t bytes = (size_t)w->cols * out->size;
    for (int64_t r = 0; r < w->rows; r++)
        copy_row(out->at + r * out->row * (int64_t)out->size, slot + (size_t)r * bytes, bytes);
}

static seen see(const wf_group_place *p, void *base, int64_t row, int64_t col) {
    const size_t size = wf_dtype_bytes(p->dtype);
    const int64_t at = row * p->row_stride + col * p->col_stride;
    return (seen){(char *)base + at * (int64_t)size, p->row_stride, p->col_stride, size};
}

static void run_tile(walk *w, int64_t row, int64_t col) {
    const wf_group *g = w->g;
    for (unsigned i = 0; i < g->n_in; i++) w->value[i] = see(&g->in[i], w->p[i], row, col);
    for (unsigned k = 0; k < g->n_out; k++)
        w->out[k] = see(&g->out[k], w->p[g->n_in + k], row, col);
    for (unsigned i = 0; i < g->n_step; i++) run_step(w, i);
    for (unsigned k = 0; k < g->n_out; k++) {
        const unsigned step = g->out_value[k] - g->n_in;
        if (!w->direct[k])
            store(w, &w->out[k], w->scratch + (size_t)g->slot[step] * g->slot_bytes);
    }
}

/* An output may be computed in place unless its memory is an operand that is read later. A step of
 * more than one pass reads its operands later, too. A value that does not lie in one run waits for
 * the end if its rows are short or somebody would have to read it row by row. */
static bool is_direct(const walk *w, unsigned k, bool flat, bool is_short) {
    const wf_group *g = w->g;
    const unsigned step = g->out_value[k] - g->n_in;
    const bool passes = g->step[step].op == &wf_op_add_n && g->step[step].n_in > 2;
    for (unsigned i = 0; i < g->n_in; i++)
        if (w->p[i] == w->p[g->n_in + k] && g->last_step[i] + (unsigned)passes > step) return false;
    return flat || (!is_short && g->last_step[g->out_value[k]] <= step);
}

void wf_group_run(const wf_group *g, void *const p[], long rows, long cols, void *scratch) {
    wf_group copy;
    if (!g->ready) {
        copy = *g;
        wf_group_prepare(&copy);
        g = &copy;
    }
    walk w = {.g = g, .p = p, .scratch = scratch};
    const int64_t tile = g->tile, wide = cols < tile ? cols : tile;
    const int64_t high = cols < 1 || cols >= tile ? 1 : tile / cols;
    for (unsigned k = 0; k < g->n_out; k++) {
        const wf_group_place *o = &g->out[k];
        const bool flat = high == 1 || rows == 1 || cols == 1 ||
                          o->row_stride == o->col_stride * cols;
        w.direct[k] = is_direct(&w, k, flat, cols < SHORT);
    }
    for (int64_t row = 0; row < rows; row += high)
        for (int64_t col = 0; col < cols; col += wide) {
            w.rows = rows - row < high ? rows - row : high;
            w.cols = cols - col < wide ? cols - col : wide;
            run_tile(&w, row, col);
        }
}
