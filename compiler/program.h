/* The program's struct, for the files of compiler/ and white-box tests. */
#ifndef WEFT_PROGRAM_H
#define WEFT_PROGRAM_H

#include "compiler/memory.h"
#include "compiler/profile.h"
#include "compiler/recompute.h"

/* A buffer that the user sees. A value may be two of them; the first in this order is meant. */
typedef enum wf_port_kind { WF_PORT_INPUT, WF_PORT_OUTPUT, WF_PORT_LEAF } wf_port_kind;
typedef struct wf_port {
    uint32_t id;     /* of the handle that the user has */
    wf_port_kind kind;
    char *name;      /* "" if it has none; owned */
    wf_type type;
    size_t bytes;
    uint32_t storage; /* INPUT, OUTPUT; 0 for an input that nothing needs after the passes */
    size_t spare;     /* offset in the block of such an input */
    void *data;
} wf_port;

struct wf_program {
    wf_graph *graph;    /* that handles belong to, held for its address; never followed */
    wf_stage stage;     /* after the passes: attributes and constants that launches point to */
    wf_plan plan;
    wf_recompute recompute;
    wf_port *port;      /* (n_port) by id; of equal ids by kind */
    uint32_t n_port;
    wf_region arena, buffers, scratch;
    size_t scratch_step; /* bytes of one worker's scratch */
    int threads;
    wf_profile profile; /* all zero until one is started */
};

/* ports.c: what the user can read and write by handle or name. `written`: the graph before the
 * passes and its roots. Inputs that no launch needs get room behind the plan's buffers. */
wf_status wf_ports_find(wf_program *p, const wf_stage *written, const wf_tensor *output, int n);
void wf_ports_bind(wf_program *p);
void wf_ports_free(wf_program *p);

#endif
