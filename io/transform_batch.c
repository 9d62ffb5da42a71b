/* Transforms of whole batches: mixup, and the others as tensor ops, for any device. */
#include <math.h>
#include <string.h>

#include "internal.h"
#include "sampler_internal.h"
#include "tern/ops.h"
#include "transform_internal.h"

/* ---- numbers for each sample ------------------------------------------------------------------------------------- */

/* n numbers on x's device, as [n, 1, 1, 1] or [n]. */
static tern_tensor *column(tern_tensor *x, const int64_t *v, bool wide) {
    const int64_t n = tern_size(x, 0);
    return tern_to(tern_from(v, wide ? TERN_SHAPE(n, 1, 1, 1) : TERN_SHAPE(n), (tern_options){.dtype = TERN_I64}),
                   tern_device_of(x));
}

bool terni_images_given(const char *op, tern_tensor *x, const void *r) {
    char text[120];
    if (!terni_given(x, op, "x") || !terni_given(r, op, "random")) return false;
    if (tern_ndim(x) != 4 || tern_numel(x) == 0)
        return terni_fail(TERN_ERR_SHAPE, "%s: x is %s; expected images, [N, C, H, W]", op,
                          tern_shape_text(tern_shape_get(x), text, sizeof text));
    return tern_dtype_is_float(tern_dtype_of(x)) ||
           terni_fail(TERN_ERR_DTYPE, "%s: x is %s; expected a float dtype", op, tern_dtype_name(tern_dtype_of(x)));
}

/* 0, 1, ... as an index along one dimension of four. */
static tern_tensor *steps(tern_tensor *x, int dim, int64_t n) {
    tern_shape s = TERN_SHAPE(1, 1, 1, 1);
    s.dim[dim] = n;
    return tern_reshape(tern_arange(0, (double)n, (tern_options){.dtype = TERN_I64, .device = tern_device_of(x)}), s);
}

/* ---- place ------------------------------------------------------------------------------------------------------- */

tern_tensor *tern_batch_flip(tern_tensor *x, tern_random *r, double p, bool vertical) {
    TERNI_NAMED("batch_flip");
    if (!terni_images_given("batch_flip", x, r)) return NULL;
    if (!(p >= 0 && p <= 1)) return terni_null(TERN_ERR_ARGUMENT, "batch_flip: p %g; expected 0 to 1", p);
    const int64_t n = tern_size(x, 0);
    int64_t *yes = terni_malloc((size_t)n * sizeof *yes);
    if (!yes) return NULL;
    for (int64_t i = 0; i < n; i++) yes[i] = tern_random_double(r) < p;
    const int scope = tern_scope_push();
    tern_tensor *mask = tern_cast(column(x, yes, true), TERN_BOOL);
    terni_mfree(yes);
    return tern_scope_return(scope, tern_where(mask, tern_flip(x, (int[]){vertical ? 2 : 3}, 1), x));
}

tern_tensor *tern_batch_crop(tern_tensor *x, tern_random *r, int64_t h, int64_t w, tern_random_crop_opts o) {
    TERNI_NAMED("batch_crop");
    if (!terni_images_given("batch_crop", x, r)) return NULL;
    const int64_t n = tern_size(x, 0), high = tern_size(x, 2), wide = tern_size(x, 3);
    if (h < 1 || w < 1 || o.pad < 0 || o.pad > 1 << 20)
        return terni_null(TERN_ERR_ARGUMENT,
                          "batch_crop: %lld x %lld pixels, pad %lld; expected 1 or more, and 0 to "
                          "1048576",
                          (long long)h, (long long)w, (long long)o.pad);
    if (h > high + 2 * o.pad || w > wide + 2 * o.pad)
        return terni_null(TERN_ERR_SHAPE, "batch_crop: %lld x %lld of images of %lld x %lld, padded by %lld",
                          (long long)h, (long long)w, (long long)high, (long long)wide, (long long)o.pad);
    int64_t *top = terni_malloc(2 * (size_t)n * sizeof *top), *left = top ? top + n : NULL;
    if (!top) return NULL;
    for (int64_t i = 0; i < n; i++) {
        top[i] = (int64_t)tern_random_below(r, (uint64_t)(high + 2 * o.pad - h + 1));
        left[i] = (int64_t)tern_random_below(r, (uint64_t)(wide + 2 * o.pad - w + 1));
    }
    const int scope = tern_scope_push();
    tern_tensor *y = x;
    if (o.pad) y = tern_pad(x, (int64_t[]){o.pad, o.pad, o.pad, o.pad}, 4, (tern_pad_opts){.value = (double)o.fill});
    tern_tensor *rows = tern_add(steps(x, 2, h), column(x, top, true));
    tern_tensor *columns = tern_add(steps(x, 3, w), column(x, left, true));
    terni_mfree(top);
    y = tern_take_along_dim(tern_take_along_dim(y, rows, 2), columns, 3);
    return tern_scope_return(scope, y);
}

/* ---- value ------------------------------------------------------------------------------------------------------- */

/* True along one dimension from first to first + size. */
static tern_tensor *span(tern_tensor *x, int dim, const int64_t *first, int64_t size) {
    tern_tensor *at = tern_sub(steps(x, dim, tern_size(x, dim)), column(x, first, true));
    return tern_logical_and(tern_ge(at, tern_zeros_like(at)), tern_lt(at, tern_full_like(at, (double)size)));
}

tern_tensor *tern_batch_cutout(tern_tensor *x, tern_random *r, int64_t size) {
    TERNI_NAMED("batch_cutout");
    if (!terni_images_given("batch_cutout", x, r)) return NULL;
    if (size < 1 || size > 1 << 20)
        return terni_null(TERN_ERR_ARGUMENT, "batch_cutout: size %lld; expected 1 to 1048576", (long long)size);
    const int64_t n = tern_size(x, 0);
    int64_t *top = terni_malloc(2 * (size_t)n * sizeof *top), *left = top ? top + n : NULL;
    if (!top) return NULL;
    for (int64_t i = 0; i < n; i++) {
        top[i] = (int64_t)tern_random_below(r, (uint64_t)tern_size(x, 2)) - size / 2;
        left[i] = (int64_t)tern_random_below(r, (uint64_t)tern_size(x, 3)) - size / 2;
    }
    const int scope = tern_scope_push();
    tern_tensor *hole = tern_logical_and(span(x, 2, top, size), span(x, 3, left, size));
    terni_mfree(top);
    return tern_scope_return(scope, tern_masked_fill(x, hole, 0));
}

tern_tensor *tern_batch_normalize(tern_tensor *x, const double *mean, const double *std, int c) {
    TERNI_NAMED("batch_normalize");
    if (!terni_images_given("batch_normalize", x, mean) || !terni_given(std, "batch_normalize", "std")) return NULL;
    if (c != tern_size(x, 1))
        return terni_null(TERN_ERR_SHAPE, "batch_normalize: %d numbers for %lld channels", c,
                          (long long)tern_size(x, 1));
    for (int i = 0; i < c; i++)
        if (!(std[i] > 0) || !isfinite(std[i]) || !isfinite(mean[i]))
            return terni_null(TERN_ERR_ARGUMENT, "batch_normalize: mean %g and std %g of channel %d", mean[i], std[i],
                              i);
    const int scope = tern_scope_push();
    const tern_options o = {.dtype = tern_dtype_of(x)};
    const tern_shape s = TERN_SHAPE(c, 1, 1);
    tern_tensor *m = tern_to(tern_from_doubles(mean, s, o), tern_device_of(x));
    tern_tensor *d = tern_to(tern_from_doubles(std, s, o), tern_device_of(x));
    return tern_scope_return(scope, tern_div(tern_sub(x, m), d));
}

/* ---- mixup ------------------------------------------------------------------------------------------------------- */

/* Standard normal (Box and Muller), and Gamma(a, 1) by Marsaglia and Tsang, ACM TOMS 26 (2000). */
static double normal(tern_random *r) {
    const double u = 1 - tern_random_double(r), v = tern_random_double(r);
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
}

static double gamma_draw(tern_random *r, double a) {
    if (a < 1) return gamma_draw(r, a + 1) * pow(1 - tern_random_double(r), 1 / a);
    const double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double z = normal(r), v = (1 + c * z) * (1 + c * z) * (1 + c * z);
        if (v > 0 && log(1 - tern_random_double(r)) < 0.5 * z * z + d - d * v + d * log(v)) return d * v;
    }
}

/* Beta(alpha, alpha). Below 1e-3 both gammas can underflow: then it is one of the ends. */
static double beta_draw(tern_random *r, double alpha) {
    const double a = gamma_draw(r, alpha), b = gamma_draw(r, alpha);
    return a + b > 0 ? a / (a + b) : tern_random_double(r) < 0.5 ? 0 : 1;
}

/* s a + (1 - s) a' */
static tern_tensor *mixed(tern_tensor *a, tern_tensor *order, double s) {
    tern_tensor *other = tern_index_select(a, 0, order);
    return tern_add(tern_mul_scalar(a, s), tern_mul_scalar(other, 1 - s));
}

static bool mix(tern_tensor **x, tern_tensor **y, tern_random *r, double alpha, int classes) {
    const int64_t n = tern_size(*x, 0);
    const tern_dtype dtype = tern_dtype_of(*y);
    int64_t *order = terni_malloc((size_t)n * sizeof *order);
    if (!order) return false;
    const double s = beta_draw(r, alpha);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    terni_shuffle(r, order, n);
    tern_tensor *to = column(*x, order, false);
    terni_mfree(order);
    *x = mixed(*x, to, s);
    *y = mixed(tern_dtype_is_float(dtype) ? *y : tern_one_hot(*y, classes, TERN_F32), to, s);
    return *x && *y;
}

static bool checked_mixup(tern_tensor **x, tern_tensor **y, tern_random *r, double alpha, int classes) {
    if (!(alpha > 0) || !isfinite(alpha))
        return terni_fail(TERN_ERR_ARGUMENT, "mixup: alpha %g; expected more than 0", alpha);
    if (tern_ndim(*x) < 1 || tern_ndim(*y) < 1 || tern_size(*x, 0) != tern_size(*y, 0) || tern_numel(*x) == 0)
        return terni_fail(TERN_ERR_SHAPE, "mixup: x has %lld samples, y %lld", (long long)tern_size(*x, 0),
                          (long long)tern_size(*y, 0));
    if (!tern_dtype_is_float(tern_dtype_of(*x)))
        return terni_fail(TERN_ERR_DTYPE, "mixup: x is %s; expected a float dtype", tern_dtype_name(tern_dtype_of(*x)));
    if (!tern_dtype_is_float(tern_dtype_of(*y)) && (tern_ndim(*y) != 1 || classes < 1))
        return terni_fail(TERN_ERR_ARGUMENT, "mixup: y is %d-dim %s, %d classes; expected floats, or [N] of classes",
                          tern_ndim(*y), tern_dtype_name(tern_dtype_of(*y)), classes);
    return mix(x, y, r, alpha, classes);
}

bool tern_batch_mixup(tern_tensor **x, tern_tensor **y, tern_random *r, double alpha, int classes) {
    TERNI_NAMED("batch_mixup");
    if (!terni_given(x, "batch_mixup", "x") || !terni_given(y, "batch_mixup", "y") ||
        !terni_given(*x, "batch_mixup", "*x") || !terni_given(*y, "batch_mixup", "*y") ||
        !terni_given(r, "batch_mixup", "random"))
        return false;
    return checked_mixup(x, y, r, alpha, classes);
}

typedef struct mixup {
    tern_transform t;
    double alpha;
} mixup;

static bool mixup_batch(const tern_transform *t, tern_random *r, int classes, tern_tensor **x, tern_tensor **y) {
    return checked_mixup(x, y, r, ((const mixup *)t)->alpha, classes);
}
static void mixup_drop(tern_transform *t) { terni_free(t, sizeof(mixup)); }

tern_transform *tern_mixup_new(double alpha) {
    if (!tern_ok()) return NULL;
    if (!(alpha > 0) || !isfinite(alpha))
        return terni_null(TERN_ERR_ARGUMENT, "mixup: alpha %g; expected more than 0", alpha);
    mixup *m = terni_calloc(sizeof *m);
    if (!m) return NULL;
    m->t = (tern_transform){.batch = mixup_batch, .drop = mixup_drop};
    m->alpha = alpha;
    return &m->t;
}
