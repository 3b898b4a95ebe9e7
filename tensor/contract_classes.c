/* The output loops of a contraction by class, batch, rows and columns, and their order. */
#include "tensor/contract_plan.h"
#include "tensor/size.h"

/* Output loops that the operand on this side depends on. */
static uint32_t uses(const wf_contract_attr *c, const wf_contract_source *s, bool is_b) {
    const uint32_t out = (1u << c->rank) - 1;
    if (is_b && s->packed) return s->batch_loops | s->col_loops;
    return out & (is_b ? wf_relation_loops(s->b, s->rank_b) : wf_relation_loops(s->a, s->rank_a));
}

void wf_loops_sort(wf_contract_plan *p, uint32_t batch, uint32_t columns) {
    const wf_contract_attr *c = p->c;
    p->n_batch = p->n_m = p->n_n = 0;
    p->batch_mask = batch;
    p->n_mask = columns;
    p->batch = p->m = p->n = 1;
    for (int l = 0; l < c->rank; l++) {
        if (batch >> l & 1) {
            p->batch_loop[p->n_batch++] = l;
            p->batch *= c->out[l];
        } else if (columns >> l & 1) {
            p->n_loop[p->n_n++] = l;
            p->n *= c->out[l];
        } else {
            p->m_loop[p->n_m++] = l;
            p->m *= c->out[l];
        }
    }
}

void wf_loops_classify(wf_contract_plan *p) {
    const wf_contract_attr *c = p->c;
    uint32_t in_u = 0, in_v = 0, both = 0;
    for (int i = 0; i < c->n_sources; i++) {
        const uint32_t u = uses(c, &c->source[i], p->u_side == 1);
        const uint32_t v = uses(c, &c->source[i], p->u_side == 0);
        in_u |= u;
        in_v |= v;
        both |= u & v;
    }
    both |= in_u & in_v;
    wf_loops_sort(p, both, in_v & ~both);
}

/* Packed sources fix the classes. */
bool wf_loops_agree(const wf_contract_plan *p) {
    for (int i = 0; i < p->c->n_sources; i++) {
        const wf_contract_source *s = &p->c->source[i];
        if (s->packed && (p->u_side != 0 || s->batch_loops != p->batch_mask ||
                          s->col_loops != p->n_mask))
            return false;
    }
    return true;
}

static void move_last(int *loop, int n, int from) {
    const int l = loop[from];
    for (int i = from; i + 1 < n; i++) loop[i] = loop[i + 1];
    loop[n - 1] = l;
}

/* The column loop that is contiguous in the output comes last; so does the row loop that is
 * contiguous in U if no sum loop is. Packed columns keep their order. */
void wf_loops_order(wf_contract_plan *p) {
    bool packed = false;
    for (int i = 0; i < p->c->n_sources; i++) packed |= p->c->source[i].packed;
    for (int i = 0; i < p->n_n && !packed; i++)
        if (p->call->out.stride[p->n_loop[i]] == 1 && p->c->out[p->n_loop[i]] > 1) {
            move_last(p->n_loop, p->n_n, i);
            break;
        }
    wf_side u;
    wf_side_read(p->c, &p->c->source[0], p->u_side == 1, &p->call->in[p->u_side], &u);
    if (wf_side_unit_in_sum(p, &p->c->source[0], &u)) return;
    for (int i = 0; i < p->n_m; i++)
        if (u.step[p->m_loop[i]] == 1 && p->c->out[p->m_loop[i]] > 1) {
            move_last(p->m_loop, p->n_m, i);
            break;
        }
}

/* Also bounds all products of extents in a plan, which are parts of the number of terms. */
bool wf_loops_plain(const wf_call *call) {
    const wf_contract_attr *c = call->attr;
    const int64_t count = wf_shape_count(&call->out.shape);
    if ((call->out.dtype != WF_F32 && !c->compute) || count <= 0) return false;
    for (int i = 0; i < c->n_sources; i++) {
        const wf_contract_source *s = &c->source[i];
        int64_t terms = count;
        if (s->n_guards) return false;
        if (s->packed && call->in[2 * i + 1].stride[0] != 1) return false;
        for (int k = 0; k < s->n_sum; k++)
            if (s->sum[k] == 0 || !wf_mul_i64(terms, s->sum[k], &terms)) return false;
        if (terms > INT64_C(1) << 50) return false;
    }
    return true;
}
