#include "snake.h"

#include <math.h>

#include "formula.h"
#include "kernel.h"

/* ---- on the CPU -------------------------------------------------------------------------------------------------- */

#define RUN(T, SIN, COS)                                         \
    static void run_##T(const snake_arrays *s) {                 \
        const T *x = s->x, *a = s->a, *dy = s->dy;               \
        T *y = s->y, *dx = s->dx, *da = s->da;                   \
        for (int64_t i = 0; i < s->rows * s->columns; i++) {     \
            const T k = a[i % s->columns], sine = SIN(k * x[i]); \
            if (!dy) {                                           \
                y[i] = SNAKE_Y(x[i], k, sine);                   \
                continue;                                        \
            }                                                    \
            const T cosine = COS(k * x[i]);                      \
            dx[i] = dy[i] * SNAKE_DX(sine, cosine);              \
            da[i] = dy[i] * SNAKE_DA(x[i], k, sine, cosine);     \
        }                                                        \
    }
RUN(float, sinf, cosf)
RUN(double, sin, cos)

/* ---- on either --------------------------------------------------------------------------------------------------- */

/* Where x is. Writing into new tensors needs no tern_touch; all have been checked and are contiguous. */
static bool run(snake_arrays *s, tern_tensor *x, tern_tensor *a) {
    s->x = tern_data(x);
    s->a = tern_data(a);
    s->rows = tern_size(x, 0);
    s->columns = tern_size(x, 1);
    s->wide = tern_dtype_of(x) == TERN_F64;
    const tern_device device = tern_device_of(x);
    if (device.type == TERN_CPU) {
        (s->wide ? run_double : run_float)(s);
        return true;
    }
    void *stream;
    if (!tern_stream_native(device, NULL, &stream)) return false;
    const char *wrong = snake_run_cuda(s, stream);
    return !wrong || tern_error_set(TERN_ERR_UNSUPPORTED, "snake: %s", wrong);
}

static bool is_taken(tern_tensor *x, tern_tensor *a) {
    if (!x || !a) return false;
    char one[128], two[128];
    if (tern_ndim(x) != 2 || tern_ndim(a) != 1 || tern_size(a, 0) != tern_size(x, 1))
        return tern_error_set(TERN_ERR_SHAPE, "snake: x is %s, a is %s; expected [N, C] and [C]",
                              tern_shape_text(tern_shape_get(x), one, sizeof one),
                              tern_shape_text(tern_shape_get(a), two, sizeof two));
    const tern_dtype dtype = tern_dtype_of(x);
    if ((dtype != TERN_F32 && dtype != TERN_F64) || tern_dtype_of(a) != dtype)
        return tern_error_set(TERN_ERR_DTYPE, "snake: x is %s, a is %s; expected f32 or f64, both alike",
                              tern_dtype_name(dtype), tern_dtype_name(tern_dtype_of(a)));
    if (!tern_device_equal(tern_device_of(x), tern_device_of(a)))
        return tern_error_set(TERN_ERR_DEVICE, "snake: x and a are on different devices");
    return true;
}

static tern_tensor *like(tern_tensor *x) {
    return tern_empty(tern_shape_get(x), (tern_options){.dtype = tern_dtype_of(x), .device = tern_device_of(x)});
}

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    if (!is_taken(in[0], in[1])) return false;
    tern_tensor *x = tern_contiguous(in[0]), *a = tern_contiguous(in[1]), *y = like(in[0]);
    snake_arrays s = {.y = y ? tern_data(y) : NULL};
    out[0] = y;
    return x && a && y && tern_ctx_save(ctx, in[0]) && tern_ctx_save(ctx, in[1]) && run(&s, x, a);
}

/* The same by Tern's own ops, for gradients that will be differentiated again. */
static bool backward_by_ops(tern_tensor *x, tern_tensor *a, tern_tensor *dy, tern_tensor **dx, tern_tensor **da) {
    tern_tensor *ax = tern_mul(a, x), *sine = tern_sin(ax), *sine_twice = tern_sin(tern_mul_scalar(ax, 2));
    *dx = tern_mul(dy, tern_add_scalar(sine_twice, 1));
    *da = tern_mul(dy, tern_div(tern_sub(tern_mul(x, sine_twice), tern_div(tern_mul(sine, sine), a)), a));
    return *dx && *da;
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad_out, tern_tensor **grad_in) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *a = tern_ctx_saved(ctx, 1), *dx = NULL, *da = NULL;
    if (!x || !a) return false;
    if (tern_grad_mode_get()) {
        if (!backward_by_ops(x, a, grad_out[0], &dx, &da)) return false;
    } else {
        tern_tensor *dy = tern_contiguous(grad_out[0]);
        x = tern_contiguous(x);
        a = tern_contiguous(a);
        dx = like(x);
        da = like(x);
        if (!x || !a || !dy || !dx || !da) return false;
        snake_arrays s = {.dy = tern_data(dy), .dx = tern_data(dx), .da = tern_data(da)};
        if (!run(&s, x, a)) return false;
    }
    grad_in[0] = dx;
    grad_in[1] = tern_sum(da, (const int[]){0}, 1, false);
    return grad_in[1] != NULL;
}

static const tern_function function = {.name = "snake", .n_out = 1, .forward = forward, .backward = backward};

tern_tensor *snake(tern_tensor *x, tern_tensor *a) {
    tern_tensor *y;
    return tern_apply(&function, (tern_tensor *const[]){x, a}, 2, NULL, &y) ? y : NULL;
}

/* ---- as a layer -------------------------------------------------------------------------------------------------- */

typedef struct layer {
    tern_module m;
    tern_tensor *a;
} layer;

static tern_tensor *layer_forward(tern_module *m, tern_tensor *x) { return snake(x, ((layer *)m)->a); }

tern_module *snake_new(int64_t features) {
    layer *l = TERN_MODULE_NEW(layer);
    if (!l) return NULL;
    l->m.type = "snake";
    l->m.forward = layer_forward;
    l->a = tern_module_param(&l->m, "a", tern_ones(TERN_SHAPE(features), (tern_options){0}));
    return tern_module_done(l);
}
