/* Dropout inside attention and between recurrent layers: what is dropped and how often, that the mean stays, that seeds
 * decide, that gradients see the same draws, and that without it nothing is drawn. */
#include "common.h"
#include "tern/functional.h"

#define F64 ((tern_options){TERN_F64, test_device()})
static const tolerance exact = {0, 0}, close = {1e-12, 1e-12};

static double mean_of(tern_tensor *x) { return tern_item(tern_mean(tern_cast(x, TERN_F64), NULL, 0, false)); }
static double share_of_zeros(tern_tensor *x) {
    tern_tensor *zero = tern_scalar(0, (tern_options){tern_dtype_of(x), tern_cpu()});
    return mean_of(tern_cast(tern_eq(x, zero), TERN_F64));
}
static bool same(tern_tensor *a, tern_tensor *b) { return tern_item(tern_sum(tern_ne(a, b), NULL, 0, false)) == 0; }

/* ---- attention ----------------------------------------------------------------------------------------------------
 */

/* By an identity for v the result is the weights. */
static tern_tensor *weights(tern_tensor *q, tern_tensor *k, tern_attention_opts o) {
    const int64_t s = tern_size(k, 1);
    return tern_scaled_dot_product_attention(q, k, tern_expand(tern_eye(s, s, F64), TERN_SHAPE(tern_size(k, 0), s, s)),
                                             NULL, o);
}

TERN_TEST(sequence_dropout, attention_drops_weights_and_keeps_their_mean) {
    static const double rates[] = {0.1, 0.3, 0.75};
    tern_tensor *q = test_random(TERN_SHAPE(8, 200, 5), -2, 2, TERN_F64);
    tern_tensor *k = test_random(TERN_SHAPE(8, 31, 5), -2, 2, TERN_F64);
    tern_tensor *plain = weights(q, k, (tern_attention_opts){0});
    for (int i = 0; i < 3; i++) {
        const double p = rates[i], n = 8 * 200 * 31;
        check_case("p %g", p);
        tern_tensor *w = weights(q, k, (tern_attention_opts){.dropout = p});
        CHECK(fabs(share_of_zeros(w) - p) < 4 * sqrt(p * (1 - p) / n), "%g", share_of_zeros(w));
        tern_tensor *kept = tern_ne(w, tern_scalar(0, F64)); /* each is as it was, or gone */
        CHECK_SAME(w, tern_where(kept, tern_mul_scalar(plain, 1 / (1 - p)), tern_scalar(0, F64)), close);
        /* a row's sum is 1 on average, with a variance of p / (1 - p) times the sum of its squares */
        tern_tensor *sums = tern_sum(w, (const int[]){-1}, 1, false);
        const double variance = p / (1 - p) * 31 * mean_of(tern_square(plain)) / (8 * 200);
        CHECK(fabs(mean_of(sums) - 1) < 4 * sqrt(variance), "%g", mean_of(sums));
    }
    check_case("%s", "");
    CHECK(share_of_zeros(weights(q, k, (tern_attention_opts){.dropout = 1})) == 1);
    EXPECT_ERROR(weights(q, k, (tern_attention_opts){.dropout = 1.5}), TERN_ERR_ARGUMENT, "attention");
    EXPECT_ERROR(weights(q, k, (tern_attention_opts){.dropout = -0.1}), TERN_ERR_ARGUMENT, "attention");
    EXPECT_ERROR(weights(q, k, (tern_attention_opts){.dropout = (double)NAN}), TERN_ERR_ARGUMENT, "attention");
}

/* ---- recurrence ---------------------------------------------------------------------------------------------------
 */

enum { LAYERS = 2, INPUTS = 3, HIDDEN = 4, WEIGHTS = 4 * 2 * LAYERS };
typedef enum kind { RNN, GRU, LSTM, KINDS } kind;
static const int gates[KINDS] = {1, 3, 4};

typedef struct net {
    kind k;
    uint64_t seed;
    tern_rnn_opts o;
} net;

static tern_tensor *run(kind k, tern_tensor *x, tern_tensor *const *w, int n, tern_rnn_opts o) {
    return k == RNN   ? tern_rnn(x, NULL, w, n, o, NULL)
           : k == GRU ? tern_gru(x, NULL, w, n, o, NULL)
                      : tern_lstm(x, NULL, NULL, w, n, o, NULL, NULL);
}
/* Both layers' weights, of both directions if `dirs` is 2. */
static int random_weights(kind k, int dirs, tern_tensor **w) {
    const int g = gates[k] * HIDDEN;
    for (int i = 0; i < 4 * dirs * LAYERS; i++) {
        const int in = i / (4 * dirs) ? dirs * HIDDEN : INPUTS;
        w[i] = test_random(i % 4 == 0   ? TERN_SHAPE(g, in)
                           : i % 4 == 1 ? TERN_SHAPE(g, HIDDEN)
                                        : TERN_SHAPE(g),
                           -1, 1, TERN_F64);
    }
    return 4 * dirs * LAYERS;
}
static tern_tensor *seeded(tern_tensor *const *x, int n, void *user) {
    const net *m = user;
    tern_seed(m->seed);
    return run(m->k, x[0], x + 1, n - 1, m->o);
}

/* Layers that pass on what they are given (one step, identity, relu) show what is dropped between them. */
TERN_TEST(sequence_dropout, recurrence_drops_between_layers_and_keeps_the_mean) {
    enum { N = 400, H = 50 };
    tern_tensor *eye = tern_eye(H, H, F64), *none = tern_zeros(TERN_SHAPE(H, H), F64);
    tern_tensor *x = tern_ones(TERN_SHAPE(1, N, H), F64), *w[12], *hn;
    for (int i = 0; i < 12; i++) w[i] = i % 4 == 0 ? eye : i % 4 == 1 ? none : NULL;
    for (double p = 0.2; p < 1; p += 0.3) {
        const tern_rnn_opts two = {.layers = 2, .relu = true, .dropout = p}, one = {.relu = true, .dropout = p};
        tern_tensor *y = tern_rnn(x, NULL, w, 8, two, &hn);
        const double sigma = sqrt(p * (1 - p) / (N * H));
        CHECK(fabs(share_of_zeros(y) - p) < 4 * sigma, "%g", share_of_zeros(y));
        CHECK(fabs(mean_of(y) - 1) < 4 * sigma / (1 - p), "%g", mean_of(y));
        CHECK_NUMBER(tern_item(tern_max(y, NULL, 0, false)), 1 / (1 - p), 1e-12);
        /* not the first layer's own state, which comes before, nor anything after the last layer */
        CHECK_SAME(tern_select(hn, 0, 0), tern_select(x, 0, 0), exact);
        CHECK_SAME(tern_select(hn, 0, 1), tern_select(y, 0, 0), exact);
        CHECK_SAME(tern_rnn(x, NULL, w, 4, one, NULL), x, exact);
        /* a third layer drops anew */
        tern_tensor *z = tern_rnn(x, NULL, w, 12, (tern_rnn_opts){.layers = 3, .relu = true, .dropout = p}, NULL);
        CHECK(fabs(1 - share_of_zeros(z) - (1 - p) * (1 - p)) < 4 * sqrt(0.25 / (N * H)), "%g", share_of_zeros(z));
    }
    CHECK(share_of_zeros(tern_rnn(x, NULL, w, 8, (tern_rnn_opts){.layers = 2, .relu = true, .dropout = 1}, NULL)) == 1);
    EXPECT_ERROR(tern_rnn(x, NULL, w, 8, (tern_rnn_opts){.layers = 2, .dropout = 1.5}, NULL), TERN_ERR_ARGUMENT, "rnn");
}

TERN_TEST(sequence_dropout, recurrence_by_seed) {
    for (int i = 0; i < 2 * KINDS; i++) {
        const int dirs = 1 + i % 2;
        check_case("%d gates, %d directions", gates[i / 2], dirs);
        tern_tensor *x[1 + WEIGHTS] = {test_random(TERN_SHAPE(5, 3, INPUTS), -1, 1, TERN_F64)};
        const int n = 1 + random_weights((kind)(i / 2), dirs, x + 1);
        net a = {(kind)(i / 2), 7, {.layers = LAYERS, .bidirectional = dirs == 2, .dropout = 0.5}}, b = a, off = a;
        b.seed = 8;
        off.o.dropout = 0;
        tern_tensor *y = seeded(x, n, &a);
        CHECK_SAME(seeded(x, n, &a), y, exact);
        CHECK(!same(seeded(x, n, &b), y));
        CHECK(!same(run(a.k, x[0], x + 1, n - 1, a.o), y)); /* the stream has gone on */
        /* evaluation: without dropout nothing is drawn, and no seed matters */
        tern_tensor *quiet = seeded(x, n, &off);
        CHECK(tern_random_get().position == 0);
        off.seed = 9;
        CHECK_SAME(seeded(x, n, &off), quiet, exact);
        CHECK(!same(quiet, y));
    }
    check_case("%s", "");
}

/* ---- gradients ----------------------------------------------------------------------------------------------------
 */

static tern_tensor *seeded_attention(tern_tensor *const *x, int n, void *user) {
    (void)n;
    tern_seed(*(const uint64_t *)user);
    return tern_scaled_dot_product_attention(x[0], x[1], x[2], NULL, (tern_attention_opts){.dropout = 0.4});
}
static tern_tensor *attention(tern_tensor *const *x, int n, void *user) {
    (void)n;
    (void)user;
    return tern_scaled_dot_product_attention(x[0], x[1], x[2], NULL, (tern_attention_opts){.dropout = 0.4});
}

TERN_TEST(sequence_dropout, attention_by_seed) {
    tern_tensor *x[3];
    for (int i = 0; i < 3; i++) x[i] = tern_require_grad(test_random(TERN_SHAPE(2, 4, 3), -1, 1, TERN_F64), true);
    uint64_t seed = 11, other = 12;
    tern_tensor *y = seeded_attention(x, 3, &seed);
    CHECK_SAME(seeded_attention(x, 3, &seed), y, exact);
    CHECK(!same(seeded_attention(x, 3, &other), y));
    CHECK(gradcheck("attention", seeded_attention, x, 3, &seed));
    CHECK(gradgradcheck("attention", seeded_attention, x, 3, &seed));
    tern_seed(seed);
    tern_tensor *off = tern_scaled_dot_product_attention(x[0], x[1], x[2], NULL, (tern_attention_opts){0});
    CHECK(tern_random_get().position == 0);
    CHECK(!same(off, y));
}

TERN_TEST(sequence_dropout, recurrence_gradients) {
    for (int k = 0; k < KINDS; k++) {
        check_case("%d gates", gates[k]);
        tern_tensor *x[1 + WEIGHTS] = {test_random(TERN_SHAPE(3, 2, INPUTS), -1, 1, TERN_F64)};
        const int n = 1 + random_weights((kind)k, 1, x + 1);
        for (int i = 0; i < n; i++) x[i] = tern_require_grad(x[i], true);
        net m = {(kind)k, 13, {.layers = LAYERS, .dropout = 0.5}};
        CHECK(gradcheck("layers", seeded, x, n, &m));
    }
    check_case("%s", "");
}

/* Checkpointed activations are computed again from the same draws. */
static tern_tensor *gru(tern_tensor *const *x, int n, void *user) {
    return run(GRU, x[0], x + 1, n - 1, *(const tern_rnn_opts *)user);
}
static void recomputed(const char *what, tern_fn f, tern_tensor **x, int n, void *user) {
    check_case("%s", what);
    tern_tensor *plain[1 + WEIGHTS], *again[1 + WEIGHTS];
    for (int i = 0; i < n; i++) x[i] = tern_require_grad(x[i], true);
    tern_seed(17);
    tern_tensor *y = f(x, n, user);
    CHECK(tern_grad(y, x, n, tern_ones_like(y), (tern_backward_opts){0}, plain));
    tern_seed(17);
    tern_tensor *z = tern_recompute(f, x, n, user);
    CHECK_SAME(z, y, exact);
    tern_seed(99); /* the replay does not depend on where the stream stands by then */
    CHECK(tern_grad(z, x, n, tern_ones_like(z), (tern_backward_opts){0}, again));
    CHECK(tern_random_get().position == 0 && tern_random_get().seed == 99);
    for (int i = 0; i < n; i++) CHECK_SAME(again[i], plain[i], exact);
}

TERN_TEST(sequence_dropout, replayed_in_recomputation) {
    tern_tensor *x[1 + WEIGHTS];
    for (int i = 0; i < 3; i++) x[i] = test_random(TERN_SHAPE(2, 6, 3), -1, 1, TERN_F64);
    recomputed("attention", attention, x, 3, NULL);
    x[0] = test_random(TERN_SHAPE(3, 2, INPUTS), -1, 1, TERN_F64);
    const int n = 1 + random_weights(GRU, 1, x + 1);
    recomputed("gru", gru, x, n, &(tern_rnn_opts){.layers = LAYERS, .dropout = 0.5});
    check_case("%s", "");
}
