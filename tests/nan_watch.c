/* The NaN watch: the first op, gradient or parameter that is bad is named, and nothing else is. */
#include <pthread.h>

#include "common.h"
#include "tern/autocast.h"
#include "tern/layers.h"
#include "tern/optim.h"
#include "tern/trace.h"

static tern_tensor *vector(double a, double b) { return test_values(TERN_F32, TERN_SHAPE(2), a, b); }
static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }

TERN_TEST(nan_watch, names_the_first_op) {
    tern_tensor *x = vector(1, -1);
    CHECK(tern_nan_watch(TERN_WATCH_NAN) == TERN_WATCH_OFF && tern_nan_watch_get() == TERN_WATCH_NAN);
    CHECK(tern_exp(tern_mul(x, x)) && CHECK_OK());
    EXPECT_ERROR(tern_exp(tern_log(x)), TERN_ERR_ARGUMENT, "nan_watch: log made NaN at [1] of its output 0, [2] f32");
    tern_tensor *m = test_values(TERN_F32, TERN_SHAPE(2, 2), 1, 2, (double)NAN, 4);
    tern_set_name(m, "data");
    EXPECT_ERROR(tern_matmul(tern_abs(test_random(TERN_SHAPE(2, 2), 0, 1, TERN_F32)), m), TERN_ERR_ARGUMENT,
                 "matmul was given NaN at [1, 0] of its input 1, 'data' [2, 2] f32");
    EXPECT_ERROR(total(m), TERN_ERR_ARGUMENT, "sum was given NaN");
    EXPECT_ERROR(tern_softmax(m, -1), TERN_ERR_ARGUMENT, "softmax was given NaN");
    EXPECT_ERROR(tern_add(m, vector(1, 2)), TERN_ERR_ARGUMENT, "add was given NaN");
    EXPECT_ERROR(tern_cast(m, TERN_F64), TERN_ERR_ARGUMENT, "cast was given NaN");
    CHECK(tern_log(vector(0, 1)) && tern_div(vector(1, 1), vector(0, 1)) && CHECK_OK()); /* infinities */
    CHECK(tern_nan_watch(TERN_WATCH_NOT_FINITE) == TERN_WATCH_NAN);
    EXPECT_ERROR(tern_log(vector(0, 1)), TERN_ERR_ARGUMENT, "log made a negative infinity at [0]");
    EXPECT_ERROR(tern_div(vector(1, 1), vector(1, 0)), TERN_ERR_ARGUMENT, "div made an infinity at [1]");
    EXPECT_ERROR(tern_cast(vector(1, 70000), TERN_F16), TERN_ERR_ARGUMENT, "cast made an infinity at [1]");
    CHECK(tern_nan_watch(TERN_WATCH_OFF) == TERN_WATCH_NOT_FINITE);
    CHECK(tern_log(x) && CHECK_OK());
}

TERN_TEST(nan_watch, empty_and_integer_results_are_none_of_its_business) {
    tern_nan_watch(TERN_WATCH_NOT_FINITE);
    tern_tensor *none = tern_zeros(TERN_SHAPE(0, 3), (tern_options){.device = test_device()});
    CHECK(tern_exp(none) && tern_gt(vector(1, 2), vector(0, 5)) && CHECK_OK());
    CHECK(tern_rand(TERN_SHAPE(3), 0, 1, (tern_options){0}) && tern_dropout(vector(1, 2), 0.5) && CHECK_OK());
    tern_nan_watch(TERN_WATCH_OFF);
}

/* sqrt's slope at 0 is infinite, and 0 times that is NaN. */
TERN_TEST(nan_watch, names_the_gradient) {
    tern_tensor *x = tern_require_grad(vector(0, 4), true);
    tern_set_name(x, "fc.weight");
    tern_nan_watch(TERN_WATCH_NAN);
    tern_tensor *fine = total(tern_sqrt(x));
    CHECK(tern_backward(fine), "%s", tern_error_message()); /* an infinity */
    tern_grad_set(x, NULL);
    tern_tensor *y = total(tern_mul(tern_sqrt(x), vector(0, 1)));
    EXPECT_ERROR(
        tern_backward(y), TERN_ERR_ARGUMENT,
        "nan_watch: the backward rule of sqrt made NaN at [0] of the gradient of its input 0 \"fc.weight\", [2] f32, "
        "in backward pass 2");
    EXPECT_ERROR(tern_log(vector(-1, 1)), TERN_ERR_ARGUMENT, "after 2 backward passes");
    tern_nan_watch(TERN_WATCH_NOT_FINITE);
    EXPECT_ERROR(tern_backward(total(tern_sqrt(x))), TERN_ERR_ARGUMENT, "sqrt made an infinity at [0] of the gradient");
    tern_tensor *seed = vector((double)INFINITY, 1), *z = tern_mul(x, x);
    EXPECT_ERROR(tern_backward_from(z, seed, (tern_backward_opts){0}), TERN_ERR_ARGUMENT,
                 "the gradient that reaches output 0 of mul has an infinity at [0]");
    tern_nan_watch(TERN_WATCH_OFF);
    CHECK(tern_backward(total(tern_sqrt(x))) && CHECK_OK());
    tern_nan_watch(TERN_WATCH_NAN); /* the count begins anew */
    EXPECT_ERROR(tern_log(vector(-1, 1)), TERN_ERR_ARGUMENT, "after 0 backward passes");
    tern_nan_watch(TERN_WATCH_OFF);
}

/* A rate that is far too large: the parameter goes bad in a step, which the next forward tells, by the module's name.
 */
TERN_TEST(nan_watch, names_a_modules_parameter) {
    tern_module *net = tern_sequential(tern_linear_new(2, 3, (tern_linear_opts){0}), tern_tanh_new(),
                                       tern_linear_new(3, 1, (tern_linear_opts){0}), NULL);
    CHECK(tern_module_to(net, test_device()));
    tern_optim *o = tern_sgd_new(net, 1e38, (tern_sgd_opts){0});
    tern_tensor *x = test_random(TERN_SHAPE(4, 2), 0.5, 1, TERN_F32);
    tern_nan_watch(TERN_WATCH_NOT_FINITE);
    const int cast = tern_autocast_push((tern_device_type)test_device().type, TERN_BF16);
    bool ok = true;
    for (int i = 0; ok && i < 5; i++) {
        tern_tensor *loss = tern_mean(tern_square(tern_mul_scalar(tern_forward(net, x), 100)), NULL, 0, false);
        ok = tern_backward(loss) && tern_optim_step(o);
    }
    EXPECT_PENDING(TERN_ERR_ARGUMENT, ".weight'");
    tern_autocast_pop(cast);
    tern_nan_watch(TERN_WATCH_OFF);
    CHECK(!ok);
    tern_optim_free(o);
    tern_module_free(net);
}

static void *elsewhere(void *user) { return tern_nan_watch_get() == TERN_WATCH_OFF ? user : NULL; }

TERN_TEST(nan_watch, is_per_thread_and_goes_with_traces_and_anomaly_mode) {
    pthread_t t;
    int dummy;
    void *result;
    tern_nan_watch(TERN_WATCH_NAN);
    REQUIRE(pthread_create(&t, NULL, elsewhere, &dummy) == 0);
    REQUIRE(pthread_join(t, &result) == 0);
    CHECK(result == &dummy);
    CHECK(!tern_anomaly_mode(true) && tern_nan_watch_get() == TERN_WATCH_NAN && tern_anomaly_mode(false));
    tern_tensor *x = vector(1, 2);
    tern_tracer *trace = tern_tracer_begin();
    tern_tracer_follow(trace, x);
    CHECK(tern_exp(tern_log(x)) && CHECK_OK()); /* looking is no part of the trace */
    CHECK(tern_tracer_end(trace), "%s", tern_error_message());
    tern_traced op;
    CHECK(tern_tracer_at(trace, 1, &op) && strcmp(op.op, "exp") == 0 && !tern_tracer_at(trace, 2, &op));
    tern_tracer_free(trace);
    EXPECT_ERROR(tern_log(vector(-1, 1)), TERN_ERR_ARGUMENT, "log made NaN"); /* the trace's end leaves it on */
    tern_nan_watch(TERN_WATCH_OFF);
}

/* A forward that switches the watch, or begins a trace, for what comes after it. */
typedef struct switches {
    bool watch;
    tern_tracer *trace;
} switches;
static switches inside;
static bool switching(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)ctx, (void)n;
    if (inside.watch) (void)tern_nan_watch(TERN_WATCH_OFF);
    if (!inside.watch) inside.trace = tern_tracer_begin();
    out[0] = tern_add_scalar(in[0], 1);
    return out[0] != NULL;
}
TERN_TEST(nan_watch, switched_inside_of_a_function) {
    static const tern_function f = {"switching", 1, 0, switching, NULL, NULL};
    tern_tensor *x = vector(-1, 1), *y = NULL;
    for (int k = 0; k < 2; k++) {
        inside.watch = k == 0;
        tern_nan_watch(TERN_WATCH_NAN);
        CHECK(tern_apply(&f, &x, 1, NULL, &y) && CHECK_OK());
        tern_nan_watch(TERN_WATCH_NAN);
        EXPECT_ERROR(tern_log(x), TERN_ERR_ARGUMENT, "log made NaN");
        tern_nan_watch(TERN_WATCH_OFF);
    }
    tern_traced op;
    CHECK(tern_tracer_follow(inside.trace, x) && tern_exp(x) && tern_tracer_end(inside.trace) && CHECK_OK());
    CHECK(tern_tracer_at(inside.trace, 0, &op) && strcmp(op.op, "exp") == 0);
    tern_tracer_free(inside.trace);
}
