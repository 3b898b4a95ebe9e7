/* Changing the values of many parameters at once, outside of programs. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "nn/params.h"

int64_t wf_params_fill(wf_params *p, const char *pattern, double value) {
    int64_t n = 0;
    for (uint32_t i = 0; p && pattern && i < p->n; i++) {
        const wf_param_info *w = &p->entry[i].info;
        if (fnmatch(pattern, w->name, 0) != 0) continue;
        char *at = w->data;
        for (int64_t k = wf_shape_count(&w->shape); k > 0; k--, at += wf_dtype_bytes(w->dtype))
            wf_store(w->dtype, at, value);
        n++;
    }
    return n;
}

static void swap_bytes(char *a, char *b, size_t n) {
    char part[4096];
    for (size_t i = 0, m; i < n; i += m) {
        m = n - i < sizeof part ? n - i : sizeof part;
        memcpy(part, a + i, m);
        memcpy(a + i, b + i, m);
        memcpy(b + i, part, m);
    }
}

wf_status wf_params_swap_average(wf_params *p) {
    char name[WF_NAME_BYTES + 32];
    wf_param_info step, average;
    if (!wf_params_find(p, "optimizer.step", &step) || wf_load(step.dtype, step.data) == 0)
        return wf_fail(WF_ARGUMENT, "wf_params_swap_average: there are no averages before the "
                                    "first step of an optimiser with .average");
    int64_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const wf_param_info *w = &p->entry[i].info;
        snprintf(name, sizeof name, "optimizer.average.%s", w->name);
        if (w->role != WF_ROLE_PARAM || !wf_params_find(p, name, &average)) continue;
        swap_bytes(w->data, average.data, p->entry[i].bytes);
        n++;
    }
    if (n) return WF_OK;
    return wf_fail(WF_ARGUMENT, "wf_params_swap_average: no averages are kept; set .average of the "
                                "optimiser");
}
