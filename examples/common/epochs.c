#include "epochs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "interrupt.h"

bool epochs_loader(trainer *t) {
    if (!t->train) return false;
    t->loader = tern_loader_new(t->train, (tern_loader_opts){.batch = t->batch,
                                                             .shuffle = true,
                                                             .seed = (uint64_t)t->seed,
                                                             .workers = (int)t->workers,
                                                             .transform = t->transform,
                                                             .device = t->device});
    return t->loader != NULL;
}

bool epochs_cosine(trainer *t) {
    t->schedule = (tern_schedule){.kind = TERN_SCHEDULE_COSINE,
                                  .lr = t->lr,
                                  .min_lr = t->lr / 100,
                                  .total = t->epochs * tern_loader_batches(t->loader)};
    return tern_ok();
}

bool epochs_start(trainer *t) {
    char device[32];
    if (!t->model || !t->optim || !t->loader) return false;
    const tern_options f64 = {TERN_F64, tern_cpu()};
    const int scope = tern_scope_push();
    bool ok = trainer_start(t);
    tern_tensor *sums = ok ? tern_from_doubles(t->saved_sums, TERN_SHAPE(TRAINER_VALUES), f64) : NULL;
    t->sums = tern_keep(tern_to(sums, t->device));
    tern_scope_pop(scope);
    if (!t->sums) return false;
    const int64_t batches = tern_loader_batches(t->loader);
    if (t->batches > batches || t->seen > batches * t->batch)
        return tern_error_set(TERN_ERR_FORMAT, "%s: it stands where this data cannot be", t->resume);
    printf("%s: %" PRId64 " parameters on %s; %" PRId64 " samples in batches of %" PRId64 ", epochs %" PRId64
           ", lr %g, checkpoint %s\n",
           t->name, tern_module_count(t->model, false), tern_device_name(t->device, device, sizeof device),
           t->train ? t->train->length : 0, t->batch, t->epochs, t->lr, t->out);
    if (t->resume) printf("resumed after epoch %" PRId64 ", step %" PRId64 "\n", t->epoch, t->step);
    fflush(stdout);
    progress_begin(&t->progress, t->epochs, batches, t->epoch * batches + t->batches);
    return true;
}

/* How the epoch goes, and its line when it is over. False, with an error, if a value is no number any more. */
static bool show(trainer *t, bool over) {
    double sums[TRAINER_VALUES];
    if (!tern_to_doubles(t->sums, sums, TRAINER_VALUES)) return false;
    progress_clear(&t->progress);
    printf("epoch %3" PRId64 "/%" PRId64, t->epoch + 1, t->epochs);
    if (!over) printf("  %3.0f %%", 100 * (double)t->batches / (double)tern_loader_batches(t->loader));
    for (int i = 0; i < t->n_values; i++) {
        const bool noted = sums[i] != 0; /* else the program sets it at the end */
        if (noted && t->seen) t->value[i] = sums[i] / (double)t->seen;
        if (!over && !noted) continue;
        printf("  %s %.4f", t->values[i], t->value[i]);
        if (isfinite(t->value[i])) continue;
        printf("\n");
        return trainer_finite(t, t->values[i], t->value[i]);
    }
    printf(over || !t->progress.bar ? "\n" : "");
    fflush(stdout);
    return true;
}

/* After an epoch, and what the program did about it: the line, and the checkpoint. */
static bool close_epoch(trainer *t) {
    if (!show(t, true)) return false;
    t->epoch_over = false;
    t->epoch++;
    for (int i = 0; i < t->n_values; i++) plot_add(&t->plot, t->values[i], (double)t->epoch, t->value[i]);
    t->batches = t->seen = 0;
    tern_zero_(t->sums);
    return trainer_save(t);
}

bool epochs_next(trainer *t) {
    if (!tern_ok() || (t->epoch_over && !close_epoch(t))) return false;
    if (!trainer_more(t)) return false;
    t->in_batch = false;
    tern_module_train(t->model, true);
    return true;
}

/* The batch before is done with. */
static bool close_batch(trainer *t) {
    tern_scope_pop(t->scope);
    t->in_batch = false;
    if (!tern_ok()) return false;
    t->step++;
    t->batches++;
    if (progress_due(&t->progress) && !show(t, false)) return false;
    /* The epoch's last batch is left to the checkpoint after it. */
    const bool last = t->batches == tern_loader_batches(t->loader);
    if (t->checkpoint_every && !last && t->step % t->checkpoint_every == 0 && !trainer_save(t)) return false;
    return last || !interrupt_seen();
}

bool epochs_batch(trainer *t, tern_batch *b) {
    if (t->in_batch && !close_batch(t)) return false;
    t->scope = tern_scope_push();
    t->in_batch = tern_loader_next(t->loader, b);
    if (t->in_batch) {
        t->seen += b->n;
        return true;
    }
    tern_scope_pop(t->scope);
    t->epoch_over = tern_ok();
    return false;
}

void epochs_note(trainer *t, int i, tern_tensor *mean, int64_t n) {
    const bool was = tern_grad_mode(false);
    tern_add_scaled_(tern_select(t->sums, 0, i), (double)n, mean);
    tern_grad_mode(was);
}

bool epochs_done(const trainer *t) { return t->epoch_over; }

void epochs_set(trainer *t, int i, double value) { t->value[i] = value; }
