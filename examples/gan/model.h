/* Two networks that train one another: one makes images, the other tells them from real ones. */
#ifndef GAN_MODEL_H
#define GAN_MODEL_H

#include <tern/tern.h>

typedef struct gan {
    tern_module m;
    tern_module *generator;     /* [N, latent] -> images [N, 1, H, W] from 0 to 1 */
    tern_module *discriminator; /* images -> [N, 1], the logit of "real" */
    int64_t latent;
} gan;

/* Of images [N, 1, H, W], H and W multiples of 4. NULL after an error. */
gan *gan_new(int64_t height, int64_t width, int64_t latent);
/* n images of random numbers. */
tern_tensor *gan_make(gan *g, int64_t n, tern_device device);

#endif
