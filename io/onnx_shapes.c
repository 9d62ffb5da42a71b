/* ONNX export: rows of ops that move, choose and reduce. */
#include <math.h>
#include <string.h>

#include "onnx_internal.h"

static tern_tensor *other_out(const terni_step *s) { return s->other ? s->other->out[0] : NULL; }
static terni_value in(terni_onnx *g, const terni_step *s, int i) { return terni_onnx_value(g, s->op->in[i]); }
static bool out(terni_onnx *g, const terni_step *s, terni_value v) { return terni_onnx_bind(g, s->op->out[0], v); }

static bool same(terni_onnx *g, const terni_step *s) {
    return out(g, s, terni_onnx_op(g, "Identity", TERNI_IN(in(g, s, 0)), TERNI_PLAIN));
}

static bool cast(terni_onnx *g, const terni_step *s) {
    return out(g, s, terni_onnx_cast(g, in(g, s, 0), tern_dtype_of(s->op->in[0]), tern_dtype_of(s->op->out[0])));
}

static bool reshape(terni_onnx *g, const terni_step *s) {
    return out(g, s, terni_onnx_reshape(g, s, in(g, s, 0), s->op->out[0], other_out(s)));
}

static bool permute(terni_onnx *g, const terni_step *s) {
    int64_t dims[TERN_MAX_DIMS] = {0};
    tern_traced_ints(s->op, "dims", dims, TERN_MAX_DIMS);
    const int n = tern_ndim(s->op->in[0]);
    return out(g, s, terni_onnx_op(g, "Transpose", TERNI_IN(in(g, s, 0)), TERNI_WITH(TERNI_A_INTS("perm", dims, n))));
}

static bool expand(terni_onnx *g, const terni_step *s) {
    const tern_shape a = tern_shape_get(s->op->out[0]), b = s->other ? tern_shape_get(other_out(s)) : a;
    terni_value shape = terni_onnx_sizes(g, s, a.dim, b.dim, a.ndim);
    return out(g, s, terni_onnx_op(g, "Expand", TERNI_IN(in(g, s, 0), shape), TERNI_PLAIN));
}

/* start, start + step, ..., as many as the output has. */
static bool slice(terni_onnx *g, const terni_step *s) {
    const int64_t dim = terni_onnx_setting(s, "dim"), start = terni_onnx_setting(s, "start");
    const int64_t step = terni_onnx_setting(s, "step"), count = tern_size(s->op->out[0], (int)dim);
    const int64_t others = s->other ? tern_size(other_out(s), (int)dim) : count;
    const int64_t end = start + count * step, ends = start + others * step;
    terni_value stop = terni_onnx_sizes(g, s, &end, &ends, 1);
    return out(g, s,
               terni_onnx_op(g, "Slice",
                             TERNI_IN(in(g, s, 0), terni_onnx_ints(g, &start, 1), stop, terni_onnx_ints(g, &dim, 1),
                                      terni_onnx_ints(g, &step, 1)),
                             TERNI_PLAIN));
}

static bool cat(terni_onnx *g, const terni_step *s) {
    terni_value *all = terni_malloc((size_t)s->op->n_in * sizeof *all);
    if (!all) return false;
    for (int i = 0; i < s->op->n_in; i++) all[i] = in(g, s, i);
    terni_value v =
        terni_onnx_op(g, "Concat", all, s->op->n_in, TERNI_WITH(TERNI_A_INT("axis", terni_onnx_setting(s, "dim"))));
    terni_mfree(all);
    return out(g, s, v);
}

/* ---- reductions -------------------------------------------------------------------------------------------------- */

static bool reduce(terni_onnx *g, const terni_step *s) {
    static const struct {
        const char *op, *name;
    } names[] = {{"sum", "ReduceSum"}, {"mean", "ReduceMean"}, {"max", "ReduceMax"}, {"min", "ReduceMin"}};
    const int64_t bits = terni_onnx_setting(s, "dims");
    int64_t axes[TERN_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < TERN_MAX_DIMS; d++)
        if (bits >> d & 1) axes[n++] = d;
    terni_value x = in(g, s, 0);
    tern_dtype dtype = tern_dtype_of(s->op->in[0]);
    if (strcmp(s->op->op, "sum") == 0) x = terni_onnx_cast(g, x, dtype, tern_dtype_of(s->op->out[0]));
    if (n == 0) return out(g, s, terni_onnx_op(g, "Identity", TERNI_IN(x), TERNI_PLAIN));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(s->op->op, names[i].op) == 0)
            return out(g, s,
                       terni_onnx_op(g, names[i].name, TERNI_IN(x, terni_onnx_ints(g, axes, n)),
                                     TERNI_WITH(TERNI_A_INT("keepdims", terni_onnx_setting(s, "keepdim")))));
    return terni_onnx_refuse(s, "no such reduction");
}

static bool arg(terni_onnx *g, const terni_step *s) {
    const int64_t bits = terni_onnx_setting(s, "dims");
    int64_t axis = 0;
    while (!(bits >> axis & 1)) axis++;
    return out(g, s,
               terni_onnx_op(
                   g, strcmp(s->op->op, "argmax") == 0 ? "ArgMax" : "ArgMin", TERNI_IN(in(g, s, 0)),
                   TERNI_WITH(TERNI_A_INT("axis", axis), TERNI_A_INT("keepdims", terni_onnx_setting(s, "keepdim")))));
}

static bool norm(terni_onnx *g, const terni_step *s) {
    int64_t dims[TERN_MAX_DIMS] = {0};
    const double p = tern_traced_number(s->op, "p");
    const int n = (int)terni_onnx_setting(s, "count");
    tern_traced_ints(s->op, "dims", dims, TERN_MAX_DIMS);
    const tern_dtype dtype = tern_dtype_of(s->op->in[0]);
    terni_value x = in(g, s, 0), axes = terni_onnx_ints(g, dims, n);
    if (p == 1 || p == 2)
        return out(g, s,
                   terni_onnx_op(g, p == 1 ? "ReduceL1" : "ReduceL2", TERNI_IN(x, axes),
                                 TERNI_WITH(TERNI_A_INT("keepdims", 1))));
    x = terni_onnx_op(g, "Pow",
                      TERNI_IN(terni_onnx_op(g, "Abs", TERNI_IN(x), TERNI_PLAIN), terni_onnx_number(g, dtype, p)),
                      TERNI_PLAIN);
    x = terni_onnx_op(g, "ReduceSum", TERNI_IN(x, axes), TERNI_WITH(TERNI_A_INT("keepdims", 1)));
    return out(g, s, terni_onnx_op(g, "Pow", TERNI_IN(x, terni_onnx_number(g, dtype, 1 / p)), TERNI_PLAIN));
}

/* ---- by index ---------------------------------------------------------------------------------------------------- */

static terni_value gather(terni_onnx *g, terni_value x, terni_value index, int64_t axis) {
    return terni_onnx_op(g, "Gather", TERNI_IN(x, index), TERNI_WITH(TERNI_A_INT("axis", axis)));
}
static bool index_select(terni_onnx *g, const terni_step *s) {
    return out(g, s, gather(g, in(g, s, 0), in(g, s, 1), terni_onnx_setting(s, "dim")));
}
static bool gather_elements(terni_onnx *g, const terni_step *s) {
    return out(g, s,
               terni_onnx_op(g, "GatherElements", TERNI_IN(in(g, s, 0), in(g, s, 1)),
                             TERNI_WITH(TERNI_A_INT("axis", terni_onnx_setting(s, "dim")))));
}
static bool where(terni_onnx *g, const terni_step *s) {
    return out(g, s, terni_onnx_op(g, "Where", TERNI_IN(in(g, s, 0), in(g, s, 1), in(g, s, 2)), TERNI_PLAIN));
}

static bool tri(terni_onnx *g, const terni_step *s) {
    const bool upper = terni_onnx_setting(s, "upper") != 0;
    const int64_t k = terni_onnx_setting(s, "k");
    tern_tensor *diagonal = tern_from(&k, tern_shape_scalar(), (tern_options){.dtype = TERN_I64});
    return out(g, s,
               terni_onnx_op(g, "Trilu", TERNI_IN(in(g, s, 0), terni_onnx_constant(g, diagonal)),
                             TERNI_WITH(TERNI_A_INT("upper", upper))));
}

static bool cumsum(terni_onnx *g, const terni_step *s) {
    terni_value x = terni_onnx_cast(g, in(g, s, 0), tern_dtype_of(s->op->in[0]), tern_dtype_of(s->op->out[0]));
    const int64_t axis = 1; /* scans work on [outer, N, inner] */
    tern_tensor *one = tern_from(&axis, tern_shape_scalar(), (tern_options){.dtype = TERN_I64});
    return out(g, s,
               terni_onnx_op(g, "CumSum", TERNI_IN(x, terni_onnx_constant(g, one)),
                             TERNI_WITH(TERNI_A_INT("reverse", terni_onnx_setting(s, "reverse")))));
}

/* ---- flip, roll, repeat, pad: dimension by dimension ---------------------------------------------------------------
 */

enum { FILL = 0, REVERSE, WRAP, REFLECT, REPLICATE }; /* the trace's "mode" (core/contracts/shape.h) */

static int64_t source(int64_t mode, int64_t k, int64_t n) {
    switch (mode) {
        case REVERSE:
            return n - 1 - k;
        case WRAP:
            return (k % n + n) % n;
        case REFLECT:
            k = k < 0 ? -k : k;
            return k < n ? k : 2 * (n - 1) - k;
        default:
            return k < 0 ? 0 : k < n ? k : n - 1;
    }
}

static bool remap(terni_onnx *g, const terni_step *s) {
    int64_t mode[TERN_MAX_DIMS] = {0}, before[TERN_MAX_DIMS] = {0}, pads[2 * TERN_MAX_DIMS] = {0};
    tern_traced_ints(s->op, "mode", mode, TERN_MAX_DIMS);
    tern_traced_ints(s->op, "before", before, TERN_MAX_DIMS);
    tern_tensor *x = s->op->in[0], *y = s->op->out[0];
    const int n = tern_ndim(x);
    const tern_dtype dtype = tern_dtype_of(x);
    terni_value v = in(g, s, 0);
    bool pad = false;
    for (int d = 0; d < n; d++) {
        const int64_t from = tern_size(x, d), to = tern_size(y, d);
        const bool varies = s->other && tern_size(other_out(s), d) != to;
        if (varies && (mode[d] != FILL || from != to))
            return terni_onnx_refuse(s, "dimension %d, which the batch size changes, is padded", d);
        if (mode[d] == FILL) {
            pads[d] = before[d];
            pads[n + d] = to - from - before[d];
            pad |= pads[d] || pads[n + d];
            continue;
        }
        tern_tensor *index = tern_empty(TERN_SHAPE(to), (tern_options){.dtype = TERN_I64});
        int64_t *at = tern_data(index);
        for (int64_t i = 0; at && i < to; i++) at[i] = source(mode[d], i - before[d], from);
        v = gather(g, v, index ? terni_onnx_constant(g, index) : NULL, d);
    }
    if (!pad) return out(g, s, v);
    const double fill =
        tern_dtype_is_float(dtype) ? tern_traced_number(s->op, "value") : (double)terni_onnx_setting(s, "integer");
    return out(g, s,
               terni_onnx_op(g, "Pad", TERNI_IN(v, terni_onnx_ints(g, pads, 2 * n), terni_onnx_number(g, dtype, fill)),
                             TERNI_PLAIN));
}

/* ---- interpolate: a matrix along the middle dimension of [O, S, I], given by its rows' taps -------------------------
 */

static bool interpolate(terni_onnx *g, const terni_step *s) {
    tern_tensor *start = s->op->in[1], *index = s->op->in[2], *weight = s->op->in[3];
    for (int i = 1; i < s->op->n_in; i++)
        if (tern_tracer_depends(s->trace, s->op->in[i])) return terni_onnx_refuse(s, "its tables are computed");
    const int64_t rows = tern_numel(start) - 1, size = tern_size(s->op->in[0], 1);
    tern_tensor *whole = tern_zeros(TERN_SHAPE(rows, size), (tern_options){.dtype = TERN_F64});
    tern_tensor *taps = tern_cast(tern_to(weight, tern_cpu()), TERN_F64);
    tern_tensor *first = tern_to(start, tern_cpu()), *at = tern_to(index, tern_cpu());
    double *m = tern_data(whole);
    const double *w = tern_data(taps);
    const int64_t *f = tern_data(first), *k = tern_data(at);
    if (!tern_ok() || !m || !w || !f || !k) return false;
    bool choice = true; /* each row takes one element as it is */
    for (int64_t i = 0; i < rows; i++) {
        choice &= f[i + 1] - f[i] == 1 && w[f[i]] == 1;
        for (int64_t t = f[i]; t < f[i + 1]; t++) m[i * size + k[t]] += w[t];
    }
    if (choice) return out(g, s, gather(g, in(g, s, 0), terni_onnx_constant(g, at), 1));
    terni_value matrix = terni_onnx_constant(g, tern_cast(whole, tern_dtype_of(s->op->in[0])));
    return out(g, s, terni_onnx_op(g, "MatMul", TERNI_IN(matrix, in(g, s, 0)), TERNI_PLAIN));
}

terni_onnx_row terni_onnx_shapes(const char *op) {
    static const struct {
        const char *op;
        terni_onnx_row row;
    } rows[] = {
        {"argmax", arg},
        {"argmin", arg},
        {"cast", cast},
        {"cat", cat},
        {"clone", same},
        {"cumsum", cumsum},
        {"detach", same},
        {"expand", expand},
        {"gather", gather_elements},
        {"index_select", index_select},
        {"embedding", index_select},
        {"interpolate", interpolate},
        {"max", reduce},
        {"mean", reduce},
        {"min", reduce},
        {"norm", norm},
        {"permute", permute},
        {"remap", remap},
        {"reshape", reshape},
        {"slice", slice},
        {"sum", reduce},
        {"to", same},
        {"tri", tri},
        {"where", where},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].op, op) == 0) return rows[i].row;
    return NULL;
}
