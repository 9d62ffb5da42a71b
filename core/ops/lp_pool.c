/* lp_pool: powers, an average, and the root of the sum that it stands for. */
#include "casting.h"
#include "ops/geometry.h"

static tern_tensor *check(const terni_pool_given *g, tern_tensor *x, double p) {
    if (!terni_given(x, g->op, "x") || !terni_given(g->kernel, g->op, "kernel")) return NULL;
    if (!terni_same_float(g->op, &x, 1) || !terni_has_axes(g->op, "x", x, g->n, true)) return NULL;
    if (p == 0 || p != p) return terni_null(TERN_ERR_ARGUMENT, "%s: p %g", g->op, p);
    bool plain = !g->exclude_pad && !g->divisor;
    for (int i = 0; i < g->n; i++) plain &= g->pad[i] <= 0 && g->dilation[i] <= 1;
    if (!plain)
        return terni_null(TERN_ERR_ARGUMENT, "%s: of the options only stride and ceil_mode have a meaning", g->op);
    terni_window w;
    int64_t size[3];
    return terni_pool_window(g, &w) && terni_window_sizes(g->op, x, &w, g->ceil_mode, NULL, size) ? x : NULL;
}

static tern_tensor *power(tern_tensor *x, double p) {
    return p == 2 ? tern_square(x) : p == 1 ? x : tern_pow_scalar(x, p);
}

static tern_tensor *root(tern_tensor *mean, const terni_pool_given *g, double p) {
    double count = 1;
    for (int i = 0; i < g->n; i++)
        count *= (double)g->kernel[i && !g->kernel[i] ? (i == 2 && g->kernel[1] ? 1 : 0) : i];
    tern_tensor *sum = tern_mul_scalar(mean, count);
    return p == 2 ? tern_sqrt(sum) : p == 1 ? sum : tern_pow_scalar(sum, 1 / p);
}

tern_tensor *tern_lp_pool1d(tern_tensor *x, double p, int64_t kernel, tern_pool1d_opts opts) {
    TERNI_AUTOCAST(F32, &x);
    const terni_pool_given g = terni_pool1("lp_pool1d", &kernel, &opts);
    return check(&g, x, p) ? root(tern_avg_pool1d(power(x, p), kernel, opts), &g, p) : NULL;
}
tern_tensor *tern_lp_pool2d(tern_tensor *x, double p, const int64_t kernel[2], tern_pool2d_opts opts) {
    TERNI_AUTOCAST(F32, &x);
    const terni_pool_given g = terni_pool2("lp_pool2d", kernel, &opts);
    return check(&g, x, p) ? root(tern_avg_pool2d(power(x, p), kernel, opts), &g, p) : NULL;
}
tern_tensor *tern_lp_pool3d(tern_tensor *x, double p, const int64_t kernel[3], tern_pool3d_opts opts) {
    TERNI_AUTOCAST(F32, &x);
    const terni_pool_given g = terni_pool3("lp_pool3d", kernel, &opts);
    return check(&g, x, p) ? root(tern_avg_pool3d(power(x, p), kernel, opts), &g, p) : NULL;
}
