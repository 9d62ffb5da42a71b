/* Differentiable functions: how built-in structured ops and users' own are run and recorded. */
#include <string.h>

#include "casting.h"
#include "tape.h"
#include "trace_fields.h"

static bool any_wants(tern_tensor *const *in, int n) {
    for (int i = 0; i < n; i++)
        if (in[i] && terni_wants(in[i])) return true;
    return false;
}

/* t was made since the scope was opened. */
static bool made_since(int scope, const tern_tensor *t) {
    for (int i = terni_self.scope_n - 1; i >= scope; i--)
        if (terni_self.scope[i] == t) return true;
    return false;
}

/* Ties the outputs to the node. An output that is itself an input, already recorded, or of the program's from before,
 * gets a head of its own. */
static bool finish(terni_node *node, tern_tensor *const *in, int n, tern_tensor **out, int scope) {
    for (int o = 0; o < node->n_out; o++) {
        tern_tensor *t = out[o];
        bool own = !t->node && !t->requires_grad && made_since(scope, t);
        for (int i = 0; i < n && own; i++) own = t != in[i];
        if (!own) t = out[o] = terni_alias(t, terni_shape(t), t->v.strides, 0);
        if (!t) return false;
        if (tern_dtype_is_float(terni_dtype(t)) && !terni_node_output(node, t, o)) return false;
    }
    return true;
}

static bool outputs_made(const tern_function *f, tern_tensor **out) {
    for (int o = 0; o < f->n_out; o++)
        if (!out[o]) return terni_fail(TERN_ERR_INTERNAL, "%s: forward left output %d empty", f->name, o);
    return true;
}

bool tern_apply(const tern_function *f, tern_tensor *const *in, int n, const void *opts, tern_tensor **out) {
    if (!terni_given(f, "apply", "function") || !terni_given(f->forward ? f : NULL, "apply", "forward")) return false;
    if (f->n_out < 1 || f->n_out > TERN_MAX_OUT || n < 0 || n > INT16_MAX || (n > 0 && !in) || !out)
        return terni_fail(TERN_ERR_ARGUMENT, "apply: %s with %d inputs and %d outputs", f->name ? f->name : "?", n,
                          f->n_out);
    const bool record = terni_recording() && f->backward && any_wants(in, n);
    for (int o = 0; o < f->n_out; o++) out[o] = NULL;
    terni_node *node = terni_node_new(f, n, opts, f->opts_size);
    if (!node) return false;
    node->transient = !record;
    for (int i = 0; i < n; i++) {
        if (record)
            terni_edge_set(node, i, in[i]);
        else if (in[i]) {
            node->edge[i].dtype = terni_dtype(in[i]);
            node->edge[i].shape = terni_shape(in[i]);
        }
    }
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    const int cast = terni_autocast_off();
    const bool heard = terni_listening(); /* forward may switch it */
    if (heard) terni_trace_enter();
    bool ok = f->forward((tern_ctx *)node, in, n, out) && tern_ok() && outputs_made(f, out);
    terni_autocast_on(cast);
    tern_grad_mode(was);
    if (heard) terni_trace_leave();
    if (ok && record) ok = finish(node, in, n, out, scope);
    for (int o = 0; o < f->n_out; o++) {
        if (!ok) out[o] = NULL;
        tern_keep(out[o]);
    }
    tern_scope_pop(scope);
    for (int o = 0; o < f->n_out; o++)
        if (out[o] && !terni_scope_add(out[o])) {
            out[o] = NULL;
            ok = false;
        }
    if (ok && terni_listening()) ok = terni_trace_function(f, node->opts, in, n, out);
    if (!record && ok) node->n_saved = 0;
    terni_node_release(node);
    return ok;
}

void *tern_ctx_opts(tern_ctx *ctx) { return ctx->node.opts; }
bool tern_ctx_save(tern_ctx *ctx, tern_tensor *t) { return terni_node_save(&ctx->node, t); }
int tern_ctx_inputs(tern_ctx *ctx) { return ctx->node.n_in; }
tern_shape tern_ctx_shape(tern_ctx *ctx, int i) {
    return i >= 0 && i < ctx->node.n_in ? ctx->node.edge[i].shape : tern_shape_scalar();
}
tern_dtype tern_ctx_dtype(tern_ctx *ctx, int i) {
    return i >= 0 && i < ctx->node.n_in ? ctx->node.edge[i].dtype : TERN_F32;
}

bool tern_ctx_needs(tern_ctx *ctx, int i) {
    const terni_node *n = &ctx->node;
    if (i < 0 || i >= n->n_in || !n->edge[i].node) return false;
    return n->turn.pass ? n->edge[i].node->turn.needed : true;
}

tern_tensor *tern_ctx_saved(tern_ctx *ctx, int i) {
    terni_node *n = &ctx->node;
    if (terni_self.error != TERN_OK) return NULL;
    if (i < 0 || i >= n->n_saved)
        return terni_null(TERN_ERR_AUTOGRAD, "%s: saved tensor %d of %d is asked for%s", n->fn->name, i, n->n_saved,
                          n->used ? "; the graph was used up" : "");
    terni_saved *s = &n->saved[i];
    if (!s->t) return NULL;
    if (s->t->moves != s->moves)
        return terni_null(TERN_ERR_AUTOGRAD, "%s: %s, saved for the gradient, was changed in place or assigned since",
                          n->fn->name, terni_describe(s->t));
    if (s->t->storage->version != s->version)
        return terni_null(TERN_ERR_AUTOGRAD,
                          "%s: %s, saved for the gradient, was changed in place since (version %u, now %u)",
                          n->fn->name, terni_describe(s->t), s->version, s->t->storage->version);
    if (s->output < 0 || !terni_recording()) return s->t;
    tern_tensor *t = terni_alias(s->t, terni_shape(s->t), s->t->v.strides, 0);
    if (!t) return NULL;
    atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    t->node = n;
    t->out_index = s->output;
    return t;
}
