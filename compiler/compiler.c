/* From graph to program: the list of passes, on one screen.
 *
 *   written -> simplify -> merge -> precision -> fuse -> plan -> code -> program
 *
 * Each stage can be printed (WF_DEBUG=simplify,merge,precision,fuse,plan,code) and switched off
 * (wf_compile_opt.off).
 * With WF_DEBUG_CHECKS defined, the verifier runs after every pass and over the plan. */
#include "compiler/compiler.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"
#include "tensor/size.h"

/* What fusion wants of the graph; the groups are found when it is planned. */
static wf_status sink_and_repeat(const wf_stage *in, wf_stage *out) {
    wf_stage sunk;
    wf_status s = wf_pass_sink(in, &sunk);
    if (s) return s;
    s = wf_pass_repeat(&sunk, out);
    wf_stage_free(&sunk);
    return s;
}

static const struct pass {
    const char *name;
    unsigned bit; /* 0: always */
    wf_status (*run)(const wf_stage *in, wf_stage *out);
    wf_status (*run_in)(const wf_stage *in, wf_stage *out, wf_precision mode); /* or this */
} passes[] = {
    {"written", 0, wf_pass_copy, NULL},
    {"simplify", WF_PASS_SIMPLIFY, wf_pass_simplify, NULL},
    {"merge", WF_PASS_MERGE, wf_pass_merge, NULL},
    {"precision", WF_PASS_PRECISION, NULL, wf_pass_precision},
    {"fuse", WF_PASS_FUSE, sink_and_repeat, NULL},
};

#ifdef WF_DEBUG_CHECKS
static const bool checks = true;
#else
static const bool checks = false;
#endif

/* --- debug output ----------------------------------------------------------------------------- */

bool wf_debug_wants(const char *stage) {
    const char *list = getenv("WF_DEBUG");
    const size_t n = strlen(stage);
    while (list && *list) {
        const size_t m = strcspn(list, ",");
        if (m == n && strncmp(list, stage, n) == 0) return true;
        list += m + (list[m] == ',');
    }
    return false;
}

static void log_stage(const char *name, const wf_stage *s) {
    if (!wf_debug_wants(name)) return;
    char text[1024];
    wf_log_line("--- %s", name);
    for (uint32_t id = 1; id < wf_graph_size(s->graph); id++)
        wf_log_line("%s", wf_node_text(s->graph, id, text, sizeof text));
}

static void log_plan(const wf_plan *p) {
    if (!wf_debug_wants("plan")) return;
    wf_log_line("--- plan: %u launches, %u copies, %u by reference evaluators, %u barriers; "
                "arena %zu bytes, at least %zu", p->n_launch, p->n_copies, p->n_reference,
                p->n_barriers, p->arena_bytes, p->live_bytes);
    for (uint32_t i = 0; i < p->n_launch; i++) {
        const wf_launch *l = &p->launch[i];
        const wf_operand *o = &p->operand[l->array + (uint32_t)l->call.n_in];
        const wf_storage *s = &p->storage[o->storage];
        static const char *const where[] = {"leaf", "input", "output", "arena", "tile"};
        wf_log_line("%s%4u %s %s %%%u -> %s %zu+%lld of %zu, live %u..%u", l->barrier ? "|" : " ",
                    i, l->copy ? "copy" : l->call.op->name,
                    l->group ? "group" : l->fast ? "fast" : "eval", l->node,
                    where[s->where], s->offset, (long long)o->offset, s->bytes, s->first, s->last);
    }
}

/* --- passes ----------------------------------------------------------------------------------- */

/* Roots of the written graph: outputs, then assignments. An assignment's value stands for it among
 * the outputs. */
static wf_status written_roots(wf_stage *s, wf_graph *g, const wf_tensor *output, int n,
                               const wf_compile_opt *o) {
    uint32_t assigns = 0;
    for (uint32_t id = 1; id < wf_graph_size(g) && !o->no_assign; id++)
        assigns += wf_graph_node(g, id)->op->kind == WF_KIND_ASSIGN;
    s->graph = g;
    s->root = calloc((size_t)n + assigns + 1, sizeof *s->root);
    if (!s->root) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    for (int i = 0; i < n; i++) {
        uint32_t id = output[i].id;
        while (wf_graph_node(g, id)->op->kind == WF_KIND_ASSIGN) id = wf_node_in(g, id)[1];
        s->root[s->n_root++] = id;
    }
    for (uint32_t id = 1; id < wf_graph_size(g) && !o->no_assign; id++)
        if (wf_graph_node(g, id)->op->kind == WF_KIND_ASSIGN) s->root[s->n_root++] = id;
    return WF_OK;
}

/* Runs the passes before passes[end] over `written`, which stays as it is, and leaves the last
 * stage in *out. */
static wf_status run_passes(const wf_stage *written, wf_stage *out, const wf_compile_opt *o,
                            size_t end) {
    const wf_precision mode = wf_precision_resolve(o->precision);
    wf_stage now = *written;
    for (size_t i = 0; i < end; i++) {
        const struct pass *pass = &passes[i];
        if (pass->bit & o->off) continue;
        wf_stage next = {0};
        wf_status s = pass->run ? pass->run(&now, &next) : pass->run_in(&now, &next, mode);
        if (now.graph != written->graph) wf_stage_free(&now);
        if (s) return s;
        now = next;
        log_stage(pass->name, &now);
        if (checks && (s = wf_verify(&now, pass->name))) {
            wf_stage_free(&now);
            return s;
        }
    }
    *out = now;
    return WF_OK;
}

/* --- the program ------------------------------------------------------------------------------ */

static wf_status check_memory(const wf_program *p, const wf_compile_opt *o) {
    const int threads = o->threads ? o->threads : wf_threads();
    size_t bytes = 0;
    const bool fits = wf_mul_size(p->scratch_step, (size_t)threads, &bytes) &&
                      wf_add_size(bytes, p->plan.arena_bytes, &bytes) &&
                      wf_add_size(bytes, p->plan.buffer_bytes, &bytes);
    if (!o->most_bytes || (fits && bytes <= o->most_bytes)) return WF_OK;
    return wf_fail(WF_MEMORY, "the program needs %zu MiB of memory, %zu MiB can be had; make the "
                   "batch, the frames or the network smaller", bytes >> 20, o->most_bytes >> 20);
}

static wf_status build(wf_program *p, const wf_stage *written, const wf_tensor *output, int n,
                       const wf_compile_opt *o) {
    wf_status s = run_passes(written, &p->stage, o, WF_COUNT(passes));
    if (!s)
        s = wf_recompute_plan(&p->plan, &p->stage, (uint32_t)n, o->off, o->memory, &p->recompute);
    if (!s && checks) s = wf_plan_verify(&p->plan);
    if (!s) s = wf_ports_find(p, written, output, n);
    if (s) return s;
    if (!wf_align_size(p->plan.scratch_bytes, WF_ALIGN, &p->scratch_step) ||
        !wf_add_size(p->scratch_step, p->plan.chain_bytes, &p->scratch_step))
        return wf_fail(WF_MEMORY, "a kernel's scratch is too large");
    s = check_memory(p, o);
    if (!s) s = wf_program_set_threads(p, o->threads);
    if (!s) s = wf_region_map(&p->arena, p->plan.arena_bytes, p->threads, "intermediate values");
    if (!s) s = wf_region_map(&p->buffers, p->plan.buffer_bytes, p->threads, "inputs and outputs");
    if (!s) s = wf_plan_bind(&p->plan, p->arena.data, p->buffers.data, p->threads);
    if (s) return s;
    wf_ports_bind(p);
    log_plan(&p->plan);
    return wf_plan_code(&p->plan, o->off & WF_PASS_CODE ? WF_CODE_OFF : wf_code_mode_get());
}

static wf_status check_precision(wf_precision p) {
    if (wf_precision_name(p)) return WF_OK;
    return wf_fail(WF_ARGUMENT, "wf_compile: there is no precision %d; WF_PRECISION_AUTO, "
                   "WF_PRECISION_F32, WF_PRECISION_F32X3 and WF_PRECISION_BF16 are there", (int)p);
}

static wf_status check_outputs(const wf_graph *g, const wf_tensor *output, int n) {
    if (n < 0 || (n > 0 && !output))
        return wf_fail(WF_ARGUMENT, "wf_compile: %d outputs at %p", n, (const void *)output);
    for (int i = 0; i < n; i++) {
        if (output[i].graph && output[i].graph != g)
            return wf_fail(WF_ARGUMENT, "wf_compile: output %d belongs to another graph; build all "
                           "outputs in the graph that is compiled", i);
        if (!output[i].graph)
            return wf_fail(WF_ARGUMENT, "wf_compile: output %d is an empty handle; was it, or what "
                           "it is computed from, ever assigned a value?", i);
        if (!wf_ok(output[i]))
            return wf_fail(WF_ARGUMENT, "wf_compile: output %d is no value of the graph", i);
    }
    return WF_OK;
}

wf_status wf_compile(wf_program **out, wf_graph *g, const wf_tensor *outputs, int n,
                     wf_compile_opt o) {
    if (!out) return wf_fail(WF_ARGUMENT, "wf_compile: the result's address is NULL");
    *out = NULL;
    if (!g) return wf_fail(WF_ARGUMENT, "wf_compile: the graph is NULL");
    if (o.threads < 0) return wf_fail(WF_ARGUMENT, "wf_compile: %d threads", o.threads);
    wf_status s = wf_graph_status(g);
    if (!s) s = check_outputs(g, outputs, n);
    if (!s) s = check_precision(o.precision);
    if (s) return s;
    wf_program *p = calloc(1, sizeof *p);
    if (!p) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    wf_stage written = {0};
    s = written_roots(&written, g, outputs, n, &o);
    if (!s) s = build(p, &written, outputs, n, &o);
    free(written.root);
    if (s) {
        wf_program_free(p);
        return s;
    }
    *out = p;
    return WF_OK;
}

/* --- a stage alone ---------------------------------------------------------------------------- */

/* The number of passes up to the stage of this name, 0 if there is none. */
static size_t passes_of(const char *stage) {
    for (size_t i = 0; i < WF_COUNT(passes); i++)
        if (strcmp(passes[i].name, stage) == 0) return i + 1;
    if (strcmp(stage, "gradients") == 0) return 1;
    return strcmp(stage, "plan") == 0 ? WF_COUNT(passes) : 0;
}

wf_status wf_stage_make(wf_stage *out, wf_graph *g, const wf_tensor *outputs, int n,
                        wf_compile_opt o, const char *stage) {
    *out = (wf_stage){0};
    const size_t end = stage ? passes_of(stage) : 0;
    if (end == 0)
        return wf_fail(WF_NOT_FOUND,
                       "no stage \"%s\": written, gradients, simplify, merge, precision, fuse, "
                       "plan", stage ? stage : "");
    wf_status s = wf_graph_status(g);
    if (!s) s = check_outputs(g, outputs, n);
    if (!s) s = check_precision(o.precision);
    if (s) return s;
    wf_stage written = {0};
    s = written_roots(&written, g, outputs, n, &o);
    if (!s) s = run_passes(&written, out, &o, end);
    free(written.root);
    return s;
}
