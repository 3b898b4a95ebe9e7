/* What surrounds training in the convlstm program: help, manual, completions, configuration files,
 * doctor, summary, bench, parts of a data set, limits of memory. */
#include <jansson.h>
#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "models/convlstm/recipe.h"
#include "models/convlstm/settings.h"
#include "models/program/machine.h"
#include "tests/convlstm_run.h"

TestSuite(convlstm_program, .init = make_folder, .fini = remove_folder, .timeout = 300);

static const program *table = &convlstm_program_table;

static json_t *parse(const char *text) {
    json_error_t error;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    cr_assert(value, "%s: %s", error.text, text);
    return value;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_number(value), "no number \"%s\"", key);
    return json_number_value(value);
}

static const char *string(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_string(value), "no text \"%s\"", key);
    return json_string_value(value);
}

static void refuse(const char *arguments, int code, const char *says) {
    const int got = run(arguments);
    cr_expect(got == code, "convlstm %s: exit code %d, not %d: %s", arguments, got, code, err_text);
    const char *end = strchr(err_text, '\n');
    cr_expect(end && !end[1], "convlstm %s: not one line: %s", arguments, err_text);
    cr_expect(strstr(err_text, says), "convlstm %s: no '%s' in: %s", arguments, says, err_text);
    cr_expect(!out_text[0], "convlstm %s: stdout: %s", arguments, out_text);
}

/* --- one table, many readers --- */

Test(convlstm_program, every_command_has_help_with_all_options_and_examples) {
    const char *const names[] = {"train", "eval", "predict", "plot", "data", "summary", "graph",
                                 "bench", "doctor"};
    for (size_t i = 0; i < WF_COUNT(names); i++)
        cr_expect(program_command(table, names[i]), "no command %s", names[i]);
    for (int i = 0; i < table->n_commands; i++) {
        const command *c = &table->commands[i];
        const option *o;
        char text[128];
        snprintf(text, sizeof text, "%s --help", c->name);
        succeed(text);
        for (int k = 0; (o = command_option(c, k)); k++) {
            snprintf(text, sizeof text, "  --%s%s%s ", o->name, o->metavar ? " " : "",
                     o->metavar ? o->metavar : "");
            cr_expect(strstr(out_text, text), "%s --help has no%s", c->name, text);
        }
        snprintf(text, sizeof text, "Examples\n  convlstm %s", c->name);
        cr_expect(strstr(out_text, text), "%s --help has no example", c->name);
        cr_expect(strstr(out_text, "--config FILE"));
    }
}

Test(convlstm_program, every_number_out_of_its_range_is_refused_by_name) {
    for (int i = 0; i < table->n_commands; i++) {
        const option *o;
        for (int k = 0; (o = command_option(&table->commands[i], k)); k++) {
            if (o->kind != OPTION_INTEGER && o->kind != OPTION_REAL) continue;
            for (int side = 0; side < 2; side++) {
                char line[128], says[64];
                snprintf(line, sizeof line, "%s --%s=%.17g", table->commands[i].name, o->name,
                         side ? o->most + fmax(1, o->most * 1e-9) : o->least - 1);
                snprintf(says, sizeof says, "--%s ", o->name);
                refuse(line, 2, says);
            }
        }
    }
}

Test(convlstm_program, the_manual_page_has_every_option) {
    static char roff[1 << 17], text[128];
    succeed("--man");
    read_file(in_folder("stdout.txt"), roff, sizeof roff);
    cr_assert(!strncmp(roff, ".TH CONVLSTM 1", 14), "%.80s", roff);
    for (int i = 0; i < table->n_commands; i++) {
        const option *o;
        for (int k = 0; (o = command_option(&table->commands[i], k)); k++) {
            size_t n = (size_t)snprintf(text, sizeof text, ".B \\-\\-");
            for (const char *c = o->name; *c; c++)
                n += (size_t)snprintf(text + n, sizeof text - n, *c == '-' ? "\\-" : "%c", *c);
            cr_expect(strstr(roff, text), "the manual page has no --%s", o->name);
        }
    }
    if (system("command -v groff >/dev/null")) {
        fprintf(stderr, "skipped: the manual page is not typeset (no groff)\n");
        return;
    }
    char shell[512];
    snprintf(shell, sizeof shell, "test -z \"$(groff -man -Tascii -ww -z %s 2>&1)\"",
             in_folder("stdout.txt"));
    cr_assert(system(shell) == 0, "groff complains");
}

/* What the bash completion offers for a command line whose last word is being typed. */
static const char *complete(const char *words) {
    static char text[4096];
    char shell[1024];
    snprintf(shell, sizeof shell,
             "bash -c 'source %s; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _convlstm; "
             "echo ${COMPREPLY[@]}' > %s",
             in_folder("bash"), words, in_folder("replies"));
    cr_assert(system(shell) == 0, "%s", shell);
    read_file(in_folder("replies"), text, sizeof text);
    return text;
}

Test(convlstm_program, completions_complete) {
    static char text[1 << 16];
    if (system("command -v bash >/dev/null")) {
        fprintf(stderr, "skipped: completions are not tried (no bash)\n");
        return;
    }
    succeed("--completion bash");
    cr_assert(rename(in_folder("stdout.txt"), in_folder("bash")) == 0);
    cr_expect_str_eq(complete("convlstm pre"), "predict\n");
    cr_expect_str_eq(complete("convlstm train --prec"), "--precision\n");
    cr_expect_str_eq(complete("convlstm eval --part t"), "train test\n");
    cr_expect_str_eq(complete("convlstm plot --o"), "--out\n");
    cr_expect(strstr(complete("convlstm eval --weights /etc/host"), "/etc/hosts"));
    refuse("--completion fish", 2, "bash|zsh");
    succeed("--completion zsh");
    read_file(in_folder("stdout.txt"), text, sizeof text);
    cr_expect(strstr(text, "#compdef convlstm") && strstr(text, "'--weights["));
    char shell[256];
    snprintf(shell, sizeof shell, "! command -v zsh >/dev/null || zsh -n %s",
             in_folder("stdout.txt"));
    cr_expect(system(shell) == 0, "zsh cannot read it");
}

Test(convlstm_program, mistyped_names_are_answered_with_the_nearest) {
    refuse("evla", 2, "did you mean eval?");
    refuse("train --hiden 3", 2, "did you mean --hidden?");
    refuse("train --confg x", 2, "did you mean --config?");
    refuse("eval --part tets", 2, "did you mean test?");
    refuse("graph --stage merg --out x.svg", 2, "did you mean merge?");
}

/* --- configuration files --- */

Test(convlstm_program, a_config_repeats_its_run) {
    static char one[1 << 18], two[1 << 18];
    succeed("train " SMALL " --steps 4 --seed 9 --no-shuffle --lr 0.003 --out @/a");
    read_file(in_folder("a/config.json"), one, sizeof one);
    json_t *config = parse(one), *options = json_object_get(config, "options");
    cr_expect_str_eq(string(config, "command"), "train");
    cr_expect_str_eq(string(config, "version"), WF_VERSION);
    cr_expect(strlen(string(json_object_get(config, "data"), "sha256")) == 64);
    cr_expect(string(json_object_get(config, "machine"), "isa")[0]);
    cr_expect(string(json_object_get(config, "compiler"), "library")[0]);
    cr_expect(number(options, "hidden") == 2 && number(options, "lr") == 0.003);
    cr_expect(json_is_true(json_object_get(options, "no-shuffle")));
    cr_expect(!json_object_get(options, "epochs"), "an option that was not given");
    json_decref(config);
    succeed("train --config @/a/config.json --out @/b");
    const size_t n = read_file(in_folder("a/last.safetensors"), one, sizeof one);
    cr_assert(n && read_file(in_folder("b/last.safetensors"), two, sizeof two) == n);
    cr_assert(!memcmp(one, two, n), "the repeated run has other weights");
    /* What is typed wins, wherever it stands. */
    succeed("train --seed 8 --config @/a/config.json --out @/c");
    cr_assert(read_file(in_folder("c/last.safetensors"), two, sizeof two) == n);
    cr_assert(memcmp(one, two, n), "--seed did not win over the file");
    /* Options of other commands are left out. */
    succeed("eval --config @/a/config.json --weights @/a/last.safetensors --json");
    json_t *scores = parse(out_text);
    cr_expect(number(scores, "clips") == 22);
    json_decref(scores);
}

Test(convlstm_program, wrong_configs_are_refused_by_file_and_option) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "not JSON"},
        {"{\"options\": {\"lr\": 1", "not JSON"},
        {"[1]", "no object \"options\""},
        {"{\"options\": 3}", "no object \"options\""},
        {"{\"options\": {\"lr\": 1, \"lr\": 2}}", "not JSON"},
        {"{\"options\": {\"hiden\": 1}}", "did you mean \"hidden\""},
        {"{\"options\": {\"zzzzzzzz\": 1}}", "zzzzzzzz"},
        {"{\"options\": {\"hidden\": \"2\"}}", "\"hidden\": not a whole number"},
        {"{\"options\": {\"hidden\": 2.5}}", "\"hidden\": not a whole number"},
        {"{\"options\": {\"lr\": true}}", "\"lr\": not a number"},
        {"{\"options\": {\"no-shuffle\": 1}}", "\"no-shuffle\": not true or false"},
        {"{\"options\": {\"out\": 1}}", "\"out\": not a text"},
        {"{\"options\": {\"hidden\": 99999}}", "--hidden 99999"},
        {"{\"options\": {\"precision\": \"f9\"}}", "--precision f9"},
    };
    for (size_t i = 0; i < WF_COUNT(bad); i++) {
        write_file(in_folder("config.json"), bad[i].text, strlen(bad[i].text));
        refuse("train --config @/config.json --out @/run", 4, bad[i].says);
        cr_expect(strstr(err_text, "/config.json:"), "no file in: %s", err_text);
    }
    refuse("train --config @/none.json", 4, "none.json: cannot read it");
    refuse("train --config @", 4, "not JSON");
    refuse("train --config", 2, "--config needs a value");
    cr_expect(!exists(in_folder("run")), "a refused run made its folder");
}

Test(convlstm_program, a_run_goes_on_with_its_own_options) {
    succeed("train " SMALL " --steps 3 --lr 0.003 --out @/a");
    refuse("train --resume @/a --steps 5 --lr 0.004", 2, "--lr 0.004");
    refuse("train --resume @/a --steps 5 --no-shuffle", 2, "--no-shuffle");
    succeed("train --resume @/a --steps 5 --log-every 2");
    static char text[1 << 16];
    read_file(in_folder("a/metrics.jsonl"), text, sizeof text);
    cr_expect(strstr(text, "\"step\":3,") && strstr(text, "\"step\":5,"), "%s", text);
}

/* --- recipes --- */

Test(convlstm_program, recipes_are_what_their_names_stand_for) {
    settings s = {.recipe = "notebook", .warmup = -1, .clip = -1, .average = -1, .patience = -1};
    recipe r = recipe_of(&s);
    cr_expect(r.schedule.kind == WF_SCHEDULE_PLATEAU && r.schedule.lr == 1.0 / 512 && r.clip == 2);
    cr_expect(!r.schedule.warmup && !r.average && !r.collapse && !r.calm);
    s.recipe = "best";
    r = recipe_of(&s);
    cr_expect(r.schedule.warmup > 0 && r.average > 0.9 && r.collapse > 1 && r.calm);
    s.lr = 0.25, s.warmup = 0, s.clip = 0, s.average = 0, s.patience = 7;
    r = recipe_of(&s);
    cr_expect(r.schedule.lr == 0.25 && !r.schedule.warmup && !r.clip && !r.average);
    cr_expect(r.patience == 7 && r.calm);
}

/* The loss of the first step, of one batch. */
static double first_loss(const char *name, int seed) {
    char line[256];
    snprintf(line, sizeof line, "train --hidden 16 --clips 8 --val 0 --steps 1 --recipe %s "
             "--seed %d --out @/first", name, seed);
    succeed(line);
    read_file(in_folder("first/metrics.jsonl"), line, sizeof line);
    *strchr(line, '\n') = 0;
    json_t *row = parse(line);
    const double loss = number(row, "loss");
    json_decref(row);
    return loss;
}

/* A black picture's loss is about 0.04. With the weights that PyTorch draws, some seeds grow from
 * frame to frame. */
Test(convlstm_program, the_best_recipe_starts_calmly) {
    double most = 0;
    for (int seed = 1; seed <= 3; seed++) {
        cr_expect_lt(first_loss("best", seed), 0.08);
        most = fmax(most, first_loss("notebook", seed));
    }
    cr_expect_gt(most, 0.08);
}

/* --- doctor, summary, bench --- */

Test(convlstm_program, doctor_tells_what_is_there) {
    static const char *const rows[] = {"processor", "kernels", "threads", "memory", "compiler",
                                       "cache", "peak probe"};
    setenv("XDG_CACHE_HOME", folder, 1);
    succeed("doctor");
    for (size_t i = 0; i < WF_COUNT(rows); i++)
        cr_expect(strstr(out_text, rows[i]), "doctor has no row %s: %s", rows[i], out_text);
    succeed("doctor --json");
    json_t *d = parse(out_text);
    cr_expect(number(d, "matmul_gflops") > 0 && number(d, "cores") >= 1);
    cr_expect(number(d, "available_bytes") > 0);
    cr_expect(json_is_true(json_object_get(d, "cache_usable")));
    cr_expect(!strncmp(string(d, "cache"), folder, strlen(folder)));
    json_decref(d);
}

Test(convlstm_program, doctor_tells_what_is_missing) {
    char cache[128];
    snprintf(cache, sizeof cache, "%s/weft", folder);
    cr_assert(mkdir(cache, 0777) == 0 && chmod(cache, 0777) == 0);
    setenv("XDG_CACHE_HOME", folder, 1);
    setenv("WF_CC", "/nowhere/cc", 1);
    setenv("WF_ISA", "scalar", 1);
    succeed("doctor --no-probe");
    cr_expect(strstr(out_text, "/nowhere/cc is no program"), "%s", out_text);
    cr_expect(strstr(out_text, "is not of mode 0700"), "%s", out_text);
    cr_expect(strstr(out_text, "scalar"), "%s", out_text);
    cr_expect(!strstr(out_text, "peak probe"));
}

Test(convlstm_program, summary_counts_what_the_notebook_counts) {
    succeed("summary --frames 3 --batch 1 --json");
    json_t *s = parse(out_text), *layers = json_object_get(s, "layers");
    cr_assert(json_array_size(layers) == 7);
    cr_expect(number(s, "parameters") == 745868);
    static const double parameters[] = {416512, 128, 295424, 128, 33280, 128, 268};
    double flops = 0;
    for (size_t i = 0; i < 7; i++) {
        const json_t *layer = json_array_get(layers, i);
        cr_expect(number(layer, "parameters") == parameters[i], "layer %zu", i);
        flops += number(layer, "flops");
        cr_expect(json_integer_value(json_array_get(json_object_get(layer, "output"), 4)) ==
                  (i == 6 ? 1 : 64));
    }
    /* Two frames; the second alone has a hidden state to convolve. */
    const double input = 4 * (25 * 64 + 9 * 64 * 64 + 64 * 64 + 64),
                 hidden = 4 * (25 * 64 * 64 + 9 * 64 * 64 + 64 * 64 + 1);
    cr_expect_float_eq(flops, 2 * 1024 * (2 * input + hidden), 1e-6 * flops);
    cr_expect_float_eq(number(s, "forward_flops"), flops, 1e-6 * flops);
    cr_expect(number(s, "arena_bytes") > 1e6);
    json_decref(s);
    succeed("summary --hidden 2 --frames 3 --batch 1");
    cr_expect(strstr(out_text, "convlstm1.0.conv_lstm_cell") && strstr(out_text, "memory:"));
    succeed("train " SMALL " --steps 1 --out @/run");
    cr_expect(strstr(err_text, "convlstm1.0.conv_lstm_cell"), "no table before training");
}

Test(convlstm_program, bench_times_steps) {
    succeed("bench --hidden 2 --frames 3 --batch 2 --runs 2 --json");
    json_t *b = parse(out_text);
    cr_expect(number(b, "least_seconds") > 0);
    cr_expect(number(b, "least_seconds") <= number(b, "step_seconds"));
    cr_expect(number(b, "gflops") > 0 && number(b, "loss") > 0);
    json_decref(b);
    succeed("bench --hidden 2 --frames 3 --batch 2 --runs 1");
    cr_expect(strstr(out_text, "training step"));
}

/* --- parts of a data set --- */

Test(convlstm_program, parts_are_disjoint_and_a_function_of_the_seed) {
    parts a, b;
    int64_t n, seen[20] = {0};
    cr_assert(parts_cut(&a, 20, "12,3,4", 0, true, 7) == WF_OK);
    cr_assert(parts_cut(&b, 20, "12,3,4", 0, true, 7) == WF_OK);
    cr_expect(!memcmp(a.index, b.index, 20 * sizeof *a.index));
    const char *const names[] = {"train", "val", "test"};
    const int64_t sizes[] = {12, 3, 4};
    for (int i = 0; i < 3; i++) {
        const int64_t *index = parts_of(&a, names[i], &n);
        cr_expect(n == sizes[i]);
        for (int64_t k = 0; k < n; k++) cr_expect(seen[index[k]]++ == 0, "clip in two parts");
    }
    parts_free(&b);
    cr_assert(parts_cut(&b, 20, "12,3,4", 0, true, 8) == WF_OK);
    cr_expect(memcmp(a.index, b.index, 20 * sizeof *a.index));
    parts_free(&b);
    parts_free(&a);
    static const char *const bad[] = {"", "12", "12,", "0,3,4", "12,3,4,1", "12,-3,4", "a,b,c",
                                      "12,3,6", "1 2,3,4", "99999999999,1,1"};
    for (size_t i = 0; i < WF_COUNT(bad); i++) {
        cr_expect(parts_cut(&b, 20, bad[i], 0, true, 7) == WF_ARGUMENT, "'%s'", bad[i]);
        cr_expect(strstr(wf_error(), "--splits"), "%s", wf_error());
        parts_free(&b);
    }
}

Test(convlstm_program, train_and_eval_agree_on_the_parts) {
    succeed("train " SMALL " --epochs 1 --splits 12,4,6 --seed 3 --out @/run");
    cr_expect(strstr(err_text, "12 clips to train on, 4 to validate"), "%s", err_text);
    static char text[1 << 16];
    read_file(in_folder("run/metrics.jsonl"), text, sizeof text);
    const char *row = strstr(text, "{\"epoch\":1");
    cr_assert(row);
    json_t *epoch = parse(row);
    succeed("eval --config @/run/config.json --part val --weights @/run/last.safetensors --json");
    json_t *scores = parse(out_text);
    cr_expect(number(scores, "clips") == 4);
    cr_expect_float_eq(number(scores, "loss"), number(epoch, "val_loss"), 1e-7);
    json_decref(scores);
    json_decref(epoch);
    succeed("eval --config @/run/config.json --part test --weights @/run/last.safetensors");
    cr_expect(strstr(out_text, "6 clips") && strstr(out_text, "mean of running means"));
    refuse("eval --weights @/run/last.safetensors --part test", 2, "--splits A,B,C is needed");
    refuse("eval --weights @/run/last.safetensors --splits 4,2 --part test", 2, "no clip");
    refuse("train " SMALL " --splits 20,3 --out @/x", 2, "23 clips are needed, there are 22");
}

/* --- memory --- */

Test(convlstm_program, a_plan_beyond_the_machine_is_refused_with_numbers) {
    refuse("summary --hidden 1024 --batch 4096 --size 64", 5, "MiB can be had");
    refuse("train --hidden 1024 --batch 4096 --clips 4096 --val 0 --size 64 --out @/run", 5,
           "make the batch");
    cr_expect(!exists(in_folder("run")));
    wf_graph *g = wf_graph_new();
    wf_program *p;
    const wf_tensor x = wf_input(g, "x", WF_F32, WF_SHAPE(1024, 1024)), y = wf_matmul(x, x);
    cr_expect(wf_compile(&p, g, &y, 1, (wf_compile_opt){.most_bytes = 4 << 20}) == WF_MEMORY);
    cr_expect(!p && strstr(wf_error(), "4 MiB can be had"), "%s", wf_error());
    cr_assert(wf_compile(&p, g, &y, 1, (wf_compile_opt){.most_bytes = 1 << 30}) == WF_OK);
    wf_program_free(p);
    wf_graph_free(g);
}

static void put_file(const char *name, const char *text) {
    char shell[256];
    const char *path = in_folder(name);
    snprintf(shell, sizeof shell, "mkdir -p \"$(dirname %s)\"", path);
    cr_assert(system(shell) == 0);
    write_file(path, text, strlen(text));
}

Test(convlstm_program, control_groups_limit_memory) {
    put_file("proc/meminfo", "MemTotal:  8388608 kB\nMemFree: 1 kB\nMemAvailable:  4194304 kB\n");
    memory_state m = machine_memory_at(folder);
    cr_expect(m.total == INT64_C(8) << 30 && m.available == INT64_C(4) << 30);
    /* Version 2: a parent is tighter than the group; clean pages count as free. */
    put_file("proc/self/cgroup", "0::/a/b\n");
    put_file("sys/fs/cgroup/a/b/memory.max", "max\n");
    put_file("sys/fs/cgroup/a/memory.max", "1073741824\n");
    put_file("sys/fs/cgroup/a/memory.current", "536870912\n");
    put_file("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 268435456\n");
    m = machine_memory_at(folder);
    cr_expect(m.available == 768 << 20, "%lld", (long long)m.available);
    cr_expect(strstr(m.limit, "control group"));
    /* Version 1, in a container: its own group is the root of what it sees. */
    put_file("proc/self/cgroup", "9:cpu:/x\n4:memory:/docker/f00\n");
    put_file("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
    put_file("sys/fs/cgroup/memory/memory.usage_in_bytes", "34217728\n");
    m = machine_memory_at(folder);
    cr_expect(m.available == 100000000, "%lld", (long long)m.available);
    put_file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    m = machine_memory_at(folder);
    cr_expect(m.available == INT64_C(4) << 30, "a huge number is no limit");
}

/* --- damaged files --- */

/* Flips one bit of `good` at a time, in its first n bytes, and runs the command on the result: it
 * works (the bit did not matter) or is refused in one line that names the file. */
static void flip_bits(const char *good, size_t n, size_t stride, const char *arguments) {
    static char text[1 << 20];
    const size_t size = read_file(in_folder(good), text, sizeof text);
    int refused = 0;
    cr_assert(size > n && size + 1 < sizeof text);
    for (size_t i = 0; i < n; i += stride) {
        text[i] ^= (char)(1 << i % 8);
        write_file(in_folder("flipped"), text, size);
        text[i] ^= (char)(1 << i % 8);
        const int code = run(arguments);
        if (code == 0) continue;
        refused++;
        const char *end = strchr(err_text, '\n');
        cr_expect(code == 4 || code == 2, "bit of byte %zu: exit code %d: %s", i, code, err_text);
        cr_expect(end && !end[1] && strstr(err_text, "flipped"), "byte %zu: %s", i, err_text);
        cr_expect(!out_text[0] && !exists(in_folder("out.gif")), "byte %zu", i);
    }
    cr_expect(refused > 0, "no flipped bit of %s was noticed", good);
}

Test(convlstm_program, flipped_bits_are_refused_or_harmless) {
    succeed("train " SMALL " --steps 1 --out @/run");
    succeed("data --count 3 --out @/clips.npy");
    flip_bits("run/last.safetensors", 400, 13,
              "eval --weights @/flipped --frames 3 --clips 1 --batch 1");
    flip_bits("clips.npy", 128, 5,
              "eval --weights @/run/last.safetensors --npy @/flipped --frames 3 --clips 1");
}

Test(convlstm_program, files_without_permission_are_refused) {
    if (geteuid() == 0) {
        fprintf(stderr, "skipped: nothing is forbidden to root\n");
        return;
    }
    succeed("train " SMALL " --steps 1 --out @/run");
    cr_assert(chmod(in_folder("run/last.safetensors"), 0) == 0);
    refuse("eval --weights @/run/last.safetensors", 4, "last.safetensors");
    cr_assert(mkdir(in_folder("closed"), 0555) == 0);
    refuse("train " SMALL " --steps 1 --out @/closed/run", 5, "closed");
    refuse("data --count 1 --out @/closed/x.npy", 5, "x.npy");
    refuse("plot @/run --out @/closed/x.svg", 5, "x.svg");
}

/* MiB of the values of a training step, in the table before the run. */
static double values_of_step(void) {
    const char *end = strstr(err_text, " MiB values");
    cr_assert(end, "%s", err_text);
    while (end > err_text && end[-1] != '\n') end--;
    return strtod(end, NULL);
}

Test(convlstm_program, a_budget_changes_memory_and_no_bit) {
    static char one[1 << 18], two[1 << 18];
    char line[256];
    const char *const step = "train --hidden 4 --clips 4 --batch 2 --val 0 --steps 2 --out @/";
    snprintf(line, sizeof line, "%sfull", step);
    succeed(line);
    const double full = values_of_step();
    snprintf(line, sizeof line, "%sless --memory %g", step, 0.7 * full);
    succeed(line);
    cr_expect_leq(values_of_step(), 0.7 * full + 0.1, "%g MiB, %g without the budget",
                  values_of_step(), full);
    const size_t n = read_file(in_folder("full/last.safetensors"), one, sizeof one);
    cr_assert(n && read_file(in_folder("less/last.safetensors"), two, sizeof two) == n);
    cr_assert(!memcmp(one, two, n), "the weights differ");
    snprintf(line, sizeof line, "%sleast --memory 0.1", step);
    refuse(line, 5, "values need at least");
    cr_expect(!exists(in_folder("least")), "a refused run made its directory");
}

Test(convlstm_program, a_step_in_bf16_needs_less_memory) {
    double bytes[2];
    for (int i = 0; i < 2; i++) {
        succeed(i ? "summary --hidden 8 --frames 8 --precision bf16 --json"
                  : "summary --hidden 8 --frames 8 --precision f32 --json");
        json_t *j = parse(out_text);
        bytes[i] = number(j, "arena_bytes");
        json_decref(j);
    }
    cr_expect_lt(bytes[1], 0.7 * bytes[0]);
}
