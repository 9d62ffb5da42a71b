/* Residual networks for small images. */
#ifndef CIFAR_MODEL_H
#define CIFAR_MODEL_H

#include <tern/tern.h>

enum { CIFAR_SIZE = 32, CIFAR_CHANNELS = 3 };

/* Of the pixels of CIFAR-10's training images, from 0 to 1. The networks see (pixel - mean) / std, whatever the data.
 */
extern const double cifar_mean[CIFAR_CHANNELS], cifar_std[CIFAR_CHANNELS];

/* Images [N, CIFAR_CHANNELS, H, W] -> scores [N, classes]; H and W multiples of 8. width: channels of the first layer,
 * eight times as many in the last. NULL after an error. */

/* "resnet9" (D. Page, "How to train your ResNet", 2018, with a plain head), "resnet18" (He et al., arXiv 1512.03385,
 * the form for CIFAR: its first layer keeps the size). */
tern_module *cifar_net_new(const char *model, int64_t classes, int64_t width);

#endif
