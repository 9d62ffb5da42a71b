/* Adafactor: second moments of matrices by row and by column. Source: Shazeer and Stern, arXiv 1804.04235, algorithms 4
 * and 5, and PyTorch's form of them. */
#include <float.h>
#include <math.h>

#include "internal.h"

enum { ROW, COLUMN, WHOLE };

static bool has(const tern_optim *o, const terni_optim_param *p, int k) {
    (void)o;
    return k > WHOLE || (tern_ndim(p->tensor) > 1) == (k != WHOLE);
}

static tern_tensor *make(const tern_optim *o, const terni_optim_param *p, int k) {
    (void)o;
    if (k == WHOLE) return NULL;
    tern_shape shape = tern_shape_get(p->tensor);
    shape.dim[shape.ndim - 1 - k] = 1;
    return tern_zeros(shape, (tern_options){0});
}

static double smallest(tern_dtype dtype) {
    switch (dtype) {
        case TERN_F64:
            return DBL_EPSILON;
        case TERN_F16:
            return 0x1p-10;
        case TERN_BF16:
            return 0x1p-7;
        default:
            return (double)FLT_EPSILON;
    }
}

/* The root of the mean square, 0-dim. */
static tern_tensor *rms(tern_tensor *t) { return tern_sqrt(tern_mean(tern_square(t), NULL, 0, false)); }

/* state += (mean of squares - state) x share; gives the new state. */
static tern_tensor *blend(tern_tensor *state, tern_tensor *mean, double share) {
    tern_tensor *next = tern_lerp_scalar(terni_wide(state), mean, share);
    return tern_copy_(state, next) ? next : NULL;
}

/* The estimate of g's second moment; `least` keeps PyTorch's form from dividing by 0. */
static tern_tensor *estimate(const terni_bucket *b, int i, tern_tensor *square, double share, double least) {
    static const int last[] = {-1}, before[] = {-2};
    if (tern_ndim(square) < 2) return blend(b->slot[WHOLE][i], square, share);
    tern_tensor *row = blend(b->slot[ROW][i], tern_mean(square, last, 1, true), share);
    tern_tensor *column = blend(b->slot[COLUMN][i], tern_mean(square, before, 1, true), share);
    tern_tensor *mean = tern_mean(row, before, 1, true);
    if (least > 0) mean = tern_clamp(mean, least, (double)INFINITY);
    return tern_div(tern_mul(row, column), mean);
}

static bool update_one(const tern_adafactor_opts *a, const terni_bucket *b, int i) {
    const terni_moment *m = &b->now;
    const double step = (double)m->step, share = pow(step, a->beta2_decay);
    const double eps = a->eps1 > 0   ? a->eps1
                       : a->eps1 < 0 ? 0
                       : a->paper    ? 1e-30
                                     : smallest(tern_dtype_of(b->param[i]));
    tern_tensor *g = terni_gradient(b, i), *square = tern_square(g), *p = terni_wide(b->param[i]);
    if (a->paper) square = tern_add_scalar(square, eps);
    tern_tensor *v = estimate(b, i, square, share, a->paper ? 0 : eps);
    if (!a->paper) v = tern_clamp(v, eps * eps, (double)INFINITY);
    tern_tensor *u = tern_mul(tern_rsqrt(v), g);
    u = tern_div(u, tern_clamp(tern_mul_scalar(rms(u), 1 / a->clip), 1, (double)INFINITY));
    if (a->fixed_step)
        u = tern_mul_scalar(u, m->lr);
    else
        u = tern_mul(u, tern_mul_scalar(tern_clamp(rms(p), a->eps2, (double)INFINITY), fmin(m->lr, 1 / sqrt(step))));
    return terni_step(b, i, u, 1 - m->lr * m->weight_decay);
}

static bool update(const tern_optim *o, terni_bucket *b) {
    bool ok = true;
    const bool was = tern_grad_mode(false);
    for (int i = 0; i < b->n && ok; i++) {
        const int scope = tern_scope_push();
        ok = update_one(&o->opts.adafactor, b, i);
        tern_scope_pop(scope);
    }
    tern_grad_mode(was);
    return ok;
}

static const terni_rule rule = {
    .type = "adafactor", .slot = {"row_var", "col_var", "variance"}, .update = update, .make = make, .has = has};

tern_optim *tern_adafactor_new(tern_module *m, double lr, tern_adafactor_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.beta2_decay <= 0) || opts.eps1 != opts.eps1 || opts.eps2 != opts.eps2 || !(opts.clip >= 0) ||
        (opts.fixed_step && !opts.paper))
        return terni_null(TERN_ERR_ARGUMENT,
                          "adafactor: beta2_decay %g, eps1 %g, eps2 %g, clip %g; 0 or less, numbers, and 0 or more "
                          "expected, and fixed_step only with paper",
                          opts.beta2_decay, opts.eps1, opts.eps2, opts.clip);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &rule,
                                                          .slots = 7,
                                                          .lr = lr,
                                                          .weight_decay = opts.weight_decay,
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    if (!(opts.beta2_decay < 0)) opts.beta2_decay = -0.8;
    opts.eps2 = terni_setting(opts.eps2, 1e-3);
    opts.clip = opts.clip > 0 ? opts.clip : 1;
    o->opts.adafactor = opts;
    return o;
}
