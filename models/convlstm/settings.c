/* The options of convlstm, and its commands. What options come to is in settings_use.c. */
#include "models/convlstm/settings.h"

#include <stddef.h>

#include "models/program/computing.h"

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

/* Shared by train (without --part), eval and predict, so that both read the same rows. */
#define SPLITS                                                                                     \
    {"splits", "A,B,C", OPTION_TEXT, AT(splits),                                                   \
     .help = "cut the clips, shuffled by --seed: A to train, B to validate, C to test"}
static const option splits_options[] = {SPLITS};
static const option part_options[] = {
    SPLITS,
    {"part", "PART", OPTION_CHOICE, AT(part), .fallback = "all", .choices = "all|train|val|test",
     .help = "which part; --splits and --seed must be those of the training"},
};
static const option_group splits_group = {"Parts of the clips", splits_options,
                                          WF_COUNT(splits_options)};
static const option_group part_group = {"Parts of the clips", part_options,
                                        WF_COUNT(part_options)};

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
    {"memory", "MIB", OPTION_REAL, AT(memory), .least = 0, .most = MANY, .fallback = "0",
     .help = "at most so much for a step's values: others are computed again; 0: no limit"},
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
    {"profile", "FILE", OPTION_TEXT, AT(profile),
     .help = "time every launch; a table on stderr, a trace for ui.perfetto.dev in FILE"},
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
    {"gif", "FILE", OPTION_TEXT, AT(gif),
     .help = "write an animation: prediction and truth side by side, a row a clip"},
    {"png", "FILE", OPTION_TEXT, AT(png), .help = "write a contact sheet: a column a frame"},
    {"rollout", "K", OPTION_INTEGER, AT(rollout), .least = 0, .most = 999, .fallback = "0",
     .help = "predict the last K frames from predictions; 0: each from the true ones before it"},
    {"scale", "N", OPTION_INTEGER, AT(scale), .least = 1, .most = 64, .fallback = "8",
     .help = "side of a pixel in the animation"},
    {"samples", "N", OPTION_INTEGER, AT(samples), .least = 1, .most = 64, .fallback = "2",
     .help = "show the first N clips"},
};
static const option_group predict_group = {"Prediction", predict_options,
                                           WF_COUNT(predict_options)};

static const option data_options[] = {
    {"count", "N", OPTION_INTEGER, AT(count), .least = 1, .most = 1e6, .fallback = "10000",
     .help = "clips to make; the official file has 10000"},
    {"seed", "S", OPTION_INTEGER, AT(seed), .least = 0, .most = 9007199254740991, .fallback = "1",
     .help = "clip k is a function of S and k"},
    {"out", "FILE", OPTION_TEXT, AT(out), .required = true, .help = "the npy file to write"},
};
static const option_group data_group = {"Output", data_options, WF_COUNT(data_options)};

static const option graph_options[] = {
    {"stage", "STAGE", OPTION_CHOICE, AT(stage), .fallback = "plan",
     .choices = "written|gradients|simplify|merge|precision|fuse|plan",
     .help = "how far the compiler has come; plan: with launches, places and lifetimes"},
    {"fold", "HOW", OPTION_CHOICE, AT(fold), .fallback = "auto", .choices = "auto|none",
     .help = "auto: draw time steps and other repeats once"},
    {"nodes", "N", OPTION_INTEGER, AT(nodes), .least = 1, .most = 1e6, .fallback = "150",
     .help = "fold until at most N boxes are left"},
    {"timed", NULL, OPTION_FLAG, AT(timed),
     .help = "run the step and colour boxes by the time they take (stage plan)"},
    {"threads", "N", OPTION_INTEGER, AT(threads), .least = 0, .most = 1024, .fallback = "0",
     .help = "of --timed: worker threads; 0: one a core"},
    {"seconds", "S", OPTION_INTEGER, AT(seconds), .least = 1, .most = 3600, .fallback = "10",
     .help = "time for dot, which is stopped then; the text stays"},
    {"out", "FILE", OPTION_TEXT, AT(out), .required = true,
     .help = "the file to write: .txt is the graph as text, which can be read again; .dot is for "
             "Graphviz; .svg, .png, .pdf are drawn from a .dot beside it"},
    {"in", "FILE", OPTION_TEXT, AT(in),
     .help = "a graph as text, of any model, instead of the training step"},
};
static const option_group graph_group = {"Drawing", graph_options, WF_COUNT(graph_options)};

static const option plot_options[] = {
    {"out", "FILE", OPTION_TEXT, AT(out), .fallback = "curves.svg", .help = "the SVG to write"},
};
static const option_group plot_group = {"Drawing", plot_options, WF_COUNT(plot_options)};

static const option json_options[] = {
    {"json", NULL, OPTION_FLAG, AT(json), .help = "print one JSON object"},
};
static const option_group json_group = {"Output", json_options, WF_COUNT(json_options)};

static const option doctor_options[] = {
    {"no-probe", NULL, OPTION_FLAG, AT(no_probe), .help = "do not measure how fast it multiplies"},
    {"json", NULL, OPTION_FLAG, AT(json), .help = "print one JSON object"},
};
static const option_group doctor_group = {"Output", doctor_options, WF_COUNT(doctor_options)};

static const option bench_options[] = {
    {"runs", "N", OPTION_INTEGER, AT(runs), .least = 1, .most = 10000, .fallback = "5",
     .help = "time N steps, after one that is not timed"},
};
static const option_group bench_group = {"Timing", bench_options, WF_COUNT(bench_options)};

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

#define PRECISION OPTION_PRECISION(offsetof(settings, precision))
#define COMPUTING OPTION_THREADS(offsetof(settings, threads)), PRECISION
static const option machine_options[] = {
    {"batch", "N", OPTION_INTEGER, AT(batch), .least = 1, .most = 4096, .fallback = "8",
     .help = "clips computed at once"},
    COMPUTING,
};
static const option_group machine_group = {"Computing", machine_options,
                                           WF_COUNT(machine_options)};
static const option precision_options[] = {PRECISION};
static const option_group precision_group = {"Computing", precision_options,
                                             WF_COUNT(precision_options)};
static const option team_options[] = {COMPUTING};
static const option_group team_group = {"Computing", team_options, WF_COUNT(team_options)};

static const command commands[] = {
    {.name = "train",
     .summary = "Trains the network to predict the next frame.",
     .groups = {&source_group, &digit_group, &clip_group, &splits_group, &train_group,
                &machine_group},
     .examples =
         "  convlstm train --mnist data/mnist --clips 7200 --steps 300 --out runs/first\n"
         "  convlstm train --npy mnist_test_seq.npy --splits 7200,800,2000 --recipe notebook \\\n"
         "      --precision bf16 --out runs/notebook\n"
         "  convlstm train --hidden 16 --clips 400 --epochs 2 --reestimate-bn 20\n"
         "  convlstm train --config runs/first/config.json --out runs/again\n"
         "  convlstm train --resume runs/first\n",
     .run = command_train,
     .config_of = "resume"},
    {.name = "eval",
     .summary = "Measures how well a network predicts.",
     .groups = {&source_group, &digit_group, &clip_group, &part_group, &eval_group,
                &machine_group},
     .examples =
         "  convlstm eval --weights runs/first/best.safetensors --mnist data/mnist --split test\n"
         "  convlstm eval --weights runs/notebook/best.safetensors --npy mnist_test_seq.npy \\\n"
         "      --splits 7200,800,2000 --seed 1 --part test --json\n",
     .run = command_eval},
    {.name = "predict",
     .summary = "Shows what a network predicts, as an animation or a contact sheet.",
     .groups = {&source_group, &digit_group, &clip_group, &part_group, &predict_group,
                &machine_group},
     .examples =
         "  convlstm predict --weights runs/first/best.safetensors --gif prediction.gif\n"
         "  convlstm predict --weights runs/first/best.safetensors --rollout 10 --png sheet.png\n",
     .run = command_predict},
    {.name = "plot",
     .summary = "Draws the curves of runs into one picture.",
     .groups = {&plot_group},
     .examples = "  convlstm plot runs/first\n"
                 "  convlstm plot runs/first runs/second --out both.svg\n",
     .run = command_plot,
     .place = "DIR",
     .places = offsetof(settings, runs_shown)},
    {.name = "data",
     .summary = "Makes clips and writes them as a file in the official layout.",
     .groups = {&digit_group, &data_group},
     .examples =
         "  convlstm data --mnist data/mnist --split test --out clips.npy\n"
         "  convlstm data --count 100 --seed 7 --out few.npy\n",
     .run = command_data},
    {.name = "summary",
     .summary = "Prints the layers, their parameters and work, and the memory of a training step.",
     .groups = {&step_group, &team_group, &json_group},
     .examples = "  convlstm summary\n"
                 "  convlstm summary --hidden 16 --batch 4 --json\n",
     .run = command_summary},
    {.name = "graph",
     .summary = "Draws the graph of a training step, at any stage of the compiler.",
     .groups = {&graph_group, &step_group, &precision_group},
     .examples = "  convlstm graph --out step.svg\n"
                 "  convlstm graph --stage merge --nodes 20 --out step.png\n"
                 "  convlstm graph --stage written --fold none --frames 3 --out step.dot\n",
     .run = command_graph},
    {.name = "bench",
     .summary = "Times training steps.",
     .groups = {&bench_group, &step_group, &team_group, &json_group},
     .examples = "  convlstm bench\n"
                 "  convlstm bench --precision bf16\n"
                 "  convlstm bench --hidden 16 --runs 20 --threads 1 --json\n",
     .run = command_bench},
    {.name = "doctor",
     .summary = "Tells what was found on this machine: processor, memory, compiler, cache.",
     .groups = {&doctor_group},
     .examples = "  convlstm doctor\n"
                 "  convlstm doctor --no-probe --json\n",
     .run = command_doctor},
};

const program convlstm_program_table = {
    "convlstm", "Predicts the next frame of moving digits with a ConvLSTM network.", commands,
    WF_COUNT(commands)};
