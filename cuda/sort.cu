/* sort, topk, kth and searchsorted, and the sorting behind them: by a library where rows are long, else merges of
 * neighbouring runs, each element finding its place by binary search in the other run. No barriers, no atomics; n log^2
 * n work. */
#include "sort.h"

#include "library_sort.h"
#include "order.h"

namespace {

struct buffers {
    const uint64_t *key;
    const uint32_t *from;
    uint64_t *key_out;
    uint32_t *from_out;
};

__global__ void number(int64_t total, int64_t n, uint32_t *from) {
    const int64_t t = terni_thread();
    if (t < total) from[t] = (uint32_t)(t % n);
}

__global__ void merge(int64_t total, int64_t n, int64_t width, buffers b) {
    const int64_t t = terni_thread();
    if (t >= total) return;
    const int64_t row = t / n * n, i = t - row;
    const int64_t left = i / (2 * width) * (2 * width), middle = left + width < n ? left + width : n;
    const int64_t end = left + 2 * width < n ? left + 2 * width : n;
    const uint64_t key = b.key[t];
    const bool right = i >= middle;
    int64_t lo = right ? left : middle, hi = right ? middle : end;
    const int64_t base = lo;
    while (lo < hi) { /* of the right run those below, of the left one those below and alike come first */
        const int64_t mid = lo + (hi - lo) / 2;
        const uint64_t there = b.key[row + mid];
        if (right ? there <= key : there < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    const int64_t to = row + left + (i - (right ? middle : left)) + (lo - base);
    b.key_out[to] = key;
    b.from_out[to] = b.from[t];
}

__global__ void make_keys(int64_t total, int dtype, const void *x, uint64_t *key, uint64_t mask) {
    const int64_t t = terni_thread();
    if (t < total) key[t] = terni_key(dtype, x, t) ^ mask;
}

template <class S>
__global__ void give(int64_t total, int64_t n, int64_t k, terni_sorted s, const S *x, S *values, int64_t *index) {
    const int64_t t = terni_thread();
    if (t >= total) return;
    const int64_t row = t / k, at = s.from[row * n + t % k];
    index[t] = at;
    if (values) values[t] = x[row * n + at];
}

/* The first place in [0, n) of a sorted row whose key is `key` or above. */
__device__ __forceinline__ int64_t lower(const uint64_t *row, int64_t n, uint64_t key) {
    int64_t lo = 0, hi = n;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (row[mid] < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

template <class S>
__global__ void kth(int64_t rows, int64_t n, terni_sort_opts o, bool is_float, uint64_t top, terni_sorted s, const S *x,
                    S *values, int64_t *index) {
    const int64_t r = terni_thread();
    if (r >= rows) return;
    const uint64_t *key = s.key + r * n;
    const int64_t numbers = is_float ? lower(key, n, top) : n; /* NaN lie behind */
    int64_t k = o.k;
    if (o.nan_wins && numbers < n) k = numbers;
    if (o.skip_nan) k = numbers ? (numbers - 1) / 2 : 0;
    const int64_t at = s.from[r * n + lower(key, n, key[k])];
    index[r] = at;
    if (values) values[r] = x[r * n + at];
}

__global__ void search(int64_t total, int64_t m, int64_t n, bool one, int dtype, const void *sorted, const void *values,
                       bool right, int64_t *out) {
    const int64_t t = terni_thread();
    if (t >= total) return;
    const int64_t row = one ? 0 : t / m * n;
    const uint64_t key = terni_key(dtype, values, t);
    int64_t lo = 0, hi = n;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        const uint64_t there = terni_key(dtype, sorted, row + mid);
        if (there < key || (right && there == key))
            lo = mid + 1;
        else
            hi = mid;
    }
    out[t] = lo;
}

bool order(const terni_call *c, terni_cuda_device *d, bool descending, terni_sorted *s) {
    const terni_view *x = c->in[0];
    const int64_t R = x->shape[0], N = x->shape[1];
    if (!terni_cuda_sort_open(d, R, N, s)) return false;
    s->bits = (int)(8 * terni_cuda_size(x->dtype));
    const uint64_t mask = descending ? UINT64_MAX >> (64 - s->bits) : 0;
    if (!TERNI_LAUNCH_EACH(d, terni_blocks(R * N, 256), 256, make_keys, R * N, (int)x->dtype, (const void *)x->data,
                           s->key, mask)) {
        terni_cuda_scratch_free(d, s->memory);
        return false;
    }
    return terni_cuda_sort_run(d, R, N, s);
}

/* ---- by a library
 * ----------------------------------------------------------------------------------------------------------- */

/* Above their bits keys get their row's number, so that one sort does all rows. */
__global__ void put_rows(int64_t total, int64_t n, int bits, uint64_t *key) {
    const int64_t t = terni_thread();
    if (t < total) key[t] |= (uint64_t)(t / n) << bits;
}
__global__ void drop_rows(int64_t total, int bits, uint64_t *key) {
    const int64_t t = terni_thread();
    if (t < total) key[t] &= UINT64_MAX >> (64 - bits);
}

/* `rows` sorts of n each, one behind the other in memory; *in: where the results are. */
bool sorts(terni_cuda_device *d, int64_t rows, int64_t n, int bits, uint64_t *const key[2], uint32_t *const from[2],
           int *in) {
    size_t bytes;
    if (!terni_cuda_library_sort.room((int)n, bits, &bytes)) return false;
    void *const scratch = terni_cuda_scratch(d, bytes);
    bool ok = scratch != nullptr;
    for (int64_t r = 0; ok && r < rows; r++) {
        const terni_sort_job j = {{key[0] + r * n, key[1] + r * n}, {from[0] + r * n, from[1] + r * n}, (int)n, bits};
        ok = terni_cuda_library_sort.run(d, &j, scratch, bytes, in);
    }
    terni_cuda_scratch_free(d, scratch);
    return ok;
}

/* *done false if the own kernels are to do it. */
bool by_library(terni_cuda_device *d, int64_t rows, int64_t n, terni_sorted *s, uint64_t *const key[2],
                uint32_t *const from[2], int *in, bool *done) {
    const int64_t total = rows * n;
    const int wide = s->bits + (rows > 1 ? terni_bits((uint64_t)rows - 1) : 0);
    const bool together = wide <= 64 && total <= TERNI_WALK_MAX;
    *done =
        !terni_cuda_own_kernels() && n >= (together ? terni_cuda_library_sort.least : terni_cuda_library_sort.alone);
    if (!*done) return true;
    const unsigned blocks = terni_blocks(total, 256);
    if (!together || rows == 1) return sorts(d, rows, n, s->bits, key, from, in);
    return TERNI_LAUNCH_EACH(d, blocks, 256, put_rows, total, n, s->bits, key[0]) &&
           sorts(d, 1, total, wide, key, from, in) &&
           TERNI_LAUNCH_EACH(d, blocks, 256, drop_rows, total, s->bits, key[*in]);
}

/* The first k of each row. */
bool first_of(const terni_call *c, int64_t k) {
    const terni_view *x = c->in[0];
    const terni_sort_opts *o = static_cast<const terni_sort_opts *>(c->opts);
    const int64_t R = x->shape[0], N = x->shape[1];
    if (R * N == 0 || R * k == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    terni_sorted s;
    if (!d || !order(c, d, o->descending, &s)) return false;
    void *values = c->out[0] ? c->out[0]->data : nullptr;
    bool ok = false;
    TERNI_BY_SIZE(terni_cuda_size(x->dtype),
                  ok = TERNI_LAUNCH_EACH(d, terni_blocks(R * k, 256), 256, (give<S>), R * k, N, k, s,
                                         static_cast<const S *>(x->data), static_cast<S *>(values),
                                         static_cast<int64_t *>(c->out[1]->data)))
    terni_cuda_scratch_free(d, s.memory);
    return ok;
}

}  // namespace

bool terni_cuda_sort_open(terni_cuda_device *d, int64_t rows, int64_t n, terni_sorted *s) {
    if (n > TERNI_WALK_MAX)
        return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "sort: rows of 2^31 elements or more on a GPU");
    const size_t total = (size_t)(rows * n);
    s->memory = terni_cuda_scratch(d, total * 2 * (sizeof *s->key + sizeof *s->from));
    if (!s->memory) return false;
    s->key = static_cast<uint64_t *>(s->memory);
    s->from = reinterpret_cast<uint32_t *>(s->key + 2 * total);
    s->bits = 64;
    return true;
}

bool terni_cuda_sort_run(terni_cuda_device *d, int64_t rows, int64_t n, terni_sorted *s) {
    const int64_t total = rows * n;
    const unsigned blocks = terni_blocks(total, 256);
    uint64_t *key[2] = {s->key, s->key + total};
    uint32_t *from[2] = {s->from, s->from + total};
    int now = 0;
    bool done = false;
    bool ok = TERNI_LAUNCH_EACH(d, blocks, 256, number, total, n, from[0]) &&
              by_library(d, rows, n, s, key, from, &now, &done);
    for (int64_t width = 1; ok && !done && width < n; width *= 2) {
        const buffers b = {key[now], from[now], key[1 - now], from[1 - now]};
        ok = TERNI_LAUNCH_EACH(d, blocks, 256, merge, total, n, width, b);
        now = 1 - now;
    }
    s->key = key[now];
    s->from = from[now];
    if (!ok) terni_cuda_scratch_free(d, s->memory);
    return ok;
}

extern "C" bool terni_cuda_sort(const terni_call *c) { return first_of(c, c->in[0]->shape[1]); }
extern "C" bool terni_cuda_topk(const terni_call *c) { return first_of(c, c->out[1]->shape[1]); }

extern "C" bool terni_cuda_kth(const terni_call *c) {
    const terni_view *x = c->in[0];
    const int64_t R = x->shape[0], N = x->shape[1];
    if (R == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    terni_sorted s;
    if (!d || !order(c, d, false, &s)) return false;
    const uint64_t top = UINT64_MAX >> (64 - 8 * terni_cuda_size(x->dtype));
    const terni_sort_opts o = *static_cast<const terni_sort_opts *>(c->opts);
    void *values = c->out[0] ? c->out[0]->data : nullptr;
    const bool is_float = terni_cuda_is_float(x->dtype);
    bool ok = false;
    TERNI_BY_SIZE(terni_cuda_size(x->dtype),
                  ok = TERNI_LAUNCH_EACH(d, terni_blocks(R, 256), 256, (kth<S>), R, N, o, is_float, top, s,
                                         static_cast<const S *>(x->data), static_cast<S *>(values),
                                         static_cast<int64_t *>(c->out[1]->data)))
    terni_cuda_scratch_free(d, s.memory);
    return ok;
}

extern "C" bool terni_cuda_searchsorted(const terni_call *c) {
    const terni_view *sorted = c->in[0], *values = c->in[1];
    const int64_t total = terni_cuda_count(values);
    if (total == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    return TERNI_LAUNCH_EACH(d, terni_blocks(total, 256), 256, search, total, values->shape[1], sorted->shape[1],
                             sorted->shape[0] == 1, (int)sorted->dtype, (const void *)sorted->data,
                             (const void *)values->data, static_cast<const terni_search_opts *>(c->opts)->right,
                             static_cast<int64_t *>(c->out[0]->data));
}
