/* Compiled code on disk, and how it gets into the process.
 *
 * The directory is $XDG_CACHE_HOME/weft or ~/.cache/weft. An entry is one file, named by its key:
 * a magic line, the key, the SHA-256 of the rest, and the rest, a shared object.
 *
 * Invariants
 *   - What is run is what was checked: the file is read once, checked, copied into a sealed memfd,
 *     and loaded from there.
 *   - The directory is ours alone (owner, mode 0700, no link) or is not used; so is every file in
 *     it that is read (owner, not writable by others, one name, no link).
 *   - Entries appear whole: written aside, fsynced, renamed. The directory is bounded; the entries
 *     used longest ago go first.
 *   - Every failure means "not cached". */
#ifndef WEFT_CACHE_H
#define WEFT_CACHE_H

#include "compiler/cc.h"

enum { WF_CACHE_KEY = 65, WF_CACHE_PATH = 1024 };

typedef struct wf_cache {
    int dir; /* -1: nothing is cached */
    const char *why; /* the directory is unsafe; NULL otherwise */
    char path[WF_CACHE_PATH];
} wf_cache;

typedef struct wf_bytes {
    unsigned char *data; /* owned: free */
    size_t size;
} wf_bytes;

/* Opens the directory, making it where it is missing. An unsafe one is reported once (a log line)
 * and not used; nor is any in a program with raised privileges. */
wf_cache wf_cache_open(void);
void wf_cache_close(wf_cache *c);

/* The identity of compiled code, 64 hexadecimal digits: of source, compiler, flags
 * (NULL-terminated), instruction set, library and ABI. */
void wf_cache_key(char key[WF_CACHE_KEY], const wf_cc *cc, const char *const *flags,
                  const char *isa, const char *source);

/* The shared object of an entry; false, and wf_error(), if it is missing or not as it should be. */
bool wf_cache_read(const wf_cache *c, const char *key, wf_bytes *out);

/* Adds or replaces an entry, and removes old ones beyond `limit` bytes in total. */
wf_status wf_cache_write(const wf_cache *c, const char *key, const wf_bytes *code, int64_t limit);
#define WF_CACHE_LIMIT (INT64_C(64) << 20)

/* A fresh directory for a compiler's files, of mode 0700: in the cache, $TMPDIR, /tmp or /dev/shm,
 * the first with room. wf_cache_work_free removes it with the files in it. */
wf_status wf_cache_work_new(const wf_cache *c, char path[WF_CACHE_PATH]);
void wf_cache_work_free(const char *path);

/* A plain file of ours, whole. */
wf_status wf_cache_read_file(int dir, const char *name, wf_bytes *out);

/* Loads a shared object from memory and checks that its symbol wf_code_id is `key`. NULL: it cannot
 * be, see wf_error(). The code stays loaded until the process ends. */
void *wf_cache_load(const wf_bytes *code, const char *key);

#endif
