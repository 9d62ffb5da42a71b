/* All optimizers against PyTorch, or against their papers where PyTorch lacks them (tests/reference/optimizers.py), and
 * what they have in common: going on from a checkpoint, masters in f32, clipping, accumulation. */
#include "common.h"
#include "tern/checkpoint.h"
#include "tern/optim.h"

/* ---- the problem, as in optimizers.py -----------------------------------------------------------------------------
 */

typedef struct table_case {
    const char *name;
    tern_optim *(*make)(tern_module *m);
    bool matrices; /* two matrices instead of all kinds of shapes */
    const double *after_1, *after_20;
} table_case;

typedef struct closure_case {
    const char *name;
    double lr;
    int sign;
    tern_lbfgs_opts opts;
    int n_iter, func_evals;
    const double *losses, *after_1, *after_20;
} closure_case;

#include "reference/optim_table.def"

enum { STEPS = 20, MOST = 30, CASES = sizeof table_cases / sizeof *table_cases };

static tern_module *problem(bool matrices, tern_dtype dtype) {
    const tern_shape all[] = {TERN_SHAPE(3, 4), TERN_SHAPE(5), TERN_SHAPE(2, 2, 3), tern_shape_scalar()};
    const tern_shape two[] = {TERN_SHAPE(3, 4), TERN_SHAPE(5, 2)};
    static const char *const names[] = {"a", "b", "c", "d"};
    tern_module *m = tern_module_alloc(sizeof(tern_module), "problem");
    int at = 0;
    for (int i = 0; i < (matrices ? 2 : 4); i++) {
        const tern_shape shape = matrices ? two[i] : all[i];
        double v[MOST];
        const int64_t n = tern_numel(tern_zeros(shape, (tern_options){0}));
        for (int64_t k = 0; k < n; k++) v[k] = cos(++at);
        tern_module_param(m, names[i], test_tensor(v, shape, dtype));
    }
    m = tern_module_done(m);
    CHECK(m && tern_module_cast(m, dtype) && tern_module_to(m, test_device()), "%s", tern_error_message());
    return m;
}

/* The gradients of step k. */
static void set_gradients(tern_module *m, int k) {
    const int scope = tern_scope_push();
    tern_named e;
    for (int i = 0, at = 0; tern_module_each(m, i, &e); i++) {
        const tern_dtype dtype = tern_dtype_of(e.tensor);
        double slope[MOST], drive[MOST];
        for (int64_t n = 0; n < tern_numel(e.tensor); n++, at++) {
            slope[n] = 0.5 + 0.1 * (at % 7);
            drive[n] = sin(1 + 0.7 * at + 0.3 * k);
        }
        const tern_shape shape = tern_shape_get(e.tensor);
        tern_tensor *p = tern_detach(e.tensor);
        CHECK(tern_grad_set(e.tensor,
                            tern_add(tern_mul(test_tensor(slope, shape, dtype), p), test_tensor(drive, shape, dtype))));
    }
    tern_scope_pop(scope);
}

static void train(tern_module *m, tern_optim *o, int from, int to) {
    for (int k = from; k < to; k++) {
        set_gradients(m, k);
        CHECK(tern_optim_step(o), "%s", tern_error_message());
    }
}

static void check_params(tern_module *m, const double *want, tolerance tol) {
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        CHECK_CLOSE(e.tensor, want, tern_numel(e.tensor), tol);
        want += tern_numel(e.tensor);
    }
}

static void check_same_params(tern_module *m, tern_module *as) {
    tern_named a, b;
    for (int i = 0; tern_module_each(m, i, &a) && tern_module_each(as, i, &b); i++)
        CHECK_SAME(a.tensor, b.tensor, ((tolerance){0, 0}));
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

TERN_TEST(optim_table, as_pytorch) {
    for (int i = 0; i < CASES; i++)
        for (int k = 0; k < 2; k++) {
            const table_case *c = &table_cases[i];
            const tern_dtype dtype = k ? TERN_F32 : TERN_F64;
            const tolerance tol = k ? (tolerance){1e-4, 2e-5} : (tolerance){1e-12, 1e-12};
            check_case("%s, %s", c->name, tern_dtype_name(dtype));
            const int scope = tern_scope_push();
            tern_module *m = problem(c->matrices, dtype);
            tern_optim *o = c->make(m);
            REQUIRE(o != NULL, "%s", tern_error_message());
            train(m, o, 0, 1);
            check_params(m, c->after_1, tol);
            train(m, o, 1, STEPS);
            check_params(m, c->after_20, tol);
            tern_optim_free(o);
            tern_module_free(m);
            tern_scope_pop(scope);
        }
}

/* Straight 20 steps, and k, a checkpoint, and the rest by a new model and a new optimizer: bit for bit the same. */
TERN_TEST(optim_table, resumes_from_a_checkpoint) {
    const char *path = test_path("optim.h5");
    for (int i = 0; i < CASES; i++)
        for (int at = 0; at <= 7; at += 7) {
            const table_case *c = &table_cases[i];
            check_case("%s, after %d steps", c->name, at);
            const int scope = tern_scope_push();
            tern_module *straight = problem(c->matrices, TERN_F32), *m = problem(c->matrices, TERN_F32);
            tern_optim *s = c->make(straight), *o = c->make(m);
            train(straight, s, 0, STEPS);
            train(m, o, 0, at);
            CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m, .optim = o}), "%s", tern_error_message());
            tern_optim_free(o);
            tern_module_free(m);
            m = problem(c->matrices, TERN_F32);
            o = c->make(m);
            CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = m, .optim = o}), "%s", tern_error_message());
            CHECK(tern_optim_steps(o) == at);
            train(m, o, at, STEPS);
            check_same_params(m, straight);
            tern_optim_free(o);
            tern_optim_free(s);
            tern_module_free(m);
            tern_module_free(straight);
            tern_scope_pop(scope);
        }
}

/* ---- L-BFGS ------------------------------------------------------------------------------------------------------ */

typedef struct rosenbrock {
    tern_module *m;
    int sign;
} rosenbrock;

/* sign x Rosenbrock's function of all elements in a row. */
static tern_tensor *rosenbrock_loss(void *user) {
    const rosenbrock *r = user;
    tern_tensor *part[4];
    tern_named e;
    int n = 0;
    for (; tern_module_each(r->m, n, &e); n++) part[n] = tern_reshape(e.tensor, TERN_SHAPE(-1));
    tern_tensor *x = tern_cat(part, n, 0), *a = tern_slice(x, 0, 0, -1, 1), *b = tern_slice(x, 0, 1, tern_numel(x), 1);
    tern_tensor *steep = tern_square(tern_sub(b, tern_square(a)));
    tern_tensor *loss = tern_sum(tern_add(steep, tern_square(tern_add_scalar(a, -1))), NULL, 0, false);
    loss = tern_mul_scalar(loss, r->sign);
    return tern_backward(loss) ? loss : NULL;
}

static double state_number(tern_optim *o, const char *name) {
    tern_optim_state e;
    for (int i = 0; tern_optim_each(o, i, &e); i++)
        if (strcmp(e.name, name) == 0) return tern_item(e.tensor);
    return (double)NAN;
}

TERN_TEST(optim_table, lbfgs_as_pytorch) {
    for (size_t i = 0; i < sizeof closure_cases / sizeof *closure_cases; i++) {
        const closure_case *c = &closure_cases[i];
        const int scope = tern_scope_push();
        rosenbrock r = {problem(false, TERN_F64), c->sign};
        tern_optim *o = tern_lbfgs_new(r.m, c->lr, c->opts);
        for (int k = 0; k < STEPS; k++) {
            check_case("%s, step %d", c->name, k);
            tern_tensor *loss = tern_optim_step_with(o, rosenbrock_loss, &r);
            CHECK(loss != NULL, "%s", tern_error_message());
            CHECK_NUMBER(tern_item(loss), c->losses[k], 1e-12 * fmax(1, fabs(c->losses[k])));
            if (k == 0) check_params(r.m, c->after_1, (tolerance){1e-12, 1e-12});
        }
        check_params(r.m, c->after_20, (tolerance){1e-12, 1e-12});
        CHECK(state_number(o, "a/n_iter") == c->n_iter && state_number(o, "a/func_evals") == c->func_evals);
        CHECK(tern_optim_steps(o) == STEPS);
        tern_optim_free(o);
        tern_module_free(r.m);
        tern_scope_pop(scope);
    }
}

TERN_TEST(optim_table, lbfgs_resumes_from_a_checkpoint) {
    const char *path = test_path("lbfgs.h5");
    const tern_lbfgs_opts opts = {.strong_wolfe = true, .max_iter = 3, .history = 4};
    rosenbrock s = {problem(false, TERN_F32), 1}, r = {problem(false, TERN_F32), 1};
    tern_optim *so = tern_lbfgs_new(s.m, 1, opts), *o = tern_lbfgs_new(r.m, 1, opts);
    for (int k = 0; k < 10; k++) CHECK(tern_optim_step_with(so, rosenbrock_loss, &s) != NULL);
    for (int k = 0; k < 4; k++) CHECK(tern_optim_step_with(o, rosenbrock_loss, &r) != NULL);
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = r.m, .optim = o}));
    tern_optim_free(o);
    tern_module_free(r.m);
    r.m = problem(false, TERN_F32);
    o = tern_lbfgs_new(r.m, 1, opts);
    CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = r.m, .optim = o}), "%s", tern_error_message());
    for (int k = 4; k < 10; k++) CHECK(tern_optim_step_with(o, rosenbrock_loss, &r) != NULL);
    check_same_params(r.m, s.m);
    tern_optim_free(o);
    tern_optim_free(so);
    tern_module_free(r.m);
    tern_module_free(s.m);
}

static tern_tensor *no_loss(void *user) {
    (void)user;
    return NULL;
}

TERN_TEST(optim_table, lbfgs_refusals) {
    rosenbrock r = {problem(false, TERN_F32), 1};
    tern_optim *o = tern_lbfgs_new(r.m, 1, (tern_lbfgs_opts){0});
    set_gradients(r.m, 0);
    EXPECT_ERROR((tern_optim_step(o), NULL), TERN_ERR_ARGUMENT, "lbfgs needs a closure");
    EXPECT_ERROR(tern_optim_step_with(o, no_loss, NULL), TERN_ERR_ARGUMENT, "returned no loss");
    CHECK(tern_optim_steps(o) == 0);
    CHECK(tern_optim_group(o, "a", (tern_group_opts){.lr_scale = 2}) == 1);
    EXPECT_ERROR(tern_optim_step_with(o, rosenbrock_loss, &r), TERN_ERR_UNSUPPORTED, "parameter groups");
    tern_optim_free(o);
    EXPECT_ERROR(tern_lbfgs_new(r.m, 1, (tern_lbfgs_opts){.history = -1}), TERN_ERR_ARGUMENT, "lbfgs: max_iter");
    CHECK(tern_module_cast(r.m, TERN_F16));
    o = tern_lbfgs_new(r.m, 1, (tern_lbfgs_opts){0});
    EXPECT_ERROR(tern_optim_step_with(o, rosenbrock_loss, &r), TERN_ERR_DTYPE, "lbfgs: a is f16");
    tern_optim_free(o);
    tern_module_free(r.m);
}

/* ---- Muon -------------------------------------------------------------------------------------------------------- */

TERN_TEST(optim_table, muon_in_bf16_and_by_pattern) {
    tern_module *m = problem(false, TERN_F32), *low = problem(false, TERN_F32);
    tern_optim *o = tern_muon_new(m, 0.02, (tern_muon_opts){.adamw_lr = 0.01}),
               *l = tern_muon_new(low, 0.02, (tern_muon_opts){.adamw_lr = 0.01, .bf16 = true});
    train(m, o, 0, STEPS);
    train(low, l, 0, STEPS);
    CHECK_SAME(tern_detach(tern_module_get(low, "a")), tern_detach(tern_module_get(m, "a")), ((tolerance){0.02, 0.02}));
    tern_optim_state e;
    CHECK(tern_optim_each(o, 0, &e) && strcmp(e.name, "a/momentum_buffer") == 0);
    tern_optim_free(o);
    o = tern_muon_new(m, 0.02, (tern_muon_opts){.adamw_lr = 0.01, .adamw = "a*"});
    CHECK(tern_optim_each(o, 0, &e) && strcmp(e.name, "a/exp_avg") == 0);
    tern_optim_free(o);
    tern_optim_free(l);
    tern_module_free(m);
    tern_module_free(low);
}

/* Rules of tensor ops: masters, a factor from clipping, cut gradients, as for the others. */
TERN_TEST(optim_table, tensor_rules_clip_and_keep_masters) {
    for (int kind = 0; kind < 3; kind++) {
        check_case("%d", kind);
        const int scope = tern_scope_push();
        tern_module *low = problem(false, TERN_F16), *wide = problem(false, TERN_F16);
        CHECK(tern_module_cast(wide, TERN_F32));
        tern_module *both[] = {low, wide};
        tern_optim *o[2];
        for (int k = 0; k < 2; k++)
            o[k] = kind == 0 ? tern_lamb_new(both[k], 1e-3, (tern_lamb_opts){.master_weights = true})
                   : kind == 1
                       ? tern_adafactor_new(both[k], 1e-3, (tern_adafactor_opts){.eps1 = 1e-6, .master_weights = true})
                       : tern_muon_new(both[k], 1e-3, (tern_muon_opts){.adamw_lr = 1e-3, .master_weights = true});
        tern_named a, b;
        for (int k = 0; k < 5; k++) {
            set_gradients(low, k);
            for (int i = 0; tern_module_each(low, i, &a) && tern_module_each(wide, i, &b); i++)
                tern_grad_set(b.tensor, tern_cast(tern_grad_get(a.tensor), TERN_F32));
            for (int i = 0; i < 2; i++) {
                CHECK(tern_optim_clip_norm(o[i], 2) && tern_optim_clip_value(o[i], 0.3));
                CHECK(tern_optim_step(o[i]), "%s", tern_error_message());
            }
        }
        tern_optim_state e;
        int n = 0;
        for (int i = 0; tern_optim_each(o[0], i, &e); i++) {
            if (strcmp(e.name + 1, "/master_weight") != 0) continue;
            const char name[2] = {e.name[0], 0};
            CHECK_SAME(e.tensor, tern_detach(tern_module_get(wide, name)), ((tolerance){1e-6, 1e-6}));
            CHECK_SAME(tern_cast(e.tensor, TERN_F16), tern_detach(tern_module_get(low, name)), ((tolerance){0, 0}));
            n++;
        }
        CHECK(n == 4);
        for (int k = 0; k < 2; k++) {
            tern_optim_free(o[k]);
            tern_module_free(both[k]);
        }
        tern_scope_pop(scope);
    }
}

/* ---- masters ----------------------------------------------------------------------------------------------------- */

/* Masters go the way that f32 parameters go with the same gradients; the parameters are their rounding. */
TERN_TEST(optim_table, master_weights) {
    static const tern_dtype halves[] = {TERN_F16, TERN_BF16};
    for (int d = 0; d < 2; d++) {
        check_case("%s", tern_dtype_name(halves[d]));
        const int scope = tern_scope_push();
        tern_module *low = problem(false, halves[d]), *wide = problem(false, halves[d]);
        CHECK(tern_module_cast(wide, TERN_F32));
        tern_optim *o = tern_adamw_new(low, 1e-3, (tern_adamw_opts){.amsgrad = true, .master_weights = true});
        tern_optim *w = tern_adamw_new(wide, 1e-3, (tern_adamw_opts){.amsgrad = true, .master_weights = true});
        tern_named a, b;
        for (int k = 0; k < STEPS; k++) {
            set_gradients(low, k);
            for (int i = 0; tern_module_each(low, i, &a) && tern_module_each(wide, i, &b); i++)
                tern_grad_set(b.tensor, tern_cast(tern_grad_get(a.tensor), TERN_F32));
            CHECK(tern_optim_step(o) && tern_optim_step(w));
        }
        tern_optim_state e;
        int n = 0;
        for (int i = 0; tern_optim_each(o, i, &e); i++) {
            const size_t letters = strlen(e.name);
            if (strcmp(e.name + 1, "/master_weight") == 0) {
                const char name[2] = {e.name[0], 0};
                CHECK_SAME(e.tensor, tern_detach(tern_module_get(wide, name)), ((tolerance){0, 0}));
                CHECK_SAME(tern_cast(e.tensor, halves[d]), tern_detach(tern_module_get(low, name)),
                           ((tolerance){0, 0}));
                n++;
            }
            if (strcmp(e.name + letters - 4, "step") != 0) CHECK(tern_dtype_of(e.tensor) == TERN_F32);
        }
        CHECK(n == 4);
        for (int i = 0; tern_optim_each(w, i, &e); i++) CHECK(!strstr(e.name, "master")); /* f32 needs none */
        tern_optim_free(o);
        tern_optim_free(w);
        tern_module_free(low);
        tern_module_free(wide);
        tern_scope_pop(scope);
    }
}

TERN_TEST(optim_table, master_weights_resume) {
    const char *path = test_path("optim.h5");
    const tern_sgd_opts opts = {.momentum = 0.9, .master_weights = true};
    tern_module *straight = problem(false, TERN_BF16), *m = problem(false, TERN_BF16);
    tern_optim *s = tern_sgd_new(straight, 1e-3, opts), *o = tern_sgd_new(m, 1e-3, opts);
    train(straight, s, 0, STEPS);
    train(m, o, 0, 9);
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m, .optim = o}));
    tern_optim_free(o);
    tern_module_free(m);
    m = problem(false, TERN_BF16);
    o = tern_sgd_new(m, 1e-3, opts);
    CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = m, .optim = o}), "%s", tern_error_message());
    train(m, o, 9, STEPS);
    check_same_params(m, straight);
    /* What the program writes into a parameter counts. */
    tern_tensor *a = tern_detach(tern_module_get(m, "a"));
    CHECK(tern_copy_(a, tern_full_like(a, 3)));
    tern_optim_set_lr(o, 0);
    train(m, o, 0, 1);
    CHECK_SAME(a, tern_full_like(a, 3), ((tolerance){0, 0}));
    tern_optim_free(o);
    tern_optim_free(s);
    tern_module_free(m);
    tern_module_free(straight);
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

TERN_TEST(optim_table, clip_value) {
    tern_module *m = problem(false, TERN_F64);
    tern_optim *o = tern_sgd_new(m, 1, (tern_sgd_opts){0});
    tern_tensor *b = tern_detach(tern_module_get(m, "b")), *was = tern_clone(b);
    set_gradients(m, 0);
    tern_tensor *g = tern_clone(tern_grad_get(tern_module_get(m, "b")));
    CHECK(tern_optim_clip_value(o, 0.4) && tern_optim_step(o));
    CHECK_SAME(b, tern_sub(was, tern_clamp(g, -0.4, 0.4)), ((tolerance){0, 0}));
    was = tern_clone(b);
    set_gradients(m, 1);
    g = tern_clone(tern_grad_get(tern_module_get(m, "b")));
    CHECK(tern_optim_step(o)); /* one step's */
    CHECK_SAME(b, tern_sub(was, g), ((tolerance){1e-15, 1e-15}));
    EXPECT_ERROR(tern_optim_clip_value(o, 0), TERN_ERR_ARGUMENT, "value is 0");
    tern_optim_free(o);
    tern_module_free(m);
}

/* Four backward passes of loss / 4 and one step are one pass over the whole. */
TERN_TEST(optim_table, accumulation) {
    tern_module *whole = problem(true, TERN_F64), *parts = problem(true, TERN_F64);
    tern_optim *w = tern_adamw_new(whole, 0.1, (tern_adamw_opts){0}),
               *p = tern_adamw_new(parts, 0.1, (tern_adamw_opts){0});
    tern_tensor *x = test_random(TERN_SHAPE(8, 4), -1, 1, TERN_F64);
    for (int k = 0; k < 3; k++) {
        tern_tensor *y = tern_matmul(x, tern_transpose(tern_module_get(whole, "a"), 0, 1));
        CHECK(tern_backward(tern_mean(tern_square(y), NULL, 0, false)) && tern_optim_step(w));
        for (int i = 0; i < 4; i++) {
            tern_tensor *some = tern_slice(x, 0, 2 * i, 2 * i + 2, 1);
            y = tern_matmul(some, tern_transpose(tern_module_get(parts, "a"), 0, 1));
            CHECK(tern_backward(tern_mul_scalar(tern_mean(tern_square(y), NULL, 0, false), 0.25)));
        }
        CHECK(tern_optim_step(p));
    }
    tern_named a, b;
    for (int i = 0; tern_module_each(whole, i, &a) && tern_module_each(parts, i, &b); i++)
        CHECK_SAME(a.tensor, b.tensor, ((tolerance){1e-12, 1e-12}));
    tern_optim_free(w);
    tern_optim_free(p);
    tern_module_free(whole);
    tern_module_free(parts);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

TERN_TEST(optim_table, momentum) {
    tern_module *m = problem(false, TERN_F32);
    tern_optim *o = tern_nadam_new(m, 0.1, (tern_nadam_opts){0});
    CHECK(tern_optim_has_momentum(o));
    CHECK_NUMBER(tern_optim_momentum(o), 0.9, 0);
    CHECK(tern_optim_set_momentum(o, 0.5));
    CHECK_NUMBER(tern_optim_momentum(o), 0.5, 0);
    EXPECT_ERROR(tern_optim_set_momentum(o, 1), TERN_ERR_ARGUMENT, "optim_set_momentum: 1");
    tern_optim_free(o);
    o = tern_rprop_new(m, 0.1, (tern_rprop_opts){0});
    CHECK(!tern_optim_has_momentum(o));
    EXPECT_ERROR(tern_optim_set_momentum(o, 0.5), TERN_ERR_ARGUMENT, "this rprop has neither");
    tern_optim_free(o);
    tern_module_free(m);
}

static tern_tensor *loss_of(void *user) {
    tern_tensor *a = tern_module_get(user, "a"), *loss = tern_mean(tern_square(a), NULL, 0, false);
    return tern_backward(loss) ? loss : NULL;
}

TERN_TEST(optim_table, step_with_a_closure) {
    tern_module *m = problem(false, TERN_F64);
    tern_optim *o = tern_sgd_new(m, 0.1, (tern_sgd_opts){0});
    set_gradients(m, 0); /* dropped */
    const double before = tern_item(tern_select(tern_module_get(m, "b"), 0, 0));
    tern_tensor *first = tern_optim_step_with(o, loss_of, m), *second = tern_optim_step_with(o, loss_of, m);
    CHECK(tern_item(second) < tern_item(first) && tern_optim_steps(o) == 2);
    CHECK_ITEM(tern_select(tern_module_get(m, "b"), 0, 0), before, 0);
    EXPECT_ERROR(tern_optim_step_with(o, NULL, m), TERN_ERR_ARGUMENT, "closure is NULL");
    tern_optim_free(o);
    tern_module_free(m);
}

TERN_TEST(optim_table, wrong_settings) {
    tern_module *m = problem(false, TERN_F32);
    EXPECT_ERROR(tern_adamax_new(m, 1, (tern_adamax_opts){.beta1 = 1}), TERN_ERR_ARGUMENT, "adamax: beta1 1");
    EXPECT_ERROR(tern_nadam_new(m, -1, (tern_nadam_opts){0}), TERN_ERR_ARGUMENT, "nadam: the rate is -1");
    EXPECT_ERROR(tern_radam_new(m, 1, (tern_radam_opts){.beta2 = 2}), TERN_ERR_ARGUMENT, "radam: beta1");
    EXPECT_ERROR(tern_rmsprop_new(m, 1, (tern_rmsprop_opts){.alpha = 1.5}), TERN_ERR_ARGUMENT, "rmsprop: alpha 1.5");
    EXPECT_ERROR(tern_adagrad_new(m, 1, (tern_adagrad_opts){.lr_decay = -1}), TERN_ERR_ARGUMENT, "adagrad: lr_decay");
    EXPECT_ERROR(tern_adadelta_new(m, 1, (tern_adadelta_opts){.rho = 2}), TERN_ERR_ARGUMENT, "adadelta: rho 2");
    EXPECT_ERROR(tern_rprop_new(m, 1, (tern_rprop_opts){.longer = 0.5}), TERN_ERR_ARGUMENT, "rprop: shorter");
    EXPECT_ERROR(tern_asgd_new(m, 1, (tern_asgd_opts){.alpha = (double)NAN}), TERN_ERR_ARGUMENT, "asgd: lambd");
    EXPECT_ERROR(tern_lion_new(m, 1, (tern_lion_opts){.beta1 = 1}), TERN_ERR_ARGUMENT, "lion: beta1 1");
    EXPECT_ERROR(tern_lion_new(m, 1, (tern_lion_opts){.weight_decay = -1}), TERN_ERR_ARGUMENT, "lion: weight_decay");
    EXPECT_ERROR(tern_lamb_new(m, 1, (tern_lamb_opts){.beta2 = 1}), TERN_ERR_ARGUMENT, "lamb: beta1");
    EXPECT_ERROR(tern_adafactor_new(m, 1, (tern_adafactor_opts){.beta2_decay = 1}), TERN_ERR_ARGUMENT, "beta2_decay 1");
    EXPECT_ERROR(tern_adafactor_new(m, 1, (tern_adafactor_opts){.fixed_step = true}), TERN_ERR_ARGUMENT,
                 "only with paper");
    EXPECT_ERROR(tern_muon_new(m, 1, (tern_muon_opts){0}), TERN_ERR_ARGUMENT, "muon: b has 1 dimensions");
    EXPECT_ERROR(tern_muon_new(m, 1, (tern_muon_opts){.ns_steps = 100}), TERN_ERR_ARGUMENT, "ns_steps 100");
    EXPECT_ERROR(tern_muon_new(m, 1, (tern_muon_opts){.adamw_lr = -1}), TERN_ERR_ARGUMENT, "adamw_lr -1");
    tern_module_free(m);
}
