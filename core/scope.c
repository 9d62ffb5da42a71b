/* Scopes: a per-thread stack of references. A scope is a height of it. */
#include <string.h>

#include "thread.h"

int tern_scope_push(void) { return terni_self.scope_n; }

static void pop_to(int height) {
    if (height < 0) height = 0;
    while (terni_self.scope_n > height) tern_release(terni_self.scope[--terni_self.scope_n]);
}

void tern_scope_pop(int height) { pop_to(height); }

tern_tensor *terni_scope_add(tern_tensor *t) {
    if (!t) return NULL;
    if (terni_self.scope_n == terni_self.scope_cap) {
        const int cap = terni_self.scope_cap ? 2 * terni_self.scope_cap : 256;
        tern_tensor **items = terni_alloc((size_t)cap * sizeof *items);
        if (!items) {
            tern_release(t);
            return NULL;
        }
        if (terni_self.scope_n) memcpy(items, terni_self.scope, (size_t)terni_self.scope_n * sizeof *items);
        terni_free(terni_self.scope, (size_t)terni_self.scope_cap * sizeof *items);
        terni_self.scope = items;
        terni_self.scope_cap = cap;
        terni_thread_ready();
    }
    terni_self.scope[terni_self.scope_n++] = t;
    return t;
}

tern_tensor *tern_scope_return(int height, tern_tensor *t) {
    if (!t || !tern_ok()) {
        pop_to(height);
        return NULL;
    }
    if (height < 0) height = 0;
    tern_keep(t);
    pop_to(height);
    return terni_scope_add(t);
}

tern_tensor *tern_give(tern_tensor *t) { return terni_scope_add(t); }

void terni_scope_thread_exit(void) {
    pop_to(0);
    terni_free(terni_self.scope, (size_t)terni_self.scope_cap * sizeof *terni_self.scope);
    terni_self.scope = NULL;
    terni_self.scope_cap = 0;
}
