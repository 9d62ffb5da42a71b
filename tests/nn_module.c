/* The tree of modules: names, ownership on every way to fail, moves, copies, the summary. */
#include "common.h"
#include "tern/layers.h"
#include "tern/optim.h"
#include "tern/schedule.h"

/* ---- a user's module --------------------------------------------------------------------------------------------- */

typedef struct net {
    tern_module m;
    tern_module *a, *b;
    int64_t dropped_at; /* where drop leaves its mark */
} net;

static int drops;
static void net_drop(tern_module *m) {
    (void)m;
    drops++;
}

static net *net_new(int64_t in, int64_t out) {
    net *s = TERN_MODULE_NEW(net);
    if (!s) return NULL;
    s->m.drop = net_drop;
    s->a = tern_module_add(&s->m, "a", tern_linear_new(in, 6, (tern_linear_opts){0}));
    s->b = tern_module_add(&s->m, "b", tern_linear_new(6, out, (tern_linear_opts){0}));
    return tern_module_done(s);
}

static tern_tensor *net_forward(net *s, tern_tensor *x) { return tern_forward(s->b, tern_relu(tern_forward(s->a, x))); }

static tern_module *linear(int64_t in, int64_t out) { return tern_linear_new(in, out, (tern_linear_opts){0}); }
static tern_tensor *zeros(int64_t n) { return tern_zeros(TERN_SHAPE(n), (tern_options){0}); }

TERN_TEST(nn_module, users_module) {
    drops = 0;
    net *s = net_new(3, 2);
    REQUIRE(s != NULL);
    CHECK(strcmp(s->m.type, "net") == 0 && s->m.training);
    CHECK_SHAPE(net_forward(s, tern_zeros(TERN_SHAPE(5, 3), (tern_options){0})), 5, 2);
    EXPECT_ERROR(tern_forward(&s->m, zeros(3)), TERN_ERR_UNSUPPORTED, "forward: net has no forward");
    tern_module_free(s);
    CHECK(drops == 1);
    EXPECT_ERROR(net_new(3, 0), TERN_ERR_ARGUMENT, "linear: 6 -> 0");
    CHECK(drops == 2);
    tern_module_free(NULL);
    CHECK(!tern_module_done(NULL));
    EXPECT_ERROR(tern_module_alloc(8, "small"), TERN_ERR_ARGUMENT, "small has 8 bytes");
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static tern_module *tree(void) { /* 0: linear, 1: {0: batch_norm, 1: linear without bias}, 2: net */
    return tern_sequential(linear(2, 3),
                           tern_sequential(tern_batch_norm_new(3, (tern_norm_opts){0}),
                                           tern_linear_new(3, 3, (tern_linear_opts){.no_bias = true}), NULL),
                           net_new(3, 2), NULL);
}

TERN_TEST(nn_module, names_and_order) {
    static const struct {
        const char *name;
        bool is_param;
    } want[] = {
        {"0.weight", true},
        {"0.bias", true},
        {"1.0.weight", true},
        {"1.0.bias", true},
        {"1.0.running_mean", false},
        {"1.0.running_var", false},
        {"1.0.num_batches_tracked", false},
        {"1.1.weight", true},
        {"2.a.weight", true},
        {"2.a.bias", true},
        {"2.b.weight", true},
        {"2.b.bias", true},
    };
    const int n = (int)(sizeof want / sizeof *want);
    tern_module *m = tree();
    tern_named e, again;
    for (int i = 0; i < n; i++) {
        REQUIRE(tern_module_each(m, i, &e));
        CHECK(strcmp(e.name, want[i].name) == 0 && e.is_param == want[i].is_param, "%s", e.name);
        CHECK(strcmp(tern_name(e.tensor), e.name) == 0, "named %s", tern_name(e.tensor));
        CHECK(tern_module_get(m, e.name) == e.tensor);
        CHECK(tern_requires_grad(e.tensor) == e.is_param);
        CHECK(tern_module_each(m, i, &again) && again.name == e.name);
    }
    CHECK(!tern_module_each(m, n, &e) && !tern_module_each(m, -1, &e) && tern_ok());
    CHECK(tern_module_count(m, false) == 6 + 3 + 6 + 9 + 24 + 14);
    tern_require_grad(tern_module_get(m, "0.weight"), false);
    CHECK(tern_module_count(m, true) == tern_module_count(m, false) - 6);
    EXPECT_ERROR(tern_module_get(m, "1.0.nothing"), TERN_ERR_ARGUMENT, "no parameter or buffer \"1.0.nothing\"");
    CHECK(tern_module_child(m, "") == m);
    CHECK(strcmp(tern_module_child(m, "1.0")->type, "batch_norm") == 0);
    CHECK(strcmp(tern_module_child(m, "2.b")->type, "linear") == 0);
    static const char *const wrong[] = {"3", "1.2", "1.", ".1", "1..0", "10", "0.weight"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_ERROR(tern_module_child(m, wrong[i]), TERN_ERR_ARGUMENT, wrong[i]);
    /* A part's own names are its own; the tensors keep their full ones. */
    CHECK(tern_module_each(tern_module_child(m, "1"), 0, &e) && strcmp(e.name, "0.weight") == 0);
    CHECK(strcmp(tern_name(e.tensor), "1.0.weight") == 0);
    tern_module_free(m);
}

TERN_TEST(nn_module, names_follow_the_tree) {
    tern_module *inner = tern_sequential(linear(2, 2), NULL);
    tern_tensor *w = tern_module_get(inner, "0.weight");
    CHECK(strcmp(tern_name(w), "0.weight") == 0);
    net *outer = TERN_MODULE_NEW(net);
    tern_module_add(&outer->m, "features", inner);
    tern_module *top = tern_sequential(outer, NULL);
    CHECK(strcmp(tern_name(w), "0.features.0.weight") == 0, "%s", tern_name(w));
    CHECK(tern_module_count(top, false) == 6);
    tern_module_add(&outer->m, "late", linear(1, 1)); /* a list that was made is made anew */
    CHECK(tern_module_count(top, false) == 8);
    CHECK(tern_module_get(top, "0.late.bias") != NULL);
    /* Messages name the parameter. */
    tern_tensor *x = tern_require_grad(tern_ones(TERN_SHAPE(1, 2), (tern_options){0}), true);
    tern_tensor *y = tern_sum(tern_forward(inner, x), NULL, 0, false);
    tern_init_zeros(w);
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "0.features.0.weight");
    tern_module_free(top);
}

/* ---- ownership --------------------------------------------------------------------------------------------------- */

/* What a failure may not leave behind: host memory, beyond what the thread keeps for itself anyway. */
static int64_t held(void) {
    tern_scope_pop(0);
    return tern_memory_host().live + tern_memory_device(tern_cpu()).live;
}

static tern_module *broken(int kind) {
    switch (kind) {
        case 0: /* the first, the middle and the last child */
            return tern_sequential(linear(0, 1), linear(1, 1), linear(1, 1), NULL);
        case 1:
            return tern_sequential(linear(1, 1), linear(0, 1), linear(1, 1), NULL);
        case 2:
            return tern_sequential(linear(1, 1), linear(1, 1), linear(0, 1), NULL);
        case 3:
            return tern_sequential(linear(1, 1), tern_sequential(linear(1, 1), tern_dropout_new(2), NULL), linear(1, 1),
                                   NULL);
        case 4: /* NULL without an error of its own */
            return tern_sequential(linear(1, 1), NULL, linear(1, 1), NULL);
        case 5: { /* a name twice */
            tern_module *m = TERN_MODULE_NEW(tern_module);
            tern_module_add(m, "a", linear(1, 1));
            CHECK(!tern_module_add(m, "a", linear(1, 1)));
            return tern_module_done(m);
        }
        case 6: { /* parameter, buffer and child share their names */
            tern_module *m = TERN_MODULE_NEW(tern_module);
            tern_module_param(m, "a", zeros(2));
            CHECK(!tern_module_buffer(m, "a", zeros(2)));
            return tern_module_done(m);
        }
        case 7:
        case 8:
        case 9:
        case 10: {
            static const char *const names[] = {"", "a.b", "a/b", NULL};
            tern_module *m = TERN_MODULE_NEW(tern_module);
            CHECK(!tern_module_add(m, names[kind - 7], linear(1, 1)));
            return tern_module_done(m);
        }
        case 11: { /* an integer parameter */
            tern_module *m = TERN_MODULE_NEW(tern_module);
            CHECK(!tern_module_param(m, "a", tern_zeros(TERN_SHAPE(2), (tern_options){.dtype = TERN_I64})));
            return tern_module_done(m);
        }
        case 12: { /* a parameter that was computed */
            tern_module *m = TERN_MODULE_NEW(tern_module);
            CHECK(!tern_module_param(m, "a", tern_neg(tern_require_grad(zeros(2), true))));
            return tern_module_done(m);
        }
        case 13: { /* a part that failed and was not ended with tern_module_done */
            tern_module *m = TERN_MODULE_NEW(tern_module), *part = TERN_MODULE_NEW(tern_module);
            CHECK(!tern_module_param(part, "a", NULL));
            CHECK(!tern_module_add(m, "part", part));
            return tern_module_done(m);
        }
        case 14: { /* the error was cleared, the part is still missing */
            tern_module *m = TERN_MODULE_NEW(tern_module);
            CHECK(!tern_module_add(m, "part", NULL));
            tern_error_clear();
            return tern_module_done(m);
        }
        default: /* no parent: the child goes */
            return tern_module_add(NULL, "a", linear(1, 1));
    }
}

TERN_TEST(nn_module, failures_free_all) {
    static const struct {
        tern_code code;
        const char *text;
    } want[] = {
        {TERN_ERR_ARGUMENT, "linear: 0 -> 1"},
        {TERN_ERR_ARGUMENT, "linear: 0 -> 1"},
        {TERN_ERR_ARGUMENT, "linear: 0 -> 1"},
        {TERN_ERR_ARGUMENT, "dropout: p is 2"},
        {TERN_ERR_ARGUMENT, "module_add: the child for \"1\" of sequential is NULL"},
        {TERN_ERR_ARGUMENT, "already has a part named \"a\""},
        {TERN_ERR_ARGUMENT, "module_buffer: tern_module already has a part named \"a\""},
        {TERN_ERR_ARGUMENT, "no '.'"},
        {TERN_ERR_ARGUMENT, "\"a.b\""},
        {TERN_ERR_ARGUMENT, "\"a/b\""},
        {TERN_ERR_ARGUMENT, "name is NULL"},
        {TERN_ERR_DTYPE, "require_grad"},
        {TERN_ERR_AUTOGRAD, "require_grad"},
        {TERN_ERR_ARGUMENT, "module_param: a is NULL"},
        {TERN_ERR_ARGUMENT, "a part of the tern_module failed"},
        {TERN_ERR_ARGUMENT, "parent is NULL"},
    };
    const int n = (int)(sizeof want / sizeof *want);
    tern_module_free(tree()); /* what the thread keeps is there now */
    for (int i = 0; i < n; i++) {
        check_case("kind %d", i);
        const int64_t before = held();
        EXPECT_ERROR(broken(i), want[i].code, want[i].text);
        CHECK(held() == before, "%" PRId64 " bytes are held", held() - before);
    }
}

TERN_TEST(nn_module, pending_error) {
    tern_module *child = linear(1, 1), *m = tern_sequential(linear(1, 1), NULL);
    tern_error_set(TERN_ERR_IO, "made up");
    CHECK(!tern_linear_new(1, 1, (tern_linear_opts){0}) && !tern_relu_new() && !tern_flatten_new());
    CHECK(!tern_conv2d_new(1, 1, 1, (tern_conv2d_opts){0}) && !tern_max_pool2d_new(2, (tern_pool2d_opts){0}));
    CHECK(!tern_batch_norm_new(1, (tern_norm_opts){0}) && !tern_dropout_new(0.5) && !tern_softmax_new(0));
    CHECK(!tern_layer_norm_new(TERN_SHAPE(1), (tern_norm_opts){0}) && !TERN_MODULE_NEW(net) && !net_new(1, 1));
    CHECK(!tern_sequential(NULL) && !tern_forward(m, NULL) && !tern_module_to(m, tern_cpu()));
    CHECK(!tern_module_cast(m, TERN_F64) && !tern_module_get(m, "0.weight") && !tern_module_copy(m, m));
    char buf[8] = "x";
    CHECK(tern_module_summary(m, NULL, buf, sizeof buf) == buf && buf[0] == 0);
    tern_module_train(m, false); /* these work */
    CHECK(!m->training);
    tern_module_zero_grad(m);
    CHECK(!tern_module_add(m, "x", child)); /* frees child */
    CHECK(!tern_module_done(m));            /* frees m */
    EXPECT_PENDING(TERN_ERR_IO, "made up");
}

TERN_TEST(nn_module, one_owner) {
    tern_module *child = linear(1, 1), *a = tern_sequential(child, NULL), *b = TERN_MODULE_NEW(tern_module);
    CHECK(!tern_module_add(b, "x", child));
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "\"x\" belongs to a sequential already");
    CHECK(!tern_module_done(b));
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "failed");
    tern_module_free(child);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "module_free: this linear belongs to a sequential");
    CHECK(tern_module_get(a, "0.weight") != NULL);
    CHECK(!tern_module_add(child, "loop", a) && !tern_ok());
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "\"loop\" would be a part of itself");
    tern_module_free(a);
}

/* ---- sequential -------------------------------------------------------------------------------------------------- */

TERN_TEST(nn_module, sequential) {
    tern_module *layers[] = {linear(2, 3), tern_relu_new(), linear(3, 1)};
    tern_module *m = tern_sequential_of((void *const *)layers, 3);
    tern_tensor *x = tern_randn(TERN_SHAPE(4, 2), 0, 1, (tern_options){0});
    tern_tensor *want = tern_forward(layers[2], tern_relu(tern_forward(layers[0], x)));
    CHECK_SAME(tern_forward(m, x), want, ((tolerance){0, 0}));
    tern_module_free(m);
    m = tern_sequential(NULL); /* nothing: passes on */
    CHECK(tern_forward(m, x) == x);
    tern_module_free(m);
}

TERN_TEST(nn_module, sequential_drops_early) {
    void *layers[12];
    for (int i = 0; i < 12; i++) layers[i] = tern_gelu_new(false);
    tern_module *m = tern_sequential_of(layers, 12);
    const int64_t bytes = 1 << 20;
    tern_tensor *x = tern_zeros(TERN_SHAPE(bytes / 4), (tern_options){0});
    const int64_t before = tern_memory_device(tern_cpu()).live;
    tern_memory_reset_peak();
    CHECK(tern_forward(m, x) != NULL);
    const int64_t peak = tern_memory_device(tern_cpu()).peak - before;
    CHECK(peak <= 2 * bytes + 4096, "%" PRId64 " bytes", peak);
    CHECK(tern_memory_device(tern_cpu()).live - before <= bytes + 4096);
    tern_module_free(m);
}

/* ---- modes, moves, copies ---------------------------------------------------------------------------------------- */

TERN_TEST(nn_module, train_and_zero_grad) {
    tern_module *m = tree();
    tern_module_train(m, false);
    CHECK(!m->training && !tern_module_child(m, "1.0")->training && !tern_module_child(m, "2.a")->training);
    tern_module_train(m, true);
    CHECK(m->training && tern_module_child(m, "1.0")->training && tern_module_child(m, "2.a")->training);
    tern_tensor *w = tern_module_get(m, "2.a.weight");
    tern_grad_set(w, tern_ones_like(w));
    tern_module_zero_grad(m);
    CHECK(!tern_grad_get(w));
    tern_module_free(m);
}

TERN_TEST(nn_module, modes_for_a_while) {
    tern_module *m = tree();
    tern_module *part = tern_module_child(m, "2.a"), *other = tern_module_child(m, "1.0");
    tern_module_train(part, false);
    CHECK(tern_module_mode_push(m) && m->training && !part->training);
    tern_module_train(m, false);
    CHECK(tern_module_mode_push(m));
    tern_module_train(m, true);
    tern_module *late = tern_module_add(m, "late", tern_relu_new());
    tern_module_mode_pop(m);
    CHECK(!m->training && !other->training && !part->training && late->training);
    tern_module_mode_pop(m);
    CHECK(m->training && other->training && !part->training && late->training);
    tern_module_mode_pop(m); /* one too many */
    CHECK(m->training && other->training && !part->training);
    tern_module_train(other, false);
    for (int i = 0; i < 63; i++) CHECK(tern_module_mode_push(m));
    EXPECT_ERROR(tern_module_mode_push(m) ? m : NULL, TERN_ERR_ARGUMENT, "63");
    tern_module_train(m, true);
    for (int i = 0; i < 63; i++) tern_module_mode_pop(m);
    CHECK(m->training && !other->training && !part->training);
    CHECK(tern_module_mode_push(NULL));
    tern_module_mode_pop(NULL);
    tern_module_free(m);
}

TERN_TEST(nn_module, cast_keeps_references) {
    tern_module *m = tree();
    tern_tensor *w = tern_module_get(m, "0.weight"), *count = tern_module_get(m, "1.0.num_batches_tracked");
    const double value = tern_item(tern_select(tern_select(w, 0, 0), 0, 1));
    tern_grad_set(w, tern_ones_like(w));
    CHECK(tern_module_cast(m, TERN_F64));
    CHECK(tern_module_get(m, "0.weight") == w && tern_dtype_of(w) == TERN_F64 && !tern_grad_get(w));
    CHECK(tern_requires_grad(w) && tern_is_leaf(w) && strcmp(tern_name(w), "0.weight") == 0);
    CHECK(tern_dtype_of(tern_module_get(m, "1.0.running_var")) == TERN_F64 && tern_dtype_of(count) == TERN_I64);
    CHECK_NUMBER(tern_item(tern_select(tern_select(w, 0, 0), 0, 1)), value, 0);
    CHECK(tern_module_to(m, tern_cpu()));
    EXPECT_ERROR(tern_module_cast(m, TERN_I32), TERN_ERR_DTYPE, "module_cast: i32");
    EXPECT_ERROR(tern_module_to(m, tern_cuda(99)), TERN_ERR_DEVICE, "");
    CHECK(tern_dtype_of(w) == TERN_F64 && tern_device_equal(tern_device_of(w), tern_cpu()));
    tern_module_free(m);
}

TERN_TEST(nn_module, shared_parameters) {
    tern_module *m = TERN_MODULE_NEW(tern_module);
    tern_tensor *w = tern_module_param(m, "w", tern_ones(TERN_SHAPE(3), (tern_options){0}));
    tern_module *part = TERN_MODULE_NEW(tern_module);
    CHECK(tern_module_param(part, "tied", w) == w);
    tern_module_add(m, "part", part);
    REQUIRE(tern_module_done(m) != NULL);
    CHECK(tern_module_count(m, false) == 3);
    CHECK(tern_module_get(m, "part.tied") == w && strcmp(tern_name(w), "w") == 0);
    CHECK(tern_module_cast(m, TERN_F64) && tern_module_get(m, "part.tied") == w);
    tern_optim *o = tern_sgd_new(m, 0.5, (tern_sgd_opts){0});
    CHECK(tern_optim_group_of(o, "w") == 0 && tern_optim_group_of(o, "part.tied") == -1);
    tern_backward(tern_sum(w, NULL, 0, false));
    CHECK(tern_optim_step(o));
    CHECK_VALUES(w, 0.5, 0.5, 0.5);
    char buf[2000];
    CHECK(strstr(tern_module_summary(m, NULL, buf, sizeof buf), "3 parameters") && strstr(buf, "shared"));
    tern_optim_free(o);
    tern_module_free(m);
}

TERN_TEST(nn_module, copy) {
    tern_module *a = tree(), *b = tree(), *other = tern_sequential(linear(2, 4), linear(4, 1), NULL);
    tern_module_cast(b, TERN_F64);
    CHECK(tern_module_copy(b, a));
    tern_named x, y;
    for (int i = 0; tern_module_each(a, i, &x) && tern_module_each(b, i, &y); i++)
        CHECK_SAME(y.tensor, x.tensor, ((tolerance){0, 0}));
    CHECK(tern_module_copy(a, a));
    tern_tensor *before = tern_clone(tern_detach(tern_module_get(other, "0.weight")));
    CHECK(!tern_module_copy(other, a));
    const char *text = tern_error_message();
    CHECK(strstr(text, "missing: 1.weight, 1.bias;"), "%s", text);
    CHECK(strstr(text, "unexpected: 1.0.weight, 1.0.bias, 1.0.running_mean"), "%s", text);
    CHECK(strstr(text, "other shapes: 0.weight ([3, 2] instead of [4, 2]), 0.bias"), "%s", text);
    EXPECT_PENDING(TERN_ERR_SHAPE, "module_copy");
    CHECK_SAME(tern_module_get(other, "0.weight"), before, ((tolerance){0, 0}));
    tern_module_free(a);
    tern_module_free(b);
    tern_module_free(other);
}

/* ---- the summary ------------------------------------------------------------------------------------------------- */

static tern_module *cnn(void) {
    return tern_sequential(tern_conv2d_new(1, 8, 3, (tern_conv2d_opts){.pad = {1}}),
                           tern_batch_norm_new(8, (tern_norm_opts){0}), tern_relu_new(),
                           tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_dropout_new(0.5), tern_flatten_new(),
                           linear(8 * 14 * 14, 1000), NULL);
}

TERN_TEST(nn_module, summary) {
    tern_module *m = cnn();
    tern_module_child(m, "1")->training = false;
    const tern_shape input = TERN_SHAPE(2, 1, 28, 28);
    const tern_random stream = tern_random_get();
    const int64_t live = tern_memory_device(tern_cpu()).live;
    char buf[4000];
    CHECK(tern_module_summary(m, &input, buf, sizeof buf) == buf);
    static const char whole[] =
        "name    type        settings                     output          parameters      FLOPs\n"
        "--------------------------------------------------------------------------------------\n"
        "(root)  sequential                               [2, 1000]                   6,497,792\n"
        "0       conv2d      1 -> 8, kernel 3x3, pad 1x1  [2, 8, 28, 28]          80    225,792\n"
        "1       batch_norm  8, eps 1e-05, momentum 0.1   [2, 8, 28, 28]          16           \n"
        "2       relu                                     [2, 8, 28, 28]                       \n"
        "3       max_pool2d  kernel 2x2                   [2, 8, 14, 14]                       \n"
        "4       dropout     p 0.5                        [2, 8, 14, 14]                       \n"
        "5       flatten                                  [2, 1568]                            \n"
        "6       linear      1568 -> 1000                 [2, 1000]        1,569,000  6,272,000\n"
        "--------------------------------------------------------------------------------------\n"
        "1,569,096 parameters, 1,569,096 of them trainable; 17 elements in buffers; 6,276,456 bytes\n"
        "forward: ";
    CHECK(strncmp(buf, whole, sizeof whole - 1) == 0, "\n%s", buf);
    /* conv's output for batch_norm, batch_norm's or relu's for relu, the pool's for linear and its indices (i32), mean
     * and deviation of 8 channels, and the result. */
    CHECK(strstr(buf, " bytes at most beside parameters and input; 133,504 kept for a backward pass\n"), "\n%s", buf);
    CHECK(tern_random_get().seed == stream.seed && tern_random_get().position == stream.position);
    CHECK(tern_memory_device(tern_cpu()).live == live);
    CHECK(m->training && !tern_module_child(m, "1")->training && tern_grad_mode_get());
    CHECK(tern_item_i64(tern_module_get(m, "1.num_batches_tracked")) == 0);
    tern_module_summary(m, NULL, buf, sizeof buf);
    CHECK(!strstr(buf, "output") && strstr(buf, "1568 -> 1000"));
    tern_module_free(m);
}

TERN_TEST(nn_module, summary_is_cut) {
    tern_module *m = cnn();
    char whole[4000], buf[4000];
    tern_module_summary(m, NULL, whole, sizeof whole);
    for (size_t size = 0; size <= strlen(whole) + 1; size++) {
        memset(buf, 'X', sizeof buf);
        tern_module_summary(m, NULL, buf, size);
        CHECK(buf[size] == 'X');
        if (size) CHECK(strlen(buf) == size - 1 && memcmp(buf, whole, size - 1) == 0, "size %zu", size);
    }
    tern_module_free(m);
}

TERN_TEST(nn_module, summary_of_a_wrong_input) {
    tern_module *m = cnn();
    const tern_shape input = TERN_SHAPE(2, 1, 20, 20);
    char buf[4000];
    tern_module_summary(m, &input, buf, sizeof buf);
    CHECK(strstr(buf, "[2, 8, 20, 20]") && strstr(buf, "[2, 800]") && strstr(buf, "1,569,096 parameters"), "%s", buf);
    EXPECT_PENDING(TERN_ERR_SHAPE, "linear");
    CHECK(m->training && tern_module_child(m, "6")->training && tern_grad_mode_get());
    tern_module_free(m);
}

/* ---- every allocation fails once --------------------------------------------------------------------------------- */

static tern_module *small(void) {
    return tern_sequential(tern_conv2d_new(1, 2, 3, (tern_conv2d_opts){0}), tern_batch_norm_new(2, (tern_norm_opts){0}),
                           tern_relu_new(), tern_dropout_new(0.5), tern_flatten_new(), net_new(2 * 4, 3), NULL);
}

static tern_tensor *head(tern_module *m, tern_tensor *x) {
    net *last = (net *)tern_module_child(m, "5");
    for (int i = 0; i < 5; i++) {
        const char name[2] = {(char)('0' + i), 0};
        x = tern_forward(tern_module_child(m, name), x);
    }
    return last ? net_forward(last, x) : NULL;
}

/* Builds, trains for two steps, summarises, casts. */
static void life(void) {
    tern_module *m = small();
    tern_optim *o = m ? tern_adamw_new(m, 0.01, (tern_adamw_opts){0}) : NULL;
    if (o) tern_optim_group(o, "*.bias", (tern_group_opts){.weight_decay = -1});
    const tern_schedule s = {.kind = TERN_SCHEDULE_COSINE, .lr = 0.01, .total = 10};
    for (int i = 0; i < 2 && o; i++) {
        const int scope = tern_scope_push();
        tern_tensor *x = tern_randn(TERN_SHAPE(4, 1, 4, 4), 0, 1, (tern_options){0});
        tern_tensor *y = tern_zeros(TERN_SHAPE(4), (tern_options){.dtype = TERN_I64});
        tern_backward(tern_cross_entropy(head(m, x), y, (tern_cross_entropy_opts){0}));
        tern_optim_clip_norm(o, 1);
        tern_schedule_apply(&s, o);
        tern_optim_step(o);
        tern_scope_pop(scope);
    }
    tern_optim_state e;
    for (int i = 0; o && tern_optim_each(o, i, &e); i++) continue;
    tern_module *copy = m ? small() : NULL;
    if (copy) tern_module_copy(copy, m);
    char buf[2000];
    if (m) tern_module_summary(m, &(tern_shape){4, {1, 1, 4, 4}}, buf, sizeof buf);
    if (tern_error_code() == TERN_ERR_UNSUPPORTED) tern_error_clear(); /* net has no forward: so it should be */
    if (m) tern_module_cast(m, TERN_F64);
    tern_module_free(copy);
    tern_optim_free(o);
    tern_module_free(m);
}

TERN_TEST(nn_module, every_allocation_fails_once) {
    life();
    CHECK_OK();
    const int64_t before = held();
    int64_t n = 1;
    for (;; n++) {
        check_case("request %" PRId64, n);
        tern_memory_fail_at(n);
        life();
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        if (requests < n) break;
        CHECK(tern_error_code() == TERN_ERR_MEMORY || tern_ok(), "%s", tern_error_message());
        tern_error_clear();
        if (!CHECK(held() == before, "%" PRId64 " bytes are held", held() - before)) break;
        CHECK(tern_grad_mode_get());
    }
    CHECK_OK();
    CHECK(n > 300, "%" PRId64 " requests", n);
}
