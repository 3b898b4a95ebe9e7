/* Named parameters: buffers that outlive graphs and programs, and the table that finds them. */
#include "nn/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- lifetime --------------------------------------------------------------------------------- */

wf_params *wf_params_new(uint64_t seed) {
    wf_params *p = calloc(1, sizeof *p);
    if (p) p->seed = seed;
    return p;
}

static void free_entry(wf_param_entry *e) {
    for (int k = 0; e->part && k < e->n_parts; k++) free(e->part[k]);
    free(e->part);
    free(e->info.data);
    free((char *)e->info.name);
}

void wf_params_free(wf_params *p) {
    if (!p) return;
    for (uint32_t i = 0; i < p->n; i++) free_entry(&p->entry[i]);
    for (uint32_t i = 0; i < 2 * p->n_shared; i++) free(p->shared[i]);
    free(p->shared);
    free(p->entry);
    free(p->key);
    free(p);
}

/* --- names ------------------------------------------------------------------------------------ */

uint64_t wf_name_hash(const char *name) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return h;
}

void wf_params_push(wf_params *p, const char *format, ...) {
    if (!p) return;
    const size_t old = strlen(p->prefix), room = sizeof p->prefix - old;
    va_list ap;
    va_start(ap, format);
    const int n = vsnprintf(p->prefix + old, room, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n + 1 >= room || p->too_deep || p->depth == WF_PREFIX_DEPTH) {
        p->prefix[old] = '\0';
        p->too_deep++;
        return;
    }
    if (n > 0) memcpy(p->prefix + old + n, ".", 2);
    p->mark[p->depth++] = old;
}

void wf_params_pop(wf_params *p) {
    if (!p) return;
    if (p->too_deep) {
        p->too_deep--;
    } else if (p->depth == 0) {
        p->unbalanced = true;
    } else {
        p->prefix[p->mark[--p->depth]] = '\0';
    }
}

static uint32_t find_slot(const wf_params *p, const char *name) {
    uint32_t i = (uint32_t)wf_name_hash(name) & (p->key_cap - 1);
    while (p->key[i].name && strcmp(p->key[i].name, name) != 0) i = (i + 1) & (p->key_cap - 1);
    return i;
}

/* The parameter that `name` stands for: mostly itself. Shares make no circles (wf_params_share). */
static const char *resolve(const wf_params *p, const char *name) {
    for (uint32_t i = 0; i < p->n_shared; i++)
        if (strcmp(p->shared[2 * i], name) == 0) return resolve(p, p->shared[2 * i + 1]);
    return name;
}

const wf_param_key *wf_params_key(const wf_params *p, const char *name) {
    if (p->key_cap == 0) return NULL;
    const wf_param_key *k = &p->key[find_slot(p, resolve(p, name))];
    return k->name ? k : NULL;
}

/* Makes room for `more` keys, at most half full. */
static bool grow_keys(wf_params *p, uint32_t more) {
    uint32_t cap = p->key_cap ? p->key_cap : 64;
    while (cap / 2 < p->n_keys + more) cap *= 2;
    if (cap == p->key_cap) return true;
    wf_params bigger = {.key_cap = cap, .key = calloc(cap, sizeof *p->key)};
    if (!bigger.key) return false;
    for (uint32_t i = 0; i < p->key_cap; i++)
        if (p->key[i].name) bigger.key[find_slot(&bigger, p->key[i].name)] = p->key[i];
    free(p->key);
    p->key = bigger.key;
    p->key_cap = cap;
    return true;
}

static void add_key(wf_params *p, const char *name, uint32_t entry, int32_t part) {
    p->key[find_slot(p, name)] = (wf_param_key){name, entry, part};
    p->n_keys++;
}

/* --- creation --------------------------------------------------------------------------------- */

static char *text_copy(const char *prefix, const char *name) {
    const size_t a = strlen(prefix), b = strlen(name);
    char *s = malloc(a + b + 1);
    if (!s) return NULL;
    memcpy(s, prefix, a);
    memcpy(s + a, name, b + 1);
    return s;
}

int wf_entry_files(const wf_param_entry *e) {
    if (e->info.role == WF_ROLE_OPTIMIZER) return 0;
    return e->n_parts ? e->n_parts : 1;
}

wf_entry_file wf_entry_file_at(const wf_param_entry *e, int part) {
    wf_entry_file f = {.name = e->info.name, .shape = e->info.shape};
    if (e->n_parts) {
        f.name = e->part[part];
        f.shape.dim[0] /= e->n_parts;
    }
    f.count = wf_shape_count(&f.shape);
    f.first = f.count * part;
    if (e->conv_layout && f.shape.rank > 2) {
        const int64_t in = f.shape.dim[f.shape.rank - 1];
        memmove(&f.shape.dim[2], &f.shape.dim[1], (size_t)(f.shape.rank - 2) * sizeof(int64_t));
        f.shape.dim[1] = in;
    }
    return f;
}

/* Each tensor of the file has a stream of its own, so that packing gates changes no values. */
static wf_status fill(const wf_params *p, const wf_param_entry *e, wf_init init, bool whole) {
    const int n = e->n_parts && !whole ? e->n_parts : 1;
    for (int k = 0; k < n; k++) {
        wf_shape shape = e->info.shape;
        shape.dim[0] = n > 1 ? shape.dim[0] / n : shape.dim[0];
        char *data = (char *)e->info.data + e->bytes / (size_t)n * (size_t)k;
        const char *name = e->n_parts && !whole ? e->part[k] : e->info.name;
        const wf_status s = wf_init_fill(data, e->info.dtype, &shape, init, p->seed, name);
        if (s) return s;
    }
    return WF_OK;
}

static wf_status no_memory(const char *name) {
    return wf_fail(WF_MEMORY, "out of memory for parameter \"%s\"", name);
}

/* Names, layout and buffer of a new entry; false when memory is out (e can be freed then). */
static bool build_entry(const wf_params *p, wf_param_entry *e, const char *name,
                        const wf_param_opt *o) {
    e->info.name = text_copy("", name);
    e->info.data = aligned_alloc(64, (e->bytes + 64) / 64 * 64);
    if (!e->info.name || !e->info.data) return false;
    if (o->n_parts > 0) {
        e->part = calloc((size_t)o->n_parts, sizeof *e->part);
        if (!e->part) return false;
        e->n_parts = o->n_parts;
        for (int k = 0; k < o->n_parts; k++)
            if (!(e->part[k] = text_copy(p->prefix, o->part[k]))) return false;
    }
    return true;
}

/* Appends a filled entry and its keys, or leaves p as it was. */
static wf_status add_entry(wf_params *p, wf_param_entry *e, wf_init init, bool whole) {
    if (p->n == p->cap) {
        const uint32_t cap = p->cap ? 2 * p->cap : 32;
        wf_param_entry *more = realloc(p->entry, cap * sizeof *more);
        if (!more) return no_memory(e->info.name);
        p->entry = more;
        p->cap = cap;
    }
    for (int k = 0; k < e->n_parts; k++)
        if (wf_params_key(p, e->part[k]))
            return wf_fail(WF_MODEL, "parameter \"%s\": the name \"%s\" in files is taken",
                           e->info.name, e->part[k]);
    if (!grow_keys(p, (uint32_t)e->n_parts + 1)) return no_memory(e->info.name);
    const wf_status s = fill(p, e, init, whole);
    if (s) return s;
    add_key(p, e->info.name, p->n, wf_entry_files(e) && !e->n_parts ? 0 : -1);
    for (int k = 0; k < e->n_parts; k++) add_key(p, e->part[k], p->n, k);
    p->entry[p->n++] = *e;
    return WF_OK;
}

static wf_status create(wf_params *p, const char *name, const wf_shape *shape, wf_init init,
                        const wf_param_opt *o) {
    const int64_t count = wf_shape_count(shape);
    char text[128];
    if ((unsigned)o->dtype >= WF_N_DTYPE || count < 0 || count > PTRDIFF_MAX / 16)
        return wf_fail(WF_MODEL, "parameter \"%s\" cannot have dtype %s and shape %s", name,
                       wf_dtype_name(o->dtype), wf_shape_text(shape, text, sizeof text));
    if (o->n_parts < 0 || (o->n_parts > 0 && (!o->part || shape->rank < 1 ||
                                              shape->dim[0] % o->n_parts != 0)))
        return wf_fail(WF_MODEL, "parameter \"%s\" %s does not fall into %d parts along axis 0",
                       name, wf_shape_text(shape, text, sizeof text), o->n_parts);
    wf_param_entry e = {.info = {.role = o->role, .dtype = o->dtype, .shape = *shape},
                        .bytes = (size_t)count * wf_dtype_bytes(o->dtype),
                        .conv_layout = o->conv_layout};
    wf_status s = build_entry(p, &e, name, o) ? add_entry(p, &e, init, o->whole)
                                            : no_memory(name);
    if (s) free_entry(&e);
    return s;
}

wf_tensor wf_param_absolute(wf_graph *g, wf_params *p, const char *name, wf_shape shape,
                            wf_init init, const wf_param_opt *o) {
    name = resolve(p, name);
    const wf_param_key *k = wf_params_key(p, name);
    if (!k) {
        if (create(p, name, &shape, init, o)) return wf_graph_fail(g, "%s", wf_error());
        k = wf_params_key(p, name);
    }
    const wf_param_info *info = &p->entry[k->entry].info;
    char have[128], want[128];
    if (strcmp(info->name, name) != 0)
        return wf_graph_fail(g, "parameter \"%s\" is a part of \"%s\"; choose another name", name,
                             info->name);
    if (info->dtype != o->dtype || !wf_shape_equal(&info->shape, &shape))
        return wf_graph_fail(g, ": parameter \"%s\" is %s%s, asked for as %s%s; give the layer "
                                "another name or the former sizes",
                             name, wf_dtype_name(info->dtype),
                             wf_shape_text(&info->shape, have, sizeof have),
                             wf_dtype_name(o->dtype), wf_shape_text(&shape, want, sizeof want));
    return wf_leaf(g, info->name, info->dtype, info->shape, info->data);
}

wf_tensor wf_param(wf_graph *g, wf_params *p, const char *name, wf_shape shape, wf_init init,
                   wf_param_opt o) {
    char full[WF_NAME_BYTES];
    if (!p) return wf_graph_fail(g, "parameter \"%s\": the parameters are NULL", name ? name : "");
    if (!name || !*name) return wf_graph_fail(g, "a parameter needs a name");
    if (p->unbalanced)
        return wf_graph_fail(g, "parameter \"%s\": wf_params_pop without a wf_params_push", name);
    const int n = snprintf(full, sizeof full, "%s%s", p->prefix, name);
    if (p->too_deep || n < 0 || (size_t)n >= sizeof full)
        return wf_graph_fail(g, "parameter \"%s\": names are limited to %d bytes and %d prefixes",
                             name, WF_NAME_BYTES - 1, WF_PREFIX_DEPTH);
    return wf_param_absolute(g, p, full, shape, init, &o);
}

wf_status wf_params_share(wf_params *p, const char *name, const char *as) {
    if (!p || !name || !as || strcmp(name, as) == 0)
        return wf_fail(WF_ARGUMENT, "wf_params_share: two different names must be given");
    if (wf_params_key(p, name))
        return wf_fail(WF_ARGUMENT, "wf_params_share: \"%s\" exists already; share it before a "
                                    "layer makes it", name);
    as = resolve(p, as);
    if (strcmp(name, as) == 0)
        return wf_fail(WF_ARGUMENT, "wf_params_share: \"%s\" would stand for itself", name);
    char **more = realloc(p->shared, 2 * ((size_t)p->n_shared + 1) * sizeof *more);
    if (!more) return no_memory(name);
    p->shared = more;
    char *a = text_copy("", name), *b = text_copy("", as);
    if (!a || !b) {
        free(a);
        free(b);
        return no_memory(name);
    }
    more[2 * p->n_shared] = a;
    more[2 * p->n_shared++ + 1] = b;
    return WF_OK;
}

/* --- access ----------------------------------------------------------------------------------- */

size_t wf_params_count(const wf_params *p) { return p ? p->n : 0; }

wf_param_info wf_params_at(const wf_params *p, size_t i) {
    return i < wf_params_count(p) ? p->entry[i].info : (wf_param_info){0};
}

bool wf_params_find(const wf_params *p, const char *name, wf_param_info *out) {
    const wf_param_key *k = p && name ? wf_params_key(p, name) : NULL;
    if (!k || strcmp(p->entry[k->entry].info.name, resolve(p, name)) != 0) return false;
    *out = p->entry[k->entry].info;
    return true;
}

int64_t wf_params_elements(const wf_params *p) {
    int64_t n = 0;
    for (uint32_t i = 0; p && i < p->n; i++)
        if (p->entry[i].info.role == WF_ROLE_PARAM) n += wf_shape_count(&p->entry[i].info.shape);
    return n;
}

wf_tensor wf_entry_leaf(const wf_param_entry *e, wf_graph *g) {
    return e->info.role == WF_ROLE_PARAM ? wf_leaf_of(g, e->info.data) : (wf_tensor){g, 0};
}

int wf_params_leaves(wf_params *p, wf_graph *g, wf_tensor *out, int max) {
    int n = 0;
    for (uint32_t i = 0; p && g && i < p->n; i++) {
        const wf_tensor leaf = wf_entry_leaf(&p->entry[i], g);
        if (!wf_ok(leaf)) continue;
        if (out && n < max) out[n] = leaf;
        n++;
    }
    return n;
}

/* --- what layers share ------------------------------------------------------------------------ */

bool wf_layer_enter(wf_params *p, const char *name, wf_tensor x) {
    if (!wf_ok(x)) return false;
    if (!p || !name) {
        wf_graph_fail(x.graph, "layer \"%s\": %s is NULL", name ? name : "", p ? "its name" : "p");
        return false;
    }
    wf_scope_push(x.graph, "%s", name);
    wf_params_push(p, "%s", name);
    return true;
}

wf_tensor wf_layer_leave(wf_params *p, wf_tensor x, wf_tensor y) {
    wf_params_pop(p);
    wf_scope_pop(x.graph);
    return y;
}

wf_tensor wf_layer_refuse(wf_tensor x, const char *expected) {
    const wf_shape s = wf_shape_of_tensor(x);
    char text[128];
    const bool real = wf_dtype_is_real(wf_dtype_of(x));
    return wf_graph_fail(x.graph, ": x %s%s is not %s; use %s", wf_dtype_name(wf_dtype_of(x)),
                         wf_shape_text(&s, text, sizeof text), expected,
                         real ? "wf_reshape" : "wf_cast");
}
