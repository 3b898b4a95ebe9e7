/* The filters, and the transforms in plain C. */
#define VECTOR 16
#define TABLE  wf_winograd_plain
#include "tensor/kernels/winograd.inc"

static const wf_filter_product three[] = {
    {.a = 0, .b = 2, .sign = -1, .y = {1, 0}},
    {.a = 1, .b = 2, .sign = 1, .y = {1, 1}},
    {.a = 2, .b = 1, .sign = -1, .y = {1, -1}},
    {.a = 1, .b = 3, .sign = -1, .y = {0, -1}},
};
static const wf_filter_product two[] = {
    {.a = 0, .b = 1, .sign = -1, .y = {1, 0}},
    {.a = 1, .b = 1, .sign = 0, .y = {1, 1}},
    {.a = 2, .b = 1, .sign = -1, .y = {0, 1}},
};
static const wf_filter_product one[] = {
    {.a = 0, .b = 0, .sign = 0, .y = {1, 0}},
    {.a = 1, .b = 1, .sign = 0, .y = {0, 1}},
};

/* Parts of 3 taps while at least 3 are left, except that 4 = 2 + 2, so that windows stay small. */
static int part_of(int taps) { return taps >= 5 || taps == 3 ? 3 : taps >= 2 ? 2 : 1; }

int wf_filter_products(int taps) {
    int n = 0;
    for (; taps > 0; taps -= part_of(taps)) n += part_of(taps) + 1;
    return n;
}

wf_filter wf_filter_make(int taps) {
    wf_filter f = {.taps = taps};
    bool set[2] = {false, false};
    for (int first = 0; first < taps;) {
        const int n = part_of(taps - first);
        const wf_filter_product *from = n == 3 ? three : n == 2 ? two : one;
        f.part[f.n_parts++] = n;
        for (int k = 0; k < n + 1; k++) {
            wf_filter_product *p = &f.product[f.n++];
            *p = from[k];
            p->a += first;
            p->b += first;
            for (int i = 0; i < 2; i++) {
                p->sets[i] = p->y[i] && !set[i];
                set[i] |= p->y[i] != 0;
            }
        }
        first += n;
    }
    return f;
}

const wf_winograd_table *wf_winograd_get(void) {
#if defined(__x86_64__)
    const wf_isa isa = wf_isa_get();
    if (isa == WF_ISA_AVX512 || isa == WF_ISA_AMX) return &wf_winograd_avx512;
    if (isa == WF_ISA_AVX2) return &wf_winograd_avx2;
#endif
    return &wf_winograd_plain;
}
