/* The options of keras_convlstm, and its commands. */
#include "models/keras_convlstm/settings.h"

#define AT(field) .offset = offsetof(settings, field)
#define MANY 1e9

static const option network_options[] = {
    {"hidden", "N", OPTION_INTEGER, AT(hidden), .least = 1, .most = 1024, .fallback = "16",
     .help = "channels of the cells (the example: 64)"},
    {"causal", NULL, OPTION_FLAG, AT(causal),
     .help = "the 3-D convolution sees no later frame; the example's sees the one to predict"},
};
static const option_group network_group = {"Network", network_options, WF_COUNT(network_options)};

static const option data_options[] = {
    {"npy", "FILE", OPTION_TEXT, AT(npy),
     .help = "clips in the official layout, as mnist_test_seq.npy; its last tenth is measured on"},
    {"mnist", "DIR", OPTION_TEXT, AT(run.mnist),
     .help = "make clips from the MNIST digits in DIR; default: from the built-in ones"},
    {"size", "N", OPTION_INTEGER, AT(size), .least = 32, .most = 64, .fallback = "64",
     .help = "height and width of a frame: 64, or 32 by the mean of 2x2 pixels"},
    {"seed", "S", OPTION_INTEGER, AT(run.seed), .least = 0, .most = 9007199254740991,
     .fallback = "1", .help = "of everything random; test clips have other digits and paths"},
    {"test", "N", OPTION_INTEGER, AT(run.test), .least = 1, .most = MANY, .fallback = "20",
     .help = "test clips"},
};
static const option_group data_group = {"Clips", data_options, WF_COUNT(data_options)};

static const option train_options[] = {
    {"clips", "N", OPTION_INTEGER, AT(run.clips), .least = 1, .most = MANY, .fallback = "1000",
     .help = "clips, of which a tenth validates"},
    {"batch", "N", OPTION_INTEGER, AT(run.batch), .least = 1, .most = 4096, .fallback = "2",
     .help = "clips a step (the example: 5)"},
    {"steps", "N", OPTION_INTEGER, AT(run.steps), .least = 1, .most = MANY, .fallback = "300",
     .help = "end after N steps (the example: 3600, 20 epochs)"},
    {"lr", "X", OPTION_REAL, AT(run.lr), .least = 1e-9, .most = 100, .fallback = "0.001",
     .help = "learning rate of Adam, a tenth after 5 validations without a better one"},
    {"clip", "X", OPTION_REAL, AT(run.clip), .least = 0, .most = MANY, .fallback = "0",
     .help = "clip the global norm of the gradient; 0: do not, as the example"},
    {"validate-every", "N", OPTION_INTEGER, AT(run.validate_every), .least = 1, .most = MANY,
     .fallback = "100", .help = "measure on validation clips every N steps (the example: 180)"},
    {"statistics", "N", OPTION_INTEGER, AT(statistics), .least = 0, .most = MANY,
     .fallback = "10",
     .help = "before measuring, average batch norm's statistics over N batches; 0: leave them as "
             "they are, moving averages that lag behind in a short run"},
    {"out", "DIR", OPTION_TEXT, AT(run.out), .fallback = "runs/keras_convlstm",
     .help = "metrics, weights and pictures go here"},
};
static const option_group train_group = {"Training", train_options, WF_COUNT(train_options)};

static const option kept_options[] = {
    {"clips", "N", OPTION_INTEGER, AT(run.clips), .least = 1, .most = MANY, .fallback = "1000",
     .help = "clips of the training, which tell the part of --npy that was not trained on"},
};
static const option_group kept_group = {"What was trained on", kept_options,
                                        WF_COUNT(kept_options)};

static const command commands[] = {
    {.name = "train",
     .summary = "Trains, measures on test clips and draws what is predicted.",
     .groups = {&network_group, &data_group, &train_group, &video_run_group},
     .examples = "  keras_convlstm train --out runs/narrow\n"
                 "  keras_convlstm train --npy data/mnist_test_seq.npy --hidden 64 --batch 5 \\\n"
                 "      --steps 3600 --validate-every 180\n",
     .run = command_train,
     .config_of = "resume"},
    {.name = "test",
     .summary = "Measures weights on test clips and draws what is predicted.",
     .groups = {&network_group, &data_group, &kept_group, &video_test_group},
     .examples = "  keras_convlstm test --weights runs/narrow/best.safetensors\n",
     .run = command_test},
};

const program keras_program = {
    "keras_convlstm", "The Keras example's ConvLSTM: next frames of moving digits, and ten frames "
    "from ten.", commands, WF_COUNT(commands)};

keras_opt network_of(const settings *s, int64_t batch) {
    return (keras_opt){.hidden = s->hidden, .frames = 20, .batch = batch, .side = s->size,
                       .causal = s->causal};
}

clips_opt training_clips(const settings *s) {
    return (clips_opt){.npy = s->npy, .mnist = s->run.mnist, .count = s->run.clips, .size = s->size,
                       .seed = (uint64_t)s->run.seed, .frames = 20};
}

wf_status open_test(clips **out, int64_t *first, const settings *s) {
    clips_opt o = training_clips(s);
    *first = 0;
    if (!s->npy) {
        o.split = "test";
        o.count = s->run.test;
        return clips_open(out, o);
    }
    const int64_t kept = s->run.clips / 10;
    *first = s->run.clips - kept;
    if (s->run.test <= kept) return clips_open(out, o);
    return wf_fail(WF_ARGUMENT, "--test %lld: of %lld clips %lld are kept to measure on",
                   (long long)s->run.test, (long long)s->run.clips, (long long)kept);
}
