/* Initialisers: in place, outside of autograd. */
#include <math.h>

#include "internal.h"

typedef bool (*draw)(tern_tensor *t, double a, double b);

static bool fill(tern_tensor *t, double value, double unused) {
    (void)unused;
    return tern_fill_(t, value) != NULL;
}

static bool outside(draw fn, tern_tensor *t, double a, double b) {
    if (!terni_given(t, "init", "t")) return false;
    const bool was = tern_grad_mode(false);
    const bool ok = fn(t, a, b);
    tern_grad_mode(was);
    return ok;
}

bool tern_init_zeros(tern_tensor *t) { return outside(fill, t, 0, 0); }
bool tern_init_ones(tern_tensor *t) { return outside(fill, t, 1, 0); }
bool tern_init_constant(tern_tensor *t, double value) { return outside(fill, t, value, 0); }
bool tern_init_uniform(tern_tensor *t, double lo, double hi) { return outside(tern_uniform_, t, lo, hi); }
bool tern_init_normal(tern_tensor *t, double mean, double std) { return outside(tern_normal_, t, mean, std); }

static bool fans(const char *op, tern_tensor *t, double *in, double *out) {
    if (!terni_given(t, op, "t")) return false;
    if (tern_ndim(t) < 2)
        return terni_fail(TERN_ERR_SHAPE, "%s: a tensor of %d dimensions; expected 2 or more", op, tern_ndim(t));
    double kernel = 1;
    for (int i = 2; i < tern_ndim(t); i++) kernel *= (double)tern_size(t, i);
    *in = (double)tern_size(t, 1) * kernel;
    *out = (double)tern_size(t, 0) * kernel;
    return true;
}

static double xavier_std(double gain, double in, double out) { return in + out > 0 ? gain * sqrt(2 / (in + out)) : 0; }

bool tern_init_xavier_uniform(tern_tensor *t, double gain) {
    double in, out;
    if (!fans("init_xavier_uniform", t, &in, &out)) return false;
    const double bound = sqrt(3) * xavier_std(gain, in, out);
    return tern_init_uniform(t, -bound, bound);
}

bool tern_init_xavier_normal(tern_tensor *t, double gain) {
    double in, out;
    return fans("init_xavier_normal", t, &in, &out) && tern_init_normal(t, 0, xavier_std(gain, in, out));
}

static bool kaiming_std(const char *op, tern_tensor *t, double slope, tern_fan fan, double *std) {
    double in, out;
    if (!fans(op, t, &in, &out)) return false;
    const double n = fan == TERN_FAN_OUT ? out : in;
    *std = n > 0 ? sqrt(2 / (1 + slope * slope) / n) : 0;
    return true;
}

bool tern_init_kaiming_uniform(tern_tensor *t, double slope, tern_fan fan) {
    double std;
    if (!kaiming_std("init_kaiming_uniform", t, slope, fan, &std)) return false;
    return tern_init_uniform(t, -sqrt(3) * std, sqrt(3) * std);
}

bool tern_init_kaiming_normal(tern_tensor *t, double slope, tern_fan fan) {
    double std;
    return kaiming_std("init_kaiming_normal", t, slope, fan, &std) && tern_init_normal(t, 0, std);
}
