/* The options of srivastava2015, and its commands. */
#include "models/srivastava2015/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "models/program/computing.h"
#include "models/program/config.h"

#define AT(field) .offset = offsetof(settings, field)
#define MANY 1e9
#define LARGEST 9007199254740991

static const option network_options[] = {
    {"model", "KIND", OPTION_CHOICE, AT(model), .fallback = "composite",
     .choices = "autoencoder|future|composite",
     .help = "decoders: one that writes the past, one that writes the future, or both"},
    {"conditional", NULL, OPTION_FLAG, AT(conditional),
     .help = "decoders read the frame before the one they write"},
    {"hidden", "N", OPTION_INTEGER, AT(hidden), .least = 1, .most = 4096, .fallback = "256",
     .help = "units of an LSTM layer; the paper has 2048"},
    {"layers", "N", OPTION_INTEGER, AT(layers), .least = 1, .most = 8, .fallback = "1",
     .help = "LSTM layers of encoder and decoders; the paper has 1 and 2"},
    {"past", "N", OPTION_INTEGER, AT(past), .least = 1, .most = 500, .fallback = "10",
     .help = "frames that are read"},
    {"future", "N", OPTION_INTEGER, AT(future), .least = 1, .most = 500, .fallback = "10",
     .help = "frames that follow"},
};
static const option clip_options[] = {
    {"npy", "FILE", OPTION_TEXT, AT(npy),
     .help = "clips in the official layout, u8 (frames, clips, 64, 64)"},
    {"mnist", "DIR", OPTION_TEXT, AT(mnist),
     .help = "make clips from the MNIST digits in DIR (default: built-in digits)"},
    {"clips", "N", OPTION_INTEGER, AT(clips), .least = 1, .most = MANY, .fallback = "10000",
     .help = "clips to train on and to validate with; of an npy file, the first ones"},
    {"size", "N", OPTION_INTEGER, AT(size), .least = 16, .most = 64, .fallback = "64",
     .help = "height and width of a frame: 64, or 32 by the mean of 2x2 pixels"},
};
static const option train_options[] = {
    {"seed", "S", OPTION_INTEGER, AT(seed), .least = 0, .most = LARGEST, .fallback = "1",
     .help = "of everything random: made clips, order, first weights"},
    {"steps", "N", OPTION_INTEGER, AT(steps), .least = 1, .most = MANY,
     .help = "end after N steps"},
    {"epochs", "N", OPTION_INTEGER, AT(epochs), .least = 1, .most = MANY,
     .help = "end after N passes over the training clips (10 if no --steps)"},
    {"batch", "N", OPTION_INTEGER, AT(batch), .least = 1, .most = 4096, .fallback = "16",
     .help = "clips of a step"},
    {"lr", "X", OPTION_REAL, AT(lr), .least = 1e-12, .most = 100, .fallback = "0.001",
     .help = "learning rate of Adam"},
    {"clip", "X", OPTION_REAL, AT(clip), .least = 0, .most = MANY, .fallback = "100",
     .help = "clip the global norm of the gradient; 0: do not"},
    {"val", "N", OPTION_INTEGER, AT(val), .least = 0, .most = MANY, .fallback = "64",
     .help = "clips kept for validation, after every epoch; 0: none"},
    {"out", "DIR", OPTION_TEXT, AT(out), .fallback = "runs/srivastava2015",
     .help = "metrics.jsonl, checkpoints, best.safetensors, last.safetensors go here"},
    {"resume", "DIR", OPTION_TEXT, AT(resume),
     .help = "go on with the run in DIR, with its options"},
    {"save-every", "N", OPTION_INTEGER, AT(save_every), .least = 0, .most = MANY, .fallback = "0",
     .help = "a checkpoint every N steps too; 0: after every epoch and at the end"},
};
static const option test_options[] = {
    {"clips", "N", OPTION_INTEGER, AT(test_clips), .least = 1, .most = MANY, .fallback = "200",
     .help = "clips that training does not see; of an npy file, those behind its --clips"},
    {"seed", "S", OPTION_INTEGER, AT(test_seed), .least = 0, .most = LARGEST, .fallback = "2",
     .help = "of made clips; training's default is another one"},
    {"json", NULL, OPTION_FLAG, AT(json), .help = "print a JSON object a run"},
};
static const option picture_options[] = {
    {"gif", "FILE", OPTION_TEXT, AT(gif),
     .help = "write an animation: the network's frames and the true ones, a row a clip"},
    {"png", "FILE", OPTION_TEXT, AT(png), .help = "write a contact sheet: a column a frame"},
    {"samples", "N", OPTION_INTEGER, AT(samples), .least = 1, .most = 64, .fallback = "2",
     .help = "show N clips"},
    {"scale", "N", OPTION_INTEGER, AT(scale), .least = 1, .most = 64, .fallback = "4",
     .help = "side of a pixel in the animation"},
    {"seed", "S", OPTION_INTEGER, AT(test_seed), .least = 0, .most = LARGEST, .fallback = "2",
     .help = "of made clips; training's default is another one"},
};
static const option machine_options[] = {
    OPTION_THREADS(offsetof(settings, threads)),
    OPTION_PRECISION(offsetof(settings, precision)),
};

#define GROUP(name, title) static const option_group name##_group = \
    {title, name##_options, WF_COUNT(name##_options)}
GROUP(network, "The network");
GROUP(clip, "Clips");
GROUP(train, "Training");
GROUP(test, "Evaluation");
GROUP(picture, "Pictures");
GROUP(machine, "Computing");

static const command commands[] = {
    {.name = "train",
     .summary = "Trains one of the models.",
     .groups = {&network_group, &clip_group, &train_group, &machine_group},
     .examples =
         "  srivastava2015 train --model composite --conditional --steps 500 --out runs/both\n"
         "  srivastava2015 train --hidden 2048 --batch 80 --mnist data/mnist --epochs 100\n"
         "  srivastava2015 train --resume runs/both\n",
     .run = command_train,
     .config_of = "resume"},
    {.name = "eval",
     .summary = "Measures runs in nats per frame, and prints them as a table.",
     .groups = {&test_group, &machine_group},
     .examples = "  srivastava2015 eval runs/both\n"
                 "  srivastava2015 eval runs/srivastava2015/*\n",
     .run = command_eval,
     .place = "DIR",
     .places = offsetof(settings, runs)},
    {.name = "predict",
     .summary = "Shows what a run reconstructs and predicts.",
     .groups = {&picture_group, &machine_group},
     .examples = "  srivastava2015 predict runs/both --gif both.gif --png both.png\n",
     .run = command_predict,
     .place = "DIR",
     .places = offsetof(settings, runs)},
};

const program srivastava_program_table = {
    "srivastava2015", "LSTMs that reconstruct and predict video (Srivastava et al. 2015).",
    commands, WF_COUNT(commands)};

srivastava_opt network_of(const settings *s) {
    return (srivastava_opt){.reconstructs = strcmp(s->model, "future") != 0,
                            .predicts = strcmp(s->model, "autoencoder") != 0,
                            .conditional = s->conditional,
                            .past = s->past,
                            .hidden = s->hidden,
                            .layers = (int)s->layers};
}

static exit_code open_clips(clips **out, const settings *s, const char *split, int64_t n,
                            int64_t seed) {
    *out = NULL;
    if (s->npy && s->mnist)
        return report_error(EXIT_CODE_USAGE, "--npy and --mnist exclude each other");
    const wf_status status = clips_open(out, (clips_opt){
        .npy = s->npy, .mnist = s->mnist, .split = split, .count = n, .seed = (uint64_t)seed,
        .size = s->size, .frames = s->past + s->future});
    return status ? report_failure(status) : EXIT_CODE_OK;
}

exit_code open_training_clips(clips **out, const settings *s) {
    return open_clips(out, s, "train", s->clips, s->seed);
}

int64_t test_first(const settings *s) { return s->npy ? s->clips : 0; }

exit_code open_test_clips(clips **out, const settings *s, int64_t n) {
    return open_clips(out, s, "test", test_first(s) + n, s->test_seed);
}

exit_code settings_of_run(settings *s, const char *dir) {
    char path[4096];
    const settings asked = *s;
    if (!config_path(dir, path, sizeof path))
        return report_error(EXIT_CODE_INPUT, "%s: no config.json; give the folder of a run of "
                            "srivastava2015 train", dir);
    const command *train = program_command(&srivastava_program_table, "train");
    const exit_code code = config_read(&srivastava_program_table, train, path, s);
    if (code) return code;
    if (!s->model || !s->hidden || !s->past || !s->future || !s->size)
        return report_error(EXIT_CODE_INPUT, "%s: not of srivastava2015 train: it does not say "
                            "--model, --hidden, --past, --future and --size", path);
    s->threads = asked.threads;
    return EXIT_CODE_OK;
}

wf_compile_opt compile_options(const settings *s) {
    return computing_options(s->threads, s->precision);
}
