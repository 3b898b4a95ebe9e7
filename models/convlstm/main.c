/* convlstm: trains, evaluates and shows the ConvLSTM next-frame predictor. Options and commands are
 * tables in settings.c. */
#include <signal.h>

#include "models/convlstm/settings.h"

int main(int argc, char **argv) {
    /* A file-size limit is a failed write with a message, not a death. */
    signal(SIGXFSZ, SIG_IGN);
    settings s;
    return program_main(&convlstm_program_table, argc, argv, &s, sizeof s);
}
