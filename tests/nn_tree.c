/* What can be done with a tree of modules: containers, copies, hooks, freezing. */
#include "common.h"
#include "tern/layers.h"
#include "tern/optim.h"

static const tolerance exact = {0, 0};

static tern_module *linear(int64_t in, int64_t out) { return tern_linear_new(in, out, (tern_linear_opts){0}); }
static tern_tensor *noise(int64_t n, int64_t m) { return tern_randn(TERN_SHAPE(n, m), 0, 1, (tern_options){0}); }

/* ---- containers -------------------------------------------------------------------------------------------------- */

TERN_TEST(nn_tree, containers) {
    tern_module *d = tern_dict_new((const char *[]){"a", "b"}, (void *[]){linear(3, 2), tern_relu_new()}, 2);
    const char *name = NULL;
    CHECK(tern_module_children(d) == 2 && tern_module_child_at(d, 1, &name) == tern_module_child(d, "b"));
    CHECK(name && strcmp(name, "b") == 0);
    CHECK(!tern_module_child_at(d, 2, &name) && !name && !tern_module_child_at(d, -1, NULL));
    CHECK(tern_module_children(NULL) == 0 && !tern_module_child_at(NULL, 0, NULL));
    EXPECT_ERROR(tern_forward(d, noise(1, 3)), TERN_ERR_UNSUPPORTED, "dict has no forward");
    tern_module_free(d);
    tern_module *l = tern_list_new(NULL, 0);
    CHECK(tern_module_add(l, "0", linear(2, 2)) && tern_module_children(l) == 1);
    tern_module_free(l);
    /* What a failed part was to stand beside is freed: check_end would see the leak. */
    EXPECT_ERROR(tern_list_new((void *[]){linear(2, 2), linear(0, 2)}, 2), TERN_ERR_ARGUMENT, "linear: 0 -> 2");
    EXPECT_ERROR(tern_list_new((void *[]){linear(2, 2), NULL}, 2), TERN_ERR_ARGUMENT, "child for \"1\"");
    EXPECT_ERROR(tern_dict_new(NULL, (void *[]){linear(2, 2)}, 1), TERN_ERR_ARGUMENT, "name is NULL");
    EXPECT_ERROR(tern_dict_new((const char *[]){"a", "a"}, (void *[]){linear(2, 2), linear(2, 2)}, 2),
                 TERN_ERR_ARGUMENT, "already has a part named \"a\"");
    EXPECT_ERROR(tern_residual_new(NULL, linear(2, 2)), TERN_ERR_ARGUMENT, "child for \"body\"");
    EXPECT_ERROR(tern_residual_new(linear(2, 2), linear(0, 2)), TERN_ERR_ARGUMENT, "linear: 0 -> 2");
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

typedef struct pairing { /* a user's module, with pointers to its own, to its child's and to what is not its own */
    tern_module m;
    tern_module *part, *inner, *foreign;
    tern_tensor *scale, *inner_weight;
    int64_t number;
    char *owned;
} pairing;

static tern_tensor *pairing_forward(tern_module *m, tern_tensor *x) {
    const pairing *s = (const pairing *)m;
    return tern_mul(tern_forward(s->inner, x),
                    tern_mul(s->scale, tern_select(tern_select(s->inner_weight, 0, 0), 0, 0)));
}
static void pairing_drop(tern_module *m) { free(((pairing *)m)->owned); }
static bool pairing_copied(tern_module *copy, const tern_module *from) {
    ((pairing *)copy)->owned = strdup(((const pairing *)from)->owned);
    return true;
}

static pairing *pairing_new(tern_module *foreign) {
    pairing *s = TERN_MODULE_NEW(pairing);
    if (!s) return NULL;
    s->m.forward = pairing_forward;
    s->m.drop = pairing_drop;
    s->m.copied = pairing_copied;
    s->owned = strdup("mine");
    s->foreign = foreign;
    s->number = 7;
    s->part = tern_module_add(&s->m, "part", tern_sequential(linear(3, 3), tern_dropout_new(0.5), linear(3, 2), NULL));
    s->inner = tern_module_child(s->part, "0");
    s->scale = tern_module_param(&s->m, "scale", tern_ones(TERN_SHAPE(1), (tern_options){0}));
    s->inner_weight = tern_module_get(s->inner, "weight");
    (void)tern_module_param(tern_module_child(s->part, "1"), "tied", s->scale);
    return tern_module_done(s);
}

TERN_TEST(nn_tree, clone) {
    tern_module *foreign = linear(1, 1);
    pairing *a = pairing_new(foreign);
    REQUIRE(a != NULL);
    tern_module_freeze(&a->m, "part.2.*", true);
    tern_module_train(a->part, false);
    tern_tensor *x = noise(4, 3), *y = tern_forward(&a->m, x);
    tern_backward(tern_sum(y, NULL, 0, false));
    pairing *b = tern_module_clone(a);
    REQUIRE(b != NULL);
    CHECK(b->part != a->part && b->part == tern_module_child(&b->m, "part"));
    CHECK(b->inner == tern_module_child(&b->m, "part.0") && b->foreign == foreign && b->number == 7);
    CHECK(b->scale == tern_module_get(&b->m, "scale") && b->scale != a->scale);
    CHECK(b->scale == tern_module_get(&b->m, "part.1.tied"));
    CHECK(b->inner_weight == tern_module_get(&b->m, "part.0.weight") && b->inner_weight != a->inner_weight);
    CHECK(b->owned != a->owned && strcmp(b->owned, "mine") == 0);
    CHECK(!b->part->training && b->m.training);
    CHECK(!tern_requires_grad(tern_module_get(&b->m, "part.2.weight")) && tern_requires_grad(b->scale));
    CHECK(!tern_grad_get(b->scale) && tern_grad_get(a->scale));
    CHECK(strcmp(tern_name(b->inner_weight), "part.0.weight") == 0);
    CHECK_SAME(tern_forward(&b->m, x), y, exact);
    tern_init_zeros(b->inner_weight);
    CHECK_SAME(tern_forward(&a->m, x), y, exact);
    tern_module_free(a);
    CHECK_SHAPE(tern_forward(&b->m, x), 4, 3);
    tern_module_free(b);
    tern_module_free(foreign);
}

TERN_TEST(nn_tree, clone_of_a_part_and_refusals) {
    tern_module *m = tern_sequential(linear(3, 2), tern_batch_norm_new(2, (tern_norm_opts){0}), NULL);
    tern_forward(m, noise(4, 3));
    tern_module *part = tern_module_clone(tern_module_child(m, "1"));
    CHECK(tern_item_i64(tern_module_get(part, "num_batches_tracked")) == 1);
    CHECK_SAME(tern_module_get(part, "running_mean"), tern_module_get(m, "1.running_mean"), exact);
    tern_module_free(part);
    pairing *a = pairing_new(NULL);
    a->m.copied = NULL;
    EXPECT_ERROR(tern_module_clone(a), TERN_ERR_UNSUPPORTED, "pairing has a drop, but no copied");
    EXPECT_ERROR(tern_module_clone(NULL), TERN_ERR_ARGUMENT, "m is NULL");
    tern_module_free(a);
    tern_module_free(m);
}

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

typedef struct seen {
    int calls, at[8];
    double last[8]; /* sums of what was seen */
} seen;

static tern_tensor *look(tern_module *m, tern_tensor *t, void *user) {
    seen *s = user;
    const bool was = tern_grad_mode(false);
    if (s->calls < 8) s->last[s->calls] = tern_item(tern_sum(t, NULL, 0, false));
    tern_grad_mode(was);
    s->calls++;
    return m ? t : NULL;
}
static tern_tensor *twice(tern_module *m, tern_tensor *t, void *user) {
    (void)m;
    (void)user;
    return tern_mul_scalar(t, 2);
}
static tern_tensor *nothing(tern_module *m, tern_tensor *t, void *user) {
    (void)t;
    (void)user;
    tern_error_set(TERN_ERR_ARGUMENT, "a hook of %s refuses", m->type);
    return NULL;
}

TERN_TEST(nn_tree, hooks) {
    tern_module *m = tern_op_new(tern_square, "square");
    seen s = {0};
    tern_tensor *x = tern_require_grad(tern_full(TERN_SHAPE(1), 3, (tern_options){0}), true);
    CHECK(tern_module_hook_add(m, TERN_HOOK_INPUT, look, &s) == 1);
    CHECK(tern_module_hook_add(m, TERN_HOOK_OUTPUT, look, &s) == 2);
    CHECK(tern_module_hook_add(m, TERN_HOOK_GRAD_OUTPUT, look, &s) == 3);
    CHECK(tern_module_hook_add(m, TERN_HOOK_GRAD_INPUT, look, &s) == 4);
    /* x goes past the module too: what the hook on its input sees is the module's share alone. */
    tern_backward(tern_add(tern_mul_scalar(tern_forward(m, x), 5), tern_mul_scalar(x, 100)));
    CHECK(s.calls == 4);
    CHECK(s.last[0] == 3 && s.last[1] == 9 && s.last[2] == 5 && s.last[3] == 30, "%g %g %g %g", s.last[0], s.last[1],
          s.last[2], s.last[3]);
    CHECK_ITEM(tern_grad_get(x), 130, 0);
    for (int i = 1; i <= 4; i++) CHECK(tern_module_hook_remove(m, i));
    tern_forward(m, x);
    CHECK(s.calls == 4);
    EXPECT_ERROR(tern_module_hook_remove(m, 4), TERN_ERR_ARGUMENT, "square has no hook 4");
    tern_module_free(m);
}

TERN_TEST(nn_tree, hooks_change_what_passes) {
    static const struct {
        tern_hook_point point;
        double y, gx;
    } cases[] = {{TERN_HOOK_INPUT, 36, 24},
                 {TERN_HOOK_OUTPUT, 18, 12},
                 {TERN_HOOK_GRAD_OUTPUT, 9, 12},
                 {TERN_HOOK_GRAD_INPUT, 9, 12}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("point %zu", i);
        tern_module *m = tern_op_new(tern_square, "square");
        tern_tensor *x = tern_require_grad(tern_full(TERN_SHAPE(1), 3, (tern_options){0}), true);
        const int number = tern_module_hook_add(m, cases[i].point, twice, NULL);
        tern_tensor *y = tern_forward(m, x);
        tern_backward(y);
        CHECK_ITEM(y, cases[i].y, 0);
        CHECK_ITEM(tern_grad_get(x), cases[i].gx, 0);
        tern_module_hook_remove(m, number);
        tern_module_hook_add(m, cases[i].point, nothing, NULL);
        if (cases[i].point == TERN_HOOK_INPUT || cases[i].point == TERN_HOOK_OUTPUT)
            EXPECT_ERROR(tern_forward(m, x), TERN_ERR_ARGUMENT, "a hook of square refuses");
        else
            EXPECT_ERROR(tern_backward(tern_forward(m, x)), TERN_ERR_ARGUMENT, "a hook of square refuses");
        tern_module_free(m);
    }
}

/* A module that hands its input on: the hooks see the gradient of what it returned, and of that alone. */
TERN_TEST(nn_tree, hooks_on_identity) {
    tern_module *m = tern_sequential(tern_identity_new(), NULL), *c;
    seen s = {0}, t = {0};
    tern_module_hook_add(tern_module_child(m, "0"), TERN_HOOK_GRAD_OUTPUT, look, &s);
    tern_module_hook_add(tern_module_child(m, "0"), TERN_HOOK_GRAD_INPUT, look, &t);
    c = tern_module_clone(m);
    tern_tensor *x = tern_require_grad(tern_ones(TERN_SHAPE(2), (tern_options){0}), true);
    tern_backward(tern_sum(tern_add(tern_forward(m, x), tern_mul_scalar(x, 9)), NULL, 0, false));
    CHECK(s.calls == 1 && t.calls == 1 && s.last[0] == 2 && t.last[0] == 2);
    tern_backward(tern_sum(tern_forward(c, x), NULL, 0, false));
    CHECK(s.calls == 2 && t.calls == 2);
    tern_inference_mode(true);
    tern_forward(m, x);
    tern_inference_mode(false);
    CHECK(s.calls == 2);
    EXPECT_ERROR(tern_module_hook_add(m, TERN_HOOK_INPUT, NULL, NULL) > 0, TERN_ERR_ARGUMENT, "hook is NULL");
    EXPECT_ERROR(tern_module_hook_add(m, (tern_hook_point)9, look, NULL) > 0, TERN_ERR_ARGUMENT, "no point 9");
    EXPECT_ERROR(tern_module_hook_add(NULL, TERN_HOOK_INPUT, look, NULL) > 0, TERN_ERR_ARGUMENT, "m is NULL");
    tern_module_free(m);
    tern_module_free(c);
}

/* ---- freezing ---------------------------------------------------------------------------------------------------- */

TERN_TEST(nn_tree, freeze) {
    tern_module *m = tern_sequential(linear(3, 4), tern_relu_new(), linear(4, 2), NULL);
    tern_tensor *x = noise(5, 3);
    tern_backward(tern_sum(tern_forward(m, x), NULL, 0, false));
    CHECK(tern_module_freeze(m, "0.*", true) == 2);
    CHECK(tern_module_count(m, true) == 10 && tern_module_count(m, false) == 26);
    CHECK(!tern_grad_get(tern_module_get(m, "0.weight")) && tern_grad_get(tern_module_get(m, "2.weight")));
    tern_optim *o = tern_sgd_new(m, 0.1, (tern_sgd_opts){0});
    const double before = tern_item(tern_sum(tern_module_get(m, "0.weight"), NULL, 0, false));
    tern_backward(tern_sum(tern_forward(m, x), NULL, 0, false));
    CHECK(tern_optim_step(o));
    CHECK_ITEM(tern_sum(tern_module_get(m, "0.weight"), NULL, 0, false), before, 0);
    CHECK(tern_module_freeze(m, "?.weight", false) == 2 && tern_module_count(m, true) == 22);
    EXPECT_ERROR(tern_module_freeze(m, "1.*", true) >= 0, TERN_ERR_ARGUMENT,
                 "no parameter of sequential matches \"1.*\"");
    EXPECT_ERROR(tern_module_freeze(m, NULL, true) >= 0, TERN_ERR_ARGUMENT, "pattern is NULL");
    tern_optim_free(o);
    tern_module_free(m);
}

/* ---- every allocation of a copy fails once -------------------------------------------------------------------------
 */

TERN_TEST(nn_tree, clone_without_memory) {
    tern_module *m = tern_sequential(linear(2, 2), tern_batch_norm_new(2, (tern_norm_opts){0}), tern_relu_new(), NULL);
    tern_module_hook_add(m, TERN_HOOK_INPUT, look, NULL);
    for (int64_t n = 1; n < 500; n++) {
        check_case("request %" PRId64, n);
        tern_memory_fail_at(n);
        tern_module *c = tern_module_clone(m);
        const bool done = tern_memory_requests() < n;
        tern_memory_fail_at(0);
        CHECK(done ? c != NULL : !c && tern_error_code() == TERN_ERR_MEMORY);
        tern_error_clear();
        tern_module_free(c);
        if (done) break;
        CHECK(n < 400);
    }
    tern_module_free(m);
}
