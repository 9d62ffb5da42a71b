/* The model and data that the tests of tern_fit train. */
#ifndef TERN_TESTS_FIT_SETUP_H
#define TERN_TESTS_FIT_SETUP_H

#include "common.h"
#include "tern/callbacks.h"
#include "tern/layers.h"

typedef struct setup {
    tern_dataset *train, *test;
    tern_module *net;
    tern_optim *opt;
    tern_schedule schedule;
} setup;

static inline bool start(setup *s, uint64_t seed) {
    *s = (setup){.schedule = {.kind = TERN_SCHEDULE_COSINE, .lr = 1e-2, .warmup = 4, .total = 60}};
    tern_seed(seed);
    s->train = tern_digits_new(false); /* the smaller part: 360 */
    s->test = tern_digits_new(true);
    s->net = tern_sequential(tern_flatten_new(), tern_linear_new(64, 16, (tern_linear_opts){0}), tern_relu_new(),
                             tern_batch_norm_new(16, (tern_norm_opts){0}), tern_dropout_new(0.2),
                             tern_linear_new(16, 10, (tern_linear_opts){0}), NULL);
    s->opt = tern_adamw_new(s->net, 1e-2, (tern_adamw_opts){0});
    return s->opt != NULL;
}
static inline void stop(setup *s) {
    tern_optim_free(s->opt);
    tern_module_free(s->net);
    tern_dataset_free(s->train);
    tern_dataset_free(s->test);
}

static inline bool same_bits(tern_module *a, tern_module *b) {
    tern_named x, y;
    for (int i = 0; tern_module_each(a, i, &x); i++) {
        if (!tern_module_each(b, i, &y)) return FAIL("other names");
        const size_t bytes = (size_t)tern_numel(x.tensor) * tern_dtype_size(tern_dtype_of(x.tensor));
        if (memcmp(tern_data(x.tensor), tern_data(y.tensor), bytes) != 0) return FAIL("%s differs", x.name);
    }
    return true;
}

#endif
