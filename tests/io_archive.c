/* Named tensors in files: safetensors, npy, npz; and modules filled from them. */
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "tern/archive.h"
#include "tern/layers.h"

static const char *write_file(const char *name, const void *data, size_t bytes) {
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) FAIL("cannot write %s", path);
    return path;
}

static size_t read_file(const char *path, unsigned char *p, size_t size) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        FAIL("cannot read %s", path);
        return 0;
    }
    const size_t n = fread(p, 1, size, f);
    fclose(f);
    return n;
}

/* A header and data as a safetensors file. */
static const char *safetensors(const char *name, const char *header, const void *data, size_t bytes) {
    static unsigned char buf[1 << 14];
    const size_t n = strlen(header);
    memset(buf, 0, 8);
    buf[0] = (unsigned char)n;
    buf[1] = (unsigned char)(n >> 8);
    memcpy(buf + 8, header, n);
    if (bytes) memcpy(buf + 8 + n, data, bytes);
    return write_file(name, buf, 8 + n + bytes);
}

/* One of each dtype, a scalar, an empty one and a transposed view. */
static tern_archive *sample(void) {
    tern_archive *a = tern_archive_new();
    for (int d = 0; d < TERN_DTYPE_COUNT; d++) {
        char name[40];
        snprintf(name, sizeof name, "layer.%s", tern_dtype_name((tern_dtype)d));
        tern_archive_put(a, name, test_random(TERN_SHAPE(3, 5), 0, 2, (tern_dtype)d));
    }
    tern_archive_put(a, "scalar", tern_scalar(2.5, (tern_options){.dtype = TERN_F64}));
    tern_archive_put(a, "empty", tern_zeros(TERN_SHAPE(0, 4), (tern_options){0}));
    tern_archive_put(a, "turned", tern_transpose(test_random(TERN_SHAPE(2, 7), -1, 1, TERN_F32), 0, 1));
    tern_archive_set_text(a, "format", "pt");
    tern_archive_set_text(a, "note", "gr\xc3\xbc\xc3\x9f");
    CHECK_OK();
    return a;
}

static void check_equal(tern_archive *got, tern_archive *want, bool bf16_as_f32) {
    CHECK(tern_archive_count(got) == tern_archive_count(want));
    tern_archive_entry e;
    for (int64_t i = 0; tern_archive_each(want, i, &e); i++) {
        check_case("%s", e.name);
        tern_tensor *t = tern_archive_get(got, e.name);
        if (!CHECK_OK()) continue;
        const tern_dtype d = tern_dtype_of(e.tensor);
        CHECK(tern_dtype_of(t) == (bf16_as_f32 && d == TERN_BF16 ? TERN_F32 : d));
        CHECK_SAME(t, e.tensor, ((tolerance){0, 0}));
    }
    check_case("%s", "");
}

TERN_TEST(io_archive, holds_tensors_by_name) {
    tern_archive *a = tern_archive_new();
    char name[40];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "t%d", i);
        CHECK(tern_archive_put(a, name, tern_scalar(i, (tern_options){0})));
    }
    CHECK(tern_archive_put(a, "t7", tern_scalar(70, (tern_options){0})));
    CHECK(tern_archive_count(a) == 200);
    CHECK(tern_archive_remove(a, "t3") && !tern_archive_remove(a, "t3"));
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "t%d", i);
        tern_tensor *t = tern_archive_find(a, name);
        CHECK((t == NULL) == (i == 3));
        if (t) CHECK_ITEM(t, i == 7 ? 70.0 : i, 0);
    }
    EXPECT_ERROR(tern_archive_get(a, "t3"), TERN_ERR_ARGUMENT, "t3");
    EXPECT_ERROR(tern_archive_put(a, "", tern_scalar(1, (tern_options){0})), TERN_ERR_ARGUMENT, "empty");
    CHECK(tern_archive_set_text(a, "k", "1") && tern_archive_set_text(a, "k", "2"));
    CHECK(strcmp(tern_archive_text(a, "k"), "2") == 0);
    CHECK(tern_archive_set_text(a, "k", NULL) && !tern_archive_text(a, "k"));
    tern_archive_free(a);
}

TERN_TEST(io_archive, safetensors_round_trip) {
    tern_archive *a = sample();
    const char *path = test_path("a.safetensors");
    REQUIRE(tern_safetensors_save(path, a, (tern_safetensors_opts){0}));
    for (int copy = 0; copy < 2; copy++) {
        tern_archive *b = tern_safetensors_load(path, (tern_safetensors_opts){.copy = copy});
        CHECK_OK();
        check_equal(b, a, false);
        CHECK(strcmp(tern_archive_text(b, "note"), "gr\xc3\xbc\xc3\x9f") == 0);
        tern_add_(tern_archive_get(b, "layer.f32"), tern_scalar(1, (tern_options){0})); /* not in the file */
        CHECK_OK();
        tern_archive_free(b);
    }
    tern_archive *b = tern_safetensors_load(path, (tern_safetensors_opts){0});
    check_equal(b, a, false);
    tern_tensor *t = tern_keep(tern_archive_get(b, "layer.f64"));
    tern_archive_free(b); /* the mapping lives as long as a tensor */
    REQUIRE(tern_safetensors_save(path, a, (tern_safetensors_opts){0}));
    CHECK_SAME(t, tern_archive_get(a, "layer.f64"), ((tolerance){0, 0}));
    tern_release(t);
    tern_archive_free(a);
}

TERN_TEST(io_archive, safetensors_shards) {
    tern_archive *a = sample();
    const char *path = test_path("m.safetensors"), *index = test_path("m.safetensors.index.json");
    REQUIRE(tern_safetensors_save(path, a, (tern_safetensors_opts){.shard_bytes = 100}));
    CHECK(access(path, F_OK) != 0);
    tern_archive *b = tern_safetensors_load(index, (tern_safetensors_opts){0});
    REQUIRE(CHECK_OK());
    check_equal(b, a, false);
    tern_archive_free(b);
    static unsigned char text[8192];
    const size_t n = read_file(index, text, sizeof text - 1);
    text[n] = 0;
    char *first = strstr((char *)text, "m-00001-of");
    REQUIRE(first != NULL);
    memcpy(first, "../../../etc", 12 - 2);
    EXPECT_ERROR(tern_safetensors_load(write_file("x.json", text, n), (tern_safetensors_opts){0}), TERN_ERR_FORMAT,
                 "names no file beside it");
    EXPECT_ERROR(tern_safetensors_save(test_path("m.bin"), a, (tern_safetensors_opts){.shard_bytes = 100}),
                 TERN_ERR_ARGUMENT, ".safetensors");
    tern_archive_free(a);
}

/* Written by Hugging Face's library, version 0.8.0. */
static const char foreign_header[] =
    "{\"__metadata__\":{\"format\":\"pt\"},\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
    "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
    "\"m\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[32,34]}}   ";
static const unsigned char foreign_data[34] = {7, 0, 0,    0,    0, 0, 0,    0,    0, 0, 0x80, 0x3f,
                                               0, 0, 0,    0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40,
                                               0, 0, 0xa0, 0x40, 0, 0, 0xc0, 0x40, 1, 0};

TERN_TEST(io_archive, safetensors_of_others) {
    tern_archive *a = tern_safetensors_load(safetensors("f.safetensors", foreign_header, foreign_data, 34),
                                            (tern_safetensors_opts){0});
    REQUIRE(CHECK_OK());
    CHECK(tern_item_i64(tern_archive_get(a, "n")) == 7);
    CHECK_VALUES(tern_archive_get(a, "w"), 1, 2, 3, 4, 5, 6);
    CHECK_SHAPE(tern_archive_get(a, "w"), 2, 3);
    CHECK_VALUES(tern_archive_get(a, "m"), 1, 0);
    tern_archive_free(a);
    /* Other integers become wider ones; a float that is not aligned is copied. */
    static const unsigned char raw[] = {0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x80, 0x3f};
    a = tern_safetensors_load(safetensors("w.safetensors",
                                          "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                          "\"b\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[1,3]},"
                                          "\"c\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[3,5]},"
                                          "\"d\":{\"dtype\":\"U32\",\"shape\":[1],\"data_offsets\":[5,9]},"
                                          "\"e\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9,13]}}",
                                          raw, sizeof raw),
                              (tern_safetensors_opts){0});
    REQUIRE(CHECK_OK());
    static const double want[] = {-1, -2, 65535, 4294967295.0, 1};
    for (int i = 0; i < 5; i++) CHECK_ITEM(tern_archive_get(a, (char[]){(char)('a' + i), 0}), want[i], 0);
    tern_archive_free(a);
}

TERN_TEST(io_archive, safetensors_that_are_wrong) {
    static const struct {
        const char *header;
        tern_code code;
        const char *text;
    } cases[] = {
        {"{         ", TERN_ERR_FORMAT, "not JSON"},
        {"[]      ", TERN_ERR_FORMAT, "no JSON object"},
        {"{\"a\":1}  ", TERN_ERR_FORMAT, "dtype"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", TERN_ERR_UNSUPPORTED, "F8_E4M3"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", TERN_ERR_FORMAT, "do not agree"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         TERN_ERR_FORMAT, "not JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         TERN_ERR_FORMAT, "overlap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", TERN_ERR_FORMAT, "tells of 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}", TERN_ERR_FORMAT,
         "within"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", TERN_ERR_FORMAT, "sensible"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,8]}}",
         TERN_ERR_FORMAT, "do not agree"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
         TERN_ERR_UNSUPPORTED, "dimensions"},
        {"{\"__metadata__\":{\"a\":1}}", TERN_ERR_FORMAT, "besides strings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].header);
        EXPECT_ERROR(tern_safetensors_load(safetensors("x.safetensors", cases[i].header, "01234567", 8),
                                           (tern_safetensors_opts){0}),
                     cases[i].code, cases[i].text);
    }
    check_case("%s", "");
    EXPECT_ERROR(
        tern_safetensors_load(write_file("p.pt", "\x80\2\x8a\xazzzzzzzzzzzzzzzz", 20), (tern_safetensors_opts){0}),
        TERN_ERR_UNSUPPORTED, "safetensors.torch.save_file");
    EXPECT_ERROR(tern_safetensors_load(write_file("s", "abc", 3), (tern_safetensors_opts){0}), TERN_ERR_FORMAT,
                 "shorter");
    EXPECT_ERROR(tern_safetensors_load(test_path("none"), (tern_safetensors_opts){0}), TERN_ERR_IO, "No such file");
    EXPECT_ERROR(tern_safetensors_load("/", (tern_safetensors_opts){0}), TERN_ERR_IO, "not a file");
    tern_archive *a = tern_archive_new();
    EXPECT_ERROR(tern_safetensors_save("/none/a.safetensors", a, (tern_safetensors_opts){0}), TERN_ERR_IO, "/none");
    tern_archive_put(a, "\xff", tern_scalar(1, (tern_options){0}));
    EXPECT_ERROR(tern_safetensors_save(test_path("u"), a, (tern_safetensors_opts){0}), TERN_ERR_ARGUMENT, "UTF-8");
    CHECK(access(test_path("u"), F_OK) != 0);
    tern_archive_free(a);
}

/* Every reader on its own file: cut at each length it fails; with any byte changed it fails or reads something. */
static void *load_any(const char *path, int kind) {
    if (kind == 0) return tern_safetensors_load(path, (tern_safetensors_opts){0});
    if (kind == 1) return tern_npy_load(path);
    return tern_npz_load(path);
}
static void free_any(void *p, int kind) {
    if (kind == 1)
        tern_release(p);
    else
        tern_archive_free(p);
}

TERN_TEST(io_archive, damaged_files) {
    static const char *const names[] = {"a.safetensors", "a.npy", "a.npz", "b.npz"};
    tern_archive *a = tern_archive_new();
    tern_archive_put(a, "w", test_random(TERN_SHAPE(3, 4), -1, 1, TERN_F32));
    tern_archive_put(a, "b", test_random(TERN_SHAPE(2), -1, 1, TERN_F64));
    CHECK(tern_safetensors_save(test_path(names[0]), a, (tern_safetensors_opts){0}));
    CHECK(tern_npy_save(test_path(names[1]), tern_archive_get(a, "w")));
    CHECK(tern_npz_save(test_path(names[2]), a, false) && tern_npz_save(test_path(names[3]), a, true));
    static unsigned char good[4096], bad[4096];
    for (int k = 0; k < 4; k++) {
        const int kind = k > 2 ? 2 : k;
        const size_t n = read_file(test_path(names[k]), good, sizeof good);
        CHECK(n > 100 && n < sizeof good);
        for (size_t cut = 0; cut < n; cut++) {
            check_case("%s, %zu of %zu bytes", names[k], cut, n);
            void *p = load_any(write_file("cut", good, cut), kind);
            if (!CHECK(!p && !tern_ok())) free_any(p, kind);
            tern_error_clear();
        }
        for (size_t i = 0; i < n; i++)
            for (int bit = 0; bit < 8; bit += 7) {
                check_case("%s, bit %d of byte %zu", names[k], bit, i);
                memcpy(bad, good, n);
                bad[i] ^= (unsigned char)(1 << bit);
                void *p = load_any(write_file("bad", bad, n), kind);
                CHECK((p != NULL) == tern_ok());
                if (p) free_any(p, kind);
                tern_error_clear();
            }
    }
    check_case("%s", "");
    tern_archive_free(a);
}

TERN_TEST(io_archive, npy_of_others) {
    static const struct {
        const char *header;
        unsigned char raw[16];
        size_t bytes;
        tern_dtype dtype;
        double want[6];
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
         {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0},
         8,
         TERN_F32,
         {1, -2}},
        {"{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }",
         {0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0xff, 0xfa},
         12,
         TERN_I32,
         {1, 2, 3, 4, 5, -6}},
        {"{'shape': (), 'descr': '|b1', 'fortran_order': False}", {2}, 1, TERN_BOOL, {1}},
        {"{\"descr\": \"<V2\", \"fortran_order\": False, \"shape\": (1L,)}", {0x80, 0x3f}, 2, TERN_BF16, {1}},
        {"{'descr': '>f8', 'fortran_order': False, 'shape': (1, 1)}", {0xc0, 0, 0, 0, 0, 0, 0, 0}, 8, TERN_F64, {-2}},
        {"{'descr': '<u4', 'fortran_order': False, 'shape': (1,)}",
         {0xff, 0xff, 0xff, 0xff},
         4,
         TERN_I64,
         {4294967295.0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int version = 1; version <= 3; version++) {
            check_case("%s, format %d", cases[i].header, version);
            unsigned char buf[300] = "\x93NUMPY";
            const size_t n = strlen(cases[i].header), wide = version == 1 ? 2 : 4;
            buf[6] = (unsigned char)version;
            buf[8] = (unsigned char)n;
            memcpy(buf + 8 + wide, cases[i].header, n);
            memcpy(buf + 8 + wide + n, cases[i].raw, cases[i].bytes);
            tern_tensor *t = tern_npy_load(write_file("x.npy", buf, 8 + wide + n + cases[i].bytes));
            if (!CHECK_OK()) continue;
            CHECK(tern_dtype_of(t) == cases[i].dtype && tern_is_contiguous(t));
            CHECK_CLOSE(t, cases[i].want, tern_numel(t), ((tolerance){0, 0}));
            tern_release(t);
        }
    static const char *const wrong[] = {"{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}",
                                        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
                                        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"};
    for (size_t i = 0; i < 3; i++) {
        check_case("%s", wrong[i]);
        unsigned char buf[300] = "\x93NUMPY\1";
        buf[8] = (unsigned char)strlen(wrong[i]);
        memcpy(buf + 10, wrong[i], strlen(wrong[i]));
        EXPECT_ERROR(tern_npy_load(write_file("x.npy", buf, 10 + strlen(wrong[i]) + 16)), TERN_ERR_UNSUPPORTED,
                     "which Tern has not");
    }
}

TERN_TEST(io_archive, npy_and_npz_round_trip) {
    tern_archive *a = sample();
    tern_archive_entry e;
    for (int64_t i = 0; tern_archive_each(a, i, &e); i++) {
        check_case("%s", e.name);
        REQUIRE(tern_npy_save(test_path("a.npy"), e.tensor));
        tern_tensor *t = tern_npy_load(test_path("a.npy"));
        if (!CHECK_OK()) continue;
        CHECK_SAME(t, e.tensor, ((tolerance){0, 0}));
        tern_release(t);
    }
    for (int compress = 0; compress < 2; compress++) {
        REQUIRE(tern_npz_save(test_path("a.npz"), a, compress));
        tern_archive *b = tern_npz_load(test_path("a.npz"));
        REQUIRE(CHECK_OK());
        check_equal(b, a, true);
        tern_archive_free(b);
    }
    EXPECT_ERROR(tern_npz_save("/none/a.npz", a, false), TERN_ERR_IO, "/none");
    EXPECT_ERROR(tern_npz_load(write_file("x.npz", "hello", 5)), TERN_ERR_FORMAT, "no zip file");
    tern_archive_free(a);
}

static tern_module *net_new(void) {
    return tern_sequential(tern_linear_new(3, 4, (tern_linear_opts){0}), tern_relu_new(),
                           tern_linear_new(4, 2, (tern_linear_opts){0}));
}

TERN_TEST(io_archive, fills_modules) {
    tern_module *m = net_new(), *other = net_new();
    tern_archive *a = tern_archive_new();
    REQUIRE(tern_archive_module(a, m, "body."));
    CHECK(tern_archive_count(a) == 4 && tern_archive_find(a, "body.2.bias"));
    tern_tensor *x = test_random(TERN_SHAPE(5, 3), -1, 1, TERN_F32), *want = tern_forward(m, x);
    REQUIRE(tern_safetensors_save(test_path("m.safetensors"), a, (tern_safetensors_opts){0}));
    tern_archive *b = tern_safetensors_load(test_path("m.safetensors"), (tern_safetensors_opts){0});
    CHECK(tern_archive_apply(b, other, (tern_archive_apply_opts){.prefix = "body."}) == 4);
    CHECK_SAME(tern_forward(other, x), want, ((tolerance){0, 0}));
    CHECK(tern_archive_apply(b, other, (tern_archive_apply_opts){0}) == -1);
    EXPECT_PENDING(TERN_ERR_SHAPE, "missing 0.weight");
    tern_archive_put(b, "body.head", tern_scalar(1, (tern_options){0}));
    CHECK(tern_archive_apply(b, other, (tern_archive_apply_opts){.prefix = "body."}) == -1);
    EXPECT_PENDING(TERN_ERR_SHAPE, "unexpected body.head");
    tern_archive_put(b, "body.0.weight", tern_zeros(TERN_SHAPE(4, 4), (tern_options){0}));
    CHECK(tern_archive_apply(b, other, (tern_archive_apply_opts){.prefix = "body.", .not_strict = true}) == -1);
    EXPECT_PENDING(TERN_ERR_SHAPE, "body.0.weight ([4, 4] instead of [4, 3])");
    tern_archive_remove(b, "body.0.weight");
    CHECK(tern_archive_apply(b, other, (tern_archive_apply_opts){.prefix = "body.", .not_strict = true}) == 3);
    CHECK_SAME(tern_forward(other, x), want, ((tolerance){0, 0})); /* what failed has changed nothing */
    tern_archive_free(a);
    tern_archive_free(b);
    tern_module_free(m);
    tern_module_free(other);
}

/* Every request for memory fails once: an error, nothing lost. */
TERN_TEST(io_archive, without_memory) {
    tern_archive *a = sample();
    CHECK(tern_safetensors_save(test_path("a.safetensors"), a, (tern_safetensors_opts){0}) &&
          tern_npz_save(test_path("a.npz"), a, true));
    for (int kind = 0; kind < 4; kind++)
        for (int64_t n = 1;; n++) {
            check_case("way %d, request %lld", kind, (long long)n);
            const int scope = tern_scope_push();
            tern_memory_fail_at(n);
            bool ok;
            if (kind == 0 || kind == 2) {
                tern_archive *b = kind == 0
                                      ? tern_safetensors_load(test_path("a.safetensors"), (tern_safetensors_opts){0})
                                      : tern_npz_load(test_path("a.npz"));
                ok = b != NULL;
                tern_archive_free(b);
            } else
                ok = kind == 1 ? tern_safetensors_save(test_path("b.safetensors"), a, (tern_safetensors_opts){0})
                               : tern_npz_save(test_path("b.npz"), a, false);
            const bool reached = tern_memory_requests() >= n;
            tern_memory_fail_at(0);
            tern_scope_pop(scope);
            if (!reached) {
                CHECK(ok);
                break;
            }
            if (!ok) EXPECT_PENDING(TERN_ERR_MEMORY, "");
            tern_error_clear();
        }
    check_case("%s", "");
    tern_archive_free(a);
}
