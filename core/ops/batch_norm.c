/* batch_norm: a fused kernel for training, public ops for evaluation, where it is a scale and a shift. */
#include "ops/geometry.h"
#include "trace_fields.h"
#include "ops/normalise.h"

static const char op_name[] = "batch_norm";

/* x [N, C, ...] as [N, C, I]. */
static terni_view as3(const tern_tensor *x) {
    const int64_t n = x->v.shape[0], c = x->v.shape[1];
    return terni_view3(x, n, c, n && c ? x->numel / (n * c) : 0);
}

static const terni_view *view_or_null(const tern_tensor *t) { return t ? &t->v : NULL; }

/* in: x, weight, bias, running mean, running variance; the last two are changed. */
static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    tern_tensor *d[5], *x = in[0];
    for (int i = 0; i < 5; i++) {
        d[i] = in[i] ? terni_dense(in[i]) : NULL;
        if (in[i] && !d[i]) return false;
    }
    const tern_shape c = {1, {x->v.shape[1]}};
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x));
    tern_tensor *y = terni_new(terni_shape(x), terni_dtype(x), x->device);
    tern_tensor *mean = terni_new(c, acc, x->device), *rstd = terni_new(c, acc, x->device);
    if (!y || !mean || !rstd) return false;
    const terni_view x3 = as3(d[0]), y3 = as3(y);
    const terni_view *vi[3] = {&x3, view_or_null(d[1]), view_or_null(d[2])};
    const terni_view *vo[5] = {&y3, &mean->v, &rstd->v, view_or_null(d[3]), view_or_null(d[4])};
    if (!terni_run_views(TERNI_OP_batch_norm, x->device, vi, 3, vo, 5, tern_ctx_opts(ctx))) return false;
    for (int i = 3; i < 5; i++) {
        tern_tensor *target = in[i];
        if (!target) continue;
        if (d[i] != target && !terni_run(TERNI_OP_copy, &d[i], 1, &target, 1, NULL)) return false;
        tern_touch(target);
    }
    out[0] = y;
    return tern_ctx_save(ctx, x) && tern_ctx_save(ctx, in[1]) && tern_ctx_save(ctx, mean) && tern_ctx_save(ctx, rstd);
}

static bool fused(tern_ctx *ctx, tern_tensor *gy, tern_tensor *x, tern_tensor *weight, tern_tensor **grad_in) {
    tern_tensor *mean = tern_ctx_saved(ctx, 2), *rstd = tern_ctx_saved(ctx, 3);
    tern_tensor *dgy = terni_dense(gy), *dx = terni_dense(x), *dw = weight ? terni_dense(weight) : NULL;
    if (!mean || !rstd || !dgy || !dx || (weight && !dw)) return false;
    for (int i = 0; i < 3; i++)
        if (tern_ctx_needs(ctx, i) &&
            !(grad_in[i] = terni_new(tern_ctx_shape(ctx, i), tern_ctx_dtype(ctx, i), x->device)))
            return false;
    const terni_view gy3 = as3(dgy), x3 = as3(dx);
    terni_view gx3;
    if (grad_in[0]) gx3 = as3(grad_in[0]);
    const terni_view *vi[5] = {&gy3, &x3, view_or_null(dw), &mean->v, &rstd->v};
    const terni_view *vo[3] = {grad_in[0] ? &gx3 : NULL, view_or_null(grad_in[1]), view_or_null(grad_in[2])};
    return terni_run_views(TERNI_OP_batch_norm_grad, x->device, vi, 5, vo, 3, tern_ctx_opts(ctx));
}

/* [C] as a tensor that broadcasts to x, and the dimensions besides C. */
static tern_shape channel_shape(const tern_tensor *x) {
    tern_shape s = {x->v.ndim, {0}};
    for (int i = 0; i < s.ndim; i++) s.dim[i] = i == 1 ? x->v.shape[1] : 1;
    return s;
}
static tern_tensor *per_channel(tern_tensor *t, const tern_tensor *x) {
    return t ? tern_reshape(t, channel_shape(x)) : NULL;
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *weight = tern_ctx_saved(ctx, 1);
    if (!x || !tern_ok()) return false;
    if (!terni_recording()) return fused(ctx, grad[0], x, weight, grad_in);
    int dims[TERN_MAX_DIMS], n = 0;
    for (int i = 0; i < x->v.ndim; i++)
        if (i != 1) dims[n++] = i;
    const bool needs[3] = {tern_ctx_needs(ctx, 0), tern_ctx_needs(ctx, 1), tern_ctx_needs(ctx, 2)};
    const terni_norm_grads g = {.gx = needs[0] ? &grad_in[0] : NULL,
                                .gweight = needs[1] ? &grad_in[1] : NULL,
                                .gbias = needs[2] ? &grad_in[2] : NULL,
                                .shape = channel_shape(x),
                                .dtype = tern_ctx_dtype(ctx, needs[1]   ? 1
                                                             : needs[2] ? 2
                                                                        : 0)};
    const terni_batch_norm_opts *o = tern_ctx_opts(ctx);
    if (!terni_norm_backward(grad[0], x, per_channel(weight, x), dims, n, o->eps, &g)) return false;
    for (int i = 1; i < 3; i++)
        if (needs[i] && !(grad_in[i] = tern_reshape(grad_in[i], tern_ctx_shape(ctx, i)))) return false;
    return true;
}

static const tern_function function = {"batch_norm", 1, sizeof(terni_batch_norm_opts), forward, backward, NULL};
/* In evaluation it is made of others, but traces list it whole. */
static const tern_function evaluation = {"batch_norm_eval", 1, sizeof(terni_batch_norm_opts), NULL, NULL, NULL};
TERNI_TRACED(batch_norm, function, TERNI_FIELD(terni_batch_norm_opts, "eps", eps));
TERNI_TRACED(batch_norm_eval, evaluation, TERNI_FIELD(terni_batch_norm_opts, "eps", eps));

/* (x - mean) (weight / sqrt(var + eps)) + bias */
static tern_tensor *evaluate(tern_tensor *const *in, double eps) {
    tern_tensor *x = in[0];
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x));
    tern_tensor *scale = tern_rsqrt(tern_add_scalar(tern_cast(in[4], acc), eps));
    if (in[1]) scale = tern_mul(scale, tern_cast(in[1], acc));
    tern_tensor *centred = tern_sub(tern_cast(x, acc), per_channel(tern_cast(in[3], acc), x));
    tern_tensor *y = tern_mul(centred, per_channel(scale, x));
    if (in[2]) y = tern_add(y, per_channel(tern_cast(in[2], acc), x));
    return tern_cast(y, terni_dtype(x));
}

static bool check(tern_tensor *const *in, bool training) {
    static const char *const names[5] = {"x", "weight", "bias", "running_mean", "running_var"};
    const tern_tensor *x = in[0];
    if (x->v.ndim < 2)
        return terni_fail(TERN_ERR_SHAPE, "batch_norm: x %s has %d dimensions, expected [N, C, ...]",
                          terni_shape_str(terni_shape(x)), (int)x->v.ndim);
    const int64_t c = x->v.shape[1];
    for (int i = 1; i < 5; i++)
        if (in[i] && (in[i]->v.ndim != 1 || in[i]->v.shape[0] != c))
            return terni_fail(TERN_ERR_SHAPE, "batch_norm: %s %s, expected [%lld] for x %s", names[i],
                              terni_shape_str(terni_shape(in[i])), (long long)c, terni_shape_str(terni_shape(x)));
    if (!in[3] != !in[4])
        return terni_fail(TERN_ERR_ARGUMENT, "batch_norm: running_mean and running_var come both or not at all");
    if (!training && !in[3])
        return terni_fail(TERN_ERR_ARGUMENT, "batch_norm: evaluation needs running_mean and running_var");
    if (training && c > 0 && x->numel / c < 2)
        return terni_fail(TERN_ERR_SHAPE, "batch_norm: x %s has fewer than two values in each channel, so no variance",
                          terni_shape_str(terni_shape(x)));
    return true;
}

tern_tensor *tern_batch_norm(tern_tensor *x, tern_tensor *weight, tern_tensor *bias, tern_tensor *running_mean,
                             tern_tensor *running_var, tern_batch_norm_opts opts) {
    tern_tensor *in[5] = {x, weight, bias, running_mean, running_var}, *out[1];
    tern_device device;
    if (!terni_given(x, op_name, "x") || !terni_same_device(op_name, in, 5, &device) ||
        !terni_norm_dtypes(op_name, x, in + 1, 4) || !check(in, opts.training))
        return NULL;
    if (!(opts.momentum >= 0 && opts.momentum <= 1) || !(opts.eps >= 0))
        return terni_null(TERN_ERR_ARGUMENT, "batch_norm: momentum %g and eps %g, expected [0, 1] and 0 or more",
                          opts.momentum, opts.eps);
    const terni_batch_norm_opts o = {.momentum = opts.momentum != 0.0 ? opts.momentum : 0.1,
                                     .eps = opts.eps != 0.0 ? opts.eps : 1e-5};
    if (!opts.training) {
        const int scope = tern_scope_push();
        if (terni_tracing()) terni_trace_enter();
        out[0] = evaluate(in, o.eps);
        if (terni_tracing()) {
            terni_trace_leave();
            if (out[0] && !terni_trace_function(&evaluation, &o, in, 5, out)) out[0] = NULL;
        }
        return tern_scope_return(scope, out[0]);
    }
    for (int i = 3; i < 5; i++)
        if (in[i] && !terni_in_place_ok(op_name, in[i], NULL)) return NULL;
    return tern_apply(&function, in, 5, &o, out) ? out[0] : NULL;
}
