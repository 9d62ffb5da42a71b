/* Datasets that live in memory: tensors, subsets, the bundled digits. */
#include <string.h>

#include "internal.h"

void tern_dataset_free(tern_dataset *d) {
    if (d && d->drop) d->drop(d);
}

/* ---- tensors
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct tensors {
    tern_dataset d;
    tern_tensor *x, *y; /* contiguous, on the CPU, kept */
    size_t x_bytes, y_bytes;
} tensors;

static bool tensors_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const tensors *t = (tensors *)d;
    if (t->x_bytes) memcpy(x, (const char *)tern_data(t->x) + (size_t)i * t->x_bytes, t->x_bytes);
    if (t->y_bytes) memcpy(y, (const char *)tern_data(t->y) + (size_t)i * t->y_bytes, t->y_bytes);
    return true;
}

static void tensors_drop(tern_dataset *d) {
    tensors *t = (tensors *)d;
    tern_release(t->x);
    tern_release(t->y);
    terni_free(t, sizeof *t);
}

static tern_shape sample_shape(tern_tensor *t, size_t *bytes) {
    tern_shape s = {.ndim = tern_ndim(t) - 1};
    *bytes = tern_dtype_size(tern_dtype_of(t));
    for (int i = 0; i < s.ndim; i++) {
        s.dim[i] = tern_size(t, i + 1);
        *bytes *= (size_t)s.dim[i];
    }
    return s;
}

tern_dataset *tern_dataset_tensors_new(tern_tensor *x, tern_tensor *y) {
    if (!terni_given(x, "dataset_tensors", "x") || !terni_given(y, "dataset_tensors", "y")) return NULL;
    if (tern_ndim(x) < 1 || tern_ndim(y) < 1 || tern_size(x, 0) != tern_size(y, 0))
        return terni_null(TERN_ERR_SHAPE, "dataset_tensors: x has %lld samples, y %lld", (long long)tern_size(x, 0),
                          (long long)tern_size(y, 0));
    if (tern_device_of(x).type != TERN_CPU || tern_device_of(y).type != TERN_CPU)
        return terni_null(TERN_ERR_DEVICE, "dataset_tensors: x and y must be on the CPU");
    tensors *t = terni_calloc(sizeof *t);
    if (!t) return NULL;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    t->x = tern_keep(tern_contiguous(x));
    t->y = tern_keep(tern_contiguous(y));
    tern_grad_mode(was);
    tern_scope_pop(scope);
    t->d = (tern_dataset){.length = tern_size(x, 0),
                          .x_dtype = tern_dtype_of(x),
                          .y_dtype = tern_dtype_of(y),
                          .get = tensors_get,
                          .drop = tensors_drop};
    if (!t->x || !t->y) {
        tensors_drop(&t->d);
        return NULL;
    }
    t->d.x_shape = sample_shape(x, &t->x_bytes);
    t->d.y_shape = sample_shape(y, &t->y_bytes);
    return &t->d;
}

/* ---- the bundled digits
 * ----------------------------------------------------------------------------------------------------- */

enum { DIGITS = 1797, PIXELS = 64, FOLD = 5 };

static const char digit_rows[DIGITS][PIXELS + 2] = {
#include "digits_data.inc"
};
static const char *const digit_names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

typedef struct digits {
    tern_dataset d;
    int16_t row[DIGITS];
} digits;

static bool digits_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const char *row = digit_rows[((digits *)d)->row[i]];
    float *pixel = x;
    for (int k = 0; k < PIXELS; k++) pixel[k] = (float)(row[k] - 'a') / 16.0f;
    *(int64_t *)y = row[PIXELS] - '0';
    return true;
}

static void digits_drop(tern_dataset *d) { terni_free(d, sizeof(digits)); }

tern_dataset *tern_digits_new(bool train) {
    digits *s = tern_ok() ? terni_calloc(sizeof *s) : NULL;
    if (!s) return NULL;
    int16_t order[DIGITS];
    tern_random r = {.seed = 1797};
    for (int i = 0; i < DIGITS; i++) order[i] = (int16_t)i;
    for (int i = DIGITS - 1; i > 0; i--) {
        const int j = (int)tern_random_below(&r, (uint64_t)i + 1);
        const int16_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    int n = 0;
    for (int i = 0; i < DIGITS; i++)
        if ((i % FOLD != 0) == train) s->row[n++] = order[i];
    s->d = (tern_dataset){.length = n,
                          .x_shape = TERN_SHAPE(1, 8, 8),
                          .x_dtype = TERN_F32,
                          .y_dtype = TERN_I64,
                          .get = digits_get,
                          .drop = digits_drop,
                          .classes = 10,
                          .class_names = digit_names};
    return &s->d;
}
