/* ONNX export: rows of products, convolutions, pools, normalisation and attention. */
#include <math.h>
#include <string.h>

#include "onnx_internal.h"

static terni_value in(terni_onnx *g, const terni_step *s, int i) {
    return i < s->op->n_in ? terni_onnx_value(g, s->op->in[i]) : "";
}
static bool out(terni_onnx *g, const terni_step *s, terni_value v) { return terni_onnx_bind(g, s->op->out[0], v); }
static tern_dtype dtype_of(const terni_step *s) { return tern_dtype_of(s->op->in[0]); }
static terni_value op2(terni_onnx *g, const char *op, terni_value a, terni_value b) {
    return terni_onnx_op(g, op, TERNI_IN(a, b), TERNI_PLAIN);
}

/* [n] numbers, all alike. */
static terni_value filled(terni_onnx *g, tern_shape shape, tern_dtype dtype, double v) {
    return terni_onnx_constant(g, tern_full(shape, v, (tern_options){.dtype = dtype}));
}
/* Input i in the dtype of x; a constant of `otherwise` if it is absent. */
static terni_value weight(terni_onnx *g, const terni_step *s, int i, tern_shape shape, double otherwise) {
    tern_tensor *t = i < s->op->n_in ? s->op->in[i] : NULL;
    if (!t) return filled(g, shape, dtype_of(s), otherwise);
    return terni_onnx_cast(g, terni_onnx_value(g, t), tern_dtype_of(t), dtype_of(s));
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

static bool matmul(terni_onnx *g, const terni_step *s) { return out(g, s, op2(g, "MatMul", in(g, s, 0), in(g, s, 1))); }

static bool linear(terni_onnx *g, const terni_step *s) {
    return out(g, s,
               terni_onnx_op(g, "Gemm", TERNI_IN(in(g, s, 0), in(g, s, 1), in(g, s, 2)),
                             TERNI_WITH(TERNI_A_INT("transB", 1))));
}

/* ---- windows ----------------------------------------------------------------------------------------------------- */

typedef struct window {
    int n;
    int64_t kernel[3], stride[3], dilation[3], pads[6]; /* the n axes' */
    int64_t in[3], out[3];
} window;

static void axes(const terni_step *s, const char *name, int n, int64_t v[3]) {
    int64_t three[3] = {1, 1, 1};
    tern_traced_ints(s->op, name, three, 3);
    for (int d = 0; d < n; d++) v[d] = three[3 - n + d];
}

/* pads: what lies before as it is; behind as much as the output's sizes tell, and as before if they leave it open. */
static window window_of(const terni_step *s) {
    window w = {.n = (int)terni_onnx_setting(s, "axes")};
    const tern_tensor *x = s->op->in[0], *y = s->op->out[0];
    axes(s, "stride", w.n, w.stride);
    axes(s, "dilation", w.n, w.dilation);
    axes(s, "kernel", w.n, w.kernel);
    axes(s, "pad", w.n, w.pads);
    for (int d = 0; d < w.n; d++) {
        w.in[d] = tern_size(x, d - w.n);
        w.out[d] = tern_size(y, d - w.n);
    }
    return w;
}
static void pads_behind(window *w) {
    for (int d = 0; d < w->n; d++) {
        const int64_t before = w->pads[d], reach = w->dilation[d] * (w->kernel[d] - 1) + 1;
        const int64_t least = (w->out[d] - 1) * w->stride[d] + reach - w->in[d] - before;
        w->pads[w->n + d] = before >= least && before < least + w->stride[d] ? before : least < 0 ? 0 : least;
    }
}

static bool conv(terni_onnx *g, const terni_step *s) {
    window w = window_of(s);
    for (int d = 0; d < w.n; d++) w.kernel[d] = tern_size(s->op->in[1], 2 + d);
    pads_behind(&w);
    return out(
        g, s,
        terni_onnx_op(g, "Conv", TERNI_IN(in(g, s, 0), in(g, s, 1), in(g, s, 2)),
                      TERNI_WITH(TERNI_A_INTS("kernel_shape", w.kernel, w.n), TERNI_A_INTS("strides", w.stride, w.n),
                                 TERNI_A_INTS("dilations", w.dilation, w.n), TERNI_A_INTS("pads", w.pads, 2 * w.n),
                                 TERNI_A_INT("group", terni_onnx_setting(s, "groups")))));
}

static bool conv_transpose(terni_onnx *g, const terni_step *s) {
    window w = window_of(s);
    int64_t more[3] = {0};
    for (int d = 0; d < w.n; d++) {
        w.kernel[d] = tern_size(s->op->in[1], 2 + d);
        w.pads[w.n + d] = w.pads[d];
        more[d] = w.out[d] - ((w.in[d] - 1) * w.stride[d] + w.dilation[d] * (w.kernel[d] - 1) + 1 - 2 * w.pads[d]);
    }
    return out(
        g, s,
        terni_onnx_op(g, "ConvTranspose", TERNI_IN(in(g, s, 0), in(g, s, 1), in(g, s, 2)),
                      TERNI_WITH(TERNI_A_INTS("kernel_shape", w.kernel, w.n), TERNI_A_INTS("strides", w.stride, w.n),
                                 TERNI_A_INTS("dilations", w.dilation, w.n), TERNI_A_INTS("pads", w.pads, 2 * w.n),
                                 TERNI_A_INTS("output_padding", more, w.n),
                                 TERNI_A_INT("group", terni_onnx_setting(s, "groups")))));
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

/* Adaptive windows, axis by axis: each window is sliced and reduced. Of the mean of means each has its own count, but
 * all elements of a window have the same share. */
static terni_value by_windows(terni_onnx *g, const terni_step *s, const window *w, const char *reduce) {
    terni_value v = in(g, s, 0);
    const int first = tern_ndim(s->op->in[0]) - w->n;
    for (int d = 0; v && d < w->n; d++) {
        const int64_t axis = first + d;
        terni_value *parts = terni_malloc((size_t)w->out[d] * sizeof *parts + 1);
        if (!parts) return NULL;
        for (int64_t i = 0; i < w->out[d]; i++) {
            const int64_t from = i * w->in[d] / w->out[d], to = ((i + 1) * w->in[d] - 1) / w->out[d] + 1;
            terni_value part = terni_onnx_op(
                g, "Slice",
                TERNI_IN(v, terni_onnx_ints(g, &from, 1), terni_onnx_ints(g, &to, 1), terni_onnx_ints(g, &axis, 1)),
                TERNI_PLAIN);
            parts[i] = terni_onnx_op(g, reduce, TERNI_IN(part, terni_onnx_ints(g, &axis, 1)),
                                     TERNI_WITH(TERNI_A_INT("keepdims", 1)));
        }
        v = terni_onnx_op(g, "Concat", parts, (int)w->out[d], TERNI_WITH(TERNI_A_INT("axis", axis)));
        terni_mfree(parts);
    }
    return v;
}

/* x as [N, C, ...]; pools take [C, ...] too. */
static terni_value batched(terni_onnx *g, const terni_step *s, const window *w) {
    static const int64_t zero = 0;
    terni_value x = in(g, s, 0);
    return tern_ndim(s->op->in[0]) == w->n + 2 ? x : op2(g, "Unsqueeze", x, terni_onnx_ints(g, &zero, 1));
}
static bool unbatched(terni_onnx *g, const terni_step *s, const window *w, terni_value v) {
    static const int64_t zero = 0;
    if (tern_ndim(s->op->in[0]) != w->n + 2) v = op2(g, "Squeeze", v, terni_onnx_ints(g, &zero, 1));
    return out(g, s, v);
}

static bool max_pool(terni_onnx *g, const terni_step *s) {
    window w = window_of(s);
    terni_onnx_missing(g, s->op->out[1], "the indices of max_pool are counted otherwise in ONNX");
    if (terni_onnx_setting(s, "adaptive")) return out(g, s, by_windows(g, s, &w, "ReduceMax"));
    pads_behind(&w);
    return unbatched(
        g, s, &w,
        terni_onnx_op(g, "MaxPool", TERNI_IN(batched(g, s, &w)),
                      TERNI_WITH(TERNI_A_INTS("kernel_shape", w.kernel, w.n), TERNI_A_INTS("strides", w.stride, w.n),
                                 TERNI_A_INTS("dilations", w.dilation, w.n), TERNI_A_INTS("pads", w.pads, 2 * w.n))));
}

/* What turns the mean over the whole kernel into the op's: [1, 1, sizes], or NULL where it is 1 throughout. */
static tern_tensor *shares(const window *w, int64_t divisor) {
    tern_shape shape = {.ndim = 2, .dim = {1, 1}};
    double whole = 1;
    bool plain = true;
    for (int d = 0; d < w->n; d++) {
        shape.dim[shape.ndim++] = w->out[d];
        whole *= (double)w->kernel[d];
    }
    tern_tensor *t = tern_ones(shape, (tern_options){.dtype = TERN_F64});
    double *v = tern_data(t);
    for (int64_t i = 0; v && i < tern_numel(t); i++) {
        int64_t rest = i;
        double count = 1;
        for (int d = w->n - 1; d >= 0; d--) {
            const int64_t at = rest % w->out[d] * w->stride[d] - w->pads[d], last = w->in[d] + w->pads[d];
            rest /= w->out[d];
            count *= (double)((at + w->kernel[d] < last ? at + w->kernel[d] : last) - at);
        }
        v[i] = whole / (divisor ? (double)divisor : count);
        plain &= v[i] == 1;
    }
    return plain ? NULL : t;
}

static bool avg_pool(terni_onnx *g, const terni_step *s) {
    window w = window_of(s);
    if (terni_onnx_setting(s, "adaptive")) return out(g, s, by_windows(g, s, &w, "ReduceMean"));
    const int64_t divisor = terni_onnx_setting(s, "divisor");
    const bool real = terni_onnx_setting(s, "exclude_pad") && !divisor;
    tern_tensor *share = real ? NULL : shares(&w, divisor);
    pads_behind(&w);
    terni_value v =
        terni_onnx_op(g, "AveragePool", TERNI_IN(batched(g, s, &w)),
                      TERNI_WITH(TERNI_A_INTS("kernel_shape", w.kernel, w.n), TERNI_A_INTS("strides", w.stride, w.n),
                                 TERNI_A_INTS("pads", w.pads, 2 * w.n), TERNI_A_INT("count_include_pad", !real)));
    if (share) v = op2(g, "Mul", v, terni_onnx_constant(g, tern_cast(share, dtype_of(s))));
    return tern_ok() && unbatched(g, s, &w, v);
}

/* ---- folding ----------------------------------------------------------------------------------------------------- */

static void pair(const terni_step *s, const char *name, int64_t v[2]) { tern_traced_ints(s->op, name, v, 2); }

/* Along one axis: the elements under tap k of window i, [kernel, size]. */
static terni_value taps(terni_onnx *g, terni_value x, int64_t axis, int64_t kernel, int64_t size, int64_t stride,
                        int64_t dilation) {
    tern_tensor *t = tern_empty(TERN_SHAPE(kernel, size), (tern_options){.dtype = TERN_I64});
    int64_t *at = tern_data(t);
    for (int64_t k = 0; at && k < kernel; k++)
        for (int64_t i = 0; i < size; i++) at[k * size + i] = i * stride + k * dilation;
    return terni_onnx_op(g, "Gather", TERNI_IN(x, t ? terni_onnx_constant(g, t) : NULL),
                         TERNI_WITH(TERNI_A_INT("axis", axis)));
}

static bool im2col(terni_onnx *g, const terni_step *s) {
    static const int64_t order[6] = {0, 1, 2, 4, 3, 5};
    int64_t kernel[2] = {0}, stride[2] = {0}, pad[2] = {0}, dilation[2] = {0}, size[2] = {0};
    pair(s, "kernel", kernel);
    pair(s, "stride", stride);
    pair(s, "pad", pad);
    pair(s, "dilation", dilation);
    pair(s, "size", size);
    const int64_t pads[8] = {0, 0, pad[0], pad[1], 0, 0, pad[0], pad[1]};
    terni_value v = in(g, s, 0);
    if (pad[0] || pad[1]) v = op2(g, "Pad", v, terni_onnx_ints(g, pads, 8));
    v = taps(g, v, 2, kernel[0], size[0], stride[0], dilation[0]);
    v = taps(g, v, 4, kernel[1], size[1], stride[1], dilation[1]);
    return out(g, s, terni_onnx_op(g, "Transpose", TERNI_IN(v), TERNI_WITH(TERNI_A_INTS("perm", order, 6))));
}

static bool col2im(terni_onnx *g, const terni_step *s) {
    int64_t kernel[2] = {0}, stride[2] = {0}, pad[2] = {0}, dilation[2] = {0}, size[2] = {0}, image[2] = {0};
    pair(s, "kernel", kernel);
    pair(s, "stride", stride);
    pair(s, "pad", pad);
    pair(s, "dilation", dilation);
    pair(s, "size", size);
    pair(s, "image", image);
    const int64_t pads[4] = {pad[0], pad[1], pad[0], pad[1]}, channels = tern_size(s->op->in[0], 1);
    const int64_t flat[3] = {0, channels * kernel[0] * kernel[1], size[0] * size[1]};
    terni_value v = terni_onnx_op(g, "Reshape", TERNI_IN(in(g, s, 0), terni_onnx_ints(g, flat, 3)), TERNI_PLAIN);
    return out(g, s,
               terni_onnx_op(g, "Col2Im", TERNI_IN(v, terni_onnx_ints(g, image, 2), terni_onnx_ints(g, kernel, 2)),
                             TERNI_WITH(TERNI_A_INTS("strides", stride, 2), TERNI_A_INTS("dilations", dilation, 2),
                                        TERNI_A_INTS("pads", pads, 4))));
}

/* ---- normalisation ----------------------------------------------------------------------------------------------- */

static bool softmax(terni_onnx *g, const terni_step *s) {
    const char *name = strcmp(s->op->op, "softmax") == 0 ? "Softmax" : "LogSoftmax";
    if (tern_ndim(s->op->in[0]) == 0) return terni_onnx_refuse(s, "ONNX has none of a scalar");
    return out(
        g, s,
        terni_onnx_op(g, name, TERNI_IN(in(g, s, 0)), TERNI_WITH(TERNI_A_INT("axis", terni_onnx_setting(s, "dim")))));
}

static tern_shape last_dims(const tern_tensor *x, int n) {
    tern_shape s = {.ndim = n};
    for (int i = 0; i < n; i++) s.dim[i] = tern_size(x, i - n);
    return s;
}

static bool layer_norm(terni_onnx *g, const terni_step *s) {
    const int n = (int)terni_onnx_setting(s, "normalized");
    const tern_shape shape = last_dims(s->op->in[0], n);
    terni_value w = weight(g, s, 1, shape, 1);
    terni_value b = s->op->in[2] ? weight(g, s, 2, shape, 0) : "";
    return out(
        g, s,
        terni_onnx_op(g, "LayerNormalization", TERNI_IN(in(g, s, 0), w, b),
                      TERNI_WITH(TERNI_A_INT("axis", -n), TERNI_A_FLOAT("epsilon", tern_traced_number(s->op, "eps")))));
}

/* x / sqrt(mean(x^2) + eps) weight */
static bool rms_norm(terni_onnx *g, const terni_step *s) {
    const int n = (int)terni_onnx_setting(s, "normalized");
    int64_t dims[TERN_MAX_DIMS];
    for (int i = 0; i < n; i++) dims[i] = i - n;
    terni_value x = in(g, s, 0);
    terni_value mean = terni_onnx_op(g, "ReduceMean", TERNI_IN(op2(g, "Mul", x, x), terni_onnx_ints(g, dims, n)),
                                     TERNI_WITH(TERNI_A_INT("keepdims", 1)));
    mean = op2(g, "Add", mean, terni_onnx_number(g, dtype_of(s), tern_traced_number(s->op, "eps")));
    terni_value v = op2(g, "Div", x, terni_onnx_op(g, "Sqrt", TERNI_IN(mean), TERNI_PLAIN));
    if (s->op->in[1]) v = op2(g, "Mul", v, weight(g, s, 1, last_dims(s->op->in[0], n), 1));
    return out(g, s, v);
}

/* [C] beside [N, C, ...]. */
static terni_value per_channel(terni_onnx *g, const terni_step *s, int i) {
    int64_t shape[TERN_MAX_DIMS];
    const int n = tern_ndim(s->op->in[0]) - 1;
    const tern_shape own = TERN_SHAPE(tern_size(s->op->in[0], 1));
    for (int d = 0; d < n; d++) shape[d] = d ? 1 : own.dim[0];
    return op2(g, "Reshape", weight(g, s, i, own, 0), terni_onnx_ints(g, shape, n));
}

/* By ONNX's instance normalisation of [N, groups, the rest]. */
static bool group_norm(terni_onnx *g, const terni_step *s) {
    const int64_t groups = terni_onnx_setting(s, "groups"), flat[3] = {0, groups, -1};
    const tern_shape one = TERN_SHAPE(groups);
    terni_value v = op2(g, "Reshape", in(g, s, 0), terni_onnx_ints(g, flat, 3));
    v = terni_onnx_op(g, "InstanceNormalization",
                      TERNI_IN(v, filled(g, one, dtype_of(s), 1), filled(g, one, dtype_of(s), 0)),
                      TERNI_WITH(TERNI_A_FLOAT("epsilon", tern_traced_number(s->op, "eps"))));
    v = terni_onnx_reshape(g, s, v, s->op->out[0], s->other ? s->other->out[0] : NULL);
    if (s->op->in[1]) v = op2(g, "Mul", v, per_channel(g, s, 1));
    if (s->op->in[2]) v = op2(g, "Add", v, per_channel(g, s, 2));
    return out(g, s, v);
}

/* By the batch's own statistics, where a layer keeps no others. */
static bool batch_norm_batch(terni_onnx *g, const terni_step *s) {
    int64_t dims[TERN_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < tern_ndim(s->op->in[0]); d++)
        if (d != 1) dims[n++] = d;
    if (s->op->in[3] || s->op->in[4]) return terni_onnx_refuse(s, "batch normalisation in training mode");
    const terni_attribute kept = TERNI_A_INT("keepdims", 1);
    terni_value x = in(g, s, 0), axes = terni_onnx_ints(g, dims, n);
    terni_value v = op2(g, "Sub", x, terni_onnx_op(g, "ReduceMean", TERNI_IN(x, axes), &kept, 1));
    terni_value var = terni_onnx_op(g, "ReduceMean", TERNI_IN(op2(g, "Mul", v, v), axes), &kept, 1);
    var = op2(g, "Add", var, terni_onnx_number(g, dtype_of(s), tern_traced_number(s->op, "eps")));
    v = op2(g, "Div", v, terni_onnx_op(g, "Sqrt", TERNI_IN(var), TERNI_PLAIN));
    if (s->op->in[1]) v = op2(g, "Mul", v, per_channel(g, s, 1));
    if (s->op->in[2]) v = op2(g, "Add", v, per_channel(g, s, 2));
    return out(g, s, v);
}

static bool batch_norm(terni_onnx *g, const terni_step *s) {
    const tern_shape c = TERN_SHAPE(tern_size(s->op->in[0], 1));
    return out(g, s,
               terni_onnx_op(g, "BatchNormalization",
                             TERNI_IN(in(g, s, 0), weight(g, s, 1, c, 1), weight(g, s, 2, c, 0), weight(g, s, 3, c, 0),
                                      weight(g, s, 4, c, 1)),
                             TERNI_WITH(TERNI_A_FLOAT("epsilon", tern_traced_number(s->op, "eps")))));
}

/* ---- attention ----------------------------------------------------------------------------------------------------
 */

/* Heads of k or v, once for each head of q that shares them. */
static terni_value spread_heads(terni_onnx *g, const terni_step *s, int i) {
    tern_tensor *q = s->op->in[0], *t = s->op->in[i];
    const int n = tern_ndim(t);
    terni_value v = in(g, s, i);
    const int64_t heads = n > 2 ? tern_size(q, -3) : 1, shared = n > 2 ? tern_size(t, -3) : 1;
    if (heads == shared || shared == 0) return v;
    tern_tensor *index = tern_empty(TERN_SHAPE(heads), (tern_options){.dtype = TERN_I64});
    int64_t *at = tern_data(index);
    for (int64_t h = 0; at && h < heads; h++) at[h] = h / (heads / shared);
    return terni_onnx_op(g, "Gather", TERNI_IN(v, index ? terni_onnx_constant(g, index) : NULL),
                         TERNI_WITH(TERNI_A_INT("axis", n - 3)));
}

/* v where mask, else the number. */
static terni_value masked(terni_onnx *g, const terni_step *s, terni_value mask, terni_value v, double otherwise) {
    return terni_onnx_op(g, "Where", TERNI_IN(mask, v, terni_onnx_number(g, dtype_of(s), otherwise)), TERNI_PLAIN);
}

static bool attention(terni_onnx *g, const terni_step *s) {
    const int n = tern_ndim(s->op->in[1]);
    const tern_dtype dtype = dtype_of(s);
    tern_tensor *mask = s->op->n_in > 3 ? s->op->in[3] : NULL;
    int64_t order[TERN_MAX_DIMS];
    for (int i = 0; i < n; i++) order[i] = i < n - 2 ? i : 2 * n - 3 - i;
    terni_value k =
        terni_onnx_op(g, "Transpose", TERNI_IN(spread_heads(g, s, 1)), TERNI_WITH(TERNI_A_INTS("perm", order, n)));
    terni_value q = op2(g, "Mul", in(g, s, 0), terni_onnx_number(g, dtype, tern_traced_number(s->op, "scale")));
    terni_value v = op2(g, "MatMul", q, k);
    if (terni_onnx_setting(s, "causal")) {
        const tern_options bools = {.dtype = TERN_BOOL};
        tern_tensor *sees =
            tern_tril(tern_ones(TERN_SHAPE(tern_size(s->op->in[0], -2), tern_size(s->op->in[1], -2)), bools), 0);
        v = masked(g, s, sees ? terni_onnx_constant(g, sees) : NULL, v, -(double)INFINITY);
    }
    terni_value live = NULL;
    if (mask) { /* rows without a key give 0 */
        static const int64_t last = -1;
        v = tern_dtype_of(mask) == TERN_BOOL
                ? masked(g, s, in(g, s, 3), v, -(double)INFINITY)
                : op2(g, "Add", v, terni_onnx_cast(g, in(g, s, 3), tern_dtype_of(mask), dtype));
        terni_value most = terni_onnx_op(g, "ReduceMax", TERNI_IN(v, terni_onnx_ints(g, &last, 1)),
                                         TERNI_WITH(TERNI_A_INT("keepdims", 1)));
        live = op2(g, "Equal", most, terni_onnx_number(g, dtype, -(double)INFINITY));
        live = terni_onnx_op(g, "Not", TERNI_IN(live), TERNI_PLAIN);
    }
    v = terni_onnx_op(g, "Softmax", TERNI_IN(v), TERNI_WITH(TERNI_A_INT("axis", -1)));
    if (mask) v = masked(g, s, live, v, 0);
    return out(g, s, op2(g, "MatMul", v, spread_heads(g, s, 2)));
}

/* Elements from, from + step, ... below to of the last dimension. */
static terni_value part(terni_onnx *g, terni_value x, int64_t from, int64_t to, int64_t step) {
    static const int64_t last = -1;
    return terni_onnx_op(g, "Slice",
                         TERNI_IN(x, terni_onnx_ints(g, &from, 1), terni_onnx_ints(g, &to, 1),
                                  terni_onnx_ints(g, &last, 1), terni_onnx_ints(g, &step, 1)),
                         TERNI_PLAIN);
}

static bool rotary(terni_onnx *g, const terni_step *s) {
    tern_tensor *x = s->op->in[0];
    const int64_t r = tern_size(s->op->in[1], -1), e = tern_size(x, -1);
    const bool beside = terni_onnx_setting(s, "interleaved") != 0;
    terni_value v = in(g, s, 0), c = in(g, s, 1), sn = in(g, s, 2);
    if (terni_onnx_setting(s, "inverse")) sn = terni_onnx_op(g, "Neg", TERNI_IN(sn), TERNI_PLAIN);
    terni_value a = beside ? part(g, v, 0, 2 * r, 2) : part(g, v, 0, r, 1);
    terni_value b = beside ? part(g, v, 1, 2 * r, 2) : part(g, v, r, 2 * r, 1);
    terni_value first = op2(g, "Sub", op2(g, "Mul", a, c), op2(g, "Mul", b, sn));
    terni_value second = op2(g, "Add", op2(g, "Mul", b, c), op2(g, "Mul", a, sn));
    if (beside) {
        static const int64_t last = -1;
        int64_t shape[TERN_MAX_DIMS];
        const int n = tern_ndim(x);
        for (int i = 0; i < n; i++) shape[i] = i < n - 1 ? 0 : 2 * r;
        terni_value axis = terni_onnx_ints(g, &last, 1);
        first =
            terni_onnx_op(g, "Concat", TERNI_IN(op2(g, "Unsqueeze", first, axis), op2(g, "Unsqueeze", second, axis)),
                          TERNI_WITH(TERNI_A_INT("axis", -1)));
        first = op2(g, "Reshape", first, terni_onnx_ints(g, shape, n));
    } else {
        first = terni_onnx_op(g, "Concat", TERNI_IN(first, second), TERNI_WITH(TERNI_A_INT("axis", -1)));
    }
    if (e > 2 * r)
        first =
            terni_onnx_op(g, "Concat", TERNI_IN(first, part(g, v, 2 * r, e, 1)), TERNI_WITH(TERNI_A_INT("axis", -1)));
    return out(g, s, first);
}

terni_onnx_row terni_onnx_layers(const char *op) {
    static const struct {
        const char *op;
        terni_onnx_row row;
    } rows[] = {
        {"matmul", matmul},
        {"linear", linear},
        {"conv", conv},
        {"conv_transpose", conv_transpose},
        {"max_pool", max_pool},
        {"avg_pool", avg_pool},
        {"im2col", im2col},
        {"col2im", col2im},
        {"softmax", softmax},
        {"log_softmax", softmax},
        {"layer_norm", layer_norm},
        {"rms_norm", rms_norm},
        {"group_norm", group_norm},
        {"batch_norm", batch_norm_batch},
        {"batch_norm_eval", batch_norm},
        {"scaled_dot_product_attention", attention},
        {"rotary", rotary},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].op, op) == 0) return rows[i].row;
    return NULL;
}
