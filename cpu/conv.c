#include "conv.h"

#include "internal.h"
#include "turn.h"
#include "widen.h"

enum { WORK = 200000, PACKED = 32768 }; /* multiplications, and numbers to pack, that make a thread worth while */

terni_conv_sizes terni_conv_sizes_of(const terni_view *x, const terni_view *w, const terni_view *y,
                                     const terni_conv_opts *opts) {
    terni_conv_sizes z = {.n = x->shape[0],
                          .groups = opts->groups,
                          .c = w->shape[1],
                          .o = w->shape[0] / opts->groups,
                          .image = 1,
                          .result = 1,
                          .window = 1,
                          .opts = opts};
    for (int d = 0; d < 3; d++) {
        z.image *= z.in[d] = x->shape[2 + d];
        z.result *= z.out[d] = y->shape[2 + d];
        z.window *= z.kernel[d] = w->shape[2 + d];
    }
    return z;
}

static terni_conv_axis axis_of(int64_t taps, int64_t dilation, int64_t stride, int64_t *storage) {
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

int64_t terni_conv_axes_room(const terni_conv_sizes *z) { return 3 * (z->kernel[0] + z->kernel[1] + z->kernel[2]); }

terni_conv_axes terni_conv_axes_of(const terni_conv_sizes *z, int64_t *storage) {
    terni_conv_axes a = {.phases = 1};
    for (int d = 0; d < 3; d++) {
        a.axis[d] = axis_of(z->kernel[d], z->opts->dilation[d], z->opts->stride[d], storage);
        a.phases *= a.axis[d].phases;
        storage += 3 * z->kernel[d];
    }
    return a;
}

terni_conv_range terni_conv_range_of(int64_t size, int64_t pad, int64_t phase, int64_t stride) {
    terni_conv_range r = {.begin = pad > phase ? (pad - phase + stride - 1) / stride : 0};
    r.pixel = r.begin * stride + phase - pad;
    r.end = r.pixel < size ? r.begin + (size - r.pixel + stride - 1) / stride : r.begin;
    return r;
}

terni_conv_pad terni_conv_pad_of(const terni_conv_sizes *z, const terni_conv_axes *axes) {
    terni_conv_pad pad = {.channels = z->c};
    for (int d = 0; d < 3; d++) {
        pad.from[d] = z->in[d];
        pad.to[d] = z->out[d] + axes->axis[d].reach;
        pad.at[d] = -z->opts->pad[d];
        pad.step[d] = z->opts->stride[d];
    }
    return pad;
}

void terni_conv_offsets(const terni_conv_sizes *z, const terni_conv_pad *pad, const terni_conv_axes *axes,
                        int64_t *offset) {
    const terni_conv_axis *deep = &axes->axis[0], *down = &axes->axis[1], *right = &axes->axis[2];
    for (int64_t c = 0; c < z->c; c++)
        for (int64_t e = 0; e < z->kernel[0]; e++)
            for (int64_t a = 0; a < z->kernel[1]; a++)
                for (int64_t b = 0; b < z->kernel[2]; b++) {
                    const int64_t phase = (deep->of[e] * down->phases + down->of[a]) * right->phases + right->of[b];
                    const int64_t sheet = (phase * z->c + c) * pad->to[0] + deep->shift[e];
                    *offset++ = (sheet * pad->to[1] + down->shift[a]) * pad->to[2] + right->shift[b];
                }
}

void terni_conv_split(const terni_conv_sizes *z, int64_t rows, int64_t block, int64_t *slots, int64_t *chunks) {
    const int64_t images = z->n * z->groups, threads = terni_cpu_threads(), blocks = (rows + block - 1) / block;
    const double work = (double)images * (double)z->o * (double)z->c * (double)z->window * (double)z->result;
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

#define TERNI_TEMPLATE "conv.inc"
#include "each_float.h"

static bool any(const terni_conv_sizes *z) { return z != NULL; }
static bool plain(const terni_call *c, const terni_conv_sizes *z) {
    (void)z;
    return conv_f32(c);
}
static const terni_conv_way reference = {any, plain}, *const ways[] = {&terni_conv_winograd, &terni_conv_matrix,
                                                                       &terni_conv_depthwise, &reference};

TERNI_CONV_KERNEL(conv, c->in[0], c->in[1], c->out[0])
