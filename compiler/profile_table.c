/* The profile as a table for people: what the time of a run is spent on. */
#include <stdlib.h>
#include <string.h>

#include "compiler/profile.h"
#include "compiler/program.h"

enum { ROWS = 25, WIDTH = 64 }; /* of a kernel's name */

/* Launches of one kernel and scope. */
typedef struct row {
    const char *name;
    char *scope;     /* time steps folded */
    uint32_t first, count;
    int64_t time;
    double flops, bytes;
} row;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The path with "t*" for components "t" and a number; primes may follow. */
static char *fold_steps(wf_arena *mem, const char *path) {
    char *out = wf_arena_strdup(mem, path), *to = out;
    for (const char *s = path; out && *s;) {
        const bool starts = s == path || s[-1] == '/';
        size_t n = 0;
        while (starts && *s == 't' && is_digit(s[1 + n])) n++;
        if (n && (s[1 + n] == 0 || s[1 + n] == '/' || s[1 + n] == '\'')) {
            *to++ = 't';
            *to++ = '*';
            s += 1 + n;
        } else {
            *to++ = *s++;
        }
    }
    if (out) *to = 0;
    for (to = out; to && *to; to++)
        if ((unsigned char)*to < ' ' || *to == 0x7f) *to = '?';
    return out;
}

static int by_place(const void *a, const void *b) {
    const row *x = a, *y = b;
    const int scope = strcmp(x->scope, y->scope), name = scope ? scope : strcmp(x->name, y->name);
    return name ? name : x->first < y->first ? -1 : x->first > y->first;
}

static int by_time(const void *a, const void *b) {
    const row *x = a, *y = b;
    if (x->time != y->time) return x->time > y->time ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void add(row *to, const row *r) {
    to->count += r->count;
    to->time += r->time;
    to->flops += r->flops;
    to->bytes += r->bytes;
}

/* The rows, slowest first; NULL when memory is out. */
static row *make_rows(const wf_profile *f, wf_arena *mem, uint32_t *n_row) {
    row *r = wf_arena_alloc(mem, ((size_t)f->n_launch + 1) * sizeof *r);
    for (uint32_t i = 0; r && i < f->n_launch; i++) {
        const wf_profile_sum *s = &f->sum[i];
        r[i] = (row){.name = s->name, .scope = fold_steps(mem, s->scope), .first = i, .count = 1,
                     .time = s->time, .flops = s->flops, .bytes = s->bytes};
        if (!r[i].scope) return NULL;
    }
    if (!r) return NULL;
    uint32_t n = 0;
    if (f->n_launch) qsort(r, f->n_launch, sizeof *r, by_place);
    for (uint32_t i = 0; i < f->n_launch; i++) {
        const bool more = n && !strcmp(r[n - 1].scope, r[i].scope) &&
                          !strcmp(r[n - 1].name, r[i].name);
        if (more) add(&r[n - 1], &r[i]);
        else r[n++] = r[i];
    }
    if (n) qsort(r, n, sizeof *r, by_time);
    *n_row = n;
    return r;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* 1e9 operations a second, or nothing where there are none. */
static void put_rate(FILE *out, double amount, double nanoseconds) {
    if (amount > 0 && nanoseconds > 0) fprintf(out, "  %8.1f", amount / nanoseconds);
    else fprintf(out, "  %8s", "");
}

static void put_row(const wf_profile *f, FILE *out, const row *r, int width) {
    const double time = (double)r->time / (double)f->runs;
    fprintf(out, "%10.3f  %5.1f", 1e-6 * time,
            f->time > 0 ? 100 * (double)r->time / (double)f->time : 0);
    if (r->count) fprintf(out, "  %6u", r->count);
    else fprintf(out, "  %6s", "");
    put_rate(out, r->flops, time);
    put_rate(out, r->bytes, time);
    if (*r->scope) fprintf(out, "  %-*.*s  %s\n", width, WIDTH, r->name, r->scope);
    else fprintf(out, "  %.*s\n", WIDTH, r->name);
}

static void put_head(const wf_profile *f, FILE *out, int width) {
    fprintf(out, "profile: %llu %s of %u launches by %d %s; %.3f ms a run (%.3f to %.3f)\n",
            (unsigned long long)f->runs, f->runs == 1 ? "run" : "runs", f->n_launch, f->workers,
            f->workers == 1 ? "worker" : "workers", 1e-6 * (double)f->time / (double)f->runs,
            1e-6 * (double)f->least, 1e-6 * (double)f->most);
    fprintf(out, "%10s  %5s  %6s  %8s  %8s  %-*s  %s\n", "ms", "%", "calls", "GFLOP/s", "GB/s",
            width, "kernel", "scope");
}

static void put_waiting(const wf_profile *f, FILE *out) {
    for (int w = 0; w < f->workers && f->workers > 1; w++)
        fprintf(out, "%10.3f  %5.1f  %*s  worker %d waits at barriers\n",
                1e-6 * (double)f->waited[w] / (double)f->runs,
                f->time > 0 ? 100 * (double)f->waited[w] / (double)f->time : 0, 26, "", w);
}

static void put_rows(const wf_profile *f, FILE *out, const row *r, uint32_t n, uint32_t shown) {
    char text[64];
    row all = {.name = "all launches", .scope = ""}, rest = {.name = text, .scope = ""};
    int width = 6;
    for (uint32_t i = 0; i < shown; i++)
        if ((int)strlen(r[i].name) > width) width = (int)strlen(r[i].name);
    if (width > WIDTH) width = WIDTH;
    put_head(f, out, width);
    for (uint32_t i = 0; i < n; i++) {
        add(&all, &r[i]);
        if (i >= shown) add(&rest, &r[i]);
        else put_row(f, out, &r[i], width);
    }
    snprintf(text, sizeof text, "%u more rows", n - shown);
    if (n > shown) put_row(f, out, &rest, width);
    put_row(f, out, &all, width);
    const row team = {.name = "start and end of the run", .scope = "", .count = 0,
                      .time = f->time - all.time};
    put_row(f, out, &team, width);
    put_waiting(f, out);
}

wf_status wf_profile_table(const wf_program *p, FILE *f, uint32_t rows) {
    if (!f) return wf_fail(WF_ARGUMENT, "wf_profile_table: the file is NULL");
    const wf_profile *profile = wf_profile_of(p, "wf_profile_table");
    if (!profile) return WF_ARGUMENT;
    wf_arena mem = {NULL};
    uint32_t n = 0;
    const row *r = make_rows(profile, &mem, &n);
    const uint32_t most = rows ? rows : ROWS;
    if (r) put_rows(profile, f, r, n, n < most ? n : most);
    wf_arena_free(&mem);
    if (!r) return wf_fail(WF_MEMORY, "out of memory for the table of the profile");
    return fflush(f) || ferror(f) ? wf_fail(WF_OUTPUT, "the table of the profile cannot be written")
                                  : WF_OK;
}
