/* Training steps: forward, loss, backward and update. Data is random and stands on the device before the clock runs
 * (the epoch over a loader apart), as time does not depend on its values. benchmarks/peers/pytorch.py has the same
 * under the same names. */
#include "bench.h"

/* ---- one shape of state for all of them -------------------------------------------------------------------------- */

typedef struct trainer {
    tern_module *net;
    tern_optim *optim;
    tern_tensor *x, *y; /* a batch, or all the samples of an epoch */
    tern_tensor *(*forward)(tern_module *net, tern_tensor *x);
    tern_device device;
    int64_t batch; /* of an epoch */
    bool captured;
    tern_tensor *batch_x, *batch_y; /* those of a captured step, always in the same place */
    tern_graph *graph;
    tern_dataset *data;
    tern_loader *loader;
} trainer;

static void trainer_close(void *state) {
    trainer *t = state;
    tern_tensor *const kept[] = {t->x, t->y, t->batch_x, t->batch_y};
    tern_graph_free(t->graph);
    tern_loader_free(t->loader);
    tern_dataset_free(t->data);
    for (int i = 0; i < 4; i++) tern_release(kept[i]);
    tern_optim_free(t->optim);
    tern_module_free(t->net);
    free(t);
}

static bool train(trainer *t, tern_tensor *x, tern_tensor *y) {
    tern_tensor *logits = t->forward(t->net, x);
    if (tern_ndim(logits) == 3) { /* of every token of a sequence */
        const int64_t classes = tern_size(logits, 2);
        logits = tern_reshape(logits, TERN_SHAPE(-1, classes));
    }
    tern_tensor *loss = tern_cross_entropy(logits, y, (tern_cross_entropy_opts){0});
    return tern_backward(loss) && tern_optim_step(t->optim);
}

static bool trainer_step(void *state) {
    trainer *t = state;
    return train(t, t->x, t->y);
}

static tern_tensor *labels_new(tern_shape shape, int64_t classes, tern_device device) {
    const tern_options o = {.dtype = TERN_F32, .device = device};
    return tern_cast(tern_rand(shape, 0, (double)classes, o), TERN_I64);
}

typedef enum updates { SGD, MOMENTUM, ADAM, ADAMW } updates;

static tern_optim *optim_new(tern_module *net, updates how) {
    if (how == SGD) return tern_sgd_new(net, 0.01, (tern_sgd_opts){0});
    if (how == MOMENTUM) return tern_sgd_new(net, 0.01, (tern_sgd_opts){.momentum = 0.9});
    return how == ADAM ? tern_adam_new(net, 1e-3, (tern_adam_opts){0})
                       : tern_adamw_new(net, 1e-4, (tern_adamw_opts){0});
}

/* Takes net over. The samples are normal, of shape [n, ...]; labels [n]. */
static trainer *trainer_new(tern_module *net, updates how, tern_device device, tern_shape samples, int64_t classes) {
    trainer *t = calloc(1, sizeof *t);
    if (!t) {
        tern_module_free(net);
        return NULL;
    }
    const int scope = tern_scope_push();
    t->net = net;
    t->forward = tern_forward;
    t->device = device;
    if (net && tern_module_to(net, device)) t->optim = optim_new(net, how);
    t->x = tern_keep(tern_randn(samples, 0, 1, (tern_options){.dtype = TERN_F32, .device = device}));
    t->y = tern_keep(labels_new(TERN_SHAPE(samples.dim[0]), classes, device));
    tern_scope_pop(scope);
    if (t->optim && t->x && t->y) return t;
    trainer_close(t);
    return NULL;
}

/* ---- perceptrons ------------------------------------------------------------------------------------------------- */

#define LINEAR(i, o) tern_linear_new((i), (o), (tern_linear_opts){0})
#define POOL()       tern_max_pool2d_new(2, (tern_pool2d_opts){0})

static void *mlp_128_open(tern_device device, bool tiny, int64_t batch) {
    const int64_t in = tiny ? 16 : 784;
    return trainer_new(tern_sequential(LINEAR(in, 128), tern_relu_new(), LINEAR(128, 10), NULL), SGD, device,
                       TERN_SHAPE(batch, in), 10);
}

static tern_module *mlp_64_new(int64_t in) {
    return tern_sequential(tern_flatten_new(), LINEAR(in, 64), tern_relu_new(), LINEAR(64, 10), NULL);
}

static void *mlp_64_open(tern_device device, bool tiny, int64_t batch) {
    const int64_t in = tiny ? 16 : 784;
    return trainer_new(mlp_64_new(in), ADAM, device, TERN_SHAPE(batch, in), 10);
}

static void *mlp_512_open(tern_device device, bool tiny, int64_t batch) {
    const int64_t in = tiny ? 16 : 784;
    return trainer_new(
        tern_sequential(LINEAR(in, 512), tern_relu_new(), LINEAR(512, 512), tern_relu_new(), LINEAR(512, 10), NULL),
        SGD, device, TERN_SHAPE(batch, in), 10);
}

/* An epoch as a program has it: a loader that shuffles, and the loss summed up. */
static void *mlp_epoch_open(tern_device device, bool tiny, int64_t samples) {
    if (tiny) samples = 128;
    trainer *t = trainer_new(mlp_64_new(784), ADAM, device, TERN_SHAPE(samples, 1, 28, 28), 10);
    if (!t) return NULL;
    const int scope = tern_scope_push();
    t->data = tern_dataset_tensors_new(tern_to(t->x, tern_cpu()), tern_to(t->y, tern_cpu()));
    tern_scope_pop(scope);
    t->loader = tern_loader_new(t->data, (tern_loader_opts){.batch = 64, .shuffle = true, .seed = 1, .workers = 1});
    if (t->loader) return t;
    trainer_close(t);
    return NULL;
}

static bool mlp_epoch_step(void *state) {
    trainer *t = state;
    const int outer = tern_scope_push();
    tern_tensor *sum = tern_scalar(0, (tern_options){.device = t->device});
    tern_batch b;
    bool more = true;
    while (more) {
        const int scope = tern_scope_push();
        more = tern_loader_next(t->loader, &b);
        if (more) {
            tern_tensor *y = tern_to(b.y, t->device);
            tern_tensor *loss =
                tern_cross_entropy(tern_forward(t->net, tern_to(b.x, t->device)), y, (tern_cross_entropy_opts){0});
            more = tern_backward(loss) && tern_optim_step(t->optim);
            const bool was = tern_grad_mode(false);
            tern_add_(sum, loss);
            tern_grad_mode(was);
        }
        tern_scope_pop(scope);
    }
    tern_item(sum);
    tern_scope_pop(outer);
    return tern_ok();
}

/* ---- convolutional networks -------------------------------------------------------------------------------------- */

static tern_module *conv(int64_t in, int64_t out, int64_t pad) {
    return tern_conv2d_new(in, out, 3, (tern_conv2d_opts){.pad = {pad}});
}

/* For images of 32x32 in three colours. */
static void *cnn_open(tern_device device, bool tiny, int64_t batch) {
    const int64_t side = tiny ? 8 : 32;
    return trainer_new(tern_sequential(conv(3, 32, 1), tern_relu_new(), POOL(), conv(32, 64, 1), tern_relu_new(),
                                       POOL(), tern_flatten_new(), LINEAR(64 * (side / 4) * (side / 4), 10), NULL),
                       MOMENTUM, device, TERN_SHAPE(tiny ? 2 : batch, 3, side, side), 10);
}

/* The network of kann's example mnist-cnn: no padding, both dropouts 0.2. */
static void *kann_open(tern_device device, bool tiny, int64_t batch) {
    const int64_t side = tiny ? 8 : 28, pooled = (side - 4) / 2;
    return trainer_new(tern_sequential(conv(1, 32, 0), tern_relu_new(), conv(32, 32, 0), tern_relu_new(), POOL(),
                                       tern_dropout_new(0.2), tern_flatten_new(), LINEAR(32 * pooled * pooled, 128),
                                       tern_relu_new(), tern_dropout_new(0.2), LINEAR(128, 10), NULL),
                       ADAM, device, TERN_SHAPE(tiny ? 2 : batch, 1, side, side), 10);
}

/* An epoch of MNIST's size with the network of examples/mnist --model cnn, gathered on the device. */
static tern_module *mnist_new(void) {
    const tern_conv2d_opts same = {.pad = {1, 1}, .no_bias = true};
    return tern_sequential(tern_conv2d_new(1, 16, 3, same), tern_batch_norm_new(16, (tern_norm_opts){0}),
                           tern_relu_new(), POOL(), tern_conv2d_new(16, 32, 3, same),
                           tern_batch_norm_new(32, (tern_norm_opts){0}), tern_relu_new(), POOL(), tern_flatten_new(),
                           tern_dropout_new(0.3), LINEAR(32 * 7 * 7, 128), tern_relu_new(), tern_dropout_new(0.3),
                           LINEAR(128, 10), NULL);
}

static void *mnist_open(tern_device device, bool tiny, int64_t samples) {
    trainer *t = trainer_new(mnist_new(), ADAMW, device, TERN_SHAPE(tiny ? 8 : samples, 1, 28, 28), 10);
    if (!t) return NULL;
    const tern_options o = {.device = device};
    const int scope = tern_scope_push();
    t->batch = tiny ? 2 : 64;
    t->batch_x = tern_keep(tern_zeros(TERN_SHAPE(t->batch, 1, 28, 28), o));
    t->batch_y = tern_keep(tern_zeros(TERN_SHAPE(t->batch), (tern_options){.dtype = TERN_I64, .device = device}));
    tern_scope_pop(scope);
    if (t->batch_y) return t;
    trainer_close(t);
    return NULL;
}

/* The step captured once, and replayed. */
static void *mnist_graph_open(tern_device device, bool tiny, int64_t samples) {
    trainer *t = mnist_open(device, tiny, samples);
    if (t) t->captured = true;
    return t;
}

/* The first steps are eager: they make the optimizer's state and the libraries' plans. */
static bool replay(trainer *t, int64_t i) {
    if (!t->graph && i < 3) return train(t, t->batch_x, t->batch_y);
    if (!t->graph) {
        if (!tern_graph_capture_begin(t->device)) return false;
        train(t, t->batch_x, t->batch_y);
        t->graph = tern_graph_capture_end();
    }
    return tern_graph_replay(t->graph);
}

/* The samples in a new order, the last ones that fill no batch left out. */
static bool mnist_step(void *state) {
    trainer *t = state;
    const int outer = tern_scope_push();
    const int64_t samples = tern_size(t->x, 0);
    tern_tensor *order = tern_randperm(samples, t->device);
    bool ok = order != NULL;
    for (int64_t i = 0; ok && (i + 1) * t->batch <= samples; i++) {
        const int scope = tern_scope_push();
        tern_tensor *at = tern_narrow(order, 0, i * t->batch, t->batch);
        tern_tensor *x = tern_index_select(t->x, 0, at), *y = tern_index_select(t->y, 0, at);
        ok = t->captured ? tern_copy_(t->batch_x, x) && tern_copy_(t->batch_y, y) && replay(t, i) : train(t, x, y);
        tern_scope_pop(scope);
    }
    tern_scope_pop(outer);
    return ok && tern_ok();
}

/* ---- GPT-2 ------------------------------------------------------------------------------------------------------- */

enum { TOKENS = 64, TINY_TOKENS = 8 };

static void *gpt2_open(tern_device device, bool tiny, int64_t batch) {
    const int64_t tokens = tiny ? TINY_TOKENS : TOKENS, vocabulary = bench_gpt2_vocabulary(tiny);
    trainer *t = trainer_new(bench_gpt2_new(tiny), ADAMW, device, TERN_SHAPE(1, 1), 1);
    if (!t) return NULL;
    tern_release(t->x);
    tern_release(t->y);
    const int scope = tern_scope_push();
    t->forward = bench_gpt2_forward;
    t->x = tern_keep(labels_new(TERN_SHAPE(batch, tokens), vocabulary, device));
    t->y = tern_keep(labels_new(TERN_SHAPE(batch * tokens), vocabulary, device));
    tern_scope_pop(scope);
    if (t->x && t->y) return t;
    trainer_close(t);
    return NULL;
}
static double gpt2_flops(int64_t batch) { return bench_gpt2_flops(batch, TOKENS); }

/* ---- updates ----------------------------------------------------------------------------------------------------- */

enum { LAYERS = 12, WIDTH = 768 };

/* A parameter with a gradient that stays. */
static void parameter_add(tern_module *m, int n, tern_device device, bool tiny, const int64_t size[2]) {
    const int64_t most = tiny ? 16 : INT64_MAX;
    const int64_t rows = size[0] < most ? size[0] : most, columns = size[1] < most ? size[1] : most;
    const tern_options o = {.dtype = TERN_F32, .device = device};
    const tern_shape s = columns ? TERN_SHAPE(rows, columns) : TERN_SHAPE(rows);
    char name[16];
    const int scope = tern_scope_push();
    snprintf(name, sizeof name, "p%d", n);
    tern_tensor *p = tern_module_param(m, name, tern_randn(s, 0, 0.02, o));
    tern_grad_set(p, tern_randn(s, 0, 1e-3, o));
    tern_scope_pop(scope);
}

/* One tensor of so many elements; with 0 all those of GPT-2 124M. */
static tern_module *parameters_new(tern_device device, bool tiny, int64_t elements) {
    static const int64_t ends[4][2] = {{50257, WIDTH}, {1024, WIDTH}, {WIDTH, 0}, {WIDTH, 0}};
    /* Of a layer: two norms, attention's input and output, the two of the perceptron; weights, then biases. */
    static const int64_t layer[12][2] = {{WIDTH, 0},         {WIDTH, 0},     {3 * WIDTH, WIDTH}, {3 * WIDTH, 0},
                                         {WIDTH, WIDTH},     {WIDTH, 0},     {WIDTH, 0},         {WIDTH, 0},
                                         {4 * WIDTH, WIDTH}, {4 * WIDTH, 0}, {WIDTH, 4 * WIDTH}, {WIDTH, 0}};
    int n = 0;
    tern_module *m = tern_module_alloc(sizeof *m, "parameters");
    if (elements) {
        parameter_add(m, n, device, tiny, (const int64_t[]){elements, 0});
        return tern_module_done(m);
    }
    for (int i = 0; i < 4; i++) parameter_add(m, n++, device, tiny, ends[i]);
    for (int i = 0; i < 12 * LAYERS; i++) parameter_add(m, n++, device, tiny, layer[i % 12]);
    return tern_module_done(m);
}

static void *adamw_open(tern_device device, bool tiny, int64_t elements) {
    trainer *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->net = parameters_new(device, tiny, elements);
    t->optim = t->net ? optim_new(t->net, ADAMW) : NULL;
    if (!t->optim) return trainer_close(t), NULL;
    tern_optim_keep_grad(t->optim, true);
    return t;
}

static bool adamw_step(void *state) { return tern_optim_step(((trainer *)state)->optim); }

/* Reads the parameter, its gradient and both moments, writes all but the gradient, in f32. */
static double adamw_bytes(int64_t elements) { return 7 * 4 * (double)(elements ? elements : 124439808); }

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define MODEL(n, open_fn, step_fn, batch, ...)                                                                    \
    {                                                                                                             \
        .group = "models", .name = #n, .torch = #n, .open = (open_fn), .step = (step_fn), .close = trainer_close, \
        .size = (batch), .samples = __VA_ARGS__                                                                   \
    }
#define UPDATE(n, elements)                                                                                            \
    {                                                                                                                  \
        .group = "optimizer", .name = #n, .torch = #n, .open = adamw_open, .step = adamw_step, .close = trainer_close, \
        .size = (elements), .bytes = adamw_bytes                                                                       \
    }

static const bench_model models[] = {
    MODEL(mlp_784_128_10_b1, mlp_128_open, trainer_step, 1, 1),
    MODEL(mlp_784_128_10_b8, mlp_128_open, trainer_step, 8, 8),
    MODEL(mlp_784_128_10_b64, mlp_128_open, trainer_step, 64, 64),
    MODEL(mlp_784_64_10_b64, mlp_64_open, trainer_step, 64, 64),
    MODEL(mlp_784_512_512_10_b64, mlp_512_open, trainer_step, 64, 64),
    MODEL(mlp_784_64_10_epoch, mlp_epoch_open, mlp_epoch_step, 60000, 60000),
    MODEL(cnn_32x32_b64, cnn_open, trainer_step, 64, 64),
    MODEL(kann_mnist_cnn_b64, kann_open, trainer_step, 64, 64),
    MODEL(gpt2_124m_b4_t64, gpt2_open, trainer_step, 4, 4 * TOKENS, .long_step = true, .flops = gpt2_flops),
    MODEL(mnist_epoch, mnist_open, mnist_step, 60000, 60000, .long_step = true, .gpu_only = true),
    MODEL(mnist_epoch_graph, mnist_graph_open, mnist_step, 60000, 60000, .long_step = true, .gpu_only = true),
    UPDATE(adamw_10m, 10000000),
    UPDATE(adamw_gpt2, 0),
};

bool bench_models_add(bench_list *list, const bench_options *o, bool steps) {
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const bench_model *m = &models[i];
        const bool cpu = o->device.type == TERN_CPU;
        bench_case c = {.group = m->group,
                        .torch = m->torch,
                        .pass = BENCH_STEP,
                        .dtype = TERN_F32,
                        .device = o->device,
                        .tiny = o->quick,
                        .flops = m->flops && !o->quick ? m->flops(m->size) : 0,
                        .bytes = m->bytes && !o->quick ? m->bytes(m->size) : 0,
                        .samples = o->quick ? 0 : m->samples,
                        .model = m};
        snprintf(c.name, sizeof c.name, "%s/%s", m->group, m->name);
        if (strcmp(m->group, "models") == 0 ? !steps : steps) continue;
        if ((m->gpu_only && cpu) || (o->dtype && o->dtype != TERN_F32 + 1) || o->n_sizes) continue;
        if (!bench_wanted(o, c.name)) continue;
        bench_case *at = bench_add(list);
        if (!at) return false;
        *at = c;
    }
    return true;
}
