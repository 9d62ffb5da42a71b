/* Trains a residual network to tell what a small picture shows. README.md tells how. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/epochs.h"
#include "../common/grid.h"
#include "data.h"
#include "model.h"

enum { LOSS, ACCURACY, TEST_LOSS, TEST_ACCURACY };

static const char *model = "resnet9", *precision = "f32", *onnx;
static int64_t width, samples, smoothing = 5, ema;
static tern_dataset *whole; /* what the data sets may be parts of */
static char *classes;       /* their names */

static tern_dtype low_dtype(void) {
    if (strcmp(precision, "bf16") == 0) return TERN_BF16;
    return strcmp(precision, "f16") == 0 ? TERN_F16 : TERN_F32;
}

/* Crops and flips show a picture as it might have been; cutout keeps the network from looking at one spot alone. */
static tern_transform *augmentation(void) {
    return tern_transforms_new(
        (tern_transform *[]){tern_random_crop_new(CIFAR_SIZE, CIFAR_SIZE, (tern_random_crop_opts){.pad = 4}),
                             tern_random_flip_new(0.5, false),
                             tern_normalize_new(cifar_mean, cifar_std, CIFAR_CHANNELS),
                             tern_cutout_new(CIFAR_SIZE / 4)},
        4);
}

/* The average of the weights, where there is one: it does better than the last ones. */
static tern_module *best(const trainer *t) {
    return t->average && tern_average_count(t->average) ? tern_average_module(t->average) : t->model;
}

/* Loss and accuracy of the test pictures. */
static void look(trainer *t) {
    double loss;
    tern_metric *accuracy = tern_accuracy_new((tern_metric_opts){0});
    tern_module *criterion = tern_cross_entropy_new((tern_cross_entropy_opts){0});
    tern_transform *seen = tern_normalize_new(cifar_mean, cifar_std, CIFAR_CHANNELS);
    tern_loader *l =
        seen ? tern_loader_new(
                   t->test,
                   (tern_loader_opts){.batch = 256, .workers = (int)t->workers, .transform = seen, .device = t->device})
             : NULL;
    if (l &&
        tern_evaluate(
            best(t),
            (tern_evaluate_opts){
                .criterion = criterion, .loader = l, .metrics = &accuracy, .n_metrics = 1, .autocast = low_dtype()},
            &loss)) {
        epochs_set(t, TEST_LOSS, loss);
        epochs_set(t, TEST_ACCURACY, tern_metric_compute(accuracy));
    }
    tern_loader_free(l);
    tern_transform_free(seen);
    tern_metric_free(accuracy);
    tern_module_free(criterion);
}

static tern_tensor *answer(trainer *t, tern_tensor *pictures) {
    return tern_forward(best(t), tern_batch_normalize(pictures, cifar_mean, cifar_std, CIFAR_CHANNELS));
}

/* ---- what comes out ---------------------------------------------------------------------------------------------- */

enum { COLUMNS = 10, ROWS = 10 };

/* Puts those of a batch into the rows of the classes that the network gives them. */
static bool sort_batch(trainer *t, tern_batch b, tern_tensor *grid, int *count) {
    int64_t says[COLUMNS * ROWS];
    if (!tern_to_host(tern_argmax(answer(t, b.x), 1, false), says, (size_t)b.n * sizeof *says)) return false;
    for (int64_t i = 0; i < b.n; i++) {
        if (says[i] >= ROWS || count[says[i]] == COLUMNS) continue;
        tern_copy_(tern_select(grid, 0, says[i] * COLUMNS + count[says[i]]++), tern_select(b.x, 0, i));
    }
    return tern_ok();
}

/* A row for each class (the first ten): test pictures that the network takes for it. */
static bool draw(trainer *t) {
    int count[ROWS] = {0};
    const bool was = tern_inference_mode(true);
    const int outer = tern_scope_push();
    const int64_t rows = t->test->classes < ROWS ? t->test->classes : ROWS;
    tern_tensor *grid = tern_zeros(TERN_SHAPE(rows * COLUMNS, CIFAR_CHANNELS, CIFAR_SIZE, CIFAR_SIZE),
                                   (tern_options){.device = t->device});
    tern_loader *l = tern_loader_new(t->test, (tern_loader_opts){.batch = COLUMNS * ROWS, .device = t->device});
    tern_module_train(best(t), false);
    for (bool more = l != NULL; more;) {
        const int scope = tern_scope_push();
        tern_batch b;
        more = tern_loader_next(l, &b) && sort_batch(t, b, grid, count);
        tern_scope_pop(scope);
    }
    const bool ok = tern_ok() && grid_save(t->images, grid, COLUMNS, 1);
    tern_loader_free(l);
    tern_scope_pop(outer);
    tern_inference_mode(was);
    return ok;
}

static bool onnx_forward(tern_module *m, tern_tensor *const *x, int n_x, tern_tensor **y, int n_y, void *user) {
    (void)n_x, (void)n_y, (void)user;
    y[0] = tern_forward(m, tern_batch_normalize(x[0], cifar_mean, cifar_std, CIFAR_CHANNELS));
    return y[0] != NULL;
}

/* A model that takes pictures from 0 to 1. */
static bool export_onnx(trainer *t) {
    const int scope = tern_scope_push();
    tern_tensor *x =
        tern_zeros(TERN_SHAPE(1, CIFAR_CHANNELS, CIFAR_SIZE, CIFAR_SIZE), (tern_options){.device = t->device});
    const bool ok =
        tern_onnx_export(onnx, best(t), &x, 1, (tern_onnx_opts){.dynamic_batch = true, .forward = onnx_forward});
    tern_scope_pop(scope);
    return ok;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static bool make(trainer *t) {
    if (!cifar_data(t->data, samples, &t->train, &t->test, &whole)) return false;
    if (!samples) samples = t->train->length;
    if (!width) width = t->data ? 64 : 8;
    t->classes = classes = cifar_class_names(t->train);
    if (!classes) return false;
    t->transform = augmentation();
    t->model = t->transform ? cifar_net_new(model, t->train->classes, width) : NULL;
    if (!t->model || !tern_module_to(t->model, t->device)) return false;
    t->optim = tern_sgd_new(t->model, t->lr, (tern_sgd_opts){.momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
    if (ema)
        t->average =
            tern_average_new(t->model, (tern_average_opts){.decay = 1 - 1 / (double)(ema + 1), .buffers = true});
    if (low_dtype() == TERN_F16) t->scaler = tern_scaler_new((tern_scaler_opts){0});
    if (!tern_ok() || !epochs_loader(t)) return false;
    const int64_t steps = t->epochs * tern_loader_batches(t->loader);
    t->schedule = (tern_schedule){.kind = TERN_SCHEDULE_ONE_CYCLE, .lr = t->lr, .total = steps < 2 ? 2 : steps};
    return true;
}

static bool train_batch(trainer *t, tern_batch b) {
    const int cast = tern_autocast_push((tern_device_type)t->device.type, low_dtype());
    tern_tensor *logits = tern_forward(t->model, b.x);
    tern_tensor *loss =
        tern_cross_entropy(logits, b.y, (tern_cross_entropy_opts){.label_smoothing = (double)smoothing / 100});
    tern_autocast_pop(cast);
    epochs_note(t, LOSS, loss, b.n);
    tern_tensor *right = tern_eq(tern_argmax(logits, 1, false), b.y);
    epochs_note(t, ACCURACY, tern_mean(tern_cast(right, TERN_F32), NULL, 0, false), b.n);
    return trainer_update(t, loss);
}

static bool work(trainer *t) {
    if (!make(t) || !epochs_start(t)) return false;
    while (epochs_next(t)) {
        tern_batch b;
        while (epochs_batch(t, &b)) train_batch(t, b);
        if (epochs_done(t)) look(t);
    }
    if (!trainer_end(t) || !draw(t) || (onnx && !export_onnx(t))) return false;
    printf("Test accuracy %.2f %% of %" PRId64 " pictures\n%s: in each row, pictures that the network takes for %s\n",
           100 * t->value[TEST_ACCURACY], t->test->length, t->images, classes);
    return true;
}

int main(int argc, char **argv) {
    static trainer t = {
        .name = "cifar",
        .about =
            "Trains a residual network to tell what small pictures show: generated shapes, or CIFAR-10, "
            "or any\nfolder of pictures by classes.",
        .values = {"loss", "accuracy", "test loss", "test accuracy"},
        .n_values = 4,
        .data_help =
            "CIFAR-10's binary files, or train/CLASS and test/CLASS with\n"
            "pictures; generated shapes without it",
        .image_help = "pictures, sorted by the trained network",
        .epochs = 10,
        .batch = 64,
        .lr = 0.1};
    trainer_option(
        &t, (option){"model", OPTION_CHOICE, "resnet9|resnet18", &model, .help = "the network", .in_checkpoint = true});
    trainer_option(&t, (option){"width", OPTION_INT, "N", &width, 1, 512, .in_checkpoint = true,
                                .help = "channels of its first layer; 64 with --data, else 8"});
    trainer_option(&t, (option){"samples", OPTION_INT, "N", &samples, 1, 1e8, .in_checkpoint = true,
                                .help = "pictures to train with; all with --data, else 3000"});
    trainer_option(&t, (option){"smoothing", OPTION_INT, "N", &smoothing, 0, 99, .in_checkpoint = true,
                                .help = "percent of each label that all classes share"});
    trainer_option(&t, (option){"ema", OPTION_INT, "N", &ema, 0, 1e6, .in_checkpoint = true,
                                .help = "test an average of the weights over about N steps; 0: the last ones"});
    trainer_option(&t, (option){"precision", OPTION_CHOICE, "f32|bf16|f16", &precision, .in_checkpoint = true,
                                .help = "of what can be computed in few bits"});
    trainer_option(&t,
                   (option){"onnx", OPTION_TEXT, "FILE", &onnx, .help = "writes the trained network there as well"});
    t.workers = 1;
    const int code = trainer_main(&t, argc, argv, work);
    tern_dataset_free(whole);
    free(classes);
    return code;
}
