/* dropout keeps no mask: the same draws give it again, for the gradient and for the gradient's gradient. */
#include "internal.h"

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    out[0] = terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device);
    return out[0] && terni_run(TERNI_OP_dropout, in, n, out, 1, tern_ctx_opts(ctx));
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static const tern_function function = {"dropout", 1, sizeof(terni_random_opts), forward, backward, NULL};

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return tern_apply(&function, grad, 1, tern_ctx_opts(ctx), grad_in);
}

tern_tensor *terni_dropout(tern_tensor *x, const terni_random_opts *o) {
    tern_tensor *out[1];
    return x && tern_apply(&function, &x, 1, o, out) ? out[0] : NULL;
}

tern_tensor *tern_dropout(tern_tensor *x, double p) {
    if (!terni_given(x, "dropout", "x") || !terni_same_float("dropout", &x, 1)) return NULL;
    if (!(p >= 0 && p <= 1)) return terni_null(TERN_ERR_ARGUMENT, "dropout: p %g, expected [0, 1]", p);
    if (p == 0) return x;
    terni_random_opts o = {.a = p};
    return terni_draws_take(x->device, ((uint64_t)x->numel + 3) / 4, &o.from) ? terni_dropout(x, &o) : NULL;
}
