/* What the transforms' files and the loader share. Private. */
#ifndef TERNI_TRANSFORM_INTERNAL_H
#define TERNI_TRANSFORM_INTERNAL_H

#include "tern/transform.h"

/* The shape after t's sample transforms. */
bool terni_transform_shape(const tern_transform *t, tern_shape in, tern_shape *out);
/* One sample of this shape, f32 or u8, into `out`. */
bool terni_transform_run(const tern_transform *t, tern_random *r, tern_shape shape, tern_dtype dtype, const void *in,
                         float *out);
/* tern_transform_apply by t's sample transforms alone. */
tern_tensor *terni_transform_tensor(const tern_transform *t, tern_random *r, tern_tensor *x);
/* The stream of the sample at a place of an epoch; of a whole batch, that of its first place with batch true. */
tern_random terni_transform_random(uint64_t seed, int64_t epoch, int64_t place, bool batch);

/* x is a batch of images, float [N, C, H, W], not empty, and r is given; else records an error of op. */
bool terni_images_given(const char *op, tern_tensor *x, const void *r);
/* For the shape hooks: true if it is an image [C, H, W], not empty; else records an error of op. */
bool terni_image_given(const char *op, tern_shape s);
/* What is done to a sample's colours: the four in random order, and the factor, or turn, of each. */
enum { TERNI_BRIGHTNESS, TERNI_CONTRAST, TERNI_SATURATION, TERNI_HUE };
void terni_color_draw(const tern_color_jitter_opts *o, tern_random *r, int order[4], float by[4]);
bool terni_color_usable(const char *op, const tern_color_jitter_opts *o);
/* The angle of a sample's rotation, in radians. */
double terni_rotate_draw(double degrees, tern_random *r);
/* Kept to [lo, hi]. */
float terni_clamp(float v, float lo, float hi);
double terni_uniform(tern_random *r, double lo, double hi);

#endif
