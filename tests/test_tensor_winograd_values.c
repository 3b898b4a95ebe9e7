/* Values that are not finite, or nearly so, in convolutions by minimal filtering: what comes out is
 * what sums of products give, and nothing spreads to pixels that the value does not reach. */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/winograd_cases.h"

TestSuite(tensor_winograd_values, .init = winograd_always);

enum { KINDS = 5, PLACES = 4, DIRECTIONS = 3, FLOATS = 1 << 23 };
static const float kinds[KINDS] = {INFINITY, -INFINITY, NAN, 3e38f, -3e38f};

static const conv_case cases[] = {
    {4, 16, 17, 33, 40, 3, 3, 1, {.pad = {1, 1}}},
    {5, 15, 16, 17, 33, 5, 4, 1, {.pad = {2, 2}}},
    {3, 11, 10, 300, 33, 2, 3, 1, {.pad = {1, 1}}}, /* V row by row; its gradient is direct */
};

/* --- results ---------------------------------------------------------------------------------- */

/* Results of contractions one after the other. */
typedef struct results {
    float *to;
    int64_t n;
} results;

static void compute(results *r, wf_tensor t, bool winograd) {
    const int64_t n = wf_count(t);
    float *got = with_gaps(t, 0, 0, 3);
    cr_assert(winograd == by_winograd(t), "planned otherwise");
    cr_assert(r->n + n <= FLOATS, "too many results");
    memcpy(r->to + r->n, got, (size_t)n * sizeof *got);
    r->n += n;
    free(got);
}

/* The contraction without, and with each kind at some places of each operand. */
static void compute_all(results *r, wf_tensor t, bool winograd) {
    compute(r, t, winograd);
    for (int i = 0; i < (int)wf_graph_node(t.graph, t.id)->n_in; i++)
        for (int k = 0; k < KINDS * PLACES; k++) {
            const int64_t n = leaf_count(t, i);
            float *x = leaf_data(t, i) + (n - 1) * (k / KINDS) / (PLACES - 1);
            const float was = *x;
            *x = kinds[k % KINDS];
            compute(r, t, winograd);
            *x = was;
        }
}

/* The same by sums of products, in a process that is told to before it plans anything. Returns the
 * results, shared memory. */
static float *without_winograd(const wf_tensor *t, int n) {
    float *out = mmap(NULL, FLOATS * sizeof *out, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(out != MAP_FAILED, "no memory");
    const pid_t child = fork();
    if (child == 0) {
        results r = {.to = out};
        setenv("WF_WINOGRAD", "off", 1);
        if (wf_winograd_wanted() != WF_WINOGRAD_OFF) _exit(1);
        for (int i = 0; i < n; i++) compute_all(&r, t[i], false);
        _exit(0);
    }
    int status;
    cr_assert(child > 0 && waitpid(child, &status, 0) == child && status == 0, "no results");
    return out;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* `clean`: the direct result without that value. An element that it does not reach is as it was;
 * others that are finite have errors that are small beside what is largest. A tap reaches all
 * pixels of its column, those too where it meets nothing but padding: `columns`, else 0. */
static void check(const float *got, const float *want, const float *clean, int64_t n,
                  int64_t columns, const char *what) {
    double largest = 0;
    bool *reached = calloc((size_t)n, sizeof *reached);
    cr_assert(reached, "no memory");
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(want[i]) && fabs((double)want[i]) > largest) largest = fabs((double)want[i]);
        if (memcmp(&want[i], &clean[i], sizeof *want)) reached[columns ? i % columns : i] = true;
    }
    for (int64_t i = 0; i < n; i++) {
        const double a = (double)got[i], b = (double)want[i];
        const double scale = reached[columns ? i % columns : i] ? largest : 100;
        if (isnan(b)) cr_assert(isnan(a), "%s: %g at %d, expected NaN", what, a, (int)i);
        else if (isinf(b)) cr_assert(a == b, "%s: %g at %d, expected %g", what, a, (int)i, b);
        else
            cr_assert(fabs(a - b) <= 1e-6 * scale, "%s: %g at %d, expected %g", what, a, (int)i,
                      b);
    }
    free(reached);
}

static void check_all(const wf_tensor *t, int count) {
    const float *want = without_winograd(t, count);
    results r = {.to = calloc(FLOATS, sizeof(float))};
    int64_t at = 0, special = 0;
    cr_assert(r.to, "no memory");
    for (int i = 0; i < count; i++) compute_all(&r, t[i], true);
    for (int i = 0; i < count; i++) {
        const int64_t n = wf_count(t[i]), clean = at;
        const wf_shape shape = wf_shape_of_tensor(t[i]);
        const int64_t columns = planned(t[i], 0, 0).sums ? 0 : shape.dim[shape.rank - 1];
        const int operands = (int)wf_graph_node(t[i].graph, t[i].id)->n_in;
        for (int k = 0; k <= operands * KINDS * PLACES; k++, at += n) {
            char name[96];
            const int c = k - 1;
            snprintf(name, sizeof name, "contraction %d, operand %d, place %d, %g", i,
                     c / KINDS / PLACES, c / KINDS % PLACES, k ? (double)kinds[c % KINDS] : 0);
            check(r.to + at, want + at, want + clean, n,
                  k && c / KINDS / PLACES % 2 ? columns : 0, name);
            for (int64_t j = 0; j < n; j++) special += !isfinite(want[at + j]);
        }
    }
    cr_assert(at == r.n && special > 0);
    free(r.to);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void check_direction(int direction) {
    wf_tensor t[WF_COUNT(cases)];
    wf_graph *g = wf_graph_new();
    const int n = direction == 2 ? 2 : (int)WF_COUNT(cases);
    for (int i = 0; i < n; i++) {
        const wf_tensor y = contraction(build_conv(g, &cases[i]));
        t[i] = direction ? contraction(gradient(y, direction - 1)) : y;
    }
    check_all(t, n);
    wf_graph_free(g);
}

Test(tensor_winograd_values, convolutions_of_what_is_not_finite) { check_direction(0); }
Test(tensor_winograd_values, data_gradients_of_what_is_not_finite) { check_direction(1); }
Test(tensor_winograd_values, weight_gradients_of_what_is_not_finite) { check_direction(2); }

/* In the second source, which has its own images. */
Test(tensor_winograd_values, several_sources) {
    wf_graph *g = wf_graph_new();
    wf_tensor part[2][3], t[3];
    for (int k = 0; k < 2; k++) {
        const conv_case c = {4, 13, 14, 12 + 5 * k, 33, 3, 3, 1, {.pad = {1, 1}}};
        part[k][0] = contraction(build_conv(g, &c));
        const conv_case same = {4, 13 + k, 14, 17, 33, 3, 3, 1, {.pad = {1, 1}}};
        part[k][1] = contraction(gradient(contraction(build_conv(g, &same)), 1));
    }
    for (int d = 0; d < 2; d++) t[d] = wf_contract_join(part[0][d], part[1][d]);
    cr_assert(wf_ok(t[0]) && wf_ok(t[1]), "%s", wf_graph_message(g));
    check_all(t, 2);
    wf_graph_free(g);
}

/* --- in programs ------------------------------------------------------------------------------ */

/* Two layers and a weight gradient, in blocks of a chain where there are chains, with a value that
 * makes one piece of them start anew. */
Test(tensor_winograd_values, programs_give_the_same_bits_on_any_number_of_threads) {
    for (int special = 0; special < 2; special++) {
        wf_graph *g = wf_graph_new();
        const wf_tensor x = f32(g, WF_SHAPE(8, 16, 16, 16)), w = f32(g, WF_SHAPE(40, 3, 3, 16));
        const wf_tensor conv = contraction(wf_conv(x, w, (wf_conv_opt){.pad = {1, 1}}));
        const wf_tensor h = wf_relu(conv), v = f32(g, WF_SHAPE(33, 3, 3, 40));
        const wf_tensor last = contraction(wf_conv(h, v, (wf_conv_opt){.pad = {1, 1}}));
        const wf_tensor y[2] = {wf_add(last, f32(g, WF_SHAPE(33))), gradient(last, 1)};
        cr_assert(by_winograd(conv) && by_winograd(last) && by_winograd(y[1]));
        if (special) ((float *)(uintptr_t)data_of(x))[12345] = INFINITY;
        for (int k = 0; k < 2; k++) {
            const int64_t n = wf_count(y[k]);
            float *want = reference(y[k]), *one = by_program(y[k], 0, 1);
            float *plain = by_program(y[k], WF_PASS_CHAIN, 1);
            int64_t not_finite = 0;
            for (int64_t i = 0; i < n; i++) {
                not_finite += !isfinite(want[i]);
                cr_assert(isnan(want[i]) ? isnan(one[i]) : isinf(want[i]) ? one[i] == want[i]
                          : fabsf(one[i] - want[i]) <= 1e-5f * (200 + fabsf(want[i])),
                          "%g at %d, expected %g", (double)one[i], (int)i, (double)want[i]);
            }
            cr_assert((not_finite > 0) == (special == 1));
            cr_assert(memcmp(one, plain, (size_t)n * sizeof *one) == 0, "in a chain");
            for (int threads = 2; threads <= 4; threads++) {
                float *more = by_program(y[k], 0, threads);
                cr_assert(memcmp(one, more, (size_t)n * sizeof *one) == 0, "%d threads", threads);
                free(more);
            }
            free(want);
            free(one);
            free(plain);
        }
        wf_graph_free(g);
    }
}
