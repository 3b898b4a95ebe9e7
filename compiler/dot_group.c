/* Fused groups in pictures: a box a group where classes are merged, else a cluster around its
 * boxes. A class belongs to the group of its representative; representatives of one path come from
 * one time step, whose groups are those of all steps but the first and last. */
#include "compiler/dot.h"

/* The group that node id is a member of, or a view inside: of a member, for a member. */
static uint32_t group_of(const wf_dot *d, uint32_t id) {
    const wf_fusion *f = d->fusion;
    if (f->group[id] || wf_dot_node(d, id)->op->kind != WF_KIND_VIEW) return f->group[id];
    uint32_t from = id;
    while (wf_dot_node(d, from)->op->kind == WF_KIND_VIEW) from = wf_node_in(d->graph, from)[0];
    const uint32_t group = f->group[from];
    for (uint32_t r = d->reader0[id]; group && r < d->reader0[id + 1]; r++)
        if (f->group[d->reader[r]] == group) return group;
    return 0;
}

wf_status wf_dot_groups(wf_dot *d) {
    d->class_group = wf_arena_alloc(&d->level_mem, d->n_class * sizeof *d->class_group);
    if (!d->class_group) return wf_dot_no_memory();
    for (uint32_t c = 0; d->fusion && c < d->n_class; c++)
        d->class_group[c] = group_of(d, d->class_[c].rep);
    return WF_OK;
}

/* A group's number is that of the explanation where there is a plan. */
static uint32_t number_of(const wf_dot *d, uint32_t id) {
    return d->stored && d->stored[id].group ? d->stored[id].group : d->fusion->group[id];
}

void wf_dot_group_label(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    uint32_t groups = 0, one = 0;
    for (uint32_t i = 0; d->fusion && i < b->nodes; i++) {
        const uint32_t id = d->member[b->first_member + i], group = d->fusion->group[id];
        if (!group || d->group_mark[group] == b->id) continue;
        d->group_mark[group] = b->id;
        groups++;
        one = id;
    }
    if (groups == 1) wf_dot_put(t, "\\ngroup %u", number_of(d, one));
    else if (groups) wf_dot_put(t, "\\n%u groups", groups);
}

uint32_t wf_dot_group_number(const wf_dot *d, uint32_t c) {
    const uint32_t group = d->class_group[c];
    return group ? number_of(d, d->fusion->member[d->fusion->list[group].first]) : 0;
}
