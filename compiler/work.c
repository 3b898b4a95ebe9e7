/* What a launch does, in words and numbers: for descriptions, profiles and pictures. */
#include <stdio.h>
#include <string.h>

#include "compiler/plan.h"
#include "tensor/contract.h"

/* --- numbers ---------------------------------------------------------------------------------- */

static double flops_of(const wf_plan *p, uint32_t launch) {
    const wf_call *c = &p->launch[launch].call;
    if (c->op != &wf_op_contract) return 0;
    const wf_contract_attr *a = c->attr;
    double flops = 0;
    for (int k = 0; k < a->n_sources; k++) {
        double terms = (double)wf_shape_count(&c->out.shape);
        for (int j = 0; j < a->source[k].n_sum; j++) terms *= (double)a->source[k].sum[j];
        flops += 2 * terms;
    }
    return flops;
}

static double bytes_of(const wf_plan *p, uint32_t launch) {
    const wf_launch *l = &p->launch[launch];
    double bytes = 0;
    for (uint32_t row = 0; l->group && row < l->rows; row++)
        bytes += (double)wf_sweep_bytes(p, l, row);
    for (uint32_t i = l->merges ? 1 : 0; !l->group && i <= (uint32_t)l->call.n_in; i++)
        if (p->storage[p->operand[l->array + i].storage].where != WF_WHERE_TILE)
            bytes += (double)wf_bytes_seen(&p->array[l->array + i]);
    return bytes;
}

uint32_t wf_plan_launches(const wf_plan *p) {
    uint32_t n = p->n_launch;
    for (uint32_t i = 0; i < p->n_chain; i++) n -= p->chain[i].n - 1;
    return n;
}

bool wf_launch_follows(const wf_plan *p, uint32_t launch) {
    const uint32_t chain = p->launch[launch].chain;
    return chain && p->chain[chain - 1].first != launch;
}

/* Launches that launch i stands for: those of the chain that it begins; 0 for the others of one. */
static uint32_t members(const wf_plan *p, uint32_t i) {
    if (wf_launch_follows(p, i)) return 0;
    return p->launch[i].chain ? p->chain[p->launch[i].chain - 1].n : 1;
}

double wf_launch_flops(const wf_plan *p, uint32_t launch) {
    double flops = 0;
    for (uint32_t m = 0; m < members(p, launch); m++) flops += flops_of(p, launch + m);
    return flops;
}

double wf_plan_flops(const wf_plan *p) {
    double flops = 0;
    for (uint32_t i = 0; i < p->n_launch; i++) flops += flops_of(p, i);
    return flops;
}

double wf_launch_bytes(const wf_plan *p, uint32_t launch) {
    double bytes = 0;
    for (uint32_t m = 0; m < members(p, launch); m++) bytes += bytes_of(p, launch + m);
    return bytes;
}

/* --- words ------------------------------------------------------------------------------------ */

typedef struct words {
    char *buf;
    size_t size, n;
} words;

static void put(words *t, const char *text) {
    const size_t n = strlen(text);
    const size_t room = t->size > t->n + 1 ? t->size - t->n - 1 : 0, k = n < room ? n : room;
    memcpy(t->buf + t->n, text, k);
    t->n += k;
    t->buf[t->n] = 0;
}

static void put_number(words *t, const char *before, long long v) {
    char text[32];
    snprintf(text, sizeof text, "%lld", v);
    put(t, before);
    put(t, text);
}

static bool same_sums(const wf_contract_source *a, const wf_contract_source *b) {
    return a->n_sum == b->n_sum &&
           memcmp(a->sum, b->sum, (size_t)a->n_sum * sizeof *a->sum) == 0;
}

/* The sums of a contraction tell kernels of one result apart: "sum[3,3,64] + 2 sum[8,32]". */
static void put_sums(words *t, const wf_contract_attr *a) {
    for (int k = 0, same = 1; k < a->n_sources; k += same, same = 1) {
        const wf_contract_source *s = &a->source[k];
        while (k + same < a->n_sources && same_sums(s, &a->source[k + same])) same++;
        put(t, k ? " + " : " ");
        if (same > 1) put_number(t, "", same);
        put(t, same > 1 ? " sum[" : "sum[");
        for (int j = 0; j < s->n_sum; j++) put_number(t, j ? "," : "", s->sum[j]);
        put(t, "]");
    }
}

static void put_type(words *t, const wf_type *type) {
    char shape[160];
    put(t, " ");
    put(t, wf_dtype_name(type->dtype));
    put(t, wf_shape_text(&type->shape, shape, sizeof shape));
}

/* The operations of a group, each once with its count, in their order. */
static void put_group(words *t, const wf_plan *p, const wf_fused *g) {
    enum { LISTED = 4 };
    const wf_op *op[LISTED];
    uint32_t count[LISTED], n = 0, more = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        const wf_op *now = wf_graph_node(p->graph, p->fusion.member[g->first + i])->op;
        uint32_t k = 0;
        while (k < n && op[k] != now) k++;
        if (k < n) {
            count[k]++;
        } else if (n < LISTED) {
            op[n] = now;
            count[n++] = 1;
        } else {
            more++;
        }
    }
    for (uint32_t k = 0; k < n; k++) {
        put(t, k ? ", " : "");
        put(t, op[k]->name);
        if (count[k] > 1) put_number(t, " ", count[k]);
    }
    if (more) put_number(t, ", +", more);
}

/* The mode of a contraction or of packing for one, if it is not f32. */
static void put_mode(words *t, const wf_launch *l) {
    if (l->copy || (l->call.op != &wf_op_contract && l->call.op != &wf_op_pack)) return;
    const wf_contract_attr *a = l->call.attr;
    if (a->compute == WF_COMPUTE_F32) return;
    put(t, " in ");
    put(t, wf_compute_name(a->compute));
}

static void put_launch(words *t, const wf_plan *p, const wf_launch *l) {
    if (l->group) {
        const wf_fused *g = &p->fusion.list[p->sweep[l->group - 1].fused];
        put(t, "group ");
        put_group(t, p, g);
        put_type(t, &(wf_type){wf_graph_node(p->graph, l->node)->type.dtype, g->space});
        if (l->rows > 1) put_number(t, " x", l->rows);
        return;
    }
    if (l->merges) put(t, "merge of ");
    put(t, l->copy ? "copy" : l->call.op->name);
    put_mode(t, l);
    if (!l->copy && l->call.op->kind == WF_KIND_REDUCE) {
        put_type(t, &wf_graph_node(p->graph, wf_node_in(p->graph, l->node)[0])->type);
        put(t, " ->");
    }
    put_type(t, &wf_graph_node(p->graph, l->node)->type);
    if (l->call.op == &wf_op_contract) put_sums(t, l->call.attr);
    if (!l->fast) put(t, " (reference)");
}

const char *wf_launch_name(const wf_plan *p, uint32_t launch, char *buf, size_t size) {
    words t = {.buf = buf, .size = size};
    if (size) *buf = 0;
    put_launch(&t, p, &p->launch[launch]);
    for (uint32_t m = 1; m < members(p, launch); m++) {
        const wf_launch *l = &p->launch[launch + m];
        put(&t, " > ");
        put(&t, l->group ? "group" : l->call.op->name);
    }
    return buf;
}

const char *wf_launch_scope(const wf_plan *p, uint32_t launch) {
    const wf_launch *l = &p->launch[launch];
    uint32_t id = l->node;
    if (l->group) {
        const wf_fused *g = &p->fusion.list[p->sweep[l->group - 1].fused];
        id = p->fusion.member[g->first + g->n - 1];
    }
    return wf_graph_scope_text(p->graph, wf_graph_node(p->graph, id)->scope);
}
