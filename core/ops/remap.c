/* flip, roll, repeat, pad: copies whose every index comes from one of x by a rule for each dimension. What only moves
 * or drops elements has an adjoint of the same kind; what repeats them has one that adds. */
#include "trace_fields.h"

typedef struct remap_opts {
    terni_remap_opts k;
    tern_shape shape; /* of the result */
} remap_opts;

static const tern_function remap_function, remap_add_function;

static bool remap_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    const remap_opts *o = tern_ctx_opts(ctx);
    out[0] = terni_new(o->shape, terni_dtype(in[0]), in[0]->device);
    return out[0] && terni_run(TERNI_OP_remap, in, n, out, 1, &o->k);
}

/* True if no element of x is read twice; then inverse, from y's shape to x's, is the adjoint. */
static bool invert(const remap_opts *o, const tern_shape *x, remap_opts *inverse) {
    *inverse = *o;
    inverse->shape = *x;
    inverse->k.fill = (terni_fill_opts){0};
    for (int d = 0; d < x->ndim; d++) {
        const int32_t mode = o->k.mode[d];
        const bool alike = x->dim[d] == o->shape.dim[d];
        if (mode != TERNI_REMAP_FILL && !(alike && (mode == TERNI_REMAP_REVERSE || mode == TERNI_REMAP_WRAP)))
            return false;
        inverse->k.before[d] = -o->k.before[d];
    }
    return true;
}

static bool remap_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const tern_shape x = tern_ctx_shape(ctx, 0);
    remap_opts o = *(const remap_opts *)tern_ctx_opts(ctx), inverse;
    if (invert(&o, &x, &inverse)) return tern_apply(&remap_function, gout, 1, &inverse, gin);
    inverse = o;
    inverse.shape = x;
    return tern_apply(&remap_add_function, gout, 1, &inverse, gin);
}

static bool remap_add_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    const remap_opts *o = tern_ctx_opts(ctx);
    tern_tensor *g = terni_dense(in[0]);
    out[0] = g ? tern_zeros(o->shape, (tern_options){terni_dtype(g), g->device}) : NULL;
    return out[0] && terni_run(TERNI_OP_remap_add, &g, n, out, 1, &o->k);
}
static bool remap_add_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    remap_opts o = *(const remap_opts *)tern_ctx_opts(ctx);
    o.shape = tern_ctx_shape(ctx, 0);
    return tern_apply(&remap_function, gout, 1, &o, gin);
}

static const tern_function remap_function = {"remap", 1, sizeof(remap_opts), remap_forward, remap_backward, NULL};
TERNI_TRACED(remap, remap_function, TERNI_FIELD(remap_opts, "mode", k.mode),
             TERNI_FIELD(remap_opts, "before", k.before), TERNI_FIELD(remap_opts, "value", k.fill.value),
             TERNI_FIELD(remap_opts, "integer", k.fill.integer));
static const tern_function remap_add_function = {"remap_add",        1,   sizeof(remap_opts), remap_add_forward,
                                                 remap_add_backward, NULL};

static tern_tensor *remap(tern_tensor *x, const remap_opts *o) {
    tern_tensor *y;
    if (x->v.ndim == 0) return tern_clone(x);
    return tern_apply(&remap_function, &x, 1, o, &y) ? y : NULL;
}

/* ---- flip, roll ---------------------------------------------------------------------------------------------------
 */

tern_tensor *tern_flip(tern_tensor *x, const int *dims, int n) {
    uint32_t bits;
    if (!terni_given(x, "flip", "x") || !terni_dims("flip", dims, n, x->v.ndim, &bits)) return NULL;
    remap_opts o = {.shape = terni_shape(x)};
    for (int d = 0; d < x->v.ndim; d++)
        if (bits >> d & 1) o.k.mode[d] = TERNI_REMAP_REVERSE;
    return remap(x, &o);
}

tern_tensor *tern_roll(tern_tensor *x, const int64_t *shifts, const int *dims, int n) {
    if (!terni_given(x, "roll", "x")) return NULL;
    if (n == 0) return tern_clone(x);
    if (n < 0 || !shifts || !dims) return terni_null(TERN_ERR_ARGUMENT, "roll: %d shifts, or NULL", n);
    remap_opts o = {.shape = terni_shape(x)};
    for (int i = 0; i < n; i++) {
        const int d = terni_dim("roll", dims[i], x->v.ndim);
        if (d < 0) return NULL;
        const int64_t size = x->v.shape[d];
        o.k.mode[d] = TERNI_REMAP_WRAP;
        if (size) o.k.before[d] = (o.k.before[d] + shifts[i] % size) % size; /* a dimension may be rolled twice */
    }
    return remap(x, &o);
}

/* ---- repeat -------------------------------------------------------------------------------------------------------
 */

tern_tensor *tern_repeat(tern_tensor *x, tern_shape repeats) {
    TERNI_NAMED("repeat");
    if (!terni_given(x, "repeat", "x")) return NULL;
    const int more = repeats.ndim - x->v.ndim;
    if (repeats.ndim > TERN_MAX_DIMS || more < 0)
        return terni_null(TERN_ERR_SHAPE, "repeat: repeats %s for %s; expected one a dimension, or more",
                          terni_shape_str(repeats), terni_describe(x));
    remap_opts o = {.shape = repeats};
    tern_shape wide = {.ndim = repeats.ndim};
    for (int d = 0; d < repeats.ndim; d++) {
        wide.dim[d] = d < more ? 1 : x->v.shape[d - more];
        if (repeats.dim[d] < 0)
            return terni_null(TERN_ERR_ARGUMENT, "repeat: repeats %s; expected 0 or more", terni_shape_str(repeats));
        if (!terni_mul_i64(wide.dim[d], repeats.dim[d], &o.shape.dim[d]))
            return terni_null(TERN_ERR_SHAPE, "repeat: %s times %s is too large", terni_describe(x),
                              terni_shape_str(repeats));
        o.k.mode[d] = repeats.dim[d] == 1 ? TERNI_REMAP_FILL : TERNI_REMAP_WRAP;
    }
    if (!terni_shape_check("repeat", &o.shape, terni_dtype(x))) return NULL;
    if (more) x = tern_reshape(x, wide);
    return x ? remap(x, &o) : NULL;
}

/* ---- pad ----------------------------------------------------------------------------------------------------------
 */

/* The rule of dimension d, or an error. */
static bool pad_dim(const tern_tensor *x, int d, int64_t before, int64_t after, tern_pad_mode mode, remap_opts *o) {
    static const int32_t rules[] = {[TERN_PAD_CONSTANT] = TERNI_REMAP_FILL,
                                    [TERN_PAD_REFLECT] = TERNI_REMAP_REFLECT,
                                    [TERN_PAD_REPLICATE] = TERNI_REMAP_REPLICATE,
                                    [TERN_PAD_CIRCULAR] = TERNI_REMAP_WRAP};
    const int64_t n = x->v.shape[d];
    int64_t size;
    if (__builtin_add_overflow(n, before, &size) || __builtin_add_overflow(size, after, &size) || size < 0)
        return terni_fail(TERN_ERR_SHAPE, "pad: %lld before and %lld after dimension %d of %s", (long long)before,
                          (long long)after, d, terni_describe(x));
    const bool fits = mode == TERN_PAD_CONSTANT || (before == 0 && after == 0) ||
                      (mode == TERN_PAD_REPLICATE && n > 0) || (mode == TERN_PAD_REFLECT && before < n && after < n) ||
                      (mode == TERN_PAD_CIRCULAR && n > 0 && before <= n && after <= n);
    if (!fits || (mode != TERN_PAD_CONSTANT && (before <= -n || after <= -n) && n > 0))
        return terni_fail(TERN_ERR_SHAPE, "pad: dimension %d of %s is too small for %lld before and %lld after", d,
                          terni_describe(x), (long long)before, (long long)after);
    o->k.mode[d] = before == 0 && after == 0 ? TERNI_REMAP_FILL : rules[mode];
    o->k.before[d] = before;
    o->shape.dim[d] = size;
    return true;
}

tern_tensor *tern_pad(tern_tensor *x, const int64_t *pads, int n, tern_pad_opts opts) {
    TERNI_NAMED("pad");
    if (!terni_given(x, "pad", "x")) return NULL;
    if (n < 0 || n % 2 || n / 2 > x->v.ndim || (n && !pads))
        return terni_null(TERN_ERR_ARGUMENT, "pad: %d pads for %s; expected two a dimension, the last one's first", n,
                          terni_describe(x));
    if (opts.mode < TERN_PAD_CONSTANT || opts.mode > TERN_PAD_CIRCULAR)
        return terni_null(TERN_ERR_ARGUMENT, "pad: %d is no mode", (int)opts.mode);
    remap_opts o = {.shape = terni_shape(x)};
    if (!terni_constant("pad", terni_dtype(x), opts.value, &o.k.fill)) return NULL;
    for (int i = 0; i < n; i += 2)
        if (!pad_dim(x, x->v.ndim - 1 - i / 2, pads[i], pads[i + 1], opts.mode, &o)) return NULL;
    return terni_shape_check("pad", &o.shape, terni_dtype(x)) ? remap(x, &o) : NULL;
}
