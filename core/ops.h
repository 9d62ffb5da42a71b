/* tern umbrella of the ops: all families of them. Unless its comment says otherwise, every op here
 *   - takes tensors of any strides, all on one device (a 0-dim CPU tensor may join tensors of another device),
 *   - returns a new tensor that belongs to the current scope, or NULL: an input was NULL, an error was pending, or the
 *     op failed and recorded TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_DEVICE, TERN_ERR_MEMORY or what is named,
 *   - has a gradient for every float input, which can itself be differentiated,
 *   - is safe to call from several threads on different tensors.
 * Dimensions may be negative: -1 is the last. */
#ifndef TERN_OPS_H
#define TERN_OPS_H

#include "tern/conv.h"
#include "tern/image.h"
#include "tern/index.h"
#include "tern/linalg.h"
#include "tern/loss.h"
#include "tern/norm.h"
#include "tern/pointwise.h"
#include "tern/reduce.h"
#include "tern/sequence.h"
#include "tern/shape.h"
#include "tern/update.h"

#endif
