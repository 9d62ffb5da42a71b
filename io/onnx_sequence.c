/* ONNX import: LSTM, GRU and RNN. Their gates come in another order than Tern's, and W, R and B in one tensor for both
 * directions. */
#include <string.h>
#include <strings.h>

#include "onnx_model.h"

enum { X, W, R, B, LENGTHS, H0, C0, P };
typedef enum kind { RNN, LSTM, GRU } kind;

static const int orders[3][4] = {{0}, {0, 2, 3, 1}, {1, 0, 2}}; /* of Tern's gates among ONNX's */
static const int gates[3] = {1, 4, 3};

/* Direction d of t [D, n gates H, ...], in Tern's order of gates. part: of the rows, which are two lots (B), 0 or 1. */
static tern_tensor *weights(tern_tensor *t, kind k, int64_t d, int64_t h, int part) {
    tern_tensor *one = tern_select(t, 0, d), *rows[4];
    for (int i = 0; i < gates[k]; i++) {
        const int64_t from = (part * gates[k] + orders[k][i]) * h;
        rows[i] = one ? tern_slice(one, 0, from, from + h, 1) : NULL;
        if (!rows[i]) return NULL;
    }
    return tern_cat(rows, gates[k], 0);
}

/* What each gate's activation must be; relu is told apart for RNN. */
static bool activations(terni_om_run *r, kind k, int64_t directions, bool *relu) {
    static const char *const wanted[3] = {"Tanh", "Sigmoid Tanh Tanh", "Sigmoid Tanh"};
    static const int counts[3] = {1, 3, 2};
    const terni_om_attr *a = terni_om_has(r, "activations");
    *relu = false;
    if (!a || a->n == 0) return true;
    if (a->n != counts[k] * directions || a->list != 9) return terni_om_bad(r, "%lld activations", (long long)a->n);
    const char *s = a->s, *first = a->s;
    for (int64_t i = 0; i < a->n; i++, s += strlen(s) + 1) {
        if (k == RNN && strcasecmp(s, "Relu") == 0 && strcasecmp(first, "Relu") == 0) {
            *relu = true;
            continue;
        }
        const char *want = wanted[k];
        for (int64_t j = 0; j < i % counts[k]; j++) want = strchr(want, ' ') + 1;
        const size_t n = strcspn(want, " ");
        if (strlen(s) != n || strncasecmp(s, want, n) != 0 || *relu)
            return terni_om_refuse(r, "the attribute activations has %.40s", s);
    }
    return true;
}

/* The settings that are none of Tern's. */
static bool settings(terni_om_run *r, kind k) {
    if (terni_om_has(r, "clip")) return terni_om_refuse(r, "the attribute clip");
    if (terni_om_has(r, "activation_alpha") || terni_om_has(r, "activation_beta"))
        return terni_om_refuse(r, "the attribute activation_alpha or activation_beta");
    if (terni_om_int(r, "input_forget", 0)) return terni_om_refuse(r, "the attribute input_forget is 1");
    if (terni_om_at(r, P)) return terni_om_refuse(r, "peepholes (input P)");
    return k != GRU || terni_om_int(r, "linear_before_reset", 0) ||
           terni_om_refuse(r, "the attribute linear_before_reset is 0");
}

typedef struct job {
    kind k;
    int64_t directions, h, n, steps;
    bool reverse, batch_first, relu;
    tern_tensor *x, *w[8], *h0, *c0, *hn, *cn;
    int64_t *lengths;
} job;

static tern_tensor *run(job *j) {
    const tern_rnn_opts o = {.bidirectional = j->directions == 2, .relu = j->relu, .lengths = j->lengths};
    const int n = 4 * (int)j->directions;
    if (j->k == LSTM) return tern_lstm(j->x, j->h0, j->c0, j->w, n, o, &j->hn, &j->cn);
    return (j->k == GRU ? tern_gru : tern_rnn)(j->x, j->h0, j->w, n, o, &j->hn);
}

static bool collect(terni_om_run *r, job *j) {
    tern_tensor *w = r->in[W], *b = terni_om_at(r, B);
    for (int64_t d = 0; d < j->directions; d++) {
        j->w[4 * d] = weights(w, j->k, d, j->h, 0);
        j->w[4 * d + 1] = weights(r->in[R], j->k, d, j->h, 0);
        for (int i = 0; i < 2; i++) j->w[4 * d + 2 + i] = b ? weights(b, j->k, d, j->h, i) : NULL;
        if (!j->w[4 * d] || !j->w[4 * d + 1] || (b && (!j->w[4 * d + 2] || !j->w[4 * d + 3]))) return false;
    }
    return true;
}

/* y [T, N, D H] as [T, D, N, H], or [N, T, D, H]; states as [D, N, H], or [N, D, H]. */
static bool results(terni_om_run *r, job *j, tern_tensor *y) {
    const int time = 0;
    if (j->reverse) y = tern_flip(y, &time, 1);
    y = y ? tern_reshape(y, TERN_SHAPE(j->steps, j->n, j->directions, j->h)) : NULL;
    r->out[0] = y ? tern_permute(y, j->batch_first ? (const int[]){1, 0, 2, 3} : (const int[]){0, 2, 1, 3}, 4) : NULL;
    r->out[1] = j->batch_first ? tern_transpose(j->hn, 0, 1) : j->hn;
    if (j->k == LSTM) r->out[2] = j->batch_first ? tern_transpose(j->cn, 0, 1) : j->cn;
    return tern_ok();
}

static bool prepare(terni_om_run *r, job *j) {
    const char *way = terni_om_text(r, "direction", "forward");
    const int time = 0;
    j->directions = strcmp(way, "bidirectional") == 0 ? 2 : 1;
    j->reverse = strcmp(way, "reverse") == 0;
    if (j->directions == 1 && !j->reverse && strcmp(way, "forward") != 0)
        return terni_om_refuse(r, "the attribute direction is %.40s", way);
    if (!settings(r, j->k) || !activations(r, j->k, j->directions, &j->relu)) return false;
    j->batch_first = terni_om_int(r, "layout", 0) != 0;
    j->x = j->batch_first ? tern_transpose(r->in[X], 0, 1) : r->in[X];
    if (tern_ndim(j->x) != 3 || tern_ndim(r->in[W]) != 3 || tern_ndim(r->in[R]) != 3 ||
        tern_size(r->in[W], 0) != j->directions)
        return terni_om_bad(r, "inputs of other shapes");
    j->h = tern_size(r->in[R], 2);
    j->n = tern_size(j->x, 1);
    j->steps = tern_size(j->x, 0);
    if (terni_om_int(r, "hidden_size", j->h) != j->h)
        return terni_om_bad(r, "hidden_size is not %lld", (long long)j->h);
    j->h0 = terni_om_at(r, H0);
    j->c0 = terni_om_at(r, C0);
    if (j->h0 && j->batch_first) j->h0 = tern_transpose(j->h0, 0, 1);
    if (j->c0 && j->batch_first) j->c0 = tern_transpose(j->c0, 0, 1);
    if (j->reverse) j->x = tern_flip(j->x, &time, 1);
    return tern_ok();
}

/* All samples' lengths are the number of steps, mostly: then there are none to look at. */
static bool lengths(terni_om_run *r, job *j) {
    tern_tensor *t = terni_om_at(r, LENGTHS);
    if (!t) return true;
    if (tern_numel(t) != j->n)
        return terni_om_bad(r, "%lld lengths for %lld samples", (long long)tern_numel(t), (long long)j->n);
    j->lengths = terni_malloc((size_t)j->n * sizeof *j->lengths + 1);
    t = tern_cast(t, TERN_I64);
    if (!j->lengths || !t || !tern_to_host(t, j->lengths, (size_t)j->n * sizeof *j->lengths)) return false;
    bool all = true;
    for (int64_t i = 0; i < j->n; i++) all &= j->lengths[i] == j->steps;
    if (j->reverse && !all) return terni_om_refuse(r, "sequence_lens in the reverse direction");
    if (all) {
        terni_mfree(j->lengths);
        j->lengths = NULL;
    }
    return true;
}

static bool recurrent(terni_om_run *r) {
    job j = {.k = strcmp(r->node->op, "LSTM") == 0 ? LSTM : strcmp(r->node->op, "GRU") == 0 ? GRU : RNN};
    tern_tensor *y = NULL;
    if (prepare(r, &j) && lengths(r, &j) && collect(r, &j)) y = run(&j);
    terni_mfree(j.lengths);
    return y && results(r, &j, y);
}

#define COMMON "activation_alpha activation_beta activations clip direction hidden_size layout "
const terni_om_rule terni_om_recurrent[] = {
    {"LSTM", recurrent, COMMON "input_forget", 3, 8},
    {"GRU", recurrent, COMMON "linear_before_reset", 3, 6},
    {"RNN", recurrent, COMMON, 3, 6},
    {NULL, NULL, NULL, 0, 0},
};
