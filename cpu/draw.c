#include "draw.h"

#include <string.h>

#include "half.h"
#include "philox.h"

void terni_cpu_words(uint64_t seed, uint64_t position, int64_t first, int64_t n, uint32_t *out) {
    const uint64_t base = position + (uint64_t)first / 4;
    for (int64_t b = 0; b < (n + 3) / 4; b++) {
        const terni_philox_block block = terni_philox_at(seed, base + (uint64_t)b);
        for (int k = 0; k < 4; k++) out[4 * b + k] = block.w[k];
    }
}

/* Element offsets of [first, first + n); false if they are first, first + 1, ... themselves. */
static bool offsets(const terni_view *v, int64_t first, int64_t n, int64_t *out) {
    int64_t index[TERN_MAX_DIMS], size = 1, at = 0, rest = first;
    bool dense = true;
    for (int d = v->ndim - 1; d >= 0; d--) {
        if (v->shape[d] != 1 && v->strides[d] != size) dense = false;
        size *= v->shape[d];
        index[d] = rest % v->shape[d];
        rest /= v->shape[d];
        at += index[d] * v->strides[d];
    }
    if (dense) return false;
    for (int64_t i = 0; i < n; i++) {
        out[i] = at;
        for (int d = v->ndim - 1; d >= 0; d--) {
            at += v->strides[d];
            if (++index[d] < v->shape[d]) break;
            at -= index[d] * v->strides[d];
            index[d] = 0;
        }
    }
    return true;
}

/* The address of a dense run of f32 or f64 elements; else NULL, and the offsets. */
static void *run_of(const terni_view *v, int64_t first, int64_t n, int64_t *at) {
    const bool dense = !offsets(v, first, n, at);
    if (dense && v->dtype == TERN_F32) return (float *)v->data + first;
    if (dense && v->dtype == TERN_F64) return (double *)v->data + first;
    for (int64_t i = 0; dense && i < n; i++) at[i] = first + i;
    return NULL;
}

static size_t bytes_of(const terni_view *v, int64_t n) {
    return (size_t)n * (v->dtype == TERN_F64 ? sizeof(double) : sizeof(float));
}

void terni_cpu_get(const terni_view *v, int64_t first, int64_t n, terni_draw_buffer *b) {
    int64_t at[TERNI_DRAW_CHUNK];
    const void *run = run_of(v, first, n, at);
    if (run) {
        memcpy(b, run, bytes_of(v, n));
        return;
    }
    for (int64_t i = 0; i < n; i++) switch (v->dtype) {
            case TERN_F64:
                b->f64[i] = ((const double *)v->data)[at[i]];
                break;
            case TERN_F16:
                b->f32[i] = terni_f16_to(((const uint16_t *)v->data)[at[i]]);
                break;
            case TERN_BF16:
                b->f32[i] = terni_bf16_to(((const uint16_t *)v->data)[at[i]]);
                break;
            default:
                b->f32[i] = ((const float *)v->data)[at[i]];
        }
}

void terni_cpu_put(const terni_view *v, int64_t first, int64_t n, const terni_draw_buffer *b) {
    int64_t at[TERNI_DRAW_CHUNK];
    void *run = run_of(v, first, n, at);
    if (run) {
        memcpy(run, b, bytes_of(v, n));
        return;
    }
    for (int64_t i = 0; i < n; i++) switch (v->dtype) {
            case TERN_F64:
                ((double *)v->data)[at[i]] = b->f64[i];
                break;
            case TERN_F16:
                ((uint16_t *)v->data)[at[i]] = terni_f16_from((double)b->f32[i]);
                break;
            case TERN_BF16:
                ((uint16_t *)v->data)[at[i]] = terni_bf16_from((double)b->f32[i]);
                break;
            default:
                ((float *)v->data)[at[i]] = b->f32[i];
        }
}
