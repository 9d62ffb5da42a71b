#include "text.h"

#include <stdlib.h>

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

int64_t corpus_validation_pieces(const corpus *c, int64_t length) {
    const int64_t held = c->n - c->n_train;
    return held > 0 ? (held - 1) / length : 0; /* the last token has no next one */
}

bool corpus_validation(const corpus *c, int64_t i, int64_t length, tern_device device, tern_tensor **x,
                       tern_tensor **y) {
    const int64_t from = c->n_train + i * length;
    return pieces(c, &from, 1, length, device, x, y);
}
