/* The program's life after compilation: threads, description, text, death. */
#include "compiler/program.h"

#include <stdlib.h>

#include "tensor/size.h"

/* More than this is a mistake, and libgomp ends the process when it cannot have what it is asked
 * for. */
#define MAX_THREADS 1024

void wf_program_free(wf_program *p) {
    if (!p) return;
    wf_profile_free(&p->profile);
    wf_ports_free(p);
    wf_plan_free(&p->plan);
    wf_stage_free(&p->stage);
    wf_region_unmap(&p->arena);
    wf_region_unmap(&p->buffers);
    wf_region_unmap(&p->scratch);
    free(p);
}

wf_status wf_program_set_threads(wf_program *p, int threads) {
    if (!p) return wf_fail(WF_ARGUMENT, "wf_program_set_threads: the program is NULL");
    if (threads < 0 || threads > MAX_THREADS)
        return wf_fail(WF_ARGUMENT, "wf_program_set_threads: %d threads; 0 to %d can be asked for",
                       threads, MAX_THREADS);
    if (p->profile.recording)
        return wf_fail(WF_ARGUMENT, "wf_program_set_threads: the program is being profiled, and "
                       "marks are for %d threads; wf_profile_stop comes first", p->threads);
    if (threads == 0) threads = wf_threads();
    size_t bytes;
    wf_region scratch;
    if (!wf_mul_size(p->scratch_step, (size_t)threads, &bytes))
        return wf_fail(WF_MEMORY, "%d threads need more scratch than can be addressed", threads);
    const wf_status s = wf_region_map(&scratch, bytes, threads, "the workers' scratch");
    if (s) return s;
    wf_region_unmap(&p->scratch);
    p->scratch = scratch;
    p->threads = threads;
    const bool bound = p->plan.team > 0;
    return bound ? wf_plan_barriers(&p->plan, threads) : WF_OK;
}

static void count_elementwise(const wf_plan *plan, wf_program_info *info) {
    for (uint32_t i = 0; i < plan->n_launch; i++) {
        const wf_launch *l = &plan->launch[i];
        info->group_launches += l->group && !l->chain;
        for (uint32_t row = 0; l->group && row < l->rows; row++) {
            const wf_sweep *s = &plan->sweep[l->group - 1 + row];
            info->moved_bytes += (double)wf_sweep_bytes(plan, l, row);
            info->alone_bytes += (double)s->alone;
            info->fused += plan->fusion.list[s->fused].n;
        }
        if (!l->group && l->call.op->kind == WF_KIND_ELEMENTWISE) {
            double bytes = 0;
            for (int k = 0; k <= l->call.n_in; k++)
                bytes += (double)wf_bytes_seen(&plan->array[l->array + (uint32_t)k]);
            info->moved_bytes += bytes;
            info->alone_bytes += bytes;
        }
    }
}

wf_program_info wf_program_describe(const wf_program *p) {
    if (!p) return (wf_program_info){0};
    const wf_plan *plan = &p->plan;
    wf_program_info info = {
        .arena_bytes = plan->arena_bytes,
        .live_bytes = plan->live_bytes,
        .scratch_bytes = p->scratch.bytes,
        .nodes = wf_graph_size(p->stage.graph) - 1,
        .launches = wf_plan_launches(plan),
        .chains = plan->n_chain,
        .tile_bytes = (double)plan->tile_bytes,
        .copies = plan->n_copies,
        .reference = plan->n_reference,
        .groups = plan->n_sweep,
        .kernels = plan->n_kernel,
        .barriers = plan->n_barriers,
        .memory = p->recompute.memory,
        .full_bytes = p->recompute.full_bytes,
        .recomputed = p->recompute.nodes,
        .recompute_flops = p->recompute.flops,
        .recompute_bytes = p->recompute.bytes,
        .flops = wf_plan_flops(plan),
        .threads = p->threads,
        .buffer_bytes = plan->buffer_bytes,
    };
    for (uint32_t i = 0; i < plan->n_chain; i++) info.chained += plan->chain[i].n;
    count_elementwise(plan, &info);
    return info;
}

wf_status wf_graph_dump(const wf_graph *g, FILE *f) {
    if (!g || !f)
        return wf_fail(WF_ARGUMENT, "wf_graph_dump: the %s is NULL", g ? "file" : "graph");
    return wf_graph_write(g, NULL, 0, f, (wf_write_opt){0});
}

/* Outputs come before assignments among the roots. */
wf_status wf_stage_write(const wf_stage *s, FILE *f) {
    uint32_t n = 0;
    wf_tensor *output = calloc((size_t)s->n_root + 1, sizeof *output);
    if (!output) return wf_fail(WF_MEMORY, "out of memory for the text of the graph");
    for (; n < s->n_root; n++) {
        if (wf_graph_node(s->graph, s->root[n])->op->kind == WF_KIND_ASSIGN) break;
        output[n] = wf_handle(s->graph, s->root[n]);
    }
    const wf_status status = wf_graph_write(s->graph, output, (int)n, f, (wf_write_opt){0});
    free(output);
    return status;
}

wf_status wf_stage_dump(wf_graph *g, const wf_tensor *outputs, int n, wf_compile_opt c,
                        const char *stage, FILE *f) {
    if (!g || !f)
        return wf_fail(WF_ARGUMENT, "wf_stage_dump: the %s is NULL", g ? "file" : "graph");
    wf_stage now = {0};
    wf_status s = wf_stage_make(&now, g, outputs, n, c, stage);
    if (!s) s = wf_stage_write(&now, f);
    if (now.graph) wf_stage_free(&now);
    return s;
}

wf_status wf_program_dump(const wf_program *p, FILE *f) {
    if (!p) return wf_fail(WF_ARGUMENT, "wf_program_dump: the program is NULL");
    if (!f) return wf_fail(WF_ARGUMENT, "wf_program_dump: the file is NULL");
    return wf_stage_write(&p->stage, f);
}
