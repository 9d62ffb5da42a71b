/* State tensors: what an optimizer remembers of each parameter, by name. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

static const char count_name[] = "step";

int64_t *terni_state_count(const tern_optim *o, const terni_optim_param *p) {
    return o->n_slots && p->state[o->n_slots] ? tern_data(p->state[o->n_slots]) : NULL;
}

static bool follow(tern_tensor *state, const tern_tensor *t) {
    if (tern_dtype_of(state) == tern_dtype_of(t) && tern_device_equal(tern_device_of(state), tern_device_of(t)))
        return true;
    return tern_assign(state, tern_cast(tern_to(state, tern_device_of(t)), tern_dtype_of(t)));
}

bool terni_state_ready(const tern_optim *o, terni_optim_param *p) {
    if (!o->n_slots) return true;
    const int scope = tern_scope_push();
    bool ok = true;
    for (int k = 0; ok && k < o->n_slots; k++) {
        if (p->state[k])
            ok = follow(p->state[k], p->tensor);
        else
            ok = (p->state[k] = tern_keep(tern_zeros_like(p->tensor))) != NULL;
    }
    tern_tensor **count = &p->state[o->n_slots];
    if (ok && !*count)
        ok = (*count = tern_keep(tern_zeros(tern_shape_scalar(), (tern_options){.dtype = TERN_I64}))) != NULL;
    tern_scope_pop(scope);
    return ok;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

void terni_state_unlist(tern_optim *o) {
    terni_mfree(o->list);
    terni_mfree(o->text);
    o->list = NULL;
    o->text = NULL;
    o->n_list = 0;
}

static const char *slot_name(const tern_optim *o, int k) { return k < o->n_slots ? o->rule->slot[k] : count_name; }

static bool make_list(tern_optim *o) {
    const int per = o->n_slots ? o->n_slots + 1 : 0;
    size_t letters = 1;
    int n = 0;
    for (int i = 0; i < o->n_params; i++) {
        terni_optim_param *p = &o->params[i];
        if (o->groups[p->group].frozen) continue;
        if (!terni_state_ready(o, p)) return false;
        n += per;
        for (int k = 0; k < per; k++) letters += strlen(p->name) + strlen(slot_name(o, k)) + 2;
    }
    o->list = terni_malloc((size_t)n * sizeof *o->list);
    o->text = terni_malloc(letters);
    if (!o->list || !o->text) {
        terni_state_unlist(o);
        return false;
    }
    char *at = o->text;
    for (int i = 0; i < o->n_params; i++) {
        const terni_optim_param *p = &o->params[i];
        for (int k = 0; k < per && !o->groups[p->group].frozen; k++) {
            o->list[o->n_list++] = (tern_optim_state){at, p->state[k]};
            at += snprintf(at, letters - (size_t)(at - o->text), "%s/%s", p->name, slot_name(o, k)) + 1;
        }
    }
    return true;
}

bool tern_optim_each(tern_optim *o, int i, tern_optim_state *out) {
    if (!terni_given(o, "optim_each", "o") || (!o->list && !make_list(o))) return false;
    if (i < 0 || i >= o->n_list) return false;
    *out = o->list[i];
    return true;
}
