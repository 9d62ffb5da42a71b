/* CIFAR-10 and CIFAR-100 in their binary version: records of one or two labels and 3 x 32 x 32 pixels. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "replace.h"
#include "tern/datasets.h"

enum { PIXELS = 3 * 32 * 32, PLANE = 32 * 32, MOST_FILES = 5 };

typedef struct cifar {
    tern_dataset d;
    unsigned char *data[MOST_FILES]; /* for terni_mfree */
    int64_t records[MOST_FILES];
    int files;
    size_t record, label; /* a record's size, and where its label is */
    float scale[3], shift[3];
} cifar;

static const char *const names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                    "dog",      "frog",       "horse", "ship", "truck"};

static const unsigned char *record_of(const cifar *s, int64_t i) {
    int f = 0;
    while (i >= s->records[f]) i -= s->records[f++];
    return s->data[f] + (size_t)i * s->record;
}

static int64_t cifar_label(tern_dataset *d, int64_t i) {
    const cifar *s = (cifar *)d;
    return record_of(s, i)[s->label];
}

static bool cifar_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const cifar *s = (cifar *)d;
    const unsigned char *p = record_of(s, i) + s->record - PIXELS;
    float *out = x;
    for (int c = 0; c < 3; c++)
        for (int k = c * PLANE; k < (c + 1) * PLANE; k++) out[k] = (float)p[k] * s->scale[c] + s->shift[c];
    *(int64_t *)y = cifar_label(d, i);
    return true;
}

static void cifar_drop(tern_dataset *d) {
    cifar *s = (cifar *)d;
    for (int f = 0; f < s->files; f++) terni_mfree(s->data[f]);
    terni_free(s, sizeof *s);
}

static bool add_file(cifar *s, const char *path) {
    void *data;
    size_t bytes;
    if (!terni_file_read("cifar", path, (size_t)1 << 34, &data, &bytes)) return false;
    const int f = s->files++;
    s->data[f] = data;
    s->records[f] = (int64_t)(bytes / s->record);
    s->d.length += s->records[f];
    if (bytes == 0 || bytes % s->record != 0)
        return terni_fail(TERN_ERR_FORMAT, "cifar: %s has %zu bytes; expected a multiple of %zu, not 0", path, bytes,
                          s->record);
    for (int64_t i = 0; i < s->records[f]; i++) {
        const int label = s->data[f][(size_t)i * s->record + s->label];
        if (label >= s->d.classes)
            return terni_fail(TERN_ERR_FORMAT, "cifar: %s, byte %zu: label %d; expected one below %d", path,
                              (size_t)i * s->record + s->label, label, s->d.classes);
    }
    return true;
}

static bool add_files(cifar *s, const char *path, const tern_cifar_opts *o) {
    char file[4096];
    struct stat st;
    if (stat(path, &st) != 0) return terni_fail(TERN_ERR_IO, "cifar: %s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return add_file(s, path);
    const int files = o->hundred || o->test ? 1 : MOST_FILES;
    for (int i = 1; i <= files; i++) {
        const int n = o->hundred ? snprintf(file, sizeof file, "%s/%s.bin", path, o->test ? "test" : "train")
                      : o->test  ? snprintf(file, sizeof file, "%s/test_batch.bin", path)
                                 : snprintf(file, sizeof file, "%s/data_batch_%d.bin", path, i);
        if (n < 0 || n >= (int)sizeof file) return terni_fail(TERN_ERR_IO, "cifar: the path %.200s is too long", path);
        if (!add_file(s, file)) return false;
    }
    return true;
}

tern_dataset *tern_cifar_dataset_new(const char *path, tern_cifar_opts o) {
    if (!terni_given(path, "cifar", "path")) return NULL;
    if (o.coarse && !o.hundred) return terni_null(TERN_ERR_ARGUMENT, "cifar: only CIFAR-100 has coarse classes");
    cifar *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    bool ok = true;
    s->record = PIXELS + (o.hundred ? 2 : 1);
    s->label = o.hundred && !o.coarse;
    s->d = (tern_dataset){.x_shape = TERN_SHAPE(3, 32, 32),
                          .y_dtype = TERN_I64,
                          .get = cifar_get,
                          .label = cifar_label,
                          .drop = cifar_drop,
                          .classes = !o.hundred ? 10
                                     : o.coarse ? 20
                                                : 100,
                          .class_names = o.hundred ? NULL : names};
    for (int c = 0; c < 3; c++) {
        const double std = o.std[c] == 0 ? 1 : o.std[c];
        if (!(std > 0)) ok = terni_fail(TERN_ERR_ARGUMENT, "cifar: std %g; expected more than 0", std);
        s->scale[c] = (float)(1 / (255 * std));
        s->shift[c] = (float)(-o.mean[c] / std);
    }
    if (ok && add_files(s, path, &o)) return &s->d;
    cifar_drop(&s->d);
    return NULL;
}
