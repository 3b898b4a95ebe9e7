/* Rows of a benchmark: a line on standard output, an object in a JSON file. All benchmarks write
 * the same keys, so that one program (bench/bench_ratios.c) makes one table of all files:
 *
 *   {"bench", "isa", "threads", "cpu", "library", "rows": [{"question", "shape", "mode", "threads",
 *     "seconds", "median", "unit", "rate", "limit", "share", "ns", "error", "ok",
 *     "peer", "peer_seconds", "peer_median", "peer_rate", "peer_share", "ratio"}]}
 *
 * seconds is the best run; ratio is peer_seconds / seconds: above 1, Weft is faster. What was not
 * measured is null. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "compiler/compiler.h"

static struct {
    const char *name;
    char path[4096];
    json_t *rows;
    bool bad;
} report;

void bench_open(const char *name, int *argc, char **argv) {
    const char *dir = getenv("WF_BENCH_JSON");
    report.name = name;
    report.rows = json_array();
    if (dir && *dir) snprintf(report.path, sizeof report.path, "%s/%s.json", dir, name);
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], "--json") != 0) continue;
        snprintf(report.path, sizeof report.path, "%s", argv[i + 1]);
        memmove(argv + i, argv + i + 2, (size_t)(*argc - i - 1) * sizeof *argv);
        *argc -= 2;
        break;
    }
}

/* Four digits are more than a measurement has. */
static json_t *number(double v) {
    char text[32];
    if (!isfinite(v) || v == 0) return json_null();
    snprintf(text, sizeof text, "%.4g", v);
    return json_real(strtod(text, NULL));
}

/* "1.234 ms". */
static const char *time_text(double s, char text[24]) {
    if (s <= 0)
        snprintf(text, 24, "-");
    else if (s < 1e-3)
        snprintf(text, 24, "%.1f us", s * 1e6);
    else if (s < 1)
        snprintf(text, 24, "%.3f ms", s * 1e3);
    else
        snprintf(text, 24, "%.3f s", s);
    return text;
}

void bench_record(const bench_row *r) {
    const double rate = r->best > 0 ? r->work / r->best : r->work;
    const double peer_rate = r->peer_best > 0 ? r->work / r->peer_best : r->peer_work;
    const double ratio = r->best > 0 ? r->peer_best / r->best : rate > 0 ? peer_rate / rate : 0;
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"seconds", r->best}, {"median", r->median}, {"rate", rate}, {"limit", r->limit},
        {"share", r->limit > 0 ? rate / r->limit : 0}, {"ns", r->ns}, {"error", r->error},
        {"peer_seconds", r->peer_best}, {"peer_median", r->peer_median},
        {"peer_rate", peer_rate}, {"peer_share", r->limit > 0 ? peer_rate / r->limit : 0},
        {"ratio", ratio},
    };
    report.bad |= !r->ok;
    json_t *row = json_pack("{ss ss ss si ss sb so}", "question", r->question, "shape", r->shape,
                            "mode", r->mode, "threads", r->threads ? r->threads : bench_threads(),
                            "unit", r->unit, "ok", r->ok, "peer",
                            r->peer ? json_string(r->peer) : json_null());
    for (size_t i = 0; row && i < WF_COUNT(numbers); i++)
        json_object_set_new(row, numbers[i].key, number(numbers[i].value));
    if (row && report.rows)
        json_array_append_new(report.rows, row);
    else
        json_decref(row);
}

void bench_print(const bench_row *r) {
    char mine[24], other[24];
    const double rate = r->best > 0 ? r->work / r->best : r->work;
    const double peer_rate = r->peer_best > 0 ? r->work / r->peer_best : r->peer_work;
    const double share = r->limit > 0 ? rate / r->limit : 0;
    const double peer_share = r->limit > 0 ? peer_rate / r->limit : 0;
    const double ratio = r->best > 0 ? r->peer_best / r->best : rate > 0 ? peer_rate / rate : 0;
    printf("%-16s %-32s %-6s", r->question, r->shape, r->mode);
    if (r->best > 0) printf(" %11s", time_text(r->best, mine));
    if (rate > 0) printf(" %8.1f %s", rate, r->unit);
    if (share > 0) printf(" %3.0f %%", 100 * share);
    if (r->peer_best > 0)
        printf("  peer %11s %3.0f %%  ratio %.2f", time_text(r->peer_best, other), 100 * peer_share,
               ratio);
    if (r->peer_best <= 0 && peer_rate > 0)
        printf("  peer %8.1f %s  ratio %.2f", peer_rate, r->unit, ratio);
    if (r->ns > 0) printf("  %.3f ns", r->ns);
    if (r->error > 0) printf("  error %.0e", r->error);
    printf("  %s\n", r->ok ? "[ok]" : "[WRONG]");
    fflush(stdout);
    bench_record(r);
}

/* One row a line, so that a difference of two files can be read. */
static bool write_rows(void) {
    wf_runtime_info info;
    wf_runtime_describe(&info);
    FILE *f = fopen(report.path, "w");
    if (!f) return false;
    fprintf(f,
            "{\"bench\": \"%s\", \"isa\": \"%s\", \"threads\": %d, \"cpu\": \"%s\", "
            "\"library\": \"%s\", \"rows\": [",
            report.name, info.isa, bench_threads(), info.cpu, info.version);
    for (size_t i = 0; i < json_array_size(report.rows); i++) {
        fprintf(f, "%s\n  ", i ? "," : "");
        json_dumpf(json_array_get(report.rows, i), f, JSON_REAL_PRECISION(5));
    }
    fprintf(f, "\n]}\n");
    const bool bad = ferror(f);
    return !fclose(f) && !bad;
}

int bench_close(void) {
    if (report.path[0] && !write_rows()) {
        fprintf(stderr, "%s: cannot write %s\n", report.name, report.path);
        report.bad = true;
    }
    json_decref(report.rows);
    report.rows = NULL;
    return report.bad;
}
