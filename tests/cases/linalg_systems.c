/* cholesky and what is solved by it, triangular_solve, solve, inverse, det, slogdet. */
#include "linalg.h"

/* ---- cholesky; arg[0]: upper ------------------------------------------------------------------------------------- */

static tern_tensor *call_cholesky(tern_tensor *const *in, const sweep_case *c) {
    if (c->code) return tern_cholesky(in[0], false);
    return tern_cholesky(definite(in[0]), c->arg[0] != 0);
}
static void lower_factor(double *a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int64_t k = 0; k < (j < i ? j : i); k++) a[i * n + j] -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = j > i ? 0 : j == i ? sqrt(a[i * n + i]) : a[i * n + j] / a[j * n + j];
        }
}
static void ref_cholesky(const array *in, const sweep_case *c, array *out) {
    const int64_t n = cols_of(&in[0]);
    double l[MOST];
    array_new(out, in[0].shape);
    for (int64_t i = 0; i < out->n; i += n * n) {
        make_definite(in[0].v + i, l, n);
        lower_factor(l, n);
        if (c->arg[0])
            flip(l, out->v + i, n, n);
        else
            memcpy(out->v + i, l, (size_t)(n * n) * sizeof *l);
    }
}
static const sweep_case choleskys[] = {
    {"2-dim", {UNIT(3, 3)}},
    {"upper", {UNIT(3, 3)}, .arg = {1}},
    {"batched", {UNIT(2, 3, 3)}},
    {"batched, upper", {UNIT(2, 2, 3, 3)}, .arg = {1}},
    {"1x1", {UNIT(3, 1, 1)}},
    {"0x0", {UNIT(2, 0, 0)}},
    {"batch 0", {UNIT(0, 2, 2)}},
    {"odd", {UNIT(17, 17)}, .loosen = 4},
    {"larger", {UNIT(2, 60, 60)}, .loosen = 20},
    {"wide", {UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "cholesky: "},
    {"1-dim", {UNIT(3)}, .code = TERN_ERR_SHAPE, .text = "cholesky: "},
    {"f16", {TYPED(TERN_F16, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "cholesky: "},
    {"integers", {TYPED(TERN_I64, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "cholesky: "},
    {"not definite", {RANGE(-2, -1, 3, 3)}, .code = TERN_ERR_ARGUMENT, .text = "cholesky: matrix 0 is not positive"},
};
SWEEP(cholesky, choleskys, call_cholesky, ref_cholesky, SWEEP_NO_HALF, 20)

BENCH(cholesky, call_cholesky, "torch.linalg.cholesky(a @ a.mT + torch.eye(a.shape[-1]))", {"512", {UNIT(512, 512)}})
BENCH(cholesky__small, call_cholesky, "torch.linalg.cholesky(a @ a.mT + torch.eye(a.shape[-1]))",
      {"[10000, 8, 8]", {UNIT(10000, 8, 8)}})

/* ---- cholesky_solve (b, a), cholesky_inverse; arg[0]: upper ------------------------------------------------------ */

static tern_tensor *call_cholesky_solve(tern_tensor *const *in, const sweep_case *c) {
    if (c->code) return tern_cholesky_solve(in[0], in[1], false);
    return tern_cholesky_solve(in[0], tern_cholesky(definite(in[1]), c->arg[0] != 0), c->arg[0] != 0);
}
static tern_tensor *call_cholesky_inverse(tern_tensor *const *in, const sweep_case *c) {
    if (c->code) return tern_cholesky_inverse(in[0], false);
    return tern_cholesky_inverse(tern_cholesky(definite(in[0]), c->arg[0] != 0), c->arg[0] != 0);
}
/* x of make(a) x = b, b NULL for the identity. */
static void solutions(const array *a, const array *b, void (*make)(const double *, double *, int64_t), array *out) {
    const int64_t n = rows_of(a), k = b ? cols_of(b) : n;
    const tern_shape batch = b ? array_broadcast(batch_of(a, 2), batch_of(b, 2)) : batch_of(a, 2);
    double m[MOST];
    array_new(out, with(batch, n, k));
    for (int64_t i = 0; n * k > 0 && i < out->n / (n * k); i++) {
        make(matrix_at(a, batch, i), m, n);
        double *x = out->v + i * n * k;
        for (int64_t e = 0; e < n * k; e++) x[e] = b ? matrix_at(b, batch, i)[e] : e / n == e % n;
        (void)eliminate(m, x, n, k);
    }
}
static void ref_cholesky_solve(const array *in, const sweep_case *c, array *out) {
    (void)c;
    solutions(&in[1], &in[0], make_definite, out);
}
static void ref_cholesky_inverse(const array *in, const sweep_case *c, array *out) {
    (void)c;
    solutions(&in[0], NULL, make_definite, out);
}
static const sweep_case cholesky_solves[] = {
    {"2-dim", {UNIT(3, 2), UNIT(3, 3)}},
    {"upper", {UNIT(3, 2), UNIT(3, 3)}, .arg = {1}},
    {"batched", {UNIT(2, 3, 1), UNIT(2, 3, 3)}},
    {"broadcast", {UNIT(2, 1, 2, 1), UNIT(3, 2, 2)}},
    {"no columns", {UNIT(3, 0), UNIT(3, 3)}},
    {"sizes", {UNIT(2, 2), UNIT(3, 3)}, .code = TERN_ERR_SHAPE, .text = "cholesky_solve: "},
    {"dtypes", {TYPED(TERN_F32, 3, 3), TYPED(TERN_F64, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "cholesky_solve: "},
};
SWEEP(cholesky_solve, cholesky_solves, call_cholesky_solve, ref_cholesky_solve, SWEEP_NO_HALF, 20)
static const sweep_case cholesky_inverses[] = {
    {"2-dim", {UNIT(3, 3)}},
    {"upper, batched", {UNIT(2, 3, 3)}, .arg = {1}},
    {"wide", {UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "cholesky_inverse: "},
};
SWEEP(cholesky_inverse, cholesky_inverses, call_cholesky_inverse, ref_cholesky_inverse, SWEEP_NO_HALF, 20)

/* ---- triangular_solve (a, b); arg: upper, transposed, unitriangular, right --------------------------------------- */

static tern_tensor *call_triangular_solve(tern_tensor *const *in, const sweep_case *c) {
    const tern_triangular_solve_opts o = {c->arg[0] != 0, c->arg[1] != 0, c->arg[2] != 0, c->arg[3] != 0};
    return tern_triangular_solve(c->code ? in[0] : dominant(in[0]), in[1], o);
}
static void ref_triangular_solve(const array *in, const sweep_case *c, array *out) {
    const int64_t n = rows_of(&in[0]), rows = rows_of(&in[1]), cols = cols_of(&in[1]), each = rows * cols;
    const tern_shape batch = array_broadcast(batch_of(&in[0], 2), batch_of(&in[1], 2));
    double m[MOST], t[MOST], x[MOST];
    array_new(out, with(batch, rows, cols));
    for (int64_t i = 0; each > 0 && i < out->n / each; i++) {
        make_dominant(matrix_at(&in[0], batch, i), m, n);
        for (int64_t e = 0; e < n * n; e++) {
            if (c->arg[0] ? e / n > e % n : e / n < e % n) m[e] = 0;
            if (c->arg[2] && e / n == e % n) m[e] = 1;
        }
        const double *b = matrix_at(&in[1], batch, i);
        if (c->arg[1] != c->arg[3])
            flip(m, t, n, n);
        else
            memcpy(t, m, sizeof t);
        if (c->arg[3])
            flip(b, x, rows, cols);
        else
            memcpy(x, b, (size_t)each * sizeof *b);
        (void)eliminate(t, x, n, each / n);
        if (c->arg[3])
            flip(x, out->v + i * each, cols, rows);
        else
            memcpy(out->v + i * each, x, (size_t)each * sizeof *x);
    }
}
static const sweep_case triangular_solves[] = {
    {"lower", {UNIT(3, 3), UNIT(3, 2)}},
    {"upper", {UNIT(3, 3), UNIT(3, 2)}, .arg = {1}},
    {"lower, transposed", {UNIT(3, 3), UNIT(3, 2)}, .arg = {0, 1}},
    {"upper, transposed", {UNIT(3, 3), UNIT(3, 2)}, .arg = {1, 1}},
    {"lower, unit", {UNIT(3, 3), UNIT(3, 2)}, .arg = {0, 0, 1}},
    {"upper, unit", {UNIT(3, 3), UNIT(3, 2)}, .arg = {1, 0, 1}},
    {"upper, transposed, unit", {UNIT(3, 3), UNIT(3, 2)}, .arg = {1, 1, 1}},
    {"right", {UNIT(3, 3), UNIT(2, 3)}, .arg = {0, 0, 0, 1}},
    {"right, upper", {UNIT(3, 3), UNIT(2, 3)}, .arg = {1, 0, 0, 1}},
    {"right, transposed, unit", {UNIT(3, 3), UNIT(2, 3)}, .arg = {0, 1, 1, 1}},
    {"batched", {UNIT(2, 3, 3), UNIT(2, 3, 2)}, .arg = {1}},
    {"one a", {UNIT(3, 3), UNIT(2, 3, 2)}},
    {"one b", {UNIT(2, 3, 3), UNIT(3, 2)}},
    {"broadcast", {UNIT(2, 1, 2, 2), UNIT(3, 2, 1)}, .arg = {1}},
    {"1x1", {UNIT(1, 1), UNIT(1, 1)}},
    {"0x0", {UNIT(0, 0), UNIT(0, 2)}},
    {"no columns", {UNIT(2, 2), UNIT(2, 0)}},
    {"larger", {UNIT(50, 50), UNIT(2, 50, 7)}, .arg = {1, 1}, .loosen = 4},
    {"sizes", {UNIT(3, 3), UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "triangular_solve: "},
    {"sizes, right", {UNIT(3, 3), UNIT(3, 2)}, .arg = {0, 0, 0, 1}, .code = TERN_ERR_SHAPE, .text = "triangular_solve"},
    {"vector", {UNIT(3, 3), UNIT(3)}, .code = TERN_ERR_SHAPE, .text = "triangular_solve: "},
    {"f16", {TYPED(TERN_F16, 3, 3), TYPED(TERN_F16, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "triangular_solve: "},
};
SWEEP(triangular_solve, triangular_solves, call_triangular_solve, ref_triangular_solve, SWEEP_NO_HALF, 10)
BENCH(triangular_solve, call_triangular_solve,
      "torch.linalg.solve_triangular(a + a.shape[-1] * torch.eye(a.shape[-1]), b, upper=False)",
      {"512", {UNIT(512, 512), UNIT(512, 512)}})

/* ---- solve (a, b), inverse, det, slogdet ------------------------------------------------------------------------- */

static tern_tensor *call_solve(tern_tensor *const *in, const sweep_case *c) {
    return tern_solve(c->code ? in[0] : dominant(in[0]), in[1]);
}
static void ref_solve(const array *in, const sweep_case *c, array *out) {
    (void)c;
    array b = in[1];
    const bool vector = b.shape.ndim == 1;
    if (vector) b.shape.dim[b.shape.ndim++] = 1;
    solutions(&in[0], &b, make_dominant, out);
    if (vector) out->shape.ndim--;
}
static const sweep_case solves[] = {
    {"matrix", {UNIT(3, 3), UNIT(3, 2)}},
    {"vector", {UNIT(3, 3), UNIT(3)}},
    {"vector for a batch", {UNIT(2, 3, 3), UNIT(3)}},
    {"batched", {UNIT(2, 3, 3), UNIT(2, 3, 2)}},
    {"one a", {UNIT(3, 3), UNIT(2, 3, 2)}},
    {"one b", {UNIT(2, 3, 3), UNIT(3, 2)}},
    {"broadcast", {UNIT(2, 1, 2, 2), UNIT(3, 2, 1)}},
    {"1x1", {UNIT(1, 1), UNIT(1, 1)}},
    {"0x0", {UNIT(0, 0), UNIT(0, 2)}},
    {"no columns", {UNIT(2, 2), UNIT(2, 0)}},
    {"batch 0", {UNIT(0, 2, 2), UNIT(2, 1)}},
    {"many small", {UNIT(400, 4, 4), UNIT(400, 4, 1)}},
    {"larger", {UNIT(60, 60), UNIT(60, 7)}, .loosen = 4},
    {"sizes", {UNIT(3, 3), UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "solve: "},
    {"wide", {UNIT(2, 3), UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "solve: "},
    {"batches", {UNIT(2, 3, 3), UNIT(4, 3, 3)}, .code = TERN_ERR_SHAPE, .text = "solve: "},
    {"dtypes", {TYPED(TERN_F32, 3, 3), TYPED(TERN_F64, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "solve: "},
    {"bf16", {TYPED(TERN_BF16, 3, 3), TYPED(TERN_BF16, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "solve: "},
    {"singular", {RANGE(0, 0, 3, 2, 2), UNIT(2, 2)}, .code = TERN_ERR_ARGUMENT, .text = "solve: matrix 0 is singular"},
};
SWEEP(solve, solves, call_solve, ref_solve, SWEEP_NO_HALF, 10)
BENCH(solve, call_solve, "torch.linalg.solve(a + a.shape[-1] * torch.eye(a.shape[-1]), b)",
      {"512", {UNIT(512, 512), UNIT(512, 8)}})

static tern_tensor *call_inverse(tern_tensor *const *in, const sweep_case *c) {
    return tern_inverse(c->code ? in[0] : dominant(in[0]));
}
static void ref_inverse(const array *in, const sweep_case *c, array *out) {
    (void)c;
    solutions(&in[0], NULL, make_dominant, out);
}
static const sweep_case inverses[] = {
    {"2-dim", {UNIT(3, 3)}},
    {"batched", {UNIT(2, 2, 3, 3)}},
    {"1x1", {UNIT(1, 1)}},
    {"0x0", {UNIT(2, 0, 0)}},
    {"larger", {UNIT(60, 60)}, .loosen = 4},
    {"wide", {UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "inverse: "},
    {"f16", {TYPED(TERN_F16, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "inverse: "},
    {"singular", {RANGE(0, 0, 2, 2)}, .code = TERN_ERR_ARGUMENT, .text = "inverse: matrix 0 is singular"},
};
SWEEP(inverse, inverses, call_inverse, ref_inverse, SWEEP_NO_HALF, 10)
BENCH(inverse, call_inverse, "torch.linalg.inv(a + a.shape[-1] * torch.eye(a.shape[-1]))", {"512", {UNIT(512, 512)}})
BENCH(inverse__small, call_inverse, "torch.linalg.inv(a + a.shape[-1] * torch.eye(a.shape[-1]))",
      {"[10000, 8, 8]", {UNIT(10000, 8, 8)}})

static tern_tensor *call_det(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_det(in[0]);
}
static tern_tensor *call_slogdet(tern_tensor *const *in, const sweep_case *c) {
    return tern_slogdet(c->code ? in[0] : spread(in[0]), NULL);
}
static tern_tensor *call_sign(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    tern_tensor *sign;
    (void)tern_slogdet(in[0], &sign);
    return sign;
}
static void ref_det(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const int64_t n = rows_of(&in[0]);
    double m[MOST];
    array_new(out, batch_of(&in[0], 2));
    for (int64_t i = 0; i < out->n; i++) {
        memcpy(m, in[0].v + i * n * n, (size_t)(n * n) * sizeof *m);
        out->v[i] = eliminate(m, NULL, n, 0);
    }
}
static void ref_slogdet(const array *in, const sweep_case *c, array *out) {
    ref_det(in, c, out);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = log(fabs(out->v[i]));
}
static void ref_sign(const array *in, const sweep_case *c, array *out) {
    ref_det(in, c, out);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = (out->v[i] > 0) - (out->v[i] < 0);
}
static const sweep_case dets[] = {
    {"2-dim", {REAL(3, 3)}},
    {"batched", {REAL(2, 2, 3, 3)}},
    {"1x1", {REAL(4, 1, 1)}},
    {"0x0", {REAL(2, 0, 0)}},
    {"4x4", {REAL(4, 4)}},
    {"larger", {RANGE(-0.5, 0.5, 12, 12)}, .loosen = 10},
    {"wide", {REAL(2, 3)}, .code = TERN_ERR_SHAPE, .text = "det: "},
    {"f16", {TYPED(TERN_F16, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "det: "},
};
SWEEP(det, dets, call_det, ref_det, SWEEP_NO_HALF, 20)
ON_SPREAD(ref_slogdet)
SWEEP(slogdet, dets, call_slogdet, ref_slogdet_spread, SWEEP_NO_HALF, 40)
/* Expanded matrices are singular: what sign rounding leaves to them means nothing. */
SWEEP(slogdet__sign, dets, call_sign, ref_sign, SWEEP_NO_HALF | SWEEP_NO_GRAD | SWEEP_NO_LAYOUTS, 1)
BENCH(det, call_det, "torch.linalg.det(a)", {"[10000, 4, 4]", {UNIT(10000, 4, 4)}})
