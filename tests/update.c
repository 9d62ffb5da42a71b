/* The fused parameter updates and the global norm, against their formulas in double. */
#include "common.h"

enum { N = 5003, STEPS = 4 };
static const tern_dtype floats[] = {TERN_F64, TERN_F32};

typedef struct model {
    double p[N], g[N], m[N], v[N];
} model;
static model want;

static void sgd(const tern_sgd_update_opts *o) {
    for (int i = 0; i < N; i++) {
        double g = want.g[i] + o->weight_decay * want.p[i];
        if (o->momentum != 0) {
            want.m[i] = o->first ? g : o->momentum * want.m[i] + (1 - o->dampening) * g;
            g = o->nesterov ? g + o->momentum * want.m[i] : want.m[i];
        }
        want.p[i] -= o->lr * g;
    }
}

static void adam(const tern_adam_update_opts *o) {
    for (int i = 0; i < N; i++) {
        double g = want.g[i];
        if (o->decoupled)
            want.p[i] -= o->lr * o->weight_decay * want.p[i];
        else
            g += o->weight_decay * want.p[i];
        want.m[i] = o->beta1 * want.m[i] + (1 - o->beta1) * g;
        want.v[i] = o->beta2 * want.v[i] + (1 - o->beta2) * g * g;
        const double mh = want.m[i] / (1 - pow(o->beta1, (double)o->step)),
                     vh = want.v[i] / (1 - pow(o->beta2, (double)o->step));
        want.p[i] -= o->lr * mh / (sqrt(vh) + o->eps);
    }
}

static void start(tern_dtype d, tern_tensor **p, tern_tensor **m, tern_tensor **v) {
    memset(&want, 0, sizeof want);
    for (int i = 0; i < N; i++) want.p[i] = round_to(test_uniform(-1, 1), d);
    *p = test_tensor(want.p, TERN_SHAPE(N), d);
    *m = tern_zeros(TERN_SHAPE(N), (tern_options){d, test_device()});
    *v = tern_zeros(TERN_SHAPE(N), (tern_options){d, test_device()});
}

static tern_tensor *gradient(tern_dtype d) {
    for (int i = 0; i < N; i++) want.g[i] = round_to(test_uniform(-1, 1), d);
    return test_tensor(want.g, TERN_SHAPE(N), d);
}

TERN_TEST(update, sgd) {
    static const tern_sgd_update_opts settings[] = {
        {.lr = 0.1},
        {.lr = 0.1, .weight_decay = 0.05},
        {.lr = 0.1, .momentum = 0.9},
        {.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.01},
        {.lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01},
    };
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
        for (int d = 0; d < 2; d++) {
            check_case("setting %zu, %s", k, tern_dtype_name(floats[d]));
            tern_tensor *p, *m, *v, *none = NULL;
            start(floats[d], &p, &m, &v);
            for (int step = 1; step <= STEPS; step++) {
                tern_sgd_update_opts o = settings[k];
                o.first = step == 1;
                tern_tensor *g = gradient(floats[d]);
                const uint32_t version = tern_storage_version(p);
                CHECK(tern_sgd_update(&p, &g, o.momentum != 0 ? &m : &none, 1, o));
                CHECK(tern_storage_version(p) > version);
                sgd(&o);
            }
            const tolerance tol = d ? (tolerance){1e-5, 1e-6} : (tolerance){1e-12, 1e-12};
            CHECK_CLOSE(p, want.p, N, tol);
            if (settings[k].momentum != 0) CHECK_CLOSE(m, want.m, N, tol);
        }
}

TERN_TEST(update, adam) {
    static const tern_adam_update_opts settings[] = {
        {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        {.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1},
        {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1, .decoupled = true},
    };
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
        for (int d = 0; d < 2; d++) {
            check_case("setting %zu, %s", k, tern_dtype_name(floats[d]));
            tern_tensor *p, *m, *v;
            start(floats[d], &p, &m, &v);
            for (int step = 1; step <= STEPS; step++) {
                tern_adam_update_opts o = settings[k];
                o.step = step;
                tern_tensor *g = gradient(floats[d]);
                CHECK(tern_adam_update(&p, &g, &m, &v, 1, o));
                adam(&o);
            }
            const tolerance tol = d ? (tolerance){1e-5, 1e-6} : (tolerance){1e-11, 1e-11};
            CHECK_CLOSE(p, want.p, N, tol);
            CHECK_CLOSE(m, want.m, N, tol);
            CHECK_CLOSE(v, want.v, N, tol);
        }
}

TERN_TEST(update, several_tensors_and_missing_gradients) {
    tern_tensor *p[3], *g[3], *m[3] = {NULL};
    for (int i = 0; i < 3; i++) {
        p[i] = tern_ones(TERN_SHAPE(i + 1, 2), (tern_options){.device = test_device()});
        g[i] = i == 1 ? NULL : tern_full(TERN_SHAPE(i + 1, 2), i + 1, (tern_options){.device = test_device()});
    }
    CHECK(tern_sgd_update(p, g, m, 3, (tern_sgd_update_opts){.lr = 0.1}));
    CHECK_VALUES(p[0], 0.9, 0.9);
    CHECK_VALUES(p[1], 1, 1, 1, 1);
    CHECK_VALUES(p[2], 0.7, 0.7, 0.7, 0.7, 0.7, 0.7);
    CHECK_ITEM(tern_global_norm(g, 3), sqrt(2 + 6 * 9), 1e-6);
    /* Nothing overflows where the result does not. */
    tern_tensor *big = tern_full(TERN_SHAPE(100), 1e30, (tern_options){.device = test_device()}),
                *small = tern_full(TERN_SHAPE(100), 1e-30, (tern_options){.device = test_device()});
    CHECK_ITEM(tern_global_norm(&big, 1), 1e31, 1e24);
    CHECK_NUMBER(tern_item(tern_global_norm(&small, 1)) * 1e29, 1, 1e-5);
    CHECK(tern_item(tern_global_norm(g, 0)) == 0.0);
    /* A NaN stays one, whatever stands beside it. */
    tern_tensor *bad = test_values(TERN_F32, TERN_SHAPE(3), 1.0, (double)NAN, (double)INFINITY);
    CHECK(isnan(tern_item(tern_global_norm(&bad, 1))));
    tern_tensor *worse = tern_repeat(bad, TERN_SHAPE(700));
    CHECK(isnan(tern_item(tern_global_norm(&worse, 1))));
}

TERN_TEST(update, refusals) {
    tern_tensor *p = tern_ones(TERN_SHAPE(3), (tern_options){.device = test_device()}),
                *g = tern_ones(TERN_SHAPE(2), (tern_options){.device = test_device()}), *none = NULL;
    tern_tensor *d = tern_ones(TERN_SHAPE(3), (tern_options){TERN_F64, test_device()});
    EXPECT_ERROR(tern_sgd_update(&p, &g, &none, 1, (tern_sgd_update_opts){.lr = 0.1}), TERN_ERR_SHAPE, "sgd_update");
    EXPECT_ERROR(tern_sgd_update(&p, &d, &none, 1, (tern_sgd_update_opts){.lr = 0.1}), TERN_ERR_DTYPE, "sgd_update");
    EXPECT_ERROR(tern_adam_update(&p, &p, &p, &g, 1, (tern_adam_update_opts){.lr = 0.1, .step = 1}), TERN_ERR_SHAPE,
                 "adam_update");
    CHECK_VALUES(p, 1, 1, 1);
}
