/* Whole training runs: on the bundled digits, again with the same seed, with other numbers of threads and workers,
 * stopped and resumed; and with every allocation failing once. */
#include <dirent.h>

#include "common.h"
#include "tern/checkpoint.h"
#include "tern/data.h"
#include "tern/layers.h"
#include "tern/optim.h"

typedef struct setting {
    bool cnn;
    int optimizer; /* sgd with momentum, adam, adamw */
    int workers, threads;
    int64_t epochs, stop_after; /* stop_after > 0: saves then, starts anew and goes on */
} setting;

static tern_module *model_new(bool cnn) {
    if (!cnn)
        return tern_sequential(tern_flatten_new(), tern_linear_new(64, 48, (tern_linear_opts){0}), tern_relu_new(),
                               tern_dropout_new(0.1), tern_linear_new(48, 10, (tern_linear_opts){0}), NULL);
    return tern_sequential(tern_conv2d_new(1, 8, 3, (tern_conv2d_opts){.pad = {1}}),
                           tern_batch_norm_new(8, (tern_norm_opts){0}), tern_relu_new(),
                           tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_flatten_new(), tern_dropout_new(0.1),
                           tern_linear_new(8 * 16, 10, (tern_linear_opts){0}), NULL);
}

static tern_optim *optim_new(tern_module *m, int kind) {
    if (kind == 0) return tern_sgd_new(m, 0.05, (tern_sgd_opts){.momentum = 0.9, .nesterov = true});
    if (kind == 1) return tern_adam_new(m, 3e-3, (tern_adam_opts){0});
    return tern_adamw_new(m, 3e-3, (tern_adamw_opts){.weight_decay = 0.01});
}

typedef struct trainer {
    tern_dataset *data;
    tern_loader *loader;
    tern_module *model;
    tern_optim *optim;
    tern_schedule schedule;
} trainer;

static bool trainer_open(trainer *t, const setting *s, uint64_t seed) {
    tern_seed(seed);
    *t = (trainer){
        .schedule = {
            .kind = TERN_SCHEDULE_COSINE, .lr = s->optimizer ? 3e-3 : 0.05, .warmup = 10, .total = 45 * s->epochs}};
    t->data = tern_digits_new(true);
    t->loader =
        t->data ? tern_loader_new(t->data,
                                  (tern_loader_opts){.batch = 32, .shuffle = true, .seed = seed, .workers = s->workers})
                : NULL;
    t->model = model_new(s->cnn);
    t->optim = t->model ? optim_new(t->model, s->optimizer) : NULL;
    return t->loader && t->optim;
}

static void trainer_close(trainer *t) {
    tern_optim_free(t->optim);
    tern_module_free(t->model);
    tern_loader_free(t->loader);
    tern_dataset_free(t->data);
    *t = (trainer){0};
}

static bool epoch(trainer *t) {
    tern_batch b;
    bool good = true;
    int scope = tern_scope_push();
    while (good && tern_loader_next(t->loader, &b)) {
        good = tern_schedule_apply(&t->schedule, t->optim);
        tern_tensor *loss =
            tern_cross_entropy(tern_forward(t->model, b.x), b.y, (tern_cross_entropy_opts){.label_smoothing = 0.05});
        good = good && tern_backward(loss) && tern_optim_clip_norm(t->optim, 5) && tern_optim_step(t->optim);
        tern_scope_pop(scope);
        scope = tern_scope_push();
    }
    tern_scope_pop(scope);
    return good && tern_ok();
}

static double accuracy(tern_module *m) {
    tern_dataset *d = tern_digits_new(false);
    tern_loader *l = d ? tern_loader_new(d, (tern_loader_opts){.batch = 100}) : NULL;
    const bool was = tern_grad_mode(false);
    tern_module_train(m, false);
    double right = 0;
    tern_batch b;
    while (l && tern_loader_next(l, &b)) {
        const int scope = tern_scope_push();
        tern_tensor *hit = tern_eq(tern_argmax(tern_forward(m, b.x), 1, false), b.y);
        right += tern_item(tern_sum(hit, NULL, 0, false));
        tern_scope_pop(scope);
    }
    const double n = d ? (double)d->length : 1;
    tern_module_train(m, true);
    tern_grad_mode(was);
    tern_loader_free(l);
    tern_dataset_free(d);
    return right / n;
}

/* FNV-1a over the bits of every parameter and buffer. */
static uint64_t fingerprint(tern_module *m) {
    uint64_t h = 14695981039346656037u;
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        const size_t bytes = (size_t)tern_numel(e.tensor) * tern_dtype_size(tern_dtype_of(e.tensor));
        unsigned char *raw = malloc(bytes + 1);
        if (!raw || !tern_to_host(e.tensor, raw, bytes)) FAIL("cannot read %s", e.name);
        for (size_t k = 0; raw && k < bytes; k++) h = (h ^ raw[k]) * 0x100000001B3u;
        free(raw);
    }
    return h;
}

static uint64_t train(const setting *s, double *score) {
    tern_set_threads(s->threads);
    trainer t;
    uint64_t h = 0;
    const int scope = tern_scope_push();
    bool good = trainer_open(&t, s, 5);
    for (int64_t e = 0; good && e < s->epochs; e++) {
        if (s->stop_after && e == s->stop_after) {
            const char *path = test_path("stopped.h5");
            const tern_checkpoint out = {
                .model = t.model, .optim = t.optim, .loader = t.loader, .schedule = &t.schedule, .epoch = e};
            good = tern_checkpoint_save(path, &out);
            trainer_close(&t);
            good = good && trainer_open(&t, s, 99); /* other weights, another order: all must come from the file */
            tern_checkpoint in = {.model = t.model, .optim = t.optim, .loader = t.loader, .schedule = &t.schedule};
            good = good && tern_checkpoint_load(path, &in) && in.epoch == e;
        }
        good = good && epoch(&t);
    }
    if (CHECK(good, "%s", tern_error_message())) {
        h = fingerprint(t.model);
        if (score) *score = accuracy(t.model);
    }
    trainer_close(&t);
    tern_scope_pop(scope);
    tern_set_threads(0);
    return h;
}

TERN_TEST(train, digits_with_an_mlp, .timeout = 300) {
    double score = 0;
    (void)train(&(setting){.optimizer = 1, .epochs = 30}, &score);
    CHECK(score >= 0.96, "accuracy %.4f", score);
}

TERN_TEST(train, digits_with_a_cnn, .timeout = 300) {
    double score = 0;
    (void)train(&(setting){.cnn = true, .optimizer = 2, .epochs = 8}, &score);
    CHECK(score >= 0.97, "accuracy %.4f", score);
}

/* The bits of all parameters depend on the seed alone: not on threads, workers, or a stop in between. */
TERN_TEST(train, runs_are_repeatable, .timeout = 300) {
    for (int cnn = 0; cnn < 2; cnn++) {
        const setting once = {.cnn = cnn, .optimizer = 1, .epochs = 2, .threads = 1};
        const uint64_t first = train(&once, NULL);
        check_case("%s", cnn ? "cnn" : "mlp");
        CHECK(train(&once, NULL) == first, "the second run differs");
        setting other = once;
        other.threads = 2;
        CHECK(train(&other, NULL) == first, "two threads differ from one");
        other.threads = 5;
        CHECK(train(&other, NULL) == first, "five threads differ from one");
        other = once;
        other.workers = 3;
        CHECK(train(&other, NULL) == first, "three loader workers differ from none");
    }
}

TERN_TEST(train, a_stop_changes_nothing, .timeout = 300) {
    for (int k = 0; k < 3; k++)
        for (int workers = 0; workers < 5; workers += 4) {
            check_case("optimizer %d, %d workers", k, workers);
            const setting straight = {.cnn = k == 2, .optimizer = k, .epochs = 4, .workers = workers};
            setting stopped = straight;
            stopped.stop_after = 2;
            CHECK(train(&straight, NULL) == train(&stopped, NULL), "stopped and resumed differs");
        }
}

/* ---- every allocation failing once
 * -------------------------------------------------------------------------------------- */

static int files_in(const char *path) {
    char dir[512];
    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.' || e->d_name[1] > '.';
    if (d) closedir(d);
    return n;
}

/* Builds, trains three steps, saves, loads: what a program does. */
static bool program(const setting *s, const char *path) {
    const int scope = tern_scope_push();
    trainer t;
    bool good = trainer_open(&t, s, 1);
    tern_batch b;
    for (int i = 0; good && i < 2 && tern_loader_next(t.loader, &b); i++) {
        tern_tensor *loss = tern_cross_entropy(tern_forward(t.model, b.x), b.y, (tern_cross_entropy_opts){0});
        good = tern_backward(loss) && tern_optim_clip_norm(t.optim, 1) && tern_optim_step(t.optim);
    }
    tern_checkpoint c = {.model = t.model, .optim = t.optim, .loader = t.loader};
    good = good && tern_ok() && tern_checkpoint_save(path, &c) && tern_checkpoint_load(path, &c);
    char text[2048];
    const tern_shape image = TERN_SHAPE(1, 1, 8, 8);
    if (good) (void)tern_module_summary(t.model, &image, text, sizeof text);
    good = good && tern_ok();
    trainer_close(&t);
    tern_scope_pop(scope);
    return good;
}

static void every_allocation_fails(const setting *s) {
    char path[512];
    snprintf(path, sizeof path, "%s", test_path("checkpoint.h5"));
    REQUIRE(program(s, path), "%s", tern_error_message());
    REQUIRE(files_in(path) == 1);
    REQUIRE(program(s, path), "%s", tern_error_message());
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    int64_t failed = 0, tolerated = 0;
    for (int64_t n = 1;; n++) {
        check_case("allocation %" PRId64 " fails", n);
        tern_memory_fail_at(n);
        const bool good = program(s, path);
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        if (requests < n) {
            CHECK(good, "%s", tern_error_message());
            break;
        }
        failed++;
        tolerated += good;
        if (!good) EXPECT_PENDING(TERN_ERR_MEMORY, "");
        CHECK(tern_memory_device(tern_cpu()).live == device, "%" PRId64 " bytes of tensors leaked",
              tern_memory_device(tern_cpu()).live - device);
        CHECK(tern_memory_host().live == host, "%" PRId64 " bytes of bookkeeping leaked",
              tern_memory_host().live - host);
        CHECK(files_in(path) == 1, "%d files beside the checkpoint", files_in(path) - 1);
        if (check_failures() > 20) break;
    }
    check_case("%s", "");
    CHECK(program(s, path), "%s", tern_error_message());
    CHECK(tolerated == 0, "%" PRId64 " of %" PRId64 " failures went unnoticed", tolerated, failed);
    fprintf(stderr, "%" PRId64 " allocations failed\n", failed);
}

TERN_TEST(train, every_allocation_of_an_mlp_s_program, .timeout = 600) {
    every_allocation_fails(&(setting){.optimizer = 0, .epochs = 1});
}
TERN_TEST(train, every_allocation_of_a_cnn_s_program, .timeout = 600) {
    every_allocation_fails(&(setting){.cnn = true, .optimizer = 2, .epochs = 1});
}
