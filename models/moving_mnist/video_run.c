/* A training run on clips; see video_run.h. */
#include "models/moving_mnist/video_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "models/program/computing.h"
#include "models/program/config.h"
#include "models/program/training.h"

#define AT(field) .offset = offsetof(video_run, field)
#define MANY 1e9

static const option run_options[] = {
    OPTION_THREADS(offsetof(video_run, threads)),
    OPTION_PRECISION(offsetof(video_run, precision)),
    {"save-every", "N", OPTION_INTEGER, AT(save_every), .least = 0, .most = MANY, .fallback = "0",
     .help = "a checkpoint every N steps too; 0: after validations"},
    {"log-every", "N", OPTION_INTEGER, AT(log_every), .least = 1, .most = MANY, .fallback = "1",
     .help = "a row in metrics.jsonl every N steps"},
    {"resume", "DIR", OPTION_TEXT, AT(resume),
     .help = "go on with the run in DIR, with its options and data"},
    {"profile", "FILE", OPTION_TEXT, AT(profile),
     .help = "time every launch; a table on stderr, a trace for ui.perfetto.dev in FILE"},
};
const option_group video_run_group = {"Run", run_options, WF_COUNT(run_options)};

static const option test_options[] = {
    {"weights", "FILE", OPTION_TEXT, AT(weights), .required = true,
     .help = "weights (safetensors) to measure"},
    {"out", "DIR", OPTION_TEXT, AT(out), .fallback = ".", .help = "an existing place for pictures"},
    OPTION_THREADS(offsetof(video_run, threads)),
    OPTION_PRECISION(offsetof(video_run, precision)),
};
const option_group video_test_group = {"Test", test_options, WF_COUNT(test_options)};

wf_params *video_params(const video_run *r) {
    wf_params *p = wf_params_new((uint64_t)r->seed);
    if (!p) wf_fail(WF_MEMORY, "no memory for the parameters");
    return p;
}

wf_compile_opt video_compile(const video_run *r) {
    return computing_options(r->threads, r->precision);
}

const char *video_dir(const video_run *r) { return r->resume ? r->resume : r->out; }

void video_best(const video_run *r, char *path, size_t size) {
    snprintf(path, size, "%s/best.safetensors", video_dir(r));
}

exit_code video_train(const program *p, const void *settings, size_t bytes, const clip_set *data,
                      wf_trainer t) {
    const video_run *r = settings;
    char hash[CLIPS_HASH];
    exit_code code = EXIT_CODE_OK;
    clips_hash(data->all, hash);
    if (r->resume)
        code = config_compare(program_command(p, "train"), r->resume, settings,
                              "steps|test|threads|save-every|log-every|profile|resume|out");
    if (!code && r->resume) code = config_compare_data(r->resume, hash);
    if (code) return code;
    char *config = config_of_run(p, "train", settings, bytes, video_dir(r), hash);
    if (!config) return report_failure(wf_fail(WF_MEMORY, "no memory for config.json"));
    t.data = data->train;
    t.seed = (uint64_t)r->seed;
    t.steps = r->steps;
    t.validate_every = r->validate_every;
    t.save_every = r->save_every;
    t.resume = r->resume != NULL;
    const training_place place = {.dir = video_dir(r), .config = config,
                                  .log_every = r->log_every, .profile = r->profile};
    code = training_run(t, place, NULL);
    free(config);
    return code;
}
