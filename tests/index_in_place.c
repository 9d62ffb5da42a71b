/* What the in-place forms of index ops do to targets that are views, to operands that overlap them, and to versions. */
#include "common.h"

static tern_tensor *index_of(int64_t a, int64_t b) {
    return test_values(TERN_I64, TERN_SHAPE(2), (double)a, (double)b);
}

/* A strided view of `wide` [7, 8]: [4, 3]. */
static tern_tensor *view_of(tern_tensor *wide) {
    return tern_transpose(tern_slice(tern_slice(wide, 0, 1, 7, 2), 1, 0, 8, 2), 0, 1);
}

typedef tern_tensor *(*change)(tern_tensor *t);

static tern_tensor *rows_added(tern_tensor *t) {
    return tern_index_add_(t, 0, index_of(2, 0),
                           tern_full(TERN_SHAPE(2, 3), 1, (tern_options){tern_dtype_of(t), test_device()}));
}
static tern_tensor *rows_copied(tern_tensor *t) {
    return tern_index_copy_(t, 0, index_of(3, 1),
                            tern_full(TERN_SHAPE(2, 3), 1, (tern_options){tern_dtype_of(t), test_device()}));
}
static tern_tensor *columns_filled(tern_tensor *t) { return tern_index_fill_(t, 1, index_of(2, 1), 0); }
static tern_tensor *scattered(tern_tensor *t) {
    tern_tensor *i = test_values(TERN_I64, TERN_SHAPE(1, 3), 3, 0, 2);
    return tern_scatter_(t, 0, i, tern_full(TERN_SHAPE(1, 3), 1, (tern_options){tern_dtype_of(t), test_device()}));
}
static tern_tensor *scatter_added(tern_tensor *t) {
    tern_tensor *i = test_values(TERN_I64, TERN_SHAPE(2, 3), 3, 0, 2, 3, 1, 2);
    return tern_scatter_add_(t, 0, i, tern_full(TERN_SHAPE(2, 3), 1, (tern_options){tern_dtype_of(t), test_device()}));
}
static tern_tensor *value_scattered(tern_tensor *t) {
    return tern_scatter_value_(t, 1, test_values(TERN_I64, TERN_SHAPE(4, 1), 0, 1, 2, 0), 1);
}
static tern_tensor *put_by_two(tern_tensor *t) {
    tern_tensor *i[2] = {index_of(-1, 0), index_of(1, 2)};
    return tern_index_put_(t, i, 2, tern_full(TERN_SHAPE(2), 1, (tern_options){tern_dtype_of(t), test_device()}), true);
}
static tern_tensor *masked(tern_tensor *t) {
    return tern_masked_fill_(t, test_values(TERN_BOOL, TERN_SHAPE(4, 1), 1, 0, 0, 1), 1);
}

/* On a strided view, the same as on a dense tensor; the elements between stay. */
TERN_TEST(index_in_place, views) {
    static const change changes[] = {rows_added,    rows_copied,     columns_filled, scattered,
                                     scatter_added, value_scattered, put_by_two,     masked};
    static const tern_dtype all[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16, TERN_I64, TERN_I32, TERN_U8};
    for (size_t k = 0; k < sizeof changes / sizeof *changes; k++)
        for (size_t d = 0; d < sizeof all / sizeof *all; d++) {
            check_case("change %zu, %s", k, tern_dtype_name(all[d]));
            const int scope = tern_scope_push();
            tern_tensor *wide = test_random(TERN_SHAPE(7, 8), 0, 9, all[d]), *was = tern_clone(wide);
            tern_tensor *dense = tern_clone(view_of(wide)), *t = view_of(wide);
            const uint32_t version = tern_storage_version(wide);
            CHECK(changes[k](t) == t);
            CHECK(changes[k](dense) == dense);
            CHECK_SAME(t, dense, ((tolerance){0, 0}));
            CHECK(tern_storage_version(wide) == version + 1, "version %u", tern_storage_version(wide));
            CHECK(tern_storage_version(dense) > 0);
            tern_tensor *differs = tern_ne(wide, was);
            CHECK(tern_item(tern_sum(differs, NULL, 0, false)) ==
                  tern_item(tern_sum(view_of(differs), NULL, 0, false)));
            CHECK(tern_item(tern_sum(differs, NULL, 0, false)) > 0);
            tern_scope_pop(scope);
        }
    check_case("%s", "");
}

/* Operands in the target's storage are read as they were. */
TERN_TEST(index_in_place, overlap) {
    tern_tensor *t = test_values(TERN_F32, TERN_SHAPE(4), 1, 2, 3, 4);
    CHECK(tern_index_copy_(t, 0, index_of(1, 2), tern_slice(t, 0, 0, 2, 1)) == t);
    CHECK_VALUES(t, 1, 1, 2, 4);
    CHECK(tern_index_add_(t, 0, test_values(TERN_I64, TERN_SHAPE(4), 1, 2, 3, 0), t) == t);
    CHECK_VALUES(t, 5, 2, 3, 6);
    tern_tensor *i = test_values(TERN_I64, TERN_SHAPE(3), 1, 2, 0);
    CHECK(tern_scatter_(i, 0, i, i) == i);
    CHECK_VALUES(i, 0, 1, 2);
    tern_tensor *m = test_values(TERN_BOOL, TERN_SHAPE(2, 2), 1, 0, 0, 1);
    CHECK(tern_masked_fill_(m, tern_select(m, 0, 0), 0) == m);
    CHECK_VALUES(m, 0, 0, 0, 1);
}

/* After an error nothing has changed. */
TERN_TEST(index_in_place, refusals) {
    tern_tensor *t = test_values(TERN_F32, TERN_SHAPE(3), 1, 2, 3),
                *one = tern_ones(TERN_SHAPE(2), (tern_options){.device = test_device()});
    const uint32_t version = tern_storage_version(t);
    EXPECT_ERROR(tern_index_add_(t, 0, index_of(0, 3), one), TERN_ERR_INDEX, "index_add_");
    EXPECT_ERROR(tern_index_copy_(t, 0, index_of(0, -1), one), TERN_ERR_INDEX, "index_copy_");
    EXPECT_ERROR(tern_index_fill_(t, 0, index_of(0, 3), 7), TERN_ERR_INDEX, "index_fill_");
    EXPECT_ERROR(tern_scatter_(t, 0, index_of(0, 3), one), TERN_ERR_INDEX, "scatter_");
    EXPECT_ERROR(tern_index_put_(t, (tern_tensor *[]){index_of(0, 3)}, 1, one, false), TERN_ERR_INDEX, "index_put_");
    CHECK_VALUES(t, 1, 2, 3);
    /* On a device the kernel has been queued by then. */
    CHECK(tern_storage_version(t) == version || test_device().type != TERN_CPU);
    tern_tensor *leaf = tern_require_grad(tern_clone(t), true);
    EXPECT_ERROR(tern_index_add_(leaf, 0, index_of(0, 1), one), TERN_ERR_AUTOGRAD, "index_add_");
    EXPECT_ERROR(tern_masked_fill_(leaf, tern_eq(t, t), 0), TERN_ERR_AUTOGRAD, "masked_fill_");
    EXPECT_ERROR(tern_bernoulli_(leaf, 0.5), TERN_ERR_AUTOGRAD, "bernoulli_");
    EXPECT_ERROR(tern_index_fill_(tern_expand(t, TERN_SHAPE(2, 3)), 0, test_values(TERN_I64, TERN_SHAPE(1), 0), 1),
                 TERN_ERR_ARGUMENT, "index_fill_");
    CHECK_VALUES(leaf, 1, 2, 3);
}
