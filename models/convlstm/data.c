/* convlstm data: clips made from digits, written as one file in the official layout. */
#include "models/convlstm/settings.h"

exit_code command_data(const void *settings_given) {
    settings s = *(const settings *)settings_given;
    s.clips = s.count;
    clips *made;
    exit_code code = open_clips(&made, &s);
    if (code) return code;
    const wf_status status = clips_save(made, s.out);
    clips_close(made);
    if (status) return report_failure(status);
    report_progress("%lld clips are in %s", (long long)s.count, s.out);
    return EXIT_CODE_OK;
}
