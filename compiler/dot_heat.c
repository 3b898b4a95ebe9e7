/* Measured time in pictures. The time of a launch belongs to the node that it makes last; that of
 * a table of groups to the last node of each, in proportion to the bytes that they move. So the
 * times of all boxes add up to the run. */
#include "compiler/dot.h"

static void spread_launch(wf_dot *d, const wf_plan *p, uint32_t launch, double seconds) {
    const wf_launch *l = &p->launch[launch];
    const double bytes = wf_launch_bytes(p, launch);
    if (!l->group || l->chain) {
        d->heat[l->node] += seconds;
        return;
    }
    for (uint32_t row = 0; row < l->rows; row++) {
        const wf_sweep *s = &p->sweep[l->group - 1 + row];
        const wf_fused *g = &p->fusion.list[s->fused];
        const double part = bytes > 0 ? (double)wf_sweep_bytes(p, l, row) / bytes : 1.0 / l->rows;
        d->heat[p->fusion.member[g->first + g->n - 1]] += part * seconds;
    }
}

wf_status wf_dot_heat_find(wf_dot *d) {
    const wf_profile *f = d->profile;
    if (!f) return WF_OK;
    d->heat = wf_arena_alloc(&d->mem, d->n * sizeof *d->heat);
    if (!d->heat) return wf_dot_no_memory();
    const double second = 1e-9 / (double)f->runs;
    const wf_profile_sum *sum = f->sum;
    for (uint32_t i = 0; i < d->plan->n_launch; i++)
        if (!wf_launch_follows(d->plan, i))
            spread_launch(d, d->plan, i, second * (double)sum++->time);
    d->run_seconds = second * (double)f->time;
    return WF_OK;
}

double wf_dot_heat_of(const wf_dot *d, const wf_dot_box *b) {
    double sum = 0;
    for (uint32_t i = 0; i < b->nodes; i++) sum += d->heat[d->member[b->first_member + i]];
    return sum;
}

/* The share of the run. */
static double share_of(const wf_dot *d, double seconds) {
    return d->run_seconds > 0 ? seconds / d->run_seconds : 0;
}

/* Three digits: "1.75 s", "12.3 ms", "870 us". */
static void put_seconds(double s, wf_dot_text *t) {
    static const char *const unit[] = {"us", "ms", "s"};
    double v = 1e6 * s;
    int i = 0;
    for (; v >= 999.5 && i < 2; i++) v /= 1000;
    const int decimals = v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2;
    const int scale = decimals == 2 ? 100 : decimals == 1 ? 10 : 1;
    const long long whole = (long long)(v * scale + 0.5);
    wf_dot_put(t, "%lld", whole / scale);
    if (decimals) wf_dot_put(t, ".%0*lld", decimals, whole % scale);
    wf_dot_put(t, " %s", unit[i]);
}

void wf_dot_put_time(const wf_dot *d, double seconds, wf_dot_text *t) {
    const long long permille = (long long)(1000 * share_of(d, seconds) + 0.5);
    put_seconds(seconds, t);
    if (permille) wf_dot_put(t, " %lld.%lld %%", permille / 10, permille % 10);
}

void wf_dot_heat_label(const wf_dot *d, const wf_dot_box *b, double flops, wf_dot_text *t) {
    const double seconds = d->heat ? wf_dot_heat_of(d, b) : 0;
    if (seconds <= 0) return;
    wf_dot_put(t, "\\n");
    wf_dot_put_time(d, seconds, t);
    if (flops <= 0) return;
    wf_dot_put(t, "\\n");
    wf_dot_put_amount(t, flops / seconds, "FLOP/s");
}

/* From white to red; each step is three times as much. The classes of colorbrewer2.org's OrRd. */
const char *wf_dot_heat_colour(const wf_dot *d, const wf_dot_box *b) {
    static const struct {
        double least;
        const char *colour;
    } steps[] = {{0.27, "#e34a33"}, {0.09, "#ef6548"}, {0.03, "#fc8d59"},
                 {0.01, "#fdbb84"}, {0.003, "#fdd49e"}, {0.001, "#fee8c8"}, {0, "#fff7ec"}};
    const double seconds = wf_dot_heat_of(d, b);
    size_t i = 0;
    while (share_of(d, seconds) < steps[i].least) i++;
    return seconds > 0 ? steps[i].colour : "#ffffff";
}

void wf_dot_heat_title(const wf_dot *d, wf_dot_text *t) {
    if (!d->heat) return;
    wf_dot_put(t, "\\n");
    put_seconds(d->run_seconds, t);
    wf_dot_put(t, " a run, mean of %llu; a launch's time stands where its last value is made",
               (unsigned long long)d->profile->runs);
}
