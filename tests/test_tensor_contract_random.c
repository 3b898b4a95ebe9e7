/* Random contractions: whatever relations, strides, dtypes and modes are drawn, the fast path gives
 * the reference's value, in pieces of any number and with packed operands too, and writes nowhere
 * else. WF_SEEDS=n tries so many, WF_SEED=n from this one on. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/attr.h"
#include "tensor/contract_winograd.h"
#include "tests/fuzz/contraction.h"
#include "tests/pieces.h"

enum { QUICK = 400, UNSET = 0xa5, LONG_K = 1 << 13 };

/* --- what went wrong -------------------------------------------------------------------------- */

static void describe(const wf_call *call) {
    wf_text t = {.grows = true};
    wf_attr_print(call->op, call->attr, &t);
    fprintf(stderr, "%s\n", t.buf);
    free(t.buf);
    for (int i = -1; i < call->n_in; i++) {
        const wf_array *a = i < 0 ? &call->out : &call->in[i];
        fprintf(stderr, "%s %s:", i < 0 ? "out" : "in", wf_dtype_name(a->dtype));
        for (int j = 0; j < a->shape.rank; j++)
            fprintf(stderr, " %lld by %lld", (long long)a->shape.dim[j], (long long)a->stride[j]);
        fprintf(stderr, "\n");
    }
}

/* The first element in which two memories differ, bits between those of the result too; -1. */
static int64_t differs(const wf_array *want, const wf_array *got, int64_t span) {
    const size_t size = wf_dtype_bytes(want->dtype);
    for (int64_t i = 0; i < span; i++)
        if (memcmp(wf_at(want, i), wf_at(got, i), size) && wf_get(want, i) != wf_get(got, i))
            return i;
    return -1;
}

/* --- one contraction -------------------------------------------------------------------------- */

static bool accepted(const wf_call *call) {
    wf_type in[2 * FUZZ_SOURCES];
    for (int i = 0; i < call->n_in; i++) in[i] = (wf_type){call->in[i].dtype, call->in[i].shape};
    wf_infer q = {.op = call->op, .attr = call->attr, .n_in = call->n_in, .in = in};
    return call->op->infer(&q) && q.out.dtype == call->out.dtype &&
           wf_shape_equal(&q.out.shape, &call->out.shape);
}

static void *unset(const wf_array *like, int64_t span) {
    const size_t bytes = (size_t)(span > 0 ? span : 1) * wf_dtype_bytes(like->dtype);
    void *data = malloc(bytes);
    cr_assert(data, "no memory");
    memset(data, UNSET, bytes);
    return data;
}

/* The fast path against eval; `exact`: else only against itself in pieces of another number. */
static void check(wf_call call, int64_t span, bool exact, uint64_t seed) {
    wf_array want = call.out, got = call.out;
    cr_assert(accepted(&call), "seed %llu is no %s", (unsigned long long)seed, call.op->name);
    if (!call.op->fast->applicable(&call)) return;
    call.out.data = want.data = unset(&want, span);
    if (exact) call.op->eval(&call);
    else run_pieces(&call, 1);
    for (int64_t each = exact ? 1 : 3; each < 1000000; each *= 100000) {
        call.out.data = got.data = unset(&got, span);
        run_pieces_in(&call, each, each < 100 ? PIECES_FINITE : 0xff);
        const int64_t at = differs(&want, &got, span);
        const double x = at < 0 ? 0 : wf_get(&got, at), y = at < 0 ? 0 : wf_get(&want, at);
        if (at >= 0) describe(&call);
        cr_assert(at < 0, "seed %llu, %lld pieces at a time: element %lld is %g, expected %g",
                  (unsigned long long)seed, (long long)each, (long long)at, x, y);
        free(got.data);
    }
    free(want.data);
}

/* --- packed operands -------------------------------------------------------------------------- */

/* B of source i packed, as wf_contract_pack does; the array's data is new. */
static wf_array pack(const fuzz_contraction *f, wf_contract_attr *to, int i, uint64_t seed) {
    wf_contract_source *s = &to->source[i];
    const uint32_t out = (1u << to->rank) - 1;
    const uint32_t a = out & wf_relation_loops(s->a, s->rank_a);
    const uint32_t b = out & wf_relation_loops(s->b, s->rank_b);
    wf_contract_attr *attr = calloc(1, wf_contract_attr_bytes(1));
    cr_assert(attr, "no memory");
    attr->n_sources = 1;
    attr->rank = to->rank;
    attr->compute = to->compute;
    for (int l = 0; l < to->rank; l++) attr->out[l] = b >> l & 1 ? to->out[l] : 1;
    wf_contract_source *p = &attr->source[0];
    p->n_sum = s->n_sum;
    p->rank_b = s->rank_b;
    memcpy(p->sum, s->sum, sizeof s->sum);
    memcpy(p->b, s->b, sizeof s->b);
    p->batch_loops = s->batch_loops = a & b;
    p->col_loops = s->col_loops = b & ~a;
    s->packed = 1;
    s->rank_b = 0;
    memset(s->b, 0, sizeof s->b);
    const int64_t n = wf_packed_count(attr, p);
    const wf_shape shape = WF_SHAPE(n);
    wf_call call = {.op = &wf_op_pack, .attr = attr, .n_in = 1, .in = &f->in[2 * i + 1],
                    .out = wf_array_dense(NULL, to->compute ? WF_BF16 : WF_F32, &shape)};
    check(call, n, true, seed);
    call.out.data = unset(&call.out, n);
    call.op->eval(&call);
    free(attr);
    return call.out;
}

static void check_packed(const fuzz_contraction *f, uint32_t sources, uint64_t seed) {
    const size_t bytes = wf_contract_attr_bytes(f->c->n_sources);
    wf_contract_attr *c = malloc(bytes);
    wf_array in[2 * FUZZ_SOURCES];
    cr_assert(c, "no memory");
    memcpy(c, f->c, bytes);
    memcpy(in, f->in, sizeof in);
    for (int i = 0; i < c->n_sources; i++) {
        int64_t k = 1;
        for (int j = 0; j < c->source[i].n_sum; j++) k *= c->source[i].sum[j];
        if (k > LONG_K) sources &= ~(1u << i); /* panels of few columns */
        if (sources >> i & 1) in[2 * i + 1] = pack(f, c, i, seed);
    }
    const wf_call call = {.op = &wf_op_contract, .attr = c, .n_in = 2 * c->n_sources, .in = in,
                          .out = f->out};
    check(call, f->span, true, seed);
    for (int i = 0; i < c->n_sources; i++)
        if (sources >> i & 1) free(in[2 * i + 1].data);
    free(c);
}

/* --- the test --------------------------------------------------------------------------------- */

/* How many were planned by minimal filtering. */
static int filtered, filtered_sums;

static void count_filtered(const wf_call *call) {
    wf_contract_plan p;
    if (!wf_contract_plan_make(&p, call) || !p.winograd.on) return;
    *(p.winograd.sums ? &filtered_sums : &filtered) += 1;
}

static void try(uint64_t seed) {
    uint64_t state = seed;
    fuzz_contraction f;
    fuzz_contraction_new(&f, &state);
    const wf_call call = {.op = &wf_op_contract, .attr = f.c, .n_in = 2 * f.c->n_sources,
                          .in = f.in, .out = f.out};
    count_filtered(&call);
    check(call, f.span, true, seed);
    if (fuzz_one_in(&state, 3))
        check_packed(&f, 1 + (uint32_t)fuzz_below(&state, (1 << f.c->n_sources) - 1), seed);
    if (fuzz_one_in(&state, 4)) {
        fuzz_contraction_real(&f, &state);
        check(call, f.span, false, seed);
    }
    fuzz_contraction_free(&f);
}

Test(tensor_contract_random, fast_paths_give_the_reference_values) {
    const char *first = getenv("WF_SEED"), *many = getenv("WF_SEEDS");
    const uint64_t from = first ? strtoull(first, NULL, 10) : 0;
    const uint64_t n = many ? strtoull(many, NULL, 10) : first ? 1 : QUICK;
    setenv("WF_WINOGRAD", "always", 0);
    for (uint64_t seed = from; seed < from + n; seed++) try(seed);
    fprintf(stderr, "%llu contractions, %d by minimal filtering and %d such weight gradients\n",
            (unsigned long long)n, filtered, filtered_sums);
    if (wf_winograd_wanted() != WF_WINOGRAD_OFF && n >= QUICK)
        cr_assert(filtered > 10 && filtered_sums > 10);
}
