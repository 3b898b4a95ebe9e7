/* Graphs as text of Graphviz' dot. See dot.h for the way from nodes to boxes.
 *
 * Layout attributes: without nslimit and mclimit dot needs many seconds for a training graph;
 * both bound the effort of placing nodes (Gansner et al. 1993). nslimit1 bounds the effort of
 * ranking: some graphs with clusters make dot 2.43 abort with it, as they do with labels that
 * take part in the layout, so labels are xlabels. With more than CURVED arrows, curves cost more
 * than all the rest. */
#include "compiler/dot.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/program.h"

enum { LIMIT = 150, CURVED = 400 };

/* --- what is drawn ---------------------------------------------------------------------------- */

static wf_status find_readers(wf_dot *d) {
    size_t n_edge = 0;
    for (uint32_t id = 1; id < d->n; id++) n_edge += wf_dot_node(d, id)->n_in;
    d->reader0 = wf_arena_alloc(&d->mem, ((size_t)d->n + 2) * sizeof *d->reader0);
    d->reader = wf_arena_alloc(&d->mem, n_edge * sizeof *d->reader);
    if (!d->reader0 || !d->reader) return wf_dot_no_memory();
    /* Counts stand two places ahead, so that filling in moves them to where they belong. */
    for (uint32_t id = 1; id < d->n; id++) {
        const uint32_t *in = wf_node_in(d->graph, id);
        for (uint32_t i = 0; i < wf_dot_node(d, id)->n_in; i++) d->reader0[in[i] + 2]++;
    }
    for (uint32_t id = 0; id < d->n; id++) d->reader0[id + 2] += d->reader0[id + 1];
    for (uint32_t id = 1; id < d->n; id++) {
        const uint32_t *in = wf_node_in(d->graph, id);
        for (uint32_t i = 0; i < wf_dot_node(d, id)->n_in; i++)
            d->reader[d->reader0[in[i] + 1]++] = id;
    }
    return WF_OK;
}

/* Uniform constants that something reads are told by its label. */
static void find_hidden(wf_dot *d) {
    double v;
    for (uint32_t id = 1; id < d->n; id++)
        d->hidden[id] = wf_dot_node(d, id)->n_in == 0 && d->reader0[id] < d->reader0[id + 1] &&
                        wf_uniform_value(d->graph, id, &v);
    for (uint32_t i = 0; i < d->n_output; i++) d->hidden[d->output[i]] = false;
}

static wf_status prepare(wf_dot *d) {
    d->hidden = wf_arena_alloc(&d->mem, d->n * sizeof *d->hidden);
    if (!d->hidden) return wf_dot_no_memory();
    if (d->fusion) {
        d->group_mark = wf_arena_alloc(&d->mem, ((size_t)d->fusion->n + 1) * sizeof *d->group_mark);
        if (!d->group_mark) return wf_dot_no_memory();
    }
    wf_status s = find_readers(d);
    if (!s) s = wf_dot_stored_find(d);
    return s ? s : wf_dot_heat_find(d);
}

/* --- choosing a level ------------------------------------------------------------------------- */

static wf_status fold(wf_dot *d, wf_dot_level level) {
    wf_arena_free(&d->level_mem);
    d->level = level;
    d->n_cluster = d->n_scope = d->n_class = d->n_link = d->n_box = d->n_edge = 0;
    d->n_output_box = 0;
    wf_status s = wf_dot_scopes(d);
    if (!s) s = wf_dot_classes(d);
    if (!s) s = wf_dot_groups(d);
    if (!s) s = wf_dot_links(d);
    if (!s) s = wf_dot_boxes(d);
    return s;
}

static uint32_t deepest(const wf_dot *d) {
    uint32_t most = 0;
    for (uint32_t i = 1; i < d->n_cluster; i++) {
        uint32_t depth = 0;
        for (uint32_t c = i; c; c = d->cluster[c].parent) depth++;
        if (depth > most) most = depth;
    }
    return most;
}

static wf_status choose_level(wf_dot *d, uint32_t limit) {
    static const wf_dot_level levels[] = {
        {.fold = false},
        {.fold = true, .shapes = true},
        {.fold = true},
        {.fold = true, .merge = true},
        {.fold = true, .merge = true, .digits = true},
        {.fold = true, .whole = true, .depth = UINT32_MAX},
    };
    for (size_t i = 0; i < WF_COUNT(levels); i++) {
        const wf_status s = fold(d, levels[i]);
        if (s || d->n_box + d->n_output_box <= limit) return s;
    }
    for (uint32_t depth = deepest(d);; depth--) {
        const wf_dot_level whole = {.fold = true, .digits = true, .whole = true, .depth = depth};
        const wf_status s = fold(d, whole);
        if (s || depth == 0 || d->n_box + d->n_output_box <= limit) return s;
    }
}

/* --- text ------------------------------------------------------------------------------------- */

static bool only_views(const wf_dot *d, const wf_dot_box *b) {
    uint32_t i = 0;
    while (i < b->nodes && wf_dot_node(d, d->member[b->first_member + i])->op->kind == WF_KIND_VIEW)
        i++;
    return i == b->nodes;
}

/* The colour of a box; *shape: its other attributes. */
static const char *look(const wf_dot *d, const wf_dot_box *b, const char **shape) {
    static const struct {
        const char *colour, *shape;
    } ends[WF_N_DOT_KIND] = {
        [WF_DOT_ASSIGN] = {"#f7d9e3", ", peripheries=2"},
        [WF_DOT_LEAF] = {"#fdf0c4", ", shape=note"},
        [WF_DOT_CONST] = {"#eeeeee", ", shape=plaintext"},
        [WF_DOT_INPUT] = {"#cfe8cf", ", penwidth=2"},
    };
    *shape = ends[b->kind].shape;
    if (b->kind != WF_DOT_OPERATION) return ends[b->kind].colour;
    *shape = ", style=\"filled,rounded\"";
    if (b->classes > 1 && !only_views(d, b)) return "#dce9f7";
    const wf_kind kind = wf_dot_node(d, b->id)->op->kind;
    *shape = kind == WF_KIND_CONTRACT                           ? ", penwidth=2"
             : kind == WF_KIND_VIEW || kind == WF_KIND_PLACE ? ", style=\"filled,dashed\""
                                                             : "";
    switch (kind) {
    case WF_KIND_ELEMENTWISE: return "#dce9f7";
    case WF_KIND_CONTRACT: return "#f9cfa8";
    case WF_KIND_REDUCE: return "#d8d3ee";
    case WF_KIND_VIEW:
    case WF_KIND_PLACE: return "#ffffff";
    default: return "#e4e4e4";
    }
}

static void put_box(const wf_dot *d, const wf_dot_box *b, wf_dot_text *t) {
    const char *shape, *colour = look(d, b, &shape);
    wf_dot_put(t, "n%u [label=\"", b->id);
    wf_dot_box_label(d, b, t);
    wf_dot_put(t, "\", fillcolor=\"%s\"%s];\n", d->heat ? wf_dot_heat_colour(d, b) : colour, shape);
}

/* The boxes of one cluster, then the clusters in it. Lists are chained by `next` and end with
 * UINT32_MAX. Boxes of one fused group hang on the first of them, which alone is in `box`. */
typedef struct nest {
    uint32_t *box, *next_box;         /* (n_cluster), (n_box) */
    uint32_t *group, *last_of;        /* (n_box) the next of its group; (groups + 1) */
    uint32_t *inner, *next_inner;     /* (n_cluster) */
    double *time;                     /* (n_cluster) with those inside; NULL without a profile */
} nest;

static uint32_t group_of(const wf_dot *d, uint32_t b) { return d->class_group[d->box[b].last]; }

static void put_boxes(const wf_dot *d, const nest *k, uint32_t b, wf_dot_text *t) {
    const bool fused = k->group[b] != UINT32_MAX;
    if (fused)
        wf_dot_put(t, "subgraph cluster_g%u {\nlabel=\"group %u\"; style=\"rounded,dashed\"; "
                   "fontsize=10;\n", d->box[b].id, wf_dot_group_number(d, d->box[b].last));
    for (; b != UINT32_MAX; b = k->group[b]) put_box(d, &d->box[b], t);
    if (fused) wf_dot_put(t, "}\n");
}

static void put_cluster(const wf_dot *d, const nest *k, uint32_t c, wf_dot_text *t) {
    const wf_dot_cluster *x = &d->cluster[c];
    if (c) {
        const bool prime = *x->text && x->text[strlen(x->text) - 1] == '\'';
        wf_dot_put(t, "subgraph cluster_%u {\nlabel=\"", c);
        wf_dot_cluster_label(d, x, t);
        if (k->time && k->time[c] > 0) {
            wf_dot_put(t, "\\n");
            wf_dot_put_time(d, k->time[c], t);
        }
        wf_dot_put(t, "\"; bgcolor=\"%s\";\n", prime ? "#80400012" : "#00408010");
    }
    for (uint32_t b = k->box[c]; b != UINT32_MAX; b = k->next_box[b]) put_boxes(d, k, b, t);
    for (uint32_t i = k->inner[c]; i != UINT32_MAX; i = k->next_inner[i]) put_cluster(d, k, i, t);
    if (c) wf_dot_put(t, "}\n");
}

/* A cluster comes after its parent. */
static wf_status add_times(wf_dot *d, nest *k) {
    k->time = wf_arena_alloc(&d->level_mem, d->n_cluster * sizeof *k->time);
    if (!k->time) return wf_dot_no_memory();
    for (uint32_t b = 0; b < d->n_box; b++)
        k->time[d->box[b].cluster] += wf_dot_heat_of(d, &d->box[b]);
    for (uint32_t c = d->n_cluster; c-- > 1;) k->time[d->cluster[c].parent] += k->time[c];
    return WF_OK;
}

static wf_status put_clusters(wf_dot *d, wf_dot_text *t) {
    wf_arena *mem = &d->level_mem;
    const size_t groups = d->fusion ? d->fusion->n : 0;
    bool *hangs = wf_arena_alloc(mem, d->n_box * sizeof *hangs); /* on another of its group */
    nest k = {.box = wf_arena_alloc(mem, d->n_cluster * sizeof *k.box),
              .next_box = wf_arena_alloc(mem, d->n_box * sizeof *k.next_box),
              .group = wf_arena_alloc(mem, d->n_box * sizeof *k.group),
              .last_of = wf_arena_alloc(mem, (groups + 1) * sizeof *k.last_of),
              .inner = wf_arena_alloc(mem, d->n_cluster * sizeof *k.inner),
              .next_inner = wf_arena_alloc(mem, d->n_cluster * sizeof *k.next_inner)};
    if (!hangs || !k.box || !k.next_box || !k.group || !k.last_of || !k.inner || !k.next_inner)
        return wf_dot_no_memory();
    memset(k.box, 0xff, d->n_cluster * sizeof *k.box);
    memset(k.inner, 0xff, d->n_cluster * sizeof *k.inner);
    memset(k.group, 0xff, d->n_box * sizeof *k.group);
    memset(k.last_of, 0xff, (groups + 1) * sizeof *k.last_of);
    for (uint32_t b = 0; b < d->n_box; b++) {
        uint32_t *last = &k.last_of[group_of(d, b)];
        if (last == k.last_of) continue;
        hangs[b] = *last != UINT32_MAX && d->box[*last].cluster == d->box[b].cluster;
        if (hangs[b]) k.group[*last] = b;
        *last = b;
    }
    for (uint32_t b = d->n_box; b-- > 0;) {
        if (hangs[b]) continue;
        k.next_box[b] = k.box[d->box[b].cluster];
        k.box[d->box[b].cluster] = b;
    }
    for (uint32_t c = d->n_cluster; c-- > 1;) {
        k.next_inner[c] = k.inner[d->cluster[c].parent];
        k.inner[d->cluster[c].parent] = c;
    }
    const wf_status s = d->heat ? add_times(d, &k) : WF_OK;
    if (!s) put_cluster(d, &k, 0, t);
    return s;
}

/* The output's mark: names of all outputs of the box. */
static void put_outputs(const wf_dot *d, uint32_t b, wf_dot_text *t) {
    uint32_t n = 0;
    wf_dot_put(t, "out_n%u [label=\"output", d->box[b].id);
    for (uint32_t i = 0; i < d->n_output; i++) {
        const uint32_t id = d->output[i];
        const char *name = wf_dot_node(d, id)->name;
        if (d->class_[d->class_of[id]].box != b || ++n > 4) continue;
        wf_dot_put(t, "\\n");
        if (name) wf_dot_put_escaped(t, name, 48);
        else wf_dot_put(t, "%%%u", id);
    }
    if (n > 4) wf_dot_put(t, "\\n%u more", n - 4);
    wf_dot_put(t, "\", peripheries=2, fillcolor=\"#cfe8cf\"];\nn%u -> out_n%u;\n", d->box[b].id,
               d->box[b].id);
}

/* An arrow to the next step is written from its head to its tail, so that a step is laid out in the
 * order of what it computes. (constraint=false would say the same, but makes dot 2.43 abort.) */
static void put_edge(const wf_dot *d, const wf_dot_edge *e, wf_dot_text *t) {
    const wf_dot_box *from = &d->box[e->from], *to = &d->box[e->to];
    const bool turned = *e->lag && from != to && from->cluster == to->cluster;
    wf_dot_put(t, "n%u -> n%u [xlabel=\"", turned ? to->id : from->id, turned ? from->id : to->id);
    if (*e->lag) {
        wf_dot_put_escaped(t, e->lag, sizeof e->lag);
        wf_dot_put(t, "\\n");
    }
    if (e->count > 1) wf_dot_put(t, "x%u ", e->count);
    wf_dot_put_amount(t, (double)e->bytes, "B");
    wf_dot_put(t, "\"%s", e->bytes >= 100000000 ? ", penwidth=3" :
                          e->bytes >= 1000000   ? ", penwidth=1.8" : "");
    if (*e->lag) wf_dot_put(t, ", style=dashed, color=\"#b03060\", fontcolor=\"#b03060\"");
    wf_dot_put(t, turned ? ", dir=back];\n" : "];\n");
}

static void put_head(const wf_dot *d, const char *title, wf_dot_text *t) {
    const char *how = !d->level.fold ? "" : !d->level.merge && !d->level.whole ? ", repeats folded"
                      : d->level.whole ? ", a box a scope" : ", repeats and elementwise folded";
    wf_dot_put(t, "digraph weft {\nlabel=\"");
    if (title) wf_dot_put_escaped(t, title, 120);
    wf_dot_put(t, "%s%u nodes%s", title ? ": " : "", d->n - 1, how);
    if (d->stored) wf_dot_plan_title(d, t);
    wf_dot_heat_title(d, t);
    wf_dot_put(t, "\";\nlabelloc=t; rankdir=LR; nslimit=0.2; mclimit=0.2; splines=%s;\n"
               "nodesep=0.2; ranksep=0.3; fontname=\"Helvetica\"; fontsize=14; style=rounded;\n"
               "node [shape=box, style=filled, fontname=\"Helvetica\", fontsize=11, height=0.2, "
               "margin=\"0.08,0.04\"];\n"
               "edge [fontname=\"Helvetica\", fontsize=8, arrowsize=0.6, color=\"#606060\", "
               "fontcolor=\"#606060\"];\n",
               d->n_edge > CURVED ? "line" : "true");
}

static wf_status write_text(wf_dot *d, FILE *f, const char *title) {
    wf_dot_text t = {.n = 0};
    put_head(d, title, &t);
    wf_status s = put_clusters(d, &t);
    for (uint32_t i = 0; i < d->n_edge; i++) put_edge(d, &d->edge[i], &t);
    for (uint32_t b = 0; b < d->n_box; b++)
        if (d->box[b].output) put_outputs(d, b, &t);
    wf_dot_put(&t, "}\n");
    if (!s && t.failed) s = wf_dot_no_memory();
    if (!s && (fwrite(t.at, 1, t.n, f) != t.n || fflush(f)))
        s = wf_fail(WF_OUTPUT, "the picture of the graph cannot be written");
    free(t.at);
    return s;
}

static wf_status draw(wf_dot *d, FILE *f, wf_dot_opt o) {
    d->n = wf_graph_size(d->graph);
    wf_status s = prepare(d);
    if (!s && o.fold == WF_DOT_FOLD_NONE) {
        s = fold(d, (wf_dot_level){.fold = false});
    } else if (!s) {
        find_hidden(d);
        s = choose_level(d, o.limit ? o.limit : LIMIT);
    }
    if (!s) s = wf_dot_edges(d);
    if (!s) s = write_text(d, f, o.title);
    wf_arena_free(&d->level_mem);
    wf_arena_free(&d->mem);
    return s;
}

/* --- the public functions --------------------------------------------------------------------- */

static wf_status check(const char *what, const void *subject, FILE *f, const wf_dot_opt *o) {
    if (!subject || !f)
        return wf_fail(WF_ARGUMENT, "%s: the %s is NULL", what, subject ? "file" : "subject");
    if (o->fold != WF_DOT_FOLD_AUTO && o->fold != WF_DOT_FOLD_NONE)
        return wf_fail(WF_ARGUMENT, "%s: fold %d is neither AUTO nor NONE", what, (int)o->fold);
    return WF_OK;
}

wf_status wf_graph_dot(const wf_graph *g, FILE *f, wf_dot_opt o) {
    const wf_status s = check("wf_graph_dot", g, f, &o);
    if (s) return s;
    wf_dot d = {.graph = g};
    return draw(&d, f, o);
}

wf_status wf_program_dot(const wf_program *p, FILE *f, wf_dot_opt o) {
    const wf_status s = check("wf_program_dot", p, f, &o);
    if (s) return s;
    if (o.timed && !wf_profile_of(p, "wf_program_dot")) return WF_ARGUMENT;
    const wf_stage *stage = &p->stage;
    wf_dot d = {.graph = stage->graph, .plan = &p->plan, .output = stage->root,
                .n_output = p->plan.n_output, .fusion = &p->plan.fusion,
                .profile = o.timed ? &p->profile : NULL};
    return draw(&d, f, o);
}

wf_status wf_stage_dot(wf_graph *g, const wf_tensor *outputs, int n, wf_compile_opt c,
                       const char *stage, FILE *f, wf_dot_opt o) {
    wf_stage now = {0};
    wf_plan plan = {0};
    wf_status s = check("wf_stage_dot", g, f, &o);
    if (!s) s = wf_stage_make(&now, g, outputs, n, c, stage);
    if (s) return s;
    const bool placed = strcmp(stage, "plan") == 0, planned = placed || !strcmp(stage, "fuse");
    if (planned) s = wf_plan_make(&plan, &now, (uint32_t)n, c.off);
    wf_dot d = {.graph = now.graph, .plan = placed ? &plan : NULL, .output = now.root,
                .n_output = (uint32_t)n, .fusion = planned ? &plan.fusion : NULL};
    if (!s) s = draw(&d, f, o);
    if (planned) wf_plan_free(&plan);
    wf_stage_free(&now);
    return s;
}
