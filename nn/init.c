/* Initialisers: in place, outside of autograd. */
#include <math.h>

#include "internal.h"
#include "tern/random.h"

static bool fill(tern_tensor *t, double value) {
    const bool was = tern_grad_mode(false);
    const bool ok = tern_fill_(t, value) != NULL;
    tern_grad_mode(was);
    return ok;
}

static bool uniform(tern_tensor *t, double lo, double hi) {
    const bool was = tern_grad_mode(false);
    const bool ok = tern_uniform_(t, lo, hi);
    tern_grad_mode(was);
    return ok;
}

static bool normal(tern_tensor *t, double mean, double std) {
    const bool was = tern_grad_mode(false);
    const bool ok = tern_normal_(t, mean, std);
    tern_grad_mode(was);
    return ok;
}

bool tern_init_zeros(tern_tensor *t) { return fill(t, 0); }
bool tern_init_ones(tern_tensor *t) { return fill(t, 1); }
bool tern_init_constant(tern_tensor *t, double value) { return fill(t, value); }
bool tern_init_uniform(tern_tensor *t, double lo, double hi) { return uniform(t, lo, hi); }
bool tern_init_normal(tern_tensor *t, double mean, double std) { return normal(t, mean, std); }

/* ---- by the number of connections -------------------------------------------------------------------------------- */

typedef struct fans {
    double in, out;
} fans;

/* False after an error. A weight [out, in, kernel...]; one without elements has fans of 1, as nothing is drawn. */
static bool fans_of(const char *op, const tern_tensor *t, fans *f) {
    if (!terni_given(t, op, "t")) return false;
    const tern_shape s = tern_shape_get(t);
    if (s.ndim < 2) {
        char text[128];
        return terni_fail(TERN_ERR_SHAPE, "%s: t %s has fewer than the 2 dimensions of a weight [out, in, ...]", op,
                          tern_shape_text(s, text, sizeof text));
    }
    double kernel = 1;
    for (int i = 2; i < s.ndim; i++) kernel *= (double)s.dim[i];
    *f = (fans){(double)s.dim[1] * kernel, (double)s.dim[0] * kernel};
    if (tern_numel(t) == 0) *f = (fans){1, 1};
    return true;
}

/* The standard deviation that keeps the variance from layer to layer. */
static bool xavier_std(const char *op, const tern_tensor *t, double gain, double *std) {
    fans f;
    if (!fans_of(op, t, &f)) return false;
    if (!(gain >= 0)) return terni_fail(TERN_ERR_ARGUMENT, "%s: gain is %g; 0 or more expected", op, gain);
    *std = gain * sqrt(2 / (f.in + f.out));
    return true;
}

static bool kaiming_std(const char *op, const tern_tensor *t, double slope, tern_fan fan, double *std) {
    fans f;
    if (!fans_of(op, t, &f)) return false;
    if (!isfinite(slope)) return terni_fail(TERN_ERR_ARGUMENT, "%s: slope is %g", op, slope);
    if (fan != TERN_FAN_IN && fan != TERN_FAN_OUT) return terni_fail(TERN_ERR_ARGUMENT, "%s: no such fan", op);
    *std = sqrt(2 / (1 + slope * slope)) / sqrt(fan == TERN_FAN_IN ? f.in : f.out);
    return true;
}

/* Uniform within +-a has the standard deviation a / sqrt(3). */
static bool uniform_of_std(tern_tensor *t, double std) { return uniform(t, -sqrt(3) * std, sqrt(3) * std); }

bool tern_init_xavier_uniform(tern_tensor *t, double gain) {
    double std = 0;
    return xavier_std("init_xavier_uniform", t, gain, &std) && uniform_of_std(t, std);
}
bool tern_init_xavier_normal(tern_tensor *t, double gain) {
    double std = 0;
    return xavier_std("init_xavier_normal", t, gain, &std) && normal(t, 0, std);
}
bool tern_init_kaiming_uniform(tern_tensor *t, double slope, tern_fan fan) {
    double std = 0;
    return kaiming_std("init_kaiming_uniform", t, slope, fan, &std) && uniform_of_std(t, std);
}
bool tern_init_kaiming_normal(tern_tensor *t, double slope, tern_fan fan) {
    double std = 0;
    return kaiming_std("init_kaiming_normal", t, slope, fan, &std) && normal(t, 0, std);
}

bool terni_init_affine(tern_tensor *w, tern_tensor *b) {
    fans f;
    if (!fans_of("init", w, &f) || !tern_init_kaiming_uniform(w, sqrt(5), TERN_FAN_IN)) return false;
    return !b || uniform(b, -1 / sqrt(f.in), 1 / sqrt(f.in));
}
