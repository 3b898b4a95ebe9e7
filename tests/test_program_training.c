/* A program's training run: what its folder holds, and that a run that goes on ends where one in a
 * single piece does. */
#include <criterion/criterion.h>
#include <math.h>

#include "models/program/metrics.h"
#include "models/program/training.h"
#include "tests/bad_inputs.h"

static const float inputs[8][2] = {{0, 1}, {1, 0}, {1, 1}, {2, 1}, {0, 2}, {3, 1}, {1, 3}, {2, 2}};

static wf_status validate(void *user, const wf_trainer_at *at, double *metric) {
    ++*(int *)user;
    *metric = 100.0 - (double)at->step;
    return WF_OK;
}

/* Trains y = w x towards the sum of x for so many steps; returns w's first number. */
static float run(const char *dir, int64_t steps, bool resume, int *validations) {
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    wf_program *step;
    wf_source *source;
    const wf_source_part part = {.name = "x", .data = inputs, .from = WF_F32,
                                 .shape = WF_SHAPE(8, 2)};
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(4, 2));
    const wf_tensor y = wf_nn_linear(p, "a", x, (wf_linear_opt){.out = 1});
    const wf_tensor sum = wf_sum(x, (wf_reduce_opt){1, {1}, .keepdims = true});
    const wf_tensor loss = wf_name(wf_nn_mse(y, sum), "loss");
    const wf_tensor outputs[] = {loss, wf_name(wf_nn_adam(p, loss, (wf_optimizer_opt){0}),
                                               "grad_norm")};
    cr_assert(!wf_compile(&step, g, outputs, 2, (wf_compile_opt){0}), "%s", wf_error());
    cr_assert(!wf_source_open(&source, &part, 1), "%s", wf_error());
    const wf_trainer t = {.params = p, .program = step, .data = source, .steps = steps,
                          .validate_every = 2, .schedule = {.lr = 0.1}, .resume = resume,
                          .on = {.validate = validate}, .user = validations};
    const training_place place = {.dir = dir, .config = "{}\n"};
    wf_trainer_result r;
    report_set_name("test", "train");
    cr_assert(training_run(t, place, &r) == EXIT_CODE_OK && r.at.step == steps);
    wf_param_info w;
    cr_assert(wf_params_find(p, "a.weight", &w));
    const float first = *(const float *)w.data;
    wf_source_close(source);
    wf_program_free(step);
    wf_graph_free(g);
    wf_params_free(p);
    return first;
}

Test(program_training, folder_and_resume) {
    char *folder = temp_folder(), file[512];
    int validations = 0;
    const float whole = run(temp_path(folder, "whole"), 6, false, &validations);
    cr_expect(validations == 3, "%d validations", validations);
    run(temp_path(folder, "parts"), 4, false, &validations);
    const float parts = run(temp_path(folder, "parts"), 6, true, &validations);
    cr_expect(memcmp(&whole, &parts, sizeof whole) == 0, "%g and %g", whole, parts);
    metrics m[2];
    cr_assert(!metrics_read(&m[0], temp_path(folder, "whole")), "%s", wf_error());
    cr_assert(!metrics_read(&m[1], temp_path(folder, "parts")), "%s", wf_error());
    const int loss = metrics_column(&m[0], "loss"), val = metrics_column(&m[0], "val_loss");
    cr_assert(m[0].n == 9 && m[1].n == 9 && loss >= 0 && val >= 0, "%lld, %lld rows",
              (long long)m[0].n, (long long)m[1].n);
    for (int64_t i = 0; i < 9; i++) {
        const double a = m[0].row[i][loss], b = m[1].row[i][loss];
        cr_expect(a == b || (isnan(a) && isnan(b)), "row %lld: %g and %g", (long long)i, a, b);
    }
    cr_expect(m[0].row[8][val] == 94);
    static const char *const files[] = {"config.json", "metrics.csv", "best.safetensors",
                                        "last.safetensors", "checkpoint.safetensors"};
    for (size_t i = 0; i < WF_COUNT(files); i++) {
        snprintf(file, sizeof file, "%s/%s", temp_path(folder, "whole"), files[i]);
        FILE *f = fopen(file, "rb");
        cr_expect(f != NULL, "%s is not there", file);
        if (f) fclose(f);
    }
    metrics_free(&m[0]);
    metrics_free(&m[1]);
    temp_remove(folder);
}
