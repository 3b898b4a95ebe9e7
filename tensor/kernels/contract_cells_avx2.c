/* Micro kernels on cells for AVX2 with fused multiply-add: 4 x 16, as eight accumulators, four
 * vectors of b and the operand of a in two parts fill the 16 registers. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#define VECTOR __m256
#define LANES 8
#define COLUMNS 16
#define MOST_ROWS 4
#define ZERO _mm256_setzero_ps
#define LOAD _mm256_loadu_ps
#define ALL_OF(p) _mm256_set1_ps(wf_cell_at(p))
#define STORE _mm256_storeu_ps
#define ADD _mm256_add_ps
#define FMA _mm256_fmadd_ps
#define ODD(x) _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(-65536)))
#define EVEN(x) _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 16))
#define EACH WF_TILE_EACH_4
#define ROWS WF_TILE_ROWS_4
#define TABLE wf_tile_cells_avx2
#define NAME "avx2 cells"
#include "tensor/kernels/contract_cells.inc"
#endif
