/* A JSON object on one line; see row.h. A line that would not fit ends early, which the fixed rows
 * of these programs never do. */
#include "models/program/row.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void append(json_row *j, const char *text) {
    const size_t n = strlen(text);
    if (n >= sizeof j->text - j->n) return;
    memcpy(j->text + j->n, text, n + 1);
    j->n += n;
}

static void append_key(json_row *j, const char *key) {
    if (j->separate) append(j, ",");
    j->separate = true;
    if (!*key) return;
    append(j, "\"");
    append(j, key);
    append(j, "\":");
}

void row_open(json_row *j, const char *key) {
    if (key)
        append_key(j, key);
    else
        *j = (json_row){.n = 0};
    append(j, "{");
    j->separate = false;
}

void row_close(json_row *j) {
    append(j, "}");
    j->separate = true;
}

void row_open_list(json_row *j, const char *key) {
    append_key(j, key);
    append(j, "[");
    j->separate = false;
}

void row_close_list(json_row *j) {
    append(j, "]");
    j->separate = true;
}

void row_text(json_row *j, const char *key, const char *value) {
    append_key(j, key);
    append(j, "\"");
    for (; *value; value++) {
        const unsigned char c = (unsigned char)*value;
        char one[8];
        snprintf(one, sizeof one, c == '"' || c == '\\' ? "\\%c" : c < ' ' ? "\\u%04x" : "%c", c);
        append(j, one);
    }
    append(j, "\"");
}

void row_flag(json_row *j, const char *key, bool value) {
    append_key(j, key);
    append(j, value ? "true" : "false");
}

void row_integer(json_row *j, const char *key, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    append_key(j, key);
    append(j, text);
}

void row_real(json_row *j, const char *key, double value) {
    char text[32];
    append_key(j, key);
    append(j, isfinite(value) ? number_text(value, 9, text) : "null");
}

const char *number_text(double value, int digits, char buf[32]) {
    snprintf(buf, 32, "%.*g", digits, value);
    const char *point = localeconv()->decimal_point;
    char *found = strcmp(point, ".") ? strstr(buf, point) : NULL;
    if (found) {
        *found = '.';
        memmove(found + 1, found + strlen(point), strlen(found + strlen(point)) + 1);
    }
    return buf;
}
