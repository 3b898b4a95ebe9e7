/* The model; see model.h. */
#include "models/char_gpt/model.h"

static wf_tensor mlp(wf_params *p, wf_tensor x) {
    const int64_t width = wf_dim(x, -1);
    wf_tensor h = wf_nn_linear(p, "up", x, (wf_linear_opt){.out = 4 * width});
    return wf_nn_linear(p, "down", wf_gelu(h), (wf_linear_opt){.out = width});
}

static wf_tensor block(wf_params *p, wf_tensor x, int64_t heads) {
    wf_tensor h = wf_nn_layer_norm(p, "norm1", x, (wf_layer_norm_opt){0});
    x = wf_add(x, wf_nn_attention(p, "attention", h, (wf_attention_opt){
        .heads = heads, .causal = true}));
    h = wf_nn_layer_norm(p, "norm2", x, (wf_layer_norm_opt){0});
    return wf_add(x, mlp(p, h));
}

wf_tensor gpt_logits(wf_params *p, wf_tensor index, gpt_size s) {
    const int64_t steps = wf_dim(index, 0);
    const wf_tensor position = wf_arange(index.graph, WF_I64, 0, 1, steps);
    const wf_tensor where =
        wf_nn_embedding_of(p, "position", position, s.context, s.width, s.dtype);
    wf_tensor x = wf_nn_embedding_of(p, "character", index, s.symbols, s.width, s.dtype);
    x = wf_add(x, wf_reshape(where, WF_SHAPE(steps, 1, s.width)));
    for (int64_t i = 0; i < s.layers; i++) {
        wf_params_push(p, "block%lld", (long long)i);
        x = block(p, x, s.heads);
        wf_params_pop(p);
    }
    x = wf_nn_layer_norm(p, "norm", x, (wf_layer_norm_opt){0});
    return wf_nn_linear(p, "head", x, (wf_linear_opt){.out = s.symbols, .no_bias = true});
}

wf_tensor gpt_loss(wf_params *p, wf_tensor index, wf_tensor target, gpt_size s) {
    return wf_nn_cross_entropy(gpt_logits(p, index, s), target);
}

wf_tensor gpt_optimizer(wf_params *p, wf_tensor loss) {
    static const wf_param_group vectors[] = {
        {.pattern = "*bias", .no_decay = true}, {.pattern = "*norm*", .no_decay = true}};
    return wf_nn_adamw(p, loss, (wf_optimizer_opt){
        .clip_norm = 1, .weight_decay = 0.1, .beta2 = 0.99, .group = vectors, .n_groups = 2});
}
