/* Commands and their options, from tables: parsing, checking, --help, configuration files, the
 * manual page, completions. A program gives a table of commands; a command lists groups of options;
 * an option says where its value goes, its range, its default and its help text. All of these read
 * the same row.
 *
 * Accepted: --name VALUE, --name=VALUE, --flag, and where a command takes them file names, in any
 * order; the last of equal options wins; options win over those of --config FILE (config.h), which
 * win over defaults. "--" ends the options. Anything else is one line on stderr and
 * EXIT_CODE_USAGE. */
#ifndef MODELS_PROGRAM_OPTIONS_H
#define MODELS_PROGRAM_OPTIONS_H

#include "models/program/report.h"

typedef enum option_kind {
    OPTION_FLAG,    /* bool */
    OPTION_TEXT,    /* const char *, into argv or a literal */
    OPTION_CHOICE,  /* const char *, one of `choices` */
    OPTION_INTEGER, /* int64_t in [least, most] */
    OPTION_REAL,    /* double in [least, most] */
} option_kind;

typedef struct option {
    const char *name;     /* without the dashes */
    const char *metavar;  /* "FILE"; NULL for a flag */
    option_kind kind;
    size_t offset;        /* of the value in the program's settings */
    double least, most;   /* numbers; most at most 2^53 */
    const char *fallback; /* the default as one would type it; NULL: the value stays zero */
    const char *choices;  /* "train|test" */
    bool required;        /* has no default; a required number's range leaves out 0 */
    const char *help;
} option;

typedef struct option_group {
    const char *title;
    const option *options;
    int n;
} option_group;

/* What a command takes beside options: names of files or folders. */
typedef struct places {
    char *const *name; /* (n) into argv */
    int n;
} places;

typedef struct command {
    const char *name, *summary;
    const option_group *groups[8]; /* ends with NULL */
    const char *examples;          /* lines, each ending in a newline */
    exit_code (*run)(const void *settings);
    const char *place; /* "DIR": the command takes one or more; NULL: none */
    size_t places;     /* offset of a `places` in the settings */
    const char *config_of; /* "resume": --resume DIR reads DIR/config.json as --config would */
} command;

typedef struct program {
    const char *name, *summary;
    const command *commands;
    int n_commands;
} program;

/* The command of this name, NULL if there is none. */
const command *program_command(const program *p, const char *name);

/* The i-th option of all groups of a command, NULL past the last; the option of a name of n
 * characters, NULL if there is none. */
const option *command_option(const command *c, int i);
const option *command_find_option(const command *c, const char *name, size_t n);

/* Sets an option as if `text` had been typed; a wrong value is reported. */
exit_code option_set(const option *o, const char *text, void *settings);

/* The value as one would type it, "true" for a flag; NULL if there is none (nothing was given and
 * there is no default, or the flag is off). Into buf, or borrowed from the settings. */
const char *option_text(const option *o, const void *settings, char buf[32]);

/* What every command has beside its own options: --config and --help. */
extern const option_group every_command_group;

/* Runs the command that argv names: fills `settings` (settings_bytes, zeroed first) with defaults
 * and what argv says, and calls the command. Returns the exit code for main; a result that could
 * not be written to stdout is EXIT_CODE_OUTPUT. */
exit_code program_main(const program *p, int argc, char **argv, void *settings,
                       size_t settings_bytes);

#endif
