/* Many images as one picture. */
#ifndef GRID_H
#define GRID_H

#include <tern/tern.h>

/* Writes images [N, C, H, W], C 1 (grey) or 3 (RGB), values from 0 to 1, on any device, to path (.png, .jpg) as a grid
 * of so many columns (0: about square), each pixel as scale x scale of them. Returns false after an error: those of
 * tern_picture_save, TERN_ERR_SHAPE. */
bool grid_save(const char *path, tern_tensor *images, int columns, int scale);

#endif
