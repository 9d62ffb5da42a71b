/* A small U-Net (Ronneberger et al., arXiv 1505.04597). */
#ifndef UNET_H
#define UNET_H

#include <tern/tern.h>

enum { UNET_LEVELS = 2 };

typedef struct unet {
    tern_module m; /* first: a unet is a module, and tern_forward runs it */
    tern_module *down[UNET_LEVELS], *bottom, *up[UNET_LEVELS], *merge[UNET_LEVELS], *head;
} unet;

/* Images [N, in, H, W], H and W multiples of 4 -> scores [N, classes, H, W]. width: channels of the first level, twice
 * as many at each one below. NULL after an error. */
unet *unet_new(int64_t in, int64_t classes, int64_t width);

#endif
