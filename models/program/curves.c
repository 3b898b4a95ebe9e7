/* Curves as SVG text; see curves.h. Four panels, two by two, below a legend. */
#include "models/program/curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/program/metrics.h"

enum { PANELS = 4, STRETCHES = 120 };
enum { WIDTH = 980, PANEL_W = 410, PANEL_H = 250, LEFT = 64, TOP = 34, GAP_X = 76, GAP_Y = 70 };

static const struct {
    const char *key, *title;
    bool logarithmic; /* where the values span a factor of ten */
} panels[PANELS] = {{"loss", "loss", true},
                    {"mae", "mean absolute error", true},
                    {"psnr", "PSNR, dB", false},
                    {"ssim", "SSIM", false}};

/* Colours that are told apart also by the colour-blind (Okabe and Ito 2008). */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#5c5c5c"};

typedef struct curve {
    double *x, *y; /* (n) */
    int64_t n;
} curve;

typedef struct run {
    const char *name;
    metrics table;
    curve train[PANELS], val[PANELS];
} run;

/* --- from rows to curves --- */

static wf_status make_curve(curve *c, int64_t most) {
    c->x = malloc((size_t)(most + 1) * sizeof *c->x);
    c->y = malloc((size_t)(most + 1) * sizeof *c->y);
    return c->x && c->y ? WF_OK : wf_fail(WF_MEMORY, "no memory for a curve");
}

/* Points of the rows that have a number in `column`; x is the step, that of the last row with one
 * where the row has none, the row's number where none has. */
static wf_status take_rows(curve *c, const metrics *m, int column) {
    const int step = metrics_column(m, "step");
    double x = 0;
    const wf_status s = make_curve(c, m->n);
    for (int64_t r = 0; !s && r < m->n; r++) {
        if (step < 0) x = (double)r + 1;
        else if (isfinite(m->row[r][step])) x = m->row[r][step];
        if (column < 0 || !isfinite(m->row[r][column])) continue;
        c->x[c->n] = x;
        c->y[c->n++] = m->row[r][column];
    }
    return s;
}

/* At most STRETCHES points, each the mean of its stretch. */
static void thin(curve *c) {
    const int64_t n = c->n < STRETCHES ? c->n : STRETCHES;
    for (int64_t k = 0; k < n; k++) {
        const int64_t first = k * c->n / n, last = (k + 1) * c->n / n;
        double sum = 0;
        for (int64_t i = first; i < last; i++) sum += c->y[i];
        c->x[k] = c->x[last - 1];
        c->y[k] = sum / (double)(last - first);
    }
    c->n = n;
}

static wf_status make_curves(run *r) {
    wf_status s = WF_OK;
    for (int i = 0; i < PANELS && !s; i++) {
        char name[32];
        snprintf(name, sizeof name, "val_%s", panels[i].key);
        s = take_rows(&r->val[i], &r->table, metrics_column(&r->table, name));
        snprintf(name, sizeof name, "train_%s", panels[i].key);
        int column = metrics_column(&r->table, name);
        const bool steps = column < 0;
        if (steps) column = metrics_column(&r->table, panels[i].key);
        const bool squares = metrics_column(&r->table, "mae") >= 0;
        const bool from_loss = column < 0 && squares && !strcmp(panels[i].key, "psnr");
        if (from_loss) column = metrics_column(&r->table, "loss");
        if (!s) s = take_rows(&r->train[i], &r->table, column);
        if (!s && steps) thin(&r->train[i]);
        for (int64_t k = 0; !s && from_loss && k < r->train[i].n; k++)
            r->train[i].y[k] = -10 * log10(r->train[i].y[k]);
    }
    return s;
}

static wf_status read_run(run *r, const char *dir) {
    r->name = dir;
    wf_status s = metrics_read(&r->table, dir);
    if (!s && r->table.n == 0)
        s = wf_fail(WF_FORMAT, "%s/metrics.jsonl: no row is there yet", dir);
    return s ? s : make_curves(r);
}

static void free_runs(run *r, int n) {
    for (int i = 0; r && i < n; i++) {
        metrics_free(&r[i].table);
        for (int k = 0; k < PANELS; k++) {
            free(r[i].train[k].x);
            free(r[i].train[k].y);
            free(r[i].val[k].x);
            free(r[i].val[k].y);
        }
    }
    free(r);
}

/* --- axes --- */

typedef struct axis {
    double low, high; /* logarithms if logarithmic */
    bool logarithmic;
    double at, length; /* pixels; of y downwards from the top */
} axis;

static void widen(double *low, double *high, const curve *c, bool x) {
    for (int64_t i = 0; i < c->n; i++) {
        const double v = x ? c->x[i] : c->y[i];
        if (!isfinite(v)) continue;
        if (v < *low) *low = v;
        if (v > *high) *high = v;
    }
}

/* 1, 2 or 5 times a power of ten, so that about n steps fill the range. */
static double nice_step(double range, int n) {
    const double raw = range / n, power = pow(10, floor(log10(raw))), f = raw / power;
    return (f < 1.5 ? 1 : f < 3.5 ? 2 : f < 7.5 ? 5 : 10) * power;
}

static axis make_axis(double low, double high, bool logarithmic) {
    axis a = {.logarithmic = logarithmic && low > 0 && high / low >= 10};
    if (!(low <= high)) low = 0, high = 1; /* no point */
    if (a.logarithmic) low = log10(low), high = log10(high);
    const double room = high > low ? 0.04 * (high - low) : fabs(high) * 0.05 + 1e-9;
    a.low = low - room;
    a.high = high + room;
    return a;
}

static double place(const axis *a, double v, bool down) {
    if (a->logarithmic) v = log10(v);
    const double part = (v - a->low) / (a->high - a->low);
    return a->at + a->length * (down ? 1 - part : part);
}

/* --- SVG --- */

static void put_escaped(FILE *f, const char *text) {
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '<') fputs("&lt;", f);
        else if (c == '&') fputs("&amp;", f);
        else if (c == '"') fputs("&quot;", f);
        else fputc(c < ' ' || c == 0x7f ? '?' : c, f);
    }
}

static void put_tick_y(FILE *f, const axis *x, const axis *y, double v) {
    const double at = place(y, v, true);
    if (at < y->at - 0.5 || at > y->at + y->length + 0.5) return;
    fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fh%.1f\"/>"
               "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
            x->at, at, x->length, x->at - 7, at + 4, v);
}

static void put_ticks_y(FILE *f, const axis *x, const axis *y) {
    if (!y->logarithmic) {
        const double step = nice_step(y->high - y->low, 5);
        for (double v = ceil(y->low / step); v * step <= y->high; v++)
            put_tick_y(f, x, y, fabs(v) < 0.5 ? 0 : v * step);
        return;
    }
    static const double marks[] = {1, 2, 5};
    const size_t n = y->high - y->low > 3 ? 1 : 3; /* decades only, over a wide range */
    for (double p = floor(y->low); p <= y->high; p++)
        for (size_t i = 0; i < n; i++) put_tick_y(f, x, y, marks[i] * pow(10, p));
}

static void put_ticks_x(FILE *f, const axis *x, const axis *y) {
    const double step = fmax(1, nice_step(x->high - x->low, 5));
    for (double k = ceil(x->low / step); k * step <= x->high; k++) {
        const double v = fabs(k) < 0.5 ? 0 : k * step, at = place(x, v, false);
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fv%.1f\"/>"
                   "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.9g"
                   "</text>\n",
                at, y->at, y->length, at, y->at + y->length + 18, v);
    }
}

static void put_curve(FILE *f, const axis *x, const axis *y, const curve *c, const char *colour,
                      bool thin_line) {
    bool on = false;
    fprintf(f, "<path class=\"%s\" stroke=\"%s\" d=\"", thin_line ? "thin" : "line", colour);
    for (int64_t i = 0; i < c->n; i++) {
        const bool fits = isfinite(c->y[i]) && !(y->logarithmic && c->y[i] <= 0);
        if (fits)
            fprintf(f, "%c%.1f %.1f", on ? 'L' : 'M', place(x, c->x[i], false),
                    place(y, c->y[i], true));
        on = fits;
    }
    fprintf(f, "\"/>\n");
    /* A line of few points shows where they are; one of a single point would not be seen. */
    for (int64_t i = 0; i < c->n && c->n <= 40 && (!thin_line || c->n == 1); i++)
        if (isfinite(c->y[i]) && !(y->logarithmic && c->y[i] <= 0))
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                    place(x, c->x[i], false), place(y, c->y[i], true), colour);
}

static const char *colour_of(int i, int n, bool train) {
    return colours[n == 1 ? !train : i % (int)WF_COUNT(colours)];
}

static void put_panel(FILE *f, const run *r, int n, int panel, int top) {
    double low = INFINITY, high = -INFINITY, first = INFINITY, last = -INFINITY;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            const curve *c = k ? &r[i].val[panel] : &r[i].train[panel];
            widen(&low, &high, c, false);
            for (int p = 0; p < PANELS; p++) /* all panels share their steps */
                widen(&first, &last, k ? &r[i].val[p] : &r[i].train[p], true);
        }
    axis x = make_axis(first, last, false), y = make_axis(low, high, panels[panel].logarithmic);
    x.at = LEFT + panel % 2 * (PANEL_W + GAP_X);
    x.length = PANEL_W;
    y.at = top + panel / 2 * (PANEL_H + GAP_Y);
    y.length = PANEL_H;
    fprintf(f, "<text class=\"title\" x=\"%.1f\" y=\"%.1f\">%s%s</text>\n", x.at, y.at - 10,
            panels[panel].title, y.logarithmic ? ", logarithmic" : "");
    put_ticks_y(f, &x, &y);
    put_ticks_x(f, &x, &y);
    fprintf(f, "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
            x.at, y.at, x.length, y.length);
    bool any = false;
    for (int i = 0; i < n; i++) {
        put_curve(f, &x, &y, &r[i].train[panel], colour_of(i, n, true), n > 1);
        put_curve(f, &x, &y, &r[i].val[panel], colour_of(i, n, false), false);
        any |= r[i].train[panel].n || r[i].val[panel].n;
    }
    if (!any)
        fprintf(f, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">not "
                   "measured</text>\n", x.at + x.length / 2, y.at + y.length / 2);
    fprintf(f, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">training step"
               "</text>\n", x.at + x.length / 2, y.at + y.length + 36);
}

static void put_key(FILE *f, int y, const char *colour, const char *class, const char *text) {
    fprintf(f, "<path class=\"%s\" stroke=\"%s\" d=\"M%d %dh34\"/>"
               "<text class=\"key\" x=\"%d\" y=\"%d\">", class, colour, LEFT, y - 4, LEFT + 44, y);
    put_escaped(f, text);
    fputs("</text>\n", f);
}

/* Returns the y where panels begin. */
static int put_legend(FILE *f, const run *r, int n) {
    int y = 26;
    if (n == 1) {
        put_key(f, y, colour_of(0, 1, true), "line", "training");
        put_key(f, y += 20, colour_of(0, 1, false), "line", "validation");
    }
    for (int i = 0; i < n && n > 1; i++, y += 20)
        put_key(f, y, colour_of(i, n, true), "line", r[i].name);
    if (n > 1)
        fprintf(f, "<text class=\"key\" x=\"%d\" y=\"%d\">solid: validation; dashed: training"
                   "</text>\n", LEFT + 44, y);
    return y + TOP;
}

static int height_of(int n) {
    return 26 + (n == 1 ? 20 : 20 * n) + TOP + 2 * PANEL_H + GAP_Y + 48;
}

static void put_picture(FILE *f, const run *r, int n) {
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
               "viewBox=\"0 0 %d %d\" font-family=\"Helvetica, Arial, sans-serif\">\n<style>"
               ".grid{stroke:#dcdcdc;stroke-width:1;fill:none}.frame{stroke:#555;fill:none}"
               ".line{stroke-width:2.2;fill:none;stroke-linejoin:round}"
               ".thin{stroke-width:1.5;fill:none;stroke-dasharray:5 3}"
               ".tick{font-size:12px;fill:#333}.title{font-size:15px;fill:#111;font-weight:bold}"
               ".key{font-size:14px;fill:#111}</style>\n"
               "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height_of(n), WIDTH, height_of(n));
    const int top = put_legend(f, r, n);
    for (int i = 0; i < PANELS; i++) put_panel(f, r, n, i, top);
    fputs("</svg>\n", f);
}

static wf_status write_picture(const run *r, int n, const char *path) {
    char *text = NULL;
    size_t bytes = 0;
    wf_file *out = NULL;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return wf_fail(WF_MEMORY, "%s: no memory for the picture", path);
    put_picture(f, r, n);
    const bool failed = ferror(f);
    wf_status s = WF_OK;
    if (fclose(f) || failed) s = wf_fail(WF_MEMORY, "%s: no memory for the picture", path);
    if (!s) s = wf_file_create(&out, path);
    if (!s) s = wf_file_write(out, text, bytes);
    free(text);
    if (!s) return wf_file_commit(out);
    wf_file_discard(out);
    return s;
}

wf_status curves_draw(char *const *dir, int n, const char *path) {
    run *r = calloc((size_t)n, sizeof *r);
    wf_status s = r ? WF_OK : wf_fail(WF_MEMORY, "no memory for %d runs", n);
    for (int i = 0; i < n && !s; i++) s = read_run(&r[i], dir[i]);
    if (!s) s = write_picture(r, n, path);
    free_runs(r, n);
    return s;
}

wf_status curves_update(const char *dir) {
    char path[4096 + 32];
    run *r = calloc(1, sizeof *r);
    if (!r) return wf_fail(WF_MEMORY, "no memory for a run's curves");
    wf_status s = read_run(r, dir);
    snprintf(path, sizeof path, "%.4096s/metrics.csv", dir);
    if (!s) s = metrics_write_csv(&r->table, path);
    snprintf(path, sizeof path, "%.4096s/curves.svg", dir);
    if (!s) s = write_picture(r, 1, path);
    free_runs(r, 1);
    return s;
}
