/* weight_norm, spectral_norm and losses as modules: what attaching and removing leaves, what is refused. */
#include "tern/reparametrize.h"

#include "common.h"
#include "tern/criteria.h"
#include "tern/layers.h"
#include "tern/lora.h"
#include "tern/optim.h"

static const tolerance exact = {0, 0}, close = {1e-5, 1e-6};
static tern_module *linear(int64_t in, int64_t out) { return tern_linear_new(in, out, (tern_linear_opts){0}); }
static tern_tensor *noise(int64_t n, int64_t m) { return tern_randn(TERN_SHAPE(n, m), 0, 1, (tern_options){0}); }
static double largest(tern_tensor *t) {
    const bool was = tern_grad_mode(false);
    const double v = tern_item(tern_max(tern_abs(t), NULL, 0, false));
    tern_grad_mode(was);
    return v;
}

TERN_TEST(nn_reparametrize, attach_and_remove) {
    tern_module *m = tern_sequential(linear(3, 4), tern_tanh_new(), linear(4, 2), NULL), *l = tern_module_child(m, "0");
    tern_tensor *x = noise(5, 3), *y = tern_forward(m, x), *w = tern_module_get(m, "0.weight");
    CHECK(tern_weight_norm(l, "weight", 0) && tern_weight_norm(l, "bias", 0));
    CHECK_SAME(tern_forward(m, x), y, close);
    CHECK(tern_module_get(m, "0.parametrizations.weight.original1") == w);
    CHECK(strcmp(tern_name(w), "0.parametrizations.weight.original1") == 0);
    CHECK_SHAPE(tern_module_get(m, "0.parametrizations.weight.original0"), 4, 1);
    EXPECT_ERROR(tern_module_get(m, "0.weight"), TERN_ERR_ARGUMENT, "0.weight");
    /* It learns through both, and a copy is of its own. */
    tern_optim *o = tern_sgd_new(m, 0.1, (tern_sgd_opts){0});
    tern_module *copy = tern_module_clone(m);
    tern_backward(tern_sum(tern_square(tern_forward(m, x)), NULL, 0, false));
    tern_optim_step(o);
    CHECK(largest(tern_sub(tern_forward(m, x), y)) > 1e-3);
    CHECK_SAME(tern_forward(copy, x), y, close);
    y = tern_forward(m, x);
    CHECK(tern_parametrization_remove(l, "weight") && tern_parametrization_remove(l, "bias"));
    CHECK_SAME(tern_forward(m, x), y, close);
    CHECK(tern_module_get(m, "0.weight") == w && tern_module_children(l) == 0 && tern_requires_grad(w));
    tern_named e;
    CHECK(tern_module_each(m, 0, &e) && strcmp(e.name, "0.weight") == 0);
    CHECK(tern_module_each(m, 1, &e) && strcmp(e.name, "0.bias") == 0);
    tern_optim_free(o);
    tern_module_free(m);
    tern_module_free(copy);
}

/* In other dtypes, and where a pass is repeated. */
TERN_TEST(nn_reparametrize, converts) {
    tern_module *m = linear(3, 4);
    CHECK(tern_weight_norm(m, "weight", -1) && tern_module_cast(m, TERN_F64));
    tern_tensor *x = tern_cast(noise(2, 3), TERN_F64), *y = tern_forward(m, x);
    CHECK(tern_dtype_of(y) == TERN_F64);
    CHECK(tern_parametrization_remove(m, "weight") && tern_dtype_of(tern_module_get(m, "weight")) == TERN_F64);
    const tolerance tol = {1e-12, 1e-12};
    CHECK_SAME(tern_forward(m, x), y, tol);
    tern_module_free(m);
}

/* After a few iterations the largest singular value of what is used is 1. */
TERN_TEST(nn_reparametrize, spectral_norm) {
    tern_module *m = linear(6, 4);
    CHECK(tern_spectral_norm(m, "weight", (tern_spectral_norm_opts){.iterations = 30}));
    tern_tensor *x = noise(2, 6), *u = tern_clone(tern_module_get(m, "parametrizations.weight.0._u"));
    tern_forward(m, x);
    tern_tensor *after = tern_clone(tern_module_get(m, "parametrizations.weight.0._u"));
    CHECK(largest(tern_sub(after, u)) > 0);
    tern_module_train(m, false);
    tern_tensor *y = tern_forward(m, x);
    CHECK_SAME(tern_module_get(m, "parametrizations.weight.0._u"), after, exact);
    CHECK(tern_parametrization_remove(m, "weight"));
    CHECK_SAME(tern_forward(m, x), y, close);
    const bool was = tern_grad_mode(false);
    CHECK_ITEM(tern_matrix_norm(tern_module_get(m, "weight"), TERN_NORM_TWO, false), 1, 1e-4);
    tern_grad_mode(was);
    tern_module_free(m);
}

typedef struct own_forward { /* called by the program itself, so nothing can be computed before */
    tern_module m;
    tern_tensor *w;
} own_forward;

TERN_TEST(nn_reparametrize, refuses) {
    tern_module *m = linear(3, 4);
    const tern_spectral_norm_opts plain = {0};
    EXPECT_ERROR(tern_weight_norm(NULL, "weight", 0), TERN_ERR_ARGUMENT, "m is NULL");
    EXPECT_ERROR(tern_weight_norm(m, "w", 0), TERN_ERR_ARGUMENT, "linear has no parameter \"w\"");
    EXPECT_ERROR(tern_weight_norm(m, "weight", 2), TERN_ERR_ARGUMENT, "dimension 2 of \"weight\"");
    EXPECT_ERROR(tern_spectral_norm(m, "bias", plain), TERN_ERR_ARGUMENT, "dimension 0 of \"bias\" with 1");
    EXPECT_ERROR(tern_spectral_norm(m, "weight", (tern_spectral_norm_opts){.iterations = -1}), TERN_ERR_ARGUMENT, "-1");
    EXPECT_ERROR(tern_parametrization_remove(m, "weight"), TERN_ERR_ARGUMENT, "linear computes no \"weight\"");
    CHECK(tern_spectral_norm(m, "weight", plain));
    EXPECT_ERROR(tern_spectral_norm(m, "weight", plain), TERN_ERR_ARGUMENT, "has no parameter \"weight\"");
    CHECK(tern_lora_attach(m, "", (tern_lora_opts){0}) == 1);
    EXPECT_ERROR(tern_lora_merge(m), TERN_ERR_UNSUPPORTED, "computed");
    tern_module_free(m);
    own_forward *o = TERN_MODULE_NEW(own_forward);
    o->w = tern_module_param(&o->m, "w", tern_ones(TERN_SHAPE(2, 2), (tern_options){0}));
    EXPECT_ERROR(tern_weight_norm(&o->m, "w", 0), TERN_ERR_UNSUPPORTED, "not called through tern_forward");
    tern_module_free(o);
}

/* Every request for memory fails once: the module stays as it was. */
TERN_TEST(nn_reparametrize, without_memory) {
    for (int kind = 0; kind < 2; kind++) {
        tern_module *m = linear(3, 4);
        tern_tensor *x = noise(2, 3), *y = tern_forward(m, x), *w = tern_module_get(m, "weight");
        for (int64_t n = 1; n < 800; n++) {
            check_case("kind %d, request %" PRId64, kind, n);
            tern_memory_fail_at(n);
            const bool ok =
                kind ? tern_spectral_norm(m, "weight", (tern_spectral_norm_opts){0}) : tern_weight_norm(m, "weight", 0);
            const bool done = tern_memory_requests() < n;
            tern_memory_fail_at(0);
            CHECK(done ? ok : !ok && tern_error_code() == TERN_ERR_MEMORY);
            tern_error_clear();
            if (done || ok) break;
            CHECK(tern_module_get(m, "weight") == w && tern_module_children(m) == 0);
            CHECK(n < 700);
        }
        if (kind == 0) CHECK_SAME(tern_forward(m, x), y, close);
        tern_module_free(m);
    }
}

/* ---- losses ------------------------------------------------------------------------------------------------------ */

TERN_TEST(nn_reparametrize, losses) {
    tern_tensor *w = test_values(TERN_F32, TERN_SHAPE(3), 1, 2, 3), *x = noise(4, 3);
    tern_tensor *t = test_values(TERN_I64, TERN_SHAPE(4), 0, 1, 2, 2);
    tern_module *m = tern_cross_entropy_new((tern_cross_entropy_opts){.weight = w});
    tern_tensor *want = tern_cross_entropy(x, t, (tern_cross_entropy_opts){.weight = w});
    CHECK_SAME(tern_loss_forward(m, x, t), want, exact);
    CHECK(tern_module_get(m, "weight") != w && tern_module_count(m, false) == 0);
    CHECK(tern_module_cast(m, TERN_F64) && tern_dtype_of(w) == TERN_F32); /* the copy alone is converted */
    const tolerance tol = {1e-6, 1e-6};
    CHECK_SAME(tern_loss_forward(m, tern_cast(x, TERN_F64), t), want, tol);
    tern_module *l = linear(3, 3);
    EXPECT_ERROR(tern_loss_forward(l, x, t), TERN_ERR_ARGUMENT, "linear is no loss");
    EXPECT_ERROR(tern_loss_forward(m, x, NULL), TERN_ERR_ARGUMENT, "target is NULL");
    EXPECT_ERROR(tern_forward(m, x), TERN_ERR_UNSUPPORTED, "cross_entropy has no forward");
    EXPECT_ERROR(tern_cross_entropy_new((tern_cross_entropy_opts){.label_smoothing = 2}), TERN_ERR_ARGUMENT,
                 "smoothing");
    EXPECT_ERROR(tern_multi_margin_loss_new(3, 1, (tern_multi_margin_opts){0}), TERN_ERR_ARGUMENT, "p is 3");
    EXPECT_ERROR(tern_bce_loss_new(NULL, (tern_reduction)9), TERN_ERR_ARGUMENT, "bce_loss: no such reduction");
    EXPECT_ERROR(tern_loss_new(NULL, "nothing", TERN_REDUCE_MEAN), TERN_ERR_ARGUMENT, "loss is NULL");
    tern_module_free(m);
    tern_module_free(l);
}
