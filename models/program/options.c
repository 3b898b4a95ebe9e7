/* Reading a command line by tables; see options.h. */
#include "models/program/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/program/row.h"
#include "models/program/suggest.h"

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

static exit_code set_value(const option *o, const char *text, void *settings) {
    void *value = (char *)settings + o->offset;
    char *end;
    errno = 0;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)value = true; return EXIT_CODE_OK;
    case OPTION_CHOICE:
        if (!is_choice(o->choices, text))
            return report_error(EXIT_CODE_USAGE, "--%s %s: not one of %s", o->name, text,
                                o->choices);
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

/* Nothing was typed for an option without a default: texts are never NULL then, and the range of a
 * required number leaves out 0. */
static bool is_unset(const option *o, const void *settings) {
    const void *value = (const char *)settings + o->offset;
    if (o->kind == OPTION_INTEGER) return *(const int64_t *)value == 0;
    if (o->kind == OPTION_REAL) return *(const double *)value == 0;
    return *(const char *const *)value == NULL;
}

/* --- the table of a command --- */

/* The i-th option of all groups, NULL past the last. */
static const option *option_at(const command *c, int i) {
    for (const option_group *const *g = c->groups; *g; g++) {
        if (i < (*g)->n) return &(*g)->options[i];
        i -= (*g)->n;
    }
    return NULL;
}

static const option *find_option(const command *c, const char *name, size_t n) {
    const option *o;
    for (int i = 0; (o = option_at(c, i)); i++)
        if (!strncmp(o->name, name, n) && !o->name[n]) return o;
    return NULL;
}

static exit_code unknown_option(const command *c, const char *name, size_t n) {
    suggestion s = suggest_for(name, n);
    const option *o;
    for (int i = 0; (o = option_at(c, i)); i++) suggest_offer(&s, o->name);
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

static exit_code print_command_help(const program *p, const command *c) {
    printf("usage: %s %s [options]\n\n%s\n", p->name, c->name, c->summary);
    for (const option_group *const *g = c->groups; *g; g++) {
        printf("\n%s\n", (*g)->title);
        for (int i = 0; i < (*g)->n; i++) print_option(&(*g)->options[i]);
    }
    printf("\nExamples\n%s", c->examples);
    return EXIT_CODE_OK;
}

static exit_code print_help(const program *p) {
    printf("usage: %s COMMAND [options]\n\n%s\n\nCommands\n", p->name, p->summary);
    for (int i = 0; i < p->n_commands; i++)
        printf("  %-20s %s\n", p->commands[i].name, p->commands[i].summary);
    printf("\n%s COMMAND --help tells a command's options, %s --version the version.\n\n"
           "Exit codes\n", p->name, p->name);
#define X(name, value, text) printf("  %-20d %s\n", value, text);
    EXIT_CODE_MAP(X)
#undef X
    return EXIT_CODE_OK;
}

/* --- the command line --- */

static exit_code read_options(const command *c, int argc, char **argv, void *settings) {
    const option *o;
    for (int i = 0; (o = option_at(c, i)); i++)
        if (o->fallback && set_value(o, o->fallback, settings)) return EXIT_CODE_USAGE;
    for (int i = 0; i < argc; i++) {
        const char *argument = argv[i];
        if (strncmp(argument, "--", 2) || !argument[2])
            return report_error(EXIT_CODE_USAGE, "stray argument '%s'; see --help", argument);
        const char *name = argument + 2, *value = strchr(name, '=');
        const size_t n = value ? (size_t)(value++ - name) : strlen(name);
        o = find_option(c, name, n);
        if (!o) return unknown_option(c, name, n);
        if (o->kind == OPTION_FLAG && value)
            return report_error(EXIT_CODE_USAGE, "--%s takes no value", o->name);
        if (o->kind != OPTION_FLAG && !value) {
            if (i + 1 == argc || !strncmp(argv[i + 1], "--", 2))
                return report_error(EXIT_CODE_USAGE, "--%s needs a value: --%s %s", o->name,
                                    o->name, o->metavar);
            value = argv[++i];
        }
        if (set_value(o, value, settings)) return EXIT_CODE_USAGE;
    }
    for (int i = 0; (o = option_at(c, i)); i++)
        if (o->required && is_unset(o, settings))
            return report_error(EXIT_CODE_USAGE, "--%s %s is needed; see --help", o->name,
                                o->metavar);
    return EXIT_CODE_OK;
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
    const command *c = NULL;
    for (int i = 0; i < p->n_commands; i++)
        if (!strcmp(p->commands[i].name, argv[1])) c = &p->commands[i];
    if (!c) return unknown_command(p, argv[1]);
    report_set_name(p->name, c->name);
    for (int i = 2; i < argc; i++)
        if (asks_for_help(argv[i])) return print_command_help(p, c);
    const exit_code code = read_options(c, argc - 2, argv + 2, settings);
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
