/* Steps of training for bench-gpu: AdamW over the parameters of GPT-2 124M, and an epoch of MNIST's size with the
 * network of examples/mnist --model cnn. Data is random and stands on the device before the clock runs, here as with
 * PyTorch, as time does not depend on its values and loading is not what is measured. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "gpu_rows.h"

/* ---- AdamW ------------------------------------------------------------------------------------------------------- */

enum { LAYERS = 12, WIDTH = 768, VOCABULARY = 50257, CONTEXT = 1024, TENSORS = 2 + 12 * LAYERS + 2 };

typedef struct adamw {
    tern_tensor *t[4][TENSORS]; /* parameters, gradients, both moments */
    int n;
    int64_t step;
} adamw;

static bool adamw_add(adamw *a, tern_device device, bool tiny, int64_t rows, int64_t columns) {
    if (tiny && rows > 16) rows = 16;
    if (tiny && columns > 16) columns = 16;
    const tern_options o = {.dtype = TERN_F32, .device = device};
    const tern_shape s = columns ? TERN_SHAPE(rows, columns) : TERN_SHAPE(rows);
    const int scope = tern_scope_push();
    for (int k = 0; k < 4; k++)
        a->t[k][a->n] = tern_keep(k < 2 ? tern_randn(s, 0, k ? 1e-3 : 0.02, o) : tern_zeros(s, o));
    a->n++;
    tern_scope_pop(scope);
    return tern_ok();
}

void bench_adamw_close(void *state) {
    adamw *a = state;
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < a->n; i++) tern_release(a->t[k][i]);
    free(a);
}

void *bench_adamw_open(tern_device device, bool tiny) {
    /* Of a layer: two norms, attention's input and output, the two of the perceptron; weights, then biases. */
    static const int64_t layer[12][2] = {{WIDTH, 0},         {WIDTH, 0},     {3 * WIDTH, WIDTH}, {3 * WIDTH, 0},
                                         {WIDTH, WIDTH},     {WIDTH, 0},     {WIDTH, 0},         {WIDTH, 0},
                                         {4 * WIDTH, WIDTH}, {4 * WIDTH, 0}, {WIDTH, 4 * WIDTH}, {WIDTH, 0}};
    adamw *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    bool ok = adamw_add(a, device, tiny, VOCABULARY, WIDTH) && adamw_add(a, device, tiny, CONTEXT, WIDTH);
    for (int i = 0; ok && i < LAYERS; i++)
        for (int k = 0; ok && k < 12; k++) ok = adamw_add(a, device, tiny, layer[k][0], layer[k][1]);
    if (ok && adamw_add(a, device, tiny, WIDTH, 0) && adamw_add(a, device, tiny, WIDTH, 0)) return a;
    bench_adamw_close(a);
    return NULL;
}

bool bench_adamw_step(void *state) {
    adamw *a = state;
    const double lr = 1e-4, beta1 = 0.9, beta2 = 0.999, step = (double)++a->step;
    const double numbers[] = {lr / (1 - pow(beta1, step)),
                              1 / sqrt(1 - pow(beta2, step)),
                              0,
                              1 - lr * 0.01,
                              1 - beta1,
                              beta2,
                              1 - beta2,
                              1e-8};
    tern_tensor *const *const state[] = {a->t[2], a->t[3], NULL};
    return tern_update(TERN_UPDATE_ADAM, a->t[0], a->t[1], state, a->n, numbers, (tern_update_opts){0});
}

/* ---- MNIST ------------------------------------------------------------------------------------------------------- */

enum { SAMPLES = 60000, TINY_SAMPLES = 8, BATCH = 64, TINY_BATCH = 2, EAGER_STEPS = 3 };

typedef struct mnist {
    tern_module *net;
    tern_optim *optim;
    tern_tensor *images, *labels, *x, *y; /* all of them; those of a captured step, always in the same place */
    tern_device device;
    int64_t samples, batch;
    bool captured;
    tern_graph *graph;
} mnist;

static tern_module *cnn_new(void) {
    const tern_conv2d_opts same = {.pad = {1, 1}, .no_bias = true};
    return tern_sequential(
        tern_conv2d_new(1, 16, 3, same), tern_batch_norm_new(16, (tern_norm_opts){0}), tern_relu_new(),
        tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_conv2d_new(16, 32, 3, same),
        tern_batch_norm_new(32, (tern_norm_opts){0}), tern_relu_new(), tern_max_pool2d_new(2, (tern_pool2d_opts){0}),
        tern_flatten_new(), tern_dropout_new(0.3), tern_linear_new(32 * 7 * 7, 128, (tern_linear_opts){0}),
        tern_relu_new(), tern_dropout_new(0.3), tern_linear_new(128, 10, (tern_linear_opts){0}), NULL);
}

void bench_mnist_close(void *state) {
    mnist *m = state;
    tern_tensor *const kept[] = {m->images, m->labels, m->x, m->y};
    tern_graph_free(m->graph);
    for (int i = 0; i < 4; i++) tern_release(kept[i]);
    tern_optim_free(m->optim);
    tern_module_free(m->net);
    free(m);
}

static mnist *mnist_new(tern_device device, bool tiny) {
    mnist *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    const tern_options o = {.dtype = TERN_F32, .device = device};
    const int scope = tern_scope_push();
    m->device = device;
    m->samples = tiny ? TINY_SAMPLES : SAMPLES;
    m->batch = tiny ? TINY_BATCH : BATCH;
    m->images = tern_keep(tern_randn(TERN_SHAPE(m->samples, 1, 28, 28), 0, 1, o));
    m->labels = tern_keep(tern_cast(tern_rand(TERN_SHAPE(m->samples), 0, 10, o), TERN_I64));
    m->x = tern_keep(tern_zeros(TERN_SHAPE(m->batch, 1, 28, 28), o));
    m->y = tern_keep(tern_zeros(TERN_SHAPE(m->batch), (tern_options){.dtype = TERN_I64, .device = device}));
    tern_scope_pop(scope);
    m->net = cnn_new();
    if (m->y && tern_module_to(m->net, device)) m->optim = tern_adamw_new(m->net, 2e-3, (tern_adamw_opts){0});
    if (m->optim) return m;
    bench_mnist_close(m);
    return NULL;
}

void *bench_mnist_open(tern_device device, bool tiny) { return mnist_new(device, tiny); }
void *bench_mnist_graph_open(tern_device device, bool tiny) {
    mnist *m = mnist_new(device, tiny);
    if (m) m->captured = true;
    return m;
}

static bool train_step(mnist *m, tern_tensor *x, tern_tensor *y) {
    tern_tensor *loss = tern_cross_entropy(tern_forward(m->net, x), y, (tern_cross_entropy_opts){0});
    return tern_backward(loss) && tern_optim_step(m->optim);
}

/* The same as a replay. The first steps are eager: they make the optimizer's state and the libraries' plans. */
static bool replay_step(mnist *m, int64_t i) {
    if (!m->graph && i < EAGER_STEPS) return train_step(m, m->x, m->y);
    if (!m->graph) {
        if (!tern_graph_capture_begin(m->device)) return false;
        train_step(m, m->x, m->y);
        m->graph = tern_graph_capture_end();
    }
    return tern_graph_replay(m->graph);
}

/* An epoch: the samples in a new order, gathered on the device, the last ones that fill no batch left out. */
bool bench_mnist_step(void *state) {
    mnist *m = state;
    const int outer = tern_scope_push();
    tern_tensor *order = tern_randperm(m->samples, m->device);
    bool ok = order != NULL;
    for (int64_t i = 0; ok && (i + 1) * m->batch <= m->samples; i++) {
        const int scope = tern_scope_push();
        tern_tensor *at = tern_narrow(order, 0, i * m->batch, m->batch);
        tern_tensor *x = tern_index_select(m->images, 0, at), *y = tern_index_select(m->labels, 0, at);
        ok = m->captured ? tern_copy_(m->x, x) && tern_copy_(m->y, y) && replay_step(m, i) : train_step(m, x, y);
        tern_scope_pop(scope);
    }
    tern_scope_pop(outer);
    return ok && tern_ok();
}
