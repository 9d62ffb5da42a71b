/* Datasets of arrays in files: NumPy's. */
#include "internal.h"
#include "tern/archive.h"
#include "tern/datasets.h"

tern_dataset *tern_npy_dataset_new(const char *x_path, const char *y_path) {
    if (!terni_given(x_path, "npy_dataset", "x") || !terni_given(y_path, "npy_dataset", "y")) return NULL;
    tern_tensor *x = tern_npy_load(x_path), *y = x ? tern_npy_load(y_path) : NULL;
    tern_dataset *d = y ? tern_dataset_tensors_new(x, y) : NULL;
    tern_release(x);
    tern_release(y);
    return d;
}

tern_dataset *tern_npz_dataset_new(const char *path, const char *x_name, const char *y_name) {
    if (!terni_given(path, "npz_dataset", "path") || !terni_given(x_name, "npz_dataset", "x") ||
        !terni_given(y_name, "npz_dataset", "y"))
        return NULL;
    tern_archive *a = tern_npz_load(path);
    tern_tensor *x = a ? tern_archive_get(a, x_name) : NULL, *y = x ? tern_archive_get(a, y_name) : NULL;
    tern_dataset *d = y ? tern_dataset_tensors_new(x, y) : NULL;
    tern_archive_free(a);
    return d;
}
