#include "casting.h"
#include "ops/geometry.h"
#include "trace_fields.h"
#include "ops/normalise.h"

static const char op_name[] = "layer_norm";

typedef struct options {
    terni_layer_norm_opts k;
    int n_dims;
} options;

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* x, weight, bias */
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]), *w = in[1] ? terni_dense(in[1]) : NULL, *b = in[2] ? terni_dense(in[2]) : NULL;
    if (!x || (in[1] && !w) || (in[2] && !b)) return false;
    const terni_view x2 = terni_norm_rows(x, o->n_dims);
    const tern_shape rows = {1, {x2.shape[0]}};
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x));
    tern_tensor *y = terni_new(terni_shape(x), terni_dtype(x), x->device);
    tern_tensor *mean = terni_new(rows, acc, x->device), *rstd = terni_new(rows, acc, x->device);
    if (!y || !mean || !rstd) return false;
    terni_view y2 = x2, w1, b1;
    y2.data = y->v.data;
    if (w) w1 = terni_norm_flat(w);
    if (b) b1 = terni_norm_flat(b);
    const terni_view *vi[3] = {&x2, w ? &w1 : NULL, b ? &b1 : NULL}, *vo[3] = {&y2, &mean->v, &rstd->v};
    out[0] = y;
    return terni_run_views(TERNI_OP_layer_norm, x->device, vi, 3, vo, 3, &o->k) && tern_ctx_save(ctx, in[0]) &&
           tern_ctx_save(ctx, in[1]) && tern_ctx_save(ctx, mean) && tern_ctx_save(ctx, rstd);
}

static bool fused(tern_ctx *ctx, tern_tensor *gy, tern_tensor *x, tern_tensor *weight, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *mean = tern_ctx_saved(ctx, 2), *rstd = tern_ctx_saved(ctx, 3);
    tern_tensor *dgy = terni_dense(gy), *dx = terni_dense(x), *dw = weight ? terni_dense(weight) : NULL;
    if (!mean || !rstd || !dgy || !dx || (weight && !dw)) return false;
    const terni_view gy2 = terni_norm_rows(dgy, o->n_dims), x2 = terni_norm_rows(dx, o->n_dims);
    terni_view w1, g[3];
    const terni_view *vo[3] = {NULL, NULL, NULL};
    for (int i = 0; i < 3; i++) {
        if (!tern_ctx_needs(ctx, i)) continue;
        grad_in[i] = terni_new(tern_ctx_shape(ctx, i), tern_ctx_dtype(ctx, i), x->device);
        if (!grad_in[i]) return false;
        g[i] = i ? terni_norm_flat(grad_in[i]) : terni_norm_rows(grad_in[i], o->n_dims);
        vo[i] = &g[i];
    }
    if (dw) w1 = terni_norm_flat(dw);
    const terni_view *vi[5] = {&gy2, &x2, dw ? &w1 : NULL, &mean->v, &rstd->v};
    return terni_run_views(TERNI_OP_layer_norm_grad, x->device, vi, 5, vo, 3, &o->k);
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *weight = tern_ctx_saved(ctx, 1);
    if (!x || !tern_ok()) return false;
    if (!terni_recording()) return fused(ctx, grad[0], x, weight, grad_in);
    const options *o = tern_ctx_opts(ctx);
    const int first = x->v.ndim - o->n_dims;
    int dims[TERN_MAX_DIMS];
    tern_shape shape = {o->n_dims, {0}};
    for (int i = 0; i < o->n_dims; i++) {
        dims[i] = first + i;
        shape.dim[i] = x->v.shape[first + i];
    }
    const bool needs[3] = {tern_ctx_needs(ctx, 0), tern_ctx_needs(ctx, 1), tern_ctx_needs(ctx, 2)};
    const terni_norm_grads g = {.gx = needs[0] ? &grad_in[0] : NULL,
                                .gweight = needs[1] ? &grad_in[1] : NULL,
                                .gbias = needs[2] ? &grad_in[2] : NULL,
                                .shape = shape,
                                .dtype = tern_ctx_dtype(ctx, needs[1]   ? 1
                                                             : needs[2] ? 2
                                                                        : 0)};
    return terni_norm_backward(grad[0], x, weight, dims, o->n_dims, o->k.eps, &g);
}

static const tern_function function = {"layer_norm", 1, sizeof(options), forward, backward, NULL};
TERNI_TRACED(layer_norm, function, TERNI_FIELD(options, "eps", k.eps), TERNI_FIELD(options, "normalized", n_dims));

tern_tensor *tern_layer_norm(tern_tensor *x, int n_dims, tern_tensor *weight, tern_tensor *bias, double eps) {
    TERNI_AUTOCAST(F32, &x, &weight, &bias);
    tern_tensor *in[3] = {x, weight, bias}, *out[1];
    tern_device device;
    if (!terni_given(x, op_name, "x") || !terni_same_device(op_name, in, 3, &device) ||
        !terni_norm_dtypes(op_name, x, in + 1, 2) || !terni_norm_last(op_name, x, n_dims, in + 1, 2))
        return NULL;
    if (!(eps >= 0)) return terni_null(TERN_ERR_ARGUMENT, "layer_norm: eps %g, expected 0 or more", eps);
    const options o = {.k.eps = eps != 0.0 ? eps : 1e-5, .n_dims = n_dims};
    return tern_apply(&function, in, 3, &o, out) ? out[0] : NULL;
}
