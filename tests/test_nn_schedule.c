/* Schedules against torch.optim.lr_scheduler, and warm-up by its definition. */
#include "tests/parity/parity.h"

static void expect_rates(const wf_schedule *s, const char *name) {
    const int64_t n = wf_shape_count(&recorded(name)->shape);
    for (int64_t i = 0; i < n; i++) {
        const double got = wf_schedule_lr(s, i), want = recorded_value(name, i);
        cr_assert(fabs(got - want) <= 1e-14, "%s: rate %lld is %.17g, not %.17g", name,
                  (long long)i, got, want);
    }
}

Test(nn_schedule, step) {
    expect_rates(&(wf_schedule){.kind = WF_SCHEDULE_STEP, .lr = 0.1, .step_size = 3, .factor = 0.5},
                 "schedule.step");
}

Test(nn_schedule, cosine) {
    const wf_schedule s = {.kind = WF_SCHEDULE_COSINE, .lr = 0.1, .total = 10, .min_lr = 0.001};
    expect_rates(&s, "schedule.cosine");
    cr_assert(wf_schedule_lr(&s, 1000) == 0.001);
}

Test(nn_schedule, plateau) {
    wf_schedule s = {.kind = WF_SCHEDULE_PLATEAU, .lr = 0.1, .factor = 0.5, .patience = 1,
                     .min_lr = 0.02};
    const int64_t n = wf_shape_count(&recorded("schedule.metric")->shape);
    for (int64_t i = 0; i < n; i++) {
        const double got = wf_schedule_lr(&s, 1234), want = recorded_value("schedule.plateau", i);
        cr_assert(fabs(got - want) <= 1e-14, "rate %lld is %.17g, not %.17g", (long long)i, got,
                  want);
        wf_schedule_metric(&s, recorded_value("schedule.metric", i));
    }
    cr_assert(s.current == 0.02);
}

/* A metric that is NaN is not an improvement. */
Test(nn_schedule, plateau_nan_is_bad) {
    wf_schedule s = {.kind = WF_SCHEDULE_PLATEAU, .lr = 1, .factor = 0.5};
    wf_schedule_metric(&s, NAN);
    cr_assert(wf_schedule_lr(&s, 0) == 0.5);
}

Test(nn_schedule, warm_up_is_linear) {
    const wf_schedule c = {.kind = WF_SCHEDULE_CONSTANT, .lr = 0.4, .warmup = 4};
    const wf_schedule cosine = {.kind = WF_SCHEDULE_COSINE, .lr = 0.4, .warmup = 4, .total = 14};
    for (int64_t i = 0; i < 4; i++) {
        cr_assert(fabs(wf_schedule_lr(&c, i) - 0.1 * (double)(i + 1)) < 1e-15);
        cr_assert(wf_schedule_lr(&cosine, i) == wf_schedule_lr(&c, i));
    }
    cr_assert(wf_schedule_lr(&c, 4) == 0.4 && wf_schedule_lr(&c, 1000) == 0.4);
    cr_assert(wf_schedule_lr(&cosine, 4) == 0.4);
    cr_assert(fabs(wf_schedule_lr(&cosine, 9) - 0.2) < 1e-15);
}

Test(nn_schedule, linear) {
    const wf_schedule s = {.kind = WF_SCHEDULE_LINEAR, .lr = 0.1, .total = 8, .min_lr = 0.01};
    expect_rates(&s, "schedule.linear");
}

Test(nn_schedule, one_cycle) {
    const wf_schedule s = {.kind = WF_SCHEDULE_ONE_CYCLE, .lr = 0.1, .total = 20};
    expect_rates(&s, "schedule.one_cycle");
    cr_assert(fabs(wf_schedule_lr(&s, 1000) - 0.1 / 25 / 1e4) < 1e-18);
    const wf_schedule steep = {.kind = WF_SCHEDULE_ONE_CYCLE, .lr = 0.1, .total = 15, .rise = 0.5,
                               .start = 10, .end = 100};
    expect_rates(&steep, "schedule.one_cycle_steep");
    /* A rise of one step is none: it begins at the top. */
    const wf_schedule falling = {.kind = WF_SCHEDULE_ONE_CYCLE, .lr = 0.1, .total = 10,
                                 .rise = 0.1};
    cr_assert(wf_schedule_lr(&falling, 0) == 0.1, "%g", wf_schedule_lr(&falling, 0));
    cr_assert(wf_schedule_lr(&falling, 1) < 0.1, "%g", wf_schedule_lr(&falling, 1));
}

/* By hand: 10 % better, 1 % better, 0.1 % better (the fall begins), then at every metric. */
Test(nn_schedule, halving_goes_on_once_it_has_begun) {
    wf_schedule s = {.kind = WF_SCHEDULE_HALVING, .lr = 1, .threshold = 0.005};
    const double metric[] = {10, 9, 8.91, 8.901, 4, 3.99}, want[] = {1, 1, 1, 0.5, 0.25, 0.125};
    cr_assert(wf_schedule_lr(&s, 0) == 1);
    for (int i = 0; i < 6; i++) {
        wf_schedule_metric(&s, metric[i]);
        cr_assert(wf_schedule_lr(&s, 100) == want[i], "metric %d: %g", i, wf_schedule_lr(&s, 0));
    }
}
