/* Padding, folding, resizing and reshaping as modules: each a call of its op. */
#include <inttypes.h>

#include "internal.h"

/* ---- padding ----------------------------------------------------------------------------------------------------- */

typedef struct pad {
    tern_module m;
    int64_t pads[2 * TERN_MAX_DIMS];
    int n;
    tern_pad_opts opts;
} pad;

static tern_tensor *pad_forward(tern_module *m, tern_tensor *x) {
    const pad *s = (const pad *)m;
    return tern_pad(x, s->pads, s->n, s->opts);
}

static void pad_describe(const tern_module *m, char *buf, size_t size) {
    static const char *const mode[] = {"constant", "reflect", "replicate", "circular"};
    const pad *s = (const pad *)m;
    terni_text t = {buf, size, 0};
    for (int i = 0; i < s->n; i++) terni_text_add(&t, "%s%" PRId64, i ? ", " : "{", s->pads[i]);
    terni_text_add(&t, "}, %s", mode[s->opts.mode]);
    if (s->opts.mode == TERN_PAD_CONSTANT) terni_text_add(&t, " %g", s->opts.value);
}

tern_module *tern_pad_new(const int64_t *pads, int n, tern_pad_opts opts) {
    if (!terni_given(pads, "pad", "pads")) return NULL;
    if (n < 2 || n % 2 || n > 2 * TERN_MAX_DIMS)
        return terni_null(TERN_ERR_ARGUMENT, "pad: %d numbers; an even number from 2 to %d expected", n,
                          2 * TERN_MAX_DIMS);
    if ((int)opts.mode < TERN_PAD_CONSTANT || opts.mode > TERN_PAD_CIRCULAR)
        return terni_null(TERN_ERR_ARGUMENT, "pad: no such mode");
    pad *s = TERN_MODULE_NEW(pad);
    if (!s) return NULL;
    s->m.forward = pad_forward;
    s->m.describe = pad_describe;
    for (int i = 0; i < n; i++) s->pads[i] = pads[i];
    s->n = n;
    s->opts = opts;
    return tern_module_done(s);
}

/* ---- folding ----------------------------------------------------------------------------------------------------- */

typedef struct fold {
    tern_module m;
    int64_t size[2], kernel[2]; /* size: of fold's images */
    tern_fold_opts opts;
} fold;

static tern_tensor *unfold_forward(tern_module *m, tern_tensor *x) {
    const fold *s = (const fold *)m;
    return tern_im2col(x, s->kernel, s->opts);
}
static tern_tensor *fold_forward(tern_module *m, tern_tensor *x) {
    const fold *s = (const fold *)m;
    return tern_col2im(x, s->size, s->kernel, s->opts);
}
static void fold_describe(const tern_module *m, char *buf, size_t size) {
    const fold *s = (const fold *)m;
    terni_text t = {buf, size, 0};
    terni_text_axes(&t, "kernel", s->kernel, 2);
    if (s->size[0]) terni_text_axes(&t, ", size", s->size, 2);
    if (s->opts.stride[0]) terni_text_axes(&t, ", stride", s->opts.stride, 2);
    if (s->opts.pad[0]) terni_text_axes(&t, ", pad", s->opts.pad, 2);
    if (s->opts.dilation[0]) terni_text_axes(&t, ", dilation", s->opts.dilation, 2);
}

static tern_module *fold_new(const char *type, const int64_t *size, const int64_t *kernel, tern_fold_opts opts) {
    if (!terni_given(kernel, type, "kernel")) return NULL;
    for (int i = 0; i < 2; i++)
        if (kernel[i] < 1 || (size && size[i] < 1) || opts.stride[i] < 0 || opts.dilation[i] < 0 || opts.pad[i] < -1)
            return terni_null(TERN_ERR_ARGUMENT, "%s: a kernel, size, stride, pad or dilation is outside its range",
                              type);
    fold *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = size ? fold_forward : unfold_forward;
    s->m.describe = fold_describe;
    for (int i = 0; i < 2; i++) {
        s->kernel[i] = kernel[i];
        s->size[i] = size ? size[i] : 0;
    }
    s->opts = opts;
    return tern_module_done(s);
}

tern_module *tern_unfold_new(const int64_t kernel[2], tern_fold_opts opts) {
    return fold_new("unfold", NULL, kernel, opts);
}
tern_module *tern_fold_new(const int64_t size[2], const int64_t kernel[2], tern_fold_opts opts) {
    return terni_given(size, "fold", "size") ? fold_new("fold", size, kernel, opts) : NULL;
}

/* ---- resizing ---------------------------------------------------------------------------------------------------- */

typedef struct upsample {
    tern_module m;
    tern_interpolate_opts opts;
} upsample;

static tern_tensor *upsample_forward(tern_module *m, tern_tensor *x) {
    return tern_interpolate(x, ((const upsample *)m)->opts);
}
static void upsample_describe(const tern_module *m, char *buf, size_t size) {
    static const char *const mode[] = {"nearest", "nearest exact", "linear", "cubic", "area"};
    const tern_interpolate_opts *o = &((const upsample *)m)->opts;
    terni_text t = {buf, size, 0};
    if (o->size[0])
        terni_text_add(&t, "size %" PRId64, o->size[0]);
    else
        terni_text_add(&t, "scale %g", o->scale_factor[0]);
    terni_text_add(&t, ", %s%s", mode[o->mode], o->align_corners ? ", align corners" : "");
}

tern_module *tern_upsample_new(tern_interpolate_opts opts) {
    if (!tern_ok()) return NULL;
    if ((int)opts.mode < TERN_NEAREST || opts.mode > TERN_AREA)
        return terni_null(TERN_ERR_ARGUMENT, "upsample: no such mode");
    if ((opts.size[0] > 0) == (opts.scale_factor[0] > 0))
        return terni_null(TERN_ERR_ARGUMENT, "upsample: size or scale_factor is needed, above 0, and not both");
    upsample *s = TERN_MODULE_NEW(upsample);
    if (!s) return NULL;
    s->m.forward = upsample_forward;
    s->m.describe = upsample_describe;
    s->opts = opts;
    return tern_module_done(s);
}

typedef struct shuffle {
    tern_module m;
    tern_tensor *(*op)(tern_tensor *x, int64_t n);
    int64_t n;
} shuffle;

static tern_tensor *shuffle_forward(tern_module *m, tern_tensor *x) {
    const shuffle *s = (const shuffle *)m;
    return s->op(x, s->n);
}
static void shuffle_describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64, ((const shuffle *)m)->n);
}
static tern_module *shuffle_new(const char *type, tern_tensor *(*op)(tern_tensor *, int64_t), int64_t n) {
    if (!tern_ok()) return NULL;
    if (n < 1) return terni_null(TERN_ERR_ARGUMENT, "%s: %" PRId64 "; 1 or more expected", type, n);
    shuffle *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = shuffle_forward;
    s->m.describe = shuffle_describe;
    s->op = op;
    s->n = n;
    return tern_module_done(s);
}

tern_module *tern_pixel_shuffle_new(int64_t r) { return shuffle_new("pixel_shuffle", tern_pixel_shuffle, r); }
tern_module *tern_pixel_unshuffle_new(int64_t r) { return shuffle_new("pixel_unshuffle", tern_pixel_unshuffle, r); }
tern_module *tern_channel_shuffle_new(int64_t groups) {
    return shuffle_new("channel_shuffle", tern_channel_shuffle, groups);
}

/* ---- reshaping --------------------------------------------------------------------------------------------------- */

typedef struct flatten {
    tern_module m;
    int start, end;   /* unflatten: the dimension is start */
    tern_shape sizes; /* unflatten */
} flatten;

static tern_tensor *flatten_forward(tern_module *m, tern_tensor *x) {
    const flatten *s = (const flatten *)m;
    return tern_flatten(x, s->start, s->end);
}
static tern_tensor *unflatten_forward(tern_module *m, tern_tensor *x) {
    const flatten *s = (const flatten *)m;
    return tern_unflatten(x, s->start, s->sizes);
}
static void flatten_describe(const tern_module *m, char *buf, size_t size) {
    const flatten *s = (const flatten *)m;
    terni_text t = {buf, size, 0};
    if (s->start != 1 || s->end != -1) terni_text_add(&t, "dims %d to %d", s->start, s->end);
}
static void unflatten_describe(const tern_module *m, char *buf, size_t size) {
    const flatten *s = (const flatten *)m;
    char shape[128];
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "dim %d to %s", s->start, tern_shape_text(s->sizes, shape, sizeof shape));
}

tern_module *tern_flatten_dims_new(int start, int end) {
    if (!tern_ok()) return NULL;
    if (start < -TERN_MAX_DIMS || start >= TERN_MAX_DIMS || end < -TERN_MAX_DIMS || end >= TERN_MAX_DIMS)
        return terni_null(TERN_ERR_ARGUMENT, "flatten: no tensor has dimensions %d and %d", start, end);
    flatten *s = TERN_MODULE_NEW(flatten);
    if (!s) return NULL;
    s->m.forward = flatten_forward;
    s->m.describe = flatten_describe;
    s->start = start;
    s->end = end;
    return tern_module_done(s);
}

tern_module *tern_flatten_new(void) { return tern_flatten_dims_new(1, -1); }

tern_module *tern_unflatten_new(int dim, tern_shape sizes) {
    if (!tern_ok()) return NULL;
    bool ok = dim >= -TERN_MAX_DIMS && dim < TERN_MAX_DIMS && sizes.ndim >= 1 && sizes.ndim <= TERN_MAX_DIMS;
    for (int i = 0; ok && i < sizes.ndim; i++) ok = sizes.dim[i] >= -1;
    if (!ok) return terni_null(TERN_ERR_ARGUMENT, "unflatten: a dimension and 1 to %d sizes expected", TERN_MAX_DIMS);
    flatten *s = tern_module_alloc(sizeof *s, "unflatten");
    if (!s) return NULL;
    s->m.forward = unflatten_forward;
    s->m.describe = unflatten_describe;
    s->start = dim;
    s->sizes = sizes;
    return tern_module_done(s);
}
