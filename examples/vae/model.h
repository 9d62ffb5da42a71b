/* A variational autoencoder of small grey images. */
#ifndef VAE_MODEL_H
#define VAE_MODEL_H

#include <tern/tern.h>

typedef struct vae {
    tern_module m;
    tern_module *encoder, *decoder;
    int64_t latent;
} vae;

/* Of images [N, 1, H, W], H and W multiples of 4. NULL after an error. */
vae *vae_new(int64_t height, int64_t width, int64_t latent);
/* The mean and the logarithm of the variance of z, [N, latent] each, for images x. */
bool vae_encode(vae *v, tern_tensor *x, tern_tensor **mean, tern_tensor **log_var);
/* z [N, latent] -> logits of the pixels [N, 1, H, W]. */
tern_tensor *vae_decode(vae *v, tern_tensor *z);

typedef struct vae_loss {
    tern_tensor *total, *reconstruction, *kl; /* 0-dim: nats an image, the mean over the batch */
} vae_loss;
/* The negative evidence lower bound of x: what the pixels cost given one z drawn by its image, and how far the
 * distribution of z is from a normal one. draw false: z is its mean. */
vae_loss vae_elbo(vae *v, tern_tensor *x, bool draw);

#endif
