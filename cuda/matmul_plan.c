/* From a call's views to what a library of matrix products takes.
 *
 * Such libraries read matrices by columns. y = a b by rows is y^T = b^T a^T by columns, so their A is our b, their B
 * our a, their m our N and their n our M; a matrix with unit stride along its rows is then not transposed. */
#include <string.h>

#include "matmul.h"

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- operands */

/* Can the matrix be read where it is? A size of 1 leaves its stride free. */
static bool direct(const terni_view *v, terni_matmul_operand *o) {
    const int64_t rows = v->shape[v->ndim - 2], cols = v->shape[v->ndim - 1];
    const int64_t rs = v->strides[v->ndim - 2], cs = v->strides[v->ndim - 1];
    if ((cs == 1 || cols == 1) && (rs >= cols || rows == 1)) {
        o->ld = rows == 1 ? cols : rs;
        o->transposed = false;
        return true;
    }
    if ((rs == 1 || rows == 1) && (cs >= rows || cols == 1)) {
        o->ld = cols == 1 ? rows : cs;
        o->transposed = true;
        return true;
    }
    return false;
}

static void open_operand(const terni_view *v, terni_matmul_operand *o) {
    memset(o, 0, sizeof *o);
    o->data = v->data;
    if (direct(v, o)) {
        memcpy(o->stride, v->strides, (size_t)(v->ndim - 2) * sizeof o->stride[0]);
        return;
    }
    o->copied = true;
    o->ld = v->shape[v->ndim - 1];
    int64_t n = v->shape[v->ndim - 2] * v->shape[v->ndim - 1];
    for (int i = v->ndim - 3; i >= 0; i--) {
        const bool shared = v->strides[i] == 0 || v->shape[i] == 1;
        o->stride[i] = shared ? 0 : n;
        n *= shared ? 1 : v->shape[i];
    }
}

/* ---- the batch */

typedef struct batch {
    int ndim; /* dimension 0 is the innermost; sizes above 1 */
    int64_t size[TERN_MAX_DIMS], a[TERN_MAX_DIMS], b[TERN_MAX_DIMS], y[TERN_MAX_DIMS]; /* y: in matrices */
} batch;

/* Neighbours that lie at equal distances become one dimension. */
static void join(const terni_view *y, const terni_matmul_operand *a, const terni_matmul_operand *b, batch *t) {
    int64_t count = 1;
    t->ndim = 0;
    for (int i = y->ndim - 3; i >= 0; i--) {
        const int64_t size = y->shape[i];
        if (size == 1) continue;
        const int last = t->ndim - 1;
        if (last >= 0 && a->stride[i] == t->a[last] * t->size[last] && b->stride[i] == t->b[last] * t->size[last])
            t->size[last] *= size;
        else {
            t->size[t->ndim] = size;
            t->a[t->ndim] = a->stride[i];
            t->b[t->ndim] = b->stride[i];
            t->y[t->ndim++] = count;
        }
        count *= size;
    }
}

/* Products of one b with matrices that follow one another are one product with more rows. */
static int64_t fold(batch *t, terni_matmul_operand *a, int64_t m, int64_t k) {
    if (t->ndim == 0 || t->b[0] != 0 || a->transposed) return m;
    const int64_t rows = m == 1 ? t->a[0] : a->ld;
    if (rows < k || t->a[0] != m * rows) return m;
    const int64_t size = t->size[0];
    a->ld = rows;
    t->ndim--;
    for (int i = 0; i < t->ndim; i++) {
        t->size[i] = t->size[i + 1];
        t->a[i] = t->a[i + 1];
        t->b[i] = t->b[i + 1];
        t->y[i] = t->y[i + 1] / size;
    }
    return m * size;
}

/* ---- the plan */

/* The largest power of 2 up to 256 that divides all that is in bits. */
static int32_t alignment(uint64_t bits) {
    bits |= 256;
    return (int32_t)(bits & (~bits + 1));
}

/* More calls than this for products smaller than that: Tern's kernel does them in one launch. */
enum { CALLS_MANY = 32, WORK_SMALL = 1 << 24 };

bool terni_cuda_matmul_plan(const terni_call *c, terni_matmul_job *job) {
    const terni_view *a = c->in[0], *b = c->in[1], *y = c->out[0];
    const int64_t k = a->shape[a->ndim - 1], n = b->shape[b->ndim - 1];
    int64_t m = a->shape[a->ndim - 2];
    const uint64_t size = terni_cuda_size(y->dtype);
    memset(job, 0, sizeof *job);
    if (k == 0) return false;
    open_operand(a, &job->a);
    open_operand(b, &job->b);
    batch t;
    join(y, &job->a, &job->b, &t);
    m = fold(&t, &job->a, m, k);
    if (larger(larger(m, n), larger(k, larger(job->a.ld, job->b.ld))) > INT32_MAX) return false;

    int inner = -1; /* the dimension that is the library's batch: the largest */
    for (int i = 0; i < t.ndim; i++)
        if (t.size[i] <= INT32_MAX && (inner < 0 || t.size[i] > t.size[inner])) inner = i;
    uint64_t bits_a = (uintptr_t)job->a.data, bits_b = (uintptr_t)job->b.data, bits_d = (uintptr_t)y->data;
    if (job->a.copied) bits_a = 0;
    if (job->b.copied) bits_b = 0;
    job->calls = 1;
    for (int i = 0; i < t.ndim; i++) {
        bits_a |= (uint64_t)t.a[i] * size;
        bits_b |= (uint64_t)t.b[i] * size;
        bits_d |= (uint64_t)(t.y[i] * m * n) * size;
        if (i == inner) continue;
        job->outer[job->outer_ndim] = t.size[i];
        job->outer_a[job->outer_ndim] = t.a[i];
        job->outer_b[job->outer_ndim] = t.b[i];
        job->outer_d[job->outer_ndim++] = t.y[i] * m * n;
        job->calls *= t.size[i];
    }
    if (job->calls > CALLS_MANY && (double)m * (double)n * (double)k < WORK_SMALL) return false;

    terni_matmul_plan *p = &job->plan;
    *p = (terni_matmul_plan){.m = n,
                             .n = m,
                             .k = k,
                             .lda = job->b.ld,
                             .ldb = job->a.ld,
                             .ldd = n,
                             .batch = 1,
                             .device = c->device,
                             .dtype = y->dtype,
                             .ta = job->b.transposed,
                             .tb = job->a.transposed,
                             .align_a = alignment(bits_b),
                             .align_b = alignment(bits_a),
                             .align_d = alignment(bits_d),
                             .tf32 = y->dtype == TERN_F32 && terni_cuda_host->allow_tf32(),
                             .align_bias = 256,
                             .align_aux = 256};
    if (inner >= 0) {
        p->batch = (int32_t)t.size[inner];
        p->stride_a = t.b[inner];
        p->stride_b = t.a[inner];
        p->stride_d = t.y[inner] * m * n;
    }
    job->data = (terni_matmul_data){.a = job->b.data, .b = job->a.data, .d = y->data};
    return true;
}
