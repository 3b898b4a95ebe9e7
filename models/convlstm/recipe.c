/* The recipes; see recipe.h.
 *
 *   notebook  Adam at 1/512, clip 2, rate halved when the validation stands still; weights from
 *             U(-1, 1) / sqrt(fan_in) as PyTorch draws them
 *   best      the same with a warm-up, averaged weights, and calm first weights */
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
        r.calm = true;
    }
    if (s->lr > 0) r.schedule.lr = s->lr;
    if (s->clip >= 0) r.clip = s->clip;
    if (s->warmup >= 0) r.schedule.warmup = s->warmup;
    if (s->average >= 0) r.average = s->average;
    if (s->patience >= 0) r.patience = s->patience;
    return r;
}

#include <stdlib.h>
static void scale(wf_params *p, const char *name, double by, double add, int64_t from, int64_t to) {
    wf_param_info w;
    if (!wf_params_find(p, name, &w)) return;
    const int64_t n = wf_shape_count(&w.shape);
    if (to < 0) to = n;
    for (int64_t i = from; i < to; i++) ((float *)w.data)[i] = (float)(((float *)w.data)[i] * by + add);
}

void calm_weights(wf_params *p) {
    const char *e;
    double h = (e = getenv("CALM_H")) ? atof(e) : 0.1;
    double fb = (e = getenv("CALM_F")) ? atof(e) : 0;
    double gb = (e = getenv("CALM_G")) ? atof(e) : 0;
    double ga = (e = getenv("CALM_A")) ? atof(e) : 0;
    scale(p, "final.conv_lstm_cell.weight_h", h, 0, 0, -1);
    if (gb) scale(p, "final.conv_lstm_cell.bias_x", 0, gb, 2, 3);
    if (gb) scale(p, "final.conv_lstm_cell.bias_h", 0, 0, 2, 3);
    if (ga) { wf_param_info w; if (wf_params_find(p, "final.conv_lstm_cell.weight_x", &w)) {
        int64_t H = wf_shape_count(&w.shape)/4; float *v = w.data; for (int64_t i=2*H;i<3*H;i++) if (v[i]<0) v[i] = (float)(-v[i]*ga + v[i]*(1-ga)); } }
    if (fb) { const char *c[] = {"convlstm0.0.","convlstm1.0.","convlstm2.0.","final."};
        for (int i=0;i<4;i++){ char n[128]; wf_param_info w; snprintf(n,sizeof n,"%sconv_lstm_cell.bias_x",c[i]); if(!wf_params_find(p,n,&w)) continue; int64_t H=wf_shape_count(&w.shape)/4; scale(p,n,1,fb,H,2*H);} }
}
