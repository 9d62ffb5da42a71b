/* IDX files, datasets in memory, the bundled digits. */
#include "common.h"
#include "tern/data.h"

#include <zlib.h>

static void put32(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* An IDX file's bytes: type, sizes, data; returns the count. */
static size_t idx(unsigned char *out, int type, int ndim, const uint32_t *dim, const void *data, size_t bytes) {
    out[0] = out[1] = 0;
    out[2] = (unsigned char)type;
    out[3] = (unsigned char)ndim;
    for (int i = 0; i < ndim; i++) put32(out + 4 + 4 * i, dim[i]);
    if (bytes) memcpy(out + 4 + 4 * ndim, data, bytes);
    return 4 + 4 * (size_t)ndim + bytes;
}

static const char *write_file(const char *name, const void *data, size_t bytes, bool zip) {
    const char *path = test_path(name);
    if (zip) {
        gzFile z = gzopen(path, "wb");
        if (!z || gzwrite(z, data, (unsigned)bytes) != (int)bytes || gzclose(z) != Z_OK) FAIL("cannot write %s", path);
    } else {
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) FAIL("cannot write %s", path);
    }
    return path;
}

static unsigned char buf[1 << 16];
static const uint32_t shape3[3] = {3, 2, 4}, shape1[1] = {3};

TERN_TEST(io_idx, reads_every_type_plain_and_gzip) {
    static const struct {
        int type;
        size_t size;
        tern_dtype dtype;
        unsigned char raw[16]; /* two elements */
        double want[2];
    } cases[] = {{0x08, 1, TERN_U8, {7, 255}, {7, 255}},
                 {0x09, 1, TERN_I32, {7, 255}, {7, -1}},
                 {0x0B, 2, TERN_I32, {1, 2, 0xff, 0xfe}, {258, -2}},
                 {0x0C, 4, TERN_I32, {0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff}, {65536, -1}},
                 {0x0D, 4, TERN_F32, {0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0}, {1, -2}},
                 {0x0E, 8, TERN_F64, {0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0}, {1, -2}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int zip = 0; zip < 2; zip++) {
            check_case("type %02x, %s", cases[i].type, zip ? "gzip" : "plain");
            const size_t n = idx(buf, cases[i].type, 1, (const uint32_t[]){2}, cases[i].raw, 2 * cases[i].size);
            tern_tensor *t = tern_idx_load(write_file("x.idx", buf, n, zip));
            CHECK_OK();
            CHECK(tern_dtype_of(t) == cases[i].dtype);
            CHECK_CLOSE(t, cases[i].want, 2, ((tolerance){0, 0}));
            tern_release(t);
        }
}

TERN_TEST(io_idx, cut_at_every_length) {
    unsigned char data[24];
    for (int i = 0; i < 24; i++) data[i] = (unsigned char)i;
    const size_t n = idx(buf, 8, 3, shape3, data, sizeof data);
    for (size_t cut = 0; cut < n; cut++) {
        check_case("plain, %zu bytes", cut);
        const char *path = write_file("cut.idx", buf, cut, false);
        EXPECT_ERROR(tern_idx_load(path), TERN_ERR_FORMAT, path);
    }
    FILE *f = fopen(write_file("whole.gz", buf, n, true), "rb");
    unsigned char zipped[4096];
    const size_t zn = fread(zipped, 1, sizeof zipped, f);
    fclose(f);
    for (size_t cut = 2; cut < zn; cut++) { /* fewer than two bytes of gzip are read as plain */
        check_case("gzip, %zu of %zu bytes", cut, zn);
        EXPECT_ERROR(tern_idx_load(write_file("cut.gz", zipped, cut, false)), TERN_ERR_FORMAT, "cut.gz");
    }
    for (size_t i = 10; i < zn; i++) { /* behind gzip's header every byte counts */
        check_case("gzip, byte %zu flipped", i);
        unsigned char bad[4096];
        memcpy(bad, zipped, zn);
        bad[i] ^= 1;
        EXPECT_ERROR(tern_idx_load(write_file("bad.gz", bad, zn, false)), TERN_ERR_FORMAT, "bad.gz");
    }
}

TERN_TEST(io_idx, foreign_and_hostile_files) {
    EXPECT_ERROR(tern_idx_load("/nonexistent/file"), TERN_ERR_IO, "No such file");
    EXPECT_ERROR(tern_idx_load("/"), TERN_ERR_IO, "not a file");
    EXPECT_ERROR(tern_idx_load(NULL), TERN_ERR_ARGUMENT, "path");
    EXPECT_ERROR(tern_idx_load(write_file("png", "\x89PNG\r\n\x1a\n", 8, false)), TERN_ERR_FORMAT, "no IDX file");
    EXPECT_ERROR(tern_idx_load(write_file("t", "\0\0\x0a\1\0\0\0\1x", 9, false)), TERN_ERR_FORMAT, "no IDX file");
    EXPECT_ERROR(tern_idx_load(write_file("t", "\0\0\x08\0x", 5, false)), TERN_ERR_FORMAT, "dimensions");
    EXPECT_ERROR(tern_idx_load(write_file("t", "\0\0\x08\x09x", 5, false)), TERN_ERR_FORMAT, "dimensions");
    /* sizes that would take more memory than any file holds, also as a product that overflows */
    size_t n = idx(buf, 8, 1, (const uint32_t[]){0xffffffffu}, "x", 1);
    EXPECT_ERROR(tern_idx_load(write_file("big", buf, n, false)), TERN_ERR_FORMAT, "more than");
    n = idx(buf, 14, 3, (const uint32_t[]){0xffffffffu, 0xffffffffu, 0xffffffffu}, "x", 1);
    EXPECT_ERROR(tern_idx_load(write_file("big", buf, n, false)), TERN_ERR_FORMAT, "more than");
    n = idx(buf, 8, 1, shape1, "abcd", 4);
    EXPECT_ERROR(tern_idx_load(write_file("long", buf, n, false)), TERN_ERR_FORMAT, "goes on");
}

TERN_TEST(io_idx, images_and_labels_as_a_dataset) {
    unsigned char pixels[24], labels[3] = {0, 9, 4};
    for (int i = 0; i < 24; i++) pixels[i] = (unsigned char)(10 * i);
    char x[300], y[300];
    snprintf(x, sizeof x, "%s", write_file("x", buf, idx(buf, 8, 3, shape3, pixels, 24), false));
    snprintf(y, sizeof y, "%s", write_file("y", buf, idx(buf, 8, 1, shape1, labels, 3), false));
    tern_dataset *d = tern_idx_dataset_new(x, y, (tern_idx_opts){.mean = 0.5, .std = 0.25});
    REQUIRE(d);
    CHECK(d->length == 3 && d->classes == 10 && tern_shape_equal(d->x_shape, TERN_SHAPE(1, 2, 4)));
    float got[8];
    int64_t label;
    CHECK(d->get(d, 1, got, &label) && label == 9);
    for (int i = 0; i < 8; i++) CHECK_NUMBER((double)got[i], (pixels[8 + i] / 255.0 - 0.5) / 0.25, 1e-5);
    tern_dataset_free(d);

    EXPECT_ERROR(tern_idx_dataset_new(x, y, (tern_idx_opts){.classes = 9}), TERN_ERR_FORMAT, "label 9 of sample 1");
    EXPECT_ERROR(tern_idx_dataset_new(y, x, (tern_idx_opts){0}), TERN_ERR_FORMAT, "expected images");
    EXPECT_ERROR(tern_idx_dataset_new(x, x, (tern_idx_opts){0}), TERN_ERR_FORMAT, "expected labels");
    EXPECT_ERROR(tern_idx_dataset_new(x, "/nonexistent", (tern_idx_opts){0}), TERN_ERR_IO, "/nonexistent");
    EXPECT_ERROR(tern_idx_dataset_new(x, y, (tern_idx_opts){.std = -1}), TERN_ERR_ARGUMENT, "std");
    const char *two = write_file("two", buf, idx(buf, 8, 1, (const uint32_t[]){2}, labels, 2), false);
    EXPECT_ERROR(tern_idx_dataset_new(x, two, (tern_idx_opts){0}), TERN_ERR_FORMAT, "3 images");
    const char *none = write_file("none", buf, idx(buf, 8, 3, (const uint32_t[]){0, 2, 4}, NULL, 0), false);
    EXPECT_ERROR(tern_idx_dataset_new(none, y, (tern_idx_opts){0}), TERN_ERR_FORMAT, "no images");
}

TERN_TEST(io_idx, real_mnist) {
    const char *data = test_data_dir();
    if (!data) return;
    char path[600];
    snprintf(path, sizeof path, "%s/mnist/t10k-images-idx3-ubyte.gz", data);
    tern_tensor *t = tern_idx_load(path);
    CHECK_SHAPE(t, 10000, 28, 28);
    CHECK_ITEM(tern_mean(tern_cast(t, TERN_F64), NULL, 0, false), 33.791224489795916, 1e-12); /* by NumPy */
    tern_release(t);
}

TERN_TEST(io_idx, digits_are_split_and_whole) {
    tern_dataset *a = tern_digits_new(true), *b = tern_digits_new(false);
    REQUIRE(a && b);
    CHECK(a->length == 1437 && b->length == 360);
    double pixels = 0;
    int64_t labels = 0;
    for (int k = 0; k < 2; k++) {
        tern_dataset *d = k ? b : a;
        for (int64_t i = 0; i < d->length; i++) {
            float x[64];
            int64_t y;
            CHECK(d->get(d, i, x, &y) && y >= 0 && y < 10);
            for (int p = 0; p < 64; p++) pixels += (double)x[p] * 16;
            labels += y;
        }
    }
    CHECK_NUMBER(pixels, 561718, 0); /* sums over the original table, by NumPy */
    CHECK(labels == 8070);
    tern_dataset_free(a);
    tern_dataset_free(b);
}

TERN_TEST(io_idx, tensors_and_subsets) {
    tern_tensor *x = tern_reshape(tern_arange(0, 12, (tern_options){0}), TERN_SHAPE(2, 6));
    tern_tensor *y = tern_arange(10, 16, (tern_options){.dtype = TERN_I64});
    tern_dataset *d = tern_dataset_tensors_new(tern_transpose(x, 0, 1), y); /* not contiguous */
    REQUIRE(d);
    float v[2];
    int64_t label;
    CHECK(d->length == 6 && d->get(d, 4, v, &label) && v[0] == 4.0f && v[1] == 10.0f && label == 14);
    tern_dataset *s = tern_dataset_subset_new(d, (const int64_t[]){5, 0}, 2);
    CHECK(s && s->length == 2 && s->get(s, 0, v, &label) && label == 15);
    tern_dataset_free(s);
    EXPECT_ERROR(tern_dataset_subset_new(d, (const int64_t[]){0, 6}, 2), TERN_ERR_INDEX, "index 6 at position 1");
    EXPECT_ERROR(tern_dataset_tensors_new(x, y), TERN_ERR_SHAPE, "samples");
    tern_dataset_free(d);
    tern_dataset_free(NULL);
}
