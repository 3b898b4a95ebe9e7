/* The encoder-forecaster network of Shi et al. 2015: its parameter counts are those of the paper's
 * table, and a few steps lower its loss. */
#include <criterion/criterion.h>
#include <math.h>

#include "models/moving_mnist/clip_set.h"
#include "models/shi2015/model.h"

static int64_t parameters(shi_opt o) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    o.seen = o.predicted = 2;
    o.batch = 1;
    o.side = 64;
    cr_assert(wf_ok(shi_write(g, p, &o).loss), "%s", wf_graph_message(g));
    const int64_t n = wf_params_elements(p);
    wf_params_free(p);
    wf_graph_free(g);
    return n;
}

Test(model_shi2015, parameters_of_the_paper) {
    static const struct {
        shi_opt o;
        int64_t count;
    } rows[] = {
        {{.layers = 1, .hidden = {256}, .kernel_input = 5, .kernel = 5}, 13524496},
        {{.layers = 2, .hidden = {128, 128}, .kernel_input = 5, .kernel = 5}, 10042896},
        {{.layers = 3, .hidden = {128, 64, 64}, .kernel_input = 5, .kernel = 5}, 7585296},
        {{.layers = 2, .hidden = {128, 128}, .kernel_input = 9, .kernel = 1}, 11550224},
        {{.layers = 3, .hidden = {128, 64, 64}, .kernel_input = 9, .kernel = 1}, 8830480},
    };
    for (size_t i = 0; i < WF_COUNT(rows); i++) {
        shi_opt o = rows[i].o;
        o.shared_peephole = true;
        cr_expect(parameters(o) == rows[i].count, "row %zu: %lld, not %lld", i,
                  (long long)parameters(o), (long long)rows[i].count);
    }
    shi_opt maps = rows[0].o;
    cr_expect(parameters(maps) - rows[0].count == 2 * 3 * 256 * (16 * 16 - 1));
}

/* A predictor that knows nothing says 1/2: log 2 for each of 4096 pixels in each frame. */
Test(model_shi2015, loss_is_nats_a_sequence) {
    const shi_opt o = {.layers = 1, .hidden = {2}, .kernel_input = 3, .kernel = 3, .seen = 2,
                       .predicted = 3, .batch = 2, .side = 64};
    wf_params *p = wf_params_new(1);
    wf_program *program;
    clips *c;
    double nats = 0;
    cr_assert(!shi_predictor(&program, p, &o, (wf_compile_opt){0}), "%s", wf_error());
    wf_params_fill(p, "output.*", 0);
    cr_assert(!clips_open(&c, (clips_opt){.count = 4, .size = 64, .frames = 5}));
    cr_assert(!clips_mean(c, 0, 4, program, "loss", &nats), "%s", wf_error());
    cr_expect(fabs(nats / (3 * 4096 * log(2)) - 1) < 1e-6, "%g", nats);
    size_t bytes;
    const float *y = wf_data_named(program, "y", &bytes);
    cr_expect(bytes == sizeof(float) * 3 * 2 * 4096 && y[5] == 0.5f);
    clips_close(c);
    wf_program_free(program);
    wf_params_free(p);
}

Test(model_shi2015, learns) {
    const shi_opt o = {.layers = 2, .hidden = {4, 4}, .kernel_input = 3, .kernel = 3, .seen = 3,
                       .predicted = 3, .batch = 2, .side = 64};
    wf_params *p = wf_params_new(1);
    wf_program *program;
    clip_set data;
    cr_assert(!clip_set_open(&data, (clips_opt){.count = 8, .size = 64, .frames = 6,
                                                .digits = 10, .mirrored = true}, 0.25));
    cr_assert(data.first == 6 && data.kept == 2 && wf_source_count(data.train) == 6);
    cr_assert(!shi_trainer(&program, p, &o, 0, (wf_compile_opt){0}), "%s", wf_error());
    double first = 0, last = 0;
    wf_trainer t = {.params = p, .program = program, .data = data.train, .steps = 1,
                    .schedule = {.lr = 0.01}};
    wf_trainer_result r;
    cr_assert(!wf_trainer_run(&t, &r), "%s", wf_error());
    first = r.at.loss;
    t.steps = 12;
    cr_assert(!wf_trainer_run(&t, &r), "%s", wf_error());
    last = r.at.loss;
    cr_expect(last < 0.6 * first && last > 0, "%g, then %g", first, last);
    wf_program_free(program);
    clip_set_close(&data);
    wf_params_free(p);
}
