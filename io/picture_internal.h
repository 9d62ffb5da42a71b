/* What else makes pictures. Private. */
#ifndef TERNI_PICTURE_INTERNAL_H
#define TERNI_PICTURE_INTERNAL_H

#include "tern/tensor.h"

/* t, as for tern_picture_save, as a PNG file's bytes, for terni_mfree; its size in pixels. */
void *terni_picture_png(tern_tensor *t, size_t *bytes, int *w, int *h);

#endif
