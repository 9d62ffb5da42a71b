#include "../sweep.h"

static tern_tensor *call_matmul(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_matmul(in[0], in[1]);
}

static array as_matrix(const array *x, bool column) {
    array y = *x;
    if (x->shape.ndim != 1) return y;
    y.shape.ndim = 2;
    y.shape.dim[0] = column ? x->shape.dim[0] : 1;
    y.shape.dim[1] = column ? 1 : x->shape.dim[0];
    return y;
}

static void ref_matmul(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const array a = as_matrix(&in[0], false), b = as_matrix(&in[1], true);
    const int na = a.shape.ndim, nb = b.shape.ndim;
    const int64_t m = a.shape.dim[na - 2], k = a.shape.dim[na - 1], n = b.shape.dim[nb - 1];
    tern_shape sa = a.shape, sb = b.shape;
    sa.ndim -= 2;
    sb.ndim -= 2;
    const tern_shape batch = array_broadcast(sa, sb);
    array ia = {.shape = sa, .n = shape_numel(sa)}, ib = {.shape = sb, .n = shape_numel(sb)};
    array_new(&ia, sa);
    array_new(&ib, sb);
    for (int64_t i = 0; i < ia.n; i++) ia.v[i] = (double)i;
    for (int64_t i = 0; i < ib.n; i++) ib.v[i] = (double)i;
    tern_shape s = batch;
    if (in[0].shape.ndim > 1) s.dim[s.ndim++] = m;
    if (in[1].shape.ndim > 1) s.dim[s.ndim++] = n;
    array_new(out, s);
    for (int64_t p = 0; p < shape_numel(batch); p++) {
        const double *x = a.v + (int64_t)array_at(&ia, batch, p) * m * k,
                     *y = b.v + (int64_t)array_at(&ib, batch, p) * k * n;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t l = 0; l < k; l++) sum += x[i * k + l] * y[l * n + j];
                out->v[(p * m + i) * n + j] = sum;
            }
    }
    free(ia.v);
    free(ib.v);
}

static const sweep_case matmuls[] = {
    {"2-dim", {REAL(3, 4), REAL(4, 5)}},
    {"1x1", {REAL(1, 1), REAL(1, 1)}},
    {"row x column", {REAL(1, 7), REAL(7, 1)}},
    {"column x row", {REAL(7, 1), REAL(1, 5)}},
    {"vector x vector", {REAL(7), REAL(7)}},
    {"vector x matrix", {REAL(4), REAL(4, 5)}},
    {"matrix x vector", {REAL(3, 4), REAL(4)}},
    {"batched", {REAL(2, 3, 4), REAL(2, 4, 2)}},
    {"batched x matrix", {REAL(2, 3, 4), REAL(4, 2)}},
    {"matrix x batched", {REAL(3, 4), REAL(2, 4, 2)}},
    {"batched x vector", {REAL(2, 3, 4), REAL(4)}},
    {"vector x batched", {REAL(4), REAL(2, 4, 3)}},
    {"broadcast batch", {REAL(2, 1, 2, 3), REAL(3, 3, 2)}},
    {"broadcast both", {REAL(2, 1, 2, 3), REAL(1, 3, 3, 2)}},
    {"7-dim", {REAL(1, 2, 1, 2, 1, 2, 3), REAL(2, 1, 1, 1, 2, 3, 1)}},
    {"inner 0", {REAL(3, 0), REAL(0, 2)}},
    {"rows 0", {REAL(0, 3), REAL(3, 2)}},
    {"batch 0", {REAL(0, 2, 3), REAL(3, 2)}},
    {"odd", {REAL(33, 17), REAL(17, 65)}, .loosen = 4},
    {"larger", {REAL(129, 257), REAL(257, 65)}, .loosen = 10},
    {"tall", {REAL(601, 9), REAL(9, 3)}, .loosen = 4},
    {"batch of larger", {REAL(5, 40, 70), REAL(5, 70, 30)}, .loosen = 8},
    {"batch of rows", {REAL(4, 1, 6), REAL(6, 5)}},
    {"batch of columns", {REAL(3, 6), REAL(4, 6, 1)}},
    {"batches of batches", {REAL(3, 1, 4, 2, 5), REAL(1, 2, 4, 5, 2)}},
    {"inner 1", {REAL(2, 5, 1), REAL(2, 1, 6)}},
    {"whole tiles", {REAL(64, 16), REAL(16, 64)}, .loosen = 2},
    {"inner sizes", {REAL(2, 3), REAL(4, 5)}, .code = TERN_ERR_SHAPE, .text = "matmul: "},
    {"batches", {REAL(2, 2, 3), REAL(3, 3, 2)}, .code = TERN_ERR_SHAPE},
    {"0-dim", {SCALAR, REAL(3, 3)}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(2, 3), TYPED(TERN_F64, 3, 2)}, .code = TERN_ERR_DTYPE},
    {"integers", {TYPED(TERN_I32, 2, 3), TYPED(TERN_I32, 3, 2)}, .code = TERN_ERR_DTYPE},
};
SWEEP(matmul, matmuls, call_matmul, ref_matmul, 0, 4)

/* ---- linear
 * ---------------------------------------------------------------------------------------------------------- */

static tern_tensor *call_linear(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_linear(in[0], in[1], in[2]);
}

static void ref_linear(const array *in, const sweep_case *c, array *out) {
    (void)c;
    tern_shape s = in[0].shape;
    const int64_t k = in[1].shape.dim[1], n = in[1].shape.dim[0];
    s.dim[s.ndim - 1] = n;
    array_new(out, s);
    for (int64_t i = 0; i < out->n; i++) {
        out->v[i] = in[2].v ? in[2].v[i % n] : 0;
        for (int64_t l = 0; l < k; l++) out->v[i] += in[0].v[i / n * k + l] * in[1].v[i % n * k + l];
    }
}

static const sweep_case linears[] = {
    {"2-dim", {REAL(3, 4), REAL(5, 4), REAL(5)}},
    {"no bias", {REAL(3, 4), REAL(5, 4), NONE}},
    {"1-dim", {REAL(4), REAL(5, 4), REAL(5)}},
    {"3-dim", {REAL(2, 3, 4), REAL(2, 4), REAL(2)}},
    {"empty", {REAL(0, 4), REAL(5, 4), REAL(5)}},
    {"larger", {REAL(64, 129), REAL(65, 129), REAL(65)}, .loosen = 4},
    {"inner sizes", {REAL(3, 4), REAL(5, 3), REAL(5)}, .code = TERN_ERR_SHAPE},
    {"bias", {REAL(3, 4), REAL(5, 4), REAL(4)}, .code = TERN_ERR_SHAPE},
    {"weight of 1 dimension", {REAL(3, 4), REAL(4), NONE}, .code = TERN_ERR_SHAPE},
    {"dtypes", {REAL(3, 4), TYPED(TERN_F64, 5, 4), NONE}, .code = TERN_ERR_DTYPE},
};
SWEEP(linear, linears, call_linear, ref_linear, 0, 4)

/* ---- linear with its activation. Away from relu's corner, as differences are taken there.
 * ---------------------------------------------------------------------------------------------------------- */

static tern_tensor *call_linear_relu(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_linear_relu(in[0], in[1], in[2]);
}
static tern_tensor *call_linear_gelu_tanh(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_linear_gelu_tanh(in[0], in[1], in[2]);
}

static void ref_linear_relu(const array *in, const sweep_case *c, array *out) {
    ref_linear(in, c, out);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = out->v[i] > 0 ? out->v[i] : 0;
}
static void ref_linear_gelu_tanh(const array *in, const sweep_case *c, array *out) {
    ref_linear(in, c, out);
    for (int64_t i = 0; i < out->n; i++) {
        const double x = out->v[i];
        out->v[i] = 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    }
}

#define ACTIVATED_CASES                                                                                  \
    {"2-dim", {REAL(3, 4), REAL(5, 4), REAL(5)}},                                                        \
        {"whole 8", {REAL(3, 4), REAL(8, 4), REAL(8)}}, /* the second output is fused */                 \
        {"no bias", {REAL(3, 4), REAL(8, 4), NONE}}, {"1-dim", {REAL(4), REAL(5, 4), REAL(5)}},          \
        {"3-dim", {REAL(2, 3, 4), REAL(16, 4), REAL(16)}}, {"empty", {REAL(0, 4), REAL(5, 4), REAL(5)}}, \
        {"inner 0", {REAL(3, 0), REAL(8, 0), RANGE(0.5, 1, 8)}},                                         \
        {"inner sizes", {REAL(3, 4), REAL(5, 3), REAL(5)}, .code = TERN_ERR_SHAPE, .text = "linear_"},   \
        {"dtypes", {REAL(3, 4), TYPED(TERN_F64, 5, 4), NONE}, .code = TERN_ERR_DTYPE},
static const sweep_case activated[] = {ACTIVATED_CASES};
SWEEP(linear_relu, activated, call_linear_relu, ref_linear_relu, 0, 4)
SWEEP(linear_gelu_tanh, activated, call_linear_gelu_tanh, ref_linear_gelu_tanh, 0, 4)
