/* Recurrent layers by cuDNN: cudnnRNNForward and its two gradients, with one layer in a descriptor.
 *
 * The algorithm is the standard one, products by cuBLAS and a kernel for the gates, which takes every size and type.
 * The persistent ones keep the state's weights on the chip from step to step and are faster at small sizes; when they
 * apply and whether they pay has to be measured, so they are left for that.
 *
 * Sequences are padded (UNPACKED) and all of one length, with PADDED_IO_ENABLED as that layout asks. The lengths are
 * handed over with the data's descriptor; cuDNN 8.9.1 and later want no copy of them in device memory. f32 without tf32
 * takes FMA_MATH; f16 and bf16 take tensor cores, and add in f32. cuDNN names the gates in the order in which Tern has
 * them (an lstm's i, f, g, o and a gru's r, z, n), those of the input before those of the state. */
#include "library_rnn.h"

#include <cudnn_adv.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "library_cudnn.h"

#define FUNCTIONS(F)                 \
    F(cudnnCreateDropoutDescriptor)  \
    F(cudnnCreateRNNDataDescriptor)  \
    F(cudnnCreateRNNDescriptor)      \
    F(cudnnCreateTensorDescriptor)   \
    F(cudnnDestroyDropoutDescriptor) \
    F(cudnnDestroyRNNDataDescriptor) \
    F(cudnnDestroyRNNDescriptor)     \
    F(cudnnDestroyTensorDescriptor)  \
    F(cudnnGetRNNTempSpaceSizes)     \
    F(cudnnGetRNNWeightParams)       \
    F(cudnnGetRNNWeightSpaceSize)    \
    F(cudnnGetTensorNdDescriptor)    \
    F(cudnnRNNBackwardData_v8)       \
    F(cudnnRNNBackwardWeights_v8)    \
    F(cudnnRNNForward)               \
    F(cudnnSetDropoutDescriptor)     \
    F(cudnnSetRNNDataDescriptor)     \
    F(cudnnSetRNNDescriptor_v8)      \
    F(cudnnSetTensorNdDescriptor)
static struct { FUNCTIONS(TERNI_LIBRARY_FIELD) } dnn;

/* Descriptors live as long as the plan: a captured graph may read the lengths in them. */
typedef struct plan {
    terni_rnn_plan known;
    terni_rnn_problem p;
    size_t workspace;
    bool failed; /* cuDNN gave an error while it was made, beyond that something is not supported */
    cudnnDropoutDescriptor_t dropout;
    cudnnRNNDescriptor_t rnn;
    cudnnRNNDataDescriptor_t x, y;
    cudnnTensorDescriptor_t states;
} plan;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    bool tried, works;
    char why[512];
} library;

static bool open_library(char *why, size_t size) {
    static const char *const names[] = {FUNCTIONS(TERNI_LIBRARY_NAME)};
    pthread_mutex_lock(&lock);
    if (!library.tried)
        library.works =
            terni_cudnn_functions(names, (int)(sizeof names / sizeof *names), &dnn, library.why, sizeof library.why);
    library.tried = true;
    const bool works = library.works;
    pthread_mutex_unlock(&lock);
    if (!works && why) snprintf(why, size, "%s", library.why);
    return works;
}

static int gates_of(const terni_rnn_problem *p) {
    return p->kind == TERNI_RNN_LSTM ? 4 : p->kind == TERNI_RNN_GRU ? 3 : 1;
}

/* ---- descriptors
 * ------------------------------------------------------------------------------------------------------------ */

static void plan_free(terni_rnn_plan *v) {
    plan *made = (plan *)v;
    if (!made) return;
    if (made->states) dnn.cudnnDestroyTensorDescriptor(made->states);
    if (made->y) dnn.cudnnDestroyRNNDataDescriptor(made->y);
    if (made->x) dnn.cudnnDestroyRNNDataDescriptor(made->x);
    if (made->rnn) dnn.cudnnDestroyRNNDescriptor(made->rnn);
    if (made->dropout) dnn.cudnnDestroyDropoutDescriptor(made->dropout);
    terni_cuda_host->free(made, sizeof *made);
}

/* What is not supported has no plan; any other refusal is an error. */
static bool does(plan *made, cudnnStatus_t rc) {
    if ((int)CUDNN_STATUS_CATEGORY((int)rc) == (int)CUDNN_STATUS_NOT_SUPPORTED) return false;
    made->failed = !terni_cudnn_ok(rc, "the plan of a recurrent layer");
    return !made->failed;
}

static cudnnStatus_t describe_layer(cudnnHandle_t h, plan *made) {
    static const cudnnRNNMode_t modes[] = {[TERNI_RNN_TANH] = CUDNN_RNN_TANH,
                                           [TERNI_RNN_RELU] = CUDNN_RNN_RELU,
                                           [TERNI_RNN_LSTM] = CUDNN_LSTM,
                                           [TERNI_RNN_GRU] = CUDNN_GRU};
    const terni_rnn_problem *p = &made->p;
    const bool half = p->dtype == TERN_F16 || p->dtype == TERN_BF16;
    const cudnnMathType_t math = half                               ? CUDNN_TENSOR_OP_MATH
                                 : p->dtype == TERN_F32 && !p->tf32 ? CUDNN_FMA_MATH
                                                                    : CUDNN_DEFAULT_MATH;
    const int32_t wide = (int32_t)p->H;
    cudnnStatus_t rc = dnn.cudnnCreateDropoutDescriptor(&made->dropout);
    if (!rc) rc = dnn.cudnnSetDropoutDescriptor(made->dropout, h, 0, NULL, 0, 0);
    if (!rc) rc = dnn.cudnnCreateRNNDescriptor(&made->rnn);
    if (!rc)
        rc = dnn.cudnnSetRNNDescriptor_v8(
            made->rnn, CUDNN_RNN_ALGO_STANDARD, modes[p->kind], p->biases ? CUDNN_RNN_DOUBLE_BIAS : CUDNN_RNN_NO_BIAS,
            p->dirs == 2 ? CUDNN_BIDIRECTIONAL : CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, terni_cudnn_type(p->dtype),
            p->dtype == TERN_F64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT, math, (int32_t)p->I, wide, wide, 1,
            made->dropout, CUDNN_RNN_PADDED_IO_ENABLED);
    return rc;
}

static cudnnStatus_t describe_data(cudnnRNNDataDescriptor_t *out, const terni_rnn_problem *p, int64_t width,
                                   const int *lengths) {
    const cudnnStatus_t rc = dnn.cudnnCreateRNNDataDescriptor(out);
    return rc ? rc
              : dnn.cudnnSetRNNDataDescriptor(*out, terni_cudnn_type(p->dtype),
                                              CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, (int)p->T, (int)p->N,
                                              (int)width, lengths, NULL);
}

static cudnnStatus_t describe_tensors(plan *made, const int *lengths) {
    const terni_rnn_problem *p = &made->p;
    const int shape[3] = {p->dirs, (int)p->N, (int)p->H};
    const int strides[3] = {(int)(p->N * p->H), (int)p->H, 1};
    cudnnStatus_t rc = describe_data(&made->x, p, p->I, lengths);
    if (!rc) rc = describe_data(&made->y, p, p->dirs * p->H, lengths);
    if (!rc) rc = dnn.cudnnCreateTensorDescriptor(&made->states);
    if (!rc) rc = dnn.cudnnSetTensorNdDescriptor(made->states, terni_cudnn_type(p->dtype), 3, shape, strides);
    return rc;
}

/* ---- where the weights go
 * ---------------------------------------------------------------------------------------------------- */

/* Behind the rows before it where it lies there too. False if there is no room. */
static bool add_piece(terni_rnn_plan *known, terni_rnn_piece s, size_t size) {
    for (int i = 0; i < known->n; i++) {
        terni_rnn_piece *to = &known->piece[i];
        if (to->weight != s.weight || to->row + to->rows != s.row ||
            to->at + (size_t)(to->rows * to->columns) * size != s.at)
            continue;
        to->rows += s.rows;
        return true;
    }
    if (known->n == TERNI_RNN_PIECES) return false;
    known->piece[known->n++] = s;
    return true;
}

/* [1, rows, columns] without gaps, as Tern has it. */
static bool as_expected(cudnnTensorDescriptor_t t, const terni_rnn_problem *p, int64_t columns) {
    cudnnDataType_t type;
    int n = 0, shape[3] = {0}, strides[3] = {0};
    return !dnn.cudnnGetTensorNdDescriptor(t, 3, &type, &n, shape, strides) && type == terni_cudnn_type(p->dtype) &&
           n == 3 && shape[0] == 1 && shape[1] == p->H && shape[2] == columns && (strides[1] == columns || p->H == 1) &&
           (strides[2] == 1 || columns == 1);
}

/* The id-th gate of a direction; base is any memory of the weights' size. */
static bool place(cudnnHandle_t h, plan *made, int dir, int id, char *base, cudnnTensorDescriptor_t m,
                  cudnnTensorDescriptor_t b) {
    const terni_rnn_problem *p = &made->p;
    const int gates = gates_of(p), of_state = id >= gates;
    const int64_t columns = of_state ? p->H : p->I, row = id % gates * p->H;
    const size_t size = terni_cuda_size(p->dtype);
    void *matrix = NULL, *bias = NULL;
    if (!does(made,
              dnn.cudnnGetRNNWeightParams(h, made->rnn, dir, made->known.weights, base, id, m, &matrix, b, &bias)) ||
        !matrix || !as_expected(m, p, columns) || (p->biases && (!bias || !as_expected(b, p, 1))))
        return false;
    const terni_rnn_piece weight = {4 * dir + of_state, row, p->H, columns, (size_t)((char *)matrix - base)};
    const terni_rnn_piece more = {4 * dir + 2 + of_state, row, p->H, 1, p->biases ? (size_t)((char *)bias - base) : 0};
    return add_piece(&made->known, weight, size) && (!p->biases || add_piece(&made->known, more, size));
}

static bool places(terni_cuda_device *d, cudnnHandle_t h, plan *made) {
    cudnnTensorDescriptor_t m = NULL, b = NULL;
    char *base = terni_cuda_scratch(d, made->known.weights);
    made->failed = !base;
    bool ok =
        base && does(made, dnn.cudnnCreateTensorDescriptor(&m)) && does(made, dnn.cudnnCreateTensorDescriptor(&b));
    for (int dir = 0; ok && dir < made->p.dirs; dir++)
        for (int id = 0; ok && id < 2 * gates_of(&made->p); id++) ok = place(h, made, dir, id, base, m, b);
    if (m) dnn.cudnnDestroyTensorDescriptor(m);
    if (b) dnn.cudnnDestroyTensorDescriptor(b);
    terni_cuda_scratch_free(d, base);
    return ok;
}

/* ---- plans
 * ------------------------------------------------------------------------------------------------------------------ */

static cudnnForwardMode_t mode_of(const terni_rnn_problem *p) {
    return p->keep ? CUDNN_FWD_MODE_TRAINING : CUDNN_FWD_MODE_INFERENCE;
}

/* *has: there is a plan. False after an error. */
static bool fill(terni_cuda_device *d, cudnnHandle_t h, plan *made, const int *lengths, size_t most, bool *has) {
    *has = does(made, describe_layer(h, made)) && does(made, describe_tensors(made, lengths)) &&
           does(made, dnn.cudnnGetRNNWeightSpaceSize(h, made->rnn, &made->known.weights)) &&
           does(made, dnn.cudnnGetRNNTempSpaceSizes(h, made->rnn, mode_of(&made->p), made->x, &made->workspace,
                                                    &made->known.reserve)) &&
           made->workspace <= most && places(d, h, made);
    return !made->failed;
}

static bool fits(const terni_rnn_problem *p) {
    const int64_t most = INT32_MAX;
    return p->T <= most && p->N <= most && p->I <= most && 2 * p->H <= most && p->N <= most / p->H;
}

static bool plan_new(const terni_rnn_problem *p, size_t most, terni_rnn_plan **out, size_t *workspace) {
    *out = NULL;
    if (!fits(p)) return true;
    terni_cuda_device *d = terni_cuda_use(p->device);
    if (!d) return false;
    const size_t bytes = (size_t)p->N * sizeof(int);
    int *lengths = terni_cuda_host->alloc(bytes);
    plan *made = lengths ? terni_cuda_host->alloc(sizeof *made) : NULL;
    bool ok = made != NULL, has = false;
    if (made) {
        memset(made, 0, sizeof *made);
        made->p = *p;
        for (int64_t i = 0; i < p->N; i++) lengths[i] = (int)p->T;
        cudnnHandle_t h = terni_cudnn_take(d);
        ok = h && fill(d, h, made, lengths, most, &has);
        if (h) terni_cudnn_give(d);
    }
    if (lengths) terni_cuda_host->free(lengths, bytes);
    if (ok && has) {
        *workspace = made->workspace;
        *out = &made->known;
    } else
        plan_free(made ? &made->known : NULL);
    return ok;
}

/* ---- running
 * ---------------------------------------------------------------------------------------------------------------- */

static bool forward(terni_rnn_plan *v, terni_cuda_device *d, const terni_rnn_data *t) {
    plan *made = (plan *)v;
    cudnnHandle_t h = terni_cudnn_take(d);
    if (!h) return false;
    const cudnnStatus_t rc = dnn.cudnnRNNForward(
        h, made->rnn, mode_of(&made->p), NULL, made->x, t->x, made->y, t->y, made->states, t->h0, t->hn,
        made->p.kind == TERNI_RNN_LSTM ? made->states : NULL, t->c0, t->cn, v->weights, t->weights, made->workspace,
        t->workspace, made->p.keep ? v->reserve : 0, made->p.keep ? t->reserve : NULL);
    const bool ok = terni_cudnn_ok(rc, "a recurrent layer");
    terni_cudnn_give(d);
    return ok;
}

static bool backward(terni_rnn_plan *v, terni_cuda_device *d, const terni_rnn_data *t) {
    plan *made = (plan *)v;
    cudnnHandle_t h = terni_cudnn_take(d);
    if (!h) return false;
    bool ok = terni_cudnn_ok(dnn.cudnnRNNBackwardData_v8(
                                 h, made->rnn, NULL, made->y, t->y, t->gy, made->x, t->gx, made->states, t->h0, t->ghn,
                                 t->gh0, made->p.kind == TERNI_RNN_LSTM ? made->states : NULL, t->c0, t->gcn, t->gc0,
                                 v->weights, t->weights, made->workspace, t->workspace, v->reserve, t->reserve),
                             "a recurrent layer's gradient");
    if (ok && t->gweights)
        ok = terni_cudnn_ok(dnn.cudnnRNNBackwardWeights_v8(h, made->rnn, CUDNN_WGRAD_MODE_ADD, NULL, made->x, t->x,
                                                           made->states, t->h0, made->y, t->y, v->weights, t->gweights,
                                                           made->workspace, t->workspace, v->reserve, t->reserve),
                            "the gradient of a recurrent layer's weights");
    terni_cudnn_give(d);
    return ok;
}

const terni_library_rnn terni_cuda_library_rnn = {"cuDNN", open_library, plan_new, plan_free, forward, backward};
