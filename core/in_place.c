/* Changes in place, and what autograd makes of them.
 *
 * While recording, a change of a tensor that takes part in a graph is itself recorded: the op computes its result
 * beside the target, and the target then becomes the result, storage and node. So what the graph saved of the old value
 * stays whole without a copy, and no kernel needs a second form. That is possible where nobody else looks at the
 * target's storage; views and other sharers are refused. Whoever saved the target itself finds its version changed. */
#include <string.h>

#include "tape.h"
#include "thread.h"

static bool one_place_each(const char *op, tern_tensor *t) {
    for (int i = 0; i < t->v.ndim && t->numel > 0; i++)
        if (t->v.strides[i] == 0 && t->v.shape[i] > 1)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: %s is expanded: several elements share one place", op,
                              terni_describe(t));
    return true;
}

static bool may_change(const char *op, tern_tensor *t) {
    if (t->storage->inference && !(terni_self.off & TERNI_OFF_INFERENCE))
        return terni_fail(TERN_ERR_AUTOGRAD, "%s: %s was made in inference mode and is changed in place only there", op,
                          terni_describe(t));
    return one_place_each(op, t);
}

bool terni_in_place_ok(const char *op, tern_tensor *t, tern_tensor *b) {
    if (!may_change(op, t)) return false;
    if (!terni_recording()) return true;
    const tern_tensor *w = terni_wants(t) ? t : b && terni_wants(b) ? b : NULL;
    if (!w) return true;
    return terni_fail(TERN_ERR_AUTOGRAD,
                      "%s: %s requires a gradient, and this change in place is not recorded; switch recording off with "
                      "tern_grad_mode(false)",
                      op, terni_describe(w));
}

/* "tern_add" for "add_". */
static const char *other_form(const char *op, const char *instead, char *text, size_t size) {
    size_t n = 0, k = 0;
    for (const char *from = "tern_"; *from && n + 1 < size; from++) text[n++] = *from;
    const char *name = instead ? instead : op;
    size_t length = strlen(name);
    if (!instead && length && name[length - 1] == '_') length--;
    while (k < length && n + 1 < size) text[n++] = name[k++];
    text[n] = 0;
    return text;
}

static terni_in_place refuse(const char *op, const char *instead, const tern_tensor *t, const char *why) {
    char text[64];
    terni_fail(TERN_ERR_AUTOGRAD,
               "%s: %s %s; use %s, which returns a new tensor, or switch recording off with tern_grad_mode(false)", op,
               terni_describe(t), why, other_form(op, instead, text, sizeof text));
    return TERNI_REFUSED;
}

/* Nobody but t, and what nodes saved of it, refers to its storage. */
static bool stands_alone(const tern_tensor *t) {
    return atomic_load(&t->storage->refs) - atomic_load(&t->storage->loose) == 1;
}

terni_in_place terni_in_place_begin(const char *op, const char *instead, tern_tensor *t, tern_tensor *const *b, int n) {
    if (!may_change(op, t)) return TERNI_REFUSED;
    if (!terni_recording()) return TERNI_PLAIN;
    bool wanted = terni_wants(t);
    for (int i = 0; i < n; i++) wanted |= b[i] && terni_wants(b[i]);
    if (!wanted) return TERNI_PLAIN;
    if (t->requires_grad) return refuse(op, instead, t, "is a leaf that requires a gradient");
    if (!tern_dtype_is_float(terni_dtype(t)))
        return refuse(op, instead, t, "takes no gradient, but what changes it in place requires one");
    if (t->storage->foreign) return refuse(op, instead, t, "lies in the program's own memory (tern_wrap)");
    if (!stands_alone(t))
        return refuse(op, instead, t,
                      "shares its storage with another tensor (a view or what it is a view of), so that a change in "
                      "place is not recorded");
    return TERNI_RECORDED;
}

tern_tensor *terni_in_place_old(tern_tensor *t) {
    tern_tensor *old = terni_alias(t, terni_shape(t), t->v.strides, 0);
    if (!old || !t->node) return old;
    atomic_fetch_add_explicit(&t->node->refs, 1, memory_order_relaxed);
    old->node = t->node;
    old->out_index = t->out_index;
    return old;
}

typedef struct heads {
    tern_tensor *t, *before;
} heads;

static bool let_go(terni_node *n, void *user) {
    const heads *h = user;
    for (int i = 0; i < n->n_saved; i++) {
        if (n->saved[i].t != h->t) continue;
        terni_saved_swap(&n->saved[i], h->before);
        n->saved[i].moves--; /* it counts as changed, though what it was is still there */
    }
    return atomic_load(&h->t->savers) > 0;
}

/* Where nodes that t is about to lead to have saved t itself (h += h * gate: the product has saved h), they and t would
 * keep one another alive for ever. They get another head for the old value. */
static bool cut_circles(tern_tensor *t, terni_node *node) {
    if (!node || atomic_load(&t->savers) == 0) return true;
    heads h = {t, terni_in_place_old(t)};
    return h.before && terni_reach(node, 0, let_go, &h);
}

tern_tensor *terni_in_place_end(const char *op, tern_tensor *t, tern_tensor *result) {
    if (!result || !tern_ok()) return NULL;
    if (!tern_shape_equal(terni_shape(result), terni_shape(t)))
        return terni_null(TERN_ERR_SHAPE, "%s: the result %s does not fit into %s", op, terni_describe(result),
                          terni_describe(t));
    if (result->v.dtype != t->v.dtype) result = tern_cast(result, terni_dtype(t));
    if (result && (!stands_alone(result) || result->storage->foreign || result->requires_grad))
        result = tern_clone(result);
    if (!result) return NULL;
    if (!cut_circles(t, result->node)) return NULL;
    terni_storage *const to = result->storage;
    const uint32_t old = t->storage->version;
    terni_node *const was = t->node, *const node = result->node;
    if (was && node && node->hook_next < was->hook_next) node->hook_next = was->hook_next; /* t's numbers stay apart */
    if (to->version <= old) {
        to->version = old + 1;
        for (int i = 0; node && i < node->n_saved; i++)
            if (node->saved[i].storage == to) node->saved[i].version = to->version;
    }
    if (node) atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
    t->node = node;
    t->out_index = result->out_index;
    terni_share_storage(t, result);
    if (was) terni_node_release(was);
    return t;
}

/* As in NumPy: a float may become any float, an integer any integer, and a bool anything. */
static bool holds(tern_dtype t, tern_dtype result) {
    if (tern_dtype_is_float(t) || result == TERN_BOOL) return true;
    return t != TERN_BOOL && !tern_dtype_is_float(result);
}

tern_tensor *terni_in_place_by(const char *op, tern_tensor *t, tern_tensor *const *b, int n, terni_form form,
                               const void *o) {
    if (!terni_given(t, op, "t")) return NULL;
    const terni_in_place kind = terni_in_place_begin(op, NULL, t, b, n);
    if (kind == TERNI_REFUSED) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *old = kind == TERNI_RECORDED ? terni_in_place_old(t) : t, *from[TERNI_FORM_OPERANDS], *r = NULL;
    for (int i = 0; i < n; i++) from[i] = b[i] == t ? old : b[i];
    tern_tensor *y = old ? form(old, from, o) : NULL;
    if (y && !tern_shape_equal(terni_shape(y), terni_shape(t)))
        terni_fail(TERN_ERR_SHAPE, "%s: the result %s does not fit into %s", op, terni_describe(y), terni_describe(t));
    else if (y && !holds(terni_dtype(t), terni_dtype(y)))
        terni_fail(TERN_ERR_DTYPE, "%s: %s does not hold the result %s", op, terni_describe(t), terni_describe(y));
    else if (y && kind == TERNI_RECORDED)
        r = terni_in_place_end(op, t, y);
    else if (y && (y == t || ((y = terni_as(y, terni_dtype(t))) && terni_run(TERNI_OP_copy, &y, 1, &t, 1, NULL)))) {
        terni_changed(t);
        r = t;
    }
    tern_scope_pop(scope);
    return r;
}

/* ---- a new value that does not depend on the old one: the gradient of the old is zero -----------------------------
 */

static bool overwrite_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)ctx;
    (void)n;
    out[0] = terni_new(terni_shape(in[1]), terni_dtype(in[1]), in[1]->device);
    return out[0] && terni_run(TERNI_OP_copy, &in[1], 1, &out[0], 1, NULL);
}
static bool overwrite_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    if (tern_ctx_needs(ctx, 0)) gin[0] = tern_zeros_like(gout[0]);
    gin[1] = gout[0];
    return tern_ok();
}
static const tern_function overwrite = {"overwrite", 1, 0, overwrite_forward, overwrite_backward, NULL};

tern_tensor *terni_in_place_overwrite(const char *op, tern_tensor *t, tern_tensor *value) {
    if (!value) return NULL;
    tern_tensor *const in[2] = {t, value}, *y = NULL;
    return tern_apply(&overwrite, in, 2, NULL, &y) ? terni_in_place_end(op, t, y) : NULL;
}

/* ---- inference mode ------------------------------------------------------------------------------------------------
 */

bool tern_inference_mode(bool on) {
    const bool was = terni_self.off & TERNI_OFF_INFERENCE;
    terni_self.off = (unsigned char)((terni_self.off & ~TERNI_OFF_INFERENCE) | (on ? TERNI_OFF_INFERENCE : 0));
    return was;
}
bool tern_inference_mode_get(void) { return terni_self.off & TERNI_OFF_INFERENCE; }
bool tern_is_inference(const tern_tensor *t) { return t && t->storage->inference; }
