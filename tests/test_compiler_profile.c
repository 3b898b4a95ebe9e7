/* Profiles: that every launch is there with its work, the trace, the table, pictures with times,
 * what profiling costs in memory, and errors. Times themselves are only added up. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <malloc.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "compiler/program.h"

enum { STEPS = 12, KEPT = 2, RUNS = 5 };

/* A recurrent network: a matrix product and elementwise work a step, a sum at the end. */
static wf_program *recurrent(wf_tensor *y, int threads, const char *scope) {
    static float weight[64 * 64];
    wf_graph *g = wf_graph_new();
    const wf_tensor w = wf_leaf(g, "w", WF_F32, WF_SHAPE(64, 64), weight);
    wf_tensor h = wf_input(g, "x", WF_F32, WF_SHAPE(256, 64));
    wf_scope_push(g, "%s", scope);
    for (int t = 0; t < STEPS; t++) {
        wf_scope_push(g, "t%d", t);
        h = wf_add(wf_tanh(wf_matmul(h, w)), h);
        wf_scope_pop(g);
    }
    wf_scope_pop(g);
    *y = wf_mean(h, (wf_reduce_opt){.n_axes = 1, .axes = {0}});
    wf_program *p;
    const wf_compile_opt o = {.precision = WF_PRECISION_F32, .threads = threads};
    cr_assert_eq(wf_compile(&p, g, y, 1, o), WF_OK, "%s",
                 wf_error());
    for (int i = 0; i < 64 * 64; i++) weight[i] = (float)(i * 37 % 101) / 400 - 0.12f;
    for (int i = 0; i < 256 * 64; i++)
        ((float *)wf_data_named(p, "x", NULL))[i] = (float)(i * 53 % 211) / 105 - 1;
    wf_graph_free(g);
    return p;
}

static wf_program *profiled(int threads, const char *scope) {
    wf_tensor y;
    wf_program *p = recurrent(&y, threads, scope);
    cr_assert_eq(wf_profile_start(p, KEPT), WF_OK, "%s", wf_error());
    for (int i = 0; i < RUNS; i++) cr_assert_eq(wf_run(p), WF_OK);
    cr_assert_eq(wf_profile_stop(p), WF_OK, "%s", wf_error());
    return p;
}

typedef wf_status write_fn(const wf_program *p, FILE *f);
static wf_status write_table(const wf_program *p, FILE *f) { return wf_profile_table(p, f, 0); }
static wf_status write_short_table(const wf_program *p, FILE *f) {
    return wf_profile_table(p, f, 1);
}
static wf_status write_picture(const wf_program *p, FILE *f) {
    return wf_program_dot(p, f, (wf_dot_opt){.timed = true});
}
static wf_status write_nodes(const wf_program *p, FILE *f) {
    return wf_program_dot(p, f, (wf_dot_opt){.timed = true, .fold = WF_DOT_FOLD_NONE});
}

static char *text_of(const wf_program *p, write_fn *write) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(write(p, f), WF_OK, "%s", wf_error());
    fclose(f);
    return text;
}

static void expect_text(const char *text, const char *part) {
    cr_expect(strstr(text, part), "%s is not in\n%s", part, text);
}

/* --- numbers ---------------------------------------------------------------------------------- */

Test(compiler_profile, every_launch_is_there_with_its_work) {
    for (int threads = 1; threads <= 3; threads++) {
        wf_program *p = profiled(threads, "cell");
        const wf_program_info plan = wf_program_describe(p);
        wf_profile_info info;
        cr_assert_eq(wf_profile_read(p, &info), WF_OK, "%s", wf_error());
        cr_expect_eq(info.runs, RUNS);
        cr_expect_eq(info.launches, plan.launches);
        cr_expect_eq(info.workers, threads);
        cr_expect_eq(info.flops, plan.flops);
        cr_expect_eq(info.flops, STEPS * 2.0 * 256 * 64 * 64);
        cr_expect(info.least > 0 && info.least <= info.seconds && info.seconds <= info.most);
        double seconds = 0, flops = 0, bytes = 0;
        int contractions = 0;
        for (uint32_t i = 0; i < info.launches; i++) {
            wf_profile_row r;
            cr_assert_eq(wf_profile_launch(p, i, &r), WF_OK, "%s", wf_error());
            cr_expect(*r.name && r.seconds >= 0 && r.busy > 0 && r.bytes > 0, "%s", r.name);
            seconds += r.seconds;
            flops += r.flops;
            bytes += r.bytes;
            if (r.flops == 0) continue;
            cr_expect_str_eq(r.name, "contract f32[256,64] sum[64]");
            char scope[32];
            snprintf(scope, sizeof scope, "cell/t%d", contractions++);
            cr_expect_str_eq(r.scope, scope);
            const double touched = 4.0 * (2 * 256 * 64 + 64 * 64);
            cr_expect_eq(r.bytes, touched, "%g bytes, not %g", r.bytes, touched);
        }
        cr_expect_eq(contractions, STEPS);
        cr_expect_eq(flops, info.flops);
        cr_expect_eq(bytes, info.bytes);
        cr_expect(seconds > 0 && seconds <= info.seconds * (1 + 1e-9), "%g of %g", seconds,
                  info.seconds);
        for (int w = 0; w < threads; w++) {
            double wait;
            cr_assert_eq(wf_profile_wait(p, w, &wait), WF_OK, "%s", wf_error());
            cr_expect(wait >= 0 && wait <= info.seconds, "worker %d waits %g", w, wait);
        }
        wf_program_free(p);
    }
}

Test(compiler_profile, a_profile_changes_no_bit_and_starts_anew) {
    wf_tensor y;
    float plain[64];
    wf_profile_info info;
    wf_program *p = recurrent(&y, 2, "cell");
    cr_assert_eq(wf_run(p), WF_OK);
    memcpy(plain, wf_data(p, y), sizeof plain);
    for (int again = 1; again <= 2; again++) {
        cr_assert_eq(wf_profile_start(p, 0), WF_OK, "%s", wf_error());
        for (int i = 0; i < again; i++) cr_assert_eq(wf_run(p), WF_OK);
        cr_expect_eq(memcmp(plain, wf_data(p, y), sizeof plain), 0);
        cr_assert_eq(wf_profile_read(p, &info), WF_OK, "between runs: %s", wf_error());
        cr_expect_eq(info.runs, (uint64_t)again);
    }
    cr_assert_eq(wf_profile_stop(p), WF_OK);
    cr_assert_eq(wf_run(p), WF_OK);
    cr_assert_eq(wf_profile_read(p, &info), WF_OK);
    cr_expect_eq(info.runs, 2, "a run after the stop counts");
    cr_expect_eq(wf_program_set_threads(p, 1), WF_OK);
    cr_assert_eq(wf_run(p), WF_OK);
    wf_program_free(p);
}

Test(compiler_profile, fewer_workers_than_planned) {
    wf_tensor y;
    wf_program *p = recurrent(&y, 3, "cell");
    cr_assert_eq(wf_profile_start(p, 1), WF_OK);
    omp_set_max_active_levels(1);
#pragma omp parallel num_threads(2)
    if (omp_get_thread_num() == 0) wf_run(p);
    char *text = text_of(p, wf_profile_trace);
    expect_text(text, "\"workers\":1");
    free(text);
    wf_program_free(p);
}

Test(compiler_profile, a_profiled_run_allocates_nothing_and_faults_no_page) {
    for (int threads = 1; threads <= 2; threads++) {
        wf_tensor y;
        wf_program *p = recurrent(&y, threads, "cell");
        wf_code_wait(p->plan.code); /* compiling in the background allocates */
        cr_assert_eq(wf_run(p), WF_OK);
        cr_assert_eq(wf_run(p), WF_OK);
        cr_assert_eq(wf_profile_start(p, 100), WF_OK);
        struct rusage before, after;
        const struct mallinfo2 m0 = mallinfo2();
        getrusage(RUSAGE_SELF, &before);
        for (int i = 0; i < 5; i++) cr_assert_eq(wf_run(p), WF_OK);
        getrusage(RUSAGE_SELF, &after);
        const struct mallinfo2 m1 = mallinfo2();
        cr_expect_eq(m1.uordblks, m0.uordblks);
        cr_expect_eq(m1.fordblks, m0.fordblks);
        cr_expect_eq(after.ru_minflt - before.ru_minflt, 0, "%ld page faults with %d threads",
                     after.ru_minflt - before.ru_minflt, threads);
        wf_program_free(p);
    }
}

/* --- the trace -------------------------------------------------------------------------------- */

static const char *string_at(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static json_t *parse_trace(const wf_program *p) {
    char *text = text_of(p, wf_profile_trace);
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    cr_assert(root, "line %d: %s", error.line, error.text);
    free(text);
    return root;
}

Test(compiler_profile, the_trace_has_an_event_a_launch_and_worker) {
    wf_program *p = profiled(2, "cell");
    json_t *root = parse_trace(p), *events = json_object_get(root, "traceEvents"), *e;
    const uint32_t n = wf_program_describe(p).launches;
    int *pieces = calloc((size_t)KEPT * n, sizeof *pieces), runs = 0, tracks = 0;
    int *seen = calloc((size_t)KEPT * n * 2, sizeof *seen);
    double begin[KEPT], end[KEPT];
    size_t i;
    json_array_foreach(events, i, e) {
        if (!strcmp(string_at(e, "name"), "thread_name")) tracks++;
        if (strcmp(string_at(e, "cat"), "run") != 0) continue;
        char name[32];
        snprintf(name, sizeof name, "run %d", RUNS - KEPT + 1 + runs);
        cr_expect_str_eq(string_at(e, "name"), name);
        cr_assert(runs < KEPT && json_integer_value(json_object_get(e, "tid")) == 0);
        begin[runs] = json_real_value(json_object_get(e, "ts"));
        end[runs] = begin[runs] + json_real_value(json_object_get(e, "dur"));
        runs++;
    }
    cr_expect_eq(tracks, 3, "two workers and the runs");
    cr_assert_eq(runs, KEPT);
    cr_expect_eq(begin[0], 0);
    json_array_foreach(events, i, e) {
        const json_t *args = json_object_get(e, "args");
        const double ts = json_real_value(json_object_get(e, "ts"));
        const double dur = json_real_value(json_object_get(e, "dur"));
        if (!*string_at(e, "cat") || !strcmp(string_at(e, "cat"), "run")) continue;
        const int run = ts >= begin[1];
        cr_expect(dur >= 0 && ts >= begin[run] && ts + dur <= end[run] + 0.01);
        if (strcmp(string_at(e, "cat"), "launch") != 0) continue;
        const json_int_t launch = json_integer_value(json_object_get(args, "launch"));
        const json_int_t w = json_integer_value(json_object_get(e, "tid")) - 1;
        cr_assert(launch >= 0 && launch < n && (w == 0 || w == 1));
        wf_profile_row r;
        cr_assert_eq(wf_profile_launch(p, (uint32_t)launch, &r), WF_OK);
        cr_expect_str_eq(string_at(e, "name"), r.name);
        cr_expect_str_eq(string_at(args, "scope"), r.scope);
        const size_t at = (size_t)run * n + (size_t)launch;
        cr_expect_eq(seen[2 * at + (size_t)w]++, 0, "launch %d twice", (int)launch);
        pieces[at] += (int)json_integer_value(json_object_get(args, "pieces"));
        const int of = (int)json_integer_value(json_object_get(args, "of"));
        cr_expect(of > 0 && pieces[at] <= of);
        if (seen[2 * at] && seen[2 * at + 1]) cr_expect_eq(pieces[at], of);
    }
    for (size_t k = 0; k < (size_t)KEPT * n; k++) cr_expect(pieces[k] > 0, "launch %zu", k % n);
    json_decref(root);
    free(pieces);
    free(seen);
    wf_program_free(p);
}

Test(compiler_profile, names_are_escaped) {
    static const char hostile[] = "a\"b\\c\nd\te\x01 caf\xc3\xa9 \xff\xed\xa0\x80 \x7f {}],";
    wf_program *p = profiled(2, hostile);
    json_t *root = parse_trace(p), *e;
    bool found = false;
    size_t i;
    json_array_foreach(json_object_get(root, "traceEvents"), i, e)
        found |= strstr(string_at(json_object_get(e, "args"), "scope"),
                        "a\"b\\c\nd\te\x01 caf\xc3\xa9 \xef\xbf\xbd") != NULL;
    cr_expect(found, "the scope is not in the trace");
    json_decref(root);
    char *text = text_of(p, write_table);
    for (const char *c = text; *c; c++)
        cr_assert(*c == '\n' || ((unsigned char)*c >= ' ' && *c != 0x7f), "a control character");
    expect_text(text, "a\"b\\c?d?e? caf\xc3\xa9");
    free(text);
    wf_program_free(p);
}

/* --- the table and the picture ---------------------------------------------------------------- */

Test(compiler_profile, the_table_folds_time_steps) {
    wf_program *p = profiled(2, "cell");
    char *text = text_of(p, write_table);
    char line[64];
    snprintf(line, sizeof line, "5 runs of %u launches by 2 workers",
             wf_program_describe(p).launches);
    expect_text(text, line);
    expect_text(text, "contract f32[256,64] sum[64]");
    expect_text(text, "  cell/t*\n");
    expect_text(text, "all launches\n");
    expect_text(text, "worker 1 waits at barriers\n");
    cr_expect_null(strstr(text, "cell/t1"), "steps are not folded: %s", text);
    free(text);
    text = text_of(p, write_short_table);
    expect_text(text, " more rows\n");
    free(text);
    wf_program_free(p);
}

Test(compiler_profile, pictures_carry_times) {
    wf_program *p = profiled(2, "cell");
    char *text = text_of(p, write_picture), *nodes = text_of(p, write_nodes);
    expect_text(text, " a run, mean of 5");
    expect_text(text, "FLOP/s");
    expect_text(text, " %");
    expect_text(nodes, "FLOP/s");
    expect_text(nodes, "subgraph cluster_g");
    for (const char *s = text; (s = strstr(s, "GFLOP/s")); s++)
        cr_expect(s - text > 20 && s[-1] == ' ');
    free(text);
    free(nodes);
    cr_assert_eq(wf_profile_start(p, 1), WF_OK);
    FILE *f = fopen("/dev/null", "w");
    cr_expect_eq(write_picture(p, f), WF_ARGUMENT, "no run was profiled");
    cr_expect_eq(wf_program_dot(p, f, (wf_dot_opt){0}), WF_OK);
    fclose(f);
    wf_program_free(p);
}

/* --- errors ----------------------------------------------------------------------------------- */

Test(compiler_profile, wrong_calls_are_refused) {
    wf_tensor y;
    wf_program *p = recurrent(&y, 2, "cell");
    wf_profile_info info;
    wf_profile_row row;
    double wait;
    FILE *f = fopen("/dev/null", "w"), *full = fopen("/dev/full", "w");
    cr_expect_eq(wf_profile_start(NULL, 1), WF_ARGUMENT);
    cr_expect_eq(wf_profile_stop(NULL), WF_ARGUMENT);
    cr_expect_eq(wf_profile_stop(p), WF_ARGUMENT);
    cr_expect_eq(wf_profile_read(p, &info), WF_ARGUMENT);
    cr_expect(strstr(wf_error(), "wf_profile_start"), "%s", wf_error());
    cr_assert_eq(wf_profile_start(p, 1), WF_OK);
    cr_expect_eq(wf_profile_read(p, &info), WF_ARGUMENT, "no run yet");
    cr_expect_eq(wf_profile_trace(p, f), WF_ARGUMENT);
    cr_expect_eq(wf_profile_table(p, f, 0), WF_ARGUMENT);
    cr_expect_eq(wf_program_set_threads(p, 1), WF_ARGUMENT);
    cr_expect(strstr(wf_error(), "wf_profile_stop"), "%s", wf_error());
    cr_assert_eq(wf_run(p), WF_OK);
    cr_expect_eq(wf_profile_read(NULL, &info), WF_ARGUMENT);
    cr_expect_eq(wf_profile_read(p, NULL), WF_ARGUMENT);
    cr_expect_eq(wf_profile_launch(p, 0, NULL), WF_ARGUMENT);
    cr_expect_eq(wf_profile_launch(p, wf_program_describe(p).launches, &row), WF_ARGUMENT);
    cr_expect_str_eq(row.name, "");
    cr_expect_eq(wf_profile_wait(p, 2, &wait), WF_ARGUMENT);
    cr_expect_eq(wf_profile_wait(p, -1, &wait), WF_ARGUMENT);
    cr_expect_eq(wf_profile_wait(p, 0, NULL), WF_ARGUMENT);
    cr_expect_eq(wf_profile_trace(p, NULL), WF_ARGUMENT);
    cr_expect_eq(wf_profile_trace(NULL, f), WF_ARGUMENT);
    cr_expect_eq(wf_profile_table(p, NULL, 0), WF_ARGUMENT);
    cr_expect_eq(wf_profile_table(p, full, 0), WF_OUTPUT);
    cr_expect_eq(wf_profile_trace(p, full), WF_OUTPUT);
    cr_expect_eq(wf_profile_read(p, &info), WF_OK, "%s", wf_error());
    cr_expect_eq(wf_profile_stop(p), WF_OK);
    cr_expect_eq(wf_profile_stop(p), WF_ARGUMENT);
    fclose(f);
    fclose(full);
    wf_program_free(p);
}

Test(compiler_profile, a_program_without_launches) {
    wf_graph *g = wf_graph_new();
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, NULL, 0, (wf_compile_opt){0}), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_profile_start(p, 1), WF_OK);
    cr_assert_eq(wf_run(p), WF_OK);
    json_decref(parse_trace(p));
    free(text_of(p, write_table));
    free(text_of(p, write_picture));
    wf_program_free(p);
    wf_graph_free(g);
}
