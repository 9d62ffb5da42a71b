/* Norms of matrices and condition numbers. */
#include "casting.h"
#include "ops/matrices.h"

enum { BY_VALUES = 1 << TERN_NORM_NUC | 1 << TERN_NORM_TWO | 1 << TERN_NORM_MINUS_TWO };

static bool known(const char *op, tern_matrix_norm_kind kind) {
    if ((int)kind >= TERN_NORM_FRO && kind <= TERN_NORM_MINUS_TWO) return true;
    return terni_fail(TERN_ERR_ARGUMENT, "%s: %d is no kind of norm", op, (int)kind);
}

static tern_tensor *frobenius(tern_tensor *x) {
    tern_tensor *ss = tern_sum(tern_square(x), (const int[]){-2, -1}, 2, false);
    if (!ss) return NULL;
    const tern_options here = {terni_dtype(ss), tern_cpu()};
    tern_tensor *zero = tern_scalar(0, here), *positive = tern_gt(ss, zero);
    /* The root's slope at 0 is infinite; NaN is not above 0 either, and stays. */
    return tern_where(positive, tern_sqrt(tern_where(positive, ss, tern_scalar(1, here))), ss);
}

static tern_tensor *by_values(tern_tensor *x, tern_matrix_norm_kind kind) {
    const int last = -1;
    tern_tensor *s = tern_svdvals(x);
    if (kind == TERN_NORM_NUC) return tern_sum(s, &last, 1, false);
    const int64_t at = kind == TERN_NORM_TWO || !s ? 0 : terni_cols(s) - 1;
    return tern_select(s, -1, at);
}

static tern_tensor *by_sums(tern_tensor *x, tern_matrix_norm_kind kind) {
    const int over = kind == TERN_NORM_ONE || kind == TERN_NORM_MINUS_ONE ? -2 : -1, last = -1;
    tern_tensor *sums = tern_sum(tern_abs(x), &over, 1, false);
    return kind == TERN_NORM_ONE || kind == TERN_NORM_INF ? tern_max(sums, &last, 1, false)
                                                          : tern_min(sums, &last, 1, false);
}

tern_tensor *tern_matrix_norm(tern_tensor *x, tern_matrix_norm_kind kind, bool keepdim) {
    TERNI_NAMED("matrix_norm");
    TERNI_AUTOCAST(F32, &x);
    if (!terni_given(x, "matrix_norm", "x") || !known("matrix_norm", kind)) return NULL;
    const bool values = BY_VALUES >> kind & 1;
    if (values ? !terni_matrix("matrix_norm", "x", x, false) : !terni_same_float("matrix_norm", &x, 1)) return NULL;
    if (x->v.ndim < 2 || (kind != TERN_NORM_FRO && kind != TERN_NORM_NUC && (terni_rows(x) == 0 || terni_cols(x) == 0)))
        return terni_null(TERN_ERR_SHAPE, "matrix_norm: x %s: expected [..., M, N]%s", terni_describe(x),
                          x->v.ndim < 2 ? "" : " with elements");
    tern_tensor *y = kind == TERN_NORM_FRO ? frobenius(x) : values ? by_values(x, kind) : by_sums(x, kind);
    return y && keepdim ? tern_unsqueeze(tern_unsqueeze(y, -1), -1) : y;
}

tern_tensor *tern_cond(tern_tensor *a, tern_matrix_norm_kind kind) {
    TERNI_NAMED("cond");
    TERNI_AUTOCAST(F32, &a);
    if (!known("cond", kind)) return NULL;
    const bool two = kind == TERN_NORM_TWO || kind == TERN_NORM_MINUS_TWO;
    if (!terni_matrix("cond", "a", a, !two)) return NULL;
    if (terni_rows(a) == 0 || terni_cols(a) == 0)
        return terni_null(TERN_ERR_SHAPE, "cond: a %s has no elements", terni_describe(a));
    if (!two) return tern_mul(tern_matrix_norm(a, kind, false), tern_matrix_norm(tern_inverse(a), kind, false));
    tern_tensor *s = tern_svdvals(a);
    if (!s) return NULL;
    tern_tensor *large = tern_select(s, -1, 0), *small = tern_select(s, -1, terni_cols(s) - 1);
    return kind == TERN_NORM_TWO ? tern_div(large, small) : tern_div(small, large);
}
