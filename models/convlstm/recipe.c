/* The recipes; see recipe.h.
 *
 *   notebook  Adam at 1/512, clip 2, rate halved when the validation stands still; weights from
 *             U(-1, 1) / sqrt(fan_in) as PyTorch draws them
 *   best      the same with a warm-up over 100 steps, validated and saved weights that are moving
 *             averages, calm first weights, and a way back: weights whose validation is 1.5 times
 *             the best (the notebook's own run went from MAE 0.021 to that of a black picture in
 *             its ninth epoch and stayed there) are given up for the best ones at half the rate */
#include "models/convlstm/recipe.h"

#include <string.h>

recipe recipe_of(const settings *s) {
    const bool best = strcmp(s->recipe, "notebook") != 0;
    recipe r = {.schedule = {.kind = WF_SCHEDULE_PLATEAU, .lr = 1.0 / 512, .factor = 0.5,
                             .patience = 1},
                .clip = 2, .patience = 4};
    if (best) {
        r.schedule.warmup = 100;
        r.average = 0.999;
        r.collapse = 1.5;
        r.calm = true;
    }
    if (s->lr > 0) r.schedule.lr = s->lr;
    if (s->clip >= 0) r.clip = s->clip;
    if (s->warmup >= 0) r.schedule.warmup = s->warmup;
    if (s->average >= 0) r.average = s->average;
    if (s->patience >= 0) r.patience = s->patience;
    return r;
}

/* v[first .. first + n) *= by, += add, of parameter `name`. */
static void change(wf_params *p, const char *name, int64_t first, int64_t n, float by, float add) {
    wf_param_info w;
    if (!wf_params_find(p, name, &w) || wf_shape_count(&w.shape) < first + n) return;
    for (int64_t i = first; i < first + n; i++)
        ((float *)w.data)[i] = by * ((float *)w.data)[i] + add;
}

/* The output layer is a cell with one channel. With PyTorch's weights its first outputs are large
 * (the mean target is 0.05), and its recurrent weights, from U(-1, 1), make c grow by up to
 * 1 + i o w a frame, which 19 frames can turn into anything; a candidate gate that is below zero
 * for every pixel never learns again. So: small weights on h, a small candidate from x, and a bias
 * that keeps it alive where x says nothing. Losses with 16 channels after steps 1 and 40:
 *   PyTorch's weights, seeds 1 to 3, batch 8   0.036, 0.10, 269     0.016, 0.038, 0.034
 *   these, seeds 1 to 8, batch 2               0.034 to 0.042       0.015 to 0.025
 * Making the candidate's weights on x positive as well blew seed 2 up, 0.29 to 1.1 in a step. */
void calm_weights(wf_params *p) {
    static const char from_h[] = "final.conv_lstm_cell.weight_h"; /* (4, 1, 1, 1) */
    static const char from_x[] = "final.conv_lstm_cell.weight_x"; /* (4, 1, 1, C): i, f, g, o */
    wf_param_info w;
    if (!wf_params_find(p, from_x, &w)) return;
    const int64_t channels = wf_shape_count(&w.shape) / 4;
    change(p, from_h, 0, 4, 0.1f, 0);
    change(p, from_x, 2 * channels, channels, 0.25f, 0);
    change(p, "final.conv_lstm_cell.bias_x", 2, 1, 0, 0.05f);
    change(p, "final.conv_lstm_cell.bias_h", 2, 1, 0, 0);
}
