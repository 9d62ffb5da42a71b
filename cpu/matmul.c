/* matmul: hands each matrix of the batch to gemm, in parts on several threads where that pays. */
#include <limits.h>
#include <string.h>

#include "blas.h"

/* A matrix of one of the operands, as gemm takes it. */
typedef struct operand {
    const void *data;
    int64_t ld;
    bool transposed;
} operand;

/* A product in parts, which are rows or columns of c. */
typedef struct division {
    const terni_gemm *g;
    int dtype, parts;
    bool by_rows, blas;
    char *room; /* room_bytes for each part, or NULL */
    size_t room_bytes;
} division;

/* Multiply-adds from which a part pays for its thread; of b's elements where each is used for one row or a few, and
 * memory is what counts. */
enum { PART_WORK = 1 << 17, PART_READ = 1 << 14, COLUMNS = 16 };
/* Rows of a part that are worth it to pack all of b, of so many elements, in each of them. */
enum { PART_ROWS = 32, PART_PACKED = 1 << 16 };

/* Columns are cut between vectors. */
static int64_t border(const division *s, int64_t part) {
    if (s->by_rows) return s->g->m * part / s->parts;
    const int64_t at = (s->g->n + COLUMNS - 1) / COLUMNS * part / s->parts * COLUMNS;
    return at < s->g->n ? at : s->g->n;
}

static void run_gemm(const division *s, const terni_gemm *g) {
    if (s->blas)
        terni_cpu_blas_multiply(s->dtype, g);
    else if (s->dtype == TERN_F64)
        terni_cpu_gemm_run_f64(g);
    else
        terni_cpu_gemm_run_f32(g);
}

static void some_parts(void *arg, int64_t first, int64_t last) {
    const division *s = arg;
    const int64_t size = (int64_t)terni_cpu_size(s->dtype);
    for (int64_t part = first; part < last; part++) {
        const int64_t begin = border(s, part), end = border(s, part + 1);
        terni_gemm g = *s->g;
        if (s->room) g.room = s->room + (size_t)part * s->room_bytes;
        if (s->by_rows) {
            g.m = end - begin;
            g.a = (const char *)g.a + begin * (g.ta ? 1 : g.lda) * size;
            g.c = (char *)g.c + begin * g.ldc * size;
        } else {
            g.n = end - begin;
            g.b = (const char *)g.b + begin * (g.tb ? g.ldb : 1) * size;
            g.c = (char *)g.c + begin * size;
            if (g.bias) g.bias = (const char *)g.bias + begin * size;
        }
        run_gemm(s, &g);
    }
}

/* A column of c is a row of its transpose: b^T a^T then reads a once, as it lies. */
static void turn_column(terni_gemm *g) {
    if (g->n != 1 || g->m == 1 || g->ldc != 1 || g->bias) return;
    const terni_gemm was = *g;
    g->ta = !was.tb, g->tb = !was.ta;
    g->m = 1, g->n = was.m;
    g->a = was.b, g->lda = was.ldb;
    g->b = was.a, g->ldb = was.lda;
    g->ldc = was.m;
}

/* Few rows, and what its 32-bit integers do not count, stay Tern's. */
static bool by_blas(const terni_gemm *g) {
    if (!terni_cpu_blas_multiplies() || g->path != TERNI_GEMM_TILES || g->m < 1 || g->n < 1 || g->k < 1) return false;
    return g->m <= INT_MAX && g->n <= INT_MAX && g->k <= INT_MAX && g->lda <= INT_MAX && g->ldb <= INT_MAX &&
           g->ldc <= INT_MAX;
}

/* A linear layer's rows of weights go to the same threads forward (they are columns of c, and each part packs its own
 * alone), in their gradient (rows of c) and in their update (elements in order), so they stay in those cores' caches.
 */
static bool rows_divide(const terni_gemm *g, int64_t threads) {
    if (g->path != TERNI_GEMM_TILES) return false;
    if (g->tb) return g->m > 2 * g->n || (g->m >= g->n && g->n / COLUMNS < threads); /* too few columns to share */
    return g->m >= g->n || (g->ta && g->m >= PART_ROWS * threads && g->n * g->k <= PART_PACKED);
}

/* Many threads: only where called for one product at a time. g is changed: copying what was just written would make the
 * processor wait. */
static bool multiply(int dtype, terni_gemm *g, bool threads) {
    turn_column(g);
    g->path = terni_cpu_gemm_path(dtype, g);
    const int64_t all = threads ? terni_cpu_threads() : 1;
    division s = {.g = g, .dtype = dtype, .blas = by_blas(g), .by_rows = rows_divide(g, all)};
    const int64_t work = g->path == TERNI_GEMM_TILES ? g->m * g->n * g->k / PART_WORK : g->n * g->k / PART_READ;
    const int64_t most = s.by_rows ? g->m / 4 : g->n / COLUMNS;
    int64_t parts = work < most ? work : most;
    if (parts > all) parts = all;
    s.parts = parts > 1 ? (int)parts : 1;
    s.room_bytes = s.blas ? 0 : (terni_cpu_gemm_room(dtype, g) + 63) / 64 * 64;
    const size_t bytes = threads ? s.room_bytes * (size_t)s.parts : 0;
    if (bytes && !(s.room = terni_cpu_host->alloc(bytes))) return false;
    if (s.parts == 1) {
        g->room = s.room;
        run_gemm(&s, g);
    } else {
        terni_cpu_parallel(s.parts, 1, some_parts, &s);
    }
    if (bytes) terni_cpu_host->free(s.room, bytes);
    return true;
}

/* ---- operands
 * ------------------------------------------------------------------------------------------------------------ */

/* The last two dimensions of v as gemm takes them without a copy: unit stride along rows or columns. */
static bool direct(const terni_view *v, operand *o) {
    const int64_t rows = v->shape[v->ndim - 2], cols = v->shape[v->ndim - 1];
    const int64_t rs = v->strides[v->ndim - 2], cs = v->strides[v->ndim - 1];
    if ((cs == 1 || cols <= 1) && (rs >= cols || rows <= 1)) {
        *o = (operand){v->data, rows <= 1 ? cols : rs, false};
        return true;
    }
    if ((rs == 1 || rows <= 1) && (cs >= rows || cols <= 1)) {
        *o = (operand){v->data, cols <= 1 ? rows : cs, true};
        return true;
    }
    return false;
}

/* A contiguous copy of v in dtype; its distinct matrices only (broadcast batch dimensions stay strides of 0). */
static void *converted(const terni_view *v, int dtype, terni_view *out, size_t *bytes) {
    *out = *v;
    out->dtype = dtype;
    int64_t n = 1;
    for (int d = v->ndim - 1; d >= 0; d--) {
        const bool shared = d < v->ndim - 2 && v->strides[d] == 0;
        out->strides[d] = shared ? 0 : n;
        n *= shared ? 1 : v->shape[d];
    }
    *bytes = (size_t)n * terni_cpu_size(dtype);
    out->data = terni_cpu_host->alloc(*bytes);
    if (!out->data) return NULL;
    terni_view src = *v, dst = *out;
    for (int d = 0; d < v->ndim - 2; d++)
        if (v->strides[d] == 0) src.shape[d] = dst.shape[d] = 1;
    const terni_view *const in = &src, *const to = &dst;
    const terni_call copy = {&in, &to, 1, 1, NULL, 0};
    terni_cpu_copy(&copy);
    return out->data;
}

typedef struct scratch {
    void *data;
    size_t bytes;
} scratch;

/* Replaces *v by a copy in dtype if it cannot be used as it is. */
static bool usable(const terni_view **v, terni_view *room, int dtype, scratch *s, operand *o) {
    if ((*v)->dtype == dtype && direct(*v, o)) return true;
    s->data = converted(*v, dtype, room, &s->bytes);
    *v = room;
    return s->data != NULL && direct(room, o);
}

typedef struct products {
    terni_gemm g; /* but for data */
    const terni_view *a, *b, *y;
    bool threads; /* for each product */
    bool failed;
} products;

/* Products [begin, end) of the batch. */
static void some(void *arg, int64_t begin, int64_t end) {
    products *all = arg;
    const terni_view *a = all->a, *b = all->b, *y = all->y;
    const int batch_dims = y->ndim - 2;
    const int64_t size = (int64_t)terni_cpu_size(y->dtype);
    terni_gemm g = all->g;
    int64_t at[TERN_MAX_DIMS], rest = begin;
    for (int d = batch_dims - 1; d >= 0; d--) {
        at[d] = rest % y->shape[d];
        rest /= y->shape[d];
    }
    for (int64_t i = begin; i < end; i++) {
        int64_t oa = 0, ob = 0;
        for (int d = 0; d < batch_dims; d++) {
            oa += at[d] * a->strides[d];
            ob += at[d] * b->strides[d];
        }
        g.a = (const char *)a->data + oa * size;
        g.b = (const char *)b->data + ob * size;
        g.c = (char *)y->data + i * g.m * g.n * size;
        terni_gemm one = g;
        if (!multiply(y->dtype, &one, all->threads)) {
            all->failed = true; /* with threads only, and then this thread is alone here */
            return;
        }
        for (int d = batch_dims - 1; d >= 0 && ++at[d] == y->shape[d]; d--) at[d] = 0;
    }
}

/* The first product of the batch, or the only one. */
static terni_gemm first_product(const operand *a, const operand *b, int64_t k, const terni_view *bias,
                                const terni_view *y) {
    const int64_t m = y->shape[y->ndim - 2], n = y->shape[y->ndim - 1];
    return (terni_gemm){.ta = a->transposed,
                        .tb = b->transposed,
                        .m = m,
                        .n = n,
                        .k = k,
                        .a = a->data,
                        .b = b->data,
                        .bias = bias ? bias->data : NULL,
                        .lda = a->ld,
                        .ldb = b->ld,
                        .ldc = n,
                        .c = y->data};
}

/* Products with more dimensions than two. */
static bool run_batch(const terni_view *a, const terni_view *b, const terni_view *y, const terni_gemm *g) {
    const int batch_dims = y->ndim - 2;
    products all = {.g = *g, .a = a, .b = b, .y = y};
    int64_t batch = 1;
    for (int d = 0; d < batch_dims; d++) batch *= y->shape[d];
    const int64_t work = g->m * g->n * g->k; /* of one: small ones are shared out, large ones split */
    all.threads = batch == 1 || work >= 8 * PART_WORK;
    if (all.threads)
        some(&all, 0, batch);
    else
        terni_cpu_parallel(batch, PART_WORK / (work > 0 ? work : 1) + 1, some, &all);
    return !all.failed;
}

/* y = a b + bias. */
static bool multiply_add(const terni_view *a, const terni_view *b, const terni_view *bias, const terni_view *y) {
    const int dtype = y->dtype == TERN_F64 ? TERN_F64 : TERN_F32;
    terni_view room[4];
    scratch s[4] = {{NULL, 0}};
    operand oa, ob;
    bool ok = usable(&a, &room[0], dtype, &s[0], &oa) && usable(&b, &room[1], dtype, &s[1], &ob);
    if (ok && bias && (bias->dtype != dtype || (bias->strides[0] != 1 && bias->shape[0] > 1))) {
        terni_view row = *bias; /* as a matrix of one row */
        row.ndim = 2;
        row.shape[0] = 1, row.shape[1] = bias->shape[0];
        row.strides[0] = 0, row.strides[1] = bias->strides[0];
        s[2].data = converted(&row, dtype, &room[2], &s[2].bytes);
        ok = s[2].data != NULL;
        room[2].ndim = 1;
        room[2].strides[0] = 1;
        bias = &room[2];
    }
    if (ok && y->dtype != dtype) {
        room[3] = *y;
        room[3].dtype = dtype;
        s[3].bytes = (size_t)terni_cpu_count(y) * terni_cpu_size(dtype);
        room[3].data = s[3].data = terni_cpu_host->alloc(s[3].bytes);
        ok = s[3].data != NULL;
    }
    if (ok) {
        const terni_view *to = s[3].data ? &room[3] : y;
        terni_gemm g = first_product(&oa, &ob, a->shape[a->ndim - 1], bias, to);
        ok = to->ndim == 2 ? multiply(dtype, &g, true) : run_batch(a, b, to, &g);
    }
    if (ok && s[3].data) {
        const terni_view *const from = &room[3];
        const terni_call copy = {&from, &y, 1, 1, NULL, 0};
        ok = terni_cpu_copy(&copy);
    }
    for (int i = 0; i < 4; i++)
        if (s[i].data) terni_cpu_host->free(s[i].data, s[i].bytes);
    return ok;
}

bool terni_cpu_matmul(const terni_call *c) {
    const terni_matmul_opts *o = c->opts;
    const terni_view *y = c->out[0], *z = c->n_out > 1 && c->out[1] ? c->out[1] : y;
    if (terni_cpu_count(y) == 0) return true;
    if (!multiply_add(c->in[0], c->in[1], c->in[2], z)) return false;
    static const double no_parameters[3];
    const terni_call activation = {&z, &y, 1, 1, no_parameters, 0};
    switch (o ? o->activation : TERNI_ACTIVATION_NONE) {
        case TERNI_ACTIVATION_RELU:
            return terni_cpu_relu(&activation);
        case TERNI_ACTIVATION_GELU_TANH:
            return terni_cpu_gelu_tanh(&activation);
        default:
            return true;
    }
}
