/* Images from files, for --predict. */
#ifndef IMAGES_H
#define IMAGES_H

#include "example.h"

/* Reads the images of a PGM, IDX or CSV file as the network of e wants them: [N, 1, H, W] f32 on the CPU, N >= 1. For a
 * CSV file with labels sets *labels to [N] i64, else to NULL. Owner: the current scope. NULL after an error, which says
 * what was found, where, and what was expected. */
tern_tensor *images_read(const example *e, const char *path, tern_tensor **labels);

#endif
