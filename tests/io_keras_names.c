/* Keras's weights: names that tell which layer is which, and norms with one of scale and center. */
#include <string.h>

#include "common.h"
#include "tern/keras.h"
#include "tern/layers.h"
#include "tern/recurrent.h"

#define OPTS(...) ((tern_keras_opts){__VA_ARGS__})
static const tern_norm_opts keras_eps = {.eps = 1e-3};

static tern_module *two(int64_t a, int64_t b, int64_t c) {
    return tern_sequential(tern_linear_new(a, b, (tern_linear_opts){0}), tern_linear_new(b, c, (tern_linear_opts){0}));
}

/* Which is which, where the order does not say it. */
TERN_TEST(io_keras_names, names) {
    tern_module *a = two(3, 3, 3), *b = two(3, 3, 3);
    for (int older = 0; older < 2; older++) {
        const char *path = test_path(older ? "n.h5" : "n.weights.h5");
        const tern_keras_name turned[] = {{"0", older ? "dense_1" : "layers/dense_1"},
                                          {"1", older ? "dense" : "layers/dense"}};
        const tern_keras_name same[] = {turned[0], {"1", turned[0].layer}}, none = {"5", "dense"}, empty = {"0", ""};
        const tern_keras_opts opts = {.names = turned, .n_names = 2};
        CHECK(tern_keras_save(path, a, (tern_keras_opts){0}) && tern_keras_load(path, b, opts));
        CHECK_SAME(tern_module_get(b, "1.weight"), tern_module_get(a, "0.weight"), ((tolerance){0, 0}));
        CHECK_SAME(tern_module_get(b, "0.bias"), tern_module_get(a, "1.bias"), ((tolerance){0, 0}));
        EXPECT_ERROR(tern_keras_save(path, a, OPTS(.names = same, .n_names = 2)), TERN_ERR_ARGUMENT,
                     "0 and 1 are both");
        EXPECT_ERROR(tern_keras_load(path, a, OPTS(.names = &none, .n_names = 1)), TERN_ERR_ARGUMENT, "\"5\"");
        EXPECT_ERROR(tern_keras_load(path, a, OPTS(.names = &empty, .n_names = 1)), TERN_ERR_ARGUMENT, "no layer");
        EXPECT_ERROR(tern_keras_save(path, a, OPTS(.n_names = 1)), TERN_ERR_ARGUMENT, ".names");
    }
    tern_module_free(a);
    tern_module_free(b);
}

/* A sequential without weights has a name all the same; a bidirectional rnn has the longest ones. */
TERN_TEST(io_keras_names, names_that_count) {
    for (int older = 0; older < 2; older++) {
        const char *path = test_path(older ? "c.h5" : "c.weights.h5");
        for (int kind = 0; kind < 2; kind++) {
            tern_module *m[2];
            for (int i = 0; i < 2; i++)
                m[i] = kind ? tern_rnn_new(3, 4, (tern_recurrent_opts){.bidirectional = true})
                            : tern_sequential(tern_sequential(tern_relu_new()), tern_sequential(two(3, 4, 2)),
                                              tern_sequential(tern_relu_new()), two(2, 4, 2));
            CHECK(tern_keras_save(path, m[0], (tern_keras_opts){0}) &&
                  tern_keras_load(path, m[1], (tern_keras_opts){0}));
            tern_module_free(m[0]);
            tern_module_free(m[1]);
        }
    }
}

/* What older files cannot have. */
TERN_TEST(io_keras_names, layers_that_are_parted) {
    const tern_linear_opts o = {0};
    tern_module *m = tern_sequential(tern_linear_new(2, 2, o), tern_linear_new(2, 2, o), tern_linear_new(2, 2, o));
    const tern_keras_name parted[] = {{"0", "m/a"}, {"1", "z"}, {"2", "m/b"}};
    EXPECT_ERROR(tern_keras_save(test_path("p.h5"), m, OPTS(.names = parted, .n_names = 3)), TERN_ERR_ARGUMENT,
                 "2 belongs to layer m");
    tern_module_free(m);
}

/* Keras's norms may have one of scale and center alone. */
TERN_TEST(io_keras_names, half_norms) {
    tern_module *a = tern_sequential(tern_linear_new(2, 3, (tern_linear_opts){0}), tern_batch_norm_new(3, keras_eps)),
                *b = tern_sequential(tern_linear_new(2, 3, (tern_linear_opts){0}), tern_batch_norm_new(3, keras_eps));
    tern_tensor *weight = tern_module_get(a, "1.weight"), *bias = tern_module_get(a, "1.bias");
    for (int older = 0; older < 2; older++)
        for (int center = 0; center < 2; center++) {
            check_case("older %d, center %d", older, center);
            const char *path = test_path(older ? "h.h5" : "h.weights.h5");
            const tern_keras_norm norm = {"1", .no_scale = center, .no_center = !center};
            const tern_keras_opts opts = {.norms = &norm, .n_norms = 1};
            CHECK(tern_init_uniform(weight, 2, 3) && tern_init_uniform(bias, 2, 3));
            EXPECT_ERROR(tern_keras_save(path, a, opts), TERN_ERR_ARGUMENT,
                         center ? "1 has a weight that is not all 1" : "1 has a bias that is not all 0");
            CHECK(center ? tern_init_ones(weight) : tern_init_zeros(bias));
            CHECK(tern_keras_save(path, a, opts) && tern_init_uniform(tern_module_get(b, "1.weight"), 5, 6) &&
                  tern_init_uniform(tern_module_get(b, "1.bias"), 5, 6));
            EXPECT_ERROR(tern_keras_load(path, b, (tern_keras_opts){0}), TERN_ERR_SHAPE, older ? "missing" : ".norms");
            CHECK(tern_keras_load(path, b, opts));
            CHECK_SAME(tern_module_get(b, "1.weight"), weight, ((tolerance){0, 0}));
            CHECK_SAME(tern_module_get(b, "1.bias"), bias, ((tolerance){0, 0}));
        }
    const tern_keras_norm none = {NULL, true, false}, linear = {"0", true, false}, both = {"1", true, true};
    const char *path = test_path("h.h5");
    EXPECT_ERROR(tern_keras_save(path, a, OPTS(.norms = &none, .n_norms = 1)), TERN_ERR_ARGUMENT, "no module");
    EXPECT_ERROR(tern_keras_save(path, a, OPTS(.norms = &linear, .n_norms = 1)), TERN_ERR_ARGUMENT, "0 is no norm");
    EXPECT_ERROR(tern_keras_save(path, a, OPTS(.norms = &both, .n_norms = 1)), TERN_ERR_ARGUMENT, "no_affine");
    EXPECT_ERROR(tern_keras_save(path, a, OPTS(.n_norms = 1)), TERN_ERR_ARGUMENT, ".norms");
    tern_module_free(a);
    tern_module_free(b);
}
