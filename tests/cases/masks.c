/* masked_fill, masked_select, masked_scatter and nonzero. */
#include "../sweep.h"

static tern_tensor *call_masked_fill(tern_tensor *const *in, const sweep_case *c) {
    return tern_masked_fill(in[0], in[1], c->number[0]);
}

static void ref_masked_fill(const array *in, const sweep_case *c, array *out) {
    array_new(out, array_broadcast(in[0].shape, in[1].shape));
    for (int64_t i = 0; i < out->n; i++)
        out->v[i] = array_at(&in[1], out->shape, i) != 0 ? c->number[0] : array_at(&in[0], out->shape, i);
}

static const sweep_case masked_fills[] = {
    {"alike", {REAL(3, 4), BOOLS(3, 4)}, .number = {1}},
    {"mask broadcast", {REAL(2, 3, 4), BOOLS(3, 1)}},
    {"x broadcast", {REAL(4), BOOLS(3, 4)}},
    {"empty", {REAL(0, 4), BOOLS(4)}},
    {"0-dim", {SCALAR, {.kind = IN_BOOL, .lo = 0, .hi = 1}}},
    {"do not fit", {REAL(3, 4), BOOLS(3)}, .code = TERN_ERR_SHAPE},
    {"mask of another dtype", {REAL(3, 4), REAL(4)}, .code = TERN_ERR_DTYPE},
    {"value",
     {{.kind = IN_WHOLE, .hi = 3, .shape = SHAPE_OF(3), .dtype = TERN_U8 + 1}, BOOLS(3)},
     .number = {-1},
     .code = TERN_ERR_ARGUMENT},
};
SWEEP(masked_fill, masked_fills, call_masked_fill, ref_masked_fill, SWEEP_INTS | SWEEP_BOOL, 8)

/* Not where x is the one that is broadcast: t keeps its shape. */
static tern_tensor *call_masked_fill_(tern_tensor *const *in, const sweep_case *c) {
    return tern_masked_fill_(in[0] ? tern_clone(in[0]) : NULL, in[1], c->number[0]);
}
static const sweep_case masked_fills_[] = {
    {"alike", {REAL(3, 4), BOOLS(3, 4)}, .number = {1}},
    {"mask broadcast", {REAL(2, 3, 4), BOOLS(3, 1)}},
    {"empty", {REAL(0, 4), BOOLS(4)}},
    {"x too small", {REAL(4), BOOLS(3, 4)}, .code = TERN_ERR_SHAPE},
    {"do not fit", {REAL(3, 4), BOOLS(3)}, .code = TERN_ERR_SHAPE},
    {"mask of another dtype", {REAL(3, 4), REAL(4)}, .code = TERN_ERR_DTYPE},
};
SWEEP(masked_fill_, masked_fills_, call_masked_fill_, ref_masked_fill, SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(masked_fill, call_masked_fill, "a.masked_fill(b, 0.0)", {"[1024, 1024]", {REAL(1024, 1024), BOOLS(1024, 1024)}})

static tern_tensor *call_masked_select(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_masked_select(in[0], in[1]);
}

static void ref_masked_select(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const tern_shape s = array_broadcast(in[0].shape, in[1].shape);
    int64_t count = 0, at = 0;
    for (int64_t i = 0; i < shape_numel(s); i++) count += array_at(&in[1], s, i) != 0;
    array_new(out, TERN_SHAPE(count));
    for (int64_t i = 0; i < shape_numel(s); i++)
        if (array_at(&in[1], s, i) != 0) out->v[at++] = array_at(&in[0], s, i);
}

static const sweep_case masked_selects[] = {
    {"alike", {REAL(3, 4), BOOLS(3, 4)}},
    {"mask broadcast", {REAL(2, 3, 4), BOOLS(3, 1)}},
    {"x broadcast", {REAL(4), BOOLS(3, 4)}},
    {"none", {REAL(3), {.kind = IN_BOOL, .shape = SHAPE_OF(3)}}},
    {"empty", {REAL(0, 4), BOOLS(4)}},
    {"0-dim", {SCALAR, {.kind = IN_BOOL, .lo = 1, .hi = 1}}},
    {"long", {REAL(3, 20011), BOOLS(3, 20011)}},
    {"do not fit", {REAL(3, 4), BOOLS(3)}, .code = TERN_ERR_SHAPE},
    {"mask of another dtype", {REAL(3, 4), REAL(4)}, .code = TERN_ERR_DTYPE},
};
SWEEP(masked_select, masked_selects, call_masked_select, ref_masked_select, SWEEP_INTS | SWEEP_BOOL, 8)
BENCH(masked_select, call_masked_select, "torch.masked_select(a, b)",
      {"[1024, 1024]", {REAL(1024, 1024), BOOLS(1024, 1024)}})

static tern_tensor *call_masked_scatter(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_masked_scatter(in[0], in[1], in[2]);
}

static void ref_masked_scatter(const array *in, const sweep_case *c, array *out) {
    (void)c;
    array_copy(&in[0], out);
    for (int64_t i = 0, at = 0; i < out->n; i++)
        if (array_at(&in[1], out->shape, i) != 0) out->v[i] = in[2].v[at++];
}

static const sweep_case masked_scatters[] = {
    {"alike", {REAL(3, 4), BOOLS(3, 4), REAL(3, 4)}},
    {"mask broadcast", {REAL(2, 3, 4), BOOLS(4), REAL(5, 6)}},
    {"empty", {REAL(0, 4), BOOLS(4), REAL(0)}},
    {"too few", {REAL(30), BOOLS(30), REAL(1)}, .code = TERN_ERR_SHAPE},
    {"mask too large", {REAL(4), BOOLS(3, 4), REAL(12)}, .code = TERN_ERR_SHAPE},
    {"mask of another dtype", {REAL(3), REAL(3), REAL(3)}, .code = TERN_ERR_DTYPE},
    {"dtypes", {REAL(3), BOOLS(3), TYPED(TERN_F64, 3)}, .code = TERN_ERR_DTYPE},
};
SWEEP(masked_scatter, masked_scatters, call_masked_scatter, ref_masked_scatter, SWEEP_INTS | SWEEP_BOOL, 1)

static tern_tensor *call_nonzero(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_nonzero(in[0]);
}

static void ref_nonzero(const array *in, const sweep_case *c, array *out) {
    (void)c;
    int64_t count = 0, at = 0;
    for (int64_t i = 0; i < in->n; i++) count += in->v[i] != 0;
    array_new(out, TERN_SHAPE(count, in->shape.ndim));
    for (int64_t i = 0; i < in->n; i++) {
        int64_t index[TERN_MAX_DIMS];
        array_index(in->shape, i, index);
        if (in->v[i] != 0)
            for (int d = 0; d < in->shape.ndim; d++) out->v[at++] = (double)index[d];
    }
}

static const sweep_case nonzeros[] = {
    {"some", {WHOLE(0, 2, 3, 4)}},
    {"1-dim", {WHOLE(0, 1, 100)}},
    {"large rank", {WHOLE(0, 1, 2, 1, 3, 2, 2)}},
    {"none", {WHOLE(0, 0, 3)}},
    {"empty", {WHOLE(0, 1, 3, 0)}},
    {"0-dim", {{.kind = IN_WHOLE, .lo = 1, .hi = 1}}},
    {"long", {WHOLE(0, 1, 7, 20011)}},
};
/* The result is integers. */
SWEEP(nonzero, nonzeros, call_nonzero, ref_nonzero, SWEEP_NO_GRAD | SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(nonzero, call_nonzero, "torch.nonzero(a)", {"[1024, 1024]", {WHOLE(0, 1, 1024, 1024)}})
