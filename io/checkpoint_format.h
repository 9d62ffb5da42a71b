/* What saving and loading checkpoints share. Private. */
#ifndef TERNI_CHECKPOINT_FORMAT_H
#define TERNI_CHECKPOINT_FORMAT_H

#include "internal.h"

enum { TERNI_CHECKPOINT_FORMAT = 2, TERNI_CHECKPOINT_NAME = 64 };

/* The names of the program's own attributes are usable. */
bool terni_checkpoint_names(const tern_checkpoint *c);

#endif
