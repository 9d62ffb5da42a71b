/* pair_loss, whose sums go in a fixed order, and ctc_loss. */
#include "formulas.h"
#include "launch.h"

#include "tern/ops.h" /* tern_reduction */

namespace {

enum { BLOCK = 256 };

/* ---- pair_loss
 * ----------------------------------------------------------------------------------------------------------------------------
 */

template <class T>
__device__ __forceinline__ T pair_value(const terni_pair_loss_opts &o, T a, T b) {
    const T e = a - b;
    if (o.kind == TERNI_PAIR_SQUARE) return TERNI_SQUARE_VALUE(e);
    if (o.kind == TERNI_PAIR_ABS) return TERNI_ABS_VALUE(e);
    if (o.kind == TERNI_PAIR_HUBER) {
        const T s = TERNI_ABS_VALUE(e), p = (T)o.parameter, m = s < p ? s : p;
        return TERNI_HUBER_VALUE(s, m);
    }
    return TERNI_LOGITS_VALUE(a, b, log1p(exp(-fabs(a))));
}
template <class T>
__device__ __forceinline__ T pair_slope(const terni_pair_loss_opts &o, T a, T b) {
    const T e = a - b, p = (T)o.parameter;
    if (o.kind == TERNI_PAIR_SQUARE) return TERNI_SQUARE_SLOPE(e);
    if (o.kind == TERNI_PAIR_ABS) return TERNI_ABS_SLOPE(e);
    if (o.kind == TERNI_PAIR_HUBER) return TERNI_HUBER_SLOPE(e, p);
    const T fall = exp(-fabs(a));
    return TERNI_LOGITS_SLOPE(a, b, fall);
}

template <class T>
__global__ void pair_each(int64_t n, const T *a, const T *b, T *y, terni_pair_loss_opts o) {
    const int64_t i = terni_thread();
    if (i < n) y[i] = pair_value(o, a[i], b[i]) * (T)o.factor;
}
/* Blocks sum shares; then one block the shares. */
template <class T>
__global__ void __launch_bounds__(BLOCK)
    pair_sums(int64_t n, int64_t share, const T *a, const T *b, double *parts, terni_pair_loss_opts o) {
    TERNI_SHARED(double, scratch, 32);
    const int64_t from = blockIdx.x * share, end = from + share < n ? from + share : n;
    double sum = 0;
    for (int64_t i = from + threadIdx.x; i < end; i += blockDim.x) sum += (double)pair_value(o, a[i], b[i]);
    sum = terni_block_all(sum, 0.0, scratch, terni_plus());
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}
template <class T>
__global__ void __launch_bounds__(BLOCK) pair_total(int64_t n, const double *parts, T *y, double factor) {
    TERNI_SHARED(double, scratch, 32);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += parts[i];
    sum = terni_block_all(sum, 0.0, scratch, terni_plus());
    if (threadIdx.x == 0) *y = (T)(sum * factor);
}
template <class T>
__global__ void pair_grad(int64_t n, const T *g, const T *a, const T *b, T *ga, T *gb, terni_pair_loss_opts o) {
    const int64_t i = terni_thread();
    if (i >= n) return;
    const T gi = o.reduction == TERN_REDUCE_NONE ? g[i] * (T)o.factor : (T)((double)g[0] * o.factor);
    const T d = pair_slope(o, a[i], b[i]);
    if (ga) ga[i] = gi * d;
    if (gb) gb[i] = o.kind == TERNI_PAIR_LOGITS ? -gi * a[i] : -gi * d;
}

template <class T>
bool run_pair(terni_cuda_device *d, const terni_call *c) {
    const terni_pair_loss_opts o = *static_cast<const terni_pair_loss_opts *>(c->opts);
    const int64_t n = terni_cuda_count(c->in[0]);
    const T *a = static_cast<const T *>(c->in[0]->data), *b = static_cast<const T *>(c->in[1]->data);
    T *y = static_cast<T *>(c->out[0]->data);
    if (o.reduction == TERN_REDUCE_NONE)
        return n == 0 || TERNI_LAUNCH_EACH(d, terni_blocks(n, BLOCK), BLOCK, (pair_each<T>), n, a, b, y, o);
    int64_t blocks = (n + BLOCK * 16 - 1) / (BLOCK * 16);
    blocks = blocks < 1 ? 1 : blocks > 1024 ? 1024 : blocks;
    double *parts = static_cast<double *>(terni_cuda_scratch(d, (size_t)blocks * sizeof(double)));
    if (!parts) return false;
    const bool ok =
        TERNI_LAUNCH(d, (unsigned)blocks, BLOCK, 0, (pair_sums<T>), n, (n + blocks - 1) / blocks, a, b, parts, o) &&
        TERNI_LAUNCH(d, 1, BLOCK, 0, (pair_total<T>), blocks, (const double *)parts, y, o.factor);
    terni_cuda_scratch_free(d, parts);
    return ok;
}

template <class T>
bool run_pair_grad(terni_cuda_device *d, const terni_call *c) {
    const int64_t n = terni_cuda_count(c->in[1]);
    if (n == 0) return true;
    return TERNI_LAUNCH_EACH(
        d, terni_blocks(n, BLOCK), BLOCK, (pair_grad<T>), n, static_cast<const T *>(c->in[0]->data),
        static_cast<const T *>(c->in[1]->data), static_cast<const T *>(c->in[2]->data),
        c->out[0] ? static_cast<T *>(c->out[0]->data) : nullptr,
        c->out[1] ? static_cast<T *>(c->out[1]->data) : nullptr, *static_cast<const terni_pair_loss_opts *>(c->opts));
}

/* ---- ctc_loss: a block to a sequence, its threads along the lattice of blank, label, blank, ..., blank
 * ---------------------------------------- */

struct ctc {
    int64_t T, N, C, blank, count;
    const int64_t *target, *start, *input_length, *target_length;
    double
        *room; /* a sequence of w places, 2 labels + 1: alpha [T][w], beta [2][w], behind those of the labels before */
    terni_blame blame;
};

/* All threads come to the same answer. */
__device__ bool ctc_good(const ctc &j, int64_t n) {
    const int64_t inputs = j.input_length[n], targets = j.target_length[n];
    if (inputs < 0 || inputs > j.T) {
        if (threadIdx.x == 0) terni_note(j.blame, TERNI_FAULT_INPUT_LENGTH, inputs, n, 0, j.T);
        return false;
    }
    const int64_t left = j.start[n] < 0 ? 0 : j.count - j.start[n],
                  own = n + 1 < j.N ? j.start[n + 1] - j.start[n] : left;
    const int64_t room = own < left ? own : left;
    if (targets < 0 || targets > room || j.start[n] < 0) {
        if (threadIdx.x == 0) terni_note(j.blame, TERNI_FAULT_TARGET_LENGTH, targets, n, 0, room < 0 ? 0 : room);
        return false;
    }
    for (int64_t s = 0; s < targets; s++) {
        const int64_t k = j.target[j.start[n] + s];
        if (k >= 0 && k < j.C) continue;
        if (threadIdx.x == 0) terni_note(j.blame, TERNI_FAULT_LABEL, k, n, 0, j.C);
        return false;
    }
    return true;
}

template <class S>
__global__ void __launch_bounds__(BLOCK) ctc_sequences(ctc j, const S *log_probs, S *loss, S *grad) {
    const int64_t n = blockIdx.x, step = j.N * j.C;
    const S *lp = log_probs + n * j.C;
    if (grad) grad += n * j.C;
    for (int64_t t = 0; grad && t < j.T; t++)
        for (int64_t k = threadIdx.x; k < j.C; k += blockDim.x) grad[t * step + k] = 0;
    if (!ctc_good(j, n)) {
        if (threadIdx.x == 0) loss[n] = NAN;
        return;
    }
    const int64_t length = j.input_length[n], l = 2 * j.target_length[n] + 1, *target = j.target + j.start[n];
    double *alpha = j.room + (j.T + 2) * (2 * j.start[n] + n), *beta = alpha + j.T * l;
    if (length == 0) {
        if (threadIdx.x == 0) loss[n] = l == 1 ? S(0) : (S)INFINITY;
        return;
    }
    for (int64_t t = 0; t < length; t++) {
        const double *a = alpha + (t - 1) * l;
        for (int64_t s = threadIdx.x; s < l; s += blockDim.x) {
            double in = t == 0 ? (s < 2 ? 0 : -INFINITY) : a[s];
            if (t > 0 && s > 0) in = terni_add_logs(in, a[s - 1]);
            if (t > 0 && terni_ctc_skips(target, j.blank, s)) in = terni_add_logs(in, a[s - 2]);
            alpha[t * l + s] = in + (double)lp[t * step + terni_ctc_class(target, j.blank, s)];
        }
        __syncthreads();
    }
    const double *end = alpha + (length - 1) * l;
    const double total = l > 1 ? terni_add_logs(end[l - 1], end[l - 2]) : end[0];
    if (threadIdx.x == 0) loss[n] = (S)-total;
    if (!grad || total == -INFINITY) return;
    __syncthreads();                      /* all have read the end before it is changed */
    double *now = beta, *next = beta + l; /* from here on, without the element at t itself */
    for (int64_t t = length - 1; t >= 0; t--) {
        for (int64_t s = threadIdx.x; s < l; s += blockDim.x) {
            double out = t == length - 1 ? (s >= l - 2 ? 0 : -INFINITY) : next[s];
            if (t < length - 1 && s + 1 < l) out = terni_add_logs(out, next[s + 1]);
            if (t < length - 1 && s + 2 < l && terni_ctc_skips(target, j.blank, s + 2))
                out = terni_add_logs(out, next[s + 2]);
            alpha[t * l + s] = alpha[t * l + s] + out - total;
            now[s] = out + (double)lp[t * step + terni_ctc_class(target, j.blank, s)];
        }
        __syncthreads();
        if (threadIdx.x == 0) /* labels repeat: one thread adds, in order */
            for (int64_t s = 0; s < l; s++)
                grad[t * step + terni_ctc_class(target, j.blank, s)] -= (S)exp(alpha[t * l + s]);
        double *swap = now;
        now = next;
        next = swap;
        __syncthreads();
    }
}

template <class S>
bool run_ctc(terni_cuda_device *d, const terni_call *c) {
    const terni_view *x = c->in[0];
    ctc j;
    j.T = x->shape[0];
    j.N = x->shape[1];
    j.C = x->shape[2];
    j.blank = static_cast<const terni_ctc_opts *>(c->opts)->blank;
    j.count = terni_cuda_count(c->in[1]);
    j.target = static_cast<const int64_t *>(c->in[1]->data);
    j.start = static_cast<const int64_t *>(c->in[2]->data);
    j.input_length = static_cast<const int64_t *>(c->in[3]->data);
    j.target_length = static_cast<const int64_t *>(c->in[4]->data);
    j.blame = terni_cuda_blame(d, "ctc_loss");
    if (j.N == 0) return true;
    if (j.N > TERNI_WALK_MAX) return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "ctc_loss: 2^31 sequences or more on a GPU");
    j.room = static_cast<double *>(terni_cuda_scratch(d, (size_t)((j.T + 2) * (2 * j.count + j.N)) * sizeof(double)));
    if (!j.room) return false;
    const bool ok =
        TERNI_LAUNCH(d, (unsigned)j.N, BLOCK, 0, (ctc_sequences<S>), j, static_cast<const S *>(x->data),
                     static_cast<S *>(c->out[0]->data), c->out[1] ? static_cast<S *>(c->out[1]->data) : nullptr);
    terni_cuda_scratch_free(d, j.room);
    return ok;
}

}  // namespace

extern "C" bool terni_cuda_pair_loss(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    return d && (c->in[0]->dtype == TERN_F64 ? run_pair<double>(d, c) : run_pair<float>(d, c));
}
extern "C" bool terni_cuda_pair_loss_grad(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    return d && (c->in[1]->dtype == TERN_F64 ? run_pair_grad<double>(d, c) : run_pair_grad<float>(d, c));
}
extern "C" bool terni_cuda_ctc_loss(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    return d && (c->in[0]->dtype == TERN_F64 ? run_ctc<double>(d, c) : run_ctc<float>(d, c));
}
