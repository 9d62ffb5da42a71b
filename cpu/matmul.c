/* matmul: hands each matrix of the batch to gemm, in parts on several threads where that pays. */
#include <string.h>

#include "internal.h"

/* A matrix of one of the operands, as gemm takes it. */
typedef struct operand {
    const void *data;
    int64_t ld;
    bool transposed;
} operand;

typedef struct product {
    int64_t m, n, k;
    operand a, b;
    const void *bias;
    int64_t bias_stride;
    void *c;
    bool by_rows; /* how parts split c */
    int dtype;    /* TERN_F32 or TERN_F64 */
} product;

#define ROWS_WITH_BIAS(T)                                                               \
    for (int64_t i = 0; i < m; i++) {                                                   \
        T *row = (T *)c + i * ldc;                                                      \
        for (int64_t j = 0; j < n; j++) row[j] = ((const T *)bias)[j * p->bias_stride]; \
    }

/* Part [begin, end) of c's rows or columns. */
static void part(void *arg, int64_t begin, int64_t end) {
    const product *p = arg;
    const int64_t size = (int64_t)terni_cpu_size(p->dtype), ldc = p->n;
    const int64_t m = p->by_rows ? end - begin : p->m, n = p->by_rows ? p->n : end - begin;
    const char *a = p->a.data, *b = p->b.data, *bias = p->bias;
    char *c = p->c;
    if (p->by_rows) {
        a += begin * (p->a.transposed ? 1 : p->a.ld) * size;
        c += begin * ldc * size;
    } else {
        b += begin * (p->b.transposed ? p->b.ld : 1) * size;
        c += begin * size;
        if (bias) bias += begin * p->bias_stride * size;
    }
    if (p->dtype == TERN_F32) {
        if (bias) ROWS_WITH_BIAS(float)
        terni_cpu_gemm_f32(p->a.transposed, p->b.transposed, m, n, p->k, (const float *)(const void *)a, p->a.ld,
                           (const float *)(const void *)b, p->b.ld, bias ? 1 : 0, (float *)(void *)c, ldc);
    } else {
        if (bias) ROWS_WITH_BIAS(double)
        terni_cpu_gemm_f64(p->a.transposed, p->b.transposed, m, n, p->k, (const double *)(const void *)a, p->a.ld,
                           (const double *)(const void *)b, p->b.ld, bias ? 1 : 0, (double *)(void *)c, ldc);
    }
}

enum { PAR_WORK = 1 << 20, PART_MIN = 16 }; /* multiply-adds from which a second thread pays */

static void multiply(product *p) {
    p->by_rows = p->m >= p->n;
    const int64_t split = p->by_rows ? p->m : p->n;
    const int64_t work = p->k * (p->by_rows ? p->n : p->m); /* per row or column */
    int64_t grain = work > 0 ? PAR_WORK / 2 / work + 1 : split;
    if (grain < PART_MIN) grain = PART_MIN;
    if (split / grain < 2)
        part(p, 0, split);
    else
        terni_cpu_parallel(split, grain, part, p);
}

/* ---- operands
 * ------------------------------------------------------------------------------------------------------------ */

/* The last two dimensions of v as gemm takes them without a copy: unit stride along rows or columns. */
static bool direct(const terni_view *v, operand *o) {
    const int64_t rows = v->shape[v->ndim - 2], cols = v->shape[v->ndim - 1];
    const int64_t rs = v->strides[v->ndim - 2], cs = v->strides[v->ndim - 1];
    if ((cs == 1 || cols <= 1) && (rs >= cols || rows <= 1)) {
        *o = (operand){v->data, rows <= 1 ? cols : rs, false};
        return true;
    }
    if ((rs == 1 || rows <= 1) && (cs >= rows || cols <= 1)) {
        *o = (operand){v->data, cols <= 1 ? rows : cs, true};
        return true;
    }
    return false;
}

/* A contiguous copy of v in dtype; its distinct matrices only (broadcast batch dimensions stay strides of 0). */
static void *converted(const terni_view *v, int dtype, terni_view *out, size_t *bytes) {
    *out = *v;
    out->dtype = dtype;
    int64_t n = 1;
    for (int d = v->ndim - 1; d >= 0; d--) {
        const bool shared = d < v->ndim - 2 && v->strides[d] == 0;
        out->strides[d] = shared ? 0 : n;
        n *= shared ? 1 : v->shape[d];
    }
    *bytes = (size_t)n * terni_cpu_size(dtype);
    out->data = terni_cpu_host->alloc(*bytes);
    if (!out->data) return NULL;
    terni_view src = *v, dst = *out;
    for (int d = 0; d < v->ndim - 2; d++)
        if (v->strides[d] == 0) src.shape[d] = dst.shape[d] = 1;
    const terni_view *const in = &src, *const to = &dst;
    const terni_call copy = {&in, &to, 1, 1, NULL, 0};
    terni_cpu_copy(&copy);
    return out->data;
}

typedef struct scratch {
    void *data;
    size_t bytes;
} scratch;

/* Replaces *v by a copy in dtype if it cannot be used as it is. */
static bool usable(const terni_view **v, terni_view *room, int dtype, bool matrix, scratch *s) {
    operand o;
    if ((*v)->dtype == dtype && (!matrix || direct(*v, &o))) return true;
    s->data = converted(*v, dtype, room, &s->bytes);
    *v = room;
    return s->data != NULL;
}

typedef struct products {
    const product *p;
    const terni_view *a, *b, *y;
} products;

/* Products [begin, end) of the batch. */
static void some(void *arg, int64_t begin, int64_t end) {
    const products *all = arg;
    const terni_view *a = all->a, *b = all->b, *y = all->y;
    const int batch_dims = y->ndim - 2;
    const int64_t size = (int64_t)terni_cpu_size(y->dtype);
    product p = *all->p;
    int64_t at[TERN_MAX_DIMS], rest = begin;
    for (int d = batch_dims - 1; d >= 0; d--) {
        at[d] = rest % y->shape[d];
        rest /= y->shape[d];
    }
    for (int64_t i = begin; i < end; i++) {
        int64_t oa = 0, ob = 0;
        for (int d = 0; d < batch_dims; d++) {
            oa += at[d] * a->strides[d];
            ob += at[d] * b->strides[d];
        }
        p.a.data = (const char *)a->data + oa * size;
        p.b.data = (const char *)b->data + ob * size;
        p.c = (char *)y->data + i * p.m * p.n * size;
        multiply(&p);
        for (int d = batch_dims - 1; d >= 0 && ++at[d] == y->shape[d]; d--) at[d] = 0;
    }
}

static bool run(const terni_view *a, const terni_view *b, const terni_view *bias, const terni_view *y) {
    const int nd = y->ndim, batch_dims = nd - 2;
    product p = {.m = y->shape[nd - 2], .n = y->shape[nd - 1], .k = a->shape[nd - 1], .dtype = y->dtype};
    if (bias) {
        p.bias = bias->data;
        p.bias_stride = bias->strides[0];
    }
    direct(a, &p.a);
    direct(b, &p.b);
    int64_t batch = 1;
    for (int d = 0; d < batch_dims; d++) batch *= y->shape[d];
    const products all = {&p, a, b, y};
    const int64_t work = p.m * p.n * p.k; /* of one: small ones are shared out, large ones split */
    if (batch > 1 && work < PAR_WORK)
        terni_cpu_parallel(batch, PAR_WORK / 8 / (work > 0 ? work : 1) + 1, some, (void *)(uintptr_t)&all);
    else
        some((void *)(uintptr_t)&all, 0, batch);
    return true;
}

/* y = a b + bias. */
static bool multiply_add(const terni_view *a, const terni_view *b, const terni_view *bias, const terni_view *y) {
    const int dtype = y->dtype == TERN_F64 ? TERN_F64 : TERN_F32;
    terni_view room[4];
    scratch s[4] = {{NULL, 0}};
    bool ok = usable(&a, &room[0], dtype, true, &s[0]) && usable(&b, &room[1], dtype, true, &s[1]);
    if (ok && bias && bias->dtype != dtype) {
        terni_view row = *bias; /* as a matrix of one row */
        row.ndim = 2;
        row.shape[0] = 1, row.shape[1] = bias->shape[0];
        row.strides[0] = 0, row.strides[1] = bias->strides[0];
        const terni_view *r = &row;
        ok = usable(&r, &room[2], dtype, false, &s[2]);
        room[2].ndim = 1;
        room[2].strides[0] = 1;
        bias = &room[2];
    }
    if (ok && y->dtype != dtype) {
        room[3] = *y;
        room[3].dtype = dtype;
        s[3].bytes = (size_t)terni_cpu_count(y) * terni_cpu_size(dtype);
        room[3].data = s[3].data = terni_cpu_host->alloc(s[3].bytes);
        ok = s[3].data != NULL;
    }
    if (ok) ok = run(a, b, bias, s[3].data ? &room[3] : y);
    if (ok && s[3].data) {
        const terni_view *const from = &room[3];
        const terni_call copy = {&from, &y, 1, 1, NULL, 0};
        ok = terni_cpu_copy(&copy);
    }
    for (int i = 0; i < 4; i++)
        if (s[i].data) terni_cpu_host->free(s[i].data, s[i].bytes);
    return ok;
}

bool terni_cpu_matmul(const terni_call *c) {
    const terni_matmul_opts *o = c->opts;
    const terni_view *y = c->out[0], *z = c->n_out > 1 && c->out[1] ? c->out[1] : y;
    if (terni_cpu_count(y) == 0) return true;
    if (!multiply_add(c->in[0], c->in[1], c->in[2], z)) return false;
    static const double no_parameters[3];
    const terni_call activation = {&z, &y, 1, 1, no_parameters, 0};
    switch (o ? o->activation : TERNI_ACTIVATION_NONE) {
        case TERNI_ACTIVATION_RELU:
            return terni_cpu_relu(&activation);
        case TERNI_ACTIVATION_GELU_TANH:
            return terni_cpu_gelu_tanh(&activation);
        default:
            return true;
    }
}
