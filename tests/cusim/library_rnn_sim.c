/* cuDNN's recurrent layers as the simulation has them: cuda/library_rnn.c and cuda/library_cudnn.c run over the
 * functions below, which compute a layer in double from its descriptors and its weights. The weights lie in an order of
 * their own: the second direction first, the state's before the input's, some gates backwards, with gaps. Backward
 * lives on the reserve alone: it is refused, by results that are NaN, unless forward filled it, and spoils it.
 *
 * What cuDNN would refuse is refused, and so are 5 units, as a library does not have everything; 9 units it fails at.
 * Structs of cuDNN's names are what its header leaves open. */
#include <cudnn_adv.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture_sim.h"
#include "numbers_sim.h"
#include "library_rnn.h"

enum { WORKSPACE = 1000, GAP = 3, NOT_HERE = 5, BROKEN = 9, FORWARD_DONE = 1111, DATA_DONE = 2222 };

struct cudnnContext {
    cudaStream_t stream;
};
struct cudnnDropoutStruct {
    float p;
};
struct cudnnTensorStruct {
    int type, n, shape[3], strides[3];
};
struct cudnnRNNDataStruct {
    int type, steps, rows, width;
};
struct cudnnRNNStruct {
    int kind, type, dirs, inputs, units, biases;
};

static atomic_int calls, last_math;

/* For tests/recurrent_library.c: how often the library was asked to compute, and the last descriptor's kind of math. */
TERN_API int terni_sim_rnn_calls(void);
int terni_sim_rnn_calls(void) { return calls; }
TERN_API int terni_sim_rnn_math(void);
int terni_sim_rnn_math(void) { return last_math; }

/* ---- descriptors
 * ------------------------------------------------------------------------------------------------------------ */

static struct cudnnContext context;
static cudnnStatus_t create(cudnnHandle_t *h) {
    *h = &context;
    return CUDNN_STATUS_SUCCESS;
}
static cudnnStatus_t set_stream(cudnnHandle_t h, cudaStream_t s) {
    h->stream = s;
    return CUDNN_STATUS_SUCCESS;
}
static const char *text_of(cudnnStatus_t rc) { return rc == CUDNN_STATUS_BAD_PARAM ? "BAD_PARAM" : "an error"; }
static void last_error(char *text, size_t size) { snprintf(text, size, "simulation"); }
static size_t version(void) { return CUDNN_VERSION; }

#define DESCRIPTOR(what, type)                                          \
    static cudnnStatus_t what##_new(type *out) {                        \
        *out = calloc(1, sizeof **out);                                 \
        return *out ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_ALLOC_FAILED; \
    }                                                                   \
    static cudnnStatus_t what##_free(type d) {                          \
        free(d);                                                        \
        return CUDNN_STATUS_SUCCESS;                                    \
    }
DESCRIPTOR(dropout, cudnnDropoutDescriptor_t)
DESCRIPTOR(tensor, cudnnTensorDescriptor_t)
DESCRIPTOR(data, cudnnRNNDataDescriptor_t)
DESCRIPTOR(layer, cudnnRNNDescriptor_t)

static cudnnStatus_t good_if(bool good) { return good ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM; }

static cudnnStatus_t dropout_set(cudnnDropoutDescriptor_t d, cudnnHandle_t h, float p, void *states, size_t bytes,
                                 unsigned long long seed) {
    (void)states, (void)bytes, (void)seed;
    d->p = p;
    return good_if(h == &context && p == 0);
}

static cudnnStatus_t tensor_set(cudnnTensorDescriptor_t t, cudnnDataType_t type, int n, const int *shape,
                                const int *strides) {
    t->type = (int)type;
    t->n = n;
    for (int i = 0; i < n && i < 3; i++) {
        t->shape[i] = shape[i];
        t->strides[i] = strides[i];
    }
    return good_if(n == 3);
}
static cudnnStatus_t tensor_get(cudnnTensorDescriptor_t t, int most, cudnnDataType_t *type, int *n, int *shape,
                                int *strides) {
    *type = (cudnnDataType_t)t->type;
    *n = t->n;
    for (int i = 0; i < most && i < t->n; i++) {
        shape[i] = t->shape[i];
        strides[i] = t->strides[i];
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t data_set(cudnnRNNDataDescriptor_t d, cudnnDataType_t type, cudnnRNNDataLayout_t layout, int steps,
                              int rows, int width, const int *lengths, void *fill) {
    bool good = steps > 0 && rows > 0 && width > 0 && layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED && !fill;
    for (int i = 0; i < rows; i++) good = good && lengths[i] == steps;
    *d = (struct cudnnRNNDataStruct){(int)type, steps, rows, width};
    return good_if(good);
}

static cudnnStatus_t layer_set(cudnnRNNDescriptor_t r, cudnnRNNAlgo_t algo, cudnnRNNMode_t kind,
                               cudnnRNNBiasMode_t biases, cudnnDirectionMode_t dirs, cudnnRNNInputMode_t input,
                               cudnnDataType_t type, cudnnDataType_t sums, cudnnMathType_t math, int32_t inputs,
                               int32_t units, int32_t projected, int32_t layers, cudnnDropoutDescriptor_t dropout,
                               uint32_t flags) {
    const bool single = type == CUDNN_DATA_FLOAT, wide = type == CUDNN_DATA_DOUBLE;
    *r = (struct cudnnRNNStruct){(int)kind, (int)type, dirs == CUDNN_BIDIRECTIONAL ? 2 : 1,
                                 inputs,    units,     biases == CUDNN_RNN_DOUBLE_BIAS};
    last_math = (int)math;
    return good_if(algo == CUDNN_RNN_ALGO_STANDARD && input == CUDNN_LINEAR_INPUT && projected == units &&
                   layers == 1 && dropout && dropout->p == 0 && flags == CUDNN_RNN_PADDED_IO_ENABLED && inputs > 0 &&
                   units > 0 && sums == (wide ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT) &&
                   (biases == CUDNN_RNN_DOUBLE_BIAS || biases == CUDNN_RNN_NO_BIAS) &&
                   (math == (single ? CUDNN_FMA_MATH
                             : wide ? CUDNN_DEFAULT_MATH
                                    : CUDNN_TENSOR_OP_MATH) ||
                    (single && math == CUDNN_DEFAULT_MATH)));
}

/* ---- weights
 * ---------------------------------------------------------------------------------------------------------------- */

static int gates_of(const struct cudnnRNNStruct *r) { return r->kind == CUDNN_LSTM ? 4 : r->kind == CUDNN_GRU ? 3 : 1; }
static size_t size_of(int type) { return type == CUDNN_DATA_DOUBLE ? 8 : type == CUDNN_DATA_FLOAT ? 4 : 2; }

static int64_t block_of(const struct cudnnRNNStruct *r) {
    const int64_t g = gates_of(r), h = r->units;
    return g * (h * h + GAP) + g * h * r->inputs + (r->biases ? 2 * g * h : 0) + GAP;
}
static int64_t weights_of(const struct cudnnRNNStruct *r) { return GAP + r->dirs * block_of(r); }

/* Elements from the beginning: the matrix of gate g in a direction, its bias. */
static int64_t matrix_at(const struct cudnnRNNStruct *r, int dir, bool of_state, int g) {
    const int64_t n = gates_of(r), h = r->units, start = GAP + (r->dirs - 1 - dir) * block_of(r);
    return of_state ? start + (n - 1 - g) * (h * h + GAP) : start + n * (h * h + GAP) + g * h * r->inputs;
}
static int64_t bias_at(const struct cudnnRNNStruct *r, int dir, bool of_state, int g) {
    const int64_t n = gates_of(r), h = r->units, start = matrix_at(r, dir, false, (int)n);
    return of_state ? start + g * h : start + n * h + (n - 1 - g) * h;
}

static cudnnStatus_t weight_bytes(cudnnHandle_t h, cudnnRNNDescriptor_t r, size_t *bytes) {
    *bytes = (size_t)weights_of(r) * size_of(r->type);
    return good_if(h == &context);
}

static cudnnStatus_t weight_params(cudnnHandle_t h, cudnnRNNDescriptor_t r, int32_t dir, size_t bytes, const void *base,
                                   int32_t id, cudnnTensorDescriptor_t m, void **matrix, cudnnTensorDescriptor_t b,
                                   void **bias) {
    const int n = gates_of(r);
    const bool of_state = id >= n;
    const size_t size = size_of(r->type);
    if (h != &context || dir < 0 || dir >= r->dirs || id < 0 || id >= 2 * n || bytes != (size_t)weights_of(r) * size ||
        !base)
        return CUDNN_STATUS_BAD_PARAM;
    const int wide = of_state ? r->units : r->inputs;
    tensor_set(m, (cudnnDataType_t)r->type, 3, (const int[]){1, r->units, wide},
               (const int[]){r->units * wide, wide, 1});
    tensor_set(b, (cudnnDataType_t)r->type, 3, (const int[]){1, r->units, 1}, (const int[]){r->units, 1, 1});
    *matrix = (char *)(uintptr_t)base + (size_t)matrix_at(r, dir, of_state, id % n) * size;
    *bias = r->biases ? (char *)(uintptr_t)base + (size_t)bias_at(r, dir, of_state, id % n) * size : NULL;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- a layer on the host
 * ------------------------------------------------------------------------------------------------------ */

/* What the reserve keeps of a unit at a step, and what backward writes in its place. */
typedef struct unit {
    double gate[4], mixed, cell, before; /* mixed: a gru's part of the state in n; before: the cell's last value */
} unit;
typedef struct slopes {
    double input[4], state[4];
} slopes;
typedef struct reserve {
    int64_t stage;
    unit units[]; /* [D, T, N, H], and then their slopes */
} reserve;

typedef struct job {
    struct cudnnRNNStruct r;
    int64_t steps, rows;
    const void *x, *h0, *c0, *weights, *y_in, *gy, *ghn, *gcn;
    void *y, *hn, *cn, *gx, *gh0, *gc0, *gweights;
    reserve *kept;
} job;

static int dtype_of(const job *j) {
    const int t = j->r.type;
    return t == CUDNN_DATA_DOUBLE  ? TERN_F64
           : t == CUDNN_DATA_FLOAT ? TERN_F32
           : t == CUDNN_DATA_HALF  ? TERN_F16
                                   : TERN_BF16;
}
static double get(const job *j, const void *p, int64_t i) { return terni_sim_get(p, dtype_of(j), i); }
static void put(const job *j, void *p, int64_t i, double v) { terni_sim_put(p, dtype_of(j), i, v); }
static double or_zero(const job *j, const void *p, int64_t i) { return p ? get(j, p, i) : 0; }

static int64_t units_of(const job *j) { return j->r.dirs * j->steps * j->rows * j->r.units; }
static int64_t unit_at(const job *j, int d, int64_t t, int64_t row, int64_t k) {
    return ((d * j->steps + t) * j->rows + row) * j->r.units + k;
}
static slopes *slopes_of(const job *j) { return (slopes *)(void *)(j->kept->units + units_of(j)); }
static int64_t y_at(const job *j, int d, int64_t t, int64_t row, int64_t k) {
    return ((t * j->rows + row) * j->r.dirs + d) * j->r.units + k;
}
static int64_t state_at(const job *j, int d, int64_t row, int64_t k) { return (d * j->rows + row) * j->r.units + k; }

/* The state of unit k before step t. */
static double state_before(const job *j, const void *y, int d, int64_t t, int64_t row, int64_t k) {
    const int64_t last = d ? t + 1 : t - 1;
    const bool first = last < 0 || last == j->steps;
    return first ? or_zero(j, j->h0, state_at(j, d, row, k)) : get(j, y, y_at(j, d, last, row, k));
}

static double sigma(double v) { return 1 / (1 + exp(-v)); }

/* A unit at a step; its cell's value becomes the new one. Returns its state. */
static double step(const job *j, int d, int64_t t, int64_t row, int64_t k, double *cell, unit *u) {
    const int n = gates_of(&j->r);
    double a[4] = {0}, b[4] = {0};
    for (int g = 0; g < n; g++) {
        const int64_t wi = matrix_at(&j->r, d, false, g) + k * j->r.inputs;
        const int64_t wh = matrix_at(&j->r, d, true, g) + k * j->r.units;
        for (int64_t i = 0; i < j->r.inputs; i++)
            a[g] += get(j, j->weights, wi + i) * get(j, j->x, (t * j->rows + row) * j->r.inputs + i);
        for (int64_t i = 0; i < j->r.units; i++)
            b[g] += get(j, j->weights, wh + i) * state_before(j, j->y, d, t, row, i);
        if (j->r.biases) {
            a[g] += get(j, j->weights, bias_at(&j->r, d, false, g) + k);
            b[g] += get(j, j->weights, bias_at(&j->r, d, true, g) + k);
        }
    }
    *u = (unit){.before = *cell};
    if (j->r.kind == CUDNN_LSTM) {
        for (int g = 0; g < 4; g++) u->gate[g] = g == 2 ? tanh(a[g] + b[g]) : sigma(a[g] + b[g]);
        u->cell = *cell = u->gate[1] * *cell + u->gate[0] * u->gate[2];
        return u->gate[3] * tanh(*cell);
    }
    if (j->r.kind == CUDNN_GRU) {
        u->mixed = b[2];
        for (int g = 0; g < 2; g++) u->gate[g] = sigma(a[g] + b[g]);
        u->gate[2] = tanh(a[2] + u->gate[0] * b[2]);
        return (1 - u->gate[1]) * u->gate[2] + u->gate[1] * state_before(j, j->y, d, t, row, k);
    }
    u->gate[0] = j->r.kind == CUDNN_RNN_TANH ? tanh(a[0] + b[0]) : fmax(a[0] + b[0], 0);
    return u->gate[0];
}

static void *room(int64_t n) {
    void *p = calloc((size_t)n, sizeof(double));
    if (!p) abort();
    return p;
}

static void compute_forward(const void *args) {
    const job *j = args;
    const int64_t h = j->r.units;
    double *cell = room(h);
    unit spare;
    for (int d = 0; d < j->r.dirs; d++)
        for (int64_t row = 0; row < j->rows; row++) {
            for (int64_t k = 0; k < h; k++) cell[k] = or_zero(j, j->c0, state_at(j, d, row, k));
            for (int64_t s = 0; s < j->steps; s++)
                for (int64_t k = 0; k < h; k++) {
                    const int64_t t = d ? j->steps - 1 - s : s;
                    unit *u = j->kept ? &j->kept->units[unit_at(j, d, t, row, k)] : &spare;
                    put(j, j->y, y_at(j, d, t, row, k), step(j, d, t, row, k, &cell[k], u));
                }
            for (int64_t k = 0; k < h; k++) {
                const int64_t at = state_at(j, d, row, k);
                if (j->hn) put(j, j->hn, at, get(j, j->y, y_at(j, d, d ? 0 : j->steps - 1, row, k)));
                if (j->cn) put(j, j->cn, at, cell[k]);
            }
        }
    if (j->kept) j->kept->stage = FORWARD_DONE;
    free(cell);
}

/* From the gradients of a unit's state and cell. Returns what goes to the state before without a product. */
static double unit_slopes(const job *j, const unit *u, double before, double g, double *gc, slopes *s) {
    *s = (slopes){{0}, {0}};
    if (j->r.kind == CUDNN_GRU) {
        const double reset = u->gate[0], z = u->gate[1], m = u->gate[2], dm = g * (1 - z) * (1 - m * m);
        s->input[0] = s->state[0] = dm * u->mixed * reset * (1 - reset);
        s->input[1] = s->state[1] = g * (before - m) * z * (1 - z);
        s->input[2] = dm;
        s->state[2] = dm * reset;
        return g * z;
    }
    if (j->r.kind == CUDNN_LSTM) {
        const double i = u->gate[0], f = u->gate[1], m = u->gate[2], o = u->gate[3], c = tanh(u->cell);
        const double dc = *gc + g * o * (1 - c * c);
        s->input[0] = dc * m * i * (1 - i);
        s->input[1] = dc * u->before * f * (1 - f);
        s->input[2] = dc * i * (1 - m * m);
        s->input[3] = g * c * o * (1 - o);
        *gc = dc * f;
    } else
        s->input[0] = j->r.kind == CUDNN_RNN_TANH ? g * (1 - u->gate[0] * u->gate[0]) : u->gate[0] > 0 ? g : 0;
    memcpy(s->state, s->input, sizeof s->state);
    return 0;
}

/* Adds the slopes' shares to the gradient of a step's input and of the state before it. */
static void through(const job *j, int d, int64_t k, const slopes *s, double *gx, double *gh) {
    for (int g = 0; g < gates_of(&j->r); g++) {
        const int64_t wi = matrix_at(&j->r, d, false, g) + k * j->r.inputs;
        const int64_t wh = matrix_at(&j->r, d, true, g) + k * j->r.units;
        for (int64_t i = 0; i < j->r.inputs; i++) gx[i] += s->input[g] * get(j, j->weights, wi + i);
        for (int64_t i = 0; i < j->r.units; i++) gh[i] += s->state[g] * get(j, j->weights, wh + i);
    }
}

static void compute_data(const void *args) {
    const job *j = args;
    const int64_t h = j->r.units, inputs = j->steps * j->rows * j->r.inputs;
    const bool filled = j->kept->stage == FORWARD_DONE;
    double *gx = room(inputs), *gh = room(2 * h), *gc = room(h), *now = gh + h;
    slopes *s = slopes_of(j);
    for (int d = 0; d < j->r.dirs; d++)
        for (int64_t row = 0; row < j->rows; row++) {
            for (int64_t k = 0; k < h; k++) {
                gh[k] = or_zero(j, j->ghn, state_at(j, d, row, k));
                gc[k] = or_zero(j, j->gcn, state_at(j, d, row, k));
            }
            for (int64_t i = 0; i < j->steps; i++) {
                const int64_t t = d ? i : j->steps - 1 - i;
                memcpy(now, gh, (size_t)h * sizeof *now);
                memset(gh, 0, (size_t)h * sizeof *gh);
                for (int64_t k = 0; k < h; k++) {
                    const int64_t at = unit_at(j, d, t, row, k);
                    const double g = now[k] + get(j, j->gy, y_at(j, d, t, row, k));
                    gh[k] +=
                        unit_slopes(j, &j->kept->units[at], state_before(j, j->y_in, d, t, row, k), g, &gc[k], &s[at]);
                    through(j, d, k, &s[at], gx + (t * j->rows + row) * j->r.inputs, gh);
                }
            }
            for (int64_t k = 0; k < h; k++) {
                if (j->gh0) put(j, j->gh0, state_at(j, d, row, k), filled ? gh[k] : (double)NAN);
                if (j->gc0) put(j, j->gc0, state_at(j, d, row, k), filled ? gc[k] : (double)NAN);
            }
        }
    for (int64_t i = 0; i < inputs; i++) put(j, j->gx, i, filled ? gx[i] : (double)NAN);
    memset(j->kept->units, 0xFF, (size_t)units_of(j) * sizeof(unit));
    j->kept->stage = filled ? DATA_DONE : 0;
    free(gx);
    free(gh);
    free(gc);
}

static void add(const job *j, int64_t at, double v) { put(j, j->gweights, at, get(j, j->gweights, at) + v); }

static void compute_weights(const void *args) {
    const job *j = args;
    const int64_t h = j->r.units;
    const double spoilt = j->kept->stage == DATA_DONE ? 0 : (double)NAN;
    const slopes *all = slopes_of(j);
    double *sum = room(j->r.inputs + h);
    for (int d = 0; d < j->r.dirs; d++)
        for (int g = 0; g < gates_of(&j->r); g++)
            for (int64_t k = 0; k < h; k++) {
                double bias = spoilt, more = spoilt;
                for (int64_t i = 0; i < j->r.inputs + h; i++) sum[i] = spoilt;
                for (int64_t t = 0; t < j->steps; t++)
                    for (int64_t row = 0; row < j->rows; row++) {
                        const slopes *s = &all[unit_at(j, d, t, row, k)];
                        const int64_t x = (t * j->rows + row) * j->r.inputs;
                        for (int64_t i = 0; i < j->r.inputs; i++) sum[i] += s->input[g] * get(j, j->x, x + i);
                        for (int64_t i = 0; i < h; i++)
                            sum[j->r.inputs + i] += s->state[g] * state_before(j, j->y_in, d, t, row, i);
                        bias += s->input[g];
                        more += s->state[g];
                    }
                for (int64_t i = 0; i < j->r.inputs; i++)
                    add(j, matrix_at(&j->r, d, false, g) + k * j->r.inputs + i, sum[i]);
                for (int64_t i = 0; i < h; i++) add(j, matrix_at(&j->r, d, true, g) + k * h + i, sum[j->r.inputs + i]);
                if (!j->r.biases) continue;
                add(j, bias_at(&j->r, d, false, g) + k, bias);
                add(j, bias_at(&j->r, d, true, g) + k, more);
            }
    free(sum);
}

/* ---- calls
 * ------------------------------------------------------------------------------------------------------------------ */

static size_t reserve_bytes(const struct cudnnRNNStruct *r, int64_t steps, int64_t rows) {
    return sizeof(reserve) + (size_t)(r->dirs * steps * rows * r->units) * (sizeof(unit) + sizeof(slopes));
}

static cudnnStatus_t temp_bytes(cudnnHandle_t h, cudnnRNNDescriptor_t r, cudnnForwardMode_t mode,
                                cudnnRNNDataDescriptor_t x, size_t *workspace, size_t *kept) {
    *workspace = WORKSPACE;
    *kept = mode == CUDNN_FWD_MODE_TRAINING ? reserve_bytes(r, x->steps, x->rows) : 0;
    if (r->units == NOT_HERE) return CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
    if (r->units == BROKEN) return CUDNN_STATUS_EXECUTION_FAILED_CUDART;
    return good_if(h == &context && x->width == r->inputs && x->type == r->type);
}

/* What the three calls have in common. */
static bool sound(const struct cudnnRNNStruct *r, const int32_t *lengths, cudnnRNNDataDescriptor_t x,
                  cudnnRNNDataDescriptor_t y, cudnnTensorDescriptor_t hs, size_t weights, size_t workspace, void *at,
                  cudnnHandle_t h) {
    const struct cudnnRNNDataStruct *both[2] = {x, y};
    bool good = !lengths && weights == (size_t)weights_of(r) * size_of(r->type) && workspace == WORKSPACE && at;
    for (int i = 0; i < 2; i++)
        good = good && both[i]->type == r->type && both[i]->steps == x->steps && both[i]->rows == x->rows;
    calls++;
    return good && x->width == r->inputs && y->width == r->dirs * r->units && hs->type == r->type &&
           hs->shape[0] == r->dirs && hs->shape[1] == x->rows && hs->shape[2] == r->units && hs->strides[2] == 1 &&
           hs->strides[1] == r->units && hs->strides[0] == x->rows * r->units &&
           !terni_cuda_driver->fill(at, 0xFF, workspace, (terni_stream)h->stream);
}

static cudnnStatus_t run(cudnnHandle_t h, void (*compute)(const void *), const job *j) {
    return terni_sim_do((terni_stream)h->stream, compute, j, sizeof *j) ? CUDNN_STATUS_EXECUTION_FAILED
                                                                        : CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t forward(cudnnHandle_t h, cudnnRNNDescriptor_t r, cudnnForwardMode_t mode, const int32_t *lengths,
                             cudnnRNNDataDescriptor_t xd, const void *x, cudnnRNNDataDescriptor_t yd, void *y,
                             cudnnTensorDescriptor_t hd, const void *h0, void *hn, cudnnTensorDescriptor_t cd,
                             const void *c0, void *cn, size_t weight_size, const void *weights, size_t space_size,
                             void *space, size_t kept_size, void *kept) {
    const bool train = mode == CUDNN_FWD_MODE_TRAINING, cells = r->kind == CUDNN_LSTM;
    const job j = {.r = *r,
                   .steps = xd->steps,
                   .rows = xd->rows,
                   .x = x,
                   .h0 = h0,
                   .c0 = c0,
                   .weights = weights,
                   .y = y,
                   .hn = hn,
                   .cn = cn,
                   .kept = kept};
    if (!sound(r, lengths, xd, yd, hd, weight_size, space_size, space, h) || (cells ? cd != hd : c0 || cn || cd) ||
        (train ? kept_size != reserve_bytes(r, xd->steps, xd->rows) || !kept : kept_size || kept))
        return CUDNN_STATUS_BAD_PARAM;
    return run(h, compute_forward, &j);
}

static cudnnStatus_t backward_data(cudnnHandle_t h, cudnnRNNDescriptor_t r, const int32_t *lengths,
                                   cudnnRNNDataDescriptor_t yd, const void *y, const void *gy,
                                   cudnnRNNDataDescriptor_t xd, void *gx, cudnnTensorDescriptor_t hd, const void *h0,
                                   const void *ghn, void *gh0, cudnnTensorDescriptor_t cd, const void *c0,
                                   const void *gcn, void *gc0, size_t weight_size, const void *weights,
                                   size_t space_size, void *space, size_t kept_size, void *kept) {
    const bool cells = r->kind == CUDNN_LSTM;
    const job j = {.r = *r,
                   .steps = xd->steps,
                   .rows = xd->rows,
                   .h0 = h0,
                   .c0 = c0,
                   .weights = weights,
                   .y_in = y,
                   .gy = gy,
                   .ghn = ghn,
                   .gcn = gcn,
                   .gx = gx,
                   .gh0 = gh0,
                   .gc0 = gc0,
                   .kept = kept};
    if (!sound(r, lengths, xd, yd, hd, weight_size, space_size, space, h) || !gy || !gx || !y || !kept ||
        kept_size != reserve_bytes(r, xd->steps, xd->rows) || (cells ? cd != hd : c0 || gcn || gc0 || cd))
        return CUDNN_STATUS_BAD_PARAM;
    return run(h, compute_data, &j);
}

static cudnnStatus_t backward_weights(cudnnHandle_t h, cudnnRNNDescriptor_t r, cudnnWgradMode_t mode,
                                      const int32_t *lengths, cudnnRNNDataDescriptor_t xd, const void *x,
                                      cudnnTensorDescriptor_t hd, const void *h0, cudnnRNNDataDescriptor_t yd,
                                      const void *y, size_t weight_size, void *gweights, size_t space_size, void *space,
                                      size_t kept_size, void *kept) {
    const job j = {
        .r = *r, .steps = xd->steps, .rows = xd->rows, .x = x, .h0 = h0, .y_in = y, .gweights = gweights, .kept = kept};
    if (mode != CUDNN_WGRAD_MODE_ADD || !sound(r, lengths, xd, yd, hd, weight_size, space_size, space, h) || !kept ||
        kept_size != reserve_bytes(r, xd->steps, xd->rows))
        return CUDNN_STATUS_BAD_PARAM;
    return run(h, compute_weights, &j);
}

/* ---- the library
 * ------------------------------------------------------------------------------------------------------------ */

static void not_simulated(void) { abort(); }

typedef void (*any)(void);
static const struct {
    const char *name;
    any function;
} functions[] = {
    {"cudnnCreate", (any)create},
    {"cudnnGetErrorString", (any)text_of},
    {"cudnnGetLastErrorString", (any)last_error},
    {"cudnnGetVersion", (any)version},
    {"cudnnSetStream", (any)set_stream},
    {"cudnnCreateDropoutDescriptor", (any)dropout_new},
    {"cudnnCreateRNNDataDescriptor", (any)data_new},
    {"cudnnCreateRNNDescriptor", (any)layer_new},
    {"cudnnCreateTensorDescriptor", (any)tensor_new},
    {"cudnnDestroyDropoutDescriptor", (any)dropout_free},
    {"cudnnDestroyRNNDataDescriptor", (any)data_free},
    {"cudnnDestroyRNNDescriptor", (any)layer_free},
    {"cudnnDestroyTensorDescriptor", (any)tensor_free},
    {"cudnnGetRNNTempSpaceSizes", (any)temp_bytes},
    {"cudnnGetRNNWeightParams", (any)weight_params},
    {"cudnnGetRNNWeightSpaceSize", (any)weight_bytes},
    {"cudnnGetTensorNdDescriptor", (any)tensor_get},
    {"cudnnRNNBackwardData_v8", (any)backward_data},
    {"cudnnRNNBackwardWeights_v8", (any)backward_weights},
    {"cudnnRNNForward", (any)forward},
    {"cudnnSetDropoutDescriptor", (any)dropout_set},
    {"cudnnSetRNNDataDescriptor", (any)data_set},
    {"cudnnSetRNNDescriptor_v8", (any)layer_set},
    {"cudnnSetTensorNdDescriptor", (any)tensor_set},
};

/* In place of cuda/library.c's search, by the linker's --wrap. */
bool terni_sim_library_functions(terni_library_id id, const char *const *names, int n, void *table, char *why,
                                 size_t size) __asm__("__wrap_terni_cuda_library_functions");
bool terni_sim_library_functions(terni_library_id id, const char *const *names, int n, void *table, char *why,
                                 size_t size) {
    if (id != TERNI_LIBRARY_CUDNN) {
        snprintf(why, size, "not simulated");
        return false;
    }
    any *to = table;
    for (int i = 0; i < n; i++) {
        to[i] = not_simulated;
        for (size_t k = 0; k < sizeof functions / sizeof *functions; k++)
            if (strcmp(functions[k].name, names[i]) == 0) to[i] = functions[k].function;
    }
    return true;
}
