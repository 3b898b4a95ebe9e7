/* Data sources; see source.h. Three kinds share one struct: arrays (in memory, mapped or read),
 * a function, and a choice of another source's samples. */
#include "nn/nn.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct part {
    char *name;            /* owned */
    size_t bytes;          /* of a sample in a batch */
    wf_dtype dtype;
    /* arrays: entry k is `inner` elements at (o * count + k) * inner for o < outer */
    const uint8_t *data;
    wf_dtype from;
    double scale;
    int64_t outer, inner;
    wf_npy npy;            /* closed with the source */
    uint8_t *read;         /* owned */
} part;

struct wf_source {
    int64_t count;
    int n_parts;
    part part[WF_SOURCE_PARTS];
    wf_source_fill *fill;  /* NULL: arrays, or a choice */
    void *user;
    pthread_mutex_t *one;  /* held while fill runs: feeds of choices of this source have threads of
                              their own. Owned */
    const wf_source *of;   /* a choice: entry k is sample index[k] of it */
    int64_t *index;
};

/* --- opening ---------------------------------------------------------------------------------- */

static wf_status no_memory(void) { return wf_fail(WF_MEMORY, "no memory for a data source"); }

static wf_status start(wf_source **out, int n_parts) {
    *out = NULL;
    if (n_parts < 1 || n_parts > WF_SOURCE_PARTS)
        return wf_fail(WF_ARGUMENT, "a data source of %d parts; it has 1 to %d", n_parts,
                       WF_SOURCE_PARTS);
    *out = calloc(1, sizeof **out);
    return *out ? WF_OK : no_memory();
}

/* Name and bytes of a sample of part q, which has these elements. */
static wf_status describe(part *q, const wf_source_part *given, int64_t elements) {
    size_t bytes;
    if (!given->name || !*given->name)
        return wf_fail(WF_ARGUMENT, "a part of a data source has no name");
    if ((unsigned)given->dtype >= WF_N_DTYPE || elements < 0 ||
        __builtin_mul_overflow((size_t)elements, wf_dtype_bytes(given->dtype), &bytes))
        return wf_fail(WF_ARGUMENT, "part \"%s\" of a data source: no such type or shape",
                       given->name);
    q->bytes = bytes;
    q->dtype = given->dtype;
    q->name = strdup(given->name);
    return q->name ? WF_OK : no_memory();
}

/* The array of part q: where it lies, its type and shape. */
static wf_status find_array(part *q, const wf_source_part *given, wf_shape *shape) {
    if ((given->npy != NULL) + (given->idx != NULL) + (given->data != NULL) != 1)
        return wf_fail(WF_ARGUMENT, "part \"%s\" of a data source: give one of npy, idx and data",
                       given->name ? given->name : "");
    wf_status status = WF_OK;
    if (given->npy) {
        status = wf_npy_open(&q->npy, given->npy);
        q->data = q->npy.data;
        q->from = q->npy.dtype;
        *shape = q->npy.shape;
    } else if (given->idx) {
        *shape = WF_SCALAR; /* any */
        status = wf_idx_read(given->idx, shape, &q->read);
        q->data = q->read;
        q->from = WF_U8;
    } else {
        q->data = given->data;
        q->from = given->from;
        *shape = given->shape;
    }
    return status;
}

static wf_status open_array(wf_source *s, part *q, const wf_source_part *given) {
    wf_shape shape;
    wf_status status = find_array(q, given, &shape);
    if (status) return status;
    const char *name = given->name ? given->name : "";
    if (wf_shape_count(&shape) < 0 || (unsigned)q->from >= WF_N_DTYPE || given->axis < 0 ||
        given->axis >= shape.rank)
        return wf_fail(WF_ARGUMENT, "part \"%s\" of a data source: an array of %d axes has no axis "
                       "%d to count samples by", name, shape.rank, given->axis);
    q->scale = given->scale == 0 ? 1 : given->scale;
    q->outer = q->inner = 1;
    bool over = false; /* without samples the count of elements says nothing of one sample */
    for (int i = 0; i < given->axis; i++)
        over |= __builtin_mul_overflow(q->outer, shape.dim[i], &q->outer);
    for (int i = given->axis + 1; i < shape.rank; i++)
        over |= __builtin_mul_overflow(q->inner, shape.dim[i], &q->inner);
    int64_t elements;
    over |= __builtin_mul_overflow(q->outer, q->inner, &elements);
    const int64_t count = shape.dim[given->axis];
    if (q != s->part && count != s->count)
        return wf_fail(WF_ARGUMENT, "part \"%s\" of a data source has %lld samples, part \"%s\" "
                       "%lld", name, (long long)count, s->part[0].name, (long long)s->count);
    s->count = count;
    return describe(q, given, over ? -1 : elements);
}

wf_status wf_source_open(wf_source **out, const wf_source_part *given, int n_parts) {
    wf_status status = start(out, n_parts);
    for (int i = 0; i < n_parts && !status; i++) {
        (*out)->n_parts = i + 1;
        status = open_array(*out, &(*out)->part[i], &given[i]);
    }
    if (status) {
        wf_source_close(*out);
        *out = NULL;
    }
    return status;
}

wf_status wf_source_function(wf_source **out, int64_t count, const wf_source_part *given,
                             int n_parts, wf_source_fill *fill, void *user) {
    wf_status status = start(out, n_parts);
    if (!status && (count < 0 || !fill))
        status = wf_fail(WF_ARGUMENT, "a data source: give a function and a number of samples");
    if (!status && !((*out)->one = malloc(sizeof *(*out)->one))) status = no_memory();
    if (!status) pthread_mutex_init((*out)->one, NULL);
    for (int i = 0; i < n_parts && !status; i++) {
        (*out)->n_parts = i + 1;
        status = describe(&(*out)->part[i], &given[i], wf_shape_count(&given[i].shape));
    }
    if (status) {
        wf_source_close(*out);
        *out = NULL;
        return status;
    }
    (*out)->count = count;
    (*out)->fill = fill;
    (*out)->user = user;
    return WF_OK;
}

wf_status wf_source_subset(wf_source **out, const wf_source *of, const int64_t *index, int64_t n) {
    *out = NULL;
    if (!of || n < 0 || (n && !index))
        return wf_fail(WF_ARGUMENT, "wf_source_subset: a source and its samples must be given");
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= of->count)
            return wf_fail(WF_ARGUMENT, "sample %lld: the data source has %lld",
                           (long long)index[i], (long long)of->count);
    wf_status status = start(out, of->n_parts);
    if (status) return status;
    wf_source *s = *out;
    s->index = malloc(sizeof *index * ((size_t)n + 1));
    bool whole = s->index != NULL;
    for (int i = 0; i < of->n_parts; i++) {
        s->part[i] = (part){.bytes = of->part[i].bytes, .dtype = of->part[i].dtype};
        s->part[i].name = strdup(of->part[i].name);
        whole = whole && s->part[i].name;
    }
    s->n_parts = of->n_parts;
    s->count = n;
    s->of = of;
    if (whole && n) memcpy(s->index, index, sizeof *index * (size_t)n);
    if (whole) return WF_OK;
    wf_source_close(s);
    *out = NULL;
    return no_memory();
}

void wf_source_close(wf_source *s) {
    if (!s) return;
    for (int i = 0; i < s->n_parts; i++) {
        wf_npy_close(&s->part[i].npy);
        free(s->part[i].read);
        free(s->part[i].name);
    }
    if (s->one) pthread_mutex_destroy(s->one);
    free(s->one);
    free(s->index);
    free(s);
}

int64_t wf_source_count(const wf_source *s) { return s->count; }
int wf_source_parts(const wf_source *s) { return s->n_parts; }
const char *wf_source_name(const wf_source *s, int i) { return s->part[i].name; }
size_t wf_source_bytes(const wf_source *s, int i) { return s->part[i].bytes; }

/* --- batches ---------------------------------------------------------------------------------- */

/* n elements, converted. Bytes to f32, the usual case, go through a table. */
static void convert(const part *q, const float *unit, const uint8_t *from, char *to, int64_t n) {
    const size_t step = wf_dtype_bytes(q->from), width = wf_dtype_bytes(q->dtype);
    if (q->from == q->dtype && q->scale == 1) {
        memcpy(to, from, (size_t)n * width);
        return;
    }
    if (unit) {
        float *out = (float *)to;
        for (int64_t i = 0; i < n; i++) out[i] = unit[from[i]];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        wf_store(q->dtype, to + (size_t)i * width,
                 wf_load(q->from, from + (size_t)i * step) * q->scale);
}

static void copy_part(const part *q, int64_t count, const int64_t *index, int64_t n, char *out) {
    float table[256];
    const bool bytes = q->from == WF_U8 && q->dtype == WF_F32;
    for (int i = 0; i < 256 && bytes; i++) table[i] = (float)(i * q->scale);
    const size_t step = wf_dtype_bytes(q->from), width = wf_dtype_bytes(q->dtype);
    for (int64_t o = 0; o < q->outer; o++)
        for (int64_t i = 0; i < n; i++)
            convert(q, bytes ? table : NULL,
                    q->data + (size_t)((o * count + index[i]) * q->inner) * step,
                    out + (size_t)((o * n + i) * q->inner) * width, q->inner);
}

static wf_status choose(const wf_source *s, const int64_t *index, int64_t n, void *const *out) {
    int64_t *chosen = malloc(sizeof *chosen * ((size_t)n + 1));
    if (!chosen) return no_memory();
    for (int64_t i = 0; i < n; i++) chosen[i] = s->index[index[i]];
    const wf_status status = wf_source_batch(s->of, chosen, n, out);
    free(chosen);
    return status;
}

wf_status wf_source_batch(const wf_source *s, const int64_t *index, int64_t n, void *const *out) {
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= s->count)
            return wf_fail(WF_ARGUMENT, "sample %lld: the data source has %lld",
                           (long long)index[i], (long long)s->count);
    if (s->of) return choose(s, index, n, out);
    if (s->fill) {
        pthread_mutex_lock(s->one);
        const wf_status status = s->fill(s->user, index, n, out);
        pthread_mutex_unlock(s->one);
        return status;
    }
    for (int i = 0; i < s->n_parts; i++) copy_part(&s->part[i], s->count, index, n, out[i]);
    return WF_OK;
}
