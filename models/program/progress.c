/* The bar and its plain form; see progress.h. */
#include "models/program/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_INTERVAL 0.1
#define LINE_INTERVAL 10.0
#define LEAST_BAR 5 /* cells; a narrower terminal gets no bar, only the numbers */
#define MOST_BAR 40

static bool is_set(const char *name) {
    const char *value = getenv(name);
    return value && *value;
}

void progress_open(progress *p, const char *what, int64_t done, int64_t total) {
    const char *term = getenv("TERM");
    *p = (progress){.what = what, .first = done, .done = done, .total = total};
    p->bar = isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
    p->colour = p->bar && !is_set("NO_COLOR");
    p->opened = p->shown = report_seconds();
}

void progress_note(progress *p, const char *note) {
    snprintf(p->note, sizeof p->note, "%s", note ? note : "");
}

const char *progress_time(double seconds, char buf[32]) {
    const double most = 359999; /* 99:59:59 */
    const long s = seconds > 0 ? (long)((seconds < most ? seconds : most) + 0.5) : 0;
    if (s >= 3600)
        snprintf(buf, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, 32, "%ld:%02ld", s / 60, s % 60);
    return buf;
}

/* "486/900  loss 0.00712  1.62 s/step  11:12 left" */
static void numbers(const progress *p, double loss, double now, char *text, size_t size) {
    char left[32], rate[32] = "";
    const int64_t steps = p->done - p->first;
    const double each = steps > 0 ? (now - p->opened) / (double)steps : NAN;
    if (each >= 1)
        snprintf(rate, sizeof rate, "  %.2f s/step", each);
    else if (each > 0)
        snprintf(rate, sizeof rate, "  %.1f steps/s", 1 / each);
    size_t n = (size_t)snprintf(text, size, "%lld/%lld", (long long)p->done, (long long)p->total);
    if (isfinite(loss)) n += (size_t)snprintf(text + n, size - n, "  loss %.5f", loss);
    n += (size_t)snprintf(text + n, size - n, "%s", rate);
    if (each > 0)
        snprintf(text + n, size - n, "  %s left",
                 progress_time(each * (double)(p->total - p->done), left));
}

static int columns(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

/* The last column stays empty: some terminals begin a new line after it. */
static void draw_bar(const progress *p, const char *text) {
    char line[256];
    const int width = columns() - 1;
    const int fixed = (int)(strlen(p->note) + strlen(text)) + 4 + 2 * (*p->note != 0);
    int cells = width - fixed < MOST_BAR ? width - fixed : MOST_BAR;
    if (cells < LEAST_BAR) {
        snprintf(line, sizeof line, "%.*s", width < 250 ? width : 250, text);
        report_bar(line);
        return;
    }
    char bar[MOST_BAR + 1] = "";
    const double share = p->total > 0 ? (double)p->done / (double)p->total : 1;
    const int full = (int)(share * cells);
    for (int i = 0; i < cells; i++) bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[cells] = 0;
    snprintf(line, sizeof line, "%s%s[%s%s%s]  %s", p->note, *p->note ? "  " : "",
             p->colour ? "\033[36m" : "", bar, p->colour ? "\033[0m" : "", text);
    report_bar(line);
}

void progress_step(progress *p, int64_t done, double loss) {
    char text[128];
    const double now = report_seconds();
    const bool last = done >= p->total;
    p->done = done;
    if (!last && now - p->shown < (p->bar ? BAR_INTERVAL : LINE_INTERVAL)) return;
    p->shown = now;
    numbers(p, loss, now, text, sizeof text);
    if (p->bar)
        draw_bar(p, text);
    else
        report_progress("%s%s%s: %s", *p->note ? p->note : "", *p->note ? ", " : "", p->what,
                        text);
}

void progress_close(progress *p) {
    if (p->bar) report_bar(NULL);
}
