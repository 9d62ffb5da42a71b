#include <float.h>

#include "casting.h"
#include "ops/geometry.h"
#include "trace_fields.h"
#include "ops/normalise.h"

static const char op_name[] = "rms_norm";

typedef struct options {
    terni_layer_norm_opts k;
    int n_dims;
} options;

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* x, weight */
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]), *w = in[1] ? terni_dense(in[1]) : NULL;
    if (!x || (in[1] && !w)) return false;
    const terni_view x2 = terni_norm_rows(x, o->n_dims);
    tern_tensor *y = terni_new(terni_shape(x), terni_dtype(x), x->device);
    tern_tensor *rstd = terni_new(TERN_SHAPE(x2.shape[0]), terni_acc_dtype(terni_dtype(x)), x->device);
    if (!y || !rstd) return false;
    terni_view y2 = x2, w1;
    y2.data = y->v.data;
    if (w) w1 = terni_norm_flat(w);
    const terni_view *vi[2] = {&x2, w ? &w1 : NULL}, *vo[2] = {&y2, &rstd->v};
    out[0] = y;
    return terni_run_views(TERNI_OP_rms_norm, x->device, vi, 2, vo, 2, &o->k) && tern_ctx_save(ctx, in[0]) &&
           tern_ctx_save(ctx, in[1]) && tern_ctx_save(ctx, rstd);
}

static bool fused(tern_ctx *ctx, tern_tensor *gy, tern_tensor *x, tern_tensor *weight, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *rstd = tern_ctx_saved(ctx, 2);
    tern_tensor *dgy = terni_dense(gy), *dx = terni_dense(x), *dw = weight ? terni_dense(weight) : NULL;
    if (!rstd || !dgy || !dx || (weight && !dw)) return false;
    const terni_view gy2 = terni_norm_rows(dgy, o->n_dims), x2 = terni_norm_rows(dx, o->n_dims);
    terni_view w1, g[2];
    const terni_view *vo[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        if (!tern_ctx_needs(ctx, i)) continue;
        grad_in[i] = terni_new(tern_ctx_shape(ctx, i), tern_ctx_dtype(ctx, i), x->device);
        if (!grad_in[i]) return false;
        g[i] = i ? terni_norm_flat(grad_in[i]) : terni_norm_rows(grad_in[i], o->n_dims);
        vo[i] = &g[i];
    }
    if (dw) w1 = terni_norm_flat(dw);
    const terni_view *vi[4] = {&gy2, &x2, dw ? &w1 : NULL, &rstd->v};
    return terni_run_views(TERNI_OP_rms_norm_grad, x->device, vi, 4, vo, 2, &o->k);
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *weight = tern_ctx_saved(ctx, 1);
    if (!x || !tern_ok()) return false;
    if (!terni_recording()) return fused(ctx, grad[0], x, weight, grad_in);
    const options *o = tern_ctx_opts(ctx);
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x));
    int dims[TERN_MAX_DIMS];
    for (int i = 0; i < o->n_dims; i++) dims[i] = x->v.ndim - o->n_dims + i;
    tern_tensor *gy = tern_cast(grad[0], acc), *wide = tern_cast(x, acc);
    tern_tensor *rstd = tern_rsqrt(tern_add_scalar(tern_mean(tern_square(wide), dims, o->n_dims, true), o->k.eps));
    tern_tensor *xhat = tern_mul(wide, rstd);
    if (tern_ctx_needs(ctx, 1))
        grad_in[1] = tern_cast(tern_sum_to(tern_mul(gy, xhat), tern_ctx_shape(ctx, 1)), tern_ctx_dtype(ctx, 1));
    if (tern_ctx_needs(ctx, 0)) {
        tern_tensor *g = weight ? tern_mul(gy, tern_cast(weight, acc)) : gy;
        tern_tensor *along = tern_mul(xhat, tern_mean(tern_mul(g, xhat), dims, o->n_dims, true));
        grad_in[0] = tern_cast(tern_mul(tern_sub(g, along), rstd), terni_dtype(x));
    }
    return tern_ok();
}

static const tern_function function = {"rms_norm", 1, sizeof(options), forward, backward, NULL};
TERNI_TRACED(rms_norm, function, TERNI_FIELD(options, "eps", k.eps), TERNI_FIELD(options, "normalized", n_dims));

tern_tensor *tern_rms_norm(tern_tensor *x, int n_dims, tern_tensor *weight, double eps) {
    TERNI_AUTOCAST(F32, &x, &weight);
    tern_tensor *in[2] = {x, weight}, *out[1];
    tern_device device;
    if (!terni_given(x, op_name, "x") || !terni_same_device(op_name, in, 2, &device) ||
        !terni_norm_dtypes(op_name, x, in + 1, 1) || !terni_norm_last(op_name, x, n_dims, in + 1, 1))
        return NULL;
    if (!(eps >= 0)) return terni_null(TERN_ERR_ARGUMENT, "rms_norm: eps %g, expected 0 or more", eps);
    const double least = terni_dtype(x) == TERN_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
    const options o = {.k.eps = eps != 0.0 ? eps : least, .n_dims = n_dims};
    return tern_apply(&function, in, 2, &o, out) ? out[0] : NULL;
}
