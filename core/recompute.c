/* Memory for time: a function whose inner tensors are not kept for the backward pass, which runs it again. One node
 * stands for the whole call; its rule records the function anew, on leaves that look at the saved inputs, and runs a
 * pass of its own over that. */
#include "internal.h"
#include "tern/functional.h"
#include "thread.h"

typedef struct recompute_opts {
    tern_fn f;
    void *user;
    tern_random random; /* where the stream stood */
} recompute_opts;

static bool recompute_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    recompute_opts *o = tern_ctx_opts(ctx);
    o->random = tern_random_get();
    for (int i = 0; i < n; i++)
        if (!tern_ctx_save(ctx, in[i])) return false;
    out[0] = o->f(in, n, o->user);
    return out[0] || !tern_ok() || terni_fail(TERN_ERR_ARGUMENT, "recompute: f returned NULL without an error");
}

/* f on leaves, recorded, drawing what it drew before. */
static tern_tensor *again(tern_ctx *ctx, tern_tensor **x, int n) {
    recompute_opts *o = tern_ctx_opts(ctx);
    for (int i = 0; i < n; i++) {
        x[i] = tern_ctx_saved(ctx, i);
        if (!tern_ok()) return NULL;
        if (!x[i] || !tern_ctx_needs(ctx, i)) continue;
        x[i] = tern_require_grad(tern_detach(x[i]), true);
        if (!x[i]) return NULL;
    }
    tern_random random = o->random, *const was = terni_self.replay;
    terni_self.replay = &random;
    tern_tensor *y = o->f(x, n, o->user);
    terni_self.replay = was;
    return y;
}

static bool recompute_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    if (terni_recording())
        return terni_fail(TERN_ERR_AUTOGRAD, "recompute: a pass under create_graph cannot go through it");
    const int n = tern_ctx_inputs(ctx);
    tern_tensor *x[TERN_MAX_FN];
    const bool was = tern_grad_mode(true);
    tern_tensor *y = again(ctx, x, n);
    const bool ok = y && tern_backward_from(y, gout[0], (tern_backward_opts){0});
    tern_grad_mode(was);
    for (int i = 0; i < n && ok; i++)
        if (x[i] && tern_ctx_needs(ctx, i)) gin[i] = tern_grad_get(x[i]);
    return ok;
}

static const tern_function recompute = {"recompute",        1,   sizeof(recompute_opts), recompute_forward,
                                        recompute_backward, NULL};

tern_tensor *tern_recompute(tern_fn f, tern_tensor *const *x, int n, void *user) {
    TERNI_NAMED("recompute");
    if (!terni_given(f ? "" : NULL, "recompute", "f") || !terni_given(x, "recompute", "x")) return NULL;
    if (n < 1 || n > TERN_MAX_FN)
        return terni_null(TERN_ERR_ARGUMENT, "recompute: %d inputs, expected 1 to %d", n, TERN_MAX_FN);
    bool wanted = false;
    for (int i = 0; i < n; i++) wanted |= x[i] && terni_wants(x[i]);
    if (!wanted || !terni_recording()) return f(x, n, user);
    tern_tensor *y = NULL;
    const recompute_opts o = {.f = f, .user = user};
    return tern_apply(&recompute, x, n, &o, &y) ? y : NULL;
}
