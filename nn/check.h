/* Questions to a model before it runs. Part of nn/nn.h. */
#ifndef WEFT_NN_CHECK_H
#define WEFT_NN_CHECK_H

#include "nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What wf_check found; text in brackets. */
typedef enum wf_check_kind {
    WF_CHECK_NOT_DIFFERENTIABLE, /* a node between a parameter and the loss, at which an optimiser
                                    would refuse (scope, operation, reason) */
    WF_CHECK_NO_GRADIENT,        /* a trainable parameter of the graph that the loss does not move:
                                    it does not depend on it, or through rounding, indices or
                                    wf_stop_gradient only (name) */
    WF_CHECK_UNUSED_INPUT,       /* an input that neither loss nor assignments read (name) */
    WF_N_CHECK
} wf_check_kind;
typedef void wf_check_fn(void *user, wf_check_kind kind, const char *text);

typedef struct wf_check_report {
    int64_t found[WF_N_CHECK];
    int64_t parameters;  /* trainable elements that the graph uses */
    size_t peak_bytes;   /* planned: intermediate values, scratch, and all buffers of p */
    double flops;        /* of contractions, a run */
    uint32_t launches;   /* kernel calls a run */
} wf_check_report;

/* Checks the program that loss and the assignments of its graph make, without running it; the graph
 * is as before. Memory and work are those of the forward pass if no optimiser was called yet, of
 * the whole training step after one was. each and r may be NULL.
 * Errors: the graph's message, those of wf_compile. What is found is no error. */
WF_API wf_status wf_check(wf_params *p, wf_tensor loss, wf_check_fn *each, void *user,
                          wf_check_report *r);

#ifdef __cplusplus
}
#endif
#endif
