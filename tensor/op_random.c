/* uniform, normal, bernoulli: random numbers as a function of seed, stream, counter and element.
 *
 *   (k, m) = philox((stream, counter), key = seed)    once a call: 64 bits of key, 64 of counter
 *   bits_b = philox((b, m), key = k)                  block b: 128 bits
 *   uniform    f32: word w of bits_(i / 4): floor(w / 2^8) 2^-24
 *              f64: double word w of bits_(i / 2): floor(w / 2^11) 2^-53
 *   normal     from the double words w0, w1 of bits_(i / 2), in f64 (Box, Muller 1958):
 *              sqrt(-2 ln((floor(w0 / 2^11) + 1) 2^-53)) times cos, sin (odd i) of 2 pi uniform(w1)
 *   bernoulli  1 where word w of bits_(i / 4) < p 2^32, for either dtype
 *
 * i is the element's index in row-major order. Philox is a bijection of its counter: for one seed,
 * no two pairs (stream, counter) give the same (k, m), so streams never run into one another. */
#include <math.h>
#include <string.h>

#include "tensor/graph.h"
#include "tensor/philox.h"
#include "tensor/sources.h"
#include "tensor/view.h"

/* --- attributes: wf_random_attr -------------------------------------------------------------- */

static const wf_field fields[] = {
    WF_FIELD(U64, wf_random_attr, seed),
    WF_FIELD(U64, wf_random_attr, stream),
    WF_FIELD(DTYPE32, wf_random_attr, dtype),
    WF_FIELD(SHAPE, wf_random_attr, shape),
    {0},
};

static const wf_field bernoulli_fields[] = {
    WF_FIELD(U64, wf_random_attr, seed),
    WF_FIELD(U64, wf_random_attr, stream),
    WF_FIELD(F64, wf_random_attr, p),
    WF_FIELD(DTYPE32, wf_random_attr, dtype),
    WF_FIELD(SHAPE, wf_random_attr, shape),
    {0},
};

/* --- infer ----------------------------------------------------------------------------------- */

static bool infer(wf_infer *q) {
    const wf_random_attr *a = q->attr;
    if (!wf_infer_type(q, a->dtype, &a->shape)) return false;
    if (!wf_dtype_is_real(a->dtype))
        return wf_infer_fail(q, "the dtype %s is not f32 or f64", wf_dtype_name(a->dtype));
    if (!(a->p >= 0 && a->p <= 1)) return wf_infer_fail(q, "p = %g is not in [0, 1]", a->p);
    if (q->n_in == 1 && (q->in[0].dtype != WF_I64 || q->in[0].shape.rank != 0))
        return wf_infer_fail(q, "the counter must be an i64 scalar");
    return true;
}

/* --- the numbers ----------------------------------------------------------------------------- */

typedef struct stream {
    uint32_t key0, key1, m0, m1;
} stream;

static stream stream_of(const wf_call *c) {
    const wf_random_attr *a = c->attr;
    const uint64_t n = c->n_in ? *(const uint64_t *)c->in[0].data : 0;
    const wf_philox r = wf_philox4x32((wf_philox){{(uint32_t)a->stream, (uint32_t)(a->stream >> 32),
                                                   (uint32_t)n, (uint32_t)(n >> 32)}},
                                      (uint32_t)a->seed, (uint32_t)(a->seed >> 32));
    return (stream){r.v[0], r.v[1], r.v[2], r.v[3]};
}

static wf_philox block(const stream *s, uint64_t b) {
    return wf_philox4x32((wf_philox){{(uint32_t)b, (uint32_t)(b >> 32), s->m0, s->m1}}, s->key0,
                         s->key1);
}

/* The 53 upper bits of double word j (0 or 1). */
static double bits53(const wf_philox *r, int j) {
    return (double)(((uint64_t)r->v[2 * j] << 32 | r->v[2 * j + 1]) >> 11);
}

/* A distribution makes the elements of one block at a time. */
typedef int generate_fn(const wf_call *c, const stream *s, uint64_t b, double out[4]);

static int uniform_block(const wf_call *c, const stream *s, uint64_t b, double out[4]) {
    const wf_philox r = block(s, b);
    if (c->out.dtype == WF_F32) {
        for (int j = 0; j < 4; j++) out[j] = (r.v[j] >> 8) * 0x1p-24;
        return 4;
    }
    for (int j = 0; j < 2; j++) out[j] = bits53(&r, j) * 0x1p-53;
    return 2;
}

static int normal_block(const wf_call *c, const stream *s, uint64_t b, double out[4]) {
    const wf_philox r = block(s, b);
    const double radius = sqrt(-2 * log((bits53(&r, 0) + 1) * 0x1p-53));
    const double angle = 6.283185307179586477 * (bits53(&r, 1) * 0x1p-53);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
    return 2;
}

static int bernoulli_block(const wf_call *c, const stream *s, uint64_t b, double out[4]) {
    const wf_philox r = block(s, b);
    const double below = ((const wf_random_attr *)c->attr)->p * 0x1p32;
    for (int j = 0; j < 4; j++) out[j] = r.v[j] < below;
    return 4;
}

/* --- eval ------------------------------------------------------------------------------------ */

static void fill(const wf_call *c, generate_fn *generate) {
    const wf_array *out = &c->out;
    const stream s = stream_of(c);
    double v[4];
    int64_t idx[WF_MAX_RANK] = {0}, n = wf_shape_count(&out->shape);
    int each = 0, j = 0;
    uint64_t b = 0;
    for (int64_t i = 0; i < n; i++, j++) {
        if (j == each) {
            each = generate(c, &s, b++, v);
            j = 0;
        }
        wf_set(out, wf_offset(out, idx), v[j]);
        wf_next_index(&out->shape, idx);
    }
}

static void uniform_eval(const wf_call *c) { fill(c, uniform_block); }
static void normal_eval(const wf_call *c) { fill(c, normal_block); }
static void bernoulli_eval(const wf_call *c) { fill(c, bernoulli_block); }

/* --- kernel: dense result, a piece is a range of elements ------------------------------------ */

#define PIECE 4096 /* elements; a multiple of every block */

static bool applicable(const wf_call *c) { return wf_array_is_dense(&c->out); }

static int64_t pieces(const wf_call *c, int phase) {
    return wf_shape_count(&c->out.shape) / PIECE + 1;
}

static inline void fill_range(const wf_call *c, int64_t first, int64_t last, int each,
                              generate_fn *generate) {
    const stream s = stream_of(c);
    const int64_t n = wf_shape_count(&c->out.shape), end = last * PIECE < n ? last * PIECE : n;
    float *f = c->out.data;
    double *d = c->out.data, v[4];
    for (int64_t i = first * PIECE; i < end; i += each) {
        generate(c, &s, (uint64_t)(i / each), v);
        const int m = end - i < each ? (int)(end - i) : each;
        if (c->out.dtype == WF_F32)
            for (int j = 0; j < m; j++) f[i + j] = (float)v[j];
        else
            for (int j = 0; j < m; j++) d[i + j] = v[j];
    }
}

static void uniform_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                        void *shared) {
    fill_range(c, first, last, c->out.dtype == WF_F32 ? 4 : 2, uniform_block);
}

static void normal_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                       void *shared) {
    fill_range(c, first, last, 2, normal_block);
}

static void bernoulli_run(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                          void *shared) {
    fill_range(c, first, last, 4, bernoulli_block);
}

static const wf_fast uniform_fast = {
    .applicable = applicable, .pieces = pieces, .run = uniform_run};
static const wf_fast normal_fast = {.applicable = applicable, .pieces = pieces, .run = normal_run};
static const wf_fast bernoulli_fast = {
    .applicable = applicable, .pieces = pieces, .run = bernoulli_run};

/* --- samples --------------------------------------------------------------------------------- */

/* Shape and options of the i-th sample; false past the last. */
static bool choose(wf_sampler *s, int i, wf_shape *shape, wf_random_opt *o) {
    *o = (wf_random_opt){.seed = 7, .stream = (uint64_t)i, .dtype = s->real};
    switch (i) {
    case 0: *shape = WF_SHAPE(3, 5); return true;
    case 1: *shape = WF_SCALAR; return true;
    case 2: *shape = WF_SHAPE(0, 3); return true;
    case 3:
        *shape = WF_SHAPE(7, 1, 3);
        o->counter = s->make_index(s, WF_I64, WF_SCALAR, 100);
        o->seed = UINT64_MAX;
        return true;
    default: return false;
    }
}

static wf_tensor uniform_sample(wf_sampler *s, int i) {
    wf_shape shape;
    wf_random_opt o;
    return choose(s, i, &shape, &o) ? wf_uniform(s->graph, shape, o) : (wf_tensor){0};
}

static wf_tensor normal_sample(wf_sampler *s, int i) {
    wf_shape shape;
    wf_random_opt o;
    return choose(s, i, &shape, &o) ? wf_normal(s->graph, shape, o) : (wf_tensor){0};
}

static wf_tensor bernoulli_sample(wf_sampler *s, int i) {
    wf_shape shape;
    wf_random_opt o;
    return choose(s, i, &shape, &o) ? wf_bernoulli(s->graph, shape, 0.25 * i, o) : (wf_tensor){0};
}

/* --- descriptors and constructors ------------------------------------------------------------ */

const wf_op wf_op_uniform = {
    .name = "uniform",
    .kind = WF_KIND_OPAQUE,
    .max_in = 1,
    .infer = infer,
    .eval = uniform_eval,
    .no_grad_reason = "it has no real operands",
    .fast = &uniform_fast,
    .sample = uniform_sample,
    .fields = fields,
    .attr_bytes = sizeof(wf_random_attr),
};

const wf_op wf_op_normal = {
    .name = "normal",
    .kind = WF_KIND_OPAQUE,
    .max_in = 1,
    .infer = infer,
    .eval = normal_eval,
    .no_grad_reason = "it has no real operands",
    .fast = &normal_fast,
    .sample = normal_sample,
    .fields = fields,
    .attr_bytes = sizeof(wf_random_attr),
};

const wf_op wf_op_bernoulli = {
    .name = "bernoulli",
    .kind = WF_KIND_OPAQUE,
    .max_in = 1,
    .infer = infer,
    .eval = bernoulli_eval,
    .no_grad_reason = "it has no real operands",
    .fast = &bernoulli_fast,
    .sample = bernoulli_sample,
    .fields = bernoulli_fields,
    .attr_bytes = sizeof(wf_random_attr),
};

static wf_tensor emit(wf_graph *g, const wf_op *op, const wf_shape *shape, double p,
                      const wf_random_opt *o) {
    wf_random_attr a;
    memset(&a, 0, sizeof a);
    a.seed = o->seed;
    a.stream = o->stream;
    a.p = p;
    a.dtype = o->dtype;
    wf_shape_into(&a.shape, shape);
    return wf_emit(g, op, &a, sizeof a, &o->counter, o->counter.graph || o->counter.id);
}

wf_tensor wf_uniform(wf_graph *g, wf_shape shape, wf_random_opt o) {
    return emit(g, &wf_op_uniform, &shape, 0, &o);
}

wf_tensor wf_normal(wf_graph *g, wf_shape shape, wf_random_opt o) {
    return emit(g, &wf_op_normal, &shape, 0, &o);
}

wf_tensor wf_bernoulli(wf_graph *g, wf_shape shape, double p, wf_random_opt o) {
    return emit(g, &wf_op_bernoulli, &shape, p, &o);
}
