/* tern_fit: the run of a loop written by hand, bit for bit; stopped anywhere and resumed, the straight run, bit for
 * bit; the order of its calls, evaluation, mixed precision, SIGTERM. */
#include "common.h"
#include "fit_setup.h"
#include "tern/autocast.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Gradients that were there before, and an optimizer that keeps them, change nothing. */
/* A frozen batch_norm stays in evaluation mode, through training, validation and what comes after. */
TERN_TEST(fit, modes_of_parts) {
    setup s;
    REQUIRE(start(&s, 5));
    tern_module *norm = tern_module_child(s.net, "3"), *dropout = tern_module_child(s.net, "4");
    tern_tensor *mean = tern_module_get(s.net, "3.running_mean");
    tern_module_train(norm, false);
    tern_fit_opts o = {.data = s.train, .batch = 90, .validation = s.test, .epochs = 2};
    CHECK(tern_fit(s.net, s.opt, o), "%s", tern_error_message());
    CHECK(s.net->training && dropout->training && !norm->training);
    CHECK_ITEM(tern_sum(tern_abs(mean), NULL, 0, false), 0, 0);
    CHECK(tern_evaluate(s.net, (tern_evaluate_opts){.data = s.test}, NULL));
    CHECK(s.net->training && dropout->training && !norm->training);
    CHECK(tern_predict(s.net, (tern_evaluate_opts){.data = s.test}) != NULL);
    CHECK(s.net->training && dropout->training && !norm->training);
    /* A model in evaluation mode is trained whole, and goes back. */
    tern_module_train(s.net, false);
    CHECK(tern_fit(s.net, s.opt, o), "%s", tern_error_message());
    CHECK(!s.net->training && !dropout->training && !norm->training);
    CHECK(tern_item(tern_sum(tern_abs(mean), NULL, 0, false)) > 0);
    stop(&s);
}

TERN_TEST(fit, gradients_of_others) {
    setup s[3];
    for (int k = 0; k < 3; k++) {
        REQUIRE(start(&s[k], 5));
        if (k == 1) tern_optim_keep_grad(s[k].opt, true);
        if (k == 2) {
            tern_tensor *x = tern_ones(TERN_SHAPE(2, 1, 8, 8), (tern_options){0});
            tern_module_train(s[k].net, false);
            CHECK(tern_backward(tern_sum(tern_forward(s[k].net, x), NULL, 0, false)));
            tern_module_train(s[k].net, true);
        }
        tern_seed(6);
        CHECK(tern_fit(s[k].net, s[k].opt, (tern_fit_opts){.data = s[k].train, .batch = 60, .accumulate = 2}));
        CHECK(same_bits(s[0].net, s[k].net), "%d", k);
    }
    for (int k = 0; k < 3; k++) stop(&s[k]);
}

/* ---- on a GPU, where TERN_TEST_DEVICE names one ------------------------------------------------------------------ */

/* Two epochs on a device, interrupted at a step and resumed unless that is 0. */
static bool run_on(tern_device d, int64_t interrupt_at, const char *folder, tern_history *h) {
    setup s;
    char device[32];
    tern_fit_end end = TERN_FIT_INTERRUPTED;
    tern_metric *m[2] = {tern_accuracy_new((tern_metric_opts){0}), tern_roc_auc_new((tern_metric_opts){0})};
    for (int i = 0; i < 2 && end == TERN_FIT_INTERRUPTED; i++) {
        probe p = probe_make();
        tern_callback *save = tern_save_new(folder, (tern_save_opts){.every_steps = 1});
        if (!start(&s, i ? 50 : 5)) return false;
        p.interrupt_at = i ? 0 : interrupt_at;
        CHECK(tern_fit(s.net, s.opt,
                       (tern_fit_opts){.data = s.train,
                                       .batch = 60,
                                       .epochs = 2,
                                       .validation = s.train,
                                       .metrics = m,
                                       .n_metrics = 2,
                                       .no_train_metrics = true,
                                       .resume = folder,
                                       .history = h,
                                       .callbacks = (tern_callback *[]){&p.c, save},
                                       .n_callbacks = 2,
                                       .end = &end,
                                       .device = tern_device_name(d, device, sizeof device),
                                       .interrupt = &p.flag}));
        tern_callback_free(save);
        if (end == TERN_FIT_DONE) {
            tern_tensor *y = tern_predict(s.net, (tern_evaluate_opts){.data = s.train});
            CHECK_SHAPE(y, s.train->length, 10);
            CHECK(tern_device_equal(tern_device_of(y), tern_cpu()));
        }
        stop(&s);
    }
    for (int i = 0; i < 2; i++) tern_metric_free(m[i]);
    return CHECK(end == TERN_FIT_DONE);
}

TERN_TEST(fit, on_the_test_device) {
    tern_history *h[3];
    static const char *const folders[] = {"cpu", "straight", "resumed"};
    for (int i = 0; i < 3; i++) {
        h[i] = tern_history_new();
        REQUIRE(run_on(i ? test_device() : tern_cpu(), i == 2 ? 8 : 0, test_path(folders[i]), h[i]));
    }
    for (int i = 0; i < tern_history_names(h[0]); i++)
        for (int64_t e = 0; e < 2; e++) {
            const char *n = tern_history_name(h[0], i);
            const double v = tern_history_get(h[1], n, e);
            /* One sample of 360 or two may fall on the other side of a tie. */
            CHECK_NUMBER(v, tern_history_get(h[0], n, e), strstr(n, "accuracy") ? 2.5 / 360 : 1e-3);
            CHECK(v == tern_history_get(h[2], n, e), "%s", n);
        }
    for (int i = 0; i < 3; i++) tern_history_free(h[i]);
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
