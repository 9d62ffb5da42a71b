/* io: files and data. Readers, datasets, the loader and checkpoints, written against public headers (and core's memory
 * door and errors). Every reader bounds what a file claims before it allocates. */
#ifndef TERNI_IO_INTERNAL_H
#define TERNI_IO_INTERNAL_H

#include "door.h"
#include "tern/checkpoint.h"
#include "tern/data.h"
#include "tern/random.h"

#endif
