/* tern_fit: the run of a loop written by hand, bit for bit; stopped anywhere and resumed, the straight run, bit for
 * bit; callbacks, histories, evaluation; errors from every side. */
#include "common.h"
#include "tern/autocast.h"
#include "tern/callbacks.h"
#include "tern/layers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct setup {
    tern_dataset *train, *test;
    tern_module *net;
    tern_optim *opt;
    tern_schedule schedule;
} setup;

static bool start(setup *s, uint64_t seed) {
    *s = (setup){.schedule = {.kind = TERN_SCHEDULE_COSINE, .lr = 1e-2, .warmup = 4, .total = 60}};
    tern_seed(seed);
    s->train = tern_digits_new(false); /* the smaller part: 360 */
    s->test = tern_digits_new(true);
    s->net = tern_sequential(tern_flatten_new(), tern_linear_new(64, 16, (tern_linear_opts){0}), tern_relu_new(),
                             tern_batch_norm_new(16, (tern_norm_opts){0}), tern_dropout_new(0.2),
                             tern_linear_new(16, 10, (tern_linear_opts){0}), NULL);
    s->opt = tern_adamw_new(s->net, 1e-2, (tern_adamw_opts){0});
    return s->opt != NULL;
}
static void stop(setup *s) {
    tern_optim_free(s->opt);
    tern_module_free(s->net);
    tern_dataset_free(s->train);
    tern_dataset_free(s->test);
}

static bool same_bits(tern_module *a, tern_module *b) {
    tern_named x, y;
    for (int i = 0; tern_module_each(a, i, &x); i++) {
        if (!tern_module_each(b, i, &y)) return FAIL("other names");
        const size_t bytes = (size_t)tern_numel(x.tensor) * tern_dtype_size(tern_dtype_of(x.tensor));
        if (memcmp(tern_data(x.tensor), tern_data(y.tensor), bytes) != 0) return FAIL("%s differs", x.name);
    }
    return true;
}

/* ---- a callback of the test's own: notes what is called, interrupts, stops, fails -------------------------------- */

typedef struct probe {
    tern_callback c;
    char calls[4000];
    int64_t interrupt_at, stop_at, fail_at; /* steps; 0: never */
    volatile sig_atomic_t flag;
    tern_fit_end end;
} probe;

static bool note(tern_callback *c, const char *what) {
    probe *p = (probe *)c;
    const size_t n = strlen(p->calls);
    snprintf(p->calls + n, sizeof p->calls - n, "%s ", what);
    return true;
}
static bool p_begin(tern_callback *c, tern_fit_run *r) { return note(c, r->resumed ? "begin-again" : "begin"); }
static bool p_epoch(tern_callback *c, tern_fit_run *r) { return note(c, r->epoch == 0 ? "epoch0" : "epoch"); }
static bool p_batch(tern_callback *c, tern_fit_run *r) { return note(c, r->batch == 0 ? "b0" : "b"); }
static bool p_batch_end(tern_callback *c, tern_fit_run *r) {
    probe *p = (probe *)c;
    CHECK(isfinite(tern_item(r->loss)));
    if (p->interrupt_at && r->step == p->interrupt_at) p->flag = 1;
    if (p->stop_at && r->step == p->stop_at) r->stop = "enough";
    if (p->fail_at && r->step == p->fail_at) return tern_error_set(TERN_ERR_IO, "the probe fails");
    return note(c, "e");
}
static bool p_validation(tern_callback *c, tern_fit_run *r) {
    return CHECK(isfinite(tern_history_get(r->history, "val_loss", r->epoch))) && note(c, "validated");
}
static bool p_epoch_end(tern_callback *c, tern_fit_run *r) { return (void)r, note(c, "ended"); }
static bool p_pause(tern_callback *c, tern_fit_run *r) { return note(c, r->end == TERN_FIT_RUNNING ? "p" : "last"); }
static bool p_end(tern_callback *c, tern_fit_run *r) {
    ((probe *)c)->end = r->end;
    return note(c, "end");
}
static probe probe_make(void) {
    return (probe){.c = {.name = "probe",
                         .on_train_begin = p_begin,
                         .on_epoch_begin = p_epoch,
                         .on_batch_begin = p_batch,
                         .on_batch_end = p_batch_end,
                         .on_validation_end = p_validation,
                         .on_epoch_end = p_epoch_end,
                         .on_pause = p_pause,
                         .on_train_end = p_end}};
}

TERN_TEST(fit, order_of_calls) {
    setup s;
    REQUIRE(start(&s, 1));
    probe p = probe_make();
    tern_fit_end end;
    tern_fit_opts o = {.data = s.train,
                       .batch = 120,
                       .epochs = 2,
                       .accumulate = 2,
                       .validation = s.test,
                       .callbacks = (tern_callback *[]){&p.c},
                       .n_callbacks = 1,
                       .interrupt = &p.flag,
                       .end = &end};
    tern_module_train(s.net, false);
    CHECK(tern_fit(s.net, s.opt, o) && end == TERN_FIT_DONE && p.end == TERN_FIT_DONE);
    CHECK(!s.net->training); /* as it was */
    CHECK(strcmp(p.calls,
                 "begin epoch0 b0 e b e p b e p validated ended p epoch b0 e b e p b e p validated ended last "
                 "end ") == 0,
          "%s", p.calls);
    p = probe_make();
    p.stop_at = 2;
    CHECK(tern_fit(s.net, s.opt, o) && end == TERN_FIT_STOPPED);
    CHECK(strcmp(p.calls, "begin epoch0 b0 e b e p b e last end ") == 0, "%s", p.calls);
    p = probe_make();
    p.interrupt_at = 1;
    CHECK(tern_fit(s.net, s.opt, o) && end == TERN_FIT_INTERRUPTED);
    CHECK(strcmp(p.calls, "begin epoch0 b0 e b e last end ") == 0, "%s", p.calls);
    p = probe_make();
    p.fail_at = 1;
    EXPECT_ERROR(tern_fit(s.net, s.opt, o), TERN_ERR_IO, "the probe fails");
    CHECK(end == TERN_FIT_FAILED && p.end == TERN_FIT_FAILED && strstr(p.calls, "end") && !strstr(p.calls, "last"));
    stop(&s);
}

/* ---- the same as by hand ----------------------------------------------------------------------------------------- */

TERN_TEST(fit, as_a_loop_by_hand) {
    for (int k = 1; k <= 3; k++) {
        check_case("a step of %d batches", k);
        setup a, b;
        tern_history *h = tern_history_new();
        tern_metric *m = tern_accuracy_new((tern_metric_opts){0});
        REQUIRE(start(&a, 5));
        const tern_fit_opts o = {.data = a.train,
                                 .batch = 50,
                                 .epochs = 3,
                                 .accumulate = k,
                                 .clip_norm = 0.5,
                                 .schedule = &a.schedule,
                                 .seed = 9,
                                 .validation = a.test,
                                 .metrics = &m,
                                 .n_metrics = 1,
                                 .history = h};
        CHECK(tern_fit(a.net, a.opt, o) && a.net->training);
        REQUIRE(start(&b, 5));
        tern_loader *l = tern_loader_new(b.train, (tern_loader_opts){.batch = 50, .shuffle = true, .seed = 9});
        double sum = 0;
        for (int epoch = 0; epoch < 3; epoch++) {
            tern_batch x;
            sum = 0;
            while (tern_loader_next(l, &x)) {
                const int scope = tern_scope_push();
                const int64_t first = x.index / k * k, n = 8 - first < k ? 8 - first : k;
                tern_tensor *loss = tern_cross_entropy(tern_forward(b.net, x.x), x.y, (tern_cross_entropy_opts){0});
                tern_backward(n > 1 ? tern_mul_scalar(loss, 1.0 / (double)n) : loss);
                if (x.index == first + n - 1) {
                    tern_schedule_apply(&b.schedule, b.opt);
                    tern_optim_clip_norm(b.opt, 0.5);
                    tern_optim_step(b.opt);
                }
                sum += tern_item(loss) * (double)x.n;
                tern_scope_pop(scope);
            }
        }
        CHECK(same_bits(a.net, b.net));
        CHECK_NUMBER(tern_history_get(h, "loss", -1), sum / 360, 1e-12);
        CHECK(tern_history_epochs(h) == 3 && tern_history_names(h) == 5);
        static const char *const names[] = {"loss", "accuracy", "lr", "val_loss", "val_accuracy"};
        for (int i = 0; i < 5; i++) CHECK(strcmp(tern_history_name(h, i), names[i]) == 0);
        CHECK(tern_history_get(h, "val_accuracy", 2) > 0.4, "%g", tern_history_get(h, "val_accuracy", 2));
        /* What evaluate and predict say of the model. */
        double loss;
        tern_module *ce = tern_cross_entropy_new((tern_cross_entropy_opts){0});
        tern_evaluate_opts e = {.criterion = ce, .data = a.test, .batch = 100, .metrics = &m, .n_metrics = 1};
        CHECK(tern_evaluate(a.net, e, &loss) && a.net->training);
        CHECK_NUMBER(loss, tern_history_get(h, "val_loss", 2), 1e-6);
        CHECK_NUMBER(tern_metric_compute(m), tern_history_get(h, "val_accuracy", 2), 1e-12);
        tern_tensor *y = tern_predict(a.net, e);
        CHECK_SHAPE(y, a.test->length, 10);
        int64_t *label = malloc((size_t)a.test->length * sizeof *label);
        CHECK(tern_dataset_labels(a.test, label));
        tern_tensor *t = tern_from(label, TERN_SHAPE(a.test->length), (tern_options){.dtype = TERN_I64});
        CHECK_ITEM(tern_mean(tern_cast(tern_eq(tern_argmax(y, 1, false), t), TERN_F64), NULL, 0, false),
                   tern_history_get(h, "val_accuracy", 2), 1e-12);
        free(label);
        tern_loader_free(l);
        tern_module_free(ce);
        tern_history_free(h);
        tern_metric_free(m);
        stop(&a);
        stop(&b);
    }
}

/* ---- straight and resumed ---------------------------------------------------------------------------------------- */

typedef struct whole {
    setup s;
    tern_history *h;
    tern_callback *callbacks[4];
    probe p;
    tern_metric *m;
    tern_random end;
} whole;

enum { EPOCHS = 5 };

/* One run into folder, resuming what is there; with workers, a step of 3 batches (8 in an epoch), dropout, a schedule
 * or a plateau, early stopping. */
static bool run_whole(whole *w, const char *folder, int workers, int64_t interrupt_at, bool plateau) {
    *w = (whole){.p = probe_make(), .h = tern_history_new(), .m = tern_accuracy_new((tern_metric_opts){0})};
    if (!start(&w->s, tern_checkpoint_count(folder, NULL) ? 77 : 3)) return false; /* resumed: another start */
    w->p.interrupt_at = interrupt_at;
    char best[400];
    snprintf(best, sizeof best, "%s/weights.h5", folder);
    w->callbacks[0] = tern_save_new(folder, (tern_save_opts){.every_steps = 2});
    w->callbacks[1] = &w->p.c;
    w->callbacks[2] = tern_early_stopping_new((tern_early_stopping_opts){
        .monitor = "val_accuracy", .patience = 1, .min_delta = 0.02, .restore_best = true, .path = best});
    w->callbacks[3] = plateau
                          ? tern_reduce_on_plateau_new(
                                "val_loss", (tern_schedule_plateau){.patience = -1, .threshold = 0.2, .factor = 0.5})
                          : tern_terminate_on_nan_new(3);
    tern_fit_opts o = {.data = w->s.train,
                       .batch = 40,
                       .epochs = EPOCHS,
                       .accumulate = 3,
                       .clip_value = 0.1,
                       .seed = 4,
                       .workers = workers,
                       .validation_split = 0.15,
                       .metrics = &w->m,
                       .n_metrics = 1,
                       .no_train_metrics = true,
                       .callbacks = w->callbacks,
                       .n_callbacks = 4,
                       .history = w->h,
                       .resume = folder,
                       .interrupt = &w->p.flag,
                       .schedule = plateau ? NULL : &w->s.schedule};
    const bool ok = CHECK(tern_fit(w->s.net, w->s.opt, o));
    w->end = tern_random_get();
    return ok && CHECK_OK();
}
static void end_whole(whole *w) {
    for (int i = 0; i < 4; i++)
        if (i != 1) tern_callback_free(w->callbacks[i]);
    tern_history_free(w->h);
    tern_metric_free(w->m);
    stop(&w->s);
}

TERN_TEST(fit, straight_and_resumed_agree_bit_for_bit, .timeout = 600) {
    for (int plateau = 0; plateau <= 1; plateau++) {
        char folder[300];
        snprintf(folder, sizeof folder, "%s", test_path(plateau ? "straight-p" : "straight"));
        mkdir(folder, 0700);
        whole a, b;
        REQUIRE(run_whole(&a, folder, 0, 0, plateau));
        const int64_t epochs = tern_history_epochs(a.h);
        CHECK(epochs > 2);
        for (int64_t at = 1; at <= 13; at += plateau ? 3 : 2) {
            check_case("%s, interrupted at step %d", plateau ? "plateau" : "schedule", (int)at);
            char name[40];
            snprintf(name, sizeof name, "resumed-%d-%d", plateau, (int)at);
            snprintf(folder, sizeof folder, "%s", test_path(name));
            mkdir(folder, 0700);
            REQUIRE(run_whole(&b, folder, 2, at, plateau));
            CHECK(b.p.end == TERN_FIT_INTERRUPTED || epochs * 3 < at);
            end_whole(&b);
            REQUIRE(run_whole(&b, folder, (int)at % 3, at + 2, plateau)); /* a second time */
            CHECK(strncmp(b.p.calls, "begin-again", 11) == 0);
            end_whole(&b);
            REQUIRE(run_whole(&b, folder, 0, 0, plateau));
            CHECK(same_bits(a.s.net, b.s.net));
            CHECK(a.end.seed == b.end.seed && a.end.position == b.end.position);
            CHECK(tern_history_epochs(b.h) == epochs && a.p.end == b.p.end);
            for (int i = 0; i < tern_history_names(a.h); i++)
                for (int64_t e = 0; e < epochs; e++) {
                    const char *n = tern_history_name(a.h, i);
                    const double x = tern_history_get(a.h, n, e), y = tern_history_get(b.h, n, e);
                    CHECK(x == y, "%s of epoch %d is %.17g and %.17g", n, (int)e, x, y);
                }
            end_whole(&b);
        }
        end_whole(&a);
    }
}

/* ---- SIGTERM ----------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t terminated;
static void on_term(int number) {
    (void)number;
    terminated = 1;
}

static bool slowly(tern_callback *c, tern_fit_run *r) {
    (void)c, (void)r;
    usleep(3000);
    return true;
}

/* In a process of its own: a run into folder; ends with 0 and the model in `out` if it came to its end, 9 if it was
 * interrupted. */
static _Noreturn void process(const char *folder, const char *out) {
    setup s;
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    bool ok = start(&s, 8);
    tern_callback *save = tern_save_new(folder, (tern_save_opts){0}), slow = {.name = "slow", .on_batch_end = slowly};
    tern_fit_end end;
    ok = ok && tern_fit(s.net, s.opt,
                        (tern_fit_opts){.data = s.train,
                                        .batch = 20,
                                        .epochs = 4,
                                        .schedule = &s.schedule,
                                        .callbacks = (tern_callback *[]){save, &slow},
                                        .n_callbacks = 2,
                                        .resume = folder,
                                        .interrupt = &terminated,
                                        .end = &end,
                                        .workers = 2});
    tern_callback_free(save);
    if (ok && end == TERN_FIT_DONE) ok = tern_checkpoint_save(out, &(tern_checkpoint){.model = s.net, .optim = s.opt});
    const int code = !ok ? 1 : end == TERN_FIT_INTERRUPTED ? 9 : 42;
    _exit(code);
}

static int run_process(const char *folder, const char *out, useconds_t kill_after) {
    const pid_t child = fork();
    if (child == 0) process(folder, out);
    if (kill_after) {
        usleep(kill_after);
        kill(child, SIGTERM);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TERN_TEST(fit, sigterm_leaves_a_checkpoint) {
    char straight[300], killed[300], a[300], b[300], command[700];
    snprintf(straight, sizeof straight, "%s", test_path("term-straight"));
    snprintf(killed, sizeof killed, "%s", test_path("term-killed"));
    snprintf(a, sizeof a, "%s", test_path("term-a.h5"));
    snprintf(b, sizeof b, "%s", test_path("term-b.h5"));
    CHECK(run_process(straight, a, 0) == 42);
    int code = 0, interrupted = 0;
    for (int i = 0; i < 20 && code != 42; i++) {
        code = run_process(killed, b, i < 8 ? 60000 + 17000 * (useconds_t)i : 0);
        interrupted += code == 9;
        CHECK(code == 42 || code == 9 || code == -1, "%d", code); /* -1: before it minded the signal */
    }
    CHECK(code == 42 && interrupted > 0, "interrupted %d times", interrupted);
    snprintf(command, sizeof command, "cmp %s %s", a, b);
    CHECK(system(command) == 0);
}

/* Autocast and a loss scaler: the same as by hand, and the scaler goes through checkpoints. */
TERN_TEST(fit, mixed_precision) {
    for (int f16 = 0; f16 <= 1; f16++) {
        check_case("%s", f16 ? "f16" : "bf16");
        const tern_dtype dtype = f16 ? TERN_F16 : TERN_BF16;
        const tern_scaler_opts so = {.scale = 0x1p30, .interval = 3}; /* too much for f16 at first */
        setup a, b;
        REQUIRE(start(&a, 5));
        tern_scaler *s = tern_scaler_new(so), *t = tern_scaler_new(so), *u = tern_scaler_new(so);
        char folder[300];
        snprintf(folder, sizeof folder, "%s", test_path(f16 ? "f16" : "bf16"));
        tern_callback *save = tern_save_new(folder, (tern_save_opts){0});
        const tern_fit_opts o = {.data = a.train,
                                 .batch = 60,
                                 .epochs = 2,
                                 .autocast = dtype,
                                 .clip_norm = 0.5,
                                 .scaler = f16 ? s : NULL,
                                 .in_order = true,
                                 .callbacks = &save,
                                 .n_callbacks = 1};
        CHECK(tern_fit(a.net, a.opt, o));
        REQUIRE(start(&b, 5));
        tern_loader *l = tern_loader_new(b.train, (tern_loader_opts){.batch = 60});
        for (int k = 0; k < 14; k++) {
            tern_batch x;
            if (!tern_loader_next(l, &x)) continue;
            const int scope = tern_scope_push(), cast = tern_autocast_push(TERN_CPU, dtype);
            tern_tensor *loss = tern_cross_entropy(tern_forward(b.net, x.x), x.y, (tern_cross_entropy_opts){0});
            tern_autocast_pop(cast);
            tern_backward(f16 ? tern_scaler_scale(t, loss) : loss);
            if (f16) tern_scaler_unscale(t, b.opt);
            tern_optim_clip_norm(b.opt, 0.5);
            if (f16)
                CHECK(tern_scaler_step(t, b.opt) && tern_scaler_update(t));
            else
                tern_optim_step(b.opt);
            tern_scope_pop(scope);
        }
        CHECK(same_bits(a.net, b.net));
        if (f16) {
            CHECK(tern_scaler_tell(s).skipped > 0 && tern_scaler_value(s) == tern_scaler_value(t));
            tern_checkpoint c = {.model = b.net, .optim = b.opt, .scaler = u};
            CHECK(tern_checkpoint_load_newest(folder, NULL, &c, NULL, 0));
            CHECK(tern_scaler_value(u) == tern_scaler_value(s) &&
                  tern_scaler_tell(u).skipped == tern_scaler_tell(s).skipped);
        }
        tern_scaler *all[] = {s, t, u};
        for (int i = 0; i < 3; i++) tern_scaler_free(all[i]);
        tern_callback_free(save);
        tern_loader_free(l);
        stop(&a);
        stop(&b);
    }
}

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

TERN_TEST(fit, early_stopping_and_plateau) {
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

TERN_TEST(fit, nan_and_time) {
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

TERN_TEST(fit, logs) {
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
TERN_TEST(fit, checkpoints) {
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
    EXPECT_ERROR(tern_fit(s.net, s.opt, o), TERN_ERR_FORMAT, "fit_callback0_0");
    o.resume = "/nowhere/x.h5";
    EXPECT_ERROR(tern_fit(s.net, s.opt, o), TERN_ERR_IO, "/nowhere/x.h5");
    tern_callback_free(c);
    tern_module_free(net);
    stop(&s);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

TERN_TEST(fit, class_weights) {
    setup a, b;
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

TERN_TEST(fit, what_makes_no_sense) {
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

TERN_TEST(fit, histories) {
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
TERN_TEST(fit, out_of_memory, .timeout = 600) {
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
