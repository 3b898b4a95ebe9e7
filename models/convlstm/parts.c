/* Cutting a set of clips; see parts.h. */
#include "models/convlstm/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/convlstm/order.h"

/* Whole numbers joined by commas, 2 or 3 of them; false for anything else. */
static bool read_splits(const char *text, int64_t size[3]) {
    size[2] = 0;
    for (int i = 0; i < 3; i++) {
        char *end;
        errno = 0;
        if (*text < '0' || *text > '9') return false;
        const long long v = strtoll(text, &end, 10);
        if (errno || v > INT32_MAX) return false;
        size[i] = v;
        if (!*end) return i > 0;
        if (*end != ',') return false;
        text = end + 1;
    }
    return false;
}

static wf_status choose_sizes(parts *p, const char *splits, double val) {
    int64_t size[3];
    if (!splits) {
        p->val = (int64_t)((double)p->n * val + 0.5);
        if (val > 0 && p->val == 0) p->val = 1;
        p->train = p->n - p->val;
        return WF_OK;
    }
    if (!read_splits(splits, size) || size[0] == 0)
        return wf_fail(WF_ARGUMENT, "--splits %s: not TRAIN,VAL,TEST, as in 7200,800,2000",
                       splits);
    if (size[0] + size[1] + size[2] > p->n)
        return wf_fail(WF_ARGUMENT, "--splits %s: %lld clips are needed, there are %lld", splits,
                       (long long)(size[0] + size[1] + size[2]), (long long)p->n);
    p->train = size[0];
    p->val = size[1];
    p->test = size[2];
    return WF_OK;
}

wf_status parts_cut(parts *p, int64_t n, const char *splits, double val, bool shuffle,
                    uint64_t seed) {
    *p = (parts){.n = n};
    const wf_status status = choose_sizes(p, splits, val);
    if (status) return status;
    p->index = malloc((size_t)(n ? n : 1) * sizeof *p->index);
    if (!p->index) return wf_fail(WF_MEMORY, "no memory for the order of %lld clips", (long long)n);
    for (int64_t i = 0; i < n; i++) p->index[i] = i;
    if (shuffle) order_shuffle(p->index, n, seed, -1);
    return WF_OK;
}

void parts_free(parts *p) {
    free(p->index);
    *p = (parts){.n = 0};
}

const int64_t *parts_of(const parts *p, const char *name, int64_t *n) {
    const bool val = !strcmp(name, "val"), test = !strcmp(name, "test");
    *n = !strcmp(name, "train") ? p->train : val ? p->val : test ? p->test : p->n;
    return p->index + (val ? p->train : test ? p->train + p->val : 0);
}
