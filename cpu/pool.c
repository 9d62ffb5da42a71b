/* One pool of threads for all kernels. A job is a few parts; workers, and the caller too, claim parts until none is
 * left, so a worker that the system does not run just now (another process has its core) delays nothing: the caller
 * does its part. Workers wait for a job by spinning for a moment (a kernel usually follows another within
 * microseconds), then sleep. A second thread of the program that computes meanwhile does its work alone. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "internal.h"

enum { MAX_THREADS = 256, SPIN = 4000 };

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER; /* held while a job runs */
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_t workers[MAX_THREADS];
static int started;       /* workers that run */
static atomic_int wanted; /* threads in all, the caller included */
/* The job's number (upper half), which of its parts is next and how many there are (16 bits each). A part is claimed by
 * a compare-and-swap on this word; whoever holds a part keeps the job from ending, and so may read it. */
static _Atomic uint64_t ticket;
static atomic_int done; /* parts that are finished */
static atomic_int sleepers, stop;
/* initial-exec: no function call, and LeakSanitizer cannot follow the dynamic kind in a module opened at run time. */
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

static struct {
    void (*fn)(void *arg, int64_t begin, int64_t end);
    void *arg;
    int64_t n;
} job;

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Claims and runs parts of job number `number` until there are no more. */
static void help(uint32_t number) {
    uint64_t t = atomic_load_explicit(&ticket, memory_order_acquire);
    for (;;) {
        const int64_t next = (int64_t)(t >> 16 & 0xffff), parts = (int64_t)(t & 0xffff);
        if ((uint32_t)(t >> 32) != number || next >= parts) return;
        if (!atomic_compare_exchange_weak_explicit(&ticket, &t, t + 0x10000, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        const int64_t begin = job.n * next / parts, end = job.n * (next + 1) / parts;
        if (begin < end) job.fn(job.arg, begin, end);
        atomic_fetch_add_explicit(&done, 1, memory_order_acq_rel);
        t = atomic_load_explicit(&ticket, memory_order_acquire);
    }
}

static uint32_t job_number(void) { return (uint32_t)(atomic_load(&ticket) >> 32); }

static uint32_t wait_for_job(uint32_t seen) {
    for (int i = 0; i < SPIN; i++) {
        const uint32_t g = job_number();
        if (g != seen || atomic_load_explicit(&stop, memory_order_relaxed)) return g;
        pause_cpu();
    }
    pthread_mutex_lock(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    uint32_t g;
    while ((g = job_number()) == seen && !atomic_load(&stop)) pthread_cond_wait(&wake, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&sleep_lock);
    return g;
}

static void *work(void *p) {
    uint32_t seen = (uint32_t)(uintptr_t)p;
    inside = true;
    for (;;) {
        seen = wait_for_job(seen);
        if (atomic_load(&stop)) return NULL;
        help(seen);
    }
}

/* The child of a fork has no workers; they are started anew. */
static void after_fork(void) {
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&sleep_lock, NULL);
    pthread_cond_init(&wake, NULL);
    started = 0;
    atomic_store(&sleepers, 0);
}

static int available(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

static void init(void) {
    const char *env = getenv("TERN_THREADS");
    const long n = env ? strtol(env, NULL, 10) : 0;
    atomic_store(&wanted, n >= 1 && n <= MAX_THREADS ? (int)n : available());
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
static int start_workers(void) {
    const int n = atomic_load(&wanted) - 1;
    if (started > n) end_workers();
    while (started < n) {
        if (pthread_create(&workers[started], NULL, work, (void *)(uintptr_t)job_number()) != 0)
            break; /* fewer will do */
        started++;
    }
    return started + 1;
}

bool terni_cpu_set_threads(int threads) {
    pthread_once(&once, init);
    if (threads > MAX_THREADS)
        return terni_cpu_fail(TERN_ERR_ARGUMENT, "set_threads: %d; at most %d", threads, MAX_THREADS);
    atomic_store(&wanted, threads == 0 ? available() : threads);
    return true;
}

int terni_cpu_threads(void) {
    pthread_once(&once, init);
    return atomic_load(&wanted);
}

void terni_cpu_parallel(int64_t n, int64_t grain, void (*fn)(void *arg, int64_t begin, int64_t end), void *arg) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    if (n <= grain || inside || terni_cpu_threads() == 1 || pthread_mutex_trylock(&owner) != 0) {
        fn(arg, 0, n);
        return;
    }
    const int threads = start_workers();
    const int64_t most = (n + grain - 1) / grain;
    const int parts = most < threads ? (int)most : threads;
    job.fn = fn;
    job.arg = arg;
    job.n = n;
    atomic_store_explicit(&done, 0, memory_order_relaxed);
    const uint32_t number = job_number() + 1;
    atomic_store(&ticket, (uint64_t)number << 32 | (uint64_t)parts);
    if (atomic_load(&sleepers) > 0) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&sleep_lock);
    }
    inside = true;
    help(number);
    inside = false;
    for (int i = 0; atomic_load_explicit(&done, memory_order_acquire) < parts; i++) {
        if (i < SPIN)
            pause_cpu();
        else
            sched_yield();
    }
    pthread_mutex_unlock(&owner);
}
