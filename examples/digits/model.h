/* Networks for images [N, 1, 8, 8] of handwritten digits, pixels from 0 to 1 -> scores [N, 10]. NULL after an error. */
#ifndef DIGITS_MODEL_H
#define DIGITS_MODEL_H

#include <tern/tern.h>

enum { DIGITS_SIZE = 8 };

tern_module *digits_mlp_new(void);
tern_module *digits_cnn_new(void);

#endif
