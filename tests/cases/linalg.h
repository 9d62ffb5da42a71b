/* What the tables of systems and of decompositions share. Matrices are made well conditioned by the calls: a + n I, or
 * a a^T + I. Vectors of decompositions are looked at through functions that do not depend on their signs. References:
 * Gauss' elimination, Jacobi rotations, Gram and Schmidt, in double. f32 loses digits to the condition of the matrices,
 * so tolerances are wider. */
#ifndef TERN_TESTS_LINALG_H
#define TERN_TESTS_LINALG_H

#include "../sweep.h"

#define UNIT(...) RANGE(-1, 1, __VA_ARGS__)
enum { MOST = 4096 }; /* elements of a reference's matrix */

static inline int64_t rows_of(const array *x) { return x->shape.dim[x->shape.ndim - 2]; }
static inline int64_t cols_of(const array *x) { return x->shape.dim[x->shape.ndim - 1]; }
static inline tern_shape batch_of(const array *x, int n) {
    tern_shape s = x->shape;
    s.ndim -= n;
    return s;
}
static inline tern_shape with(tern_shape s, int64_t m, int64_t n) {
    s.dim[s.ndim++] = m;
    s.dim[s.ndim++] = n;
    return s;
}
/* Matrix number i of batch, to which x's own broadcasts. */
static inline const double *matrix_at(const array *x, tern_shape batch, int64_t i) {
    array numbers;
    array_new(&numbers, batch_of(x, 2));
    for (int64_t k = 0; k < numbers.n; k++) numbers.v[k] = (double)k;
    const int64_t at = (int64_t)array_at(&numbers, batch, i);
    free(numbers.v);
    return x->v + at * rows_of(x) * cols_of(x);
}

/* ---- matrices in calls and references ---------------------------------------------------------------------------- */

static inline tern_tensor *mt(tern_tensor *x) { return tern_transpose(x, -1, -2); }
static inline tern_tensor *eye_like(tern_tensor *x) {
    return tern_eye(tern_size(x, -1), tern_size(x, -1), (tern_options){tern_dtype_of(x), tern_device_of(x)});
}
/* a + n I. */
static inline tern_tensor *dominant(tern_tensor *a) {
    return tern_add(a, tern_mul_scalar(eye_like(a), (double)tern_size(a, -1)));
}
/* a a^T + I. */
static inline tern_tensor *definite(tern_tensor *a) { return tern_add(tern_matmul(a, mt(a)), eye_like(a)); }
static inline tern_tensor *symmetric(tern_tensor *a) { return tern_mul_scalar(tern_add(a, mt(a)), 0.5); }

/* a [.., M, N] plus 3, 6, 9 ... on its diagonal: of full rank, and its singular values are distinct, even where a has
 * the same number all over. */
static inline tern_tensor *spread(tern_tensor *a) {
    const tern_options o = {tern_dtype_of(a), tern_device_of(a)};
    tern_tensor *d = tern_arange(1, (double)tern_size(a, -1) + 1, o);
    return tern_add(a, tern_mul_scalar(tern_mul(tern_eye(tern_size(a, -2), tern_size(a, -1), o), d), 3));
}
static inline array spread_array(const array *a) {
    const int64_t m = rows_of(a), n = cols_of(a);
    array y;
    array_new(&y, a->shape);
    for (int64_t i = 0; i < y.n; i++) y.v[i] = a->v[i] + (i / n % m == i % n ? 3 * (double)(i % n + 1) : 0);
    return y;
}
/* A reference for what the call does to spread(in[0]). */
#define ON_SPREAD(ref)                                                           \
    static void ref##_spread(const array *in, const sweep_case *c, array *out) { \
        const array inputs[2] = {spread_array(&in[0]), in[1]};                   \
        ref(inputs, c, out);                                                     \
        free(inputs[0].v);                                                       \
    }

static inline void multiply(const double *a, const double *b, double *c, int64_t m, int64_t k, int64_t n) {
    for (int64_t i = 0; i < m * n; i++) {
        c[i] = 0;
        for (int64_t l = 0; l < k; l++) c[i] += a[i / n * k + l] * b[l * n + i % n];
    }
}
static inline void flip(const double *a, double *t, int64_t m, int64_t n) {
    for (int64_t i = 0; i < m * n; i++) t[i % n * m + i / n] = a[i];
}
static inline void make_dominant(const double *a, double *d, int64_t n) {
    for (int64_t i = 0; i < n * n; i++) d[i] = a[i] + (i / n == i % n ? (double)n : 0);
}
static inline void make_definite(const double *a, double *d, int64_t n) {
    double t[MOST];
    flip(a, t, n, n);
    multiply(a, t, d, n, n, n);
    for (int64_t i = 0; i < n; i++) d[i * n + i] += 1;
}
/* Gauss and Jordan, a [n, n] (destroyed), b [n, k] becomes x; returns the determinant. */
static inline double eliminate(double *a, double *b, int64_t n, int64_t k) {
    double det = 1;
    for (int64_t c = 0; c < n; c++) {
        int64_t p = c;
        for (int64_t r = c; r < n; r++)
            if (fabs(a[r * n + c]) > fabs(a[p * n + c])) p = r;
        for (int64_t j = 0; j < n && p != c; j++) {
            const double v = a[c * n + j];
            a[c * n + j] = a[p * n + j];
            a[p * n + j] = v;
        }
        for (int64_t j = 0; j < k && p != c; j++) {
            const double v = b[c * k + j];
            b[c * k + j] = b[p * k + j];
            b[p * k + j] = v;
        }
        if (p != c) det = -det;
        const double pivot = a[c * n + c];
        det *= pivot;
        if (pivot == 0) return 0;
        for (int64_t j = 0; j < n; j++) a[c * n + j] /= pivot;
        for (int64_t j = 0; j < k; j++) b[c * k + j] /= pivot;
        for (int64_t r = 0; r < n; r++) {
            const double f = a[r * n + c];
            if (r == c || f == 0) continue;
            for (int64_t j = 0; j < n; j++) a[r * n + j] -= f * a[c * n + j];
            for (int64_t j = 0; j < k; j++) b[r * k + j] -= f * b[c * k + j];
        }
    }
    return det;
}
/* Jacobi's rotations of the columns of a [m, n] (m >= n), until they are orthogonal: a = u s, v [n, n]; s descends. */
static inline void jacobi(double *a, double *s, double *v, int64_t m, int64_t n) {
    for (int64_t i = 0; i < n * n; i++) v[i] = i / n == i % n;
    for (int sweep = 0; sweep < 60; sweep++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double pp = 0, qq = 0, pq = 0;
                for (int64_t i = 0; i < m; i++) {
                    pp += a[i * n + p] * a[i * n + p];
                    qq += a[i * n + q] * a[i * n + q];
                    pq += a[i * n + p] * a[i * n + q];
                }
                if (fabs(pq) <= 1e-17 * sqrt(pp * qq) || pq == 0) continue;
                const double z = (qq - pp) / (2 * pq), t = (z < 0 ? -1 : 1) / (fabs(z) + sqrt(1 + z * z));
                const double c = 1 / sqrt(1 + t * t), d = c * t;
                for (int64_t i = 0; i < m + n; i++) {
                    double *row = i < m ? a + i * n : v + (i - m) * n;
                    const double x = row[p], y = row[q];
                    row[p] = c * x - d * y;
                    row[q] = d * x + c * y;
                }
            }
    for (int64_t p = 0; p < n; p++) {
        s[p] = 0;
        for (int64_t i = 0; i < m; i++) s[p] += a[i * n + p] * a[i * n + p];
        s[p] = sqrt(s[p]);
    }
    for (int64_t p = 0; p < n; p++)
        for (int64_t q = p + 1; q < n; q++) {
            if (s[q] <= s[p]) continue;
            const double w = s[p];
            s[p] = s[q];
            s[q] = w;
            for (int64_t i = 0; i < m + n; i++) {
                double *row = i < m ? a + i * n : v + (i - m) * n;
                const double x = row[p];
                row[p] = row[q];
                row[q] = x;
            }
        }
}
/* Singular values of a [m, n] alone. */
static inline void singular(const double *a, double *s, int64_t m, int64_t n) {
    double work[MOST], v[MOST];
    if (m >= n)
        memcpy(work, a, (size_t)(m * n) * sizeof *a);
    else
        flip(a, work, m, n);
    jacobi(work, s, v, m >= n ? m : n, m >= n ? n : m);
}

#endif
