/* state_dict files: parameters and state in safetensors, with PyTorch's names and layouts.
 *
 *   here                          in the file
 *   conv weight (O, K.., I)       (O, I, K..)
 *   weight_x (4 H, ..)            conv_ii.weight, conv_if.weight, .. : equal slices of axis 0
 *
 * The order in a file is the order of creation, where packed parameters of one layer take turns:
 * conv_ii.weight, conv_ii.bias, conv_hi.weight, .., conv_if.weight, .. - the order of the modules
 * that PyTorch's state_dict goes through. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/params.h"

/* --- layout ----------------------------------------------------------------------------------- */

/* Copies one tensor of entry e from the layout here to that of files, or back. */
static void copy_layout(const wf_param_entry *e, const wf_entry_file *f, size_t bytes,
                        const char *from, char *to, bool to_file) {
    int64_t o = 1, k = 1, c = f->count; /* here (o, k, c), in the file (o, c, k) */
    if (e->conv_layout && f->shape.rank > 2 && f->count > 0) {
        o = f->shape.dim[0];
        c = f->shape.dim[1];
        k = f->count / (o * c);
    }
    for (int64_t a = 0; a < o; a++)
        for (int64_t b = 0; b < k; b++)
            for (int64_t i = 0; i < c; i++) {
                const size_t here = (size_t)((a * k + b) * c + i) * bytes;
                const size_t there = (size_t)((a * c + i) * k + b) * bytes;
                memcpy(to + (to_file ? there : here), from + (to_file ? here : there), bytes);
            }
}

/* --- order ------------------------------------------------------------------------------------ */

typedef struct item {
    uint32_t entry;
    int part;
} item;

static bool in_file(const wf_params *p, uint32_t i, bool state) {
    const wf_role role = p->entry[i].info.role;
    return role == WF_ROLE_PARAM || (state && role == WF_ROLE_STATE);
}

/* Do two packed parameters belong to one layer? */
static bool siblings(const wf_param_entry *a, const wf_param_entry *b) {
    const char *end = strrchr(a->info.name, '.');
    const size_t n = end ? (size_t)(end - a->info.name) + 1 : 0;
    return a->n_parts == b->n_parts && strncmp(a->info.name, b->info.name, n) == 0 &&
           !strchr(b->info.name + n, '.');
}

/* The tensors of a file in their order; returns how many. list may be NULL to count. */
static size_t list_items(const wf_params *p, bool state, item *list) {
    size_t n = 0;
    for (uint32_t i = 0, end; i < p->n; i = end) {
        const int parts = p->entry[i].n_parts;
        end = i + 1;
        while (parts && end < p->n && siblings(&p->entry[i], &p->entry[end])) end++;
        for (int k = 0; k < (parts ? parts : 1); k++)
            for (uint32_t j = i; j < end; j++) {
                if (!in_file(p, j, state)) continue;
                if (list) list[n] = (item){j, k};
                n++;
            }
    }
    return n;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* value NULL: the parameters' own data and state; else value[i] for the i-th trainable one, f32. */
static wf_status write_file(const wf_params *p, const float *const *value, const char *path) {
    const size_t n = list_items(p, !value, NULL);
    item *list = calloc(n + 1, sizeof *list);
    wf_named *named = calloc(n + 1, sizeof *named);
    const float **own = calloc((size_t)p->n + 1, sizeof *own);
    wf_status s = list && named && own ? WF_OK : WF_MEMORY;
    if (!s && value)
        for (uint32_t i = 0, k = 0; i < p->n; i++)
            if (in_file(p, i, false)) own[i] = value[k++];
    if (!s) list_items(p, !value, list);
    for (size_t i = 0; i < n && !s; i++) {
        const wf_param_entry *e = &p->entry[list[i].entry];
        const wf_entry_file f = wf_entry_file_at(e, list[i].part);
        const wf_dtype dtype = value ? WF_F32 : e->info.dtype;
        const size_t bytes = wf_dtype_bytes(dtype);
        const char *data = value ? (const char *)own[list[i].entry] : e->info.data;
        char *copy = malloc((size_t)f.count * bytes + 1);
        named[i] = (wf_named){f.name, dtype, f.shape, copy};
        if (copy) copy_layout(e, &f, bytes, data + (size_t)f.first * bytes, copy, true);
        else s = WF_MEMORY;
    }
    static const char *const meta[] = {"format", "pt"};
    if (s)
        s = wf_fail(WF_MEMORY, "%s: out of memory to lay out %zu tensors", path, n);
    else
        s = wf_safetensors_write(path, named, n, meta, 1);
    for (size_t i = 0; named && i < n; i++) free((void *)named[i].data);
    free(own);
    free(named);
    free(list);
    return s;
}

wf_status wf_params_save(const wf_params *p, const char *path) {
    if (!p || !path) return wf_fail(WF_ARGUMENT, "wf_params_save: p and path must be given");
    return write_file(p, NULL, path);
}

wf_status wf_params_save_values(const wf_params *p, const float *const *value, const char *path) {
    if (!p || !path || !value)
        return wf_fail(WF_ARGUMENT, "wf_params_save_values: p, value and path must be given");
    return write_file(p, value, path);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Is each tensor of p in the file, with its dtype and shape? */
static wf_status check_ours(const wf_params *p, const wf_safetensors *file, const char *path) {
    for (uint32_t i = 0; i < p->n; i++) {
        const wf_param_entry *e = &p->entry[i];
        for (int k = 0; k < wf_entry_files(e); k++) {
            const wf_entry_file f = wf_entry_file_at(e, k);
            const wf_named *t = wf_safetensors_find(file, f.name);
            char have[128], want[128];
            if (!t)
                return wf_fail(WF_FORMAT, "%s: tensor \"%s\" is missing; is it for another model?",
                               path, f.name);
            if (t->dtype != e->info.dtype || !wf_shape_equal(&t->shape, &f.shape))
                return wf_fail(WF_FORMAT, "%s: tensor \"%s\" is %s%s, the model has %s%s", path,
                               f.name, wf_dtype_name(t->dtype),
                               wf_shape_text(&t->shape, have, sizeof have),
                               wf_dtype_name(e->info.dtype),
                               wf_shape_text(&f.shape, want, sizeof want));
        }
    }
    return WF_OK;
}

/* Is each tensor of the file one of p's? */
static wf_status check_theirs(const wf_params *p, const wf_safetensors *file, const char *path) {
    for (size_t i = 0; i < wf_safetensors_count(file); i++) {
        const char *name = wf_safetensors_at(file, i)->name;
        const wf_param_key *k = wf_params_key(p, name);
        if (!k || k->part < 0)
            return wf_fail(WF_FORMAT, "%s: tensor \"%s\" is not in the model", path, name);
    }
    return WF_OK;
}

/* The values of tensor t of a file for tensor f of entry e. */
static void take(const wf_param_entry *e, const wf_entry_file *f, const wf_named *t) {
    const size_t bytes = wf_dtype_bytes(e->info.dtype);
    copy_layout(e, f, bytes, t->data, (char *)e->info.data + (size_t)f->first * bytes, false);
}

wf_status wf_params_load(wf_params *p, const char *path) {
    if (!p || !path) return wf_fail(WF_ARGUMENT, "wf_params_load: p and path must be given");
    wf_safetensors *file;
    wf_status s = wf_safetensors_open(&file, path);
    if (s) return s;
    s = check_ours(p, file, path);
    if (!s) s = check_theirs(p, file, path);
    for (uint32_t i = 0; i < p->n && !s; i++) {
        const wf_param_entry *e = &p->entry[i];
        for (int k = 0; k < wf_entry_files(e); k++) {
            const wf_entry_file f = wf_entry_file_at(e, k);
            take(e, &f, wf_safetensors_find(file, f.name));
        }
    }
    wf_safetensors_free(file);
    return s;
}

/* --- reading what fits ------------------------------------------------------------------------ */

typedef struct selection {
    wf_params *p;
    const wf_load_opt *o;
    wf_load_report report;
    bool *filled; /* by key slot of p */
    bool copy;    /* the second time: the first one only counts */
} selection;

static void tell(selection *s, wf_load_kind kind, const char *name, const char *detail) {
    s->report.count[kind]++;
    if (s->copy && s->o->each) s->o->each(s->o->user, kind, name, detail);
}

/* The name that tensor `name` of the file has in the model; NULL if it is too long. */
static const char *model_name(const wf_load_opt *o, const char *name, char *buf) {
    const size_t n = o->from ? strlen(o->from) : 0;
    if (!o->from || strncmp(name, o->from, n) != 0) return name;
    const char *to = o->to ? o->to : "";
    const size_t a = strlen(to), b = strlen(name + n);
    if (a + b >= WF_NAME_BYTES) return NULL;
    memcpy(buf, to, a);
    memcpy(buf + a, name + n, b + 1);
    return buf;
}

static void look_at(selection *s, const wf_named *t) {
    char buf[WF_NAME_BYTES], have[128], want[128], detail[320];
    const char *name = model_name(s->o, t->name, buf);
    const wf_param_key *k = name ? wf_params_key(s->p, name) : NULL;
    if (!k || k->part < 0) {
        tell(s, WF_LOAD_UNEXPECTED, t->name, "");
        return;
    }
    const wf_param_entry *e = &s->p->entry[k->entry];
    const wf_entry_file f = wf_entry_file_at(e, k->part);
    s->filled[k - s->p->key] = true;
    if (t->dtype == e->info.dtype && wf_shape_equal(&t->shape, &f.shape)) {
        tell(s, WF_LOAD_LOADED, f.name, "");
        if (s->copy) take(e, &f, t);
        return;
    }
    snprintf(detail, sizeof detail, "%s%s in the file, %s%s in the model",
             wf_dtype_name(t->dtype), wf_shape_text(&t->shape, have, sizeof have),
             wf_dtype_name(e->info.dtype), wf_shape_text(&f.shape, want, sizeof want));
    tell(s, WF_LOAD_MISMATCHED, f.name, detail);
}

static void look_at_all(selection *s, const wf_safetensors *file) {
    s->report = (wf_load_report){0};
    memset(s->filled, 0, s->p->key_cap + 1);
    for (size_t i = 0; i < wf_safetensors_count(file); i++) {
        const wf_named *t = wf_safetensors_at(file, i);
        if (!s->o->only || fnmatch(s->o->only, t->name, 0) == 0) look_at(s, t);
    }
    for (uint32_t i = 0; i < s->p->n; i++)
        for (int k = 0; k < wf_entry_files(&s->p->entry[i]); k++) {
            const char *name = wf_entry_file_at(&s->p->entry[i], k).name;
            if (!s->filled[wf_params_key(s->p, name) - s->p->key])
                tell(s, WF_LOAD_MISSING, name, "");
        }
}

wf_status wf_params_load_some(wf_params *p, const char *path, wf_load_opt o, wf_load_report *r) {
    if (r) *r = (wf_load_report){0};
    if (!p || !path) return wf_fail(WF_ARGUMENT, "wf_params_load_some: p and path must be given");
    wf_safetensors *file;
    wf_status s = wf_safetensors_open(&file, path);
    if (s) return s;
    selection sel = {.p = p, .o = &o, .filled = calloc(p->key_cap + 1, sizeof(bool))};
    if (!sel.filled) {
        s = wf_fail(WF_MEMORY, "%s: out of memory", path);
    } else {
        look_at_all(&sel, file);
        const int64_t *n = sel.report.count;
        if (n[WF_LOAD_LOADED] == 0)
            s = wf_fail(WF_FORMAT, "%s: no tensor fits the model: %lld unexpected, %lld of another "
                                   "shape or dtype, %lld of the model missing; see only, from, to",
                        path, (long long)n[WF_LOAD_UNEXPECTED], (long long)n[WF_LOAD_MISMATCHED],
                        (long long)n[WF_LOAD_MISSING]);
        sel.copy = !s;
        if (!s) look_at_all(&sel, file);
    }
    if (r) *r = sel.report;
    free(sel.filled);
    wf_safetensors_free(file);
    return s;
}
