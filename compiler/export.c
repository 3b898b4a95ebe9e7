/* Writes a program as C. Its graph is planned once more, for one thread and without chains; every
 * launch becomes a call of a function that knows no addresses, so that equal launches - the time
 * steps of a recurrence - share one (export_text.h). Groups are the text that the code generator
 * makes of them (code_text.h). The whole file is made in memory: an error leaves nothing behind. */
#define _GNU_SOURCE /* open_memstream */
#include "compiler/export.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/code_text.h"
#include "compiler/export_file.h"
#include "tensor/contract.h"

/* The functions so far, as text behind the name. */
typedef struct function_list {
    struct {
        uint64_t hash;
        char *text; /* owned */
    } *list;
    uint32_t n, cap;
} function_list;

typedef struct writer {
    wf_export e;
    function_list known;
    FILE *functions, *run; /* the text of functions, and of calls */
    struct {
        char name[WF_CODE_NAME];
        wf_group *of; /* owned */
    } *group;
    uint32_t n_group, group_cap;
    unsigned needs;        /* WF_CTEXT_.. of all functions */
    const char *scope;     /* of the last call */
} writer;

/* --- one launch ------------------------------------------------------------------------------- */

/* "(const float *x0, float *y) {" */
static void write_parameters(FILE *f, const wf_array *a, int n_in, int n_out, bool group) {
    for (int i = 0; i < n_in + n_out; i++) {
        const char *type = wf_ctext_type(a[i].dtype);
        fputs(i ? ", " : "(", f);
        if (i < n_in) fprintf(f, "const %s *x%d", type, i);
        else if (group) fprintf(f, "%s *y%d", type, i - n_in);
        else fprintf(f, "%s *y", type);
    }
    fputs(") {\n", f);
}

static wf_status refuse(const writer *w, const wf_launch *l, const wf_op *op) {
    const char *scope = wf_graph_scope_text(w->e.plan.graph,
                                            wf_graph_node(w->e.plan.graph, l->node)->scope);
    const wf_contract_attr *c = l->call.attr;
    if ((op == &wf_op_contract || op == &wf_op_pack) && c->compute)
        return wf_fail(WF_UNSUPPORTED, "wf_export_c: the operation \"%s\"%s%s computes in %s; "
                       "compile the program with precision f32", op->name,
                       *scope ? " of " : "", scope, wf_compute_name(c->compute));
    return wf_fail(WF_UNSUPPORTED, "wf_export_c: the operation \"%s\"%s%s has no C text; leave it "
                   "out of the exported graph", op->name, *scope ? " of " : "", scope);
}

/* Notes that the file needs the group's code; its name in `name`. */
static wf_status use_group(writer *w, const wf_group *g, char name[WF_CODE_NAME]) {
    if (!wf_code_name(g, name)) return wf_fail(WF_MEMORY, "out of memory in the export");
    for (uint32_t i = 0; i < w->n_group; i++)
        if (strcmp(w->group[i].name, name) == 0) return WF_OK;
    wf_group *copy = malloc(sizeof *copy);
    if (!copy ||
        !wf_plan_room((void **)&w->group, &w->group_cap, w->n_group, 1, sizeof *w->group)) {
        free(copy);
        return wf_fail(WF_MEMORY, "out of memory in the export");
    }
    *copy = *g;
    w->group[w->n_group].of = copy;
    memcpy(w->group[w->n_group++].name, name, WF_CODE_NAME);
    return WF_OK;
}

/* Calls of a group over the outer axes of its arrays. names: of the first result, "y0" or "y". */
static wf_status write_group(writer *w, wf_ctext *c, const wf_group *g, const wf_array *a,
                             bool numbered) {
    const int n = g->n_in + g->n_out, r = a->shape.rank;
    char function[WF_CODE_NAME], name[16];
    const wf_status s = use_group(w, g, function);
    if (s) return s;
    wf_shape outer = a->shape;
    outer.rank -= 2;
    wf_ctext_loops(c, &outer, 'i');
    wf_ctext_line(c, "void *const p[] = {");
    for (int i = 0; i < n; i++) {
        wf_array base = a[i];
        base.shape.rank -= 2;
        if (i < g->n_in) snprintf(name, sizeof name, "x%d", i);
        else snprintf(name, sizeof name, numbered ? "y%d" : "y", i - g->n_in);
        wf_ctext_line(c, "    (void *)(%s + %s)%s", name, wf_ctext_index(&base, 'i', 0).s,
                      i + 1 < n ? "," : "};");
    }
    wf_ctext_line(c, "%s(p, %lld, %lld);", function, (long long)a->shape.dim[r - 2],
                  (long long)a->shape.dim[r - 1]);
    wf_ctext_close(c, 1);
    return WF_OK;
}

static wf_status write_sweep(writer *w, wf_ctext *c, const wf_launch *l, uint32_t row) {
    const wf_plan *p = &w->e.plan;
    const wf_sweep *s = &p->sweep[l->group - 1 + row];
    const wf_group *g = &p->kernel[s->kernel].group;
    if (wf_code_can(g)) return write_group(w, c, g, p->array + s->array, true);
    wf_group one = *g;
    for (one.n_step = 1; wf_code_can(&one); one.n_step++) {}
    return refuse(w, l, g->step[one.n_step - 1].op);
}

static uint64_t hash_text(const char *text) {
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *text; text++) h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return h;
}

/* The number of the function with this text, which is written if it is new. Takes the text. */
static wf_status find_function(writer *w, char *text, uint32_t *number) {
    function_list *k = &w->known;
    const uint64_t hash = hash_text(text);
    for (uint32_t i = 0; i < k->n; i++)
        if (k->list[i].hash == hash && strcmp(k->list[i].text, text) == 0) {
            free(text);
            *number = i;
            return WF_OK;
        }
    if (!wf_plan_room((void **)&k->list, &k->cap, k->n, 1, sizeof *k->list)) {
        free(text);
        return wf_fail(WF_MEMORY, "out of memory in the export");
    }
    k->list[k->n].hash = hash;
    k->list[k->n].text = text;
    fprintf(w->functions, "static void %s_k%u%s}\n\n", w->e.prefix, k->n, text);
    *number = k->n++;
    return WF_OK;
}

static void write_call(writer *w, const wf_launch *l, uint32_t number, uint32_t array, int n) {
    const char *scope = wf_graph_scope_text(w->e.plan.graph,
                                            wf_graph_node(w->e.plan.graph, l->node)->scope);
    if (scope != w->scope && *scope && !strstr(scope, "*/"))
        fprintf(w->run, "    /* %s */\n", scope);
    w->scope = scope;
    fprintf(w->run, "    %s_k%u(", w->e.prefix, number);
    for (int i = 0; i < n; i++)
        fprintf(w->run, "%s%s", i ? ", " : "", wf_export_operand(&w->e, array + (uint32_t)i).s);
    fputs(");\n", w->run);
}

/* One row of a launch: a function, and its call. */
static wf_status write_row(writer *w, const wf_launch *l, uint32_t row) {
    const wf_plan *p = &w->e.plan;
    const uint32_t at = l->group ? p->sweep[l->group - 1 + row].array : l->array;
    const int n_in = l->call.n_in, n_out = l->n_out;
    char *text = NULL;
    size_t size = 0;
    wf_ctext c = {.f = open_memstream(&text, &size), .depth = 1};
    if (!c.f) return wf_fail(WF_MEMORY, "out of memory in the export");
    wf_status s = WF_OK;
    write_parameters(c.f, p->array + at, n_in, n_out, l->group);
    if (l->group) {
        s = write_sweep(w, &c, l, row);
    } else {
        wf_call call = l->call;
        call.in = p->array + at;
        call.out = p->array[at + (uint32_t)n_in];
        wf_group g;
        wf_array a[WF_GROUP_OPERANDS];
        if (wf_export_single(&call, &g, a)) s = write_group(w, &c, &g, a, false);
        else if (!wf_ctext_call(&c, &call)) s = refuse(w, l, call.op);
    }
    const bool failed = ferror(c.f);
    if ((fclose(c.f) || failed) && !s) s = wf_fail(WF_MEMORY, "out of memory in the export");
    w->needs |= c.needs;
    uint32_t number = 0;
    if (s) free(text);
    else s = find_function(w, text, &number);
    if (!s) write_call(w, l, number, at, n_in + n_out);
    return s;
}

/* --- the file --------------------------------------------------------------------------------- */

/* The library's integers are 64 bits wide; and code that is written once for all programs is not
 * always used as a whole. */
static const char opening[] =
    "#if defined(__GNUC__)\n"
    "#pragma GCC diagnostic ignored \"-Wunused-function\"\n"
    "#pragma GCC diagnostic ignored \"-Wunused-parameter\"\n"
    "#pragma GCC diagnostic ignored \"-Wunused-variable\"\n"
    "#pragma GCC diagnostic ignored \"-Wtautological-compare\"\n"
    "#else\n"
    "#error \"this file needs gcc, clang or another compiler with their builtin functions\"\n"
    "#endif\n"
    "#ifdef __cplusplus\n"
    "extern \"C\" {\n"
    "#define _Bool bool\n"
    "#endif\n"
    "typedef char wf_long_has_64_bits[sizeof(long) == 8 ? 1 : -1];\n\n";

static const char philox[] =
    "/* Philox4x32-10: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011. */\n"
    "typedef struct wf_random {\n"
    "    unsigned v[4];\n"
    "} wf_random;\n"
    "static inline wf_random wf_random_block(unsigned a, unsigned b, unsigned c, unsigned d,\n"
    "                                        unsigned key0, unsigned key1) {\n"
    "    for (int round = 0; round < 10; round++) {\n"
    "        const unsigned long long p = 0xD2511F53ull * a, q = 0xCD9E8D57ull * c;\n"
    "        a = (unsigned)(q >> 32) ^ b ^ key0;\n"
    "        c = (unsigned)(p >> 32) ^ d ^ key1;\n"
    "        b = (unsigned)q;\n"
    "        d = (unsigned)p;\n"
    "        key0 += 0x9E3779B9u;\n"
    "        key1 += 0xBB67AE85u;\n"
    "    }\n"
    "    const wf_random r = {{a, b, c, d}};\n"
    "    return r;\n"
    "}\n\n";

static const char taps[] =
    "/* The two inputs that output o of a resized axis lies between. */\n"
    "typedef struct wf_taps {\n"
    "    long lo, hi;\n"
    "    double weight;\n"
    "} wf_taps;\n"
    "static inline wf_taps wf_taps_of(long o, long in, long out) {\n"
    "    double at = ((double)o + 0.5) * ((double)in / (double)out) - 0.5;\n"
    "    if (at < 0) at = 0;\n"
    "    const long lo = (long)at < in - 1 ? (long)at : in - 1, hi = lo + 1 < in ? lo + 1 : lo;\n"
    "    const wf_taps t = {lo, hi, hi > lo ? at - (double)lo : 0};\n"
    "    return t;\n"
    "}\n\n";

/* The code generator's text with functions that other files do not see, and without pragmas that
 * need an option. */
static wf_status write_groups(const writer *w, FILE *f) {
    const wf_group **group = malloc((w->n_group + 1) * sizeof *group);
    if (!group) return wf_fail(WF_MEMORY, "out of memory in the export");
    for (uint32_t i = 0; i < w->n_group; i++) group[i] = w->group[i].of;
    char *text = wf_code_text(group, w->n_group);
    free(group);
    if (!text) return wf_fail(WF_MEMORY, "out of memory in the export");
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        end += *end == '\n';
        if (strncmp(line, "#pragma omp", 11) == 0) continue;
        if (strncmp(line, "void wf_group_", 14) == 0) fputs("static ", f);
        fwrite(line, 1, (size_t)(end - line), f);
    }
    fputc('\n', f);
    free(text);
    return WF_OK;
}

static wf_status write_file(writer *w, const char *functions, const char *run, FILE *f) {
    const wf_export *e = &w->e;
    char capitals[80];
    size_t n = 0;
    for (; e->prefix[n]; n++) capitals[n] = (char)toupper((unsigned char)e->prefix[n]);
    capitals[n] = 0;
    fprintf(f, "/* Written by Weft %s. Compile with\n *\n *     cc -O2 %s.c -lm\n *\n"
            " * (-O3 -march=native is faster), and call %s_run(), one call at a time: it reads the "
            "inputs,\n * and writes the outputs and those parameters that it updates. Define "
            "%s_DECLARATIONS\n * before including this file to get its declarations only. */\n"
            "#ifndef %s_DECLARED\n#define %s_DECLARED\n"
            "#ifdef __cplusplus\nextern \"C\" {\n#endif\n",
            WF_VERSION, e->prefix, e->prefix, capitals, capitals, capitals);
    wf_export_declare(e, f);
    fprintf(f, "\nvoid %s_run(void);\n\n#ifdef __cplusplus\n}\n#endif\n#endif\n\n"
            "#ifndef %s_DECLARATIONS\n%s", e->prefix, capitals, opening);
    wf_export_define(e, f);
    fputc('\n', f);
    const wf_status s = w->n_group ? write_groups(w, f) : WF_OK;
    if (w->needs & WF_CTEXT_PHILOX) fputs(philox, f);
    if (w->needs & WF_CTEXT_RESIZE) fputs(taps, f);
    fprintf(f, "%svoid %s_run(void) {\n%s}\n\n#ifdef __cplusplus\n}\n#endif\n#endif\n", functions,
            e->prefix, run);
    return s;
}

/* Closes a memory stream; false if something did not fit. */
static bool finish(FILE *f) {
    const bool ok = f && !ferror(f);
    return f && fclose(f) == 0 && ok;
}

static wf_status write_all(writer *w, char **text, size_t *size) {
    wf_plan *p = &w->e.plan;
    char *functions = NULL, *run = NULL;
    size_t n_functions = 0, n_run = 0;
    wf_status s = wf_export_arrays(&w->e);
    w->functions = open_memstream(&functions, &n_functions);
    w->run = open_memstream(&run, &n_run);
    if (!s && (!w->functions || !w->run)) s = wf_fail(WF_MEMORY, "out of memory in the export");
    for (uint32_t i = 0; i < p->n_launch && !s; i++)
        for (uint32_t row = 0; row < p->launch[i].rows && !s; row++)
            s = write_row(w, &p->launch[i], row);
    const bool ok = finish(w->functions), ok_run = finish(w->run);
    FILE *f = !s && ok && ok_run ? open_memstream(text, size) : NULL;
    if (!s && !f) s = wf_fail(WF_MEMORY, "out of memory in the export");
    if (!s) s = write_file(w, functions, run, f);
    if (f && !finish(f) && !s) s = wf_fail(WF_MEMORY, "out of memory in the export");
    free(functions);
    free(run);
    return s;
}

static bool is_identifier(const char *s) {
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    for (const char *c = s; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_') return false;
    return strlen(s) < 64;
}

wf_status wf_export_c(const wf_program *p, FILE *f, wf_export_opt o) {
    const char *prefix = o.name ? o.name : "net";
    if (!p || !f)
        return wf_fail(WF_ARGUMENT, "wf_export_c: the %s is NULL", p ? "file" : "program");
    if (!is_identifier(prefix))
        return wf_fail(WF_ARGUMENT, "wf_export_c: the name \"%.80s\" is no C identifier of at most "
                       "63 letters", prefix);
    writer w = {.e = {.program = p, .prefix = prefix, .zeros = o.no_weights}};
    char *text = NULL;
    size_t size = 0;
    wf_status s = wf_plan_make(&w.e.plan, &p->stage, p->plan.n_output, WF_PASS_CHAIN);
    if (!s) {
        s = write_all(&w, &text, &size);
        wf_export_arrays_free(&w.e);
        wf_plan_free(&w.e.plan);
    }
    if (!s && (fwrite(text, 1, size, f) != size || fflush(f)))
        s = wf_fail(WF_OUTPUT, "wf_export_c: the file cannot be written");
    for (uint32_t i = 0; i < w.known.n; i++) free(w.known.list[i].text);
    for (uint32_t i = 0; i < w.n_group; i++) free(w.group[i].of);
    free(w.group);
    free(w.known.list);
    free(text);
    return s;
}
