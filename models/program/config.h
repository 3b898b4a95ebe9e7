/* A run's options as a file, config.json, which repeats the run:
 *
 *   {"program": "convlstm", "version": "0.1.0", "command": "train",
 *    "options": {"hidden": 64, "lr": 0.001953125, "no-shuffle": true, "out": "runs/a", ...},
 *    "data": {"sha256": "..."}, "machine": {...}, "compiler": {...}}
 *
 * "options" is read, and "data" when a run goes on. Options that were not given and have no default
 * are left out. */
#ifndef MODELS_PROGRAM_CONFIG_H
#define MODELS_PROGRAM_CONFIG_H

#include "models/program/options.h"

/* Sets the options that `path` has; those of other commands of the program are left out. Texts stay
 * until the process ends. Anything wrong in the file is reported with its name: EXIT_CODE_INPUT. */
exit_code config_read(const program *p, const command *c, const char *path, void *settings);

/* DIR/config.json into path; false if there is none, or the name is too long. */
bool config_path(const char *dir, char *path, size_t size);

/* Compares the settings with DIR/config.json, if that exists. An option that differs and is not in
 * may_differ ("steps|epochs|...") is reported by name: EXIT_CODE_USAGE. */
exit_code config_compare(const command *c, const char *dir, const void *settings,
                         const char *may_differ);

/* Compares the SHA-256 of the data with that in DIR/config.json, if there is one: other data are
 * reported with both, EXIT_CODE_USAGE. */
exit_code config_compare_data(const char *dir, const char *data);

/* The text of a config.json; data: the SHA-256 of what is trained on, NULL if unknown. The caller
 * frees it; NULL: no memory. */
char *config_text(const program *p, const command *c, const void *settings, const char *data);

/* The text for a training run of this command in `dir`, which has what its first call was given:
 * --out is dir, and --resume (command.config_of) and --profile, which are of one call, are left
 * out. settings (bytes) stay as they are. */
char *config_of_run(const program *p, const char *name, const void *settings, size_t bytes,
                    const char *dir, const char *data);

#endif
