/* The linear layer. */
#include <math.h>
#include <stdio.h>

#include "internal.h"

typedef struct linear {
    tern_module m;
    tern_tensor *weight, *bias;
} linear;

static tern_tensor *linear_forward(tern_module *m, tern_tensor *x) {
    const linear *l = (linear *)m;
    return tern_linear(x, l->weight, l->bias);
}

static void linear_describe(const tern_module *m, char *buf, size_t size) {
    const linear *l = (const linear *)m;
    snprintf(buf, size, "%lld -> %lld%s", (long long)tern_size(l->weight, 1), (long long)tern_size(l->weight, 0),
             l->bias ? "" : ", no bias");
}

tern_module *tern_linear_new(int64_t in, int64_t out, tern_linear_opts opts) {
    if (!tern_ok()) return NULL;
    if (in < 1 || out < 1)
        return terni_null(TERN_ERR_ARGUMENT, "linear: %lld -> %lld; expected sizes of 1 or more", (long long)in,
                          (long long)out);
    const int scope = tern_scope_push();
    linear *l = terni_layer(sizeof *l, "linear", linear_forward, linear_describe);
    if (l) {
        l->weight = tern_module_param(&l->m, "weight", tern_empty(TERN_SHAPE(out, in), (tern_options){0}));
        if (l->weight) tern_init_kaiming_uniform(l->weight, sqrt(5), TERN_FAN_IN);
        if (!opts.no_bias) {
            l->bias = tern_module_param(&l->m, "bias", tern_empty(TERN_SHAPE(out), (tern_options){0}));
            if (l->bias) tern_init_uniform(l->bias, -1 / sqrt((double)in), 1 / sqrt((double)in));
        }
    }
    tern_scope_pop(scope);
    return tern_module_done(l);
}
