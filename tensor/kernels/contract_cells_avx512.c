/* Micro kernels on cells for AVX-512 without products of bf16 pairs: 12 x 32, 24 accumulators, four
 * vectors of b, the operand of a in two parts and a mask. */
#if defined(__AVX512F__)
#include <immintrin.h>

#define VECTOR __m512
#define LANES 16
#define COLUMNS 32
#define MOST_ROWS 12
#define ZERO _mm512_setzero_ps
#define LOAD _mm512_loadu_ps
#define ALL_OF(p) _mm512_set1_ps(wf_cell_at(p))
#define STORE _mm512_storeu_ps
#define ADD _mm512_add_ps
#define FMA _mm512_fmadd_ps
#define ODD(x) _mm512_and_ps(x, _mm512_castsi512_ps(_mm512_set1_epi32(-65536)))
#define EVEN(x) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x), 16))
#define EACH WF_TILE_EACH_12
#define ROWS WF_TILE_ROWS_12
#define TABLE wf_tile_cells_avx512
#define NAME "avx512 cells"
#include "tensor/kernels/contract_cells.inc"
#endif
