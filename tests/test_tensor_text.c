/* The textual form of graphs: text, graph and text again are the same bytes and compute the same
 * bits, for every operation; whatever is wrong is refused by line and column. */
#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "tensor/contract.h"
#include "tensor/pool.h"
#include "tensor/size.h"
#include "tests/sampler.h"

static char *written(const wf_graph *g, const wf_tensor *outputs, int n, wf_write_opt o) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cr_assert_eq(wf_graph_write(g, outputs, n, f, o), WF_OK, "%s", wf_error());
    fclose(f);
    return text;
}

static wf_graph *parsed(const char *text, wf_parse_opt o) {
    wf_graph *g;
    cr_assert_eq(wf_graph_parse(&g, NULL, NULL, text, strlen(text), o), WF_OK, "%s\n%s", wf_error(),
                 text);
    return g;
}

/* The text is what its graph writes. */
static void same(const char *text) {
    wf_graph *g;
    wf_tensor *out;
    int n;
    cr_assert_eq(wf_graph_parse(&g, &out, &n, text, strlen(text), (wf_parse_opt){0}), WF_OK,
                 "%s\n%s", wf_error(), text);
    char *again = written(g, out, n, (wf_write_opt){.leaves = true});
    cr_assert_str_eq(again, text);
    free(again);
    free(out);
    wf_graph_free(g);
}

static void *value_of(const wf_graph *g, uint32_t id, size_t *bytes) {
    const wf_type *t = &wf_graph_node(g, id)->type;
    cr_assert(wf_type_bytes(t->dtype, &t->shape, bytes));
    void *to = calloc(1, *bytes + 1);
    cr_assert_eq(wf_reference(g, &id, &to, 1, NULL, NULL), WF_OK, "%s", wf_error());
    return to;
}

/* --- every operation -------------------------------------------------------------------------- */

static int samples_of(const wf_op *op, wf_dtype real) {
    int i = 0;
    for (;; i++) {
        test_sampler s;
        sampler_init(&s, real, (uint64_t)i + 1);
        const wf_tensor y = op->sample(&s.base, i);
        const bool more = wf_ok(y);
        if (more) {
            char *text = written(s.base.graph, &y, 1, (wf_write_opt){.leaves = true});
            same(text);
            wf_graph *g = parsed(text, (wf_parse_opt){0});
            size_t want_bytes, got_bytes;
            void *want = value_of(s.base.graph, y.id, &want_bytes);
            void *got = value_of(g, y.id, &got_bytes);
            cr_assert(want_bytes == got_bytes && memcmp(want, got, got_bytes) == 0,
                      "%s sample %d: other values from\n%s", op->name, i, text);
            wf_graph_free(g);
            free(want);
            free(got);
            free(text);
        }
        sampler_free(&s);
        if (!more) return i;
    }
}

Test(tensor_text, every_operation_is_written_and_read) {
    int samples = 0;
    for (const wf_op *const *op = wf_all_ops(); *op; op++)
        if ((*op)->sample) samples += samples_of(*op, WF_F32) + samples_of(*op, WF_F64);
    printf("%d samples: text, graph and text are the same\n", samples);
    cr_assert_geq(samples, 300);
}

/* --- what stands in a text -------------------------------------------------------------------- */

Test(tensor_text, a_small_graph) {
    same("%1 f32[8,64] = input \"x\"\n"
         "%2 f32[64] = leaf \"a \\\"b\\\" \\\\ \\x0a \xc3\xa9\" [0.5*64]   # layer0/t3\n"
         "%3 f32[8,64] = add %1, %2   # layer0/t3'\n"
         "%4 f32[8,32] = slice %3 {axis=1 first=0 n=32} as \"left\""
         "   # \\x20odd # scope\\x01\\x20\n"
         "%5 f32[8,16] = slice %3 {axis=1 first=0 n=16 step=4}\n"
         "%6 i64[] = const [7] as \"seed\"\n"
         "%7 f32[3] = normal %6 {seed=18446744073709551615 stream=2}\n"
         "%8 f32[64] = tanh %2\n"
         "%9 f32[64] = assign %2, %8\n"
         "outputs %4, %5, %4\n");
}

Test(tensor_text, every_number_reads_back_exactly) {
    same("%1 f32[9] = const [0.1,-0,inf,-inf,nan,0xffc00001,1e-45,3.4028235e+38,16777216]\n"
         "%2 f64[5] = const [0.1,5e-324,0.30000000000000004,nan,0x7ff8000000000001]\n"
         "%3 bf16[4] = const [0.1,-inf,nan,0xffc1]\n"
         "%4 f16[4] = const [0.1,6.55e+04,6e-08,nan]\n"
         "%5 i32[2] = const [-2147483648,2147483647]\n"
         "%6 i64[3] = const [-9223372036854775808,9223372036854775807,0]\n"
         "%7 u8[4] = const [0,255*3]\n"
         "%8 bool[2] = const [1,0]\n"
         "%9 f32[0,3] = const []\n"
         "%10 f64[] = full {value=0.1}\n"
         "%11 f32[2,2] = full {value=-inf}\n");
}

Test(tensor_text, a_comma_for_a_point_changes_nothing) {
    setlocale(LC_ALL, "de_DE.UTF-8");
    same("%1 f32[1] = const [0.5]\n");
    setlocale(LC_ALL, "C");
}

/* Remarks, blank lines, blanks, gaps in the numbers, attributes in any order, defaults. */
Test(tensor_text, what_people_write) {
    wf_graph *g = parsed("# a report\n\n  %3 f32[4]=input \"x\"\r\n"
                         "\t%7   f32 [2] = slice %3 { n = 2 step=1 first=1 axis=0 }\n"
                         "%9 f32[2] = neg %7 # t0\n  # the end", (wf_parse_opt){0});
    char *text = written(g, NULL, 0, (wf_write_opt){0});
    cr_assert_str_eq(text, "%1 f32[4] = input \"x\"\n"
                           "%2 f32[2] = slice %1 {axis=0 first=1 n=2}\n"
                           "%3 f32[2] = neg %2   # t0\n");
    free(text);
    wf_graph_free(g);
}

/* --- leaves ----------------------------------------------------------------------------------- */

Test(tensor_text, large_constants_can_be_left_out) {
    wf_graph *g = wf_graph_new(), *h;
    float x[100], y[100];
    for (int i = 0; i < 100; i++) x[i] = (float)i;
    wf_const(g, WF_F32, WF_SHAPE(100), x);
    char *text = written(g, NULL, 0, (wf_write_opt){.most = 99});
    cr_assert(strstr(text, "%1 f32[100] = const {hash=0x"), "%s", text);
    cr_assert_eq(wf_graph_parse(&h, NULL, NULL, text, strlen(text), (wf_parse_opt){0}), WF_FORMAT);
    cr_assert(strstr(wf_error(), "left out"), "%s", wf_error());
    h = parsed(text, (wf_parse_opt){.stand_in = true});
    uint32_t id = 1;
    void *to = y;
    cr_assert_eq(wf_reference(h, &id, &to, 1, NULL, NULL), WF_OK);
    for (int i = 0; i < 100; i++) cr_assert(y[i] >= -1 && y[i] < 1);
    cr_assert_neq(y[0], y[1]);
    free(text);
    text = written(g, NULL, 0, (wf_write_opt){.most = 100});
    same(text);
    free(text);
    wf_graph_free(g);
    wf_graph_free(h);
}

static float mine[2] = {3, 4};
static void *bind_w(void *user, const char *name, wf_dtype dtype, wf_shape shape) {
    ++*(int *)user;
    return strcmp(name, "w") == 0 && dtype == WF_F32 && shape.rank == 1 ? mine : NULL;
}

Test(tensor_text, leaves_are_bound_by_name) {
    int asked = 0;
    const wf_parse_opt o = {.bind = bind_w, .user = &asked};
    wf_graph *g = parsed("%1 f32[2] = leaf \"w\"\n%2 f32[2] = leaf \"v\"\n"
                         "%3 f32[2] = add %1, %2\n", o);
    size_t bytes;
    float *y = value_of(g, 3, &bytes);
    cr_assert(asked == 2 && y[0] == 3 && y[1] == 4);
    cr_assert_eq(wf_leaf_of(g, mine).id, 1);
    free(y);
    wf_graph_free(g);
    const char *twice = "%1 f32[2] = leaf \"w\"\n%2 f32[2] = leaf \"w\"\n";
    cr_assert_eq(wf_graph_parse(&g, NULL, NULL, twice, strlen(twice), o), WF_FORMAT);
    cr_assert(strstr(wf_error(), "line 2, column 4: two leaves"), "%s", wf_error());
}

/* --- operations of others --------------------------------------------------------------------- */

static double twice_of(double x) { return 2 * x; }

Test(tensor_text, functions_are_found_by_name) {
    wf_cfunction *f;
    cr_assert_eq(wf_cfunction_new(&f, "my twice", "f64(f64)", (wf_anyfn *)twice_of,
                                  (wf_cfunction_opt){0}), WF_OK);
    const wf_op *const ops[] = {wf_cfunction_op(f), NULL};
    const char *text = "%1 f64[1] = const [21]\n%2 f64[1] = \"my twice\" %1\n";
    wf_graph *g;
    cr_assert_eq(wf_graph_parse(&g, NULL, NULL, text, strlen(text), (wf_parse_opt){0}), WF_FORMAT);
    cr_assert(strstr(wf_error(), "\"my twice\" is not of this library"), "%s", wf_error());
    g = parsed(text, (wf_parse_opt){.ops = ops});
    size_t bytes;
    double *y = value_of(g, 2, &bytes);
    cr_assert_eq(*y, 42);
    char *again = written(g, NULL, 0, (wf_write_opt){0});
    cr_assert_str_eq(again, text);
    free(again);
    free(y);
    wf_graph_free(g);
    wf_cfunction_free(f);
}

/* --- refusals --------------------------------------------------------------------------------- */

static const struct {
    const char *text, *message;
} wrong[] = {
    {"%1", "line 1, column 3: expected a type"},
    {"x", "line 1, column 1: expected %"},
    {"%1 f33[2] = input \"x\"", "column 4: there is no dtype f33"},
    {"%1 f32[1,1,1,1,1,1,1,1,1] = input \"x\"", "at most 8 axes"},
    {"%1 f32[-1] = input \"x\"", "-1 is not between 0"},
    {"%1 f32[4611686018427387904,4] = input \"x\"", "too large"},
    {"%1 f32[99999999999999999999] = input \"x\"", "the number is too large"},
    {"%1 f32[2] input", "column 11: expected ="},
    {"%1 f32[2] = input", "expected a name in quotes"},
    {"%1 f32[2] = input \"x", "the quotes are not closed"},
    {"%1 f32[2] = input \"x\\y\"", "column 21: expected \\\\"},
    {"%1 f32[2] = input \"x\\x00\"", "character 0"},
    {"%1 f32[2] = input \"x\"\n%2 f32[2] = input \"x\"", "line 2, column 4: input \"x\" exists"},
    {"%1 f32[2] = input \"x\" extra", "column 23: expected the end of the line"},
    {"%2 f32[2] = input \"x\"\n%1 f32[2] = neg %2", "line 2, column 1: %1 does not come after %2"},
    {"%1 f32[2] = neg %1", "column 17: there is no value %1 above"},
    {"%1 f32[2] = neg", "neg has 0 operands, it takes 1"},
    {"%1 f32[2] = frob", "there is no operation frob"},
    {"%1 f32[2] = const", "expected ["},
    {"%1 f32[2] = const [1]", "1 values, expected 2"},
    {"%1 f32[2] = const [1,2,3]", "more values than 2"},
    {"%1 f32[2] = const [1*3]", "3 is not between 1 and 2"},
    {"%1 f32[2] = const [1e99*2]", "1e99 is too large for f32"},
    {"%1 f32[1] = const [zero]", "expected a number, inf or nan"},
    {"%1 f32[1] = const [0x1]", "8 hexadecimal digits"},
    {"%1 u8[1] = const [256]", "256 is not between"},
    {"%1 f32[1000000000000] = leaf \"w\"", "more than 1073741824 bytes"},
    {"%1 f32[2] = input \"x\"\n%2 f32[3] = neg %1",
     "line 2, column 4: the type is written f32[3], the result of neg is f32[2]"},
    {"%1 f32[2] = input \"x\"\n%2 f32[2] = slice %1 {axis=0 n=2}", "expected first=..."},
    {"%1 f32[2] = input \"x\"\n%2 f32[2] = slice %1 {axis=0 axis=0}", "axis is given twice"},
    {"%1 f32[2] = input \"x\"\n%2 f32[2] = slice %1 {end=0}",
     "slice has no attribute end; it has axis, first, n, step"},
    {"%1 f32[2] = input \"x\"\n%2 f32[2] = slice %1 {axis=0 first=0 n=9}", "leave axis 0"},
    {"%1 f32[2] = input \"x\"\n%2 f32[2] = neg %1 {a=1}", "neg has no attributes"},
    {"%1 f32[2] = input \"x\"\n%2 f32[] = sum %1 {axes=0,0,0,0,0,0,0,0,0}", "at most 8 entries"},
    {"%1 f32[2] = input \"x\"\n%2 f32[4] = concat %1, %1 {axis=1}", "axis 1 is outside operand 0"},
    {"%1 f32[2] = input \"x\"\n%2 f32[] = contract %1, %1 {sum[2] A[k1] B[k0]}", "no loop k1"},
    {"%1 f32[2] = input \"x\"\n%2 f32[] = contract %1, %1 {sum[2] A[k0+k0+k0] B[k0]}", "two loops"},
    {"%1 f32[2] = input \"x\"\n%2 f32[2] = assign %1, %1", "is not a leaf with data"},
    {"%1 f32[2] = input \"x\" as \"y\"", "a leaf has one name"},
    {"outputs %1", "there is no value %1"},
};

Test(tensor_text, mistakes_are_told_by_line_and_column) {
    for (size_t i = 0; i < WF_COUNT(wrong); i++) {
        wf_graph *g = (wf_graph *)&i;
        cr_expect_eq(wf_graph_parse(&g, NULL, NULL, wrong[i].text, strlen(wrong[i].text),
                                    (wf_parse_opt){0}), WF_FORMAT, "%s", wrong[i].text);
        cr_expect(!g && strstr(wf_error(), wrong[i].message), "%s\ngave: %s\nwant: %s",
                  wrong[i].text, wf_error(), wrong[i].message);
    }
    wf_graph *g;
    cr_assert_eq(wf_graph_parse(NULL, NULL, NULL, "", 0, (wf_parse_opt){0}), WF_ARGUMENT);
    cr_assert_eq(wf_graph_parse(&g, NULL, NULL, NULL, 1, (wf_parse_opt){0}), WF_ARGUMENT);
    cr_assert_eq(wf_graph_parse(&g, NULL, NULL, NULL, 0, (wf_parse_opt){0}), WF_OK);
    wf_graph_free(g);
    cr_assert_eq(wf_graph_write(NULL, NULL, 0, stdout, (wf_write_opt){0}), WF_ARGUMENT);
}

/* --- any bytes -------------------------------------------------------------------------------- */

/* The texts of all samples, one for each operation, in turn. */
static char *text_of(const wf_op *op, int i) {
    test_sampler s;
    sampler_init(&s, WF_F32, (uint64_t)i + 1);
    const wf_tensor y = op->sample(&s.base, i);
    char *text = wf_ok(y) ? written(s.base.graph, &y, 1, (wf_write_opt){.leaves = true}) : NULL;
    sampler_free(&s);
    return text;
}

static size_t below(uint64_t *rng, size_t n) { return (size_t)(sampler_next(rng) * (double)n); }

/* A few random edits; the text has room for them. */
static size_t mutate(char *text, size_t n, uint64_t *rng) {
    static const char *const piece[] = {
        "9", "-", "0", "%1", "%", ",", "[", "]", "{", "}", "o0", "k0", "9223372036854775807",
        "-9223372036854775808", "\n", "\"", "=", "#", " as ", "*", "nan", "f64", "sum[", "if 0<=",
        "/2", "\\x", "axes=0,0", "\xff", "contract %1, %1 {", "pack %1 {"};
    for (size_t edits = 1 + below(rng, 4); edits > 0; edits--) {
        const size_t at = below(rng, n + 1);
        const char *p = piece[below(rng, WF_COUNT(piece))];
        const size_t m = strlen(p), cut = below(rng, n - at + 1) % 8;
        switch (below(rng, 4)) {
        case 0: /* a byte */
            if (at < n) text[at] = (char)(32 + below(rng, 96));
            break;
        case 1: /* something else instead */
            memmove(text + at + m, text + at + cut, n - at - cut);
            memcpy(text + at, p, m);
            n = n + m - cut;
            break;
        case 2: /* gone */
            memmove(text + at, text + at + cut, n - at - cut);
            n -= cut;
            break;
        default: /* a copy of what is elsewhere */
            if (n - at > 0) text[at] = text[below(rng, n)];
            break;
        }
    }
    return n;
}

/* Small enough to be computed, and without inputs. */
static bool is_small(const wf_graph *g) {
    for (uint32_t id = 1; id < wf_graph_size(g); id++) {
        const wf_node *x = wf_graph_node(g, id);
        const wf_leaf_attr *leaf = x->op == &wf_op_leaf ? x->attr : NULL;
        if (leaf && leaf->kind == WF_LEAF_INPUT) return false;
        double work = (double)wf_shape_count(&x->type.shape) + 1;
        const wf_contract_attr *c = x->op == &wf_op_contract ? x->attr : NULL;
        for (int i = 0; c && i < c->n_sources; i++)
            for (int k = 0; k < c->source[i].n_sum; k++) work *= (double)c->source[i].sum[k] + 1;
        const wf_pool_attr *p = strstr(x->op->name, "pool") ? x->attr : NULL;
        for (int i = 0; p && i < 3; i++) work *= p->kernel[i] + 1.0;
        if (work > 1e5) return false;
    }
    return true;
}

/* Computes the last node, by evaluators and by a program. */
static void compute(wf_graph *g) {
    const wf_tensor last = wf_handle(g, wf_graph_size(g) - 1);
    if (!last.id || !is_small(g)) return;
    size_t bytes;
    free(value_of(g, last.id, &bytes));
    wf_program *p;
    cr_assert_eq(wf_compile(&p, g, &last, 1, (wf_compile_opt){.threads = 1}), WF_OK, "%s",
                 wf_error());
    cr_assert_eq(wf_run(p), WF_OK);
    wf_program_free(p);
}

/* WF_SEEDS=n: n mutations of each text. */
Test(tensor_text, any_bytes_are_safe) {
    const char *many = getenv("WF_SEEDS");
    const int rounds = many ? atoi(many) : 25;
    uint64_t rng = 7;
    int accepted = 0, all = 0;
    for (const wf_op *const *op = wf_all_ops(); *op; op++) {
        char *text = NULL;
        for (int i = 0; (*op)->sample && (text = text_of(*op, i)); i++) {
            const size_t n = strlen(text);
            for (int k = 0; k < rounds; k++, all++) {
                char *other = malloc(n + 200);
                memcpy(other, text, n);
                const size_t size = mutate(other, n, &rng);
                char *exact = malloc(size); /* a byte too far is seen */
                memcpy(exact, other, size);
                wf_graph *g;
                wf_tensor *out;
                int n_out;
                const wf_parse_opt o = {.most_bytes = 1 << 16};
                if (wf_graph_parse(&g, &out, &n_out, exact, size, o) == WF_OK) {
                    char *first = written(g, out, n_out, (wf_write_opt){.leaves = true});
                    same(first);
                    compute(g);
                    accepted++;
                    free(first);
                    free(out);
                    wf_graph_free(g);
                }
                free(exact);
                free(other);
            }
            free(text);
        }
    }
    printf("%d of %d mutated texts are graphs\n", accepted, all);
    cr_assert_gt(all, 3000);
    cr_assert(accepted > all / 20 && accepted < all);
}
