#include "images.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 << 20, PIXELS_MAX = 1 << 16 };

static tern_tensor *bad(tern_code code, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tern_error_set(code, "%s", text);
    return NULL;
}

/* The pixels, from 0 to 1, as the network sees them. */
static tern_tensor *normalised(const example *e, float *pixel, int64_t n) {
    for (int64_t i = 0; i < n * e->height * e->width; i++) pixel[i] = (pixel[i] - (float)e->mean) / (float)e->std;
    return tern_from(pixel, TERN_SHAPE(n, 1, e->height, e->width), (tern_options){0});
}

/* ---- PGM: netpbm's grey images, http://netpbm.sourceforge.net/doc/pgm.html ---- */

typedef struct text_file {
    const char *path;
    const unsigned char *data;
    size_t size, at;
} text_file;

/* The next number of a PGM header or of a P2 body; comments run from # to the line's end. -1 if there is none. */
static long pgm_number(text_file *f) {
    while (f->at < f->size && (strchr(" \t\r\n\v\f", f->data[f->at]) || f->data[f->at] == '#')) {
        if (f->data[f->at] == '#') {
            while (f->at < f->size && f->data[f->at] != '\n') f->at++;
        } else {
            f->at++;
        }
    }
    long v = -1;
    for (; f->at < f->size && f->data[f->at] >= '0' && f->data[f->at] <= '9' && v < 1000000; f->at++) {
        v = 10 * (v < 0 ? 0 : v) + (f->data[f->at] - '0');
    }
    return v;
}

static tern_tensor *pgm_pixels(const example *e, text_file *f, long maximum, bool binary) {
    static float pixel[PIXELS_MAX];
    const size_t n = (size_t)(e->height * e->width), bytes = maximum > 255 ? 2 : 1;
    if (binary && f->size - f->at != n * bytes) {
        return bad(TERN_ERR_FORMAT, "%s: %zu bytes of pixels; expected %zu", f->path, f->size - f->at, n * bytes);
    }
    for (size_t i = 0; i < n; i++) {
        const unsigned char *p = f->data + f->at + i * bytes;
        const long v = !binary ? pgm_number(f) : bytes == 1 ? p[0] : 256 * p[0] + p[1];
        if (v < 0 || v > maximum) {
            return bad(TERN_ERR_FORMAT, "%s: pixel %zu is %s; expected a number from 0 to %ld", f->path, i,
                       v < 0 ? "missing" : "too bright", maximum);
        }
        pixel[i] = (float)((double)v / (double)maximum);
    }
    return normalised(e, pixel, 1);
}

static tern_tensor *pgm_read(const example *e, text_file *f) {
    const bool binary = f->data[1] == '5';
    f->at = 2;
    const long width = pgm_number(f), height = pgm_number(f), maximum = pgm_number(f);
    if (width < 0 || height < 0 || maximum < 1 || maximum > 65535 || f->at >= f->size) {
        return bad(TERN_ERR_FORMAT,
                   "%s: the PGM header is damaged; expected P%c, width, height and a maximum up to 65535", f->path,
                   f->data[1]);
    }
    if (width != e->width || height != e->height) {
        return bad(TERN_ERR_SHAPE, "%s: an image of %ld x %ld pixels; expected %" PRId64 " x %" PRId64, f->path, width,
                   height, e->width, e->height);
    }
    f->at++; /* one blank ends the header */
    return pgm_pixels(e, f, maximum, binary);
}

/* ---- IDX: the format of MNIST ---- */

static tern_tensor *idx_read(const example *e, const char *path) {
    char shape[128];
    tern_tensor *t = tern_give(tern_idx_load(path));
    if (!t) return NULL;
    if (tern_dtype_of(t) != TERN_U8 || tern_ndim(t) != 3 || tern_size(t, 0) < 1 || tern_size(t, 1) != e->height ||
        tern_size(t, 2) != e->width) {
        return bad(TERN_ERR_SHAPE, "%s: holds %s %s; expected images, u8 [N, %" PRId64 ", %" PRId64 "] with N >= 1",
                   path, tern_dtype_name(tern_dtype_of(t)), tern_shape_text(tern_shape_get(t), shape, sizeof shape),
                   e->height, e->width);
    }
    const double brightest = tern_item(tern_max(t, NULL, 0, false));
    if (brightest > e->pixel_max) {
        return bad(TERN_ERR_FORMAT, "%s: a pixel of %g; expected 0 to %d", path, brightest, e->pixel_max);
    }
    tern_tensor *p = tern_div_scalar(tern_cast(t, TERN_F32), e->pixel_max);
    return tern_unsqueeze(tern_div_scalar(tern_sub_scalar(p, e->mean), e->std), 1);
}

/* ---- CSV: an image a line ---- */

/* The numbers of one line into v, at most max of them; returns how many, or -1 after an error. */
static int csv_line(const example *e, const char *path, int64_t line, char *text, double *v, int max) {
    int n = 0;
    for (char *at = text; n < max; at++) {
        char *end;
        v[n] = strtod(at, &end);
        while (*end == ' ' || *end == '\t' || *end == '\r') end++;
        if (end == at || (*end && *end != ',') || !(v[n] >= 0 && v[n] <= e->pixel_max)) {
            bad(TERN_ERR_FORMAT, "%s, line %" PRId64 ", number %d: \"%.*s\"; expected a pixel from 0 to %d", path, line,
                n + 1, (int)strcspn(at, ",\r\n") > 40 ? 40 : (int)strcspn(at, ",\r\n"), at, e->pixel_max);
            return -1;
        }
        n++;
        if (!*end) return n;
        at = end;
    }
    return n;
}

typedef struct csv {
    float *pixel;
    int64_t *label;
    int64_t n;
    int labelled; /* -1: not known yet */
} csv;

static bool csv_add(const example *e, const char *path, int64_t line, char *text, csv *out) {
    enum { NUMBERS_MAX = 1026 };
    double v[NUMBERS_MAX];
    const int pixels = (int)(e->height * e->width);
    const int n = csv_line(e, path, line, text, v, pixels + 2);
    if (n < 0) return false;
    if (n != pixels && n != pixels + 1) {
        bad(TERN_ERR_FORMAT, "%s, line %" PRId64 ": %s%d numbers; expected %d pixels, and a label if you like", path,
            line, n > pixels ? "more than " : "", n > pixels ? n - 1 : n, pixels);
        return false;
    }
    if (out->labelled >= 0 && out->labelled != n - pixels) {
        bad(TERN_ERR_FORMAT, "%s, line %" PRId64 ": %s label; expected it as in the lines before", path, line,
            n > pixels ? "a" : "no");
        return false;
    }
    out->labelled = n - pixels;
    if (out->labelled && (v[pixels] > 9 || floor(v[pixels]) < v[pixels])) {
        bad(TERN_ERR_FORMAT, "%s, line %" PRId64 ": the label is %g; expected a whole number from 0 to 9", path, line,
            v[pixels]);
        return false;
    }
    for (int i = 0; i < pixels; i++) out->pixel[out->n * pixels + i] = (float)(v[i] / e->pixel_max);
    if (out->labelled) out->label[out->n] = (int64_t)v[pixels];
    out->n++;
    return true;
}

static tern_tensor *csv_read(const example *e, const char *path, char *text, tern_tensor **labels) {
    const size_t pixels = (size_t)(e->height * e->width);
    const size_t most = strlen(text) / (2 * pixels - 1) + 1; /* a digit a pixel, and commas */
    csv all = {.labelled = -1};
    all.pixel = malloc(most * pixels * sizeof *all.pixel);
    all.label = malloc(most * sizeof *all.label);
    bool fine = all.pixel && all.label;
    if (!fine) bad(TERN_ERR_MEMORY, "%s: no memory for %zu images", path, most);
    int64_t line = 0;
    for (char *next, *at = text; fine && at; at = next) {
        next = strchr(at, '\n');
        if (next) *next++ = '\0';
        line++;
        if (at[strspn(at, " \t\r")]) fine = csv_add(e, path, line, at, &all);
    }
    if (fine && all.n == 0)
        bad(TERN_ERR_FORMAT, "%s: no images; expected a PGM, IDX or CSV file of at least one", path);
    tern_tensor *x = fine && all.n ? normalised(e, all.pixel, all.n) : NULL;
    if (x && all.labelled) *labels = tern_from(all.label, TERN_SHAPE(all.n), (tern_options){.dtype = TERN_I64});
    free(all.pixel);
    free(all.label);
    return x;
}

/* ---- any of them ---- */

/* All of a file with a zero after it; NULL after an error. */
static char *file_read(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    char *data = f ? malloc((size_t)FILE_MAX + 1) : NULL;
    *size = data ? fread(data, 1, (size_t)FILE_MAX + 1, f) : 0;
    if (!f || !data || ferror(f)) {
        bad(TERN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    } else if (*size > FILE_MAX) {
        bad(TERN_ERR_FORMAT, "%s: more than %d MiB; expected a PGM, IDX or CSV file of images", path, FILE_MAX >> 20);
    } else {
        fclose(f);
        data[*size] = '\0';
        return data;
    }
    if (f) fclose(f);
    free(data);
    return NULL;
}

tern_tensor *images_read(const example *e, const char *path, tern_tensor **labels) {
    size_t size;
    char *data = file_read(path, &size);
    *labels = NULL;
    if (!data) return NULL;
    const bool gzip = size >= 2 && memcmp(data, "\x1f\x8b", 2) == 0;
    const bool idx = size >= 4 && memcmp(data, "\0\0", 2) == 0;
    const bool pgm = size >= 3 && data[0] == 'P' && (data[1] == '5' || data[1] == '2');
    const bool text = e->pixel_max != 255 && !memchr(data, '\0', size);
    tern_tensor *x = NULL;
    if (size == 0) {
        bad(TERN_ERR_FORMAT, "%s: the file is empty; expected images", path);
    } else if (gzip || idx) {
        x = idx_read(e, path);
    } else if (pgm) {
        x = pgm_read(e, &(text_file){.path = path, .data = (unsigned char *)data, .size = size});
    } else if (text) {
        x = csv_read(e, path, data, labels);
    } else {
        bad(TERN_ERR_FORMAT, "%s: neither a PGM file (P5 or P2) nor an IDX file, plain or gzip", path);
    }
    free(data);
    return x;
}
