#include "snapshot.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint_format.h"
#include "h5.h"
#include "tern/device.h"

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static terni_attribute *attribute(terni_snapshot *s, terni_snapshot_group group, const char *name,
                                  terni_attribute_type type) {
    if (s->n_attributes == s->cap_attributes) {
        const int cap = s->cap_attributes ? 2 * s->cap_attributes : 32;
        terni_attribute *more = terni_resize(s->attributes, (size_t)cap * sizeof *more);
        if (!more) return NULL;
        s->attributes = more;
        s->cap_attributes = cap;
    }
    terni_attribute *a = &s->attributes[s->n_attributes];
    *a = (terni_attribute){.group = group, .type = type};
    const int n = snprintf(a->name, sizeof a->name, "%s", name);
    if (n < 0 || (size_t)n >= sizeof a->name) {
        terni_fail(TERN_ERR_ARGUMENT, "checkpoint: the name %.40s... is too long", name);
        return NULL;
    }
    s->n_attributes++;
    return a;
}

static bool add_text(terni_snapshot *s, terni_snapshot_group group, const char *name, const char *text) {
    terni_attribute *a = attribute(s, group, name, TERNI_TEXT);
    return a && (a->text = terni_strdup(text)) != NULL;
}
static bool add_i64(terni_snapshot *s, terni_snapshot_group group, const char *name, int64_t v) {
    terni_attribute *a = attribute(s, group, name, TERNI_I64);
    if (a) a->i64 = v;
    return a != NULL;
}
static bool add_u64(terni_snapshot *s, terni_snapshot_group group, const char *name, uint64_t v) {
    terni_attribute *a = attribute(s, group, name, TERNI_U64);
    if (a) a->u64 = v;
    return a != NULL;
}
static bool add_f64(terni_snapshot *s, terni_snapshot_group group, const char *name, double v) {
    terni_attribute *a = attribute(s, group, name, TERNI_F64);
    if (a) a->f64 = v;
    return a != NULL;
}

static bool add_schedule(terni_snapshot *s, const tern_schedule *schedule) {
    char name[TERNI_CHECKPOINT_NAME], full[sizeof name + 16];
    double value;
    for (int i = 0; tern_schedule_get(schedule, i, name, sizeof name, &value); i++) {
        snprintf(full, sizeof full, "schedule_%s", name);
        if (!add_f64(s, TERNI_ROOT, full, value)) return false;
    }
    return true;
}

static bool add_scaler(terni_snapshot *s, const tern_scaler *scaler) {
    const tern_scaler_state at = tern_scaler_tell(scaler);
    return add_f64(s, TERNI_ROOT, "scaler_scale", at.scale) &&
           add_i64(s, TERNI_ROOT, "scaler_growth_tracker", at.growth_tracker) &&
           add_i64(s, TERNI_ROOT, "scaler_skipped", at.skipped);
}

static bool add_loader(terni_snapshot *s, const tern_loader *l) {
    const tern_loader_state at = tern_loader_tell(l);
    return add_u64(s, TERNI_ROOT, "loader_seed", at.seed) && add_i64(s, TERNI_ROOT, "loader_epoch", at.epoch) &&
           add_i64(s, TERNI_ROOT, "loader_batch", at.batch);
}

static bool add_random(terni_snapshot *s) {
    const tern_random r = tern_random_get();
    return add_u64(s, TERNI_ROOT, "random_seed", r.seed) && add_u64(s, TERNI_ROOT, "random_position", r.position);
}

static bool add_user(terni_snapshot *s, const tern_checkpoint *c) {
    for (int i = 0; i < c->n_user; i++) {
        char name[200];
        if (c->user[i].text && strlen(c->user[i].text) > TERNI_H5_TEXT)
            return terni_fail(TERN_ERR_ARGUMENT, "checkpoint: the text %.100s has %zu bytes; expected at most %d",
                              c->user[i].name, strlen(c->user[i].text), TERNI_H5_TEXT);
        snprintf(name, sizeof name, "user_%s", c->user[i].name);
        const bool ok = c->user[i].text ? add_text(s, TERNI_ROOT, name, c->user[i].text)
                                        : add_f64(s, TERNI_ROOT, name, c->user[i].number);
        if (!ok) return false;
    }
    return true;
}

static bool add_optim(terni_snapshot *s, const tern_optim *o) {
    const terni_snapshot_group g = TERNI_OPTIM;
    return add_text(s, g, "type", tern_optim_type(o)) && add_f64(s, g, "lr", tern_optim_lr(o)) &&
           add_i64(s, g, "steps", tern_optim_steps(o)) && add_i64(s, g, "groups", tern_optim_groups(o)) &&
           (!tern_optim_has_momentum(o) || add_f64(s, g, "momentum", tern_optim_momentum(o)));
}

static bool attributes(terni_snapshot *s, const tern_checkpoint *c) {
    return add_text(s, TERNI_ROOT, "tern_version", tern_version()) &&
           add_i64(s, TERNI_ROOT, "format", TERNI_CHECKPOINT_FORMAT) && add_i64(s, TERNI_ROOT, "epoch", c->epoch) &&
           add_i64(s, TERNI_ROOT, "step", c->step) && (c->no_random || add_random(s)) &&
           (!c->loader || add_loader(s, c->loader)) && (!c->schedule || add_schedule(s, c->schedule)) &&
           (!c->scaler || add_scaler(s, c->scaler)) && add_user(s, c) &&
           (!c->average || add_i64(s, TERNI_AVERAGE, "count", tern_average_count(c->average))) &&
           (!c->optim || add_optim(s, c->optim));
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static bool pinned(const tern_tensor *t) { return tern_device_of(t).type != TERN_CPU; }

/* The place of item `at`, which last time may have been the same. */
static bool place(terni_snapshot *s, int at, terni_snapshot_group group, const char *name, tern_tensor *t,
                  terni_snapshot_mode mode) {
    if (at == s->cap_items) {
        const int cap = s->cap_items ? 2 * s->cap_items : 64;
        terni_snapshot_item *more = terni_resize(s->items, (size_t)cap * sizeof *more);
        if (!more) return false;
        s->items = more;
        s->cap_items = cap;
    }
    terni_snapshot_item *it = &s->items[at];
    if (at < s->n_items) {
        if (s->copies && mode != TERNI_SNAPSHOT_OWN && it->group == group && strcmp(it->name, name) == 0 &&
            tern_shape_equal(tern_shape_get(it->tensor), tern_shape_get(t)) &&
            tern_dtype_of(it->tensor) == tern_dtype_of(t) && (!pinned(t) || tern_is_pinned(it->tensor)))
            return true;
    }
    terni_snapshot_item fresh = {.group = group, .name = terni_strdup(name)};
    const tern_shape shape = tern_shape_get(t);
    const tern_dtype dtype = tern_dtype_of(t);
    if (mode == TERNI_SNAPSHOT_OWN)
        fresh.tensor = tern_keep(tern_contiguous(tern_to(t, tern_cpu())));
    else
        fresh.tensor =
            tern_keep(pinned(t) ? tern_empty_pinned(shape, dtype) : tern_empty(shape, (tern_options){.dtype = dtype}));
    if (!fresh.name || !fresh.tensor) { /* what was there stays, whole, for the next time */
        terni_mfree(fresh.name);
        tern_release(fresh.tensor);
        return false;
    }
    if (at < s->n_items) {
        tern_release(it->tensor);
        terni_mfree(it->name);
    } else {
        s->n_items = at + 1;
    }
    *it = fresh;
    return true;
}

static bool put(terni_snapshot *s, int *at, terni_snapshot_group group, const char *name, tern_tensor *t,
                const char *kind, terni_snapshot_mode mode) {
    const int scope = tern_scope_push();
    bool ok = place(s, *at, group, name, t, mode);
    if (ok) s->items[*at].kind = kind;
    if (ok && mode == TERNI_SNAPSHOT_COPY) {
        tern_tensor *to = s->items[*at].tensor;
        ok = (pinned(t) ? tern_copy_async_(to, t, NULL) : tern_copy_(to, t)) != NULL;
    }
    tern_scope_pop(scope);
    (*at)++;
    return ok;
}

static bool tree(terni_snapshot *s, int *at, terni_snapshot_group group, tern_module *m, terni_snapshot_mode mode) {
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (!put(s, at, group, e.name, e.tensor, e.is_param ? "param" : "buffer", mode)) return false;
    return tern_ok();
}

static bool tensors(terni_snapshot *s, const tern_checkpoint *c, terni_snapshot_mode mode) {
    tern_optim_state e;
    int at = 0;
    bool ok = (!c->model || tree(s, &at, TERNI_MODEL, c->model, mode)) &&
              (!c->average || tree(s, &at, TERNI_AVERAGE, tern_average_module(c->average), mode));
    for (int i = 0; ok && c->optim && tern_optim_each(c->optim, i, &e); i++)
        ok = put(s, &at, TERNI_OPTIM, e.name, e.tensor, NULL, mode);
    if (!ok || !tern_ok()) return false;
    while (s->n_items > at) { /* the program had more last time */
        terni_snapshot_item *it = &s->items[--s->n_items];
        tern_release(it->tensor);
        terni_mfree(it->name);
    }
    return true;
}

/* Copies from GPUs are on their way; all of c's are on few devices. */
static bool arrived(const tern_checkpoint *c) {
    tern_named e;
    tern_optim_state o;
    tern_device last = tern_cpu();
    bool ok = true;
    tern_module *trees[] = {c->model, c->average ? tern_average_module(c->average) : NULL};
    for (int k = 0; k < 2; k++)
        for (int i = 0; ok && trees[k] && tern_module_each(trees[k], i, &e); i++)
            if (!tern_device_equal(tern_device_of(e.tensor), last)) {
                last = tern_device_of(e.tensor);
                ok = last.type == TERN_CPU || tern_stream_wait(last, NULL);
            }
    for (int i = 0; ok && c->optim && tern_optim_each(c->optim, i, &o); i++)
        if (!tern_device_equal(tern_device_of(o.tensor), last)) {
            last = tern_device_of(o.tensor);
            ok = last.type == TERN_CPU || tern_stream_wait(last, NULL);
        }
    return ok && tern_ok();
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static void drop_attributes(terni_snapshot *s) {
    for (int i = 0; i < s->n_attributes; i++) terni_mfree(s->attributes[i].text);
    s->n_attributes = 0;
}

bool terni_snapshot_take(terni_snapshot *s, const tern_checkpoint *c, terni_snapshot_mode mode) {
    if (!tern_ok()) return false;
    const bool was = tern_grad_mode(false), inference = tern_inference_mode(false);
    drop_attributes(s);
    s->has[TERNI_MODEL] = c->model;
    s->has[TERNI_AVERAGE] = c->average;
    s->has[TERNI_OPTIM] = c->optim;
    const bool ok = attributes(s, c) && tensors(s, c, mode) && (mode != TERNI_SNAPSHOT_COPY || arrived(c));
    s->copies = mode != TERNI_SNAPSHOT_OWN;
    tern_inference_mode(inference);
    tern_grad_mode(was);
    return ok;
}

void terni_snapshot_drop(terni_snapshot *s) {
    drop_attributes(s);
    for (int i = 0; i < s->n_items; i++) {
        tern_release(s->items[i].tensor);
        terni_mfree(s->items[i].name);
    }
    terni_mfree(s->items);
    terni_mfree(s->attributes);
    *s = (terni_snapshot){0};
}
