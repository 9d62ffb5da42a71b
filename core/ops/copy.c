/* Copies: casts, moves between devices, dense forms, and filling in place. */
#include <math.h>

#include "trace_fields.h"

/* y = x, elementwise, on one device. */
static bool copy_kernel(tern_tensor *x, tern_tensor *y) { return terni_run(TERNI_OP_copy, &x, 1, &y, 1, NULL); }

tern_tensor *terni_as(tern_tensor *t, tern_dtype dtype) {
    if (terni_dtype(t) == dtype) return t;
    tern_tensor *y = terni_new(terni_shape(t), dtype, t->device);
    return y && copy_kernel(t, y) ? y : NULL;
}

tern_tensor *terni_dense(tern_tensor *t) {
    if (t->contiguous) return t;
    tern_tensor *y = terni_new(terni_shape(t), terni_dtype(t), t->device);
    return y && copy_kernel(t, y) ? y : NULL;
}

/* ---- cast: from one float dtype to another it is differentiable
 * -------------------------------------------------------- */

typedef struct cast_opts {
    tern_dtype to;
} cast_opts;

static bool cast_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = terni_as(in[0], ((const cast_opts *)tern_ctx_opts(ctx))->to);
    return out[0] != NULL;
}
static bool cast_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    gin[0] = tern_cast(gout[0], tern_ctx_dtype(ctx, 0));
    return gin[0] != NULL;
}
static const tern_function cast_function = {"cast", 1, sizeof(cast_opts), cast_forward, cast_backward, NULL};

tern_tensor *tern_cast(tern_tensor *t, tern_dtype dtype) {
    if (!terni_given(t, "cast", "t")) return NULL;
    if (tern_dtype_size(dtype) == 0) return terni_null(TERN_ERR_DTYPE, "cast: %d is no dtype", (int)dtype);
    if (terni_dtype(t) == dtype) return t;
    tern_tensor *y;
    const cast_opts o = {dtype};
    if ((terni_recording() && terni_wants(t) && tern_dtype_is_float(dtype)) || terni_listening())
        return tern_apply(&cast_function, &t, 1, &o, &y) ? y : NULL;
    return terni_as(t, dtype);
}

/* ---- to another device
 * ---------------------------------------------------------------------------------------------------- */

static bool move(tern_tensor *x, tern_tensor *y) {
    const size_t bytes = (size_t)x->numel * tern_dtype_size(terni_dtype(x));
    if (bytes == 0) return true;
    const terni_backend *bx = terni_backend_of(x->device), *by = terni_backend_of(y->device);
    if (!bx || !by) return false;
    if (x->device.type == TERN_CPU) return by->upload(y->device.index, y->v.data, x->v.data, bytes);
    if (y->device.type == TERN_CPU) return bx->download(x->device.index, y->v.data, x->v.data, bytes);
    return bx->runtime->copy_between(y->device.index, y->v.data, x->device.index, x->v.data, bytes);
}

typedef struct to_opts {
    tern_device to, from;
} to_opts;

static bool to_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const to_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]);
    out[0] = x ? terni_new(terni_shape(x), terni_dtype(x), o->to) : NULL;
    return out[0] && move(x, out[0]);
}
static bool to_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    gin[0] = tern_to(gout[0], ((const to_opts *)tern_ctx_opts(ctx))->from);
    return gin[0] != NULL;
}
static const tern_function to_function = {"to", 1, sizeof(to_opts), to_forward, to_backward, NULL};

tern_tensor *tern_to(tern_tensor *t, tern_device device) {
    TERNI_NAMED("to");
    if (!terni_given(t, "to", "t")) return NULL;
    if (tern_device_equal(t->device, device)) return t;
    if (!terni_backend_of(device)) return NULL;
    const to_opts o = {device, t->device};
    tern_tensor *y;
    return tern_apply(&to_function, &t, 1, &o, &y) ? y : NULL;
}

/* ---- clone
 * ------------------------------------------------------------------------------------------------------------------ */

static bool clone_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n, (void)ctx;
    out[0] = terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device);
    return out[0] && copy_kernel(in[0], out[0]);
}
static bool clone_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    (void)ctx;
    gin[0] = gout[0];
    return true;
}
static const tern_function clone_function = {"clone", 1, 0, clone_forward, clone_backward, NULL};

tern_tensor *tern_clone(tern_tensor *x) {
    tern_tensor *y;
    return terni_given(x, "clone", "x") && tern_apply(&clone_function, &x, 1, NULL, &y) ? y : NULL;
}

tern_tensor *tern_contiguous(tern_tensor *x) {
    if (!terni_given(x, "contiguous", "x")) return NULL;
    return x->contiguous ? x : tern_clone(x);
}

/* ---- in place
 * ------------------------------------------------------------------------------------------------------------------ */

/* b on t's device and in t's shape: what is copied into t. */
static tern_tensor *like_target(tern_tensor *t, tern_tensor *b) {
    if (b && !tern_device_equal(t->device, b->device)) b = tern_to(b, t->device);
    if (b && b->storage == t->storage && b->numel) b = tern_clone(b); /* may overlap */
    if (!b) return NULL;
    tern_shape shape;
    if (!terni_broadcast("copy_", terni_shape(t), terni_shape(b), &shape)) return NULL;
    if (!tern_shape_equal(shape, terni_shape(t)))
        return terni_null(TERN_ERR_SHAPE, "copy_: %s does not broadcast to %s", terni_describe(b), terni_describe(t));
    return tern_expand(b, shape);
}

tern_tensor *tern_copy_(tern_tensor *t, tern_tensor *b) {
    if (!terni_given(t, "copy_", "t") || !terni_given(b, "copy_", "b")) return NULL;
    if (t == b) return t;
    const terni_in_place kind = terni_in_place_begin("copy_", "clone", t, &b, 1);
    if (kind == TERNI_REFUSED) return NULL;
    const int scope = tern_scope_push();
    bool ok;
    if (kind == TERNI_RECORDED) {
        b = like_target(t, tern_cast(b, terni_dtype(t)));
        ok = b && terni_in_place_overwrite("copy_", t, b);
    } else {
        b = like_target(t, tern_detach(b));
        ok = b && copy_kernel(b, t);
        if (b) terni_changed(t);
    }
    tern_scope_pop(scope);
    return ok ? t : NULL;
}

/* True if an integer dtype holds value, cut to an integer; NaN has none. */
static bool in_range(tern_dtype dtype, double value) {
    switch (dtype) {
        case TERN_I64:
            return value >= -0x1p63 && value < 0x1p63;
        case TERN_I32:
            return value > -0x1p31 - 1 && value < 0x1p31;
        case TERN_U8:
            return value > -1 && value < 256;
        default:
            return true;
    }
}

bool terni_constant(const char *op, tern_dtype dtype, double value, terni_fill_opts *o) {
    if (!in_range(dtype, value))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %g is no %s", op, value, tern_dtype_name(dtype));
    *o = (terni_fill_opts){value, in_range(TERN_I64, value) ? (int64_t)value : 0};
    return true;
}

tern_tensor *tern_fill_(tern_tensor *t, double value) {
    terni_fill_opts o;
    if (!terni_given(t, "fill_", "t") || !terni_constant("fill_", terni_dtype(t), value, &o)) return NULL;
    switch (terni_in_place_begin("fill_", "full_like", t, NULL, 0)) {
        case TERNI_REFUSED:
            return NULL;
        case TERNI_PLAIN:
            terni_changed(t);
            return terni_run(TERNI_OP_fill, NULL, 0, &t, 1, &o) ? t : NULL;
        case TERNI_RECORDED:
            break;
    }
    const int scope = tern_scope_push();
    tern_tensor *r = terni_in_place_overwrite("fill_", t, tern_full_like(t, value));
    tern_scope_pop(scope);
    return r;
}

tern_tensor *tern_zero_(tern_tensor *t) {
    TERNI_NAMED("zero_");
    return tern_fill_(t, 0);
}

/* A fraction would silently be cut off in an integer. */
static bool whole_enough(const char *op, const tern_tensor *t, double s) {
    if (tern_dtype_is_float(terni_dtype(t)) || s == nearbyint(s)) return true;
    return terni_fail(TERN_ERR_DTYPE, "%s: %g is no number for %s", op, s, terni_describe(t));
}

tern_tensor *tern_mul_scalar_(tern_tensor *t, double s) {
    TERNI_NAMED("mul_scalar_");
    if (!terni_given(t, "mul_scalar_", "t") || !whole_enough("mul_scalar_", t, s) ||
        terni_in_place_begin("mul_scalar_", NULL, t, NULL, 0) == TERNI_REFUSED)
        return NULL;
    const int scope = tern_scope_push();
    tern_tensor *r = tern_mul_(t, tern_scalar(s, (tern_options){terni_dtype(t), tern_cpu()}));
    tern_scope_pop(scope);
    return r;
}

tern_tensor *tern_add_scaled_(tern_tensor *t, double s, tern_tensor *b) {
    TERNI_NAMED("add_scaled_");
    if (!terni_given(t, "add_scaled_", "t") || !terni_given(b, "add_scaled_", "b")) return NULL;
    if (!whole_enough("add_scaled_", t, s)) return NULL;
    if (terni_in_place_begin("add_scaled_", "add", t, &b, 1) == TERNI_REFUSED) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *r = tern_add_(t, tern_mul_scalar(tern_cast(b, terni_dtype(t)), s));
    tern_scope_pop(scope);
    return r;
}
