/* Reductions of any dimensions of a view with any strides, in a fixed order: a block's threads lie along outputs (x)
 * and along reduced elements (y); what the y threads have is folded in shared memory, and where one block to an output
 * is too few, parts of the reduced elements go to blocks of their own and a second launch folds these.
 *
 * An operation F has a type F::acc and, on the device: init(), add(acc &, value, index), fold(acc, acc) (the first
 * one's elements come first), and get<O>(acc). */
#ifndef TERNI_CUDA_REDUCE_H
#define TERNI_CUDA_REDUCE_H

#include "launch.h"

struct terni_reduce_shape {
    int64_t outputs, inputs;
    terni_walk<1> kept, reduced; /* offsets in x; data unused */
    bool reduced_dense;          /* neighbours along the reduced dimension lie nearest in memory */
};

/* False after an error. */
static inline bool terni_reduce_shape_of(const terni_view *x, uint32_t dims, const char *name, terni_reduce_shape *s) {
    terni_view kept = *x, reduced = *x;
    kept.ndim = reduced.ndim = 0;
    for (int d = 0; d < x->ndim; d++) {
        terni_view *to = dims >> d & 1 ? &reduced : &kept;
        to->shape[to->ndim] = x->shape[d];
        to->strides[to->ndim++] = x->strides[d];
    }
    terni_each e[2];
    const terni_view *v[2] = {&kept, &reduced};
    terni_walk<1> *w[2] = {&s->kept, &s->reduced};
    int64_t n[2] = {1, 1};
    for (int i = 0; i < 2; i++) {
        for (int d = 0; d < v[i]->ndim; d++) n[i] *= v[i]->shape[d];
        w[i]->ndim = 0;
        w[i]->data[0] = nullptr;
        e[i].ndim = 0;
        if (n[i] == 0) continue;
        if (n[i] > TERNI_WALK_MAX)
            return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "%s: over 2^31 %s elements on a GPU", name,
                                   i ? "reduced" : "resulting");
        terni_cuda_join(&e[i], &v[i], 1);
        w[i]->ndim = e[i].ndim;
        for (int d = 0; d < e[i].ndim; d++) {
            w[i]->size[d] = terni_divisor_of(e[i].shape[d]);
            w[i]->stride[0][d] = e[i].stride[0][d];
        }
    }
    s->outputs = n[0];
    s->inputs = n[1];
    s->reduced_dense = n[0] <= 1 || n[1] <= 1 ? n[1] > 1 : e[1].stride[0][0] <= e[0].stride[0][0];
    return true;
}

template <class F, class S, class O>
__global__ void __launch_bounds__(256)
    terni_reduce_kernel(F f, const S *x, O *y, typename F::acc *parts, uint32_t outputs, uint32_t inputs,
                        uint32_t share, terni_walk<1> kept, terni_walk<1> reduced) {
    using A = typename F::acc;
    TERNI_SHARED(A, shared, 256);
    const uint32_t o = blockIdx.x * blockDim.x + threadIdx.x;
    const uint32_t from = blockIdx.y * share, end = inputs - from < share ? inputs : from + share;
    A a = f.init();
    if (o < outputs) {
        int64_t base[1];
        kept.at(o, base);
        if (reduced.ndim == 1) {
            const int64_t stride = reduced.stride[0][0];
            for (uint32_t r = from + threadIdx.y; r < end; r += blockDim.y) f.add(a, x[base[0] + r * stride], r);
        } else {
            for (uint32_t r = from + threadIdx.y; r < end; r += blockDim.y) {
                int64_t at[1];
                reduced.at(r, at);
                f.add(a, x[base[0] + at[0]], r);
            }
        }
    }
    const int me = threadIdx.y * blockDim.x + threadIdx.x;
    shared[me] = a;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.y < half) shared[me] = f.fold(shared[me], shared[me + half * blockDim.x]);
    }
    if (threadIdx.y == 0 && o < outputs) {
        if (parts)
            parts[(int64_t)blockIdx.y * outputs + o] = shared[me];
        else
            y[o] = f.template get<O>(shared[me]);
    }
}

template <class F, class O>
__global__ void terni_reduce_parts(F f, const typename F::acc *parts, O *y, uint32_t outputs, int n) {
    const uint32_t o = (uint32_t)terni_thread();
    if (o >= outputs) return;
    typename F::acc a = parts[o];
    for (int i = 1; i < n; i++) a = f.fold(a, parts[(int64_t)i * outputs + o]);
    y[o] = f.template get<O>(a);
}

template <class S, class O, class F>
static bool terni_reduce_run(terni_cuda_device *d, const terni_reduce_shape &s, F f, const void *x, void *y) {
    int across = 256; /* threads along reduced elements */
    if (!s.reduced_dense) across = 8;
    while (across > 1 && across / 2 >= s.inputs) across /= 2;
    const dim3 block(256 / across, across);
    const int64_t columns = terni_blocks(s.outputs, block.x), enough = (int64_t)d->properties.processors * 4;
    int64_t splits = 1;
    const int64_t most = s.inputs / ((int64_t)across * 16); /* 16 elements a thread at least */
    if (columns < enough) splits = enough / columns < most ? enough / columns : most;
    if (splits < 1) splits = 1;
    if (splits > 1024) splits = 1024;
    const uint32_t share = (uint32_t)((s.inputs + splits - 1) / splits);
    splits = s.inputs ? (s.inputs + share - 1) / share : 1;
    typename F::acc *parts = nullptr;
    if (splits > 1) {
        parts = static_cast<typename F::acc *>(
            terni_cuda_scratch(d, sizeof(typename F::acc) * (size_t)(splits * s.outputs)));
        if (!parts) return false;
    }
    bool ok = TERNI_LAUNCH(d, dim3((unsigned)columns, (unsigned)splits), block, 0, (terni_reduce_kernel<F, S, O>), f,
                           static_cast<const S *>(x), static_cast<O *>(y), parts, (uint32_t)s.outputs,
                           (uint32_t)s.inputs, share, s.kept, s.reduced);
    if (parts) {
        ok = ok && TERNI_LAUNCH_EACH(d, terni_blocks(s.outputs, 256), 256, (terni_reduce_parts<F, O>), f, parts,
                                     static_cast<O *>(y), (uint32_t)s.outputs, (int)splits);
        terni_cuda_scratch_free(d, parts);
    }
    return ok;
}

#endif
