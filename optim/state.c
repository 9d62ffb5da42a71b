/* State tensors: what an optimizer remembers of each parameter, by name. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

static bool is_half(const tern_tensor *t) { return tern_dtype_of(t) == TERN_F16 || tern_dtype_of(t) == TERN_BF16; }

/* State k's name; NULL if this parameter has none such. */
static const char *name_of(const tern_optim *o, const terni_optim_param *p, int k) {
    const terni_rule *r = o->rule;
    if (k == TERNI_MASTER) return o->master && is_half(p->tensor) ? "master_weight" : NULL;
    if (r->has && !r->has(o, p, k)) return NULL;
    if (k < TERNI_SLOTS) return o->slots >> k & 1 ? r->slot[k] : NULL;
    if (k < TERNI_COUNT) return r->scalar[k - TERNI_SCALAR];
    return o->slots ? "step" : NULL;
}

int64_t *terni_state_count(const tern_optim *o, const terni_optim_param *p) {
    return o->slots && p->state[TERNI_COUNT] ? tern_data(p->state[TERNI_COUNT]) : NULL;
}

void terni_state_scalars(const terni_optim_param *p, double *scalar) {
    for (int k = 0; k < TERNI_SCALARS; k++) {
        tern_tensor *t = p->state[TERNI_SCALAR + k];
        scalar[k] = t ? *(const double *)tern_data(t) : 0;
    }
}

void terni_state_set_scalars(const terni_optim_param *p, const double *scalar) {
    for (int k = 0; k < TERNI_SCALARS; k++) {
        tern_tensor *t = p->state[TERNI_SCALAR + k];
        if (t) *(double *)tern_data(t) = scalar[k];
    }
}

/* ---- making it, and keeping up with the parameter -----------------------------------------------------------------
 */

static bool follow(tern_tensor *state, const tern_tensor *t, tern_dtype dtype) {
    if (tern_dtype_of(state) == dtype && tern_device_equal(tern_device_of(state), tern_device_of(t))) return true;
    return tern_assign(state, tern_cast(tern_to(state, tern_device_of(t)), dtype));
}

static tern_tensor *fresh(const tern_optim *o, const terni_optim_param *p, int k, tern_dtype dtype) {
    if (k == TERNI_COUNT) return tern_zeros(tern_shape_scalar(), (tern_options){.dtype = TERN_I64});
    if (k >= TERNI_SCALAR)
        return tern_full(tern_shape_scalar(), o->rule->scalar_start(o, p, k - TERNI_SCALAR),
                         (tern_options){.dtype = TERN_F64});
    if (k == TERNI_MASTER) return tern_clone(tern_cast(tern_detach(p->tensor), TERN_F32));
    const tern_options like = {.dtype = dtype, .device = tern_device_of(p->tensor)};
    tern_tensor *t = o->rule->make ? o->rule->make(o, p, k) : NULL;
    if (!tern_ok()) return NULL;
    return t ? tern_cast(tern_to(t, like.device), dtype) : tern_zeros(tern_shape_get(p->tensor), like);
}

void terni_state_agree(terni_optim_param *p) {
    if (!p->state[TERNI_MASTER]) return;
    p->data = tern_data(p->tensor);
    p->version = tern_storage_version(p->tensor);
    p->master_version = tern_storage_version(p->state[TERNI_MASTER]);
}

/* The program changed the parameter in place, and not (as a checkpoint does) the master too. */
static bool master_stale(const terni_optim_param *p) {
    return tern_data(p->tensor) == p->data && tern_storage_version(p->tensor) != p->version &&
           tern_storage_version(p->state[TERNI_MASTER]) == p->master_version;
}

static bool one_ready(const tern_optim *o, terni_optim_param *p, int k, tern_dtype dtype) {
    tern_tensor **t = &p->state[k];
    if (!*t) {
        *t = tern_keep(fresh(o, p, k, dtype));
        if (k == TERNI_MASTER && *t) terni_state_agree(p);
        return *t != NULL;
    }
    if (k >= TERNI_SCALAR) return true;
    if (!follow(*t, p->tensor, dtype)) return false;
    if (k != TERNI_MASTER) return true;
    return !master_stale(p) || tern_copy_(*t, tern_detach(p->tensor)) != NULL;
}

bool terni_state_ready(const tern_optim *o, terni_optim_param *p) {
    const tern_dtype dtype = name_of(o, p, TERNI_MASTER) ? TERN_F32 : tern_dtype_of(p->tensor);
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    bool ok = true;
    for (int k = 0; ok && k < TERNI_STATES; k++) {
        if (name_of(o, p, k)) {
            ok = one_ready(o, p, k, dtype);
        } else if (p->state[k]) { /* a parameter that is no longer f16 or bf16 has no master */
            tern_release(p->state[k]);
            p->state[k] = NULL;
            terni_state_unlist((tern_optim *)(uintptr_t)o);
        }
    }
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return ok;
}

bool terni_state_made(const tern_optim *o, const terni_optim_param *p) {
    for (int k = 0; k < TERNI_STATES; k++)
        if (name_of(o, p, k) && !p->state[k]) return false;
    return !name_of(o, p, TERNI_MASTER) || !master_stale(p);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

void terni_state_unlist(tern_optim *o) {
    terni_mfree(o->list);
    terni_mfree(o->text);
    o->list = NULL;
    o->text = NULL;
    o->n_list = 0;
}

static bool make_list(tern_optim *o) {
    size_t letters = 1;
    int n = 0;
    for (int i = 0; i < o->n_params; i++) {
        terni_optim_param *p = &o->params[i];
        if (o->groups[p->group].frozen) continue;
        if (!terni_state_ready(o, p)) return false;
        for (int k = 0; k < TERNI_STATES; k++) {
            const char *name = name_of(o, p, k);
            if (!name) continue;
            letters += strlen(p->name) + strlen(name) + 2;
            n++;
        }
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
        for (int k = 0; k < TERNI_STATES && !o->groups[p->group].frozen; k++) {
            const char *name = name_of(o, p, k);
            if (!name) continue;
            o->list[o->n_list++] = (tern_optim_state){at, p->state[k]};
            at += snprintf(at, letters - (size_t)(at - o->text), "%s/%s", p->name, name) + 1;
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
