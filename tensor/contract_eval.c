/* Reference evaluation of a contraction: for each output element, for each source, all sum loops in
 * order, the last one innermost; one f64 accumulator, rounded once. */
#include "tensor/contract_terms.h"

/* The operands of a source and the sum so far. */
typedef struct dot {
    const void *a, *b;
    bool single; /* f32, else f64 */
    double sum;
} dot;

static void add_run(void *user, int64_t a, int64_t step_a, int64_t b, int64_t step_b, int64_t n) {
    dot *d = user;
    double sum = d->sum;
    if (d->single) {
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
    int64_t o[WF_MAX_RANK] = {0};
    wf_terms e;
    wf_terms_prepare(&e, call->attr, source, in);
    decode(&call->out.shape, first, o);
    for (int64_t i = 0; i < n; i++) {
        dot d = {in[0].data, in[1].data, call->out.dtype == WF_F32, sum[i]};
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
