/* convlstm: trains, evaluates and shows the ConvLSTM next-frame predictor. Options and commands are
 * tables in settings.c. */
#include "models/convlstm/settings.h"

int main(int argc, char **argv) {
    settings s;
    return program_main(&convlstm_program_table, argc, argv, &s, sizeof s);
}
