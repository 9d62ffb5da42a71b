/* Recurrent layers and cells: modules that hold the weights of their op. */
#include "tern/recurrent.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "internal.h"

typedef enum kind { RNN, LSTM, GRU } kind;
static const int gates_of[] = {1, 4, 3};

typedef struct recurrent {
    tern_module m;
    kind kind;
    bool cell;
    int64_t in, hidden;
    tern_recurrent_opts opts; /* layers is not 0 */
    int per, n_weights;       /* per: for each layer and direction, 4, or 5 with a projection */
    tern_tensor *weights[];   /* as the op takes them; biases may be NULL */
} recurrent;

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static tern_tensor *run(recurrent *s, tern_tensor *x, tern_tensor *h, tern_tensor *c, const int64_t *lengths,
                        tern_tensor **hn, tern_tensor **cn) {
    if (s->cell) {
        if (s->kind == LSTM) return tern_lstm_cell(x, h, c, s->weights, s->n_weights, cn);
        if (s->kind == GRU) return tern_gru_cell(x, h, s->weights, s->n_weights);
        return tern_rnn_cell(x, h, s->weights, s->n_weights, s->opts.relu);
    }
    const tern_rnn_opts o = {.layers = s->opts.layers,
                             .bidirectional = s->opts.bidirectional,
                             .batch_first = s->opts.batch_first,
                             .relu = s->opts.relu,
                             .dropout = s->m.training ? s->opts.dropout : 0,
                             .lengths = lengths,
                             .proj_size = s->opts.proj_size};
    if (s->kind == LSTM) return tern_lstm(x, h, c, s->weights, s->n_weights, o, hn, cn);
    return (s->kind == GRU ? tern_gru : tern_rnn)(x, h, s->weights, s->n_weights, o, hn);
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    return run((recurrent *)m, x, NULL, NULL, NULL, NULL, NULL);
}

/* m as a recurrent module of this form; NULL after an error. */
static recurrent *as(tern_module *m, const char *op, bool cell, bool lstm) {
    if (!terni_given(m, op, "m")) return NULL;
    recurrent *s = (recurrent *)m;
    if (m->forward == forward && s->cell == cell && (s->kind == LSTM) == lstm) return s;
    return terni_null(TERN_ERR_ARGUMENT, "%s: it is not for %s", op, m->type);
}

static tern_tensor *called(recurrent *s, const char *op, tern_tensor *x, tern_tensor *h, tern_tensor *c,
                           const int64_t *lengths, tern_tensor **hn, tern_tensor **cn) {
    if (hn) *hn = NULL;
    if (cn) *cn = NULL;
    if (!s || !terni_given(x, op, "x")) return NULL;
    x = terni_forward_begin(&s->m, x);
    return terni_forward_end(&s->m, x, x ? run(s, x, h, c, lengths, hn, cn) : NULL);
}

tern_tensor *tern_rnn_forward(tern_module *m, tern_tensor *x, tern_tensor *h0, const int64_t *lengths,
                              tern_tensor **hn) {
    static const char op[] = "rnn_forward";
    return called(as(m, op, false, false), op, x, h0, NULL, lengths, hn, NULL);
}
tern_tensor *tern_lstm_forward(tern_module *m, tern_tensor *x, tern_tensor *h0, tern_tensor *c0, const int64_t *lengths,
                               tern_tensor **hn, tern_tensor **cn) {
    static const char op[] = "lstm_forward";
    return called(as(m, op, false, true), op, x, h0, c0, lengths, hn, cn);
}
tern_tensor *tern_rnn_cell_forward(tern_module *m, tern_tensor *x, tern_tensor *h) {
    static const char op[] = "rnn_cell_forward";
    return called(as(m, op, true, false), op, x, h, NULL, NULL, NULL, NULL);
}
tern_tensor *tern_lstm_cell_forward(tern_module *m, tern_tensor *x, tern_tensor *h, tern_tensor *c, tern_tensor **cn) {
    static const char op[] = "lstm_cell_forward";
    return called(as(m, op, true, true), op, x, h, c, NULL, NULL, cn);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static void describe(const tern_module *m, char *buf, size_t size) {
    const recurrent *s = (const recurrent *)m;
    const tern_recurrent_opts *o = &s->opts;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 " -> %" PRId64, s->in, s->hidden);
    if (o->layers > 1) terni_text_add(&t, ", layers %" PRId64, o->layers);
    if (o->bidirectional) terni_text_add(&t, ", bidirectional");
    if (o->batch_first) terni_text_add(&t, ", batch first");
    if (o->proj_size) terni_text_add(&t, ", projected to %" PRId64, o->proj_size);
    if (o->relu) terni_text_add(&t, ", relu");
    if (o->no_bias) terni_text_add(&t, ", no bias");
    if (o->dropout > 0) terni_text_add(&t, ", dropout %g", o->dropout);
}

/* Each step multiplies its input with every weight_ih and its state with every weight_hh. */
static int64_t flops(const tern_module *m, const tern_shape *x, const tern_shape *y) {
    (void)y;
    const recurrent *s = (const recurrent *)m;
    int64_t n = 0;
    for (int i = 0; i < s->n_weights; i++)
        if (s->weights[i] && tern_ndim(s->weights[i]) == 2) n += 2 * tern_numel(s->weights[i]);
    return n * (terni_numel(x) / s->in);
}

static bool check(const char *type, int64_t in, int64_t hidden, const tern_recurrent_opts *o) {
    if (!tern_ok()) return false;
    if (in < 1 || hidden < 1 || in > INT32_MAX || hidden > INT32_MAX)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %" PRId64 " -> %" PRId64 "; sizes from 1 to %d expected", type, in,
                          hidden, INT32_MAX);
    if (o->layers < 0 || o->layers > 10000)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %" PRId64 " layers; 1 to 10000 expected", type, o->layers);
    if (o->proj_size < 0 || o->proj_size >= hidden)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: proj_size %" PRId64 "; 0 to %" PRId64 " expected", type, o->proj_size,
                          hidden - 1);
    return (o->dropout >= 0 && o->dropout <= 1) ||
           terni_fail(TERN_ERR_ARGUMENT, "%s: dropout is %g; [0, 1] expected", type, o->dropout);
}

/* The weights of a layer and direction, or of a cell (suffix ""). */
static void make_weights(recurrent *s, tern_tensor **w, int64_t in, const char *suffix) {
    static const char *const stem[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"};
    const int64_t rows = gates_of[s->kind] * s->hidden, state = s->opts.proj_size ? s->opts.proj_size : s->hidden;
    const tern_shape shape[] = {TERN_SHAPE(rows, in), TERN_SHAPE(rows, state), TERN_SHAPE(rows), TERN_SHAPE(rows),
                                TERN_SHAPE(state, s->hidden)};
    const double bound = 1 / sqrt((double)s->hidden);
    for (int i = 0; i < s->per; i++) {
        if (s->opts.no_bias && (i == 2 || i == 3)) continue;
        char name[64];
        snprintf(name, sizeof name, "%s%s", stem[i], suffix);
        w[i] = terni_param_new(&s->m, name, shape[i]);
        if (!w[i] || !tern_init_uniform(w[i], -bound, bound)) return;
    }
}

static recurrent *begin(const char *type, kind k, bool cell, int64_t in, int64_t hidden, tern_recurrent_opts o) {
    if (!check(type, in, hidden, &o)) return NULL;
    if (o.layers == 0) o.layers = 1;
    const int per = o.proj_size ? 5 : 4, n = per * (int)o.layers * (o.bidirectional ? 2 : 1);
    recurrent *s = tern_module_alloc(sizeof *s + (size_t)n * sizeof s->weights[0], type);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->m.flops = flops;
    s->kind = k;
    s->cell = cell;
    s->in = in;
    s->hidden = hidden;
    s->opts = o;
    s->per = per;
    s->n_weights = n;
    return s;
}

static tern_module *layer_new(const char *type, kind k, int64_t in, int64_t hidden, tern_recurrent_opts o) {
    if (tern_ok() && o.relu && k != RNN) return terni_null(TERN_ERR_ARGUMENT, "%s: relu is for rnn alone", type);
    if (tern_ok() && o.proj_size && k != LSTM)
        return terni_null(TERN_ERR_ARGUMENT, "%s: proj_size is for lstm alone", type);
    recurrent *s = begin(type, k, false, in, hidden, o);
    if (!s) return NULL;
    const int dirs = o.bidirectional ? 2 : 1, n = s->n_weights / s->per;
    const int64_t width = o.proj_size ? o.proj_size : hidden;
    const int scope = tern_scope_push();
    for (int i = 0; i < n && tern_ok(); i++) {
        char suffix[32];
        snprintf(suffix, sizeof suffix, "_l%d%s", i / dirs, i % dirs ? "_reverse" : "");
        make_weights(s, s->weights + s->per * i, i < dirs ? in : dirs * width, suffix);
    }
    tern_scope_pop(scope);
    return tern_module_done(s);
}

static tern_module *cell_new(const char *type, kind k, int64_t in, int64_t hidden, tern_cell_opts o) {
    if (tern_ok() && o.relu && k != RNN) return terni_null(TERN_ERR_ARGUMENT, "%s: relu is for rnn_cell alone", type);
    recurrent *s = begin(type, k, true, in, hidden, (tern_recurrent_opts){.no_bias = o.no_bias, .relu = o.relu});
    if (!s) return NULL;
    const int scope = tern_scope_push();
    make_weights(s, s->weights, in, "");
    tern_scope_pop(scope);
    return tern_module_done(s);
}

tern_module *tern_rnn_new(int64_t in, int64_t hidden, tern_recurrent_opts o) {
    return layer_new("rnn", RNN, in, hidden, o);
}
tern_module *tern_lstm_new(int64_t in, int64_t hidden, tern_recurrent_opts o) {
    return layer_new("lstm", LSTM, in, hidden, o);
}
tern_module *tern_gru_new(int64_t in, int64_t hidden, tern_recurrent_opts o) {
    return layer_new("gru", GRU, in, hidden, o);
}
tern_module *tern_rnn_cell_new(int64_t in, int64_t hidden, tern_cell_opts o) {
    return cell_new("rnn_cell", RNN, in, hidden, o);
}
tern_module *tern_lstm_cell_new(int64_t in, int64_t hidden, tern_cell_opts o) {
    return cell_new("lstm_cell", LSTM, in, hidden, o);
}
tern_module *tern_gru_cell_new(int64_t in, int64_t hidden, tern_cell_opts o) {
    return cell_new("gru_cell", GRU, in, hidden, o);
}
