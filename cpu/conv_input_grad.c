#include <string.h>

#include "conv.h"
#include "internal.h"
#include "turn.h"
#include "widen.h"

enum { PACKED = 32768 }; /* numbers to pack that make a thread worth while */

#define TERNI_TEMPLATE "conv_input_grad.inc"
#include "each_float.h"

static bool any(const terni_conv_sizes *z) { return z != NULL; }
static bool plain(const terni_call *c, const terni_conv_sizes *z) {
    (void)z;
    return conv_input_grad_f32(c);
}
static const terni_conv_way reference = {any, plain}, *const ways[] = {&terni_conv_winograd_back,
                                                                       &terni_conv_matrix_back,
                                                                       &terni_conv_depthwise_back, &reference};

TERNI_CONV_KERNEL(conv_input_grad, c->out[0], c->in[1], c->in[0])
