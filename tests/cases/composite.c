/* Ops with a number, clamp, and casts. number[0] and number[1]: the numbers. */
#include "../sweep.h"

#define WITH_NUMBER(name, expression)                                              \
    static tern_tensor *call_##name(tern_tensor *const *in, const sweep_case *c) { \
        return tern_##name(in[0], c->number[0]);                                   \
    }                                                                              \
    static void ref_##name(const array *in, const sweep_case *c, array *out) {     \
        array_new(out, in->shape);                                                 \
        for (int64_t i = 0; i < out->n; i++) {                                     \
            const double x = in->v[i], s = c->number[0];                           \
            out->v[i] = (expression);                                              \
        }                                                                          \
    }
WITH_NUMBER(add_scalar, x + s)
WITH_NUMBER(sub_scalar, x - s)
WITH_NUMBER(rsub_scalar, s - x)
WITH_NUMBER(mul_scalar, x *s)
WITH_NUMBER(div_scalar, x / s)
WITH_NUMBER(rdiv_scalar, s / x)
WITH_NUMBER(pow_scalar, pow(x, s))

static const sweep_case any[] = {
    {"number", {REAL(3, 5)}, .number = {2}},
    {"negative number", {REAL(7)}, .number = {-3}},
    {"0-dim", {SCALAR}, .number = {4}},
    {"empty", {REAL(0, 2)}, .number = {4}},
    {"3-dim", {REAL(2, 3, 4)}, .number = {0.5}, .flags = 0},
};
static const sweep_case positive[] = {
    {"2", {RANGE(0.3, 3, 3, 5)}, .number = {2}},
    {"-1", {RANGE(0.3, 3, 7)}, .number = {-1}},
    {"half", {RANGE(0.3, 3, 2, 3, 2)}, .number = {0.5}},
    {"3, negative base", {RANGE(-2, -0.3, 5)}, .number = {3}},
};
SWEEP(add_scalar, any, call_add_scalar, ref_add_scalar, 0, 2)
SWEEP(sub_scalar, any, call_sub_scalar, ref_sub_scalar, 0, 2)
SWEEP(rsub_scalar, any, call_rsub_scalar, ref_rsub_scalar, 0, 2)
SWEEP(mul_scalar, any, call_mul_scalar, ref_mul_scalar, 0, 2)
SWEEP(div_scalar, any, call_div_scalar, ref_div_scalar, 0, 2)
SWEEP(rdiv_scalar, positive, call_rdiv_scalar, ref_rdiv_scalar, 0, 2)
SWEEP(pow_scalar, positive, call_pow_scalar, ref_pow_scalar, 0, 2)

static tern_tensor *call_clamp(tern_tensor *const *in, const sweep_case *c) {
    return tern_clamp(in[0], c->number[0], c->number[1]);
}
static void ref_clamp(const array *in, const sweep_case *c, array *out) {
    array_new(out, in->shape);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = fmin(fmax(in->v[i], c->number[0]), c->number[1]);
}
static const sweep_case clamps[] = {
    {"both", {REAL(5, 7)}, .number = {-0.5, 0.75}},
    {"above", {REAL(9)}, .number = {-9, 0.5}},
    {"empty", {REAL(0)}, .number = {-1, 1}},
};
SWEEP(clamp, clamps, call_clamp, ref_clamp, 0, 2)

/* A cast there and back: the gradient passes. */
static tern_tensor *call_cast(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *y = tern_cast(in[0], (tern_dtype)c->arg[0]);
    CHECK(!y || tern_dtype_of(y) == (tern_dtype)c->arg[0]);
    return y;
}
static void ref_cast(const array *in, const sweep_case *c, array *out) {
    array_new(out, in->shape);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = round_to(in->v[i], (tern_dtype)c->arg[0]);
}
#define TO(t) \
    { "to " #t, {RANGE(0, 200, 5, 7)}, .arg = {TERN_##t}, .flags = SWEEP_NO_GRAD }
static const sweep_case casts[] = {
    TO(F64),
    TO(F32),
    TO(F16),
    TO(BF16),
    TO(I64),
    TO(I32),
    TO(U8),
    TO(BOOL),
    {"long to f32", {REAL(3, 40013)}, .arg = {TERN_F32}, .flags = SWEEP_NO_GRAD},
    {"long to bf16", {REAL(3, 40013)}, .arg = {TERN_BF16}, .flags = SWEEP_NO_GRAD},
    {"long to f16", {REAL(3, 40013)}, .arg = {TERN_F16}, .flags = SWEEP_NO_GRAD},
    {"gradient", {REAL(5, 7)}, .arg = {TERN_F64}, .flags = SWEEP_F64_ONLY},
    {"no such dtype", {REAL(2)}, .arg = {99}, .code = TERN_ERR_DTYPE},
};
SWEEP(cast, casts, call_cast, ref_cast, SWEEP_INTS | SWEEP_BOOL, 0)
