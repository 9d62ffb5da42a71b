/* The loop over the steps of a recurrent layer as one function, so that the tape holds one node for it and the weights'
 * gradient is one product. Higher derivatives go through the same loop of public ops. */
#include "ops/rnn_step.h"
#include "trace_fields.h"

#include <string.h>

enum { A, W, B, H0, C0, LIVE, INPUTS };

typedef struct options {
    terni_rnn_step_opts k;
    bool back, keep; /* keep: the gates of all steps, for the gradient */
} options;

/* ---- of public ops ----------------------------------------------------------------------------------------------- */

terni_rnn_state terni_rnn_step(int kind, tern_tensor *a, terni_rnn_state s, tern_tensor *w_hh, tern_tensor *b_hh) {
    terni_rnn_state out = {NULL, s.c};
    tern_tensor *b = tern_linear(s.h, w_hh, b_hh), *p[4], *q[4];
    if (!a || !b) return out;
    if (kind == TERNI_RNN_GRU) {
        if (!tern_chunk(a, 3, 1, p) || !tern_chunk(b, 3, 1, q)) return out;
        tern_tensor *r = tern_sigmoid(tern_add(p[0], q[0])), *z = tern_sigmoid(tern_add(p[1], q[1]));
        tern_tensor *n = r && z ? tern_tanh(tern_add(p[2], tern_mul(r, q[2]))) : NULL;
        out.h = n ? tern_add(n, tern_mul(z, tern_sub(s.h, n))) : NULL;
        return out;
    }
    tern_tensor *sum = tern_add(a, b);
    if (kind != TERNI_RNN_LSTM) {
        out.h = !sum ? NULL : kind == TERNI_RNN_RELU ? tern_relu(sum) : tern_tanh(sum);
        return out;
    }
    if (!sum || !tern_chunk(sum, 4, 1, p)) return out;
    out.c = tern_add(tern_mul(tern_sigmoid(p[1]), s.c), tern_mul(tern_sigmoid(p[0]), tern_tanh(p[2])));
    out.h = out.c ? tern_mul(tern_sigmoid(p[3]), tern_tanh(out.c)) : NULL;
    return out;
}

/* project: w_hr of a projected state, or NULL. */
static tern_tensor *by_steps(const options *o, tern_tensor *const *in, tern_tensor *project, terni_rnn_state *s) {
    const int64_t steps = in[A]->v.shape[0];
    tern_tensor **out = terni_malloc((size_t)steps * sizeof(tern_tensor *)), *y = NULL;
    tern_tensor *zero = tern_scalar(0, (tern_options){terni_dtype(in[A]), in[A]->device});
    bool good = out && zero;
    for (int64_t i = 0; good && i < steps; i++) {
        const int64_t t = o->back ? steps - 1 - i : i;
        terni_rnn_state n = terni_rnn_step(o->k.kind, tern_select(in[A], 0, t), *s, in[W], in[B]);
        if (project && n.h) n.h = tern_linear(n.h, project, NULL);
        tern_tensor *m = in[LIVE] && n.h ? tern_select(in[LIVE], 0, t) : NULL;
        out[t] = m ? tern_where(m, n.h, zero) : n.h;
        if (m) n = (terni_rnn_state){tern_where(m, n.h, s->h), s->c ? tern_where(m, n.c, s->c) : NULL};
        *s = n;
        good = out[t] && n.h && tern_ok();
    }
    if (good) y = tern_stack(out, (int)steps, 0);
    terni_mfree(out);
    return y;
}

/* ---- in one node ------------------------------------------------------------------------------------------------- */

/* Element i along the first dimension of t; shape and strides of the rest. NULL of NULL. */
typedef struct slot {
    terni_view v;
} slot;
static const terni_view *slot_of(slot *s, const tern_tensor *t, int64_t i) {
    if (!t) return NULL;
    s->v = t->v;
    s->v.ndim--;
    memmove(s->v.shape, t->v.shape + 1, (size_t)s->v.ndim * sizeof *s->v.shape);
    memmove(s->v.strides, t->v.strides + 1, (size_t)s->v.ndim * sizeof *s->v.strides);
    s->v.data = (char *)t->v.data + (size_t)(i * t->v.strides[0]) * tern_dtype_size(terni_dtype(t));
    return &s->v;
}

/* States before (next = 0) and after step t among steps + 1 slots. */
static int64_t slot_at(bool back, int64_t t, int next) { return back ? t + !next : t + next; }

static bool copy_into(tern_tensor *all, int64_t i, tern_tensor *one) {
    slot s;
    const terni_view *from = &one->v, *to = slot_of(&s, all, i);
    return terni_run_views(TERNI_OP_copy, all->device, &from, 1, &to, 1, NULL);
}
static tern_tensor *copy_of(tern_tensor *all, int64_t i) {
    slot s;
    const terni_view *from = slot_of(&s, all, i);
    tern_tensor *one = terni_new(tern_shape_of(2, all->v.shape + 1), terni_dtype(all), all->device);
    const terni_view *to = one ? &one->v : NULL;
    return one && terni_run_views(TERNI_OP_copy, all->device, &from, 1, &to, 1, NULL) ? one : NULL;
}

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    const options *o = tern_ctx_opts(ctx);
    const bool lstm = o->k.kind == TERNI_RNN_LSTM, gru = o->k.kind == TERNI_RNN_GRU;
    tern_tensor *a = terni_dense(in[A]), *w = terni_dense(in[W]), *live = in[LIVE] ? terni_dense(in[LIVE]) : NULL;
    tern_tensor *bias = in[B] ? terni_dense(in[B]) : NULL;
    if (!a || !w || (in[LIVE] && !live) || (in[B] && !bias)) return false;
    const int64_t steps = a->v.shape[0], rows = a->v.shape[1], h = w->v.shape[1];
    const tern_dtype dtype = terni_dtype(a);
    tern_tensor *hs = terni_new((tern_shape){3, {steps + 1, rows, h}}, dtype, a->device), *cs = NULL, *gates = NULL;
    if (lstm) cs = terni_new((tern_shape){3, {steps + 1, rows, h}}, dtype, a->device);
    if (lstm || gru) gates = terni_new((tern_shape){3, {o->keep ? steps : 1, rows, 4 * h}}, dtype, a->device);
    tern_tensor *b = terni_new((tern_shape){2, {rows, w->v.shape[0]}}, dtype, a->device);
    out[0] = terni_new((tern_shape){3, {steps, rows, h}}, dtype, a->device);
    if (!tern_ok() || !copy_into(hs, slot_at(o->back, o->back ? steps - 1 : 0, 0), in[H0]) ||
        (lstm && !copy_into(cs, slot_at(o->back, o->back ? steps - 1 : 0, 0), in[C0])))
        return false;
    terni_view wt = w->v; /* transposed */
    for (int i = 0; i < 2; i++) {
        wt.shape[i] = w->v.shape[1 - i];
        wt.strides[i] = w->v.strides[1 - i];
    }
    for (int64_t i = 0; i < steps; i++) {
        const int64_t t = o->back ? steps - 1 - i : i, was = slot_at(o->back, t, 0), is = slot_at(o->back, t, 1);
        slot s[8];
        const terni_view *to = &b->v, *h0 = slot_of(&s[0], hs, was);
        const terni_view *product[3] = {h0, &wt, bias ? &bias->v : NULL};
        const terni_view *step[5] = {slot_of(&s[1], a, t), to, h0, slot_of(&s[2], cs, was), slot_of(&s[3], live, t)};
        const terni_view *made[4] = {slot_of(&s[4], hs, is), slot_of(&s[5], out[0], t), slot_of(&s[6], cs, is),
                                     slot_of(&s[7], gates, o->keep ? t : 0)};
        if (!terni_run_views(TERNI_OP_matmul, a->device, product, 3, &to, 1, NULL) ||
            !terni_run_views(TERNI_OP_rnn_step, a->device, step, 5, made, 4, &o->k))
            return false;
    }
    const int64_t last = slot_at(o->back, o->back ? 0 : steps - 1, 1);
    out[1] = copy_of(hs, last);
    if (lstm) out[2] = copy_of(cs, last);
    for (int i = 0; i < n; i++)
        if (!tern_ctx_save(ctx, in[i])) return false;
    return tern_ok() && tern_ctx_save(ctx, hs) && tern_ctx_save(ctx, cs) && tern_ctx_save(ctx, gates);
}

static bool anew(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor *const *saved, int n_in,
                 terni_rnn_composition compose, bool record, tern_tensor **grad_in) {
    tern_tensor *in[TERNI_RNN_INPUTS], *wanted[TERNI_RNN_INPUTS], *got[TERNI_RNN_INPUTS], *total = NULL;
    tern_tensor *made[3] = {NULL, NULL, NULL};
    int place[TERNI_RNN_INPUTS], n = 0;
    for (int i = 0; i < n_in; i++) {
        in[i] = saved[i];
        if (!saved[i] || !tern_ctx_needs(ctx, i)) continue;
        in[i] = record ? tern_positive(saved[i]) : tern_require_grad(tern_detach(saved[i]), true); /* its own place */
        place[n] = i;
        wanted[n++] = in[i];
    }
    if (!tern_ok() || !compose(tern_ctx_opts(ctx), in, made)) return false;
    for (int i = 0; i < 3; i++) {
        if (!made[i] || !grad[i]) continue;
        tern_tensor *part = tern_sum(tern_mul(made[i], grad[i]), NULL, 0, false);
        total = total ? tern_add(total, part) : part;
    }
    if (!total ||
        !tern_grad(total, wanted, n, NULL, (tern_backward_opts){.create_graph = record, .allow_unused = true}, got))
        return false;
    for (int i = 0; i < n; i++) grad_in[place[i]] = got[i];
    return true;
}

bool terni_rnn_composed(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor *const *saved, int n_in,
                        terni_rnn_composition compose, tern_tensor **grad_in) {
    const bool was = tern_grad_mode(true), ok = anew(ctx, grad, saved, n_in, compose, was, grad_in);
    tern_grad_mode(was);
    return ok;
}

static bool composed(const void *opts, tern_tensor *const *in, tern_tensor **out) {
    terni_rnn_state s = {in[H0], in[C0]};
    out[0] = by_steps(opts, in, NULL, &s);
    out[1] = s.h;
    out[2] = s.c;
    return out[0] != NULL;
}

static bool fused(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor *const *saved, tern_tensor **grad_in) {
    const options *o = tern_ctx_opts(ctx);
    const bool lstm = o->k.kind == TERNI_RNN_LSTM, gru = o->k.kind == TERNI_RNN_GRU;
    tern_tensor *hs = tern_ctx_saved(ctx, INPUTS), *cs = tern_ctx_saved(ctx, INPUTS + 1);
    tern_tensor *gates = tern_ctx_saved(ctx, INPUTS + 2), *w = terni_dense(saved[W]);
    tern_tensor *live = saved[LIVE] ? terni_dense(saved[LIVE]) : NULL, *gy = grad[0] ? terni_dense(grad[0]) : NULL;
    if (!hs || !w || !tern_ok()) return false;
    const tern_dtype dtype = terni_dtype(hs);
    const int64_t steps = hs->v.shape[0] - 1, rows = hs->v.shape[1], h = hs->v.shape[2], wide = w->v.shape[0];
    const tern_shape state = {2, {rows, h}}, all = {3, {steps, rows, wide}};
    tern_tensor *ga = terni_new(all, dtype, hs->device), *gb = gru ? terni_new(all, dtype, hs->device) : NULL;
    tern_tensor *gh = grad[1] ? terni_dense(grad[1]) : NULL, *gc = lstm && grad[2] ? terni_dense(grad[2]) : NULL;
    tern_tensor *through = terni_new(state, dtype, hs->device),
                *to_gc = lstm ? terni_new(state, dtype, hs->device) : NULL;
    tern_tensor *past = gru || live ? terni_new(state, dtype, hs->device) : NULL;
    if (!tern_ok()) return false;
    for (int64_t i = 0; i < steps; i++) {
        const int64_t t = o->back ? i : steps - 1 - i, was = slot_at(o->back, t, 0), is = slot_at(o->back, t, 1);
        slot s[9];
        const terni_view *in[10] = {slot_of(&s[0], gy, t),   gh ? &gh->v : NULL,       i && past ? &past->v : NULL,
                                    gc ? &gc->v : NULL,      slot_of(&s[1], gates, t), slot_of(&s[2], hs, is),
                                    slot_of(&s[3], hs, was), slot_of(&s[4], cs, is),   slot_of(&s[5], cs, was),
                                    slot_of(&s[6], live, t)};
        const terni_view *out[4] = {slot_of(&s[7], ga, t), slot_of(&s[8], gb, t), past ? &past->v : NULL,
                                    lstm ? &to_gc->v : NULL};
        const terni_view *product[3] = {out[gru], &w->v, NULL}, *to = &through->v;
        if (!terni_run_views(TERNI_OP_rnn_step_grad, hs->device, in, 10, out, 4, &o->k) ||
            !terni_run_views(TERNI_OP_matmul, hs->device, product, 3, &to, 1, NULL))
            return false;
        gh = through;
        gc = to_gc;
    }
    tern_tensor *flat = tern_reshape(gru ? gb : ga, TERN_SHAPE(steps * rows, wide));
    if (tern_ctx_needs(ctx, A)) grad_in[A] = ga;
    if (tern_ctx_needs(ctx, W)) {
        tern_tensor *before = tern_reshape(tern_slice(hs, 0, o->back, steps + o->back, 1), TERN_SHAPE(steps * rows, h));
        grad_in[W] = tern_matmul(tern_transpose(flat, 0, 1), before);
    }
    if (tern_ctx_needs(ctx, B)) grad_in[B] = tern_sum(flat, (const int[]){0}, 1, false);
    if (tern_ctx_needs(ctx, H0)) grad_in[H0] = past ? tern_add(through, past) : through;
    if (lstm && tern_ctx_needs(ctx, C0)) grad_in[C0] = to_gc;
    return tern_ok();
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *saved[INPUTS];
    for (int i = 0; i < INPUTS; i++) saved[i] = tern_ctx_saved(ctx, i);
    if (!tern_ok()) return false;
    return terni_recording() ? terni_rnn_composed(ctx, grad, saved, INPUTS, composed, grad_in)
                             : fused(ctx, grad, saved, grad_in);
}

static const tern_function function = {"recurrence", 2, sizeof(options), forward, backward, NULL};
static const tern_function with_cells = {"recurrence", 3, sizeof(options), forward, backward, NULL};
TERNI_TRACED(recurrence, function, TERNI_FIELD(options, "kind", k.kind), TERNI_FIELD(options, "back", back));
TERNI_TRACED(recurrence_cells, with_cells, TERNI_FIELD(options, "kind", k.kind), TERNI_FIELD(options, "back", back));

tern_tensor *terni_recurrence_projected(bool back, tern_tensor *a, terni_rnn_state *s, tern_tensor *w_hh,
                                        tern_tensor *b_hh, tern_tensor *w_hr, tern_tensor *live) {
    const options o = {{TERNI_RNN_LSTM}, back, false};
    return by_steps(&o, (tern_tensor *const[INPUTS]){a, w_hh, b_hh, s->h, s->c, live}, w_hr, s);
}

tern_tensor *terni_recurrence(int kind, bool back, tern_tensor *a, terni_rnn_state *s, tern_tensor *w_hh,
                              tern_tensor *b_hh, tern_tensor *live) {
    const bool lstm = kind == TERNI_RNN_LSTM;
    tern_tensor *const in[INPUTS] = {a, w_hh, b_hh, s->h, lstm ? s->c : NULL, live};
    options o = {{kind}, back, false};
    for (int i = 0; i < INPUTS; i++) o.keep |= in[i] && terni_wants(in[i]);
    o.keep &= terni_recording();
    tern_tensor *out[3] = {NULL, NULL, NULL};
    if (!tern_apply(lstm ? &with_cells : &function, in, INPUTS, &o, out)) return NULL;
    *s = (terni_rnn_state){out[1], out[2]};
    return out[0];
}
