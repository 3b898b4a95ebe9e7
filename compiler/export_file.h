/* Inside the export: the arrays of the file (export_array.c), and where operands lie in them. */
#ifndef WEFT_EXPORT_FILE_H
#define WEFT_EXPORT_FILE_H

#include "compiler/export_text.h"
#include "compiler/program.h"

/* An array of the file that its user sees: a port. */
typedef struct wf_export_array {
    const wf_port *port;
    char *name;       /* with the prefix; owned */
    uint32_t storage; /* in wf_export.plan, 0: no launch needs it */
    bool alias;       /* another array has the same storage */
} wf_export_array;

typedef struct wf_export {
    const wf_program *program;
    const char *prefix;
    bool zeros;             /* leaves start as zeros */
    wf_plan plan;           /* of the program's graph, without chains */
    wf_export_array *array; /* (n_array) */
    uint32_t n_array;
    char **where;           /* (storages) its name; NULL: none, or the arena of its type */
    uint8_t *type;          /* (storages) wf_dtype of what lies in it */
    size_t arena[WF_N_DTYPE]; /* bytes */
} wf_export;

/* Names for all ports and constants; offsets in one arena for each type: memory of one type is
 * never read as another, so that the file needs no option about aliasing. */
wf_status wf_export_arrays(wf_export *e);
void wf_export_arrays_free(wf_export *e);

void wf_export_declare(const wf_export *e, FILE *f); /* macros and extern declarations */
void wf_export_define(const wf_export *e, FILE *f);  /* arrays with their values, and arenas */

/* Where operand i of the plan is, as a pointer: "net_x + 12". */
wf_ctext_expr wf_export_operand(const wf_export *e, uint32_t i);

/* export_single.c: an elementwise operation on its own as a group of one step, and its operands and
 * result over one space whose last two axes are the group's rows and columns. False if no group can
 * have it. */
bool wf_export_single(const wf_call *call, wf_group *g, wf_array a[WF_GROUP_OPERANDS]);

#endif
