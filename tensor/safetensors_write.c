/* Writing safetensors: what is written here is read by tensor/safetensors.c and by the reference
 * implementation. Tensors lie in the given order without padding between them; the header is padded
 * with spaces so that the data begins at a multiple of 8 bytes. Same arguments, same bytes. */
#include "tensor/safetensors.h"

#include "tensor/size.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *dtype_text(wf_dtype t) {
#define X(name, text, bytes, st) st,
    static const char *const known[] = {WF_DTYPE_MAP(X)};
#undef X
    return (size_t)t < WF_COUNT(known) ? known[t] : NULL;
}

/* {"dtype": .., "shape": [..], "data_offsets": [begin, end]}; NULL when memory is out. */
static json_t *entry(const wf_named *t, size_t begin, size_t end) {
    json_t *shape = json_array();
    for (int i = 0; i < t->shape.rank; i++)
        if (json_array_append_new(shape, json_integer(t->shape.dim[i]))) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtype_text(t->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

/* Sets object[key], which must be new and UTF-8; takes value. */
static wf_status add(json_t *object, const char *path, const char *key, json_t *value) {
    if (!value) return wf_fail(WF_MEMORY, "%s: no memory for its header", path);
    if (json_object_get(object, key)) {
        json_decref(value);
        return wf_fail(WF_ARGUMENT, "%s: the name '%s' is given twice", path, key);
    }
    if (json_object_set_new(object, key, value))
        return wf_fail(WF_ARGUMENT, "%s: the name '%s' is not UTF-8, or memory is out", path, key);
    return WF_OK;
}

static wf_status add_tensor(json_t *header, const char *path, const wf_named *t, size_t *end) {
    if (!t->name || strlen(t->name) > WF_ST_MAX_NAME || !strcmp(t->name, WF_ST_META))
        return wf_fail(WF_ARGUMENT, "%s: a tensor name is missing, reserved or over %d bytes", path,
                       WF_ST_MAX_NAME);
    size_t bytes, next;
    bool ok = dtype_text(t->dtype) && wf_type_bytes(t->dtype, &t->shape, &bytes) &&
              wf_add_size(*end, bytes, &next) && next <= PTRDIFF_MAX && (t->data || !bytes);
    for (int i = 0; ok && i < t->shape.rank; i++) ok = !wf_st_dim_error(t->shape.dim[i]);
    if (!ok)
        return wf_fail(WF_ARGUMENT, "%s: tensor '%s' has no data, or a shape that cannot be stored",
                       path, t->name);
    const wf_status s = add(header, path, t->name, entry(t, *end, next));
    *end = next;
    return s;
}

static wf_status add_meta(json_t *header, const char *path, const char *const *meta, size_t n) {
    if (n == 0) return WF_OK;
    json_t *object = json_object();
    wf_status s = WF_OK;
    for (size_t i = 0; i < n && !s; i++)
        s = add(object, path, meta[2 * i], json_string(meta[2 * i + 1]));
    if (s) {
        json_decref(object);
        return s;
    }
    return add(header, path, WF_ST_META, object);
}

static wf_status write_parts(wf_file *f, const char *text, size_t bytes, size_t padded,
                             const wf_named *tensor, size_t n) {
    uint8_t length[WF_ST_LENGTH_BYTES];
    for (int i = 0; i < WF_ST_LENGTH_BYTES; i++) length[i] = (uint8_t)((uint64_t)padded >> (8 * i));
    wf_status s = wf_file_write(f, length, sizeof length);
    if (!s) s = wf_file_write(f, text, bytes);
    if (!s) s = wf_file_write(f, "        ", padded - bytes);
    for (size_t i = 0; i < n && !s; i++) {
        size_t b = 0;
        wf_type_bytes(tensor[i].dtype, &tensor[i].shape, &b); /* checked by add_tensor */
        s = wf_file_write(f, tensor[i].data, b);
    }
    return s;
}

static wf_status write_file(const char *path, const json_t *header, size_t data_bytes,
                            const wf_named *tensor, size_t n) {
    char *text = json_dumps(header, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (!text) return wf_fail(WF_MEMORY, "%s: no memory for its header", path);
    const size_t bytes = strlen(text);
    size_t padded, file_bytes, slack;
    wf_status s = WF_OK;
    if (!wf_align_size(bytes, WF_ST_LENGTH_BYTES, &padded) || padded > WF_ST_MAX_HEADER ||
        !wf_add_size(padded, data_bytes, &file_bytes) || !wf_st_fits(n, bytes, file_bytes, &slack))
        s = wf_fail(WF_UNSUPPORTED, "%s: %zu tensors with a header of %zu bytes are too many for "
                    "one file; split it", path, n, bytes);
    wf_file *f = NULL;
    if (!s) s = wf_file_create(&f, path);
    if (!s) {
        s = write_parts(f, text, bytes, padded, tensor, n);
        if (s)
            wf_file_discard(f);
        else
            s = wf_file_commit(f);
    }
    free(text);
    return s;
}

wf_status wf_safetensors_write(const char *path, const wf_named *tensor, size_t n,
                               const char *const *meta, size_t n_meta) {
    if (n > WF_ST_MAX_COUNT || n_meta > WF_ST_MAX_COUNT)
        return wf_fail(WF_UNSUPPORTED, "%s: more than %zu tensors or metadata keys; split the file",
                       path, WF_ST_MAX_COUNT);
    json_t *header = json_object();
    if (!header) return wf_fail(WF_MEMORY, "%s: no memory for its header", path);
    wf_status s = add_meta(header, path, meta, n_meta);
    size_t data_bytes = 0;
    for (size_t i = 0; i < n && !s; i++) s = add_tensor(header, path, &tensor[i], &data_bytes);
    if (!s) s = write_file(path, header, data_bytes, tensor, n);
    json_decref(header);
    return s;
}
