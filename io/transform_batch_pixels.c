/* Rotation and colours of whole batches as tensor ops, for any device; what they mean is in transform_place.c and
 * transform_value.c. */
#include <math.h>

#include "internal.h"
#include "tern/ops.h"
#include "transform_internal.h"

/* n numbers, one for each sample, as [n, 1, 1] or [n, 1, 1, 1]. */
static tern_tensor *each(tern_tensor *x, const double *v, tern_dtype dtype, int ndim) {
    const int64_t n = tern_size(x, 0);
    tern_tensor *t =
        tern_from_doubles(v, ndim == 3 ? TERN_SHAPE(n, 1, 1) : TERN_SHAPE(n, 1, 1, 1), (tern_options){.dtype = dtype});
    return tern_to(t, tern_device_of(x));
}

/* ---- rotation ---------------------------------------------------------------------------------------------------- */

/* 1/2, 3/2, ... from the middle, f64, along dimension 1 or 2 of three. */
static tern_tensor *centred(tern_tensor *x, int dim) {
    const int64_t n = tern_size(x, dim + 1);
    tern_tensor *t = tern_arange(0, (double)n, (tern_options){.dtype = TERN_F64, .device = tern_device_of(x)});
    return tern_add_scalar(tern_reshape(t, dim == 1 ? TERN_SHAPE(1, n, 1) : TERN_SHAPE(1, 1, n)), 0.5 - (double)n / 2);
}

static tern_tensor *within(tern_tensor *t, double end) {
    return tern_logical_and(tern_ge(t, tern_zeros_like(t)), tern_lt(t, tern_full_like(t, end)));
}

/* The pixels at whole rows and columns [N, H, W] f64, kept to the image, of x as [N, C, H W]. */
static tern_tensor *pixels(tern_tensor *x, tern_tensor *row, tern_tensor *column) {
    const int64_t n = tern_size(x, 0), c = tern_size(x, 1), h = tern_size(x, 2), w = tern_size(x, 3);
    tern_tensor *at =
        tern_add(tern_mul_scalar(tern_clamp(row, 0, (double)h - 1), (double)w), tern_clamp(column, 0, (double)w - 1));
    at = tern_reshape(tern_cast(at, TERN_I64), TERN_SHAPE(n, 1, h * w));
    return tern_reshape(tern_take_along_dim(tern_reshape(x, TERN_SHAPE(n, c, h * w)), at, 2), TERN_SHAPE(n, c, h, w));
}

/* a (1 - t) + b t, t [N, H, W] */
static tern_tensor *mix(tern_tensor *a, tern_tensor *b, tern_tensor *t) {
    t = tern_unsqueeze(tern_cast(t, tern_dtype_of(a)), 1);
    return tern_add(tern_mul(a, tern_rsub_scalar(t, 1)), tern_mul(b, t));
}

static tern_tensor *between(tern_tensor *x, tern_tensor *row, tern_tensor *column) {
    row = tern_add_scalar(row, -0.5);
    column = tern_add_scalar(column, -0.5);
    tern_tensor *y = tern_floor(row), *below = tern_add_scalar(y, 1), *l = tern_floor(column),
                *right = tern_add_scalar(l, 1), *dy = tern_sub(row, y), *dx = tern_sub(column, l);
    return mix(mix(pixels(x, y, l), pixels(x, y, right), dx), mix(pixels(x, below, l), pixels(x, below, right), dx),
               dy);
}

static tern_tensor *rotated(tern_tensor *x, const double *cosines, const double *sines, tern_rotate_opts o) {
    tern_tensor *c = each(x, cosines, TERN_F64, 3), *s = each(x, sines, TERN_F64, 3);
    tern_tensor *dy = centred(x, 1), *dx = centred(x, 2);
    const double h = (double)tern_size(x, 2), w = (double)tern_size(x, 3);
    tern_tensor *row = tern_add_scalar(tern_add(tern_mul(s, dx), tern_mul(c, dy)), h / 2);
    tern_tensor *column = tern_add_scalar(tern_sub(tern_mul(c, dx), tern_mul(s, dy)), w / 2);
    tern_tensor *inside = tern_unsqueeze(tern_logical_and(within(row, h), within(column, w)), 1);
    tern_tensor *y = o.bilinear ? between(x, row, column) : pixels(x, tern_floor(row), tern_floor(column));
    return tern_masked_fill(y, tern_logical_not(inside), (double)o.fill);
}

tern_tensor *tern_batch_rotate(tern_tensor *x, tern_random *r, double degrees, tern_rotate_opts opts) {
    TERNI_NAMED("batch_rotate");
    if (!terni_images_given("batch_rotate", x, r)) return NULL;
    if (!(degrees >= 0 && degrees <= 360))
        return terni_null(TERN_ERR_ARGUMENT, "batch_rotate: %g degrees; expected 0 to 360", degrees);
    const int64_t n = tern_size(x, 0);
    double *c = terni_malloc(2 * (size_t)n * sizeof *c), *s = c ? c + n : NULL;
    if (!c) return NULL;
    for (int64_t i = 0; i < n; i++) {
        const double angle = terni_rotate_draw(degrees, r);
        c[i] = cos(angle);
        s[i] = sin(angle);
    }
    const int scope = tern_scope_push();
    tern_tensor *y = rotated(x, c, s, opts);
    terni_mfree(c);
    return tern_scope_return(scope, y);
}

/* ---- colours ----------------------------------------------------------------------------------------------------- */

static tern_tensor *channel(tern_tensor *x, int i) { return tern_narrow(x, 1, i, 1); }

static tern_tensor *grey(tern_tensor *x) {
    if (tern_size(x, 1) == 1) return x;
    return tern_add(tern_add(tern_mul_scalar(channel(x, 0), 0.2989), tern_mul_scalar(channel(x, 1), 0.587)),
                    tern_mul_scalar(channel(x, 2), 0.114));
}

/* f x + (1 - f) other, kept to [0, 1] */
static tern_tensor *towards(tern_tensor *x, tern_tensor *other, tern_tensor *f) {
    return tern_clamp(tern_add(tern_mul(x, f), tern_mul(other, tern_rsub_scalar(f, 1))), 0, 1);
}

/* t less its whole multiples of m. */
static tern_tensor *modulo(tern_tensor *t, double m) {
    return tern_sub(t, tern_mul_scalar(tern_floor(tern_mul_scalar(t, 1 / m)), m));
}

/* A channel of the hue h, in sixths of a turn: from most to least as a trapezium, shifted by n. */
static tern_tensor *of_hue(tern_tensor *h, tern_tensor *most, tern_tensor *d, double n) {
    tern_tensor *k = modulo(tern_add_scalar(h, n), 6);
    return tern_sub(most, tern_mul(d, tern_clamp(tern_minimum(k, tern_rsub_scalar(k, 4)), 0, 1)));
}

static tern_tensor *turned(tern_tensor *x, tern_tensor *by) {
    tern_tensor *r = channel(x, 0), *g = channel(x, 1), *b = channel(x, 2);
    tern_tensor *most = tern_maximum(r, tern_maximum(g, b)), *d = tern_sub(most, tern_minimum(r, tern_minimum(g, b)));
    tern_tensor *colored = tern_logical_and(tern_gt(d, tern_zeros_like(d)), tern_isfinite(tern_add(tern_add(r, g), b)));
    d = tern_where(colored, d, tern_full_like(d, 1));
    tern_tensor *h = tern_where(tern_eq(most, r), tern_div(tern_sub(g, b), d),
                                tern_where(tern_eq(most, g), tern_add_scalar(tern_div(tern_sub(b, r), d), 2),
                                           tern_add_scalar(tern_div(tern_sub(r, g), d), 4)));
    h = tern_mul_scalar(modulo(tern_add(tern_mul_scalar(h, 1.0 / 6), by), 1), 6);
    tern_tensor *rgb[3] = {of_hue(h, most, d, 5), of_hue(h, most, d, 3), of_hue(h, most, d, 1)};
    return tern_where(colored, tern_cat(rgb, 3, 1), x);
}

/* One of the four, on all samples. */
static tern_tensor *colored(tern_tensor *x, int which, tern_tensor *by) {
    if (which == TERNI_BRIGHTNESS) return tern_clamp(tern_mul(x, by), 0, 1);
    if (which == TERNI_CONTRAST) return towards(x, tern_mean(grey(x), (const int[]){2, 3}, 2, true), by);
    if (tern_size(x, 1) == 1) return x;
    return which == TERNI_SATURATION ? towards(x, grey(x), by) : turned(x, by);
}

/* Step i of each sample: it takes the result of its own one. place: for each of the four the samples' steps. */
static tern_tensor *color_step(tern_tensor *x, const double *place, const double *by, const bool *wanted, int i) {
    const int64_t n = tern_size(x, 0);
    tern_tensor *y = x;
    for (int k = 0; k < 4; k++) {
        if (!wanted[k]) continue;
        tern_tensor *at = each(x, place + k * n, TERN_F32, 4);
        tern_tensor *now = tern_eq(at, tern_full_like(at, i));
        y = tern_where(now, colored(x, k, each(x, by + k * n, tern_dtype_of(x), 4)), y);
    }
    return y;
}

tern_tensor *tern_batch_color_jitter(tern_tensor *x, tern_random *r, tern_color_jitter_opts o) {
    static const char op[] = "batch_color_jitter";
    TERNI_NAMED("batch_color_jitter");
    if (!terni_images_given(op, x, r) || !terni_color_usable(op, &o)) return NULL;
    const int64_t n = tern_size(x, 0);
    if (tern_size(x, 1) != 1 && tern_size(x, 1) != 3)
        return terni_null(TERN_ERR_SHAPE, "%s: %lld channels; expected 1 or 3", op, (long long)tern_size(x, 1));
    const bool wanted[4] = {o.brightness > 0, o.contrast > 0, o.saturation > 0, o.hue > 0};
    double *place = terni_malloc(8 * (size_t)n * sizeof *place), *by = place ? place + 4 * n : NULL;
    if (!place) return NULL;
    for (int64_t i = 0; i < n; i++) {
        int order[4];
        float f[4];
        terni_color_draw(&o, r, order, f);
        for (int k = 0; k < 4; k++) {
            place[order[k] * n + i] = k;
            by[k * n + i] = (double)f[k];
        }
    }
    const int scope = tern_scope_push();
    for (int i = 0; i < 4; i++) x = color_step(x, place, by, wanted, i);
    terni_mfree(place);
    return tern_scope_return(scope, tern_clone(x));
}
