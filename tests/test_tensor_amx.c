/* The micro kernels for AMX with its instructions emulated, against the reference on cells. */
#define WF_AMX_EMULATED
#define wf_tile_amx emulated_amx
#include "tensor/kernels/contract_amx.c"
#undef wf_tile_amx
#undef KERNEL
#undef INLINE
#include "tests/contract_cases.h"
#include "tensor/kernels/cells.h"

static void check_block(bool by_rows, int rows, int nv, int64_t len) {
    enum { SEGS = 3, BK = 37, AS = 60, N = 8192, CM = 40 };
    static uint32_t a[N], b[N];
    static float got[WF_TILE_LARGE * CM], want[WF_TILE_LARGE * CM];
    const int64_t a_seg[SEGS] = {5, 1200, 700}, b_seg[SEGS] = {900, 3, 2000};
    uint64_t state = 3;
    for (int i = 0; i < N; i++) {
        float x[4];
        for (int k = 0; k < 4; k++) x[k] = (float)next_random(&state);
        wf_cells_plain.pair(x, x + 1, 1, a + i, NULL);
        wf_cells_plain.pair(x + 2, x + 3, 1, b + i, NULL);
    }
    for (int add = 0; add < 2; add++) {
        for (int i = 0; i < WF_TILE_LARGE * CM; i++) got[i] = want[i] = (float)(i % 7);
        emulated_amx.begin();
        (by_rows ? emulated_amx.rows : emulated_amx.cols)[rows / 16][nv](
            (const float *)a, AS, a_seg, (const float *)b, BK, b_seg, SEGS, len, got, CM, add);
        emulated_amx.end();
        for (int i = 0; i < rows; i++)
            (by_rows ? wf_tile_cells.rows : wf_tile_cells.cols)[1][nv](
                (const float *)a + i * (by_rows ? AS : 1), AS, a_seg, (const float *)b, BK, b_seg,
                SEGS, len, want + i * CM, CM, add);
        for (int i = 0; i < WF_TILE_LARGE * CM; i++)
            cr_assert(fabsf(got[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i])),
                      "%s %dx%d of %d: element %d is %g, expected %g", by_rows ? "rows" : "cols",
                      rows, 16 * nv, (int)len, i, (double)got[i], (double)want[i]);
    }
}

Test(tensor_amx, blocks_of_all_shapes_agree_with_the_reference_kernel) {
    static const int64_t len[] = {1, 15, 16, 17, 32, 41};
    for (size_t i = 0; i < WF_COUNT(len); i++)
        for (int form = 0; form < 8; form++)
            check_block(form & 1, form & 2 ? 32 : 16, form & 4 ? 2 : 1, len[i]);
}
