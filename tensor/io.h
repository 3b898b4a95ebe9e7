/* Files: safetensors (read and write) and npy (u8, bool, i32, i64, f16, f32, f64). Every refusal
 * returns WF_INPUT, WF_FORMAT, WF_OUTPUT or WF_MEMORY with file, tensor, offset and reason in
 * wf_error(). A header is believed only as far as the bytes of the file bear it out: memory never
 * grows by more than file size + 1 MiB because of what a header claims. Writing goes to a temporary
 * name in the same directory, is fsynced and renamed: a final name never holds half a file. */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include "tensor/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- safetensors ------------------------------------------------------------------------------ */

/* A named dense array in memory. */
typedef struct wf_named {
    const char *name;
    wf_dtype dtype;
    wf_shape shape;
    const void *data;
} wf_named;

typedef struct wf_safetensors wf_safetensors; /* an opened, validated, mapped file */

WF_API wf_status wf_safetensors_open(wf_safetensors **out, const char *path);
WF_API void wf_safetensors_free(wf_safetensors *s);
WF_API size_t wf_safetensors_count(const wf_safetensors *s);
/* The i-th tensor in file order, or by name (NULL if absent). Owner: s. Data may be unaligned for
 * its dtype: read it with memcpy. */
WF_API const wf_named *wf_safetensors_at(const wf_safetensors *s, size_t i);
WF_API const wf_named *wf_safetensors_find(const wf_safetensors *s, const char *name);
/* The value of a __metadata__ key, NULL if absent. Owner: s. */
WF_API const char *wf_safetensors_meta(const wf_safetensors *s, const char *key);

/* Writes n tensors in the given order; meta[2 i] is a key, meta[2 i + 1] its value, i < n_meta. */
WF_API wf_status wf_safetensors_write(const char *path, const wf_named *tensor, size_t n,
                                      const char *const *meta, size_t n_meta);

/* --- npy -------------------------------------------------------------------------------------- */

typedef struct wf_npy {
    wf_dtype dtype;
    wf_shape shape;   /* C order */
    const void *data; /* mapped, read-only, aligned to at least 16 bytes where the file is */
    void *map;
    size_t map_bytes;
} wf_npy;
WF_API wf_status wf_npy_open(wf_npy *out, const char *path); /* little-endian, C order only */
WF_API void wf_npy_close(wf_npy *a);
WF_API wf_status wf_npy_write(const char *path, wf_dtype dtype, wf_shape shape, const void *data);

/* Opens `path` for atomic writing with the npy header of this dtype and shape already in it; the
 * caller writes the data that the shape needs and commits. For arrays larger than memory. */
typedef struct wf_file wf_file;
WF_API wf_status wf_npy_create(wf_file **out, const char *path, wf_dtype dtype, wf_shape shape);

/* --- atomic writing, for other formats -------------------------------------------------------- */

/* A file being written aside. wf_file_write keeps the first error; wf_file_commit flushes, fsyncs,
 * renames to the final name and fsyncs the directory, or removes the temporary file and returns
 * WF_OUTPUT. */
WF_API wf_status wf_file_create(wf_file **out, const char *path);
WF_API wf_status wf_file_write(wf_file *f, const void *data, size_t bytes);
WF_API wf_status wf_file_commit(wf_file *f); /* frees f */
WF_API void wf_file_discard(wf_file *f);     /* frees f, removes the temporary file; NULL is fine */
/* Removes the temporary files that processes of this machine left in folder `dir` when they were
 * killed while writing. For a folder that belongs to one program. */
WF_API void wf_file_sweep(const char *dir);

#ifdef __cplusplus
}
#endif
#endif
