/* Learning-rate schedules: plain numbers, outside the graph.
 *
 * Sources: PyTorch's StepLR, CosineAnnealingLR (Loshchilov and Hutter, arXiv:1608.03983, without
 * restarts) and ReduceLROnPlateau; linear warm-up as in Goyal et al., arXiv:1706.02677. */
#include <math.h>

#include "nn/nn.h"

double wf_schedule_lr(const wf_schedule *s, int64_t step) {
    const double rise = step < s->warmup ? (double)(step + 1) / (double)s->warmup : 1;
    if (s->kind == WF_SCHEDULE_PLATEAU) return (s->started ? s->current : s->lr) * rise;
    if (step < s->warmup) return s->lr * rise;
    const int64_t since = step - s->warmup, span = s->total - s->warmup;
    switch (s->kind) {
    case WF_SCHEDULE_STEP:
        if (s->step_size < 1) return s->lr;
        return s->lr * pow(s->factor == 0 ? 0.1 : s->factor, (double)(since / s->step_size));
    case WF_SCHEDULE_COSINE:
        if (since >= span) return s->min_lr;
        return s->min_lr + (s->lr - s->min_lr) / 2 *
                               (1 + cos(3.141592653589793 * (double)since / (double)span));
    default: return s->lr;
    }
}

void wf_schedule_metric(wf_schedule *s, double value) {
    const double threshold = s->threshold == 0 ? 1e-4 : s->threshold;
    const double factor = s->factor == 0 ? 0.1 : s->factor;
    if (!s->started) {
        s->started = true;
        s->current = s->lr;
        s->best = INFINITY;
        s->bad = 0;
    }
    if (value < s->best * (1 - threshold)) {
        s->best = value;
        s->bad = 0;
    } else {
        s->bad++;
    }
    if (s->bad <= s->patience) return;
    const double next = fmax(s->current * factor, s->min_lr);
    if (s->current - next > 1e-8) s->current = next; /* PyTorch's eps */
    s->bad = 0;
}
