/* The convlstm program as its users run it: a child process, its exit code, its lines and files.
 * The program is build/convlstm or what WEFT_CONVLSTM names. Networks here have two or three
 * channels and clips of four frames, so that a run takes a fraction of a second. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tensor/tensor.h"

#include "tests/convlstm_run.h"

TestSuite(convlstm_cli, .init = make_folder, .fini = remove_folder, .timeout = 300);

/* --- files of a run --- */

static bool has_shape(const wf_shape *shape, wf_shape expected) {
    return wf_shape_equal(shape, &expected);
}

static void expect_keys(const json_t *object, const char *const *keys, size_t n,
                        const char *where) {
    cr_assert(json_object_size(object) == n, "%s: %zu keys", where, json_object_size(object));
    for (size_t i = 0; i < n; i++)
        cr_assert(json_is_number(json_object_get(object, keys[i])), "%s: %s is no number", where,
                  keys[i]);
}

static json_t *parse(const char *text) {
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    cr_assert(value, "%s: %s", error.text, text);
    return value;
}

/* Rows of DIR/metrics.jsonl; text is cut into them. */
static int read_rows(const char *path, char *text, size_t size, json_t **row, int max) {
    int n = 0;
    read_file(path, text, size);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cr_assert(n < max, "%s: more than %d rows", path, max);
        row[n++] = parse(line);
    }
    return n;
}

Test(convlstm_cli, training_writes_rows_and_weights) {
    static const char *const step_keys[] = {"step", "loss", "grad_norm", "mae", "seconds"};
    static const char *const epoch_keys[] = {"epoch", "val_loss", "val_mae", "val_psnr",
                                             "val_ssim", "train_ssim", "lr", "seconds"};
    static char text[1 << 16];
    json_t *row[16];
    succeed("train " SMALL " --steps 7 --out @/deep/run");
    /* 22 clips less 2 for validation: 5 steps an epoch, the second epoch is cut short. */
    const int n = read_rows(in_folder("deep/run/metrics.jsonl"), text, sizeof text, row, 16);
    cr_assert(n == 9, "%d rows", n);
    int step = 0;
    for (int i = 0; i < n; i++) {
        if (i == 5 || i == 8) {
            expect_keys(row[i], epoch_keys, 8, "epoch row");
            continue;
        }
        expect_keys(row[i], step_keys, 5, "step row");
        cr_assert(json_integer_value(json_object_get(row[i], "step")) == ++step);
    }
    for (int i = 0; i < n; i++) json_decref(row[i]);
    cr_assert(out_text[0] == 0, "training writes to stdout: %s", out_text);
    wf_safetensors *file;
    for (int i = 0; i < 2; i++) {
        const char *path = in_folder(i ? "deep/run/last.safetensors" : "deep/run/best.safetensors");
        cr_assert(wf_safetensors_open(&file, path) == WF_OK, "%s", wf_error());
        cr_assert(wf_safetensors_count(file) == 79, "%zu tensors", wf_safetensors_count(file));
        const wf_named *w =
            wf_safetensors_find(file, "convlstm1.0.conv_lstm_cell.conv_hg.weight");
        cr_assert(w && has_shape(&w->shape, WF_SHAPE(2, 2, 3, 3)));
        cr_assert(wf_safetensors_find(file, "convlstm2.1.num_batches_tracked"));
        wf_safetensors_free(file);
    }
}

Test(convlstm_cli, rows_every_n_steps) {
    static char text[1 << 16];
    json_t *row[8];
    succeed("train " SMALL " --steps 5 --log-every 2 --val 0 --out @/run");
    const int n = read_rows(in_folder("run/metrics.jsonl"), text, sizeof text, row, 8);
    cr_assert(n == 4, "%d rows", n); /* steps 2, 4, the last step, the epoch */
    cr_assert(json_is_null(json_object_get(row[3], "val_loss")), "no validation: null");
    for (int i = 0; i < n; i++) json_decref(row[i]);
}

/* The first step is left out, the last three stand in the trace; the weights are the same. */
Test(convlstm_cli, a_profile_is_a_table_and_a_trace) {
    static char plain[1 << 18], profiled[1 << 18];
    json_error_t error;
    json_t *e;
    size_t i;
    int runs = 0, launches = 0;
    succeed("train " SMALL " --steps 6 --out @/plain");
    succeed("train " SMALL " --steps 6 --out @/run --profile @/trace.json");
    cr_expect(strstr(err_text, "5 runs of") && strstr(err_text, "all launches"), "%s", err_text);
    cr_expect(strstr(err_text, "conv_lstm_cell/t*'"), "%s", err_text);
    json_t *root = json_load_file(in_folder("trace.json"), 0, &error);
    cr_assert(root, "%s", error.text);
    json_array_foreach(json_object_get(root, "traceEvents"), i, e) {
        const char *kind = json_string_value(json_object_get(e, "cat"));
        runs += kind && !strcmp(kind, "run");
        launches += kind && !strcmp(kind, "launch");
    }
    cr_expect(runs == 3 && launches > 300, "%d runs, %d launches", runs, launches);
    json_decref(root);
    const size_t n = read_file(in_folder("plain/last.safetensors"), plain, sizeof plain);
    cr_expect(n && n == read_file(in_folder("run/last.safetensors"), profiled, sizeof profiled));
    cr_expect(!memcmp(plain, profiled, n), "a profile changes the weights");
    succeed("train " SMALL " --steps 1 --out @/run --profile @/trace.json");
    cr_expect(strstr(err_text, "1 run of"), "%s", err_text);
}

Test(convlstm_cli, evaluation_prints_one_object_or_a_table) {
    static const char *const keys[] = {"clips", "loss", "mae", "psnr", "ssim", "ssim_clamped"};
    static const char *const running[] = {"mae", "psnr", "ssim"};
    static const char *const copied[] = {"loss", "mae", "psnr", "ssim"};
    succeed("train " SMALL " --steps 3 --out @/run");
    succeed("eval --weights @/run/last.safetensors --frames 4 --clips 7 --batch 4 --json");
    cr_assert(strchr(out_text, '\n') == out_text + strlen(out_text) - 1, "one line: %s", out_text);
    json_t *object = parse(out_text), *inner = json_incref(json_object_get(object, "running"));
    cr_assert(inner, "no running");
    json_object_del(object, "running");
    expect_keys(json_object_get(object, "copy"), copied, 4, "eval.copy");
    json_object_del(object, "copy");
    expect_keys(object, keys, 6, "eval");
    expect_keys(inner, running, 3, "eval.running");
    cr_assert(json_integer_value(json_object_get(object, "clips")) == 7);
    const double loss = json_real_value(json_object_get(object, "loss"));
    json_decref(inner);
    json_decref(object);
    succeed("eval --weights @/run/last.safetensors --frames 4 --clips 7 --batch 7 --json");
    object = parse(out_text);
    const double whole = json_real_value(json_object_get(object, "loss"));
    cr_assert(loss > 0 && loss < 1 && whole > 0.999999 * loss && whole < 1.000001 * loss,
              "in batches of 4 and 3: %.9g, of 7: %.9g", loss, whole);
    json_decref(object);
    succeed("eval --weights @/run/last.safetensors --frames 4 --clips 3");
    cr_assert(strstr(out_text, "copying the last frame"), "%s", out_text);
}

Test(convlstm_cli, prediction_is_a_gif_and_the_same_every_time) {
    static char first[1 << 20], second[1 << 20];
    succeed("train " SMALL " --steps 2 --out @/run");
    succeed("predict --weights @/run/best.safetensors --frames 4 --samples 2 --gif @/a.gif");
    succeed("predict --weights @/run/best.safetensors --frames 4 --samples 2 --gif @/b.gif");
    const size_t n = read_file(in_folder("a.gif"), first, sizeof first);
    cr_assert(n > 6 && !memcmp(first, "GIF89a", 6), "%zu bytes", n);
    cr_assert(read_file(in_folder("b.gif"), second, sizeof second) == n);
    cr_assert(!memcmp(first, second, n), "two runs, two files");
}

Test(convlstm_cli, clips_made_ahead_train_like_clips_made_on_the_way) {
    static char text[2][1 << 18];
    wf_npy clips;
    succeed("data --count 22 --seed 5 --out @/clips.npy");
    cr_assert(wf_npy_open(&clips, in_folder("clips.npy")) == WF_OK, "%s", wf_error());
    cr_assert(clips.dtype == WF_U8 && has_shape(&clips.shape, WF_SHAPE(20, 22, 64, 64)));
    wf_npy_close(&clips);
    succeed("train " SMALL " --seed 5 --steps 2 --npy @/clips.npy --out @/npy");
    succeed("train " SMALL " --seed 5 --steps 2 --out @/made");
    const size_t n = read_file(in_folder("npy/last.safetensors"), text[0], sizeof text[0]);
    cr_assert(n && n == read_file(in_folder("made/last.safetensors"), text[1], sizeof text[1]));
    cr_assert(!memcmp(text[0], text[1], n), "the weights differ");
}

Test(convlstm_cli, threads_do_not_change_a_bit) {
    static char text[2][1 << 18];
    succeed("train " SMALL " --hidden 3 --steps 5 --threads 1 --out @/1");
    succeed("train " SMALL " --hidden 3 --steps 5 --threads 2 --out @/2");
    succeed("train " SMALL " --hidden 3 --steps 5 --threads 3 --out @/3");
    const size_t n = read_file(in_folder("1/last.safetensors"), text[0], sizeof text[0]);
    cr_assert(n > 1000);
    for (const char *other = "23"; *other; other++) {
        char name[] = "0/last.safetensors";
        name[0] = *other;
        cr_assert(read_file(in_folder(name), text[1], sizeof text[1]) == n);
        cr_assert(!memcmp(text[0], text[1], n), "1 thread and %c threads", *other);
    }
}

Test(convlstm_cli, a_run_is_a_function_of_its_options) {
    static char text[2][1 << 18];
    static const char *const lines[] = {"--seed 3", "--seed 4", "--seed 3 --no-shuffle"};
    succeed("train " SMALL " --steps 3 --seed 3 --out @/run");
    const size_t n = read_file(in_folder("run/last.safetensors"), text[0], sizeof text[0]);
    for (size_t i = 0; i < WF_COUNT(lines); i++) {
        char line[256];
        snprintf(line, sizeof line, "train " SMALL " --steps 3 %s --out @/other", lines[i]);
        succeed(line);
        cr_assert(read_file(in_folder("other/last.safetensors"), text[1], sizeof text[1]) == n);
        cr_assert(!memcmp(text[0], text[1], n) == (i == 0), "--seed 3 and %s", lines[i]);
    }
}

Test(convlstm_cli, reestimated_statistics_are_means_over_n_batches) {
    wf_safetensors *file;
    int64_t count;
    succeed("train " SMALL " --steps 3 --reestimate-bn 4 --out @/run");
    cr_assert(wf_safetensors_open(&file, in_folder("run/last.safetensors")) == WF_OK);
    memcpy(&count, wf_safetensors_find(file, "convlstm0.1.num_batches_tracked")->data, 8);
    cr_assert(count == 4, "averaged over %lld batches", (long long)count);
    wf_safetensors_free(file);
}

/* --- what goes wrong --- */

Test(convlstm_cli, a_loss_that_is_not_finite_stops_the_run) {
    static char text[1 << 18];
    succeed("train " SMALL " --steps 1 --out @/run");
    const size_t n = read_file(in_folder("run/last.safetensors"), text, sizeof text);
    memset(text + n - 4, 0xff, 4); /* the last weight is NaN */
    write_file(in_folder("nan.safetensors"), text, n);
    cr_assert(run("train " SMALL " --steps 4 --init @/nan.safetensors --out @/bad") == 3, "%s",
              err_text);
    cr_assert(strstr(err_text, "step 1:"), "%s", err_text);
    cr_assert(!exists(in_folder("bad/best.safetensors")));
    cr_assert(!exists(in_folder("bad/last.safetensors")));
}

typedef struct bad_line {
    const char *arguments;
    int code;
    const char *says; /* part of the line on stderr */
} bad_line;

static const bad_line wrong_command_lines[] = {
    {"", 2, "a command is needed"},
    {"trian", 2, "did you mean train?"},
    {"xyzzy", 2, "unknown command xyzzy"},
    {"train --step 3", 2, "did you mean --steps?"},
    {"train --frobnicate", 2, "unknown option --frobnicate"},
    {"train --json", 2, "unknown option --json"},
    {"train --steps", 2, "--steps needs a value"},
    {"train --steps --lr 1", 2, "--steps needs a value"},
    {"train --steps 0", 2, "from 1 to"},
    {"train --steps 1.5", 2, "a whole number"},
    {"train --steps 99999999999999999999", 2, "a whole number"},
    {"train --batch -1", 2, "--batch -1"},
    {"train --batch=4097", 2, "--batch 4097"},
    {"train --lr nan", 2, "--lr nan"},
    {"train --lr ''", 2, "--lr"},
    {"train --lr 1e-3x", 2, "a number"},
    {"train --val 1", 2, "--val 1"},
    {"train --frames 1", 2, "--frames 1"},
    {"train --size 40", 2, "size"},
    {"train --precision f8", 2, "not one of auto|f32|f32x3|bf16"},
    {"train --split dev", 2, "not one of train|test"},
    {"train --out ''", 2, "--out"},
    {"train --no-shuffle=1", 2, "takes no value"},
    {"train --steps 3 --epochs 1", 2, "--steps and --epochs"},
    {"train clips.npy", 2, "stray argument 'clips.npy'"},
    {"train -s 3", 2, "stray argument '-s'"},
    {"train --clips 3 --batch 8", 2, "do not fill a batch"},
    {"train --npy a.npy --mnist b", 2, "--npy and --mnist"},
    {"eval", 2, "--weights FILE is needed"},
    {"predict --weights a.safetensors", 2, "--gif FILE or --png FILE is needed"},
    {"data --count 3", 2, "--out FILE is needed"},
    {"data --count 0 --out @/x.npy", 2, "--count 0"},
    {"graph --timed --stage merge --out @/x.dot", 2, "only the plan is run"},
};

static const bad_line wrong_files[] = {
    {"train --npy @/none.npy", 4, "none.npy"},
    {"train --npy @", 4, ""},
    {"train --npy @/empty", 4, "empty"},
    {"train --npy @/short.npy", 4, "short.npy"},
    {"train --npy @/magic.npy", 4, "magic.npy"},
    {"train --npy @/floats.npy", 4, "floats.npy"},
    {"train --npy @/flat.npy", 4, "flat.npy"},
    {"train --npy @/small.npy --frames 9", 2, "small.npy"},
    {"train --npy @/small.npy --clips 99", 2, "small.npy"},
    {"train --mnist @/none", 4, "none"},
    {"train --mnist @/bad", 4, "bad"},
    {"train " SMALL " --init @/none.safetensors", 4, "none.safetensors"},
    {"train " SMALL " --init @/short.safetensors", 4, "short.safetensors"},
    {"train " SMALL " --hidden 3 --init @/run/last.safetensors", 4, "last.safetensors"},
    {"eval --weights @/none.safetensors", 4, "none.safetensors"},
    {"eval --weights @/empty", 4, "empty"},
    {"eval --weights @/short.safetensors", 4, "short.safetensors"},
    {"eval --weights @/huge.safetensors", 4, "huge.safetensors"},
    {"eval --weights @/other.safetensors", 4, "other.safetensors"},
    {"eval --weights @/small.npy", 4, "small.npy"},
    {"predict --weights @/none.safetensors --gif @/x.gif", 4, "none.safetensors"},
    {"train " SMALL " --steps 1 --out /dev/null/x", 5, "/dev/null"},
    {"train " SMALL " --steps 1 --out @/empty", 5, "empty"},
    {"train " SMALL " --steps 1 --out /proc/x", 5, "/proc/x"},
    {"train " SMALL " --steps 1 --profile @/none/p.json --out @/refused", 5, "p.json"},
    {"predict --frames 4 --weights @/run/last.safetensors --gif @/none/x.gif", 5, "x.gif"},
    {"data --count 1 --out @/none/x.npy", 5, "x.npy"},
};

static void expect_refusal(const bad_line *b) {
    const int code = run(b->arguments);
    cr_expect(code == b->code, "convlstm %s: exit code %d, not %d: %s", b->arguments, code, b->code,
              err_text);
    const char *end = strchr(err_text, '\n');
    cr_expect(end && !end[1] && end - err_text > 20, "convlstm %s: not one line: %s", b->arguments,
              err_text);
    cr_expect(!strncmp(err_text, "convlstm", 8), "convlstm %s: %s", b->arguments, err_text);
    cr_expect(strstr(err_text, b->says), "convlstm %s: no '%s' in: %s", b->arguments, b->says,
              err_text);
    cr_expect(out_text[0] == 0, "convlstm %s: stdout: %s", b->arguments, out_text);
}

Test(convlstm_cli, wrong_command_lines_are_refused_in_one_line) {
    for (size_t i = 0; i < WF_COUNT(wrong_command_lines); i++)
        expect_refusal(&wrong_command_lines[i]);
}

static int entries(const char *path) {
    int n = 0;
    DIR *d = opendir(path);
    cr_assert(d, "%s", path);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static void make_bad_files(void) {
    static char text[1 << 18];
    const float zeros[16] = {0};
    succeed("train " SMALL " --steps 1 --out @/run");
    const size_t n = read_file(in_folder("run/last.safetensors"), text, sizeof text);
    write_file(in_folder("short.safetensors"), text, n - 1);
    memset(text, 0x7f, 8); /* a header of 2^63 bytes */
    write_file(in_folder("huge.safetensors"), text, n);
    const wf_named other = {"weight", WF_F32, WF_SHAPE(4, 4), zeros};
    cr_assert(wf_safetensors_write(in_folder("other.safetensors"), &other, 1, NULL, 0) == WF_OK);
    write_file(in_folder("empty"), "", 0);
    static uint8_t pixels[4 * 2 * 64 * 64];
    const wf_shape official = WF_SHAPE(4, 2, 64, 64);
    cr_assert(wf_npy_write(in_folder("small.npy"), WF_U8, official, pixels) == WF_OK);
    cr_assert(wf_npy_write(in_folder("flat.npy"), WF_U8, WF_SHAPE(20, 64), pixels) == WF_OK);
    cr_assert(wf_npy_write(in_folder("floats.npy"), WF_F32, WF_SHAPE(2, 2, 2, 2), zeros) == WF_OK);
    const size_t m = read_file(in_folder("small.npy"), text, sizeof text);
    write_file(in_folder("short.npy"), text, m - 1);
    text[1] = 'M';
    write_file(in_folder("magic.npy"), text, m);
    cr_assert(mkdir(in_folder("bad"), 0777) == 0);
    write_file(in_folder("bad/train-images-idx3-ubyte"), "\0\0\10\1\0\0\0\1\0\0\0\34\0\0\0\34", 16);
}

Test(convlstm_cli, wrong_files_are_refused_in_one_line_and_leave_nothing) {
    make_bad_files();
    const int before = entries(folder);
    for (size_t i = 0; i < WF_COUNT(wrong_files); i++) expect_refusal(&wrong_files[i]);
    cr_expect(entries(folder) == before, "something was left behind");
    cr_expect(!exists("runs/convlstm/metrics.jsonl"), "a refused run touched its directory");
}

Test(convlstm_cli, a_result_that_cannot_be_written_is_an_error) {
    static const char *const lines[] = {"--help >/dev/full", "train --help >/dev/full"};
    const char *program = getenv("WEFT_CONVLSTM");
    char command[512];
    for (size_t i = 0; i < WF_COUNT(lines); i++) {
        snprintf(command, sizeof command, "'%s' %s 2>/dev/null",
                 program ? program : "build/convlstm", lines[i]);
        const int status = system(command);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 5, "%s", command);
    }
}

Test(convlstm_cli, help_names_every_option_of_a_command) {
    succeed("--help");
    cr_assert(strstr(out_text, "train") && strstr(out_text, "predict"));
    succeed("train --help");
    static const char *const names[] = {"--steps N", "--epochs N", "--batch N", "--size N",
                                        "--frames N", "--hidden N", "--lr X", "--clip X",
                                        "--seed S", "--val FRACTION", "--no-shuffle",
                                        "--init FILE", "--out DIR", "--threads N", "--log-every N",
                                        "--precision MODE", "--npy FILE", "--mnist DIR",
                                        "--split SPLIT", "--clips N", "--profile FILE", "Examples"};
    for (size_t i = 0; i < WF_COUNT(names); i++)
        cr_expect(strstr(out_text, names[i]), "train --help has no %s", names[i]);
    succeed("--version");
    cr_assert(!strcmp(out_text, "convlstm " WF_VERSION "\n"), "%s", out_text);
}

/* A graph as text is read again, at another stage, and is what the compiler makes of the model. */
Test(convlstm_cli, graph_as_text) {
    static const char bad[] = "%1 f32[2] = input \"x\"\n%2 f32[2] = frob %1\n";
    static char a[1 << 20], b[1 << 20];
    succeed("graph --frames 3 --batch 1 --size 8 --hidden 2 --stage written --out @/w.txt");
    succeed("graph --in @/w.txt --stage plan --out @/a.txt");
    succeed("graph --frames 3 --batch 1 --size 8 --hidden 2 --stage plan --out @/b.txt");
    read_file(in_folder("a.txt"), a, sizeof a);
    read_file(in_folder("b.txt"), b, sizeof b);
    cr_assert(strstr(a, "\n") && strstr(b, "\n"));
    cr_assert_str_eq(strstr(a, "\n"), strstr(b, "\n")); /* behind the titles */
    cr_assert(strstr(a, "outputs %"));
    succeed("graph --in @/w.txt --stage merge --out @/m.dot");
    write_file(in_folder("bad.txt"), bad, sizeof bad - 1);
    cr_assert_neq(run("graph --in @/bad.txt --out @/c.txt"), 0);
    cr_assert(strstr(err_text, "line 2, column 13: there is no operation frob"), "%s", err_text);
    cr_assert(!exists(in_folder("c.txt")));
    cr_assert_neq(run("graph --in @/none.txt --out @/c.txt"), 0);
}
