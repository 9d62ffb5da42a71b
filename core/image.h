/* Ops on images: resizing, sampling, moving between channels and pixels. See ops.h for what holds for every op. */
#ifndef TERN_IMAGE_H
#define TERN_IMAGE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tern_interpolation {
    TERN_NEAREST = 0,   /* the element at floor(i in / out), as PyTorch and OpenCV have it */
    TERN_NEAREST_EXACT, /* at floor((i + 1/2) in / out), as scikit-image and PIL have it */
    TERN_LINEAR,        /* bilinear and trilinear on two and three axes */
    TERN_CUBIC,         /* Keys' kernel with a = -0.75 (-0.5 with antialias) */
    TERN_AREA           /* means over windows, as adaptive_avg_pool */
} tern_interpolation;

typedef struct tern_interpolate_opts {
    tern_interpolation mode;
    int64_t size[3];        /* the result's, one number an axis; or zero, and */
    double scale_factor[3]; /* its ratio to x's; an axis with zero takes the one before it */
    bool align_corners;     /* the corners' centres stay where they are; TERN_LINEAR, TERN_CUBIC */
    bool antialias;         /* shrinking takes more elements in; TERN_LINEAR, TERN_CUBIC */
} tern_interpolate_opts;
/* Resizes x [N, C, one to three axes]. With scale_factor the size is rounded down, and coordinates go by the factor
 * itself. Errors: TERN_ERR_SHAPE (an empty axis, or one that would become empty), TERN_ERR_ARGUMENT. Grad: x. Source:
 * PyTorch's definitions. */
TERN_API tern_tensor *tern_interpolate(tern_tensor *x, tern_interpolate_opts opts);

/* [..., C r r, H, W] to [..., C, H r, W r]; source: Shi et al., arXiv 1609.05158. And back. Any dtype. Errors:
 * TERN_ERR_SHAPE (channels, or sizes, that r does not divide), TERN_ERR_ARGUMENT (r below 1). */
TERN_API tern_tensor *tern_pixel_shuffle(tern_tensor *x, int64_t r);
TERN_API tern_tensor *tern_pixel_unshuffle(tern_tensor *x, int64_t r);
/* x [N, C, ...]: channel j of group g of `groups` becomes number j groups + g. Any dtype. Errors: as above. Source:
 * Zhang et al., arXiv 1707.01083. */
TERN_API tern_tensor *tern_channel_shuffle(tern_tensor *x, int64_t groups);

typedef enum tern_grid_padding {
    TERN_GRID_ZEROS = 0,
    TERN_GRID_BORDER,    /* the nearest element */
    TERN_GRID_REFLECTION /* mirrored at the borders: at the outer elements' centres if align_corners, else at their ends
                          */
} tern_grid_padding;
typedef enum tern_grid_mode { TERN_GRID_LINEAR = 0, TERN_GRID_NEAREST, TERN_GRID_CUBIC } tern_grid_mode;
typedef struct tern_grid_sample_opts {
    tern_grid_mode mode; /* TERN_GRID_CUBIC on two axes only */
    tern_grid_padding padding;
    bool align_corners; /* -1 and 1 are the outer elements' centres, else their ends */
} tern_grid_sample_opts;
/* Values of x [N, C, H, W] at grid [N, H', W', 2], whose last dimension holds (x, y) in [-1, 1] -> [N, C, H', W']; or
 * of x [N, C, D, H, W] at grid [N, D', H', W', 3]. Errors: TERN_ERR_SHAPE, TERN_ERR_ARGUMENT. Grad: x, grid (0 for
 * nearest). Source: Jaderberg et al., arXiv 1506.02025; PyTorch's definitions. */
TERN_API tern_tensor *tern_grid_sample(tern_tensor *x, tern_tensor *grid, tern_grid_sample_opts opts);
/* The grid that theta maps an image of `size` to: theta [N, 2, 3], size [N, C, H, W] -> [N, H, W, 2]; theta [N, 3, 4],
 * size [N, C, D, H, W] -> [N, D, H, W, 3]. Errors: TERN_ERR_SHAPE. Grad: theta. */
TERN_API tern_tensor *tern_affine_grid(tern_tensor *theta, tern_shape size, bool align_corners);

#ifdef __cplusplus
}
#endif
#endif
