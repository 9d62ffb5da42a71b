/* rnn, gru, lstm and their cells: y, the final states and their gradients. */
#include "../sweep.h"

/* Inputs x, h0, c0, the weights one after another; arg: layers, directions, batch_first, relu, H, bias, lengths;
 * without lengths, arg[9] for y alone, as benchmarks have it. */
static tern_tensor *call(tern_tensor *const *in, const sweep_case *c, int gates) {
    const int64_t h = c->arg[4], d = c->arg[1], wide = tern_size(in[0], 2);
    const int n = (int)(4 * c->arg[0] * d);
    tern_tensor *w[16] = {NULL}, *hn = NULL, *cn = NULL;
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        const int64_t rows = gates * h, cols = i % 4 == 0 ? (i < 4 * d ? wide : d * h) : i % 4 == 1 ? h : 1;
        if (i % 4 > 1 && !c->arg[5]) continue;
        tern_tensor *flat = tern_slice(in[3], 0, at, at + rows * cols, 1);
        w[i] = i % 4 > 1 ? flat : tern_reshape(flat, TERN_SHAPE(rows, cols));
        at += rows * cols;
    }
    const tern_rnn_opts o = {.layers = c->arg[0],
                             .bidirectional = d == 2,
                             .batch_first = c->arg[2] != 0,
                             .relu = c->arg[3] != 0,
                             .lengths = c->arg[6] ? c->arg + 7 : NULL};
    tern_tensor *y = gates == 4   ? tern_lstm(in[0], in[1], in[2], w, n, o, &hn, &cn)
                     : gates == 3 ? tern_gru(in[0], in[1], w, n, o, &hn)
                                  : tern_rnn(in[0], in[1], w, n, o, &hn);
    if (!y || (c->arg[9] && !c->arg[6])) return y;
    tern_tensor *all[3] = {tern_flatten(y, 0, -1), tern_flatten(hn, 0, -1), cn ? tern_flatten(cn, 0, -1) : NULL};
    return tern_cat(all, cn ? 3 : 2, 0);
}
static tern_tensor *call_rnn(tern_tensor *const *in, const sweep_case *c) { return call(in, c, 1); }
static tern_tensor *call_gru(tern_tensor *const *in, const sweep_case *c) { return call(in, c, 3); }
static tern_tensor *call_lstm(tern_tensor *const *in, const sweep_case *c) { return call(in, c, 4); }

static double sigma(double v) { return 1 / (1 + exp(-v)); }
static void reference(const array *in, const sweep_case *c, array *out, int gates) {
    enum { MOST = 64 };
    const bool first = c->arg[2] != 0;
    const int64_t *s = in[0].shape.dim, layers = c->arg[0], dirs = c->arg[1], h = c->arg[4];
    const int64_t steps = s[first], n = s[!first];
    const int64_t ny = steps * n * dirs * h, ns = layers * dirs * n * h;
    array_make(out, ny + ns * (gates == 4 ? 2 : 1));
    double x[MOST * 8] = {0}, y[MOST * 8], *w = in[3].v;
    int64_t wide = s[2];
    for (int64_t t = 0; t < steps; t++)
        for (int64_t b = 0; b < n; b++)
            for (int64_t i = 0; i < wide; i++)
                x[(t * n + b) * wide + i] = in[0].v[(first ? b * steps + t : t * n + b) * wide + i];
    for (int64_t l = 0; l < layers; l++) {
        memset(y, 0, sizeof y);
        for (int64_t d = 0; d < dirs; d++) {
            const double *wi = w, *wh = wi + gates * h * wide, *bi = wh + gates * h * h, *bh = bi + gates * h;
            w += gates * h * (wide + h + (c->arg[5] ? 2 : 0));
            for (int64_t b = 0; b < n; b++) {
                const int64_t len = c->arg[6] ? c->arg[7 + b] : steps, at = ((l * dirs + d) * n + b) * h;
                double now[8], cell[8], a[32], r[32];
                for (int64_t i = 0; i < h; i++) now[i] = in[1].v ? in[1].v[at + i] : 0;
                for (int64_t i = 0; i < h; i++) cell[i] = gates == 4 && in[2].v ? in[2].v[at + i] : 0;
                for (int64_t k = 0; k < len; k++) {
                    const int64_t t = d ? len - 1 - k : k;
                    for (int64_t g = 0; g < gates * h; g++) {
                        a[g] = c->arg[5] ? bi[g] : 0;
                        r[g] = c->arg[5] ? bh[g] : 0;
                        for (int64_t i = 0; i < wide; i++) a[g] += wi[g * wide + i] * x[(t * n + b) * wide + i];
                        for (int64_t i = 0; i < h; i++) r[g] += wh[g * h + i] * now[i];
                    }
                    for (int64_t i = 0; i < h; i++) {
                        if (gates == 1) {
                            now[i] = c->arg[3] ? fmax(a[i] + r[i], 0) : tanh(a[i] + r[i]);
                        } else if (gates == 3) {
                            const double z = sigma(a[h + i] + r[h + i]);
                            const double m = tanh(a[2 * h + i] + sigma(a[i] + r[i]) * r[2 * h + i]);
                            now[i] = (1 - z) * m + z * now[i];
                        } else {
                            cell[i] = sigma(a[h + i] + r[h + i]) * cell[i] +
                                      sigma(a[i] + r[i]) * tanh(a[2 * h + i] + r[2 * h + i]);
                            now[i] = sigma(a[3 * h + i] + r[3 * h + i]) * tanh(cell[i]);
                        }
                        y[((t * n + b) * dirs + d) * h + i] = now[i];
                    }
                }
                for (int64_t i = 0; i < h; i++) {
                    out->v[ny + at + i] = now[i];
                    if (gates == 4) out->v[ny + ns + at + i] = cell[i];
                }
            }
        }
        wide = dirs * h;
        memcpy(x, y, sizeof x);
    }
    for (int64_t t = 0; t < steps; t++)
        for (int64_t b = 0; b < n; b++)
            for (int64_t i = 0; i < wide; i++)
                out->v[(first ? b * steps + t : t * n + b) * wide + i] = x[(t * n + b) * wide + i];
}
static void ref_rnn(const array *in, const sweep_case *c, array *out) { reference(in, c, out, 1); }
static void ref_gru(const array *in, const sweep_case *c, array *out) { reference(in, c, out, 3); }
static void ref_lstm(const array *in, const sweep_case *c, array *out) { reference(in, c, out, 4); }

/* gates G, H 2, input 3: one direction has G 2 (3 + 2 + 2) weights, one of a second layer of two G 2 (4 + 2 + 2). */
#define ROWS(G)                                                                                                 \
    {"plain", {REAL(3, 2, 3), REAL(1, 2, 2), REAL(1, 2, 2), RANGE(-1, 1, (G)*14)}, .arg = {1, 1, 0, 0, 2, 1}},  \
        {"no states, no biases", {REAL(3, 2, 3), NONE, NONE, RANGE(-1, 1, (G)*10)}, .arg = {1, 1, 0, 0, 2, 0}}, \
        {"two layers, both ways, lengths",                                                                      \
         {REAL(3, 3, 3), REAL(4, 3, 2), REAL(4, 3, 2), RANGE(-1, 1, (G)*60)},                                   \
         .arg = {2, 2, 1, 0, 2, 1, 3, 2, 3, 0}},                                                                \
        {"two layers, both ways",                                                                               \
         {REAL(2, 3, 3), REAL(4, 2, 2), REAL(4, 2, 2), RANGE(-1, 1, (G)*60)},                                   \
         .arg = {2, 2, 1, 0, 2, 1},                                                                             \
         .loosen = 4},                                                                                          \
        {"lengths", {REAL(3, 2, 3), NONE, NONE, RANGE(-1, 1, (G)*14)}, .arg = {1, 1, 0, 0, 2, 1, 2, 1, 3}}, {   \
        "no steps", {REAL(0, 2, 3), REAL(1, 2, 2), REAL(1, 2, 2), REAL((G)*14)}, .arg = { 1, 1, 0, 0, 2, 1 }    \
    }
#define BAD(op)                                                                                                      \
    {"length",                                                                                                       \
     {REAL(3, 2, 3), NONE, NONE, REAL(120)},                                                                         \
     .arg = {1, 1, 0, 0, 2, 1, 2, 4, 3},                                                                             \
     .code = TERN_ERR_ARGUMENT,                                                                                      \
     .text = op},                                                                                                    \
    {                                                                                                                \
        "state", {REAL(3, 2, 3), REAL(2, 2, 2), NONE, REAL(120)}, .arg = {1, 1, 0, 0, 2, 1}, .code = TERN_ERR_SHAPE, \
                                                                  .text = op                                         \
    }
static const sweep_case rnns[] = {
    ROWS(1),
    {"relu", {REAL(3, 2, 3), NONE, NONE, RANGE(-1, 1, 14)}, .arg = {1, 1, 0, 1, 2, 1}},
    BAD("rnn"),
};
static const sweep_case grus[] = {ROWS(3), BAD("gru")};
static const sweep_case lstms[] = {ROWS(4), BAD("lstm")};
SWEEP(rnn, rnns, call_rnn, ref_rnn, 0, 8)
SWEEP(gru, grus, call_gru, ref_gru, 0, 8)
SWEEP(lstm, lstms, call_lstm, ref_lstm, 0, 8)
/* PyTorch's weights are cut from d in the same order. */
#define TORCH(op, states, g)                                                                                      \
    "torch." op "(a, " states ", [w.view(s) for w, s in zip(d.split([" #g "*65536, " #g "*65536, " #g "*256, " #g \
    "*256]), [(" #g "*256, 256), (" #g "*256, 256), (" #g "*256,), (" #g                                          \
    "*256,)])], True, 1, 0.0, True, False, False)"
#define LAYER(G) RANGE(-0.06, 0.06, (G)*131584)
BENCH(rnn, call_rnn, TORCH("rnn_tanh", "b", 1),
      {"[64, 16, 256], 256",
       {REAL(64, 16, 256), REAL(1, 16, 256), NONE, LAYER(1)},
       .arg = {1, 1, 0, 0, 256, 1, [9] = 1}})
BENCH(gru, call_gru, TORCH("gru", "b", 3),
      {"[64, 16, 256], 256",
       {REAL(64, 16, 256), REAL(1, 16, 256), NONE, LAYER(3)},
       .arg = {1, 1, 0, 0, 256, 1, [9] = 1}})
BENCH(lstm, call_lstm, TORCH("lstm", "(b, c)", 4),
      {"[64, 16, 256], 256",
       {REAL(64, 16, 256), REAL(1, 16, 256), REAL(1, 16, 256), LAYER(4)},
       .arg = {1, 1, 0, 0, 256, 1, [9] = 1}})

/* ---- cells: x, h, c, w_ih, w_hh, b_ih, b_hh; arg[0]: relu, arg[1]: fewer weights; an lstm's h and c one after the
 * other --------------------------------------------------------------------------------------------------------- */

static tern_tensor *call_rnn_cell(tern_tensor *const *in, const sweep_case *c) {
    return tern_rnn_cell(in[0], in[1], in + 3, 4 - (int)c->arg[1], c->arg[0] != 0);
}
static tern_tensor *call_gru_cell(tern_tensor *const *in, const sweep_case *c) {
    return tern_gru_cell(in[0], in[1], in + 3, 4 - (int)c->arg[1]);
}
static tern_tensor *call_lstm_cell(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *cn = NULL, *h = tern_lstm_cell(in[0], in[1], in[2], in + 3, 4 - (int)c->arg[1], &cn);
    return h ? tern_stack((tern_tensor *const[]){h, cn}, 2, 0) : NULL;
}

static double dot_row(const array *w, int64_t row, const double *v, int64_t n, const array *bias) {
    double sum = bias->v ? bias->v[row] : 0;
    for (int64_t i = 0; i < n; i++) sum += w->v[row * n + i] * (v ? v[i] : 0);
    return sum;
}
static void ref_cell(const array *in, const sweep_case *c, array *out, int gates) {
    const int dims = in[0].shape.ndim;
    const int64_t n = dims == 2 ? in[0].shape.dim[0] : 1, wide = in[0].shape.dim[dims - 1], h = in[4].shape.dim[1];
    tern_shape s = gates == 4 ? TERN_SHAPE(2, n, h) : TERN_SHAPE(n, h);
    if (dims == 1) s = gates == 4 ? TERN_SHAPE(2, h) : TERN_SHAPE(h);
    array_new(out, s);
    for (int64_t k = 0; k < n * h; k++) {
        const double *x = in[0].v + k / h * wide, *old = in[1].v ? in[1].v + k / h * h : NULL;
        double a[4], r[4];
        for (int g = 0; g < gates; g++) {
            a[g] = dot_row(&in[3], g * h + k % h, x, wide, &in[5]);
            r[g] = dot_row(&in[4], g * h + k % h, old, h, &in[6]);
        }
        const double was = old ? old[k % h] : 0;
        if (gates == 1) out->v[k] = c->arg[0] ? fmax(a[0] + r[0], 0) : tanh(a[0] + r[0]);
        if (gates == 3) {
            const double z = sigma(a[1] + r[1]);
            out->v[k] = (1 - z) * tanh(a[2] + sigma(a[0] + r[0]) * r[2]) + z * was;
        }
        if (gates == 4) {
            const double cell =
                sigma(a[1] + r[1]) * (in[2].v ? in[2].v[k] : 0) + sigma(a[0] + r[0]) * tanh(a[2] + r[2]);
            out->v[k] = sigma(a[3] + r[3]) * tanh(cell);
            out->v[n * h + k] = cell;
        }
    }
}
static void ref_rnn_cell(const array *in, const sweep_case *c, array *out) { ref_cell(in, c, out, 1); }
static void ref_gru_cell(const array *in, const sweep_case *c, array *out) { ref_cell(in, c, out, 3); }
static void ref_lstm_cell(const array *in, const sweep_case *c, array *out) { ref_cell(in, c, out, 4); }

#define W(G, I, H) REAL((G) * (H), I), REAL((G) * (H), H)
#define CELLS(G, op)                                                                                                   \
    {"batch", {REAL(3, 4), REAL(3, 5), REAL(3, 5), W(G, 4, 5), REAL((G)*5), REAL((G)*5)}},                             \
        {"no batch", {REAL(4), REAL(5), REAL(5), W(G, 4, 5), REAL((G)*5), REAL((G)*5)}},                               \
        {"no biases", {REAL(2, 3), REAL(2, 2), REAL(2, 2), W(G, 3, 2)}},                                               \
        {"one bias", {REAL(2, 3), REAL(2, 2), REAL(2, 2), W(G, 3, 2), NONE, REAL((G)*2)}},                             \
        {"no states", {REAL(2, 3), NONE, NONE, W(G, 3, 2), REAL((G)*2), REAL((G)*2)}},                                 \
        {"no batch, no states", {REAL(3), NONE, NONE, W(G, 3, 2), REAL((G)*2), NONE}},                                 \
        {"a batch of one", {REAL(1, 3), REAL(1, 2), REAL(1, 2), W(G, 3, 2), REAL((G)*2), REAL((G)*2)}},                \
        {"an empty batch", {REAL(0, 3), REAL(0, 2), REAL(0, 2), W(G, 3, 2), REAL((G)*2), REAL((G)*2)}},                \
        {"no inputs", {REAL(2, 0), REAL(2, 2), REAL(2, 2), W(G, 0, 2), REAL((G)*2), REAL((G)*2)}},                     \
        {"odd", {REAL(7, 13), REAL(7, 11), REAL(7, 11), W(G, 13, 11), REAL((G)*11), REAL((G)*11)}},                    \
        {"three weights", {REAL(2, 3), NONE, NONE, W(G, 3, 2)}, .arg = {0, 1}, .code = TERN_ERR_ARGUMENT, .text = op}, \
        {"three dimensions", {REAL(1, 2, 3), NONE, NONE, W(G, 3, 2)}, .code = TERN_ERR_SHAPE, .text = op},             \
        {"0-dim", {SCALAR, NONE, NONE, W(G, 1, 2)}, .code = TERN_ERR_SHAPE, .text = op},                               \
        {"state", {REAL(2, 3), REAL(1, 2), NONE, W(G, 3, 2)}, .code = TERN_ERR_SHAPE, .text = "expected [2, 2]"},      \
        {"w_ih", {REAL(2, 3), NONE, NONE, REAL((G)*2, 4), REAL((G)*2, 2)}, .code = TERN_ERR_SHAPE, .text = op},        \
        {"w_hh", {REAL(2, 3), NONE, NONE, REAL((G)*2, 3), REAL((G)*2 + 1, 2)}, .code = TERN_ERR_SHAPE, .text = op},    \
        {"bias", {REAL(2, 3), NONE, NONE, W(G, 3, 2), REAL(1)}, .code = TERN_ERR_SHAPE, .text = op},                   \
        {"no weights", {REAL(2, 3)}, .code = TERN_ERR_ARGUMENT, .text = op},                                           \
        {"integers",                                                                                                   \
         {TYPED(TERN_I32, 2, 3), NONE, NONE, TYPED(TERN_I32, (G)*2, 3), TYPED(TERN_I32, (G)*2, 2)},                    \
         .code = TERN_ERR_DTYPE,                                                                                       \
         .text = op},                                                                                                  \
    {                                                                                                                  \
        "NULL", {NONE, NONE, NONE, W(G, 3, 2)}, .code = TERN_ERR_ARGUMENT, .text = op                                  \
    }
static const sweep_case rnn_cells[] = {
    CELLS(1, "rnn_cell"),
    {"relu", {REAL(3, 4), REAL(3, 5), NONE, W(1, 4, 5), REAL(5), REAL(5)}, .arg = {1}},
};
static const sweep_case gru_cells[] = {CELLS(3, "gru_cell")};
static const sweep_case lstm_cells[] = {
    CELLS(4, "lstm_cell"),
    {"h alone", {REAL(2, 3), REAL(2, 2), NONE, W(4, 3, 2)}},
    {"c alone", {REAL(2, 3), NONE, REAL(2, 2), W(4, 3, 2)}},
    {"cell state", {REAL(2, 3), NONE, REAL(2), W(4, 3, 2)}, .code = TERN_ERR_SHAPE, .text = "lstm_cell"},
};
SWEEP(rnn_cell, rnn_cells, call_rnn_cell, ref_rnn_cell, 0, 8)
SWEEP(gru_cell, gru_cells, call_gru_cell, ref_gru_cell, 0, 8)
SWEEP(lstm_cell, lstm_cells, call_lstm_cell, ref_lstm_cell, 0, 8)
BENCH(gru_cell, call_gru_cell, "torch.gru_cell(a, b, d, e, f, g)",
      {"[64, 256], 256", {REAL(64, 256), REAL(64, 256), NONE, W(3, 256, 256), REAL(768), REAL(768)}})
BENCH(rnn_cell, call_rnn_cell, "torch.rnn_tanh_cell(a, b, d, e, f, g)",
      {"[64, 256], 256", {REAL(64, 256), REAL(64, 256), NONE, W(1, 256, 256), REAL(256), REAL(256)}})
BENCH(lstm_cell, call_lstm_cell, "torch.stack(torch.lstm_cell(a, (b, c), d, e, f, g))",
      {"[64, 256], 256", {REAL(64, 256), REAL(64, 256), REAL(64, 256), W(4, 256, 256), REAL(1024), REAL(1024)}})
