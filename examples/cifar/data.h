/* The pictures: CIFAR's files, folders of images, or generated shapes. */
#ifndef CIFAR_DATA_H
#define CIFAR_DATA_H

#include <tern/tern.h>

/* Training and test pictures, x [3, 32, 32] f32 from 0 to 1, y the class. path: CIFAR-10's binary version
 * (data_batch_1.bin ...), or folders train/CLASS and test/CLASS of PNG and JPEG files; NULL: generated shapes of 10
 * classes. samples: so many of the training pictures, drawn at random if there are more; 0: all, 3000 generated ones.
 * whole is what both may be parts of. All three are for tern_dataset_free, whole last. False after an error. */
bool cifar_data(const char *path, int64_t samples, tern_dataset **train, tern_dataset **test, tern_dataset **whole);

/* The names of d's classes with '/' between them, for free(). NULL after an error. */
char *cifar_class_names(const tern_dataset *d);

#endif
