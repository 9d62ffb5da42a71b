/* interpolate: along each axis a sparse matrix, whose rows hold an output's taps and weights. One kernel multiplies
 * with it; the gradient is the transposed matrix. */
#include <math.h>

#include "casting.h"
#include "internal.h"
#include "ops/normalise.h"

/* ---- the matrix of an axis ------------------------------------------------------------------------------------------
 */

typedef struct axis {
    tern_interpolation mode;
    int64_t in, out;
    double scale; /* input elements for one of the output */
    bool align_corners, antialias;
} axis;

static double within(double v, double lo, double hi) { return v < lo ? lo : v > hi ? hi : v; }

/* Output i's taps, where they are a run of their own length: TERN_AREA and antialias. */
static void window(const axis *a, int64_t i, int64_t *first, int64_t *end) {
    if (a->mode == TERN_AREA) { /* floor(i in / out), ceil((i + 1) in / out), without overflow */
        const int64_t q = a->in / a->out, r = a->in % a->out;
        *first = i * q + (int64_t)((double)i * (double)r / (double)a->out);
        while ((double)*first * (double)a->out > (double)i * (double)a->in) --*first;
        while (((double)*first + 1) * (double)a->out <= (double)i * (double)a->in) ++*first;
        *end = *first + 1;
        while ((double)*end * (double)a->out < ((double)i + 1) * (double)a->in) ++*end;
        return;
    }
    const double reach = (a->mode == TERN_CUBIC ? 2 : 1) * (a->scale >= 1 ? a->scale : 1);
    const double centre = a->scale * ((double)i + 0.5);
    *first = (int64_t)within(trunc(centre - reach + 0.5), 0, (double)a->in - 1);
    *end = (int64_t)within(trunc(centre + reach + 0.5), (double)*first + 1, (double)a->in);
}

/* Keys' cubic convolution kernel. */
static double cubic(double x, double a) {
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static bool has_window(const axis *a) { return a->mode == TERN_AREA || a->antialias; }

static int64_t tap_count(const axis *a, int64_t i) {
    int64_t first, end;
    if (!has_window(a)) return a->mode == TERN_LINEAR ? 2 : a->mode == TERN_CUBIC ? 4 : 1;
    window(a, i, &first, &end);
    return end - first;
}

static void window_taps(const axis *a, int64_t i, int64_t *index, double *weight) {
    int64_t first, end;
    double sum = 0;
    window(a, i, &first, &end);
    const double centre = a->scale * ((double)i + 0.5), by = a->scale >= 1 ? 1 / a->scale : 1;
    for (int64_t k = first; k < end; k++) {
        const double x = ((double)k - centre + 0.5) * by;
        const double w = a->mode == TERN_AREA ? 1 : a->mode == TERN_CUBIC ? cubic(x, -0.5) : fmax(0, 1 - fabs(x));
        index[k - first] = k;
        weight[k - first] = w;
        sum += w;
    }
    for (int64_t k = first; k < end; k++) weight[k - first] = sum != 0 ? weight[k - first] / sum : 0;
}

static void taps(const axis *a, int64_t i, int64_t *index, double *weight) {
    const double last = (double)a->in - 1, half = a->align_corners ? 0 : 0.5;
    if (has_window(a)) {
        window_taps(a, i, index, weight);
    } else if (a->mode == TERN_NEAREST || a->mode == TERN_NEAREST_EXACT) {
        const double at = ((double)i + (a->mode == TERN_NEAREST ? 0 : 0.5)) * a->scale;
        index[0] = (int64_t)within(floor(at), 0, last);
        weight[0] = 1;
    } else if (a->mode == TERN_LINEAR) {
        const double at = within(a->scale * ((double)i + half) - half, 0, last), low = floor(at);
        index[0] = (int64_t)low;
        index[1] = (int64_t)within(low + 1, 0, last);
        weight[0] = 1 - (at - low);
        weight[1] = at - low;
    } else {
        const double at = a->scale * ((double)i + half) - half, low = floor(at);
        for (int k = 0; k < 4; k++) {
            index[k] = (int64_t)within(low + k - 1, 0, last);
            weight[k] = cubic(at - low + 1 - k, -0.75);
        }
    }
}

/* ---- its tables, as tensors -----------------------------------------------------------------------------------------
 */

enum { START, INDEX, WEIGHT, TABLES };

static bool new_tables(int64_t rows, int64_t count, tern_tensor **t) {
    t[START] = tern_empty(TERN_SHAPE(rows + 1), (tern_options){TERN_I64, tern_cpu()});
    t[INDEX] = tern_empty(TERN_SHAPE(count), (tern_options){TERN_I64, tern_cpu()});
    t[WEIGHT] = tern_empty(TERN_SHAPE(count), (tern_options){TERN_F64, tern_cpu()});
    return t[START] && t[INDEX] && t[WEIGHT];
}

static bool build(const axis *a, tern_tensor **t) {
    int64_t count = 0;
    const tern_shape rows = TERN_SHAPE(a->out);
    if (!terni_shape_check("interpolate", &rows, TERN_F64)) return false;
    if (!new_tables(a->out, 0, t)) return false; /* before rows without number are counted */
    for (int64_t i = 0; i < a->out; i++) count += tap_count(a, i);
    if (!new_tables(a->out, count, t)) return false;
    int64_t *start = tern_data(t[START]), *index = tern_data(t[INDEX]);
    double *weight = tern_data(t[WEIGHT]);
    start[0] = 0;
    for (int64_t i = 0; i < a->out; i++) {
        taps(a, i, index + start[i], weight + start[i]);
        start[i + 1] = start[i] + tap_count(a, i);
    }
    return true;
}

/* The transposed matrix: for each input element the outputs that use it, in their order. */
static bool transpose(const axis *a, tern_tensor *const *t, tern_tensor **u) {
    const int64_t *start = tern_data(t[START]), *index = tern_data(t[INDEX]), count = t[INDEX]->numel;
    const double *weight = tern_data(t[WEIGHT]);
    if (!new_tables(a->in, count, u)) return false;
    int64_t *ustart = tern_data(u[START]), *uindex = tern_data(u[INDEX]);
    double *uweight = tern_data(u[WEIGHT]);
    for (int64_t k = 0; k <= a->in; k++) ustart[k] = 0;
    for (int64_t k = 0; k < count; k++) ustart[index[k] + 1]++;
    for (int64_t k = 0; k < a->in; k++) ustart[k + 1] += ustart[k];
    for (int64_t i = 0; i < a->out; i++) /* ustart[s] runs to the end of row s, */
        for (int64_t k = start[i]; k < start[i + 1]; k++) {
            const int64_t at = ustart[index[k]]++;
            uindex[at] = i;
            uweight[at] = weight[k];
        }
    for (int64_t k = a->in; k > 0; k--) ustart[k] = ustart[k - 1]; /* which is the next one's start */
    ustart[0] = 0;
    return true;
}

/* ---- the product: in is x [O, S, I], the matrix's tables, and its transpose's
 * ------------------------------------------ */

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    tern_tensor *x = terni_dense(in[0]);
    if (!x) return false;
    const tern_shape s = TERN_SHAPE(x->v.shape[0], in[1 + START]->numel - 1, x->v.shape[2]);
    if (!terni_shape_check("interpolate", &s, terni_dtype(x))) return false;
    out[0] = terni_new(s, terni_dtype(x), x->device);
    tern_tensor *const used[4] = {x, in[1 + START], in[1 + INDEX], in[1 + WEIGHT]};
    for (int i = 0; i < 2 * TABLES; i++)
        if (!tern_ctx_save(ctx, in[1 + i])) return false;
    return out[0] && terni_run(TERNI_OP_resample, used, 4, out, 1, NULL);
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static const tern_function function = {"interpolate", 1, 0, forward, backward, NULL};

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *in[1 + 2 * TABLES] = {grad[0]};
    for (int i = 0; i < 2 * TABLES; i++) in[1 + i] = tern_ctx_saved(ctx, (i + TABLES) % (2 * TABLES));
    return tern_ok() && tern_apply(&function, in, 1 + 2 * TABLES, NULL, grad_in);
}

/* x along dimension d. */
static tern_tensor *along(tern_tensor *x, int d, const axis *a) {
    tern_tensor *in[1 + 2 * TABLES];
    tern_shape s = terni_shape(x);
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < s.ndim; i++) *(i < d ? &outer : &inner) *= i == d ? 1 : s.dim[i];
    if (!build(a, in + 1) || !transpose(a, in + 1, in + 1 + TABLES)) return NULL;
    for (int i = 1; i <= 2 * TABLES; i++) {
        if ((i - 1) % TABLES == WEIGHT) in[i] = tern_cast(in[i], terni_dtype(x));
        if (!in[i] || !(in[i] = tern_to(in[i], x->device))) return NULL;
    }
    in[0] = tern_reshape(x, TERN_SHAPE(outer, a->in, inner));
    tern_tensor *y;
    if (!in[0] || !tern_apply(&function, in, 1 + 2 * TABLES, NULL, &y)) return NULL;
    s.dim[d] = a->out;
    return tern_reshape(y, s);
}

/* ---- the op
 * ---------------------------------------------------------------------------------------------------------- */

static bool axis_of(const tern_interpolate_opts *o, int d, tern_tensor *x, axis *a) {
    double factor = o->scale_factor[d];
    for (int i = d; i > 0 && factor == 0; i--) factor = o->scale_factor[i - 1];
    *a = (axis){o->mode, x->v.shape[2 + d], o->size[d], 0, o->align_corners, o->antialias};
    const bool sized = o->size[d] != 0;
    if (!sized && !(factor > 0 && factor < 0x1p62))
        return terni_fail(TERN_ERR_ARGUMENT,
                          "interpolate: axis %d of x %s has neither a size nor a scale_factor above 0", d,
                          terni_describe(x));
    const double size = floor((double)a->in * factor);
    if (!sized) a->out = size < 0x1p62 ? (int64_t)size : -1;
    if (a->in < 1 || a->out < 1)
        return terni_fail(TERN_ERR_SHAPE, "interpolate: axis %d of x %s cannot become %lld", d, terni_describe(x),
                          (long long)a->out);
    if (o->align_corners)
        a->scale = a->out > 1 ? (double)(a->in - 1) / (double)(a->out - 1) : 0;
    else
        a->scale = sized || o->mode == TERN_AREA ? (double)a->in / (double)a->out : 1 / factor;
    return true;
}

tern_tensor *tern_interpolate(tern_tensor *x, tern_interpolate_opts opts) {
    TERNI_NAMED("interpolate");
    TERNI_AUTOCAST(F32, opts.mode == TERN_AREA ? NULL : &x);
    static const char op[] = "interpolate";
    if (!terni_given(x, op, "x") || !terni_same_float(op, &x, 1)) return NULL;
    const int n = x->v.ndim - 2;
    axis a[3];
    if (n < 1 || n > 3)
        return terni_null(TERN_ERR_SHAPE, "interpolate: x %s, expected [N, C, one to three axes]", terni_describe(x));
    if (opts.mode < TERN_NEAREST || opts.mode > TERN_AREA)
        return terni_null(TERN_ERR_ARGUMENT, "interpolate: mode %d is none of the five", (int)opts.mode);
    if ((opts.align_corners || opts.antialias) && opts.mode != TERN_LINEAR && opts.mode != TERN_CUBIC)
        return terni_null(TERN_ERR_ARGUMENT, "interpolate: align_corners and antialias go with linear and cubic");
    tern_shape s = terni_shape(x);
    for (int d = 0; d < n; d++) {
        if (!axis_of(&opts, d, x, &a[d])) return NULL;
        s.dim[2 + d] = a[d].out;
    }
    const tern_dtype dtype = terni_dtype(x);
    if (!terni_shape_check(op, &s, terni_acc_dtype(dtype))) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *y = tern_cast(x, terni_acc_dtype(dtype));
    for (int d = n - 1; y && d >= 0; d--) y = along(y, 2 + d, &a[d]);
    return tern_scope_return(scope, y ? tern_cast(y, dtype) : NULL);
}
