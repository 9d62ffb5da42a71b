/* The same training run on the CPU and on another device: the losses step by step, then every parameter and buffer,
 * agree within a tolerance, and two runs on the device agree to the last bit. The device is TERN_TEST_DEVICE, or cuda
 * where there is one; without one the tests say that they are skipped. TERN_PARITY_STEPS sets the length. */
#include "common.h"
#include "tern/data.h"
#include "tern/layers.h"
#include "tern/optim.h"

enum { MOST_STEPS = 500 };

typedef struct track {
    double loss[MOST_STEPS];
    double *value; /* of every parameter and buffer */
    int64_t n;
} track;

static int steps_wanted(void) {
    const char *s = getenv("TERN_PARITY_STEPS");
    const int n = s ? atoi(s) : 0;
    return n < 1 ? 20 : n > MOST_STEPS ? MOST_STEPS : n;
}

/* The device to compare with, or false after saying that there is none. */
static bool other_device(tern_device *d) {
    *d = test_device();
    if (d->type != TERN_CPU) return true;
    *d = (tern_device){.type = TERN_CUDA};
    if (tern_device_available(*d)) return true;
    tern_error_clear();
    fprintf(stderr, "skipped: there is no device to compare the CPU with\n");
    return false;
}

/* Layers whose gradients need every kind of kernel: products, windows, norms, random numbers, reductions. A bias in
 * front of batch_norm has no gradient but rounding errors, which Adam would make steps of. */
static tern_module *model_new(bool cnn) {
    if (!cnn)
        return tern_sequential(tern_flatten_new(), tern_linear_new(64, 24, (tern_linear_opts){0}), tern_relu_new(),
                               tern_dropout_new(0.1), tern_linear_new(24, 10, (tern_linear_opts){0}), NULL);
    return tern_sequential(tern_conv2d_new(1, 4, 3, (tern_conv2d_opts){.pad = {1}, .no_bias = true}),
                           tern_batch_norm_new(4, (tern_norm_opts){0}), tern_relu_new(),
                           tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_flatten_new(), tern_dropout_new(0.1),
                           tern_linear_new(4 * 16, 10, (tern_linear_opts){0}), NULL);
}

static bool keep_values(tern_module *m, track *t) {
    tern_named e;
    t->n = 0;
    for (int i = 0; tern_module_each(m, i, &e); i++) t->n += tern_numel(e.tensor);
    t->value = calloc((size_t)t->n + 1, sizeof *t->value);
    double *at = t->value;
    for (int i = 0; at && tern_module_each(m, i, &e); at += tern_numel(e.tensor), i++)
        if (!tern_to_doubles(e.tensor, at, tern_numel(e.tensor))) return false;
    return t->value != NULL;
}

static bool step(tern_module *m, tern_optim *optim, const tern_batch *b, tern_dtype dtype, double *value) {
    const int scope = tern_scope_push();
    tern_tensor *loss = tern_cross_entropy(tern_forward(m, tern_cast(b->x, dtype)), b->y,
                                           (tern_cross_entropy_opts){.label_smoothing = 0.05});
    const bool good = tern_backward(loss) && tern_optim_clip_norm(optim, 5) && tern_optim_step(optim);
    *value = good ? tern_item(loss) : (double)NAN;
    tern_scope_pop(scope);
    return good && tern_ok();
}

static bool train(bool cnn, tern_dtype dtype, tern_device device, int steps, track *t) {
    *t = (track){0};
    tern_seed(11);
    tern_dataset *data = tern_digits_new(true);
    tern_loader *loader =
        data ? tern_loader_new(data, (tern_loader_opts){.batch = 16, .shuffle = true, .seed = 11, .device = device})
             : NULL;
    tern_module *m = loader ? model_new(cnn) : NULL;
    bool good = m && tern_module_cast(m, dtype) && tern_module_to(m, device);
    tern_optim *optim = !good ? NULL
                        : cnn ? tern_adamw_new(m, 3e-3, (tern_adamw_opts){.weight_decay = 0.01})
                              : tern_sgd_new(m, 0.05, (tern_sgd_opts){.momentum = 0.9, .nesterov = true});
    good = good && optim;
    for (int i = 0; good && i < steps; i++) {
        tern_batch b;
        const int scope = tern_scope_push();
        good = (tern_loader_next(loader, &b) || tern_loader_next(loader, &b)) && step(m, optim, &b, dtype, &t->loss[i]);
        tern_scope_pop(scope);
    }
    good = good && keep_values(m, t);
    tern_optim_free(optim);
    tern_module_free(m);
    tern_loader_free(loader);
    tern_dataset_free(data);
    return CHECK(good, "%s", tern_error_message());
}

/* Rounding differs between devices, and every step carries it on; hence the factor for the length. */
static void compare(const char *what, const track *a, const track *b, int steps, double tol) {
    for (int i = 0; i < steps; i++)
        CHECK(fabs(a->loss[i] - b->loss[i]) <= tol * (1 + i) * (1 + fabs(a->loss[i])),
              "%s: the loss of step %d is %.17g, on the CPU %.17g", what, i, b->loss[i], a->loss[i]);
    double most = 0;
    if (!CHECK(a->n == b->n && a->n > 0)) return;
    for (int64_t i = 0; i < a->n; i++) {
        const double off = fabs(a->value[i] - b->value[i]) / (1 + fabs(a->value[i]));
        most = !(off <= most) ? off : most;
    }
    CHECK(most <= 10 * tol * steps, "%s: parameters are off by %.3g", what, most);
    fprintf(stderr, "%s: after %d steps the loss is off by %.3g, parameters by up to %.3g\n", what, steps,
            fabs(a->loss[steps - 1] - b->loss[steps - 1]), most);
}

static void check_parity(bool cnn, tern_dtype dtype, double tol) {
    tern_device d;
    const int steps = steps_wanted();
    track cpu = {0}, first = {0}, second = {0};
    if (!other_device(&d)) return;
    check_case("%s in %s", cnn ? "cnn" : "mlp", tern_dtype_name(dtype));
    if (train(cnn, dtype, tern_cpu(), steps, &cpu) && train(cnn, dtype, d, steps, &first) &&
        train(cnn, dtype, d, steps, &second)) {
        compare(cnn ? "cnn" : "mlp", &cpu, &first, steps, tol);
        CHECK(memcmp(first.loss, second.loss, sizeof first.loss) == 0, "the losses of two runs differ");
        CHECK(memcmp(first.value, second.value, (size_t)first.n * sizeof(double)) == 0,
              "the results of two runs differ");
        CHECK(cpu.loss[steps - 1] < cpu.loss[0] + 1 && cpu.loss[0] > 1, "nothing was trained");
    }
    free(cpu.value);
    free(first.value);
    free(second.value);
}

TERN_TEST(parity, mlp_f32, .timeout = 600) { check_parity(false, TERN_F32, 1e-6); }
TERN_TEST(parity, cnn_f32, .timeout = 600) { check_parity(true, TERN_F32, 1e-5); }
TERN_TEST(parity, mlp_f64, .timeout = 600) { check_parity(false, TERN_F64, 1e-14); }
TERN_TEST(parity, cnn_f64, .timeout = 600) { check_parity(true, TERN_F64, 1e-13); }
