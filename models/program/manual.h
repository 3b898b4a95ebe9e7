/* The manual page and the completions of shells, made from the tables of commands and options. */
#ifndef MODELS_PROGRAM_MANUAL_H
#define MODELS_PROGRAM_MANUAL_H

#include "models/program/options.h"

/* Prints the manual page, section 1, to stdout (roff, man macros). */
exit_code manual_print(const program *p);

/* Prints the completion script for `shell`, bash or zsh, to stdout. EXIT_CODE_USAGE for another. */
exit_code manual_print_completion(const program *p, const char *shell);

#endif
