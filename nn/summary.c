/* The table of a model's layers. A layer is a scope in which parameters are made; what lies in
 * scopes below it that are no layers themselves (time steps) belongs to it. */
#include <stdlib.h>
#include <string.h>

#include "nn/nn.h"

/* True if `scope` is `layer` or lies below it. */
static bool is_within(const char *scope, const char *layer) {
    const size_t n = strlen(layer);
    return !strncmp(scope, layer, n) && (!n || !scope[n] || scope[n] == '/');
}

static wf_layer_info *find_layer(wf_layer_info *row, size_t n, const char *scope) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(row[i].name, scope)) return &row[i];
    return NULL;
}

/* Rows in the order in which layers got their first parameter. */
static size_t list_layers(wf_layer_info *row, const wf_params *p, wf_graph *g) {
    size_t n = 0;
    for (size_t i = 0; i < wf_params_count(p); i++) {
        const wf_param_info info = wf_params_at(p, i);
        const wf_tensor leaf = wf_leaf_of(g, info.data);
        if (info.role != WF_ROLE_PARAM || !wf_ok(leaf)) continue;
        wf_layer_info *layer = find_layer(row, n, wf_scope_of(leaf));
        if (!layer) {
            layer = &row[n++];
            layer->name = wf_scope_of(leaf);
        }
        layer->params += wf_shape_count(&info.shape);
    }
    return n;
}

static wf_layer_info *innermost(wf_layer_info *row, size_t n, const char *scope) {
    wf_layer_info *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (is_within(scope, row[i].name) &&
            (!best || strlen(row[i].name) > strlen(best->name)))
            best = &row[i];
    return best;
}

wf_status wf_nn_summary(const wf_params *p, wf_graph *g, wf_layer_info **out, size_t *n) {
    if (!p || !g || !out || !n) return wf_fail(WF_ARGUMENT, "wf_nn_summary: an argument is NULL");
    wf_scope_info *scope;
    size_t n_scopes;
    *out = NULL;
    *n = 0;
    wf_status s = wf_graph_scopes(g, &scope, &n_scopes);
    if (s) return s;
    wf_layer_info *row = calloc(wf_params_count(p) + 1, sizeof *row);
    if (!row) {
        free(scope);
        return wf_fail(WF_MEMORY, "no memory for a table of layers");
    }
    *n = list_layers(row, p, g);
    for (size_t i = 0; i < n_scopes; i++) {
        wf_layer_info *layer = innermost(row, *n, scope[i].scope);
        if (!layer) continue;
        layer->flops += scope[i].flops;
        if (!wf_ok(scope[i].last) || scope[i].last.id < layer->last) continue;
        layer->last = scope[i].last.id;
        layer->dtype = wf_dtype_of(scope[i].last);
        layer->shape = wf_shape_of_tensor(scope[i].last);
    }
    free(scope);
    *out = row;
    return WF_OK;
}

/* 1234567 as 1,234,567. */
static const char *with_commas(int64_t n, char buf[32]) {
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    char *to = buf;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return buf;
}

wf_status wf_nn_summary_print(const wf_params *p, wf_graph *g, FILE *f) {
    wf_layer_info *row;
    size_t n;
    int64_t params = 0;
    double flops = 0;
    char count[32], shape[96];
    if (!f) return wf_fail(WF_ARGUMENT, "wf_nn_summary_print: the file is NULL");
    const wf_status s = wf_nn_summary(p, g, &row, &n);
    if (s) return s;
    fprintf(f, "%-32s %-20s %12s %10s\n", "layer", "output", "parameters", "GFLOP");
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "%-32s %-20s %12s %10.3f\n", row[i].name,
                wf_shape_text(&row[i].shape, shape, sizeof shape),
                with_commas(row[i].params, count), row[i].flops * 1e-9);
        params += row[i].params;
        flops += row[i].flops;
    }
    fprintf(f, "%-32s %-20s %12s %10.3f\n", "all (forward)", "", with_commas(params, count),
            flops * 1e-9);
    free(row);
    return ferror(f) ? wf_fail(WF_OUTPUT, "cannot write the table of layers") : WF_OK;
}
