/* index_select, index_add, gather, scatter_add, cat, stack, where, cast. arg[0] is the dimension. */
#include "../sweep.h"

static int64_t dim_of(const array *x, int64_t dim) { return dim < 0 ? dim + x->shape.ndim : dim; }

/* ---- index_select, index_add
 * ------------------------------------------------------------------------------------------- */

static tern_tensor *call_index_select(tern_tensor *const *in, const sweep_case *c) {
    return tern_index_select(in[0], (int)c->arg[0], in[1]);
}

static void ref_index_select(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner;
    array_split(&in[0], c->arg[0], &outer, &size, &inner);
    tern_shape s = in[0].shape;
    const int64_t n = in[1].n;
    s.dim[dim_of(&in[0], c->arg[0])] = n;
    array_new(out, s);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t i = 0; i < inner; i++)
                out->v[(o * n + k) * inner + i] = in[0].v[(o * size + (int64_t)in[1].v[k]) * inner + i];
}

static const sweep_case index_selects[] = {
    {"rows", {REAL(4, 3), INDEX(4, 6)}, .arg = {0}},
    {"columns", {REAL(3, 4), INDEX(4, 5)}, .arg = {1}},
    {"middle, i32", {REAL(2, 4, 3), INDEX32(4, 3)}, .arg = {1}},
    {"last", {REAL(2, 3, 4), INDEX(4, 2)}, .arg = {-1}},
    {"no index", {REAL(4, 3), INDEX(4, 0)}, .arg = {0}},
    {"empty rows", {REAL(4, 0), INDEX(4, 2)}, .arg = {0}},
    {"many", {REAL(100, 33), INDEX(100, 1000)}, .arg = {0}},
    {"outside",
     {REAL(4, 3), {.kind = IN_INDEX, .lo = 4, .hi = 4, .shape = SHAPE_OF(2)}},
     .arg = {0},
     .code = TERN_ERR_INDEX},
    {"negative",
     {REAL(4, 3), {.kind = IN_INDEX, .lo = -1, .hi = -1, .shape = SHAPE_OF(2)}},
     .arg = {0},
     .code = TERN_ERR_INDEX},
    {"2-dim index", {REAL(4, 3), INDEX(4, 2, 2)}, .arg = {0}, .code = TERN_ERR_SHAPE},
    {"real index", {REAL(4, 3), TYPED(TERN_F32, 2)}, .arg = {0}, .code = TERN_ERR_DTYPE},
    {"no such dimension", {REAL(4, 3), INDEX(4, 2)}, .arg = {2}, .code = TERN_ERR_SHAPE},
};
SWEEP(index_select, index_selects, call_index_select, ref_index_select, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_index_add(tern_tensor *const *in, const sweep_case *c) {
    return tern_index_add(in[0], (int)c->arg[0], in[1], in[2]);
}

static void ref_index_add(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner;
    array_split(&in[0], c->arg[0], &outer, &size, &inner);
    array_copy(&in[0], out);
    const int64_t n = in[1].n;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t i = 0; i < inner; i++)
                out->v[(o * size + (int64_t)in[1].v[k]) * inner + i] += in[2].v[(o * n + k) * inner + i];
}

static const sweep_case index_adds[] = {
    {"rows, repeated", {RANGE(0.5, 2, 4, 3), INDEX(4, 6), RANGE(0.5, 2, 6, 3)}, .arg = {0}, .loosen = 8},
    {"columns", {RANGE(0.5, 2, 3, 4), INDEX(4, 2), RANGE(0.5, 2, 3, 2)}, .arg = {1}, .loosen = 8},
    {"middle, i32", {RANGE(0.5, 2, 2, 4, 3), INDEX32(4, 3), RANGE(0.5, 2, 2, 3, 3)}, .arg = {-2}, .loosen = 8},
    {"no index", {RANGE(0.5, 2, 4, 3), INDEX(4, 0), RANGE(0.5, 2, 0, 3)}, .arg = {0}},
    {"outside",
     {RANGE(0.5, 2, 4, 3), {.kind = IN_INDEX, .lo = 9, .hi = 9, .shape = SHAPE_OF(2)}, RANGE(0.5, 2, 2, 3)},
     .arg = {0},
     .code = TERN_ERR_INDEX},
    {"other shape", {REAL(4, 3), INDEX(4, 2), REAL(3, 3)}, .arg = {0}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(4, 3), INDEX(4, 2), TYPED(TERN_F64, 2, 3)}, .arg = {0}, .code = TERN_ERR_DTYPE},
};
SWEEP(index_add, index_adds, call_index_add, ref_index_add, SWEEP_INTS | SWEEP_WRAPS, 1)

static tern_tensor *call_index_add_(tern_tensor *const *in, const sweep_case *c) {
    return tern_index_add_(in[0] ? tern_clone(in[0]) : NULL, (int)c->arg[0], in[1], in[2]);
}
SWEEP(index_add_, index_adds, call_index_add_, ref_index_add, SWEEP_INTS | SWEEP_WRAPS, 1)

/* ---- gather, scatter_add
 * ----------------------------------------------------------------------------------------------- */

/* Where element i of the index (of shape s) points to in x. */
static int64_t target(const array *x, tern_shape s, int64_t dim, int64_t i, double index) {
    int64_t at[TERN_MAX_DIMS], strides[TERN_MAX_DIMS], p = 0;
    array_index(s, i, at);
    array_strides(x->shape, strides);
    for (int d = 0; d < s.ndim; d++) p += strides[d] * (d == dim ? (int64_t)index : at[d]);
    return p;
}

static tern_tensor *call_gather(tern_tensor *const *in, const sweep_case *c) {
    return tern_gather(in[0], (int)c->arg[0], in[1]);
}

static void ref_gather(const array *in, const sweep_case *c, array *out) {
    array_new(out, in[1].shape);
    for (int64_t i = 0; i < out->n; i++)
        out->v[i] = in[0].v[target(&in[0], in[1].shape, dim_of(&in[0], c->arg[0]), i, in[1].v[i])];
}

static const sweep_case gathers[] = {
    {"rows", {REAL(4, 3), INDEX(4, 5, 3)}, .arg = {0}},
    {"columns", {REAL(3, 4), INDEX(4, 3, 2)}, .arg = {1}},
    {"smaller", {REAL(3, 4), INDEX(4, 2, 2)}, .arg = {1}},
    {"middle, i32", {REAL(2, 4, 3), INDEX32(4, 2, 3, 3)}, .arg = {1}},
    {"1-dim", {REAL(5), INDEX(5, 7)}, .arg = {-1}},
    {"empty", {REAL(3, 4), INDEX(4, 3, 0)}, .arg = {1}},
    {"outside",
     {REAL(3, 4), {.kind = IN_INDEX, .lo = 4, .hi = 4, .shape = SHAPE_OF(3, 1)}},
     .arg = {1},
     .code = TERN_ERR_INDEX},
    {"larger", {REAL(3, 4), INDEX(4, 4, 1)}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"other ndim", {REAL(3, 4), INDEX(4, 3)}, .arg = {1}, .code = TERN_ERR_SHAPE},
};
SWEEP(gather, gathers, call_gather, ref_gather, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_scatter_add(tern_tensor *const *in, const sweep_case *c) {
    return tern_scatter_add(in[0], (int)c->arg[0], in[1], in[2]);
}

static void ref_scatter_add(const array *in, const sweep_case *c, array *out) {
    array_copy(&in[0], out);
    for (int64_t i = 0; i < in[1].n; i++)
        out->v[target(&in[0], in[1].shape, dim_of(&in[0], c->arg[0]), i, in[1].v[i])] += in[2].v[i];
}

static const sweep_case scatter_adds[] = {
    {"rows", {RANGE(0.5, 2, 4, 3), INDEX(4, 5, 3), RANGE(0.5, 2, 5, 3)}, .arg = {0}, .loosen = 8},
    {"columns", {RANGE(0.5, 2, 3, 4), INDEX(4, 3, 2), RANGE(0.5, 2, 3, 2)}, .arg = {1}, .loosen = 8},
    {"middle, i32", {RANGE(0.5, 2, 2, 4, 3), INDEX32(4, 2, 3, 2), RANGE(0.5, 2, 2, 3, 2)}, .arg = {1}, .loosen = 8},
    {"empty", {RANGE(0.5, 2, 3, 4), INDEX(4, 0, 4), RANGE(0.5, 2, 0, 4)}, .arg = {0}},
    {"outside",
     {RANGE(0.5, 2, 3, 4), {.kind = IN_INDEX, .lo = 4, .hi = 4, .shape = SHAPE_OF(3, 1)}, RANGE(0.5, 2, 3, 1)},
     .arg = {1},
     .code = TERN_ERR_INDEX},
    {"other shape", {REAL(3, 4), INDEX(4, 3, 2), REAL(3, 1)}, .arg = {1}, .code = TERN_ERR_SHAPE},
};
SWEEP(scatter_add, scatter_adds, call_scatter_add, ref_scatter_add, SWEEP_INTS | SWEEP_WRAPS, 1)

static tern_tensor *call_scatter_add_(tern_tensor *const *in, const sweep_case *c) {
    return tern_scatter_add_(in[0] ? tern_clone(in[0]) : NULL, (int)c->arg[0], in[1], in[2]);
}
SWEEP(scatter_add_, scatter_adds, call_scatter_add_, ref_scatter_add, SWEEP_INTS | SWEEP_WRAPS, 1)

/* ---- cat, stack; arg[1] inputs
 * ---------------------------------------------------------------------------------------- */

static tern_tensor *call_cat(tern_tensor *const *in, const sweep_case *c) {
    return tern_cat(in, (int)c->arg[1], (int)c->arg[0]);
}
static tern_tensor *call_stack(tern_tensor *const *in, const sweep_case *c) {
    return tern_stack(in, (int)c->arg[1], (int)c->arg[0]);
}

static void join(const array *in, int64_t n, int64_t dim, tern_shape s, array *out) {
    int64_t outer = 1, inner = 1, at = 0;
    for (int d = 0; d < s.ndim; d++) {
        if (d < dim) outer *= s.dim[d];
        if (d > dim) inner *= s.dim[d];
    }
    array_new(out, s);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < n; k++) {
            const int64_t each = in[k].n / (outer ? outer : 1);
            for (int64_t i = 0; i < each; i++) out->v[at++] = in[k].v[o * each + i];
        }
    (void)inner;
}

static void ref_cat(const array *in, const sweep_case *c, array *out) {
    const int64_t dim = dim_of(&in[0], c->arg[0]);
    tern_shape s = in[0].shape;
    for (int64_t k = 1; k < c->arg[1]; k++) s.dim[dim] += in[k].shape.dim[dim];
    join(in, c->arg[1], dim, s, out);
}

static void ref_stack(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in[0].shape;
    const int64_t dim = c->arg[0] < 0 ? c->arg[0] + s.ndim + 1 : c->arg[0];
    for (int d = s.ndim; d > dim; d--) s.dim[d] = s.dim[d - 1];
    s.dim[dim] = c->arg[1];
    s.ndim++;
    join(in, c->arg[1], dim, s, out);
}

static const sweep_case cats[] = {
    {"rows", {REAL(2, 3), REAL(1, 3), REAL(4, 3)}, .arg = {0, 3}},
    {"columns", {REAL(3, 2), REAL(3, 1)}, .arg = {1, 2}},
    {"last of 3", {REAL(2, 2, 2), REAL(2, 2, 3)}, .arg = {-1, 2}},
    {"one", {REAL(2, 3)}, .arg = {0, 1}},
    {"with an empty one", {REAL(2, 3), REAL(0, 3)}, .arg = {0, 2}},
    {"other sizes", {REAL(2, 3), REAL(2, 4)}, .arg = {0, 2}, .code = TERN_ERR_SHAPE},
    {"other ndim", {REAL(2, 3), REAL(3)}, .arg = {0, 2}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(2, 3), TYPED(TERN_F64, 2, 3)}, .arg = {0, 2}, .code = TERN_ERR_DTYPE},
    {"0-dim", {SCALAR, SCALAR}, .arg = {0, 2}, .code = TERN_ERR_SHAPE},
    {"none", {REAL(2)}, .arg = {0, 0}, .code = TERN_ERR_ARGUMENT},
    {"no such dimension", {REAL(2, 3), REAL(2, 3)}, .arg = {2, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(cat, cats, call_cat, ref_cat, SWEEP_INTS | SWEEP_BOOL, 1)

static const sweep_case stacks[] = {
    {"first", {REAL(2, 3), REAL(2, 3), REAL(2, 3)}, .arg = {0, 3}},
    {"last", {REAL(2, 3), REAL(2, 3)}, .arg = {-1, 2}},
    {"middle", {REAL(2, 3), REAL(2, 3)}, .arg = {1, 2}},
    {"0-dim", {SCALAR, SCALAR}, .arg = {0, 2}},
    {"other sizes", {REAL(2, 3), REAL(3, 2)}, .arg = {0, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(stack, stacks, call_stack, ref_stack, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- where
 * ----------------------------------------------------------------------------------------------------------- */

static tern_tensor *call_where(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_where(in[0], in[1], in[2]);
}

static void ref_where(const array *in, const sweep_case *c, array *out) {
    (void)c;
    array_new(out, array_broadcast(in[0].shape, array_broadcast(in[1].shape, in[2].shape)));
    for (int64_t i = 0; i < out->n; i++)
        out->v[i] = array_at(&in[array_at(&in[0], out->shape, i) != 0 ? 1 : 2], out->shape, i);
}

static const sweep_case wheres[] = {
    {"alike", {BOOLS(3, 4), REAL(3, 4), REAL(3, 4)}},
    {"broadcast", {BOOLS(3, 1), REAL(4), REAL(2, 3, 4)}},
    {"0-dim branches", {BOOLS(3, 4), SCALAR, SCALAR}},
    {"empty", {BOOLS(0, 4), REAL(4), REAL(1, 4)}},
    {"long", {BOOLS(3, 20011), REAL(3, 20011), REAL(20011)}},
    {"shapes", {BOOLS(3, 4), REAL(3, 4), REAL(3, 5)}, .code = TERN_ERR_SHAPE},
    {"condition of another dtype", {REAL(3), REAL(3), REAL(3)}, .code = TERN_ERR_DTYPE},
};
SWEEP(where, wheres, call_where, ref_where, SWEEP_INTS | SWEEP_BOOL, 1)
