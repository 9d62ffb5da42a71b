/* Transforms that change values: colour, erasing, normalisation. */
#include <math.h>
#include <string.h>

#include "internal.h"
#include "transform_internal.h"

enum { MOST_CHANNELS = 16 };

typedef struct value {
    tern_transform t;
    tern_color_jitter_opts jitter;
    double p, scale[2], ratio[2];
    float fill;
    int64_t size;
    int channels;
    float mean[MOST_CHANNELS], std[MOST_CHANNELS];
} value;

static void value_drop(tern_transform *t) { terni_free(t, sizeof(value)); }

static value *value_new(tern_transform t) {
    if (!tern_ok()) return NULL;
    value *s = terni_calloc(sizeof *s);
    if (s) {
        s->t = t;
        s->t.drop = value_drop;
    }
    return s;
}

static int64_t numel(tern_shape s) { return s.dim[0] * s.dim[1] * s.dim[2]; }

/* ---- colour ------------------------------------------------------------------------------------------------------ */

static bool color_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    (void)t;
    *out = in;
    if (!terni_image_given("color_jitter", in)) return false;
    if (in.dim[0] == 1 || in.dim[0] == 3) return true;
    return terni_fail(TERN_ERR_SHAPE, "color_jitter: %lld channels; expected 1 or 3", (long long)in.dim[0]);
}

static float grey(const float *x, int64_t plane, int64_t i, int64_t channels) {
    return channels == 1 ? x[i] : 0.2989f * x[i] + 0.587f * x[plane + i] + 0.114f * x[2 * plane + i];
}

static void brightness(float *x, tern_shape s, float f) {
    for (int64_t i = 0; i < numel(s); i++) x[i] = terni_clamp(x[i] * f, 0, 1);
}

static void contrast(float *x, tern_shape s, float f) {
    const int64_t plane = s.dim[1] * s.dim[2];
    double sum = 0;
    for (int64_t i = 0; i < plane; i++) sum += (double)grey(x, plane, i, s.dim[0]);
    const float mean = (float)(sum / (double)plane);
    for (int64_t i = 0; i < numel(s); i++) x[i] = terni_clamp(f * x[i] + (1 - f) * mean, 0, 1);
}

static void saturation(float *x, tern_shape s, float f) {
    const int64_t plane = s.dim[1] * s.dim[2];
    if (s.dim[0] == 1) return;
    for (int64_t i = 0; i < plane; i++) {
        const float g = grey(x, plane, i, 3);
        for (int c = 0; c < 3; c++) x[c * plane + i] = terni_clamp(f * x[c * plane + i] + (1 - f) * g, 0, 1);
    }
}

/* Red, green and blue as hue in [0, 1), saturation and value; a part of a turn added; and back. */
static void turn(float *red, float *green, float *blue, float by) {
    const float r = *red, g = *green, b = *blue;
    const float most = fmaxf(r, fmaxf(g, b)), least = fminf(r, fminf(g, b)), d = most - least;
    if (!(d > 0) || !isfinite(r + g + b)) return; /* grey has no hue */
    float h = most == r ? (g - b) / d : most == g ? 2 + (b - r) / d : 4 + (r - g) / d;
    h = h / 6 + by;
    h = (h - floorf(h)) * 6;
    const int sector = (int)h % 6;
    const float f = h - floorf(h), q = most - d * f, t = most - d * (1 - f);
    const float rgb[6][3] = {{most, t, least}, {q, most, least}, {least, most, t},
                             {least, q, most}, {t, least, most}, {most, least, q}};
    *red = rgb[sector][0];
    *green = rgb[sector][1];
    *blue = rgb[sector][2];
}

static void hue(float *x, tern_shape s, float by) {
    const int64_t plane = s.dim[1] * s.dim[2];
    if (s.dim[0] == 1) return;
    for (int64_t i = 0; i < plane; i++) turn(x + i, x + plane + i, x + 2 * plane + i, by);
}

static float factor(tern_random *r, double by) { return (float)terni_uniform(r, by > 1 ? 0 : 1 - by, 1 + by); }

void terni_color_draw(const tern_color_jitter_opts *o, tern_random *r, int order[4], float by[4]) {
    for (int i = 0; i < 4; i++) order[i] = i;
    for (int i = 3; i > 0; i--) {
        const int j = (int)tern_random_below(r, (uint64_t)i + 1), was = order[i];
        order[i] = order[j];
        order[j] = was;
    }
    const double most[4] = {o->brightness, o->contrast, o->saturation, o->hue};
    for (int i = 0; i < 4; i++) {
        const int k = order[i];
        by[k] = k == TERNI_HUE ? 0 : 1;
        if (most[k] > 0) by[k] = k == TERNI_HUE ? (float)terni_uniform(r, -o->hue, o->hue) : factor(r, most[k]);
    }
}

bool terni_color_usable(const char *op, const tern_color_jitter_opts *o) {
    return (o->brightness >= 0 && isfinite(o->brightness) && o->contrast >= 0 && isfinite(o->contrast) &&
            o->saturation >= 0 && isfinite(o->saturation) && o->hue >= 0 && o->hue <= 0.5) ||
           terni_fail(TERN_ERR_ARGUMENT,
                      "%s: brightness %g, contrast %g, saturation %g, hue %g; expected 0 or more, and a hue of at most "
                      "0.5",
                      op, o->brightness, o->contrast, o->saturation, o->hue);
}

static bool color_jitter(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const tern_color_jitter_opts *o = &((const value *)t)->jitter;
    int order[4];
    float by[4];
    memcpy(out, x, (size_t)numel(in) * sizeof *out);
    terni_color_draw(o, r, order, by);
    for (int i = 0; i < 4; i++) {
        if (order[i] == TERNI_BRIGHTNESS && o->brightness > 0) brightness(out, in, by[order[i]]);
        if (order[i] == TERNI_CONTRAST && o->contrast > 0) contrast(out, in, by[order[i]]);
        if (order[i] == TERNI_SATURATION && o->saturation > 0) saturation(out, in, by[order[i]]);
        if (order[i] == TERNI_HUE && o->hue > 0) hue(out, in, by[order[i]]);
    }
    return true;
}

tern_transform *tern_color_jitter_new(tern_color_jitter_opts o) {
    if (!tern_ok() || !terni_color_usable("color_jitter", &o)) return NULL;
    value *s = value_new((tern_transform){.shape = color_shape, .sample = color_jitter});
    if (!s) return NULL;
    s->jitter = o;
    return &s->t;
}

/* ---- erasing ----------------------------------------------------------------------------------------------------- */

static bool erase_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    (void)t;
    *out = in;
    return terni_image_given("erase", in);
}

/* The rectangle from (top, left), cut at the edges, gets a value. */
static void blank(float *x, tern_shape s, int64_t top, int64_t left, int64_t h, int64_t w, float v) {
    for (int64_t c = 0; c < s.dim[0]; c++)
        for (int64_t i = top < 0 ? 0 : top; i < top + h && i < s.dim[1]; i++)
            for (int64_t j = left < 0 ? 0 : left; j < left + w && j < s.dim[2]; j++)
                x[(c * s.dim[1] + i) * s.dim[2] + j] = v;
}

static bool random_erase(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const value *s = (const value *)t;
    const int64_t height = in.dim[1], width = in.dim[2];
    memcpy(out, x, (size_t)numel(in) * sizeof *out);
    if (!(tern_random_double(r) < s->p)) return true;
    for (int i = 0; i < 10; i++) {
        const double area = (double)height * (double)width * terni_uniform(r, s->scale[0], s->scale[1]);
        const double ratio = exp(terni_uniform(r, log(s->ratio[0]), log(s->ratio[1])));
        const int64_t h = (int64_t)nearbyint(sqrt(area * ratio)), w = (int64_t)nearbyint(sqrt(area / ratio));
        if (h >= height || w >= width) continue;
        const int64_t top = (int64_t)tern_random_below(r, (uint64_t)(height - h + 1));
        const int64_t left = (int64_t)tern_random_below(r, (uint64_t)(width - w + 1));
        blank(out, in, top, left, h, w, s->fill);
        break;
    }
    return true;
}

tern_transform *tern_random_erase_new(double p, tern_random_erase_opts o) {
    if (!tern_ok()) return NULL;
    if (o.scale[0] == 0 && o.scale[1] == 0) {
        o.scale[0] = 0.02;
        o.scale[1] = 0.33;
    }
    if (o.ratio[0] == 0 && o.ratio[1] == 0) {
        o.ratio[0] = 0.3;
        o.ratio[1] = 3.3;
    }
    if (!(p >= 0 && p <= 1 && o.scale[0] >= 0 && o.scale[0] <= o.scale[1] && o.scale[1] <= 1 && o.ratio[0] > 0 &&
          o.ratio[0] <= o.ratio[1] && isfinite(o.ratio[1])))
        return terni_null(TERN_ERR_ARGUMENT, "random_erase: p %g, scale %g to %g, ratio %g to %g", p, o.scale[0],
                          o.scale[1], o.ratio[0], o.ratio[1]);
    value *s = value_new((tern_transform){.shape = erase_shape, .sample = random_erase});
    if (!s) return NULL;
    s->p = p;
    s->fill = o.value;
    memcpy(s->scale, o.scale, sizeof s->scale);
    memcpy(s->ratio, o.ratio, sizeof s->ratio);
    return &s->t;
}

static bool cutout(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const value *s = (const value *)t;
    memcpy(out, x, (size_t)numel(in) * sizeof *out);
    const int64_t y = (int64_t)tern_random_below(r, (uint64_t)in.dim[1]);
    const int64_t z = (int64_t)tern_random_below(r, (uint64_t)in.dim[2]);
    blank(out, in, y - s->size / 2, z - s->size / 2, s->size, s->size, 0);
    return true;
}

tern_transform *tern_cutout_new(int64_t size) {
    if (!tern_ok()) return NULL;
    if (size < 1 || size > 1 << 20)
        return terni_null(TERN_ERR_ARGUMENT, "cutout: size %lld; expected 1 to 1048576", (long long)size);
    value *s = value_new((tern_transform){.shape = erase_shape, .sample = cutout});
    if (!s) return NULL;
    s->size = size;
    return &s->t;
}

/* ---- normalisation ----------------------------------------------------------------------------------------------- */

static bool normalize_shape(const tern_transform *t, tern_shape in, tern_shape *out) {
    const value *s = (const value *)t;
    *out = in;
    if (in.ndim >= 1 && in.dim[0] == s->channels) return true;
    char text[120];
    return terni_fail(TERN_ERR_SHAPE, "normalize: a sample of shape %s; expected %d channels",
                      tern_shape_text(in, text, sizeof text), s->channels);
}

static bool normalize(const tern_transform *t, tern_random *r, tern_shape in, const float *x, float *out) {
    const value *s = (const value *)t;
    int64_t plane = 1;
    (void)r;
    for (int i = 1; i < in.ndim; i++) plane *= in.dim[i];
    for (int c = 0; c < s->channels; c++)
        for (int64_t i = c * plane; i < (c + 1) * plane; i++) out[i] = (x[i] - s->mean[c]) / s->std[c];
    return true;
}

tern_transform *tern_normalize_new(const double *mean, const double *std, int c) {
    if (!terni_given(mean, "normalize", "mean") || !terni_given(std, "normalize", "std")) return NULL;
    if (c < 1 || c > MOST_CHANNELS)
        return terni_null(TERN_ERR_ARGUMENT, "normalize: %d channels; expected 1 to %d", c, MOST_CHANNELS);
    for (int i = 0; i < c; i++)
        if (!(std[i] > 0) || !isfinite(std[i]) || !isfinite(mean[i]))
            return terni_null(TERN_ERR_ARGUMENT, "normalize: mean %g and std %g of channel %d; expected std above 0",
                              mean[i], std[i], i);
    value *s = value_new((tern_transform){.shape = normalize_shape, .sample = normalize});
    if (!s) return NULL;
    s->channels = c;
    for (int i = 0; i < c; i++) {
        s->mean[i] = (float)mean[i];
        s->std[i] = (float)std[i];
    }
    return &s->t;
}
