/* One pool of threads for all kernels. Workers wait for a job by spinning for a moment (a kernel usually follows
 * another within microseconds), then sleep. A second thread of the program that computes meanwhile does its work alone.
 */
#include <errno.h>
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
static int started;            /* workers that run */
static atomic_int wanted;      /* threads in all, the caller included */
static atomic_uint generation; /* of the job; changes when there is a new one */
static atomic_int left, sleepers, stop;
/* initial-exec: no function call, and LeakSanitizer cannot follow the dynamic kind in a module opened at run time. */
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

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

static void run_part(int part) {
    if (part >= job.parts) return;
    const int64_t begin = job.n * part / job.parts, end = job.n * (part + 1) / job.parts;
    if (begin < end) job.fn(job.arg, begin, end);
}

static unsigned wait_for_job(unsigned seen) {
    for (int i = 0; i < SPIN; i++) {
        const unsigned g = atomic_load_explicit(&generation, memory_order_acquire);
        if (g != seen || atomic_load_explicit(&stop, memory_order_relaxed)) return g;
        pause_cpu();
    }
    pthread_mutex_lock(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    unsigned g;
    while ((g = atomic_load(&generation)) == seen && !atomic_load(&stop)) pthread_cond_wait(&wake, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&sleep_lock);
    return g;
}

typedef struct start {
    int part;
    unsigned seen;
} start;
static start starts[MAX_THREADS];

static void *work(void *p) {
    const start s = *(const start *)p;
    unsigned seen = s.seen;
    inside = true;
    for (;;) {
        seen = wait_for_job(seen);
        if (atomic_load(&stop)) return NULL;
        run_part(s.part);
        atomic_fetch_sub_explicit(&left, 1, memory_order_acq_rel);
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
        starts[started] = (start){started + 1, atomic_load(&generation)};
        if (pthread_create(&workers[started], NULL, work, &starts[started]) != 0) break; /* fewer will do */
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
    job.fn = fn;
    job.arg = arg;
    job.n = n;
    job.parts = most < threads ? (int)most : threads;
    atomic_store_explicit(&left, threads - 1, memory_order_relaxed);
    atomic_fetch_add(&generation, 1);
    if (atomic_load(&sleepers) > 0) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&sleep_lock);
    }
    inside = true;
    run_part(0);
    inside = false;
    for (int i = 0; atomic_load_explicit(&left, memory_order_acquire) > 0; i++) {
        if (i < SPIN)
            pause_cpu();
        else
            sched_yield();
    }
    pthread_mutex_unlock(&owner);
}
