/* convlstm doctor: what was found on this machine, and what is missing for full speed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/convlstm/settings.h"
#include "models/program/machine.h"
#include "models/program/row.h"

#define SIDE 1024   /* of the probe's matrices */
#define ROUNDS 5
#define MIB (1 << 20)

/* The best rate of a few products of two matrices, in GFLOP/s: what contractions can reach here. */
static wf_status probe(double *rate) {
    wf_graph *g = wf_graph_new();
    wf_program *p = NULL;
    if (!g) return wf_fail(WF_MEMORY, "no memory for the probe");
    const wf_tensor a = wf_input(g, "a", WF_F32, WF_SHAPE(SIDE, SIDE)),
                    b = wf_input(g, "b", WF_F32, WF_SHAPE(SIDE, SIDE));
    const wf_tensor product = wf_matmul(a, b);
    wf_status s = wf_compile(&p, g, &product, 1, (wf_compile_opt){.off = WF_PASS_CODE});
    float *const in[] = {s ? NULL : wf_data(p, a), s ? NULL : wf_data(p, b)};
    for (int64_t i = 0; !s && i < SIDE * SIDE; i++)
        in[0][i] = in[1][i] = (float)(i % 61) * 0.01f + 0.1f;
    *rate = 0;
    for (int i = 0; i < ROUNDS && !s; i++) {
        const double start = report_seconds();
        s = wf_run(p);
        const double now = 2e-9 * SIDE * SIDE * SIDE / (report_seconds() - start);
        if (now > *rate) *rate = now;
    }
    wf_program_free(p);
    wf_graph_free(g);
    return s;
}

static void print_json(const wf_runtime_info *r, const memory_state *m, bool probed, double rate) {
    json_row line;
    row_open(&line, NULL);
    row_text(&line, "version", r->version);
    row_text(&line, "built_with", r->built_with);
    row_text(&line, "cpu", r->cpu);
    row_text(&line, "isa", r->isa);
    row_text(&line, "precision_auto", r->precision);
    row_flag(&line, "native_bf16", r->native_bf16);
    row_integer(&line, "cores", r->cores);
    row_integer(&line, "threads", r->threads);
    row_integer(&line, "memory_bytes", m->total);
    row_integer(&line, "available_bytes", m->available);
    row_text(&line, "memory_limit", m->limit);
    row_text(&line, "compiler", r->compiler);
    row_text(&line, "jit", r->jit);
    row_text(&line, "cache", r->cache);
    row_flag(&line, "cache_usable", r->cache_usable && !*r->cache_problem);
    row_integer(&line, "cache_entries", r->cache_entries);
    row_integer(&line, "cache_bytes", r->cache_bytes);
    if (probed) row_real(&line, "matmul_gflops", rate);
    row_close(&line);
    printf("%s\n", line.text);
}

static void print_table(const wf_runtime_info *r, const memory_state *m, bool probed,
                        double rate) {
    printf("%-12s weft %s, built with %s\n", "library", r->version, r->built_with);
    printf("%-12s %s, %d core%s\n", "processor", *r->cpu ? r->cpu : "unknown", r->cores,
           r->cores == 1 ? "" : "s");
    printf("%-12s %s\n", "kernels", r->isa);
    printf("%-12s auto is %s; bf16 is %s\n", "precision", r->precision,
           r->native_bf16 ? "native" : "emulated: half the memory, but slower than f32");
    printf("%-12s %d%s\n", "threads", r->threads,
           r->threads > r->cores ? "  (more than cores: slower; see OMP_NUM_THREADS)" : "");
    if (m->available == INT64_MAX)
        printf("%-12s unknown\n", "memory");
    else
        printf("%-12s %lld MiB of %lld MiB can be had (%s)\n", "memory",
               (long long)(m->available / MIB), (long long)(m->total / MIB), m->limit);
    if (*r->compiler)
        printf("%-12s %s\n", "compiler", r->compiler);
    else
        printf("%-12s none: %s; elementwise work is interpreted, with the same results, slower\n",
               "compiler", r->compiler_problem);
    printf("%-12s %s\n", "WF_JIT", r->jit);
    printf("%-12s %s", "cache", *r->cache ? r->cache : "none");
    if (*r->cache_problem)
        printf(": %s; kernels are compiled in every run\n", r->cache_problem);
    else
        printf(": %lld entries, %.1f MiB\n", (long long)r->cache_entries,
               (double)r->cache_bytes / MIB);
    if (probed) printf("%-12s %.0f GFLOP/s (a %dx%d matrix product, fp32)\n", "peak probe", rate,
                       SIDE, SIDE);
}

exit_code command_doctor(const void *settings_given) {
    const settings *s = settings_given;
    static wf_runtime_info r;
    double rate = 0;
    wf_runtime_describe(&r);
    const memory_state m = machine_memory();
    const wf_status status = s->no_probe ? WF_OK : probe(&rate);
    if (status) return report_failure(status);
    if (s->json)
        print_json(&r, &m, !s->no_probe, rate);
    else
        print_table(&r, &m, !s->no_probe, rate);
    return EXIT_CODE_OK;
}
