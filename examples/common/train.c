#include "train.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "interrupt.h"
#include "progress.h"

const char *const run_curves[RUN_CURVES] = {"loss", "accuracy", "test accuracy"};

/* ---- the parts of a run ------------------------------------------------------------------------------------- */

static tern_optim *optim_new(const settings *s, tern_module *net) {
    if (strcmp(s->optim, "sgd") == 0) {
        return tern_sgd_new(net, s->lr, (tern_sgd_opts){.momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
    }
    if (strcmp(s->optim, "adam") == 0) return tern_adam_new(net, s->lr, (tern_adam_opts){0});
    return tern_adamw_new(net, s->lr, (tern_adamw_opts){.weight_decay = 0.01});
}

static tern_schedule schedule_of(const settings *s, int64_t batches) {
    const int64_t total = s->epochs * batches;
    const bool cosine = strcmp(s->schedule, "cosine") == 0;
    return (tern_schedule){.kind = cosine ? TERN_SCHEDULE_COSINE : TERN_SCHEDULE_CONSTANT,
                           .lr = s->lr,
                           .min_lr = 0.01 * s->lr,
                           .warmup = cosine ? total / 20 : 0,
                           .total = total};
}

bool run_new(run *r, const settings *s, tern_dataset *train) {
    *r = (run){.settings = s, .samples = train->length};
    r->plot = (plot){.title = s->example->name, .x_title = "epoch", .y_title = "", .n = RUN_CURVES};
    for (int i = 0; i < RUN_CURVES; i++) {
        r->plot.curve[i].every = 1;
        snprintf(r->plot.curve[i].name, sizeof r->plot.curve[i].name, "%s", run_curves[i]);
    }
    tern_seed((uint64_t)s->seed);
    r->net = s->recipe->net_new();
    if (!r->net || !tern_module_to(r->net, s->device)) return false;
    r->optim = optim_new(s, r->net);
    r->loader = tern_loader_new(train, (tern_loader_opts){.batch = s->batch,
                                                          .shuffle = true,
                                                          .seed = (uint64_t)s->seed,
                                                          .workers = (int)s->workers,
                                                          .device = s->device});
    if (!r->optim || !r->loader) return false;
    r->schedule = schedule_of(s, tern_loader_batches(r->loader));
    const int scope = tern_scope_push();
    r->meter.loss_sum = tern_keep(tern_scalar(0, (tern_options){TERN_F64, s->device}));
    r->meter.hits = tern_keep(tern_scalar(0, (tern_options){TERN_I64, s->device}));
    tern_scope_pop(scope);
    return tern_ok();
}

void run_free(run *r) {
    tern_loader_free(r->loader);
    tern_optim_free(r->optim);
    tern_module_free(r->net);
    tern_release(r->meter.loss_sum);
    tern_release(r->meter.hits);
    *r = (run){0};
}

/* ---- the meter ---------------------------------------------------------------------------------------------- */

static void meter_clear(meter *m) {
    tern_zero_(m->loss_sum);
    tern_zero_(m->hits);
    m->seen = 0;
}

static void meter_add(meter *m, tern_tensor *logits, tern_tensor *loss, tern_batch b) {
    const bool was = tern_grad_mode(false);
    tern_add_scaled_(m->loss_sum, (double)b.n, loss);
    tern_add_(m->hits, tern_sum(tern_eq(tern_argmax(logits, 1, false), b.y), NULL, 0, false));
    tern_grad_mode(was);
    m->seen += b.n;
}

/* How the epoch goes. False, with an error, if the loss is no number any more: nothing good comes after that. */
static bool meter_read(const run *r, progress_state *p) {
    const meter *m = &r->meter;
    const double n = m->seen ? (double)m->seen : 1;
    *p = (progress_state){.epoch = r->epoch,
                          .seen = m->seen,
                          .loss = tern_item(m->loss_sum) / n,
                          .accuracy = (double)tern_item_i64(m->hits) / n};
    if (!tern_ok()) return false;
    if (isfinite(p->loss)) return true;
    return tern_error_set(TERN_ERR_ARGUMENT,
                          "the loss is %g in epoch %" PRId64 ", step %" PRId64
                          ": the training diverged, so nothing more is saved; a smaller --lr than %g may help",
                          p->loss, r->epoch + 1, r->step, r->settings->lr);
}

/* ---- training ----------------------------------------------------------------------------------------------- */

static bool train_step(run *r, tern_batch b) {
    tern_tensor *logits = tern_forward(r->net, b.x);
    tern_tensor *loss = tern_cross_entropy(logits, b.y, (tern_cross_entropy_opts){0});
    tern_backward(loss);
    tern_schedule_apply(&r->schedule, r->optim);
    tern_optim_step(r->optim);
    meter_add(&r->meter, logits, loss, b);
    r->step++;
    return tern_ok();
}

/* One batch, with whatever is due after it. False at the epoch's end, on errors and when a signal came. */
static bool train_batch(run *r, progress *p) {
    const int64_t every = r->settings->checkpoint_every;
    progress_state state;
    tern_batch b;
    const int scope = tern_scope_push(); /* everything that the step makes is gone with it */
    const bool done = tern_loader_next(r->loader, &b) && train_step(r, b);
    tern_scope_pop(scope);
    if (!done) return false;
    if (progress_due(p)) {
        if (!meter_read(r, &state)) return false;
        progress_draw(p, state);
    }
    if (every && r->step % every == 0 && !(meter_read(r, &state) && run_save(r))) return false;
    /* After the last batch the loader is asked once more, so that it stands at the next epoch when that is saved. */
    return !interrupt_seen() || r->meter.seen == r->samples;
}

/* What is left of the current epoch; then a test, and the checkpoint. False on errors and when a signal came. */
static bool train_epoch(run *r, progress *p, tern_dataset *test) {
    progress_state state;
    confusion c = {.classes = test->classes};
    tern_module_train(r->net, true);
    progress_epoch_begin(p, r->meter.seen);
    while (train_batch(r, p)) {
    }
    if (!tern_ok() || !meter_read(r, &state)) return false;
    if (r->meter.seen < r->samples) {
        if (interrupt_seen()) {
            run_save(r);
        } else {
            tern_error_set(TERN_ERR_FORMAT, "the epoch ended after %" PRId64 " of %" PRId64 " images", r->meter.seen,
                           r->samples);
        }
        return false;
    }
    progress_epoch_end(p, state);
    r->epoch++;
    meter_clear(&r->meter);
    if (!evaluate(r->net, test, r->settings, &c)) return false;
    const double values[RUN_CURVES] = {state.loss, state.accuracy, confusion_accuracy(&c)};
    for (int i = 0; i < RUN_CURVES; i++) plot_add(&r->plot, run_curves[i], (double)r->epoch, values[i]);
    if (!run_save(r)) return false;
    progress_epoch_print(p, state, confusion_accuracy(&c));
    return true;
}

train_end run_train(run *r, tern_dataset *test) {
    const settings *s = r->settings;
    char line[8192];
    progress p;
    progress_begin(&p, s->epochs, r->samples, r->epoch * r->samples + r->meter.seen);
    while (r->epoch < s->epochs && !interrupt_seen() && !(s->stop_after && r->epoch >= s->stop_after)) {
        if (train_epoch(r, &p, test)) continue;
        progress_clear(&p);
        if (!tern_ok()) return TRAIN_FAILED;
    }
    if (r->epoch >= s->epochs && !interrupt_seen()) return TRAIN_DONE;
    if (interrupt_seen()) printf("%s: stopped", interrupt_name());
    printf("%s after %" PRId64 " of %" PRId64 " epochs and %" PRId64 " steps; all is saved in %s. To go on:\n    %s\n",
           interrupt_seen() ? "" : "Stopped", r->epoch, s->epochs, r->step, s->out,
           settings_resume_line(s, line, sizeof line));
    return TRAIN_STOPPED;
}

/* ---- testing ------------------------------------------------------------------------------------------------ */

static bool evaluate_batch(tern_module *net, tern_batch b, confusion *c) {
    enum { BATCH_MAX = 1024 };
    int64_t actual[BATCH_MAX], predicted[BATCH_MAX];
    const size_t bytes = (size_t)b.n * sizeof *actual;
    if (b.n > BATCH_MAX) return tern_error_set(TERN_ERR_ARGUMENT, "evaluate: a batch of %" PRId64 " images", b.n);
    tern_tensor *best = tern_argmax(tern_forward(net, b.x), 1, false);
    if (!tern_to_host(best, predicted, bytes) || !tern_to_host(b.y, actual, bytes)) return false;
    if (confusion_add(c, actual, predicted, b.n)) return true;
    return tern_error_set(TERN_ERR_INDEX, "evaluate: a label outside of the %d classes", c->classes);
}

bool evaluate(tern_module *net, tern_dataset *d, const settings *s, confusion *c) {
    tern_loader *loader = tern_loader_new(d, (tern_loader_opts){.batch = 500, .device = s->device});
    const bool was = tern_grad_mode(false);
    tern_module_train(net, false);
    for (bool more = loader != NULL; more;) {
        const int scope = tern_scope_push();
        tern_batch b;
        more = tern_loader_next(loader, &b) && evaluate_batch(net, b, c);
        tern_scope_pop(scope);
    }
    tern_grad_mode(was);
    tern_loader_free(loader);
    return tern_ok();
}
