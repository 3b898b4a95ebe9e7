/* One JSON object on one line, written key by key. Keys are the program's own and need no escapes.
 * Numbers have a point whatever the locale and digits enough that a float32 reads back to the same
 * bits; what JSON has no number for (NaN, infinity) is null. */
#ifndef MODELS_PROGRAM_ROW_H
#define MODELS_PROGRAM_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct json_row {
    char text[16384]; /* complete after the last row_close */
    size_t n;
    bool separate; /* the next key needs a comma */
} json_row;

/* Opens the object (key NULL; starts the line anew) or an object inside it. */
void row_open(json_row *j, const char *key);
void row_close(json_row *j);
/* An array inside the object; what is opened in it has the key "". */
void row_open_list(json_row *j, const char *key);
void row_close_list(json_row *j);
void row_text(json_row *j, const char *key, const char *value);
void row_flag(json_row *j, const char *key, bool value);
void row_integer(json_row *j, const char *key, int64_t value);
void row_real(json_row *j, const char *key, double value);

/* value with `digits` significant digits, a point as the decimal point; returns buf. */
const char *number_text(double value, int digits, char buf[32]);

#endif
