/* Loss scaling against PyTorch's GradScaler (tests/reference/scaler.py), clipping, checkpoints, refusals. */
#include "common.h"
#include "tern/autocast.h"
#include "tern/checkpoint.h"
#include "tern/layers.h"
#include "tern/scaler.h"

enum { STEPS = 24, SIZE = 7 };

/* ---- the problem, as in scaler.py ----------------------------------------------------------------------------------
 */

static tern_module *problem(void) {
    tern_module *m = tern_module_alloc(sizeof(tern_module), "problem");
    double v[SIZE];
    for (int i = 0; i < SIZE; i++) v[i] = cos(i + 1);
    tern_module_param(m, "p", test_tensor(v, TERN_SHAPE(SIZE), TERN_F32));
    m = tern_module_done(m);
    CHECK(m && tern_module_to(m, test_device()), "%s", tern_error_message());
    return m;
}

static tern_tensor *loss_of(tern_module *m, int k) {
    double slope[SIZE], drive[SIZE];
    for (int i = 0; i < SIZE; i++) {
        slope[i] = 0.25 + 0.05 * i;
        drive[i] = sin(1 + 0.7 * i + 0.3 * k);
    }
    tern_tensor *p = tern_module_get(m, "p"), *a = test_tensor(slope, TERN_SHAPE(SIZE), TERN_F32);
    tern_tensor *b = test_tensor(drive, TERN_SHAPE(SIZE), TERN_F32);
    const double bad = k == 17 ? (double)NAN : k == 3 || k == 9 || k == 10 ? (double)INFINITY : 1;
    return tern_mul_scalar(tern_sum(tern_mul(p, tern_add(tern_mul(a, p), b)), NULL, 0, false), bad);
}

static void step(tern_module *m, tern_optim *o, tern_scaler *s, int k, double clip) {
    const int scope = tern_scope_push();
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(m, k))), "%s", tern_error_message());
    if (clip > 0) CHECK(tern_scaler_unscale(s, o) && tern_optim_clip_norm(o, clip), "%s", tern_error_message());
    CHECK(tern_scaler_step(s, o) && tern_scaler_update(s), "%s", tern_error_message());
    CHECK(!tern_grad_get(tern_module_get(m, "p")), "a step left gradients behind");
    tern_scope_pop(scope);
}

/* ---- the table -----------------------------------------------------------------------------------------------------
 */

#define SCALER_CASE(name, make, ...) \
    static tern_optim *make_##name(tern_module *m) { return make; }
#include "reference/scaler.def"
#undef SCALER_CASE

#define VALUES(...) __VA_ARGS__
typedef struct scaler_case {
    const char *name;
    tern_optim *(*make)(tern_module *m);
    double clip, growth, backoff, scales[STEPS], after[SIZE];
} scaler_case;
static const scaler_case cases[] = {
#define SCALER_CASE(name, make, clip, growth, backoff, scales, after) \
    {#name, make_##name, clip, growth, backoff, VALUES scales, VALUES after},
#include "reference/scaler.def"
#undef SCALER_CASE
};
enum { CASES = sizeof cases / sizeof *cases };

static tern_scaler *scaler_for(const scaler_case *c) {
    return tern_scaler_new((tern_scaler_opts){.growth = c->growth, .backoff = c->backoff, .interval = 4});
}

TERN_TEST(scaler, scales_and_weights_are_pytorchs) {
    for (int i = 0; i < CASES; i++) {
        const scaler_case *c = &cases[i];
        tern_module *m = problem();
        tern_optim *o = c->make(m);
        tern_scaler *s = scaler_for(c);
        CHECK(tern_scaler_value(s) == 65536);
        for (int k = 0; k < STEPS; k++) {
            check_case("%s, step %d", c->name, k);
            step(m, o, s, k, c->clip);
            CHECK_NUMBER(tern_scaler_value(s), c->scales[k], 0);
        }
        CHECK_CLOSE(tern_detach(tern_module_get(m, "p")), c->after, SIZE, ((tolerance){1e-5, 1e-5}));
        CHECK(tern_scaler_tell(s).skipped == 4 && tern_optim_steps(o) == STEPS - 4);
        tern_scaler_free(s);
        tern_optim_free(o);
        tern_module_free(m);
    }
}

/* Straight n steps are k, a checkpoint, and n - k, bit for bit, wherever it is cut: before, at and after a skip. */
TERN_TEST(scaler, resumes_from_a_checkpoint) {
    const char *path = test_path("scaler.h5");
    for (int i = 0; i < CASES; i++) {
        const scaler_case *c = &cases[i];
        tern_module *straight = problem();
        tern_optim *so = c->make(straight);
        tern_scaler *ss = scaler_for(c);
        for (int k = 0; k < STEPS; k++) step(straight, so, ss, k, c->clip);
        for (int cut = 2; cut < STEPS; cut += 3) {
            check_case("%s, cut at %d", c->name, cut);
            tern_module *m = problem();
            tern_optim *o = c->make(m);
            tern_scaler *s = scaler_for(c);
            for (int k = 0; k < cut; k++) step(m, o, s, k, c->clip);
            CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m, .optim = o, .scaler = s}));
            for (int pass = 0; pass < 2; pass++) { /* the second from a fresh program */
                if (pass) {
                    tern_scaler_free(s), tern_optim_free(o), tern_module_free(m);
                    m = problem(), o = c->make(m), s = scaler_for(c);
                    CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = m, .optim = o, .scaler = s}), "%s",
                          tern_error_message());
                }
                for (int k = cut; k < STEPS; k++) step(m, o, s, k, c->clip);
                CHECK_SAME(tern_detach(tern_module_get(m, "p")), tern_detach(tern_module_get(straight, "p")),
                           ((tolerance){0, 0}));
                const tern_scaler_state a = tern_scaler_tell(s), b = tern_scaler_tell(ss);
                CHECK(memcmp(&a, &b, sizeof a) == 0);
            }
            tern_scaler_free(s), tern_optim_free(o), tern_module_free(m);
        }
        tern_scaler_free(ss), tern_optim_free(so), tern_module_free(straight);
    }
    tern_module *m = problem();
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m}));
    tern_scaler *s = tern_scaler_new((tern_scaler_opts){0});
    EXPECT_ERROR(tern_checkpoint_load(path, &(tern_checkpoint){.model = m, .scaler = s}), TERN_ERR_FORMAT,
                 "loss scaler");
    tern_scaler_free(s);
    tern_module_free(m);
}

/* ---- what else it does ----------------------------------------------------------------------------------------------
 */

/* A gradient that f16 cannot hold shows that the scale is at work, and that it is taken out again in f32. */
TERN_TEST(scaler, f16_gradients_below_its_range) {
    tern_module *net = tern_linear_new(4, 4, (tern_linear_opts){0});
    CHECK(tern_module_to(net, test_device()));
    tern_tensor *x = test_random(TERN_SHAPE(2, 4), 0.5, 1, TERN_F32);
    tern_scaler *s = tern_scaler_new((tern_scaler_opts){0});
    for (int scaled = 0; scaled < 2; scaled++) {
        const int cast = tern_autocast_push((tern_device_type)test_device().type, TERN_F16);
        tern_tensor *loss = tern_mul_scalar(tern_sum(tern_forward(net, x), NULL, 0, false), 1e-9);
        tern_autocast_pop(cast);
        CHECK(tern_backward(scaled ? tern_scaler_scale(s, loss) : loss), "%s", tern_error_message());
        tern_tensor *g = tern_grad_get(tern_module_get(net, "weight"));
        const double size = tern_item(tern_max(tern_abs(g), NULL, 0, false));
        CHECK(scaled ? size > 0 : size <= 0, "largest gradient %g", size);
        tern_grad_set(tern_module_get(net, "weight"), NULL), tern_grad_set(tern_module_get(net, "bias"), NULL);
    }
    tern_scaler_free(s);
    tern_module_free(net);
}

TERN_TEST(scaler, clipping_goes_by_the_true_norm) {
    tern_module *m = problem();
    tern_optim *o = tern_sgd_new(m, 1, (tern_sgd_opts){0});
    tern_scaler *s = tern_scaler_new((tern_scaler_opts){0});
    CHECK(tern_backward(loss_of(m, 0)));
    const double norm = tern_item(tern_norm(tern_grad_get(tern_module_get(m, "p")), 2, NULL, 0, false));
    tern_optim_zero_grad(o);
    tern_tensor *before = tern_clone(tern_detach(tern_module_get(m, "p")));
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(m, 0))) && tern_scaler_unscale(s, o));
    CHECK_ITEM(tern_optim_clip_norm(o, norm / 2), norm, 1e-5);
    CHECK(tern_scaler_step(s, o) && tern_scaler_update(s));
    tern_tensor *moved = tern_sub(tern_detach(tern_module_get(m, "p")), before);
    CHECK_ITEM(tern_norm(moved, 2, NULL, 0, false), norm / 2, 1e-5);
    tern_scaler_free(s);
    tern_optim_free(o);
    tern_module_free(m);
}

/* One optimizer's bad gradients skip its own step alone, and lower the scale of both. */
TERN_TEST(scaler, two_optimizers) {
    tern_module *a = problem(), *b = problem();
    tern_optim *oa = tern_sgd_new(a, 0.1, (tern_sgd_opts){0}), *ob = tern_sgd_new(b, 0.1, (tern_sgd_opts){0});
    tern_scaler *s = tern_scaler_new((tern_scaler_opts){.scale = 16});
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(a, 3))) && tern_backward(tern_scaler_scale(s, loss_of(b, 0))));
    CHECK(tern_scaler_step(s, oa) && tern_scaler_step(s, ob) && tern_scaler_update(s));
    CHECK(tern_optim_steps(oa) == 0 && tern_optim_steps(ob) == 1 && tern_scaler_value(s) == 8);
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(a, 3))) && tern_scaler_unscale(s, oa)); /* never stepped */
    CHECK(tern_scaler_update(s) && tern_scaler_value(s) == 4);
    tern_optim_zero_grad(oa);
    tern_optim_keep_grad(oa, true); /* a skipped step leaves gradients and no scale behind */
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(a, 3))) && tern_scaler_step(s, oa) && tern_scaler_update(s));
    CHECK(tern_grad_get(tern_module_get(a, "p")) != NULL && tern_scaler_value(s) == 2);
    tern_scaler_free(s);
    tern_optim_free(oa), tern_optim_free(ob);
    tern_module_free(a), tern_module_free(b);
}

TERN_TEST(scaler, gradients_after_unscaling_are_refused) {
    tern_module *m = problem();
    tern_optim *o = tern_sgd_new(m, 1, (tern_sgd_opts){0});
    tern_scaler *s = tern_scaler_new((tern_scaler_opts){0});
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(m, 0))) && tern_scaler_unscale(s, o));
    tern_optim_zero_grad(o);
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(m, 0))));
    EXPECT_ERROR(tern_scaler_step(s, o), TERN_ERR_ARGUMENT, "since they were unscaled");
    CHECK(tern_optim_steps(o) == 0 && tern_scaler_update(s) && tern_scaler_step(s, o) && tern_optim_steps(o) == 1);
    tern_scaler_free(s);
    tern_optim_free(o);
    tern_module_free(m);
}

/* A scale of 0 would never grow again, nor could a checkpoint with it be read. */
TERN_TEST(scaler, recovers_from_any_number_of_skips) {
    tern_module *m = problem();
    tern_optim *o = tern_sgd_new(m, 1e-9, (tern_sgd_opts){0});
    tern_scaler *s = tern_scaler_new((tern_scaler_opts){.scale = 1e-36, .interval = 1});
    for (int i = 0; i < 60; i++) step(m, o, s, 3, 0);
    CHECK(tern_scaler_tell(s).skipped == 60 && tern_scaler_value(s) >= 0x1p-126, "%g", tern_scaler_value(s));
    const double least = tern_scaler_value(s);
    CHECK(tern_scaler_seek(s, tern_scaler_tell(s)), "%s", tern_error_message());
    step(m, o, s, 0, 0);
    CHECK(tern_optim_steps(o) == 1 && tern_scaler_value(s) == 2 * least);
    tern_scaler_free(s);
    tern_optim_free(o);
    tern_module_free(m);
}

TERN_TEST(scaler, grows_no_further_than_f32_and_can_be_off) {
    tern_module *m = problem();
    tern_optim *o = tern_sgd_new(m, 1e-9, (tern_sgd_opts){0});
    tern_scaler *s = tern_scaler_new((tern_scaler_opts){.scale = 1, .interval = 1, .growth = 1e30});
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(m, 0))) && tern_scaler_step(s, o) && tern_scaler_update(s));
    const double grown = tern_scaler_value(s);
    CHECK_NUMBER(grown / 1e30, 1, 1e-6);
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(m, 1))) && tern_scaler_step(s, o) && tern_scaler_update(s));
    CHECK(tern_scaler_value(s) == grown);
    tern_scaler_free(s);
    s = tern_scaler_new((tern_scaler_opts){.off = true});
    tern_tensor *loss = loss_of(m, 0);
    CHECK(tern_scaler_value(s) == 1 && tern_scaler_scale(s, loss) == loss && tern_backward(loss));
    CHECK(tern_scaler_unscale(s, o) && tern_scaler_step(s, o) && tern_scaler_update(s) && tern_optim_steps(o) == 3);
    tern_scaler_free(s);
    tern_optim_free(o);
    tern_module_free(m);
}

TERN_TEST(scaler, refusals) {
    EXPECT_ERROR(tern_scaler_new((tern_scaler_opts){.scale = -1}), TERN_ERR_ARGUMENT, "scale");
    EXPECT_ERROR(tern_scaler_new((tern_scaler_opts){.growth = 1}), TERN_ERR_ARGUMENT, "growth");
    EXPECT_ERROR(tern_scaler_new((tern_scaler_opts){.backoff = 1}), TERN_ERR_ARGUMENT, "backoff");
    EXPECT_ERROR(tern_scaler_new((tern_scaler_opts){.interval = -1}), TERN_ERR_ARGUMENT, "interval");
    tern_module *m = problem();
    tern_optim *o = tern_sgd_new(m, 0.1, (tern_sgd_opts){0}), *l = tern_lbfgs_new(m, 1, (tern_lbfgs_opts){0});
    tern_scaler *s = tern_scaler_new((tern_scaler_opts){0});
    EXPECT_ERROR(tern_scaler_update(s), TERN_ERR_ARGUMENT, "no optimizer");
    EXPECT_ERROR(tern_scaler_step(s, l), TERN_ERR_UNSUPPORTED, "lbfgs");
    CHECK(tern_backward(tern_scaler_scale(s, loss_of(m, 0))) && tern_scaler_unscale(s, o));
    EXPECT_ERROR(tern_scaler_unscale(s, o), TERN_ERR_ARGUMENT, "second time");
    CHECK(tern_scaler_step(s, o));
    EXPECT_ERROR(tern_scaler_step(s, o), TERN_ERR_ARGUMENT, "second time");
    CHECK(tern_scaler_update(s));
    EXPECT_ERROR(tern_scaler_seek(s, (tern_scaler_state){.scale = 0}), TERN_ERR_ARGUMENT, "scale 0");
    EXPECT_ERROR(tern_scaler_seek(s, (tern_scaler_state){1, -1, 0}), TERN_ERR_ARGUMENT, "growth_tracker -1");
    CHECK(tern_scaler_seek(s, (tern_scaler_state){4, 1, 2}) && tern_scaler_value(s) == 4);
    EXPECT_ERROR(tern_scaler_scale(NULL, loss_of(m, 0)), TERN_ERR_ARGUMENT, "s");
    tern_scaler_free(s);
    tern_scaler_free(NULL);
    tern_optim_free(o), tern_optim_free(l);
    tern_module_free(m);
}

/* A step that failed is tried again: the same weights as if it had not. */
TERN_TEST(scaler, step_after_a_failed_one) {
    if (test_device().type != TERN_CPU) return; /* a device's allocator tries again */
    tern_tensor *want = NULL;
    for (int64_t n = 0;; n++) {
        check_case("allocation %" PRId64 " fails", n);
        tern_module *m = problem();
        tern_optim *o = tern_adam_new(m, 0.05, (tern_adam_opts){0});
        tern_scaler *s = tern_scaler_new((tern_scaler_opts){.scale = 8});
        CHECK(tern_backward(tern_scaler_scale(s, loss_of(m, 0))), "%s", tern_error_message());
        tern_memory_fail_at(n);
        const bool good = tern_scaler_step(s, o), all = n && tern_memory_requests() < n;
        tern_memory_fail_at(0);
        tern_error_clear();
        CHECK(good == (n == 0 || all));
        if (!good) CHECK(tern_scaler_step(s, o), "%s", tern_error_message());
        CHECK(tern_scaler_update(s) && tern_optim_steps(o) == 1);
        tern_tensor *p = tern_detach(tern_module_get(m, "p"));
        if (n) CHECK_SAME(p, want, ((tolerance){0, 0}));
        if (!n) want = tern_clone(p);
        tern_scaler_free(s);
        tern_optim_free(o);
        tern_module_free(m);
        if (all || check_failures() > 10) break;
    }
}

TERN_TEST(scaler, every_allocation_fails) {
    if (test_device().type != TERN_CPU) return; /* a device's allocator tries again */
    tern_module *m = problem();
    tern_optim *o = tern_adam_new(m, 0.05, (tern_adam_opts){0});
    for (int64_t n = 0;; n++) { /* the first time all is well: the optimizer's state is made */
        check_case("allocation %" PRId64 " fails", n);
        const int scope = tern_scope_push();
        tern_tensor *loss = loss_of(m, 0);
        const int64_t host = tern_memory_host().live;
        tern_memory_fail_at(n);
        tern_scaler *s = tern_scaler_new((tern_scaler_opts){.scale = 8});
        const bool good = tern_backward(tern_scaler_scale(s, loss)) && tern_scaler_unscale(s, o) &&
                          tern_optim_clip_norm(o, 1) && tern_scaler_step(s, o) && tern_scaler_update(s);
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        CHECK(good == tern_ok());
        tern_error_clear();
        tern_scaler_free(s);
        tern_optim_zero_grad(o);
        tern_scope_pop(scope);
        CHECK(n == 0 || tern_memory_host().live <= host);
        if (n && requests < n) {
            CHECK(good);
            break;
        }
        CHECK(good == (n == 0));
        if (check_failures() > 10) break;
    }
    tern_optim_free(o);
    tern_module_free(m);
}
