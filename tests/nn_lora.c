/* Low-rank adapters: attached by name, trained alone, merged, taken off, under PEFT's names. */
#include "tern/lora.h"

#include "common.h"
#include "tern/layers.h"
#include "tern/optim.h"
#include "tern/transformer.h"

static const tolerance exact = {0, 0};
static tern_tensor *noise(int64_t n, int64_t m) { return tern_randn(TERN_SHAPE(n, m), 0, 1, (tern_options){0}); }
static tern_module *net(void) {
    return tern_sequential(tern_linear_new(6, 5, (tern_linear_opts){0}), tern_tanh_new(),
                           tern_linear_new(5, 4, (tern_linear_opts){.no_bias = true}), NULL);
}
/* As after some training. */
static void stir(tern_module *m) {
    for (int i = 0; tern_lora_each(m, i, NULL, 0); i++) tern_init_normal(tern_lora_each(m, i, NULL, 0), 0, 0.5);
}

TERN_TEST(nn_lora, attach) {
    tern_module *m = net();
    tern_tensor *x = noise(3, 6), *y = tern_forward(m, x);
    CHECK(tern_lora_attach(m, "*", (tern_lora_opts){.rank = 2, .alpha = 4}) == 2);
    CHECK_SAME(tern_forward(m, x), y, exact); /* B is zero */
    const bool was = tern_grad_mode(false);
    CHECK(tern_item(tern_max(tern_abs(tern_module_get(m, "0.lora_A.weight")), NULL, 0, false)) > 0.1);
    tern_grad_mode(was);
    static const char *const names[] = {"base_model.model.0.lora_A.weight", "base_model.model.0.lora_B.weight",
                                        "base_model.model.2.lora_A.weight", "base_model.model.2.lora_B.weight"};
    char name[64];
    int n = 0;
    for (tern_tensor *t; (t = tern_lora_each(m, n, name, sizeof name)) != NULL; n++)
        CHECK(n < 4 && strcmp(name, names[n]) == 0 && tern_lora_get(m, name) == t, "%s", name);
    CHECK(n == 4 && !tern_lora_each(m, -1, NULL, 0));
    CHECK_SHAPE(tern_lora_get(m, names[0]), 2, 6);
    CHECK_SHAPE(tern_lora_get(m, names[3]), 4, 2);
    tern_lora_opts o;
    CHECK(tern_lora_settings(tern_module_child(m, "2"), &o) && o.rank == 2 && o.alpha == 4 && o.dropout == 0);
    CHECK(!tern_lora_settings(tern_module_child(m, "1"), &o) && !tern_lora_settings(m, &o));
    /* A copy has adapters of its own. */
    stir(m);
    tern_module *copy = tern_module_clone(m);
    CHECK_SAME(tern_forward(copy, x), tern_forward(m, x), exact);
    CHECK(tern_lora_detach(m) && !tern_lora_each(m, 0, NULL, 0) && tern_lora_each(copy, 0, NULL, 0));
    CHECK_SAME(tern_forward(m, x), y, exact);
    tern_module_free(m);
    tern_module_free(copy);
}

TERN_TEST(nn_lora, trains_alone) {
    tern_module *m = net(), *before;
    CHECK(tern_lora_attach(m, "0", (tern_lora_opts){0}) == 1);
    tern_lora_opts o;
    CHECK(tern_lora_settings(tern_module_child(m, "0"), &o) && o.rank == 8 && o.alpha == 8);
    CHECK(tern_lora_train_only(m));
    CHECK(tern_module_count(m, true) == 8 * 6 + 5 * 8);
    before = tern_module_clone(m);
    tern_optim *opt = tern_adamw_new(m, 0.05, (tern_adamw_opts){.weight_decay = 0.1});
    tern_tensor *x = noise(16, 6), *target = noise(16, 4);
    double first = 0, last = 0;
    for (int i = 0; i < 30; i++) {
        const int scope = tern_scope_push();
        tern_tensor *loss = tern_mse_loss(tern_forward(m, x), target, TERN_REDUCE_MEAN);
        last = tern_item(loss);
        if (i == 0) first = last;
        tern_backward(loss);
        tern_optim_step(opt);
        tern_optim_zero_grad(opt);
        tern_scope_pop(scope);
    }
    CHECK(last < 0.9 * first, "%g from %g", last, first);
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        check_case("%s", e.name);
        const bool was = tern_grad_mode(false);
        const double moved =
            tern_item(tern_max(tern_abs(tern_sub(e.tensor, tern_module_get(before, e.name))), NULL, 0, false));
        tern_grad_mode(was);
        CHECK(strstr(e.name, "lora_") ? moved > 1e-3 : moved == 0, "%g", moved);
    }
    tern_optim_free(opt);
    tern_module_free(m);
    tern_module_free(before);
}

TERN_TEST(nn_lora, merge) {
    tern_module *m = net();
    CHECK(tern_module_cast(m, TERN_F64));
    CHECK(tern_lora_attach(m, "?", (tern_lora_opts){.rank = 4, .alpha = 3, .rank_stable = true}) == 2);
    CHECK(tern_dtype_of(tern_module_get(m, "0.lora_A.weight")) == TERN_F64);
    stir(m);
    const tolerance tol = {1e-12, 1e-12};
    tern_tensor *x = tern_cast(noise(3, 6), TERN_F64), *y = tern_forward(m, x);
    tern_tensor *w = tern_clone(tern_detach(tern_module_get(m, "0.weight")));
    CHECK(tern_lora_merge(m) && tern_lora_merge(m)); /* the second changes nothing */
    CHECK_SAME(tern_forward(m, x), y, tol);
    const bool was = tern_grad_mode(false);
    tern_tensor *ba = tern_matmul(tern_module_get(m, "0.lora_B.weight"), tern_module_get(m, "0.lora_A.weight"));
    CHECK_SAME(tern_module_get(m, "0.weight"), tern_add(w, tern_mul_scalar(ba, 1.5)), tol); /* 3 / sqrt(4) */
    tern_grad_mode(was);
    tern_module *copy = tern_module_clone(m);
    CHECK(tern_lora_unmerge(m) && tern_lora_unmerge(m));
    CHECK_SAME(tern_module_get(m, "0.weight"), w, tol);
    CHECK_SAME(tern_forward(m, x), y, tol);
    CHECK(tern_lora_detach(copy));
    CHECK_SAME(tern_forward(copy, x), y, tol); /* merged and detached: a plain network */
    CHECK(tern_module_count(copy, false) == 6 * 5 + 5 + 5 * 4);
    tern_module_free(m);
    tern_module_free(copy);
}

TERN_TEST(nn_lora, dropout_in_training) {
    tern_module *m = tern_linear_new(50, 4, (tern_linear_opts){0});
    CHECK(tern_lora_attach(m, "", (tern_lora_opts){.rank = 2, .dropout = 0.5}) == 1);
    stir(m);
    tern_tensor *x = noise(3, 50), *a = tern_forward(m, x), *b = tern_forward(m, x);
    CHECK(tern_item(tern_max(tern_abs(tern_sub(a, b)), NULL, 0, false)) > 1e-3);
    tern_module_train(m, false);
    CHECK_SAME(tern_forward(m, x), tern_forward(m, x), exact);
    tern_module_free(m);
}

TERN_TEST(nn_lora, in_attention) {
    tern_module *m = tern_transformer_encoder_new(
        tern_transformer_encoder_layer_new(8, 4, (tern_transformer_opts){.ff = 6, .kv_heads = 2}), 2, NULL);
    CHECK(tern_lora_attach(m, "*.self_attn.[qv]_proj", (tern_lora_opts){.rank = 1}) == 4);
    char name[80];
    CHECK(tern_lora_each(m, 7, name, sizeof name) != NULL);
    CHECK(strcmp(name, "base_model.model.layers.1.self_attn.v_proj.lora_B.weight") == 0, "%s", name);
    tern_module_free(m);
}

TERN_TEST(nn_lora, refuses) {
    tern_module *m = net();
    const tern_lora_opts plain = {0};
    EXPECT_ERROR(tern_lora_attach(m, "9", plain) >= 0, TERN_ERR_ARGUMENT, "no linear of sequential matches \"9\"");
    EXPECT_ERROR(tern_lora_attach(m, NULL, plain) >= 0, TERN_ERR_ARGUMENT, "pattern is NULL");
    EXPECT_ERROR(tern_lora_attach(m, "*", (tern_lora_opts){.rank = -1}) >= 0, TERN_ERR_ARGUMENT, "rank -1");
    EXPECT_ERROR(tern_lora_attach(m, "*", (tern_lora_opts){.dropout = 2}) >= 0, TERN_ERR_ARGUMENT, "dropout 2");
    EXPECT_ERROR(tern_lora_merge(m), TERN_ERR_ARGUMENT, "lora_merge: sequential has no adapters");
    EXPECT_ERROR(tern_lora_unmerge(m), TERN_ERR_ARGUMENT, "no adapters");
    EXPECT_ERROR(tern_lora_detach(m), TERN_ERR_ARGUMENT, "no adapters");
    EXPECT_ERROR(tern_lora_train_only(m), TERN_ERR_ARGUMENT, "no adapters");
    CHECK(tern_module_count(m, true) == tern_module_count(m, false));
    CHECK(tern_lora_attach(m, "2", plain) == 1);
    /* The second has one already: the first does not keep its new one. */
    EXPECT_ERROR(tern_lora_attach(m, "*", plain) >= 0, TERN_ERR_ARGUMENT, "\"2\" has an adapter already");
    CHECK(!tern_lora_settings(tern_module_child(m, "0"), &(tern_lora_opts){0}));
    CHECK(tern_lora_attach(m, "0", plain) == 1);
    EXPECT_ERROR(tern_lora_get(m, "0.lora_A.weight"), TERN_ERR_ARGUMENT, "is no name of an adapter's tensor");
    EXPECT_ERROR(tern_lora_get(m, "base_model.model.0.weight"), TERN_ERR_ARGUMENT, "is no name");
    EXPECT_ERROR(tern_lora_get(m, "base_model.model.1.lora_A.weight"), TERN_ERR_ARGUMENT, "1.lora_A.weight");
    EXPECT_ERROR(tern_lora_merge(NULL), TERN_ERR_ARGUMENT, "m is NULL");
    tern_module_free(m);
}

/* Every request for memory fails once: the network is left as it was. */
TERN_TEST(nn_lora, attach_without_memory) {
    tern_module *m = net();
    tern_tensor *x = noise(2, 6), *y = tern_forward(m, x);
    for (int64_t n = 1; n < 500; n++) {
        check_case("request %" PRId64, n);
        tern_memory_fail_at(n);
        const int attached = tern_lora_attach(m, "*", (tern_lora_opts){.rank = 2});
        const bool done = tern_memory_requests() < n;
        tern_memory_fail_at(0);
        CHECK(done ? attached == 2 : attached == -1 && tern_error_code() == TERN_ERR_MEMORY);
        tern_error_clear();
        if (done) break;
        CHECK(!tern_lora_each(m, 0, NULL, 0) && tern_module_children(tern_module_child(m, "0")) == 0);
        CHECK(n < 400);
    }
    CHECK_SAME(tern_forward(m, x), y, exact);
    tern_module_free(m);
}
