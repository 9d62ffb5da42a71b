/* Autocast: the dtype of each op's result against torch.autocast's (tests/reference/autocast.py), the casts of
 * parameters, gradients, nesting, recomputation, errors. */
#include "common.h"
#include "tern/autocast.h"
#include "tern/data.h"
#include "tern/functional.h"
#include "tern/layers.h"
#include "tern/optim.h"

/* ---- the table ----------------------------------------------------------------------------------------------------
 */

static tern_tensor *row0(tern_tensor *t) { return tern_select(t, 0, 0); }
static tern_tensor *as3(tern_tensor *t) { return tern_unsqueeze(t, 0); }
static tern_tensor *as4(tern_tensor *t) { return tern_unsqueeze(as3(t), 0); }
static tern_tensor *index4(void) {
    return tern_zeros(TERN_SHAPE(4), (tern_options){.dtype = TERN_I64, .device = test_device()});
}
/* A cell's weights: as many times b as it has gates, and no biases. */
static tern_tensor *const *gates(tern_tensor *b, int n) {
    static tern_tensor *w[4];
    tern_tensor *const all[4] = {b, b, b, b};
    w[0] = w[1] = tern_cat(all, n, 0);
    return w;
}

#define ROW(name, call, ...) \
    static tern_tensor *row_##name(tern_tensor *a, tern_tensor *b) { return (void)a, (void)b, call; }
#include "reference/autocast.def"
#undef ROW

typedef struct table_row {
    const char *name;
    tern_tensor *(*call)(tern_tensor *a, tern_tensor *b);
    const char *want[4];
} table_row;

static const table_row rows[] = {
#define ROW(name, call, ...) {#name, row_##name, {__VA_ARGS__}},
#include "reference/autocast.def"
#undef ROW
};
enum { ROWS = sizeof rows / sizeof *rows };

/* Row r under autocast, where f16 or bf16 stands for the table's bf16. */
static void check_row(const table_row *r, tern_dtype low) {
    static const bool is_low[4][2] = {{false, false}, {true, false}, {false, true}, {true, true}};
    for (int i = 0; i < 4; i++) {
        if (r->want[i][0] == '-') continue;
        const int scope = tern_scope_push();
        check_case("%s, pair %d, %s", r->name, i, tern_dtype_name(low));
        tern_tensor *a = test_random(TERN_SHAPE(4, 4), 0.1, 0.9, is_low[i][0] ? low : TERN_F32);
        tern_tensor *b = test_random(TERN_SHAPE(4, 4), 0.1, 0.9, is_low[i][1] ? low : TERN_F32);
        const int cast = tern_autocast_push((tern_device_type)test_device().type, low);
        tern_tensor *y = r->call(a, b);
        tern_autocast_pop(cast);
        const tern_dtype want = strcmp(r->want[i], "f32") == 0 ? TERN_F32 : low;
        if (CHECK_OK() && CHECK(y))
            CHECK(tern_dtype_of(y) == want, "%s, expected %s", tern_dtype_name(tern_dtype_of(y)),
                  tern_dtype_name(want));
        tern_scope_pop(scope);
    }
}

TERN_TEST(autocast, dtypes_are_pytorchs) {
    for (int i = 0; i < ROWS; i++) {
        check_row(&rows[i], TERN_BF16);
        check_row(&rows[i], TERN_F16);
    }
    check_case("%s", "");
}

/* ---- parameters ----------------------------------------------------------------------------------------------------
 */

static tern_device_type here(void) { return (tern_device_type)test_device().type; }

static tern_tensor *parameter(tern_shape shape) { return tern_require_grad(test_random(shape, -1, 1, TERN_F32), true); }

static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }

/* w as an op with the rule LOW sees it. */
static tern_tensor *low_form(tern_tensor *w) { return tern_autocast(TERN_AUTOCAST_LOW, &w, 1) ? w : NULL; }

TERN_TEST(autocast, casts_of_parameters_are_kept) {
    tern_tensor *w = parameter(TERN_SHAPE(3, 3)), *x = test_random(TERN_SHAPE(3, 3), -1, 1, TERN_F32);
    const int cast = tern_autocast_push(here(), TERN_BF16);
    tern_tensor *first = low_form(w);
    CHECK(first && first != w && low_form(w) == first && tern_dtype_of(first) == TERN_BF16);
    CHECK(low_form(x) != low_form(x), "an activation's cast was kept");
    const int inner = tern_autocast_push(here(), TERN_F16); /* another dtype */
    CHECK(tern_dtype_of(low_form(w)) == TERN_F16);
    tern_autocast_pop(inner);
    first = low_form(w);
    const bool was = tern_grad_mode(false);
    tern_fill_(w, 3); /* as an optimizer's step */
    tern_grad_mode(was);
    tern_tensor *second = low_form(w);
    CHECK(second != first, "the old value's cast was used");
    CHECK_ITEM(total(second), 27, 0);
    CHECK(tern_assign(w, test_random(TERN_SHAPE(3, 3), 0, 1, TERN_F32)) && low_form(w) != second);
    second = low_form(w);
    tern_autocast_pop(cast);
    const int again = tern_autocast_push(here(), TERN_BF16);
    CHECK(low_form(w) != second, "the cast outlived the outermost pop");
    tern_autocast_pop(again);
}

TERN_TEST(autocast, casts_without_a_graph_are_not_taken_for_ones_with) {
    tern_tensor *w = parameter(TERN_SHAPE(2, 2)), *x = test_random(TERN_SHAPE(2, 2), -1, 1, TERN_F32);
    const int cast = tern_autocast_push(here(), TERN_BF16);
    const bool was = tern_grad_mode(false);
    tern_tensor *y = tern_matmul(x, w);
    tern_grad_mode(was);
    CHECK(!tern_requires_grad(y));
    CHECK(tern_backward(total(tern_matmul(x, w))) && tern_grad_get(w), "%s", tern_error_message());
    tern_autocast_pop(cast);
}

/* Many leaves, more than the table's first size, and such as nobody else has any more. */
TERN_TEST(autocast, many_parameters) {
    enum { N = 150 };
    tern_tensor *w[N], *low[N];
    const int cast = tern_autocast_push(here(), TERN_BF16);
    for (int i = 0; i < N; i++) {
        w[i] = parameter(TERN_SHAPE(2));
        low[i] = low_form(w[i]);
        const int scope = tern_scope_push();
        CHECK(low_form(parameter(TERN_SHAPE(2))));
        tern_scope_pop(scope);
    }
    for (int i = 0; i < N; i++) CHECK(low_form(w[i]) == low[i]);
    tern_autocast_pop(cast);
}

/* ---- gradients ------------------------------------------------------------------------------------------------------
 */

TERN_TEST(autocast, gradients_are_those_of_casts_by_hand) {
    tern_tensor *x = test_random(TERN_SHAPE(5, 4), -1, 1, TERN_F32), *y[2];
    tern_tensor *w[2], *b[2];
    for (int i = 0; i < 2; i++) {
        test_seed(3);
        w[i] = parameter(TERN_SHAPE(3, 4));
        b[i] = parameter(TERN_SHAPE(3));
    }
    const tern_dtype low = TERN_BF16;
    y[0] = tern_softmax(tern_cast(tern_linear(tern_cast(x, low), tern_cast(w[0], low), tern_cast(b[0], low)), TERN_F32),
                        -1);
    const int cast = tern_autocast_push(here(), low);
    y[1] = tern_softmax(tern_linear(x, w[1], b[1]), -1);
    for (int i = 0; i < 2; i++) { /* the second with autocast on, which must not matter */
        CHECK(tern_backward(total(tern_mul(y[i], y[i]))), "%s", tern_error_message());
        CHECK(tern_dtype_of(tern_grad_get(w[i])) == TERN_F32);
    }
    tern_autocast_pop(cast);
    CHECK_SAME(y[0], y[1], ((tolerance){0, 0}));
    CHECK_SAME(tern_grad_get(w[0]), tern_grad_get(w[1]), ((tolerance){0, 0}));
    CHECK_SAME(tern_grad_get(b[0]), tern_grad_get(b[1]), ((tolerance){0, 0}));
}

/* Two graphs share a parameter's cast: each can be differentiated, and the gradients add up. */
TERN_TEST(autocast, two_passes_over_one_cast) {
    tern_tensor *w = parameter(TERN_SHAPE(3, 3)), *x = test_random(TERN_SHAPE(3, 3), -1, 1, TERN_F32);
    const int cast = tern_autocast_push(here(), TERN_BF16);
    tern_tensor *a = total(tern_matmul(x, w)), *b = total(tern_matmul(x, w));
    CHECK(tern_backward(a), "%s", tern_error_message());
    tern_tensor *once = tern_clone(tern_grad_get(w));
    CHECK(tern_backward(b), "%s", tern_error_message());
    CHECK_SAME(tern_grad_get(w), tern_add(once, once), ((tolerance){0, 0}));
    EXPECT_ERROR(tern_backward(b), TERN_ERR_AUTOGRAD, "used up"); /* what saved tensors still is */
    tern_autocast_pop(cast);
}

TERN_TEST(autocast, second_derivatives) {
    tern_tensor *w = parameter(TERN_SHAPE(2, 2)), *x = test_random(TERN_SHAPE(2, 2), -1, 1, TERN_F32), *g, *h;
    const int cast = tern_autocast_push(here(), TERN_BF16);
    tern_tensor *y = total(tern_exp(tern_matmul(x, w)));
    CHECK(tern_grad(y, &w, 1, NULL, (tern_backward_opts){.create_graph = true}, &g), "%s", tern_error_message());
    CHECK(tern_grad(total(tern_mul(g, g)), &w, 1, NULL, (tern_backward_opts){0}, &h), "%s", tern_error_message());
    tern_autocast_pop(cast);
    CHECK(g && h && tern_dtype_of(g) == TERN_F32 && tern_dtype_of(h) == TERN_F32);
}

static tern_tensor *layer(tern_tensor *const *x, int n, void *user) {
    (void)n;
    return tern_tanh(tern_matmul(tern_matmul(x[0], user), user));
}

/* The function runs again after the pop, and must do the same; the cast is used outside of it as well. */
TERN_TEST(autocast, recomputation) {
    tern_tensor *x = test_random(TERN_SHAPE(3, 3), -1, 1, TERN_F32), *w[2], *y[2];
    for (int i = 0; i < 2; i++) {
        test_seed(5);
        w[i] = parameter(TERN_SHAPE(3, 3));
        const int cast = tern_autocast_push(here(), TERN_BF16);
        tern_tensor *first = tern_matmul(x, w[i]);
        y[i] = i ? tern_recompute(layer, &first, 1, w[i]) : layer(&first, 1, w[i]);
        y[i] = total(tern_matmul(y[i], w[i]));
        tern_autocast_pop(cast);
        CHECK(tern_backward(y[i]), "%s", tern_error_message());
    }
    CHECK_SAME(y[0], y[1], ((tolerance){0, 0}));
    CHECK_SAME(tern_grad_get(w[0]), tern_grad_get(w[1]), ((tolerance){1.6e-2, 1e-2}));
    CHECK(tern_autocast_get(here()) == TERN_F32);
}

/* ---- a program's own function ---------------------------------------------------------------------------------------
 */

static tern_dtype seen;

static bool own_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = tern_matmul(in[0], in[1]); /* as it is: without autocast */
    seen = tern_autocast_get(here());
    return out[0] && tern_ctx_save(ctx, in[0]) && tern_ctx_save(ctx, in[1]);
}
static bool own_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    gin[0] = tern_matmul(gout[0], tern_transpose(tern_ctx_saved(ctx, 1), 0, 1));
    gin[1] = tern_matmul(tern_transpose(tern_ctx_saved(ctx, 0), 0, 1), gout[0]);
    return gin[0] && gin[1];
}
static const tern_function own = {"own", 1, 0, own_forward, own_backward, NULL};

TERN_TEST(autocast, own_functions) {
    tern_tensor *in[2] = {parameter(TERN_SHAPE(2, 2)), parameter(TERN_SHAPE(2, 2))}, *y;
    tern_tensor *leaf = in[0], *low[2] = {in[0], in[1]};
    const int cast = tern_autocast_push(here(), TERN_BF16);
    CHECK(tern_apply(&own, in, 2, NULL, &y) && tern_dtype_of(y) == TERN_F32 && seen == TERN_F32);
    CHECK(tern_autocast_get(here()) == TERN_BF16);
    CHECK(tern_autocast(TERN_AUTOCAST_LOW, low, 2) && tern_apply(&own, low, 2, NULL, &y));
    CHECK(tern_dtype_of(y) == TERN_BF16 && tern_backward(total(y)), "%s", tern_error_message());
    CHECK(tern_grad_get(leaf) && tern_dtype_of(tern_grad_get(leaf)) == TERN_F32);
    tern_tensor *mixed[3] = {test_random(TERN_SHAPE(2), 0, 1, TERN_BF16), NULL,
                             test_random(TERN_SHAPE(2), 0, 1, TERN_F16)};
    CHECK(tern_autocast(TERN_AUTOCAST_WIDEST, mixed, 3) && tern_dtype_of(mixed[0]) == TERN_F32 && !mixed[1]);
    tern_tensor *alike = test_random(TERN_SHAPE(2), 0, 1, TERN_BF16), *same = alike;
    CHECK(tern_autocast(TERN_AUTOCAST_WIDEST, &same, 1) && same == alike);
    CHECK(tern_autocast(TERN_AUTOCAST_F32, &same, 1) && tern_dtype_of(same) == TERN_F32);
    tern_autocast_pop(cast);
    CHECK(tern_autocast(TERN_AUTOCAST_LOW, in, 2) && in[0] == leaf);
    EXPECT_ERROR(tern_autocast((tern_autocast_rule)7, in, 2), TERN_ERR_ARGUMENT, "rule 7");
    EXPECT_ERROR(tern_autocast(TERN_AUTOCAST_LOW, NULL, 2), TERN_ERR_ARGUMENT, "t");
}

/* ---- where it holds -------------------------------------------------------------------------------------------------
 */

static tern_dtype product_dtype(tern_dtype dtype) {
    tern_tensor *t = test_random(TERN_SHAPE(2, 2), -1, 1, dtype), *y = tern_matmul(t, t);
    return y ? tern_dtype_of(y) : TERN_DTYPE_COUNT;
}

TERN_TEST(autocast, nests_and_is_repaired) {
    const tern_device_type other = here() == TERN_CPU ? TERN_CUDA : TERN_CPU;
    CHECK(product_dtype(TERN_F32) == TERN_F32);
    const int a = tern_autocast_push(here(), TERN_BF16);
    CHECK(product_dtype(TERN_F32) == TERN_BF16 && product_dtype(TERN_F16) == TERN_BF16);
    CHECK(product_dtype(TERN_F64) == TERN_F64);
    const int b = tern_autocast_push(here(), TERN_F32);
    CHECK(product_dtype(TERN_F32) == TERN_F32 && product_dtype(TERN_F16) == TERN_F16);
    (void)tern_autocast_push(here(), TERN_F16);
    (void)tern_autocast_push(other, TERN_BF16); /* the other device's leaves this one's in force */
    CHECK(product_dtype(TERN_F32) == TERN_F16 && tern_autocast_get(other) == TERN_BF16);
    const int off = tern_autocast_suspend();
    CHECK(product_dtype(TERN_F32) == TERN_F32 && tern_autocast_get(other) == TERN_F32);
    tern_autocast_pop(off);
    CHECK(product_dtype(TERN_F32) == TERN_F16);
    tern_autocast_pop(b); /* the two inside were left without a pop */
    CHECK(product_dtype(TERN_F32) == TERN_BF16);
    tern_autocast_pop(a);
    CHECK(product_dtype(TERN_F32) == TERN_F32);
    const int c = tern_autocast_push(other, TERN_BF16);
    CHECK(product_dtype(TERN_F32) == TERN_F32);
    tern_autocast_pop(c);
}

TERN_TEST(autocast, leaves_integers_f64_and_targets_alone) {
    tern_tensor *i = tern_ones(TERN_SHAPE(3), (tern_options){.dtype = TERN_I64, .device = test_device()});
    tern_tensor *d = test_random(TERN_SHAPE(3), 0.1, 1, TERN_F64), *t = test_random(TERN_SHAPE(3), 0.1, 1, TERN_BF16);
    tern_tensor *t2 = tern_clone(t), *w = parameter(TERN_SHAPE(3, 3));
    const int cast = tern_autocast_push(here(), TERN_BF16);
    CHECK(tern_dtype_of(total(i)) == TERN_I64 && tern_dtype_of(tern_exp(d)) == TERN_F64);
    CHECK(tern_exp_(t) == t && tern_dtype_of(t) == TERN_BF16);
    CHECK(tern_dtype_of(tern_exp(t2)) == TERN_F32);
    tern_tensor *y = tern_matmul(w, w);
    CHECK(tern_exp_(y) == y && tern_dtype_of(y) == TERN_BF16, "%s", tern_error_message()); /* recorded in place */
    CHECK(tern_backward(total(y)), "%s", tern_error_message());
    tern_autocast_pop(cast);
}

TERN_TEST(autocast, refusals) {
    const int a = tern_autocast_push(here(), TERN_F64);
    EXPECT_PENDING(TERN_ERR_DTYPE, "autocast_push: f64");
    tern_autocast_pop(a);
    const int b = tern_autocast_push((tern_device_type)9, TERN_BF16);
    EXPECT_PENDING(TERN_ERR_DEVICE, "autocast_push");
    tern_autocast_pop(b);
    const int c = tern_autocast_push(here(), TERN_BF16);
    (void)tern_matmul(tern_zeros(TERN_SHAPE(2, 3), (tern_options){0}), tern_zeros(TERN_SHAPE(2, 3), (tern_options){0}));
    EXPECT_PENDING(TERN_ERR_SHAPE, "matmul");
    CHECK(tern_autocast_get(here()) == TERN_BF16, "an op that failed left its suspension behind");
    CHECK(!tern_matmul(NULL, NULL));
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "matmul");
    CHECK(!tern_cat(NULL, 2, 0));
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "cat");
    tern_autocast_pop(c);
}

/* ---- training
 * -------------------------------------------------------------------------------------------------------- */

static double digits_accuracy(tern_dtype low) {
    tern_seed(42);
    tern_dataset *train = tern_digits_new(true), *test = tern_digits_new(false);
    tern_loader *loader = tern_loader_new(train, (tern_loader_opts){.batch = 32, .shuffle = true, .seed = 42});
    tern_module *net = tern_sequential(tern_flatten_new(), tern_linear_new(64, 64, (tern_linear_opts){0}),
                                       tern_relu_new(), tern_linear_new(64, 10, (tern_linear_opts){0}), NULL);
    tern_optim *opt = tern_adamw_new(net, 3e-3, (tern_adamw_opts){0});
    tern_batch b;
    const int outer = tern_scope_push();
    for (int epoch = 0; epoch < 8; epoch++) {
        while (tern_loader_next(loader, &b)) {
            const int cast = tern_autocast_push(TERN_CPU, low);
            tern_tensor *loss = tern_cross_entropy(tern_forward(net, b.x), b.y, (tern_cross_entropy_opts){0});
            tern_autocast_pop(cast);
            CHECK(tern_backward(loss) && tern_optim_step(opt), "%s", tern_error_message());
            tern_scope_pop(outer);
        }
        tern_scope_pop(outer);
    }
    tern_loader *all = tern_loader_new(test, (tern_loader_opts){.batch = 100});
    double hits = 0;
    while (tern_loader_next(all, &b)) {
        const int cast = tern_autocast_push(TERN_CPU, low);
        tern_tensor *y = tern_forward(net, b.x);
        tern_autocast_pop(cast);
        CHECK(tern_dtype_of(y) == low);
        hits += tern_item(total(tern_eq(tern_argmax(y, 1, false), b.y)));
    }
    const double share = 100 * hits / (double)test->length;
    tern_loader_free(all);
    tern_optim_free(opt);
    tern_module_free(net);
    tern_loader_free(loader);
    tern_dataset_free(train);
    tern_dataset_free(test);
    return share;
}

TERN_TEST(autocast, digits_are_learned_as_well_in_bf16) {
    const double f32 = digits_accuracy(TERN_F32), bf16 = digits_accuracy(TERN_BF16);
    CHECK(f32 > 90 && bf16 > f32 - 1, "f32 %.2f %%, bf16 %.2f %%", f32, bf16);
}

/* ---- memory that runs out ---------------------------------------------------------------------------------------- */

static bool everything(void) {
    const int scope = tern_scope_push();
    const int cast = tern_autocast_push(here(), TERN_BF16), inner = tern_autocast_suspend();
    tern_autocast_pop(inner);
    tern_tensor *x = test_random(TERN_SHAPE(3, 3), -1, 1, TERN_F32), *w = parameter(TERN_SHAPE(3, 3));
    tern_tensor *both[2] = {tern_matmul(x, w), x};
    tern_tensor *y = tern_recompute(layer, &both[0], 1, w);
    both[0] = y;
    y = tern_rnn_cell(tern_cat(both, 2, 0), NULL, (tern_tensor *const[]){w, w, NULL, NULL}, 4, false);
    y = tern_mse_loss(y, tern_zeros_like(y), TERN_REDUCE_MEAN);
    const bool good = y && tern_backward(y) && tern_grad_get(w);
    tern_autocast_pop(cast);
    tern_scope_pop(scope);
    return good;
}

TERN_TEST(autocast, every_allocation_fails) {
    if (test_device().type != TERN_CPU) return; /* a device's allocator tries again */
    REQUIRE(everything(), "%s", tern_error_message());
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    for (int64_t n = 1;; n++) {
        check_case("allocation %" PRId64 " fails", n);
        tern_memory_fail_at(n);
        const bool good = everything();
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        CHECK(good == tern_ok());
        tern_error_clear();
        CHECK(tern_memory_device(tern_cpu()).live == device && tern_memory_host().live == host);
        CHECK(tern_autocast_get(here()) == TERN_F32 && tern_grad_mode_get());
        if (requests < n) {
            CHECK(good);
            break;
        }
        CHECK(!good);
        if (check_failures() > 10) break;
    }
}
