/* The options of convlstm, and its commands. */
#include "models/convlstm/settings.h"

#include <stddef.h>

#define AT(field) .offset = offsetof(settings, field)
#define MANY 1e9

/* Made clips are a function of the seed; evaluation has a default of its own, so that it does
 * not see the clips of the training. */
#define EVALUATION_SEED                                                                            \
    {"seed", "S", OPTION_INTEGER, AT(seed), .least = 0, .most = 9007199254740991, .fallback = "2", \
     .help = "of made clips; training's default is another one"}

static const option source_options[] = {
    {"npy", "FILE", OPTION_TEXT, AT(npy),
     .help = "clips in the official layout, u8 (frames, clips, 64, 64)"},
};
static const option digit_options[] = {
    {"mnist", "DIR", OPTION_TEXT, AT(mnist),
     .help = "make clips from the MNIST digits in DIR (IDX files, .gz or raw)"},
    {"split", "SPLIT", OPTION_CHOICE, AT(split), .fallback = "train", .choices = "train|test",
     .help = "which of the digits that clips are made from"},
};
static const option_group source_group = {"Clips from a file", source_options,
                                          WF_COUNT(source_options)};
static const option_group digit_group = {"Clips made from digits (default: the built-in ones)",
                                         digit_options, WF_COUNT(digit_options)};

static const option clip_options[] = {
    {"clips", "N", OPTION_INTEGER, AT(clips), .least = 1, .most = MANY,
     .help = "use N clips (default: all of the npy file, else 1000)"},
    {"frames", "N", OPTION_INTEGER, AT(frames), .least = 2, .most = 1000,
     .help = "use the first N frames of a clip; default: all of the npy file, else 20"},
    {"size", "N", OPTION_INTEGER, AT(size), .least = 16, .most = 64, .fallback = "32",
     .help = "height and width of a frame: 64, or 32 by the mean of 2x2 pixels"},
};
static const option_group clip_group = {"All clips", clip_options, WF_COUNT(clip_options)};

static const option train_options[] = {
    {"seed", "S", OPTION_INTEGER, AT(seed), .least = 0, .most = 9007199254740991, .fallback = "1",
     .help = "of everything random: made clips, order, first weights"},
    {"steps", "N", OPTION_INTEGER, AT(steps), .least = 1, .most = MANY,
     .help = "end after N steps"},
    {"epochs", "N", OPTION_INTEGER, AT(epochs), .least = 1, .most = MANY,
     .help = "end after N passes over the training clips (16 if no --steps)"},
    {"hidden", "N", OPTION_INTEGER, AT(hidden), .least = 1, .most = 1024, .fallback = "64",
     .help = "channels of the inner layers"},
    {"recipe", "NAME", OPTION_CHOICE, AT(recipe), .fallback = "best", .choices = "best|notebook",
     .help = "first weights, rate, warm-up, clipping, averaging; the options below change it"},
    {"lr", "X", OPTION_REAL, AT(lr), .least = 0, .most = 100,
     .help = "learning rate of Adam (default: the recipe's)"},
    {"warmup", "N", OPTION_INTEGER, AT(warmup), .least = -1, .most = MANY, .fallback = "-1",
     .help = "the rate rises over N steps; -1: the recipe's"},
    {"clip", "X", OPTION_REAL, AT(clip), .least = -1, .most = MANY, .fallback = "-1",
     .help = "clip the global norm of the gradient; 0: do not; -1: the recipe's"},
    {"average", "X", OPTION_REAL, AT(average), .least = -1, .most = 0.999999, .fallback = "-1",
     .help = "keep moving averages of the weights, X of them a step; 0: do not; -1: the recipe's"},
    {"patience", "N", OPTION_INTEGER, AT(patience), .least = -1, .most = MANY, .fallback = "-1",
     .help = "stop after N epochs without a new best; 0: do not; -1: the recipe's"},
    {"val", "FRACTION", OPTION_REAL, AT(val), .least = 0, .most = 0.9, .fallback = "0.1",
     .help = "part of the clips kept for validation; 0: none, and best is last"},
    {"no-shuffle", NULL, OPTION_FLAG, AT(no_shuffle),
     .help = "clips in the order of the file in every epoch; validate on its end"},
    {"reestimate-bn", "N", OPTION_INTEGER, AT(reestimate_bn), .least = 0, .most = MANY,
     .fallback = "0",
     .help = "before validation, average batch norm's statistics over N batches"},
    {"init", "FILE", OPTION_TEXT, AT(init), .help = "start from these weights (safetensors)"},
    {"out", "DIR", OPTION_TEXT, AT(out), .fallback = "runs/convlstm",
     .help = "metrics.jsonl, the checkpoints, best.safetensors, last.safetensors go here"},
    {"resume", "DIR", OPTION_TEXT, AT(resume),
     .help = "go on with the run in DIR, with its options"},
    {"save-every", "N", OPTION_INTEGER, AT(save_every), .least = 0, .most = MANY, .fallback = "0",
     .help = "a checkpoint every N steps too; 0: after every epoch and at the end"},
    {"detect-anomaly", NULL, OPTION_FLAG, AT(detect_anomaly),
     .help = "when a loss is not finite, name the operation; copies the weights at every step"},
    {"log-every", "N", OPTION_INTEGER, AT(log_every), .least = 1, .most = MANY, .fallback = "1",
     .help = "a row in metrics.jsonl every N steps"},
};
static const option_group train_group = {"Training", train_options, WF_COUNT(train_options)};

static const option eval_options[] = {
    EVALUATION_SEED,
    {"weights", "FILE", OPTION_TEXT, AT(weights), .required = true,
     .help = "weights (safetensors) to evaluate"},
    {"json", NULL, OPTION_FLAG, AT(json), .help = "print one JSON object"},
};
static const option_group eval_group = {"Evaluation", eval_options, WF_COUNT(eval_options)};

static const option predict_options[] = {
    EVALUATION_SEED,
    {"weights", "FILE", OPTION_TEXT, AT(weights), .required = true,
     .help = "weights (safetensors) to predict with"},
    {"gif", "FILE", OPTION_TEXT, AT(gif), .required = true,
     .help = "the animation to write: prediction and truth side by side"},
    {"samples", "N", OPTION_INTEGER, AT(samples), .least = 1, .most = 64, .fallback = "2",
     .help = "show the first N clips"},
};
static const option_group predict_group = {"Prediction", predict_options,
                                           WF_COUNT(predict_options)};

static const option data_options[] = {
    {"count", "N", OPTION_INTEGER, AT(count), .least = 1, .most = 1e6, .required = true,
     .help = "clips to make"},
    {"seed", "S", OPTION_INTEGER, AT(seed), .least = 0, .most = 9007199254740991, .fallback = "1",
     .help = "clip k is a function of S and k"},
    {"out", "FILE", OPTION_TEXT, AT(out), .required = true, .help = "the npy file to write"},
};
static const option_group data_group = {"Output", data_options, WF_COUNT(data_options)};

static const option graph_options[] = {
    {"stage", "STAGE", OPTION_CHOICE, AT(stage), .fallback = "plan",
     .choices = "written|gradients|simplify|merge|fuse|plan",
     .help = "how far the compiler has come; plan: with launches, places and lifetimes"},
    {"fold", "HOW", OPTION_CHOICE, AT(fold), .fallback = "auto", .choices = "auto|none",
     .help = "auto: draw time steps and other repeats once"},
    {"nodes", "N", OPTION_INTEGER, AT(nodes), .least = 1, .most = 1e6, .fallback = "150",
     .help = "fold until at most N boxes are left"},
    {"seconds", "S", OPTION_INTEGER, AT(seconds), .least = 1, .most = 3600, .fallback = "10",
     .help = "time for dot, which is stopped then; the text stays"},
    {"out", "FILE", OPTION_TEXT, AT(out), .required = true,
     .help = "the file to write: .dot is text; .svg, .png, .pdf are drawn from a .dot beside it"},
};
static const option_group graph_group = {"Drawing", graph_options, WF_COUNT(graph_options)};

static const option step_options[] = {
    {"hidden", "N", OPTION_INTEGER, AT(hidden), .least = 1, .most = 1024, .fallback = "64",
     .help = "channels of the inner layers"},
    {"size", "N", OPTION_INTEGER, AT(size), .least = 1, .most = 1024, .fallback = "32",
     .help = "height and width of a frame"},
    {"frames", "N", OPTION_INTEGER, AT(frames), .least = 2, .most = 1000, .fallback = "20",
     .help = "frames of a clip"},
    {"batch", "N", OPTION_INTEGER, AT(batch), .least = 1, .most = 4096, .fallback = "8",
     .help = "clips computed at once"},
    {"clip", "X", OPTION_REAL, AT(clip), .least = 0, .most = MANY, .fallback = "2",
     .help = "clip the global norm of the gradient; 0: do not"},
};
static const option_group step_group = {"The training step", step_options,
                                        WF_COUNT(step_options)};

static const option machine_options[] = {
    {"batch", "N", OPTION_INTEGER, AT(batch), .least = 1, .most = 4096, .fallback = "8",
     .help = "clips computed at once"},
    {"threads", "N", OPTION_INTEGER, AT(threads), .least = 0, .most = 1024, .fallback = "0",
     .help = "worker threads; 0: one a core; results do not depend on it"},
    {"precision", "MODE", OPTION_CHOICE, AT(precision), .fallback = "f32", .choices = "f32",
     .help = "arithmetic of the contractions"},
};
static const option_group machine_group = {"Computing", machine_options,
                                           WF_COUNT(machine_options)};

static const command commands[] = {
    {"train", "Trains the network to predict the next frame.",
     {&source_group, &digit_group, &clip_group, &train_group, &machine_group},
     "  convlstm train --mnist data/mnist --clips 7200 --steps 300 --out runs/first\n"
     "  convlstm train --npy mnist_test_seq.npy --epochs 16 --out runs/notebook\n"
     "  convlstm train --hidden 16 --clips 400 --epochs 2 --reestimate-bn 20\n",
     command_train},
    {"eval", "Measures how well a network predicts.",
     {&source_group, &digit_group, &clip_group, &eval_group, &machine_group},
     "  convlstm eval --weights runs/first/best.safetensors --mnist data/mnist --split test\n"
     "  convlstm eval --weights runs/first/best.safetensors --npy mnist_test_seq.npy --json\n",
     command_eval},
    {"predict", "Shows what a network predicts, as an animation.",
     {&source_group, &digit_group, &clip_group, &predict_group, &machine_group},
     "  convlstm predict --weights runs/first/best.safetensors --gif prediction.gif\n",
     command_predict},
    {"data", "Makes clips and writes them as a file in the official layout.",
     {&digit_group, &data_group},
     "  convlstm data --mnist data/mnist --split test --count 10000 --seed 1 --out clips.npy\n",
     command_data},
    {"graph", "Draws the graph of a training step, at any stage of the compiler.",
     {&graph_group, &step_group},
     "  convlstm graph --out step.svg\n"
     "  convlstm graph --stage merge --nodes 20 --out step.png\n"
     "  convlstm graph --stage written --fold none --frames 3 --out step.dot\n",
     command_graph},
};

const program convlstm_program_table = {
    "convlstm", "Predicts the next frame of moving digits with a ConvLSTM network.", commands,
    WF_COUNT(commands)};

exit_code open_clips(clips **out, const settings *s) {
    *out = NULL;
    if (s->npy && s->mnist)
        return report_error(EXIT_CODE_USAGE, "--npy and --mnist exclude each other");
    const wf_status status = clips_open(out, (clips_opt){
        .npy = s->npy, .mnist = s->mnist, .split = s->split, .count = s->clips,
        .seed = (uint64_t)s->seed, .size = s->size, .frames = s->frames});
    return status ? report_failure(status) : EXIT_CODE_OK;
}

wf_compile_opt compile_options(const settings *s) {
    return (wf_compile_opt){.precision = WF_PRECISION_F32, .threads = (int)s->threads};
}
