/* Transforms that move pixels: crops, flips, rotation, resizing. */
#include <math.h>
#include <string.h>

#include "internal.h"
#include "transform_internal.h"

typedef struct place {
    tern_transform t;
    int64_t h, w, pad;
    float fill;
    double p, degrees;
    bool vertical, bilinear;
    double scale[2], ratio[2];
} place;

static void place_drop(tern_transform *t) { terni_free(t, sizeof(place)); }

static place *place_new(tern_transform t) {
    if (!tern_ok()) return NULL;
    place *s = terni_calloc(sizeof *s);
    if (s) {
        s->t = t;
        s->t.drop = place_drop;
    }
    return s;
}

static bool size_given(const char *op, int64_t h, int64_t w) {
    if (!tern_ok()) return false;
    if (h < 1 || w < 1 || h > 1 << 20 || w > 1 << 20)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %lld x %lld pixels; expected 1 to 1048576 each", op, (long long)h,
                          (long long)w);
    return true;
}

/* ---- crops ------------------------------------------------------------------------------------------------------- */

static bool crop_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    const place *s = (const place *)t;
    if (!terni_image_given("crop", in)) return false;
    if (s->h > in.dim[1] + 2 * s->pad || s->w > in.dim[2] + 2 * s->pad)
        return terni_fail(TERN_ERR_SHAPE, "crop: %lld x %lld of an image of %lld x %lld, padded by %lld",
                          (long long)s->h, (long long)s->w, (long long)in.dim[1], (long long)in.dim[2],
                          (long long)s->pad);
    *out = TERN_SHAPE(in.dim[0], s->h, s->w);
    return true;
}

/* The h x w piece from (top, left), which may lie outside. */
static void piece(const place *s, tern_shape in, const float *x, int64_t top, int64_t left, float *out) {
    const int64_t h = in.dim[1], w = in.dim[2];
    const int64_t from = left < 0 ? -left : 0, to = left + s->w > w ? w - left : s->w;
    for (int64_t c = 0; c < in.dim[0]; c++)
        for (int64_t i = 0; i < s->h; i++, out += s->w) {
            const int64_t row = top + i;
            const bool inside = row >= 0 && row < h && from < to;
            for (int64_t j = 0; j < (inside ? from : s->w); j++) out[j] = s->fill;
            if (!inside) continue;
            memcpy(out + from, x + (c * h + row) * w + left + from, (size_t)(to - from) * sizeof *out);
            for (int64_t j = to; j < s->w; j++) out[j] = s->fill;
        }
}

static bool random_crop(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const place *s = (const place *)t;
    const int64_t top = (int64_t)tern_random_below(r, (uint64_t)(in.dim[1] + 2 * s->pad - s->h + 1));
    const int64_t left = (int64_t)tern_random_below(r, (uint64_t)(in.dim[2] + 2 * s->pad - s->w + 1));
    piece(s, in, x, top - s->pad, left - s->pad, out);
    return true;
}

static bool center_crop(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const place *s = (const place *)t;
    (void)r;
    piece(s, in, x, (int64_t)nearbyint((double)(in.dim[1] - s->h) / 2),
          (int64_t)nearbyint((double)(in.dim[2] - s->w) / 2), out);
    return true;
}

tern_transform *tern_random_crop_new(int64_t h, int64_t w, tern_random_crop_opts opts) {
    if (!size_given("random_crop", h, w)) return NULL;
    if (opts.pad < 0 || opts.pad > 1 << 20)
        return terni_null(TERN_ERR_ARGUMENT, "random_crop: pad %lld; expected 0 to 1048576", (long long)opts.pad);
    place *s = place_new((tern_transform){.shape = crop_shape, .sample = random_crop});
    if (!s) return NULL;
    s->h = h;
    s->w = w;
    s->pad = opts.pad;
    s->fill = opts.fill;
    return &s->t;
}

tern_transform *tern_center_crop_new(int64_t h, int64_t w) {
    if (!size_given("center_crop", h, w)) return NULL;
    place *s = place_new((tern_transform){.shape = crop_shape, .sample = center_crop});
    if (!s) return NULL;
    s->h = h;
    s->w = w;
    return &s->t;
}

/* ---- flips ------------------------------------------------------------------------------------------------------- */

static bool flip_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    (void)t;
    *out = in;
    return terni_image_given("flip", in);
}

static bool flip(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const place *s = (const place *)t;
    const int64_t h = in.dim[1], w = in.dim[2], rows = in.dim[0] * h;
    const bool yes = tern_random_double(r) < s->p;
    for (int64_t i = 0; i < rows; i++, x += w, out += w) {
        if (!yes)
            memcpy(out, x, (size_t)w * sizeof *out);
        else if (s->vertical)
            memcpy(out, x + (h - 1 - 2 * (i % h)) * w, (size_t)w * sizeof *out);
        else
            for (int64_t j = 0; j < w; j++) out[j] = x[w - 1 - j];
    }
    return true;
}

tern_transform *tern_random_flip_new(double p, bool vertical) {
    if (!tern_ok()) return NULL;
    if (!(p >= 0 && p <= 1)) return terni_null(TERN_ERR_ARGUMENT, "random_flip: p %g; expected 0 to 1", p);
    place *s = place_new((tern_transform){.shape = flip_shape, .sample = flip});
    if (!s) return NULL;
    s->p = p;
    s->vertical = vertical;
    return &s->t;
}

/* ---- rotation ---------------------------------------------------------------------------------------------------- */

static bool rotate_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    (void)t;
    *out = in;
    return terni_image_given("rotate", in);
}

/* Between the four pixels about (y, x), in pixels from the corner; beyond the middle of an edge pixel its value goes
 * on. */
static float between(const float *x, int64_t h, int64_t w, double row, double column) {
    const double fy = floor(row - 0.5), fx = floor(column - 0.5);
    const float dy = (float)(row - 0.5 - fy), dx = (float)(column - 0.5 - fx);
    const int64_t y0 = fy < 0 ? 0 : (int64_t)fy, x0 = fx < 0 ? 0 : (int64_t)fx;
    const int64_t y1 = (int64_t)fy + 1 > h - 1 ? h - 1 : (int64_t)fy + 1;
    const int64_t x1 = (int64_t)fx + 1 > w - 1 ? w - 1 : (int64_t)fx + 1;
    const float top = x[y0 * w + x0] * (1 - dx) + x[y0 * w + x1] * dx;
    const float bottom = x[y1 * w + x0] * (1 - dx) + x[y1 * w + x1] * dx;
    return top * (1 - dy) + bottom * dy;
}

double terni_rotate_draw(double degrees, tern_random *r) {
    const double pi = 3.14159265358979323846;
    return (2 * tern_random_double(r) - 1) * degrees * pi / 180;
}

static bool rotate(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const place *s = (const place *)t;
    const double angle = terni_rotate_draw(s->degrees, r), c = cos(angle), n = sin(angle);
    const int64_t h = in.dim[1], w = in.dim[2];
    const double cy = (double)h / 2, cx = (double)w / 2;
    for (int64_t i = 0; i < h; i++)
        for (int64_t j = 0; j < w; j++) {
            const double dy = (double)i + 0.5 - cy, dx = (double)j + 0.5 - cx;
            const double row = n * dx + c * dy + cy, column = c * dx - n * dy + cx; /* where it comes from */
            const bool inside = row >= 0 && row < (double)h && column >= 0 && column < (double)w;
            for (int64_t k = 0; k < in.dim[0]; k++) {
                const float *plane = x + k * h * w;
                out[(k * h + i) * w + j] = !inside       ? s->fill
                                           : s->bilinear ? between(plane, h, w, row, column)
                                                         : plane[(int64_t)row * w + (int64_t)column];
            }
        }
    return true;
}

tern_transform *tern_random_rotate_new(double degrees, tern_rotate_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(degrees >= 0 && degrees <= 360))
        return terni_null(TERN_ERR_ARGUMENT, "random_rotate: %g degrees; expected 0 to 360", degrees);
    place *s = place_new((tern_transform){.shape = rotate_shape, .sample = rotate});
    if (!s) return NULL;
    s->degrees = degrees;
    s->bilinear = opts.bilinear;
    s->fill = opts.fill;
    return &s->t;
}

/* ---- resizing ---------------------------------------------------------------------------------------------------- */

/* What one line of n pixels at `stride` from each other, beginning at `from` and of length `size` (not always whole),
 * gives for pixel i of `to`: a triangle of weights as wide as a pixel of the result, or as one of the source if that is
 * wider. */
static float triangle(const float *x, int64_t n, int64_t stride, double from, double size, int64_t to, int64_t i) {
    const double scale = size / (double)to, reach = scale > 1 ? scale : 1;
    const double middle = from + ((double)i + 0.5) * scale;
    int64_t first = (int64_t)(middle - reach + 0.5), last = (int64_t)(middle + reach + 0.5);
    if (first < 0) first = 0;
    if (last > n) last = n;
    double sum = 0, total = 0;
    for (int64_t k = first; k < last; k++) {
        const double weight = 1 - fabs(((double)k - middle + 0.5) / reach);
        if (weight <= 0) continue;
        sum += weight * (double)x[k * stride];
        total += weight;
    }
    return (float)(sum / total);
}

/* The box of h x w from (top, left) of each plane to the size of s: first along the rows, then down. */
static bool resize_box(const place *s, tern_shape in, const float *x, const double box[4], float *out) {
    const int64_t h = in.dim[1], w = in.dim[2];
    float *wide = terni_malloc((size_t)(h * s->w) * sizeof *wide);
    for (int64_t c = 0; wide && c < in.dim[0]; c++) {
        for (int64_t i = 0; i < h; i++)
            for (int64_t j = 0; j < s->w; j++)
                wide[i * s->w + j] = triangle(x + (c * h + i) * w, w, 1, box[1], box[3], s->w, j);
        for (int64_t i = 0; i < s->h; i++)
            for (int64_t j = 0; j < s->w; j++)
                out[(c * s->h + i) * s->w + j] = triangle(wide + j, h, s->w, box[0], box[2], s->h, i);
    }
    terni_mfree(wide);
    return wide != NULL;
}

static bool resize_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    const place *s = (const place *)t;
    if (!terni_image_given("resize", in)) return false;
    *out = TERN_SHAPE(in.dim[0], s->h, s->w);
    return true;
}

static bool resize(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    (void)r;
    const double box[4] = {0, 0, (double)in.dim[1], (double)in.dim[2]};
    return resize_box((const place *)t, in, x, box, out);
}

tern_transform *tern_resize_new(int64_t h, int64_t w) {
    if (!size_given("resize", h, w)) return NULL;
    place *s = place_new((tern_transform){.shape = resize_shape, .sample = resize});
    if (!s) return NULL;
    s->h = h;
    s->w = w;
    return &s->t;
}

/* ---- a piece, resized -------------------------------------------------------------------------------------------- */

/* Without a piece that fits in ten tries: the middle, as near to the ratios as it goes. */
static void choose_box(const place *s, tern_random *r, double h, double w, double box[4]) {
    for (int i = 0; i < 10; i++) {
        const double area = h * w * terni_uniform(r, s->scale[0], s->scale[1]);
        const double ratio = exp(terni_uniform(r, log(s->ratio[0]), log(s->ratio[1])));
        box[2] = nearbyint(sqrt(area / ratio));
        box[3] = nearbyint(sqrt(area * ratio));
        if (!(box[2] > 0 && box[2] <= h && box[3] > 0 && box[3] <= w)) continue;
        box[0] = (double)tern_random_below(r, (uint64_t)(h - box[2]) + 1);
        box[1] = (double)tern_random_below(r, (uint64_t)(w - box[3]) + 1);
        return;
    }
    box[2] = w / h < s->ratio[0] ? nearbyint(w / s->ratio[0]) : h;
    box[3] = w / h > s->ratio[1] ? nearbyint(h * s->ratio[1]) : w;
    box[0] = floor((h - box[2]) / 2);
    box[1] = floor((w - box[3]) / 2);
}

static bool random_resized_crop(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const place *s = (const place *)t;
    double box[4];
    choose_box(s, r, (double)in.dim[1], (double)in.dim[2], box);
    const int64_t h = (int64_t)box[2], w = (int64_t)box[3];
    float *cut = terni_malloc((size_t)(in.dim[0] * h * w) * sizeof *cut); /* its neighbours do not count */
    if (!cut) return false;
    place whole = {.h = h, .w = w};
    piece(&whole, in, x, (int64_t)box[0], (int64_t)box[1], cut);
    const bool ok = resize(t, r, TERN_SHAPE(in.dim[0], h, w), cut, out);
    terni_mfree(cut);
    return ok;
}

tern_transform *tern_random_resized_crop_new(int64_t h, int64_t w, tern_random_resized_crop_opts opts) {
    if (!size_given("random_resized_crop", h, w)) return NULL;
    place *s = place_new((tern_transform){.shape = resize_shape, .sample = random_resized_crop});
    if (!s) return NULL;
    s->h = h;
    s->w = w;
    const bool scaled = opts.scale[0] != 0 || opts.scale[1] != 0, shaped = opts.ratio[0] != 0 || opts.ratio[1] != 0;
    s->scale[0] = scaled ? opts.scale[0] : 0.08;
    s->scale[1] = scaled ? opts.scale[1] : 1;
    s->ratio[0] = shaped ? opts.ratio[0] : 3.0 / 4;
    s->ratio[1] = shaped ? opts.ratio[1] : 4.0 / 3;
    if (s->scale[0] > 0 && s->scale[0] <= s->scale[1] && s->scale[1] <= 1 && s->ratio[0] > 0 &&
        s->ratio[0] <= s->ratio[1] && isfinite(s->ratio[1]))
        return &s->t;
    terni_fail(TERN_ERR_ARGUMENT, "random_resized_crop: scale %g to %g, ratio %g to %g", s->scale[0], s->scale[1],
               s->ratio[0], s->ratio[1]);
    place_drop(&s->t);
    return NULL;
}
