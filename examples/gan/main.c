/* Trains a generator of handwritten digits against a discriminator. README.md tells how. */
#include <stdio.h>

#include "../common/digits.h"
#include "../common/epochs.h"
#include "../common/grid.h"
#include "model.h"

/* What the two lose, and the shares of real and of made images that the discriminator takes for what they are. */
enum { D_LOSS, G_LOSS, REAL, MADE };

static int64_t latent = 32;

/* Cross-entropy of logits [N, 1] with the same answer for all. */
static tern_tensor *against(tern_tensor *logits, double answer) {
    return tern_bce_with_logits(logits, tern_full_like(logits, answer), (tern_bce_with_logits_opts){0});
}

/* The share of logits above 0. */
static tern_tensor *share(tern_tensor *logits) {
    tern_tensor *yes = tern_gt(tern_detach(logits), tern_zeros_like(tern_detach(logits)));
    return tern_mean(tern_cast(yes, TERN_F32), NULL, 0, false);
}

/* One optimizer has the parameters of both networks: its step updates those that have gradients, and leaves the others
 * and their moments alone. */
static void discriminator_step(trainer *t, gan *g, tern_batch b) {
    tern_tensor *made = tern_detach(gan_make(g, b.n, t->device)); /* no gradient reaches the generator */
    tern_tensor *real_says = tern_forward(g->discriminator, b.x), *made_says = tern_forward(g->discriminator, made);
    /* 0.9 instead of 1 for real ones: it never gets too sure (one-sided smoothing, Salimans et al., arXiv 1606.03498)
     */
    tern_tensor *loss = tern_add(against(real_says, 0.9), against(made_says, 0));
    epochs_note(t, D_LOSS, loss, b.n);
    epochs_note(t, REAL, share(real_says), b.n);
    epochs_note(t, MADE, share(tern_neg(made_says)), b.n);
    trainer_update(t, loss);
}

static void generator_step(trainer *t, gan *g, tern_batch b) {
    tern_tensor *loss = against(tern_forward(g->discriminator, gan_make(g, b.n, t->device)), 1);
    epochs_note(t, G_LOSS, loss, b.n);
    if (!tern_backward(loss)) return;
    tern_module_zero_grad(g->discriminator); /* the gradient went through it, it does not learn from it */
    if (tern_schedule_apply(&t->schedule, t->optim)) tern_optim_step(t->optim);
}

static bool draw(trainer *t) {
    enum { COLUMNS = 12, N = 96 };
    gan *g = (gan *)t->model;
    const bool was = tern_inference_mode(true);
    tern_module_train(t->model, false);
    tern_tensor *x = gan_make(g, N, t->device);
    const bool ok = x && grid_save(t->images, x, COLUMNS, tern_size(x, 2) < 16 ? 4 : 1);
    tern_inference_mode(was);
    return ok;
}

static bool make(trainer *t) {
    t->train = digits_new(t->data, true);
    if (!t->train) return false;
    const int64_t *size = t->train->x_shape.dim;
    gan *g = gan_new(size[1], size[2], latent);
    t->model = g ? &g->m : NULL;
    if (!g || !tern_module_to(t->model, t->device)) return false;
    t->optim = tern_adam_new(t->model, t->lr, (tern_adam_opts){.beta1 = 0.5});
    return epochs_loader(t);
}

static bool work(trainer *t) {
    if (!make(t) || !epochs_start(t)) return false;
    while (epochs_next(t)) {
        tern_batch b;
        while (epochs_batch(t, &b)) {
            discriminator_step(t, (gan *)t->model, b);
            generator_step(t, (gan *)t->model, b);
        }
        if (!epochs_done(t)) break;
    }
    if (!trainer_end(t) || !draw(t)) return false;
    printf("%s: 96 digits that nobody wrote\n", t->images);
    return true;
}

int main(int argc, char **argv) {
    static trainer t = {
        .name = "gan",
        .about =
            "Trains a generator of handwritten digits against a discriminator, on the 1,797 digits of 8 x\n"
            "8 pixels that come with Tern or on MNIST, and writes what it makes as a PNG.",
        .values = {"discriminator", "generator", "real", "made"},
        .n_values = 4,
        .data_help = "folder of MNIST's IDX files; the bundled digits without it",
        .image_help = "the picture",
        .epochs = 60,
        .batch = 64,
        .lr = 1e-3};
    trainer_option(&t, (option){"latent", OPTION_INT, "N", &latent, 1, 1024,
                                .help = "random numbers that an image is made of", .in_checkpoint = true});
    return trainer_main(&t, argc, argv, work);
}
