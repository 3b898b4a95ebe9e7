/* The enumerating tests: every operation of the table, by its own samples.
 *   - evaluates, and its result does not depend on how (reference evaluator, tuned kernel)
 *   - its gradient agrees with central differences in f64, and so does the gradient's gradient
 *   - special values give the same bits from evaluator and kernel
 * A new operation is picked up without an edit here. The floors keep operations from getting
 * lost. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "compiler/compiler.h"
#include "tensor/contract.h"
#include "tests/sampler.h"

enum {
    floor_ops = 86,            /* operations in the table */
    floor_differentiable = 62, /* of them with a gradient rule */
    floor_samples = 300,       /* instances that ran */
    max_samples = 200,
};

/* Builds sample i of op; false past the last one. */
static bool build(const wf_op *op, int i, wf_dtype real, test_sampler *s, wf_tensor *y) {
    sampler_init(s, real, (uint64_t)i + 1);
    *y = op->sample(&s->base, i);
    cr_assert(wf_graph_status(s->base.graph) == WF_OK, "%s sample %d: %s", op->name, i, wf_error());
    cr_assert(i < max_samples, "%s: samples do not end", op->name);
    if (wf_ok(*y)) return true;
    sampler_free(s);
    return false;
}

Test(all_ops, table) {
    int n = 0, differentiable = 0;
    for (const wf_op *const *op = wf_all_ops(); *op; op++, n++) {
        cr_assert((*op)->name && (*op)->infer && (*op)->eval, "operation %d is incomplete", n);
        differentiable += (*op)->grad != NULL;
        cr_assert(((*op)->grad == NULL) == ((*op)->no_grad_reason != NULL),
                  "%s: a gradient rule, or the reason why there is none", (*op)->name);
        if (!(*op)->grad) printf("no gradient: %-16s %s\n", (*op)->name, (*op)->no_grad_reason);
        for (const wf_op *const *other = wf_all_ops(); other < op; other++)
            cr_assert(strcmp((*op)->name, (*other)->name), "%s is listed twice", (*op)->name);
    }
    printf("%d operations, %d of them differentiable\n", n, differentiable);
    cr_assert(n >= floor_ops && differentiable >= floor_differentiable);
}

/* --- evaluator against kernel ----------------------------------------------------------------- */

static double relative_l2(const wf_array *got, const wf_array *want) {
    double d = 0, n = 0;
    for (int64_t i = 0; i < wf_shape_count(&want->shape); i++) {
        const double g = wf_get(got, i), w = wf_get(want, i);
        if (isfinite(w)) n += w * w;
        if ((isnan(g) && isnan(w)) || g == w) continue;
        if (!isfinite(g) || !isfinite(w)) return INFINITY;
        d += (g - w) * (g - w);
    }
    return d == 0 ? 0 : n == 0 ? INFINITY : sqrt(d / n);
}

/* Sums and products may be associated in another order by a kernel, and products in f32x3 are of
 * two parts; all else is exact. */
static double allowed(const wf_op *op, wf_tensor y) {
    const wf_dtype t = wf_dtype_of(y);
    const wf_node *x = wf_graph_node(y.graph, y.id);
    if (op == &wf_op_contract && x->op == op &&
        ((const wf_contract_attr *)x->attr)->compute == WF_COMPUTE_F32X3)
        return 1e-5;
    const bool sums = op->kind == WF_KIND_REDUCE || op->kind == WF_KIND_CONTRACT ||
                      op->kind == WF_KIND_OPAQUE;
    return !sums ? 0 : t == WF_F64 ? 1e-14 : 1e-6;
}

static void check_kernel(const wf_op *op, int i, wf_tensor y, unsigned off, const char *what) {
    const wf_dtype t = wf_dtype_of(y);
    const wf_shape shape = wf_shape_of_tensor(y);
    const size_t bytes = (size_t)wf_count(y) * wf_dtype_bytes(t);
    void *want = calloc(1, bytes + 1), *got = calloc(1, bytes + 1);
    cr_assert(wf_reference(y.graph, &y.id, &want, 1, NULL, NULL) == WF_OK, "%s sample %d: %s",
              op->name, i, wf_error());
    wf_program *p = NULL;
    cr_assert(wf_compile(&p, y.graph, &y, 1, (wf_compile_opt){.off = off, .no_assign = true}) ==
                      WF_OK && wf_run(p) == WF_OK && wf_read(p, y, got, bytes) == WF_OK,
              "%s sample %d: %s", op->name, i, wf_error());
    const wf_array a = wf_array_dense(got, t, &shape), b = wf_array_dense(want, t, &shape);
    const double error = relative_l2(&a, &b);
    cr_assert(error <= allowed(op, y), "%s sample %d, %s: %s differs from eval by %g", op->name, i,
              wf_dtype_name(t), what, error);
    wf_program_free(p);
    free(want);
    free(got);
}

static int kernels_of(const wf_op *op, wf_dtype real) {
    test_sampler s;
    wf_tensor y;
    int i = 0;
    for (; build(op, i, real, &s, &y); i++) {
        check_kernel(op, i, y, WF_PASS_SIMPLIFY | WF_PASS_MERGE, "the kernel");
        check_kernel(op, i, y, 0, "the compiled program");
        sampler_free(&s);
    }
    return i;
}

Test(all_ops, kernels_agree_with_eval) {
    int samples = 0;
    for (const wf_op *const *op = wf_all_ops(); *op; op++) {
        if (!(*op)->sample) continue;
        const int n = kernels_of(*op, WF_F32);
        cr_assert(n > 0, "%s has no sample", (*op)->name);
        samples += n + kernels_of(*op, WF_F64);
    }
    printf("%d samples: kernels and compiled programs agree with eval\n", samples);
    cr_assert(samples >= floor_samples);
}

/* --- gradients -------------------------------------------------------------------------------- */

/* sum(y * w) with fixed weights w, so that every element of y matters and none cancels. */
static wf_tensor weighted_sum(wf_tensor y, uint64_t seed) {
    const size_t n = (size_t)wf_count(y);
    double *w = calloc(n + 1, sizeof *w);
    for (size_t i = 0; i < n; i++) w[i] = 0.5 + sampler_next(&seed);
    const wf_tensor weight = wf_const(y.graph, WF_F64, wf_shape_of_tensor(y), w);
    free(w);
    return wf_sum(wf_mul(y, weight), (wf_reduce_opt){0});
}

static void check_gradient(const wf_op *op, int i, const test_sampler *s, wf_tensor loss,
                           const char *what) {
    const wf_gradcheck_opt o = {.eps = 1e-6, .atol = 1e-5, .rtol = 1e-3};
    cr_assert(wf_gradcheck(loss, s->real, s->n_real, o, NULL) == WF_OK, "%s sample %d, %s: %s",
              op->name, i, what, wf_error());
}

static int gradients_of(const wf_op *op, int *second) {
    test_sampler s;
    wf_tensor y;
    int checked = 0;
    for (int i = 0; build(op, i, WF_F64, &s, &y); i++) {
        if (s.n_real && wf_dtype_of(y) == WF_F64) {
            const wf_tensor loss = weighted_sum(y, 11);
            check_gradient(op, i, &s, loss, "gradient");
            checked++;
            wf_tensor dx[max_leaves];
            cr_assert(wf_grad(loss, s.real, s.n_real, dx) == WF_OK, "%s: %s", op->name, wf_error());
            wf_tensor again[max_leaves];
            for (int k = 0; k < s.n_real; k++) again[k] = weighted_sum(dx[k], 23 + (uint64_t)k);
            check_gradient(op, i, &s, wf_add_n(again, s.n_real), "gradient of the gradient");
            ++*second;
        }
        sampler_free(&s);
    }
    return checked;
}

Test(all_ops, gradients) {
    int operations = 0, samples = 0, second = 0;
    for (const wf_op *const *op = wf_all_ops(); *op; op++) {
        if (!(*op)->grad || !(*op)->sample) continue;
        const int n = gradients_of(*op, &second);
        cr_assert(n > 0, "%s: no sample exercises its gradient", (*op)->name);
        operations++;
        samples += n;
    }
    printf("%d operations: %d gradients and %d gradients of gradients agree with differences\n",
           operations, samples, second);
    cr_assert(operations >= floor_differentiable);
}

/* --- special values --------------------------------------------------------------------------- */

static const double special[] = {0.0,   -0.0,   1.0,   -1.0,  0.5,      -0.5,      1.5,
                                 2.5,   88.0,   -88.0, 1e30,  -1e30,    1e-30,     -1e-30,
                                 1e-40, -1e-40, 3e38,  -3e38, INFINITY, -INFINITY, NAN};

/* Overwrites the real leaves with special values, a different rotation for each leaf. */
static void make_special(test_sampler *s) {
    for (int k = 0; k < s->n_real; k++) {
        const wf_leaf_attr *a = wf_graph_node(s->base.graph, s->real[k].id)->attr;
        const wf_array v = wf_array_dense(a->data, a->type.dtype, &a->type.shape);
        for (int64_t i = 0; i < wf_shape_count(&v.shape); i++)
            wf_set(&v, i, special[(size_t)(i * (k + 1) + k * 5) % WF_COUNT(special)]);
    }
}

Test(all_ops, special_values) {
    int n = 0;
    for (const wf_op *const *op = wf_all_ops(); *op; op++) {
        if ((*op)->kind != WF_KIND_ELEMENTWISE || !(*op)->sample) continue;
        test_sampler s;
        wf_tensor y;
        for (int i = 0; build(*op, i, WF_F32, &s, &y); i++, n++) {
            make_special(&s);
            check_kernel(*op, i, y, WF_PASS_SIMPLIFY | WF_PASS_MERGE, "special values: the kernel");
            sampler_free(&s);
        }
    }
    printf("%d elementwise samples agree on NaN, inf, zeros and denormals\n", n);
}
