/* How the network is trained: everything around its architecture that a name stands for. */
#ifndef MODELS_CONVLSTM_RECIPE_H
#define MODELS_CONVLSTM_RECIPE_H

#include "models/convlstm/settings.h"

typedef struct recipe {
    wf_schedule schedule;
    double clip;      /* of the gradient's global norm; 0: none */
    double average;   /* of the weights; see wf_trainer */
    double collapse;  /* see wf_trainer */
    int64_t patience; /* epochs without a new best until the run ends */
    bool calm;        /* first weights as calm_weights makes them */
} recipe;

/* --recipe with what --lr, --clip, --warmup, --average and --patience change about it. */
recipe recipe_of(const settings *s);

/* Changes fresh weights so that every seed starts to learn; p is that of the network. */
void calm_weights(wf_params *p);

#endif
