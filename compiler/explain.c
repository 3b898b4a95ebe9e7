/* What the compiler made of the elementwise part of a program, as text: groups with their members
 * and bytes, and for neighbours that are not in one group the reason. */
#include <stdio.h>
#include <stdlib.h>

#include "compiler/program.h"

static const wf_node *node_of(const wf_plan *p, uint32_t id) {
    return wf_graph_node(p->graph, id);
}

static void print_group(const wf_plan *p, uint32_t launch, uint32_t row, FILE *f) {
    const wf_launch *l = &p->launch[launch];
    const wf_sweep *s = &p->sweep[l->group - 1 + row];
    const wf_fused *g = &p->fusion.list[s->fused];
    const wf_kernel *k = &p->kernel[s->kernel];
    const wf_array *a = &p->array[s->array];
    char shape[200];
    fprintf(f,
            "launch %u: group %u, kernel %u, %u operations over %s in %lld pieces, %u operands, "
            "%u outputs, %llu bytes (one by one %llu), %.0f FLOP   # %s\n",
            launch, l->group + row, s->kernel, g->n, wf_shape_text(&a->shape, shape, sizeof shape),
            (long long)s->pieces, k->group.n_in, k->group.n_out,
            (unsigned long long)wf_sweep_bytes(p, l, row), (unsigned long long)s->alone,
            (double)g->n * (double)wf_shape_count(&g->space),
            wf_graph_scope_text(p->graph,
                                node_of(p, p->fusion.member[g->first + g->n - 1])->scope));
    for (uint32_t i = 0; i < g->n; i++) {
        const uint32_t id = p->fusion.member[g->first + i];
        fprintf(f, "  %%%u %s%s\n", id, node_of(p, id)->op->name,
                p->fusion.stored[id] ? " -> memory" : "");
    }
}

static uint64_t tile_bytes(const wf_plan *p, const wf_chain *c) {
    uint64_t sum = 0;
    for (uint32_t i = 1; i < p->n_storage; i++) {
        const wf_storage *s = &p->storage[i];
        if (s->where == WF_WHERE_TILE && s->first >= c->first && s->first < c->first + c->n)
            sum += s->bytes;
    }
    return sum;
}

/* The kernels of a chain, and what they hand on without going through memory. */
static void print_chain(const wf_plan *p, uint32_t launch, FILE *f) {
    const wf_chain *c = &p->chain[p->launch[launch].chain - 1];
    char name[160];
    fprintf(f, "launches %u to %u: a chain in %lld blocks of %lld rows, %llu bytes in tiles: %s\n",
            launch, launch + c->n - 1, (long long)c->blocks, (long long)c->most_rows,
            (unsigned long long)tile_bytes(p, c), wf_launch_name(p, launch, name, sizeof name));
}

/* The node whose elements `id` shows through views of all kinds. */
static uint32_t origin_of(const wf_plan *p, uint32_t id) {
    while (node_of(p, id)->op->kind == WF_KIND_VIEW) id = wf_node_in(p->graph, id)[0];
    return id;
}

/* The launch of the first reader decides where a node could go: others come too late. */
static bool is_first(const wf_plan *p, const uint32_t *first, uint32_t id, uint32_t reader) {
    return p->fusion.when[reader] <= first[id];
}

static void print_apart(const wf_plan *p, const uint32_t *first, FILE *f, uint32_t *count) {
    for (uint32_t id = 1; id < wf_graph_size(p->graph); id++) {
        if (first[id] == 0 || !wf_fusible(p->graph, id)) continue;
        for (uint32_t i = 0; i < node_of(p, id)->n_in; i++) {
            const uint32_t from = origin_of(p, wf_node_in(p->graph, id)[i]);
            if (!wf_fusible(p->graph, from)) continue;
            const wf_apart why =
                wf_fusion_apart(&p->fusion, p->graph, from, id, is_first(p, first, from, id));
            count[why]++;
            if (why != WF_APART_NOT)
                fprintf(f, "apart: %%%u %s and %%%u %s: %s\n", from, node_of(p, from)->op->name, id,
                        node_of(p, id)->op->name, wf_apart_text(why));
        }
    }
}

/* When each node is read first; UINT32_MAX: by nothing that is launched; 0: dead. */
static void find_first(const wf_plan *p, const wf_stage *s, uint32_t *first) {
    for (uint32_t i = 0; i < s->n_root; i++) first[s->root[i]] = UINT32_MAX;
    for (uint32_t id = wf_graph_size(p->graph); id-- > 1;) {
        const wf_node *x = node_of(p, id);
        if (first[id] == 0) continue;
        const bool passes = x->op->kind == WF_KIND_VIEW, last = x->op->kind == WF_KIND_ASSIGN;
        const uint32_t when = passes ? first[id] : last ? UINT32_MAX : p->fusion.when[id];
        for (uint32_t i = 0; i < x->n_in; i++) {
            uint32_t *at = &first[wf_node_in(p->graph, id)[i]];
            if (*at == 0 || when < *at) *at = when;
        }
    }
}

/* The arena beside its lower bound, and what a budget or regions cost. */
static void print_memory(const wf_program_info *info, FILE *f) {
    fprintf(f, "arena %zu bytes, largest live set %zu bytes\n", info->arena_bytes,
            info->live_bytes);
    if (!info->memory && !info->recomputed) return;
    if (info->memory) fprintf(f, "budget %zu bytes, ", info->memory);
    fprintf(f,
            "without recomputation %zu: %u nodes computed again, %.0f of %.0f FLOPs, %.0f bytes "
            "more read and written\n", info->full_bytes, info->recomputed, info->recompute_flops,
            info->flops, info->recompute_bytes);
}

wf_status wf_program_explain(const wf_program *p, FILE *f) {
    if (!p || !f)
        return wf_fail(WF_ARGUMENT, "wf_program_explain: the %s is NULL", p ? "file" : "program");
    const wf_plan *plan = &p->plan;
    const wf_program_info info = wf_program_describe(p);
    uint32_t *first = calloc(wf_graph_size(plan->graph), sizeof *first), count[WF_N_APART] = {0};
    if (!first) return wf_fail(WF_MEMORY, "out of memory in the compiler");
    find_first(plan, &p->stage, first);
    for (uint32_t i = 0; i < plan->n_launch; i++) {
        if (plan->launch[i].chain && !wf_launch_follows(plan, i)) print_chain(plan, i, f);
        for (uint32_t row = 0; plan->launch[i].group && row < plan->launch[i].rows; row++)
            print_group(plan, i, row, f);
    }
    print_apart(plan, first, f, count);
    for (int why = 0; why < WF_N_APART; why++)
        if (count[why]) fprintf(f, "%u neighbours: %s\n", count[why], wf_apart_text(why));
    fprintf(f,
            "%u operations in %u groups of %u kinds, %u launches; %.0f bytes, one by one %.0f\n"
            "%u kernels in %u chains, %.0f bytes in tiles; %u launches in all, %u barriers\n",
            info.fused, info.groups, info.kernels, info.group_launches, info.moved_bytes,
            info.alone_bytes, info.chained, info.chains, info.tile_bytes, info.launches,
            info.barriers);
    print_memory(&info, f);
    free(first);
    return ferror(f) ? wf_fail(WF_OUTPUT, "the explanation cannot be written") : WF_OK;
}
