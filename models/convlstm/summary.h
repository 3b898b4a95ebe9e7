/* The table of the network: layers with output, parameters and work; the step's work and memory. */
#ifndef MODELS_CONVLSTM_SUMMARY_H
#define MODELS_CONVLSTM_SUMMARY_H

#include "models/convlstm/model.h"

/* The table as text, lines of at most 80 characters, for report_text before a run. plan: of the
 * compiled training step. The caller frees *text, which is NULL after an error. */
wf_status summary_text(char **text, convlstm_size size, const wf_program_info *plan);

#endif
