/* The ready-made callbacks of tern_fit; class weights, settings that make no sense, histories, no memory left. */
#include "common.h"
#include "fit_setup.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- ready-made callbacks ---------------------------------------------------------------------------------------- */

/* The loss that is asked for, whatever the model says; its gradient is 1. */
static tern_tensor *chosen(tern_tensor *pred, tern_tensor *target, void *user) {
    tern_tensor *mean = tern_mean(pred, NULL, 0, false);
    (void)target;
    return tern_add_scalar(tern_sub(mean, tern_detach(mean)), *(const double *)user);
}

typedef struct plan {
    tern_callback c;
    const double *losses; /* of the epochs */
    double *now;
    tern_module *net;
    double weights[40]; /* of each epoch's end */
} plan;
static bool plan_epoch(tern_callback *c, tern_fit_run *r) {
    plan *p = (plan *)c;
    p->now[0] = p->losses[r->epoch];
    return true;
}
static bool plan_end(tern_callback *c, tern_fit_run *r) {
    plan *p = (plan *)c;
    p->weights[r->epoch] =
        tern_item(tern_select(tern_reshape(tern_module_get(r->model, "weight"), TERN_SHAPE(1)), 0, 0));
    return true;
}

/* Trains one weight for the epochs with these losses. */
static int64_t planned(const double *losses, int64_t n, tern_callback *c, plan *p, double *weight, double *rate) {
    tern_tensor *x = tern_ones(TERN_SHAPE(4, 1), (tern_options){0});
    tern_dataset *d = tern_dataset_tensors_new(x, x);
    tern_module *net = tern_linear_new(1, 1, (tern_linear_opts){.no_bias = true});
    tern_optim *o = tern_sgd_new(net, 0.5, (tern_sgd_opts){0});
    double now[1] = {0};
    *p = (plan){
        .c = {.name = "plan", .on_epoch_begin = plan_epoch, .on_epoch_end = plan_end}, .losses = losses, .now = now};
    tern_history *h = tern_history_new();
    CHECK(tern_fit(net, o,
                   (tern_fit_opts){.data = d,
                                   .batch = 2,
                                   .epochs = n,
                                   .loss = chosen,
                                   .user = now,
                                   .callbacks = (tern_callback *[]){&p->c, c},
                                   .n_callbacks = 2,
                                   .history = h}));
    const int64_t epochs = tern_history_epochs(h);
    *weight = tern_item(tern_module_get(net, "weight"));
    *rate = tern_optim_lr(o);
    tern_history_free(h);
    tern_optim_free(o);
    tern_module_free(net);
    tern_dataset_free(d);
    return epochs;
}

TERN_TEST(fit_callbacks, early_stopping_and_plateau) {
    static const double losses[] = {5, 4, 3, 3.05, 2.99, 3.2, 3.3, 1};
    plan p;
    double weight, rate;
    for (int file = 0; file <= 1; file++) {
        tern_callback *c = tern_early_stopping_new((tern_early_stopping_opts){
            .patience = 2, .min_delta = 0.1, .restore_best = true, .path = file ? test_path("best.h5") : NULL});
        CHECK(planned(losses, 8, c, &p, &weight, &rate) == 6); /* 3 is the best, three after it are not better */
        CHECK(weight == p.weights[2] && weight != p.weights[5]);
        tern_callback_free(c);
    }
    tern_callback *c = tern_early_stopping_new((tern_early_stopping_opts){.patience = 2});
    CHECK(planned(losses, 8, c, &p, &weight, &rate) == 8); /* 2.99 is better now */
    CHECK(weight == p.weights[7]);
    tern_callback_free(c);
    c = tern_early_stopping_new((tern_early_stopping_opts){.highest = true});
    CHECK(planned(losses, 8, c, &p, &weight, &rate) == 2);
    tern_callback_free(c);
    c = tern_reduce_on_plateau_new(NULL, (tern_schedule_plateau){.patience = 1, .threshold = 0.1, .factor = 0.5});
    CHECK(planned(losses, 8, c, &p, &weight, &rate) == 8);
    CHECK_NUMBER(rate, 0.125, 1e-12); /* cut after 3.05 and 2.99, and after 3.2 and 3.3 */
    tern_callback_free(c);
}

TERN_TEST(fit_callbacks, nan_and_time) {
    static const double losses[] = {5, 4, (double)NAN, 3, 2}, fine[40] = {1};
    plan p;
    double weight, rate;
    tern_callback *c = tern_terminate_on_nan_new(0);
    CHECK(planned(losses, 5, c, &p, &weight, &rate) == 2);
    tern_callback_free(c);
    c = tern_time_limit_new(1e-9);
    CHECK(planned(fine, 40, c, &p, &weight, &rate) == 0); /* after the first step */
    tern_callback_free(c);
    c = tern_time_limit_new(3600);
    CHECK(planned(fine, 40, c, &p, &weight, &rate) == 40);
    tern_callback_free(c);
}

static void read_file(const char *path, char *text, size_t size) {
    const int fd = open(path, O_RDONLY);
    const ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;
    text[n > 0 ? n : 0] = 0;
    if (fd >= 0) close(fd);
}

TERN_TEST(fit_callbacks, logs) {
    static const double losses[] = {5, 4.5};
    plan p;
    double weight, rate;
    char path[300], text[2000], command[800];
    snprintf(path, sizeof path, "%s", test_path("log.csv"));
    tern_callback *c = tern_csv_log_new(path);
    CHECK(planned(losses, 2, c, &p, &weight, &rate) == 2);
    read_file(path, text, sizeof text);
    CHECK(strcmp(text, "epoch,loss,lr\n1,5,0.5\n2,4.5,0.5\n") == 0, "%s", text);
    tern_callback_free(c);
    snprintf(path, sizeof path, "%s", test_path("line"));
    const int fd = open(path, O_RDWR | O_CREAT, 0600);
    c = tern_progress_new(fd);
    CHECK(planned(losses, 2, c, &p, &weight, &rate) == 2);
    read_file(path, text, sizeof text);
    CHECK(strncmp(text, "epoch 1/2  loss 5  lr 0.5  ", 27) == 0 && strstr(text, "\nepoch 2/2  loss 4.5"), "%s", text);
    close(fd);
    tern_callback_free(c);
    snprintf(path, sizeof path, "%s", test_path("board"));
    c = tern_tensorboard_log_new(path, 1);
    CHECK(planned(losses, 2, c, &p, &weight, &rate) == 2);
    snprintf(command, sizeof command, "cat %s/events* | grep -aq loss/train && cat %s/events* | grep -aq batch/lr",
             path, path);
    CHECK(system(command) == 0);
    tern_callback_free(c);
    c = tern_csv_log_new("/nowhere/log.csv");
    setup s;
    REQUIRE(start(&s, 1));
    EXPECT_ERROR(tern_fit(s.net, s.opt, (tern_fit_opts){.data = s.train, .callbacks = &c, .n_callbacks = 1}),
                 TERN_ERR_IO, "/nowhere/log.csv");
    tern_callback_free(c);
    tern_callback_free(NULL);
    stop(&s);
}

/* The best epoch's checkpoint, the last ones, and a folder that is in use. */
TERN_TEST(fit_callbacks, checkpoints) {
    char folder[300], best[400];
    snprintf(folder, sizeof folder, "%s", test_path("save"));
    snprintf(best, sizeof best, "%s/net-best.h5", folder);
    static const double losses[] = {5, 3, 4, 4};
    plan p;
    double weight, rate;
    tern_callback *c = tern_save_new(folder, (tern_save_opts){.prefix = "net", .keep = 2});
    CHECK(planned(losses, 4, c, &p, &weight, &rate) == 4);
    CHECK(tern_checkpoint_count(folder, "net") == 2);
    tern_module *net = tern_linear_new(1, 1, (tern_linear_opts){.no_bias = true});
    tern_checkpoint k = {.model = net};
    CHECK(tern_checkpoint_load(best, &k) && k.epoch == 2 && k.step == 4);
    CHECK(tern_item(tern_module_get(net, "weight")) == p.weights[1]);
    CHECK(tern_checkpoint_load_newest(folder, "net", &k, NULL, 0) && k.epoch == 4 && k.step == 8);
    CHECK(tern_item(tern_module_get(net, "weight")) == weight);
    setup s;
    REQUIRE(start(&s, 1));
    tern_fit_opts o = {.data = s.train, .callbacks = &c, .n_callbacks = 1};
    EXPECT_ERROR(tern_fit(s.net, s.opt, o), TERN_ERR_ARGUMENT, "of another run");
    o.resume = folder;
    o.resume_prefix = "net";
    EXPECT_ERROR(tern_fit(s.net, s.opt, o), TERN_ERR_FORMAT, "/optim");
    o.resume = "/nowhere/x.h5";
    EXPECT_ERROR(tern_fit(s.net, s.opt, o), TERN_ERR_IO, "/nowhere/x.h5");
    o.resume = "/dev/null/folder"; /* what cannot be read may hold a run */
    EXPECT_ERROR(tern_fit(s.net, s.opt, o), TERN_ERR_IO, "/dev/null/folder");
    tern_callback_free(c);
    tern_module_free(net);
    stop(&s);
}

/* What callbacks remember goes by their names: in another order, beside others that remember nothing, each finds its
 * own; what does not fit is an error. */
typedef struct memory {
    tern_callback c;
    double numbers[2], found[2];
} memory;
static bool memory_begin(tern_callback *c, tern_fit_run *run) {
    memory *m = (memory *)c;
    if (run->resumed) memcpy(m->found, m->numbers, sizeof m->found);
    return true;
}
static void memory_make(memory *m, const char *name, double first) {
    *m = (memory){.c = {.name = name, .on_train_begin = memory_begin, .numbers = m->numbers, .n_numbers = 2},
                  .numbers = {first, first + 1}};
}

static bool remembering(const char *folder, tern_callback **c, int n, int64_t epochs) {
    setup s;
    tern_callback *all[6] = {tern_save_new(folder, (tern_save_opts){.no_best = true})};
    if (!start(&s, 1)) return false;
    for (int i = 0; i < n; i++) all[i + 1] = c[i];
    const bool ok = tern_fit(
        s.net, s.opt,
        (tern_fit_opts){
            .data = s.train, .batch = 180, .epochs = epochs, .callbacks = all, .n_callbacks = n + 1, .resume = folder});
    tern_callback_free(all[0]);
    stop(&s);
    return ok;
}

TERN_TEST(fit_callbacks, numbers_are_resumed_by_name) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("memories"));
    memory a, b, again, c;
    memory_make(&a, "a", 10), memory_make(&b, "b b", 20), memory_make(&again, "a", 30), memory_make(&c, "c", 40);
    REQUIRE(remembering(folder, (tern_callback *[]){&a.c, &b.c, &again.c}, 3, 1));
    for (int i = 0; i < 2; i++) a.numbers[i] = b.numbers[i] = again.numbers[i] = 0;
    tern_callback *watch = tern_time_limit_new(3600); /* remembers nothing: new to the run */
    CHECK(remembering(folder, (tern_callback *[]){&b.c, watch, &a.c, &again.c}, 4, 2));
    CHECK(a.found[0] == 10 && a.found[1] == 11 && b.found[0] == 20 && b.found[1] == 21 && again.found[1] == 31);
    EXPECT_ERROR(remembering(folder, (tern_callback *[]){&a.c, &c.c, &again.c}, 3, 3), TERN_ERR_FORMAT, "fit_c_0_0");
    EXPECT_ERROR(remembering(folder, (tern_callback *[]){&a.c, &b.c}, 2, 3), TERN_ERR_FORMAT, "numbers");
    EXPECT_ERROR(remembering(folder, (tern_callback *[]){&a.c, &b.c, &again.c, &c.c}, 4, 3), TERN_ERR_FORMAT,
                 "fit_c_0_0");
    tern_callback_free(watch);
}

static void count_errors(tern_code code, const char *message, void *user) {
    (void)code, (void)message;
    ++*(int *)user;
}

/* What versions before names wrote: how many callbacks there were, and what they remember by their places. */
TERN_TEST(fit_callbacks, older_versions) {
    char path[300];
    snprintf(path, sizeof path, "%s", test_path("old.h5"));
    setup s;
    REQUIRE(start(&s, 1));
    tern_checkpoint_user user[] = {{"fit_history", 0, "{}"},
                                   {"fit_samples", 0, NULL},
                                   {"fit_loss", 0, NULL},
                                   {"fit_callbacks", 1, NULL},
                                   {"fit_callback0_0", 3, NULL}};
    tern_loader *loader = tern_loader_new(s.train, (tern_loader_opts){.batch = 180});
    tern_checkpoint c = {.model = s.net, .optim = s.opt, .loader = loader, .epoch = 1, .user = user, .n_user = 5};
    CHECK(tern_checkpoint_save(path, &c));
    const tern_fit_opts o = {.data = s.train, .batch = 180, .epochs = 2, .resume = path};
    EXPECT_ERROR(tern_fit(s.net, s.opt, o), TERN_ERR_FORMAT, "old.h5 was written by an older version");
    c.n_user = 3; /* no run's: the loader's own error, told of once */
    CHECK(tern_checkpoint_save(path, &c));
    int told = 0;
    tern_on_error(count_errors, &told);
    CHECK(!tern_fit(s.net, s.opt, o) && tern_error_code() == TERN_ERR_FORMAT && told == 1 &&
              strstr(tern_error_message(), "holds no user_fit_numbers"),
          "%s", tern_error_message());
    tern_error_clear();
    tern_on_error(NULL, NULL);
    tern_loader_free(loader);
    stop(&s);
}

static bool many_names(tern_callback *c, tern_fit_run *run) {
    char name[40];
    bool ok = true;
    (void)c;
    for (int i = 0; ok && i < 600; i++) {
        snprintf(name, sizeof name, "layer%d", i);
        ok = tern_history_set(run->history, name, run->epoch, i);
    }
    return ok;
}

/* A history of however many names comes back. */
TERN_TEST(fit_callbacks, many_names_are_resumed) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("names"));
    tern_callback names = {.name = "names", .on_epoch_end = many_names};
    tern_callback *c[] = {&names, tern_save_new(folder, (tern_save_opts){0})};
    tern_history *h = tern_history_new();
    for (int k = 1; k <= 2; k++) {
        setup s;
        REQUIRE(start(&s, 1));
        CHECK(tern_fit(s.net, s.opt,
                       (tern_fit_opts){.data = s.train,
                                       .batch = 180,
                                       .epochs = k,
                                       .callbacks = c,
                                       .n_callbacks = 2,
                                       .resume = folder,
                                       .history = k == 2 ? h : NULL}));
        stop(&s);
    }
    CHECK(tern_history_get(h, "layer599", 0) == 599 && tern_history_epochs(h) == 2);
    tern_history_free(h);
    tern_callback_free(c[1]);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

TERN_TEST(fit_callbacks, class_weights) {
    setup a = {0}, b = {0};
    double w[10];
    REQUIRE(start(&a, 2) && start(&b, 2));
    CHECK(tern_class_weights(a.train, w, 10));
    int64_t label[360];
    REQUIRE(a.train->length <= 360 && tern_dataset_labels(a.train, label));
    for (int c = 0; c < 10; c++) {
        int n = 0;
        for (int i = 0; i < a.train->length; i++) n += label[i] == c;
        CHECK_NUMBER(w[c], (double)a.train->length / (10.0 * n), 1e-12);
    }
    tern_module *ce = tern_cross_entropy_new(
        (tern_cross_entropy_opts){.weight = tern_from_doubles(w, TERN_SHAPE(10), (tern_options){0})});
    tern_seed(3);
    CHECK(tern_fit(a.net, a.opt, (tern_fit_opts){.data = a.train, .class_weight = w, .n_class_weight = 10}));
    tern_seed(3);
    CHECK(tern_fit(b.net, b.opt, (tern_fit_opts){.data = b.train, .criterion = ce, .device = "cpu"}));
    CHECK(same_bits(a.net, b.net));
    EXPECT_ERROR(tern_class_weights(a.train, w, 5), TERN_ERR_INDEX, "class_weights");
    EXPECT_ERROR(tern_class_weights(NULL, w, 5), TERN_ERR_ARGUMENT, "dataset");
    tern_module_free(ce);
    stop(&a);
    stop(&b);
}

static tern_tensor *by_sample(tern_tensor *y, tern_tensor *t, void *user) {
    (void)user;
    return tern_cross_entropy(y, t, (tern_cross_entropy_opts){.reduction = TERN_REDUCE_NONE});
}
static bool silent(tern_callback *c, tern_fit_run *r) { return (void)c, (void)r, false; }

TERN_TEST(fit_callbacks, what_makes_no_sense) {
    setup s;
    REQUIRE(start(&s, 1));
    tern_loader *l = tern_loader_new(s.train, (tern_loader_opts){0});
    tern_module *ce = tern_cross_entropy_new((tern_cross_entropy_opts){0});
    tern_metric *m[2] = {tern_accuracy_new((tern_metric_opts){0}), tern_accuracy_new((tern_metric_opts){0})};
    tern_metric *loss = tern_mse_new((tern_metric_opts){.name = "loss"});
    tern_schedule plateau = {.kind = TERN_SCHEDULE_PLATEAU, .lr = 1};
    tern_callback quiet = {.name = "quiet", .on_train_begin = silent}, *q = &quiet;
    tern_callback *p = tern_reduce_on_plateau_new(NULL, (tern_schedule_plateau){0});
    tern_callback *e = tern_early_stopping_new((tern_early_stopping_opts){.monitor = "auc"});
    double w[3] = {1, 1, 1};
    const struct {
        tern_fit_opts o;
        tern_code code;
        const char *text;
    } bad[] = {
        {{0}, TERN_ERR_ARGUMENT, "a loader or a dataset"},
        {{.data = s.train, .loader = l}, TERN_ERR_ARGUMENT, "a loader or a dataset"},
        {{.data = s.train, .epochs = -1}, TERN_ERR_ARGUMENT, "negative"},
        {{.data = s.train, .accumulate = -1}, TERN_ERR_ARGUMENT, "negative"},
        {{.data = s.train, .clip_norm = -1}, TERN_ERR_ARGUMENT, "negative"},
        {{.data = s.train, .batch = -3}, TERN_ERR_ARGUMENT, "batch -3"},
        {{.loader = l, .validation_split = 0.5}, TERN_ERR_ARGUMENT, "validation_split"},
        {{.data = s.train, .validation_split = 1}, TERN_ERR_ARGUMENT, "validation_split"},
        {{.data = s.train, .validation_split = 0.5, .validation = s.test}, TERN_ERR_ARGUMENT, "one at most"},
        {{.data = s.train, .criterion = ce, .loss = by_sample}, TERN_ERR_ARGUMENT, "criterion"},
        {{.data = s.train, .criterion = ce, .class_weight = w, .n_class_weight = 3}, TERN_ERR_ARGUMENT, "class_weight"},
        {{.data = s.train, .class_weight = w, .n_class_weight = 3}, TERN_ERR_SHAPE, ""},
        {{.data = s.train, .criterion = s.net}, TERN_ERR_ARGUMENT, "is no loss"},
        {{.data = s.train, .loss = by_sample}, TERN_ERR_SHAPE, "its mean is expected"},
        {{.data = s.train, .metrics = m, .n_metrics = 2}, TERN_ERR_ARGUMENT, "more than one accuracy"},
        {{.data = s.train, .metrics = &loss, .n_metrics = 1}, TERN_ERR_ARGUMENT, "more than one loss"},
        {{.data = s.train, .n_metrics = 1}, TERN_ERR_ARGUMENT, "without as many"},
        {{.data = s.train, .n_callbacks = 1}, TERN_ERR_ARGUMENT, "without as many"},
        {{.data = s.train, .schedule = &plateau}, TERN_ERR_ARGUMENT, "plateau"},
        {{.data = s.train, .schedule = &s.schedule, .callbacks = &p, .n_callbacks = 1}, TERN_ERR_ARGUMENT, "schedule"},
        {{.data = s.train, .callbacks = &e, .n_callbacks = 1},
         TERN_ERR_ARGUMENT,
         "the history has no auc; it has loss lr"},
        {{.data = s.train, .callbacks = &q, .n_callbacks = 1}, TERN_ERR_ARGUMENT, "quiet failed"},
        {{.data = s.train, .autocast = TERN_I64}, TERN_ERR_ARGUMENT, "autocast"},
        {{.data = s.train, .device = "toaster"}, TERN_ERR_ARGUMENT, "toaster"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_case("settings %d", (int)i);
        EXPECT_ERROR(tern_fit(s.net, s.opt, bad[i].o), bad[i].code, bad[i].text);
    }
    EXPECT_ERROR(tern_fit(NULL, s.opt, bad[2].o), TERN_ERR_ARGUMENT, "model");
    EXPECT_ERROR(tern_fit(s.net, NULL, bad[2].o), TERN_ERR_ARGUMENT, "optim");
    EXPECT_ERROR(tern_predict(s.net, (tern_evaluate_opts){0}), TERN_ERR_ARGUMENT, "predict");
    EXPECT_ERROR(tern_evaluate(NULL, (tern_evaluate_opts){.data = s.test}, NULL), TERN_ERR_ARGUMENT, "model");
    EXPECT_ERROR(tern_early_stopping_new((tern_early_stopping_opts){.patience = -1}), TERN_ERR_ARGUMENT, "patience");
    EXPECT_ERROR(tern_time_limit_new(0), TERN_ERR_ARGUMENT, "0 seconds");
    EXPECT_ERROR(tern_terminate_on_nan_new(-1), TERN_ERR_ARGUMENT, "every");
    EXPECT_ERROR(tern_progress_new(-1), TERN_ERR_ARGUMENT, "-1");
    EXPECT_ERROR(tern_csv_log_new(NULL), TERN_ERR_ARGUMENT, "path");
    EXPECT_ERROR(tern_tensorboard_log_new("x", -1), TERN_ERR_ARGUMENT, "every");
    EXPECT_ERROR(tern_save_new(NULL, (tern_save_opts){0}), TERN_ERR_ARGUMENT, "folder");
    EXPECT_ERROR(tern_fit_checkpoint(NULL), TERN_ERR_ARGUMENT, "run");
    tern_callback_free(p);
    tern_callback_free(e);
    tern_metric_free(m[0]);
    tern_metric_free(m[1]);
    tern_metric_free(loss);
    tern_module_free(ce);
    tern_loader_free(l);
    stop(&s);
}

TERN_TEST(fit_callbacks, histories) {
    tern_history *h = tern_history_new();
    CHECK(tern_history_epochs(h) == 0 && tern_history_names(h) == 0 && !tern_history_name(h, 0));
    CHECK(tern_history_set(h, "a", 3, 1.5) && tern_history_set(h, "b", 0, 2) && tern_history_set(h, "a", 3, 2.5));
    CHECK(tern_history_epochs(h) == 4 && tern_history_names(h) == 2 && strcmp(tern_history_name(h, 1), "b") == 0);
    CHECK(tern_history_get(h, "a", 3) == 2.5 && tern_history_get(h, "a", -1) == 2.5 &&
          isnan(tern_history_get(h, "a", 0)));
    CHECK(tern_history_get(h, "b", -4) == 2 && isnan(tern_history_get(h, "b", 3)) &&
          isnan(tern_history_get(h, "c", 0)));
    EXPECT_ERROR(tern_history_set(h, "a,b", 0, 1), TERN_ERR_ARGUMENT, "a,b");
    EXPECT_ERROR(tern_history_set(h, "", 0, 1), TERN_ERR_ARGUMENT, "history");
    EXPECT_ERROR(tern_history_set(h, "a", -1, 1), TERN_ERR_ARGUMENT, "-1");
    EXPECT_ERROR(tern_history_set(h, "a", (int64_t)1 << 40, 1), TERN_ERR_ARGUMENT, "history");
    EXPECT_ERROR(tern_history_set(NULL, "a", 0, 1), TERN_ERR_ARGUMENT, "history");
    tern_history_free(h);
    tern_history_free(NULL);
}

/* Every so-manieth allocation fails: an error, no crash, no leak. */
TERN_TEST(fit_callbacks, out_of_memory, .timeout = 600) {
    int failed = 0;
    for (int64_t n = 1; n < 4000; n += 1 + n / 6) {
        setup s;
        REQUIRE(start(&s, 1));
        tern_metric *m = tern_f1_new((tern_metric_opts){.classes = 10});
        tern_memory_fail_at(n);
        tern_callback *c = tern_csv_log_new(test_path("memory.csv"));
        const bool ok = tern_fit(s.net, s.opt,
                                 (tern_fit_opts){.data = s.train,
                                                 .batch = 90,
                                                 .epochs = 2,
                                                 .validation_split = 0.5,
                                                 .metrics = &m,
                                                 .n_metrics = 1,
                                                 .callbacks = &c,
                                                 .n_callbacks = c ? 1 : 0});
        failed += !ok;
        if (!ok) CHECK(tern_error_code() == TERN_ERR_MEMORY, "%s", tern_error_message());
        tern_memory_fail_at(0);
        tern_error_clear();
        tern_callback_free(c);
        tern_metric_free(m);
        stop(&s);
    }
    CHECK(failed > 5);
}
