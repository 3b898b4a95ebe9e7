/* Tokens of the textual form, both ways: strings, numbers, words. See attr.h. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/attr.h"
#include "tensor/size.h"

/* --- writing ---------------------------------------------------------------------------------- */

static bool room(wf_text *t, size_t more) {
    size_t need;
    if (t->failed) return false;
    if (!wf_add_size(t->used, more, &need) || !wf_add_size(need, 1, &need)) {
        t->failed = true;
        return false;
    }
    if (need <= t->size || !t->grows) return true;
    size_t to = t->size ? t->size : 128;
    while (to < need && to <= SIZE_MAX / 2) to *= 2;
    char *buf = realloc(t->buf, to < need ? need : to);
    if (!buf) {
        t->failed = true;
        return false;
    }
    t->buf = buf;
    t->size = to < need ? need : to;
    return true;
}

void wf_text_put(wf_text *t, const char *format, ...) {
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n >= 0 && room(t, (size_t)n) && t->used < t->size) {
        vsnprintf(t->buf + t->used, t->size - t->used, format, again);
        t->used += (size_t)n;
        if (!t->grows && t->used >= t->size) t->used = t->size - 1;
    }
    va_end(again);
}

/* Without quotes blanks at the ends would be lost, so they are escaped too. */
void wf_text_string(wf_text *t, const char *text, bool bare) {
    const size_t n = strlen(text);
    if (!bare) wf_text_put(t, "\"");
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool end = bare && (i == 0 || i + 1 == n) && c == ' ';
        if (c < 0x20 || c == 0x7f || end) wf_text_put(t, "\\x%02x", c);
        else wf_text_put(t, c == '\\' || (c == '"' && !bare) ? "\\%c" : "%c", c);
    }
    if (!bare) wf_text_put(t, "\"");
}

static uint64_t bits_of(const void *p, size_t bytes) {
    uint8_t b1;
    uint16_t b2;
    uint32_t b4;
    uint64_t b8;
    switch (bytes) {
    case 1: memcpy(&b1, p, 1); return b1;
    case 2: memcpy(&b2, p, 2); return b2;
    case 4: memcpy(&b4, p, 4); return b4;
    default: memcpy(&b8, p, 8); return b8;
    }
}

static void set_bits(void *p, size_t bytes, uint64_t v) {
    const uint8_t b1 = (uint8_t)v;
    const uint16_t b2 = (uint16_t)v;
    const uint32_t b4 = (uint32_t)v;
    switch (bytes) {
    case 1: memcpy(p, &b1, 1); break;
    case 2: memcpy(p, &b2, 2); break;
    case 4: memcpy(p, &b4, 4); break;
    default: memcpy(p, &v, 8); break;
    }
}

/* The NaN that "nan" stands for. */
static uint64_t quiet_nan(wf_dtype t) {
    switch (t) {
    case WF_F64: return UINT64_C(0x7ff8000000000000);
    case WF_BF16: return 0x7fc0;
    case WF_F16: return 0x7e00;
    default: return 0x7fc00000;
    }
}

/* Compared as bits: the caller's thread may treat denormals as zero. */
static void put_real(wf_text *t, wf_dtype dtype, const void *p) {
    const size_t bytes = wf_dtype_bytes(dtype);
    const double v = wf_load(dtype, p);
    char s[40] = "";
    uint64_t again = 0;
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        const double back = dtype == WF_F64 ? strtod(s, NULL) : (double)strtof(s, NULL);
        wf_store(dtype, &again, back);
        if (bits_of(&again, bytes) == bits_of(p, bytes)) break;
    }
    wf_text_put(t, "%s", s);
}

void wf_text_value(wf_text *t, wf_dtype dtype, const void *p) {
    const size_t bytes = wf_dtype_bytes(dtype);
    if (dtype == WF_I64 || dtype == WF_I32) {
        int64_t v = 0;
        int32_t w = 0;
        if (dtype == WF_I64) memcpy(&v, p, 8);
        else memcpy(&w, p, 4), v = w;
        wf_text_put(t, "%" PRId64, v);
    } else if (bytes == 1) {
        wf_text_put(t, "%u", (unsigned)bits_of(p, 1));
    } else {
        const double v = wf_load(dtype, p);
        if (isinf(v)) wf_text_put(t, v < 0 ? "-inf" : "inf");
        else if (!isnan(v)) put_real(t, dtype, p);
        else if (bits_of(p, bytes) == quiet_nan(dtype)) wf_text_put(t, "nan");
        else wf_text_put(t, "0x%0*" PRIx64, (int)bytes * 2, bits_of(p, bytes));
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

bool wf_scan_fail(wf_scan *s, size_t at, const char *format, ...) {
    char message[640];
    if (s->failed) return false;
    s->failed = true;
    va_list ap;
    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    wf_fail(WF_FORMAT, "line %d, column %zu: %s", s->line, at - s->line_at + 1, message);
    return false;
}

void wf_scan_blanks(wf_scan *s) {
    while (s->at < s->size &&
           (s->text[s->at] == ' ' || s->text[s->at] == '\t' || s->text[s->at] == '\r'))
        s->at++;
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool wf_scan_is(wf_scan *s, const char *token) {
    wf_scan_blanks(s);
    const size_t n = strlen(token), left = s->size - s->at;
    if (s->failed || n > left || memcmp(s->text + s->at, token, n) != 0) return false;
    return !(is_word(token[n - 1]) && n < left && is_word(s->text[s->at + n]));
}

bool wf_scan_accept(wf_scan *s, const char *token) {
    if (!wf_scan_is(s, token)) return false;
    s->at += strlen(token);
    return true;
}

bool wf_scan_expect(wf_scan *s, const char *token) {
    return wf_scan_accept(s, token) || wf_scan_fail(s, s->at, "expected %s", token);
}

bool wf_scan_word(wf_scan *s, char *buf, size_t size, const char *what) {
    wf_scan_blanks(s);
    const size_t first = s->at;
    size_t n = 0;
    while (s->at < s->size && is_word(s->text[s->at])) {
        if (n + 1 >= size)
            return wf_scan_fail(s, first, "expected %s; this word is too long", what);
        buf[n++] = s->text[s->at++];
    }
    buf[n] = 0;
    return n ? !s->failed : wf_scan_fail(s, first, "expected %s", what);
}

/* What looks like a number, as a string. */
static bool number(wf_scan *s, char *buf, size_t size) {
    wf_scan_blanks(s);
    size_t n = 0, at = s->at;
    for (; at < s->size && n + 1 < size; at++) {
        const char c = s->text[at];
        const bool sign = (c == '-' || c == '+') &&
                          (n == 0 || ((buf[n - 1] == 'e' || buf[n - 1] == 'E') && buf[1] != 'x'));
        if (!is_word(c) && c != '.' && !sign) break;
        buf[n++] = c;
    }
    buf[n] = 0;
    if (s->failed || n == 0 || n + 1 == size) return wf_scan_fail(s, s->at, "expected a number");
    s->at = at;
    return true;
}

bool wf_scan_i64(wf_scan *s, int64_t least, int64_t most, int64_t *out) {
    wf_scan_blanks(s);
    const size_t first = s->at;
    bool negative = false;
    uint64_t v = 0;
    if (s->at < s->size && s->text[s->at] == '-') {
        negative = true;
        s->at++;
    }
    const size_t digits = s->at;
    for (; s->at < s->size && s->text[s->at] >= '0' && s->text[s->at] <= '9'; s->at++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s->text[s->at] - '0'), &v))
            return wf_scan_fail(s, first, "the number is too large");
    if (s->at == digits) return wf_scan_fail(s, first, "expected a whole number");
    if (v > (uint64_t)INT64_MAX + negative)
        return wf_scan_fail(s, first, "the number is too large");
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    if (*out < least || *out > most)
        return wf_scan_fail(s, first, "%" PRId64 " is not between %" PRId64 " and %" PRId64, *out,
                            least, most);
    return !s->failed;
}

bool wf_scan_u64(wf_scan *s, uint64_t *out) {
    char buf[40], *end;
    wf_scan_blanks(s);
    const size_t first = s->at;
    if (!number(s, buf, sizeof buf)) return false;
    errno = 0;
    *out = strtoull(buf, &end, buf[0] == '0' && buf[1] == 'x' ? 16 : 10);
    if (*end || errno || buf[0] == '-' || buf[0] == '+')
        return wf_scan_fail(s, first, "expected a whole number from 0 to 2^64 - 1");
    return true;
}

static bool scan_real(wf_scan *s, size_t first, wf_dtype dtype, const char *buf, void *element) {
    const size_t bytes = wf_dtype_bytes(dtype);
    char *end;
    if (strcmp(buf, "nan") == 0) {
        set_bits(element, bytes, quiet_nan(dtype));
        return true;
    }
    if (buf[0] == '0' && buf[1] == 'x') {
        const uint64_t v = strtoull(buf + 2, &end, 16);
        if (*end || strlen(buf) != 2 + 2 * bytes || !is_word(buf[2]))
            return wf_scan_fail(s, first, "expected the %zu hexadecimal digits of a %s", 2 * bytes,
                                wf_dtype_name(dtype));
        set_bits(element, bytes, v);
        return true;
    }
    const bool inf = strcmp(buf, "inf") == 0 || strcmp(buf, "-inf") == 0;
    if (!inf && strspn(buf, "0123456789+-.eE") != strlen(buf))
        return wf_scan_fail(s, first, "expected a number, inf or nan");
    const double v = dtype == WF_F64 ? strtod(buf, &end) : (double)strtof(buf, &end);
    if (*end) return wf_scan_fail(s, first, "expected a number, inf or nan");
    wf_store(dtype, element, v);
    if (!inf && isinf(wf_load(dtype, element)))
        return wf_scan_fail(s, first, "%s is too large for %s", buf, wf_dtype_name(dtype));
    return true;
}

bool wf_scan_value(wf_scan *s, wf_dtype dtype, void *element) {
    char buf[64];
    int64_t v;
    wf_scan_blanks(s);
    const size_t first = s->at;
    switch (dtype) {
    case WF_I64:
        if (!wf_scan_i64(s, INT64_MIN, INT64_MAX, &v)) return false;
        break;
    case WF_I32:
        if (!wf_scan_i64(s, INT32_MIN, INT32_MAX, &v)) return false;
        break;
    case WF_U8:
    case WF_BOOL:
        if (!wf_scan_i64(s, 0, UINT8_MAX, &v)) return false;
        break;
    default: return number(s, buf, sizeof buf) && scan_real(s, first, dtype, buf, element);
    }
    set_bits(element, wf_dtype_bytes(dtype), (uint64_t)v);
    return true;
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One character, escaped or not. */
static bool character(wf_scan *s, wf_text *t) {
    const size_t first = s->at, left = s->size - first;
    int c = (unsigned char)s->text[first];
    s->at++;
    if (c == '\\') {
        const char e = left > 1 ? s->text[first + 1] : 0;
        if (e == '\\' || e == '"') {
            c = e;
            s->at++;
        } else if (e == 'x' && left > 3 && hex(s->text[first + 2]) >= 0 &&
                   hex(s->text[first + 3]) >= 0) {
            c = hex(s->text[first + 2]) * 16 + hex(s->text[first + 3]);
            s->at += 3;
        } else {
            return wf_scan_fail(s, first, "expected \\\\, \\\" or \\xHH");
        }
    }
    if (c == 0) return wf_scan_fail(s, first, "a name cannot have the character 0");
    wf_text_put(t, "%c", c);
    return !t->failed || wf_scan_fail(s, first, "out of memory");
}

bool wf_scan_string(wf_scan *s, wf_text *t) {
    wf_scan_blanks(s);
    const size_t first = s->at;
    t->used = 0;
    wf_text_put(t, "%s", "");
    if (!wf_scan_accept(s, "\"")) return wf_scan_fail(s, first, "expected a name in quotes");
    while (s->at < s->size && s->text[s->at] != '"') {
        if (s->text[s->at] == '\n') break;
        if (!character(s, t)) return false;
    }
    if (s->at == s->size || s->text[s->at] != '"')
        return wf_scan_fail(s, first, "the quotes are not closed on this line");
    s->at++;
    return !t->failed || wf_scan_fail(s, first, "out of memory");
}

bool wf_scan_rest(wf_scan *s, wf_text *t) {
    wf_scan_blanks(s);
    size_t end = s->at;
    t->used = 0;
    wf_text_put(t, "%s", "");
    for (size_t i = s->at; i < s->size && s->text[i] != '\n'; i++)
        if (s->text[i] != ' ' && s->text[i] != '\t' && s->text[i] != '\r') end = i + 1;
    while (s->at < end)
        if (!character(s, t)) return false;
    return !t->failed || wf_scan_fail(s, s->at, "out of memory");
}

bool wf_scan_ends_line(wf_scan *s) {
    wf_scan_blanks(s);
    if (s->at == s->size) return true;
    if (s->text[s->at] != '\n') return false;
    s->line_at = ++s->at;
    s->line++;
    return true;
}
