/* Parameter groups, and the state seen by name. */
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

int tern_optim_group(tern_optim *o, const char *pattern, tern_group_opts opts) {
    if (!terni_given(o, "optim_group", "optimizer") || !terni_given(pattern, "optim_group", "pattern")) return -1;
    if (!isfinite(opts.lr_scale) || !isfinite(opts.weight_decay)) {
        terni_fail(TERN_ERR_ARGUMENT, "optim_group: lr_scale %g, weight_decay %g", opts.lr_scale, opts.weight_decay);
        return -1;
    }
    int matches = 0;
    for (int i = 0; i < o->n_params; i++) matches += fnmatch(pattern, o->param[i].name, 0) == 0;
    if (matches == 0) {
        terni_fail(TERN_ERR_ARGUMENT, "optim_group: no parameter's name matches \"%.100s\"", pattern);
        return -1;
    }
    terni_group *more = terni_resize(o->group, (size_t)(o->n_groups + 1) * sizeof *more);
    if (!more) return -1;
    o->group = more;
    const double decay = opts.weight_decay == 0 ? o->weight_decay : opts.weight_decay < 0 ? 0 : opts.weight_decay;
    more[o->n_groups] = (terni_group){opts.lr_scale == 0 ? 1 : opts.lr_scale, decay};
    for (int i = 0; i < o->n_params; i++)
        if (fnmatch(pattern, o->param[i].name, 0) == 0) o->param[i].group = o->n_groups;
    return o->n_groups++;
}

int tern_optim_groups(const tern_optim *o) { return o ? o->n_groups : 0; }

int tern_optim_group_of(const tern_optim *o, const char *name) {
    for (int i = 0; o && name && i < o->n_params; i++)
        if (strcmp(o->param[i].name, name) == 0) return o->param[i].group;
    return -1;
}

/* Slots of a parameter: step, then the rule's own. */
bool tern_optim_each(tern_optim *o, int i, tern_optim_state *out) {
    static _Thread_local char name[512];
    if (!o || !out || i < 0 || !o->rule->slots[0]) return false;
    const int slots = o->rule->slots[1] ? 3 : 2;
    if (i / slots >= o->n_params || !terni_optim_state(o, i / slots)) return false;
    const terni_param *p = &o->param[i / slots];
    const int k = i % slots;
    const int n = snprintf(name, sizeof name, "%s/%s", p->name, k == 0 ? "step" : o->rule->slots[k - 1]);
    if (n < 0 || (size_t)n >= sizeof name)
        return terni_fail(TERN_ERR_ARGUMENT, "optim_each: the name %.60s... is too long", p->name);
    *out = (tern_optim_state){name, k == 0 ? p->step : p->slot[k - 1]};
    return true;
}
