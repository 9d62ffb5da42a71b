/* Losses between two tensors in one kernel, which keeps no tensor of differences. */
#include "ops/losses.h"

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const terni_pair_loss_opts *o = tern_ctx_opts(ctx);
    tern_tensor *const dense[2] = {terni_dense(in[0]), terni_dense(in[1])};
    if (!dense[0] || !dense[1]) return false;
    const tern_shape shape = o->reduction == TERN_REDUCE_NONE ? terni_shape(in[0]) : tern_shape_scalar();
    out[0] = terni_new(shape, terni_dtype(in[0]), in[0]->device);
    return out[0] && terni_run(TERNI_OP_pair_loss, dense, 2, out, 1, o) && tern_ctx_save(ctx, in[0]) &&
           tern_ctx_save(ctx, in[1]);
}

static bool fused(tern_ctx *ctx, tern_tensor *g, tern_tensor *a, tern_tensor *b, tern_tensor **grad_in) {
    tern_tensor *const in[3] = {terni_dense(g), terni_dense(a), terni_dense(b)};
    if (!in[0] || !in[1] || !in[2]) return false;
    for (int i = 0; i < 2; i++) {
        if (!tern_ctx_needs(ctx, i)) continue;
        grad_in[i] = terni_new(terni_shape(a), terni_dtype(a), a->device);
        if (!grad_in[i]) return false;
    }
    return terni_run(TERNI_OP_pair_loss_grad, in, 3, grad_in, 2, tern_ctx_opts(ctx));
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    const terni_pair_loss_opts *o = tern_ctx_opts(ctx);
    tern_tensor *a = tern_ctx_saved(ctx, 0), *b = tern_ctx_saved(ctx, 1), *d;
    if (!a || !b) return false;
    if (!terni_recording()) return fused(ctx, grad[0], a, b, grad_in);
    tern_tensor *g = tern_mul_scalar(grad[0], o->factor);
    if (o->kind == TERNI_PAIR_LOGITS) {
        grad_in[0] = tern_mul(g, tern_sub(tern_sigmoid(a), b));
        grad_in[1] = tern_mul(g, tern_neg(a));
        return tern_ok();
    }
    d = tern_sub(a, b);
    if (o->kind == TERNI_PAIR_SQUARE) d = tern_mul_scalar(d, 2);
    if (o->kind == TERNI_PAIR_ABS) d = tern_sign(d);
    if (o->kind == TERNI_PAIR_HUBER) d = tern_clamp(d, -o->parameter, o->parameter);
    grad_in[0] = tern_mul(g, d);
    grad_in[1] = tern_neg(grad_in[0]);
    return tern_ok();
}

static const tern_function function = {"pair_loss", 1, sizeof(terni_pair_loss_opts), forward, backward, NULL};

tern_tensor *terni_pair_loss(const terni_loss *l, terni_pair_loss_opts o, tern_tensor *a, tern_tensor *b) {
    tern_shape wide;
    if (!terni_broadcast(l->op, terni_shape(a), terni_shape(b), &wide)) return NULL;
    tern_tensor *in[2] = {tern_shape_equal(wide, terni_shape(a)) ? a : tern_expand(a, wide),
                          tern_shape_equal(wide, terni_shape(b)) ? b : tern_expand(b, wide)},
                *out[1];
    if (!in[0] || !in[1]) return NULL;
    o.reduction = (int32_t)l->reduction;
    if (o.factor == 0.0) o.factor = 1;
    if (o.reduction == TERN_REDUCE_MEAN) o.factor /= (double)in[0]->numel;
    return tern_apply(&function, in, 2, &o, out) ? tern_cast(out[0], l->dtype) : NULL;
}
