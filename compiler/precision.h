/* What is stored as bf16 in bf16 mode: which of its forms each reader of an f32 value takes.
 *
 * Invariants
 *   - A form is decided an edge at a time (wf_precision_form); `want` has all forms that somebody
 *     takes. Values of other dtypes have one form, WF_FORM_FULL.
 *   - HALF and WIDE are one rounding: no value is rounded twice. */
#ifndef WEFT_PRECISION_H
#define WEFT_PRECISION_H

#include "compiler/pass.h"

enum {
    WF_FORM_FULL = 1,  /* f32, as it was computed */
    WF_FORM_HALF = 2,  /* rounded to bf16 */
    WF_FORM_WIDE = 4,  /* the bf16 as f32 again, where it is used */
    WF_FORM_AGAIN = 8, /* f32, computed again from WIDE operands */
};

typedef struct wf_forms {
    const wf_graph *g;
    const bool *marked; /* wf_precision_marks */
    uint32_t *owner; /* (nodes) through views */
    uint8_t *level;  /* (nodes) 0: the forward pass, 1: its gradient, 2: the gradient's, ... */
    uint8_t *want;   /* (nodes) forms that are read */
    bool *live;      /* (nodes) */
    bool *half;      /* (nodes) of an owner: stored as bf16 for some readers, */
    bool *only;      /* or for all: its result is bf16 */
    bool *again;     /* (nodes) later passes compute it again */
    bool *near;      /* (nodes) a reader in the same pass takes it in full */
} wf_forms;

/* Decides for the stage; `marked` stays the caller's. Errors: WF_MEMORY. */
wf_status wf_precision_choose(wf_forms *f, const wf_stage *s, const bool *marked);
void wf_forms_free(wf_forms *f);

/* The form in which node `id`, of which `mine` is wanted, reads `in`. */
uint8_t wf_precision_form(const wf_forms *f, uint32_t id, uint8_t mine, uint32_t in);

/* (nodes) The contractions and packs that are computed in the mode: those of f32 that have none
 * yet, except where a packed operand is wanted as it is, too. NULL if memory is out. Owner: the
 * caller frees. */
bool *wf_precision_marks(const wf_stage *s);

#endif
