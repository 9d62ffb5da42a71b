#include "casting.h"
#include "ops/geometry.h"
#include "ops/nll_loss.h"
#include "ops/normalise.h"

typedef terni_cross_entropy_opts options;

enum { ALWAYS_IGNORED = -100 };

/* Sizes of logits [N, C, ...]. */
typedef struct sizes {
    int64_t n, c, i;
} sizes;

static sizes sizes_of(tern_shape s) {
    sizes z = {s.dim[0], s.dim[1], 1};
    for (int d = 2; d < s.ndim; d++) z.i = s.dim[0] ? z.i * s.dim[d] : 0;
    return z;
}

static terni_view view2(const tern_tensor *t, int64_t a, int64_t b) {
    const terni_view v = {.data = t->v.data, .shape = {a, b}, .strides = {b, 1}, .ndim = 2, .dtype = t->v.dtype};
    return v;
}

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* logits, target */
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]), *target = terni_dense(in[1]);
    if (!x || !target) return false;
    const bool none = o->reduction == TERN_REDUCE_NONE;
    const sizes z = sizes_of(terni_shape(x));
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x));
    tern_tensor *loss = terni_new(none ? terni_shape(target) : tern_shape_scalar(), terni_dtype(x), x->device);
    tern_tensor *lse = terni_new(TERN_SHAPE(z.n, z.i), acc, x->device);
    tern_tensor *count = terni_new(tern_shape_scalar(), acc, x->device);
    if (!loss || !lse || !count) return false;
    const terni_view x3 = terni_view3(x, z.n, z.c, z.i), t2 = view2(target, z.n, z.i);
    const terni_view loss2 = none ? view2(loss, z.n, z.i) : loss->v;
    const terni_view *vi[2] = {&x3, &t2}, *vo[3] = {&loss2, &lse->v, &count->v};
    out[0] = loss;
    return terni_run_views(TERNI_OP_cross_entropy, x->device, vi, 2, vo, 3, o) && tern_ctx_save(ctx, in[0]) &&
           tern_ctx_save(ctx, in[1]) && tern_ctx_save(ctx, lse) && tern_ctx_save(ctx, count);
}

static bool fused(tern_ctx *ctx, tern_tensor *gloss, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *logits = tern_ctx_saved(ctx, 0), *target = tern_ctx_saved(ctx, 1);
    tern_tensor *lse = tern_ctx_saved(ctx, 2), *count = tern_ctx_saved(ctx, 3);
    if (!logits || !target || !lse || !count) return false;
    tern_tensor *g = terni_dense(gloss), *x = terni_dense(logits), *t = terni_dense(target);
    if (!g || !x || !t) return false;
    grad_in[0] = terni_new(terni_shape(x), terni_dtype(x), x->device);
    if (!grad_in[0]) return false;
    const sizes z = sizes_of(terni_shape(x));
    const terni_view g2 = o->reduction == TERN_REDUCE_NONE ? view2(g, z.n, z.i) : g->v;
    const terni_view x3 = terni_view3(x, z.n, z.c, z.i), gx3 = terni_view3(grad_in[0], z.n, z.c, z.i);
    const terni_view t2 = view2(t, z.n, z.i);
    const terni_view *vi[5] = {&g2, &x3, &t2, &lse->v, &count->v}, *vo[1] = {&gx3};
    return terni_run_views(TERNI_OP_cross_entropy_grad, x->device, vi, 5, vo, 1, o);
}

/* yes where target counts, else no. */
static tern_tensor *where_counted(const options *o, tern_tensor *target, tern_tensor *yes, tern_tensor *no) {
    if (!target) return NULL;
    const tern_options like = {.dtype = terni_dtype(target), .device = target->device};
    tern_tensor *t = tern_where(tern_ne(target, tern_scalar(ALWAYS_IGNORED, like)), yes, no);
    if (o->ignore_index == ALWAYS_IGNORED) return t;
    tern_tensor *index = tern_from(&o->ignore_index, tern_shape_scalar(), (tern_options){.dtype = TERN_I64});
    return tern_where(tern_ne(target, index), t, no);
}

/* glogits = (softmax - wanted) gloss / count, where wanted = (1 - s) [class is target] + s / C: the same as the fused
 * kernel's, in public ops. */
static bool composed(tern_ctx *ctx, tern_tensor *gloss, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *logits = tern_ctx_saved(ctx, 0), *target = tern_ctx_saved(ctx, 1), *count = tern_ctx_saved(ctx, 3);
    if (!logits || !target || !count) return false;
    const sizes z = sizes_of(terni_shape(logits));
    const tern_dtype acc = terni_acc_dtype(terni_dtype(logits));
    const tern_options like = {.dtype = acc, .device = logits->device};
    const tern_options whole = {.dtype = terni_dtype(target), .device = target->device};
    const tern_shape full = TERN_SHAPE(z.n, z.c, z.i), one = TERN_SHAPE(z.n, 1, z.i);
    tern_tensor *t = tern_reshape(target, one);
    tern_tensor *safe = where_counted(o, t, t, tern_scalar(0, whole));
    tern_tensor *wanted = tern_scatter_add(tern_full(full, o->label_smoothing / (double)z.c, like), 1, safe,
                                           tern_full(one, 1 - o->label_smoothing, like));
    tern_tensor *g = tern_cast(gloss, acc);
    if (o->reduction == TERN_REDUCE_MEAN) g = tern_div(g, count);
    if (o->reduction == TERN_REDUCE_NONE) g = tern_reshape(g, one);
    g = where_counted(o, t, g, tern_scalar(0, like));
    tern_tensor *p = tern_softmax(tern_cast(tern_reshape(logits, full), acc), 1);
    tern_tensor *gx = tern_mul(tern_sub(p, wanted), g);
    grad_in[0] = tern_cast(tern_reshape(gx, terni_shape(logits)), terni_dtype(logits));
    return grad_in[0] != NULL;
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return terni_recording() ? composed(ctx, grad[0], grad_in) : fused(ctx, grad[0], grad_in);
}

static const tern_function function = {"cross_entropy", 1, sizeof(options), forward, backward, NULL};

static bool check(tern_tensor *logits, tern_tensor *target) {
    const tern_shape x = terni_shape(logits), t = terni_shape(target);
    if (x.ndim < 2)
        return terni_fail(TERN_ERR_SHAPE, "cross_entropy: logits %s, expected [N, C, ...]", terni_shape_str(x));
    tern_shape want = {x.ndim - 1, {x.dim[0]}};
    for (int d = 2; d < x.ndim; d++) want.dim[d - 1] = x.dim[d];
    if (!tern_shape_equal(t, want))
        return terni_fail(TERN_ERR_SHAPE, "cross_entropy: target %s, expected %s for logits %s", terni_shape_str(t),
                          terni_shape_str(want), terni_shape_str(x));
    const tern_dtype d = terni_dtype(target);
    if (d != TERN_I64 && d != TERN_I32)
        return terni_fail(TERN_ERR_DTYPE, "cross_entropy: target %s, expected class numbers of dtype i64 or i32",
                          terni_describe(target));
    return true;
}

/* Probabilities: floats of logits' shape. */
static bool check_probabilities(tern_tensor *logits, tern_tensor *target) {
    if (tern_shape_equal(terni_shape(logits), terni_shape(target))) return true;
    return terni_fail(TERN_ERR_DTYPE,
                      "cross_entropy: target %s, expected class numbers of dtype i64 or i32, or probabilities %s",
                      terni_describe(target), terni_shape_str(terni_shape(logits)));
}

tern_tensor *tern_cross_entropy(tern_tensor *logits, tern_tensor *target, tern_cross_entropy_opts opts) {
    TERNI_NAMED("cross_entropy");
    TERNI_AUTOCAST(F32, &logits, &target, &opts.weight);
    static const char op[] = "cross_entropy";
    tern_tensor *in[3] = {logits, target, opts.weight}, *out[1];
    terni_loss l = {op, opts.reduction, TERN_F32};
    if (!terni_given(logits, op, "logits") || !terni_given(target, op, "target") || !terni_loss_of(&l, logits) ||
        !terni_same_device(op, in, 3, NULL))
        return NULL;
    if (!(opts.label_smoothing >= 0 && opts.label_smoothing <= 1))
        return terni_null(TERN_ERR_ARGUMENT, "cross_entropy: label_smoothing %g, expected [0, 1]",
                          opts.label_smoothing);
    const bool probabilities = tern_dtype_is_float(terni_dtype(target)), row = logits->v.ndim == 1;
    if (probabilities ? !check_probabilities(logits, target) : !row && !check(logits, target)) return NULL;
    if (row && !probabilities && !terni_class_target(op, target)) return NULL;
    if (probabilities && logits->v.ndim < 1)
        return terni_null(TERN_ERR_SHAPE, "cross_entropy: logits [], expected [N, C, ...]");
    if (opts.weight || probabilities || row) return terni_cross_entropy_of(&l, logits, target, opts);
    const options o = {.reduction = (int32_t)opts.reduction,
                       .label_smoothing = opts.label_smoothing,
                       .ignore_index = opts.has_ignore_index ? opts.ignore_index : ALWAYS_IGNORED};
    return tern_apply(&function, in, 2, &o, out) ? out[0] : NULL;
}
