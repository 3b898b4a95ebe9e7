/* Parity tests: numbers that PyTorch recorded (record.py), and the closed forms that inputs and
 * weights have on both sides. */
#ifndef TESTS_PARITY_H
#define TESTS_PARITY_H

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "nn/nn.h"

/* The recorded arrays; opened once, freed by the operating system. */
static inline const wf_safetensors *recorded_file(void) {
    static const char path[] = "tests/parity/recorded.safetensors";
    static wf_safetensors *file;
    if (!file && wf_safetensors_open(&file, path))
        cr_assert_fail("%s (tests run in the repository root)", wf_error());
    return file;
}

static inline const wf_named *recorded(const char *name) {
    const wf_named *t = wf_safetensors_find(recorded_file(), name);
    cr_assert(t, "%s is not recorded; run tests/parity/record.py", name);
    return t;
}

static inline double recorded_value(const char *name, int64_t i) {
    const wf_named *t = recorded(name);
    cr_assert(i < wf_shape_count(&t->shape), "%s has no element %lld", name, (long long)i);
    return wf_load(t->dtype, (const char *)t->data + (size_t)i * wf_dtype_bytes(t->dtype));
}

/* 0.5 sin(0.7 i + phase of the name); 1 + half of that for names that end in running_var. */
static inline double closed(const char *name, int64_t i) {
    static const char suffix[] = "running_var";
    const size_t n = strlen(name), tail = sizeof suffix - 1;
    int64_t sum = 0;
    for (const char *c = name; *c; c++) sum += (unsigned char)*c;
    const double v = 0.5 * sin(0.7 * (double)i + (double)(sum % 97));
    return n >= tail && strcmp(name + n - tail, suffix) == 0 ? 1 + 0.5 * v : v;
}

static inline void fill_closed(const char *name, wf_dtype dtype, int64_t n, void *data) {
    for (int64_t i = 0; i < n; i++)
        wf_store(dtype, (char *)data + (size_t)i * wf_dtype_bytes(dtype), closed(name, i));
}

/* |a - b| / |b| (Euclidean) of an array against a recorded one of as many elements. */
static inline double distance(const char *name, wf_dtype dtype, int64_t n, const void *data) {
    const wf_named *t = recorded(name);
    cr_assert(wf_shape_count(&t->shape) == n, "%s: %lld elements recorded, %lld given", name,
              (long long)wf_shape_count(&t->shape), (long long)n);
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        const double b = wf_load(t->dtype, (const char *)t->data + i * 8);
        const double a = wf_load(dtype, (const char *)data + (size_t)i * wf_dtype_bytes(dtype));
        off += (a - b) * (a - b);
        all += b * b;
    }
    return sqrt(off / (all > 0 ? all : 1));
}

static inline void expect_recorded(const char *name, wf_dtype dtype, int64_t n, const void *data) {
    const double d = distance(name, dtype, n, data), most = dtype == WF_F64 ? 1e-11 : 5e-6;
    cr_assert(d <= most, "%s in %s: relative distance %.2g, at most %.2g", name,
              wf_dtype_name(dtype), d, most);
}

/* Fills all parameters and state of p by closed(their names), counters with `count`. */
static inline void fill_params(wf_params *p, int64_t count) {
    for (size_t i = 0; i < wf_params_count(p); i++) {
        const wf_param_info w = wf_params_at(p, i);
        if (w.role == WF_ROLE_OPTIMIZER) continue;
        if (w.dtype == WF_I64) *(int64_t *)w.data = count;
        else fill_closed(w.name, w.dtype, wf_shape_count(&w.shape), w.data);
    }
}

#endif
