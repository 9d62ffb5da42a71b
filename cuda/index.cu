/* Index kernels. What is written to one place several times is put in the order of the index by sorting, then combined
 * by one thread, so results are the same every time. An index outside is noted in the device's fault and skipped. */
#include "sort.h"

namespace {

/* Index number i, or -1 after noting that it is outside of [0, size). */
__device__ __forceinline__ int64_t read_index(const void *index, bool wide, int64_t i, int64_t position, int64_t size,
                                              int dim, const terni_blame &blame) {
    const int64_t v = wide ? static_cast<const int64_t *>(index)[i] : (int64_t) static_cast<const int32_t *>(index)[i];
    if (v >= 0 && v < size) return v;
    terni_note(blame, TERNI_FAULT_INDEX, v, position, dim, size);
    return -1;
}

struct about {
    int64_t size, step; /* of the indexed dimension */
    bool wide;
    int dim;
    terni_blame blame;
};
about about_of(const terni_view *indexed, const terni_view *index, int dim, const char *op, terni_cuda_device *d) {
    return {indexed->shape[dim], indexed->strides[dim], index->dtype == TERN_I64, dim, terni_cuda_blame(d, op)};
}

/* v as it takes part in a walk over shape: it stays where it is along dim. */
terni_view still(const terni_view *v, const terni_view *like, int dim) {
    terni_view r = *v;
    memcpy(r.shape, like->shape, sizeof r.shape);
    r.strides[dim] = 0;
    return r;
}
/* A 1-dim index along dim of a walk over shape. */
terni_view along(const terni_view *index, const terni_view *like, int dim) {
    terni_view r = *like;
    r.data = index->data;
    r.dtype = index->dtype;
    for (int k = 0; k < r.ndim; k++) r.strides[k] = k == dim ? index->strides[0] : 0;
    return r;
}

template <int N>
bool walk_of(const terni_view *const *v, const char *name, terni_walk<N> *w, int64_t *n) {
    terni_each e;
    *n = 0;
    if (!terni_cuda_join(&e, v, N)) return true;
    if (e.n > TERNI_WALK_MAX) return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "%s: 2^31 elements or more on a GPU", name);
    w->ndim = e.ndim;
    for (int d = 0; d < e.ndim; d++) {
        w->size[d] = terni_divisor_of(e.shape[d]);
        for (int k = 0; k < N; k++) w->stride[k][d] = e.stride[k][d];
    }
    for (int k = 0; k < N; k++) w->data[k] = e.data[k];
    *n = e.n;
    return true;
}

/* ---- reading: w is y, index, x
 * ------------------------------------------------------------------------------------------------------- */

template <class S>
__global__ void take(uint32_t n, terni_walk<3> w, about a) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    int64_t at[3];
    w.at(i, at);
    const int64_t k = read_index(w.data[1], a.wide, at[1], i, a.size, a.dim, a.blame);
    if (k >= 0) static_cast<S *>(w.data[0])[at[0]] = static_cast<const S *>(w.data[2])[at[2] + k * a.step];
}

bool run_take(const terni_call *c, const terni_view *index, int dim, const char *op) {
    const terni_view *x = c->in[0], *y = c->out[0];
    const terni_view from = still(x, y, dim);
    const terni_view *v[3] = {y, index, &from};
    terni_walk<3> w;
    int64_t n;
    if (!walk_of<3>(v, op, &w, &n)) return false;
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const about a = about_of(x, index, dim, op, d);
    TERNI_BY_SIZE(terni_cuda_size(x->dtype),
                  return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (take<S>), (uint32_t)n, w, a))
    return false;
}

/* ---- writing: w is y, index, src; the keys are places in y, contiguous
 * ----------------------------------------------------------------- */

enum { HOW_ADD = 100 };

__global__ void places(uint32_t n, terni_walk<3> w, about a, uint64_t *key) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    int64_t at[3];
    w.at(i, at);
    const int64_t k = read_index(w.data[1], a.wide, at[1], i, a.size, a.dim, a.blame);
    key[i] = k < 0 ? UINT64_MAX : (uint64_t)(at[0] + k * a.step);
}

template <class T>
__device__ __forceinline__ T combine(T a, T b, int how, bool is_bool) {
    if (how == HOW_ADD) return is_bool ? T(a != 0 || b != 0) : T(a + b);
    if (how == TERNI_SCATTER_PROD) return is_bool ? T(a != 0 && b != 0) : T(a * b);
    if (how == TERNI_SCATTER_MAX) return b > a || b != b ? b : a;
    if (how == TERNI_SCATTER_MIN) return b < a || b != b ? b : a;
    return b;
}

template <class S>
__global__ void write(uint32_t n, terni_walk<3> w, terni_sorted s, int how, bool is_bool) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    const uint64_t place = s.key[i];
    if (place == UINT64_MAX || (i > 0 && s.key[i - 1] == place)) return; /* somebody else's */
    S *const y = static_cast<S *>(w.data[0]) + place;
    const S *const src = static_cast<const S *>(w.data[2]);
    using T = terni_math_t<S>;
    T v = terni_load<S>(*y);
    int64_t at[3];
    for (uint32_t k = i; k < n && s.key[k] == place; k++) {
        w.at(s.from[k], at);
        v = combine<T>(v, terni_load<S>(src[at[2]]), how, is_bool);
    }
    *y = terni_store<S>(v);
}

bool run_write(const terni_call *c, const terni_view *index, const terni_view *src, const terni_view *y, int dim,
               const char *op, int how) {
    const terni_view to = still(y, src, dim);
    const terni_view *v[3] = {&to, index, src};
    terni_walk<3> w;
    int64_t n;
    if (!walk_of<3>(v, op, &w, &n)) return false;
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    terni_sorted s;
    if (!d || !terni_cuda_sort_open(d, 1, n, &s)) return false;
    s.bits = terni_bits((uint64_t)terni_cuda_count(y)); /* above every place, as UINT64_MAX's lowest are */
    const about a = about_of(y, index, dim, op, d);
    if (!TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, places, (uint32_t)n, w, a, s.key)) {
        terni_cuda_scratch_free(d, s.memory);
        return false;
    }
    if (!terni_cuda_sort_run(d, 1, n, &s)) return false;
    bool ok = false;
    if (how == TERNI_SCATTER_SET) {
        TERNI_BY_SIZE(terni_cuda_size(y->dtype),
                      ok = TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (write<S>), (uint32_t)n, w, s, how, false))
    } else {
        TERNI_ALL(y->dtype, ok = TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (write<S>), (uint32_t)n, w, s, how,
                                                   y->dtype == TERN_BOOL);
                  break)
    }
    terni_cuda_scratch_free(d, s.memory);
    return ok;
}

/* ---- index_add: only the indices are sorted
 * ------------------------------------------------------------------------------------------------ */

__global__ void keys(int64_t m, const void *index, int64_t stride, about a, uint64_t *key) {
    const int64_t i = terni_thread();
    if (i >= m) return;
    const int64_t k = read_index(index, a.wide, i * stride, i, a.size, a.dim, a.blame);
    key[i] = k < 0 ? UINT64_MAX : (uint64_t)k;
}

/* w is y and src without the indexed dimension; thread (m, i). */
template <class S>
__global__ void add(int64_t total, uint32_t each, int64_t m, terni_walk<2> w, int64_t to, int64_t from, terni_sorted s,
                    bool is_bool) {
    const int64_t t = terni_thread();
    if (t >= total) return;
    const int64_t first = t / each;
    const uint64_t place = s.key[first];
    if (place == UINT64_MAX || (first > 0 && s.key[first - 1] == place)) return;
    int64_t at[2];
    w.at((uint32_t)(t % each), at);
    S *const y = static_cast<S *>(w.data[0]) + at[0] + (int64_t)place * to;
    const S *const src = static_cast<const S *>(w.data[1]) + at[1];
    using T = terni_math_t<S>;
    T v = terni_load<S>(*y);
    for (int64_t k = first; k < m && s.key[k] == place; k++)
        v = combine<T>(v, terni_load<S>(src[(int64_t)s.from[k] * from]), HOW_ADD, is_bool);
    *y = terni_store<S>(v);
}

__global__ void digits(uint32_t n, terni_walk<2> w, terni_linear_opts o, bool wide, terni_blame blame) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    int64_t at[2];
    w.at(i, at);
    const int64_t v = wide ? static_cast<const int64_t *>(w.data[1])[at[1]]
                           : (int64_t) static_cast<const int32_t *>(w.data[1])[at[1]];
    if (v < -o.size || v >= o.size) {
        terni_note(blame, TERNI_FAULT_INDEX, v, i, o.dim, o.size);
        return;
    }
    int64_t *const y = static_cast<int64_t *>(w.data[0]) + at[0];
    *y = *y * o.size + (v < 0 ? v + o.size : v);
}

/* ---- nonzero: counts of blocks, their sums, then places
 * ------------------------------------------------------------------------------------ */

enum { CHUNK = 1024 };
__global__ void count_chunks(int64_t chunks, int64_t n, const uint8_t *x, int64_t *count) {
    const int64_t t = terni_thread();
    if (t >= chunks) return;
    int64_t sum = 0;
    for (int64_t i = t * CHUNK; i < n && i < (t + 1) * CHUNK; i++) sum += x[i] != 0;
    count[t] = sum;
}
__global__ void sum_chunks(int64_t chunks, int64_t *count) {
    int64_t run = 0;
    for (int64_t i = 0; i < chunks; i++) {
        const int64_t c = count[i];
        count[i] = run;
        run += c;
    }
}
struct sizes {
    int ndim;
    int64_t size[TERN_MAX_DIMS];
};
__global__ void list_chunks(int64_t chunks, int64_t n, int64_t most, const uint8_t *x, const int64_t *start, sizes s,
                            int64_t *y) {
    const int64_t t = terni_thread();
    if (t >= chunks) return;
    int64_t row = start[t];
    for (int64_t i = t * CHUNK; i < n && i < (t + 1) * CHUNK; i++) {
        if (!x[i] || row >= most) continue;
        int64_t rest = i;
        for (int d = s.ndim - 1; d >= 0; d--) {
            y[row * s.ndim + d] = rest % s.size[d];
            rest /= s.size[d];
        }
        row++;
    }
}

}  // namespace

extern "C" bool terni_cuda_index_select(const terni_call *c) {
    const terni_dim_opts *o = static_cast<const terni_dim_opts *>(c->opts);
    const terni_view index = along(c->in[1], c->out[0], o->dim);
    return run_take(c, &index, o->dim, o->op);
}
extern "C" bool terni_cuda_gather(const terni_call *c) {
    const terni_dim_opts *o = static_cast<const terni_dim_opts *>(c->opts);
    return run_take(c, c->in[1], o->dim, o->op);
}
extern "C" bool terni_cuda_scatter_add(const terni_call *c) {
    const terni_dim_opts *o = static_cast<const terni_dim_opts *>(c->opts);
    return run_write(c, c->in[0], c->in[1], c->out[0], o->dim, o->op, HOW_ADD);
}
extern "C" bool terni_cuda_scatter(const terni_call *c) {
    const terni_scatter_opts *o = static_cast<const terni_scatter_opts *>(c->opts);
    return run_write(c, c->in[0], c->in[1], c->out[0], o->dim, o->op, o->how);
}

extern "C" bool terni_cuda_index_add(const terni_call *c) {
    const terni_dim_opts *o = static_cast<const terni_dim_opts *>(c->opts);
    const terni_view *index = c->in[0], *src = c->in[1], *y = c->out[0];
    const int64_t m = index->shape[0];
    terni_view to = still(y, src, o->dim), from = still(src, src, o->dim);
    to.shape[o->dim] = from.shape[o->dim] = 1;
    const terni_view *v[2] = {&to, &from};
    terni_walk<2> w;
    int64_t each;
    if (!walk_of<2>(v, o->op, &w, &each)) return false;
    if (m == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    terni_sorted s;
    if (!d || !terni_cuda_sort_open(d, 1, m, &s)) return false;
    s.bits = terni_bits((uint64_t)y->shape[o->dim]);
    if (!TERNI_LAUNCH_EACH(d, terni_blocks(m, 256), 256, keys, m, (const void *)index->data, index->strides[0],
                           about_of(y, index, o->dim, o->op, d), s.key)) {
        terni_cuda_scratch_free(d, s.memory);
        return false;
    }
    if (!terni_cuda_sort_run(d, 1, m, &s)) return false;
    bool ok = each == 0;
    if (each)
        TERNI_ALL(y->dtype,
                  ok = TERNI_LAUNCH_EACH(d, terni_blocks(m * each, 256), 256, (add<S>), m * each, (uint32_t)each, m, w,
                                         y->strides[o->dim], src->strides[o->dim], s, y->dtype == TERN_BOOL);
                  break)
    terni_cuda_scratch_free(d, s.memory);
    return ok;
}

extern "C" bool terni_cuda_linear_index(const terni_call *c) {
    const terni_linear_opts *o = static_cast<const terni_linear_opts *>(c->opts);
    const terni_view *v[2] = {c->out[0], c->in[0]};
    terni_walk<2> w;
    int64_t n;
    if (!walk_of<2>(v, o->op, &w, &n)) return false;
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    return d && TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, digits, (uint32_t)n, w, *o, c->in[0]->dtype == TERN_I64,
                                  terni_cuda_blame(d, o->op));
}

extern "C" bool terni_cuda_nonzero(const terni_call *c) {
    const terni_view *x = c->in[0], *y = c->out[0];
    const int64_t n = terni_cuda_count(x), most = y->shape[0], chunks = (n + CHUNK - 1) / CHUNK;
    if (n == 0 || most == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    int64_t *start = static_cast<int64_t *>(terni_cuda_scratch(d, (size_t)chunks * sizeof(int64_t)));
    if (!start) return false;
    sizes s;
    s.ndim = x->ndim;
    for (int k = 0; k < x->ndim; k++) s.size[k] = x->shape[k];
    const uint8_t *p = static_cast<const uint8_t *>(x->data);
    const bool ok = TERNI_LAUNCH_EACH(d, terni_blocks(chunks, 64), 64, count_chunks, chunks, n, p, start) &&
                    TERNI_LAUNCH_EACH(d, 1, 1, sum_chunks, chunks, start) &&
                    TERNI_LAUNCH_EACH(d, terni_blocks(chunks, 64), 64, list_chunks, chunks, n, most, p,
                                      (const int64_t *)start, s, static_cast<int64_t *>(y->data));
    terni_cuda_scratch_free(d, start);
    return ok;
}
