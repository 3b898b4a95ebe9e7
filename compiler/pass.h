/* What a pass is: it reads a stage (a graph and its roots) and leaves a new stage.
 *
 * Invariants
 *   - A pass never changes the graph it reads; it emits a new one (wf_graph_like) in one forward
 *     loop, remap[old] = emit(...), with scopes and names kept. Only live nodes are looked at.
 *   - Roots keep their number and order: the program's outputs, then the assignments.
 *   - The verifier holds before and after every pass.
 *
 * The header of a file that makes a pass has an example, which is run as a test. It is an indented
 * block (" *   "): a whole graph as text, an arrow with the name of the pass (--merge-->), and the
 * whole text that the pass, run alone, makes of it. The two stand side by side, the second in the
 * column where the arrow's line goes on, or one below the other with the arrow on a line of its
 * own; there a line that is indented further goes on with the one before. Outputs are what nothing
 * reads, or what an "outputs" line lists. Where the second does not begin with %, it is the text of
 * the groups' kernels. The name of a mode, bf16, means precision in that mode. An arrow without a
 * name is an illustration. */
#ifndef WEFT_PASS_H
#define WEFT_PASS_H

#include "compiler/compiler.h"
#include "tensor/graph.h"

typedef struct wf_stage {
    wf_graph *graph;
    uint32_t *root; /* (n_root) */
    uint32_t n_root;
} wf_stage;

void wf_stage_free(wf_stage *s); /* graph and roots */

/* One forward loop over the live nodes of `from`. */
typedef struct wf_rewrite {
    const wf_graph *from;
    wf_graph *to;
    uint32_t *readers; /* (size of from) number of edges from live nodes and roots; 0: dead */
    uint32_t *map;     /* (size of from) id in `to`, 0 while not emitted */
} wf_rewrite;

/* Emits the equivalent of node `id` of r->from into r->to, whose scope is set, and returns its id
 * there; `in` are its operands, already mapped. 0 with a poisoned r->to is an error. */
typedef uint32_t wf_rewrite_fn(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user);

/* Runs fn over `in` and leaves the result in *out (zeroed on failure). */
wf_status wf_rewrite_stage(const wf_stage *in, wf_stage *out, wf_rewrite_fn *fn, void *user);

/* The same in another order: the live nodes order[0 .. n), operands before readers. */
wf_status wf_rewrite_ordered(const wf_stage *in, wf_stage *out, const uint32_t *order, uint32_t n,
                             wf_rewrite_fn *fn, void *user);

/* The plain rewrite: the same node over mapped operands. Leaves are copied. */
uint32_t wf_rewrite_same(wf_rewrite *r, uint32_t id, const wf_tensor *in, void *user);

/* Checks every invariant of a graph that a pass could break: topological order, operand counts,
 * types equal to what the shape rule infers, roots in range. WF_INTERNAL with pass, node and
 * reason. */
wf_status wf_verify(const wf_stage *s, const char *after);

/* --- the passes, each in the file of its name; before/after examples are there ---------------- */
wf_status wf_pass_copy(const wf_stage *in, wf_stage *out); /* live nodes only; the first stage */
wf_status wf_pass_simplify(const wf_stage *in, wf_stage *out);
wf_status wf_pass_merge(const wf_stage *in, wf_stage *out);

/* Parts of merge; where there is nothing to do they leave *out without a graph. */
wf_status wf_pass_siblings(const wf_stage *in, wf_stage *out);
wf_status wf_pass_part_sums(const wf_stage *in, wf_stage *out);
wf_status wf_pass_slice_sums(const wf_stage *in, wf_stage *out);

wf_status wf_pass_precision(const wf_stage *in, wf_stage *out, wf_precision mode); /* not AUTO */
wf_status wf_pass_sink(const wf_stage *in, wf_stage *out);   /* part of fuse */
wf_status wf_pass_repeat(const wf_stage *in, wf_stage *out); /* part of fuse */

/* The graph as the pass `stage` leaves it ("plan": as it is planned), without making a program. For
 * pictures. Errors: those of wf_compile; WF_NOT_FOUND. Owner: the caller, wf_stage_free. */
wf_status wf_stage_make(wf_stage *out, wf_graph *g, const wf_tensor *outputs, int n,
                        wf_compile_opt o, const char *stage);

/* The stage as text, with its outputs. */
wf_status wf_stage_write(const wf_stage *s, FILE *f);

/* True if WF_DEBUG lists `stage` (names separated by commas). */
bool wf_debug_wants(const char *stage);

#endif
