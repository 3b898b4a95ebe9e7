/* The tile instructions that contract_amx.c uses: intrinsics or, with WF_AMX_EMULATED defined, the
 * same in plain C, for tests on machines without them. A tile has 16 rows of 64 bytes. Source:
 * Intel 64 and IA-32 Architectures Software Developer's Manual: TILELOADD, TDPBF16PS,
 * TILESTORED. */
#ifndef WEFT_KERNELS_AMX_H
#define WEFT_KERNELS_AMX_H

#include <stdint.h>
#include <string.h>

typedef struct wf_amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row of each tile */
    uint8_t rows[16];
} wf_amx_config;

/* All eight tiles at full size. */
static inline wf_amx_config wf_amx_full(void) {
    wf_amx_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) c.bytes[i] = 64, c.rows[i] = 16;
    return c;
}

#ifdef WF_AMX_EMULATED

static _Thread_local float wf_amx_tile[8][16][16];

static inline void wf_amx_emulate_load(int t, const void *p, int64_t stride) {
    for (int i = 0; i < 16; i++) memcpy(wf_amx_tile[t][i], (const char *)p + i * stride, 64);
}
static inline void wf_amx_emulate_store(int t, void *p, int64_t stride) {
    for (int i = 0; i < 16; i++) memcpy((char *)p + i * stride, wf_amx_tile[t][i], 64);
}
static inline float wf_amx_half(const float *cell, int odd) {
    uint32_t bits;
    float x;
    memcpy(&bits, cell, sizeof bits);
    bits = odd ? bits & 0xffff0000 : bits << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline void wf_amx_emulate_dot(int c, int a, int b) {
    for (int m = 0; m < 16; m++)
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < 16; n++)
                for (int odd = 0; odd < 2; odd++)
                    wf_amx_tile[c][m][n] += wf_amx_half(&wf_amx_tile[a][m][k], odd) *
                                            wf_amx_half(&wf_amx_tile[b][k][n], odd);
}

#define WF_AMX_CONFIGURE(config) ((void)(config))
#define WF_AMX_RELEASE() ((void)0)
#define WF_AMX_ZERO(t) memset(wf_amx_tile[t], 0, sizeof wf_amx_tile[t])
#define WF_AMX_LOAD(t, p, stride) wf_amx_emulate_load(t, p, stride)
#define WF_AMX_STORE(t, p, stride) wf_amx_emulate_store(t, p, stride)
#define WF_AMX_DOT(c, a, b) wf_amx_emulate_dot(c, a, b)

#else

#include <immintrin.h>

#define WF_AMX_CONFIGURE(config) _tile_loadconfig(config)
#define WF_AMX_RELEASE() _tile_release()
#define WF_AMX_ZERO(t) _tile_zero(t)
#define WF_AMX_LOAD(t, p, stride) _tile_loadd(t, p, stride)
#define WF_AMX_STORE(t, p, stride) _tile_stored(t, p, stride)
#define WF_AMX_DOT(c, a, b) _tile_dpbf16ps(c, a, b)

#endif
#endif
