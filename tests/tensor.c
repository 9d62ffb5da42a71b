/* Creation, dtypes, inspection, data in and out, views, counters. */
#include "common.h"

static const tern_dtype all[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16, TERN_I64, TERN_I32, TERN_U8, TERN_BOOL};
#define DT(d) ((tern_options){.dtype = (d)})
#define F32   ((tern_options){0})

TERN_TEST(dtype, names_and_sizes) {
    static const struct {
        const char *name;
        size_t size;
    } want[TERN_DTYPE_COUNT] = {
        [TERN_F64] = {"f64", 8}, [TERN_F32] = {"f32", 4}, [TERN_F16] = {"f16", 2}, [TERN_BF16] = {"bf16", 2},
        [TERN_I64] = {"i64", 8}, [TERN_I32] = {"i32", 4}, [TERN_U8] = {"u8", 1},   [TERN_BOOL] = {"bool", 1},
    };
    for (int d = 0; d < TERN_DTYPE_COUNT; d++) {
        CHECK(!strcmp(tern_dtype_name((tern_dtype)d), want[d].name));
        CHECK(tern_dtype_size((tern_dtype)d) == want[d].size);
        CHECK(tern_dtype_is_float((tern_dtype)d) == (strchr(want[d].name, 'f') != NULL));
    }
    CHECK(tern_dtype_size((tern_dtype)99) == 0 && !strcmp(tern_dtype_name((tern_dtype)99), "?"));
}

/* The Python array API standard's table; where it is open (integers with floats, bool with any) the float, or the
 * other. */
TERN_TEST(dtype, promotion) {
    static const char *const order[] = {"f64", "f32", "f16", "bf16", "i64", "i32", "u8", "bool"};
    static const char *const want[8][8] = {
        {"f64", "f64", "f64", "f64", "f64", "f64", "f64", "f64"},
        {"f64", "f32", "f32", "f32", "f32", "f32", "f32", "f32"},
        {"f64", "f32", "f16", "f32", "f16", "f16", "f16", "f16"},
        {"f64", "f32", "f32", "bf16", "bf16", "bf16", "bf16", "bf16"},
        {"f64", "f32", "f16", "bf16", "i64", "i64", "i64", "i64"},
        {"f64", "f32", "f16", "bf16", "i64", "i32", "i32", "i32"},
        {"f64", "f32", "f16", "bf16", "i64", "i32", "u8", "u8"},
        {"f64", "f32", "f16", "bf16", "i64", "i32", "u8", "bool"},
    };
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) {
            CHECK(!strcmp(tern_dtype_name(tern_dtype_promote(all[i], all[j])), want[i][j]), "%s with %s", order[i],
                  order[j]);
            tern_tensor *a = test_values(all[i], TERN_SHAPE(2), 1, 1), *b = test_values(all[j], TERN_SHAPE(2), 0, 1);
            tern_tensor *y = tern_maximum(a, b);
            CHECK(!strcmp(tern_dtype_name(tern_dtype_of(y)), i == 7 && j == 7 ? "i64" : want[i][j]),
                  "maximum of %s and %s", order[i], order[j]);
            CHECK_VALUES(y, 1, 1);
            CHECK(tern_dtype_of(tern_lt(a, b)) == TERN_BOOL);
            CHECK_VALUES(tern_lt(a, b), 0, 0);
        }
}

TERN_TEST(dtype, gradients_of_mixed_dtypes) {
    tern_tensor *a = tern_require_grad(test_values(TERN_F32, TERN_SHAPE(2), 1, 2), true);
    tern_tensor *b = tern_require_grad(test_values(TERN_BF16, TERN_SHAPE(2), 3, 4), true), *in[2] = {a, b}, *g[2];
    CHECK(tern_grad(tern_sum(tern_mul(a, b), NULL, 0, false), in, 2, NULL, (tern_backward_opts){0}, g));
    CHECK(tern_dtype_of(g[0]) == TERN_F32 && tern_dtype_of(g[1]) == TERN_BF16);
    CHECK_VALUES(g[0], 3, 4);
    CHECK_VALUES(g[1], 1, 2);
    tern_tensor *n = test_values(TERN_I64, TERN_SHAPE(2), 5, 6);
    CHECK(tern_grad(tern_sum(tern_mul(a, n), NULL, 0, false), in, 1, NULL, (tern_backward_opts){0}, g));
    CHECK_VALUES(g[0], 5, 6);
    tern_tensor *c = tern_require_grad(test_values(TERN_F64, TERN_SHAPE(2), 1, 2), true);
    CHECK(tern_grad(tern_sum(tern_square(tern_cast(c, TERN_F16)), NULL, 0, false), &c, 1, NULL, (tern_backward_opts){0},
                    g));
    CHECK(tern_dtype_of(g[0]) == TERN_F64);
    CHECK_VALUES(g[0], 2, 4);
}

/* ---- creation
 * --------------------------------------------------------------------------------------------------------- */

TERN_TEST(tensor, creation) {
    for (int d = 0; d < 8; d++) {
        check_case("%s", tern_dtype_name(all[d]));
        tern_tensor *z = tern_zeros(TERN_SHAPE(2, 3), DT(all[d])), *o = tern_ones(TERN_SHAPE(2, 3), DT(all[d]));
        CHECK(tern_dtype_of(z) == all[d] && tern_is_contiguous(z) &&
              tern_storage_bytes(z) == 6 * tern_dtype_size(all[d]));
        CHECK_VALUES(z, 0, 0, 0, 0, 0, 0);
        CHECK_VALUES(o, 1, 1, 1, 1, 1, 1);
        CHECK_VALUES(tern_full(TERN_SHAPE(2), 7, DT(all[d])), all[d] == TERN_BOOL ? 1 : 7, all[d] == TERN_BOOL ? 1 : 7);
        CHECK_VALUES(tern_scalar(1, DT(all[d])), 1);
        CHECK_VALUES(tern_zeros_like(o), 0, 0, 0, 0, 0, 0);
        CHECK_VALUES(tern_ones_like(z), 1, 1, 1, 1, 1, 1);
        CHECK(tern_dtype_of(tern_empty_like(z)) == all[d] && tern_numel(tern_empty_like(z)) == 6);
        if (all[d] != TERN_BOOL) CHECK_VALUES(tern_arange(2, 7, DT(all[d])), 2, 3, 4, 5, 6);
    }
    CHECK_VALUES(tern_arange(0.5, 3, F32), 0.5, 1.5, 2.5);
    CHECK(tern_numel(tern_arange(3, 3, F32)) == 0);
    EXPECT_ERROR(tern_arange(3, 2, F32), TERN_ERR_ARGUMENT, "arange");
    CHECK(tern_ndim(tern_scalar(1, F32)) == 0 && tern_numel(tern_scalar(1, F32)) == 1);
    CHECK(tern_dtype_of(tern_zeros(TERN_SHAPE(1), F32)) == TERN_F32);
    tern_tensor *big = tern_full(TERN_SHAPE(1), 9007199254740991.0, DT(TERN_I64));
    CHECK(tern_item_i64(big) == 9007199254740991);
}

TERN_TEST(tensor, sizes_that_cannot_be) {
    EXPECT_ERROR(tern_zeros(TERN_SHAPE(2, -1), F32), TERN_ERR_SHAPE, "-1");
    EXPECT_ERROR(tern_zeros(TERN_SHAPE(INT64_MAX, 2), F32), TERN_ERR_SHAPE, "zeros");
    EXPECT_ERROR(tern_empty(TERN_SHAPE(INT64_MAX / 4, 2), F32), TERN_ERR_SHAPE, "empty");
    EXPECT_ERROR(tern_empty(TERN_SHAPE(INT64_C(1) << 32, INT64_C(1) << 32), F32), TERN_ERR_SHAPE, "empty");
    EXPECT_ERROR(tern_empty(TERN_SHAPE(INT64_MAX / 32), F32), TERN_ERR_MEMORY, "memory");
    EXPECT_ERROR(tern_zeros(TERN_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1), F32), TERN_ERR_SHAPE, "zeros");
    EXPECT_ERROR(tern_expand(tern_zeros(TERN_SHAPE(1), F32), TERN_SHAPE(INT64_MAX, INT64_MAX)), TERN_ERR_SHAPE,
                 "expand");
    EXPECT_ERROR(tern_zeros(TERN_SHAPE(2), DT((tern_dtype)77)), TERN_ERR_DTYPE, "zeros");
    EXPECT_ERROR(tern_zeros(TERN_SHAPE(2), DT((tern_dtype)-1)), TERN_ERR_DTYPE, "zeros");
    tern_tensor *wide = tern_expand(tern_zeros(TERN_SHAPE(1), F32), TERN_SHAPE(INT64_C(1) << 30, INT64_C(1) << 25));
    CHECK(wide != NULL); /* a view of 4 bytes */
    EXPECT_ERROR(tern_clone(wide), TERN_ERR_MEMORY, "memory");
}

TERN_TEST(tensor, inspection) {
    tern_tensor *t = tern_zeros(TERN_SHAPE(2, 3, 4), F32);
    CHECK_SHAPE(t, 2, 3, 4);
    CHECK(tern_size(t, 0) == 2 && tern_size(t, -1) == 4 && tern_size(t, 3) == 0 && tern_size(t, -4) == 0);
    CHECK(tern_stride(t, 0) == 12 && tern_stride(t, 1) == 4 && tern_stride(t, -1) == 1);
    CHECK(tern_numel(t) == 24 && tern_ndim(t) == 3 && tern_device_equal(tern_device_of(t), tern_cpu()));
    CHECK(((uintptr_t)tern_data(t) & 63) == 0);
    CHECK(!strcmp(tern_name(t), ""));
    CHECK(tern_set_name(t, "weights") && !strcmp(tern_name(t), "weights"));
    CHECK(tern_set_name(t, "others") && !strcmp(tern_name(t), "others"));
    CHECK(tern_numel(NULL) == 0 && tern_ndim(NULL) == 0 && tern_size(NULL, 0) == 0 && !tern_is_contiguous(NULL));
    CHECK(!tern_requires_grad(NULL) && tern_storage_bytes(NULL) == 0 && !strcmp(tern_name(NULL), "") &&
          tern_data(NULL) == NULL);
    CHECK_OK();
    char buf[64];
    CHECK(!strcmp(tern_shape_text(TERN_SHAPE(2, 3), buf, sizeof buf), "[2, 3]"));
    CHECK(!strcmp(tern_shape_text(tern_shape_scalar(), buf, sizeof buf), "[]"));
    CHECK(strlen(tern_shape_text(TERN_SHAPE(1000000, 1000000), buf, 8)) == 7);
    CHECK(tern_shape_equal(TERN_SHAPE(2, 3), TERN_SHAPE(2, 3)) &&
          !tern_shape_equal(TERN_SHAPE(2, 3), TERN_SHAPE(3, 2)) && !tern_shape_equal(TERN_SHAPE(2), TERN_SHAPE(2, 1)));
}

/* ---- data in and out
 * --------------------------------------------------------------------------------------------------- */

TERN_TEST(tensor, host_transfer) {
    for (int d = 0; d < 8; d++) {
        check_case("%s", tern_dtype_name(all[d]));
        double v[24];
        for (int i = 0; i < 24; i++) v[i] = all[d] == TERN_BOOL ? i % 3 == 0 : i;
        tern_tensor *t = test_tensor(v, TERN_SHAPE(2, 3, 4), all[d]);
        CHECK_CLOSE(t, v, 24, ((tolerance){0, 0}));
        char raw[24 * 8 + 8];
        const size_t size = tern_dtype_size(all[d]);
        memset(raw, 0x5A, sizeof raw);
        tern_tensor *p = tern_permute(t, (int[]){2, 0, 1}, 3);
        CHECK(tern_to_host(p, raw, 24 * size));
        CHECK((unsigned char)raw[24 * size] == 0x5A);
        for (int i = 0; i < 24; i++) {
            const int a = i / 6, b = i / 3 % 2, c = i % 3;
            CHECK(load_element(raw + (size_t)i * size, all[d]) == v[b * 12 + c * 4 + a], "element %d", i);
        }
        EXPECT_ERROR(tern_to_host(t, raw, 24 * size - 1), TERN_ERR_ARGUMENT, "to_host");
    }
    double v[3];
    EXPECT_ERROR(tern_to_doubles(tern_zeros(TERN_SHAPE(2), F32), v, 3), TERN_ERR_ARGUMENT, "to_doubles");
    CHECK_NUMBER(tern_item(tern_full(TERN_SHAPE(1, 1), 3, F32)), 3, 0);
    CHECK(isnan(tern_item(tern_zeros(TERN_SHAPE(2), F32))));
    EXPECT_PENDING(TERN_ERR_SHAPE, "item");
    const int64_t deep = INT64_C(-1234567890123456789);
    CHECK(tern_item_i64(tern_from(&deep, tern_shape_scalar(), DT(TERN_I64))) == deep);
    CHECK(tern_item_i64(tern_zeros(TERN_SHAPE(0), F32)) == 0);
    EXPECT_PENDING(TERN_ERR_SHAPE, "item");
    tern_tensor *t = tern_zeros(TERN_SHAPE(2), F32);
    CHECK(tern_to(t, tern_cpu()) == t && tern_cast(t, TERN_F32) == t && tern_sync(tern_cpu()));
    EXPECT_ERROR(tern_from(NULL, TERN_SHAPE(2), F32), TERN_ERR_ARGUMENT, "from");
}

static void count_drop(void *user) { ++*(int *)user; }

TERN_TEST(tensor, wrap) {
    float data[6] = {1, 2, 3, 4, 5, 6};
    int drops = 0;
    const int s = tern_scope_push();
    tern_tensor *t = tern_wrap(data, TERN_SHAPE(2, 3), TERN_F32, count_drop, &drops);
    CHECK(tern_data(t) == data);
    tern_tensor *row = tern_select(t, 0, 1);
    CHECK(tern_mul_scalar_(row, 10) == row);
    CHECK(data[2] == 3 && data[3] == 40 && data[5] == 60);
    tern_keep(row);
    tern_scope_pop(s);
    CHECK(drops == 0);
    CHECK_VALUES(row, 40, 50, 60);
    tern_release(row);
    CHECK(drops == 1);
    EXPECT_ERROR(tern_wrap(NULL, TERN_SHAPE(2), TERN_F32, count_drop, &drops), TERN_ERR_ARGUMENT, "wrap");
    EXPECT_ERROR(tern_wrap(data, TERN_SHAPE(-2), TERN_F32, count_drop, &drops), TERN_ERR_SHAPE, "wrap");
    CHECK(drops == 1);
}

/* Every f16 and bf16 value to f32 and back; rounding of what lies between. */
TERN_TEST(tensor, half_conversions) {
    for (int d = 2; d < 4; d++) {
        check_case("%s", tern_dtype_name(all[d]));
        static uint16_t bits[65536], back[65536];
        static double v[65536];
        for (int i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
        tern_tensor *t = tern_from(bits, TERN_SHAPE(65536), DT(all[d]));
        REQUIRE(tern_to_doubles(t, v, 65536));
        tern_tensor *wide[2] = {tern_cast(t, TERN_F32), tern_cast(t, TERN_F64)};
        for (int k = 0; k < 2; k++) {
            REQUIRE(tern_to_host(tern_cast(wide[k], all[d]), back, sizeof back));
            for (int i = 0; i < 65536; i++) {
                const double want = load_element(&bits[i], all[d]);
                if (isnan(want))
                    CHECK(isnan(v[i]) && isnan(load_element(&back[i], all[d])), "%04x", (unsigned)i);
                else
                    CHECK(v[i] == want && back[i] == bits[i], "%04x reads as %g and comes back as %04x", (unsigned)i,
                          v[i], back[i]);
            }
        }
    }
    enum { N = 40000 };
    static double x[N];
    for (int i = 0; i < N; i++) x[i] = ldexp(test_uniform(-2, 2), (int)test_uniform(-30, 18));
    for (int i = 0; i < 2000; i++) x[i] = round_to(x[i], TERN_F16) + ldexp(round_to(x[i], TERN_F16), -11); /* ties */
    for (int d = 1; d < 4; d++) {
        static double want[N];
        for (int i = 0; i < N; i++) want[i] = round_to(x[i], all[d]);
        CHECK_CLOSE(tern_cast(test_tensor(x, TERN_SHAPE(N), TERN_F64), all[d]), want, N, ((tolerance){0, 0}));
        for (int i = 0; i < N; i++) want[i] = round_to(round_to(x[i], TERN_F32), all[d]);
        CHECK_CLOSE(tern_cast(test_tensor(x, TERN_SHAPE(N), TERN_F32), all[d]), want, N, ((tolerance){0, 0}));
    }
}

TERN_TEST(tensor, casts) {
    CHECK_VALUES(tern_cast(test_values(TERN_F32, TERN_SHAPE(4), -1.9, -0.5, 0.5, 2.9), TERN_I32), -1, 0, 0, 2);
    CHECK_VALUES(tern_cast(test_values(TERN_F64, TERN_SHAPE(4), 0.0, -0.5, 0.25, (double)NAN), TERN_BOOL), 0, 1, 1, 1);
    CHECK_VALUES(tern_cast(test_values(TERN_I64, TERN_SHAPE(2), 257, -1), TERN_U8), 1, 255);
    const int64_t deep = INT64_C(1) << 53;
    CHECK_ITEM(tern_cast(tern_from(&deep, tern_shape_scalar(), DT(TERN_I64)), TERN_F64), 0x1p53, 0);
    CHECK(!tern_requires_grad(tern_cast(tern_require_grad(tern_ones(TERN_SHAPE(2), F32), true), TERN_I32)));
}

TERN_TEST(tensor, text) {
    char buf[4096];
    const char *t = tern_text(test_values(TERN_F32, TERN_SHAPE(2, 2), 1, 2.5, -3, 4), buf, sizeof buf);
    CHECK(strstr(t, "2.5") && strstr(t, "-3") && strchr(t, '['), "%s", t);
    t = tern_text(tern_arange(0, 100000, DT(TERN_I64)), buf, sizeof buf);
    CHECK(strstr(t, "...") && strstr(t, "99999") && strlen(t) < 400, "%s", t);
    (void)tern_text(test_random(TERN_SHAPE(5, 5), 0, 1, TERN_F32), buf, 20);
    CHECK(strlen(buf) < 20);
    CHECK(tern_text(tern_scalar(1.5, F32), buf, sizeof buf) == buf && strstr(buf, "1.5"), "%s", buf);
    for (int d = 0; d < 8; d++) CHECK(strlen(tern_text(tern_zeros(TERN_SHAPE(0, 2), DT(all[d])), buf, sizeof buf)) > 0);
    CHECK(strlen(tern_text(NULL, buf, sizeof buf)) < sizeof buf);
    CHECK(strstr(tern_text(tern_scalar(1234567890, DT(TERN_I32)), buf, sizeof buf), "1234567890") != NULL, "%s", buf);
    EXPECT_ERROR(tern_scalar((double)NAN, DT(TERN_I64)), TERN_ERR_ARGUMENT, "nan");
    EXPECT_ERROR(tern_item_i64(tern_scalar(1e30, DT(TERN_F64))), TERN_ERR_ARGUMENT, "1e+30");
    EXPECT_ERROR(tern_argmax(tern_scalar(1, DT(TERN_F64)), 7, false), TERN_ERR_SHAPE, "7");
    EXPECT_ERROR(
        tern_reshape(tern_zeros(TERN_SHAPE(0), DT(TERN_F32)), TERN_SHAPE(0, (int64_t)1 << 40, (int64_t)1 << 40)),
        TERN_ERR_SHAPE, "reshape");
    CHECK(strstr(tern_text(test_values(TERN_BOOL, TERN_SHAPE(2), 0, 1), buf, sizeof buf), "alse") != NULL, "%s", buf);
    CHECK(strstr(tern_text(test_values(TERN_F64, TERN_SHAPE(3), (double)NAN, (double)INFINITY, -(double)INFINITY), buf,
                           sizeof buf),
                 "nan") != NULL,
          "%s", buf);
    CHECK_OK();
}

/* ---- views and counters
 * ------------------------------------------------------------------------------------------------ */

TERN_TEST(tensor, views_share_storage) {
    tern_tensor *t = tern_arange(0, 24, F32);
    const int64_t before = tern_memory_device(tern_cpu()).live;
    tern_tensor *m = tern_reshape(t, TERN_SHAPE(4, 6)), *p = tern_transpose(m, 0, 1), *q = tern_slice(p, 0, 1, 6, 2);
    tern_tensor *r = tern_expand(tern_unsqueeze(q, 0), TERN_SHAPE(3, 3, 4)), *u = tern_flatten(m, 0, 1);
    CHECK(tern_memory_device(tern_cpu()).live == before);
    CHECK(tern_data(m) == tern_data(t) && tern_data(u) == tern_data(t) && !tern_is_contiguous(p));
    CHECK(tern_storage_version(r) == tern_storage_version(t));
    CHECK(tern_fill_(tern_select(m, 0, 2), -1) != NULL);
    CHECK(tern_storage_version(r) == tern_storage_version(t) && tern_storage_version(t) > 0);
    CHECK_VALUES(q, 1, 7, -1, 19, 3, 9, -1, 21, 5, 11, -1, 23);
    /* A reshape that no strides can express copies. */
    tern_tensor *c = tern_reshape(p, TERN_SHAPE(24));
    CHECK(tern_data(c) != tern_data(t) && tern_memory_device(tern_cpu()).live == before + 96);
    CHECK(tern_contiguous(t) == t && tern_data(tern_contiguous(p)) != tern_data(t));
    CHECK(tern_data(tern_clone(t)) != tern_data(t));
    CHECK(tern_data(tern_squeeze(tern_unsqueeze(t, 1), 1)) == tern_data(t));
}

TERN_TEST(tensor, memory_counters) {
    const int s = tern_scope_push();
    tern_memory_reset_peak();
    const tern_memory_stats a = tern_memory_device(tern_cpu());
    CHECK(a.peak == a.live);
    (void)tern_zeros(TERN_SHAPE(1000), F32);
    const int t = tern_scope_push();
    (void)tern_zeros(TERN_SHAPE(5000), F32);
    tern_scope_pop(t);
    const tern_memory_stats b = tern_memory_device(tern_cpu());
    CHECK(b.live == a.live + 4000 && b.peak == a.live + 24000 && b.allocations == a.allocations + 2);
    tern_memory_reset_peak();
    CHECK(tern_memory_device(tern_cpu()).peak == b.live);
    tern_scope_pop(s);
    const tern_memory_stats h = tern_memory_host();
    CHECK(h.allocations > 0 && h.peak >= h.live && h.live >= 0);
    tern_memory_trim();
    CHECK(tern_memory_device(tern_cpu()).live == a.live);
}

TERN_TEST(tensor, many_steps_do_not_grow) {
    tern_tensor *w = tern_require_grad(test_random(TERN_SHAPE(20, 30), -1, 1, TERN_F32), true);
    int64_t host = 0, device = 0;
    for (int i = 0; i < 60; i++) {
        const int s = tern_scope_push();
        tern_tensor *x = test_random(TERN_SHAPE(7, 30), -1, 1, TERN_F32);
        CHECK(tern_backward(tern_mean(tern_square(tern_tanh(tern_linear(x, w, NULL))), NULL, 0, false)));
        tern_grad_set(w, NULL);
        tern_scope_pop(s);
        if (i == 9) {
            host = tern_memory_host().live;
            device = tern_memory_device(tern_cpu()).live;
        }
    }
    CHECK(tern_memory_host().live == host, "%" PRId64 " bytes of bookkeeping more", tern_memory_host().live - host);
    CHECK(tern_memory_device(tern_cpu()).live == device);
}

/* ---- devices
 * ---------------------------------------------------------------------------------------------------------- */

TERN_TEST(device, names_and_what_is_there) {
    tern_device d;
    char buf[4096];
    CHECK(tern_device_parse("cpu", &d) && tern_device_equal(d, tern_cpu()));
    CHECK(tern_device_parse("cuda", &d) && tern_device_equal(d, tern_cuda(0)));
    CHECK(tern_device_parse("cuda:1", &d) && tern_device_equal(d, tern_cuda(1)));
    CHECK(tern_device_parse("auto", &d) && tern_device_available(d));
    EXPECT_ERROR(tern_device_parse("tpu", &d), TERN_ERR_ARGUMENT, "tpu");
    EXPECT_ERROR(tern_device_parse("cuda:x", &d), TERN_ERR_ARGUMENT, "cuda:x");
    EXPECT_ERROR(tern_device_parse("cuda:", &d), TERN_ERR_ARGUMENT, "cuda:");
    EXPECT_ERROR(tern_device_parse("cuda:-1", &d), TERN_ERR_ARGUMENT, "cuda:-1");
    CHECK(!strcmp(tern_device_name(tern_cuda(3), buf, sizeof buf), "cuda:3"));
    CHECK(!strcmp(tern_device_name(tern_cpu(), buf, sizeof buf), "cpu"));
    CHECK(tern_device_available(tern_cpu()) && !tern_device_available(tern_cuda(900)));
    CHECK_OK();
    if (!tern_device_available(tern_cuda(0)))
        EXPECT_ERROR(tern_zeros(TERN_SHAPE(2), (tern_options){.device = tern_cuda(0)}), TERN_ERR_DEVICE, "cuda");
    CHECK(strstr(tern_info(buf, sizeof buf), tern_version()) && strstr(buf, "cpu"), "%s", buf);
    fprintf(stderr, "%s\n", buf);
}

TERN_TEST(device, threads) {
    const int were = tern_threads();
    CHECK(were >= 1);
    CHECK(tern_set_threads(3) && tern_threads() == 3);
    CHECK(tern_set_threads(1) && tern_threads() == 1);
    EXPECT_ERROR(tern_set_threads(-1), TERN_ERR_ARGUMENT, "threads");
    CHECK(tern_set_threads(0) && tern_threads() >= 1);
}
