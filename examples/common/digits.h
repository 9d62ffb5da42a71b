/* Images of handwritten digits: those that Tern brings along, or MNIST's. */
#ifndef DIGITS_H
#define DIGITS_H

#include <tern/tern.h>

/* x [1, 8, 8] f32 from 0 to 1, y the digit. folder: of MNIST's four IDX files, plain or gzip, x [1, 28, 28]; NULL: the
 * bundled ones. For tern_dataset_free; NULL after an error. */
tern_dataset *digits_new(const char *folder, bool train);

#endif
