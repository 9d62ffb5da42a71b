/* PNG through libpng's simplified interface, JPEG through TurboJPEG: neither needs longjmp, both bound what they write.
 */
#include "tern/picture.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <turbojpeg.h>

#include "internal.h"
#include "picture_internal.h"
#include "replace.h"

enum { MOST_PIXELS = 178956970 }; /* Pillow's limit */

/* ---- channels ---------------------------------------------------------------------------------------------------- */

/* From pixels of `from` channels, one behind the other, to planes of `to` channels. */
static void spread(const uint8_t *in, int64_t pixels, int from, uint8_t *out, int to) {
    const bool colour = from >= 3, alpha = from == 2 || from == 4;
    for (int64_t i = 0; i < pixels; i++, in += from) {
        const uint8_t a = alpha ? in[from - 1] : 255;
        if (to <= 2) {
            out[i] = colour ? (uint8_t)((in[0] * 19595u + in[1] * 38470u + in[2] * 7471u + 0x8000u) >> 16) : in[0];
            if (to == 2) out[pixels + i] = a;
        } else {
            for (int c = 0; c < 3; c++) out[c * pixels + i] = in[colour ? c : 0];
            if (to == 4) out[3 * pixels + i] = a;
        }
    }
}

static bool size_fits(const char *name, int64_t w, int64_t h, tern_picture_opts o) {
    const int64_t most = o.max_pixels ? o.max_pixels : MOST_PIXELS;
    if (w < 1 || h < 1 || h > most / w)
        return terni_fail(TERN_ERR_FORMAT, "picture: %s says that it is %lld x %lld pixels; expected %lld at most",
                          name, (long long)w, (long long)h, (long long)most);
    return true;
}

/* A PNG's rows have a bit or more for each pixel and a byte more, and deflate packs 1032 bytes into one at best. */
static bool png_holds(const char *name, int64_t w, int64_t h, size_t bytes) {
    return h <= ((int64_t)bytes + 64) * 1032 / (w / 8 + 1) ||
           terni_fail(TERN_ERR_FORMAT,
                      "picture: %s says that it is %lld x %lld pixels, which is more than a file of its %zu bytes can "
                      "hold: it is cut off or damaged",
                      name, (long long)w, (long long)h, bytes);
}

static tern_tensor *planes(const uint8_t *pixels, int64_t w, int64_t h, int from, int to) {
    tern_tensor *t = tern_empty(TERN_SHAPE(to ? to : from, h, w), (tern_options){.dtype = TERN_U8});
    if (t) spread(pixels, w * h, from, tern_data(t), to ? to : from);
    return t;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static tern_tensor *read_png(const char *name, const void *data, size_t bytes, tern_picture_opts o) {
    png_image p = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&p, data, bytes))
        return terni_null(TERN_ERR_FORMAT, "picture: %s: %s", name, p.message);
    tern_tensor *t = NULL;
    const bool colour = p.format & PNG_FORMAT_FLAG_COLOR, alpha = p.format & PNG_FORMAT_FLAG_ALPHA;
    const int channels = (colour ? 3 : 1) + alpha;
    p.format = (colour ? PNG_FORMAT_FLAG_COLOR : 0u) | (alpha ? PNG_FORMAT_FLAG_ALPHA : 0u);
    p.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    if (size_fits(name, p.width, p.height, o) && png_holds(name, p.width, p.height, bytes)) {
        uint8_t *pixels = terni_malloc((size_t)p.width * p.height * (size_t)channels);
        if (pixels && !png_image_finish_read(&p, NULL, pixels, 0, NULL))
            terni_fail(TERN_ERR_FORMAT, "picture: %s: %s", name, p.message);
        else if (pixels)
            t = planes(pixels, p.width, p.height, channels, o.channels);
        terni_mfree(pixels);
    }
    png_image_free(&p);
    return t;
}

static tern_tensor *read_jpeg(const char *name, const void *data, size_t bytes, tern_picture_opts o) {
    tjhandle j = tjInitDecompress();
    if (!j) return terni_null(TERN_ERR_MEMORY, "picture: no memory for JPEG");
    int w, h, sampling, space;
    tern_tensor *t = NULL;
    if (tjDecompressHeader3(j, data, (unsigned long)bytes, &w, &h, &sampling, &space) != 0) {
        terni_fail(TERN_ERR_FORMAT, "picture: %s: %s", name, tjGetErrorStr2(j));
    } else if (size_fits(name, w, h, o)) {
        const bool grey = space == TJCS_GRAY;
        const int channels = grey ? 1 : 3;
        uint8_t *pixels = terni_malloc((size_t)w * (size_t)h * (size_t)channels);
        /* A warning (a file that is cut off, say) is an error too: nobody trains on half a picture unawares. */
        if (pixels && (space == TJCS_CMYK || space == TJCS_YCCK))
            terni_fail(TERN_ERR_UNSUPPORTED, "picture: %s is a CMYK JPEG", name);
        else if (pixels && tjDecompress2(j, data, (unsigned long)bytes, pixels, w, 0, h, grey ? TJPF_GRAY : TJPF_RGB,
                                         TJFLAG_STOPONWARNING) != 0)
            terni_fail(TERN_ERR_FORMAT, "picture: %s: %s", name, tjGetErrorStr2(j));
        else if (pixels)
            t = planes(pixels, w, h, channels, o.channels);
        terni_mfree(pixels);
    }
    tjDestroy(j);
    return t;
}

static tern_tensor *decode(const char *name, const void *data, size_t bytes, tern_picture_opts o) {
    static const unsigned char png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (o.channels < 0 || o.channels > 4 || o.max_pixels < 0)
        return terni_null(TERN_ERR_ARGUMENT,
                          "picture: %d channels, %lld pixels at most; expected 0 to 4, and not below 0", o.channels,
                          (long long)o.max_pixels);
    if (bytes >= sizeof png && memcmp(data, png, sizeof png) == 0) return read_png(name, data, bytes, o);
    if (bytes >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0) return read_jpeg(name, data, bytes, o);
    return terni_null(TERN_ERR_FORMAT, "picture: %s is neither PNG nor JPEG", name);
}

tern_tensor *tern_picture_decode(const char *name, const void *data, size_t bytes, tern_picture_opts opts) {
    if (!terni_given(name, "picture", "name") || !terni_given(data, "picture", "data")) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *t = tern_keep(decode(name, data, bytes, opts));
    tern_scope_pop(scope);
    return t;
}

tern_tensor *tern_picture_load(const char *path, tern_picture_opts opts) {
    if (!terni_given(path, "picture", "path")) return NULL;
    void *data;
    size_t bytes;
    if (!terni_file_read("picture", path, (size_t)1 << 32, &data, &bytes)) return NULL;
    tern_tensor *t = tern_picture_decode(path, data, bytes, opts);
    terni_mfree(data);
    return t;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static uint8_t level(float v) { return v > 0 ? (uint8_t)(v < 1 ? lrintf(v * 255) : 255) : 0; }

/* t's pixels, one behind the other, for terni_mfree. */
static uint8_t *pixels_of(tern_tensor *t, int *w, int *h, int *channels) {
    const int n = tern_ndim(t);
    const tern_dtype d = tern_dtype_of(t);
    char text[120];
    if ((n != 2 && n != 3) || tern_numel(t) == 0 || (n == 3 && tern_size(t, 0) > 4) || tern_size(t, -1) > 1 << 20 ||
        tern_size(t, -2) > 1 << 20)
        return terni_null(TERN_ERR_SHAPE, "picture: shape %s; expected [C, H, W] or [H, W], C 1 to 4",
                          tern_shape_text(tern_shape_get(t), text, sizeof text));
    if (d != TERN_U8 && !tern_dtype_is_float(d))
        return terni_null(TERN_ERR_DTYPE, "picture: dtype %s; expected u8 or floats", tern_dtype_name(d));
    *channels = n == 3 ? (int)tern_size(t, 0) : 1;
    *h = (int)tern_size(t, -2);
    *w = (int)tern_size(t, -1);
    tern_tensor *flat = tern_contiguous(tern_cast(tern_to(t, tern_cpu()), d == TERN_U8 ? TERN_U8 : TERN_F32));
    uint8_t *out = flat ? terni_malloc((size_t)tern_numel(t)) : NULL;
    if (!out) return NULL;
    const size_t plane = (size_t)*h * (size_t)*w, c = (size_t)*channels;
    const uint8_t *bytes = tern_data(flat);
    const float *floats = tern_data(flat);
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < plane; i++)
            out[i * c + k] = d == TERN_U8 ? bytes[k * plane + i] : level(floats[k * plane + i]);
    return out;
}

static void *encode_png(const uint8_t *pixels, int w, int h, int channels, size_t *bytes) {
    png_image p = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)w, .height = (png_uint_32)h};
    p.format = (channels >= 3 ? PNG_FORMAT_FLAG_COLOR : 0u) | (channels % 2 == 0 ? PNG_FORMAT_FLAG_ALPHA : 0u);
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(p);
    void *out = terni_malloc(size);
    if (out && !png_image_write_to_memory(&p, out, &size, 0, pixels, 0, NULL)) {
        terni_fail(TERN_ERR_MEMORY, "picture: %s", p.message);
        terni_mfree(out);
        out = NULL;
    }
    png_image_free(&p);
    *bytes = size;
    return out;
}

static void *encode_jpeg(const uint8_t *pixels, int w, int h, int channels, size_t *bytes) {
    if (channels == 2 || channels == 4)
        return terni_null(TERN_ERR_SHAPE, "picture: %d channels; a JPEG has 1 or 3", channels);
    if (w > 65500 || h > 65500)
        return terni_null(TERN_ERR_SHAPE, "picture: %d x %d pixels; a JPEG has 65500 at most each way", w, h);
    const int sampling = channels == 1 ? TJSAMP_GRAY : TJSAMP_420;
    unsigned long size = tjBufSize(w, h, sampling);
    tjhandle j = tjInitCompress();
    unsigned char *out = j ? terni_malloc(size) : NULL;
    if (out && tjCompress2(j, pixels, w, 0, h, channels == 1 ? TJPF_GRAY : TJPF_RGB, &out, &size, sampling, 95,
                           TJFLAG_NOREALLOC) != 0) {
        terni_fail(TERN_ERR_MEMORY, "picture: %s", tjGetErrorStr2(j));
        terni_mfree(out);
        out = NULL;
    }
    if (j) tjDestroy(j);
    if (!out && tern_ok()) terni_fail(TERN_ERR_MEMORY, "picture: no memory for JPEG");
    *bytes = size;
    return out;
}

/* t as a file's bytes, for terni_mfree. */
static void *encode(tern_tensor *t, bool jpeg, size_t *bytes, int *w, int *h) {
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    int channels;
    uint8_t *pixels = pixels_of(t, w, h, &channels);
    void *out = !pixels ? NULL
                : jpeg  ? encode_jpeg(pixels, *w, *h, channels, bytes)
                        : encode_png(pixels, *w, *h, channels, bytes);
    terni_mfree(pixels);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return out;
}

void *terni_picture_png(tern_tensor *t, size_t *bytes, int *w, int *h) { return encode(t, false, bytes, w, h); }

bool tern_picture_save(const char *path, tern_tensor *t) {
    if (!terni_given(path, "picture", "path") || !terni_given(t, "picture", "tensor")) return false;
    const char *dot = strrchr(path, '.');
    const bool jpeg = dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
    if (!jpeg && !(dot && strcasecmp(dot, ".png") == 0))
        return terni_fail(TERN_ERR_ARGUMENT, "picture: %s does not end in .png, .jpg or .jpeg", path);
    size_t bytes;
    int w, h;
    void *data = encode(t, jpeg, &bytes, &w, &h);
    if (!data) return false;
    terni_replace r;
    bool ok = terni_replace_begin(&r, "picture", path);
    if (ok) ok = terni_replace_end(&r, terni_replace_write(&r, data, bytes));
    terni_mfree(data);
    return ok;
}

/* ---- many in one ------------------------------------------------------------------------------------------------- */

tern_tensor *tern_picture_grid(tern_tensor *t, int columns, int pad) {
    if (!terni_given(t, "picture_grid", "t")) return NULL;
    char text[120];
    if (tern_ndim(t) != 4 || tern_numel(t) == 0)
        return terni_null(TERN_ERR_SHAPE, "picture_grid: shape %s; expected [N, C, H, W]",
                          tern_shape_text(tern_shape_get(t), text, sizeof text));
    const int64_t n = tern_size(t, 0), c = tern_size(t, 1), h = tern_size(t, 2), w = tern_size(t, 3);
    if (columns < 0 || pad < 0 || pad > 1 << 16)
        return terni_null(TERN_ERR_ARGUMENT, "picture_grid: %d columns, %d pixels between; expected 0 or more", columns,
                          pad);
    const int64_t wide = columns ? (columns < n ? columns : n) : (int64_t)ceil(sqrt((double)n));
    const int64_t high = (n + wide - 1) / wide;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_tensor *here = tern_to(t, tern_cpu());
    tern_tensor *out = tern_zeros(TERN_SHAPE(c, high * (h + pad) + pad, wide * (w + pad) + pad),
                                  (tern_options){.dtype = tern_dtype_of(t)});
    for (int64_t i = 0; i < n && out; i++) {
        const int inner = tern_scope_push();
        tern_tensor *place =
            tern_narrow(tern_narrow(out, 1, i / wide * (h + pad) + pad, h), 2, i % wide * (w + pad) + pad, w);
        const bool ok = tern_copy_(place, tern_select(here, 0, i)) != NULL;
        tern_scope_pop(inner);
        if (!ok) out = NULL;
    }
    tern_grad_mode(was);
    return tern_scope_return(scope, out);
}
