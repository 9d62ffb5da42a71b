/* Plain arithmetic on views, on the host. */
#include <string.h>

#include "half.h"
#include "internal.h"

size_t terni_cuda_size(int dtype) {
    static const unsigned char size[TERN_DTYPE_COUNT] = {
        [TERN_F32] = 4, [TERN_F64] = 8, [TERN_F16] = 2, [TERN_BF16] = 2,
        [TERN_I64] = 8, [TERN_I32] = 4, [TERN_U8] = 1,  [TERN_BOOL] = 1};
    return size[dtype];
}

int64_t terni_cuda_count(const terni_view *v) {
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++) n *= v->shape[i];
    return n;
}

bool terni_cuda_contiguous(const terni_view *v) {
    int64_t stride = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (v->shape[i] != 1 && v->strides[i] != stride) return false;
        stride *= v->shape[i];
    }
    return true;
}

bool terni_cuda_join(terni_each *e, const terni_view *const *v, int n) {
    e->n_views = n;
    e->ndim = 0;
    e->n = 1;
    for (int i = 0; i < n; i++) e->data[i] = v[i]->data;
    for (int d = v[0]->ndim - 1; d >= 0; d--) {
        const int64_t size = v[0]->shape[d];
        if (size == 0) return false;
        if (size == 1) continue;
        e->n *= size;
        const int last = e->ndim - 1;
        bool joins = e->ndim > 0;
        for (int i = 0; joins && i < n; i++) joins = v[i]->strides[d] == e->stride[i][last] * e->shape[last];
        if (joins) {
            e->shape[last] *= size;
            continue;
        }
        e->shape[e->ndim] = size;
        for (int i = 0; i < n; i++) e->stride[i][e->ndim] = v[i]->strides[d];
        e->ndim++;
    }
    if (e->ndim == 0) {
        e->ndim = 1;
        e->shape[0] = 1;
        for (int i = 0; i < n; i++) e->stride[i][0] = 1;
    }
    return true;
}

void terni_cuda_constant(int dtype, const terni_fill_opts *o, uint64_t *bits) {
    *bits = 0;
    switch (dtype) {
        case TERN_F32: {
            const float v = (float)o->value;
            memcpy(bits, &v, sizeof v);
            break;
        }
        case TERN_F64:
            memcpy(bits, &o->value, sizeof o->value);
            break;
        case TERN_F16:
            *bits = terni_f16_from(o->value);
            break;
        case TERN_BF16:
            *bits = terni_bf16_from(o->value);
            break;
        case TERN_I64:
            memcpy(bits, &o->integer, sizeof o->integer);
            break;
        case TERN_I32:
            *bits = (uint32_t)o->integer;
            break;
        case TERN_U8:
            *bits = (uint8_t)o->integer;
            break;
        default:
            *bits = o->value != 0;
    }
}
