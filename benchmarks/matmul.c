/* tern_matmul against OpenBLAS called directly, f32, interleaved in one run: for each shape a round is a batch of
 * Tern's products, then the same through cblas_sgemm on as many threads, with pauses so that no one's waiting threads
 * disturb the other; the median of the rounds counts.
 *
 * OpenBLAS chooses its kernels while it is loaded, by OPENBLAS_CORETYPE, so each variant lives in a child process: one
 * for each core type that this processor can run (the fastest for the shape is "OpenBLAS"), and one as shipped. */
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "tern/memory.h"
#include "tern/ops.h"
#include "tern/random.h"

enum { ROUNDS = 9, MAX_PEERS = 4 };

typedef struct job {
    int64_t m, k, n;
    int bt; /* b is stored [n, k] */
    int calls;
} job;

static const job jobs[] = {
    {1024, 1024, 1024, 0, 8}, /* the first one is the one that --quick measures */
    {64, 64, 64, 0, 400},     {128, 128, 128, 0, 300}, {256, 256, 256, 0, 100}, {512, 512, 512, 0, 30},
    {2048, 2048, 2048, 0, 2}, {64, 784, 256, 0, 100},  {64, 784, 256, 1, 100},  {256, 768, 3072, 0, 10},
    {256, 768, 3072, 1, 10},  {1, 1024, 1024, 0, 200}, {4096, 25, 32, 0, 100},
};

/* ---- OpenBLAS in a child process --------------------------------------------------------------------------------- */

typedef void (*sgemm_fn)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *,
                         int);

typedef struct peer {
    pid_t pid;
    int to, from;
    char core[64]; /* what OpenBLAS says it runs */
} peer;

static double now_per_call(sgemm_fn sgemm, const job *j, const float *a, const float *b, float *c) {
    const double t = bench_now();
    for (int i = 0; i < j->calls; i++)
        sgemm(101, 111, j->bt ? 112 : 111, (int)j->m, (int)j->n, (int)j->k, 1, a, (int)j->k, b,
              (int)(j->bt ? j->k : j->n), 0, c, (int)j->n);
    return (bench_now() - t) / j->calls;
}

/* Answers each job with the seconds of one call, until the pipe is closed. */
static void serve(int in, int out, const char *core, int threads) {
    if (core) setenv("OPENBLAS_CORETYPE", core, 1);
    char name[64] = "";
    void *blas = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL), *p;
    sgemm_fn sgemm = NULL;
    void (*set_threads)(int) = NULL;
    char *(*corename)(void) = NULL;
    if (blas) {
        p = dlsym(blas, "cblas_sgemm"), memcpy(&sgemm, &p, sizeof p);
        p = dlsym(blas, "openblas_set_num_threads"), memcpy(&set_threads, &p, sizeof p);
        p = dlsym(blas, "openblas_get_corename"), memcpy(&corename, &p, sizeof p);
        if (set_threads) set_threads(threads);
        if (sgemm) snprintf(name, sizeof name, "%s", corename ? corename() : "?");
    }
    if (write(out, name, sizeof name) != (ssize_t)sizeof name || !sgemm) _exit(0);
    job j = {0}, last = {0};
    float *a = NULL, *b = NULL, *c = NULL;
    while (read(in, &j, sizeof j) == (ssize_t)sizeof j) {
        if (memcmp(&j, &last, sizeof j) != 0) {
            free(a), free(b), free(c);
            a = malloc((size_t)(j.m * j.k) * sizeof *a);
            b = malloc((size_t)(j.k * j.n) * sizeof *b);
            c = malloc((size_t)(j.m * j.n) * sizeof *c);
            if (!a || !b || !c) _exit(1);
            for (int64_t i = 0; i < j.m * j.k; i++) a[i] = (float)(i % 17) * 0.1f - 0.8f;
            for (int64_t i = 0; i < j.k * j.n; i++) b[i] = (float)(i % 13) * 0.1f - 0.6f;
            last = j;
            now_per_call(sgemm, &j, a, b, c); /* warms up */
        }
        const double s = now_per_call(sgemm, &j, a, b, c);
        if (write(out, &s, sizeof s) != (ssize_t)sizeof s) break;
    }
    _exit(0);
}

/* Before Tern starts threads. False where there is no OpenBLAS. */
static bool start(peer *p, const char *core, int threads) {
    int to[2], from[2];
    if (pipe(to) || pipe(from)) return false;
    p->pid = fork();
    if (p->pid == 0) {
        close(to[1]), close(from[0]);
        serve(to[0], from[1], core, threads);
    }
    close(to[0]), close(from[1]);
    p->to = to[1], p->from = from[0];
    return read(p->from, p->core, sizeof p->core) == (ssize_t)sizeof p->core && p->core[0];
}

static double ask(peer *p, const job *j) {
    double s = 0;
    if (write(p->to, j, sizeof *j) != (ssize_t)sizeof *j || read(p->from, &s, sizeof s) != (ssize_t)sizeof s) {
        fprintf(stderr, "matmul: the process with OpenBLAS %s has ended\n", p->core);
        exit(1);
    }
    return s;
}

/* ---- Tern ----------------------------------------------------------------------------------------------------------
 */

static double tern_per_call(const job *j, tern_tensor *a, tern_tensor *b) {
    const double t = bench_now();
    for (int i = 0; i < j->calls; i++) {
        const int s = tern_scope_push();
        tern_matmul(a, b);
        tern_scope_pop(s);
    }
    const double each = (bench_now() - t) / j->calls;
    bench_check();
    return each;
}

/* Peer 0 is OpenBLAS as shipped. */
static double compare(const job *j, peer *peers, int n_peers, int rounds) {
    double tern[ROUNDS], other[MAX_PEERS][ROUNDS];
    const int s = tern_scope_push();
    tern_tensor *a = tern_rand(TERN_SHAPE(j->m, j->k), -1, 1, (tern_options){0});
    tern_tensor *b = j->bt ? tern_transpose(tern_rand(TERN_SHAPE(j->n, j->k), -1, 1, (tern_options){0}), 0, 1)
                           : tern_rand(TERN_SHAPE(j->k, j->n), -1, 1, (tern_options){0});
    tern_per_call(j, a, b);
    for (int r = 0; r < rounds; r++) {
        bench_pause(0.1);
        tern[r] = tern_per_call(j, a, b);
        for (int p = 0; p < n_peers; p++) {
            bench_pause(0.1);
            other[p][r] = ask(&peers[p], j);
        }
    }
    tern_scope_pop(s);
    const double gflop = 2e-9 * (double)j->m * (double)j->k * (double)j->n;
    char shape[64];
    snprintf(shape, sizeof shape, "%lldx%lld * %lldx%lld%s", (long long)j->m, (long long)j->k, (long long)j->k,
             (long long)j->n, j->bt ? " (b^T)" : "");
    const double mine = gflop / bench_median(tern, rounds);
    double best = 0, shipped = 0;
    const char *core = "none";
    for (int p = 0; p < n_peers; p++) {
        const double g = gflop / bench_median(other[p], rounds);
        if (p == 0) shipped = g;
        if (g > best) best = g, core = peers[p].core;
    }
    printf("%-28s %10.1f %10.1f %-12s %10.1f %8.3f\n", shape, mine, best, core, shipped, best > 0 ? mine / best : 0);
    fflush(stdout);
    return best > 0 ? mine / best : 0;
}

int main(int argc, char **argv) {
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const char *env = getenv("TERN_THREADS");
    const int threads = env && atoi(env) > 0 ? atoi(env) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    peer peers[MAX_PEERS];
    int n = 0;
    n += start(&peers[n], NULL, threads);
#if defined(__x86_64__)
    if (n && __builtin_cpu_supports("avx512dq")) n += start(&peers[n], "SKYLAKEX", threads);
    if (n && __builtin_cpu_supports("avx2")) n += start(&peers[n], "HASWELL", threads);
    if (n && __builtin_cpu_supports("avx2")) n += start(&peers[n], "ZEN", threads);
#endif
    bench_head("matmul, f32");
    printf("%d threads, GFLOP/s, median of %d rounds\n", threads, quick ? 1 : ROUNDS);
    printf("%-28s %10s %23s %10s %8s\n", "", "Tern", "OpenBLAS, best core", "shipped", "ratio");
    if (!n) printf("(no OpenBLAS was found: nothing to compare with)\n");
    double first = 0;
    for (size_t i = 0; i < (quick ? 1 : sizeof jobs / sizeof jobs[0]); i++) {
        const double ratio = compare(&jobs[i], peers, n, quick ? 1 : ROUNDS);
        if (i == 0) first = ratio;
    }
    if (n) printf("\nsgemm 1024^3: Tern / OpenBLAS = %.3f\n", first);
    /* All ends first: a peer holds the ends of those that were started before it. */
    for (int p = 0; p < n; p++) close(peers[p].to);
    for (int p = 0; p < n; p++) waitpid(peers[p].pid, NULL, 0);
    return 0;
}
