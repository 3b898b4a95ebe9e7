/* The options of keras_convlstm, and its commands. */
#include "models/keras_convlstm/settings.h"

#include <stddef.h>

#include "models/program/machine.h"
#include "models/program/precision.h"

#define AT(field) .offset = offsetof(settings, field)
#define MANY 1e9

static const option network_options[] = {
    {"hidden", "N", OPTION_INTEGER, AT(hidden), .least = 1, .most = 1024, .fallback = "16",
     .help = "channels of the cells (the example: 64)"},
    {"causal", NULL, OPTION_FLAG, AT(causal),
     .help = "the 3-D convolution sees no later frame; the example's sees the one to predict"},
    {"threads", "N", OPTION_INTEGER, AT(threads), .least = 0, .most = 1024, .fallback = "0",
     .help = "worker threads; 0: one a core; results do not depend on it"},
    OPTION_PRECISION(offsetof(settings, precision)),
};
static const option_group network_group = {"Network", network_options, WF_COUNT(network_options)};

static const option data_options[] = {
    {"npy", "FILE", OPTION_TEXT, AT(npy),
     .help = "clips in the official layout, as mnist_test_seq.npy; its last tenth is measured on"},
    {"mnist", "DIR", OPTION_TEXT, AT(mnist),
     .help = "make clips from the MNIST digits in DIR; default: from the built-in ones"},
    {"size", "N", OPTION_INTEGER, AT(size), .least = 32, .most = 64, .fallback = "64",
     .help = "height and width of a frame: 64, or 32 by the mean of 2x2 pixels"},
    {"seed", "S", OPTION_INTEGER, AT(seed), .least = 0, .most = 9007199254740991, .fallback = "1",
     .help = "of everything random; test clips have other digits and paths"},
    {"test", "N", OPTION_INTEGER, AT(test), .least = 1, .most = MANY, .fallback = "20",
     .help = "test clips"},
};
static const option_group data_group = {"Clips", data_options, WF_COUNT(data_options)};

static const option train_options[] = {
    {"clips", "N", OPTION_INTEGER, AT(clips), .least = 1, .most = MANY, .fallback = "1000",
     .help = "clips, of which a tenth validates"},
    {"batch", "N", OPTION_INTEGER, AT(batch), .least = 1, .most = 4096, .fallback = "2",
     .help = "clips a step (the example: 5)"},
    {"steps", "N", OPTION_INTEGER, AT(steps), .least = 1, .most = MANY, .fallback = "300",
     .help = "end after N steps (the example: 3600, 20 epochs)"},
    {"lr", "X", OPTION_REAL, AT(lr), .least = 1e-9, .most = 100, .fallback = "0.001",
     .help = "learning rate of Adam, a tenth after 5 validations without a better one"},
    {"clip", "X", OPTION_REAL, AT(clip), .least = 0, .most = MANY, .fallback = "0",
     .help = "clip the global norm of the gradient; 0: do not, as the example"},
    {"validate-every", "N", OPTION_INTEGER, AT(validate_every), .least = 1, .most = MANY,
     .fallback = "100", .help = "measure on validation clips every N steps (the example: 180)"},
    {"statistics", "N", OPTION_INTEGER, AT(statistics), .least = 0, .most = MANY,
     .fallback = "10",
     .help = "before measuring, average batch norm's statistics over N batches; 0: leave them as "
             "they are, moving averages that lag behind in a short run"},
    {"save-every", "N", OPTION_INTEGER, AT(save_every), .least = 0, .most = MANY, .fallback = "0",
     .help = "a checkpoint every N steps too; 0: after validations"},
    {"log-every", "N", OPTION_INTEGER, AT(log_every), .least = 1, .most = MANY, .fallback = "1",
     .help = "a row in metrics.jsonl every N steps"},
    {"out", "DIR", OPTION_TEXT, AT(out), .fallback = "runs/keras_convlstm",
     .help = "metrics, weights and pictures go here"},
    {"resume", "DIR", OPTION_TEXT, AT(resume), .help = "go on with the run in DIR"},
    {"profile", "FILE", OPTION_TEXT, AT(profile),
     .help = "time every launch; a table on stderr, a trace for ui.perfetto.dev in FILE"},
};
static const option_group train_group = {"Training", train_options, WF_COUNT(train_options)};

static const option test_options[] = {
    {"weights", "FILE", OPTION_TEXT, AT(weights), .required = true,
     .help = "weights (safetensors) to measure"},
    {"clips", "N", OPTION_INTEGER, AT(clips), .least = 1, .most = MANY, .fallback = "1000",
     .help = "clips of the training, which tell the part of --npy that was not trained on"},
    {"out", "DIR", OPTION_TEXT, AT(out), .fallback = ".", .help = "an existing place for pictures"},
};
static const option_group test_group = {"Test", test_options, WF_COUNT(test_options)};

static const command commands[] = {
    {.name = "train",
     .summary = "Trains, measures on test clips and draws what is predicted.",
     .groups = {&network_group, &data_group, &train_group},
     .examples = "  keras_convlstm train --out runs/narrow\n"
                 "  keras_convlstm train --npy data/mnist_test_seq.npy --hidden 64 --batch 5 \\\n"
                 "      --steps 3600 --validate-every 180\n",
     .run = command_train,
     .config_of = "resume"},
    {.name = "test",
     .summary = "Measures weights on test clips and draws what is predicted.",
     .groups = {&network_group, &data_group, &test_group},
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
    return (clips_opt){.npy = s->npy, .mnist = s->mnist, .count = s->clips, .size = s->size,
                       .seed = (uint64_t)s->seed, .frames = 20};
}

wf_status open_test(clips **out, int64_t *first, const settings *s) {
    clips_opt o = training_clips(s);
    *first = 0;
    if (!s->npy) {
        o.split = "test";
        o.count = s->test;
        return clips_open(out, o);
    }
    const int64_t kept = s->clips / 10;
    *first = s->clips - kept;
    if (s->test <= kept) return clips_open(out, o);
    return wf_fail(WF_ARGUMENT, "--test %lld: of %lld clips %lld are kept to measure on",
                   (long long)s->test, (long long)s->clips, (long long)kept);
}

wf_compile_opt compile_options(const settings *s) {
    const int64_t available = machine_memory().available;
    return (wf_compile_opt){.precision = precision_of(s->precision),
                            .threads = (int)s->threads,
                            .most_bytes = available < INT64_MAX ? (size_t)available : 0};
}
