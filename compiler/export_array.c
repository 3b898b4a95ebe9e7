/* The arrays of an exported file: inputs, outputs and leaves by name, constants, arenas. */
#define _GNU_SOURCE /* asprintf */
#include "compiler/export_file.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- names ------------------------------------------------------------------------------------ */

/* Names that the file has for itself: run, arena_.., k12, c3. */
static bool is_reserved(const char *s) {
    if (strcmp(s, "run") == 0 || strncmp(s, "arena_", 6) == 0) return true;
    return (*s == 'k' || *s == 'c') && s[1] && s[1 + strspn(s + 1, "0123456789")] == 0;
}

/* True if `name` is one that is there, or the macro for its size. */
static bool clash(const char *name, const char *other) {
    const size_t n = strlen(other);
    return strncmp(name, other, n) == 0 && (!name[n] || strcmp(name + n, "_size") == 0);
}

static bool is_taken(const wf_export *e, const char *name) {
    for (uint32_t i = 0; i < e->n_array; i++)
        if (e->array[i].name && (clash(name, e->array[i].name) || clash(e->array[i].name, name)))
            return true;
    return false;
}

/* The prefix, and the port's name in letters that C has; a number where that is not unique. */
static char *name_of(const wf_export *e, const wf_port *port, int output) {
    char plain[32], *name = NULL, *base = NULL;
    const char *from = port->name;
    snprintf(plain, sizeof plain, "output%d", output);
    if (!*from && port->kind == WF_PORT_OUTPUT) from = plain;
    if (!*from) snprintf(plain, sizeof plain, "leaf%u", port->id), from = plain;
    if (asprintf(&base, "%s_%s%s", e->prefix, from, is_reserved(from) ? "_" : "") < 0) return NULL;
    for (char *c = base; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    for (int n = 1; n == 1 || (name && is_taken(e, name)); n++) {
        free(name);
        if (n == 1) name = strdup(base);
        else if (asprintf(&name, "%s_%d", base, n) < 0) name = NULL;
    }
    free(base);
    return name;
}

/* --- storages --------------------------------------------------------------------------------- */

/* The storage of the program's plan as the one of this plan. */
static uint32_t storage_of(const wf_export *e, const wf_port *port) {
    const wf_plan *from = &e->program->plan, *to = &e->plan;
    if (port->kind == WF_PORT_LEAF) {
        for (uint32_t s = 1; s < to->n_storage; s++)
            if (to->storage[s].where == WF_WHERE_LEAF && to->storage[s].data == port->data)
                return s;
        return 0;
    }
    for (uint32_t i = 0; port->kind == WF_PORT_OUTPUT && i < from->n_output; i++)
        if (from->output[i] == port->storage) return to->output[i];
    for (uint32_t i = 0; port->storage && i < from->n_input; i++)
        for (uint32_t k = 0; from->input[i].storage == port->storage && k < to->n_input; k++)
            if (to->input[k].serial == from->input[i].serial) return to->input[k].storage;
    return 0;
}

static wf_status name_ports(wf_export *e) {
    const wf_program *p = e->program;
    int outputs = 0;
    e->array = calloc(p->n_port ? p->n_port : 1, sizeof *e->array);
    if (!e->array) return wf_fail(WF_MEMORY, "out of memory in the export");
    for (int kind = WF_PORT_INPUT; kind <= WF_PORT_LEAF; kind++)
        for (uint32_t i = 0; i < p->n_port; i++) {
            if ((int)p->port[i].kind != kind) continue;
            wf_export_array *a = &e->array[e->n_array];
            *a = (wf_export_array){.port = &p->port[i], .storage = storage_of(e, &p->port[i])};
            a->name = name_of(e, a->port, outputs);
            outputs += kind == WF_PORT_OUTPUT;
            if (!a->name) return wf_fail(WF_MEMORY, "out of memory in the export");
            e->n_array++;
            a->alias = a->storage && e->where[a->storage];
            if (!a->storage || a->alias) continue;
            e->where[a->storage] = strdup(a->name);
            if (!e->where[a->storage]) return wf_fail(WF_MEMORY, "out of memory in the export");
        }
    return WF_OK;
}

static wf_status name_constants(wf_export *e) {
    for (uint32_t s = 1; s < e->plan.n_storage; s++)
        if (e->plan.storage[s].where == WF_WHERE_LEAF && !e->where[s] &&
            asprintf(&e->where[s], "%s_c%u", e->prefix, s) < 0) {
            e->where[s] = NULL;
            return wf_fail(WF_MEMORY, "out of memory in the export");
        }
    return WF_OK;
}

/* Plans the offsets of one type after the other, as if the others had no storages. */
static wf_status plan_arenas(wf_export *e) {
    wf_plan *p = &e->plan;
    size_t *bytes = calloc(p->n_storage ? p->n_storage : 1, sizeof *bytes);
    size_t *offset = calloc(p->n_storage ? p->n_storage : 1, sizeof *offset);
    wf_status status = bytes && offset ? WF_OK : wf_fail(WF_MEMORY, "out of memory in the export");
    for (uint32_t s = 1; s < p->n_storage && !status; s++) bytes[s] = p->storage[s].bytes;
    for (int t = 0; t < WF_N_DTYPE && !status; t++) {
        for (uint32_t s = 1; s < p->n_storage; s++)
            p->storage[s].bytes = e->type[s] == t ? bytes[s] : 0;
        p->arena_bytes = p->buffer_bytes = 0;
        status = wf_plan_offsets(p, true);
        e->arena[t] = p->arena_bytes;
        for (uint32_t s = 1; s < p->n_storage; s++)
            if (e->type[s] == t) offset[s] = p->storage[s].offset;
    }
    for (uint32_t s = 1; s < p->n_storage && !status; s++) {
        p->storage[s].bytes = bytes[s];
        p->storage[s].offset = offset[s];
    }
    free(bytes);
    free(offset);
    return status;
}

wf_status wf_export_arrays(wf_export *e) {
    const wf_plan *p = &e->plan;
    const size_t n = p->n_storage ? p->n_storage : 1;
    e->where = calloc(n, sizeof *e->where);
    e->type = malloc(n);
    if (!e->where || !e->type) return wf_fail(WF_MEMORY, "out of memory in the export");
    memset(e->type, WF_N_DTYPE, n); /* of a kernel's own area: none, it is not needed */
    for (uint32_t i = 0; i < p->n_array; i++)
        e->type[p->operand[i].storage] = (uint8_t)p->array[i].dtype;
    wf_status s = name_ports(e);
    if (!s) s = name_constants(e);
    return s ? s : plan_arenas(e);
}

void wf_export_arrays_free(wf_export *e) {
    for (uint32_t i = 0; i < e->n_array; i++) free(e->array[i].name);
    for (uint32_t s = 0; e->where && s < e->plan.n_storage; s++) free(e->where[s]);
    free(e->array);
    free(e->where);
    free(e->type);
}

wf_ctext_expr wf_export_operand(const wf_export *e, uint32_t i) {
    const wf_operand *o = &e->plan.operand[i];
    const wf_dtype t = e->plan.array[i].dtype;
    const wf_storage *s = &e->plan.storage[o->storage];
    const bool arena = s->where == WF_WHERE_ARENA;
    const int64_t bytes = o->offset + (arena ? (int64_t)s->offset : 0);
    const long long at = (long long)(bytes / (int64_t)wf_dtype_bytes(t));
    char name[400];
    if (arena) snprintf(name, sizeof name, "%.300s_arena_%s", e->prefix, wf_dtype_name(t));
    else snprintf(name, sizeof name, "%.390s", e->where[o->storage]);
    wf_ctext_expr x;
    snprintf(x.s, sizeof x.s, at ? "%s + %lld" : "%s", name, at);
    return x;
}

/* --- text ------------------------------------------------------------------------------------- */

static long long count_of(const wf_type *t) {
    const int64_t n = wf_shape_count(&t->shape);
    return n > 0 ? (long long)n : 1; /* C has no array of none */
}

void wf_export_declare(const wf_export *e, FILE *f) {
    static const char *const kind[] = {"input", "output", "parameter or state"};
    for (uint32_t i = 0; i < e->n_array; i++) {
        const wf_export_array *a = &e->array[i];
        const wf_type *t = &a->port->type;
        char shape[200];
        fprintf(f, "\n/* %s, %s%s */\n#define %s_size %lld\n", kind[a->port->kind],
                wf_dtype_name(t->dtype), wf_shape_text(&t->shape, shape, sizeof shape), a->name,
                (long long)wf_shape_count(&t->shape));
        if (a->alias) fprintf(f, "#define %s %s\n", a->name, e->where[a->storage]);
        else fprintf(f, "extern %s %s[%lld];\n", wf_ctext_type(t->dtype), a->name, count_of(t));
    }
}

static void write_value(FILE *f, wf_dtype t, const void *p) {
    const double v = t == WF_I64 ? 0 : wf_load(t, p);
    unsigned short half;
    if (t == WF_I64 && *(const int64_t *)p == INT64_MIN) fputs("-9223372036854775807L - 1", f);
    else if (t == WF_I64) fprintf(f, "%lldL", (long long)*(const int64_t *)p);
    else if (t == WF_I32 && v <= -2147483648.0) fputs("-2147483647 - 1", f);
    else if (t == WF_BF16 || t == WF_F16) memcpy(&half, p, 2), fprintf(f, "0x%x", half);
    else if (isnan(v)) fputs(t == WF_F32 ? "__builtin_nanf(\"\")" : "__builtin_nan(\"\")", f);
    else if (isinf(v)) fprintf(f, "%s__builtin_inf%s()", v < 0 ? "-" : "", t == WF_F32 ? "f" : "");
    else if (!wf_dtype_is_real(t)) fprintf(f, "%.0f", v);
    else if (v == 0 && !signbit(v)) fputc('0', f);
    else fprintf(f, "%a%s", v, t == WF_F32 ? "f" : "");
}

/* An array; `data` NULL, or all its bytes 0: zeros. */
static void write_array(FILE *f, const char *how, const char *name, wf_dtype t, const void *data,
                        size_t bytes) {
    const size_t each = wf_dtype_bytes(t), n = bytes / each;
    const unsigned char *p = data;
    bool zero = true;
    for (size_t i = 0; data && i < bytes && zero; i++) zero = p[i] == 0;
    fprintf(f, "%s%s %s[%zu] = {", how, wf_ctext_type(t), name, n ? n : 1);
    if (zero) fputc('0', f);
    for (size_t i = 0; i < n && !zero; i++) {
        fputs(i == 0 ? "\n    " : i % 8 ? ", " : ",\n    ", f);
        write_value(f, t, p + i * each);
    }
    fputs("};\n", f);
}

void wf_export_define(const wf_export *e, FILE *f) {
    const wf_plan *p = &e->plan;
    for (uint32_t i = 0; i < e->n_array; i++) {
        const wf_export_array *a = &e->array[i];
        const bool values = a->port->kind == WF_PORT_LEAF && !e->zeros;
        if (!a->alias)
            write_array(f, "", a->name, a->port->type.dtype, values ? a->port->data : NULL,
                        a->port->bytes);
    }
    for (uint32_t s = 1; s < p->n_storage; s++) {
        bool named = false;
        for (uint32_t i = 0; i < e->n_array; i++) named |= e->array[i].storage == s;
        if (named || p->storage[s].where != WF_WHERE_LEAF || e->type[s] == WF_N_DTYPE) continue;
        write_array(f, "static const ", e->where[s], (wf_dtype)e->type[s], p->storage[s].data,
                    p->storage[s].bytes);
    }
    for (int t = 0; t < WF_N_DTYPE; t++)
        if (e->arena[t])
            fprintf(f, "static %s %s_arena_%s[%zu] __attribute__((aligned(64)));\n",
                    wf_ctext_type((wf_dtype)t), e->prefix, wf_dtype_name((wf_dtype)t),
                    e->arena[t] / wf_dtype_bytes((wf_dtype)t));
}
