/* sequential: modules in a row. */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

static tern_tensor *sequential_forward(tern_module *m, tern_tensor *x) {
    for (int i = 0; x && i < m->parts->n_children; i++) {
        const int scope = tern_scope_push();
        tern_tensor *y = tern_forward(m->parts->child[i].module, x);
        /* x stays with the scope that it came in; y takes its place in the outer one. */
        x = tern_scope_return(scope, y);
    }
    return x;
}

static void append(tern_module *s, int i, void *module) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    tern_module_add(s, name, module);
}

tern_module *(tern_sequential)(void *first, ...) {
    tern_module *s = terni_layer(sizeof *s, "sequential", sequential_forward, NULL);
    va_list args;
    va_start(args, first);
    int i = 0;
    for (void *m = first; m; m = va_arg(args, void *)) append(s, i++, m); /* frees m if s is NULL */
    va_end(args);
    return tern_module_done(s);
}

tern_module *tern_sequential_of(void *const *modules, int n) {
    tern_module *s = terni_layer(sizeof *s, "sequential", sequential_forward, NULL);
    if (n > 0 && !modules[n - 1]) n--;
    for (int i = 0; i < n; i++) append(s, i, modules[i]);
    return tern_module_done(s);
}
