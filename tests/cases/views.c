/* reshape, flatten, permute, transpose, squeeze, unsqueeze, expand, slice, select, contiguous, clone. */
#include "../sweep.h"

static tern_shape shape_arg(const sweep_case *c) { return tern_shape_of((int)c->arg[0], &c->arg[1]); }

/* out[i] = x[map(index of i)], where map gives x's index. */
typedef void (*index_map)(const sweep_case *c, const array *x, const int64_t *at, int64_t *from);

static void gather_view(const array *x, const sweep_case *c, tern_shape shape, index_map map, array *out) {
    int64_t at[TERN_MAX_DIMS], from[TERN_MAX_DIMS], strides[TERN_MAX_DIMS];
    array_new(out, shape);
    array_strides(x->shape, strides);
    for (int64_t i = 0; i < out->n; i++) {
        array_index(shape, i, at);
        map(c, x, at, from);
        int64_t p = 0;
        for (int d = 0; d < x->shape.ndim; d++) p += from[d] * strides[d];
        out->v[i] = x->v[p];
    }
}

static void copy_as(const array *x, tern_shape shape, array *out) {
    array_new(out, shape);
    memcpy(out->v, x->v, sizeof(double) * (size_t)x->n);
}

/* ---- reshape, flatten, squeeze, unsqueeze
 * ---------------------------------------------------------------------------- */

static tern_tensor *call_reshape(tern_tensor *const *in, const sweep_case *c) {
    return tern_reshape(in[0], shape_arg(c));
}

static void ref_reshape(const array *in, const sweep_case *c, array *out) {
    tern_shape s = shape_arg(c);
    int64_t known = 1;
    for (int d = 0; d < s.ndim; d++)
        if (s.dim[d] >= 0) known *= s.dim[d];
    for (int d = 0; d < s.ndim; d++)
        if (s.dim[d] < 0) s.dim[d] = in->n / known;
    copy_as(in, s, out);
}

static const sweep_case reshapes[] = {
    {"merge", {REAL(2, 3, 4)}, .arg = {2, 6, 4}},
    {"split", {REAL(6, 4)}, .arg = {3, 2, 3, 4}},
    {"across", {REAL(2, 3, 4)}, .arg = {2, 4, 6}},
    {"one unknown", {REAL(2, 3, 4)}, .arg = {2, 3, -1}},
    {"to 1-dim", {REAL(2, 3, 4)}, .arg = {1, -1}},
    {"to 0-dim", {REAL(1, 1)}, .arg = {0}},
    {"from 0-dim", {SCALAR}, .arg = {2, 1, 1}},
    {"empty", {REAL(2, 0, 3)}, .arg = {2, 0, 5}},
    {"ones", {REAL(2, 1, 3)}, .arg = {5, 1, 2, 1, 3, 1}},
    {"8-dim", {REAL(2, 2, 2, 2, 2, 2)}, .arg = {8, 1, 2, 2, 2, 1, 2, 2, 2}},
    {"other count", {REAL(2, 3)}, .arg = {2, 2, 4}, .code = TERN_ERR_SHAPE},
    {"two unknown", {REAL(2, 3)}, .arg = {2, -1, -1}, .code = TERN_ERR_SHAPE},
    {"unknown does not divide", {REAL(2, 3)}, .arg = {2, 4, -1}, .code = TERN_ERR_SHAPE},
    {"negative", {REAL(2, 3)}, .arg = {2, -2, 3}, .code = TERN_ERR_SHAPE},
};
SWEEP(reshape, reshapes, call_reshape, ref_reshape, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_flatten(tern_tensor *const *in, const sweep_case *c) {
    return tern_flatten(in[0], (int)c->arg[0], (int)c->arg[1]);
}

static void ref_flatten(const array *in, const sweep_case *c, array *out) {
    const int64_t n = in->shape.ndim, a = c->arg[0] < 0 ? c->arg[0] + n : c->arg[0],
                  b = c->arg[1] < 0 ? c->arg[1] + n : c->arg[1];
    tern_shape s = {0};
    for (int d = 0; d < n; d++)
        if (d <= a || d > b)
            s.dim[s.ndim++] = in->shape.dim[d];
        else
            s.dim[s.ndim - 1] *= in->shape.dim[d];
    copy_as(in, s, out);
}

static const sweep_case flattens[] = {
    {"from 1", {REAL(2, 3, 4)}, .arg = {1, -1}},
    {"all", {REAL(2, 3, 4)}, .arg = {0, -1}},
    {"first two", {REAL(2, 3, 4)}, .arg = {0, 1}},
    {"one", {REAL(2, 3)}, .arg = {1, 1}},
    {"backwards", {REAL(2, 3)}, .arg = {1, 0}, .code = TERN_ERR_ARGUMENT},
    {"out of range", {REAL(2, 3)}, .arg = {0, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(flatten, flattens, call_flatten, ref_flatten, SWEEP_INTS, 1)

static tern_tensor *call_squeeze(tern_tensor *const *in, const sweep_case *c) {
    return tern_squeeze(in[0], (int)c->arg[0]);
}

static void ref_squeeze(const array *in, const sweep_case *c, array *out) {
    tern_shape s = {0};
    for (int d = 0; d < in->shape.ndim; d++)
        if (d != (c->arg[0] < 0 ? c->arg[0] + in->shape.ndim : c->arg[0])) s.dim[s.ndim++] = in->shape.dim[d];
    copy_as(in, s, out);
}

static const sweep_case squeezes[] = {
    {"first", {REAL(1, 3, 2)}, .arg = {0}},
    {"middle", {REAL(3, 1, 2)}, .arg = {1}},
    {"last", {REAL(3, 2, 1)}, .arg = {-1}},
    {"not of size 1", {REAL(3, 2)}, .arg = {0}, .code = TERN_ERR_SHAPE},
};
SWEEP(squeeze, squeezes, call_squeeze, ref_squeeze, SWEEP_INTS, 1)

static tern_tensor *call_unsqueeze(tern_tensor *const *in, const sweep_case *c) {
    return tern_unsqueeze(in[0], (int)c->arg[0]);
}

static void ref_unsqueeze(const array *in, const sweep_case *c, array *out) {
    const int64_t at = c->arg[0] < 0 ? c->arg[0] + in->shape.ndim + 1 : c->arg[0];
    tern_shape s = {0};
    for (int d = 0; d <= in->shape.ndim; d++) {
        if (d == at) s.dim[s.ndim++] = 1;
        if (d < in->shape.ndim) s.dim[s.ndim++] = in->shape.dim[d];
    }
    copy_as(in, s, out);
}

static const sweep_case unsqueezes[] = {
    {"first", {REAL(3, 2)}, .arg = {0}},
    {"middle", {REAL(3, 2)}, .arg = {1}},
    {"last", {REAL(3, 2)}, .arg = {-1}},
    {"end", {REAL(3, 2)}, .arg = {2}},
    {"0-dim", {SCALAR}, .arg = {0}},
    {"out of range", {REAL(3, 2)}, .arg = {3}, .code = TERN_ERR_SHAPE},
    {"too many", {REAL(1, 1, 1, 1, 1, 1, 1, 1)}, .arg = {0}, .code = TERN_ERR_SHAPE},
};
SWEEP(unsqueeze, unsqueezes, call_unsqueeze, ref_unsqueeze, SWEEP_INTS, 1)

/* ---- permute, transpose
 * ----------------------------------------------------------------------------------------------- */

static tern_tensor *call_permute(tern_tensor *const *in, const sweep_case *c) {
    int dims[TERN_MAX_DIMS];
    for (int i = 0; i < c->arg[0]; i++) dims[i] = (int)c->arg[1 + i];
    return tern_permute(in[0], dims, (int)c->arg[0]);
}

static void permute_map(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    for (int i = 0; i < x->shape.ndim; i++)
        from[c->arg[1 + i] < 0 ? c->arg[1 + i] + x->shape.ndim : c->arg[1 + i]] = at[i];
}

static void ref_permute(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in->shape;
    for (int i = 0; i < s.ndim; i++)
        s.dim[i] = in->shape.dim[c->arg[1 + i] < 0 ? c->arg[1 + i] + s.ndim : c->arg[1 + i]];
    gather_view(in, c, s, permute_map, out);
}

static const sweep_case permutes[] = {
    {"rotate", {REAL(2, 3, 4)}, .arg = {3, 1, 2, 0}},
    {"reverse", {REAL(2, 3, 4)}, .arg = {3, -1, -2, -3}},
    {"channels", {REAL(2, 3, 2, 3)}, .arg = {4, 0, 3, 1, 2}},
    {"0-dim", {SCALAR}, .arg = {0}},
    {"twice", {REAL(2, 3)}, .arg = {2, 0, 0}, .code = TERN_ERR_ARGUMENT},
    {"too few", {REAL(2, 3)}, .arg = {1, 0}, .code = TERN_ERR_ARGUMENT},
    {"out of range", {REAL(2, 3)}, .arg = {2, 0, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(permute, permutes, call_permute, ref_permute, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_transpose(tern_tensor *const *in, const sweep_case *c) {
    return tern_transpose(in[0], (int)c->arg[0], (int)c->arg[1]);
}

static void transpose_map(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    const int n = x->shape.ndim;
    const int64_t a = (c->arg[0] + n) % n, b = (c->arg[1] + n) % n;
    for (int i = 0; i < n; i++) from[i] = at[i == a ? b : i == b ? a : i];
}

static void ref_transpose(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in->shape;
    const int64_t a = (c->arg[0] + s.ndim) % s.ndim, b = (c->arg[1] + s.ndim) % s.ndim;
    s.dim[a] = in->shape.dim[b];
    s.dim[b] = in->shape.dim[a];
    gather_view(in, c, s, transpose_map, out);
}

static const sweep_case transposes[] = {
    {"2-dim", {REAL(3, 4)}, .arg = {0, 1}},
    {"last two", {REAL(2, 3, 4)}, .arg = {-1, -2}},
    {"itself", {REAL(2, 3)}, .arg = {1, 1}},
    {"out of range", {REAL(2, 3)}, .arg = {0, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(transpose, transposes, call_transpose, ref_transpose, SWEEP_INTS, 1)

/* ---- expand
 * ----------------------------------------------------------------------------------------------------------- */

static tern_tensor *call_expand(tern_tensor *const *in, const sweep_case *c) {
    return tern_expand(in[0], shape_arg(c));
}

static void ref_expand(const array *in, const sweep_case *c, array *out) {
    tern_shape s = shape_arg(c);
    for (int d = 0; d < s.ndim; d++)
        if (s.dim[d] == -1) s.dim[d] = in->shape.dim[d - s.ndim + in->shape.ndim];
    array_new(out, s);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = array_at(in, s, i);
}

static const sweep_case expands[] = {
    {"rows", {REAL(3)}, .arg = {2, 4, 3}},
    {"columns", {REAL(3, 1)}, .arg = {2, 3, 4}},
    {"kept", {REAL(3, 1)}, .arg = {3, 2, -1, 4}},
    {"0-dim", {SCALAR}, .arg = {2, 2, 3}},
    {"to nothing", {REAL(1, 3)}, .arg = {2, 0, 3}},
    {"does not fit", {REAL(3)}, .arg = {1, 4}, .code = TERN_ERR_SHAPE},
    {"fewer dimensions", {REAL(2, 3)}, .arg = {1, 3}, .code = TERN_ERR_SHAPE},
    {"-1 for a new one", {REAL(3)}, .arg = {2, -1, 3}, .code = TERN_ERR_SHAPE},
};
SWEEP(expand, expands, call_expand, ref_expand, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- slice, select
 * ---------------------------------------------------------------------------------------------------- */

static tern_tensor *call_slice(tern_tensor *const *in, const sweep_case *c) {
    return tern_slice(in[0], (int)c->arg[0], c->arg[1], c->arg[2], c->arg[3]);
}

static void python_range(const array *x, const sweep_case *c, int64_t *dim, int64_t *start, int64_t *count) {
    *dim = c->arg[0] < 0 ? c->arg[0] + x->shape.ndim : c->arg[0];
    const int64_t n = x->shape.dim[*dim];
    int64_t a = c->arg[1] < 0 ? c->arg[1] + n : c->arg[1], b = c->arg[2] < 0 ? c->arg[2] + n : c->arg[2];
    a = a < 0 ? 0 : a > n ? n : a;
    b = b < 0 ? 0 : b > n ? n : b;
    *start = a;
    *count = b > a ? (b - a + c->arg[3] - 1) / c->arg[3] : 0;
}

static void slice_map(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    int64_t dim, start, count;
    python_range(x, c, &dim, &start, &count);
    for (int d = 0; d < x->shape.ndim; d++) from[d] = d == dim ? start + at[d] * c->arg[3] : at[d];
}

static void ref_slice(const array *in, const sweep_case *c, array *out) {
    int64_t dim, start, count;
    python_range(in, c, &dim, &start, &count);
    tern_shape s = in->shape;
    s.dim[dim] = count;
    gather_view(in, c, s, slice_map, out);
}

static const sweep_case slices[] = {
    {"middle", {REAL(3, 7)}, .arg = {1, 2, 5, 1}},
    {"step 2", {REAL(3, 7)}, .arg = {1, 1, 7, 2}},
    {"step 3, rows", {REAL(7, 3)}, .arg = {0, 0, INT64_MAX, 3}},
    {"negative", {REAL(3, 7)}, .arg = {-1, -3, -1, 1}},
    {"clamped", {REAL(3, 7)}, .arg = {1, -100, 100, 1}},
    {"empty", {REAL(3, 7)}, .arg = {1, 5, 2, 1}},
    {"past the end", {REAL(3, 7)}, .arg = {1, 9, 12, 1}},
    {"step beyond", {REAL(3, 7)}, .arg = {1, 1, 3, 100}},
    {"huge step", {REAL(3, 7)}, .arg = {1, 1, INT64_MAX, INT64_MAX / 2}},
    {"step 0", {REAL(3, 7)}, .arg = {1, 0, 3, 0}, .code = TERN_ERR_ARGUMENT},
    {"no such dimension", {REAL(3, 7)}, .arg = {2, 0, 3, 1}, .code = TERN_ERR_SHAPE},
    {"0-dim", {SCALAR}, .arg = {0, 0, 1, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(slice, slices, call_slice, ref_slice, SWEEP_INTS, 1)

static tern_tensor *call_select(tern_tensor *const *in, const sweep_case *c) {
    return tern_select(in[0], (int)c->arg[0], c->arg[1]);
}

static void select_map(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    const int n = x->shape.ndim;
    const int64_t dim = (c->arg[0] + n) % n, size = x->shape.dim[dim];
    for (int d = 0; d < n; d++) from[d] = d == dim ? (c->arg[1] + size) % size : at[d < dim ? d : d - 1];
}

static void ref_select(const array *in, const sweep_case *c, array *out) {
    tern_shape s = {0};
    const int n = in->shape.ndim;
    for (int d = 0; d < n; d++)
        if (d != (c->arg[0] + n) % n) s.dim[s.ndim++] = in->shape.dim[d];
    gather_view(in, c, s, select_map, out);
}

static const sweep_case selects[] = {
    {"row", {REAL(3, 4)}, .arg = {0, 1}},
    {"column", {REAL(3, 4)}, .arg = {1, 2}},
    {"negative", {REAL(3, 4)}, .arg = {-1, -1}},
    {"to 0-dim", {REAL(4)}, .arg = {0, 2}},
    {"past the end", {REAL(3, 4)}, .arg = {1, 4}, .code = TERN_ERR_INDEX},
    {"before the start", {REAL(3, 4)}, .arg = {1, -5}, .code = TERN_ERR_INDEX},
    {"of nothing", {REAL(3, 0)}, .arg = {1, 0}, .code = TERN_ERR_INDEX},
};
SWEEP(select, selects, call_select, ref_select, SWEEP_INTS, 1)

/* ---- copies
 * ---------------------------------------------------------------------------------------------------------- */

static tern_tensor *call_contiguous(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    tern_tensor *y = tern_contiguous(in[0]);
    CHECK(!y || tern_is_contiguous(y));
    return y;
}
static tern_tensor *call_clone(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    tern_tensor *y = tern_clone(in[0]);
    CHECK(!y || (tern_is_contiguous(y) && (tern_numel(y) == 0 || tern_data(y) != tern_data(in[0]))));
    return y;
}
static void ref_same(const array *in, const sweep_case *c, array *out) {
    (void)c;
    copy_as(in, in->shape, out);
}
static const sweep_case copies[] = {
    {"3-dim", {REAL(3, 4, 5)}},
    {"0-dim", {SCALAR}},
    {"empty", {REAL(0, 3)}},
    {"odd", {REAL(33, 67)}},
    {"8-dim", {REAL(2, 1, 2, 3, 2, 1, 2, 2)}},
    {"long", {REAL(3, 40013)}},
    {"long run", {REAL(40013)}},
    {"tiles", {REAL(70, 67)}},
    {"channels", {REAL(2, 5, 9, 11)}},
};
SWEEP(contiguous, copies, call_contiguous, ref_same, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(clone, copies, call_clone, ref_same, SWEEP_INTS | SWEEP_BOOL, 1)
