/* Averages of weights against their formulas, statistics of batch_norm over given batches, and both in checkpoints. */
#include "tern/average.h"

#include "common.h"
#include "tern/checkpoint.h"
#include "tern/layers.h"

static tern_module *net(tern_dtype dtype) {
    tern_module *m =
        tern_sequential(tern_linear_new(3, 4, (tern_linear_opts){0}), tern_batch_norm_new(4, (tern_norm_opts){0}),
                        tern_relu_new(), tern_linear_new(4, 2, (tern_linear_opts){0}), NULL);
    CHECK(m && tern_module_cast(m, dtype) && tern_module_to(m, test_device()), "%s", tern_error_message());
    return m;
}

static void change(tern_module *m, int k) {
    tern_named e;
    const bool was = tern_grad_mode(false);
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (tern_dtype_is_float(tern_dtype_of(e.tensor))) tern_fill_(e.tensor, sin(1 + i + 2.0 * k));
    tern_grad_mode(was);
}

/* Parameters and buffers after n changes; floating-point ones have the value that change gives. */
TERN_TEST(average, as_their_formulas) {
    const tern_average_opts opts[] = {{0}, {.decay = 0.9}, {.decay = 0.75, .buffers = true}};
    for (int c = 0; c < 3; c++)
        for (int d = 0; d < 2; d++) {
            check_case("%d, %d", c, d);
            const int scope = tern_scope_push();
            tern_module *m = net(d ? TERN_F32 : TERN_F64);
            tern_average *a = tern_average_new(m, opts[c]);
            double want[16] = {0};
            tern_named e;
            for (int k = 0; k < 7; k++) {
                change(m, k);
                CHECK(tern_average_update(a, m), "%s", tern_error_message());
                for (int i = 0; tern_module_each(m, i, &e); i++) {
                    const double v = sin(1 + i + 2.0 * k),
                                 share = opts[c].decay > 0 ? 1 - opts[c].decay : 1.0 / (k + 1);
                    want[i] = k && (e.is_param || opts[c].buffers) ? want[i] + (v - want[i]) * share : v;
                }
            }
            for (int i = 0; tern_module_each(tern_average_module(a), i, &e); i++)
                if (tern_dtype_is_float(tern_dtype_of(e.tensor)))
                    CHECK_ITEM(tern_max(tern_detach(e.tensor), NULL, 0, false), want[i], d ? 1e-6 : 1e-14);
            CHECK(tern_average_count(a) == 7);
            tern_average_free(a);
            tern_module_free(m);
            tern_scope_pop(scope);
        }
}

/* The average of an f16 model in f32 does not lose small shares. */
TERN_TEST(average, wider_than_the_model) {
    tern_module *m = net(TERN_F16);
    tern_average *a = tern_average_new(m, (tern_average_opts){.decay = 0.999});
    CHECK(tern_module_cast(tern_average_module(a), TERN_F32));
    change(m, 0);
    CHECK(tern_average_update(a, m));
    tern_tensor *w = tern_detach(tern_module_get(tern_average_module(a), "0.weight")), *before = tern_clone(w);
    change(m, 1);
    CHECK(tern_average_update(a, m));
    tern_tensor *now = tern_cast(tern_detach(tern_module_get(m, "0.weight")), TERN_F32);
    CHECK_SAME(w, tern_add(before, tern_mul_scalar(tern_sub(now, before), 1e-3)), ((tolerance){1e-6, 1e-7}));
    tern_average_free(a);
    tern_module_free(m);
}

TERN_TEST(average, resumes_from_a_checkpoint) {
    const char *path = test_path("average.h5");
    tern_module *m = net(TERN_F32);
    tern_average *a = tern_average_new(m, (tern_average_opts){0}), *b = tern_average_new(m, (tern_average_opts){0});
    for (int k = 0; k < 3; k++) {
        change(m, k);
        CHECK(tern_average_update(a, m));
    }
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m, .average = a}));
    CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = m, .average = b}), "%s", tern_error_message());
    CHECK(tern_average_count(b) == 3);
    change(m, 3);
    CHECK(tern_average_update(a, m) && tern_average_update(b, m));
    tern_named x, y;
    for (int i = 0; tern_module_each(tern_average_module(a), i, &x) && tern_module_each(tern_average_module(b), i, &y);
         i++)
        CHECK_SAME(tern_detach(x.tensor), tern_detach(y.tensor), ((tolerance){0, 0}));
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m}));
    EXPECT_ERROR((tern_checkpoint_load(path, &(tern_checkpoint){.average = b}), NULL), TERN_ERR_SHAPE, "average");
    tern_average_free(a);
    tern_average_free(b);
    tern_module_free(m);
}

/* ---- statistics of batch_norm -------------------------------------------------------------------------------------
 */

enum { BATCHES = 3, ROWS = 5 };

typedef struct feed {
    tern_tensor *x[BATCHES];
    int at;
} feed;

static tern_tensor *next(void *user) {
    feed *f = user;
    return f->at < BATCHES ? f->x[f->at++] : NULL;
}

TERN_TEST(average, batch_norm) {
    for (int d = 0; d < 2; d++) {
        const tern_dtype dtype = d ? TERN_F32 : TERN_F64;
        tern_module *m =
            tern_sequential(tern_batch_norm_new(4, (tern_norm_opts){.momentum = 0.3}), tern_relu_new(), NULL);
        CHECK(tern_module_cast(m, dtype) && tern_module_to(m, test_device()));
        tern_module_train(m, false);
        change(m, 1); /* to be forgotten */
        static const int rows[] = {0};
        feed f = {.at = 0};
        tern_tensor *mean = NULL, *var = NULL;
        for (int k = 0; k < BATCHES; k++) {
            f.x[k] = test_random(TERN_SHAPE(ROWS, 4), -1 - k, 2, dtype);
            tern_tensor *mk = tern_mean(f.x[k], rows, 1, false);
            tern_tensor *vk =
                tern_mul_scalar(tern_mean(tern_square(tern_sub(f.x[k], mk)), rows, 1, false), ROWS / (ROWS - 1.0));
            mean = mean ? tern_add(mean, mk) : mk;
            var = var ? tern_add(var, vk) : vk;
        }
        CHECK(tern_average_batch_norm(m, next, &f), "%s", tern_error_message());
        const tolerance tol = d ? (tolerance){1e-5, 1e-6} : (tolerance){1e-13, 1e-13};
        CHECK_SAME(tern_module_get(m, "0.running_mean"), tern_mul_scalar(mean, 1.0 / BATCHES), tol);
        CHECK_SAME(tern_module_get(m, "0.running_var"), tern_mul_scalar(var, 1.0 / BATCHES), tol);
        CHECK(tern_item_i64(tern_module_get(m, "0.num_batches_tracked")) == BATCHES);
        CHECK_NUMBER(tern_batch_norm_momentum(tern_module_child(m, "0")), 0.3, 0);
        CHECK(!m->training);
        tern_module_free(m);
    }
}

TERN_TEST(average, momentum_of_batch_norm) {
    tern_module *m = tern_batch_norm_new(2, (tern_norm_opts){0}), *l = tern_relu_new();
    tern_module *none = tern_batch_norm_new(2, (tern_norm_opts){.no_running = true});
    CHECK_NUMBER(tern_batch_norm_momentum(m), 0.1, 0);
    CHECK(tern_batch_norm_momentum(l) < 0 && tern_batch_norm_momentum(none) < 0 && tern_batch_norm_momentum(NULL) < 0);
    EXPECT_ERROR((tern_batch_norm_set_momentum(m, 2), NULL), TERN_ERR_ARGUMENT, "batch_norm_set_momentum: 2");
    EXPECT_ERROR((tern_batch_norm_set_momentum(l, 0.5), NULL), TERN_ERR_ARGUMENT, "relu keeps no running");
    CHECK(tern_average_batch_norm(l, next, NULL)); /* nothing to do */
    tern_module_free(m);
    tern_module_free(l);
    tern_module_free(none);
}

TERN_TEST(average, refusals) {
    tern_module *m = net(TERN_F32), *other = tern_linear_new(2, 2, (tern_linear_opts){0});
    EXPECT_ERROR(tern_average_new(NULL, (tern_average_opts){0}), TERN_ERR_ARGUMENT, "average: m is NULL");
    EXPECT_ERROR(tern_average_new(m, (tern_average_opts){.decay = 1}), TERN_ERR_ARGUMENT, "average: decay is 1");
    tern_average *a = tern_average_new(m, (tern_average_opts){0});
    EXPECT_ERROR((tern_average_update(a, other), NULL), TERN_ERR_ARGUMENT, "the model has no 0.weight");
    EXPECT_ERROR((tern_average_set_count(a, -1), NULL), TERN_ERR_ARGUMENT, "average_set_count");
    EXPECT_ERROR((tern_average_batch_norm(m, NULL, NULL), NULL), TERN_ERR_ARGUMENT, "next is NULL");
    CHECK(tern_average_count(a) == 0);
    tern_average_free(a);
    tern_average_free(NULL);
    tern_module_free(m);
    tern_module_free(other);
}
