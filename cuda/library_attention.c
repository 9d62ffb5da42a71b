/* Attention by cuDNN's fused kernels, through its graph API: matrix products, the causal mask, softmax and, backward,
 * their gradients, written as single operations; an engine of cuDNN's recognises them and computes them tile by tile,
 * so that no L x S array is in memory forward. The operations and their order are those that NVIDIA's cudnn-frontend
 * (node/ scaled_dot_product_flash_attention.h) writes, since no others are recognised. cuDNN's one operation for all of
 * it (SDPA_FWD, 9.13) has no causal mask before 9.21.
 *
 * Backward, the usual engines add the gradient of q atomically, in an order that differs from run to run. Asked for
 * that gradient as a product's result, cuDNN keeps the scores' slopes in the workspace, two bytes each, and sums in one
 * order: Tern's attention_grad promises that. Where the workspace is too small for it there is no plan.
 *
 * The masks' value is the lowest f32 and not -infinity, as engines expect; with causal every row has its first key. */
#include "library_attention.h"

#include <float.h>
#include <string.h>

#include "library_cudnn.h"

enum { OPERATIONS = 32, NUMBERS = 3, ALIGNMENT = 16, PIECE = 256 };

/* Numbers of tensors in memory: those of terni_attention_tensor, and these. */
enum {
    STATS = TERNI_ATTENTION_TENSORS,
    ALONG, /* each row's sum of gy y */
    SCALE,
    LOWEST,
    ONE,
    NAMED
};

typedef struct plan {
    terni_cudnn_made_plan made; /* first */
    bool backward, stats;
    size_t engine; /* its part of the workspace; ALONG stands behind */
} plan;

typedef cudnnBackendDescriptor_t descriptor;

typedef struct builder {
    terni_cudnn_graph *g;
    const terni_attention_problem *p;
    cudnnDataType_t type;
    int64_t next; /* the number of a tensor between operations */
    int n;
    descriptor op[OPERATIONS];
} builder;

static const char *device_text; /* of tests */

void terni_cuda_library_attention_describe(const char *json) { device_text = json; }

/* ---- tensors
 * ---------------------------------------------------------------------------------------------------------------- */

static descriptor with_strides(builder *b, int64_t id, cudnnDataType_t type, const int64_t shape[4],
                               const int64_t strides[4], terni_cudnn_place place) {
    return terni_cudnn_strided(b->g, id, type, 4, shape, strides, ALIGNMENT, place);
}

/* One of the problem's, with rows and columns exchanged if so asked. */
static descriptor given(builder *b, int t, bool exchanged) {
    const int64_t *step = b->p->stride[t];
    int64_t shape[4], strides[4] = {step[0], step[1], step[2], 1};
    terni_attention_shape(b->p, t, shape);
    if (exchanged) {
        const int64_t rows = shape[2];
        shape[2] = shape[3];
        shape[3] = rows;
        strides[2] = 1;
        strides[3] = step[2];
    }
    return with_strides(b, t, b->type, shape, strides, TERNI_CUDNN_MEMORY);
}

/* [B, H, rows, columns] without gaps. */
static descriptor dense(builder *b, int64_t id, cudnnDataType_t type, int64_t rows, int64_t columns,
                        terni_cudnn_place place) {
    const int64_t shape[4] = {b->p->B, b->p->H, rows, columns};
    const int64_t strides[4] = {b->p->H * rows * columns, rows * columns, columns, 1};
    return with_strides(b, id, type, shape, strides, place);
}
static descriptor between(builder *b, cudnnDataType_t type, int64_t rows, int64_t columns) {
    return dense(b, b->next++, type, rows, columns, TERNI_CUDNN_BETWEEN);
}
static descriptor scores(builder *b) { return between(b, CUDNN_DATA_FLOAT, b->p->L, b->p->S); }
static descriptor per_row(builder *b) { return between(b, CUDNN_DATA_FLOAT, b->p->L, 1); }

static descriptor number(builder *b, int64_t id) {
    const int64_t ones[4] = {1, 1, 1, 1};
    return with_strides(b, id, CUDNN_DATA_FLOAT, ones, ones, TERNI_CUDNN_NUMBER);
}

/* ---- operations
 * ------------------------------------------------------------------------------------------------------------- */

static descriptor operation(builder *b, cudnnBackendDescriptorType_t type) {
    if (b->n == OPERATIONS) b->g->rc = CUDNN_STATUS_INTERNAL_ERROR;
    descriptor op = terni_cudnn_new(b->g, type);
    if (op) b->op[b->n++] = op;
    return op;
}

/* y = mode(x, with), and if chooses, mode(x, with, chooses). Returns y. axis: of an index, else -1. */
static descriptor pointwise(builder *b, cudnnPointwiseMode_t mode, int64_t axis, descriptor x, descriptor with,
                            descriptor chooses, descriptor y) {
    const cudnnDataType_t math = mode == CUDNN_POINTWISE_CMP_GE ? CUDNN_DATA_BOOLEAN : CUDNN_DATA_FLOAT;
    descriptor how = terni_cudnn_new(b->g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    terni_cudnn_set(b->g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    terni_cudnn_set(b->g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &math);
    if (axis >= 0) terni_cudnn_set(b->g, how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
    terni_cudnn_finish(b->g, how);
    descriptor op = operation(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (with) terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, with);
    if (chooses) terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, chooses);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    terni_cudnn_finish(b->g, op);
    return y;
}
static descriptor binary(builder *b, cudnnPointwiseMode_t mode, descriptor x, descriptor with, descriptor y) {
    return pointwise(b, mode, -1, x, with, NULL, y);
}
static descriptor unary(builder *b, cudnnPointwiseMode_t mode, descriptor x, descriptor y) {
    return pointwise(b, mode, -1, x, NULL, NULL, y);
}

static descriptor product(builder *b, descriptor x, descriptor with, descriptor y) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    descriptor how = terni_cudnn_new(b->g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    terni_cudnn_set(b->g, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    terni_cudnn_finish(b->g, how);
    descriptor op = operation(b, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, x);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, with);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, y);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    terni_cudnn_finish(b->g, op);
    return y;
}

/* Over the dimensions in which y has size 1, or a divisor of x's. */
static descriptor reduction(builder *b, cudnnReduceTensorOp_t what, descriptor x, descriptor y) {
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    descriptor how = terni_cudnn_new(b->g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    terni_cudnn_set(b->g, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &what);
    terni_cudnn_set(b->g, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    terni_cudnn_finish(b->g, how);
    descriptor op = operation(b, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    terni_cudnn_finish(b->g, op);
    return y;
}

static descriptor reshaped(builder *b, descriptor x, descriptor y) {
    descriptor op = operation(b, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    terni_cudnn_refer(b->g, op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
    terni_cudnn_finish(b->g, op);
    return y;
}

/* ---- the two graphs
 * --------------------------------------------------------------------------------------------------------- */

static descriptor index_along(builder *b, descriptor s, int64_t axis) {
    return pointwise(b, CUDNN_POINTWISE_GEN_INDEX, axis, s, NULL, NULL, between(b, CUDNN_DATA_INT32, b->p->L, b->p->S));
}

/* Scores with those of keys behind the row's own at the lowest number. */
static descriptor masked(builder *b, descriptor s) {
    if (!b->p->causal) return s;
    descriptor row = index_along(b, s, 2), key = index_along(b, s, 3);
    descriptor takes = binary(b, CUDNN_POINTWISE_CMP_GE, row, key, between(b, CUDNN_DATA_BOOLEAN, b->p->L, b->p->S));
    return pointwise(b, CUDNN_POINTWISE_BINARY_SELECT, -1, s, number(b, LOWEST), takes, scores(b));
}

static void forward(builder *b) {
    const terni_attention_problem *p = b->p;
    descriptor q = given(b, TERNI_ATTENTION_Q, false), kt = given(b, TERNI_ATTENTION_K, true);
    descriptor s = product(b, q, kt, scores(b));
    s = masked(b, binary(b, CUDNN_POINTWISE_MUL, s, number(b, SCALE), scores(b)));
    descriptor top = reduction(b, CUDNN_REDUCE_TENSOR_MAX, s, per_row(b));
    descriptor e = unary(b, CUDNN_POINTWISE_EXP, binary(b, CUDNN_POINTWISE_SUB, s, top, scores(b)), scores(b));
    descriptor sum = reduction(b, CUDNN_REDUCE_TENSOR_ADD, e, per_row(b));
    descriptor logs = unary(b, CUDNN_POINTWISE_LOG, sum, per_row(b));
    descriptor stats = p->stats ? dense(b, STATS, CUDNN_DATA_FLOAT, p->L, 1, TERNI_CUDNN_MEMORY) : per_row(b);
    binary(b, CUDNN_POINTWISE_ADD, top, logs, stats);
    descriptor weights = binary(b, CUDNN_POINTWISE_DIV, e, sum, between(b, b->type, p->L, p->S));
    product(b, weights, given(b, TERNI_ATTENTION_V, false), given(b, TERNI_ATTENTION_Y, false));
}

/* [B, H, S, L], a view of what x is. */
static descriptor turned(builder *b, descriptor x) {
    const terni_attention_problem *p = b->p;
    const int64_t shape[4] = {p->B, p->H, p->S, p->L}, strides[4] = {p->H * p->L * p->S, p->L * p->S, 1, p->S};
    return reshaped(b, x, with_strides(b, b->next++, b->type, shape, strides, TERNI_CUDNN_BETWEEN));
}

/* The product of x, turned, and with: the gradient `to`, which has K heads; those of a group are summed. */
static void keys_gradient(builder *b, descriptor x, descriptor with, int to, int64_t columns) {
    const terni_attention_problem *p = b->p;
    descriptor result = given(b, to, false);
    if (p->H == p->K)
        product(b, turned(b, x), with, result);
    else
        reduction(b, CUDNN_REDUCE_TENSOR_ADD, product(b, turned(b, x), with, between(b, b->type, p->S, columns)),
                  result);
}

static void backward(builder *b) {
    const terni_attention_problem *p = b->p;
    descriptor q = given(b, TERNI_ATTENTION_Q, false), kt = given(b, TERNI_ATTENTION_K, true);
    descriptor vt = given(b, TERNI_ATTENTION_V, true), y = given(b, TERNI_ATTENTION_Y, false);
    descriptor gy = given(b, TERNI_ATTENTION_GY, false), scale = number(b, SCALE);
    descriptor stats = dense(b, STATS, CUDNN_DATA_FLOAT, p->L, 1, TERNI_CUDNN_MEMORY);
    descriptor along = binary(b, CUDNN_POINTWISE_MUL, gy, y, between(b, CUDNN_DATA_FLOAT, p->L, p->V));
    along = reduction(b, CUDNN_REDUCE_TENSOR_ADD, along, per_row(b));
    along = binary(b, CUDNN_POINTWISE_MUL, along, number(b, ONE),
                   dense(b, ALONG, CUDNN_DATA_FLOAT, p->L, 1, TERNI_CUDNN_MEMORY));

    descriptor s = binary(b, CUDNN_POINTWISE_MUL, product(b, q, kt, scores(b)), scale, scores(b));
    s = masked(b, binary(b, CUDNN_POINTWISE_SUB, s, stats, scores(b)));
    descriptor weights = unary(b, CUDNN_POINTWISE_EXP, s, scores(b));
    keys_gradient(b, weights, gy, TERNI_ATTENTION_GV, p->V);

    descriptor slope = binary(b, CUDNN_POINTWISE_SUB, product(b, gy, vt, scores(b)), along, scores(b));
    slope = binary(b, CUDNN_POINTWISE_MUL, slope, weights, scores(b));
    slope = binary(b, CUDNN_POINTWISE_MUL, slope, scale, scores(b));
    keys_gradient(b, slope, q, TERNI_ATTENTION_GK, p->E);

    const int64_t *step = p->stride[TERNI_ATTENTION_K], strides[4] = {step[0], step[1], step[2], 1};
    int64_t shape[4];
    terni_attention_shape(p, TERNI_ATTENTION_K, shape);
    descriptor k = reshaped(b, kt, with_strides(b, b->next++, b->type, shape, strides, TERNI_CUDNN_BETWEEN));
    product(b, slope, k, given(b, TERNI_ATTENTION_GQ, false));
}

/* ---- plans
 * ------------------------------------------------------------------------------------------------------------------ */

/* What cuDNN says it can do but the frontend knows to be wrong, or needs more than is written here. */
static bool sound(const terni_attention_problem *p) {
    const size_t version = terni_cudnn.cudnnGetVersion();
    if (p->E % 8 || p->V % 8 || p->align < ALIGNMENT) return false;
    for (int t = 0; t < TERNI_ATTENTION_TENSORS; t++)
        for (int i = 0; i < 3; i++)
            if (p->stride[t][i] % 8) return false;
    if (version == 91000 || version == 91001) return false;
    if (!p->backward) return !(version <= 90900 && p->causal && p->L == 1);
    return !(p->L == 1 && p->S == 1) && !(version <= 91500 && p->S % 128);
}

static void plan_free(void *made) { terni_cudnn_plan_free(made, sizeof(plan)); }

static bool plan_new(const terni_attention_problem *p, size_t most, void **out, size_t *workspace) {
    *out = NULL;
    if (!sound(p)) return true;
    descriptor device;
    plan *made = terni_cudnn_plan_alloc(sizeof *made, p->device, device_text, &device);
    if (!made) return false;
    made->backward = p->backward;
    made->stats = p->stats;
    terni_cudnn_graph *g = &made->made.g;
    builder b = {.g = g, .p = p, .type = terni_cudnn_type(p->dtype), .next = NAMED};
    const size_t along = p->backward ? (size_t)(p->B * p->H * p->L) * sizeof(float) : 0;
    if (p->backward)
        backward(&b);
    else
        forward(&b);
    if (!g->rc && along + PIECE <= most)
        made->made.plan = terni_cudnn_plan(g, b.op, b.n, device, 1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
                                           most - along - PIECE, &made->engine);
    if (made->made.plan) {
        made->engine = (made->engine + PIECE - 1) / PIECE * PIECE;
        *workspace = made->engine + along;
        *out = made;
    } else {
        plan_free(made);
    }
    return true;
}

static bool run(void *v, terni_cuda_device *d, void *const *data, void *stats, double scale, void *workspace) {
    const plan *made = v;
    float scale_is = (float)scale, lowest = -FLT_MAX, one = 1;
    int64_t ids[NAMED];
    void *at[NAMED];
    int64_t n = 0;
    for (int t = 0; t < (made->backward ? TERNI_ATTENTION_TENSORS : TERNI_ATTENTION_GY); t++, n++) {
        ids[n] = t;
        at[n] = data[t];
    }
    const struct {
        int64_t id;
        void *at;
        bool there;
    } more[] = {{STATS, stats, made->stats || made->backward},
                {ALONG, (char *)workspace + made->engine, made->backward},
                {SCALE, &scale_is, true},
                {LOWEST, &lowest, true},
                {ONE, &one, made->backward}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (more[i].there) {
            ids[n] = more[i].id;
            at[n++] = more[i].at;
        }
    return terni_cudnn_run(&made->made, d, n, ids, at, workspace, "attention");
}

const terni_library_attention terni_cuda_library_attention = {"cuDNN", terni_cudnn_open, plan_new, plan_free, run};
