/* Trains a U-Net to tell which pixels of a picture show what. README.md tells how. */
#include <stdio.h>

#include "../common/epochs.h"
#include "../common/grid.h"
#include "../common/shapes.h"
#include "model.h"

enum { LOSS, TEST_LOSS, IOU };
enum { CLASSES = 4 };

static int64_t width = 12, samples = 800;

/* The mean over the classes of intersection over union, and the loss, of the test pictures. */
static void look(trainer *t) {
    double loss;
    tern_metric *iou = tern_iou_new((tern_metric_opts){.classes = CLASSES, .mean = TERN_METRIC_MACRO});
    tern_module *criterion = tern_cross_entropy_new((tern_cross_entropy_opts){0});
    if (tern_evaluate(t->model,
                      (tern_evaluate_opts){.criterion = criterion, .data = t->test, .metrics = &iou, .n_metrics = 1},
                      &loss)) {
        epochs_set(t, TEST_LOSS, loss);
        epochs_set(t, IOU, tern_metric_compute(iou));
    }
    tern_metric_free(iou);
    tern_module_free(criterion);
}

/* Classes [N, H, W] as pictures [N, 3, H, W], a colour each. */
static tern_tensor *colours(tern_tensor *classes) {
    static const double palette[CLASSES * 3] = {0.1, 0.1, 0.1, 0.9, 0.3, 0.2, 0.2, 0.7, 0.3, 0.25, 0.45, 0.95};
    static const int channels_second[4] = {0, 3, 1, 2};
    const int64_t n = tern_size(classes, 0), h = tern_size(classes, 1), w = tern_size(classes, 2);
    tern_tensor *rgb =
        tern_to(tern_from_doubles(palette, TERN_SHAPE(CLASSES, 3), (tern_options){0}), tern_device_of(classes));
    tern_tensor *pixels = tern_index_select(rgb, 0, tern_reshape(classes, TERN_SHAPE(n * h * w)));
    return tern_permute(tern_reshape(pixels, TERN_SHAPE(n, h, w, 3)), channels_second, 4);
}

/* Three rows: test pictures, what is there, what the network says. */
static bool draw(trainer *t) {
    enum { COLUMNS = 10 };
    tern_batch b;
    tern_loader *l = tern_loader_new(t->test, (tern_loader_opts){.batch = COLUMNS, .device = t->device});
    const bool was = tern_inference_mode(true);
    tern_module_train(t->model, false);
    bool ok = l && tern_loader_next(l, &b);
    if (ok) {
        tern_tensor *says = tern_argmax(tern_forward(t->model, b.x), 1, false);
        tern_tensor *rows[3] = {b.x, colours(b.y), colours(says)};
        ok = grid_save(t->images, tern_cat(rows, 3, 0), COLUMNS, 2);
    }
    tern_inference_mode(was);
    tern_loader_free(l);
    return ok;
}

static bool make(trainer *t) {
    t->train = shapes_scenes_new(samples, 1);
    t->test = t->train ? shapes_scenes_new(200, 2) : NULL;
    unet *u = t->test ? unet_new(3, CLASSES, width) : NULL;
    t->model = u ? &u->m : NULL;
    if (!u || !tern_module_to(t->model, t->device)) return false;
    t->optim = tern_adamw_new(t->model, t->lr, (tern_adamw_opts){0});
    return epochs_loader(t) && epochs_cosine(t);
}

static bool work(trainer *t) {
    if (!make(t) || !epochs_start(t)) return false;
    while (epochs_next(t)) {
        tern_batch b;
        while (epochs_batch(t, &b)) {
            tern_tensor *loss = tern_cross_entropy(tern_forward(t->model, b.x), b.y, (tern_cross_entropy_opts){0});
            epochs_note(t, LOSS, loss, b.n);
            trainer_update(t, loss);
        }
        if (epochs_done(t)) look(t);
    }
    if (!trainer_end(t) || !draw(t)) return false;
    printf("IoU %.4f\n%s: test pictures, what they show, what the network says\n", t->value[IOU], t->images);
    return true;
}

int main(int argc, char **argv) {
    static trainer t = {.name = "segmentation",
                        .about =
                            "Trains a small U-Net to tell which pixels of generated pictures show a disc, a square, a\n"
                            "triangle or nothing, and writes a PNG of what it says.",
                        .values = {"loss", "test", "IoU"},
                        .n_values = 3,
                        .image_help = "the picture",
                        .epochs = 14,
                        .batch = 16,
                        .lr = 4e-3};
    trainer_option(&t, (option){"width", OPTION_INT, "N", &width, 1, 512, .help = "channels of the first level",
                                .in_checkpoint = true});
    trainer_option(&t, (option){"samples", OPTION_INT, "N", &samples, 1, 1e8, .help = "pictures to train with",
                                .in_checkpoint = true});
    return trainer_main(&t, argc, argv, work);
}
