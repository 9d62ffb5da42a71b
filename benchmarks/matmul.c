/* tern_matmul against OpenBLAS called directly and against PyTorch, f32, interleaved in one run: for each shape a round
 * is a batch of Tern's products, then the same by each peer on as many threads, with pauses so that no one's waiting
 * threads disturb the other; the median of the rounds counts.
 *     bench-matmul [--quick] [--rounds N] [--pytorch PYTHON SCRIPT] [TEXT]      rows whose name holds TEXT
 * SCRIPT is benchmarks/peers/matmul.py.
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

enum { MAX_ROUNDS = 15, MAX_PEERS = 5 };

/* What a peer is asked: a is [m, k], stored [k, m] if at; b is [k, n], stored [n, k] if bt. */
typedef struct job {
    int64_t m, k, n, at, bt, calls;
} job;

/* Cubes, and the layers of models: rows of the batch, inputs and outputs. */
static const int64_t cubes[] = {8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
static const int64_t layers[][3] = {
    {64, 784, 256},   {64, 256, 10},   {8, 784, 256},    {1, 784, 256},    {1, 1024, 1024},   {4096, 25, 32},
    {256, 768, 2304}, {256, 768, 768}, {256, 768, 3072}, {256, 3072, 768}, {256, 768, 50257},
};
enum { CUBES = sizeof cubes / sizeof cubes[0], LAYERS = sizeof layers / sizeof layers[0] };

/* Row i of the table and its name; false after the last one. A layer has its forward product x w^T, the gradient of its
 * input g w and that of its weight g^T x. */
static bool job_at(int i, job *j, char *name, size_t size) {
    if (i < CUBES) {
        *j = (job){cubes[i], cubes[i], cubes[i], 0, 0, 0};
        snprintf(name, size, "cube %lld", (long long)cubes[i]);
    } else if (i < CUBES + 3 * LAYERS) {
        static const char *const what[3] = {"forward", "input grad", "weight grad"};
        const int64_t *l = layers[(i - CUBES) / 3];
        const int k = (i - CUBES) % 3;
        *j = k == 0   ? (job){l[0], l[1], l[2], 0, 1, 0}
             : k == 1 ? (job){l[0], l[2], l[1], 0, 0, 0}
                      : (job){l[2], l[0], l[1], 1, 0, 0};
        snprintf(name, size, "%lldx%lld->%lld %s", (long long)l[0], (long long)l[1], (long long)l[2], what[k]);
    } else {
        return false;
    }
    const double flop = 2.0 * (double)j->m * (double)j->k * (double)j->n;
    j->calls = (int64_t)(1.5e9 / (flop + 5e5)) + 1; /* some 10 ms */
    return true;
}

/* ---- OpenBLAS in a child process --------------------------------------------------------------------------------- */

typedef void (*sgemm_fn)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *,
                         int);

typedef struct peer {
    pid_t pid;
    int to, from;
    char core[64]; /* what OpenBLAS says it runs, or PyTorch's version */
    bool torch;
} peer;

static double now_per_call(sgemm_fn sgemm, const job *j, const float *a, const float *b, float *c) {
    const double t = bench_now();
    for (int64_t i = 0; i < j->calls; i++)
        sgemm(101, j->at ? 112 : 111, j->bt ? 112 : 111, (int)j->m, (int)j->n, (int)j->k, 1, a,
              (int)(j->at ? j->m : j->k), b, (int)(j->bt ? j->k : j->n), 0, c, (int)j->n);
    return (bench_now() - t) / (double)j->calls;
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

/* Before Tern starts threads. OpenBLAS in a child, or, if python is given, PyTorch by a script that talks as serve
 * does. False where there is none. */
static bool start(peer *p, const char *core, char *python, char *script, int threads) {
    int to[2], from[2];
    if (pipe(to) || pipe(from)) return false;
    p->pid = fork();
    if (p->pid == 0) {
        close(to[1]), close(from[0]);
        if (python) {
            char number[16];
            snprintf(number, sizeof number, "%d", threads);
            dup2(to[0], 0), dup2(from[1], 1);
            close(to[0]), close(from[1]);
            execlp(python, python, script, number, (char *)NULL);
            _exit(127);
        }
        serve(to[0], from[1], core, threads);
    }
    close(to[0]), close(from[1]);
    p->to = to[1], p->from = from[0];
    return read(p->from, p->core, sizeof p->core) == (ssize_t)sizeof p->core && p->core[0];
}

static double ask(peer *p, const job *j) {
    double s = 0;
    if (write(p->to, j, sizeof *j) != (ssize_t)sizeof *j || read(p->from, &s, sizeof s) != (ssize_t)sizeof s) {
        fprintf(stderr, "matmul: the process with %s has ended\n", p->core);
        exit(1);
    }
    return s;
}

/* ---- Tern ----------------------------------------------------------------------------------------------------------
 */

static double tern_per_call(const job *j, tern_tensor *a, tern_tensor *b) {
    const double t = bench_now();
    for (int64_t i = 0; i < j->calls; i++) {
        const int s = tern_scope_push();
        tern_matmul(a, b);
        tern_scope_pop(s);
    }
    const double each = (bench_now() - t) / (double)j->calls;
    bench_check();
    return each;
}

typedef struct arguments {
    bool quick;
    int rounds;
    char *python, *script;
    const char *text;
} arguments;

/* GFLOP/s of Tern and of each peer. */
static void measure(const job *j, peer *peers, int n_peers, int rounds, double *mine, double *theirs) {
    double tern[MAX_ROUNDS], other[MAX_PEERS][MAX_ROUNDS];
    const int s = tern_scope_push();
    tern_tensor *a = j->at ? tern_transpose(tern_rand(TERN_SHAPE(j->k, j->m), -1, 1, (tern_options){0}), 0, 1)
                           : tern_rand(TERN_SHAPE(j->m, j->k), -1, 1, (tern_options){0});
    tern_tensor *b = j->bt ? tern_transpose(tern_rand(TERN_SHAPE(j->n, j->k), -1, 1, (tern_options){0}), 0, 1)
                           : tern_rand(TERN_SHAPE(j->k, j->n), -1, 1, (tern_options){0});
    tern_per_call(j, a, b);
    for (int r = 0; r < rounds; r++) {
        bench_pause(0.03);
        tern[r] = tern_per_call(j, a, b);
        for (int p = 0; p < n_peers; p++) {
            bench_pause(0.03);
            other[p][r] = ask(&peers[p], j);
        }
    }
    tern_scope_pop(s);
    const double gflop = 2e-9 * (double)j->m * (double)j->k * (double)j->n;
    *mine = gflop / bench_median(tern, rounds);
    for (int p = 0; p < n_peers; p++) theirs[p] = gflop / bench_median(other[p], rounds);
}

static double ratio(double mine, double other) { return other > 0 ? mine / other : 0; }

/* Prints the row; returns Tern's speed by that of OpenBLAS's best core. The last peer is PyTorch, if it was asked for.
 */
static double compare(const char *name, const job *j, peer *peers, int n_peers, const arguments *arg) {
    double mine, other[MAX_PEERS] = {0}, best = 0, torch = 0;
    measure(j, peers, n_peers, arg->rounds, &mine, other);
    const char *core = "none";
    for (int p = 0; p < n_peers; p++) {
        if (peers[p].torch)
            torch = other[p];
        else if (other[p] > best)
            best = other[p], core = peers[p].core;
    }
    printf("%-28s %8.1f %8.1f %-11s %8.1f %10.2f %8.2f\n", name, mine, best, core, torch, ratio(mine, best),
           ratio(mine, torch));
    fflush(stdout);
    return ratio(mine, best);
}

static arguments read_arguments(int argc, char **argv) {
    arguments a = {.rounds = 5, .text = ""};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            a.quick = true, a.rounds = 1, a.text = "cube 1024";
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            a.rounds = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--pytorch") == 0 && i + 2 < argc) {
            a.python = argv[i + 1], a.script = argv[i + 2];
            i += 2;
        } else {
            a.text = argv[i];
        }
    }
    if (a.rounds < 1) a.rounds = 1;
    if (a.rounds > MAX_ROUNDS) a.rounds = MAX_ROUNDS;
    return a;
}

int main(int argc, char **argv) {
    const arguments arg = read_arguments(argc, argv);
    const char *env = getenv("TERN_THREADS");
    const int threads = env && atoi(env) > 0 ? atoi(env) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    peer peers[MAX_PEERS] = {{0}};
    int n = 0;
    n += start(&peers[n], NULL, NULL, NULL, threads);
#if defined(__x86_64__)
    if (n && __builtin_cpu_supports("avx512dq")) n += start(&peers[n], "SKYLAKEX", NULL, NULL, threads);
    if (n && __builtin_cpu_supports("avx2")) n += start(&peers[n], "HASWELL", NULL, NULL, threads);
    if (n && __builtin_cpu_supports("avx2")) n += start(&peers[n], "ZEN", NULL, NULL, threads);
#endif
    if (arg.python && start(&peers[n], NULL, arg.python, arg.script, threads)) peers[n++].torch = true;
    bench_head("matmul, f32");
    printf("%d threads, GFLOP/s, median of %d rounds%s%s\n", threads, arg.rounds, arg.python ? "; " : "",
           arg.python && n ? peers[n - 1].core : "");
    printf("%-28s %8s %20s %8s %10s %8s\n", "", "Tern", "OpenBLAS, best core", "PyTorch", "/ OpenBLAS", "/ PyTorch");
    if (!n) printf("(no OpenBLAS was found: nothing to compare with)\n");
    double first = 0;
    job j;
    char name[64];
    for (int i = 0; job_at(i, &j, name, sizeof name); i++) {
        if (!strstr(name, arg.text)) continue;
        const double r = compare(name, &j, peers, n, &arg);
        if (strcmp(name, "cube 1024") == 0) first = r;
    }
    if (first > 0) printf("\nsgemm 1024^3: Tern / OpenBLAS = %.3f\n", first);
    /* All ends first: a peer holds the ends of those that were started before it. */
    for (int p = 0; p < n; p++) close(peers[p].to);
    for (int p = 0; p < n; p++) waitpid(peers[p].pid, NULL, 0);
    return 0;
}
