/* Reference evaluation of a contraction: for each output element, for each source, all sum loops in
 * order, the last one innermost; one f64 accumulator, rounded once. In bf16 the operands are
 * rounded first; f32x3 stands for f32 and is evaluated as such. */
#include "tensor/contract_terms.h"

/* The operands of a source and the sum so far. */
typedef struct dot {
    const void *a, *b;
    wf_dtype dtype[2];
    wf_compute compute;
    bool packed; /* B is cells; offsets into it are those of panels without cells */
    int64_t n_k;
    wf_pairs pairs;
    double sum;
} dot;

static double value(const void *data, wf_dtype t, wf_compute compute, int64_t at) {
    double x = t == WF_BF16 ? wf_load(t, (const uint16_t *)data + at)
                            : (double)((const float *)data)[at];
    if (compute == WF_COMPUTE_BF16 && t != WF_BF16) {
        uint16_t half;
        wf_store(WF_BF16, &half, x);
        x = wf_load(WF_BF16, &half);
    }
    return x;
}

static double packed_value(const dot *d, int64_t at) {
    const int64_t n = at % WF_PANEL, k = at / WF_PANEL % d->n_k, panel = at / WF_PANEL / d->n_k;
    const int parts = d->compute == WF_COMPUTE_F32X3 ? 2 : 1;
    double x = 0;
    for (int i = 0; i < parts; i++)
        x += wf_load(WF_BF16, (const uint16_t *)d->b +
                                  wf_packed_half(&d->pairs, parts, panel, k, n, i));
    return x;
}

static void add_rounded(dot *d, int64_t a, int64_t step_a, int64_t b, int64_t step_b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const double x = value(d->a, d->dtype[0], d->compute, a + i * step_a);
        const int64_t at = b + i * step_b;
        d->sum += x * (d->packed ? packed_value(d, at) : value(d->b, d->dtype[1], d->compute, at));
    }
}

static void add_run(void *user, int64_t a, int64_t step_a, int64_t b, int64_t step_b, int64_t n) {
    dot *d = user;
    double sum = d->sum;
    if (d->compute) {
        add_rounded(d, a, step_a, b, step_b, n);
        return;
    }
    if (d->dtype[0] == WF_F32) {
        const float *x = (const float *)d->a + a, *y = (const float *)d->b + b;
        for (int64_t i = 0; i < n; i++) sum += (double)x[i * step_a] * (double)y[i * step_b];
    } else {
        const double *x = (const double *)d->a + a, *y = (const double *)d->b + b;
        for (int64_t i = 0; i < n; i++) sum += x[i * step_a] * y[i * step_b];
    }
    d->sum = sum;
}

static void decode(const wf_shape *shape, int64_t i, int64_t *o) {
    for (int l = shape->rank - 1; l >= 0; l--) {
        o[l] = i % shape->dim[l];
        i /= shape->dim[l];
    }
}

/* Adds one source to n accumulators, those of the output elements from `first` on. */
static void add_source(const wf_call *call, int source, int64_t first, int64_t n, double *sum) {
    const wf_array *in = &call->in[2 * source];
    const wf_contract_attr *c = call->attr;
    const wf_contract_source *s = &c->source[source];
    dot d = {.a = in[0].data, .b = in[1].data, .dtype = {in[0].dtype, in[1].dtype}, .n_k = 1,
             .compute = (wf_compute)c->compute, .packed = s->packed && c->compute,
             .pairs = wf_contract_pairs(s)};
    for (int k = 0; k < s->n_sum; k++) d.n_k *= s->sum[k];
    int64_t o[WF_MAX_RANK] = {0};
    wf_terms e;
    wf_terms_prepare(&e, call->attr, source, in);
    decode(&call->out.shape, first, o);
    for (int64_t i = 0; i < n; i++) {
        d.sum = sum[i];
        wf_terms_each(&e, o, add_run, &d);
        sum[i] = d.sum;
        wf_next_index(&call->out.shape, o);
    }
}

void wf_contract_eval(const wf_call *call, int64_t first, int64_t last) {
    const wf_contract_attr *c = call->attr;
    while (first < last) {
        double sum[64] = {0};
        const int64_t n = last - first < 64 ? last - first : 64;
        for (int s = 0; s < c->n_sources; s++) add_source(call, s, first, n, sum);
        int64_t o[WF_MAX_RANK] = {0};
        decode(&call->out.shape, first, o);
        for (int64_t i = 0; i < n; i++) {
            wf_set(&call->out, wf_offset(&call->out, o), sum[i]);
            wf_next_index(&call->out.shape, o);
        }
        first += n;
    }
}
