/* The tutorial: a convolutional network learns to read digits.    mnist_cnn [FOLDER WITH MNIST] */
#include <stdio.h>
#include "models/moving_mnist/digits.h"
#include "nn/nn.h"

enum { BATCH = 100, EPOCHS = 4, BUILT_IN = 10000 };

static wf_tensor network(wf_params *p, wf_tensor h) {
    h = wf_relu(wf_nn_conv2d(p, "conv1", h, (wf_conv_layer_opt){.out = 16, .kernel = 5}));
    h = wf_nn_max_pool(h, 2, 0, 0);
    h = wf_relu(wf_nn_conv2d(p, "conv2", h, (wf_conv_layer_opt){.out = 32, .kernel = 5}));
    h = wf_nn_max_pool(h, 2, 0, 0);
    h = wf_reshape(h, WF_SHAPE(wf_dim(h, 0), -1));
    h = wf_relu(wf_nn_linear(p, "fc1", h, (wf_linear_opt){.out = 128}));
    return wf_nn_linear(p, "fc2", h, (wf_linear_opt){.out = 10});
}

static wf_status open_digits(wf_source **out, const char *folder, int test) {
    static uint8_t pixels[2][BUILT_IN][DIGITS_PIXELS], digit[BUILT_IN];
    char images[4096], labels[4096];
    snprintf(images, sizeof images, "%s/%s-images-idx3-ubyte", folder, test ? "t10k" : "train");
    snprintf(labels, sizeof labels, "%s/%s-labels-idx1-ubyte", folder, test ? "t10k" : "train");
    wf_source_part part[] = {{.name = "x", .scale = 1.0 / 255}, {.name = "y", .dtype = WF_I64}};
    for (int i = 0; i < BUILT_IN && !*folder; i++) {
        digits_draw((uint64_t)test, (uint64_t)i, pixels[test][i]);
        digit[i] = (uint8_t)(i % 10);
    }
    for (int i = 0; i < 2; i++) {
        if (*folder) part[i].idx = i ? labels : images;
        else part[i].data = i ? digit : pixels[test][0], part[i].from = WF_U8;
        part[i].shape = i ? WF_SHAPE(BUILT_IN) : WF_SHAPE(BUILT_IN, 28, 28);
    }
    return wf_source_open(out, part, 2);
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "";
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1); /* a seed */
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(BATCH, 28, 28, 1));
    const wf_tensor y = wf_input(g, "y", WF_I64, WF_SHAPE(BATCH));
    const wf_tensor logits = network(p, x);
    const wf_tensor loss = wf_name(wf_nn_cross_entropy(logits, y), "loss");
    const wf_tensor right = wf_name(wf_nn_accuracy(logits, y), "right");
    wf_nn_adam(p, loss, (wf_optimizer_opt){0});
    wf_trainer t = {.params = p, .epochs = EPOCHS,
                    .schedule = {.kind = WF_SCHEDULE_COSINE, .lr = 2e-3}};
    wf_program *test;
    wf_source *learn, *unseen;
    double accuracy;
    wf_status s = wf_compile(&t.program, g, &loss, 1, (wf_compile_opt){0});
    if (!s) s = wf_compile(&test, g, &right, 1, (wf_compile_opt){.no_assign = true});
    if (!s) s = open_digits(&learn, folder, 0);
    if (!s) s = open_digits(&unseen, folder, 1);
    if (!s) t.data = learn, s = wf_trainer_run(&t, NULL);
    if (!s) s = wf_evaluate(test, unseen, "right", &accuracy);
    if (s) return fprintf(stderr, "mnist_cnn: %s\n", wf_error()), 1;
    printf("%.2f %% of %lld unseen digits\n", 100 * accuracy, (long long)wf_source_count(unseen));
    return 0;
}
