/* Ops that move elements between channels and pixels, or channels among themselves: composites. */
#include "internal.h"

/* x [..., C, H, W] with r at least 1; its batch as one dimension. */
static bool given(const char *op, tern_tensor *x, int64_t r, int64_t *batch) {
    if (!terni_given(x, op, "x")) return false;
    if (r < 1) return terni_fail(TERN_ERR_ARGUMENT, "%s: factor %lld, expected 1 or above", op, (long long)r);
    if (x->v.ndim < 3) return terni_fail(TERN_ERR_SHAPE, "%s: x %s, expected [..., C, H, W]", op, terni_describe(x));
    *batch = 1;
    for (int d = 0; d < x->v.ndim - 3; d++) *batch *= x->v.shape[d];
    return true;
}

static tern_tensor *done(tern_tensor *x, tern_tensor *y, int64_t c, int64_t h, int64_t w) {
    tern_shape s = terni_shape(x);
    s.dim[s.ndim - 3] = c;
    s.dim[s.ndim - 2] = h;
    s.dim[s.ndim - 1] = w;
    return y ? tern_contiguous(tern_reshape(y, s)) : NULL;
}

tern_tensor *tern_pixel_shuffle(tern_tensor *x, int64_t r) {
    TERNI_NAMED("pixel_shuffle");
    int64_t batch, square, tall, wide;
    if (!given("pixel_shuffle", x, r, &batch)) return NULL;
    const int64_t *s = x->v.shape + x->v.ndim - 3, h = s[1], w = s[2];
    if (!terni_mul_i64(r, r, &square) || s[0] % square || !terni_mul_i64(h, r, &tall) || !terni_mul_i64(w, r, &wide))
        return terni_null(TERN_ERR_SHAPE, "pixel_shuffle: x %s has channels that %lld squared does not divide",
                          terni_describe(x), (long long)r);
    const int64_t c = s[0] / square;
    tern_tensor *y = tern_reshape(x, TERN_SHAPE(batch, c, r, r, h, w));
    return done(x, tern_permute(y, (const int[]){0, 1, 4, 2, 5, 3}, 6), c, tall, wide);
}

tern_tensor *tern_pixel_unshuffle(tern_tensor *x, int64_t r) {
    TERNI_NAMED("pixel_unshuffle");
    int64_t batch, square, deep;
    if (!given("pixel_unshuffle", x, r, &batch)) return NULL;
    const int64_t *s = x->v.shape + x->v.ndim - 3, c = s[0];
    if (s[1] % r || s[2] % r || !terni_mul_i64(r, r, &square) || !terni_mul_i64(c, square, &deep))
        return terni_null(TERN_ERR_SHAPE, "pixel_unshuffle: x %s has sizes that %lld does not divide",
                          terni_describe(x), (long long)r);
    const int64_t h = s[1] / r, w = s[2] / r;
    tern_tensor *y = tern_reshape(x, TERN_SHAPE(batch, c, h, r, w, r));
    return done(x, tern_permute(y, (const int[]){0, 1, 3, 5, 2, 4}, 6), deep, h, w);
}

tern_tensor *tern_channel_shuffle(tern_tensor *x, int64_t groups) {
    TERNI_NAMED("channel_shuffle");
    static const char op[] = "channel_shuffle";
    if (!terni_given(x, op, "x")) return NULL;
    if (groups < 1) return terni_null(TERN_ERR_ARGUMENT, "%s: %lld groups", op, (long long)groups);
    if (x->v.ndim < 2 || x->v.shape[1] % groups)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s for %lld groups, expected [N, C, ...]", op, terni_describe(x),
                          (long long)groups);
    int64_t inner = 1;
    for (int d = 2; d < x->v.ndim; d++) inner *= x->v.shape[d];
    tern_tensor *y = tern_reshape(x, TERN_SHAPE(x->v.shape[0], groups, x->v.shape[1] / groups, inner));
    y = tern_transpose(y, 1, 2);
    return y ? tern_contiguous(tern_reshape(y, terni_shape(x))) : NULL;
}
