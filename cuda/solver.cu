/* From views to jobs for cuSOLVER and cuBLAS (library_linalg.h): one matrix after the other, with one workspace. Both
 * know columns only, so a matrix by rows is its transpose to them. */
#include "solver.h"

#include "library.h"
#include "linalg.h"

namespace {

char *element(const terni_view *v, int64_t i) {
    return static_cast<char *>(v->data) + i * (int64_t)terni_cuda_size(v->dtype);
}

/* Where matrix i of the batch begins, in elements. */
int64_t offset_of(const terni_view *v, int matrix_dims, int64_t i) {
    int64_t offset = 0;
    for (int d = v->ndim - matrix_dims - 1; d >= 0; d--) {
        offset += i % v->shape[d] * v->strides[d];
        i /= v->shape[d];
    }
    return offset;
}

bool solved(int status, const char *op) {
    return status == 0 || terni_cuda_fail(TERN_ERR_DEVICE, "%s: cuSOLVER or cuBLAS gives status %d", op, status);
}

/* Runs the job on each matrix; place(job, i) fills in its pointers. Never in a captured graph: the routines use memory
 * of the host, which is gone at a replay. */
template <class F>
bool each(terni_cuda_device *d, const char *op, terni_solver_job job, uint32_t count, F place) {
    const terni_solver *s = &terni_cuda_solver;
    size_t on_device = 0, on_host = 0;
    if (!terni_cuda_not_captured(d->index, "a routine of cuSOLVER")) return false;
    place(&job, 0);
    if (!solved(s->room(d->index, d->stream, &job, &on_device, &on_host), op)) return false;
    void *room = terni_cuda_scratch(d, on_device), *host = on_host ? terni_cuda_host->alloc(on_host) : nullptr;
    bool ok = room && (host || !on_host);
    for (uint32_t i = 0; ok && i < count; i++) {
        place(&job, (int64_t)i);
        ok = solved(s->run(d->index, d->stream, &job, room, on_device, host, on_host), op);
    }
    if (host) terni_cuda_host->free(host, on_host);
    terni_cuda_scratch_free(d, room);
    return ok;
}

terni_solver_job job_of(terni_solver_routine routine, const terni_view *v, int64_t m, int64_t n) {
    terni_solver_job j;
    memset(&j, 0, sizeof j);
    j.routine = routine;
    j.dtype = v->dtype;
    j.m = m;
    j.n = n;
    j.lda = m;
    return j;
}

/* Strides of matrices one after the other, by rows or by columns. */
terni_view dense_of(const terni_view *v, void *data, bool by_rows) {
    terni_view r = *v;
    const int n = v->ndim;
    int64_t stride = v->shape[n - 2] * v->shape[n - 1];
    r.data = data;
    r.strides[n - 2] = by_rows ? v->shape[n - 1] : 1;
    r.strides[n - 1] = by_rows ? 1 : v->shape[n - 2];
    for (int i = n - 3; i >= 0; i--) {
        r.strides[i] = stride;
        stride *= v->shape[i];
    }
    return r;
}

/* ---- values that are not finite: the libraries get zeros in place of such a matrix, and its info is -1 at the end
 * ----------------- */

template <class T>
__global__ void __launch_bounds__(256) screen(T *a, int64_t m, int64_t n, bool lower, int32_t *bad) {
    TERNI_SHARED(T, scratch, 32);
    T none = 0;
    a += (int64_t)blockIdx.x * m * n;
    for (int64_t e = threadIdx.x; e < m * n; e += blockDim.x)
        if (!lower || e % m >= e / m) none += a[e] * 0; /* NaN, unless it is finite */
    none = terni_block_all(none, T(0), scratch, terni_plus());
    for (int64_t e = threadIdx.x; none != 0 && e < m * n; e += blockDim.x) a[e] = 0;
    if (threadIdx.x == 0) bad[blockIdx.x] = none != 0;
}

__global__ void mark(uint32_t count, const int32_t *bad, int32_t *info) {
    const int64_t i = terni_thread();
    if (i < count && bad[i]) info[i] = -1;
}

bool run_screen(terni_cuda_device *d, const terni_view *a, uint32_t count, int64_t m, int64_t n, bool lower,
                int32_t *bad) {
    return a->dtype == TERN_F64
               ? TERNI_LAUNCH(d, count, 256, 0, (screen<double>), static_cast<double *>(a->data), m, n, lower, bad)
               : TERNI_LAUNCH(d, count, 256, 0, (screen<float>), static_cast<float *>(a->data), m, n, lower, bad);
}

bool run_mark(terni_cuda_device *d, uint32_t count, const int32_t *bad, const terni_view *info) {
    return TERNI_LAUNCH_EACH(d, terni_blocks(count, 128), 128, (mark), count, bad, static_cast<int32_t *>(info->data));
}

/* r from above the reflections. */
template <class T>
__global__ void upper_of(const T *q, T *r, int64_t m, int64_t n, int64_t c, int64_t total) {
    const int64_t t = terni_thread();
    if (t >= total) return;
    const int64_t row = t % c, col = t / c % n, i = t / (c * n);
    r[t] = row <= col ? q[(i * c + col) * m + row] : T(0);
}

/* The matrices of a copied to a, by columns in scratch memory, are a's columns or its rows. */
bool svd_vectors(const terni_call *c, void *u, void *vt) {
    const terni_view from[2] = {dense_of(c->out[0], u, false), dense_of(c->out[2], vt, false)};
    return terni_copy_matrices(c->device, &from[0], c->out[0]) && terni_copy_matrices(c->device, &from[1], c->out[2]);
}

bool run_svd(terni_cuda_device *d, const terni_call *c, uint32_t count, const terni_view *a, int32_t *bad, void *u,
             void *vt) {
    const terni_view *s = c->out[1], *info = c->out[3];
    const int64_t rows = a->shape[a->ndim - 2], cols = a->shape[a->ndim - 1], m = rows > cols ? rows : cols,
                  n = rows > cols ? cols : rows;
    terni_solver_job job = job_of(TERNI_SOLVER_GESVD, a, m, n);
    job.vectors = u != nullptr;
    job.whole = u && c->out[0]->shape[a->ndim - 1] == rows && c->out[2]->shape[a->ndim - 2] == cols;
    const int64_t u_size = m * (job.whole ? m : n), size = (int64_t)terni_cuda_size(a->dtype);
    return run_screen(d, a, count, m, n, false, bad) &&
           each(d, "svd", job, count,
                [=](terni_solver_job *j, int64_t i) {
                    j->a = element(a, i * m * n);
                    j->w = element(s, i * n);
                    j->b = u ? static_cast<char *>(u) + i * u_size * size : nullptr;
                    j->c = vt ? static_cast<char *>(vt) + i * n * n * size : nullptr;
                    j->info = static_cast<int32_t *>(info->data) + i;
                }) &&
           run_mark(d, count, bad, info);
}

bool run_eigh(terni_cuda_device *d, const terni_call *c, uint32_t count, const terni_view *v, int32_t *bad) {
    const int64_t n = v->shape[v->ndim - 1];
    terni_solver_job job = job_of(TERNI_SOLVER_SYEVD, v, n, n);
    job.vectors = c->out[1] != nullptr;
    return terni_copy_matrices(c->device, c->in[0], v) && run_screen(d, v, count, n, n, true, bad) &&
           each(d, "eigh", job, count,
                [=](terni_solver_job *j, int64_t i) {
                    j->a = element(v, i * n * n);
                    j->w = element(c->out[0], i * n);
                    j->info = static_cast<int32_t *>(c->out[2]->data) + i;
                }) &&
           run_mark(d, count, bad, c->out[2]);
}

bool run_qr(terni_cuda_device *d, const terni_call *call, uint32_t count, char *tau, int32_t *info) {
    const terni_view *q = call->out[0], *r = call->out[1];
    const int64_t m = q->shape[q->ndim - 2], c = q->shape[q->ndim - 1], n = r->shape[r->ndim - 1],
                  total = count * c * n, size = (int64_t)terni_cuda_size(q->dtype);
    const auto place = [=](terni_solver_job *j, int64_t i) {
        j->a = element(q, i * m * c);
        j->w = tau + i * n * size;
        j->info = info;
    };
    terni_solver_job factor = job_of(TERNI_SOLVER_GEQRF, q, m, n), expand = job_of(TERNI_SOLVER_ORGQR, q, m, n);
    expand.k = c;
    if (!each(d, "qr", factor, count, place)) return false;
    const bool ok =
        q->dtype == TERN_F64
            ? TERNI_LAUNCH_EACH(d, terni_blocks(total, 256), 256, (upper_of<double>),
                                static_cast<const double *>(q->data), static_cast<double *>(r->data), m, n, c, total)
            : TERNI_LAUNCH_EACH(d, terni_blocks(total, 256), 256, (upper_of<float>),
                                static_cast<const float *>(q->data), static_cast<float *>(r->data), m, n, c, total);
    return ok && each(d, "qr", expand, count, place);
}

bool by_rows(const terni_view *a) {
    const int n = a->ndim;
    return a->strides[n - 1] == 1 && a->strides[n - 2] >= a->shape[n - 1];
}

}  // namespace

bool terni_solver_takes(terni_cuda_device *d, int64_t size, int64_t least, uint32_t count) {
    char why[256];
    if (terni_cuda_own_kernels() || count == 0 || size == 0) return false;
    if (!terni_cuda_solver.always && (size < least || (count > 8 && size < 4 * least))) return false;
    return terni_cuda_solver.ready(d->index, why, sizeof why);
}

bool terni_solver_cholesky_copied(terni_cuda_device *d, const terni_call *c, uint32_t count) {
    const terni_view *l = c->out[0];
    const int64_t n = l->shape[l->ndim - 1];
    terni_solver_job job = job_of(TERNI_SOLVER_POTRF, l, n, n);
    job.upper = true; /* by columns; by rows it is the lower one */
    return each(d, "cholesky", job, count, [=](terni_solver_job *j, int64_t i) {
        j->a = element(l, i * n * n);
        j->info = static_cast<int32_t *>(c->out[1]->data) + i;
    });
}

bool terni_solver_lu_factor_copied(terni_cuda_device *d, const terni_call *c, uint32_t count) {
    const terni_view *lu = c->out[0];
    const int64_t n = lu->shape[lu->ndim - 1];
    return each(d, "lu_factor", job_of(TERNI_SOLVER_GETRF, lu, n, n), count, [=](terni_solver_job *j, int64_t i) {
        j->a = element(lu, i * n * n);
        j->pivots = static_cast<int32_t *>(c->out[1]->data) + i * n;
        j->info = static_cast<int32_t *>(c->out[2]->data) + i;
    });
}

bool terni_solver_lu_solve_copied(terni_cuda_device *d, const terni_call *c, uint32_t count) {
    const terni_view *lu = c->in[0], *pivots = c->in[1], *x = c->out[0];
    const int64_t n = x->shape[x->ndim - 2], k = x->shape[x->ndim - 1];
    int32_t *info = static_cast<int32_t *>(terni_cuda_scratch(d, sizeof(int32_t)));
    terni_solver_job job = job_of(TERNI_SOLVER_GETRS, x, n, n);
    job.k = k;
    job.ldb = n;
    job.info = info;
    job.transposed = static_cast<const terni_lu_opts *>(c->opts)->transposed;
    const bool ok = info && each(d, "lu_solve", job, count, [=](terni_solver_job *j, int64_t i) {
                        j->a = element(lu, offset_of(lu, 2, i));
                        j->pivots = static_cast<int32_t *>(pivots->data) + offset_of(pivots, 1, i);
                        j->b = element(x, i * n * k);
                    });
    terni_cuda_scratch_free(d, info);
    return ok;
}

bool terni_solver_qr_copied(terni_cuda_device *d, const terni_call *call, uint32_t count) {
    const terni_view *r = call->out[1];
    const size_t taus = (size_t)count * (size_t)r->shape[r->ndim - 1] * terni_cuda_size(r->dtype);
    char *room = static_cast<char *>(terni_cuda_scratch(d, taus + sizeof(int32_t))); /* info lies behind */
    const bool ok = room && run_qr(d, call, count, room, reinterpret_cast<int32_t *>(room + taus));
    terni_cuda_scratch_free(d, room);
    return ok;
}

bool terni_solver_eigh(terni_cuda_device *d, const terni_call *c, uint32_t count) {
    const size_t bytes = c->out[1] ? 0 : (size_t)terni_cuda_count(c->in[0]) * terni_cuda_size(c->in[0]->dtype);
    char *room = static_cast<char *>(terni_cuda_scratch(d, bytes + count * sizeof(int32_t)));
    const terni_view v = c->out[1] ? *c->out[1] : dense_of(c->in[0], room, false);
    const bool ok = room && run_eigh(d, c, count, &v, reinterpret_cast<int32_t *>(room + bytes));
    terni_cuda_scratch_free(d, room);
    return ok;
}

/* Of a tall matrix the library gets the columns, and u and v^T come by columns; of a wide one it gets the rows, which
 * are a^T = v s u^T, and both come as the rows of vh and u. */
bool terni_solver_svd(terni_cuda_device *d, const terni_call *c, uint32_t count) {
    const terni_view *a = c->in[0], *u = c->out[0], *vh = c->out[2];
    const bool wide = a->shape[a->ndim - 2] < a->shape[a->ndim - 1];
    const size_t size = terni_cuda_size(a->dtype), tall = (size_t)terni_cuda_count(a) * size,
                 u_bytes = u && !wide ? (size_t)terni_cuda_count(u) * size : 0,
                 vt_bytes = u && !wide ? (size_t)terni_cuda_count(vh) * size : 0;
    char *room = static_cast<char *>(terni_cuda_scratch(d, tall + u_bytes + vt_bytes + count * sizeof(int32_t)));
    if (!room) return false;
    const terni_view copy = dense_of(a, room, wide);
    int32_t *bad = reinterpret_cast<int32_t *>(room + tall + u_bytes + vt_bytes);
    void *left = !u     ? nullptr
                 : wide ? vh->data
                        : room + tall,
         *right = !u     ? nullptr
                  : wide ? u->data
                         : room + tall + u_bytes;
    const bool ok = terni_copy_matrices(c->device, a, &copy) && run_svd(d, c, count, &copy, bad, left, right) &&
                    (!u || wide || svd_vectors(c, left, right));
    terni_cuda_scratch_free(d, room);
    return ok;
}

bool terni_solver_triangular_fits(const terni_view *a) {
    const int n = a->ndim;
    return by_rows(a) || (a->strides[n - 2] == 1 && a->strides[n - 1] >= a->shape[n - 2]);
}

/* Rows of x are columns to the library: x^T a^T = b^T. */
bool terni_solver_triangular_copied(terni_cuda_device *d, const terni_call *c, uint32_t count) {
    const terni_view *a = c->in[0], *x = c->out[0];
    const terni_triangular_opts *o = static_cast<const terni_triangular_opts *>(c->opts);
    const int64_t n = x->shape[x->ndim - 2], k = x->shape[x->ndim - 1];
    terni_solver_job job = job_of(TERNI_SOLVER_TRSM, x, k, n);
    const bool rows = by_rows(a);
    job.lda = a->strides[rows ? a->ndim - 2 : a->ndim - 1];
    job.ldb = k;
    job.upper = o->upper != rows;
    job.transposed = !rows;
    job.unit = o->unit;
    return each(d, "triangular_solve", job, count, [=](terni_solver_job *j, int64_t i) {
        j->a = element(a, offset_of(a, 2, i));
        j->b = element(x, i * n * k);
    });
}
