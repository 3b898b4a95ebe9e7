/* The C compiler as a child: which one, and one run of it.
 *
 * Invariants
 *   - No shell: an argument vector, a small environment, its own process group.
 *   - It is killed with all its children when the time is over or when *stop becomes true, and
 *     limited in memory, file size and processor time.
 *   - It never fails the program: whatever happens is a status and a message. */
#ifndef WEFT_CC_H
#define WEFT_CC_H

#include <stdatomic.h>

#include "tensor/base.h"

enum { WF_CC_PATH = 1024 };

/* The compiler's file: part of the identity of what it makes. */
typedef struct wf_cc {
    char path[WF_CC_PATH];
    int64_t size, mtime_s, mtime_ns;
} wf_cc;

/* WF_CC (a path, or a name looked up in PATH), else cc, gcc or clang in PATH. WF_UNSUPPORTED if
 * there is none. Relative entries of PATH do not count, and a program with raised privileges looks
 * in /usr/bin and /bin only. */
wf_status wf_cc_find(wf_cc *cc);

/* Runs it with arguments argv[0 ..], NULL-terminated, temporary files in `dir`. WF_UNSUPPORTED,
 * with the first line of its complaint, if it fails or takes longer than limit_s. */
wf_status wf_cc_run(const wf_cc *cc, char *const argv[], const char *dir, double limit_s,
                    const atomic_bool *stop);

/* Seconds that a run may take: WF_CC_LIMIT, default 60. */
double wf_cc_limit(void);

/* getenv, but NULL for a program with raised privileges. */
const char *wf_cc_env(const char *name);

#endif
