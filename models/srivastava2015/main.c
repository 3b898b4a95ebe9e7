/* srivastava2015: trains, evaluates and shows LSTM autoencoders and predictors of video. Options
 * and commands are tables in settings.c. */
#include <signal.h>

#include "models/srivastava2015/settings.h"

int main(int argc, char **argv) {
    /* A file-size limit is a failed write with a message, not a death. */
    signal(SIGXFSZ, SIG_IGN);
    settings s;
    return program_main(&srivastava_program_table, argc, argv, &s, sizeof s);
}
