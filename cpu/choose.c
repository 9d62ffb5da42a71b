/* randint, randperm, bernoulli, multinomial: draws that are integers or choices. Every element's words are its own, so
 * threads change nothing. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "draw.h"
#include "internal.h"
#include "philox.h"

enum { CHUNK = TERNI_DRAW_CHUNK };

static int64_t chunks_of(int64_t n) { return (n + CHUNK - 1) / CHUNK; }
static int64_t length(int64_t n, int64_t chunk) { return n - chunk * CHUNK < CHUNK ? n - chunk * CHUNK : CHUNK; }

/* Integers as elements [first, first + n) of a contiguous view. */
static void put_integers(const terni_view *y, int64_t first, int64_t n, const int64_t *v) {
    switch (y->dtype) {
        case TERN_F64:
            for (int64_t i = 0; i < n; i++) ((double *)y->data)[first + i] = (double)v[i];
            break;
        case TERN_F32:
            for (int64_t i = 0; i < n; i++) ((float *)y->data)[first + i] = (float)v[i];
            break;
        case TERN_F16:
            for (int64_t i = 0; i < n; i++) ((uint16_t *)y->data)[first + i] = terni_f16_from((double)v[i]);
            break;
        case TERN_BF16:
            for (int64_t i = 0; i < n; i++) ((uint16_t *)y->data)[first + i] = terni_bf16_from((double)v[i]);
            break;
        case TERN_I64:
            memcpy((int64_t *)y->data + first, v, (size_t)n * sizeof *v);
            break;
        case TERN_I32:
            for (int64_t i = 0; i < n; i++) ((int32_t *)y->data)[first + i] = (int32_t)v[i];
            break;
        default:
            for (int64_t i = 0; i < n; i++) ((uint8_t *)y->data)[first + i] = (uint8_t)v[i];
    }
}

/* ---- randint ------------------------------------------------------------------------------------------------------
 */

typedef struct int_job {
    const terni_view *y;
    const terni_randint_opts *o;
    int64_t n;
} int_job;

static void integers(void *arg, int64_t begin, int64_t end) {
    const int_job *j = arg;
    uint32_t w[2 * CHUNK];
    int64_t v[CHUNK];
    for (int64_t c = begin; c < end; c++) {
        const int64_t n = length(j->n, c);
        terni_cpu_words(j->o->from.seed, j->o->from.position, 2 * c * CHUNK, 2 * n, w);
        for (int64_t i = 0; i < n; i++)
            v[i] = (int64_t)((uint64_t)j->o->lo + terni_below(w[2 * i], w[2 * i + 1], j->o->range));
        put_integers(j->y, c * CHUNK, n, v);
    }
}

bool terni_cpu_randint(const terni_call *c) {
    int_job j = {c->out[0], c->opts, terni_cpu_count(c->out[0])};
    terni_cpu_parallel(chunks_of(j.n), 4, integers, &j);
    return true;
}

/* ---- randperm: keys go to buckets by their leading bits, and each bucket is sorted --------------------------------
 */

typedef struct keyed {
    uint64_t key;
    int64_t i;
} keyed;

typedef struct perm_job {
    const terni_random_opts *o;
    int64_t n, *y;
    uint64_t *key;
    keyed *sorted;
    int64_t *start; /* of each bucket, and the end */
} perm_job;

static void make_keys(void *arg, int64_t begin, int64_t end) {
    const perm_job *j = arg;
    uint32_t w[2 * CHUNK];
    for (int64_t c = begin; c < end; c++) {
        const int64_t n = length(j->n, c);
        terni_cpu_words(j->o->from.seed, j->o->from.position, 2 * c * CHUNK, 2 * n, w);
        for (int64_t i = 0; i < n; i++) j->key[c * CHUNK + i] = (uint64_t)w[2 * i] << 32 | w[2 * i + 1];
    }
}

/* By insertion: buckets have a few elements, in the order of i. */
static void sort_buckets(void *arg, int64_t begin, int64_t end) {
    const perm_job *j = arg;
    for (int64_t b = begin; b < end; b++)
        for (int64_t i = j->start[b]; i < j->start[b + 1]; i++) {
            const keyed v = j->sorted[i];
            int64_t k = i;
            for (; k > j->start[b] && j->sorted[k - 1].key > v.key; k--) j->sorted[k] = j->sorted[k - 1];
            j->sorted[k] = v;
        }
    for (int64_t i = j->start[begin]; i < j->start[end]; i++) j->y[i] = j->sorted[i].i;
}

static void permute(perm_job *j, int bits) {
    const int64_t buckets = (int64_t)1 << bits;
    const int shift = 64 - bits;
    terni_cpu_parallel(chunks_of(j->n), 4, make_keys, j);
    memset(j->start, 0, (size_t)(buckets + 1) * sizeof *j->start);
    for (int64_t i = 0; i < j->n; i++) j->start[(j->key[i] >> shift) + 1]++;
    for (int64_t b = 0; b < buckets; b++) j->start[b + 1] += j->start[b];
    /* Filling moves each start to the next one's place; then all move back by one. */
    for (int64_t i = 0; i < j->n; i++) j->sorted[j->start[j->key[i] >> shift]++] = (keyed){j->key[i], i};
    memmove(j->start + 1, j->start, (size_t)buckets * sizeof *j->start);
    j->start[0] = 0;
    terni_cpu_parallel(buckets, 512, sort_buckets, j);
}

bool terni_cpu_randperm(const terni_call *c) {
    perm_job j = {.o = c->opts, .n = terni_cpu_count(c->out[0]), .y = c->out[0]->data};
    int bits = 1;
    while (bits < 24 && (j.n >> bits) > 4) bits++;
    if (j.n == 0) return true;
    const size_t keys = (size_t)j.n * sizeof *j.key, pairs = (size_t)j.n * sizeof *j.sorted,
                 starts = (((size_t)1 << bits) + 1) * sizeof *j.start;
    char *memory = terni_cpu_host->alloc(pairs + keys + starts);
    if (!memory) return false;
    j.sorted = (keyed *)(void *)memory;
    j.key = (uint64_t *)(void *)(memory + pairs);
    j.start = (int64_t *)(void *)(memory + pairs + keys);
    permute(&j, bits);
    terni_cpu_host->free(memory, pairs + keys + starts);
    return true;
}

/* ---- bernoulli ----------------------------------------------------------------------------------------------------
 */

typedef struct flip_job {
    const terni_view *p, *y;
    const terni_random_opts *o;
    int64_t n;
    int *wrong; /* a flag for each chunk */
} flip_job;

static void flips(void *arg, int64_t begin, int64_t end) {
    const flip_job *j = arg;
    uint32_t w[2 * CHUNK];
    int64_t v[CHUNK];
    terni_draw_buffer p;
    const bool wide = j->p && j->p->dtype == TERN_F64;
    const uint32_t threshold = terni_dropout_threshold(j->o->a);
    for (int64_t c = begin; c < end; c++) {
        const int64_t n = length(j->n, c), per = wide ? 2 : 1;
        bool good = true;
        terni_cpu_words(j->o->from.seed, j->o->from.position, per * c * CHUNK, per * n, w);
        if (j->p) terni_cpu_get(j->p, c * CHUNK, n, &p);
        if (!j->p)
            for (int64_t i = 0; i < n; i++) v[i] = (w[i] >> 8) < threshold;
        else if (wide)
            for (int64_t i = 0; i < n; i++) {
                v[i] = terni_u53(w[2 * i], w[2 * i + 1]) < p.f64[i];
                good = good && p.f64[i] >= 0 && p.f64[i] <= 1;
            }
        else
            for (int64_t i = 0; i < n; i++) {
                v[i] = terni_u24(w[i]) < p.f32[i];
                good = good && p.f32[i] >= 0 && p.f32[i] <= 1;
            }
        if (!good) j->wrong[c] = 1;
        put_integers(j->y, c * CHUNK, n, v);
    }
}

bool terni_cpu_bernoulli(const terni_call *c) {
    flip_job j = {c->n_in ? c->in[0] : NULL, c->out[0], c->opts, terni_cpu_count(c->out[0]), NULL};
    const int64_t chunks = chunks_of(j.n);
    if (chunks == 0) return true;
    const size_t bytes = (size_t)chunks * sizeof *j.wrong;
    if (!(j.wrong = terni_cpu_host->alloc(bytes))) return false;
    memset(j.wrong, 0, bytes);
    terni_cpu_parallel(chunks, 4, flips, &j);
    bool good = true;
    for (int64_t k = 0; k < chunks; k++) good = good && !j.wrong[k];
    terni_cpu_host->free(j.wrong, bytes);
    return good || terni_cpu_fail(TERN_ERR_ARGUMENT, "bernoulli: an element of p is not in [0, 1]");
}

/* ---- multinomial --------------------------------------------------------------------------------------------------
 */

typedef struct pick_job {
    const terni_view *p;
    const terni_multinomial_opts *o;
    int64_t n, samples, *y;
    double *number;    /* [m, n]: running sums, or keys */
    int64_t *positive; /* [m]: numbers above 0; -1 if one is no probability */
} pick_job;

/* Rows of p as doubles, and how many of each are above 0. */
static void read_rows(void *arg, int64_t begin, int64_t end) {
    const pick_job *j = arg;
    terni_draw_buffer b;
    for (int64_t r = begin; r < end; r++) {
        double *to = j->number + r * j->n;
        int64_t positive = 0;
        bool good = true;
        for (int64_t at = 0; at < j->n; at += CHUNK) {
            const int64_t m = j->n - at < CHUNK ? j->n - at : CHUNK;
            terni_cpu_get(j->p, r * j->n + at, m, &b);
            for (int64_t i = 0; i < m; i++) {
                const double v = j->p->dtype == TERN_F64 ? b.f64[i] : (double)b.f32[i];
                good = good && v >= 0 && v <= DBL_MAX;
                positive += v > 0;
                to[at + i] = v;
            }
        }
        j->positive[r] = good ? positive : -1;
    }
}

static void sum_rows(void *arg, int64_t begin, int64_t end) {
    const pick_job *j = arg;
    for (int64_t r = begin; r < end; r++)
        for (int64_t k = 1; k < j->n; k++) j->number[r * j->n + k] += j->number[r * j->n + k - 1];
}

/* The two words of uniform number i. */
static void words_at(const terni_multinomial_opts *o, int64_t i, uint32_t w[2]) {
    const terni_philox_block b = terni_philox_at(o->from.seed, o->from.position + (uint64_t)i / 2);
    w[0] = b.w[2 * (i % 2)];
    w[1] = b.w[2 * (i % 2) + 1];
}

static void pick_with(void *arg, int64_t begin, int64_t end) {
    const pick_job *j = arg;
    uint32_t w[2];
    for (int64_t i = begin; i < end; i++) {
        const double *sum = j->number + i / j->samples * j->n;
        words_at(j->o, i, w);
        const double t = terni_u53(w[0], w[1]) * sum[j->n - 1];
        int64_t lo = 0, hi = j->n; /* the first above t is in [lo, hi] */
        while (lo < hi) {
            const int64_t middle = lo + (hi - lo) / 2;
            if (sum[middle] > t)
                hi = middle;
            else
                lo = middle + 1;
        }
        if (lo == j->n)
            for (lo = j->n - 1; lo > 0 && sum[lo - 1] == sum[lo];) lo--;
        j->y[i] = lo;
    }
}

/* True if a is drawn after b. */
static bool later(const double *key, int64_t a, int64_t b) { return key[a] > key[b] || (key[a] == key[b] && a > b); }

/* heap[0 .. n) but for its root is a heap with the latest on top. */
static void sift(const double *key, int64_t *heap, int64_t n) {
    int64_t at = 0;
    const int64_t v = heap[0];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && later(key, heap[child + 1], heap[child])) child++;
        if (!later(key, heap[child], v)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = v;
}

/* Puts k into the heap of n so far. */
static void push(const double *key, int64_t *heap, int64_t n, int64_t k) {
    int64_t at = n;
    while (at > 0 && later(key, k, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = k;
}

static void pick_without(void *arg, int64_t begin, int64_t end) {
    const pick_job *j = arg;
    for (int64_t r = begin; r < end; r++) {
        double *key = j->number + r * j->n;
        int64_t *const heap = j->y + r * j->samples;
        for (int64_t k = 0; k < j->n; k++) {
            uint32_t w[2];
            words_at(j->o, r * j->n + k, w);
            key[k] = key[k] > 0 ? -terni_log_f64(terni_open_f64(w[0], w[1])) / key[k] : (double)INFINITY;
            if (k < j->samples) {
                push(key, heap, k, k);
            } else if (later(key, heap[0], k)) {
                heap[0] = k;
                sift(key, heap, j->samples);
            }
        }
        for (int64_t n = j->samples - 1; n > 0; n--) { /* the latest to the end */
            const int64_t last = heap[0];
            heap[0] = heap[n];
            heap[n] = last;
            sift(key, heap, n);
        }
    }
}

static bool pick(pick_job *j, int64_t m) {
    const int64_t grain = CHUNK / j->n + 1;
    terni_cpu_parallel(m, grain, read_rows, j);
    for (int64_t r = 0; r < m; r++) {
        if (j->positive[r] < 0)
            return terni_cpu_fail(TERN_ERR_ARGUMENT, "multinomial: row %lld of p has a negative or not finite number",
                                  (long long)r);
        if (j->positive[r] == 0 || (!j->o->replacement && j->positive[r] < j->samples))
            return terni_cpu_fail(TERN_ERR_ARGUMENT,
                                  "multinomial: %lld samples; row %lld of p has %lld numbers above 0",
                                  (long long)j->samples, (long long)r, (long long)j->positive[r]);
    }
    if (!j->o->replacement) {
        terni_cpu_parallel(m, grain, pick_without, j);
        return true;
    }
    terni_cpu_parallel(m, grain, sum_rows, j);
    terni_cpu_parallel(m * j->samples, CHUNK, pick_with, j);
    return true;
}

bool terni_cpu_multinomial(const terni_call *c) {
    const terni_view *p = c->in[0];
    const int64_t m = p->shape[0];
    pick_job j = {.p = p, .o = c->opts, .n = p->shape[1], .samples = c->out[0]->shape[1], .y = c->out[0]->data};
    if (m == 0) return true;
    const size_t numbers = (size_t)(m * j.n) * sizeof *j.number, bytes = numbers + (size_t)m * sizeof *j.positive;
    char *memory = terni_cpu_host->alloc(bytes);
    if (!memory) return false;
    j.number = (double *)(void *)memory;
    j.positive = (int64_t *)(void *)(memory + numbers);
    const bool ok = pick(&j, m);
    terni_cpu_host->free(memory, bytes);
    return ok;
}
