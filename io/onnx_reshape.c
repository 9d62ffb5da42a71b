/* ONNX import: ops that make, move, choose and reduce. */
#include <math.h>
#include <string.h>

#include "onnx_model.h"

enum { DIMS = TERN_MAX_DIMS };

static bool out(terni_om_run *r, tern_tensor *t) { return (r->out[0] = t) != NULL; }
/* An op that leaves x as it is gives a tensor of its own. */
static bool own(terni_om_run *r, tern_tensor *t) { return out(r, t && t == r->in[0] ? tern_clone(t) : t); }
static tern_dtype dtype_of(const terni_om_run *r) { return tern_dtype_of(r->in[0]); }

/* Distinct axes from the attribute or input i, sorted; all of ndim (if absent). -1 after an error. */
static int axes_of(terni_om_run *r, int i, int ndim, int *axes, bool *absent) {
    int64_t v[DIMS];
    const int n = terni_om_ints(r, "axes", i, v, DIMS);
    unsigned seen = 0;
    int count = 0;
    *absent = n == TERNI_OM_OPTIONAL;
    if (n < 0 || *absent) return n < 0 ? -1 : 0;
    for (int k = 0; k < n; k++) {
        const int a = terni_om_axis(r, v[k], ndim);
        if (a < 0) return -1;
        if (seen >> a & 1) return terni_om_bad(r, "axis %d twice", a), -1;
        seen |= 1u << a;
    }
    for (int a = 0; a < ndim; a++)
        if (seen >> a & 1) axes[count++] = a;
    return count;
}

/* ---- shapes --------------------------------------------------------------------------------------------------------
 */

static bool reshape(terni_om_run *r) {
    int64_t v[DIMS];
    tern_tensor *x = r->in[0];
    const int n = terni_om_ints(r, "shape", 1, v, DIMS);
    const bool zeros = terni_om_int(r, "allowzero", 0) != 0;
    if (n < 0 || n == TERNI_OM_OPTIONAL) return n < 0 ? false : terni_om_bad(r, "no shape");
    tern_shape s = {.ndim = n};
    for (int d = 0; d < n; d++) {
        s.dim[d] = v[d];
        if (v[d] != 0 || zeros) continue;
        if (d >= tern_ndim(x)) return terni_om_bad(r, "a 0 at place %d, where the input has no size", d);
        s.dim[d] = tern_size(x, d);
    }
    return own(r, tern_reshape(x, s));
}

static bool flatten(terni_om_run *r) {
    tern_tensor *x = r->in[0];
    const int64_t axis = terni_om_int(r, "axis", 1);
    const int n = tern_ndim(x);
    if (axis < -n || axis > n) return terni_om_bad(r, "axis %lld of %d", (long long)axis, n);
    int64_t rows = 1, columns = 1;
    for (int d = 0; d < n; d++) *(d < (axis < 0 ? axis + n : axis) ? &rows : &columns) *= tern_size(x, d);
    return own(r, tern_reshape(x, TERN_SHAPE(rows, columns)));
}

static bool transpose(terni_om_run *r) {
    int64_t v[DIMS];
    int dims[DIMS];
    const int ndim = tern_ndim(r->in[0]), n = terni_om_ints(r, "perm", -1, v, DIMS);
    if (n < 0) return false;
    if (n != TERNI_OM_OPTIONAL && n != ndim) return terni_om_bad(r, "perm has %d numbers for %d dimensions", n, ndim);
    for (int d = 0; d < ndim; d++)
        if ((dims[d] = n == TERNI_OM_OPTIONAL ? ndim - 1 - d : terni_om_axis(r, v[d], ndim)) < 0) return false;
    return own(r, tern_permute(r->in[0], dims, ndim));
}

static bool squeeze(terni_om_run *r) {
    int axes[DIMS];
    bool absent;
    tern_tensor *x = r->in[0];
    const int n = axes_of(r, 1, tern_ndim(x), axes, &absent);
    tern_shape s = {0};
    if (n < 0) return false;
    for (int d = 0, k = 0; d < tern_ndim(x); d++) {
        const bool named = !absent && k < n && axes[k] == d;
        k += named;
        if (named && tern_size(x, d) != 1) return terni_om_bad(r, "dimension %d is not 1", d);
        if (!named && !(absent && tern_size(x, d) == 1)) s.dim[s.ndim++] = tern_size(x, d);
    }
    return own(r, tern_reshape(x, s));
}

static bool unsqueeze(terni_om_run *r) {
    int64_t v[DIMS];
    tern_tensor *x = r->in[0];
    const int n = terni_om_ints(r, "axes", 1, v, DIMS), ndim = tern_ndim(x) + n;
    if (n < 0 || n == TERNI_OM_OPTIONAL) return n < 0 ? false : terni_om_bad(r, "no axes");
    if (ndim > DIMS) return terni_om_refuse(r, "more than %d dimensions", DIMS);
    unsigned ones = 0;
    for (int i = 0; i < n; i++) {
        const int a = terni_om_axis(r, v[i], ndim);
        if (a < 0) return false;
        if (ones >> a & 1) return terni_om_bad(r, "axis %d twice", a);
        ones |= 1u << a;
    }
    tern_shape s = {.ndim = ndim};
    for (int d = 0, k = 0; d < ndim; d++) s.dim[d] = ones >> d & 1 ? 1 : tern_size(x, k++);
    return own(r, tern_reshape(x, s));
}

static bool concat(terni_om_run *r) {
    for (int i = 0; i < r->n; i++)
        if (!r->all[i]) return terni_om_bad(r, "input %d is missing", i);
    if (!terni_om_has(r, "axis")) return terni_om_bad(r, "no axis");
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", 0), tern_ndim(r->all[0]));
    return axis >= 0 && out(r, tern_cat(r->all, r->n, axis));
}

static bool split(terni_om_run *r) {
    int64_t v[TERNI_OM_OUT];
    tern_tensor *x = r->in[0];
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", 0), tern_ndim(x)), parts = r->node->n_out;
    const int n = terni_om_ints(r, "split", 1, v, TERNI_OM_OUT);
    if (axis < 0 || n < 0) return false;
    const int64_t size = tern_size(x, axis), each = (size + parts - 1) / parts;
    if (n != TERNI_OM_OPTIONAL && n != parts) return terni_om_bad(r, "%d sizes for %d outputs", n, parts);
    if (terni_om_int(r, "num_outputs", parts) != parts) return terni_om_bad(r, "num_outputs is not %d", parts);
    int64_t left = size;
    for (int i = 0; i < parts && n == TERNI_OM_OPTIONAL; i++) {
        v[i] = left < each ? left : each;
        left -= v[i];
    }
    return tern_split_sizes(x, v, parts, axis, r->out);
}

/* One axis; a negative step goes over what is flipped. */
static tern_tensor *sliced(tern_tensor *x, int axis, int64_t start, int64_t end, int64_t step) {
    const int64_t n = tern_size(x, axis);
    if (start < 0) start = start < -n ? (step < 0 ? -1 : 0) : start + n;
    if (end < 0) end = end < -n ? (step < 0 ? -1 : 0) : end + n;
    if (step > 0) {
        start = terni_om_within(start, 0, n);
        end = terni_om_within(end, start, n);
        return tern_slice(x, axis, start, end, step);
    }
    start = terni_om_within(start, -1, n - 1);
    end = terni_om_within(end, -1, start);
    x = tern_flip(x, &axis, 1);
    return x ? tern_slice(x, axis, n - 1 - start, n - 1 - end, step == INT64_MIN ? INT64_MAX : -step) : NULL;
}

static bool slice(terni_om_run *r) {
    int64_t from[DIMS], to[DIMS], axes[DIMS], steps[DIMS];
    tern_tensor *x = r->in[0];
    const bool old = terni_om_has(r, "starts") != NULL;
    const int n = terni_om_ints(r, old ? "starts" : NULL, 1, from, DIMS),
              m = terni_om_ints(r, old ? "ends" : NULL, 2, to, DIMS),
              a = terni_om_ints(r, old ? "axes" : NULL, 3, axes, DIMS), s = terni_om_ints(r, NULL, 4, steps, DIMS);
    if (n < 0 || m < 0 || a < 0 || s < 0) return false;
    if (n > DIMS || m != n || (a != n && a != TERNI_OM_OPTIONAL) || (s != n && s != TERNI_OM_OPTIONAL))
        return terni_om_bad(r, "%d starts, %d ends", n, m);
    for (int i = 0; i < n && x; i++) {
        const int axis = terni_om_axis(r, a == n ? axes[i] : i, tern_ndim(x));
        const int64_t step = s == n ? steps[i] : 1;
        if (axis < 0 || step == 0) return axis < 0 ? false : terni_om_bad(r, "a step of 0");
        x = sliced(x, axis, from[i], to[i], step);
    }
    return own(r, x);
}

static bool expand(terni_om_run *r) {
    int64_t v[DIMS];
    tern_tensor *x = r->in[0];
    const int n = terni_om_ints(r, NULL, 1, v, DIMS);
    if (n < 0) return false;
    tern_shape s = {.ndim = n > tern_ndim(x) ? n : tern_ndim(x)};
    for (int d = 0; d < s.ndim; d++) {
        const int64_t own_size = d - (s.ndim - tern_ndim(x)) < 0 ? 1 : tern_size(x, d - (s.ndim - tern_ndim(x)));
        const int64_t wanted = d - (s.ndim - n) < 0 ? 1 : v[d - (s.ndim - n)];
        s.dim[d] = wanted == 1 ? own_size : wanted;
    }
    return own(r, tern_expand(x, s));
}

static bool tile(terni_om_run *r) {
    int64_t v[DIMS];
    const int n = terni_om_ints(r, NULL, 1, v, DIMS);
    if (n < 0) return false;
    if (n != tern_ndim(r->in[0])) return terni_om_bad(r, "%d repeats for %d dimensions", n, tern_ndim(r->in[0]));
    return own(r, tern_repeat(r->in[0], tern_shape_of(n, v)));
}

static bool pad(terni_om_run *r) {
    static const struct {
        const char *name;
        tern_pad_mode mode;
    } modes[] = {{"constant", TERN_PAD_CONSTANT},
                 {"reflect", TERN_PAD_REFLECT},
                 {"edge", TERN_PAD_REPLICATE},
                 {"wrap", TERN_PAD_CIRCULAR}};
    int64_t v[2 * DIMS], axes[DIMS], pads[2 * DIMS] = {0};
    double fill = terni_om_float(r, "value", 0);
    const char *mode = terni_om_text(r, "mode", "constant");
    const int ndim = tern_ndim(r->in[0]), n = terni_om_ints(r, "pads", 1, v, 2 * DIMS);
    const int a = terni_om_ints(r, NULL, 3, axes, DIMS), count = a == TERNI_OM_OPTIONAL ? ndim : a;
    if (n < 0 || a < 0 || terni_om_doubles(r, 2, &fill, 1) < 0) return false;
    if (n != 2 * count) return terni_om_bad(r, "%d pads for %d axes", n, count);
    for (int i = 0; i < count; i++) {
        const int d = a == TERNI_OM_OPTIONAL ? i : terni_om_axis(r, axes[i], ndim);
        if (d < 0) return false;
        pads[2 * (ndim - 1 - d)] = v[i];
        pads[2 * (ndim - 1 - d) + 1] = v[count + i];
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, mode) == 0)
            return own(r, tern_pad(r->in[0], pads, 2 * ndim, (tern_pad_opts){.mode = modes[i].mode, .value = fill}));
    return terni_om_refuse(r, "the attribute mode is %.40s", mode);
}

/* [N, b b C, H, W] and [N, C, b H, b W]. */
static bool depth_to_space(terni_om_run *r) {
    tern_tensor *x = r->in[0];
    const int64_t b = terni_om_int(r, "blocksize", 0);
    const char *mode = terni_om_text(r, "mode", "DCR");
    if (b < 1 || b > 0x7FFF || tern_ndim(x) != 4)
        return terni_om_bad(r, "blocksize %lld of %d dimensions", (long long)b, tern_ndim(x));
    const int64_t n = tern_size(x, 0), c = tern_size(x, 1), h = tern_size(x, 2), w = tern_size(x, 3);
    if (strcmp(r->node->op, "SpaceToDepth") == 0) {
        if (h % b || w % b) return terni_om_bad(r, "blocksize %lld", (long long)b);
        x = tern_reshape(x, TERN_SHAPE(n, c, h / b, b, w / b, b));
        x = x ? tern_permute(x, (const int[]){0, 3, 5, 1, 2, 4}, 6) : NULL;
        return out(r, x ? tern_reshape(x, TERN_SHAPE(n, c * b * b, h / b, w / b)) : NULL);
    }
    if (c % (b * b)) return terni_om_bad(r, "blocksize %lld", (long long)b);
    if (strcmp(mode, "CRD") == 0) return out(r, tern_pixel_shuffle(x, b));
    if (strcmp(mode, "DCR") != 0) return terni_om_refuse(r, "the attribute mode is %.40s", mode);
    x = tern_reshape(x, TERN_SHAPE(n, b, b, c / (b * b), h, w));
    x = x ? tern_permute(x, (const int[]){0, 3, 4, 1, 5, 2}, 6) : NULL;
    return out(r, x ? tern_reshape(x, TERN_SHAPE(n, c / (b * b), h * b, w * b)) : NULL);
}

/* ---- made from nothing ---------------------------------------------------------------------------------------------
 */

static bool shape(terni_om_run *r) {
    const tern_shape s = tern_shape_get(r->in[0]);
    int64_t from = terni_om_int(r, "start", 0), to = terni_om_int(r, "end", s.ndim);
    from = terni_om_within(from < 0 ? from + s.ndim : from, 0, s.ndim);
    to = terni_om_within(to < 0 ? to + s.ndim : to, from, s.ndim);
    return out(r, tern_from(s.dim + from, TERN_SHAPE(to - from), (tern_options){.dtype = TERN_I64}));
}
static bool size(terni_om_run *r) {
    const int64_t n = tern_numel(r->in[0]);
    return out(r, tern_from(&n, tern_shape_scalar(), (tern_options){.dtype = TERN_I64}));
}

static bool constant(terni_om_run *r) {
    const terni_om_attr *a = r->node->n_attr == 1 ? &r->node->attr[0] : NULL;
    if (!a) return terni_om_bad(r, "%d attributes; expected one", r->node->n_attr);
    const tern_options whole = {.dtype = TERN_I64}, real = {.dtype = TERN_F32};
    if (a->t) return out(r, tern_clone(a->t));
    if (strcmp(a->name, "value_float") == 0) return out(r, tern_scalar(a->f, real));
    if (strcmp(a->name, "value_int") == 0) return out(r, tern_from(&a->i, tern_shape_scalar(), whole));
    if (strcmp(a->name, "value_ints") == 0 && (a->ints || !a->n))
        return out(r, tern_from(a->ints ? a->ints : &a->i, TERN_SHAPE(a->n), whole));
    if (strcmp(a->name, "value_floats") == 0 && (a->floats || !a->n))
        return out(r, tern_from_doubles(a->floats ? a->floats : &a->f, TERN_SHAPE(a->n), real));
    return terni_om_refuse(r, "the attribute %s has no tensor", a->name);
}

static bool constant_of_shape(terni_om_run *r) {
    int64_t v[DIMS];
    const terni_om_attr *a = terni_om_has(r, "value");
    const int n = terni_om_ints(r, NULL, 0, v, DIMS);
    if (n < 0) return false;
    tern_tensor *one = a ? a->t : tern_zeros(TERN_SHAPE(1), (tern_options){0});
    if (!one || tern_numel(one) != 1) return terni_om_bad(r, "value is not one number");
    one = tern_expand(tern_reshape(one, tern_shape_scalar()), tern_shape_of(n, v));
    return out(r, one ? tern_clone(one) : NULL);
}

/* How many steps of delta lie in [start, limit). */
static uint64_t steps_between(int64_t start, int64_t limit, int64_t delta) {
    if (delta > 0 ? limit <= start : limit >= start) return 0;
    const uint64_t way = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    const uint64_t step = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta;
    return (way - 1) / step + 1;
}

static bool range_of_ints(terni_om_run *r) {
    int64_t v[3];
    for (int i = 0; i < 3; i++)
        if (!terni_om_number(r, i, 0, &v[i])) return false;
    if (v[2] == 0) return terni_om_bad(r, "a delta of 0");
    const uint64_t n = steps_between(v[0], v[1], v[2]);
    if (n > TERNI_OM_NUMBERS) return terni_om_bad(r, "%llu elements", (unsigned long long)n);
    tern_tensor *t = tern_empty(TERN_SHAPE((int64_t)n), (tern_options){.dtype = TERN_I64});
    int64_t *y = t ? tern_data(t) : NULL;
    for (uint64_t i = 0; y && i < n; i++) y[i] = (int64_t)((uint64_t)v[0] + i * (uint64_t)v[2]);
    return out(r, t ? tern_cast(t, dtype_of(r)) : NULL);
}

static bool range(terni_om_run *r) {
    double v[3];
    for (int i = 1; i < 3; i++)
        if (tern_dtype_is_float(tern_dtype_of(r->in[i])) != tern_dtype_is_float(dtype_of(r)))
            return terni_om_bad(r, "inputs of different types");
    if (!tern_dtype_is_float(dtype_of(r))) return range_of_ints(r);
    for (int i = 0; i < 3; i++) {
        const int n = terni_om_doubles(r, i, &v[i], 1);
        if (n < 1) return n < 0 ? false : terni_om_bad(r, "no number in input %d", i);
        if (!isfinite(v[i])) return terni_om_bad(r, "input %d is %g", i, v[i]);
    }
    if (v[2] == 0) return terni_om_bad(r, "a delta of 0");
    const double n = ceil((v[1] - v[0]) / v[2]);
    if (!(n <= TERNI_OM_NUMBERS)) return terni_om_bad(r, "%g elements", n);
    tern_tensor *t = tern_arange(0, n > 0 ? n : 0, (tern_options){.dtype = TERN_F64});
    return out(r, tern_cast(tern_add_scalar(tern_mul_scalar(t, v[2]), v[0]), dtype_of(r)));
}

/* ---- by index ------------------------------------------------------------------------------------------------------
 */

/* Negative indices count from the end. */
static tern_tensor *counted(tern_tensor *index, int64_t size) {
    index = tern_cast(index, TERN_I64);
    tern_tensor *none = index ? tern_zeros_like(index) : NULL;
    return none ? tern_where(tern_lt(index, none), tern_add_scalar(index, (double)size), index) : NULL;
}

static bool gather(terni_om_run *r) {
    tern_tensor *x = r->in[0];
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", 0), tern_ndim(x));
    tern_tensor *index = axis < 0 ? NULL : counted(r->in[1], tern_size(x, axis));
    if (!index) return false;
    const tern_shape given = tern_shape_get(index), whole = tern_shape_get(x);
    if (given.ndim + whole.ndim - 1 > DIMS) return terni_om_refuse(r, "more than %d dimensions", DIMS);
    tern_tensor *y = tern_index_select(x, axis, tern_reshape(index, TERN_SHAPE(tern_numel(index))));
    tern_shape s = {0};
    for (int d = 0; d < axis; d++) s.dim[s.ndim++] = whole.dim[d];
    for (int d = 0; d < given.ndim; d++) s.dim[s.ndim++] = given.dim[d];
    for (int d = axis + 1; d < whole.ndim; d++) s.dim[s.ndim++] = whole.dim[d];
    return out(r, y ? tern_reshape(y, s) : NULL);
}

static bool gather_elements(terni_om_run *r) {
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", 0), tern_ndim(r->in[0]));
    return axis >= 0 && out(r, tern_gather(r->in[0], axis, counted(r->in[1], tern_size(r->in[0], axis))));
}

static bool trilu(terni_om_run *r) {
    int64_t k;
    tern_tensor *x = r->in[0];
    if (!terni_om_number(r, 1, 0, &k)) return false;
    if (tern_ndim(x) < 2) return terni_om_bad(r, "%d dimensions; expected 2 or more", tern_ndim(x));
    /* Beyond the matrix all diagonals are alike. */
    k = terni_om_within(k, -tern_size(x, -2), tern_size(x, -1));
    return out(r, (terni_om_int(r, "upper", 1) ? tern_triu : tern_tril)(x, k));
}

static bool cumsum(terni_om_run *r) {
    int64_t at;
    tern_tensor *x = r->in[0];
    if (!terni_om_number(r, 1, 0, &at)) return false;
    const int axis = terni_om_axis(r, at, tern_ndim(x));
    const bool back = terni_om_int(r, "reverse", 0) != 0;
    if (axis < 0) return false;
    if (back) x = tern_flip(x, &axis, 1);
    tern_tensor *y = x ? tern_cumsum(x, axis) : NULL;
    if (y && terni_om_int(r, "exclusive", 0)) y = tern_sub(y, x);
    if (y && back) y = tern_flip(y, &axis, 1);
    return out(r, y ? tern_cast(y, dtype_of(r)) : NULL);
}

static bool topk(terni_om_run *r) {
    int64_t k;
    if (!terni_om_number(r, 1, terni_om_int(r, "k", 0), &k)) return false;
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", -1), tern_ndim(r->in[0]));
    return axis >= 0 && out(r, tern_topk(r->in[0], k, axis, !terni_om_int(r, "largest", 1), &r->out[1]));
}

static bool nonzero(terni_om_run *r) {
    tern_tensor *y = tern_nonzero(r->in[0]);
    return out(r, y ? tern_transpose(y, 0, 1) : NULL);
}

/* ---- reductions ----------------------------------------------------------------------------------------------------
 */

static tern_tensor *reduced(const char *op, tern_tensor *x, const int *axes, int n, bool keep) {
    const tern_dtype d = tern_dtype_of(x);
    if (strcmp(op, "ReduceMean") == 0) return tern_mean(x, axes, n, keep);
    if (strcmp(op, "ReduceMax") == 0) return tern_max(x, axes, n, keep);
    if (strcmp(op, "ReduceMin") == 0) return tern_min(x, axes, n, keep);
    if (strcmp(op, "ReduceLogSumExp") == 0) return tern_logsumexp(x, axes, n, keep);
    if (strcmp(op, "ReduceL1") == 0) x = tern_abs(x);
    if (strcmp(op, "ReduceSumSquare") == 0) x = tern_square(x);
    if (strcmp(op, "ReduceL2") == 0) return tern_norm(x, 2, axes, n, keep);
    tern_tensor *y = strcmp(op, "ReduceProd") == 0 ? tern_prod(x, axes, n, keep) : tern_sum(x, axes, n, keep);
    if (y && strcmp(op, "ReduceLogSum") == 0) y = tern_log(y);
    return y ? tern_cast(y, d) : NULL;
}

/* The largest and the smallest of nothing: what any number changes. */
static tern_tensor *of_nothing(terni_om_run *r, const int *axes, int n, bool keep) {
    const bool max = strcmp(r->node->op, "ReduceMax") == 0;
    tern_tensor *y = tern_sum(r->in[0], axes, n, keep); /* for its shape */
    const double v = tern_dtype_is_float(dtype_of(r)) ? (max ? -(double)INFINITY : (double)INFINITY) : max ? 0 : 1;
    if (!tern_dtype_is_float(dtype_of(r)) && dtype_of(r) != TERN_BOOL) return NULL;
    y = y ? tern_cast(y, dtype_of(r)) : NULL;
    return y ? tern_full_like(y, v) : NULL;
}

static bool reduce(terni_om_run *r) {
    int axes[DIMS];
    bool absent;
    const int n = axes_of(r, 1, tern_ndim(r->in[0]), axes, &absent);
    const bool keep = terni_om_int(r, "keepdims", 1) != 0,
               nothing = n == 0 && terni_om_int(r, "noop_with_empty_axes", 0);
    if (n < 0) return false;
    if (nothing) { /* each element is a reduction by itself: along a new dimension of 1 */
        tern_tensor *wide = tern_unsqueeze(r->in[0], tern_ndim(r->in[0]));
        return wide && own(r, reduced(r->node->op, wide, (const int[]){tern_ndim(r->in[0])}, 1, false));
    }
    const bool extreme = strcmp(r->node->op, "ReduceMax") == 0 || strcmp(r->node->op, "ReduceMin") == 0;
    if (extreme && tern_numel(r->in[0]) == 0) return out(r, of_nothing(r, axes, n, keep));
    return own(r, reduced(r->node->op, r->in[0], axes, n, keep));
}

static bool arg(terni_om_run *r) {
    tern_tensor *x = r->in[0];
    const int axis = terni_om_axis(r, terni_om_int(r, "axis", 0), tern_ndim(x));
    const bool last = terni_om_int(r, "select_last_index", 0) != 0, keep = terni_om_int(r, "keepdims", 1) != 0;
    if (axis < 0) return false;
    if (last && !(x = tern_flip(x, &axis, 1))) return false;
    tern_tensor *y = (strcmp(r->node->op, "ArgMax") == 0 ? tern_argmax : tern_argmin)(x, axis, keep);
    return out(r, y && last ? tern_rsub_scalar(y, (double)(tern_size(x, axis) - 1)) : y);
}

static bool einsum(terni_om_run *r) {
    const char *equation = terni_om_text(r, "equation", NULL);
    if (!equation) return terni_om_bad(r, "no equation");
    for (int i = 0; i < r->n; i++)
        if (!r->all[i]) return terni_om_bad(r, "input %d is missing", i);
    return out(r, tern_einsum(equation, r->all, r->n));
}

#define REDUCE(op) \
    { op, reduce, "axes keepdims noop_with_empty_axes", 1, 2 }
const terni_om_rule terni_om_shapes[] = {
    {"Reshape", reshape, "shape allowzero", 1, 2},
    {"Flatten", flatten, "axis", 1, 1},
    {"Transpose", transpose, "perm", 1, 1},
    {"Squeeze", squeeze, "axes", 1, 2},
    {"Unsqueeze", unsqueeze, "axes", 1, 2},
    {"Concat", concat, "axis", 1, 1000000},
    {"Split", split, "axis split num_outputs", 1, 2},
    {"Slice", slice, "starts ends axes", 1, 5},
    {"Expand", expand, "", 2, 2},
    {"Tile", tile, "", 2, 2},
    {"Pad", pad, "pads mode value", 1, 4},
    {"DepthToSpace", depth_to_space, "blocksize mode", 1, 1},
    {"SpaceToDepth", depth_to_space, "blocksize", 1, 1},
    {"Shape", shape, "start end", 1, 1},
    {"Size", size, "", 1, 1},
    {"Constant", constant, "value value_float value_floats value_int value_ints", 0, 0},
    {"ConstantOfShape", constant_of_shape, "value", 1, 1},
    {"Range", range, "", 3, 3},
    {"Gather", gather, "axis", 2, 2},
    {"GatherElements", gather_elements, "axis", 2, 2},
    {"Trilu", trilu, "upper", 1, 2},
    {"CumSum", cumsum, "exclusive reverse", 2, 2},
    {"TopK", topk, "axis largest sorted k", 1, 2},
    {"NonZero", nonzero, "", 1, 1},
    REDUCE("ReduceMean"),
    REDUCE("ReduceSum"),
    REDUCE("ReduceMax"),
    REDUCE("ReduceMin"),
    REDUCE("ReduceProd"),
    REDUCE("ReduceL1"),
    REDUCE("ReduceL2"),
    REDUCE("ReduceSumSquare"),
    REDUCE("ReduceLogSum"),
    REDUCE("ReduceLogSumExp"),
    {"ArgMax", arg, "axis keepdims select_last_index", 1, 1},
    {"ArgMin", arg, "axis keepdims select_last_index", 1, 1},
    {"Einsum", einsum, "equation", 1, 1000},
    {NULL, NULL, NULL, 0, 0},
};
