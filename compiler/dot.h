/* What the files of the DOT writer share: how a graph becomes boxes, arrows and clusters.
 *
 *   nodes --fold--> classes --merge--> boxes --write--> text
 *
 * A class is a set of nodes that play the same part: the same operation of nineteen time steps,
 * or of seventy parameters. A box is what is drawn: a class, or several classes of one scope.
 *
 * Invariants
 *   - Every order comes from node ids, never from addresses: two runs give the same bytes.
 *   - A level is one way to fold. Levels are tried from fine to coarse until the boxes are few
 *     enough; the last one, a box or two a kind of node, always is. */
#ifndef WEFT_DOT_H
#define WEFT_DOT_H

#include "compiler/plan.h"
#include "compiler/profile.h"

enum { WF_DOT_NUMBERS = 6 }; /* numbers of a scope path that are folded, at most */

typedef enum wf_dot_kind {
    WF_DOT_OPERATION,
    WF_DOT_ASSIGN,
    WF_DOT_LEAF,
    WF_DOT_CONST,
    WF_DOT_INPUT,
    WF_N_DOT_KIND
} wf_dot_kind;

/* How to fold. */
typedef struct wf_dot_level {
    bool fold;     /* classes; else every node is one */
    bool shapes;   /* nodes of a class have equal shapes */
    bool digits;   /* all numbers of a path are folded, not only those at the end of a component */
    bool merge;    /* elementwise operations and views of one scope that touch are one box */
    bool whole;    /* a scope is one box; paths are cut after `depth` components */
    uint32_t depth;
} wf_dot_level;

/* A cluster: a component of a canonical path, in which WF_DOT_HOLE stands for a folded number. */
#define WF_DOT_HOLE '\1'
typedef struct wf_dot_cluster {
    uint32_t parent;
    const char *text;
    uint32_t n_hole;
    int64_t lo[WF_DOT_NUMBERS], hi[WF_DOT_NUMBERS];
    uint32_t scopes;      /* that end here */
} wf_dot_cluster;

/* Of one scope number of the graph. Numbers stand in the order of the path. */
typedef struct wf_dot_scope {
    uint32_t cluster;
    bool used;
    uint32_t n;
    int64_t number[WF_DOT_NUMBERS];
} wf_dot_scope;

typedef struct wf_dot_class {
    uint32_t rep;         /* a member: all else about the class is told by it */
    uint32_t count;
    uint32_t cluster;
    wf_dot_kind kind;
    uint32_t box;
} wf_dot_class;

typedef struct wf_dot_box {
    uint32_t id;          /* the smallest node of it: its name in the text */
    uint32_t cluster;
    wf_dot_kind kind;
    uint32_t classes, nodes;
    uint32_t last;        /* the class with the largest representative: its result */
    uint32_t first_member; /* of dot->member, which lists nodes by box and id */
    bool output;          /* holds an output of the program */
} wf_dot_box;

typedef struct wf_dot_edge {
    uint32_t from, to;    /* boxes; of a link classes */
    char lag[24];         /* "": same step; "t-1": from the step before */
    uint32_t value, scope; /* of a link: the node, and the scope that reads it */
    uint32_t count;       /* of values */
    size_t bytes;
} wf_dot_edge;

/* What the plan did with one node. */
typedef struct wf_dot_stored {
    uint32_t launch;      /* that makes it, UINT32_MAX: none */
    uint32_t copies;
    uint32_t storage;     /* 0: none known */
    int64_t offset;       /* bytes in the storage */
    uint32_t inplace;     /* the operand whose place it takes, 0 if none */
    uint32_t group;       /* that it is a member of, counted from 1; 0: none */
    bool reference;       /* no tuned kernel */
} wf_dot_stored;

typedef struct wf_dot {
    const wf_graph *graph;
    const wf_plan *plan;  /* NULL: not drawn */
    const wf_fusion *fusion; /* NULL: not drawn */
    const wf_profile *profile; /* NULL: not drawn */
    const uint32_t *output; /* (n_output) nodes */
    uint32_t n_output, n;   /* n: size of the graph */
    uint32_t *reader0;    /* (n + 1) */
    uint32_t *reader;     /* ids of readers, by what they read */
    bool *hidden;         /* (n) uniform constants: written into their readers */
    wf_dot_stored *stored; /* (n), NULL without a plan */
    uint32_t *group_mark; /* (groups + 1), scratch of wf_dot_group_label */
    double *heat;         /* (n) seconds a run, NULL without a profile */
    double run_seconds;   /* of a run */
    wf_arena mem;         /* all above */

    wf_dot_level level;
    wf_dot_cluster *cluster; /* (n_cluster), cluster[0] is the graph */
    wf_dot_scope *scope;     /* (n_scope) */
    uint32_t *class_of;      /* (n), UINT32_MAX if hidden */
    wf_dot_class *class_;    /* (n_class) */
    uint32_t *class_group;   /* (n_class) of the fusion's list, 0: none */
    wf_dot_box *box;         /* (n_box) by id */
    uint32_t *member;        /* (n) */
    wf_dot_edge *link;       /* (n_link) by from, to */
    wf_dot_edge *edge;       /* (n_edge) by from, to, lag */
    uint32_t n_cluster, n_scope, n_class, n_link, n_box, n_edge;
    uint32_t n_output_box; /* boxes with outputs; each is drawn with a mark of its own */
    wf_arena level_mem;   /* of the level */
} wf_dot;

static inline const wf_node *wf_dot_node(const wf_dot *d, uint32_t id) {
    return wf_graph_node(d->graph, id);
}
static inline uint64_t wf_dot_mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}
uint64_t wf_dot_mix_text(uint64_t h, const char *text);
wf_dot_kind wf_dot_kind_of(const wf_node *x);
/* The bytes of a node's value. */
size_t wf_dot_bytes(const wf_node *x);

/* A table from hashes, which are taken for what they stand for, to numbers. */
typedef struct wf_dot_map {
    uint64_t *key;        /* 0 is free */
    uint32_t *value;
    uint32_t mask;
} wf_dot_map;
bool wf_dot_map_init(wf_dot_map *m, wf_arena *mem, uint32_t n); /* for up to n entries */
uint32_t *wf_dot_map_at(wf_dot_map *m, uint64_t key); /* UINT32_MAX where it is new */

/* Each returns WF_OK or WF_MEMORY. */
wf_status wf_dot_no_memory(void);
wf_status wf_dot_scopes(wf_dot *d);  /* dot_scope.c: clusters */
wf_status wf_dot_classes(wf_dot *d); /* dot_fold.c */
wf_status wf_dot_links(wf_dot *d);   /* dot_edge.c */
wf_status wf_dot_boxes(wf_dot *d);   /* dot_merge.c */
wf_status wf_dot_edges(wf_dot *d);   /* dot_edge.c */
wf_status wf_dot_stored_find(wf_dot *d); /* dot_plan.c */
wf_status wf_dot_groups(wf_dot *d);  /* dot_group.c: class_group */
wf_status wf_dot_heat_find(wf_dot *d); /* dot_heat.c: heat */

/* dot_scope.c: "t-1" if `from` is the step before `to`; "" if they are of one step or not
 * comparable. */
void wf_dot_lag(const wf_dot *d, uint32_t from, uint32_t to, char text[24]);

/* A text that grows; `failed` once memory is out. */
typedef struct wf_dot_text {
    char *at;
    size_t n, cap;
    bool failed;
} wf_dot_text;
void wf_dot_put(wf_dot_text *t, const char *format, ...) WF_PRINTF(2, 3);
/* Any bytes as they may stand between quotes of DOT: quotes and backslashes escaped, control
 * characters and what is no UTF-8 as \xHH. Cut after `most` characters, with an ellipsis. */
void wf_dot_put_escaped(wf_dot_text *t, const char *bytes, size_t most);
/* Bytes of the UTF-8 character at s, 0 if there is none. */
size_t wf_dot_utf8_length(const unsigned char *s);
/* "12.3 MB", "4.5 GFLOP": three digits, decimal point in every locale. */
void wf_dot_put_amount(wf_dot_text *t, double v, const char *unit);

/* dot_label.c: the lines of a box, "\n" between them, escaped; what a cluster is called. */
void wf_dot_box_label(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t);
void wf_dot_cluster_label(const wf_dot *d, const wf_dot_cluster *c, wf_dot_text *t);
/* dot_group.c: the line about groups, with its "\n" in front; the number of class c's, 0: none. */
void wf_dot_group_label(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t);
uint32_t wf_dot_group_number(const wf_dot *d, uint32_t c);
/* dot_heat.c: the line about time, with its "\n" in front, if there is any; the colour of a
 * box by it; the line in the title; the time of a box. All but label and title need d->heat. */
void wf_dot_heat_label(const wf_dot *d, const wf_dot_box *b, double flops, wf_dot_text *t);
const char *wf_dot_heat_colour(const wf_dot *d, const wf_dot_box *b);
void wf_dot_heat_title(const wf_dot *d, wf_dot_text *t);
double wf_dot_heat_of(const wf_dot *d, const wf_dot_box *b);
void wf_dot_put_time(const wf_dot *d, double seconds, wf_dot_text *t); /* "1.23 ms 4.5 %" */
/* dot_plan.c: lines about storage, each with its "\n" in front. */
void wf_dot_plan_label(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t);
void wf_dot_plan_title(const wf_dot *d, wf_dot_text *t);

#endif
