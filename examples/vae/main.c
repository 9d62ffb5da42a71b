/* Trains a variational autoencoder of handwritten digits, and draws with it. README.md tells how. */
#include <stdio.h>

#include "../common/digits.h"
#include "../common/grid.h"
#include "../common/epochs.h"
#include "model.h"

enum { LOSS, PIXELS, KL, TEST };

static int64_t latent = 8;

/* The mean loss of the test images, without noise. */
static double test_loss(trainer *t) {
    double sum = 0;
    tern_loader *l = tern_loader_new(t->test, (tern_loader_opts){.batch = 500, .device = t->device});
    const bool was = tern_inference_mode(true);
    tern_module_train(t->model, false);
    for (bool more = l != NULL; more;) {
        const int scope = tern_scope_push();
        tern_batch b;
        more = tern_loader_next(l, &b);
        if (more) sum += tern_item(vae_elbo((vae *)t->model, b.x, false).total) * (double)b.n;
        tern_scope_pop(scope);
    }
    tern_inference_mode(was);
    tern_loader_free(l);
    return sum / (double)t->test->length;
}

/* Three blocks of 10 columns: test images, what came back of them, and images of random z. */
static bool draw(trainer *t) {
    enum { COLUMNS = 10, ROWS = 3, N = COLUMNS * ROWS };
    vae *v = (vae *)t->model;
    tern_batch b;
    tern_tensor *mean, *log_var;
    tern_loader *l = tern_loader_new(t->test, (tern_loader_opts){.batch = N, .device = t->device});
    const bool was = tern_inference_mode(true);
    tern_module_train(t->model, false);
    bool ok = l && tern_loader_next(l, &b) && vae_encode(v, b.x, &mean, &log_var);
    if (ok) {
        tern_tensor *z = tern_randn(TERN_SHAPE(N, v->latent), 0, 1, (tern_options){.device = t->device});
        tern_tensor *blocks[3] = {b.x, tern_sigmoid(vae_decode(v, mean)), tern_sigmoid(vae_decode(v, z))};
        ok = grid_save(t->images, tern_cat(blocks, 3, 0), COLUMNS, tern_size(b.x, 2) < 16 ? 4 : 1);
    }
    tern_inference_mode(was);
    tern_loader_free(l);
    return ok;
}

static bool make(trainer *t) {
    t->train = digits_new(t->data, true);
    t->test = t->train ? digits_new(t->data, false) : NULL;
    if (!t->test) return false;
    const int64_t *size = t->train->x_shape.dim;
    vae *v = vae_new(size[1], size[2], latent);
    t->model = v ? &v->m : NULL;
    if (!v || !tern_module_to(t->model, t->device)) return false;
    t->optim = tern_adam_new(t->model, t->lr, (tern_adam_opts){0});
    return epochs_loader(t);
}

static bool work(trainer *t) {
    if (!make(t) || !epochs_start(t)) return false;
    while (epochs_next(t)) {
        tern_batch b;
        while (epochs_batch(t, &b)) {
            const vae_loss l = vae_elbo((vae *)t->model, b.x, true);
            epochs_note(t, LOSS, l.total, b.n);
            epochs_note(t, PIXELS, l.reconstruction, b.n);
            epochs_note(t, KL, l.kl, b.n);
            trainer_update(t, l.total);
        }
        if (epochs_done(t)) epochs_set(t, TEST, test_loss(t));
    }
    if (!trainer_end(t) || !draw(t)) return false;
    printf("%s: 30 test digits, the same from their codes, and 30 of random codes\n", t->images);
    return true;
}

int main(int argc, char **argv) {
    static trainer t = {
        .name = "vae",
        .about =
            "Trains a variational autoencoder of handwritten digits, on the 1,797 of 8 x 8 pixels that\n"
            "come with Tern or on MNIST, and writes what it draws as a PNG.",
        .values = {"loss", "pixels", "kl", "test"},
        .n_values = 4,
        .data_help = "folder of MNIST's IDX files; the bundled digits without it",
        .image_help = "the picture",
        .epochs = 40,
        .batch = 32,
        .lr = 1e-3};
    trainer_option(&t, (option){"latent", OPTION_INT, "N", &latent, 1, 1024, .help = "numbers that stand for an image",
                                .in_checkpoint = true});
    return trainer_main(&t, argc, argv, work);
}
