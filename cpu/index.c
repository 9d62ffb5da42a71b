/* Index kernels. Indices are all checked before anything is written. Adding kernels run on one thread, in the order of
 * the index, so that repeated indices add up the same way every time. */
#include <string.h>

#include "internal.h"

static int64_t load_index(const terni_view *v, int64_t i) {
    return v->dtype == TERN_I64 ? ((const int64_t *)v->data)[i] : (int64_t)((const int32_t *)v->data)[i];
}

/* Where element k of v, in row-major order, is; at[] gets its indices. */
static int64_t locate(const terni_view *v, int64_t k, int64_t *at) {
    int64_t o = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        at[d] = k % v->shape[d];
        o += at[d] * v->strides[d];
        k /= v->shape[d];
    }
    return o;
}

static bool check(const char *op, const terni_view *index, int64_t size, int dim) {
    const int64_t n = terni_cpu_count(index);
    int64_t at[TERN_MAX_DIMS];
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = load_index(index, locate(index, k, at));
        if (i < 0 || i >= size)
            return terni_cpu_fail(TERN_ERR_INDEX,
                                  "%s: index %lld at position %lld is outside dimension %d of size %lld", op,
                                  (long long)i, (long long)k, dim, (long long)size);
    }
    return true;
}

/* y += x for one element of a dtype. */
static void add_element(int dtype, void *y, const void *x) {
    switch (dtype) {
        case TERN_F32:
            *(float *)y += *(const float *)x;
            break;
        case TERN_F64:
            *(double *)y += *(const double *)x;
            break;
        case TERN_F16:
            *(uint16_t *)y =
                terni_f16_from((double)(terni_f16_to(*(uint16_t *)y) + terni_f16_to(*(const uint16_t *)x)));
            break;
        case TERN_BF16:
            *(uint16_t *)y =
                terni_bf16_from((double)(terni_bf16_to(*(uint16_t *)y) + terni_bf16_to(*(const uint16_t *)x)));
            break;
        case TERN_I64:
            *(int64_t *)y += *(const int64_t *)x;
            break;
        case TERN_I32:
            *(int32_t *)y += *(const int32_t *)x;
            break;
        case TERN_U8:
            *(uint8_t *)y = (uint8_t)(*(uint8_t *)y + *(const uint8_t *)x);
            break;
        default:
            *(uint8_t *)y |= *(const uint8_t *)x;
            break;
    }
}

/* ---- along one dimension: whole slices
 * ------------------------------------------------------------------------------------- */

static terni_view slice(const terni_view *v, int dim, int64_t i) {
    terni_view s = *v;
    s.data = (char *)v->data + i * v->strides[dim] * (int64_t)terni_cpu_size(v->dtype);
    s.shape[dim] = 1;
    return s;
}

bool terni_cpu_index_select(const terni_call *c) {
    const int dim = ((const terni_dim_opts *)c->opts)->dim;
    const terni_view *x = c->in[0], *index = c->in[1], *y = c->out[0];
    if (!check("index_select", index, x->shape[dim], dim)) return false;
    for (int64_t k = 0; k < index->shape[0]; k++) {
        const terni_view from = slice(x, dim, load_index(index, k * index->strides[0])), to = slice(y, dim, k);
        const terni_view *const in = &from, *const out = &to;
        const terni_call copy = {&in, &out, 1, 1, NULL, 0};
        if (!terni_cpu_copy(&copy)) return false;
    }
    return true;
}

static void add_run(int64_t n, char *const *p, const int64_t *s, const void *arg) {
    const int dtype = *(const int *)arg;
    const int64_t size = (int64_t)terni_cpu_size(dtype);
    if (dtype == TERN_F32 && s[0] == 1 && s[1] == 1) {
        float *y = (float *)(void *)p[0];
        const float *x = (const float *)(const void *)p[1];
        for (int64_t k = 0; k < n; k++) y[k] += x[k];
        return;
    }
    for (int64_t k = 0; k < n; k++) add_element(dtype, p[0] + k * s[0] * size, p[1] + k * s[1] * size);
}

bool terni_cpu_index_add(const terni_call *c) {
    const int dim = ((const terni_dim_opts *)c->opts)->dim;
    const terni_view *index = c->in[0], *src = c->in[1], *y = c->out[0];
    if (!check("index_add", index, y->shape[dim], dim)) return false;
    for (int64_t k = 0; k < index->shape[0]; k++) {
        const terni_view to = slice(y, dim, load_index(index, k * index->strides[0])), from = slice(src, dim, k);
        const terni_view *const v[2] = {&to, &from};
        terni_cpu_loop(v, 2, add_run, &y->dtype, INT64_MAX);
    }
    return true;
}

/* ---- by element
 * ------------------------------------------------------------------------------------------------------------------ */

bool terni_cpu_gather(const terni_call *c) {
    const int dim = ((const terni_dim_opts *)c->opts)->dim;
    const terni_view *x = c->in[0], *index = c->in[1], *y = c->out[0];
    if (!check("gather", index, x->shape[dim], dim)) return false;
    const int64_t n = terni_cpu_count(y);
    const size_t size = terni_cpu_size(x->dtype);
    int64_t at[TERN_MAX_DIMS];
    for (int64_t k = 0; k < n; k++) {
        at[dim] = 0;
        const int64_t i = load_index(index, locate(index, k, at));
        int64_t o = 0;
        for (int d = 0; d < x->ndim; d++) o += (d == dim ? i : at[d]) * x->strides[d];
        memcpy((char *)y->data + k * (int64_t)size, (const char *)x->data + o * (int64_t)size, size);
    }
    return true;
}

bool terni_cpu_scatter_add(const terni_call *c) {
    const int dim = ((const terni_dim_opts *)c->opts)->dim;
    const terni_view *index = c->in[0], *src = c->in[1], *y = c->out[0];
    if (!check("scatter_add", index, y->shape[dim], dim)) return false;
    const int64_t n = terni_cpu_count(index), size = (int64_t)terni_cpu_size(y->dtype);
    int64_t at[TERN_MAX_DIMS];
    for (int64_t k = 0; k < n; k++) {
        const int64_t from = locate(src, k, at), i = load_index(index, locate(index, k, at));
        int64_t o = 0;
        for (int d = 0; d < y->ndim; d++) o += (d == dim ? i : at[d]) * y->strides[d];
        add_element(y->dtype, (char *)y->data + o * size, (const char *)src->data + from * size);
    }
    return true;
}
