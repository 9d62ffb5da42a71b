/* grid_sample and affine_grid: composites. A grid's point becomes, on each axis, a few taps: an index, and a weight
 * that depends on the coordinate; the result sums what is gathered at all their combinations. */
#include "casting.h"
#include "ops/normalise.h"
#include "ops/scatter.h"

typedef struct taps {
    int n;
    tern_tensor *index[4], *weight[4]; /* [N, P]: i64 in [0, size), and the dtype of accumulation, 0 outside */
} taps;

/* A number beside t. */
static tern_tensor *beside(tern_tensor *t, double v) {
    return t ? tern_scalar(v, (tern_options){terni_dtype(t), t->device}) : NULL;
}

static tern_tensor *clip(tern_tensor *u, double lo, double hi) { return u ? tern_clamp(u, lo, hi) : NULL; }

/* u mirrored at lo and hi until it lies between: a line through u's own value, of slope 1 or -1. */
static tern_tensor *reflect(tern_tensor *u, double lo, double hi) {
    const double span = hi - lo;
    if (!u) return NULL;
    if (span <= 0) return tern_mul_scalar(u, 0);
    tern_tensor *at = tern_sub_scalar(u, lo);
    tern_tensor *away = tern_abs(at), *turns = tern_floor(tern_div_scalar(tern_detach(away), span));
    tern_tensor *rest = tern_sub(away, tern_mul_scalar(turns, span));
    tern_tensor *half = tern_mul_scalar(turns, 0.5), *odd = tern_ne(half, tern_floor(half));
    return tern_add_scalar(tern_where(odd, tern_rsub_scalar(rest, span), rest), lo);
}

/* The coordinate, or a cubic tap's, brought inside as the padding wants it. */
static tern_tensor *inside(tern_tensor *u, int64_t size, const tern_grid_sample_opts *o) {
    const double last = (double)size - 1, end = o->align_corners ? 0 : 0.5;
    if (o->padding == TERN_GRID_ZEROS) return u;
    if (o->padding == TERN_GRID_REFLECTION) u = reflect(u, -end, last + end);
    return clip(u, 0, last);
}

/* A tap at the whole number `at`; it weighs nothing outside. */
static bool add_tap(taps *t, tern_tensor *at, tern_tensor *weight, int64_t size) {
    tern_tensor *zero = beside(at, 0), *last = beside(at, (double)size - 1);
    if (!at || !weight || !zero || !last) return false;
    tern_tensor *low = tern_ge(at, zero);
    tern_tensor *in = tern_where(low, tern_le(at, last), low); /* NaN is outside */
    tern_tensor *safe = tern_where(in, at, zero);
    t->index[t->n] = safe ? tern_cast(tern_detach(safe), TERN_I64) : NULL;
    t->weight[t->n] = tern_where(in, weight, zero);
    return t->index[t->n] && t->weight[t->n++];
}

/* Keys' kernel with a = -0.75 at distance x from 0 to 1, and at x from 1 to 2. */
static tern_tensor *near(tern_tensor *x) {
    tern_tensor *y = tern_sub_scalar(tern_mul_scalar(x, 1.25), 2.25);
    return tern_add_scalar(tern_mul(tern_mul(y, x), x), 1);
}
static tern_tensor *far(tern_tensor *x) {
    tern_tensor *y = tern_add_scalar(tern_mul_scalar(x, -0.75), 3.75);
    return tern_add_scalar(tern_mul(tern_sub_scalar(tern_mul(y, x), 6), x), 3);
}

static bool cubic_taps(taps *t, tern_tensor *u, int64_t size, const tern_grid_sample_opts *o) {
    tern_tensor *low = tern_floor(u), *x = tern_sub(u, low);
    for (int k = -1; k < 3; k++) {
        tern_tensor *d = k < 1 ? tern_sub_scalar(x, k) : tern_rsub_scalar(x, k);
        tern_tensor *w = k == -1 || k == 2 ? far(d) : near(d);
        tern_tensor *at = low ? inside(tern_detach(tern_add_scalar(low, k)), size, o) : NULL;
        if (!add_tap(t, at, w, size)) return false;
    }
    return true;
}

/* The taps of coordinates g [N, P] in [-1, 1] along an axis. */
static bool axis_taps(taps *t, tern_tensor *g, int64_t size, const tern_grid_sample_opts *o) {
    const double n = (double)size;
    tern_tensor *u = tern_add_scalar(g, 1);
    u = o->align_corners ? tern_mul_scalar(u, (n - 1) / 2)
                         : tern_mul_scalar(tern_sub_scalar(tern_mul_scalar(u, n), 1), 0.5);
    *t = (taps){0};
    if (!u) return false;
    if (o->mode == TERN_GRID_CUBIC) return cubic_taps(t, u, size, o);
    u = inside(u, size, o);
    if (!u) return false;
    if (o->mode == TERN_GRID_NEAREST) return add_tap(t, tern_round(u), tern_ones_like(u), size);
    tern_tensor *low = tern_floor(u);
    low = low ? tern_detach(low) : NULL;
    tern_tensor *x = tern_sub(u, low);
    return add_tap(t, low, tern_rsub_scalar(x, 1), size) && add_tap(t, tern_add_scalar(low, 1), x, size);
}

/* y + x at a flat index [N, P], weighed. */
static tern_tensor *add_sample(tern_tensor *y, tern_tensor *x, tern_tensor *index, tern_tensor *weight) {
    tern_tensor *at = tern_unsqueeze(index, 1);
    if (!at) return NULL;
    at = tern_expand(at, TERN_SHAPE(x->v.shape[0], x->v.shape[1], index->v.shape[1]));
    tern_tensor *s = at ? tern_mul(terni_gather("grid_sample", x, 2, at), tern_unsqueeze(weight, 1)) : NULL;
    return y ? tern_add(y, s) : s;
}

/* Axis by axis, from the first: index and weight of the axes before, then the rest. */
static tern_tensor *sum_samples(tern_tensor *y, tern_tensor *x, const taps *t, const int64_t *size, int axes,
                                tern_tensor *index, tern_tensor *weight) {
    if (axes == 0) return add_sample(y, x, index, weight);
    for (int k = 0; k < t->n; k++) {
        tern_tensor *i = index ? tern_add(tern_mul_scalar(index, (double)*size), t->index[k]) : t->index[k];
        tern_tensor *w = weight ? tern_mul(weight, t->weight[k]) : t->weight[k];
        if (!i || !w || !(y = sum_samples(y, x, t + 1, size + 1, axes - 1, i, w))) return NULL;
    }
    return y;
}

static bool check(tern_tensor *x, tern_tensor *grid, const tern_grid_sample_opts *o) {
    const int n = x->v.ndim - 2;
    bool fits = (n == 2 || n == 3) && grid->v.ndim == x->v.ndim && grid->v.shape[0] == x->v.shape[0] &&
                grid->v.shape[grid->v.ndim - 1] == n;
    for (int d = 0; fits && d < n; d++) fits = x->v.shape[2 + d] > 0;
    if (!fits)
        return terni_fail(TERN_ERR_SHAPE,
                          "grid_sample: x %s and grid %s, expected [N, C, H, W] and [N, H', W', 2], or "
                          "[N, C, D, H, W] and [N, D', H', W', 3]",
                          terni_shape_str(terni_shape(x)), terni_shape_str(terni_shape(grid)));
    if (o->mode < TERN_GRID_LINEAR || o->mode > TERN_GRID_CUBIC || o->padding < TERN_GRID_ZEROS ||
        o->padding > TERN_GRID_REFLECTION || (o->mode == TERN_GRID_CUBIC && n == 3))
        return terni_fail(TERN_ERR_ARGUMENT, "grid_sample: mode %d and padding %d on %d axes", (int)o->mode,
                          (int)o->padding, n);
    return true;
}

tern_tensor *tern_grid_sample(tern_tensor *x, tern_tensor *grid, tern_grid_sample_opts opts) {
    TERNI_NAMED("grid_sample");
    TERNI_AUTOCAST(WIDEST, &x, &grid);
    static const char op[] = "grid_sample";
    tern_tensor *const in[2] = {x, grid};
    if (!terni_given(x, op, "x") || !terni_given(grid, op, "grid") || !terni_same_float(op, in, 2) ||
        !terni_same_device(op, in, 2, NULL) || !check(x, grid, &opts))
        return NULL;
    const int n = x->v.ndim - 2;
    tern_shape s = terni_shape(x);
    int64_t points = 1, plane = 1;
    for (int d = 0; d < n; d++) {
        s.dim[2 + d] = grid->v.shape[1 + d];
        plane *= x->v.shape[2 + d];
    }
    if (!terni_shape_check(op, &s, TERN_F64)) return NULL;
    for (int d = 0; d < n; d++) points *= s.dim[2 + d];
    const tern_dtype dtype = terni_dtype(x), acc = terni_acc_dtype(dtype);
    const int scope = tern_scope_push();
    tern_tensor *flat = tern_reshape(tern_cast(x, acc), TERN_SHAPE(s.dim[0], s.dim[1], plane));
    tern_tensor *g = tern_reshape(tern_cast(grid, acc), TERN_SHAPE(s.dim[0], points, n)), *y = NULL;
    taps t[3];
    bool ok = flat && g;
    for (int d = 0; ok && d < n; d++) ok = axis_taps(&t[d], tern_select(g, 2, n - 1 - d), x->v.shape[2 + d], &opts);
    if (ok) y = sum_samples(NULL, flat, t, x->v.shape + 2, n, NULL, NULL);
    return tern_scope_return(scope, y ? tern_cast(tern_reshape(y, s), dtype) : NULL);
}

/* ---- affine_grid
 * ------------------------------------------------------------------------------------------------------ */

tern_tensor *tern_affine_grid(tern_tensor *theta, tern_shape size, bool align_corners) {
    TERNI_NAMED("affine_grid");
    TERNI_AUTOCAST_NONE;
    static const char op[] = "affine_grid";
    if (!terni_given(theta, op, "theta") || !terni_same_float(op, &theta, 1)) return NULL;
    const int n = size.ndim - 2;
    if ((n != 2 && n != 3) || theta->v.ndim != 3 || theta->v.shape[0] != size.dim[0] || theta->v.shape[1] != n ||
        theta->v.shape[2] != n + 1)
        return terni_null(TERN_ERR_SHAPE,
                          "affine_grid: theta %s and size %s, expected [N, 2, 3] and [N, C, H, W], or "
                          "[N, 3, 4] and [N, C, D, H, W]",
                          terni_shape_str(terni_shape(theta)), terni_shape_str(size));
    const tern_dtype dtype = terni_dtype(theta), acc = terni_acc_dtype(dtype);
    if (!terni_shape_check(op, &size, TERN_F64)) return NULL;
    tern_shape to = {n + 2, {size.dim[0]}}, full = {n, {0}};
    for (int d = 0; d < n; d++) to.dim[1 + d] = full.dim[d] = size.dim[2 + d];
    to.dim[n + 1] = n;
    if (!terni_shape_check(op, &to, TERN_F64)) return NULL;
    tern_tensor *column[4]; /* x, y, (z,) 1 */
    for (int d = 0; d < n; d++) {
        const int64_t m = full.dim[n - 1 - d];
        const double end = m < 2 ? 0 : align_corners ? 1 : (double)(m - 1) / (double)m;
        tern_shape along = {n, {1, 1, 1}};
        along.dim[n - 1 - d] = m;
        tern_tensor *line = tern_linspace(-end, end, m, (tern_options){acc, theta->device});
        column[d] = line ? tern_expand(tern_reshape(line, along), full) : NULL;
    }
    column[n] = tern_ones(full, (tern_options){acc, theta->device});
    tern_tensor *base = tern_stack(column, n + 1, n);
    base = base ? tern_reshape(base, TERN_SHAPE(full.dim[0] * full.dim[1] * (n == 3 ? full.dim[2] : 1), n + 1)) : NULL;
    tern_tensor *y = tern_matmul(base, tern_transpose(tern_cast(theta, acc), 1, 2));
    return y ? tern_cast(tern_reshape(y, to), dtype) : NULL;
}
