/* The profile as JSON trace events, for Perfetto and Chrome.
 *
 * Source: "Trace Event Format", Google, 2016: complete events ("ph": "X") with microseconds from
 * the first run that is kept, metadata ("ph": "M") that names and orders tracks. Numbers are
 * written with integers alone, so that the locale does not matter. */
#include "compiler/dot.h"
#include "compiler/profile.h"
#include "compiler/program.h"

typedef struct tracer {
    const wf_profile *f;
    FILE *out;
    int64_t origin;
    bool separate; /* the next event needs a comma */
} tracer;

/* Any bytes as a JSON string; what is no UTF-8 becomes U+FFFD. */
static void put_string(FILE *out, const char *bytes) {
    const unsigned char *s = (const unsigned char *)bytes;
    fputc('"', out);
    while (*s) {
        const size_t n = wf_dot_utf8_length(s);
        if (n == 0) fputs("\\ufffd", out);
        else if (*s < ' ' || *s == 0x7f) fprintf(out, "\\u%04x", *s);
        else if (*s == '"' || *s == '\\') fprintf(out, "\\%c", *s);
        else fwrite(s, 1, n, out);
        s += n ? n : 1;
    }
    fputc('"', out);
}

/* Nanoseconds as microseconds. */
static void put_us(FILE *out, int64_t ns) {
    fprintf(out, "%lld.%03lld", (long long)ns / 1000, (long long)ns % 1000);
}

/* amount / ns with one decimal: 1e9 a second. */
static void put_rate(FILE *out, const char *key, double amount, int64_t ns) {
    if (amount <= 0 || ns <= 0 || amount / (double)ns > 1e15) return;
    const long long tenths = (long long)(10 * amount / (double)ns + 0.5);
    fprintf(out, ",\"%s\":%lld.%lld", key, tenths / 10, tenths % 10);
}

/* --- events ----------------------------------------------------------------------------------- */

static void put_meta(tracer *t, const char *what, int track, const char *name, int number) {
    fprintf(t->out, "%s\n{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"%s\",\"args\":{",
            t->separate ? "," : "", track, what);
    if (name) fprintf(t->out, "\"name\":\"%s\"}}", name);
    else fprintf(t->out, "\"sort_index\":%d}}", number);
    t->separate = true;
}

/* Opens an event on a track; args follow, then put_end. */
static void put_begin(tracer *t, const char *kind, const char *name, int track, int64_t begin,
                      int64_t end) {
    fprintf(t->out, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"cat\":\"%s\",\"name\":", track, kind);
    put_string(t->out, name);
    fputs(",\"ts\":", t->out);
    put_us(t->out, begin - t->origin);
    fputs(",\"dur\":", t->out);
    put_us(t->out, end - begin);
    fputs(",\"args\":{", t->out);
}

static void put_end(tracer *t) { fputs("}}", t->out); }

static void put_launch(tracer *t, const wf_profile_run *r, int w, uint32_t i) {
    const wf_profile_sum *s = &t->f->sum[i];
    const wf_mark *m = &r->mark[(size_t)w * t->f->row + i];
    int64_t pieces = 0;
    for (int k = 0; k < r->workers; k++) pieces += r->mark[(size_t)k * t->f->row + i].pieces;
    if (m->begin - m->arrive > 0) {
        put_begin(t, "wait", "barrier", w + 1, m->arrive, m->begin);
        fprintf(t->out, "\"before launch\":%u", i);
        put_end(t);
    }
    if (m->pieces == 0) return;
    const int64_t busy = m[1].arrive - m->begin - m->waited;
    const double part = (double)m->pieces / (double)pieces; /* of the launch's work */
    put_begin(t, "launch", s->name, w + 1, m->begin, m[1].arrive);
    fputs("\"scope\":", t->out);
    put_string(t->out, s->scope);
    fprintf(t->out, ",\"launch\":%u,\"pieces\":%lld,\"of\":%lld", i, (long long)m->pieces,
            (long long)pieces);
    put_rate(t->out, "GFLOP/s", part * s->flops, busy);
    put_rate(t->out, "GB/s", part * s->bytes, busy);
    if (m->waited) {
        fputs(",\"waited us\":", t->out);
        put_us(t->out, m->waited);
    }
    put_end(t);
}

static void put_run(tracer *t, uint32_t k, double flops, double bytes) {
    const wf_profile_run *r = wf_profile_run_at(t->f, k);
    char name[32];
    const uint64_t number = t->f->runs - wf_profile_kept(t->f) + k + 1;
    snprintf(name, sizeof name, "run %llu", (unsigned long long)number);
    put_begin(t, "run", name, 0, r->begin, r->end);
    fprintf(t->out, "\"launches\":%u,\"workers\":%d", t->f->n_launch, r->workers);
    put_rate(t->out, "GFLOP/s", flops, r->end - r->begin);
    put_rate(t->out, "GB/s", bytes, r->end - r->begin);
    put_end(t);
    for (int w = 0; w < r->workers; w++)
        for (uint32_t i = 0; i < t->f->n_launch; i++) put_launch(t, r, w, i);
}

static void put_tracks(tracer *t) {
    char name[32];
    put_meta(t, "process_name", 0, "weft", 0);
    for (int w = -1; w < t->f->workers; w++) {
        if (w < 0) snprintf(name, sizeof name, "runs");
        else snprintf(name, sizeof name, "worker %d", w);
        put_meta(t, "thread_name", w + 1, name, 0);
        put_meta(t, "thread_sort_index", w + 1, NULL, w + 1);
    }
}

wf_status wf_profile_trace(const wf_program *p, FILE *f) {
    if (!f) return wf_fail(WF_ARGUMENT, "wf_profile_trace: the file is NULL");
    const wf_profile *profile = wf_profile_of(p, "wf_profile_trace");
    if (!profile) return WF_ARGUMENT;
    tracer t = {.f = profile, .out = f, .origin = wf_profile_run_at(profile, 0)->begin};
    double flops = 0, bytes = 0;
    for (uint32_t i = 0; i < profile->n_launch; i++) {
        flops += profile->sum[i].flops;
        bytes += profile->sum[i].bytes;
    }
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", f);
    put_tracks(&t);
    for (uint32_t k = 0; k < wf_profile_kept(profile); k++) put_run(&t, k, flops, bytes);
    fputs("\n]}\n", f);
    return fflush(f) || ferror(f) ? wf_fail(WF_OUTPUT, "the trace of the profile cannot be written")
                                  : WF_OK;
}
