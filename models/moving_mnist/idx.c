/* MNIST's images: which file, and whether it holds what is needed; nn/source.h reads it. */
#include "models/moving_mnist/idx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first of the official names that exists in the folder; the reader looks for .gz. */
static bool find_in_folder(const char *folder, const char *split, char *path, size_t size) {
    static const char *const forms[] = {"%s/%s-images-idx3-ubyte", "%s/%s-images.idx3-ubyte"};
    const char *prefix = strcmp(split, "test") ? "train" : "t10k";
    char packed[4096 + 4];
    for (size_t i = 0; i < WF_COUNT(forms); i++) {
        const int n = snprintf(path, size, forms[i], folder, prefix);
        if (n < 0 || (size_t)n >= size) return false;
        snprintf(packed, sizeof packed, "%s.gz", path);
        if (access(path, F_OK) == 0 || access(packed, F_OK) == 0) return true;
    }
    return false;
}

wf_status idx_load(idx_images *out, const char *path, const char *split) {
    *out = (idx_images){0};
    if (strcmp(split, "train") && strcmp(split, "test"))
        return wf_fail(WF_ARGUMENT, "split '%s': use train or test", split);
    char name[4096];
    struct stat st;
    wf_shape shape = WF_SHAPE(0, IDX_SIDE, IDX_SIDE);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (!find_in_folder(path, split, name, sizeof name))
            return wf_fail(WF_INPUT, "%s: no images of the %s split in it (%s-images-idx3-ubyte, "
                           "with or without .gz); `make data` downloads them", path, split,
                           strcmp(split, "test") ? "train" : "t10k");
        path = name;
    }
    const wf_status s = wf_idx_read(path, &shape, &out->pixels);
    if (!s) out->count = shape.dim[0];
    return s;
}

void idx_free(idx_images *images) {
    free(images->pixels);
    *images = (idx_images){0};
}
