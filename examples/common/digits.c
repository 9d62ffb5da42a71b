#include "digits.h"

#include <stdio.h>
#include <unistd.h>

enum { PATH = 4096 };

static void find(const char *folder, bool train, const char *what, char path[PATH]) {
    snprintf(path, PATH, "%s/%s-%s-ubyte", folder, train ? "train" : "t10k", what);
    if (access(path, F_OK) != 0) snprintf(path, PATH, "%s/%s-%s-ubyte.gz", folder, train ? "train" : "t10k", what);
}

tern_dataset *digits_new(const char *folder, bool train) {
    char images[PATH], labels[PATH];
    if (!folder) return tern_digits_new(train);
    find(folder, train, "images-idx3", images);
    find(folder, train, "labels-idx1", labels);
    return tern_idx_dataset_new(images, labels, (tern_idx_opts){0});
}
