/* Parameters: names, leaves, initialisers, and state_dict files that are refused as a whole. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/parity/parity.h"

static const wf_init zero = {.kind = WF_INIT_CONSTANT};

Test(nn_params, prefixes_and_leaves) {
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    wf_params_push(p, "block%d", 3);
    wf_params_push(p, "fc");
    const wf_tensor a = wf_param(g, p, "weight", WF_SHAPE(2, 3), (wf_init){0}, (wf_param_opt){0});
    wf_params_pop(p);
    const wf_tensor b = wf_param(g, p, "fc.weight", WF_SHAPE(2, 3), zero, (wf_param_opt){0});
    wf_params_pop(p);
    cr_assert(a.id == b.id && wf_params_count(p) == 1, "one name, one buffer, one leaf");
    const wf_param_info w = wf_params_at(p, 0);
    cr_assert_str_eq(w.name, "block3.fc.weight");
    cr_assert(((uintptr_t)w.data & 63) == 0, "aligned to 64 bytes");
    wf_param(g, p, "running", WF_SHAPE(4), zero, (wf_param_opt){.role = WF_ROLE_STATE});
    cr_assert(wf_params_elements(p) == 6);

    /* Another graph uses one of two parameters. */
    wf_graph *h = wf_graph_new();
    const wf_tensor c = wf_param(h, p, "other", WF_SHAPE(5), zero, (wf_param_opt){0});
    wf_tensor leaf[4];
    cr_assert(wf_params_leaves(p, h, leaf, 4) == 1 && leaf[0].id == c.id && leaf[0].graph == h);
    cr_assert(wf_params_leaves(p, g, NULL, 0) == 1);
    cr_assert(wf_params_elements(p) == 11);
    wf_graph_free(g);
    wf_graph_free(h);
    wf_params_free(p);
}

Test(nn_params, mistakes) {
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    cr_assert(!wf_ok(wf_param(g, p, "", WF_SHAPE(2), zero, (wf_param_opt){0})));
    wf_graph_free(g);
    g = wf_graph_new();
    cr_assert(!wf_ok(wf_param(g, p, "big", WF_SHAPE(INT64_MAX, 4), zero, (wf_param_opt){0})));
    cr_assert(strstr(wf_graph_message(g), "\"big\""), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    const char *const parts[] = {"one", "two"};
    const wf_param_opt two = {.n_parts = 2, .part = parts};
    cr_assert(!wf_ok(wf_param(g, p, "odd", WF_SHAPE(3, 4), zero, two)));
    cr_assert(strstr(wf_graph_message(g), "2 parts"), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    cr_assert(wf_ok(wf_param(g, p, "even", WF_SHAPE(4, 4), zero, two)));
    cr_assert(!wf_ok(wf_param(g, p, "one", WF_SHAPE(2, 4), zero, (wf_param_opt){0})));
    cr_assert(strstr(wf_graph_message(g), "is a part of \"even\""), "%s", wf_graph_message(g));
    wf_graph_free(g);
    g = wf_graph_new();
    for (int i = 0; i < 40; i++) wf_params_push(p, "deep");
    cr_assert(!wf_ok(wf_param(g, p, "x", WF_SHAPE(1), zero, (wf_param_opt){0})));
    for (int i = 0; i < 40; i++) wf_params_pop(p);
    wf_graph_free(g);
    g = wf_graph_new();
    cr_assert(wf_ok(wf_param(g, p, "x", WF_SHAPE(1), zero, (wf_param_opt){0})), "%s",
              wf_graph_message(g));
    cr_assert(!wf_ok(wf_param(g, NULL, "x", WF_SHAPE(1), zero, (wf_param_opt){0})));
    wf_graph_free(g);
    wf_params_free(p);
}

/* --- initialisers ----------------------------------------------------------------------------- */

static const float *make(wf_params *p, const char *name, wf_shape shape, wf_init init) {
    wf_graph *g = wf_graph_new();
    cr_assert(wf_ok(wf_param(g, p, name, shape, init, (wf_param_opt){0})), "%s",
              wf_graph_message(g));
    wf_graph_free(g);
    wf_param_info w;
    cr_assert(wf_params_find(p, name, &w));
    return w.data;
}

/* Mean 0 and the wanted deviation to five of its standard errors; extremes within the bound. */
static void expect_spread(const float *v, int n, double deviation, double bound) {
    double sum = 0, square = 0, most = 0;
    for (int i = 0; i < n; i++) {
        sum += v[i];
        square += (double)v[i] * v[i];
        most = fmax(most, fabs((double)v[i]));
    }
    cr_assert(fabs(sum / n) < 5 * deviation / sqrt(n), "mean %g", sum / n);
    cr_assert(fabs(sqrt(square / n) / deviation - 1) < 5 / sqrt(2.0 * n), "deviation %g, not %g",
              sqrt(square / n), deviation);
    cr_assert(most <= bound * (1 + 1e-7) && most > 0.8 * fmin(bound, 4 * deviation), "extreme %g",
              most);
}

Test(nn_params, initialisers) {
    enum { n = 64 * 9 * 32 };
    wf_params *p = wf_params_new(3);
    const wf_shape s = WF_SHAPE(64, 3, 3, 32); /* fan_in 288, fan_out 576 */
    const double r3 = sqrt(3);
    const struct {
        const char *name;
        wf_init init;
        double deviation, bound;
    } cases[] = {
        {"default", {0}, 1 / sqrt(288) / r3, 1 / sqrt(288)},
        {"fan", {.fan_in = 100}, 0.1 / r3, 0.1},
        {"uniform", {WF_INIT_UNIFORM, 0.3, 0}, 0.3 / r3, 0.3},
        {"normal", {WF_INIT_NORMAL, 0.02, 0}, 0.02, INFINITY},
        {"kaiming_u", {WF_INIT_KAIMING_UNIFORM, 2, 0}, 2 / sqrt(288), 2 * sqrt(3.0 / 288)},
        {"kaiming_n", {WF_INIT_KAIMING_NORMAL, 0, 0}, 1 / sqrt(288), INFINITY},
        {"xavier_u", {WF_INIT_XAVIER_UNIFORM, 0, 0}, sqrt(2.0 / 864), sqrt(6.0 / 864)},
        {"xavier_n", {WF_INIT_XAVIER_NORMAL, 3, 0}, 3 * sqrt(2.0 / 864), INFINITY},
    };
    for (size_t i = 0; i < WF_COUNT(cases); i++)
        expect_spread(make(p, cases[i].name, s, cases[i].init), n, cases[i].deviation,
                      cases[i].bound);
    cr_assert(make(p, "c", WF_SHAPE(2), (wf_init){WF_INIT_CONSTANT, 2.5, 0})[1] == 2.5f);
    wf_params_free(p);
}

/* Rows of a wide matrix, columns of a tall one. */
static void expect_orthogonal(const float *v, int rows, int cols, double gain) {
    const bool wide = rows <= cols;
    const int n = wide ? rows : cols, len = wide ? cols : rows;
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double dot = 0;
            for (int k = 0; k < len; k++)
                dot += wide ? (double)v[i * cols + k] * v[j * cols + k]
                            : (double)v[k * cols + i] * v[k * cols + j];
            cr_assert(fabs(dot - (i == j ? gain * gain : 0)) < 1e-5, "%d %d: %g", i, j, dot);
        }
}

Test(nn_params, orthogonal) {
    wf_params *p = wf_params_new(3);
    const wf_init init = {WF_INIT_ORTHOGONAL, 1.5, 0};
    expect_orthogonal(make(p, "wide", WF_SHAPE(8, 3, 5), init), 8, 15, 1.5);
    expect_orthogonal(make(p, "tall", WF_SHAPE(24, 7), init), 24, 7, 1.5);
    wf_params_free(p);
}

/* Values are a function of seed and name; packed gates have the values that their parts have. */
Test(nn_params, order_of_creation_does_not_matter) {
    wf_params *a = wf_params_new(5), *b = wf_params_new(5), *c = wf_params_new(6);
    const size_t bytes = 12 * sizeof(float);
    const float *ax = make(a, "x", WF_SHAPE(12), (wf_init){0});
    const float *ay = make(a, "y", WF_SHAPE(12), (wf_init){0});
    const float *by = make(b, "y", WF_SHAPE(12), (wf_init){0});
    const float *bx = make(b, "x", WF_SHAPE(12), (wf_init){0});
    cr_assert(!memcmp(ax, bx, bytes) && !memcmp(ay, by, bytes) && memcmp(ax, ay, bytes));
    cr_assert(memcmp(ax, make(c, "x", WF_SHAPE(12), (wf_init){0}), bytes), "seeds differ");
    wf_graph *g = wf_graph_new();
    const char *const parts[] = {"x", "y"};
    const wf_param_opt packed = {.n_parts = 2, .part = parts};
    wf_params *d = wf_params_new(5);
    cr_assert(wf_ok(wf_param(g, d, "xy", WF_SHAPE(24), (wf_init){.fan_in = 12}, packed)));
    const float *xy = wf_params_at(d, 0).data;
    cr_assert(!memcmp(xy, ax, bytes) && !memcmp(xy + 12, ay, bytes));
    wf_graph_free(g);
    wf_params_free(a);
    wf_params_free(b);
    wf_params_free(c);
    wf_params_free(d);
}

/* --- state_dict files ------------------------------------------------------------------------- */

static const char path[] = "/tmp/weft-params-test.safetensors";

/* w (2, 2, 2, 3) in conv layout and a packed bias (4): state n i64; momentum is not for files. */
static wf_params *sample(void) {
    static const char *const parts[] = {"ba", "bb"};
    wf_params *p = wf_params_new(2);
    wf_graph *g = wf_graph_new();
    wf_param(g, p, "w", WF_SHAPE(2, 2, 2, 3), (wf_init){0}, (wf_param_opt){.conv_layout = true});
    wf_param(g, p, "b", WF_SHAPE(4), (wf_init){0}, (wf_param_opt){.n_parts = 2, .part = parts});
    wf_param(g, p, "n", WF_SCALAR, zero, (wf_param_opt){.role = WF_ROLE_STATE, .dtype = WF_I64});
    wf_param(g, p, "m", WF_SHAPE(3), zero, (wf_param_opt){.role = WF_ROLE_OPTIMIZER});
    cr_assert(!wf_graph_status(g), "%s", wf_error());
    wf_graph_free(g);
    return p;
}

static void expect_file(const wf_safetensors *file, const char *name, wf_shape shape) {
    const wf_named *t = wf_safetensors_find(file, name);
    cr_assert(t && wf_shape_equal(&t->shape, &shape), "%s", name);
}

Test(nn_params, file_layout_and_round_trip) {
    wf_params *p = sample(), *q = sample();
    *(int64_t *)wf_params_at(p, 2).data = 77;
    float *w = wf_params_at(p, 0).data;
    for (int i = 0; i < 24; i++) w[i] = (float)i;
    cr_assert(!wf_params_save(p, path), "%s", wf_error());
    wf_safetensors *file;
    cr_assert(!wf_safetensors_open(&file, path), "%s", wf_error());
    cr_assert(wf_safetensors_count(file) == 4, "w, ba, bb, n");
    expect_file(file, "w", WF_SHAPE(2, 3, 2, 2));
    expect_file(file, "ba", WF_SHAPE(2));
    expect_file(file, "bb", WF_SHAPE(2));
    expect_file(file, "n", WF_SCALAR);
    const char *data = wf_safetensors_find(file, "w")->data;
    for (int o = 0; o < 2; o++)
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < 4; k++, data += sizeof(float))
                cr_assert(wf_load(WF_F32, data) == (o * 4 + k) * 3 + c);
    wf_safetensors_free(file);
    cr_assert(!wf_params_load(q, path), "%s", wf_error());
    cr_assert(!memcmp(wf_params_at(q, 0).data, w, 24 * sizeof(float)));
    cr_assert(!memcmp(wf_params_at(q, 1).data, wf_params_at(p, 1).data, 4 * sizeof(float)));
    cr_assert(*(int64_t *)wf_params_at(q, 2).data == 77);
    unlink(path);
    wf_params_free(p);
    wf_params_free(q);
}

/* Files that do not fit: the message names file and tensor, and nothing has changed. */
static void expect_refused(wf_named *t, size_t n, const char *text) {
    wf_params *p = sample();
    float before[24];
    memcpy(before, wf_params_at(p, 0).data, sizeof before);
    cr_assert(!wf_safetensors_write(path, t, n, NULL, 0), "%s", wf_error());
    cr_assert(wf_params_load(p, path) == WF_FORMAT);
    cr_assert(strstr(wf_error(), path) && strstr(wf_error(), text), "%s", wf_error());
    cr_assert(!memcmp(before, wf_params_at(p, 0).data, sizeof before), "w has changed");
    unlink(path);
    wf_params_free(p);
}

Test(nn_params, loading_is_strict) {
    static const float zeros[24];
    static const int64_t count;
    const wf_named good[] = {{"w", WF_F32, WF_SHAPE(2, 3, 2, 2), zeros},
                             {"ba", WF_F32, WF_SHAPE(2), zeros},
                             {"bb", WF_F32, WF_SHAPE(2), zeros},
                             {"n", WF_I64, WF_SCALAR, &count},
                             {"extra", WF_F32, WF_SHAPE(2), zeros}};
    wf_named t[5];
    memcpy(t, good, sizeof t);
    expect_refused(t, 3, "\"n\" is missing");
    expect_refused(t, 5, "\"extra\" is not in the model");
    t[4].name = "b"; /* a packed parameter has no tensor of its own in files */
    expect_refused(t, 5, "\"b\" is not in the model");
    t[4].name = "m";
    expect_refused(t, 5, "\"m\" is not in the model");
    t[2].shape = WF_SHAPE(1, 2);
    expect_refused(t, 4, "\"bb\" is f32[1,2], the model has f32[2]");
    t[2] = good[2];
    t[3] = (wf_named){"n", WF_I32, WF_SCALAR, &count};
    expect_refused(t, 4, "\"n\" is i32[], the model has i64[]");
    t[3] = good[3];
    t[0].shape = WF_SHAPE(2, 2, 2, 3);
    expect_refused(t, 4, "\"w\" is f32[2,2,2,3], the model has f32[2,3,2,2]");
}

Test(nn_params, missing_file) {
    wf_params *p = sample();
    cr_assert(wf_params_load(p, "/tmp/weft-no-such-file.safetensors") == WF_INPUT);
    cr_assert(strstr(wf_error(), "weft-no-such-file"), "%s", wf_error());
    cr_assert(wf_params_save(p, "/no/such/directory/x.safetensors") == WF_OUTPUT, "%s", wf_error());
    wf_params_free(p);
}

/* --- reading what fits ------------------------------------------------------------------------ */

typedef struct told {
    char line[8][128];
    int n;
} told;

static void note(void *user, wf_load_kind kind, const char *name, const char *detail) {
    static const char *const word[] = {"loaded", "missing", "unexpected", "mismatched"};
    told *t = user;
    cr_assert(t->n < 8);
    snprintf(t->line[t->n++], sizeof t->line[0], "%s %s%s%s", word[kind], name, *detail ? ": " : "",
             detail);
}

static void expect_told(const told *t, const char *line) {
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->line[i], line) == 0) return;
    cr_assert_fail("\"%s\" was not reported; the first line is \"%s\"", line, t->line[0]);
}

/* A file of another model: one tensor fits after its prefix is exchanged, one has another shape. */
Test(nn_params, loading_what_fits) {
    float w[24], b[3] = {7, 8, 9};
    for (int i = 0; i < 24; i++) w[i] = (float)i;
    const wf_named t[] = {{"net.w", WF_F32, WF_SHAPE(2, 3, 2, 2), w},
                          {"net.ba", WF_F32, WF_SHAPE(3), b},
                          {"net.bb", WF_F32, WF_SHAPE(2), b},
                          {"other", WF_F32, WF_SHAPE(2), b}};
    cr_assert(!wf_safetensors_write(path, t, 4, NULL, 0), "%s", wf_error());
    wf_params *p = sample();
    told said = {.n = 0};
    wf_load_report r;
    const wf_load_opt o = {.from = "net.", .each = note, .user = &said};
    cr_assert(!wf_params_load_some(p, path, o, &r), "%s", wf_error());
    cr_assert(r.count[WF_LOAD_LOADED] == 2 && r.count[WF_LOAD_MISSING] == 1 &&
              r.count[WF_LOAD_UNEXPECTED] == 1 && r.count[WF_LOAD_MISMATCHED] == 1);
    expect_told(&said, "loaded w");
    expect_told(&said, "loaded bb");
    expect_told(&said, "missing n");
    expect_told(&said, "unexpected other");
    expect_told(&said, "mismatched ba: f32[3] in the file, f32[2] in the model");
    const float *own = wf_params_at(p, 0).data, *bias = wf_params_at(p, 1).data;
    cr_assert(own[1] == 4 && own[3] == 1, "(O, I, K..) in files");
    cr_assert(bias[2] == 7 && bias[3] == 8);

    /* By pattern: only the bias. */
    wf_params_fill(p, "w", -1);
    cr_assert(!wf_params_load_some(p, path, (wf_load_opt){.only = "net.b?", .from = "net."}, &r));
    cr_assert(r.count[WF_LOAD_LOADED] == 1 && r.count[WF_LOAD_UNEXPECTED] == 0);
    cr_assert(own[1] == -1);

    /* Nothing fits: that is an error, and says why. */
    cr_assert(wf_params_load_some(p, path, (wf_load_opt){0}, &r) == WF_FORMAT);
    cr_assert(strstr(wf_error(), "no tensor fits the model: 4 unexpected"), "%s", wf_error());
    unlink(path);
    wf_params_free(p);
}

/* --- sharing ---------------------------------------------------------------------------------- */

/* Tied embedding and head: one buffer, one gradient, one tensor in files; a file with both
 * can be read. */
Test(nn_params, shared_by_name) {
    wf_params *p = wf_params_new(1);
    wf_graph *g = wf_graph_new();
    cr_assert(!wf_params_share(p, "head.weight", "embed.weight"), "%s", wf_error());
    cr_assert(wf_params_share(p, "embed.weight", "head.weight") == WF_ARGUMENT, "a circle");
    const int32_t index[] = {3, 1};
    const wf_tensor i = wf_const(g, WF_I32, WF_SHAPE(2), index);
    const wf_tensor h = wf_nn_embedding(p, "embed", i, 5, 4);
    const wf_tensor y = wf_nn_linear(p, "head", h, (wf_linear_opt){.out = 5, .no_bias = true});
    cr_assert(wf_ok(y) && wf_params_count(p) == 1, "%s", wf_graph_message(g));
    cr_assert(wf_params_leaves(p, g, NULL, 0) == 1);
    cr_assert(wf_params_share(p, "embed.weight", "other") == WF_ARGUMENT, "it exists");
    wf_param_info w;
    cr_assert(wf_params_find(p, "head.weight", &w) && !strcmp(w.name, "embed.weight"));
    float values[20];
    for (int k = 0; k < 20; k++) values[k] = (float)k;
    const wf_named both[] = {{"embed.weight", WF_F32, WF_SHAPE(5, 4), values},
                             {"head.weight", WF_F32, WF_SHAPE(5, 4), values}};
    cr_assert(!wf_safetensors_write(path, both, 2, NULL, 0));
    cr_assert(!wf_params_load(p, path), "%s", wf_error());
    cr_assert(((float *)w.data)[19] == 19);
    cr_assert(!wf_params_save(p, path));
    wf_safetensors *file;
    cr_assert(!wf_safetensors_open(&file, path) && wf_safetensors_count(file) == 1);
    wf_safetensors_free(file);
    unlink(path);
    wf_graph_free(g);
    wf_params_free(p);
}
