#include "model.h"

static const tern_conv2d_opts half = {.stride = {2, 2}, .pad = {1, 1}};
static const tern_conv_transpose2d_opts twice = {.stride = {2, 2}, .pad = {1, 1}, .no_bias = true};

static tern_module *generator_new(int64_t h, int64_t w, int64_t latent) {
    return tern_sequential(
        tern_linear_new(latent, 64 * h * w, (tern_linear_opts){.no_bias = true}),
        tern_unflatten_new(1, TERN_SHAPE(64, h, w)), tern_batch_norm_new(64, (tern_norm_opts){0}), tern_relu_new(),
        tern_conv_transpose2d_new(64, 32, 4, twice), tern_batch_norm_new(32, (tern_norm_opts){0}), tern_relu_new(),
        tern_conv_transpose2d_new(32, 1, 4, (tern_conv_transpose2d_opts){.stride = {2, 2}, .pad = {1, 1}}),
        tern_sigmoid_new(), NULL);
}

/* No batch_norm here: what it tells must not hang on the other images of the batch. */
static tern_module *discriminator_new(int64_t h, int64_t w) {
    return tern_sequential(tern_conv2d_new(1, 32, 4, half), tern_leaky_relu_new(0.2), tern_dropout_new(0.3),
                           tern_conv2d_new(32, 64, 4, half), tern_leaky_relu_new(0.2), tern_dropout_new(0.3),
                           tern_flatten_new(), tern_linear_new(64 * h * w, 1, (tern_linear_opts){0}), NULL);
}

gan *gan_new(int64_t height, int64_t width, int64_t latent) {
    if (height % 4 || width % 4) {
        tern_error_set(TERN_ERR_SHAPE, "the images' sides are not multiples of 4");
        return NULL;
    }
    gan *g = TERN_MODULE_NEW(gan);
    if (!g) return NULL;
    g->latent = latent;
    g->generator = tern_module_add(&g->m, "generator", generator_new(height / 4, width / 4, latent));
    g->discriminator = tern_module_add(&g->m, "discriminator", discriminator_new(height / 4, width / 4));
    return tern_module_done(g);
}

tern_tensor *gan_make(gan *g, int64_t n, tern_device device) {
    tern_tensor *z = tern_randn(TERN_SHAPE(n, g->latent), 0, 1, (tern_options){.device = device});
    return tern_forward(g->generator, z);
}
