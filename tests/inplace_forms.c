/* The in-place ops that go by their plain forms: the same values in every dtype, in views too; recorded with the same
 * gradients; refused without a change. */
#include "common.h"

enum { OPERANDS = 2 };
typedef struct form {
    const char *name;
    tern_tensor *(*plain)(tern_tensor *t, tern_tensor *const *b);
    tern_tensor *(*changing)(tern_tensor *t, tern_tensor *const *b);
    bool differentiable;
} form;

static const double nan_lo[3] = {0.5, 7, -7};
#define FORM(name, ...)                                                          \
    static tern_tensor *plain_##name(tern_tensor *t, tern_tensor *const *b) {    \
        return (void)b, tern_##name(__VA_ARGS__);                                \
    }                                                                            \
    static tern_tensor *changing_##name(tern_tensor *t, tern_tensor *const *b) { \
        return (void)b, tern_##name##_(__VA_ARGS__);                             \
    }
/* Operands of t's shape [4, 3]; an index of its numbers, all different. */
static tern_tensor *order(const tern_tensor *t) {
    (void)t;
    return test_values(TERN_I64, TERN_SHAPE(4, 3), 3, 1, 0, 2, 5, 4, 11, 10, 9, 6, 7, 8);
}
static tern_tensor *rows_of(const tern_tensor *t) {
    (void)t;
    return test_values(TERN_I64, TERN_SHAPE(4, 3), 3, 1, 0, 2, 1, 3, 3, 0, 1, 0, 1, 2);
}
static tern_tensor *some(const tern_tensor *t) {
    (void)t;
    return test_values(TERN_BOOL, TERN_SHAPE(4, 1), 1, 0, 0, 1);
}
FORM(addcmul, t, b[0], b[1], 1.5)
FORM(addcdiv, t, b[0], b[1], 0.5)
FORM(lerp, t, b[0], b[1])
FORM(lerp_scalar, t, b[0], 0.25)
FORM(clamp_tensors, t, b[0], b[1])
FORM(nan_to_num, t, nan_lo[0], nan_lo[1], nan_lo[2])
FORM(bitwise_not, t)
FORM(logical_not, t)
FORM(logical_and, t, b[0])
FORM(logical_or, t, b[0])
FORM(logical_xor, t, b[0])
FORM(masked_scatter, t, some(t), b[0])
FORM(put, t, order(t), b[0], true)
FORM(scatter_reduce, t, 0, rows_of(t), b[0], TERN_SCATTER_AMAX, (tern_scatter_reduce_opts){0})
#define ROW(name, grad) \
    { #name "_", plain_##name, changing_##name, grad }
static const form forms[] = {
    ROW(addcmul, true),       ROW(addcdiv, true),        ROW(lerp, true),         ROW(lerp_scalar, true),
    ROW(clamp_tensors, true), ROW(nan_to_num, true),     ROW(bitwise_not, false), ROW(logical_not, false),
    ROW(logical_and, false),  ROW(logical_or, false),    ROW(logical_xor, false), ROW(masked_scatter, true),
    ROW(put, true),           ROW(scatter_reduce, true),
};
enum { FORMS = sizeof forms / sizeof *forms };

TERN_TEST(inplace_forms, give_what_the_plain_ops_give) {
    static const tern_dtype all[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16, TERN_I64, TERN_I32, TERN_U8, TERN_BOOL};
    int refused = 0;
    for (int k = 0; k < FORMS; k++)
        for (int d = 0; d < 8; d++)
            for (int strided = 0; strided < 2; strided++) {
                check_case("%s, %s%s", forms[k].name, tern_dtype_name(all[d]), strided ? ", a view" : "");
                const int scope = tern_scope_push();
                tern_tensor *wide = test_random(TERN_SHAPE(7, 8), 0, 3, all[d]), *was = tern_clone(wide);
                tern_tensor *t = tern_transpose(tern_slice(tern_slice(wide, 0, 1, 7, 2), 1, 0, 8, 2), 0, 1);
                if (!strided) t = tern_clone(t);
                tern_tensor *b[OPERANDS] = {test_random(TERN_SHAPE(4, 3), 1, 3, all[d]),
                                            test_random(TERN_SHAPE(4, 3), 1, 3, all[d])};
                tern_tensor *old = tern_clone(t), *want = forms[k].plain(old, b);
                const bool plain_ok = tern_ok();
                tern_error_clear();
                const bool holds = plain_ok && (tern_dtype_is_float(all[d]) || tern_dtype_of(want) == TERN_BOOL ||
                                                (all[d] != TERN_BOOL && !tern_dtype_is_float(tern_dtype_of(want))));
                const uint32_t version = tern_storage_version(t);
                tern_tensor *got = forms[k].changing(t, b);
                if (holds) {
                    CHECK(got == t);
                    CHECK_SAME(t, tern_cast(want, all[d]), ((tolerance){0, 0}));
                    CHECK(tern_storage_version(t) > version);
                    if (strided) { /* nothing between the view's elements has changed */
                        tern_tensor *count = tern_sum(tern_ne(wide, was), NULL, 0, false);
                        CHECK_SAME(count, tern_sum(tern_ne(t, old), NULL, 0, false), ((tolerance){0, 0}));
                    }
                } else {
                    CHECK(!got);
                    EXPECT_PENDING(TERN_ERR_DTYPE, forms[k].name);
                    CHECK_SAME(t, old, ((tolerance){0, 0}));
                    refused++;
                }
                tern_scope_pop(scope);
            }
    check_case("%s", "");
    CHECK(refused > 20, "%d", refused);
}

static tern_tensor *changed(tern_tensor *const *x, int n, void *user) {
    (void)n;
    return ((const form *)user)->changing(tern_clone(x[0]), x + 1);
}
/* The target's old value and both operands get their gradients; a target that is its own operand too. */
static tern_tensor *by_itself(tern_tensor *const *x, int n, void *user) {
    (void)n;
    tern_tensor *t = tern_mul_scalar(x[0], 1);
    return ((const form *)user)->changing(t, (tern_tensor *const[]){t, x[1]});
}

TERN_TEST(inplace_forms, are_recorded) {
    for (int k = 0; k < FORMS; k++) {
        if (!forms[k].differentiable) continue;
        check_case("%s", forms[k].name);
        const int scope = tern_scope_push();
        tern_tensor *x[1 + OPERANDS];
        for (int i = 0; i < 1 + OPERANDS; i++)
            x[i] = tern_require_grad(test_random(TERN_SHAPE(4, 3), 0.5, 2, TERN_F64), true);
        form f = forms[k];
        CHECK(gradcheck(f.name, changed, x, 1 + OPERANDS, &f));
        CHECK(gradgradcheck(f.name, changed, x, 1 + OPERANDS, &f));
        /* Elements that are equal share what they pass on. */
        if (f.changing != changing_clamp_tensors && f.changing != changing_scatter_reduce)
            CHECK(gradcheck(f.name, by_itself, x, 2, &f));
        const uint32_t version = tern_storage_version(x[0]);
        CHECK(!f.changing(x[0], x + 1));
        EXPECT_PENDING(TERN_ERR_AUTOGRAD, f.name);
        CHECK(tern_storage_version(x[0]) == version);
        tern_scope_pop(scope);
    }
    check_case("%s", "");
}

TERN_TEST(inplace_forms, errors_change_nothing) {
    const tern_options f32 = {.device = test_device()};
    tern_tensor *t = test_values(TERN_F32, TERN_SHAPE(3), 1, 2, 3), *one = tern_ones(TERN_SHAPE(3), f32);
    tern_tensor *wide = tern_ones(TERN_SHAPE(2, 3), f32), *mask = tern_eq(one, one);
    EXPECT_ERROR(tern_addcmul_(t, wide, one, 1), TERN_ERR_SHAPE, "addcmul_");
    EXPECT_ERROR(tern_addcdiv_(t, one, wide, 1), TERN_ERR_SHAPE, "addcdiv_");
    EXPECT_ERROR(tern_lerp_(t, wide, one), TERN_ERR_SHAPE, "lerp_");
    EXPECT_ERROR(tern_lerp_scalar_(t, wide, 1), TERN_ERR_SHAPE, "lerp_scalar_");
    EXPECT_ERROR(tern_clamp_tensors_(t, one, wide), TERN_ERR_SHAPE, "clamp_tensors_");
    EXPECT_ERROR(tern_clamp_tensors_(t, NULL, NULL), TERN_ERR_ARGUMENT, "clamp_tensors_");
    EXPECT_ERROR(tern_logical_and_(t, wide), TERN_ERR_SHAPE, "logical_and_");
    EXPECT_ERROR(tern_masked_scatter_(t, mask, tern_ones(TERN_SHAPE(2), f32)), TERN_ERR_SHAPE, "masked_scatter_");
    EXPECT_ERROR(tern_put_(t, test_values(TERN_I64, TERN_SHAPE(1), 3), tern_ones(TERN_SHAPE(1), f32), false),
                 TERN_ERR_INDEX, "put_");
    EXPECT_ERROR(tern_scatter_reduce_(t, 0, test_values(TERN_I64, TERN_SHAPE(1), 3), tern_ones(TERN_SHAPE(1), f32),
                                      TERN_SCATTER_PROD, (tern_scatter_reduce_opts){0}),
                 TERN_ERR_INDEX, "scatter_reduce_");
    EXPECT_ERROR(tern_bitwise_not_(t), TERN_ERR_DTYPE, "bitwise_not_");
    EXPECT_ERROR(tern_addcmul_(NULL, one, one, 1), TERN_ERR_ARGUMENT, "addcmul_");
    EXPECT_ERROR(tern_lerp_(t, NULL, one), TERN_ERR_ARGUMENT, "lerp_");
    EXPECT_ERROR(tern_nan_to_num_(tern_expand(one, TERN_SHAPE(2, 3)), 0, 0, 0), TERN_ERR_ARGUMENT, "nan_to_num_");
    CHECK_VALUES(t, 1, 2, 3);
    const double inf = (double)INFINITY;
    tern_tensor *bad = test_values(TERN_F32, TERN_SHAPE(4), (double)NAN, inf, -inf, 2);
    CHECK_VALUES(tern_nan_to_num_(bad, 0.5, 7, -7), 0.5, 7, -7, 2);
    CHECK_VALUES(tern_logical_not_(test_values(TERN_F32, TERN_SHAPE(3), 0, 2, -1)), 1, 0, 0);
    CHECK_VALUES(tern_bitwise_not_(test_values(TERN_U8, TERN_SHAPE(2), 1, 255)), 254, 0);
}
