/* Pictures: PNG and JPEG files as tensors [C, H, W] of u8 (0 to 255), as torchvision.io has them, and back. */
#ifndef TERN_PICTURE_H
#define TERN_PICTURE_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_picture_opts {
    int channels;       /* 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; as in the file if zero */
    int64_t max_pixels; /* more is an error; 178,956,970 if zero (1 GiB of RGB with alpha is 268 million) */
} tern_picture_opts;
/* A PNG or JPEG file, told by its first bytes; u8 [C, H, W] on the CPU. PNG: palettes are expanded, 16 bits become 8.
 * Colours become grey by ITU-R 601 luma, as in Pillow; missing alpha is 255, alpha that is not asked for is dropped.
 * Errors: TERN_ERR_IO; TERN_ERR_FORMAT for a damaged or foreign file. Owner: the caller, for tern_release. Thread-safe
 * (workers of a loader decode with it). */
TERN_API tern_tensor *tern_picture_load(const char *path, tern_picture_opts opts);
/* The same for a file's bytes in memory; name is for messages. */
TERN_API tern_tensor *tern_picture_decode(const char *name, const void *data, size_t bytes, tern_picture_opts opts);
/* Writes t, [C, H, W] or [H, W], C 1 to 4 (JPEG 1 or 3), to path, which ends in .png, .jpg or .jpeg. u8 as it is;
 * floats are 0 to 1, rounded to 256 steps, what lies outside is cut off, NaN is 0. Replaces the file as a whole.
 * Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_ARGUMENT for another ending, TERN_ERR_IO. */
TERN_API bool tern_picture_save(const char *path, tern_tensor *t);
/* The N pictures of t, [N, C, H, W], as one, [C, rows H', columns W'], with pad black pixels around each. Same dtype,
 * on the CPU. columns 0: as many as make it about square. Owner: the current scope. */
TERN_API tern_tensor *tern_picture_grid(tern_tensor *t, int columns, int pad);

#ifdef __cplusplus
}
#endif
#endif
