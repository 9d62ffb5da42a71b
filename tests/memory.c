/* Every allocation failing once: no crash, no leak, an error, and the program can go on. The steps are made of ops
 * alone; tests/train.c does the same with modules, optimizers and checkpoints. */
#include "common.h"

typedef struct net {
    tern_tensor *p[8], *m[8], *v[8], *mean, *var;
    int n;
} net;

static tern_tensor *parameter(tern_shape s) {
    return tern_keep(tern_require_grad(test_random(s, -0.5, 0.5, TERN_F32), true));
}

static void net_open(net *s, const tern_shape *shapes, int n) {
    *s = (net){.n = n,
               .mean = tern_keep(tern_zeros(TERN_SHAPE(4), (tern_options){0})),
               .var = tern_keep(tern_ones(TERN_SHAPE(4), (tern_options){0}))};
    for (int i = 0; i < n; i++) {
        s->p[i] = parameter(shapes[i]);
        s->m[i] = tern_keep(tern_zeros_like(tern_detach(s->p[i])));
        s->v[i] = tern_keep(tern_zeros_like(tern_detach(s->p[i])));
    }
}

static void net_close(net *s) {
    for (int i = 0; i < s->n; i++) {
        tern_release(s->p[i]);
        tern_release(s->m[i]);
        tern_release(s->v[i]);
    }
    tern_release(s->mean);
    tern_release(s->var);
}

static tern_tensor *mlp(net *s, tern_tensor *x) {
    tern_tensor *h = tern_relu(tern_linear(tern_flatten(x, 1, -1), s->p[0], s->p[1]));
    h = tern_layer_norm(tern_gelu(h), 1, s->p[4], s->p[5], 0);
    return tern_linear(tern_dropout(h, 0.2), s->p[2], s->p[3]);
}

static tern_tensor *cnn(net *s, tern_tensor *x) {
    tern_tensor *h = tern_conv2d(x, s->p[0], s->p[1], (tern_conv2d_opts){.pad = {1}});
    h = tern_batch_norm(h, s->p[2], s->p[3], s->mean, s->var, (tern_batch_norm_opts){.training = true});
    h = tern_avg_pool2d(tern_max_pool2d(tern_relu(h), (int64_t[]){2, 2}, (tern_pool2d_opts){0}), (int64_t[]){2, 2},
                        (tern_pool2d_opts){0});
    return tern_linear(tern_flatten(tern_dropout(h, 0.2), 1, -1), s->p[4], s->p[5]);
}

/* A whole step with gradients through gradients (a penalty on the input's gradient), an in-place update, a norm. */
static bool step(net *s, tern_tensor *(*forward)(net *, tern_tensor *), int64_t number) {
    const int scope = tern_scope_push();
    double images[3 * 64];
    for (int i = 0; i < 3 * 64; i++) images[i] = sin(i);
    tern_tensor *x = tern_require_grad(test_tensor(images, TERN_SHAPE(3, 1, 8, 8), TERN_F32), true), *g = NULL;
    tern_tensor *t = test_values(TERN_I64, TERN_SHAPE(3), 1, 0, 2);
    tern_tensor *loss = tern_cross_entropy(forward(s, x), t, (tern_cross_entropy_opts){.label_smoothing = 0.1});
    bool good = tern_grad(loss, &x, 1, NULL, (tern_backward_opts){.create_graph = true}, &g);
    good = good && tern_backward(tern_add(loss, tern_mean(tern_square(g), NULL, 0, false)));
    tern_tensor *grads[8] = {NULL};
    for (int i = 0; i < s->n && good; i++) grads[i] = tern_grad_get(s->p[i]);
    tern_tensor *norm = good ? tern_global_norm(grads, s->n) : NULL;
    good = good && norm &&
           tern_update(TERN_UPDATE_ADAM, s->p, grads, (tern_tensor *const *const[]){s->m, s->v, NULL}, s->n,
                       (const double[]){1e-3, 1 / sqrt(1 - pow(0.999, (double)number)), 0, 1, 0.1, 0.999, 1e-3, 1e-8},
                       (tern_update_opts){0});
    for (int i = 0; i < s->n; i++) tern_grad_set(s->p[i], NULL);
    good = good && isfinite(tern_item(loss)) && tern_ok();
    tern_scope_pop(scope);
    return good;
}

static void every_allocation_fails(net *s, tern_tensor *(*forward)(net *, tern_tensor *)) {
    REQUIRE(step(s, forward, 1), "%s", tern_error_message()); /* caches and tables are made */
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    int64_t n = 1, failed = 0;
    for (;; n++) {
        check_case("allocation %" PRId64 " fails", n);
        tern_memory_fail_at(n);
        const bool good = step(s, forward, 2);
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        if (requests < n) {
            CHECK(good, "%s", tern_error_message());
            break;
        }
        CHECK(!good, "the step succeeded");
        failed += !good;
        if (!good) EXPECT_PENDING(TERN_ERR_MEMORY, "memory");
        for (int i = 0; i < s->n; i++) CHECK(tern_grad_set(s->p[i], NULL)); /* refused while the error was pending */
        CHECK(tern_memory_device(tern_cpu()).live == device, "%" PRId64 " bytes of tensors leaked",
              tern_memory_device(tern_cpu()).live - device);
        CHECK(tern_memory_host().live == host, "%" PRId64 " bytes of bookkeeping leaked",
              tern_memory_host().live - host);
        if (n % 10 == 0) CHECK(step(s, forward, 3), "the program cannot go on: %s", tern_error_message());
        if (!CHECK_OK() || check_failures() > 20) break;
    }
    check_case("%s", "");
    CHECK(failed > 50, "%" PRId64 " failures only", failed);
    fprintf(stderr, "%" PRId64 " allocations failed\n", failed);
}

TERN_TEST(memory, every_allocation_of_an_mlp_s_step, .timeout = 300) {
    const tern_shape shapes[] = {TERN_SHAPE(16, 64), TERN_SHAPE(16), TERN_SHAPE(3, 16),
                                 TERN_SHAPE(3),      TERN_SHAPE(16), TERN_SHAPE(16)};
    net s;
    net_open(&s, shapes, 6);
    every_allocation_fails(&s, mlp);
    net_close(&s);
}

TERN_TEST(memory, every_allocation_of_a_cnn_s_step, .timeout = 300) {
    const tern_shape shapes[] = {TERN_SHAPE(4, 1, 3, 3), TERN_SHAPE(4),     TERN_SHAPE(4),
                                 TERN_SHAPE(4),          TERN_SHAPE(3, 16), TERN_SHAPE(3)};
    net s;
    net_open(&s, shapes, 6);
    every_allocation_fails(&s, cnn);
    net_close(&s);
}

/* ---- single ops
 * ------------------------------------------------------------------------------------------------------ */

static bool some_ops(void) {
    const int scope = tern_scope_push();
    tern_tensor *x = test_random(TERN_SHAPE(4, 6), -1, 1, TERN_F32), *p[3] = {x, x, x}, *y[2];
    tern_tensor *index = test_values(TERN_I64, TERN_SHAPE(3), 0, 2, 1);
    bool good = tern_set_name(x, "x") && tern_hook_add(tern_require_grad(x, true), NULL, NULL) == -1;
    tern_error_clear();
    y[0] = tern_cat(p, 3, 0);
    y[1] = tern_stack(p, 3, 1);
    good = tern_matmul(tern_transpose(x, 0, 1), x) && tern_max(y[0], NULL, 0, false) && tern_argmax(y[1], 0, false);
    good = good && tern_index_add(tern_index_select(x, 0, index), 0, index, tern_slice(x, 0, 0, 3, 1));
    good =
        good && tern_cast(tern_where(tern_gt(x, tern_zeros_like(x)), x, tern_scalar(0, (tern_options){0})), TERN_BF16);
    good = good && tern_clone(tern_permute(y[1], (int[]){2, 0, 1}, 3)) &&
           tern_reshape(tern_transpose(x, 0, 1), TERN_SHAPE(24));
    double v[24];
    good = good && tern_to_doubles(tern_transpose(x, 0, 1), v, 24) && tern_softmax(x, 0) && tern_pow(tern_abs(x), x);
    good = good && tern_randn(TERN_SHAPE(5), 0, 1, (tern_options){.dtype = TERN_F64}) &&
           tern_arange(0, 5, (tern_options){0});
    tern_scope_pop(scope);
    return good;
}

TERN_TEST(memory, every_allocation_of_some_ops) {
    REQUIRE(some_ops(), "%s", tern_error_message());
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    for (int64_t n = 1;; n++) {
        check_case("allocation %" PRId64 " fails", n);
        tern_memory_fail_at(n);
        const bool good = some_ops();
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        tern_error_clear();
        CHECK(tern_memory_device(tern_cpu()).live == device && tern_memory_host().live == host);
        if (requests < n) {
            CHECK(good);
            break;
        }
    }
}

TERN_TEST(memory, the_switch) {
    tern_memory_fail_at(2);
    CHECK(tern_memory_requests() == 0);
    tern_tensor *a = tern_zeros(TERN_SHAPE(3), (tern_options){0});
    tern_memory_fail_at(0);
    if (!a) EXPECT_PENDING(TERN_ERR_MEMORY, "memory");
    CHECK(tern_zeros(TERN_SHAPE(3), (tern_options){0}) != NULL);
    tern_memory_fail_at(1);
    EXPECT_ERROR(tern_zeros(TERN_SHAPE(3), (tern_options){0}), TERN_ERR_MEMORY, "memory");
    CHECK(tern_memory_requests() == 1);
    CHECK(tern_zeros(TERN_SHAPE(3), (tern_options){0}) != NULL); /* once only */
    tern_memory_fail_at(0);
}

/* The canaries are looked at. AddressSanitizer would stop at the write itself. */
#if !TEST_ASAN
TERN_TEST(memory, writing_beyond_a_block_is_noticed) {
    const int64_t before = tern_memory_damaged();
    const int s = tern_scope_push();
    volatile char *p = tern_data(tern_zeros(TERN_SHAPE(10), (tern_options){0}));
    p[40] = 1;
    tern_scope_pop(s);
    CHECK(tern_memory_damaged() == before + 1);
    CHECK(!tern_memory_guard(), "it can be switched on late");
    check_forgive_damage();
    CHECK(isnan(*(float *)tern_data(tern_empty(TERN_SHAPE(10), (tern_options){0}))), "fresh memory is not filled");
}
#endif
