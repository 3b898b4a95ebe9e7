/* Attention, group, instance and RMS norm, transposed convolution, pooling: PyTorch's numbers. */
#include "tests/parity/layer.h"

static wf_tensor attention(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_attention(p, name, x, (wf_attention_opt){.heads = 2, .causal = true});
}
static wf_tensor attention_masked(wf_params *p, const char *name, wf_tensor x) {
    static const int64_t length[] = {4, 3};
    const wf_tensor n = wf_const(x.graph, WF_I64, WF_SHAPE(2), length);
    return wf_nn_attention(p, name, x, (wf_attention_opt){
        .heads = 2, .mask = wf_nn_length_mask(n, 4)});
}
static wf_tensor attention_memory(wf_params *p, const char *name, wf_tensor x) {
    double data[5 * 2 * 4];
    fill_closed("attention_memory.memory", wf_dtype_of(x), WF_COUNT(data), data);
    const wf_tensor memory = wf_const(x.graph, wf_dtype_of(x), WF_SHAPE(5, 2, 4), data);
    return wf_nn_attention(p, name, x, (wf_attention_opt){.heads = 3, .memory = memory});
}
static wf_tensor group_norm(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_group_norm(p, name, x, (wf_group_norm_opt){.groups = 3});
}
static wf_tensor instance_norm(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_instance_norm(p, name, x, (wf_instance_norm_opt){.affine = true});
}
static wf_tensor instance_norm_plain(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_instance_norm(p, name, x, (wf_instance_norm_opt){0});
}
static wf_tensor rms_norm(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_rms_norm(p, name, x, (wf_rms_norm_opt){.eps = 1e-3});
}
static wf_tensor conv_transpose1d(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_conv_transpose1d(p, name, x, (wf_conv_transpose_opt){
        .out = 6, .kernel = 3, .stride = 2, .groups = 2, .pad = 1, .out_pad = 1});
}
static wf_tensor conv_transpose2d(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_conv_transpose2d(p, name, x, (wf_conv_transpose_opt){
        .out = 4, .kernels = {3, 2}, .stride = 2});
}
static wf_tensor conv_transpose3d(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_conv_transpose3d(p, name, x, (wf_conv_transpose_opt){
        .out = 3, .kernel = 2, .dilation = 2, .no_bias = true});
}
static wf_tensor max_pool(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_max_pool(x, 3, 2, 1);
}
static wf_tensor avg_pool(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_avg_pool(x, 3, 2, 1);
}
static wf_tensor global_avg_pool(wf_params *p, const char *name, wf_tensor x) {
    return wf_nn_global_avg_pool(x);
}

#define CASES(X)                                                                                   \
    X(attention, 4, 2, 6)                                                                          \
    X(attention_masked, 4, 2, 6)                                                                   \
    X(attention_memory, 3, 2, 6)                                                                   \
    X(group_norm, 2, 3, 2, 6)                                                                      \
    X(instance_norm, 2, 3, 2, 6)                                                                   \
    X(instance_norm_plain, 2, 5, 3)                                                                \
    X(rms_norm, 2, 3, 6)                                                                           \
    X(conv_transpose1d, 2, 5, 4)                                                                   \
    X(conv_transpose2d, 2, 3, 4, 3)                                                                \
    X(conv_transpose3d, 1, 2, 3, 2, 2)                                                             \
    X(max_pool, 2, 5, 6, 3)                                                                        \
    X(avg_pool, 2, 5, 6, 3)                                                                        \
    X(global_avg_pool, 2, 3, 4, 5)

#define X(name, ...)                                                                               \
    Test(nn_others, name) {                                                                        \
        check_layer(&(layer_case){#name, name, WF_SHAPE(__VA_ARGS__)});                            \
    }
CASES(X)
#undef X

/* Names and layouts of PyTorch's state_dict. */
Test(nn_others, files_have_the_names_of_pytorch) {
    static const struct { const char *name; wf_shape shape; } want[] = {
        {"mha.in_proj_weight", {2, {18, 6}}}, {"mha.in_proj_bias", {1, {18}}},
        {"mha.out_proj.weight", {2, {6, 6}}}, {"mha.out_proj.bias", {1, {6}}},
        {"up.weight", {4, {6, 2, 3, 3}}},     {"up.bias", {1, {4}}},
        {"gru.weight_ih_l1_reverse", {2, {6, 4}}},
    };
    const char *path = "build/test_others.safetensors";
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    wf_nn_attention(p, "mha", wf_full(g, WF_F32, WF_SHAPE(4, 2, 6), 1), (wf_attention_opt){0});
    wf_nn_conv_transpose2d(p, "up", wf_full(g, WF_F32, WF_SHAPE(1, 4, 4, 6), 1),
                           (wf_conv_transpose_opt){.out = 4, .kernel = 3, .groups = 2});
    wf_nn_gru(p, "gru", wf_full(g, WF_F32, WF_SHAPE(4, 2, 6), 1), (wf_gru_opt){
        .hidden = 2, .sequence = {.layers = 2, .bidirectional = true}});
    cr_assert(!wf_params_save(p, path), "%s", wf_error());
    wf_safetensors *file;
    cr_assert(!wf_safetensors_open(&file, path), "%s", wf_error());
    for (size_t i = 0; i < WF_COUNT(want); i++) {
        const wf_named *t = wf_safetensors_find(file, want[i].name);
        cr_assert(t && wf_shape_equal(&t->shape, &want[i].shape), "%s", want[i].name);
    }
    cr_assert(wf_safetensors_count(file) == 6 + 16);
    wf_safetensors_free(file);
    remove(path);
    wf_graph_free(g);
    wf_params_free(p);
}

Test(nn_others, mistakes) {
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    wf_tensor x = wf_full(g, WF_F32, WF_SHAPE(4, 2, 6), 1);
    expect_message(g, wf_nn_attention(p, "mha", x, (wf_attention_opt){.heads = 4}),
                   "mha/attention: 6 channels do not fall into 4 heads");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(4, 2, 6), 1);
    const wf_tensor memory = wf_full(g, WF_F32, WF_SHAPE(5, 3, 6), 1);
    expect_message(g, wf_nn_attention(p, "mha", x, (wf_attention_opt){.memory = memory}),
                   "mha/attention: memory is [5,3,6], not (S, 2, M) for x (T, 2, C)");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(2, 5, 6), 1);
    expect_message(g, wf_nn_group_norm(p, "gn", x, (wf_group_norm_opt){.groups = 4}),
                   "gn/group_norm: 6 channels do not fall into 4 groups");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(2, 5, 6), 1);
    expect_message(g, wf_nn_conv_transpose2d(p, "up", x, (wf_conv_transpose_opt){.out = 4}),
                   "up: x f32[2,5,6] is not real (N, H, W, C)");
    g = wf_graph_new();
    x = wf_full(g, WF_F32, WF_SHAPE(2, 5, 6), 1);
    expect_message(g, wf_nn_conv_transpose1d(p, "up", x, (wf_conv_transpose_opt){.out = 4}),
                   "up/conv_transpose1d: kernel 0 must be positive; set .kernel");
    wf_params_free(p);
}
