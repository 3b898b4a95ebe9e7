/* config.json; see config.h. */
#include "models/program/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "models/program/machine.h"
#include "models/program/row.h"
#include "models/program/suggest.h"

/* --- reading --- */

/* An array of all files that were read: texts in the settings point into them. */
static json_t *loaded;

static exit_code wrong(const char *path, const char *name, const char *why) {
    return report_error(EXIT_CODE_INPUT, "%s: option \"%s\": %s", path, name, why);
}

static exit_code unknown(const program *p, const char *path, const char *name) {
    suggestion s = suggest_for(name, strlen(name));
    for (int i = 0; i < p->n_commands; i++) {
        const option *o;
        for (int k = 0; (o = command_option(&p->commands[i], k)); k++) {
            if (!strcmp(o->name, name)) return EXIT_CODE_OK;
            suggest_offer(&s, o->name);
        }
    }
    if (s.best)
        return report_error(EXIT_CODE_INPUT, "%s: unknown option \"%s\"; did you mean \"%s\"?",
                            path, name, s.best);
    return wrong(path, name, "there is no option of this name");
}

static exit_code set_option(const option *o, const char *path, const json_t *value,
                            void *settings) {
    char number[64];
    const char *text = number;
    switch (o->kind) {
    case OPTION_FLAG:
        if (!json_is_boolean(value)) return wrong(path, o->name, "not true or false");
        *(bool *)((char *)settings + o->offset) = json_is_true(value);
        return EXIT_CODE_OK;
    case OPTION_TEXT:
    case OPTION_CHOICE:
        if (!json_is_string(value)) return wrong(path, o->name, "not a text in quotes");
        text = json_string_value(value);
        break;
    case OPTION_INTEGER:
        if (!json_is_integer(value)) return wrong(path, o->name, "not a whole number");
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        break;
    case OPTION_REAL:
        if (!json_is_number(value)) return wrong(path, o->name, "not a number");
        number_text(json_number_value(value), 17, number);
        break;
    }
    report_set_place(path);
    const exit_code code = option_set(o, text, settings);
    report_set_place(NULL);
    return code ? EXIT_CODE_INPUT : EXIT_CODE_OK;
}

/* The object "options" of a file, in *root, which the caller owns. */
static exit_code load(const char *path, json_t **root, json_t **options) {
    json_error_t error;
    FILE *f = fopen(path, "re");
    *root = NULL;
    if (!f)
        return report_error(EXIT_CODE_INPUT, "%s: cannot read it: %s", path, strerror(errno));
    *root = json_loadf(f, JSON_REJECT_DUPLICATES, &error);
    fclose(f);
    if (!*root)
        return report_error(EXIT_CODE_INPUT, "%s: line %d: not JSON: %s; give the config.json of a "
                            "run", path, error.line, error.text);
    *options = json_object_get(*root, "options");
    if (json_is_object(*options)) return EXIT_CODE_OK;
    return report_error(EXIT_CODE_INPUT, "%s: has no object \"options\"; give the config.json of a "
                        "run", path);
}

exit_code config_read(const program *p, const command *c, const char *path, void *settings) {
    json_t *root, *options = NULL;
    exit_code code = load(path, &root, &options);
    if (!loaded) loaded = json_array();
    if (!loaded || (root && json_array_append_new(loaded, root)))
        return report_error(EXIT_CODE_OUTPUT, "%s: no memory for it", path);
    if (code) return code;
    const char *name;
    json_t *value;
    json_object_foreach(options, name, value) {
        const option *o = command_find_option(c, name, strlen(name));
        code = o ? set_option(o, path, value, settings) : unknown(p, path, name);
        if (code) break;
    }
    return code;
}

/* --- comparing --- */

bool config_path(const char *dir, char *path, size_t size) {
    const int n = snprintf(path, size, "%s/config.json", dir);
    return n > 0 && (size_t)n < size && access(path, F_OK) == 0;
}

static bool is_listed(const char *list, const char *name) {
    const size_t n = strlen(name);
    for (const char *c = list; c; c = strchr(c, '|')) {
        if (*c == '|') c++;
        if (!strncmp(c, name, n) && (c[n] == '|' || !c[n])) return true;
    }
    return false;
}

/* The value in the file as one would type it, to be compared with option_text. */
static const char *value_text(const json_t *value, char buf[64]) {
    if (json_is_string(value)) return json_string_value(value);
    if (json_is_true(value)) return "true";
    if (json_is_integer(value)) {
        snprintf(buf, 64, "%lld", (long long)json_integer_value(value));
        return buf;
    }
    return json_is_real(value) ? number_text(json_real_value(value), 17, buf) : NULL;
}

static bool is_same(const option *o, const char *a, const char *b) {
    if (!a || !b) return a == b;
    const bool number = o->kind == OPTION_INTEGER || o->kind == OPTION_REAL;
    return number ? strtod(a, NULL) == strtod(b, NULL) : !strcmp(a, b);
}

exit_code config_compare(const command *c, const char *dir, const void *settings,
                         const char *may_differ) {
    char path[4096], was[64], is[32];
    json_t *root = NULL, *options = NULL;
    const option *o;
    if (!config_path(dir, path, sizeof path)) return EXIT_CODE_OK;
    exit_code code = load(path, &root, &options);
    for (int i = 0; !code && (o = command_option(c, i)); i++) {
        const char *first = value_text(json_object_get(options, o->name), was),
                   *now = option_text(o, settings, is);
        if (is_listed(may_differ, o->name) || is_same(o, first, now)) continue;
        code = report_error(EXIT_CODE_USAGE, "--%s %s: the run in %s was started with%s%s; leave "
                            "the option out, or start a new run", o->name, now ? now : "left out",
                            dir, first ? " " : "out it", first ? first : "");
    }
    json_decref(root);
    return code;
}

exit_code config_compare_data(const char *dir, const char *data) {
    char path[4096];
    json_t *root = NULL, *options = NULL;
    if (!config_path(dir, path, sizeof path)) return EXIT_CODE_OK;
    exit_code code = load(path, &root, &options);
    const char *was = json_string_value(json_object_get(json_object_get(root, "data"), "sha256"));
    if (!code && was && strcmp(was, data) != 0)
        code = report_error(EXIT_CODE_USAGE, "the data are not those of the run in %s: their "
                            "SHA-256 is %.12s.., it was %.12s..; give the same files, or start a "
                            "new run", dir, data, was);
    json_decref(root);
    return code;
}

/* --- writing --- */

static void put_text(FILE *f, const char *text) {
    fputc('"', f);
    for (; *text; text++) {
        const unsigned char u = (unsigned char)*text;
        if (u == '"' || u == '\\')
            fprintf(f, "\\%c", u);
        else if (u < ' ')
            fprintf(f, "\\u%04x", u);
        else
            fputc(u, f);
    }
    fputc('"', f);
}

static void put_pair(FILE *f, const char *before, const char *key, const char *text) {
    fprintf(f, "%s\"%s\": ", before, key);
    put_text(f, text);
}

static void put_options(FILE *f, const command *c, const void *settings) {
    const option *o;
    bool first = true;
    fputs("  \"options\": {", f);
    for (int i = 0; (o = command_option(c, i)); i++) {
        char buf[32];
        const char *text = option_text(o, settings, buf);
        if (!text) continue;
        fprintf(f, "%s\n    \"%s\": ", first ? "" : ",", o->name);
        first = false;
        if (o->kind == OPTION_TEXT || o->kind == OPTION_CHOICE)
            put_text(f, text);
        else
            fputs(text, f);
    }
    fputs("\n  }", f);
}

static void put_machine(FILE *f) {
    static wf_runtime_info info;
    struct utsname u;
    wf_runtime_describe(&info);
    put_pair(f, ",\n  \"machine\": {", "cpu", info.cpu);
    put_pair(f, ", ", "isa", info.isa);
    fprintf(f, ", \"cores\": %d, \"memory\": %lld", info.cores,
            (long long)machine_memory().total);
    if (uname(&u) == 0) {
        put_pair(f, ", ", "system", u.sysname);
        put_pair(f, ", ", "release", u.release);
        put_pair(f, ", ", "machine", u.machine);
    }
    put_pair(f, "},\n  \"compiler\": {", "library", info.built_with);
    put_pair(f, ", ", "generated", info.compiler);
    fputs("}", f);
}

char *config_text(const program *p, const command *c, const void *settings, const char *data) {
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return NULL;
    put_pair(f, "{\n  ", "program", p->name);
    put_pair(f, ",\n  ", "version", wf_version());
    put_pair(f, ",\n  ", "command", c->name);
    fputs(",\n", f);
    put_options(f, c, settings);
    if (data) {
        put_pair(f, ",\n  \"data\": {", "sha256", data);
        fputs("}", f);
    }
    put_machine(f);
    fputs("\n}\n", f);
    const bool failed = ferror(f);
    if (fclose(f) || failed) {
        free(text);
        return NULL;
    }
    return text;
}

static void set_text(const command *c, void *settings, const char *name, const char *text) {
    const option *o = command_find_option(c, name, strlen(name));
    if (o) memcpy((char *)settings + o->offset, &text, sizeof text);
}

char *config_of_run(const program *p, const char *name, const void *settings, size_t bytes,
                    const char *dir, const char *data) {
    const command *c = program_command(p, name);
    void *kept = malloc(bytes);
    if (!kept) return NULL;
    memcpy(kept, settings, bytes);
    set_text(c, kept, "out", dir);
    set_text(c, kept, c->config_of, NULL);
    set_text(c, kept, "profile", NULL);
    char *text = config_text(p, c, kept, data);
    free(kept);
    return text;
}
