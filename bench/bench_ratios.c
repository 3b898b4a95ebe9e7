/* One table of what benchmarks wrote: for each question, mode and peer the share of the machine's
 * limit, how often as fast as the peer, and where it is least.
 *
 *   bench_ratios [--markdown] FILE.json ...
 *
 * Columns are geometric means over the rows of a question (bench/report.c has their keys); ratios
 * are of best runs. */
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 256, TEXT = 96 };

typedef struct line {
    char bench[TEXT], question[TEXT], mode[TEXT], peer[TEXT], where[TEXT];
    int n, n_share, n_ratio, threads;
    double share, peer_share, ratio, least; /* sums of logarithms; the least ratio */
} line;

static line lines[MOST];
static int n_lines;

static const char *text(const json_t *row, const char *key) {
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}
static double number(const json_t *row, const char *key) {
    return json_number_value(json_object_get(row, key));
}

static line *line_of(const char *bench, const json_t *row) {
    const char *key[] = {bench, text(row, "question"), text(row, "mode"), text(row, "peer")};
    const int threads = (int)number(row, "threads");
    for (int i = 0; i < n_lines; i++) {
        line *l = &lines[i];
        if (!strcmp(l->bench, key[0]) && !strcmp(l->question, key[1]) && !strcmp(l->mode, key[2]) &&
            !strcmp(l->peer, key[3]) && l->threads == threads)
            return l;
    }
    if (n_lines == MOST) return NULL;
    line *l = &lines[n_lines++];
    *l = (line){.threads = threads, .least = INFINITY};
    char *const to[] = {l->bench, l->question, l->mode, l->peer};
    for (int i = 0; i < 4; i++) snprintf(to[i], TEXT, "%s", key[i]);
    return l;
}

static void add(const char *bench, const json_t *row) {
    const double share = number(row, "share"), ratio = number(row, "ratio");
    const double peer_share = number(row, "peer_share");
    line *l = share > 0 || ratio > 0 ? line_of(bench, row) : NULL;
    if (!l) return;
    l->n++;
    if (share > 0) l->share += log(share), l->n_share++;
    if (ratio <= 0) return;
    l->ratio += log(ratio), l->n_ratio++;
    l->peer_share += log(peer_share > 0 ? peer_share : 1);
    if (ratio < l->least) {
        l->least = ratio;
        snprintf(l->where, TEXT, "%s", text(row, "shape"));
    }
}

static void print(const line *l, bool markdown) {
    char share[16] = "", theirs[16] = "", ratio[16] = "", least[16] = "";
    const double peer_share = l->n_ratio ? exp(l->peer_share / l->n_ratio) : 1;
    if (l->n_share) snprintf(share, 16, "%.0f %%", 100 * exp(l->share / l->n_share));
    if (l->n_ratio && fabs(peer_share - 1) > 1e-9)
        snprintf(theirs, 16, "%.0f %%", 100 * peer_share);
    if (l->n_ratio) snprintf(ratio, 16, "%.2f", exp(l->ratio / l->n_ratio));
    if (l->n_ratio > 1) snprintf(least, 16, "%.2f", l->least);
    printf(markdown ? "| %s | %s | %s | %d | %d | %s | %s | %s | %s | %s | %s |\n"
                    : "%-11s %-16s %-6s %7d %5d  %6s %6s  %6s %6s  %-28s %s\n",
           l->bench, l->question, l->mode, l->threads, l->n, share, theirs, ratio, least,
           l->n_ratio > 1 ? l->where : "", l->peer);
}

int main(int argc, char **argv) {
    bool markdown = false, bad = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--markdown") == 0) {
            markdown = true;
            continue;
        }
        json_error_t error;
        json_t *file = json_load_file(argv[i], 0, &error), *row;
        if (!file) {
            fprintf(stderr, "bench_ratios: %s: %s\n", argv[i], error.text);
            bad = true;
            continue;
        }
        size_t k;
        json_array_foreach(json_object_get(file, "rows"), k, row) add(text(file, "bench"), row);
        json_decref(file);
    }
    if (markdown)
        puts("| bench | question | mode | threads | rows | of the limit | peer's | ratio | least | "
             "where | peer |\n|---|---|---|---|---|---|---|---|---|---|---|");
    else
        printf("%-11s %-16s %-6s %7s %5s  %6s %6s  %6s %6s  %-28s %s\n", "bench", "question",
               "mode", "threads", "rows", "limit", "peer's", "ratio", "least", "where", "peer");
    for (int i = 0; i < n_lines; i++) print(&lines[i], markdown);
    return bad;
}
