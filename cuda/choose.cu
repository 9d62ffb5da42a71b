/* randperm and multinomial: draws that are orders and choices, the CPU's bit for bit. */
#include "draws.h"
#include "order.h"
#include "sort.h"

namespace {

enum { BLOCK = 256 };

/* The two words of uniform number i. */
struct words {
    uint32_t high, low;
};
__device__ __forceinline__ words words_at(const terni_draws &from, int64_t i) {
    const terni_philox_block b = terni_draw_block(from, (uint64_t)i / 2);
    return {b.w[2 * (i % 2)], b.w[2 * (i % 2) + 1]};
}

__global__ void perm_keys(int64_t n, uint64_t *key, terni_draws from) {
    const int64_t i = terni_thread();
    if (i >= n) return;
    const words w = words_at(from, i);
    key[i] = (uint64_t)w.high << 32 | w.low;
}

/* Index number t of [rows, k]: where the t % k-th of its row stood. */
__global__ void first_from(int64_t total, int64_t n, int64_t k, terni_sorted s, int64_t *y) {
    const int64_t t = terni_thread();
    if (t < total) y[t] = s.from[t / k * n + t % k];
}

/* A thread to a row: are all numbers probabilities, and enough of them above 0? Running sums in f64, in order. */
template <class S>
__global__ void rows(int64_t m, int64_t n, const S *p, double *sum, int64_t samples, bool replacement,
                     terni_blame blame) {
    const int64_t r = terni_thread();
    if (r >= m) return;
    int64_t positive = 0;
    bool good = true;
    double run = 0;
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)terni_load<S>(p[r * n + i]);
        good = good && v >= 0 && v <= 1.7976931348623157e308;
        positive += v > 0;
        run += v;
        if (sum) sum[r * n + i] = run;
    }
    if (!good)
        terni_note(blame, TERNI_FAULT_WEIGHTS, -1, r, 0, 0);
    else if (positive == 0 || (!replacement && positive < samples))
        terni_note(blame, TERNI_FAULT_WEIGHTS, positive, r, samples, 0);
}

__global__ void pick_with(int64_t total, int64_t n, int64_t samples, const double *sums, int64_t *y,
                          terni_multinomial_opts o) {
    const int64_t i = terni_thread();
    if (i >= total) return;
    const double *sum = sums + i / samples * n;
    const words w = words_at(o.from, i);
    const double t = terni_u53(w.high, w.low) * sum[n - 1];
    int64_t lo = 0, hi = n;
    while (lo < hi) { /* the first above t */
        const int64_t middle = lo + (hi - lo) / 2;
        if (sum[middle] > t)
            hi = middle;
        else
            lo = middle + 1;
    }
    if (lo == n) { /* rounding left none: the last with a number above 0 */
        lo = n - 1;
        while (lo > 0 && sum[lo - 1] == sum[lo]) lo--;
    }
    y[i] = lo;
}

template <class S>
__global__ void pick_keys(int64_t total, const S *p, uint64_t *key, terni_multinomial_opts o) {
    const int64_t i = terni_thread();
    if (i >= total) return;
    const words w = words_at(o.from, i);
    const double v = (double)terni_load<S>(p[i]);
    const double k = v > 0 ? -terni_log_f64(terni_open_f64(w.high, w.low)) / v : (double)INFINITY;
    uint64_t bits;
    memcpy(&bits, &k, sizeof bits);
    key[i] = terni_key_f64(bits);
}

}  // namespace

extern "C" bool terni_cuda_randperm(const terni_call *c) {
    const terni_random_opts *o = static_cast<const terni_random_opts *>(c->opts);
    const int64_t n = terni_cuda_count(c->out[0]);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    terni_sorted s;
    if (!d || !terni_cuda_sort_open(d, 1, n, &s)) return false;
    if (!TERNI_LAUNCH_EACH(d, terni_blocks(n, BLOCK), BLOCK, perm_keys, n, s.key, o->from)) {
        terni_cuda_scratch_free(d, s.memory);
        return false;
    }
    if (!terni_cuda_sort_run(d, 1, n, &s)) return false;
    const bool ok = TERNI_LAUNCH_EACH(d, terni_blocks(n, BLOCK), BLOCK, first_from, n, n, n, s,
                                      static_cast<int64_t *>(c->out[0]->data));
    terni_cuda_scratch_free(d, s.memory);
    return ok;
}

extern "C" bool terni_cuda_multinomial(const terni_call *c) {
    const terni_multinomial_opts o = *static_cast<const terni_multinomial_opts *>(c->opts);
    const terni_view *p = c->in[0], *y = c->out[0];
    const int64_t m = p->shape[0], n = p->shape[1], samples = y->shape[1];
    if (m == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    int64_t *to = static_cast<int64_t *>(y->data);
    const terni_blame blame = terni_cuda_blame(d, "multinomial");
    bool ok = false;
    if (o.replacement) {
        double *sum = static_cast<double *>(terni_cuda_scratch(d, (size_t)(m * n) * sizeof(double)));
        if (!sum) return false;
        TERNI_FLOATS(p->dtype, ok = TERNI_LAUNCH_EACH(d, terni_blocks(m, BLOCK), BLOCK, (rows<S>), m, n,
                                                      static_cast<const S *>(p->data), sum, samples, true, blame))
        ok = ok && TERNI_LAUNCH_EACH(d, terni_blocks(m * samples, BLOCK), BLOCK, pick_with, m * samples, n, samples,
                                     (const double *)sum, to, o);
        terni_cuda_scratch_free(d, sum);
        return ok;
    }
    terni_sorted s;
    if (!terni_cuda_sort_open(d, m, n, &s)) return false;
    double *const none = nullptr;
    TERNI_FLOATS(p->dtype, {
        const S *x = static_cast<const S *>(p->data);
        ok = TERNI_LAUNCH_EACH(d, terni_blocks(m, BLOCK), BLOCK, (rows<S>), m, n, x, none, samples, false, blame) &&
             TERNI_LAUNCH_EACH(d, terni_blocks(m * n, BLOCK), BLOCK, (pick_keys<S>), m * n, x, s.key, o);
    })
    if (!ok) {
        terni_cuda_scratch_free(d, s.memory);
        return false;
    }
    if (!terni_cuda_sort_run(d, m, n, &s)) return false;
    ok = TERNI_LAUNCH_EACH(d, terni_blocks(m * samples, BLOCK), BLOCK, first_from, m * samples, n, samples, s, to);
    terni_cuda_scratch_free(d, s.memory);
    return ok;
}
