/* Convolutions by cuDNN, through its graph API. Why not the older cudnnConvolution* calls: the graph API takes padding
 * that differs before and after, so that no padded copy is needed; new engines (those for Hopper among them) come there
 * alone, the older calls being a layer above it since cuDNN 9; each engine says whether it is deterministic and how it
 * rounds, so that what is not wanted is left out one by one; and plans can be made for a device that is not there,
 * which is how tests/cuda_library_conv.c checks every call but the last on a machine without a GPU.
 *
 * The order is cuDNN's own forecast for the device (heuristic mode A, then the fallbacks), without timing: a timed
 * choice differs from run to run, and the result's last bits with it.
 *
 * Tensors are NCHW, as core has them. For f16 and bf16 the tensor-core engines want channels last, and cuDNN's engines
 * for NCHW transpose inside, in the workspace. Doing that here would cost the same passes over memory; what would save
 * them is a channels-last layout that stays from layer to layer, which is core's matter.
 *
 * f32 takes no engine with tensor cores unless tf32 is allowed. Left out always: what reduces in less than f32, and
 * Winograd's tiles of 6x6 and more and FFT, whose errors are beyond f32's rounding.
 *
 * A bias is put into the result before, which cuDNN then adds to (beta 1): rounded once, in f16 and bf16 too, and with
 * the same engines as without. A bias as a node of the graph is for engines that want channels last. */
#include "library_conv.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "library_cudnn.h"

enum { X = 'x', W = 'w', Y = 'y' };

static const char *device_text; /* of tests */

void terni_cuda_library_conv_describe(const char *json) { device_text = json; }

static cudnnBackendDescriptor_t operation(terni_cudnn_graph *g, const terni_conv_problem *p) {
    static const struct {
        cudnnBackendDescriptorType_t type;
        cudnnBackendAttributeName_t x, w, y, how, alpha, beta;
    } kinds[] = {
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
    };
    const cudnnDataType_t sums = p->dtype == TERN_F64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t n = p->axes;
    const float one = 1, kept = p->accumulate ? 1 : 0;
    cudnnBackendDescriptor_t how = terni_cudnn_new(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    terni_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    terni_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    terni_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n);
    terni_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, n, p->before);
    terni_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, n, p->after);
    terni_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, n, p->stride);
    terni_cudnn_set(g, how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, n, p->dilation);
    terni_cudnn_finish(g, how);

    cudnnBackendDescriptor_t x = terni_cudnn_tensor(g, X, p->dtype, 2 + p->axes, p->x, p->align_x);
    cudnnBackendDescriptor_t w = terni_cudnn_tensor(g, W, p->dtype, 2 + p->axes, p->w, p->align_w);
    cudnnBackendDescriptor_t y = terni_cudnn_tensor(g, Y, p->dtype, 2 + p->axes, p->y, p->align_y);
    cudnnBackendDescriptor_t op = terni_cudnn_new(g, kinds[p->kind].type);
    terni_cudnn_refer(g, op, kinds[p->kind].x, x);
    terni_cudnn_refer(g, op, kinds[p->kind].w, w);
    terni_cudnn_refer(g, op, kinds[p->kind].y, y);
    terni_cudnn_refer(g, op, kinds[p->kind].how, how);
    terni_cudnn_set(g, op, kinds[p->kind].alpha, CUDNN_TYPE_FLOAT, 1, &one);
    terni_cudnn_set(g, op, kinds[p->kind].beta, CUDNN_TYPE_FLOAT, 1, &kept);
    terni_cudnn_finish(g, op);
    return op;
}

static unsigned refused(const terni_conv_problem *p) {
    unsigned notes = 1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION | 1u << CUDNN_NUMERICAL_NOTE_FFT |
                     1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 | 1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
    if (p->dtype == TERN_F32 && !p->tf32)
        notes |= 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE | 1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
    return notes;
}

static void plan_free(void *made) { terni_cudnn_plan_free(made, sizeof(terni_cudnn_made_plan)); }

static bool plan_new(const terni_conv_problem *p, size_t most, void **out, size_t *workspace) {
    cudnnBackendDescriptor_t device;
    terni_cudnn_made_plan *made = terni_cudnn_plan_alloc(sizeof *made, p->device, device_text, &device);
    *out = NULL;
    if (!made) return false;
    /* What the descriptors themselves refuse, cuDNN cannot do: sizes beyond its integers, for one. */
    cudnnBackendDescriptor_t op = operation(&made->g, p);
    if (!made->g.rc) made->plan = terni_cudnn_plan(&made->g, &op, 1, device, refused(p), most, workspace);
    if (made->plan)
        *out = made;
    else
        plan_free(made);
    return true;
}

static bool run(void *made, terni_cuda_device *d, void *x, void *w, void *y, void *workspace) {
    const int64_t ids[3] = {X, W, Y};
    return terni_cudnn_run(made, d, 3, ids, (void *const[]){x, w, y}, workspace, "a convolution");
}

const terni_library_conv terni_cuda_library_conv = {"cuDNN", terni_cudnn_open, plan_new, plan_free, run};
