#include <string.h>

#include "conv.h"
#include "internal.h"
#include "turn.h"
#include "widen.h"

enum { IMAGE_GROUPS = 16, SUMS_LIMIT = 4 << 20, MERGED = 16 }; /* at most; elements; taps */

#define TERNI_TEMPLATE "conv_weight_grad.inc"
#include "each_float.h"

static bool any(const terni_conv_sizes *z) { return z != NULL; }
static bool plain(const terni_call *c, const terni_conv_sizes *z) {
    (void)z;
    return conv_weight_grad_f32(c);
}
static const terni_conv_way reference = {any, plain}, *const ways[] = {&terni_conv_winograd_weight_grad,
                                                                       &terni_conv_matrix_weight_grad,
                                                                       &terni_conv_depthwise_weight_grad, &reference};

TERNI_CONV_KERNEL(conv_weight_grad, c->in[1], c->out[0], c->in[0])
