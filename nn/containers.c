/* Modules that are made of others: in order, by number, by name, around a shortcut. */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

/* Frees the module if m is NULL. */
static void take(tern_module *m, int i, void *module) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    (void)tern_module_add(m, name, module);
}

/* ---- sequential -------------------------------------------------------------------------------------------------- */

/* Each step hands its output on and drops all else that was made since the start: the input of the step too, unless the
 * tape holds it. */
static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const int scope = tern_scope_push();
    for (int i = 0; x && i < m->parts->n_children; i++)
        x = tern_scope_return(scope, tern_forward(m->parts->children[i].module, x));
    return x;
}

static tern_module *begin(void) {
    tern_module *m = tern_module_alloc(sizeof *m, "sequential");
    if (m) m->forward = forward;
    return m;
}

tern_module *tern_sequential_of(void *const *modules, int n) {
    tern_module *m = begin();
    if (modules && n > 0 && !modules[n - 1]) n--;
    for (int i = 0; modules && i < n; i++) take(m, i, modules[i]);
    return tern_module_done(m);
}

tern_module *(tern_sequential)(void *first, ...) {
    tern_module *m = begin();
    va_list args;
    va_start(args, first);
    int i = 0;
    for (void *module = first; module; module = va_arg(args, void *)) take(m, i++, module);
    va_end(args);
    return tern_module_done(m);
}

/* ---- list and dict ----------------------------------------------------------------------------------------------- */

tern_module *tern_list_new(void *const *modules, int n) {
    tern_module *m = tern_module_alloc(sizeof *m, "list");
    for (int i = 0; modules && i < n; i++) take(m, i, modules[i]);
    return tern_module_done(m);
}

tern_module *tern_dict_new(const char *const *names, void *const *modules, int n) {
    tern_module *m = tern_module_alloc(sizeof *m, "dict");
    for (int i = 0; modules && i < n; i++) (void)tern_module_add(m, names ? names[i] : NULL, modules[i]);
    return tern_module_done(m);
}

/* ---- residual ---------------------------------------------------------------------------------------------------- */

typedef struct residual {
    tern_module m;
    tern_module *body, *shortcut; /* shortcut may be NULL */
} residual;

static tern_tensor *residual_forward(tern_module *m, tern_tensor *x) {
    const residual *s = (const residual *)m;
    const int scope = tern_scope_push();
    tern_tensor *y = tern_forward(s->body, x);
    return tern_scope_return(scope, tern_add(s->shortcut ? tern_forward(s->shortcut, x) : x, y));
}

tern_module *tern_residual_new(void *body, void *shortcut) {
    residual *s = TERN_MODULE_NEW(residual);
    if (s) s->m.forward = residual_forward;
    tern_module *b = tern_module_add((tern_module *)s, "body", body);
    tern_module *c = shortcut ? tern_module_add((tern_module *)s, "shortcut", shortcut) : NULL;
    if (s) {
        s->body = b;
        s->shortcut = c;
    }
    return tern_module_done(s);
}
