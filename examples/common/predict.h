/* --predict: the classes of images, with their probabilities. */
#ifndef PREDICT_H
#define PREDICT_H

#include "settings.h"

/* Classifies s->predict's images with the network of the checkpoint and prints a line for each. Returns the exit code;
 * an error is pending for EXIT_FAILED. */
int predict(settings *s);

#endif
