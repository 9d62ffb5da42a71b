/* Recurrent layers on the device in question, which a backend may do whole with a library, beside the CPU's steps in
 * float64: results, gradients of every part, second derivatives, graphs that are walked twice or captured. Over the
 * simulation, that the library was asked where it should be, and not where it should not. cuDNN may differ from itself
 * in the last bits, so nothing is compared to the bit. */
#include <dlfcn.h>

#include "common.h"
#include "tern/graph.h"
#include "tern/linalg.h"
#include "tern/trace.h"

/* What the simulation of the library tells of itself; NULL elsewhere. */
static int (*sim_number(const char *name))(void) {
    const char *folder = getenv("TERN_MODULE_PATH");
    char path[4096];
    int (*function)(void) = NULL;
    if (test_device().type != TERN_CUDA || !folder || !tern_device_available(test_device())) return NULL;
    snprintf(path, sizeof path, "%s/libtern-cuda.so", folder);
    void *module = dlopen(path, RTLD_NOW | RTLD_NOLOAD), *symbol = module ? dlsym(module, name) : NULL;
    memcpy(&function, &symbol, sizeof function);
    return function;
}
static int asked(void) {
    int (*calls)(void) = sim_number("terni_sim_rnn_calls");
    return calls ? calls() : 0;
}
static bool own_kernels(void) {
    const char *kernels = getenv("TERN_CUDA_KERNELS");
    return kernels && strcmp(kernels, "own") == 0;
}
/* The library is simulated and may be used. */
static bool simulated(void) { return sim_number("terni_sim_rnn_calls") && !own_kernels(); }

typedef enum family { RNN, RELU, LSTM, GRU, FAMILIES } family;
static const char *const names[FAMILIES] = {"rnn", "relu", "lstm", "gru"};

typedef struct setting {
    const char *name;
    int64_t t, n, i, h, layers;
    bool both, batch_first, states, b_ih, b_hh, turned; /* turned: weights that are views of transposed ones */
    bool lengths;
    int library; /* layers that the library does */
} setting;

static const setting settings[] = {
    {"plain", 6, 3, 7, 4, 1, false, false, true, true, true, false, false, 1},
    {"both ways, two layers", 5, 2, 3, 6, 2, true, false, true, true, true, false, false, 2},
    {"no biases, no states, batch first", 4, 3, 5, 4, 2, true, true, false, false, false, false, false, 2},
    {"one bias, turned weights", 4, 2, 4, 3, 1, true, false, false, false, true, true, false, 1},
    {"one step of one sample", 1, 1, 1, 3, 1, true, false, true, true, false, false, false, 1},
    {"what the library has not", 3, 2, 4, 5, 1, true, false, true, true, true, false, false, 0},
    {"lengths", 4, 2, 3, 4, 1, true, false, true, true, true, false, true, 0},
};
enum { SETTINGS = sizeof settings / sizeof *settings, WEIGHTS = 16, INPUTS = 3 + WEIGHTS, PARTS = 3 + INPUTS };

static tern_tensor *filled(tern_shape s, uint64_t seed, tern_dtype dtype, tern_device device, bool turned) {
    tern_seed(seed);
    tern_tensor *t = tern_mul_scalar(tern_randn(s, 0, 1, (tern_options){.dtype = TERN_F32}), 0.5);
    t = tern_to(tern_cast(tern_cast(t, TERN_BF16), dtype), device); /* the same numbers in every dtype */
    if (turned) t = tern_transpose(tern_contiguous(tern_transpose(t, 0, 1)), 0, 1);
    return t;
}

/* x, states and weights; those that the setting leaves out are NULL. Returns how many weights there are. */
static int inputs_of(const setting *s, family f, tern_dtype dtype, tern_device device, bool grad, tern_tensor **in) {
    const int64_t gates = f == LSTM ? 4 : f == GRU ? 3 : 1, dirs = s->both ? 2 : 1;
    const int weights = (int)(4 * s->layers * dirs);
    const tern_shape states = TERN_SHAPE(s->layers * dirs, s->n, s->h);
    for (int i = 0; i < INPUTS; i++) in[i] = NULL;
    in[0] =
        filled(s->batch_first ? TERN_SHAPE(s->n, s->t, s->i) : TERN_SHAPE(s->t, s->n, s->i), 1, dtype, device, false);
    if (s->states) in[1] = filled(states, 2, dtype, device, false);
    if (s->states && f == LSTM) in[2] = filled(states, 3, dtype, device, false);
    for (int k = 0; k < weights; k++) {
        const int64_t wide = k % 4 ? s->h : k < 4 * dirs ? s->i : dirs * s->h;
        const tern_shape shape = k % 4 > 1 ? TERN_SHAPE(gates * s->h) : TERN_SHAPE(gates * s->h, wide);
        if (k % 4 == 2 ? s->b_ih : k % 4 == 3 ? s->b_hh : true)
            in[3 + k] = filled(shape, 10 + (uint64_t)k, dtype, device, s->turned && k % 4 < 2);
    }
    for (int i = 0; grad && i < INPUTS; i++)
        if (in[i]) in[i] = tern_require_grad(in[i], true);
    return weights;
}

static tern_tensor *layer(const setting *s, family f, tern_tensor *const *in, int weights, tern_tensor **hn,
                          tern_tensor **cn) {
    static const int64_t lengths[] = {2, 4, 3};
    const tern_rnn_opts o = {.layers = s->layers,
                             .bidirectional = s->both,
                             .batch_first = s->batch_first,
                             .relu = f == RELU,
                             .lengths = s->lengths ? lengths : NULL};
    *cn = NULL;
    return f == LSTM  ? tern_lstm(in[0], in[1], in[2], in + 3, weights, o, hn, cn)
           : f == GRU ? tern_gru(in[0], in[1], in + 3, weights, o, hn)
                      : tern_rnn(in[0], in[1], in + 3, weights, o, hn);
}

/* A sum of all results with weights of their own, so that every one of them matters. */
static tern_tensor *loss_of(tern_tensor *const *made, tern_dtype dtype, tern_device device) {
    tern_tensor *total = NULL;
    for (int i = 0; i < 3; i++) {
        if (!made[i]) continue;
        tern_tensor *w = filled(tern_shape_get(made[i]), 50 + (uint64_t)i, dtype, device, false);
        tern_tensor *part = tern_sum(tern_mul(tern_cast(made[i], dtype), w), NULL, 0, false);
        total = total ? tern_add(total, part) : part;
    }
    return total;
}

/* The same without numbers that would have to be drawn. */
static tern_tensor *squares(tern_tensor *const *made, int n) {
    tern_tensor *total = NULL;
    for (int i = 0; i < n; i++) {
        tern_tensor *part = made[i] ? tern_sum(tern_mul(made[i], made[i]), NULL, 0, false) : NULL;
        total = total && part ? tern_add(total, part) : part ? part : total;
    }
    return total;
}

/* Results, then gradients of those inputs that there are, in the order of in. */
static bool run(const setting *s, family f, tern_dtype dtype, tern_device device, tern_tensor **part) {
    tern_tensor *in[INPUTS], *there[INPUTS], *got[INPUTS];
    const int weights = inputs_of(s, f, dtype, device, true, in);
    int n = 0;
    for (int i = 0; i < PARTS; i++) part[i] = NULL;
    part[0] = layer(s, f, in, weights, &part[1], &part[2]);
    for (int i = 0; i < INPUTS; i++)
        if (in[i]) there[n++] = in[i];
    const tern_dtype wide = dtype == TERN_F64 ? TERN_F64 : TERN_F32;
    tern_tensor *loss = part[0] ? loss_of(part, wide, device) : NULL;
    if (!loss || !tern_grad(loss, there, n, NULL, (tern_backward_opts){0}, got)) return false;
    for (int i = 0, k = 0; i < INPUTS; i++)
        if (in[i]) part[3 + i] = got[k++];
    return true;
}

static void compare(const char *what, int part, tern_tensor *got, tern_tensor *want, double allowed) {
    if (!CHECK(!got == !want, "%s: part %d is there once", what, part) || !want) return;
    const int64_t n = tern_numel(want);
    REQUIRE(tern_numel(got) == n);
    double *a = malloc(2 * (size_t)n * sizeof *a), *b = a + n, worst = 0, most = 0;
    REQUIRE(a && tern_to_doubles(want, a, n) && tern_to_doubles(got, b, n), "%s", tern_error_message());
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs(a[i] - b[i]);
        most = fabs(a[i]) > most ? fabs(a[i]) : most;
        if (!isnan(worst)) worst = off <= worst ? worst : off; /* a NaN too, and it stays */
    }
    CHECK(most > 0 && worst <= allowed * most, "%s, part %d: off by %g of %g", what, part, worst, most);
    free(a);
}

TERN_TEST(recurrent_library, as_on_the_cpu) {
    static const struct {
        tern_dtype dtype;
        double allowed;
    } dtypes[] = {{TERN_F64, 1e-12}, {TERN_F32, 1e-5}, {TERN_F16, 1e-2}, {TERN_BF16, 6e-2}};
    for (int i = 0; i < SETTINGS; i++)
        for (int f = 0; f < FAMILIES; f++)
            for (int d = 0; d < 4; d++) {
                const int scope = tern_scope_push(), before = asked();
                tern_tensor *want[PARTS], *got[PARTS];
                const setting *s = &settings[i];
                check_case("%s, %s, %s", s->name, names[f], tern_dtype_name(dtypes[d].dtype));
                REQUIRE(run(s, (family)f, dtypes[d].dtype, test_device(), got), "%s", tern_error_message());
                if (simulated()) /* forward, the data's gradient, the weights' */
                    CHECK(asked() - before == 3 * s->library, "asked %d times", asked() - before);
                if (own_kernels()) CHECK(asked() == before);
                REQUIRE(run(s, (family)f, TERN_F64, tern_cpu(), want), "%s", tern_error_message());
                for (int p = 0; p < PARTS; p++) compare("beside the CPU", p, got[p], want[p], dtypes[d].allowed);
                tern_scope_pop(scope);
            }
}

/* What the library fails at is an error, where what it has not goes to own kernels. */
TERN_TEST(recurrent_library, failures_are_errors) {
    setting s = settings[0];
    tern_tensor *in[INPUTS], *hn, *cn;
    s.h = 9;
    const int weights = inputs_of(&s, LSTM, TERN_F32, test_device(), false, in);
    tern_tensor *y = layer(&s, LSTM, in, weights, &hn, &cn);
    if (simulated())
        EXPECT_ERROR(y, TERN_ERR_DEVICE, "the plan of a recurrent layer");
    else
        CHECK(y != NULL, "%s", tern_error_message());
}

/* Without gradients, and with gradients of x, the states or one weight alone. */
TERN_TEST(recurrent_library, parts_alone) {
    const setting *s = &settings[1];
    for (int f = 0; f < FAMILIES; f++) {
        tern_tensor *all[PARTS], *in[INPUTS], *hn, *cn;
        REQUIRE(run(s, (family)f, TERN_F64, test_device(), all), "%s", tern_error_message());
        const int weights = inputs_of(s, (family)f, TERN_F64, test_device(), false, in);
        compare("no gradient", 0, layer(s, (family)f, in, weights, &hn, &cn), all[0], 1e-12);
        for (int i = 0; i < 3 + weights; i++) {
            if (!in[i]) continue;
            const int before = asked();
            tern_tensor *kept = in[i], *got = NULL;
            in[i] = tern_require_grad(tern_clone(kept), true);
            tern_tensor *y = layer(s, (family)f, in, weights, &hn, &cn), *made[3] = {y, hn, cn};
            CHECK(tern_grad(loss_of(made, TERN_F64, test_device()), &in[i], 1, NULL, (tern_backward_opts){0}, &got),
                  "%s", tern_error_message());
            compare(names[f], i, got, all[3 + i], 1e-12);
            if (simulated()) CHECK(asked() > before);
            in[i] = kept;
        }
    }
}

/* Backward spoils what the library kept of forward; a second walk has it whole. */
TERN_TEST(recurrent_library, walked_twice) {
    for (int f = 0; f < FAMILIES; f++) {
        tern_tensor *in[INPUTS], *hn, *cn, *got[2][5];
        const int weights = inputs_of(&settings[0], (family)f, TERN_F32, test_device(), true, in);
        tern_tensor *y = layer(&settings[0], (family)f, in, weights, &hn, &cn), *made[3] = {y, hn, cn};
        tern_tensor *loss = loss_of(made, TERN_F32, test_device()), *of[5] = {in[0], in[1], in[3], in[4], in[6]};
        for (int k = 0; k < 2; k++)
            REQUIRE(tern_grad(loss, of, 5, NULL, (tern_backward_opts){.retain_graph = k == 0}, got[k]), "%s",
                    tern_error_message());
        for (int i = 0; i < 5; i++) CHECK_SAME(got[0][i], got[1][i], ((tolerance){1e-5, 1e-6}));
    }
}

/* The gradient's own gradient, which goes step by step. */
static tern_tensor *second(family f, tern_device device, tern_tensor **first) {
    tern_tensor *in[INPUTS], *hn, *cn, *of[4], *got[4], *again = NULL;
    const int weights = inputs_of(&settings[1], f, TERN_F64, device, true, in);
    tern_tensor *y = layer(&settings[1], f, in, weights, &hn, &cn), *made[3] = {y, hn, cn};
    of[0] = in[0], of[1] = in[1], of[2] = in[4], of[3] = in[8];
    if (!tern_grad(loss_of(made, TERN_F64, device), of, 4, NULL, (tern_backward_opts){.create_graph = true}, got))
        return NULL;
    *first = got[3];
    return tern_grad(squares(got, 4), &in[3], 1, NULL, (tern_backward_opts){0}, &again) ? again : NULL;
}
TERN_TEST(recurrent_library, second_derivatives) {
    for (int f = 0; f < FAMILIES; f++) {
        tern_tensor *first[2] = {NULL, NULL};
        tern_tensor *got = second((family)f, test_device(), &first[0]),
                    *want = second((family)f, tern_cpu(), &first[1]);
        REQUIRE(got && want, "%s", tern_error_message());
        compare(names[f], 1, first[0], first[1], 1e-12);
        compare(names[f], 2, got, want, 1e-11);
    }
}

/* A captured layer and its gradients, replayed with other numbers in place. */
TERN_TEST(recurrent_library, captured) {
    const char *how = getenv("TERN_CUDA_ALLOCATOR");
    if (test_device().type == TERN_CPU || (how && strcmp(how, "direct") == 0)) {
        printf("skipped: nothing is captured here\n");
        return;
    }
    for (int f = 0; f < FAMILIES; f++) {
        tern_tensor *in[INPUTS], *hn, *cn, *got[2], *want[2];
        const int weights = inputs_of(&settings[1], (family)f, TERN_F32, test_device(), true, in);
        tern_tensor *of[2] = {in[0], in[4]}, *other = tern_mul_scalar(tern_detach(in[4]), -0.75);
        const int scope = tern_scope_push();
        REQUIRE(tern_graph_capture_begin(test_device()), "%s", tern_error_message());
        tern_tensor *y = layer(&settings[1], (family)f, in, weights, &hn, &cn), *made[3] = {y, hn, cn};
        const bool ok = tern_grad(squares(made, 3), of, 2, NULL, (tern_backward_opts){0}, got);
        tern_graph *graph = tern_graph_capture_end();
        REQUIRE(ok && graph, "%s", tern_error_message());
        for (int k = 0; k < 2; k++) {
            const bool was = tern_grad_mode(false);
            if (k) CHECK(tern_copy_(in[4], other) != NULL, "%s", tern_error_message());
            tern_grad_mode(was);
            CHECK(tern_graph_replay(graph), "%s", tern_error_message());
            tern_tensor *fresh[3] = {layer(&settings[1], (family)f, in, weights, &fresh[1], &fresh[2])};
            REQUIRE(tern_grad(squares(fresh, 3), of, 2, NULL, (tern_backward_opts){0}, want), "%s",
                    tern_error_message());
            compare("replayed y", k, y, fresh[0], 1e-6);
            for (int i = 0; i < 2; i++) compare("replayed gradient", i, got[i], want[i], 1e-6);
        }
        tern_scope_pop(scope);
        CHECK(tern_graph_free(graph), "%s", tern_error_message());
    }
}

/* Graphs that are freed give back the plans that they were captured with: there is no end to new shapes. */
TERN_TEST(recurrent_library, graphs_give_back_their_plans) {
    if (!simulated()) return;
    enum { GRAPHS = 11, EACH = 50 };
    for (int g = 0; g < GRAPHS; g++) {
        const int scope = tern_scope_push(), before = asked();
        tern_tensor *in[EACH][INPUTS], *hn, *cn;
        int weights = 0;
        for (int k = 0; k < EACH; k++) {
            const setting s = {"captured", 1 + k, 1 + g, 1, 1, 1, false, false, false, true, false, false, false, 1};
            weights = inputs_of(&s, RNN, TERN_F32, test_device(), false, in[k]);
        }
        REQUIRE(tern_graph_capture_begin(test_device()), "%s", tern_error_message());
        const int inner = tern_scope_push();
        for (int k = 0; k < EACH; k++) CHECK(layer(&settings[0], RNN, in[k], weights, &hn, &cn) != NULL);
        tern_scope_pop(inner);
        tern_graph *graph = tern_graph_capture_end();
        REQUIRE(graph, "%s", tern_error_message());
        CHECK(tern_graph_replay(graph) && tern_graph_free(graph), "%s", tern_error_message());
        CHECK(asked() - before == EACH, "graph %d: %d of %d layers are the library's", g, asked() - before, EACH);
        tern_scope_pop(scope);
    }
}

/* A trace lists the same ops wherever a layer runs: those that its header names. */
TERN_TEST(recurrent_library, traced) {
    for (int f = 0; f < FAMILIES; f++) {
        tern_tensor *in[INPUTS], *hn, *cn;
        const int weights = inputs_of(&settings[1], (family)f, TERN_F32, test_device(), false, in);
        tern_tracer *trace = tern_tracer_begin();
        REQUIRE(trace && tern_tracer_follow(trace, in[0]) && layer(&settings[1], (family)f, in, weights, &hn, &cn) &&
                    tern_tracer_end(trace),
                "%s", tern_error_message());
        tern_traced op;
        int loops = 0;
        for (int64_t i = 0; tern_tracer_at(trace, i, &op); i++) {
            int64_t kind = 0, back = 0;
            if (strcmp(op.op, "recurrence") != 0) continue;
            CHECK(tern_traced_ints(&op, "kind", &kind, 1) == 1 && tern_traced_ints(&op, "back", &back, 1) == 1);
            CHECK(back == loops++ % 2);
        }
        CHECK(loops == 4, "%s: %d loops are listed", names[f], loops); /* two layers both ways */
        tern_tracer_free(trace);
    }
}

/* The program's settings reach the library: tf32, and that results are to repeat themselves. */
TERN_TEST(recurrent_library, settings) {
    int (*math)(void) = sim_number("terni_sim_rnn_math");
    tern_tensor *part[PARTS];
    CHECK(!tern_deterministic_get() && !tern_deterministic(true) && tern_deterministic_get());
    unsetenv("CUBLAS_WORKSPACE_CONFIG");
    int before = asked();
    REQUIRE(run(&settings[0], LSTM, TERN_F32, test_device(), part), "%s", tern_error_message());
    CHECK(asked() == before);
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:2:16:8", 1);
    REQUIRE(run(&settings[0], LSTM, TERN_F32, test_device(), part), "%s", tern_error_message());
    CHECK(asked() == before);
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:2", 1);
    REQUIRE(run(&settings[0], LSTM, TERN_F32, test_device(), part), "%s", tern_error_message());
    if (simulated()) CHECK(asked() == before + 3);
    /* Asked for between the two passes: the library's gradients are not taken. */
    CHECK(tern_deterministic(false));
    tern_tensor *in[INPUTS], *hn, *cn, *want = NULL, *got = NULL;
    const int weights = inputs_of(&settings[0], LSTM, TERN_F32, test_device(), true, in);
    tern_tensor *y = layer(&settings[0], LSTM, in, weights, &hn, &cn), *made[3] = {y, hn, cn};
    tern_tensor *loss = loss_of(made, TERN_F32, test_device());
    REQUIRE(tern_grad(loss, &in[3], 1, NULL, (tern_backward_opts){.retain_graph = true}, &want));
    before = asked();
    CHECK(!tern_deterministic(true));
    REQUIRE(tern_grad(loss, &in[3], 1, NULL, (tern_backward_opts){0}, &got), "%s", tern_error_message());
    CHECK(asked() == before, "the library's gradients were taken");
    CHECK_SAME(got, want, ((tolerance){1e-5, 1e-6}));
    CHECK(!tern_requires_grad(got));
    CHECK(tern_deterministic(false));
    if (!simulated() || !math) return;
    setting s = settings[0];
    s.t = 11; /* plans of this size are not there yet */
    tern_allow_tf32(true);
    CHECK(run(&s, GRU, TERN_F32, test_device(), part), "%s", tern_error_message());
    CHECK(math() == 0, "math %d with tf32", math());
    tern_allow_tf32(false);
    CHECK(run(&s, GRU, TERN_F32, test_device(), part), "%s", tern_error_message());
    CHECK(math() == 3, "math %d without", math());
}

/* More shapes than plans are kept for, each twice, so that some come back after they had to go. */
TERN_TEST(recurrent_library, more_shapes_than_are_kept) {
    enum { SHAPES = 600 };
    double first[SHAPES];
    setting s = {"many", 1, 1, 1, 1, 1, false, false, false, true, false, false, false, 1};
    if (test_device().type == TERN_CPU) {
        printf("skipped: nothing is kept on the CPU\n");
        return;
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < SHAPES; i++) {
            const int scope = tern_scope_push();
            tern_tensor *in[INPUTS], *hn, *cn;
            s.t = 1 + i % 30;
            s.i = 1 + i / 30;
            const int weights = inputs_of(&s, RNN, TERN_F32, test_device(), false, in);
            tern_tensor *y = layer(&s, RNN, in, weights, &hn, &cn);
            REQUIRE(y && hn, "%s", tern_error_message());
            const double sum = tern_item(tern_sum(y, NULL, 0, false));
            if (round)
                CHECK(fabs(sum - first[i]) <= 1e-6 * (double)s.t, "shape %d: %.9g, then %.9g", i, first[i], sum);
            else
                first[i] = sum;
            tern_scope_pop(scope);
        }
}
