/* Weft base: status codes, data types, shapes, the error message of a thread, the log callback.
 *
 * Invariants
 *   - Nothing in the library prints, exits or aborts on what a user or a file can cause: a function
 *     that can fail returns a wf_status, and wf_error() tells file, cause and remedy.
 *   - Every size in bytes or elements goes through the checked arithmetic of tensor/size.h. */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WF_VERSION_MAJOR 0
#define WF_VERSION_MINOR 1
#define WF_VERSION_PATCH 0
#define WF_VERSION "0.1.0"

#define WF_API __attribute__((visibility("default")))
#if defined(__GNUC__)
#define WF_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WF_PRINTF(f, a)
#endif

/* "0.1.0": the version of the library that runs, beside WF_VERSION of the header it was built
 * with. */
WF_API const char *wf_version(void);

/* Status codes: name, text. OK is 0, so `if (wf_...())` reads "if it failed". */
#define WF_STATUS_MAP(X)                                                                           \
    X(OK, "ok")                                                                                    \
    X(MODEL, "a mistake in the model")                                                             \
    X(ARGUMENT, "a wrong argument")                                                                \
    X(INPUT, "an input file is missing or cannot be read")                                         \
    X(FORMAT, "an input file is malformed")                                                        \
    X(OUTPUT, "an output file cannot be written")                                                  \
    X(MEMORY, "not enough memory")                                                                 \
    X(NOT_FOUND, "no such name")                                                                   \
    X(UNSUPPORTED, "not supported here")                                                           \
    X(NOT_FINITE, "a value is not finite")                                                         \
    X(INTERNAL, "a bug in Weft")

typedef enum wf_status {
#define X(name, text) WF_##name,
    WF_STATUS_MAP(X)
#undef X
        WF_N_STATUS
} wf_status;

/* "FORMAT" for WF_FORMAT; the text for people is wf_status_text. Static storage. */
WF_API const char *wf_status_name(wf_status s);
WF_API const char *wf_status_text(wf_status s);

/* The calling thread's last error message, one line without a newline: what, where, remedy.
 * Owner: the library; valid until the thread's next failing call. "" when nothing has failed. */
WF_API const char *wf_error(void);

/* Sets the thread's message and returns `s`, so that a failing function ends `return wf_fail(...)`.
 * Public because models and user operations report errors the same way. */
WF_API wf_status wf_fail(wf_status s, const char *format, ...) WF_PRINTF(2, 3);

/* Debug output asked for by WF_DEBUG goes here, one line a call, without its newline. NULL restores
 * the default, which writes to stderr. */
typedef void wf_log_fn(void *user, const char *line);
WF_API void wf_set_log(wf_log_fn *fn, void *user);
WF_API void wf_log_line(const char *format, ...) WF_PRINTF(1, 2);

/* Data types: name, text, bytes, safetensors name. F32 and F64 are computed in; I32 and I64 have
 * add, sub, mul, minimum, maximum and comparisons; the rest is storage, masks and indices. */
#define WF_DTYPE_MAP(X)                                                                            \
    X(F32, "f32", 4, "F32")                                                                        \
    X(F64, "f64", 8, "F64")                                                                        \
    X(BF16, "bf16", 2, "BF16")                                                                     \
    X(F16, "f16", 2, "F16")                                                                        \
    X(I32, "i32", 4, "I32")                                                                        \
    X(I64, "i64", 8, "I64")                                                                        \
    X(U8, "u8", 1, "U8")                                                                           \
    X(BOOL, "bool", 1, "BOOL")

typedef enum wf_dtype {
#define X(name, text, bytes, st) WF_##name,
    WF_DTYPE_MAP(X)
#undef X
        WF_N_DTYPE
} wf_dtype;

WF_API const char *wf_dtype_name(wf_dtype t);    /* "f32" */
WF_API size_t wf_dtype_bytes(wf_dtype t);        /* 4 */
WF_API bool wf_dtype_is_real(wf_dtype t);        /* f32 or f64: what arithmetic and gradients use */

/* One element of storage type t at p, as a double and back (round to nearest even; integers
 * saturate, NaN becomes 0 in them; bool is value != 0). The only conversions in the library. */
WF_API double wf_load(wf_dtype t, const void *p);
WF_API void wf_store(wf_dtype t, void *p, double v);

/* A shape: rank and extents, row-major (the last axis varies fastest). Rank 0 is a scalar; extents
 * may be 0. Entries past the rank are 0, so that equal shapes have equal bytes. */
#define WF_MAX_RANK 8
typedef struct wf_shape {
    int32_t rank;
    int64_t dim[WF_MAX_RANK];
} wf_shape;

/* WF_SHAPE(32, 28, 28, 1). More than WF_MAX_RANK extents give rank > 8, which every use refuses. */
#define WF_COUNT(array) (sizeof(array) / sizeof((array)[0]))
WF_API wf_shape wf_shape_make(int rank, const int64_t *dim);
#ifdef __cplusplus
}
template <class... T> static inline wf_shape wf_shape_of(T... d) {
    const int64_t dim[] = {(int64_t)d...};
    return wf_shape_make((int)sizeof...(d), dim);
}
#define WF_SHAPE(...) wf_shape_of(__VA_ARGS__)
extern "C" {
#else
#define WF_SHAPE(...)                                                                              \
    wf_shape_make((int)WF_COUNT(((const int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})
#endif
#define WF_SCALAR wf_shape_make(0, NULL)

/* Number of elements; -1 if the product overflows, an extent is negative or the rank is bad. */
WF_API int64_t wf_shape_count(const wf_shape *s);
WF_API bool wf_shape_equal(const wf_shape *a, const wf_shape *b);

/* "[8,32,32,64]" written into buf (cut at size); returns buf. */
WF_API const char *wf_shape_text(const wf_shape *s, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
