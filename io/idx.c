/* IDX files, plain or gzip. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "internal.h"

typedef struct file {
    gzFile z;
    const char *path;
    int64_t at;   /* of the unpacked bytes */
    int64_t most; /* how many there can be: the file's size, or 1032 times that, as deflate packs no more */
    bool plain;
} file;

static bool open_file(file *f, const char *path) {
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe must not block */
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int e = errno;
        if (fd >= 0) close(fd);
        return terni_fail(TERN_ERR_IO, "idx: %s: %s", path, strerror(e));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return terni_fail(TERN_ERR_IO, "idx: %s is not a file", path);
    }
    f->path = path;
    f->at = 0;
    f->most = st.st_size > INT64_MAX / 2048 ? INT64_MAX : (int64_t)st.st_size * 1032 + 1024;
    f->z = gzdopen(fd, "rb");
    if (!f->z) {
        close(fd);
        return terni_fail(TERN_ERR_MEMORY, "idx: %s: no memory to read it", path);
    }
    gzbuffer(f->z, 1 << 17);
    f->plain = gzdirect(f->z) != 0;
    if (f->plain) f->most = (int64_t)st.st_size;
    return true;
}

static bool read_bytes(file *f, void *p, int64_t n, const char *what) {
    char *at = p;
    const int64_t want = n, from = f->at;
    while (n > 0) {
        const unsigned part = n > (1 << 30) ? 1u << 30 : (unsigned)n;
        const int got = gzread(f->z, at, part);
        if (got <= 0) {
            int code = Z_OK;
            const char *why = gzerror(f->z, &code);
            if (code == Z_ERRNO) return terni_fail(TERN_ERR_IO, "idx: %s: %s", f->path, strerror(errno));
            if (code != Z_OK && code != Z_BUF_ERROR)
                return terni_fail(TERN_ERR_FORMAT, "idx: %s: damaged gzip data at byte %lld of the unpacked file (%s)",
                                  f->path, (long long)f->at, why);
            return terni_fail(TERN_ERR_FORMAT,
                              "idx: %s ends at byte %lld, inside %s: expected %lld bytes from byte %lld on", f->path,
                              (long long)f->at, what, (long long)want, (long long)from);
        }
        f->at += got;
        at += got;
        n -= got;
    }
    return true;
}

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

typedef struct header {
    int type;
    size_t size; /* of an element in the file */
    tern_dtype dtype;
    tern_shape shape;
    int64_t numel;
} header;

static bool read_header(file *f, header *h) {
    static const struct {
        int type;
        size_t size;
        tern_dtype dtype;
    } types[] = {{0x08, 1, TERN_U8},  {0x09, 1, TERN_I32}, {0x0B, 2, TERN_I32},
                 {0x0C, 4, TERN_I32}, {0x0D, 4, TERN_F32}, {0x0E, 8, TERN_F64}};
    unsigned char b[4];
    if (!read_bytes(f, b, 4, "the magic number")) return false;
    h->size = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == b[2]) {
            h->type = types[i].type;
            h->size = types[i].size;
            h->dtype = types[i].dtype;
        }
    if (b[0] || b[1] || h->size == 0)
        return terni_fail(TERN_ERR_FORMAT,
                          "idx: %s is no IDX file: it starts with %02x %02x %02x %02x; expected 00 00 TYPE NDIM",
                          f->path, b[0], b[1], b[2], b[3]);
    if (b[3] < 1 || b[3] > TERN_MAX_DIMS)
        return terni_fail(TERN_ERR_FORMAT, "idx: %s says %d dimensions at byte 3; expected 1 to %d", f->path, b[3],
                          TERN_MAX_DIMS);
    h->shape.ndim = b[3];
    h->numel = 1;
    for (int i = 0; i < h->shape.ndim; i++) {
        if (!read_bytes(f, b, 4, "the sizes")) return false;
        h->shape.dim[i] = big_endian(b);
        if (__builtin_mul_overflow(h->numel, h->shape.dim[i], &h->numel)) h->numel = INT64_MAX;
    }
    if (h->numel > f->most / (int64_t)h->size) {
        char text[120];
        return terni_fail(TERN_ERR_FORMAT,
                          "idx: %s says at byte 4 that its shape is %s (%s), which is more than a %s of its size can "
                          "hold: it is cut off or damaged",
                          f->path, tern_shape_text(h->shape, text, sizeof text), tern_dtype_name(h->dtype),
                          f->plain ? "plain file" : "gzip file");
    }
    return true;
}

/* From the file's big-endian elements, `raw`, to the tensor's. */
static void convert(const header *h, const unsigned char *raw, void *out) {
    for (int64_t i = 0; i < h->numel; i++) {
        const unsigned char *p = raw + (size_t)i * h->size;
        switch (h->type) {
            case 0x09:
                ((int32_t *)out)[i] = (int8_t)p[0];
                break;
            case 0x0B:
                ((int32_t *)out)[i] = (int16_t)(uint16_t)(p[0] << 8 | p[1]);
                break;
            case 0x0E: {
                const uint64_t v = (uint64_t)big_endian(p) << 32 | big_endian(p + 4);
                memcpy((uint64_t *)out + i, &v, sizeof v);
                break;
            }
            default: {
                const uint32_t v = big_endian(p);
                memcpy((uint32_t *)out + i, &v, sizeof v);
                break;
            }
        }
    }
}

static bool read_data(file *f, const header *h, tern_tensor *t) {
    const int64_t bytes = h->numel * (int64_t)h->size;
    if (h->type == 0x08) {
        if (!read_bytes(f, tern_data(t), bytes, "the data")) return false;
    } else {
        unsigned char *raw = terni_malloc((size_t)bytes + 1);
        const bool ok = raw && read_bytes(f, raw, bytes, "the data");
        if (ok) convert(h, raw, tern_data(t));
        terni_mfree(raw);
        if (!ok) return false;
    }
    char more;
    const int got = gzread(f->z, &more, 1); /* also lets zlib check the sum at the end */
    int code = Z_OK;
    (void)gzerror(f->z, &code);
    if (got > 0)
        return terni_fail(TERN_ERR_FORMAT, "idx: %s goes on after byte %lld, where its data should end", f->path,
                          (long long)f->at);
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END))
        return terni_fail(TERN_ERR_FORMAT, "idx: %s: damaged gzip data at its end", f->path);
    return true;
}

tern_tensor *tern_idx_load(const char *path) {
    if (!terni_given(path, "idx", "path")) return NULL;
    file f;
    if (!open_file(&f, path)) return NULL;
    const int scope = tern_scope_push();
    header h = {0};
    tern_tensor *t = NULL;
    if (read_header(&f, &h)) t = tern_empty(h.shape, (tern_options){.dtype = h.dtype});
    if (t && read_data(&f, &h, t))
        tern_keep(t);
    else
        t = NULL;
    const int closed = gzclose_r(f.z);
    if (t && closed != Z_OK) {
        terni_fail(TERN_ERR_FORMAT, "idx: %s: the gzip data is cut off", path);
        tern_release(t);
        t = NULL;
    }
    tern_scope_pop(scope);
    return t;
}

/* ---- images and labels as a dataset
 * ------------------------------------------------------------------------------------------ */

typedef struct images {
    tern_dataset d;
    tern_tensor *x, *y; /* u8, kept */
    int64_t pixels;
    float scale, shift;
} images;

static bool images_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const images *s = (images *)d;
    const uint8_t *restrict in = (const uint8_t *)tern_data(s->x) + i * s->pixels;
    float *restrict out = x;
    const float scale = s->scale, shift = s->shift;
    for (int64_t k = 0; k < s->pixels; k++) out[k] = (float)in[k] * scale + shift;
    *(int64_t *)y = ((const uint8_t *)tern_data(s->y))[i];
    return true;
}

static void images_drop(tern_dataset *d) {
    images *s = (images *)d;
    tern_release(s->x);
    tern_release(s->y);
    terni_free(s, sizeof *s);
}

static const char *const number_names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

static bool check(const images *s, const char *x, const char *y, int classes) {
    char text[120];
    if (tern_ndim(s->x) != 3 || tern_dtype_of(s->x) != TERN_U8)
        return terni_fail(TERN_ERR_FORMAT, "idx: %s holds %s %s; expected images, [count, height, width] u8", x,
                          tern_shape_text(tern_shape_get(s->x), text, sizeof text),
                          tern_dtype_name(tern_dtype_of(s->x)));
    if (tern_ndim(s->y) != 1 || tern_dtype_of(s->y) != TERN_U8)
        return terni_fail(TERN_ERR_FORMAT, "idx: %s holds %s %s; expected labels, [count] u8", y,
                          tern_shape_text(tern_shape_get(s->y), text, sizeof text),
                          tern_dtype_name(tern_dtype_of(s->y)));
    if (tern_numel(s->x) == 0) return terni_fail(TERN_ERR_FORMAT, "idx: %s holds no images", x);
    if (tern_size(s->x, 0) != tern_size(s->y, 0))
        return terni_fail(TERN_ERR_FORMAT, "idx: %s holds %lld images, but %s %lld labels", x,
                          (long long)tern_size(s->x, 0), y, (long long)tern_size(s->y, 0));
    const uint8_t *label = tern_data(s->y);
    for (int64_t i = 0; i < tern_size(s->y, 0); i++)
        if (label[i] >= classes)
            return terni_fail(TERN_ERR_FORMAT, "idx: %s: label %d of sample %lld is outside [0, %d)", y, label[i],
                              (long long)i, classes);
    return true;
}

tern_dataset *tern_idx_dataset_new(const char *images_path, const char *labels_path, tern_idx_opts opts) {
    if (!terni_given(images_path, "idx", "images") || !terni_given(labels_path, "idx", "labels")) return NULL;
    const double std = opts.std == 0 ? 1 : opts.std;
    const int classes = opts.classes == 0 ? 10 : opts.classes;
    if (!(std > 0) || classes < 1 || classes > 256)
        return terni_null(TERN_ERR_ARGUMENT, "idx: std %g, %d classes; expected more than 0, and 1 to 256", std,
                          classes);
    images *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    s->d.drop = images_drop;
    s->x = tern_idx_load(images_path);
    s->y = s->x ? tern_idx_load(labels_path) : NULL;
    if (!s->y || !check(s, images_path, labels_path, classes)) {
        images_drop(&s->d);
        return NULL;
    }
    s->pixels = tern_size(s->x, 1) * tern_size(s->x, 2);
    s->scale = (float)(1 / (255 * std));
    s->shift = (float)(-opts.mean / std);
    s->d = (tern_dataset){.length = tern_size(s->x, 0),
                          .x_shape = TERN_SHAPE(1, tern_size(s->x, 1), tern_size(s->x, 2)),
                          .x_dtype = TERN_F32,
                          .y_dtype = TERN_I64,
                          .get = images_get,
                          .drop = images_drop,
                          .classes = classes,
                          .class_names = classes <= 10 ? number_names : NULL};
    return &s->d;
}
