/* movedim, squeeze_all, unflatten, atleast, narrow, unfold, diagonals, and ops that return several views: split, chunk,
 * unbind, broadcast_tensors, meshgrid. The latter are checked through a join of what they return, in reverse. */
#include "../sweep.h"

/* out[i] = x[map(index of i)]; false: zero. */
typedef bool (*index_map)(const sweep_case *c, const array *x, const int64_t *at, int64_t *from);

static void gather_map(const array *x, const sweep_case *c, tern_shape shape, index_map map, array *out) {
    int64_t at[TERN_MAX_DIMS], from[TERN_MAX_DIMS], strides[TERN_MAX_DIMS];
    array_new(out, shape);
    array_strides(x->shape, strides);
    for (int64_t i = 0; i < out->n; i++) {
        array_index(shape, i, at);
        if (!map(c, x, at, from)) continue;
        int64_t p = 0;
        for (int d = 0; d < x->shape.ndim; d++) p += from[d] * strides[d];
        out->v[i] = x->v[p];
    }
}

static int64_t dim_of(const array *x, int64_t dim) { return dim < 0 ? dim + x->shape.ndim : dim; }

static void copy_as(const array *x, tern_shape shape, array *out) {
    array_new(out, shape);
    memcpy(out->v, x->v, sizeof(double) * (size_t)x->n);
}

/* ---- movedim: arg = from, to --------------------------------------------------------------------------------------
 */

static tern_tensor *call_movedim(tern_tensor *const *in, const sweep_case *c) {
    return tern_movedim(in[0], (int)c->arg[0], (int)c->arg[1]);
}

/* Index d of the result is that of x's dimension order[d]. */
static void order_of(const sweep_case *c, const array *x, int *order) {
    const int n = x->shape.ndim, from = (int)dim_of(x, c->arg[0]), to = (int)dim_of(x, c->arg[1]);
    int rest[TERN_MAX_DIMS], k = 0;
    for (int d = 0; d < n; d++)
        if (d != from) rest[k++] = d;
    k = 0;
    for (int d = 0; d < n; d++) order[d] = d == to ? from : rest[k++];
}

static bool map_movedim(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    int order[TERN_MAX_DIMS];
    order_of(c, x, order);
    for (int d = 0; d < x->shape.ndim; d++) from[order[d]] = at[d];
    return true;
}

static void ref_movedim(const array *in, const sweep_case *c, array *out) {
    int order[TERN_MAX_DIMS];
    tern_shape s = in->shape;
    order_of(c, in, order);
    for (int d = 0; d < s.ndim; d++) s.dim[d] = in->shape.dim[order[d]];
    gather_map(in, c, s, map_movedim, out);
}

static const sweep_case movedims[] = {
    {"first to last", {REAL(2, 3, 4)}, .arg = {0, -1}},
    {"last to first", {REAL(2, 3, 4, 2)}, .arg = {-1, 0}},
    {"middle", {REAL(2, 3, 4, 2)}, .arg = {1, 2}},
    {"nowhere", {REAL(2, 3)}, .arg = {1, 1}},
    {"empty", {REAL(2, 0, 3)}, .arg = {1, 0}},
    {"from nowhere", {REAL(2, 3)}, .arg = {2, 0}, .code = TERN_ERR_SHAPE},
    {"to nowhere", {REAL(2, 3)}, .arg = {0, 2}, .code = TERN_ERR_SHAPE},
    {"0-dim", {SCALAR}, .arg = {0, 0}, .code = TERN_ERR_SHAPE},
};
SWEEP(movedim, movedims, call_movedim, ref_movedim, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- squeeze_all, unflatten, atleast ------------------------------------------------------------------------------
 */

static tern_tensor *call_squeeze_all(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_squeeze_all(in[0]);
}

static void ref_squeeze_all(const array *in, const sweep_case *c, array *out) {
    tern_shape s = {0};
    (void)c;
    for (int d = 0; d < in->shape.ndim; d++)
        if (in->shape.dim[d] != 1) s.dim[s.ndim++] = in->shape.dim[d];
    copy_as(in, s, out);
}

static const sweep_case squeezes[] = {
    {"some", {REAL(1, 3, 1, 2)}}, {"none", {REAL(3, 2)}},  {"all", {REAL(1, 1)}},
    {"0-dim", {SCALAR}},          {"empty", {REAL(1, 0)}},
};
SWEEP(squeeze_all, squeezes, call_squeeze_all, ref_squeeze_all, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_unflatten(tern_tensor *const *in, const sweep_case *c) {
    return tern_unflatten(in[0], (int)c->arg[0], tern_shape_of((int)c->arg[1], &c->arg[2]));
}

static void ref_unflatten(const array *in, const sweep_case *c, array *out) {
    tern_shape s = {0};
    for (int d = 0; d < in->shape.ndim; d++) {
        if (d != dim_of(in, c->arg[0])) {
            s.dim[s.ndim++] = in->shape.dim[d];
            continue;
        }
        int64_t rest = in->shape.dim[d];
        for (int k = 0; k < c->arg[1]; k++)
            if (c->arg[2 + k] > 0) rest /= c->arg[2 + k];
        for (int k = 0; k < c->arg[1]; k++) s.dim[s.ndim++] = c->arg[2 + k] < 0 ? rest : c->arg[2 + k];
    }
    copy_as(in, s, out);
}

static const sweep_case unflattens[] = {
    {"last", {REAL(2, 12)}, .arg = {-1, 2, 3, 4}},
    {"first", {REAL(6, 2)}, .arg = {0, 2, 2, 3}},
    {"unknown", {REAL(2, 12, 3)}, .arg = {1, 3, 2, -1, 3}},
    {"one", {REAL(2, 3)}, .arg = {1, 1, 3}},
    {"empty", {REAL(2, 0)}, .arg = {1, 2, 0, 3}},
    {"other count", {REAL(2, 12)}, .arg = {1, 2, 3, 5}, .code = TERN_ERR_SHAPE},
    {"does not divide", {REAL(2, 12)}, .arg = {1, 2, -1, 5}, .code = TERN_ERR_SHAPE},
    {"two unknown", {REAL(2, 12)}, .arg = {1, 2, -1, -1}, .code = TERN_ERR_SHAPE},
    {"overflow", {REAL(2, 12)}, .arg = {1, 2, INT64_MAX, 4}, .code = TERN_ERR_SHAPE},
    {"into none", {REAL(2, 12)}, .arg = {1, 0}, .code = TERN_ERR_SHAPE},
    {"too many", {REAL(2, 12)}, .arg = {1, 8, 1, 1, 1, 1, 1, 1, 1, 12}, .code = TERN_ERR_SHAPE},
    {"no such dimension", {REAL(2, 12)}, .arg = {2, 1, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(unflatten, unflattens, call_unflatten, ref_unflatten, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_atleast_1d(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_atleast_1d(in[0]);
}
static tern_tensor *call_atleast_2d(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_atleast_2d(in[0]);
}
static tern_tensor *call_atleast_3d(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_atleast_3d(in[0]);
}

static void atleast(const array *in, int n, array *out) {
    static const tern_shape from_0[] = {{1, {1}}, {2, {1, 1}}, {3, {1, 1, 1}}};
    const int64_t a = in->shape.dim[0], b = in->shape.dim[1];
    tern_shape s = in->shape;
    if (s.ndim == 0) s = from_0[n - 1];
    if (s.ndim == 1 && n == 2) s = TERN_SHAPE(1, a);
    if (s.ndim == 1 && n == 3) s = TERN_SHAPE(1, a, 1);
    if (s.ndim == 2 && n == 3) s = TERN_SHAPE(a, b, 1);
    copy_as(in, s, out);
}
static void ref_atleast_1d(const array *in, const sweep_case *c, array *out) { (void)c, atleast(in, 1, out); }
static void ref_atleast_2d(const array *in, const sweep_case *c, array *out) { (void)c, atleast(in, 2, out); }
static void ref_atleast_3d(const array *in, const sweep_case *c, array *out) { (void)c, atleast(in, 3, out); }

static const sweep_case atleasts[] = {
    {"0-dim", {SCALAR}},        {"1-dim", {REAL(3)}}, {"2-dim", {REAL(3, 2)}},
    {"3-dim", {REAL(2, 3, 2)}}, {"empty", {REAL(0)}},
};
SWEEP(atleast_1d, atleasts, call_atleast_1d, ref_atleast_1d, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(atleast_2d, atleasts, call_atleast_2d, ref_atleast_2d, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(atleast_3d, atleasts, call_atleast_3d, ref_atleast_3d, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- narrow: arg = dim, start, length -----------------------------------------------------------------------------
 */

static tern_tensor *call_narrow(tern_tensor *const *in, const sweep_case *c) {
    return tern_narrow(in[0], (int)c->arg[0], c->arg[1], c->arg[2]);
}

static bool map_narrow(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    const int64_t dim = dim_of(x, c->arg[0]);
    for (int d = 0; d < x->shape.ndim; d++) from[d] = at[d];
    from[dim] += c->arg[1] < 0 ? c->arg[1] + x->shape.dim[dim] : c->arg[1];
    return true;
}

static void ref_narrow(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in->shape;
    s.dim[dim_of(in, c->arg[0])] = c->arg[2];
    gather_map(in, c, s, map_narrow, out);
}

static const sweep_case narrows[] = {
    {"rows", {REAL(5, 3)}, .arg = {0, 1, 3}},
    {"from the end", {REAL(3, 5)}, .arg = {-1, -2, 2}},
    {"all", {REAL(3, 5)}, .arg = {1, 0, 5}},
    {"none, at the end", {REAL(3, 5)}, .arg = {1, 5, 0}},
    {"too long", {REAL(3, 5)}, .arg = {1, 3, 3}, .code = TERN_ERR_INDEX},
    {"negative length", {REAL(3, 5)}, .arg = {1, 3, -1}, .code = TERN_ERR_INDEX},
    {"before the start", {REAL(3, 5)}, .arg = {1, -6, 1}, .code = TERN_ERR_INDEX},
    {"overflow", {REAL(3, 5)}, .arg = {1, 1, INT64_MAX}, .code = TERN_ERR_INDEX},
    {"no such dimension", {REAL(3, 5)}, .arg = {2, 0, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(narrow, narrows, call_narrow, ref_narrow, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- unfold: arg = dim, size, step --------------------------------------------------------------------------------
 */

static tern_tensor *call_unfold(tern_tensor *const *in, const sweep_case *c) {
    return tern_unfold(in[0], (int)c->arg[0], c->arg[1], c->arg[2]);
}

static bool map_unfold(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    for (int d = 0; d < x->shape.ndim; d++) from[d] = at[d];
    const int64_t dim = dim_of(x, c->arg[0]);
    from[dim] = at[dim] * c->arg[2] + at[x->shape.ndim];
    return true;
}

static void ref_unfold(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in->shape;
    const int64_t dim = dim_of(in, c->arg[0]);
    s.dim[dim] = (s.dim[dim] - c->arg[1]) / c->arg[2] + 1;
    s.dim[s.ndim++] = c->arg[1];
    gather_map(in, c, s, map_unfold, out);
}

static const sweep_case unfolds[] = {
    {"last", {REAL(3, 7)}, .arg = {-1, 3, 1}},
    {"rows, step 2", {REAL(7, 3)}, .arg = {0, 3, 2}},
    {"apart", {REAL(2, 8, 2)}, .arg = {1, 2, 3}},
    {"one window", {REAL(5)}, .arg = {0, 5, 4}},
    {"empty beside", {REAL(0, 5)}, .arg = {1, 2, 1}},
    {"too long", {REAL(3, 7)}, .arg = {1, 8, 1}, .code = TERN_ERR_SHAPE},
    {"no size", {REAL(3, 7)}, .arg = {1, 0, 1}, .code = TERN_ERR_ARGUMENT},
    {"no step", {REAL(3, 7)}, .arg = {1, 2, 0}, .code = TERN_ERR_ARGUMENT},
    {"0-dim", {SCALAR}, .arg = {0, 1, 1}, .code = TERN_ERR_SHAPE},
    {"9-dim", {REAL(1, 1, 1, 1, 1, 1, 1, 2)}, .arg = {7, 1, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(unfold, unfolds, call_unfold, ref_unfold, SWEEP_INTS | SWEEP_BOOL, 8)

/* ---- diagonal, diag, diag_embed: arg = offset, dim0, dim1 ---------------------------------------------------------
 */

static tern_tensor *call_diagonal(tern_tensor *const *in, const sweep_case *c) {
    return tern_diagonal(in[0], c->arg[0], (int)c->arg[1], (int)c->arg[2]);
}

static bool map_diagonal(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    const int64_t a = dim_of(x, c->arg[1]), b = dim_of(x, c->arg[2]);
    int k = 0;
    for (int d = 0; d < x->shape.ndim; d++)
        if (d != a && d != b) from[d] = at[k++];
    from[a] = at[k] + (c->arg[0] < 0 ? -c->arg[0] : 0);
    from[b] = at[k] + (c->arg[0] > 0 ? c->arg[0] : 0);
    return true;
}

static void ref_diagonal(const array *in, const sweep_case *c, array *out) {
    const int64_t a = dim_of(in, c->arg[1]), b = dim_of(in, c->arg[2]);
    tern_shape s = {0};
    for (int d = 0; d < in->shape.ndim; d++)
        if (d != a && d != b) s.dim[s.ndim++] = in->shape.dim[d];
    int64_t n = 0;
    for (int64_t i = 0; i < in->shape.dim[a]; i++)
        for (int64_t j = 0; j < in->shape.dim[b]; j++) n += (__int128)j - i == c->arg[0];
    s.dim[s.ndim++] = n;
    gather_map(in, c, s, map_diagonal, out);
}

static const sweep_case diagonals[] = {
    {"square", {REAL(4, 4)}, .arg = {0, 0, 1}},
    {"above", {REAL(3, 5)}, .arg = {2, 0, 1}},
    {"below", {REAL(5, 3)}, .arg = {-2, 0, 1}},
    {"turned", {REAL(3, 5)}, .arg = {1, 1, 0}},
    {"batch", {REAL(2, 3, 4)}, .arg = {0, -2, -1}},
    {"outer two", {REAL(3, 2, 4)}, .arg = {1, 0, 2}},
    {"outside", {REAL(3, 4)}, .arg = {9, 0, 1}},
    {"far outside", {REAL(3, 4)}, .arg = {INT64_MIN, 0, 1}},
    {"empty", {REAL(0, 4)}, .arg = {0, 0, 1}},
    {"one dimension", {REAL(3, 4)}, .arg = {0, 1, -1}, .code = TERN_ERR_ARGUMENT},
    {"1-dim", {REAL(3)}, .arg = {0, 0, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(diagonal, diagonals, call_diagonal, ref_diagonal, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_diag_embed(tern_tensor *const *in, const sweep_case *c) {
    return tern_diag_embed(in[0], c->arg[0], (int)c->arg[1], (int)c->arg[2]);
}

static bool map_embed(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    const int n = x->shape.ndim + 1;
    const int64_t a = c->arg[1] < 0 ? c->arg[1] + n : c->arg[1], b = c->arg[2] < 0 ? c->arg[2] + n : c->arg[2];
    int k = 0;
    for (int d = 0; d < n; d++)
        if (d != a && d != b) from[k++] = at[d];
    from[k] = at[a] < at[b] ? at[a] : at[b];
    return at[b] - at[a] == c->arg[0];
}

static void ref_diag_embed(const array *in, const sweep_case *c, array *out) {
    const int n = in->shape.ndim + 1;
    const int64_t a = c->arg[1] < 0 ? c->arg[1] + n : c->arg[1], b = c->arg[2] < 0 ? c->arg[2] + n : c->arg[2];
    tern_shape s = {n, {0}};
    int k = 0;
    for (int d = 0; d < n; d++)
        s.dim[d] = d == a || d == b ? in->shape.dim[n - 2] + llabs(c->arg[0]) : in->shape.dim[k++];
    gather_map(in, c, s, map_embed, out);
}

static const sweep_case embeds[] = {
    {"vector", {REAL(4)}, .arg = {0, 0, 1}},
    {"above", {REAL(3)}, .arg = {2, 0, 1}},
    {"below, batch", {REAL(2, 3)}, .arg = {-1, -2, -1}},
    {"other dimensions", {REAL(2, 3)}, .arg = {1, 2, 0}},
    {"empty", {REAL(0)}, .arg = {1, 0, 1}},
    {"one dimension", {REAL(3)}, .arg = {0, 1, -1}, .code = TERN_ERR_ARGUMENT},
    {"no such dimension", {REAL(3)}, .arg = {0, 0, 2}, .code = TERN_ERR_SHAPE},
    {"0-dim", {SCALAR}, .arg = {0, 0, 1}, .code = TERN_ERR_SHAPE},
    {"far outside", {REAL(3)}, .arg = {INT64_MIN, 0, 1}, .code = TERN_ERR_SHAPE},
    {"too large", {REAL(3)}, .arg = {INT64_MAX / 2, 0, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(diag_embed, embeds, call_diag_embed, ref_diag_embed, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_diag(tern_tensor *const *in, const sweep_case *c) { return tern_diag(in[0], c->arg[0]); }

static void ref_diag(const array *in, const sweep_case *c, array *out) {
    const sweep_case plain = {.arg = {c->arg[0], 0, 1}};
    if (in->shape.ndim == 1)
        ref_diag_embed(in, &plain, out);
    else
        ref_diagonal(in, &plain, out);
}

static const sweep_case diags[] = {
    {"vector", {REAL(4)}, .arg = {1}},
    {"matrix", {REAL(4, 3)}, .arg = {-1}},
    {"empty", {REAL(0)}, .arg = {0}},
    {"0-dim", {SCALAR}, .arg = {0}, .code = TERN_ERR_SHAPE},
    {"3-dim", {REAL(2, 2, 2)}, .arg = {0}, .code = TERN_ERR_SHAPE},
};
SWEEP(diag, diags, call_diag, ref_diag, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- several results: each case joins them, last first, along arg[0] ----------------------------------------------
 */

enum { MOST = 8 };

static tern_tensor *joined(bool ok, tern_tensor **out, int n, int dim) {
    tern_tensor *turned[MOST];
    for (int i = 0; i < n && !ok; i++) CHECK(out[i] == NULL, "a part is left behind");
    for (int i = 0; i < n; i++) turned[i] = out[n - 1 - i];
    return ok ? tern_cat(turned, n, dim) : NULL;
}

/* Parts of x of these sizes along dim, last first. */
static void join_parts(const array *x, int64_t dim, const int64_t *sizes, int n, array *out) {
    int64_t outer, size, inner, at = 0;
    array_split(x, dim, &outer, &size, &inner);
    array_new(out, x->shape);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t part = n - 1, end = size; part >= 0; end -= sizes[part--])
            for (int64_t i = (end - sizes[part]) * inner; i < end * inner; i++)
                out->v[at++] = x->v[o * size * inner + i];
}

static tern_tensor *call_split(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *out[MOST];
    for (int i = 0; i < MOST; i++) out[i] = in[0];
    const bool ok = tern_split(in[0], c->arg[1], (int)c->arg[0], out, (int)c->arg[2]);
    return joined(ok, out, (int)c->arg[2], (int)c->arg[0]);
}

static void ref_split(const array *in, const sweep_case *c, array *out) {
    int64_t sizes[MOST], rest = in->shape.dim[dim_of(in, c->arg[0])];
    for (int i = 0; i < c->arg[2]; i++) {
        sizes[i] = rest < c->arg[1] ? rest : c->arg[1];
        rest -= sizes[i];
    }
    join_parts(in, c->arg[0], sizes, (int)c->arg[2], out);
}

static const sweep_case splits[] = {
    {"rows", {REAL(6, 3)}, .arg = {0, 2, 3}},
    {"columns, smaller last", {REAL(2, 7)}, .arg = {-1, 3, 3}},
    {"larger than all", {REAL(2, 3)}, .arg = {1, 5, 1}},
    {"empty", {REAL(2, 0)}, .arg = {1, 5, 1}},
    {"wrong number", {REAL(2, 7)}, .arg = {1, 3, 2}, .code = TERN_ERR_ARGUMENT},
    {"no size", {REAL(2, 7)}, .arg = {1, 0, 2}, .code = TERN_ERR_ARGUMENT},
    {"no such dimension", {REAL(2, 7)}, .arg = {2, 3, 3}, .code = TERN_ERR_SHAPE},
};
SWEEP(split, splits, call_split, ref_split, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_split_sizes(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *out[MOST];
    for (int i = 0; i < MOST; i++) out[i] = in[0];
    const bool ok = tern_split_sizes(in[0], &c->arg[2], (int)c->arg[1], (int)c->arg[0], out);
    return joined(ok, out, (int)c->arg[1], (int)c->arg[0]);
}

static void ref_split_sizes(const array *in, const sweep_case *c, array *out) {
    join_parts(in, c->arg[0], &c->arg[2], (int)c->arg[1], out);
}

static const sweep_case split_sizes[] = {
    {"rows", {REAL(6, 3)}, .arg = {0, 3, 1, 3, 2}},
    {"an empty one", {REAL(2, 4)}, .arg = {1, 3, 1, 0, 3}},
    {"too small", {REAL(2, 4)}, .arg = {1, 2, 1, 2}, .code = TERN_ERR_SHAPE},
    {"too large", {REAL(2, 4)}, .arg = {1, 2, 1, 4}, .code = TERN_ERR_SHAPE},
    {"negative", {REAL(2, 4)}, .arg = {1, 2, 5, -1}, .code = TERN_ERR_SHAPE},
    {"no such dimension", {REAL(2, 4)}, .arg = {2, 1, 4}, .code = TERN_ERR_SHAPE},
};
SWEEP(split_sizes, split_sizes, call_split_sizes, ref_split_sizes, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_chunk(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *out[MOST];
    for (int i = 0; i < MOST; i++) out[i] = in[0];
    const bool ok = tern_chunk(in[0], (int)c->arg[1], (int)c->arg[0], out);
    return joined(ok, out, (int)c->arg[1], (int)c->arg[0]);
}

static void ref_chunk(const array *in, const sweep_case *c, array *out) {
    int64_t sizes[MOST], rest = in->shape.dim[dim_of(in, c->arg[0])];
    const int64_t each = (rest + c->arg[1] - 1) / c->arg[1];
    for (int i = 0; i < c->arg[1]; i++) {
        sizes[i] = rest < each ? rest : each;
        rest -= sizes[i];
    }
    join_parts(in, c->arg[0], sizes, (int)c->arg[1], out);
}

static const sweep_case chunks[] = {
    {"even", {REAL(6, 3)}, .arg = {0, 3}},
    {"smaller last", {REAL(2, 7)}, .arg = {-1, 3}},
    {"empty ones", {REAL(2, 5)}, .arg = {1, 4}},
    {"more than there are", {REAL(2, 3)}, .arg = {1, 7}},
    {"empty", {REAL(2, 0)}, .arg = {1, 3}},
    {"none", {REAL(2, 3)}, .arg = {1, 0}, .code = TERN_ERR_ARGUMENT},
    {"no such dimension", {REAL(2, 3)}, .arg = {2, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(chunk, chunks, call_chunk, ref_chunk, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_unbind(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *out[MOST], *turned[MOST];
    const int n = (int)c->arg[1];
    for (int i = 0; i < MOST; i++) out[i] = in[0];
    if (!tern_unbind(in[0], (int)c->arg[0], out, n)) return joined(false, out, n, 0);
    for (int i = 0; i < n; i++) turned[i] = out[n - 1 - i];
    return tern_stack(turned, n, (int)c->arg[0]);
}

static void ref_unbind(const array *in, const sweep_case *c, array *out) {
    const int64_t ones[MOST] = {1, 1, 1, 1, 1, 1, 1, 1};
    join_parts(in, c->arg[0], ones, (int)c->arg[1], out);
}

static const sweep_case unbinds[] = {
    {"rows", {REAL(3, 4)}, .arg = {0, 3}},
    {"columns", {REAL(2, 3, 4)}, .arg = {-1, 4}},
    {"to 0-dim", {REAL(4)}, .arg = {0, 4}},
    {"wrong number", {REAL(3, 4)}, .arg = {0, 4}, .code = TERN_ERR_ARGUMENT},
    {"0-dim", {SCALAR}, .arg = {0, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(unbind, unbinds, call_unbind, ref_unbind, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_broadcast(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *out[MOST] = {NULL};
    const bool ok = tern_broadcast_tensors(in, (int)c->arg[0], out);
    return ok ? tern_stack(out, (int)c->arg[0], 0) : joined(false, out, (int)c->arg[0], 0);
}

static void ref_broadcast(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in[0].shape, all = {0};
    for (int i = 1; i < c->arg[0]; i++) s = array_broadcast(s, in[i].shape);
    all.ndim = s.ndim + 1;
    all.dim[0] = c->arg[0];
    for (int d = 0; d < s.ndim; d++) all.dim[d + 1] = s.dim[d];
    array_new(out, all);
    const int64_t each = out->n / c->arg[0];
    for (int64_t i = 0; i < out->n; i++) out->v[i] = array_at(&in[i / each], s, i % each);
}

static const sweep_case broadcasts[] = {
    {"three", {REAL(3, 1), REAL(4), SCALAR}, .arg = {3}},
    {"one", {REAL(3)}, .arg = {1}},
    {"do not fit", {REAL(3), REAL(4)}, .arg = {2}, .code = TERN_ERR_SHAPE},
    {"none", {REAL(3)}, .arg = {0}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(broadcast_tensors, broadcasts, call_broadcast, ref_broadcast, SWEEP_INTS | SWEEP_BOOL, 8)

static tern_tensor *call_meshgrid(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *out[MOST] = {NULL};
    const bool ok = tern_meshgrid(in, (int)c->arg[0], out);
    return ok ? tern_stack(out, (int)c->arg[0], 0) : joined(false, out, (int)c->arg[0], 0);
}

static void ref_meshgrid(const array *in, const sweep_case *c, array *out) {
    tern_shape s = {(int)c->arg[0] + 1, {c->arg[0]}};
    for (int d = 0; d < c->arg[0]; d++) s.dim[d + 1] = in[d].n;
    array_new(out, s);
    for (int64_t i = 0; i < out->n; i++) {
        int64_t at[TERN_MAX_DIMS];
        array_index(s, i, at);
        out->v[i] = in[at[0]].v[at[1 + at[0]]];
    }
}

static const sweep_case meshgrids[] = {
    {"two", {REAL(3), REAL(4)}, .arg = {2}},
    {"three", {REAL(3), REAL(2), REAL(4)}, .arg = {3}},
    {"one", {REAL(3)}, .arg = {1}},
    {"2-dim", {REAL(3), REAL(4, 1)}, .arg = {2}, .code = TERN_ERR_SHAPE},
    {"none", {REAL(3)}, .arg = {0}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(meshgrid, meshgrids, call_meshgrid, ref_meshgrid, SWEEP_INTS | SWEEP_BOOL, 8)
