/* The tutorial's model learns, and reads what it has not seen; the code in README.md is the code in
 * the folder. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The tutorial is one file; here its main has another name. */
int mnist_cnn_main(int argc, char **argv);
#define main mnist_cnn_main
#include "models/mnist_cnn/main.c"
#undef main

static size_t read_text(const char *path, char *buf, size_t size) {
    FILE *f = fopen(path, "r");
    cr_assert(f, "%s", path);
    const size_t n = fread(buf, 1, size - 1, f);
    fclose(f);
    buf[n] = 0;
    cr_assert(n < size - 1, "%s is longer than this test reads", path);
    return n;
}

/* The file, cut where the text has a remark: every line of code stands in README.md, indented, and
 * in this order. */
Test(model_mnist_cnn, readme_has_the_file) {
    static char readme[1 << 18], code[1 << 14];
    read_text("README.md", readme, sizeof readme);
    read_text("models/mnist_cnn/main.c", code, sizeof code);
    char *at = strstr(readme, "### mnist_cnn");
    cr_assert(at, "README.md has no heading ### mnist_cnn");
    int lines = 0;
    for (char *line = strtok(code, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        char quoted[256];
        snprintf(quoted, sizeof quoted, "\n    %s\n", line);
        at = strstr(at, quoted);
        cr_assert(at, "README.md does not have, after the lines before it: %s", line);
        at += strlen(quoted) - 1;
    }
    cr_assert(lines > 40 && lines <= 60, "%d lines; a tutorial has at most 60", lines);
}

Test(model_mnist_cnn, learns_digits) {
    enum { STEPS = 20 };
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(20, 28, 28, 1));
    const wf_tensor y = wf_input(g, "y", WF_I64, WF_SHAPE(20));
    const wf_tensor logits = network(p, x);
    const wf_tensor loss = wf_name(wf_nn_cross_entropy(logits, y), "loss");
    const wf_tensor right = wf_name(wf_nn_accuracy(logits, y), "right");
    wf_nn_adam(p, loss, (wf_optimizer_opt){.lr = 2e-3});
    wf_program *step, *test;
    cr_assert(!wf_compile(&step, g, &loss, 1, (wf_compile_opt){0}), "%s", wf_error());
    cr_assert(!wf_compile(&test, g, (wf_tensor[]){loss, right}, 2,
                          (wf_compile_opt){.no_assign = true}), "%s", wf_error());
    wf_source *learn, *unseen;
    cr_assert(!open_digits(&learn, "", 0) && !open_digits(&unseen, "", 1), "%s", wf_error());
    double before, after, accuracy;
    cr_assert(!wf_evaluate(test, unseen, "loss", &before), "%s", wf_error());
    const wf_trainer t = {.params = p, .program = step, .data = learn, .steps = STEPS,
                          .schedule = {.lr = 2e-3}};
    cr_assert(!wf_trainer_run(&t, NULL), "%s", wf_error());
    cr_assert(!wf_evaluate(test, unseen, "loss", &after), "%s", wf_error());
    cr_assert(!wf_evaluate(test, unseen, "right", &accuracy), "%s", wf_error());
    cr_expect(before > 2.2 && after < 0.7 * before, "%g, then %g", before, after);
    cr_expect(accuracy > 0.6, "%g of the digits", accuracy);
    wf_program_free(step);
    wf_program_free(test);
    wf_source_close(learn);
    wf_source_close(unseen);
    wf_params_free(p);
    wf_graph_free(g);
}

Test(model_mnist_cnn, a_folder_without_digits_is_an_error) {
    wf_source *s;
    cr_assert_eq(open_digits(&s, "/nowhere", 0), WF_INPUT);
    cr_assert(strstr(wf_error(), "/nowhere/train-images-idx3-ubyte"), "%s", wf_error());
}
