/* The backward pass. A depth-first walk from the outputs lists the nodes so that each stands after all that it leads
 * to; run in reverse, every node has received all of its gradients when its turn comes. The walk is iterative. What a
 * pass knows of a node is the node's turn; a pass inside another (from a hook or a backward rule) that meets a node of
 * the outer one puts the outer turn aside until it ends, so passes nest over the same nodes and leaves. */
#include <string.h>

#include "casting.h"
#include "tape.h"

typedef struct place { /* of a tensor in the graph */
    terni_node *node;
    int out;
} place;

typedef struct pass {
    const char *op;
    terni_node **list; /* in order of finishing: the roots are last; at first `few` */
    terni_node **few;
    int n, cap, entered;
    terni_node *stack;
    tern_tensor **capture;  /* tern_grad's results, kept; NULL in tern_backward */
    tern_tensor *const *x;  /* what to differentiate with respect to: these, */
    const terni_edge *edge; /* or, if x is NULL, the places that these lead to, where wanted */
    const bool *wanted;
    place *at_x;
    int n_x;
    uint32_t region; /* if not 0: nodes outside of it are ends, which only collect */
    bool retain, create, allow_unused;
} pass;

static place place_of(const tern_tensor *t) {
    return (place){t->node ? t->node : t->requires_grad ? t->meta->sink : NULL, t->node ? t->out_index : 0};
}

static bool is_end(const pass *p, const terni_node *n) { return p->region && n->region != p->region; }

/* ---- turns ---------------------------------------------------------------------------------------------------------
 */

static bool is_mine(const terni_node *n) {
    return atomic_load_explicit(&n->walker, memory_order_relaxed) == &terni_self;
}
static bool has_turn(const pass *p, const terni_node *n) { return is_mine(n) && n->turn.pass == p; }

static bool turn_open(pass *p, terni_node *n) {
    const void *nobody = NULL;
    if (!is_mine(n) && !atomic_compare_exchange_strong(&n->walker, &nobody, &terni_self))
        return terni_fail(TERN_ERR_AUTOGRAD,
                          "%s: %s takes part in a pass of another thread just now; threads can share a leaf's values "
                          "through a tern_detach of their own",
                          p->op, n->fn ? n->fn->name : terni_describe(n->leaf));
    terni_turn *outer = NULL;
    if (n->turn.pass) {
        outer = terni_alloc(sizeof *outer);
        if (!outer) return false;
        *outer = n->turn;
    }
    n->turn = (terni_turn){.pass = p, .outer = outer};
    return true;
}

static void turn_close(terni_node *n) {
    for (int i = 0; i < n->n_out; i++) tern_release(n->turn.grad[i]);
    terni_turn *outer = n->turn.outer;
    if (!outer) {
        n->turn = (terni_turn){0};
        atomic_store_explicit(&n->walker, NULL, memory_order_release);
        return;
    }
    n->turn = *outer;
    terni_free(outer, sizeof *outer);
}

static bool list_grow(pass *p) {
    const int cap = 4 * p->cap;
    terni_node **list = terni_resize(p->list == p->few ? NULL : p->list, (size_t)cap * sizeof *list);
    if (!list) return false;
    if (p->list == p->few) memcpy(list, p->few, (size_t)p->n * sizeof *list);
    p->list = list;
    p->cap = cap;
    return true;
}

static bool enter(pass *p, terni_node *n) {
    const bool open = has_turn(p, n);
    if (open && n->turn.walked) return true;
    if (p->entered == p->cap && !list_grow(p)) return false; /* so that finishing a node cannot fail */
    if (!open && !turn_open(p, n)) return false;
    n->turn.walked = true;
    n->turn.needed = p->capture ? n->turn.target != 0 : !n->fn && n->leaf->requires_grad;
    n->next = p->stack;
    p->stack = n;
    p->entered++;
    return true;
}

/* All that n leads to has been walked: whether gradients go on from it, and whether its rule can still run. */
static bool leave(const pass *p, terni_node *n) {
    bool further = false;
    for (int i = 0; i < n->n_in && !is_end(p, n); i++) further |= n->edge[i].node && n->edge[i].node->turn.needed;
    if (further) n->turn.needed = true;
    return !further || !n->used ||
           terni_fail(TERN_ERR_AUTOGRAD,
                      "%s: the graph was used up by an earlier backward pass (at %s); that pass needs retain_graph",
                      p->op, n->fn->name);
}

/* Fills the list. On failure the nodes that were entered are in the list or on the stack. */
static bool walk(pass *p, terni_node *root) {
    if (!enter(p, root)) return false;
    while (p->stack) {
        terni_node *n = p->stack;
        if (n->turn.at < n->n_in && !is_end(p, n)) {
            terni_node *to = n->edge[n->turn.at++].node;
            if (to && !enter(p, to)) return false;
            continue;
        }
        if (!leave(p, n)) return false;
        p->stack = n->next;
        p->list[p->n++] = n;
    }
    return true;
}

/* ---- sums of gradients ---------------------------------------------------------------------------------------------
 */

static bool exclusive(const tern_tensor *t) {
    return atomic_load_explicit(&t->refs, memory_order_acquire) == 1 &&
           atomic_load_explicit(&t->storage->refs, memory_order_acquire) == 1 && !t->storage->foreign &&
           t->contiguous && !terni_wants(t);
}

/* *t = to, both owned references; false if to is NULL. `to` belongs to the scope. */
static bool replace(tern_tensor **t, tern_tensor *to) {
    if (!to) return false;
    tern_keep(to);
    tern_release(*t);
    *t = to;
    return true;
}

/* Adds g, of the scope, to the turn's sum for output o. Where several f16 or bf16 contributions meet, the sum is f32
 * until the node's turn comes. */
static bool add_to(terni_turn *turn, int o, tern_tensor *g) {
    tern_tensor **sum = &turn->grad[o];
    if (!*sum) {
        *sum = tern_keep(g);
        return true;
    }
    const tern_dtype dtype = terni_dtype(*sum);
    if (dtype == TERN_F16 || dtype == TERN_BF16) {
        turn->narrow[o] = (uint8_t)dtype;
        if (!replace(sum, tern_cast(*sum, TERN_F32))) return false;
    }
    if (!terni_recording() && exclusive(*sum)) return tern_add_(*sum, g) != NULL;
    return replace(sum, tern_add(*sum, g));
}

static bool round_sums(terni_turn *turn, int n_out) {
    for (int o = 0; o < n_out; o++) {
        if (!turn->narrow[o]) continue;
        if (!replace(&turn->grad[o], tern_cast(turn->grad[o], (tern_dtype)turn->narrow[o]))) return false;
        turn->narrow[o] = 0;
    }
    return true;
}

static bool accumulate(terni_node *sink, tern_tensor **g) {
    tern_tensor *leaf = sink->leaf;
    terni_meta *m = leaf->meta;
    if ((*g)->v.dtype != leaf->v.dtype || !terni_device_same((*g)->device, leaf->device))
        return terni_fail(
            TERN_ERR_AUTOGRAD,
            "backward: the leaf %s was given another dtype or device (tern_assign) after it was used; its "
            "gradient is %s",
            terni_describe(leaf), terni_describe(*g));
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
    return replace(&m->grad, tern_add(m->grad, *g));
}

/* ---- hooks ---------------------------------------------------------------------------------------------------------
 */

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
        tern_tensor *g = n->turn.grad[out];
        if (!g || !h->fn) continue;
        tern_tensor *r = h->fn(g, h->user);
        if (!tern_ok()) return false;
        if (!r) return terni_fail(TERN_ERR_AUTOGRAD, "backward: a hook returned NULL without an error");
        if (r == g) continue;
        if (r->v.dtype != g->v.dtype || !terni_same_shape(r, g))
            return terni_fail(TERN_ERR_SHAPE, "backward: a hook turned gradient %s into %s", terni_describe(g),
                              terni_describe(r));
        replace(&n->turn.grad[out], r);
    }
    return true;
}

static bool run_hooks_after(terni_node *sink) {
    tern_tensor *leaf = tern_keep(sink->leaf);
    int next = 0;
    bool ok = true;
    for (const terni_hook *h; ok && (h = hook_from(sink, next));) {
        next = h->number + 1;
        if (!h->after) continue;
        ok = h->after(leaf, h->user);
        if (!ok && tern_ok())
            terni_fail(TERN_ERR_AUTOGRAD, "backward: a hook after accumulation failed without saying why");
        ok = ok && tern_ok();
    }
    tern_release(leaf);
    return ok;
}

/* ---- one node ------------------------------------------------------------------------------------------------------
 */

static bool deliver(terni_node *n, tern_tensor **gin) {
    for (int i = 0; i < n->n_in; i++) {
        const terni_edge *e = &n->edge[i];
        if (!gin[i] || !e->node || !e->node->turn.needed) continue;
        if (gin[i]->v.dtype != (int32_t)e->dtype || !terni_has_shape(gin[i], &e->shape))
            return terni_fail(TERN_ERR_INTERNAL, "%s: backward gave input %d, %s %s, the gradient %s", n->fn->name, i,
                              terni_shape_str(e->shape), tern_dtype_name(e->dtype), terni_describe(gin[i]));
        if (!add_to(&e->node->turn, e->out, gin[i])) return false;
    }
    return true;
}

static void take_targets(pass *p, terni_node *n) {
    for (int i = n->turn.target - 1; i >= 0 && i < p->n_x; i++) {
        if (p->at_x[i].node != n) continue;
        tern_release(p->capture[i]);
        p->capture[i] = tern_keep(n->turn.grad[p->at_x[i].out]);
    }
}

enum { GRADS_INLINE = 16 };

static bool run_rule(terni_node *n) {
    tern_tensor *few[GRADS_INLINE], **gin = few;
    if (n->n_in > GRADS_INLINE) {
        gin = terni_malloc((size_t)n->n_in * sizeof *gin);
        if (!gin) return false;
    }
    for (int i = 0; i < n->n_in; i++) gin[i] = NULL;
    bool ok = n->fn->backward((tern_ctx *)n, n->turn.grad, gin);
    if (!ok && tern_ok()) terni_fail(TERN_ERR_AUTOGRAD, "%s: backward failed without saying why", n->fn->name);
    ok = ok && terni_self.error == TERN_OK && (!terni_self.anomaly || terni_anomaly_in(n, gin)) && deliver(n, gin);
    if (gin != few) terni_mfree(gin);
    return ok;
}

static bool run_node(pass *p, terni_node *n) {
    if (!round_sums(&n->turn, n->n_out)) return false;
    if (is_end(p, n)) {
        take_targets(p, n);
        return true;
    }
    if (!run_hooks(n)) return false;
    if (terni_self.anomaly && !terni_anomaly_out(n)) return false;
    if (p->capture && n->turn.target) take_targets(p, n);
    bool further = false, any = false;
    for (int i = 0; i < n->n_in; i++) further |= n->edge[i].node && n->edge[i].node->turn.needed;
    for (int o = 0; o < n->n_out; o++) any |= n->turn.grad[o] != NULL;
    if (!n->fn) return p->capture || !any ? true : accumulate(n, &n->turn.grad[0]) && run_hooks_after(n);
    const bool ok = !any || !further || run_rule(n);
    if (further && !p->retain && !n->turn.outer) { /* an outer pass still needs it, and drops it itself */
        terni_node_drop_saved(n);
        n->used = !n->lasting;
    }
    return ok;
}

static bool run(pass *p) {
    for (int i = p->n - 1; i >= 0; i--) {
        terni_node *n = p->list[i];
        bool ok = true;
        if (n->turn.needed) {
            const int scope = tern_scope_push();
            ok = run_node(p, n);
            tern_scope_pop(scope);
        }
        for (int o = 0; o < n->n_out; o++) {
            if (!n->turn.grad[o]) continue;
            tern_release(n->turn.grad[o]);
            n->turn.grad[o] = NULL;
        }
        if (!ok) return false;
    }
    return true;
}

/* ---- a whole pass --------------------------------------------------------------------------------------------------
 */

static bool seed_fits(const char *op, tern_tensor *y, tern_tensor *seed) {
    if (!seed && y->numel != 1)
        return terni_fail(TERN_ERR_SHAPE, "%s: %s has %lld elements; without a seed it must have one", op,
                          terni_describe(y), (long long)y->numel);
    if (seed && (seed->v.dtype != y->v.dtype || !terni_same_shape(seed, y)))
        return terni_fail(TERN_ERR_SHAPE, "%s: seed %s for %s", op, terni_describe(seed), terni_describe(y));
    return true;
}

static bool roots_ok(const pass *p, tern_tensor *const *y, tern_tensor *const *seed, int n) {
    for (int i = 0; i < n; i++) {
        if (!terni_given(y[i], p->op, "y")) return false;
        if (!place_of(y[i]).node) {
            if (p->allow_unused) continue;
            return terni_fail(TERN_ERR_AUTOGRAD, "%s: %s does not depend on anything that requires a gradient", p->op,
                              terni_describe(y[i]));
        }
        if (!seed_fits(p->op, y[i], seed ? seed[i] : NULL)) return false;
    }
    return true;
}

/* Marks the inputs' nodes, which opens their turns. */
static bool mark_targets(pass *p) {
    for (int i = 0; i < p->n_x; i++)
        p->at_x[i] = p->x ? place_of(p->x[i]) : p->wanted[i] ? (place){p->edge[i].node, p->edge[i].out} : (place){0};
    for (int i = 0; i < p->n_x; i++) {
        terni_node *t = p->at_x[i].node;
        if (!t) {
            if (p->allow_unused || !p->x) continue;
            return terni_fail(TERN_ERR_AUTOGRAD, "%s: x[%d] %s requires no gradient", p->op, i,
                              terni_describe(p->x[i]));
        }
        if (!has_turn(p, t) && !turn_open(p, t)) return false;
        if (!t->turn.target) t->turn.target = 1 + i;
    }
    return true;
}

static bool pass_run(pass *p, tern_tensor *const *y, tern_tensor *const *seed, int n, terni_node **root) {
    for (int i = 0; i < n; i++) {
        const place at = place_of(y[i]);
        if (!at.node) continue;
        root[i] = at.node;
        atomic_fetch_add_explicit(&at.node->refs, 1, memory_order_relaxed);
        if (!walk(p, at.node)) return false;
    }
    for (int i = 0; i < n; i++) {
        if (!root[i]) continue;
        tern_tensor *g = seed && seed[i] ? seed[i] : tern_ones_like(y[i]);
        if (!g || !add_to(&root[i]->turn, place_of(y[i]).out, g)) return false;
    }
    return run(p);
}

enum { LIST_INLINE = 64, HOLD_INLINE = 4 }; /* nodes and outputs of a pass that needs no memory of its own */

/* What a pass lists stays alive through the outputs' nodes, even if hooks let go of the outputs: so they are held. */
static bool start(pass *p, tern_tensor *const *y, tern_tensor *const *seed, int n) {
    if (!roots_ok(p, y, seed, n)) return false;
    terni_node *list[LIST_INLINE];
    void *few[2 * HOLD_INLINE] = {NULL};
    const size_t held = (size_t)(2 * n + 1) * sizeof(void *);
    void **hold = n <= HOLD_INLINE ? few : terni_calloc(held);
    p->list = p->few = list;
    p->cap = LIST_INLINE;
    p->at_x = hold && p->n_x ? terni_calloc((size_t)p->n_x * sizeof *p->at_x) : NULL;
    bool ok = hold && (p->at_x || !p->n_x);
    const unsigned char was = terni_self.off;
    terni_self.off = p->create ? 0 : TERNI_OFF_MODE;
    const int cast = terni_autocast_off();
    if (!terni_self.inside++) terni_self.passes++;
    for (int i = 0; hold && i < n; i++) hold[n + i] = tern_keep(y[i]);
    for (int i = 0; p->x && i < p->n_x; i++) tern_keep(p->x[i]);
    const int scope = tern_scope_push();
    ok = ok && mark_targets(p) && pass_run(p, y, seed, n, (terni_node **)hold);
    for (int i = 0; i < p->n; i++) turn_close(p->list[i]);
    for (terni_node *t = p->stack, *next; t; t = next) {
        next = t->next;
        turn_close(t);
    }
    for (int i = 0; p->at_x && i < p->n_x; i++) { /* those that the walk did not reach */
        terni_node *t = p->at_x[i].node;
        if (t && has_turn(p, t)) turn_close(t);
    }
    if (p->list != list) terni_mfree(p->list);
    tern_scope_pop(scope);
    for (int i = 0; hold && i < n; i++) {
        if (hold[i]) terni_node_release(hold[i]);
        tern_release(hold[n + i]);
    }
    for (int i = 0; p->x && i < p->n_x; i++) tern_release(p->x[i]);
    if (hold != few) terni_free(hold, held);
    if (p->at_x) terni_free(p->at_x, (size_t)p->n_x * sizeof *p->at_x);
    terni_self.inside--;
    terni_autocast_on(cast);
    terni_self.off = was;
    return ok;
}

/* ---- what programs call --------------------------------------------------------------------------------------------
 */

bool tern_backwards(tern_tensor *const *y, tern_tensor *const *seed, int n, tern_backward_opts opts) {
    TERNI_NAMED("backwards");
    if (!terni_given(y, "backward", "y")) return false;
    if (n < 1) return terni_fail(TERN_ERR_ARGUMENT, "backward: %d outputs", n);
    pass p = {.op = "backward", .retain = opts.retain_graph || opts.create_graph, .create = opts.create_graph};
    return start(&p, y, seed, n);
}

bool tern_backward_from(tern_tensor *y, tern_tensor *seed, tern_backward_opts opts) {
    TERNI_NAMED("backward_from");
    return terni_given(y, "backward", "loss") && tern_backwards(&y, &seed, 1, opts);
}

bool tern_backward(tern_tensor *loss) { return tern_backward_from(loss, NULL, (tern_backward_opts){0}); }

/* Hands the results to the scope; all of them or none. */
static bool give_results(tern_tensor **out, int n, bool ok) {
    for (int i = 0; i < n; i++) {
        if (!ok) {
            tern_release(out[i]);
            out[i] = NULL;
        } else if (out[i] && !terni_scope_add(out[i])) {
            out[i] = NULL;
            ok = false;
            for (int k = 0; k < i; k++) out[k] = NULL; /* the scope's */
        }
    }
    return ok;
}

bool tern_grads(tern_tensor *const *y, tern_tensor *const *seed, int n_y, tern_tensor *const *x, int n_x,
                tern_backward_opts opts, tern_tensor **out) {
    for (int i = 0; out && i < n_x; i++) out[i] = NULL;
    if (!terni_given(y, "grad", "y") || !terni_given(out, "grad", "out") || !terni_given(x, "grad", "x")) return false;
    if (n_y < 1 || n_x < 0) return terni_fail(TERN_ERR_ARGUMENT, "grad: %d outputs, %d inputs", n_y, n_x);
    for (int i = 0; i < n_x; i++)
        if (!x[i]) return terni_fail(TERN_ERR_ARGUMENT, "grad: x[%d] is NULL", i);
    pass p = {.op = "grad",
              .retain = opts.retain_graph || opts.create_graph,
              .create = opts.create_graph,
              .capture = out,
              .x = x,
              .n_x = n_x,
              .allow_unused = opts.allow_unused};
    bool ok = start(&p, y, seed, n_y);
    for (int i = 0; i < n_x && ok && !opts.allow_unused; i++)
        if (!out[i]) ok = terni_fail(TERN_ERR_AUTOGRAD, "grad: y does not depend on x[%d] %s", i, terni_describe(x[i]));
    return give_results(out, n_x, ok);
}

bool tern_grad(tern_tensor *y, tern_tensor *const *x, int n, tern_tensor *seed, tern_backward_opts opts,
               tern_tensor **out) {
    for (int i = 0; out && i < n; i++) out[i] = NULL;
    return terni_given(y, "grad", "y") && tern_grads(&y, &seed, 1, x, n, opts, out);
}

bool terni_grad_edges(tern_tensor *y, tern_tensor *seed, uint32_t region, const terni_edge *edge, const bool *wanted,
                      int n, bool create, tern_tensor **out) {
    for (int i = 0; i < n; i++) out[i] = NULL;
    pass p = {.op = "grad",
              .retain = create,
              .create = create,
              .capture = out,
              .edge = edge,
              .wanted = wanted,
              .n_x = n,
              .region = region,
              .allow_unused = true};
    const bool ok = start(&p, &y, &seed, 1);
    return give_results(out, n, ok);
}
