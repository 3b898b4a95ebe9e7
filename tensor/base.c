/* Status texts, the thread's error message, the log callback, data types and their conversions. */
#include "tensor/base.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

const char *wf_version(void) { return WF_VERSION; }

/* --- status and messages ---------------------------------------------------------------------- */

static const struct {
    const char *name, *text;
} status_table[] = {
#define X(name, text) {#name, text},
    WF_STATUS_MAP(X)
#undef X
};

const char *wf_status_name(wf_status s) {
    return (unsigned)s < WF_N_STATUS ? status_table[s].name : "UNKNOWN";
}

const char *wf_status_text(wf_status s) {
    return (unsigned)s < WF_N_STATUS ? status_table[s].text : "unknown status";
}

static _Thread_local char message[1024];

const char *wf_error(void) { return message; }

wf_status wf_fail(wf_status s, const char *format, ...) {
    /* Through a second buffer: an argument may be wf_error() itself. */
    char text[sizeof message];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\r') *c = ' ';
    memcpy(message, text, sizeof text);
    return s;
}

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static wf_log_fn *log_fn;
static void *log_user;

void wf_set_log(wf_log_fn *fn, void *user) {
    pthread_mutex_lock(&log_lock);
    log_fn = fn;
    log_user = user;
    pthread_mutex_unlock(&log_lock);
}

void wf_log_line(const char *format, ...) {
    char line[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    pthread_mutex_lock(&log_lock);
    if (log_fn)
        log_fn(log_user, line);
    else
        fprintf(stderr, "%s\n", line);
    pthread_mutex_unlock(&log_lock);
}

/* --- data types ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t bytes;
} dtype_table[] = {
#define X(name, text, bytes, st) {text, bytes},
    WF_DTYPE_MAP(X)
#undef X
};

const char *wf_dtype_name(wf_dtype t) {
    return (unsigned)t < WF_N_DTYPE ? dtype_table[t].name : "?";
}

size_t wf_dtype_bytes(wf_dtype t) { return (unsigned)t < WF_N_DTYPE ? dtype_table[t].bytes : 0; }

bool wf_dtype_is_real(wf_dtype t) { return t == WF_F32 || t == WF_F64; }

static float bf16_to_float(uint16_t h) {
    const uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Round to nearest even; NaN keeps its sign and becomes quiet. */
static uint16_t float_to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if (f != f) return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

static double f16_to_double(uint16_t h) {
    const int exponent = (h >> 10) & 31, fraction = h & 1023;
    double v;
    if (exponent == 31)
        v = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        v = ldexp(fraction, -24);
    else
        v = ldexp(1024 + fraction, exponent - 25);
    return h & 0x8000 ? -v : v;
}

/* nearbyint does the rounding to even at the grid of the result's exponent. */
static uint16_t double_to_f16(double v) {
    const uint16_t sign = signbit(v) ? 0x8000 : 0;
    if (v != v) return sign | 0x7e00;
    const double m = fabs(v);
    if (m >= 65520.0) return sign | 0x7c00;
    if (m == 0) return sign;
    int exponent;
    frexp(m, &exponent); /* m in [2^(exponent-1), 2^exponent) */
    const int grid = exponent - 11 < -24 ? -24 : exponent - 11;
    const int units = (int)nearbyint(ldexp(m, -grid));
    return (uint16_t)(sign + (grid == -24 ? units : units + ((grid + 24) << 10)));
}

/* bf16 from a double in one rounding: the float on the way is rounded to odd. */
static uint16_t double_to_bf16(double v) {
    float f = (float)v;
    if ((double)f != v && v == v && !isinf(f)) {
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        if (fabs((double)f) > fabs(v)) u -= 1;
        u |= 1;
        memcpy(&f, &u, sizeof f);
    }
    return float_to_bf16(f);
}

double wf_load(wf_dtype t, const void *p) {
    union {
        float f;
        double d;
        uint16_t h;
        int32_t i;
        int64_t l;
        uint8_t b;
    } u = {.l = 0};
    memcpy(&u, p, wf_dtype_bytes(t));
    switch (t) {
    case WF_F32: return u.f;
    case WF_F64: return u.d;
    case WF_BF16: return bf16_to_float(u.h);
    case WF_F16: return f16_to_double(u.h);
    case WF_I32: return u.i;
    case WF_I64: return (double)u.l;
    case WF_U8: return u.b;
    case WF_BOOL: return u.b != 0;
    default: return NAN;
    }
}

/* Saturating, to nearest even; `below` is the first double past the range. */
static int64_t to_int(double v, double low, double below, int64_t max) {
    if (v != v) return 0;
    const double r = nearbyint(v);
    return r <= low ? (int64_t)low : r >= below ? max : (int64_t)r;
}

void wf_store(wf_dtype t, void *p, double v) {
    union {
        float f;
        double d;
        uint16_t h;
        int32_t i;
        int64_t l;
        uint8_t b;
    } u = {.l = 0};
    switch (t) {
    case WF_F32: u.f = (float)v; break;
    case WF_F64: u.d = v; break;
    case WF_BF16: u.h = double_to_bf16(v); break;
    case WF_F16: u.h = double_to_f16(v); break;
    case WF_I32: u.i = (int32_t)to_int(v, -0x1p31, 0x1p31, INT32_MAX); break;
    case WF_I64: u.l = to_int(v, -0x1p63, 0x1p63, INT64_MAX); break;
    case WF_U8: u.b = (uint8_t)to_int(v, 0, 256, 255); break;
    case WF_BOOL: u.b = v != 0; break;
    default: break;
    }
    memcpy(p, &u, wf_dtype_bytes(t));
}
