/* A bounded set of programs by key, least recently used first out.
 *
 * Invariants: slot[0 .. n) have distinct keys and each holds a program; `used` is larger the later
 * a slot was asked for. The set is small, so it is searched from end to end. */
#include "compiler/function.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_OUTPUTS = 64 };

typedef struct slot {
    wf_shape key;
    wf_program *program;
    uint64_t used;
} slot;

struct wf_function {
    wf_function_build *build;
    void *user;
    wf_function_opt o;
    slot *slot; /* (o.max_programs) */
    int n;
    uint64_t clock;
    wf_function_info info;
};

wf_status wf_function_new(wf_function **out, wf_function_build *build, void *user,
                          wf_function_opt o) {
    if (o.max_programs == 0) o.max_programs = 8;
    if (out) *out = NULL;
    if (!out || !build || o.max_programs < 1)
        return wf_fail(WF_ARGUMENT, "wf_function_new: out and build must be given, and "
                                    "max_programs (%d) positive", o.max_programs);
    wf_function *f = calloc(1, sizeof *f);
    slot *s = calloc((size_t)o.max_programs, sizeof *s);
    if (!f || !s) {
        free(f);
        free(s);
        return wf_fail(WF_MEMORY, "out of memory for a function of %d programs", o.max_programs);
    }
    *f = (wf_function){.build = build, .user = user, .o = o, .slot = s};
    *out = f;
    return WF_OK;
}

void wf_function_free(wf_function *f) {
    if (!f) return;
    for (int i = 0; i < f->n; i++) wf_program_free(f->slot[i].program);
    free(f->slot);
    free(f);
}

static wf_status compile(wf_function *f, wf_shape key, wf_program **out) {
    wf_tensor outputs[MAX_OUTPUTS];
    char text[128];
    wf_graph *g = wf_graph_new();
    if (!g) return wf_fail(WF_MEMORY, "out of memory for a graph");
    const int n = f->build(f->user, g, key, outputs, MAX_OUTPUTS);
    wf_status s = wf_graph_status(g);
    if (!s && n > MAX_OUTPUTS)
        s = wf_fail(WF_ARGUMENT, "wf_function: %d outputs for %s, at most %d", n,
                    wf_shape_text(&key, text, sizeof text), MAX_OUTPUTS);
    if (!s && n < 0)
        s = *wf_error() ? WF_MODEL
                        : wf_fail(WF_MODEL, "wf_function: the model refused %s",
                                  wf_shape_text(&key, text, sizeof text));
    if (!s) s = wf_compile(out, g, outputs, n, f->o.compile);
    wf_graph_free(g);
    return s;
}

/* The slot for one more program: a free one, or the one used longest ago, emptied. */
static slot *make_room(wf_function *f) {
    if (f->n < f->o.max_programs) return &f->slot[f->n++];
    slot *oldest = &f->slot[0];
    for (int i = 1; i < f->n; i++)
        if (f->slot[i].used < oldest->used) oldest = &f->slot[i];
    wf_program_free(oldest->program);
    f->info.dropped++;
    return oldest;
}

wf_status wf_function_program(wf_function *f, wf_shape key, wf_program **out) {
    if (out) *out = NULL;
    if (!f || !out || key.rank < 0 || key.rank > WF_MAX_RANK)
        return wf_fail(WF_ARGUMENT, "wf_function_program: f, out and a key of rank 0 to %d must be "
                                    "given", WF_MAX_RANK);
    slot *s = NULL;
    for (int i = 0; i < f->n && !s; i++)
        if (wf_shape_equal(&f->slot[i].key, &key)) s = &f->slot[i];
    if (s) {
        f->info.found++;
    } else {
        wf_program *p;
        const wf_status status = compile(f, key, &p);
        if (status) return status;
        f->info.compiled++;
        s = make_room(f);
        *s = (slot){.key = key, .program = p};
    }
    s->used = ++f->clock;
    *out = s->program;
    return WF_OK;
}

/* The buffer of argument a in p; NULL after a message. */
static void *find(wf_program *p, const wf_argument *a) {
    size_t bytes = 0;
    void *data = wf_data_named(p, a->name, &bytes);
    if (!data) return NULL;
    if (a->data && bytes == a->bytes) return data;
    wf_fail(WF_ARGUMENT, "wf_function_run: \"%s\" has %zu bytes, %zu are given at %p", a->name,
            bytes, a->bytes, a->data);
    return NULL;
}

wf_status wf_function_run(wf_function *f, wf_shape key, const wf_argument *in, int n_in,
                          const wf_argument *out, int n_out) {
    wf_program *p;
    wf_status s = wf_function_program(f, key, &p);
    if (s) return s;
    for (int i = 0; i < n_out; i++)
        if (!find(p, &out[i])) return WF_ARGUMENT;
    for (int i = 0; i < n_in; i++) {
        void *to = find(p, &in[i]);
        if (!to) return WF_ARGUMENT;
        memcpy(to, in[i].data, in[i].bytes);
    }
    s = wf_run(p);
    for (int i = 0; i < n_out && !s; i++) memcpy(out[i].data, find(p, &out[i]), out[i].bytes);
    return s;
}

wf_function_info wf_function_describe(const wf_function *f) {
    wf_function_info info = f ? f->info : (wf_function_info){0};
    if (f) info.programs = f->n;
    return info;
}
