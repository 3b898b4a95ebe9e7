/* Convolution and its transpose as contractions.
 *
 * One index relation ties an image position h, an output position oh and a tap kh together:
 *   h = stride * oh + dilation * kh - pad
 * conv stores x at h and gives y at oh; its transpose stores x at oh and gives y at h. Groups are a
 * loop of their own: channels are seen as (groups, channels of a group) on both sides of the
 * contraction. */
#include <stdio.h>
#include <string.h>

#include "tensor/contract.h"
#include "tensor/size.h"

typedef struct geometry {
    const char *name;
    int n_spatial;
    int64_t batch, groups;
    int64_t ci, co;                 /* channels of a group: of x, of the result */
    int64_t in[3], kernel[3], out[3];
    int64_t stride[3], dilation[3], pad[3], pad_after[3];
} geometry;

static const char *shape_of(wf_tensor t, char *buf, size_t size) {
    char s[96];
    const wf_shape shape = wf_shape_of_tensor(t);
    snprintf(buf, size, "%s%s", wf_dtype_name(wf_dtype_of(t)), wf_shape_text(&shape, s, sizeof s));
    return buf;
}

/* Reads the options; zeros become defaults. */
static bool read_options(wf_graph *g, geometry *c, wf_conv_opt o) {
    c->groups = o.groups ? o.groups : 1;
    for (int i = 0; i < c->n_spatial; i++) {
        c->stride[i] = o.stride[i] ? o.stride[i] : 1;
        c->dilation[i] = o.dilation[i] ? o.dilation[i] : 1;
        c->pad[i] = o.pad[i];
        c->pad_after[i] = o.use_pad_after ? o.pad_after[i] : o.pad[i];
        if (c->stride[i] < 1 || c->dilation[i] < 1 || c->pad[i] < 0 || c->pad_after[i] < 0) {
            wf_graph_fail(g,
                          "%s: stride %lld, dilation %lld, pad %lld and %lld on spatial axis %d; "
                          "stride and dilation must be at least 1, pad at least 0", c->name,
                          (long long)c->stride[i], (long long)c->dilation[i], (long long)c->pad[i],
                          (long long)c->pad_after[i], i);
            return false;
        }
    }
    if (c->groups < 1) {
        wf_graph_fail(g, "%s: groups is %lld; it must be at least 1", c->name,
                      (long long)c->groups);
        return false;
    }
    return true;
}

/* Ranks, dtypes and extents of x and w, except the channels. */
static bool read_operands(geometry *c, wf_tensor x, wf_tensor w) {
    wf_graph *g = x.graph;
    char xs[128], ws[128];
    const int rank = wf_rank(x);
    shape_of(x, xs, sizeof xs);
    shape_of(w, ws, sizeof ws);
    if (rank < 3 || rank > 5 || wf_rank(w) != rank) {
        wf_graph_fail(g, "%s: x %s and w %s; expected x (N, S.., C) and w (O, K.., C) with 1 to 3 "
                      "spatial axes each", c->name, xs, ws);
        return false;
    }
    if (wf_dtype_of(x) != wf_dtype_of(w) || !wf_dtype_is_real(wf_dtype_of(x))) {
        wf_graph_fail(g, "%s: x %s and w %s; expected one dtype, f32 or f64; use wf_cast",
                      c->name, xs, ws);
        return false;
    }
    c->n_spatial = rank - 2;
    c->batch = wf_dim(x, 0);
    for (int i = 0; i < c->n_spatial; i++) {
        c->in[i] = wf_dim(x, 1 + i);
        c->kernel[i] = wf_dim(w, 1 + i);
        if (c->kernel[i] < 1) {
            wf_graph_fail(g, "%s: w %s has an empty kernel", c->name, ws);
            return false;
        }
    }
    return true;
}

/* *span = dilation (kernel - 1) + 1, the image positions that a kernel touches. */
static bool kernel_span(const geometry *c, int i, int64_t *span) {
    return wf_mul_i64(c->dilation[i], c->kernel[i] - 1, span) && wf_add_i64(*span, 1, span);
}

/* x with its last axis, or w with its first, seen as (groups, rest). */
static wf_tensor split_axis(wf_tensor t, int axis, int64_t groups) {
    const wf_shape s = wf_shape_of_tensor(t);
    int64_t dim[WF_MAX_RANK];
    int n = 0;
    for (int i = 0; i < s.rank; i++) {
        if (i == axis) dim[n++] = groups;
        dim[n++] = i == axis ? s.dim[i] / groups : s.dim[i];
    }
    return wf_reshape(t, wf_shape_make(n, dim));
}

static wf_tensor merge_last(wf_tensor t) {
    wf_shape s = wf_shape_of_tensor(t);
    if (!wf_ok(t)) return t;
    int64_t dim[WF_MAX_RANK];
    for (int i = 0; i < s.rank - 1; i++) dim[i] = s.dim[i];
    dim[s.rank - 2] = s.dim[s.rank - 2] * s.dim[s.rank - 1];
    return wf_reshape(t, wf_shape_make(s.rank - 1, dim));
}

/* Loops: n, s.., [group,] result channel | taps.., x channel. */
static wf_tensor emit(const geometry *c, wf_tensor x, wf_tensor w, bool transposed) {
    const int d = c->n_spatial, grouped = c->groups > 1;
    const int channel = 1 + d + grouped, taps = channel + 1, summed = taps + d;
    wf_contract_source s;
    memset(&s, 0, sizeof s);
    s.n_sum = d + 1;
    for (int i = 0; i < d; i++) s.sum[i] = c->kernel[i];
    s.sum[d] = c->ci;

    s.rank_a = 2 + d + grouped;
    s.a[0] = wf_plain(0);
    for (int i = 0; i < d; i++)
        s.a[1 + i] = transposed ? (wf_relation){.ca = 1, .a = 1 + i, .cb = -c->dilation[i],
                                                .b = taps + i, .offset = c->pad[i],
                                                .div = c->stride[i]}
                                : (wf_relation){.ca = c->stride[i], .a = 1 + i,
                                                .cb = c->dilation[i], .b = taps + i,
                                                .offset = -c->pad[i], .div = 1};
    if (grouped) s.a[1 + d] = wf_plain(1 + d);
    s.a[1 + d + grouped] = wf_plain(summed);

    /* w (groups, O, K.., I): O is the result's channel of conv and x's channel of its transpose. */
    s.rank_b = 2 + d + grouped;
    if (grouped) s.b[0] = wf_plain(1 + d);
    s.b[grouped] = wf_plain(transposed ? summed : channel);
    for (int i = 0; i < d; i++) s.b[grouped + 1 + i] = wf_plain(taps + i);
    s.b[grouped + 1 + d] = wf_plain(transposed ? channel : summed);

    int64_t out[WF_MAX_RANK] = {c->batch};
    for (int i = 0; i < d; i++) out[1 + i] = c->out[i];
    out[1 + d] = c->groups;
    out[channel] = c->co;
    if (!grouped) return wf_contract(wf_shape_make(channel + 1, out), &s, x, w);
    return merge_last(wf_contract(wf_shape_make(channel + 1, out), &s,
                                  split_axis(x, 1 + d, c->groups), split_axis(w, 0, c->groups)));
}

static bool same_graph(const char *name, wf_tensor x, wf_tensor w) {
    return wf_operands_fit(x.graph ? x.graph : w.graph, name, (wf_tensor[]){x, w}, 2);
}

wf_tensor wf_conv(wf_tensor x, wf_tensor w, wf_conv_opt o) {
    geometry c = {.name = "conv"};
    char xs[128], ws[128];
    wf_graph *g = x.graph;
    if (!same_graph(c.name, x, w) || !read_operands(&c, x, w) || !read_options(g, &c, o))
        return wf_handle(g, 0);
    shape_of(x, xs, sizeof xs);
    shape_of(w, ws, sizeof ws);
    const int64_t channels = wf_dim(x, -1), filters = wf_dim(w, 0);
    c.ci = wf_dim(w, -1);
    int64_t expected;
    if (!wf_mul_i64(c.ci, c.groups, &expected) || expected != channels) {
        if (c.groups == 1)
            return wf_graph_fail(g, "conv: x %s has %lld channels, w %s expects %lld; channels "
                                 "are the last axis of both", xs, (long long)channels, ws,
                                 (long long)c.ci);
        return wf_graph_fail(g, "conv: x %s has %lld channels, w %s in %lld groups expects %lld "
                             "each", xs, (long long)channels, ws, (long long)c.groups,
                             (long long)c.ci);
    }
    if (filters % c.groups)
        return wf_graph_fail(g, "conv: w %s has %lld filters, which %lld groups do not divide", ws,
                             (long long)filters, (long long)c.groups);
    c.co = filters / c.groups;
    for (int i = 0; i < c.n_spatial; i++) {
        int64_t span, room;
        if (!kernel_span(&c, i, &span) || !wf_add_i64(c.in[i], c.pad[i], &room) ||
            !wf_add_i64(room, c.pad_after[i], &room) || room < span)
            return wf_graph_fail(g, "conv: the kernel of w %s (dilation %lld) is larger than x %s "
                                 "with its padding %lld and %lld on spatial axis %d", ws,
                                 (long long)c.dilation[i], xs, (long long)c.pad[i],
                                 (long long)c.pad_after[i], i);
        c.out[i] = (room - span) / c.stride[i] + 1;
    }
    return emit(&c, x, w, false);
}

wf_tensor wf_conv_transpose(wf_tensor x, wf_tensor w, wf_conv_opt o, const int32_t *out_pad) {
    geometry c = {.name = "conv_transpose"};
    char xs[128], ws[128];
    wf_graph *g = x.graph;
    if (!same_graph(c.name, x, w) || !read_operands(&c, x, w) || !read_options(g, &c, o))
        return wf_handle(g, 0);
    shape_of(x, xs, sizeof xs);
    shape_of(w, ws, sizeof ws);
    if (wf_dim(x, -1) != wf_dim(w, 0))
        return wf_graph_fail(g, "conv_transpose: x %s has %lld channels, w %s expects %lld", xs,
                             (long long)wf_dim(x, -1), ws, (long long)wf_dim(w, 0));
    if (wf_dim(x, -1) % c.groups)
        return wf_graph_fail(g, "conv_transpose: x %s has %lld channels, which %lld groups do not "
                             "divide", xs, (long long)wf_dim(x, -1), (long long)c.groups);
    c.ci = wf_dim(x, -1) / c.groups;
    c.co = wf_dim(w, -1);
    for (int i = 0; i < c.n_spatial; i++) {
        const int64_t extra = out_pad ? out_pad[i] : 0;
        int64_t span, n;
        if (extra < 0 || !kernel_span(&c, i, &span) ||
            !wf_mul_i64(c.in[i] - 1, c.stride[i], &n) || !wf_add_i64(n, span, &n) ||
            !wf_add_i64(n, extra, &n) || (n = n - c.pad[i] - c.pad_after[i]) < 1)
            return wf_graph_fail(g, "conv_transpose: x %s and w %s (stride %lld, padding %lld and "
                                 "%lld, out_pad %lld) give no result on spatial axis %d", xs, ws,
                                 (long long)c.stride[i], (long long)c.pad[i],
                                 (long long)c.pad_after[i], (long long)extra, i);
        c.out[i] = n;
    }
    return emit(&c, x, w, true);
}
