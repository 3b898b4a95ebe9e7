/* The trainer: what every training loop has, so that a model file holds only its model. One struct
 * says what to do, wf_trainer_run does it, callbacks tell how it goes; nothing is printed.
 *
 *   a step       the next batch into the program's inputs, the learning rate into its input "lr" if
 *                it has one, wf_run, loss and gradient norm looked at
 *   validation   every epoch or every N steps; its metric, smaller is better, drives the schedule
 *                (plateau), early stopping and the best weights
 *   saving       checkpoints (nn/checkpoint.h) and state_dict files in a folder
 *
 * A run that was killed at any moment and resumed gives the same weights, callbacks and files, bit
 * for bit, as one that was not: its state is in the checkpoint, and everything else is a function
 * of options and data. Clipping, weight decay and the rule of descent are part of the program (see
 * the optimisers in nn.h).
 *
 * Invariants
 *   - Weights that are not finite are never saved.
 *   - What is saved at the end of the last, incomplete epoch is what a longer run has there: the
 *     validation that follows it is not part of the state. */
#ifndef WEFT_TRAINER_H
#define WEFT_TRAINER_H

#include "nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a run is. Steps and epochs are counted from 1 once they are done. */
typedef struct wf_trainer_at {
    int64_t step, steps;       /* done, to do in all */
    int64_t epoch;             /* the one that the last step belongs to */
    int64_t epoch_step, epoch_steps; /* steps of it done, steps it has */
    double loss, norm, lr;     /* of the last step; norm NaN where the program has none */
    double metric, best;       /* of the last validation (NaN before), the least of all */
    bool is_best;              /* the last validation was the best */
    double step_s, wait_s;     /* the last step; how much of it was waiting for data */
} wf_trainer_at;

/* All may be NULL. A status that is not WF_OK ends the run with it. */
typedef struct wf_trainer_callbacks {
    /* The metric of the weights as they are. Running statistics may be changed, weights not. */
    wf_status (*validate)(void *user, const wf_trainer_at *at, double *metric);
    wf_status (*step)(void *user, const wf_trainer_at *at);
    wf_status (*epoch)(void *user, const wf_trainer_at *at); /* after each validation */
    /* Before a checkpoint is written: logs are flushed, `state` gets its values. */
    wf_status (*save)(void *user, const wf_trainer_at *at);
    /* Before the first step. resumed: `state` holds what was saved; at->step is 0 if nothing
     * was. */
    wf_status (*start)(void *user, const wf_trainer_at *at, bool resumed);
    void (*message)(void *user, const char *line); /* what people should know */
    bool (*stop)(void *user); /* asked after every step: true saves and ends the run */
} wf_trainer_callbacks;

typedef struct wf_trainer {
    /* what is trained */
    wf_params *params;
    wf_program *program;       /* a step; its inputs are named as the parts of `data` */
    const char *loss, *norm;   /* names of outputs, real scalars; NULL: "loss", "grad_norm", the
                                  latter need not exist */
    /* the data; the batch size is that of the program's inputs */
    const wf_source *data;
    bool more_inputs;          /* the program has others, which the caller writes; without this
                                  inputs that nobody fills are a mistake */
    uint64_t seed;             /* of the order */
    bool in_order;
    int64_t shard, shards;
    /* how long: at most this many steps (0: any number) and epochs (0: any number), not both 0 */
    int64_t steps, epochs;
    wf_schedule schedule;      /* kind, lr, ...; PLATEAU hears of every validation; total 0: the
                                  steps of the run */
    int64_t validate_every;    /* steps; 0: after every epoch */
    int64_t patience;          /* stop after so many validations without a new best; 0: never */
    double collapse;           /* > 0: after a validation with more than this many times the best
                                  metric, go on from best.safetensors with fresh optimiser state
                                  and half the rate; needs dir */
    double average;            /* > 0: validate, and save as best and last, the exponential moving
                                  average of the weights: each step keeps this much, e.g. 0.999 */
    /* saving */
    const char *dir;           /* exists; NULL: nothing is saved */
    int64_t save_every;        /* steps between checkpoints; 0: only at validations and the end */
    bool resume;               /* go on from dir's checkpoint; without: remove what is there */
    const wf_state *state;     /* more values to save and load */
    size_t n_state;
    /* looking for the operation that a NaN or infinity comes from */
    wf_graph *graph;           /* the program's; NULL: do not. Costs a copy of the weights a step */
    wf_compile_opt compile;    /* for this search */
    wf_trainer_callbacks on;
    void *user;
} wf_trainer;

typedef enum wf_trainer_end {
    WF_TRAINER_DONE,     /* all steps */
    WF_TRAINER_EARLY,    /* no new best for `patience` validations */
    WF_TRAINER_STOPPED,  /* the stop callback said so */
} wf_trainer_end;

typedef struct wf_trainer_result {
    wf_trainer_end end;
    wf_trainer_at at;
    double run_s, wait_s; /* of all steps of this call; waiting for data of them */
} wf_trainer_result;

/* Trains. Files in dir: checkpoint.safetensors, checkpoint.1.safetensors (nn/checkpoint.h),
 * best.safetensors (after the validation with the least metric; the last without validation) and
 * last.safetensors (after each validation, and at the end).
 * Errors   WF_NOT_FINITE with the step, and the operation if `graph` is given: the weights are then
 *          of no use, the files those from before. WF_ARGUMENT; those of callbacks, of the data, of
 *          running and of saving. */
WF_API wf_status wf_trainer_run(const wf_trainer *t, wf_trainer_result *result);

/* The mean of the program's real scalar output `name` over the batches of data, in their order: a
 * loss or an accuracy. Samples that fill no batch at the end are left out. The program is best one
 * that assigns nothing (wf_compile_opt.no_assign).
 * Errors   WF_ARGUMENT if inputs and data do not match or not even one batch is full; those of the
 *          data and of running. */
WF_API wf_status wf_evaluate(wf_program *program, const wf_source *data, const char *name,
                             double *mean);

#ifdef __cplusplus
}
#endif
#endif
