/* Passes: inside one another, of several outputs, in half precision; hooks after accumulation; anomaly mode. */
#include <pthread.h>

#include "common.h"

static tern_tensor *leaf(double v) {
    return tern_require_grad(tern_scalar(v, (tern_options){.dtype = TERN_F64}), true);
}
static tern_tensor *leaf3(double a, double b, double c) {
    return tern_require_grad(test_values(TERN_F64, TERN_SHAPE(3), a, b, c), true);
}
static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }

/* ---- a pass inside another -----------------------------------------------------------------------------------------
 */

/* Adds to x's gradient, and asks for one, over the leaf that the outer pass is about to reach. */
static tern_tensor *hook_pass(tern_tensor *g, void *user) {
    tern_tensor *x = user, *d;
    const bool was = tern_grad_mode(true);
    CHECK(tern_backward(tern_square(x)));
    CHECK(tern_grad(tern_square(x), &x, 1, NULL, (tern_backward_opts){0}, &d));
    CHECK_ITEM(d, 6, 1e-12);
    tern_grad_mode(was);
    return g;
}

TERN_TEST(autograd_passes, a_pass_inside_another_over_the_same_leaf) {
    tern_tensor *x = leaf(3), *h = tern_square(x), *d;
    CHECK(tern_hook_add(h, hook_pass, x) >= 0);
    tern_tensor *y = tern_mul_scalar(h, 5);
    CHECK(tern_grad(y, &x, 1, NULL, (tern_backward_opts){.retain_graph = true}, &d));
    CHECK_ITEM(d, 30, 1e-12);
    CHECK_ITEM(tern_grad_get(x), 6, 1e-12);
    CHECK(tern_backward(y));
    CHECK_ITEM(tern_grad_get(x), 6 + 6 + 30, 1e-12);
}

typedef struct inner {
    tern_tensor *y, *x, *h;
    bool retain;
    int depth;
    double seen;
} inner;

/* A pass over the very graph that the outer one is walking, from the same root; nested three deep. */
static tern_tensor *hook_same_graph(tern_tensor *g, void *user) {
    inner *s = user;
    tern_tensor *out[2], *in[2] = {s->x, s->h};
    if (s->depth == 3) return g;
    s->depth++;
    CHECK(tern_grad(s->y, in, 2, NULL, (tern_backward_opts){.retain_graph = s->retain}, out));
    s->depth--;
    CHECK_ITEM(out[0], 4 * 27, 1e-12);
    CHECK_ITEM(out[1], 18, 1e-12);
    s->seen += tern_item(out[0]);
    return g;
}

TERN_TEST(autograd_passes, a_pass_inside_another_over_the_same_graph) {
    for (int retain = 0; retain < 2; retain++) {
        tern_tensor *x = leaf(3), *h = tern_square(x), *y = tern_square(h);
        inner s = {.y = y, .x = x, .h = h, .retain = retain};
        const int hook = tern_hook_add(h, hook_same_graph, &s);
        CHECK(tern_backward_from(y, NULL, (tern_backward_opts){.retain_graph = true}));
        CHECK_ITEM(tern_grad_get(x), 4 * 27, 1e-12);
        CHECK_NUMBER(s.seen, 3 * 4 * 27, 1e-12);
        CHECK(tern_hook_remove(h, hook));
        CHECK(tern_backward(y)); /* what the outer pass retained, the inner ones left */
        EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "retain_graph");
    }
}

/* A rule that runs a pass of its own over a graph that it records: the gradient of x^3 by autograd itself. */
static bool own_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = tern_mul(tern_square(in[0]), in[0]);
    return out[0] && tern_ctx_save(ctx, in[0]);
}
static bool own_backward(tern_ctx *ctx, tern_tensor *const *g, tern_tensor **gin) {
    tern_tensor *x = tern_ctx_saved(ctx, 0);
    const bool was = tern_grad_mode(true);
    tern_tensor *v = x ? tern_require_grad(tern_detach(x), true) : NULL;
    const bool ok =
        v && tern_grad(tern_mul(tern_square(v), v), &v, 1, g[0], (tern_backward_opts){0}, gin) && CHECK(gin[0] != NULL);
    /* Over the leaf itself too, whose turn in the outer pass is still to come. */
    tern_tensor *d = NULL;
    if (ok && tern_requires_grad(x)) CHECK(tern_grad(total(tern_square(x)), &x, 1, NULL, (tern_backward_opts){0}, &d));
    tern_grad_mode(was);
    return ok;
}
static const tern_function own = {"own", 1, 0, own_forward, own_backward, NULL};

TERN_TEST(autograd_passes, a_rule_may_run_a_pass) {
    tern_tensor *x = leaf3(1, 2, 3), *y = NULL, *z = NULL;
    REQUIRE(tern_apply(&own, &x, 1, NULL, &y) && tern_apply(&own, &y, 1, NULL, &z));
    CHECK(tern_backward(total(tern_add(z, tern_square(x)))));
    CHECK_VALUES(tern_grad_get(x), 9 + 2, 9.0 * 256 + 4, 9.0 * 6561 + 6);
}

static tern_tensor *hook_failing_pass(tern_tensor *g, void *user) {
    tern_tensor *x = user, *d;
    const bool was = tern_grad_mode(true);
    tern_tensor *unused = leaf(1), *in[2] = {x, unused};
    CHECK(!tern_grads((tern_tensor *[]){tern_square(x)}, NULL, 1, in, 2, (tern_backward_opts){0},
                      (tern_tensor *[2]){NULL, NULL}));
    tern_error_clear();
    d = tern_square(x);
    CHECK(!tern_backward_from(tern_stack((tern_tensor *[]){d, d}, 2, 0), NULL, (tern_backward_opts){0}));
    tern_error_clear();
    tern_grad_mode(was);
    return g;
}

TERN_TEST(autograd_passes, an_inner_pass_that_fails_leaves_the_outer_one_whole) {
    tern_tensor *x = leaf(3), *h = tern_square(x);
    CHECK(tern_hook_add(h, hook_failing_pass, x) >= 0);
    CHECK(tern_backward(tern_add(tern_mul_scalar(h, 5), x)));
    CHECK_ITEM(tern_grad_get(x), 31, 1e-12);
}

/* ---- several outputs -----------------------------------------------------------------------------------------------
 */

TERN_TEST(autograd_passes, several_outputs_and_inputs) {
    tern_tensor *x = leaf3(1, 2, 3), *w = leaf(2), *h = tern_mul(x, w);
    tern_tensor *y[3] = {total(tern_square(h)), h, h}, *in[3] = {x, w, h}, *out[3];
    tern_tensor *seed[3] = {NULL, test_values(TERN_F64, TERN_SHAPE(3), 1, 0, -1),
                            test_values(TERN_F64, TERN_SHAPE(3), 0, 5, 0)};
    CHECK(tern_grads(y, seed, 3, in, 3, (tern_backward_opts){.retain_graph = true}, out));
    CHECK_VALUES(out[2], 4 + 1, 8 + 5, 12 - 1);
    CHECK_VALUES(out[0], 10, 26, 22);
    CHECK_VALUES(out[1], 5 + 26 + 33);
    CHECK_VALUES(seed[1], 1, 0, -1);
    CHECK(tern_backwards(y, seed, 3, (tern_backward_opts){0}));
    CHECK_VALUES(tern_grad_get(x), 10, 26, 22);
    CHECK_VALUES(tern_grad_get(w), 64);
    EXPECT_ERROR(tern_backwards(y, seed, 3, (tern_backward_opts){0}), TERN_ERR_AUTOGRAD, "retain_graph");
}

/* More nodes than a pass has room for at first; some are finished by the time that it grows. */
TERN_TEST(autograd_passes, wide_graphs_and_many_outputs) {
    enum { WIDTH = 300 };
    tern_tensor *x[WIDTH], *y[7], *sum = NULL;
    for (int i = 0; i < WIDTH; i++) {
        x[i] = leaf(1 + i);
        tern_tensor *square = tern_square(x[i]);
        sum = sum ? tern_add(square, sum) : square;
    }
    CHECK(tern_backward(sum));
    for (int i = 0; i < WIDTH; i++) CHECK_ITEM(tern_grad_get(x[i]), 2 * (1 + i), 0);
    for (int i = 0; i < 7; i++) {
        tern_grad_set(x[i], NULL);
        y[i] = tern_mul_scalar(x[i], i);
    }
    CHECK(tern_backwards(y, NULL, 7, (tern_backward_opts){0}));
    for (int i = 0; i < 7; i++) CHECK_ITEM(tern_grad_get(x[i]), i, 0);
}

TERN_TEST(autograd_passes, several_outputs_record) {
    tern_tensor *x = leaf(2), *y[2] = {tern_pow_scalar(x, 3), tern_square(x)}, *g, *gg;
    CHECK(tern_grads(y, NULL, 2, &x, 1, (tern_backward_opts){.create_graph = true}, &g));
    CHECK_ITEM(g, 12 + 4, 1e-12);
    CHECK(tern_grad(g, &x, 1, NULL, (tern_backward_opts){0}, &gg));
    CHECK_ITEM(gg, 12 + 2, 1e-12);
}

TERN_TEST(autograd_passes, several_outputs_refusals) {
    tern_tensor *x = leaf3(1, 2, 3), *plain = tern_scalar(1, (tern_options){.dtype = TERN_F64}), *out = NULL;
    tern_tensor *y[2] = {total(x), plain}, *bad[2] = {total(x), x}, *null[2] = {total(x), NULL};
    EXPECT_ERROR(tern_grads(y, NULL, 2, &x, 1, (tern_backward_opts){0}, &out), TERN_ERR_AUTOGRAD, "does not depend");
    CHECK(tern_grads(y, NULL, 2, &x, 1, (tern_backward_opts){.allow_unused = true}, &out));
    CHECK_VALUES(out, 1, 1, 1);
    EXPECT_ERROR(tern_backwards(bad, NULL, 2, (tern_backward_opts){0}), TERN_ERR_SHAPE, "[3]");
    EXPECT_ERROR(tern_backwards(null, NULL, 2, (tern_backward_opts){0}), TERN_ERR_ARGUMENT, "NULL");
    EXPECT_ERROR(tern_backwards(NULL, NULL, 2, (tern_backward_opts){0}), TERN_ERR_ARGUMENT, "NULL");
    EXPECT_ERROR(tern_backwards(y, NULL, 0, (tern_backward_opts){0}), TERN_ERR_ARGUMENT, "0 outputs");
    CHECK(tern_grad_get(x) == NULL);
}

/* ---- half precision ------------------------------------------------------------------------------------------------
 */

/* 1 + 255 contributions of 2^-9: in bf16 (8 bits) each of them alone is lost beside 1, together they are 0.498. */
TERN_TEST(autograd_passes, half_precision_contributions_are_summed_in_f32) {
    static const tern_dtype types[] = {TERN_F16, TERN_BF16};
    for (int d = 0; d < 2; d++) {
        for (int create = 0; create < 2; create++) {
            check_case("%s, create_graph %d", tern_dtype_name(types[d]), create);
            const double small = d == 0 ? 0x1p-12 : 0x1p-9;
            tern_tensor *x = tern_require_grad(test_values(types[d], TERN_SHAPE(2), 1, 2), true), *y = x, *g;
            for (int i = 0; i < 255; i++) y = tern_add(y, tern_mul_scalar(x, small));
            CHECK(tern_grad(total(y), &x, 1, NULL, (tern_backward_opts){.retain_graph = true, .create_graph = create},
                            &g));
            CHECK(tern_dtype_of(g) == types[d]);
            const double want = round_to(1 + 255 * small, types[d]);
            CHECK_CLOSE(g, ((double[]){want, want}), 2, ((tolerance){0, 0}));
            CHECK(tern_backward(total(y)));
            CHECK(tern_dtype_of(tern_grad_get(x)) == types[d]);
            CHECK_CLOSE(tern_grad_get(x), ((double[]){want, want}), 2, ((tolerance){0, 0}));
        }
    }
}

/* ---- hooks after accumulation --------------------------------------------------------------------------------------
 */

typedef struct after {
    int calls;
    double last;
    int number;
} after;

static bool note(tern_tensor *t, void *user) {
    after *s = user;
    s->calls++;
    s->last = tern_item(tern_grad_get(t));
    return true;
}
/* A step of gradient descent as soon as the gradient is there, which is dropped. */
static bool descend(tern_tensor *t, void *user) {
    (void)user;
    return tern_add_scaled_(t, -0.1, tern_grad_get(t)) && tern_grad_set(t, NULL);
}
static bool remove_itself(tern_tensor *t, void *user) {
    after *s = user;
    s->calls++;
    return tern_hook_remove(t, s->number);
}
static bool silent_failure(tern_tensor *t, void *user) {
    (void)t;
    (void)user;
    return false;
}
static tern_tensor *doubled(tern_tensor *g, void *user) {
    (void)user;
    return tern_mul_scalar(g, 2);
}

TERN_TEST(autograd_passes, hooks_after_accumulation) {
    tern_tensor *x = leaf(3);
    after s = {0};
    const int number = tern_hook_add_after(x, note, &s);
    CHECK(number >= 0 && tern_hook_add(x, doubled, NULL) >= 0);
    CHECK(tern_backward(tern_add(tern_square(x), tern_mul_scalar(x, 4)))); /* once, with the whole */
    CHECK(s.calls == 1 && s.last == 20);
    CHECK(tern_backward(x));
    CHECK(s.calls == 2 && s.last == 22);
    tern_tensor *g;
    CHECK(tern_grad(tern_square(x), &x, 1, NULL, (tern_backward_opts){0}, &g)); /* accumulates nothing */
    CHECK(s.calls == 2);
    CHECK(tern_hook_remove(x, number));
    CHECK(tern_backward(x) && s.calls == 2);
    after once = {0};
    once.number = tern_hook_add_after(x, remove_itself, &once);
    CHECK(tern_backward(x) && tern_backward(x));
    CHECK(once.calls == 1);
}

TERN_TEST(autograd_passes, a_step_inside_the_pass) {
    tern_tensor *x = leaf(1), *w = leaf(2);
    CHECK(tern_hook_add_after(x, descend, NULL) >= 0 && tern_hook_add_after(w, descend, NULL) >= 0);
    CHECK(tern_backward(tern_add(tern_mul_scalar(x, 5), tern_mul_scalar(w, 3))));
    CHECK(tern_grad_get(x) == NULL && tern_grad_get(w) == NULL);
    CHECK_ITEM(x, 0.5, 1e-12);
    CHECK_ITEM(w, 1.7, 1e-12);
}

TERN_TEST(autograd_passes, hooks_after_accumulation_refusals) {
    tern_tensor *x = leaf(1);
    CHECK(tern_hook_add_after(tern_square(x), note, NULL) == -1);
    EXPECT_PENDING(TERN_ERR_AUTOGRAD, "no leaf");
    CHECK(tern_hook_add_after(tern_scalar(1, (tern_options){0}), note, NULL) == -1);
    EXPECT_PENDING(TERN_ERR_AUTOGRAD, "hook_add_after");
    CHECK(tern_hook_add_after(x, NULL, NULL) == -1);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "hook");
    CHECK(tern_hook_add_after(NULL, note, NULL) == -1);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "leaf");
    CHECK(tern_hook_add_after(x, silent_failure, NULL) >= 0);
    EXPECT_ERROR(tern_backward(tern_square(x)), TERN_ERR_AUTOGRAD, "hook after accumulation");
}

/* ---- anomaly mode --------------------------------------------------------------------------------------------------
 */

TERN_TEST(autograd_passes, anomaly_mode_names_the_op) {
    tern_tensor *x = leaf3(0, 1, 4), *zero = test_values(TERN_F64, TERN_SHAPE(3), 0, 0, 0);
    CHECK(tern_set_name(x, "speed"));
    CHECK(!tern_anomaly_mode(true) && tern_anomaly_mode_get());
    CHECK(tern_backward(total(tern_sqrt(tern_add_scalar(x, 1)))));
    /* 0 * inf: sqrt's slope at 0 times a gradient of 0. */
    tern_tensor *y = total(tern_mul(tern_sqrt(x), zero));
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD,
                 "the backward rule of sqrt made NaN in the gradient of its input 0");
    tern_tensor *z = total(tern_mul(tern_sqrt(x), zero));
    EXPECT_ERROR(tern_backward(z), TERN_ERR_AUTOGRAD, "\"speed\"");
    tern_tensor *u = total(tern_exp(tern_mul(tern_sqrt(tern_mul_scalar(x, 2)), zero)));
    EXPECT_ERROR(tern_backward(u), TERN_ERR_AUTOGRAD, "rule of sqrt");
    tern_tensor *v = total(tern_square(x));
    EXPECT_ERROR(
        tern_backward_from(v, test_values(TERN_F64, tern_shape_scalar(), (double)NAN), (tern_backward_opts){0}),
        TERN_ERR_AUTOGRAD, "seed");
    CHECK(tern_anomaly_mode(false));
    CHECK(tern_backward(total(tern_mul(tern_sqrt(x), zero)))); /* off: NaN goes on */
    CHECK(isnan(tern_item(tern_select(tern_grad_get(x), 0, 0))));
}

static void *anomaly_elsewhere(void *user) {
    const bool clean = !tern_anomaly_mode_get();
    tern_anomaly_mode(true);
    return clean ? user : NULL;
}

TERN_TEST(autograd_passes, anomaly_mode_is_per_thread) {
    pthread_t t;
    int dummy;
    void *result = NULL;
    REQUIRE(pthread_create(&t, NULL, anomaly_elsewhere, &dummy) == 0);
    pthread_join(t, &result);
    CHECK(result == &dummy && !tern_anomaly_mode_get());
}

/* ---- threads -------------------------------------------------------------------------------------------------------
 */

static void *pass_elsewhere(void *user) {
    tern_tensor *x = user;
    const int scope = tern_scope_push();
    const bool good = tern_backward(tern_mul_scalar(x, 2));
    const bool refused = tern_error_code() == TERN_ERR_AUTOGRAD && strstr(tern_error_message(), "another thread");
    tern_error_clear();
    /* The same values, as a leaf of its own. */
    tern_tensor *copy = tern_require_grad(tern_detach(x), true);
    const bool fine = tern_backward(tern_square(copy)) && tern_item(tern_grad_get(copy)) == 6;
    tern_scope_pop(scope);
    return !fine ? NULL : good ? (void *)"ran" : refused ? (void *)"refused" : NULL;
}

static tern_tensor *hook_thread(tern_tensor *g, void *user) {
    pthread_t t;
    void *result = NULL;
    if (pthread_create(&t, NULL, pass_elsewhere, user) != 0) return NULL;
    pthread_join(t, &result);
    CHECK(result && strcmp(result, "refused") == 0);
    return g;
}

TERN_TEST(autograd_passes, a_leaf_in_a_pass_of_another_thread) {
    tern_tensor *x = leaf(3), *h = tern_square(x);
    CHECK(tern_hook_add(h, hook_thread, x) >= 0);
    CHECK(tern_backward(tern_mul_scalar(h, 5)));
    CHECK_ITEM(tern_grad_get(x), 30, 1e-12);
    pthread_t t;
    void *result = NULL;
    REQUIRE(pthread_create(&t, NULL, pass_elsewhere, x) == 0); /* after it, the leaf is free again */
    pthread_join(t, &result);
    CHECK(result && strcmp(result, "ran") == 0);
    CHECK_ITEM(tern_grad_get(x), 32, 1e-12);
}

/* What a pass did not run stays. */
TERN_TEST(autograd_passes, a_node_that_is_only_asked_for_is_not_used_up) {
    tern_tensor *x = leaf(3), *h = tern_square(x), *y = tern_square(h), *g;
    CHECK(tern_grad(y, &h, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_ITEM(g, 18, 1e-12);
    CHECK(tern_backward(h));
    CHECK_ITEM(tern_grad_get(x), 6, 1e-12);
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "used up");
    /* Nor does a pass ask for what another used up, if it ends before. */
    y = tern_mul_scalar(tern_square(h), 2);
    EXPECT_ERROR(tern_grad(y, &x, 1, NULL, (tern_backward_opts){0}, &g), TERN_ERR_AUTOGRAD, "at square");
    CHECK(tern_grad(y, &h, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_ITEM(g, 36, 1e-12);
}

/* ---- memory --------------------------------------------------------------------------------------------------------
 */

static bool passes(void) {
    const int scope = tern_scope_push();
    tern_tensor *x = leaf(3), *h = tern_square(x), *y[2] = {tern_square(h), h}, *g;
    after a = {0};
    bool good = x && h && y[0] && tern_hook_add_after(x, note, &a) >= 0;
    tern_tensor *half = tern_require_grad(tern_ones(TERN_SHAPE(2), (tern_options){.dtype = TERN_BF16}), true);
    good = good && half && tern_backward(total(tern_mul(tern_add(half, half), half)));
    tern_anomaly_mode(true);
    good = good && tern_grads(y, NULL, 2, &x, 1, (tern_backward_opts){.create_graph = true}, &g) &&
           tern_backwards(y, NULL, 2, (tern_backward_opts){0});
    tern_anomaly_mode(false);
    tern_scope_pop(scope);
    return good;
}

static tern_tensor *nested(tern_tensor *g, void *user) {
    tern_tensor **t = user, *d;
    return tern_grad(t[0], &t[1], 1, NULL, (tern_backward_opts){0}, &d) ? g : NULL;
}

static bool nested_passes(void) {
    const int scope = tern_scope_push();
    tern_tensor *x = leaf(3), *h = tern_square(x), *y = tern_square(h), *t[2] = {h, x};
    const bool good = y && tern_hook_add(y, nested, t) >= 0 && tern_backward(y);
    tern_scope_pop(scope);
    return good;
}

static void every_allocation_fails(bool (*f)(void)) {
    REQUIRE(f(), "%s", tern_error_message());
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    for (int64_t n = 1;; n++) {
        check_case("allocation %" PRId64 " fails", n);
        tern_memory_fail_at(n);
        const bool good = f();
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        tern_error_clear();
        CHECK(tern_memory_device(tern_cpu()).live == device && tern_memory_host().live == host);
        if (requests < n) {
            CHECK(good);
            break;
        }
        CHECK(!good);
    }
}

TERN_TEST(autograd_passes, every_allocation_fails_once) {
    every_allocation_fails(nested_passes);
    every_allocation_fails(passes);
}
