/* Pictures from and to files. The foreign ones were written by Pillow. */
#include "common.h"
#include "tern/picture.h"

static const char *write_file(const char *name, const void *data, size_t bytes) {
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) FAIL("cannot write %s", path);
    return path;
}
static size_t read_file(const char *path, unsigned char *p, size_t size) {
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(p, 1, size, f) : 0;
    if (f) fclose(f);
    return n;
}

TERN_TEST(io_picture, png_keeps_every_bit) {
    for (int c = 1; c <= 4; c++) {
        check_case("%d channels", c);
        tern_tensor *t = test_random(TERN_SHAPE(c, 5, 7), 0, 255, TERN_U8);
        REQUIRE(tern_picture_save(test_path("a.png"), t));
        tern_tensor *back = tern_picture_load(test_path("a.png"), (tern_picture_opts){0});
        CHECK_OK();
        CHECK(tern_dtype_of(back) == TERN_U8);
        CHECK_SAME(back, t, ((tolerance){0, 0}));
        tern_release(back);
    }
    check_case("%s", "");
    tern_tensor *f = test_values(TERN_F32, TERN_SHAPE(1, 6), -1, 0, 0.5, 1, 2, (double)NAN);
    REQUIRE(tern_picture_save(test_path("f.PNG"), f));
    tern_tensor *back = tern_picture_load(test_path("f.PNG"), (tern_picture_opts){0});
    CHECK_SHAPE(back, 1, 1, 6);
    CHECK_VALUES(back, 0, 0, 128, 255, 255, 0);
    tern_release(back);
}

TERN_TEST(io_picture, channels_on_demand) {
    /* A red and a half transparent grey-blue pixel. */
    tern_tensor *t = test_values(TERN_U8, TERN_SHAPE(4, 1, 2), 255, 10, 0, 20, 0, 200, 255, 128);
    REQUIRE(tern_picture_save(test_path("a.png"), t));
    static const double want[5][8] = {
        {0}, {76, 38}, {76, 38, 255, 128}, {255, 10, 0, 20, 0, 200}, {255, 10, 0, 20, 0, 200, 255, 128}};
    for (int c = 1; c <= 4; c++) {
        check_case("%d channels", c);
        tern_tensor *x = tern_picture_load(test_path("a.png"), (tern_picture_opts){.channels = c});
        CHECK_OK();
        CHECK_CLOSE(x, want[c], 2 * c, ((tolerance){0, 0}));
        tern_release(x);
    }
    check_case("%s", "");
    REQUIRE(tern_picture_save(test_path("g.png"), test_values(TERN_U8, TERN_SHAPE(1, 1, 1), 7)));
    tern_tensor *x = tern_picture_load(test_path("g.png"), (tern_picture_opts){.channels = 4});
    CHECK_VALUES(x, 7, 7, 7, 255);
    tern_release(x);
}

TERN_TEST(io_picture, jpeg) {
    static double v[3 * 32 * 48];
    for (int i = 0; i < 3 * 32 * 48; i++)
        v[i] = 100 + 80 * sin(i % 48 * 0.1) * cos(i / 48 % 32 * 0.15) + 20 * (i / 1536);
    tern_tensor *t = test_tensor(v, TERN_SHAPE(3, 32, 48), TERN_U8);
    REQUIRE(tern_picture_save(test_path("a.jpg"), t));
    tern_tensor *back = tern_picture_load(test_path("a.jpg"), (tern_picture_opts){0});
    CHECK_OK();
    CHECK_SAME(back, t, ((tolerance){0, 6}));
    tern_release(back);
    REQUIRE(tern_picture_save(test_path("g.jpeg"), tern_select(t, 0, 0)));
    back = tern_picture_load(test_path("g.jpeg"), (tern_picture_opts){0});
    CHECK_SHAPE(back, 1, 32, 48);
    tern_release(back);
    EXPECT_ERROR(tern_picture_save(test_path("b.jpg"), tern_zeros(TERN_SHAPE(4, 2, 2), (tern_options){0})),
                 TERN_ERR_SHAPE, "1 or 3");
}

TERN_TEST(io_picture, damaged_files) {
    static const char *const names[] = {"a.png", "a.jpg"};
    static unsigned char good[8192], bad[8192];
    tern_tensor *t = test_random(TERN_SHAPE(3, 9, 11), 0, 255, TERN_U8);
    for (int k = 0; k < 2; k++) {
        REQUIRE(tern_picture_save(test_path(names[k]), t));
        const size_t n = read_file(test_path(names[k]), good, sizeof good);
        CHECK(n > 100 && n < sizeof good);
        for (size_t cut = 0; cut < n; cut++) {
            check_case("%s, %zu of %zu bytes", names[k], cut, n);
            tern_tensor *x = tern_picture_load(write_file("cut", good, cut), (tern_picture_opts){0});
            /* What stands behind a PNG's pixels is not read; a JPEG's end mark is missed. */
            if (k == 0 && cut >= n - 16 ? x == NULL && tern_ok() : !CHECK(!x && !tern_ok())) FAIL("neither");
            tern_release(x);
            tern_error_clear();
        }
        for (size_t i = 0; i < n; i++) {
            check_case("%s, byte %zu changed", names[k], i);
            memcpy(bad, good, n);
            bad[i] ^= 0x81;
            tern_tensor *x = tern_picture_load(write_file("bad", bad, n), (tern_picture_opts){.max_pixels = 1 << 20});
            CHECK((x != NULL) == tern_ok());
            tern_release(x);
            tern_error_clear();
        }
    }
    check_case("%s", "");
    EXPECT_ERROR(tern_picture_load(write_file("x.png", "GIF89a", 6), (tern_picture_opts){0}), TERN_ERR_FORMAT,
                 "neither");
    EXPECT_ERROR(tern_picture_load(test_path("none.png"), (tern_picture_opts){0}), TERN_ERR_IO, "none.png");
    REQUIRE(tern_picture_save(test_path("b.png"), t));
    EXPECT_ERROR(tern_picture_load(test_path("b.png"), (tern_picture_opts){.max_pixels = 98}), TERN_ERR_FORMAT,
                 "11 x 9");
    EXPECT_ERROR(tern_picture_load(test_path("b.png"), (tern_picture_opts){.channels = 5}), TERN_ERR_ARGUMENT, "5");
    EXPECT_ERROR(tern_picture_save(test_path("b.gif"), t), TERN_ERR_ARGUMENT, ".gif");
    EXPECT_ERROR(tern_picture_save(test_path("c.png"), test_random(TERN_SHAPE(2, 3, 4, 5), 0, 1, TERN_F32)),
                 TERN_ERR_SHAPE, "[2, 3, 4, 5]");
    EXPECT_ERROR(tern_picture_save(test_path("c.png"), test_random(TERN_SHAPE(3, 4, 5), 0, 1, TERN_I64)),
                 TERN_ERR_DTYPE, "i64");
}

static uint32_t crc_of(const unsigned char *p, size_t n) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n * 8; i++)
        crc = (crc >> 1) ^ (((crc ^ ((uint32_t)p[i / 8] >> (i % 8))) & 1) ? 0xEDB88320u : 0);
    return ~crc;
}
static void put_big_endian(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* A PNG of a few bytes that says it has millions of pixels is refused before there is memory for them. */
TERN_TEST(io_picture, more_pixels_than_bytes_can_hold) {
    static unsigned char png[8192];
    REQUIRE(tern_picture_save(test_path("a.png"), test_random(TERN_SHAPE(1, 9, 11), 0, 255, TERN_U8)));
    const size_t n = read_file(test_path("a.png"), png, sizeof png);
    put_big_endian(png + 16, 12000);
    put_big_endian(png + 20, 12000);
    put_big_endian(png + 29, crc_of(png + 12, 17));
    tern_memory_reset_peak();
    const int64_t before = tern_memory_host().live;
    EXPECT_ERROR(tern_picture_load(write_file("vast.png", png, n), (tern_picture_opts){0}), TERN_ERR_FORMAT,
                 "12000 x 12000");
    CHECK(tern_memory_host().peak - before < 1 << 20, "%" PRId64 " bytes", tern_memory_host().peak - before);
    /* One that packs as well as can be is none of them: all of one colour. */
    tern_tensor *t = tern_full(TERN_SHAPE(1, 2000, 2000), 255, (tern_options){.dtype = TERN_U8});
    REQUIRE(tern_picture_save(test_path("white.png"), t));
    tern_tensor *back = tern_picture_load(test_path("white.png"), (tern_picture_opts){0});
    CHECK_SHAPE(back, 1, 2000, 2000);
    tern_release(back);
}

TERN_TEST(io_picture, grid) {
    tern_tensor *t = test_values(TERN_F32, TERN_SHAPE(3, 1, 1, 2), 1, 2, 3, 4, 5, 6);
    tern_tensor *g = tern_picture_grid(t, 0, 0);
    CHECK_SHAPE(g, 1, 2, 4);
    CHECK_VALUES(g, 1, 2, 3, 4, 5, 6, 0, 0);
    g = tern_picture_grid(t, 1, 1);
    CHECK_SHAPE(g, 1, 7, 4);
    CHECK_VALUES(g, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 0);
    EXPECT_ERROR(tern_picture_grid(tern_select(t, 0, 0), 0, 0), TERN_ERR_SHAPE, "[N, C, H, W]");
    EXPECT_ERROR(tern_picture_grid(t, -1, 0), TERN_ERR_ARGUMENT, "-1");
}
