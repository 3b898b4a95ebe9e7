/* Pictures of graphs: Graphviz' dot as a child process. It is a program of its own, so that the
 * time it takes can be limited; it is run by its arguments, without a shell. */
#ifndef MODELS_PROGRAM_DRAW_H
#define MODELS_PROGRAM_DRAW_H

#include "nn/nn.h"

/* The format that the ending of `path` asks dot for: "svg", "png", "pdf"; NULL for any other. */
const char *draw_format(const char *path);

/* Draws the DOT text in file `dot` as the picture `path`, which holds the whole picture
 * afterwards or what it held before. After `seconds` dot is killed. `path` must have a format.
 * Errors: WF_UNSUPPORTED if dot is missing, fails or is too slow; WF_INPUT, WF_OUTPUT,
 * WF_MEMORY. */
wf_status draw_dot(const char *path, const char *dot, double seconds);

#endif
