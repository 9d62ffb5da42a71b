/* ONNX import: Resize. */
#include <math.h>
#include <string.h>

#include "onnx_model.h"

enum { DIMS = TERN_MAX_DIMS };

/* Where element i lies among the `size` old ones; scale is new to old. */
static double coordinate(const char *how, int64_t i, int64_t size, double scale) {
    const double at = (double)i, length = scale * (double)size;
    if (strcmp(how, "align_corners") == 0) return length == 1 ? 0 : at * ((double)size - 1) / (length - 1);
    if (strcmp(how, "asymmetric") == 0) return at / scale;
    if (strcmp(how, "pytorch_half_pixel") == 0 && length == 1) return 0;
    return (at + 0.5) / scale - 0.5; /* half_pixel */
}

static int64_t nearest(const char *how, double at) {
    if (strcmp(how, "floor") == 0) return (int64_t)floor(at);
    if (strcmp(how, "ceil") == 0) return (int64_t)ceil(at);
    if (strcmp(how, "round_prefer_ceil") == 0) return (int64_t)floor(at + 0.5);
    return (int64_t)ceil(at - 0.5); /* round_prefer_floor */
}

/* Along one axis: two elements and their shares, or one. */
static tern_tensor *resized(terni_om_run *r, tern_tensor *x, int axis, int64_t n, double scale, bool linear) {
    const char *how =
        terni_om_text(r, "coordinate_transformation_mode", r->model->opset < 11 ? "asymmetric" : "half_pixel");
    const char *round = terni_om_text(r, "nearest_mode", r->model->opset < 11 ? "floor" : "round_prefer_floor");
    const int64_t size = tern_size(x, axis);
    const tern_options whole = {.dtype = TERN_I64}, real = {.dtype = TERN_F64};
    tern_tensor *low = tern_empty(TERN_SHAPE(n), whole), *high = tern_empty(TERN_SHAPE(n), whole);
    tern_shape beside = {.ndim = tern_ndim(x)};
    for (int d = 0; d < beside.ndim; d++) beside.dim[d] = d == axis ? n : 1;
    tern_tensor *share = tern_empty(beside, real);
    int64_t *a = tern_data(low), *b = tern_data(high);
    double *w = tern_data(share);
    if (!a || !b || !w) return n == 0 ? tern_slice(x, axis, 0, 0, 1) : NULL;
    for (int64_t i = 0; i < n; i++) {
        const double at = coordinate(how, i, size, scale), first = floor(at);
        a[i] = terni_om_within(linear ? (int64_t)first : nearest(round, at), 0, size - 1);
        b[i] = terni_om_within((int64_t)first + 1, 0, size - 1);
        w[i] = at - first;
    }
    const tern_device device = tern_device_of(x);
    tern_tensor *p = tern_index_select(x, axis, tern_to(low, device));
    if (!linear || !p) return p;
    tern_tensor *q = tern_index_select(x, axis, tern_to(high, device));
    return tern_lerp(p, q, tern_to(tern_cast(share, tern_dtype_of(x)), device));
}

static bool one_of(const char *s, const char *const *known, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(s, known[i]) == 0) return true;
    return false;
}

/* The attributes have values that are known. */
static bool settings(terni_om_run *r, bool linear) {
    static const char *const hows[] = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"};
    static const char *const rounds[] = {"floor", "ceil", "round_prefer_ceil", "round_prefer_floor"};
    const char *mode = terni_om_text(r, "mode", "nearest");
    const char *how = terni_om_text(r, "coordinate_transformation_mode", "half_pixel");
    const char *round = terni_om_text(r, "nearest_mode", "floor");
    if (!linear && strcmp(mode, "nearest") != 0) return terni_om_refuse(r, "the attribute mode is %.40s", mode);
    if (!one_of(how, hows, sizeof hows / sizeof *hows))
        return terni_om_refuse(r, "the attribute coordinate_transformation_mode is %.40s", how);
    if (!one_of(round, rounds, sizeof rounds / sizeof *rounds))
        return terni_om_refuse(r, "the attribute nearest_mode is %.40s", round);
    if (terni_om_int(r, "antialias", 0)) return terni_om_refuse(r, "the attribute antialias is 1");
    if (strcmp(terni_om_text(r, "keep_aspect_ratio_policy", "stretch"), "stretch") != 0)
        return terni_om_refuse(r, "the attribute keep_aspect_ratio_policy is not stretch");
    if (linear && !tern_dtype_is_float(tern_dtype_of(r->in[0])))
        return terni_om_refuse(r, "the attribute mode is linear, of %s", tern_dtype_name(tern_dtype_of(r->in[0])));
    return true;
}

/* What is asked for: the axes, and for each its scale or its new size. */
typedef struct wanted {
    int count, axis[DIMS];
    bool sized;
    double scale[DIMS];
    int64_t size[DIMS];
} wanted;

static bool read_wanted(terni_om_run *r, wanted *w) {
    const bool old = r->model->opset < 11;
    const int ndim = tern_ndim(r->in[0]);
    int64_t axes[DIMS];
    const int a = terni_om_ints(r, "axes", -1, axes, DIMS), n = terni_om_doubles(r, old ? 1 : 2, w->scale, DIMS);
    const int m = old ? TERNI_OM_OPTIONAL : terni_om_ints(r, NULL, 3, w->size, DIMS);
    if (a < 0 || n < 0 || m < 0) return false;
    /* An empty tensor is as good as none. */
    const int scales = n == TERNI_OM_OPTIONAL ? 0 : n, sizes = m == TERNI_OM_OPTIONAL ? 0 : m;
    w->count = a == TERNI_OM_OPTIONAL ? ndim : a;
    w->sized = sizes > 0;
    if (scales && sizes) return terni_om_bad(r, "both scales and sizes");
    if (!scales && !sizes && w->count) return terni_om_bad(r, "neither scales nor sizes for %d axes", w->count);
    if (scales + sizes != w->count)
        return terni_om_bad(r, "%d %s for %d axes", scales + sizes, w->sized ? "sizes" : "scales", w->count);
    unsigned seen = 0;
    for (int i = 0; i < w->count; i++) {
        if ((w->axis[i] = terni_om_axis(r, a == TERNI_OM_OPTIONAL ? i : axes[i], ndim)) < 0) return false;
        if (seen >> w->axis[i] & 1) return terni_om_bad(r, "axis %d twice", w->axis[i]);
        seen |= 1u << w->axis[i];
    }
    return true;
}

static bool resize(terni_om_run *r) {
    const bool linear = strcmp(terni_om_text(r, "mode", "nearest"), "linear") == 0;
    tern_tensor *x = r->in[0];
    wanted w;
    if (!settings(r, linear) || !read_wanted(r, &w)) return false;
    for (int i = 0; i < w.count && x; i++) {
        const int64_t size = tern_size(x, w.axis[i]);
        if (w.sized && w.size[i] < 0) return terni_om_bad(r, "a size of %lld", (long long)w.size[i]);
        if (!w.sized && !(isfinite(w.scale[i]) && w.scale[i] > 0)) return terni_om_bad(r, "a scale of %g", w.scale[i]);
        const double to = w.sized ? (double)w.size[i] : floor((double)size * w.scale[i] + 1e-9);
        if (!(to <= TERNI_OM_NUMBERS)) return terni_om_bad(r, "axis %d would have %g elements", w.axis[i], to);
        const int64_t n = (int64_t)to;
        if (size == 0 && n != 0) return terni_om_bad(r, "axis %d of 0 elements would have %g", w.axis[i], to);
        const double scale = !w.sized ? w.scale[i] : size ? to / (double)size : 1;
        if (n != size || scale != 1) x = resized(r, x, w.axis[i], n, scale, linear);
    }
    return x && (r->out[0] = x == r->in[0] ? tern_clone(x) : x) != NULL;
}

const terni_om_rule terni_om_resizing[] = {
    {"Resize", resize,
     "mode coordinate_transformation_mode nearest_mode axes antialias keep_aspect_ratio_policy cubic_coeff_a "
     "extrapolation_value",
     1, 4},
    {NULL, NULL, NULL, 0, 0},
};
