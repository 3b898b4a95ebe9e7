/* Checkpoint files; see checkpoint.h. A file is made of items: the buffers of the parameters in
 * order of creation, then the caller's. The metadata are
 *   format        "weft checkpoint 1"
 *   crc32         of the text "NAME DTYPE SHAPE CRC\n" of all items in their order
 *   crc32.NAME    of the bytes of one item
 * so that no bit of the file that a reader uses is free. CRC-32 is zlib's. */
#include "nn/nn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define FORMAT "weft checkpoint 1"
#define FILE_ASIDE "checkpoint.new.safetensors"

enum { PATH_BYTES = 4352, CRC_BYTES = 9, LINE_BYTES = 1024 };

/* What the file holds, in its order: data as wf_named has it and where loading puts it. */
typedef struct items {
    wf_named *named;
    void **target;
    size_t n;
} items;

static size_t bytes_of(const wf_named *t) {
    return (size_t)wf_shape_count(&t->shape) * wf_dtype_bytes(t->dtype);
}

static void free_items(items *list) {
    free(list->named);
    free(list->target);
    *list = (items){.n = 0};
}

static wf_status list_items(items *list, const wf_params *p, const wf_state *state, size_t n) {
    const size_t n_params = wf_params_count(p);
    *list = (items){.n = n_params + n};
    list->named = calloc(list->n + 1, sizeof *list->named);
    list->target = calloc(list->n + 1, sizeof *list->target);
    if (!list->named || !list->target)
        return wf_fail(WF_MEMORY, "no memory to list the %zu tensors of a checkpoint", list->n);
    for (size_t i = 0; i < list->n; i++) {
        const wf_param_info q = i < n_params ? wf_params_at(p, i) : (wf_param_info){.name = ""};
        const wf_state *s = i < n_params ? NULL : &state[i - n_params];
        list->named[i] = s ? (wf_named){s->name, s->dtype, s->shape, s->data}
                           : (wf_named){q.name, q.dtype, q.shape, q.data};
        list->target[i] = s ? s->data : q.data;
    }
    return WF_OK;
}

/* --- CRCs ------------------------------------------------------------------------------------- */

static uint32_t crc_of(const void *data, size_t bytes) {
    const uint8_t *p = data;
    uLong crc = crc32(0, Z_NULL, 0);
    while (bytes > 0) {
        const uInt n = bytes < 1u << 30 ? (uInt)bytes : 1u << 30;
        crc = crc32(crc, p, n);
        p += n;
        bytes -= n;
    }
    return (uint32_t)crc;
}

/* The CRC of the list continues with one more item. */
static uint32_t crc_with(uint32_t crc, const wf_named *t, uint32_t own) {
    char shape[128], line[LINE_BYTES];
    const int n = snprintf(line, sizeof line, "%s %s %s %08x\n", t->name, wf_dtype_name(t->dtype),
                           wf_shape_text(&t->shape, shape, sizeof shape), own);
    return (uint32_t)crc32(crc, (const Bytef *)line,
                           (uInt)(n < (int)sizeof line ? n : (int)sizeof line - 1));
}

static void crc_key(char key[LINE_BYTES], const char *name) {
    snprintf(key, LINE_BYTES, "crc32.%s", name);
}

static void crc_text(char text[CRC_BYTES], uint32_t crc) {
    snprintf(text, CRC_BYTES, "%08x", crc);
}

/* --- saving ----------------------------------------------------------------------------------- */

/* Metadata of the items: (2 + n) pairs of strings in one block; free() it. */
typedef struct metadata {
    const char **pair;
    char *text;
} metadata;

static wf_status describe(metadata *m, const items *list) {
    size_t bytes = CRC_BYTES;
    for (size_t i = 0; i < list->n; i++)
        bytes += strlen("crc32.") + strlen(list->named[i].name) + 1 + CRC_BYTES;
    m->pair = calloc(2 * (list->n + 2), sizeof *m->pair);
    m->text = malloc(bytes);
    if (!m->pair || !m->text)
        return wf_fail(WF_MEMORY, "no memory to describe the %zu tensors of a checkpoint", list->n);
    char *at = m->text + CRC_BYTES, key[LINE_BYTES];
    uint32_t all = 0;
    for (size_t i = 0; i < list->n; i++) {
        const uint32_t own = crc_of(list->named[i].data, bytes_of(&list->named[i]));
        all = crc_with(all, &list->named[i], own);
        crc_key(key, list->named[i].name);
        m->pair[2 * (i + 2)] = strcpy(at, key);
        at += strlen(at) + 1;
        crc_text(at, own);
        m->pair[2 * (i + 2) + 1] = at;
        at += CRC_BYTES;
    }
    crc_text(m->text, all);
    m->pair[0] = "format";
    m->pair[1] = FORMAT;
    m->pair[2] = "crc32";
    m->pair[3] = m->text;
    return WF_OK;
}

static wf_status path_of(char path[PATH_BYTES], const char *dir, const char *file) {
    const int n = snprintf(path, PATH_BYTES, "%s/%s", dir, file);
    if (n < 0 || n >= PATH_BYTES) return wf_fail(WF_OUTPUT, "the name of the folder is too long");
    return WF_OK;
}

static wf_status flush_folder(const char *dir) {
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return wf_fail(WF_OUTPUT, "%s: cannot open it: %s", dir, strerror(errno));
    /* EINVAL, EROFS, ENOTSUP: a file system without fsync for directories. */
    const bool bad = fsync(fd) && errno != EINVAL && errno != EROFS && errno != ENOTSUP;
    const int error = errno;
    close(fd);
    return bad ? wf_fail(WF_OUTPUT, "%s: cannot fsync it: %s", dir, strerror(error)) : WF_OK;
}

/* Moves `from` to `to`; `from` may be missing if optional. */
static wf_status move(const char *from, const char *to, bool optional) {
    if (!rename(from, to) || (optional && errno == ENOENT)) return WF_OK;
    return wf_fail(WF_OUTPUT, "%s: cannot rename it to %s: %s", from, to, strerror(errno));
}

wf_status wf_checkpoint_save(const wf_params *p, const wf_state *state, size_t n,
                             const char *dir) {
    char aside[PATH_BYTES], newest[PATH_BYTES], before[PATH_BYTES];
    if (!p || !dir || (n && !state))
        return wf_fail(WF_ARGUMENT, "wf_checkpoint_save: p, state and dir must be given");
    wf_status status = path_of(aside, dir, FILE_ASIDE);
    if (!status) status = path_of(newest, dir, WF_CHECKPOINT_FILE);
    if (!status) status = path_of(before, dir, WF_CHECKPOINT_BEFORE);
    items list = {.n = 0};
    metadata m = {.pair = NULL};
    if (!status) status = list_items(&list, p, state, n);
    if (!status) status = describe(&m, &list);
    if (!status) status = wf_safetensors_write(aside, list.named, list.n, m.pair, list.n + 2);
    free(m.pair);
    free(m.text);
    free_items(&list);
    if (!status) status = move(newest, before, true);
    if (!status) status = move(aside, newest, false);
    return status ? status : flush_folder(dir);
}

wf_status wf_checkpoint_remove(const char *dir) {
    static const char *const file[] = {WF_CHECKPOINT_FILE, WF_CHECKPOINT_BEFORE, FILE_ASIDE};
    char path[PATH_BYTES];
    for (size_t i = 0; i < WF_COUNT(file); i++) {
        const wf_status status = path_of(path, dir, file[i]);
        if (status) return status;
        if (unlink(path) && errno != ENOENT)
            return wf_fail(WF_OUTPUT, "%s: cannot remove it: %s", path, strerror(errno));
    }
    return WF_OK;
}

/* --- loading ---------------------------------------------------------------------------------- */

static wf_status damaged(const char *path, const char *what) {
    return wf_fail(WF_FORMAT, "%s: %s; the checkpoint is damaged", path, what);
}

/* Does the metadata entry `key` hold this CRC? */
static bool crc_matches(const wf_safetensors *f, const char *key, uint32_t crc) {
    char text[CRC_BYTES];
    const char *have = wf_safetensors_meta(f, key);
    crc_text(text, crc);
    return have && !strcmp(have, text);
}

/* Whether the file is what was once saved, whatever model it belongs to. */
static wf_status check_damage(const wf_safetensors *f, const char *path) {
    const char *format = wf_safetensors_meta(f, "format");
    uint32_t all = 0;
    char key[LINE_BYTES], what[LINE_BYTES];
    if (!format || strcmp(format, FORMAT))
        return wf_fail(WF_FORMAT, "%s: is no checkpoint of this version (format \"%.40s\")", path,
                       format ? format : "");
    for (size_t i = 0; i < wf_safetensors_count(f); i++) {
        const wf_named *t = wf_safetensors_at(f, i);
        const uint32_t own = crc_of(t->data, bytes_of(t));
        all = crc_with(all, t, own);
        crc_key(key, t->name);
        snprintf(what, sizeof what, "tensor \"%.300s\" does not have its CRC", t->name);
        if (!crc_matches(f, key, own)) return damaged(path, what);
    }
    if (!crc_matches(f, "crc32", all)) return damaged(path, "its list of tensors is not whole");
    return WF_OK;
}

/* Whether the file's tensors are exactly those of the list, in any order. */
static wf_status check_fit(const wf_safetensors *f, const items *list, const char *path) {
    for (size_t i = 0; i < list->n; i++) {
        const wf_named *want = &list->named[i], *t = wf_safetensors_find(f, want->name);
        char a[128], b[128];
        if (!t)
            return wf_fail(WF_FORMAT, "%s: tensor \"%s\" is missing; is it of another model?", path,
                           want->name);
        if (t->dtype != want->dtype || !wf_shape_equal(&t->shape, &want->shape))
            return wf_fail(WF_FORMAT, "%s: tensor \"%s\" is %s%s, the run has %s%s", path,
                           want->name, wf_dtype_name(t->dtype),
                           wf_shape_text(&t->shape, a, sizeof a), wf_dtype_name(want->dtype),
                           wf_shape_text(&want->shape, b, sizeof b));
    }
    if (wf_safetensors_count(f) != list->n)
        return wf_fail(WF_FORMAT, "%s: has %zu tensors, the run %zu; is it of another model?", path,
                       wf_safetensors_count(f), list->n);
    return WF_OK;
}

static wf_status load_file(const items *list, const char *path) {
    wf_safetensors *f;
    wf_status status = wf_safetensors_open(&f, path);
    if (status) return status;
    status = check_damage(f, path);
    if (!status) status = check_fit(f, list, path);
    for (size_t i = 0; i < list->n && !status; i++) {
        const wf_named *t = wf_safetensors_find(f, list->named[i].name);
        memcpy(list->target[i], t->data, bytes_of(t));
    }
    wf_safetensors_free(f);
    return status;
}

wf_status wf_checkpoint_load(wf_params *p, const wf_state *state, size_t n, const char *dir,
                             char *note, size_t size) {
    char newest[PATH_BYTES], before[PATH_BYTES], first[LINE_BYTES];
    if (size) note[0] = 0;
    if (!p || !dir || (n && !state))
        return wf_fail(WF_ARGUMENT, "wf_checkpoint_load: p, state and dir must be given");
    items list = {.n = 0};
    wf_status status = path_of(newest, dir, WF_CHECKPOINT_FILE);
    if (!status) status = path_of(before, dir, WF_CHECKPOINT_BEFORE);
    if (!status && access(newest, F_OK) && access(before, F_OK))
        status = wf_fail(WF_NOT_FOUND, "%s: no checkpoint is saved there yet", dir);
    if (!status) status = list_items(&list, p, state, n);
    if (!status && (status = load_file(&list, newest)) != WF_OK) {
        snprintf(first, sizeof first, "%s", wf_error());
        const wf_status second = access(before, F_OK) ? status : load_file(&list, before);
        if (second)
            wf_fail(status, "%s", first);
        else
            snprintf(note, size, "%s; going on from %s, the generation before it", first, before);
        if (!second) status = WF_OK;
    }
    free_items(&list);
    return status;
}
