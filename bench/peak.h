/* What the machine gives at this moment: every benchmark calls one of these beside each
 * measurement, so that a figure is a share of a limit taken in the same minute. Machines are shared
 * and change their clock; a peak from a data sheet says nothing about either.
 *
 * Each is the best of a few runs of some ten milliseconds, of `threads` threads together; 0 if the
 * machine, the compiler or the operating system lacks what it measures. */
#ifndef WEFT_BENCH_PEAK_H
#define WEFT_BENCH_PEAK_H

#include <stdbool.h>

#include "tensor/kernels/cpu.h"

/* GFLOP/s of multiply-adds in fp32 (two operations each), from registers: of one instruction set,
 * and of the one that WF_ISA allows. "scalar" is what plain C gets: 16-byte vectors, multiplication
 * and addition apart. */
double bench_peak_isa(wf_isa isa, int threads);
double bench_peak_fma(int threads);

/* GFLOP/s of bf16 products summed in fp32: VDPBF16PS, which some processors run at half the rate of
 * fp32 and others at twice that; and the tiles of AMX, on random data (zeros draw less power and
 * would look faster). */
double bench_peak_dot(int threads);
double bench_peak_amx(int threads);

/* GFLOP/s that a compute mode allows: "f32": multiply-add; "bf16": the best there is; "f32x3": a
 * third of bf16, but never less than multiply-add, with which the same could be computed. 0 for
 * other names. */
double bench_peak_mode(const char *mode, int threads);

/* GB/s of reading: half of a level-2 cache by each thread; memory far larger than the caches; and
 * of writing such memory. */
double bench_peak_l2(int threads);
double bench_peak_read(int threads);
double bench_peak_write(int threads);

/* Nanoseconds for the first touch of 4 KiB on one thread, in pages of 4 KiB or huge ones (where the
 * system gives them). */
double bench_fault_ns(bool huge);

#endif
