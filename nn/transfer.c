/* Values from elsewhere: to another device, to another dtype, from another module. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* ---- device and dtype ----------------------------------------------------------------------------------------------
 * First all new tensors are made, then each parameter becomes its new form, so a failure leaves m as it was. */

typedef struct target {
    bool cast; /* else to the device */
    tern_dtype dtype;
    tern_device device;
} target;

static tern_tensor *changed(tern_tensor *t, target to) {
    if (!to.cast) return tern_to(t, to.device);
    return tern_dtype_is_float(tern_dtype_of(t)) ? tern_cast(t, to.dtype) : t;
}

static bool change(tern_module *m, target to) {
    if (!terni_module_list(m)) return false;
    const struct tern_module_parts *p = m->parts;
    tern_tensor **form = terni_malloc((size_t)p->n_list * sizeof(tern_tensor *));
    if (!form) return false;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    bool ok = true;
    for (int i = 0; ok && i < p->n_list; i++) {
        form[i] = p->repeated[i] ? p->list[i].tensor : changed(p->list[i].tensor, to);
        ok = form[i] != NULL;
    }
    for (int i = 0; ok && i < p->n_list; i++) {
        ok = tern_assign(p->list[i].tensor, form[i]);
        if (p->list[i].is_param) tern_grad_set(p->list[i].tensor, NULL);
    }
    tern_grad_mode(was);
    tern_scope_pop(scope);
    terni_mfree(form);
    return ok;
}

bool tern_module_to(tern_module *m, tern_device device) { return change(m, (target){.device = device}); }

bool tern_module_cast(tern_module *m, tern_dtype dtype) {
    if (tern_ok() && !tern_dtype_is_float(dtype))
        return terni_fail(TERN_ERR_DTYPE, "module_cast: %s is no float dtype", tern_dtype_name(dtype));
    return change(m, (target){.cast = true, .dtype = dtype});
}

/* ---- from another module ----------------------------------------------------------------------------------------- */

/* Where the name stands in p's list; first looked for at `guess`, as two lists are mostly alike. -1 if it is not there.
 */
static int find(const struct tern_module_parts *p, const char *name, int guess) {
    if (guess < p->n_list && strcmp(p->list[guess].name, name) == 0) return guess;
    for (int i = 0; i < p->n_list; i++)
        if (strcmp(p->list[i].name, name) == 0) return i;
    return -1;
}

static void mention(terni_text *t, const char *what, int *n, const char *name) {
    terni_text_add(t, *n ? ", %s" : what, name);
    (*n)++;
}

/* Notes what does not fit into t. */
static bool compare(const struct tern_module_parts *to, const struct tern_module_parts *from, terni_text *t) {
    int missing = 0, unexpected = 0, shapes = 0;
    for (int i = 0; i < to->n_list; i++)
        if (find(from, to->list[i].name, i) < 0) mention(t, "; missing: %s", &missing, to->list[i].name);
    for (int i = 0; i < from->n_list; i++)
        if (find(to, from->list[i].name, i) < 0) mention(t, "; unexpected: %s", &unexpected, from->list[i].name);
    for (int i = 0; i < to->n_list; i++) {
        const int k = find(from, to->list[i].name, i);
        if (k < 0) continue;
        const tern_shape a = tern_shape_get(to->list[i].tensor), b = tern_shape_get(from->list[k].tensor);
        if (tern_shape_equal(a, b)) continue;
        char sa[128], sb[128];
        mention(t, "; other shapes: %s", &shapes, to->list[i].name);
        terni_text_add(t, " (%s instead of %s)", tern_shape_text(b, sb, sizeof sb), tern_shape_text(a, sa, sizeof sa));
    }
    return missing + unexpected + shapes == 0;
}

bool tern_module_copy(tern_module *m, tern_module *src) {
    if (!terni_given(m, "module_copy", "m") || !terni_given(src, "module_copy", "src")) return false;
    if (!terni_module_list(m) || !terni_module_list(src)) return false;
    const struct tern_module_parts *to = m->parts, *from = src->parts;
    char text[1200] = "";
    terni_text t = {text, sizeof text, 0};
    if (!compare(to, from, &t))
        return terni_fail(TERN_ERR_SHAPE, "module_copy: %s and %s do not have the same parts%s%s", m->type, src->type,
                          text, t.n + 1 == t.size ? " ..." : "");
    const bool was = tern_grad_mode(false);
    bool ok = true;
    for (int i = 0; ok && i < to->n_list; i++)
        ok = tern_copy_(to->list[i].tensor, from->list[find(from, to->list[i].name, i)].tensor) != NULL;
    tern_grad_mode(was);
    return ok;
}
