/* The tape: nodes are made while ops run, hold what backward needs, and go when nothing refers to them any more. A
 * chain of nodes of any length is freed by a loop, not by recursion. */
#include "tape.h"

#include <string.h>

#include "trace_fields.h"

bool tern_grad_mode(bool record) {
    const bool was = !(terni_self.off & TERNI_OFF_MODE);
    terni_self.off = (unsigned char)((terni_self.off & ~TERNI_OFF_MODE) | (record ? 0 : TERNI_OFF_MODE));
    return was;
}

bool tern_grad_mode_get(void) { return !terni_self.off; }
bool terni_recording(void) { return !terni_self.off; }

terni_node *terni_node_new(const tern_function *fn, int n_in, const void *opts, size_t opts_size) {
    const size_t edges = (size_t)n_in * sizeof(terni_edge);
    const size_t bytes = sizeof(terni_node) + edges + ((opts_size + 15) & ~(size_t)15);
    terni_node *n = terni_alloc(bytes);
    if (!n) return NULL;
    n->fn = fn;
    atomic_init(&n->refs, 1);
    n->transient = n->used = n->lasting = false;
    n->n_in = (int16_t)n_in;
    n->n_out = (int16_t)(fn ? fn->n_out : 1);
    n->n_saved = 0;
    n->cap_saved = TERNI_SAVED_INLINE;
    n->bytes = bytes;
    n->edge = (terni_edge *)(n + 1);
    n->opts = (char *)(n + 1) + edges;
    n->saved = n->saved_inline;
    n->hooks = NULL;
    n->hook_next = 0;
    n->region = terni_self.region;
    atomic_init(&n->mark, 0);
    atomic_init(&n->walker, NULL);
    n->leaf = NULL;
    n->next = NULL;
    memset(&n->turn, 0, sizeof n->turn);
    for (int i = 0; i < n_in; i++) {
        n->edge[i].node = NULL;
        n->edge[i].leaf = NULL;
        n->edge[i].dtype = TERN_F32;
        n->edge[i].shape.ndim = 0; /* what an absent input has */
    }
    if (opts_size) {
        if (opts)
            memcpy(n->opts, opts, opts_size);
        else
            memset(n->opts, 0, opts_size);
    }
    return n;
}

void terni_node_drop_saved(terni_node *n) {
    const int count = n->n_saved;
    n->n_saved = 0;
    for (int i = 0; i < count; i++) {
        const terni_saved *s = &n->saved[i];
        if (!s->t) continue;
        if (s->output >= 0) atomic_fetch_sub_explicit(&s->t->storage->loose, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&s->t->savers, 1, memory_order_relaxed);
        tern_release(s->t);
    }
}

static void node_free(terni_node *n) {
    terni_node_drop_saved(n);
    if (n->saved != n->saved_inline) terni_mfree(n->saved);
    for (int i = 0; i < n->n_in; i++) {
        terni_edge *e = &n->edge[i];
        if (e->leaf)
            tern_release(e->leaf);
        else if (e->node)
            terni_node_release(e->node);
    }
    for (terni_hook *h = n->hooks, *next; h; h = next) {
        next = h->next;
        terni_free(h, sizeof *h);
    }
    if (n->fn && n->fn->drop) n->fn->drop(n->opts);
    terni_free(n, n->bytes);
}

void terni_node_release(terni_node *n) {
    if (!terni_last(&n->refs)) return;
    n->next = terni_self.dead;
    terni_self.dead = n;
    if (terni_self.draining) return;
    terni_self.draining = true;
    while (terni_self.dead) {
        n = terni_self.dead;
        terni_self.dead = n->next;
        node_free(n);
    }
    terni_self.draining = false;
}

void terni_edge_set(terni_node *n, int i, tern_tensor *t) {
    terni_edge *e = &n->edge[i];
    if (!t) return;
    e->dtype = terni_dtype(t);
    e->shape.ndim = t->v.ndim; /* in place: a copy of what was just written makes the processor wait */
    for (int d = 0; d < t->v.ndim; d++) e->shape.dim[d] = t->v.shape[d];
    if (t->node) {
        e->node = t->node;
        e->out = t->out_index;
        atomic_fetch_add_explicit(&e->node->refs, 1, memory_order_relaxed);
    } else if (t->requires_grad) {
        e->node = t->meta->sink;
        e->leaf = tern_keep(t);
        e->out = 0;
    }
}

void terni_edge_copy(terni_node *n, int i, const terni_edge *from) {
    terni_edge *e = &n->edge[i];
    *e = *from;
    if (e->leaf)
        tern_keep(e->leaf);
    else if (e->node)
        atomic_fetch_add_explicit(&e->node->refs, 1, memory_order_relaxed);
}

bool terni_node_save(terni_node *n, tern_tensor *t) {
    if (n->transient) return true;
    if (t && t->storage->inference)
        return terni_fail(TERN_ERR_AUTOGRAD,
                          "%s: %s was made in inference mode and cannot be saved for a gradient; clone it outside",
                          n->fn->name, terni_describe(t));
    if (n->n_saved == n->cap_saved) {
        const int cap = 2 * n->cap_saved;
        terni_saved *more = terni_malloc((size_t)cap * sizeof *more);
        if (!more) return false;
        memcpy(more, n->saved, (size_t)n->n_saved * sizeof *more);
        if (n->saved != n->saved_inline) terni_mfree(n->saved);
        n->saved = more;
        n->cap_saved = cap;
    }
    if (t) atomic_fetch_add_explicit(&t->savers, 1, memory_order_relaxed);
    n->saved[n->n_saved++] =
        t ? (terni_saved){tern_keep(t), t->storage, t->storage->version, t->moves, -1} : (terni_saved){.output = -1};
    return true;
}

void terni_saved_swap(terni_saved *s, tern_tensor *t) {
    tern_tensor *was = s->t;
    s->t = tern_keep(t);
    s->moves = t->moves;
    atomic_fetch_add_explicit(&t->savers, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&was->savers, 1, memory_order_relaxed);
    tern_release(was);
}

bool terni_node_output(terni_node *n, tern_tensor *t, int out) {
    for (int i = 0; i < n->n_saved; i++) {
        terni_saved *s = &n->saved[i];
        if (s->t != t) continue;
        /* A head of its own: t refers to n, so n must not refer to t. */
        tern_tensor *loose = terni_alias(t, terni_shape(t), t->v.strides, 0);
        if (!loose) return false;
        atomic_fetch_add_explicit(&loose->storage->loose, 1, memory_order_relaxed);
        terni_saved_swap(s, loose);
        s->output = out;
    }
    atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    t->node = n;
    t->out_index = out;
    return true;
}

/* ---- walks ----------------------------------------------------------------------------------------------------------
 */

static atomic_uint marks, regions;

/* Never 0, which means none. */
static uint32_t next_of(atomic_uint *count) {
    uint32_t k;
    do k = atomic_fetch_add(count, 1) + 1;
    while (k == 0);
    return k;
}

uint32_t terni_region_new(void) { return next_of(&regions); }

/* Threads that walk over the same nodes may overwrite each other's marks: then a node is seen twice, no more. */
bool terni_reach(terni_node *root, uint32_t region, bool (*visit)(terni_node *n, void *user), void *user) {
    const uint32_t mark = next_of(&marks);
    int64_t n = 0, cap = 0;
    terni_node **queue = NULL;
    bool ok = true;
    for (int64_t at = -1; ok && at < n; at++) {
        const terni_node *from = at >= 0 ? queue[at] : NULL;
        for (int i = 0; ok && i < (from ? from->n_in : 1); i++) {
            terni_node *to = from ? from->edge[i].node : root;
            if (!to || (region && to->region != region)) continue;
            if (atomic_exchange_explicit(&to->mark, mark, memory_order_relaxed) == mark) continue;
            if (n == cap) {
                cap = cap ? 2 * cap : 64;
                terni_node **more = terni_resize(queue, (size_t)cap * sizeof *queue);
                ok = more != NULL;
                if (!ok) break;
                queue = more;
            }
            queue[n++] = to;
            if (visit(to, user)) continue;
            terni_mfree(queue);
            return true;
        }
    }
    terni_mfree(queue);
    return ok;
}

/* ---- leaves ---------------------------------------------------------------------------------------------------------
 */

tern_tensor *tern_require_grad(tern_tensor *t, bool require) {
    if (!terni_given(t, "require_grad", "t")) return NULL;
    if (t->node)
        return terni_null(TERN_ERR_AUTOGRAD, "require_grad: %s was computed by a recorded op; only leaves can be asked",
                          terni_describe(t));
    if (!require) {
        t->requires_grad = false;
        return t;
    }
    if (!tern_dtype_is_float(terni_dtype(t)))
        return terni_null(TERN_ERR_DTYPE, "require_grad: %s is not a float tensor", terni_describe(t));
    if (t->storage->inference && !(terni_self.off & TERNI_OFF_INFERENCE))
        return terni_null(TERN_ERR_AUTOGRAD, "require_grad: %s was made in inference mode; clone it outside",
                          terni_describe(t));
    terni_meta *m = terni_meta_of(t);
    if (!m) return NULL;
    if (!m->sink) {
        m->sink = terni_node_new(NULL, 0, NULL, 0);
        if (!m->sink) return NULL;
        m->sink->leaf = t;
    }
    t->requires_grad = true;
    return t;
}

bool tern_requires_grad(const tern_tensor *t) { return t && terni_wants(t); }
bool tern_is_leaf(const tern_tensor *t) { return t && !t->node; }
tern_tensor *tern_grad_get(tern_tensor *t) { return t && t->meta ? t->meta->grad : NULL; }

bool tern_grad_set(tern_tensor *t, tern_tensor *g) {
    if (!t) return terni_given(t, "grad_set", "t");
    if (g) {
        if (!tern_ok()) return false;
        if (g == t) return terni_fail(TERN_ERR_ARGUMENT, "grad_set: a tensor as its own gradient");
        if (!tern_shape_equal(terni_shape(t), terni_shape(g)))
            return terni_fail(TERN_ERR_SHAPE, "grad_set: gradient %s for %s", terni_describe(g), terni_describe(t));
        if (t->v.dtype != g->v.dtype)
            return terni_fail(TERN_ERR_DTYPE, "grad_set: gradient %s for %s", terni_describe(g), terni_describe(t));
        if (!tern_device_equal(t->device, g->device))
            return terni_fail(TERN_ERR_DEVICE, "grad_set: gradient and tensor are on different devices");
    } else if (!t->meta) {
        return true;
    }
    terni_meta *m = terni_meta_of(t);
    if (!m) return false;
    tern_tensor *old = m->grad;
    m->grad = tern_keep(g);
    tern_release(old);
    return true;
}

tern_tensor *tern_detach(tern_tensor *t) {
    if (!terni_given(t, "detach", "t")) return NULL;
    tern_tensor *d = terni_alias(t, terni_shape(t), t->v.strides, 0);
    if (!d || !terni_tracing()) return d;
    return terni_trace_op("detach", NULL, NULL, NULL, 0, &t, 1, &d, 1) ? d : NULL;
}

/* ---- hooks
 * ------------------------------------------------------------------------------------------------------------ */

static int hook_append(tern_tensor *t, terni_hook hook) {
    terni_node *n = t->node ? t->node : t->meta->sink;
    terni_hook *h = terni_alloc(sizeof *h);
    if (!h) return -1;
    hook.next = NULL;
    hook.out = t->node ? t->out_index : 0;
    hook.number = n->hook_next++;
    *h = hook;
    terni_hook **end = &n->hooks;
    while (*end) end = &(*end)->next;
    *end = h;
    return h->number;
}

int tern_hook_add(tern_tensor *t, tern_grad_hook hook, void *user) {
    if (!terni_given(t, "hook_add", "t") || !terni_given(hook ? t : NULL, "hook_add", "hook")) return -1;
    if (terni_wants(t)) return hook_append(t, (terni_hook){.fn = hook, .user = user});
    terni_fail(TERN_ERR_AUTOGRAD, "hook_add: %s requires no gradient", terni_describe(t));
    return -1;
}

int tern_hook_add_after(tern_tensor *leaf, tern_leaf_hook hook, void *user) {
    if (!terni_given(leaf, "hook_add_after", "leaf") || !terni_given(hook ? leaf : NULL, "hook_add_after", "hook"))
        return -1;
    if (!leaf->node && leaf->requires_grad) return hook_append(leaf, (terni_hook){.after = hook, .user = user});
    terni_fail(TERN_ERR_AUTOGRAD, "hook_add_after: %s is no leaf that requires a gradient", terni_describe(leaf));
    return -1;
}

bool tern_hook_remove(tern_tensor *t, int number) {
    if (!terni_given(t, "hook_remove", "t")) return false;
    terni_node *n = t->node ? t->node : t->meta ? t->meta->sink : NULL;
    for (terni_hook **p = n ? &n->hooks : NULL; p && *p; p = &(*p)->next) {
        if ((*p)->number != number) continue;
        terni_hook *gone = *p;
        *p = gone->next;
        terni_free(gone, sizeof *gone);
        return true;
    }
    return terni_fail(TERN_ERR_ARGUMENT, "hook_remove: %s has no hook %d", terni_describe(t), number);
}
