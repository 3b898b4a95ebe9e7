/* The filters of minimal filtering and the functions around their products (kernels/winograd.h),
 * in the tables of all instruction sets. */
#include <float.h>

#include "tests/contract_cases.h"
#include "tensor/kernels/winograd.h"

enum { COLUMNS = WF_FILTER_COLUMNS, TABLES = 3 };

/* Those that the machine has, the plain one first. */
static int tables(const wf_winograd_table **to) {
    int n = 0;
    to[n++] = &wf_winograd_plain;
#if defined(__x86_64__)
    if (wf_isa_get() >= WF_ISA_AVX2) to[n++] = &wf_winograd_avx2;
    if (wf_isa_get() >= WF_ISA_AVX512) to[n++] = &wf_winograd_avx512;
#endif
    return n;
}

static void whole_numbers(float *x, int64_t n, uint64_t *state) {
    for (int64_t i = 0; i < n; i++) x[i] = (float)rint(next_random(state) * 8);
}
static void reals(float *x, int64_t n, uint64_t *state) {
    for (int64_t i = 0; i < n; i++) x[i] = (float)next_random(state);
}

static float combined(const wf_filter_product *p, const float *x, int64_t step) {
    return x[p->a * step] + (float)p->sign * x[p->b * step];
}

/* --- filters ---------------------------------------------------------------------------------- */

Test(tensor_winograd_kernels, tables_are_those_of_the_instruction_set) {
    const wf_winograd_table *t[TABLES];
    const int n = tables(t);
    cr_assert(wf_winograd_get() == t[n - 1]);
}

Test(tensor_winograd_kernels, filters_have_few_products_in_order) {
    static const int products[] = {2, 3, 4, 6, 7, 8, 10};
    for (int taps = 1; taps <= WF_FILTER_TAPS; taps++) {
        const wf_filter f = wf_filter_make(taps);
        int sum = 0, of_parts = 0;
        bool seen[2] = {false, false};
        cr_assert(f.taps == taps && f.n == products[taps - 1] && f.n == wf_filter_products(taps));
        for (int k = 0; k < f.n_parts; k++) sum += f.part[k], of_parts += f.part[k] + 1;
        cr_assert(sum == taps && of_parts == f.n && f.n_parts <= WF_FILTER_PARTS);
        for (int i = 0; i < f.n; i++) {
            const wf_filter_product *p = &f.product[i];
            cr_assert(p->a >= 0 && p->a <= taps && p->b >= 0 && p->b <= taps);
            cr_assert(p->y[0] || p->y[1], "product %d of %d taps adds to nothing", i, taps);
            for (int k = 0; k < 2; k++) {
                cr_assert(p->sets[k] == (p->y[k] != 0 && !seen[k]), "%d taps: sets", taps);
                cr_assert(!p->sets[k] || p->y[k] == 1);
                seen[k] |= p->y[k] != 0;
            }
        }
        cr_assert(seen[0] && seen[1]);
    }
}

/* Along one axis, by what the products say alone: taps of the other axis are one, whose first row
 * of products is the filter itself. */
Test(tensor_winograd_kernels, products_along_an_axis_are_the_convolution) {
    const wf_winograd_table *table[TABLES];
    const int n = tables(table);
    const wf_filter one = wf_filter_make(1);
    uint64_t state = 1;
    for (int t = 0; t < n; t++)
        for (int taps = 1; taps <= WF_FILTER_TAPS; taps++) {
            const wf_filter f = wf_filter_make(taps);
            float x[WF_FILTER_TAPS + 1], g[WF_FILTER_TAPS * COLUMNS];
            float u[2 * WF_FILTER_PRODUCTS * COLUMNS];
            whole_numbers(x, taps + 1, &state);
            whole_numbers(g, taps * COLUMNS, &state);
            table[t]->filter(&one, &f, g, 0, COLUMNS, u, COLUMNS);
            for (int c = 0; c < COLUMNS; c++)
                for (int y = 0; y < 2; y++) {
                    float want = 0, got = 0;
                    for (int k = 0; k < taps; k++) want += x[y + k] * g[k * COLUMNS + c];
                    for (int i = 0; i < f.n; i++)
                        got += (float)f.product[i].y[y] * combined(&f.product[i], x, 1) *
                               u[i * COLUMNS + c];
                    cr_assert(got == want, "%d taps, output %d: %g, expected %g", taps, y,
                              (double)got, (double)want);
                }
        }
}

/* --- tiles ------------------------------------------------------------------------------------ */

/* One channel of a tile, by a table's functions alone. */
static void check_tile(const wf_winograd_table *t, int taps_y, int taps_x, uint64_t *state) {
    enum { SIDE = WF_FILTER_TAPS + 1, TAPS = WF_FILTER_TAPS, ALL = WF_FILTER_PRODUCTS };
    const wf_filter fy = wf_filter_make(taps_y), fx = wf_filter_make(taps_x);
    float x[SIDE * SIDE], g[TAPS * TAPS * COLUMNS], u[ALL * ALL * COLUMNS], m[ALL * COLUMNS];
    float out[4 * COLUMNS];
    const int64_t at = 0;
    const uint8_t edge = 0;
    whole_numbers(x, SIDE * SIDE, state);
    whole_numbers(g, taps_y * taps_x * COLUMNS, state);
    memset(out, 0xff, sizeof out);
    t->filter(&fy, &fx, g, taps_x * COLUMNS, COLUMNS, u, COLUMNS);
    for (int i = 0; i < fy.n; i++) {
        float row[SIDE], v[ALL];
        t->combine(row, 0, x + fy.product[i].a * SIDE, x + fy.product[i].b * SIDE, 0,
                   fy.product[i].sign, 1, taps_x + 1);
        for (int j = 0; j < fx.n; j++) {
            v[j] = combined(&fx.product[j], row, 1);
            for (int c = 0; c < COLUMNS; c++)
                m[j * COLUMNS + c] = v[j] * u[(i * fx.n + j) * COLUMNS + c];
        }
        t->finish(&(wf_winograd_finish){
            .x = &fx, .y = &fy.product[i], .m = m, .m_step = COLUMNS, .tiles = 1, .n = COLUMNS,
            .out = out, .at = &at, .edge = &edge, .y_step = 2 * COLUMNS, .x_step = COLUMNS});
    }
    for (int y = 0; y < 4; y++)
        for (int c = 0; c < COLUMNS; c++) {
            float want = 0;
            for (int k = 0; k < taps_y * taps_x; k++)
                want += x[(y / 2 + k / taps_x) * SIDE + y % 2 + k % taps_x] * g[k * COLUMNS + c];
            cr_assert(out[y * COLUMNS + c] == want, "%d x %d taps, output %d: %g, expected %g",
                      taps_y, taps_x, y, (double)out[y * COLUMNS + c], (double)want);
        }
}

Test(tensor_winograd_kernels, tiles_of_any_taps_are_convolutions) {
    const wf_winograd_table *table[TABLES];
    const int n = tables(table);
    uint64_t state = 2;
    for (int t = 0; t < n; t++)
        for (int k = 0; k < WF_FILTER_TAPS * WF_FILTER_TAPS; k++)
            check_tile(table[t], 1 + k / WF_FILTER_TAPS, 1 + k % WF_FILTER_TAPS, &state);
}

/* <filter(g), u> = <g, taps(u)>, where products that are subtracted from output 1 alone come
 * negated; u is the sum of its parts. */
Test(tensor_winograd_kernels, taps_are_the_adjoint_of_filter) {
    enum { TAPS = WF_FILTER_TAPS * WF_FILTER_TAPS, PARTS = 3,
           SIZE = WF_FILTER_PRODUCTS * WF_FILTER_PRODUCTS * COLUMNS };
    const wf_winograd_table *table[TABLES];
    const int n = tables(table);
    static float g[TAPS * COLUMNS], u[PARTS * SIZE], of_g[SIZE], of_u[TAPS * COLUMNS];
    uint64_t state = 3;
    for (int t = 0; t < n; t++)
        for (int k = 0; k < TAPS; k++) {
            const wf_filter y = wf_filter_make(1 + k / WF_FILTER_TAPS);
            const wf_filter x = wf_filter_make(1 + k % WF_FILTER_TAPS);
            const int64_t parts = 1 + k % PARTS;
            whole_numbers(g, TAPS * COLUMNS, &state);
            whole_numbers(u, PARTS * SIZE, &state);
            table[t]->filter(&y, &x, g, x.taps * COLUMNS, COLUMNS, of_g, COLUMNS);
            table[t]->taps(&y, &x, u, COLUMNS, parts, SIZE, of_u);
            for (int c = 0; c < COLUMNS; c++) {
                double a = 0, b = 0;
                for (int i = 0; i < y.n * x.n; i++) {
                    const bool minus_y = !y.product[i / x.n].y[0] && y.product[i / x.n].y[1] < 0;
                    const bool minus_x = !x.product[i % x.n].y[0] && x.product[i % x.n].y[1] < 0;
                    for (int64_t p = 0; p < parts; p++)
                        a += (double)of_g[i * COLUMNS + c] * (double)u[p * SIZE + i * COLUMNS + c] *
                             (minus_y != minus_x ? -1 : 1);
                }
                for (int i = 0; i < y.taps * x.taps; i++)
                    b += (double)g[i * COLUMNS + c] * (double)of_u[i * COLUMNS + c];
                cr_assert(a == b, "%d x %d taps: %g and %g", y.taps, x.taps, a, b);
            }
        }
}

/* --- the same in all tables ------------------------------------------------------------------- */

Test(tensor_winograd_kernels, transforms_have_the_same_bits_in_every_table) {
    enum { TAPS = WF_FILTER_TAPS * WF_FILTER_TAPS, STEP = COLUMNS + 3,
           SIZE = WF_FILTER_PRODUCTS * WF_FILTER_PRODUCTS * STEP };
    const wf_winograd_table *table[TABLES];
    const int n = tables(table);
    static float g[TAPS * COLUMNS], u[2 * SIZE], want[SIZE], got[SIZE];
    uint64_t state = 4;
    reals(g, TAPS * COLUMNS, &state);
    reals(u, 2 * SIZE, &state);
    for (int k = 0; k < TAPS; k++)
        for (int t = 1; t < n; t++) {
            const wf_filter y = wf_filter_make(1 + k / WF_FILTER_TAPS);
            const wf_filter x = wf_filter_make(1 + k % WF_FILTER_TAPS);
            const int64_t last = (int64_t)(y.taps - 1) * x.taps * COLUMNS;
            for (int turned = 0; turned < 2; turned++) {
                const int64_t sy = (turned ? -1 : 1) * x.taps * COLUMNS;
                memset(want, 0xff, sizeof want);
                memset(got, 0xff, sizeof got);
                table[0]->filter(&y, &x, g + turned * last, sy, COLUMNS, want, STEP);
                table[t]->filter(&y, &x, g + turned * last, sy, COLUMNS, got, STEP);
                cr_assert(memcmp(want, got, sizeof got) == 0, "filter %d x %d", y.taps, x.taps);
            }
            memset(want, 0xff, sizeof want);
            memset(got, 0xff, sizeof got);
            table[0]->taps(&y, &x, u, STEP, 2, SIZE, want);
            table[t]->taps(&y, &x, u, STEP, 2, SIZE, got);
            cr_assert(memcmp(want, got, sizeof got) == 0, "taps %d x %d", y.taps, x.taps);
        }
}

/* Every number of columns and every edge: the same bits, and nothing beside them. */
Test(tensor_winograd_kernels, finish_stores_the_pixels_that_are_there) {
    enum { TILES = 4, STEP = COLUMNS + 5, SIZE = 4 * TILES * STEP };
    static float m[WF_FILTER_PRODUCTS * TILES * COLUMNS], want[SIZE], got[SIZE];
    static const uint8_t edge[TILES] = {0, 1, 2, 3};
    const wf_winograd_table *table[TABLES];
    const int tables_n = tables(table);
    int64_t at[TILES];
    uint64_t state = 5;
    reals(m, WF_COUNT(m), &state);
    for (int t = 0; t < tables_n; t++)
        for (int taps = 1; taps <= WF_FILTER_TAPS; taps++)
            for (int n = 1; n <= COLUMNS; n++) {
                const wf_filter f = wf_filter_make(taps);
                for (int i = 0; i < SIZE; i++) want[i] = got[i] = (float)i;
                for (int i = 0; i < TILES; i++) at[i] = i * 4 * STEP;
                wf_winograd_finish w = {.x = &f, .m = m, .m_step = TILES * COLUMNS, .tiles = TILES,
                                        .n = n, .at = at, .edge = edge, .y_step = 2 * STEP,
                                        .x_step = STEP};
                for (int i = 0; i < f.n; i++) {
                    w.y = &f.product[i];
                    w.out = want;
                    table[0]->finish(&w);
                    w.out = got;
                    table[t]->finish(&w);
                }
                cr_assert(memcmp(want, got, sizeof got) == 0, "%d taps, %d columns", taps, n);
                for (int i = 0; i < SIZE; i++) {
                    const int pixel = i / STEP % 4, tile = i / STEP / 4;
                    const bool there = i % STEP < n && !(pixel % 2 && edge[tile] & 1) &&
                                       !(pixel / 2 && edge[tile] & 2);
                    cr_assert((got[i] != (float)i) == there, "%d taps, %d columns: at %d", taps, n,
                              i);
                }
            }
}

Test(tensor_winograd_kernels, combine_adds_rows_of_any_length) {
    enum { ROWS = 3, SIZE = 300 };
    const wf_winograd_table *table[TABLES];
    const int tables_n = tables(table);
    float x[SIZE + 10], to[SIZE];
    uint64_t state = 6;
    reals(x, SIZE + 10, &state);
    for (int t = 0; t < tables_n; t++)
        for (int n = 0; n <= 70; n++)
            for (int sign = -1; sign <= 1; sign++) {
                for (int i = 0; i < SIZE; i++) to[i] = 77;
                table[t]->combine(to, 90, x + 1, x + 4, 71, sign, ROWS, n);
                for (int i = 0; i < SIZE; i++) {
                    const float *a = x + 1 + i / 90 * 71 + i % 90;
                    const bool there = i / 90 < ROWS && i % 90 < n;
                    const float want = !there ? 77 : sign ? a[0] + (float)sign * a[3] : a[0];
                    cr_assert(to[i] == want, "sign %d, %d long: at %d", sign, n, i);
                }
            }
}

Test(tensor_winograd_kernels, finite_finds_what_is_not_wherever_it_is) {
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    const wf_winograd_table *table[TABLES];
    const int tables_n = tables(table);
    float x[100];
    for (int t = 0; t < tables_n; t++)
        for (int n = 0; n <= 80; n++) {
            for (int i = 0; i < 100; i++) x[i] = i % 3 ? FLT_MAX : i % 2 ? -FLT_MAX : 0x1p-149f;
            x[n] = NAN; /* behind */
            cr_assert(table[t]->finite(x, n), "%d values", n);
            for (int k = 0; k < 3 * n; k++) {
                const float was = x[k / 3];
                x[k / 3] = bad[k % 3];
                cr_assert(!table[t]->finite(x, n), "%g at %d of %d", (double)bad[k % 3], k / 3, n);
                x[k / 3] = was;
            }
        }
}
