/* The program's life after compilation: threads, description, text, death. */
#include "compiler/program.h"

#include <omp.h>
#include <stdlib.h>

#include "tensor/contract.h"
#include "tensor/size.h"

/* More than this is a mistake, and libgomp ends the process when it cannot have what it is asked
 * for. */
#define MAX_THREADS 1024

void wf_program_free(wf_program *p) {
    if (!p) return;
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
    if (threads == 0) threads = omp_get_max_threads();
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    size_t bytes;
    wf_region scratch;
    if (!wf_mul_size(p->scratch_step, (size_t)threads, &bytes))
        return wf_fail(WF_MEMORY, "%d threads need more scratch than can be addressed", threads);
    const wf_status s = wf_region_map(&scratch, bytes, threads, "the workers' scratch");
    if (s) return s;
    wf_region_unmap(&p->scratch);
    p->scratch = scratch;
    p->threads = threads;
    return WF_OK;
}

static void count_elementwise(const wf_plan *plan, wf_program_info *info) {
    for (uint32_t i = 0; i < plan->n_launch; i++) {
        const wf_launch *l = &plan->launch[i];
        info->group_launches += l->group != 0;
        for (uint32_t row = 0; l->group && row < l->rows; row++) {
            const wf_sweep *s = &plan->sweep[l->group - 1 + row];
            info->moved_bytes += (double)s->bytes;
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

/* Two a term: terms that fall into the padding are counted too. */
static double flops_of(const wf_plan *plan) {
    double flops = 0;
    for (uint32_t i = 0; i < plan->n_launch; i++) {
        const wf_call *c = &plan->launch[i].call;
        if (c->op != &wf_op_contract) continue;
        const wf_contract_attr *a = c->attr;
        for (int k = 0; k < a->n_sources; k++) {
            double terms = (double)wf_shape_count(&c->out.shape);
            for (int j = 0; j < a->source[k].n_sum; j++) terms *= (double)a->source[k].sum[j];
            flops += 2 * terms;
        }
    }
    return flops;
}

wf_program_info wf_program_describe(const wf_program *p) {
    if (!p) return (wf_program_info){0};
    const wf_plan *plan = &p->plan;
    wf_program_info info = {
        .arena_bytes = plan->arena_bytes,
        .live_bytes = plan->live_bytes,
        .scratch_bytes = p->scratch.bytes,
        .nodes = wf_graph_size(p->stage.graph) - 1,
        .launches = plan->n_launch,
        .copies = plan->n_copies,
        .reference = plan->n_reference,
        .groups = plan->n_sweep,
        .kernels = plan->n_kernel,
        .barriers = plan->n_barriers,
        .flops = flops_of(plan),
        .threads = p->threads,
        .buffer_bytes = plan->buffer_bytes,
    };
    count_elementwise(plan, &info);
    return info;
}

wf_status wf_graph_dump(const wf_graph *g, FILE *f) {
    if (!g || !f)
        return wf_fail(WF_ARGUMENT, "wf_graph_dump: the %s is NULL", g ? "file" : "graph");
    char text[1024];
    for (uint32_t id = 1; id < wf_graph_size(g); id++)
        if (fprintf(f, "%s\n", wf_node_text(g, id, text, sizeof text)) < 0)
            return wf_fail(WF_OUTPUT, "the text of the graph cannot be written");
    return WF_OK;
}

wf_status wf_program_dump(const wf_program *p, FILE *f) {
    if (!p) return wf_fail(WF_ARGUMENT, "wf_program_dump: the program is NULL");
    return wf_graph_dump(p->stage.graph, f);
}
