/* Memory for time: a function whose inner tensors are not kept for the backward pass, which runs it again.
 *
 * f is recorded, so that the edges which lead out of its part of the graph (the region) are known: to the inputs, and
 * to what f uses besides. Then that part is dropped, and one node with all those edges stands for the call. The node's
 * rule records f anew and differentiates with respect to the same places; a pass that is recorded itself can so be
 * differentiated further. */
#include <string.h>

#include "casting.h"
#include "tape.h"
#include "tern/functional.h"

typedef struct recompute_opts {
    tern_fn f;
    void *user;
    int n;              /* arguments of f: the first inputs */
    terni_draws random; /* where the stream stood */
    terni_autocast_state cast;
} recompute_opts;

/* f on heads of x, recorded, in a region of its own. What is x's may not be changed in place through a head. */
static tern_tensor *record(const recompute_opts *o, tern_tensor *const *x, uint32_t *region) {
    tern_tensor *head[TERN_MAX_FN];
    for (int i = 0; i < o->n; i++) {
        head[i] = x[i] && x[i]->node ? terni_in_place_old(x[i]) : x[i];
        if (x[i] && !head[i]) return NULL;
    }
    const uint32_t outer = terni_self.region;
    terni_self.region = *region = terni_region_new();
    tern_tensor *y = o->f(head, o->n, o->user);
    terni_self.region = outer;
    if (!y && tern_ok()) return terni_null(TERN_ERR_ARGUMENT, "recompute: f returned NULL without an error");
    return tern_ok() ? y : NULL;
}

/* ---- what f uses besides its arguments -----------------------------------------------------------------------------
 */

typedef struct captures {
    const terni_node *args; /* edges to the arguments */
    terni_edge *edge;       /* not owned: the region's */
    int n, cap;
    uint32_t region;
} captures;

static bool same_place(const terni_edge *a, const terni_edge *b) { return a->node == b->node && a->out == b->out; }

static bool capture(captures *c, const terni_edge *e) {
    for (int i = 0; i < c->args->n_in; i++)
        if (same_place(&c->args->edge[i], e)) return true;
    for (int i = 0; i < c->n; i++)
        if (same_place(&c->edge[i], e)) return true;
    if (c->n == c->cap) {
        const int cap = c->cap ? 2 * c->cap : 16;
        terni_edge *more = terni_resize(c->edge, (size_t)cap * sizeof *more);
        if (!more) return false;
        c->edge = more;
        c->cap = cap;
    }
    c->edge[c->n++] = *e;
    return c->n + TERN_MAX_FN <= INT16_MAX || terni_fail(TERN_ERR_ARGUMENT, "recompute: f uses too many tensors");
}

static bool capture_from(terni_node *n, void *user) {
    captures *c = user;
    for (int i = 0; i < n->n_in; i++) {
        const terni_edge *e = &n->edge[i];
        if (e->node && e->node->region != c->region && !capture(c, e)) return false;
    }
    return true;
}

/* A node of no function, with an edge to each of x. */
static terni_node *edges_to(tern_tensor *const *x, int n) {
    terni_node *to = terni_node_new(NULL, n, NULL, 0);
    for (int i = 0; to && i < n; i++) terni_edge_set(to, i, x[i]);
    return to;
}

/* c: what y depends on outside of the region, x apart. */
static bool find_captures(captures *c, tern_tensor *y) {
    terni_node *to = edges_to(&y, 1); /* y itself may lie outside */
    if (!to) return false;
    to->region = c->region;
    const bool ok = terni_reach(to, c->region, capture_from, c);
    terni_node_release(to);
    return ok && tern_ok();
}

/* ---- the node ------------------------------------------------------------------------------------------------------
 */

static bool recompute_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const recompute_opts *o = tern_ctx_opts(ctx);
    terni_node *node = &ctx->node;
    tern_tensor *x[TERN_MAX_FN];
    for (int i = 0; i < node->n_saved; i++) { /* all of them: a leaf that f uses must not have changed either */
        tern_tensor *t = tern_ctx_saved(ctx, i);
        if (!tern_ok()) return false;
        if (i < o->n) x[i] = t;
    }
    bool *wanted = terni_alloc((size_t)node->n_in);
    if (!wanted) return false;
    for (int i = 0; i < node->n_in; i++) {
        wanted[i] = tern_ctx_needs(ctx, i);
        for (int k = 0; k < i && i < o->n; k++) /* an argument given twice gets its gradient once */
            if (same_place(&node->edge[k], &node->edge[i])) wanted[i] = false;
    }
    terni_draws random = o->random, *const was = terni_self.replay;
    terni_self.replay = &random;
    const bool create = tern_grad_mode(true);
    uint32_t region;
    const int cast = terni_autocast_again(&o->cast);
    tern_tensor *y = record(o, x, &region);
    tern_autocast_pop(cast);
    terni_self.replay = was;
    const bool ok = y && terni_grad_edges(y, gout[0], region, node->edge, wanted, node->n_in, create, gin);
    tern_grad_mode(create);
    terni_free(wanted, (size_t)node->n_in);
    return ok;
}

static const tern_function recompute = {"recompute", 1, sizeof(recompute_opts), NULL, recompute_backward, NULL};

/* y's value as the output of a node that stands for the whole call; a leaf if nothing wants a gradient. */
static tern_tensor *stand_for(const recompute_opts *o, tern_tensor *const *x, tern_tensor *y, const captures *c) {
    tern_tensor *out = terni_alias(y, terni_shape(y), y->v.strides, 0);
    if (!out || !terni_wants(y)) return out;
    terni_node *n = terni_node_new(&recompute, o->n + c->n, o, sizeof *o);
    bool ok = n != NULL;
    for (int i = 0; i < o->n && ok; i++) {
        terni_edge_set(n, i, x[i]);
        ok = terni_node_save(n, x[i]);
    }
    for (int i = 0; i < c->n && ok; i++) {
        terni_edge_copy(n, o->n + i, &c->edge[i]);
        ok = !c->edge[i].leaf || terni_node_save(n, c->edge[i].leaf);
    }
    ok = ok && terni_node_output(n, out, 0);
    if (n) terni_node_release(n);
    return ok ? out : NULL;
}

tern_tensor *tern_recompute(tern_fn f, tern_tensor *const *x, int n, void *user) {
    TERNI_NAMED("recompute");
    if (!terni_given(f ? "" : NULL, "recompute", "f") || !terni_given(x, "recompute", "x")) return NULL;
    if (n < 1 || n > TERN_MAX_FN)
        return terni_null(TERN_ERR_ARGUMENT, "recompute: %d inputs, expected 1 to %d", n, TERN_MAX_FN);
    if (!terni_recording()) return f(x, n, user);
    const recompute_opts o = {f, user, n, terni_draws_now(), terni_autocast_now()};
    const int scope = tern_scope_push();
    captures c = {.args = edges_to(x, n)};
    tern_tensor *y = c.args ? record(&o, x, &c.region) : NULL;
    y = y && find_captures(&c, y) ? stand_for(&o, x, y, &c) : NULL;
    terni_mfree(c.edge);
    if (c.args) terni_node_release((terni_node *)c.args);
    return tern_scope_return(scope, y);
}
