/* rnnlm: trains recurrent language models, compares them, and lets them write. Options and commands
 * are tables in settings.c. */
#include "models/rnnlm/settings.h"

int main(int argc, char **argv) {
    settings s;
    return program_main(&rnnlm_program, argc, argv, &s, sizeof s);
}
