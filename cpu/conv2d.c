#include "conv2d.h"

#include "internal.h"
#include "widen.h"

enum { WORK = 200000 }; /* multiplications that make a thread worth while */

terni_conv_sizes terni_conv_sizes_of(const terni_view *x, const terni_view *w, const terni_view *y,
                                     const terni_conv2d_opts *opts) {
    const terni_conv_sizes z = {.n = x->shape[0],
                                .groups = opts->groups,
                                .c = w->shape[1],
                                .o = w->shape[0] / opts->groups,
                                .h = x->shape[2],
                                .w = x->shape[3],
                                .oh = y->shape[2],
                                .ow = y->shape[3],
                                .kh = w->shape[2],
                                .kw = w->shape[3],
                                .opts = opts};
    return z;
}

terni_conv_axis terni_conv_axis_of(int64_t taps, int64_t dilation, int64_t stride, int64_t *storage) {
    terni_conv_axis a = {0, 0, storage, storage + taps, storage + 2 * taps};
    for (int64_t t = 0; t < taps; t++) {
        const int64_t residue = t * dilation % stride;
        a.shift[t] = t * dilation / stride;
        int64_t p = 0;
        while (p < a.phases && a.phase[p] != residue) p++;
        if (p == a.phases) a.phase[a.phases++] = residue;
        a.of[t] = p;
    }
    a.reach = a.shift[taps - 1];
    return a;
}

terni_conv_range terni_conv_range_of(int64_t size, int64_t pad, int64_t phase, int64_t stride) {
    terni_conv_range r = {.begin = pad > phase ? (pad - phase + stride - 1) / stride : 0};
    r.pixel = r.begin * stride + phase - pad;
    r.end = r.pixel < size ? r.begin + (size - r.pixel + stride - 1) / stride : r.begin;
    return r;
}

terni_conv_pad terni_conv_pad_of(const terni_conv_sizes *z, const terni_conv_axis *down, const terni_conv_axis *right) {
    const terni_conv_pad pad = {.channels = z->c,
                                .h = z->h,
                                .w = z->w,
                                .rows = z->oh + down->reach,
                                .cols = z->ow + right->reach,
                                .top = -z->opts->pad[0],
                                .left = -z->opts->pad[1],
                                .down = z->opts->stride[0],
                                .right = z->opts->stride[1]};
    return pad;
}

void terni_conv_offsets(const terni_conv_sizes *z, const terni_conv_pad *pad, const terni_conv_axis *down,
                        const terni_conv_axis *right, int64_t *offset) {
    for (int64_t c = 0; c < z->c; c++)
        for (int64_t a = 0; a < z->kh; a++)
            for (int64_t b = 0; b < z->kw; b++) {
                const int64_t phase = down->of[a] * right->phases + right->of[b];
                *offset++ = ((phase * z->c + c) * pad->rows + down->shift[a]) * pad->cols + right->shift[b];
            }
}

void terni_conv_split(const terni_conv_sizes *z, int64_t rows, int64_t block, int64_t *slots, int64_t *chunks) {
    const int64_t images = z->n * z->groups, threads = terni_cpu_threads(), blocks = (rows + block - 1) / block;
    const double work =
        (double)images * (double)z->o * (double)z->c * (double)(z->kh * z->kw) * ((double)z->oh * (double)z->ow);
    *chunks = 4 * threads / (images ? images : 1);
    if (*chunks > blocks) *chunks = blocks;
    if (*chunks < 1) *chunks = 1;
    *slots = work < (double)WORK * (double)threads ? 1 + (int64_t)(work / WORK) : threads;
    if (*slots > images * *chunks) *slots = images * *chunks;
    if (*slots == 1) *chunks = 1;
}

void *terni_conv_take(terni_conv_arena *a, int64_t count, size_t size) {
    void *p = a->base ? a->base + a->used : NULL;
    a->used += ((size_t)count * size + 63) / 64 * 64;
    return p;
}

bool terni_conv_arena_open(terni_conv_arena *a) {
    a->bytes = a->used + 64;
    a->base = terni_cpu_host->alloc(a->bytes);
    a->used = 0;
    return a->base != NULL;
}

bool terni_conv_arena_close(terni_conv_arena *a) {
    if (a->base) terni_cpu_host->free(a->base, a->bytes);
    return a->base != NULL;
}

#define TERNI_TEMPLATE "conv2d.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(conv2d)
