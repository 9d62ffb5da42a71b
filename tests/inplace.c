/* Ops that change their target. */
#include "common.h"

#define F32 ((tern_options){.device = test_device()})
static tern_tensor *three(double a, double b, double c) { return test_values(TERN_F32, TERN_SHAPE(3), a, b, c); }

TERN_TEST(inplace, arithmetic) {
    tern_tensor *t = three(1, 2, 3), *b = three(4, 5, 6);
    void *data = tern_data(t);
    uint32_t version = tern_storage_version(t);
    CHECK(tern_add_(t, b) == t);
    CHECK_VALUES(t, 5, 7, 9);
    CHECK(tern_storage_version(t) > version && tern_data(t) == data);
    CHECK(tern_sub_(t, three(1, 1, 1)) == t);
    CHECK_VALUES(t, 4, 6, 8);
    CHECK(tern_mul_(t, b) == t);
    CHECK_VALUES(t, 16, 30, 48);
    CHECK(tern_div_(t, three(2, 3, 4)) == t);
    CHECK_VALUES(t, 8, 10, 12);
    CHECK(tern_mul_scalar_(t, 0.5) == t);
    CHECK_VALUES(t, 4, 5, 6);
    CHECK(tern_add_scaled_(t, -2, b) == t);
    CHECK_VALUES(t, -4, -5, -6);
    CHECK(tern_copy_(t, b) == t);
    CHECK_VALUES(t, 4, 5, 6);
    CHECK(tern_fill_(t, 7) == t);
    CHECK_VALUES(t, 7, 7, 7);
    CHECK(tern_zero_(t) == t);
    CHECK_VALUES(t, 0, 0, 0);
}

/* Strided targets inside a larger tensor, whose other elements stay. */
TERN_TEST(inplace, strided_targets) {
    static const tern_dtype types[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16, TERN_I64, TERN_I32, TERN_U8};
    for (int d = 0; d < 7; d++) {
        check_case("%s", tern_dtype_name(types[d]));
        tern_tensor *wide = tern_ones(TERN_SHAPE(9, 13), (tern_options){types[d], test_device()});
        tern_tensor *t = tern_transpose(tern_slice(tern_slice(wide, 1, 1, 12, 2), 0, 2, 8, 3), 0, 1); /* [6, 2] */
        tern_tensor *b = tern_arange(0, 6, (tern_options){types[d], test_device()});
        CHECK_SHAPE(t, 6, 2);
        CHECK(tern_add_(t, tern_unsqueeze(b, 1)) == t);
        CHECK(tern_mul_scalar_(t, 2) == t);
        CHECK(tern_add_scaled_(t, 3, tern_unsqueeze(b, 1)) == t);
        CHECK_VALUES(t, 2, 2, 7, 7, 12, 12, 17, 17, 22, 22, 27, 27);
        CHECK_ITEM(tern_sum(tern_cast(wide, TERN_F64), NULL, 0, false), 9 * 13 - 12 + 174, 0);
        CHECK(tern_fill_(t, 1) == t);
        CHECK_ITEM(tern_sum(tern_cast(wide, TERN_F64), NULL, 0, false), 9 * 13, 0);
        CHECK(tern_copy_(t, test_random(TERN_SHAPE(6, 1), 5, 5, TERN_F64)) == t); /* broadcast and cast */
        CHECK_ITEM(tern_sum(tern_cast(wide, TERN_F64), NULL, 0, false), 9 * 13 + 4 * 12, 0);
    }
}

/* The operand may share the target's storage: the result is as if it had been read first. */
TERN_TEST(inplace, overlapping_operands) {
    double v[25], want[25];
    for (int i = 0; i < 25; i++) v[i] = i;
    for (int i = 0; i < 25; i++) want[i] = i + (i % 5 * 5 + i / 5);
    tern_tensor *t = test_tensor(v, TERN_SHAPE(5, 5), TERN_F32);
    CHECK(tern_add_(t, tern_transpose(t, 0, 1)) == t);
    CHECK_CLOSE(t, want, 25, ((tolerance){0, 0}));
    tern_tensor *u = tern_arange(0, 1000, F32);
    CHECK(tern_copy_(tern_slice(u, 0, 1, 1000, 1), tern_slice(u, 0, 0, 999, 1)) != NULL);
    for (int i = 0; i < 5; i++) CHECK_ITEM(tern_select(u, 0, i), i > 0 ? i - 1 : 0, 0);
    CHECK_ITEM(tern_select(u, 0, 999), 998, 0);
    tern_tensor *w = three(1, 2, 3);
    CHECK(tern_mul_(w, w) == w);
    CHECK_VALUES(w, 1, 4, 9);
    CHECK(tern_sub_(w, tern_select(w, 0, 1)) == w); /* broadcast from inside */
    CHECK_VALUES(w, -3, 0, 5);
    CHECK(tern_add_scaled_(w, 2, w) == w);
    CHECK_VALUES(w, -9, 0, 15);
}

TERN_TEST(inplace, dtypes_and_refusals) {
    EXPECT_ERROR(tern_fill_(tern_zeros(TERN_SHAPE(2), (tern_options){TERN_U8, test_device()}), 256), TERN_ERR_ARGUMENT,
                 "256 is no u8");
    EXPECT_ERROR(tern_full(TERN_SHAPE(2), -1e12, (tern_options){TERN_I32, test_device()}), TERN_ERR_ARGUMENT, "i32");
    CHECK_ITEM(tern_full(TERN_SHAPE(1), -2147483648.0, (tern_options){TERN_I32, test_device()}), -2147483648.0, 0);
    tern_tensor *t = three(1, 2, 3), *n = test_values(TERN_I32, TERN_SHAPE(3), 1, 2, 3);
    CHECK(tern_add_(t, n) == t);
    CHECK_VALUES(t, 2, 4, 6);
    CHECK(tern_dtype_of(t) == TERN_F32);
    EXPECT_ERROR(tern_add_(t, tern_ones(TERN_SHAPE(2, 3), F32)), TERN_ERR_SHAPE, "add_");
    EXPECT_ERROR(tern_add_(t, tern_ones(TERN_SHAPE(2), F32)), TERN_ERR_SHAPE, "add_");
    EXPECT_ERROR(tern_copy_(t, tern_ones(TERN_SHAPE(4), F32)), TERN_ERR_SHAPE, "copy_");
    EXPECT_ERROR(tern_mul_scalar_(n, 0.5), TERN_ERR_DTYPE, "mul_scalar_");
    EXPECT_ERROR(tern_add_scaled_(n, 0.5, n), TERN_ERR_DTYPE, "add_scaled_");
    EXPECT_ERROR(tern_div_(n, n), TERN_ERR_DTYPE, "div_");
    CHECK_VALUES(n, 1, 2, 3);
    EXPECT_ERROR(tern_add_(NULL, t), TERN_ERR_ARGUMENT, "add_");
    EXPECT_ERROR(tern_add_(t, NULL), TERN_ERR_ARGUMENT, "add_");
    EXPECT_ERROR(tern_add_(tern_expand(tern_ones(TERN_SHAPE(1), F32), TERN_SHAPE(3)), t), TERN_ERR_ARGUMENT, "add_");
    CHECK_VALUES(t, 2, 4, 6);
    tern_tensor *none = tern_zeros(TERN_SHAPE(0), F32);
    CHECK(tern_add_(none, none) == none && tern_fill_(none, 1) == none);
}

/* The forms with a number, against those that return a new tensor. */
TERN_TEST(inplace, numbers) {
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    for (int i = 0; i < 4; i++) {
        check_case("%s", tern_dtype_name(floats[i]));
        tern_tensor *x = test_random(TERN_SHAPE(3, 5), 0.5, 2, floats[i]), *t[5], *want[5];
        for (int k = 0; k < 5; k++) t[k] = tern_transpose(tern_clone(x), 0, 1);
        x = tern_transpose(x, 0, 1);
        want[0] = tern_add_scalar(x, 1.5), tern_add_scalar_(t[0], 1.5);
        want[1] = tern_sub_scalar(x, 1.5), tern_sub_scalar_(t[1], 1.5);
        want[2] = tern_div_scalar(x, 1.5), tern_div_scalar_(t[2], 1.5);
        want[3] = tern_pow_scalar(x, 1.5), tern_pow_scalar_(t[3], 1.5);
        want[4] = tern_clamp(x, 0.7, 1.2), tern_clamp_(t[4], 0.7, 1.2);
        for (int k = 0; k < 5; k++) CHECK_SAME(t[k], want[k], ((tolerance){0, 0}));
        CHECK_OK();
    }
}
