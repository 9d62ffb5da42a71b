/* A simulation of CUDA's execution model on the host, so that kernels of cuda/ can be tested without a GPU: compile a
 * .cu file as C++17 with this folder in the include path and TERNI_SIMULATED defined.
 *
 * Blocks run one after another. The threads of a block are fibers that change over at barriers and shuffles, in several
 * orders (TERN_SIM_ORDER=0 ascending, 1 descending, larger even numbers shuffled by that seed, odd ones warp after warp
 * as far as each can go), so that a missing barrier gives other results, and one that some threads do not reach is
 * reported. Shared memory is filled with 0xFF (NaN) before each block, between red zones under AddressSanitizer.
 * Kernels without barriers are launched as such and run as plain loops; a barrier inside one is reported.
 *
 * Not covered: tensor cores, asynchronous copies, weak memory order, occupancy. */
#ifndef TERN_CUSIM_H
#define TERN_CUSIM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <functional>

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

namespace cusim {

enum { MAX_THREADS = 1024, WARP = 32 };

struct block_state {
    dim3 grid, block, at;
    dim3 index[MAX_THREADS];
    int n, current;
    uint64_t slot[MAX_THREADS]; /* what a thread gives to a shuffle */
};
extern block_state now;

/* Runs kernel() for every thread of every block. independent: no barriers, no shuffles. */
void launch(dim3 grid, dim3 block, size_t dynamic_bytes, bool independent, const char *name,
            const std::function<void()> &kernel);
/* A launch on a stream: done now or, while the stream is captured, at each launch of the graph. As on a device, the
 * arguments have their values when it is made. */
bool submit_kernel(void *stream, dim3 grid, dim3 block, size_t dynamic_bytes, bool independent, const char *name,
                   std::function<void()> kernel);
template <class T>
struct as_declared {
    using type = T;
};
template <class... P>
bool submit(void *stream, dim3 grid, dim3 block, size_t dynamic_bytes, bool independent, const char *name,
            void (*kernel)(P...), typename as_declared<P>::type... a) {
    return submit_kernel(stream, grid, block, dynamic_bytes, independent, name, [=] { kernel(a...); });
}
void barrier();
void warp_barrier(unsigned mask);
/* A shuffle reads another lane's value only where that lane takes part. */
void read_lane(unsigned mask, int lane);
/* Shared memory of the running block: one array for each key. */
void *shared(int key, size_t bytes);
void *dynamic_shared();

template <class T>
T shuffle(unsigned mask, T value, int source_lane) {
    static_assert(sizeof(T) <= 8, "at most 8 bytes");
    const int me = now.current, warp = me & ~(WARP - 1);
    memcpy(&now.slot[me], &value, sizeof value);
    read_lane(mask, source_lane);
    warp_barrier(mask);
    T result;
    memcpy(&result, &now.slot[warp + source_lane], sizeof result);
    warp_barrier(mask);
    return result;
}
static inline int lane() { return now.current & (WARP - 1); }
unsigned ballot(unsigned mask, bool vote);

}  // namespace cusim

#define threadIdx (cusim::now.index[cusim::now.current])
#define blockIdx  (cusim::now.at)
#define blockDim  (cusim::now.block)
#define gridDim   (cusim::now.grid)
#define warpSize  32

#define TERNI_SHARED(T, name, count)  T *const name = static_cast<T *>(cusim::shared(__COUNTER__, sizeof(T) * (count)))
#define TERNI_DYNAMIC_SHARED(T, name) T *const name = static_cast<T *>(cusim::dynamic_shared())

static inline void __syncthreads() { cusim::barrier(); }
static inline void __syncwarp(unsigned mask = ~0u) { cusim::warp_barrier(mask); }
template <class T>
T __shfl_sync(unsigned mask, T v, int lane, int width = 32) {
    return cusim::shuffle(mask, v, (cusim::lane() & ~(width - 1)) | (lane & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32) {
    const int to = cusim::lane() ^ bits;
    return cusim::shuffle(mask, v, (to ^ cusim::lane()) < width ? to : cusim::lane());
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
    const int at = cusim::lane() & (width - 1);
    return cusim::shuffle(mask, v, at + (int)by < width ? cusim::lane() + (int)by : cusim::lane());
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
    const int at = cusim::lane() & (width - 1);
    return cusim::shuffle(mask, v, at >= (int)by ? cusim::lane() - (int)by : cusim::lane());
}
static inline unsigned __ballot_sync(unsigned mask, int vote) { return cusim::ballot(mask, vote != 0); }
static inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
static inline int __all_sync(unsigned mask, int vote) { return __ballot_sync(mask, !vote) == 0; }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
static inline int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
static inline void __threadfence() {}
static inline void __threadfence_system() {}

template <class T>
T atomicAdd(T *p, T v) {
    const T old = *p;
    *p = old + v;
    return old;
}
template <class T>
T atomicMax(T *p, T v) {
    const T old = *p;
    if (v > old) *p = v;
    return old;
}
template <class T>
T atomicMin(T *p, T v) {
    const T old = *p;
    if (v < old) *p = v;
    return old;
}
template <class T>
T atomicCAS(T *p, T expected, T v) {
    const T old = *p;
    if (old == expected) *p = v;
    return old;
}
template <class T>
T atomicExch(T *p, T v) {
    const T old = *p;
    *p = v;
    return old;
}
template <class T>
T atomicOr(T *p, T v) {
    const T old = *p;
    *p = old | v;
    return old;
}
template <class T>
T __ldg(const T *p) {
    return *p;
}

static inline float __uint_as_float(unsigned v) {
    float f;
    memcpy(&f, &v, sizeof f);
    return f;
}
static inline unsigned __float_as_uint(float f) {
    unsigned v;
    memcpy(&v, &f, sizeof v);
    return v;
}
static inline float __int_as_float(int v) { return __uint_as_float((unsigned)v); }
static inline int __float_as_int(float f) { return (int)__float_as_uint(f); }
static inline long long __double_as_longlong(double d) {
    long long v;
    memcpy(&v, &d, sizeof v);
    return v;
}
static inline double __longlong_as_double(long long v) {
    double d;
    memcpy(&d, &v, sizeof d);
    return d;
}

/* CUDA has these for float and double by the same name; so has C++ in std. */
using std::acos;
using std::acosh;
using std::asin;
using std::asinh;
using std::atan;
using std::atan2;
using std::atanh;
using std::ceil;
using std::copysign;
using std::cos;
using std::cosh;
using std::erf;
using std::erfc;
using std::exp;
using std::exp2;
using std::expm1;
using std::fabs;
using std::floor;
using std::fma;
using std::fmax;
using std::fmin;
using std::fmod;
using std::hypot;
using std::log;
using std::log10;
using std::log1p;
using std::log2;
using std::max;
using std::min;
using std::nextafter;
using std::pow;
using std::rint;
using std::sin;
using std::sinh;
using std::sqrt;
using std::tan;
using std::tanh;
using std::trunc;
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }

#endif
