/* Reading a command line by tables; see options.h. */
#include "models/program/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/program/config.h"
#include "models/program/manual.h"
#include "models/program/row.h"
#include "models/program/suggest.h"

static const option every_command_options[] = {
    {"config", "FILE", OPTION_TEXT,
     .help = "take options from a run's config.json first; what is typed here wins"},
    {"help", NULL, OPTION_FLAG, .help = "print this and stop"},
};
const option_group every_command_group = {"Every command", every_command_options,
                                          WF_COUNT(every_command_options)};

/* --- values --- */

static exit_code out_of_range(const option *o, const char *text) {
    char least[32], most[32];
    return report_error(EXIT_CODE_USAGE, "--%s %s: not %s from %s to %s", o->name, text,
                        o->kind == OPTION_INTEGER ? "a whole number" : "a number",
                        number_text(o->least, 16, least), number_text(o->most, 16, most));
}

static bool is_choice(const char *choices, const char *text) {
    const size_t n = strlen(text);
    for (const char *c = choices; c; c = strchr(c, '|')) {
        if (*c == '|') c++;
        if (n && !strncmp(c, text, n) && (c[n] == '|' || !c[n])) return true;
    }
    return false;
}

static exit_code not_a_choice(const option *o, const char *text) {
    char names[256];
    suggestion s = suggest_for(text, strlen(text));
    snprintf(names, sizeof names, "%s", o->choices);
    for (char *name = strtok(names, "|"); name; name = strtok(NULL, "|")) suggest_offer(&s, name);
    if (s.best)
        return report_error(EXIT_CODE_USAGE, "--%s %s: not one of %s; did you mean %s?", o->name,
                            text, o->choices, s.best);
    return report_error(EXIT_CODE_USAGE, "--%s %s: not one of %s", o->name, text, o->choices);
}

exit_code option_set(const option *o, const char *text, void *settings) {
    void *value = (char *)settings + o->offset;
    char *end;
    errno = 0;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)value = true; return EXIT_CODE_OK;
    case OPTION_CHOICE:
        if (!is_choice(o->choices, text)) return not_a_choice(o, text);
        /* fall through */
    case OPTION_TEXT:
        if (!*text) return report_error(EXIT_CODE_USAGE, "--%s: the value is empty", o->name);
        *(const char **)value = text;
        return EXIT_CODE_OK;
    case OPTION_INTEGER: {
        const long long v = strtoll(text, &end, 10);
        if (end == text || *end || errno || (double)v < o->least || (double)v > o->most)
            return out_of_range(o, text);
        *(int64_t *)value = v;
        return EXIT_CODE_OK;
    }
    case OPTION_REAL: {
        const double v = strtod(text, &end);
        if (end == text || *end || !isfinite(v) || v < o->least || v > o->most)
            return out_of_range(o, text);
        *(double *)value = v;
        return EXIT_CODE_OK;
    }
    }
    return EXIT_CODE_USAGE;
}

const char *option_text(const option *o, const void *settings, char buf[32]) {
    const void *value = (const char *)settings + o->offset;
    switch (o->kind) {
    case OPTION_FLAG: return *(const bool *)value ? "true" : NULL;
    case OPTION_TEXT:
    case OPTION_CHOICE: return *(const char *const *)value;
    case OPTION_INTEGER:
        if (!o->fallback && *(const int64_t *)value == 0) return NULL;
        snprintf(buf, 32, "%lld", (long long)*(const int64_t *)value);
        return buf;
    case OPTION_REAL: {
        const double v = *(const double *)value;
        if (!o->fallback && v == 0) return NULL;
        int digits = 15; /* the fewest that read back to the same double */
        while (digits < 17 && strtod(number_text(v, digits, buf), NULL) != v) digits++;
        return number_text(v, digits, buf);
    }
    }
    return NULL;
}

/* Nothing was typed for an option without a default: texts are never NULL then, and the range of a
 * required number leaves out 0. */
static bool is_unset(const option *o, const void *settings) {
    const void *value = (const char *)settings + o->offset;
    if (o->kind == OPTION_INTEGER) return *(const int64_t *)value == 0;
    if (o->kind == OPTION_REAL) return *(const double *)value == 0;
    return *(const char *const *)value == NULL;
}

/* --- the table of a command --- */

const option *command_option(const command *c, int i) {
    for (const option_group *const *g = c->groups; *g; g++) {
        if (i < (*g)->n) return &(*g)->options[i];
        i -= (*g)->n;
    }
    return NULL;
}

const option *command_find_option(const command *c, const char *name, size_t n) {
    const option *o;
    for (int i = 0; (o = command_option(c, i)); i++)
        if (!strncmp(o->name, name, n) && !o->name[n]) return o;
    return NULL;
}

static exit_code unknown_option(const command *c, const char *name, size_t n) {
    suggestion s = suggest_for(name, n);
    const option *o;
    for (int i = 0; (o = command_option(c, i)); i++) suggest_offer(&s, o->name);
    for (int i = 0; i < every_command_group.n; i++)
        suggest_offer(&s, every_command_group.options[i].name);
    if (s.best)
        return report_error(EXIT_CODE_USAGE, "unknown option --%.*s; did you mean --%s?", (int)n,
                            name, s.best);
    return report_error(EXIT_CODE_USAGE, "unknown option --%.*s; see --help", (int)n, name);
}

/* --- help --- */

static void print_option(const option *o) {
    char left[64], least[32], most[32];
    snprintf(left, sizeof left, "--%s%s%s", o->name, o->metavar ? " " : "",
             o->metavar ? o->metavar : "");
    printf("  %-20s %s", left, o->help);
    if (o->kind == OPTION_CHOICE) printf(" (%s)", o->choices);
    if ((o->kind == OPTION_INTEGER || o->kind == OPTION_REAL) && o->most < 1e9)
        printf(" (%s to %s)", number_text(o->least, 16, least), number_text(o->most, 16, most));
    if (o->fallback) printf(" [%s]", o->fallback);
    if (o->required) printf(" (needed)");
    printf("\n");
}

static void print_group(const option_group *g) {
    printf("\n%s\n", g->title);
    for (int i = 0; i < g->n; i++) print_option(&g->options[i]);
}

static exit_code print_command_help(const program *p, const command *c) {
    printf("usage: %s %s [options]", p->name, c->name);
    if (c->place) printf(" %s [%s...]", c->place, c->place);
    printf("\n\n%s\n", c->summary);
    for (const option_group *const *g = c->groups; *g; g++) print_group(*g);
    print_group(&every_command_group);
    printf("\nExamples\n%s", c->examples);
    return EXIT_CODE_OK;
}

static exit_code print_help(const program *p) {
    printf("usage: %s COMMAND [options]\n\n%s\n\nCommands\n", p->name, p->summary);
    for (int i = 0; i < p->n_commands; i++)
        printf("  %-20s %s\n", p->commands[i].name, p->commands[i].summary);
    printf("\n%s COMMAND --help tells a command's options, %s --version the version, %s --man\n"
           "prints the manual page, %s --completion bash|zsh what a shell can complete.\n\n"
           "Exit codes\n", p->name, p->name, p->name, p->name);
#define X(name, value, text) printf("  %-20d %s\n", value, text);
    EXIT_CODE_MAP(X)
#undef X
    return EXIT_CODE_OK;
}

/* --- the command line --- */

/* The option that argv[*i] names, and its value, which may be argv[*i + 1]. */
static exit_code read_option(const command *c, int argc, char **argv, int *i, const option **out,
                             const char **value) {
    const char *name = argv[*i] + 2;
    *value = strchr(name, '=');
    const size_t n = *value ? (size_t)((*value)++ - name) : strlen(name);
    const option *o = command_find_option(c, name, n), *config = &every_command_options[0];
    if (!o && n == strlen(config->name) && !strncmp(name, config->name, n)) o = config;
    if (!o) return unknown_option(c, name, n);
    if (o->kind == OPTION_FLAG && *value)
        return report_error(EXIT_CODE_USAGE, "--%s takes no value", o->name);
    if (o->kind != OPTION_FLAG && !*value) {
        if (*i + 1 == argc || !strncmp(argv[*i + 1], "--", 2))
            return report_error(EXIT_CODE_USAGE, "--%s needs a value: --%s %s", o->name, o->name,
                                o->metavar);
        *value = argv[++*i];
    }
    *out = o;
    return EXIT_CODE_OK;
}

/* Options of argv into the settings, file names to the front of argv. */
static exit_code read_typed(const command *c, int argc, char **argv, void *settings) {
    int n_places = 0;
    bool only_places = false;
    for (int i = 0; i < argc; i++) {
        const option *o = NULL;
        const char *value = NULL;
        if (!only_places && !strcmp(argv[i], "--")) {
            only_places = true;
        } else if (only_places || strncmp(argv[i], "--", 2)) {
            if (!c->place || (!only_places && *argv[i] == '-'))
                return report_error(EXIT_CODE_USAGE, "stray argument '%s'; see --help", argv[i]);
            argv[n_places++] = argv[i];
        } else {
            const exit_code code = read_option(c, argc, argv, &i, &o, &value);
            if (code) return code;
            if (o != &every_command_options[0] && option_set(o, value, settings))
                return EXIT_CODE_USAGE;
        }
    }
    if (!c->place) return EXIT_CODE_OK;
    *(places *)((char *)settings + c->places) = (places){argv, n_places};
    if (n_places) return EXIT_CODE_OK;
    return report_error(EXIT_CODE_USAGE, "a %s is needed; see --help", c->place);
}

/* The last value of option `name` in argv, NULL without one. */
static const char *typed_value(const char *name, int argc, char **argv) {
    const char *value = NULL;
    const size_t n = strlen(name);
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++) {
        if (strncmp(argv[i], "--", 2) || strncmp(argv[i] + 2, name, n)) continue;
        if (argv[i][2 + n] == '=') value = argv[i] + 3 + n;
        if (!argv[i][2 + n] && i + 1 < argc) value = argv[i + 1];
    }
    return value;
}

/* Options from files: --config, or the config.json of the run that goes on, if it has one. */
static exit_code read_files(const program *p, const command *c, int argc, char **argv,
                            void *settings) {
    char path[4096];
    const char *config = typed_value(every_command_options[0].name, argc, argv);
    const char *dir = c->config_of ? typed_value(c->config_of, argc, argv) : NULL;
    if (config) return config_read(p, c, config, settings);
    if (!dir || !config_path(dir, path, sizeof path)) return EXIT_CODE_OK;
    return config_read(p, c, path, settings);
}

static exit_code read_options(const program *p, const command *c, int argc, char **argv,
                              void *settings) {
    const option *o;
    for (int i = 0; (o = command_option(c, i)); i++)
        if (o->fallback && option_set(o, o->fallback, settings)) return EXIT_CODE_USAGE;
    exit_code code = read_files(p, c, argc, argv, settings);
    if (!code) code = read_typed(c, argc, argv, settings);
    if (code) return code;
    for (int i = 0; (o = command_option(c, i)); i++)
        if (o->required && is_unset(o, settings))
            return report_error(EXIT_CODE_USAGE, "--%s %s is needed; see --help", o->name,
                                o->metavar);
    return EXIT_CODE_OK;
}

const command *program_command(const program *p, const char *name) {
    for (int i = 0; i < p->n_commands; i++)
        if (!strcmp(p->commands[i].name, name)) return &p->commands[i];
    return NULL;
}

static exit_code unknown_command(const program *p, const char *name) {
    suggestion s = suggest_for(name, strlen(name));
    for (int i = 0; i < p->n_commands; i++) suggest_offer(&s, p->commands[i].name);
    if (s.best)
        return report_error(EXIT_CODE_USAGE, "unknown command %s; did you mean %s?", name, s.best);
    return report_error(EXIT_CODE_USAGE, "unknown command %s; see %s --help", name, p->name);
}

static bool asks_for_help(const char *argument) {
    return !strcmp(argument, "--help") || !strcmp(argument, "-h");
}

static exit_code run_command(const program *p, int argc, char **argv, void *settings) {
    if (argc < 2)
        return report_error(EXIT_CODE_USAGE, "a command is needed; see %s --help", p->name);
    if (asks_for_help(argv[1]) || !strcmp(argv[1], "help")) return print_help(p);
    if (!strcmp(argv[1], "--version")) {
        printf("%s %s\n", p->name, wf_version());
        return EXIT_CODE_OK;
    }
    if (!strcmp(argv[1], "--man")) return manual_print(p);
    if (!strncmp(argv[1], "--completion", 12)) {
        const char *shell = argv[1][12] == '=' ? argv[1] + 13 : argc > 2 ? argv[2] : "";
        return manual_print_completion(p, shell);
    }
    const command *c = program_command(p, argv[1]);
    if (!c) return unknown_command(p, argv[1]);
    report_set_name(p->name, c->name);
    for (int i = 2; i < argc; i++)
        if (asks_for_help(argv[i])) return print_command_help(p, c);
    const exit_code code = read_options(p, c, argc - 2, argv + 2, settings);
    return code ? code : c->run(settings);
}

exit_code program_main(const program *p, int argc, char **argv, void *settings,
                       size_t settings_bytes) {
    memset(settings, 0, settings_bytes);
    report_set_name(p->name, NULL);
    const exit_code code = run_command(p, argc, argv, settings);
    errno = 0;
    if ((fflush(stdout) || ferror(stdout)) && !code)
        return report_error(EXIT_CODE_OUTPUT, "stdout: cannot write: %s",
                            errno ? strerror(errno) : "an earlier write failed");
    return code;
}
