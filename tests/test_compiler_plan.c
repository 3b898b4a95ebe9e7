/* White-box tests of planning: views read backwards, placement, reuse, barriers. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"
#include "tensor/view.h"

static uint64_t rng = 12345;
static int64_t draw(int64_t below) {
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((rng >> 33) % (uint64_t)below);
}

/* --- views read backwards --------------------------------------------------------------------- */

/* A random factorisation of 24 into axes, 1s included. */
static wf_shape factors_of_24(void) {
    static const int64_t some[][5] = {{24, 1, 1, 1, 1}, {4, 6, 1, 1, 1}, {6, 4, 1, 1, 1},
                                      {2, 3, 4, 1, 1},  {3, 2, 2, 2, 1}, {1, 8, 1, 3, 1},
                                      {2, 12, 1, 1, 1}, {1, 1, 24, 1, 1}, {3, 8, 1, 1, 1}};
    static const int rank[] = {1, 2, 2, 3, 4, 4, 2, 3, 2};
    const int64_t i = draw((int64_t)WF_COUNT(rank));
    return wf_shape_make(rank[i], some[i]);
}

/* `seen`: x (dense, 24 elements) reshaped and perhaps permuted. */
static void random_view(const wf_type *x, wf_array *seen) {
    const wf_shape shape = factors_of_24();
    *seen = wf_array_dense(NULL, x->dtype, &shape);
    for (int k = shape.rank - 1; k > 0 && draw(2); k--) {
        const int j = (int)draw(k + 1);
        const int64_t d = seen->shape.dim[j], s = seen->stride[j];
        seen->shape.dim[j] = seen->shape.dim[k];
        seen->stride[j] = seen->stride[k];
        seen->shape.dim[k] = d;
        seen->stride[k] = s;
    }
}

/* A slot in a larger array: strides of dense memory with gaps after some axes. */
static wf_array random_slot(const wf_array *seen) {
    wf_array slot = *seen;
    int64_t step = 1;
    slot.data = (void *)(intptr_t)(4 * draw(10));
    for (int k = slot.shape.rank - 1; k >= 0; k--) {
        slot.stride[k] = step;
        step *= slot.shape.dim[k] + (draw(3) == 0 ? 2 : 0);
    }
    return slot;
}

Test(compiler_plan, inverted_views_lie_as_the_slot) {
    int inverted = 0, refused = 0;
    for (int round = 0; round < 20000; round++) {
        const wf_type x = {WF_F32, factors_of_24()};
        wf_array seen, out;
        random_view(&x, &seen);
        const wf_array slot = random_slot(&seen);
        if (!wf_view_invert(&seen, &slot, &x, &out)) {
            refused++;
            continue;
        }
        inverted++;
        int64_t idx[WF_MAX_RANK] = {0};
        do { /* element idx of the view is element `at` of x */
            int64_t linear = wf_offset(&seen, idx), at[WF_MAX_RANK] = {0};
            for (int k = x.shape.rank - 1; k >= 0; k--) {
                at[k] = linear % x.shape.dim[k];
                linear /= x.shape.dim[k];
            }
            cr_assert_eq(wf_at(&out, wf_offset(&out, at)), wf_at(&slot, wf_offset(&slot, idx)));
        } while (wf_next_index(&seen.shape, idx));
    }
    cr_assert_gt(inverted, 2000);
    cr_assert_gt(refused, 2000);
}

Test(compiler_plan, views_that_leave_something_out_have_no_inverse) {
    const wf_type x = {WF_F32, WF_SHAPE(4, 6)};
    wf_array out, seen = wf_array_dense(NULL, WF_F32, &x.shape), slot = seen;
    seen.stride[0] = 0; /* broadcast */
    cr_assert_not(wf_view_invert(&seen, &slot, &x, &out));
    seen.stride[0] = -6; /* flip */
    cr_assert_not(wf_view_invert(&seen, &slot, &x, &out));
    const wf_shape part = WF_SHAPE(2, 6);
    seen = slot = wf_array_dense(NULL, WF_F32, &part);
    cr_assert_not(wf_view_invert(&seen, &slot, &x, &out));
}

/* --- storage ---------------------------------------------------------------------------------- */

static float run_and_get(wf_graph *g, wf_tensor out, const float *x, size_t bytes, int at) {
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, &out, 1, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_plan_verify(&p->plan), WF_OK, "%s", wf_error());
    memcpy(wf_data_named(p, "x", NULL), x, bytes);
    cr_assert_eq(wf_run(p), WF_OK);
    const float y = ((const float *)wf_data(p, out))[at];
    wf_program_free(p);
    return y;
}

/* The dying operand is read at other indices by the same operation. */
Test(compiler_plan, no_reuse_under_another_view_of_the_operand) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4)), y = wf_square(x);
    const wf_tensor z = wf_square(wf_add(y, wf_flip(y, 0)));
    const float v[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++) {
        const float sum = v[i] * v[i] + v[3 - i] * v[3 - i];
        cr_assert_eq(run_and_get(g, z, v, sizeof v, i), sum * sum);
    }
    wf_graph_free(g);
}

Test(compiler_plan, no_update_in_a_leaf_that_is_read_turned_around) {
    float w[4] = {1, 2, 3, 40};
    wf_graph *g = wf_graph_new();
    const wf_tensor l = wf_leaf(g, "w", WF_F32, WF_SHAPE(4), w);
    wf_assign(l, wf_add(l, wf_flip(l, 0)));
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, NULL, 0, (wf_compile_opt){0}), WF_OK);
    cr_assert_eq(wf_run(p), WF_OK);
    cr_assert(w[0] == 41 && w[1] == 5 && w[2] == 5 && w[3] == 41);
    wf_program_free(p);
    wf_graph_free(g);
}

/* Slots with gaps: elementwise results go there directly, through a reshape where strides allow. */
Test(compiler_plan, operands_of_inner_concats_are_computed_in_place) {
    wf_graph *g = wf_graph_new();
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 6));
    const wf_tensor a = wf_reshape(wf_tanh(x), WF_SHAPE(2, 2, 6));
    const wf_tensor b = wf_reshape(wf_exp(x), WF_SHAPE(2, 2, 6));
    const wf_tensor y = wf_neg(wf_concat((wf_tensor[]){a, b}, 2, 2));
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, &y, 1, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_program_describe(p).copies, 0);
    cr_assert_eq(wf_program_describe(p).launches, 2);
    wf_program_free(p);
    wf_graph_free(g);
}

Test(compiler_plan, the_arena_is_close_to_the_live_set) {
    for (int round = 0; round < 50; round++) {
        wf_graph *g = wf_graph_new();
        wf_tensor v[60];
        int n = 0;
        v[n++] = wf_input(g, "x", WF_F32, WF_SHAPE(64));
        while (n < 60) {
            const wf_tensor a = v[draw(n)];
            const int64_t d = wf_dim(a, 0);
            if (draw(3) == 0 && d < 20000) v[n++] = wf_concat((wf_tensor[]){a, a}, 2, 0);
            else v[n++] = draw(2) ? wf_tanh(a) : wf_cumsum(a, 0);
        }
        wf_program *p;
        const wf_tensor out[] = {v[59], v[58], v[30]};
        cr_assert_eq(wf_compile(&p, g, out, 3, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_plan_verify(&p->plan), WF_OK, "%s", wf_error());
        const wf_program_info i = wf_program_describe(p);
        cr_assert_geq(i.arena_bytes, i.live_bytes);
        cr_assert_leq(i.arena_bytes, i.live_bytes + i.live_bytes / 2);
        wf_program_free(p);
        wf_graph_free(g);
    }
}

/* Updates of unrelated leaves need no meeting of the workers. */
Test(compiler_plan, independent_launches_need_no_barrier) {
    static float w[16][40000];
    wf_graph *g = wf_graph_new();
    for (int i = 0; i < 16; i++) {
        const wf_tensor l = wf_leaf(g, "w", WF_F32, WF_SHAPE(40000), w[i]);
        wf_assign(l, wf_tanh(l));
    }
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, NULL, 0, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_program_describe(p).launches, 16);
    cr_assert_eq(wf_program_describe(p).barriers, 0);
    wf_program_free(p);
    wf_graph_free(g);
}

/* --- small launches --------------------------------------------------------------------------- */

/* A recurrence over short vectors, then work that is worth sharing. */
static wf_program *recurrence(wf_graph *g, unsigned off, wf_tensor out[2]) {
    enum { T = 40 };
    wf_tensor h = wf_input(g, "h", WF_F32, WF_SHAPE(8, 48));
    const wf_tensor w = wf_input(g, "w", WF_F32, WF_SHAPE(48, 48));
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(512, 512));
    for (int t = 0; t < T; t++) h = wf_tanh(wf_matmul(h, w));
    out[0] = h;
    out[1] = wf_matmul(wf_matmul(x, x), x);
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, out, 2, (wf_compile_opt){.threads = 3, .off = off}), WF_OK,
                 "%s", wf_error());
    for (int i = 1; i <= 3; i++) {
        float *data = wf_data(p, wf_handle(g, (uint32_t)i));
        for (int64_t k = 0; k < wf_count(wf_handle(g, (uint32_t)i)); k++)
            data[k] = (float)((k * 37 + i) % 101) / 505 - 0.1f;
    }
    cr_assert_eq(wf_run(p), WF_OK);
    return p;
}

/* Launches too small to share run on one worker: the recurrence needs no barriers between its
 * steps, large products go on being shared, and no bit changes. */
Test(compiler_plan, small_launches_do_not_wait) {
    wf_graph *g = wf_graph_new(), *g2 = wf_graph_new();
    wf_tensor a[2], b[2];
    wf_program *p = recurrence(g, 0, a), *q = recurrence(g2, WF_PASS_ALONE, b);
    cr_assert_geq(wf_program_describe(q).barriers, 40u);
    cr_assert_leq(wf_program_describe(p).barriers, 4u);
    uint32_t shared = 0;
    for (uint32_t i = 0; i < p->plan.n_launch; i++) shared += !p->plan.launch[i].single;
    cr_assert(shared >= 1 && !p->plan.alone);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(memcmp(wf_data(p, a[i]), wf_data(q, b[i]), 4 * (size_t)wf_count(a[i])), 0);
    cr_assert_eq(wf_program_set_threads(p, 1), WF_OK); /* and back: marks follow the team */
    cr_assert_eq(wf_program_set_threads(p, 3), WF_OK);
    cr_assert_leq(wf_program_describe(p).barriers, 4u);
    cr_assert_eq(wf_run(p), WF_OK);
    cr_assert_eq(memcmp(wf_data(p, a[0]), wf_data(q, b[0]), 4 * (size_t)wf_count(a[0])), 0);
    wf_program_free(p);
    wf_program_free(q);
    wf_graph_free(g);
    wf_graph_free(g2);
}
