/* One pool of threads for all kernels. A job is cut into parts by the number of threads alone, so results do not depend
 * on timing; who does a part is settled by claiming it. A worker tries the part of its own number first, which keeps
 * caches warm, and the caller takes every part that no worker has begun: a worker that sleeps, or that the system has
 * taken off its core, holds nobody up. Workers wait for a job by spinning for a moment (a kernel usually follows
 * another within microseconds), then sleep. A second thread of the program that computes meanwhile does its parts
 * alone. A worker that finds itself on the caller's processor leaves it: systems have been seen to wake it there and to
 * keep it there for long, with another processor idle, and products then took twice their time. */
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

enum { MAX_THREADS = 256, SPIN = 4000, PART_BITS = 16, LEAVE_MS = 5 /* at most once in them */ };

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; /* held while a job runs */
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER; /* of workers */
static pthread_cond_t done = PTHREAD_COND_INITIALIZER; /* of the caller */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_t workers[MAX_THREADS];
static int started;             /* workers that run */
static atomic_int wanted, spin; /* threads in all, the caller included; how long to spin */
static atomic_int left, sleepers, stop;
static atomic_int caller_at; /* the processor that the job was published from */
static atomic_bool caller_sleeps;
/* The job's number and, in the low PART_BITS, its parts. claimed[i] is the number of the last job whose part i somebody
 * took. Once a job is done all its parts carry its number or a later one, so a worker that comes late gets nothing. */
static atomic_ullong ticket;
static struct { alignas(64) atomic_ullong job; } claimed[MAX_THREADS];
/* initial-exec: no function call, and LeakSanitizer cannot follow the dynamic kind in a module opened at run time. */
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

/* Written by the owner while no part of an earlier job is unfinished; read by who has claimed a part. */
static struct {
    void (*fn)(void *arg, int64_t begin, int64_t end);
    void *arg;
    int64_t n;
    int parts;
} job;

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Part i of [0, n), without a product that could overflow. */
static void run_part(void (*fn)(void *, int64_t, int64_t), void *arg, int64_t n, int parts, int i) {
    const int64_t each = n / parts, rest = n % parts;
    const int64_t begin = each * i + (i < rest ? i : rest);
    fn(arg, begin, begin + each + (i < rest));
}

static bool claim(unsigned long long number, int part) {
    unsigned long long was = atomic_load_explicit(&claimed[part].job, memory_order_relaxed);
    return was < number && atomic_compare_exchange_strong(&claimed[part].job, &was, number);
}

static void take(unsigned long long number, int part) {
    if (!claim(number, part)) return;
    run_part(job.fn, job.arg, job.n, job.parts, part);
    if (atomic_fetch_sub(&left, 1) == 1 && atomic_load(&caller_sleeps)) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_signal(&done);
        pthread_mutex_unlock(&sleep_lock);
    }
}

static unsigned long long wait_for_job(unsigned long long seen) {
    unsigned long long t;
    for (int i = atomic_load_explicit(&spin, memory_order_relaxed); i > 0; i--) {
        t = atomic_load_explicit(&ticket, memory_order_acquire);
        if (t != seen || atomic_load_explicit(&stop, memory_order_relaxed)) return t;
        pause_cpu();
    }
    pthread_mutex_lock(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    while ((t = atomic_load(&ticket)) == seen && !atomic_load(&stop)) pthread_cond_wait(&wake, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&sleep_lock);
    return t;
}

/* Moves this thread to another processor, if it may use one, and then lets it go where it could before. */
static void leave(int processor) {
    cpu_set_t may, others;
    CPU_ZERO(&may);
    if (processor < 0 || processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof may, &may) != 0) return;
    others = may;
    CPU_CLR((size_t)processor, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        (void)sched_setaffinity(0, sizeof may, &may);
}

static int64_t milliseconds(void) {
    struct timespec t;
    return clock_gettime(CLOCK_MONOTONIC_COARSE, &t) == 0 ? t.tv_sec * (int64_t)1000 + t.tv_nsec / 1000000 : 0;
}

static int numbers[MAX_THREADS];

static void *work(void *p) {
    const int own = *(const int *)p;
    unsigned long long seen = 0;
    int64_t left_at = 0;
    inside = true;
    for (;;) {
        seen = wait_for_job(seen);
        if (atomic_load(&stop)) return NULL;
        const int at = atomic_load_explicit(&caller_at, memory_order_relaxed);
        if (at == sched_getcpu() && atomic_load_explicit(&spin, memory_order_relaxed) > 0 &&
            milliseconds() - left_at >= LEAVE_MS) {
            leave(at);
            left_at = milliseconds();
        }
        const int parts = (int)(seen & ((1u << PART_BITS) - 1));
        for (int i = 0; i < parts; i++) take(seen >> PART_BITS, (own + i) % parts);
    }
}

/* The child of a fork has no workers; they are started anew. */
static void after_fork(void) {
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&sleep_lock, NULL);
    pthread_cond_init(&wake, NULL);
    pthread_cond_init(&done, NULL);
    started = 0;
    atomic_store(&sleepers, 0);
    atomic_store(&stop, 0);
    atomic_store(&caller_sleeps, false);
}

static int available(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

/* Where there are more threads than processors, spinning only keeps others from their work. */
static void want(int threads) {
    atomic_store(&spin, threads > available() ? 0 : SPIN);
    atomic_store(&wanted, threads);
}

static void init(void) {
    const char *env = getenv("TERN_THREADS");
    const long n = env ? strtol(env, NULL, 10) : 0;
    want(n >= 1 && n <= MAX_THREADS ? (int)n : available());
    (void)pthread_atfork(NULL, NULL, after_fork);
}

/* Owner only: ends all workers. */
static void end_workers(void) {
    if (started == 0) return;
    pthread_mutex_lock(&sleep_lock);
    atomic_store(&stop, 1);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&sleep_lock);
    for (int i = 0; i < started; i++) pthread_join(workers[i], NULL);
    started = 0;
    atomic_store(&stop, 0);
}

__attribute__((destructor)) static void at_exit(void) {
    if (inside || pthread_mutex_trylock(&owner) != 0) return;
    end_workers();
    pthread_mutex_unlock(&owner);
}

/* Owner only: as many workers as can be had, up to wanted - 1. */
static void start_workers(void) {
    const int n = atomic_load(&wanted) - 1;
    if (started > n) end_workers();
    while (started < n) {
        numbers[started] = started + 1;
        if (pthread_create(&workers[started], NULL, work, &numbers[started]) != 0) break; /* fewer will do */
        started++;
    }
}

bool terni_cpu_set_threads(int threads) {
    pthread_once(&once, init);
    if (threads > MAX_THREADS)
        return terni_cpu_fail(TERN_ERR_ARGUMENT, "set_threads: %d; at most %d", threads, MAX_THREADS);
    want(threads <= 0 ? available() : threads);
    return true;
}

int terni_cpu_threads(void) {
    pthread_once(&once, init);
    return atomic_load(&wanted);
}

/* Owner only: until all parts are done. */
static void wait_for_parts(void) {
    for (int i = atomic_load_explicit(&spin, memory_order_relaxed); i > 0; i--) {
        if (atomic_load_explicit(&left, memory_order_acquire) == 0) return;
        pause_cpu();
    }
    pthread_mutex_lock(&sleep_lock);
    atomic_store(&caller_sleeps, true);
    while (atomic_load(&left) > 0) pthread_cond_wait(&done, &sleep_lock);
    atomic_store(&caller_sleeps, false);
    pthread_mutex_unlock(&sleep_lock);
}

static void run_job(void) {
    const unsigned long long number = (atomic_load_explicit(&ticket, memory_order_relaxed) >> PART_BITS) + 1;
    atomic_store_explicit(&left, job.parts, memory_order_relaxed);
    atomic_store_explicit(&caller_at, sched_getcpu(), memory_order_relaxed);
    atomic_store(&ticket, number << PART_BITS | (unsigned)job.parts);
    if (atomic_load(&sleepers) > 0) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&sleep_lock);
    }
    for (int i = 0; i < job.parts; i++) take(number, i);
    wait_for_parts();
}

void terni_cpu_parallel(int64_t n, int64_t grain, void (*fn)(void *arg, int64_t begin, int64_t end), void *arg) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    const int threads = n <= grain || inside ? 1 : terni_cpu_threads();
    const int64_t most = n / grain + (n % grain != 0);
    const int parts = most < threads ? (int)most : threads;
    if (parts == 1) {
        fn(arg, 0, n);
        return;
    }
    if (pthread_mutex_trylock(&owner) != 0) {
        for (int i = 0; i < parts; i++) run_part(fn, arg, n, parts, i);
        return;
    }
    start_workers();
    job.fn = fn;
    job.arg = arg;
    job.n = n;
    job.parts = parts;
    inside = true;
    run_job();
    inside = false;
    pthread_mutex_unlock(&owner);
}
