/* Makers of files for tests: a folder of their own that is removed when the test ends well, files
 * from bytes, safetensors files from a header's text. What fails here fails the test. */
#ifndef TESTS_BAD_INPUTS_H
#define TESTS_BAD_INPUTS_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "<folder>/<name>" in one of eight static buffers. */
static inline const char *temp_path(const char *folder, const char *name) {
    static char text[8][512];
    static int next;
    char *p = text[next++ % 8];
    snprintf(p, sizeof text[0], "%s/%s", folder, name);
    return p;
}

/* A new empty folder below TMPDIR. Owner: the caller, who hands it to temp_remove. */
static inline char *temp_folder(void) {
    const char *base = getenv("TMPDIR");
    char *path = malloc(512);
    cr_assert(path != NULL);
    snprintf(path, 512, "%s/weft-test-XXXXXX", base && *base ? base : "/tmp");
    cr_assert(mkdtemp(path) != NULL, "no folder for temporary files: %s", path);
    return path;
}

/* The number of entries of a folder, besides . and .. */
static inline int count_entries(const char *folder) {
    DIR *d = opendir(folder);
    cr_assert(d != NULL);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) n++;
    closedir(d);
    return n;
}

static inline void temp_remove(char *folder) {
    DIR *d = opendir(folder);
    cr_assert(d != NULL);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            const char *path = temp_path(folder, e->d_name);
            if (unlink(path)) rmdir(path);
        }
    closedir(d);
    rmdir(folder);
    free(folder);
}

static inline void put_file(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    cr_assert(f != NULL, "cannot write %s", path);
    cr_assert(fwrite(data, 1, bytes, f) == bytes);
    cr_assert(fclose(f) == 0);
}

/* The bytes of a file, malloced. */
static inline uint8_t *get_file(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    cr_assert(f != NULL, "cannot read %s", path);
    fseek(f, 0, SEEK_END);
    *bytes = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*bytes + 1);
    cr_assert(p && fread(p, 1, *bytes, f) == *bytes);
    fclose(f);
    return p;
}

/* length (8 bytes little-endian) | text (text_bytes) | data_bytes bytes 0, 1, 2, ... */
static inline void put_safetensors(const char *path, uint64_t length, const void *text,
                                   size_t text_bytes, size_t data_bytes) {
    const size_t bytes = 8 + text_bytes + data_bytes;
    uint8_t *p = malloc(bytes);
    cr_assert(p != NULL);
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(length >> (8 * i));
    memcpy(p + 8, text, text_bytes);
    for (size_t i = 0; i < data_bytes; i++) p[8 + text_bytes + i] = (uint8_t)i;
    put_file(path, p, bytes);
    free(p);
}

/* Where large data lies: $WEFT_TEST_DATA, or ../shared if that exists; else NULL, and the test says
 * that it is skipped. A variable that names nothing is an error. */
static inline const char *test_data(const char *what) {
    const char *path = getenv("WEFT_TEST_DATA");
    if (path && *path) {
        cr_assert(access(path, R_OK) == 0, "WEFT_TEST_DATA=%s: no such folder", path);
        return path;
    }
    if (access("../shared/golden", R_OK) == 0) return "../shared";
    fprintf(stderr, "skipped: %s (set WEFT_TEST_DATA)\n", what);
    return NULL;
}

#endif
