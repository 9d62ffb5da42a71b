/* ONNX import: products, convolutions, pools, normalisation. */
#include <math.h>
#include <string.h>

#include "onnx_model.h"

enum { DIMS = TERN_MAX_DIMS };

static bool out(terni_om_run *r, tern_tensor *t) { return (r->out[0] = t) != NULL; }

/* ---- products ------------------------------------------------------------------------------------------------------
 */

static bool matmul(terni_om_run *r) { return out(r, tern_matmul(r->in[0], r->in[1])); }

static bool gemm(terni_om_run *r) {
    const double alpha = terni_om_float(r, "alpha", 1), beta = terni_om_float(r, "beta", 1);
    tern_tensor *a = r->in[0], *b = r->in[1], *c = terni_om_at(r, 2);
    if (tern_ndim(a) != 2 || tern_ndim(b) != 2)
        return terni_om_bad(r, "inputs of %d and %d dimensions", tern_ndim(a), tern_ndim(b));
    if (terni_om_int(r, "transA", 0)) a = tern_transpose(a, 0, 1);
    const bool turned = terni_om_int(r, "transB", 0) != 0;
    const int64_t columns = tern_size(b, turned ? 0 : 1);
    if (alpha == 1 && (!c || (beta == 1 && tern_ndim(c) == 1 && tern_size(c, 0) == columns)))
        return out(r, tern_linear(a, turned ? b : tern_transpose(b, 0, 1), c));
    tern_tensor *y = tern_matmul(a, turned ? tern_transpose(b, 0, 1) : b);
    if (y && alpha != 1) y = tern_mul_scalar(y, alpha);
    if (y && c && beta != 0) y = tern_add(y, beta != 1 ? tern_mul_scalar(c, beta) : c);
    return out(r, y);
}

/* ---- windows -------------------------------------------------------------------------------------------------------
 */

typedef struct window {
    int n;
    int64_t kernel[3], stride[3], dilation[3], pads[6]; /* before, behind */
    bool even;                                          /* pads of both sides are the same */
} window;

static bool list(terni_om_run *r, const char *name, int n, int64_t *v, int64_t otherwise) {
    const int got = terni_om_ints(r, name, -1, v, n);
    if (got == TERNI_OM_OPTIONAL)
        for (int d = 0; d < n; d++) v[d] = otherwise;
    else if (got != n)
        return got >= 0 ? terni_om_bad(r, "%s has %d numbers; expected %d", name, got, n) : false;
    for (int d = 0; d < n; d++)
        if (v[d] < 0 || v[d] > 1 << 30) return terni_om_refuse(r, "the attribute %s has %lld", name, (long long)v[d]);
    return true;
}

/* The window over x; kernel is set already, or is the attribute's. transposed: auto_pad is about the output. */
static bool window_of(terni_om_run *r, window *w, const int64_t *kernel) {
    const tern_tensor *x = r->in[0];
    const char *automatic = terni_om_text(r, "auto_pad", "NOTSET");
    w->n = tern_ndim(x) - 2;
    if (w->n < 1 || w->n > 3) return terni_om_refuse(r, "an input of %d dimensions", tern_ndim(x));
    for (int d = 0; d < w->n; d++) w->kernel[d] = kernel ? kernel[d] : 0;
    int64_t said[3];
    if (!list(r, "kernel_shape", w->n, said, 0) || !list(r, "strides", w->n, w->stride, 1) ||
        !list(r, "dilations", w->n, w->dilation, 1) || !list(r, "pads", 2 * w->n, w->pads, 0))
        return false;
    w->even = true;
    for (int d = 0; d < w->n; d++) {
        if (!kernel) w->kernel[d] = said[d];
        if (w->kernel[d] < 1 || w->stride[d] < 1 || w->dilation[d] < 1) return terni_om_bad(r, "a size of 0");
        const int64_t reach = w->dilation[d] * (w->kernel[d] - 1) + 1, size = tern_size(x, 2 + d);
        if (strncmp(automatic, "SAME_", 5) == 0) {
            const int64_t steps = (size + w->stride[d] - 1) / w->stride[d];
            int64_t all = (steps - 1) * w->stride[d] + reach - size;
            if (all < 0) all = 0;
            w->pads[d] = strcmp(automatic, "SAME_UPPER") == 0 ? all / 2 : all - all / 2;
            w->pads[w->n + d] = all - w->pads[d];
        } else if (strcmp(automatic, "NOTSET") != 0 && strcmp(automatic, "VALID") != 0)
            return terni_om_refuse(r, "the attribute auto_pad is %.40s", automatic);
        w->even &= w->pads[d] == w->pads[w->n + d];
    }
    return true;
}

/* x with the window's pads around it. */
static tern_tensor *padded(tern_tensor *x, const window *w, double fill) {
    int64_t pads[6];
    for (int d = 0; d < w->n; d++) {
        pads[2 * (w->n - 1 - d)] = w->pads[d];
        pads[2 * (w->n - 1 - d) + 1] = w->pads[w->n + d];
    }
    return tern_pad(x, pads, 2 * w->n, (tern_pad_opts){.value = fill});
}

/* An option's 0 is -1 where 0 would mean the one before it. */
static int64_t explicit(int64_t pad) { return pad ? pad : -1; }

static bool conv(terni_om_run *r) {
    window w;
    tern_tensor *x = r->in[0], *k = r->in[1], *b = terni_om_at(r, 2);
    if (tern_ndim(k) != tern_ndim(x))
        return terni_om_bad(r, "x of %d and w of %d dimensions", tern_ndim(x), tern_ndim(k));
    const tern_shape shape = tern_shape_get(k);
    const int64_t groups = terni_om_int(r, "group", 1);
    if (groups < 1) return terni_om_bad(r, "%lld groups", (long long)groups);
    if (!window_of(r, &w, shape.dim + 2)) return false;
    if (!w.even) {
        x = padded(x, &w, 0);
        memset(w.pads, 0, sizeof w.pads);
    }
    if (w.n == 1)
        return out(
            r, tern_conv1d(x, k, b,
                           (tern_conv1d_opts){
                               .stride = w.stride[0], .pad = w.pads[0], .dilation = w.dilation[0], .groups = groups}));
    if (w.n == 2) {
        tern_conv2d_opts o = {.groups = groups};
        for (int d = 0; d < 2; d++) {
            o.stride[d] = w.stride[d];
            o.pad[d] = explicit(w.pads[d]);
            o.dilation[d] = w.dilation[d];
        }
        return out(r, tern_conv2d(x, k, b, o));
    }
    tern_conv3d_opts o = {.groups = groups};
    for (int d = 0; d < 3; d++) {
        o.stride[d] = w.stride[d];
        o.pad[d] = explicit(w.pads[d]);
        o.dilation[d] = w.dilation[d];
    }
    return out(r, tern_conv3d(x, k, b, o));
}

static tern_tensor *transposed(const window *w, tern_tensor *x, tern_tensor *k, tern_tensor *b, int64_t groups,
                               const int64_t *more) {
    if (w->n == 1)
        return tern_conv_transpose1d(
            x, k, b,
            (tern_conv_transpose1d_opts){
                .stride = w->stride[0], .output_pad = more[0], .dilation = w->dilation[0], .groups = groups});
    if (w->n == 2) {
        tern_conv_transpose2d_opts o = {.groups = groups};
        for (int d = 0; d < 2; d++) {
            o.stride[d] = w->stride[d];
            o.output_pad[d] = explicit(more[d]);
            o.dilation[d] = w->dilation[d];
        }
        return tern_conv_transpose2d(x, k, b, o);
    }
    tern_conv_transpose3d_opts o = {.groups = groups};
    for (int d = 0; d < 3; d++) {
        o.stride[d] = w->stride[d];
        o.output_pad[d] = explicit(more[d]);
        o.dilation[d] = w->dilation[d];
    }
    return tern_conv_transpose3d(x, k, b, o);
}

/* Without pads, and then what they say is cut off. */
static bool conv_transpose(terni_om_run *r) {
    window w;
    int64_t more[3] = {0}, shape[3], none[3] = {0};
    tern_tensor *x = r->in[0], *k = r->in[1];
    if (tern_ndim(k) != tern_ndim(x))
        return terni_om_bad(r, "x of %d and w of %d dimensions", tern_ndim(x), tern_ndim(k));
    const tern_shape kernel = tern_shape_get(k);
    const int64_t groups = terni_om_int(r, "group", 1);
    const char *automatic = terni_om_text(r, "auto_pad", "NOTSET");
    if (groups < 1) return terni_om_bad(r, "%lld groups", (long long)groups);
    if (!window_of(r, &w, kernel.dim + 2) || !list(r, "output_padding", w.n, more, 0)) return false;
    const int got = terni_om_ints(r, "output_shape", -1, shape, 3);
    if (got < 0) return false;
    if (got != TERNI_OM_OPTIONAL && got != w.n) return terni_om_bad(r, "output_shape has %d numbers", got);
    const bool same = strncmp(automatic, "SAME_", 5) == 0;
    tern_tensor *y = transposed(&w, x, k, terni_om_at(r, 2), groups, none);
    for (int d = 0; d < w.n && y; d++) {
        const int64_t full = tern_size(y, 2 + d);
        int64_t before = w.pads[d], wanted = full + more[d] - w.pads[d] - w.pads[w.n + d];
        if (got == w.n || same) {
            wanted = got == w.n ? shape[d] : tern_size(x, 2 + d) * w.stride[d];
            const int64_t all = full + more[d] - wanted;
            before = strcmp(automatic, "SAME_UPPER") == 0 ? all / 2 : all - all / 2;
            if (all < 0) before = 0;
        }
        const int64_t behind = wanted - (full - before);
        if (wanted < 1 || before >= full) return terni_om_bad(r, "pads leave nothing");
        if (behind > 0 && terni_om_at(r, 2))
            return terni_om_refuse(r, "more output than the windows reach, with a bias");
        y = tern_slice(y, 2 + d, before, behind < 0 ? before + wanted : full, 1);
        int64_t pads[6] = {0};
        pads[2 * (w.n - 1 - d) + 1] = behind;
        if (y && behind > 0) y = tern_pad(y, pads, 2 * w.n, (tern_pad_opts){0});
    }
    return out(r, y);
}

/* ---- pools ---------------------------------------------------------------------------------------------------------
 */

typedef struct pool_mode {
    bool ceil, mean, exclude; /* mean: with the pads, by the number of elements; else sums without pads */
} pool_mode;

static tern_tensor *pool(const window *w, tern_tensor *x, bool max, pool_mode m, tern_tensor **index) {
    if (w->n == 1) {
        const tern_pool1d_opts o = {.stride = w->stride[0],
                                    .pad = m.mean ? w->pads[0] : 0,
                                    .dilation = w->dilation[0],
                                    .ceil_mode = m.ceil,
                                    .divisor = m.mean ? 0 : 1,
                                    .exclude_pad = m.exclude};
        if (index) return tern_max_pool1d_with_indices(x, w->kernel[0], o, index);
        return (max ? tern_max_pool1d : tern_avg_pool1d)(x, w->kernel[0], o);
    }
    if (w->n == 2) {
        tern_pool2d_opts o = {.ceil_mode = m.ceil, .divisor = m.mean ? 0 : 1, .exclude_pad = m.exclude};
        for (int d = 0; d < 2; d++) {
            o.stride[d] = w->stride[d];
            o.pad[d] = explicit(m.mean ? w->pads[d] : 0);
            o.dilation[d] = w->dilation[d];
        }
        if (index) return tern_max_pool2d_with_indices(x, w->kernel, o, index);
        return (max ? tern_max_pool2d : tern_avg_pool2d)(x, w->kernel, o);
    }
    tern_pool3d_opts o = {.ceil_mode = m.ceil, .divisor = m.mean ? 0 : 1, .exclude_pad = m.exclude};
    for (int d = 0; d < 3; d++) {
        o.stride[d] = w->stride[d];
        o.pad[d] = explicit(m.mean ? w->pads[d] : 0);
        o.dilation[d] = w->dilation[d];
    }
    if (index) return tern_max_pool3d_with_indices(x, w->kernel, o, index);
    return (max ? tern_max_pool3d : tern_avg_pool3d)(x, w->kernel, o);
}

/* Indices in the whole tensor, from those in each plane. */
static tern_tensor *counted_on(tern_tensor *index, tern_tensor *x) {
    const tern_shape s = tern_shape_get(x);
    int64_t plane = 1;
    tern_shape rows = {.ndim = s.ndim};
    for (int d = 0; d < s.ndim; d++) {
        rows.dim[d] = d < 2 ? s.dim[d] : 1;
        if (d >= 2) plane *= s.dim[d];
    }
    tern_tensor *first = tern_arange(0, (double)(s.dim[0] * s.dim[1]), (tern_options){TERN_I64, tern_device_of(x)});
    first = tern_reshape(tern_mul_scalar(first, (double)plane), rows);
    return tern_add(index, first);
}

static bool max_pool(terni_om_run *r) {
    window w;
    tern_tensor *x = r->in[0];
    if (!terni_om_has(r, "kernel_shape") || !window_of(r, &w, NULL))
        return tern_ok() ? terni_om_bad(r, "no kernel_shape") : false;
    if (!tern_dtype_is_float(tern_dtype_of(x))) return terni_om_refuse(r, "an input that is no float");
    const bool ceil = terni_om_int(r, "ceil_mode", 0) != 0, indexed = r->node->n_out > 1 && r->node->out[1] >= 0;
    bool fits = w.even;
    for (int d = 0; d < w.n; d++) fits &= 2 * w.pads[d] <= w.kernel[d];
    if (indexed && (!fits || terni_om_int(r, "storage_order", 0)))
        return terni_om_refuse(r, "indices with these pads, or storage_order 1");
    if (!fits) {
        x = padded(x, &w, -(double)INFINITY);
        memset(w.pads, 0, sizeof w.pads);
    }
    tern_tensor *index = NULL,
                *y = x ? pool(&w, x, true, (pool_mode){.ceil = ceil, .mean = true}, indexed ? &index : NULL) : NULL;
    if (y && indexed && !(r->out[1] = counted_on(index, x))) return false;
    return out(r, y);
}

/* Sums over windows, by the counts of what is in them. */
static bool average_pool(terni_om_run *r) {
    window w;
    tern_tensor *x = r->in[0];
    if (!terni_om_has(r, "kernel_shape") || !window_of(r, &w, NULL))
        return tern_ok() ? terni_om_bad(r, "no kernel_shape") : false;
    for (int d = 0; d < w.n; d++)
        if (w.dilation[d] != 1) return terni_om_refuse(r, "the attribute dilations is not 1");
    const bool ceil = terni_om_int(r, "ceil_mode", 0) != 0, pads_count = terni_om_int(r, "count_include_pad", 0) != 0;
    tern_shape s = tern_shape_get(x);
    bool fits = w.even;
    for (int d = 0; d < w.n; d++) fits &= 2 * w.pads[d] <= w.kernel[d];
    if (fits) return out(r, pool(&w, x, false, (pool_mode){.ceil = ceil, .mean = true, .exclude = !pads_count}, NULL));
    s.dim[0] = s.dim[1] = 1;
    tern_tensor *ones = tern_ones(s, (tern_options){tern_dtype_of(x), tern_device_of(x)});
    const pool_mode sums = {.ceil = ceil};
    x = padded(x, &w, 0);
    ones = padded(ones, &w, pads_count ? 1 : 0);
    if (!x || !ones) return false;
    return out(r, tern_div(pool(&w, x, false, sums, NULL), pool(&w, ones, false, sums, NULL)));
}

static bool global_pool(terni_om_run *r) {
    int dims[DIMS], n = 0;
    for (int d = 2; d < tern_ndim(r->in[0]); d++) dims[n++] = d;
    if (!n) return terni_om_bad(r, "an input of %d dimensions", tern_ndim(r->in[0]));
    return out(r, (strcmp(r->node->op, "GlobalMaxPool") == 0 ? tern_max : tern_mean)(r->in[0], dims, n, true));
}

/* ---- normalisation -------------------------------------------------------------------------------------------------
 */

/* Before opset 13 the dimensions from axis on were one. */
static bool softmax(terni_om_run *r) {
    tern_tensor *x = r->in[0];
    const bool old = r->model->opset < 13;
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", old ? 1 : -1), tern_ndim(x));
    if (axis < 0) return false;
    const tern_shape s = tern_shape_get(x);
    if (old) x = tern_flatten(x, axis, -1);
    x = x ? (strcmp(r->node->op, "Softmax") == 0 ? tern_softmax : tern_log_softmax)(x, axis) : NULL;
    return out(r, x && old ? tern_reshape(x, s) : x);
}

static bool batch_norm(terni_om_run *r) {
    if (terni_om_int(r, "training_mode", 0)) return terni_om_refuse(r, "the attribute training_mode is 1");
    if (terni_om_int(r, "spatial", 1) != 1) return terni_om_refuse(r, "the attribute spatial is 0");
    const tern_batch_norm_opts o = {.eps = terni_om_float(r, "epsilon", (double)1e-5f)};
    return out(r, tern_batch_norm(r->in[0], r->in[1], r->in[2], r->in[3], r->in[4], o));
}

static bool instance_norm(terni_om_run *r) {
    const double eps = terni_om_float(r, "epsilon", (double)1e-5f);
    return out(r, tern_group_norm(r->in[0], tern_size(r->in[0], 1), r->in[1], r->in[2], eps));
}

static bool group_norm(terni_om_run *r) {
    const int64_t groups = terni_om_int(r, "num_groups", 0), channels = tern_size(r->in[0], 1);
    tern_tensor *p[2] = {r->in[1], r->in[2]};
    if (groups < 1 || channels % groups)
        return terni_om_bad(r, "%lld groups of %lld", (long long)groups, (long long)channels);
    for (int i = 0; i < 2 && r->model->opset < 21; i++) { /* one for each group */
        p[i] = tern_expand(tern_reshape(p[i], TERN_SHAPE(groups, 1)), TERN_SHAPE(groups, channels / groups));
        p[i] = p[i] ? tern_reshape(p[i], TERN_SHAPE(channels)) : NULL;
    }
    return p[0] && p[1] &&
           out(r, tern_group_norm(r->in[0], groups, p[0], p[1], terni_om_float(r, "epsilon", (double)1e-5f)));
}

/* t broadcast to x's dimensions from axis on. */
static tern_tensor *last_of(tern_tensor *t, const tern_tensor *x, int axis) {
    tern_shape s = {0};
    if (!t) return NULL;
    for (int d = axis; d < tern_ndim(x); d++) s.dim[s.ndim++] = tern_size(x, d);
    return tern_shape_equal(s, tern_shape_get(t)) ? t : tern_expand(t, s);
}

static bool layer_norm(terni_om_run *r) {
    tern_tensor *x = r->in[0], *b = terni_om_at(r, 2);
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", -1), tern_ndim(x));
    const double eps = terni_om_float(r, "epsilon", (double)1e-5f);
    if (axis < 0) return false;
    for (int i = 1; i < r->node->n_out; i++)
        if (r->node->out[i] >= 0) return terni_om_refuse(r, "the mean and deviation as outputs");
    tern_tensor *w = last_of(r->in[1], x, axis);
    if (strcmp(r->node->op, "RMSNormalization") == 0) return w && out(r, tern_rms_norm(x, tern_ndim(x) - axis, w, eps));
    if (b && !(b = last_of(b, x, axis))) return false;
    return w && out(r, tern_layer_norm(x, tern_ndim(x) - axis, w, b, eps));
}

static bool lp_norm(terni_om_run *r) {
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", -1), tern_ndim(r->in[0]));
    const int64_t p = terni_om_int(r, "p", 2);
    if (axis < 0) return false;
    tern_tensor *n = tern_norm(r->in[0], (double)p, &axis, 1, true);
    tern_tensor *none = n ? tern_zeros_like(n) : NULL;
    return none && out(r, tern_where(tern_eq(n, none), none, tern_div(r->in[0], n)));
}

static bool lrn(terni_om_run *r) {
    const int64_t size = terni_om_int(r, "size", 0);
    const tern_local_response_norm_opts o = {.alpha = terni_om_float(r, "alpha", (double)1e-4f),
                                             .beta = terni_om_float(r, "beta", 0.75),
                                             .k = terni_om_float(r, "bias", 1)};
    if (size % 2 == 0 || o.k == 0 || o.alpha == 0 || o.beta == 0)
        return terni_om_refuse(r, "a size that is even, or a factor of 0");
    return out(r, tern_local_response_norm(r->in[0], size, o));
}

static bool col2im(terni_om_run *r) {
    window w = {.n = 2};
    int64_t image[2], kernel[2];
    if (tern_numel(r->in[1]) != 2 || terni_om_ints(r, NULL, 1, image, 2) != 2 ||
        terni_om_ints(r, NULL, 2, kernel, 2) != 2)
        return tern_ok() ? terni_om_refuse(r, "an image of other than two axes") : false;
    if (!list(r, "strides", 2, w.stride, 1) || !list(r, "dilations", 2, w.dilation, 1) ||
        !list(r, "pads", 4, w.pads, 0))
        return false;
    if (w.pads[0] != w.pads[2] || w.pads[1] != w.pads[3]) return terni_om_refuse(r, "the attribute pads is not even");
    const tern_fold_opts o = {.stride = {w.stride[0], w.stride[1]},
                              .pad = {explicit(w.pads[0]), explicit(w.pads[1])},
                              .dilation = {w.dilation[0], w.dilation[1]}};
    return out(r, tern_col2im(r->in[0], image, kernel, o));
}

#define WINDOW "auto_pad dilations kernel_shape pads strides "
const terni_om_rule terni_om_layers[] = {
    {"MatMul", matmul, "", 2, 2},
    {"Gemm", gemm, "alpha beta transA transB", 2, 3},
    {"Conv", conv, WINDOW "group", 2, 3},
    {"ConvTranspose", conv_transpose, WINDOW "group output_padding output_shape", 2, 3},
    {"MaxPool", max_pool, WINDOW "ceil_mode storage_order", 1, 1},
    {"AveragePool", average_pool, WINDOW "ceil_mode count_include_pad", 1, 1},
    {"GlobalAveragePool", global_pool, "", 1, 1},
    {"GlobalMaxPool", global_pool, "", 1, 1},
    {"Softmax", softmax, "axis", 1, 1},
    {"LogSoftmax", softmax, "axis", 1, 1},
    {"BatchNormalization", batch_norm, "epsilon momentum training_mode spatial", 5, 5},
    {"InstanceNormalization", instance_norm, "epsilon", 3, 3},
    {"GroupNormalization", group_norm, "epsilon num_groups stash_type", 3, 3},
    {"LayerNormalization", layer_norm, "axis epsilon stash_type", 2, 3},
    {"RMSNormalization", layer_norm, "axis epsilon stash_type", 2, 2},
    {"LpNormalization", lp_norm, "axis p", 1, 1},
    {"LRN", lrn, "alpha beta bias size", 1, 1},
    {"Col2Im", col2im, "dilations pads strides", 3, 3},
    {NULL, NULL, NULL, 0, 0},
};
