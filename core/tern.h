/* The tern umbrella: all public headers. The only file in core that looks up; nothing in the library includes it. */
#ifndef TERN_H
#define TERN_H

#include "tern/activations.h"
#include "tern/archive.h"
#include "tern/autograd.h"
#include "tern/average.h"
#include "tern/base.h"
#include "tern/checkpoint.h"
#include "tern/criteria.h"
#include "tern/data.h"
#include "tern/device.h"
#include "tern/dlpack.h"
#include "tern/functional.h"
#include "tern/graph.h"
#include "tern/layers.h"
#include "tern/lora.h"
#include "tern/memory.h"
#include "tern/module.h"
#include "tern/ops.h"
#include "tern/optim.h"
#include "tern/picture.h"
#include "tern/random.h"
#include "tern/recurrent.h"
#include "tern/reparametrize.h"
#include "tern/schedule.h"
#include "tern/spatial.h"
#include "tern/tensor.h"
#include "tern/tensorboard.h"
#include "tern/tokenizer.h"
#include "tern/transformer.h"

#endif
