/* Averages of a model's weights. */
#include "tern/average.h"

#include <math.h>
#include <string.h>

#include "internal.h"
#include "tern/graph.h"
#include "tern/layers.h"

struct tern_average {
    tern_module *m;
    tern_average_opts opts;
    int64_t count;
};

tern_average *tern_average_new(tern_module *m, tern_average_opts opts) {
    if (!terni_given(m, "average", "m")) return NULL;
    if (!(opts.decay >= 0 && opts.decay < 1))
        return terni_null(TERN_ERR_ARGUMENT, "average: decay is %g; from 0 up to, but not, 1 expected", opts.decay);
    tern_average *a = terni_calloc(sizeof *a);
    if (!a) return NULL;
    a->opts = opts;
    a->m = tern_module_clone(m);
    if (a->m) return a;
    tern_average_free(a);
    return NULL;
}

void tern_average_free(tern_average *a) {
    if (!a) return;
    tern_module_free(a->m);
    terni_free(a, sizeof *a);
}

tern_module *tern_average_module(tern_average *a) { return a ? a->m : NULL; }
int64_t tern_average_count(const tern_average *a) { return a ? a->count : 0; }

bool tern_average_set_count(tern_average *a, int64_t count) {
    if (!terni_given(a, "average_set_count", "a")) return false;
    if (count < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "average_set_count: %lld; 0 or more expected", (long long)count);
    a->count = count;
    return true;
}

/* ---- an update --------------------------------------------------------------------------------------------------- */

/* Is this one averaged, or copied? */
static bool averaged(const tern_average *a, const tern_named *e) {
    return a->count > 0 && (e->is_param || (a->opts.buffers && tern_dtype_is_float(tern_dtype_of(e->tensor))));
}

static int tensors(tern_module *m) {
    tern_named e;
    int n = 0;
    while (tern_module_each(m, n, &e)) n++;
    return n;
}

/* The pairs to be averaged; the others are copied. -1 after an error. A tensor with several names comes once. */
static int collect(tern_average *a, tern_module *m, tern_tensor **to, tern_tensor **from) {
    tern_named x, y;
    int n = 0;
    for (int i = 0; tern_module_each(a->m, i, &x); i++) {
        if (!tern_module_each(m, i, &y) || strcmp(x.name, y.name) != 0) {
            terni_fail(TERN_ERR_ARGUMENT, "average_update: the model has no %s at place %d, as it had", x.name, i);
            return -1;
        }
        if (!averaged(a, &x)) {
            if (!tern_copy_(tern_detach(x.tensor), tern_detach(y.tensor))) return -1;
            continue;
        }
        int k = 0;
        while (k < n && to[k] != x.tensor) k++;
        if (k < n) continue;
        to[n] = x.tensor;
        from[n++] = tern_cast(tern_detach(y.tensor), tern_dtype_of(x.tensor));
    }
    return tern_ok() ? n : -1;
}

bool tern_average_update(tern_average *a, tern_module *m) {
    if (!terni_given(a, "average_update", "a") || !terni_given(m, "average_update", "m")) return false;
    if (tern_graph_capturing())
        return terni_fail(TERN_ERR_UNSUPPORTED, "average_update: it cannot be captured; call it after the replay");
    const size_t bytes = 2 * (size_t)(tensors(a->m) + 1) * sizeof(tern_tensor *);
    tern_tensor **to = terni_alloc(bytes);
    if (!to) return false;
    tern_tensor **from = to + bytes / sizeof *to / 2;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    const int n = collect(a, m, to, from);
    const double share = a->opts.decay > 0 ? 1 - a->opts.decay : 1 / ((double)a->count + 1);
    const bool ok = n >= 0 && tern_update(TERN_UPDATE_AVERAGE, to, from, NULL, n, &share, (tern_update_opts){0});
    tern_grad_mode(was);
    tern_scope_pop(scope);
    terni_free(to, bytes);
    if (ok) a->count++;
    return ok;
}

/* ---- statistics of batch_norm -------------------------------------------------------------------------------------
 */

typedef struct norms {
    tern_module **m;
    double *momentum;
    int n, room;
} norms;

static bool find(norms *s, tern_module *m) {
    tern_module *child;
    if (tern_batch_norm_momentum(m) >= 0) {
        if (s->n == s->room) {
            const int room = s->room ? 2 * s->room : 16;
            tern_module **list = terni_resize(s->m, (size_t)room * sizeof *list);
            if (list) s->m = list;
            double *momentum = list ? terni_resize(s->momentum, (size_t)room * sizeof *momentum) : NULL;
            if (!momentum) return false;
            s->momentum = momentum;
            s->room = room;
        }
        s->momentum[s->n] = tern_batch_norm_momentum(m);
        s->m[s->n++] = m;
    }
    for (int i = 0; (child = tern_module_child_at(m, i, NULL)); i++)
        if (!find(s, child)) return false;
    return true;
}

/* As at first: means 0, variances 1. */
static bool clear(tern_module *norm) {
    tern_named e;
    for (int i = 0; tern_module_each(norm, i, &e); i++)
        if (!e.is_param && !tern_fill_(e.tensor, strcmp(e.name, "running_var") == 0 ? 1 : 0)) return false;
    return tern_ok();
}

static bool measure(tern_module *m, const norms *s, tern_tensor *(*next)(void *user), void *user) {
    for (int k = 0; k < s->n; k++)
        if (!clear(s->m[k])) return false;
    for (int64_t i = 1;; i++) {
        const int scope = tern_scope_push();
        tern_tensor *x = next(user);
        for (int k = 0; x && k < s->n; k++)
            if (!tern_batch_norm_set_momentum(s->m[k], 1 / (double)i)) x = NULL;
        const bool more = x && tern_forward(m, x);
        tern_scope_pop(scope);
        if (!more) return tern_ok();
    }
}

bool tern_average_batch_norm(tern_module *m, tern_tensor *(*next)(void *user), void *user) {
    if (!terni_given(m, "average_batch_norm", "m")) return false;
    if (!next) return terni_fail(TERN_ERR_ARGUMENT, "average_batch_norm: next is NULL");
    norms s = {0};
    bool ok = find(&s, m);
    if (ok && s.n > 0) {
        const bool training = m->training, was = tern_grad_mode(false);
        tern_module_train(m, true);
        ok = measure(m, &s, next, user);
        tern_module_train(m, training);
        tern_grad_mode(was);
        for (int k = 0; k < s.n; k++) tern_batch_norm_set_momentum(s.m[k], s.momentum[k]);
    }
    terni_mfree(s.m);
    terni_mfree(s.momentum);
    return ok;
}
