/* What does this machine give? Multiply-adds by instruction set and precision, caches, memory, page
 * faults, each on one thread and on all. Every other benchmark measures its limit with the same
 * functions (bench/peak.h) beside its own figures. */
#include <stdio.h>

#include "bench/bench.h"

static void print(const char *what, const char *mode, const char *unit, double rate, int threads) {
    const char *shape = threads == 1 ? "1 thread" : "all threads";
    if (rate > 0)
        bench_print(&(bench_row){.question = what, .shape = shape, .mode = mode, .unit = unit,
                                 .work = rate, .ok = true, .threads = threads});
    else
        printf("%-16s %-32s %-6s not here\n", what, shape, mode);
}

int main(int argc, char **argv) {
    bench_open("peak", &argc, argv);
    const int all = bench_threads();
    printf("bench_peak: isa %s, %d threads\n", wf_isa_name(wf_isa_get()), all);
    for (int threads = 1; threads <= all; threads += all > 1 ? all - 1 : 1) {
        for (int isa = WF_ISA_SCALAR; isa <= WF_ISA_AVX512; isa++)
            print(wf_isa_name((wf_isa)isa), "f32", "GFLOP/s", bench_peak_isa((wf_isa)isa, threads),
                  threads);
        print("VDPBF16PS", "bf16", "GFLOP/s", bench_peak_dot(threads), threads);
        print("AMX tiles", "bf16", "GFLOP/s", bench_peak_amx(threads), threads);
        print("read level 2", "", "GB/s", bench_peak_l2(threads), threads);
        print("read memory", "", "GB/s", bench_peak_read(threads), threads);
        print("write memory", "", "GB/s", bench_peak_write(threads), threads);
    }
    print("fault, 4 KiB", "", "ns a page", bench_fault_ns(false), 1);
    print("fault, huge", "", "ns a page", bench_fault_ns(true), 1);
    return bench_close();
}
