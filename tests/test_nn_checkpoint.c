/* Checkpoints: what was saved is loaded bit for bit, or nothing is. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/nn.h"

static char folder[] = "/tmp/weft-checkpoint-XXXXXX";
static int64_t count;
static double best[2];
static const wf_state state[] = {{"run.count", WF_I64, {0}, &count},
                                 {"run.best", WF_F64, {.rank = 1, .dim = {2}}, best}};

static void make_folder(void) { cr_assert(mkdtemp(folder)); }

static void remove_folder(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert(system(command) == 0);
}

TestSuite(nn_checkpoint, .init = make_folder, .fini = remove_folder);

static const char *file(const char *name) {
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* A weight, its optimiser state and a running statistic. */
static wf_params *make_params(int64_t width) {
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    wf_param(g, p, "w", WF_SHAPE(width, 3), (wf_init){0}, (wf_param_opt){0});
    wf_param(g, p, "mean", WF_SHAPE(3), (wf_init){.kind = WF_INIT_NORMAL, .a = 1},
             (wf_param_opt){.role = WF_ROLE_STATE});
    wf_param(g, p, "m", WF_SHAPE(3), (wf_init){.kind = WF_INIT_NORMAL, .a = 1},
             (wf_param_opt){.role = WF_ROLE_OPTIMIZER});
    cr_assert_eq(wf_graph_status(g), WF_OK);
    wf_graph_free(g);
    return p;
}

static size_t bytes_at(const wf_params *p, size_t i, void **data) {
    const wf_param_info q = wf_params_at(p, i);
    *data = q.data;
    return (size_t)wf_shape_count(&q.shape) * wf_dtype_bytes(q.dtype);
}

static void fill(wf_params *p, int value) {
    void *data;
    for (size_t i = 0; i < wf_params_count(p); i++) {
        const size_t n = bytes_at(p, i, &data);
        memset(data, value, n);
    }
    count = value;
    best[0] = best[1] = value;
}

static bool holds(const wf_params *p, int value) {
    void *data;
    for (size_t i = 0; i < wf_params_count(p); i++) {
        const size_t n = bytes_at(p, i, &data);
        for (size_t k = 0; k < n; k++)
            if (((unsigned char *)data)[k] != value) return false;
    }
    return count == value && best[1] == value;
}

static void save(wf_params *p, int value) {
    fill(p, value);
    cr_assert_eq(wf_checkpoint_save(p, state, 2, folder), WF_OK, "%s", wf_error());
}

static char note[1024];
static wf_status load(wf_params *p) {
    return wf_checkpoint_load(p, state, 2, folder, note, sizeof note);
}

static size_t read_file(const char *path, char *text, size_t size) {
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    const size_t n = fread(text, 1, size, f);
    fclose(f);
    return n;
}

static void write_file(const char *path, const char *text, size_t n) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(text, 1, n, f) == n && fclose(f) == 0, "%s", path);
}

Test(nn_checkpoint, everything_comes_back) {
    wf_params *p = make_params(2);
    cr_assert_eq(load(p), WF_NOT_FOUND);
    save(p, 5);
    fill(p, 0);
    cr_assert_eq(load(p), WF_OK, "%s", wf_error());
    cr_assert(holds(p, 5) && !*note);
    wf_params_free(p);
}

Test(nn_checkpoint, equal_states_equal_bytes) {
    static char first[1 << 16], second[1 << 16];
    wf_params *p = make_params(2);
    save(p, 5);
    const size_t n = read_file(file(WF_CHECKPOINT_FILE), first, sizeof first);
    save(p, 6);
    save(p, 5);
    cr_assert_eq(read_file(file(WF_CHECKPOINT_FILE), second, sizeof second), n);
    cr_assert(!memcmp(first, second, n));
    wf_params_free(p);
}

Test(nn_checkpoint, the_generation_before_takes_over) {
    wf_params *p = make_params(2);
    save(p, 1);
    save(p, 2);
    save(p, 3);
    cr_assert(truncate(file(WF_CHECKPOINT_FILE), 40) == 0);
    cr_assert_eq(load(p), WF_OK, "%s", wf_error());
    cr_assert(holds(p, 2));
    cr_assert(strstr(note, WF_CHECKPOINT_FILE) && strstr(note, WF_CHECKPOINT_BEFORE), "%s", note);
    cr_assert(unlink(file(WF_CHECKPOINT_FILE)) == 0);
    cr_assert_eq(load(p), WF_OK, "killed between two renames: %s", wf_error());
    cr_assert(truncate(file(WF_CHECKPOINT_BEFORE), 40) == 0);
    fill(p, 9);
    cr_assert_neq(load(p), WF_OK);
    cr_assert(holds(p, 9), "a failed load changed something");
    wf_params_free(p);
}

Test(nn_checkpoint, every_flipped_bit_is_seen) {
    static char whole[1 << 16], bad[1 << 16];
    wf_params *p = make_params(1);
    save(p, 4);
    const size_t n = read_file(file(WF_CHECKPOINT_FILE), whole, sizeof whole);
    fill(p, 7);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit += i < n - 100 ? 1 : 3) {
            memcpy(bad, whole, n);
            bad[i] = (char)(bad[i] ^ 1 << bit);
            write_file(file(WF_CHECKPOINT_FILE), bad, n);
            const wf_status status = load(p);
            cr_assert(status == WF_FORMAT || status == WF_INPUT, "byte %zu, bit %d: %s", i, bit,
                      wf_status_name(status));
            cr_assert(*wf_error() && holds(p, 7), "byte %zu, bit %d", i, bit);
        }
    wf_params_free(p);
}

Test(nn_checkpoint, every_truncation_is_seen) {
    static char whole[1 << 16];
    wf_params *p = make_params(1);
    save(p, 4);
    const size_t n = read_file(file(WF_CHECKPOINT_FILE), whole, sizeof whole);
    for (size_t i = 0; i < n; i++) {
        write_file(file(WF_CHECKPOINT_FILE), whole, i);
        cr_assert_neq(load(p), WF_OK, "%zu of %zu bytes", i, n);
    }
    wf_params_free(p);
}

Test(nn_checkpoint, another_model_is_refused_by_tensor) {
    wf_params *p = make_params(2), *other = make_params(3);
    save(p, 1);
    cr_assert_eq(load(other), WF_FORMAT);
    cr_assert(strstr(wf_error(), "\"w\"") && strstr(wf_error(), "[2,3]"), "%s", wf_error());
    cr_assert_eq(wf_checkpoint_load(p, state, 1, folder, note, sizeof note), WF_FORMAT);
    cr_assert(strstr(wf_error(), "5 tensors"), "%s", wf_error());
    wf_params_free(p);
    wf_params_free(other);
}

Test(nn_checkpoint, a_failed_save_is_an_error_and_leaves_both_generations) {
    wf_params *p = make_params(200);
    save(p, 1);
    save(p, 2);
    const struct rlimit little = {256, 256};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &little) == 0);
    fill(p, 3);
    cr_assert_eq(wf_checkpoint_save(p, state, 2, folder), WF_OUTPUT);
    cr_assert(strstr(wf_error(), folder), "%s", wf_error());
    cr_assert_eq(load(p), WF_OK, "%s", wf_error());
    cr_assert(holds(p, 2) && !*note);
    cr_assert(unlink(file(WF_CHECKPOINT_FILE)) == 0);
    cr_assert_eq(load(p), WF_OK, "%s", wf_error());
    cr_assert(holds(p, 1));
    cr_assert_eq(wf_checkpoint_save(p, state, 2, "/nonexistent/folder"), WF_OUTPUT);
    wf_params_free(p);
}

Test(nn_checkpoint, removing_removes_all) {
    wf_params *p = make_params(2);
    save(p, 1);
    save(p, 2);
    cr_assert_eq(wf_checkpoint_remove(folder), WF_OK);
    cr_assert_eq(load(p), WF_NOT_FOUND);
    cr_assert_eq(wf_checkpoint_remove(folder), WF_OK, "nothing there is fine");
    wf_params_free(p);
}
