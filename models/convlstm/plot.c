/* convlstm plot: the curves of one or more runs in one picture. */
#include "models/convlstm/settings.h"
#include "models/program/curves.h"

exit_code command_plot(const void *settings_given) {
    const settings *s = settings_given;
    const wf_status status = curves_draw(s->runs_shown.name, s->runs_shown.n, s->out);
    if (status) return report_failure(status);
    report_progress("the curves are in %s", s->out);
    return EXIT_CODE_OK;
}
