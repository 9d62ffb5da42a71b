/* Traces: what is listed, what is constant, and what is refused. */
#include "common.h"
#include "tern/layers.h"
#include "tern/trace.h"

static tern_tensor *numbers(tern_shape shape) {
    const int64_t n = shape_numel(shape);
    double v[64];
    for (int64_t i = 0; i < n; i++) v[i] = 0.25 * (double)i - 1;
    return test_tensor(v, shape, TERN_F32);
}

static bool names(const tern_tracer *t, const char *const *want, int n) {
    tern_traced op;
    bool ok = true;
    int64_t i = 0;
    for (; tern_tracer_at(t, i, &op); i++)
        ok &= CHECK(i < n && strcmp(op.op, want[i]) == 0, "op %d is %s", (int)i, op.op);
    return CHECK(i == n, "%d ops", (int)i) && ok;
}

TERN_TEST(trace, lists_what_follows) {
    tern_tensor *x = numbers(TERN_SHAPE(2, 3)), *w = numbers(TERN_SHAPE(4, 3));
    tern_tracer *t = tern_tracer_begin();
    REQUIRE(t && tern_tracer_follow(t, x));
    tern_tensor *scale = tern_exp(tern_slice(w, 0, 0, 1, 1)); /* of constants: not listed */
    tern_tensor *y = tern_linear_relu(tern_mul(x, scale), w, NULL);
    tern_tensor *z = tern_sum(tern_transpose(y, 0, 1), (const int[]){0}, 1, true);
    REQUIRE(tern_tracer_end(t));
    (void)tern_exp(x); /* after the end */
    static const char *const want[] = {"mul", "linear", "relu", "permute", "sum"};
    tern_traced op;
    int64_t v[8] = {0};
    if (names(t, want, 5)) {
        tern_tracer_at(t, 0, &op);
        CHECK(op.n_in == 2 && op.in[0] == x && op.in[1] == scale && op.formula && strcmp(op.formula, "a * b") == 0);
        tern_tracer_at(t, 1, &op);
        CHECK(op.n_in == 3 && op.in[1] == w && !op.in[2] && !op.formula);
        tern_tracer_at(t, 3, &op);
        CHECK(tern_traced_ints(&op, "dims", v, 8) == 8 && v[0] == 1 && v[1] == 0);
        tern_tracer_at(t, 4, &op);
        CHECK(tern_traced_ints(&op, "dims", v, 1) == 1 && v[0] == 1);
        CHECK(tern_traced_ints(&op, "keepdim", v, 1) == 1 && v[0] == 1);
        CHECK(tern_traced_ints(&op, "stride", v, 1) == 0 && tern_traced_number(&op, "eps") == 0);
        CHECK(op.out[0] == z);
    }
    CHECK(tern_tracer_depends(t, z) && tern_tracer_depends(t, x) && !tern_tracer_depends(t, scale));
    CHECK(!tern_tracer_at(t, 5, &op) && !tern_tracer_at(t, -1, &op) && !tern_tracer_at(NULL, 0, &op));
    tern_tracer_free(t);
}

TERN_TEST(trace, settings) {
    tern_tensor *x = numbers(TERN_SHAPE(1, 2, 4, 4)), *w = numbers(TERN_SHAPE(2, 2, 2, 2));
    tern_tracer *t = tern_tracer_begin();
    REQUIRE(t && tern_tracer_follow(t, x));
    tern_tensor *y = tern_conv2d(x, w, NULL, (tern_conv2d_opts){.stride = {2, 1}, .pad = {1}, .groups = 1});
    y = tern_leaky_relu(tern_layer_norm(y, 1, NULL, NULL, 1e-3), 0.2);
    (void)tern_leaky_relu(tern_leaky_relu(y, 0.2), 0.3);
    REQUIRE(y && tern_tracer_end(t), "%s", tern_error_message());
    tern_traced op, next;
    int64_t v[3] = {0};
    tern_tracer_at(t, 0, &op);
    CHECK(tern_traced_ints(&op, "stride", v, 3) == 3 && v[1] == 2 && v[2] == 1);
    CHECK(tern_traced_ints(&op, "axes", v, 3) == 1 && v[0] == 2);
    tern_tracer_at(t, 1, &op);
    CHECK(tern_traced_number(&op, "eps") == 1e-3);
    tern_tracer_at(t, 2, &op);
    CHECK(tern_traced_number(&op, "p") == 0.2);
    tern_tracer_at(t, 3, &next);
    CHECK(tern_traced_alike(&op, &next) && !tern_traced_alike(&op, NULL));
    tern_tracer_at(t, 4, &next);
    CHECK(!tern_traced_alike(&op, &next));
    tern_tracer_free(t);
}

static void in_place(tern_tensor *x) { tern_relu_(tern_mul_scalar(x, 2)); }
static void filled(tern_tensor *x) { tern_fill_(tern_mul_scalar(x, 2), 1); }
static void item(tern_tensor *x) { (void)tern_item(tern_sum(x, NULL, 0, false)); }
static void data(tern_tensor *x) { (void)tern_data(tern_neg(x)); }
static void doubles(tern_tensor *x) {
    double v[6];
    (void)tern_to_doubles(x, v, 6);
}
static void host(tern_tensor *x) {
    float v[6];
    (void)tern_to_host(tern_reshape(x, TERN_SHAPE(6)), v, sizeof v);
}
static void draws(tern_tensor *x) { (void)tern_dropout(x, 0.5); }
static void unlisted(tern_tensor *x) { (void)tern_nonzero(x); }
static void written(tern_tensor *x) {
    tern_tensor *y = tern_neg(x);
    tern_touch(y);
    (void)tern_neg(y);
}

TERN_TEST(trace, refuses_what_it_cannot_list) {
    static const struct {
        void (*run)(tern_tensor *x);
        const char *why;
    } cases[] = {{in_place, "relu_"}, {filled, "in place"},           {item, "tern_item"},
                 {data, "tern_data"}, {doubles, "tern_to_doubles"},   {host, "tern_to_host"},
                 {draws, "draws"},    {unlisted, "cannot be listed"}, {written, "changed in place"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].why);
        const int scope = tern_scope_push();
        tern_tensor *x = numbers(TERN_SHAPE(2, 3));
        tern_tracer *t = tern_tracer_begin();
        REQUIRE(t && tern_tracer_follow(t, x));
        cases[i].run(x);
        CHECK(tern_error_code() == TERN_ERR_UNSUPPORTED && strstr(tern_error_message(), cases[i].why), "%s",
              tern_error_message());
        CHECK(!tern_tracer_end(t));
        tern_error_clear();
        tern_tracer_free(t);
        cases[i].run(numbers(TERN_SHAPE(2, 3))); /* without a trace */
        CHECK_OK();
        tern_scope_pop(scope);
    }
}

TERN_TEST(trace, one_a_thread) {
    tern_tracer *t = tern_tracer_begin();
    REQUIRE(t != NULL);
    CHECK(!tern_tracer_begin() && tern_error_code() == TERN_ERR_ARGUMENT);
    tern_error_clear();
    tern_tracer_free(t); /* ends it */
    t = tern_tracer_begin();
    CHECK(t != NULL && tern_tracer_end(t) && tern_tracer_end(t));
    tern_tracer_free(t);
    CHECK(tern_tracer_end(NULL) && !tern_tracer_depends(NULL, NULL));
    tern_tracer_free(NULL);
    CHECK(!tern_tracer_follow(NULL, NULL));
    tern_error_clear();
}

/* Each request for memory fails once: an error, no leak. */
TERN_TEST(trace, without_memory) {
    tern_tensor *x = numbers(TERN_SHAPE(2, 3));
    for (int64_t n = 1; n < 500; n++) {
        const int scope = tern_scope_push();
        tern_memory_fail_at(n);
        tern_tracer *t = tern_tracer_begin();
        if (t && tern_tracer_follow(t, x)) (void)tern_softmax(tern_add(x, tern_exp(x)), 1);
        tern_tracer_end(t);
        const bool done = tern_memory_requests() < n;
        tern_memory_fail_at(0);
        CHECK(done ? tern_ok() : tern_error_code() == TERN_ERR_MEMORY, "%s", tern_error_message());
        tern_error_clear();
        tern_tracer_free(t);
        tern_scope_pop(scope);
        if (done) return;
    }
    FAIL("it does not end");
}
