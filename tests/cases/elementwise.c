/* The elementwise rows for tern-bench: one million elements each, and broadcast forms of a few. Their cases in the
 * sweep come from tests/sweep.c. */
#include "../sweep.h"

#ifdef SWEEP_BENCH

/* What PyTorch calls a row where that is not torch.NAME(a) or torch.NAME(a, b). */
static const char *const torch_names[][2] = {
    {"ndtr", "torch.special.ndtr(a)"},
    {"polygamma", "torch.polygamma(2, a)"},
    {"logsigmoid", "F.logsigmoid(a)"},
    {"relu6", "F.relu6(a)"},
    {"gelu", "F.gelu(a)"},
    {"gelu_tanh", "F.gelu(a, approximate='tanh')"},
    {"silu", "F.silu(a)"},
    {"mish", "F.mish(a)"},
    {"softplus", "F.softplus(a)"},
    {"softsign", "F.softsign(a)"},
    {"selu", "F.selu(a)"},
    {"hardswish", "F.hardswish(a)"},
    {"hardsigmoid", "F.hardsigmoid(a)"},
    {"tanhshrink", "F.tanhshrink(a)"},
    {"leaky_relu", "F.leaky_relu(a, 0.1)"},
    {"elu", "F.elu(a, 0.7)"},
    {"celu", "F.celu(a, 0.7)"},
    {"hardshrink", "F.hardshrink(a, 0.5)"},
    {"softshrink", "F.softshrink(a, 0.5)"},
    {"softplus_beta", "F.softplus(a, 2, 4)"},
    {"threshold", "F.threshold(a, 1, 2)"},
    {"hardtanh", "F.hardtanh(a, -1, 2)"},
    {"clamp", "torch.clamp(a, -1, 2)"},
    {"leaky_relu_tensor", "torch.where(a > 0, a, a * b)"},
    {"mul_sigmoid", "a * torch.sigmoid(b)"},
    {"swiglu", "F.silu(a) * b"},
    {"left_shift", "a << b"},
    {"right_shift", "a >> b"},
};

#define ROWS_CALL(n, expression)                                                \
    static tern_tensor *call_##n(tern_tensor *const *in, const sweep_case *c) { \
        (void)c;                                                                \
        return (expression);                                                    \
    }
#define TERN_UNARY(n, ...)                      ROWS_CALL(n, tern_##n(in[0]))
#define TERN_UNARY_Y(n, ...)                    ROWS_CALL(n, tern_##n(in[0]))
#define TERN_UNARY_P(n, dt, lo, hi, p, ...)     ROWS_CALL(n, tern_##n(in[0], p))
#define TERN_UNARY_PQ(n, dt, lo, hi, p, q, ...) ROWS_CALL(n, tern_##n(in[0], p, q))
#define TERN_BINARY(n, ...)                     ROWS_CALL(n, tern_##n(in[0], in[1]))
#define TERN_COMPARE(n, ...)                    ROWS_CALL(n, tern_##n(in[0], in[1]))
#define TERN_TEST_OF(n, ...)                    ROWS_CALL(n, tern_##n(in[0]))
#include "core/elementwise.def"

typedef struct row {
    const char *name;
    tern_tensor *(*call)(tern_tensor *const *in, const sweep_case *c);
    double lo, hi;
    int n_in;
} row;
static const row rows[] = {
#define TERN_UNARY(n, dt, low, high, ...)    {#n, call_##n, (low), (high), 1},
#define TERN_UNARY_Y(n, dt, low, high, ...)  {#n, call_##n, (low), (high), 1},
#define TERN_UNARY_P(n, dt, low, high, ...)  {#n, call_##n, (low), (high), 1},
#define TERN_UNARY_PQ(n, dt, low, high, ...) {#n, call_##n, (low), (high), 1},
#define TERN_BINARY(n, dt, low, high, ...)   {#n, call_##n, (low), (high), 2},
#define TERN_COMPARE(n, ...)                 {#n, call_##n, -3, 3, 2},
#define TERN_TEST_OF(n, ...)                 {#n, call_##n, -3, 3, 1},
#include "core/elementwise.def"
};
enum { ROWS = sizeof rows / sizeof *rows };

__attribute__((constructor)) static void bench_add_rows(void) {
    static sweep_case cases[ROWS];
    static sweep_bench benches[ROWS];
    static char text[ROWS][48];
    for (int i = 0; i < ROWS; i++) {
        cases[i].what = "[1024, 1024]";
        for (int k = 0; k < rows[i].n_in; k++)
            cases[i].in[k] =
                (input){.kind = IN_REAL, .lo = rows[i].lo, .hi = rows[i].hi, .shape = SHAPE_OF(1024, 1024)};
        snprintf(text[i], sizeof text[i], "torch.%s(%s)", rows[i].name, rows[i].n_in == 2 ? "a, b" : "a");
        const char *torch_text = text[i];
        for (size_t k = 0; k < sizeof torch_names / sizeof *torch_names; k++)
            if (!strcmp(torch_names[k][0], rows[i].name)) torch_text = torch_names[k][1];
        benches[i] = (sweep_bench){rows[i].name, torch_text, rows[i].call, &cases[i], NULL};
        sweep_bench_add(&benches[i]);
    }
}

ROWS_CALL(mul_transposed, tern_mul(tern_transpose(in[0], 0, 1), in[1]))

#endif

BENCH(add__row, call_add, "a + b", {"[1024, 1024] + [1024]", {REAL(1024, 1024), REAL(1024)}})
BENCH(add__column, call_add, "a + b", {"[1024, 1024] + [1024, 1]", {REAL(1024, 1024), REAL(1024, 1)}})
BENCH(mul__channel, call_mul, "a * b", {"[32, 64, 28, 28] [64, 1, 1]", {REAL(32, 64, 28, 28), REAL(64, 1, 1)}})
BENCH(mul__transposed, call_mul_transposed, "a.T * b", {"[1024, 1024]", {REAL(1024, 1024), REAL(1024, 1024)}})
BENCH(maximum__0_dim, call_maximum, "torch.maximum(a, b)", {"[1024, 1024] and []", {REAL(1024, 1024), SCALAR}})
BENCH(exp__f64, call_exp, "torch.exp(a)", {"[1024, 1024] f64", {TYPED(TERN_F64, 1024, 1024)}})
BENCH(tanh__f64, call_tanh, "torch.tanh(a)", {"[1024, 1024] f64", {TYPED(TERN_F64, 1024, 1024)}})
BENCH(gelu__bf16, call_gelu, "F.gelu(a)", {"[1024, 1024] bf16", {TYPED(TERN_BF16, 1024, 1024)}})
