/* group_norm; and instance_norm, which is group_norm with a group for each channel, or batch_norm's evaluation. */
#include "casting.h"
#include "ops/geometry.h"
#include "trace_fields.h"
#include "ops/normalise.h"

/* x as [N, C, I]. */
static terni_view as3(const tern_tensor *x) {
    const int64_t n = x->v.shape[0], c = x->v.shape[1], i = n && c ? x->numel / n / c : 0;
    const terni_view v = {
        .data = x->v.data, .shape = {n, c, i}, .strides = {c * i, i, 1}, .ndim = 3, .dtype = x->v.dtype};
    return v;
}

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* x, weight, bias */
    (void)n;
    const terni_group_norm_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]), *w = in[1] ? terni_dense(in[1]) : NULL, *b = in[2] ? terni_dense(in[2]) : NULL;
    if (!x || (in[1] && !w) || (in[2] && !b)) return false;
    const terni_view x3 = as3(x);
    const tern_shape groups = {1, {x3.shape[0] * o->groups}};
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x));
    tern_tensor *y = terni_new(terni_shape(x), terni_dtype(x), x->device);
    tern_tensor *mean = terni_new(groups, acc, x->device), *rstd = terni_new(groups, acc, x->device);
    if (!y || !mean || !rstd) return false;
    const terni_view y3 = as3(y);
    const terni_view *vi[3] = {&x3, w ? &w->v : NULL, b ? &b->v : NULL}, *vo[3] = {&y3, &mean->v, &rstd->v};
    out[0] = y;
    return terni_run_views(TERNI_OP_group_norm, x->device, vi, 3, vo, 3, o) && tern_ctx_save(ctx, in[0]) &&
           tern_ctx_save(ctx, in[1]) && tern_ctx_save(ctx, mean) && tern_ctx_save(ctx, rstd);
}

static bool fused(tern_ctx *ctx, tern_tensor *gy, tern_tensor *x, tern_tensor *weight, tern_tensor **grad_in) {
    tern_tensor *mean = tern_ctx_saved(ctx, 2), *rstd = tern_ctx_saved(ctx, 3);
    tern_tensor *dgy = terni_dense(gy), *dx = terni_dense(x), *dw = weight ? terni_dense(weight) : NULL;
    if (!mean || !rstd || !dgy || !dx || (weight && !dw)) return false;
    const terni_view gy3 = as3(dgy), x3 = as3(dx);
    terni_view g[3];
    const terni_view *vo[3] = {NULL, NULL, NULL};
    for (int i = 0; i < 3; i++) {
        if (!tern_ctx_needs(ctx, i)) continue;
        grad_in[i] = terni_new(tern_ctx_shape(ctx, i), tern_ctx_dtype(ctx, i), x->device);
        if (!grad_in[i]) return false;
        g[i] = i ? grad_in[i]->v : as3(grad_in[i]);
        vo[i] = &g[i];
    }
    const terni_view *vi[5] = {&gy3, &x3, dw ? &dw->v : NULL, &mean->v, &rstd->v};
    return terni_run_views(TERNI_OP_group_norm_grad, x->device, vi, 5, vo, 3, tern_ctx_opts(ctx));
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *weight = tern_ctx_saved(ctx, 1);
    if (!x || !tern_ok()) return false;
    if (!terni_recording()) return fused(ctx, grad[0], x, weight, grad_in);
    const terni_group_norm_opts *o = tern_ctx_opts(ctx);
    const terni_view v = as3(x);
    const int64_t d = v.shape[1] / o->groups;
    const tern_shape split = TERN_SHAPE(v.shape[0], o->groups, d, v.shape[2]), channels = TERN_SHAPE(o->groups, d, 1);
    const bool needs[3] = {tern_ctx_needs(ctx, 0), tern_ctx_needs(ctx, 1), tern_ctx_needs(ctx, 2)};
    const terni_norm_grads g = {.gx = needs[0] ? &grad_in[0] : NULL,
                                .gweight = needs[1] ? &grad_in[1] : NULL,
                                .gbias = needs[2] ? &grad_in[2] : NULL,
                                .shape = channels,
                                .dtype = tern_ctx_dtype(ctx, needs[1]   ? 1
                                                             : needs[2] ? 2
                                                                        : 0)};
    if (!terni_norm_backward(tern_reshape(grad[0], split), tern_reshape(x, split),
                             weight ? tern_reshape(weight, channels) : NULL, (const int[]){2, 3}, 2, o->eps, &g))
        return false;
    for (int i = 0; i < 3; i++)
        if (needs[i] && !(grad_in[i] = tern_reshape(grad_in[i], tern_ctx_shape(ctx, i)))) return false;
    return true;
}

static const tern_function function = {"group_norm", 1, sizeof(terni_group_norm_opts), forward, backward, NULL};
TERNI_TRACED(group_norm, function, TERNI_FIELD(terni_group_norm_opts, "eps", eps),
             TERNI_FIELD(terni_group_norm_opts, "groups", groups));

/* t [n] are NULL or [C] of x [N, C, ...]. */
static bool check(const char *op, tern_tensor *const *in, int n, int least) {
    static const char *const names[5] = {"x", "weight", "bias", "running_mean", "running_var"};
    tern_device device;
    const tern_tensor *x = in[0];
    if (!terni_given(x, op, "x") || !terni_same_device(op, in, n, &device) || !terni_norm_dtypes(op, x, in + 1, n - 1))
        return false;
    if (x->v.ndim < least)
        return terni_fail(TERN_ERR_SHAPE, "%s: x %s has %d dimensions, expected [N, C, ...] with %d or more", op,
                          terni_shape_str(terni_shape(x)), (int)x->v.ndim, least);
    for (int i = 1; i < n; i++)
        if (in[i] && (in[i]->v.ndim != 1 || in[i]->v.shape[0] != x->v.shape[1]))
            return terni_fail(TERN_ERR_SHAPE, "%s: %s %s, expected [%lld] for x %s", op, names[i],
                              terni_shape_str(terni_shape(in[i])), (long long)x->v.shape[1],
                              terni_shape_str(terni_shape(x)));
    return true;
}

tern_tensor *tern_group_norm(tern_tensor *x, int64_t groups, tern_tensor *weight, tern_tensor *bias, double eps) {
    TERNI_AUTOCAST(F32, &x, &weight, &bias);
    tern_tensor *in[3] = {x, weight, bias}, *out[1];
    if (!check("group_norm", in, 3, 2)) return NULL;
    if (groups < 1 || x->v.shape[1] % groups)
        return terni_null(TERN_ERR_ARGUMENT, "group_norm: %lld groups for the channels of x %s", (long long)groups,
                          terni_shape_str(terni_shape(x)));
    if (!(eps >= 0)) return terni_null(TERN_ERR_ARGUMENT, "group_norm: eps %g, expected 0 or more", eps);
    const terni_group_norm_opts o = {.eps = eps != 0.0 ? eps : 1e-5, .groups = groups};
    return tern_apply(&function, in, 3, &o, out) ? out[0] : NULL;
}

/* running = (1 - momentum) running + momentum (mean over the samples of each one's statistic). */
static bool follow(tern_tensor *x, tern_tensor *mean, tern_tensor *var, double momentum) {
    const terni_view v = as3(x);
    const tern_dtype acc = terni_acc_dtype(terni_dtype(mean));
    const bool was = tern_grad_mode(false);
    tern_tensor *wide = tern_cast(tern_reshape(x, TERN_SHAPE(v.shape[0], v.shape[1], v.shape[2])), acc);
    tern_tensor *m = tern_mean(wide, (const int[]){2}, 1, true);
    tern_tensor *square = tern_mean(tern_square(tern_sub(wide, m)), (const int[]){0, 2}, 2, false);
    tern_tensor *now[2] = {tern_mean(m, (const int[]){0, 2}, 2, false),
                           tern_mul_scalar(square, (double)v.shape[2] / (double)(v.shape[2] - 1))};
    for (int i = 0; i < 2; i++) {
        tern_tensor *t = i ? var : mean;
        tern_copy_(t, tern_add(tern_mul_scalar(tern_cast(t, acc), 1 - momentum), tern_mul_scalar(now[i], momentum)));
    }
    tern_grad_mode(was);
    return tern_ok();
}

tern_tensor *tern_instance_norm(tern_tensor *x, tern_tensor *weight, tern_tensor *bias, tern_tensor *running_mean,
                                tern_tensor *running_var, tern_instance_norm_opts opts) {
    TERNI_AUTOCAST_NONE;
    static const char op[] = "instance_norm";
    TERNI_NAMED("instance_norm");
    tern_tensor *in[5] = {x, weight, bias, running_mean, running_var};
    if (!check(op, in, 5, 3)) return NULL;
    if (!running_mean != !running_var || (opts.use_running && !running_mean))
        return terni_null(TERN_ERR_ARGUMENT,
                          "instance_norm: running_mean and running_var come both or not at all, both to be used");
    if (!(opts.momentum >= 0 && opts.momentum <= 1) || !(opts.eps >= 0))
        return terni_null(TERN_ERR_ARGUMENT, "instance_norm: momentum %g and eps %g, expected [0, 1] and 0 or more",
                          opts.momentum, opts.eps);
    if (opts.use_running)
        return tern_batch_norm(x, weight, bias, running_mean, running_var, (tern_batch_norm_opts){.eps = opts.eps});
    const terni_view v = as3(x);
    if (v.shape[0] && v.shape[1] && v.shape[2] < 2)
        return terni_null(TERN_ERR_SHAPE, "instance_norm: x %s has fewer than two values in each channel",
                          terni_shape_str(terni_shape(x)));
    for (int i = 3; i < 5; i++)
        if (in[i] && !terni_in_place_ok(op, in[i], NULL)) return NULL;
    tern_tensor *y = v.shape[1] ? tern_group_norm(x, v.shape[1], weight, bias, opts.eps) : tern_clone(x);
    const int scope = tern_scope_push();
    const bool ok = !y || !running_mean || !x->numel ||
                    follow(x, running_mean, running_var, opts.momentum != 0.0 ? opts.momentum : 0.1);
    tern_scope_pop(scope);
    return ok ? y : NULL;
}
