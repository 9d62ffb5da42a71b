/* Captured graphs, on TERN_TEST_DEVICE: what cannot be captured, and steps that must be bit for bit what eager ones
 * are. On the CPU there is nothing to capture, and only that is tested. */
#include <pthread.h>

#include "common.h"
#include "tern/autocast.h"
#include "tern/graph.h"
#include "tern/layers.h"
#include "tern/optim.h"
#include "tern/schedule.h"

/* True, after saying so, where nothing is captured: on the CPU, and where every block comes from the driver. */
static bool nothing_to_capture(void) {
    const char *how = getenv("TERN_CUDA_ALLOCATOR");
    const bool direct = how && strcmp(how, "direct") == 0;
    if (test_device().type != TERN_CPU && !direct) return false;
    EXPECT_ERROR(tern_graph_capture_begin(test_device()), TERN_ERR_UNSUPPORTED,
                 test_device().type == TERN_CPU ? "captures no graphs" : "TERN_CUDA_ALLOCATOR=direct");
    fprintf(stderr, "graph: the rest is skipped\n");
    return true;
}

static tern_options on_device(tern_dtype dtype) { return (tern_options){dtype, test_device()}; }

TERN_TEST(graph, cpu_captures_nothing) {
    EXPECT_ERROR(tern_graph_capture_begin(tern_cpu()), TERN_ERR_UNSUPPORTED, "the cpu backend captures no graphs");
    EXPECT_ERROR(tern_graph_capture_end(), TERN_ERR_ARGUMENT, "graph_capture_end: this thread captures nothing");
    EXPECT_ERROR(tern_graph_replay(NULL), TERN_ERR_ARGUMENT, "graph_replay");
    double *value = NULL;
    EXPECT_ERROR(tern_graph_numbers(1, &value), TERN_ERR_ARGUMENT, "graph_numbers");
    EXPECT_ERROR(tern_graph_on_replay(NULL, NULL, NULL), TERN_ERR_ARGUMENT, "graph_on_replay");
    CHECK(!tern_graph_capturing());
    CHECK(tern_graph_free(NULL));
}

/* ---- whole training steps ------------------------------------------------------------------------------------------
 */

enum { BATCH = 6, SIDE = 6, CLASSES = 4, STEPS = 9, WARM = 2, PARAMS = 12, ELEMENTS = 4096 };

typedef struct plan {
    const char *name;
    bool cnn;
    int optimizer; /* adam, adamw with groups, sgd with momentum, sgd, nadam, asgd, radam, rmsprop */
} plan;

typedef struct record {
    float loss[STEPS], norm[STEPS], value[ELEMENTS];
    int64_t elements, steps, updates;
    tern_random random;
    double lr;
} record;

static tern_module *model_new(bool cnn) {
    if (!cnn)
        return tern_sequential(tern_flatten_new(), tern_linear_new(SIDE * SIDE, 20, (tern_linear_opts){0}),
                               tern_relu_new(), tern_dropout_new(0.3),
                               tern_linear_new(20, CLASSES, (tern_linear_opts){0}), NULL);
    return tern_sequential(tern_conv2d_new(1, 4, 3, (tern_conv2d_opts){.pad = {1}}),
                           tern_batch_norm_new(4, (tern_norm_opts){0}), tern_relu_new(),
                           tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_flatten_new(), tern_dropout_new(0.3),
                           tern_linear_new(4 * 9, CLASSES, (tern_linear_opts){0}), NULL);
}

static tern_optim *optim_new(tern_module *m, int kind) {
    if (kind == 0) return tern_adam_new(m, 0.01, (tern_adam_opts){0});
    if (kind == 2) return tern_sgd_new(m, 0.05, (tern_sgd_opts){.momentum = 0.9, .nesterov = true});
    if (kind == 3) return tern_sgd_new(m, 0.05, (tern_sgd_opts){0});
    if (kind == 4) return tern_nadam_new(m, 0.01, (tern_nadam_opts){0});
    if (kind == 5) return tern_asgd_new(m, 0.05, (tern_asgd_opts){.lambd = 0.1, .t0 = 3});
    if (kind == 6) return tern_radam_new(m, 0.01, (tern_radam_opts){.weight_decay = 0.1, .decoupled = true});
    if (kind == 7) return tern_rmsprop_new(m, 0.01, (tern_rmsprop_opts){.momentum = 0.8, .centered = true});
    tern_optim *o = tern_adamw_new(m, 0.01, (tern_adamw_opts){.weight_decay = 0.1});
    CHECK(tern_optim_group(o, "*.bias", (tern_group_opts){.weight_decay = -1, .lr_scale = 0.5}) == 1);
    return o;
}

typedef struct trainer {
    tern_module *net;
    tern_optim *opt;
    tern_tensor *x, *y; /* the batch, on the device */
    tern_tensor *loss, *norm;
} trainer;

static bool step(trainer *t) {
    const int scope = tern_scope_push();
    tern_tensor *loss = tern_cross_entropy(tern_forward(t->net, t->x), t->y, (tern_cross_entropy_opts){0});
    tern_tensor *norm = tern_backward(loss) ? tern_optim_clip_norm(t->opt, 0.5) : NULL;
    const bool ok = norm && tern_optim_step(t->opt);
    tern_release(t->loss);
    tern_release(t->norm);
    t->loss = tern_keep(tern_detach(loss));
    t->norm = tern_keep(norm);
    tern_scope_pop(scope);
    return ok;
}

static void next_batch(trainer *t, int i) {
    const int scope = tern_scope_push();
    double x[BATCH * SIDE * SIDE], y[BATCH];
    for (int k = 0; k < BATCH * SIDE * SIDE; k++) x[k] = test_uniform(0, 1);
    for (int k = 0; k < BATCH; k++) y[k] = (i + k) % CLASSES;
    tern_copy_(t->x, tern_from_doubles(x, TERN_SHAPE(BATCH, 1, SIDE, SIDE), (tern_options){0}));
    tern_copy_(t->y, tern_from_doubles(y, TERN_SHAPE(BATCH), (tern_options){.dtype = TERN_I64}));
    tern_scope_pop(scope);
}

static void note(const trainer *t, record *r) {
    tern_named e;
    for (int i = 0; tern_module_each(t->net, i, &e); i++) { /* parameters and running statistics */
        const int64_t n = tern_numel(e.tensor);
        if (!CHECK(r->elements + n <= ELEMENTS)) return;
        tern_tensor *f = tern_cast(e.tensor, TERN_F32);
        CHECK(tern_to_host(f, r->value + r->elements, (size_t)n * sizeof(float)));
        r->elements += n;
    }
    tern_optim_state s;
    for (int i = 0; tern_optim_each(t->opt, i, &s); i++)
        if (tern_dtype_of(s.tensor) == TERN_I64) r->updates = 100 * r->updates + tern_item_i64(s.tensor);
    r->steps = tern_optim_steps(t->opt);
    r->lr = tern_optim_lr(t->opt);
    r->random = tern_random_get();
}

/* STEPS steps; captured: the first WARM eagerly, the rest by replays. */
static void train(const plan *p, bool captured, record *r) {
    memset(r, 0, sizeof *r);
    tern_seed(7);
    test_seed(3);
    trainer t = {.net = model_new(p->cnn)};
    REQUIRE(t.net && tern_module_to(t.net, test_device()));
    t.opt = optim_new(t.net, p->optimizer);
    t.x = tern_keep(tern_zeros(TERN_SHAPE(BATCH, 1, SIDE, SIDE), on_device(TERN_F32)));
    t.y = tern_keep(tern_zeros(TERN_SHAPE(BATCH), on_device(TERN_I64)));
    const tern_schedule cosine = {.kind = TERN_SCHEDULE_COSINE, .lr = 0.02, .warmup = 3, .total = 20};
    const tern_schedule cycle = {.kind = TERN_SCHEDULE_ONE_CYCLE, .lr = 0.02, .total = 12, .cycle_momentum = true};
    const tern_schedule schedule = p->optimizer == 7 || p->optimizer == 2 ? cycle : cosine;
    tern_graph *graph = NULL;
    for (int i = 0; i < STEPS && tern_ok(); i++) {
        next_batch(&t, i);
        CHECK(tern_schedule_apply(&schedule, t.opt));
        if (captured && i == WARM) {
            CHECK(tern_graph_capture_begin(test_device()));
            CHECK(tern_graph_capturing());
            CHECK(step(&t));
            graph = tern_graph_capture_end();
            CHECK(graph != NULL, "%s", tern_error_message());
            CHECK(tern_optim_steps(t.opt) == WARM); /* nothing has run yet */
        }
        CHECK(graph ? tern_graph_replay(graph) : step(&t), "%s", tern_error_message());
        r->loss[i] = (float)tern_item(t.loss);
        r->norm[i] = (float)tern_item(t.norm);
    }
    note(&t, r);
    tern_release(t.loss);
    tern_release(t.norm);
    CHECK(tern_graph_free(graph), "%s", tern_error_message());
    tern_optim_free(t.opt);
    tern_module_free(t.net);
    tern_release(t.x);
    tern_release(t.y);
}

TERN_TEST(graph, replays_are_eager_steps) {
    if (nothing_to_capture()) return;
    static const plan plans[] = {{"mlp, adam", false, 0},  {"mlp, sgd", false, 3},    {"mlp, momentum", false, 2},
                                 {"cnn, adamw", true, 1},  {"mlp, nadam", false, 4},  {"mlp, asgd", false, 5},
                                 {"mlp, radam", false, 6}, {"mlp, rmsprop", false, 7}};
    static record want, got;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        check_case("%s", plans[i].name);
        train(&plans[i], false, &want);
        train(&plans[i], true, &got);
        CHECK(want.loss[STEPS - 1] > 0 && want.loss[0] > 0 && want.norm[0] > 0); /* numbers */
        CHECK(memcmp(want.loss, got.loss, sizeof want.loss) == 0, "losses %.9g and %.9g at the end",
              (double)want.loss[STEPS - 1], (double)got.loss[STEPS - 1]);
        CHECK(memcmp(want.norm, got.norm, sizeof want.norm) == 0);
        CHECK(memcmp(want.value, got.value, sizeof want.value) == 0);
        CHECK(want.elements == got.elements && want.steps == got.steps && want.updates == got.updates);
        CHECK(want.random.seed == got.random.seed && want.random.position == got.random.position);
        CHECK_NUMBER(got.lr, want.lr, 0);
    }
}

TERN_TEST(graph, optimizers_of_many_kernels_are_refused) {
    if (nothing_to_capture()) return;
    tern_module *m = tern_linear_new(3, 2, (tern_linear_opts){0});
    CHECK(tern_module_to(m, test_device()));
    tern_optim *o = tern_lamb_new(m, 0.1, (tern_lamb_opts){0});
    tern_named e;
    for (int k = 0; k < 2; k++) {
        for (int i = 0; tern_module_each(m, i, &e); i++) tern_grad_set(e.tensor, tern_ones_like(tern_detach(e.tensor)));
        if (k == 0) CHECK(tern_optim_step(o));
    }
    CHECK(tern_graph_capture_begin(test_device()));
    CHECK(!tern_optim_step(o));
    EXPECT_PENDING(TERN_ERR_UNSUPPORTED, "optim_step: a step of lamb cannot be captured");
    tern_graph *graph = tern_graph_capture_end();
    CHECK(tern_graph_free(graph));
    tern_error_clear();
    CHECK(tern_optim_steps(o) == 1 && tern_optim_step(o));
    tern_optim_free(o);
    tern_module_free(m);
}

/* ---- draws ---------------------------------------------------------------------------------------------------------
 */

enum { DRAWS = 8 };

static tern_tensor *draw(int kind, tern_tensor *p) {
    switch (kind) {
        case 0:
            return tern_rand(TERN_SHAPE(7, 3), -1, 2, on_device(TERN_F32));
        case 1:
            return tern_randn(TERN_SHAPE(11), 0, 1, on_device(TERN_F64));
        case 2:
            return tern_dropout(p, 0.4);
        case 3:
            return tern_randint(TERN_SHAPE(9), -5, 100, on_device(TERN_I64));
        case 4:
            return tern_bernoulli(p);
        case 5:
            return tern_randperm(13, test_device());
        case 6:
            return tern_multinomial(p, 5, true);
        default:
            return tern_multinomial(p, 5, false);
    }
}

static void draw_all(tern_tensor *p, tern_tensor **out) {
    for (int k = 0; k < DRAWS; k++) out[k] = draw(k, p);
}

TERN_TEST(graph, draws_go_on_in_the_stream) {
    if (nothing_to_capture()) return;
    tern_tensor *p = tern_full(TERN_SHAPE(3, 10), 0.5, on_device(TERN_F32)), *want[4][DRAWS], *got[DRAWS];
    tern_seed(11);
    (void)tern_rand(TERN_SHAPE(100), 0, 1, on_device(TERN_F32));
    const tern_random start = tern_random_get();
    for (int i = 0; i < 4; i++) draw_all(p, want[i]);
    const tern_random stop = tern_random_get();
    tern_random_set(start);
    CHECK(tern_graph_capture_begin(test_device()));
    draw_all(p, got);
    tern_graph *g = tern_graph_capture_end();
    REQUIRE(g != NULL, "%s", tern_error_message());
    CHECK(tern_random_get().position == start.position);
    for (int i = 0; i < 4; i++) {
        CHECK(tern_graph_replay(g));
        for (int k = 0; k < DRAWS; k++) {
            check_case("replay %d, draw %d", i, k);
            CHECK_SAME(got[k], want[i][k], ((tolerance){0, 0}));
        }
    }
    CHECK(tern_random_get().position == stop.position && tern_random_get().seed == stop.seed);
    EXPECT_ERROR(tern_graph_free(g), TERN_ERR_ARGUMENT, "graph_free"); /* got is alive */
    CHECK_SAME(got[0], want[3][0], ((tolerance){0, 0}));
}

/* ---- hooks, numbers, memory
 * ------------------------------------------------------------------------------------------
 */

typedef struct counter {
    double *value;
    int calls, drops;
} counter;

static bool count_up(void *user) {
    counter *c = user;
    if (c->calls == 3) return tern_error_set(TERN_ERR_ARGUMENT, "enough");
    c->calls++;
    for (int i = 0; i < 300; i++) c->value[i] = 1000 * c->calls + i;
    return true;
}
static void dropped(void *user) { ((counter *)user)->drops++; }

TERN_TEST(graph, numbers_of_each_replay) {
    if (nothing_to_capture()) return;
    counter c = {0};
    CHECK(tern_graph_capture_begin(test_device()));
    const int scope = tern_scope_push();
    for (int i = 0; i < 3; i++) (void)tern_full(TERN_SHAPE(300), 1, on_device(TERN_F64));
    tern_scope_pop(scope); /* memory that the graph writes before it is free for what comes */
    tern_tensor *v = tern_graph_numbers(300, &c.value); /* more than one launch of cells */
    CHECK(tern_graph_on_replay(count_up, dropped, &c));
    tern_tensor *sum = tern_keep(tern_sum(v, NULL, 0, false));
    double *more;
    EXPECT_ERROR(tern_graph_numbers(0, &more), TERN_ERR_ARGUMENT, "n is 0");
    EXPECT_ERROR(tern_graph_numbers(8192, &more), TERN_ERR_ARGUMENT, "7890 that the graph has left");
    tern_graph *g = tern_graph_capture_end();
    REQUIRE(g != NULL, "%s", tern_error_message());
    CHECK(c.calls == 0);
    for (int i = 1; i <= 3; i++) {
        CHECK(tern_graph_replay(g));
        CHECK_ITEM(sum, 300 * 1000.0 * i + 299 * 150, 0);
    }
    EXPECT_ERROR(tern_graph_replay(g), TERN_ERR_ARGUMENT, "enough");
    CHECK_ITEM(sum, 300 * 3000.0 + 299 * 150, 0);
    tern_release(sum);
    tern_scope_pop(0);
    CHECK(c.drops == 0);
    CHECK(tern_graph_free(g), "%s", tern_error_message());
    CHECK(c.drops == 1);
}

TERN_TEST(graph, memory_of_the_graph) {
    if (nothing_to_capture()) return;
    int scope = tern_scope_push();
    tern_tensor *old = tern_keep(tern_full(TERN_SHAPE(50), 2, on_device(TERN_F32)));
    tern_tensor *x = tern_keep(tern_ones(TERN_SHAPE(50), on_device(TERN_F32)));
    CHECK(tern_graph_capture_begin(test_device()));
    tern_tensor *y = tern_keep(tern_mul(tern_add(x, old), old));
    tern_release(old); /* only the graph has it now */
    tern_scope_pop(scope);
    tern_graph *g = tern_graph_capture_end();
    REQUIRE(g != NULL, "%s", tern_error_message());
    scope = tern_scope_push();
    for (int i = 0; i < 8; i++) (void)tern_full(TERN_SHAPE(50), 7, on_device(TERN_F32)); /* would take its place */
    CHECK(tern_graph_replay(g));
    CHECK_ITEM(tern_max(y, NULL, 0, false), 6, 0);
    tern_fill_(x, 4);
    CHECK(tern_graph_replay(g) && tern_graph_replay(g));
    CHECK_ITEM(tern_min(y, NULL, 0, false), 12, 0);
    /* An error that is pending does not keep it. */
    (void)tern_add(NULL, x), (void)tern_reshape(x, TERN_SHAPE(3));
    CHECK(!tern_ok());
    tern_error_clear();
    EXPECT_ERROR(tern_graph_free(g), TERN_ERR_ARGUMENT, "live on");
    CHECK_ITEM(tern_min(y, NULL, 0, false), 12, 0);
    tern_release(y);
    tern_release(x);
    tern_scope_pop(scope);
}

/* ---- what cannot be captured
 * -----------------------------------------------------------------------------------------
 */

static tern_graph *other; /* a good one */

static void *elsewhere(void *user) {
    tern_tensor *x = user;
    const int scope = tern_scope_push();
    (void)tern_add(x, x);
    const bool refused =
        tern_error_code() == TERN_ERR_UNSUPPORTED && strstr(tern_error_message(), "captured by another thread") != NULL;
    tern_error_clear();
    tern_scope_pop(scope);
    return refused ? user : NULL;
}

typedef struct refusal {
    const char *name;
    void (*act)(tern_tensor *x);
    tern_code code;
    const char *says; /* the error at once; NULL: none in this thread */
    const char *ends; /* what spoilt the capture */
} refusal;

static void act_item(tern_tensor *x) { (void)tern_item(tern_sum(x, NULL, 0, false)); }
static void act_to_cpu(tern_tensor *x) { (void)tern_to(x, tern_cpu()); }
static void act_to_host(tern_tensor *x) {
    float v[4];
    (void)tern_to_host(x, v, sizeof v);
}
static void act_sync(tern_tensor *x) { (void)tern_sync(tern_device_of(x)); }
static void act_nonzero(tern_tensor *x) { (void)tern_nonzero(x); }
static void act_from(tern_tensor *x) {
    (void)x;
    (void)tern_from((float[]){1, 2}, TERN_SHAPE(2), on_device(TERN_F32));
}
static void act_cpu_draw(tern_tensor *x) {
    (void)x;
    (void)tern_rand(TERN_SHAPE(2), 0, 1, (tern_options){0});
}
static void act_seed(tern_tensor *x) {
    (void)x;
    tern_seed(1);
}
static void act_begin(tern_tensor *x) { CHECK(!tern_graph_capture_begin(tern_device_of(x))); }
static void act_replay(tern_tensor *x) {
    (void)x;
    CHECK(!tern_graph_replay(other));
}
static void act_thread(tern_tensor *x) {
    pthread_t thread;
    void *refused = NULL;
    REQUIRE(pthread_create(&thread, NULL, elsewhere, x) == 0);
    pthread_join(thread, &refused);
    CHECK(refused == x);
}

static const refusal refusals[] = {
    {"item", act_item, TERN_ERR_UNSUPPORTED, "a copy to the host", "a copy to the host"},
    {"to the CPU", act_to_cpu, TERN_ERR_UNSUPPORTED, "a copy to the host", "a copy to the host"},
    {"to_host", act_to_host, TERN_ERR_UNSUPPORTED, "a copy to the host", "a copy to the host"},
    {"sync", act_sync, TERN_ERR_UNSUPPORTED, "tern_sync", "tern_sync"},
    {"nonzero", act_nonzero, TERN_ERR_UNSUPPORTED, "nonzero", "a copy to the host"},
    {"from", act_from, TERN_ERR_UNSUPPORTED, "a copy from the host", "a copy from the host"},
    {"draw on the CPU", act_cpu_draw, TERN_ERR_UNSUPPORTED, "random numbers on the CPU", "random numbers on the CPU"},
    {"seed", act_seed, TERN_ERR_UNSUPPORTED, "the random stream", "the random stream"},
    {"begin", act_begin, TERN_ERR_ARGUMENT, "captures already", "a second tern_graph_capture_begin"},
    {"replay", act_replay, TERN_ERR_ARGUMENT, "this thread captures a graph", "a replay of another graph"},
    {"another thread", act_thread, TERN_OK, NULL, "work of another thread"},
};

static void capture_well(tern_tensor *x, double want) {
    const int scope = tern_scope_push();
    CHECK(tern_graph_capture_begin(test_device()));
    tern_tensor *y = tern_keep(tern_sum(tern_mul(x, x), NULL, 0, false));
    tern_scope_pop(scope);
    tern_graph *g = tern_graph_capture_end();
    CHECK(g && tern_graph_replay(g), "%s", tern_error_message());
    CHECK_ITEM(y, want, 1e-6);
    tern_release(y);
    CHECK(tern_graph_free(g));
}

TERN_TEST(graph, refusals) {
    if (nothing_to_capture()) return;
    tern_tensor *x = test_values(TERN_F32, TERN_SHAPE(4), 1, 2, 0, 3);
    const int scope = tern_scope_push();
    CHECK(tern_graph_capture_begin(test_device()));
    (void)tern_add(x, x);
    tern_scope_pop(scope);
    other = tern_graph_capture_end();
    REQUIRE(other != NULL, "%s", tern_error_message());
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal *r = &refusals[i];
        for (int cleared = 0; cleared < 2; cleared++) { /* the error is, or is not, pending at the end */
            check_case("%s%s", r->name, cleared ? ", error cleared" : "");
            const tern_random before = tern_random_get();
            CHECK(tern_graph_capture_begin(test_device()));
            (void)tern_rand(TERN_SHAPE(4), 0, 1, on_device(TERN_F32));
            r->act(x);
            if (r->says && cleared) EXPECT_PENDING(r->code, r->says);
            tern_graph *g = tern_graph_capture_end();
            CHECK(!g && !tern_graph_capturing());
            EXPECT_PENDING(!r->says || cleared ? TERN_ERR_UNSUPPORTED : r->code,
                           !r->says || cleared ? r->ends : r->says);
            CHECK(tern_random_get().position == before.position);
            tern_scope_pop(scope);
            capture_well(x, 14);
            CHECK_ITEM(tern_sum(x, NULL, 0, false), 6, 0);
        }
    }
    CHECK(tern_graph_replay(other) && tern_graph_free(other));
    tern_scope_pop(scope);
    CHECK(tern_memory_device(test_device()).live == (int64_t)(4 * sizeof(float)));
}

/* Autocast in one thread keeps no cast of a weight that a replay in another has changed since. */
typedef struct caster {
    tern_tensor *w;
    pthread_barrier_t turn;
    double sum[2];
} caster;

static void *cast_twice(void *user) {
    caster *c = user;
    const int scope = tern_scope_push();
    const int cast = tern_autocast_push((tern_device_type)test_device().type, TERN_BF16);
    for (int i = 0; i < 2; i++) {
        tern_tensor *w = c->w;
        if (tern_autocast(TERN_AUTOCAST_LOW, &w, 1)) c->sum[i] = tern_item(tern_sum(w, NULL, 0, false));
        pthread_barrier_wait(&c->turn);
        if (i == 0) pthread_barrier_wait(&c->turn); /* the replay is between the two */
    }
    tern_autocast_pop(cast);
    tern_scope_pop(scope);
    tern_error_clear();
    return NULL;
}

TERN_TEST(graph, kept_casts_of_other_threads) {
    if (nothing_to_capture()) return;
    caster c = {.w = tern_require_grad(tern_ones(TERN_SHAPE(4), on_device(TERN_F32)), true)};
    pthread_t thread;
    const bool was = tern_grad_mode(false);
    CHECK(tern_graph_capture_begin(test_device()));
    const int scope = tern_scope_push();
    CHECK(tern_copy_(c.w, tern_add(tern_add(c.w, c.w), c.w)) != NULL);
    tern_scope_pop(scope);
    tern_graph *g = tern_graph_capture_end();
    tern_grad_mode(was);
    REQUIRE(g && tern_sync(test_device()), "%s", tern_error_message());
    REQUIRE(pthread_barrier_init(&c.turn, NULL, 2) == 0 && pthread_create(&thread, NULL, cast_twice, &c) == 0);
    pthread_barrier_wait(&c.turn);
    CHECK(tern_graph_replay(g) && tern_sync(test_device()), "%s", tern_error_message());
    pthread_barrier_wait(&c.turn);
    pthread_barrier_wait(&c.turn);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&c.turn);
    CHECK_NUMBER(c.sum[0], 4, 0);
    CHECK_NUMBER(c.sum[1], 12, 0);
    CHECK(tern_graph_free(g), "%s", tern_error_message());
}

static void *replay_elsewhere(void *user) {
    const bool refused = !tern_graph_replay(user) && tern_error_code() == TERN_ERR_ARGUMENT;
    tern_error_clear();
    return refused ? user : NULL;
}
static void *begin_and_leave(void *user) {
    (void)user;
    return tern_graph_capture_begin(test_device()) ? &other : NULL;
}

TERN_TEST(graph, threads) {
    if (nothing_to_capture()) return;
    tern_tensor *x = test_values(TERN_F32, TERN_SHAPE(2), 1, 2);
    pthread_t thread;
    void *result = NULL;
    /* A thread that ends while it captures leaves nothing behind. */
    REQUIRE(pthread_create(&thread, NULL, begin_and_leave, NULL) == 0);
    pthread_join(thread, &result);
    CHECK(result != NULL);
    CHECK(tern_graph_capture_begin(test_device()));
    tern_tensor *y = tern_keep(tern_add(x, x));
    tern_graph *g = tern_graph_capture_end();
    REQUIRE(g != NULL, "%s", tern_error_message());
    REQUIRE(pthread_create(&thread, NULL, replay_elsewhere, g) == 0);
    pthread_join(thread, &result);
    CHECK(result == g);
    CHECK(tern_graph_replay(g));
    CHECK_VALUES(y, 2, 4);
    tern_release(y);
    tern_scope_pop(0);
    CHECK(tern_graph_free(g), "%s", tern_error_message());
}

TERN_TEST(graph, optimizers_that_cannot) {
    if (nothing_to_capture()) return;
    tern_module *m = tern_linear_new(3, 2, (tern_linear_opts){0});
    CHECK(tern_module_to(m, test_device()));
    tern_optim *o = tern_adam_new(m, 0.1, (tern_adam_opts){0});
    tern_tensor *x = tern_ones(TERN_SHAPE(4, 3), on_device(TERN_F32));
    for (int k = 0; k < 3; k++) { /* no state yet; eagerly; captured */
        const int scope = tern_scope_push();
        if (k != 1) CHECK(tern_graph_capture_begin(test_device()));
        CHECK(tern_backward(tern_sum(tern_forward(m, x), NULL, 0, false)));
        if (k == 0)
            EXPECT_ERROR(tern_optim_step(o), TERN_ERR_UNSUPPORTED, "take a step before the capture");
        else
            CHECK(tern_optim_step(o));
        tern_optim_zero_grad(o);
        tern_scope_pop(scope);
        tern_graph *g = k != 1 ? tern_graph_capture_end() : NULL;
        if (k == 2) {
            CHECK(tern_graph_replay(g));
            CHECK(tern_optim_steps(o) == 2);
            tern_optim_free(o);
            EXPECT_ERROR(tern_graph_replay(g), TERN_ERR_ARGUMENT, "an optimizer of the graph was freed");
        }
        CHECK(tern_graph_free(g), "%s", tern_error_message());
    }
    tern_module_free(m);
}
