/* Moving averages and snapshots of all parameters; see trainer_weights.h. */
#include "nn/trainer_weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/params.h"

static size_t bytes_of(const wf_param_info *q) {
    return (size_t)wf_shape_count(&q->shape) * wf_dtype_bytes(q->dtype);
}

/* --- averages --------------------------------------------------------------------------------- */

typedef struct pair {
    wf_param_info weight, average;
} pair;

struct wf_averages {
    double decay;
    pair *pair; /* (n) */
    size_t n;
};

static bool is_averaged(const wf_param_info *q) {
    return q->role != WF_ROLE_OPTIMIZER && wf_dtype_is_real(q->dtype);
}

/* The buffers are made as those of optimiser state are: through a leaf of a graph that is not
 * kept. */
static wf_status add_pair(wf_averages *a, wf_graph *g, wf_params *p, wf_param_info q) {
    char name[WF_NAME_BYTES + 32];
    snprintf(name, sizeof name, "average.%s", q.name);
    wf_param_info average;
    const bool is_new = !wf_params_find(p, name, &average);
    wf_param_absolute(g, p, name, q.shape, (wf_init){.kind = WF_INIT_CONSTANT},
                      &(wf_param_opt){.role = WF_ROLE_OPTIMIZER, .dtype = q.dtype});
    if (wf_graph_status(g) || !wf_params_find(p, name, &average))
        return wf_fail(WF_MEMORY, "no memory for the moving average of \"%s\"", q.name);
    if (is_new) memcpy(average.data, q.data, bytes_of(&q));
    a->pair[a->n++] = (pair){q, average};
    return WF_OK;
}

wf_status wf_averages_new(wf_averages **out, wf_params *p, double decay) {
    const size_t n = wf_params_count(p);
    *out = NULL;
    wf_graph *g = wf_graph_new();
    wf_averages *a = calloc(1, sizeof *a);
    if (a) a->pair = calloc(n + 1, sizeof *a->pair);
    wf_status status = WF_OK;
    if (!g || !a || !a->pair) status = wf_fail(WF_MEMORY, "no memory for moving averages");
    for (size_t i = 0; i < n && !status; i++) {
        const wf_param_info q = wf_params_at(p, i);
        if (is_averaged(&q)) status = add_pair(a, g, p, q);
    }
    wf_graph_free(g);
    if (status) {
        wf_averages_free(a);
        return status;
    }
    a->decay = decay;
    *out = a;
    return WF_OK;
}

void wf_averages_free(wf_averages *a) {
    if (a) free(a->pair);
    free(a);
}

void wf_averages_add(wf_averages *a, int64_t step) {
    const double early = (double)step / ((double)step + 9);
    const double keep = a->decay < early ? a->decay : early, add = 1 - keep;
    for (size_t k = 0; k < a->n; k++) {
        const int64_t n = wf_shape_count(&a->pair[k].weight.shape);
        const void *weight = a->pair[k].weight.data;
        void *average = a->pair[k].average.data;
        if (a->pair[k].weight.dtype == WF_F32)
            for (int64_t i = 0; i < n; i++)
                ((float *)average)[i] = (float)keep * ((float *)average)[i] +
                                        (float)add * ((const float *)weight)[i];
        else
            for (int64_t i = 0; i < n; i++)
                ((double *)average)[i] =
                    keep * ((double *)average)[i] + add * ((const double *)weight)[i];
    }
}

void wf_averages_swap(wf_averages *a) {
    char kept[4096];
    for (size_t k = 0; k < a->n; k++) {
        char *x = a->pair[k].weight.data, *y = a->pair[k].average.data;
        size_t left = bytes_of(&a->pair[k].weight);
        while (left > 0) {
            const size_t n = left < sizeof kept ? left : sizeof kept;
            memcpy(kept, x, n);
            memcpy(x, y, n);
            memcpy(y, kept, n);
            x += n;
            y += n;
            left -= n;
        }
    }
}

void wf_averages_reset(wf_averages *a) {
    for (size_t k = 0; k < a->n; k++)
        memcpy(a->pair[k].average.data, a->pair[k].weight.data, bytes_of(&a->pair[k].weight));
}

const char *wf_weights_not_finite(const wf_params *p) {
    for (size_t i = 0; i < wf_params_count(p); i++) {
        const wf_param_info q = wf_params_at(p, i);
        if (q.role != WF_ROLE_PARAM || !wf_dtype_is_real(q.dtype)) continue;
        const int64_t n = wf_shape_count(&q.shape);
        for (int64_t k = 0; k < n; k++)
            if (q.dtype == WF_F32 ? !isfinite(((const float *)q.data)[k])
                                  : !isfinite(((const double *)q.data)[k]))
                return q.name;
    }
    return NULL;
}

void wf_optimizer_forget(wf_params *p) {
    static const char prefix[] = "optimizer.";
    for (size_t i = 0; i < wf_params_count(p); i++) {
        const wf_param_info q = wf_params_at(p, i);
        if (!strncmp(q.name, prefix, sizeof prefix - 1)) memset(q.data, 0, bytes_of(&q));
    }
}

/* --- snapshots -------------------------------------------------------------------------------- */

struct wf_snapshot {
    wf_param_info *info; /* (n) */
    char **copy;         /* (n) */
    size_t n;
};

wf_status wf_snapshot_new(wf_snapshot **out, wf_params *p) {
    const size_t n = wf_params_count(p);
    *out = NULL;
    wf_snapshot *s = calloc(1, sizeof *s);
    if (s) s->info = calloc(n + 1, sizeof *s->info);
    if (s) s->copy = calloc(n + 1, sizeof *s->copy);
    bool whole = s && s->info && s->copy;
    for (size_t i = 0; i < n && whole; i++) {
        s->info[i] = wf_params_at(p, i);
        s->copy[i] = malloc(bytes_of(&s->info[i]) + 1);
        s->n = i + 1;
        whole = s->copy[i] != NULL;
    }
    if (!whole) {
        wf_snapshot_free(s);
        return wf_fail(WF_MEMORY, "no memory for a copy of the parameters");
    }
    *out = s;
    return WF_OK;
}

void wf_snapshot_free(wf_snapshot *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) free(s->copy[i]);
    free(s->copy);
    free(s->info);
    free(s);
}

void wf_snapshot_take(wf_snapshot *s) {
    for (size_t i = 0; i < s->n; i++) memcpy(s->copy[i], s->info[i].data, bytes_of(&s->info[i]));
}

void wf_snapshot_restore(wf_snapshot *s) {
    for (size_t i = 0; i < s->n; i++) memcpy(s->info[i].data, s->copy[i], bytes_of(&s->info[i]));
}
