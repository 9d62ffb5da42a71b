/* softmax and log_softmax: their gradients need only the output. */
#include "casting.h"
#include "ops/geometry.h"
#include "trace_fields.h"

typedef struct options {
    int dim;
} options;

/* t as [outer, C, inner]; t is contiguous. */
static terni_view split(const tern_tensor *t, int dim) {
    int64_t outer = 1, inner = 1;
    const int64_t c = t->v.ndim ? t->v.shape[dim] : 1;
    if (!t->numel) return terni_view3(t, 0, c, 0);
    for (int i = 0; i < dim; i++) outer *= t->v.shape[i];
    for (int i = dim + 1; i < t->v.ndim; i++) inner *= t->v.shape[i];
    return terni_view3(t, outer, c, inner);
}

static bool run(tern_ctx *ctx, int op, tern_tensor *const *in, int n, tern_tensor **out) {
    const options *o = tern_ctx_opts(ctx);
    terni_view v[2], y;
    const terni_view *vi[2], *vo[1] = {&y};
    for (int i = 0; i < n; i++) {
        tern_tensor *t = terni_dense(in[i]);
        if (!t) return false;
        v[i] = split(t, o->dim);
        vi[i] = &v[i];
    }
    out[0] = terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device);
    if (!out[0]) return false;
    y = split(out[0], o->dim);
    return terni_run_views(op, in[0]->device, vi, n, vo, 1, NULL);
}

static bool softmax_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    return run(ctx, TERNI_OP_softmax, in, n, out) && tern_ctx_save(ctx, out[0]);
}
static bool log_softmax_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    return run(ctx, TERNI_OP_log_softmax, in, n, out) && tern_ctx_save(ctx, out[0]);
}

static bool softmax_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *in[2] = {grad[0], tern_ctx_saved(ctx, 0)};
    if (!in[1]) return false;
    if (!terni_recording()) return run(ctx, TERNI_OP_softmax_grad, in, 2, grad_in);
    const bool scalar = in[1]->v.ndim == 0;
    tern_tensor *dot = tern_sum(tern_mul(in[0], in[1]), &o->dim, scalar ? 0 : 1, true);
    grad_in[0] = tern_mul(in[1], tern_sub(in[0], dot));
    return grad_in[0] != NULL;
}

static bool log_softmax_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *in[2] = {grad[0], tern_ctx_saved(ctx, 0)};
    if (!in[1]) return false;
    if (!terni_recording()) return run(ctx, TERNI_OP_log_softmax_grad, in, 2, grad_in);
    const bool scalar = in[1]->v.ndim == 0;
    tern_tensor *sum = tern_sum(in[0], &o->dim, scalar ? 0 : 1, true);
    grad_in[0] = tern_sub(in[0], tern_mul(tern_exp(in[1]), sum));
    return grad_in[0] != NULL;
}

static const tern_function softmax = {"softmax", 1, sizeof(options), softmax_forward, softmax_backward, NULL};
static const tern_function log_softmax = {"log_softmax",        1,   sizeof(options), log_softmax_forward,
                                          log_softmax_backward, NULL};
TERNI_TRACED(softmax, softmax, TERNI_FIELD(options, "dim", dim));
TERNI_TRACED(log_softmax, log_softmax, TERNI_FIELD(options, "dim", dim));

static tern_tensor *call(const tern_function *f, tern_tensor *x, int dim) {
    options o = {0};
    tern_tensor *out[1];
    if (!terni_given(x, f->name, "x") || !terni_same_float(f->name, &x, 1)) return NULL;
    if (x->v.ndim > 0 || (dim != 0 && dim != -1)) o.dim = terni_dim(f->name, dim, x->v.ndim);
    if (o.dim < 0) return NULL;
    return tern_apply(f, &x, 1, &o, out) ? out[0] : NULL;
}

tern_tensor *tern_softmax(tern_tensor *x, int dim) {
    TERNI_AUTOCAST(F32, &x);
    return call(&softmax, x, dim);
}
tern_tensor *tern_log_softmax(tern_tensor *x, int dim) {
    TERNI_AUTOCAST(F32, &x);
    return call(&log_softmax, x, dim);
}
