/* The fused parameter updates and the global norm, against their formulas in double. */
#include "common.h"

enum { N = 5003, STEPS = 4 };
static const tern_dtype floats[] = {TERN_F64, TERN_F32};

typedef struct model {
    double p[N], g[N], m[N], v[N];
} model;
static model want;

/* SGD and Adam as an optimizer would call them. */
typedef struct sgd_opts {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, first;
    tern_update_opts call;
} sgd_opts;
static bool sgd_update(tern_tensor *const *p, tern_tensor *const *g, tern_tensor *const *m, int n, sgd_opts o) {
    const double numbers[] = {o.lr,
                              o.weight_decay,
                              1,
                              o.first ? 0 : o.momentum,
                              o.first ? 1 : 1 - o.dampening,
                              o.nesterov,
                              o.nesterov ? o.momentum : 1};
    if (!(o.momentum > 0)) return tern_update(TERN_UPDATE_SGD, p, g, NULL, n, numbers, o.call);
    return tern_update(TERN_UPDATE_MOMENTUM, p, g, (tern_tensor *const *const[]){m, NULL, NULL}, n, numbers, o.call);
}

typedef struct adam_opts {
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled;
    int64_t step;
    tern_update_opts call;
} adam_opts;
static void adam_numbers(adam_opts o, double *number) {
    const double step = (double)o.step;
    number[0] = o.lr / (1 - pow(o.beta1, step));
    number[1] = 1 / sqrt(1 - pow(o.beta2, step));
    number[2] = o.decoupled ? 0 : o.weight_decay;
    number[3] = o.decoupled ? 1 - o.lr * o.weight_decay : 1;
    number[4] = 1 - o.beta1;
    number[5] = o.beta2;
    number[6] = 1 - o.beta2;
    number[7] = o.eps;
}
static bool adam_update(tern_tensor *const *p, tern_tensor *const *g, tern_tensor *const *m, tern_tensor *const *v,
                        int n, adam_opts o) {
    double numbers[8];
    adam_numbers(o, numbers);
    return tern_update(TERN_UPDATE_ADAM, p, g, (tern_tensor *const *const[]){m, v, NULL}, n, numbers, o.call);
}

static void sgd(const sgd_opts *o) {
    for (int i = 0; i < N; i++) {
        double g = want.g[i] + o->weight_decay * want.p[i];
        if (o->momentum != 0) {
            want.m[i] = o->first ? g : o->momentum * want.m[i] + (1 - o->dampening) * g;
            g = o->nesterov ? g + o->momentum * want.m[i] : want.m[i];
        }
        want.p[i] -= o->lr * g;
    }
}

static void adam(const adam_opts *o) {
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
    static const sgd_opts settings[] = {
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
                sgd_opts o = settings[k];
                o.first = step == 1;
                tern_tensor *g = gradient(floats[d]);
                const uint32_t version = tern_storage_version(p);
                CHECK(sgd_update(&p, &g, o.momentum != 0 ? &m : &none, 1, o));
                CHECK(tern_storage_version(p) > version);
                sgd(&o);
            }
            const tolerance tol = d ? (tolerance){1e-5, 1e-6} : (tolerance){1e-12, 1e-12};
            CHECK_CLOSE(p, want.p, N, tol);
            if (settings[k].momentum != 0) CHECK_CLOSE(m, want.m, N, tol);
        }
}

TERN_TEST(update, adam) {
    static const adam_opts settings[] = {
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
                adam_opts o = settings[k];
                o.step = step;
                tern_tensor *g = gradient(floats[d]);
                CHECK(adam_update(&p, &g, &m, &v, 1, o));
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
    CHECK(sgd_update(p, g, m, 3, (sgd_opts){.lr = 0.1}));
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
                CHECK(adam_update(
                    s.p, s.g, s.m, s.v, MANY,
                    (adam_opts){
                        .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .step = 1, .call.grad_scale = scale}));
            else
                CHECK(sgd_update(s.p, s.g, s.m, MANY,
                                 (sgd_opts){.lr = 0.1, .momentum = 0.9, .first = true, .call.grad_scale = scale}));
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
        const adam_opts o = {
            .lr = 0.013, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1, .decoupled = true, .step = 3};
        double numbers[8];
        adam_numbers(o, numbers);
        CHECK(adam_update(&p[0], &g, &m[0], &v[0], 1, o));
        tern_tensor *rates =
            tern_to(tern_from_doubles(numbers, TERN_SHAPE(8), (tern_options){.dtype = TERN_F64}), test_device());
        CHECK(tern_update(TERN_UPDATE_ADAM, &p[1], &g,
                          (tern_tensor *const *const[]){(tern_tensor *[]){m[1]}, (tern_tensor *[]){v[1]}, NULL}, 1,
                          NULL, (tern_update_opts){.rates = rates}));
        CHECK_SAME(p[1], p[0], ((tolerance){0, 0}));
        CHECK_SAME(v[1], v[0], ((tolerance){0, 0}));
    }
    CHECK(tern_update_numbers(TERN_UPDATE_ADAM) == 8 && tern_update_numbers(TERN_UPDATE_AVERAGE) == 1);
    CHECK(tern_update_numbers((tern_update_rule)99) == 0);
}

/* Masters in f32: what is written to them, rounded, is the parameter; enough tensors for more than one table. */
TERN_TEST(update, low_copies) {
    static const tern_dtype halves[] = {TERN_F16, TERN_BF16};
    static tern_tensor *p[MANY], *g[MANY], *m[MANY], *low[MANY];
    for (int d = 0; d < 2; d++) {
        const int scope = tern_scope_push();
        for (int i = 0; i < MANY; i++) {
            const tern_shape shape = TERN_SHAPE(i % 21 + 1);
            p[i] = tern_full(shape, 1 + 1e-5 * i, where(TERN_F32));
            low[i] = tern_zeros(shape, where(halves[d]));
            g[i] = i % 5 == 3 ? NULL : tern_full(shape, 0.25, where(halves[d]));
            m[i] = tern_ones(shape, where(TERN_F32));
        }
        const double numbers[] = {0.5, 0, 1, 0.5, 1, 0, 1}, buffer = 0.75;
        CHECK(tern_update(TERN_UPDATE_MOMENTUM, p, g, (tern_tensor *const *const[]){m, NULL, NULL}, MANY, numbers,
                          (tern_update_opts){.low = low}));
        for (int i = 0; i < MANY; i++) {
            const double was = (double)(float)(1 + 1e-5 * i);
            CHECK_NUMBER(tern_item(tern_select(p[i], 0, -1)), g[i] ? was - 0.5 * buffer : was, 1e-7);
            CHECK_NUMBER(tern_item(tern_select(m[i], 0, 0)), g[i] ? buffer : 1, 0);
            if (g[i])
                CHECK_SAME(low[i], tern_cast(p[i], halves[d]), ((tolerance){0, 0}));
            else
                CHECK_ITEM(tern_select(low[i], 0, 0), 0, 0);
        }
        EXPECT_ERROR(tern_update(TERN_UPDATE_AVERAGE, p, p, NULL, 1, numbers, (tern_update_opts){.low = low}),
                     TERN_ERR_DTYPE, "gradient 0");
        EXPECT_ERROR(tern_update(TERN_UPDATE_AVERAGE, low, g, NULL, 1, numbers, (tern_update_opts){.low = low}),
                     TERN_ERR_DTYPE, "low 0");
        tern_scope_pop(scope);
    }
}

TERN_TEST(update, clipped_by_value_and_turned) {
    for (int d = 0; d < 2; d++) {
        tern_tensor *p = test_values(floats[d], TERN_SHAPE(4), 1, 1, 1, 1);
        tern_tensor *g = test_values(floats[d], TERN_SHAPE(4), 0.25, -3, 7, (double)NAN);
        const double share[] = {0.5}, numbers[] = {1, 0, 1};
        CHECK(tern_update(TERN_UPDATE_SGD, &p, &g, NULL, 1, numbers,
                          (tern_update_opts){.clip_value = 0.5, .maximize = true}));
        const double want_p[] = {1.25, 0.5, 1.5, (double)NAN};
        CHECK_CLOSE(p, want_p, 4, ((tolerance){0, 0}));
        tern_tensor *to = tern_zeros_like(p);
        CHECK(tern_update(TERN_UPDATE_AVERAGE, &p, &to, NULL, 1, share, (tern_update_opts){0}));
        CHECK_ITEM(tern_select(p, 0, 2), 0.75, 0);
    }
}

TERN_TEST(update, skipped_where_not_finite) {
    for (int k = 0; k < 3; k++) {
        const double bad[] = {(double)INFINITY, (double)NAN, 1};
        check_case("%g", bad[k]);
        tern_tensor *p = test_values(TERN_F32, TERN_SHAPE(3), 1, 2, 3), *m = tern_ones_like(p), *v = tern_ones_like(p);
        tern_tensor *g = test_values(TERN_F32, TERN_SHAPE(3), 1, bad[k], 1);
        tern_tensor *scale = tern_grad_scale(&g, 1, (tern_grad_scale_opts){.max_norm = 1}, NULL);
        sgd_opts s = {.lr = 0.1, .momentum = 0.5, .call = {.grad_scale = scale, .skip_not_finite = true}};
        adam_opts a = {.lr = 0.1,
                       .beta1 = 0.9,
                       .beta2 = 0.9,
                       .eps = 1e-3,
                       .step = 1,
                       .call = {.grad_scale = scale, .skip_not_finite = true}};
        CHECK(sgd_update(&p, &g, &m, 1, s) && adam_update(&p, &g, &m, &v, 1, a));
        if (k == 2) {
            CHECK(tern_item(tern_select(p, 0, 0)) < 1); /* that one went on */
            continue;
        }
        CHECK(isnan(tern_item(scale)));
        CHECK_VALUES(p, 1, 2, 3);
        CHECK_VALUES(m, 1, 1, 1);
        CHECK_VALUES(v, 1, 1, 1);
        s.call.skip_not_finite = false; /* then it shows */
        CHECK(sgd_update(&p, &g, &m, 1, s));
        CHECK(isnan(tern_item(tern_select(p, 0, 0))));
    }
}

/* Enough elements for several threads; where they divide them lies inside of tensors. */
TERN_TEST(update, parts_of_threads) {
    static const int64_t sizes[4] = {100000, 1, 200001, 300000};
    static double first[300000], second[300000];
    const int before = tern_threads();
    tern_tensor *p[2][4], *g[4], *m[4], *v[4];
    for (int i = 0; i < 4; i++) g[i] = test_random(TERN_SHAPE(sizes[i]), -1, 1, TERN_F32);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 4; i++) {
            p[k][i] = tern_mul_scalar(g[i], 2);
            m[i] = tern_zeros_like(g[i]);
            v[i] = tern_zeros_like(g[i]);
        }
        CHECK(tern_set_threads(k ? 4 : 1));
        CHECK(
            adam_update(p[k], g, m, v, 4, (adam_opts){.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .step = 1}));
        CHECK(tern_set_threads(before));
    }
    for (int i = 0; i < 4; i++) {
        CHECK(tern_to_doubles(p[0][i], first, sizes[i]) && tern_to_doubles(p[1][i], second, sizes[i]));
        CHECK(memcmp(first, second, (size_t)sizes[i] * sizeof(double)) == 0, "tensor %d depends on the threads", i);
    }
    /* The first step of Adam goes by lr, whatever the gradient. */
    CHECK(tern_to_doubles(g[3], second, sizes[3]));
    for (int k = 0; k < sizes[3]; k++) {
        const double expected = 2 * second[k] - (second[k] > 0 ? 0.1 : -0.1);
        if (fabs(second[k]) > 1e-3 && !(fabs(first[k] - expected) < 1e-4))
            FAIL("element %d: %g, not %g", k, first[k], expected);
    }
}

TERN_TEST(update, refusals) {
    tern_tensor *p = tern_ones(TERN_SHAPE(3), (tern_options){.device = test_device()}),
                *g = tern_ones(TERN_SHAPE(2), (tern_options){.device = test_device()}), *none = NULL;
    tern_tensor *d = tern_ones(TERN_SHAPE(3), (tern_options){TERN_F64, test_device()});
    const double numbers[9] = {0};
    EXPECT_ERROR(sgd_update(&p, &g, &none, 1, (sgd_opts){.lr = 0.1}), TERN_ERR_SHAPE, "update: gradient 0 is [2]");
    EXPECT_ERROR(sgd_update(&p, &d, &none, 1, (sgd_opts){.lr = 0.1}), TERN_ERR_DTYPE, "update: gradient 0");
    EXPECT_ERROR(adam_update(&p, &p, &p, &g, 1, (adam_opts){.lr = 0.1, .step = 1}), TERN_ERR_SHAPE, "update: state 1,");
    EXPECT_ERROR(sgd_update(&p, &p, &none, 1, (sgd_opts){.call.grad_scale = p}), TERN_ERR_SHAPE,
                 "grad_scale is [3] f32");
    tern_tensor *half = tern_zeros(tern_shape_scalar(), (tern_options){.dtype = TERN_F16});
    EXPECT_ERROR(sgd_update(&p, &p, &none, 1, (sgd_opts){.call.grad_scale = half}), TERN_ERR_DTYPE, "grad_scale");
    EXPECT_ERROR(sgd_update(&p, &p, &none, 1, (sgd_opts){.momentum = 0.5, .call.rates = d}), TERN_ERR_SHAPE,
                 "rates is [3]");
    tern_tensor *three = tern_zeros(TERN_SHAPE(3), (tern_options){.device = test_device()});
    EXPECT_ERROR(sgd_update(&p, &p, &none, 1, (sgd_opts){.call.rates = three}), TERN_ERR_DTYPE, "rates");
    EXPECT_ERROR(sgd_update(&p, &p, &none, 1, (sgd_opts){.call.clip_value = -1}), TERN_ERR_ARGUMENT,
                 "clip_value is -1");
    EXPECT_ERROR(tern_update(TERN_UPDATE_ADAM, &p, &p, NULL, 1, numbers, (tern_update_opts){0}), TERN_ERR_ARGUMENT,
                 "state[0] is NULL");
    EXPECT_ERROR(tern_update((tern_update_rule)99, &p, &p, NULL, 1, numbers, (tern_update_opts){0}), TERN_ERR_ARGUMENT,
                 "there is no rule 99");
    EXPECT_ERROR(tern_update(TERN_UPDATE_SGD, &p, &p, NULL, 1, NULL, (tern_update_opts){0}), TERN_ERR_ARGUMENT,
                 "numbers is NULL");
    EXPECT_ERROR(tern_update(TERN_UPDATE_SGD, &none, &p, NULL, 1, numbers, (tern_update_opts){0}), TERN_ERR_ARGUMENT,
                 "param 0 is NULL");
    EXPECT_ERROR(tern_grad_scale(&p, 1, (tern_grad_scale_opts){-1, NULL}, NULL), TERN_ERR_ARGUMENT, "max_norm");
    EXPECT_ERROR(tern_grad_scale(&p, 1, (tern_grad_scale_opts){1, p}, NULL), TERN_ERR_SHAPE, "unscale");
    CHECK_VALUES(p, 1, 1, 1);
}
