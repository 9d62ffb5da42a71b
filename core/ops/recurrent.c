/* Recurrent layers and cells. */
#include "casting.h"
#include "ops/normalise.h"
#include "ops/rnn_step.h"

typedef enum kind {
    RNN = TERNI_RNN_TANH,
    RELU = TERNI_RNN_RELU,
    LSTM = TERNI_RNN_LSTM,
    GRU = TERNI_RNN_GRU,
} kind;
typedef terni_rnn_state state;

static int gates_of(kind k) { return k == LSTM ? 4 : k == GRU ? 3 : 1; }

/* One direction over x [T, N, I]: y [T, N, H]; s becomes the final state. w is {w_ih, w_hh, b_ih, b_hh, w_hr}, the last
 * NULL where the state is not projected; live [T, N, 1], or NULL. */
static tern_tensor *pass(kind k, tern_tensor *x, state *s, tern_tensor *const *w, tern_tensor *live, bool back) {
    if (!x->v.shape[0])
        return tern_zeros(TERN_SHAPE(0, x->v.shape[1], s->h->v.shape[1]), (tern_options){terni_dtype(x), x->device});
    tern_tensor *a = tern_linear(x, w[0], w[2]);
    if (a && w[4]) return terni_recurrence_projected(back, a, s, w[1], w[3], w[4], live);
    return a ? terni_recurrence((int)k, back, a, s, w[1], w[3], live) : NULL;
}

static bool is(const tern_tensor *t, int n, const int64_t *d) {
    bool same = t->v.ndim == n;
    for (int i = 0; same && i < n; i++) same = t->v.shape[i] == d[i];
    return same;
}

/* Sizes of a layer. */
typedef struct sizes {
    int64_t h, state; /* state: of h's state, h unless it is projected */
    int per;          /* weights a direction */
} sizes;

/* w_hr, the last of a direction's weights, where the state is projected. */
static bool check_projection(const char *op, tern_tensor *x, tern_tensor *w, sizes z, int i) {
    tern_tensor *const two[2] = {x, w};
    if (!terni_given(w, op, "weights") || !terni_same_device(op, two, 2, NULL) || !terni_same_float(op, two, 2))
        return false;
    return is(w, 2, (int64_t[]){z.state, z.h}) ||
           terni_fail(TERN_ERR_SHAPE, "%s: weights[%d] is %s; expected [%lld, %lld]", op, z.per * i + 4,
                      terni_describe(w), (long long)z.state, (long long)z.h);
}

/* One layer's and direction's weights, the i-th, for inputs of width in. */
static bool check_weights(const char *op, kind k, tern_tensor *x, tern_tensor *const *w, int64_t in, sizes z, int i) {
    if (!terni_given(w[0], op, "weights") || !terni_given(w[1], op, "weights") ||
        !terni_same_device(op, (tern_tensor *[]){x, w[0], w[1], w[2], w[3]}, 5, NULL) ||
        !terni_same_float(op, (tern_tensor *[]){x, w[0], w[1], w[2], w[3]}, 5))
        return false;
    const int64_t g = gates_of(k) * z.h;
    const bool fits = is(w[0], 2, (int64_t[]){g, in}) && is(w[1], 2, (int64_t[]){g, z.state}) &&
                      (!w[2] || is(w[2], 1, &g)) && (!w[3] || is(w[3], 1, &g));
    if (fits) return z.per == 4 || check_projection(op, x, w[4], z, i);
    return terni_fail(TERN_ERR_SHAPE,
                      "%s: weights[%d] to [%d] are %s, %s, %s, %s; expected [%lld, %lld], [%lld, %lld] "
                      "and [%lld] twice or NULL",
                      op, z.per * i, z.per * i + 3, terni_describe(w[0]), terni_describe(w[1]),
                      w[2] ? terni_describe(w[2]) : "NULL", w[3] ? terni_describe(w[3]) : "NULL", (long long)g,
                      (long long)in, (long long)g, (long long)z.state, (long long)g);
}

static bool check_state(const char *op, tern_tensor *x, tern_tensor *s, int n, const int64_t *shape) {
    if (!s) return true;
    tern_tensor *const two[2] = {x, s};
    if (!terni_same_device(op, two, 2, NULL) || !terni_same_float(op, two, 2)) return false;
    return is(s, n, shape) || terni_fail(TERN_ERR_SHAPE, "%s: state %s, expected %s", op, terni_describe(s),
                                         terni_shape_str(tern_shape_of(n, shape)));
}

static tern_tensor *mask(const int64_t *lengths, int64_t steps, int64_t n, tern_device device) {
    const tern_options whole = {TERN_I64, device};
    tern_tensor *t = tern_reshape(tern_arange(0, (double)steps, whole), TERN_SHAPE(steps, 1, 1));
    tern_tensor *l = tern_from(lengths, TERN_SHAPE(n), whole);
    return t && l ? tern_lt(t, tern_unsqueeze(l, -1)) : NULL;
}

tern_tensor *terni_rnn_by_steps(int which, bool projected, int dirs, tern_tensor *x, const state *first, int at,
                                tern_tensor *const *w, tern_tensor *live, state *ends) {
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x));
    const int64_t n = x->v.shape[1], h = w[1]->v.shape[1];
    const int per = projected ? 5 : 4;
    tern_tensor *part[2] = {NULL, NULL};
    x = tern_cast(x, acc);
    for (int d = 0; d < dirs; d++) {
        tern_tensor *wide[5] = {NULL, NULL, NULL, NULL, NULL};
        bool good = x != NULL;
        for (int j = 0; j < per; j++) {
            wide[j] = w[per * d + j] ? tern_cast(w[per * d + j], acc) : NULL;
            good = good && (wide[j] || !w[per * d + j]);
        }
        const tern_options like = {acc, x ? x->device : tern_cpu()};
        tern_tensor *zero = good ? tern_zeros(TERN_SHAPE(n, h), like) : NULL, *zero_c = zero;
        if (good && projected) zero_c = tern_zeros(TERN_SHAPE(n, w[4]->v.shape[1]), like);
        ends[d] = (state){first->h ? tern_cast(tern_select(first->h, 0, at + d), acc) : zero,
                          first->c ? tern_cast(tern_select(first->c, 0, at + d), acc) : zero_c};
        good = good && ends[d].h && ends[d].c;
        part[d] = good ? pass((kind)which, x, &ends[d], wide, live, d == 1) : NULL;
        if (!part[d]) return NULL;
    }
    return dirs == 2 ? tern_cat(part, 2, -1) : part[0];
}

/* One layer, whole where the backend can; projected states it cannot. ends: as many as directions. */
static tern_tensor *layer(kind k, bool projected, int dirs, tern_tensor *x, tern_dtype dtype, const state *first,
                          int at, tern_tensor *const *w, tern_tensor *live, state *ends) {
    tern_tensor *made[3] = {NULL, NULL, NULL};
    bool whole = false;
    if (!live && !projected && !terni_rnn_layer((int)k, dirs, x, dtype, first, at, w, &whole, made)) return NULL;
    if (!whole) return terni_rnn_by_steps((int)k, projected, dirs, x, first, at, w, live, ends);
    for (int d = 0; d < dirs; d++)
        ends[d] = (state){tern_select(made[1], 0, d), made[2] ? tern_select(made[2], 0, d) : NULL};
    return made[0];
}

/* The states that ends holds, h's or c's, as one tensor; the caller releases it. */
static tern_tensor *kept_states(const state *ends, int n, bool cells, tern_dtype dtype) {
    tern_tensor **list = terni_malloc((size_t)n * sizeof *list), *all = NULL;
    bool good = list != NULL;
    for (int i = 0; good && i < n; i++) good = (list[i] = tern_cast(cells ? ends[i].c : ends[i].h, dtype)) != NULL;
    if (good) all = tern_keep(tern_stack(list, n, 0));
    terni_mfree(list);
    return all;
}

static bool check(const char *op, kind k, tern_tensor *x, const state *first, tern_tensor *const *weights,
                  int n_weights, const tern_rnn_opts *o) {
    if (!terni_given(x, op, "x") || !terni_given(weights, op, "weights")) return false;
    const int64_t layers = o->layers ? o->layers : 1, dirs = o->bidirectional ? 2 : 1;
    sizes z = {.per = o->proj_size ? 5 : 4};
    if (o->proj_size < 0 || (o->proj_size && k != LSTM))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: proj_size %lld; 0 expected, or more of an lstm", op,
                          (long long)o->proj_size);
    if (layers < 1 || layers > 100000 || n_weights != z.per * layers * dirs || !(o->dropout >= 0 && o->dropout <= 1))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %lld layers, %d weights, dropout %g; expected %d weights a direction",
                          op, (long long)layers, n_weights, o->dropout, z.per);
    if (!terni_given(weights[1], op, "weights")) return false;
    if (x->v.ndim != 3 || weights[1]->v.ndim != 2)
        return terni_fail(TERN_ERR_SHAPE, "%s: x %s and w_hh %s, expected 3 and 2 dimensions", op, terni_describe(x),
                          terni_describe(weights[1]));
    const int64_t steps = x->v.shape[o->batch_first], n = x->v.shape[!o->batch_first];
    z.h = o->proj_size ? weights[1]->v.shape[0] / gates_of(k) : weights[1]->v.shape[1];
    z.state = o->proj_size ? o->proj_size : z.h;
    const int64_t all[3] = {layers * dirs, n, z.state}, cells[3] = {layers * dirs, n, z.h};
    if (steps > INT32_MAX) return terni_fail(TERN_ERR_SHAPE, "%s: %lld steps are too many", op, (long long)steps);
    if (!check_state(op, x, first->h, 3, all) || !check_state(op, x, first->c, 3, cells)) return false;
    for (int i = 0; i < layers * dirs; i++)
        if (!check_weights(op, k, x, weights + z.per * i, i < dirs ? x->v.shape[2] : dirs * z.state, z, i))
            return false;
    for (int64_t i = 0; o->lengths && i < n; i++)
        if (o->lengths[i] < 0 || o->lengths[i] > steps)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: length %lld of sample %lld, expected 0 to %lld", op,
                              (long long)o->lengths[i], (long long)i, (long long)steps);
    return true;
}

static tern_tensor *recur(const char *op, kind k, tern_tensor *x, const state *first, tern_tensor *const *weights,
                          int n_weights, tern_rnn_opts o, tern_tensor **hn, tern_tensor **cn) {
    if (hn) *hn = NULL;
    if (cn) *cn = NULL;
    if (!check(op, k, x, first, weights, n_weights, &o)) return NULL;
    const bool projected = o.proj_size > 0;
    const int dirs = o.bidirectional ? 2 : 1, per = projected ? 5 : 4, all = n_weights / per;
    const tern_dtype dtype = terni_dtype(x);
    state *ends = terni_malloc((size_t)all * sizeof *ends);
    if (!ends) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *y = o.batch_first ? tern_transpose(x, 0, 1) : x, *kept[2] = {NULL, NULL};
    tern_tensor *live = y && o.lengths ? mask(o.lengths, y->v.shape[0], y->v.shape[1], x->device) : NULL;
    bool good = y && (live || !o.lengths);
    for (int i = 0; good && i < all; i += dirs) {
        y = layer(k, projected, dirs, y, dtype, first, i, weights + per * i, live, ends + i);
        if (y && o.dropout > 0 && i + dirs < all) y = tern_dropout(y, o.dropout);
        good = y != NULL;
    }
    if (good && hn) good = (kept[0] = kept_states(ends, all, false, dtype)) != NULL;
    if (good && cn) good = (kept[1] = kept_states(ends, all, true, dtype)) != NULL;
    terni_mfree(ends);
    y = good ? tern_cast(o.batch_first ? tern_transpose(y, 0, 1) : y, dtype) : NULL;
    y = tern_scope_return(scope, y == x ? tern_clone(y) : y);
    for (int i = 0; i < 2; i++) {
        tern_tensor *owned = kept[i] ? tern_give(kept[i]) : NULL;
        if (y && i == 0 && hn) *hn = owned;
        if (y && i == 1 && cn) *cn = owned;
    }
    return y;
}

tern_tensor *tern_rnn(tern_tensor *x, tern_tensor *h0, tern_tensor *const *weights, int n_weights, tern_rnn_opts opts,
                      tern_tensor **hn) {
    TERNI_NAMED("rnn");
    TERNI_AUTOCAST_LIST(LOW, weights, n_weights, &x, &h0);
    return recur("rnn", opts.relu ? RELU : RNN, x, &(state){h0, NULL}, weights, n_weights, opts, hn, NULL);
}

tern_tensor *tern_gru(tern_tensor *x, tern_tensor *h0, tern_tensor *const *weights, int n_weights, tern_rnn_opts opts,
                      tern_tensor **hn) {
    TERNI_NAMED("gru");
    TERNI_AUTOCAST_LIST(LOW, weights, n_weights, &x, &h0);
    return recur("gru", GRU, x, &(state){h0, NULL}, weights, n_weights, opts, hn, NULL);
}

tern_tensor *tern_lstm(tern_tensor *x, tern_tensor *h0, tern_tensor *c0, tern_tensor *const *weights, int n_weights,
                       tern_rnn_opts opts, tern_tensor **hn, tern_tensor **cn) {
    TERNI_NAMED("lstm");
    TERNI_AUTOCAST_LIST(LOW, weights, n_weights, &x, &h0, &c0);
    return recur("lstm", LSTM, x, &(state){h0, c0}, weights, n_weights, opts, hn, cn);
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

/* One step; the new h is returned, the new c goes to *cn. */
static tern_tensor *cell(const char *op, kind k, tern_tensor *x, tern_tensor *h, tern_tensor *c,
                         tern_tensor *const *weights, int n_weights, tern_tensor **cn) {
    if (cn) *cn = NULL;
    if (!terni_given(x, op, "x") || !terni_given(weights, op, "weights")) return NULL;
    if (n_weights != 4) return terni_null(TERN_ERR_ARGUMENT, "%s: %d weights, expected 4", op, n_weights);
    if (!terni_given(weights[1], op, "weights")) return NULL;
    const int dims = x->v.ndim;
    if (dims < 1 || dims > 2 || weights[1]->v.ndim != 2)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s and w_hh %s, expected [N, I] or [I], and 2 dimensions", op,
                          terni_describe(x), terni_describe(weights[1]));
    const int64_t both[2] = {dims == 2 ? x->v.shape[0] : 1, weights[1]->v.shape[1]}, *shape = both + (2 - dims);
    if (!check_state(op, x, h, dims, shape) || !check_state(op, x, c, dims, shape) ||
        !check_weights(op, k, x, weights, x->v.shape[dims - 1], (sizes){both[1], both[1], 4}, 0))
        return NULL;
    const tern_dtype dtype = terni_dtype(x), acc = terni_acc_dtype(dtype);
    const int scope = tern_scope_push();
    tern_tensor *const given[7] = {x, h, c, weights[0], weights[1], weights[2], weights[3]};
    tern_tensor *wide[7], *kept = NULL;
    bool good = true;
    for (int i = 0; i < 7; i++) {
        wide[i] = given[i] ? tern_cast(given[i], acc) : NULL;
        if (i < 3 && !given[i]) wide[i] = tern_zeros(tern_shape_of(dims, shape), (tern_options){acc, x->device});
        if (i < 3 && dims == 1 && wide[i]) wide[i] = tern_unsqueeze(wide[i], 0);
        good = good && (wide[i] || (i >= 3 && !given[i]));
    }
    state s = {NULL, NULL};
    if (good)
        s = terni_rnn_step((int)k, tern_linear(wide[0], wide[3], wide[5]), (state){wide[1], wide[2]}, wide[4], wide[6]);
    if (dims == 1 && s.h) s.h = tern_squeeze(s.h, 0);
    if (s.h && cn) {
        if (dims == 1) s.c = tern_squeeze(s.c, 0);
        kept = tern_keep(tern_cast(s.c, dtype));
    }
    tern_tensor *y = tern_scope_return(scope, s.h && (kept || !cn) ? tern_cast(s.h, dtype) : NULL);
    if (kept) kept = tern_give(kept);
    if (y && cn) *cn = kept;
    return y;
}

tern_tensor *tern_rnn_cell(tern_tensor *x, tern_tensor *h, tern_tensor *const *weights, int n_weights, bool relu) {
    TERNI_NAMED("rnn_cell");
    TERNI_AUTOCAST_LIST(LOW, weights, n_weights, &x, &h);
    return cell("rnn_cell", relu ? RELU : RNN, x, h, NULL, weights, n_weights, NULL);
}

tern_tensor *tern_gru_cell(tern_tensor *x, tern_tensor *h, tern_tensor *const *weights, int n_weights) {
    TERNI_NAMED("gru_cell");
    TERNI_AUTOCAST_LIST(LOW, weights, n_weights, &x, &h);
    return cell("gru_cell", GRU, x, h, NULL, weights, n_weights, NULL);
}

tern_tensor *tern_lstm_cell(tern_tensor *x, tern_tensor *h, tern_tensor *c, tern_tensor *const *weights, int n_weights,
                            tern_tensor **cn) {
    TERNI_NAMED("lstm_cell");
    TERNI_AUTOCAST_LIST(LOW, weights, n_weights, &x, &h, &c);
    return cell("lstm_cell", LSTM, x, h, c, weights, n_weights, cn);
}
