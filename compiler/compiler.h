/* From graph to program. The public face of compiler/.
 *
 *   graph --passes--> graph --plan--> launches with fixed arguments and planned storage
 *
 * A program is compiled once and run many times; a run allocates nothing, decides nothing, and
 * gives the same bits for every number of threads. It keeps no pointer into the graph, which may
 * be freed; it keeps the buffers of leaves (wf_leaf), which must outlive it. */
#ifndef WEFT_COMPILER_H
#define WEFT_COMPILER_H

#include <stdio.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wf_program wf_program;

/* In which arithmetic contractions of f32 are computed; f64 stays f64. All else is computed in f32,
 * and sums in f64. Results do not depend on the number of threads in any mode.
 *   F32    fp32 multiply-add
 *   F32X3  operands split into two bf16 halves, three products, sums in fp32: within 1e-5 of F32
 *   BF16   operands rounded to bf16, sums in fp32. What contractions read, and what is kept for the
 *          backward pass, is stored as bf16; carries, statistics, losses, weights, optimiser state,
 *          outputs and assigned values stay fp32
 *   AUTO   F32X3 where the machine multiplies tiles of bf16 (AMX), else F32 */
typedef enum wf_precision {
    WF_PRECISION_AUTO,
    WF_PRECISION_F32,
    WF_PRECISION_F32X3,
    WF_PRECISION_BF16
} wf_precision;

/* "auto", "f32", "f32x3", "bf16"; NULL if there is no such mode. */
WF_API const char *wf_precision_name(wf_precision p);
/* The mode of this name into *p. Errors: WF_ARGUMENT. */
WF_API wf_status wf_precision_parse(wf_precision *p, const char *name);
/* What AUTO is on this machine; any other mode is itself. */
WF_API wf_precision wf_precision_resolve(wf_precision p);

/* The passes, in order; each can be switched off (to bisect, and for tests). Name, text. */
#define WF_PASS_MAP(X)                                                                             \
    X(SIMPLIFY, "simplify") /* fold, common subexpressions, algebra, facts, pads, dead code */     \
    X(MERGE, "merge")       /* packed operands as nodes; sums of contractions */                   \
    X(PRECISION, "precision") /* compute and storage types; off: all is f32 (or f64) */            \
    X(FUSE, "fuse")         /* elementwise work in groups, each one pass over memory */            \
    X(CHAIN, "chain")       /* kernels one after another on a block of rows in cache */            \
    X(INPLACE, "inplace")   /* storage reuse, views and placement without copies */                \
    X(ALONE, "alone")       /* launches too small to share run on one worker, without barriers */  \
    X(FAST, "fast")         /* tuned kernels; off: the reference evaluators */                     \
    X(CODE, "code")         /* groups as machine code (WF_JIT); off: the tile interpreter */

enum wf_pass {
#define X(name, text) WF_PASS_INDEX_##name,
    WF_PASS_MAP(X)
#undef X
        WF_N_PASS
};
enum {
#define X(name, text) WF_PASS_##name = 1 << WF_PASS_INDEX_##name,
    WF_PASS_MAP(X)
#undef X
        WF_PASS_ALL = (1 << WF_N_PASS) - 1
};

typedef struct wf_compile_opt {
    wf_precision precision;
    int threads;      /* 0: wf_threads() */
    unsigned off;     /* passes to leave out: WF_PASS_SIMPLIFY | ... */
    size_t memory;    /* bytes for intermediate values, at most; what does not fit is computed again
                         when it is needed, with the same bits. 0: no limit */
    bool no_assign;   /* leave out the graph's assignments (default: all of them are effects) */
    size_t most_bytes; /* refuse a plan of more (arena, buffers, scratch) before any of it is
                          mapped: WF_MEMORY, both numbers in the message; 0: no limit */
} wf_compile_opt;

/* Compiles outputs[0 .. n) and, unless o.no_assign, every wf_assign of the graph.
 * Errors: WF_MODEL with the graph's message if it is poisoned; WF_MEMORY. *out is NULL then.
 * Owner: the caller frees *out. */
WF_API wf_status wf_compile(wf_program **out, wf_graph *g, const wf_tensor *outputs, int n,
                            wf_compile_opt o);
WF_API void wf_program_free(wf_program *p);

/* Runs once: reads inputs and leaves, computes outputs, performs the assignments. One thread at a
 * time; different programs may run in different threads unless they share an assigned leaf. */
WF_API wf_status wf_run(wf_program *p);

/* The dense buffer of an input, output or leaf of the program, by handle or by name (wf_input's and
 * wf_leaf's name, wf_name of an output; inputs before outputs before leaves); inputs may be written
 * and outputs read between runs. NULL, and wf_error(), for anything else. A value that is an output
 * and a leaf means the output. Its size goes to *bytes, which may be NULL. Owner: the program,
 * aligned to 64 bytes; a leaf's buffer is the caller's. Outputs keep their values until the next
 * run. */
WF_API void *wf_data(wf_program *p, wf_tensor t);
WF_API void *wf_data_named(wf_program *p, const char *name, size_t *bytes);

/* The name of the i-th input of the program, in order of creation; NULL past the last. Inputs of
 * the graph that neither outputs nor assignments need are none of the program. Owner: the
 * program. */
WF_API const char *wf_program_input(const wf_program *p, uint32_t i);

/* Copies into an input or leaf, or out of any of the above, with the size checked: bytes must be
 * exactly those of the value. */
WF_API wf_status wf_write(wf_program *p, wf_tensor input, const void *data, size_t bytes);
WF_API wf_status wf_read(wf_program *p, wf_tensor output, void *data, size_t bytes);

WF_API wf_status wf_program_set_threads(wf_program *p, int threads); /* 1 .. 1024; 0: default */

/* Threads that programs take by default: those of wf_set_threads (1 .. 1024; 0 takes it back); else
 * as many as OpenMP would (OMP_NUM_THREADS, omp_set_num_threads, affinity), where nobody has told
 * it at most the CPUs that a container's quota allows, rounded up. Programs that are there keep
 * theirs. In a process made by fork after a program has run on several threads the answer is 1, and
 * every program runs on one thread, with the same results: the threads did not come along, and
 * OpenMP cannot make others. Fork before the first program is compiled, or call exec, for more. */
WF_API wf_status wf_set_threads(int threads);
WF_API int wf_threads(void);

/* Where programs compiled from now on have their memory: intermediate values, inputs and outputs,
 * the workers' scratch. `what` names it in words. allocate may return NULL, which is WF_MEMORY;
 * free gets the same bytes. Both may be called from any thread, and must be there until the last
 * program is freed. NULL: the system's (huge) pages again. Errors: WF_ARGUMENT if a function is
 * missing. */
typedef struct wf_allocator {
    void *(*allocate)(void *user, size_t bytes, const char *what);
    void (*free)(void *user, void *data, size_t bytes);
    void *user;
} wf_allocator;
WF_API wf_status wf_set_allocator(const wf_allocator *a);

/* What the plan came to. */
typedef struct wf_program_info {
    size_t arena_bytes;       /* all intermediate storage, planned once */
    size_t live_bytes;        /* lower bound: the largest set of values alive at once */
    size_t scratch_bytes;     /* of all workers together, beside the arena */
    uint32_t nodes;           /* after the passes */
    uint32_t launches;        /* kernel calls a run; a chain is one */
    uint32_t copies;          /* of them: pure copies (views and placements that had to move) */
    uint32_t reference;       /* of them: reference evaluators (no tuned kernel) */
    uint32_t group_launches;  /* of them: groups of elementwise operations */
    uint32_t groups;          /* groups; independent ones of one kernel share a launch */
    uint32_t kernels;         /* distinct groups */
    uint32_t fused;           /* operations in groups */
    uint32_t chains;          /* launches that run several kernels block by block */
    uint32_t chained;         /* kernels in them, and */
    double tile_bytes;        /* their values between, a run: in cache, never in memory */
    double moved_bytes;       /* read and written by groups and elementwise operations, a run */
    double alone_bytes;       /* the same if each operation were launched alone */
    uint32_t barriers;        /* a run, beside those inside launches */
    double flops;             /* of contractions, a run */
    size_t memory;            /* the budget, wf_compile_opt.memory */
    size_t full_bytes;        /* the arena without recomputation, for the budget or in regions
                                 (wf_recompute_begin); what that costs a run: */
    uint32_t recomputed;      /* nodes computed again */
    double recompute_flops;   /* of them, contractions */
    double recompute_bytes;   /* more read and written by all launches */
    int threads;
    size_t buffer_bytes;      /* inputs and outputs */
} wf_program_info;
WF_API wf_program_info wf_program_describe(const wf_program *p);

/* --- profile ----------------------------------------------------------------------------------
 *
 *   wf_profile_start(step, 3);
 *   for (int i = 0; i < 10; i++) wf_run(step);
 *   wf_profile_stop(step);
 *   wf_profile_table(step, stderr, 0);
 *
 * From start to stop every run is timed, launch by launch and worker by worker; then the numbers
 * stay until the next start or the program's end, and may be read in between as well. A run still
 * allocates nothing. A launch's time is that by which it moved the end of the run, so that times
 * add up to the run; waiting for other workers is part of it. All functions return WF_ARGUMENT if
 * no run was profiled, and for NULL. */

/* keep: events of the last `keep` runs stay for the trace (0: of one); all runs are summed up.
 * Forgets an earlier profile. The number of threads is fixed until the stop. Errors: WF_MEMORY. */
WF_API wf_status wf_profile_start(wf_program *p, uint32_t keep);
WF_API wf_status wf_profile_stop(wf_program *p);

/* Of all runs; times are means of a run, in seconds. */
typedef struct wf_profile_info {
    uint64_t runs;
    uint32_t launches;
    int workers;
    double seconds, least, most; /* mean, fastest and slowest run */
    double flops, bytes;         /* sums over the launches of one run */
} wf_profile_info;
WF_API wf_status wf_profile_read(const wf_program *p, wf_profile_info *out);

/* Of launch i of wf_profile_info.launches. Texts belong to the program, until the next start. */
typedef struct wf_profile_row {
    const char *name;     /* the kernel: "contract f32[8,32,32,256] sum[3,3,64]"; if it computes in
                             another mode: "contract in bf16 f32[8,32,32,256] sum[3,3,64]" */
    const char *scope;    /* in the model: "convlstm1/t3", with primes if it is a gradient */
    double seconds;       /* by which it moved the end of the run */
    double busy;          /* of all workers together */
    double flops;         /* of contractions, as wf_program_info.flops */
    double bytes;         /* of its operands and results, each element once */
} wf_profile_row;
WF_API wf_status wf_profile_launch(const wf_program *p, uint32_t i, wf_profile_row *out);

/* How long the worker waits for others, a run. Errors: WF_ARGUMENT also if there is no such one. */
WF_API wf_status wf_profile_wait(const wf_program *p, int worker, double *seconds);

/* Writes launches as a table, those of one kernel and scope together, time steps (a component "t"
 * and a number) as "t*"; the slowest first, at most `rows` of them (0: 25); then totals and how
 * long each worker waits. Errors: also WF_OUTPUT, WF_MEMORY. */
WF_API wf_status wf_profile_table(const wf_program *p, FILE *f, uint32_t rows);

/* Writes the runs that were kept as JSON trace events, for ui.perfetto.dev or chrome://tracing: a
 * track for the runs and one for each worker, on it an event for each launch that it worked in and
 * for each barrier that it waited at. Errors: also WF_OUTPUT. */
WF_API wf_status wf_profile_trace(const wf_program *p, FILE *f);

/* What the nodes of each scope of a graph come to, in order of the scopes' first use. */
typedef struct wf_scope_info {
    const char *scope; /* "convlstm0/t3"; "" at the top; owner: the graph */
    wf_tensor last;    /* its last value that is no leaf; poison if it has none */
    double flops;      /* of contractions, as written; terms in the padding count */
    uint32_t nodes;
} wf_scope_info;
/* *out (*n) is the caller's to free(). Errors: WF_MODEL if the graph is poisoned; WF_MEMORY. */
WF_API wf_status wf_graph_scopes(const wf_graph *g, wf_scope_info **out, size_t *n);
/* The scope of a value, "" for poison. Owner: the graph. */
WF_API const char *wf_scope_of(wf_tensor t);

/* What the library found on this machine. */
typedef struct wf_runtime_info {
    const char *version, *built_with; /* "0.1.0", "gcc 12.2.0" */
    const char *isa;                  /* of the kernels: WF_ISA, else the best that is here */
    const char *jit;                  /* WF_JIT: off, background, sync */
    const char *precision;            /* what "auto" is: f32 or f32x3 */
    bool native_bf16;                 /* the kernels multiply bf16 by an instruction of its own */
    char cpu[128];                    /* "" where the system does not tell */
    int threads, cores;               /* that a program takes by default; that it may use */
    char compiler[1024];              /* of generated code; "" if there is none */
    char compiler_problem[256];       /* why not */
    char cache[1024];                 /* the folder of compiled code; "" if none can be named */
    char cache_problem[256];          /* why it is not used or not written; "" if it is */
    bool cache_usable;
    int64_t cache_entries, cache_bytes;
} wf_runtime_info;
/* Makes the cache's folder where it is missing, as compiling does. */
WF_API void wf_runtime_describe(wf_runtime_info *info);

/* Writes the graph (or the program's graph after the passes, with its outputs) as text, one node a
 * line; more ways of writing, and reading, are in tensor/text.h. */
WF_API wf_status wf_graph_dump(const wf_graph *g, FILE *f);
WF_API wf_status wf_program_dump(const wf_program *p, FILE *f);

/* Writes what wf_compile(g, outputs, n, c) has after the stage of this name; see wf_stage_dot. */
WF_API wf_status wf_stage_dump(wf_graph *g, const wf_tensor *outputs, int n, wf_compile_opt c,
                               const char *stage, FILE *f);

/* Writes the groups of the program with members and bytes, and for neighbouring elementwise
 * operations that are not in one group the reason. */
WF_API wf_status wf_program_explain(const wf_program *p, FILE *f);

/* Computes t at once, through the compiler, into buffer (dense, `bytes` as t's). t must not depend
 * on an input. Assignments are left out. */
WF_API wf_status wf_eval(wf_tensor t, void *buffer, size_t bytes);

/* Computes t and writes it to f (wf_print: stdout) with name, type and at most ~100 elements. */
WF_API wf_status wf_fprint(FILE *f, wf_tensor t);
WF_API wf_status wf_print(wf_tensor t);

/* Which operation of g first gives a value that is not finite, with the inputs as they are in p, a
 * program compiled from g, and the leaves as they are now: bring them back to what they were before
 * the run that failed. Runs the graph once more with a probe on every value (which stay in g).
 *   text  (size bytes) one line: operation, scope, the node as wf_graph_dump has it
 * Errors   WF_NOT_FOUND if all is finite; those of wf_compile. */
WF_API wf_status wf_find_anomaly(wf_graph *g, wf_program *p, wf_compile_opt o, char *text,
                                 size_t size);

/* --- pictures
 * ------------------------------------------------------------------------------------- Text for
 * Graphviz' dot. A node n57 of the text is the node %57 of the dump, so texts can be diffed; the
 * same graph gives the same bytes. Scopes are nested clusters. A node has its operation, type and,
 * if it is a contraction, its work; an arrow has the bytes of the values that go along it.
 *
 * Folding draws repeated parts once: time steps (scopes that differ in a number at the end, t0 ..
 * t18) and equal structures within a scope (the updates of all parameters), marked "x19". A dashed
 * arrow marked "t-1" comes from the step before. Uniform constants stand in the operation that
 * reads them. Where more than `limit` boxes are left, elementwise operations and views that touch
 * are one box; then scopes that differ in any number (layers) are folded; then a scope is one
 * box. */
typedef enum wf_dot_fold {
    WF_DOT_FOLD_AUTO, /* as little as gives at most `limit` boxes */
    WF_DOT_FOLD_NONE  /* every node is drawn */
} wf_dot_fold;

typedef struct wf_dot_opt {
    wf_dot_fold fold;
    uint32_t limit;    /* 0: 150 */
    const char *title; /* any bytes; NULL: none */
    bool timed;        /* wf_program_dot: with the times of its profile */
} wf_dot_opt;

/* Draws the graph as it is; the program's graph after the passes, with fused groups, launches,
 * places in the arena, their lifetimes and copies, and after a profiled run, if o.timed, the time
 * that boxes take, as numbers and as colour. A group is a cluster of its nodes, or one box where
 * elementwise operations are. Errors: WF_ARGUMENT; WF_MEMORY; WF_OUTPUT if f fails. */
WF_API wf_status wf_graph_dot(const wf_graph *g, FILE *f, wf_dot_opt o);
WF_API wf_status wf_program_dot(const wf_program *p, FILE *f, wf_dot_opt o);

/* Draws what wf_compile(g, outputs, n, c) has after the stage of this name, without making a
 * program: "written" (or "gradients"), "simplify", "merge", "precision", "fuse", "plan". Errors:
 * also those of wf_compile, and WF_NOT_FOUND for another name. */
WF_API wf_status wf_stage_dot(wf_graph *g, const wf_tensor *outputs, int n, wf_compile_opt c,
                              const char *stage, FILE *f, wf_dot_opt o);

#ifdef __cplusplus
}
#endif

#include "compiler/export.h"
#include "compiler/function.h"
#endif
