/* Running: one team of threads walks all launches. Each worker takes its share of the pieces of
 * every launch; which worker computes a piece changes no bit of it. */
#include <omp.h>

#include "compiler/program.h"
#include "compiler/team.h"
#include "compiler/threads.h"
#include "tensor/denormals.h"

/* A barrier; the time that it takes is added to the mark, if there is one. */
static void meet(wf_team *team, int n, wf_mark *m) {
    const int64_t start = m ? wf_profile_clock() : 0;
    wf_team_meet(team, n);
    if (m) m->waited += wf_profile_clock() - start;
}

/* The walk of worker w of n. Every worker meets every barrier. `mark`: (launches + 1) of this
 * worker if the run is profiled, else NULL: tests of a launch and phase that always go one way. */
static void work(const wf_program *p, wf_team *team, wf_mark *mark, int w, int n) {
    const wf_plan *plan = &p->plan;
    void *scratch = (char *)p->scratch.data + p->scratch_step * (size_t)w;
    for (uint32_t i = 0; i < plan->n_launch; i++) {
        const wf_launch *l = &plan->launch[i];
        const wf_chain *chain = l->chain ? &plan->chain[l->chain - 1] : NULL;
        if (chain && chain->first != i) continue; /* run by its first member */
        wf_mark *m = mark ? mark++ : NULL;
        if (m) *m = (wf_mark){.arrive = wf_profile_clock()};
        if (m) m->begin = m->arrive;
        if (n > 1 && (n == plan->team ? l->barrier : l->barrier_any)) {
            wf_team_meet(team, n);
            if (m) m->begin = wf_profile_clock();
        }
        if (l->single && w > 0) continue;
        if (!l->fast && !l->group) {
            l->call.op->eval(&l->call);
            if (m) m->pieces = 1;
            continue;
        }
        void *shared = l->shared ? plan->storage[l->shared].data : NULL;
        for (int phase = 0; phase < l->phases; phase++) {
            if (phase > 0 && n > 1 && !l->single && plan->pieces[l->pieces + (uint32_t)phase - 1])
                meet(team, n, m);
            const int64_t pieces = plan->pieces[l->pieces + (uint32_t)phase];
            const int64_t first = l->single ? 0 : pieces * w / n;
            const int64_t last = l->single ? pieces : pieces * (w + 1) / n;
            if (first >= last) continue;
            if (m) m->pieces += last - first;
            if (chain && phase == l->phases - 1) wf_chain_run(plan, chain, first, last, scratch);
            else if (l->merges) l->fast->by_rows->merge(&l->call, l->slices, first, last, shared);
            else if (l->group) wf_sweep_run(plan, l, first, last, scratch);
            else l->fast->run(&l->call, phase, first, last, scratch, shared);
        }
    }
    if (mark) mark->arrive = wf_profile_clock();
}

wf_status wf_run(wf_program *p) {
    if (!p) return wf_fail(WF_ARGUMENT, "wf_run: the program is NULL; make one of the graph "
                                "with wf_compile");
    wf_profile *f = p->profile.recording ? &p->profile : NULL;
    if (f) wf_profile_run_begin(f);
    const int threads = wf_team_size(p->threads);
    if (threads == 1 || p->plan.alone) {
        /* No team: libgomp would allocate one for a single thread, every time. */
        const wf_fp_mode mode = wf_flush_denormals();
        work(p, NULL, wf_profile_marks(f, 0), 0, 1);
        wf_restore_denormals(mode);
        if (f) wf_profile_run_end(f, 1);
        return WF_OK;
    }
    wf_team team = {0};
    int came = 1;
#pragma omp parallel num_threads(threads)
    {
        /* Fewer threads than asked for may have come: inside a parallel region, for example. */
        const wf_fp_mode mode = wf_flush_denormals();
        const int w = omp_get_thread_num(), n = omp_get_num_threads();
        work(p, &team, wf_profile_marks(f, w), w, n);
        wf_restore_denormals(mode);
        if (w == 0) came = n;
    }
    if (f) wf_profile_run_end(f, came);
    return WF_OK;
}
