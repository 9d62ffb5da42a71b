/* cuSOLVER's and cuBLAS's routines over the simulation: LAPACK's, in loops on the host, on a copy in double. Taken at
 * any size. Workspaces are written to, so that one that is too small, or not there, shows. */
#include "library_linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ON_DEVICE = 96, ON_HOST = 40, BAD_CALL = 3, NO_MEMORY = 2, SWEEPS = 60 };

/* A matrix by columns, in double. */
typedef struct matrix {
    int64_t m, n, lead;
    double *v;
    void *from;
    int dtype;
} matrix;
static double *at(const matrix *a, int64_t r, int64_t c) { return a->v + c * a->m + r; }

static bool take(matrix *a, const terni_solver_job *j, void *from, int64_t m, int64_t n, int64_t lead) {
    *a = (matrix){m, n, lead, calloc((size_t)(m * n) + 1, sizeof(double)), from, j->dtype};
    for (int64_t i = 0; a->v && from && i < m * n; i++) {
        const int64_t k = i / m * lead + i % m;
        a->v[i] = a->dtype == TERN_F64 ? ((const double *)from)[k] : (double)((const float *)from)[k];
    }
    return a->v != NULL;
}
/* What a routine says that it writes: all (0), on and above the diagonal (1), on and below it (-1). */
static void give(matrix *a, int part) {
    for (int64_t i = 0; a->v && a->from && i < a->m * a->n; i++) {
        const int64_t r = i % a->m, c = i / a->m, k = c * a->lead + r;
        if ((part > 0 && r > c) || (part < 0 && r < c)) continue;
        if (a->dtype == TERN_F64)
            ((double *)a->from)[k] = a->v[i];
        else
            ((float *)a->from)[k] = (float)a->v[i];
    }
    free(a->v);
}

static int potrf(const terni_solver_job *j) {
    matrix a;
    if (!take(&a, j, j->a, j->n, j->n, j->lda)) return NO_MEMORY;
    *j->info = 0;
    for (int64_t k = 0; k < a.n && !*j->info; k++) {
        for (int64_t c = k; c < a.n; c++)
            for (int64_t i = 0; i < k; i++) *at(&a, k, c) -= *at(&a, i, k) * *at(&a, i, c);
        const double pivot = *at(&a, k, k), root = sqrt(pivot);
        if (!(pivot > 0)) *j->info = (int32_t)k + 1;
        for (int64_t c = k; c < a.n && pivot > 0; c++) *at(&a, k, c) /= root;
    }
    give(&a, 1);
    return j->upper ? 0 : BAD_CALL;
}

static void swap_rows(matrix *a, int64_t p, int64_t q) {
    for (int64_t c = 0; c < a->n; c++) {
        const double v = *at(a, p, c);
        *at(a, p, c) = *at(a, q, c);
        *at(a, q, c) = v;
    }
}

static int getrf(const terni_solver_job *j) {
    matrix a;
    if (!take(&a, j, j->a, j->n, j->n, j->lda)) return NO_MEMORY;
    *j->info = 0;
    for (int64_t k = 0; k < a.n; k++) {
        int64_t p = k;
        for (int64_t r = k; r < a.n; r++)
            if (fabs(*at(&a, r, k)) > fabs(*at(&a, p, k))) p = r;
        j->pivots[k] = (int32_t)p + 1;
        swap_rows(&a, k, p);
        if (*at(&a, k, k) == 0 && !*j->info) *j->info = (int32_t)k + 1;
        for (int64_t r = k + 1; r < a.n && *at(&a, k, k) != 0; r++) {
            *at(&a, r, k) /= *at(&a, k, k);
            for (int64_t c = k + 1; c < a.n; c++) *at(&a, r, c) -= *at(&a, r, k) * *at(&a, k, c);
        }
    }
    give(&a, 0);
    return 0;
}

/* One triangle of a against the columns of b: a x = b, or a^T x = b. */
static void substitute(const matrix *a, matrix *b, bool upper, bool transposed, bool unit) {
    const int64_t n = a->n;
    for (int64_t c = 0; c < b->n; c++)
        for (int64_t i = 0; i < n; i++) {
            const bool back = upper != transposed;
            const int64_t r = back ? n - 1 - i : i;
            double v = *at(b, r, c);
            for (int64_t k = back ? r + 1 : 0; k < (back ? n : r); k++)
                v -= (transposed ? *at(a, k, r) : *at(a, r, k)) * *at(b, k, c);
            *at(b, r, c) = unit ? v : v / *at(a, r, r);
        }
}

static int getrs(const terni_solver_job *j) {
    matrix a, b;
    if (!take(&a, j, j->a, j->n, j->n, j->lda) || !take(&b, j, j->b, j->n, j->k, j->ldb)) return NO_MEMORY;
    for (int64_t k = 0; k < a.n && !j->transposed; k++) swap_rows(&b, k, j->pivots[k] - 1);
    substitute(&a, &b, j->transposed, j->transposed, !j->transposed);
    substitute(&a, &b, !j->transposed, j->transposed, j->transposed);
    for (int64_t k = a.n - 1; k >= 0 && j->transposed; k--) swap_rows(&b, k, j->pivots[k] - 1);
    free(a.v);
    give(&b, 0);
    *j->info = 0;
    return 0;
}

/* x a = b is a^T x^T = b^T. */
static int trsm(const terni_solver_job *j) {
    matrix a, b, t;
    if (!take(&a, j, j->a, j->n, j->n, j->lda) || !take(&b, j, j->b, j->m, j->n, j->ldb) ||
        !take(&t, j, NULL, j->n, j->m, j->n))
        return NO_MEMORY;
    for (int64_t i = 0; i < b.m * b.n; i++) *at(&t, i / b.m, i % b.m) = b.v[i];
    substitute(&a, &t, j->upper, !j->transposed, j->unit);
    for (int64_t i = 0; i < b.m * b.n; i++) b.v[i] = *at(&t, i / b.m, i % b.m);
    free(a.v);
    free(t.v);
    give(&b, 0);
    return 0;
}

static void reflect(const double *v, double tau, double *y, int64_t k, int64_t m) {
    double sum = y[k];
    for (int64_t r = k + 1; r < m; r++) sum += v[r] * y[r];
    y[k] -= tau * sum;
    for (int64_t r = k + 1; r < m; r++) y[r] -= tau * sum * v[r];
}

static int geqrf(const terni_solver_job *j) {
    matrix a, tau;
    if (!take(&a, j, j->a, j->m, j->n, j->lda) || !take(&tau, j, NULL, j->n, 1, j->n)) return NO_MEMORY;
    tau.from = j->w;
    for (int64_t k = 0; k < a.n; k++) {
        double *x = at(&a, 0, k), sum = 0;
        for (int64_t r = k + 1; r < a.m; r++) sum += x[r] * x[r];
        if (sum == 0) continue;
        const double beta = -copysign(sqrt(x[k] * x[k] + sum), x[k]), alpha = x[k];
        tau.v[k] = (beta - alpha) / beta;
        x[k] = beta;
        for (int64_t r = k + 1; r < a.m; r++) x[r] /= alpha - beta;
        for (int64_t c = k + 1; c < a.n; c++) reflect(x, tau.v[k], at(&a, 0, c), k, a.m);
    }
    give(&a, 0);
    give(&tau, 0);
    *j->info = 0;
    return 0;
}

static int orgqr(const terni_solver_job *j) {
    matrix a, q, tau;
    if (!take(&a, j, j->a, j->m, j->k, j->lda) || !take(&q, j, NULL, j->m, j->k, j->lda) ||
        !take(&tau, j, j->w, j->n, 1, j->n))
        return NO_MEMORY;
    q.from = j->a;
    for (int64_t c = 0; c < q.n; c++) *at(&q, c, c) = 1;
    for (int64_t k = j->n - 1; k >= 0; k--)
        for (int64_t c = 0; c < q.n; c++) reflect(at(&a, 0, k), tau.v[k], at(&q, 0, c), k, q.m);
    free(a.v);
    free(tau.v);
    give(&q, 0);
    *j->info = 0;
    return 0;
}

static void turn(double *x, double *y, int64_t n, int64_t step, double c, double s) {
    for (int64_t i = 0; i < n * step; i += step) {
        const double p = x[i], q = y[i];
        x[i] = c * p - s * q;
        y[i] = s * p + c * q;
    }
}
/* The rotation that makes the off-diagonal element of [p, x; x, q] zero. */
static void rotation(double p, double q, double x, double *c, double *s) {
    const double z = (q - p) / (2 * x), t = copysign(1, z) / (fabs(z) + hypot(1, z));
    *c = 1 / sqrt(1 + t * t);
    *s = *c * t;
}

static int syevd(const terni_solver_job *j) {
    matrix a, v, w;
    const int64_t n = j->n;
    if (j->upper || !take(&a, j, j->a, n, n, j->lda)) return BAD_CALL;
    if (!take(&v, j, NULL, n, n, j->lda) || !take(&w, j, NULL, n, 1, n)) return NO_MEMORY;
    v.from = j->vectors ? j->a : NULL;
    w.from = j->w;
    double norm = 0, c, s;
    for (int64_t i = 0; i < n * n; i++) {
        if (i % n < i / n) a.v[i] = *at(&a, i / n, i % n);
        norm += a.v[i] * a.v[i];
        v.v[i] = i % n == i / n;
    }
    for (int64_t i = 0; i < SWEEPS * n * n; i++) {
        const int64_t p = i % (n * n) / n, q = i % n;
        if (p >= q || fabs(*at(&a, p, q)) <= 1e-18 * sqrt(norm)) continue;
        rotation(*at(&a, p, p), *at(&a, q, q), *at(&a, p, q), &c, &s);
        turn(at(&a, 0, p), at(&a, 0, q), n, 1, c, s);
        turn(at(&a, p, 0), at(&a, q, 0), n, n, c, s);
        turn(at(&v, 0, p), at(&v, 0, q), n, 1, c, s);
    }
    for (int64_t i = 0; i < n; i++) { /* the smallest of the rest to the front */
        int64_t least = i;
        for (int64_t k = i; k < n; k++)
            if (*at(&a, k, k) < *at(&a, least, least)) least = k;
        w.v[i] = *at(&a, least, least);
        *at(&a, least, least) = *at(&a, i, i);
        turn(at(&v, 0, i), at(&v, 0, least), least == i ? 0 : n, 1, 0, 1);
    }
    free(a.v);
    give(&v, 0);
    give(&w, 0);
    *j->info = 0;
    return 0;
}

/* Columns k to the end of u become orthogonal to those before, from unit vectors. */
static void complete(matrix *u, int64_t k) {
    for (int64_t unit = 0; k < u->n && unit < u->m; unit++) {
        double *x = at(u, 0, k), norm = 0;
        for (int64_t r = 0; r < u->m; r++) x[r] = r == unit;
        for (int64_t c = 0; c < 2 * k; c++) { /* twice */
            double dot = 0;
            for (int64_t r = 0; r < u->m; r++) dot += *at(u, r, c % k) * x[r];
            for (int64_t r = 0; r < u->m; r++) x[r] -= *at(u, r, c % k) * dot;
        }
        for (int64_t r = 0; r < u->m; r++) norm += x[r] * x[r];
        for (int64_t r = 0; r < u->m; r++) x[r] /= sqrt(norm);
        if (norm > 1e-4) k++;
    }
}

/* Columns of a, by rotations, orthogonal: a v. */
static void make_orthogonal(matrix *a, matrix *v) {
    for (int64_t i = 0; i < SWEEPS * a->n * a->n; i++) {
        const int64_t p = i / a->n % a->n, q = i % a->n;
        double pp = 0, qq = 0, pq = 0, c, s;
        for (int64_t r = 0; p < q && r < a->m; r++) {
            pp += *at(a, r, p) * *at(a, r, p);
            qq += *at(a, r, q) * *at(a, r, q);
            pq += *at(a, r, p) * *at(a, r, q);
        }
        if (fabs(pq) <= 1e-16 * sqrt(pp) * sqrt(qq) || fabs(pq) < 1e-300) continue;
        rotation(pp, qq, pq, &c, &s);
        turn(at(a, 0, p), at(a, 0, q), a->m, 1, c, s);
        turn(at(v, 0, p), at(v, 0, q), v->m, 1, c, s);
    }
}

/* Singular values in w, and vectors in order. */
static void collect(const terni_solver_job *j, matrix *a, const matrix *v, matrix *u, matrix *vt, matrix *w) {
    int64_t full = 0;
    for (int64_t k = 0; k < a->n; k++) {
        double most = -1;
        int64_t from = 0;
        for (int64_t c = 0; c < a->n; c++) {
            double sum = 0;
            for (int64_t r = 0; r < a->m; r++) sum += *at(a, r, c) * *at(a, r, c);
            if (sum > most) most = sum, from = c;
        }
        w->v[k] = sqrt(most);
        for (int64_t r = 0; r < v->m; r++) *at(vt, k, r) = *at(v, r, from);
        if (j->vectors && w->v[k] > 1e-14 * w->v[0]) {
            for (int64_t r = 0; r < a->m; r++) *at(u, r, k) = *at(a, r, from) / w->v[k];
            full = k + 1;
        }
        for (int64_t r = 0; r < a->m; r++) *at(a, r, from) = 0;
        *at(a, 0, from) = nan(""); /* taken: not larger than anything */
    }
    if (j->vectors) complete(u, full);
}

static int gesvd(const terni_solver_job *j) {
    matrix a, v, u, vt, w;
    const int64_t m = j->m, n = j->n;
    if (m < n || !take(&a, j, j->a, m, n, j->lda)) return BAD_CALL;
    if (!take(&v, j, NULL, n, n, n) ||
        !take(&u, j, NULL, m,
              !j->vectors ? 0
              : j->whole  ? m
                          : n,
              m) ||
        !take(&vt, j, NULL, n, n, n) || !take(&w, j, NULL, n, 1, n))
        return NO_MEMORY;
    u.from = j->vectors ? j->b : NULL;
    vt.from = j->vectors ? j->c : NULL;
    w.from = j->w;
    double scale = 0; /* so that squares do not overflow or vanish */
    for (int64_t i = 0; i < m * n; i++) scale = fmax(scale, fabs(a.v[i]));
    for (int64_t i = 0; i < m * n && scale > 0; i++) a.v[i] /= scale;
    for (int64_t i = 0; i < n; i++) *at(&v, i, i) = 1;
    make_orthogonal(&a, &v);
    collect(j, &a, &v, &u, &vt, &w);
    for (int64_t i = 0; i < n && scale > 0; i++) w.v[i] *= scale;
    memset(j->a, 0xFF, (size_t)(m * n) * (j->dtype == TERN_F64 ? sizeof(double) : sizeof(float))); /* a is lost */
    free(a.v);
    free(v.v);
    give(&u, 0);
    give(&vt, 0);
    give(&w, 0);
    *j->info = 0;
    return 0;
}

/* ---- the table */

static bool ready(int device, char *why, size_t size) {
    (void)device, (void)why, (void)size;
    return true;
}

static int room(int device, terni_stream s, const terni_solver_job *j, size_t *on_device, size_t *on_host) {
    (void)device, (void)s;
    const bool both = j->routine == TERNI_SOLVER_SYEVD || j->routine == TERNI_SOLVER_GESVD;
    *on_device = j->routine == TERNI_SOLVER_TRSM ? 0 : ON_DEVICE;
    *on_host = both ? ON_HOST : 0;
    return 0;
}

static int run(int device, terni_stream s, const terni_solver_job *j, void *device_room, size_t on_device,
               void *host_room, size_t on_host) {
    static int (*const routines[])(const terni_solver_job *) = {
        [TERNI_SOLVER_POTRF] = potrf, [TERNI_SOLVER_GETRF] = getrf, [TERNI_SOLVER_GETRS] = getrs,
        [TERNI_SOLVER_GEQRF] = geqrf, [TERNI_SOLVER_ORGQR] = orgqr, [TERNI_SOLVER_SYEVD] = syevd,
        [TERNI_SOLVER_GESVD] = gesvd, [TERNI_SOLVER_TRSM] = trsm};
    size_t want_device, want_host;
    room(device, s, j, &want_device, &want_host);
    if (on_device < want_device || on_host < want_host) return BAD_CALL;
    if (want_device) memset(device_room, 0xFF, want_device);
    if (want_host) memset(host_room, 0xFF, want_host);
    return routines[j->routine](j);
}

const terni_solver terni_cuda_solver = {.always = true, .ready = ready, .room = room, .run = run};
