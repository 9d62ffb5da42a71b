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
    *m = tern_zeros_like(*p);
    *v = tern_zeros_like(*p);
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

/* ---- many tensors, the factor, the rates, skipping
 * -------------------------------------------------------------------
 */

enum { MANY = 230, MOST = 9 }; /* more than one table of arguments */

typedef struct model_of_many {
    tern_tensor *whole[MANY], *p[MANY], *g[MANY], *m[MANY],
        *v[MANY]; /* p is a part of whole: one element is left out */
} model_of_many;

static tern_options where(tern_dtype d) { return (tern_options){d, test_device()}; }

/* Tensor i has i % MOST elements (some have none), all i + 1; gradients 1 / (i + 1); some lie at odd addresses. */
static void many_start(model_of_many *s, tern_dtype d) {
    for (int i = 0; i < MANY; i++) {
        const tern_shape shape = TERN_SHAPE(i % MOST + 1);
        const bool odd = i % 4 == 1;
        s->whole[i] = tern_full(shape, i + 1, where(d));
        s->p[i] = tern_slice(s->whole[i], 0, odd, i % MOST + odd, 1);
        s->g[i] = tern_slice(tern_full(shape, 1.0 / (i + 1), where(d)), 0, odd, i % MOST + odd, 1);
        s->m[i] = tern_zeros_like(s->p[i]);
        s->v[i] = tern_zeros_like(s->p[i]);
    }
}

static double many_norm(void) {
    double s = 0;
    for (int i = 0; i < MANY; i++) s += i % MOST / ((i + 1.0) * (i + 1.0));
    return sqrt(s);
}

TERN_TEST(update, many_tensors_clipped) {
    static model_of_many s;
    static const tern_dtype dtypes[] = {TERN_F64, TERN_F32, TERN_F16};
    for (int d = 0; d < 3; d++)
        for (int adam_too = 0; adam_too < 2; adam_too++) {
            check_case("%s, %s", tern_dtype_name(dtypes[d]), adam_too ? "adam" : "sgd");
            const int scope = tern_scope_push();
            const tolerance tol = d == 0   ? (tolerance){1e-12, 1e-12}
                                  : d == 1 ? (tolerance){1e-5, 1e-6}
                                           : (tolerance){2e-3, 1e-3};
            many_start(&s, dtypes[d]);
            tern_tensor *norm = NULL,
                        *unscale = tern_full(tern_shape_scalar(), 0.5, where(d == 1 ? TERN_F64 : TERN_F32));
            tern_tensor *scale = tern_grad_scale(s.g, MANY, (tern_grad_scale_opts){0.25, unscale}, &norm);
            const double want_norm = 0.5 * many_norm(), factor = 0.5 * 0.25 / (want_norm + 1e-6);
            CHECK_CLOSE(norm, &want_norm, 1, tol);
            CHECK_CLOSE(scale, &factor, 1, tol);
            CHECK_ITEM(tern_grad_scale(s.g, MANY, (tern_grad_scale_opts){1e9, NULL}, NULL), 1, 0);
            CHECK_ITEM(tern_grad_scale(s.g, MANY, (tern_grad_scale_opts){0, unscale}, NULL), 0.5, 0);
            if (adam_too)
                CHECK(tern_adam_update(
                    s.p, s.g, s.m, s.v, MANY,
                    (tern_adam_update_opts){
                        .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .step = 1, .grad_scale = scale}));
            else
                CHECK(tern_sgd_update(
                    s.p, s.g, s.m, MANY,
                    (tern_sgd_update_opts){.lr = 0.1, .momentum = 0.9, .first = true, .grad_scale = scale}));
            for (int i = 0; i < MANY; i++) {
                const double g = factor / (i + 1), p = i + 1 - 0.1 * (adam_too ? g / (g + 1e-3) : g);
                const double want_p[MOST] = {p, p, p, p, p, p, p, p, p}, a = adam_too ? 0.1 * g : g;
                const double want_m[MOST] = {a, a, a, a, a, a, a, a, a};
                CHECK_ITEM(tern_select(s.whole[i], 0, i % 4 == 1 ? 0 : i % MOST), i + 1, 0);
                if (i % MOST == 0) continue;
                CHECK_CLOSE(s.p[i], want_p, i % MOST, tol);
                CHECK_CLOSE(s.m[i], want_m, i % MOST, tol);
            }
            tern_scope_pop(scope);
        }
}

TERN_TEST(update, rates_of_the_device) {
    for (int d = 0; d < 2; d++) {
        tern_tensor *p[2], *m[2], *v[2], *g = test_random(TERN_SHAPE(77), -1, 1, floats[d]);
        for (int i = 0; i < 2; i++) {
            p[i] = tern_ones_like(g);
            m[i] = tern_zeros_like(g);
            v[i] = tern_zeros_like(g);
        }
        tern_adam_update_opts o = {
            .lr = 0.013, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1, .decoupled = true, .step = 3};
        CHECK(tern_adam_update(&p[0], &g, &m[0], &v[0], 1, o));
        o.rates = test_values(TERN_F64, TERN_SHAPE(3), o.lr, 1 - pow(o.beta1, 3), 1 - pow(o.beta2, 3));
        o.lr = 1e9; /* not looked at, as the step */
        o.step = 0;
        CHECK(tern_adam_update(&p[1], &g, &m[1], &v[1], 1, o));
        CHECK_SAME(p[1], p[0], ((tolerance){0, 0}));
        CHECK_SAME(v[1], v[0], ((tolerance){0, 0}));
        tern_sgd_update_opts s = {.lr = 0.3, .momentum = 0.5};
        CHECK(tern_sgd_update(&p[0], &g, &m[0], 1, s));
        s.rates = test_values(TERN_F64, TERN_SHAPE(1), 0.3);
        s.lr = 0;
        CHECK(tern_sgd_update(&p[1], &g, &m[1], 1, s));
        CHECK_SAME(p[1], p[0], ((tolerance){0, 0}));
    }
}

TERN_TEST(update, skipped_where_not_finite) {
    for (int k = 0; k < 3; k++) {
        const double bad[] = {(double)INFINITY, (double)NAN, 1};
        check_case("%g", bad[k]);
        tern_tensor *p = test_values(TERN_F32, TERN_SHAPE(3), 1, 2, 3), *m = tern_ones_like(p), *v = tern_ones_like(p);
        tern_tensor *g = test_values(TERN_F32, TERN_SHAPE(3), 1, bad[k], 1);
        tern_tensor *scale = tern_grad_scale(&g, 1, (tern_grad_scale_opts){.max_norm = 1}, NULL);
        tern_sgd_update_opts s = {.lr = 0.1, .momentum = 0.5, .grad_scale = scale, .skip_not_finite = true};
        tern_adam_update_opts a = {.lr = 0.1,
                                   .beta1 = 0.9,
                                   .beta2 = 0.9,
                                   .eps = 1e-3,
                                   .step = 1,
                                   .grad_scale = scale,
                                   .skip_not_finite = true};
        CHECK(tern_sgd_update(&p, &g, &m, 1, s) && tern_adam_update(&p, &g, &m, &v, 1, a));
        if (k == 2) {
            CHECK(tern_item(tern_select(p, 0, 0)) < 1); /* that one went on */
            continue;
        }
        CHECK(isnan(tern_item(scale)));
        CHECK_VALUES(p, 1, 2, 3);
        CHECK_VALUES(m, 1, 1, 1);
        CHECK_VALUES(v, 1, 1, 1);
        s.skip_not_finite = false; /* then it shows */
        CHECK(tern_sgd_update(&p, &g, &m, 1, s));
        CHECK(isnan(tern_item(tern_select(p, 0, 0))));
    }
}

TERN_TEST(update, refusals) {
    tern_tensor *p = tern_ones(TERN_SHAPE(3), (tern_options){.device = test_device()}),
                *g = tern_ones(TERN_SHAPE(2), (tern_options){.device = test_device()}), *none = NULL;
    tern_tensor *d = tern_ones(TERN_SHAPE(3), (tern_options){TERN_F64, test_device()});
    EXPECT_ERROR(tern_sgd_update(&p, &g, &none, 1, (tern_sgd_update_opts){.lr = 0.1}), TERN_ERR_SHAPE, "sgd_update");
    EXPECT_ERROR(tern_sgd_update(&p, &d, &none, 1, (tern_sgd_update_opts){.lr = 0.1}), TERN_ERR_DTYPE, "sgd_update");
    EXPECT_ERROR(tern_adam_update(&p, &p, &p, &g, 1, (tern_adam_update_opts){.lr = 0.1, .step = 1}), TERN_ERR_SHAPE,
                 "adam_update");
    const tern_sgd_update_opts wide = {.lr = 0.1, .grad_scale = p},
                               whole = {
                                   .lr = 0.1,
                                   .grad_scale = tern_zeros(tern_shape_scalar(), (tern_options){.dtype = TERN_F16})};
    EXPECT_ERROR(tern_sgd_update(&p, &p, &none, 1, wide), TERN_ERR_SHAPE, "grad_scale is [3] f32");
    EXPECT_ERROR(tern_sgd_update(&p, &p, &none, 1, whole), TERN_ERR_DTYPE, "grad_scale");
    EXPECT_ERROR(tern_sgd_update(&p, &p, &none, 1, (tern_sgd_update_opts){.rates = d}), TERN_ERR_SHAPE, "rates is [3]");
    EXPECT_ERROR(tern_adam_update(&p, &p, &p, &p, 1, (tern_adam_update_opts){.rates = p}), TERN_ERR_DTYPE, "rates");
    EXPECT_ERROR(tern_grad_scale(&p, 1, (tern_grad_scale_opts){-1, NULL}, NULL), TERN_ERR_ARGUMENT, "max_norm");
    EXPECT_ERROR(tern_grad_scale(&p, 1, (tern_grad_scale_opts){1, p}, NULL), TERN_ERR_SHAPE, "unscale");
    CHECK_VALUES(p, 1, 1, 1);
}
