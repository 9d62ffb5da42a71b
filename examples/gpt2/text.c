#include "text.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- text -------------------------------------------------------------------------------------------------------- */

typedef struct buffer {
    char *p;
    size_t n, cap;
} buffer;

static bool append_file(buffer *b, const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return tern_error_set(TERN_ERR_IO, "%s: %s", path, strerror(errno));
    for (;;) {
        if (b->n == b->cap) {
            const size_t cap = 2 * b->cap + (1 << 16);
            char *more = realloc(b->p, cap);
            if (!more) {
                fclose(f);
                return tern_error_set(TERN_ERR_MEMORY, "%s: no memory for it", path);
            }
            b->p = more;
            b->cap = cap;
        }
        const size_t got = fread(b->p + b->n, 1, b->cap - b->n, f);
        b->n += got;
        if (got == 0) break;
    }
    const bool ok = !ferror(f);
    fclose(f);
    return ok || tern_error_set(TERN_ERR_IO, "%s: cannot be read", path);
}

/* The headers stand beside the programs: BUILD/include/tern beside BUILD/examples, PREFIX/include/tern beside
 * PREFIX/examples or PREFIX/bin. */
static bool append_headers(buffer *b) {
    char self[4096], pattern[4200];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(self, '/');
        if (slash) *slash = 0;
    }
    snprintf(pattern, sizeof pattern, "%s/include/tern/*.h", self);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return tern_error_set(TERN_ERR_IO, "%s: no such files; --data FILE names a text to train on", pattern);
    bool ok = true;
    for (size_t i = 0; ok && i < found.gl_pathc; i++) ok = append_file(b, found.gl_pathv[i]);
    globfree(&found);
    return ok;
}

char *text_read(const char *path, size_t *bytes) {
    buffer b = {0};
    if (path ? append_file(&b, path) : append_headers(&b)) {
        *bytes = b.n;
        return b.p;
    }
    free(b.p);
    return NULL;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

bool corpus_new(corpus *c, const tern_tokenizer *k, const char *text, size_t bytes) {
    *c = (corpus){.bytes = (int64_t)bytes};
    c->ids = malloc((bytes + 1) * sizeof *c->ids); /* a token has at least one byte */
    if (!c->ids) return tern_error_set(TERN_ERR_MEMORY, "no memory for %zu tokens", bytes);
    c->n = tern_tokenizer_encode(k, text, bytes, (tern_encode_opts){.special = true}, c->ids, (int64_t)bytes);
    if (c->n < 0) return false;
    c->n_train = c->n - c->n / 10;
    const int64_t held = tern_tokenizer_decode(k, c->ids + c->n_train, c->n - c->n_train, NULL, 0);
    c->bytes_per_token = c->n > c->n_train ? (double)held / (double)(c->n - c->n_train) : 1;
    return held >= 0;
}

void corpus_free(corpus *c) {
    free(c->ids);
    *c = (corpus){0};
}

/* ids[from .. from + length] as row of x and, one further, of y. */
static void fill(const corpus *c, int64_t from, int64_t length, int64_t *x, int64_t *y) {
    for (int64_t j = 0; j < length; j++) {
        x[j] = c->ids[from + j];
        y[j] = c->ids[from + j + 1];
    }
}

static bool pieces(const corpus *c, const int64_t *from, int64_t batch, int64_t length, tern_device device,
                   tern_tensor **x, tern_tensor **y) {
    const tern_options i64 = {.dtype = TERN_I64};
    *x = tern_empty(TERN_SHAPE(batch, length), i64);
    *y = tern_empty(TERN_SHAPE(batch, length), i64);
    if (!*y) return false;
    int64_t *px = tern_data(*x), *py = tern_data(*y);
    for (int64_t i = 0; i < batch; i++) fill(c, from[i], length, px + i * length, py + i * length);
    *x = tern_to(*x, device);
    *y = tern_to(*y, device);
    return *y != NULL;
}

bool corpus_batch(const corpus *c, int64_t batch, int64_t length, tern_device device, tern_tensor **x,
                  tern_tensor **y) {
    if (c->n_train <= length)
        return tern_error_set(TERN_ERR_ARGUMENT, "the text has %lld tokens to train on; a context of %lld needs more",
                              (long long)c->n_train, (long long)length);
    tern_tensor *from = tern_randint(TERN_SHAPE(batch), 0, c->n_train - length, (tern_options){.dtype = TERN_I64});
    return from && pieces(c, tern_data(from), batch, length, device, x, y);
}

bool corpus_validation(const corpus *c, int64_t i, int64_t length, tern_device device, tern_tensor **x,
                       tern_tensor **y) {
    const int64_t from = c->n_train + i * length;
    return from + length < c->n && pieces(c, &from, 1, length, device, x, y);
}
