/* What the rules of simplify share. A rule looks at one node of the graph that is being built,
 * whose operands are simplified already, and returns the id of an equal value, or 0 to leave it
 * alone. */
#ifndef WEFT_SIMPLIFY_H
#define WEFT_SIMPLIFY_H

#include "compiler/pass.h"

typedef struct wf_simplify {
    wf_graph *to;
    uint32_t *best;      /* (cap) the simplified equal of a node of `to`, 0 while unknown */
    uint32_t cap;
    uint8_t *fact;       /* (fact_cap) what range.c knows of the sign of each node of `to` */
    uint32_t fact_cap;
    bool failed;         /* memory is out */
    unsigned char *room; /* WF_FOLD_BYTES for folding */
} wf_simplify;

enum { WF_FOLD_ELEMENTS = 4096, WF_FOLD_BYTES = 8 * WF_FOLD_ELEMENTS };

typedef uint32_t wf_simplify_rule(wf_simplify *s, uint32_t id);

/* The simplified equal of a node that a constructor has just returned; 0 for poison. */
uint32_t wf_settle(wf_simplify *s, wf_tensor t);

static inline const wf_node *wf_s_node(const wf_simplify *s, uint32_t id) {
    return wf_graph_node(s->to, id);
}
static inline wf_tensor wf_s_in(const wf_simplify *s, uint32_t id, uint32_t i) {
    return wf_handle(s->to, wf_node_in(s->to, id)[i]);
}

/* True if all elements of the value are the same number. Nonuniform constants are told by their
 * operation alone, as simplify turns uniform ones into `full` when it meets them. */
bool wf_s_uniform(const wf_simplify *s, uint32_t id, double *value);
bool wf_s_is(const wf_simplify *s, uint32_t id, double value); /* uniform, and this number */

/* `full` of the type of node `like`. */
uint32_t wf_s_full(wf_simplify *s, uint32_t like, double value);
/* x in the shape of node `like`, to which it broadcasts. */
uint32_t wf_s_expanded(wf_simplify *s, wf_tensor x, uint32_t like);

/* The rules, each group in its file. */
wf_simplify_rule wf_rule_fold;             /* fold.c */
wf_simplify_rule wf_rule_operands, wf_rule_algebra, wf_rule_sum_terms, wf_rule_reduce,
    wf_rule_contract;                      /* algebra.c */
wf_simplify_rule wf_rule_view, wf_rule_pad, wf_rule_slice_of_parts; /* views.c */
wf_simplify_rule wf_rule_disjoint_pads;    /* pads.c */
wf_simplify_rule wf_rule_range;            /* range.c */

#endif
