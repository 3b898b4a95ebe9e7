/* Multi-head attention, as torch.nn.MultiheadAttention (Vaswani et al., arXiv:1706.03762), over
 * sequences (T, N, C): softmax(q k^T / sqrt(d)) v for each head of d = C / heads channels.
 *
 * A score that must not count is replaced by -1e30 before the softmax, so that it gets weight 0,
 * and a row in which nothing counts gets equal weights instead of NaN. */
#include <math.h>

#include "nn/params.h"

typedef struct attention {
    wf_params *p;
    const wf_attention_opt *o;
    wf_tensor x, memory;       /* (T, N, C), (S, N, M) */
    int64_t heads, t, s, n, c; /* c channels of x and of the result */
} attention;

static wf_tensor own_param(const attention *a, const char *name, wf_shape shape,
                           wf_init_kind kind) {
    return wf_param(a->x.graph, a->p, name, shape, (wf_init){.kind = kind},
                    (wf_param_opt){.dtype = wf_dtype_of(a->x)});
}

/* q, k, v before they fall into heads: (T, N, C), (S, N, C), (S, N, C). */
static void project(const attention *a, wf_tensor out[3]) {
    static const char *const name[] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
    const int64_t c = a->c, m = wf_dim(a->memory, 2);
    const wf_tensor from[3] = {a->x, a->memory, a->memory};
    wf_tensor w[3], b[3] = {0};
    if (m == c) {
        const wf_shape packed = WF_SHAPE(3 * c, c);
        wf_split(own_param(a, "in_proj_weight", packed, WF_INIT_XAVIER_UNIFORM), 3, 0, w);
    } else {
        for (int i = 0; i < 3; i++)
            w[i] = own_param(a, name[i], WF_SHAPE(c, i ? m : c), WF_INIT_XAVIER_UNIFORM);
    }
    if (!a->o->no_bias)
        wf_split(own_param(a, "in_proj_bias", WF_SHAPE(3 * c), WF_INIT_CONSTANT), 3, 0, b);
    for (int i = 0; i < 3; i++) out[i] = wf_sequence_product(from[i], w[i], b[i]);
}

/* (L, N, C) -> (N, heads, L, d) */
static wf_tensor split_heads(const attention *a, wf_tensor x) {
    static const int perm[] = {1, 2, 0, 3};
    return wf_permute(wf_reshape(x, WF_SHAPE(wf_dim(x, 0), a->n, a->heads, a->c / a->heads)), perm);
}

/* (N, heads, T, S): what must not be seen, replaced. */
static wf_tensor hide(const attention *a, wf_tensor score) {
    const wf_tensor never = wf_scalar(score.graph, wf_dtype_of(score), -1e30);
    if (a->o->causal)
        score = wf_select(wf_tril_mask(score.graph, a->t, a->s, 0), score, never);
    if (a->o->mask.graph)
        score = wf_select(wf_reshape(wf_transpose(a->o->mask, 0, 1), WF_SHAPE(a->n, 1, 1, a->s)),
                          score, never);
    return score;
}

static wf_tensor attend(const attention *a) {
    static const int back[] = {2, 0, 1, 3};
    wf_tensor qkv[3];
    project(a, qkv);
    const double scale = 1 / sqrt((double)(a->c / a->heads));
    const wf_tensor q = split_heads(a, wf_mul_scalar(qkv[0], scale)), k = split_heads(a, qkv[1]);
    const wf_tensor score = hide(a, wf_matmul(q, wf_transpose(k, 2, 3)));
    wf_tensor weight = wf_softmax(score, -1);
    if (a->o->dropout != 0)
        weight = wf_nn_dropout(a->p, "dropout", weight, (wf_dropout_opt){
            .p = a->o->dropout, .training = a->o->training});
    const wf_tensor y = wf_permute(wf_matmul(weight, split_heads(a, qkv[2])), back);
    wf_params_push(a->p, "out_proj");
    const wf_tensor w = own_param(a, "weight", WF_SHAPE(a->c, a->c), WF_INIT_DEFAULT);
    const wf_tensor none = {0};
    const wf_tensor b = a->o->no_bias ? none
                                      : own_param(a, "bias", WF_SHAPE(a->c), WF_INIT_CONSTANT);
    wf_params_pop(a->p);
    return wf_sequence_product(wf_reshape(y, WF_SHAPE(a->t, a->n, a->c)), w, b);
}

static wf_tensor attention_layer(wf_params *p, wf_tensor x, const wf_attention_opt *o) {
    attention a = {.p = p, .o = o, .x = x, .memory = o->memory.graph ? o->memory : x,
                   .heads = o->heads ? o->heads : 1, .t = wf_dim(x, 0), .n = wf_dim(x, 1),
                   .c = wf_dim(x, 2)};
    wf_graph *g = x.graph;
    char text[128];
    if (wf_rank(x) != 3 || !wf_dtype_is_real(wf_dtype_of(x)))
        return wf_layer_refuse(x, "real (T, N, C)");
    const wf_shape m = wf_shape_of_tensor(a.memory), k = wf_shape_of_tensor(o->mask);
    a.s = m.dim[0];
    if (wf_ok(a.memory) && (m.rank != 3 || m.dim[1] != a.n))
        return wf_graph_fail(g, "attention: memory is %s, not (S, %lld, M) for x (T, %lld, C)",
                             wf_shape_text(&m, text, sizeof text), (long long)a.n, (long long)a.n);
    if (a.heads < 1 || a.c % a.heads != 0)
        return wf_graph_fail(g, "attention: %lld channels do not fall into %lld heads",
                             (long long)a.c, (long long)a.heads);
    if (o->causal && a.t != a.s)
        return wf_graph_fail(g, "attention: causal needs as many steps in memory as in x, not %lld "
                                "and %lld", (long long)a.s, (long long)a.t);
    if (wf_ok(o->mask) && (wf_dtype_of(o->mask) != WF_BOOL || k.rank != 2 || k.dim[0] != a.s ||
                           k.dim[1] != a.n))
        return wf_graph_fail(g, "attention: mask is %s%s, not bool (S, N) = [%lld,%lld]; see "
                                "wf_nn_length_mask", wf_dtype_name(wf_dtype_of(o->mask)),
                             wf_shape_text(&k, text, sizeof text), (long long)a.s, (long long)a.n);
    return attend(&a);
}

wf_tensor wf_nn_attention(wf_params *p, const char *name, wf_tensor x, wf_attention_opt o) {
    if (!wf_layer_enter(p, name, x)) return wf_poison(x);
    return wf_layer_leave(p, x, attention_layer(p, x, &o));
}
