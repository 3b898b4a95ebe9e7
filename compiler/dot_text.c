/* Text of DOT: quoting, amounts, and the small tables that the writer needs. Numbers are written
 * with integers alone, so that the locale does not matter. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/dot.h"
#include "tensor/size.h"

wf_status wf_dot_no_memory(void) {
    return wf_fail(WF_MEMORY, "out of memory while the graph is drawn");
}

/* --- growing text ----------------------------------------------------------------------------- */

static bool room(wf_dot_text *t, size_t more) {
    size_t need;
    if (t->failed || !wf_add_size(t->n, more, &need) || !wf_add_size(need, 1, &need)) {
        t->failed = true;
        return false;
    }
    if (need <= t->cap) return true;
    size_t cap = t->cap ? t->cap : 4096;
    while (cap < need && wf_mul_size(cap, 2, &cap)) {}
    char *p = cap < need ? NULL : realloc(t->at, cap);
    if (!p) {
        t->failed = true;
        return false;
    }
    t->at = p;
    t->cap = cap;
    return true;
}

void wf_dot_put(wf_dot_text *t, const char *format, ...) {
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n >= 0 && room(t, (size_t)n)) {
        vsnprintf(t->at + t->n, (size_t)n + 1, format, again);
        t->n += (size_t)n;
    }
    va_end(again);
}

/* --- escaping --------------------------------------------------------------------------------- */

/* RFC 3629: without overlong forms, surrogates and what lies beyond U+10FFFF. */
size_t wf_dot_utf8_length(const unsigned char *s) {
    if (s[0] < 0x80) return 1;
    const size_t n = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
                     : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                     : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                    : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* C1 controls are two bytes of UTF-8, and no XML either. */
static bool is_control(const unsigned char *s) {
    return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

/* U+FFFE and U+FFFF, which XML, and so SVG, may not hold. */
static bool is_noncharacter(const unsigned char *s) {
    return s[0] == 0xef && s[1] == 0xbf && (s[2] == 0xbe || s[2] == 0xbf);
}

void wf_dot_put_escaped(wf_dot_text *t, const char *bytes, size_t most) {
    const unsigned char *s = (const unsigned char *)bytes;
    for (size_t done = 0; *s; done++) {
        if (done == most) {
            wf_dot_put(t, "...");
            return;
        }
        const size_t n = wf_dot_utf8_length(s);
        if (n == 0 || is_control(s) || is_noncharacter(s)) {
            for (size_t i = 0; i < (n ? n : 1); i++) wf_dot_put(t, "\\\\x%02X", s[i]);
        } else if (*s == '"' || *s == '\\') {
            wf_dot_put(t, "\\%c", *s);
        } else if (*s == '&') {
            wf_dot_put(t, "&amp;"); /* dot reads entities */
        } else {
            wf_dot_put(t, "%.*s", (int)n, (const char *)s);
        }
        s += n ? n : 1;
    }
}

void wf_dot_put_amount(wf_dot_text *t, double v, const char *unit) {
    static const char *const prefix[] = {"", "k", "M", "G", "T", "P", "E"};
    size_t i = 0;
    if (!(v >= 0)) v = 0;
    while (v >= 999.5 && i + 1 < WF_COUNT(prefix)) {
        v /= 1000;
        i++;
    }
    const int decimals = i == 0 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2;
    const int scale = decimals == 2 ? 100 : decimals == 1 ? 10 : 1;
    const long long whole = (long long)(v * scale + 0.5);
    wf_dot_put(t, "%lld", whole / scale);
    if (decimals) wf_dot_put(t, ".%0*lld", decimals, whole % scale);
    wf_dot_put(t, " %s%s", prefix[i], unit);
}

/* --- tables ----------------------------------------------------------------------------------- */

uint64_t wf_dot_mix_text(uint64_t h, const char *text) {
    for (; *text; text++) h = wf_dot_mix(h, (unsigned char)*text);
    return wf_dot_mix(h, 0);
}

bool wf_dot_map_init(wf_dot_map *m, wf_arena *mem, uint32_t n) {
    size_t slots = 16;
    while (slots < 2 * (size_t)n) slots *= 2;
    m->mask = (uint32_t)(slots - 1);
    m->key = wf_arena_alloc(mem, slots * sizeof *m->key);
    m->value = wf_arena_alloc(mem, slots * sizeof *m->value);
    return m->key && m->value;
}

uint32_t *wf_dot_map_at(wf_dot_map *m, uint64_t key) {
    if (key == 0) key = 1;
    uint64_t i = key;
    while (m->key[i & m->mask] && m->key[i & m->mask] != key) i++;
    uint32_t *value = &m->value[i & m->mask];
    if (!m->key[i & m->mask]) {
        m->key[i & m->mask] = key;
        *value = UINT32_MAX;
    }
    return value;
}

wf_dot_kind wf_dot_kind_of(const wf_node *x) {
    if (x->op->kind == WF_KIND_ASSIGN) return WF_DOT_ASSIGN;
    if (x->op->kind != WF_KIND_LEAF) return WF_DOT_OPERATION;
    if (x->op != &wf_op_leaf) return WF_DOT_LEAF;
    const wf_leaf_attr *a = x->attr;
    return a->kind == WF_LEAF_INPUT ? WF_DOT_INPUT
           : a->kind == WF_LEAF_CONST ? WF_DOT_CONST : WF_DOT_LEAF;
}

size_t wf_dot_bytes(const wf_node *x) {
    size_t bytes = 0;
    wf_type_bytes(x->type.dtype, &x->type.shape, &bytes);
    return bytes;
}
