/* matrix_exp: e^a = (e^(a / 2^s))^(2^s), the inner one by the [13/13] Pade approximant, which is exact to f64's epsilon
 * where the 1-norm is at most 5.37. One s for a batch. */
#include <math.h>

#include "casting.h"
#include "ops/matrices.h"

static tern_tensor *times(tern_tensor *x, double s) { return tern_mul_scalar(x, s); }

/* c[0] x6 + c[1] x4 + c[2] x2. */
static tern_tensor *even(tern_tensor *const x[3], const double c[3]) {
    return tern_add(tern_add(times(x[2], c[0]), times(x[1], c[1])), times(x[0], c[2]));
}

static tern_tensor *pade(tern_tensor *a) {
    static const double b[14] = {64764752532480000.0,
                                 32382376266240000.0,
                                 7771770303897600.0,
                                 1187353796428800.0,
                                 129060195264000.0,
                                 10559470521600.0,
                                 670442572800.0,
                                 33522128640.0,
                                 1323241920.0,
                                 40840800.0,
                                 960960.0,
                                 16380.0,
                                 182.0,
                                 1.0};
    const double k = b[0]; /* divided out, for f32's range */
    tern_tensor *eye = terni_eye(terni_rows(a), a), *x[3];
    x[0] = tern_matmul(a, a);
    x[1] = tern_matmul(x[0], x[0]);
    x[2] = tern_matmul(x[1], x[0]);
    tern_tensor *u = tern_matmul(x[2], even(x, (const double[]){b[13] / k, b[11] / k, b[9] / k}));
    u = tern_add(u, even(x, (const double[]){b[7] / k, b[5] / k, b[3] / k}));
    u = tern_matmul(a, tern_add(u, times(eye, b[1] / k)));
    tern_tensor *v = tern_matmul(x[2], even(x, (const double[]){b[12] / k, b[10] / k, b[8] / k}));
    v = tern_add(v, even(x, (const double[]){b[6] / k, b[4] / k, b[2] / k}));
    v = tern_add(v, eye);
    return tern_solve(tern_sub(v, u), tern_add(v, u));
}

tern_tensor *tern_matrix_exp(tern_tensor *a) {
    TERNI_NAMED("matrix_exp");
    TERNI_AUTOCAST(F32, &a);
    if (!terni_matrix("matrix_exp", "a", a, true)) return NULL;
    if (a->numel == 0) return tern_clone(a);
    const bool was = tern_grad_mode(false);
    const double norm = tern_item(tern_max(tern_matrix_norm(a, TERN_NORM_ONE, false), NULL, 0, false));
    tern_grad_mode(was);
    if (!tern_ok()) return NULL;
    if (!isfinite(norm))
        return terni_null(TERN_ERR_ARGUMENT, "matrix_exp: a matrix holds values that are not finite, or too large");
    const double most = terni_dtype(a) == TERN_F64 ? 5.371920351148152 : 3.925724783138660;
    const int squarings = norm > most ? (int)ceil(log2(norm / most)) : 0;
    tern_tensor *y = pade(squarings ? times(a, ldexp(1, -squarings)) : a);
    for (int i = 0; i < squarings && y; i++) y = tern_matmul(y, y);
    return y;
}
