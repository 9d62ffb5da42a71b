/* tri: the lower or upper triangle of matrices; the rest is zero. */
#include <string.h>

#include "internal.h"

enum { GRAIN = 32768 };

typedef struct job {
    const terni_view *x, *y;
    const terni_tri_opts *o;
} job;

#define MOVE(T) \
    for (int64_t i = 0; i < n; i++) ((T *)(void *)y)[i] = ((const T *)(const void *)x)[i * stride];

static void move(char *y, const char *x, int64_t stride, int64_t n, size_t size) {
    if (stride == 1) {
        memcpy(y, x, (size_t)n * size);
        return;
    }
    switch (size) {
        case 1:
            MOVE(uint8_t) break;
        case 2:
            MOVE(uint16_t) break;
        case 4:
            MOVE(uint32_t) break;
        default:
            MOVE(uint64_t) break;
    }
}

/* Columns that are kept in a row: [from, to). */
static void kept(const terni_tri_opts *o, int64_t row, int64_t cols, int64_t *from, int64_t *to) {
    /* The edge is column row + k; k may be any number. */
    int64_t edge = o->k > INT64_MAX - row ? cols : row + o->k;
    if (!o->upper) edge = edge < INT64_MAX ? edge + 1 : edge;
    if (edge < 0) edge = 0;
    if (edge > cols) edge = cols;
    *from = o->upper ? edge : 0;
    *to = o->upper ? cols : edge;
}

static void rows(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const terni_view *x = j->x;
    const int last = x->ndim - 1;
    const int64_t cols = x->shape[last], height = x->shape[last - 1], stride = x->strides[last];
    const int64_t size = (int64_t)terni_cpu_size(x->dtype);
    for (int64_t r = begin; r < end; r++) {
        int64_t at = 0, from, to, rest = r;
        for (int d = last - 1; d >= 0; d--) {
            at += rest % x->shape[d] * x->strides[d];
            rest /= x->shape[d];
        }
        char *const y = (char *)j->y->data + r * cols * size;
        kept(j->o, r % height, cols, &from, &to);
        memset(y, 0, (size_t)(from * size));
        move(y + from * size, (const char *)x->data + (at + from * stride) * size, stride, to - from, (size_t)size);
        memset(y + to * size, 0, (size_t)((cols - to) * size));
    }
}

bool terni_cpu_tri(const terni_call *c) {
    job j = {c->in[0], c->out[0], c->opts};
    const int64_t n = terni_cpu_count(j.x), cols = j.x->shape[j.x->ndim - 1];
    if (n) terni_cpu_parallel(n / cols, GRAIN / cols + 1, rows, &j);
    return true;
}
