/* The contraction: the one sum of products behind matmul, einsum and convolution in all directions.
 *
 *   out[o..] = sum over sources s, and over the sum loops k.. of s, of A_s[..] * B_s[..]
 *
 * The inputs are A_0, B_0, A_1, B_1, ... A source has loops: the output loops, one for each axis of
 * out, in order and shared by all sources (numbers 0 .. rank-1), and its own sum loops (numbers
 * rank .. rank+n_sum-1). Every axis of an operand carries a relation
 *
 *   div * index = ca * loop_a + cb * loop_b + offset
 *
 * and a term counts only if the right side is divisible by div and 0 <= index < extent of the axis;
 * else it is 0. A guard is a relation of an axis that nothing is stored along: it only decides
 * whether a term counts. With these the operation is closed under differentiation:
 *
 *   forward          h  = stride * oh + dilation * kh - pad       oh out, kh sum
 *   data gradient    oh = (h + pad - dilation * kh) / stride      h out, kh sum
 *   weight gradient  h  = stride * oh + dilation * kh - pad       kh out, oh sum
 *
 * Invariants
 *   - Attributes are plain bytes: a header and n_sources sources, unused entries zero.
 *   - A packed B (rank 1, made by the operation `pack`) stands in the panel layout of
 *     wf_packed_index, or wf_packed_half; its relations are gone, the zeros of its padding are
 *     stored. */
#ifndef WEFT_CONTRACT_H
#define WEFT_CONTRACT_H

#include "tensor/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WF_CONTRACT_SUMS = 16,                              /* sum loops of a source, at most */
    WF_CONTRACT_LOOPS = WF_MAX_RANK + WF_CONTRACT_SUMS, /* output and sum loops */
    WF_CONTRACT_GUARDS = 4,
    WF_PANEL = 32 /* columns of a panel of packed B */
};
#define WF_BF16_MOST 0x1.fep127 /* the largest finite bf16 */

typedef struct wf_relation {
    int64_t ca, cb, offset, div; /* div >= 1 */
    int32_t a, b;                /* loops, -1: none (its coefficient is 0 then) */
} wf_relation;

typedef struct wf_guard {
    wf_relation r;
    int64_t extent;
} wf_guard;

typedef struct wf_contract_source {
    int32_t n_sum, rank_a, rank_b, n_guards;
    int32_t packed;                  /* B is in panel layout */
    uint32_t batch_loops, col_loops; /* packed: output loops that choose a matrix; a column of it */
    uint32_t zero;
    int64_t sum[WF_CONTRACT_SUMS];   /* extents of the sum loops */
    wf_relation a[WF_MAX_RANK], b[WF_MAX_RANK];
    wf_guard guard[WF_CONTRACT_GUARDS];
} wf_contract_source;

/* What the products are of. Sums are in f32 in every mode (f64 for f64 operands, which compute in
 * WF_COMPUTE_F32 only).
 *   F32    the operands as they are
 *   F32X3  x = hi + lo, hi = x rounded to bf16 and lo = the rest rounded; products hi hi, hi lo and
 *          lo hi: within 1e-5 of F32
 *   BF16   the operands rounded to bf16, nearest even */
typedef enum wf_compute { WF_COMPUTE_F32, WF_COMPUTE_F32X3, WF_COMPUTE_BF16 } wf_compute;

typedef struct wf_contract_attr {
    int32_t n_sources, rank;
    int32_t compute; /* wf_compute; in F32X3 and BF16 each operand may be f32 or bf16 */
    int32_t narrow;  /* and the result is rounded to bf16 if this is 1, not 0 */
    int64_t out[WF_MAX_RANK];
    wf_contract_source source[];
} wf_contract_attr;

extern const wf_op wf_op_contract, wf_op_pack;

static inline size_t wf_contract_attr_bytes(int n_sources) {
    return sizeof(wf_contract_attr) + (size_t)n_sources * sizeof(wf_contract_source);
}

/* index = loop. */
static inline wf_relation wf_plain(int loop) {
    return (wf_relation){.ca = 1, .div = 1, .a = loop, .b = -1};
}
static inline bool wf_is_plain(const wf_relation *r) {
    return r->a >= 0 && r->b < 0 && r->ca == 1 && r->offset == 0 && r->div == 1;
}
static inline int64_t wf_loop_extent(const wf_contract_attr *c, const wf_contract_source *s,
                                     int l) {
    return l < c->rank ? c->out[l] : s->sum[l - c->rank];
}
/* The loops that a relation list uses, as bits. */
uint32_t wf_relation_loops(const wf_relation *r, int n);

/* --- building --------------------------------------------------------------------------------- */

/* One source: out[..] of extents `out`, from a and b with the relations in s. */
wf_tensor wf_contract(wf_shape out, const wf_contract_source *s, wf_tensor a, wf_tensor b);

/* The same, computed in this mode; `narrow`: with a bf16 result. */
wf_tensor wf_contract_in(wf_compute compute, bool narrow, wf_shape out,
                         const wf_contract_source *s, wf_tensor a, wf_tensor b);

/* Contract node `id` of g emitted anew on operands `in` in another mode. None of its sources may be
 * packed. */
wf_tensor wf_contract_recast(const wf_graph *g, uint32_t id, const wf_tensor *in,
                             wf_compute compute, bool narrow);

/* The sum of two contractions (handles of contract nodes of one shape, dtype and mode) as one
 * contraction with the sources of both, those of a first; A and B of a source are exchanged where
 * that makes its rows those of the first. */
wf_tensor wf_contract_join(wf_tensor a, wf_tensor b);
wf_tensor wf_contract_join_n(const wf_tensor *t, int n); /* of t[0 .. n), n >= 1 */

/* True if joining keeps the kernels of both: the output loops that choose rows and columns in one
 * do so in the other. */
bool wf_contract_may_join(wf_tensor a, wf_tensor b);

/* The contraction t without source i: what is left when an operand is known to be zero. t must have
 * at least two sources. */
wf_tensor wf_contract_drop(wf_tensor t, int i);

/* --- packing B -------------------------------------------------------------------------------- */

/* Bit i: B of source i (below 64) of contract node `id` should be a packed array: the fast path
 * applies to the node when its operands are dense, it would itself pack this B as a whole, and B is
 * not an activation that is summed over its pixels. */
uint64_t wf_contract_wants_pack(const wf_graph *g, uint32_t id);

/* The node that packs this source's B, given as a handle `b` in the graph that is being built,
 * which may be another graph than g. */
wf_tensor wf_contract_pack(const wf_graph *g, uint32_t id, int source, wf_tensor b);

/* Contract node `id` of g emitted anew on operands `in` (n = 2 sources), where in[2 i + 1] is the
 * result of wf_contract_pack wherever bit i of `packed` is set. Sources that were packed before
 * stay packed. */
wf_tensor wf_contract_with_packed(const wf_graph *g, uint32_t id, const wf_tensor *in,
                                         uint64_t packed);

/* The panel layout: matrix `batch`, row k of n_k, column n of n_cols. Panels hold WF_PANEL columns,
 * k by k; the columns past n_cols of the last panel are 0. */
static inline int64_t wf_packed_index(int64_t n_k, int64_t n_cols, int64_t batch, int64_t k,
                                      int64_t n) {
    const int64_t panels = (n_cols + WF_PANEL - 1) / WF_PANEL;
    return ((batch * panels + n / WF_PANEL) * n_k + k) * WF_PANEL + n % WF_PANEL;
}
/* In F32X3 and BF16 a packed B is bf16, the panels of cells: two values adjacent in k, the even one
 * first. Pairs are cut from runs of k, in which an odd end is followed by a 0: the innermost sum
 * loop of more than one step, or all loops as one run where that saves much padding. */
typedef struct wf_pairs {
    int64_t run, cells; /* k in a run; pairs of all runs */
    int loop;           /* the sum loop that is a run; -1: all of them are */
} wf_pairs;
wf_pairs wf_contract_pairs(const wf_contract_source *s);
/* Where value k of column n of the panel is, which is counted with its batch, in the hi part or,
 * for F32X3, in the lo part that follows the hi part of each panel. `parts`: 1, for F32X3 2. */
static inline int64_t wf_packed_half(const wf_pairs *p, int parts, int64_t panel, int64_t k,
                                     int64_t n, int part) {
    const int64_t cell = k / p->run * ((p->run + 1) / 2) + k % p->run / 2;
    return (((panel * parts + part) * p->cells + cell) * WF_PANEL + n) * 2 + k % p->run % 2;
}
/* Elements of the packed B of source s; -1 on overflow. */
int64_t wf_packed_count(const wf_contract_attr *c, const wf_contract_source *s);

/* --- inside the operation --------------------------------------------------------------------- */

/* Shape rule: a relation stays far from overflow; the loops of a packed operand exist. */
bool wf_contract_check(wf_infer *q, const wf_contract_source *s, const wf_relation *r);
bool wf_contract_check_masks(wf_infer *q, const wf_contract_source *s);

/* "f32", "f32x3", "bf16". */
const char *wf_compute_name(int compute);

/* Attributes as text (contract_text.c). */
void wf_contract_print(const void *attr, wf_text *t);
bool wf_contract_parse(wf_attr_parse *p);
void wf_pack_print(const void *attr, wf_text *t);
bool wf_pack_parse(wf_attr_parse *p);

/* Reference evaluation of the output elements [first, last) in row-major order. */
void wf_contract_eval(const wf_call *c, int64_t first, int64_t last);
void wf_contract_grad(const wf_grad_call *c);
extern const wf_fast wf_contract_fast;

#ifdef __cplusplus
}
#endif
#endif
