/* where: a choice by element. */
#include "internal.h"

static bool where_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    tern_shape shape;
    if (!terni_broadcast("where", terni_shape(in[0]), terni_shape(in[1]), &shape) ||
        !terni_broadcast("where", shape, terni_shape(in[2]), &shape) ||
        !terni_shape_check("where", &shape, terni_dtype(in[1])))
        return false;
    tern_tensor *wide[3];
    for (int i = 0; i < 3; i++)
        if (!(wide[i] = tern_expand(in[i], shape))) return false;
    out[0] = terni_new(shape, terni_dtype(in[1]), in[1]->device);
    return out[0] && tern_ctx_save(ctx, in[0]) && terni_run(TERNI_OP_where, wide, n, out, 1, NULL);
}

static bool where_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *cond = tern_ctx_saved(ctx, 0);
    tern_tensor *zero = tern_scalar(0, (tern_options){terni_dtype(gout[0]), gout[0]->device});
    if (tern_ctx_needs(ctx, 1)) gin[1] = tern_sum_to(tern_where(cond, gout[0], zero), tern_ctx_shape(ctx, 1));
    if (tern_ctx_needs(ctx, 2)) gin[2] = tern_sum_to(tern_where(cond, zero, gout[0]), tern_ctx_shape(ctx, 2));
    return tern_ok();
}
static const tern_function where_function = {"where", 1, 0, where_forward, where_backward, NULL};

tern_tensor *tern_where(tern_tensor *cond, tern_tensor *a, tern_tensor *b) {
    if (!terni_given(cond, "where", "cond") || !terni_given(a, "where", "a") || !terni_given(b, "where", "b"))
        return NULL;
    if (terni_dtype(cond) != TERN_BOOL)
        return terni_null(TERN_ERR_DTYPE, "where: cond %s is not bool", terni_describe(cond));
    const tern_dtype d = tern_dtype_promote(terni_dtype(a), terni_dtype(b));
    tern_tensor *in[3] = {cond, tern_cast(a, d), tern_cast(b, d)};
    tern_device to = tern_cpu(); /* 0-dim CPU tensors join the others' device */
    for (int i = 0; i < 3; i++)
        if (in[i] && in[i]->device.type != TERN_CPU) to = in[i]->device;
    for (int i = 0; i < 3; i++)
        if (in[i] && in[i]->v.ndim == 0 && in[i]->device.type == TERN_CPU) in[i] = tern_to(in[i], to);
    tern_tensor *y;
    return tern_ok() && terni_same_device("where", in, 3, NULL) && tern_apply(&where_function, in, 3, NULL, &y) ? y
                                                                                                                : NULL;
}
