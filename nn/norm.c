/* Normalisation layers. */
#include <stdio.h>

#include "internal.h"

typedef struct norm {
    tern_module m;
    tern_tensor *weight, *bias, *mean, *var, *batches;
    tern_norm_opts opts;
    tern_shape shape; /* batch_norm: [C] */
} norm;

static tern_tensor *full(tern_module *m, const char *name, tern_shape shape, double value, bool param) {
    tern_tensor *t = tern_full(shape, value, (tern_options){0});
    return param ? tern_module_param(m, name, t) : tern_module_buffer(m, name, t);
}

static tern_tensor *batch_forward(tern_module *m, tern_tensor *x) {
    const norm *b = (norm *)m;
    if (m->training && b->batches) {
        const bool was = tern_grad_mode(false);
        const int scope = tern_scope_push();
        tern_add_(b->batches, tern_scalar(1, (tern_options){TERN_I64, tern_cpu()}));
        tern_scope_pop(scope);
        tern_grad_mode(was);
    }
    const tern_batch_norm_opts o = {
        .momentum = b->opts.momentum, .eps = b->opts.eps, .training = m->training || !b->mean};
    return tern_batch_norm(x, b->weight, b->bias, b->mean, b->var, o);
}

static tern_tensor *layer_forward(tern_module *m, tern_tensor *x) {
    const norm *l = (norm *)m;
    return tern_layer_norm(x, l->shape.ndim, l->weight, l->bias, l->opts.eps);
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const norm *n = (const norm *)m;
    tern_shape_text(n->shape, buf, size);
}

tern_module *tern_batch_norm_new(int64_t channels, tern_norm_opts opts) {
    if (!tern_ok()) return NULL;
    if (channels < 1)
        return terni_null(TERN_ERR_ARGUMENT, "batch_norm: %lld channels; expected 1 or more", (long long)channels);
    const int scope = tern_scope_push();
    norm *b = terni_layer(sizeof *b, "batch_norm", batch_forward, describe);
    if (b) {
        b->opts = opts;
        b->shape = TERN_SHAPE(channels);
        if (!opts.no_affine) {
            b->weight = full(&b->m, "weight", b->shape, 1, true);
            b->bias = full(&b->m, "bias", b->shape, 0, true);
        }
        if (!opts.no_running) {
            b->mean = full(&b->m, "running_mean", b->shape, 0, false);
            b->var = full(&b->m, "running_var", b->shape, 1, false);
            b->batches = tern_module_buffer(&b->m, "num_batches_tracked",
                                            tern_zeros(tern_shape_scalar(), (tern_options){.dtype = TERN_I64}));
        }
    }
    tern_scope_pop(scope);
    return tern_module_done(b);
}

tern_module *tern_layer_norm_new(tern_shape shape, tern_norm_opts opts) {
    if (!tern_ok()) return NULL;
    if (shape.ndim < 1 || shape.ndim > TERN_MAX_DIMS)
        return terni_null(TERN_ERR_ARGUMENT, "layer_norm: a shape of %d dimensions; expected 1 to %d", shape.ndim,
                          TERN_MAX_DIMS);
    const int scope = tern_scope_push();
    norm *l = terni_layer(sizeof *l, "layer_norm", layer_forward, describe);
    if (l) {
        l->opts = opts;
        l->shape = shape;
        if (!opts.no_affine) {
            l->weight = full(&l->m, "weight", shape, 1, true);
            l->bias = full(&l->m, "bias", shape, 0, true);
        }
    }
    tern_scope_pop(scope);
    return tern_module_done(l);
}
