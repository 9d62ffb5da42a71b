/* Optimizers and schedules against values of PyTorch (tests/reference/nn.py), groups, state and errors. */
#include "common.h"
#include "tern/layers.h"
#include "tern/optim.h"
#include "tern/schedule.h"

/* ---- against PyTorch --------------------------------------------------------------------------------------------- */

typedef struct optim_case {
    const char *name;
    tern_optim *(*make)(tern_module *m);
    bool skip;   /* 0.weight has no gradient in steps 0, 3, 6, ... */
    double clip; /* gradients' norm; 0: not clipped */
    const double *after_1, *after_20;
} optim_case;

static tern_optim *make_sgd(tern_module *m, double lr, tern_sgd_opts opts) { return tern_sgd_new(m, lr, opts); }
static tern_optim *make_adam(tern_module *m, double lr, tern_adam_opts opts) { return tern_adam_new(m, lr, opts); }
static tern_optim *make_adamw(tern_module *m, double lr, tern_adamw_opts opts) { return tern_adamw_new(m, lr, opts); }
static tern_optim *make_adamw_groups(tern_module *m, double lr, tern_adamw_opts opts) {
    tern_optim *o = tern_adamw_new(m, lr, opts);
    CHECK(tern_optim_group(o, "*.bias", (tern_group_opts){.weight_decay = -1}) == 1);
    CHECK(tern_optim_group(o, "0.w*", (tern_group_opts){.lr_scale = 0.1}) == 2);
    return o;
}

#include "reference/optim.def"

enum { PARAMETERS = 4 };

static tern_module *mlp(tern_dtype dtype) {
    tern_module *m = tern_sequential(tern_linear_new(4, 3, (tern_linear_opts){0}), tern_tanh_new(),
                                     tern_linear_new(3, 2, (tern_linear_opts){0}), NULL);
    tern_module_cast(m, dtype);
    const bool was = tern_grad_mode(false);
    const double *at = optim_start;
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        tern_copy_(e.tensor, test_tensor(at, tern_shape_get(e.tensor), dtype));
        at += tern_numel(e.tensor);
    }
    tern_grad_mode(was);
    return m;
}

static void backward(tern_module *m) {
    const tern_dtype dtype = tern_dtype_of(tern_module_get(m, "0.weight"));
    tern_tensor *y = tern_forward(m, test_tensor(optim_x, TERN_SHAPE(8, 4), dtype));
    tern_backward(tern_mse_loss(y, test_tensor(optim_y, TERN_SHAPE(8, 2), dtype), TERN_REDUCE_MEAN));
}

static void train_step(tern_module *m, tern_optim *o, const optim_case *c, int64_t k) {
    const int scope = tern_scope_push();
    backward(m);
    if (c->skip && k % 3 == 0) tern_grad_set(tern_module_get(m, "0.weight"), NULL);
    if (c->clip > 0) tern_optim_clip_norm(o, c->clip);
    CHECK(tern_optim_step(o));
    tern_scope_pop(scope);
}

static void check_params(tern_module *m, const double *want, tolerance tol) {
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        CHECK_CLOSE(e.tensor, want, tern_numel(e.tensor), tol);
        want += tern_numel(e.tensor);
    }
}

TERN_TEST(optim, as_pytorch) {
    for (size_t i = 0; i < sizeof optim_cases / sizeof *optim_cases; i++) {
        const optim_case *c = &optim_cases[i];
        for (int k = 0; k < 2; k++) {
            const tern_dtype dtype = k ? TERN_F32 : TERN_F64;
            const tolerance tol = k ? (tolerance){1e-4, 2e-5} : (tolerance){1e-12, 1e-12};
            check_case("%s, %s", c->name, tern_dtype_name(dtype));
            tern_module *m = mlp(dtype);
            tern_optim *o = c->make(m);
            REQUIRE(o != NULL, "%s", tern_error_message());
            for (int64_t step = 0; step < 20; step++) {
                train_step(m, o, c, step);
                if (step == 0) check_params(m, c->after_1, tol);
            }
            check_params(m, c->after_20, tol);
            CHECK(tern_optim_steps(o) == 20);
            tern_optim_free(o);
            tern_module_free(m);
        }
    }
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

static void copy_state(tern_optim *to, tern_optim *from) {
    tern_optim_state a, b;
    int n = 0;
    for (; tern_optim_each(from, n, &b); n++) {
        REQUIRE(tern_optim_each(to, n, &a));
        CHECK(strcmp(a.name, b.name) == 0);
        tern_copy_(a.tensor, b.tensor);
    }
    CHECK(!tern_optim_each(to, n, &a));
    tern_optim_set_steps(to, tern_optim_steps(from));
    tern_optim_set_lr(to, tern_optim_lr(from));
}

/* 10 steps, then the other 10 by a new optimizer that was given the state: bit for bit what 20 in a row give. */
TERN_TEST(optim, resumes) {
    for (size_t i = 0; i < sizeof optim_cases / sizeof *optim_cases; i++) {
        const optim_case *c = &optim_cases[i];
        for (int at = 0; at <= 10; at += 5) {
            check_case("%s, after %d steps", c->name, at);
            tern_module *m = mlp(TERN_F32), *straight = mlp(TERN_F32);
            tern_optim *o = c->make(m), *s = c->make(straight);
            for (int k = 0; k < 20; k++) {
                if (k == at) {
                    tern_optim *fresh = c->make(m);
                    copy_state(fresh, o);
                    tern_optim_free(o);
                    o = fresh;
                }
                train_step(m, o, c, k);
                train_step(straight, s, c, k);
            }
            tern_named a, b;
            for (int k = 0; tern_module_each(m, k, &a) && tern_module_each(straight, k, &b); k++)
                CHECK_SAME(a.tensor, b.tensor, ((tolerance){0, 0}));
            tern_optim_free(o);
            tern_optim_free(s);
            tern_module_free(m);
            tern_module_free(straight);
        }
    }
}

TERN_TEST(optim, names_of_state) {
    tern_module *m = mlp(TERN_F32);
    tern_optim *o = tern_adamw_new(m, 0.1, (tern_adamw_opts){0});
    static const char *const want[] = {"0.weight/exp_avg", "0.weight/exp_avg_sq", "0.weight/step", "0.bias/exp_avg"};
    tern_optim_state e, first;
    CHECK(tern_optim_each(o, 0, &first));
    int n = 0;
    for (; tern_optim_each(o, n, &e); n++)
        if (n < 4) CHECK(strcmp(e.name, want[n]) == 0, "%s", e.name);
    CHECK(n == 3 * PARAMETERS);
    CHECK(strcmp(first.name, want[0]) == 0); /* names stay */
    CHECK(tern_optim_each(o, 2, &e) && tern_dtype_of(e.tensor) == TERN_I64 && tern_ndim(e.tensor) == 0);
    backward(m);
    CHECK(tern_optim_step(o));
    CHECK(tern_item_i64(e.tensor) == 1);
    CHECK(strcmp(tern_optim_type(o), "adamw") == 0);
    tern_optim_free(o);
    o = tern_sgd_new(m, 0.1, (tern_sgd_opts){.momentum = 0.5});
    CHECK(tern_optim_each(o, 2, &e) && strcmp(e.name, "0.bias/momentum_buffer") == 0);
    tern_optim_free(o);
    o = tern_sgd_new(m, 0.1, (tern_sgd_opts){0});
    CHECK(!tern_optim_each(o, 0, &e) && tern_ok());
    tern_optim_free(o);
    tern_module_free(m);
}

TERN_TEST(optim, state_follows_a_cast) {
    tern_module *m = mlp(TERN_F32);
    tern_optim *o = tern_adam_new(m, 0.01, (tern_adam_opts){0});
    backward(m);
    CHECK(tern_optim_step(o));
    CHECK(tern_module_cast(m, TERN_F64));
    backward(m);
    CHECK(tern_optim_step(o));
    tern_optim_state e;
    CHECK(tern_optim_each(o, 0, &e) && tern_dtype_of(e.tensor) == TERN_F64);
    CHECK_OK();
    tern_module_free(m); /* before the optimizer: it holds references */
    tern_optim_zero_grad(o);
    tern_optim_free(o);
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

TERN_TEST(optim, gradients_go_or_stay) {
    tern_module *m = mlp(TERN_F32);
    tern_optim *o = tern_sgd_new(m, 0.1, (tern_sgd_opts){0});
    tern_tensor *w = tern_module_get(m, "0.weight");
    backward(m);
    CHECK(tern_optim_step(o) && !tern_grad_get(w));
    tern_optim_keep_grad(o, true);
    backward(m);
    CHECK(tern_optim_step(o) && tern_grad_get(w));
    tern_optim_zero_grad(o);
    CHECK(!tern_grad_get(w));
    CHECK(tern_optim_step(o)); /* nothing to do */
    CHECK(tern_optim_steps(o) == 3);
    tern_optim_free(o);
    tern_module_free(m);
}

TERN_TEST(optim, clip_norm) {
    tern_module *m = mlp(TERN_F64);
    tern_optim *o = tern_sgd_new(m, 0.1, (tern_sgd_opts){0});
    CHECK_ITEM(tern_optim_clip_norm(o, 1), 0, 0); /* no gradients yet */
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) tern_grad_set(e.tensor, tern_ones_like(e.tensor));
    const double norm = sqrt((double)tern_module_count(m, false));
    CHECK_ITEM(tern_optim_clip_norm(o, 1e9), norm, 1e-12);
    CHECK_ITEM(tern_optim_clip_norm(o, 0.5), norm, 1e-12); /* the last call counts; the gradients stay */
    tern_tensor *bias = tern_module_get(m, "2.bias");
    CHECK_ITEM(tern_max(tern_grad_get(bias), NULL, 0, false), 1, 0);
    tern_optim_keep_grad(o, true);
    const double before = tern_item(tern_select(bias, 0, 1));
    CHECK(tern_optim_step(o));
    CHECK_ITEM(tern_select(bias, 0, 1), before - 0.1 * 0.5 / (norm + 1e-6), 1e-12);
    CHECK_ITEM(tern_max(tern_grad_get(bias), NULL, 0, false), 1, 0);
    CHECK(tern_optim_step(o)); /* not clipped again */
    CHECK_ITEM(tern_select(bias, 0, 1), before - 0.1 * 0.5 / (norm + 1e-6) - 0.1, 1e-12);
    CHECK_ITEM(tern_optim_clip_norm(o, 0.5), norm, 1e-12);
    tern_optim_zero_grad(o); /* forgets it */
    for (int i = 0; tern_module_each(m, i, &e); i++) tern_grad_set(e.tensor, tern_ones_like(e.tensor));
    CHECK(tern_optim_step(o));
    CHECK_ITEM(tern_select(bias, 0, 1), before - 0.1 * 0.5 / (norm + 1e-6) - 0.2, 1e-12);
    EXPECT_ERROR(tern_optim_clip_norm(o, 0), TERN_ERR_ARGUMENT, "max_norm is 0");
    EXPECT_ERROR(tern_optim_clip_norm(o, (double)NAN), TERN_ERR_ARGUMENT, "max_norm");
    EXPECT_ERROR(tern_optim_clip_norm(NULL, 1), TERN_ERR_ARGUMENT, "optim_clip_norm");
    tern_optim_free(o);
    tern_module_free(m);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

TERN_TEST(optim, groups) {
    tern_module *m = mlp(TERN_F32);
    tern_optim *o = tern_adam_new(m, 0.1, (tern_adam_opts){0});
    CHECK(tern_optim_groups(o) == 1 && tern_optim_group_of(o, "2.bias") == 0);
    CHECK(tern_optim_group(o, "*.bias", (tern_group_opts){.lr_scale = -1}) == 1);
    CHECK(tern_optim_groups(o) == 2 && tern_optim_group_of(o, "2.bias") == 1);
    CHECK(tern_optim_group_of(o, "2.weight") == 0 && tern_optim_group_of(o, "nobody") == -1 && tern_ok());
    const double bias = tern_item(tern_select(tern_module_get(m, "0.bias"), 0, 1));
    const double weight = tern_item(tern_select(tern_select(tern_module_get(m, "0.weight"), 0, 0), 0, 0));
    backward(m);
    CHECK(tern_optim_step(o));
    CHECK(tern_item(tern_select(tern_module_get(m, "0.bias"), 0, 1)) == bias); /* frozen */
    CHECK(tern_item(tern_select(tern_select(tern_module_get(m, "0.weight"), 0, 0), 0, 0)) != weight);
    tern_optim_state e;
    int n = 0;
    while (tern_optim_each(o, n, &e)) n++;
    CHECK(n == 3 * 2); /* the frozen have no state */
    CHECK(!tern_grad_get(tern_module_get(m, "0.bias")));
    CHECK(tern_optim_group(o, "*", (tern_group_opts){0}) == -1);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "after 1 steps");
    tern_optim_free(o);
    o = tern_adam_new(m, 0.1, (tern_adam_opts){0});
    CHECK(tern_optim_group(o, "*.nothing", (tern_group_opts){0}) == -1);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "no parameter matches \"*.nothing\"");
    CHECK(tern_optim_group(o, NULL, (tern_group_opts){0}) == -1);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "pattern is NULL");
    CHECK(tern_optim_group(o, "*", (tern_group_opts){.lr_scale = (double)NAN}) == -1);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "lr_scale");
    CHECK(tern_optim_groups(o) == 1);
    tern_optim_free(o);
    tern_module_free(m);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

TERN_TEST(optim, wrong_settings) {
    tern_module *m = mlp(TERN_F32);
    EXPECT_ERROR(tern_sgd_new(m, -1, (tern_sgd_opts){0}), TERN_ERR_ARGUMENT, "sgd: the rate is -1");
    EXPECT_ERROR(tern_sgd_new(m, (double)INFINITY, (tern_sgd_opts){0}), TERN_ERR_ARGUMENT, "sgd: the rate");
    EXPECT_ERROR(tern_sgd_new(m, 1, (tern_sgd_opts){.momentum = -1}), TERN_ERR_ARGUMENT, "momentum -1");
    EXPECT_ERROR(tern_sgd_new(m, 1, (tern_sgd_opts){.weight_decay = -1}), TERN_ERR_ARGUMENT, "weight_decay is -1");
    EXPECT_ERROR(tern_sgd_new(m, 1, (tern_sgd_opts){.nesterov = true}), TERN_ERR_ARGUMENT, "nesterov needs");
    EXPECT_ERROR(tern_sgd_new(m, 1, (tern_sgd_opts){.nesterov = true, .momentum = 0.9, .dampening = 0.1}),
                 TERN_ERR_ARGUMENT, "nesterov needs");
    EXPECT_ERROR(tern_adam_new(m, 1, (tern_adam_opts){.beta1 = 1}), TERN_ERR_ARGUMENT, "adam: beta1 1");
    EXPECT_ERROR(tern_adamw_new(m, 1, (tern_adam_opts){.beta2 = 1.5}), TERN_ERR_ARGUMENT, "adamw");
    EXPECT_ERROR(tern_adamw_new(m, 1, (tern_adam_opts){.eps = (double)NAN}), TERN_ERR_ARGUMENT, "adamw");
    EXPECT_ERROR(tern_adamw_new(NULL, 1, (tern_adam_opts){0}), TERN_ERR_ARGUMENT, "adamw: m is NULL");
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) tern_require_grad(e.tensor, false);
    EXPECT_ERROR(tern_adamw_new(m, 1, (tern_adam_opts){0}), TERN_ERR_ARGUMENT, "no parameters that ask for gradients");
    tern_require_grad(tern_module_get(m, "2.bias"), true);
    tern_optim *o = tern_adam_new(m, 1, (tern_adam_opts){0});
    CHECK(tern_optim_group_of(o, "2.bias") == 0 && tern_optim_group_of(o, "2.weight") == -1);
    EXPECT_ERROR(tern_optim_set_lr(o, -1), TERN_ERR_ARGUMENT, "optim_set_lr");
    EXPECT_ERROR(tern_optim_set_steps(o, -1), TERN_ERR_ARGUMENT, "optim_set_steps");
    EXPECT_ERROR(tern_optim_step(NULL), TERN_ERR_ARGUMENT, "optim_step");
    tern_optim_free(o);
    tern_optim_free(NULL);
    tern_module_free(m);
}

TERN_TEST(optim, pending_error_changes_nothing) {
    tern_module *m = mlp(TERN_F32);
    tern_optim *o = tern_sgd_new(m, 0.1, (tern_sgd_opts){.momentum = 0.9});
    backward(m);
    tern_error_set(TERN_ERR_ARGUMENT, "made up");
    CHECK(!tern_optim_step(o));
    tern_optim_state e;
    CHECK(!tern_optim_each(o, 0, &e));
    CHECK(!tern_adam_new(m, 0.1, (tern_adam_opts){0}) && !tern_sgd_new(m, 0.1, (tern_sgd_opts){0}));
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "made up");
    CHECK(tern_optim_steps(o) == 0 && tern_grad_get(tern_module_get(m, "0.weight")));
    check_params(m, optim_start, (tolerance){1e-7, 1e-7});
    tern_optim_free(o);
    tern_module_free(m);
}

/* ---- schedules --------------------------------------------------------------------------------------------------- */

typedef struct schedule_case {
    const char *name;
    tern_schedule schedule;
    int steps;
    const double *lr;
} schedule_case;

#include "reference/schedule.def"

TERN_TEST(optim, schedules_as_pytorch) {
    for (size_t i = 0; i < sizeof schedule_cases / sizeof *schedule_cases; i++) {
        const schedule_case *c = &schedule_cases[i];
        for (int k = 0; k < c->steps; k++) {
            check_case("%s, step %d", c->name, k);
            CHECK_NUMBER(tern_schedule_lr(&c->schedule, k), c->lr[k], 1e-13);
        }
    }
}

/* The closed forms, and the ends. */
TERN_TEST(optim, schedules_closed_form) {
    const tern_schedule cosine = {.kind = TERN_SCHEDULE_COSINE, .lr = 2, .min_lr = 0.5, .warmup = 10, .total = 110};
    const double pi = acos(-1);
    for (int k = 0; k < 130; k++) {
        const double want = k < 10     ? 2.0 * (k + 1) / 10
                            : k >= 110 ? 0.5
                                       : 0.5 + 1.5 * (1 + cos(pi * (k - 10) / 100)) / 2;
        CHECK_NUMBER(tern_schedule_lr(&cosine, k), want, 1e-14);
    }
    const tern_schedule step = {.kind = TERN_SCHEDULE_STEP, .lr = 1, .warmup = 3, .step_size = 7, .gamma = 0.3};
    for (int k = 3; k < 40; k++) {
        double want = 1;
        for (int i = 0; i < (k - 3) / 7; i++) want *= 0.3;
        CHECK_NUMBER(tern_schedule_lr(&step, k), want, 1e-14);
    }
    CHECK_NUMBER(tern_schedule_lr(&cosine, -5), 0.2, 1e-15);
    CHECK_NUMBER(tern_schedule_lr(&cosine, INT64_MAX), 0.5, 0);
}

TERN_TEST(optim, schedules_apply) {
    tern_module *m = mlp(TERN_F32);
    tern_optim *o = tern_sgd_new(m, 0.1, (tern_sgd_opts){0});
    tern_schedule s = {.kind = TERN_SCHEDULE_STEP, .lr = 1, .step_size = 2, .gamma = 0.5};
    const double want[] = {1, 1, 0.5, 0.5, 0.25};
    for (int k = 0; k < 5; k++) {
        CHECK(tern_schedule_apply(&s, o));
        CHECK_NUMBER(tern_optim_lr(o), want[k], 0);
        CHECK(tern_optim_step(o));
    }
    s.step_size = 0;
    EXPECT_ERROR(tern_schedule_apply(&s, o), TERN_ERR_ARGUMENT, "step_size is below 1");
    CHECK(isnan(tern_schedule_lr(&s, 0)));
    s = (tern_schedule){.kind = TERN_SCHEDULE_COSINE, .lr = 1, .warmup = 5, .total = 5};
    EXPECT_ERROR(tern_schedule_apply(&s, o), TERN_ERR_ARGUMENT, "total is not above warmup");
    s = (tern_schedule){.lr = -1};
    EXPECT_ERROR(tern_schedule_apply(&s, o), TERN_ERR_ARGUMENT, "lr is no number");
    s = (tern_schedule){.kind = (tern_schedule_kind)99, .lr = 1};
    EXPECT_ERROR(tern_schedule_apply(&s, o), TERN_ERR_ARGUMENT, "no such kind");
    EXPECT_ERROR(tern_schedule_apply(NULL, o), TERN_ERR_ARGUMENT, "s is NULL");
    CHECK_NUMBER(tern_optim_lr(o), 0.25, 0);
    tern_optim_free(o);
    tern_module_free(m);
}
