/* The arithmetic of remainders of contract_stride.h. */
#include "tensor/contract_stride.h"

#include <string.h>

/* The divisor, loops and coefficients of a relation that splits; false if it has another form. */
static bool read_axis(wf_stride_split *s, const wf_contract_attr *c, const wf_relation *r) {
    if (s->n_axes == WF_STRIDE_AXES) return false;
    int loop = -1, sum = -1;
    int64_t co = 0, ck = 0;
    for (int i = 0; i < 2; i++) {
        const int l = i ? r->b : r->a;
        const int64_t k = i ? r->cb : r->ca;
        if (l < 0) continue;
        if (l < c->rank && loop < 0) loop = l, co = k;
        else if (l >= c->rank && sum < 0) sum = l, ck = k;
        else return false;
    }
    if (loop < 0 || (co != 1 && co != -1) || (sum >= 0 && ck != 1 && ck != -1)) return false;
    for (int i = 0; i < s->n_axes; i++)
        if (s->axis[i].loop == loop || (sum >= 0 && s->axis[i].sum == sum)) return false;
    if (r->div > WF_STRIDE_PARTS / s->parts) return false;
    s->axis[s->n_axes].loop = loop;
    s->axis[s->n_axes].sum = sum;
    s->axis[s->n_axes].div = r->div;
    s->axis[s->n_axes].co = co;
    s->axis[s->n_axes].ck = ck;
    s->axis[s->n_axes++].offset = r->offset;
    s->parts *= r->div;
    return true;
}

bool wf_stride_split_make(wf_stride_split *s, const wf_call *call) {
    const wf_contract_attr *c = call->attr;
    const wf_contract_source *x = &c->source[0];
    memset(s, 0, sizeof *s);
    s->parts = 1;
    if (c->n_sources != 1 || x->packed || x->n_guards || call->out.dtype != WF_F32) return false;
    for (int side = 0; side < 2; side++)
        for (int j = 0; j < (side ? x->rank_b : x->rank_a); j++) {
            const wf_relation *r = side ? &x->b[j] : &x->a[j];
            if (r->div > 1 && !read_axis(s, c, r)) return false;
        }
    for (int i = 0; i < s->n_axes; i++)
        if (c->out[s->axis[i].loop] < s->axis[i].div) return false;
    return s->n_axes > 0;
}

/* loop = div loop' + rest in a relation. */
static void substitute(wf_relation *r, int loop, int64_t div, int64_t rest) {
    if (r->a == loop) r->offset += r->ca * rest, r->ca *= div;
    if (r->b == loop) r->offset += r->cb * rest, r->cb *= div;
}

static void substitute_all(wf_contract_source *x, int loop, int64_t div, int64_t rest) {
    for (int j = 0; j < x->rank_a; j++) substitute(&x->a[j], loop, div, rest);
    for (int j = 0; j < x->rank_b; j++) substitute(&x->b[j], loop, div, rest);
}

static void divide(wf_relation *r) {
    if (r->div == 1) return;
    r->ca /= r->div;
    r->cb /= r->div;
    r->offset /= r->div; /* a multiple: the remainders are chosen so */
    r->div = 1;
}

void wf_stride_split_part(const wf_stride_split *s, const wf_call *call, int64_t i,
                          wf_stride_part *part) {
    memcpy(part->attr, call->attr, sizeof part->attr);
    wf_contract_attr *c = (wf_contract_attr *)part->attr;
    wf_contract_source *x = &c->source[0];
    part->call = *call;
    part->call.attr = c;
    part->empty = false;
    wf_array *out = &part->call.out;
    for (int k = 0; k < s->n_axes; k++) {
        const int64_t d = s->axis[k].div, ro = i % d;
        const int l = s->axis[k].loop, sum = s->axis[k].sum;
        i /= d;
        int64_t rk = 0; /* the remainder of the taps that fits ro */
        const int64_t rest = s->axis[k].co * ro + s->axis[k].offset;
        while (rk < d && (rest + s->axis[k].ck * rk) % d) rk = sum < 0 ? d : rk + 1;
        if (rk == d || (sum >= 0 && x->sum[sum - c->rank] <= rk)) part->empty = true;
        substitute_all(x, l, d, ro);
        if (sum >= 0) {
            substitute_all(x, sum, d, rk);
            x->sum[sum - c->rank] = (x->sum[sum - c->rank] - rk + d - 1) / d;
        }
        c->out[l] = (c->out[l] - ro + d - 1) / d;
        out->shape.dim[l] = c->out[l];
        if (out->data) out->data = (float *)out->data + ro * out->stride[l];
        out->stride[l] *= d;
    }
    for (int j = 0; j < x->rank_a && !part->empty; j++) divide(&x->a[j]);
    for (int j = 0; j < x->rank_b && !part->empty; j++) divide(&x->b[j]);
}
