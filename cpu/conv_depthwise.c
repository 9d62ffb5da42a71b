/* Depthwise convolution (one channel in each group, one result), two axes, kernels of 3x3 and 5x5, stride 1 or 2:
 * forward, the image's gradient with stride 1, which is a convolution with the kernel turned around, and the kernel's
 * gradient. There is nothing to share between channels, so a plane is copied into a frame of zeros, with a stride its
 * even and odd columns apart, and rows of the result are sums of shifted rows. */
#include <string.h>

#include "conv.h"
#include "internal.h"

enum { LANES = TERNI_LANES_F32, MOST = 5 };
enum { WORK = 100000 }; /* multiplications that make a thread worth while */

typedef struct job {
    int64_t n, channels, taps, stride;
    int64_t in[2], out[2], at[2]; /* at: the image's pixel at the first window's corner */
    int64_t half, pitch, rows;    /* frame: rows of `pitch`, in which odd columns are `half` after even ones */
    bool back;                    /* the kernel is turned around */
    const float *x, *w, *gy, *bias;
    float *y, *gw, *scratch;
    int64_t slots, room;
} job;

/* The plane's pixels into a frame whose zeros are there already. */
static void fill(const job *j, const float *x, float *frame) {
    for (int64_t i = 0; i < j->rows; i++, frame += j->pitch) {
        const int64_t y = j->at[0] + i;
        if (y < 0 || y >= j->in[0]) continue;
        const float *row = x + y * j->in[1];
        if (j->stride == 1) {
            memcpy(frame - j->at[1], row, (size_t)j->in[1] * sizeof(float));
            continue;
        }
        const int64_t odd = -j->at[1] & 1; /* where the image's even columns go */
        float *even_to = frame + odd * j->half + (-j->at[1]) / 2,
              *odd_to = frame + (odd ? 0 : j->half) + (1 - j->at[1]) / 2;
        for (int64_t k = 0; k < (j->in[1] + 1) / 2; k++) even_to[k] = row[2 * k];
        for (int64_t k = 0; k < j->in[1] / 2; k++) odd_to[k] = row[2 * k + 1];
    }
}

/* Where column b of the windows begins in a frame's row. */
static inline int64_t column_of(const job *j, int64_t b) { return j->stride == 1 ? b : b % 2 * j->half + b / 2; }

/* One plane of results; taps is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void convolve(int taps, const job *j, const float *frame, const float *w,
                                                           float bias, float *y) {
    const int64_t width = j->out[1];
    int64_t column[MOST];
    for (int b = 0; b < taps; b++) column[b] = column_of(j, b);
    for (int64_t i = 0; i < j->out[0]; i++, frame += j->stride * j->pitch, y += width)
        for (int64_t x = 0; x < width; x += LANES) {
            const int64_t at = x + LANES <= width || width < LANES ? x : width - LANES;
            terni_vf sum = bias - (terni_vf){0};
            for (int a = 0; a < taps; a++)
                for (int b = 0; b < taps; b++)
                    sum += w[a * taps + b] * *(const terni_vf_u *)(frame + a * j->pitch + column[b] + at);
            if (width >= LANES)
                *(terni_vf_u *)(y + at) = sum;
            else
                memcpy(y, &sum, (size_t)width * sizeof(float));
        }
}

typedef int32_t mask __attribute__((vector_size(TERNI_VEC_BYTES)));
static inline terni_vf keep(terni_vf v, mask m) { return (terni_vf)((mask)v & m); }

/* Adds one plane to the sums of the kernel's gradient. What is left of a row is the end of its last whole vector (or a
 * part of one), masked: 0 times infinity is none. */
static inline __attribute__((always_inline)) void gather(int taps, const job *j, const float *frame, const float *gy,
                                                         double *sums) {
    const int64_t width = j->out[1], whole = width / LANES * LANES, last = width < LANES ? 0 : width - LANES;
    int64_t column[MOST];
    for (int b = 0; b < taps; b++) column[b] = column_of(j, b);
    mask left;
    for (int l = 0; l < LANES; l++) left[l] = last + l >= whole && last + l < width ? -1 : 0;
    terni_vf sum[MOST * MOST];
    for (int k = 0; k < taps * taps; k++) sum[k] = (terni_vf){0};
    for (int64_t i = 0; i < j->out[0]; i++, frame += j->stride * j->pitch, gy += width) {
        for (int64_t x = 0; x < whole; x += LANES) {
            const terni_vf g = *(const terni_vf_u *)(gy + x);
            for (int a = 0; a < taps; a++)
                for (int b = 0; b < taps; b++)
                    sum[a * taps + b] += g * *(const terni_vf_u *)(frame + a * j->pitch + column[b] + x);
        }
        if (whole == width) continue;
        terni_vf g = {0};
        if (width >= LANES)
            g = keep(*(const terni_vf_u *)(gy + last), left);
        else
            memcpy(&g, gy, (size_t)width * sizeof(float));
        for (int a = 0; a < taps; a++)
            for (int b = 0; b < taps; b++)
                sum[a * taps + b] += g * keep(*(const terni_vf_u *)(frame + a * j->pitch + column[b] + last), left);
    }
    for (int k = 0; k < taps * taps; k++) sums[k] += terni_fold_f32(sum[k]);
}

/* Slots divide the planes of all images. */
static void planes(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t all = j->n * j->channels, window = j->taps * j->taps;
    for (int64_t slot = begin; slot < end; slot++) {
        float *frame = j->scratch + slot * j->room, w[MOST * MOST];
        memset(frame, 0, (size_t)j->room * sizeof(float));
        for (int64_t p = slot * all / j->slots; p < (slot + 1) * all / j->slots; p++) {
            const int64_t c = p % j->channels;
            for (int64_t k = 0; k < window; k++) w[k] = j->w[c * window + (j->back ? window - 1 - k : k)];
            fill(j, j->x + p * j->in[0] * j->in[1], frame);
            float *y = j->y + p * j->out[0] * j->out[1];
            if (j->taps == 3)
                convolve(3, j, frame, w, j->bias ? j->bias[c] : 0, y);
            else
                convolve(5, j, frame, w, j->bias ? j->bias[c] : 0, y);
        }
    }
}

/* Slots divide the channels. */
static void kernels(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t window = j->taps * j->taps;
    for (int64_t slot = begin; slot < end; slot++) {
        float *frame = j->scratch + slot * j->room;
        memset(frame, 0, (size_t)j->room * sizeof(float));
        for (int64_t c = slot * j->channels / j->slots; c < (slot + 1) * j->channels / j->slots; c++) {
            double sums[MOST * MOST] = {0};
            for (int64_t i = 0; i < j->n; i++) {
                const int64_t p = i * j->channels + c;
                fill(j, j->x + p * j->in[0] * j->in[1], frame);
                if (j->taps == 3)
                    gather(3, j, frame, j->gy + p * j->out[0] * j->out[1], sums);
                else
                    gather(5, j, frame, j->gy + p * j->out[0] * j->out[1], sums);
            }
            for (int64_t k = 0; k < window; k++) j->gw[c * window + k] = (float)sums[k];
        }
    }
}

static job job_of(const terni_conv_sizes *z, bool back) {
    job j = {.n = z->n, .channels = z->groups, .taps = z->kernel[2], .stride = z->opts->stride[2], .back = back};
    for (int d = 0; d < 2; d++) {
        const int64_t pad = z->opts->pad[1 + d];
        j.in[d] = (back ? z->out : z->in)[1 + d];
        j.out[d] = (back ? z->in : z->out)[1 + d];
        j.at[d] = back ? pad + 1 - j.taps : -pad;
    }
    /* A frame has room for the image, for the windows, and for a vector that begins at the last of them. */
    const int64_t windows = (j.out[1] - 1) * j.stride + j.taps, image = j.in[1] - j.at[1];
    const int64_t columns = (windows > image ? windows : image) + LANES * j.stride;
    j.half = j.stride == 1 ? 0 : (columns + 1) / 2;
    j.pitch = j.stride == 1 ? columns : 2 * j.half;
    j.rows = (j.out[0] - 1) * j.stride + j.taps;
    j.room = (j.rows * j.pitch + LANES + LANES - 1) / LANES * LANES;
    return j;
}

static bool run(job *j, int64_t items, void (*fn)(void *arg, int64_t begin, int64_t end)) {
    const double work = (double)(j->n * j->channels * j->taps * j->taps) * (double)(j->out[0] * j->out[1]);
    j->slots = 1 + (int64_t)(work / WORK);
    if (j->slots > terni_cpu_threads()) j->slots = terni_cpu_threads();
    if (j->slots > items) j->slots = items;
    const size_t bytes = (size_t)(j->slots * j->room) * sizeof(float);
    if (!(j->scratch = terni_cpu_host->alloc(bytes))) return false;
    terni_cpu_parallel(j->slots, 1, fn, j);
    terni_cpu_host->free(j->scratch, bytes);
    return true;
}

static bool convolve_all(const terni_call *c, const terni_conv_sizes *z, bool back) {
    job j = job_of(z, back);
    j.x = c->in[0]->data;
    j.w = c->in[1]->data;
    j.bias = c->n_in > 2 && c->in[2] ? c->in[2]->data : NULL;
    j.y = c->out[0]->data;
    return run(&j, j.n * j.channels, planes);
}
static bool forward(const terni_call *c, const terni_conv_sizes *z) { return convolve_all(c, z, false); }
static bool back(const terni_call *c, const terni_conv_sizes *z) { return convolve_all(c, z, true); }

static bool weight_grad(const terni_call *c, const terni_conv_sizes *z) {
    job j = job_of(z, false);
    j.gy = c->in[0]->data;
    j.x = c->in[1]->data;
    j.gw = c->out[0]->data;
    return run(&j, j.channels, kernels);
}

static bool takes(const terni_conv_sizes *z) {
    const terni_conv_opts *o = z->opts;
    return z->c == 1 && z->o == 1 && z->groups > 1 && z->n > 0 && z->kernel[0] == 1 && z->in[0] == 1 &&
           z->out[0] == 1 && z->kernel[1] == z->kernel[2] && (z->kernel[2] == 3 || z->kernel[2] == 5) &&
           o->dilation[1] == 1 && o->dilation[2] == 1 && o->stride[1] == o->stride[2] && o->stride[1] <= 2 &&
           z->image > 0;
}
/* With a pad beyond the kernel the frame of gy would lose pixels. */
static bool takes_back(const terni_conv_sizes *z) {
    const terni_conv_opts *o = z->opts;
    return takes(z) && o->stride[1] == 1 && o->pad[1] < z->kernel[1] && o->pad[2] < z->kernel[2];
}
const terni_conv_way terni_conv_depthwise = {takes, forward}, terni_conv_depthwise_back = {takes_back, back};
const terni_conv_way terni_conv_depthwise_weight_grad = {takes, weight_grad};
