#define _GNU_SOURCE /* memmem */
#include "bench/vectors.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 512, MOST = 1 << 22 };

static char root[] = "/tmp/weft-bench-XXXXXX";

bool vectors_begin(void) { return mkdtemp(root) && setenv("XDG_CACHE_HOME", root, 1) == 0; }

/* Every file of the cache's folder; then the folder itself if `gone`. */
static void each_file(void (*what)(const char *path, void *user), void *user, bool gone) {
    char folder[PATH], path[2 * PATH];
    snprintf(folder, sizeof folder, "%s/weft", root);
    DIR *d = opendir(folder);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) what(path, user);
    }
    if (d) closedir(d);
    if (gone) rmdir(folder), rmdir(root);
}

static void remove_file(const char *path, void *user) { unlink(path); }

void vectors_end(void) { each_file(remove_file, NULL, true); }

/* "vfmadd132ps %zmm0,%zmm1,%zmm2": arithmetic, and on how many bits. */
static void count_line(const char *line, vector_count *c) {
    static const char *const kinds[] = {"add", "sub", "mul", "div", "fma", "fms", "fnma", "fnms"};
    char name[32] = "";
    if (sscanf(line, "%*x: %31s", name) != 1) return;
    const char *bare = name[0] == 'v' ? name + 1 : name;
    const size_t n = strlen(bare);
    bool arithmetic = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        arithmetic |= strncmp(bare, kinds[i], strlen(kinds[i])) == 0;
    if (!arithmetic || n < 2 || bare[n - 1] != 's') return;
    if (bare[n - 2] == 's') c->single++;
    if (bare[n - 2] != 'p') return;
    const int bits = strstr(line, "%zmm") ? 512 : strstr(line, "%ymm") ? 256 : 128;
    if (bits > c->widest) c->widest = bits;
    c->packed++;
}

/* A cached file is a header and a shared object; objdump wants the object alone. */
static void count_file(const char *path, void *user) {
    vector_count *c = user;
    char object[PATH], command[2 * PATH], line[512], *data = malloc(MOST);
    FILE *f = fopen(path, "rb");
    const size_t n = f && data ? fread(data, 1, MOST, f) : 0;
    if (f) fclose(f);
    const char *elf = n ? memmem(data, n, "\177ELF", 4) : NULL;
    snprintf(object, sizeof object, "%s/object.so", root);
    f = elf ? fopen(object, "wb") : NULL;
    if (f) {
        fwrite(elf, 1, n - (size_t)(elf - data), f);
        fclose(f);
        snprintf(command, sizeof command, "objdump -d --no-show-raw-insn %s 2>/dev/null", object);
        f = popen(command, "r");
        bool group = false;
        while (f && fgets(line, sizeof line, f)) {
            if (strchr(line, '<') && strstr(line, ">:")) group = strstr(line, "<wf_group");
            if (group) count_line(line, c);
            c->known |= group;
        }
        if (f) pclose(f);
        unlink(object);
    }
    unlink(path);
    free(data);
}

vector_count vectors_new(void) {
    vector_count c = {0};
    each_file(count_file, &c, false);
    return c;
}
