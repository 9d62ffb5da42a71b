/* ONNX export: recurrent layers. The trace has a layer's direction as a product of all steps' inputs with w_ih (an op
 * "linear" between two reshapes) and the loop over w_hh ("recurrence"); ONNX has both in one op. Where the product is
 * not found in front of the loop, the loop gets an identity matrix in w_ih's place. */
#include <string.h>

#include "onnx_internal.h"

enum { A, W, B, H0, C0, LIVE }; /* the recurrence's inputs (core/ops/rnn_step.c) */
enum { TANH, RELU, LSTM, GRU }; /* its "kind" (core/contracts/recurrent.h) */

static terni_value op1(terni_onnx *g, const char *op, terni_value a, const int64_t axis) {
    return terni_onnx_op(g, op, TERNI_IN(a, terni_onnx_ints(g, &axis, 1)), TERNI_PLAIN);
}

/* The op that made t, before the given one. */
static bool maker(const terni_step *s, const tern_tensor *t, const char *name, tern_traced *op) {
    for (int64_t i = s->at - 1; i >= 0; i--) {
        if (!tern_tracer_at(s->trace, i, op)) return false;
        for (int o = 0; o < op->n_out; o++)
            if (op->out[o] == t) return strcmp(op->op, name) == 0;
    }
    return false;
}

/* Gates of [gates H, ...] in ONNX's order: an lstm's i, o, f, c; a gru's z, r, h. */
static terni_value reordered(terni_onnx *g, int64_t kind, terni_value v, int64_t h) {
    static const int lstm[4] = {0, 3, 1, 2}, gru[3] = {1, 0, 2};
    if (kind != LSTM && kind != GRU) return v;
    const int n = kind == LSTM ? 4 : 3;
    const int64_t axis = 0;
    terni_value part[4];
    for (int i = 0; i < n; i++) {
        const int64_t from = (kind == LSTM ? lstm[i] : gru[i]) * h, to = from + h;
        part[i] = terni_onnx_op(
            g, "Slice",
            TERNI_IN(v, terni_onnx_ints(g, &from, 1), terni_onnx_ints(g, &to, 1), terni_onnx_ints(g, &axis, 1)),
            TERNI_PLAIN);
    }
    return terni_onnx_op(g, "Concat", part, n, TERNI_WITH(TERNI_A_INT("axis", 0)));
}

typedef struct layer {
    terni_value x, w, bias; /* bias: of w, [gates H] */
} layer;

static terni_value zeros(terni_onnx *g, int64_t n, tern_dtype dtype) {
    return terni_onnx_constant(g, tern_zeros(TERN_SHAPE(n), (tern_options){.dtype = dtype}));
}

static layer layer_of(terni_onnx *g, const terni_step *s, int64_t wide, tern_dtype dtype) {
    tern_traced after, linear, before;
    layer l;
    if (maker(s, s->op->in[A], "reshape", &after) && maker(s, after.in[0], "linear", &linear) &&
        maker(s, linear.in[0], "reshape", &before) && tern_ndim(before.in[0]) == 3 &&
        tern_size(before.in[0], 0) == tern_size(s->op->in[A], 0) &&
        tern_size(before.in[0], 1) == tern_size(s->op->in[A], 1)) {
        l.x = terni_onnx_value(g, before.in[0]);
        l.w = terni_onnx_value(g, linear.in[1]);
        l.bias = linear.in[2] ? terni_onnx_value(g, linear.in[2]) : zeros(g, wide, dtype);
        return l;
    }
    l.x = terni_onnx_value(g, s->op->in[A]);
    l.w = terni_onnx_constant(g, tern_eye(wide, wide, (tern_options){.dtype = dtype}));
    l.bias = zeros(g, wide, dtype);
    return l;
}

static bool recurrence(terni_onnx *g, const terni_step *s) {
    static const char *const names[] = {"RNN", "RNN", "LSTM", "GRU"};
    const int64_t kind = terni_onnx_setting(s, "kind"), back = terni_onnx_setting(s, "back");
    tern_tensor *w_hh = s->op->in[W];
    const int64_t wide = tern_size(w_hh, 0), h = tern_size(w_hh, 1);
    const tern_dtype dtype = tern_dtype_of(w_hh);
    if (s->op->in[LIVE]) return terni_onnx_refuse(s, "sequences of several lengths");
    if (kind < 0 || kind > GRU) return terni_onnx_refuse(s, "kind %lld", (long long)kind);
    const layer l = layer_of(g, s, wide, dtype);
    terni_value w = op1(g, "Unsqueeze", reordered(g, kind, l.w, h), 0);
    terni_value r = op1(g, "Unsqueeze", reordered(g, kind, terni_onnx_value(g, w_hh), h), 0);
    terni_value hidden = s->op->in[B] ? terni_onnx_value(g, s->op->in[B]) : zeros(g, wide, dtype);
    terni_value b = terni_onnx_op(g, "Concat", TERNI_IN(reordered(g, kind, l.bias, h), reordered(g, kind, hidden, h)),
                                  TERNI_WITH(TERNI_A_INT("axis", 0)));
    b = op1(g, "Unsqueeze", b, 0);
    terni_value h0 = op1(g, "Unsqueeze", terni_onnx_value(g, s->op->in[H0]), 0);
    terni_value c0 = kind == LSTM ? op1(g, "Unsqueeze", terni_onnx_value(g, s->op->in[C0]), 0) : "";
    terni_attribute with[4] = {TERNI_A_INT("hidden_size", h), TERNI_A_TEXT("direction", back ? "reverse" : "forward")};
    int n_with = 2;
    static const char relu[] = "Relu";
    if (kind == GRU) with[n_with++] = (terni_attribute)TERNI_A_INT("linear_before_reset", 1);
    if (kind == RELU) with[n_with++] = (terni_attribute){.name = "activations", .kind = 'S', .s = relu};
    terni_value made[3];
    const int n_out = kind == LSTM ? 3 : 2;
    if (!terni_onnx_ops(g, names[kind], TERNI_IN(l.x, w, r, b, "", h0, c0), with, n_with, n_out, made)) return false;
    bool ok = terni_onnx_bind(g, s->op->out[0], op1(g, "Squeeze", made[0], 1));
    for (int i = 1; ok && i < n_out; i++) ok = terni_onnx_bind(g, s->op->out[i], op1(g, "Squeeze", made[i], 0));
    return ok;
}

terni_onnx_row terni_onnx_recurrent(const char *op) { return strcmp(op, "recurrence") == 0 ? recurrence : NULL; }
