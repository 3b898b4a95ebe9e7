/* srivastava2015 predict: pictures of what a run has learnt. Conditional decoders read what they
 * wrote. */
#include <stdio.h>

#include "models/srivastava2015/pictures.h"
#include "models/srivastava2015/settings.h"

static wf_status predict(const settings *s, const char *dir, const clips *c) {
    srivastava_program shown = {.program = NULL};
    const srivastava_size size = {clips_frames(c), s->samples, clips_size(c)};
    srivastava_opt o = network_of(s);
    char path[4096 + 32];
    snprintf(path, sizeof path, "%.4096s/best.safetensors", dir);
    o.generates = true;
    wf_params *p = wf_params_new(0);
    wf_status status = p ? WF_OK : wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = srivastava_predictor(&shown, p, size, o, compile_options(s));
    if (!status) status = wf_params_load(p, path);
    if (!status) status = clips_whole(c, NULL, test_first(s), s->samples, shown.clips);
    if (!status) status = wf_run(shown.program);
    if (!status && s->gif) status = pictures_gif(&shown, s->past, s->gif, (int)s->scale);
    if (!status && s->png) status = pictures_png(&shown, s->past, s->png, 1);
    srivastava_program_free(&shown);
    wf_params_free(p);
    return status;
}

exit_code command_predict(const void *settings_given) {
    settings s = *(const settings *)settings_given;
    clips *c = NULL;
    if (s.runs.n != 1)
        return report_error(EXIT_CODE_USAGE, "%d folders of runs are given; give one", s.runs.n);
    if (!s.gif && !s.png)
        return report_error(EXIT_CODE_USAGE, "--gif FILE or --png FILE is needed; see --help");
    exit_code code = settings_of_run(&s, s.runs.name[0]);
    if (!code) code = open_test_clips(&c, &s, s.samples);
    if (code) return code;
    const wf_status status = predict(&s, s.runs.name[0], c);
    clips_close(c);
    if (status) return report_failure(status);
    report_progress("%lld clips are in %s%s%s", (long long)s.samples, s.gif ? s.gif : s.png,
                    s.gif && s.png ? " and " : "", s.gif && s.png ? s.png : "");
    return EXIT_CODE_OK;
}
