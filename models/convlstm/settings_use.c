/* What the options of convlstm come to: clips and their parts, the config of a run and what may
 * differ from it, how programs are compiled. */
#include <string.h>

#include "models/convlstm/settings.h"
#include "models/program/computing.h"
#include "models/program/config.h"

exit_code open_clips(clips **out, const settings *s) {
    *out = NULL;
    if (s->npy && s->mnist)
        return report_error(EXIT_CODE_USAGE, "--npy and --mnist exclude each other");
    const wf_status status = clips_open(out, (clips_opt){
        .npy = s->npy, .mnist = s->mnist, .split = s->split, .count = s->clips,
        .seed = (uint64_t)s->seed, .size = s->size, .frames = s->frames});
    return status ? report_failure(status) : EXIT_CODE_OK;
}

wf_status part_of_clips(parts *cut, const clips *c, const settings *s, const int64_t **index,
                        int64_t *n) {
    if (!s->splits && strcmp(s->part, "all"))
        return wf_fail(WF_ARGUMENT, "--part %s: --splits A,B,C is needed too", s->part);
    const wf_status status =
        parts_cut(cut, clips_count(c), s->splits, 0, s->splits != NULL, (uint64_t)s->seed);
    if (status) return status;
    *index = parts_of(cut, s->part, n);
    if (*n == 0)
        return wf_fail(WF_ARGUMENT, "--part %s: --splits %s leaves no clip for it", s->part,
                       s->splits);
    return WF_OK;
}

exit_code settings_of_run(const char *name, const settings *s, const char *dir) {
    return config_compare(program_command(&convlstm_program_table, name), dir, s,
                          "steps|epochs|threads|log-every|save-every|detect-anomaly|profile|"
                          "resume|out");
}

exit_code clips_of_run(const clips *c, const char *dir) {
    char hash[CLIPS_HASH];
    clips_hash(c, hash);
    return config_compare_data(dir, hash);
}

/* A run that goes on has the options of the first call, whose folder it was given as --resume. */
char *settings_text(const char *name, const settings *given, const char *data) {
    return config_of_run(&convlstm_program_table, name, given, sizeof *given,
                         given->resume ? given->resume : given->out, data);
}

wf_compile_opt compile_options(const settings *s) {
    return computing_options(s->threads, s->precision);
}
