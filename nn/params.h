/* Inside nn/: how parameters are stored, and what layers share.
 *
 * Invariants
 *   - Every name that a state_dict file may hold is a key of the table, and so is every parameter's
 *     own name; no two are equal.
 *   - Data is dense, aligned to 64 bytes, and stays where it is until wf_params_free. */
#ifndef WEFT_NN_PARAMS_H
#define WEFT_NN_PARAMS_H

#include "nn/nn.h"

enum { WF_NAME_BYTES = 512, WF_PREFIX_DEPTH = 32 };

typedef struct wf_param_entry {
    wf_param_info info; /* name is owned */
    size_t bytes;
    bool conv_layout;
    int n_parts;        /* 0: the file holds the parameter under its own name */
    char **part;        /* (n_parts) full names in the file, owned */
} wf_param_entry;

/* A name and what it stands for: part -1 is the parameter as a whole, not to be found in a file;
 * k >= 0 is its k-th tensor in the file (0 where it has no parts). */
typedef struct wf_param_key {
    const char *name; /* NULL: free */
    uint32_t entry;
    int32_t part;
} wf_param_key;

struct wf_params {
    uint64_t seed;
    wf_param_entry *entry; /* (n), in order of creation */
    uint32_t n, cap;
    wf_param_key *key; /* (key_cap), a power of two, open addressing */
    uint32_t n_keys, key_cap;
    char prefix[WF_NAME_BYTES]; /* "" or ends in "." */
    size_t mark[WF_PREFIX_DEPTH];
    int depth, too_deep; /* pushes that did not fit, which make every name an error */
    bool unbalanced;
    char **shared; /* (n_shared) pairs: a name, and the name of the parameter it stands for */
    uint32_t n_shared;
};

/* The key of `name`, or of what it stands for; NULL if there is none. */
const wf_param_key *wf_params_key(const wf_params *p, const char *name);

/* wf_param, but `name` is the full name and no prefix is put before it. */
wf_tensor wf_param_absolute(wf_graph *g, wf_params *p, const char *name, wf_shape shape,
                            wf_init init, const wf_param_opt *o);

/* The leaf of a trainable parameter in graph g; poison if g does not use it, or for other roles. */
wf_tensor wf_entry_leaf(const wf_param_entry *e, wf_graph *g);

/* Number of tensors of an entry in a file (0 for optimiser state), and one of them: its name, shape
 * in the file, and where it starts in an array of the entry's shape, in elements. */
int wf_entry_files(const wf_param_entry *e);
typedef struct wf_entry_file {
    const char *name;
    wf_shape shape;
    int64_t first, count;
} wf_entry_file;
wf_entry_file wf_entry_file_at(const wf_param_entry *e, int part);

/* Fills `data` (nn/init.c). Pure function of seed, name and the other arguments. */
wf_status wf_init_fill(void *data, wf_dtype dtype, const wf_shape *shape, wf_init init,
                       uint64_t seed, const char *name);

/* FNV-1a: a stream number for a name. */
uint64_t wf_name_hash(const char *name);

/* Enters layer `name`: scope of nodes and prefix of parameters. False (and nothing entered) if x is
 * not a value or p is missing; the layer then returns poison. Leaving returns its argument. */
bool wf_layer_enter(wf_params *p, const char *name, wf_tensor x);
wf_tensor wf_layer_leave(wf_params *p, wf_tensor x, wf_tensor y);
static inline wf_tensor wf_poison(wf_tensor x) { return (wf_tensor){x.graph, 0}; }

/* A layer's complaint about the dtype or shape of x: "x f32[2,3] is not (N, H, W, C)". */
wf_tensor wf_layer_refuse(wf_tensor x, const char *expected);

/* x (T, N, C) times w (G, C), plus bias (G) unless it is a zero handle: (T, N, G) as one matmul. */
wf_tensor wf_sequence_product(wf_tensor x, wf_tensor w, wf_tensor bias);

/* Cells over images (nn/conv_cell.c): checks x and sizes and pushes the cell's prefix, which is
 * none for a single cell; false, and nothing pushed, after a message. */
bool wf_conv_cell_enter(wf_params *p, wf_tensor x, const char *kind, int64_t hidden, int32_t kernel,
                        const wf_recurrent_opt *o, const char *suffix);
void wf_conv_cell_leave(wf_params *p);
/* A parameter of n gates along axis 0; files hold part[0 .. n). whole: see wf_param_opt. */
wf_tensor wf_gates_param(wf_params *p, wf_tensor x, const char *name, wf_shape shape, int n,
                         const char *const *part, wf_init init, bool whole);

#endif
