/* tern_fit: settings, the loop over epochs and batches, and the calls of callbacks. */
#include <math.h>
#include <string.h>

#include "fit_internal.h"

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static bool wrong(const char *what) { return terni_fail(TERN_ERR_ARGUMENT, "fit: %s", what); }

static bool check_arrays(const tern_fit_opts *o) {
    if (o->n_metrics < 0 || o->n_callbacks < 0 || (o->n_metrics && !o->metrics) || (o->n_callbacks && !o->callbacks))
        return wrong("a number of metrics or callbacks without as many");
    for (int i = 0; i < o->n_callbacks; i++) {
        const tern_callback *c = o->callbacks[i];
        if (!terni_given(c, "fit", "callback")) return false;
        if (c->n_numbers < 0 || c->n_numbers > 10000 || (c->n_numbers && !c->numbers))
            return wrong("a callback's numbers are not there");
    }
    for (int i = 0; i < o->n_metrics; i++) {
        if (!terni_given(o->metrics[i], "fit", "metric")) return false;
        const char *name = o->metrics[i]->name;
        if (!name) return wrong("a metric has no name");
        bool taken = strcmp(name, "loss") == 0 || strcmp(name, "lr") == 0;
        for (int k = 0; k < i; k++) taken = taken || strcmp(o->metrics[k]->name, name) == 0;
        if (taken)
            return terni_fail(TERN_ERR_ARGUMENT, "fit: there is more than one %s; metrics can be given names", name);
    }
    return true;
}

static bool check(tern_fit_opts *o) {
    if (o->epochs == 0) o->epochs = 1;
    if (o->accumulate == 0) o->accumulate = 1;
    if (o->epochs < 0 || o->accumulate < 0 || !(o->clip_norm >= 0) || !(o->clip_value >= 0))
        return wrong("epochs, accumulate, clip_norm and clip_value must not be negative");
    if (!o->loader == !o->data) return wrong("either a loader or a dataset is expected");
    if ((o->validation_loader != NULL) + (o->validation != NULL) + (o->validation_split > 0) > 1)
        return wrong("of validation_loader, validation and validation_split one at most is expected");
    if (!(o->validation_split >= 0 && o->validation_split < 1) || (o->validation_split > 0 && !o->data))
        return wrong("validation_split is a share of data, within (0, 1)");
    if (o->criterion && o->loss) return wrong("either a criterion or a loss is expected");
    if (o->class_weight && (o->criterion || o->loss))
        return wrong(
            "class_weight is for the loss that is taken without criterion and loss; tern_cross_entropy_new "
            "takes weights");
    if (o->class_weight && o->n_class_weight < 1) return wrong("class_weight without n_class_weight");
    if (o->autocast != TERN_F32 && o->autocast != TERN_BF16 && o->autocast != TERN_F16)
        return wrong("autocast to bf16 or f16 is expected");
    if (o->schedule && o->schedule->kind == TERN_SCHEDULE_PLATEAU)
        return wrong("a plateau goes by a number of the history: tern_reduce_on_plateau_new");
    return check_arrays(o);
}

static bool ready_data(terni_fit *f) {
    const tern_fit_opts *o = &f->o;
    tern_dataset *train = o->data, *validation = o->validation;
    if (o->validation_split > 0) {
        const double part[2] = {1 - o->validation_split, o->validation_split};
        if (!tern_dataset_random_split(o->data, part, 2, o->seed, f->split)) return false;
        train = f->split[0];
        validation = f->split[1];
    }
    tern_loader_opts l = {.batch = o->batch, .workers = o->workers, .device = f->device};
    if (validation && !(f->made_validation = tern_loader_new(validation, l))) return false;
    l.shuffle = !o->in_order;
    l.seed = o->seed;
    if (train && !(f->made_loader = tern_loader_new(train, l))) return false;
    f->loader = train ? f->made_loader : o->loader;
    f->validation = validation ? f->made_validation : o->validation_loader;
    return true;
}

static bool ready_loss(terni_fit *f) {
    f->criterion = f->o.criterion;
    if (f->o.class_weight) {
        const int scope = tern_scope_push();
        tern_tensor *w = tern_from_doubles(f->o.class_weight, TERN_SHAPE(f->o.n_class_weight), (tern_options){0});
        f->criterion = f->made_criterion = tern_cross_entropy_new((tern_cross_entropy_opts){.weight = w});
        tern_scope_pop(scope);
        if (!f->criterion) return false;
    }
    return !f->criterion || (!f->made_criterion && !f->o.device) || tern_module_to(f->criterion, f->device);
}

static bool ready(terni_fit *f) {
    f->device = terni_fit_device(f->run.model);
    if (f->o.device && (!tern_device_parse(f->o.device, &f->device) || !tern_module_to(f->run.model, f->device)))
        return false;
    if (!ready_data(f) || !ready_loss(f)) return false;
    f->run.history = f->o.history;
    if (!f->run.history && !(f->run.history = f->made_history = tern_history_new())) return false;
    f->run.loader = f->loader;
    f->run.batches = tern_loader_batches(f->loader);
    f->run.validates = f->validation != NULL;
    return terni_fit_resume(f);
}

static void drop(terni_fit *f) {
    terni_fit_drop_checkpoint(f);
    tern_release(f->sum);
    tern_loader_free(f->made_loader);
    tern_loader_free(f->made_validation);
    for (int i = 0; i < 2; i++) tern_dataset_free(f->split[i]);
    tern_module_free(f->made_criterion);
    tern_history_free(f->made_history);
}

/* ---- callbacks --------------------------------------------------------------------------------------------------- */

void tern_callback_free(tern_callback *c) {
    if (c && c->drop) c->drop(c);
}

static bool done(const tern_callback *c, bool ok) {
    if (ok && tern_ok()) return true;
    return tern_ok()
               ? terni_fail(TERN_ERR_ARGUMENT, "fit: callback %s failed and gave no reason", c->name ? c->name : "")
               : false;
}

/* Calls this function of all callbacks, up to the first error; gives false then. */
#define CALL(f, hook) (call(f, offsetof(tern_callback, hook), false))
static bool call(terni_fit *f, size_t hook, bool to_the_end) {
    bool ok = to_the_end || tern_ok();
    for (int i = 0; i < f->o.n_callbacks && (ok || to_the_end); i++) {
        tern_callback *c = f->o.callbacks[i];
        bool (*function)(tern_callback *, tern_fit_run *);
        memcpy(&function, (const char *)c + hook, sizeof function);
        if (function) ok = done(c, function(c, &f->run)) && ok;
    }
    return ok;
}

/* Between steps: is this the end? */
static bool pause_here(terni_fit *f) {
    if (f->o.interrupt && *f->o.interrupt)
        f->run.end = TERN_FIT_INTERRUPTED;
    else if (f->run.stop)
        f->run.end = TERN_FIT_STOPPED;
    else if (f->run.epoch >= f->o.epochs)
        f->run.end = TERN_FIT_DONE;
    return CALL(f, on_pause);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static tern_evaluate_opts evaluation(const terni_fit *f) {
    return (tern_evaluate_opts){.criterion = f->criterion,
                                .loss = f->o.loss,
                                .forward = f->o.forward,
                                .user = f->o.user,
                                .autocast = f->o.autocast,
                                .metrics = f->o.metrics,
                                .n_metrics = f->o.n_metrics};
}

/* How many batches the step that batch b takes part in has. */
static int64_t group_size(const terni_fit *f, int64_t b) {
    const int64_t k = f->o.accumulate, n = f->run.batches, first = b / k * k;
    return n < 0 || n - first > k ? k : n - first;
}

static bool step(terni_fit *f) {
    tern_optim *o = f->run.optim;
    if (f->run.schedule && !f->o.schedule_by_epoch && !tern_schedule_apply(f->run.schedule, o)) return false;
    const bool clips = f->o.clip_norm > 0 || f->o.clip_value > 0;
    tern_scaler *scaler = f->o.scaler;
    if (scaler && clips && !tern_scaler_unscale(scaler, o)) return false;
    if (f->o.clip_norm > 0 && !tern_optim_clip_norm(o, f->o.clip_norm)) return false;
    if (f->o.clip_value > 0 && !tern_optim_clip_value(o, f->o.clip_value)) return false;
    if (!(scaler ? tern_scaler_step(scaler, o) && tern_scaler_update(scaler) : tern_optim_step(o))) return false;
    f->run.step++;
    return true;
}

static bool add_loss(terni_fit *f, tern_tensor *loss, int64_t n) {
    const bool was = tern_grad_mode(false);
    tern_tensor *sum = tern_mul_scalar(tern_cast(tern_detach(loss), TERN_F64), (double)n);
    if (f->sum) sum = tern_add(f->sum, sum);
    tern_grad_mode(was);
    tern_release(f->sum);
    f->sum = tern_keep(sum);
    f->samples += (double)n;
    return f->sum != NULL;
}

/* One batch, and a step if it ends a group. */
static bool train_batch(terni_fit *f, const tern_batch *b, bool *stepped) {
    const tern_evaluate_opts e = evaluation(f);
    const int64_t group = group_size(f, b->index);
    f->run.batch = b->index;
    if (!CALL(f, on_batch_begin)) return false;
    if (b->index % f->o.accumulate == 0) tern_optim_zero_grad(f->run.optim); /* what was there before is not ours */
    tern_tensor *x = tern_to(b->x, f->device), *target = tern_to(b->y, f->device);
    tern_tensor *y, *loss;
    if (!terni_fit_forward(&e, f->run.model, x, target, &y, &loss)) return false;
    tern_tensor *part = group > 1 ? tern_mul_scalar(loss, 1.0 / (double)group) : loss;
    if (!tern_backward(f->o.scaler ? tern_scaler_scale(f->o.scaler, part) : part)) return false;
    if (!add_loss(f, loss, b->n)) return false;
    for (int i = 0; i < f->o.n_metrics && !f->o.no_train_metrics; i++)
        if (!tern_metric_update(f->o.metrics[i], y, target, NULL)) return false;
    *stepped = b->index % f->o.accumulate == group - 1;
    if (*stepped && !step(f)) return false;
    f->run.loss = tern_detach(loss);
    const bool ok = CALL(f, on_batch_end);
    f->run.loss = NULL;
    return ok;
}

/* The rest of the epoch, from where the loader stands; stops between steps when the run is to end. */
static bool train_epoch(terni_fit *f) {
    bool more = true, stepped = true, ok = true;
    while (ok && more && f->run.end == TERN_FIT_RUNNING) {
        const int scope = tern_scope_push();
        tern_batch b;
        more = tern_loader_next(f->loader, &b);
        if (more) {
            ok = train_batch(f, &b, &stepped);
        } else {
            ok = tern_ok() && (stepped || step(f)); /* what is left, of a dataset without a length */
        }
        tern_scope_pop(scope);
        if (ok && more && stepped) ok = pause_here(f);
    }
    return ok;
}

static bool set(terni_fit *f, const char *prefix, const char *name, double v) {
    char full[256];
    const size_t n = strlen(prefix), m = strlen(name);
    if (n + m >= sizeof full) return terni_fail(TERN_ERR_ARGUMENT, "fit: the name %.40s... is too long", name);
    memcpy(full, prefix, n);
    memcpy(full + n, name, m + 1);
    return tern_ok() && tern_history_set(f->run.history, full, f->run.epoch, v);
}

static bool set_metrics(terni_fit *f, const char *prefix) {
    for (int i = 0; i < f->o.n_metrics; i++)
        if (!set(f, prefix, f->o.metrics[i]->name, tern_metric_compute(f->o.metrics[i]))) return false;
    return true;
}

/* The epoch's numbers, validation, and on to the next. */
static bool finish_epoch(terni_fit *f) {
    const double loss = f->sum ? tern_item(f->sum) / f->samples : (double)NAN;
    if (!set(f, "", "loss", loss) || (!f->o.no_train_metrics && !set_metrics(f, "")) ||
        !set(f, "", "lr", tern_optim_lr(f->run.optim)))
        return false;
    if (f->validation) {
        const tern_evaluate_opts e = evaluation(f);
        tern_loader_state at = tern_loader_tell(f->validation); /* by the epoch's number, so that resumed runs agree */
        double value;
        at.epoch = f->run.epoch;
        at.batch = 0;
        if (!tern_loader_seek(f->validation, at) || !terni_fit_evaluate(f->run.model, &e, f->validation, &value) ||
            !set(f, "val_", "loss", value) || !set_metrics(f, "val_") || !CALL(f, on_validation_end))
            return false;
    }
    if (!CALL(f, on_epoch_end)) return false;
    f->run.epoch++;
    tern_release(f->sum);
    f->sum = NULL;
    f->samples = 0;
    return pause_here(f);
}

static bool epochs(terni_fit *f) {
    bool ok = CALL(f, on_train_begin);
    if (ok && f->run.epoch >= f->o.epochs) f->run.end = TERN_FIT_DONE; /* nothing is left of what is resumed */
    if (ok && f->run.stop) f->run.end = TERN_FIT_STOPPED;
    while (ok && f->run.end == TERN_FIT_RUNNING) {
        for (int i = 0; i < f->o.n_metrics; i++) tern_metric_reset(f->o.metrics[i]);
        if (!f->run.model->training) tern_module_train(f->run.model, true); /* else parts may have modes of their own */
        const tern_schedule *s = f->o.schedule_by_epoch ? f->run.schedule : NULL;
        if (s) {
            const double momentum = tern_schedule_momentum(s, f->run.epoch);
            ok = tern_optim_set_lr(f->run.optim, tern_schedule_lr(s, f->run.epoch)) &&
                 (isnan(momentum) || tern_optim_set_momentum(f->run.optim, momentum));
        }
        ok = ok && CALL(f, on_epoch_begin) && train_epoch(f);
        if (ok && f->run.end == TERN_FIT_RUNNING) ok = finish_epoch(f);
    }
    if (!ok) f->run.end = TERN_FIT_FAILED;
    return call(f, offsetof(tern_callback, on_train_end), true) && ok;
}

bool tern_fit(tern_module *model, tern_optim *optim, tern_fit_opts opts) {
    if (opts.end) *opts.end = TERN_FIT_FAILED;
    if (!terni_given(model, "fit", "model") || !terni_given(optim, "fit", "optim") || !check(&opts)) return false;
    terni_fit f = {.o = opts,
                   .run = {.model = model,
                           .optim = optim,
                           .schedule = opts.schedule,
                           .metrics = opts.metrics,
                           .n_metrics = opts.n_metrics,
                           .epochs = opts.epochs}};
    f.run.own = &f;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(true), noted = tern_module_mode_push(model);
    const bool ok = noted && ready(&f) && epochs(&f);
    tern_grad_mode(was);
    if (noted) tern_module_mode_pop(model);
    drop(&f);
    tern_scope_pop(scope);
    if (opts.end) *opts.end = ok ? f.run.end : TERN_FIT_FAILED;
    return ok;
}
