/* What the parts of the merging of siblings share; see siblings.c. Ids are nodes of the stage that
 * is read. */
#ifndef WEFT_SIBLINGS_H
#define WEFT_SIBLINGS_H

#include "compiler/pass.h"
#include "tensor/contract.h"

/* Lists of values that are to lie side by side, each list once; 0 stands for zeros. */
typedef struct wf_lists {
    uint32_t *pool;    /* (n_pool) */
    struct wf_list {
        uint32_t at, n; /* in the pool */
        uint64_t hash;
    } *list;           /* (n_list) list[0] is none */
    uint32_t *slot;    /* (n_slot) open addressing by hash, a power of two */
    uint32_t n_pool, pool_cap, n_list, list_cap, n_slot;
} wf_lists;

/* The number of the list, which is added if `add`; 0: not there, or memory is out. */
uint32_t wf_lists_find(wf_lists *l, const uint32_t *id, uint32_t n, bool add);
static inline const uint32_t *wf_list_ids(const wf_lists *l, uint32_t list) {
    return l->pool + l->list[list].at;
}
void wf_lists_free(wf_lists *l);

/* Nodes that are emitted together, each bundle after all that its members read and `need`. */
typedef struct wf_bundle {
    uint32_t first, n, n_need; /* in the pool: members, then needs */
} wf_bundle;

typedef struct wf_bundles {
    const wf_graph *g;
    uint32_t *of;    /* (nodes) in list[], 0: by itself */
    wf_bundle *list; /* list[0] is none */
    uint32_t *pool, n_pool, pool_cap, n_list, list_cap;
} wf_bundles;

bool wf_bundles_init(wf_bundles *b, const wf_graph *g); /* false: memory is out; so below */
/* Zeros among members and needs are left out. At least one member. */
bool wf_bundles_add(wf_bundles *b, const uint32_t *member, uint32_t n, const uint32_t *need,
                    uint32_t n_need);
void wf_bundles_free(wf_bundles *b);
/* The live nodes with bundles together, to be freed by the caller; NULL: memory is out. There must
 * be no cycle through bundles. */
uint32_t *wf_bundles_order(const wf_bundles *b, const bool *live, uint32_t *n);

/* A member of a group: a contraction, or none (a weight that only makes the list complete). */
typedef struct wf_sibling {
    uint32_t id;
    int64_t n; /* extent along the group's loop */
} wf_sibling;

/* Contractions that become one: source s of it reads list[s] of B side by side along the loop. */
typedef struct wf_siblings {
    uint32_t first, n;    /* in sibling[] */
    uint32_t list;        /* in source_list[], one for each source of `base` */
    uint32_t base;        /* the member with all sources */
    int loop;
    bool weights;         /* B are weights; else values that are computed side by side */
} wf_siblings;

/* Sources of one contraction that become one: their A and B side by side along a sum loop. */
typedef struct wf_source_fold {
    uint32_t a, b;        /* lists; a 0: there is nothing to fold */
    int like;             /* the source that they are all like */
} wf_source_fold;

typedef struct wf_family {
    const wf_graph *g;
    uint32_t *order;      /* (n_order) live nodes, operands before readers, groups together */
    uint32_t n_order;
    bool *live, *root, *weight, *placed, *terminal;
    int8_t *beside;       /* (nodes) 1 + axis of the concat that reads it */
    uint32_t *depth;      /* (nodes) contractions above the value, and itself */
    uint32_t *group;      /* (nodes) of a contraction: in group[], 0: none */
    uint32_t *fold;       /* (nodes) of a contraction: in folds[], 0: none */
    uint32_t *home;       /* (nodes) the first list that a value lies in */
    uint32_t *widest;     /* (nodes) of a weight: the longest list that it is in */
    uint32_t *rank;       /* (nodes) 1 + the place that a value takes in lists */
    wf_lists lists;
    wf_siblings *groups;  /* (n_groups) groups[0] is none */
    wf_sibling *sibling;
    uint32_t *source_list;
    wf_source_fold *folds;
    uint32_t n_groups, group_cap, n_sibling, sibling_cap, n_source_list, source_list_cap;
    uint32_t n_folds, fold_cap;
    bool failed;          /* memory is out */
} wf_family;

/* Decides what becomes one. */
wf_status wf_family_find(wf_family *f, const wf_stage *s);
wf_status wf_family_order(wf_family *f); /* then: f->order */
void wf_family_free(wf_family *f);

/* True if source s of contraction `id` can be folded with its source `like`. */
bool wf_family_folds(const wf_family *f, uint32_t id, int s, int like);
/* The loop that they are folded along, an axis of A and of B; -1: there is none. */
int wf_family_depth_loop(const wf_family *f, uint32_t id, int source);

/* The axis of side `side` (0: A, 1: B) that alone on its side depends on `loop`, and is the loop as
 * it is. -1: none depends on it; -2: otherwise, or a guard does. */
int wf_family_axis(const wf_contract_source *s, int loop, int side);

/* The whole, or one slice, if x are slices of one value along the axis that follow each other;
 * else their concat. */
wf_tensor wf_side_by_side(const wf_tensor *x, int n, int axis);

#endif
