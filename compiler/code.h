/* Generated code: groups become machine code by the machine's C compiler, if it has one.
 *
 *   wf_code_request(&code, groups, n, wf_code_mode_get());      when a program is compiled
 *   wf_code_call(code, i, &group, p, rows, cols, scratch);      in a run
 *
 * Invariants
 *   - A request never fails for want of a compiler, a writable home or an exec-mountable
 *     directory, and in the background mode never waits for one: until a kernel is there, and
 *     wherever it never comes, the tile interpreter runs the group, with the same bits.
 *   - A kernel is made once a process and stays until its end, whoever asked for it. */
#ifndef WEFT_CODE_H
#define WEFT_CODE_H

#include "compiler/group.h"

typedef struct wf_code wf_code;

typedef enum wf_code_mode { WF_CODE_OFF, WF_CODE_BACKGROUND, WF_CODE_SYNC } wf_code_mode;

/* WF_JIT=off|background|sync; background if it is unset, or unknown (logged once). */
wf_code_mode wf_code_mode_get(void);

/* Asks for the kernels of n groups, which are not needed after the call. BACKGROUND: a thread makes
 * them; SYNC: they are there on return, or never. A failure to make them is a log line under
 * WF_DEBUG=code. WF_MEMORY is the only error. Owner: the caller frees *out, at any time when no run
 * uses it. */
wf_status wf_code_request(wf_code **out, const wf_group *const *groups, size_t n,
                          wf_code_mode mode);
void wf_code_free(wf_code *c);

/* The kernel of group i; NULL while there is none. */
wf_group_fn *wf_code_kernel(const wf_code *c, size_t i);

/* Waits until every kernel is there or has failed. */
void wf_code_wait(const wf_code *c);

/* Puts another function in the place of kernel i for the rest of the process: NULL, the interpreter
 * (a kernel found wrong); in tests, a wrong one. */
void wf_code_set(const wf_code *c, size_t i, wf_group_fn *fn);

/* --- running (verify_kernel.c) ---------------------------------------------------------------- */

/* Runs group i by its kernel, or by the interpreter; under WF_VERIFY=sample (the first two calls of
 * a kernel, then every 256th) or all, by both. Where they differ: the interpreter's result stays, a
 * log line names the group and a stand-alone reproducer in C ($TMPDIR/weft-verify-*.c), and the
 * kernel is not used again. `c` may be NULL. scratch: wf_group_scratch(g) bytes. */
void wf_code_call(const wf_code *c, size_t i, const wf_group *g, void *const p[], long rows,
                  long cols, void *scratch);

/* The number of the call of kernel i, counted from 0 over the process. */
unsigned wf_code_count(const wf_code *c, size_t i);

#endif
