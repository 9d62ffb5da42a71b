/* Passes over data without learning: evaluate, predict, class weights. */
#include <math.h>
#include <string.h>

#include "fit_internal.h"
#include "tern/autocast.h"

tern_device terni_fit_device(tern_module *model) {
    tern_named e;
    return tern_module_each(model, 0, &e) ? tern_device_of(e.tensor) : tern_cpu();
}

static tern_tensor *loss_of(const tern_evaluate_opts *o, tern_tensor *pred, tern_tensor *target) {
    tern_tensor *loss = o->loss        ? o->loss(pred, target, o->user)
                        : o->criterion ? tern_loss_forward(o->criterion, pred, target)
                                       : tern_cross_entropy(pred, target, (tern_cross_entropy_opts){0});
    if (loss && tern_numel(loss) != 1)
        return terni_null(TERN_ERR_SHAPE, "fit: the loss has %lld elements; its mean is expected",
                          (long long)tern_numel(loss));
    return loss ? tern_reshape(loss, tern_shape_scalar()) : NULL;
}

bool terni_fit_forward(const tern_evaluate_opts *o, tern_module *model, tern_tensor *x, tern_tensor *target,
                       tern_tensor **y, tern_tensor **loss) {
    if (!x || (loss && !target)) return false;
    const bool casts = o->autocast != TERN_F32;
    const int height = casts ? tern_autocast_push((tern_device_type)tern_device_of(x).type, o->autocast) : 0;
    *y = o->forward ? o->forward(model, x, o->user) : tern_forward(model, x);
    if (loss) *loss = *y ? loss_of(o, *y, target) : NULL;
    if (casts) tern_autocast_pop(height);
    return *y && (!loss || *loss) && tern_ok();
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

typedef struct pass {
    tern_module *model;
    const tern_evaluate_opts *o;
    tern_device device;
    bool wants_loss;
    tern_tensor *sum; /* kept */
    double samples;
    tern_tensor **out; /* kept; for predict */
    int n_out, cap_out;
} pass;

static bool keep_output(pass *p, tern_tensor *y) {
    if (p->n_out == p->cap_out) {
        const int cap = p->cap_out ? 2 * p->cap_out : 16;
        tern_tensor **more = terni_resize(p->out, (size_t)cap * sizeof *more);
        if (!more) return false;
        p->out = more;
        p->cap_out = cap;
    }
    y = tern_keep(tern_to(y, tern_cpu()));
    if (y) p->out[p->n_out++] = y;
    return y != NULL;
}

static bool one_batch(pass *p, const tern_batch *b, bool predicts) {
    tern_tensor *x = tern_to(b->x, p->device), *target = predicts ? NULL : tern_to(b->y, p->device);
    tern_tensor *y, *loss;
    if (!terni_fit_forward(p->o, p->model, x, target, &y, p->wants_loss ? &loss : NULL)) return false;
    if (predicts) return keep_output(p, y);
    if (p->wants_loss) {
        loss = tern_mul_scalar(tern_cast(loss, TERN_F64), (double)b->n);
        if (!loss) return false;
        if (p->sum) loss = tern_add(p->sum, loss);
        tern_release(p->sum);
        p->sum = tern_keep(loss);
    }
    p->samples += (double)b->n;
    for (int i = 0; i < p->o->n_metrics; i++)
        if (!tern_metric_update(p->o->metrics[i], y, target, NULL)) return false;
    return tern_ok();
}

static bool run_pass(pass *p, tern_loader *l, bool predicts) {
    if (!tern_ok() || !tern_module_mode_push(p->model)) return false;
    const bool was = tern_grad_mode(false);
    bool ok = true;
    tern_batch b;
    p->device = terni_fit_device(p->model);
    tern_module_train(p->model, false);
    for (bool more = true; ok && more;) {
        const int scope = tern_scope_push();
        more = tern_loader_next(l, &b);
        ok = more ? one_batch(p, &b, predicts) : tern_ok();
        tern_scope_pop(scope);
    }
    tern_grad_mode(was);
    tern_module_mode_pop(p->model);
    return ok;
}

bool terni_fit_evaluate(tern_module *model, const tern_evaluate_opts *o, tern_loader *l, double *loss) {
    pass p = {.model = model, .o = o, .wants_loss = loss != NULL};
    for (int i = 0; i < o->n_metrics; i++) tern_metric_reset(o->metrics[i]);
    const bool ok = run_pass(&p, l, false);
    if (loss) *loss = ok && p.sum ? tern_item(p.sum) / p.samples : (double)NAN;
    tern_release(p.sum);
    return ok && tern_ok();
}

/* ---- the public functions ---------------------------------------------------------------------------------------- */

/* The loader to go through: the program's, or one that is made, in *made. */
static tern_loader *loader_of(const char *op, tern_module *model, const tern_evaluate_opts *o, tern_loader **made) {
    *made = NULL;
    if (!terni_given(model, op, "model")) return NULL;
    if (!o->loader == !o->data)
        return terni_null(TERN_ERR_ARGUMENT, "%s: either a loader or a dataset is expected", op);
    if (o->n_metrics < 0 || (o->n_metrics > 0 && !o->metrics))
        return terni_null(TERN_ERR_ARGUMENT, "%s: %d metrics, and no array of them", op, o->n_metrics);
    for (int i = 0; i < o->n_metrics; i++)
        if (!terni_given(o->metrics[i], op, "metric")) return NULL;
    if (o->loader) return o->loader;
    const tern_loader_opts l = {.batch = o->batch, .workers = o->workers, .device = terni_fit_device(model)};
    return *made = tern_loader_new(o->data, l);
}

bool tern_evaluate(tern_module *model, tern_evaluate_opts opts, double *loss) {
    tern_loader *made, *l = loader_of("evaluate", model, &opts, &made);
    if (loss) *loss = (double)NAN;
    const bool wants = loss && (opts.loss || opts.criterion);
    const bool ok = l && terni_fit_evaluate(model, &opts, l, wants ? loss : NULL);
    tern_loader_free(made);
    return ok;
}

tern_tensor *tern_predict(tern_module *model, tern_evaluate_opts opts) {
    tern_loader *made, *l = loader_of("predict", model, &opts, &made);
    pass p = {.model = model, .o = &opts};
    tern_tensor *y = NULL;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    if (l && run_pass(&p, l, true)) {
        if (p.n_out)
            y = tern_cat(p.out, p.n_out, 0);
        else
            terni_fail(TERN_ERR_ARGUMENT, "predict: the loader gave no batch");
    }
    tern_grad_mode(was);
    y = tern_scope_return(scope, y);
    for (int i = 0; i < p.n_out; i++) tern_release(p.out[i]);
    terni_mfree(p.out);
    tern_loader_free(made);
    return y;
}

bool tern_class_weights(tern_dataset *d, double *weight, int64_t classes) {
    if (!terni_given(d, "class_weights", "dataset") || !terni_given(weight, "class_weights", "weight")) return false;
    if (classes < 1 || d->length < 1 || d->length > INT64_MAX / 16)
        return terni_fail(TERN_ERR_ARGUMENT, "class_weights: %lld classes, %lld samples", (long long)classes,
                          (long long)d->length);
    int64_t *label = terni_malloc((size_t)d->length * sizeof *label);
    bool ok = label && tern_dataset_labels(d, label);
    for (int64_t c = 0; c < classes; c++) weight[c] = 0;
    for (int64_t i = 0; ok && i < d->length; i++) {
        if (label[i] < 0 || label[i] >= classes)
            ok = terni_fail(TERN_ERR_INDEX, "class_weights: sample %lld has class %lld of %lld", (long long)i,
                            (long long)label[i], (long long)classes);
        else
            weight[label[i]]++;
    }
    for (int64_t c = 0; ok && c < classes; c++)
        if (weight[c] > 0) weight[c] = (double)d->length / ((double)classes * weight[c]);
    terni_mfree(label);
    return ok;
}
