/* DLPack: what is lent and what is taken, against the standard's own layout. */
#include "common.h"
#include "tern/dlpack.h"

/* As dlpack.h 1.0 declares them. */
typedef struct {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} DLTensor;
struct DLManagedTensorVersioned {
    struct {
        uint32_t major, minor;
    } version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self);
    uint64_t flags;
    DLTensor dl_tensor;
};
struct DLManagedTensor {
    DLTensor dl_tensor;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensor *self);
};

static int deleted;
static void count_versioned(struct DLManagedTensorVersioned *m) {
    (void)m;
    deleted++;
}
static void count_plain(struct DLManagedTensor *m) {
    (void)m;
    deleted++;
}

TERN_TEST(dlpack, lends_views_as_they_are) {
    static const struct {
        tern_dtype dtype;
        int code, bits;
    } cases[] = {{TERN_F64, 2, 64}, {TERN_F32, 2, 32}, {TERN_F16, 2, 16}, {TERN_BF16, 4, 16},
                 {TERN_I64, 0, 64}, {TERN_I32, 0, 32}, {TERN_U8, 1, 8},   {TERN_BOOL, 6, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", tern_dtype_name(cases[i].dtype));
        const int scope = tern_scope_push();
        tern_tensor *x = test_random(TERN_SHAPE(3, 4), 0, 2, cases[i].dtype);
        tern_tensor *v = tern_slice(tern_transpose(x, 0, 1), 0, 1, 4, 2);
        struct DLManagedTensorVersioned *m = tern_dlpack_export(v);
        struct DLManagedTensor *p = tern_dlpack_export_unversioned(v);
        void *data = tern_data(v);
        tern_scope_pop(scope); /* the memory stays */
        REQUIRE(CHECK_OK());
        const DLTensor *d = &m->dl_tensor;
        CHECK(m->version.major == 1 && m->flags == 0);
        for (int k = 0; k < 2; k++, d = &p->dl_tensor) {
            CHECK(d->data == data && d->byte_offset == 0 && d->device.type == 1 && d->device.id == 0);
            CHECK(d->dtype.code == cases[i].code && d->dtype.bits == cases[i].bits && d->dtype.lanes == 1);
            CHECK(d->ndim == 2 && d->shape[0] == 2 && d->shape[1] == 3 && d->strides[0] == 2 && d->strides[1] == 4);
        }
        m->deleter(m);
        p->deleter(p);
    }
    check_case("%s", "");
    tern_tensor *w = test_random(TERN_SHAPE(2), 0, 1, TERN_F32);
    tern_require_grad(w, true);
    EXPECT_ERROR(tern_dlpack_export(w), TERN_ERR_AUTOGRAD, "tern_detach");
    EXPECT_ERROR(tern_dlpack_export(tern_exp(w)), TERN_ERR_AUTOGRAD, "tern_detach");
}

TERN_TEST(dlpack, takes_memory_and_gives_it_back) {
    float data[] = {0, 1, 2, 3, 4, 5, 6, 7};
    int64_t shape[] = {2, 3}, strides[] = {1, 2};
    struct DLManagedTensorVersioned m = {.version = {1, 3}, .deleter = count_versioned};
    m.dl_tensor = (DLTensor){.data = data,
                             .device = {1, 0},
                             .ndim = 2,
                             .dtype = {2, 32, 1},
                             .shape = shape,
                             .strides = strides,
                             .byte_offset = 4};
    deleted = 0;
    int scope = tern_scope_push();
    tern_tensor *t = tern_dlpack_import(&m, false);
    REQUIRE(CHECK_OK());
    CHECK_VALUES(t, 1, 3, 5, 2, 4, 6);
    tern_add_(t, tern_scalar(10, (tern_options){0}));
    CHECK(data[1] == 11 && data[7] == 7);
    tern_tensor *row = tern_keep(tern_select(t, 0, 1));
    tern_scope_pop(scope);
    CHECK(deleted == 0);
    CHECK_VALUES(row, 12, 14, 16);
    tern_release(row);
    CHECK(deleted == 1);

    m.flags = 1;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_UNSUPPORTED, "read-only");
    CHECK(deleted == 1);
    t = tern_dlpack_import(&m, true);
    CHECK(deleted == 2 && tern_data(t) != (void *)(data + 1));
    CHECK_VALUES(t, 11, 13, 15, 12, 14, 16);

    struct DLManagedTensor p = {.dl_tensor = m.dl_tensor, .deleter = count_plain};
    p.dl_tensor.strides = NULL;
    scope = tern_scope_push();
    t = tern_dlpack_import_unversioned(&p, false);
    CHECK_VALUES(t, 11, 12, 13, 14, 15, 16);
    tern_scope_pop(scope);
    CHECK(deleted == 3);
}

TERN_TEST(dlpack, what_it_cannot_take) {
    float data[4] = {0};
    int64_t shape[] = {2, 2}, back[] = {-2, 1};
    const struct DLManagedTensorVersioned good = {
        .version = {1, 0},
        .deleter = count_versioned,
        .dl_tensor = {.data = data, .device = {1, 0}, .ndim = 2, .dtype = {2, 32, 1}, .shape = shape}};
    struct DLManagedTensorVersioned m = good;
    deleted = 0;
    m.version.major = 2;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_UNSUPPORTED, "2.0");
    m = good;
    m.dl_tensor.dtype.code = 5;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_DTYPE, "code 5");
    m = good;
    m.dl_tensor.dtype.lanes = 4;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_DTYPE, "4 lanes");
    m = good;
    m.dl_tensor.device.type = 10;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_DEVICE, "type 10");
    m = good;
    m.dl_tensor.strides = back;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_SHAPE, "stride -2");
    m = good;
    m.dl_tensor.ndim = TERN_MAX_DIMS + 1;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_SHAPE, "dimensions");
    m = good;
    m.dl_tensor.data = NULL;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_ARGUMENT, "NULL");
    m = good;
    m.dl_tensor.byte_offset = 2;
    EXPECT_ERROR(tern_dlpack_import(&m, false), TERN_ERR_ARGUMENT, "aligned");
    CHECK(deleted == 0);
}
