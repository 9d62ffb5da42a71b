/* Transforms: running them, one after the other, and their random streams. */
#include "tern/transform.h"

#include <string.h>

#include "internal.h"
#include "tern/autograd.h"
#include "tern/ops.h"
#include "transform_internal.h"

enum { MOST_PARTS = 64 };

void tern_transform_free(tern_transform *t) {
    if (t && t->drop) t->drop(t);
}

/* A key of its own for each epoch: the shuffling has the seed's; then 2^20 numbers for each place. */
tern_random terni_transform_random(uint64_t seed, int64_t epoch, int64_t place, bool batch) {
    const uint32_t counter[4] = {(uint32_t)epoch, (uint32_t)((uint64_t)epoch >> 32), 0x7472616e, batch};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t out[4];
    tern_philox4x32(counter, key, out);
    return (tern_random){(uint64_t)out[1] << 32 | out[0], (uint64_t)place << 20};
}

static int64_t numel(tern_shape s) {
    int64_t n = 1;
    for (int i = 0; i < s.ndim; i++) n *= s.dim[i];
    return n;
}

bool terni_transform_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    *out = in;
    return !t->shape || t->shape(t, in, out);
}

bool terni_image_given(const char *op, tern_shape s) {
    char text[120];
    if (s.ndim == 3 && numel(s) > 0) return true;
    return terni_fail(TERN_ERR_SHAPE, "%s: a sample of shape %s; expected an image, [C, H, W]", op,
                      tern_shape_text(s, text, sizeof text));
}

float terni_clamp(float v, float lo, float hi) { return v < lo ? lo : v > hi ? hi : v; }

double terni_uniform(tern_random *r, double lo, double hi) { return lo + (hi - lo) * tern_random_double(r); }

bool terni_transform_run(const tern_transform *t, tern_random *r, tern_shape shape, tern_dtype dtype, const void *in,
                         float *out) {
    const int64_t n = numel(shape);
    float *pixels = NULL;
    if (dtype == TERN_U8) {
        const uint8_t *u = in;
        float *to = t->sample ? pixels = terni_malloc((size_t)n * sizeof *pixels) : out;
        if (!to) return false;
        for (int64_t i = 0; i < n; i++) to[i] = (float)u[i] / 255.0f;
        in = pixels;
    } else if (!t->sample) {
        memcpy(out, in, (size_t)n * sizeof *out);
    }
    const bool ok = !t->sample || t->sample(t, r, shape, in, out);
    terni_mfree(pixels);
    return ok || (tern_ok() && terni_fail(TERN_ERR_ARGUMENT, "transform: it failed, and gave no reason"));
}

tern_tensor *terni_transform_tensor(const tern_transform *t, tern_random *r, tern_tensor *x) {
    const tern_dtype dtype = tern_dtype_of(x);
    if (dtype != TERN_F32 && dtype != TERN_U8)
        return terni_null(TERN_ERR_DTYPE, "transform: x is %s; expected f32 or u8", tern_dtype_name(dtype));
    if (tern_device_of(x).type != TERN_CPU) return terni_null(TERN_ERR_DEVICE, "transform: x is not on the CPU");
    tern_shape shape;
    if (!terni_transform_shape(t, tern_shape_get(x), &shape)) return NULL;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_tensor *in = tern_contiguous(x), *out = tern_empty(shape, (tern_options){0});
    if (in && out && !terni_transform_run(t, r, tern_shape_get(in), dtype, tern_data(in), tern_data(out))) out = NULL;
    tern_grad_mode(was);
    return tern_scope_return(scope, in ? out : NULL);
}

tern_tensor *tern_transform_apply(const tern_transform *t, tern_random *r, tern_tensor *x) {
    if (!terni_given(t, "transform_apply", "transform") || !terni_given(r, "transform_apply", "random") ||
        !terni_given(x, "transform_apply", "x"))
        return NULL;
    if (t->batch) return terni_null(TERN_ERR_ARGUMENT, "transform_apply: a transform of batches, and one sample");
    return terni_transform_tensor(t, r, x);
}

/* ---- one after the other ----------------------------------------------------------------------------------------- */

typedef struct list {
    tern_transform t;
    int n, n_samples; /* the batch transforms stand behind the others */
    tern_transform *part[MOST_PARTS];
} list;

static bool list_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    const list *l = (const list *)t;
    *out = in;
    for (int i = 0; i < l->n_samples; i++) {
        const tern_shape s = *out;
        if (!terni_transform_shape(l->part[i], s, out)) return false;
    }
    return true;
}

static bool list_sample(const tern_transform *t, tern_random *r, tern_shape shape, const float *in, float *out) {
    const list *l = (const list *)t;
    float *buffer = NULL, *last = NULL;
    bool ok = true;
    for (int i = 0; ok && i < l->n_samples; i++) {
        tern_shape next;
        if (!terni_transform_shape(l->part[i], shape, &next)) break;
        float *to = i == l->n_samples - 1 ? out : terni_malloc((size_t)numel(next) * sizeof *to);
        ok = to && l->part[i]->sample(l->part[i], r, shape, in, to);
        terni_mfree(last);
        last = buffer = to == out ? NULL : to;
        in = to;
        shape = next;
    }
    terni_mfree(buffer);
    return ok && tern_ok();
}

static bool list_batch(const tern_transform *t, tern_random *r, int classes, tern_tensor **x, tern_tensor **y) {
    const list *l = (const list *)t;
    for (int i = l->n_samples; i < l->n; i++)
        if (!l->part[i]->batch(l->part[i], r, classes, x, y)) return false;
    return true;
}

static void list_drop(tern_transform *t) {
    list *l = (list *)t;
    for (int i = 0; i < l->n; i++) tern_transform_free(l->part[i]);
    terni_free(l, sizeof *l);
}

static bool add(list *l, tern_transform *part) {
    const int i = l->n++;
    if (!part || (!part->sample && !part->batch))
        return terni_fail(TERN_ERR_ARGUMENT, "transforms: number %d %s", i, part ? "does nothing" : "is NULL");
    if (part->sample && (part->batch || l->n_samples != i))
        return terni_fail(TERN_ERR_ARGUMENT, "transforms: number %d, of samples, comes behind one of batches", i);
    l->part[i] = part;
    l->n_samples += part->sample != NULL;
    return true;
}

tern_transform *tern_transforms_new(tern_transform *const *parts, int n) {
    bool ok = terni_given(parts, "transforms", "parts");
    if (ok && (n < 1 || n > MOST_PARTS))
        ok = terni_fail(TERN_ERR_ARGUMENT, "transforms: %d of them; expected 1 to %d", n, MOST_PARTS);
    list *l = ok ? terni_calloc(sizeof *l) : NULL;
    ok = l != NULL;
    for (int i = 0; ok && i < n; i++) ok = add(l, parts[i]);
    if (!ok) {
        for (int i = 0; parts && i < n; i++) tern_transform_free(parts[i]);
        if (l) terni_free(l, sizeof *l);
        return NULL;
    }
    l->t = (tern_transform){.shape = list_shape,
                            .sample = l->n_samples ? list_sample : NULL,
                            .batch = l->n > l->n_samples ? list_batch : NULL,
                            .drop = list_drop};
    return &l->t;
}
