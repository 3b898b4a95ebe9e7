/* Fusion: which elementwise nodes are computed in one launch.
 *
 * Invariants
 *   - Launches stand in the order of `when`; when[id] >= id. A group is launched at its last member
 *     (the one with the largest id), everything else at its own id; but a view that is only another
 *     way to see a member waits for it, and so does a reduction that nobody wants earlier.
 *   - A value that leaves its group is read by later launches only: for every reader r of a member
 *     u outside u's group, when[r] > when[u]. So groups and the nodes between them form no cycle.
 *   - Members of a group have one number of elements in one row-major order; their shapes are
 *     coarsenings of `space`. Nothing is computed twice. */
#ifndef WEFT_FUSE_H
#define WEFT_FUSE_H

#include "compiler/pass.h"

/* Why two neighbours are not in one group. */
#define WF_APART_MAP(X)                                                                            \
    X(NOT, "fused")                                                                                \
    X(KIND, "not elementwise")                                                                     \
    X(COUNT, "another number of elements: it would be computed again and again")                  \
    X(ORDER, "seen through a view that changes the order or takes a part")                         \
    X(SHAPE, "shapes without a common refinement")                                                 \
    X(EARLIER, "something between them needs it earlier")                                          \
    X(LIMIT, "the group is full")

typedef enum wf_apart {
#define X(name, text) WF_APART_##name,
    WF_APART_MAP(X)
#undef X
        WF_N_APART
} wf_apart;
const char *wf_apart_text(wf_apart why);

typedef struct wf_fused {
    uint32_t first, n;  /* members: fusion->member[first .. first + n), ascending */
    uint32_t deferred;  /* the first view or reduction that waits for it, 0: none; then ->next */
    wf_shape space;     /* the common refinement of the members' shapes */
} wf_fused;

typedef struct wf_fusion {
    uint32_t *group;   /* (nodes) of a member, counted from 1; 0: launched alone */
    uint32_t *when;    /* (nodes) */
    uint32_t *base;    /* (nodes) through views that keep count and order, the value that it is */
    uint32_t *next;    /* (nodes) the next view that waits for the same group */
    bool *stored;      /* (nodes) of a member: somebody outside needs it */
    wf_fused *list;    /* (n + 1) list[0] is none */
    uint32_t *member;
    uint32_t n;
} wf_fusion;

/* Finds groups in s; without `on` all nodes are alone. views: VIEW nodes may share storage. */
wf_status wf_fuse(wf_fusion *f, const wf_stage *s, bool views, bool on);
void wf_fusion_free(wf_fusion *f);

/* True if the node can be a member of a group at all. */
bool wf_fusible(const wf_graph *g, uint32_t id);

/* True if the operation adds, multiplies and compares only, so that computing it again costs less
 * than storing it; a conversion from bf16 always does (repeat.c). */
bool wf_fuse_cheap(const wf_op *op);
bool wf_fuse_widens(const wf_graph *g, uint32_t id);

/* Why `by`, which reads `id`, is not in its group; first: it is the earliest that reads it. */
wf_apart wf_fusion_apart(const wf_fusion *f, const wf_graph *g, uint32_t id, uint32_t by,
                         bool first);

#endif
