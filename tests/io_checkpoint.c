/* Checkpoints: what is saved comes back, resumed training is the same training, and nothing bad on a disk gets in. */
#include "common.h"
#include "tern/checkpoint.h"
#include "tern/layers.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a small training program
 * ----------------------------------------------------------------------------------------- */

typedef struct run {
    tern_dataset *d;
    tern_module *net;
    tern_optim *opt;
    tern_loader *loader;
    tern_schedule schedule;
    tern_checkpoint c;
} run;

static tern_optim *optimizer(int kind, tern_module *m) {
    switch (kind) {
        case 0:
            return tern_sgd_new(m, 0.05, (tern_sgd_opts){0});
        case 1:
            return tern_sgd_new(m, 0.05, (tern_sgd_opts){.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3});
        case 2:
            return tern_adam_new(m, 1e-3, (tern_adam_opts){.weight_decay = 1e-3});
        default:
            return tern_adamw_new(m, 1e-3, (tern_adamw_opts){0});
    }
}

static bool run_start(run *r, int kind, int workers, uint64_t seed) {
    *r = (run){0};
    tern_seed(seed);
    r->d = tern_digits_new(false);
    r->net = tern_sequential(tern_conv2d_new(1, 4, 3, (tern_conv2d_opts){0}),
                             tern_batch_norm_new(4, (tern_norm_opts){0}), tern_relu_new(), tern_flatten_new(),
                             tern_dropout_new(0.3), tern_linear_new(4 * 6 * 6, 10, (tern_linear_opts){0}), NULL);
    r->opt = optimizer(kind, r->net);
    r->loader = tern_loader_new(
        r->d, (tern_loader_opts){.batch = 50, .shuffle = true, .seed = seed, .workers = workers, .prefetch = 2});
    r->schedule = (tern_schedule){.kind = TERN_SCHEDULE_COSINE, .lr = 1e-2, .warmup = 4, .total = 40};
    r->c = (tern_checkpoint){.model = r->net, .optim = r->opt, .loader = r->loader, .schedule = &r->schedule};
    return r->net && r->opt && r->loader;
}

static void run_stop(run *r) {
    tern_loader_free(r->loader);
    tern_optim_free(r->opt);
    tern_module_free(r->net);
    tern_dataset_free(r->d);
}

/* Steps until the count of them is `until`. */
static bool run_to(run *r, int64_t until) {
    while (r->c.step < until) {
        const int scope = tern_scope_push();
        tern_batch b;
        if (tern_loader_next(r->loader, &b)) {
            tern_schedule_apply(&r->schedule, r->opt);
            tern_backward(tern_cross_entropy(tern_forward(r->net, b.x), b.y, (tern_cross_entropy_opts){0}));
            tern_optim_clip_norm(r->opt, 1);
            tern_optim_step(r->opt);
            r->c.step++;
        } else if (tern_ok()) {
            r->c.epoch++;
        }
        tern_scope_pop(scope);
        if (!CHECK_OK()) return false;
    }
    return true;
}

/* All parameters and buffers, bit for bit. */
static bool same_bits(tern_module *a, tern_module *b) {
    tern_named x, y;
    for (int i = 0; tern_module_each(a, i, &x); i++) {
        if (!tern_module_each(b, i, &y) || strcmp(x.name, y.name) != 0) return FAIL("other names");
        const size_t bytes = (size_t)tern_numel(x.tensor) * tern_dtype_size(tern_dtype_of(x.tensor));
        if (memcmp(tern_data(x.tensor), tern_data(y.tensor), bytes) != 0) return FAIL("%s differs", x.name);
    }
    return true;
}

TERN_TEST(io_checkpoint, straight_and_resumed_training_agree_bit_for_bit) {
    static const int worker_counts[] = {0, 1, 4};
    for (int kind = 0; kind < 4; kind++)
        for (int w = 0; w < 3; w++) {
            check_case("optimizer %d, %d workers", kind, worker_counts[w]);
            const char *path = test_path("resume.h5");
            run a, b;
            REQUIRE(run_start(&a, kind, worker_counts[w], 11) && run_to(&a, 13) && tern_checkpoint_save(path, &a.c));
            REQUIRE(run_to(&a, 30)); /* across the ends of epochs */
            const tern_random end = tern_random_get();
            REQUIRE(run_start(&b, kind, worker_counts[(w + 1) % 3], 999)); /* another start, other workers */
            REQUIRE(run_to(&b, 2) && CHECK(tern_checkpoint_load(path, &b.c)));
            CHECK(b.c.step == 13 && b.c.epoch == 1 && tern_optim_steps(b.opt) == 13);
            REQUIRE(run_to(&b, 30));
            CHECK(same_bits(a.net, b.net));
            CHECK(a.c.epoch == b.c.epoch && tern_optim_lr(a.opt) == tern_optim_lr(b.opt));
            CHECK(end.seed == tern_random_get().seed && end.position == tern_random_get().position);
            run_stop(&a);
            run_stop(&b);
        }
}

/* ---- round trips
 * --------------------------------------------------------------------------------------------------------- */

typedef struct holder {
    tern_module m;
} holder;

/* A module with a buffer of every dtype and odd shapes. */
static tern_module *zoo(bool values) {
    const int scope = tern_scope_push();
    holder *h = TERN_MODULE_NEW(holder);
    static const tern_shape shapes[] = {{0}, {1, {7}}, {2, {3, 0}}, {3, {2, 3, 5}}, {2, {300, 1000}}};
    for (int d = 0; d < TERN_DTYPE_COUNT; d++)
        for (int s = 0; s < 5; s++) {
            char name[40];
            snprintf(name, sizeof name, "%s_%d", tern_dtype_name((tern_dtype)d), s);
            const tern_options o = {.dtype = (tern_dtype)d};
            tern_tensor *t = values ? tern_cast(tern_rand(shapes[s], 0, 2, (tern_options){.dtype = TERN_F64}), o.dtype)
                                    : tern_zeros(shapes[s], o);
            tern_module_buffer(&h->m, name, t);
        }
    tern_scope_pop(scope);
    return tern_module_done(h);
}

TERN_TEST(io_checkpoint, every_dtype_and_shape) {
    tern_module *a = zoo(true), *b = zoo(false);
    const char *path = test_path("zoo.h5");
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = a}));
    CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = b}));
    CHECK(same_bits(a, b));
    tern_module_free(a);
    tern_module_free(b);
}

TERN_TEST(io_checkpoint, counters_random_state_and_the_program_s_own) {
    const char *path = test_path("user.h5");
    tern_random_set((tern_random){UINT64_MAX - 1, (uint64_t)1 << 63});
    tern_checkpoint_user u[] = {{.name = "text", .text = "a \"quoted\" \xc3\xa4"},
                                {.name = "number", .number = 0.1},
                                {.name = "empty", .text = ""}};
    tern_checkpoint c = {.epoch = 5, .step = (int64_t)1 << 40, .user = u, .n_user = 3};
    REQUIRE(tern_checkpoint_save(path, &c));
    tern_seed(1);
    tern_checkpoint_user v[] = {{.name = "number"}, {.name = "text"}, {.name = "empty"}};
    tern_checkpoint d = {.user = v, .n_user = 3};
    REQUIRE(tern_checkpoint_load(path, &d));
    CHECK(d.epoch == 5 && d.step == (int64_t)1 << 40 && v[0].number == 0.1 && strcmp(v[1].text, u[0].text) == 0);
    CHECK(v[2].text && v[2].text[0] == 0);
    CHECK(tern_random_get().seed == UINT64_MAX - 1 && tern_random_get().position == (uint64_t)1 << 63);
    tern_checkpoint_free_text(&d);
    static char long_text[(1 << 20) + 1]; /* one byte too long */
    memset(long_text, 'x', sizeof long_text - 1);
    tern_checkpoint_user w = {.name = "long", .text = long_text};
    tern_checkpoint e = {.user = &w, .n_user = 1};
    EXPECT_ERROR(tern_checkpoint_save(path, &e), TERN_ERR_ARGUMENT, "long has 1048576 bytes");
    w.text = long_text + 1;
    REQUIRE(tern_checkpoint_save(test_path("long.h5"), &e) && tern_checkpoint_load(test_path("long.h5"), &e));
    CHECK(w.text != long_text + 1 && strcmp(w.text, long_text + 1) == 0);
    tern_checkpoint_free_text(&e);
    v[0].name = "absent";
    EXPECT_ERROR(tern_checkpoint_load(path, &d), TERN_ERR_FORMAT, "user_absent");
    v[0].name = "not a name";
    EXPECT_ERROR(tern_checkpoint_save(path, &d), TERN_ERR_ARGUMENT, "name");
    tern_module *m = tern_relu_new();
    tern_loader *no_loader = NULL;
    EXPECT_ERROR(tern_checkpoint_load(path, &(tern_checkpoint){.schedule = &(tern_schedule){0}, .loader = no_loader}),
                 TERN_ERR_FORMAT, "schedule");
    tern_module_free(m);
}

/* ---- what does not fit
 * --------------------------------------------------------------------------------------------------- */

static tern_module *net(int64_t hidden, bool third) {
    tern_module *parts[] = {tern_linear_new(5, hidden, (tern_linear_opts){0}), tern_relu_new(),
                            tern_linear_new(hidden, 3, (tern_linear_opts){0}),
                            third ? tern_linear_new(3, 3, (tern_linear_opts){0}) : NULL};
    return tern_sequential_of((void *const *)parts, third ? 4 : 3);
}

TERN_TEST(io_checkpoint, names_that_do_not_fit_are_listed_and_nothing_changes) {
    const char *path = test_path("names.h5");
    tern_module *a = net(4, true), *b = net(6, false), *copy = net(6, false);
    REQUIRE(tern_checkpoint_save(path, &(tern_checkpoint){.model = a}) && tern_module_copy(copy, b));
    tern_checkpoint c = {.model = b, .epoch = 77};
    EXPECT_ERROR(tern_checkpoint_load(path, &c), TERN_ERR_SHAPE, "0.weight ([4, 5] f32, expected [6, 5] f32)");
    EXPECT_ERROR(tern_checkpoint_load(path, &c), TERN_ERR_SHAPE, "unexpected /model/3.weight");
    CHECK(same_bits(b, copy) && c.epoch == 77);
    tern_checkpoint d = {.model = a};
    REQUIRE(tern_checkpoint_save(path, &(tern_checkpoint){.model = b}));
    EXPECT_ERROR(tern_checkpoint_load(path, &d), TERN_ERR_SHAPE, "missing /model/3.bias");
    d.not_strict = true; /* 2.bias fits */
    tern_init_zeros(tern_module_get(a, "2.bias"));
    CHECK(tern_checkpoint_load(path, &d));
    CHECK_SAME(tern_module_get(a, "2.bias"), tern_module_get(b, "2.bias"), ((tolerance){0, 0}));
    CHECK(tern_module_cast(b, TERN_F64));
    EXPECT_ERROR(tern_checkpoint_load(path, &c), TERN_ERR_SHAPE, "other dtype");
    tern_optim *o = tern_adam_new(b, 1, (tern_adam_opts){0});
    EXPECT_ERROR(tern_checkpoint_load(path, &(tern_checkpoint){.optim = o}), TERN_ERR_SHAPE, "missing /optim");
    tern_optim_free(o);
    tern_module_free(a);
    tern_module_free(b);
    tern_module_free(copy);
}

TERN_TEST(io_checkpoint, another_optimizer_or_loader) {
    run a, b;
    const char *path = test_path("other.h5");
    REQUIRE(run_start(&a, 3, 0, 1) && run_to(&a, 6) && tern_checkpoint_save(path, &a.c) && run_start(&b, 2, 0, 2));
    EXPECT_ERROR(tern_checkpoint_load(path, &b.c), TERN_ERR_FORMAT, "adamw");
    tern_loader *large = tern_loader_new(b.d, (tern_loader_opts){.batch = 200});
    b.c.optim = NULL;
    b.c.loader = large;
    EXPECT_ERROR(tern_checkpoint_load(path, &b.c), TERN_ERR_FORMAT, "batch 6");
    tern_loader_free(large);
    run_stop(&a);
    run_stop(&b);
}

TERN_TEST(io_checkpoint, what_a_file_lacks_stays) {
    const char *path = test_path("lacks.h5");
    tern_module *a = net(4, false);
    tern_optim *o = tern_adam_new(a, 0.5, (tern_adam_opts){0});
    REQUIRE(tern_optim_set_steps(o, 9) && tern_checkpoint_save(path, &(tern_checkpoint){.model = a}));
    tern_checkpoint_user u[] = {{.name = "number", .number = 3}, {.name = "text", .text = "the program's own"}};
    tern_checkpoint c = {.model = a, .optim = o, .user = u, .n_user = 2, .not_strict = true};
    CHECK(tern_checkpoint_load(path, &c));
    CHECK(tern_optim_lr(o) == 0.5 && tern_optim_steps(o) == 9 && u[0].number == 3);
    tern_checkpoint_free_text(&c); /* must not meet the program's own text */
    tern_optim_free(o);
    tern_module_free(a);
}

TERN_TEST(io_checkpoint, shared_parameters) {
    const char *path = test_path("shared.h5");
    tern_module *a = net(3, true), *b = net(3, true);
    tern_module_param(tern_module_child(a, "3"), "tied", tern_module_get(a, "2.weight"));
    tern_module_param(tern_module_child(b, "3"), "tied", tern_module_get(b, "2.weight"));
    tern_optim *o = tern_sgd_new(a, 1, (tern_sgd_opts){.momentum = 0.9}),
               *p = tern_sgd_new(b, 1, (tern_sgd_opts){.momentum = 0.9});
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = a, .optim = o}));
    CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = b, .optim = p}));
    CHECK(same_bits(a, b));
    CHECK(tern_data(tern_module_get(b, "3.tied")) == tern_data(tern_module_get(b, "2.weight")));
    tern_optim_free(o);
    tern_optim_free(p);
    tern_module_free(a);
    tern_module_free(b);
}

/* ---- damaged files
 * -------------------------------------------------------------------------------------------------------- */

static unsigned char *slurp(const char *path, size_t *n) {
    struct stat st;
    if (stat(path, &st) != 0) return NULL;
    *n = (size_t)st.st_size;
    unsigned char *p = malloc(*n + 1);
    FILE *f = fopen(path, "rb");
    if (!f || fread(p, 1, *n, f) != *n) FAIL("cannot read %s", path);
    if (f) fclose(f);
    return p;
}

static void spill(const char *path, const void *p, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0) FAIL("cannot write %s", path);
}

TERN_TEST(io_checkpoint, files_of_earlier_versions) {
    static const char *const hex[] = {
#include "reference/checkpoint_chunked.def"
    };
    static unsigned char bytes[1 << 14];
    const char *path = test_path("chunked.h5");
    size_t n = 0;
    for (size_t i = 0; i < sizeof hex / sizeof *hex; i++)
        for (const char *digits = hex[i]; *digits && n < sizeof bytes; digits += 2)
            sscanf(digits, "%2hhx", &bytes[n++]);
    spill(path, bytes, n);
    tern_module *m = tern_linear_new(5, 3, (tern_linear_opts){0});
    tern_optim *o = tern_adam_new(m, 1, (tern_adam_opts){0});
    tern_checkpoint c = {.model = m, .optim = o, .no_random = true};
    REQUIRE(CHECK(tern_checkpoint_load(path, &c)));
    CHECK(c.epoch == 2 && c.step == 7 && tern_optim_lr(o) == 0.5 && tern_optim_steps(o) == 1);
    double v[15];
    CHECK(tern_to_doubles(tern_module_get(m, "weight"), v, 15) && v[0] == 0.25 && v[14] == 0.25);
    tern_optim_state e;
    for (int i = 0; tern_optim_each(o, i, &e); i++) { /* the gradient was 2 everywhere */
        const double want = strstr(e.name, "exp_avg_sq") ? 0.004 : strstr(e.name, "exp_avg") ? 0.2 : 1;
        CHECK(tern_to_doubles(e.tensor, v, tern_numel(e.tensor)) && fabs(v[0] - want) < 1e-7, "%s is %g", e.name, v[0]);
    }
    tern_optim_free(o);
    tern_module_free(m);
}

TERN_TEST(io_checkpoint, flips_and_cuts_are_refused) {
    char path[300], bad[300];
    snprintf(path, sizeof path, "%s", test_path("good.h5"));
    snprintf(bad, sizeof bad, "%s", test_path("bad.h5"));
    tern_module *a = net(4, false), *b = net(4, false), *copy = net(4, false);
    REQUIRE(tern_checkpoint_save(path, &(tern_checkpoint){.model = a}) && tern_module_copy(copy, b));
    size_t n = 0;
    unsigned char *p = slurp(path, &n);
    REQUIRE(p);
    int wrong = 0, tried = 0;
    for (size_t i = 0; i < n; i += TEST_ASAN ? 7 : 1) { /* one bit of every byte */
        p[i] ^= (unsigned char)(1u << (i % 8));
        spill(bad, p, n);
        p[i] ^= (unsigned char)(1u << (i % 8));
        tried++;
        if (tern_checkpoint_load(bad, &(tern_checkpoint){.model = b}) || tern_error_code() != TERN_ERR_FORMAT) wrong++;
        tern_error_clear();
    }
    CHECK(wrong == 0, "%d of %d flips got through", wrong, tried);
    for (size_t cut = 0; cut < n; cut += TEST_ASAN ? 11 : 1) {
        spill(bad, p, cut);
        if (tern_checkpoint_load(bad, &(tern_checkpoint){.model = b}) || tern_error_code() != TERN_ERR_FORMAT) wrong++;
        tern_error_clear();
    }
    CHECK(wrong == 0, "%d cuts got through", wrong);
    CHECK(same_bits(b, copy));
    free(p);
    tern_module_free(a);
    tern_module_free(b);
    tern_module_free(copy);
}

TERN_TEST(io_checkpoint, foreign_files_and_bad_paths) {
    tern_module *a = net(4, false);
    tern_checkpoint c = {.model = a};
    const char *text = test_path("text");
    spill(text, "hello", 5);
    EXPECT_ERROR(tern_checkpoint_load(text, &c), TERN_ERR_FORMAT, "no HDF5 file");
    EXPECT_ERROR(tern_checkpoint_load("/nonexistent/x.h5", &c), TERN_ERR_IO, "No such file");
    EXPECT_ERROR(tern_checkpoint_load("/tmp", &c), TERN_ERR_IO, "/tmp");
    EXPECT_ERROR(tern_checkpoint_save("/nonexistent/x.h5", &c), TERN_ERR_IO, "No such file");
    EXPECT_ERROR(tern_checkpoint_save("/tmp", &c), TERN_ERR_IO, "not a file");
    EXPECT_ERROR(tern_checkpoint_save("", &c), TERN_ERR_IO, "path");
    EXPECT_ERROR(tern_checkpoint_try("/nonexistent/x.h5"), TERN_ERR_IO, "/nonexistent/x.h5");
    EXPECT_ERROR(tern_checkpoint_try("/proc/x.h5"), TERN_ERR_IO, "/proc/x.h5");
    CHECK(tern_checkpoint_try(text)); /* there already: fine, and untouched */
    struct stat st;
    CHECK(stat(text, &st) == 0 && st.st_size == 5);
    const char *pipe = test_path("pipe"); /* nobody writes into it: must not be waited for */
    if (mkfifo(pipe, 0600) == 0) EXPECT_ERROR(tern_checkpoint_load(pipe, &c), TERN_ERR_IO, "not a file");
    tern_module_free(a);
}

/* Files in path's folder whose name goes on after path's. */
static int temporaries(const char *path) {
    char folder[400];
    snprintf(folder, sizeof folder, "%.399s", path);
    char *slash = strrchr(folder, '/');
    *slash = 0;
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) n += strstr(e->d_name, ".tmp-") != NULL;
    if (d) closedir(d);
    return n;
}

/* A limit on file sizes stands for a full disk where one cannot mount: write() fails part of the way. */
TERN_TEST(io_checkpoint, a_write_that_fails_leaves_the_old_file) {
    char path[300];
    snprintf(path, sizeof path, "%s", test_path("limit.h5"));
    tern_module *a = net(4, false), *b = net(4, false), *large = tern_linear_new(300, 300, (tern_linear_opts){0});
    REQUIRE(tern_checkpoint_save(path, &(tern_checkpoint){.model = a}));
    struct rlimit was, small = {100000, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &was);
    signal(SIGXFSZ, SIG_IGN);
    small.rlim_max = was.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    EXPECT_ERROR(tern_checkpoint_save(path, &(tern_checkpoint){.model = large}), TERN_ERR_IO, "File too large");
    setrlimit(RLIMIT_FSIZE, &was);
    CHECK(temporaries(path) == 0);
    CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = b}) && same_bits(a, b));
    tern_module_free(a);
    tern_module_free(b);
    tern_module_free(large);
}

TERN_TEST(io_checkpoint, a_full_disk) {
    char folder[300], path[400];
    snprintf(folder, sizeof folder, "%s", test_path("disk"));
    mkdir(folder, 0700);
    if (mount("tmpfs", folder, "tmpfs", 0, "size=256k") != 0) {
        fprintf(stderr, "io_checkpoint/a_full_disk: skipped: a small tmpfs cannot be mounted here\n");
        return;
    }
    snprintf(path, sizeof path, "%s/x.h5", folder);
    tern_module *a = net(4, false), *b = net(4, false), *large = tern_linear_new(300, 300, (tern_linear_opts){0});
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = a}));
    for (int i = 0; i < 3; i++)
        EXPECT_ERROR(tern_checkpoint_save(path, &(tern_checkpoint){.model = large}), TERN_ERR_IO, "No space left");
    CHECK(temporaries(path) == 0);
    CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = b}) && same_bits(a, b));
    tern_module_free(a);
    tern_module_free(b);
    tern_module_free(large);
    CHECK(umount(folder) == 0);
}

/* ---- threads
 * ------------------------------------------------------------------------------------------------------------------
 */

static void *save_often(void *arg) {
    const char *path = arg;
    tern_module *m = net(4, false);
    bool ok = true;
    for (int i = 0; i < 20 && ok; i++)
        ok = tern_checkpoint_save(path, &(tern_checkpoint){.model = m}) && tern_checkpoint_try(path) &&
             tern_checkpoint_load(path, &(tern_checkpoint){.model = m});
    tern_module_free(m);
    return ok ? arg : NULL;
}

TERN_TEST(io_checkpoint, threads_that_save_to_one_path) {
    char path[300];
    snprintf(path, sizeof path, "%s", test_path("threads.h5"));
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&thread[i], NULL, save_often, path) == 0);
    for (int i = 0; i < 4; i++) {
        void *ok = NULL;
        CHECK(pthread_join(thread[i], &ok) == 0 && ok);
    }
    CHECK(temporaries(path) == 0);
}

/* ---- kills
 * -------------------------------------------------------------------------------------------------------------------
 */

/* Saves without end; the step counts the saves. */
static void save_for_ever(const char *path) {
    run r;
    if (!run_start(&r, 3, 0, 5)) _exit(1);
    for (;;) {
        if (!run_to(&r, r.c.step + 1) || !tern_checkpoint_save(path, &r.c)) _exit(1);
    }
}

/* TERN_TEST_KILLS sets how many (200 for a thorough run). */
TERN_TEST(io_checkpoint, killed_at_random_moments, .timeout = 600) {
    const char *want = getenv("TERN_TEST_KILLS");
    const int kills = want ? atoi(want) : 25;
    char path[300];
    snprintf(path, sizeof path, "%s", test_path("killed.h5"));
    run r;
    REQUIRE(run_start(&r, 3, 0, 5));
    int64_t last = 0;
    int loads = 0;
    for (int k = 0; k < kills; k++) {
        const pid_t child = fork();
        if (child == 0) save_for_ever(path);
        struct stat st;
        for (int i = 0; i < 2000 && stat(path, &st) != 0; i++) usleep(1000); /* the very first file */
        usleep((useconds_t)test_uniform(5e3, 60e3));
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        if (!CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended by itself, status %x", status))
            break;
        r.c.step = 0;
        if (CHECK(tern_checkpoint_load(path, &r.c)) && CHECK(r.c.step >= 1)) loads++;
        CHECK_OK();
        last += r.c.step;
    }
    fprintf(stderr, "io_checkpoint: %d of %d checkpoints loaded after a kill, %" PRId64 " saves in all\n", loads, kills,
            last);
    REQUIRE(tern_checkpoint_save(path, &r.c));
    CHECK(temporaries(path) == 0, "what killed processes left is not swept up");
    run_stop(&r);
}

/* ---- memory
 * ----------------------------------------------------------------------------------------------------------------------
 */

/* Also inside the HDF5 library's buffer for the file, which comes through the same door. */
TERN_TEST(io_checkpoint, every_allocation_failing_once) {
    char path[300];
    snprintf(path, sizeof path, "%s", test_path("memory.h5"));
    tern_module *a = net(4, false), *b = net(4, false);
    tern_optim *o = tern_adam_new(a, 1e-3, (tern_adam_opts){0}), *p = tern_adam_new(b, 1e-3, (tern_adam_opts){0});
    tern_checkpoint c = {.model = a, .optim = o}, d = {.model = b, .optim = p};
    REQUIRE(tern_checkpoint_save(path, &c) && tern_checkpoint_load(path, &d));
    int failures = 0;
    for (int64_t n = 1;; n++) {
        tern_memory_fail_at(n);
        const bool saved = tern_checkpoint_save(path, &c), loaded = saved && tern_checkpoint_load(path, &d);
        const bool through = tern_memory_requests() < n;
        tern_memory_fail_at(0);
        if (through) {
            CHECK(saved && loaded);
            break;
        }
        CHECK(!saved || !loaded || tern_ok());
        failures += !tern_ok();
        tern_error_clear();
        if (!CHECK(tern_checkpoint_load(path, &d), "after failure %" PRId64, n)) break;
    }
    CHECK(failures > 20);
    tern_optim_free(o);
    tern_optim_free(p);
    tern_module_free(a);
    tern_module_free(b);
}

typedef struct changing {
    float *data;
    int64_t n;
    bool stop;
} changing;

static void *change(void *user) {
    changing *c = user;
    for (float value = 0; !__atomic_load_n(&c->stop, __ATOMIC_RELAXED); value++)
        for (int64_t i = 0; i < c->n; i += 64) __atomic_store(c->data + i, &value, __ATOMIC_RELAXED);
    return NULL;
}

/* Weights that another thread changes meanwhile: which of the values are saved is left open, but the file is whole. */
TERN_TEST(io_checkpoint, while_weights_change) {
    const char *path = test_path("changing.h5");
    tern_module *m = tern_linear_new(1500, 1500, (tern_linear_opts){0}); /* 9 MB */
    tern_checkpoint c = {.model = m};
    changing all = {.data = tern_data(tern_module_get(m, "weight")), .n = 1500 * 1500};
    pthread_t thread;
    for (int i = 0; i < 4; i++) {
        all.stop = false;
        REQUIRE(pthread_create(&thread, NULL, change, &all) == 0);
        const bool saved = tern_checkpoint_save(path, &c);
        __atomic_store_n(&all.stop, true, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
        CHECK(saved && tern_checkpoint_load(path, &c), "%s", tern_error_message());
        tern_error_clear();
    }
    tern_module_free(m);
}

/* Saving needs none for tensors, loading the file's size. */
TERN_TEST(io_checkpoint, memory_of_large_ones) {
    const char *path = test_path("large.h5");
    tern_module *m = tern_linear_new(1500, 1500, (tern_linear_opts){0}); /* 9 MB */
    tern_checkpoint c = {.model = m};
    const tern_device cpu = tern_cpu();
    for (int load = 0; load < 2; load++) {
        tern_memory_reset_peak();
        const int64_t data = tern_memory_device(cpu).live, host = tern_memory_host().live;
        CHECK(load ? tern_checkpoint_load(path, &c) : tern_checkpoint_save(path, &c));
        const int64_t more = tern_memory_device(cpu).peak - data + tern_memory_host().peak - host;
        CHECK(more < (load ? 10000000 : 1000000), "%s: %" PRId64 " bytes", load ? "loading" : "saving", more);
    }
    tern_module_free(m);
}

TERN_TEST(io_checkpoint, a_load_that_lacks_memory_changes_nothing) {
    const char *path = test_path("lack.h5");
    tern_module *a = net(4, false), *b = net(4, false), *copy = net(4, false);
    tern_optim *o = tern_adam_new(a, 1e-3, (tern_adam_opts){0}), *p = tern_adam_new(b, 0.5, (tern_adam_opts){0});
    REQUIRE(tern_module_copy(copy, b) &&
            tern_checkpoint_save(path, &(tern_checkpoint){.model = a, .optim = o, .epoch = 3}));
    tern_checkpoint d = {.model = b, .optim = p};
    const tern_random r = tern_random_get();
    for (int64_t n = 1; n < 10000; n++) {
        tern_memory_fail_at(n);
        const bool loaded = tern_checkpoint_load(path, &d);
        tern_memory_fail_at(0);
        if (loaded) break;
        tern_error_clear();
        if (!CHECK(same_bits(b, copy) && tern_optim_lr(p) == 0.5 && d.epoch == 0, "request %" PRId64, n)) break;
        if (!CHECK(tern_random_get().position == r.position)) break;
    }
    CHECK(same_bits(a, b) && tern_optim_lr(p) == 1e-3 && d.epoch == 3);
    tern_optim_free(o);
    tern_optim_free(p);
    tern_module_free(a);
    tern_module_free(b);
    tern_module_free(copy);
}
