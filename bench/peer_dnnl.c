/* Versions 2 and 3 of oneDNN's C interface differ in how memory and convolutions are described; the
 * first part hides that. Everything here is called with fixed shapes, so the only error is "no such
 * convolution". */
#include "bench/peer_dnnl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_include)
#if __has_include(<oneapi/dnnl/dnnl.h>)
#define HAVE_DNNL 1
#endif
#endif

#ifndef HAVE_DNNL
const char *peer_dnnl_name(void) { return "absent: apt install libdnnl-dev"; }
peer_conv *peer_conv_new(const conv_shape *s, conv_direction d, const char *mode, const float *x,
                         const float *w, const float *dy) {
    return NULL;
}
void peer_conv_run(void *conv) {}
bool peer_conv_read(peer_conv *conv, float *out) { return false; }
void peer_conv_free(peer_conv *conv) {}
#else
#include <oneapi/dnnl/dnnl.h>

#include "bench/bench.h"

/* --- two versions of the interface ------------------------------------------------------------ */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t describe;
typedef const_dnnl_memory_desc_t description;
static bool describe_as(describe *d, int rank, const int64_t *dim, dnnl_data_type_t type,
                        dnnl_format_tag_t tag) {
    return dnnl_memory_desc_create_with_tag(d, rank, dim, type, tag) == dnnl_success;
}
static void forget(describe *d) { dnnl_memory_desc_destroy(*d); }
static description described(const describe *d) { return *d; }
#else
typedef dnnl_memory_desc_t describe;
typedef const dnnl_memory_desc_t *description;
static bool describe_as(describe *d, int rank, const int64_t *dim, dnnl_data_type_t type,
                        dnnl_format_tag_t tag) {
    return dnnl_memory_desc_init_by_tag(d, rank, dim, type, tag) == dnnl_success;
}
static void forget(describe *d) {}
static description described(const describe *d) { return d; }
#endif

typedef struct window {
    dnnl_dims_t stride, dilation, pad;
} window;

static dnnl_engine_t engine;
static dnnl_stream_t stream;

/* m: x, w, y. hint: the forward convolution, or NULL. */
static dnnl_primitive_desc_t choose(conv_direction d, dnnl_alg_kind_t alg, const describe m[3],
                                    const window *o, const_dnnl_primitive_desc_t hint) {
    dnnl_primitive_desc_t pd = NULL;
    const description x = described(&m[0]), w = described(&m[1]), y = described(&m[2]);
#if DNNL_VERSION_MAJOR >= 3
    if (d == CONV_FORWARD)
        dnnl_convolution_forward_primitive_desc_create(&pd, engine, dnnl_forward_training, alg, x,
                                                       w, NULL, y, o->stride, o->dilation, o->pad,
                                                       o->pad, NULL);
    else if (d == CONV_DATA)
        dnnl_convolution_backward_data_primitive_desc_create(
            &pd, engine, alg, x, w, y, o->stride, o->dilation, o->pad, o->pad, hint, NULL);
    else
        dnnl_convolution_backward_weights_primitive_desc_create(
            &pd, engine, alg, x, w, NULL, y, o->stride, o->dilation, o->pad, o->pad, hint, NULL);
#else
    dnnl_convolution_desc_t c;
    dnnl_status_t status;
    if (d == CONV_FORWARD)
        status = dnnl_dilated_convolution_forward_desc_init(&c, dnnl_forward_training, alg, x, w,
                                                            NULL, y, o->stride, o->dilation,
                                                            o->pad, o->pad);
    else if (d == CONV_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &c, alg, x, w, y, o->stride, o->dilation, o->pad, o->pad);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &c, alg, x, w, NULL, y, o->stride, o->dilation, o->pad, o->pad);
    if (status == dnnl_success) dnnl_primitive_desc_create(&pd, &c, NULL, engine, hint);
#endif
    return pd;
}

/* --- one convolution -------------------------------------------------------------------------- */

enum { X, W, Y };

struct peer_conv {
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3];
    dnnl_exec_arg_t arg[3];
    int64_t dim[3][5];
    int rank[3];
    conv_direction direction;
    double once; /* seconds of a run, for the choice of the fastest */
};

/* What a direction writes. */
static int result_of(conv_direction d) {
    return d == CONV_FORWARD ? Y : d == CONV_DATA ? X : W;
}

static bool start(void) {
    if (stream) return true;
    if (wf_isa_get() == WF_ISA_AVX2) dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    if (wf_isa_get() == WF_ISA_SCALAR) dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
    return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success &&
           dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
}

const char *peer_dnnl_name(void) {
    static char name[64];
    const dnnl_version_t *v = dnnl_version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return name;
}

/* Between f32 at `plain` in the layout of conv_shape.h and operand i. */
static bool reorder(peer_conv *c, int i, float *plain, bool read) {
    describe d;
    dnnl_memory_t outer = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t p = NULL;
    const bool groups = c->rank[i] == 5;
    bool ok = describe_as(&d, c->rank[i], c->dim[i], dnnl_f32, groups ? dnnl_abdec : dnnl_acdb);
    if (!ok) return false;
    description inner = NULL;
    ok = dnnl_memory_get_memory_desc(c->memory[i], &inner) == dnnl_success &&
         dnnl_memory_create(&outer, described(&d), engine, plain) == dnnl_success &&
         dnnl_reorder_primitive_desc_create(&pd, read ? inner : described(&d), engine,
                                            read ? described(&d) : inner, engine,
                                            NULL) == dnnl_success &&
         dnnl_primitive_create(&p, pd) == dnnl_success;
    const dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, read ? c->memory[i] : outer},
                                   {DNNL_ARG_TO, read ? outer : c->memory[i]}};
    ok = ok && dnnl_primitive_execute(p, stream, 2, arg) == dnnl_success &&
         dnnl_stream_wait(stream) == dnnl_success;
    if (p) dnnl_primitive_destroy(p);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (outer) dnnl_memory_destroy(outer);
    forget(&d);
    return ok;
}

void peer_conv_run(void *conv) {
    peer_conv *c = conv;
    dnnl_primitive_execute(c->primitive, stream, 3, c->arg);
    dnnl_stream_wait(stream);
}

bool peer_conv_read(peer_conv *c, float *out) {
    return reorder(c, result_of(c->direction), out, true);
}

void peer_conv_free(peer_conv *c) {
    if (!c) return;
    for (int i = 0; i < 3; i++)
        if (c->memory[i]) dnnl_memory_destroy(c->memory[i]);
    if (c->primitive) dnnl_primitive_destroy(c->primitive);
    free(c);
}

/* With operands in the layout `tag` (weights always as oneDNN likes them). */
static peer_conv *make(const conv_shape *s, conv_direction d, bool bf16, dnnl_format_tag_t tag,
                       const float *const plain[3]) {
    peer_conv *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    const int oh = conv_out(s, s->height), ow = conv_out(s, s->width), g = s->groups;
    *c = (peer_conv){
        .direction = d, .rank = {4, g > 1 ? 5 : 4, 4},
        .dim = {{s->batch, s->channels, s->height, s->width}, {0}, {s->batch, s->filters, oh, ow}}};
    const int64_t grouped[] = {g, s->filters / g, s->channels / g, s->kernel, s->kernel};
    memcpy(c->dim[W], g > 1 ? grouped : grouped + 1, (size_t)c->rank[W] * sizeof *grouped);
    if (g == 1) c->dim[W][0] = s->filters;
    const window o = {{s->stride, s->stride}, {0, 0}, {s->pad, s->pad}};
    describe m[3], forward[3];
    const dnnl_data_type_t type = bf16 ? dnnl_bf16 : dnnl_f32;
    bool ok = true;
    for (int i = 0; i < 3; i++) {
        const dnnl_data_type_t own = i == W && d == CONV_WEIGHT ? dnnl_f32 : type;
        const dnnl_format_tag_t t = i == W ? dnnl_format_tag_any : tag;
        ok = describe_as(&m[i], c->rank[i], c->dim[i], own, t) && ok;
        ok = describe_as(&forward[i], c->rank[i], c->dim[i], type, t) && ok;
    }
    const dnnl_primitive_desc_t hint =
        d == CONV_FORWARD || !ok ? NULL
                                 : choose(CONV_FORWARD, dnnl_convolution_direct, forward, &o, NULL);
    const dnnl_primitive_desc_t pd =
        ok ? choose(d, dnnl_convolution_direct, m, &o, hint) : NULL;
    ok = pd && dnnl_primitive_create(&c->primitive, pd) == dnnl_success;
    static const int arg[3][3] = {
        [CONV_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        [CONV_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        [CONV_WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};
    for (int i = 0; i < 3 && ok; i++) {
        const description md = dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, arg[d][i]);
        ok = dnnl_memory_create(&c->memory[i], md, engine, DNNL_MEMORY_ALLOCATE) == dnnl_success;
        c->arg[i] = (dnnl_exec_arg_t){arg[d][i], c->memory[i]};
        if (ok && i != result_of(d)) ok = reorder(c, i, (float *)plain[i], false);
    }
    for (int i = 0; i < 3; i++) {
        forget(&m[i]);
        forget(&forward[i]);
    }
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (hint) dnnl_primitive_desc_destroy(hint);
    if (ok) return c;
    peer_conv_free(c);
    return NULL;
}

static void time_once(peer_conv *c) {
    peer_conv_run(c);
    for (int i = 0; i < 4; i++) {
        const double from = bench_now();
        peer_conv_run(c);
        const double s = bench_now() - from;
        if (i == 0 || s < c->once) c->once = s;
    }
}

peer_conv *peer_conv_new(const conv_shape *s, conv_direction d, const char *mode, const float *x,
                         const float *w, const float *dy) {
    static const dnnl_format_tag_t tag[] = {dnnl_format_tag_any, dnnl_acdb};
    const float *const plain[] = {x, w, dy};
    peer_conv *best = NULL;
    for (int i = 0; i < 2 && start(); i++) {
        peer_conv *c = make(s, d, strcmp(mode, "bf16") == 0, tag[i], plain);
        if (!c) continue;
        time_once(c);
        if (best && best->once <= c->once) {
            peer_conv_free(c);
            continue;
        }
        peer_conv_free(best);
        best = c;
    }
    return best;
}
#endif
