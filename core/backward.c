/* The backward pass. A depth-first walk from the output lists the nodes so that each stands after all that it leads to;
 * run in reverse, every node has received all of its gradients when its turn comes. The walk is iterative, and the
 * pass's state lives in the nodes, so a graph takes part in one pass at a time. */
#include <string.h>

#include "tape.h"
#include "thread.h"

typedef struct pass {
    terni_node **list; /* in order of finishing: the root is last */
    int n, cap, entered;
    terni_node *stack;
    tern_tensor **capture; /* tern_grad's results, kept; NULL in tern_backward */
    tern_tensor *const *x;
    int n_x;
    bool retain, create, allow_unused;
} pass;

static bool enter(pass *p, terni_node *n, const char *op) {
    if (n->in_pass && n->pass == p) return true;
    if (n->in_pass)
        return terni_fail(TERN_ERR_AUTOGRAD, "%s: a part of the graph (%s) is in the middle of another backward pass",
                          op, n->fn ? n->fn->name : terni_describe(n->leaf));
    if (n->fn && n->used)
        return terni_fail(TERN_ERR_AUTOGRAD,
                          "%s: the graph was used up by an earlier backward pass (at %s); that pass needs retain_graph",
                          op, n->fn->name);
    if (p->entered == p->cap) { /* so that finishing a node cannot fail */
        const int cap = p->cap ? 2 * p->cap : 256;
        terni_node **list = terni_resize(p->list, (size_t)cap * sizeof *list);
        if (!list) return false;
        p->list = list;
        p->cap = cap;
    }
    n->in_pass = true;
    n->pass = p;
    n->at = 0;
    n->needed = p->capture ? n->target != 0 : !n->fn;
    n->next = p->stack;
    p->stack = n;
    p->entered++;
    return true;
}

/* Fills the list. On failure the nodes that were entered are in the list or on the stack. */
static bool walk(pass *p, terni_node *root, const char *op) {
    if (!enter(p, root, op)) return false;
    while (p->stack) {
        terni_node *n = p->stack;
        if (n->at < n->n_in) {
            terni_node *to = n->edge[n->at++].node;
            if (to && !enter(p, to, op)) return false;
            continue;
        }
        for (int i = 0; i < n->n_in; i++)
            if (n->edge[i].node && n->edge[i].node->needed) n->needed = true;
        p->stack = n->next;
        p->list[p->n++] = n;
    }
    return true;
}

static void leave(terni_node *n) {
    n->in_pass = false;
    n->target = 0;
    for (int i = 0; i < TERN_MAX_OUT; i++) {
        tern_release(n->grad[i]);
        n->grad[i] = NULL;
    }
}

static bool exclusive(const tern_tensor *t) {
    return atomic_load(&t->refs) == 1 && atomic_load(&t->storage->refs) == 1 && !t->storage->foreign && t->contiguous &&
           !terni_wants(t);
}

/* *sum += g; *sum is an owned reference, g belongs to the scope. `mine`: nobody else holds *sum. */
static bool add_to(tern_tensor **sum, tern_tensor *g) {
    if (!*sum) {
        *sum = tern_keep(g);
        return true;
    }
    if (!terni_recording() && exclusive(*sum)) return tern_add_(*sum, g) != NULL;
    tern_tensor *s = tern_add(*sum, g);
    if (!s) return false;
    tern_keep(s);
    tern_release(*sum);
    *sum = s;
    return true;
}

static bool accumulate(terni_node *sink, tern_tensor **g) {
    tern_tensor *leaf = sink->leaf;
    terni_meta *m = leaf->meta;
    if (!m->grad) {
        if (exclusive(*g)) {
            m->grad = *g;
            *g = NULL;
            return true;
        }
        m->grad = tern_keep(tern_clone(*g));
        return m->grad != NULL;
    }
    if (!terni_recording() && m->grad->contiguous && !terni_wants(m->grad)) return tern_add_(m->grad, *g) != NULL;
    tern_tensor *s = tern_keep(tern_add(m->grad, *g));
    if (!s) return false;
    tern_release(m->grad);
    m->grad = s;
    return true;
}

/* The first hook whose number is at least `number`: a hook may remove itself, and others. */
static const terni_hook *hook_from(const terni_node *n, int number) {
    const terni_hook *h = n->hooks;
    while (h && h->number < number) h = h->next;
    return h;
}

static bool run_hooks(terni_node *n) {
    int next = 0;
    for (const terni_hook *h; (h = hook_from(n, next));) {
        next = h->number + 1;
        const int out = h->out;
        tern_tensor *g = n->grad[out];
        if (!g) continue;
        tern_tensor *r = h->fn(g, h->user);
        if (!tern_ok()) return false;
        if (!r) return terni_fail(TERN_ERR_AUTOGRAD, "backward: a hook returned NULL without an error");
        if (r == g) continue;
        if (r->v.dtype != g->v.dtype || !tern_shape_equal(terni_shape(r), terni_shape(g)))
            return terni_fail(TERN_ERR_SHAPE, "backward: a hook turned gradient %s into %s", terni_describe(g),
                              terni_describe(r));
        tern_keep(r);
        tern_release(g);
        n->grad[out] = r;
    }
    return true;
}

static bool deliver(terni_node *n, tern_tensor **gin) {
    for (int i = 0; i < n->n_in; i++) {
        const terni_edge *e = &n->edge[i];
        if (!gin[i] || !e->node || !e->node->needed) continue;
        if (gin[i]->v.dtype != (int32_t)e->dtype || !tern_shape_equal(terni_shape(gin[i]), e->shape))
            return terni_fail(TERN_ERR_INTERNAL, "%s: backward gave input %d, %s %s, the gradient %s", n->fn->name, i,
                              terni_shape_str(e->shape), tern_dtype_name(e->dtype), terni_describe(gin[i]));
        if (!add_to(&e->node->grad[e->out], gin[i])) return false;
    }
    return true;
}

static bool take_targets(pass *p, terni_node *n) {
    for (int i = n->target - 1; i >= 0 && i < p->n_x; i++) {
        const tern_tensor *x = p->x[i];
        if ((x->node ? x->node : x->meta ? x->meta->sink : NULL) != n) continue;
        tern_release(p->capture[i]);
        p->capture[i] = tern_keep(n->grad[x->node ? x->out_index : 0]);
    }
    return true;
}

enum { GRADS_INLINE = 16 };

static bool run_node(pass *p, terni_node *n) {
    tern_tensor *few[GRADS_INLINE] = {NULL}, **gin = few;
    if (!run_hooks(n)) return false;
    if (p->capture && n->target && !take_targets(p, n)) return false;
    bool further = false, any = false;
    for (int i = 0; i < n->n_in; i++) further |= n->edge[i].node && n->edge[i].node->needed;
    for (int o = 0; o < n->n_out; o++) any |= n->grad[o] != NULL;
    if (!n->fn) return p->capture || !any ? true : accumulate(n, &n->grad[0]);
    bool ok = true;
    if (any && further) {
        if (n->n_in > GRADS_INLINE) {
            gin = terni_malloc((size_t)n->n_in * sizeof *gin);
            if (!gin) return false;
            memset(gin, 0, (size_t)n->n_in * sizeof *gin);
        }
        ok = n->fn->backward((tern_ctx *)n, n->grad, gin);
        if (!ok && tern_ok()) terni_fail(TERN_ERR_AUTOGRAD, "%s: backward failed without saying why", n->fn->name);
        ok = ok && tern_ok() && deliver(n, gin);
        if (gin != few) terni_mfree(gin);
    }
    if (!p->retain) {
        terni_node_drop_saved(n);
        n->used = true;
    }
    return ok;
}

static bool run(pass *p) {
    for (int i = p->n - 1; i >= 0; i--) {
        terni_node *n = p->list[i];
        bool ok = true;
        if (n->needed) {
            const int scope = tern_scope_push();
            ok = run_node(p, n);
            tern_scope_pop(scope);
        }
        for (int o = 0; o < n->n_out; o++) {
            tern_release(n->grad[o]);
            n->grad[o] = NULL;
        }
        if (!ok) return false;
    }
    return true;
}

/* Nodes that a pass lists stay alive through the output's node, unless hooks or backward rules let go of it: so hold
 * it. */
static bool start(pass *p, tern_tensor *y, tern_tensor *seed, const char *op) {
    terni_node *root = y->node ? y->node : y->requires_grad ? y->meta->sink : NULL;
    if (!root && p->allow_unused) return true;
    if (!root)
        return terni_fail(TERN_ERR_AUTOGRAD, "%s: %s does not depend on anything that requires a gradient", op,
                          terni_describe(y));
    if (root->in_pass)
        return terni_fail(TERN_ERR_AUTOGRAD, "%s: the graph is in the middle of another backward pass", op);
    if (seed) {
        if (seed->v.dtype != y->v.dtype || !tern_shape_equal(terni_shape(seed), terni_shape(y)))
            return terni_fail(TERN_ERR_SHAPE, "%s: seed %s for %s", op, terni_describe(seed), terni_describe(y));
    } else if (y->numel != 1) {
        return terni_fail(TERN_ERR_SHAPE, "%s: %s has %lld elements; without a seed it must have one", op,
                          terni_describe(y), (long long)y->numel);
    }
    const bool was = tern_grad_mode(p->create);
    tern_tensor *hold = tern_keep(y);
    const int scope = tern_scope_push();
    tern_tensor *g = seed ? seed : tern_ones_like(y);
    bool ok = g && walk(p, root, op);
    if (ok) {
        root->grad[y->node ? y->out_index : 0] = tern_keep(g);
        ok = run(p);
    }
    for (int i = 0; i < p->n; i++) leave(p->list[i]);
    for (terni_node *n = p->stack, *next; n; n = next) {
        next = n->next;
        leave(n);
    }
    terni_mfree(p->list);
    tern_scope_pop(scope);
    tern_release(hold);
    tern_grad_mode(was);
    return ok;
}

bool tern_backward_from(tern_tensor *y, tern_tensor *seed, tern_backward_opts opts) {
    TERNI_NAMED("backward_from");
    if (!terni_given(y, "backward", "loss")) return false;
    pass p = {.retain = opts.retain_graph || opts.create_graph, .create = opts.create_graph};
    return start(&p, y, seed, "backward");
}

bool tern_backward(tern_tensor *loss) { return tern_backward_from(loss, NULL, (tern_backward_opts){0}); }

static bool mark_targets(tern_tensor *const *x, int n, bool allow_unused) {
    for (int i = 0; i < n; i++) {
        if (!x[i]) return terni_fail(TERN_ERR_ARGUMENT, "grad: x[%d] is NULL", i);
        terni_node *t = x[i]->node ? x[i]->node : x[i]->requires_grad ? x[i]->meta->sink : NULL;
        if (!t) {
            if (allow_unused) continue;
            return terni_fail(TERN_ERR_AUTOGRAD, "grad: x[%d] %s requires no gradient", i, terni_describe(x[i]));
        }
        if (t->in_pass)
            return terni_fail(TERN_ERR_AUTOGRAD, "grad: x[%d] %s is in the middle of another backward pass", i,
                              terni_describe(x[i]));
        if (!t->target) t->target = 1 + i;
    }
    return true;
}

bool tern_grad(tern_tensor *y, tern_tensor *const *x, int n, tern_tensor *seed, tern_backward_opts opts,
               tern_tensor **out) {
    if (!terni_given(y, "grad", "y") || !terni_given(out, "grad", "out") || !terni_given(x, "grad", "x")) return false;
    for (int i = 0; i < n; i++) out[i] = NULL;
    pass p = {.retain = opts.retain_graph || opts.create_graph,
              .create = opts.create_graph,
              .capture = out,
              .x = x,
              .n_x = n,
              .allow_unused = opts.allow_unused};
    bool ok = mark_targets(x, n, opts.allow_unused) && start(&p, y, seed, "grad");
    for (int i = 0; i < n; i++) { /* also those that the walk did not reach */
        terni_node *t = !x[i] ? NULL : x[i]->node ? x[i]->node : x[i]->meta ? x[i]->meta->sink : NULL;
        if (t && !t->in_pass) t->target = 0;
        if (ok && !out[i] && !opts.allow_unused)
            ok = terni_fail(TERN_ERR_AUTOGRAD, "grad: y does not depend on x[%d] %s", i, terni_describe(x[i]));
    }
    for (int i = 0; i < n; i++) {
        if (!ok) {
            tern_release(out[i]);
            out[i] = NULL;
        } else if (out[i] && !terni_scope_add(out[i])) {
            out[i] = NULL;
            ok = false;
        }
    }
    return ok;
}
