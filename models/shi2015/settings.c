/* The options of shi2015, and its commands. */
#include "models/shi2015/settings.h"

#include <stdlib.h>

#define AT(field) .offset = offsetof(settings, field)
#define MANY 1e9

static const option network_options[] = {
    {"hidden", "A,B", OPTION_TEXT, AT(hidden), .fallback = "32,32",
     .help = "channels of the layers, of encoder and forecaster alike; the paper's best: "
             "128,64,64"},
    {"kernel-input", "N", OPTION_INTEGER, AT(kernel_input), .least = 1, .most = 15, .fallback = "5",
     .help = "side of the convolutions from input to state"},
    {"kernel", "N", OPTION_INTEGER, AT(kernel), .least = 1, .most = 15, .fallback = "5",
     .help = "side of the convolutions from state to state"},
    {"peephole", "KIND", OPTION_CHOICE, AT(peephole), .fallback = "maps",
     .choices = "maps|channels",
     .help = "weights of the peepholes: maps, as in the paper's equations, or one a channel, as in "
             "its parameter counts"},
};
static const option_group network_group = {"Network", network_options, WF_COUNT(network_options)};

static const option data_options[] = {
    {"mnist", "DIR", OPTION_TEXT, AT(run.mnist),
     .help = "make sequences from the MNIST digits in DIR; default: from the built-in ones"},
    {"digits", "N", OPTION_INTEGER, AT(digits), .least = 2, .most = 10000, .fallback = "500",
     .help = "all sequences show these few digits"},
    {"seed", "S", OPTION_INTEGER, AT(run.seed), .least = 0, .most = 9007199254740991,
     .fallback = "1", .help = "of everything random; test sequences have other paths"},
    {"test", "N", OPTION_INTEGER, AT(run.test), .least = 1, .most = MANY, .fallback = "200",
     .help = "test sequences (the paper: 3000)"},
};
static const option_group data_group = {"Sequences", data_options, WF_COUNT(data_options)};

static const option train_options[] = {
    {"clips", "N", OPTION_INTEGER, AT(run.clips), .least = 1, .most = MANY, .fallback = "12000",
     .help = "training sequences, of which a sixth validates (the paper: 10000 and 2000)"},
    {"batch", "N", OPTION_INTEGER, AT(run.batch), .least = 1, .most = 4096, .fallback = "8",
     .help = "sequences a step"},
    {"steps", "N", OPTION_INTEGER, AT(run.steps), .least = 1, .most = MANY, .fallback = "400",
     .help = "end after N steps"},
    {"lr", "X", OPTION_REAL, AT(run.lr), .least = 1e-9, .most = 100, .fallback = "0.001",
     .help = "learning rate of RMSProp, decay 0.9"},
    {"clip", "X", OPTION_REAL, AT(run.clip), .least = 0, .most = MANY, .fallback = "0",
     .help = "clip the norm of the gradient of the mean cross entropy; 0: do not, as the paper"},
    {"validate-every", "N", OPTION_INTEGER, AT(run.validate_every), .least = 1, .most = MANY,
     .fallback = "100", .help = "measure on validation sequences every N steps"},
    {"out", "DIR", OPTION_TEXT, AT(run.out), .fallback = "runs/shi2015",
     .help = "metrics, weights and pictures go here"},
};
static const option_group train_group = {"Training", train_options, WF_COUNT(train_options)};

static const command commands[] = {
    {.name = "train",
     .summary = "Trains, measures on test sequences and draws what is predicted.",
     .groups = {&network_group, &data_group, &train_group, &video_run_group},
     .examples = "  shi2015 train --out runs/narrow\n"
                 "  shi2015 train --mnist data/mnist --hidden 128,64,64 --peephole channels \\\n"
                 "      --steps 100000 --validate-every 1000\n",
     .run = command_train,
     .config_of = "resume"},
    {.name = "test",
     .summary = "Measures weights on test sequences and draws what is predicted.",
     .groups = {&network_group, &data_group, &video_test_group},
     .examples = "  shi2015 test --weights runs/narrow/best.safetensors --test 3000\n",
     .run = command_test},
};

const program shi_program = {
    "shi2015", "The encoder-forecaster ConvLSTM of Shi et al. 2015 on moving digits: 10 frames to "
    "10 frames.", commands, WF_COUNT(commands)};

/* "128,64,64" into o. */
static bool parse_hidden(shi_opt *o, const char *text) {
    char *end;
    for (o->layers = 0; o->layers < SHI_LAYERS; text = end + 1) {
        const long n = strtol(text, &end, 10);
        if (end == text || n < 1 || n > 4096 || (*end && *end != ',')) return false;
        o->hidden[o->layers++] = n;
        if (!*end) return true;
    }
    return false;
}

exit_code network_of(shi_opt *o, const settings *s, int64_t batch) {
    *o = (shi_opt){.kernel_input = (int32_t)s->kernel_input, .kernel = (int32_t)s->kernel,
                   .shared_peephole = s->peephole[0] == 'c', .seen = 10, .predicted = 10,
                   .batch = batch, .side = 64};
    if (!parse_hidden(o, s->hidden))
        return report_error(EXIT_CODE_USAGE, "--hidden %s: one to %d numbers from 1 to 4096, with "
                            "commas", s->hidden, SHI_LAYERS);
    return EXIT_CODE_OK;
}

clips_opt sequences(const settings *s, int64_t count, int64_t part) {
    return (clips_opt){.mnist = s->run.mnist, .count = count, .digits = s->digits, .size = 64,
                       .seed = (uint64_t)s->run.seed + ((uint64_t)part << 56), .mirrored = true};
}
