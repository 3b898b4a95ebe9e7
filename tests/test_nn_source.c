/* Data sources and feeds: every kind gives the samples that were asked for, and the batches of a
 * run are a function of source, seed and number. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "nn/nn.h"

static char folder[] = "/tmp/weft-source-XXXXXX";

static void make_folder(void) { cr_assert(mkdtemp(folder)); }

static void remove_folder(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert(system(command) == 0);
}

TestSuite(nn_source, .init = make_folder, .fini = remove_folder);

static const char *file(const char *name) {
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

enum { N = 23 };

/* --- sources --- */

/* images (N, 2, 3) u8 of values 6 k + i, labels (N) i64 of values k. */
static uint8_t images[N][2][3];
static int64_t labels[N];

static void make_arrays(void) {
    for (int k = 0; k < N; k++) {
        labels[k] = k;
        for (int i = 0; i < 6; i++) images[k][i / 3][i % 3] = (uint8_t)(6 * k + i);
    }
}

static void expect_batch(const wf_source *s) {
    float x[3][6];
    int32_t y[3];
    const int64_t index[] = {5, 22, 0};
    void *const out[] = {x, y};
    cr_assert_eq(wf_source_count(s), N);
    cr_assert_eq(wf_source_bytes(s, 0), sizeof x[0]);
    cr_assert_eq(wf_source_batch(s, index, 3, out), WF_OK, "%s", wf_error());
    for (int k = 0; k < 3; k++) {
        cr_assert_eq(y[k], index[k]);
        for (int i = 0; i < 6; i++) cr_assert_eq(x[k][i], (float)(6 * index[k] + i) * 0.5f);
    }
    cr_assert_eq(wf_source_batch(s, (int64_t[]){N}, 1, out), WF_ARGUMENT);
}

static void open_and_expect(const wf_source_part *part) {
    wf_source *s;
    cr_assert_eq(wf_source_open(&s, part, 2), WF_OK, "%s", wf_error());
    cr_assert_str_eq(wf_source_name(s, 1), "y");
    expect_batch(s);
    wf_source_close(s);
}

static const wf_source_part from_memory[] = {
    {.name = "x", .scale = 0.5, .data = images, .from = WF_U8,
     .shape = {.rank = 3, .dim = {N, 2, 3}}},
    {.name = "y", .dtype = WF_I32, .data = labels, .from = WF_I64,
     .shape = {.rank = 1, .dim = {N}}}};

Test(nn_source, memory) {
    make_arrays();
    open_and_expect(from_memory);
}

Test(nn_source, npy) {
    make_arrays();
    cr_assert_eq(wf_npy_write(file("x.npy"), WF_U8, WF_SHAPE(N, 2, 3), images), WF_OK);
    cr_assert_eq(wf_npy_write(file("y.npy"), WF_I64, WF_SHAPE(N), labels), WF_OK);
    char x[128], y[128];
    strcpy(x, file("x.npy"));
    strcpy(y, file("y.npy"));
    open_and_expect((wf_source_part[]){{.name = "x", .scale = 0.5, .npy = x},
                                       {.name = "y", .dtype = WF_I32, .npy = y}});
    wf_source *s;
    const wf_source_part none = {.name = "x", .npy = "/nonexistent.npy"};
    cr_assert_eq(wf_source_open(&s, &none, 1), WF_INPUT);
}

static void write_idx(const char *path, bool packed, size_t cut) {
    uint8_t text[16 + N * 6] = {0, 0, 8, 3, 0, 0, 0, N, 0, 0, 0, 2, 0, 0, 0, 3};
    memcpy(text + 16, images, N * 6);
    gzFile f = gzopen(path, packed ? "wb" : "wbT");
    cr_assert(f && gzwrite(f, text, (unsigned)(sizeof text - cut)) > 0 && gzclose(f) == Z_OK);
}

Test(nn_source, idx) {
    make_arrays();
    wf_source_part part[] = {{.name = "x", .scale = 0.5, .idx = file("x.idx")}, from_memory[1]};
    for (int packed = 0; packed < 2; packed++) {
        write_idx(part[0].idx, packed, 0);
        open_and_expect(part);
        wf_source *s;
        write_idx(part[0].idx, packed, 7);
        cr_assert_eq(wf_source_open(&s, part, 2), WF_FORMAT);
        cr_assert(strstr(wf_error(), "cut short"), "%s", wf_error());
    }
    /* Where only x.idx.gz is there, x.idx means that. */
    char packed[256];
    snprintf(packed, sizeof packed, "%s.gz", part[0].idx);
    write_idx(packed, true, 0);
    cr_assert(unlink(part[0].idx) == 0);
    open_and_expect(part);
    write_idx(part[0].idx, false, 0);
    FILE *f = fopen(part[0].idx, "r+b");
    fputc(1, f);
    fclose(f);
    wf_source *s;
    cr_assert_eq(wf_source_open(&s, part, 2), WF_FORMAT);
    cr_assert(strstr(wf_error(), "IDX"), "%s", wf_error());
}

static wf_status make_samples(void *user, const int64_t *index, int64_t n, void *const *out) {
    for (int64_t k = 0; k < n; k++) {
        if (index[k] == *(int64_t *)user) return wf_fail(WF_INPUT, "sample 17 is broken");
        for (int i = 0; i < 6; i++)
            ((float *)out[0])[6 * k + i] = (float)(6 * index[k] + i) * 0.5f;
        ((int32_t *)out[1])[k] = (int32_t)index[k];
    }
    return WF_OK;
}

static wf_source *open_function(int64_t *broken) {
    wf_source *s;
    const wf_source_part part[] = {{.name = "x", .shape = WF_SHAPE(2, 3)},
                                   {.name = "y", .dtype = WF_I32, .shape = WF_SCALAR}};
    cr_assert_eq(wf_source_function(&s, N, part, 2, make_samples, broken), WF_OK, "%s",
                 wf_error());
    return s;
}

Test(nn_source, function_and_subset) {
    int64_t broken = -1;
    wf_source *s = open_function(&broken), *back, *again;
    expect_batch(s);
    int64_t reversed[N];
    for (int i = 0; i < N; i++) reversed[i] = N - 1 - i;
    cr_assert_eq(wf_source_subset(&back, s, reversed, N), WF_OK);
    cr_assert_eq(wf_source_subset(&again, back, reversed, N), WF_OK);
    expect_batch(again);
    reversed[3] = N;
    wf_source *bad;
    cr_assert_eq(wf_source_subset(&bad, s, reversed, N), WF_ARGUMENT);
    wf_source_close(again);
    wf_source_close(back);
    wf_source_close(s);
}

Test(nn_source, samples_along_another_axis) {
    /* (2, N, 3): time before samples, as in the official Moving MNIST file. */
    uint8_t frames[2][N][3];
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < N; k++)
            for (int i = 0; i < 3; i++) frames[t][k][i] = (uint8_t)(100 * t + 3 * k + i);
    const wf_source_part part = {.name = "x", .axis = 1, .data = frames, .from = WF_U8,
                                 .shape = WF_SHAPE(2, N, 3)};
    wf_source *s;
    float x[2][2][3];
    void *const out[] = {x};
    cr_assert_eq(wf_source_open(&s, &part, 1), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_source_batch(s, (int64_t[]){7, 1}, 2, out), WF_OK);
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(x[t][0][i], 100 * t + 21 + i);
            cr_assert_eq(x[t][1][i], 100 * t + 3 + i);
        }
    wf_source_close(s);
}

Test(nn_source, refusals_name_the_part) {
    wf_source *s;
    wf_source_part part[] = {from_memory[0], from_memory[1]};
    part[1].shape.dim[0] = N - 1;
    cr_assert_eq(wf_source_open(&s, part, 2), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "\"y\" of a data source has 22 samples"), "%s", wf_error());
    part[0].axis = 3;
    cr_assert_eq(wf_source_open(&s, part, 2), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "\"x\""), "%s", wf_error());
    part[0].axis = 0;
    part[0].shape = WF_SHAPE(0, INT64_C(1) << 32, INT64_C(1) << 32);
    cr_assert_eq(wf_source_open(&s, part, 1), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "\"x\""), "%s", wf_error());
    part[0].npy = "x.npy";
    cr_assert_eq(wf_source_open(&s, part, 2), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "one of npy, idx and data"), "%s", wf_error());
}

/* --- feeds --- */

enum { BATCH = 4, STEPS = N / BATCH };

static wf_feed *open_feed(const wf_source *s, wf_feed_opt o) {
    wf_feed *f;
    o.batch = BATCH;
    o.seed = 3;
    cr_assert_eq(wf_feed_open(&f, s, o), WF_OK, "%s", wf_error());
    return f;
}

/* The labels of the next n batches. */
static void take(wf_feed *f, int n, int32_t *label) {
    float x[BATCH][6];
    for (int i = 0; i < n; i++) {
        void *const out[] = {x, label + (ptrdiff_t)i * BATCH};
        cr_assert_eq(wf_feed_next(f, out, NULL), WF_OK, "%s", wf_error());
        for (int k = 0; k < BATCH; k++)
            cr_assert_eq(x[k][1], (float)(6 * label[i * BATCH + k] + 1) * 0.5f);
    }
}

Test(nn_source, an_epoch_has_every_sample_at_most_once) {
    int64_t broken = -1;
    wf_source *s = open_function(&broken);
    wf_feed *f = open_feed(s, (wf_feed_opt){0});
    int32_t epoch[3][STEPS * BATCH];
    cr_assert_eq(wf_feed_steps(f), STEPS);
    for (int e = 0; e < 3; e++) {
        int seen[N] = {0};
        take(f, STEPS, epoch[e]);
        for (int i = 0; i < STEPS * BATCH; i++) cr_assert_eq(seen[epoch[e][i]]++, 0);
    }
    cr_assert(memcmp(epoch[0], epoch[1], sizeof epoch[0]), "two epochs, one order");
    wf_feed_close(f);
    f = open_feed(s, (wf_feed_opt){.in_order = true});
    take(f, STEPS, epoch[0]);
    for (int i = 0; i < STEPS * BATCH; i++) cr_assert_eq(epoch[0][i], i);
    wf_feed_close(f);
    wf_source_close(s);
}

Test(nn_source, batches_do_not_depend_on_threads_or_where_one_starts) {
    enum { TOTAL = 4 * STEPS };
    int64_t broken = -1;
    wf_source *s = open_function(&broken);
    int32_t plain[TOTAL * BATCH], other[TOTAL * BATCH];
    wf_feed *f = open_feed(s, (wf_feed_opt){.no_thread = true});
    take(f, TOTAL, plain);
    wf_feed_close(f);
    for (int ahead = 1; ahead <= 9; ahead += 4) {
        f = open_feed(s, (wf_feed_opt){.ahead = ahead});
        take(f, TOTAL, other);
        cr_assert(!memcmp(plain, other, sizeof plain), "%d batches ahead", ahead);
        for (int first = TOTAL - 1; first >= 0; first -= 3) {
            cr_assert_eq(wf_feed_seek(f, first), WF_OK);
            take(f, TOTAL - first, other);
            cr_assert(!memcmp(plain + first * BATCH, other,
                              sizeof *plain * (size_t)((TOTAL - first) * BATCH)),
                      "from batch %d", first);
        }
        wf_feed_close(f);
    }
    wf_source_close(s);
}

Test(nn_source, shards_share_an_epoch) {
    int64_t broken = -1;
    int seen[N] = {0};
    int32_t label[8 * BATCH];
    wf_source *s = open_function(&broken);
    for (int shard = 0; shard < 3; shard++) {
        wf_feed *f = open_feed(s, (wf_feed_opt){.shard = shard, .shards = 3});
        const int64_t steps = wf_feed_steps(f);
        cr_assert_eq(steps, N / 3 / BATCH);
        take(f, (int)steps, label);
        for (int i = 0; i < steps * BATCH; i++) cr_assert_eq(seen[label[i]]++, 0);
        wf_feed_close(f);
    }
    wf_source_close(s);
}

Test(nn_source, a_failure_in_the_thread_reaches_the_caller) {
    int64_t broken = 17;
    wf_source *s = open_function(&broken);
    wf_feed *f = open_feed(s, (wf_feed_opt){0});
    float x[BATCH][6];
    int32_t y[BATCH];
    wf_status status = WF_OK;
    for (int i = 0; i < 3 * STEPS && !status; i++)
        status = wf_feed_next(f, (void *const[]){x, y}, NULL);
    cr_assert_eq(status, WF_INPUT);
    cr_assert_str_eq(wf_error(), "sample 17 is broken");
    wf_feed_close(f);
    f = NULL;
    cr_assert_eq(wf_feed_open(&f, s, (wf_feed_opt){.batch = N + 1}), WF_ARGUMENT);
    cr_assert(strstr(wf_error(), "do not fill a batch"), "%s", wf_error());
    wf_source_close(s);
}

/* Is the function of a source in two threads at once? Each call leaves the other time to come. */
static wf_status fill_alone(void *user, const int64_t *index, int64_t n, void *const *out) {
    _Atomic int *inside = user;
    const bool alone = ++*inside == 1;
    usleep(2000);
    --*inside;
    for (int64_t i = 0; i < n; i++) ((int32_t *)out[0])[i] = (int32_t)index[i];
    return alone ? WF_OK : wf_fail(WF_INPUT, "two threads at once");
}

/* Training and validation read two choices of one source, each through a feed with a thread. */
Test(nn_source, a_function_is_called_by_one_thread_at_a_time) {
    _Atomic int inside = 0;
    const wf_source_part part = {.name = "y", .dtype = WF_I32, .shape = WF_SCALAR};
    wf_source *s, *half[2];
    wf_feed *f[2];
    cr_assert_eq(wf_source_function(&s, N, &part, 1, fill_alone, &inside), WF_OK);
    for (int i = 0; i < 2; i++) {
        const int64_t index[] = {i, 2 + i, 4 + i, 6 + i, 8 + i, 10 + i, 12 + i, 14 + i};
        cr_assert_eq(wf_source_subset(&half[i], s, index, 8), WF_OK, "%s", wf_error());
        cr_assert_eq(wf_feed_open(&f[i], half[i], (wf_feed_opt){.batch = 2}), WF_OK);
    }
    for (int i = 0; i < 20; i++) {
        int32_t y[2];
        cr_assert_eq(wf_feed_next(f[i % 2], (void *const[]){y}, NULL), WF_OK, "%s", wf_error());
        cr_assert(y[0] % 2 == i % 2 && y[1] % 2 == i % 2);
    }
    for (int i = 0; i < 2; i++) {
        wf_feed_close(f[i]);
        wf_source_close(half[i]);
    }
    wf_source_close(s);
}
