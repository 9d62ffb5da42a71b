/* Parameter groups: settings that differ by parameter. */
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "internal.h"

static bool matches(const char *pattern, const terni_optim_param *p) { return fnmatch(pattern, p->name, 0) == 0; }

static bool group_add(tern_optim *o, const char *pattern, tern_group_opts opts) {
    if (!terni_given(o, "optim_group", "o") || !terni_given(pattern, "optim_group", "pattern")) return false;
    if (o->steps > 0)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "optim_group: \"%s\" comes after %lld steps; groups are made before the first", pattern,
                          (long long)o->steps);
    if (!isfinite(opts.lr_scale) || !isfinite(opts.weight_decay))
        return terni_fail(TERN_ERR_ARGUMENT, "optim_group: \"%s\": lr_scale %g and weight_decay %g; numbers expected",
                          pattern, opts.lr_scale, opts.weight_decay);
    int n = 0;
    for (int i = 0; i < o->n_params; i++) n += matches(pattern, &o->params[i]);
    if (n == 0)
        return terni_fail(TERN_ERR_ARGUMENT, "optim_group: no parameter matches \"%s\"; the first is named \"%s\"",
                          pattern, o->params[0].name);
    terni_optim_group *groups = terni_resize(o->groups, (size_t)(o->n_groups + 1) * sizeof *groups);
    if (!groups) return false;
    o->groups = groups;
    groups[o->n_groups] = (terni_optim_group){
        .frozen = opts.lr_scale<0, .lr_scale = opts.lr_scale> 0 ? opts.lr_scale : 1,
        .weight_decay = opts.weight_decay > 0   ? opts.weight_decay
                        : opts.weight_decay < 0 ? 0
                                                : o->weight_decay,
    };
    for (int i = 0; i < o->n_params; i++)
        if (matches(pattern, &o->params[i])) o->params[i].group = o->n_groups;
    terni_state_unlist(o);
    return true;
}

int tern_optim_group(tern_optim *o, const char *pattern, tern_group_opts opts) {
    return group_add(o, pattern, opts) ? o->n_groups++ : -1;
}

int tern_optim_groups(const tern_optim *o) { return o ? o->n_groups : 0; }

int tern_optim_group_of(const tern_optim *o, const char *name) {
    for (int i = 0; o && name && i < o->n_params; i++)
        if (strcmp(o->params[i].name, name) == 0) return o->params[i].group;
    return -1;
}
