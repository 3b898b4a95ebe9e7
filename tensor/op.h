/* The operation descriptor: everything that the rest of Weft knows about an operation.
 *
 * Invariants
 *   - A node points to a `const wf_op`; nothing enumerates operations, nothing switches on one.
 *     A descriptor in a user's file works like one of the library.
 *   - `eval` is the meaning. Kernels, generated code and folding must agree with it.
 *   - Functions here are pure: they look at their arguments only, allocate nothing and never print.
 *
 * A structural operation is one file with fixed chapters: index formula, attributes, infer, eval,
 * gradient, kernel, samples, descriptor, constructor; and one line in tensor/op_list.c. */
#ifndef WEFT_OP_H
#define WEFT_OP_H

#include "tensor/array.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the compiler may ask of an operation; its whole contract with one. */
typedef enum wf_kind {
    WF_KIND_LEAF,        /* input, parameter, constant: bound to a buffer */
    WF_KIND_ELEMENTWISE, /* out[i] = f(in_0[i], ...) after broadcasting */
    WF_KIND_REDUCE,      /* folds axes of one input */
    WF_KIND_VIEW,        /* one input seen through other strides (`view`), else a copy */
    WF_KIND_PLACE,       /* inputs written side by side into the output (`place`) */
    WF_KIND_CONTRACT,    /* sum of products */
    WF_KIND_OPAQUE,      /* anything else that is a pure function of inputs and attributes */
    WF_KIND_ASSIGN,      /* input 1 becomes the content of the leaf that input 0 is */
} wf_kind;

typedef struct wf_type {
    wf_dtype dtype;
    wf_shape shape;
} wf_type;

/* Shape rule. Reads in[], attr; sets out; or returns wf_infer_fail(q, "x has %d channels, ...").
 * The caller prefixes scope and operation name. */
typedef struct wf_infer {
    const wf_op *op;
    const void *attr;
    int n_in;
    const wf_type *in; /* (n_in) */
    wf_type out;
    char message[320];
} wf_infer;
WF_API bool wf_infer_fail(wf_infer *q, const char *format, ...) WF_PRINTF(2, 3);

/* One evaluation: operands and result in memory. */
typedef struct wf_call {
    const wf_op *op;
    const void *attr;
    int n_in;
    const wf_array *in; /* (n_in) */
    wf_array out;       /* in[0] is the leaf's array for an assign */
} wf_call;

/* Gradient rule: given y = op(x...) and the cotangent g of y (same type as y), emit nodes and set
 * gx[i] for every i with wanted[i]: a tensor of x[i]'s dtype and shape, or WF_NONE where no
 * gradient flows (indices, comparisons). A wanted gx[i] that is left unset is a bug that wf_grad
 * reports. */
typedef struct wf_grad_call {
    wf_graph *graph;
    wf_tensor y, g;
    const void *attr;
    int n_in;
    const wf_tensor *x; /* (n_in) */
    const bool *wanted; /* (n_in) */
    wf_tensor *gx;      /* (n_in), zero on entry */
} wf_grad_call;
#define WF_NONE ((wf_tensor){NULL, UINT32_MAX})

/* Work by rows. Operands and result are seen as rows one after another in memory, so that a program
 * can run several kernels on one block of rows while it is in cache (compiler/chain.c). A kernel
 * that reduces the rows themselves (`folds`) leaves a partial for each block in `shared`; the
 * partials are merged in the order of slices when all are there. */
typedef struct wf_row_form {
    int64_t rows;   /* of the result; of operand 0 if it folds */
    int64_t blocks; /* cut like this by the kernel; 0: rows may be cut anywhere */
    int64_t step;   /* elements from a row of operand 0 to the next, of which a block needs its own
                       rows alone; 0: it needs all operands as a whole */
    int64_t lead;   /* slices of equal size along the first axis of the result, each of which needs
                       of the operands `led` (bit i: operand i) the same slice only; 0: not known */
    uint64_t led;
    bool folds;
} wf_row_form;

typedef struct wf_row_block {
    int64_t index;         /* among the kernel's own blocks */
    int64_t first, rows;
    int64_t slice, slices; /* if it folds */
} wf_row_block;

typedef struct wf_row_kernel {
    bool (*form)(const wf_call *c, wf_row_form *out); /* false: not as it lies */
    void (*block)(const wf_call *c, int64_t i, int64_t *first, int64_t *rows); /* if cut */
    void (*run)(const wf_call *c, const wf_row_block *b, void *scratch, void *shared);
    size_t (*fold_bytes)(const wf_call *c, int64_t slices);                    /* if it folds: */
    int64_t (*merge_pieces)(const wf_call *c);
    void (*merge)(const wf_call *c, int64_t slices, int64_t first, int64_t last, void *shared);
    const void *own; /* the kernel's own constants */
} wf_row_kernel;

/* A fast path. It is chosen once, when a program is planned, and then run again and again.
 * The work is `phases` rounds (0 means 1); round p is cut into pieces(c, p) pieces, a number that
 * depends on shapes only, never on threads. A worker calls run for a range of pieces; pieces of one
 * round write disjoint elements of `out` and `shared`; a barrier stands between rounds.
 *   scratch  private to the worker, scratch_bytes(c), 64-byte aligned, not cleared
 *   shared   one for the launch, shared_bytes(c), 64-byte aligned, not cleared */
typedef struct wf_fast {
    bool (*applicable)(const wf_call *c); /* by types, shapes and strides; data pointers are NULL */
    int phases;
    int64_t (*pieces)(const wf_call *c, int phase);
    size_t (*scratch_bytes)(const wf_call *c); /* NULL: none */
    size_t (*shared_bytes)(const wf_call *c);  /* NULL: none */
    void (*run)(const wf_call *c, int phase, int64_t first, int64_t last, void *scratch,
                void *shared);
    const wf_row_kernel *by_rows;              /* NULL: does not work by rows */
} wf_fast;

/* Samples for the enumerating tests: the i-th (0, 1, ...) instance of the operation on leaves made
 * by the sampler, poison when i is past the last. Include odd, size-1 and size-0 extents, negative
 * axes, and every attribute. Keep each below ~200 elements: gradients are checked by
 * differences. */
typedef struct wf_sampler wf_sampler;
struct wf_sampler {
    wf_graph *graph;
    wf_dtype real; /* f32 or f64: the dtype that real() gives */
    wf_tensor (*make_real)(wf_sampler *s, wf_shape shape, double lo,
                           double hi); /* differentiable */
    wf_tensor (*make_index)(wf_sampler *s, wf_dtype t, wf_shape shape, int64_t below);
    wf_tensor (*make_bool)(wf_sampler *s, wf_shape shape);
};

/* How one attribute stands in the textual form of a graph, "{axis=1 first=0 n=32}": one table both
 * writes and reads it (tensor/attr.h). */
typedef enum wf_field_kind {
    WF_FIELD_END,     /* ends a table */
    WF_FIELD_I32,     /* name=7; int32_t, int64_t, uint64_t, double */
    WF_FIELD_I64,
    WF_FIELD_U64,
    WF_FIELD_F64,
    WF_FIELD_FLAG32,  /* the name alone if it is not 0; int32_t, int64_t */
    WF_FIELD_FLAG64,
    WF_FIELD_LIST32,  /* name=2,0,1; at most n int32_t, their number an int32_t at `count` */
    WF_FIELD_ARRAY32, /* name=3,3; n entries, zeros at the end left out alike for all arrays */
    WF_FIELD_ARRAY64,
    WF_FIELD_DTYPE32, /* not written, they follow from the result's type: wf_dtype, */
    WF_FIELD_DTYPE64, /* an int64_t with a wf_dtype, */
    WF_FIELD_SHAPE,   /* wf_shape, */
    WF_FIELD_EXTENT   /* int64_t, the extent of axis n */
} wf_field_kind;

typedef struct wf_field {
    const char *name;
    wf_field_kind kind;
    size_t at, count;  /* offsets in the attributes */
    int n;
    bool optional;     /* I32, I64: left out where it is `otherwise` */
    int64_t otherwise;
} wf_field;
#define WF_FIELD(kind_, type, member, ...)                                                         \
    {.name = #member, .kind = WF_FIELD_##kind_, .at = offsetof(type, member), __VA_ARGS__}

typedef struct wf_text wf_text;             /* tensor/attr.h */
typedef struct wf_attr_parse wf_attr_parse; /* tensor/attr.h */

struct wf_op {
    const char *name;
    wf_kind kind;
    int min_in, max_in;                                   /* max_in < 0: any number */
    bool (*infer)(wf_infer *q);
    void (*eval)(const wf_call *c);                       /* one thread, no allocation */
    void (*grad)(const wf_grad_call *c);                  /* NULL: not differentiable */
    const char *no_grad_reason;                           /* set exactly when grad is NULL */
    bool (*view)(const void *attr, const wf_array *in, wf_array *out); /* VIEW: false = must copy.
                                      Sets out's data and stride; out's dtype and shape are given */
    void (*place)(const void *attr, const wf_array *out, int i, wf_array *slot); /* PLACE: sets
                                      slot's data and stride; slot's dtype and shape (those of
                                      input i) are given */
    const char *expr;                                     /* ELEMENTWISE: C text in a, b, c */
    const wf_fast *fast;                                  /* optional */
    wf_tensor (*sample)(wf_sampler *s, int i);            /* NULL only for LEAF */
    const wf_field *fields;                               /* attributes as text; NULL: none, or */
    size_t attr_bytes;                                    /* not by fields. Of the fields' struct */
    void (*print_attr)(const void *attr, wf_text *t);     /* instead of fields */
    bool (*parse_attr)(wf_attr_parse *p);                 /* instead of fields */
};

/* All operations of the library, NULL-terminated: for tests, tables and documentation. */
WF_API const wf_op *const *wf_all_ops(void);

/* --- for shape rules -------------------------------------------------------------------------- */

/* axis in [-rank, rank) to [0, rank); fails the inference with a message otherwise. */
WF_API bool wf_infer_axis(wf_infer *q, int64_t axis, int rank, int *out);
/* NumPy broadcasting of two shapes; false if they do not agree. */
WF_API bool wf_broadcast(const wf_shape *a, const wf_shape *b, wf_shape *out);

#ifdef __cplusplus
}
#endif
#endif
