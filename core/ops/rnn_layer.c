/* A recurrent layer as one node, by the backend's row for whole layers. Higher derivatives go step by step. */
#include <string.h>

#include "ops/normalise.h"
#include "ops/rnn_step.h"
#include "trace_fields.h"

enum { X, H0, C0, FIRST = TERNI_RNN_FORWARD_FIRST, BEFORE = TERNI_RNN_BACKWARD_FIRST - FIRST };
_Static_assert(FIRST + 8 == TERNI_RNN_INPUTS, "two directions");

static int inputs_of(const terni_rnn_layer_opts *o) { return FIRST + 4 * o->dirs; }

/* Views of the inputs: all but the weights contiguous. */
static bool views_of(const terni_rnn_layer_opts *o, tern_tensor *const *in, const terni_view **v) {
    for (int i = 0; i < inputs_of(o); i++) {
        tern_tensor *t = in[i] && i < FIRST ? terni_dense(in[i]) : in[i];
        if (in[i] && !t) return false;
        v[i] = t ? &t->v : NULL;
    }
    return true;
}

/* Asks for the reserve's bytes; -1 if the backend cannot. */
static bool ask(const terni_rnn_layer_opts *o, tern_tensor *const *in, int64_t *bytes) {
    const terni_view *v[TERNI_RNN_INPUTS];
    terni_rnn_layer_opts asking = *o;
    asking.ask = bytes;
    for (int i = 0; i < inputs_of(o); i++) v[i] = in[i] ? &in[i]->v : NULL;
    return terni_run_views(TERNI_OP_rnn_layer, in[X]->device, v, inputs_of(o), NULL, 0, &asking);
}

typedef struct options {
    terni_rnn_layer_opts k;
    int64_t bytes; /* the reserve's */
} options;

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *x = in[X], *reserve = NULL;
    const tern_dtype dtype = terni_dtype(x);
    const int64_t rows = x->v.shape[1], h = in[FIRST + 1]->v.shape[1];
    const terni_view *v[TERNI_RNN_INPUTS], *made[4];
    out[0] = terni_new((tern_shape){3, {x->v.shape[0], rows, o->k.dirs * h}}, dtype, x->device);
    out[1] = terni_new((tern_shape){3, {o->k.dirs, rows, h}}, dtype, x->device);
    if (o->k.kind == TERNI_RNN_LSTM) out[2] = terni_new((tern_shape){3, {o->k.dirs, rows, h}}, dtype, x->device);
    if (o->k.keep) reserve = terni_new((tern_shape){1, {o->bytes}}, TERN_U8, x->device);
    if (!tern_ok() || !views_of(&o->k, in, v)) return false;
    for (int i = 0; i < 3; i++) made[i] = i < 2 || o->k.kind == TERNI_RNN_LSTM ? &out[i]->v : NULL;
    made[3] = reserve ? &reserve->v : NULL;
    if (!terni_run_views(TERNI_OP_rnn_layer, x->device, v, n, made, 4, &o->k)) return false;
    for (int i = 0; i < n; i++)
        if (!tern_ctx_save(ctx, in[i])) return false;
    return tern_ctx_save(ctx, out[0]) && tern_ctx_save(ctx, reserve);
}

static bool composed(const void *opts, tern_tensor *const *in, tern_tensor **out) {
    const options *o = opts;
    const terni_rnn_state first = {in[H0], in[C0]};
    terni_rnn_state ends[2];
    out[0] = terni_rnn_by_steps(o->k.kind, false, o->k.dirs, in[X], &first, 0, in + FIRST, NULL, ends);
    if (!out[0]) return false;
    for (int i = 0; i < (o->k.kind == TERNI_RNN_LSTM ? 2 : 1); i++) {
        tern_tensor *list[2];
        for (int d = 0; d < o->k.dirs; d++) list[d] = i ? ends[d].c : ends[d].h;
        out[1 + i] = tern_stack(list, o->k.dirs, 0);
    }
    return tern_ok();
}

static bool whole(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor *const *saved, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    const int n = inputs_of(&o->k);
    const terni_view *in[BEFORE + TERNI_RNN_INPUTS] = {NULL}, *out[TERNI_RNN_INPUTS];
    for (int i = 0; i < (o->k.kind == TERNI_RNN_LSTM ? 3 : 2); i++) {
        tern_tensor *g = grad[i] ? terni_dense(grad[i]) : NULL;
        in[i] = g ? &g->v : NULL;
    }
    in[3] = &saved[n]->v;
    in[4] = &saved[n + 1]->v;
    if (!tern_ok() || !views_of(&o->k, saved, in + BEFORE)) return false;
    for (int i = 0; i < n; i++) {
        if (tern_ctx_needs(ctx, i))
            grad_in[i] = terni_new(tern_ctx_shape(ctx, i), tern_ctx_dtype(ctx, i), saved[X]->device);
        out[i] = grad_in[i] ? &grad_in[i]->v : NULL;
    }
    return tern_ok() && terni_run_views(TERNI_OP_rnn_layer_grad, saved[X]->device, in, BEFORE + n, out, n, &o->k);
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    const int n = inputs_of(&o->k);
    tern_tensor *saved[TERNI_RNN_INPUTS + 2];
    for (int i = 0; i < n + 2; i++) saved[i] = tern_ctx_saved(ctx, i);
    if (!tern_ok()) return false;
    const bool repeats = o->k.same || !tern_deterministic_get(); /* the program may have asked since the forward */
    if (repeats && !terni_recording()) return whole(ctx, grad, saved, grad_in);
    tern_tensor *const given[3] = {grad[0], grad[1], o->k.kind == TERNI_RNN_LSTM ? grad[2] : NULL};
    return terni_rnn_composed(ctx, given, saved, n, composed, grad_in);
}

static const tern_function function = {"rnn_layer", 2, sizeof(options), forward, backward, NULL};
static const tern_function with_cells = {"rnn_layer", 3, sizeof(options), forward, backward, NULL};

bool terni_rnn_layer(int kind, int dirs, tern_tensor *x, tern_dtype dtype, const terni_rnn_state *first, int at,
                     tern_tensor *const *w, bool *done, tern_tensor **out) {
    const terni_backend *b = terni_backend_of(x->device);
    *done = false;
    if (!b) return false;
    if (!b->op[TERNI_OP_rnn_layer] || terni_tracing()) return true; /* traces list the loop over the steps */
    tern_tensor *in[TERNI_RNN_INPUTS] = {tern_cast(x, dtype)};
    in[H0] = first->h ? tern_slice(first->h, 0, at, at + dirs, 1) : NULL;
    in[C0] = first->c ? tern_slice(first->c, 0, at, at + dirs, 1) : NULL;
    memcpy(in + FIRST, w, (size_t)(4 * dirs) * sizeof *in);
    if (!tern_ok()) return false;
    options o = {.k = {.kind = kind, .dirs = dirs, .tf32 = tern_allow_tf32_get(), .same = tern_deterministic_get()}};
    const int n = inputs_of(&o.k);
    for (int i = 0; i < n; i++) o.k.keep |= in[i] && terni_wants(in[i]);
    o.k.keep &= terni_recording();
    if (!ask(&o.k, in, &o.bytes)) return false;
    if (o.bytes < 0) return true;
    *done = true;
    return tern_apply(kind == TERNI_RNN_LSTM ? &with_cells : &function, in, n, &o, out);
}
