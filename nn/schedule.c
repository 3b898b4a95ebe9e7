/* Learning-rate schedules: plain numbers, outside the graph.
 *
 * Sources: PyTorch's StepLR, CosineAnnealingLR (Loshchilov and Hutter, arXiv:1608.03983, without
 * restarts), ReduceLROnPlateau, LinearLR and OneCycleLR; linear warm-up as in Goyal et al.,
 * arXiv:1706.02677; halving as in the RNNLM toolkit (Mikolov et al., Interspeech 2010). */
#include <math.h>

#include "nn/nn.h"

static double cosine(double from, double to, double part) {
    return to + (from - to) / 2 * (1 + cos(3.141592653589793 * part));
}

/* PyTorch's OneCycleLR: the top is reached at step rise * total - 1, the end at total - 1. */
static double one_cycle(const wf_schedule *s, int64_t step) {
    const double start = s->start == 0 ? 25 : s->start, end = s->end == 0 ? 1e4 : s->end;
    const double top = (s->rise == 0 ? 0.3 : s->rise) * (double)s->total - 1;
    const double low = s->lr / start, last = (double)s->total - 1;
    if ((double)step >= last) return low / end;
    if ((double)step < top) return cosine(low, s->lr, (double)step / top);
    return cosine(s->lr, low / end, ((double)step - top) / (last - top));
}

double wf_schedule_lr(const wf_schedule *s, int64_t step) {
    const double rise = step < s->warmup ? (double)(step + 1) / (double)s->warmup : 1;
    if (s->kind == WF_SCHEDULE_PLATEAU || s->kind == WF_SCHEDULE_HALVING)
        return (s->started ? s->current : s->lr) * rise;
    if (s->kind == WF_SCHEDULE_ONE_CYCLE) return one_cycle(s, step);
    if (step < s->warmup) return s->lr * rise;
    const int64_t since = step - s->warmup, span = s->total - s->warmup;
    switch (s->kind) {
    case WF_SCHEDULE_STEP:
        if (s->step_size < 1) return s->lr;
        return s->lr * pow(s->factor == 0 ? 0.1 : s->factor, (double)(since / s->step_size));
    case WF_SCHEDULE_COSINE:
        if (since >= span) return s->min_lr;
        return cosine(s->lr, s->min_lr, (double)since / (double)span);
    case WF_SCHEDULE_LINEAR:
        if (since >= span) return s->min_lr;
        return s->lr + (s->min_lr - s->lr) * (double)since / (double)span;
    default: return s->lr;
    }
}

/* `best` is the value before; `bad` is not 0 once the rate has begun to fall. */
static void halve(wf_schedule *s, double value) {
    const double enough = 1 + (s->threshold == 0 ? 3e-3 : s->threshold);
    if (!(value * enough < s->best)) s->bad++;
    if (s->bad > 0) s->current = fmax(s->current * (s->factor == 0 ? 0.5 : s->factor), s->min_lr);
    s->best = value;
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
    if (s->kind == WF_SCHEDULE_HALVING) {
        halve(s, value);
        return;
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
