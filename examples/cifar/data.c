#include "data.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/shapes.h"
#include "model.h"

enum { GENERATED = 3000, GENERATED_TEST = 500, PATH = 4096 };

static bool is_there(const char *folder, const char *name) {
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static tern_dataset *folder_new(const char *folder, const char *part) {
    char path[PATH];
    if (snprintf(path, sizeof path, "%s/%s", folder, part) >= PATH) {
        tern_error_set(TERN_ERR_ARGUMENT, "%s: the path is too long", folder);
        return NULL;
    }
    return tern_folder_dataset_new(path, (tern_folder_opts){.height = CIFAR_SIZE, .width = CIFAR_SIZE});
}

static bool same_classes(const tern_dataset *a, const tern_dataset *b, const char *path) {
    bool same = a->classes == b->classes;
    for (int i = 0; same && i < a->classes; i++) same = strcmp(a->class_names[i], b->class_names[i]) == 0;
    return same || tern_error_set(TERN_ERR_FORMAT, "%s: train and test hold other classes", path);
}

static bool open_files(const char *path, tern_dataset **train, tern_dataset **test) {
    if (is_there(path, "data_batch_1.bin")) {
        *train = tern_cifar_dataset_new(path, (tern_cifar_opts){0});
        *test = *train ? tern_cifar_dataset_new(path, (tern_cifar_opts){.test = true}) : NULL;
        return *test != NULL;
    }
    if (is_there(path, "train")) {
        *train = folder_new(path, "train");
        *test = *train ? folder_new(path, "test") : NULL;
        return *test && same_classes(*train, *test, path);
    }
    return tern_error_set(TERN_ERR_IO,
                          "%s: neither data_batch_1.bin to data_batch_5.bin and test_batch.bin (CIFAR-10's binary "
                          "version) nor train/CLASS and test/CLASS with pictures",
                          path);
}

/* `samples` of the training pictures, the same ones for the same number. */
static bool draw(int64_t samples, tern_dataset **train, tern_dataset **whole) {
    const double part[2] = {(double)samples, (double)((*train)->length - samples)};
    tern_dataset *parts[2];
    *whole = *train;
    *train = NULL;
    if (!tern_dataset_random_split(*whole, part, 2, 1, parts)) return false;
    *train = parts[0];
    tern_dataset_free(parts[1]);
    return true;
}

bool cifar_data(const char *path, int64_t samples, tern_dataset **train, tern_dataset **test, tern_dataset **whole) {
    if (!path) {
        *train = shapes_classes_new(samples ? samples : GENERATED, 1);
        *test = *train ? shapes_classes_new(GENERATED_TEST, 2) : NULL;
        return *test != NULL;
    }
    if (!open_files(path, train, test)) return false;
    if (samples > (*train)->length)
        return tern_error_set(TERN_ERR_ARGUMENT, "%s: %" PRId64 " training pictures; --samples asks for %" PRId64, path,
                              (*train)->length, samples);
    return samples == 0 || samples == (*train)->length || draw(samples, train, whole);
}

char *cifar_class_names(const tern_dataset *d) {
    size_t size = 1;
    for (int i = 0; i < d->classes; i++) size += strlen(d->class_names[i]) + 1;
    char *names = malloc(size), *end = names;
    if (!names) {
        tern_error_set(TERN_ERR_MEMORY, "no memory for the names of the classes");
        return NULL;
    }
    *names = '\0';
    for (int i = 0; i < d->classes; i++) end += sprintf(end, "%s%s", i ? "/" : "", d->class_names[i]);
    return names;
}
