/* Random graphs: whatever passes, threads and code generation are drawn, a program gives the
 * reference's answer, the same bits for every number of threads and with generated code, and its
 * plan keeps its promises. `make fuzz` runs many; SEED=n one, N=n so many, FROM=n from there. */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/cc.h"
#include "compiler/code_text.h"
#include "compiler/program.h"
#include "tensor/contract.h"
#include "tensor/size.h"
#include "tests/fuzz/graph.h"

enum { QUICK = 500, BATCH = 16, OPS = 160, KINDS = 8, FUSED = 8, NODES = 8, THREADS = 3 };

/* --- what was tried --------------------------------------------------------------------------- */

static struct histogram {
    uint64_t op[OPS], kind[KINDS], off[WF_N_PASS], all_on, all_off, threads[THREADS], jit, assigns;
    uint64_t mode[WF_PRECISION_BF16 + 1];
    uint64_t fused[FUSED], nodes[NODES], sources[5], graphs, gradients, excused;
} seen;

static int size_class(uint32_t n, int most) {
    int c = 0;
    while (n > 1 && c < most - 1) n = (n + 1) / 2, c++;
    return c;
}

static void count_graph(const fuzz_graph *f, const bool *needed) {
    uint32_t nodes = 0;
    for (uint32_t id = 1; id < wf_graph_size(f->g); id++) {
        const wf_node *x = wf_graph_node(f->g, id);
        if (!needed[id]) continue;
        nodes++;
        for (int k = 0; wf_all_ops()[k] && k < OPS; k++) seen.op[k] += wf_all_ops()[k] == x->op;
        seen.kind[x->op->kind]++;
    }
    seen.nodes[size_class(nodes, NODES)]++;
    seen.assigns += (uint64_t)f->n_assign;
    seen.graphs++;
}

static void count_program(const wf_program *p, unsigned off, wf_precision mode, bool jit) {
    seen.mode[mode]++;
    for (int i = 0; i < WF_N_PASS; i++) seen.off[i] += off >> i & 1;
    seen.all_on += off == 0;
    seen.all_off += off == WF_PASS_ALL;
    seen.threads[p->threads - 1]++;
    seen.jit += jit;
    for (uint32_t i = 0; i < p->plan.n_sweep; i++)
        seen.fused[size_class(p->plan.fusion.list[p->plan.sweep[i].fused].n, FUSED)]++;
    for (uint32_t i = 0; i < p->plan.n_launch; i++) {
        const wf_call *c = &p->plan.launch[i].call;
        if (p->plan.launch[i].group || c->op != &wf_op_contract) continue;
        const int n = ((const wf_contract_attr *)c->attr)->n_sources;
        seen.sources[n < 5 ? n - 1 : 4]++;
    }
}

static void print_histogram(void) {
    static const char *const kind[KINDS] = {"leaf",  "elementwise", "reduce", "view",
                                            "place", "contract",    "opaque", "assign"};
    printf("%llu graphs, %llu with values beyond the reference's reach\nnodes:",
           (unsigned long long)seen.graphs, (unsigned long long)seen.excused);
    for (int i = 0; i < NODES; i++) printf(" <=%d:%llu", 1 << i, (unsigned long long)seen.nodes[i]);
    printf("\nkinds:");
    for (int i = 0; i < KINDS; i++) printf(" %s:%llu", kind[i], (unsigned long long)seen.kind[i]);
    printf("\noperations:");
    for (int k = 0; wf_all_ops()[k] && k < OPS; k++)
        printf(" %s:%llu", wf_all_ops()[k]->name, (unsigned long long)seen.op[k]);
    printf("\nsources of contractions:");
    for (int i = 0; i < 5; i++) printf(" %d:%llu", i + 1, (unsigned long long)seen.sources[i]);
    printf("\noperations in a group:");
    for (int i = 0; i < FUSED; i++) printf(" <=%d:%llu", 1 << i, (unsigned long long)seen.fused[i]);
    static const char *const pass[] = {
#define X(name, text) text,
        WF_PASS_MAP(X)
#undef X
    };
    printf("\npasses: all on:%llu all off:%llu", (unsigned long long)seen.all_on,
           (unsigned long long)seen.all_off);
    for (int i = 0; i < WF_N_PASS; i++)
        printf(" no %s:%llu", pass[i], (unsigned long long)seen.off[i]);
    printf("\nthreads:");
    for (int i = 0; i < THREADS; i++)
        printf(" %d:%llu", i + 1, (unsigned long long)seen.threads[i]);
    for (wf_precision m = WF_PRECISION_F32; m <= WF_PRECISION_BF16; m++)
        printf("%s%s:%llu", m == WF_PRECISION_F32 ? "; precision: " : " ", wf_precision_name(m),
               (unsigned long long)seen.mode[m]);
    printf("; generated code:%llu\n", (unsigned long long)seen.jit);
}

/* --- one graph -------------------------------------------------------------------------------- */

typedef struct trial {
    uint64_t seed;
    fuzz_graph *f;
    unsigned off;
    wf_precision mode;
    int threads, other; /* of the first run, of the second */
    bool jit;
    wf_program *p;
    bool *needed;       /* (nodes) by outputs and assignments */
    char *first;        /* what the first run gave: outputs, then assigned leaves */
} trial;

static volatile uint64_t at_seed;

static void say(const trial *t) {
    fprintf(stderr, "make fuzz SEED=%llu   (off %x, %s, %d threads, then %d, code %s)\n",
            (unsigned long long)t->seed, t->off, wf_precision_name(t->mode), t->threads, t->other,
            t->jit ? "on" : "off");
}

/* A crash says which graph it was. */
static void crashed(int sig) {
    char text[64];
    const int n = snprintf(text, sizeof text, "make fuzz SEED=%llu   (signal %d)\n",
                           (unsigned long long)at_seed, sig);
    if (write(2, text, (size_t)n)) signal(sig, SIG_DFL);
    raise(sig);
}

static wf_precision draw_mode(unsigned n) {
    return n < 2 ? WF_PRECISION_BF16 : n < 4 ? WF_PRECISION_F32X3 : WF_PRECISION_F32;
}

/* The reference with the noise that the trial's mode makes: bf16 rounds off 2^15 as much as f32
 * does, f32x3 2^7. */
static void make_values(noisy *v, const trial *t, int tracks, uint64_t seed) {
    noisy_init(v, t->f->g, tracks, seed, fuzz_bind, t->f);
    if (t->mode == WF_PRECISION_BF16) v->units = 0x1p16;
    if (t->mode == WF_PRECISION_F32X3) v->units = 0x1p8;
    noisy_extend(v, t->needed);
}

static void draw_settings(trial *t, bool jit) {
    uint64_t s = t->seed * UINT64_C(2654435761) + 12345;
    static const unsigned single[] = {WF_PASS_SIMPLIFY, WF_PASS_MERGE, WF_PASS_FUSE,
                                      WF_PASS_INPLACE, WF_PASS_ALONE, WF_PASS_FAST};
    for (int i = 0; i < 3; i++) s = s * UINT64_C(6364136223846793005) + 1442695040888963407u;
    const unsigned how = (unsigned)(s >> 60), bits = (unsigned)(s >> 40) & WF_PASS_ALL;
    t->off = how < 8 ? 0 : how < 12 ? single[(s >> 33) % 5] : how < 15 ? bits : WF_PASS_ALL;
    t->threads = 1 + (int)((s >> 20) % THREADS);
    t->other = 1 + (int)((s >> 10) % THREADS);
    t->jit = jit;
    t->mode = draw_mode((unsigned)(s >> 54) % 8);
    if (jit) t->off &= ~(unsigned)(WF_PASS_FUSE | WF_PASS_CODE);
}

static void mark_needed(const fuzz_graph *f, bool *needed) {
    for (int i = 0; i < f->n_out; i++) needed[f->out[i].id] = true;
    for (int i = 0; i < f->n_assign; i++) needed[f->assign[i].id] = true;
    for (uint32_t id = wf_graph_size(f->g); id-- > 1;)
        for (uint32_t i = 0; needed[id] && i < wf_graph_node(f->g, id)->n_in; i++)
            needed[wf_node_in(f->g, id)[i]] = true;
}

static size_t bytes_of(wf_tensor t) {
    const wf_shape s = wf_shape_of_tensor(t);
    size_t bytes = 0;
    cr_assert(wf_type_bytes(wf_dtype_of(t), &s, &bytes));
    return bytes;
}

/* What root i is after a run: an output, or the leaf that an assignment writes. */
static const void *result(const trial *t, int i, wf_tensor *root) {
    const fuzz_graph *f = t->f;
    *root = i < f->n_out ? f->out[i] : f->assign[i - f->n_out];
    if (i < f->n_out) return wf_data(t->p, *root);
    const uint32_t leaf = wf_node_in(f->g, root->id)[0];
    return ((const wf_leaf_attr *)wf_graph_node(f->g, leaf)->attr)->data;
}

static wf_program *compiled(const trial *t, const wf_tensor *out, int n, bool assign) {
    wf_program *p;
    const wf_compile_opt o = {.precision = t->mode, .off = t->off, .threads = t->threads,
                              .no_assign = !assign};
    if (wf_compile(&p, t->f->g, out, n, o) != WF_OK) {
        say(t);
        cr_assert_fail("%s", wf_error());
    }
    for (int i = 0; i < t->f->n_leaf; i++) {
        const fuzz_leaf *l = &t->f->leaf[i];
        void *x = l->kind == WF_LEAF_INPUT ? wf_data(p, l->t) : NULL;
        if (x) memcpy(x, l->data, l->bytes);
    }
    return p;
}

/* True if a value on the way is not finite: 0 * inf may become 0, and 1 / -0 anything. */
static bool beyond_reach(const noisy *v, uint32_t n) {
    for (uint32_t id = 1; id < n; id++)
        if (noisy_value(v, id, 0) && !isfinite(noisy_most(v, id))) return true;
    return false;
}

/* The first node that is wrong when it is an output alone. */
static void find_culprit(const trial *t, const noisy *v) {
    char text[1024];
    for (uint32_t id = 1; id < wf_graph_size(t->f->g); id++) {
        const wf_tensor x = wf_handle(t->f->g, id);
        if (!t->needed[id] || wf_graph_node(x.graph, id)->op->kind == WF_KIND_ASSIGN) continue;
        wf_program *p = compiled(t, &x, 1, false);
        const bool bad = wf_run(p) != WF_OK || noisy_differs(v, id, wf_data(p, x)) >= 0;
        wf_program_free(p);
        if (!bad) continue;
        fprintf(stderr, "  wrong when it is the only output: %s\n",
                wf_node_text(x.graph, id, text, sizeof text));
        return;
    }
    fprintf(stderr, "  no node is wrong when it is the only output\n");
}

/* A second look with many tracks, at leaves as they were before the run. */
static bool really_differs(trial *t, int i, const void *got, const void *const *before, int run) {
    wf_tensor root;
    result(t, i, &root);
    const size_t bytes = bytes_of(root);
    void *kept = memcpy(malloc(bytes + 1), got, bytes);
    for (int k = 0; k < t->f->n_leaf; k++)
        memcpy(t->f->leaf[k].data, before[k], t->f->leaf[k].bytes);
    noisy v;
    make_values(&v, t, 40, t->seed + 99);
    const int64_t at = noisy_differs(&v, root.id, kept);
    const bool excused = at >= 0 && beyond_reach(&v, v.n);
    seen.excused += excused;
    if (at >= 0 && !excused) {
        const wf_dtype d = wf_dtype_of(root);
        const size_t o = (size_t)at * wf_dtype_bytes(d);
        char text[1024];
        say(t);
        fprintf(stderr, "  run %d, %s %d, element %lld: %.17g, not %.17g: %s\n", run,
                i < t->f->n_out ? "output" : "assignment",
                i < t->f->n_out ? i : i - t->f->n_out, (long long)at,
                wf_load(d, (char *)kept + o),
                wf_load(d, (const char *)noisy_value(&v, root.id, 0) + o),
                wf_node_text(t->f->g, root.id, text, sizeof text));
        find_culprit(t, &v);
    }
    noisy_free(&v);
    free(kept);
    return at >= 0 && !excused;
}

static bool check_run(trial *t, const noisy *v, const void *const *before, int run) {
    wf_tensor root;
    for (int i = 0; i < t->f->n_out + t->f->n_assign; i++) {
        const void *got = result(t, i, &root);
        cr_assert(got, "%s", wf_error());
        if (noisy_differs(v, root.id, got) < 0) continue;
        return !really_differs(t, i, got, before, run);
    }
    return true;
}

/* Keeps what the first run gave, compares the second with it. */
static bool check_bits(trial *t, bool first) {
    size_t at = 0;
    wf_tensor root;
    for (int i = 0; i < t->f->n_out + t->f->n_assign; i++) {
        const void *got = result(t, i, &root);
        const size_t bytes = bytes_of(root);
        if (first) {
            t->first = realloc(t->first, at + bytes + 1);
            memcpy(t->first + at, got, bytes);
        } else if (memcmp(t->first + at, got, bytes) != 0) {
            say(t);
            fprintf(stderr, "  the second run gives other bits for root %d, %%%u\n", i, root.id);
            return false;
        }
        at += bytes;
    }
    return true;
}

static void **copy_leaves(const fuzz_graph *f) {
    void **copy = malloc((size_t)(f->n_leaf + 1) * sizeof *copy);
    for (int i = 0; i < f->n_leaf; i++)
        copy[i] = memcpy(malloc(f->leaf[i].bytes + 1), f->leaf[i].data, f->leaf[i].bytes);
    return copy;
}
static void free_leaves(const fuzz_graph *f, void **copy) {
    for (int i = 0; i < f->n_leaf; i++) free(copy[i]);
    free(copy);
}

/* A run from the leaves as they are, against the reference from there. */
static bool run_from(trial *t, int run) {
    noisy later, *v = &t->f->values;
    void **before = copy_leaves(t->f);
    const bool own = run == 2 || t->mode != WF_PRECISION_F32;
    if (own) {
        make_values(&later, t, FUZZ_TRACKS, t->seed + 7);
        v = &later;
    }
    cr_assert_eq(wf_run(t->p), WF_OK, "%s", wf_error());
    const bool ok = check_run(t, v, (const void *const *)before, run);
    if (own) noisy_free(&later);
    free_leaves(t->f, before);
    return ok;
}

static void prepare(trial *t, uint64_t seed, bool jit) {
    *t = (trial){.seed = at_seed = seed, .f = malloc(sizeof *t->f)};
    fuzz_make(t->f, seed);
    draw_settings(t, jit);
    t->needed = calloc(wf_graph_size(t->f->g), sizeof *t->needed);
    mark_needed(t->f, t->needed);
    t->p = compiled(t, t->f->out, t->f->n_out, true);
    count_graph(t->f, t->needed);
    count_program(t->p, t->off, t->mode, jit);
    if (wf_plan_verify(&t->p->plan) == WF_OK) return;
    say(t);
    cr_assert_fail("%s", wf_error());
}

static bool first_run(trial *t) {
    at_seed = t->seed;
    return run_from(t, 0) && check_bits(t, true);
}

/* The same again with another team; then from where the assignments led. */
static bool further_runs(trial *t) {
    at_seed = t->seed;
    fuzz_restore(t->f);
    cr_assert_eq(wf_program_set_threads(t->p, t->other), WF_OK);
    return run_from(t, 1) && check_bits(t, false) && (t->f->n_assign == 0 || run_from(t, 2));
}

static void discard(trial *t) {
    wf_program_free(t->p);
    fuzz_free(t->f);
    free(t->f);
    free(t->needed);
    free(t->first);
}

/* --- many ------------------------------------------------------------------------------------- */

static bool interpreted(uint64_t seed) {
    trial t;
    prepare(&t, seed, false);
    const bool ok = first_run(&t) && further_runs(&t);
    discard(&t);
    return ok;
}

/* The kernels of several programs in one run of the compiler. */
static void request_all(const trial *t, int n) {
    size_t groups = 0, at = 0;
    for (int i = 0; i < n; i++) groups += t[i].p->plan.n_kernel;
    const wf_group **list = malloc((groups + 1) * sizeof *list);
    for (int i = 0; i < n; i++)
        for (uint32_t k = 0; k < t[i].p->plan.n_kernel; k++)
            list[at++] = &t[i].p->plan.kernel[k].group;
    wf_code *code;
    cr_assert_eq(wf_code_request(&code, list, groups, WF_CODE_SYNC), WF_OK);
    wf_code_free(code);
    free(list);
}

/* Interpreted first; then with generated code, which must give the same bits. */
static bool generated(uint64_t seed, int n) {
    trial t[BATCH];
    bool ok = true;
    for (int i = 0; i < n; i++) prepare(&t[i], seed + (uint64_t)i, true);
    for (int i = 0; i < n && ok; i++) ok = first_run(&t[i]);
    if (ok) request_all(t, n);
    for (int i = 0; i < n && ok; i++) {
        wf_plan *plan = &t[i].p->plan;
        wf_code_free(plan->code);
        cr_assert_eq(wf_plan_code(plan, WF_CODE_SYNC), WF_OK);
        for (uint32_t k = 0; k < plan->n_kernel; k++)
            cr_assert(wf_code_kernel(plan->code, k) || !wf_code_can(&plan->kernel[k].group),
                      "no code for a kernel of seed %llu", (unsigned long long)t[i].seed);
        ok = further_runs(&t[i]);
    }
    for (int i = 0; i < n; i++) discard(&t[i]);
    return ok;
}

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *v = getenv(name);
    return v && *v ? strtoull(v, NULL, 10) : otherwise;
}

/* Which seeds have generated code: one batch of the quick ones, every fourth batch of many. */
static bool is_jit(uint64_t batch, uint64_t every) { return batch % every == every - 1; }

Test(compiler_random, programs_give_the_reference) {
    char home[] = "/tmp/weft-fuzz-XXXXXX", command[64];
    wf_cc cc;
    const bool have_cc = wf_cc_find(&cc) == WF_OK;
    const uint64_t one = number("WF_FUZZ_SEED", UINT64_MAX), n = number("WF_FUZZ_N", QUICK);
    const uint64_t first = one != UINT64_MAX ? one : number("WF_FUZZ_FIRST", 0);
    const uint64_t last = one != UINT64_MAX ? one + 1 : first + n, every = n > QUICK ? 4 : 16;
    uint64_t failed = 0;
    cr_assert(mkdtemp(home));
    setenv("XDG_CACHE_HOME", home, 1);
    setenv("WF_JIT", "off", 1);
    setenv("WF_CC_LIMIT", "120", 1);
    for (int i = 0; i < 4; i++) signal((int[]){SIGSEGV, SIGBUS, SIGFPE, SIGABRT}[i], crashed);
    for (uint64_t seed = first; seed < last;) {
        const uint64_t batch = seed / BATCH, end = batch * BATCH + BATCH;
        const int left = (int)((last < end ? last : end) - seed);
        if (have_cc && is_jit(batch, every)) {
            failed += !generated(seed, left);
            seed += (uint64_t)left;
        } else {
            failed += !interpreted(seed++);
        }
        if (failed > 10) break;
    }
    print_histogram();
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert(system(command) == 0);
    cr_assert_eq(failed, 0, "%llu graphs failed", (unsigned long long)failed);
}
