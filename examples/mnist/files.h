/* Where MNIST's files are, and how they get there. */
#ifndef MNIST_FILES_H
#define MNIST_FILES_H

#include "../common/settings.h"

#define MNIST_URL "https://ossci-datasets.s3.amazonaws.com/mnist"

enum { MNIST_PATH_MAX = 4096 };

/* Finds the images and the labels for training or for testing, downloading them first if they are missing and
 * --download was given. The error says where they were looked for and where they can be had. */
bool mnist_files(const settings *s, bool train, char images[MNIST_PATH_MAX], char labels[MNIST_PATH_MAX]);

/* False where neither an option nor TERN_DATA says where the files are, and there is no folder data/mnist. */
bool mnist_asked_for(const settings *s);

#endif
