/* Uniform and normal draws from the program's stream. */
#include <math.h>

#include "internal.h"
#include "philox.h"

/* Bits of the significand, and the exponent (as frexp has it) of the smallest normal number. */
typedef struct format {
    int bits, min_exp;
    double max;
} format;

static format format_of(tern_dtype d) {
    switch (d) {
        case TERN_F16:
            return (format){11, -13, 65504.0};
        case TERN_BF16:
            return (format){8, -125, 0x1.fep127};
        case TERN_F64:
            return (format){53, -1021, 0x1.fffffffffffffp1023};
        default:
            return (format){24, -125, 0x1.fffffep127};
    }
}

/* The largest value of the format that is below x. */
static double below(double x, format f) {
    int e = f.min_exp;
    const double m = x != 0.0 ? frexp(x, &e) : 0.0;
    if (e < f.min_exp) e = f.min_exp;
    const double step = ldexp(1.0, e - f.bits), t = floor(x / step) * step;
    if (t < x) return t;
    return x - (m == 0.5 && e > f.min_exp ? step / 2 : step);
}

static bool draw(int op, tern_tensor *t, terni_random_opts o) {
    if (!terni_draws_take(t->device, terni_philox_blocks(t->numel, terni_dtype(t) == TERN_F64), &o.from) ||
        !terni_run(op, NULL, 0, &t, 1, &o))
        return false;
    tern_touch(t);
    return true;
}

static bool uniform(const char *op, tern_tensor *t, double lo, double hi) {
    if (!terni_same_float(op, &t, 1)) return false;
    const format f = format_of(terni_dtype(t));
    if (!(lo <= hi)) return terni_fail(TERN_ERR_ARGUMENT, "%s: lo %g and hi %g, expected lo <= hi", op, lo, hi);
    if (lo < -f.max || hi > f.max || hi - lo > f.max)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: [%g, %g) does not fit into %s", op, lo, hi,
                          tern_dtype_name(terni_dtype(t)));
    const terni_random_opts o = {.a = lo, .b = hi, .top = fmax(below(hi, f), lo)};
    return draw(TERNI_OP_uniform, t, o);
}

static bool normal(const char *op, tern_tensor *t, double mean, double std) {
    if (!terni_same_float(op, &t, 1)) return false;
    if (!(std >= 0) || !isfinite(std) || !isfinite(mean))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: mean %g and std %g, expected finite ones with std >= 0", op, mean,
                          std);
    const terni_random_opts o = {.a = mean, .b = std};
    return draw(TERNI_OP_normal, t, o);
}

typedef bool (*filler)(const char *op, tern_tensor *t, double a, double b);

static bool in_place(filler fill, const char *op, const char *instead, tern_tensor *t, double a, double b) {
    if (!terni_given(t, op, "t")) return false;
    const terni_in_place kind = terni_in_place_begin(op, instead, t, NULL, 0);
    if (kind != TERNI_RECORDED) return kind == TERNI_PLAIN && fill(op, t, a, b);
    const int scope = tern_scope_push();
    tern_tensor *fresh = tern_empty_like(t);
    const bool ok = fresh && fill(op, fresh, a, b) && terni_in_place_overwrite(op, t, fresh);
    tern_scope_pop(scope);
    return ok;
}

bool tern_uniform_(tern_tensor *t, double lo, double hi) { return in_place(uniform, "uniform_", "rand", t, lo, hi); }
bool tern_normal_(tern_tensor *t, double mean, double std) {
    return in_place(normal, "normal_", "randn", t, mean, std);
}
tern_tensor *tern_rand(tern_shape shape, double lo, double hi, tern_options options) {
    TERNI_NAMED("rand");
    tern_tensor *t = tern_empty(shape, options);
    return t && uniform("rand", t, lo, hi) ? t : NULL;
}
tern_tensor *tern_randn(tern_shape shape, double mean, double std, tern_options options) {
    TERNI_NAMED("randn");
    tern_tensor *t = tern_empty(shape, options);
    return t && normal("randn", t, mean, std) ? t : NULL;
}

tern_tensor *tern_rand_like(tern_tensor *t, double lo, double hi) {
    tern_tensor *r = terni_given(t, "rand_like", "t") ? tern_empty_like(t) : NULL;
    return r && uniform("rand_like", r, lo, hi) ? r : NULL;
}
tern_tensor *tern_randn_like(tern_tensor *t, double mean, double std) {
    tern_tensor *r = terni_given(t, "randn_like", "t") ? tern_empty_like(t) : NULL;
    return r && normal("randn_like", r, mean, std) ? r : NULL;
}

tern_tensor *tern_normal(tern_tensor *mean, tern_tensor *std) {
    tern_shape s;
    if (!terni_given(mean, "normal", "mean") || !terni_given(std, "normal", "std") ||
        !terni_same_float("normal", (tern_tensor *const[]){mean, std}, 2) ||
        !terni_same_device("normal", (tern_tensor *const[]){mean, std}, 2, NULL) ||
        !terni_broadcast("normal", terni_shape(mean), terni_shape(std), &s))
        return NULL;
    return tern_add(mean, tern_mul(std, tern_randn(s, 0, 1, (tern_options){terni_dtype(mean), mean->device})));
}

tern_tensor *tern_exponential(tern_shape shape, double rate, tern_options o) {
    TERNI_NAMED("exponential");
    if (!tern_ok()) return NULL;
    if (!tern_dtype_is_float(o.dtype))
        return terni_null(TERN_ERR_DTYPE, "exponential: %s; expected a float dtype", tern_dtype_name(o.dtype));
    if (!(rate > 0) || !isfinite(rate))
        return terni_null(TERN_ERR_ARGUMENT, "exponential: rate %g; expected a finite number above 0", rate);
    if (!terni_shape_check("exponential", &shape, o.dtype)) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *u = tern_rand(shape, 0, 1, (tern_options){o.dtype == TERN_F64 ? TERN_F64 : TERN_F32, o.device});
    tern_tensor *y = tern_cast(tern_mul_scalar(tern_log1p(tern_neg(u)), -1 / rate), o.dtype);
    return tern_scope_return(scope, y);
}

/* Draws u between the values that erf takes at the bounds; y = mean + std sqrt(2) erfinv(u), in f64. */
tern_tensor *tern_trunc_normal(tern_shape shape, double mean, double std, double lo, double hi, tern_options o) {
    TERNI_NAMED("trunc_normal");
    if (!tern_ok()) return NULL;
    if (!tern_dtype_is_float(o.dtype))
        return terni_null(TERN_ERR_DTYPE, "trunc_normal: %s; expected a float dtype", tern_dtype_name(o.dtype));
    const double wide = std * 1.41421356237309504880, a = erf((lo - mean) / wide), b = erf((hi - mean) / wide);
    if (!(std > 0) || !isfinite(mean) || !isfinite(wide) || !(lo < hi) || !isfinite(hi - lo) || !(b - a > 2e-9))
        return terni_null(TERN_ERR_ARGUMENT, "trunc_normal: mean %g, std %g in [%g, %g]", mean, std, lo, hi);
    if (!terni_shape_check("trunc_normal", &shape, TERN_F64)) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *u = tern_rand(shape, a, b, (tern_options){TERN_F64, o.device});
    tern_tensor *y = tern_add_scalar(tern_mul_scalar(tern_erfinv(u), wide), mean);
    return tern_scope_return(scope, tern_cast(tern_clamp(y, lo, hi), o.dtype));
}
