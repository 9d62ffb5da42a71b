/* Datasets from files: folders of images, CIFAR's binary files, tokens, arrays. */
#include "common.h"
#include "tern/archive.h"
#include "tern/checkpoint.h"
#include "tern/datasets.h"
#include "tern/keras.h"
#include "tern/layers.h"
#include "tern/onnx.h"
#include "tern/picture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *write_file(const char *name, const void *data, size_t bytes) {
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) FAIL("cannot write %s", path);
    return path;
}

static void make_folder(const char *name) { CHECK(mkdir(test_path(name), 0755) == 0, "%s", name); }

static void make_picture(const char *name, int64_t h, int64_t w, double value) {
    CHECK(tern_picture_save(test_path(name), tern_full(TERN_SHAPE(3, h, w), value, (tern_options){.dtype = TERN_U8})));
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

static void make_zoo(void) {
    static const char *const folders[] = {"zoo", "zoo/dog", "zoo/cat", "zoo/cat/more", "zoo/.hidden", "zoo/ant"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) make_folder(folders[i]);
    make_picture("zoo/dog/1.png", 4, 6, 51);
    make_picture("zoo/cat/b.PNG", 4, 6, 102);
    make_picture("zoo/cat/a.png", 4, 6, 0);
    make_picture("zoo/cat/more/c.jpg", 8, 8, 255);
    make_picture("zoo/ant/x.jpeg", 4, 6, 204);
    write_file("zoo/cat/notes.txt", "x", 1);
    write_file("zoo/README", "x", 1);
}

TERN_TEST(io_readers, folder_of_images) {
    make_zoo();
    char zoo[600], name[600];
    snprintf(zoo, sizeof zoo, "%s", test_path("zoo"));
    tern_dataset *d = tern_folder_dataset_new(zoo, (tern_folder_opts){.height = 2, .width = 3});
    REQUIRE(d && d->length == 5 && d->classes == 3);
    const char *const classes[] = {"ant", "cat", "dog"}, *const ends[] = {"ant/x.jpeg", "cat/a.png", "cat/b.PNG",
                                                                          "cat/more/c.jpg", "dog/1.png"};
    const int64_t want[] = {0, 1, 1, 1, 2};
    const float value[] = {204, 0, 102, 255, 51};
    int64_t label[5], y;
    float x[18];
    CHECK(tern_dataset_labels(d, label));
    for (int i = 0; i < 5; i++) {
        check_case("%s", ends[i]);
        d->name(d, i, name, sizeof name);
        CHECK(strcmp(name + strlen(name) - strlen(ends[i]), ends[i]) == 0, "%s", name);
        CHECK(d->get(d, i, x, &y) && y == want[i] && label[i] == y);
        for (int k = 0; k < 18; k++) CHECK_NUMBER((double)x[k], (double)value[i] / 255, 0.01);
    }
    for (int c = 0; c < 3; c++) CHECK(strcmp(d->class_names[c], classes[c]) == 0);
    tern_dataset_free(d);

    d = tern_folder_dataset_new(zoo, (tern_folder_opts){.channels = 1});
    REQUIRE(d && !d->get);
    tern_tensor *t, *label_tensor;
    CHECK(d->item(d, 3, &t, &label_tensor) && tern_item(label_tensor) == 1);
    CHECK_SHAPE(t, 1, 8, 8);
    tern_loader *l = tern_loader_new(d, (tern_loader_opts){.batch = 5, .workers = 2});
    tern_batch b;
    CHECK(!tern_loader_next(l, &b));
    EXPECT_PENDING(TERN_ERR_SHAPE, "cat/more/c.jpg): x is [1, 8, 8]");
    tern_loader_free(l);
    tern_transform *crop = tern_center_crop_new(4, 4);
    l = tern_loader_new(d, (tern_loader_opts){.batch = 5, .workers = 2, .transform = crop});
    CHECK(tern_loader_next(l, &b));
    CHECK_SHAPE(b.x, 5, 1, 4, 4);
    CHECK_VALUES(b.y, 0, 1, 1, 1, 2);
    tern_loader_free(l);
    tern_transform_free(crop);
    tern_dataset_free(d);
}

TERN_TEST(io_readers, bad_folders) {
    make_zoo();
    char zoo[600];
    snprintf(zoo, sizeof zoo, "%s", test_path("zoo"));
    write_file("zoo/dog/2.png", "\x89PNG\r\n\x1a\n torn", 13);
    tern_dataset *d = tern_folder_dataset_new(zoo, (tern_folder_opts){.height = 2, .width = 3});
    tern_loader *l = tern_loader_new(d, (tern_loader_opts){.batch = 6, .workers = 1});
    tern_batch b;
    CHECK(!tern_loader_next(l, &b));
    EXPECT_PENDING(TERN_ERR_FORMAT, "dog/2.png");
    tern_loader_free(l);
    tern_dataset_free(d);
    EXPECT_ERROR(tern_folder_dataset_new("/nonexistent", (tern_folder_opts){0}), TERN_ERR_IO, "No such file");
    EXPECT_ERROR(tern_folder_dataset_new(write_file("f", "x", 1), (tern_folder_opts){0}), TERN_ERR_IO,
                 "Not a directory");
    make_folder("empty");
    EXPECT_ERROR(tern_folder_dataset_new(test_path("empty"), (tern_folder_opts){0}), TERN_ERR_FORMAT,
                 "holds no folders");
    make_folder("zoo/bee");
    EXPECT_ERROR(tern_folder_dataset_new(zoo, (tern_folder_opts){0}), TERN_ERR_FORMAT, "bee holds no .png");
    CHECK(symlink("..", test_path("zoo/bee/round")) == 0);
    EXPECT_ERROR(tern_folder_dataset_new(zoo, (tern_folder_opts){0}), TERN_ERR_IO, "folders deep");
    EXPECT_ERROR(tern_folder_dataset_new(zoo, (tern_folder_opts){.channels = 5}), TERN_ERR_ARGUMENT, "5 channels");
    EXPECT_ERROR(tern_folder_dataset_new(zoo, (tern_folder_opts){.height = 5}), TERN_ERR_ARGUMENT, "both or none");
    EXPECT_ERROR(tern_folder_dataset_new(NULL, (tern_folder_opts){0}), TERN_ERR_ARGUMENT, "path");
}

/* ---- CIFAR ------------------------------------------------------------------------------------------------------- */

enum { RECORD = 3073 };

static unsigned char records[3 * (RECORD + 1)];

static size_t make_records(int n, int labels) {
    const size_t size = 3072 + (size_t)labels;
    for (int i = 0; i < n; i++) {
        unsigned char *p = records + (size_t)i * size;
        p[0] = (unsigned char)(i + 1);
        if (labels == 2) p[1] = (unsigned char)(90 + i);
        for (int k = 0; k < 3072; k++) p[labels + k] = (unsigned char)(i + k / 1024 * 100 + k % 32);
    }
    return (size_t)n * size;
}

TERN_TEST(io_readers, cifar) {
    make_folder("c");
    char folder[600], name[40];
    snprintf(folder, sizeof folder, "%s", test_path("c"));
    for (int i = 1; i <= 5; i++) {
        const size_t n = make_records(i % 3 + 1, 1);
        snprintf(name, sizeof name, "c/data_batch_%d.bin", i);
        write_file(name, records, n);
    }
    write_file("c/test_batch.bin", records, make_records(2, 1));
    write_file("c/train.bin", records, make_records(3, 2));
    tern_dataset *d = tern_cifar_dataset_new(folder, (tern_cifar_opts){.mean = {0.5}, .std = {0.25}});
    REQUIRE(d && d->length == 2 + 3 + 1 + 2 + 3 && strcmp(d->class_names[9], "truck") == 0);
    static float x[3072];
    int64_t y;
    CHECK(d->get(d, 4, x, &y) && y == 3); /* the third of the second file */
    CHECK_NUMBER((double)x[33], ((2 + 1) / 255.0 - 0.5) / 0.25, 1e-5);
    CHECK_NUMBER((double)x[2048], 202 / 255.0, 1e-6);
    tern_dataset_free(d);
    for (int coarse = 0; coarse < 2; coarse++) {
        d = tern_cifar_dataset_new(folder, (tern_cifar_opts){.hundred = true, .coarse = coarse});
        REQUIRE(d && d->length == 3 && d->classes == (coarse ? 20 : 100));
        CHECK(d->get(d, 2, x, &y) && y == (coarse ? 3 : 92) && d->label(d, 0) == (coarse ? 1 : 90));
        tern_dataset_free(d);
    }
    d = tern_cifar_dataset_new(test_path("c/test_batch.bin"), (tern_cifar_opts){0});
    CHECK(d && d->length == 2);
    tern_dataset_free(d);
    EXPECT_ERROR(tern_cifar_dataset_new(folder, (tern_cifar_opts){.hundred = true, .test = true}), TERN_ERR_IO,
                 "test.bin");
    EXPECT_ERROR(tern_cifar_dataset_new(folder, (tern_cifar_opts){.coarse = true}), TERN_ERR_ARGUMENT, "coarse");
    EXPECT_ERROR(tern_cifar_dataset_new(folder, (tern_cifar_opts){.std = {-1}}), TERN_ERR_ARGUMENT, "std");
    EXPECT_ERROR(tern_cifar_dataset_new("/nonexistent", (tern_cifar_opts){0}), TERN_ERR_IO, "No such");
    const size_t whole = make_records(2, 1);
    for (size_t cut = 0; cut < whole; cut += 97)
        EXPECT_ERROR(tern_cifar_dataset_new(write_file("cut", records, cut), (tern_cifar_opts){0}), TERN_ERR_FORMAT,
                     "expected a multiple of 3073");
    records[RECORD] = 10;
    EXPECT_ERROR(tern_cifar_dataset_new(write_file("bad", records, whole), (tern_cifar_opts){0}), TERN_ERR_FORMAT,
                 "byte 3073: label 10");
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

TERN_TEST(io_readers, tokens) {
    unsigned char bytes[48];
    for (int i = 0; i < 48; i++) bytes[i] = (unsigned char)(200 + i);
    for (int size = 1; size <= 4; size *= 2) {
        check_case("%d bytes", size);
        tern_dataset *d = tern_tokens_dataset_new(
            write_file("t", bytes, 48), (tern_tokens_opts){.bytes = size, .block = 4, .stride = 3, .offset = 4});
        const int64_t n = 44 / size;
        REQUIRE(d && d->length == (n - 5) / 3 + 1);
        int64_t x[4], y[4];
        for (int64_t i = 0; i < d->length; i++) {
            CHECK(d->get(d, i, x, y));
            for (int k = 0; k < 4; k++) {
                uint32_t want[2] = {0};
                memcpy(&want[0], bytes + 4 + (3 * i + k) * size, (size_t)size);
                memcpy(&want[1], bytes + 4 + (3 * i + k + 1) * size, (size_t)size);
                CHECK(x[k] == want[0] && y[k] == want[1]);
            }
        }
        CHECK(4 + (3 * (d->length - 1) + 5) * size <= 48 && 4 + (3 * d->length + 5) * size > 48);
        tern_dataset_free(d);
    }
    tern_dataset *d = tern_tokens_dataset_new(write_file("t", bytes, 48), (tern_tokens_opts){.block = 5, .vocab = 230});
    tern_loader *l = tern_loader_new(d, (tern_loader_opts){.batch = 5});
    tern_batch b;
    CHECK(tern_loader_next(l, &b) && !tern_loader_next(l, &b)); /* five samples of 5 and one ahead: up to byte 25 */
    EXPECT_PENDING(TERN_ERR_FORMAT, "byte 30: token 230; expected one below 230");
    tern_loader_free(l);
    tern_dataset_free(d);
    for (size_t cut = 0; cut < 48; cut++) {
        const char *path = write_file("t", bytes, cut);
        d = tern_tokens_dataset_new(path, (tern_tokens_opts){.bytes = 4, .block = 3, .offset = 8});
        if (cut >= 24 && cut % 4 == 0)
            CHECK(d != NULL);
        else
            EXPECT_ERROR(d, TERN_ERR_FORMAT, "for 4 tokens or more");
        tern_dataset_free(d);
    }
    EXPECT_ERROR(tern_tokens_dataset_new("/", (tern_tokens_opts){0}), TERN_ERR_IO, "not a file");
    EXPECT_ERROR(tern_tokens_dataset_new("/nonexistent", (tern_tokens_opts){0}), TERN_ERR_IO, "No such");
    EXPECT_ERROR(tern_tokens_dataset_new("/", (tern_tokens_opts){.bytes = 3}), TERN_ERR_ARGUMENT, "3 bytes");
    EXPECT_ERROR(tern_tokens_dataset_new("/", (tern_tokens_opts){.block = -1}), TERN_ERR_ARGUMENT, "block -1");
    EXPECT_ERROR(tern_tokens_dataset_new("/", (tern_tokens_opts){.offset = -1}), TERN_ERR_ARGUMENT, "offset -1");
}

TERN_TEST(io_readers, real_text) {
    const char *data = test_data_dir();
    if (!data) return;
    char path[600];
    snprintf(path, sizeof path, "%s/tinyshakespeare/input.txt", data);
    tern_dataset *d = tern_tokens_dataset_new(path, (tern_tokens_opts){.block = 256, .vocab = 128});
    REQUIRE(d && d->length == (1115394 - 257) / 256 + 1);
    int64_t x[256], y[256];
    CHECK(d->get(d, 0, x, y) && memcmp(x + 1, y, 255 * sizeof *x) == 0);
    const char *begin = "First Citizen:";
    for (int i = 0; begin[i]; i++) CHECK(x[i] == begin[i]);
    tern_dataset_free(d);
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

TERN_TEST(io_readers, arrays_of_numpy) {
    tern_tensor *x = test_random(TERN_SHAPE(3, 2), 0, 1, TERN_F32);
    tern_tensor *y = tern_arange(5, 8, (tern_options){.dtype = TERN_I64});
    char px[600], py[600], pz[600];
    snprintf(px, sizeof px, "%s", test_path("x.npy"));
    snprintf(py, sizeof py, "%s", test_path("y.npy"));
    snprintf(pz, sizeof pz, "%s", test_path("z.npz"));
    tern_archive *a = tern_archive_new();
    CHECK(tern_npy_save(px, x) && tern_npy_save(py, y) && tern_archive_put(a, "x", x) && tern_archive_put(a, "y", y) &&
          tern_npz_save(pz, a, true));
    tern_archive_free(a);
    for (int zip = 0; zip < 2; zip++) {
        tern_dataset *d = zip ? tern_npz_dataset_new(pz, "x", "y") : tern_npy_dataset_new(px, py);
        float v[2];
        int64_t k;
        CHECK(d && d->length == 3 && d->get(d, 1, v, &k) && k == 6 && v[1] == ((float *)tern_data(x))[3]);
        tern_dataset_free(d);
    }
    EXPECT_ERROR(tern_npz_dataset_new(pz, "x", "q"), TERN_ERR_ARGUMENT, "q");
    EXPECT_ERROR(tern_npy_dataset_new(px, pz), TERN_ERR_FORMAT, "no .npy file");
    CHECK(tern_npy_save(py, tern_zeros(TERN_SHAPE(4), (tern_options){0})));
    EXPECT_ERROR(tern_npy_dataset_new(px, py), TERN_ERR_SHAPE, "x has 3 samples, y 4");
    EXPECT_ERROR(tern_npy_dataset_new(NULL, py), TERN_ERR_ARGUMENT, "x is NULL");
}

/* ---- HDF5 -------------------------------------------------------------------------------------------------------- */

/* A checkpoint is an HDF5 file: /model/weight [3, 2] and /model/bias [3], which become x and y. */
static size_t make_h5(const char *path, unsigned char *out, size_t room) {
    tern_module *m = tern_linear_new(2, 3, (tern_linear_opts){0});
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m}));
    tern_module_free(m);
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(out, 1, room, f) : 0;
    if (f) fclose(f);
    CHECK(n > 1000 && n < room, "%zu bytes", n);
    return n;
}

TERN_TEST(io_readers, arrays_of_hdf5) {
    static unsigned char whole[1 << 16], bad[1 << 16];
    char path[600];
    snprintf(path, sizeof path, "%s", test_path("m.h5"));
    const size_t n = make_h5(path, whole, sizeof whole);
    tern_dataset *d = tern_h5_dataset_new(path, "model/weight", "/model/bias");
    REQUIRE(d && d->length == 3 && tern_shape_equal(d->x_shape, TERN_SHAPE(2)) && d->y_dtype == TERN_F32);
    float x[2], y;
    CHECK(d->get(d, 2, x, &y) && x[0] != 0 && fabsf(x[0]) < 0.8f && y != 0);
    tern_dataset_free(d);
    char open_file[64]; /* read by another process, which is to have this one's file */
    const int fd = open(path, O_RDONLY);
    snprintf(open_file, sizeof open_file, "/proc/self/fd/%d", fd);
    d = tern_h5_dataset_new(open_file, "model/weight", "/model/bias");
    CHECK(d && d->length == 3);
    tern_dataset_free(d);
    close(fd);
    EXPECT_ERROR(tern_h5_dataset_new(path, "model/weight", "model/none"), TERN_ERR_FORMAT,
                 "model/none: has no dataset");
    EXPECT_ERROR(tern_h5_dataset_new(path, "model", "model/bias"), TERN_ERR_FORMAT, "model: has no dataset");
    EXPECT_ERROR(tern_h5_dataset_new("/nonexistent", "x", "y"), TERN_ERR_IO, "No such file");
    EXPECT_ERROR(tern_h5_dataset_new("/", "x", "y"), TERN_ERR_IO, "not a file");
    EXPECT_ERROR(tern_h5_dataset_new(path, NULL, "y"), TERN_ERR_ARGUMENT, "x is NULL");
    int errors = 0;
    for (size_t cut = 0; cut < n; cut += 1 + n / 60) {
        tern_dataset_free(tern_h5_dataset_new(write_file("cut.h5", whole, cut), "model/weight", "model/bias"));
        errors += !tern_ok();
        CHECK(tern_ok() || (tern_error_code() == TERN_ERR_FORMAT && strstr(tern_error_message(), "cut.h5")), "%s",
              tern_error_message());
        tern_error_clear();
    }
    CHECK(errors > 40, "%d errors", errors);
    for (int i = 0; i < 120; i++) { /* where there is something: a checkpoint has much empty space */
        memcpy(bad, whole, n);
        size_t at = (size_t)test_uniform(0, (double)n);
        while (!bad[at]) at = (at + 1) % n;
        bad[at] = (unsigned char)(bad[at] ^ (1 << i % 8));
        tern_dataset_free(tern_h5_dataset_new(write_file("bad.h5", bad, n), "model/weight", "model/bias"));
        CHECK(tern_ok() || tern_error_code() == TERN_ERR_FORMAT, "%s", tern_error_message());
        tern_error_clear();
    }
}

/* ---- what no reader takes ---------------------------------------------------------------------------------------- */

/* The beginnings of what torch.save writes, now and before 1.6. */
TERN_TEST(io_readers, pickles) {
    static const char zip[] =
        "PK\3\4\0\0\10\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xa\0\x18\0a/data.pklFB\x14\0ZZZZZZZZ",
                      old[] =
                          "\x80\2\x8a\xal\xfc\x9c"
                          "F\xf9 j\xa8P\x19.\x80\2M\xe9\3",
                      script[] =
                          "PK\3\4\0\0\10\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x9\0\x18\0ts/data/0FB\x14\0ZZZZZZZZ",
                      other[] = "PK\3\4 something else, of some length", header[] = "\x80\2\0\0\0\0\0\0{\"a\":";
    static const struct {
        const char *text;
        size_t n;
        bool pickle;
    } files[] = {{zip, sizeof zip, true},
                 {old, sizeof old, true},
                 {script, sizeof script, true}, /* of torch.jit */
                 {other, sizeof other, false},
                 {header, sizeof header, false}}; /* of safetensors, 640 bytes long */
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        check_case("%zu", i);
        const char *path = write_file("a.pt", files[i].text, files[i].n);
        const char *want = files[i].pickle ? "safetensors.torch.save_file" : "a.pt";
        const tern_code code = files[i].pickle ? TERN_ERR_UNSUPPORTED : TERN_ERR_FORMAT;
        tern_module *m = tern_linear_new(2, 2, (tern_linear_opts){0});
        EXPECT_ERROR(tern_safetensors_load(path, (tern_safetensors_opts){0}), code, want);
        EXPECT_ERROR(tern_npy_load(path), code, want);
        EXPECT_ERROR(tern_npz_load(path), code, want);
        EXPECT_ERROR(tern_onnx_load(path), code, want);
        EXPECT_ERROR(tern_keras_load(path, m, (tern_keras_opts){0}), code, want);
        EXPECT_ERROR(tern_h5_dataset_new(path, "x", "y"), code, want);
        EXPECT_ERROR(tern_checkpoint_load(path, &(tern_checkpoint){.model = m}), code, want);
        tern_module_free(m);
    }
}
