/* Elementwise composites, integers' bits, and what rows do in place. */
#include "../sweep.h"

#define CALL(name, expression) \
    static tern_tensor *call_##name(tern_tensor *const *in, const sweep_case *c) { return (void)c, (expression); }

/* out from the inputs broadcast together, by an expression of v[0], v[1], v[2] */
#define REFERENCE(name, n_in, expression)                                      \
    static void ref_##name(const array *in, const sweep_case *c, array *out) { \
        (void)c;                                                               \
        tern_shape s = in[0].shape;                                            \
        for (int i = 1; i < (n_in); i++) s = array_broadcast(s, in[i].shape);  \
        array_new(out, s);                                                     \
        for (int64_t k = 0; k < out->n; k++) {                                 \
            double v[3] = {0};                                                 \
            for (int i = 0; i < (n_in); i++) v[i] = array_at(&in[i], s, k);    \
            out->v[k] = (expression);                                          \
        }                                                                      \
    }

/* ---- three inputs */

CALL(lerp, tern_lerp(in[0], in[1], in[2]))
REFERENCE(lerp, 3, (1 - v[2]) * v[0] + v[2] * v[1])
/* No cancellation: the steps between are rounded to the dtype. */
#define RANGE0 \
    { .kind = IN_REAL, .lo = 0.5, .hi = 2 }
static const sweep_case threes[] = {
    {"alike", {RANGE(0.5, 2, 3, 5), RANGE(0.5, 2, 3, 5), RANGE(0.4, 2, 3, 5)}, .number = {0.5}},
    {"broadcast", {RANGE(0.5, 2, 4, 1), RANGE(0.5, 2, 3), RANGE(0.4, 2, 2, 1, 3)}, .number = {2}},
    {"0-dim", {RANGE0, RANGE(0.5, 2, 2, 3), RANGE(0.4, 2, 1)}, .number = {1}},
    {"empty", {RANGE(0.5, 2, 0, 3), RANGE(0.5, 2, 1, 3), RANGE(0.4, 2, 3)}, .number = {1}},
    {"large rank",
     {RANGE(0.5, 2, 1, 2, 1, 2, 1, 2, 1), RANGE(0.5, 2, 2, 1, 2, 1, 1, 2, 1), RANGE(0.4, 2, 2)},
     .number = {3}},
    {"no fit", {RANGE(0.5, 2, 2, 3), RANGE(0.5, 2, 2), RANGE(0.5, 2, 3)}, .code = TERN_ERR_SHAPE, .text = "add"},
    {"no fit, third", {RANGE(0.5, 2, 2, 3), RANGE(0.5, 2, 3), RANGE(0.5, 2, 2)}, .code = TERN_ERR_SHAPE, .text = "add"},
};
static const sweep_case lerps[] = {
    {"alike", {RANGE(0.5, 2, 3, 5), RANGE(0.5, 2, 3, 5), RANGE(0, 1, 3, 5)}},
    {"broadcast", {RANGE(0.5, 2, 4, 1), RANGE(0.5, 2, 3), RANGE(0, 1, 2, 1, 3)}},
    {"0-dim", {RANGE0, RANGE0, RANGE0}},
    {"empty", {RANGE(0.5, 2, 0, 3), RANGE(0.5, 2, 1, 3), RANGE(0.5, 2, 3)}},
    {"no fit", {RANGE(0.5, 2, 2, 3), RANGE(0.5, 2, 3), RANGE(0.5, 2, 2)}, .code = TERN_ERR_SHAPE, .text = "lerp"},
};
SWEEP(lerp, lerps, call_lerp, ref_lerp, 0, 3)
BENCH(lerp, call_lerp, "torch.lerp(a, b, c)", {"[1024, 1024]", {REAL(1024, 1024), REAL(1024, 1024), REAL(1024, 1024)}})

CALL(lerp_scalar, tern_lerp_scalar(in[0], in[1], c->number[0]))
REFERENCE(lerp_scalar, 2, (1 - c->number[0]) * v[0] + c->number[0] * v[1])
static const sweep_case lerp_scalars[] = {
    {"half", {REAL(3, 5), REAL(3, 5)}, .number = {0.5}},
    {"beyond", {REAL(3, 1), REAL(4)}, .number = {1.5}},
    {"0-dim", {SCALAR, SCALAR}, .number = {0.25}},
    {"empty", {REAL(0), REAL(1)}, .number = {0.25}},
    {"no fit", {REAL(2, 3), REAL(2)}, .code = TERN_ERR_SHAPE, .text = "lerp_scalar"},
};
SWEEP(lerp_scalar, lerp_scalars, call_lerp_scalar, ref_lerp_scalar, 0, 3)
BENCH(lerp_scalar, call_lerp_scalar, "torch.lerp(a, b, 0.3)",
      {"[1024, 1024]", {REAL(1024, 1024), REAL(1024, 1024)}, .number = {0.3}})

CALL(addcmul, tern_addcmul(in[0], in[1], in[2], c->number[0]))
REFERENCE(addcmul, 3, v[0] + c->number[0] * v[1] * v[2])
SWEEP(addcmul, threes, call_addcmul, ref_addcmul, 0, 4)
BENCH(addcmul, call_addcmul, "torch.addcmul(a, b, c, value=0.5)",
      {"[1024, 1024]", {REAL(1024, 1024), REAL(1024, 1024), REAL(1024, 1024)}, .number = {0.5}})

CALL(addcdiv, tern_addcdiv(in[0], in[1], in[2], c->number[0]))
REFERENCE(addcdiv, 3, v[0] + c->number[0] * v[1] / v[2])
SWEEP(addcdiv, threes, call_addcdiv, ref_addcdiv, 0, 8)
BENCH(addcdiv, call_addcdiv, "torch.addcdiv(a, b, c, value=0.5)",
      {"[1024, 1024]", {REAL(1024, 1024), REAL(1024, 1024), RANGE(0.5, 2, 1024, 1024)}, .number = {0.5}})

CALL(clamp_tensors, tern_clamp_tensors(in[0], in[1], in[2]))
static void ref_clamp_tensors(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in[0].shape;
    for (int i = 1; i < 3; i++)
        if (c->in[i].kind != IN_NONE) s = array_broadcast(s, in[i].shape);
    array_new(out, s);
    for (int64_t k = 0; k < out->n; k++) {
        double x = array_at(&in[0], s, k);
        if (c->in[1].kind != IN_NONE && x < array_at(&in[1], s, k)) x = array_at(&in[1], s, k);
        if (c->in[2].kind != IN_NONE && x > array_at(&in[2], s, k)) x = array_at(&in[2], s, k);
        out->v[k] = x;
    }
}
static const sweep_case bounds[] = {
    {"both", {REAL(4, 5), RANGE(-1, 0, 5), RANGE(0.1, 1, 4, 1)}},
    {"crossed", {REAL(4, 5), RANGE(0, 1, 5), RANGE(-1, 0, 4, 1)}},
    {"lower", {REAL(4, 5), REAL(5), NONE}},
    {"upper", {REAL(7), NONE, SCALAR}},
    {"empty", {REAL(0), REAL(1), REAL(1)}},
    {"neither", {REAL(7), NONE, NONE}, .code = TERN_ERR_ARGUMENT, .text = "clamp_tensors"},
    {"no fit", {REAL(2, 3), NONE, REAL(2)}, .code = TERN_ERR_SHAPE, .text = "clamp_tensors"},
};
SWEEP(clamp_tensors, bounds, call_clamp_tensors, ref_clamp_tensors, SWEEP_INTS, 1)
BENCH(clamp_tensors, call_clamp_tensors, "torch.clamp(a, b, c)",
      {"[1024, 1024]", {REAL(1024, 1024), REAL(1024, 1024), REAL(1024, 1024)}})

/* ---- activations */

CALL(prelu, tern_prelu(in[0], in[1]))
static void ref_prelu(const array *in, const sweep_case *c, array *out) {
    (void)c;
    array_new(out, in[0].shape);
    int64_t outer, size, inner;
    array_split(&in[0], in[0].shape.ndim > 1 ? 1 : 0, &outer, &size, &inner);
    for (int64_t i = 0; i < out->n; i++)
        out->v[i] = in[0].v[i] * (in[0].v[i] > 0 ? 1 : in[1].v[in[1].n == 1 ? 0 : i / inner % size]);
}
static const sweep_case prelus[] = {
    {"images", {REAL(2, 3, 2, 3), REAL(3)}},
    {"rows", {REAL(5, 4), REAL(4)}},
    {"vector", {REAL(5), REAL(5)}},
    {"one weight", {REAL(2, 3, 4), REAL(1)}},
    {"0-dim", {SCALAR, REAL(1)}},
    {"empty", {REAL(0, 3, 2), REAL(3)}},
    {"wrong count", {REAL(2, 3, 4), REAL(4)}, .code = TERN_ERR_SHAPE, .text = "prelu"},
    {"weight of two dimensions", {REAL(2, 3), REAL(3, 1)}, .code = TERN_ERR_SHAPE, .text = "prelu"},
};
SWEEP(prelu, prelus, call_prelu, ref_prelu, 0, 1)
BENCH(prelu, call_prelu, "F.prelu(a, b)", {"[32, 32, 32, 32]", {REAL(32, 32, 32, 32), REAL(32)}})

CALL(glu, tern_glu(in[0], (int)c->arg[0]))
static void ref_glu(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner;
    array_split(&in[0], c->arg[0], &outer, &size, &inner);
    tern_shape s = in[0].shape;
    s.dim[c->arg[0] < 0 ? c->arg[0] + s.ndim : c->arg[0]] /= 2;
    array_new(out, s);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < size / 2; k++)
            for (int64_t i = 0; i < inner; i++)
                out->v[(o * (size / 2) + k) * inner + i] =
                    in[0].v[(o * size + k) * inner + i] / (1 + exp(-in[0].v[(o * size + k + size / 2) * inner + i]));
}
static const sweep_case glus[] = {
    {"last", {REAL(3, 6)}, .arg = {-1}},
    {"first", {REAL(4, 3)}, .arg = {0}},
    {"middle", {REAL(2, 4, 3)}, .arg = {1}},
    {"empty", {REAL(3, 0)}, .arg = {1}},
    {"odd", {REAL(3, 5)}, .arg = {1}, .code = TERN_ERR_SHAPE, .text = "glu"},
    {"no such dimension", {REAL(3, 4)}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "glu"},
};
SWEEP(glu, glus, call_glu, ref_glu, 0, 1)
BENCH(glu, call_glu, "F.glu(a, -1)", {"[1024, 2048]", {REAL(1024, 2048)}, .arg = {-1}})

/* x's large values are made infinite on the way in, its small ones NaN. */
static tern_tensor *call_nan_to_num(tern_tensor *const *in, const sweep_case *c) {
    if (c->arg[0]) return tern_nan_to_num(in[0], 0, 1, -1);
    tern_tensor *x = tern_where(tern_gt(in[0], tern_scalar(1, (tern_options){.dtype = tern_dtype_of(in[0])})),
                                tern_scalar((double)INFINITY, (tern_options){.dtype = tern_dtype_of(in[0])}), in[0]);
    x = tern_where(tern_lt(in[0], tern_scalar(-1, (tern_options){.dtype = tern_dtype_of(in[0])})),
                   tern_scalar(-(double)INFINITY, (tern_options){.dtype = tern_dtype_of(in[0])}), x);
    x = tern_where(tern_lt(tern_abs(in[0]), tern_scalar(0.25, (tern_options){.dtype = tern_dtype_of(in[0])})),
                   tern_scalar((double)NAN, (tern_options){.dtype = tern_dtype_of(in[0])}), x);
    return tern_nan_to_num(x, 3, 4, -5);
}
REFERENCE(nan_to_num, 1, v[0] > 1 ? 4 : v[0] < -1 ? -5 : fabs(v[0]) < 0.25 ? 3 : v[0])
static const sweep_case plain[] = {
    {"matrix", {REAL(5, 7)}},
    {"0-dim", {SCALAR}},
    {"empty", {REAL(0, 2)}},
};
SWEEP(nan_to_num, plain, call_nan_to_num, ref_nan_to_num, 0, 1)
BENCH(nan_to_num, call_nan_to_num, "torch.nan_to_num(a, 0., 1., -1.)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1}})

TERN_TEST(sweep, nan_to_num_in_place) {
    const double inf = (double)INFINITY;
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    for (int d = 0; d < 4; d++) {
        tern_tensor *t = test_values(floats[d], TERN_SHAPE(5), (double)NAN, inf, -inf, -0.5, 7);
        CHECK(tern_nan_to_num_(t, 1, 2, -3) == t);
        CHECK_VALUES(t, 1, 2, -3, -0.5, 7);
        CHECK_OK();
    }
    tern_tensor *whole = test_values(TERN_I32, TERN_SHAPE(2), -4, 4);
    CHECK(tern_nan_to_num_(whole, 1, 2, -3) == whole);
    CHECK_VALUES(whole, -4, 4);
    /* The gradient of what was replaced is 0. */
    tern_tensor *x = tern_require_grad(test_values(TERN_F64, TERN_SHAPE(3), (double)NAN, -inf, 2), true);
    tern_tensor *y = tern_nan_to_num_(tern_mul_scalar(x, 3), 0, 1, -1), *g;
    CHECK_VALUES(y, 0, -1, 6);
    CHECK(tern_grad(tern_sum(y, NULL, 0, false), &x, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 0, 0, 3);
    CHECK_OK();
}

/* ---- bits */

#define BITS(name, expression, flags)                         \
    CALL(name, tern_##name(in[0], in[1]))                     \
    REFERENCE(name, 2, (double)(expression))                  \
    SWEEP(name, bit_cases, call_##name, ref_##name, flags, 0) \
    BENCH(name, call_##name, "torch." #name "(a, b)",         \
          {"[1024, 1024]", {I64(0, 60, 1024, 1024), I64(0, 60, 1024, 1024)}})
#define I64(lo_, hi_, ...) \
    { .kind = IN_WHOLE, .lo = (lo_), .hi = (hi_), .shape = SHAPE_OF(__VA_ARGS__), .dtype = TERN_I64 + 1 }
#define I32(lo_, hi_, ...) \
    { .kind = IN_WHOLE, .lo = (lo_), .hi = (hi_), .shape = SHAPE_OF(__VA_ARGS__), .dtype = TERN_I32 + 1 }
#define U8(lo_, hi_, ...) \
    { .kind = IN_WHOLE, .lo = (lo_), .hi = (hi_), .shape = SHAPE_OF(__VA_ARGS__), .dtype = TERN_U8 + 1 }
static const sweep_case bit_cases[] = {
    {"i64", {I64(-99, 99, 5, 7), I64(0, 30, 5, 7)}, .flags = SWEEP_F64_ONLY},
    {"i32, row", {I32(-99, 99, 5, 7), I32(0, 20, 7)}, .flags = SWEEP_F64_ONLY},
    {"u8", {U8(0, 7, 3, 5), U8(0, 5, 3, 5)}, .flags = SWEEP_F64_ONLY},
    {"u8 with i32", {U8(0, 255, 9), I32(0, 20, 9)}, .flags = SWEEP_F64_ONLY},
    {"0-dim",
     {{.kind = IN_WHOLE, .lo = -9, .hi = 9, .dtype = TERN_I64 + 1},
      {.kind = IN_WHOLE, .lo = 0, .hi = 9, .dtype = TERN_I64 + 1}},
     .flags = SWEEP_F64_ONLY},
    {"empty", {I64(-9, 9, 0, 2), I64(0, 9, 2)}, .flags = SWEEP_F64_ONLY},
    {"floats", {REAL(3), REAL(3)}, .flags = SWEEP_F64_ONLY, .code = TERN_ERR_DTYPE, .text = "expected integers"},
    {"no fit", {I64(0, 9, 3), I64(0, 9, 2)}, .flags = SWEEP_F64_ONLY, .code = TERN_ERR_SHAPE, .text = "[3]"},
};
BITS(bitwise_and, (int64_t)v[0] & (int64_t)v[1], SWEEP_NO_GRAD)
BITS(bitwise_or, (int64_t)v[0] | (int64_t)v[1], SWEEP_NO_GRAD)
BITS(bitwise_xor, (int64_t)v[0] ^ (int64_t)v[1], SWEEP_NO_GRAD)
BITS(left_shift, v[0] * exp2(v[1]), SWEEP_NO_GRAD)
BITS(right_shift, floor(v[0] / exp2(v[1])), SWEEP_NO_GRAD)

CALL(bitwise_not, tern_bitwise_not(in[0]))
REFERENCE(bitwise_not, 1, c->arg[0] ? c->arg[0] == 1 ? 255 - v[0] : 1 - v[0] : -1 - v[0])
static const sweep_case nots[] = {
    {"i64", {I64(-99, 99, 5, 7)}, .flags = SWEEP_F64_ONLY},
    {"i32", {I32(-99, 99, 5)}, .flags = SWEEP_F64_ONLY},
    {"u8", {U8(0, 255, 9)}, .arg = {1}, .flags = SWEEP_F64_ONLY},
    {"bool", {BOOLS(9)}, .arg = {2}, .flags = SWEEP_F64_ONLY},
    {"floats", {REAL(3)}, .flags = SWEEP_F64_ONLY, .code = TERN_ERR_DTYPE, .text = "bitwise_not"},
};
SWEEP(bitwise_not, nots, call_bitwise_not, ref_bitwise_not, SWEEP_NO_GRAD, 0)
BENCH(bitwise_not, call_bitwise_not, "torch.bitwise_not(a)", {"[1024, 1024]", {I64(-9, 9, 1024, 1024)}})

/* ---- integers at their limits */

TERN_TEST(sweep, pointwise_integers) {
    const double least = -2147483648.0;
    tern_tensor *a = test_values(TERN_I32, TERN_SHAPE(8), 7, -7, 7, -7, least, 5, least, 0);
    tern_tensor *b = test_values(TERN_I32, TERN_SHAPE(8), 3, 3, -3, -3, -1, 0, 0, 0);
    CHECK_VALUES(tern_fmod(a, b), 1, -1, 1, -1, 0, 0, 0, 0);
    CHECK_VALUES(tern_remainder(a, b), 1, 2, -2, -1, 0, 0, 0, 0);
    CHECK_VALUES(tern_floor_divide(a, b), 2, -3, -3, 2, least, 0, 0, 0);
    CHECK(tern_dtype_of(tern_floor(a)) == TERN_I32 && tern_dtype_of(tern_remainder(a, b)) == TERN_I32);
    tern_tensor *x = test_values(TERN_I32, TERN_SHAPE(6), 1, 1, -8, -8, -8, 8);
    tern_tensor *by = test_values(TERN_I32, TERN_SHAPE(6), 31, 32, 1, 40, -1, 3);
    CHECK_VALUES(tern_left_shift(x, by), least, 0, -16, 0, 0, 64);
    CHECK_VALUES(tern_right_shift(x, by), 0, 0, -4, -1, -1, 1);
    tern_tensor *u = test_values(TERN_U8, TERN_SHAPE(4), 200, 200, 200, 7);
    tern_tensor *ub = test_values(TERN_U8, TERN_SHAPE(4), 1, 8, 255, 0);
    CHECK_VALUES(tern_left_shift(u, ub), 144, 0, 0, 7);
    CHECK_VALUES(tern_right_shift(u, ub), 100, 0, 0, 7);
    CHECK_VALUES(tern_remainder(u, ub), 0, 0, 200, 0);
    CHECK_VALUES(tern_pow(test_values(TERN_I32, TERN_SHAPE(7), 2, 2, 1, -1, -1, 0, 3),
                          test_values(TERN_I32, TERN_SHAPE(7), 10, -1, -5, -3, -4, -1, 0)),
                 1024, 0, 1, -1, 1, 0, 1);
    CHECK_VALUES(tern_clamp(u, -5, 150), 150, 150, 150, 7);
    CHECK(tern_dtype_of(tern_clamp(u, -5, 150)) == TERN_U8 && tern_dtype_of(tern_clamp(u, 0.5, 150)) == TERN_F32);
    CHECK_VALUES(tern_clamp(a, 0, (double)INFINITY), 7, 0, 7, 0, 0, 5, 0, 0);
    CHECK_OK();
}

/* The array API standard's promotion table, and f16 with bf16. */
TERN_TEST(sweep, pointwise_promotion) {
    enum {
        F4 = TERN_F32,
        F8 = TERN_F64,
        F2 = TERN_F16,
        B2 = TERN_BF16,
        I8 = TERN_I64,
        I4 = TERN_I32,
        U1 = TERN_U8,
        BO = TERN_BOOL
    };
    static const int table[TERN_DTYPE_COUNT][TERN_DTYPE_COUNT] = {
        /*          f32 f64 f16 bf16 i64 i32 u8 bool */
        [TERN_F32] = {F4, F8, F4, F4, F4, F4, F4, F4}, [TERN_F64] = {F8, F8, F8, F8, F8, F8, F8, F8},
        [TERN_F16] = {F4, F8, F2, F4, F2, F2, F2, F2}, [TERN_BF16] = {F4, F8, F4, B2, B2, B2, B2, B2},
        [TERN_I64] = {F4, F8, F2, B2, I8, I8, I8, I8}, [TERN_I32] = {F4, F8, F2, B2, I8, I4, I4, I4},
        [TERN_U8] = {F4, F8, F2, B2, I8, I4, U1, U1},  [TERN_BOOL] = {F4, F8, F2, B2, I8, I4, U1, BO},
    };
    for (int i = 0; i < TERN_DTYPE_COUNT; i++)
        for (int j = 0; j < TERN_DTYPE_COUNT; j++) {
            check_case("%s with %s", tern_dtype_name((tern_dtype)i), tern_dtype_name((tern_dtype)j));
            CHECK((int)tern_dtype_promote((tern_dtype)i, (tern_dtype)j) == table[i][j]);
            tern_tensor *a = tern_ones(TERN_SHAPE(2), (tern_options){(tern_dtype)i, test_device()});
            tern_tensor *b = tern_ones(TERN_SHAPE(2), (tern_options){(tern_dtype)j, test_device()});
            const int sum = table[i][j] == BO ? I8 : table[i][j];
            CHECK((int)tern_dtype_of(tern_add(a, b)) == sum);
            CHECK((int)tern_dtype_of(tern_maximum(a, b)) == sum);
            CHECK(tern_dtype_of(tern_logical_and(a, b)) == TERN_BOOL);
            if (!tern_dtype_is_float((tern_dtype)table[i][j]))
                CHECK((int)tern_dtype_of(tern_bitwise_and(a, b)) == table[i][j]);
            CHECK_OK();
        }
}

/* As PyTorch has it where the function bends. */
TERN_TEST(sweep, pointwise_corners) {
    tern_tensor *x = tern_require_grad(test_values(TERN_F64, TERN_SHAPE(2), -3.0, 3.0), true);
    CHECK(tern_backward(tern_sum(tern_hardswish(x), NULL, 0, false)));
    CHECK_VALUES(tern_grad_get(x), 0, 1);
}

/* At the origin, where atan2 has no slope, it is 0 as in PyTorch; on the axes the quotients by the other operand. */
TERN_TEST(sweep, atan2_corners) {
    tern_tensor *a = tern_require_grad(test_values(TERN_F64, TERN_SHAPE(4), 0, 0, 3, -2), true);
    tern_tensor *b = tern_require_grad(test_values(TERN_F64, TERN_SHAPE(4), 0, -2, 0, 1), true);
    CHECK(tern_backward(tern_sum(tern_atan2(a, b), NULL, 0, false)));
    CHECK_CLOSE(tern_grad_get(a), ((double[]){0, -0.5, 0, 0.2}), 4, ((tolerance){1e-12, 1e-12}));
    CHECK_CLOSE(tern_grad_get(b), ((double[]){0, 0, -1.0 / 3, 0.4}), 4, ((tolerance){1e-12, 1e-12}));
}

/* Signs of zero, and NumPy's values at infinities. */
TERN_TEST(sweep, pointwise_signs) {
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    for (int d = 0; d < 4; d++) {
        const tern_options o = {.dtype = floats[d]};
        tern_tensor *zero = tern_scalar(-0.0, o), *one = tern_scalar(1, o), *inf = tern_scalar((double)INFINITY, o);
#define SIGN(expr, negative) CHECK(tern_item(tern_signbit(expr)) == (negative), "%s", #expr)
        SIGN(tern_abs(zero), 0);
        SIGN(tern_sign(zero), 0);
        SIGN(tern_neg(zero), 0);
        SIGN(tern_floor(zero), 1);
        SIGN(tern_round(tern_scalar(-0.25, o)), 1);
        SIGN(tern_remainder(tern_scalar(-4, o), tern_scalar(2, o)), 0);
        SIGN(tern_remainder(tern_scalar(4, o), tern_scalar(-2, o)), 1);
        SIGN(tern_fmod(tern_scalar(-4, o), tern_scalar(2, o)), 1);
        SIGN(tern_floor_divide(zero, one), 1);
        SIGN(tern_copysign(one, zero), 1);
        CHECK_ITEM(tern_remainder(tern_neg(one), inf), (double)INFINITY, 0);
        CHECK_ITEM(tern_floor_divide(tern_neg(one), inf), -1, 0);
        CHECK_ITEM(tern_atan2(zero, tern_neg(inf)), -3.14159265, 2e-2);
        CHECK_VALUES(tern_round(test_values(floats[d], TERN_SHAPE(6), 0.5, 1.5, 2.5, -0.5, -1.5, 3.49)), 0, 2, 2, 0, -2,
                     3);
        CHECK_OK();
    }
    EXPECT_ERROR(tern_nextafter(tern_ones(TERN_SHAPE(2), (tern_options){TERN_F16, test_device()}),
                                tern_ones(TERN_SHAPE(2), (tern_options){TERN_F16, test_device()})),
                 TERN_ERR_DTYPE, "nextafter");
}
