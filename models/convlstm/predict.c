/* convlstm predict: pictures of predictions beside the truth. Every frame is predicted from the
 * true frames before it, or with --rollout from the predictions themselves. */
#include "models/convlstm/samples.h"
#include "models/convlstm/settings.h"

/* *drawn: seconds that the pictures took. */
static wf_status predict(const settings *s, const clips *source, const int64_t *index,
                         double *drawn) {
    convlstm_size size = {clips_frames(source) - 1, s->samples, clips_size(source),
                          clips_size(source), 0};
    samples shown = {.rollout = 0};
    wf_params *p = wf_params_new(0);
    wf_status status = p ? WF_OK : wf_fail(WF_MEMORY, "no memory for the parameters");
    if (!status) status = convlstm_hidden_of_file(&size.hidden, s->weights);
    if (!status) status = samples_open(&shown, p, size, source, index, compile_options(s));
    if (!status) status = wf_params_load(p, s->weights);
    if (!status) status = samples_predict(&shown, s->rollout);
    const double start = report_seconds();
    if (!status && s->gif) status = samples_gif(&shown, s->gif, (int)s->scale);
    if (!status && s->png) status = samples_png(&shown, s->png, 2);
    *drawn = report_seconds() - start;
    samples_close(&shown);
    wf_params_free(p);
    return status;
}

exit_code command_predict(const void *settings_given) {
    const settings *s = settings_given;
    clips *source;
    parts cut = {.n = 0};
    if (!s->gif && !s->png)
        return report_error(EXIT_CODE_USAGE, "--gif FILE or --png FILE is needed; see --help");
    exit_code code = open_clips(&source, s);
    if (code) return code;
    int64_t n = 0;
    const int64_t *index = NULL;
    wf_status status = part_of_clips(&cut, source, s, &index, &n);
    if (!status && s->samples > n)
        status = wf_fail(WF_ARGUMENT, "--samples %lld: there are %lld clips",
                         (long long)s->samples, (long long)n);
    double drawn = 0;
    if (!status) status = predict(s, source, index, &drawn);
    parts_free(&cut);
    clips_close(source);
    if (status) return report_failure(status);
    report_progress("%lld predictions are in %s%s%s, drawn in %.0f ms", (long long)s->samples,
                    s->gif ? s->gif : s->png, s->gif && s->png ? " and " : "",
                    s->gif && s->png ? s->png : "", drawn * 1e3);
    return EXIT_CODE_OK;
}
