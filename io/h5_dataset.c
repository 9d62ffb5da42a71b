/* Two datasets of an HDF5 file of unknown origin, read by a process of its own. */
#include "h5_child.h"
#include "internal.h"
#include "tern/datasets.h"

tern_dataset *tern_h5_dataset_new(const char *path, const char *x_name, const char *y_name) {
    if (!terni_given(path, "h5", "path") || !terni_given(x_name, "h5", "x") || !terni_given(y_name, "h5", "y"))
        return NULL;
    const char *const names[] = {x_name, y_name};
    tern_archive *a = terni_h5_read(&(terni_h5_request){.what = "h5", .path = path, .names = names, .n_names = 2});
    tern_tensor *x = a ? tern_archive_get(a, x_name) : NULL, *y = x ? tern_archive_get(a, y_name) : NULL;
    tern_dataset *d = y ? tern_dataset_tensors_new(x, y) : NULL;
    tern_archive_free(a);
    return d;
}
