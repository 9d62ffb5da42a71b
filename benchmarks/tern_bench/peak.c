/* What this machine's CPU can do at most: fused multiply-adds on registers, and copies of memory, with plain and with
 * streaming stores, on as many threads as Tern uses. Own code, as no library that Tern has does this. */
#include <pthread.h>

#include "bench.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12, THREADS_MAX = 256, INNER = 4096 };

typedef struct job {
    void (*run)(struct job *j);
    double work; /* of one run */
    char *to;
    const char *from;
    size_t bytes;
} job;

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

/* Twelve independent sums fill the pipelines; one variable each, so that they stay in registers, begun
 * with what the compiler cannot know to be the same. */
static volatile float unknown = 1;
#define EACH(F)  F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
#define START(i) x##i = a * unknown,
#define STEP(i)  x##i = x##i * a + b;
#define SUM(i)   +x##i[0]
#define FMA_LOOP(fn, target_of, bytes_of)                             \
    typedef float fn##_vector __attribute__((vector_size(bytes_of))); \
    target_of static void fn(job *j) {                                \
        fn##_vector a, b;                                             \
        for (int k = 0; k < (bytes_of) / 4; k++) a[k] = 0.999f;       \
        for (int k = 0; k < (bytes_of) / 4; k++) b[k] = 1e-3f;        \
        fn##_vector EACH(START) last = b;                             \
        for (int n = 0; n < INNER; n++) {                             \
            EACH(STEP)                                                \
        }                                                             \
        volatile float sum = last[0] EACH(SUM);                       \
        (void)sum;                                                    \
        j->work = 2.0 * CHAINS * INNER * ((bytes_of) / 4);            \
    }
#define PLAIN
FMA_LOOP(fma_base, PLAIN, 16)
#if defined(__x86_64__)
FMA_LOOP(fma_v3, __attribute__((target("avx2,fma"))), 32)
FMA_LOOP(fma_v4, __attribute__((target("avx512f"))), 64)
#endif

/* ---- copies ------------------------------------------------------------------------------------------------------ */

static void copy_plain(job *j) {
    memcpy(j->to, j->from, j->bytes);
    j->work = 2 * (double)j->bytes;
}

#if defined(__x86_64__)
/* Past the caches; SSE2, which every x86-64 has. */
static void copy_streaming(job *j) {
    const __m128i *from = (const __m128i *)(const void *)j->from;
    __m128i *to = (__m128i *)(void *)j->to;
    for (size_t i = 0; i < j->bytes / sizeof *to; i++) _mm_stream_si128(&to[i], _mm_loadu_si128(&from[i]));
    _mm_sfence();
    j->work = 2 * (double)j->bytes;
}
#endif

/* ---- on several threads ------------------------------------------------------------------------------------------ */

typedef struct team {
    job j[THREADS_MAX];
    pthread_barrier_t barrier;
    int threads, runs; /* runs of a round */
    bool more;
    double end, best; /* when to stop; work a second of the best round */
} team;

typedef struct member {
    team *t;
    int i;
} member;

/* All begin a round together, and its time ends with the slowest; the first one keeps the books between rounds. */
static void *work(void *arg) {
    const member *m = arg;
    team *t = m->t;
    job *j = &t->j[m->i];
    while (t->more) {
        pthread_barrier_wait(&t->barrier);
        const double start = bench_now();
        for (int r = 0; r < t->runs; r++) j->run(j);
        pthread_barrier_wait(&t->barrier);
        if (m->i == 0) {
            const double seconds = bench_now() - start;
            double sum = 0;
            for (int k = 0; k < t->threads; k++) sum += t->j[k].work * t->runs;
            if (sum / seconds > t->best) t->best = sum / seconds;
            if (seconds < 2e-3) t->runs *= 2;
            t->more = bench_now() < t->end;
        }
        pthread_barrier_wait(&t->barrier);
    }
    return NULL;
}

/* The best rate; 0 if no thread could be started. */
static double run(void (*fn)(job *j), int threads, double seconds, char *to, const char *from, size_t bytes) {
    static team t;
    pthread_t id[THREADS_MAX];
    member m[THREADS_MAX];
    if (threads > THREADS_MAX) threads = THREADS_MAX;
    t = (team){.threads = threads, .runs = 1, .more = true, .end = bench_now() + seconds};
    if (pthread_barrier_init(&t.barrier, NULL, (unsigned)threads)) return 0;
    const size_t part = bytes / (size_t)threads / 64 * 64;
    for (int i = 0; i < threads; i++) {
        t.j[i] = (job){.run = fn, .bytes = part};
        if (bytes) t.j[i].to = to + (size_t)i * part, t.j[i].from = from + (size_t)i * part;
        m[i] = (member){&t, i};
    }
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&id[i], NULL, work, &m[i])) {
            fprintf(stderr, "tern-bench: no thread %d could be started\n", i);
            exit(1); /* those that wait at the barrier would wait for ever */
        }
    }
    work(&m[0]);
    for (int i = 1; i < threads; i++) pthread_join(id[i], NULL);
    pthread_barrier_destroy(&t.barrier);
    return t.best;
}

double bench_peak_flops(int threads, double seconds) {
    double best = run(fma_base, threads, seconds, NULL, NULL, 0), rate;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        (rate = run(fma_v3, threads, seconds, NULL, NULL, 0)) > best)
        best = rate;
    if (__builtin_cpu_supports("avx512f") && (rate = run(fma_v4, threads, seconds, NULL, NULL, 0)) > best) best = rate;
#else
    (void)rate;
#endif
    return best;
}

double bench_peak_copy(size_t bytes, int threads, double seconds) {
    bytes = bytes / 2 / 4096 * 4096;
    char *to = aligned_alloc(4096, bytes), *from = aligned_alloc(4096, bytes);
    double best = 0;
    if (to && from) {
        memset(from, 1, bytes);
        memset(to, 0, bytes);
        best = run(copy_plain, threads, seconds, to, from, bytes);
#if defined(__x86_64__)
        const double rate = run(copy_streaming, threads, seconds, to, from, bytes);
        if (rate > best) best = rate;
#endif
    }
    free(to);
    free(from);
    return best;
}
