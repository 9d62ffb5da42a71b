#include "model.h"

static const tern_conv2d_opts half = {.stride = {2, 2}, .pad = {1, 1}};
static const tern_conv_transpose2d_opts twice = {.stride = {2, 2}, .pad = {1, 1}};

vae *vae_new(int64_t height, int64_t width, int64_t latent) {
    if (height % 4 || width % 4) {
        tern_error_set(TERN_ERR_SHAPE, "the images' sides are not multiples of 4");
        return NULL;
    }
    const int64_t h = height / 4, w = width / 4;
    vae *v = TERN_MODULE_NEW(vae);
    if (!v) return NULL;
    v->latent = latent;
    v->encoder = tern_module_add(
        &v->m, "encoder",
        tern_sequential(tern_conv2d_new(1, 32, 3, half), tern_relu_new(), tern_conv2d_new(32, 64, 3, half),
                        tern_relu_new(), tern_flatten_new(), tern_linear_new(64 * h * w, 128, (tern_linear_opts){0}),
                        tern_relu_new(), tern_linear_new(128, 2 * latent, (tern_linear_opts){0}), NULL));
    v->decoder = tern_module_add(
        &v->m, "decoder",
        tern_sequential(tern_linear_new(latent, 128, (tern_linear_opts){0}), tern_relu_new(),
                        tern_linear_new(128, 64 * h * w, (tern_linear_opts){0}), tern_relu_new(),
                        tern_unflatten_new(1, TERN_SHAPE(64, h, w)), tern_conv_transpose2d_new(64, 32, 4, twice),
                        tern_relu_new(), tern_conv_transpose2d_new(32, 1, 4, twice), NULL));
    return tern_module_done(v);
}

bool vae_encode(vae *v, tern_tensor *x, tern_tensor **mean, tern_tensor **log_var) {
    tern_tensor *both[2] = {NULL, NULL};
    const bool ok = tern_chunk(tern_forward(v->encoder, x), 2, 1, both);
    *mean = both[0];
    *log_var = both[1];
    return ok;
}

tern_tensor *vae_decode(vae *v, tern_tensor *z) { return tern_forward(v->decoder, z); }

vae_loss vae_elbo(vae *v, tern_tensor *x, bool draw) {
    tern_tensor *mean, *log_var;
    if (!vae_encode(v, x, &mean, &log_var)) return (vae_loss){0};
    /* z = mean + deviation x noise, so that gradients reach both. */
    tern_tensor *deviation = tern_exp(tern_mul_scalar(log_var, 0.5));
    tern_tensor *z = draw ? tern_add(mean, tern_mul(deviation, tern_randn_like(mean, 0, 1))) : mean;
    const double n = (double)tern_size(x, 0);
    tern_tensor *pixels =
        tern_bce_with_logits(vae_decode(v, z), x, (tern_bce_with_logits_opts){.reduction = TERN_REDUCE_SUM});
    /* (mean^2 + var - 1 - log var) / 2, summed: the divergence of two normal distributions. */
    tern_tensor *apart = tern_sub(tern_add(tern_square(mean), tern_exp(log_var)), tern_add_scalar(log_var, 1));
    vae_loss l = {.reconstruction = tern_mul_scalar(pixels, 1 / n),
                  .kl = tern_mul_scalar(tern_sum(apart, NULL, 0, false), 0.5 / n)};
    l.total = tern_add(l.reconstruction, l.kl);
    return l;
}
