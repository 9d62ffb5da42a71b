/* scatter, scatter_value, scatter_reduce, index_copy, index_fill, one_hot, take, put, take_along_dim, index, index_put.
 */
#include "../sweep.h"

static int64_t dim_of(const array *x, int64_t dim) { return dim < 0 ? dim + x->shape.ndim : dim; }

/* Where element i of an index of shape s points to in x. */
static int64_t target(const array *x, tern_shape s, int64_t dim, int64_t i, double index) {
    int64_t at[TERN_MAX_DIMS], strides[TERN_MAX_DIMS], p = 0;
    array_index(s, i, at);
    array_strides(x->shape, strides);
    for (int d = 0; d < s.ndim; d++) p += strides[d] * (d == dim ? (int64_t)index : at[d]);
    return p;
}

#define OUTSIDE(i, ...) \
    { .kind = IN_INDEX, .lo = (i), .hi = (i), .shape = SHAPE_OF(__VA_ARGS__) }
#define SIGNED(n, ...) \
    { .kind = IN_INDEX, .lo = -(n), .hi = (n)-1, .shape = SHAPE_OF(__VA_ARGS__) }

/* ---- scatter: arg = dim -------------------------------------------------------------------------------------------
 */

static tern_tensor *call_scatter(tern_tensor *const *in, const sweep_case *c) {
    return tern_scatter(in[0], (int)c->arg[0], in[1], in[2]);
}

static void ref_scatter(const array *in, const sweep_case *c, array *out) {
    array_copy(&in[0], out);
    for (int64_t i = 0; i < in[1].n; i++)
        out->v[target(&in[0], in[1].shape, dim_of(&in[0], c->arg[0]), i, in[1].v[i])] = in[2].v[i];
}

static const sweep_case scatters[] = {
    {"rows, repeated", {REAL(4, 3), INDEX(4, 5, 3), REAL(5, 3)}, .arg = {0}},
    {"columns", {REAL(3, 4), INDEX(4, 3, 2), REAL(3, 2)}, .arg = {1}},
    {"smaller", {REAL(3, 4), INDEX(4, 2, 3), REAL(2, 3)}, .arg = {-1}},
    {"middle, i32", {REAL(2, 4, 3), INDEX32(4, 2, 3, 2), REAL(2, 3, 2)}, .arg = {1}},
    {"1-dim", {REAL(5), INDEX(5, 7), REAL(7)}, .arg = {0}},
    {"empty", {REAL(3, 4), INDEX(4, 0, 4), REAL(0, 4)}, .arg = {0}},
    {"long", {REAL(4, 11003), INDEX(4, 3, 11003), REAL(3, 11003)}, .arg = {0}},
    {"outside", {REAL(3, 4), OUTSIDE(4, 3, 1), REAL(3, 1)}, .arg = {1}, .code = TERN_ERR_INDEX},
    {"negative", {REAL(3, 4), OUTSIDE(-1, 3, 1), REAL(3, 1)}, .arg = {1}, .code = TERN_ERR_INDEX},
    {"other shape", {REAL(3, 4), INDEX(4, 3, 2), REAL(3, 1)}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"larger", {REAL(3, 4), INDEX(4, 4, 2), REAL(4, 2)}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(3, 4), INDEX(4, 3, 2), TYPED(TERN_F64, 3, 2)}, .arg = {1}, .code = TERN_ERR_DTYPE},
    {"real index", {REAL(3, 4), REAL(3, 2), REAL(3, 2)}, .arg = {1}, .code = TERN_ERR_DTYPE},
    {"no such dimension", {REAL(3, 4), INDEX(4, 3, 2), REAL(3, 2)}, .arg = {2}, .code = TERN_ERR_SHAPE},
    {"0-dim", {SCALAR, INDEX(1, 1), REAL(1)}, .arg = {0}, .code = TERN_ERR_SHAPE},
};
SWEEP(scatter, scatters, call_scatter, ref_scatter, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_scatter_(tern_tensor *const *in, const sweep_case *c) {
    return tern_scatter_(in[0] ? tern_clone(in[0]) : NULL, (int)c->arg[0], in[1], in[2]);
}
SWEEP(scatter_, scatters, call_scatter_, ref_scatter, SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(scatter, call_scatter, "a.scatter(1, b, c)",
      {"[1024, 1024]", {REAL(1024, 1024), INDEX(1024, 1024, 256), REAL(1024, 256)}, .arg = {1}})

static tern_tensor *call_scatter_value(tern_tensor *const *in, const sweep_case *c) {
    return tern_scatter_value(in[0], (int)c->arg[0], in[1], c->number[0]);
}

static void ref_scatter_value(const array *in, const sweep_case *c, array *out) {
    array_copy(&in[0], out);
    for (int64_t i = 0; i < in[1].n; i++)
        out->v[target(&in[0], in[1].shape, dim_of(&in[0], c->arg[0]), i, in[1].v[i])] = c->number[0];
}

static const sweep_case scatter_values[] = {
    {"rows", {REAL(4, 3), INDEX(4, 2, 3)}, .arg = {0}, .number = {1}},
    {"columns", {REAL(3, 4), INDEX(4, 3, 2)}, .arg = {-1}},
    {"empty", {REAL(3, 4), INDEX(4, 0, 4)}, .arg = {0}},
    {"outside", {REAL(3, 4), OUTSIDE(4, 3, 1)}, .arg = {1}, .code = TERN_ERR_INDEX},
    {"larger", {REAL(3, 4), INDEX(4, 4, 2)}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"value",
     {{.kind = IN_WHOLE, .hi = 3, .shape = SHAPE_OF(3), .dtype = TERN_I32 + 1}, INDEX(3, 1)},
     .arg = {0},
     .number = {1e10},
     .code = TERN_ERR_ARGUMENT},
};
SWEEP(scatter_value, scatter_values, call_scatter_value, ref_scatter_value, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_scatter_value_(tern_tensor *const *in, const sweep_case *c) {
    return tern_scatter_value_(in[0] ? tern_clone(in[0]) : NULL, (int)c->arg[0], in[1], c->number[0]);
}
SWEEP(scatter_value_, scatter_values, call_scatter_value_, ref_scatter_value, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- scatter_reduce: arg = dim, how, exclude_self -----------------------------------------------------------------
 */

static tern_tensor *call_reduce(tern_tensor *const *in, const sweep_case *c) {
    return tern_scatter_reduce(in[0], (int)c->arg[0], in[1], in[2], (tern_scatter_reduction)c->arg[1],
                               (tern_scatter_reduce_opts){.exclude_self = c->arg[2] != 0});
}

/* For each place, over all that comes to it. */
static void ref_reduce(const array *in, const sweep_case *c, array *out) {
    array_copy(&in[0], out);
    for (int64_t p = 0; p < out->n; p++) {
        double count = c->arg[2] ? 0 : 1, v = c->arg[2] ? (double)NAN : in[0].v[p];
        for (int64_t i = 0; i < in[1].n; i++) {
            if (target(&in[0], in[1].shape, dim_of(&in[0], c->arg[0]), i, in[1].v[i]) != p) continue;
            const double s = in[2].v[i];
            if (count == 0)
                v = s;
            else
                v = c->arg[1] == TERN_SCATTER_PROD   ? v * s
                    : c->arg[1] == TERN_SCATTER_AMAX ? fmax(v, s)
                    : c->arg[1] == TERN_SCATTER_AMIN ? fmin(v, s)
                                                     : v + s;
            count++;
        }
        if (count > 0) out->v[p] = c->arg[1] == TERN_SCATTER_MEAN ? v / count : v;
    }
}

#define REDUCE(a, b)                                                                                          \
    {"rows", {RANGE(0.5, 2, 4, 3), INDEX(4, 5, 3), RANGE(0.5, 2, 5, 3)}, .arg = {0, a, b}, .loosen = 8},      \
        {"columns, some untouched", {REAL(3, 6), INDEX(6, 3, 2), REAL(3, 2)}, .arg = {1, a, b}, .loosen = 8}, \
        {"middle, i32", {REAL(2, 4, 3), INDEX32(4, 2, 3, 2), REAL(2, 3, 2)}, .arg = {1, a, b}, .loosen = 8},  \
        {"empty", {REAL(3, 4), INDEX(4, 0, 4), REAL(0, 4)}, .arg = {0, a, b}, .loosen = 8}, {                 \
        "outside", {REAL(3, 4), OUTSIDE(4, 3, 1), REAL(3, 1)}, .arg = {1, a, b}, .code = TERN_ERR_INDEX,      \
                                                               .text = "scatter_reduce"                       \
    }
static const sweep_case sums[] = {
    REDUCE(TERN_SCATTER_SUM, 0),
    REDUCE(TERN_SCATTER_SUM, 1),
    {"other shape", {REAL(3, 4), INDEX(4, 3, 2), REAL(3, 1)}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(3, 4), INDEX(4, 3, 2), TYPED(TERN_F64, 3, 2)}, .arg = {1}, .code = TERN_ERR_DTYPE},
    {"no reduction", {REAL(3, 4), INDEX(4, 3, 2), REAL(3, 2)}, .arg = {1, 5}, .code = TERN_ERR_ARGUMENT},
    {"mean of integers",
     {{.kind = IN_WHOLE, .hi = 3, .shape = SHAPE_OF(3), .dtype = TERN_I32 + 1},
      INDEX(3, 1),
      {.kind = IN_WHOLE, .hi = 3, .shape = SHAPE_OF(1), .dtype = TERN_I32 + 1}},
     .arg = {0, TERN_SCATTER_MEAN},
     .code = TERN_ERR_DTYPE},
};
static const sweep_case prods[] = {REDUCE(TERN_SCATTER_PROD, 0), REDUCE(TERN_SCATTER_PROD, 1)};
static const sweep_case means[] = {REDUCE(TERN_SCATTER_MEAN, 0), REDUCE(TERN_SCATTER_MEAN, 1)};
static const sweep_case amaxs[] = {REDUCE(TERN_SCATTER_AMAX, 0), REDUCE(TERN_SCATTER_AMAX, 1)};
static const sweep_case amins[] = {REDUCE(TERN_SCATTER_AMIN, 0), REDUCE(TERN_SCATTER_AMIN, 1)};
SWEEP(scatter_reduce, sums, call_reduce, ref_reduce, SWEEP_INTS | SWEEP_WRAPS, 1)
SWEEP(scatter_reduce__prod, prods, call_reduce, ref_reduce, SWEEP_INTS | SWEEP_BOOL | SWEEP_WRAPS, 1)
SWEEP(scatter_reduce__mean, means, call_reduce, ref_reduce, 0, 1)
/* Halves may have equal values where f64 has none, and so other gradients. */
SWEEP(scatter_reduce__amax, amaxs, call_reduce, ref_reduce, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(scatter_reduce__amin, amins, call_reduce, ref_reduce, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- index_copy, index_fill: arg = dim ----------------------------------------------------------------------------
 */

static tern_tensor *call_index_copy(tern_tensor *const *in, const sweep_case *c) {
    return tern_index_copy(in[0], (int)c->arg[0], in[1], in[2]);
}

static void ref_index_copy(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner;
    array_split(&in[0], c->arg[0], &outer, &size, &inner);
    array_copy(&in[0], out);
    const int64_t n = in[1].n;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t i = 0; i < inner; i++)
                out->v[(o * size + (int64_t)in[1].v[k]) * inner + i] = in[2].v[(o * n + k) * inner + i];
}

static const sweep_case index_copies[] = {
    {"rows, repeated", {REAL(4, 3), INDEX(4, 6), REAL(6, 3)}, .arg = {0}},
    {"columns", {REAL(3, 4), INDEX(4, 2), REAL(3, 2)}, .arg = {1}},
    {"middle, i32", {REAL(2, 4, 3), INDEX32(4, 3), REAL(2, 3, 3)}, .arg = {-2}},
    {"1-dim", {REAL(4), INDEX(4, 3), REAL(3)}, .arg = {0}},
    {"no index", {REAL(4, 3), INDEX(4, 0), REAL(0, 3)}, .arg = {0}},
    {"long rows", {REAL(5, 8209), INDEX(5, 4), REAL(4, 8209)}, .arg = {0}},
    {"outside", {REAL(4, 3), OUTSIDE(4, 2), REAL(2, 3)}, .arg = {0}, .code = TERN_ERR_INDEX},
    {"other shape", {REAL(4, 3), INDEX(4, 2), REAL(3, 3)}, .arg = {0}, .code = TERN_ERR_SHAPE},
    {"2-dim index", {REAL(4, 3), INDEX(4, 2, 1), REAL(2, 3)}, .arg = {0}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(4, 3), INDEX(4, 2), TYPED(TERN_F64, 2, 3)}, .arg = {0}, .code = TERN_ERR_DTYPE},
};
SWEEP(index_copy, index_copies, call_index_copy, ref_index_copy, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_index_copy_(tern_tensor *const *in, const sweep_case *c) {
    return tern_index_copy_(in[0] ? tern_clone(in[0]) : NULL, (int)c->arg[0], in[1], in[2]);
}
SWEEP(index_copy_, index_copies, call_index_copy_, ref_index_copy, SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(index_copy, call_index_copy, "a.index_copy(0, b, c)",
      {"[4096, 256]", {REAL(4096, 256), INDEX(4096, 1024), REAL(1024, 256)}, .arg = {0}})

static tern_tensor *call_index_fill(tern_tensor *const *in, const sweep_case *c) {
    return tern_index_fill(in[0], (int)c->arg[0], in[1], c->number[0]);
}

static void ref_index_fill(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner;
    array_split(&in[0], c->arg[0], &outer, &size, &inner);
    array_copy(&in[0], out);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < in[1].n; k++)
            for (int64_t i = 0; i < inner; i++) out->v[(o * size + (int64_t)in[1].v[k]) * inner + i] = c->number[0];
}

static const sweep_case index_fills[] = {
    {"rows", {REAL(4, 3), INDEX(4, 2)}, .arg = {0}, .number = {1}},
    {"columns, i32", {REAL(3, 4), INDEX32(4, 2)}, .arg = {-1}},
    {"no index", {REAL(4, 3), INDEX(4, 0)}, .arg = {0}},
    {"outside", {REAL(4, 3), OUTSIDE(4, 2)}, .arg = {0}, .code = TERN_ERR_INDEX},
    {"2-dim index", {REAL(4, 3), INDEX(4, 2, 1)}, .arg = {0}, .code = TERN_ERR_SHAPE},
    {"real index", {REAL(4, 3), REAL(2)}, .arg = {0}, .code = TERN_ERR_DTYPE},
};
SWEEP(index_fill, index_fills, call_index_fill, ref_index_fill, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_index_fill_(tern_tensor *const *in, const sweep_case *c) {
    return tern_index_fill_(in[0] ? tern_clone(in[0]) : NULL, (int)c->arg[0], in[1], c->number[0]);
}
SWEEP(index_fill_, index_fills, call_index_fill_, ref_index_fill, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- one_hot: arg = classes, dtype --------------------------------------------------------------------------------
 */

static tern_tensor *call_one_hot(tern_tensor *const *in, const sweep_case *c) {
    return tern_one_hot(in[0], c->arg[0], (tern_dtype)c->arg[1]);
}

static void ref_one_hot(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in->shape;
    s.dim[s.ndim++] = c->arg[0];
    array_new(out, s);
    for (int64_t i = 0; i < in->n; i++) out->v[i * c->arg[0] + (int64_t)in->v[i]] = 1;
}

static const sweep_case one_hots[] = {
    {"vector", {INDEX(4, 6)}, .arg = {5, TERN_I64}},
    {"matrix, f32", {INDEX32(3, 2, 3)}, .arg = {3, TERN_F32}},
    {"0-dim", {{.kind = IN_INDEX, .lo = 0, .hi = 3}}, .arg = {4, TERN_BOOL}},
    {"empty", {INDEX(3, 0)}, .arg = {3, TERN_BF16}},
    {"outside", {OUTSIDE(3, 2)}, .arg = {3, TERN_F32}, .code = TERN_ERR_INDEX},
    {"no classes", {INDEX(1, 2)}, .arg = {0, TERN_F32}, .code = TERN_ERR_ARGUMENT},
    {"real", {REAL(2)}, .arg = {3, TERN_F32}, .code = TERN_ERR_DTYPE},
    {"8-dim", {INDEX(1, 1, 1, 1, 1, 1, 1, 1, 1)}, .arg = {3, TERN_F32}, .code = TERN_ERR_SHAPE},
};
/* Its input is integers: nothing to differentiate. */
SWEEP(one_hot, one_hots, call_one_hot, ref_one_hot, SWEEP_NO_GRAD, 1)

/* ---- take, put, take_along_dim ------------------------------------------------------------------------------------
 */

static tern_tensor *call_take(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_take(in[0], in[1]);
}

static void ref_take(const array *in, const sweep_case *c, array *out) {
    (void)c;
    array_new(out, in[1].shape);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = in[0].v[(int64_t)in[1].v[i] + (in[1].v[i] < 0 ? in[0].n : 0)];
}

static const sweep_case takes[] = {
    {"matrix", {REAL(3, 4), INDEX(12, 5, 2)}},
    {"negative", {REAL(3, 4), SIGNED(12, 20)}},
    {"of 0-dim", {SCALAR, INDEX(1, 3)}},
    {"by 0-dim", {REAL(3, 2), {.kind = IN_INDEX, .lo = 4, .hi = 4}}},
    {"empty", {REAL(3, 4), INDEX(12, 0, 2)}},
    {"outside", {REAL(3, 4), OUTSIDE(12, 2)}, .code = TERN_ERR_INDEX},
    {"outside, negative", {REAL(3, 4), OUTSIDE(-13, 2)}, .code = TERN_ERR_INDEX},
    {"of none", {REAL(0, 4), OUTSIDE(0, 2)}, .code = TERN_ERR_INDEX},
    {"real index", {REAL(3, 4), REAL(2)}, .code = TERN_ERR_DTYPE},
};
SWEEP(take, takes, call_take, ref_take, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_put(tern_tensor *const *in, const sweep_case *c) {
    return tern_put(in[0], in[1], in[2], c->arg[0] != 0);
}

static void ref_put(const array *in, const sweep_case *c, array *out) {
    array_copy(&in[0], out);
    for (int64_t i = 0; i < in[1].n; i++) {
        double *to = &out->v[(int64_t)in[1].v[i] + (in[1].v[i] < 0 ? in[0].n : 0)];
        *to = c->arg[0] ? *to + in[2].v[i] : in[2].v[i];
    }
}

static const sweep_case puts_[] = {
    {"set", {REAL(3, 4), INDEX(12, 5, 2), REAL(5, 2)}},
    {"add", {RANGE(0.5, 2, 3, 4), SIGNED(12, 20), RANGE(0.5, 2, 20)}, .arg = {1}, .loosen = 8},
    {"empty", {REAL(3, 4), INDEX(12, 0), REAL(0)}},
    {"outside", {REAL(3, 4), OUTSIDE(12, 2), REAL(2)}, .code = TERN_ERR_INDEX},
    {"other shape", {REAL(3, 4), INDEX(12, 2), REAL(2, 1)}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(3, 4), INDEX(12, 2), TYPED(TERN_F64, 2)}, .code = TERN_ERR_DTYPE},
};
SWEEP(put, puts_, call_put, ref_put, SWEEP_INTS | SWEEP_WRAPS, 1)

static tern_tensor *call_take_along(tern_tensor *const *in, const sweep_case *c) {
    return tern_take_along_dim(in[0], in[1], (int)c->arg[0]);
}

static void ref_take_along(const array *in, const sweep_case *c, array *out) {
    const int64_t dim = dim_of(&in[0], c->arg[0]), size = in[0].shape.dim[dim], count = in[1].shape.dim[dim];
    tern_shape a = in[0].shape, b = in[1].shape, s;
    a.dim[dim] = b.dim[dim] = 1;
    s = array_broadcast(a, b);
    a = s;
    s.dim[dim] = count;
    a.dim[dim] = size;
    array_new(out, s);
    for (int64_t i = 0; i < out->n; i++) {
        int64_t at[TERN_MAX_DIMS], strides[TERN_MAX_DIMS], p = 0;
        const int64_t index = (int64_t)array_at(&in[1], s, i);
        array_index(s, i, at);
        array_strides(in[0].shape, strides);
        for (int d = 0; d < s.ndim; d++)
            p += strides[d] * (d == dim ? index + (index < 0 ? size : 0) : in[0].shape.dim[d] == 1 ? 0 : at[d]);
        out->v[i] = in[0].v[p];
    }
}

static const sweep_case takes_along[] = {
    {"alike", {REAL(3, 4), SIGNED(4, 3, 2)}, .arg = {1}},
    {"index broadcast", {REAL(3, 4), INDEX(3, 2, 1)}, .arg = {0}},
    {"x broadcast", {REAL(1, 4), INDEX(4, 3, 5)}, .arg = {-1}},
    {"empty", {REAL(3, 4), INDEX(4, 3, 0)}, .arg = {1}},
    {"outside", {REAL(3, 4), OUTSIDE(4, 3, 1)}, .arg = {1}, .code = TERN_ERR_INDEX},
    {"other ndim", {REAL(3, 4), INDEX(4, 3)}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"do not fit", {REAL(3, 4), INDEX(4, 2, 1)}, .arg = {1}, .code = TERN_ERR_SHAPE},
};
SWEEP(take_along_dim, takes_along, call_take_along, ref_take_along, SWEEP_INTS | SWEEP_BOOL, 8)

/* ---- index: arg = n, then for each slot which input it is, 0 for all of the dimension -----------------------------
 */

static void slots(tern_tensor *const *in, const sweep_case *c, tern_tensor **index) {
    for (int i = 0; i < c->arg[0]; i++) index[i] = c->arg[1 + i] ? in[c->arg[1 + i]] : NULL;
}

static tern_tensor *call_index(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *index[9];
    slots(in, c, index);
    return tern_index(in[0], index, (int)c->arg[0]);
}

/* The places in x that the result's elements come from, by a walk over the result's index; masks are read element by
 * element. */
typedef struct places {
    tern_shape shape;
    int64_t *p, n;
} places;

static places places_of(const array *in, const sweep_case *c) {
    const array *const x = &in[0];

    array own[8];
    tern_shape meet = {0};
    int dims[8], n = 0, d = 0;
    for (int i = 0; i < c->arg[0]; i++) {
        const array *t = c->arg[1 + i] ? &in[c->arg[1 + i]] : NULL;
        if (!t) {
            d++;
        } else if (c->in[c->arg[1 + i]].kind == IN_BOOL) {
            int64_t count = 0;
            for (int64_t k = 0; k < t->n; k++) count += t->v[k] != 0;
            for (int m = 0; m < t->shape.ndim; m++, d++) {
                array_new(&own[n], TERN_SHAPE(count));
                for (int64_t k = 0, at = 0; k < t->n; k++) {
                    int64_t index[TERN_MAX_DIMS];
                    array_index(t->shape, k, index);
                    if (t->v[k] != 0) own[n].v[at++] = (double)index[m];
                }
                dims[n++] = d;
            }
            meet = array_broadcast(meet, TERN_SHAPE(count));
        } else {
            array_copy(t, &own[n]);
            for (int64_t k = 0; k < t->n; k++)
                if (t->v[k] < 0) own[n].v[k] += (double)x->shape.dim[d];
            dims[n++] = d++;
            meet = array_broadcast(meet, t->shape);
        }
    }
    const bool apart = dims[n - 1] - dims[0] != n - 1;
    const int first = apart ? 0 : dims[0];
    places r = {{x->shape.ndim - n + meet.ndim, {0}}, NULL, 0};
    int plain[8], plains = 0;
    for (int k = 0; k < x->shape.ndim; k++) {
        bool is = false;
        for (int m = 0; m < n; m++) is = is || dims[m] == k;
        if (!is) plain[plains++] = k;
    }
    for (int k = 0, m = 0; k < r.shape.ndim; k++)
        r.shape.dim[k] = k >= first && k < first + meet.ndim ? meet.dim[k - first] : x->shape.dim[plain[m++]];
    r.n = shape_numel(r.shape);
    r.p = calloc((size_t)r.n + 1, sizeof *r.p);
    int64_t strides[TERN_MAX_DIMS], meets[TERN_MAX_DIMS];
    array_strides(x->shape, strides);
    array_strides(meet, meets);
    for (int64_t i = 0; i < r.n; i++) {
        int64_t at[TERN_MAX_DIMS], where = 0;
        array_index(r.shape, i, at);
        for (int k = 0; k < meet.ndim; k++) where += meets[k] * at[first + k];
        for (int k = 0, m = 0; k < r.shape.ndim; k++)
            if (k < first || k >= first + meet.ndim) r.p[i] += strides[plain[m++]] * at[k];
        for (int m = 0; m < n; m++) r.p[i] += strides[dims[m]] * (int64_t)array_at(&own[m], meet, where);
    }
    for (int m = 0; m < n; m++) free(own[m].v);

    return r;
}

static void ref_index(const array *in, const sweep_case *c, array *out) {
    const places r = places_of(in, c);
    array_new(out, r.shape);
    for (int64_t i = 0; i < r.n; i++) out->v[i] = in[0].v[r.p[i]];
    free(r.p);
}

static const sweep_case indexes[] = {
    {"one", {REAL(4, 3), SIGNED(4, 5)}, .arg = {1, 1}},
    {"one, 2-dim, second", {REAL(2, 4, 3), SIGNED(4, 3, 2)}, .arg = {2, 0, 1}},
    {"two", {REAL(4, 3, 2), SIGNED(4, 5), INDEX32(3, 5)}, .arg = {2, 1, 2}},
    {"two, broadcast", {REAL(4, 3), SIGNED(4, 5, 1), INDEX(3, 2)}, .arg = {2, 1, 2}},
    {"last two of three", {REAL(2, 4, 3), SIGNED(4, 5), INDEX(3, 5)}, .arg = {3, 0, 1, 2}},
    {"apart", {REAL(4, 2, 3), SIGNED(4, 5), INDEX(3, 5)}, .arg = {3, 1, 0, 2}},
    {"apart, 2-dim, four", {REAL(2, 4, 2, 3), SIGNED(4, 3, 2), INDEX(3, 2)}, .arg = {4, 0, 1, 0, 2}},
    {"0-dim index", {REAL(4, 3), {.kind = IN_INDEX, .lo = -2, .hi = -2}}, .arg = {1, 1}},
    {"to 0-dim",
     {REAL(4, 3), {.kind = IN_INDEX, .lo = 2, .hi = 2}, {.kind = IN_INDEX, .lo = -1, .hi = -1}},
     .arg = {2, 1, 2}},
    {"mask", {REAL(4, 3), BOOLS(4, 3)}, .arg = {1, 1}},
    {"mask of the first", {REAL(4, 3), BOOLS(4)}, .arg = {1, 1}},
    {"mask of the last two", {REAL(2, 4, 3), BOOLS(4, 3)}, .arg = {2, 0, 1}},
    {"mask and index apart", {REAL(4, 3, 2), BOOLS(4), {.kind = IN_INDEX, .lo = -1, .hi = -1}}, .arg = {3, 1, 0, 2}},
    {"empty index", {REAL(4, 3), INDEX(4, 0)}, .arg = {1, 1}},
    {"outside", {REAL(4, 3), OUTSIDE(4, 2)}, .arg = {1, 1}, .code = TERN_ERR_INDEX},
    {"outside, negative", {REAL(4, 3), OUTSIDE(-4, 2)}, .arg = {2, 0, 1}, .code = TERN_ERR_INDEX},
    {"too many", {REAL(4), INDEX(4, 2), INDEX(4, 2)}, .arg = {2, 1, 2}, .code = TERN_ERR_SHAPE},
    {"indices do not meet", {REAL(4, 3), INDEX(4, 2), INDEX(3, 3)}, .arg = {2, 1, 2}, .code = TERN_ERR_SHAPE},
    {"mask of another shape", {REAL(4, 3), BOOLS(3, 3)}, .arg = {1, 1}, .code = TERN_ERR_SHAPE},
    {"real index", {REAL(4, 3), REAL(2)}, .arg = {1, 1}, .code = TERN_ERR_DTYPE},
    {"negative count", {REAL(4, 3), REAL(2)}, .arg = {-1, 1}, .code = TERN_ERR_ARGUMENT},
    {"too many dimensions", {REAL(1, 1, 1, 1, 1, 1, 1, 2), INDEX(1, 1, 1)}, .arg = {1, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(index, indexes, call_index, ref_index, SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(index, call_index, "a[b, c]",
      {"[1024, 1024]", {REAL(1024, 1024), INDEX(1024, 500000), INDEX(1024, 500000)}, .arg = {2, 1, 2}})
BENCH(index__rows, call_index, "a[b]", {"[4096, 256]", {REAL(4096, 256), INDEX(4096, 4096)}, .arg = {1, 1}})

/* The last input before the indices' end is values: in[3]; arg[9] = accumulate. */
static tern_tensor *call_index_put(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *index[9];
    slots(in, c, index);
    return tern_index_put(in[0], index, (int)c->arg[0], in[3], c->arg[9] != 0);
}

static void ref_index_put(const array *in, const sweep_case *c, array *out) {
    const places r = places_of(in, c);
    array_copy(&in[0], out);
    for (int64_t i = 0; i < r.n; i++) {
        const double v = array_at(&in[3], r.shape, i);
        out->v[r.p[i]] = c->arg[9] ? out->v[r.p[i]] + v : v;
    }
    free(r.p);
}

static const sweep_case index_puts[] = {
    {"one", {REAL(4, 3), SIGNED(4, 5), NONE, REAL(5, 3)}, .arg = {1, 1}},
    {"one, added", {RANGE(0.5, 2, 4, 3), SIGNED(4, 9), NONE, RANGE(0.5, 2, 9, 3)}, .arg = {1, 1, [9] = 1}, .loosen = 8},
    {"two, broadcast values", {REAL(4, 3, 2), SIGNED(4, 5), INDEX(3, 5), REAL(2)}, .arg = {2, 1, 2}},
    {"two, added",
     {RANGE(0.5, 2, 4, 3), SIGNED(4, 5, 1), INDEX(3, 4), RANGE(0.5, 2, 5, 4)},
     .arg = {2, 1, 2, [9] = 1},
     .loosen = 8},
    {"second", {REAL(2, 4, 3), SIGNED(4, 3), NONE, REAL(2, 3, 3)}, .arg = {2, 0, 1}},
    {"apart", {REAL(4, 2, 3), SIGNED(4, 5), INDEX(3, 5), REAL(5, 2)}, .arg = {3, 1, 0, 2}},
    {"apart, added",
     {RANGE(0.5, 2, 4, 2, 3), SIGNED(4, 5), INDEX(3, 5), RANGE(0.5, 2, 5, 2)},
     .arg = {3, 1, 0, 2, [9] = 1},
     .loosen = 8},
    {"mask", {REAL(4, 3), BOOLS(4, 3), NONE, SCALAR}, .arg = {1, 1}},
    {"empty", {REAL(4, 3), INDEX(4, 0), NONE, REAL(0, 3)}, .arg = {1, 1}},
    {"outside", {REAL(4, 3), OUTSIDE(4, 2), NONE, SCALAR}, .arg = {1, 1}, .code = TERN_ERR_INDEX},
    {"values do not fit", {REAL(4, 3), INDEX(4, 2), NONE, REAL(3, 3)}, .arg = {1, 1}, .code = TERN_ERR_SHAPE},
    {"values too large", {REAL(4, 3), INDEX(4, 2), NONE, REAL(2, 2, 3)}, .arg = {1, 1}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(4, 3), INDEX(4, 2), NONE, TYPED(TERN_F64, 2, 3)}, .arg = {1, 1}, .code = TERN_ERR_DTYPE},
    {"no index", {REAL(4, 3), INDEX(4, 2), NONE, SCALAR}, .arg = {1, 0}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(index_put, index_puts, call_index_put, ref_index_put, SWEEP_INTS | SWEEP_WRAPS, 1)

static tern_tensor *call_index_put_(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *index[9];
    slots(in, c, index);
    return tern_index_put_(in[0] ? tern_clone(in[0]) : NULL, index, (int)c->arg[0], in[3], c->arg[9] != 0);
}
SWEEP(index_put_, index_puts, call_index_put_, ref_index_put, SWEEP_INTS | SWEEP_WRAPS, 1)
