/* The weights' gradient: rows are result channels, columns a weight's channel and tap, and the depth runs over the
 * pixels of all results. As that is long where rows and columns are few, it is cut into parts whose sums are added up
 * in order by a second kernel: no atomics, so the same bits every time on one kind of device. */
#include "conv_tile.h"

namespace {

enum { BLOCK = 128, FLUSH = 64 }; /* steps, after which the running sums go to others: two levels round less */

/* Columns of a thread: their channel, and where their tap lies from a pixel's first. */
template <class T>
struct taps_of {
    int64_t plane[T::LOADS_B]; /* of the channel within its image's group; -1: there is no such column */
    int32_t at[T::LOADS_B][3];
};

template <class S, class T>
__global__ void __launch_bounds__(T::THREADS)
    product(terni_conv_shape<int32_t> s, int64_t tiles_m, int64_t tiles_n, int64_t part, const S *g, const S *x,
            terni_sum_t<S> *parts, S *gw) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, shared, 2 * T::HALF);
    const int64_t rows = s.per_out, columns = s.per_in * s.taps, pixels = s.N * s.out.count;
    const int64_t block = blockIdx.x, first_n = block % tiles_n * T::N, first_m = block / tiles_n % tiles_m * T::M;
    const int64_t group = block / tiles_n / tiles_m % s.groups, number = block / tiles_n / tiles_m / s.groups;
    const int64_t begin = number * part, end = begin + part < pixels ? begin + part : pixels;
    const int tid = threadIdx.x;
    enum { APART = T::THREADS / T::K };

    taps_of<T> mine;
#pragma unroll
    for (int r = 0; r < T::LOADS_B; r++) {
        const int64_t n = first_n + tid / T::K + r * APART;
        const uint32_t c = terni_divide((uint32_t)n, s.by_taps);
        mine.plane[r] = n < columns ? (group * s.per_in + c) * s.in.count : -1;
        terni_conv_tap(s, (uint32_t)n - c * s.by_taps.d, mine.at[r]);
        for (int i = 0; i < 3; i++) mine.at[r][i] = mine.at[r][i] * s.dilation[i] - s.pad[i];
    }
    int64_t image = (begin + tid % T::K) / s.out.count, q = begin + tid % T::K - image * s.out.count;

    A sum[T::TM][T::TN] = {}, total[T::TM][T::TN] = {}, next_a[T::LOADS_A], next_b[T::LOADS_B];
    const auto fetch =
        [&](int64_t p0) { /* and moves on */
                          const bool there = p0 + tid % T::K < end;
                          int32_t from[3], at[3];
                          terni_conv_at(s.out, there ? q : 0, from);
#pragma unroll
                          for (int r = 0; r < T::LOADS_A; r++) {
                              const int64_t m = first_m + tid / T::K + r * APART;
                              next_a[r] = there && m < rows
                                              ? (A)terni_load<S>(g[(image * s.O + group * rows + m) * s.out.count + q])
                                              : A(0);
                          }
#pragma unroll
                          for (int r = 0; r < T::LOADS_B; r++) {
                              for (int i = 0; i < 3; i++) at[i] = from[i] * s.stride[i] + mine.at[r][i];
                              next_b[r] = 0;
                              if (there && mine.plane[r] >= 0 && terni_conv_inside<int32_t>(s.in, at))
                                  next_b[r] = terni_load<S>(x[image * s.C * s.in.count + mine.plane[r] +
                                                              terni_conv_offset<int32_t>(s.in, at)]);
                          }
                          for (q += T::K; q >= s.out.count; q -= s.out.count) image++;
        };
    const auto put = [&](A *half) {
        half += tid % T::K * T::ROW_A;
#pragma unroll
        for (int r = 0; r < T::LOADS_A; r++) half[tid / T::K + r * APART] = next_a[r];
        half += T::K * T::ROW_A + tid % T::K * (T::ROW_B - T::ROW_A);
#pragma unroll
        for (int r = 0; r < T::LOADS_B; r++) half[tid / T::K + r * APART] = next_b[r];
    };
    const auto flush = [&] {
#pragma unroll
        for (int i = 0; i < T::TM; i++)
#pragma unroll
            for (int j = 0; j < T::TN; j++) {
                total[i][j] += sum[i][j];
                sum[i][j] = 0;
            }
    };
    int now = 0, steps = 0;
    fetch(begin);
    put(shared);
    __syncthreads();
    for (int64_t p = begin; p < end; p += T::K) {
        const bool more = p + T::K < end;
        if (more) fetch(p + T::K);
        terni_conv_multiply<T>(shared + now * T::HALF, sum);
        if (++steps % FLUSH == 0) flush();
        now ^= 1;
        if (more) put(shared + now * T::HALF);
        __syncthreads();
    }
    flush();
    for (int i = 0; i < T::TM; i++)
        for (int j = 0; j < T::TN; j++) {
            const int64_t m = first_m + tid / T::ACROSS * T::TM + i, n = first_n + tid % T::ACROSS + j * T::ACROSS;
            if (m >= rows || n >= columns) continue;
            const int64_t to = (group * rows + m) * columns + n;
            if (parts)
                parts[number * s.O * columns + to] = total[i][j];
            else
                gw[to] = terni_store<S>((terni_math_t<S>)total[i][j]);
        }
}

template <class S>
__global__ void add_parts(int64_t n, int64_t count, const terni_sum_t<S> *parts, S *gw) {
    const int64_t t = terni_thread();
    if (t >= n) return;
    terni_sum_t<S> sum = 0;
    for (int64_t p = 0; p < count; p++) sum += parts[p * n + t];
    gw[t] = terni_store<S>((terni_math_t<S>)sum);
}

/* A weight a block: depthwise, and what has no small indices. */
template <class S, class I>
__global__ void __launch_bounds__(BLOCK) direct(terni_conv_shape<I> s, const S *g, const S *x, S *gw) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const int64_t t = blockIdx.x, c = t / s.taps % s.per_in, o = t / s.taps / s.per_in, tap = t % s.taps;
    const int64_t channel = o / s.per_out * s.per_in + c;
    const I k[3] = {(I)(tap / s.k[2] / s.k[1]), (I)(tap / s.k[2] % s.k[1]), (I)(tap % s.k[2])};
    A sum = 0;
    for (int64_t image = 0; image < s.N; image++) {
        const S *from = g + (image * s.O + o) * s.out.count, *to = x + (image * s.C + channel) * s.in.count;
        for (int64_t q = threadIdx.x; q < s.out.count; q += blockDim.x) {
            I here[3], there[3];
            terni_conv_at(s.out, q, here);
            if (terni_conv_meets<false>(s, here, k, there))
                sum += (A)terni_load<S>(from[q]) * (A)terni_load<S>(to[terni_conv_offset(s.in, there)]);
        }
    }
    sum = terni_block_all(sum, A(0), scratch, terni_plus());
    if (threadIdx.x == 0) gw[t] = terni_store<S>((terni_math_t<S>)sum);
}

template <class S, class T>
bool tiles(terni_cuda_device *d, const terni_conv_shape<int32_t> &s, const S *g, const S *x, S *gw) {
    using A = terni_sum_t<S>;
    const int64_t columns = s.per_in * s.taps, pixels = s.N * s.out.count, n = s.O * columns;
    const int64_t tiles_m = (s.per_out + T::M - 1) / T::M, tiles_n = (columns + T::N - 1) / T::N;
    const int64_t blocks = s.groups * tiles_m * tiles_n, wanted = 4 * (int64_t)d->properties.processors;
    int64_t count = std::min(wanted / blocks, pixels / (2 * T::K));
    if (count < 1) count = 1;
    const int64_t part = ((pixels + count - 1) / count + T::K - 1) / T::K * T::K;
    count = part ? (pixels + part - 1) / part : 1;
    if (count <= 1)
        return TERNI_LAUNCH(d, (unsigned)blocks, T::THREADS, 0, (product<S, T>), s, tiles_m, tiles_n, part, g, x,
                            static_cast<A *>(nullptr), gw);
    A *parts = static_cast<A *>(terni_cuda_scratch(d, (size_t)(count * n) * sizeof(A)));
    const bool ok = parts &&
                    TERNI_LAUNCH(d, (unsigned)(blocks * count), T::THREADS, 0, (product<S, T>), s, tiles_m, tiles_n,
                                 part, g, x, parts, gw) &&
                    TERNI_LAUNCH_EACH(d, terni_blocks(n, BLOCK), BLOCK, (add_parts<S>), n, count, parts, gw);
    terni_cuda_scratch_free(d, parts);
    return ok;
}

template <class S, class I>
bool launch_direct(terni_cuda_device *d, const terni_conv_shape<I> &s, const S *g, const S *x, S *gw) {
    const int threads = s.out.count > 64 ? BLOCK : 32;
    return TERNI_LAUNCH(d, (unsigned)(s.O * s.per_in * s.taps), threads, 0, (direct<S, I>), s, g, x, gw);
}

template <class S>
bool weight_grad(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *gy, const terni_view *x,
                 const terni_view *gw) {
    const terni_conv_shape<int64_t> large = terni_conv_shape_of<int64_t>(x, gw, gy, o);
    const terni_conv_shape<int32_t> s = terni_conv_shape_of<int32_t>(x, gw, gy, o);
    const S *const g = static_cast<const S *>(gy->data), *const xs = static_cast<const S *>(x->data);
    S *const to = static_cast<S *>(gw->data);
    if (!terni_conv_small(large)) return launch_direct<S, int64_t>(d, large, g, xs, to);
    if (s.N * s.out.count == 0 || (s.per_in == 1 && s.per_out == 1)) return launch_direct<S, int32_t>(d, s, g, xs, to);
    return s.per_out > 16 && s.per_in * s.taps > 32 ? tiles<S, terni_conv_wide>(d, s, g, xs, to)
                                                    : tiles<S, terni_conv_narrow>(d, s, g, xs, to);
}

}  // namespace

extern "C" bool terni_cuda_conv_weight_grad_own(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *gy,
                                                const terni_view *x, const terni_view *gw) {
    TERNI_FLOATS(gw->dtype, return weight_grad<S>(d, o, gy, x, gw))
    return false;
}
