/* Networks for images [N, 1, 28, 28] of handwritten digits, (pixel - MNIST_MEAN) / MNIST_STD -> scores [N, 10]. NULL
 * after an error. */
#ifndef MNIST_MODEL_H
#define MNIST_MODEL_H

#include <tern/tern.h>

enum { MNIST_SIZE = 28 };

/* Of the pixels of the training images, from 0 to 1. */
#define MNIST_MEAN 0.1307
#define MNIST_STD  0.3081

tern_module *mnist_mlp_new(void);
tern_module *mnist_cnn_new(void);

#endif
