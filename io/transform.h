/* Transforms: what is done to samples on their way into a batch. On the CPU they are objects that a loader takes as
 * .transform; its workers run them. The same changes on batches of tensors, on any device, are functions below.
 *
 *     tern_transform *augment = tern_transforms_new(
 *         (tern_transform *[]){tern_random_crop_new(32, 32, (tern_random_crop_opts){.pad = 4}),
 *                              tern_random_flip_new(0.5, false),
 *                              tern_normalize_new((double[]){0.49, 0.48, 0.45}, (double[]){0.25, 0.24, 0.26}, 3)}, 3);
 *
 * Images are [C, H, W], f32 (u8 pixels become f32 in [0, 1] first). Randomness comes from a stream that the caller
 * gives; a loader gives each sample its own, by the seed, the epoch and the sample's place. So transforms have no state
 * to save, and the number of workers changes nothing. Definitions are those of torchvision and Pillow, as named. */
#ifndef TERN_TRANSFORM_H
#define TERN_TRANSFORM_H

#include "tern/random.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A program makes one of its own by filling this in (or embedding it first in a larger struct). Several threads use it
 * at a time. Has sample or batch (a list of them may have both). May still grow before 1.0: set it by designated
 * initialisers. */
typedef struct tern_transform tern_transform;
struct tern_transform {
    /* The shape that `in` becomes; false after recording an error where it cannot be taken. NULL: it stays. */
    bool (*shape)(const tern_transform *t, tern_shape in, tern_shape *out);
    /* From a sample of this shape to `out`, elsewhere; both row-major. Returns false after recording an error. */
    bool (*sample)(const tern_transform *t, tern_random *r, tern_shape shape, const float *in, float *out);
    /* Of a whole batch, on the CPU, in the current scope: replaces *x, *y or both. classes: the dataset's, or 0. */
    bool (*batch)(const tern_transform *t, tern_random *r, int classes, tern_tensor **x, tern_tensor **y);
    void (*drop)(tern_transform *t); /* frees t; called by tern_transform_free; may be NULL */
};
/* NULL does nothing. */
TERN_API void tern_transform_free(tern_transform *t);
/* One sample x on the CPU, f32 or u8 (becomes [0, 1]), through t, which has no batch transform. Owner: the current
 * scope. Grad: none. Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_DEVICE. */
TERN_API tern_tensor *tern_transform_apply(const tern_transform *t, tern_random *r, tern_tensor *x);

/* All of the following are for tern_transform_free; NULL after an error: TERN_ERR_ARGUMENT, TERN_ERR_MEMORY. */

/* n transforms, 1 to 64, one after the other; those of batches come last. Owns them: they are freed with it, and at
 * once if it cannot be made (as when one is NULL after an error). */
TERN_API tern_transform *tern_transforms_new(tern_transform *const *parts, int n);

/* ---- place ------------------------------------------------------------------------------------------------------- */

typedef struct tern_random_crop_opts {
    int64_t pad; /* pixels added on each side first */
    float fill;  /* their value */
} tern_random_crop_opts;
/* A piece of h x w at a random place. Errors, as an image comes: TERN_ERR_SHAPE where it is smaller. */
TERN_API tern_transform *tern_random_crop_new(int64_t h, int64_t w, tern_random_crop_opts opts);
/* The piece of h x w in the middle; at a half, as torchvision rounds (to even). Errors likewise. */
TERN_API tern_transform *tern_center_crop_new(int64_t h, int64_t w);
/* With probability p, left and right changed; vertical: top and bottom. */
TERN_API tern_transform *tern_random_flip_new(double p, bool vertical);

typedef struct tern_rotate_opts {
    bool bilinear; /* else the nearest pixel */
    float fill;    /* where the image does not reach */
} tern_rotate_opts;
/* About the middle by a random angle in [-degrees, degrees], counter-clockwise; the size stays. As Pillow's rotate. */
TERN_API tern_transform *tern_random_rotate_new(double degrees, tern_rotate_opts opts);
/* To h x w, bilinear, with as many pixels averaged as shrinking needs (antialias). As Pillow's BILINEAR. */
TERN_API tern_transform *tern_resize_new(int64_t h, int64_t w);

typedef struct tern_random_resized_crop_opts {
    double scale[2]; /* of the area; 0.08 to 1 if zero */
    double ratio[2]; /* of width to height; 3/4 to 4/3 if zero */
} tern_random_resized_crop_opts;
/* A random piece of random area and ratio, resized to h x w. As torchvision's RandomResizedCrop. */
TERN_API tern_transform *tern_random_resized_crop_new(int64_t h, int64_t w, tern_random_resized_crop_opts opts);

/* ---- value ------------------------------------------------------------------------------------------------------- */

typedef struct tern_color_jitter_opts {
    double brightness, contrast, saturation; /* factors from max(0, 1 - it) to 1 + it */
    double hue;                              /* shifts from -it to it, at most 0.5 (half the circle) */
} tern_color_jitter_opts;
/* All four in random order, on values in [0, 1], 1 or 3 channels (one has no saturation and hue). As torchvision's
 * ColorJitter on floats. Errors, as an image comes: TERN_ERR_SHAPE for other channels. */
TERN_API tern_transform *tern_color_jitter_new(tern_color_jitter_opts opts);

typedef struct tern_random_erase_opts {
    double scale[2]; /* share of the area; 0.02 to 0.33 if zero */
    double ratio[2]; /* of height to width; 0.3 to 3.3 if zero */
    float value;
} tern_random_erase_opts;
/* With probability p, a random rectangle gets one value. As torchvision's RandomErasing. */
TERN_API tern_transform *tern_random_erase_new(double p, tern_random_erase_opts opts);
/* A square of size x size about a random pixel, cut at the edges, gets the value 0. Source: DeVries and Taylor, arXiv
 * 1708.04552. */
TERN_API tern_transform *tern_cutout_new(int64_t size);
/* (x - mean) / std by channel; c channels, 1 to 16. Of samples [c, ...]. Errors: TERN_ERR_ARGUMENT for std <= 0; as a
 * sample comes, TERN_ERR_SHAPE for another number of channels. */
TERN_API tern_transform *tern_normalize_new(const double *mean, const double *std, int c);

/* ---- of batches -------------------------------------------------------------------------------------------------- */

/* x becomes s x + (1 - s) x', x' being the batch in random order and s, one for the batch, drawn from Beta(alpha,
 * alpha); y likewise. Classes (y [n] i64) become shares [n, classes] f32 first, as tern_cross_entropy takes them.
 * Source: Zhang et al., arXiv 1710.09412. */
TERN_API tern_transform *tern_mixup_new(double alpha);

/* ---- the same on batches of tensors, on their device --------------------------------------------------------------
 * x [N, C, H, W], float. Random numbers are drawn from r on the host, those of the first sample first. (Resizing is
 * tern_interpolate, with .antialias.) Plain tensor ops: Grad: x. Owner: the current scope. Errors: TERN_ERR_SHAPE,
 * TERN_ERR_DTYPE, TERN_ERR_ARGUMENT. */

/* Each sample with probability p. */
TERN_API tern_tensor *tern_batch_flip(tern_tensor *x, tern_random *r, double p, bool vertical);
/* A piece of h x w of each, padded by opts.pad with opts.fill. */
TERN_API tern_tensor *tern_batch_crop(tern_tensor *x, tern_random *r, int64_t h, int64_t w, tern_random_crop_opts opts);
/* Each by an angle of its own, as tern_random_rotate_new. */
TERN_API tern_tensor *tern_batch_rotate(tern_tensor *x, tern_random *r, double degrees, tern_rotate_opts opts);
/* Each with colours of its own, as tern_color_jitter_new; C is 1 or 3. */
TERN_API tern_tensor *tern_batch_color_jitter(tern_tensor *x, tern_random *r, tern_color_jitter_opts opts);
/* As tern_cutout_new. */
TERN_API tern_tensor *tern_batch_cutout(tern_tensor *x, tern_random *r, int64_t size);
/* (x - mean) / std, by C numbers each. */
TERN_API tern_tensor *tern_batch_normalize(tern_tensor *x, const double *mean, const double *std, int c);
/* As tern_mixup_new, x of any shape [N, ...]: replaces *x and *y. classes: for y [N] i64. */
TERN_API bool tern_batch_mixup(tern_tensor **x, tern_tensor **y, tern_random *r, double alpha, int classes);

#ifdef __cplusplus
}
#endif
#endif
