/* Something to look at, where no network and no pictures were given. */
#ifndef INFERENCE_FIRST_H
#define INFERENCE_FIRST_H

#include <tern/tern.h>

enum { FIRST_PICTURES = 10, FIRST_PATH = 32 };

/* Trains a small network on the digits that come with Tern, writes it to `checkpoint` as digits does, and the first
 * test image of each digit to inference-0.png ... inference-9.png, whose names go into path. False after an error. */
bool first_make(const char *checkpoint, char path[FIRST_PICTURES][FIRST_PATH]);

#endif
