/* Event files: their frames and sums, checked here bit by bit; what stands in them, by TensorBoard's own reader in
 * tests/formats/run.py. */
#include <dirent.h>
#include <sys/stat.h>

#include "common.h"
#include "tern/tensorboard.h"

/* CRC-32C without a table. */
static uint32_t masked(const unsigned char *p, size_t n) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++)
        for (int b = 0; b < 8; b++) {
            const bool odd = (c ^ (uint32_t)p[i] >> b) & 1;
            c = c >> 1 ^ (odd ? 0x82f63b78u : 0);
        }
    c = ~c;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}
static uint64_t little(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* The only event file in folder. */
static size_t read_events(const char *folder, unsigned char *p, size_t size) {
    DIR *d = opendir(folder);
    char path[600] = "";
    int found = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "events.out.tfevents.", 20) == 0) {
            snprintf(path, sizeof path, "%.300s/%.290s", folder, e->d_name);
            found++;
        }
    if (d) closedir(d);
    CHECK(found == 1, "%d event files", found);
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(p, 1, size, f) : 0;
    if (f) fclose(f);
    return n;
}

/* Records with right sums; -1 if one is wrong. */
static int records(const unsigned char *p, size_t n) {
    int count = 0;
    for (size_t at = 0; at < n; count++) {
        if (n - at < 16) return -1;
        const uint64_t length = little(p + at, 8);
        if (little(p + at + 8, 4) != masked(p + at, 8) || length > n - at - 16 ||
            little(p + at + 12 + length, 4) != masked(p + at + 12, (size_t)length))
            return -1;
        at += 16 + (size_t)length;
    }
    return count;
}

static bool contains(const unsigned char *p, size_t n, const char *text) {
    return memmem(p, n, text, strlen(text)) != NULL;
}

TERN_TEST(io_tensorboard, frames_and_sums) {
    CHECK(masked((const unsigned char *)"123456789", 9) ==
          (uint32_t)((0xe3069283u >> 15 | 0xe3069283u << 17) + 0xa282ead8u));
    char folder[400];
    snprintf(folder, sizeof folder, "%s/deep/run", test_path("logs"));
    tern_tensorboard *w = tern_tensorboard_open(folder);
    REQUIRE(w != NULL);
    static unsigned char buf[1 << 20];
    size_t n = read_events(folder, buf, sizeof buf);
    CHECK(records(buf, n) == 1 && contains(buf, n, "brain.Event:2"));
    for (int i = 0; i < 100; i++) CHECK(tern_tensorboard_scalar(w, "loss/train", 1.0 / (i + 1), i));
    CHECK(tern_tensorboard_histogram(w, "weights", test_random(TERN_SHAPE(40, 50), -1, 1, TERN_F32), 3));
    CHECK(tern_tensorboard_histogram(w, "odd", test_values(TERN_F32, TERN_SHAPE(3), (double)NAN, (double)INFINITY, 2),
                                     3));
    CHECK(tern_tensorboard_histogram(w, "none", tern_zeros(TERN_SHAPE(0), (tern_options){0}), 3));
    CHECK(tern_tensorboard_image(w, "digit", test_random(TERN_SHAPE(3, 8, 8), 0, 1, TERN_F32), 3));
    CHECK(tern_tensorboard_text(w, "notes", "a *note*", 3));
    const tern_hparam params[] = {{"lr", 0.1, NULL}, {"model", 0, "cnn"}};
    CHECK(tern_tensorboard_hparams(w, params, 2, (const char *const[]){"loss/train"}, 1));
    CHECK(read_events(folder, buf, sizeof buf) == n);
    CHECK(tern_tensorboard_flush(w));
    n = read_events(folder, buf, sizeof buf);
    CHECK(records(buf, n) == 109 && contains(buf, n, "loss/train") && contains(buf, n, "notes/text_summary"));
    CHECK(tern_tensorboard_close(w));
    CHECK_OK();
    w = tern_tensorboard_open(folder); /* a second file beside the first */
    REQUIRE(w != NULL);
    CHECK(tern_tensorboard_close(w) && tern_tensorboard_close(NULL));
}

TERN_TEST(io_tensorboard, what_goes_wrong) {
    EXPECT_ERROR(tern_tensorboard_open("/proc/none/x"), TERN_ERR_IO, "/proc/none");
    EXPECT_ERROR(tern_tensorboard_open(""), TERN_ERR_IO, "no usable path");
    tern_tensorboard *w = tern_tensorboard_open(test_path("logs"));
    REQUIRE(w != NULL);
    EXPECT_ERROR(tern_tensorboard_scalar(w, NULL, 1, 1), TERN_ERR_ARGUMENT, "tag");
    EXPECT_ERROR(tern_tensorboard_image(w, "x", tern_zeros(TERN_SHAPE(9, 2, 2), (tern_options){0}), 1), TERN_ERR_SHAPE,
                 "[9, 2, 2]");
    EXPECT_ERROR(tern_tensorboard_hparams(w, &(tern_hparam){NULL, 1, NULL}, 1, NULL, 0), TERN_ERR_ARGUMENT, "name");
    for (int64_t k = 1;; k++) { /* without memory nothing half is written */
        tern_memory_fail_at(k);
        const bool ok = tern_tensorboard_text(w, "t", "some text", 1) && tern_tensorboard_flush(w);
        const bool reached = tern_memory_requests() >= k;
        tern_memory_fail_at(0);
        tern_error_clear();
        if (!reached) {
            CHECK(ok);
            break;
        }
    }
    CHECK(tern_tensorboard_close(w));
    static unsigned char buf[1 << 16];
    const size_t n = read_events(test_path("logs"), buf, sizeof buf);
    CHECK(records(buf, n) >= 2);
}
